//! Which of a network's parameters a derivative is taken in.

use crate::{Architecture, Layer, Scalar};
use std::fmt;
use std::ops::Range;

/// The two tensors that a layer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `W`: row-major `d_out × d_in`, or `c_out × c_in × 3 × 3`.
    Weight,
    /// `b`: one entry an output or channel.
    Bias,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        })
    }
}

/// One parameter tensor of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parameter {
    /// Position in the list of layers, activations and pooling counted.
    pub layer: usize,
    /// Which of the layer's tensors.
    pub part: Part,
}

/// A checked, non-empty set of parameter tensors of one architecture.
///
/// A vector over a selection has the entries of the selected tensors one after the other **in the network's order**,
/// whatever order they were named in: layer by layer, first to last, a weight before its layer's bias, each tensor
/// flattened row-major as in [`crate::Network::params`]. [`Selection::all`] therefore is the order of `params` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    parameters: Vec<Parameter>,
    /// Where each stands among the network's parameters.
    ranges: Vec<Range<usize>>,
    n_params: usize,
    n_layers: usize,
    n_network: usize,
}

/// Names that select nothing, or nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No parameter was named.
    #[error("no parameters selected, expected at least one weight or bias")]
    Empty,
    /// There is no such layer.
    #[error("no layer {layer} in a network of {n_layers} layers, counted from 0")]
    NoLayer {
        /// What was asked for.
        layer: usize,
        /// How many there are.
        n_layers: usize,
    },
    /// There is no such dense layer.
    #[error("no dense layer {dense} in a network of {n_dense} dense layers, counted from 0")]
    NoDenseLayer {
        /// What was asked for.
        dense: usize,
        /// How many there are.
        n_dense: usize,
    },
    /// The layer has no such tensor.
    #[error("layer {layer} ({kind}) has no {part}")]
    NoParameter {
        /// Position in the list of layers.
        layer: usize,
        /// What it is.
        kind: Layer,
        /// What was asked for.
        part: Part,
    },
    /// A tensor was named twice.
    #[error("the {part} of layer {layer} is named twice")]
    Twice {
        /// Position in the list of layers.
        layer: usize,
        /// Which tensor.
        part: Part,
    },
}

impl Selection {
    /// The named tensors.
    ///
    /// # Errors
    /// When none is named, one is named twice, or the architecture has no such layer or tensor.
    pub fn new(
        architecture: &Architecture,
        parameters: impl IntoIterator<Item = Parameter>,
    ) -> Result<Self, SelectionError> {
        let mut parameters: Vec<Parameter> = parameters.into_iter().collect();
        let n_layers = architecture.layers().len();
        for &Parameter { layer, part } in &parameters {
            if layer >= n_layers {
                return Err(SelectionError::NoLayer { layer, n_layers });
            }
            if range(architecture, layer, part).is_empty() {
                let kind = architecture.layers()[layer].clone();
                return Err(SelectionError::NoParameter { layer, kind, part });
            }
        }
        parameters.sort_unstable();
        if let Some(pair) = parameters.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SelectionError::Twice { layer: pair[0].layer, part: pair[0].part });
        }
        if parameters.is_empty() {
            return Err(SelectionError::Empty);
        }
        Ok(Self::of_sorted(architecture, parameters))
    }

    /// Weight and bias, if there is one, of every layer named.
    ///
    /// # Errors
    /// When no layer is named, one is named twice, is not in the architecture or has no parameters.
    pub fn layers(
        architecture: &Architecture,
        layers: impl IntoIterator<Item = usize>,
    ) -> Result<Self, SelectionError> {
        let mut parameters = Vec::new();
        for layer in layers {
            parameters.push(Parameter { layer, part: Part::Weight });
            if layer < architecture.layers().len() && !architecture.bias_params(layer).is_empty() {
                parameters.push(Parameter { layer, part: Part::Bias });
            }
        }
        Self::new(architecture, parameters)
    }

    /// The weights, without biases, of dense layers, counted from 0 as in [`Architecture::dense_layers`].
    ///
    /// # Errors
    /// When no layer is named, one is named twice or is not in the architecture.
    pub fn dense_weights(
        architecture: &Architecture,
        dense: impl IntoIterator<Item = usize>,
    ) -> Result<Self, SelectionError> {
        let known = architecture.dense_layers();
        let weight = |dense: usize| match known.get(dense) {
            Some(layer) => Ok(Parameter { layer: layer.position, part: Part::Weight }),
            None => Err(SelectionError::NoDenseLayer { dense, n_dense: known.len() }),
        };
        let parameters: Result<Vec<_>, _> = dense.into_iter().map(weight).collect();
        Self::new(architecture, parameters?)
    }

    /// Every parameter: vectors over it are in the order of [`crate::Network::params`].
    pub fn all(architecture: &Architecture) -> Self {
        let both = |layer: usize| [Part::Weight, Part::Bias].map(|part| Parameter { layer, part });
        let exists = |parameter: &Parameter| !range(architecture, parameter.layer, parameter.part).is_empty();
        let parameters = (0..architecture.layers().len()).flat_map(both).filter(exists).collect();
        Self::of_sorted(architecture, parameters)
    }

    fn of_sorted(architecture: &Architecture, parameters: Vec<Parameter>) -> Self {
        let ranges: Vec<_> = parameters.iter().map(|p| range(architecture, p.layer, p.part)).collect();
        let n_params = ranges.iter().map(|range| range.len()).sum();
        let (n_layers, n_network) = (architecture.layers().len(), architecture.n_params());
        Self { parameters, ranges, n_params, n_layers, n_network }
    }

    /// Length of a vector over the selection, at least 1.
    pub fn n_params(&self) -> usize {
        self.n_params
    }

    /// The selected tensors in the order of their entries.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Where each selected tensor stands among the network's parameters, ascending.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Whether the architecture is of the shape that the selection was made for.
    pub fn fits(&self, architecture: &Architecture) -> bool {
        let same = |(p, r): (&Parameter, &Range<usize>)| range(architecture, p.layer, p.part) == *r;
        self.n_layers == architecture.layers().len()
            && self.n_network == architecture.n_params()
            && self.parameters.iter().zip(&self.ranges).all(same)
    }

    /// The entries of a vector over all parameters that are selected.
    ///
    /// # Panics
    /// When `all` has not one entry a parameter of the network.
    #[track_caller]
    pub fn gather<T: Scalar>(&self, all: &[T]) -> Vec<T> {
        assert_eq!(all.len(), self.n_network, "one entry a parameter of the network");
        self.ranges.iter().flat_map(|range| &all[range.clone()]).copied().collect()
    }

    /// A vector over all parameters with `selected` in its places and 0 elsewhere.
    ///
    /// # Panics
    /// When `selected` has not length [`Selection::n_params`].
    #[track_caller]
    pub fn scatter<T: Scalar>(&self, selected: &[T]) -> Vec<T> {
        assert_eq!(selected.len(), self.n_params, "one entry a selected parameter");
        let mut all = vec![T::ZERO; self.n_network];
        for (own, range) in self.offsets().zip(&self.ranges) {
            all[range.clone()].copy_from_slice(&selected[own]);
        }
        all
    }

    /// Where each selected tensor stands in a vector over the selection.
    pub fn offsets(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut first = 0;
        self.ranges.iter().map(move |range| {
            let own = first..first + range.len();
            first = own.end;
            own
        })
    }
}

