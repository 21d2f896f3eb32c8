//! Stochastic gradient descent as the paper runs it: no momentum, cosine schedule, clipped gradients, early stop.
//!
//! [`train`] takes a network and an [`ImageSamples`] draw, and reports an [`EpochEnd`] after every epoch; whoever
//! listens keeps checkpoints, draws curves or stops. [`TrainingRun`] is the same an epoch at a time, and can be stopped
//! and gone on with in another process. Training is `f32`, allocates nothing inside a step, and is a pure
//! function of the network, the samples, the [`SgdConfig`] and the generator: a step of a convolutional or a wide
//! network uses the rayon pool that [`train`] is called in, and gives the same bits on any number of threads.
//!
//! ```
//! use rand::SeedableRng;
//! use std::ops::ControlFlow;
//! use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};
//! use superlinear_training::{SgdConfig, train};
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let inputs = faer::Mat::from_fn(2, 100, |i, p| if p % 2 == i { 1.0 } else { 0.0 });
//! let samples = DenseSamples::new(inputs, (0..100).map(|p| p % 2).collect());
//! let net = Network::<f32>::init(Architecture::mlp(&[2, 8, 2], Activation::Relu)?, &mut rng);
//! let config = SgdConfig { epochs: 20, batch: 10, ..SgdConfig::paper(Loss::CrossEntropy) };
//! let trained = train(net, &samples, &config, &mut rng, |_| ControlFlow::Continue(()))?;
//! assert_eq!(trained.history.last().map(|epoch| epoch.accuracy), Some(1.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod graph;
mod image_samples;
mod run;
mod schedule;
mod sgd;

pub use graph::{GraphEpochEnd, GraphSgd, GraphTrainError, train_graph};
pub use image_samples::ImageSamples;
pub use run::{StateError, TrainingRun, TrainingState};
pub use schedule::CosineSchedule;
pub use sgd::{EarlyStop, Ended, EpochEnd, EpochRecord, SgdConfig, TrainError, Trained, evaluate, train};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
