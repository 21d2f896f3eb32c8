//! One sample's Hessian in the weights of layers, in short factors: `h_p = U C Uᵀ`.

use super::loss::GraphLoss;
use faer::Mat;
use superlinear_nets::{GraphLayer, GraphPasses, GraphSamples, LayerUse, ValueId, Variables};

/// Changes of pre-activations that go through the graph together.
const TOGETHER: usize = 64;

/// The uses of all weights, and where their parts of `U` stand.
#[derive(Clone, Debug)]
pub(super) struct Uses {
    uses: Vec<Use>,
    /// Columns of `U` that are outputs of uses; those behind are inputs.
    n_outputs: usize,
    rank: usize,
}

#[derive(Clone, Debug)]
struct Use {
    value: ValueId,
    input: ValueId,
    own: LayerUse,
    /// First row of the weight among the parameters.
    row: usize,
    /// First column of `U` of its outputs.
    column: usize,
    /// First column of `U` of its inputs, if those follow pre-activations of other uses.
    inputs: Option<usize>,
}

impl Use {
    fn n_outputs(&self) -> usize {
        self.own.positions * self.own.d_out
    }

    fn n_inputs(&self) -> usize {
        self.own.groups * self.own.positions * self.own.d_in
    }
}

impl Uses {
    /// Of all variables, if they are weights of layers.
    pub(super) fn of<S: GraphSamples<f64>>(of: &GraphLoss<'_, f64, S>) -> Option<Self> {
        let graph = of.model.graph();
        let mut uses = Vec::new();
        for (value, range) in of_tensors(&of.variables) {
            let layer = GraphLayer::of(graph, graph.name(value)).ok()?;
            for (value, own) in layer.uses {
                let input = GraphLayer::input_of(graph, value);
                uses.push(Use { value, input, own, row: range.start, column: 0, inputs: None });
            }
        }
        let values: Vec<ValueId> = uses.iter().map(|own| own.value).collect();
        let behind = graph.behind(&values);
        let mut columns = 0;
        for own in &mut uses {
            own.column = columns;
            columns += own.n_outputs();
        }
        let n_outputs = columns;
        for own in uses.iter_mut().filter(|own| behind.contains(&own.input)) {
            own.inputs = Some(columns);
            columns += own.n_inputs();
        }
        Some(Self { uses, n_outputs, rank: columns })
    }

    /// Columns of `U`.
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// What derivatives are taken in: the pre-activations of all uses.
    pub(super) fn passes<S: GraphSamples<f64>>(&self, of: &GraphLoss<'_, f64, S>) -> GraphPasses<f64> {
        let values: Vec<ValueId> = self.uses.iter().map(|own| own.value).collect();
        let variables = Variables::values(of.model.graph(), &values);
        GraphPasses::new(of.model.graph(), of.objective.clone(), variables)
    }

    /// `U` (`P × rank`) and `C` (`rank × rank`) of sample `p`.
    pub(super) fn factors<S: GraphSamples<f64>>(
        &self,
        of: &GraphLoss<'_, f64, S>,
        passes: &mut GraphPasses<f64>,
        p: usize,
    ) -> (Mat<f64>, Mat<f64>) {
        passes.evaluate(of.model, of.samples, p..p + 1).expect("GraphLoss::new has passed all samples");
        let mut U = Mat::zeros(of.n_params(), self.rank);
        for layer in &self.uses {
            let own = &layer.own;
            let mut activities = vec![0.0; layer.n_inputs()];
            let given = passes.value(of.model, layer.input);
            passes.activities(of.model, layer.value, given, &mut activities);
            let delta = passes.delta(layer.value);
            for (t, o) in (0..own.positions).flat_map(|t| (0..own.d_out).map(move |o| (t, o))) {
                let (g, z) = (own.group(o), own.output(t, o));
                for i in 0..own.d_in {
                    let row = layer.row + own.weight(o, i);
                    let input = (g * own.positions + t) * own.d_in + i;
                    U[(row, layer.column + z)] = activities[input];
                    if let Some(first) = layer.inputs {
                        U[(row, first + input)] = delta[z];
                    }
                }
            }
        }
        let mut C = Mat::zeros(self.rank, self.rank);
        let watched: Vec<ValueId> = self.uses.iter().map(|own| own.input).collect();
        for first in (0..self.n_outputs).step_by(TOGETHER) {
            let k = TOGETHER.min(self.n_outputs - first);
            let seed = |own: &Use| {
                let n = own.n_outputs();
                let entry = |at: usize| if own.column + at % n == first + at / n { 1.0 } else { 0.0 };
                (0..k * n).map(entry).collect()
            };
            let seeds: Vec<Vec<f64>> = self.uses.iter().map(seed).collect();
            let response = passes.respond(of.model, k, &seeds, &watched);
            for (u, layer) in self.uses.iter().enumerate() {
                for (k, gradient) in response.gradients[u].chunks_exact(layer.n_outputs()).enumerate() {
                    let column = C.col_as_slice_mut(first + k);
                    column[layer.column..layer.column + gradient.len()].copy_from_slice(gradient);
                }
                let Some(inputs) = layer.inputs else { continue };
                let moved = &response.moved[u];
                let mut activities = vec![0.0; layer.n_inputs()];
                for (k, moved) in moved.chunks_exact(moved.len() / k).enumerate() {
                    passes.activities(of.model, layer.value, moved, &mut activities);
                    for (i, &a) in activities.iter().enumerate() {
                        C[(inputs + i, first + k)] = a;
                        C[(first + k, inputs + i)] = a;
                    }
                }
            }
        }
        // Ŝ to the last bit symmetric.
        for j in 0..self.n_outputs {
            for i in j + 1..self.n_outputs {
                let mean = 0.5 * (C[(i, j)] + C[(j, i)]);
                C[(i, j)] = mean;
                C[(j, i)] = mean;
            }
        }
        (U, C)
    }
}

/// The parameters, and where each stands among the rows of a moment.
fn of_tensors(variables: &Variables) -> impl Iterator<Item = (ValueId, std::ops::Range<usize>)> + '_ {
    variables.tensors().zip(variables.ranges().iter().cloned())
}
