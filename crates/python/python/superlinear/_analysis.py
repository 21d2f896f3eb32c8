"""The analysis of a network, tensor by tensor."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import _checks, _network, _progress, _show, _superlinear
from ._checks import Floats

#: 95 % of a normal distribution.
_Z = 1.96


@dataclass(frozen=True)
class PowerLaw:
    """``y ∝ x ** slope``, by least squares of log10 y on log10 x. No units: a factor in ``x`` or ``y`` changes nothing.

    ============  ==================================================================================
    ``slope``     the exponent
    ``interval``  95 %, over draws of the samples and what is not known of the directions; of numbers
                  alone (:func:`superlinear.power_law`) and of sums of moments, 1.96 ``hc3``
    ``r2``        in logarithms
    ``n``         directions fitted
    ``dropped``   directions that could not be: rounding, or not positive
    ``hc3``       robust standard error of the slope, directions taken to scatter about a line
    ============  ==================================================================================
    """

    slope: float
    interval: tuple[float, float]
    r2: float
    n: int
    dropped: int
    hc3: float
    #: What the figure needs.
    _drawn: Any = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        low, high = self.interval
        fit = f"slope={self.slope:.4g}, interval=({low:.4g}, {high:.4g}), r2={self.r2:.3f}"
        return f"PowerLaw({fit}, n={self.n}, dropped={self.dropped})"

    @classmethod
    def _of(cls, found: dict[str, Any]) -> PowerLaw:
        half = _Z * found["error"]
        interval = (found["slope"] - half, found["slope"] + half)
        return cls(found["slope"], interval, found["r2"], found["n"], found["dropped"], found["hc3"], found["drawn"])


@dataclass(frozen=True)
class NoPowerLaw:
    """There is no exponent, and why. It is false where a :class:`PowerLaw` is true."""

    reason: str

    def __bool__(self) -> Literal[False]:
        return False


def _exponent(found: dict[str, Any] | str) -> PowerLaw | NoPowerLaw:
    return NoPowerLaw(found) if isinstance(found, str) else PowerLaw._of(found)


@dataclass(frozen=True)
class Commutativity:
    """How nearly two matrices commute, by the paper's numbers, beside random directions. No units.

    ====================  ==============================================================================
    ``error``             ``‖AB − BA‖ / ‖AB‖``, Frobenius norms; 0 where they commute
    ``random``            what it is where ``A`` keeps its spectrum and loses its directions
    ``ratio``             ``error / random``; 1 is random
    ``alignment``         share of ``‖A‖²`` on the diagonal in the eigenbasis of the other; 1 is aligned
    ``alignment_random``  the same of random directions
    ====================  ==============================================================================
    """

    error: float
    random: float
    ratio: float
    alignment: float
    alignment_random: float

    @classmethod
    def _of(cls, found: dict[str, Any]) -> Commutativity:
        return cls(**{name: found[name] for name in ("error", "random", "ratio", "alignment", "alignment_random")})


def _pair(found: dict[str, Any] | None) -> Commutativity | None:
    return None if found is None else Commutativity._of(found)


class Layer:
    """One tensor of a network. Arrays are float64; directions are leading eigenvectors of ``H``, descending.

    With ``P`` the number of the tensor's entries, row-major, and ``k`` the number of directions:

    ==========================  =================================================================================
    ``gamma``                   :class:`PowerLaw` of ``C_ii`` on ``H_ii``, or :class:`NoPowerLaw`, which is false
    ``gamma_m2``, ``c_on_m2``   of ``M2_ii`` on ``H_ii``; of ``C_ii`` on ``M2_ii``
    ``eigenvalues [k]``         of ``H``: loss per squared unit of the weight
    ``residuals [k]``           ``‖Hv − λv‖``
    ``H_ii, C_ii, M2_ii [k]``   diagonals along the directions
    ``…_se [k]``                their standard errors over draws of the samples
    ``H, C, M2, Sigma [P, P]``  means over samples; ``C = Sigma / batch``; ``None`` where they do not fit in memory
    ``commutator``              :class:`Commutativity` of ``C`` and ``H``, ``None`` without matrices
    ``commutator_m2``           of ``M2`` and ``H``
    ``commutator_c_m2``         of ``C`` and ``M2``
    ``name, kind, shape``       of the tensor: ``"fc2.weight"``, ``"dense"``, ``(50, 50)``
    ``depth``                   layers from the input, from 1; ``None`` for a tensor of none
    ``single_product``          whether a sample uses the weight once
    ``how``                     ``"dense"`` or ``"lanczos"``
    ==========================  =================================================================================
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    depth: int | None
    single_product: bool
    how: Literal["dense", "lanczos"]
    gamma: PowerLaw | NoPowerLaw
    gamma_m2: PowerLaw | NoPowerLaw
    c_on_m2: PowerLaw | NoPowerLaw
    commutator: Commutativity | None
    commutator_m2: Commutativity | None
    commutator_c_m2: Commutativity | None
    eigenvalues: Floats
    residuals: Floats
    H_ii: Floats
    H_ii_se: Floats
    C_ii: Floats
    C_ii_se: Floats
    M2_ii: Floats
    M2_ii_se: Floats
    H: Floats | None
    C: Floats | None
    M2: Floats | None
    Sigma: Floats | None

    def __init__(self, found: dict[str, Any]):
        self.shape = tuple(found["shape"])
        for name in ("name", "kind", "depth", "single_product", "how"):
            setattr(self, name, found[name])
        for name in ("gamma", "gamma_m2", "c_on_m2"):
            setattr(self, name, _exponent(found[name]))
        for name in ("commutator", "commutator_m2", "commutator_c_m2"):
            setattr(self, name, _pair(found.get(name)))
        for name in ("eigenvalues", "residuals", "H_ii", "H_ii_se", "C_ii", "C_ii_se", "M2_ii", "M2_ii_se"):
            setattr(self, name, found[name])
        for name in ("H", "C", "M2", "Sigma"):
            setattr(self, name, found.get(name))

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.shape))
        return f"Layer({self.name}, {self.kind}, {shape}, gamma={self.gamma})"

    def svg(self) -> str:
        """The figure of ``C_ii`` and ``M2_ii`` on ``H_ii`` with their exponents."""
        return _show.svg(self.name, self.gamma, self.gamma_m2)

    def _repr_html_(self) -> str:
        return _show.layer(self.name, f"{self.kind}, {' × '.join(map(str, self.shape))}, {self.how}", self)


