//! Named tensors in the safetensors format, as PyTorch and JAX read them.
//!
//! Eight bytes of little-endian header length, a JSON header, the values of all tensors one after another without
//! gaps. The header, its types and its checks are those of the `safetensors` crate. Here are the bytes around it: they
//! are streamed, and metadata stands in the order of its keys, so that equal content gives equal files; and they are
//! counted, for the crate's own count may overflow. Widest element type first, so that every tensor is aligned.

use crate::array::{Array, ArrayView, ElementType};
use crate::atomic::{self, WriteError};
use crate::foreign;
use crate::whole;
use crate::widen::{ByteOrder, Stored, Unreadable};
use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest header believed, as in the reference implementation.
const MAX_HEADER: u64 = 100_000_000;
const METADATA_KEY: &str = "__metadata__";
const LENGTH_BYTES: usize = 8;

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensors {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Array>,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor file could not be written or read.
#[derive(Debug, Error)]
pub enum SafetensorsError {
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
    /// Two tensors to be written have the same name, or one has the name reserved for the metadata.
    #[error("{}: tensor name {name:?} is reserved or given twice", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The file is not as it should be.
    #[error("{}: {defect}", path.display())]
    Defect {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        defect: Defect,
    },
}

/// What is wrong with the bytes of a tensor file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Defect {
    /// The file is shorter than its header.
    #[error("{found} bytes, expected at least {expected} for the header")]
    HeaderLength {
        /// Length of the file.
        found: u64,
        /// Where the header would end.
        expected: u64,
    },
    /// The header is not the JSON it should be, or a tensor's extent does not fit its shape or its neighbours'.
    #[error("header: {0}")]
    Header(String),
    /// A tensor of a type that is not read.
    #[error("tensor {name:?} of type {found:?}, expected F16, BF16, F32, F64, an integer type or BOOL")]
    ValueType {
        /// Name of the tensor.
        name: String,
        /// The type in the header.
        found: String,
    },
    /// The values end early, or go on too long.
    #[error("{found} bytes of values, expected {expected}")]
    Length {
        /// Bytes after the header.
        found: u64,
        /// Bytes the tensors take.
        expected: u64,
    },
    /// Bytes of another kind.
    #[error("not a safetensors file, but {0}")]
    Foreign(&'static str),
    /// An unsigned integer that a signed one of 64 bits cannot hold.
    #[error("{found} in tensor {name:?}, expected integers to {}", i64::MAX)]
    TooLarge {
        /// Name of the tensor.
        name: String,
        /// The integer.
        found: u64,
    },
    /// A byte of a Boolean tensor is neither 0 nor 1.
    #[error("byte {found} in Boolean tensor {name:?}, expected 0 or 1")]
    NotBoolean {
        /// Name of the tensor.
        name: String,
        /// The byte.
        found: u8,
    },
}

/// The header, metadata first.
#[derive(Serialize)]
struct Header<'a> {
    // The reference implementation takes no empty table.
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: &'a Metadata,
}

