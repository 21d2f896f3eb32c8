//! The written form of what a training run is a function of.
//!
//! Keys hash these words. They are spelled out here, so that renaming a field or a variant elsewhere keeps every stored
//! run. The words are those of the first release, which took them from Rust's `Debug`: trainings of then are found.

use crate::spec::{RunSpec, Source, SpectraSpec};
use serde::Serialize;
use std::fmt::Display;
use std::ops::Range;
use superlinear_nets::{Activation, Architecture, Bias, DenseLayer, ImageShape, Layer, Loss, Shape};
use superlinear_training::SgdConfig;

/// A network: its layers, and the shapes and parameters that follow from them.
pub(super) fn architecture(net: &Architecture) -> String {
    let positions = 0..net.layers().len();
    format!(
        "Architecture {{ layers: {}, input: {}, shapes: {}, params: {}, dense: {} }}",
        list(net.layers().iter().map(layer)),
        shape(net.input_shape()),
        list(positions.clone().map(|at| shape(net.output_shape_of(at)))),
        list(positions.map(|at| format!("({}, {})", range(&net.weight_params(at)), range(&net.bias_params(at))))),
        list(net.dense_layers().iter().map(dense)),
    )
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn range(range: &Range<usize>) -> String {
    format!("{}..{}", range.start, range.end)
}

fn image(ImageShape { channels, height, width }: ImageShape) -> String {
    format!("ImageShape {{ channels: {channels}, height: {height}, width: {width} }}")
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::Vector(dim) => format!("Vector({dim})"),
        Shape::Image(shape) => format!("Image({})", image(shape)),
    }
}

fn layer(layer: &Layer) -> String {
    match *layer {
        Layer::Dense { d_in, d_out, bias } => {
            let bias = match bias {
                Bias::None => "None",
                Bias::Learned => "Learned",
            };
            format!("Dense {{ d_in: {d_in}, d_out: {d_out}, bias: {bias} }}")
        }
        Layer::Activation(activation) => {
            let name = match activation {
                Activation::Relu => "Relu",
                Activation::Tanh => "Tanh",
                Activation::Identity => "Identity",
            };
            format!("Activation({name})")
        }
        Layer::Conv3x3 { input, c_out } => format!("Conv3x3 {{ input: {}, c_out: {c_out} }}", image(input)),
        Layer::MaxPool2x2 => "MaxPool2x2".to_owned(),
        Layer::GlobalAveragePool => "GlobalAveragePool".to_owned(),
        Layer::Flatten => "Flatten".to_owned(),
    }
}

fn dense(DenseLayer { position, d_out, d_in, params, bias }: &DenseLayer) -> String {
    let bias = bias.as_ref().map_or_else(|| "None".to_owned(), |bias| format!("Some({})", range(bias)));
    let params = range(params);
    format!("DenseLayer {{ position: {position}, d_out: {d_out}, d_in: {d_in}, params: {params}, bias: {bias} }}")
}

/// Settings of training. Numbers are written with as many digits as tell them from any other.
pub(super) fn sgd(config: &SgdConfig) -> String {
    let SgdConfig { loss, batch, epochs, schedule, clip, early_stop } = config;
    let loss = match loss {
        Loss::CrossEntropy => "CrossEntropy",
        Loss::SoftmaxMse => "SoftmaxMse",
        Loss::LinearMse => "LinearMse",
    };
    let (initial, floor, t_max) = (schedule.initial, schedule.floor, schedule.t_max);
    let schedule = format!("CosineSchedule {{ initial: {initial:?}, floor: {floor:?}, t_max: {t_max} }}");
    let (window, accuracy, stop) = (early_stop.window, early_stop.accuracy, early_stop.loss);
    let early_stop = format!("EarlyStop {{ window: {window}, accuracy: {accuracy:?}, loss: {stop:?} }}");
    format!(
        "SgdConfig {{ loss: {loss}, batch: {batch}, epochs: {epochs}, schedule: {schedule}, clip: {clip:?}, \
         early_stop: {early_stop} }}"
    )
}

