"""Writes `tests/fixtures/onnx`: networks by both of PyTorch's exporters, and their derivatives in double precision.

Needs torch, onnx, onnxscript, safetensors and numpy; made with torch 2.15 and onnx 1.23. Run from the repository's
root. For every network NAME there are NAME.onnx, NAME.dynamo.onnx, NAME.optimized.onnx (whose exporter folds weights
and constants into others) and NAME.safetensors: parameters `p/…`, the direction `v/…`, the gradient `g/…` and the
Hessian product `hv/…` of the mean cross-entropy in all of them, input `x`, classes `y` and `logits`. NAME.fixedB.onnx
is for B samples only.
"""

import pathlib
import sys
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
OUT = pathlib.Path("tests/fixtures/onnx")


class Vision(nn.Module):
    """Patches, a class token, attention with heads side by side, and the tanh form of GELU."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 4, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.place = nn.Parameter(torch.randn(1, 5, 4))
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.up, self.down = nn.Linear(4, 5), nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        n = self.norm(x)
        x = x + self.attention(n, n, n, need_weights=False)[0]
        x = x + self.down(F.gelu(self.up(x), approximate="tanh"))
        return self.head(x[:, 0])


class Mobile(nn.Module):
    """Depthwise and grouped convolutions, ReLU6, hard swish, and squeeze and excite."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
        self.grouped = nn.Conv2d(4, 6, 1, groups=2)
        self.squeeze, self.excite = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = F.relu6(2 * self.norm(self.stem(x)))
        x = F.hardswish(self.grouped(self.depthwise(x)))
        s = F.adaptive_avg_pool2d(x, 1)
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(s))))
        return self.head(x.mean((2, 3)))


class Groups(nn.Module):
    """Group and instance norm, ELU, hardtanh, concatenation, and pools with padding."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 2, (3, 2), padding=(1, 0), stride=(1, 2))
        self.norm, self.alone = nn.GroupNorm(2, 4), nn.InstanceNorm2d(2, affine=True)
        self.head = nn.Linear(4 * 9 + 2 * 2, 3)

    def forward(self, x):
        a = F.max_pool2d(F.elu(self.norm(self.a(x)), 0.7), 3, stride=2, padding=1)
        b = F.avg_pool2d(F.hardtanh(self.alone(self.b(x)), -0.5, 0.6), 3, stride=3, padding=1, count_include_pad=False)
        return self.head(torch.cat([a.flatten(1), b.flatten(1)], 1))


class Language(nn.Module):
    """Tokens, learned places, causal attention, a tied head, and logits for every token."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(5, 4), nn.Embedding(4, 4)
        self.qkv, self.out = nn.Linear(4, 12, bias=False), nn.Linear(4, 4)

    def forward(self, ids):
        T = ids.shape[1]
        x = self.tokens(ids) + self.places(torch.arange(T, device=ids.device))
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = q @ k.transpose(1, 2) / 4**0.5
        mask = torch.tril(torch.ones(T, T)).bool()
        x = x + self.out(scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v)
        return x @ self.tokens.weight.T


class Scaled(nn.Module):
    """Causal attention by PyTorch's own function, RMS norm written out, SiLU gates."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.scale = nn.Parameter(torch.rand(8) + 0.5)
        self.q, self.k, self.v = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.gate, self.up, self.head = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(4, 3)

    def forward(self, x):
        x = self.embed(x)
        n = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale
        heads = [w(n).view(x.shape[0], -1, 2, 4).transpose(1, 2) for w in (self.q, self.k, self.v)]
        a = F.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + a.transpose(1, 2).reshape(x.shape)
        return self.head(F.silu(self.gate(x)) * self.up(x)).mean(1)


class Encoder(nn.Module):
    """PyTorch's own encoder layer, with samples along the second axis inside."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, activation="gelu", batch_first=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x.transpose(0, 1))[-1])


