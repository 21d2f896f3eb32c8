//! What a folder of results says of itself: which request, which share of it, on which data, and which files it made of them.

use crate::failure::Failure;
use crate::identity::Key;
use crate::plan::{self, Keep, Request, RunSpec};
use crate::provenance::Provenance;
use crate::record::RunRecord;
use crate::reproduce::RUNS;
use crate::run_dir::{RunDir, layers_of};
use crate::shard::Shard;
use crate::summary::DataSummary;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file; written last, so that a folder that has it is finished.
pub(crate) const PART: &str = "part.json";

/// A share of a reproduction, or all of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Version of this layout.
    pub(crate) schema: u32,
    /// What was asked for.
    pub(crate) request: Request,
    /// Which share; all if `None`.
    pub(crate) shard: Option<Shard>,
    /// Data sets that were read.
    pub(crate) data: Vec<DataSummary>,
    /// Commit, machine, version.
    pub(crate) provenance: Provenance,
    /// SHA-256 of the program that drew the results, in hexadecimal.
    pub(crate) program: String,
    /// What is kept of the runs.
    pub(crate) keep: Keep,
    /// Every other file of the results, and its SHA-256 in hexadecimal.
    pub(crate) files: Vec<(String, String)>,
    /// Runs that failed.
    #[serde(default)]
    pub(crate) failures: Vec<Failure>,
    /// Threads used.
    pub(crate) threads: usize,
    /// Seconds of training and analysis.
    pub(crate) wall_s: f64,
    /// Seconds of all threads spent in writing records.
    #[serde(default)]
    pub(crate) saving_s: f64,
}

impl Part {
    /// The current layout.
    pub(crate) const SCHEMA: u32 = 2;

    /// What a folder of results says.
    ///
    /// # Errors
    /// When the folder is none, or of another layout.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(PART);
        if !file.is_file() {
            bail!("{}: no {PART}, expected a folder that `reproduce` has finished", dir.display());
        }
        let bytes = std::fs::read(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        Self::from_json(&bytes).with_context(|| file.display().to_string())
    }

    /// What such a file says.
    ///
    /// # Errors
    /// When it is of another layout, or says nothing.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self> {
        let layout: Layout = serde_json::from_slice(bytes)?;
        if layout.schema != Self::SCHEMA {
            bail!("layout {}, expected {}", layout.schema, Self::SCHEMA);
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The runs of this part.
    ///
    /// # Errors
    /// When the request plans no runs.
    pub(crate) fn runs(&self) -> Result<Vec<RunSpec>> {
        let specs = plan::runs(&self.request)?;
        Ok(self.shard.map_or(specs.clone(), |shard| shard.of(&specs)))
    }

    /// The runs of this part with their folders under `dir`.
    ///
    /// # Errors
    /// When the request plans no runs, or needs data that the part does not name.
    pub(crate) fn run_dirs(&self, dir: &Path) -> Result<Vec<(RunSpec, RunDir)>> {
        let specs = self.runs()?;
        let runs = dir.join(RUNS);
        let of = |spec: RunSpec| {
            let data = self.data.iter().find(|data| data.is_of(&spec));
            let data = data.with_context(|| format!("{}: no data of run {}", dir.join(PART).display(), spec.id()))?;
            let run = RunDir::of(&runs, &spec, &data.sha256);
            Ok((spec, run))
        };
        specs.into_iter().map(of).collect()
    }

    /// The records of a run, all of which have to be there.
    ///
    /// # Errors
    /// When they are not, or were not to be kept.
    pub(crate) fn record(&self, spec: &RunSpec, run: &RunDir) -> Result<RunRecord> {
        if self.keep == Keep::None {
            bail!("{}: the runs were not kept (--keep none)", run.path().display());
        }
        let training = run.training().read()?;
        let layers = layers_of(spec, &training).into_iter().map(|job| run.read_layer(spec, job));
        let layers = layers.collect::<Result<_>>()?;
        Ok(RunRecord { spec: spec.clone(), training, layers })
    }

    /// Whether a run failed.
    pub(crate) fn has_failed(&self, spec: &RunSpec) -> bool {
        self.failures.iter().any(|failure| failure.run == spec.id())
    }

    /// Whether every other file of the results in `dir` is as it was written.
    pub(crate) fn files_are_intact(&self, dir: &Path) -> bool {
        self.files
            .iter()
            .all(|(name, hash)| std::fs::read(dir.join(name)).is_ok_and(|bytes| Key::of(&bytes).hex() == *hash))
    }
}

/// The field that every layout has.
#[derive(Deserialize)]
struct Layout {
    schema: u32,
}

impl DataSummary {
    /// Whether a run draws from this data set.
    pub(crate) fn is_of(&self, spec: &RunSpec) -> bool {
        self.name == spec.dataset.to_string() && self.source == spec.source.words()
    }
}
