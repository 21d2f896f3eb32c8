//! The IDX format of MNIST and Fashion-MNIST, plain or gzipped: reading with every count checked, and writing.
//!
//! A file is a big-endian header, then bytes: magic `0x00000803`, `n`, rows, columns and `n · rows · columns` pixels
//! for images; magic `0x00000801`, `n` and `n` labels for labels.

use crate::plain_file;
use crate::{ImageShape, Split, SplitError, gzip};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// First four bytes of a file of images: unsigned bytes in three dimensions.
const IMAGES_MAGIC: u32 = 0x0803;
/// First four bytes of a file of labels: unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0801;

/// The images of one file, `n × rows × columns`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// Shape of one image, of a single channel.
    pub shape: ImageShape,
    /// Bytes of all images.
    pub pixels: Vec<u8>,
}

/// Why a file is not the IDX file that was expected. Every message begins with the file.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file could not be opened or read, or its gzip stream is broken or cut short.
    #[error("{file}: cannot read: {cause}")]
    Read {
        /// The file.
        file: String,
        /// What the system or the gzip decoder says.
        cause: io::Error,
    },
    /// The content ends inside the header or the data.
    #[error("{file}: {field}: found {found} bytes, expected {expected}: the file is truncated")]
    Truncated {
        /// The file.
        file: String,
        /// `header`, `pixels` or `labels`.
        field: &'static str,
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// The content goes on after the data.
    #[error("{file}: {field}: found more than {expected} bytes, expected exactly {expected}")]
    TrailingBytes {
        /// The file.
        file: String,
        /// `pixels` or `labels`.
        field: &'static str,
        /// Bytes there should be.
        expected: u64,
    },
    /// Another format, or labels in place of images.
    #[error("{file}: magic number: found {found:#010x}, expected {expected:#010x}")]
    Magic {
        /// The file.
        file: String,
        /// The first four bytes.
        found: u32,
        /// `0x0803` for images, `0x0801` for labels.
        expected: u32,
    },
    /// Dimensions that no image file has.
    #[error("{file}: dimensions: found {n} x {rows} x {columns}, expected rows and columns of 1 to 65535 pixels")]
    Dimensions {
        /// The file.
        file: String,
        /// Images.
        n: u32,
        /// Rows of an image.
        rows: u32,
        /// Columns of an image.
        columns: u32,
    },
    /// Images and labels that do not make a split.
    #[error("{images} and {labels}: {cause}")]
    Split {
        /// The file of images.
        images: String,
        /// The file of labels.
        labels: String,
        /// What does not match.
        cause: SplitError,
    },
}

/// Reads a file of images and the file of their labels, each plain or gzipped.
///
/// # Errors
/// [`IdxError`], which names the file, the field, what was found and what was expected.
pub fn read_split(images: &Path, labels: &Path) -> Result<Split, IdxError> {
    let (images_name, labels_name) = (images.display().to_string(), labels.display().to_string());
    let images = parse_images(&images_name, open(images)?)?;
    let labels = parse_labels(&labels_name, open(labels)?)?;
    Split::new(images.shape, images.pixels, labels).map_err(|cause| IdxError::Split {
        images: images_name,
        labels: labels_name,
        cause,
    })
}

/// Reads images from `reader`, plain or gzipped; `file` names it in errors.
///
/// # Errors
/// [`IdxError`] when the content is not exactly one IDX file of images.
pub fn parse_images(file: &str, reader: impl Read) -> Result<IdxImages, IdxError> {
    let mut reader = decoded(file, reader)?;
    let [n, rows, columns] = header(file, &mut reader, IMAGES_MAGIC)?;
    let side = 1..=u32::from(u16::MAX);
    if !side.contains(&rows) || !side.contains(&columns) {
        return Err(IdxError::Dimensions { file: file.to_owned(), n, rows, columns });
    }
    // Fits: 32 bits of images times twice 16 bits of side.
    let expected = u64::from(n) * u64::from(rows) * u64::from(columns);
    let shape = ImageShape { channels: 1, height: rows as usize, width: columns as usize };
    Ok(IdxImages { shape, pixels: body(file, "pixels", reader, expected)? })
}

