//! What a folder of results says of itself: which request, which share of it, on which data.

use crate::plan::Request;
use crate::provenance::Provenance;
use crate::shard::Shard;
use crate::summary::DataSummary;
use serde::{Deserialize, Serialize};

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
