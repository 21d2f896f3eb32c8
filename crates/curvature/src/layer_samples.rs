//! What a network's pass over the analysed samples leaves at one dense layer.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;
use superlinear_nets::{Loss, Network, Samples, SamplesError, Tail, Workspace};

/// Samples per block; a block is one batched forward pass.
const BLOCK: usize = 256;

/// Activities, pre-activations and pre-activation gradients of `N` samples at one dense layer (columns are samples).
#[derive(Clone, Debug)]
pub struct LayerSamples {
    /// Which dense layer, counted from 0.
    pub dense: usize,
    /// The loss whose gradients these are.
    pub loss: Loss,
    /// `a_p`, `d_in × N`.
    pub activities: Mat<f64>,
    /// `z_p = W a_p`, `d_out × N`.
    pub pre_activations: Mat<f64>,
    /// `δ_p = ∂ℓ_p/∂z_p`, `d_out × N`; the per-sample gradient is `g_p = δ_p ⊗ a_p`.
    pub deltas: Mat<f64>,
    /// `ℓ_p`.
    pub losses: Vec<f64>,
    /// Class of every sample.
    pub labels: Vec<u8>,
}

/// Samples that a network cannot be analysed on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LayerSamplesError {
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

impl LayerSamples {
    /// Runs all samples through `net` and keeps what the `dense`-th dense layer (counted from 0) sees.
    ///
    /// # Errors
    /// When there are no samples, they do not fit the network, or a loss, activity or gradient is not finite.
    ///
    /// # Panics
    /// When the network has no such layer.
    #[track_caller]
    pub fn collect(
        net: &Network<f64>,
        dense: usize,
        loss: Loss,
        samples: &impl Samples<f64>,
    ) -> Result<Self, LayerSamplesError> {
        let n_samples = samples.n_samples();
        let architecture = net.architecture();
        let layer = &architecture.dense_layers()[dense];
        let (d_in, d_out, input_dim) = (layer.d_in, layer.d_out, architecture.input_dim());
        architecture.accepts(samples)?;
        let labels: Vec<u8> = (0..n_samples).map(|p| samples.label(p)).collect();
        let tail = Tail::new(net, dense, loss);
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
        Ok(Self {
            dense,
            loss,
            activities: columns(&activities, d_in),
            pre_activations: columns(&pre_activations, d_out),
            deltas: columns(&deltas, d_out),
            losses,
            labels,
        })
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.labels.len()
    }

    /// Rows of `W`.
    pub fn d_out(&self) -> usize {
        self.deltas.nrows()
    }

    /// Columns of `W`.
    pub fn d_in(&self) -> usize {
        self.activities.nrows()
    }

    /// `P = d_out · d_in`.
    pub fn n_params(&self) -> usize {
        self.d_out() * self.d_in()
    }

    /// `ḡ = (1/N) Σ_p δ_p ⊗ a_p`, row-major `vec`, length `P`.
    pub fn mean_gradient(&self) -> Vec<f64> {
        let mut mean = Mat::zeros(self.d_out(), self.d_in());
        let scale = 1.0 / self.n_samples() as f64;
        matmul(mean.as_mut(), Accum::Replace, &self.deltas, self.activities.transpose(), scale, Par::Seq);
        (0..self.d_out()).flat_map(|o| (0..self.d_in()).map(move |i| (o, i))).map(|index| mean[index]).collect()
    }
}

fn check_finite(values: &[f64], dim: usize, quantity: &'static str) -> Result<(), LayerSamplesError> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(k) => Err(LayerSamplesError::NotFinite { sample: k / dim, quantity, value: values[k] }),
    }
}
