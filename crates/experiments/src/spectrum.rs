//! Leading eigenpairs, density, trace and exponents of a trained network's curvature over any parameters.
//!
//! Nothing here has `P × P` entries: the operators of `superlinear-curvature`, the iterations of `superlinear-spectra`.

mod by_layer;
mod chain;
mod fit;
mod subject;
mod watched;

use crate::exponents::{Directions, Exponent, Exponents};
use crate::observer::Observer;
use crate::parameters;
use anyhow::{Result, bail};
pub use by_layer::{Alone, LayerShare};
pub use chain::{GRAPHS, ORDER};
use faer::matrix_free::LinOp;
pub use fit::Fit;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
pub use subject::Subject;
use subject::{Asked, Images};
use superlinear_curvature::{Diagonal, DiagonalsAlong, MeanLoss, Selection};
use superlinear_nets::{Activation, Loss, Samples};
use superlinear_noise::{Sampling, batch_factor};
use superlinear_spectra::{
    Deflated, DensityConfig, Lanczos, LanczosConfig, SpectralDensity, TraceConfig, TraceEstimate, TraceStop, Wanted,
    hutch_plus_plus, lanczos_with, spectral_density,
};
use superlinear_training::ImageSamples;
use watched::Watched;

/// Numbers that probes may hold at a time: a GiB.
const NUMBERS: usize = 1 << 27;
/// Most probes of a density: their errors fall with the root of their number.
const MOST_PROBES: usize = 1_000_000;
/// Lanczos steps of a probe, where there is room.
const STEPS: usize = 50;
/// Probes that advance together, where there is room.
const AT_ONCE: usize = 8;
/// Products of the trace's estimate, where there is room.
const TRACE_PRODUCTS: usize = 60;

/// What is asked of a spectrum.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose.
    pub of: Of,
    /// Parameters by name: `fc2` (weight and bias), `conv1.weight`, or `all`.
    pub params: Vec<String>,
    /// Which matrix.
    pub operator: OperatorName,
    /// How many of the largest eigenvalues.
    pub top: NonZeroUsize,
    /// Only so many of the training images, at least 2, the first ones drawn; all if `None`.
    pub samples: Option<NonZeroUsize>,
    /// Residuals, relative to the norm, at which a pair counts as converged.
    pub tol: f64,
    /// Probes of the density, at least 2, or 0 for none.
    pub probes: usize,
    /// Seeds the random vectors.
    pub seed: u64,
    /// Folder of the full data sets.
    pub data_dir: Option<PathBuf>,
}

/// Whose spectrum.
#[derive(Clone, Debug)]
pub enum Of {
    /// A run of the results in a folder.
    Run {
        /// The folder.
        out: PathBuf,
        /// The run's id.
        id: String,
    },
    /// A network of dense layers from files.
    Files(Files),
}

/// A network and samples in files.
#[derive(Clone, Debug)]
pub struct Files {
    /// Tensors `<layer>.weight` and `<layer>.bias`, safetensors.
    pub weights: PathBuf,
    /// `x`, the classes `y` and, to check the network by, its `logits`, npz.
    pub data: PathBuf,
    /// The loss.
    pub loss: Loss,
    /// What stands between two layers; needed where there are two.
    pub activation: Option<Activation>,
    /// The layers by name, first to last; none where their shapes leave no choice.
    pub order: Vec<String>,
    /// The size of a mini-batch, which `C = Σ/B` is of.
    pub batch: NonZeroUsize,
}

impl Question {
    /// For messages.
    fn of_what(&self) -> String {
        match &self.of {
            Of::Files(Files { data, .. }) => data.display().to_string(),
            Of::Run { id, .. } => format!("run {id}"),
        }
    }

    /// Everything that determines the answer, in words.
    pub fn words(&self) -> String {
        let of = match &self.of {
            Of::Files(Files { weights, data, loss, activation, order, batch }) => {
                let [weights, data] = [weights, data].map(|file| file.display());
                let activation = activation.map_or_else(|| "no activation".to_owned(), |found| found.to_string());
                let order = if order.is_empty() { String::new() } else { format!(", order {}", order.join(",")) };
                format!("{weights} on {data}, loss {loss}, {activation}{order}, batch {batch}")
            }
            Of::Run { out, id } => format!("run {id} of {}", out.display()),
        };
        let samples = self.samples.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let (params, operator) = (self.params.join(","), self.operator.name());
        let Self { top, tol, probes, seed, .. } = self;
        format!(
            "{of}; {operator} over {params}, top {top}, {samples} samples, tolerance {tol:e}, {probes} probes, seed \
             {seed}"
        )
    }

