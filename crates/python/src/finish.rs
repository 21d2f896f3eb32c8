//! What moments say: the eigenvectors of `H`, diagonals, exponents and commutators along them; and their figure.

use crate::arrays::{matrix, to_array1, to_array2, value_error};
use crate::parts::{fit_of, pair_of};
use crate::work;
use anyhow::Context;
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use superlinear_noise::{Sampling, batch_factor};
use superlinear_report::model_analysis::{Fitted, power_law_svg};
use superlinear_spectra::{HaarNull, InEigenbasis, Windows, diagonal_in_basis, eigh};
use superlinear_stats::{Dropped, FitConfig, PowerLawFit, loglog};

/// Of `H`, `M₂` and `Σ` of `n` samples.
#[pyfunction]
#[pyo3(signature = (n, H, M2, Sigma, batch, top, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn finish<'py>(
    py: Python<'py>,
    n: usize,
    H: PyReadonlyArray2<'py, f64>,
    M2: PyReadonlyArray2<'py, f64>,
    Sigma: PyReadonlyArray2<'py, f64>,
    batch: usize,
    top: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (H, M2, mut C) = (matrix("H", &H)?, matrix("M2", &M2)?, matrix("Sigma", &Sigma)?);
    let factor = batch_factor(batch, n, Sampling::WithReplacement).map_err(value_error)?;
    C *= faer::Scale(factor);
    let (eigen, V, [h, c, m2], commutator) = work::run(py, threads, progress, |observer| {
        let stage = observer.stage("eigenvectors", 3, "steps/s");
        let eigen = eigh(H.as_ref()).context("H")?;
        stage.advance(1);
        observer.check()?;
        let K = eigen.values.iter().filter(|&&value| value > eigen.noise_floor).count().min(top);
        let V = eigen.vectors.as_ref().subcols(0, K).to_owned();
        let along = [eigen.values[..K].to_vec(), diagonal_in_basis(C.as_ref(), V.as_ref())];
        let [h, c] = along;
        let m2 = diagonal_in_basis(M2.as_ref(), V.as_ref());
        stage.advance(1);
        observer.check()?;
        let commutator = if C.norm_max() > 0.0 {
            let pair = InEigenbasis::new(C.as_ref(), &eigen).context("Sigma")?;
            Some((pair.diagnostics(&Windows::PAPER).full, HaarNull::of_pair(&pair)))
        } else {
            None
        };
        stage.advance(1);
        Ok((eigen, V, [h, c, m2], commutator))
    })?;
    let found = PyDict::new(py);
    found.set_item("eigenvalues", to_array1(py, &eigen.values))?;
    found.set_item("eigenvectors", to_array2(py, V.as_ref()))?;
    for (name, diagonal) in [("H_ii", &h), ("C_ii", &c), ("M2_ii", &m2)] {
        found.set_item(name, to_array1(py, diagonal))?;
    }
    let config = FitConfig { noise_floor: Some(eigen.noise_floor), ..FitConfig::top(h.len()) };
    for (name, x, y) in [("gamma", &h, &c), ("gamma_m2", &h, &m2), ("c_on_m2", &m2, &c)] {
        match loglog::fit_with(x, y, &config) {
            Ok(fit) => found.set_item(name, fit_of(py, &fit, fit.se, [x, y])?)?,
            Err(why) => found.set_item(name, why.to_string())?,
        }
    }
    found.set_item("commutator", commutator.map(|(full, null)| pair_of(py, &full, &null)).transpose()?)?;
    found.set_item("C", to_array2(py, C.as_ref()))?;
    Ok(found)
}

/// A fit as the figure needs it: `x`, `y`, slope, intercept, mean of `log10 x`, standard error.
type Drawn = (Vec<f64>, Vec<f64>, f64, f64, f64, f64);

/// The scatter of `C_ii` and `(M₂)_ii` on `H_ii`, an SVG.
#[pyfunction]
#[pyo3(signature = (title, c_on_h, m2_on_h))]
pub(crate) fn figure(title: &str, c_on_h: Option<Drawn>, m2_on_h: Option<Drawn>) -> PyResult<String> {
    let fitted = |(x, y, slope, intercept, mean_log10_x, error): Drawn| {
        let fit = PowerLawFit {
            slope,
            intercept,
            se: error,
            r2: f64::NAN,
            mean_log10_x,
            mean_log10_y: intercept + slope * mean_log10_x,
            n_used: x.len(),
            dropped: Dropped::default(),
            top: x.len(),
        };
        Fitted { points: [x, y], fit, error }
    };
    power_law_svg(title, c_on_h.map(fitted), m2_on_h.map(fitted)).map_err(value_error)
}
