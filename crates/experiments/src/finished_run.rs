//! One run of finished results, by its id, with what it was trained on.

use crate::identity::Key;
use crate::part::{PART, Part};
use crate::plan::{Profile, RunSpec};
use crate::record::{Checkpoint, LayerRecord, TrainingRecord};
use crate::reproduce::load_dataset;
use crate::run_dir::{RunDir, layers_of};
use anyhow::{Result, bail};
use clap::ValueEnum;
use std::path::Path;
use superlinear_datasets::Dataset;

/// A run that is there, not yet read.
pub(crate) struct FoundRun {
    spec: RunSpec,
    run: RunDir,
    part: Part,
}

/// A trained network with its images.
pub(crate) struct FinishedRun {
    /// What determines it.
    pub(crate) spec: RunSpec,
    /// Which images, and how training went.
    pub(crate) training: TrainingRecord,
    /// The weights after the last epoch.
    pub(crate) trained: Checkpoint,
    /// The images.
    pub(crate) data: Dataset,
    run: RunDir,
}

impl FinishedRun {
    /// The analysed layers of the trained network, first to last, as far as their records are there and intact.
    pub(crate) fn trained_layers(&self) -> Vec<LayerRecord> {
        let jobs = layers_of(&self.spec, &self.training).into_iter().filter(|job| job.is_last);
        jobs.filter_map(|job| self.run.layer(&self.spec, job).read().ok()).collect()
    }
}

impl FoundRun {
    /// A run of the results in `out`, or in `out/<profile>` of the one profile that has it.
    ///
    /// # Errors
    /// When no results there have it, naming those that they have, or several do.
    pub(crate) fn find(out: &Path, id: &str) -> Result<Self> {
        let mut folders = vec![out.to_owned()];
        folders.extend(Profile::value_variants().iter().map(|profile| out.join(profile.to_string())));
        let (mut found, mut known) = (Vec::new(), Vec::new());
        for folder in folders.into_iter().filter(|folder| folder.join(PART).is_file()) {
            let part = Part::read(&folder)?;
            for (spec, run) in part.run_dirs(&folder)? {
                known.push(spec.id());
                if spec.id() == id {
                    found.push((spec, run, part.clone(), folder.clone()));
                }
            }
        }
        if found.len() > 1 {
            let places: Vec<String> = found.iter().map(|(.., folder)| folder.display().to_string()).collect();
            bail!("run {id:?} is there more than once; choose by --out: {}", places.join(", "));
        }
        if let Some((spec, run, part, _)) = found.pop() {
            return Ok(Self { spec, run, part });
        }
        known.sort();
        known.dedup();
        let known =
            if known.is_empty() { "none; run `cargo xtask reproduce` first".to_owned() } else { known.join(", ") };
        bail!("no run {id:?} under {}; known: {known}", out.display())
    }

    /// What is determined.
    pub(crate) fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// Its network and images.
    ///
    /// # Errors
    /// When a record is damaged, the data are missing, or are others than it was trained on.
    pub(crate) fn load(self, data_dir: Option<&Path>) -> Result<FinishedRun> {
        let Self { spec, run, part } = self;
        if !run.path().is_dir() {
            bail!(
                "{}: not there, expected the records of run {}; they were removed, or made by a version that trains other networks: \
                 `cargo xtask reproduce` makes them again",
                run.path().display(),
                spec.id(),
            );
        }
        let training = run.training().read()?;
        let trained = run.checkpoint(training.history.len()).read()?;
        let data = load_dataset(spec.dataset, spec.source, data_dir)?;
        let hash = Key::of_dataset(&data).hex();
        if !part.data.iter().any(|known| known.is_of(&spec) && known.sha256 == hash) {
            bail!("{}: run {} was made of other images than those here", run.path().display(), spec.id());
        }
        Ok(FinishedRun { spec, training, trained, data, run })
    }
}
