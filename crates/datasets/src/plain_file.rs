//! Opens a file after a look at what it is.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a plain file: a pipe would wait for whoever writes it, and a device may never end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a folder, pipe or device, expected a file"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_devices_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert_eq!(open(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        fs::write(folder.path().join("a"), b"1").unwrap();
        assert!(open(&folder.path().join("a")).is_ok());
    }
}
