//! Nine networks from the files of both of PyTorch's exporters, against its autograd in double precision.
//!
//! Truths are those of `tests/fixtures/graphs`: products of `H`, `Σ`, `M₂` and of the first sample's `h` with three
//! vectors `R`, in one parameter at a time.
#![allow(non_snake_case)]

#[path = "../../nets/tests/parts/fixtures.rs"]
mod fixtures;
#[path = "../../nets/tests/parts/mod.rs"]
mod parts;

use faer::Mat;
use fixtures::{Fixture, NAMES};
use superlinear_nets::{GraphDirections, GraphPasses, GraphSamples, GraphSums, LayerForm, Model, Variables};
use superlinear_onnx::{Layout, OnnxModel};

const TOLERANCE: f64 = 1e-9;

fn files(name: &str) -> [String; 2] {
    ["onnx", "dynamo.onnx"]
        .map(|end| format!("{}/../../tests/fixtures/graphs/{name}.{end}", env!("CARGO_MANIFEST_DIR")))
}

#[track_caller]
fn close(what: &str, found: &Mat<f64>, truth: &Mat<f64>) {
    let (scale, worst) = (truth.norm_max(), (found - truth).norm_max());
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst:e} of {scale:e}");
}

fn check(file: &str, fixture: &Fixture, model: &Model<f64>) {
    let (samples, objective) = (fixture.samples(), fixture.objective());
    let N = GraphSamples::<f64>::n_samples(&samples);
    model.graph().accepts(&samples, &objective).unwrap();
    let (shape, logits) = fixture.tensor("logits").unwrap();
    let truth = Mat::from_fn(shape[1], N, |c, p| logits[p * shape[1] + c]);
    close(&format!("{file} logits"), &model.outputs(&samples, 0..N).unwrap(), &truth);
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
        let loss = passes.gradient(model, &samples, 0..N, &mut sums).unwrap() / N as f64;
        let expected = fixture.tensor("loss").unwrap().1[0];
        assert!((loss - expected).abs() <= TOLERANCE * expected.abs(), "{file} loss {loss} {expected}");
        let means = mean(&sums, N).transpose() * &R;
        let means: Vec<f64> = (0..3).map(|k| means[(0, k)]).collect();
        let mut sums = zeros(3);
        passes.hessian(model, &directions, &mut sums);
        close(&format!("{file} {parameter} HR"), &mean(&sums, N), &truth("HR"));
        let mut sums = zeros(3);
        passes.gradient_products(model, &directions, &means, &mut sums);
        close(&format!("{file} {parameter} ΣR"), &mean(&sums, N), &truth("SR"));
        let mut sums = zeros(3);
        for p in 0..N {
            passes.evaluate(model, &samples, p..p + 1).unwrap();
            passes.squared_hessian(model, &directions, &mut sums);
        }
        close(&format!("{file} {parameter} M₂R"), &mean(&sums, N), &truth("M2R"));
        let mut sums = zeros(3);
        passes.evaluate(model, &samples, 0..1).unwrap();
        passes.hessian(model, &directions, &mut sums);
        close(&format!("{file} {parameter} h₀R"), &mean(&sums, 1), &truth("h0R"));
    }
}

#[test]
fn both_exporters_agree_with_pytorch() {
    for name in NAMES {
        let fixture = Fixture::read(name);
        for file in files(name) {
            let read = superlinear_onnx::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
            check(&file, &fixture, read.model());
        }
    }
}

/// The parameters of both files are those of the network by hand, name by name and number by number, and so are the
/// layers.
#[test]
fn parameters_and_layers_are_those_of_the_network() {
    for name in NAMES {
        let hand = Fixture::read(name).model();
        for file in files(name) {
            let read = superlinear_onnx::read(&file).unwrap();
            let of = |model: &Model<f64>| -> Vec<(String, Vec<usize>, Vec<f64>)> {
                let graph = model.graph();
                let mut all: Vec<_> = graph
                    .tensors(superlinear_nets::TensorRole::Parameter)
                    .map(|v| (graph.name(v).to_owned(), graph.shape(v).to_vec(), model.tensor(v).to_vec()))
                    .collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                all
            };
            let mut expected = of(&hand);
            // The exporter writes tensors of equal numbers once.
            expected.retain(|(parameter, ..)| !read.aliases().iter().any(|(alias, _)| alias == parameter));
            assert_eq!(of(read.model()), expected, "{file}");
            for parameter in read.parameters() {
                assert_eq!(parameter.layout, Layout::AsInFile);
                let form = |model: &Model<f64>| -> Option<LayerForm> {
                    superlinear_nets::GraphLayer::of(model.graph(), &parameter.name).ok().map(|layer| layer.form())
                };
                assert_eq!(form(read.model()), form(&hand), "{file} {}", parameter.name);
            }
        }
    }
}

#[test]
fn a_file_says_what_it_is() {
    let [old, new] = files("resnet-small").map(|file| superlinear_onnx::read(file).unwrap());
    let summary = |read: &OnnxModel| (read.opset(), read.fixed_batch(), read.inputs()[0].shape.clone());
    assert_eq!(summary(&old), (17, None, vec![3, 8, 8]));
    assert_eq!(summary(&new), (18, None, vec![3, 8, 8]));
    assert!(old.producer().starts_with("pytorch"));
    assert_eq!(old.aliases(), [("b2.short.1.bias".to_owned(), "b2.bn2.bias".to_owned())]);
}
