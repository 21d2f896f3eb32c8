//! A training run epoch by epoch, with a state from which it goes on exactly.

use crate::sgd::{StepBuffers, check, converged, shuffle};
use crate::{Ended, EpochRecord, SgdConfig, TrainError};
use rand::Rng;
use superlinear_nets::{BatchLoss, Network, Samples};

/// A training run between two epochs.
///
/// [`train`](crate::train()) runs one from beginning to end. Whoever wants to stop and go on later, in another process,
/// keeps its [`TrainingState`] and the generator's: [`TrainingRun::resume`] then continues to the same bits as a run
/// that was never stopped.
///
/// ```
/// use rand::SeedableRng;
/// use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};
/// use superlinear_training::{SgdConfig, TrainingRun};
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let inputs = faer::Mat::from_fn(2, 100, |i, p| if p % 2 == i { 1.0 } else { 0.0 });
/// let samples = DenseSamples::new(inputs, (0..100).map(|p| p % 2).collect());
/// let net = Network::<f32>::init(Architecture::mlp(&[2, 8, 2], Activation::Relu)?, &mut rng);
/// let config = SgdConfig { epochs: 2, batch: 10, ..SgdConfig::paper(Loss::CrossEntropy) };
///
/// let mut run = TrainingRun::new(net.clone(), &samples, config)?;
/// run.next_epoch(&mut rng)?;
/// let (kept, mut kept_rng) = (run.state(), rng.clone());
/// run.next_epoch(&mut rng)?;
///
/// let mut again = TrainingRun::resume(net, kept, &samples, config)?;
/// again.next_epoch(&mut kept_rng)?;
/// assert_eq!(again.net(), run.net());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TrainingRun<'a, S> {
    net: Network<f32>,
    samples: &'a S,
    config: SgdConfig,
    order: Vec<usize>,
    history: Vec<EpochRecord>,
    buffers: StepBuffers,
}

/// What a run has to remember between two epochs, besides its generator, samples and settings.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingState {
    /// All parameters.
    pub params: Vec<f32>,
    /// The order in which the last epoch visited the samples; the next one shuffles it further.
    pub order: Vec<usize>,
    /// One record an epoch done.
    pub history: Vec<EpochRecord>,
}

/// A state that does not belong to the network, the samples or the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another number of parameters or samples.
    #[error("state with {found} {quantity}, expected {expected}")]
    Count {
        /// `parameters` or `samples`.
        quantity: &'static str,
        /// What the state has.
        found: usize,
        /// What it should have.
        expected: usize,
    },
    /// More epochs than are to be run.
    #[error("state after {found} epochs, expected at most {expected}")]
    Epochs {
        /// Epochs of the state.
        found: usize,
        /// Most epochs to run.
        expected: usize,
    },
    /// The order does not visit every sample once.
    #[error("state whose order visits sample {sample} twice or has no such sample")]
    Order {
        /// The sample.
        sample: usize,
    },
    /// Epochs that are not counted 1, 2, ….
    #[error("state whose epoch {expected} is called {found}")]
    History {
        /// Its number.
        found: usize,
        /// Its place.
        expected: usize,
    },
}

impl<'a, S: Samples<f32>> TrainingRun<'a, S> {
    /// A run before its first epoch.
    ///
    /// # Errors
    /// When the samples do not fit the network, or the batch size is 0.
    pub fn new(net: Network<f32>, samples: &'a S, config: SgdConfig) -> Result<Self, TrainError> {
        let n_samples = samples.n_samples();
        check(&net, samples, &config)?;
        let order = (0..n_samples).collect();
        let buffers = StepBuffers::new(&net, config.batch.min(n_samples));
        let history = Vec::with_capacity(config.epochs);
        Ok(Self { net, samples, config, order, history, buffers })
    }

