//! A graph with its numbers.

use super::buffers::Buffers;
use super::{Graph, GraphError, GraphSamples, Init, TensorRole, ValueId};
use crate::Scalar;
use crate::ops::{Rule, len, shown};
use faer::MatRef;
use rand::{Rng, RngExt};
use std::ops::Range;
use std::sync::Arc;

/// A [`Graph`] with the numbers of its parameters and constants.
///
/// The parameters stand in one slice, in the order in which they were declared, each row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<T> {
    graph: Arc<Graph>,
    params: Vec<T>,
    constants: Vec<T>,
}

impl<T: Scalar> Model<T> {
    /// A model whose tensors are named: `numbers(name)` gives each, row-major.
    ///
    /// # Errors
    /// When one is not there, has another number of entries, or one that is infinite or NaN.
    pub fn new(graph: Graph, mut numbers: impl FnMut(&str) -> Option<Vec<T>>) -> Result<Self, GraphError> {
        let mut model = Self { params: Vec::new(), constants: Vec::new(), graph: Arc::new(graph) };
        for tensor in &model.graph.tensors {
            let value = &model.graph.values[tensor.value];
            let what = if tensor.role == TensorRole::Parameter { "parameter" } else { "constant" };
            let expected = || format!("{} numbers for {}", tensor.range.len(), shown(&value.shape));
            let error = |found: String| GraphError::new(&value.name, what, found, expected());
            let own = numbers(&value.name).ok_or_else(|| error("none".to_owned()))?;
            if own.len() != tensor.range.len() {
                return Err(error(format!("{} numbers", own.len())));
            }
            if let Some(at) = own.iter().position(|x| !x.finite()) {
                return Err(error(format!("{} at {at}", own[at])));
            }
            match tensor.role {
                TensorRole::Parameter => model.params.extend(own),
                TensorRole::Constant => model.constants.extend(own),
            }
        }
        Ok(model)
    }

    /// A model with parameters drawn as they were declared, in `f64` and in order, so that `f32` and `f64` models of
    /// one seed agree to rounding; `constants(name)` gives the constants.
    ///
    /// # Errors
    /// As [`Model::new`], for constants.
    pub fn init(
        graph: Graph,
        rng: &mut impl Rng,
        mut constants: impl FnMut(&str) -> Option<Vec<T>>,
    ) -> Result<Self, GraphError> {
        let drawn: Vec<Vec<T>> = graph
            .tensors
            .iter()
            .filter(|tensor| tensor.role == TensorRole::Parameter)
            .map(|tensor| {
                let draw = |_| match tensor.init {
                    Init::Constant(value) => T::of(value),
                    Init::FanIn(fan_in) => T::of((2.0 * rng.random::<f64>() - 1.0) / (fan_in as f64).sqrt()),
                };
                tensor.range.clone().map(draw).collect()
            })
            .collect();
        let parameters: Vec<String> =
            graph.tensors(TensorRole::Parameter).map(|value| graph.name(value).to_owned()).collect();
        Self::new(graph, |name| match parameters.iter().position(|parameter| parameter == name) {
            Some(position) => Some(drawn[position].clone()),
            None => constants(name),
        })
    }

    /// What is computed.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// All parameters.
    pub fn params(&self) -> &[T] {
        &self.params
    }

    /// All parameters, to be changed in place.
    pub fn params_mut(&mut self) -> &mut [T] {
        &mut self.params
    }

    /// The numbers of a parameter or constant.
    ///
    /// # Panics
    /// When the value is neither.
    #[track_caller]
    pub fn tensor(&self, value: ValueId) -> &[T] {
        let position = self.graph.tensors.iter().position(|tensor| tensor.value == value.0);
        self.tensor_at(position.expect("a parameter or constant"))
    }

    /// The same model in another precision.
    pub fn cast<U: Scalar>(&self) -> Model<U> {
        let cast = |numbers: &[T]| numbers.iter().map(|x| U::of(x.f64())).collect();
        Model { graph: self.graph.clone(), params: cast(&self.params), constants: cast(&self.constants) }
    }
}

impl<T> Model<T> {
    pub(super) fn tensor_at(&self, position: usize) -> &[T] {
        let tensor = &self.graph.tensors[position];
        match tensor.role {
            TensorRole::Parameter => &self.params[tensor.range.clone()],
            TensorRole::Constant => &self.constants[tensor.range.clone()],
        }
    }
}

impl<T: Scalar> Model<T> {
    /// What the graph gives for the samples of `range`, `dim × n`; of inner values only those that somebody still waits
    /// for are held.
    ///
    /// # Errors
    /// When a node is asked for what it has not.
    pub fn outputs(&self, samples: &impl GraphSamples<T>, range: Range<usize>) -> Result<faer::Mat<T>, GraphError> {
        let (graph, n) = (self.graph().clone(), range.len());
        let mut last = vec![usize::MAX; graph.values.len()];
        for (position, node) in graph.nodes.iter().enumerate() {
            node.operands.iter().for_each(|&v| last[v] = position);
        }
        let (mut values, mut buffers) = (vec![Vec::new(); graph.values.len()], Buffers::default());
        for (input, &v) in graph.inputs.iter().enumerate() {
            let dim = len(&graph.values[v].shape);
            values[v] = vec![T::ZERO; dim * n];
            for (p, out) in range.clone().zip(values[v].chunks_exact_mut(dim)) {
                samples.write_input(p, input, out);
            }
        }
        for (position, node) in graph.nodes.iter().enumerate() {
            let mut out = buffers.take(graph.entries(node.value, n));
            let operands = graph.operands(node, self, &values);
            let at = graph.at(node, n, &operands, &[], &[]);
            if let Some((p, misfit)) = node.operation.check(&at, false) {
                let found = format!("{} in sample {}", misfit.found, range.start + p);
                return Err(graph.error(node, found, misfit.expected));
            }
            node.operation.forward(&at, &mut out);
            values[node.value] = out;
            for &v in node.operands.iter().filter(|&&v| last[v] == position) {
                buffers.give(std::mem::take(&mut values[v]));
            }
        }
        let dim = len(&graph.values[graph.output].shape);
        Ok(MatRef::from_column_major_slice(&values[graph.output], dim, n).to_owned())
    }
}
