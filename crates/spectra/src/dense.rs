//! An operator as a dense matrix, when it fits.

use crate::products::{BLOCK, NotFinite, Products};
use faer::Mat;
use faer::matrix_free::LinOp;

/// Why there is no dense matrix.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DenseError {
    /// It would take more memory than the caller allows.
    #[error("a dense {nrows} × {ncols} matrix takes {needed} bytes, {limit} are allowed")]
    TooLarge {
        /// Rows.
        nrows: usize,
        /// Columns.
        ncols: usize,
        /// `8 · nrows · ncols`.
        needed: u128,
        /// What the caller allows.
        limit: usize,
    },
    /// A column is infinite or NaN.
    #[error("column {column}, row {row} is {value}, expected a finite number")]
    NotFinite {
        /// Its column.
        column: usize,
        /// Its row.
        row: usize,
        /// Its value.
        value: f64,
    },
}

/// `A` (`m × n`) as a matrix, from `n` products, 8 at a time; refused before any when `8mn` bytes exceed `limit`.
///
/// # Errors
/// When the matrix is larger than `limit` bytes or a product is not finite.
pub fn to_dense(A: &dyn LinOp<f64>, limit: usize) -> Result<Mat<f64>, DenseError> {
    let (nrows, ncols) = (A.nrows(), A.ncols());
    let needed = 8 * nrows as u128 * ncols as u128;
    if needed > limit as u128 {
        return Err(DenseError::TooLarge { nrows, ncols, needed, limit });
    }
    let mut products = Products::new(A);
    let mut dense = Mat::zeros(nrows, ncols);
    for first in (0..ncols).step_by(BLOCK) {
        let width = BLOCK.min(ncols - first);
        let unit = Mat::from_fn(ncols, width, |i, j| if i == first + j { 1.0 } else { 0.0 });
        let error = |NotFinite { product, row, value }| DenseError::NotFinite { column: product, row, value };
        products.apply(dense.as_mut().subcols_mut(first, width), unit.as_ref()).map_err(error)?;
    }
    Ok(dense)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::FnOp;

    #[test]
    fn says_what_it_would_take() {
        let A = Mat::from_fn(3, 20, |i, j| (i * j) as f64);
        assert_eq!(to_dense(&A, 480).unwrap(), A);
        let error = to_dense(&A, 479).unwrap_err();
        assert_eq!(error, DenseError::TooLarge { nrows: 3, ncols: 20, needed: 480, limit: 479 });
        let bad = FnOp::by_vector(12, |y: &mut [f64], x: &[f64]| y.fill(if x[9] == 1.0 { f64::INFINITY } else { 0.0 }));
        let error = to_dense(&bad, 4_000).unwrap_err();
        assert_eq!(error, DenseError::NotFinite { column: 9, row: 0, value: f64::INFINITY });
    }
}
