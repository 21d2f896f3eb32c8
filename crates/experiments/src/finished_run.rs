//! One run of finished results, by its id, with what it was trained on.

use crate::identity::Key;
use crate::images::load_dataset;
use crate::manifest::{MANIFEST, Manifest};
use crate::record::{Checkpoint, LayerRecord, TrainingRecord};
use crate::run_dir::{RunDir, layers_of};
use crate::spec::RunSpec;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use superlinear_datasets::Dataset;

/// A run that is there, not yet read.
#[derive(Debug)]
pub struct FoundRun {
    spec: RunSpec,
    run: RunDir,
    manifest: Manifest,
}

/// A trained network with its images.
#[derive(Debug)]
pub struct FinishedRun {
    /// What determines it.
    pub spec: RunSpec,
    /// Which images, and how training went.
    pub training: TrainingRecord,
    /// The weights after the last epoch.
    pub trained: Checkpoint,
    /// The images.
    pub data: Dataset,
    run: RunDir,
}

impl FinishedRun {
    /// The analysed layers of the trained network, first to last, as far as their records are there and intact.
    pub fn trained_layers(&self) -> Vec<LayerRecord> {
        let jobs = layers_of(&self.spec, &self.training).into_iter().filter(|job| job.is_last);
        jobs.filter_map(|job| self.run.layer(&self.spec, job).read().ok()).collect()
    }
}

impl FoundRun {
    /// A run of the results in `out`, or in `out/<plan>` of the one plan that has it.
    ///
    /// # Errors
    /// When no results there have it, naming those that they have, or several do.
    pub fn find(out: &Path, id: &str) -> Result<Self> {
        let mut folders = vec![out.to_owned()];
        folders.extend(folders_in(out)?);
        let (mut found, mut known) = (Vec::new(), Vec::new());
        for folder in folders.into_iter().filter(|folder| folder.join(MANIFEST).is_file()) {
            let manifest = Manifest::read(&folder)?;
            for (spec, run) in manifest.run_dirs(&folder)? {
                known.push(spec.id());
                if spec.id() == id {
                    found.push((spec, run, manifest.clone(), folder.clone()));
                }
            }
        }
        if found.len() > 1 {
            let places: Vec<String> = found.iter().map(|(.., folder)| folder.display().to_string()).collect();
            bail!("run {id:?} is there more than once; choose by --out: {}", places.join(", "));
        }
        if let Some((spec, run, manifest, _)) = found.pop() {
            return Ok(Self { spec, run, manifest });
        }
        known.sort();
        known.dedup();
        let known =
            if known.is_empty() { "none; run `cargo xtask reproduce` first".to_owned() } else { known.join(", ") };
        bail!("no run {id:?} under {}; known: {known}", out.display())
    }

    /// What is determined.
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// Its network and images.
    ///
    /// # Errors
    /// When a record is damaged, the data are missing, or are others than it was trained on.
    pub fn load(self, data_dir: Option<&Path>) -> Result<FinishedRun> {
        let Self { spec, run, manifest } = self;
        if !run.path().is_dir() {
            bail!(
                "{}: not there, expected the records of run {}; they were removed, or made by a version that trains \
                 other \
                 networks: `cargo xtask reproduce` makes them again",
                run.path().display(),
                spec.id(),
            );
        }
        let training = run.training().read()?;
        let trained = run.checkpoint(training.history.len()).read()?;
        let data = load_dataset(spec.dataset, spec.source, data_dir)?;
        let hash = Key::of_dataset(&data).hex();
        if !manifest.data.iter().any(|known| known.is_of(&spec) && known.sha256 == hash) {
            bail!("{}: run {} was made of other images than those here", run.path().display(), spec.id());
        }
        if let Some(&index) = training.indices.iter().find(|&&index| index >= data.train.len()) {
            let (record, n) = (run.training().path().display().to_string(), data.train.len());
            bail!("{record}: inconsistent: training image {index} of a data set of {n}");
        }
        let (found, expected) = (trained.weights.len(), spec.architecture().n_params());
        if found != expected {
            let record = run.checkpoint(trained.epoch).path().display().to_string();
            bail!("{record}: inconsistent: {found} weights, expected {expected}");
        }
        Ok(FinishedRun { spec, training, trained, data, run })
    }
}

/// The folders in a folder, by name; none where there is no such folder.
///
/// # Errors
/// When it cannot be listed.
pub fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let cannot = || format!("{}: cannot read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    Ok(paths)
}
