//! What a network is evaluated on: inputs and labels by index, written out when needed.

use crate::{Architecture, Scalar};
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

/// Samples that a network cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplesError {
    /// There are none.
    #[error("no samples, expected at least one")]
    None,
    /// The samples have another length than the network takes.
    #[error("samples have {found} inputs each, but the network takes {expected}")]
    InputDim {
        /// What the network takes.
        expected: usize,
        /// What the samples have.
        found: usize,
    },
    /// A label is not below the number of logits.
    #[error("sample {sample}: label {found}, but the network has {n_out} outputs")]
    Label {
        /// Which sample.
        sample: usize,
        /// Its label.
        found: u8,
        /// Number of logits.
        n_out: usize,
    },
}

impl Architecture {
    /// Whether networks of this architecture can take `samples`.
    ///
    /// # Errors
    /// When there are no samples, their inputs have another length, or a label has no logit.
    pub fn accepts<T>(&self, samples: &impl Samples<T>) -> Result<(), SamplesError> {
        let (expected, found) = (self.input_dim(), samples.input_dim());
        if samples.n_samples() == 0 {
            return Err(SamplesError::None);
        }
        if found != expected {
            return Err(SamplesError::InputDim { expected, found });
        }
        let n_out = self.n_out();
        match (0..samples.n_samples()).find(|&p| usize::from(samples.label(p)) >= n_out) {
            Some(sample) => Err(SamplesError::Label { sample, found: samples.label(sample), n_out }),
            None => Ok(()),
        }
    }
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
