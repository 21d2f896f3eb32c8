//! One run: draw, train, analyse. A pure function of its [`RunSpec`] and the data set, times aside.

use crate::interrupt::{self, Interrupted};
use crate::plan::RunSpec;
use crate::record::{Epoch, LayerRecord, TrainingRecord};
use anyhow::{Context, Result, bail};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::time::Instant;
use superlinear_curvature::{LayerMoments, LayerSamples, absolute_hessian, largest_curvature, layer_moments};
use superlinear_datasets::{Classes, Dataset, DrawPolicy, Normalisation, draw_test, draw_train};
use superlinear_nets::{Loss, Network};
use superlinear_noise::{Sampling, batch_factor, gradient_covariance};
use superlinear_spectra::{Eigh, diagonal_in_basis, eigh};
use superlinear_training::{Ended, ImageSamples, evaluate, train};

/// The generator's streams: each use of randomness has its own, so that none depends on how much another draws.
#[derive(Clone, Copy)]
enum Stream {
    TrainDraw = 0,
    TestDraw = 1,
    Weights = 2,
    Batches = 3,
}

fn generator(spec: &RunSpec, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    rng.set_stream(stream as u64);
    rng
}

/// Draws the images and trains the network, telling `epoch_done` of every epoch's number of images.
///
/// # Errors
/// When a class has too few images, a number stops being finite, or the user interrupts.
pub(crate) fn train_run(spec: &RunSpec, data: &Dataset, epoch_done: impl Fn(u64)) -> Result<TrainingRecord> {
    let start = Instant::now();
    let classes = Classes::first(spec.n_classes)?;
    let policy = DrawPolicy::ExactPerClass;
    let indices = draw_train(&data.train, &classes, spec.n_per_class, policy, &mut generator(spec, Stream::TrainDraw))
        .with_context(|| format!("{}: training images of {}", spec.id(), spec.dataset))?;
    let normalisation = Normalisation::of(spec.dataset);
    let samples = ImageSamples::drawn(&data.train, indices.clone(), normalisation);
    let net = Network::<f32>::init(spec.architecture(), &mut generator(spec, Stream::Weights));
    let trained = train(net, &samples, &spec.sgd(), &mut generator(spec, Stream::Batches), |_| {
        epoch_done(spec.n_samples() as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .with_context(|| spec.id())?;
    if trained.ended == Ended::Interrupted {
        return Err(Interrupted.into());
    }
    let test = draw_test(&data.test, &classes, spec.n_test, &mut generator(spec, Stream::TestDraw));
    let test = ImageSamples::drawn(&data.test, test, normalisation);
    let (test_loss, test_accuracy) = evaluate(&trained.net, &test, spec.loss);
    Ok(TrainingRecord {
        indices,
        weights: trained.net.params().to_vec(),
        history: trained.history.iter().map(|e| Epoch { loss: e.loss, accuracy: e.accuracy }).collect(),
        test_accuracy,
        test_loss,
        wall_s: start.elapsed().as_secs_f64(),
    })
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
    /// Seconds for `H`, `M₂` and `Σ`.
    moments_s: f64,
    /// Seconds for the eigenpairs.
    eigh_s: f64,
}

/// Rebuilds the matrices of a trained run's target layer, over its training images.
///
/// # Errors
/// When the weights do not fit, a number is not finite, or an eigendecomposition fails its check.
pub(crate) fn layer_matrices(spec: &RunSpec, training: &TrainingRecord, data: &Dataset) -> Result<LayerMatrices> {
    if let Some(&index) = training.indices.iter().find(|&&i| i >= data.train.len()) {
        bail!("{}: training image {index} of a data set of {}", spec.id(), data.train.len());
    }
    let samples = ImageSamples::drawn(&data.train, training.indices.clone(), Normalisation::of(spec.dataset));
    let net = Network::<f32>::new(spec.architecture(), training.weights.clone())
        .with_context(|| format!("{}: weights", spec.id()))?
        .cast::<f64>();
    let start = Instant::now();
    let samples = LayerSamples::collect(&net, spec.target_dense(), spec.loss, &samples)
        .with_context(|| format!("{}: layer {}", spec.id(), spec.target_dense() + 1))?;
    let LayerMoments { H, M2, gradient_second_moment } = layer_moments(&net, &samples);
    let Sigma = gradient_covariance(gradient_second_moment, &samples);
    let moments_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let eigen = eigh(H.as_ref()).with_context(|| format!("{}: eigendecomposition of H", spec.id()))?;
    let eigh_s = start.elapsed().as_secs_f64();
    Ok(LayerMatrices { samples, net, H, M2, Sigma, eigen, moments_s, eigh_s })
}

/// Analyses a trained run's target layer.
///
/// # Errors
/// As [`layer_matrices`].
pub(crate) fn analyse_run(spec: &RunSpec, training: &TrainingRecord, data: &Dataset) -> Result<LayerRecord> {
    let matrices = layer_matrices(spec, training, data)?;
    let LayerMatrices { samples, net, M2, Sigma, eigen, moments_s, eigh_s, .. } = matrices;
    let V = eigen.vectors.as_ref();
    let factor = batch_factor(spec.batch, samples.n_samples(), Sampling::WithReplacement)?;
    let c = diagonal_in_basis(Sigma.as_ref(), V).into_iter().map(|sigma| factor * sigma).collect();
    let m2 = diagonal_in_basis(M2.as_ref(), V);
    let abs_h = match spec.loss {
        // Behind a piecewise-linear tail these have PSD per-sample Hessians, so E|h| = H.
        Loss::CrossEntropy | Loss::LinearMse => None,
        Loss::SoftmaxMse => Some(diagonal_in_basis(absolute_hessian(&net, &samples).as_ref(), V)),
    };
    let (kappa_max, _) = largest_curvature(&net, &samples);
    Ok(LayerRecord {
        d_out: samples.d_out(),
        d_in: samples.d_in(),
        c,
        m2,
        abs_h,
        kappa_max,
        noise_floor: eigen.noise_floor,
        residual: eigen.residual,
        orthogonality: eigen.orthogonality,
        h: eigen.values,
        moments_s,
        eigh_s,
    })
}
