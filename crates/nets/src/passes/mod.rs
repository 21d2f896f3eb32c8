//! Batched forward and reverse passes through preallocated buffers.
//!
//! A network of dense layers passes a batch through as one block, each layer a matrix product. A network with images
//! splits the batch in [`CHUNKS`] parts, which run on the current rayon pool; a part goes through the whole network
//! [`BLOCK`] samples at a time, enough for large products and few enough to stay in the cache, and adds up a gradient
//! of its own. Parts and the order of sums depend on the batch alone, never on the number of threads.

mod block;
mod block_passes;
pub(crate) mod conv;
pub(crate) mod dense;
mod directions;
mod factored;
mod pool;
mod walk;
mod winograd;

use crate::{Loss, Network, Scalar, Shape};
use block::{Block, Weights, arrange, kernels_of};
use conv::Kernels;
use dense::sum_in_order;
use factored::NormSums;
use faer::{Accum, MatRef};
use rayon::prelude::*;

pub use block_passes::{AtLogits, BlockPasses, EvaluatedBlock, Forms};
pub use directions::{Directions, Sums};
pub use factored::FactoredGradient;

/// Parts of a batch with images.
const CHUNKS: usize = 8;
/// Samples with images that go through the network together.
const BLOCK: usize = 16;

/// Buffers for passes over batches of up to `max_batch` samples: after construction no pass allocates.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    max_batch: usize,
    kernels: Vec<Kernels<T>>,
    passes: Passes<T>,
    logit_gradient: Vec<T>,
    norm_sums: NormSums<T>,
}

#[derive(Clone, Debug)]
enum Passes<T> {
    /// The batch is one block.
    Whole(Block<T>),
    /// The batch is in parts.
    Chunked {
        chunks: Vec<Chunk<T>>,
        /// Of every layer that gives vectors, what it gave for the whole batch.
        outputs: Vec<Vec<T>>,
        /// The parameter gradient before convolutions' weights are put in order.
        gradient: Vec<T>,
    },
}

/// A part of a batch.
#[derive(Clone, Debug)]
struct Chunk<T> {
    block: Block<T>,
    /// Of every layer that gives vectors, what it gave for the part.
    outputs: Vec<Vec<T>>,
    /// Sum over the part, with convolutions' weights in the order that products give.
    gradient: Vec<T>,
    summary: BatchLoss,
}

/// The loss over one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Sum of the per-sample losses.
    pub total: f64,
    /// Samples whose largest logit is the label's.
    pub n_correct: usize,
}

impl BatchLoss {
    const NONE: Self = Self { total: 0.0, n_correct: 0 };
}

impl<T: Scalar> Workspace<T> {
    /// Buffers for `net` and batches of up to `max_batch`.
    pub fn new(net: &Network<T>, max_batch: usize) -> Self {
        let architecture = net.architecture();
        let n_layers = architecture.layers().len();
        let has_images = matches!(architecture.input_shape(), Shape::Image(_));
        let vectors = |n: usize| -> Vec<Vec<T>> {
            let len = |l| match architecture.output_shape_of(l) {
                Shape::Vector(dim) => dim * n,
                Shape::Image(_) => 0,
            };
            (0..n_layers).map(|l| vec![T::ZERO; len(l)]).collect()
        };
        let passes = if has_images {
            let capacity = max_batch.div_ceil(CHUNKS);
            let chunk = |_| Chunk {
                block: Block::new(architecture, BLOCK.min(capacity)),
                outputs: vectors(capacity),
                gradient: vec![T::ZERO; architecture.n_params()],
                summary: BatchLoss::NONE,
            };
            let gradient = vec![T::ZERO; architecture.n_params()];
            Passes::Chunked { chunks: (0..CHUNKS).map(chunk).collect(), outputs: vectors(max_batch), gradient }
        } else {
            Passes::Whole(Block::new(architecture, max_batch))
        };
        let logit_gradient = vec![T::ZERO; architecture.n_out()];
        let norm_sums = NormSums::new(architecture, max_batch);
        Self { max_batch, kernels: kernels_of(architecture), passes, logit_gradient, norm_sums }
    }

