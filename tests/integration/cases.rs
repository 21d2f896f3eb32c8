//! Small random networks with samples, as the crates and as the reference see them.

use crate::reference::{Derivatives, Reference};
use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::AnalysedLayer;
use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};

pub(crate) const ACTIVATIONS: [Activation; 3] = [Activation::Relu, Activation::Tanh, Activation::Identity];
pub(crate) const LOSSES: [Loss; 3] = [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse];

/// One to four dense layers, no two neighbours of the same width: a transposed weight does not fit by chance.
pub(crate) const WIDTHS: [&[usize]; 4] = [&[4, 3], &[3, 5, 3], &[3, 4, 5, 3], &[4, 3, 5, 4, 3]];

/// A network, its loss and some labelled inputs.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) net: Network<f64>,
    pub(crate) reference: Reference,
    pub(crate) loss: Loss,
    pub(crate) inputs: Vec<Vec<f64>>,
    pub(crate) labels: Vec<u8>,
}

impl Case {
    pub(crate) fn new(
        widths: &[usize],
        activation: Activation,
        loss: Loss,
        params: Vec<f64>,
        inputs: Vec<Vec<f64>>,
        labels: Vec<u8>,
    ) -> Self {
        let reference = Reference::new(widths, activation, loss, &params);
        let net = Network::new(Architecture::mlp(widths, activation).unwrap(), params).unwrap();
        let name = format!("{widths:?} {activation} {loss} N={}", labels.len());
        Self { name, net, reference, loss, inputs, labels }
    }

    /// Weights uniform in `±2/√d_in`, inputs uniform in `±1`, every class in turn.
    pub(crate) fn random(widths: &[usize], activation: Activation, loss: Loss, n_samples: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = |bound: f64| bound * (2.0 * rng.random::<f64>() - 1.0);
        let mut params = Vec::new();
        for pair in widths.windows(2) {
            params.extend((0..pair[0] * pair[1]).map(|_| uniform(2.0 / (pair[0] as f64).sqrt())));
        }
        let inputs = (0..n_samples).map(|_| (0..widths[0]).map(|_| uniform(1.0)).collect()).collect();
        let n_out = widths[widths.len() - 1];
        let labels = (0..n_samples).map(|p| (p % n_out) as u8).collect();
        Self::new(widths, activation, loss, params, inputs, labels)
    }

    pub(crate) fn n_samples(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn n_dense(&self) -> usize {
        self.net.architecture().dense_layers().len()
    }

    /// Inputs as columns.
    pub(crate) fn input_matrix(&self) -> Mat<f64> {
        Mat::from_fn(self.net.architecture().input_dim(), self.n_samples(), |i, p| self.inputs[p][i])
    }

    pub(crate) fn samples(&self) -> DenseSamples<f64> {
        DenseSamples::new(self.input_matrix(), self.labels.clone())
    }

    /// What the crates see at the `dense`-th layer.
    pub(crate) fn layer(&self, dense: usize) -> AnalysedLayer {
        AnalysedLayer::collect(&self.net, dense, self.loss, &self.samples()).unwrap()
    }

    /// The truth in the weight of the `dense`-th layer, for every sample.
    pub(crate) fn truths(&self, dense: usize) -> Vec<Derivatives> {
        self.inputs.iter().zip(&self.labels).map(|(x, &y)| self.reference.in_weight(dense, x, y)).collect()
    }
}
