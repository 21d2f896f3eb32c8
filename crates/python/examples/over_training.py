"""γ over training of one's own network: a small convolutional one, analysed every few epochs, layer by layer.

    pip install torch onnx ./crates/python && python crates/python/examples/over_training.py

Writes over-training.csv and, where Matplotlib can be imported, over-training.svg. One to two minutes on two cores.
"""

# %% The data: MNIST's first images of five classes, halved to 14 × 14.
import argparse
import csv
import gzip
from pathlib import Path

import numpy as np
import superlinear as sl
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=int, default=100, help="a class")
parser.add_argument("--looks", type=int, nargs="+", default=[0, 1, 3, 10, 30], help="epochs")
parser.add_argument("--to", type=Path, default=Path("."))
asked = parser.parse_args()

MNIST = Path(__file__).resolve().parents[3] / "data" / "mnist"
CLASSES, BATCH = 5, 20


def idx(name, header):
    return np.frombuffer(gzip.decompress((MNIST / name).read_bytes()), np.uint8, offset=header)


images = idx("train-20000-images-idx3-ubyte.gz", 16).reshape(-1, 14, 2, 14, 2).mean((2, 4))
labels = idx("train-20000-labels-idx1-ubyte.gz", 8)
chosen = np.concatenate([np.flatnonzero(labels == c)[: asked.images] for c in range(CLASSES)])
x = torch.tensor((images[chosen] / 255 - 0.1307) / 0.3081, dtype=torch.float32)[:, None]
y = torch.tensor(labels[chosen], dtype=torch.int64)

# %% Your network and your loop.
torch.manual_seed(1)
net = nn.Sequential(
    nn.Conv2d(1, 6, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(6 * 7 * 7, 16),
    nn.ReLU(),
    nn.Linear(16, CLASSES),
)
LAYERS = {"0.weight": "conv", "3.weight": "dense 1", "5.weight": "dense 2"}
descent = torch.optim.SGD(net.parameters(), lr=0.05)

# %% Every look is one call. 3.weight has 4,704 entries: beyond `memory` its directions are Lanczos vectors.
rows = []
for epoch in range(max(asked.looks) + 1):
    if epoch in asked.looks:
        net.eval()
        result = sl.analyse(net, x, y, loss="ce", batch=BATCH, params=list(LAYERS), top=30, memory=0.1)
        for name, layer in result.layers.items():
            low, high = layer.gamma.interval if layer.gamma else (np.nan, np.nan)
            gamma, gamma_m2 = (fit.slope if fit else np.nan for fit in (layer.gamma, layer.gamma_m2))
            rows.append((epoch, LAYERS[name], gamma, low, high, gamma_m2, result.loss))
            print(f"epoch {epoch:3}  loss {result.loss:.4f}  {LAYERS[name]:8} γ {gamma:.3f} ({low:.3f} to {high:.3f})")
        net.train()
    for batch in torch.randperm(len(x)).split(BATCH):
        loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
        descent.zero_grad()
        loss.backward()
        descent.step()

with open(asked.to / "over-training.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["epoch", "layer", "gamma", "gamma_low", "gamma_high", "gamma_m2", "loss"])
    writer.writerows(rows)

# %% The figure.
try:
    import matplotlib
except ImportError:
    print("no Matplotlib: over-training.csv has the numbers")
else:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in LAYERS.values():
        of = np.array([row[:1] + row[2:6] for row in rows if row[1] == name])
        epochs, gamma, low, high, gamma_m2 = of.T
        line = axes.errorbar(epochs, gamma, [gamma - low, high - gamma], marker="o", capsize=3, label=f"{name}: C on H")
        axes.plot(epochs, gamma_m2, "--", color=line[0].get_color(), label=f"{name}: M2 on H")
    for bound in (1, 2):
        axes.axhline(bound, color="#999", linewidth=0.8, zorder=0)
    axes.set(xlabel="epoch", ylabel="γ")
    axes.set_xscale("symlog", linthresh=2)
    axes.set_xlim(-0.3, 1.2 * max(asked.looks) + 1)
    axes.set_xticks(asked.looks, map(str, asked.looks))
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(asked.to / "over-training.svg")
