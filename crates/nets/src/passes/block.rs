//! Forward and reverse passes of all layers over a few samples, on one thread but for large dense products.

use super::conv::{self, Kernels, Scratch};
use super::{dense, pool};
use crate::{Architecture, ImageShape, Layer, Network, Scalar, Shape};
use faer::{Accum, MatMut, MatRef};

/// Parameters, or a direction among them, with convolution kernels in the orders that products read.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a, T> {
    pub(super) architecture: &'a Architecture,
    pub(super) params: &'a [T],
    pub(super) kernels: &'a [Kernels<T>],
}

impl<'a, T: Scalar> Weights<'a, T> {
    pub(super) fn of(net: &'a Network<T>, kernels: &'a [Kernels<T>]) -> Self {
        Self { architecture: net.architecture(), params: net.params(), kernels }
    }

    pub(super) fn matrix(self, position: usize, d_out: usize, d_in: usize) -> MatRef<'a, T> {
        MatRef::from_row_major_slice(&self.params[self.architecture.weight_params(position)], d_out, d_in)
    }

    pub(super) fn bias(self, position: usize) -> &'a [T] {
        &self.params[self.architecture.bias_params(position)]
    }
}

/// The kernels of every layer, empty for all but convolutions.
pub(super) fn kernels_of<T: Scalar>(architecture: &Architecture) -> Vec<Kernels<T>> {
    let of = |layer: &Layer| match *layer {
        Layer::Conv3x3 { input, c_out } => Kernels::new(input, c_out),
        _ => Kernels::none(),
    };
    architecture.layers().iter().map(of).collect()
}

/// Takes the kernels over from `params`.
pub(super) fn arrange<T: Scalar>(architecture: &Architecture, params: &[T], kernels: &mut [Kernels<T>]) {
    for (position, kernels) in kernels.iter_mut().enumerate() {
        kernels.arrange(&params[architecture.weight_params(position)]);
    }
}

/// What layer `position` took as the output of the layer before, or the image that the first layer took.
pub(super) fn before<'a, T>(position: usize, image: &'a [T], outputs: &'a [Vec<T>]) -> &'a [T] {
    if position == 0 { image } else { &outputs[position - 1] }
}

/// Buffers for passes over up to `capacity` samples: vectors one after the other, images as `conv` has them.
#[derive(Clone, Debug)]
pub(super) struct Block<T> {
    pub(super) capacity: usize,
    /// The inputs of a first convolution.
    pub(super) image: Vec<T>,
    /// Output of every layer.
    pub(super) outputs: Vec<Vec<T>>,
    /// Two alternating buffers for the gradient in a layer's output.
    pub(super) gradients: [Vec<T>; 2],
    pub(super) scratch: Scratch<T>,
}

impl<T: Scalar> Block<T> {
    pub(super) fn new(architecture: &Architecture, capacity: usize) -> Self {
        let dims = (0..architecture.layers().len()).map(|l| architecture.output_dim_of(l));
        let widest = dims.clone().max().unwrap_or(0);
        let image = match architecture.input_shape() {
            Shape::Image(shape) => shape.dim() * capacity,
            Shape::Vector(_) => 0,
        };
        let convolutions = architecture.layers().iter().filter_map(|layer| match *layer {
            Layer::Conv3x3 { input, c_out } => Some((input, c_out)),
            _ => None,
        });
        Self {
            capacity,
            image: vec![T::ZERO; image],
            outputs: dims.map(|dim| vec![T::ZERO; dim * capacity]).collect(),
            gradients: [vec![T::ZERO; widest * capacity], vec![T::ZERO; widest * capacity]],
            scratch: Scratch::new(convolutions, capacity),
        }
    }

    /// Outputs of every layer for inputs `input_dim × B`.
    pub(super) fn forward(&mut self, weights: Weights<'_, T>, inputs: MatRef<'_, T>) {
        let architecture = weights.architecture;
        let batch = inputs.ncols();
        if let Shape::Image(shape) = architecture.input_shape() {
            for p in 0..batch {
                let image = inputs.col(p);
                match image.try_as_col_major() {
                    Some(image) => {
                        let image = image.as_slice().iter().copied();
                        pool::put_channels_last(image, shape, p, batch, &mut self.image);
                    }
                    None => pool::put_channels_last(image.iter().copied(), shape, p, batch, &mut self.image),
                }
            }
        }
        for (position, layer) in architecture.layers().iter().enumerate() {
            let dim = architecture.output_dim_of(position);
            let shape = architecture.shape_before(position);
            let (earlier, here) = self.outputs.split_at_mut(position);
            let here = &mut here[0][..dim * batch];
            let input = before(position, &self.image, earlier);
            match *layer {
                Layer::Dense { d_in, d_out, .. } => {
                    let a = match position {
                        0 => inputs,
                        _ => MatRef::from_column_major_slice(&input[..d_in * batch], d_in, batch),
                    };
                    dense::forward(weights.matrix(position, d_out, d_in), weights.bias(position), a, here);
                }
                Layer::Activation(activation) => {
                    for (a, &z) in here.iter_mut().zip(&input[..dim * batch]) {
                        *a = activation.value(z);
                    }
                }
                Layer::Conv3x3 { input: shape, .. } => {
                    conv::fill_with_bias(weights.bias(position), here);
                    let input = &input[..shape.dim() * batch];
                    weights.kernels[position].forward(input, here, Accum::Add, &mut self.scratch);
                }
                Layer::MaxPool2x2 => pool::max_pool(&input[..shape.dim() * batch], image_shape(shape), here),
                Layer::GlobalAveragePool => {
                    pool::global_average(&input[..shape.dim() * batch], image_shape(shape), here)
                }
                Layer::Flatten => pool::channels_first(&input[..shape.dim() * batch], image_shape(shape), here),
            }
        }
    }

