//! One array in NumPy's `.npy` format, versions 1 to 3: a magic string, a Python dictionary in text, raw values.
//!
//! [`npz`](crate::npz) has several by name in a file, with a checksum each; this is one alone, without.

use crate::array::{Array, ArrayView, ElementType, OwnedValues, n_elements};
use crate::widen::{ByteOrder, Stored, Unreadable};
use std::io::{self, Read, Write};
use thiserror::Error;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The values begin at a multiple of this, so that the file can be mapped into memory.
const ALIGNMENT: usize = 64;
/// NumPy leaves room for the first extent to grow to this many digits.
const GROWTH_DIGITS: usize = 21;
/// Longest header believed; NumPy's own limit is 10,000.
const MAX_HEADER: u64 = 1 << 16;
/// Most axes; NumPy's own limit.
const MAX_RANK: usize = 64;

/// What is wrong with the bytes of an array.
#[derive(Debug, Error)]
pub enum NpyError {
    /// The bytes cannot be read: they end early, or the archive around them is damaged.
    #[error("cannot read: {0}")]
    Io(io::Error),
    /// It does not begin as an array does.
    #[error("not a NumPy array: begins with {found:02x?}")]
    Foreign {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// A version of the format that is not 1, 2 or 3.
    #[error("format version {found}, expected 1 to 3")]
    FormatVersion {
        /// The major version in the file.
        found: u8,
    },
    /// The dictionary is not what NumPy writes.
    #[error("header {found:?}, expected a dictionary of descr, fortran_order and shape, of at most {MAX_RANK} axes")]
    Header {
        /// Its text.
        found: String,
    },
    /// Values of a type that is not read.
    #[error("values of type {found:?}, expected floats of 2, 4 or 8 bytes, integers of 1 to 8, or Booleans")]
    ValueType {
        /// NumPy's name of the type.
        found: String,
    },
    /// The values do not fill the shape.
    #[error("{found} bytes of values, expected {expected} for shape {shape:?}")]
    Length {
        /// Bytes there are; one more than expected stands for any excess.
        found: u64,
        /// Bytes the shape asks for.
        expected: u64,
        /// The shape.
        shape: Vec<usize>,
    },
    /// An unsigned integer that a signed one of 64 bits cannot hold.
    #[error("{found}, expected integers to {}", i64::MAX)]
    TooLarge {
        /// The integer.
        found: u64,
    },
    /// A byte of a Boolean array is neither 0 nor 1.
    #[error("byte {found} in a Boolean array, expected 0 or 1")]
    NotBoolean {
        /// The byte.
        found: u8,
    },
}

/// Writes the bytes that `numpy.save` writes.
///
/// # Errors
///
/// When `out` fails.
///
/// # Panics
///
/// If the array has more than 64 axes, which NumPy does not read.
#[track_caller]
pub fn write(out: &mut impl Write, array: &ArrayView<'_>) -> io::Result<()> {
    out.write_all(&header(array))?;
    array.values().write_le(out)
}

/// Bytes that [`write()`] takes.
#[cfg(feature = "npz")]
pub(crate) fn encoded_len(array: &ArrayView<'_>) -> u64 {
    let values = array.values();
    header(array).len() as u64 + values.len() as u64 * values.element_type().size() as u64
}

/// Reads one array, which must end where the input does. Narrower floats and integers, other byte orders and
/// column-major arrays are read exactly; what is returned is row-major and of one of the five types of
/// [`OwnedValues`].
///
/// # Errors
///
/// [`NpyError`] for bytes that are no array of a type that is read. Never panics, and sets no
/// memory aside that the input does not fill.
pub fn read(input: &mut impl Read) -> Result<Array, NpyError> {
    let mut start = [0; 8];
    let n = read_up_to(input, &mut start)?;
    if n < start.len() || &start[..6] != MAGIC {
        return Err(NpyError::Foreign { found: start[..n].to_vec() });
    }
    let header_len = match start[6] {
        1 => u64::from(u16::from_le_bytes(read_array(input)?)),
        2 | 3 => u64::from(u32::from_le_bytes(read_array(input)?)),
        found => return Err(NpyError::FormatVersion { found }),
    };
    if header_len > MAX_HEADER {
        return Err(NpyError::Header { found: format!("of {header_len} bytes") });
    }
    let mut text = vec![0; header_len as usize];
    input.read_exact(&mut text).map_err(NpyError::Io)?;
    let text = String::from_utf8_lossy(&text);
    let Header { descr, fortran_order, shape } =
        Header::parse(&text)
            .filter(|header| header.shape.len() <= MAX_RANK)
            .ok_or_else(|| NpyError::Header { found: text.trim_end().to_owned() })?;

    let (stored, order) = stored(&descr).ok_or(NpyError::ValueType { found: descr })?;
    let expected = n_elements(&shape)
        .and_then(|n| n.checked_mul(stored.size()))
        .filter(|n| *n < isize::MAX as usize)
        .ok_or_else(|| NpyError::Header { found: text.trim_end().to_owned() })? as u64;
    // No memory is set aside on the word of the header alone.
    let mut bytes = Vec::new();
    input.take(expected + 1).read_to_end(&mut bytes).map_err(NpyError::Io)?;
    if bytes.len() as u64 != expected {
        return Err(NpyError::Length { found: bytes.len() as u64, expected, shape });
    }
    let values = stored.read(&bytes, order).map_err(|found| match found {
        Unreadable::NotBoolean(found) => NpyError::NotBoolean { found },
        Unreadable::TooLarge(found) => NpyError::TooLarge { found },
    })?;
    drop(bytes);
    let values = if fortran_order && shape.len() > 1 { row_major(&shape, values) } else { values };
    Ok(Array { shape, values })
}

#[track_caller]
fn header(array: &ArrayView<'_>) -> Vec<u8> {
    assert!(array.shape().len() <= MAX_RANK, "an array of {} axes, expected at most {MAX_RANK}", array.shape().len());
    let shape = match array.shape() {
        [n] => format!("({n},)"),
        extents => format!("({})", extents.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let descr = descr(array.values().element_type());
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    if let Some(first) = array.shape().first() {
        text.push_str(&" ".repeat(GROWTH_DIGITS - first.to_string().len()));
    }
    let before = MAGIC.len() + 4;
    let unaligned = before + text.len() + 1;
    text.push_str(&" ".repeat(ALIGNMENT - unaligned % ALIGNMENT));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("so few axes take less than 65,536 bytes");

    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn descr(element_type: ElementType) -> &'static str {
    match element_type {
        ElementType::F64 => "<f8",
        ElementType::F32 => "<f4",
        ElementType::I64 => "<i8",
        ElementType::U8 => "|u1",
        ElementType::Bool => "|b1",
    }
}

/// What NumPy's name of a type says: byte order, kind, bytes.
fn stored(descr: &str) -> Option<(Stored, ByteOrder)> {
    let order = match descr.as_bytes().first()? {
        b'<' | b'|' => ByteOrder::Little,
        b'>' => ByteOrder::Big,
        _ => return None,
    };
    let stored = match descr.get(1..)? {
        "f2" => Stored::F16,
        "f4" => Stored::F32,
        "f8" => Stored::F64,
        "i1" => Stored::I8,
        "i2" => Stored::I16,
        "i4" => Stored::I32,
        "i8" => Stored::I64,
        "u1" => Stored::U8,
        "u2" => Stored::U16,
        "u4" => Stored::U32,
        "u8" => Stored::U64,
        "b1" => Stored::Bool,
        _ => return None,
    };
    Some((stored, order))
}

/// Values that stand first index fastest, last index fastest.
fn row_major(shape: &[usize], values: OwnedValues) -> OwnedValues {
    fn turned<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
        let mut index = vec![0; shape.len()];
        let mut out = Vec::with_capacity(values.len());
        for _ in 0..values.len() {
            let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &extent)| at * extent + i);
            out.push(values[at]);
            for (i, &extent) in index.iter_mut().zip(shape).rev() {
                *i += 1;
                if *i < extent {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
    match values {
        OwnedValues::F64(v) => OwnedValues::F64(turned(shape, &v)),
        OwnedValues::F32(v) => OwnedValues::F32(turned(shape, &v)),
        OwnedValues::I64(v) => OwnedValues::I64(turned(shape, &v)),
        OwnedValues::U8(v) => OwnedValues::U8(turned(shape, &v)),
        OwnedValues::Bool(v) => OwnedValues::Bool(turned(shape, &v)),
    }
}

#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads the dictionary, keys in any order, each exactly once and no others.
    fn parse(text: &str) -> Option<Self> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        while !rest.is_empty() {
            let (key, after) = rest.strip_prefix('\'')?.split_once('\'')?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let after = match key {
                "descr" if descr.is_none() => {
                    let (value, after) = value.strip_prefix('\'')?.split_once('\'')?;
                    descr = Some(value.to_owned());
                    after
                }
                "fortran_order" if fortran_order.is_none() => {
                    let (found, after) = match value.strip_prefix("True") {
                        Some(after) => (true, after),
                        None => (false, value.strip_prefix("False")?),
                    };
                    fortran_order = Some(found);
                    after
                }
                "shape" if shape.is_none() => {
                    let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                    shape = Some(parse_tuple(inside)?);
                    after
                }
                _ => return None,
            };
            rest = after.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if rest.is_empty() => rest,
                None => return None,
            };
        }
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

fn parse_tuple(inside: &str) -> Option<Vec<usize>> {
    let inside = inside.trim();
    if inside.is_empty() {
        return Some(Vec::new());
    }
    // `(3)` is a number in Python, not a tuple.
    if !inside.contains(',') {
        return None;
    }
    inside.strip_suffix(',').unwrap_or(inside).split(',').map(|extent| extent.trim().parse().ok()).collect()
}

fn read_array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], NpyError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(NpyError::Io)?;
    Ok(bytes)
}

fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, NpyError> {
    let mut n = 0;
    while n < buffer.len() {
        match input.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(NpyError::Io(e)),
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::OwnedValues;
    use proptest::prelude::*;

    fn encode(array: &Array) -> Vec<u8> {
        let mut bytes = Vec::new();
        let view = array.view().unwrap();
        write(&mut bytes, &view).unwrap();
        assert_eq!(encoded_len(&view), bytes.len() as u64);
        bytes
    }

    fn with_header(text: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(values);
        bytes
    }

    /// Golden headers: `numpy.save` of NumPy 2.4.6 on zeros of these shapes and types, everything before the values, as
    /// length and text without its padding.
    #[test]
    fn headers_are_numpys() {
        let zeros = |shape: &[usize], values| header(&Array { shape: shape.to_vec(), values }.view().unwrap());
        let cases = [
            (zeros(&[], OwnedValues::F64(vec![0.0])), 128, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }"),
            (
                zeros(&[3], OwnedValues::F32(vec![0.0; 3])),
                128,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
            ),
            (
                zeros(&[2, 3], OwnedValues::F64(vec![0.0; 6])),
                128,
                "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
            ),
            (zeros(&[0], OwnedValues::I64(vec![])), 128, "{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }"),
            (
                zeros(&[2, 0, 5], OwnedValues::U8(vec![])),
                128,
                "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 0, 5), }",
            ),
            (
                zeros(&[2500, 2, 1, 1], OwnedValues::Bool(vec![false; 5000])),
                128,
                "{'descr': '|b1', 'fortran_order': False, 'shape': (2500, 2, 1, 1), }",
            ),
            (
                zeros(&[1; 20], OwnedValues::I64(vec![0])),
                192,
                "{'descr': '<i8', 'fortran_order': False, \
                 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), }",
            ),
            // The least text that NumPy's room for growth takes past the next multiple of 64.
            (
                zeros(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10, 10], OwnedValues::Bool(vec![false; 100])),
                192,
                "{'descr': '|b1', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10, 10), }",
            ),
        ];
        for (found, length, text) in cases {
            assert_eq!(found.len(), length, "{text}");
            assert_eq!(&found[..8], b"\x93NUMPY\x01\x00");
            assert_eq!(usize::from(found[8]) + 256 * usize::from(found[9]), length - 10);
            let body = std::str::from_utf8(&found[10..]).unwrap();
            assert_eq!(body.trim_end(), text);
            assert!(body.ends_with('\n') && !body.trim_end_matches('\n').contains('\n'));
        }
    }

    #[test]
    fn a_header_in_another_order_or_version_is_read() {
        let text = "{'shape': (2,), 'descr': '|u1' , 'fortran_order':True}  \n";
        let expected = Array { shape: vec![2], values: OwnedValues::U8(vec![7, 9]) };
        assert_eq!(read(&mut &with_header(text, &[7, 9])[..]).unwrap(), expected);
        let mut second = b"\x93NUMPY\x02\x00".to_vec();
        second.extend((text.len() as u32).to_le_bytes());
        second.extend(text.as_bytes());
        second.extend([7, 9]);
        assert_eq!(read(&mut &second[..]).unwrap(), expected);
    }

    #[test]
    fn other_widths_and_orders_are_read_exactly() {
        let of = |descr: &str, order, shape, values: &[u8]| {
            let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
            read(&mut &with_header(&text, values)[..]).unwrap()
        };
        let array = |shape: &[usize], values| Array { shape: shape.to_vec(), values };
        assert_eq!(of(">f4", "False", "(1,)", &[0x3f, 0x80, 0, 0]), array(&[1], OwnedValues::F32(vec![1.0])));
        assert_eq!(of("<f2", "False", "(2,)", &[0, 0x3c, 0, 0xc0]), array(&[2], OwnedValues::F32(vec![1.0, -2.0])));
        assert_eq!(of("<i4", "False", "()", &[0xff; 4]), array(&[], OwnedValues::I64(vec![-1])));
        // a[i, j] = 10i + j and a[i, j, k] = 100i + 10j + k, as numpy.asfortranarray saves them.
        assert_eq!(
            of("|u1", "True", "(2, 3)", &[0, 10, 1, 11, 2, 12]),
            array(&[2, 3], OwnedValues::U8(vec![0, 1, 2, 10, 11, 12]))
        );
        let bytes = [0, 100, 10, 110, 1, 101, 11, 111];
        let expected = OwnedValues::U8(vec![0, 1, 10, 11, 100, 101, 110, 111]);
        assert_eq!(of("|u1", "True", "(2, 2, 2)", &bytes), array(&[2, 2, 2], expected));
        assert_eq!(of("<f8", "True", "(3, 0)", &[]), array(&[3, 0], OwnedValues::F64(vec![])));
    }

    #[test]
    fn refuses_what_it_would_misread() {
        let error = |bytes: &[u8]| read(&mut &bytes[..]).unwrap_err();
        assert!(matches!(error(b""), NpyError::Foreign { .. }));
        assert!(matches!(error(b"\x93NUMP!\x01\x00"), NpyError::Foreign { .. }));
        assert!(matches!(error(b"\x93NUMPY\x04\x00\x00\x00"), NpyError::FormatVersion { found: 4 }));
        assert!(matches!(error(b"\x93NUMPY\x01\x00\xff\x00{"), NpyError::Io(_)));
        assert!(matches!(error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), NpyError::Header { .. }));

        let dict =
            |descr, order, shape| format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let of = |descr, order, shape, values: &[u8]| error(&with_header(&dict(descr, order, shape), values));
        for descr in ["'<U1'", "'<c16'", "'=f8'", "'|O'", "'<f3'", "''"] {
            let error = of(descr, "False", "(1,)", &[0; 8]);
            assert!(matches!(&error, NpyError::ValueType { found } if *found == descr.replace('\'', "")), "{error}");
        }
        assert!(matches!(of("'<u8'", "False", "(1,)", &[255; 8]), NpyError::TooLarge { found: u64::MAX }));
        assert!(matches!(of("'|b1'", "False", "()", &[2]), NpyError::NotBoolean { found: 2 }));
        for (values, found) in [(7, 7), (9, 9), (99, 9)] {
            let error = of("'<f8'", "False", "(1,)", &vec![0; values]);
            assert!(matches!(error, NpyError::Length { found: f, expected: 8, .. } if f == found), "{error}");
        }
        let huge = "(4294967296, 4294967296, 4294967296)";
        let ones = |rank| format!("({})", "1,".repeat(rank));
        let (most, too_many) = (ones(64), ones(65));
        for (descr, order, shape) in [
            ("[('a', '<f8')]", "False", "(1,)"),
            ("'<f8'", "0", "(1,)"),
            ("'<f8'", "False", "(1)"),
            ("'<f8'", "False", "(-1,)"),
            ("'<f8'", "False", "(1,,2)"),
            ("'<f8'", "False", huge),
            ("'<f8'", "False", &too_many),
            ("'<f8'", "False", "(1,), 'shape': (1,)"),
            ("'<f8'", "False", "(1,), 'more': 1"),
        ] {
            assert!(matches!(of(descr, order, shape, &[0; 8]), NpyError::Header { .. }), "{descr} {order} {shape}");
        }
        let most_axes = read(&mut &with_header(&dict("'|u1'", "False", &most), &[7])[..]).unwrap();
        assert_eq!(read(&mut &encode(&most_axes)[..]).unwrap(), most_axes);
        // A shape that the bytes cannot fill costs no memory.
        assert!(matches!(of("'<f8'", "False", "(100000000000000,)", &[0; 8]), NpyError::Length { found: 8, .. }));
    }

