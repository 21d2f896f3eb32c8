//! A whole file in memory, after a look at what it is and how long.
//!
//! A pipe or a device may never end, and a folder has no bytes: only plain files are read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file that is read whole: 64 GiB, more than any record or network here.
pub const MAX_BYTES: u64 = 1 << 36;

/// Opens a plain file and says how long it is; a link is followed.
///
/// # Errors
/// What the system says, or [`io::ErrorKind::InvalidInput`] for what is no plain file.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    // Before it is opened: to open a pipe waits for whoever writes it.
    let about = fs::metadata(path)?;
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{what}, expected a file")));
    }
    Ok((File::open(path)?, about.len()))
}

/// The bytes of a plain file of at most [`MAX_BYTES`].
///
/// # Errors
/// As [`open`], and [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MAX_BYTES)
}

/// The bytes of a plain file of at most `limit`.
///
/// # Errors
/// As [`read`].
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, len) = open(path)?;
    let too_large = |len: u64| {
        io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes or more, expected at most {limit}"))
    };
    if len > limit {
        return Err(too_large(len));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    // It may have grown since.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path).unwrap(), b"12345");
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let error = read_at_most(&path, 4).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "5 bytes or more, expected at most 4")
        );
        assert_eq!(read(folder.path()).unwrap_err().to_string(), "a folder, expected a file");
        assert_eq!(read(&folder.path().join("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            assert_eq!(read(path).unwrap_err().to_string(), "a pipe or device, expected a file");
        }
    }
}