fn range(architecture: &Architecture, layer: usize, part: Part) -> Range<usize> {
    match part {
        Part::Weight => architecture.weight_params(layer),
        Part::Bias => architecture.bias_params(layer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Bias, ImageShape};

    fn cnn() -> Architecture {
        Architecture::paper_cnn(ImageShape { channels: 3, height: 8, width: 8 }).unwrap()
    }

    #[test]
    fn entries_stand_in_the_networks_order_whatever_order_they_are_named_in() {
        let architecture = cnn();
        let bias = Parameter { layer: 14, part: Part::Bias };
        let weight = Parameter { layer: 0, part: Part::Weight };
        let selection = Selection::new(&architecture, [bias, weight]).unwrap();
        assert_eq!(selection.parameters(), [weight, bias]);
        assert_eq!(selection.ranges(), [0..864, architecture.n_params() - 10..architecture.n_params()]);
        assert_eq!(selection.n_params(), 874);
        let all: Vec<f64> = (0..architecture.n_params()).map(|k| k as f64).collect();
        let selected = selection.gather(&all);
        assert_eq!((selected[863], selected[864]), (863.0, all[all.len() - 10]));
        let back = selection.scatter(&selected);
        assert_eq!((back[863], back[864], back[all.len() - 1]), (863.0, 0.0, all[all.len() - 1]));
        assert_eq!(Selection::all(&architecture).gather(&all), all);
        let layers = Selection::layers(&architecture, [12, 14]).unwrap();
        assert_eq!(layers.n_params(), 128 * 20 + 20 * 10 + 10);
        assert_eq!(Selection::dense_weights(&architecture, [1]).unwrap().n_params(), 200);
        assert!(layers.fits(&architecture));
        let other = Architecture::paper_cnn(ImageShape { channels: 1, height: 8, width: 8 }).unwrap();
        assert!(!layers.fits(&other));
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        let architecture = cnn();
        assert_eq!(Selection::new(&architecture, []), Err(SelectionError::Empty));
        assert_eq!(Selection::layers(&architecture, []), Err(SelectionError::Empty));
        let missing = Selection::layers(&architecture, [3, 15]);
        assert_eq!(missing, Err(SelectionError::NoLayer { layer: 15, n_layers: 15 }));
        let kind = Layer::Activation(Activation::Relu);
        let (layer, part) = (1, Part::Weight);
        assert_eq!(Selection::layers(&architecture, [1]), Err(SelectionError::NoParameter { layer, kind, part }));
        let kind = Layer::Dense { d_in: 128, d_out: 20, bias: Bias::None };
        let (layer, part) = (12, Part::Bias);
        let named = Selection::new(&architecture, [Parameter { layer, part }]);
        assert_eq!(named, Err(SelectionError::NoParameter { layer, kind, part }));
        let twice = Selection::layers(&architecture, [3, 0, 3]);
        assert_eq!(twice, Err(SelectionError::Twice { layer: 3, part: Part::Weight }));
        let dense = Selection::dense_weights(&architecture, [2]);
        assert_eq!(dense, Err(SelectionError::NoDenseLayer { dense: 2, n_dense: 2 }));
    }
}
