//! What a folder of results says of itself: which runs it answers, on which data, and which files it made of them.

use crate::failure::Failure;
use crate::identity::Key;
use crate::images::DataSummary;
use crate::keep::Keep;
use crate::plan::MAX_SEEDS;
use crate::provenance::Provenance;
use crate::record::RunRecord;
use crate::run_dir::{RunDir, layers_of};
use crate::shard::Shard;
use crate::spec::RunSpec;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name of the file; written last, so that a folder that has it is finished.
pub const MANIFEST: &str = "results.json";
/// What it was called in version 0.1.0.
pub const EARLIER_MANIFEST: &str = "part.json";
/// Folder of the runs in a folder of results.
pub const RUNS: &str = "runs";
/// Folder of the shares in a folder of results.
pub const SHARDS: &str = "shards";

/// What is asked for: runs, and what is drawn of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The plan's name.
    pub plan: String,
    /// Every run, also those of other shares.
    pub runs: Vec<RunSpec>,
    /// Outputs to draw, by id.
    pub outputs: Vec<String>,
    /// Runs that outputs about single runs show, by id.
    pub featured: Vec<String>,
    /// Runs that one output shows besides, by its id.
    pub also: BTreeMap<String, Vec<String>>,
}

impl Request {
    /// Whether an output about single runs shows this one.
    pub fn features(&self, output: &str, run: &RunSpec) -> bool {
        let id = run.id();
        self.featured.contains(&id) || self.also.get(output).is_some_and(|ids| ids.contains(&id))
    }
}

/// A share of a reproduction, or all of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub schema: u32,
    /// What was asked for.
    pub request: Request,
    /// The command that asks for it.
    pub command: String,
    /// Which share; all if `None`.
    pub shard: Option<Shard>,
    /// Data sets that were read.
    pub data: Vec<DataSummary>,
    /// Commit, machine, version.
    pub provenance: Provenance,
    /// SHA-256 of the program that drew the results, in hexadecimal.
    pub program: String,
    /// What is kept of the runs.
    pub keep: Keep,
    /// Every other file of the results, and its SHA-256 in hexadecimal.
    pub files: Vec<(String, String)>,
    /// Runs that failed.
    pub failures: Vec<Failure>,
    /// Threads used.
    pub threads: usize,
    /// Seconds of training and analysis.
    pub wall_s: f64,
    /// Seconds of all threads spent in writing records.
    pub saving_s: f64,
}

impl Manifest {
    /// The current layout.
    pub const SCHEMA: u32 = 3;

    /// What a folder of results says.
    ///
    /// # Errors
    /// When the folder is none, or of another layout.
    pub fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(MANIFEST);
        if !file.is_file() {
            if dir.join(EARLIER_MANIFEST).is_file() {
                bail!(
                    "{}: results of an earlier version ({EARLIER_MANIFEST}), expected {MANIFEST}; `cargo xtask \
                     reproduce` makes \
                     them again of the networks there",
                    dir.display()
                );
            }
            bail!("{}: no {MANIFEST}, expected a folder that `reproduce` has finished", dir.display());
        }
        let bytes =
            superlinear_store::whole::read(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        Self::from_json(&bytes).with_context(|| file.display().to_string())
    }

    /// What such a file says.
    ///
    /// # Errors
    /// When it is of another layout, says nothing, or names a run twice or one that cannot be.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let layout: Layout = serde_json::from_slice(bytes)?;
        if layout.schema != Self::SCHEMA {
            bail!("layout {}, expected {}", layout.schema, Self::SCHEMA);
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        let mut ids = BTreeSet::new();
        for run in &manifest.request.runs {
            run.check().with_context(|| format!("run {}", ids.len() + 1))?;
            if !ids.insert(run.id()) {
                bail!("run {} is there twice", run.id());
            }
        }
        if ids.len() > MAX_SEEDS * MAX_SEEDS {
            bail!("{} runs", ids.len());
        }
        Ok(manifest)
    }

    /// The runs of this share.
    pub fn runs(&self) -> Vec<RunSpec> {
        self.shard.map_or_else(|| self.request.runs.clone(), |shard| shard.of(&self.request.runs))
    }

    /// The runs of this share with their folders under `dir`.
    ///
    /// # Errors
    /// When the manifest does not name the data of one.
    pub fn run_dirs(&self, dir: &Path) -> Result<Vec<(RunSpec, RunDir)>> {
        let runs = dir.join(RUNS);
        let of = |spec: RunSpec| {
            let data = self.data.iter().find(|data| data.is_of(&spec));
            let data =
                data.with_context(|| format!("{}: no data of run {}", dir.join(MANIFEST).display(), spec.id()))?;
            let run = RunDir::of(&runs, &spec, &data.sha256);
            Ok((spec, run))
        };
        self.runs().into_iter().map(of).collect()
    }

    /// The records of a run, all of which have to be there.
    ///
    /// # Errors
    /// When they are not, or were not to be kept.
    pub fn record(&self, spec: &RunSpec, run: &RunDir) -> Result<RunRecord> {
        if self.keep == Keep::None {
            bail!("{}: the runs were not kept (--keep none)", run.path().display());
        }
        // Nothing is computed from it, but results are intact only where all their records are.
        run.about().read()?;
        let training = run.training().read()?;
        let layers = layers_of(spec, &training).into_iter().map(|job| run.read_layer(spec, job));
        let layers = layers.collect::<Result<_>>()?;
        Ok(RunRecord { spec: spec.clone(), training, layers })
    }

    /// Whether a run failed.
    pub fn has_failed(&self, spec: &RunSpec) -> bool {
        self.failures.iter().any(|failure| failure.run == spec.id())
    }

    /// Whether every other file of the results in `dir` is as it was written.
    pub fn files_are_intact(&self, dir: &Path) -> bool {
        self.files.iter().all(|(name, hash)| {
            superlinear_store::whole::read(&dir.join(name)).is_ok_and(|bytes| Key::of(&bytes).hex() == *hash)
        })
    }
}

/// The field that every layout has.
#[derive(Deserialize)]
struct Layout {
    schema: u32,
}
