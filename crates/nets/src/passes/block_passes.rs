//! Derivative products of a block of samples with several vectors at once, over selected parameters.
//!
//! With `ẋ` the derivative of `x` along a direction `v`, a layer `z = W a + b` has `ż = V a + W ȧ + v_b`, and its
//! reverse pass `∂ℓ/∂W = δ aᵀ` the derivative `δ̇ aᵀ + δ ȧᵀ`. What does not depend on the direction, outputs and
//! gradients `δ` of all layers, is computed once a block; nothing in front of the first selected layer moves. Tangents
//! of vectors stand as `[p][k][dim]`, so that `[V_1; …; V_K] a` and `W ȧ` each are one product; tangents of images as
//! `[k]`, and then as `conv` has a block.

mod forms;

use super::block::{Block, Weights, arrange, before, image_shape, kernels_of};
use super::conv::Kernels;
use super::dense::product;
use super::directions::{Directions, Sums};
use super::pool;
use super::walk::{Moves, Selected, Tangents, Walk};
use crate::{Layer, Loss, Network, Part, Scalar, Selection};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
pub use forms::Forms;

/// Passes of one block of samples at a time through a network, on the calling thread but for large dense products.
///
/// [`BlockPasses::evaluate`] takes a block; every other pass then adds, for each of `K` vectors `v`, a sum over the
/// block's samples to [`Sums`]: nothing is divided by a number of samples.
#[derive(Clone, Debug)]
pub struct BlockPasses<'n, T> {
    net: &'n Network<T>,
    selection: Selection,
    /// First selected layer.
    first: usize,
    /// What is selected of every layer.
    selected: Vec<Selected>,
    kernels: Vec<Kernels<T>>,
    inputs: Vec<T>,
    labels: Vec<u8>,
    loss: Loss,
    block: Block<T>,
    /// Gradient in every layer's output, from the first selected layer on.
    deltas: Vec<Vec<T>>,
    /// `∂²ℓ_p/∂f²` of every sample, once they are asked for.
    logit_hessians: Vec<T>,
    tangents: Tangents<T>,
    second: Tangents<T>,
    per_sample: Option<Sums<T>>,
}

/// What a network gives for a block of samples, and the gradients there: all that products over a selection need of it.
#[derive(Clone, Debug)]
pub struct EvaluatedBlock<T> {
    labels: Vec<u8>,
    loss: Loss,
    /// Of layers in front of the first selected, what they gave is left out but for the last.
    inputs: Vec<T>,
    image: Vec<T>,
    outputs: Vec<Vec<T>>,
    deltas: Vec<Vec<T>>,
    logit_hessians: Vec<T>,
}

impl<'n, T: Scalar> BlockPasses<'n, T> {
    /// Buffers for blocks of up to `max_samples`, with derivatives in `selection`.
    ///
    /// # Panics
    /// When the selection is of another architecture or `max_samples` is 0.
    #[track_caller]
    pub fn new(net: &'n Network<T>, selection: &Selection, max_samples: usize) -> Self {
        let architecture = net.architecture();
        assert!(selection.fits(architecture), "the selection is of another architecture");
        assert!(max_samples > 0, "a block has samples");
        let first = selection.parameters()[0].layer;
        let n_layers = architecture.layers().len();
        let named = |layer, part| selection.parameters().iter().any(|p| p.layer == layer && p.part == part);
        let selected = |l| Selected { weight: named(l, Part::Weight), bias: named(l, Part::Bias) };
        let len = |l: usize| if l < first { 0 } else { architecture.output_dim_of(l) * max_samples };
        let block = Block::new(architecture, max_samples);
        let mut kernels = kernels_of(architecture);
        arrange(architecture, net.params(), &mut kernels);
        Self {
            net,
            selection: selection.clone(),
            first,
            selected: (0..n_layers).map(selected).collect(),
            kernels,
            inputs: vec![T::ZERO; architecture.input_dim() * max_samples],
            labels: Vec::new(),
            loss: Loss::CrossEntropy,
            block,
            deltas: (0..n_layers).map(|l| vec![T::ZERO; len(l)]).collect(),
            logit_hessians: Vec::new(),
            tangents: Tangents::new(n_layers),
            second: Tangents::new(n_layers),
            per_sample: None,
        }
    }

    /// How many samples a block may have.
    pub fn max_samples(&self) -> usize {
        self.block.capacity
    }