/// Reads labels from `reader`, plain or gzipped; `file` names it in errors. Their range is not checked here, see
/// [`Split::new`].
///
/// # Errors
/// [`IdxError`] when the content is not exactly one IDX file of labels.
pub fn parse_labels(file: &str, reader: impl Read) -> Result<Vec<u8>, IdxError> {
    let mut reader = decoded(file, reader)?;
    let [n] = header(file, &mut reader, LABELS_MAGIC)?;
    body(file, "labels", reader, u64::from(n))
}

/// Writes the images of a single-channel split as an IDX file, uncompressed.
///
/// # Errors
/// When `out` fails.
///
/// # Panics
/// If the split has more than one channel: the format has no place for it.
#[track_caller]
pub fn write_images(mut out: impl Write, split: &Split) -> io::Result<()> {
    let shape = split.shape();
    assert_eq!(shape.channels, 1, "write_images: IDX images have one channel");
    write_header(&mut out, [IMAGES_MAGIC as usize, split.len(), shape.height, shape.width])?;
    out.write_all(split.images())
}

/// Writes the labels of a split as an IDX file, uncompressed.
///
/// # Errors
/// When `out` fails.
pub fn write_labels(mut out: impl Write, split: &Split) -> io::Result<()> {
    write_header(&mut out, [LABELS_MAGIC as usize, split.len()])?;
    out.write_all(split.labels())
}

fn write_header<const N: usize>(out: &mut impl Write, fields: [usize; N]) -> io::Result<()> {
    for field in fields {
        let field = u32::try_from(field).map_err(|_| io::Error::other("IDX counts are 32 bits wide"))?;
        out.write_all(&field.to_be_bytes())?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, IdxError> {
    plain_file::open(path).map_err(|cause| IdxError::Read { file: path.display().to_string(), cause })
}

fn decoded<'a>(file: &str, reader: impl Read + 'a) -> Result<Box<dyn Read + 'a>, IdxError> {
    gzip::plain(BufReader::new(reader)).map_err(|cause| IdxError::Read { file: file.to_owned(), cause })
}

/// The `N` fields after the magic number, which is checked first: a short file of another kind is foreign, not
/// truncated.
fn header<const N: usize>(file: &str, reader: &mut impl Read, magic: u32) -> Result<[u32; N], IdxError> {
    let expected = 4 * (N as u64 + 1);
    let mut bytes = Vec::with_capacity(4 * (N + 1));
    read_up_to(file, reader, expected, &mut bytes)?;
    let mut words = bytes.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    if let Some(found) = words.next().filter(|word| *word != magic) {
        return Err(IdxError::Magic { file: file.to_owned(), found, expected: magic });
    }
    let mut fields = [0; N];
    for field in &mut fields {
        let found = bytes.len() as u64;
        *field = words.next().ok_or_else(|| IdxError::Truncated {
            file: file.to_owned(),
            field: "header",
            found,
            expected,
        })?;
    }
    Ok(fields)
}

/// The data after the header: exactly `expected` bytes.
fn body(file: &str, field: &'static str, mut reader: impl Read, expected: u64) -> Result<Vec<u8>, IdxError> {
    // A damaged header may promise anything: no memory is set aside on its word alone.
    let mut bytes = Vec::new();
    read_up_to(file, &mut reader, expected, &mut bytes)?;
    let found = bytes.len() as u64;
    if found < expected {
        return Err(IdxError::Truncated { file: file.to_owned(), field, found, expected });
    }
    // Reading past the end also makes the gzip decoder check its trailer.
    read_up_to(file, &mut reader, 1, &mut Vec::new()).and_then(|n| match n {
        0 => Ok(bytes),
        _ => Err(IdxError::TrailingBytes { file: file.to_owned(), field, expected }),
    })
}

