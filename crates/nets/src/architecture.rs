//! The shape of a network: a checked list of layers.

use crate::{Activation, ImageShape, Shape};
use std::fmt;
use std::ops::Range;

/// Whether a dense layer adds a learned vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bias {
    /// `z = W a`.
    None,
    /// `z = W a + b`.
    Learned,
}

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// `z = W a (+ b)`, `W` of shape `d_out × d_in`.
    Dense {
        /// Inputs.
        d_in: usize,
        /// Outputs.
        d_out: usize,
        /// Whether there is a `b`.
        bias: Bias,
    },
    /// `σ`, elementwise.
    Activation(Activation),
    /// Cross-correlation with 3×3 kernels, stride 1, a border of zeros, and a learned bias a channel, as PyTorch's
    /// `Conv2d(C, c_out, 3, padding=1)`: `z[o,y,x] = b[o] + Σ_{c,i,j} W[o,c,i,j] a[c, y+i−1, x+j−1]`.
    Conv3x3 {
        /// What it takes; it gives images of the same height and width.
        input: ImageShape,
        /// Output channels.
        c_out: usize,
    },
    /// Largest of every 2×2 window, stride 2; a last odd row or column is dropped. The gradient goes to the first
    /// largest entry of a window, in the order of rows.
    MaxPool2x2,
    /// Mean of every channel: images become vectors of length `C`.
    GlobalAveragePool,
    /// Images become vectors of length `C·H·W`, channel after channel, row after row.
    Flatten,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dense { .. } => "dense",
            Self::Activation(activation) => return activation.fmt(f),
            Self::Conv3x3 { .. } => "convolution",
            Self::MaxPool2x2 => "max pooling",
            Self::GlobalAveragePool => "global average pooling",
            Self::Flatten => "flatten",
        })
    }
}

/// A list of layers whose shapes fit together; the last one produces the logits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    layers: Vec<Layer>,
    input: Shape,
    /// Output of every layer.
    shapes: Vec<Shape>,
    /// Parameters of every layer: weight, then bias; empty where there is none.
    params: Vec<(Range<usize>, Range<usize>)>,
    dense: Vec<DenseLayer>,
}

/// Where a dense layer stands in a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DenseLayer {
    /// Position in the list of layers.
    pub position: usize,
    /// Rows of `W`.
    pub d_out: usize,
    /// Columns of `W`.
    pub d_in: usize,
    /// Where `vec(W)`, row-major, stands among the network's parameters.
    pub params: Range<usize>,
    /// Where `b` stands among them, if there is one.
    pub bias: Option<Range<usize>>,
}

/// A list of layers that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// There is no dense layer.
    #[error("a network needs at least one dense layer, found none")]
    NoDenseLayer,
    /// The first layer takes any shape, so the shape of the inputs is unknown.
    #[error("the first layer must be dense or a convolution, which know the shape of the inputs; found {found}")]
    UnknownInput {
        /// What the first layer is.
        found: Layer,
    },
    /// A width is zero.
    #[error("layer {layer}: width 0, expected at least 1")]
    ZeroWidth {
        /// Position in the list.
        layer: usize,
    },
    /// A layer takes another shape than the one before it gives.
    #[error("layer {layer} takes {expected}, but the layer before it gives {found}")]
    Mismatch {
        /// Position in the list.
        layer: usize,
        /// What it takes.
        expected: Shape,
        /// What it is given.
        found: Shape,
    },
    /// A layer for images is given vectors.
    #[error("layer {layer} ({kind}) takes images, but the layer before it gives {found} numbers")]
    NoImage {
        /// Position in the list.
        layer: usize,
        /// What it is.
        kind: Layer,
        /// The length that it is given.
        found: usize,
    },
    /// Images too small to be pooled.
    #[error("layer {layer} takes the largest of 2×2 pixels, but the layer before it gives {found} images")]
    TooSmallToPool {
        /// Position in the list.
        layer: usize,
        /// What it is given.
        found: ImageShape,
    },
    /// The last layer gives images.
    #[error("the last layer gives {found} images, but logits are a vector")]
    LogitsAreImages {
        /// What it gives.
        found: ImageShape,
    },
}

