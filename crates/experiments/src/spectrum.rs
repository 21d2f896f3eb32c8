//! `cargo xtask spectrum`: leading eigenpairs, density, trace and exponents of a trained network's curvature over any parameters.
//!
//! Nothing here has `P × P` entries: the operators of `superlinear-curvature`, the iterations of `superlinear-spectra`.

mod by_layer;
mod show;
mod subject;
mod watched;

use crate::cli::{count, threads};
use crate::progress::Voice;
use crate::provenance::Provenance;
use crate::{interrupt, parameters, reproduce};
use anyhow::{Context, Result, bail};
use by_layer::LayerShare;
use faer::Mat;
use faer::matrix_free::LinOp;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use subject::{Asked, Images, Subject};
use superlinear_curvature::{Diagonal, DiagonalsAlong, MeanLoss, Selection};
use superlinear_nets::{Activation, Loss, Samples};
use superlinear_noise::{Sampling, batch_factor};
use superlinear_spectra::{
    Deflated, DensityConfig, Lanczos, LanczosConfig, SpectralDensity, TraceConfig, TraceEstimate, TraceStop, Wanted,
    hutch_plus_plus, lanczos_with, spectral_density,
};
use superlinear_stats::{FitConfig, PowerLawFit, slope_derivatives};
use superlinear_store::staged::{OnExisting, StagedDir};
use superlinear_training::ImageSamples;
use watched::Watched;

/// The file by which the command knows its own folders.
const SUMMARY: &str = "spectrum.json";
/// Numbers that probes may hold at a time: a GiB.
const NUMBERS: usize = 1 << 27;
/// Lanczos steps of a probe, where there is room.
const STEPS: usize = 50;
/// Probes that advance together, where there is room.
const AT_ONCE: usize = 8;
/// Products of the trace's estimate, where there is room.
const TRACE_PRODUCTS: usize = 60;

/// Arguments of `spectrum`.
#[derive(Debug, clap::Args)]
pub(crate) struct SpectrumArgs {
    /// A run's id, as in summary.json
    #[arg(required_unless_present_any = ["run", "weights"])]
    run_id: Option<String>,
    /// The same by name
    #[arg(long, value_name = "RUN_ID", conflicts_with = "run_id")]
    run: Option<String>,
    /// In place of a run, any network of dense layers: a safetensors file of tensors `<layer>.weight` [d_out, d_in] and, where there is
    /// one, `<layer>.bias`; `fc1` is then the first
    #[arg(long, value_name = "FILE", requires = "data", conflicts_with_all = ["run_id", "run"])]
    weights: Option<PathBuf>,
    /// With --weights: an npz file of `x` [N, d_in], as the network takes it, and of the classes `y` [N]
    #[arg(long, value_name = "FILE", requires = "weights", conflicts_with_all = ["run_id", "run"])]
    data: Option<PathBuf>,
    /// With --weights: ce, mse (of the softmax) or linear-mse
    #[arg(long, value_name = "LOSS", requires = "weights", default_value_t = Loss::CrossEntropy)]
    loss: Loss,
    /// With --weights: what stands between two layers
    #[arg(long, requires = "weights", value_enum, default_value_t = ActivationName::Relu)]
    activation: ActivationName,
    /// With --weights: the size of a mini-batch, which C = Σ/B is of
    #[arg(long, value_name = "B", requires = "weights", value_parser = count, default_value_t = NonZeroUsize::MIN)]
    batch: NonZeroUsize,
    /// Parameters: `fc2` (weight and bias), `conv1.weight`, several jointly with commas, or `all`
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) params: Vec<String>,
    /// Which matrix
    #[arg(long, value_enum, default_value_t = OperatorName::Hessian)]
    pub(crate) operator: OperatorName,
    /// How many of the largest eigenvalues
    #[arg(long, value_name = "K", value_parser = count, default_value_t = NonZeroUsize::new(20).expect("positive"))]
    pub(crate) top: NonZeroUsize,
    /// Only so many of the run's training images, at least 2, the first ones drawn [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) samples: Option<NonZeroUsize>,
    /// Residuals, relative to the norm, at which a pair counts as converged
    #[arg(long, value_name = "TOL", default_value_t = 1e-8)]
    pub(crate) tol: f64,
    /// Probes of the density, at least 2, or 0 for none
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) probes: usize,
    /// Also write the Ritz vectors: `vectors.npz` with `values` [K] and `vectors` [K, P], laid out as `layout` in spectrum.json
    #[arg(long)]
    pub(crate) vectors: bool,
    /// Seeds the random vectors
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder of the results: of one profile, or of all [default: out, the profile that has the run]
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Folder to write; must be new, empty or an earlier spectrum [default: <OUT>/spectra/<run>-<selection>]
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl SpectrumArgs {
    fn run_id(&self) -> &str {
        self.run_id.as_ref().or(self.run.as_ref()).expect("one of the two is required where there are no files")
    }

    /// For messages.
    fn of_what(&self) -> String {
        match &self.data {
            Some(data) => data.display().to_string(),
            None => format!("run {}", self.run_id()),
        }
    }
}

