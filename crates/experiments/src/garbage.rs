//! What no result needs goes.

use crate::keep::Keep;
use crate::manifest::{MANIFEST, Manifest};
use crate::pending::pending_in;
use crate::pipeline::at_work;
use crate::run_dir::layers_of;
use crate::stored::{FileKind, check, entries, kind_of, name_of, runs_in, size_of};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use superlinear_store::lock;

/// A temporary file that was touched so recently may be somebody's.
const YOUNG: Duration = Duration::from_secs(60);

/// What no result in a folder needs.
#[derive(Debug, Default)]
pub struct Needless {
    /// Files to go.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
    /// Runs of requests under way that are kept for them.
    pub kept_for_requests: usize,
}

/// Whether what is found goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// It is only listed.
    List,
    /// It is removed.
    Remove,
}

/// What becomes of the runs of requests that were begun and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// They are kept.
    Keep,
    /// They go, unless results need them.
    Drop,
}

/// Finds what no result in `results`, and no request under way there, needs; and removes it if `sweep` says so.
///
/// Holds the lock on work alone meanwhile, so that no process trains or analyses there. Only files that were read as
/// our own records, and leftovers that our writers named, are removed; links are not followed.
///
/// # Errors
/// When a process works there, a folder cannot be read, or a file not removed.
pub fn sweep(results: &Path, sweep: Sweep, unfinished: Unfinished) -> Result<Needless> {
    let remove = sweep == Sweep::Remove;
    let Some(_alone) = lock::try_lock(&at_work(results))? else {
        bail!("{}: a process works there; nothing was removed", results.display());
    };
    let mut pending = pending_in(results)?;
    if unfinished == Unfinished::Drop {
        if remove {
            pending.iter().try_for_each(|pending| pending.end(results))?;
        }
        pending.clear();
    }
    let for_requests: BTreeSet<PathBuf> =
        pending.iter().flat_map(|pending| pending.run_dirs(results)).map(|run| run.path()).collect();
    let used = used_by(results)?;
    let mut needless = Needless::default();
    for run in runs_in(results)? {
        let is_kept = for_requests.contains(&run);
        needless.kept_for_requests += usize::from(is_kept);
        let (files, left): (Vec<PathBuf>, Vec<PathBuf>) =
            entries(&run)?.into_iter().partition(|file| is_needless(&run, file, used.as_ref().filter(|_| !is_kept)));
        needless.bytes += files.iter().map(|file| size_of(file)).sum::<u64>();
        if remove {
            for file in &files {
                std::fs::remove_file(file).with_context(|| format!("{}: cannot remove", file.display()))?;
            }
            if left.is_empty() {
                std::fs::remove_dir(&run).with_context(|| format!("{}: cannot remove", run.display()))?;
            }
        }
        needless.files.extend(files);
    }
    Ok(needless)
}

/// The folders and the layers' records that finished results were made of; `None` when there are none, and all is
/// needed.
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
        // A file that does not read as ours is not ours to remove.
        FileKind::Record => used.filter(|_| check(run, file).is_ok()).is_some_and(|used| {
            let of_layer = name.starts_with("layer") || name.starts_with("moments");
            !used.contains(run) || (of_layer && !used.contains(file)) || name.starts_with("state.")
        }),
    }
}
