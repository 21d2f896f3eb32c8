//! Every operation, alone and in small networks, against the slow dense truth: one row of the table a case.
#![allow(non_snake_case)]

#[path = "parts/cases.rs"]
mod cases;
mod parts;
mod reference;

use cases::{networks, operations};
use faer::Mat;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reference::Reference;
use superlinear_nets::{
    Criterion, Dense, DenseGraphSamples, Function, Graph, GraphBuilder, GraphDirections, GraphPasses, GraphSamples,
    GraphSums, Model, Objective, Reshape, TensorRole, ValueId, Variables,
};

/// Relative to the largest entry of what is compared.
const TOLERANCE: f64 = 1e-9;
const SAMPLES: usize = 3;

/// Numbers for all tensors: constants that make sense for what they are called, and others at random.
fn model(graph: Graph, rng: &mut impl Rng) -> Model<f64> {
    let shapes: Vec<(String, usize)> = [TensorRole::Parameter, TensorRole::Constant]
        .into_iter()
        .flat_map(|role| graph.tensors(role).collect::<Vec<_>>())
        .map(|value| (graph.name(value).to_owned(), graph.shape(value).iter().product()))
        .collect();
    Model::new(graph, |name| {
        let n = shapes.iter().find(|(own, _)| own == name)?.1;
        Some(match name {
            "three" => vec![3.0],
            "down" => vec![50.0],
            "variance" => (0..n).map(|c| 0.5 + c as f64).collect(),
            name if name.ends_with("root") => vec![2f64.sqrt()],
            _ => (0..n).map(|_| 1.6 * rng.random::<f64>() - 0.8).collect(),
        })
    })
    .unwrap()
}

fn samples(model: &Model<f64>, objective: &Objective, n: usize, rng: &mut impl Rng) -> DenseGraphSamples<f64> {
    let graph = model.graph();
    let dim = |value: ValueId| graph.shape(value).iter().product::<usize>();
    let entry = |ids: bool, rng: &mut ChaCha8Rng| match ids {
        true => rng.random_range(0..4) as f64,
        false => 2.0 * rng.random::<f64>() - 1.0,
    };
    let mut own = ChaCha8Rng::seed_from_u64(rng.random());
    let inputs = graph.inputs().map(|value| {
        let ids = graph.name(value) == "ids";
        Mat::from_fn(dim(value), n, |_, p| if p == 0 && !ids { 0.0 } else { entry(ids, &mut own) })
    });
    let inputs = inputs.collect();
    let shape = graph.shape(graph.output());
    let target_len = objective.target_len(shape);
    let targets = Mat::from_fn(target_len, n, |t, _| match objective.criterion {
        Criterion::LinearMse => 3.0 * rng.random::<f64>() - 1.0,
        Criterion::BinaryCrossEntropy => [0.0, 1.0, 0.3][rng.random_range(0..3)],
        Criterion::CrossEntropy { ignored: Some(ignored), .. } if t == 1 => ignored as f64,
        _ => rng.random_range(0..shape[shape.len() - 1]) as f64,
    });
    DenseGraphSamples::new(inputs, targets)
}

/// The same samples in single precision.
struct Narrow<'a>(&'a DenseGraphSamples<f64>);

impl GraphSamples<f32> for Narrow<'_> {
    fn n_samples(&self) -> usize {
        GraphSamples::<f64>::n_samples(self.0)
    }
    fn write_input(&self, p: usize, input: usize, out: &mut [f32]) {
        let mut wide = vec![0.0; out.len()];
        self.0.write_input(p, input, &mut wide);
        out.iter_mut().zip(wide).for_each(|(x, wide)| *x = wide as f32);
    }
    fn write_target(&self, p: usize, out: &mut [f64]) {
        GraphSamples::<f64>::write_target(self.0, p, out);
    }
}

#[track_caller]
fn close(what: &str, found: &Mat<f64>, truth: &Mat<f64>) {
    let scale = truth.norm_max().max(1e-3);
    let worst = (found - truth).norm_max();
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst:e} of {scale}");
}

fn column(x: &[f64]) -> Mat<f64> {
    Mat::from_fn(x.len(), 1, |i, _| x[i])
}

