//! The written form of what a training run is a function of.
//!
//! Keys hash these words. They are spelled out here, so that renaming a field or a variant elsewhere keeps every stored run.

use superlinear_nets::{Activation, Architecture, Bias, ImageShape, Layer, Loss};
use superlinear_training::SgdConfig;

/// A network: what each layer does and to which shape, for example `dense 784x50; relu; dense 50x10 bias`.
pub(super) fn architecture(net: &Architecture) -> String {
    net.layers().iter().map(layer).collect::<Vec<_>>().join("; ")
}

fn layer(layer: &Layer) -> String {
    match *layer {
        Layer::Dense { d_in, d_out, bias: Bias::None } => format!("dense {d_in}x{d_out}"),
        Layer::Dense { d_in, d_out, bias: Bias::Learned } => format!("dense {d_in}x{d_out} bias"),
        Layer::Activation(Activation::Relu) => "relu".to_owned(),
        Layer::Activation(Activation::Tanh) => "tanh".to_owned(),
        Layer::Activation(Activation::Identity) => "identity".to_owned(),
        Layer::Conv3x3 { input: ImageShape { channels, height, width }, c_out } => {
            format!("conv3x3 {channels}x{height}x{width} to {c_out}")
        }
        Layer::MaxPool2x2 => "maxpool2x2".to_owned(),
        Layer::GlobalAveragePool => "average".to_owned(),
        Layer::Flatten => "flatten".to_owned(),
    }
}

/// Settings of training. Numbers are written with as many digits as tell them from any other.
pub(super) fn sgd(config: &SgdConfig) -> String {
    let SgdConfig { loss, batch, epochs, schedule, clip, early_stop } = config;
    let loss = match loss {
        Loss::CrossEntropy => "cross-entropy",
        Loss::SoftmaxMse => "softmax-mse",
        Loss::LinearMse => "linear-mse",
    };
    format!(
        "loss {loss}; batch {batch}; epochs {epochs}; cosine {} to {} in {}; clip {clip}; stop {} {} {}",
        schedule.initial, schedule.floor, schedule.t_max, early_stop.window, early_stop.accuracy, early_stop.loss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here throws away every stored training.
    #[test]
    fn the_bytes_are_pinned() {
        let mlp = Architecture::mlp(&[784, 50, 10], Activation::Relu).unwrap();
        assert_eq!(architecture(&mlp), "dense 784x50; relu; dense 50x10");
        let images = ImageShape { channels: 3, height: 32, width: 32 };
        assert_eq!(
            architecture(&Architecture::paper_cnn(images).unwrap()),
            "conv3x3 3x32x32 to 32; relu; maxpool2x2; conv3x3 32x16x16 to 64; relu; maxpool2x2; conv3x3 64x8x8 to 128; relu; \
             conv3x3 128x8x8 to 128; relu; maxpool2x2; average; dense 128x20; relu; dense 20x10 bias"
        );
        assert_eq!(
            sgd(&SgdConfig::paper(Loss::SoftmaxMse)),
            "loss softmax-mse; batch 50; epochs 100; cosine 0.1 to 0.001 in 500; clip 5; stop 9 0.9999 0.00001"
        );
    }
}
