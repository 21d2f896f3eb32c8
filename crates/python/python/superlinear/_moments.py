"""``H``, ``M2`` and ``Σ`` of one tensor, over part of the samples, as values that add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _network, _parts, _superlinear
from ._analysis import Commutativity, NoPowerLaw, PowerLaw


@dataclass(frozen=True)
class Moments:
    """Moments of a tensor over ``n`` samples. Parts of a data set add, in any order, and pickle.

    A part is ``3 P²`` numbers: 150 MB for P = 2,500, 2.4 GB for 10,000, 60 GB for 50,000.
    """

    n: int
    #: ``ḡ``, ``[P]``.
    mean: np.ndarray
    #: ``E_p[h_p]``, ``[P, P]``.
    H: np.ndarray
    #: ``E_p[h_p²]``.
    M2: np.ndarray
    #: ``E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]``.
    Sigma: np.ndarray

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

    def finish(self, *, batch: int, top: int = 50, threads: int | None = None) -> Finished:
        """Eigenvectors of ``H``, and exponents and commutators in their basis."""
        if not 1 <= batch <= self.n:
            raise ValueError(f"batch={batch}: expected 1 to {self.n}, the number of samples")
        eigen = _superlinear.eigh(self.H, threads)
        values, vectors = eigen["values"], eigen["vectors"]
        keep = min(top, int(np.sum(values > eigen["noise_floor"])))
        C, V = self.Sigma / batch, vectors[:, :keep]
        along = lambda A: np.einsum("ij,ij->j", V, A @ V)  # noqa: E731
        h, c, m2 = values[:keep], along(C), along(self.M2)
        fit = lambda x, y: _parts._fit(x, y, eigen["noise_floor"])  # noqa: E731
        commutator = _parts.commutativity(C, self.H, threads=threads) if np.any(C) else None
        return Finished(self.n, values, V, h, c, m2, fit(h, c), fit(h, m2), fit(m2, c), commutator, self.H, C, self.M2)


@dataclass(frozen=True)
class Finished:
    """What moments say. Intervals are those of the fit alone (HC3): sums do not remember single samples."""

    n_samples: int
    eigenvalues: np.ndarray
    #: ``[P, k]``.
    eigenvectors: np.ndarray
    H_ii: np.ndarray
    C_ii: np.ndarray
    M2_ii: np.ndarray
    gamma: PowerLaw | NoPowerLaw
    gamma_m2: PowerLaw | NoPowerLaw
    c_on_m2: PowerLaw | NoPowerLaw
    commutator: Commutativity | None
    H: np.ndarray
    C: np.ndarray
    M2: np.ndarray

    def __repr__(self) -> str:
        return f"Finished(gamma={self.gamma}, gamma_m2={self.gamma_m2}, n_samples={self.n_samples})"


def partial_moments(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: str,
    param: str,
    memory: float = 4.0,
    threads: int | None = None,
    progress: Callable[[str, int, int, str], Any] | None = None,
) -> Moments:
    """The moments of tensor ``param`` over these samples, see :func:`superlinear.analyse` for the arguments.

    >>> whole = sum(sl.partial_moments(net, x[part], y[part], loss="ce", param="fc2.weight") for part in parts)
    >>> whole.finish(batch=50).gamma
    """
    network = _network.read(model, x)
    found = _superlinear.model_moments(
        network.onnx,
        network.base,
        network.name,
        _network.array("x", x),
        _network.array("y", y),
        loss,
        param,
        memory,
        threads,
        progress,
    )
    return Moments(**found)


@dataclass(frozen=True)
class Factors:
    """What is known of one layer ``z_t = W a_t`` for every sample, from any framework.

    ==========  ===========================  ==========================================================
    ``a``       ``[N, T, d_in]``             what the layer takes at each of its ``T`` positions
    ``delta``   ``[N, T, d_out]``            ``∂ℓ_p/∂z``
    ``S``       ``[N, T·d_out, T·d_out]``    ``∂²ℓ_p/∂z²``, over all positions together
    ==========  ===========================  ==========================================================

    ``T`` = 1 may be left out of ``a`` and ``delta``. In PyTorch, with ``f(z)`` the loss of one sample as a function of
    the layer's output::

        delta = torch.func.grad(f)(z); S = torch.func.hessian(f)(z)

    and in JAX ``jax.grad(f)(z)``, ``jax.hessian(f)(z)``, under ``vmap``. Losses are those of single samples, not
    divided by ``N``.
    """

    a: np.ndarray
    delta: np.ndarray
    S: np.ndarray


def moments(
    factors: Factors | None = None, *, a: Any = None, delta: Any = None, S: Any = None, threads: int | None = None
) -> Moments:
    """The moments of a layer from its factors, given as :class:`Factors` or one by one."""
    if factors is not None:
        a, delta, S = factors.a, factors.delta, factors.S
    if a is None or delta is None or S is None:
        raise ValueError("moments needs factors, or a, delta and S")
    a, delta, S = (
        np.asarray(_network.array(name, of), dtype=float) for name, of in (("a", a), ("delta", delta), ("S", S))
    )
    a, delta = (of[:, None, :] if of.ndim == 2 else of for of in (a, delta))
    for name, of in (("a", a), ("delta", delta)):
        if of.ndim != 3:
            raise ValueError(f"{name} has shape {of.shape}, expected [N, d] or [N, T, d]")
    if delta.shape[:2] != a.shape[:2]:
        raise ValueError(f"delta has shape {delta.shape}, but a has {a.shape}: N and T differ")
    order = delta.shape[1] * delta.shape[2]
    if S.shape[:1] != a.shape[:1] or S.size != len(a) * order * order:
        raise ValueError(f"S has shape {S.shape}, expected {(len(a), order, order)}")
    return Moments(**_superlinear.factor_moments(a, delta, S.reshape(len(a), order, order), threads))


def factors(model: Any, layer: str, x: Any, y: Any, loss_fn: Callable[[Any, Any], Any]) -> Factors:
    """Exact factors of a layer of a PyTorch module, in float64, for any loss.

    Parameters
    ----------
    model : torch.nn.Module in evaluation mode
    layer : the name of a ``Linear`` or an ungrouped ``Conv2d``, as in ``model.named_modules()``
    x, y : tensors ``[N, …]``
    loss_fn : ``loss_fn(output, target)`` of a batch of one, a scalar

    The module and its parameters stay as they are: what is differentiated is a copy in float64. What is added to the
    layer's output is a variable, and ``torch.func`` gives the first and second derivative in it.
    """
    import copy

    import torch

    if model.training:
        raise ValueError("model is in training mode; call model.eval()")
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
    exact = copy.deepcopy(model).double().cpu()
    module = dict(exact.named_modules())[layer]
    x, y = torch.as_tensor(x).detach().cpu(), torch.as_tensor(y).detach().cpu()
    if x.is_floating_point():
        x = x.double()
    seen: dict[str, Any] = {}

    def hook(_module: Any, inputs: Any, output: Any) -> Any:
        seen["calls"] = seen.get("calls", 0) + 1
        seen["input"], seen["shape"] = inputs[0], output.shape
        return output if seen["shift"] is None else output + seen["shift"]

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
                window = (module.kernel_size, module.dilation, module.padding, module.stride)
                patches = torch.nn.functional.unfold(inputs, *window)
                a.append(patches[0].T)
                # Positions first, channels last.
                place = lambda z, shape=seen["shape"]: z.T.reshape(shape)  # noqa: E731
                free = torch.zeros(patches.shape[2], module.out_channels, dtype=torch.float64)
            else:
                a.append(inputs.reshape(-1, module.in_features))
                place = lambda z, shape=seen["shape"]: z.reshape(shape)  # noqa: E731
                free = torch.zeros(len(a[-1]), module.out_features, dtype=torch.float64)
            function = lambda z, of=of, place=place: of(place(z))  # noqa: E731
            delta.append(torch.func.grad(function)(free).detach())
            S.append(torch.func.hessian(function)(free).detach().reshape(free.numel(), free.numel()))
    finally:
        handle.remove()
        seen.clear()
    stack = lambda parts: torch.stack(parts).numpy()  # noqa: E731
    return Factors(stack(a), stack(delta), stack(S))