    /// A run that goes on from `state`. Of `net` only the architecture counts; the parameters are the state's.
    ///
    /// # Errors
    /// As [`TrainingRun::new`], and [`TrainError::State`] when the state does not belong to these samples and settings.
    pub fn resume(
        net: Network<f32>,
        state: TrainingState,
        samples: &'a S,
        config: SgdConfig,
    ) -> Result<Self, TrainError> {
        let mut run = Self::new(net, samples, config)?;
        let TrainingState { params, order, history } = state;
        let count = |quantity, found, expected| {
            if found == expected { Ok(()) } else { Err(StateError::Count { quantity, found, expected }) }
        };
        count("parameters", params.len(), run.net.params().len())?;
        count("samples", order.len(), run.order.len())?;
        if history.len() > config.epochs {
            return Err(StateError::Epochs { found: history.len(), expected: config.epochs }.into());
        }
        let mut seen = vec![false; order.len()];
        for &sample in &order {
            match seen.get_mut(sample) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(StateError::Order { sample }.into()),
            }
        }
        if let Some((k, epoch)) = history.iter().enumerate().find(|(k, epoch)| epoch.epoch != k + 1) {
            return Err(StateError::History { found: epoch.epoch, expected: k + 1 }.into());
        }
        run.net.params_mut().copy_from_slice(&params);
        run.order = order;
        run.history.extend(history);
        Ok(run)
    }

    /// Runs one epoch, unless training has [`ended`](Self::ended); `None` then.
    ///
    /// # Errors
    /// When a loss or gradient stops being finite. The network is then that before the failing step.
    pub fn next_epoch(&mut self, rng: &mut impl Rng) -> Result<Option<EpochRecord>, TrainError> {
        if self.ended().is_some() {
            return Ok(None);
        }
        let Self { net, samples, config, order, history, buffers } = self;
        let epoch = history.len() + 1;
        shuffle(order, rng);
        let rate = config.schedule.rate(epoch - 1);
        let mut total = BatchLoss { total: 0.0, n_correct: 0 };
        for (k, members) in order.chunks(config.batch).enumerate() {
            let batch = buffers
                .run(net, *samples, members, config, rate)
                .map_err(|(quantity, value)| TrainError::NotFinite { epoch, step: k + 1, quantity, value })?;
            total.total += batch.total;
            total.n_correct += batch.n_correct;
        }
        let n_samples = order.len() as f64;
        let record =
            EpochRecord { epoch, loss: total.total / n_samples, accuracy: total.n_correct as f64 / n_samples, rate };
        history.push(record);
        Ok(Some(record))
    }

    /// Whether training is over, and why: all epochs are run, or the rule to stop early holds.
    pub fn ended(&self) -> Option<Ended> {
        if converged(&self.history, &self.config.early_stop) {
            Some(Ended::Converged)
        } else if self.history.len() >= self.config.epochs {
            Some(Ended::AllEpochs)
        } else {
            None
        }
    }

    /// The network as it is now.
    pub fn net(&self) -> &Network<f32> {
        &self.net
    }

    /// One record an epoch done.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// What [`resume`](Self::resume) takes. The generator is the caller's, and so is keeping its state.
    pub fn state(&self) -> TrainingState {
        TrainingState { params: self.net.params().to_vec(), order: self.order.clone(), history: self.history.clone() }
    }

    /// The network and its history.
    pub fn into_parts(self) -> (Network<f32>, Vec<EpochRecord>) {
        (self.net, self.history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgd::tests::{net, two_blobs};
    use crate::{EarlyStop, train};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::ops::ControlFlow;
    use superlinear_nets::Loss;

    fn config() -> SgdConfig {
        SgdConfig { batch: 8, epochs: 7, ..SgdConfig::paper(Loss::SoftmaxMse) }
    }

    /// A generator that another process would make: same seed and stream, moved to where this one stands.
    fn moved(rng: &ChaCha8Rng) -> ChaCha8Rng {
        let mut moved = ChaCha8Rng::from_seed(rng.get_seed());
        moved.set_stream(rng.get_stream());
        moved.set_word_pos(rng.get_word_pos());
        moved
    }

    #[test]
    fn stopped_after_any_epoch_it_goes_on_to_the_same_bits() {
        let samples = two_blobs(37, 1);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        rng.set_stream(3);
        let whole = train(net(2), &samples, &config(), &mut rng.clone(), |_| ControlFlow::Continue(())).unwrap();
        for stop in 0..=7 {
            let mut rng = rng.clone();
            let mut run = TrainingRun::new(net(2), &samples, config()).unwrap();
            for _ in 0..stop {
                run.next_epoch(&mut rng).unwrap();
            }
            let (state, mut rng) = (run.state(), moved(&rng));
            // The parameters of the network that is given are not those of the run.
            let mut run = TrainingRun::resume(net(5), state, &samples, config()).unwrap();
            while run.next_epoch(&mut rng).unwrap().is_some() {}
            assert_eq!(run.ended(), Some(Ended::AllEpochs));
            assert_eq!(run.into_parts(), (whole.net.clone(), whole.history.clone()), "stopped after epoch {stop}");
        }
    }

    #[test]
    fn a_converged_run_stays_ended() {
        let early_stop = EarlyStop { window: 3, accuracy: 0.0, loss: 10.0 };
        let (samples, config) = (two_blobs(16, 1), SgdConfig { early_stop, ..config() });
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut run = TrainingRun::new(net(2), &samples, config).unwrap();
        while run.next_epoch(&mut rng).unwrap().is_some() {}
        assert_eq!((run.history().len(), run.ended()), (3, Some(Ended::Converged)));
        let mut run = TrainingRun::resume(net(2), run.state(), &samples, config).unwrap();
        assert_eq!(run.next_epoch(&mut rng), Ok(None));
    }

    #[test]
    fn a_state_of_something_else_is_refused() {
        let samples = two_blobs(16, 1);
        let mut run = TrainingRun::new(net(2), &samples, config()).unwrap();
        run.next_epoch(&mut ChaCha8Rng::seed_from_u64(9)).unwrap();
        let good = run.state();
        let refused = |change: fn(&mut TrainingState)| {
            let mut state = good.clone();
            change(&mut state);
            match TrainingRun::resume(net(2), state, &samples, config()) {
                Err(TrainError::State(error)) => error,
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(refused(|s| _ = s.params.pop()), StateError::Count { quantity: "parameters", .. }));
        assert!(matches!(refused(|s| s.order.push(0)), StateError::Count { quantity: "samples", found: 17, .. }));
        let twice = refused(|s| s.order[1] = s.order[0]);
        assert!(matches!(twice, StateError::Order { .. }));
        assert_eq!(refused(|s| s.order[3] = 99), StateError::Order { sample: 99 });
        assert_eq!(refused(|s| s.history[0].epoch = 2), StateError::History { found: 2, expected: 1 });
        let longer = refused(|s| s.history = vec![s.history[0]; 8]);
        assert_eq!(longer, StateError::Epochs { found: 8, expected: 7 });
    }
}
