//! A real layer: MNIST, a network trained on it for a little while, and what its second dense layer sees.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use superlinear_curvature::AnalysedLayer;
use superlinear_datasets::{Classes, Dataset, DrawPolicy, Normalisation, draw_train};
use superlinear_nets::{Activation, Architecture, Loss, Network};
use superlinear_training::{ImageSamples, SgdConfig, train};

/// The first `n_per_class` images of each class, as inputs in `[0, 1]`.
///
/// # Panics
/// When a class has fewer.
#[track_caller]
pub fn first_images(mnist: &Dataset, n_per_class: usize) -> ImageSamples<'_> {
    let classes = Classes::first(10).expect("there are ten classes");
    // The draw is the first images of each class; the generator only orders them.
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let drawn = draw_train(&mnist.train, &classes, n_per_class, DrawPolicy::ExactPerClass, rng)
        .expect("the embedded set has 2,000 images of each class");
    ImageSamples::drawn(&mnist.train, drawn, Normalisation::UnitScale)
}

/// A ReLU network 784-`hidden[0]`-`hidden[1]`-10 after two epochs of the paper's SGD on cross-entropy over
/// `10·n_per_class` images, and its `hidden[1] × hidden[0]` layer on the same images.
///
/// Two epochs bring the spectrum of its Hessian near what is analysed: fast decay, many samples almost fitted.
///
/// # Panics
/// When a class has fewer than `n_per_class` images.
#[track_caller]
pub fn trained_mnist_layer(hidden: [usize; 2], n_per_class: usize) -> AnalysedLayer {
    let mnist = superlinear_datasets::embedded::mnist();
    let images = first_images(&mnist, n_per_class);
    let widths = [784, hidden[0], hidden[1], 10];
    let architecture = Architecture::mlp(&widths, Activation::Relu).expect("no width is zero");
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    let config = SgdConfig { epochs: 2, ..SgdConfig::paper(Loss::CrossEntropy) };
    let net = Network::<f32>::init(architecture, rng);
    let trained = train(net, &images, &config, rng, |_| ControlFlow::Continue(())).expect("training stays finite");
    let net = trained.net.cast::<f64>();
    AnalysedLayer::collect(&net, 1, Loss::CrossEntropy, &images).expect("the layer's samples are finite")
}
