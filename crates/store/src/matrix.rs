//! A dense matrix as it crosses the disk, free of any matrix library.

use crate::array::{ShapeError, Values};
use crate::record::Record;
use serde::{Deserialize, Serialize};

/// An `nrows × ncols` matrix of `f64`, row-major: entry `(i, j)` sits at `i·ncols + j`.
///
/// A [`Record`] by itself, and a field of others. What is read back always fits its shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct DenseMatrix {
    nrows: usize,
    ncols: usize,
    data: Vec<f64>,
}

impl Record for DenseMatrix {
    const KIND: &'static str = "dense-matrix";
    const VERSION: u32 = 1;
}

#[derive(Deserialize)]
struct Unchecked {
    nrows: usize,
    ncols: usize,
    data: Vec<f64>,
}

impl TryFrom<Unchecked> for DenseMatrix {
    type Error = ShapeError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ShapeError> {
        Self::new(unchecked.nrows, unchecked.ncols, unchecked.data)
    }
}

impl DenseMatrix {
    /// A matrix of these row-major entries.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] unless there are `nrows · ncols` of them.
    pub fn new(nrows: usize, ncols: usize, data: Vec<f64>) -> Result<Self, ShapeError> {
        if nrows.checked_mul(ncols) != Some(data.len()) {
            return Err(ShapeError { shape: vec![nrows, ncols], found: data.len() });
        }
        Ok(Self { nrows, ncols, data })
    }

    /// The matrix with entries `entry(i, j)`, asked for row by row.
    pub fn from_fn(nrows: usize, ncols: usize, mut entry: impl FnMut(usize, usize) -> f64) -> Self {
        let mut data = Vec::with_capacity(nrows * ncols);
        for i in 0..nrows {
            data.extend((0..ncols).map(|j| entry(i, j)));
        }
        Self { nrows, ncols, data }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.nrows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.ncols
    }

    /// Entry `(i, j)`.
    ///
    /// # Panics
    ///
    /// If `i` or `j` is out of range.
    #[track_caller]
    pub fn get(&self, i: usize, j: usize) -> f64 {
        assert!(i < self.nrows && j < self.ncols, "({i}, {j}) in a {} × {} matrix", self.nrows, self.ncols);
        self.data[i * self.ncols + j]
    }

    /// All entries, row by row.
    pub fn as_slice(&self) -> &[f64] {
        &self.data
    }

    /// All entries, row by row, without a copy.
    pub fn into_vec(self) -> Vec<f64> {
        self.data
    }

    /// The shape, as [`ArrayView::new`](crate::array::ArrayView::new) takes it.
    pub fn shape(&self) -> [usize; 2] {
        [self.nrows, self.ncols]
    }
}

/// The entries as an array of rank 1, `nrows · ncols` long; give [`DenseMatrix::shape`] to
/// [`ArrayView::new`](crate::array::ArrayView::new) for rank 2.
impl<'a> From<&'a DenseMatrix> for Values<'a> {
    fn from(matrix: &'a DenseMatrix) -> Self {
        Self::F64(&matrix.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ArrayView;
    use crate::record;

    #[test]
    fn entries_are_row_major() {
        let matrix = DenseMatrix::from_fn(2, 3, |i, j| (10 * i + j) as f64);
        assert_eq!(matrix.as_slice(), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        assert_eq!(matrix.get(1, 2), 12.0);
        assert_eq!(matrix, DenseMatrix::new(2, 3, matrix.clone().into_vec()).unwrap());
        assert!(ArrayView::new(&matrix.shape(), &matrix).is_ok());
    }

    #[test]
    fn round_trips_bit_by_bit() {
        let odd = [0.1, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 3.0, -1e300];
        let bytes = record::to_bytes(&DenseMatrix::new(3, 2, odd.to_vec()).unwrap()).unwrap();
        let back: DenseMatrix = record::from_bytes(&bytes).unwrap();
        assert_eq!((back.nrows(), back.ncols()), (3, 2));
        assert!(back.as_slice().iter().zip(odd).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn a_stored_shape_that_does_not_fit_is_refused() {
        #[derive(Serialize, Deserialize)]
        struct Forged {
            nrows: usize,
            ncols: usize,
            data: Vec<f64>,
        }
        impl Record for Forged {
            const KIND: &'static str = DenseMatrix::KIND;
            const VERSION: u32 = DenseMatrix::VERSION;
        }
        for (nrows, ncols) in [(2, 2), (usize::MAX, usize::MAX)] {
            let bytes = record::to_bytes(&Forged { nrows, ncols, data: vec![0.0; 3] }).unwrap();
            assert!(record::from_bytes::<DenseMatrix>(&bytes).is_err());
        }
        assert!(DenseMatrix::new(1, 2, vec![]).is_err());
    }

    #[test]
    #[should_panic(expected = "(0, 3) in a 2 × 3 matrix")]
    fn a_column_out_of_range_is_not_the_next_row() {
        DenseMatrix::from_fn(2, 3, |_, _| 0.0).get(0, 3);
    }
}
