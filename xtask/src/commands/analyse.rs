//! `cargo xtask analyse`: noise and curvature of one's own network, tensor by tensor, or of one layer's factors.

use super::checkpoints::{self, Folder};
use super::{count, threads};
use crate::voice::Voice;
use crate::{interrupt, provenance};
use anyhow::{Context, Result};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use superlinear_experiments::model_analysis::{
    Checkpoints, FactorsQuestion, Found, ModelLoss, Params, Prepared, Question, Subject, answer, answer_factors,
};
use superlinear_experiments::observer::Observer;
use superlinear_report::model_analysis::{files, lines, write};
use superlinear_store::staged::{StagedDir, What};

/// Arguments of `analyse`.
#[derive(Debug, clap::Args)]
pub(crate) struct AnalyseArgs {
    /// The network: an ONNX file, as torch.onnx.export writes it
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["factors", "checkpoints"],
        requires = "data",
        requires = "loss"
    )]
    model: Option<PathBuf>,
    /// The network at several times of its training, ordered by the number in the files' names: files, or a pattern
    /// such as "epoch-*.onnx". Each has its own folder as soon as it is done, and the same command goes on where it was
    /// interrupted
    #[arg(long, value_name = "FILES", num_args = 1.., conflicts_with = "model", requires = "data", requires = "loss")]
    checkpoints: Vec<PathBuf>,
    /// One layer in place of a network: an npz file of `a` [N, T, d_in], `delta` [N, T, d_out], the gradients of each
    /// sample's loss in what the layer gives, and `S` [N, T·d_out, T·d_out], its Hessians there; T, how often a sample
    /// uses the layer, may be left out if 1
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["model", "checkpoints", "data", "loss", "params", "every_layer"]
    )]
    factors: Option<PathBuf>,
    /// Its samples: an npz file of `x` [N, …], as the network takes it, of `y` and, to check the network by, of its own
    /// `logits` [N, n_out]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The loss of a sample
    #[arg(long, value_enum)]
    loss: Option<LossArg>,
    /// The size of a mini-batch, which C = Σ/B is of
    #[arg(long, value_name = "B", value_parser = count)]
    batch: NonZeroUsize,
    /// Tensors by name, each analysed by itself, with commas
    #[arg(long, value_delimiter = ',', value_name = "NAMES", required_unless_present_any = ["every_layer", "factors"])]
    params: Vec<String>,
    /// The weights of all layers, for γ by layer
    #[arg(long, conflicts_with = "params")]
    every_layer: bool,
    /// How many of the largest eigenvalues of each tensor's H; with --every-layer at most what it has
    #[arg(long, value_name = "K", value_parser = count, default_value_t = NonZeroUsize::new(50).expect("positive"))]
    top: NonZeroUsize,
    /// Only the first so many samples, at least 2 [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    samples: Option<NonZeroUsize>,
    /// Memory for the dense matrices of a tensor; larger ones are read along Lanczos vectors
    #[arg(long, value_name = "GIB", default_value_t = 2.0, value_parser = gib)]
    memory: f64,
    /// Residuals of Lanczos pairs, relative to the norm, at which they count as converged
    #[arg(long, value_name = "TOL", default_value_t = 1e-8, value_parser = tolerance)]
    tol: f64,
    /// Seeds the first Lanczos vector
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// Folder to write; must be new, empty or an earlier answer to the same question [default:
    /// out/analyses/<model>-<params>, or <factors>; with --checkpoints an earlier answer is continued]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Let the folder hold the answer to another question: it is replaced, and files that are not ours stay
    #[arg(long)]
    force: bool,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// The loss of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LossArg {
    /// Cross-entropy of the classes y
    Ce,
    /// Mean over classes of the squared error of the softmax
    Mse,
    /// Mean over outputs of the squared error of the real targets y
    LinearMse,
    /// Binary cross-entropy of one logit an output
    Bce,
}

impl From<LossArg> for ModelLoss {
    fn from(loss: LossArg) -> Self {
        match loss {
            LossArg::Ce => Self::CrossEntropy,
            LossArg::Mse => Self::SoftmaxMse,
            LossArg::LinearMse => Self::LinearMse,
            LossArg::Bce => Self::BinaryCrossEntropy,
        }
    }
}

