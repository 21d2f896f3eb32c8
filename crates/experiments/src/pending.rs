//! Requests under way: what is stored for them is needed, although no results say so yet.

use crate::identity::Key;
use crate::images::DataSummary;
use crate::manifest::{RUNS, Request};
use crate::run_dir::RunDir;
use crate::stored::entries;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use superlinear_store::json;

/// Folder of the requests under way, among the runs' folders.
const REQUESTS: &str = ".requests";

/// A request that has begun and not been answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// What is asked for.
    pub request: Request,
    /// Data sets of its runs.
    pub data: Vec<DataSummary>,
}

impl Pending {
    fn path(&self, results: &Path) -> Result<PathBuf> {
        let key = Key::of(&json::bytes(self)?).short();
        Ok(results.join(RUNS).join(REQUESTS).join(format!("{key}.json")))
    }

    /// Says in a folder of results that it is under way.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn begin(&self, results: &Path) -> Result<()> {
        Ok(json::write(&self.path(results)?, self)?)
    }

    /// Says that it has been answered.
    ///
    /// # Errors
    /// When the note of it cannot be removed.
    pub fn end(&self, results: &Path) -> Result<()> {
        match std::fs::remove_file(self.path(results)?) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause.into()),
            _ => Ok(()),
        }
    }

    /// The folders of its runs, also those of other shares.
    pub fn run_dirs(&self, results: &Path) -> Vec<RunDir> {
        let dir = |spec| {
            let data = self.data.iter().find(|data| data.is_of(spec))?;
            Some(RunDir::of(&results.join(RUNS), spec, &data.sha256))
        };
        self.request.runs.iter().filter_map(dir).collect()
    }
}

/// Every request under way in a folder of results; notes that cannot be read count as none.
///
/// # Errors
/// When the folder of the notes cannot be listed.
pub fn pending_in(results: &Path) -> Result<Vec<Pending>> {
    let notes = entries(&results.join(RUNS).join(REQUESTS))?;
    let read = |path: &PathBuf| serde_json::from_slice::<Pending>(&superlinear_store::whole::read(path).ok()?).ok();
    let is_sound = |pending: &Pending| pending.request.runs.iter().all(|run| run.check().is_ok());
    Ok(notes.iter().filter_map(read).filter(is_sound).collect())
}
