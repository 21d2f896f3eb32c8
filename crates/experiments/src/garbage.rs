//! `cargo xtask runs gc`: what no result needs goes.

use super::{FileKind, entries, in_use, kind_of, name_of, runs_in, size_of};
use crate::estimate::human_bytes;
use crate::part::{PART, Part};
use crate::plan::Keep;
use crate::progress::Voice;
use crate::reproduce::lock_results;
use crate::run_dir::layers_of;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A temporary file that was touched so recently may be somebody's.
const YOUNG: Duration = Duration::from_secs(60);

/// Removes, or lists, what no result needs. Runs that a process works on are left alone.
///
/// # Errors
/// When a folder cannot be read or a file not removed.
pub(super) fn run(folders: &[PathBuf], dry_run: bool) -> Result<()> {
    let (mut n_files, mut bytes) = (0, 0);
    let mut out = std::io::stdout().lock();
    for results in folders {
        let _lock = lock_results(results, Voice::Normal)?;
        let used = used_by(results)?;
        for run in runs_in(results)? {
            if in_use(&run)? {
                writeln!(out, "{}: in use, left alone", run.display())?;
                continue;
            }
            let mut left = 0;
            for file in entries(&run)? {
                if !is_needless(&run, &file, used.as_ref()) {
                    left += 1;
                    continue;
                }
                n_files += 1;
                bytes += size_of(&file);
                writeln!(out, "{}", file.display())?;
                if !dry_run {
                    std::fs::remove_file(&file).with_context(|| format!("{}: cannot remove", file.display()))?;
                }
            }
            if left == 0 && !dry_run {
                std::fs::remove_dir(&run).with_context(|| format!("{}: cannot remove", run.display()))?;
            }
        }
    }
    let did = if dry_run { "would go" } else { "removed" };
    writeln!(out, "{n_files} files, {}: {did}", human_bytes(bytes as f64))?;
    Ok(())
}

/// The folders and the layers' records that finished results were made of; `None` when there are none, and all is needed.
fn used_by(results: &Path) -> Result<Option<BTreeSet<PathBuf>>> {
    if !results.join(PART).is_file() {
        return Ok(None);
    }
    let part = Part::read(results)?;
    let mut used = BTreeSet::new();
    for (spec, run) in part.run_dirs(results)? {
        used.insert(run.path());
        if part.keep == Keep::None {
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
