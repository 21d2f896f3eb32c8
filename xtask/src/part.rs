//! What a folder of results says of itself: which request, which share of it, on which data.

use crate::plan::Request;
use crate::provenance::Provenance;
use crate::record::RunRecord;
use crate::reproduce::RUNS;
use crate::shard::Shard;
use crate::summary::DataSummary;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use superlinear_store::{json, record};

/// Name of the file.
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
    /// Threads used.
    pub(crate) threads: usize,
    /// Seconds of training and analysis.
    pub(crate) wall_s: f64,
}

impl Part {
    /// The current layout.
    pub(crate) const SCHEMA: u32 = 1;
}

/// A folder of results with all the runs in it.
///
/// # Errors
/// When the folder is none, or a record cannot be read.
pub(crate) fn read(dir: &Path) -> Result<(Part, Vec<RunRecord>)> {
    let file = dir.join(PART);
    if !file.is_file() {
        bail!("{}: no {PART}, expected a folder that `reproduce` has finished", dir.display());
    }
    let part: Part = json::read(&file)?;
    if part.schema != Part::SCHEMA {
        bail!("{}: layout {}, expected {}", file.display(), part.schema, Part::SCHEMA);
    }
    let runs = dir.join(RUNS);
    let mut files = Vec::new();
    if runs.is_dir() {
        for entry in std::fs::read_dir(&runs).with_context(|| format!("{}: cannot read", runs.display()))? {
            let path = entry.with_context(|| format!("{}: cannot read", runs.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "run") {
                files.push(path);
            }
        }
    }
    files.sort();
    let runs = files.iter().map(|file| Ok(record::read(file)?)).collect::<Result<_>>()?;
    Ok((part, runs))
}
