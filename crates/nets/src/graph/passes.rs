//! Passes of a block of samples through a graph: there and back, with the tangents of any number of directions.
//!
//! The forward pass keeps what every node gives, the reverse pass the gradients `δ` in what moves; both are made once a
//! block. For directions, tangents go there and their gradients come back, and each buffer is given back as soon as
//! nobody needs it.

use super::buffers::Buffers;
use super::{
    Graph, GraphDirections, GraphError, GraphSamples, GraphSums, Model, Node, Objective, Source, ValueId, Variables,
};
use crate::Scalar;
use crate::ops::{Rule, add, add_scaled, len};
use std::ops::Range;
use std::sync::Arc;

/// Samples of one block in a graph, with derivatives in [`Variables`], on the calling thread but for large products.
///
/// [`GraphPasses::evaluate`] takes a block; every other pass then adds sums over its samples to [`GraphSums`]: nothing
/// is divided by a number of samples. What is second order is exact; a pooled maximum is taken as fixed, and a kink as
/// flat.
#[derive(Clone, Debug)]
pub struct GraphPasses<T> {
    pub(super) graph: Arc<Graph>,
    pub(super) objective: Objective,
    pub(super) variables: Variables,
    /// Values that depend on a variable.
    pub(super) moves: Vec<bool>,
    pub(super) n: usize,
    pub(super) targets: Vec<f64>,
    /// By value; empty where a model or nobody has it.
    pub(super) values: Vec<Vec<T>>,
    /// What the operation that gives a value saved, of those that move.
    saved: Vec<Vec<T>>,
    /// Gradient in every value that moves.
    pub(super) deltas: Vec<Vec<T>>,
    pub(super) buffers: Buffers<T>,
}

/// What a graph gives for a block of samples, and the gradients there: all that products need of it.
#[derive(Clone, Debug, Default)]
pub struct EvaluatedGraph<T> {
    n: usize,
    targets: Vec<f64>,
    values: Vec<Vec<T>>,
    saved: Vec<Vec<T>>,
    deltas: Vec<Vec<T>>,
}

impl<T: Scalar> GraphPasses<T> {
    /// Passes with derivatives in `variables` of `graph`.
    pub fn new(graph: &Arc<Graph>, objective: Objective, variables: Variables) -> Self {
        let mut moves = vec![false; graph.values.len()];
        for &v in variables.tensors.iter().chain(&variables.values) {
            moves[v] = true;
        }
        for node in &graph.nodes {
            moves[node.value] |= node.operands.iter().any(|&operand| moves[operand]);
        }
        let none = || vec![Vec::new(); graph.values.len()];
        let (values, saved, deltas) = (none(), none(), none());
        let (n, targets, buffers) = (0, Vec::new(), Buffers::default());
        Self { graph: graph.clone(), objective, variables, moves, n, targets, values, saved, deltas, buffers }
    }

    /// What derivatives are taken in.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Samples of the block that was taken last.
    pub fn n_samples(&self) -> usize {
        self.n
    }

    /// Takes the samples of `range`: their values and the gradients in all that moves. Returns the sum of their losses,
    /// penalty included.
    ///
    /// # Errors
    /// When a node is asked for what it has not: an id without a row, or a point without derivatives.
    ///
    /// # Panics
    /// When the model has another graph.
    #[track_caller]
    pub fn evaluate(
        &mut self,
        model: &Model<T>,
        samples: &impl GraphSamples<T>,
        range: Range<usize>,
    ) -> Result<f64, GraphError> {
        let losses = self.losses(model, samples, range)?;
        self.reverse(model, None);
        Ok(losses.iter().sum())
    }

    /// [`GraphPasses::evaluate`] and the gradient together: adds `Σ_p g_p` to the one vector of `sums`.
    ///
    /// # Errors
    /// As [`GraphPasses::evaluate`].
    ///
    /// # Panics
    /// As [`GraphPasses::evaluate`], and when `sums` is for other than one vector.
    #[track_caller]
    pub fn gradient(
        &mut self,
        model: &Model<T>,
        samples: &impl GraphSamples<T>,
        range: Range<usize>,
        sums: &mut GraphSums<T>,
    ) -> Result<f64, GraphError> {
        assert_eq!(sums.k, 1, "a gradient is one vector");
        let losses = self.losses(model, samples, range)?;
        self.reverse(model, Some(sums));
        self.add_penalty(|slot| model.tensor(ValueId(self.variables.tensors[slot])), sums);
        Ok(losses.iter().sum())
    }

