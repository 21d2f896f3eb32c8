//! Plain mini-batch SGD with clipping, a cosine schedule and the paper's stopping rule.

use crate::{CosineSchedule, StateError, TrainingRun};
use faer::MatRef;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use std::ops::ControlFlow;
use superlinear_nets::{BatchLoss, Loss, Network, Samples, SamplesError, Workspace};

/// Every setting of a training run. [`SgdConfig::paper`] spells out the paper's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// The loss.
    pub loss: Loss,
    /// `B`; the last batch of an epoch may be shorter and is kept.
    pub batch: usize,
    /// Most epochs to run.
    pub epochs: usize,
    /// Learning rate by epoch.
    pub schedule: CosineSchedule,
    /// Largest norm of a batch gradient over all parameters: longer ones are scaled down to it.
    pub clip: f64,
    /// When to stop before the last epoch.
    pub early_stop: EarlyStop,
}

/// Stop when the mean training accuracy of the last `window` epochs exceeds `accuracy` and the training loss of the
/// last epoch is below `loss`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStop {
    /// Epochs averaged.
    pub window: usize,
    /// Accuracy to exceed.
    pub accuracy: f64,
    /// Loss to be below.
    pub loss: f64,
}

impl SgdConfig {
    /// The paper's settings: rate 0.1 by a cosine over 500 epochs down to 0.001, clip 5, stop at accuracy 0.9999 over
    /// 9 epochs and loss 1e-5; here with `B = 50` and 100 epochs, as for its MNIST networks.
    pub fn paper(loss: Loss) -> Self {
        Self {
            loss,
            batch: 50,
            epochs: 100,
            schedule: CosineSchedule { initial: 0.1, floor: 0.001, t_max: 500 },
            clip: 5.0,
            early_stop: EarlyStop { window: 9, accuracy: 0.9999, loss: 1e-5 },
        }
    }
}

/// What is kept of an epoch. Loss and accuracy are running means: of each batch before its own step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Share of training samples classified right, in `[0, 1]`.
    pub accuracy: f64,
    /// Learning rate of this epoch.
    pub rate: f64,
}

/// An epoch has ended: its record and the network after it.
#[derive(Debug)]
pub struct EpochEnd<'a> {
    /// The epoch.
    pub record: EpochRecord,
    /// The network after its last step.
    pub net: &'a Network<f32>,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were run.
    AllEpochs,
    /// The [`EarlyStop`] rule held.
    Converged,
    /// The listener asked for it.
    Interrupted,
}

/// A trained network with its curve.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The network after the last epoch.
    pub net: Network<f32>,
    /// One record an epoch.
    pub history: Vec<EpochRecord>,
    /// Why training ended.
    pub ended: Ended,
}

/// Training that cannot start or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// `B = 0`.
    #[error("batch size is 0, expected at least 1")]
    ZeroBatch,
    /// The samples do not fit the network.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A state to go on from that is none of this run.
    #[error(transparent)]
    State(#[from] StateError),
    /// The loss or the gradient norm of a batch is infinite or NaN.
    #[error("epoch {epoch}, step {step}: {quantity} is {value}, expected a finite number")]
    NotFinite {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        step: usize,
        /// `loss` or `gradient norm`.
        quantity: &'static str,
        /// What it is.
        value: f64,
    },
}

