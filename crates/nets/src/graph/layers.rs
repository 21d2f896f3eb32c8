//! Layers: weights that products with activities are taken with, and how often.

use super::{Graph, GraphError, Source, TensorRole, ValueId};
use crate::ops::{LayerUse, Rule};

/// A weight and all its uses: in `nodes`, at the positions of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphLayer {
    /// The parameter.
    pub weight: ValueId,
    /// What the nodes that use it give, in the order in which they are computed, and how each uses it.
    pub uses: Vec<(ValueId, LayerUse)>,
    /// Rows of `W`.
    pub d_out: usize,
    /// Columns of `W`.
    pub d_in: usize,
}

/// The form that one sample's Hessian in a layer's weight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerForm {
    /// `h_p = S_p ⊗ a_p a_pᵀ`: the weight is used once for every sample. The duality of activities and weights (AWD) is
    /// defined for these layers alone.
    SingleProduct,
    /// `h_p = Σ_(t,t') (S_p)_(tt') ⊗ a_t a_(t')ᵀ` over so many uses for every sample: positions of a convolution,
    /// tokens. No change of the weight is dual to a change of one activity.
    SumOverUses(usize),
    /// As a sum over uses, in several nodes: a tied weight. Where one use sees what another gave, `h_p` also has
    /// `δ_t ⊗ (∂a_t/∂z_(t')) ⊗ a_(t')` and its transpose.
    Tied(usize),
}

/// A layer whose weight is used once for every sample: `z = W a`, so `g_p = δ_p ⊗ a_p` and `h_p = S_p ⊗ a_p a_pᵀ`.
///
/// Only [`GraphLayer::single_product`] makes one, so what is defined for these alone (the duality) can ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleProductLayer {
    weight: ValueId,
    value: ValueId,
    input: ValueId,
    own: LayerUse,
}

impl SingleProductLayer {
    /// The parameter.
    pub fn weight(&self) -> ValueId {
        self.weight
    }

    /// `z`, a bias included.
    pub fn pre_activation(&self) -> ValueId {
        self.value
    }

    /// `a`, or for a convolution what its one window sees it of.
    pub fn input(&self) -> ValueId {
        self.input
    }

    /// How the weight is used.
    pub fn layer_use(&self) -> LayerUse {
        self.own
    }
}

impl GraphLayer {
    /// The layer of the named weight.
    ///
    /// # Errors
    /// When it is no parameter, or something else is done with it than products with activities.
    pub fn of(graph: &Graph, weight: &str) -> Result<Self, GraphError> {
        let parameter = graph.tensors(TensorRole::Parameter).find(|&value| graph.name(value) == weight);
        let wrong = |found: String| {
            GraphError::new(weight, "layer", found, "a parameter that is the weight of dense layers or convolutions")
        };
        let Some(parameter) = parameter else { return Err(wrong("no such parameter".to_owned())) };
        let mut uses = Vec::new();
        for node in &graph.nodes {
            for (i, _) in node.operands.iter().enumerate().filter(|&(_, &v)| v == parameter.0) {
                let shapes: Vec<&[usize]> = node.operands.iter().map(|&v| &graph.values[v].shape[..]).collect();
                let value = &graph.values[node.value];
                let own = node.operation.layer(&shapes, &value.shape).filter(|_| i == 1 && !value.shared);
                match own {
                    Some(own) => uses.push((ValueId(node.value), own)),
                    None => {
                        let found = format!("operand {i} of {} ({})", value.name, node.operation.name());
                        return Err(wrong(found));
                    }
                }
            }
        }
        let Some(&(_, first)) = uses.first() else { return Err(wrong("a parameter that is not used".to_owned())) };
        debug_assert!(uses.iter().all(|(_, own)| own.d_out * own.d_in == first.d_out * first.d_in));
        Ok(Self { weight: parameter, uses, d_out: first.d_out, d_in: first.d_in })
    }

    /// All layers of `graph`, in the order in which their weights were declared.
    pub fn all(graph: &Graph) -> Vec<Self> {
        let names = graph.tensors(TensorRole::Parameter).map(|value| graph.name(value));
        names.filter_map(|name| Self::of(graph, name).ok()).collect()
    }

    /// Whether one sample's Hessian is a single product.
    pub fn form(&self) -> LayerForm {
        let uses = self.uses.iter().map(|(_, own)| own.positions).sum();
        match (self.uses.len(), uses) {
            (1, 1) if self.uses[0].1.groups == 1 => LayerForm::SingleProduct,
            (1, uses) => LayerForm::SumOverUses(uses),
            (_, uses) => LayerForm::Tied(uses),
        }
    }

    /// The layer as one whose weight is used once for every sample.
    ///
    /// # Errors
    /// When it is used several times: `h_p` then is no single product, and the duality of activities and weights is not
    /// defined.
    pub fn single_product(&self, graph: &Graph) -> Result<SingleProductLayer, GraphError> {
        let used = match self.form() {
            LayerForm::SingleProduct => {
                let (value, own) = self.uses[0];
                let input = Self::input_of(graph, value);
                return Ok(SingleProductLayer { weight: self.weight, value, input, own });
            }
            LayerForm::SumOverUses(uses) => format!("a weight that is used {uses} times for every sample"),
            LayerForm::Tied(uses) => format!("a tied weight that is used {uses} times for every sample"),
        };
        let expected =
            "one that is used once, for which h = S ⊗ a aᵀ and the duality of activities and weights are defined";
        Err(GraphError::new(graph.name(self.weight), "layer", used, expected))
    }

    /// What the node of a use takes.
    pub fn input_of(graph: &Graph, used: ValueId) -> ValueId {
        match graph.values[used.0].source {
            Source::Node(node) => ValueId(graph.nodes[node].operands[0]),
            _ => unreachable!("layers are nodes"),
        }
    }
}