    /// The name of its folder: `<run>-<selection>`, with the operator, the images and the seed where they are not the
    /// default.
    pub fn name(&self) -> String {
        let of = match &self.of {
            Of::Files(Files { weights, .. }) => weights.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Of::Run { id, .. } => id.clone(),
        };
        let mut name = format!("{of}-{}", self.params.join("+"));
        if self.operator != OperatorName::Hessian {
            name = format!("{name}-{}", self.operator.name());
        }
        if let Some(n) = self.samples {
            name = format!("{name}-n{n}");
        }
        if self.seed != 0 {
            name = format!("{name}-seed{}", self.seed);
        }
        name
    }
}

/// The matrices that have spectra here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorName {
    /// The Hessian of the mean loss
    Hessian,
    /// The generalised Gauss–Newton matrix
    Ggn,
    /// The Fisher matrix, labels drawn from the model
    Fisher,
    /// The covariance Σ of one image's gradient
    Noise,
    /// M₂, the mean of the squared per-image Hessians
    SecondMoment,
}

impl OperatorName {
    /// As in the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hessian => "hessian",
            Self::Ggn => "ggn",
            Self::Fisher => "fisher",
            Self::Noise => "noise",
            Self::SecondMoment => "second-moment",
        }
    }

    /// As in a title.
    pub fn words(self) -> &'static str {
        match self {
            Self::Hessian => "Hessian",
            Self::Ggn => "Gauss–Newton matrix",
            Self::Fisher => "Fisher matrix",
            Self::Noise => "Noise covariance Σ",
            Self::SecondMoment => "Second moment M_{2}",
        }
    }
}

/// What was found of a spectrum.
#[derive(Debug)]
pub struct Found {
    /// Entries of a vector.
    pub n_params: usize,
    /// Tensors by name, in the vectors' order, with their sizes.
    pub layout: Vec<(String, usize)>,
    /// Images.
    pub n_samples: usize,
    /// How well the network does on them.
    pub fit: Fit,
    /// `B` of `C = Σ/B`.
    pub batch: usize,
    /// The pairs.
    pub top: Lanczos,
    /// `Σ_ii`, not `C_ii`, as the operator has it.
    pub diagonals: DiagonalsAlong,
    /// `C_ii = factor · Σ_ii`.
    pub factor: f64,
    /// Exponents.
    pub gamma: Gamma,
    /// Where there are several.
    pub layers: Vec<LayerShare>,
    /// The trace.
    pub trace: TraceEstimate,
    /// How it was found, in words.
    pub trace_from: &'static str,
    /// The density, if it was asked for.
    pub density: Option<SpectralDensity>,
    /// Products with the operator, and of the diagonals.
    pub products: usize,
    /// Seconds in all.
    pub wall_s: f64,
}

/// Exponents on `H_ii` over converged directions; `Err` says why there is none.
#[derive(Debug)]
pub struct Gamma {
    /// Of `C`.
    pub c: Result<Exponent, String>,
    /// Of `M₂`.
    pub m2: Result<Exponent, String>,
}

/// What a spectrum is of, looked up and not yet loaded, with what is selected of it.
#[derive(Debug)]
pub struct Prepared {
    asked: Asked,
    selection: Selection,
    n_samples: usize,
}

