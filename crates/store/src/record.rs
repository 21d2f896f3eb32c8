//! Our own types on disk: postcard in an envelope that says what it is and proves that it is whole.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | [`MAGIC`]: no text file begins so, and a transfer that rewrites line ends breaks it |
//! | 2 | version of the envelope |
//! | 2 + n | kind of the record: length, UTF-8 |
//! | 4 | version of the record |
//! | 8 + n | payload: length, postcard |
//! | 32 | SHA-256 of everything before |
//!
//! Magic and closing digest are the same in every version of the envelope, so that a newer file is told from a damaged
//! one. Integers are little-endian. Postcard does not describe itself, so any change to a record's fields, their order
//! or types is a new [`Record::VERSION`]. To read an old one, keep its type under another name with the same
//! [`Record::KIND`].

use crate::atomic::{self, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// First bytes of every record.
pub const MAGIC: [u8; 8] = *b"\x89SLREC\r\n";

/// Version of the envelope itself.
pub const ENVELOPE_VERSION: u16 = 1;

const DIGEST_LEN: usize = 32;

/// A type with a place on disk.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is, the same in every version: a short lower-case word such as `dense-matrix`.
    const KIND: &'static str;
    /// Counts up with every change of the fields.
    const VERSION: u32;
}

/// A record could not be written or read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file could not be read.
    #[error("{}: cannot read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file, or the value to be written, is not what it should be.
    #[error("{}: {defect}", path.display())]
    Defect {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        defect: Defect,
    },
}

/// What is wrong with the bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Defect {
    /// It does not begin as a record does.
    #[error("not a record: begins with {found:02x?}, expected {MAGIC:02x?}")]
    Foreign {
        /// The first bytes, at most eight.
        found: Vec<u8>,
    },
    /// The envelope is of another version, likely a newer one.
    #[error("envelope version {found}, expected {ENVELOPE_VERSION}")]
    EnvelopeVersion {
        /// The version in the file.
        found: u16,
    },
    /// The bytes end early, or go on too long.
    #[error("{found} bytes, expected {expected}")]
    Length {
        /// Length of the file.
        found: u64,
        /// Length that its envelope asks for, or the least any record has.
        expected: u64,
    },
    /// The content is not what was written.
    #[error("corrupt: SHA-256 of the content is {found}, expected {expected}")]
    Digest {
        /// Digest of the content, in hexadecimal.
        found: String,
        /// Digest in the file.
        expected: String,
    },
    /// A whole record, but of something else.
    #[error("a record of kind {found:?}, expected {expected:?}")]
    Kind {
        /// The kind in the file.
        found: String,
        /// The kind asked for.
        expected: &'static str,
    },
    /// A record of this kind, but of another version.
    #[error("version {found} of kind {kind:?}, expected {expected}")]
    Version {
        /// The kind.
        kind: &'static str,
        /// The version in the file.
        found: u32,
        /// The version asked for.
        expected: u32,
    },
    /// The payload does not decode to the type: its fields changed and its version did not.
    #[error("payload of kind {kind:?} version {version} does not decode: {cause}")]
    Payload {
        /// The kind.
        kind: &'static str,
        /// The version.
        version: u32,
        /// What the decoder said.
        cause: String,
    },
    /// The value cannot be encoded.
    #[error("a value of kind {kind:?} does not encode: {cause}")]
    Encode {
        /// The kind.
        kind: &'static str,
        /// What the encoder said.
        cause: String,
    },
}

/// Writes a record to `path`, atomically.
///
/// # Errors
///
/// [`RecordError::Write`], or [`RecordError::Defect`] with [`Defect::Encode`] for a value that has no encoding.
pub fn write<R: Record>(path: &Path, record: &R) -> Result<(), RecordError> {
    let bytes = to_bytes(record).map_err(|defect| RecordError::Defect { path: path.to_owned(), defect })?;
    Ok(atomic::write(path, &bytes)?)
}

