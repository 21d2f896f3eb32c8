//! How the files behind the [embedded subsets](crate::embedded) are made from the original ones.
//!
//! `cargo xtask data embed --from <dir>` calls [`embed`]; the same originals give the same contents.

use crate::embedded::{EmbeddedFile, SUBSETS, SplitFiles, Subset, subset};
use crate::import::{ImportError, Outcome, import};
use crate::verified::{hex, write_atomically};
use crate::{Classes, Dataset, DatasetName, DrawError, LoadError, N_CLASSES, Split, cifar, gzip, idx, load};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::Path;

/// A file that [`embed`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedReport {
    /// The data set it is of.
    pub dataset: DatasetName,
    /// Its name.
    pub name: &'static str,
    /// Bytes of it.
    pub gzip_bytes: u64,
    /// SHA-256 of it.
    pub gzip_sha256: String,
    /// Bytes of the unpacked content.
    pub bytes: u64,
    /// SHA-256 of the unpacked content.
    pub sha256: String,
}

/// Why the embedded files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// Nothing of the data set is embedded.
    #[error("{dataset}: nothing of it is embedded, expected one of {}", embedded_names())]
    NotEmbedded {
        /// The data set.
        dataset: DatasetName,
    },
    /// The folder of the originals could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An original is not there.
    #[error(
        "{from}: {dataset}: {file}: found no original, expected one, plain, gzipped or in the official archive{}",
        refused.iter().map(|line| format!("; {line}")).collect::<String>()
    )]
    NotFound {
        /// The folder that was searched.
        from: String,
        /// The data set.
        dataset: DatasetName,
        /// The file.
        file: String,
        /// Files of that name that were refused, and why.
        refused: Vec<String>,
    },
    /// The originals could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A class is too small, which it is not in the originals.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// A file could not be written.
    #[error("{file}: cannot write: {cause}")]
    Write {
        /// The file.
        file: String,
        /// What the system says.
        cause: io::Error,
    },
}

fn embedded_names() -> String {
    SUBSETS.iter().map(|subset| subset.dataset.as_str()).collect::<Vec<_>>().join(", ")
}

/// Makes the files of the embedded subsets of `names` from the original files in `from`; those of `<data set>` go to
/// the folder `<to>/<data set>`.
///
/// A file that already has the content is left as it is: another version of the compressor is no reason for other
/// bytes.
///
/// # Errors
/// [`EmbedError`]. Nothing is written unless every original of every data set is there; a file that was not finished
/// does not appear under its name.
pub fn embed(from: &Path, to: &Path, names: &[DatasetName]) -> Result<Vec<EmbedReport>, EmbedError> {
    let cannot_write = |file: &Path, cause| EmbedError::Write { file: file.display().to_string(), cause };
    let chosen = names.iter().map(|&dataset| subset(dataset).ok_or(EmbedError::NotEmbedded { dataset }));
    let chosen = chosen.collect::<Result<Vec<&Subset>, _>>()?;
    let originals = tempfile::tempdir().map_err(|cause| cannot_write(&std::env::temp_dir(), cause))?;
    for report in import(from, originals.path(), names, &mut |_| ())? {
        if let Outcome::NotFound { refused } = report.outcome {
            let (from, dataset, file) = (from.display().to_string(), report.dataset, report.file);
            return Err(EmbedError::NotFound { from, dataset, file, refused });
        }
    }
    let mut reports = Vec::new();
    for subset in chosen {
        let images = first_images(subset, &load(subset.dataset, originals.path())?)?;
        for (file, content) in contents(subset, &images) {
            let path = to.join(subset.dataset.as_str()).join(file.name);
            let gzip = put_gzipped(&path, &content).map_err(|cause| cannot_write(&path, cause))?;
            reports.push(EmbedReport {
                dataset: subset.dataset,
                name: file.name,
                gzip_bytes: gzip.len() as u64,
                gzip_sha256: hex(&Sha256::digest(&gzip)),
                bytes: content.len() as u64,
                sha256: hex(&Sha256::digest(&content)),
            });
        }
    }
    Ok(reports)
}

/// The images that `subset` takes from the data set `full`: the first of each class, in the order of `full`.
///
/// # Errors
/// [`DrawError::ClassTooSmall`] when a class has too few images.
///
/// # Panics
/// If `full` is another data set.
#[track_caller]
pub fn first_images(subset: &Subset, full: &Dataset) -> Result<Dataset, DrawError> {
    assert_eq!(subset.dataset, full.name, "first_images: a subset of this data set");
    let train = first_of_each_class(&full.train, subset.train_per_class)?;
    let test = first_of_each_class(&full.test, subset.test_per_class)?;
    Ok(Dataset { name: full.name, train, test })
}

fn first_of_each_class(split: &Split, n: usize) -> Result<Split, DrawError> {
    let available = split.class_counts();
    if let Some(class) = (0..N_CLASSES).find(|y| available[*y] < n) {
        return Err(DrawError::ClassTooSmall { class: class as u8, found: available[class], wanted: n });
    }
    let mut taken = [0; N_CLASSES];
    let first = split.labels().iter().enumerate().filter_map(|(i, &y)| {
        taken[usize::from(y)] += 1;
        (taken[usize::from(y)] <= n).then_some(i)
    });
    let indices: Vec<usize> = first.collect();
    Ok(split.select(&indices, &Classes::first(N_CLASSES).expect("all classes")))
}

