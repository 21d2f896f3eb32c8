//! `cargo xtask verify`: finished results, computed again and compared.
//!
//! What stands in a folder of results beside the records is a function of them, so it is rendered again and compared byte
//! by byte. With `--recompute` the records are checked too: every analysed layer is analysed again, from the stored weights
//! and the images, and has to agree to the last bit, times aside.

use crate::cli::VerifyArgs;
use crate::part;
use crate::plan;
use crate::progress::Voice;
use crate::publish::Published;
use crate::record::{LayerRecord, RunRecord};
use crate::reproduce::{self, analyse_all};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Most differences that an error lists.
const LISTED: usize = 5;

/// Runs the command.
///
/// # Errors
/// When the folder holds no finished results, they are of another version, or anything in them differs.
pub(crate) fn run(args: &VerifyArgs) -> Result<()> {
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let (part, found) = part::read(&args.dir)?;
    if let Some(shard) = part.shard {
        bail!("{}: share {} only; verify what `cargo xtask merge` makes of all", args.dir.display(), shard.folder());
    }
    let version = env!("CARGO_PKG_VERSION");
    if part.provenance.version != version {
        bail!("{}: results of version {}, expected {version}, this one", args.dir.display(), part.provenance.version);
    }
    let runs = in_plan_order(&part.request, found).with_context(|| args.dir.display().to_string())?;
    let published = Published {
        request: &part.request,
        shard: None,
        data: part.data.clone(),
        provenance: part.provenance.clone(),
        threads: part.threads,
        wall_s: part.wall_s,
    };
    let files = published.render(&runs, voice)?;
    let mut differences: Vec<String> = files.iter().filter_map(|file| difference(&args.dir, file)).collect();
    voice.line(&format!("{:>10}  {} files against the records of {} runs", "compared", files.len(), runs.len()));
    if args.recompute {
        let threads = reproduce::threads(args.threads);
        differences.extend(recompute(&runs, threads, args.data_dir.as_deref(), voice)?);
    }
    if !differences.is_empty() {
        let more = differences.len().saturating_sub(LISTED);
        differences.truncate(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        bail!("{}: does not verify: {}{more}", args.dir.display(), differences.join("; "));
    }
    voice.line(&format!("{:>10}  every number agrees", "verified"));
    Ok(())
}

/// The runs as the request plans them.
fn in_plan_order(request: &plan::Request, mut found: Vec<RunRecord>) -> Result<Vec<RunRecord>> {
    plan::runs(request)?
        .into_iter()
        .map(|spec| {
            let position = found.iter().position(|run| run.spec == spec);
            let position = position.with_context(|| format!("no record of run {} with these settings", spec.id()))?;
            Ok(found.swap_remove(position))
        })
        .collect()
}

/// What is wrong with a file of the results, if anything.
fn difference(dir: &Path, (name, expected): &(PathBuf, Vec<u8>)) -> Option<String> {
    let found = match std::fs::read(dir.join(name)) {
        Ok(found) => found,
        Err(cause) => return Some(format!("{}: cannot read: {cause}", name.display())),
    };
    if found == *expected {
        return None;
    }
    let (found, expected) = (String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
    let lines = found.lines().zip(expected.lines()).enumerate().find(|(_, (found, expected))| found != expected);
    Some(match lines {
        Some((line, (found, expected))) if !found.contains('\0') && found.len() + expected.len() < 400 => {
            format!("{} line {}: found {:?}, expected {:?}", name.display(), line + 1, found.trim(), expected.trim())
        }
        _ => format!("{} differs", name.display()),
    })
}

/// Analyses every layer again, and says which records differ.
fn recompute(runs: &[RunRecord], threads: usize, data_dir: Option<&Path>, voice: Voice) -> Result<Vec<String>> {
    let specs: Vec<_> = runs.iter().map(|run| run.spec.clone()).collect();
    let data = reproduce::load_data(&specs, data_dir)?;
    let trained = runs.iter().map(|run| run.training.clone()).collect();
    let again = analyse_all(&specs, trained, &data, threads, voice)?;
    let mut differences = Vec::new();
    for (run, again) in runs.iter().zip(&again) {
        if run.layers.len() != again.layers.len() {
            let (found, expected) = (run.layers.len(), again.layers.len());
            differences.push(format!("{}: {found} analysed layers, expected {expected}", run.spec.id()));
            continue;
        }
        for (layer, again) in run.layers.iter().zip(&again.layers) {
            if timeless(layer) != timeless(again) {
                let LayerRecord { dense, epoch, .. } = layer;
                differences.push(format!("{}: layer {} after epoch {epoch} differs", run.spec.id(), dense + 1));
            }
        }
    }
    Ok(differences)
}

/// A record without what depends on the clock.
fn timeless(layer: &LayerRecord) -> LayerRecord {
    let mut layer = layer.clone();
    (layer.moments_s, layer.eigh_s, layer.slopes_s) = (0.0, 0.0, 0.0);
    if let Some(spectral) = &mut layer.spectral {
        (spectral.pairs_s, spectral.samples_s) = (0.0, 0.0);
    }
    layer
}
