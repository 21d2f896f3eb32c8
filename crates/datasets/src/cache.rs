//! Where the full data sets are kept on this machine, and what is there.
//!
//! A cache is a folder of `<dataset>/<file>`, the original files uncompressed.

use crate::DatasetName;
use crate::catalog::{self, Entry, FileSpec};
use crate::plain_file;
use crate::verified::{ContentError, PutError, check};
use etcetera::BaseStrategy;
use std::io;
use std::path::{Path, PathBuf};

/// The environment variable that names the cache.
pub const DATA_DIR_VARIABLE: &str = "SUPERLINEAR_DATA_DIR";

/// What is known of one original file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The data set it belongs to.
    pub dataset: DatasetName,
    /// What the original is.
    pub spec: FileSpec,
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What is there.
    pub state: FileState,
}

/// What is in the place of an original file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Nothing.
    Missing,
    /// A file of the right length; [`list`] does not look at its content.
    Present,
    /// The original, by its SHA-256.
    Verified,
    /// A file of another length.
    WrongSize {
        /// Its length.
        found: u64,
    },
    /// A file of the right length with other content.
    WrongHash {
        /// Its SHA-256.
        found: String,
    },
    /// Something that cannot be read.
    Unreadable {
        /// What the system says.
        reason: String,
    },
}

/// No folder for the cache: the machine names no home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("data folder: found no home folder, expected one, or `--data-dir`, or {DATA_DIR_VARIABLE} to be set")]
pub struct NoDataDir;

/// The cache: `argument` if given, else `SUPERLINEAR_DATA_DIR` if set, else `superlinear` in the platform's cache
/// folder.
///
/// # Errors
/// [`NoDataDir`] when neither is given and the machine names no home.
pub fn directory(argument: Option<&Path>) -> Result<PathBuf, NoDataDir> {
    choose(argument, std::env::var_os(DATA_DIR_VARIABLE).map(PathBuf::from), || {
        etcetera::base_strategy::choose_native_strategy().ok().map(|native| native.cache_dir())
    })
}

/// The place of an original file in the cache `dir`.
pub fn file_path(dir: &Path, dataset: DatasetName, file: &str) -> PathBuf {
    dir.join(dataset.as_str()).join(file)
}

/// What is in the cache, by name and length: quick. One report for each original file.
pub fn list(dir: &Path) -> Vec<FileReport> {
    list_entries(&catalog::entries(), dir)
}

/// What is in the cache, by content: reads every file. One report for each original file.
pub fn verify(dir: &Path) -> Vec<FileReport> {
    verify_entries(&catalog::entries(), dir)
}

/// [`list`] for given entries.
pub(crate) fn list_entries(entries: &[Entry], dir: &Path) -> Vec<FileReport> {
    reports(entries, dir, |path, spec| match std::fs::metadata(path) {
        Err(e) => absent(&e),
        Ok(found) if found.is_file() && found.len() == spec.bytes => FileState::Present,
        Ok(found) if found.is_file() => FileState::WrongSize { found: found.len() },
        Ok(_) => FileState::Unreadable { reason: "not a file".to_owned() },
    })
}

/// [`verify`] for given entries.
pub(crate) fn verify_entries(entries: &[Entry], dir: &Path) -> Vec<FileReport> {
    reports(entries, dir, |path, spec| match plain_file::open(path) {
        Err(e) => absent(&e),
        Ok(file) => match check(spec, "", &file) {
            Ok(()) => FileState::Verified,
            Err(PutError::Content(ContentError::Hash { found, .. })) => FileState::WrongHash { found },
            Err(PutError::Content(_)) => FileState::WrongSize { found: file.metadata().map_or(0, |m| m.len()) },
            Err(PutError::Read(cause) | PutError::Write { cause, .. }) => {
                FileState::Unreadable { reason: cause.to_string() }
            }
        },
    })
}

fn reports(entries: &[Entry], dir: &Path, state: impl Fn(&Path, &FileSpec) -> FileState) -> Vec<FileReport> {
    let mut reports = Vec::new();
    for entry in entries {
        for spec in &entry.files {
            let path = file_path(dir, entry.dataset, &spec.name);
            let state = state(&path, spec);
            reports.push(FileReport { dataset: entry.dataset, spec: spec.clone(), path, state });
        }
    }
    reports
}

fn absent(error: &io::Error) -> FileState {
    match error.kind() {
        io::ErrorKind::NotFound => FileState::Missing,
        _ => FileState::Unreadable { reason: error.to_string() },
    }
}

fn choose(
    argument: Option<&Path>,
    variable: Option<PathBuf>,
    platform: impl FnOnce() -> Option<PathBuf>,
) -> Result<PathBuf, NoDataDir> {
    let named = argument.map(Path::to_owned).or(variable.filter(|path| !path.as_os_str().is_empty()));
    named.or_else(|| platform().map(|caches| caches.join("superlinear"))).ok_or(NoDataDir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Publication;

    #[test]
    fn argument_before_variable_before_platform() {
        let path = |s: &str| Some(PathBuf::from(s));
        assert_eq!(choose(Some(Path::new("a")), path("v"), || path("p")).unwrap(), Path::new("a"));
        assert_eq!(choose(None, path("v"), || path("p")).unwrap(), Path::new("v"));
        assert_eq!(choose(None, path(""), || path("p")).unwrap(), Path::new("p").join("superlinear"));
        assert_eq!(choose(None, None, || None), Err(NoDataDir));
    }

    #[test]
    fn reports_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b", "c", "d", "e"].map(|name| FileSpec::of(name, b"four"));
        let publication = Publication::GzippedFiles { mirrors: vec![] };
        let entries = [Entry { dataset: DatasetName::Mnist, files: files.to_vec(), publication }];
        std::fs::create_dir_all(dir.path().join("mnist/e")).unwrap();
        for (name, content) in [("a", "four"), ("b", "five!"), ("c", "FOUR")] {
            std::fs::write(file_path(dir.path(), DatasetName::Mnist, name), content).unwrap();
        }
        let states = |reports: Vec<FileReport>| reports.into_iter().map(|r| r.state).collect::<Vec<_>>();
        let listed = states(list_entries(&entries, dir.path()));
        assert_eq!(listed[0], FileState::Present);
        assert_eq!(listed[1], FileState::WrongSize { found: 5 });
        assert_eq!(listed[2], FileState::Present);
        assert_eq!(listed[3], FileState::Missing);
        assert!(matches!(listed[4], FileState::Unreadable { .. }));
        let verified = states(verify_entries(&entries, dir.path()));
        assert_eq!(verified[0], FileState::Verified);
        assert_eq!(verified[1], FileState::WrongSize { found: 5 });
        assert!(matches!(&verified[2], FileState::WrongHash { found } if found.len() == 64));
        assert_eq!(verified[3], FileState::Missing);
        assert!(matches!(verified[4], FileState::Unreadable { .. }));
    }
}
