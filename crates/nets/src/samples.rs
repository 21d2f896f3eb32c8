//! What a network is evaluated on: inputs and labels by index, written out when needed.

use crate::Scalar;
use faer::Mat;

/// An indexed, finite set of labelled samples whose inputs are produced on demand.
///
/// A data set can keep bytes and normalise on the way out; nothing forces an `n_samples × input_dim` matrix.
pub trait Samples<T>: Sync {
    /// How many samples there are.
    fn n_samples(&self) -> usize;
    /// Length of one input.
    fn input_dim(&self) -> usize;
    /// The class of sample `p`.
    fn label(&self, p: usize) -> u8;
    /// Writes the input of sample `p` to `out`, which has length `input_dim`.
    fn write_input(&self, p: usize, out: &mut [T]);
}

/// Samples held as one dense matrix: column `p` is the input of sample `p`.
#[derive(Clone, Debug)]
pub struct DenseSamples<T> {
    inputs: Mat<T>,
    labels: Vec<u8>,
}

impl<T: Scalar> DenseSamples<T> {
    /// Samples from an `input_dim × n_samples` matrix and one label a column.
    ///
    /// # Panics
    /// When the number of labels is not the number of columns.
    #[track_caller]
    pub fn new(inputs: Mat<T>, labels: Vec<u8>) -> Self {
        assert_eq!(inputs.ncols(), labels.len(), "one label a column");
        Self { inputs, labels }
    }
}

impl<T: Scalar> Samples<T> for DenseSamples<T> {
    fn n_samples(&self) -> usize {
        self.labels.len()
    }
    fn input_dim(&self) -> usize {
        self.inputs.nrows()
    }
    fn label(&self, p: usize) -> u8 {
        self.labels[p]
    }
    fn write_input(&self, p: usize, out: &mut [T]) {
        out.copy_from_slice(self.inputs.col_as_slice(p));
    }
}
