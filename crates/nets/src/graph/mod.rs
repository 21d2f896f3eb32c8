//! Networks as graphs of operations, exact to second order.
//!
//! A [`Graph`] is what is computed, a [`Model`] a graph with its numbers, an [`Objective`] the loss of what it gives,
//! and [`GraphPasses`] runs a block of samples there and back, with any number of directions at once.

mod buffers;
mod builder;
mod curvature;
mod error;
mod from_network;
mod layers;
mod memory;
mod model;
mod objective;
mod passes;
mod products;
mod samples;
mod training;
mod variables;

use crate::ops::{At, Operand, Operation, Rule, len};

pub use builder::{GraphBuilder, Init};
pub use error::GraphError;
pub use layers::{GraphLayer, LayerForm, SingleProductLayer};
pub use memory::MemoryEstimate;
pub use model::Model;
pub use objective::{Criterion, Objective, ObjectiveError};
pub use passes::{EvaluatedGraph, GraphPasses};
pub use products::Responses;
pub use samples::{DenseGraphSamples, GraphSamples, Labelled};
pub use variables::{GraphDirections, GraphSums, Variables};

/// A value of a graph: an input, a parameter, a constant, or what a node gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(crate) usize);

/// A feed-forward network: operations in an order in which each finds its operands, checked.
///
/// Values have any shape, always beside the batch: a value `(C, H, W)` stands for `C × H × W` numbers of every sample.
/// A value may be an operand of several nodes, and so may a parameter. What only parameters and constants go into is
/// shared by all samples, too.
///
/// Built by [`GraphBuilder`]. A pure description: the numbers are in a [`Model`].
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) values: Vec<Value>,
    /// In topological order; none that the output does not depend on.
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) output: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// One for all samples.
    pub(crate) shared: bool,
    pub(crate) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Input,
    /// A parameter or constant, by its position among the tensors.
    Tensor(usize),
    /// A node, by its position.
    Node(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorInfo {
    pub(crate) value: usize,
    pub(crate) role: TensorRole,
    pub(crate) init: Init,
    /// Where its numbers stand among those of its role.
    pub(crate) range: std::ops::Range<usize>,
}

/// What a tensor of a graph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorRole {
    /// Derivatives may be taken in it.
    Parameter,
    /// It stays as it is: running statistics, masks, scales.
    Constant,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) operation: Operation,
    pub(crate) operands: Vec<usize>,
    /// What it gives.
    pub(crate) value: usize,
    /// [`Rule::maps`] of its operation.
    pub(crate) maps: Vec<Vec<u32>>,
}

impl Graph {
    /// The value of that name, if there is one.
    pub fn value(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|value| value.name == name).map(ValueId)
    }

    /// What a value is called.
    pub fn name(&self, value: ValueId) -> &str {
        &self.values[value.0].name
    }

    /// The shape of a value, beside the batch.
    pub fn shape(&self, value: ValueId) -> &[usize] {
        &self.values[value.0].shape
    }

    /// The operation that gives a value, if one does.
    pub fn operation(&self, value: ValueId) -> Option<&Operation> {
        match self.values[value.0].source {
            Source::Node(node) => Some(&self.nodes[node].operation),
            _ => None,
        }
    }

    /// The operands of the node that gives a value; none for a value that no node gives.
    pub fn operands_of(&self, value: ValueId) -> Vec<ValueId> {
        match self.values[value.0].source {
            Source::Node(node) => self.nodes[node].operands.iter().copied().map(ValueId).collect(),
            _ => Vec::new(),
        }
    }

    /// The values of nodes that depend on one of `values`, which are not among them unless one depends on another.
    pub fn behind(&self, values: &[ValueId]) -> Vec<ValueId> {
        let mut moves = vec![false; self.values.len()];
        let mut behind = Vec::new();
        for node in &self.nodes {
            let depends = node.operands.iter().any(|&v| moves[v] || values.contains(&ValueId(v)));
            moves[node.value] = depends;
            if depends {
                behind.push(ValueId(node.value));
            }
        }
        behind
    }

    /// The inputs, in the order in which they were declared.
    pub fn inputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs.iter().copied().map(ValueId)
    }

    /// The parameters or the constants, in the order in which they were declared, which is that of [`Model::params`].
    pub fn tensors(&self, role: TensorRole) -> impl Iterator<Item = ValueId> + '_ {
        self.tensors.iter().filter(move |tensor| tensor.role == role).map(|tensor| ValueId(tensor.value))
    }

    /// The nodes' values, in the order in which they are computed.
    pub fn nodes(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.nodes.iter().map(|node| ValueId(node.value))
    }

    /// What the loss takes.
    pub fn output(&self) -> ValueId {
        ValueId(self.output)
    }

    /// Number of parameters, constants not counted.
    pub fn n_params(&self) -> usize {
        self.n_numbers(TensorRole::Parameter)
    }

    pub(crate) fn n_numbers(&self, role: TensorRole) -> usize {
        self.tensors.iter().filter(|tensor| tensor.role == role).map(|tensor| tensor.range.len()).sum()
    }

    /// Whether the graph is a function of every sample by itself in training as in evaluation.
    ///
    /// # Errors
    /// When it has a batch normalisation, which in training is another function: of the whole mini-batch.
    pub fn trains_by_sample(&self) -> Result<(), GraphError> {
        let refused = self.nodes.iter().find(|node| matches!(node.operation, Operation::BatchNorm(_)));
        match refused {
            None => Ok(()),
            Some(node) => Err(self.error(
                node,
                "batch normalisation in training, where statistics of the mini-batch couple its samples",
                "evaluation only, or a normalisation of every sample by itself (layer, group, instance, RMS)",
            )),
        }
    }

    pub(crate) fn error(&self, node: &Node, found: impl Into<String>, expected: impl Into<String>) -> GraphError {
        GraphError::new(&self.values[node.value].name, node.operation.name(), found, expected)
    }

    /// Entries of a value in a block of `n` samples.
    pub(crate) fn entries(&self, value: usize, n: usize) -> usize {
        let value = &self.values[value];
        len(&value.shape) * if value.shared { 1 } else { n }
    }

    pub(crate) fn operands<'a, T>(
        &'a self,
        node: &Node,
        model: &'a Model<T>,
        values: &'a [Vec<T>],
    ) -> Vec<Operand<'a, T>> {
        let operand = |&v: &usize| {
            let value = &self.values[v];
            let values = match value.source {
                Source::Tensor(tensor) => model.tensor_at(tensor),
                _ => &values[v],
            };
            Operand { shape: &value.shape, values, shared: value.shared }
        };
        node.operands.iter().map(operand).collect()
    }

    pub(crate) fn at<'a, T>(
        &'a self,
        node: &'a Node,
        n: usize,
        operands: &'a [Operand<'a, T>],
        output: &'a [T],
        saved: &'a [T],
    ) -> At<'a, T> {
        let value = &self.values[node.value];
        At { n: if value.shared { 1 } else { n }, operands, shape: &value.shape, output, saved, maps: &node.maps }
    }
}
