//! Diagonals of a matrix in an orthonormal basis.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// Columns a step: the product `A V` is never whole in memory.
const PANEL: usize = 512;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition() {
        let P = 700;
        let A = Mat::from_fn(P, P, |i, j| (((i + j) * 37 + i * j) % 101) as f64 / 101.0);
        let V = Mat::from_fn(P, 600, |i, j| (((3 * i + 5 * j) * 41) % 89) as f64 / 89.0 - 0.5);
        let diagonal = diagonal_in_basis(A.as_ref(), V.as_ref());
        let truth = V.transpose() * &A * &V;
        for (k, d) in diagonal.iter().enumerate() {
            assert!((d - truth[(k, k)]).abs() < 1e-10 * truth[(k, k)].abs().max(1.0));
        }
    }
}
