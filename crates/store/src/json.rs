//! JSON files, indented for a human reader.

use crate::atomic::{self, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Writes `value` to `path`, atomically, indented, with a final newline.
///
/// JSON has no infinity and no NaN: they become `null`. A field that may be one is better an `Option`.
///
/// # Errors
///
/// [`WriteError`]; its cause is an encoding error for a value that JSON cannot hold, such as a map with keys that are
/// not strings.
pub fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), WriteError> {
    atomic::write_with(path, |file| encode(value, file))
}

/// What [`write()`] writes.
///
/// # Errors
///
/// For a value that JSON cannot hold, such as a map with keys that are not strings.
pub fn bytes<T: Serialize + ?Sized>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes)?;
    Ok(bytes)
}

fn encode<T: Serialize + ?Sized>(value: &T, mut to: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut to, value)?;
    to.write_all(b"\n")
}

/// Reads a `T` from the JSON at `path`.
///
/// # Errors
///
/// [`JsonError`] names the file and, for bad JSON, the line, the column and the field.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, JsonError> {
    let bytes = crate::whole::read(path).map_err(|cause| JsonError::Read { path: path.to_owned(), cause })?;
    serde_json::from_slice(&bytes)
        .map_err(|cause| JsonError::Content { path: path.to_owned(), cause: cause.to_string() })
}

/// A JSON file could not be read.
#[derive(Debug, Error)]
pub enum JsonError {
    /// The file could not be read.
    #[error("{}: cannot read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no JSON, or JSON of something else.
    #[error("{}: {cause}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        cause: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    #[test]
    fn indents_and_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let value = BTreeMap::from([("gamma".to_owned(), 1.1), ("se".to_owned(), 1e-20)]);
        write(&path, &value).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"gamma\": 1.1,\n  \"se\": 1e-20\n}\n");
        assert_eq!(read::<BTreeMap<String, f64>>(&path).unwrap(), value);
        // To the last bit, which a fast parser of decimals does not give.
        let fractions: Vec<f64> = (1..2_000).map(|n| 1.0 / f64::from(n)).collect();
        write(&path, &fractions).unwrap();
        assert_eq!(read::<Vec<f64>>(&path).unwrap(), fractions);
        write(&path, &[f64::NAN]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  null\n]\n");
    }

    #[test]
    fn a_value_json_cannot_hold_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        let error = write(&path, &BTreeMap::from([((1, 2), 3)])).unwrap_err();
        assert!(error.to_string().contains("key must be a string"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn bad_json_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        atomic::write(&path, b"{\n \"a\": oops}").unwrap();
        let error = read::<BTreeMap<String, f64>>(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.contains("line 2"), "{error}");
        assert!(matches!(read::<f64>(&folder.path().join("none")), Err(JsonError::Read { .. })));
    }
}