    /// Forward pass: the loss of every sample of `range`, penalty included. Gradients wait for
    /// [`GraphPasses::evaluate`].
    ///
    /// # Errors
    /// As [`GraphPasses::evaluate`].
    ///
    /// # Panics
    /// As [`GraphPasses::evaluate`].
    #[track_caller]
    pub fn losses(
        &mut self,
        model: &Model<T>,
        samples: &impl GraphSamples<T>,
        range: Range<usize>,
    ) -> Result<Vec<f64>, GraphError> {
        assert!(Arc::ptr_eq(&self.graph, model.graph()) || *self.graph == **model.graph(), "a model of the graph");
        let (graph, output) = (self.graph.clone(), self.graph.output);
        let shape = &graph.values[output].shape;
        self.n = range.len();
        let target_len = self.objective.target_len(shape);
        self.targets.resize(target_len * self.n, 0.0);
        for (p, target) in range.clone().zip(self.targets.chunks_exact_mut(target_len)) {
            samples.write_target(p, target);
        }
        for (input, &v) in graph.inputs.iter().enumerate() {
            let dim = len(&graph.values[v].shape);
            self.values[v].resize(dim * self.n, T::ZERO);
            for (p, out) in range.clone().zip(self.values[v].chunks_exact_mut(dim)) {
                samples.write_input(p, input, out);
            }
        }
        for node in &graph.nodes {
            let mut out = std::mem::take(&mut self.values[node.value]);
            out.resize(graph.entries(node.value, self.n), T::ZERO);
            let operands = graph.operands(node, model, &self.values);
            let at = graph.at(node, self.n, &operands, &[], &[]);
            if let Some((p, misfit)) = node.operation.check(&at, self.moves[node.value]) {
                let found = format!("{} in sample {}", misfit.found, range.start + p);
                return Err(graph.error(node, found, misfit.expected));
            }
            if self.moves[node.value] {
                let mut saved = std::mem::take(&mut self.saved[node.value]);
                saved.resize(node.operation.saved(at.shape) * at.n, T::ZERO);
                node.operation.forward_saving(&at, &mut out, &mut saved);
                self.saved[node.value] = saved;
            } else {
                node.operation.forward(&at, &mut out);
            }
            self.values[node.value] = out;
        }
        let penalty = self.objective.penalty(model.params());
        let dim = len(shape);
        let mut delta = std::mem::take(&mut self.deltas[output]);
        delta.resize(dim * self.n, T::ZERO);
        let samples = self.values[output].chunks_exact(dim).zip(delta.chunks_exact_mut(dim));
        let of_sample = |((f, delta), target): ((&[T], &mut [T]), &[f64])| {
            penalty + self.objective.value_and_gradient(shape, f, target, delta).f64()
        };
        let losses = samples.zip(self.targets.chunks_exact(target_len)).map(of_sample).collect();
        self.deltas[output] = delta;
        Ok(losses)
    }

    /// What [`GraphPasses::evaluate`] found of the block that it took last, which these passes no longer have.
    pub fn take_evaluated(&mut self) -> EvaluatedGraph<T> {
        let none = || vec![Vec::new(); self.graph.values.len()];
        let mut block = EvaluatedGraph { n: 0, targets: Vec::new(), values: none(), saved: none(), deltas: none() };
        self.exchange(&mut block);
        block
    }

    /// Runs `passes` as after the evaluation of the block that [`GraphPasses::take_evaluated`] took from passes of the
    /// same graph, variables and model.
    ///
    /// # Panics
    /// When the block is of another graph.
    #[track_caller]
    pub fn with_evaluated<R>(&mut self, block: &mut EvaluatedGraph<T>, passes: impl FnOnce(&mut Self) -> R) -> R {
        assert_eq!(block.values.len(), self.values.len(), "a block of the same graph");
        self.exchange(block);
        let result = passes(self);
        self.exchange(block);
        result
    }