    /// What layer `position` gave in the last forward pass over `n_samples`: `dim × n_samples`.
    ///
    /// # Panics
    /// When there is no such layer, it gives images, which are not kept, or `n_samples` is more than the workspace
    /// holds.
    #[track_caller]
    pub fn output(&self, position: usize, n_samples: usize) -> MatRef<'_, T> {
        let buffer = match &self.passes {
            Passes::Whole(block) => &block.outputs[position],
            Passes::Chunked { outputs, .. } => &outputs[position],
        };
        assert!(!buffer.is_empty(), "layer {position} gives images, of which only a few samples' are kept at a time");
        let dim = buffer.len() / self.max_batch;
        MatRef::from_column_major_slice(&buffer[..dim * n_samples], dim, n_samples)
    }
}

/// What a pass over a part of a batch is for.
#[derive(Clone, Copy)]
enum Purpose<'a> {
    Outputs,
    Gradient { labels: &'a [u8], loss: Loss, scale: f64 },
}

impl<T: Scalar> Chunk<T> {
    /// Passes samples `inputs` through the network, [`BLOCK`] at a time.
    fn run(&mut self, weights: Weights<'_, T>, inputs: MatRef<'_, T>, purpose: Purpose<'_>) {
        self.summary = BatchLoss::NONE;
        if let Purpose::Gradient { .. } = purpose {
            self.gradient.fill(T::ZERO);
        }
        let mut first = 0;
        while first < inputs.ncols() {
            let n = self.block.capacity.min(inputs.ncols() - first);
            let inputs = inputs.subcols(first, n);
            self.block.forward(weights, inputs);
            for (all, here) in self.outputs.iter_mut().zip(&self.block.outputs) {
                if !all.is_empty() {
                    let dim = here.len() / self.block.capacity;
                    all[dim * first..dim * (first + n)].copy_from_slice(&here[..dim * n]);
                }
            }
            if let Purpose::Gradient { labels, loss, scale } = purpose {
                let summary = logit_gradients(&mut self.block, &labels[first..first + n], loss, T::of(scale));
                self.summary.total += summary.total;
                self.summary.n_correct += summary.n_correct;
                self.block.reverse(weights, inputs, &mut self.gradient, Accum::Add);
            }
            first += n;
        }
    }
}

/// The samples of part `c`, as even as can be.
fn part(c: usize, batch: usize) -> std::ops::Range<usize> {
    c * batch / CHUNKS..(c + 1) * batch / CHUNKS
}

/// Runs `f` on pieces of `len` items, on the current rayon pool if it has threads to share.
fn each<T: Send>(items: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    if rayon::current_num_threads() == 1 {
        items.chunks_mut(len).enumerate().for_each(|(k, piece)| f(k, piece));
    } else {
        items.par_chunks_mut(len).enumerate().with_max_len(1).for_each(|(k, piece)| f(k, piece));
    }
}

impl<T: Scalar> Network<T> {
    /// Forward pass: the logits, `n_out × B`, of inputs `input_dim × B`.
    ///
    /// An image is given as PyTorch flattens it, `C×H×W`: channel after channel, row after row.
    ///
    /// # Panics
    /// When the inputs have another length than the network takes or are more than the workspace holds.
    #[track_caller]
    pub fn forward<'w>(&self, inputs: MatRef<'_, T>, workspace: &'w mut Workspace<T>) -> MatRef<'w, T> {
        let batch = inputs.ncols();
        self.check_batch(inputs, workspace.max_batch);
        arrange(self.architecture(), self.params(), &mut workspace.kernels);
        let weights = Weights::of(self, &workspace.kernels);
        match &mut workspace.passes {
            Passes::Whole(block) => block.forward(weights, inputs),
            Passes::Chunked { chunks, outputs, .. } => {
                run_chunks(chunks, outputs, weights, inputs, Purpose::Outputs);
            }
        }
        workspace.output(self.architecture().layers().len() - 1, batch)
    }

    #[track_caller]
    fn check_batch(&self, inputs: MatRef<'_, T>, max_batch: usize) {
        let batch = inputs.ncols();
        assert_eq!(inputs.nrows(), self.architecture().input_dim(), "inputs are input_dim × B");
        assert!(batch <= max_batch, "batch of {batch} in a workspace for {max_batch}");
    }

