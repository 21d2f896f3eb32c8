//! Hessian-vector products: a reverse pass carried along a direction in the parameters.
//!
//! With `ẋ` the derivative of `x` along the direction `v`, every layer's reverse pass is differentiated once more: of
//! `z = W a + b` follow `ż = V a + W ȧ + v_b`, and of `∂ℓ/∂W = δ aᵀ` the product's part `δ̇ aᵀ + δ ȧᵀ`. Exact, at the
//! cost of about two and a half gradients.

use super::block::{Block, Weights, arrange, before, image_shape, in_parameter_order, kernels_of};
use super::conv::Kernels;
use super::dense::{self, sum_in_order};
use super::{CHUNKS, conv, each, part, pool};
use crate::{Layer, Loss, Network, Scalar, Shape};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Samples of vectors that go through the network together.
const BLOCK_OF_VECTORS: usize = 64;
/// Images that do: fewer than in a gradient, for every part has two blocks, mostly of `f64`.
const BLOCK_OF_IMAGES: usize = 4;

/// Buffers for [`Network::hessian_vector`]: after construction no product allocates.
#[derive(Clone, Debug)]
pub struct TangentWorkspace<T> {
    kernels: Vec<Kernels<T>>,
    /// The direction's.
    direction: Vec<Kernels<T>>,
    chunks: Vec<Chunk<T>>,
    sum: Vec<T>,
}

#[derive(Clone, Debug)]
struct Chunk<T> {
    block: Block<T>,
    /// Derivatives, along the direction, of what `block` holds.
    tangent: Block<T>,
    product: Vec<T>,
    probabilities: Vec<T>,
    Q: Mat<T>,
}

impl<T: Scalar> TangentWorkspace<T> {
    /// Buffers for `net` and batches of any length.
    pub fn new(net: &Network<T>) -> Self {
        let architecture = net.architecture();
        let capacity = match architecture.input_shape() {
            Shape::Image(_) => BLOCK_OF_IMAGES,
            Shape::Vector(_) => BLOCK_OF_VECTORS,
        };
        let n_out = architecture.n_out();
        let chunk = |_| Chunk {
            block: Block::new(architecture, capacity),
            tangent: Block::new(architecture, capacity),
            product: vec![T::ZERO; architecture.n_params()],
            probabilities: vec![T::ZERO; n_out],
            Q: Mat::zeros(n_out, n_out),
        };
        Self {
            kernels: kernels_of(architecture),
            direction: kernels_of(architecture),
            chunks: (0..CHUNKS).map(chunk).collect(),
            sum: vec![T::ZERO; architecture.n_params()],
        }
    }
}

impl<T: Scalar> Network<T> {
    /// `H v` of the **mean** loss over a batch, `H = (1/B) Σ_p ∂²ℓ_p/∂w²` over all parameters, written to `out`.
    ///
    /// The largest entry of a pooling window is taken as fixed, and kinks of piecewise-linear activations as flat.
    ///
    /// # Panics
    /// When inputs, labels, direction or `out` do not fit, or a label is not below `n_out`.
    #[track_caller]
    pub fn hessian_vector(
        &self,
        inputs: MatRef<'_, T>,
        labels: &[u8],
        loss: Loss,
        direction: &[T],
        workspace: &mut TangentWorkspace<T>,
        out: &mut [T],
    ) {
        let (architecture, batch) = (self.architecture(), inputs.ncols());
        assert_eq!(inputs.nrows(), architecture.input_dim(), "inputs are input_dim × B");
        assert_eq!(labels.len(), batch, "one label a column");
        assert_eq!(direction.len(), self.params().len(), "one direction entry a parameter");
        assert_eq!(out.len(), self.params().len(), "one output entry a parameter");
        let TangentWorkspace { kernels, direction: turned, chunks, sum } = workspace;
        arrange(architecture, self.params(), kernels);
        arrange(architecture, direction, turned);
        let weights = Weights::of(self, kernels);
        let direction = Weights { architecture, params: direction, kernels: turned };
        let scale = T::of(1.0 / batch as f64);
        each(chunks, 1, |c, chunk| {
            let chunk = &mut chunk[0];
            let range = part(c, batch);
            chunk.product.fill(T::ZERO);
            let mut first = range.start;
            while first < range.end {
                let n = chunk.block.capacity.min(range.end - first);
                let (inputs, labels) = (inputs.subcols(first, n), &labels[first..first + n]);
                chunk.block.forward(weights, inputs);
                chunk.forward(weights, direction, inputs);
                chunk.at_logits(labels, loss, scale);
                chunk.reverse(weights, direction, inputs);
                first += n;
            }
        });
        sum_in_order(|c| chunks.get(c).map(|chunk| &chunk.product[..]), sum);
        in_parameter_order(architecture, sum, out);
    }
}

