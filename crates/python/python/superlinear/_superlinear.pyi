"""The compiled half; what a user calls is in `superlinear` itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Progress = Callable[[str, int, int, str], Any] | None
_Drawn = tuple[_Floats, _Floats, float, float, float, float]

__all__ = [
    "__version__",
    "analyse",
    "bounds",
    "commutativity",
    "eigh",
    "factor_moments",
    "figure",
    "finish",
    "haar_null",
    "lanczos",
    "model_moments",
    "power_law",
]
__version__: str

def analyse(
    model: bytes,
    base: str | None,
    name: str,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    logits: npt.NDArray[Any] | None,
    loss: str,
    batch: int,
    params: list[str] | None,
    top: int,
    memory: float,
    tol: float,
    seed: int,
    threads: int | None,
    progress: _Progress,
) -> dict[str, Any]: ...
def model_moments(
    model: bytes,
    base: str | None,
    name: str,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    loss: str,
    param: str,
    memory: float,
    threads: int | None,
    progress: _Progress,
) -> dict[str, Any]: ...
def factor_moments(
    a: _Floats, delta: _Floats, S: _Floats, threads: int | None, progress: _Progress
) -> dict[str, Any]: ...
def finish(
    n: int,
    H: _Floats,
    M2: _Floats,
    Sigma: _Floats,
    batch: int,
    top: int,
    threads: int | None,
    progress: _Progress,
) -> dict[str, Any]: ...
def figure(title: str, c_on_h: _Drawn | None, m2_on_h: _Drawn | None) -> str: ...
def power_law(x: _Floats, y: _Floats, top: int | None, noise_floor: float | None) -> dict[str, Any]: ...
def bounds(
    h: _Floats,
    m2: _Floats,
    kappa_max: float,
    indefinite: bool,
    abs_h: _Floats | None,
    noise_floor: float,
    tolerance: float,
) -> dict[str, Any]: ...
def commutativity(A: _Floats, B: _Floats, threads: int | None, progress: _Progress) -> dict[str, Any]: ...
def haar_null(
    alpha: _Floats, beta: _Floats, n_draws: int, seed: int, threads: int | None, progress: _Progress
) -> _Floats: ...
def eigh(name: str, A: _Floats, threads: int | None) -> dict[str, Any]: ...
def lanczos(
    matmat: Callable[[_Floats], _Floats],
    n: int,
    k: int,
    tol: float,
    seed: int,
    max_products: int,
    threads: int | None,
    progress: _Progress,
) -> dict[str, Any]: ...
