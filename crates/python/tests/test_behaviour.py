"""What calls do beside their numbers: progress, interruption, errors, pickles, shows."""

import _thread
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import superlinear as sl
from superlinear import _superlinear
from test_superlinear import resnet

ONE = {"loss": "ce", "batch": 5, "params": ["fc1.weight"], "top": 20}


def symmetric(n, seed=0):
    return np.cov(np.random.default_rng(seed).normal(size=(n, 2 * n)))


def interrupted(call, after=0.3):
    """Seconds from an interrupt to the end of a call."""
    # What starts in the background of a shell ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = []
    timer = threading.Timer(after, lambda: (told.append(time.monotonic()), _thread.interrupt_main()))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    return time.monotonic() - told[0]


def test_ctrl_c_ends_long_calls():
    A = symmetric(200)
    assert interrupted(lambda: sl.haar_null(A, A, n_draws=10**7)) < 3

    def slow(v):
        time.sleep(0.02)
        return np.arange(2_000) * v

    assert interrupted(lambda: sl.lanczos(slow, 5, n=2_000, tol=1e-14)) < 3


def test_other_threads_run_meanwhile():
    A = symmetric(250)
    counted, stop = [0], threading.Event()

    def count():
        while not stop.wait(0.001):
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    while time.monotonic() - start < 0.5:
        sl.haar_null(A, A, n_draws=20)
    stop.set()
    thread.join()
    assert counted[0] > 20


def test_tqdm_and_what_is_like_it():
    class Bar:
        made = []

        def __init__(self, total=None, desc=None):
            self.n, self.total, self.desc, self.closed = 0, total, desc, False
            Bar.made.append(self)

        def update(self, n):
            self.n += n

        def reset(self, total=None):
            self.n, self.total = 0, total

        def set_description(self, desc):
            self.desc = desc

        def set_postfix_str(self, words):
            self.words = words

        def close(self):
            self.closed = True

    model, x, y, _ = resnet()
    sl.analyse(model, x, y, **ONE, progress=Bar)
    assert {bar.desc for bar in Bar.made} >= {"matrices", "diagonals"}
    assert all(bar.n == bar.total and bar.closed for bar in Bar.made)
    one = Bar()
    sl.haar_null(np.eye(5) * np.arange(1, 6), np.diag(np.arange(5.0)), n_draws=40, progress=one)
    assert (one.n, one.total, one.desc, one.closed) == (40, 40, "draws", False)
    tqdm = pytest.importorskip("tqdm")
    sl.analyse(model, x, y, **ONE, progress=tqdm.tqdm)
    with tqdm.tqdm() as bar:
        sl.analyse(model, x, y, **ONE, progress=bar)
    with pytest.raises(TypeError, match="progress: found int"):
        sl.analyse(model, x, y, **ONE, progress=3)


