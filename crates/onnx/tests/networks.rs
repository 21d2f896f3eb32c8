//! Other networks, of `make_fixtures.py`, against PyTorch in double precision: logits, loss, and the gradient and a
//! Hessian product in all parameters together.

use faer::Mat;
use safetensors::{Dtype, SafeTensors};
use superlinear_nets::{
    Criterion, DenseGraphSamples, GraphDirections, GraphPasses, GraphSums, Model, TensorRole, Variables,
};
use superlinear_onnx::{Layout, OnnxModel};

const TOLERANCE: f64 = 1e-9;
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/onnx");

struct Truth(Vec<u8>);

impl Truth {
    fn read(name: &str) -> Self {
        Self(std::fs::read(format!("{FOLDER}/{name}.safetensors")).unwrap())
    }

    fn get(&self, name: &str) -> Option<(Vec<usize>, Vec<f64>)> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).ok()?;
        let number = |x: &[u8]| match tensor.dtype() {
            Dtype::F64 => f64::from_le_bytes(x.try_into().unwrap()),
            Dtype::I64 => i64::from_le_bytes(x.try_into().unwrap()) as f64,
            other => panic!("{other:?}"),
        };
        Some((tensor.shape().to_vec(), tensor.data().chunks_exact(8).map(number).collect()))
    }

    fn columns(&self, name: &str) -> Mat<f64> {
        let (shape, numbers) = self.get(name).unwrap();
        let dim = numbers.len() / shape[0];
        Mat::from_fn(dim, shape[0], |i, p| numbers[p * dim + i])
    }

    /// The parameters by name.
    fn parameters(&self) -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let names = tensors.names();
        let names = names.iter().filter_map(|name| name.strip_prefix("p/"));
        names
            .map(|name| (name.to_owned(), self.get(&format!("p/{name}")).unwrap()))
            .map(|(n, (s, x))| (n, s, x))
            .collect()
    }
}

fn read(file: &str) -> OnnxModel {
    superlinear_onnx::read(format!("{FOLDER}/{file}")).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// PyTorch's name of the parameter that has these numbers.
fn name_of(truth: &Truth, shape: &[usize], numbers: &[f64]) -> String {
    let same = |(_, other, x): &(String, Vec<usize>, Vec<f64>)| {
        let no_ones = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
        no_ones(other) == no_ones(shape) && x == numbers
    };
    truth.parameters().into_iter().find(same).unwrap_or_else(|| panic!("{shape:?} {numbers:?}")).0
}

#[track_caller]
fn close(what: &str, found: &[f64], truth: &[f64]) {
    assert_eq!(found.len(), truth.len(), "{what}");
    let scale = truth.iter().fold(0.0_f64, |scale, x| scale.max(x.abs()));
    let worst = found.iter().zip(truth).fold(0.0_f64, |worst, (x, y)| worst.max((x - y).abs()));
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst:e} of {scale:e}");
}

