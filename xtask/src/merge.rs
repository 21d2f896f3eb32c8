//! `cargo xtask merge`: the shares of a reproduction become one.

use crate::cli::MergeArgs;
use crate::part::{self, Part};
use crate::plan;
use crate::progress::Voice;
use crate::provenance::Provenance;
use crate::publish::{self, Published};
use crate::record::RunRecord;
use crate::summary::DataSummary;
use anyhow::{Result, bail};
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// When a folder is no share, shares answer different requests, runs are missing, twice there or of other settings, or the
/// results cannot be written. Nothing is written then.
pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let mut parts = Vec::new();
    let mut found: Vec<(RunRecord, &Path)> = Vec::new();
    for dir in &args.dirs {
        let (part, runs) = part::read(dir)?;
        parts.push(part);
        for run in runs {
            if let Some((_, other)) = found.iter().find(|(known, _)| known.spec.id() == run.spec.id()) {
                bail!("run {} is in {} and in {}", run.spec.id(), other.display(), dir.display());
            }
            found.push((run, dir));
        }
    }
    let Some(first) = parts.first() else { bail!("no folders to merge") };
    for (part, dir) in parts.iter().zip(&args.dirs).skip(1) {
        if part.request != first.request {
            bail!(
                "{} and {} answer different requests: {} and {}",
                args.dirs[0].display(),
                dir.display(),
                serde_json::to_string(&first.request)?,
                serde_json::to_string(&part.request)?
            );
        }
        if part.provenance.version != first.provenance.version {
            let versions = [&first.provenance.version, &part.provenance.version];
            bail!(
                "{} and {} are of versions {} and {}",
                args.dirs[0].display(),
                dir.display(),
                versions[0],
                versions[1]
            );
        }
    }
    let request = &first.request;
    let mut runs = Vec::new();
    let mut missing = Vec::new();
    for spec in plan::runs(request)? {
        match found.iter().position(|(run, _)| run.spec.id() == spec.id()) {
            None => missing.push(spec.id()),
            Some(position) => {
                let (run, dir) = found.swap_remove(position);
                if run.spec != spec {
                    bail!("{}: run {} has other settings than the request asks for", dir.display(), spec.id());
                }
                runs.push(run);
            }
        }
    }
    if !missing.is_empty() {
        bail!("{} runs are missing: {}", missing.len(), missing.join(", "));
    }
    if let Some((run, dir)) = found.first() {
        bail!("{}: run {} is not part of the request", dir.display(), run.spec.id());
    }
    let target = args.out.join(request.profile.to_string());
    publish::prepare(&target)?;
    let published = Published {
        request,
        shard: None,
        data: data(&parts),
        provenance: Provenance::here(),
        threads: parts.iter().map(|part| part.threads).max().unwrap_or(1),
        wall_s: parts.iter().map(|part| part.wall_s).fold(0.0, f64::max),
    };
    published.write(&runs, &target, voice)
}

/// Every data set once from each source.
fn data(parts: &[Part]) -> Vec<DataSummary> {
    let mut all: Vec<DataSummary> = Vec::new();
    for data in parts.iter().flat_map(|part| &part.data) {
        if !all.contains(data) {
            all.push(data.clone());
        }
    }
    all
}
