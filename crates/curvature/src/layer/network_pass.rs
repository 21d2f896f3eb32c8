//! What a network's pass over the analysed samples leaves at one dense layer.

use super::behind::Behind;
use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;
use superlinear_nets::{Loss, Network, Samples, SamplesError, Tail, Workspace};

/// Samples per block; a block is one batched forward pass.
const BLOCK: usize = 256;

/// The network's side of an analysed layer: what `S_p` is computed from, and the losses.
#[derive(Clone, Debug)]
pub struct NetworkPass {
    behind: Behind,
    pre_activations: Mat<f64>,
    losses: Vec<f64>,
    labels: Vec<u8>,
}

/// A layer of a network that cannot be analysed on some samples.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkPassError {
    /// The network has no such layer.
    #[error("dense layer {dense}, counted from 0, of a network of {n_dense}")]
    NoLayer {
        /// Which was asked for.
        dense: usize,
        /// How many there are.
        n_dense: usize,
    },
    /// The samples do not fit the network.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A loss, activity or gradient is infinite or NaN.
    #[error("sample {sample}: {quantity} is {value}, expected a finite number")]
    NotFinite {
        /// Which sample.
        sample: usize,
        /// `loss`, `activity` or `gradient`.
        quantity: &'static str,
        /// What it is.
        value: f64,
    },
}

impl NetworkPass {
    /// `a_p` and `δ_p` of all samples as columns, and the rest of what the pass leaves.
    pub(super) fn run(
        net: &Network<f64>,
        dense: usize,
        loss: Loss,
        samples: &impl Samples<f64>,
    ) -> Result<(Mat<f64>, Mat<f64>, Self), NetworkPassError> {
        let n_samples = samples.n_samples();
        let architecture = net.architecture();
        let n_dense = architecture.dense_layers().len();
        let layer = architecture.dense_layers().get(dense).ok_or(NetworkPassError::NoLayer { dense, n_dense })?;
        let (d_in, d_out, input_dim) = (layer.d_in, layer.d_out, architecture.input_dim());
        architecture.accepts(samples)?;
        let labels: Vec<u8> = (0..n_samples).map(|p| samples.label(p)).collect();
        let behind = Behind::new(net, dense, loss);
        let tail = behind.tail();
        let mut activities = vec![0.0; d_in * n_samples];
        let mut pre_activations = vec![0.0; d_out * n_samples];
        let mut deltas = vec![0.0; d_out * n_samples];
        let mut losses = vec![0.0; n_samples];
        let blocks = activities
            .par_chunks_mut(d_in * BLOCK)
            .zip(pre_activations.par_chunks_mut(d_out * BLOCK))
            .zip(deltas.par_chunks_mut(d_out * BLOCK))
            .zip(losses.par_chunks_mut(BLOCK))
            .enumerate();
        blocks.for_each_init(
            || (Workspace::new(net, BLOCK), vec![0.0; input_dim * BLOCK], tail.buffers()),
            |(workspace, inputs, at), (block, (((a, z), delta), losses))| {
                let first = block * BLOCK;
                let count = losses.len();
                for (p, input) in inputs.chunks_exact_mut(input_dim).take(count).enumerate() {
                    samples.write_input(first + p, input);
                }
                let inputs = MatRef::from_column_major_slice(&inputs[..input_dim * count], input_dim, count);
                net.forward(inputs, workspace);
                let seen = if layer.position == 0 { inputs } else { workspace.output(layer.position - 1, count) };
                MatMut::from_column_major_slice_mut(a, d_in, count).copy_from(seen);
                MatMut::from_column_major_slice_mut(z, d_out, count).copy_from(workspace.output(layer.position, count));
                for (p, (z, delta)) in z.chunks_exact(d_out).zip(delta.chunks_exact_mut(d_out)).enumerate() {
                    tail.gradient(z, labels[first + p], at);
                    losses[p] = at.loss;
                    delta.copy_from_slice(&at.delta);
                }
            },
        );
        check_finite(&losses, 1, "loss")?;
        check_finite(&activities, d_in, "activity")?;
        check_finite(&deltas, d_out, "gradient")?;
        let columns = |flat: &[f64], dim| MatRef::from_column_major_slice(flat, dim, n_samples).to_owned();
        let (activities, deltas) = (columns(&activities, d_in), columns(&deltas, d_out));
        let pre_activations = columns(&pre_activations, d_out);
        Ok((activities, deltas, Self { behind, pre_activations, losses, labels }))
    }

    /// The loss whose gradients and curvatures these are.
    pub fn loss(&self) -> Loss {
        self.behind.loss()
    }

    /// `z_p = W a_p` (plus the bias, if the layer has one) as columns, `d_out × N`.
    pub fn pre_activations(&self) -> &Mat<f64> {
        &self.pre_activations
    }

    /// `ℓ_p`.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    pub(super) fn labels(&self) -> &[u8] {
        &self.labels
    }

    pub(super) fn weight(&self) -> MatRef<'_, f64> {
        self.behind.net().weight(0)
    }

    /// `ℓ_p` as a function of `z_p`.
    pub(crate) fn tail(&self) -> Tail<'_, f64> {
        self.behind.tail()
    }

    /// `z_p`.
    pub(crate) fn z(&self, p: usize) -> &[f64] {
        self.pre_activations.col_as_slice(p)
    }
}

fn check_finite(values: &[f64], dim: usize, quantity: &'static str) -> Result<(), NetworkPassError> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(k) => Err(NetworkPassError::NotFinite { sample: k / dim, quantity, value: values[k] }),
    }
}

#[cfg(test)]
mod tests {
    use crate::{AnalysedLayer, NetworkPassError};
    use faer::Mat;
    use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network, SamplesError};

    #[test]
    fn what_cannot_be_analysed_is_a_typed_error() {
        let mut net = Network::new(Architecture::mlp(&[2, 3, 2], Activation::Relu).unwrap(), vec![0.5; 12]).unwrap();
        let samples = |x: f64, labels: &[u8]| DenseSamples::new(Mat::full(2, labels.len(), x), labels.to_vec());
        let collect = |net: &Network<f64>, dense, samples: DenseSamples<f64>| {
            AnalysedLayer::collect(net, dense, Loss::CrossEntropy, &samples).map(|layer| layer.n_params())
        };
        assert_eq!(collect(&net, 1, samples(1.0, &[0, 1])), Ok(6));
        let no_layer = NetworkPassError::NoLayer { dense: 2, n_dense: 2 };
        assert_eq!(collect(&net, 2, samples(1.0, &[0, 1])), Err(no_layer));
        assert_eq!(collect(&net, 0, samples(1.0, &[])), Err(SamplesError::None.into()));
        assert!(matches!(collect(&net, 0, samples(f64::NAN, &[0])), Err(NetworkPassError::NotFinite { .. })));
        // Weights that a network cannot be made with, but can get.
        net.params_mut()[11] = f64::NAN;
        assert!(matches!(collect(&net, 1, samples(1.0, &[0])), Err(NetworkPassError::NotFinite { .. })));
    }
}
