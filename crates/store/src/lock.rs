//! Advisory locks: one process at a time, or any number that share, on a file that stays.
//!
//! The operating system holds the lock for the open file and lets go of it when the process ends, however it ends. So a
//! lock that is held has a living holder, and none has to be broken by hand. The lock file itself is never deleted: a
//! process that waits at a deleted file would hold a lock that nobody else sees.

use crate::atomic::{WriteError, folder_of};
use std::fs::{self, File, TryLockError};
use std::path::Path;

/// A lock that this process holds, alone or with others, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock at `path`, creating missing folders and the empty file; `None` when somebody else holds it.
///
/// Two locks of one process on the same file exclude each other too.
///
/// # Errors
///
/// [`WriteError`] when the file cannot be created, or its file system has no locks.
pub fn try_lock(path: &Path) -> Result<Option<Lock>, WriteError> {
    try_with(path, File::try_lock)
}

/// Takes the lock at `path` beside others who share it, creating missing folders and the empty file; `None` when
/// somebody holds it alone. While it is shared nobody gets it alone.
///
/// # Errors
///
/// As [`try_lock`].
pub fn try_share(path: &Path) -> Result<Option<Lock>, WriteError> {
    try_with(path, File::try_lock_shared)
}

fn try_with(path: &Path, take: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Lock>, WriteError> {
    let failed = |action| move |cause| WriteError { path: path.to_owned(), action, cause };
    fs::create_dir_all(folder_of(path)?).map_err(failed("create its folder"))?;
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = open.map_err(failed("open the lock"))?;
    match take(&file) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(failed("lock")(cause)),
    }
}

/// Whether somebody holds the lock at `path` alone; nobody does where there is no such file. Creates nothing.
pub fn is_held(path: &Path) -> bool {
    // A shared lock does not disturb another process that asks the same.
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks é").join("run");
        assert!(!is_held(&path));
        let lock = try_lock(&path).unwrap().unwrap();
        assert!(is_held(&path) && try_lock(&path).unwrap().is_none());
        drop(lock);
        assert!(!is_held(&path) && try_lock(&path).unwrap().is_some());
        let (one, two) = (try_share(&path).unwrap().unwrap(), try_share(&path).unwrap().unwrap());
        assert!(!is_held(&path) && try_lock(&path).unwrap().is_none());
        drop(one);
        assert!(try_lock(&path).unwrap().is_none());
        drop(two);
        let alone = try_lock(&path).unwrap().unwrap();
        assert!(try_share(&path).unwrap().is_none());
        drop(alone);
        let error = try_lock(&path.join("below a file")).unwrap_err();
        assert!(error.to_string().contains("below a file: cannot create its folder"), "{error}");
    }
}