/// What stands between two layers of a network from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ActivationName {
    Relu,
    Tanh,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Relu => Self::Relu,
            ActivationName::Tanh => Self::Tanh,
        }
    }
}

/// The matrices that have spectra here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OperatorName {
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
    fn name(self) -> &'static str {
        match self {
            Self::Hessian => "hessian",
            Self::Ggn => "ggn",
            Self::Fisher => "fisher",
            Self::Noise => "noise",
            Self::SecondMoment => "second-moment",
        }
    }

    /// As in a title.
    fn words(self) -> &'static str {
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
struct Found {
    n_params: usize,
    /// Tensors by name, in the vectors' order, with their sizes.
    layout: Vec<(String, usize)>,
    n_samples: usize,
    batch: usize,
    top: Lanczos,
    /// `Σ_ii`, not `C_ii`, as the operator has it.
    diagonals: DiagonalsAlong,
    /// `C_ii = factor · Σ_ii`.
    factor: f64,
    gamma: Gamma,
    /// Where there are several.
    layers: Vec<LayerShare>,
    trace: TraceEstimate,
    density: Option<SpectralDensity>,
    /// Products with the operator, and of the diagonals.
    products: usize,
    wall_s: f64,
}

/// Exponents on `H_ii` over converged directions; `Err` says why there is none.
struct Gamma {
    c: Result<Exponent, String>,
    m2: Result<Exponent, String>,
}

/// An exponent with what it does not know.
struct Exponent {
    /// `H_ii` and what was fitted to them, `Σ_ii` for `C_ii`.
    points: [Vec<f64>; 2],
    /// With the robust standard error, directions taken to scatter about a line.
    fit: PowerLawFit,
    /// Standard error over draws of the images, directions fixed.
    sampling: f64,
    /// The most, to first order, by which Ritz vectors that are not quite eigenvectors have moved it.
    ritz: f64,
}

impl Exponent {
    /// Of images and Ritz vectors together: the one in quadrature with the bound on the other.
    fn error(&self) -> f64 {
        self.sampling.hypot(self.ritz)
    }
}

/// Runs the command.
///
/// # Errors
/// When there is no such run, parameter or pair, the data are missing, a number is not finite, the folder cannot be written, or
/// the user interrupts; nothing has been written then.
pub(crate) fn run(args: &SpectrumArgs) -> Result<()> {
    let start = Instant::now();
    let asked = Asked::of(args)?;
    let selection = parameters::select(&asked.architecture(), &args.params)?;
    let available = asked.n_samples();
    let n_samples = args.samples.map_or(available, usize::from);
    if args.top.get() > selection.n_params() {
        bail!("--top {}: {} has {} parameters", args.top, args.params.join(","), selection.n_params());
    }
    if n_samples > available {
        bail!("--samples {n_samples}: {} has {available} training images", args.of_what());
    }
    if args.probes == 1 {
        bail!("--probes 1: a standard error needs at least 2, or 0 for no density");
    }
    if n_samples < 2 {
        bail!("{n_samples} sample of {}: a covariance needs at least 2", args.of_what());
    }
    if !(f64::EPSILON..1.0).contains(&args.tol) {
        bail!("--tol {}: expected a number from {:.1e} to less than 1", args.tol, f64::EPSILON);
    }
    interrupt::listen()?;
    let to = args.to.clone().unwrap_or_else(|| default_folder(args));
    let staged = StagedDir::create(&to, OnExisting::ReplaceIfItHolds(SUMMARY))?;
    let subject = asked.load(args, n_samples)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(reproduce::threads(args.threads)).build();
    let found = pool.context("cannot start threads")?.install(|| measure(args, &subject, &selection))?;
    let found = Found { wall_s: start.elapsed().as_secs_f64(), ..found };
    show::write(args, &subject, &found, staged.path(), Provenance::here())?;
    interrupt::check()?;
    staged.publish()?;
    if args.quiet {
        return Ok(());
    }
    show::print(args, &subject, &found)?;
    show::say_written(args, &to)
}

