//! Networks from other programs.

use superlinear_nets::{GraphSamples, TensorRole};
use superlinear_onnx::{Options, from_bytes};

/// Entries of all values of a network that is small enough to be run.
const SMALL: usize = 10_000;

/// A network in an ONNX file.
pub fn onnx(bytes: &[u8]) -> bool {
    let Ok(read) = from_bytes(bytes, None, &Options::default()) else { return false };
    let (model, graph) = (read.model(), read.model().graph());
    let names = read.parameters().iter().map(|parameter| &*parameter.name);
    assert!(names.eq(graph.tensors(TensorRole::Parameter).map(|value| graph.name(value))));
    for (input, value) in read.inputs().iter().zip(graph.inputs()) {
        assert_eq!((&*input.name, &*input.shape), (graph.name(value), graph.shape(value)));
    }
    let values = graph.nodes().chain(graph.inputs());
    let entries: usize = values.map(|value| graph.shape(value).iter().product::<usize>()).sum();
    if entries <= SMALL && graph.n_params() <= SMALL {
        // A node may refuse these values; it does not panic.
        if let Ok(outputs) = model.outputs(&Ones, 0..2) {
            let of = |p: usize| outputs.col_as_slice(p).iter().map(|x| x.to_bits());
            assert!(of(0).eq(of(1)), "samples that are alike differ");
        }
    }
    true
}

/// Samples that are 1 everywhere.
struct Ones;

impl GraphSamples<f64> for Ones {
    fn n_samples(&self) -> usize {
        2
    }
    fn write_input(&self, _p: usize, _input: usize, out: &mut [f64]) {
        out.fill(1.0);
    }
    fn write_target(&self, _p: usize, out: &mut [f64]) {
        out.fill(0.0);
    }
}
