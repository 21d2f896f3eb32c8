//! Self-adjoint eigendecomposition that checks itself.

use crate::symmetric::{Defect, TOLERANCE, power_of_two_near, symmetric_norm};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// Eigenvalues below `NOISE · ε · √P · max|λ|` are rounding.
pub(crate) const NOISE: f64 = 10.0;

/// Into how many parts faer splits an eigendecomposition, on any machine and in any pool.
///
/// The parts decide the order of its sums (faer's issue 274), the threads only who forms them, so a constant gives the
/// same bits everywhere. At `P = 2500` four parts take two thirds of the sequential time on two threads, as two parts
/// do, and can keep four threads busy; on one thread they cost nothing that can be measured. Eight gain nothing: half
/// of the work moves memory.
const PARTS: usize = 4;

/// Smaller matrices are not split: below order 315 faer's tridiagonalisation never is, and up to 500 it gains nothing.
const SPLIT_FROM: usize = 512;

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
/// A large matrix uses the threads of the current rayon pool; the result does not depend on their number. Where a
/// parallel decomposition fails its check, a sequential one has to pass it.
///
/// # Errors
/// When `A` is empty, not square, not symmetric or not finite; when the iteration or the check fails, in parallel and
/// sequentially.
pub fn eigh(A: MatRef<'_, f64>) -> Result<Eigh, EighError> {
    let P = A.nrows();
    if P == 0 || A.ncols() != P {
        return Err(EighError::Shape { nrows: P, ncols: A.ncols() });
    }
    let tolerance = TOLERANCE * f64::EPSILON * P as f64;
    let norm = symmetric_norm(A, tolerance)?;
    first_right(A, norm, decompose)
}

