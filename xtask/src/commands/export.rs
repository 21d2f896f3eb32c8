//! `cargo xtask export`: one run's weights, data and matrices, for NumPy and PyTorch.

use super::count;
use crate::voice::Voice;
use crate::{interrupt, provenance};
use anyhow::Result;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use superlinear_experiments::export::{FACTORS, FILES, FactorsOf, export};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// A run's id, as in summary.json
    run_id: String,
    /// Folder to write; must be new, empty or an earlier export of the same run
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Let the folder hold another run: it is replaced, and files that are not ours stay
    #[arg(long)]
    force: bool,
    /// Also the factors of the analysed layer, factors.npz for `analyse --factors`: of the first N training images, or
    /// without a number of all
    #[arg(long, value_name = "N", num_args = 0..=1, value_parser = count)]
    factors: Option<Option<NonZeroUsize>>,
    /// Folder of the results: of one plan, or of all [default: out, the plan that has the run]
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// As [`export`]; when standard output cannot be written.
pub(crate) fn run(args: &ExportArgs) -> Result<()> {
    interrupt::listen()?;
    let of = (args.out.as_path(), args.run_id.as_str());
    let factors = args.factors.map(|n| n.map_or(FactorsOf::All, FactorsOf::First));
    export(of, (&args.to, args.force), factors, args.data_dir.as_deref(), provenance::here(), &Voice::new(true))?;
    let further = if factors.is_some() { format!(", {FACTORS}") } else { String::new() };
    writeln!(std::io::stdout(), "{}: {FILES}{further}", args.to.display())?;
    Ok(())
}