fn gib(text: &str) -> Result<f64, String> {
    let expected = || format!("{text:?}: expected a number of GiB from 0 to 1,000,000");
    text.parse().ok().filter(|gib| (0.0..=1e6).contains(gib)).ok_or_else(expected)
}

fn tolerance(text: &str) -> Result<f64, String> {
    let expected = || format!("{text:?}: expected a number from {:.1e} to less than 1", f64::EPSILON);
    text.parse().ok().filter(|tol| (f64::EPSILON..1.0).contains(tol)).ok_or_else(expected)
}

/// One of the questions.
enum Asked {
    Network(Question),
    Factors(FactorsQuestion),
}

impl AnalyseArgs {
    fn pool(&self) -> Result<rayon::ThreadPool> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(super::n_threads(self.threads)).build();
        pool.context("cannot start threads")
    }

    /// Of checkpoints the model is their pattern.
    fn asked(&self, checkpoints: Option<&Checkpoints>) -> Asked {
        let &Self { batch, top, samples, tol, seed, .. } = self;
        let memory = (self.memory * f64::from(1 << 30)) as u64;
        let keep_matrices = false;
        if let Some(factors) = self.factors.clone() {
            return Asked::Factors(FactorsQuestion { factors, batch, top, samples, memory, tol, seed, keep_matrices });
        }
        let model = self.model.clone().or_else(|| checkpoints.map(|found| found.pattern().to_owned()));
        let (Some(model), Some(data), Some(loss)) = (model, self.data.clone(), self.loss) else {
            unreachable!("clap asks for them where there are no factors");
        };
        let params = match self.every_layer {
            true => Params::EveryLayer,
            false => Params::Named(self.params.clone()),
        };
        let loss = loss.into();
        Asked::Network(Question { model, data, loss, batch, params, top, samples, memory, tol, seed, keep_matrices })
    }
}

impl Asked {
    fn words(&self) -> String {
        match self {
            Self::Network(question) => question.words(),
            Self::Factors(question) => question.words(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Network(question) => question.name(),
            Self::Factors(question) => question.name(),
        }
    }

    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Network(question) => question.into(),
            Self::Factors(question) => question.into(),
        }
    }

    fn answer(&self, observer: &dyn Observer) -> Result<Found> {
        match self {
            Self::Network(question) => answer(question, &Prepared::read(question, observer)?, observer),
            Self::Factors(question) => answer_factors(question, observer),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or does not fit, a number is not finite, the folder cannot be written, or the user
/// interrupts; nothing has been written then.
pub(crate) fn run(args: &AnalyseArgs) -> Result<()> {
    let checkpoints = match args.checkpoints.is_empty() {
        true => None,
        false => Some(Checkpoints::find(&args.checkpoints)?),
    };
    let asked = args.asked(checkpoints.as_ref());
    if let (Some(checkpoints), Asked::Network(question)) = (&checkpoints, &asked) {
        interrupt::listen()?;
        let folder = Folder { to: args.to.as_deref(), force: args.force, is_quiet: args.quiet };
        return checkpoints::run((checkpoints, question), &folder, &args.pool()?, &Voice::new(args.quiet));
    }
    let to = args.to.clone().unwrap_or_else(|| PathBuf::from("out/analyses").join(asked.name()));
    let staged = StagedDir::create(&to, What { kind: "analysis", of: &asked.words(), force: args.force })?;
    interrupt::listen()?;
    let voice = Voice::new(args.quiet);
    let observer: &dyn Observer = &voice;
    let found = args.pool()?.install(|| asked.answer(observer))?;
    write(asked.subject(), &found, staged.path(), provenance::here())?;
    observer.check()?;
    staged.publish()?;
    if !args.quiet {
        let mut out = std::io::stdout().lock();
        write!(out, "{}", lines(&found))?;
        writeln!(out, "{}: {}", to.display(), files())?;
    }
    Ok(())
}
