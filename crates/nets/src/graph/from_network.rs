//! Chains of layers as graphs.

use super::{Graph, GraphBuilder, Model};
use crate::ops::{Convolution, Dense, Function, MaxPool, Operation, Reduce, Reduction, Reshape, Window};
use crate::{Activation, Architecture, Layer, Network, Scalar, Shape};

impl Architecture {
    /// The architecture as a graph. Its input is `x`; layer `l` gives the value `l` and has the parameters `l.weight`
    /// and `l.bias`, as in a PyTorch `Sequential`, in the order of [`Network::params`]. Identities are left out.
    pub fn graph(&self) -> Graph {
        let axes = |shape: Shape| match shape {
            Shape::Vector(d) => vec![d],
            Shape::Image(image) => vec![image.channels, image.height, image.width],
        };
        let mut builder = GraphBuilder::new().input("x", axes(self.input_shape()));
        let mut x = "x".to_owned();
        for (position, layer) in self.layers().iter().enumerate() {
            let operation: Operation = match *layer {
                Layer::Activation(Activation::Identity) => continue,
                Layer::Activation(Activation::Relu) => Function::Relu.into(),
                Layer::Activation(Activation::Tanh) => Function::Tanh.into(),
                Layer::Dense { .. } => Dense::default().into(),
                Layer::Conv3x3 { .. } => Convolution { window: Window::square(3).padding(1), groups: 1 }.into(),
                Layer::MaxPool2x2 => MaxPool { window: Window::square(2).stride(2) }.into(),
                Layer::GlobalAveragePool => {
                    Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keeps_axes: false }.into()
                }
                Layer::Flatten => Reshape { shape: axes(self.output_shape_of(position)) }.into(),
            };
            let weight = match *layer {
                Layer::Dense { d_in, d_out, .. } => vec![d_out, d_in],
                Layer::Conv3x3 { input, c_out } => vec![c_out, input.channels, 3, 3],
                _ => Vec::new(),
            };
            let mut operands = vec![x];
            let n_bias = self.bias_params(position).len();
            for (name, shape) in [("weight", weight), ("bias", vec![n_bias])] {
                if shape.iter().product::<usize>() > 0 && !shape.is_empty() {
                    let name = format!("{position}.{name}");
                    builder = builder.parameter(&*name, shape);
                    operands.push(name);
                }
            }
            builder = builder.node(position.to_string(), operation, operands);
            x = position.to_string();
        }
        builder.build(&x).expect("an architecture has been checked")
    }
}

impl<T: Scalar> Network<T> {
    /// The network as a model of [`Architecture::graph`], with the same parameters in the same order.
    pub fn model(&self) -> Model<T> {
        let mut rest = self.params();
        let graph = self.architecture().graph();
        let sizes: Vec<usize> =
            graph.tensors(super::TensorRole::Parameter).map(|value| graph.shape(value).iter().product()).collect();
        let mut sizes = sizes.into_iter();
        let numbers = |_: &str| {
            let (own, behind) = rest.split_at(sizes.next()?);
            rest = behind;
            Some(own.to_vec())
        };
        Model::new(graph, numbers).expect("a network has been checked")
    }
}
