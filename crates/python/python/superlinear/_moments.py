"""``H``, ``M2`` and ``Σ`` of one tensor, over part of the samples, as values that add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import _checks, _network, _progress, _show, _superlinear
from ._analysis import Commutativity, NoPowerLaw, PowerLaw, _exponent, _pair
from ._checks import Floats

_MATRICES = ("H", "M2", "Sigma")


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a tensor of ``P`` entries over ``n`` samples. Parts of a data set add, in any order, and pickle.

    =====================  ===============================================================
    ``n``                  samples
    ``mean [P]``           ``ḡ``, the mean gradient
    ``H [P, P]``           ``E_p[h_p]``
    ``M2 [P, P]``          ``E_p[h_p²]``
    ``Sigma [P, P]``       ``E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]``
    =====================  ===============================================================

    The matrices are symmetric, so a pickle holds their triangles alone, ``1.5 P (P + 1) + P`` numbers: 75 MB for
    P = 2,500, 1.2 GB for 10,000, 30 GB for 50,000. In memory they are ``3 P²``.
    """

    n: int
    mean: Floats
    H: Floats
    M2: Floats
    Sigma: Floats

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"moments of {self.mean.size} and of {other.mean.size} parameters do not add")
        n = self.n + other.n
        mine, theirs = self.n / n, other.n / n
        apart = self.mean - other.mean
        return Moments(
            n,
            mine * self.mean + theirs * other.mean,
            mine * self.H + theirs * other.H,
            mine * self.M2 + theirs * other.M2,
            # About the common mean, without cancellation (Chan, Golub, LeVeque 1983).
            mine * self.Sigma + theirs * other.Sigma + mine * theirs * np.outer(apart, apart),
        )

    def __radd__(self, other: Any) -> Moments:
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __getstate__(self) -> dict[str, Any]:
        triangles = {name: _triangle(getattr(self, name)) for name in _MATRICES}
        return {"n": self.n, "mean": self.mean, **triangles}

    def __setstate__(self, state: dict[str, Any]) -> None:
        order = state["mean"].size
        for name, value in state.items():
            object.__setattr__(self, name, _mirrored(value, order) if name in _MATRICES else value)

    def __repr__(self) -> str:
        return f"Moments(n={self.n}, P={self.mean.size})"

    def finish(
        self, *, batch: int, top: int = 50, threads: int | None = None, progress: _progress.Progress = None
    ) -> Finished:
        """Eigenvectors of ``H``, and exponents and commutators in their basis.

        Parameters
        ----------
        batch : int, 1 to ``n``
            ``B`` of ``C = Sigma / B``, drawn with replacement.
        top : int
            Leading directions that are fitted; fewer where eigenvalues are rounding.
        threads, progress
            As in :func:`superlinear.analyse`.
        """
        batch, top = _checks.integer("batch", batch), _checks.integer("top", top)
        if batch > self.n:
            raise ValueError(f"batch={batch}: expected 1 to {self.n}, the number of samples")
        with _progress.heard(progress) as listener:
            found = _superlinear.finish(
                self.n, self.H, self.M2, self.Sigma, batch, top, _checks.threads(threads), listener
            )
        for name in ("gamma", "gamma_m2", "c_on_m2"):
            found[name] = _exponent(found[name])
        found["commutator"] = _pair(found["commutator"])
        return Finished(n_samples=self.n, H=self.H, M2=self.M2, **found)


def _triangle(A: Floats) -> Floats:
    """Row by row, from the diagonal on."""
    return np.concatenate([row[i:] for i, row in enumerate(A)]) if len(A) else np.empty(0)


def _mirrored(triangle: Floats, order: int) -> Floats:
    A = np.empty((order, order))
    first = 0
    for i in range(order):
        row = triangle[first : first + order - i]
        A[i, i:] = row
        A[i:, i] = row
        first += order - i
    return A


@dataclass(frozen=True, eq=False)
class Finished:
    """What moments say, with the names of :class:`Layer`. It shows itself in a notebook.

    ``eigenvalues [P]`` are all of ``H``, ``eigenvectors [P, k]`` the leading ones, along which ``H_ii``, ``C_ii`` and
    ``M2_ii`` ``[k]`` stand. Intervals are those of the fit alone (1.96 HC3): sums do not remember single samples.
    ``commutator`` is that of ``C`` and ``H``, ``None`` where ``C`` is zero.
    """

    n_samples: int
    eigenvalues: Floats
    eigenvectors: Floats
    H_ii: Floats
    C_ii: Floats
    M2_ii: Floats
    gamma: PowerLaw | NoPowerLaw
    gamma_m2: PowerLaw | NoPowerLaw
    c_on_m2: PowerLaw | NoPowerLaw
    commutator: Commutativity | None
    H: Floats
    C: Floats
    M2: Floats

    def __repr__(self) -> str:
        return f"Finished(gamma={self.gamma}, gamma_m2={self.gamma_m2}, n_samples={self.n_samples})"

    def svg(self) -> str:
        """The figure of ``C_ii`` and ``M2_ii`` on ``H_ii`` with their exponents."""
        return _show.svg(f"{self.n_samples} samples", self.gamma, self.gamma_m2)

    def _repr_html_(self) -> str:
        return _show.layer(f"{self.n_samples} samples", f"{len(self.H)} parameters", self)


