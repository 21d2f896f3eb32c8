//! Reading and writing the binary version of CIFAR-10, plain or gzipped.
//!
//! A record is a label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, rows of 32. There is no header, so the
//! length is the only check of shape.

use crate::plain_file;
use crate::{ImageShape, N_CLASSES, Split, gzip};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Bytes of a record: a label and an image.
pub const RECORD_LEN: usize = 1 + ImageShape::RGB_32.len();

/// Why a file is not a batch of CIFAR-10. Every message begins with the file.
#[derive(Debug, thiserror::Error)]
pub enum CifarError {
    /// The file could not be opened or read, or its gzip stream is broken or cut short.
    #[error("{file}: cannot read: {cause}")]
    Read {
        /// The file.
        file: String,
        /// What the system or the gzip decoder says.
        cause: io::Error,
    },
    /// The file ends inside a record, or before the first.
    #[error("{file}: record {record}: found {found} bytes, expected {RECORD_LEN}: the file is truncated")]
    RaggedRecord {
        /// The file.
        file: String,
        /// Index of the record, from 0.
        record: usize,
        /// Bytes of it.
        found: usize,
    },
    /// A label that no class has: another format.
    #[error("{file}: record {record}: label: found {found}, expected 0 to {}", N_CLASSES - 1)]
    Label {
        /// The file.
        file: String,
        /// Index of the record, from 0.
        record: usize,
        /// Its first byte.
        found: u8,
    },
}

/// Reads batches, one after the other, into one split.
///
/// # Errors
/// [`CifarError`], which names the file, the record, what was found and what was expected.
pub fn read_split(batches: &[impl AsRef<Path>]) -> Result<Split, CifarError> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for path in batches {
        let file = path.as_ref().display().to_string();
        let reader = plain_file::open(path.as_ref()).map_err(|cause| CifarError::Read { file: file.clone(), cause })?;
        append(&file, reader, &mut images, &mut labels)?;
    }
    Ok(Split::new(ImageShape::RGB_32, images, labels).expect("records are whole and labels checked"))
}

/// Reads one batch from `reader`, plain or gzipped; `file` names it in errors.
///
/// # Errors
/// [`CifarError`] when the content is not whole records with labels below 10.
pub fn parse_batch(file: &str, reader: impl Read) -> Result<Split, CifarError> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    append(file, reader, &mut images, &mut labels)?;
    Ok(Split::new(ImageShape::RGB_32, images, labels).expect("records are whole and labels checked"))
}

/// Writes a split as a batch, uncompressed.
///
/// # Errors
/// When `out` fails.
///
/// # Panics
/// If the images are not 32 × 32 in three colours: the format has no place for another shape.
#[track_caller]
pub fn write_batch(mut out: impl Write, split: &Split) -> io::Result<()> {
    assert_eq!(split.shape(), ImageShape::RGB_32, "write_batch: images of CIFAR-10");
    for (i, &label) in split.labels().iter().enumerate() {
        out.write_all(&[label])?;
        out.write_all(split.image(i))?;
    }
    Ok(())
}

/// Appends the records of one batch to `images` and `labels`.
pub(crate) fn append(
    file: &str,
    reader: impl Read,
    images: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), CifarError> {
    let broken = |cause| CifarError::Read { file: file.to_owned(), cause };
    let mut reader = gzip::plain(BufReader::with_capacity(1 << 16, reader)).map_err(broken)?;
    let mut bytes = Vec::with_capacity(RECORD_LEN);
    for record in 0.. {
        bytes.clear();
        let found = reader.by_ref().take(RECORD_LEN as u64).read_to_end(&mut bytes).map_err(broken)?;
        match found {
            0 if record > 0 => break,
            RECORD_LEN => {}
            _ => return Err(CifarError::RaggedRecord { file: file.to_owned(), record, found }),
        }
        if usize::from(bytes[0]) >= N_CLASSES {
            return Err(CifarError::Label { file: file.to_owned(), record, found: bytes[0] });
        }
        labels.push(bytes[0]);
        images.extend_from_slice(&bytes[1..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records whose red, green and blue planes are filled with `10 y`, `10 y + 1`, `10 y + 2`.
    fn batch(labels: &[u8]) -> Vec<u8> {
        labels
            .iter()
            .flat_map(|&y| [vec![y], vec![10 * y; 1024], vec![10 * y + 1; 1024], vec![10 * y + 2; 1024]].concat())
            .collect()
    }

    #[test]
    fn reads_planes_in_order() {
        let split = parse_batch("b", &batch(&[2, 7])[..]).unwrap();
        assert_eq!((split.shape(), split.labels()), (ImageShape::RGB_32, &[2, 7][..]));
        let image = split.image(1);
        assert_eq!((image[0], image[1023], image[1024], image[2048], image[3071]), (70, 70, 71, 72, 72));
    }

    #[test]
    fn joins_batches_in_the_order_given() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("one"), dir.path().join("two")];
        std::fs::write(&paths[0], batch(&[4])).unwrap();
        std::fs::write(&paths[1], batch(&[1, 3])).unwrap();
        assert_eq!(read_split(&paths).unwrap().labels(), [4, 1, 3]);
        std::fs::remove_file(&paths[1]).unwrap();
        assert!(matches!(read_split(&paths), Err(CifarError::Read { file, .. }) if file.ends_with("two")));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: &[u8]| parse_batch("b", bytes).unwrap_err().to_string();
        assert_eq!(error(b""), "b: record 0: found 0 bytes, expected 3073: the file is truncated");
        assert_eq!(
            error(&batch(&[1, 2])[..6145]),
            "b: record 1: found 3072 bytes, expected 3073: the file is truncated"
        );
        assert_eq!(error(&batch(&[1, 10])), "b: record 1: label: found 10, expected 0 to 9");
    }

    #[test]
    fn writes_what_it_reads() {
        let bytes = batch(&[4, 0, 9]);
        let mut written = Vec::new();
        write_batch(&mut written, &parse_batch("b", &bytes[..]).unwrap()).unwrap();
        assert!(written == bytes);
    }

    #[test]
    #[should_panic(expected = "write_batch: images of CIFAR-10")]
    fn grey_images_are_not_written() {
        let grey = Split::new(ImageShape::GREY_28, vec![0; 784], vec![1]).unwrap();
        let _ = write_batch(Vec::new(), &grey);
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..6147, flips in prop::collection::vec((0usize..6146, 0u8..8), 0..4)) {
            let mut bytes = batch(&[1, 2]);
            for (at, bit) in flips {
                bytes[at] ^= 1 << bit;
            }
            bytes.truncate(cut);
            match parse_batch("b", &bytes[..]) {
                Ok(split) => prop_assert_eq!(split.len() * RECORD_LEN, bytes.len()),
                Err(error) => prop_assert!(error.to_string().starts_with("b: ")),
            }
        }
    }
}