    proptest! {
        #[test]
        fn any_array_round_trips(shape in prop::collection::vec(0usize..4, 0..5), seed in any::<u64>()) {
            let n: usize = shape.iter().product();
            let bits = (0..n as u64).map(|i| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let finite = |b: u64| (b >> 11) as f64 - 1e15;
            for values in [
                OwnedValues::F64(bits.clone().map(finite).collect()),
                OwnedValues::F32(bits.clone().map(|b| finite(b) as f32).collect()),
                OwnedValues::I64(bits.clone().map(|b| b as i64).collect()),
                OwnedValues::U8(bits.clone().map(|b| b as u8).collect()),
                OwnedValues::Bool(bits.clone().map(|b| b & 1 == 1).collect()),
            ] {
                let array = Array { shape: shape.clone(), values };
                let bytes = encode(&array);
                let values = array.view().unwrap().values();
                prop_assert_eq!((bytes.len() - values.len() * values.element_type().size()) % ALIGNMENT, 0);
                prop_assert_eq!(read(&mut &bytes[..]).unwrap(), array);
            }
        }

        #[test]
        fn damaged_bytes_never_panic(at in 0usize..140, byte in any::<u8>(), cut in 0usize..140) {
            let mut bytes = encode(&Array { shape: vec![1], values: OwnedValues::Bool(vec![true]) });
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            let _ = read(&mut &bytes[..]);
            prop_assert!(read(&mut &bytes[..cut.min(bytes.len() - 1)]).is_err());
        }
    }
}
