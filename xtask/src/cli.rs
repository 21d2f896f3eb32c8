//! The command line.

use crate::commands::{analyse, ci, data, export, merge, python, reproduce, runs, spectrum, table1, verify};
use crate::tidy;
use anyhow::Result;

/// Reproduces "On the Superlinear Relationship between SGD Noise Covariance and Loss Landscape Curvature"
/// (arXiv 2602.05600).
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Train, analyse, draw and report: from images to figures
    #[command(allow_negative_numbers = true)]
    Reproduce(reproduce::ReproduceArgs),
    /// Join the shares that `reproduce --shard` has left into one set of results
    Merge(merge::MergeArgs),
    /// Compute every number of finished results again and compare
    Verify(verify::VerifyArgs),
    /// What is stored of runs: which, how far, how large, and whether it is intact
    Runs(runs::RunsArgs),
    /// Table 1 and its verdicts, drawn from what is stored of its runs
    Table1(table1::Table1Args),
    /// Write one run's weights, data and matrices for NumPy and PyTorch
    Export(export::ExportArgs),
    /// Exponents and commutators of your own network, tensor by tensor: ONNX in, a page out
    Analyse(analyse::AnalyseArgs),
    /// Leading eigenpairs, density, trace and exponents of one run's curvature, over any of its parameters
    #[command(allow_negative_numbers = true)]
    Spectrum(spectrum::SpectrumArgs),
    /// The full data sets on this machine, and the files that are embedded
    Data(data::DataArgs),
    /// Run every test
    Test(ci::TestArgs),
    /// Run the criterion benches
    Bench(ci::BenchArgs),
    /// Check that the documents and the tree agree
    Tidy(tidy::TidyArgs),
    /// Build the Python package and run its tests, in an environment of their own
    Python(python::PythonArgs),
    /// Package every crate and build each from its package alone
    Package,
    /// Everything that must pass: fmt, clippy, tidy, tests, docs, packages, Python
    Ci,
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Reproduce(args) => reproduce::run(&args),
            Self::Merge(args) => merge::run(&args),
            Self::Verify(args) => verify::run(&args),
            Self::Runs(args) => runs::run(&args),
            Self::Table1(args) => table1::run(&args),
            Self::Export(args) => export::run(&args),
            Self::Analyse(args) => analyse::run(&args),
            Self::Spectrum(args) => spectrum::run(&args),
            Self::Data(args) => data::run(args),
            Self::Test(args) => ci::test(args.slow, &args.args),
            Self::Bench(args) => ci::bench(&args.args),
            Self::Tidy(args) => tidy::run(&args),
            Self::Python(args) => python::test(&args.args),
            Self::Package => ci::package(),
            Self::Ci => ci::run(),
        }
    }
}
