//! One run: draw, train, analyse. A pure function of its [`RunSpec`] and the data set, times aside.

use crate::interrupt::{self, Interrupted};
use crate::plan::{Keep, RunSpec};
use crate::progress::Voice;
use crate::record::{AwdRecord, Checkpoint, Epoch, LayerRecord, MomentsRecord, StateRecord, Term, TrainingRecord};
use crate::resample;
use crate::run_dir::{LayerJob, RunDir, Saver};
use crate::spectral;
use anyhow::{Context, Result, bail};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};
use superlinear_curvature::{LayerMoments, LayerSamples, absolute_hessian, largest_curvature};
use superlinear_datasets::{Classes, Dataset, DrawPolicy, Normalisation, draw_test, draw_train};
use superlinear_nets::{Loss, Network};
use superlinear_noise::{
    AwdTerms, DualPerturbation, PartnerPolicy, Partners, Sampling, awd_moments, awd_terms, batch_factor,
    choose_partners, dual_perturbation, gradient_covariance, isotropy, weight_variance,
};
use superlinear_spectra::{Eigh, diagonal_in_basis, eigh};
use superlinear_training::{EpochRecord, ImageSamples, TrainingRun, TrainingState, evaluate};

/// The generator's streams: each use of randomness has its own, so that none depends on how much another draws.
#[derive(Clone, Copy)]
enum Stream {
    TrainDraw = 0,
    TestDraw = 1,
    Weights = 2,
    Batches = 3,
    Partners = 4,
    Spectra = 5,
    Resamples = 6,
}

fn generator(spec: &RunSpec, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    rng.set_stream(stream as u64);
    rng
}

/// The network after these epochs is kept by every training, whoever asks for it or not: so that a later analysis finds it.
const KEPT_EPOCHS: [usize; 9] = [1, 10, 20, 30, 50, 70, 80, 90, 100];

/// A network in training is saved so seldom that this does not take more than so small a part of the time, however slow the disk.
const SAVING_PART: u32 = 100;

/// How trainings are stored.
#[derive(Clone, Copy)]
pub(crate) struct Saving<'a> {
    /// Where.
    pub(crate) dir: &'a RunDir,
    /// How much is kept.
    pub(crate) keep: Keep,
    /// How often a network in training is saved, at the end of an epoch; after every epoch if zero.
    pub(crate) every: Duration,
    /// Who writes.
    pub(crate) saver: &'a Saver,
    /// Who says what was set aside.
    pub(crate) voice: Voice,
}