impl Architecture {
    /// Checks a list of layers.
    ///
    /// # Errors
    /// When a shape does not fit the one before it, a width is zero, or there is no dense layer.
    pub fn new(layers: Vec<Layer>) -> Result<Self, ArchitectureError> {
        let input = match layers.first() {
            None => return Err(ArchitectureError::NoDenseLayer),
            Some(&Layer::Dense { d_in, .. }) => Shape::Vector(d_in),
            Some(&Layer::Conv3x3 { input, .. }) => Shape::Image(input),
            Some(other) => return Err(ArchitectureError::UnknownInput { found: other.clone() }),
        };
        let (mut shapes, mut params, mut dense) = (Vec::new(), Vec::new(), Vec::new());
        let (mut shape, mut n_params) = (input, 0);
        for (position, layer) in layers.iter().enumerate() {
            let (n_weight, n_bias);
            (shape, n_weight, n_bias) = behind(position, layer, shape)?;
            let weight = n_params..n_params + n_weight;
            let bias = weight.end..weight.end + n_bias;
            n_params = bias.end;
            if let &Layer::Dense { d_in, d_out, .. } = layer {
                let bias = Some(bias.clone()).filter(|range| !range.is_empty());
                dense.push(DenseLayer { position, d_out, d_in, params: weight.clone(), bias });
            }
            shapes.push(shape);
            params.push((weight, bias));
        }
        if let Shape::Image(found) = shape {
            return Err(ArchitectureError::LogitsAreImages { found });
        }
        if dense.is_empty() {
            return Err(ArchitectureError::NoDenseLayer);
        }
        Ok(Self { layers, input, shapes, params, dense })
    }

    /// A fully connected network: `widths[0]` inputs, one dense layer without bias for each further width, and
    /// `activation` between dense layers but not behind the last.
    ///
    /// # Errors
    /// When fewer than two widths are given or one is zero.
    pub fn mlp(widths: &[usize], activation: Activation) -> Result<Self, ArchitectureError> {
        let mut layers = Vec::new();
        for pair in widths.windows(2) {
            if !layers.is_empty() {
                layers.push(Layer::Activation(activation));
            }
            layers.push(Layer::Dense { d_in: pair[0], d_out: pair[1], bias: Bias::None });
        }
        Self::new(layers)
    }