/// What an analysis is a function of, in the words and the order of the first release.
#[derive(Serialize)]
pub(super) struct Analysis {
    dataset: String,
    source: &'static str,
    model: String,
    loss: String,
    n_classes: usize,
    n_per_class: usize,
    n_test: usize,
    batch: usize,
    epochs: usize,
    top: usize,
    /// None: each checkpoint has a record of its own.
    checkpoints: [usize; 0],
    pub(super) n_resamples: usize,
    pub(super) spectral: Option<Spectral>,
    seed: u64,
}

#[derive(Serialize)]
pub(super) struct Spectral {
    n_per_class: usize,
    null_draws: usize,
    bootstrap_draws: usize,
}

impl Analysis {
    /// Of a run.
    pub(super) fn of(spec: &RunSpec) -> Self {
        let spectral = |&SpectraSpec { n_per_class, null_draws, bootstrap_draws }: &SpectraSpec| Spectral {
            n_per_class,
            null_draws,
            bootstrap_draws,
        };
        Self {
            dataset: spec.dataset.to_string(),
            source: match spec.source {
                Source::Embedded => "embedded",
                Source::Full => "full",
            },
            model: spec.network.to_string(),
            loss: spec.loss.to_string(),
            n_classes: spec.n_classes,
            n_per_class: spec.n_per_class,
            n_test: spec.n_test,
            batch: spec.batch,
            epochs: spec.epochs,
            top: spec.top,
            checkpoints: [],
            n_resamples: spec.n_resamples,
            spectral: spec.spectra.as_ref().map(spectral),
            seed: spec.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here throws away every stored training.
    #[test]
    fn the_bytes_are_pinned() {
        let layers = vec![
            Layer::Dense { d_in: 6, d_out: 5, bias: Bias::None },
            Layer::Activation(Activation::Relu),
            Layer::Dense { d_in: 5, d_out: 2, bias: Bias::Learned },
        ];
        assert_eq!(
            architecture(&Architecture::new(layers).unwrap()),
            "Architecture { layers: [Dense { d_in: 6, d_out: 5, bias: None }, Activation(Relu), \
             Dense { d_in: 5, d_out: 2, bias: Learned }], input: Vector(6), \
             shapes: [Vector(5), Vector(5), Vector(2)], params: [(0..30, 30..30), (30..30, 30..30), (30..40, 40..42)], \
             dense: [DenseLayer { position: 0, d_out: 5, d_in: 6, params: 0..30, bias: None }, \
             DenseLayer { position: 2, d_out: 2, d_in: 5, params: 30..40, bias: Some(40..42) }] }"
        );
        let images = ImageShape { channels: 3, height: 8, width: 8 };
        let cnn = architecture(&Architecture::paper_cnn(images).unwrap());
        let beginning = "Architecture { layers: [Conv3x3 { input: ImageShape { channels: 3, height: 8, width: 8 }, \
                         c_out: 32 }, Activation(Relu), MaxPool2x2, Conv3x3 {";
        assert!(cnn.starts_with(beginning), "{cnn}");
        assert!(
            cnn.contains("], input: Image(ImageShape { channels: 3, height: 8, width: 8 }), shapes: [Image("),
            "{cnn}"
        );
        assert_eq!(
            sgd(&SgdConfig::paper(Loss::SoftmaxMse)),
            "SgdConfig { loss: SoftmaxMse, batch: 50, epochs: 100, schedule: CosineSchedule { initial: 0.1, \
             floor: 0.001, t_max: 500 }, clip: 5.0, early_stop: EarlyStop { window: 9, accuracy: 0.9999, loss: 1e-5 } }"
        );
    }

    /// A change here analyses every stored network again.
    #[test]
    fn the_bytes_of_an_analysis_are_pinned() {
        let spec = crate::plan::tests::spec();
        assert_eq!(
            serde_json::to_string(&Analysis::of(&spec)).unwrap(),
            r#"{"dataset":"mnist","source":"embedded","model":"mlp","loss":"ce","n_classes":3,"n_per_class":300,"#
                .to_owned()
                + r#""n_test":1000,"batch":50,"epochs":200,"top":300,"checkpoints":[],"n_resamples":200,"#
                + r#""spectral":null,"seed":0}"#
        );
    }
}
