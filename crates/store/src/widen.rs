//! Numbers of other widths and byte orders than [`ElementType`](crate::array::ElementType) has, read without losing a
//! digit.
//!
//! Halves and brain floats become 32-bit floats, integers 64-bit signed ones; bytes, Booleans and wider floats stay
//! what they are. What does not fit is an error: a 64-bit unsigned integer beyond 2⁶³.

use crate::array::OwnedValues;

/// How a number stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    F16,
    #[cfg_attr(not(feature = "safetensors"), expect(dead_code, reason = "NumPy has no brain floats"))]
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

/// The order of a number's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

/// A value that has no exact counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A Boolean that is neither 0 nor 1.
    NotBoolean(u8),
    /// An unsigned integer beyond 2⁶³ − 1.
    TooLarge(u64),
}

impl Stored {
    /// Bytes a value.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// The values in `bytes`, a whole number of them.
    pub(crate) fn read(self, bytes: &[u8], order: ByteOrder) -> Result<OwnedValues, Unreadable> {
        fn all<const N: usize, T>(bytes: &[u8], order: ByteOrder, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
            let little = |mut chunk: [u8; N]| {
                if order == ByteOrder::Big {
                    chunk.reverse();
                }
                chunk
            };
            bytes.as_chunks().0.iter().map(|chunk| decode(little(*chunk))).collect()
        }
        Ok(match self {
            Self::F16 => OwnedValues::F32(all(bytes, order, |b| from_half(u16::from_le_bytes(b)))),
            Self::Bf16 => {
                OwnedValues::F32(all(bytes, order, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)))
            }
            Self::F32 => OwnedValues::F32(all(bytes, order, f32::from_le_bytes)),
            Self::F64 => OwnedValues::F64(all(bytes, order, f64::from_le_bytes)),
            Self::I8 => OwnedValues::I64(all(bytes, order, |b| i64::from(i8::from_le_bytes(b)))),
            Self::I16 => OwnedValues::I64(all(bytes, order, |b| i64::from(i16::from_le_bytes(b)))),
            Self::I32 => OwnedValues::I64(all(bytes, order, |b| i64::from(i32::from_le_bytes(b)))),
            Self::I64 => OwnedValues::I64(all(bytes, order, i64::from_le_bytes)),
            Self::U8 => OwnedValues::U8(bytes.to_vec()),
            Self::U16 => OwnedValues::I64(all(bytes, order, |b| i64::from(u16::from_le_bytes(b)))),
            Self::U32 => OwnedValues::I64(all(bytes, order, |b| i64::from(u32::from_le_bytes(b)))),
            Self::U64 => {
                let found = all(bytes, order, u64::from_le_bytes);
                let fit = found.into_iter().map(|x| i64::try_from(x).map_err(|_| Unreadable::TooLarge(x)));
                OwnedValues::I64(fit.collect::<Result<_, _>>()?)
            }
            Self::Bool => match bytes.iter().find(|b| **b > 1) {
                Some(&bad) => return Err(Unreadable::NotBoolean(bad)),
                None => OwnedValues::Bool(bytes.iter().map(|b| *b == 1).collect()),
            },
        })
    }
}

/// IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction.
fn from_half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values: `numpy.array([...], dtype=float16).view(uint16)` by the standard's table.
    #[test]
    fn halves_are_exact() {
        for (bits, value) in [
            (0x0000, 0.0f32),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(from_half(bits), value, "{bits:#x}");
        }
        assert!(from_half(0x7e00).is_nan() && from_half(0x8000).is_sign_negative());
    }

    #[test]
    fn widening_loses_nothing() {
        use ByteOrder::{Big, Little};
        for (stored, bytes, order, expected) in [
            (Stored::Bf16, vec![0x80, 0x3f, 0x49, 0xc0], Little, OwnedValues::F32(vec![1.0, -3.140_625])),
            (Stored::F32, vec![0x3f, 0x80, 0, 0], Big, OwnedValues::F32(vec![1.0])),
            (Stored::F64, 0.1f64.to_be_bytes().to_vec(), Big, OwnedValues::F64(vec![0.1])),
            (Stored::I8, vec![0xff, 0x7f], Little, OwnedValues::I64(vec![-1, 127])),
            (Stored::I16, vec![0xff, 0xfe], Big, OwnedValues::I64(vec![-2])),
            (Stored::I32, vec![0xfe, 0xff, 0xff, 0xff], Little, OwnedValues::I64(vec![-2])),
            (Stored::U16, vec![0xff, 0xff], Little, OwnedValues::I64(vec![65_535])),
            (Stored::U32, vec![0xff; 4], Big, OwnedValues::I64(vec![4_294_967_295])),
            (Stored::U64, vec![0, 0, 0, 0, 0, 0, 1, 0], Big, OwnedValues::I64(vec![256])),
        ] {
            assert_eq!(stored.read(&bytes, order), Ok(expected), "{stored:?} {order:?}");
            assert_eq!(bytes.len() % stored.size(), 0);
        }
        assert_eq!(Stored::U64.read(&[0xff; 8], Little), Err(Unreadable::TooLarge(u64::MAX)));
        assert_eq!(Stored::Bool.read(&[1, 3], Little), Err(Unreadable::NotBoolean(3)));
    }
}
