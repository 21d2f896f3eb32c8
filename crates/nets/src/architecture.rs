//! The shape of a network: a checked list of layers.

use crate::Activation;
use std::ops::Range;

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// `z = W a`, `W` of shape `d_out × d_in`, without bias.
    Dense {
        /// Inputs.
        d_in: usize,
        /// Outputs.
        d_out: usize,
    },
    /// `σ`, elementwise.
    Activation(Activation),
}

/// A list of layers whose shapes fit together; the last one produces the logits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    layers: Vec<Layer>,
    /// Output length of every layer.
    dims: Vec<usize>,
    input_dim: usize,
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
}

/// A list of layers that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// There is no dense layer.
    #[error("a network needs at least one dense layer, found none")]
    NoDenseLayer,
    /// The list does not start with a dense layer, so the input length is unknown.
    #[error("the first layer must be dense, found an activation")]
    StartsWithActivation,
    /// A width is zero.
    #[error("layer {layer}: width 0, expected at least 1")]
    ZeroWidth {
        /// Position in the list.
        layer: usize,
    },
    /// A layer takes another length than the one before it gives.
    #[error("layer {layer} takes {expected} inputs, but the layer before it gives {found}")]
    Mismatch {
        /// Position in the list.
        layer: usize,
        /// Its `d_in`.
        expected: usize,
        /// The length that it is given.
        found: usize,
    },
}

impl Architecture {
    /// Checks a list of layers.
    ///
    /// # Errors
    /// When a shape does not fit the one before it, a width is zero, or there is no dense layer.
    pub fn new(layers: Vec<Layer>) -> Result<Self, ArchitectureError> {
        let input_dim = match layers.first() {
            None => return Err(ArchitectureError::NoDenseLayer),
            Some(Layer::Activation(_)) => return Err(ArchitectureError::StartsWithActivation),
            Some(&Layer::Dense { d_in, .. }) => d_in,
        };
        let mut dims = Vec::with_capacity(layers.len());
        let mut dense = Vec::new();
        let mut n_params = 0;
        let mut dim = input_dim;
        for (position, layer) in layers.iter().enumerate() {
            if let &Layer::Dense { d_in, d_out } = layer {
                if d_in == 0 || d_out == 0 {
                    return Err(ArchitectureError::ZeroWidth { layer: position });
                }
                if d_in != dim {
                    return Err(ArchitectureError::Mismatch { layer: position, expected: d_in, found: dim });
                }
                let params = n_params..n_params + d_in * d_out;
                n_params = params.end;
                dense.push(DenseLayer { position, d_out, d_in, params });
                dim = d_out;
            }
            dims.push(dim);
        }
        Ok(Self { layers, dims, input_dim, dense })
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
            layers.push(Layer::Dense { d_in: pair[0], d_out: pair[1] });
        }
        Self::new(layers)
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The dense layers, first to last.
    pub fn dense_layers(&self) -> &[DenseLayer] {
        &self.dense
    }

    /// Length of the input.
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }

    /// Length of what layer `position` gives.
    pub fn output_dim_of(&self, position: usize) -> usize {
        self.dims[position]
    }

    /// Number of logits, `n_out`.
    pub fn n_out(&self) -> usize {
        self.dims[self.dims.len() - 1]
    }

    /// Number of parameters of all layers.
    pub fn n_params(&self) -> usize {
        self.dense[self.dense.len() - 1].params.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mlp_has_activations_between_dense_layers_only() {
        let net = Architecture::mlp(&[784, 50, 50, 10], Activation::Relu).unwrap();
        assert_eq!(net.layers().len(), 5);
        assert_eq!(net.n_params(), 784 * 50 + 50 * 50 + 50 * 10);
        assert_eq!(net.dense_layers()[1].params, 39_200..41_700);
        assert_eq!((net.input_dim(), net.n_out()), (784, 10));
    }

    #[test]
    fn shapes_are_checked() {
        let mismatch = Architecture::new(vec![Layer::Dense { d_in: 3, d_out: 4 }, Layer::Dense { d_in: 5, d_out: 2 }]);
        assert_eq!(mismatch, Err(ArchitectureError::Mismatch { layer: 1, expected: 5, found: 4 }));
        assert_eq!(Architecture::mlp(&[3], Activation::Relu), Err(ArchitectureError::NoDenseLayer));
        assert_eq!(Architecture::mlp(&[3, 0], Activation::Relu), Err(ArchitectureError::ZeroWidth { layer: 0 }));
        assert_eq!(
            Architecture::new(vec![Layer::Activation(Activation::Tanh)]),
            Err(ArchitectureError::StartsWithActivation)
        );
    }
}