/// Writes named tensors and free-text metadata to `path`, atomically. Equal content gives equal bytes, whatever the
/// order.
///
/// # Errors
///
/// [`SafetensorsError::Write`], or [`SafetensorsError::Name`] for a repeated name or `__metadata__`.
pub fn write(
    path: &Path,
    tensors: &[(&str, ArrayView<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), SafetensorsError> {
    let sorted = sorted(path, tensors)?;
    Ok(atomic::write_with(path, |file| write_tensors(file, &sorted, metadata))?)
}

/// What [`write()`] writes; `path` is for the error.
///
/// # Errors
///
/// As [`write()`].
pub fn bytes(
    path: &Path,
    tensors: &[(&str, ArrayView<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, SafetensorsError> {
    let sorted = sorted(path, tensors)?;
    let mut bytes = Vec::new();
    let failed = |cause| WriteError { path: path.to_owned(), action: "write", cause };
    write_tensors(&mut bytes, &sorted, metadata).map_err(failed)?;
    Ok(bytes)
}

/// Reads every tensor of the file at `path`. Halves, brain floats and narrow integers are widened exactly.
///
/// # Errors
///
/// [`SafetensorsError`], naming the file and the tensor.
pub fn read(path: &Path) -> Result<Tensors, SafetensorsError> {
    let bytes = whole::read(path).map_err(|cause| SafetensorsError::Read { path: path.to_owned(), cause })?;
    from_bytes(&bytes).map_err(|defect| SafetensorsError::Defect { path: path.to_owned(), defect })
}

/// The tensors in `bytes`, which they must fill.
///
/// # Errors
///
/// [`Defect`], for bytes that are no such file. Never panics, and sets no memory aside that the bytes do not fill.
pub fn from_bytes(bytes: &[u8]) -> Result<Tensors, Defect> {
    tensors(bytes).map_err(|defect| match defect {
        // Behind the length of its header a tensor file, damaged or not, has the header's bracket.
        Defect::Header(_) | Defect::HeaderLength { .. } if bytes.get(LENGTH_BYTES) != Some(&b'{') => {
            foreign::kind(bytes).map_or(defect, Defect::Foreign)
        }
        _ => defect,
    })
}

fn tensors(bytes: &[u8]) -> Result<Tensors, Defect> {
    let found = bytes.len() as u64;
    let (length, rest) = bytes
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or(Defect::HeaderLength { found, expected: LENGTH_BYTES as u64 })?;
    let header_len = u64::from_le_bytes(*length);
    if header_len > MAX_HEADER {
        return Err(Defect::Header(format!("{header_len} bytes, expected at most {MAX_HEADER}")));
    }
    let (header, values) = rest
        .split_at_checked(header_len as usize)
        .ok_or(Defect::HeaderLength { found, expected: header_len + LENGTH_BYTES as u64 })?;

    let table: Metadata = serde_json::from_slice(header).map_err(|cause| Defect::Header(cause.to_string()))?;
    // Before any value is copied.
    if table.data_len() != values.len() {
        return Err(Defect::Length { found: values.len() as u64, expected: table.data_len() as u64 });
    }
    let mut tensors = BTreeMap::new();
    for name in table.offset_keys() {
        let info = table.info(&name).expect("its name is from the table");
        let Some(stored) = stored(info.dtype) else {
            return Err(Defect::ValueType { name, found: info.dtype.to_string() });
        };
        let (from, to) = info.data_offsets;
        match stored.read(&values[from..to], ByteOrder::Little) {
            Ok(values) => drop(tensors.insert(name, Array { shape: info.shape.clone(), values })),
            Err(Unreadable::NotBoolean(found)) => return Err(Defect::NotBoolean { name, found }),
            Err(Unreadable::TooLarge(found)) => return Err(Defect::TooLarge { name, found }),
        }
    }
    let metadata = table.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())).collect();
    Ok(Tensors { tensors, metadata })
}

/// The tensors in the order of the file, if their names are ones.
fn sorted<'t>(
    path: &Path,
    tensors: &[(&'t str, ArrayView<'t>)],
) -> Result<Vec<(&'t str, ArrayView<'t>)>, SafetensorsError> {
    let mut sorted = tensors.to_vec();
    sorted.sort_by_key(|(name, tensor)| (std::cmp::Reverse(tensor.values().element_type().size()), *name));
    for (i, (name, _)) in sorted.iter().enumerate() {
        if *name == METADATA_KEY || sorted[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(SafetensorsError::Name { path: path.to_owned(), name: (*name).to_owned() });
        }
    }
    Ok(sorted)
}

fn write_tensors(
    out: &mut impl Write,
    sorted: &[(&str, ArrayView<'_>)],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let header = header(sorted, metadata)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    sorted.iter().try_for_each(|(_, tensor)| tensor.values().write_le(out))
}

fn header(sorted: &[(&str, ArrayView<'_>)], metadata: &BTreeMap<String, String>) -> io::Result<Vec<u8>> {
    let mut infos = Vec::with_capacity(sorted.len());
    let mut start = 0;
    for (name, tensor) in sorted {
        let values = tensor.values();
        let end = start + values.len() * values.element_type().size();
        let info = TensorInfo {
            dtype: dtype(values.element_type()),
            shape: tensor.shape().to_vec(),
            data_offsets: (start, end),
        };
        infos.push(((*name).to_owned(), info));
        start = end;
    }
    let tensors = Metadata::new(None, infos).map_err(|cause| io::Error::other(cause.to_string()))?;
    let mut header = serde_json::to_vec(&Header { metadata, tensors: &tensors })?;
    // Spaces to a multiple of eight, so that the values are aligned.
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    Ok(header)
}

fn dtype(element_type: ElementType) -> Dtype {
    match element_type {
        ElementType::F64 => Dtype::F64,
        ElementType::F32 => Dtype::F32,
        ElementType::I64 => Dtype::I64,
        ElementType::U8 => Dtype::U8,
        ElementType::Bool => Dtype::BOOL,
    }
}

fn stored(dtype: Dtype) -> Option<Stored> {
    Some(match dtype {
        Dtype::F16 => Stored::F16,
        Dtype::BF16 => Stored::Bf16,
        Dtype::F32 => Stored::F32,
        Dtype::F64 => Stored::F64,
        Dtype::I8 => Stored::I8,
        Dtype::I16 => Stored::I16,
        Dtype::I32 => Stored::I32,
        Dtype::I64 => Stored::I64,
        Dtype::U8 => Stored::U8,
        Dtype::U16 => Stored::U16,
        Dtype::U32 => Stored::U32,
        Dtype::U64 => Stored::U64,
        Dtype::BOOL => Stored::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::OwnedValues;
    use ::safetensors::{SafeTensors, tensor::TensorView};
    use proptest::prelude::*;
    use std::fs;

    /// Golden file: the Python package safetensors 0.8.0, `numpy.save_file` of the tensors in [`golden_tensors`].
    const GOLDEN: &[u8] = include_bytes!("../golden/python-0.8.0.safetensors");

    fn golden_tensors() -> Tensors {
        let array = |shape: &[usize], values| Array { shape: shape.to_vec(), values };
        Tensors {
            tensors: BTreeMap::from([
                ("fc1.weight".to_owned(), array(&[2, 3], OwnedValues::F32(vec![0.0, 0.1, -0.5, 1.5, 3e-40, 2.0]))),
                ("eigenvalues".to_owned(), array(&[2], OwnedValues::F64(vec![1e300, -0.1]))),
                ("empty".to_owned(), array(&[0, 4], OwnedValues::F64(vec![]))),
                ("labels".to_owned(), array(&[3], OwnedValues::I64(vec![-1, 0, 9]))),
                ("mask".to_owned(), array(&[2], OwnedValues::Bool(vec![true, false]))),
                ("pixels".to_owned(), array(&[1, 1, 1], OwnedValues::U8(vec![255]))),
            ]),
            metadata: BTreeMap::from([("format".to_owned(), "pt".to_owned())]),
        }
    }

    fn bytes_of(content: &Tensors) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("größe.safetensors");
        let views: Vec<_> = content.tensors.iter().rev().map(|(name, t)| (name.as_str(), t.view().unwrap())).collect();
        write(&path, &views, &content.metadata).unwrap();
        assert_eq!(&read(&path).unwrap(), content);
        fs::read(&path).unwrap()
    }

    #[test]
    fn reads_what_python_writes() {
        assert_eq!(from_bytes(GOLDEN), Ok(golden_tensors()));
    }

    #[test]
    fn the_reference_implementation_reads_what_we_write() {
        let bytes = bytes_of(&golden_tensors());
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap().get("format").unwrap(), "pt");
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.len(), 6);
        let weight = theirs.tensor("fc1.weight").unwrap();
        assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[2, 3][..]));
        assert_eq!(weight.data()[4..8], 0.1f32.to_le_bytes());
        assert_eq!(theirs.tensor("mask").unwrap().data(), [1, 0]);
        // Aligned: the values begin at a multiple of eight.
        let header_len = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        assert_eq!(header_len % 8, 0);
    }

    #[test]
    fn we_read_what_the_reference_implementation_writes() {
        let bytes = 2.5f64.to_le_bytes();
        let view = TensorView::new(Dtype::F64, vec![1, 1], &bytes).unwrap();
        let written = ::safetensors::serialize([("t", view)], None).unwrap();
        let read = from_bytes(&written).unwrap();
        assert_eq!(read.tensors["t"], Array { shape: vec![1, 1], values: OwnedValues::F64(vec![2.5]) });
    }

    #[test]
    fn equal_content_is_equal_bytes() {
        let metadata = ["run", "b", "a"].map(|key| (key.to_owned(), key.to_owned()));
        let (x, y) = ([1.0f32, 2.0], [3i64]);
        let views = [("x", ArrayView::new(&[2, 1], &x[..]).unwrap()), ("y", ArrayView::new(&[1], &y[..]).unwrap())];
        let found = bytes(Path::new(""), &views, &BTreeMap::from(metadata)).unwrap();
        let header = concat!(
            r#"{"__metadata__":{"a":"a","b":"b","run":"run"},"y":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"#,
            r#""x":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}}     "#,
        );
        assert_eq!(found[..8], (header.len() as u64).to_le_bytes());
        assert_eq!(str::from_utf8(&found[8..8 + header.len()]), Ok(header));
        assert_eq!(
            found[8 + header.len()..],
            [&3i64.to_le_bytes()[..], &1f32.to_le_bytes(), &2f32.to_le_bytes()].concat()
        );
    }

    #[test]
    fn an_empty_file_and_reserved_names() {
        assert_eq!(from_bytes(&bytes_of(&Tensors::default())), Ok(Tensors::default()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let view = ArrayView::new(&[1], &[1.0][..]).unwrap();
        for names in [vec!["a", "a"], vec!["__metadata__"]] {
            let tensors: Vec<_> = names.into_iter().map(|name| (name, view)).collect();
            assert!(matches!(write(&path, &tensors, &BTreeMap::new()), Err(SafetensorsError::Name { .. })));
        }
        assert!(!path.exists());
    }

    #[test]
    fn narrow_types_are_widened_exactly() {
        let of = |dtype: &str, values: &[u8]| {
            let len = values.len();
            let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{len}]}}}}"#);
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), values].concat();
            from_bytes(&bytes).unwrap().tensors.remove("a").unwrap().values
        };
        assert_eq!(of("BF16", &[0x49, 0xc0]), OwnedValues::F32(vec![-3.140_625]));
        assert_eq!(of("F16", &[0x55, 0x35]), OwnedValues::F32(vec![0.333_251_95]));
        assert_eq!(of("I32", &[0xff; 4]), OwnedValues::I64(vec![-1]));
    }

    #[test]
    fn refuses_what_it_would_misread() {
        let of = |header: &str, values: &[u8]| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(values);
            from_bytes(&bytes).unwrap_err()
        };
        assert_eq!(from_bytes(b"1234"), Err(Defect::HeaderLength { found: 4, expected: 8 }));
        assert!(matches!(from_bytes(&[0xff; 20]), Err(Defect::Header(_))));
        assert!(matches!(from_bytes(b"\x09\0\0\0\0\0\0\0{}"), Err(Defect::HeaderLength { found: 10, expected: 17 })));
        assert!(matches!(of("[]", &[]), Defect::Header(_)));
        assert!(matches!(of(r#"{"a":1}"#, &[]), Defect::Header(_)));
        assert!(matches!(of(r#"{"__metadata__":{"a":1}}"#, &[]), Defect::Header(_)));
        assert_eq!(of("{}", &[0]), Defect::Length { found: 1, expected: 0 });

        let tensor = |dtype, shape, from, to| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
        };
        assert!(
            matches!(of(&tensor("F8_E5M2", "[1]", 0, 1), &[0]), Defect::ValueType { found, .. } if found == "F8_E5M2")
        );
        assert!(matches!(of(&tensor("U64", "[1]", 0, 8), &[255; 8]), Defect::TooLarge { .. }));
        let text = b"version https://git-lfs.github.com/spec/v1\n";
        assert!(matches!(from_bytes(text), Err(Defect::Foreign(what)) if what.contains("git lfs pull")));
        assert!(matches!(of(&tensor("BOOL", "[1]", 0, 1), &[2]), Defect::NotBoolean { found: 2, .. }));
        assert_eq!(of(&tensor("F32", "[2]", 0, 8), &[0; 7]), Defect::Length { found: 7, expected: 8 });
        for (shape, from, to) in
            [("[2]", 0, 4), ("[1]", 4, 8), ("[1]", 8, 4), ("[4294967296,4294967296]", 0, 8), ("[1]", 0, u64::MAX)]
        {
            assert!(matches!(of(&tensor("F32", shape, from, to), &[0; 8]), Defect::Header(_)), "{shape} {from} {to}");
        }
        let two = |name: &str, from: u8, to: u8| {
            format!(r#""{name}":{{"dtype":"U8","shape":[2],"data_offsets":[{from},{to}]}}"#)
        };
        let overlap = format!("{{{},{}}}", two("a", 0, 2), two("b", 1, 3));
        assert!(matches!(of(&overlap, &[0; 3]), Defect::Header(reason) if reason.contains("`b`")));
        // Extents whose sum with the header's length overflows.
        let size = (1u64 << 61) - 1;
        let extents = (0..8).map(|k| {
            let (from, to) = (k * size, (k + 1) * size);
            format!(r#""t{k}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{from},{to}]}}"#)
        });
        let (header, expected) = (format!("{{{}}}", extents.collect::<Vec<_>>().join(",")), 8 * size);
        assert_eq!(of(&header, &[0; 8]), Defect::Length { found: 8, expected });
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
            let mut bytes = GOLDEN.to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            let _ = from_bytes(&bytes);
            prop_assert!(from_bytes(&GOLDEN[..cut.min(GOLDEN.len() - 1)]).is_err());
        }
    }
}
