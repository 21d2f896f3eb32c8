//! How far the leading eigenspaces of two matrices agree (MATH §7).

use crate::eigh::Eigh;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// Why subspaces cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OverlapError {
    /// The subspaces lie in spaces of different dimension.
    #[error("one basis has {left} rows, the other {right}")]
    Dimension {
        /// Rows of the first.
        left: usize,
        /// Rows of the second.
        right: usize,
    },
    /// A number of leading directions is 0 or exceeds their number.
    #[error("top {k} directions asked for, expected 1 to {order}")]
    OutOfRange {
        /// What was asked for.
        k: usize,
        /// `P`.
        order: usize,
    },
}

/// `E‖UᵀV‖²/min(k, l) = max(k, l)/P`, one of two subspaces of dimensions `k` and `l` being Haar-random; `k/P` for equal
/// ones.
///
/// # Panics
/// When a dimension is 0 or exceeds `P`.
#[track_caller]
pub fn expected_overlap(k: usize, l: usize, P: usize) -> f64 {
    assert!(0 < k.min(l) && k.max(l) <= P, "subspaces of dimension 1 to {P}, found {k} and {l}");
    k.max(l) as f64 / P as f64
}

/// Overlap of two leading eigenspaces that cut no group of equal eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopOverlap {
    /// The `k` asked for.
    pub requested: usize,
    /// The largest number `≤ requested` of directions that cuts no group of either matrix; 0 when there is none.
    pub k_below: usize,
    /// The smallest such number `≥ requested`: the one that the overlap is of. Equal to `requested` and to `k_below`
    /// when `requested` itself cuts no group.
    pub k: usize,
    /// `‖U_kᵀV_k‖²/k` in `[0, 1]`.
    pub overlap: f64,
}

/// Overlaps of the top-`k` eigenspaces of two matrices of order `P`, for several `k`.
///
/// Eigenvalues whose difference from the next is at most [`Eigh::noise_floor`] form a group. Within a group the
/// directions are anyone's choice, so the span of a part of it means nothing: a `k` that cuts a group of either matrix
/// is widened to the next that cuts none (`P` at the latest, where the overlap is 1), and the result says so. Compare
/// with [`expected_overlap`] at the `k` of the result. Eigenvalues that are close without being a group are kept apart;
/// their directions carry an error of about `ε‖A‖` over their distance.
///
/// # Errors
/// When the orders differ or a `k` is 0 or exceeds `P`.
pub fn top_overlaps(A: &Eigh, B: &Eigh, ks: &[usize]) -> Result<Vec<TopOverlap>, OverlapError> {
    let P = A.values.len();
    if B.values.len() != P {
        return Err(OverlapError::Dimension { left: P, right: B.values.len() });
    }
    if let Some(&k) = ks.iter().find(|&&k| k == 0 || k > P) {
        return Err(OverlapError::OutOfRange { k, order: P });
    }
    let cuts_group = |eigen: &Eigh, k: usize| k < P && eigen.values[k - 1] - eigen.values[k] <= eigen.noise_floor;
    let clean = |k: &usize| !cuts_group(A, *k) && !cuts_group(B, *k);
    let bounds: Vec<(usize, usize)> =
        ks.iter().map(|&k| ((1..=k).rev().find(clean).unwrap_or(0), (k..=P).find(clean).unwrap_or(P))).collect();
    let widest = bounds.iter().map(|&(_, k)| k).max().unwrap_or(0);
    let product = product(A.vectors.subcols(0, widest), B.vectors.subcols(0, widest));
    // Leading blocks grow by a row and a column.
    let mut sums = vec![0.0];
    for k in 0..widest {
        let column: f64 = (0..=k).map(|i| product[(i, k)] * product[(i, k)]).sum();
        let row: f64 = (0..k).map(|j| product[(k, j)] * product[(k, j)]).sum();
        sums.push(sums[k] + column + row);
    }
    let result = |(&requested, &(k_below, k)): (&usize, &(usize, usize))| {
        let overlap = (sums[k] / k as f64).min(1.0);
        TopOverlap { requested, k_below, k, overlap }
    };
    Ok(ks.iter().zip(&bounds).map(result).collect())
}

