//! What a model is evaluated on: inputs and targets by index.

use super::{Criterion, Graph, GraphError, Objective};
use crate::ops::{len, shown};
use crate::{Samples, Scalar};
use faer::Mat;

/// An indexed, finite set of samples with targets, produced on demand.
pub trait GraphSamples<T>: Sync {
    /// How many there are.
    fn n_samples(&self) -> usize;

    /// Writes input `input` (counted from 0) of sample `p` to `out`, which has the input's entries, row-major. Ids are
    /// whole numbers.
    fn write_input(&self, p: usize, input: usize, out: &mut [T]);

    /// Writes the target of sample `p` to `out`, which has [`Objective::target_len`] entries: a class for every output,
    /// or real numbers.
    fn write_target(&self, p: usize, out: &mut [f64]);

    /// Whether targets of `target_len` entries of such a loss are what these samples have, beyond what
    /// [`Objective::check_target`] sees of them.
    ///
    /// # Errors
    /// With what was found and what was expected.
    fn fits(&self, _criterion: &Criterion, _target_len: usize) -> Result<(), (String, String)> {
        Ok(())
    }
}

/// Samples held as dense matrices: column `p` is what sample `p` has.
#[derive(Clone, Debug)]
pub struct DenseGraphSamples<T> {
    inputs: Vec<Mat<T>>,
    targets: Mat<f64>,
}

impl<T: Scalar> DenseGraphSamples<T> {
    /// One `dim × n_samples` matrix an input of the graph, and one of targets.
    ///
    /// # Panics
    /// When they have different numbers of columns.
    #[track_caller]
    pub fn new(inputs: Vec<Mat<T>>, targets: Mat<f64>) -> Self {
        assert!(inputs.iter().all(|input| input.ncols() == targets.ncols()), "one column a sample");
        Self { inputs, targets }
    }
}

impl<T: Scalar> GraphSamples<T> for DenseGraphSamples<T> {
    fn n_samples(&self) -> usize {
        self.targets.ncols()
    }
    fn write_input(&self, p: usize, input: usize, out: &mut [T]) {
        out.copy_from_slice(self.inputs[input].col_as_slice(p));
    }
    fn write_target(&self, p: usize, out: &mut [f64]) {
        out.copy_from_slice(self.targets.col_as_slice(p));
    }
}

/// [`Samples`] with one input and a class each, as samples of a graph with one output a sample.
///
/// The target is the class, or where it has several entries, as for [`Criterion::LinearMse`], a vector that is 1 at the
/// class and 0 elsewhere; NaN if there is no such class.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a, S>(pub &'a S);

impl<T, S: Samples<T>> GraphSamples<T> for Labelled<'_, S> {
    fn n_samples(&self) -> usize {
        self.0.n_samples()
    }
    fn write_input(&self, p: usize, _input: usize, out: &mut [T]) {
        self.0.write_input(p, out);
    }
    fn write_target(&self, p: usize, out: &mut [f64]) {
        let label = self.0.label(p);
        match out {
            [class] => *class = f64::from(label),
            out if usize::from(label) < out.len() => {
                out.fill(0.0);
                out[usize::from(label)] = 1.0;
            }
            out => out.fill(f64::NAN),
        }
    }
    fn fits(&self, criterion: &Criterion, target_len: usize) -> Result<(), (String, String)> {
        let expected = |what: &str| Err(("one class a sample".to_owned(), what.to_owned()));
        match criterion {
            Criterion::LinearMse if target_len == 1 => expected("a real number a sample"),
            Criterion::LinearMse => Ok(()),
            _ if target_len == 1 => Ok(()),
            _ => expected(&format!("a target for each of {target_len} outputs a sample")),
        }
    }
}

impl Graph {
    /// Whether the targets of all samples fit `objective` and what the graph gives.
    ///
    /// # Errors
    /// When there are no samples, the objective does not fit the output, or a target does not fit the objective.
    pub fn accepts<T: Scalar>(&self, samples: &impl GraphSamples<T>, objective: &Objective) -> Result<(), GraphError> {
        let output = &self.values[self.output];
        let error = |found: String, expected: String| GraphError::new(&output.name, "output", found, expected);
        if samples.n_samples() == 0 {
            return Err(error("no samples".to_owned(), "at least one".to_owned()));
        }
        objective.fits(&output.shape).map_err(|wrong| error(shown(&output.shape), wrong.to_string()))?;
        let mut target = vec![0.0; objective.target_len(&output.shape)];
        samples.fits(&objective.criterion, target.len()).map_err(|(found, expected)| error(found, expected))?;
        for p in 0..samples.n_samples() {
            samples.write_target(p, &mut target);
            objective
                .check_target(&output.shape, &target)
                .map_err(|wrong| error(format!("a target of sample {p}"), wrong.to_string()))?;
        }
        debug_assert!(len(&output.shape) > 0);
        Ok(())
    }
}
