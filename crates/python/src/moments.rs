//! Moments of a part of the samples: of a network, or of factors that somebody else has computed.

use crate::analysis::{loss_of, positive, read, samples};
use crate::arrays::{to_array1, to_array2};
use crate::work;
use anyhow::Context;
use numpy::{PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ops::ControlFlow;
use std::path::PathBuf;
use superlinear_curvature::{FactorMoments, GraphLoss, GraphMoments, PositionFactors};
use superlinear_experiments::model_analysis::{Params, Prepared, Question};
use superlinear_nets::Variables;

/// `H`, `M₂`, `Σ` and `ḡ` of one tensor over the given samples.
#[pyfunction]
#[pyo3(signature = (model, base, name, x, y, loss, param, memory, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn model_moments<'py>(
    py: Python<'py>,
    model: &[u8],
    base: Option<PathBuf>,
    name: &str,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    loss: &str,
    param: &str,
    memory: f64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let samples = samples(x, y, None)?;
    let question = Question {
        model: PathBuf::from(name),
        data: PathBuf::from("the arrays"),
        loss: loss_of(loss)?,
        batch: positive("batch", 1)?,
        params: Params::Named(vec![param.to_owned()]),
        top: positive("top", 1)?,
        samples: None,
        memory: 0,
        tol: 1e-8,
        seed: 0,
        keep_matrices: true,
    };
    let limit = (memory * f64::from(1 << 30)) as u64;
    let (n, mean, H, M2, Sigma) = work::run(py, threads, progress, |observer| {
        let prepared = Prepared::of(&question, read(model, base.as_deref())?, &samples, observer)?;
        let (model, objective, samples) = prepared.parts();
        let variables = Variables::parameters(model.graph(), [param])?;
        let mean = GraphLoss::new(model, objective.clone(), samples, variables.clone())?.gradient()?;
        let moments = GraphMoments::new(model, objective.clone(), samples, variables)?;
        let stage = observer.stage("matrices", 3, "matrices/s");
        let step = || {
            stage.advance(1);
            observer.check()
        };
        let H = moments.hessian(limit)?;
        step()?;
        let M2 = moments.hessian_second_moment(limit)?;
        step()?;
        let Sigma = moments.noise_covariance(limit)?;
        step()?;
        Ok((moments.n_samples(), mean, H, M2, Sigma))
    })?;
    let found = PyDict::new(py);
    found.set_item("n", n)?;
    found.set_item("mean", to_array1(py, &mean))?;
    for (name, matrix) in [("H", &H), ("M2", &M2), ("Sigma", &Sigma)] {
        found.set_item(name, to_array2(py, matrix.as_ref()))?;
    }
    Ok(found)
}

/// The same from `a` `[N, T, d_in]`, `delta` `[N, T, d_out]` and `S` `[N, T·d_out, T·d_out]`.
#[pyfunction]
#[pyo3(signature = (a, delta, S, threads, progress))]
pub(crate) fn factor_moments<'py>(
    py: Python<'py>,
    a: PyReadonlyArray3<'py, f64>,
    delta: PyReadonlyArray3<'py, f64>,
    S: PyReadonlyArray3<'py, f64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let &[N, T, d_in] = a.shape() else { unreachable!("three axes") };
    let &[_, _, d_out] = delta.shape() else { unreachable!("three axes") };
    let (a, delta, S) = (owned(&a), owned(&delta), owned(&S));
    let found = work::run(py, threads, progress, |observer| {
        let factors = PositionFactors::new([N, T, d_in, d_out], a, delta, S)?;
        let stage = observer.stage("matrices", 2, "steps/s");
        let found = FactorMoments::of_with(&factors, |done| {
            stage.reached(done as u64);
            if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        observer.check()?;
        found.context("stopped")
    })?;
    let result = PyDict::new(py);
    result.set_item("n", N)?;
    result.set_item("mean", to_array1(py, &found.mean_gradient))?;
    for (name, matrix) in [("H", &found.H), ("M2", &found.M2), ("Sigma", &found.Sigma)] {
        result.set_item(name, to_array2(py, matrix.as_ref()))?;
    }
    Ok(result)
}

/// Row-major.
fn owned(array: &PyReadonlyArray3<'_, f64>) -> Vec<f64> {
    array.as_array().iter().copied().collect()
}
