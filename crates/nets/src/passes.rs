//! Batched forward and reverse passes through preallocated buffers.

use crate::{Layer, Loss, Network, Scalar};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Buffers for passes over batches of up to `max_batch` samples: after construction no pass allocates.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    max_batch: usize,
    /// Output of every layer, `dim × max_batch`, samples as columns.
    outputs: Vec<Vec<T>>,
    /// Two alternating buffers for the gradient in a layer's output.
    gradients: [Vec<T>; 2],
    logit_gradient: Vec<T>,
}

/// The loss over one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Sum of the per-sample losses.
    pub total: f64,
    /// Samples whose largest logit is the label's.
    pub n_correct: usize,
}

impl<T: Scalar> Workspace<T> {
    /// Buffers for `net` and batches of up to `max_batch`.
    pub fn new(net: &Network<T>, max_batch: usize) -> Self {
        let architecture = net.architecture();
        let dims = (0..architecture.layers().len()).map(|l| architecture.output_dim_of(l));
        let widest = dims.clone().max().unwrap_or(0);
        Self {
            max_batch,
            outputs: dims.map(|dim| vec![T::ZERO; dim * max_batch]).collect(),
            gradients: [vec![T::ZERO; widest * max_batch], vec![T::ZERO; widest * max_batch]],
            logit_gradient: vec![T::ZERO; architecture.n_out()],
        }
    }

    /// What layer `position` gave in the last forward pass over `n_samples`: `dim × n_samples`.
    #[track_caller]
    pub fn output(&self, position: usize, n_samples: usize) -> MatRef<'_, T> {
        let buffer = &self.outputs[position];
        let dim = buffer.len() / self.max_batch;
        MatRef::from_column_major_slice(&buffer[..dim * n_samples], dim, n_samples)
    }
}

impl<T: Scalar> Network<T> {
    /// Forward pass: the logits, `n_out × B`, of inputs `input_dim × B`.
    ///
    /// # Panics
    /// When the inputs have another length than the network takes or are more than the workspace holds.
    #[track_caller]
    pub fn forward<'w>(&self, inputs: MatRef<'_, T>, workspace: &'w mut Workspace<T>) -> MatRef<'w, T> {
        let layers = self.architecture().layers();
        let batch = inputs.ncols();
        assert_eq!(inputs.nrows(), self.architecture().input_dim(), "inputs are input_dim × B");
        assert!(batch <= workspace.max_batch, "batch of {batch} in a workspace for {}", workspace.max_batch);
        let mut dense = 0;
        for (position, layer) in layers.iter().enumerate() {
            let (before, here) = workspace.outputs.split_at_mut(position);
            let dim = self.architecture().output_dim_of(position);
            let here = &mut here[0][..dim * batch];
            match *layer {
                Layer::Dense { d_in, .. } => {
                    let a = match before.last() {
                        None => inputs,
                        Some(a) => MatRef::from_column_major_slice(&a[..d_in * batch], d_in, batch),
                    };
                    let z = MatMut::from_column_major_slice_mut(here, dim, batch);
                    matmul(z, Accum::Replace, self.weight(dense), a, T::ONE, Par::Seq);
                    dense += 1;
                }
                Layer::Activation(activation) => {
                    // An activation is never first, so there is a layer before it.
                    for (a, &z) in here.iter_mut().zip(&before[position - 1][..dim * batch]) {
                        *a = activation.value(z);
                    }
                }
            }
        }
        workspace.output(layers.len() - 1, batch)
    }

    /// Loss of a batch and the gradient of the **mean** loss over it, `(1/B) Σ_p g_p`, written to `gradient`.
    ///
    /// # Panics
    /// When labels, gradient or workspace do not fit, or a label is not below `n_out`.
    #[track_caller]
    pub fn loss_and_gradient(
        &self,
        inputs: MatRef<'_, T>,
        labels: &[u8],
        loss: Loss,
        workspace: &mut Workspace<T>,
        gradient: &mut [T],
    ) -> BatchLoss {
        let batch = inputs.ncols();
        assert_eq!(labels.len(), batch, "one label a column");
        assert_eq!(gradient.len(), self.params().len(), "one gradient entry a parameter");
        self.forward(inputs, workspace);
        let n_out = self.architecture().n_out();
        let Workspace { outputs, gradients, .. } = workspace;
        let logits = &outputs[outputs.len() - 1];
        let scale = T::of(1.0 / batch as f64);
        let mut summary = BatchLoss { total: 0.0, n_correct: 0 };
        for (p, &label) in labels.iter().enumerate() {
            let column = p * n_out..(p + 1) * n_out;
            let logit_gradient = &mut gradients[0][column.clone()];
            summary.total += loss.value_and_gradient(&logits[column.clone()], label, logit_gradient).f64();
            summary.n_correct += usize::from(largest(&logits[column]) == usize::from(label));
            for g in logit_gradient {
                *g *= scale;
            }
        }
        self.reverse(inputs, outputs, gradients, gradient);
        summary
    }