/// Looks up what a question is of, and checks it.
///
/// # Errors
/// When there is no such run or parameter, or a number cannot be.
pub fn prepare(question: &Question) -> Result<Prepared> {
    let asked = Asked::of(question)?;
    let layers = asked.layers();
    // The layers of a file go by their names without wrappers.
    let named = |name: &String| if layers.is_empty() { name.clone() } else { chain::bare(name.trim()).to_owned() };
    let params: Vec<String> = question.params.iter().map(named).collect();
    let selection = parameters::select_by(&asked.architecture(), layers, &params)?;
    let available = asked.n_samples();
    let n_samples = question.samples.map_or(available, usize::from);
    if question.top.get() > selection.n_params() {
        bail!("--top {}: {} has {} parameters", question.top, question.params.join(","), selection.n_params());
    }
    // Two products a pair, and a block, are the least that an iteration may begin with.
    let LanczosConfig { max_products, block, .. } = LanczosConfig::default();
    let most = (max_products - block) / 2;
    if question.top.get() > most {
        bail!("--top {}: expected at most {most}; for all of a spectrum, --probes gives its density", question.top);
    }
    if n_samples > available {
        bail!("--samples {n_samples}: {} has {available} training images", question.of_what());
    }
    if question.probes == 1 {
        bail!("--probes 1: a standard error needs at least 2, or 0 for no density");
    }
    if question.probes > MOST_PROBES {
        bail!("--probes {}: expected at most {MOST_PROBES}", question.probes);
    }
    if n_samples < 2 {
        bail!("{n_samples} sample of {}: a covariance needs at least 2", question.of_what());
    }
    if !(f64::EPSILON..1.0).contains(&question.tol) {
        bail!("--tol {}: expected a number from {:.1e} to less than 1", question.tol, f64::EPSILON);
    }
    Ok(Prepared { asked, selection, n_samples })
}

/// Loads what a question is of, and answers it.
///
/// # Errors
/// When the data are missing, a number is not finite, or the observer stops it.
pub fn answer(question: &Question, prepared: Prepared, observer: &dyn Observer) -> Result<(Subject, Found)> {
    let start = Instant::now();
    let Prepared { asked, selection, n_samples } = prepared;
    let subject = asked.load(question, n_samples)?;
    let found = measure(question, &subject, &selection, observer)?;
    let found = Found { wall_s: start.elapsed().as_secs_f64(), ..found };
    Ok((subject, found))
}

fn measure(question: &Question, subject: &Subject, selection: &Selection, observer: &dyn Observer) -> Result<Found> {
    match &subject.images {
        Images::Drawn { data, indices, normalisation } => {
            let images = ImageSamples::drawn(&data.train, indices.clone(), *normalisation);
            measure_over(question, subject, &images, selection, observer)
        }
        Images::Given(samples) => measure_over(question, subject, samples, selection, observer),
    }
}

