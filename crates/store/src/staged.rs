//! Folders that appear under their name only when complete.

use crate::atomic::{UNFINISHED, UNFINISHED_SUFFIX, WriteError, create_beside, folder_of, sync_folder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The file by which our folders say that they are ours, of what they are, and which files in them we wrote.
pub const OWNER: &str = "superlinear.json";

/// What stands in [`OWNER`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owned {
    /// What made the folder, for example `export`.
    superlinear: String,
    /// What the content is of: a second question does not replace the answer to another.
    of: String,
    /// Every file that we wrote, by its path with slashes, and its SHA-256 in hexadecimal.
    files: BTreeMap<String, String>,
}

/// What a folder is, in the words of its [`OWNER`] file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What<'a> {
    /// What makes it, for example `export`.
    pub kind: &'a str,
    /// What its content is of, for example a run's id.
    pub of: &'a str,
    /// Whether it may take the place of content that is of something else.
    pub force: bool,
}

/// A folder under construction, in a hidden folder beside its final name.
///
/// [`StagedDir::publish`] moves it into place; dropped before that, it is deleted. What a killed process leaves, the
/// next [`StagedDir::create`] in the same folder deletes (on Unix, where a builder can lock the folder; between
/// machines that share it, locks have to hold, too). Files put in it with [`crate::atomic::write`] and its like are on
/// the disk by then; others are as safe as their writer made them.
///
/// A folder that already has the final name has to be empty or ours, by its [`OWNER`] file. Files there that we did not
/// write stay, always.
#[derive(Debug)]
pub struct StagedDir {
    staging: PathBuf,
    target: PathBuf,
    folder: PathBuf,
    kind: String,
    of: String,
    force: bool,
    /// Held open: its lock says that somebody builds here.
    _lock: Option<File>,
}

impl StagedDir {
    /// Starts a folder that is to become `target`, creating missing parents. Fails now, not after hours of work, if
    /// `target` cannot be replaced.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if `target` is not a folder, is neither empty nor ours, holds something else of ours without
    /// `what.force`, or nothing can be created beside it.
    pub fn create(target: &Path, what: What<'_>) -> Result<Self, WriteError> {
        let folder = folder_of(target)?.to_owned();
        let failed = |action| move |cause| WriteError { path: target.to_owned(), action, cause };
        earlier(target, what).map_err(failed("replace"))?;
        fs::create_dir_all(&folder).map_err(failed("create its folder"))?;
        remove_abandoned(&folder);
        let (_lock, staging) =
            create_beside(&folder, UNFINISHED, create_locked).map_err(failed("create a temporary folder beside it"))?;
        let What { kind, of, force } = what;
        let (kind, of) = (kind.to_owned(), of.to_owned());
        Ok(Self { staging, target: target.to_owned(), folder, kind, of, force, _lock })
    }

    /// Where to put the files meanwhile.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Moves the folder to its final name, with an [`OWNER`] file that lists what is in it.
    ///
    /// An older folder of ours that holds nothing else is first set aside under a hidden name, then deleted; if the
    /// move fails it is put back. Only a crash between the two renames leaves no folder under the final name, and then
    /// both are still there. Where somebody has put files of their own into the older folder, ours are replaced there
    /// one by one.
    ///
    /// # Errors
    ///
    /// [`WriteError`], with the older folder untouched and this one deleted, also if a file of ours would replace one
    /// of somebody else. If only the deletion of the older folder fails, the new one is in place and the error says
    /// `delete the older copy of`.
    pub fn publish(self) -> Result<(), WriteError> {
        let target = &self.target;
        let failed = |action| move |cause| WriteError { path: target.clone(), action, cause };
        // Looked at again: the work may have taken hours.
        let what = What { kind: &self.kind, of: &self.of, force: self.force };
        let earlier = earlier(target, what).map_err(failed("replace"))?;
        let mut files = BTreeMap::new();
        for name in files_in(&self.staging).map_err(failed("list"))? {
            let hash = hash_of(&self.staging.join(&name)).map_err(failed("read back"))?;
            files.insert(name, hash);
        }
        let owned = Owned { superlinear: self.kind.clone(), of: self.of.clone(), files };
        crate::json::write(&self.staging.join(OWNER), &owned)?;
        sync_folder(&self.staging).map_err(failed("flush to disk"))?;
        let here = if target.exists() { files_in(target).map_err(failed("list"))? } else { BTreeSet::new() };
        let foreign = here.iter().any(|name| name != OWNER && !earlier.files.contains_key(name));
        if foreign {
            return self.put_into(&earlier, &owned, &here).map_err(failed("put files into"));
        }
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

    /// Replaces our files in a folder that also holds others; the [`OWNER`] file last.
    fn put_into(&self, earlier: &Owned, owned: &Owned, here: &BTreeSet<String>) -> io::Result<()> {
        if let Some(other) = owned.files.keys().find(|name| here.contains(*name) && !earlier.files.contains_key(*name))
        {
            let what = format!("{other} is there and not ours");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        let place = |name: &str| -> io::Result<()> {
            let to = self.target.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(self.staging.join(name), to)
        };
        owned.files.keys().try_for_each(|name| place(name))?;
        for (name, hash) in earlier.files.iter().filter(|(name, _)| !owned.files.contains_key(*name)) {
            // One that somebody has changed since is theirs.
            let file = self.target.join(name);
            if hash_of(&file).is_ok_and(|found| found == *hash) {
                fs::remove_file(file)?;
            }
        }
        place(OWNER)?;
        sync_folder(&self.target)
    }

    /// Renames what stands at the target, if anything does, to a hidden name.
    fn set_aside(&self) -> io::Result<Option<PathBuf>> {
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

/// What an earlier call has left at `target`: nothing if it is absent or empty.
///
/// # Errors
/// When it is not a folder, is neither empty nor ours, or is ours and of something else.
fn earlier(target: &Path, what: What<'_>) -> io::Result<Owned> {
    let nothing = || Owned { superlinear: what.kind.to_owned(), of: what.of.to_owned(), files: BTreeMap::new() };
    let metadata = match fs::symlink_metadata(target) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(nothing()),
        Err(e) => return Err(e),
    };
    if !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it exists and is not a folder"));
    }
    if fs::read_dir(target)?.next().is_none() {
        return Ok(nothing());
    }
    let refusal = |what: String| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    let Some(owned) = owned(target) else {
        return refusal(format!("it exists, is not empty and has no {OWNER} of ours, so it is not an earlier result"));
    };
    if owned.superlinear != what.kind {
        return refusal(format!("it holds the result of `{}`, not of `{}`", owned.superlinear, what.kind));
    }
    if owned.of != what.of && !what.force {
        return refusal(format!(
            "it holds the result of something else: {}; take another folder, or --force",
            owned.of
        ));
    }
    Ok(owned)
}

/// What a folder says of itself, if it is ours.
fn owned(target: &Path) -> Option<Owned> {
    let file = target.join(OWNER);
    // The size of a list of files, not of whatever may be called so.
    let is_file = fs::symlink_metadata(&file).is_ok_and(|found| found.is_file());
    let bytes = is_file.then(|| crate::whole::read_at_most(&file, 1 << 24).ok()).flatten()?;
    serde_json::from_slice(&bytes).ok()
}

/// Every file under a folder, by its path with slashes. Links are files, and not followed.
fn files_in(folder: &Path) -> io::Result<BTreeSet<String>> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![(folder.to_owned(), String::new())]);
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else {
                files.insert(name);
            }
        }
    }
    Ok(files)
}