/// Reads the record at `path`.
///
/// # Errors
///
/// [`RecordError::Read`] or [`RecordError::Defect`], both naming the file.
pub fn read<R: Record>(path: &Path) -> Result<R, RecordError> {
    let bytes = crate::whole::read(path).map_err(|cause| RecordError::Read { path: path.to_owned(), cause })?;
    from_bytes(&bytes).map_err(|defect| RecordError::Defect { path: path.to_owned(), defect })
}

/// What the record at `path` says of itself, whatever it is a record of: its kind, its version and the length of its
/// payload.
///
/// # Errors
///
/// [`RecordError::Read`] or [`RecordError::Defect`], as [`read`]; the payload is not decoded.
pub fn describe(path: &Path) -> Result<Description, RecordError> {
    let bytes = crate::whole::read(path).map_err(|cause| RecordError::Read { path: path.to_owned(), cause })?;
    let envelope = Envelope::open(&bytes).map_err(|defect| RecordError::Defect { path: path.to_owned(), defect })?;
    Ok(Description {
        kind: String::from_utf8_lossy(envelope.kind).into_owned(),
        version: envelope.version,
        payload_len: envelope.payload.len() as u64,
    })
}

/// What an intact record says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// [`Record::KIND`].
    pub kind: String,
    /// [`Record::VERSION`].
    pub version: u32,
    /// Bytes of the payload.
    pub payload_len: u64,
}

impl Defect {
    /// Whether the file is intact and made by a later version of this software: one to keep, not one to replace.
    pub fn is_newer(&self) -> bool {
        match *self {
            Self::EnvelopeVersion { found } => found > ENVELOPE_VERSION,
            Self::Version { found, expected, .. } => found > expected,
            _ => false,
        }
    }
}

/// A record as bytes. Equal values give equal bytes.
///
/// # Errors
///
/// [`Defect::Encode`].
///
/// # Panics
///
/// If [`Record::KIND`] is longer than 65,535 bytes.
pub fn to_bytes<R: Record>(record: &R) -> Result<Vec<u8>, Defect> {
    let encode_failed = |cause: postcard::Error| Defect::Encode { kind: R::KIND, cause: cause.to_string() };
    let kind_len = u16::try_from(R::KIND.len()).expect("a kind is a short word");

    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(ENVELOPE_VERSION.to_le_bytes());
    bytes.extend(kind_len.to_le_bytes());
    bytes.extend(R::KIND.as_bytes());
    bytes.extend(R::VERSION.to_le_bytes());
    let length_at = bytes.len();
    bytes.extend([0; 8]);
    // Onto the same buffer: the payload may be a large matrix.
    let mut bytes = postcard::to_extend(record, bytes).map_err(encode_failed)?;
    let payload_len = (bytes.len() - length_at - 8) as u64;
    bytes[length_at..length_at + 8].copy_from_slice(&payload_len.to_le_bytes());
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    Ok(bytes)
}

/// The record in `bytes`, which it must fill.
///
/// # Errors
///
/// [`Defect`], for any bytes that [`to_bytes`] of this type did not write. Never panics, and believes no length before
/// the digest has been checked.
pub fn from_bytes<R: Record>(bytes: &[u8]) -> Result<R, Defect> {
    let envelope = Envelope::open(bytes)?;
    if envelope.kind != R::KIND.as_bytes() {
        return Err(Defect::Kind { found: String::from_utf8_lossy(envelope.kind).into_owned(), expected: R::KIND });
    }
    if envelope.version != R::VERSION {
        return Err(Defect::Version { kind: R::KIND, found: envelope.version, expected: R::VERSION });
    }
    let undecodable = |cause: String| Defect::Payload { kind: R::KIND, version: R::VERSION, cause };
    let (record, rest) = postcard::take_from_bytes(envelope.payload).map_err(|e| undecodable(e.to_string()))?;
    if rest.is_empty() { Ok(record) } else { Err(undecodable(format!("{} bytes are left over", rest.len()))) }
}