    fn exchange(&mut self, block: &mut EvaluatedGraph<T>) {
        std::mem::swap(&mut self.n, &mut block.n);
        std::mem::swap(&mut self.targets, &mut block.targets);
        std::mem::swap(&mut self.values, &mut block.values);
        std::mem::swap(&mut self.saved, &mut block.saved);
        std::mem::swap(&mut self.deltas, &mut block.deltas);
    }

    /// A value of the block, `[p][entry]`; of a tensor what the model has.
    pub fn value<'a>(&'a self, model: &'a Model<T>, value: ValueId) -> &'a [T] {
        match self.graph.values[value.0].source {
            Source::Tensor(_) => model.tensor(value),
            _ => &self.values[value.0],
        }
    }

    /// The gradient in a value that moves, `[p][entry]`; empty for one that does not.
    pub fn delta(&self, value: ValueId) -> &[T] {
        &self.deltas[value.0]
    }

    /// Writes `a_(t,g)` of one sample, `[g][t][i]`: what the layer that gives `value` sees of `given`, one sample of
    /// its first operand or a change of it.
    ///
    /// # Panics
    /// When no layer gives the value, or `given` or `out` has another length.
    #[track_caller]
    pub fn activities(&self, model: &Model<T>, value: ValueId, given: &[T], out: &mut [T]) {
        let Source::Node(node) = self.graph.values[value.0].source else { panic!("a value that a layer gives") };
        let node = &self.graph.nodes[node];
        let mut operands = self.graph.operands(node, model, &self.values);
        operands[0].values = given;
        assert_eq!(given.len(), operands[0].dim(), "one sample of the operand");
        node.operation.activities(&self.graph.at(node, 1, &operands, &[], &[]), 0, out);
    }

    /// Gradients in all that moves, from those in the output.
    fn reverse(&mut self, model: &Model<T>, sums: Option<&mut GraphSums<T>>) {
        let mut gradients = std::mem::take(&mut self.deltas);
        for (v, gradient) in gradients.iter_mut().enumerate() {
            if v == self.graph.output {
                continue;
            }
            // Refilled by zeros when somebody adds to it.
            self.buffers.give(std::mem::take(gradient));
        }
        self.back(model, 1, &mut gradients, None, sums, Keep::All);
        self.deltas = gradients;
    }

