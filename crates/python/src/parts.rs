//! The parts by themselves, on arrays.

use crate::arrays::{matrix, to_array1, to_array2, value_error};
use crate::work;
use anyhow::Context;
use faer::{Mat, MatMut, MatRef};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use superlinear_spectra::{
    FnOp, HaarNull, InEigenbasis, LanczosConfig, PairDiagnostics, Wanted, Windows, lanczos_with, sample_haar_null,
};
use superlinear_stats::bounds::{Curvature, Place, Wedge};
use superlinear_stats::{FitConfig, PowerLawFit, loglog};

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
    fit_of(py, &fit, fit.se, [&x, &y])
}

/// A fit of some points, with its standard error.
pub(crate) fn fit_of<'py>(
    py: Python<'py>,
    fit: &PowerLawFit,
    error: f64,
    [x, y]: [&[f64]; 2],
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    found.set_item("slope", fit.slope)?;
    found.set_item("error", error)?;
    found.set_item("hc3", fit.se)?;
    found.set_item("r2", fit.r2)?;
    found.set_item("n", fit.n_used)?;
    found.set_item("dropped", fit.dropped.total())?;
    found.set_item("drawn", (to_array1(py, x), to_array1(py, y), fit.slope, fit.intercept, fit.mean_log10_x, error))?;
    Ok(found)
}

/// How nearly `A` and `B` commute, beside random directions.
#[pyfunction]
pub(crate) fn commutativity<'py>(
    py: Python<'py>,
    A: PyReadonlyArray2<'py, f64>,
    B: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (A, B) = (matrix("A", &A)?, matrix("B", &B)?);
    let (full, null) = work::run(py, threads, progress, |observer| {
        let stage = observer.stage("eigenbasis", 2, "steps/s");
        let eigen = superlinear_spectra::eigh(B.as_ref()).context("B")?;
        stage.advance(1);
        observer.check()?;
        let pair = InEigenbasis::new(A.as_ref(), &eigen).context("A")?;
        stage.advance(1);
        Ok((pair.diagnostics(&Windows::PAPER).full, HaarNull::of_pair(&pair)))
    })?;
    pair_of(py, &full, &null)
}

/// The paper's numbers of a pair, over all directions.
pub(crate) fn pair_of<'py>(py: Python<'py>, full: &PairDiagnostics, null: &HaarNull) -> PyResult<Bound<'py, PyDict>> {
    let random = null.relative_baseline_in(full.window);
    let found = PyDict::new(py);
    found.set_item("error", full.relative_commutator)?;
    found.set_item("random", random)?;
    found.set_item("ratio", full.relative_commutator.zip(random).map(|(error, random)| error / random))?;
    found.set_item("alignment", full.recovery)?;
    found.set_item("alignment_random", null.expected_recovery_in(full.window))?;
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
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let [alpha, mut beta] = [alpha, beta].map(|array| array.as_array().to_vec());
    beta.sort_by(|a, b| b.total_cmp(a));
    let errors = work::run(py, threads, progress, |observer| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let stage = observer.stage("draws", n_draws as u64, "draws/s");
        let mut errors = Vec::with_capacity(n_draws);
        // The generator is read draw by draw, so that steps do not change what is drawn.
        while errors.len() < n_draws {
            let count = rayon::current_num_threads().min(n_draws - errors.len());
            let draws = sample_haar_null(&alpha, &beta, &Windows::PAPER, count, &mut rng)?.draws;
            errors.extend(draws.iter().map(|draw| draw.full.relative_commutator.unwrap_or(f64::NAN)));
            stage.advance(count as u64);
            observer.check()?;
        }
        Ok(errors)
    })?;
    Ok(to_array1(py, &errors).into_any())
}

/// Eigenpairs of a symmetric matrix, checked; eigenvalues descending.
#[pyfunction]
pub(crate) fn eigh<'py>(
    py: Python<'py>,
    name: &str,
    A: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyDict>> {
    let A = matrix(name, &A)?;
    let eigen =
        work::run(py, threads, None, |_| superlinear_spectra::eigh(A.as_ref()).with_context(|| name.to_owned()))?;
    let found = PyDict::new(py);
    found.set_item("values", to_array1(py, &eigen.values))?;
    found.set_item("vectors", to_array2(py, eigen.vectors.as_ref()))?;
    found.set_item("residual", eigen.residual)?;
    found.set_item("noise_floor", eigen.noise_floor)?;
    Ok(found)
}