/// An envelope whose digest has been checked.
struct Envelope<'a> {
    kind: &'a [u8],
    version: u32,
    payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Defect> {
        let found = bytes.len() as u64;
        if !bytes.starts_with(&MAGIC) {
            return Err(Defect::Foreign { found: bytes[..bytes.len().min(MAGIC.len())].to_vec() });
        }
        let Some((content, digest)) = bytes[MAGIC.len()..].split_last_chunk::<DIGEST_LEN>() else {
            return Err(Defect::Length { found, expected: (MAGIC.len() + 2 + DIGEST_LEN) as u64 });
        };
        let check = || check_digest(&bytes[..bytes.len() - DIGEST_LEN], digest);
        let mut cursor = Cursor { rest: content, total: found };
        let envelope_version = u16::from_le_bytes(cursor.take_array()?);
        if envelope_version != ENVELOPE_VERSION {
            // Whatever else another version changes, its digest closes it; a flipped bit here is no newer version.
            check()?;
            return Err(Defect::EnvelopeVersion { found: envelope_version });
        }
        let kind_len = u16::from_le_bytes(cursor.take_array()?);
        let kind = cursor.take(u64::from(kind_len))?;
        let version = u32::from_le_bytes(cursor.take_array()?);
        let payload_len = u64::from_le_bytes(cursor.take_array()?);
        let payload = cursor.take(payload_len)?;
        if !cursor.rest.is_empty() {
            return Err(Defect::Length { found, expected: found - cursor.rest.len() as u64 });
        }
        check()?;
        Ok(Self { kind, version, payload })
    }
}

/// What is left to read in front of the digest, and how long the file is, for the error.
struct Cursor<'a> {
    rest: &'a [u8],
    total: u64,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], Defect> {
        let position = self.total - self.rest.len() as u64;
        let split = usize::try_from(n).ok().and_then(|n| self.rest.split_at_checked(n));
        // The position counts the digest in, which stands behind all that is taken.
        let (taken, rest) = split.ok_or(Defect::Length { found: self.total, expected: position.saturating_add(n) })?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Defect> {
        let taken = self.take(N as u64)?;
        Ok(std::array::from_fn(|i| taken[i]))
    }
}

