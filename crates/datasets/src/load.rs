//! A full data set from the cache, proven by its hashes before it is used.

use crate::cache::file_path;
use crate::catalog::{self, Entry, FileSpec};
use crate::cifar::{self, CifarError};
use crate::idx::{self, IdxError};
use crate::plain_file;
use crate::verified::{ContentError, PutError, check};
use crate::{Dataset, DatasetName, Split, SplitError};
use std::io;
use std::io::Read;
use std::path::Path;

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Files are missing; says the command that brings them.
    #[error(
        "{dataset}: missing in {dir}: {}; `cargo xtask data fetch {dataset}` downloads them, `cargo xtask data import \
         --from <dir>` takes them from a folder",
        files.join(", ")
    )]
    Missing {
        /// The data set.
        dataset: DatasetName,
        /// Folder in which they are missing.
        dir: String,
        /// Their names.
        files: Vec<String>,
    },
    /// A file could not be read.
    #[error("{file}: cannot read: {cause}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        cause: io::Error,
    },
    /// A file is not the original.
    #[error("{0}; remove it and `cargo xtask data fetch` it again")]
    Content(ContentError),
    /// A file is not in the format.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// A file is not in the format.
    #[error(transparent)]
    Cifar(#[from] CifarError),
    /// Images and labels do not match.
    #[error("{dataset}: {cause}")]
    Split {
        /// The data set.
        dataset: DatasetName,
        /// What does not match.
        cause: SplitError,
    },
}

/// Loads all of `name` from the cache `dir` (see [`directory`](crate::cache::directory)).
///
/// Every file is checked against its SHA-256 first, which costs well under a second in a release build.
///
/// # Errors
/// [`LoadError`]; when files are missing it names them and the command that brings them.
pub fn load(name: DatasetName, dir: &Path) -> Result<Dataset, LoadError> {
    load_entry(&catalog::entry(name), dir)
}

/// [`load`] for a given entry.
///
/// # Errors
/// As [`load`].
///
/// # Panics
/// If the entry has not four files (MNIST, Fashion-MNIST) or none at all (CIFAR-10).
#[track_caller]
pub(crate) fn load_entry(entry: &Entry, dir: &Path) -> Result<Dataset, LoadError> {
    let missing = |spec: &&FileSpec| !file_path(dir, entry.dataset, &spec.name).exists();
    let files: Vec<String> = entry.files.iter().filter(missing).map(|spec| spec.name.clone()).collect();
    if !files.is_empty() {
        let dir = dir.join(entry.dataset.as_str()).display().to_string();
        return Err(LoadError::Missing { dataset: entry.dataset, dir, files });
    }
    let (train, test) = match entry.dataset {
        DatasetName::Mnist | DatasetName::FashionMnist => {
            let [train_images, train_labels, test_images, test_labels] = &entry.files[..] else {
                panic!("{} has four IDX files, not {}", entry.dataset, entry.files.len());
            };
            (idx_split(entry, dir, train_images, train_labels)?, idx_split(entry, dir, test_images, test_labels)?)
        }
        DatasetName::Cifar10 => {
            let (test, train) = entry.files.split_last().expect("CIFAR-10 has a test batch");
            (cifar_split(entry, dir, train)?, cifar_split(entry, dir, std::slice::from_ref(test))?)
        }
    };
    Ok(Dataset { name: entry.dataset, train, test })
}

fn idx_split(entry: &Entry, dir: &Path, images: &FileSpec, labels: &FileSpec) -> Result<Split, LoadError> {
    let (file, bytes) = original(entry, dir, images)?;
    let images = idx::parse_images(&file, &bytes[..])?;
    let (file, bytes) = original(entry, dir, labels)?;
    let labels = idx::parse_labels(&file, &bytes[..])?;
    split(entry, Split::new(images.shape, images.pixels, labels))
}

fn cifar_split(entry: &Entry, dir: &Path, batches: &[FileSpec]) -> Result<Split, LoadError> {
    let bytes: u64 = batches.iter().map(|spec| spec.bytes).sum();
    let (mut images, mut labels) = (Vec::with_capacity(bytes as usize), Vec::new());
    for spec in batches {
        let (file, bytes) = original(entry, dir, spec)?;
        cifar::append(&file, &bytes[..], &mut images, &mut labels)?;
    }
    split(entry, Split::new(entry.dataset.shape(), images, labels))
}

fn split(entry: &Entry, split: Result<Split, SplitError>) -> Result<Split, LoadError> {
    split.map_err(|cause| LoadError::Split { dataset: entry.dataset, cause })
}

