//! The commands and their arguments.

use crate::outputs::OutputId;
use crate::plan::{Keep, Profile};
use crate::shard::ShardArg;
use crate::{ci, data, export, merge, reproduce, runs, spectrum, tidy, verify};
use anyhow::Result;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Reproduces "On the Superlinear Relationship between SGD Noise Covariance and Loss Landscape Curvature"
/// (arXiv 2602.05600).
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// More are no use on any machine, and starting them takes longer than a run.
const MOST_THREADS: usize = 1024;

/// A number of threads.
///
/// # Errors
/// When it is none, or not in `1..=1024`.
pub(crate) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let n = text.parse::<NonZeroUsize>().ok().filter(|n| n.get() <= MOST_THREADS);
    n.ok_or_else(|| format!("expected a number from 1 to {MOST_THREADS}"))
}

/// A count that is not zero.
///
/// # Errors
/// When it is none.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Train, analyse, draw and report: from images to figures
    #[command(allow_negative_numbers = true)]
    Reproduce(ReproduceArgs),
    /// Join the shares that `reproduce --shard` has left into one set of results
    Merge(MergeArgs),
    /// Compute every number of finished results again and compare
    Verify(VerifyArgs),
    /// What is stored of runs: which, how far, how large, and whether it is intact
    Runs(runs::RunsArgs),
    /// Write one run's weights, data and matrices for NumPy and PyTorch
    Export(ExportArgs),
    /// Leading eigenpairs, density, trace and exponents of one run's curvature, over any of its parameters
    #[command(allow_negative_numbers = true)]
    Spectrum(spectrum::SpectrumArgs),
    /// The full data sets on this machine, and the files that are embedded
    Data(data::DataArgs),
    /// Run every test
    Test(TestArgs),
    /// Run the criterion benches
    Bench(BenchArgs),
    /// Check that the documents and the tree agree
    Tidy,
    /// Package every crate and build each from its package alone
    Package,
    /// Everything that must pass: fmt, clippy, tidy, tests, docs, packages
    Ci,
}

/// Arguments of `reproduce`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReproduceArgs {
    /// Scale of the reproduction; every profile draws the same outputs
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub(crate) profile: Profile,
    /// Only these outputs, and only the runs that they need
    #[arg(long, value_enum, value_delimiter = ',', value_name = "IDS")]
    pub(crate) only: Vec<OutputId>,
    /// Runs, by id, that outputs about single runs show [default: the first seed with ten classes, each loss]
    #[arg(long, value_delimiter = ',', value_name = "RUN-IDS")]
    pub(crate) runs: Vec<String>,
    /// Only settings whose names begin so, for example `mnist-mlp,cifar10-cnn-ce-c3` [default: all of the profile]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) settings: Vec<String>,
    /// Epochs at which networks are analysed during training, where an output follows it [default: the profile's]
    #[arg(long, value_delimiter = ',', value_name = "EPOCHS", value_parser = count)]
    pub(crate) checkpoints: Option<Vec<NonZeroUsize>>,
    /// Seeds of each setting [default: the profile's]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) seeds: Option<NonZeroUsize>,
    /// Folder of the results; they go to <DIR>/<profile>
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Only this share of the runs, `i/n` with i from 1 to n, or `auto`: the rank that Slurm or an MPI launcher gives
    #[arg(long, value_name = "SHARE")]
    pub(crate) shard: Option<ShardArg>,
    /// What stays on the disk of the runs, besides the results
    #[arg(long, value_enum, default_value_t = Keep::Summary)]
    pub(crate) keep: Keep,
    /// How often a network in training is saved, at the end of an epoch: more seldom where that would take a hundredth of the
    /// time, and after every epoch if 0
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) save_every: f64,
    /// Print the runs with estimated time, memory and disk, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// Folders of all shares, as `reproduce --shard` has left them
    #[arg(required = true, value_name = "DIRS")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Folder of the results; they go to <DIR>/<profile>
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Folder of the results, for example out/quick
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Also analyse the stored networks again, from their weights and the images, and compare the records to the last bit
    #[arg(long)]
    pub(crate) recompute: bool,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// A run's id, as in summary.json
    pub(crate) run_id: String,
    /// Folder to write; must be new, empty or an earlier export
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Folder of the results: of one profile, or of all [default: out, the profile that has the run]
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Also run the slow tests
    #[arg(long)]
    pub(crate) slow: bool,
    /// Passed on to the test binaries, for example a name to filter by
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Passed on to criterion, for example a name to filter by
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Reproduce(args) => reproduce::run(args),
            Self::Merge(args) => merge::run(&args),
            Self::Verify(args) => verify::run(&args),
            Self::Runs(args) => runs::run(&args),
            Self::Export(args) => export::run(&args),
            Self::Spectrum(args) => spectrum::run(&args),
            Self::Data(args) => data::run(args),
            Self::Test(args) => ci::test(args.slow, &args.args),
            Self::Bench(args) => ci::bench(&args.args),
            Self::Tidy => tidy::run(),
            Self::Package => ci::package(),
            Self::Ci => ci::run(),
        }
    }
}
