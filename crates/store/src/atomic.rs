//! Files that appear under their name only when complete.
//!
//! Written to a hidden temporary file in the same folder, flushed to the disk, renamed over the final name, and the
//! folder flushed too. Whatever fails, the temporary file is removed and an older file of that name stays as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Ends the name of everything not yet complete.
pub const UNFINISHED_SUFFIX: &str = ".part";

/// In the names of files that [`set_aside`] has renamed, before a count.
pub const SET_ASIDE: &str = ".set-aside-";

/// A file or folder could not be written. Nothing half-written stands under its name.
#[derive(Debug, Error)]
#[error("{}: cannot {action}: {cause}", path.display())]
pub struct WriteError {
    /// The final name asked for.
    pub path: PathBuf,
    /// The step that failed, such as `create its folder`.
    pub action: &'static str,
    /// What the system said: a full disk, a read-only folder, something that is not a folder.
    pub cause: io::Error,
}

/// Writes `bytes` to `path`, creating missing folders and replacing an older file.
///
/// A symbolic link at `path` is itself replaced, not followed.
///
/// # Errors
///
/// [`WriteError`] names `path`, the step and the cause.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes what `fill` puts into the file it is given, which is buffered and may be sought in.
///
/// # Errors
///
/// As [`write()`]; an error that `fill` returns is the cause of one.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), WriteError> {
    write_through(path, |temporary| OpenOptions::new().write(true).create_new(true).open(temporary), fill)
}

/// Renames `path` to the first free name of `<name>.set-aside-1`, `-2`, … beside it, and says which. Nothing is
/// deleted.
///
/// # Errors
///
/// [`WriteError`] when there is no such file or its folder cannot be written.
pub fn set_aside(path: &Path) -> Result<PathBuf, WriteError> {
    let failed = |cause| WriteError { path: path.to_owned(), action: "set aside", cause };
    let folder = folder_of(path)?;
    let name = path.file_name().unwrap_or_default();
    for count in 1u32.. {
        let mut aside = name.to_owned();
        aside.push(format!("{SET_ASIDE}{count}"));
        let aside = folder.join(aside);
        match File::create_new(&aside) {
            // The name is now this call's own, so that the rename replaces nothing.
            Ok(_) => match fs::rename(path, &aside) {
                Ok(()) => return Ok(aside),
                Err(cause) => {
                    let _ = fs::remove_file(&aside);
                    return Err(failed(cause));
                }
            },
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

fn write_through(
    path: &Path,
    open: impl Fn(&Path) -> io::Result<File>,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let failed = |action| move |cause| WriteError { path: path.to_owned(), action, cause };
    let folder = folder_of(path)?;
    fs::create_dir_all(folder).map_err(failed("create its folder"))?;

    let (file, temporary) =
        create_beside(folder, UNFINISHED, open).map_err(failed("create a temporary file beside it"))?;
    let temporary = RemoveOnDrop(temporary);
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    fill(&mut writer).map_err(failed("write"))?;
    let file = writer.into_inner().map_err(|e| failed("write")(e.into_error()))?;
    file.sync_all().map_err(failed("flush to disk"))?;
    drop(file);
    fs::rename(&temporary.0, path).map_err(failed("move into place"))?;
    std::mem::forget(temporary);
    sync_folder(folder).map_err(failed("flush the folder of"))
}

/// The folder that `path` goes into.
pub(crate) fn folder_of(path: &Path) -> Result<&Path, WriteError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(_)) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        (Some(parent), Some(_)) => Ok(parent),
        _ => Err(WriteError {
            path: path.to_owned(),
            action: "write",
            cause: io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"),
        }),
    }
}

/// What the names of [`create_beside`] begin with, for what is being written.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// Calls `create` with unused hidden names in `folder` until one is free.
pub(crate) fn create_beside<T>(
    folder: &Path,
    beginning: &str,
    create: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Without the final name in it: that may be as long as names can be.
        let name = format!("{beginning}{}-{count}{UNFINISHED_SUFFIX}", std::process::id());
        let temporary = folder.join(name);
        match create(&temporary) {
            Ok(created) => return Ok((created, temporary)),
            // Left by an earlier process of the same number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// Makes a rename in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened as a file.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the error that led here is the one to report.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_and_replaces_under_awkward_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("größe & κ 曲率").join("a file.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(entries(path.parent().unwrap()), ["a file.txt"]);
        let longest = folder.path().join("x".repeat(255));
        write(&longest, b"").unwrap();
        assert!(longest.exists());
    }

    #[test]
    fn a_file_is_set_aside_and_none_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        for (bytes, name) in [(b"a", "result.set-aside-1"), (b"b", "result.set-aside-2")] {
            write(&path, bytes).unwrap();
            let aside = set_aside(&path).unwrap();
            assert_eq!(
                (aside.file_name().unwrap().to_str().unwrap(), fs::read(&aside).unwrap()),
                (name, bytes.to_vec())
            );
        }
        assert_eq!(set_aside(&path).unwrap_err().cause.kind(), io::ErrorKind::NotFound);
        assert_eq!(entries(folder.path()), ["result.set-aside-1", "result.set-aside-2"]);
    }

    #[test]
    fn a_failing_writer_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(io::Error::other("the numbers ran out"))
        })
        .unwrap_err();
        assert_eq!(error.to_string(), format!("{}: cannot write: the numbers ran out", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(folder.path()), ["result"]);
    }

    #[test]
    fn a_panicking_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let outcome = std::panic::catch_unwind(|| write_with(&path, |_| panic!("on purpose")));
        assert!(outcome.is_err());
        assert!(entries(folder.path()).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        // The temporary name exists, but what is written goes to the device that is always full.
        let full = |temporary: &Path| {
            File::create_new(temporary)?;
            OpenOptions::new().write(true).open("/dev/full")
        };
        for size in [10, 1 << 20] {
            let error = write_through(&path, full, |file| file.write_all(&vec![7; size])).unwrap_err();
            assert_eq!(error.cause.kind(), io::ErrorKind::StorageFull);
            assert!(error.to_string().contains("No space left on device"), "{error}");
            assert!(entries(folder.path()).is_empty());
        }
    }

    #[test]
    fn names_what_stands_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"").unwrap();
        let below_a_file = write(&file.join("below"), b"").unwrap_err();
        assert_eq!(below_a_file.action, "create its folder");
        assert!(below_a_file.to_string().starts_with(&file.join("below").display().to_string()));

        let occupied = folder.path().join("occupied");
        fs::create_dir_all(occupied.join("inside")).unwrap();
        assert_eq!(write(&occupied, b"").unwrap_err().action, "move into place");
        assert_eq!(entries(folder.path()), ["file", "occupied"]);

        for nameless in ["", "/", ".."] {
            assert_eq!(write(Path::new(nameless), b"").unwrap_err().cause.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_folder_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let locked = folder.path().join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
        // The superuser may write anywhere: then there is nothing to see.
        if File::create(locked.join("probe")).is_err() {
            let error = write(&locked.join("result"), b"").unwrap_err();
            assert_eq!(error.cause.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(error.action, "create a temporary file beside it");
        }
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn writers_at_once_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        std::thread::scope(|scope| {
            for k in 0u8..8 {
                let path = &path;
                scope.spawn(move || write(path, &vec![k; 10_000]).unwrap());
            }
        });
        let found = fs::read(&path).unwrap();
        assert_eq!(found.len(), 10_000);
        assert!(found.iter().all(|b| *b == found[0]));
        assert_eq!(entries(folder.path()), ["shared"]);
    }
}
