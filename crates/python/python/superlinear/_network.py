"""A network in any of the forms that the package takes, as the bytes of an ONNX file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Network(NamedTuple):
    """What the compiled half reads."""

    onnx: bytes
    base: str | None
    name: str
    logits: np.ndarray | None


def array(name: str, values: Any) -> np.ndarray:
    """A NumPy array of a type that is read, without losing a digit."""
    if is_tensor(values):
        values = values.detach().cpu().numpy()
    values = np.asarray(values)
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


def is_tensor(values: Any) -> bool:
    """Whether this is a PyTorch tensor; nothing imports PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def read(model: Any, x: Any) -> Network:
    """A path, bytes, or a module, which is exported and whose outputs on ``x`` are the check."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Network(bytes(model), None, "the model", None)
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        return Network(path.read_bytes(), str(path.resolve().parent), str(path), None)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return exported(model, x)
    raise TypeError(f"model: found {type(model).__name__}, expected a torch.nn.Module, a path or bytes of ONNX")


def exported(model: Any, x: Any) -> Network:
    """The module as ONNX, as it is in evaluation, and what it gives."""
    import torch

    if model.training:
        raise ValueError(
            "model is in training mode, where dropout and batch normalisation are no function of a sample: "
            "call model.eval()"
        )
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    dtype = parameter.dtype if parameter is not None else torch.float32
    if not is_tensor(x):
        x = torch.from_numpy(np.ascontiguousarray(x))
    inputs = x.to(device)
    if inputs.is_floating_point():
        inputs = inputs.to(dtype)
    buffer = io.BytesIO()
    with torch.no_grad():
        outputs = torch.cat([model(block) for block in inputs.split(512)])
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
    logits = outputs.detach().cpu().to(torch.float64).numpy()
    return Network(buffer.getvalue(), None, type(model).__name__, logits)