/// What `decompose` finds in parallel, where that pays, or else sequentially: the first that passes its check.
fn first_right(
    A: MatRef<'_, f64>,
    norm: f64,
    decompose: impl Fn(MatRef<'_, f64>, Par) -> Result<(Vec<f64>, Mat<f64>), EighError>,
) -> Result<Eigh, EighError> {
    let right = |par| {
        let (values, vectors) = decompose(A, par)?;
        checked(A, norm, values, vectors, par)
    };
    if A.nrows() < SPLIT_FROM { right(Par::Seq) } else { right(Par::rayon(PARTS)).or_else(|_| right(Par::Seq)) }
}

/// Eigenpairs in descending order, if they are ones.
fn checked(A: MatRef<'_, f64>, norm: f64, ascending: Vec<f64>, vectors: Mat<f64>, par: Par) -> Result<Eigh, EighError> {
    let P = A.nrows();
    let tolerance = TOLERANCE * f64::EPSILON * P as f64;
    let values: Vec<f64> = ascending.iter().rev().copied().collect();
    let vectors = vectors.as_ref().reverse_cols().to_owned();

    let mut check = Mat::zeros(P, P);
    matmul(check.as_mut(), Accum::Replace, A, &vectors, 1.0, par);
    for (j, &lambda) in values.iter().enumerate() {
        for (x, v) in check.col_as_slice_mut(j).iter_mut().zip(vectors.col_as_slice(j)) {
            *x -= lambda * v;
        }
    }
    let residual = if norm == 0.0 { check.norm_l2() } else { check.norm_l2() / norm };
    matmul(check.as_mut(), Accum::Replace, vectors.transpose(), &vectors, 1.0, par);
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

/// Eigenvalues, ascending, and eigenvectors as faer gives them.
fn decompose(A: MatRef<'_, f64>, par: Par) -> Result<(Vec<f64>, Mat<f64>), EighError> {
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
    let P = A.nrows();
    let mut values = faer::diag::Diag::<f64>::zeros(P);
    let mut vectors = Mat::<f64>::zeros(P, P);
    let params = Default::default();
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

    /// Matrices of order `P` that divide and conquer deflates in part, wholly or not at all.
    fn structured(P: usize) -> Vec<(&'static str, Mat<f64>)> {
        let spectrum = |value: &dyn Fn(usize) -> f64| prescribed(&(0..P).map(value).collect::<Vec<_>>(), 7);
        let random = spectrum(&|k| ((k * 7_919 + 13) % P) as f64 / P as f64 - 0.4);
        let in_blocks = |i: usize, j: usize| i * 5 / P == j * 5 / P;
        vec![
            ("graded", spectrum(&|k| (-0.05 * k as f64).exp())),
            ("low rank", spectrum(&|k| if k < P / 20 { 1.0 / (1.0 + k as f64) } else { 0.0 })),
            ("multiple eigenvalues", spectrum(&|k| (k % 3) as f64 - 1.0)),
            ("block-diagonal", Mat::from_fn(P, P, |i, j| if in_blocks(i, j) { random[(i, j)] } else { 0.0 })),
            ("tridiagonal", Mat::from_fn(P, P, |i, j| [2.0, -1.0, 0.0][i.abs_diff(j).min(2)])),
            ("diagonal", Mat::from_fn(P, P, |i, j| if i == j { ((i * 31) % P) as f64 } else { 0.0 })),
            ("zero", Mat::zeros(P, P)),
            ("random", random),
        ]
    }

    /// Below and above [`SPLIT_FROM`].
    #[test]
    fn bit_identical_for_any_number_of_threads() {
        for P in [40, 300, 512, 600] {
            for (what, A) in structured(P) {
                let [one, others @ ..] = by_threads(|| eigh(A.as_ref()).unwrap());
                for other in others {
                    assert_eq!(other.values, one.values, "{what}, P = {P}");
                    assert_eq!(other.vectors, one.vectors, "{what}, P = {P}");
                    assert_eq!(
                        (other.residual, other.orthogonality),
                        (one.residual, one.orthogonality),
                        "{what}, P = {P}"
                    );
                }
            }
        }
    }

    /// More decompositions at once than there are threads, from within their pool.
    #[test]
    fn decompositions_side_by_side_wait_for_nobody() {
        use rayon::prelude::*;
        let A = prescribed(&(0..530).map(f64::from).collect::<Vec<_>>(), 3);
        let several =
            by_threads(|| (0..6).into_par_iter().map(|_| eigh(A.as_ref()).unwrap().values).collect::<Vec<_>>());
        assert!(several.iter().flatten().all(|values| *values == several[0][0]));
    }

    #[test]
    fn a_wrong_parallel_result_gives_way_to_a_sequential_one_and_two_are_an_error() {
        let P = SPLIT_FROM;
        let A = prescribed(&(0..P).map(|k| k as f64).collect::<Vec<_>>(), 5);
        let spoilt = |A: MatRef<'_, f64>, par| {
            let (values, mut vectors) = decompose(A, par)?;
            vectors[(0, 0)] += 1e-9;
            Ok((values, vectors))
        };
        let norm = A.norm_l2();
        let sequential = first_right(A.as_ref(), norm, |A, _| decompose(A, Par::Seq)).unwrap();
        for fails in [|par| par != Par::Seq, |_| true] {
            let wrong =
                first_right(A.as_ref(), norm, |A, par| if fails(par) { spoilt(A, par) } else { decompose(A, par) });
            let stuck = first_right(A.as_ref(), norm, |A, par| {
                if fails(par) { Err(EighError::NoConvergence { order: P }) } else { decompose(A, par) }
            });
            if fails(Par::Seq) {
                assert!(matches!(wrong, Err(EighError::Inaccurate { .. })), "{wrong:?}");
                assert_eq!(stuck.unwrap_err(), EighError::NoConvergence { order: P });
            } else {
                assert_eq!(
                    (wrong.unwrap().vectors, stuck.unwrap().vectors),
                    (sequential.vectors.clone(), sequential.vectors.clone())
                );
            }
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
