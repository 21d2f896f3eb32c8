"""Arguments as the compiled half takes them, or one error that names the argument, what was found and expected."""

from __future__ import annotations

import math
import operator
import sys
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

#: What is computed with.
Floats = npt.NDArray[np.float64]


def integer(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    try:
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: found {value!r} ({type(value).__name__}), expected an integer") from None
    if whole < least:
        raise ValueError(f"{name}={whole}: expected at least {least}")
    if whole >= 2**63:
        raise ValueError(f"{name}={whole}: expected less than 2**63")
    return whole


def threads(value: Any) -> int | None:
    """``None``, which is all cores, or a number of threads."""
    return None if value is None else integer("threads", value)


def real(name: str, value: Any, least: float = 0.0) -> float:
    """A finite number of at least ``least``."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: found {value!r} ({type(value).__name__}), expected a number") from None
    if not (math.isfinite(found) and found >= least):
        raise ValueError(f"{name}={found}: expected a finite number of at least {least}")
    return found


def tolerance(value: Any) -> float:
    """A relative residual."""
    tol = real("tol", value)
    if not np.finfo(float).eps <= tol < 1:
        raise ValueError(f"tol={tol}: expected a number from {np.finfo(float).eps:.1e} to less than 1")
    return tol


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: found {value!r} ({type(value).__name__}), expected a string")
    return value


def is_tensor(values: Any) -> TypeGuard[Any]:
    """Whether this is a PyTorch tensor; nothing imports PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _of_tensor(name: str, values: Any) -> Any:
    """A tensor as an array, from whatever device; half precision, which NumPy may not have, is widened exactly."""
    import torch

    try:
        values = values.detach().cpu()
        if values.is_floating_point() and values.dtype not in (torch.float64, torch.float32):
            values = values.float()
        return values.resolve_conj().resolve_neg().numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        found = f"a tensor of {values.dtype}, layout {values.layout}, on {values.device}"
        raise TypeError(f"{name}: found {found}, expected one that NumPy can hold ({error})") from None


def array(name: str, values: Any) -> npt.NDArray[Any]:
    """A contiguous array of a type that is read, without losing a digit; lists and tensors are taken too."""
    if is_tensor(values):
        values = _of_tensor(name, values)
    try:
        values = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        found = type(values).__name__
        raise TypeError(f"{name}: found {found}, expected an array of real numbers ({error})") from None
    if values.dtype == object or values.dtype.kind in "cSUmMV":
        raise TypeError(f"{name}: found {values.dtype}, expected real numbers")
    native = values.dtype.newbyteorder("=")
    if native in (np.dtype("f8"), np.dtype("f4"), np.dtype("i8"), np.dtype("u1"), np.dtype("?")):
        return np.ascontiguousarray(values, dtype=native)
    wide = np.dtype("f8") if values.dtype.kind == "f" and values.dtype.itemsize <= 8 else np.dtype("i8")
    exact = values.astype(wide)
    floating = values.dtype.kind == "f"
    if values.dtype.kind not in "fiu" or not np.array_equal(exact.astype(values.dtype), values, equal_nan=floating):
        raise TypeError(f"{name}: {values.dtype} does not widen to {wide} without losing digits")
    return np.ascontiguousarray(exact)


def floats(name: str, values: Any, axes: int) -> Floats:
    """A float64 array of finite numbers with so many axes."""
    found = np.asarray(array(name, values), dtype=np.float64)
    if found.ndim != axes:
        raise ValueError(f"{name} has shape {found.shape}, expected {axes} {'axis' if axes == 1 else 'axes'}")
    finite = np.isfinite(found)
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name}[{', '.join(map(str, at))}] is {found[at]}, expected a finite number")
    return found


def square(name: str, values: Any, order: int | None = None) -> Floats:
    """A square matrix, of this order if there is one."""
    found = floats(name, values, 2)
    n = found.shape[0] if order is None else order
    if found.shape != (n, n) or n == 0:
        raise ValueError(f"{name} has shape {found.shape}, expected {'[P, P]' if order is None else (n, n)}")
    return found


def alike(name: str, found: Floats, other: str, expected: Floats) -> None:
    """That two lists pair up."""
    if found.shape != expected.shape:
        raise ValueError(f"{name} has {found.size} entries, expected {expected.size}, as {other} has")