/// The files of `subset` with their contents, which hold `images`.
fn contents<'s>(subset: &'s Subset, images: &Dataset) -> Vec<(&'s EmbeddedFile, Vec<u8>)> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let mut contents = Vec::new();
    for (files, split) in [(&subset.train, &images.train), (&subset.test, &images.test)] {
        match files {
            SplitFiles::Idx { images, labels } => {
                let (mut x, mut y) = (Vec::new(), Vec::new());
                idx::write_images(&mut x, split).expect(IN_MEMORY);
                idx::write_labels(&mut y, split).expect(IN_MEMORY);
                contents.extend([(images, x), (labels, y)]);
            }
            SplitFiles::Cifar { batch } => {
                let mut records = Vec::new();
                cifar::write_batch(&mut records, split).expect(IN_MEMORY);
                contents.push((batch, records));
            }
        }
    }
    contents
}

/// Makes `path` a gzipped file of `content`, unless it is one; returns the bytes of the file.
fn put_gzipped(path: &Path, content: &[u8]) -> io::Result<Vec<u8>> {
    if let Ok(there) = std::fs::read(path)
        && there.starts_with(&gzip::MAGIC)
        && unpacked(&there).is_ok_and(|unpacked| unpacked == content)
    {
        return Ok(there);
    }
    let gzip = gzipped(content);
    write_atomically(path, |out| out.write_all(&gzip))?;
    Ok(gzip)
}

fn unpacked(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    gzip::plain(file)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Compressed as far as it goes. No time and no name goes into the header, so the same content gives the same bytes.
fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{CIFAR10, MNIST, cifar10, mnist};

    #[test]
    fn the_subset_of_the_subset_is_itself() {
        for subset in SUBSETS {
            let images = subset.load();
            assert_eq!(first_images(subset, &images).unwrap(), images);
            // And its files hold what is recorded, so `embed` on the originals writes what is embedded.
            let contents = contents(subset, &images);
            assert!(contents.iter().map(|(file, _)| file.name).eq(subset.files().map(|file| file.name)));
            for (file, content) in contents {
                assert_eq!(hex(&Sha256::digest(&content)), file.sha256, "{}", file.name);
            }
        }
    }

    #[test]
    fn the_first_of_each_class_in_order() {
        // Three images of each class, told apart by their first byte; the labels run backwards.
        let labels: Vec<u8> = (0..30).map(|i| 9 - i % 10).collect();
        let images = (0..30).flat_map(|i| [[i].as_slice(), &[0; 3071]].concat()).collect();
        let split = Split::new(DatasetName::Cifar10.shape(), images, labels).unwrap();
        let full = Dataset { name: DatasetName::Cifar10, train: split.clone(), test: split };
        let subset = Subset { train_per_class: 2, test_per_class: 1, ..CIFAR10 };
        let cut = first_images(&subset, &full).unwrap();
        let firsts = |split: &Split| (0..split.len()).map(|i| split.image(i)[0]).collect::<Vec<u8>>();
        assert_eq!(firsts(&cut.train), (0..20).collect::<Vec<u8>>());
        assert_eq!(firsts(&cut.test), (0..10).collect::<Vec<u8>>());
        assert_eq!(cut.test.labels(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_subset_needs_enough_of_every_class() {
        for (subset, mut small, found, wanted) in [(&MNIST, mnist(), 100, 2_000), (&CIFAR10, cifar10(), 50, 200)] {
            std::mem::swap(&mut small.train, &mut small.test);
            let error = first_images(subset, &small).unwrap_err();
            assert_eq!(error, DrawError::ClassTooSmall { class: 0, found, wanted });
        }
    }

    #[test]
    #[should_panic(expected = "a subset of this data set")]
    fn a_subset_is_of_its_own_data_set() {
        let _ = first_images(&MNIST, &cifar10());
    }

    #[test]
    fn originals_are_asked_for_by_name() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("train-images-idx3-ubyte"), b"not it").unwrap();
        std::fs::write(from.path().join("data_batch_1.bin"), b"nor this").unwrap();
        let error = |from: &Path, names: &[DatasetName]| embed(from, to.path(), names).unwrap_err().to_string();
        let mnist = error(from.path(), &[DatasetName::Mnist, DatasetName::Cifar10]);
        assert!(mnist.contains(": mnist: train-images-idx3-ubyte: found no original"), "{mnist}");
        assert!(mnist.contains("train-images-idx3-ubyte: found 6 bytes, expected 47040016"), "{mnist}");
        let cifar10 = error(from.path(), &[DatasetName::Cifar10]);
        assert!(cifar10.contains(": cifar10: data_batch_1.bin: found no original"), "{cifar10}");
        assert!(cifar10.contains("data_batch_1.bin: found 8 bytes, expected 30730000"), "{cifar10}");
        assert!(error(&from.path().join("none"), &[DatasetName::Mnist]).contains("none: cannot read"));
        let fashion = error(from.path(), &[DatasetName::FashionMnist]);
        assert_eq!(fashion, "fashion-mnist: nothing of it is embedded, expected one of mnist, cifar10");
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_with_the_content_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/a.gz");
        let content = [b"content".as_slice(); 9].concat();
        let ours = put_gzipped(&path, &content).unwrap();
        assert_eq!((unpacked(&ours).unwrap(), std::fs::read(&path).unwrap()), (content.clone(), ours.clone()));
        // As another compressor would write it.
        let mut other = GzBuilder::new().mtime(1).write(Vec::new(), Compression::none());
        other.write_all(&content).unwrap();
        let other = other.finish().unwrap();
        std::fs::write(&path, &other).unwrap();
        assert_eq!(
            (put_gzipped(&path, &content).unwrap(), std::fs::read(&path).unwrap()),
            (other.clone(), other.clone())
        );
        // Other content, cut short, and not gzipped at all: written anew.
        for wrong in [gzipped(b"other"), other[..other.len() - 1].to_vec(), content.clone()] {
            std::fs::write(&path, wrong).unwrap();
            put_gzipped(&path, &content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), ours);
        }
    }
}