    #[track_caller]
    fn check_gradient_call(&self, inputs: MatRef<'_, T>, labels: &[u8], max_batch: usize, gradient: &[T]) {
        self.check_batch(inputs, max_batch);
        assert_eq!(labels.len(), inputs.ncols(), "one label a column");
        assert_eq!(gradient.len(), self.params().len(), "one gradient entry a parameter");
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
        self.check_gradient_call(inputs, labels, workspace.max_batch, gradient);
        arrange(self.architecture(), self.params(), &mut workspace.kernels);
        let weights = Weights::of(self, &workspace.kernels);
        let scale = 1.0 / batch as f64;
        match &mut workspace.passes {
            Passes::Whole(block) => {
                block.forward(weights, inputs);
                let summary = logit_gradients(block, labels, loss, T::of(scale));
                block.reverse(weights, inputs, gradient, Accum::Replace);
                summary
            }
            Passes::Chunked { chunks, outputs, gradient: sum } => {
                let purpose = Purpose::Gradient { labels, loss, scale };
                let summary = run_chunks(chunks, outputs, weights, inputs, purpose);
                sum_in_order(|c| chunks.get(c).map(|chunk| &chunk.gradient[..]), sum);
                block::in_parameter_order(self.architecture(), sum, gradient);
                summary
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
        self.forward(inputs, workspace);
        let Workspace { passes, logit_gradient, .. } = workspace;
        let outputs = match passes {
            Passes::Whole(block) => &block.outputs[..],
            Passes::Chunked { outputs, .. } => outputs,
        };
        let mut summary = BatchLoss::NONE;
        for (logits, &label) in outputs[outputs.len() - 1].chunks_exact(logit_gradient.len()).zip(labels) {
            summary.total += loss.value_and_gradient(logits, label, logit_gradient).f64();
            summary.n_correct += usize::from(largest(logits) == usize::from(label));
        }
        summary
    }
}

/// Runs all parts of a batch, and puts together what they gave.
fn run_chunks<T: Scalar>(
    chunks: &mut [Chunk<T>],
    outputs: &mut [Vec<T>],
    weights: Weights<'_, T>,
    inputs: MatRef<'_, T>,
    purpose: Purpose<'_>,
) -> BatchLoss {
    let batch = inputs.ncols();
    each(chunks, 1, |c, chunk| {
        let range = part(c, batch);
        let purpose = match purpose {
            Purpose::Outputs => purpose,
            Purpose::Gradient { labels, loss, scale } => {
                Purpose::Gradient { labels: &labels[range.clone()], loss, scale }
            }
        };
        chunk[0].run(weights, inputs.subcols(range.start, range.len()), purpose);
    });
    let mut summary = BatchLoss::NONE;
    for (c, chunk) in chunks.iter().enumerate() {
        let range = part(c, batch);
        for (position, (all, part)) in outputs.iter_mut().zip(&chunk.outputs).enumerate() {
            let Shape::Vector(dim) = weights.architecture.output_shape_of(position) else { continue };
            all[dim * range.start..dim * range.end].copy_from_slice(&part[..dim * range.len()]);
        }
        summary.total += chunk.summary.total;
        summary.n_correct += chunk.summary.n_correct;
    }
    summary
}

/// Losses at the logits that `block` holds; the gradients in them, times `scale`, go to where its reverse pass starts.
fn logit_gradients<T: Scalar>(block: &mut Block<T>, labels: &[u8], loss: Loss, scale: T) -> BatchLoss {
    let logits = &block.outputs[block.outputs.len() - 1];
    let n_out = logits.len() / block.capacity;
    let mut summary = BatchLoss::NONE;
    for (p, &label) in labels.iter().enumerate() {
        let column = p * n_out..(p + 1) * n_out;
        let logit_gradient = &mut block.gradients[0][column.clone()];
        summary.total += loss.value_and_gradient(&logits[column.clone()], label, logit_gradient).f64();
        summary.n_correct += usize::from(largest(&logits[column]) == usize::from(label));
        for g in logit_gradient {
            *g *= scale;
        }
    }
    summary
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
mod block_tests;
#[cfg(test)]
mod tests;