class Analysis:
    """What was found of a network: a mapping from names of tensors to :class:`Layer`, in the order of the graph.

    ``loss`` is the mean loss of a sample, ``accuracy`` the share of outputs whose largest logit is the class's
    (``None`` without classes), ``warning`` what makes one doubt that this is the trained network. In a notebook it is
    its report: tables and figures. ``save("report.html")`` writes that page.
    """

    def __init__(self, found: dict[str, Any]):
        self._html: str = found["html"]
        self.n_samples: int = found["n_samples"]
        self.loss: float = found["loss"]
        self.accuracy: float | None = found["accuracy"]
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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report, one page with everything inside."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._html)


def analyse(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: Literal["ce", "mse", "linear-mse", "bce"],
    batch: int,
    params: Sequence[str] | None = None,
    top: int = 50,
    logits: Any = None,
    memory: float = 2.0,
    tol: float = 1e-8,
    seed: int = 0,
    threads: int | None = None,
    progress: _progress.Progress = None,
) -> Analysis:
    """Noise and curvature of tensors of a network, each by itself, exact and in float64.

    With ``g_p`` and ``h_p`` the gradient and Hessian of the loss of sample ``p`` in a tensor's ``P`` entries:
    ``H = E_p[h_p]``, ``M2 = E_p[h_p²]``, ``Sigma = E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]``, ``C = Sigma / batch``, all ``[P, P]``.
    ``E_p`` divides by ``N``.

    Parameters
    ----------
    model : torch.nn.Module in evaluation mode, or path or bytes of an ONNX file
        A module is exported in memory, on the device it is on, and its outputs on ``x`` are compared with what was
        read. Numbers become float64; the module stays as it is.
    x : array or tensor ``[N, …]``
        Samples, as the network takes them. NumPy, PyTorch (any device), JAX; contiguous or not. Numbers are float or
        integer and finite.
    y : array or tensor
        Classes ``[N]`` for ``"ce"`` and ``"mse"`` (−100 is ignored), real targets ``[N, n_out]`` for
        ``"linear-mse"``, 0 to 1 for ``"bce"``.
    loss : ``"ce"``, ``"mse"`` (of the softmax), ``"linear-mse"`` or ``"bce"``
        Of one sample; means over outputs or classes where the name says mean.
    batch : int, 1 to ``N``
        ``B`` of ``C = Sigma / B``: samples of a mini-batch, drawn with replacement.
    params : names of tensors, or None for the weights of all layers
        As in ``model.named_parameters()``.
    top : int
        Leading eigenvectors of each ``H``, at most ``P``.
    logits : array ``[N, n_out]``, optional
        The network's own outputs, to check an ONNX file by.
    memory : float
        GiB for the dense matrices of a tensor (ten of ``P × P``: 0.5 GiB for P = 2,500). Beyond, directions are
        Lanczos vectors, and there are no matrices and commutators.
    tol : float
        Residuals of Lanczos vectors, relative to the norm of ``H``, at which they count as converged.
    seed : int
        Of the first Lanczos vector.
    threads : int, optional
        All cores if ``None``. Results are the same to the last bit for any number.
    progress : callable ``(stage, done, total, words)``, ``tqdm.tqdm`` or a bar of it, optional
        Hears how far the work is. What it raises ends the work, and so does Ctrl-C, after the matrix that is being
        made. Other threads of Python run meanwhile.

    Returns
    -------
    Analysis
        A mapping from names to :class:`Layer`. It shows itself in a notebook.

    Raises
    ------
    ValueError, TypeError
        With the name of the argument, what was found and what was expected.

    Examples
    --------
    >>> result = sl.analyse(net.eval(), x, y, loss="ce", batch=50, params=["fc2.weight"], top=1000)
    >>> layer = result["fc2.weight"]
    >>> layer.gamma
    PowerLaw(slope=1.14, interval=(1.13, 1.16), r2=0.998, n=1000, dropped=0)
    >>> layer.H.shape, layer.H_ii.shape
    ((2500, 2500), (1000,))
    """
    batch, top = _checks.integer("batch", batch), _checks.integer("top", top)
    seed, workers = _checks.integer("seed", seed, 0), _checks.threads(threads)
    memory, tol = _checks.real("memory", memory), _checks.tolerance(tol)
    names = _names(params)
    _checks.text("loss", loss)
    samples, targets = _checks.array("x", x), _checks.array("y", y)
    with _progress.heard(progress) as listener:
        network = _network.read(model, x)
        given = network.logits if logits is None else _checks.array("logits", logits)
        if given is not None and given.ndim > 2:
            given = given.reshape(len(given), -1)
        found = _superlinear.analyse(
            network.onnx,
            network.base,
            network.name,
            samples,
            targets,
            given,
            loss,
            batch,
            names,
            top,
            memory,
            tol,
            seed,
            workers,
            listener,
        )
    return Analysis(found)


def _names(params: Any) -> list[str] | None:
    if params is None:
        return None
    if isinstance(params, str):
        raise TypeError(f"params: found the string {params!r}, expected a list of names")
    names = [_checks.text("params", name) for name in params]
    if not names:
        raise ValueError("params is empty, expected names of tensors, or None for the weights of all layers")
    return names