fn measure_over(
    question: &Question,
    subject: &Subject,
    images: &impl Samples<f64>,
    selection: &Selection,
    observer: &dyn Observer,
) -> Result<Found> {
    let n_samples = images.n_samples();
    let fit = Fit::of(&subject.net, subject.loss, images);
    for note in &subject.notes {
        observer.note("files", note);
    }
    if subject.batch > n_samples {
        let (batch, n) = (subject.batch, n_samples);
        observer.note("batch", &format!("C = Σ/{n}: the run's batches of {batch} are larger than these {n} images"));
    }
    observer.note("network", &fit.words());
    if let Some(warning) = fit.warning() {
        observer.note("warning", &warning);
    }
    let of = MeanLoss::new(&subject.net, subject.loss, images, selection.clone())?;
    let operator = match question.operator {
        OperatorName::Hessian => of.hessian(),
        OperatorName::Ggn => of.gauss_newton(),
        OperatorName::Fisher => of.fisher(),
        OperatorName::Noise => of.noise_covariance()?,
        OperatorName::SecondMoment => of.hessian_second_moment(),
    };
    let (K, P) = (question.top.get(), of.n_params());
    let top = leading_pairs(K, question.tol, question.seed, &operator, observer)?;
    let stage = observer.stage("diagonals", 3 * K as u64, "products/s");
    let diagonals = of.diagonals_along_with(top.vectors(), |products| {
        stage.advance(products as u64);
        if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let diagonals = watched::finished(observer, diagonals)?;
    stage.done(&format!("of H, Σ and M₂ along {K} vectors"));
    let factor = batch_factor(subject.batch.min(n_samples), n_samples, Sampling::WithReplacement)?;
    let directions = Directions::of_ritz(&top);
    let exponents = Exponents::new(&directions, &diagonals, question.operator == OperatorName::Hessian, fit.rounding);
    let [c, m2] = [Diagonal::Covariance, Diagonal::SecondMoment].map(|of| exponents.of(of, Diagonal::Hessian));
    let gamma = Gamma { c, m2 };
    let layers = by_layer::by_layer(question, subject, selection, &top);
    let (trace, trace_from) = trace(question, &operator, &top, observer)?;
    let density = density(question, &operator, observer)?;
    let products = top.state.products + 3 * K + trace.products + density.as_ref().map_or(0, |found| found.products);
    let batch = subject.batch.min(n_samples);
    Ok(Found {
        n_params: P,
        layout: parameters::layout(subject.net.architecture(), selection),
        n_samples,
        fit,
        batch,
        top,
        diagonals,
        factor,
        gamma,
        layers,
        trace,
        trace_from,
        density,
        products,
        wall_s: 0.0,
    })
}

/// Each use of randomness has its own stream.
fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// The `--top` largest pairs.
/// The `K` largest eigenpairs of an operator, heard of by the observer.
pub(crate) fn leading_pairs(
    K: usize,
    tol: f64,
    seed: u64,
    operator: &dyn LinOp<f64>,
    observer: &dyn Observer,
) -> Result<Lanczos> {
    let stage = observer.stage("pairs", K as u64, "pairs/s");
    let seen = Mutex::new((0, None));
    let hear = |more: u64, residual: Option<f64>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (seen.0 + more, residual.or(seen.1));
        let far = seen.1.map_or(String::new(), |residual| format!(", residual {residual:.0e} of {:.0e}", tol));
        stage.at(&format!("{} products{far}", seen.0));
    };
    let watched = Watched::new(observer, operator, |products| hear(products, None));
    let config = LanczosConfig { tolerance: tol, ..Default::default() };
    let found = lanczos_with(&watched, None, Wanted::Largest(K), &config, &mut generator(seed, 0), |progress| {
        stage.reached(progress.converged as u64);
        hear(0, Some(progress.residual));
        ControlFlow::Continue(())
    });
    let mut found = watched::finished(observer, found)?;
    // Nobody continues from it, and what comes next needs the memory.
    found.state.keep_wanted();
    let converged = found.pairs.iter().filter(|pair| pair.converged).count();
    stage.done(&format!("{converged} of {K} converged, {} products", found.state.products));
    Ok(found)
}

/// The Ritz values, whose sum is the trace on their vectors whether they have converged or not, and an estimate of the
/// rest.
fn trace(
    question: &Question,
    operator: &dyn LinOp<f64>,
    top: &Lanczos,
    observer: &dyn Observer,
) -> Result<(TraceEstimate, &'static str)> {
    let P = operator.nrows();
    let inside: f64 = top.values().iter().sum();
    if question.top.get() == P {
        let all = TraceEstimate { value: inside, standard_error: 0.0, products: 0, stop: TraceStop::Exact };
        return Ok((all, "the sum of all Ritz values"));
    }
    let budget = (2 * NUMBERS / (3 * P)).clamp(20, TRACE_PRODUCTS);
    let stage = observer.stage("trace", budget.min(P) as u64, "products/s");
    let watched = Watched::new(observer, operator, |n| stage.advance(n));
    let outside = Deflated::new(&watched, top.vectors());
    let config = TraceConfig { budget, ..Default::default() };
    // Not XTrace: its error is an estimate that is too small after few products.
    let rest = watched::finished(observer, hutch_plus_plus(&outside, &config, &mut generator(question.seed, 1)))?;
    stage.done(&format!("{} products", rest.products));
    let from = match rest.stop {
        TraceStop::Exact => "the sum of the Ritz values and the exact trace outside of their vectors",
        TraceStop::Goal | TraceStop::Budget => {
            "the sum of the Ritz values and a Hutch++ estimate outside of their vectors"
        }
    };
    Ok((TraceEstimate { value: inside + rest.value, ..rest }, from))
}

/// The density of the whole spectrum, unless no probes are asked for.
fn density(question: &Question, operator: &dyn LinOp<f64>, observer: &dyn Observer) -> Result<Option<SpectralDensity>> {
    if question.probes == 0 {
        return Ok(None);
    }
    let P = operator.nrows();
    let steps = STEPS.min(P).min(NUMBERS / P).max(2);
    let at_once = (NUMBERS / (P * steps)).clamp(1, AT_ONCE);
    let config = DensityConfig { probes: question.probes, steps, at_once, ..Default::default() };
    let stage = observer.stage("density", (question.probes * steps) as u64, "products/s");
    let watched = Watched::new(observer, operator, |n| stage.advance(n));
    let found = watched::finished(observer, spectral_density(&watched, &config, &mut generator(question.seed, 2)))?;
    stage.done(&format!("{} probes, {} products", question.probes, found.products));
    Ok(Some(found))
}