def test_one_error_that_names_the_argument():
    model, x, y, _ = resnet()
    good = symmetric(6)
    nan = good.copy()
    nan[2, 1] = np.nan
    skew = good + np.triu(np.ones((6, 6)), 1)
    a, delta, S = np.ones((3, 2)), np.ones((3, 2)), np.ones((3, 2, 2))
    whole = sl.partial_moments(model, x, y, loss="ce", param="fc1.weight")
    cases = [
        (lambda: sl.analyse(model, x, y, **ONE | {"batch": -1}), ValueError, "batch=-1"),
        (lambda: sl.analyse(model, x, y, **ONE | {"batch": 2.5}), TypeError, "batch: found 2.5"),
        (lambda: sl.analyse(model, x, y, **ONE, threads=0), ValueError, "threads=0"),
        (lambda: sl.analyse(model, x, y, **ONE, tol=2), ValueError, "tol=2"),
        (lambda: sl.analyse(model, x, y, **ONE, memory=float("nan")), ValueError, "memory=nan"),
        (lambda: sl.analyse(model, x, y, **ONE | {"params": "fc1.weight"}), TypeError, "params: found the string"),
        (lambda: sl.analyse(model, x, y, **ONE | {"params": []}), ValueError, "params is empty"),
        (lambda: sl.analyse(model, [[1, 2], [3]], y, **ONE), TypeError, "x: found list"),
        (lambda: sl.analyse(model, x, ["a"] * 48, **ONE), TypeError, "y: found <U1"),
        (lambda: sl.analyse("no/such.onnx", x, y, **ONE), FileNotFoundError, "model: No such file"),
        (lambda: sl.power_law([1, 2, 3], [1, 2]), ValueError, "c has 2 entries, expected 3"),
        (lambda: sl.power_law([1, np.nan, 3], [1, 2, 3]), ValueError, "h[1] is nan"),
        (lambda: sl.power_law([[1, 2]], [1, 2]), ValueError, "h has shape (1, 2), expected 1 axis"),
        (lambda: sl.power_law([1, 2, 3], [1, 2, 3], top=0), ValueError, "top=0"),
        (lambda: sl.bounds([1.0], [1.0], kappa_max=0), ValueError, "kappa_max is 0"),
        (lambda: sl.bounds([1.0], [1.0], kappa_max=1, abs_h=[1.0]), ValueError, "abs_h"),
        (lambda: sl.bounds([1.0], [1.0], kappa_max=1, curvature="flat"), ValueError, "curvature='flat'"),
        (lambda: sl.commutativity(nan, good), ValueError, "A[2, 1] is nan"),
        (lambda: sl.commutativity(good, skew), ValueError, "B: not symmetric"),
        (lambda: sl.commutativity(skew, good), ValueError, "A: "),
        (lambda: sl.commutativity(np.eye(5), good), ValueError, "A has shape (5, 5), expected (6, 6)"),
        (lambda: sl.haar_null(good, good, n_draws=0), ValueError, "n_draws=0"),
        (lambda: sl.eigh(np.ones((2, 3))), ValueError, "A has shape (2, 3), expected [P, P]"),
        (lambda: sl.lanczos(3, 1), TypeError, "operator: found int"),
        (lambda: sl.lanczos(lambda v: v, 1), ValueError, "needs n"),
        (lambda: sl.lanczos(lambda v: v[1:], 1, n=5), ValueError, "operator gives shape (4,)"),
        (lambda: sl.lanczos(lambda v: v * 1j, 1, n=5), TypeError, "product of operator: found complex128"),
        (lambda: sl.lanczos(lambda v: v * np.nan, 1, n=5), ValueError, "product of operator[0, 0] is nan"),
        (lambda: sl.lanczos(np.ones((2, 3)), 1), ValueError, "operator has shape (2, 3)"),
        (lambda: sl.moments(a=a, delta=delta), ValueError, "S is missing"),
        (lambda: sl.moments(a=a, delta=delta[:2], S=S), ValueError, "delta has shape"),
        (lambda: sl.moments(a=a * np.inf, delta=delta, S=S), ValueError, "a of sample 0 has an entry inf"),
        (lambda: sl.moments(a=a, delta=delta, S=S + np.triu(S, 1)), ValueError, "S of sample 0 is not symmetric"),
        (lambda: sl.moments(a[0]), TypeError, "factors: found ndarray"),
        (lambda: whole.finish(batch=49), ValueError, "batch=49: expected 1 to 48"),
        (lambda: whole + sl.moments(a=a, delta=delta, S=S), ValueError, "do not add"),
        (lambda: sl.to_onnx(b"", x), TypeError, "model: found bytes"),
    ]
    for number, (call, error, words) in enumerate(cases):
        with pytest.raises(error) as raised:
            call()
        assert words in str(raised.value), (number, raised.value)


def test_arrays_of_any_layout_and_exact_type_give_the_same_bits():
    model, x, y, _ = resnet()
    one = sl.analyse(model, x, y, **ONE)["fc1.weight"]
    strided = np.repeat(x, 2, axis=-1)[..., ::2]
    for other_x, other_y in [
        (np.asfortranarray(x), y.astype(np.int16)),
        (strided, y[::-1].copy()[::-1]),
        (x.astype(x.dtype.newbyteorder(">")), y.tolist()),
    ]:
        assert np.array_equal(sl.analyse(model, other_x, other_y, **ONE)["fc1.weight"].H, one.H)


def test_a_panic_is_an_exception(capfd):
    with pytest.raises(RuntimeError, match="a panic in superlinear, please report it: a tolerance is not negative"):
        _superlinear.lanczos(lambda X: X, 5, 1, -1.0, 0, 100, 1, None)


def test_moments_pickle_as_triangles():
    model, x, y, _ = resnet()
    whole = sl.partial_moments(model, x, y, loss="ce", param="fc1.weight")
    P = whole.mean.size
    data = pickle.dumps(whole)
    assert len(data) < 8 * (1.5 * P * (P + 1) + P) + 1_000
    back = pickle.loads(data)
    assert back.n == whole.n
    for name in ("mean", "H", "M2", "Sigma"):
        assert np.array_equal(getattr(back, name), getattr(whole, name)), name


def test_bounds_hold_for_semidefinite_samples():
    rng = np.random.default_rng(5)
    U = rng.normal(size=(30, 8, 2))
    h = np.einsum("pik,pjk->pij", U, U)
    H, M2, kappa = h.mean(0), (h @ h).mean(0), np.linalg.eigvalsh(h).max()
    values, V = sl.eigh(H)
    m2 = np.einsum("ik,ij,jk->k", V, M2, V)
    found = sl.bounds(values, m2, kappa_max=kappa)
    assert found.n_inside == 8 and set(found.places) == {"inside"}
    assert np.allclose(found.gamma, np.log(m2 / kappa**2) / np.log(values / kappa), rtol=1e-12)
    assert found.lower_slack == pytest.approx(np.log10(m2 / values**2).min())
    assert found.upper_slack == pytest.approx(np.log10(kappa * values / m2).min())
    assert sl.bounds(values, 0.1 * values**2, kappa_max=kappa).n_below == 8
    indefinite = sl.bounds([-0.5, 0.1], [0.3, 1.0], kappa_max=1, curvature="indefinite", abs_h=[0.9, 1.0])
    assert indefinite.places == ["inside", "inside"] and indefinite.gamma[0] > 0 and np.isnan(indefinite.gamma[1])


