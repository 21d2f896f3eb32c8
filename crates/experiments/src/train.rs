//! One run's training: draw the images, initialise, and go down, saving on the way.
//!
//! A pure function of its [`RunSpec`] and the data set, times aside.

use crate::keep::Keep;
use crate::observer::{Observer, Stopped};
use crate::record::{Checkpoint, Epoch, StateRecord, TrainingRecord};
use crate::run_dir::{RunDir, Saver};
use crate::spec::RunSpec;
use crate::streams::{Stream, generator};
use anyhow::{Context, Result};
use std::fmt;
use std::time::{Duration, Instant};
use superlinear_datasets::{Classes, Dataset, DrawPolicy, Normalisation, draw_test, draw_train};
use superlinear_nets::Network;
use superlinear_training::{EpochRecord, ImageSamples, TrainingRun, TrainingState, evaluate};

/// The network after these epochs is kept by every training, whoever asks for it or not: so that a later analysis finds
/// it.
const KEPT_EPOCHS: [usize; 9] = [1, 10, 20, 30, 50, 70, 80, 90, 100];

/// A network in training is saved so seldom that this does not take more than so small a part of the time, however slow
/// the disk.
const SAVING_PART: u32 = 100;

/// How trainings are stored.
#[derive(Clone, Copy)]
pub struct Saving<'a> {
    /// Where.
    pub dir: &'a RunDir,
    /// How much is kept.
    pub keep: Keep,
    /// How often a network in training is saved, at the end of an epoch; after every epoch if zero.
    pub every: Duration,
    /// Writes the records.
    pub saver: &'a Saver,
    /// Who hears what was set aside, and may stop it.
    pub observer: &'a dyn Observer,
}

impl fmt::Debug for Saving<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saving").field("dir", &self.dir).field("keep", &self.keep).finish_non_exhaustive()
    }
}