/// Trains `net` on `samples`: every epoch visits all of them in a fresh order, in batches of `B`.
///
/// A step is `w ← w − η_e · min(1, clip/‖g‖) · g` with `g` the gradient of the batch's mean loss. `listen` hears of
/// every epoch and may end training; the network and its history so far are then returned as they are.
///
/// # Errors
/// When the samples do not fit the network, the batch size is 0, or a loss or gradient stops being finite.
pub fn train(
    net: Network<f32>,
    samples: &impl Samples<f32>,
    config: &SgdConfig,
    rng: &mut impl Rng,
    mut listen: impl FnMut(EpochEnd<'_>) -> ControlFlow<()>,
) -> Result<Trained, TrainError> {
    let mut run = TrainingRun::new(net, samples, *config)?;
    let mut interrupted = false;
    while !interrupted && let Some(record) = run.next_epoch(rng)? {
        interrupted = listen(EpochEnd { record, net: run.net() }).is_break();
    }
    let ended = if interrupted { None } else { run.ended() };
    let (net, history) = run.into_parts();
    Ok(Trained { net, history, ended: ended.unwrap_or(Ended::Interrupted) })
}

/// Mean loss and accuracy of `net` over all of `samples`; zeros for none.
///
/// # Panics
/// When the samples do not fit the network.
#[track_caller]
pub fn evaluate(net: &Network<f32>, samples: &impl Samples<f32>, loss: Loss) -> (f64, f64) {
    const BATCH: usize = 256;
    let n_samples = samples.n_samples();
    let mut step = StepBuffers::new(net, BATCH);
    let mut total = BatchLoss { total: 0.0, n_correct: 0 };
    let order: Vec<usize> = (0..n_samples).collect();
    for members in order.chunks(BATCH) {
        let (inputs, labels, workspace, _) = step.load(net, samples, members);
        let batch = net.loss(inputs, labels, loss, workspace);
        total.total += batch.total;
        total.n_correct += batch.n_correct;
    }
    let n = n_samples.max(1) as f64;
    (total.total / n, total.n_correct as f64 / n)
}

pub(crate) fn check(net: &Network<f32>, samples: &impl Samples<f32>, config: &SgdConfig) -> Result<(), TrainError> {
    if config.batch == 0 {
        return Err(TrainError::ZeroBatch);
    }
    Ok(net.architecture().accepts(samples)?)
}

/// Fisher–Yates, written out so that no other crate's release changes a published number.
pub(crate) fn shuffle(order: &mut [usize], rng: &mut impl Rng) {
    for k in (1..order.len()).rev() {
        order.swap(k, rng.random_range(0..=k));
    }
}

pub(crate) fn converged(history: &[EpochRecord], rule: &EarlyStop) -> bool {
    let Some(last) = history.len().checked_sub(rule.window) else { return false };
    let window = &history[last..];
    let accuracy = window.iter().map(|epoch| epoch.accuracy).sum::<f64>() / rule.window as f64;
    accuracy > rule.accuracy && window.last().is_some_and(|epoch| epoch.loss < rule.loss)
}

/// Everything that a step writes to, made once.
#[derive(Debug)]
pub(crate) struct StepBuffers {
    workspace: Workspace<f32>,
    inputs: Vec<f32>,
    labels: Vec<u8>,
    gradient: Vec<f32>,
}

impl StepBuffers {
    pub(crate) fn new(net: &Network<f32>, max_batch: usize) -> Self {
        Self {
            workspace: Workspace::new(net, max_batch),
            inputs: vec![0.0; net.architecture().input_dim() * max_batch],
            labels: vec![0; max_batch],
            gradient: vec![0.0; net.params().len()],
        }
    }

    /// Writes the inputs and labels of a batch; they come back with the buffers that a pass over them needs.
    fn load(
        &mut self,
        net: &Network<f32>,
        samples: &impl Samples<f32>,
        members: &[usize],
    ) -> (MatRef<'_, f32>, &[u8], &mut Workspace<f32>, &mut [f32]) {
        let input_dim = net.architecture().input_dim();
        let write = |((inputs, labels), members): ((&mut [f32], &mut [u8]), &[usize])| {
            for ((input, label), &p) in inputs.chunks_exact_mut(input_dim).zip(labels).zip(members) {
                samples.write_input(p, input);
                *label = samples.label(p);
            }
        };
        let (len, piece) = (members.len(), LOADED_TOGETHER);
        let (inputs, labels) = (&mut self.inputs[..input_dim * len], &mut self.labels[..len]);
        if shares_work(inputs.len()) {
            let pieces = inputs.par_chunks_mut(input_dim * piece).zip(labels.par_chunks_mut(piece));
            pieces.zip(members.par_chunks(piece)).with_max_len(1).for_each(write);
        } else {
            write(((inputs, labels), members));
        }
        let inputs = &self.inputs[..input_dim * members.len()];
        let inputs = MatRef::from_column_major_slice(inputs, input_dim, members.len());
        (inputs, &self.labels[..members.len()], &mut self.workspace, &mut self.gradient)
    }

    /// One step; an error is what is not finite.
    pub(crate) fn run(
        &mut self,
        net: &mut Network<f32>,
        samples: &impl Samples<f32>,
        members: &[usize],
        config: &SgdConfig,
        rate: f64,
    ) -> Result<BatchLoss, (&'static str, f64)> {
        let (inputs, labels, workspace, buffer) = self.load(net, samples, members);
        let (batch, mut gradient) = net.loss_and_factored_gradient(inputs, labels, config.loss, workspace, buffer);
        if !batch.total.is_finite() {
            return Err(("loss", batch.total));
        }
        // As PyTorch's clip_grad_norm_, with its 1e-6.
        let scale = match gradient.norm_above(config.clip - CLIP_MARGIN) {
            None => rate,
            Some(norm) if norm.is_finite() => rate * (config.clip / (norm + CLIP_MARGIN)).min(1.0),
            Some(norm) => return Err(("gradient norm", norm)),
        } as f32;
        gradient.descend(net.params_mut(), scale);
        Ok(batch)
    }
}

/// What PyTorch adds to a gradient's norm before it divides by it.
const CLIP_MARGIN: f64 = 1e-6;
/// Numbers from which on threads share the work of writing a batch.
const SHARED: usize = 1 << 18;
/// Samples of a batch that are written one after the other, in their order.
const LOADED_TOGETHER: usize = 16;

/// Whether the current rayon pool has threads to share work on `n` numbers, and it is worth it.
fn shares_work(n: usize) -> bool {
    n > SHARED && rayon::current_num_threads() > 1
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use faer::Mat;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use superlinear_nets::{Activation, Architecture, DenseSamples, ImageShape};

    pub(crate) fn two_blobs(n: usize, seed: u64) -> DenseSamples<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<u8> = (0..n).map(|p| (p % 2) as u8).collect();
        let inputs = Mat::from_fn(3, n, |_, p| rng.random::<f32>() + f32::from(labels[p]));
        DenseSamples::new(inputs, labels)
    }

    pub(crate) fn net(seed: u64) -> Network<f32> {
        let architecture = Architecture::mlp(&[3, 5, 2], Activation::Relu).unwrap();
        Network::init(architecture, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn a_step_is_the_clipped_gradient_step() {
        let samples = two_blobs(10, 1);
        let start = net(2);
        let config = SgdConfig { batch: 10, epochs: 1, clip: 0.01, ..SgdConfig::paper(Loss::CrossEntropy) };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let trained = train(start.clone(), &samples, &config, &mut rng, |_| ControlFlow::Continue(())).unwrap();
        // The step has length rate · clip, since the gradient is longer than the clip.
        let moved: f64 = (start.params().iter().zip(trained.net.params()))
            .map(|(before, after)| f64::from(before - after).powi(2))
            .sum();
        assert!((moved.sqrt() / (0.1 * 0.01) - 1.0).abs() < 1e-3);
        // And goes down the gradient, taken here in f64.
        let wide = start.cast::<f64>();
        let inputs = Mat::from_fn(3, 10, |i, p| {
            let mut input = [0.0; 3];
            samples.write_input(p, &mut input);
            f64::from(input[i])
        });
        let labels: Vec<u8> = (0..10).map(|p| samples.label(p)).collect();
        let mut gradient = vec![0.0; wide.params().len()];
        let mut workspace = Workspace::new(&wide, 10);
        wide.loss_and_gradient(inputs.as_ref(), &labels, Loss::CrossEntropy, &mut workspace, &mut gradient);
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(norm > 0.01);
        for ((before, after), g) in start.params().iter().zip(trained.net.params()).zip(&gradient) {
            let expected = 0.1 * 0.01 / norm * g;
            assert!((f64::from(before - after) - expected).abs() < 1e-6 * 0.1, "{before} {after} {g}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let samples = two_blobs(37, 1);
        let config = SgdConfig { batch: 8, epochs: 3, ..SgdConfig::paper(Loss::SoftmaxMse) };
        let run = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            train(net(2), &samples, &config, &mut rng, |_| ControlFlow::Continue(())).unwrap().net
        };
        assert_eq!(run(4), run(4));
        assert_ne!(run(4), run(5));
    }

    #[test]
    fn threads_change_no_bit() {
        // More than one piece of parameters, large products, a short last batch; and a convolutional network.
        let wide = Architecture::mlp(&[2_300, 260, 2], Activation::Relu).unwrap();
        let images = ImageShape { channels: 2, height: 9, width: 8 };
        for (architecture, batch) in [(wide, 120), (Architecture::paper_cnn(images).unwrap(), 50)] {
            let mut rng = ChaCha8Rng::seed_from_u64(6);
            let inputs = Mat::from_fn(architecture.input_dim(), 130, |_, _| rng.random::<f32>() - 0.5);
            let samples = DenseSamples::new(inputs, (0..130).map(|p| (p % 2) as u8).collect());
            let config = SgdConfig { batch, epochs: 2, ..SgdConfig::paper(Loss::CrossEntropy) };
            let start = Network::<f32>::init(architecture, &mut rng);
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let rng = &mut ChaCha8Rng::seed_from_u64(7);
                let trained =
                    pool.install(|| train(start.clone(), &samples, &config, rng, |_| ControlFlow::Continue(())));
                let trained = trained.unwrap();
                (trained.net, trained.history)
            };
            let one = run(1);
            assert_ne!(one.0, start);
            assert!(run(2) == one && run(3) == one);
        }
    }

    #[test]
    fn stops_when_converged_and_when_told() {
        let samples = two_blobs(64, 1);
        let early_stop = EarlyStop { window: 3, accuracy: 0.5, loss: 10.0 };
        let config = SgdConfig { batch: 8, epochs: 50, early_stop, ..SgdConfig::paper(Loss::CrossEntropy) };
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let trained = train(net(2), &samples, &config, &mut rng, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(trained.ended, Ended::Converged);
        assert!(trained.history.len() >= 3 && trained.history.len() < 50);
        let trained = train(net(2), &samples, &config, &mut rng, |_| ControlFlow::Break(())).unwrap();
        assert_eq!((trained.ended, trained.history.len()), (Ended::Interrupted, 1));
    }

    #[test]
    fn bad_settings_and_numbers_are_named() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let listen = |_: EpochEnd<'_>| ControlFlow::Continue(());
        let config = SgdConfig { batch: 0, ..SgdConfig::paper(Loss::CrossEntropy) };
        let error = train(net(2), &two_blobs(4, 1), &config, &mut rng, listen).unwrap_err();
        assert_eq!(error, TrainError::ZeroBatch);
        let config = SgdConfig { batch: 2, ..config };
        let empty = DenseSamples::new(Mat::zeros(3, 0), vec![]);
        assert_eq!(
            train(net(2), &empty, &config, &mut rng, listen).unwrap_err(),
            TrainError::Samples(SamplesError::None)
        );
        let infinite = DenseSamples::new(Mat::full(3, 4, f32::INFINITY), vec![0; 4]);
        let error = train(net(2), &infinite, &config, &mut rng, listen).unwrap_err();
        assert!(matches!(error, TrainError::NotFinite { epoch: 1, step: 1, quantity: "loss", .. }), "{error}");
        let foreign = DenseSamples::new(Mat::zeros(3, 1), vec![7]);
        let error = train(net(2), &foreign, &config, &mut rng, listen).unwrap_err();
        assert_eq!(error, TrainError::Samples(SamplesError::Label { sample: 0, found: 7, n_out: 2 }));
    }
}