fn read_up_to(file: &str, reader: &mut impl Read, n: u64, into: &mut Vec<u8>) -> Result<usize, IdxError> {
    reader.take(n).read_to_end(into).map_err(|cause| IdxError::Read { file: file.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

    fn split() -> Split {
        Split::new(SHAPE, (0..24).collect(), vec![3, 0, 9, 1]).unwrap()
    }

    fn images() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_images(&mut bytes, &split()).unwrap();
        bytes
    }

    fn labels() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_labels(&mut bytes, &split()).unwrap();
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images_error(bytes: &[u8]) -> String {
        parse_images("x", bytes).unwrap_err().to_string()
    }

    #[test]
    fn writes_the_published_layout() {
        assert_eq!(images()[..16], [0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(labels(), [0, 0, 8, 1, 0, 0, 0, 4, 3, 0, 9, 1]);
    }

    #[test]
    fn reads_back_plain_and_gzipped() {
        for (images, labels) in [(images(), labels()), (gz(&images()), gz(&labels()))] {
            let read = parse_images("x", &images[..]).unwrap();
            let labels = parse_labels("y", &labels[..]).unwrap();
            assert_eq!(Split::new(read.shape, read.pixels, labels).unwrap(), split());
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let whole = images();
        assert_eq!(images_error(b""), "x: header: found 0 bytes, expected 16: the file is truncated");
        assert_eq!(images_error(&whole[..15]), "x: header: found 15 bytes, expected 16: the file is truncated");
        assert_eq!(images_error(&whole[..30]), "x: pixels: found 14 bytes, expected 24: the file is truncated");
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(images_error(&longer), "x: pixels: found more than 24 bytes, expected exactly 24");
        let foreign = b"\x89PNG\r\n\x1a\n and so on, long enough";
        assert_eq!(images_error(foreign), "x: magic number: found 0x89504e47, expected 0x00000803");
        let labels_of_16_bytes = [0, 0, 8, 1, 0, 0, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(images_error(&labels_of_16_bytes), "x: magic number: found 0x00000801, expected 0x00000803");
        let mut flat = whole.clone();
        flat[11] = 0;
        assert_eq!(
            images_error(&flat),
            "x: dimensions: found 4 x 0 x 3, expected rows and columns of 1 to 65535 pixels"
        );
    }

    #[test]
    fn a_short_foreign_file_is_told_by_its_magic() {
        assert_eq!(images_error(&labels()), "x: magic number: found 0x00000801, expected 0x00000803");
        assert_eq!(
            parse_labels("y", &images()[..]).unwrap_err().to_string(),
            "y: magic number: found 0x00000803, expected 0x00000801"
        );
    }

    #[test]
    fn refuses_a_gzip_stream_cut_anywhere() {
        let compressed = gz(&images());
        for cut in 0..compressed.len() {
            let error = parse_images("x", &compressed[..cut]).unwrap_err();
            assert!(matches!(error, IdxError::Read { .. } | IdxError::Truncated { .. }), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn refuses_a_gzip_stream_with_a_wrong_checksum() {
        let mut compressed = gz(&images());
        let crc = compressed.len() - 8;
        compressed[crc] ^= 1;
        assert!(matches!(parse_images("x", &compressed[..]), Err(IdxError::Read { .. })));
    }

    #[test]
    fn a_split_names_both_files() {
        let dir = tempfile::tempdir().unwrap();
        let (x, y) = (dir.path().join("x"), dir.path().join("y"));
        std::fs::write(&x, images()).unwrap();
        std::fs::write(&y, [0, 0, 8, 1, 0, 0, 0, 3, 3, 0, 9]).unwrap();
        let error = read_split(&x, &y).unwrap_err().to_string();
        assert!(error.ends_with("y: labels: found 3, expected 4, one for each image"), "{error}");
        std::fs::write(&y, labels()).unwrap();
        assert_eq!(read_split(&x, &y).unwrap(), split());
        std::fs::remove_file(&y).unwrap();
        assert!(matches!(read_split(&x, &y), Err(IdxError::Read { file, .. }) if file.ends_with('y')));
    }

    proptest! {
        #[test]
        fn damage_never_panics_and_never_passes_a_wrong_length(
            cut in 0usize..41,
            flips in prop::collection::vec((0usize..40, 0u8..8), 0..4),
            compressed: bool,
        ) {
            let mut bytes = if compressed { gz(&images()) } else { images() };
            for (at, bit) in flips {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            bytes.truncate(cut);
            if let Ok(read) = parse_images("x", &bytes[..]) {
                prop_assert!(read.pixels.len().is_multiple_of(read.shape.len()));
                prop_assert!(compressed || read.pixels.len() + 16 == bytes.len());
            }
            let _ = parse_labels("y", &bytes[..]);
        }
    }
}