/// The columns of `flat` that hold `B` vectors of length `dim`.
fn columns<T: Scalar>(flat: &[T], dim: usize, batch: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(&flat[..dim * batch], dim, batch)
}

impl<T: Scalar> Chunk<T> {
    /// Derivative of every layer's output; `block` holds the outputs.
    fn forward(&mut self, weights: Weights<'_, T>, direction: Weights<'_, T>, inputs: MatRef<'_, T>) {
        let architecture = weights.architecture;
        let batch = inputs.ncols();
        let Block { image, outputs, scratch, .. } = &mut self.block;
        for (position, layer) in architecture.layers().iter().enumerate() {
            let dim = architecture.output_dim_of(position);
            let shape = architecture.shape_before(position);
            let (earlier, here) = self.tangent.outputs.split_at_mut(position);
            let here = &mut here[0][..dim * batch];
            let input = before(position, image, outputs);
            // Nothing moves in front of the first layer.
            let moved = earlier.last().map(|moved| &moved[..shape.dim() * batch]);
            match *layer {
                Layer::Dense { d_in, d_out, .. } => {
                    let a = if position == 0 { inputs } else { columns(input, d_in, batch) };
                    dense::forward(direction.matrix(position, d_out, d_in), direction.bias(position), a, here);
                    if let Some(moved) = moved {
                        let here = MatMut::from_column_major_slice_mut(here, d_out, batch);
                        dense::product(
                            here,
                            Accum::Add,
                            weights.matrix(position, d_out, d_in),
                            columns(moved, d_in, batch),
                        );
                    }
                    continue;
                }
                Layer::Conv3x3 { input: shape, .. } => {
                    conv::fill_with_bias(direction.bias(position), here);
                    let input = &input[..shape.dim() * batch];
                    direction.kernels[position].forward(input, here, Accum::Add, scratch);
                    if let Some(moved) = moved {
                        weights.kernels[position].forward(moved, here, Accum::Add, scratch);
                    }
                    continue;
                }
                _ => {}
            }
            let Some(moved) = moved else { unreachable!("the first layer is dense or a convolution") };
            let input = &input[..shape.dim() * batch];
            match *layer {
                Layer::Activation(activation) => {
                    for ((out, &moved), &z) in here.iter_mut().zip(moved).zip(input) {
                        *out = activation.derivative(z) * moved;
                    }
                }
                Layer::MaxPool2x2 => {
                    let pooled = &outputs[position][..dim * batch];
                    pool::max_pool_tangent(input, pooled, moved, image_shape(shape), here);
                }
                Layer::GlobalAveragePool => pool::global_average(moved, image_shape(shape), here),
                Layer::Flatten => pool::channels_first(moved, image_shape(shape), here),
                Layer::Dense { .. } | Layer::Conv3x3 { .. } => {}
            }
        }
    }

    /// Gradient in the logits and its derivative `Q ḟ`, where the reverse pass starts.
    fn at_logits(&mut self, labels: &[u8], loss: Loss, scale: T) {
        super::logit_gradients(&mut self.block, labels, loss, scale);
        let n_out = self.Q.nrows();
        let last = self.block.outputs.len() - 1;
        for (p, &label) in labels.iter().enumerate() {
            let column = p * n_out..(p + 1) * n_out;
            let logits = &self.block.outputs[last][column.clone()];
            loss.hessian(logits, label, &mut self.probabilities, self.Q.as_mut());
            let moved = MatRef::from_column_major_slice(&self.tangent.outputs[last][column.clone()], n_out, 1);
            let out = MatMut::from_column_major_slice_mut(&mut self.tangent.gradients[0][column], n_out, 1);
            matmul(out, Accum::Replace, self.Q.as_ref(), moved, scale, Par::Seq);
        }
    }