fn check_digest(content: &[u8], expected: &[u8]) -> Result<(), Defect> {
    let digest = Sha256::digest(content);
    if digest[..] == *expected {
        return Ok(());
    }
    Err(Defect::Digest { found: hex(&digest), expected: hex(expected) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::fs;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Run {
        id: String,
        seeds: Vec<u64>,
        gamma: Option<f64>,
    }

    impl Record for Run {
        const KIND: &'static str = "run";
        const VERSION: u32 = 3;
    }

    fn run() -> Run {
        Run { id: "mlp-κ".into(), seeds: vec![1, 2, 1 << 40], gamma: Some(1.25) }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct NewerRun(Run, u8);

    impl Record for NewerRun {
        const KIND: &'static str = "run";
        const VERSION: u32 = 4;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Other(u8);

    impl Record for Other {
        const KIND: &'static str = "other";
        const VERSION: u32 = 3;
    }

    /// The layout is a promise to files already written: laid out by hand here from the table above, but for the
    /// digest, which was computed with `sha256sum`.
    #[test]
    fn the_layout_is_fixed() {
        let bytes = to_bytes(&Other(0xab)).unwrap();
        let mut expected =
            b"\x89SLREC\r\n\x01\x00\x05\x00other\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xab".to_vec();
        assert_eq!(hex(&bytes[expected.len()..]), "beebd1bd7a1dedb37b4b26c1630c02c9aa6a1977c57856fae34b890d1d254b9d");
        expected.extend(&bytes[expected.len()..]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn round_trips_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("λ runs").join("one.rec");
        write(&path, &run()).unwrap();
        assert_eq!(read::<Run>(&path).unwrap(), run());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(to_bytes(&run()).unwrap(), bytes);
        let payload_len = (bytes.len() - 8 - 2 - 2 - 3 - 4 - 8 - DIGEST_LEN) as u64;
        assert_eq!(describe(&path).unwrap(), Description { kind: "run".into(), version: 3, payload_len });
    }

    #[test]
    fn errors_name_the_file_and_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.rec");
        let message = || read::<Run>(&path).unwrap_err().to_string();
        assert!(message().starts_with(&format!("{}: cannot read: ", path.display())));

        fs::write(&path, b"PK\x03\x04").unwrap();
        assert_eq!(
            message(),
            format!(
                "{}: not a record: begins with [50, 4b, 03, 04], expected [89, 53, 4c, 52, 45, 43, 0d, 0a]",
                path.display()
            )
        );
        write(&path, &Other(1)).unwrap();
        assert_eq!(message(), format!("{}: a record of kind \"other\", expected \"run\"", path.display()));
        write(&path, &NewerRun(run(), 0)).unwrap();
        assert_eq!(message(), format!("{}: version 4 of kind \"run\", expected 3", path.display()));
        write(&path, &run()).unwrap();
        assert_eq!(
            from_bytes::<NewerRun>(&fs::read(&path).unwrap()),
            Err(Defect::Version { kind: "run", found: 3, expected: 4 })
        );
    }

    #[test]
    fn a_newer_envelope_and_changed_fields_are_told_apart() {
        let mut bytes = to_bytes(&run()).unwrap();
        bytes[8] = 2;
        assert!(matches!(from_bytes::<Run>(&bytes), Err(Defect::Digest { .. })), "a flipped bit is no version");
        bytes.truncate(bytes.len() - DIGEST_LEN);
        bytes.extend(Sha256::digest(&bytes));
        let newer = from_bytes::<Run>(&bytes).unwrap_err();
        assert_eq!(newer, Defect::EnvelopeVersion { found: 2 });
        assert!(newer.is_newer());
        let of_newer = from_bytes::<Run>(&to_bytes(&NewerRun(run(), 0)).unwrap()).unwrap_err();
        assert!(of_newer.is_newer() && !Defect::EnvelopeVersion { found: 0 }.is_newer());

        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Careless(u8, u8);
        impl Record for Careless {
            const KIND: &'static str = "other";
            const VERSION: u32 = 3;
        }
        let longer = to_bytes(&Careless(1, 2)).unwrap();
        let Err(Defect::Payload { cause, .. }) = from_bytes::<Other>(&longer) else { panic!("decoded") };
        assert_eq!(cause, "1 bytes are left over");
        assert!(matches!(from_bytes::<Careless>(&to_bytes(&Other(1)).unwrap()), Err(Defect::Payload { .. })));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let whole = to_bytes(&run()).unwrap();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(from_bytes::<Run>(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(from_bytes::<Run>(&whole[..length]).is_err(), "length {length}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        let (found, expected) = (longer.len() as u64, whole.len() as u64);
        assert_eq!(from_bytes::<Run>(&longer), Err(Defect::Length { found, expected }));
        let shorter = &whole[..whole.len() - 1];
        assert_eq!(from_bytes::<Run>(shorter), Err(Defect::Length { found: expected - 1, expected }));
    }

    proptest! {
        #[test]
        fn any_damage_is_an_error_and_never_a_panic(
            garbage in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..400, keep in any::<bool>(),
        ) {
            let mut bytes = to_bytes(&run()).unwrap();
            let at = at.min(bytes.len());
            let tail = if keep { bytes.split_off(at) } else { Vec::new() };
            bytes.truncate(at);
            bytes.extend(&garbage);
            bytes.extend(tail);
            let undamaged = bytes == to_bytes(&run()).unwrap();
            prop_assert_eq!(from_bytes::<Run>(&bytes).is_ok(), undamaged);
        }

        #[test]
        fn any_value_round_trips(
            id in ".*",
            seeds in prop::collection::vec(any::<u64>(), 0..9),
            gamma in prop::option::of(-9.0..9.0f64),
        ) {
            let run = Run { id, seeds, gamma };
            prop_assert_eq!(from_bytes::<Run>(&to_bytes(&run).unwrap()), Ok(run));
        }
    }
}