def partial_moments(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: Literal["ce", "mse", "linear-mse", "bce"],
    param: str,
    memory: float = 4.0,
    threads: int | None = None,
    progress: _progress.Progress = None,
) -> Moments:
    """The moments of tensor ``param`` over these samples, a value that adds and pickles.

    ``model``, ``x``, ``y``, ``loss``, ``threads`` and ``progress`` are those of :func:`superlinear.analyse`; ``memory``
    is GiB for one of the three matrices. Tasks of Dask, Ray or MPI best take a path or bytes of ONNX
    (:func:`superlinear.to_onnx`) and ``threads`` of their own.

    >>> whole = sum(sl.partial_moments(net, x[part], y[part], loss="ce", param="fc2.weight") for part in parts)
    >>> whole.finish(batch=50).gamma
    """
    workers, memory = _checks.threads(threads), _checks.real("memory", memory)
    _checks.text("loss", loss)
    _checks.text("param", param)
    samples, targets = _checks.array("x", x), _checks.array("y", y)
    with _progress.heard(progress) as listener:
        network = _network.read(model, x)
        found = _superlinear.model_moments(
            network.onnx, network.base, network.name, samples, targets, loss, param, memory, workers, listener
        )
    return Moments(**found)


@dataclass(frozen=True, eq=False)
class Factors:
    """What is known of one layer ``z_t = W a_t`` for every sample, from any framework.

    ==========  ===========================  ==========================================================
    ``a``       ``[N, T, d_in]``             what the layer takes at each of its ``T`` positions
    ``delta``   ``[N, T, d_out]``            ``∂ℓ_p/∂z``
    ``S``       ``[N, T·d_out, T·d_out]``    ``∂²ℓ_p/∂z²``, over all positions together
    ==========  ===========================  ==========================================================

    ``T`` = 1 may be left out of ``a`` and ``delta``. ``ℓ_p`` is the loss of a single sample, not divided by ``N``.
    """

    a: Floats
    delta: Floats
    S: Floats


def moments(
    factors: Factors | None = None,
    *,
    a: Any = None,
    S: Any = None,
    delta: Any = None,
    threads: int | None = None,
    progress: _progress.Progress = None,
) -> Moments:
    """The moments of a layer from its factors, given as :class:`Factors` or one by one, from any framework.

    Parameters
    ----------
    factors : Factors, or
    a : ``[N, d_in]`` or ``[N, T, d_in]``
        What the layer takes, for each of ``N`` samples and, where it is used at ``T`` positions, at each.
    S : ``[N, d_out, d_out]`` or ``[N, T·d_out, T·d_out]``
        ``∂²ℓ_p/∂z²``, symmetric.
    delta : ``[N, d_out]`` or ``[N, T, d_out]``
        ``∂ℓ_p/∂z``, which ``Sigma`` takes.
    threads, progress
        As in :func:`superlinear.analyse`.

    Returns
    -------
    Moments
        Of ``P = d_out · d_in`` entries in the order of ``W.reshape(-1)``, ``W`` of shape ``[d_out, d_in]``.

    Examples
    --------
    With ``f(z, y)`` the loss of one sample as a function of the layer's output, in PyTorch

    >>> S = torch.func.vmap(torch.func.hessian(f))(z, y)        # z [N, d_out]
    >>> delta = torch.func.vmap(torch.func.grad(f))(z, y)
    >>> sl.moments(a=a, S=S, delta=delta).finish(batch=50).gamma

    and in JAX

    >>> S, delta = jax.vmap(jax.hessian(f))(z, y), jax.vmap(jax.grad(f))(z, y)
    """
    if factors is not None:
        if not isinstance(factors, Factors):
            raise TypeError(f"factors: found {type(factors).__name__}, expected superlinear.Factors")
        if not (a is None and S is None and delta is None):
            raise ValueError("moments needs factors, or a, S and delta, not both")
        a, delta, S = factors.a, factors.delta, factors.S
    for name, given in (("a", a), ("S", S), ("delta", delta)):
        if given is None:
            raise ValueError(f"{name} is missing: moments needs factors, or a, S and delta")
    a, delta = (_positions(name, of) for name, of in (("a", a), ("delta", delta)))
    S = np.asarray(_checks.array("S", S), dtype=np.float64)
    if delta.shape[:2] != a.shape[:2]:
        raise ValueError(f"delta has shape {delta.shape}, but a has {a.shape}: N and T differ")
    order = delta.shape[1] * delta.shape[2]
    if S.shape != (len(a), order, order):
        raise ValueError(f"S has shape {S.shape}, expected {(len(a), order, order)}")
    with _progress.heard(progress) as listener:
        return Moments(**_superlinear.factor_moments(a, delta, S, _checks.threads(threads), listener))


def _positions(name: str, values: Any) -> Floats:
    found = np.asarray(_checks.array(name, values), dtype=np.float64)
    if found.ndim == 2:
        found = found[:, None, :]
    if found.ndim != 3 or found.size == 0:
        raise ValueError(f"{name} has shape {found.shape}, expected [N, d] or [N, T, d], not empty")
    return found