/// Epochs after which a training keeps the network, the last one aside.
pub(crate) fn kept_epochs(spec: &RunSpec, keep: Keep) -> Vec<usize> {
    let always: &[usize] = if keep == Keep::None { &[] } else { &KEPT_EPOCHS };
    let mut epochs: Vec<usize> = spec.checkpoints.iter().chain(always).copied().collect();
    epochs.retain(|&epoch| epoch <= spec.epochs);
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

/// The training of a run: as stored, or continued from where it was last saved, or begun. The networks that `spec` asks for
/// are stored too. `epochs_done` hears of numbers of images.
///
/// Only for who holds the lock of the training stage.
///
/// # Errors
/// When a class has too few images, a number stops being finite, something cannot be read or written, or the user interrupts;
/// the network has been saved then.
pub(crate) fn train_run(
    spec: &RunSpec,
    data: &Dataset,
    saving: Saving<'_>,
    epochs_done: impl Fn(u64),
) -> Result<TrainingRecord> {
    let Saving { dir, voice, .. } = saving;
    // Looks at each of them, so that a damaged one is set aside before it is written again.
    let all_stored = |epochs: &[usize]| -> Result<bool> {
        let found =
            epochs.iter().map(|&epoch| Ok(dir.checkpoint(epoch).take(voice)?.is_some_and(|c| c.epoch == epoch)));
        Ok(found.collect::<Result<Vec<bool>>>()?.into_iter().all(|found| found))
    };
    let images = spec.n_samples() as u64;
    if let Some(record) = dir.training().take(voice)? {
        let last = record.history.len();
        let asked: Vec<usize> = spec.checkpoints.iter().copied().filter(|&epoch| epoch < last).chain([last]).collect();
        if all_stored(&asked)? {
            epochs_done(images * spec.epochs as u64);
            return Ok(record);
        }
    }
    let kept = kept_epochs(spec, saving.keep);
    let mut state = dir.state().take(voice)?;
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
        let interrupted = interrupt::requested();
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
            return Err(Interrupted.into());
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

/// The matrices of an analysed layer, in the parameter basis.
pub(crate) struct LayerMatrices {
    /// What the layer saw of every sample.
    pub(crate) samples: LayerSamples,
    /// The network in `f64`.
    pub(crate) net: Network<f64>,
    /// `H = E_p[h_p]`.
    pub(crate) H: Mat<f64>,
    /// `M₂ = E_p[h_p²]`.
    pub(crate) M2: Mat<f64>,
    /// `Σ = E_p[g gᵀ] − ḡḡᵀ`.
    pub(crate) Sigma: Mat<f64>,
    /// Eigenpairs of `H`.
    pub(crate) eigen: Eigh,
    /// Every sample's partner.
    pub(crate) partners: Partners,
    /// The duals of the matched activity shifts.
    pub(crate) dual: DualPerturbation,
    /// The duality's terms.
    pub(crate) awd: AwdTerms,
    /// Seconds for all moments.
    moments_s: f64,
    /// Seconds for the eigenpairs.
    eigh_s: f64,
}

impl LayerMatrices {
    /// What `--keep moments` keeps of them.
    pub(crate) fn record(&self) -> MomentsRecord {
        let packed = |A: &Mat<f64>| (0..A.ncols()).flat_map(|j| (0..=j).map(move |i| A[(i, j)])).collect();
        MomentsRecord { order: self.H.nrows(), H: packed(&self.H), M2: packed(&self.M2), Sigma: packed(&self.Sigma) }
    }
}

/// Rebuilds the matrices of a run's dense layer at one checkpoint, over its training images.
///
/// # Errors
/// When the weights do not fit, a class has a single image, a number is not finite, or an eigendecomposition fails its
/// check.
pub(crate) fn layer_matrices(
    spec: &RunSpec,
    indices: &[usize],
    checkpoint: &Checkpoint,
    dense: usize,
    data: &Dataset,
) -> Result<LayerMatrices> {
    let context = |what: &str| format!("{}, epoch {}: {what}", spec.id(), checkpoint.epoch);
    if let Some(&index) = indices.iter().find(|&&i| i >= data.train.len()) {
        bail!("{}", context(&format!("training image {index} of a data set of {}", data.train.len())));
    }
    let images = ImageSamples::drawn(&data.train, indices.to_vec(), Normalisation::of(spec.dataset));
    let net = Network::<f32>::new(spec.architecture(), checkpoint.weights.clone())
        .with_context(|| context("weights"))?
        .cast::<f64>();
    let start = Instant::now();
    let samples = LayerSamples::collect(&net, dense, spec.loss, &images)
        .with_context(|| context(&format!("layer {}", dense + 1)))?;
    let partners = choose_partners(&samples, PartnerPolicy::PAPER, &mut generator(spec, Stream::Partners))
        .with_context(|| context("partners"))?;
    let dual = dual_perturbation(&net, &samples, &partners);
    let (LayerMoments { H, M2, gradient_second_moment }, awd) = awd_moments(&net, &samples, &dual);
    let Sigma = gradient_covariance(gradient_second_moment, &samples);
    let awd = awd_terms(awd, spec.batch, samples.n_samples())?;
    let moments_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let eigen = eigh(H.as_ref()).with_context(|| context("eigendecomposition of H"))?;
    let eigh_s = start.elapsed().as_secs_f64();
    Ok(LayerMatrices { samples, net, H, M2, Sigma, eigen, partners, dual, awd, moments_s, eigh_s })
}

/// The record of a run's dense layer, from its matrices.
///
/// # Errors
/// When a number is not finite, or an eigendecomposition fails its check.
pub(crate) fn analyse(spec: &RunSpec, job: LayerJob, matrices: LayerMatrices) -> Result<LayerRecord> {
    let LayerJob { epoch, dense, is_last } = job;
    let LayerMatrices { samples, net, H, M2, Sigma, eigen, partners, dual, awd, moments_s, eigh_s } = matrices;
    drop(H);
    let P = samples.n_params();
    let V_top = eigen.vectors.as_ref().subcols(0, spec.top.min(P));
    // The bounds look at every direction, and only of the trained network.
    let V = if is_last { eigen.vectors.as_ref() } else { V_top };
    let factor = batch_factor(spec.batch, samples.n_samples(), Sampling::WithReplacement)?;
    let context = |what: &str| format!("{}, epoch {}: {what}", spec.id(), epoch);
    let (Sigma_in_H, c_in_h) =
        spectral::pair(Sigma.as_ref(), &eigen).with_context(|| context("C in the eigenbasis of H"))?;
    let (M2_in_H, m2_in_h) =
        spectral::pair(M2.as_ref(), &eigen).with_context(|| context("M₂ in the eigenbasis of H"))?;
    let c = Sigma_in_H.diagonal().into_iter().take(V.ncols()).map(|sigma| factor * sigma).collect();
    let m2 = M2_in_H.diagonal().into_iter().take(V.ncols()).collect();
    let abs_h = match spec.loss {
        Loss::SoftmaxMse if is_last => Some(diagonal_in_basis(absolute_hessian(&net, &samples).as_ref(), V)),
        // Behind a piecewise-linear tail the others have PSD per-sample Hessians, so E|h| = H.
        _ => None,
    };
    let (kappa_max, _) = largest_curvature(&net, &samples);
    let isotropy = isotropy(&net, &samples, &dual);
    let term = |matrix: &Mat<f64>| Term {
        norm: matrix.norm_l2(),
        trace: (0..P).map(|i| matrix[(i, i)]).sum(),
        diagonal: diagonal_in_basis(matrix.as_ref(), V_top),
    };
    let awd = AwdRecord {
        total: term(&awd.total()),
        hh: term(&awd.hh),
        hg: term(&awd.hg),
        gg: term(&awd.gg),
        hh_same: term(&awd.hh_same),
        hh_local: term(&awd.hh_local),
        weight_variance: weight_variance(&awd.hh_same, &M2, spec.batch),
        anisotropy: isotropy.anisotropy,
        variance_by_rank: isotropy.variance_by_rank,
        n_duplicates: partners.n_duplicates,
        n_zero_activities: partners.n_zero_activities,
    };
    let above_noise = eigen.values.partition_point(|&lambda| lambda > eigen.noise_floor);
    let start = Instant::now();
    let slopes = if is_last {
        let V_window = eigen.vectors.as_ref().subcols(0, above_noise.min(spec.top));
        let found =
            resample::slopes(&net, &samples, V_window, spec.n_resamples, &mut generator(spec, Stream::Resamples));
        Some(found.with_context(|| context("resamples"))?)
    } else {
        None
    };
    let slopes_s = start.elapsed().as_secs_f64();
    let spectral = match &spec.spectral {
        Some(settings) if is_last && dense == spec.target_dense() => {
            let input = spectral::SpectralInput {
                samples: &samples,
                net: &net,
                eigen: &eigen,
                C: (Sigma.as_ref(), &Sigma_in_H),
                M2: (M2.as_ref(), &M2_in_H),
                window: above_noise.min(spec.top).max(1),
            };
            let found = spectral::spectral(&input, settings, &mut generator(spec, Stream::Spectra));
            Some(found.with_context(|| context("spectra"))?)
        }
        _ => None,
    };
    let mut h = eigen.values;
    h.truncate(V.ncols());
    Ok(LayerRecord {
        epoch,
        dense,
        d_out: samples.d_out(),
        d_in: samples.d_in(),
        h,
        c,
        m2,
        abs_h,
        kappa_max,
        noise_floor: eigen.noise_floor,
        residual: eigen.residual,
        orthogonality: eigen.orthogonality,
        awd,
        c_in_h,
        m2_in_h,
        slopes,
        spectral,
        moments_s,
        eigh_s,
        slopes_s,
    })
}
