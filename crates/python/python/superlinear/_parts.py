"""The parts by themselves, on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import _superlinear
from ._analysis import Commutativity, NoPowerLaw, PowerLaw


def _floats(name: str, values: Any, axes: int) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name}: found {values.dtype}, expected real numbers")
    if values.ndim != axes:
        raise ValueError(f"{name} has shape {values.shape}, expected {axes} axes")
    return values.astype(np.float64, copy=False)


def _fit(x: np.ndarray, y: np.ndarray, noise_floor: float | None) -> PowerLaw | NoPowerLaw:
    try:
        return PowerLaw._of(_superlinear.power_law(x, y, None, noise_floor))
    except ValueError as error:
        return NoPowerLaw(str(error))


def power_law(h: Any, c: Any, *, top: int | None = None, noise_floor: float | None = None) -> PowerLaw:
    """The exponent of ``c ∝ h ** γ`` over the first ``top`` entries; the interval is 1.96 robust errors (HC3).

    Entries that are not positive, or where ``h`` is below ``noise_floor``, are dropped and counted.
    """
    h, c = _floats("h", h, 1), _floats("c", c, 1)
    return PowerLaw._of(_superlinear.power_law(h, c, top, noise_floor))


def commutativity(A: Any, B: Any, *, threads: int | None = None) -> Commutativity:
    """How nearly symmetric ``A`` and ``B`` (``[P, P]``) commute, in the eigenbasis of ``B``."""
    return Commutativity._of(_superlinear.commutativity(_floats("A", A, 2), _floats("B", B, 2), threads))


def haar_null(A: Any, B: Any, *, n_draws: int, seed: int = 0, threads: int | None = None) -> np.ndarray:
    """``‖AB − BA‖ / ‖AB‖`` of ``n_draws`` matrices with the eigenvalues of ``A`` and random eigenvectors."""
    alpha, beta = (eigh(of, threads=threads)[0] for of in (A, B))
    return _superlinear.haar_null(alpha, beta, n_draws, seed, threads)


def eigh(A: Any, *, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, descending, and eigenvectors (columns) of a symmetric matrix, checked before they are returned."""
    found = _superlinear.eigh(_floats("A", A, 2), threads)
    return found["values"], found["vectors"]


def lanczos(
    operator: Any, k: int, *, n: int | None = None, tol: float = 1e-8, seed: int = 0, max_products: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` largest eigenpairs of a symmetric operator: ``values [k]``, ``vectors [n, k]``.

    ``operator`` is a ``scipy.sparse.linalg.LinearOperator``, a matrix, or a callable that takes and gives a vector
    ``[n]``; a callable needs ``n``.

    Raises
    ------
    ValueError
        When the iteration does not converge: a residual is above ``tol`` times the norm.
    """
    matmat: Callable[[np.ndarray], np.ndarray]
    if hasattr(operator, "matmat"):
        n, matmat = operator.shape[0], operator.matmat
    elif hasattr(operator, "__matmul__") and hasattr(operator, "shape"):
        n, matmat = operator.shape[0], lambda X: operator @ X
    elif callable(operator):
        if n is None:
            raise ValueError("lanczos of a callable needs n, the length of its vectors")
        size = n

        def matmat(X: np.ndarray) -> np.ndarray:
            columns = [np.asarray(operator(x), dtype=float) for x in np.ascontiguousarray(X.T)]
            for column in columns:
                if column.shape != (size,):
                    raise ValueError(f"operator gives shape {column.shape}, expected ({size},)")
            return np.stack(columns, axis=1)

    else:
        raise TypeError(f"operator: found {type(operator).__name__}, expected a LinearOperator, a matrix or a callable")
    product = lambda X: np.ascontiguousarray(matmat(X), dtype=np.float64)  # noqa: E731
    found = _superlinear.lanczos(product, n, k, tol, seed, max_products)
    if not all(found["converged"]):
        worst = float(np.max(found["residuals"]))
        raise ValueError(
            f"only {sum(found['converged'])} of {k} pairs converged after {found['products']} products; "
            f"the largest residual is {worst:.1e}"
        )
    return found["values"], found["vectors"]