    /// Reverse pass from the logit gradients in `gradients[0]`: the parameter gradient, with convolutions' weights in
    /// the order of [`Kernels::add_weight_gradient`], replaces or is added to `gradient`.
    ///
    /// [`Accum::Replace`] is for networks without convolutions.
    pub(super) fn reverse(&mut self, weights: Weights<'_, T>, inputs: MatRef<'_, T>, gradient: &mut [T], accum: Accum) {
        self.reverse_through(weights, inputs, gradient, accum, FirstWeights::Formed);
    }

    /// As [`Block::reverse`] for a network that begins with a dense layer, without the gradient in that layer's
    /// weights: the gradient in its output comes back, `d_out` entries a sample.
    pub(super) fn reverse_to_first(
        &mut self,
        weights: Weights<'_, T>,
        inputs: MatRef<'_, T>,
        gradient: &mut [T],
    ) -> &mut [T] {
        self.reverse_through(weights, inputs, gradient, Accum::Replace, FirstWeights::Left);
        &mut self.gradients[0]
    }

    fn reverse_through(
        &mut self,
        weights: Weights<'_, T>,
        inputs: MatRef<'_, T>,
        gradient: &mut [T],
        accum: Accum,
        first_weights: FirstWeights,
    ) {
        let architecture = weights.architecture;
        let batch = inputs.ncols();
        let [current, next] = &mut self.gradients;
        for (position, layer) in architecture.layers().iter().enumerate().rev() {
            let dim = architecture.output_dim_of(position);
            let shape = architecture.shape_before(position);
            let input = before(position, &self.image, &self.outputs);
            let weight_gradient = architecture.weight_params(position);
            let bias_gradient = architecture.bias_params(position);
            match *layer {
                Layer::Dense { d_in, d_out, .. } => {
                    let delta = MatRef::from_column_major_slice(&current[..d_out * batch], d_out, batch);
                    let a = match position {
                        0 => inputs,
                        _ => MatRef::from_column_major_slice(&input[..d_in * batch], d_in, batch),
                    };
                    dense::bias_gradient(delta, accum, &mut gradient[bias_gradient]);
                    if position == 0 && first_weights == FirstWeights::Left {
                        continue;
                    }
                    let weight_gradient = MatMut::from_row_major_slice_mut(&mut gradient[weight_gradient], d_out, d_in);
                    dense::product(weight_gradient, accum, delta, a.transpose());
                    // Nobody asks for the gradient in the inputs of the first layer.
                    if position > 0 {
                        let below = MatMut::from_column_major_slice_mut(&mut next[..d_in * batch], d_in, batch);
                        dense::product(below, Accum::Replace, weights.matrix(position, d_out, d_in).transpose(), delta);
                        std::mem::swap(current, next);
                    }
                    continue;
                }
                Layer::Activation(activation) => {
                    for (g, &a) in current[..dim * batch].iter_mut().zip(&self.outputs[position]) {
                        *g *= activation.derivative_from_output(a);
                    }
                    continue;
                }
                Layer::Conv3x3 { input: shape, .. } => {
                    let delta = &current[..dim * batch];
                    conv::add_bias_gradient(delta, &mut gradient[bias_gradient]);
                    let input = &input[..shape.dim() * batch];
                    let kernels = &weights.kernels[position];
                    kernels.add_weight_gradient(input, delta, &mut gradient[weight_gradient], &mut self.scratch);
                    if position == 0 {
                        continue;
                    }
                    let below = &mut next[..shape.dim() * batch];
                    kernels.backward(delta, below, Accum::Replace, &mut self.scratch);
                }
                Layer::MaxPool2x2 => {
                    let (input, pooled) = (&input[..shape.dim() * batch], &self.outputs[position][..dim * batch]);
                    let below = &mut next[..shape.dim() * batch];
                    pool::max_pool_backward(input, pooled, &current[..dim * batch], image_shape(shape), below);
                }
                Layer::GlobalAveragePool => {
                    let below = &mut next[..shape.dim() * batch];
                    pool::global_average_backward(&current[..dim * batch], image_shape(shape), below);
                }
                Layer::Flatten => {
                    let below = &mut next[..shape.dim() * batch];
                    pool::channels_last(&current[..dim * batch], image_shape(shape), below);
                }
            }
            std::mem::swap(current, next);
        }
    }
}

/// What a reverse pass does about the weights of a dense first layer.
#[derive(Clone, Copy, PartialEq)]
enum FirstWeights {
    Formed,
    Left,
}

/// A parameter gradient as [`Block::reverse`] leaves it, in the order of the parameters.
pub(super) fn in_parameter_order<T: Scalar>(architecture: &Architecture, sum: &[T], gradient: &mut [T]) {
    for (position, layer) in architecture.layers().iter().enumerate() {
        let (weight, bias) = (architecture.weight_params(position), architecture.bias_params(position));
        match *layer {
            Layer::Conv3x3 { input, c_out } => {
                conv::in_parameter_order(&sum[weight.clone()], input.channels, c_out, &mut gradient[weight]);
            }
            _ => gradient[weight.clone()].copy_from_slice(&sum[weight]),
        }
        gradient[bias.clone()].copy_from_slice(&sum[bias]);
    }
}

/// The shape of what a layer for images takes, which the architecture has checked.
pub(super) fn image_shape(shape: Shape) -> ImageShape {
    match shape {
        Shape::Image(shape) => shape,
        Shape::Vector(dim) => ImageShape { channels: dim, height: 1, width: 1 },
    }
}
