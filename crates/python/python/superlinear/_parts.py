"""The parts by themselves, on arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import _checks, _progress, _superlinear
from ._analysis import Commutativity, PowerLaw
from ._checks import Floats


def power_law(h: Any, c: Any, *, top: int | None = None, noise_floor: float | None = None) -> PowerLaw:
    """The exponent of ``c ∝ h ** γ``: least squares of ``log10 c`` on ``log10 h``.

    Parameters
    ----------
    h, c : ``[k]``
        Diagonals along the same directions, in any units.
    top : int, optional
        Only the first so many entries; all if ``None``.
    noise_floor : float, optional
        Entries with ``h`` below it are rounding.

    Returns
    -------
    PowerLaw
        Entries that are not positive or below the floor are dropped and counted. The interval is 1.96 robust errors
        (HC3).

    Raises
    ------
    ValueError
        When fewer than three points are left, or they share one abscissa.
    """
    h, c = _checks.floats("h", h, 1), _checks.floats("c", c, 1)
    _checks.alike("c", c, "h", h)
    first = None if top is None else _checks.integer("top", top)
    floor = None if noise_floor is None else _checks.real("noise_floor", noise_floor)
    return PowerLaw._of(_superlinear.power_law(h, c, first, floor))


@dataclass(frozen=True, eq=False)
class Bounds:
    """Every direction held against ``h² ≤ m2 ≤ kappa_max · h``.

    ==========================================  ===============================================================
    ``places``                                  a word a direction: ``"inside"``, ``"below"`` ``h²``,
                                                ``"above"`` ``kappa_max · h``, or ``"flagged"``: below the
                                                noise floor, not judged
    ``n_inside, n_below, n_above, n_flagged``   how many
    ``lower_slack, upper_slack``                least ``log10(m2/h²)`` and ``log10(kappa_max · h/m2)`` of the
                                                judged, in decades; ``None`` where nothing was judged
    ``gamma [k]``                               ``ln(m2/kappa_max²) / ln(h/kappa_max)``, in [1, 2] for
                                                semidefinite curvature; NaN where there is none
    ==========================================  ===============================================================
    """

    places: list[Literal["inside", "below", "above", "flagged"]]
    n_inside: int
    n_below: int
    n_above: int
    n_flagged: int
    lower_slack: float | None
    upper_slack: float | None
    gamma: Floats

    def __repr__(self) -> str:
        counts = f"inside={self.n_inside}, below={self.n_below}, above={self.n_above}, flagged={self.n_flagged}"
        return f"Bounds({counts}, lower_slack={self.lower_slack}, upper_slack={self.upper_slack})"


def bounds(
    h: Any,
    m2: Any,
    *,
    kappa_max: float,
    curvature: Literal["semidefinite", "indefinite"] = "semidefinite",
    abs_h: Any = None,
    noise_floor: float = 0.0,
    tolerance: float = 1e-9,
) -> Bounds:
    """Holds diagonals of ``H`` and ``M2`` against the theorem ``(vᵀHv)² ≤ vᵀM2v ≤ κ_max · vᵀHv``.

    It holds along any unit vectors ``v``, where every ``h_p`` is positive semidefinite and has no eigenvalue above
    ``κ_max``. For indefinite ``h_p`` the left side stays, and the right side takes ``E_p[|h_p|]`` for ``H``.

    Parameters
    ----------
    h, m2 : ``[k]``
        ``vᵀHv`` and ``vᵀM2v``: ``H_ii`` and ``M2_ii`` of a :class:`Layer`.
    kappa_max : float
        The largest absolute eigenvalue of any ``h_p``. For a dense layer it is the largest ``|s| · |a_p|²`` over
        eigenvalues ``s`` of ``S_p``.
    curvature : ``"semidefinite"`` or ``"indefinite"``
        Of single samples: cross-entropy and linear MSE behind ReLU layers are semidefinite.
    abs_h : ``[k]``, optional
        ``vᵀE_p[|h_p|]v`` of indefinite curvature; the right side is not checked without it.
    noise_floor : float
        Directions with ``|h|`` at or below it are flagged, not judged.
    tolerance : float
        Relative excess over a bound that is rounding.
    """
    h, m2 = _checks.floats("h", h, 1), _checks.floats("m2", m2, 1)
    _checks.alike("m2", m2, "h", h)
    if curvature not in ("semidefinite", "indefinite"):
        raise ValueError(f"curvature={curvature!r}: expected 'semidefinite' or 'indefinite'")
    indefinite = curvature == "indefinite"
    if abs_h is not None:
        if not indefinite:
            raise ValueError("abs_h is of indefinite curvature, found curvature='semidefinite'")
        abs_h = _checks.floats("abs_h", abs_h, 1)
        _checks.alike("abs_h", abs_h, "h", h)
    kappa = _checks.real("kappa_max", kappa_max)
    floor, excess = _checks.real("noise_floor", noise_floor), _checks.real("tolerance", tolerance)
    return Bounds(**_superlinear.bounds(h, m2, kappa, indefinite, abs_h, floor, excess))


def commutativity(A: Any, B: Any, *, threads: int | None = None, progress: _progress.Progress = None) -> Commutativity:
    """How nearly symmetric ``A`` and ``B`` (``[P, P]``) commute, read in the eigenbasis of ``B``: ``A = C``, ``B = H``.

    Any factors of ``A`` and ``B`` leave it as it is. One eigendecomposition of order ``P``.
    """
    B = _checks.square("B", B)
    A = _checks.square("A", A, len(B))
    with _progress.heard(progress) as listener:
        return Commutativity._of(_superlinear.commutativity(A, B, _checks.threads(threads), listener))


def haar_null(
    A: Any,
    B: Any,
    *,
    n_draws: int,
    seed: int = 0,
    threads: int | None = None,
    progress: _progress.Progress = None,
) -> Floats:
    """``‖A'B − BA'‖ / ‖A'B‖`` of ``n_draws`` matrices ``A'`` with the eigenvalues of ``A`` and random eigenvectors.

    ``A`` and ``B`` are symmetric, ``[P, P]``; what comes back is ``[n_draws]``. The mean is
    ``commutativity(A, B).random`` up to sampling, and the draws say how it scatters. The same seed gives the same draws
    for any number of threads.
    """
    B = _checks.square("B", B)
    A = _checks.square("A", A, len(B))
    n_draws, seed, workers = (
        _checks.integer("n_draws", n_draws),
        _checks.integer("seed", seed, 0),
        _checks.threads(threads),
    )
    alpha, beta = (_superlinear.eigh(name, of, workers)["values"] for name, of in (("A", A), ("B", B)))
    with _progress.heard(progress) as listener:
        return _superlinear.haar_null(alpha, beta, n_draws, seed, workers, listener)


def eigh(A: Any, *, threads: int | None = None) -> tuple[Floats, Floats]:
    """Eigenvalues ``[P]``, descending, and eigenvectors ``[P, P]`` (columns) of a symmetric matrix.

    Residual and orthogonality are checked before they are returned. ``numpy.linalg.eigh`` ascends.
    """
    found = _superlinear.eigh("A", _checks.square("A", A), _checks.threads(threads))
    return found["values"], found["vectors"]


def lanczos(
    operator: Any,
    k: int,
    *,
    n: int | None = None,
    tol: float = 1e-8,
    seed: int = 0,
    max_products: int = 10_000,
    threads: int | None = 1,
    progress: _progress.Progress = None,
) -> tuple[Floats, Floats]:
    """The ``k`` largest eigenpairs of a symmetric operator: ``values [k]``, descending, and ``vectors [n, k]``.

    Parameters
    ----------
    operator : ``scipy.sparse.linalg.LinearOperator``, a matrix (dense or sparse), or a callable
        A callable takes a vector ``[n]`` and gives ``[n]``, and needs ``n``. It is called with float64, from another
        thread, one call at a time.
    k : int, 1 to ``n``
    n : int, optional
        The order of a callable.
    tol : float
        A pair has converged when ``‖Av − λv‖ ≤ tol · ‖A‖``; residuals are recomputed with a product each.
    seed : int
        Of the first vector.
    max_products : int
        The most products with ``operator``, at least ``2 k + 1``.
    threads : int, optional
        For what is computed between products.
    progress
        As in :func:`superlinear.analyse`.

    Raises
    ------
    ValueError
        When not all pairs converge, when the operator turns out not to be symmetric, or a product is not finite.
    Exception
        Whatever ``operator`` raises.
    """
    order, matmat = _products(operator, n)
    k, tol, seed = _checks.integer("k", k), _checks.tolerance(tol), _checks.integer("seed", seed, 0)
    if k > order:
        raise ValueError(f"k={k}: the operator has order {order}")
    most, workers = _checks.integer("max_products", max_products), _checks.threads(threads)
    product = lambda X: _checks.floats("product of operator", matmat(X), 2)
    with _progress.heard(progress) as listener:
        found = _superlinear.lanczos(product, order, k, tol, seed, most, workers, listener)
    if not all(found["converged"]):
        worst = float(np.max(found["residuals"]))
        raise ValueError(
            f"operator: only {sum(found['converged'])} of {k} pairs converged after {found['products']} products; "
            f"the largest residual is {worst:.1e}"
        )
    return found["values"], found["vectors"]


def _products(operator: Any, n: Any) -> tuple[int, Callable[[Floats], Any]]:
    """The order, and products with a block."""
    if isinstance(operator, np.ndarray) or _checks.is_tensor(operator):
        operator = _checks.square("operator", operator)
    if hasattr(operator, "shape") and (hasattr(operator, "matmat") or hasattr(operator, "__matmul__")):
        shape = tuple(operator.shape)
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
            raise ValueError(f"operator has shape {shape}, expected [n, n]")
        if n is not None and n != shape[0]:
            raise ValueError(f"n={n}, but operator has shape {shape}")
        matmat = operator.matmat if hasattr(operator, "matmat") else lambda X: operator @ X
        return shape[0], matmat
    if not callable(operator):
        found = type(operator).__name__
        raise TypeError(f"operator: found {found}, expected a LinearOperator, a matrix or a callable")
    if n is None:
        raise ValueError("lanczos of a callable needs n, the length of its vectors")
    size = _checks.integer("n", n)

    def by_columns(X: Floats) -> Floats:
        columns = [_checks.array("product of operator", operator(x)) for x in np.ascontiguousarray(X.T)]
        for column in columns:
            if column.shape != (size,):
                raise ValueError(f"operator gives shape {column.shape}, expected ({size},)")
        return np.stack(columns, axis=1)

    return size, by_columns