/// `UᵀV`.
fn product(U: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(U.ncols(), V.ncols());
    matmul(product.as_mut(), Accum::Replace, U.transpose(), V, 1.0, Par::rayon(0));
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eigh::eigh;
    use crate::haar_draws::{NullTest, haar_orthogonal};
    use crate::testing::prescribed;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// `‖UᵀV‖²/min(k, l)`, as it is defined.
    fn overlap(U: MatRef<'_, f64>, V: MatRef<'_, f64>) -> f64 {
        (U.transpose() * V).squared_norm_l2() / U.ncols().min(V.ncols()) as f64
    }

    proptest! {
        #[test]
        fn top_overlaps_equal_their_definition(P in 2usize..40, mixing in 0.0f64..1.0, seed in any::<u64>()) {
            let alpha: Vec<f64> = (0..P).map(|k| 0.8_f64.powi(k as i32)).collect();
            let A = prescribed(&alpha, seed);
            let B = &A + faer::Scale(mixing) * prescribed(&alpha, !seed);
            let (A, B) = (eigh(A.as_ref()).unwrap(), eigh(B.as_ref()).unwrap());
            let ks: Vec<usize> = (1..=P).rev().collect();
            for found in top_overlaps(&A, &B, &ks).unwrap() {
                let k = found.requested;
                prop_assert_eq!((found.k_below, found.k), (k, k));
                let truth = overlap(A.vectors.subcols(0, k), B.vectors.subcols(0, k));
                prop_assert!((found.overlap - truth).abs() < 1e-13 && found.overlap <= 1.0);
            }
        }
    }

    #[test]
    fn a_group_of_equal_eigenvalues_is_never_cut() {
        let A = eigh(prescribed(&[5.0, 4.0, 4.0, 4.0, 1.0, 0.0, 0.0], 1).as_ref()).unwrap();
        let B = eigh(prescribed(&[5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 0.0], 1).as_ref()).unwrap();
        let found = top_overlaps(&A, &B, &[1, 2, 3, 4, 5, 6, 7]).unwrap();
        let bounds: Vec<_> = found.iter().map(|x| (x.k_below, x.k)).collect();
        assert_eq!(bounds, [(1, 1), (1, 4), (1, 4), (4, 4), (4, 7), (4, 7), (7, 7)]);
        assert!(found.iter().all(|x| (x.overlap - 1.0).abs() < 1e-13));
        let identity = eigh(Mat::<f64>::identity(3, 3).as_ref()).unwrap();
        let found = top_overlaps(&identity, &identity, &[1]).unwrap()[0];
        assert_eq!((found.k_below, found.k), (0, 3));
        assert!(top_overlaps(&A, &B, &[]).unwrap().is_empty());
    }

    #[test]
    fn random_subspaces_overlap_as_expected() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (P, k, l) = (9, 4, 2);
        let draws: Vec<f64> = (0..2_000)
            .map(|_| {
                let Q = haar_orthogonal(P, &mut rng);
                overlap(Q.subcols(0, k), Mat::<f64>::identity(P, l).as_ref())
            })
            .collect();
        let test = NullTest::new(expected_overlap(k, l, P), &draws).unwrap();
        assert!((test.mean - 4.0 / 9.0).abs() <= 4.0 * test.standard_error, "{test:?}");
        assert_eq!(test.observed, 4.0 / 9.0);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let (A, B) = (eigh(Mat::<f64>::identity(3, 3).as_ref()).unwrap(), eigh(Mat::zeros(4, 4).as_ref()).unwrap());
        assert_eq!(top_overlaps(&A, &B, &[1]).unwrap_err(), OverlapError::Dimension { left: 3, right: 4 });
        for k in [0, 4] {
            assert_eq!(top_overlaps(&A, &A, &[1, k]).unwrap_err(), OverlapError::OutOfRange { k, order: 3 });
        }
    }
}