    /// Reverse pass from the logit gradients in `gradients[0]` to the parameter gradient.
    fn reverse(&self, inputs: MatRef<'_, T>, outputs: &[Vec<T>], gradients: &mut [Vec<T>; 2], gradient: &mut [T]) {
        let architecture = self.architecture();
        let batch = inputs.ncols();
        let mut dense = architecture.dense_layers().len();
        let [current, next] = gradients;
        for (position, layer) in architecture.layers().iter().enumerate().rev() {
            match *layer {
                Layer::Dense { d_in, d_out } => {
                    dense -= 1;
                    let delta = MatRef::from_column_major_slice(&current[..d_out * batch], d_out, batch);
                    let a = if position == 0 {
                        inputs
                    } else {
                        MatRef::from_column_major_slice(&outputs[position - 1][..d_in * batch], d_in, batch)
                    };
                    let range = architecture.dense_layers()[dense].params.clone();
                    let weight_gradient = MatMut::from_row_major_slice_mut(&mut gradient[range], d_out, d_in);
                    matmul(weight_gradient, Accum::Replace, delta, a.transpose(), T::ONE, Par::Seq);
                    // Nobody asks for the gradient in the inputs of the first layer.
                    if position > 0 {
                        let below = MatMut::from_column_major_slice_mut(&mut next[..d_in * batch], d_in, batch);
                        matmul(below, Accum::Replace, self.weight(dense).transpose(), delta, T::ONE, Par::Seq);
                        std::mem::swap(current, next);
                    }
                }
                Layer::Activation(activation) => {
                    let dim = architecture.output_dim_of(position);
                    for (g, &a) in current[..dim * batch].iter_mut().zip(&outputs[position]) {
                        *g *= activation.derivative_from_output(a);
                    }
                }
            }
        }
    }

    /// Loss and accuracy of a batch, without gradients.
    ///
    /// # Panics
    /// When labels or workspace do not fit, or a label is not below `n_out`.
    #[track_caller]
    pub fn loss(&self, inputs: MatRef<'_, T>, labels: &[u8], loss: Loss, workspace: &mut Workspace<T>) -> BatchLoss {
        assert_eq!(labels.len(), inputs.ncols(), "one label a column");
        let n_out = self.architecture().n_out();
        self.forward(inputs, workspace);
        let Workspace { outputs, logit_gradient, .. } = workspace;
        let mut summary = BatchLoss { total: 0.0, n_correct: 0 };
        for (logits, &label) in outputs[outputs.len() - 1].chunks_exact(n_out).zip(labels) {
            summary.total += loss.value_and_gradient(logits, label, logit_gradient).f64();
            summary.n_correct += usize::from(largest(logits) == usize::from(label));
        }
        summary
    }
}

/// Position of the largest logit, the first one of equals.
fn largest<T: Scalar>(logits: &[T]) -> usize {
    let mut best = 0;
    for (c, &f) in logits.iter().enumerate() {
        if f > logits[best] {
            best = c;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Architecture};
    use faer::Mat;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn gradient_agrees_with_central_differences() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for activation in [Activation::Relu, Activation::Tanh, Activation::Identity] {
            for widths in [&[5, 4][..], &[5, 6, 4], &[5, 6, 3, 4]] {
                for loss in [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse] {
                    let architecture = Architecture::mlp(widths, activation).unwrap();
                    let mut net = Network::<f64>::init(architecture, &mut rng);
                    let inputs = Mat::from_fn(5, 7, |_, _| rng.random::<f64>() - 0.3);
                    let labels = [0, 1, 2, 3, 0, 1, 2];
                    let mut workspace = Workspace::new(&net, 8);
                    let mut gradient = vec![0.0; net.params().len()];
                    let all = net.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut workspace, &mut gradient);
                    let evaluated = net.loss(inputs.as_ref(), &labels, loss, &mut workspace);
                    assert_eq!(all, evaluated);
                    let step = 1e-6;
                    for (k, g) in gradient.iter().enumerate() {
                        let w = net.params()[k];
                        net.params_mut()[k] = w + step;
                        let up = net.loss(inputs.as_ref(), &labels, loss, &mut workspace).total / 7.0;
                        net.params_mut()[k] = w - step;
                        let down = net.loss(inputs.as_ref(), &labels, loss, &mut workspace).total / 7.0;
                        net.params_mut()[k] = w;
                        let difference = (up - down) / (2.0 * step);
                        assert!((difference - g).abs() < 1e-8, "{activation} {widths:?} {loss} {k}");
                    }
                }
            }
        }
    }
}
