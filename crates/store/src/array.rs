//! Arrays of any rank as they cross the edge: a shape and row-major values of one of five types.

use thiserror::Error;

/// An array that borrows its values, to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArrayView<'a> {
    shape: &'a [usize],
    values: Values<'a>,
}

/// The values of an [`ArrayView`], last index fastest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'a> {
    /// 64-bit floats.
    F64(&'a [f64]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit signed integers.
    I64(&'a [i64]),
    /// Bytes.
    U8(&'a [u8]),
    /// Booleans.
    Bool(&'a [bool]),
}

/// An array that owns its values, as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// As many values as the product of the extents.
    pub values: OwnedValues,
}

/// The values of an [`Array`], last index fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnedValues {
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
    /// Bytes.
    U8(Vec<u8>),
    /// Booleans.
    Bool(Vec<bool>),
}

/// The type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// 64-bit signed integers.
    I64,
    /// Bytes.
    U8,
    /// Booleans, one byte each.
    Bool,
}

/// A shape that does not fit the values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("shape {shape:?} does not fit {found} values")]
pub struct ShapeError {
    /// The shape given.
    pub shape: Vec<usize>,
    /// The number of values given.
    pub found: usize,
}

impl<'a> ArrayView<'a> {
    /// A view of `values` (`&[f64]`, `&[f32]`, `&[i64]`, `&[u8]`, `&[bool]`) as an array of this shape.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] unless the extents multiply to the number of values.
    pub fn new(shape: &'a [usize], values: impl Into<Values<'a>>) -> Result<Self, ShapeError> {
        let values = values.into();
        match n_elements(shape) {
            Some(n) if n == values.len() => Ok(Self { shape, values }),
            _ => Err(ShapeError { shape: shape.to_vec(), found: values.len() }),
        }
    }

    /// Extent of each axis.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The values.
    pub fn values(&self) -> Values<'a> {
        self.values
    }
}

impl Array {
    /// A view to write this array by.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if the fields were made not to fit; an array that was read always does.
    pub fn view(&self) -> Result<ArrayView<'_>, ShapeError> {
        let values = match &self.values {
            OwnedValues::F64(v) => Values::F64(v),
            OwnedValues::F32(v) => Values::F32(v),
            OwnedValues::I64(v) => Values::I64(v),
            OwnedValues::U8(v) => Values::U8(v),
            OwnedValues::Bool(v) => Values::Bool(v),
        };
        ArrayView::new(&self.shape, values)
    }
}

impl Values<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F64(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F64(_) => ElementType::F64,
            Self::F32(_) => ElementType::F32,
            Self::I64(_) => ElementType::I64,
            Self::U8(_) => ElementType::U8,
            Self::Bool(_) => ElementType::Bool,
        }
    }

    /// Little-endian bytes, in blocks that keep the memory small.
    pub(crate) fn write_le(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        match self {
            Self::F64(v) => write_blocks(out, v, |x| x.to_le_bytes()),
            Self::F32(v) => write_blocks(out, v, |x| x.to_le_bytes()),
            Self::I64(v) => write_blocks(out, v, |x| x.to_le_bytes()),
            Self::U8(v) => out.write_all(v),
            Self::Bool(v) => write_blocks(out, v, |x| [u8::from(x)]),
        }
    }
}

impl ElementType {
    /// Bytes a value.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 => 4,
            Self::U8 | Self::Bool => 1,
        }
    }
}

/// Product of the extents, if it can be counted.
pub(crate) fn n_elements(shape: &[usize]) -> Option<usize> {
    // Zeros first: an extent of zero makes the array empty however large the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))
}

fn write_blocks<T: Copy, const N: usize>(
    out: &mut impl std::io::Write,
    values: &[T],
    encode: impl Fn(T) -> [u8; N],
) -> std::io::Result<()> {
    const BLOCK: usize = 8192;
    let mut bytes = Vec::with_capacity(BLOCK.min(values.len()) * N);
    for block in values.chunks(BLOCK) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|&v| encode(v)));
        out.write_all(&bytes)?;
    }
    Ok(())
}

macro_rules! from_slice {
    ($($element:ty => $variant:ident),*) => {$(
        impl<'a> From<&'a [$element]> for Values<'a> {
            fn from(values: &'a [$element]) -> Self {
                Self::$variant(values)
            }
        }
        impl<'a> From<&'a Vec<$element>> for Values<'a> {
            fn from(values: &'a Vec<$element>) -> Self {
                Self::$variant(values)
            }
        }
    )*};
}
from_slice!(f64 => F64, f32 => F32, i64 => I64, u8 => U8, bool => Bool);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::widen::{ByteOrder, Stored};

    #[test]
    fn a_shape_must_fit() {
        let values = vec![1.0f64; 6];
        assert_eq!(ArrayView::new(&[2, 3], &values).unwrap().shape(), [2, 3]);
        assert!(ArrayView::new(&[], &values[..1]).is_ok());
        assert!(ArrayView::new(&[0, 7], &values[..0]).is_ok());
        let error = ArrayView::new(&[2, 2], &values).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 2] does not fit 6 values");
        assert!(ArrayView::new(&[usize::MAX, usize::MAX], &values).is_err());
        assert!(ArrayView::new(&[usize::MAX, 2, 0], &values[..0]).is_ok());
    }

    #[test]
    fn bytes_are_little_endian_across_blocks() {
        let values: Vec<i64> = (-10_000..10_000).collect();
        let mut bytes = Vec::new();
        Values::from(&values).write_le(&mut bytes).unwrap();
        assert_eq!(&bytes[..8], (-10_000i64).to_le_bytes());
        assert_eq!(Stored::I64.read(&bytes, ByteOrder::Little), Ok(OwnedValues::I64(values)));
    }
}
