//! Plain dense algebra for the truth's side: loops over entries, nothing fast.

use faer::{Mat, MatRef};
use std::fmt::Display;

/// Agreement that is asked of every identity: relative, by Frobenius norms.
pub(crate) const TOLERANCE: f64 = 1e-11;

/// Norms below this are compared as if they were this long: a truth of zero comes with rounding of order `1e-16`.
const SHORTEST: f64 = 1e-3;

/// Fails unless `‖found − truth‖ ≤ tolerance · ‖truth‖`.
#[track_caller]
pub(crate) fn assert_close(found: MatRef<'_, f64>, truth: MatRef<'_, f64>, tolerance: f64, what: impl Display) {
    assert_eq!(found.shape(), truth.shape(), "{what}");
    let error = (found - truth).norm_l2() / truth.norm_l2().max(SHORTEST);
    // NaN must fail, so the comparison is for success.
    assert!(error <= tolerance, "{what}: off by {error:e}, expected at most {tolerance:e}");
}

/// A slice as a column.
pub(crate) fn column(x: &[f64]) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(x, x.len(), 1)
}

/// `A B`.
pub(crate) fn product(A: &Mat<f64>, B: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(A.nrows(), B.ncols(), |i, j| (0..A.ncols()).map(|k| A[(i, k)] * B[(k, j)]).sum())
}

/// `x yᵀ`.
pub(crate) fn outer(x: &[f64], y: &[f64]) -> Mat<f64> {
    Mat::from_fn(x.len(), y.len(), |i, j| x[i] * y[j])
}

/// `A ⊗ B`: entry `((o,i),(o',i'))` is `A[o,o'] B[i,i']`.
pub(crate) fn kronecker(A: &Mat<f64>, B: &Mat<f64>) -> Mat<f64> {
    let (r, c) = (B.nrows(), B.ncols());
    Mat::from_fn(A.nrows() * r, A.ncols() * c, |i, j| A[(i / r, j / c)] * B[(i % r, j % c)])
}

/// `(1/n) Σ_k X_k`.
pub(crate) fn mean(matrices: impl IntoIterator<Item = Mat<f64>>) -> Mat<f64> {
    let mut matrices = matrices.into_iter();
    let mut total = matrices.next().expect("a mean of at least one matrix");
    let mut n = 1;
    for matrix in matrices {
        total += matrix;
        n += 1;
    }
    Mat::from_fn(total.nrows(), total.ncols(), |i, j| total[(i, j)] / f64::from(n))
}

pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// `xᵀ A x`.
pub(crate) fn quadratic_form(A: &Mat<f64>, x: &[f64]) -> f64 {
    (0..x.len()).map(|j| x[j] * dot(x, A.col_as_slice(j))).sum()
}

/// Eigenvalues, descending, and eigenvectors as columns, of a symmetric matrix by Jacobi's rotations.
pub(crate) fn jacobi(A: &Mat<f64>) -> (Vec<f64>, Mat<f64>) {
    let n = A.nrows();
    let (mut A, mut V) = (A.clone(), Mat::<f64>::identity(n, n));
    let negligible = 1e-32 * A.squared_norm_l2();
    let off_diagonal = |A: &Mat<f64>| -> f64 {
        (0..n).flat_map(|q| (0..q).map(move |p| (p, q))).map(|index| A[index] * A[index]).sum()
    };
    for _sweep in 0..30 {
        if off_diagonal(&A) <= negligible {
            break;
        }
        for q in 1..n {
            for p in 0..q {
                if A[(p, q)] == 0.0 {
                    continue;
                }
                let theta = (A[(q, q)] - A[(p, p)]) / (2.0 * A[(p, q)]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    (A[(k, p)], A[(k, q)]) = (c * A[(k, p)] - s * A[(k, q)], s * A[(k, p)] + c * A[(k, q)]);
                    (V[(k, p)], V[(k, q)]) = (c * V[(k, p)] - s * V[(k, q)], s * V[(k, p)] + c * V[(k, q)]);
                }
                for k in 0..n {
                    (A[(p, k)], A[(q, k)]) = (c * A[(p, k)] - s * A[(q, k)], s * A[(p, k)] + c * A[(q, k)]);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| A[(j, j)].total_cmp(&A[(i, i)]));
    (order.iter().map(|&i| A[(i, i)]).collect(), Mat::from_fn(n, n, |i, j| V[(i, order[j])]))
}

/// `V f(Λ) Vᵀ`.
pub(crate) fn apply_to_spectrum(A: &Mat<f64>, f: impl Fn(f64) -> f64) -> Mat<f64> {
    let (values, V) = jacobi(A);
    let n = values.len();
    Mat::from_fn(n, n, |i, j| (0..n).map(|k| V[(i, k)] * f(values[k]) * V[(j, k)]).sum())
}

#[test]
fn jacobi_diagonalises() {
    let A = Mat::from_fn(9, 9, |i, j| ((i * j) as f64).sin() + 1.0 / (1.0 + (i + j) as f64));
    let (values, V) = jacobi(&A);
    assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
    let orthogonality = product(&V.transpose().to_owned(), &V);
    assert_close(orthogonality.as_ref(), Mat::identity(9, 9).as_ref(), 1e-14, "VᵀV");
    assert_close(apply_to_spectrum(&A, |x| x).as_ref(), A.as_ref(), 1e-14, "VΛVᵀ");
}