/// The `k` largest eigenpairs of a symmetric operator of order `n` given by its action on an `n × w` block.
#[pyfunction]
#[pyo3(signature = (matmat, n, k, tol, seed, max_products, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn lanczos<'py>(
    py: Python<'py>,
    matmat: Py<PyAny>,
    n: usize,
    k: usize,
    tol: f64,
    seed: u64,
    max_products: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let raised: Mutex<Option<PyErr>> = Mutex::new(None);
    let config = LanczosConfig { tolerance: tol, max_products, ..LanczosConfig::default() };
    let found = work::run(py, threads, progress, |observer| {
        let stage = observer.stage("pairs", k as u64, "pairs/s");
        let operator = FnOp::new(n, |mut out: MatMut<'_, f64>, rhs: MatRef<'_, f64>| {
            let product = if observer.stopped() { None } else { Some(Python::attach(|py| call(py, &matmat, rhs))) };
            match product {
                Some(Ok(product)) => return out.copy_from(&product),
                Some(Err(error)) => {
                    raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
                None => {}
            }
            // Products that are no numbers end the iteration at once; the reason is told then.
            out.fill(f64::NAN);
        });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let found = lanczos_with(&operator, None, Wanted::Largest(k), &config, &mut rng, |now| {
            stage.reached(now.converged as u64);
            stage.at(&format!("{} products, residual {:.0e} of {tol:.0e}", now.products, now.residual));
            if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        observer.check()?;
        found.context("operator")
    });
    if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
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

/// A product by Python.
fn call(py: Python<'_>, matmat: &Py<PyAny>, rhs: MatRef<'_, f64>) -> PyResult<Mat<f64>> {
    let product = matmat.call1(py, (to_array2(py, rhs),))?;
    let product: PyReadonlyArray2<'_, f64> = product.bind(py).extract()?;
    let view = product.as_array();
    if view.dim() != rhs.shape() {
        let expected = rhs.shape();
        return Err(value_error(format!("operator: a product has shape {:?}, expected {expected:?}", view.dim())));
    }
    Ok(Mat::from_fn(rhs.nrows(), rhs.ncols(), |i, j| view[(i, j)]))
}

/// Every direction held against `h² ≤ m₂ ≤ κ_max · h`.
#[pyfunction]
#[pyo3(signature = (h, m2, kappa_max, indefinite, abs_h, noise_floor, tolerance))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn bounds<'py>(
    py: Python<'py>,
    h: PyReadonlyArray1<'py, f64>,
    m2: PyReadonlyArray1<'py, f64>,
    kappa_max: f64,
    indefinite: bool,
    abs_h: Option<PyReadonlyArray1<'py, f64>>,
    noise_floor: f64,
    tolerance: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let [h, m2] = [h, m2].map(|array| array.as_array().to_vec());
    let abs_h = abs_h.map(|array| array.as_array().to_vec());
    let wedge = Wedge::new(kappa_max)
        .and_then(|wedge| wedge.with_noise_floor(noise_floor))
        .and_then(|wedge| wedge.with_tolerance(tolerance))
        .map_err(value_error)?;
    let curvature = match indefinite {
        true => Curvature::Indefinite { abs_diag: abs_h.as_deref() },
        false => Curvature::PositiveSemidefinite,
    };
    let report = wedge.report(&h, &m2, curvature).map_err(value_error)?;
    let exponents = wedge.exponents(abs_h.as_deref().unwrap_or(&h), &m2).map_err(value_error)?;
    let mut gamma = vec![f64::NAN; h.len()];
    for (&i, &exponent) in exponents.directions.iter().zip(&exponents.values) {
        gamma[i] = exponent;
    }
    let place = |place: &Place| match place {
        Place::Inside => "inside",
        Place::Below => "below",
        Place::Above => "above",
        Place::Flagged => "flagged",
    };
    let found = PyDict::new(py);
    found.set_item("places", report.places.iter().map(place).collect::<Vec<_>>())?;
    found.set_item("n_inside", report.n_inside)?;
    found.set_item("n_below", report.n_below)?;
    found.set_item("n_above", report.n_above)?;
    found.set_item("n_flagged", report.n_flagged)?;
    found.set_item("lower_slack", report.min_lower_slack)?;
    found.set_item("upper_slack", report.min_upper_slack)?;
    found.set_item("gamma", to_array1(py, &gamma))?;
    Ok(found)
}
