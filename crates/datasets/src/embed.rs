//! How the files behind [`embedded::mnist`](crate::embedded::mnist) are made from the original ones.
//!
//! `cargo xtask data embed --from <dir>` calls [`embed`]; the same originals give the same bytes.

use crate::embedded::{FILES, TEST_PER_CLASS, TRAIN_PER_CLASS};
use crate::import::{ImportError, Outcome, import};
use crate::verified::{hex, write_atomically};
use crate::{Classes, Dataset, DatasetName, DrawError, LoadError, N_CLASSES, Split, idx, load};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::Path;

/// A file that [`embed`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedReport {
    /// Its name.
    pub name: &'static str,
    /// Bytes of it.
    pub gzip_bytes: u64,
    /// SHA-256 of it.
    pub gzip_sha256: String,
    /// Bytes of the IDX content.
    pub bytes: u64,
    /// SHA-256 of the IDX content.
    pub sha256: String,
}

/// Why the embedded files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The folder of the originals could not be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An original is not there.
    #[error("{from}: {file}: found no original file of MNIST, expected one, plain or gzipped{}", refused.iter().map(|line| format!("; {line}")).collect::<String>())]
    NotFound {
        /// The folder that was searched.
        from: String,
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

/// Makes the four gzipped IDX files of [`FILES`] in the folder `to` from the original MNIST files in `from`.
///
/// # Errors
/// [`EmbedError`]; a file that was not finished does not appear under its name.
pub fn embed(from: &Path, to: &Path) -> Result<Vec<EmbedReport>, EmbedError> {
    let cannot_write = |file: &Path, cause| EmbedError::Write { file: file.display().to_string(), cause };
    let originals = tempfile::tempdir().map_err(|cause| cannot_write(&std::env::temp_dir(), cause))?;
    for report in import(from, originals.path(), &[DatasetName::Mnist], &mut |_| ())? {
        if let Outcome::NotFound { refused } = report.outcome {
            return Err(EmbedError::NotFound { from: from.display().to_string(), file: report.file, refused });
        }
    }
    let subset = subset(&load(DatasetName::Mnist, originals.path())?)?;
    let mut reports = Vec::new();
    for (file, content) in FILES.iter().zip(contents(&subset)) {
        let gzip = gzipped(&content);
        let path = to.join(file.name);
        write_atomically(&path, |out| out.write_all(&gzip)).map_err(|cause| cannot_write(&path, cause))?;
        reports.push(EmbedReport {
            name: file.name,
            gzip_bytes: gzip.len() as u64,
            gzip_sha256: hex(&Sha256::digest(&gzip)),
            bytes: content.len() as u64,
            sha256: hex(&Sha256::digest(&content)),
        });
    }
    Ok(reports)
}

/// The first [`TRAIN_PER_CLASS`] training and [`TEST_PER_CLASS`] test images of each class, in the order of `full`.
///
/// # Errors
/// [`DrawError::ClassTooSmall`] when a class has too few images.
pub fn subset(full: &Dataset) -> Result<Dataset, DrawError> {
    let train = first_of_each_class(&full.train, TRAIN_PER_CLASS)?;
    let test = first_of_each_class(&full.test, TEST_PER_CLASS)?;
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

/// The IDX contents, in the order of [`FILES`].
fn contents(dataset: &Dataset) -> [Vec<u8>; 4] {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let mut contents = [const { Vec::new() }; 4];
    idx::write_images(&mut contents[0], &dataset.train).expect(IN_MEMORY);
    idx::write_labels(&mut contents[1], &dataset.train).expect(IN_MEMORY);
    idx::write_images(&mut contents[2], &dataset.test).expect(IN_MEMORY);
    idx::write_labels(&mut contents[3], &dataset.test).expect(IN_MEMORY);
    contents
}

/// Compressed as far as it goes. No time and no name goes into the header, so the same content gives the same bytes.
fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::mnist;

    #[test]
    fn the_subset_of_the_subset_is_itself() {
        let mnist = mnist();
        assert_eq!(subset(&mnist).unwrap(), mnist);
        // And its files hold what is recorded, so `embed` on the originals writes what is embedded.
        for (file, content) in FILES.iter().zip(contents(&mnist)) {
            assert_eq!(hex(&Sha256::digest(&content)), file.sha256, "{}", file.name);
        }
    }

    #[test]
    fn a_subset_needs_enough_of_every_class() {
        let mut small = mnist();
        std::mem::swap(&mut small.train, &mut small.test);
        let error = subset(&small).unwrap_err();
        assert_eq!(error, DrawError::ClassTooSmall { class: 0, found: 100, wanted: 2_000 });
    }

    #[test]
    fn originals_are_asked_for_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("train-images-idx3-ubyte"), b"not it").unwrap();
        let error = embed(dir.path(), dir.path()).unwrap_err().to_string();
        assert!(error.contains("train-images-idx3-ubyte: found 6 bytes, expected 47040016"), "{error}");
        assert!(embed(&dir.path().join("none"), dir.path()).unwrap_err().to_string().contains("none: cannot read"));
    }
}