/// Holds a model to the truth of `name`; returns PyTorch's names of its parameters, in order.
fn check(file: &str, name: &str, read: &OnnxModel) -> Vec<String> {
    let (truth, model): (_, &Model<f64>) = (Truth::read(name), read.model());
    let graph = model.graph();
    let samples = DenseGraphSamples::new(vec![truth.columns("x")], truth.columns("y"));
    let n = samples_of(&truth);
    let logits = model.outputs(&samples, 0..n).unwrap();
    let found: Vec<f64> = (0..n).flat_map(|p| logits.col_as_slice(p).to_vec()).collect();
    close(&format!("{file} logits"), &found, &truth.get("logits").unwrap().1);
    let parameters: Vec<_> = graph.tensors(TensorRole::Parameter).collect();
    let names: Vec<String> = parameters.iter().map(|&v| name_of(&truth, graph.shape(v), model.tensor(v))).collect();
    let stacked = |what: &str| -> Vec<f64> {
        names.iter().flat_map(|name| truth.get(&format!("{what}/{name}")).unwrap().1).collect()
    };
    let all = parameters.iter().map(|&v| graph.name(v));
    let variables = Variables::parameters(graph, all).unwrap();
    assert_eq!(variables.n_params(), graph.n_params());
    let mut passes = GraphPasses::new(graph, Criterion::cross_entropy().into(), variables.clone());
    let mean = |sums: &GraphSums<f64>| {
        let mut out = Mat::zeros(variables.n_params(), 1);
        sums.add_to(&variables, 1.0 / n as f64, out.as_mut());
        out.col_as_slice(0).to_vec()
    };
    let mut sums = GraphSums::zeros(&variables, 1);
    let loss = passes.gradient(model, &samples, 0..n, &mut sums).unwrap() / n as f64;
    close(&format!("{file} loss"), &[loss], &truth.get("loss").unwrap().1);
    close(&format!("{file} gradient"), &mean(&sums), &stacked("g"));
    let direction = stacked("v");
    let direction = Mat::from_fn(direction.len(), 1, |i, _| direction[i]);
    let directions = GraphDirections::new(&variables, direction.as_ref());
    let mut sums = GraphSums::zeros(&variables, 1);
    passes.hessian(model, &directions, &mut sums);
    close(&format!("{file} Hessian product"), &mean(&sums), &stacked("hv"));
    names
}

const NAMES: [&str; 8] = ["vision", "mobile", "groups", "language", "scaled", "encoder", "signal", "plain"];

#[test]
fn both_exporters_agree_with_pytorch() {
    for name in NAMES {
        for end in ["onnx", "dynamo.onnx"] {
            let file = format!("{name}.{end}");
            let read = read(&file);
            let names = check(&file, name, &read);
            // Every parameter is there, by its own name wherever the file has it.
            assert_eq!(names.len(), Truth::read(name).parameters().len(), "{file}");
            for (parameter, name) in read.parameters().iter().zip(&names) {
                let made_up = parameter.name.starts_with("onnx::") || parameter.name.starts_with("val_");
                assert!(made_up || parameter.name == *name, "{file}: {} is {name}", parameter.name);
            }
        }
    }
}

/// An exporter that folds weights into others loses names and ties, and rounds the numbers that it makes to `f32`.
#[test]
fn optimised_files_give_the_same_logits() {
    for name in NAMES {
        let (truth, read) = (Truth::read(name), read(&format!("{name}.optimized.onnx")));
        let samples = DenseGraphSamples::new(vec![truth.columns("x")], truth.columns("y"));
        let logits = read.model().outputs(&samples, 0..samples_of(&truth)).unwrap();
        let expected = truth.columns("logits");
        let (scale, worst) = (expected.norm_max(), (&logits - &expected).norm_max());
        assert!(worst <= 1e-7 * scale, "{name}: off by {worst:e} of {scale:e}");
    }
}

/// Files for one sample or three give networks that take any number.
#[test]
fn fixed_numbers_of_samples_are_left_open() {
    for name in ["vision", "plain", "scaled"] {
        for n in [1, 3] {
            let file = format!("{name}.fixed{n}.onnx");
            let read = read(&file);
            assert_eq!(read.fixed_batch(), Some(n));
            check(&file, name, &read);
        }
    }
}

#[test]
fn weights_that_were_turned_are_turned_back() {
    let read = read("plain.onnx");
    let layouts: Vec<_> = read.parameters().iter().map(|p| (&*p.file_shape, p.layout)).collect();
    assert!(
        layouts.contains(&(&[3, 4][..], Layout::Transposed)) && layouts.contains(&(&[4, 2][..], Layout::Transposed))
    );
    // A parameter of the network's own, (d_in, d_out), stays as it is.
    let own = read.parameters().iter().find(|p| p.name == "own").unwrap();
    assert_eq!((&*own.file_shape, own.layout), (&[4, 3][..], Layout::AsInFile));
}

fn samples_of(truth: &Truth) -> usize {
    truth.get("x").unwrap().0[0]
}