/// SHA-256 of a file, in hexadecimal, read in pieces.
fn hash_of(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut reader = File::open(file)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::write;

    const OURS: What<'static> = What { kind: "export", of: "run 1", force: false };

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
        assert_eq!(entries(&target), ["figures", "summary.json", OWNER]);

        let second = StagedDir::create(&target, OURS).unwrap();
        write(&second.path().join("summary.json"), b"2").unwrap();
        assert_eq!(fs::read(target.join("summary.json")).unwrap(), b"1");
        second.publish().unwrap();
        assert_eq!(entries(&target), ["summary.json", OWNER]);
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
        // A file of a common name makes no folder ours, and neither does one of our name with other content.
        for name in ["thesis.tex", "manifest.json", OWNER] {
            write(&target.join(name), b"{}").unwrap();
            let error = StagedDir::create(&target, What { force: true, ..OURS }).unwrap_err();
            assert!(error.to_string().contains("no superlinear.json of ours"), "{error}");
        }
        assert_eq!(early.publish().unwrap_err().cause.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(entries(root.path()), ["home"]);
        assert_eq!(entries(&target), ["manifest.json", OWNER, "thesis.tex"]);
    }

    #[test]
    fn another_question_is_refused_unless_forced() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        StagedDir::create(&target, OURS).unwrap().publish().unwrap();
        let other = What { of: "run 2", ..OURS };
        let error = StagedDir::create(&target, other).unwrap_err().to_string();
        assert!(error.contains("something else: run 1") && error.contains("--force"), "{error}");
        let error = StagedDir::create(&target, What { kind: "spectrum", force: true, ..OURS }).unwrap_err().to_string();
        assert!(error.contains("the result of `export`, not of `spectrum`"), "{error}");
        StagedDir::create(&target, What { force: true, ..other }).unwrap().publish().unwrap();
        assert!(StagedDir::create(&target, other).is_ok());
    }

    #[test]
    fn what_somebody_has_put_beside_ours_stays() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        let publish = |names: &[&str], content: &[u8]| {
            let staged = StagedDir::create(&target, OURS).unwrap();
            names.iter().for_each(|name| write(&staged.path().join(name), content).unwrap());
            staged.publish()
        };
        publish(&["a.csv", "b/old.svg", "b/changed.svg"], b"1").unwrap();
        fs::write(target.join("notes.txt"), "mine").unwrap();
        fs::write(target.join("b/changed.svg"), "mine").unwrap();
        publish(&["a.csv", "c.svg"], b"2").unwrap();
        assert_eq!(entries(&target), ["a.csv", "b", "c.svg", "notes.txt", OWNER]);
        assert_eq!(entries(&target.join("b")), ["changed.svg"], "changed since, so it is theirs");
        assert_eq!(fs::read(target.join("a.csv")).unwrap(), b"2");
        // A name that they took first.
        let error = publish(&["a.csv", "notes.txt"], b"3").unwrap_err().to_string();
        assert!(error.contains("notes.txt is there and not ours"), "{error}");
        assert_eq!(fs::read(target.join("notes.txt")).unwrap(), b"mine");
        assert_eq!(fs::read(target.join("a.csv")).unwrap(), b"2");
    }

    #[test]
    fn an_empty_folder_may_be_replaced_and_a_file_may_not() {
        let root = tempfile::tempdir().unwrap();
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let staged = StagedDir::create(&empty, OURS).unwrap();
        write(&staged.path().join("x"), b"").unwrap();
        staged.publish().unwrap();
        assert_eq!(entries(&empty), [OWNER, "x"]);

        let file = root.path().join("file");
        write(&file, b"").unwrap();
        let error = StagedDir::create(&file, OURS).unwrap_err();
        assert_eq!(error.cause.kind(), io::ErrorKind::NotADirectory);
        assert!(error.to_string().starts_with(&format!("{}: cannot replace: ", file.display())));
    }
}
