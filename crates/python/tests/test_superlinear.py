"""The package against NumPy, and against what PyTorch says of a network."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import superlinear as sl

GRAPHS = Path(__file__).parents[3] / "tests" / "fixtures" / "graphs"


def tensors(name):
    """The tensors of a safetensors file."""
    import json

    data = (GRAPHS / f"{name}.safetensors").read_bytes()
    n = int.from_bytes(data[:8], "little")
    types = {"F64": "<f8", "F32": "<f4", "I64": "<i8"}
    found = {}
    for key, of in json.loads(data[8 : 8 + n]).items():
        if key != "__metadata__":
            start, end = of["data_offsets"]
            found[key] = np.frombuffer(data[8 + n + start : 8 + n + end], types[of["dtype"]]).reshape(of["shape"])
    return found


def resnet():
    given = tensors("resnet-small")
    return GRAPHS / "resnet-small.onnx", given["x"], given["y"], given


def close(found, truth, tolerance):
    assert np.max(np.abs(np.asarray(found) - truth)) <= tolerance * np.max(np.abs(truth))


def test_a_network_has_the_matrices_of_pytorch():
    model, x, y, given = resnet()
    result = sl.analyse(
        model, x, y, loss="ce", batch=5, params=["fc1.weight", "stem.weight"], top=20, logits=given["logits"]
    )
    assert list(result) == ["fc1.weight", "stem.weight"] and result.n_samples == 48
    assert abs(result.loss - given["loss"]) < 1e-12
    for name in result:
        layer = result[name]
        R = given[f"truth/{name}/R"]
        for matrix, truth in ((layer.H, "HR"), (layer.M2, "M2R"), (5 * layer.C, "SR"), (layer.Sigma, "SR")):
            close(matrix @ R, given[f"truth/{name}/{truth}"], 1e-11)
        values, vectors = np.linalg.eigh(layer.H)
        close(layer.eigenvalues, values[::-1][:20], 1e-12)
        along = np.einsum("ij,ik,kj->j", vectors, layer.C, vectors)[::-1][:20]
        close(layer.C_ii, along, 1e-11)
        slope = np.polyfit(np.log10(layer.H_ii), np.log10(layer.C_ii), 1)[0]
        assert abs(layer.gamma.slope - slope) < 1e-9
        commutator = np.linalg.norm(layer.C @ layer.H - layer.H @ layer.C) / np.linalg.norm(layer.C @ layer.H)
        assert abs(layer.commutator.error - commutator) < 1e-9
        low, high = layer.gamma.interval
        assert low < slope < high
    assert "<table>" in result._html and result._repr_html_().startswith("<iframe")
    assert "fc1.weight" in repr(result)


def test_lanczos_vectors_and_bytes_give_the_same():
    model, x, y, _ = resnet()
    dense = sl.analyse(model, x, y, loss="ce", batch=5, params=["fc1.weight"], top=8)["fc1.weight"]
    iterated = sl.analyse(model.read_bytes(), x, y, loss="ce", batch=5, params=["fc1.weight"], top=8, memory=0)[
        "fc1.weight"
    ]
    assert (dense.how, iterated.how, iterated.H) == ("dense", "lanczos", None)
    assert abs(dense.gamma.slope - iterated.gamma.slope) < 1e-6


def test_parts_of_the_samples_add_to_the_whole():
    model, x, y, _ = resnet()
    moments = lambda part: sl.partial_moments(model, x[part], y[part], loss="ce", param="fc1.weight")
    parts = [pickle.loads(pickle.dumps(moments(slice(first, first + 17)))) for first in range(0, 48, 17)]
    whole, added = moments(slice(None)), sum(parts)
    assert added.n == 48
    for name in ("mean", "H", "M2", "Sigma"):
        close(getattr(added, name), getattr(whole, name), 1e-12)
    one = sl.analyse(model, x, y, loss="ce", batch=5, params=["fc1.weight"], top=20)["fc1.weight"]
    finished = added.finish(batch=5, top=20)
    assert abs(finished.gamma.slope - one.gamma.slope) < 1e-9
    assert abs(finished.commutator.ratio - one.commutator.ratio) < 1e-9


def test_moments_of_factors_are_those_of_dense_hessians():
    rng = np.random.default_rng(0)
    N, T, d_in, d_out = 6, 3, 4, 2
    a, delta = rng.normal(size=(N, T, d_in)), rng.normal(size=(N, T, d_out))
    S = rng.normal(size=(N, T * d_out, T * d_out))
    S = S + S.transpose(0, 2, 1)
    g = np.einsum("pto,pti->poi", delta, a).reshape(N, -1)
    h = np.einsum("ptouq,pti,puj->poiqj", S.reshape(N, T, d_out, T, d_out), a, a).reshape(N, d_in * d_out, -1)
    found = sl.moments(a=a, delta=delta, S=S)
    close(found.H, h.mean(0), 1e-13)
    close(found.M2, (h @ h).mean(0), 1e-13)
    close(found.Sigma, np.cov(g.T, bias=True), 1e-13)
    one = sl.moments(a=a[:, 0], delta=delta[:, 0], S=S[:, :d_out, :d_out])
    close(one.H, np.einsum("poq,pi,pj->poiqj", S[:, :d_out, :d_out], a[:, 0], a[:, 0]).reshape(N, 8, 8).mean(0), 1e-13)


def test_parts_by_themselves():
    rng = np.random.default_rng(1)
    h = np.sort(rng.uniform(0.1, 10, 60))[::-1]
    c = 3 * h**1.4 * np.exp(0.01 * rng.normal(size=60))
    found = sl.power_law(h, c, top=50)
    assert found.n == 50 and abs(found.slope - np.polyfit(np.log(h[:50]), np.log(c[:50]), 1)[0]) < 1e-12
    A, B = np.cov(rng.normal(size=(20, 20))), np.diag(np.arange(20.0, 0, -1))
    error = np.linalg.norm(A @ B - B @ A) / np.linalg.norm(A @ B)
    pair = sl.commutativity(A, B)
    assert abs(pair.error - error) < 1e-12
    draws = sl.haar_null(A, B, n_draws=50, seed=3)
    assert draws.shape == (50,) and abs(draws.mean() / pair.random - 1) < 0.05
    values, vectors = sl.eigh(A)
    close(A @ vectors, vectors * values, 1e-12)
    top, ritz = sl.lanczos(lambda v: A @ v, 3, n=20)
    close(top, values[:3], 1e-8)
    assert ritz.shape == (20, 3)
    scipy = pytest.importorskip("scipy.sparse.linalg")
    close(sl.lanczos(scipy.aslinearoperator(A), 3)[0], values[:3], 1e-8)
    close(sl.lanczos(A, 3)[0], values[:3], 1e-8)


def test_what_does_not_fit_names_the_argument():
    model, x, y, _ = resnet()
    of = lambda **changed: sl.analyse(
        **{"model": model, "x": x, "y": y, "loss": "ce", "batch": 5, "params": ["fc1.weight"], "top": 5} | changed
    )
    for changed, error, words in [
        ({"loss": "hinge"}, ValueError, 'loss="hinge"'),
        ({"batch": 0}, ValueError, "batch=0"),
        ({"batch": 49}, ValueError, "there are 48 samples"),
        ({"params": ["fc9"]}, ValueError, "fc9: no such parameter"),
        ({"top": 49}, ValueError, "fc1.weight has 48 parameters"),
        ({"x": x[:, :2]}, ValueError, "[2, 8, 8]"),
        ({"x": np.where(x == x.flat[7], np.nan, x)}, ValueError, "is NaN"),
        ({"x": x.astype(complex)}, TypeError, "x: found complex"),
        ({"y": y + 2}, ValueError, "a class below 4"),
        ({"model": b"nothing"}, ValueError, ""),
        ({"model": 3}, TypeError, "model: found int"),
        ({"logits": np.zeros((48, 4)) + np.arange(4)}, ValueError, "does not give your logits"),
    ]:
        with pytest.raises(error) as raised:
            of(**changed)
        assert words in str(raised.value), raised.value
    with pytest.raises(ValueError, match="S has shape"):
        sl.moments(a=np.ones((2, 3)), delta=np.ones((2, 2)), S=np.ones((2, 3, 3)))
    with pytest.raises(ZeroDivisionError):
        sl.lanczos(lambda v: 1 / 0, 2, n=5)
    with pytest.raises(ValueError, match="k=6"):
        sl.lanczos(np.eye(5), 6)


def test_progress_is_heard_and_may_stop():
    model, x, y, _ = resnet()
    heard = []
    one = {"loss": "ce", "batch": 5, "params": ["fc1.weight"], "top": 20}
    sl.analyse(model, x, y, **one, progress=lambda *told: heard.append(told))
    assert any(stage == "matrices" for stage, *_ in heard)

    def stop(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sl.analyse(model, x, y, **one, progress=stop)


def test_the_same_bits_on_any_number_of_threads():
    model, x, y, _ = resnet()
    asked = {"loss": "ce", "batch": 5, "params": ["stem.weight"]}
    one, two = (sl.analyse(model, x, y, **asked, threads=n)["stem.weight"] for n in (1, 2))
    assert np.array_equal(one.H, two.H) and np.array_equal(one.C_ii, two.C_ii) and one.gamma == two.gamma


def test_modules_and_factors_of_pytorch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(12, 5), nn.GELU(), nn.Linear(5, 3)
    )
    x, y = torch.randn(10, 1, 4, 4), torch.randint(0, 3, (10,))
    with pytest.raises(ValueError, match="training mode"):
        sl.analyse(net, x, y, loss="ce", batch=2)
    net.eval()
    result = sl.analyse(net, x, y, loss="ce", batch=2, top=5)
    assert list(result) == ["0.weight", "3.weight", "5.weight"]
    for layer in ("0", "3"):
        exact = sl.moments(sl.factors(net, layer, x, y, nn.functional.cross_entropy))
        close(result[f"{layer}.weight"].H, exact.H, 1e-12)
        close(result[f"{layer}.weight"].M2, exact.M2, 1e-12)
        close(result[f"{layer}.weight"].Sigma, exact.Sigma, 1e-12)
    assert next(net.parameters()).dtype == torch.float32
    for layer, words in [("1", "found Tanh"), ("9", "no such module")]:
        with pytest.raises(ValueError, match=words):
            sl.factors(net, layer, x, y, nn.functional.cross_entropy)


def test_dask_spreads_the_samples():
    distributed = pytest.importorskip("distributed")
    model, x, y, _ = resnet()
    with distributed.Client(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as client:
        parts = client.map(_part, [(str(model), x[p], y[p]) for p in (slice(0, 20), slice(20, 48))])
        added = sum(client.gather(parts))
    close(added.H, sl.partial_moments(model, x, y, loss="ce", param="fc1.weight").H, 1e-12)


def _part(given):
    model, x, y = given
    return sl.partial_moments(model, x, y, loss="ce", param="fc1.weight")
