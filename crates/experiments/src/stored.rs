//! What is stored of runs: which there are, how far they are, and whether their records are intact.

use crate::finished_run::folders_in;
use crate::identity::Key;
use crate::manifest::{RUNS, SHARDS};
use crate::provenance::Provenance;
use crate::record::{AboutRecord, Checkpoint, LayerRecord, MomentsRecord, StateRecord, TrainingRecord};
use crate::run_dir::{Kept, LOCKS, RECORD, RunDir, layers_of};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use superlinear_store::atomic::{SET_ASIDE, UNFINISHED_SUFFIX};
use superlinear_store::lock;
use superlinear_store::record::{self, Record};

/// Folders that hold runs: `out`, a plan's in it, and the shares of these.
///
/// # Errors
/// When there are none, or a folder cannot be read.
pub fn results_under(out: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![out.to_owned()];
    folders.extend(folders_in(out)?);
    for folder in folders.clone() {
        folders.extend(folders_in(&folder.join(SHARDS))?);
    }
    folders.retain(|folder| folder.join(RUNS).is_dir());
    if folders.is_empty() {
        bail!("{}: no runs; `cargo xtask reproduce` makes some", out.display());
    }
    Ok(folders)
}

/// What is in a folder, by name; nothing if there is no such folder.
///
/// # Errors
/// When it cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let cannot = || format!("{}: cannot read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    paths.sort();
    Ok(paths)
}

/// The runs' folders in a folder of results.
///
/// # Errors
/// When it cannot be read.
pub fn runs_in(results: &Path) -> Result<Vec<PathBuf>> {
    let mut runs = entries(&results.join(RUNS))?;
    // Links are not followed: what they lead to is not ours.
    let is_folder = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    runs.retain(|path| is_folder(path) && !name_of(path).starts_with('.'));
    Ok(runs)
}

/// The last part of a path.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a process works on the run in this folder.
///
/// # Errors
/// When the locks cannot be listed.
pub fn in_use(run: &Path) -> Result<bool> {
    let Some(runs) = run.parent() else { return Ok(false) };
    let prefix = format!("{}-", name_of(run));
    Ok(entries(&runs.join(LOCKS))?.iter().any(|path| name_of(path).starts_with(&prefix) && lock::is_held(path)))
}

/// Bytes of a file; 0 where it is gone.
pub fn size_of(path: &Path) -> u64 {
    // A file may go while it is looked at.
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// A file of a run's folder, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A record, by its ending.
    Record,
    /// Set aside as damaged or foreign.
    SetAside,
    /// Left by a writer that was killed, or under way.
    Unfinished,
    /// None of ours.
    Foreign,
}

/// Which it is.
pub fn kind_of(path: &Path) -> FileKind {
    let name = name_of(path);
    if !std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        FileKind::Foreign
    } else if name.contains(SET_ASIDE) {
        FileKind::SetAside
    } else if name.starts_with('.') && name.ends_with(UNFINISHED_SUFFIX) {
        FileKind::Unfinished
    } else if path.extension().is_some_and(|extension| extension == RECORD) {
        FileKind::Record
    } else {
        FileKind::Foreign
    }
}

/// How far a run's training and analysis are, in words.
pub fn progress(results: &Path, run: &Path) -> (String, String) {
    let unknown = || ("damaged".to_owned(), "-".to_owned());
    let Ok(about) = record::read::<Kept<AboutRecord>>(&run.join(format!("run.{RECORD}"))) else { return unknown() };
    let Some(spec) = about.value.spec() else { return ("of another version".to_owned(), "-".to_owned()) };
    let dir = RunDir::of(&results.join(RUNS), &spec, &about.value.data);
    if dir.path() != run {
        return ("of another version".to_owned(), "-".to_owned());
    }
    if !dir.training().path().exists() {
        let epoch = dir.state().read().map_or(0, |state| state.history.len());
        return (format!("epoch {epoch} of {}", spec.epochs), "-".to_owned());
    }
    let Ok(training) = dir.training().read() else { return unknown() };
    let jobs = layers_of(&spec, &training);
    let done = jobs.iter().filter(|&&job| dir.layer(&spec, job).path().exists()).count();
    (format!("{} epochs", training.history.len()), format!("{done} of {}", jobs.len()))
}

/// The kind of a record and who made it, or what is wrong with the file.
///
/// # Errors
/// In words, without the file's name.
pub fn check(run: &Path, file: &Path) -> std::result::Result<(String, Provenance), String> {
    match kind_of(file) {
        FileKind::Record => {}
        FileKind::SetAside => return Err("set aside".to_owned()),
        FileKind::Unfinished => return Err("left unfinished".to_owned()),
        FileKind::Foreign => return Err("no record".to_owned()),
    }
    // The error names the file, and so does whoever asks.
    let without_name = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        text.strip_prefix(&format!("{}: ", file.display())).unwrap_or(&text).to_owned()
    };
    let about = record::describe(file).map_err(|error| without_name(&error))?;
    let folder = name_of(run);
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    fn read<T: Record>(file: &Path) -> std::result::Result<(Key, Provenance), record::RecordError> {
        record::read::<Kept<T>>(file).map(|kept| (kept.key(), kept.by))
    }
    let (found, belongs_to) = match about.kind.as_str() {
        AboutRecord::KIND => (read::<AboutRecord>(file), &folder),
        TrainingRecord::KIND => (read::<TrainingRecord>(file), &folder),
        StateRecord::KIND => (read::<StateRecord>(file), &folder),
        Checkpoint::KIND => (read::<Checkpoint>(file), &folder),
        LayerRecord::KIND => (read::<LayerRecord>(file), &stem),
        MomentsRecord::KIND => (read::<MomentsRecord>(file), &stem),
        other => return Err(format!("a record of kind {other:?}, which no run has")),
    };
    let (key, by) = found.map_err(|error| without_name(&error))?;
    if !belongs_to.ends_with(&key.short()) {
        return Err("belongs to another run, or to other settings".to_owned());
    }
    Ok((format!("{} {}", about.kind, about.version), by))
}