    pub(super) fn add_penalty<'v>(&self, vectors: impl Fn(usize) -> &'v [T], sums: &mut GraphSums<T>) {
        let scale = T::of(self.objective.l2 * self.n as f64);
        if scale == T::ZERO {
            return;
        }
        for (slot, sum) in sums.tensors.iter_mut().enumerate() {
            add_scaled(sum, scale, vectors(slot));
        }
    }

    /// Derivatives of all that moves along `k` directions; of parameters the directions themselves are copied.
    pub(super) fn tangents(
        &mut self,
        model: &Model<T>,
        k: usize,
        directions: Option<&GraphDirections<T>>,
        seeds: &[Vec<T>],
    ) -> Vec<Vec<T>> {
        let graph = self.graph.clone();
        let mut tangents: Vec<Vec<T>> = vec![Vec::new(); graph.values.len()];
        for (slot, &v) in self.variables.tensors.iter().enumerate() {
            if let Some(directions) = directions {
                let mut copy = self.buffers.take(directions.tensors[slot].len());
                copy.copy_from_slice(&directions.tensors[slot]);
                tangents[v] = copy;
            }
        }
        for node in graph.nodes.iter().filter(|node| self.moves[node.value]) {
            let mut out = self.buffers.take(k * graph.entries(node.value, self.n));
            let moved: Vec<Option<&[T]>> =
                node.operands.iter().map(|&v| Some(&tangents[v][..]).filter(|moved| !moved.is_empty())).collect();
            if moved.iter().any(Option::is_some) {
                let operands = graph.operands(node, model, &self.values);
                let at = graph.at(node, self.n, &operands, &self.values[node.value], &self.saved[node.value]);
                node.operation.tangent(&at, k, &moved, &mut out);
            } else {
                out.fill(T::ZERO);
            }
            for (seed, _) in seeds.iter().zip(&self.variables.values).filter(|&(_, &v)| v == node.value) {
                add(&mut out, seed);
            }
            tangents[node.value] = out;
        }
        if tangents[graph.output].is_empty() {
            tangents[graph.output] = self.buffers.zeros(k * graph.entries(graph.output, self.n));
        }
        tangents
    }

    /// The reverse pass of `k` gradients at once, from those in the output. With `moved` they are derivatives of the
    /// block's own gradients, and what bends is added. What is not kept is given back as soon as it is used up.
    pub(super) fn back(
        &mut self,
        model: &Model<T>,
        k: usize,
        gradients: &mut [Vec<T>],
        mut moved: Option<&mut Vec<Vec<T>>>,
        mut sums: Option<&mut GraphSums<T>>,
        keep: Keep,
    ) {
        let graph = self.graph.clone();
        let with_sums = sums.is_some();
        if let Some(sums) = &mut sums {
            for (&v, sum) in self.variables.tensors.iter().zip(&mut sums.tensors) {
                self.buffers.give(std::mem::replace(&mut gradients[v], std::mem::take(sum)));
            }
        }
        for node in graph.nodes.iter().rev() {
            if !self.moves[node.value] {
                continue;
            }
            let wanted = |&v: &usize| {
                let tensor = matches!(graph.values[v].source, Source::Tensor(_));
                self.moves[v] && (with_sums || !tensor)
            };
            let wanted: Vec<bool> = node.operands.iter().map(wanted).collect();
            // Nothing flows to a value that the loss does not see.
            if !gradients[node.value].is_empty() && wanted.contains(&true) {
                self.back_through(model, node, k, gradients, moved.as_ref().map(|m| &m[..]), &wanted);
            }
            let kept = keep == Keep::All || (keep == Keep::Variables && self.variables.values.contains(&node.value));
            if !kept {
                self.buffers.give(std::mem::take(&mut gradients[node.value]));
            }
            if let Some(moved) = &mut moved {
                self.buffers.give(std::mem::take(&mut moved[node.value]));
            }
        }
        if let Some(sums) = &mut sums {
            for (&v, sum) in self.variables.tensors.iter().zip(&mut sums.tensors) {
                *sum = std::mem::take(&mut gradients[v]);
            }
        }
    }

    /// One node of the reverse pass.
    fn back_through(
        &mut self,
        model: &Model<T>,
        node: &Node,
        k: usize,
        gradients: &mut [Vec<T>],
        moved: Option<&[Vec<T>]>,
        wanted: &[bool],
    ) {
        let graph = self.graph.clone();
        let here = std::mem::take(&mut gradients[node.value]);
        // An operand that comes twice is added up apart.
        let mut into: Vec<Option<Vec<T>>> = Vec::with_capacity(node.operands.len());
        for (i, &v) in node.operands.iter().enumerate() {
            let again = node.operands[..i].contains(&v);
            into.push(wanted[i].then(|| match std::mem::take(&mut gradients[v]) {
                sum if again || sum.is_empty() => {
                    gradients[v] = sum;
                    self.buffers.zeros(k * graph.entries(v, self.n))
                }
                sum => sum,
            }));
        }
        let operands = graph.operands(node, model, &self.values);
        let at = graph.at(node, self.n, &operands, &self.values[node.value], &self.saved[node.value]);
        let mut parts: Vec<Option<&mut [T]>> = into.iter_mut().map(|part| part.as_deref_mut()).collect();
        node.operation.reverse(&at, k, &here, &mut parts);
        if let Some(moved) = moved {
            let moved: Vec<Option<&[T]>> =
                node.operands.iter().map(|&v| Some(&moved[v][..]).filter(|moved| !moved.is_empty())).collect();
            let moves: Vec<bool> = moved.iter().map(Option::is_some).collect();
            if node.operation.bends(&moves) && !self.deltas[node.value].is_empty() {
                node.operation.bend(&at, k, &self.deltas[node.value], &moved, &mut parts);
            }
        }
        for (part, &v) in into.into_iter().zip(&node.operands) {
            let Some(part) = part else { continue };
            if gradients[v].is_empty() {
                gradients[v] = part;
            } else {
                add(&mut gradients[v], &part);
                self.buffers.give(part);
            }
        }
        gradients[node.value] = here;
    }
}

/// Which gradients a reverse pass leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    Variables,
    Nothing,
}
