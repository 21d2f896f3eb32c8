//! Finished runs of a folder of results, each with who trained and who analysed it, whether or not all runs that were
//! asked for are finished.

use crate::finished_run::folders_in;
use crate::manifest::{MANIFEST, Manifest, RUNS};
use crate::provenance::Provenance;
use crate::record::{AboutRecord, LayerRecord, RunRecord};
use crate::run_dir::{Kept, LayerJob, RECORD, RunDir, layers_of};
use crate::spec::RunSpec;
use crate::stored::{name_of, results_under, runs_in};
use anyhow::{Context, Result};
use std::path::Path;
use superlinear_store::record;

/// A finished run with its origin.
#[derive(Clone, Debug)]
pub struct AccountedRun {
    /// Its records.
    pub record: RunRecord,
    /// SHA-256 of its data set, in hexadecimal.
    pub data: String,
    /// Who trained it.
    pub trained_by: Provenance,
    /// Who analysed its trained layer.
    pub analysed_by: Provenance,
}

/// The runs found in a folder.
#[derive(Clone, Debug, Default)]
pub struct Accounted {
    /// Those that are finished, by name.
    pub runs: Vec<AccountedRun>,
    /// Those that are not, each with the reason.
    pub unfinished: Vec<String>,
}

/// Every run under `out`: a folder of results, or one that holds several.
///
/// Settings are those of the manifest, where there is one; what a request has not finished yet is found by its
/// `run.rec`.
///
/// # Errors
/// When there are none, or a folder or a manifest cannot be read.
pub fn accounted(out: &Path) -> Result<Accounted> {
    let mut found = Accounted::default();
    let mut folders = vec![out.to_owned()];
    if !out.join(RUNS).is_dir() {
        folders = folders_in(out)?;
    }
    folders.retain(|folder| folder.join(RUNS).is_dir());
    if folders.is_empty() {
        // Says what is missing.
        results_under(out)?;
    }
    for results in folders {
        let manifest = if results.join(MANIFEST).is_file() { Some(Manifest::read(&results)?) } else { None };
        for folder in runs_in(&results)? {
            match run_in(&results, &folder, manifest.as_ref()) {
                Ok(run) => found.runs.push(run),
                Err(why) => found.unfinished.push(format!("{}: {why:#}", name_of(&folder))),
            }
        }
    }
    found.runs.sort_by_key(|run| run.record.spec.id());
    Ok(found)
}

/// The run in `folder`, which has to be finished.
fn run_in(results: &Path, folder: &Path, manifest: Option<&Manifest>) -> Result<AccountedRun> {
    let (spec, data) = settings(results, folder, manifest)?;
    let dir = RunDir::of(&results.join(RUNS), &spec, &data);
    let training = dir.training().read_kept().context("training is not over")?;
    let jobs = layers_of(&spec, &training.value);
    let analysed_by = match jobs.iter().rfind(|job| job.is_last) {
        Some(&job) => kept_layer(&dir, &spec, job)?.by,
        None => training.by.clone(),
    };
    let layers = jobs.into_iter().map(|job| dir.read_layer(&spec, job)).collect::<Result<_>>()?;
    let record = RunRecord { spec, training: training.value, layers };
    Ok(AccountedRun { record, data, trained_by: training.by, analysed_by })
}

fn kept_layer(dir: &RunDir, spec: &RunSpec, job: LayerJob) -> Result<Kept<LayerRecord>> {
    let stage = dir.layer(spec, job);
    if !stage.path().is_file() {
        // Says whether an earlier version left one.
        dir.read_layer(spec, job)?;
    }
    stage.read_kept()
}

/// The settings and data of the run in `folder`: the manifest's, else those that the folder was made with.
fn settings(results: &Path, folder: &Path, manifest: Option<&Manifest>) -> Result<(RunSpec, String)> {
    if let Some(manifest) = manifest {
        let dirs = manifest.run_dirs(results)?;
        let (spec, _) = dirs
            .into_iter()
            .find(|(_, dir)| dir.path() == folder)
            .with_context(|| format!("none of the runs that {MANIFEST} names"))?;
        let data = manifest.data.iter().find(|data| data.is_of(&spec)).context("no data")?.sha256.clone();
        return Ok((spec, data));
    }
    let about: Kept<AboutRecord> = record::read(&folder.join(format!("run.{RECORD}")))?;
    let spec = about.value.spec().context("settings of another version")?;
    let dir = RunDir::of(&results.join(RUNS), &spec, &about.value.data);
    anyhow::ensure!(dir.path() == folder, "trained by another version, whose networks are others");
    Ok((spec, about.value.data))
}