    /// Reverse pass of gradients and their derivatives together; adds the block's part to `product`.
    fn reverse(&mut self, weights: Weights<'_, T>, direction: Weights<'_, T>, inputs: MatRef<'_, T>) {
        let architecture = weights.architecture;
        let batch = inputs.ncols();
        let Block { image, outputs, gradients: [delta, next_delta], scratch, .. } = &mut self.block;
        let Block { outputs: tangents, gradients: [moved_delta, next_moved], .. } = &mut self.tangent;
        for (position, layer) in architecture.layers().iter().enumerate().rev() {
            let dim = architecture.output_dim_of(position);
            let shape = architecture.shape_before(position);
            let (n, n_below) = (dim * batch, shape.dim() * batch);
            let input = before(position, image, outputs);
            let moved = position.checked_sub(1).map(|below| &tangents[below][..n_below]);
            let weight = architecture.weight_params(position);
            let bias = &mut self.product[architecture.bias_params(position)];
            match *layer {
                Layer::Dense { d_in, d_out, .. } => {
                    let (d, d_moved) = (columns(delta, d_out, batch), columns(moved_delta, d_out, batch));
                    let a = if position == 0 { inputs } else { columns(input, d_in, batch) };
                    dense::bias_gradient(d_moved, Accum::Add, bias);
                    let mut product = MatMut::from_row_major_slice_mut(&mut self.product[weight], d_out, d_in);
                    dense::product(product.as_mut(), Accum::Add, d_moved, a.transpose());
                    let Some(moved) = moved else { break };
                    dense::product(product, Accum::Add, d, columns(moved, d_in, batch).transpose());
                    let W = weights.matrix(position, d_out, d_in).transpose();
                    let V = direction.matrix(position, d_out, d_in).transpose();
                    let mut below = MatMut::from_column_major_slice_mut(&mut next_moved[..n_below], d_in, batch);
                    dense::product(below.as_mut(), Accum::Replace, W, d_moved);
                    dense::product(below, Accum::Add, V, d);
                    let below = MatMut::from_column_major_slice_mut(&mut next_delta[..n_below], d_in, batch);
                    dense::product(below, Accum::Replace, W, d);
                }
                Layer::Activation(activation) => {
                    let Some(moved) = moved else { unreachable!("the first layer is dense or a convolution") };
                    let numbers = delta[..n].iter_mut().zip(&mut moved_delta[..n]).zip(input).zip(moved);
                    for (((d, d_moved), &z), &z_moved) in numbers {
                        let slope = activation.derivative(z);
                        *d_moved = slope * *d_moved + activation.second_derivative(z) * z_moved * *d;
                        *d *= slope;
                    }
                    continue;
                }
                Layer::Conv3x3 { .. } => {
                    let (d, d_moved) = (&delta[..n], &moved_delta[..n]);
                    conv::add_bias_gradient(d_moved, bias);
                    let product = &mut self.product[weight];
                    let (W, V) = (&weights.kernels[position], &direction.kernels[position]);
                    W.add_weight_gradient(&input[..n_below], d_moved, product, scratch);
                    let Some(moved) = moved else { break };
                    W.add_weight_gradient(moved, d, product, scratch);
                    W.backward(d_moved, &mut next_moved[..n_below], Accum::Replace, scratch);
                    V.backward(d, &mut next_moved[..n_below], Accum::Add, scratch);
                    W.backward(d, &mut next_delta[..n_below], Accum::Replace, scratch);
                }
                Layer::MaxPool2x2 => {
                    let (input, pooled) = (&input[..n_below], &outputs[position][..n]);
                    let image = image_shape(shape);
                    pool::max_pool_backward(input, pooled, &delta[..n], image, &mut next_delta[..n_below]);
                    pool::max_pool_backward(input, pooled, &moved_delta[..n], image, &mut next_moved[..n_below]);
                }
                Layer::GlobalAveragePool => {
                    let image = image_shape(shape);
                    pool::global_average_backward(&delta[..n], image, &mut next_delta[..n_below]);
                    pool::global_average_backward(&moved_delta[..n], image, &mut next_moved[..n_below]);
                }
                Layer::Flatten => {
                    let image = image_shape(shape);
                    pool::channels_last(&delta[..n], image, &mut next_delta[..n_below]);
                    pool::channels_last(&moved_delta[..n], image, &mut next_moved[..n_below]);
                }
            }
            std::mem::swap(delta, next_delta);
            std::mem::swap(moved_delta, next_moved);
        }
    }
}
