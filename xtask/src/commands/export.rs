//! `cargo xtask export`: one run's weights, data and matrices, for NumPy and PyTorch.

use crate::voice::Voice;
use crate::{interrupt, provenance};
use anyhow::Result;
use std::io::Write;
use std::path::PathBuf;
use superlinear_experiments::export::{FILES, export};

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
    export(of, (&args.to, args.force), args.data_dir.as_deref(), provenance::here(), &Voice::new(true))?;
    writeln!(std::io::stdout(), "{}: {FILES}", args.to.display())?;
    Ok(())
}