    /// The paper's convolutional network for `input` images and 10 classes, with ReLU behind every layer but the last:
    /// convolution to 32 channels, pool, to 64, pool, to 128, to 128, pool, global average pool, dense 128→20 without
    /// bias, dense 20→10 with.
    ///
    /// # Errors
    /// When the images have no channel or fewer than 8×8 pixels.
    pub fn paper_cnn(input: ImageShape) -> Result<Self, ArchitectureError> {
        let relu = || Layer::Activation(Activation::Relu);
        let halved = |shape: ImageShape, channels| {
            let (height, width) = (shape.height / 2, shape.width / 2);
            ImageShape { channels, height, width }
        };
        let second = halved(input, 32);
        let third = halved(second, 64);
        Self::new(vec![
            Layer::Conv3x3 { input, c_out: 32 },
            relu(),
            Layer::MaxPool2x2,
            Layer::Conv3x3 { input: second, c_out: 64 },
            relu(),
            Layer::MaxPool2x2,
            Layer::Conv3x3 { input: third, c_out: 128 },
            relu(),
            Layer::Conv3x3 { input: third.with_channels(128), c_out: 128 },
            relu(),
            Layer::MaxPool2x2,
            Layer::GlobalAveragePool,
            Layer::Dense { d_in: 128, d_out: 20, bias: Bias::None },
            relu(),
            Layer::Dense { d_in: 20, d_out: 10, bias: Bias::Learned },
        ])
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The dense layers, first to last.
    pub fn dense_layers(&self) -> &[DenseLayer] {
        &self.dense
    }

    /// Shape of the inputs.
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// Length of the input.
    pub fn input_dim(&self) -> usize {
        self.input.dim()
    }

    /// Shape of what layer `position` gives.
    pub fn output_shape_of(&self, position: usize) -> Shape {
        self.shapes[position]
    }

    /// Length of what layer `position` gives.
    pub fn output_dim_of(&self, position: usize) -> usize {
        self.shapes[position].dim()
    }

    /// Shape of what layer `position` takes.
    pub(crate) fn shape_before(&self, position: usize) -> Shape {
        if position == 0 { self.input } else { self.shapes[position - 1] }
    }

    /// Where the weight of layer `position` stands among the parameters: row-major `d_out × d_in` of a dense layer,
    /// `c_out × c_in × 3 × 3` of a convolution; empty for a layer without.
    pub fn weight_params(&self, position: usize) -> Range<usize> {
        self.params[position].0.clone()
    }

    /// Where the bias of layer `position` stands among the parameters; empty for a layer without.
    pub fn bias_params(&self, position: usize) -> Range<usize> {
        self.params[position].1.clone()
    }

    /// Inputs that one output of layer `position` depends on: `d_in`, or `9 C` of a convolution. 0 without parameters.
    pub(crate) fn fan_in(&self, position: usize) -> usize {
        match self.layers[position] {
            Layer::Dense { d_in, .. } => d_in,
            Layer::Conv3x3 { input, .. } => 9 * input.channels,
            _ => 0,
        }
    }

    /// Number of logits, `n_out`.
    pub fn n_out(&self) -> usize {
        self.output_dim_of(self.layers.len() - 1)
    }

    /// Number of parameters of all layers.
    pub fn n_params(&self) -> usize {
        self.params[self.params.len() - 1].1.end
    }

    /// Floating-point operations of a sample in a training step: a multiplication and an addition for every use of a
    /// weight, forward, in the weight's gradient and in the gradient of the layer's input, but for the first layer,
    /// whose inputs nobody wants a gradient in.
    pub fn training_flops(&self) -> usize {
        let uses = |position: usize| match self.shapes[position] {
            Shape::Image(shape) => self.weight_params(position).len() * shape.n_pixels(),
            Shape::Vector(_) => self.weight_params(position).len(),
        };
        let all: usize = (0..self.layers.len()).map(uses).sum();
        6 * all - 2 * uses(0)
    }
}

/// What `layer` makes of `shape`, and how many weights and biases it has.
fn behind(position: usize, layer: &Layer, shape: Shape) -> Result<(Shape, usize, usize), ArchitectureError> {
    let fits = |expected: Shape| match expected == shape {
        true => Ok(()),
        false => Err(ArchitectureError::Mismatch { layer: position, expected, found: shape }),
    };
    let image = || match shape {
        Shape::Image(image) => Ok(image),
        Shape::Vector(found) => Err(ArchitectureError::NoImage { layer: position, kind: layer.clone(), found }),
    };
    match *layer {
        Layer::Dense { d_in, d_out, bias } => {
            if d_in == 0 || d_out == 0 {
                return Err(ArchitectureError::ZeroWidth { layer: position });
            }
            fits(Shape::Vector(d_in))?;
            let n_bias = if bias == Bias::Learned { d_out } else { 0 };
            Ok((Shape::Vector(d_out), d_in * d_out, n_bias))
        }
        Layer::Activation(_) => Ok((shape, 0, 0)),
        Layer::Conv3x3 { input, c_out } => {
            if input.dim() == 0 || c_out == 0 {
                return Err(ArchitectureError::ZeroWidth { layer: position });
            }
            fits(Shape::Image(input))?;
            Ok((Shape::Image(input.with_channels(c_out)), 9 * input.channels * c_out, c_out))
        }
        Layer::MaxPool2x2 => {
            let image = image()?;
            if image.height < 2 || image.width < 2 {
                return Err(ArchitectureError::TooSmallToPool { layer: position, found: image });
            }
            let pooled = ImageShape { channels: image.channels, height: image.height / 2, width: image.width / 2 };
            Ok((Shape::Image(pooled), 0, 0))
        }
        Layer::GlobalAveragePool => Ok((Shape::Vector(image()?.channels), 0, 0)),
        Layer::Flatten => Ok((Shape::Vector(image()?.dim()), 0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(d_in: usize, d_out: usize) -> Layer {
        Layer::Dense { d_in, d_out, bias: Bias::None }
    }

    #[test]
    fn mlp_has_activations_between_dense_layers_only() {
        let net = Architecture::mlp(&[784, 50, 50, 10], Activation::Relu).unwrap();
        assert_eq!(net.layers().len(), 5);
        assert_eq!(net.n_params(), 784 * 50 + 50 * 50 + 50 * 10);
        assert_eq!(net.dense_layers()[1].params, 39_200..41_700);
        assert_eq!((net.input_dim(), net.n_out()), (784, 10));
        assert_eq!(net.training_flops(), 6 * net.n_params() - 2 * 784 * 50);
    }

    #[test]
    fn the_papers_cnn() {
        let cifar = ImageShape { channels: 3, height: 32, width: 32 };
        let net = Architecture::paper_cnn(cifar).unwrap();
        let convolutions = [(3, 32), (32, 64), (64, 128), (128, 128)].map(|(c_in, c_out)| 9 * c_in * c_out + c_out);
        assert_eq!(net.n_params(), convolutions.iter().sum::<usize>() + 128 * 20 + 20 * 10 + 10);
        assert_eq!((net.input_dim(), net.n_out(), net.layers().len()), (3_072, 10, 15));
        let [target, last] = net.dense_layers() else { panic!("two dense layers") };
        assert_eq!((target.d_out, target.d_in, target.params.len(), target.bias.clone()), (20, 128, 2_560, None));
        assert_eq!(last.bias, Some(net.n_params() - 10..net.n_params()));
        assert_eq!(net.bias_params(0), 864..896);
        // Odd sizes are floored: 28, 14, 7, 3.
        let mnist = Architecture::paper_cnn(ImageShape { channels: 1, height: 28, width: 28 }).unwrap();
        assert_eq!(mnist.output_shape_of(10), Shape::Image(ImageShape { channels: 128, height: 3, width: 3 }));
        let tiny = Architecture::paper_cnn(ImageShape { channels: 1, height: 7, width: 8 });
        let found = ImageShape { channels: 128, height: 1, width: 2 };
        assert_eq!(tiny, Err(ArchitectureError::TooSmallToPool { layer: 10, found }));
    }

    #[test]
    fn shapes_are_checked() {
        let mismatch = Architecture::new(vec![dense(3, 4), dense(5, 2)]);
        let (expected, found) = (Shape::Vector(5), Shape::Vector(4));
        assert_eq!(mismatch, Err(ArchitectureError::Mismatch { layer: 1, expected, found }));
        assert_eq!(Architecture::mlp(&[3], Activation::Relu), Err(ArchitectureError::NoDenseLayer));
        assert_eq!(Architecture::mlp(&[3, 0], Activation::Relu), Err(ArchitectureError::ZeroWidth { layer: 0 }));
        let activation = Layer::Activation(Activation::Tanh);
        assert_eq!(
            Architecture::new(vec![activation.clone()]),
            Err(ArchitectureError::UnknownInput { found: activation })
        );
    }

    #[test]
    fn images_and_vectors_are_told_apart() {
        let input = ImageShape { channels: 2, height: 4, width: 3 };
        let conv = Layer::Conv3x3 { input, c_out: 5 };
        let image = input.with_channels(5);
        let build = |behind: &[Layer]| Architecture::new([std::slice::from_ref(&conv), behind].concat());
        let found = Shape::Image(image);
        let direct = build(&[dense(60, 2)]).unwrap_err();
        assert_eq!(direct, ArchitectureError::Mismatch { layer: 1, expected: Shape::Vector(60), found });
        assert_eq!(direct.to_string(), "layer 1 takes 60 numbers, but the layer before it gives 5×4×3 images");
        assert_eq!(build(&[]), Err(ArchitectureError::LogitsAreImages { found: image }));
        assert_eq!(build(&[Layer::Flatten]), Err(ArchitectureError::NoDenseLayer));
        assert_eq!(
            build(&[Layer::Flatten, Layer::MaxPool2x2]),
            Err(ArchitectureError::NoImage { layer: 2, kind: Layer::MaxPool2x2, found: 60 })
        );
        assert!(build(&[Layer::Flatten, dense(60, 2)]).is_ok());
        assert!(build(&[Layer::MaxPool2x2, Layer::GlobalAveragePool, dense(5, 2)]).is_ok());
        let other = Layer::Conv3x3 { input: image.with_channels(4), c_out: 1 };
        let (expected, found) = (Shape::Image(image.with_channels(4)), Shape::Image(image));
        assert_eq!(build(&[other]), Err(ArchitectureError::Mismatch { layer: 1, expected, found }));
        assert_eq!(
            Architecture::new(vec![Layer::Conv3x3 { input, c_out: 0 }]),
            Err(ArchitectureError::ZeroWidth { layer: 0 })
        );
    }
}