    /// Takes a block: `write(p, input)` writes the input of its sample `p`, one a label. Returns the sum of the losses.
    ///
    /// # Panics
    /// When there are more labels than the block may have samples, or one is not below `n_out`.
    #[track_caller]
    pub fn evaluate(&mut self, labels: &[u8], loss: Loss, mut write: impl FnMut(usize, &mut [T])) -> f64 {
        let architecture = self.net.architecture();
        let (n, d) = (labels.len(), architecture.input_dim());
        assert!(n <= self.block.capacity, "{n} samples in a block of {}", self.block.capacity);
        for (p, input) in self.inputs.chunks_exact_mut(d).take(n).enumerate() {
            write(p, input);
        }
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        self.loss = loss;
        self.logit_hessians.clear();
        let inputs = MatRef::from_column_major_slice(&self.inputs[..d * n], d, n);
        self.block.forward(Weights::of(self.net, &self.kernels), inputs);
        let summary = super::logit_gradients(&mut self.block, labels, loss, T::ONE);
        let last = self.deltas.len() - 1;
        let n_out = architecture.n_out();
        self.deltas[last][..n_out * n].copy_from_slice(&self.block.gradients[0][..n_out * n]);
        self.reverse_deltas(n);
        summary.total
    }

    /// How many numbers a sample takes in an [`EvaluatedBlock`].
    pub fn numbers_of_a_sample(&self) -> usize {
        let architecture = self.net.architecture();
        let n_layers = architecture.layers().len();
        let dim = |l: usize| architecture.output_dim_of(l);
        let inputs = if self.first == 0 { architecture.input_dim() } else { dim(self.first - 1) };
        inputs + 2 * (self.first..n_layers).map(dim).sum::<usize>() + architecture.n_out().pow(2)
    }

    /// A copy of what [`BlockPasses::evaluate`] found of the block that it took last, as far as later passes need it.
    pub fn evaluated(&self) -> EvaluatedBlock<T> {
        let (n, architecture) = (self.labels.len(), self.net.architecture());
        let at_front = |values: &[T], dim: usize| if self.first == 0 { values[..dim * n].to_vec() } else { Vec::new() };
        let of_images = !self.block.image.is_empty();
        let input_dim = architecture.input_dim();
        let from = |first: usize, all: &[Vec<T>]| -> Vec<Vec<T>> {
            let kept = |(l, values): (usize, &Vec<T>)| match l < first {
                true => Vec::new(),
                false => values[..architecture.output_dim_of(l) * n].to_vec(),
            };
            all.iter().enumerate().map(kept).collect()
        };
        EvaluatedBlock {
            labels: self.labels.clone(),
            loss: self.loss,
            inputs: if of_images { Vec::new() } else { at_front(&self.inputs, input_dim) },
            image: if of_images { at_front(&self.block.image, input_dim) } else { Vec::new() },
            outputs: from(self.first.saturating_sub(1), &self.block.outputs),
            deltas: from(self.first, &self.deltas),
            logit_hessians: Vec::new(),
        }
    }

    /// Runs `passes` as after [`BlockPasses::evaluate`] of the block that `block` was made of.
    ///
    /// `block` comes from [`BlockPasses::evaluated`] of passes of the same network and selection.
    ///
    /// # Panics
    /// When `block` has another number of layers.
    #[track_caller]
    pub fn with_evaluated<R>(&mut self, block: &mut EvaluatedBlock<T>, passes: impl FnOnce(&mut Self) -> R) -> R {
        assert_eq!(block.outputs.len(), self.deltas.len(), "the block was evaluated by the same network");
        self.exchange(block);
        let result = passes(self);
        self.exchange(block);
        result
    }

    fn exchange(&mut self, block: &mut EvaluatedBlock<T>) {
        std::mem::swap(&mut self.labels, &mut block.labels);
        std::mem::swap(&mut self.loss, &mut block.loss);
        std::mem::swap(&mut self.inputs, &mut block.inputs);
        std::mem::swap(&mut self.block.image, &mut block.image);
        std::mem::swap(&mut self.block.outputs, &mut block.outputs);
        std::mem::swap(&mut self.deltas, &mut block.deltas);
        std::mem::swap(&mut self.logit_hessians, &mut block.logit_hessians);
    }

