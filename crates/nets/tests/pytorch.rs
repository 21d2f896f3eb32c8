//! Nine networks against PyTorch's autograd in double precision, through everything that passes give of them.
//!
//! Truths are products of `H`, `Σ`, `M₂` and of the first sample's `h` with three vectors `R`, in one parameter tensor
//! at a time.
#![allow(non_snake_case)]

#[path = "parts/fixtures.rs"]
mod fixtures;
mod parts;

use faer::Mat;
use fixtures::{Fixture, NAMES};
use superlinear_nets::{GraphDirections, GraphPasses, GraphSamples, GraphSums, Variables};

const TOLERANCE: f64 = 1e-9;

#[track_caller]
fn close(what: &str, found: &Mat<f64>, truth: &Mat<f64>) {
    let (scale, worst) = (truth.norm_max(), (found - truth).norm_max());
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst:e} of {scale:e}");
}

#[test]
fn products_agree_with_pytorch() {
    for name in NAMES {
        let fixture = Fixture::read(name);
        let (model, samples, objective) = (fixture.model(), fixture.samples(), fixture.objective());
        let N = GraphSamples::<f64>::n_samples(&samples);
        model.graph().accepts(&samples, &objective).unwrap();
        let (shape, logits) = fixture.tensor("logits").unwrap();
        let found = model.outputs(&samples, 0..N).unwrap();
        close(&format!("{name} logits"), &found, &Mat::from_fn(shape[1], N, |c, p| logits[p * shape[1] + c]));
        for parameter in fixture.parameters() {
            let variables = Variables::parameters(model.graph(), [&*parameter]).unwrap();
            let mut passes = GraphPasses::new(model.graph(), objective.clone(), variables.clone());
            let truth = |what: &str| fixture.truth(&format!("truth/{parameter}/{what}"));
            let R = truth("R");
            let directions = GraphDirections::new(&variables, R.as_ref());
            let mean = |sums: &GraphSums<f64>, n: usize| {
                let mut out = Mat::zeros(variables.n_params(), sums.n_vectors());
                sums.add_to(&variables, 1.0 / n as f64, out.as_mut());
                out
            };
            let zeros = |k: usize| GraphSums::zeros(&variables, k);
            let mut sums = zeros(1);
            let loss = passes.gradient(&model, &samples, 0..N, &mut sums).unwrap() / N as f64;
            let expected = fixture.tensor("loss").unwrap().1[0];
            assert!((loss - expected).abs() <= TOLERANCE * expected.abs(), "{name} loss {loss} {expected}");
            let means = mean(&sums, N).transpose() * &R;
            let means: Vec<f64> = (0..3).map(|k| means[(0, k)]).collect();
            let mut sums = zeros(3);
            passes.hessian(&model, &directions, &mut sums);
            close(&format!("{name} {parameter} HR"), &mean(&sums, N), &truth("HR"));
            let mut sums = zeros(3);
            passes.gradient_products(&model, &directions, &means, &mut sums);
            close(&format!("{name} {parameter} ΣR"), &mean(&sums, N), &truth("SR"));
            let mut sums = zeros(3);
            for p in 0..N {
                passes.evaluate(&model, &samples, p..p + 1).unwrap();
                passes.squared_hessian(&model, &directions, &mut sums);
            }
            close(&format!("{name} {parameter} M₂R"), &mean(&sums, N), &truth("M2R"));
            let mut sums = zeros(3);
            passes.evaluate(&model, &samples, 0..1).unwrap();
            passes.hessian(&model, &directions, &mut sums);
            close(&format!("{name} {parameter} h₀R"), &mean(&sums, 1), &truth("h0R"));
        }
    }
}
