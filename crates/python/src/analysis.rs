//! `analyse`: the whole analysis of a network.

use crate::arrays::{given, to_array1, to_array2, value_error};
use crate::parts::fit_of;
use crate::work;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use superlinear_curvature::Diagonal;
use superlinear_experiments::exponents::Exponent;
use superlinear_experiments::given_samples::GivenSamples;
use superlinear_experiments::model_analysis::{Found, How, ModelLoss, Params, Prepared, Question, TensorFound, answer};
use superlinear_experiments::record::layer_spectra::PairRecord;
use superlinear_onnx::{Options, from_bytes};
use superlinear_report::model_analysis;

/// A loss by its name.
pub(crate) fn loss_of(name: &str) -> PyResult<ModelLoss> {
    use ModelLoss::{BinaryCrossEntropy, CrossEntropy, LinearMse, SoftmaxMse};
    let all = [CrossEntropy, SoftmaxMse, LinearMse, BinaryCrossEntropy];
    let found = all.into_iter().find(|loss| loss.name() == name);
    found.ok_or_else(|| value_error(format!("loss={name:?}: expected ce, mse (of the softmax), linear-mse or bce")))
}

pub(crate) fn positive(name: &str, n: usize) -> PyResult<NonZeroUsize> {
    NonZeroUsize::new(n).ok_or_else(|| value_error(format!("{name}=0: expected at least 1")))
}

/// Analyses tensors of an ONNX network.
#[pyfunction]
#[pyo3(signature = (model, base, name, x, y, logits, loss, batch, params, top, memory, tol, seed, threads, progress))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn analyse<'py>(
    py: Python<'py>,
    model: &[u8],
    base: Option<PathBuf>,
    name: &str,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    logits: Option<&Bound<'py, PyAny>>,
    loss: &str,
    batch: usize,
    params: Option<Vec<String>>,
    top: usize,
    memory: f64,
    tol: f64,
    seed: u64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let samples = samples(x, y, logits)?;
    let question = Question {
        model: PathBuf::from(name),
        data: PathBuf::from("the arrays"),
        loss: loss_of(loss)?,
        batch: positive("batch", batch)?,
        params: params.map_or(Params::EveryLayer, Params::Named),
        top: positive("top", top)?,
        samples: None,
        memory: (memory * f64::from(1 << 30)) as u64,
        tol,
        seed,
        keep_matrices: true,
    };
    if !(f64::EPSILON..1.0).contains(&tol) {
        return Err(value_error(format!("tol={tol}: expected a number from {:.1e} to less than 1", f64::EPSILON)));
    }
    let (found, html) = work::run(py, threads, progress, |observer| {
        let onnx = read(model, base.as_deref())?;
        let found = answer(&question, &Prepared::of(&question, onnx, &samples, observer)?, observer)?;
        let html = model_analysis::page_of(&question, &found)?;
        Ok((found, html))
    })?;
    let result = summary(py, &found)?;
    result.set_item("html", html)?;
    Ok(result)
}

/// A network from the bytes of a file; what lies outside of it is looked for in `base`.
pub(crate) fn read(model: &[u8], base: Option<&Path>) -> anyhow::Result<superlinear_onnx::OnnxModel> {
    Ok(from_bytes(model, base, &Options::default())?)
}

pub(crate) fn samples(
    x: &Bound<'_, PyAny>,
    y: &Bound<'_, PyAny>,
    logits: Option<&Bound<'_, PyAny>>,
) -> PyResult<GivenSamples> {
    let logits = logits.map(|logits| given("logits", logits)).transpose()?;
    GivenSamples::of("the arrays".to_owned(), given("x", x)?, given("y", y)?, logits).map_err(value_error)
}

fn summary<'py>(py: Python<'py>, found: &Found) -> PyResult<Bound<'py, PyDict>> {
    let result = PyDict::new(py);
    result.set_item("n_samples", found.n_samples)?;
    result.set_item("loss", found.fit.map(|fit| fit.loss))?;
    result.set_item("accuracy", found.fit.and_then(|fit| fit.classes).map(|classes| classes.accuracy))?;
    result.set_item("warning", found.fit.and_then(|fit| fit.warning()))?;
    let tensors = PyList::empty(py);
    for tensor in &found.tensors {
        tensors.append(of_tensor(py, tensor)?)?;
    }
    result.set_item("tensors", tensors)?;
    Ok(result)
}

fn of_tensor<'py>(py: Python<'py>, tensor: &TensorFound) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    found.set_item("name", &tensor.asked.name)?;
    found.set_item("kind", &tensor.asked.kind)?;
    found.set_item("shape", tensor.asked.shape.clone())?;
    found.set_item("depth", tensor.asked.depth)?;
    found.set_item("single_product", tensor.asked.is_single_product)?;
    found.set_item("how", if tensor.how == How::Dense { "dense" } else { "lanczos" })?;
    found.set_item("eigenvalues", to_array1(py, &tensor.directions.values))?;
    found.set_item("residuals", to_array1(py, &tensor.directions.residuals))?;
    for (of, name, factor) in [
        (Diagonal::Hessian, "H_ii", 1.0),
        (Diagonal::Covariance, "C_ii", tensor.factor),
        (Diagonal::SecondMoment, "M2_ii", 1.0),
    ] {
        let scaled = |values: &[f64]| values.iter().map(|x| factor * x).collect::<Vec<f64>>();
        found.set_item(name, to_array1(py, &scaled(tensor.diagonals.values(of))))?;
        found.set_item(format!("{name}_se"), to_array1(py, &scaled(&tensor.diagonals.errors(of))))?;
    }
    found.set_item("gamma", exponent(py, &tensor.c_on_h)?)?;
    found.set_item("gamma_m2", exponent(py, &tensor.m2_on_h)?)?;
    found.set_item("c_on_m2", exponent(py, &tensor.c_on_m2)?)?;
    if let Some(pairs) = &tensor.commutativity {
        for (name, pair) in
            [("commutator", &pairs.c_in_h), ("commutator_m2", &pairs.m2_in_h), ("commutator_c_m2", &pairs.c_in_m2)]
        {
            found.set_item(name, commutator(py, pair)?)?;
        }
    }
    if let Some(matrices) = &tensor.matrices {
        found.set_item("H", to_array2(py, matrices.H.as_ref()))?;
        found.set_item("M2", to_array2(py, matrices.M2.as_ref()))?;
        found.set_item("Sigma", to_array2(py, matrices.Sigma.as_ref()))?;
        let mut C = matrices.Sigma.clone();
        C *= faer::Scale(tensor.factor);
        found.set_item("C", to_array2(py, C.as_ref()))?;
    }
    Ok(found)
}

/// A dictionary, or the reason why there is none.
fn exponent<'py>(py: Python<'py>, exponent: &Result<Exponent, String>) -> PyResult<Bound<'py, PyAny>> {
    match exponent {
        Ok(found) => {
            let [x, y] = &found.points;
            Ok(fit_of(py, &found.fit, found.error(), [x, y])?.into_any())
        }
        Err(why) => Ok(why.into_pyobject(py)?.into_any()),
    }
}

fn commutator<'py>(py: Python<'py>, pair: &PairRecord) -> PyResult<Bound<'py, PyDict>> {
    let full = pair.full();
    let found = PyDict::new(py);
    found.set_item("error", full.error)?;
    found.set_item("random", full.error_null)?;
    found.set_item("ratio", full.error_ratio())?;
    found.set_item("alignment", full.recovery)?;
    found.set_item("alignment_random", full.recovery_null)?;
    found.set_item("cosine", pair.cosine)?;
    Ok(found)
}
