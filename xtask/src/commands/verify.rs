//! `cargo xtask verify`: finished results, computed again and compared.

use super::threads;
use crate::voice::Voice;
use crate::{interrupt, provenance};
use anyhow::{Result, bail};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use superlinear_experiments::manifest::Manifest;
use superlinear_experiments::observer::Observer;
use superlinear_experiments::recompute::recompute;
use superlinear_experiments::record::RunRecord;
use superlinear_report::verify::differences;

/// Most differences that an error lists.
const LISTED: usize = 5;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Folder of the results, for example out/quick
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Also analyse the stored networks again, from their weights and the images, and compare the records to the last bit
    #[arg(long)]
    recompute: bool,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else the platform's cache folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads; the numbers are the same for any [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no finished results, they are of another version, or anything in them differs.
pub(crate) fn run(args: &VerifyArgs) -> Result<()> {
    interrupt::listen()?;
    let voice = Voice::new(args.quiet);
    let observer: &dyn Observer = &voice;
    let manifest = Manifest::read(&args.dir)?;
    if let Some(shard) = manifest.shard {
        bail!("{}: share {} only; verify what `cargo xtask merge` makes of all", args.dir.display(), shard.folder());
    }
    let (found, version) = (&manifest.provenance.version, env!("CARGO_PKG_VERSION"));
    if found != version {
        bail!("{}: results of version {found}, expected {version}, this one", args.dir.display());
    }
    let mut dirs = manifest.run_dirs(&args.dir)?;
    dirs.retain(|(spec, _)| !manifest.has_failed(spec));
    let runs: Vec<RunRecord> = dirs.iter().map(|(spec, run)| manifest.record(spec, run)).collect::<Result<_>>()?;
    let mut all = differences(&manifest, &runs, &args.dir, observer)?;
    if args.recompute {
        let threads = super::n_threads(args.threads);
        all.extend(recompute(&runs, &dirs, threads, args.data_dir.as_deref(), observer)?);
    }
    if !all.is_empty() {
        let more = all.len().saturating_sub(LISTED);
        all.truncate(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        // Another build may draw otherwise from the same records.
        let build = if manifest.program == provenance::program()? { "" } else { " (another build wrote them)" };
        bail!("{}: does not verify{build}: {}{more}", args.dir.display(), all.join("; "));
    }
    observer.note("verified", "every number agrees");
    Ok(())
}
