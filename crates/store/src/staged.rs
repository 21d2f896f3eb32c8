//! Folders that appear under their name only when complete.

use crate::atomic::{UNFINISHED, UNFINISHED_SUFFIX, WriteError, create_beside, folder_of, sync_folder};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What to do with a folder that already has the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExisting<'a> {
    /// Fail, unless it is empty.
    Refuse,
    /// Replace it, unless it is neither empty nor holds a file of this name. The mark of one of our own folders keeps a
    /// mistyped path from deleting somebody's work.
    ReplaceIfItHolds(&'a str),
}

/// A folder under construction, in a hidden folder beside its final name.
///
/// [`StagedDir::publish`] moves it into place; dropped before that, it is deleted. What a process leaves that is
/// killed, the next [`StagedDir::create`] in the same folder deletes (on Unix, where a folder can be locked by who
/// builds in it; between machines that share the folder, locks have to hold, too). Files put in it with
/// [`crate::atomic::write`] and its like are on the disk by then; others are as safe as whoever wrote them made them.
#[derive(Debug)]
pub struct StagedDir {
    staging: PathBuf,
    target: PathBuf,
    folder: PathBuf,
    mark: Option<String>,
    /// Held open: its lock says that somebody builds here.
    _lock: Option<File>,
}

impl StagedDir {
    /// Starts a folder that is to become `target`, creating missing parents. Fails now, not after hours of work, if
    /// `target` cannot be replaced.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if `target` is not a folder, may not be replaced, or nothing can be created beside it.
    pub fn create(target: &Path, on_existing: OnExisting<'_>) -> Result<Self, WriteError> {
        let folder = folder_of(target)?.to_owned();
        let failed = |action| move |cause| WriteError { path: target.to_owned(), action, cause };
        let mark = match on_existing {
            OnExisting::Refuse => None,
            OnExisting::ReplaceIfItHolds(mark) => Some(mark.to_owned()),
        };
        check_replaceable(target, mark.as_deref()).map_err(failed("replace"))?;
        fs::create_dir_all(&folder).map_err(failed("create its folder"))?;
        remove_abandoned(&folder);
        let (_lock, staging) =
            create_beside(&folder, UNFINISHED, create_locked).map_err(failed("create a temporary folder beside it"))?;
        Ok(Self { staging, target: target.to_owned(), folder, mark, _lock })
    }

    /// Where to put the files meanwhile.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Moves the folder to its final name.
    ///
    /// An older folder of that name is first set aside under a hidden name, then deleted; if the move fails it is put
    /// back. Only a crash between the two renames leaves no folder under the final name, and then both are still there.
    ///
    /// # Errors
    ///
    /// [`WriteError`], with the older folder untouched and this one deleted. If only the deletion of the older folder
    /// fails, the new one is in place and the error says `delete the older copy of`.
    pub fn publish(self) -> Result<(), WriteError> {
        let target = &self.target;
        let failed = |action| move |cause| WriteError { path: target.clone(), action, cause };
        sync_folder(&self.staging).map_err(failed("flush to disk"))?;
        let aside = self.set_aside().map_err(failed("replace"))?;
        if let Err(cause) = fs::rename(&self.staging, &self.target) {
            if let Some(aside) = &aside {
                // Should this fail too the older folder survives beside its name.
                let _ = fs::rename(aside, &self.target);
            }
            return Err(failed("move into place")(cause));
        }
        sync_folder(&self.folder).map_err(failed("flush the folder of"))?;
        match aside {
            Some(aside) => fs::remove_dir_all(aside).map_err(failed("delete the older copy of")),
            None => Ok(()),
        }
    }

    /// Renames what stands at the target, if anything does, to a hidden name.
    fn set_aside(&self) -> io::Result<Option<PathBuf>> {
        // Looked at again: the work may have taken hours.
        check_replaceable(&self.target, self.mark.as_deref())?;
        if !self.target.exists() {
            return Ok(None);
        }
        // Under a name that nobody takes for abandoned: it may be the only copy.
        let ((), reserved) = create_beside(&self.folder, ".replaced-", |name| fs::create_dir(name))?;
        // An empty folder may be renamed over on Unix but not everywhere.
        fs::remove_dir(&reserved)?;
        fs::rename(&self.target, &reserved)?;
        Ok(Some(reserved))
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        // Gone already if it was published.
        let _ = fs::remove_dir_all(&self.staging);
    }
}

/// Creates a folder and, where that can be done, locks it.
fn create_locked(name: &Path) -> io::Result<Option<File>> {
    fs::create_dir(name)?;
    if !cfg!(unix) {
        return Ok(None);
    }
    // Somebody may take it for abandoned before it is locked: another name then.
    let gone = || io::Error::from(io::ErrorKind::AlreadyExists);
    let folder = File::open(name).map_err(|e| if e.kind() == io::ErrorKind::NotFound { gone() } else { e })?;
    // Where there are no locks, nothing is taken for abandoned either.
    if folder.lock().is_ok() && !name.exists() { Err(gone()) } else { Ok(Some(folder)) }
}