/// Epochs after which a training keeps the network, the last one aside.
pub fn kept_epochs(spec: &RunSpec, keep: Keep) -> Vec<usize> {
    let always: &[usize] = if keep == Keep::None { &[] } else { &KEPT_EPOCHS };
    let mut epochs: Vec<usize> = spec.checkpoints.iter().chain(always).copied().collect();
    epochs.retain(|&epoch| epoch <= spec.epochs);
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

/// The training of a run: as stored, or continued from where it was last saved, or begun. The networks that `spec`
/// asks for are stored too. `epochs_done` hears of numbers of images.
///
/// Call it with the lock of the training stage held.
///
/// # Errors
/// When a class has too few images, a number stops being finite, something cannot be read or written, or the observer
/// stops it; the network has been saved then.
pub fn train_run(
    spec: &RunSpec,
    data: &Dataset,
    saving: Saving<'_>,
    epochs_done: impl Fn(u64),
) -> Result<TrainingRecord> {
    let Saving { dir, observer, .. } = saving;
    // Looks at each of them, so that a damaged one is set aside before it is written again.
    let all_stored = |epochs: &[usize]| -> Result<bool> {
        let found =
            epochs.iter().map(|&epoch| Ok(dir.checkpoint(epoch).take(observer)?.is_some_and(|c| c.epoch == epoch)));
        Ok(found.collect::<Result<Vec<bool>>>()?.into_iter().all(|found| found))
    };
    let images = spec.n_samples() as u64;
    if let Some(record) = dir.training().take(observer)? {
        let last = record.history.len();
        let asked: Vec<usize> = spec.checkpoints.iter().copied().filter(|&epoch| epoch < last).chain([last]).collect();
        if all_stored(&asked)? {
            epochs_done(images * spec.epochs as u64);
            return Ok(record);
        }
    }
    let kept = kept_epochs(spec, saving.keep);
    let mut state = dir.state().take(observer)?;
    if let Some(before) = &state {
        let passed: Vec<usize> = kept.iter().copied().filter(|&epoch| epoch <= before.history.len()).collect();
        // What has been asked for since, or was damaged, is behind: from the beginning then.
        if !all_stored(&passed)? {
            state = None;
        }
    }
    epochs_done(images * state.as_ref().map_or(0, |state| state.history.len() as u64));
    let record = train_from(state, spec, data, saving, &kept, || epochs_done(images))?;
    epochs_done(images * (spec.epochs - record.history.len()) as u64);
    let record = dir.training().write(record, saving.saver)?;
    dir.state().remove()?;
    Ok(record)
}

/// Draws the images and trains the network, from `state` on if there is one.
fn train_from(
    state: Option<StateRecord>,
    spec: &RunSpec,
    data: &Dataset,
    saving: Saving<'_>,
    kept: &[usize],
    epoch_done: impl Fn(),
) -> Result<TrainingRecord> {
    let Saving { dir, saver, .. } = saving;
    let start = Instant::now();
    let classes = Classes::first(spec.n_classes)?;
    let policy = DrawPolicy::ExactPerClass;
    let indices = draw_train(&data.train, &classes, spec.n_per_class, policy, &mut generator(spec, Stream::TrainDraw))
        .with_context(|| format!("{}: training images of {}", spec.id(), spec.dataset))?;
    let normalisation = Normalisation::of(spec.dataset);
    let samples = ImageSamples::drawn(&data.train, indices.clone(), normalisation);
    let net = Network::<f32>::init(spec.architecture(), &mut generator(spec, Stream::Weights));
    let mut rng = generator(spec, Stream::Batches);
    let (run, before_s) = match state {
        None => (TrainingRun::new(net, &samples, spec.sgd()), 0.0),
        Some(state) => {
            rng.set_word_pos(state.word_pos);
            let schedule = spec.sgd().schedule;
            let epochs = state.history.iter().enumerate().map(|(k, &Epoch { loss, accuracy })| EpochRecord {
                epoch: k + 1,
                loss,
                accuracy,
                rate: schedule.rate(k),
            });
            let history = epochs.collect();
            let before = TrainingState { params: state.params, order: state.order, history };
            (TrainingRun::resume(net, before, &samples, spec.sgd()), state.wall_s)
        }
    };
    let mut run = run.with_context(|| spec.id())?;
    let wall_s = || before_s + start.elapsed().as_secs_f64();
    let (mut saved, mut pause) = (Instant::now(), saving.every);
    while let Some(EpochRecord { epoch, .. }) = run.next_epoch(&mut rng).with_context(|| spec.id())? {
        epoch_done();
        if kept.contains(&epoch) {
            dir.checkpoint(epoch).write(Checkpoint { epoch, weights: run.net().params().to_vec() }, saver)?;
        }
        let interrupted = saving.observer.stopped();
        if interrupted || saved.elapsed() >= pause {
            let start = Instant::now();
            let TrainingState { params, order, .. } = run.state();
            let history = curve(run.history());
            let word_pos = rng.get_word_pos();
            dir.state().write(StateRecord { params, order, history, word_pos, wall_s: wall_s() }, saver)?;
            saved = Instant::now();
            if !saving.every.is_zero() {
                pause = saving.every.max(SAVING_PART * (saved - start));
            }
        }
        if interrupted {
            return Err(Stopped.into());
        }
    }
    let epoch = run.history().len();
    if !kept.contains(&epoch) {
        dir.checkpoint(epoch).write(Checkpoint { epoch, weights: run.net().params().to_vec() }, saver)?;
    }
    let test = draw_test(&data.test, &classes, spec.n_test, &mut generator(spec, Stream::TestDraw));
    let test = ImageSamples::drawn(&data.test, test, normalisation);
    let (test_loss, test_accuracy) = evaluate(run.net(), &test, spec.loss);
    Ok(TrainingRecord { indices, history: curve(run.history()), test_accuracy, test_loss, wall_s: wall_s() })
}

fn curve(history: &[EpochRecord]) -> Vec<Epoch> {
    history.iter().map(|epoch| Epoch { loss: epoch.loss, accuracy: epoch.accuracy }).collect()
}
