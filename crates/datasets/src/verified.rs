//! A file gets its name only once its content is proven: written beside it under a temporary name, hashed on the way,
//! flushed to the disk, renamed.

use crate::catalog::FileSpec;
use crate::plain_file;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::Path;

/// Content that is not that of the original file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Too few bytes.
    #[error("{file}: found {found} bytes, expected {expected}")]
    TooShort {
        /// Where the content came from.
        file: String,
        /// Bytes there were.
        found: u64,
        /// Bytes of the original.
        expected: u64,
    },
    /// Too many bytes.
    #[error("{file}: found more than {expected} bytes, expected exactly {expected}")]
    TooLong {
        /// Where the content came from.
        file: String,
        /// Bytes of the original.
        expected: u64,
    },
    /// The right number of bytes, but not the right ones.
    #[error("{file}: SHA-256: found {found}, expected {expected}")]
    Hash {
        /// Where the content came from.
        file: String,
        /// Hash of what there was.
        found: String,
        /// Hash of the original.
        expected: String,
    },
}

/// Why a file was not put in its place.
#[derive(Debug)]
pub(crate) enum PutError {
    /// The content could not be read to its end.
    Read(io::Error),
    /// It is not the right content.
    Content(ContentError),
    /// It could not be written.
    Write { file: String, cause: io::Error },
}

/// Streams `content` to `path` and gives it that name only if it is the original `spec`. `source` names the content in
/// errors. Whatever fails, nothing is left under the final name that was not there before.
pub(crate) fn put(path: &Path, spec: &FileSpec, source: &str, content: impl Read) -> Result<(), PutError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let cannot_write = |cause| PutError::Write { file: path.display().to_string(), cause };
    std::fs::create_dir_all(folder).map_err(cannot_write)?;
    let mut part = temporary(folder, &spec.name).map_err(cannot_write)?;
    check_while(spec, source, content, |block| part.write_all(block).map_err(cannot_write))?;
    part.as_file().sync_all().map_err(cannot_write)?;
    part.persist(path).map(drop).map_err(|e| cannot_write(e.error))
}

/// Whether `content` is the original `spec`; `source` names it in errors.
pub(crate) fn check(spec: &FileSpec, source: &str, content: impl Read) -> Result<(), PutError> {
    check_while(spec, source, content, |_| Ok(()))
}

/// Whether the file at `path` is the original `spec`.
pub(crate) fn is_right(path: &Path, spec: &FileSpec) -> bool {
    plain_file::open(path).is_ok_and(|file| check(spec, "", file).is_ok())
}

/// Writes a file through `write` and gives it its name when that and the disk are done.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut part = temporary(folder, &path.file_name().unwrap_or_default().to_string_lossy())?;
    write(part.as_file_mut())?;
    part.as_file().sync_all()?;
    part.persist(path).map(drop).map_err(|e| e.error)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_while(
    spec: &FileSpec,
    source: &str,
    mut content: impl Read,
    mut each: impl FnMut(&[u8]) -> Result<(), PutError>,
) -> Result<(), PutError> {
    let file = || source.to_owned();
    let mut hash = Sha256::new();
    let mut found = 0;
    let mut block = vec![0; 1 << 16];
    loop {
        let n = match content.read(&mut block) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(PutError::Read(e)),
        };
        found += n as u64;
        if found > spec.bytes {
            return Err(PutError::Content(ContentError::TooLong { file: file(), expected: spec.bytes }));
        }
        hash.update(&block[..n]);
        each(&block[..n])?;
    }
    if found < spec.bytes {
        return Err(PutError::Content(ContentError::TooShort { file: file(), found, expected: spec.bytes }));
    }
    let found = hex(&hash.finalize());
    if found != spec.sha256 {
        return Err(PutError::Content(ContentError::Hash { file: file(), found, expected: spec.sha256.clone() }));
    }
    Ok(())
}

/// A temporary file in `folder`, removed unless it is persisted.
fn temporary(folder: &Path, name: &str) -> io::Result<tempfile::NamedTempFile> {
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    // As any new file, not private to its owner: a cache may be shared.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::FileSpec;

    fn entries(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn right_content_gets_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/a");
        put(&path, &FileSpec::of("a", b"abc"), "s", &b"abc"[..]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(entries(&dir.path().join("deep")), ["a"]);
        assert!(is_right(&path, &FileSpec::of("a", b"abc")) && !is_right(&path, &FileSpec::of("a", b"abd")));
    }

    #[test]
    fn wrong_content_leaves_nothing_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let spec = FileSpec::of("a", b"abc");
        let refuse = |content: &[u8]| match put(&path, &spec, "s", content) {
            Err(PutError::Content(e)) => e.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(refuse(b"ab"), "s: found 2 bytes, expected 3");
        assert_eq!(refuse(b"abcd"), "s: found more than 3 bytes, expected exactly 3");
        // The expected hash is that of FIPS 180-2, B.1.
        assert_eq!(
            refuse(b"abd"),
            "s: SHA-256: found a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, \
             expected ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(entries(dir.path()), [""; 0]);
    }

    #[test]
    fn a_failed_write_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| out.write_all(b"new").and(Err(io::Error::other("full"))));
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(dir.path()), ["a"]);
    }
}
