"""The analysis of a network, tensor by tensor."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import _network, _superlinear

#: 95 % of a normal distribution.
_Z = 1.96


@dataclass(frozen=True)
class PowerLaw:
    """``y ∝ x ** slope``, by least squares of log10 y on log10 x."""

    slope: float
    #: 95 %, over draws of the samples and what is not known of the directions.
    interval: tuple[float, float]
    r2: float
    #: Directions fitted.
    n: int
    #: Directions that could not be: rounding, or not positive.
    dropped: int
    #: Robust standard error (HC3) of the slope, directions taken to scatter about a line.
    hc3: float

    def __repr__(self) -> str:
        low, high = self.interval
        fit = f"slope={self.slope:.4g}, interval=({low:.4g}, {high:.4g}), r2={self.r2:.3f}"
        return f"PowerLaw({fit}, n={self.n}, dropped={self.dropped})"

    @classmethod
    def _of(cls, found: dict | str) -> PowerLaw | NoPowerLaw:
        if isinstance(found, str):
            return NoPowerLaw(found)
        half = _Z * found["error"]
        interval = (found["slope"] - half, found["slope"] + half)
        return cls(found["slope"], interval, found["r2"], found["n"], found["dropped"], found["hc3"])


@dataclass(frozen=True)
class NoPowerLaw:
    """There is no exponent, and why."""

    reason: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Commutativity:
    """How nearly two matrices commute, by the paper's ``‖AB − BA‖ / ‖AB‖`` and alignment, beside random directions."""

    error: float
    random: float
    #: ``error / random``; 1 is random.
    ratio: float
    #: Share of ``‖A‖²`` on the diagonal in the eigenbasis of the other.
    alignment: float
    alignment_random: float

    @classmethod
    def _of(cls, found: dict | None) -> Commutativity | None:
        if found is None:
            return None
        return cls(**{name: found[name] for name in ("error", "random", "ratio", "alignment", "alignment_random")})


class Layer:
    """One tensor of a network. Arrays are float64; directions are leading eigenvectors of ``H``, descending.

    ==================  =======================================================================================
    ``gamma``           :class:`PowerLaw` of ``C_ii`` on ``H_ii`` (or :class:`NoPowerLaw`, which is false)
    ``gamma_m2``        of ``M2_ii`` on ``H_ii``
    ``c_on_m2``         of ``C_ii`` on ``M2_ii``
    ``eigenvalues``     of ``H``, with ``residuals``
    ``H_ii, C_ii, M2_ii``   diagonals along the directions; ``…_se`` their standard errors over draws of samples
    ``H, C, M2, Sigma`` ``[P, P]`` over the tensor's entries, row-major; ``None`` where they do not fit in memory
    ``commutator``      :class:`Commutativity` of ``C`` and ``H``; also ``commutator_m2`` (``M2``, ``H``) and
                        ``commutator_c_m2``
    ``name, kind, shape, depth, single_product, how``
    ==================  =======================================================================================
    """

    def __init__(self, found: dict):
        self.name: str = found["name"]
        self.kind: str = found["kind"]
        self.shape: tuple[int, ...] = tuple(found["shape"])
        self.depth: int | None = found["depth"]
        self.single_product: bool = found["single_product"]
        self.how: str = found["how"]
        self.gamma = PowerLaw._of(found["gamma"])
        self.gamma_m2 = PowerLaw._of(found["gamma_m2"])
        self.c_on_m2 = PowerLaw._of(found["c_on_m2"])
        for name in ("commutator", "commutator_m2", "commutator_c_m2"):
            setattr(self, name, Commutativity._of(found.get(name)))
        for name in ("eigenvalues", "residuals", "H_ii", "H_ii_se", "C_ii", "C_ii_se", "M2_ii", "M2_ii_se"):
            setattr(self, name, found[name])
        for name in ("H", "C", "M2", "Sigma"):
            setattr(self, name, found.get(name))

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.shape))
        return f"Layer({self.name}, {self.kind}, {shape}, gamma={self.gamma})"


class Analysis:
    """What was found of a network: a mapping from names of tensors to :class:`Layer`."""

    def __init__(self, found: dict):
        self._html: str = found["html"]
        self.n_samples: int = found["n_samples"]
        #: Mean loss.
        self.loss: float = found["loss"]
        #: Share of outputs whose largest logit is the class's; ``None`` without classes.
        self.accuracy: float | None = found["accuracy"]
        #: What makes one doubt that this is the trained network.
        self.warning: str | None = found["warning"]
        self.layers: dict[str, Layer] = {tensor["name"]: Layer(tensor) for tensor in found["tensors"]}

    def __getitem__(self, name: str) -> Layer:
        try:
            return self.layers[name]
        except KeyError:
            raise KeyError(f"no tensor {name!r}; there are {', '.join(self.layers)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {100 * self.accuracy:.2f} %"
        lines = [f"Analysis of {len(self)} tensors: mean loss {self.loss:.6g}{accuracy} on {self.n_samples} samples"]
        lines += [f"  {layer!r}" for layer in self.layers.values()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        # A page of its own, so that its style stays inside.
        return f'<iframe srcdoc="{html.escape(self._html)}" style="width: 100%; height: 40rem; border: 0"></iframe>'

    def save(self, path: Any) -> None:
        """Writes the report page."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._html)


def analyse(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: str,
    batch: int,
    params: Sequence[str] | None = None,
    top: int = 50,
    logits: Any = None,
    memory: float = 2.0,
    tol: float = 1e-8,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str, int, int, str], Any] | None = None,
) -> Analysis:
    """Analyses tensors of a network, each by itself.

    Parameters
    ----------
    model : torch.nn.Module in evaluation mode, or path or bytes of an ONNX file
        A module is exported in memory, and its outputs on ``x`` are compared with what was read.
    x : array or tensor ``[N, …]``
        Samples, as the network takes them.
    y : array or tensor
        Classes ``[N]`` for ``"ce"`` and ``"mse"``, real targets ``[N, n_out]`` for ``"linear-mse"``, 0 or 1 for
        ``"bce"``.
    loss : ``"ce"``, ``"mse"`` (of the softmax), ``"linear-mse"`` or ``"bce"``
    batch : int
        ``B`` of ``C = Σ/B``, drawn with replacement.
    params : names of tensors, or None for the weights of all layers
    top : int
        Leading eigenvectors of each ``H``.
    logits : array ``[N, n_out]``, optional
        The network's own outputs, to check an ONNX file by.
    memory : float
        GiB for the dense matrices of a tensor (ten of ``P × P``). Beyond, directions are Lanczos vectors.
    progress : callable ``(stage, done, total, words)``, optional

    Returns
    -------
    Analysis

    Raises
    ------
    ValueError
        With the name of the argument, what was found and what was expected.
    """
    network = _network.read(model, x)
    given = network.logits if logits is None else _network.array("logits", logits)
    if given is not None and given.ndim > 2:
        given = given.reshape(len(given), -1)
    found = _superlinear.analyse(
        network.onnx,
        network.base,
        network.name,
        _network.array("x", x),
        _network.array("y", y),
        given,
        loss,
        batch,
        None if params is None else list(params),
        top,
        memory,
        tol,
        seed,
        threads,
        progress,
    )
    return Analysis(found)