/// Losses, gradients, `Hv`, `h_p`, `h_p²v`, and `S_p` at the values `inner`.
fn check(name: &str, graph: Graph, objective: &Objective, inner: &[&str], n: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let model = model(graph, &mut rng);
    let graph = model.graph();
    let samples = samples(&model, objective, n, &mut rng);
    graph.accepts(&samples, objective).unwrap();
    let variables = Variables::all(graph);
    let P = variables.n_params();
    let truths: Vec<_> =
        (0..n).map(|p| Reference::new(&model, objective, &samples, p).in_parameters(&variables)).collect();
    let mut passes = GraphPasses::new(graph, objective.clone(), variables.clone());
    // The gradient over all samples together, and one by one.
    let mut sums = GraphSums::zeros(&variables, 1);
    let loss = passes.gradient(&model, &samples, 0..n, &mut sums).unwrap();
    let sum_of = |sums: &GraphSums<f64>| {
        let mut out = Mat::zeros(P, sums.n_vectors());
        sums.add_to(&variables, 1.0, out.as_mut());
        out
    };
    let total: f64 = truths.iter().map(|truth| truth.value).sum();
    assert!((loss - total).abs() < 1e-11 * total.abs().max(1.0), "{name}: loss {loss}, {total}");
    let gradient = truths.iter().fold(Mat::zeros(P, 1), |sum, truth| sum + column(&truth.gradient));
    close(&format!("{name} gradient"), &sum_of(&sums), &gradient);
    // In single precision the same, to its rounding.
    let single = model.cast::<f32>();
    let narrow = Narrow(&samples);
    let mut narrow_passes = GraphPasses::new(single.graph(), objective.clone(), variables.clone());
    let mut narrow_sums = GraphSums::zeros(&variables, 1);
    narrow_passes.gradient(&single, &narrow, 0..n, &mut narrow_sums).unwrap();
    let mut found = Mat::<f32>::zeros(P, 1);
    narrow_sums.add_to(&variables, 1.0, found.as_mut());
    let worst = (0..P).map(|i| (f64::from(found[(i, 0)]) - gradient[(i, 0)]).abs()).fold(0.0, f64::max);
    assert!(worst <= 1e-3 * gradient.norm_max().max(1e-3), "{name}: off by {worst:e} in single precision");
    // Products with the sum of Hessians, three directions at once, twice with the block's values kept.
    let vectors = Mat::from_fn(P, 3, |_, _| 2.0 * rng.random::<f64>() - 1.0);
    let directions = GraphDirections::new(&variables, vectors.as_ref());
    let H = truths.iter().fold(Mat::zeros(P, P), |sum, truth| sum + &truth.hessian);
    for _ in 0..2 {
        let mut sums = GraphSums::zeros(&variables, 3);
        passes.hessian(&model, &directions, &mut sums);
        close(&format!("{name} Hv"), &sum_of(&sums), &(&H * &vectors));
    }
    let l2 = objective.l2;
    let mut sums = GraphSums::zeros(&variables, 3);
    passes.gradient_products(&model, &directions, &[], &mut sums);
    let own = |truth: &reference::Derivatives| {
        let params = column(model.params());
        column(&truth.gradient) - faer::Scale(l2) * params
    };
    let fisher = truths.iter().fold(Mat::zeros(P, P), |sum, truth| sum + own(truth) * own(truth).transpose());
    close(&format!("{name} Σ g gᵀ v"), &sum_of(&sums), &(&fisher * &vectors));
    for (p, truth) in truths.iter().enumerate() {
        passes.evaluate(&model, &samples, p..p + 1).unwrap();
        let mut h = Mat::zeros(P, P);
        passes.sample_hessian(&model, h.as_mut());
        close(&format!("{name} h of sample {p}"), &h, &truth.hessian);
        let mut sums = GraphSums::zeros(&variables, 3);
        passes.squared_hessian(&model, &directions, &mut sums);
        close(&format!("{name} h²v of sample {p}"), &sum_of(&sums), &(&truth.hessian * &truth.hessian * &vectors));
    }
    // S_p by as many directions as the values have entries.
    let inner: Vec<ValueId> = inner.iter().map(|name| graph.value(name).unwrap()).collect();
    let mut passes = GraphPasses::new(graph, objective.clone(), Variables::values(graph, &inner));
    passes.evaluate(&model, &samples, 0..n).unwrap();
    let dims: Vec<usize> = inner.iter().map(|&value| graph.shape(value).iter().product()).collect();
    let k: usize = dims.iter().sum();
    let mut first = 0;
    let seeds: Vec<Vec<f64>> = dims
        .iter()
        .map(|&dim| {
            let seed = (0..k * n * dim).map(|i| if i / (n * dim) == first + i % dim { 1.0 } else { 0.0 }).collect();
            first += dim;
            seed
        })
        .collect();
    let found = passes.respond(&model, k, &seeds, &[]);
    let closed = (inner.len() == 1).then(|| passes.curvature(&model));
    for p in 0..n {
        let truth = Reference::new(&model, objective, &samples, p).in_values(&inner);
        let mut row = 0;
        let mut S = Mat::zeros(k, k);
        for (gradient, &dim) in found.gradients.iter().zip(&dims) {
            for j in 0..k {
                for i in 0..dim {
                    S[(row + i, j)] = gradient[(j * n + p) * dim + i];
                }
            }
            row += dim;
        }
        close(&format!("{name} S of sample {p}"), &S, &truth.hessian);
        if let Some(closed) = &closed {
            let S = Mat::from_fn(k, k, |i, j| closed[(p * k + j) * k + i]);
            close(&format!("{name} S of sample {p} as one"), &S, &truth.hessian);
            assert_eq!(S, S.transpose().to_owned());
        }
    }
}

