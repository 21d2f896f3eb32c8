//! `cargo xtask merge`: the shares of a reproduction become one.

use crate::cli::MergeArgs;
use crate::experiment::kept_epochs;
use crate::part::Part;
use crate::plan::{self, Keep, RunSpec};
use crate::progress::Voice;
use crate::provenance::{self, Provenance};
use crate::publish::{self, Published};
use crate::record::RunRecord;
use crate::reproduce::{RUNS, lock_results};
use crate::run_dir::{RunDir, layers_of};
use crate::summary::DataSummary;
use anyhow::{Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// When a folder is no share, shares answer different requests, runs are missing, twice there or of other settings, or the
/// results cannot be written. Nothing is written then.
pub(crate) fn run(args: &MergeArgs) -> Result<()> {
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let (provenance, program) = (Provenance::here(), provenance::program()?);
    let parts: Vec<Part> = args.dirs.iter().map(|dir| Part::read(dir)).collect::<Result<_>>()?;
    let Some(first) = parts.first() else { bail!("no folders to merge") };
    for (part, dir) in parts.iter().zip(&args.dirs).skip(1) {
        if part.request != first.request {
            bail!(
                "{} and {} answer different requests: {}",
                args.dirs[0].display(),
                dir.display(),
                differences(&serde_json::to_value(&first.request)?, &serde_json::to_value(&part.request)?)
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
    let mut found: Vec<(RunSpec, RunDir, &Part, &Path)> = Vec::new();
    for (part, dir) in parts.iter().zip(&args.dirs) {
        for (spec, run) in part.run_dirs(dir)? {
            if let Some((.., other)) = found.iter().find(|(known, ..)| known.id() == spec.id()) {
                bail!("run {} is in {} and in {}", spec.id(), other.display(), dir.display());
            }
            found.push((spec, run, part, dir));
        }
    }
    let request = &first.request;
    let planned = plan::runs(request)?;
    let place = |spec: &RunSpec| found.iter().position(|(known, ..)| known == spec);
    let missing: Vec<String> = planned.iter().filter(|spec| place(spec).is_none()).map(RunSpec::id).collect();
    if !missing.is_empty() {
        bail!("{} runs are missing: {}", missing.len(), missing.join(", "));
    }
    let mut runs = Vec::new();
    for spec in &planned {
        let (spec, run, part, _) = &found[place(spec).expect("no run is missing")];
        if !part.has_failed(spec) {
            runs.push(part.record(spec, run)?);
        }
    }

    let target = args.out.join(request.profile.to_string());
    publish::prepare(&target)?;
    let _lock = lock_results(&target, voice)?;
    let data = data(&parts);
    for run in &runs {
        let (spec, from, part, _) = &found[place(&run.spec).expect("no run is missing")];
        let hash = part.data.iter().find(|data| data.is_of(spec)).map_or("", |data| &data.sha256);
        copy(spec, from, &RunDir::of(&target.join(RUNS), spec, hash), run)?;
    }
    let published = Published {
        request,
        shard: None,
        data,
        provenance,
        program,
        keep: parts.iter().map(|part| part.keep).min().unwrap_or(Keep::Summary),
        failures: parts.iter().flat_map(|part| part.failures.clone()).collect(),
        threads: parts.iter().map(|part| part.threads).max().unwrap_or(1),
        wall_s: parts.iter().map(|part| part.wall_s).fold(0.0, f64::max),
        saving_s: parts.iter().map(|part| part.saving_s).fold(0.0, f64::max),
    };
    published.write(&runs, &target, voice)
}

/// Copies what a finished run consists of to another folder.
fn copy(spec: &RunSpec, from: &RunDir, to: &RunDir, run: &RunRecord) -> Result<()> {
    if from.path() == to.path() {
        return Ok(());
    }
    from.about().copy_to(&to.about())?;
    for epoch in kept_epochs(spec, Keep::Summary).into_iter().chain([run.training.history.len()]) {
        if from.checkpoint(epoch).path().is_file() {
            from.checkpoint(epoch).copy_to(&to.checkpoint(epoch))?;
        }
    }
    for job in layers_of(spec, &run.training) {
        from.layer(spec, job).copy_to(&to.layer(spec, job))?;
        if from.moments(spec, job).path().is_file() {
            from.moments(spec, job).copy_to(&to.moments(spec, job))?;
        }
    }
    // Last: it says that training is over.
    from.training().copy_to(&to.training())
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

/// What two requests ask otherwise, field by field.
fn differences(one: &Value, other: &Value) -> String {
    let (Some(fields), Some(others)) = (one.as_object(), other.as_object()) else {
        return format!("{one} and {other}");
    };
    let names: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
    let said = |name: &&String| {
        let [a, b] = [fields, others].map(|of| of.get(*name).unwrap_or(&Value::Null));
        (a != b).then(|| format!("{name} {a} and {b}"))
    };
    names.iter().filter_map(said).collect::<Vec<_>>().join("; ")
}
