//! Self-adjoint eigendecomposition that checks itself.

use crate::symmetric::{Defect, TOLERANCE, power_of_two_near, symmetric_norm};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// Eigenvalues below `NOISE · ε · √P · max|λ|` are rounding.
pub(crate) const NOISE: f64 = 10.0;

/// Eigenpairs of a symmetric matrix, largest eigenvalue first, with the evidence that they are.
#[derive(Clone, Debug)]
pub struct Eigh {
    /// `λ_i`, descending.
    pub values: Vec<f64>,
    /// `v_i` as columns, orthonormal.
    pub vectors: Mat<f64>,
    /// `‖A V − V Λ‖ / ‖A‖` (Frobenius; 0 for `A = 0`).
    pub residual: f64,
    /// `‖VᵀV − I‖` (Frobenius).
    pub orthogonality: f64,
    /// `10·ε·√P·max|λ|`: eigenvalues of smaller magnitude are rounding and are to be flagged, not fitted.
    pub noise_floor: f64,
}

/// Why there is no trustworthy eigendecomposition.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EighError {
    /// The matrix is empty or not square.
    #[error("expected a non-empty square matrix, found {nrows} × {ncols}")]
    Shape {
        /// Its rows.
        nrows: usize,
        /// Its columns.
        ncols: usize,
    },
    /// An entry is infinite or NaN.
    #[error("entry ({row}, {column}) is {value}, expected a finite number")]
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// Its value.
        value: f64,
    },
    /// The matrix differs from its transpose by more than rounding.
    #[error("not symmetric: ‖A − Aᵀ‖/‖A‖ = {asymmetry:e}, expected at most {tolerance:e}")]
    Asymmetric {
        /// `‖A − Aᵀ‖/‖A‖`.
        asymmetry: f64,
        /// What is accepted.
        tolerance: f64,
    },
    /// The iteration did not converge.
    #[error("the eigenvalue iteration did not converge for a matrix of order {order}")]
    NoConvergence {
        /// Order of the matrix.
        order: usize,
    },
    /// The decomposition came back wrong.
    #[error(
        "eigenpairs fail their check: residual {residual:e}, orthogonality {orthogonality:e}, \
         expected at most {tolerance:e}"
    )]
    Inaccurate {
        /// `‖A V − V Λ‖ / ‖A‖`.
        residual: f64,
        /// `‖VᵀV − I‖`.
        orthogonality: f64,
        /// What is accepted.
        tolerance: f64,
    },
}

impl From<Defect> for EighError {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::NotFinite { row, column, value } => Self::NotFinite { row, column, value },
            Defect::Asymmetric { asymmetry, tolerance, .. } => Self::Asymmetric { asymmetry, tolerance },
        }
    }
}

/// All eigenpairs of a symmetric matrix `A` of order `P`, descending; residual `‖AV − VΛ‖ ≤ 10·ε·P·‖A‖` and
/// orthogonality `‖VᵀV − I‖ ≤ 10·ε·P` are verified before anything is returned.
///
/// The decomposition runs on one thread, its check on those of the current rayon pool; the result does not depend on
/// their number.
///
/// # Errors
/// When `A` is empty, not square, not symmetric or not finite; when the iteration fails or the check does.
pub fn eigh(A: MatRef<'_, f64>) -> Result<Eigh, EighError> {
    let P = A.nrows();
    if P == 0 || A.ncols() != P {
        return Err(EighError::Shape { nrows: P, ncols: A.ncols() });
    }
    let tolerance = TOLERANCE * f64::EPSILON * P as f64;
    let norm = symmetric_norm(A, tolerance)?;
    let (ascending, vectors) = decompose(A)?;
    let values: Vec<f64> = ascending.iter().rev().copied().collect();
    let vectors = vectors.as_ref().reverse_cols().to_owned();

    let mut check = Mat::zeros(P, P);
    matmul(check.as_mut(), Accum::Replace, A, &vectors, 1.0, Par::rayon(0));
    for (j, &lambda) in values.iter().enumerate() {
        for (x, v) in check.col_as_slice_mut(j).iter_mut().zip(vectors.col_as_slice(j)) {
            *x -= lambda * v;
        }
    }
    let residual = if norm == 0.0 { check.norm_l2() } else { check.norm_l2() / norm };
    matmul(check.as_mut(), Accum::Replace, vectors.transpose(), &vectors, 1.0, Par::rayon(0));
    for j in 0..P {
        check[(j, j)] -= 1.0;
    }
    let orthogonality = check.norm_l2();
    // NaN must fail, so the comparison is for success.
    if !(residual <= tolerance && orthogonality <= tolerance) {
        return Err(EighError::Inaccurate { residual, orthogonality, tolerance });
    }
    let largest = values[0].abs().max(values[P - 1].abs());
    let noise_floor = NOISE * f64::EPSILON * (P as f64).sqrt() * largest;
    Ok(Eigh { values, vectors, residual, orthogonality, noise_floor })
}