    /// Gradients in the outputs of all layers from the first selected on, from those in the logits.
    fn reverse_deltas(&mut self, n: usize) {
        let architecture = self.net.architecture();
        let weights = Weights::of(self.net, &self.kernels);
        let Block { image, outputs, scratch, .. } = &mut self.block;
        for position in (self.first + 1..architecture.layers().len()).rev() {
            let (dim, shape) = (architecture.output_dim_of(position), architecture.shape_before(position));
            let (below, here) = self.deltas.split_at_mut(position);
            let (here, below) = (&here[0][..dim * n], &mut below[position - 1][..shape.dim() * n]);
            let input = &before(position, image, outputs)[..shape.dim() * n];
            match architecture.layers()[position] {
                Layer::Dense { d_in, d_out, .. } => {
                    let below = MatMut::from_column_major_slice_mut(below, d_in, n);
                    let here = MatRef::from_column_major_slice(here, d_out, n);
                    product(below, Accum::Replace, weights.matrix(position, d_out, d_in).transpose(), here);
                }
                Layer::Activation(activation) => {
                    for ((below, &d), &a) in below.iter_mut().zip(here).zip(&outputs[position]) {
                        *below = activation.derivative_from_output(a) * d;
                    }
                }
                Layer::Conv3x3 { .. } => {
                    weights.kernels[position].backward(here, below, Accum::Replace, scratch);
                }
                Layer::MaxPool2x2 => {
                    pool::max_pool_backward(input, &outputs[position][..dim * n], here, image_shape(shape), below);
                }
                Layer::GlobalAveragePool => pool::global_average_backward(here, image_shape(shape), below),
                Layer::Flatten => pool::channels_last(here, image_shape(shape), below),
            }
        }
    }

    /// Adds `Σ_p g_p` to the one vector of `sums`.
    ///
    /// # Panics
    /// When `sums` is for another number of vectors than 1.
    #[track_caller]
    pub fn gradient(&mut self, sums: &mut Sums<T>) {
        assert_eq!(sums.n, 1, "a gradient is one vector");
        self.walk().gradient(sums);
    }

    /// Adds `Σ_p h_p v`, with `h_p = ∂²ℓ_p/∂w²` over the selection, for every vector.
    ///
    /// The largest entry of a pooling window is taken as fixed, and kinks of piecewise-linear activations as flat.
    ///
    /// # Panics
    /// When `directions` and `sums` are for different numbers of vectors.
    #[track_caller]
    pub fn hessian(&mut self, directions: &Directions<T>, sums: &mut Sums<T>) {
        assert_eq!(directions.n, sums.n, "a sum for every direction");
        let mut tangents = std::mem::take(&mut self.tangents);
        self.forward(&mut tangents, Moves::Given(directions), directions.n);
        self.at_logits(&mut tangents, directions.n);
        self.reverse(&mut tangents, Moves::Given(directions), directions.n, Some(sums));
        self.tangents = tangents;
    }

    /// Adds `Σ_p J_pᵀ M_p J_p v` for every vector, with `J_p = ∂f_p/∂w` over the selection and any `M_p`
    /// (`n_out × n_out`).
    ///
    /// `act(at, out)` writes the product of `M_p` with what stands in `out`, which is `J_p V` (`n_out × K`).
    ///
    /// # Panics
    /// When `directions` and `sums` are for different numbers of vectors.
    #[track_caller]
    pub fn through_logits(
        &mut self,
        directions: &Directions<T>,
        mut act: impl FnMut(AtLogits<'_, T>, MatMut<'_, T>),
        sums: &mut Sums<T>,
    ) {
        assert_eq!(directions.n, sums.n, "a sum for every direction");
        let (k, n_out) = (directions.n, self.net.architecture().n_out());
        let mut tangents = std::mem::take(&mut self.tangents);
        self.forward(&mut tangents, Moves::Given(directions), k);
        let last = self.deltas.len() - 1;
        let moved = &mut tangents.deltas[last];
        moved[..].copy_from_slice(&tangents.outputs[last]);
        for (p, moved) in moved.chunks_exact_mut(n_out * k).take(self.labels.len()).enumerate() {
            let column = p * n_out..(p + 1) * n_out;
            let at = AtLogits {
                p,
                label: self.labels[p],
                logits: &self.block.outputs[last][column.clone()],
                gradient: &self.deltas[last][column],
            };
            act(at, MatMut::from_column_major_slice_mut(moved, n_out, k));
        }
        self.reverse(&mut tangents, Moves::Nothing, k, Some(sums));
        self.tangents = tangents;
    }

