//! What other programs and people hand to this crate, as functions of bytes: for the fuzz targets.
//!
//! Each reads as the commands do, up to where their work would begin.

use crate::manifest::Manifest;
use crate::plan::{Choice, Plan};
use crate::record::{AboutRecord, Checkpoint, LayerRecord, MomentsRecord, StateRecord, TrainingRecord};
use crate::run_dir::Kept;
use anyhow::Result;
use superlinear_store::json;
use superlinear_store::record::{self, Record};

/// Kind and version of every record that a run's folder may hold.
pub const RUN_RECORDS: [(&str, u32); 6] = [
    (AboutRecord::KIND, AboutRecord::VERSION),
    (TrainingRecord::KIND, TrainingRecord::VERSION),
    (StateRecord::KIND, StateRecord::VERSION),
    (Checkpoint::KIND, Checkpoint::VERSION),
    (LayerRecord::KIND, LayerRecord::VERSION),
    (MomentsRecord::KIND, MomentsRecord::VERSION),
];

/// A run's record, whichever it is, written again; `None` if it is none.
pub fn run_record(bytes: &[u8]) -> Option<Vec<u8>> {
    fn again<T: Record>(bytes: &[u8]) -> Option<Vec<u8>> {
        record::from_bytes::<Kept<T>>(bytes).ok().and_then(|kept| record::to_bytes(&kept).ok())
    }
    again::<AboutRecord>(bytes)
        .or_else(|| again::<TrainingRecord>(bytes))
        .or_else(|| again::<StateRecord>(bytes))
        .or_else(|| again::<Checkpoint>(bytes))
        .or_else(|| again::<LayerRecord>(bytes))
        .or_else(|| again::<MomentsRecord>(bytes))
}

/// A manifest, written again.
///
/// # Errors
/// When it is none, or names runs that cannot be.
pub fn manifest(json: &[u8]) -> Result<Vec<u8>> {
    let manifest = Manifest::from_json(json)?;
    manifest.runs();
    Ok(json::bytes(&manifest)?)
}

/// A plan: the names of its runs.
///
/// # Errors
/// When it is none.
pub fn plan(text: &str) -> Result<Vec<String>> {
    let runs = Plan::parse("plan.toml", text, None)?.all_runs(&Choice::default())?;
    runs.iter().try_for_each(|run| run.check())?;
    Ok(runs.iter().map(|run| run.id()).collect())
}
