//! The shares of a reproduction, gathered into one.

use crate::images::DataSummary;
use crate::keep::Keep;
use crate::manifest::{Manifest, RUNS};
use crate::record::RunRecord;
use crate::run_dir::{RunDir, layers_of};
use crate::spec::RunSpec;
use crate::train::kept_epochs;
use anyhow::{Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// All shares of a reproduction, checked to belong together.
#[derive(Debug)]
pub struct Shares {
    manifests: Vec<Manifest>,
    /// Every planned run, in order: where it is, and of which share.
    found: Vec<(RunSpec, RunDir, usize)>,
    /// Runs with all their records; those that failed are left out.
    pub runs: Vec<RunRecord>,
}

impl Shares {
    /// Reads the folders of all shares.
    ///
    /// # Errors
    /// When a folder is no share, shares answer different requests, or runs are missing or twice there.
    pub fn read(dirs: &[PathBuf]) -> Result<Self> {
        let manifests: Vec<Manifest> = dirs.iter().map(|dir| Manifest::read(dir)).collect::<Result<_>>()?;
        let Some(first) = manifests.first() else { bail!("no folders to merge") };
        for (manifest, dir) in manifests.iter().zip(dirs).skip(1) {
            let [a, b] = [&dirs[0], dir].map(|dir| dir.display());
            if manifest.request != first.request {
                let (one, other) = (serde_json::to_value(&first.request)?, serde_json::to_value(&manifest.request)?);
                bail!("{a} and {b} answer different requests: {}", differences(&one, &other));
            }
            let [one, other] = [first, manifest].map(|manifest| &manifest.provenance.version);
            if one != other {
                bail!("{a} and {b} are of versions {one} and {other}");
            }
        }
        let mut found: Vec<(RunSpec, RunDir, usize)> = Vec::new();
        for (share, (manifest, dir)) in manifests.iter().zip(dirs).enumerate() {
            for (spec, run) in manifest.run_dirs(dir)? {
                if let Some((_, _, other)) = found.iter().find(|(known, ..)| known.id() == spec.id()) {
                    bail!("run {} is in {} and in {}", spec.id(), dirs[*other].display(), dir.display());
                }
                found.push((spec, run, share));
            }
        }
        let planned = &first.request.runs;
        let place = |spec: &RunSpec| planned.iter().position(|known| known == spec);
        let is_there = |spec: &&RunSpec| !found.iter().any(|(known, ..)| known == *spec);
        let missing: Vec<String> = planned.iter().filter(is_there).map(RunSpec::id).collect();
        if !missing.is_empty() {
            bail!("{} runs are missing: {}", missing.len(), missing.join(", "));
        }
        found.sort_by_key(|(spec, ..)| place(spec));
        let runs = found.iter().filter(|(spec, _, share)| !manifests[*share].has_failed(spec));
        let runs = runs.map(|(spec, run, share)| manifests[*share].record(spec, run)).collect::<Result<_>>()?;
        Ok(Self { manifests, found, runs })
    }

    /// What the shares say of themselves; the first speaks for all where they agree.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// Copies the records of all finished runs into the folder of results `target`.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn copy_into(&self, target: &Path) -> Result<()> {
        for run in &self.runs {
            let of_run = |(spec, ..): &&(RunSpec, RunDir, usize)| *spec == run.spec;
            let Some((spec, from, share)) = self.found.iter().find(of_run) else { continue };
            let hash = self.manifests[*share].data.iter().find(|data| data.is_of(spec)).map_or("", |data| &data.sha256);
            copy(spec, from, &RunDir::of(&target.join(RUNS), spec, hash), run)?;
        }
        Ok(())
    }

    /// Every data set once from each source.
    pub fn data(&self) -> Vec<DataSummary> {
        let mut all: Vec<DataSummary> = Vec::new();
        for data in self.manifests.iter().flat_map(|manifest| &manifest.data) {
            if !all.contains(data) {
                all.push(data.clone());
            }
        }
        all
    }

    /// What is kept of all of them.
    pub fn keep(&self) -> Keep {
        self.manifests.iter().map(|manifest| manifest.keep).min().unwrap_or(Keep::Summary)
    }
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
