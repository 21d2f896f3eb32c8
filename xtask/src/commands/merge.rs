//! `cargo xtask merge`: the shares of a reproduction become one.

use crate::provenance;
use crate::voice::Voice;
use anyhow::Result;
use std::path::PathBuf;
use superlinear_experiments::manifest::Manifest;
use superlinear_experiments::pipeline::lock_results;
use superlinear_experiments::shares::Shares;
use superlinear_report::publish;

/// Arguments of `merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// Folders of all shares, as `reproduce --shard` has left them
    #[arg(required = true, value_name = "DIRS")]
    dirs: Vec<PathBuf>,
    /// Folder of the results; they go to <DIR>/<plan>
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When a folder is no share, shares answer different requests, runs are missing, twice there or of other settings, or
/// the results cannot be written. Nothing is written then.
pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    let voice = Voice::new(args.quiet);
    let shares = Shares::read(&args.dirs)?;
    let (manifests, first) = (shares.manifests(), &shares.manifests()[0]);
    let target = args.out.join(&first.request.plan);
    publish::prepare(&target)?;
    let _lock = lock_results(&target, &voice)?;
    shares.copy_into(&target)?;
    let most = |of: fn(&Manifest) -> f64| manifests.iter().map(of).fold(0.0, f64::max);
    let manifest = Manifest {
        shard: None,
        data: shares.data(),
        provenance: provenance::here(),
        program: provenance::program()?,
        keep: shares.keep(),
        failures: manifests.iter().flat_map(|manifest| manifest.failures.clone()).collect(),
        threads: manifests.iter().map(|manifest| manifest.threads).max().unwrap_or(1),
        wall_s: most(|manifest| manifest.wall_s),
        saving_s: most(|manifest| manifest.saving_s),
        ..first.clone()
    };
    publish::publish(manifest, &shares.runs, &target, &voice)
}