def test_results_show_themselves():
    model, x, y, _ = resnet()
    result = sl.analyse(model, x, y, **ONE)
    shown = [result["fc1.weight"], sl.partial_moments(model, x, y, loss="ce", param="fc1.weight").finish(batch=5)]
    for found in shown:
        html = found._repr_html_()
        assert "<table" in html and "data:image/svg+xml;base64," in html and "PowerLaw(slope=" in html
        assert found.svg().startswith("<svg")
    assert "svg+xml" in result._repr_html_() and "&lt;table&gt;" in result._repr_html_()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork():
    A = symmetric(60)
    values = sl.eigh(A)[0]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map(_values, [A, A]):
            assert np.array_equal(found, values)


def _values(A):
    return sl.eigh(A)[0]


def test_a_worker_that_dies_is_named():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            cluster.scheduler.allowed_failures = 0
            with pytest.raises(distributed.KilledWorker, match="part-7"):
                client.submit(os._exit, 1, key="part-7").result()


def test_modules_that_cannot_be_used_are_named():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    x, y = torch.randn(6, 4), torch.randint(0, 3, (6,))
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)).eval()
    asked = {"loss": "ce", "batch": 2, "params": ["0.weight"], "top": 3}
    one = sl.analyse(net, x, y, **asked)["0.weight"]
    from_bytes = sl.analyse(sl.to_onnx(net, x), x, y, **asked)["0.weight"]
    assert np.array_equal(one.H, from_bytes.H)
    half = sl.analyse(net, x.to(torch.bfloat16), y, **asked)["0.weight"]
    assert half.H.shape == one.H.shape
    net.lock = threading.Lock()
    with pytest.raises(ValueError, match="model cannot be copied"):
        sl.factors(net, "0", x, y, nn.functional.cross_entropy)
    assert np.array_equal(sl.analyse(net, x, y, **asked)["0.weight"].H, one.H)
    del net.lock
    for call, error, words in [
        (lambda: sl.analyse(net, x[:, :3], y, **asked), ValueError, "model does not run on x, [6, 3]"),
        (lambda: sl.analyse(net, x.to("meta"), y, **asked), TypeError, "x: found a tensor of torch.float32"),
        (lambda: sl.analyse(net, x.to_sparse(), y, **asked), TypeError, "x: found a tensor of"),
        (
            lambda: sl.analyse(nn.Linear(4, 3, device="meta").eval(), x, y, loss="ce", batch=2),
            ValueError,
            "device meta",
        ),
        (lambda: sl.analyse(net, x.to(torch.complex64), y, **asked), TypeError, "x: found complex64"),
        (lambda: sl.factors(net, "0", x, y[:3], nn.functional.cross_entropy), ValueError, "x has shape (6, 4), y (3,)"),
    ]:
        with pytest.raises(error) as raised:
            call()
        assert words in str(raised.value), raised.value


def test_jax_gives_factors():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(2)
    W, V, a, y = rng.normal(size=(4, 3)), rng.normal(size=(5, 4)), rng.normal(size=(9, 3)), np.arange(9) % 5

    def loss(z, y):
        return -jax.nn.log_softmax(V @ jax.numpy.tanh(z))[y]

    z = a @ W.T
    S, delta = jax.vmap(jax.hessian(loss))(z, y), jax.vmap(jax.grad(loss))(z, y)
    found = sl.moments(a=a, S=S, delta=delta)
    whole = jax.hessian(lambda w: jax.vmap(loss)(a @ w.reshape(4, 3).T, y).mean())(W.reshape(-1))
    assert np.max(np.abs(found.H - whole)) < 1e-13 * np.max(np.abs(whole))


def test_types_are_strict(tmp_path):
    pytest.importorskip("mypy")
    source = tmp_path / "use.py"
    source.write_text(
        "import numpy as np\nimport superlinear as sl\n\n\n"
        "def use(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:\n"
        '    result = sl.analyse("net.onnx", x, x, loss="ce", batch=5)\n'
        '    layer = result["fc1.weight"]\n'
        "    moments: sl.Moments = sl.moments(a=x, S=x, delta=x) + sl.moments(a=x, S=x, delta=x)\n"
        "    gamma = moments.finish(batch=5).gamma\n"
        "    values, _ = sl.lanczos(lambda v: v, 3, n=9)\n"
        "    places = sl.bounds(x, x, kappa_max=1.0).places\n"
        "    assert layer.gamma and gamma\n"
        '    inside = places[0] == "inside"\n'
        "    return layer.gamma.slope + gamma.slope + float(values[0]) + inside\n"
    )
    package = Path(sl.__file__).parent.parent
    # An editable package is not found otherwise, and one that is installed must not be named.
    env = dict(os.environ) if package.name == "site-packages" else os.environ | {"MYPYPATH": str(package)}
    run = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(source)]
    found = subprocess.run(run, env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
