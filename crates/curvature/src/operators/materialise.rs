//! Operators as dense matrices, within a limit of memory.

use super::{CurvatureOperator, OperatorError};
use faer::Mat;
use superlinear_nets::{Samples, Scalar};

/// Columns of a product.
const COLUMNS: usize = 64;

impl<T: Scalar, S: Samples<T>> CurvatureOperator<'_, T, S> {
    /// Bytes that [`CurvatureOperator::to_dense`] takes: `P²` numbers, and the sums of one product with 64 vectors.
    pub fn dense_bytes(&self) -> u64 {
        let P = self.n_params();
        let columns = COLUMNS.min(P);
        let numbers = P as u128 * P as u128 + (self.layout().numbers(P, columns) + 2 * P * columns) as u128;
        u64::try_from(numbers * size_of::<T>() as u128).unwrap_or(u64::MAX)
    }

    /// The matrix itself, `P × P`, symmetric to the last bit, by products with all unit vectors.
    ///
    /// `limit` is in bytes; [`CurvatureOperator::dense_bytes`] says beforehand what is needed. For one dense layer
    /// [`crate::layer_moments`] is far cheaper, and [`crate::JointLayers`] for several.
    ///
    /// # Errors
    /// When more than `limit` bytes are needed, or an entry is not finite.
    pub fn to_dense(&self, limit: u64) -> Result<Mat<T>, OperatorError> {
        let (P, needed) = (self.n_params(), self.dense_bytes());
        if needed > limit {
            return Err(OperatorError::Memory { n_params: P, needed, limit });
        }
        let mut dense = Mat::zeros(P, P);
        let mut units = Mat::zeros(P, COLUMNS.min(P));
        for first in (0..P).step_by(COLUMNS) {
            let n = COLUMNS.min(P - first);
            for k in 0..n {
                units[(first + k, k)] = T::ONE;
            }
            self.multiply(dense.as_mut().subcols_mut(first, n), units.as_ref().subcols(0, n));
            for k in 0..n {
                units[(first + k, k)] = T::ZERO;
            }
        }
        let half = T::of(0.5);
        for j in 0..P {
            for i in j..P {
                // The two differ by rounding.
                let mean = half * (dense[(i, j)] + dense[(j, i)]);
                if !mean.finite() {
                    let (operator, value) = (self.name(), mean.f64());
                    return Err(OperatorError::NotFinite { operator, vector: j, entry: i, value });
                }
                dense[(i, j)] = mean;
                dense[(j, i)] = mean;
            }
        }
        Ok(dense)
    }
}