/// `spectra/<run>-<selection>` beside the results, with the operator, the images and the seed where they are not the default.
fn default_folder(args: &SpectrumArgs) -> PathBuf {
    let of = match &args.weights {
        Some(weights) => weights.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        None => args.run_id().to_owned(),
    };
    let mut name = format!("{of}-{}", args.params.join("+"));
    if args.operator != OperatorName::Hessian {
        name = format!("{name}-{}", args.operator.name());
    }
    if let Some(n) = args.samples {
        name = format!("{name}-n{n}");
    }
    if args.seed != 0 {
        name = format!("{name}-seed{}", args.seed);
    }
    args.out.join("spectra").join(name)
}

fn measure(args: &SpectrumArgs, subject: &Subject, selection: &Selection) -> Result<Found> {
    match &subject.images {
        Images::Drawn { data, indices, normalisation } => {
            let images = ImageSamples::drawn(&data.train, indices.clone(), *normalisation);
            measure_over(args, subject, &images, selection)
        }
        Images::Given(samples) => measure_over(args, subject, samples, selection),
    }
}

fn measure_over(
    args: &SpectrumArgs,
    subject: &Subject,
    images: &impl Samples<f64>,
    selection: &Selection,
) -> Result<Found> {
    let n_samples = images.n_samples();
    let of = MeanLoss::new(&subject.net, subject.loss, images, selection.clone())?;
    let operator = match args.operator {
        OperatorName::Hessian => of.hessian(),
        OperatorName::Ggn => of.gauss_newton(),
        OperatorName::Fisher => of.fisher(),
        OperatorName::Noise => of.noise_covariance()?,
        OperatorName::SecondMoment => of.hessian_second_moment(),
    };
    let (K, P) = (args.top.get(), of.n_params());
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let top = leading(args, &operator, voice)?;
    let stage = voice.stage("diagonals", 3 * K as u64, "products/s");
    let diagonals = of.diagonals_along_with(top.vectors(), |products| {
        stage.advance(products as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let diagonals = watched::finished(diagonals)?;
    stage.done(&format!("of H, Σ and M₂ along {K} vectors"));
    let factor = batch_factor(subject.batch.min(n_samples), n_samples, Sampling::WithReplacement)?;
    let gamma = gamma(args.operator, &top, &diagonals);
    let layers = by_layer::by_layer(args, subject, selection, &top);
    let trace = trace(args, &operator, &top, voice)?;
    let density = density(args, &operator, voice)?;
    let products = top.state.products + 3 * K + trace.products + density.as_ref().map_or(0, |found| found.products);
    let batch = subject.batch.min(n_samples);
    Ok(Found {
        n_params: P,
        layout: parameters::layout(subject.net.architecture(), selection),
        n_samples,
        batch,
        top,
        diagonals,
        factor,
        gamma,
        layers,
        trace,
        density,
        products,
        wall_s: 0.0,
    })
}

/// Each use of randomness has its own stream.
fn generator(args: &SpectrumArgs, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    rng.set_stream(stream);
    rng
}

/// What of a sum of `P` products is rounding, relative to the norm.
fn rounding(top: &Lanczos) -> f64 {
    f64::EPSILON * (top.vectors().nrows() as f64).sqrt()
}

/// Converged pairs whose values are not rounding: within that of zero, a direction is any of the null space.
fn told_apart(top: &Lanczos) -> Vec<usize> {
    let noise = rounding(top) * top.state.norm;
    let is = |i: &usize| top.pairs[*i].converged && top.pairs[*i].value.abs() > noise.max(top.pairs[*i].residual);
    (0..top.pairs.len()).filter(is).collect()
}

/// Over the converged pairs that are above their residuals and rounding, and where `H_ii` is.
fn gamma(operator: OperatorName, top: &Lanczos, diagonals: &DiagonalsAlong) -> Gamma {
    let converged = told_apart(top);
    let of = |values: &[f64]| converged.iter().map(|&i| values[i]).collect::<Vec<f64>>();
    let residual = converged.iter().map(|&i| top.pairs[i].residual).fold(0.0, f64::max);
    let largest = diagonals.values(Diagonal::Hessian).iter().fold(0.0_f64, |most, h| most.max(h.abs()));
    let of_h = if operator == OperatorName::Hessian { residual } else { 0.0 };
    let noise_floor = Some(of_h.max(rounding(top) * largest));
    let config = FitConfig { noise_floor, ..FitConfig::top(converged.len()) };
    let ritz = |diagonal| of(&ritz_errors(top, diagonals, diagonal));
    let covariance = |of, with| {
        let all = diagonals.sampling_covariance(of, with);
        Mat::from_fn(converged.len(), converged.len(), |i, j| all[(converged[i], converged[j])])
    };
    let fit = |diagonal| {
        let H = Diagonal::Hessian;
        // C is a constant multiple of Σ, which moves no slope and no error of it.
        let points = [of(diagonals.values(H)), of(diagonals.values(diagonal))];
        let found = slope_derivatives(&points[0], &points[1], &config).map_err(|error| error.to_string())?;
        let (xx, xy, yy) = (covariance(H, H), covariance(H, diagonal), covariance(diagonal, diagonal));
        let sampling = found.standard_error(xx.as_ref(), xy.as_ref(), yy.as_ref());
        let ritz = found.bound(&ritz(H), &ritz(diagonal));
        Ok(Exponent { points, fit: found.fit, sampling, ritz })
    };
    Gamma { c: fit(Diagonal::Covariance), m2: fit(Diagonal::SecondMoment) }
}

/// The most, to first order, by which each `X_ii` differs between the Ritz vector and the eigenvector that it approximates.
fn ritz_errors(top: &Lanczos, diagonals: &DiagonalsAlong, of: Diagonal) -> Vec<f64> {
    let rotations = top.rotations();
    diagonals.moved_by(of, &rotations.outside, rotations.inside.as_ref())
}

/// The `--top` largest pairs.
fn leading(args: &SpectrumArgs, operator: &dyn LinOp<f64>, voice: Voice) -> Result<Lanczos> {
    let K = args.top.get();
    let stage = voice.stage("pairs", K as u64, "pairs/s");
    let seen = Mutex::new((0, None));
    let hear = |more: u64, residual: Option<f64>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (seen.0 + more, residual.or(seen.1));
        let far = seen.1.map_or(String::new(), |residual| format!(", residual {residual:.0e} of {:.0e}", args.tol));
        stage.at(&format!("{} products{far}", seen.0));
    };
    let watched = Watched::new(operator, |products| hear(products, None));
    let config = LanczosConfig { tolerance: args.tol, ..Default::default() };
    let found = lanczos_with(&watched, None, Wanted::Largest(K), &config, &mut generator(args, 0), |progress| {
        stage.reached(progress.converged as u64);
        hear(0, Some(progress.residual));
        ControlFlow::Continue(())
    });
    let mut found = watched::finished(found)?;
    // Nobody continues from it, and what comes next needs the memory.
    found.state.keep_wanted();
    let converged = found.pairs.iter().filter(|pair| pair.converged).count();
    stage.done(&format!("{converged} of {K} converged, {} products", found.state.products));
    Ok(found)
}

/// The Ritz values, whose sum is the trace on their vectors whether they have converged or not, and an estimate of the rest.
fn trace(args: &SpectrumArgs, operator: &dyn LinOp<f64>, top: &Lanczos, voice: Voice) -> Result<TraceEstimate> {
    let P = operator.nrows();
    let inside: f64 = top.values().iter().sum();
    if args.top.get() == P {
        return Ok(TraceEstimate { value: inside, standard_error: 0.0, products: 0, stop: TraceStop::Exact });
    }
    let budget = (2 * NUMBERS / (3 * P)).clamp(20, TRACE_PRODUCTS);
    let stage = voice.stage("trace", budget.min(P) as u64, "products/s");
    let watched = Watched::new(operator, |n| stage.advance(n));
    let outside = Deflated::new(&watched, top.vectors());
    let config = TraceConfig { budget, ..Default::default() };
    // Not XTrace: its error is an estimate that is too small after few products.
    let rest = watched::finished(hutch_plus_plus(&outside, &config, &mut generator(args, 1)))?;
    stage.done(&format!("{} products", rest.products));
    Ok(TraceEstimate { value: inside + rest.value, ..rest })
}

/// The density of the whole spectrum, unless no probes are asked for.
fn density(args: &SpectrumArgs, operator: &dyn LinOp<f64>, voice: Voice) -> Result<Option<SpectralDensity>> {
    if args.probes == 0 {
        return Ok(None);
    }
    let P = operator.nrows();
    let steps = STEPS.min(P).min(NUMBERS / P).max(2);
    let at_once = (NUMBERS / (P * steps)).clamp(1, AT_ONCE);
    let config = DensityConfig { probes: args.probes, steps, at_once, ..Default::default() };
    let stage = voice.stage("density", (args.probes * steps) as u64, "products/s");
    let watched = Watched::new(operator, |n| stage.advance(n));
    let found = watched::finished(spectral_density(&watched, &config, &mut generator(args, 2)))?;
    stage.done(&format!("{} probes, {} products", args.probes, found.products));
    Ok(Some(found))
}