def factors(model: Any, layer: str, x: Any, y: Any, loss_fn: Callable[[Any, Any], Any]) -> Factors:
    """Exact factors of a layer of a PyTorch module, in float64, for any network and loss that PyTorch runs.

    Parameters
    ----------
    model : torch.nn.Module in evaluation mode
        Whatever it computes, layers that ONNX cannot carry included; on any device, the work is done on the CPU.
    layer : str
        The name of a ``Linear`` or an ungrouped ``Conv2d``, as in ``model.named_modules()``, that a forward pass calls
        once.
    x, y : arrays or tensors ``[N, …]``
    loss_fn : callable
        ``loss_fn(output, target)`` of a batch of one, a scalar tensor: ``torch.nn.functional.cross_entropy``, or yours.

    Returns
    -------
    Factors
        ``a [N, T, d_in]``, ``delta [N, T, d_out]``, ``S [N, T·d_out, T·d_out]`` for :func:`superlinear.moments`. ``T``
        is the number of positions of a convolution or tokens of a dense layer.

    The module and its parameters stay as they are: what is differentiated is a copy in float64. What is added to the
    layer's output is a variable, and ``torch.func`` gives the first and second derivative in it.
    """
    import copy

    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: found {type(model).__name__}, expected a torch.nn.Module")
    _network.evaluates(model)
    modules = dict(model.named_modules())
    if layer not in modules:
        raise ValueError(f"layer={layer!r}: no such module; there are {', '.join(name for name in modules if name)}")
    original = modules[layer]
    if sum(module is original for _, module in model.named_modules(remove_duplicate=False)) > 1:
        raise ValueError(f"layer={layer!r}: the module is used under several names")
    if isinstance(original, torch.nn.Conv2d):
        if original.groups != 1:
            raise ValueError(f"layer={layer!r}: found a convolution in {original.groups} groups, expected one group")
        if original.padding_mode != "zeros" or isinstance(original.padding, str):
            found = f"{original.padding_mode}, {original.padding!r}"
            raise ValueError(f"layer={layer!r}: expected padding by a number of zeros, found {found}")
    elif not isinstance(original, torch.nn.Linear):
        raise ValueError(f"layer={layer!r}: found {type(original).__name__}, expected Linear or Conv2d")
    try:
        exact = copy.deepcopy(model).cpu().double()
    except Exception as error:
        raise ValueError(f"model cannot be copied (no hook or attribute of it may refuse that): {error}") from error
    module = dict(exact.named_modules())[layer]
    x, y = torch.from_numpy(_checks.array("x", x)), torch.from_numpy(_checks.array("y", y))
    if x.ndim == 0 or len(x) == 0 or y.ndim == 0 or len(y) != len(x):
        raise ValueError(f"x has shape {tuple(x.shape)}, y {tuple(y.shape)}: expected [N, …] with one N > 0")
    if x.is_floating_point():
        x = x.double()
    seen: dict[str, Any] = {}

    def hook(_module: Any, inputs: Any, output: Any) -> Any:
        seen["calls"] = seen.get("calls", 0) + 1
        seen["input"], seen["shape"] = inputs[0], output.shape
        return output if seen["shift"] is None else output + seen["shift"]

    func: Any = torch.func
    handle = module.register_forward_hook(hook)
    a, delta, S = [], [], []
    try:
        for p in range(len(x)):
            seen.update(calls=0, shift=None)
            with torch.no_grad():
                exact(x[p : p + 1])
            if seen["calls"] != 1:
                raise ValueError(f"layer={layer!r}: called {seen['calls']} times in a forward pass, expected once")
            inputs = seen["input"].detach()

            def of(shift: Any, p: int = p) -> Any:
                seen["shift"] = shift
                value = loss_fn(exact(x[p : p + 1]), y[p : p + 1])
                if value.ndim != 0:
                    raise ValueError(f"loss_fn gives shape {tuple(value.shape)}, expected a scalar")
                return value

            if isinstance(module, torch.nn.Conv2d):
                window: Any = (module.kernel_size, module.dilation, module.padding, module.stride)
                patches = torch.nn.functional.unfold(inputs, *window)
                a.append(patches[0].T)
                # Positions first, channels last.
                place = lambda z, shape=seen["shape"]: z.T.reshape(shape)
                free = torch.zeros(patches.shape[2], module.out_channels, dtype=torch.float64)
            else:
                a.append(inputs.reshape(-1, module.in_features))
                place = lambda z, shape=seen["shape"]: z.reshape(shape)
                free = torch.zeros(len(a[-1]), module.out_features, dtype=torch.float64)
            function = lambda z, of=of, place=place: of(place(z))
            delta.append(func.grad(function)(free).detach())
            S.append(func.hessian(function)(free).detach().reshape(free.numel(), free.numel()))
    finally:
        handle.remove()
        seen.clear()
    stack: Any = lambda parts: torch.stack(parts).numpy()
    return Factors(stack(a), stack(delta), stack(S))
