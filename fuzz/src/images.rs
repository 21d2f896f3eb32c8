//! Images: IDX and CIFAR-10, plain and gzipped, and archives of such files.

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use superlinear_datasets::catalog::{Entry, FileSpec, Publication};
use superlinear_datasets::import::{Outcome, import_entries};
use superlinear_datasets::{DatasetName, Split, cifar as batches, idx as files};

const NAME: &str = "images";
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Images or labels in the IDX format, plain or gzipped.
pub fn idx(bytes: &[u8]) -> bool {
    let images = files::parse_images(NAME, bytes).ok();
    let labels = files::parse_labels(NAME, bytes).ok();
    assert!(images.is_none() || labels.is_none(), "images and labels at once");
    reads_the_same_gzipped(bytes, |bytes| files::parse_images(NAME, bytes).ok());
    reads_the_same_gzipped(bytes, |bytes| files::parse_labels(NAME, bytes).ok());
    let plain = !bytes.starts_with(&GZIP);
    if let Some(labels) = &labels {
        assert!(!plain || labels.len() + 8 == bytes.len(), "{} labels of {} bytes", labels.len(), bytes.len());
    }
    if let Some(images) = &images {
        let n = images.pixels.len() / images.shape.len();
        let split = Split::new(images.shape, images.pixels.clone(), vec![0; n]).expect("whole images");
        let mut written = Vec::new();
        files::write_images(&mut written, &split).expect("memory takes it");
        assert_eq!(files::parse_images(NAME, &written[..]).ok().as_ref(), Some(images));
        assert!(!plain || written == bytes, "plain images are written as they came");
    }
    images.is_some() || labels.is_some()
}

/// A batch of CIFAR-10, plain or gzipped.
pub fn cifar(bytes: &[u8]) -> bool {
    reads_the_same_gzipped(bytes, |bytes| batches::parse_batch(NAME, bytes).ok());
    let Ok(split) = batches::parse_batch(NAME, bytes) else { return false };
    let mut written = Vec::new();
    batches::write_batch(&mut written, &split).expect("memory takes it");
    assert_eq!(batches::parse_batch(NAME, &written[..]).ok(), Some(split));
    assert!(bytes.starts_with(&GZIP) || written == bytes, "a plain batch is written as it came");
    true
}

/// The files of [`archive`], with their content.
pub const ARCHIVED: [(&str, &[u8]); 2] = [("1.bin", b"one"), ("2.bin", b"two")];

/// An archive that a data set is imported from, plain or gzipped: what is taken from it is the original, whole.
pub fn archive(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let entry = Entry {
        dataset: DatasetName::Cifar10,
        files: ARCHIVED
            .iter()
            .map(|(name, content)| FileSpec {
                name: (*name).to_owned(),
                bytes: content.len() as u64,
                sha256: Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect(),
            })
            .collect(),
        publication: Publication::TarGz { archive: "all.tar.gz".to_owned(), mirrors: Vec::new() },
    };
    fs::create_dir(&from).and_then(|()| fs::write(from.join("all.tar.gz"), bytes)).expect("a temporary file");
    let reports = import_entries(&[entry], &from, &to, &mut |_| ()).expect("both folders can be used");
    let mut n_files = 0;
    for (report, (name, content)) in reports.iter().zip(ARCHIVED) {
        let stored = fs::read(to.join(DatasetName::Cifar10.as_str()).join(name)).ok();
        let imported = matches!(report.outcome, Outcome::Imported { .. });
        assert_eq!(stored.as_deref(), imported.then_some(content), "{name}");
        n_files += usize::from(imported);
    }
    let there = fs::read_dir(to.join(DatasetName::Cifar10.as_str())).map_or(0, Iterator::count);
    assert_eq!(there, n_files, "nothing else is left");
    n_files == ARCHIVED.len()
}

/// Plain bytes are read or refused alike when they come gzipped.
fn reads_the_same_gzipped<T: PartialEq + Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Option<T>) {
    if !bytes.starts_with(&GZIP) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it");
        assert_eq!(read(&compressed), read(bytes));
    }
}