/// The name and the proven content of a file of the cache.
fn original(entry: &Entry, dir: &Path, spec: &FileSpec) -> Result<(String, Vec<u8>), LoadError> {
    let path = file_path(dir, entry.dataset, &spec.name);
    let file = path.display().to_string();
    let unreadable = |cause| LoadError::Read { file: file.clone(), cause };
    let mut bytes = Vec::new();
    // One byte more than the original has tells that it is not.
    let content = plain_file::open(&path).map_err(unreadable)?;
    content.take(spec.bytes + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match check(spec, &file, &bytes[..]) {
        Ok(()) => Ok((file, bytes)),
        Err(PutError::Content(error)) => Err(LoadError::Content(error)),
        Err(PutError::Read(cause) | PutError::Write { cause, .. }) => Err(LoadError::Read { file, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;
    use crate::catalog::Publication;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 2 };

    /// An entry for these files, and a cache that holds them.
    fn cached(dataset: DatasetName, files: &[(&str, Vec<u8>)]) -> (Entry, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(dataset.as_str())).unwrap();
        for (name, content) in files {
            std::fs::write(file_path(dir.path(), dataset, name), content).unwrap();
        }
        let files = files.iter().map(|(name, content)| FileSpec::of(name, content)).collect();
        (Entry { dataset, files, publication: Publication::GzippedFiles { mirrors: vec![] } }, dir)
    }

    fn idx_files(train: &Split, test: &Split) -> Vec<(&'static str, Vec<u8>)> {
        let mut files = Vec::new();
        for (split, names) in [(train, ["train-x", "train-y"]), (test, ["test-x", "test-y"])] {
            let (mut images, mut labels) = (Vec::new(), Vec::new());
            idx::write_images(&mut images, split).unwrap();
            idx::write_labels(&mut labels, split).unwrap();
            files.extend(names.into_iter().zip([images, labels]));
        }
        files
    }

    fn splits() -> (Split, Split) {
        (Split::new(SHAPE, vec![1, 2, 3, 4], vec![5, 6]).unwrap(), Split::new(SHAPE, vec![7, 8], vec![9]).unwrap())
    }

    #[test]
    fn loads_idx_files() {
        let (train, test) = splits();
        let (entry, dir) = cached(DatasetName::FashionMnist, &idx_files(&train, &test));
        let loaded = load_entry(&entry, dir.path()).unwrap();
        assert_eq!(loaded, Dataset { name: DatasetName::FashionMnist, train, test });
    }

    #[test]
    fn loads_cifar_batches_in_order() {
        let batch = |labels: &[u8]| labels.iter().flat_map(|y| [vec![*y], vec![*y; 3072]].concat()).collect();
        let files = [("1.bin", batch(&[3, 1])), ("2.bin", batch(&[4])), ("test.bin", batch(&[5]))];
        let (entry, dir) = cached(DatasetName::Cifar10, &files);
        let loaded = load_entry(&entry, dir.path()).unwrap();
        assert_eq!((loaded.train.labels(), loaded.test.labels()), (&[3, 1, 4][..], &[5][..]));
        assert_eq!(loaded.train.image(2), [4; 3072]);
    }

    #[test]
    fn says_what_is_missing_and_how_to_get_it() {
        let (train, test) = splits();
        let (entry, dir) = cached(DatasetName::Mnist, &idx_files(&train, &test));
        for name in ["train-y", "test-x"] {
            std::fs::remove_file(file_path(dir.path(), entry.dataset, name)).unwrap();
        }
        let error = load_entry(&entry, dir.path()).unwrap_err().to_string();
        let folder = dir.path().join("mnist").display().to_string();
        assert_eq!(
            error,
            format!(
                "mnist: missing in {folder}: train-y, test-x; `cargo xtask data fetch mnist` downloads them, \
                 `cargo xtask data import --from <dir>` takes them from a folder"
            )
        );
    }

    #[test]
    fn refuses_what_is_not_the_original() {
        let (train, test) = splits();
        let (entry, dir) = cached(DatasetName::Mnist, &idx_files(&train, &test));
        let path = file_path(dir.path(), entry.dataset, "test-x");
        let mut content = std::fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(&path, content).unwrap();
        let error = load_entry(&entry, dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Content(ContentError::Hash { .. })), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }

    #[test]
    fn labels_of_another_split_do_not_match() {
        let (train, test) = splits();
        let mut files = idx_files(&train, &test);
        files[1].1 = files[3].1.clone();
        let (entry, dir) = cached(DatasetName::Mnist, &files);
        let error = load_entry(&entry, dir.path()).unwrap_err().to_string();
        assert_eq!(error, "mnist: labels: found 1, expected 2, one for each image");
    }
}
