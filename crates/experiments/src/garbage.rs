//! What no result needs goes.

use crate::keep::Keep;
use crate::manifest::{MANIFEST, Manifest};
use crate::observer::Observer;
use crate::pipeline::lock_results;
use crate::run_dir::layers_of;
use crate::stored::{FileKind, entries, in_use, kind_of, name_of, runs_in};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A temporary file that was touched so recently may be somebody's.
const YOUNG: Duration = Duration::from_secs(60);

/// What no result in a folder needs.
#[derive(Debug, Default)]
pub struct Needless {
    /// Files to go.
    pub files: Vec<PathBuf>,
    /// Folders of runs that would be empty then.
    pub folders: Vec<PathBuf>,
    /// Folders of runs that a process works on, left alone.
    pub in_use: Vec<PathBuf>,
}

/// Finds what no result in `results` needs, and removes it if `remove`. Holds the lock of the results meanwhile.
///
/// # Errors
/// When a folder cannot be read or a file not removed, or the observer stops the wait for the lock.
pub fn sweep(results: &Path, remove: bool, observer: &dyn Observer) -> Result<Needless> {
    let _lock = lock_results(results, observer)?;
    let used = used_by(results)?;
    let mut needless = Needless::default();
    for run in runs_in(results)? {
        if in_use(&run)? {
            needless.in_use.push(run);
            continue;
        }
        let (files, left): (Vec<PathBuf>, Vec<PathBuf>) =
            entries(&run)?.into_iter().partition(|file| is_needless(&run, file, used.as_ref()));
        if remove {
            for file in &files {
                std::fs::remove_file(file).with_context(|| format!("{}: cannot remove", file.display()))?;
            }
        }
        needless.files.extend(files);
        if left.is_empty() {
            if remove {
                std::fs::remove_dir(&run).with_context(|| format!("{}: cannot remove", run.display()))?;
            }
            needless.folders.push(run);
        }
    }
    Ok(needless)
}

/// The folders and the layers' records that finished results were made of; `None` when there are none, and all is needed.
fn used_by(results: &Path) -> Result<Option<BTreeSet<PathBuf>>> {
    if !results.join(MANIFEST).is_file() {
        return Ok(None);
    }
    let manifest = Manifest::read(results)?;
    let mut used = BTreeSet::new();
    for (spec, run) in manifest.run_dirs(results)? {
        used.insert(run.path());
        if manifest.keep == Keep::None {
            continue;
        }
        // Unreadable: then all of that run is left to be looked at.
        let Ok(training) = run.training().read() else { return Ok(None) };
        for job in layers_of(&spec, &training) {
            used.insert(run.layer(&spec, job).path().to_owned());
            used.insert(run.moments(&spec, job).path().to_owned());
        }
    }
    Ok(Some(used))
}

fn is_needless(run: &Path, file: &Path, used: Option<&BTreeSet<PathBuf>>) -> bool {
    let name = name_of(file);
    match kind_of(file) {
        FileKind::SetAside => true,
        FileKind::Unfinished => {
            let age = std::fs::metadata(file).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            // A clock that went backwards gives no age: leave it.
            age.is_ok_and(|age| age.is_ok_and(|age| age > YOUNG))
        }
        FileKind::Foreign => false,
        FileKind::Record => used.is_some_and(|used| {
            let of_layer = name.starts_with("layer") || name.starts_with("moments");
            !used.contains(run) || (of_layer && !used.contains(file)) || name.starts_with("state.")
        }),
    }
}
