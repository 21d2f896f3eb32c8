"""A network in any of the forms that the package takes, as the bytes of an ONNX file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import _checks


class Network(NamedTuple):
    """What the compiled half reads."""

    onnx: bytes
    base: str | None
    name: str
    logits: Any


def read(model: Any, x: Any) -> Network:
    """A path, bytes, or a module, which is exported and whose outputs on ``x`` are the check."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Network(bytes(model), None, "the model", None)
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        try:
            onnx = path.read_bytes()
        except OSError as error:
            raise type(error)(error.errno, f"model: {error.strerror}", str(path)) from None
        return Network(onnx, str(path.resolve().parent), str(path), None)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return exported(model, x)
    raise TypeError(f"model: found {type(model).__name__}, expected a torch.nn.Module, a path or bytes of ONNX")


def to_onnx(model: Any, x: Any) -> bytes:
    """A PyTorch module as ONNX, the form in which it is read here.

    Export once and give the bytes to :func:`superlinear.analyse` or :func:`superlinear.partial_moments` where a module
    cannot go: into a task of Dask, Ray or a process pool, where it may not pickle or PyTorch may be missing.

    Parameters
    ----------
    model : torch.nn.Module in evaluation mode
    x : array or tensor ``[N, …]``
        Samples; two are traced.

    Raises
    ------
    ValueError
        When the module is in training mode, does not run on ``x``, or cannot be exported.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: found {type(model).__name__}, expected a torch.nn.Module")
    return exported(model, x[:2]).onnx


def exported(model: Any, x: Any) -> Network:
    """The module as ONNX, as it is in evaluation, and what it gives."""
    import torch

    evaluates(model)
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    if device.type == "meta":
        raise ValueError("model: its parameters are on the device meta, which holds no numbers")
    dtype = parameter.dtype if parameter is not None else torch.float32
    if not _checks.is_tensor(x):
        x = torch.from_numpy(_checks.array("x", x))
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}, expected [N, …] with N > 0")
    inputs = x.detach().to(device)
    if inputs.is_floating_point():
        inputs = inputs.to(dtype)
    # Its annotation leaves out what it takes besides paths.
    buffer: Any = io.BytesIO()
    with torch.no_grad():
        try:
            outputs = [model(block) for block in inputs.split(512)]
        except Exception as error:
            found = f"[{', '.join(map(str, inputs.shape))}] of {inputs.dtype} on {inputs.device}"
            raise ValueError(f"model does not run on x, {found}: {error}") from error
        if not all(_checks.is_tensor(output) for output in outputs):
            raise TypeError(f"model gives {type(outputs[0]).__name__}, expected one tensor of logits")
        try:
            torch.onnx.export(
                model,
                (inputs[:2],),
                buffer,
                input_names=["x"],
                output_names=["logits"],
                dynamic_axes={"x": {0: "n"}},
                do_constant_folding=False,
                dynamo=False,
            )
        except Exception as error:
            words = "for what ONNX cannot carry there are superlinear.factors and superlinear.moments"
            raise ValueError(f"model cannot be exported to ONNX ({words}): {error}") from error
    logits = torch.cat(outputs).detach().cpu().to(torch.float64).numpy()
    return Network(buffer.getvalue(), None, type(model).__name__, np.ascontiguousarray(logits))


def evaluates(model: Any) -> None:
    """That a module is a function of single samples."""
    if model.training:
        raise ValueError(
            "model is in training mode, where dropout and batch normalisation are no function of a sample: "
            "call model.eval()"
        )