class Signal(nn.Module):
    """Convolutions and pools along one axis, PReLU, and functions of their own."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(2, 3, 3, padding=1, stride=2), nn.Conv1d(3, 4, 2, dilation=2)
        self.prelu = nn.PReLU(3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.avg_pool1d(self.prelu(self.a(x)), 2, stride=1)
        x = F.mish(F.selu(self.b(x)))
        s = F.softplus(x, beta=2.0, threshold=3.0)
        return self.head((s.softmax(1) * x).sum(2))


class Plain(nn.Module):
    """Dense layers over tokens, whose weights an exporter that folds constants transposes; a gain by one number."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)
        self.own = nn.Parameter(torch.randn(4, 3))
        self.gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        x = F.leaky_relu(self.a(x), 0.2) * self.gain
        return torch.tanh(self.b(x)).reshape(x.shape[0], 4) @ self.own


def networks():
    images = lambda *shape: torch.randn(6, *shape)
    yield "vision", Vision, images(1, 4, 4), 18
    yield "mobile", Mobile, images(2, 6, 6), 17
    yield "groups", Groups, images(1, 6, 6), 18
    yield "language", Language, torch.randint(0, 5, (6, 4)), 18
    yield "scaled", Scaled, images(4, 3), 18
    yield "encoder", Encoder, images(3, 4), 18
    yield "signal", Signal, images(2, 9), 18
    yield "plain", Plain, images(2, 3), 18


def tame(model):
    """Statistics of a network that has been trained, and weights that are not all small."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)


def truth(model, x, y):
    # These two have no second derivative in PyTorch; what they are made of has.
    F.hardsigmoid, hardsigmoid = lambda x: F.relu6(x + 3) / 6, F.hardsigmoid
    F.hardswish, hardswish = lambda x: x * F.hardsigmoid(x), F.hardswish
    model = model.double()
    x = x.double() if x.is_floating_point() else x
    names, params = zip(*model.named_parameters())
    f = model(x)
    loss = F.cross_entropy(f.reshape(-1, f.shape[-1]), y.reshape(-1))
    g = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
    v = [torch.randn_like(p) for p in params]
    hv = torch.autograd.grad(sum((a * b).sum() for a, b in zip(g, v)), params)
    F.hardsigmoid, F.hardswish = hardsigmoid, hardswish
    rows = {"x": x.double(), "y": y.double(), "logits": f, "loss": loss.reshape(1)}
    for name, p, a, b, c in zip(names, params, v, g, hv):
        rows |= {f"p/{name}": p, f"v/{name}": a, f"g/{name}": b, f"hv/{name}": c}
    return {name: np.ascontiguousarray(value.detach().numpy()) for name, value in rows.items()}


def export(model, x, path, opset, dynamo, **more):
    model = model.eval()
    name = "x" if x.is_floating_point() else "ids"
    if dynamo:
        batch = torch.export.Dim("N", min=2)
        more = {"dynamic_shapes": ({0: batch},), "external_data": False} | more
    else:
        more = {"dynamic_axes": {name: {0: "N"}}} | more
    torch.onnx.export(
        model, (x,), path, input_names=[name], output_names=["logits"], opset_version=opset, dynamo=dynamo, **more
    )


def strip(path):
    """Without traces of the machine that it was made on."""
    model = onnx.load(path)
    for holder in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input]:
        del holder.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, path)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, make, x, opset in networks():
        torch.manual_seed(len(name))
        model = make().eval()
        tame(model)
        with torch.no_grad():
            f = model(x)
        y = torch.randint(0, f.shape[-1], f.shape[:-1])
        for dynamo, end in [(False, "onnx"), (True, "dynamo.onnx"), (True, "optimized.onnx")]:
            path = OUT / f"{name}.{end}"
            try:
                folds = {"do_constant_folding": name in ("plain", "encoder")}
                folds = {"optimize": end == "optimized.onnx"} if dynamo else folds
                export(model, x, path, 20 if dynamo and opset < 18 else opset, dynamo, **folds)
                strip(path)
            except Exception as error:  # Shown, and the rest is made.
                print(name, end, type(error).__name__, str(error)[:600], file=sys.stderr)
        if name in ("vision", "plain", "scaled"):
            for n in (1, 3):
                path = OUT / f"{name}.fixed{n}.onnx"
                export(model, x[:n], path, opset, False, dynamic_axes={}, do_constant_folding=False)
                strip(path)
        with sdpa_kernel(SDPBackend.MATH):
            rows = truth(model, x, y)
        save_file(rows, OUT / f"{name}.safetensors")


main()