fn decompose(A: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), EighError> {
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
    let P = A.nrows();
    let mut values = faer::diag::Diag::<f64>::zeros(P);
    let mut vectors = Mat::<f64>::zeros(P, P);
    let params = Default::default();
    // One thread: the parallel tridiagonalisation sums in another order for another number of threads, and its barriers
    // collapse on a busy machine. Several spectra at a time use the cores as well.
    let par = Par::Seq;
    // faer's iteration has absolute thresholds that a matrix of small entries falls under. A power of two is exact.
    let scale = power_of_two_near(A.norm_max());
    let A = A * faer::Scale(1.0 / scale);
    let scratch = self_adjoint_evd_scratch::<f64>(P, ComputeEigenvectors::Yes, par, params);
    self_adjoint_evd(
        A.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        params,
    )
    .map_err(|_| EighError::NoConvergence { order: P })?;
    Ok((values.column_vector().iter().map(|lambda| scale * lambda).collect(), vectors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{by_threads, prescribed};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn recovers_prescribed_spectra(
            mut values in prop::collection::vec(-1.0f64..1.0, 1..200),
            clustered in any::<bool>(),
            exponent in -100i32..100,
            seed in any::<u64>(),
        ) {
            if clustered {
                values.iter_mut().for_each(|x| *x = (*x * 3.0).round() / 3.0);
            }
            let scale = 10f64.powi(exponent);
            values.iter_mut().for_each(|x| *x *= scale);
            let eigen = eigh(prescribed(&values, seed).as_ref()).unwrap();
            values.sort_by(|x, y| y.total_cmp(x));
            let largest = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            for (found, truth) in eigen.values.iter().zip(&values) {
                prop_assert!((found - truth).abs() <= 1e-13 * largest);
            }
        }
    }

    #[test]
    fn bit_identical_for_any_number_of_threads() {
        let values: Vec<f64> = (0..400).map(|k| (-0.05 * f64::from(k)).exp()).collect();
        let A = prescribed(&values, 7);
        let [one, others @ ..] = by_threads(|| eigh(A.as_ref()).unwrap());
        for other in others {
            assert_eq!(other.values, one.values);
            assert_eq!(other.vectors, one.vectors);
        }
    }

    #[test]
    fn bad_matrices_are_named() {
        let error = |A: Mat<f64>| eigh(A.as_ref()).unwrap_err();
        assert_eq!(error(Mat::zeros(0, 0)), EighError::Shape { nrows: 0, ncols: 0 });
        assert_eq!(error(Mat::zeros(2, 3)), EighError::Shape { nrows: 2, ncols: 3 });
        assert!(matches!(error(faer::mat![[1.0, 2.0], [0.0, 1.0]]), EighError::Asymmetric { .. }));
        let mut A = Mat::<f64>::identity(3, 3);
        A[(2, 1)] = f64::INFINITY;
        assert_eq!(error(A), EighError::NotFinite { row: 2, column: 1, value: f64::INFINITY });
    }

    #[test]
    fn the_zero_matrix_has_an_orthonormal_basis() {
        let eigen = eigh(Mat::zeros(4, 4).as_ref()).unwrap();
        assert_eq!(eigen.values, [0.0; 4]);
        assert_eq!((eigen.residual, eigen.noise_floor), (0.0, 0.0));
    }
}
