//! `cargo xtask spectrum`: leading eigenpairs, density, trace and exponents of a trained network's curvature over any
//! parameters.

use super::{count, threads};
use crate::voice::Voice;
use crate::{interrupt, provenance};
use anyhow::{Context, Result};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use superlinear_experiments::observer::Observer;
use superlinear_experiments::spectrum::{Files, Of, OperatorName, Question, answer, prepare};
use superlinear_nets::{Activation, Loss};
use superlinear_report::spectrum::{files, lines, write};
use superlinear_store::staged::{StagedDir, What};

/// Arguments of `spectrum`.
#[derive(Debug, clap::Args)]
pub(crate) struct SpectrumArgs {
    /// A run's id, as in summary.json
    #[arg(required_unless_present_any = ["run", "weights"])]
    run_id: Option<String>,
    /// The same by name
    #[arg(long, value_name = "RUN_ID", conflicts_with = "run_id")]
    run: Option<String>,
    /// In place of a run, a chain of dense layers: a safetensors file of tensors `<layer>.weight` [d_out, d_in] and,
    /// where there is one, `<layer>.bias`; `fc1` is then the first. One order must follow from the shapes, or --order
    /// gives it
    #[arg(long, value_name = "FILE", requires = "data", conflicts_with_all = ["run_id", "run"])]
    weights: Option<PathBuf>,
    /// With --weights: an npz file of `x` [N, …], as the network takes it, of the classes `y` [N] and, to check the
    /// network by, of its `logits` [N, n_out]
    #[arg(long, value_name = "FILE", requires = "weights", conflicts_with_all = ["run_id", "run"])]
    data: Option<PathBuf>,
    /// With --weights: ce, mse (of the softmax with the one-hot class) or linear-mse (of the logits with it), both the
    /// mean over outputs, as in PyTorch
    #[arg(long, value_name = "LOSS", requires = "weights", default_value_t = Loss::CrossEntropy)]
    loss: Loss,
    /// With --weights: what stands between two layers; needed where there are two
    #[arg(long, requires = "weights", value_enum)]
    activation: Option<ActivationName>,
    /// With --weights: the layers by the file's names, first to last, where their shapes fit in several orders
    #[arg(long, requires = "weights", value_delimiter = ',', value_name = "NAMES")]
    order: Vec<String>,
    /// With --weights: the size of a mini-batch, which C = Σ/B is of, at most the number of samples
    #[arg(long, value_name = "B", requires = "weights", value_parser = count, default_value_t = NonZeroUsize::MIN)]
    batch: NonZeroUsize,
    /// Parameters: `fc2` (weight and bias), `conv1.weight`, a name of the file's own, several jointly with commas, or
    /// `all`
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) params: Vec<String>,
    /// Which matrix
    #[arg(long, value_enum, default_value_t = OperatorArg::Hessian)]
    operator: OperatorArg,
    /// How many of the largest eigenvalues
    #[arg(long, value_name = "K", value_parser = count, default_value_t = NonZeroUsize::new(20).expect("positive"))]
    top: NonZeroUsize,
    /// Only so many of the run's training images, at least 2, the first ones drawn [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    samples: Option<NonZeroUsize>,
    /// Residuals, relative to the norm, at which a pair counts as converged
    #[arg(long, value_name = "TOL", default_value_t = 1e-8)]
    tol: f64,
    /// Probes of the density, at least 2, or 0 for none
    #[arg(long, value_name = "N", default_value_t = 8)]
    probes: usize,
    /// Also write the Ritz vectors: `vectors.npz` with `values` [K] and `vectors` [K, P], laid out as `layout` in
    /// spectrum.json
    #[arg(long)]
    vectors: bool,
    /// Seeds the random vectors
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Folder of the results: of one profile, or of all [default: out, the profile that has the run]
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// Folder to write; must be new, empty or an earlier answer to the same question [default:
    /// <OUT>/spectra/<run>-<selection>]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Let the folder hold the answer to another question: it is replaced, and files that are not ours stay
    #[arg(long)]
    force: bool,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// What stands between two layers of a network from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ActivationName {
    Relu,
    Tanh,
    Identity,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Relu => Self::Relu,
            ActivationName::Tanh => Self::Tanh,
            ActivationName::Identity => Self::Identity,
        }
    }
}

/// The matrices that have spectra here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OperatorArg {
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

impl From<OperatorArg> for OperatorName {
    fn from(operator: OperatorArg) -> Self {
        match operator {
            OperatorArg::Hessian => Self::Hessian,
            OperatorArg::Ggn => Self::Ggn,
            OperatorArg::Fisher => Self::Fisher,
            OperatorArg::Noise => Self::Noise,
            OperatorArg::SecondMoment => Self::SecondMoment,
        }
    }
}

impl SpectrumArgs {
    fn question(&self) -> Question {
        let run = || self.run_id.as_ref().or(self.run.as_ref()).expect("required where there are no files").clone();
        let of = match (&self.weights, &self.data) {
            (Some(weights), Some(data)) => Of::Files(Files {
                weights: weights.clone(),
                data: data.clone(),
                loss: self.loss,
                activation: self.activation.map(Into::into),
                order: self.order.clone(),
                batch: self.batch,
            }),
            _ => Of::Run { out: self.out.clone(), id: run() },
        };
        Question {
            of,
            params: self.params.clone(),
            operator: self.operator.into(),
            top: self.top,
            samples: self.samples,
            tol: self.tol,
            probes: self.probes,
            seed: self.seed,
            data_dir: self.data_dir.clone(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When there is no such run, parameter or pair, the data are missing, a number is not finite, the folder cannot be
/// written, or the user interrupts; nothing has been written then.
pub(crate) fn run(args: &SpectrumArgs) -> Result<()> {
    let question = args.question();
    let prepared = prepare(&question)?;
    interrupt::listen()?;
    let voice = Voice::new(args.quiet);
    let observer: &dyn Observer = &voice;
    let to = args.to.clone().unwrap_or_else(|| args.out.join("spectra").join(question.name()));
    let of = question.words();
    let staged = StagedDir::create(&to, What { kind: "spectrum", of: &of, force: args.force })?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(super::n_threads(args.threads)).build();
    let pool = pool.context("cannot start threads")?;
    let (subject, found) = pool.install(|| answer(&question, prepared, observer))?;
    write(&question, (&subject, &found), args.vectors, staged.path(), provenance::here())?;
    observer.check()?;
    staged.publish()?;
    if !args.quiet {
        let mut out = std::io::stdout().lock();
        write!(out, "{}", lines(&question, &subject, &found))?;
        writeln!(out, "{}: {}", to.display(), files(args.vectors))?;
    }
    Ok(())
}
