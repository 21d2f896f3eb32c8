"""The paper's figure 3 from a training loop of PyTorch: C and E_p[h_p²] on H, in two layers of an MLP.

    pip install torch onnx ./crates/python && python crates/python/examples/figure3.py

Trains on the digits that this repository carries, and writes figure3.html and an SVG a layer. One to two minutes on two
cores. VS Code and Jupytext read `# %%` as cells of a notebook.
"""

# %% The data: three classes of MNIST's first 20,000 training images, pixels standardised.
import argparse
import gzip
from pathlib import Path

import numpy as np
import superlinear as sl
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--classes", type=int, default=3)
parser.add_argument("--images", type=int, default=600, help="a class")
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--to", type=Path, default=Path("."))
asked = parser.parse_args()

MNIST = Path(__file__).resolve().parents[3] / "data" / "mnist"


def idx(name, header):
    return np.frombuffer(gzip.decompress((MNIST / name).read_bytes()), np.uint8, offset=header)


images = idx("train-20000-images-idx3-ubyte.gz", 16).reshape(-1, 784)
labels = idx("train-20000-labels-idx1-ubyte.gz", 8)
chosen = np.concatenate([np.flatnonzero(labels == c)[: asked.images] for c in range(asked.classes)])
x = torch.tensor((images[chosen] / 255 - 0.1307) / 0.3081, dtype=torch.float32)
y = torch.tensor(labels[chosen], dtype=torch.int64)

# %% The training loop: yours, whatever it is.
BATCH = 50
torch.manual_seed(0)
net = nn.Sequential(
    nn.Linear(784, 30, bias=False),
    nn.ReLU(),
    nn.Linear(30, 30, bias=False),
    nn.ReLU(),
    nn.Linear(30, asked.classes, bias=False),
)
descent = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(asked.epochs):
    for batch in torch.randperm(len(x)).split(BATCH):
        loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
        descent.zero_grad()
        loss.backward()
        descent.step()

# %% The analysis: one call. Layer "2" is the hidden one, W of shape [30, 30].
result = sl.analyse(net.eval(), x, y, loss="ce", batch=BATCH, params=["2.weight", "4.weight"], top=60)
print(result)
for name, layer in result.layers.items():
    (asked.to / f"figure3-{name}.svg").write_text(layer.svg(), encoding="utf-8")
result.save(asked.to / "figure3.html")

# %% What the paper says of it: C follows E_p[h_p²], and γ lies between 1 and 2.
hidden = result["2.weight"]
print(f"γ of C on H        {hidden.gamma}")
print(f"γ of M2 on H       {hidden.gamma_m2}")
print(f"C on M2            {hidden.c_on_m2}")
print(f"commutator         {hidden.commutator.ratio:.3f} of that of random directions")
hidden  # noqa: B018 In a notebook it shows itself.
