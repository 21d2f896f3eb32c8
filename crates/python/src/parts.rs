//! The parts by themselves, on arrays.

use crate::analysis::positive;
use crate::arrays::{matrix, to_array1, to_array2, value_error};
use crate::work;
use faer::{Mat, MatMut, MatRef};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::sync::{Mutex, PoisonError};
use superlinear_spectra::{FnOp, HaarNull, InEigenbasis, LanczosConfig, Wanted, Windows, sample_haar_null};
use superlinear_stats::{FitConfig, loglog};

/// `log10 y` on `log10 x`.
#[pyfunction]
pub(crate) fn power_law<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    top: Option<usize>,
    noise_floor: Option<f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let [x, y] = [x, y].map(|array| array.as_array().to_vec());
    let config = FitConfig { noise_floor, ..FitConfig::top(top.unwrap_or(x.len())) };
    let fit = loglog::fit_with(&x, &y, &config).map_err(value_error)?;
    let found = PyDict::new(py);
    found.set_item("slope", fit.slope)?;
    found.set_item("error", fit.se)?;
    found.set_item("hc3", fit.se)?;
    found.set_item("intercept", fit.intercept)?;
    found.set_item("r2", fit.r2)?;
    found.set_item("n", fit.n_used)?;
    found.set_item("dropped", fit.dropped.total())?;
    Ok(found)
}

/// How nearly `A` and `B` commute, beside random directions.
#[pyfunction]
pub(crate) fn commutativity<'py>(
    py: Python<'py>,
    A: PyReadonlyArray2<'py, f64>,
    B: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let (A, B) = (matrix("A", &A)?, matrix("B", &B)?);
    let (full, null, window, values) = work::run(py, threads, None, |_| {
        let eigen = superlinear_spectra::eigh(B.as_ref())?;
        let pair = InEigenbasis::new(A.as_ref(), &eigen)?;
        let full = pair.diagnostics(&Windows::PAPER).full;
        let window = full.window;
        Ok((full, HaarNull::of_pair(&pair), window, eigen.values))
    })?;
    let found = PyDict::new(py);
    let random = null.relative_baseline_in(window);
    found.set_item("error", full.relative_commutator)?;
    found.set_item("random", random)?;
    found.set_item("ratio", full.relative_commutator.zip(random).map(|(error, random)| error / random))?;
    found.set_item("alignment", full.recovery)?;
    found.set_item("alignment_random", null.expected_recovery_in(window))?;
    found.set_item("coupling_mean", full.coupling_mean)?;
    found.set_item("eigenvalues_B", to_array1(py, &values))?;
    Ok(found)
}

/// The paper's commutator error for random directions, drawn: eigenvalues of `A` and of `B` in, a value a draw out.
#[pyfunction]
pub(crate) fn haar_null<'py>(
    py: Python<'py>,
    alpha: PyReadonlyArray1<'py, f64>,
    beta: PyReadonlyArray1<'py, f64>,
    n_draws: usize,
    seed: u64,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let [alpha, mut beta] = [alpha, beta].map(|array| array.as_array().to_vec());
    beta.sort_by(|a, b| b.total_cmp(a));
    let draws = work::run(py, threads, None, |_| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(sample_haar_null(&alpha, &beta, &Windows::PAPER, n_draws, &mut rng)?)
    })?;
    let errors: Vec<f64> = draws.draws.iter().map(|draw| draw.full.relative_commutator.unwrap_or(f64::NAN)).collect();
    Ok(to_array1(py, &errors).into_any())
}

/// Eigenpairs of a symmetric matrix, checked; eigenvalues descending.
#[pyfunction]
pub(crate) fn eigh<'py>(
    py: Python<'py>,
    A: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let A = matrix("A", &A)?;
    let eigen = work::run(py, threads, None, |_| Ok(superlinear_spectra::eigh(A.as_ref())?))?;
    let found = PyDict::new(py);
    found.set_item("values", to_array1(py, &eigen.values))?;
    found.set_item("vectors", to_array2(py, eigen.vectors.as_ref()))?;
    found.set_item("residual", eigen.residual)?;
    found.set_item("noise_floor", eigen.noise_floor)?;
    Ok(found)
}

/// The `k` largest eigenpairs of a symmetric operator of order `n` given by its action on an `n × w` block.
#[pyfunction]
pub(crate) fn lanczos<'py>(
    py: Python<'py>,
    matmat: Py<PyAny>,
    n: usize,
    k: usize,
    tol: f64,
    seed: u64,
    max_products: usize,
) -> PyResult<Bound<'py, PyDict>> {
    positive("k", k)?;
    if k > n {
        return Err(value_error(format!("k={k}: the operator has order {n}")));
    }
    let raised: Mutex<Option<PyErr>> = Mutex::new(None);
    let operator = FnOp::new(n, |mut out: MatMut<'_, f64>, rhs: MatRef<'_, f64>| {
        let product = Python::attach(|py| -> PyResult<Mat<f64>> {
            let product = matmat.call1(py, (to_array2(py, rhs),))?;
            let product: PyReadonlyArray2<'_, f64> = product.bind(py).extract()?;
            if product.shape() != [n, rhs.ncols()] {
                let shape = product.shape().to_vec();
                return Err(value_error(format!("a product is {shape:?}, expected [{n}, {}]", rhs.ncols())));
            }
            let view = product.as_array();
            Ok(Mat::from_fn(n, rhs.ncols(), |i, j| view[(i, j)]))
        });
        match product {
            Ok(product) => out.copy_from(&product),
            Err(error) => {
                // Products that are no numbers end the iteration at once; the reason is told then.
                raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                out.fill(f64::NAN);
            }
        }
    });
    let config = LanczosConfig { tolerance: tol, max_products, ..LanczosConfig::default() };
    let found = work::run(py, Some(1), None, |_| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(superlinear_spectra::lanczos(&operator, Wanted::Largest(k), &config, &mut rng)?)
    });
    if let Some(error) = raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let found = found?;
    let result = PyDict::new(py);
    result.set_item("values", to_array1(py, &found.values()))?;
    result.set_item("vectors", to_array2(py, found.vectors()))?;
    let residuals: Vec<f64> = found.pairs.iter().map(|pair| pair.residual).collect();
    result.set_item("residuals", to_array1(py, &residuals))?;
    result.set_item("converged", found.pairs.iter().map(|pair| pair.converged).collect::<Vec<_>>())?;
    result.set_item("products", found.state.products)?;
    Ok(result)
}
