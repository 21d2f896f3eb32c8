"""Checks an export of `cargo xtask export <run> --to <folder>` with NumPy alone: python check_export.py <folder>

For the MLPs with ReLU. Gradients and Hessian products of the target layer are computed again from the weights and the
images, by backpropagation in float64, and held against moments.npz; then the exponent is fitted.
"""
import json
import sys
from pathlib import Path

import numpy as np


def read_safetensors(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    header.pop("__metadata__", None)
    entry = lambda t: np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"]).astype(float)
    return {name: entry(tensor) for name, tensor in header.items()}


folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
weights = read_safetensors(folder / "weights.safetensors")
data, moments = np.load(folder / "data.npz"), np.load(folder / "moments.npz")
spec, target = manifest["spec"], manifest["target_layer"]
names = sorted(weights, key=lambda name: int(name[2 : name.index(".")]))
if any(not name.startswith("fc") for name in names):
    sys.exit("this script knows dense layers only")

# Forward: what each layer takes, and where its ReLU lets through.
a, taken, open_ = data["x"].astype(float), {}, {}
for name in names:
    taken[name] = a
    z = a @ weights[name].T
    open_[name] = z > 0
    a = np.maximum(z, 0)
p = np.exp(z - z.max(1, keepdims=True))
p /= p.sum(1, keepdims=True)
y = np.eye(p.shape[1])[data["y"]]

# Gradient and Hessian of each sample's loss in the logits.
if spec["loss"] == "ce":
    delta = p - y
    curvature = np.einsum("pi,ij->pij", p, np.eye(p.shape[1])) - np.einsum("pi,pj->pij", p, p)
else:  # mean over the outputs of (softmax - y)^2
    n = p.shape[1]
    J = np.einsum("pi,ij->pij", p, np.eye(n)) - np.einsum("pi,pj->pij", p, p)
    r = 2 / n * (p - y)
    delta = np.einsum("pij,pj->pi", J, r)
    # d/df_k of (J r)_i = p_i (r_i - p.r): product rule.
    m = (p * r).sum(1)[:, None]
    dm = np.einsum("pij,pj->pi", J, r) + 2 / n * np.einsum("pij,pj->pi", J, p)
    curvature = (
        np.einsum("pik,pi->pik", J, r - m)
        + 2 / n * np.einsum("pi,pik->pik", p, J)
        - np.einsum("pi,pk->pik", p, dm)
    )

# Back to the target layer: delta, and S_p by the chain rule (ReLU adds no curvature of its own).
S = curvature
for name in reversed(names[names.index(target) + 1 :]):
    below = names[names.index(name) - 1]
    delta = (delta @ weights[name]) * open_[below]
    T = weights[name][None] * open_[below][:, None, :]
    S = np.einsum("poi,pok,pkj->pij", T, S, T, optimize=True)
a = taken[target]
N, d_out, d_in = len(a), delta.shape[1], a.shape[1]

g = np.einsum("po,pi->poi", delta, a).reshape(N, -1)
g -= g.mean(0)
V = moments["eigenvectors"][:, :20]
blocks = V.T.reshape(-1, d_out, d_in)
Va = np.einsum("koi,pi->pko", blocks, a)
SVa = np.einsum("pij,pkj->pki", S, Va)
HV = np.einsum("pki,pj->kij", SVa, a).reshape(len(blocks), -1).T / N
SSVa = np.einsum("pij,pkj->pki", S, SVa) * (a**2).sum(1)[:, None, None]
MV = np.einsum("pki,pj->kij", SSVa, a).reshape(len(blocks), -1).T / N

worst = 0.0
for what, found, exported in [
    ("Sigma", g.T @ g / N, moments["Sigma"]),
    ("C", moments["Sigma"] / spec["batch"], moments["C"]),
    ("H V, 20 leading eigenvectors", HV, moments["H"] @ V),
    ("H V = V diag(eigenvalues)", HV, V * moments["eigenvalues"][:20]),
    ("M2 V", MV, moments["M2"] @ V),
]:
    error = np.linalg.norm(found - exported) / np.linalg.norm(exported)
    worst = max(worst, error)
    print(f"{what:<30} differs by {error:.1e}")

V, values, top = moments["eigenvectors"], moments["eigenvalues"], spec["top"]
C = np.einsum("ik,ij,jk->k", V[:, :top], moments["C"], V[:, :top], optimize=True)
slope = np.polyfit(np.log10(values[:top]), np.log10(C), 1)[0]
print(f"gamma of C on H over the top {top}: {slope:.6f} (summary.json has it where no direction was dropped)")
sys.exit(int(worst > 1e-6))
