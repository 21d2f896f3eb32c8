"""What a call from Python costs beside the same work by the Rust command: P = 2,500, N = 20,000.

    cargo build --release -p xtask && python crates/python/examples/overhead.py target/release/xtask

Processor seconds of all threads, which other work on the machine changes least, and wall seconds.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import superlinear as sl
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("xtask", type=Path)
parser.add_argument("--samples", type=int, default=20_000)
parser.add_argument("--times", type=int, default=3)
asked = parser.parse_args()

MNIST = Path(__file__).resolve().parents[3] / "data" / "mnist"
images = gzip.decompress((MNIST / "train-20000-images-idx3-ubyte.gz").read_bytes())[16:]
labels = gzip.decompress((MNIST / "train-20000-labels-idx1-ubyte.gz").read_bytes())[8:]
x = np.frombuffer(images, np.uint8).reshape(-1, 784)[: asked.samples] / 255
y = np.frombuffer(labels, np.uint8)[: asked.samples].astype(np.int64)
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 10)).eval()
model = sl.to_onnx(net, x[:2])

with tempfile.TemporaryDirectory() as folder:
    onnx, data = Path(folder, "net.onnx"), Path(folder, "data.npz")
    onnx.write_bytes(model)
    np.savez(data, x=x, y=y)
    command = [asked.xtask.resolve(), "analyse", "--model", onnx, "--data", data, "--loss", "ce", "--batch", "50"]
    command += ["--params", "2.weight", "--to", Path(folder, "out"), "--force"]
    seconds = []
    for _ in range(asked.times):
        before, start = os.times(), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        middle, half = os.times(), time.perf_counter()
        sl.analyse(model, x, y, loss="ce", batch=50, params=["2.weight"])
        after, end = os.times(), time.perf_counter()
        rust = middle.children_user + middle.children_system - before.children_user - before.children_system
        python = after.user + after.system - middle.user - middle.system
        seconds.append((rust, python, half - start, end - half))
        print("Rust {:.1f} s, Python {:.1f} s of processors; {:.1f} s and {:.1f} s of wall".format(*seconds[-1]))
    rust, python, _, _ = np.median(seconds, axis=0)
    print(f"Python takes {100 * (python / rust - 1):+.1f} % of Rust's processor time")
