//! A matrix in an orthonormal basis: all of it, or its diagonal alone.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Columns a step: the product `A V` is never whole in memory.
const PANEL: usize = 512;

/// `K = VᵀAV` (`k × k`), exactly symmetric, of a symmetric `A` (`P × P`) and any basis `V` (`P × k`): `2P²k + Pk²`
/// flops and `O(P)` columns of scratch.
///
/// The lower triangle is computed and mirrored. Threads are those of the current rayon pool; the result does not depend
/// on their number.
///
/// # Panics
/// When `A` is not square or `V` has another number of rows.
#[track_caller]
pub fn in_basis(A: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Mat<f64> {
    assert!(A.nrows() == A.ncols() && V.nrows() == A.nrows(), "A is P × P and V is P × k");
    let par = Par::rayon(0);
    congruence(V, par, |first, product| {
        let panel = V.subcols(first, product.ncols());
        matmul(product, Accum::Replace, A, panel, 1.0, par);
    })
}

/// `v_iᵀ A v_i` for every column `v_i` of `V` (`P × k`), `A` of order `P`: `2P²k` flops in `O(P)` columns of scratch.
///
/// # Panics
/// When `A` is not square or `V` has another number of rows.
#[track_caller]
pub fn diagonal_in_basis(A: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Vec<f64> {
    assert!(A.nrows() == A.ncols() && V.nrows() == A.nrows(), "A is P × P and V is P × k");
    let mut diagonal = Vec::with_capacity(V.ncols());
    let mut product = Mat::<f64>::zeros(V.nrows(), PANEL.min(V.ncols()));
    for first in (0..V.ncols()).step_by(PANEL) {
        let V = V.subcols(first, PANEL.min(V.ncols() - first));
        let mut product = product.as_mut().subcols_mut(0, V.ncols());
        matmul(product.as_mut(), Accum::Replace, A, V, 1.0, Par::rayon(0));
        diagonal.extend((0..V.ncols()).map(|k| V.col(k).transpose() * product.as_ref().col(k)));
    }
    diagonal
}

/// `VᵀAV` of a symmetric `A` known by its action: `apply(first, T)` sets `T` to columns `first..first + T.ncols()` of
/// `AV`.
pub(crate) fn congruence(V: MatRef<'_, f64>, par: Par, apply: impl Fn(usize, MatMut<'_, f64>)) -> Mat<f64> {
    let k = V.ncols();
    let mut K = Mat::<f64>::zeros(k, k);
    let mut product = Mat::<f64>::zeros(V.nrows(), PANEL.min(k));
    for first in (0..k).step_by(PANEL) {
        let width = PANEL.min(k - first);
        let mut product = product.as_mut().subcols_mut(0, width);
        apply(first, product.as_mut());
        let below = V.subcols(first, k - first).transpose();
        let target = K.as_mut().submatrix_mut(first, first, k - first, width);
        matmul(target, Accum::Replace, below, product.as_ref(), 1.0, par);
    }
    for j in 1..k {
        for i in 0..j {
            K[(i, j)] = K[(j, i)];
        }
    }
    K
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::by_threads;

    #[test]
    fn equals_the_definition() {
        let P = 700;
        let A = Mat::from_fn(P, P, |i, j| (((i + j) * 37 + i * j) % 101) as f64 / 101.0);
        let V = Mat::from_fn(P, 600, |i, j| (((3 * i + 5 * j) * 41) % 89) as f64 / 89.0 - 0.5);
        let diagonal = diagonal_in_basis(A.as_ref(), V.as_ref());
        let K = in_basis(A.as_ref(), V.as_ref());
        let truth = V.transpose() * &A * &V;
        for (k, d) in diagonal.iter().enumerate() {
            assert!((d - truth[(k, k)]).abs() < 1e-10 * truth[(k, k)].abs().max(1.0));
        }
        assert!((&K - &truth).norm_max() < 1e-12 * truth.norm_max());
        assert_eq!(K.transpose(), K.as_ref());
    }

    #[test]
    fn bit_identical_for_any_number_of_threads() {
        let P = 700;
        let A = Mat::from_fn(P, P, |i, j| (((i + j) * 37 + i * j) % 101) as f64 / 101.0);
        let V = Mat::from_fn(P, P, |i, j| (((3 * i + 5 * j) * 41) % 89) as f64 / 89.0 - 0.5);
        let [one, two, three] = by_threads(|| in_basis(A.as_ref(), V.as_ref()));
        assert!(two == one && three == one);
    }
}
