//! How well a graph does on its samples, and how far rounding lets that be known.

use anyhow::{Context, Result};
use faer::Mat;
use superlinear_nets::{GraphPasses, GraphSamples, Model, Objective, TensorRole, Variables};

/// Samples that go through the network at a time.
const BLOCK: usize = 64;
/// Outputs are known to so many times what a rounding of every parameter does to them: the sums round too.
const SUMS: f64 = 16.0;

/// Of a network on its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelFit {
    /// How many samples.
    pub n_samples: usize,
    /// Mean loss.
    pub loss: f64,
    /// Of classes.
    pub classes: Option<Classes>,
    /// Largest `δfᵀQδf` over samples, `Q` the loss's Hessian in the outputs and `δf` their rounding error.
    pub rounding: f64,
}

/// How often the largest output is the class's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classes {
    /// Share of outputs whose largest entry is the target's.
    pub accuracy: f64,
    /// Share of outputs with the most frequent class: what a constant answer gives.
    pub most_frequent: f64,
}

impl ModelFit {
    /// The fit, and what the network gives for every sample (`n_out × N`), by two forward passes: of the model, and of
    /// one whose parameters differ in their last bit. The second says how far rounding moves the outputs.
    pub(super) fn of(
        model: &Model<f64>,
        objective: &Objective,
        samples: &impl GraphSamples<f64>,
        has_classes: bool,
    ) -> Result<(Self, Mat<f64>)> {
        let graph = model.graph();
        graph.accepts(samples, objective)?;
        let N = samples.n_samples();
        let shape = graph.shape(graph.output());
        let dim: usize = shape.iter().product();
        let mut moved = model.clone();
        let mut signs = 0x9e37_79b9_7f4a_7c15_u64;
        for parameter in moved.params_mut() {
            // Xorshift: any pattern without structure.
            signs ^= signs << 13;
            signs ^= signs >> 7;
            signs ^= signs << 17;
            *parameter *= if signs >> 63 == 0 { 1.0 + f64::EPSILON } else { 1.0 - f64::EPSILON };
        }
        let names = graph.tensors(TensorRole::Parameter).map(|value| graph.name(value)).take(1);
        let variables = Variables::parameters(graph, names)?;
        let mut passes = GraphPasses::new(graph, objective.clone(), variables.clone());
        let mut other = GraphPasses::new(graph, objective.clone(), variables);
        let (mut outputs, mut total, mut rounding) = (Mat::zeros(dim, N), 0.0, 0.0_f64);
        for first in (0..N).step_by(BLOCK) {
            let block = first..N.min(first + BLOCK);
            let losses = passes.losses(model, samples, block.clone())?;
            if let Some(p) = losses.iter().position(|loss| !loss.is_finite()) {
                return Err(anyhow::anyhow!("{}", losses[p]))
                    .with_context(|| format!("the loss of sample {}, expected a finite number", first + p));
            }
            total += losses.iter().sum::<f64>();
            other.losses(&moved, samples, block.clone())?;
            let found = passes.value(model, graph.output());
            let differing = other.value(&moved, graph.output());
            for (p, (f, g)) in found.chunks_exact(dim).zip(differing.chunks_exact(dim)).enumerate() {
                outputs.col_as_slice_mut(first + p).copy_from_slice(f);
                let Q = passes.output_hessian(p);
                let error = |c: usize| SUMS * (f[c] - g[c]).abs().max(f64::EPSILON * f[c].abs());
                let form = |c: usize| (0..dim).map(|d| error(c) * Q[(d, c)].abs() * error(d)).sum::<f64>();
                rounding = rounding.max((0..dim).map(form).sum());
            }
        }
        let width = if has_classes { shape.last().copied().unwrap_or(1) } else { 0 };
        let classes = has_classes.then(|| classes(&outputs, width, samples));
        Ok((Self { n_samples: N, loss: total / N as f64, classes, rounding }, outputs))
    }

    /// One line.
    pub fn words(&self) -> String {
        let Self { n_samples, loss, classes, .. } = self;
        let accuracy = classes.map_or(String::new(), |found| format!(", accuracy {:.2} %", 100.0 * found.accuracy));
        format!("mean loss {loss:.6e}{accuracy} on {n_samples} samples")
    }

    /// What makes one doubt that this is the trained network.
    pub fn warning(&self) -> Option<String> {
        let Classes { accuracy, most_frequent } = self.classes?;
        (accuracy < most_frequent).then(|| {
            format!(
                "the accuracy of {:.2} % is less than the {:.2} % of always answering the most frequent class: is this \
                 the trained network, and are these its data?",
                100.0 * accuracy,
                100.0 * most_frequent
            )
        })
    }
}

/// Over all outputs of all samples, `width` entries each; ignored ones do not count.
fn classes(outputs: &Mat<f64>, width: usize, samples: &impl GraphSamples<f64>) -> Classes {
    let per_sample = outputs.nrows() / width;
    let (mut target, mut counts) = (vec![0.0; per_sample], vec![0_usize; width]);
    let mut correct = 0;
    for p in 0..outputs.ncols() {
        samples.write_target(p, &mut target);
        for (f, &y) in outputs.col_as_slice(p).chunks_exact(width).zip(&target) {
            if y < 0.0 {
                continue;
            }
            counts[y as usize] += 1;
            let largest = (1..width).fold(0, |best, c| if f[c] > f[best] { c } else { best });
            correct += usize::from(largest == y as usize);
        }
    }
    let n = counts.iter().sum::<usize>().max(1) as f64;
    Classes { accuracy: correct as f64 / n, most_frequent: counts.into_iter().max().unwrap_or(0) as f64 / n }
}