/// Deletes the folders in `folder` in which a process built that has been killed. What cannot be deleted stays.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|_| cfg!(unix)) {
        let name = entry.file_name();
        let unfinished = name.to_str().is_some_and(|n| n.starts_with(UNFINISHED) && n.ends_with(UNFINISHED_SUFFIX));
        if unfinished && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Held until it is gone, so that nobody else begins with it.
            let abandoned = File::open(entry.path()).ok().filter(|folder| folder.try_lock().is_ok());
            if abandoned.is_some() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// An error unless `target` is absent, an empty folder, or a folder that holds `mark`.
fn check_replaceable(target: &Path, mark: Option<&str>) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(target) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it exists and is not a folder"));
    }
    if fs::read_dir(target)?.next().is_none() {
        return Ok(());
    }
    let refusal = match mark {
        None => "it exists and is not empty".to_owned(),
        Some(mark) if target.join(mark).is_file() => return Ok(()),
        Some(mark) => format!("it exists, is not empty and holds no {mark}, so it is not an earlier result"),
    };
    Err(io::Error::new(io::ErrorKind::AlreadyExists, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::write;

    const OURS: OnExisting<'static> = OnExisting::ReplaceIfItHolds("summary.json");

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn appears_whole_and_replaces_the_whole() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out").join("π quick");
        let first = StagedDir::create(&target, OURS).unwrap();
        write(&first.path().join("summary.json"), b"1").unwrap();
        write(&first.path().join("figures/old.svg"), b"1").unwrap();
        assert!(!target.exists());
        first.publish().unwrap();
        assert_eq!(entries(&target), ["figures", "summary.json"]);

        let second = StagedDir::create(&target, OURS).unwrap();
        write(&second.path().join("summary.json"), b"2").unwrap();
        assert_eq!(fs::read(target.join("summary.json")).unwrap(), b"1");
        second.publish().unwrap();
        assert_eq!(entries(&target), ["summary.json"]);
        assert_eq!(fs::read(target.join("summary.json")).unwrap(), b"2");
        assert_eq!(entries(&root.path().join("out")), ["π quick"]);
    }

    #[test]
    fn dropped_before_publication_it_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let staged = StagedDir::create(&root.path().join("out"), OURS).unwrap();
        write(&staged.path().join("a/b"), b"").unwrap();
        drop(staged);
        assert!(entries(root.path()).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_process_left_is_deleted_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let alive = StagedDir::create(&root.path().join("one"), OURS).unwrap();
        write(&alive.path().join("summary.json"), b"1").unwrap();
        let left = root.path().join(".unfinished-999999999-0.part");
        write(&left.join("moments.npz"), b"half").unwrap();
        let only_copy = root.path().join(".replaced-999999999-1.part");
        write(&only_copy.join("summary.json"), b"0").unwrap();
        let file = root.path().join(".unfinished-999999999-2.part");
        fs::write(&file, "being written").unwrap();
        let other = StagedDir::create(&root.path().join("two"), OURS).unwrap();
        assert!(!left.exists() && only_copy.exists() && file.exists() && other.path().exists());
        alive.publish().unwrap();
        assert_eq!(fs::read(root.path().join("one/summary.json")).unwrap(), b"1");
        // As a crash between the two renames of a publication leaves it.
        let aside = StagedDir::create(&root.path().join("one"), OURS).unwrap().set_aside().unwrap().unwrap();
        StagedDir::create(&root.path().join("two"), OURS).unwrap();
        assert_eq!(fs::read(aside.join("summary.json")).unwrap(), b"1");
    }

    #[test]
    fn somebody_elses_folder_is_refused_at_once_and_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("home");
        let early = StagedDir::create(&target, OURS).unwrap();
        write(&target.join("thesis.tex"), b"years").unwrap();
        let error = StagedDir::create(&target, OURS).unwrap_err();
        assert!(error.to_string().contains("holds no summary.json"), "{error}");
        assert_eq!(early.publish().unwrap_err().cause.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(entries(root.path()), ["home"]);
        assert_eq!(entries(&target), ["thesis.tex"]);

        write(&target.join("summary.json"), b"").unwrap();
        assert!(StagedDir::create(&target, OnExisting::Refuse).is_err());
        assert!(StagedDir::create(&target, OURS).is_ok());
    }

    #[test]
    fn an_empty_folder_may_be_replaced_and_a_file_may_not() {
        let root = tempfile::tempdir().unwrap();
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let staged = StagedDir::create(&empty, OnExisting::Refuse).unwrap();
        write(&staged.path().join("x"), b"").unwrap();
        staged.publish().unwrap();
        assert_eq!(entries(&empty), ["x"]);

        let file = root.path().join("file");
        write(&file, b"").unwrap();
        let error = StagedDir::create(&file, OURS).unwrap_err();
        assert_eq!(error.cause.kind(), io::ErrorKind::NotADirectory);
        assert!(error.to_string().starts_with(&format!("{}: cannot replace: ", file.display())));
    }
}