    /// Adds `Σ_p h_p² v` for every vector, with `h_p` of [`BlockPasses::hessian`], exactly.
    ///
    /// Of dense layers `h_p v` has the two terms `δ̇ aᵀ + δ ȧᵀ`, which are never formed. For a selection with a
    /// convolution they are, and a block must then have a single sample.
    ///
    /// # Panics
    /// When `directions` and `sums` are for different numbers of vectors, or a block of several samples comes with a
    /// selected convolution.
    #[track_caller]
    pub fn squared_hessian(&mut self, directions: &Directions<T>, sums: &mut Sums<T>) {
        assert_eq!(directions.n, sums.n, "a sum for every direction");
        let (k, architecture) = (directions.n, self.net.architecture());
        let convolution = |at: &usize| matches!(architecture.layers()[*at], Layer::Conv3x3 { .. });
        if self.selection.parameters().iter().any(|parameter| convolution(&parameter.layer)) {
            assert!(self.labels.len() <= 1, "with convolutions one sample at a time");
            let mut once = self.per_sample.take().filter(|sums| sums.n == k);
            let once_sums = once.get_or_insert_with(|| Sums::zeros(architecture, &self.selection, k));
            once_sums.clear();
            self.hessian(directions, once_sums);
            let mut product = Mat::zeros(self.selection.n_params(), k);
            once_sums.add_to(architecture, &self.selection, product.as_mut());
            self.per_sample = once;
            return self.hessian(&Directions::new(architecture, &self.selection, product.as_ref()), sums);
        }
        let mut first = std::mem::take(&mut self.tangents);
        self.forward(&mut first, Moves::Given(directions), k);
        self.at_logits(&mut first, k);
        self.reverse(&mut first, Moves::Given(directions), k, None);
        let mut second = std::mem::take(&mut self.second);
        self.forward(&mut second, Moves::AsProduct(&first), k);
        self.at_logits(&mut second, k);
        self.reverse(&mut second, Moves::AsProduct(&first), k, Some(sums));
        self.tangents = first;
        self.second = second;
    }

    /// `Q_p ḟ`, where the derivative of the reverse pass starts.
    fn at_logits(&mut self, tangents: &mut Tangents<T>, k: usize) {
        let n_out = self.net.architecture().n_out();
        let last = self.deltas.len() - 1;
        let square = n_out * n_out;
        if self.logit_hessians.is_empty() {
            let mut probabilities = vec![T::ZERO; n_out];
            self.logit_hessians.resize(square * self.labels.len(), T::ZERO);
            let logits = self.block.outputs[last].chunks_exact(n_out);
            for ((Q, logits), &label) in self.logit_hessians.chunks_exact_mut(square).zip(logits).zip(&self.labels) {
                let Q = MatMut::from_column_major_slice_mut(Q, n_out, n_out);
                self.loss.hessian(logits, label, &mut probabilities, Q);
            }
        }
        let outputs = tangents.outputs[last].chunks_exact(n_out * k);
        let deltas = tangents.deltas[last].chunks_exact_mut(n_out * k);
        for ((Q, moved), out) in self.logit_hessians.chunks_exact(square).zip(outputs).zip(deltas) {
            let Q = MatRef::from_column_major_slice(Q, n_out, n_out);
            let moved = MatRef::from_column_major_slice(moved, n_out, k);
            matmul(MatMut::from_column_major_slice_mut(out, n_out, k), Accum::Replace, Q, moved, T::ONE, Par::Seq);
        }
    }

    fn forward(&mut self, tangents: &mut Tangents<T>, moves: Moves<'_, T>, k: usize) {
        tangents.make_room(self.net.architecture(), self.first, self.labels.len() * k);
        self.walk().forward(tangents, moves, k);
    }

    fn reverse(&mut self, tangents: &mut Tangents<T>, moves: Moves<'_, T>, k: usize, sums: Option<&mut Sums<T>>) {
        self.walk().reverse(tangents, moves, k, sums);
    }

    fn walk(&mut self) -> Walk<'_, T> {
        let n = self.labels.len();
        let d = self.net.architecture().input_dim();
        let Block { image, outputs, scratch, .. } = &mut self.block;
        // Of a block that was kept there are no inputs where nobody reads them.
        let inputs = if self.inputs.is_empty() { 0 } else { n };
        Walk {
            weights: Weights::of(self.net, &self.kernels),
            selected: &self.selected,
            first: self.first,
            n,
            inputs: MatRef::from_column_major_slice(&self.inputs[..d * inputs], d, inputs),
            image,
            outputs,
            deltas: &self.deltas,
            scratch,
        }
    }
}

/// One sample's logits, as [`BlockPasses::through_logits`] shows them.
#[derive(Clone, Copy, Debug)]
pub struct AtLogits<'a, T> {
    /// Which sample of the block.
    pub p: usize,
    /// Its class.
    pub label: u8,
    /// `f_p`, length `n_out`.
    pub logits: &'a [T],
    /// `∂ℓ_p/∂f`, length `n_out`.
    pub gradient: &'a [T],
}