#[test]
fn every_operation_is_exact_to_second_order() {
    let objective = Objective::from(Criterion::cross_entropy());
    for (name, graph) in operations() {
        check(&name, graph, &objective, &["in"], SAMPLES);
    }
}

#[test]
fn small_networks_are_exact_to_second_order() {
    let objective = Objective { l2: 0.3, ..Objective::from(Criterion::cross_entropy()) };
    for (name, graph) in networks() {
        check(&name, graph, &objective, &["in"], 2);
    }
    for (name, graph) in networks().into_iter().filter(|(name, _)| name == "tied") {
        check(&name, graph, &objective, &["z1", "z2"], 1);
    }
}

/// Losses over one and over several outputs.
#[test]
fn every_loss_is_exact_to_second_order() {
    let weights = Some(vec![0.5, 2.0, 1.25]);
    let cross = |class_weights: Option<Vec<f64>>, label_smoothing: f64, ignored: Option<i64>| Criterion::CrossEntropy {
        class_weights,
        label_smoothing,
        ignored,
    };
    for criterion in [
        cross(None, 0.0, None),
        cross(None, 0.0, Some(-100)),
        cross(weights.clone(), 0.0, Some(-100)),
        cross(None, 0.1, None),
        cross(weights, 0.2, Some(1)),
        Criterion::SoftmaxMse,
        Criterion::LinearMse,
        Criterion::BinaryCrossEntropy,
    ] {
        for (outputs, scale, l2) in [(1, None, 0.0), (4, None, 0.2), (2, Some(0.7), 0.0)] {
            let width = if criterion == Criterion::BinaryCrossEntropy { 1 } else { 3 };
            let shape = if outputs == 1 { vec![width] } else { vec![outputs, width] };
            let graph = GraphBuilder::new()
                .input("x", [2])
                .parameter("in.weight", [outputs * width, 2])
                .node("in", Dense::default(), ["x", "in.weight"])
                .node("tanh", Function::Tanh, ["in"])
                .node("logits", Reshape { shape }, ["tanh"])
                .build("logits")
                .unwrap();
            let objective = Objective { criterion: criterion.clone(), scale, l2 };
            check(&format!("{criterion:?} over {outputs}"), graph, &objective, &["in"], SAMPLES);
        }
    }
}

#[test]
fn more_classes_than_a_byte_holds() {
    let graph = GraphBuilder::new()
        .input("x", [1])
        .parameter("w", [300, 1])
        .node("z", Dense::default(), ["x", "w"])
        .build("z")
        .unwrap();
    let model = model(graph, &mut ChaCha8Rng::seed_from_u64(1));
    let objective = Objective::from(Criterion::cross_entropy());
    let samples = DenseGraphSamples::new(vec![Mat::from_fn(1, 1, |_, _| 1.0)], Mat::from_fn(1, 1, |_, _| 299.0));
    model.graph().accepts(&samples, &objective).unwrap();
    let variables = Variables::all(model.graph());
    let mut passes = GraphPasses::new(model.graph(), objective, variables.clone());
    let mut sums = GraphSums::zeros(&variables, 1);
    let loss = passes.gradient(&model, &samples, 0..1, &mut sums).unwrap();
    let total: f64 = model.params().iter().map(|w| w.exp()).sum();
    assert!((loss - (total.ln() - model.params()[299])).abs() < 1e-12);
}
