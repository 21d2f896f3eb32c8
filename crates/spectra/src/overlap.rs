//! How far two subspaces agree: principal angles and the overlap of leading eigenspaces (`MATH §7`).

use crate::eigh::Eigh;
use crate::symmetric::{TOLERANCE, power_of_two_near};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// Principal angles of two subspaces, ascending, `min(k, l)` of them.
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalAngles {
    /// `θ_i` in `[0, π/2]`, radians.
    pub angles: Vec<f64>,
    /// `cos θ_i`, the singular values of `UᵀV`, descending.
    pub cosines: Vec<f64>,
    /// `sin θ_i`, the singular values of `(I − UUᵀ)V`, ascending.
    pub sines: Vec<f64>,
}

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
    /// A basis has no columns.
    #[error("the {which} basis has no columns")]
    Empty {
        /// `"first"` or `"second"`.
        which: &'static str,
    },
    /// The columns of a basis are not orthonormal.
    #[error("the {which} basis is not orthonormal: ‖UᵀU − I‖ = {orthogonality:e}, expected at most {tolerance:e}")]
    NotOrthonormal {
        /// `"first"` or `"second"`.
        which: &'static str,
        /// `‖UᵀU − I‖`, Frobenius.
        orthogonality: f64,
        /// What is accepted.
        tolerance: f64,
    },
    /// A number of leading directions is 0 or exceeds their number.
    #[error("top {k} directions asked for, expected 1 to {order}")]
    OutOfRange {
        /// What was asked for.
        k: usize,
        /// `P`.
        order: usize,
    },
    /// The iteration for the singular values did not converge.
    #[error("the singular value iteration did not converge for a {nrows} × {ncols} matrix")]
    NoConvergence {
        /// Its rows.
        nrows: usize,
        /// Its columns.
        ncols: usize,
    },
    /// Cosines and sines do not belong to the same angles.
    #[error("angles fail their check: |cos² + sin² − 1| = {defect:e}, expected at most {tolerance:e}")]
    Inaccurate {
        /// Of the first angle that fails.
        defect: f64,
        /// What is accepted.
        tolerance: f64,
    },
}

/// Principal angles between the spans of `U` (`P × k`) and `V` (`P × l`), orthonormal columns each.
///
/// Cosines lose small angles (`cos θ` is 1 to rounding below `10⁻⁸`) and sines lose angles near `π/2`, so both are
/// computed (Björck and Golub 1973; Knyazev and Argentati 2002) and `θ = atan2(sin θ, cos θ)`: every angle has an
/// *absolute* error of some `ε√P`, at worst near `10·ε·P`. Threads are those of the current rayon pool; the result does
/// not depend on their number.
///
/// # Errors
/// When a basis is empty or not orthonormal to `10·ε·P` (entries that are not finite included), when the dimensions
/// differ, or when the singular values fail (`cos²θ + sin²θ = 1` is verified for every angle).
pub fn principal_angles(U: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Result<PrincipalAngles, OverlapError> {
    check_bases(U, V)?;
    let (U, V) = if U.ncols() < V.ncols() { (V, U) } else { (U, V) };
    let par = Par::rayon(0);
    let product = product(U, V);
    let mut residual = V.to_owned();
    matmul(residual.as_mut(), Accum::Add, U, &product, -1.0, par);
    let cosines = singular_values(product.as_ref())?;
    let mut sines = singular_values(residual.as_ref())?;
    sines.reverse();
    // Both bases and both factorisations have their share.
    let tolerance = 4.0 * TOLERANCE * f64::EPSILON * U.nrows() as f64;
    let mut defects = cosines.iter().zip(&sines).map(|(c, s)| (c * c + s * s - 1.0).abs());
    if let Some(defect) = defects.find(|defect| defect.is_nan() || *defect > tolerance) {
        return Err(OverlapError::Inaccurate { defect, tolerance });
    }
    let cut = |values: Vec<f64>| values.into_iter().map(|x| x.min(1.0)).collect::<Vec<_>>();
    let (cosines, sines) = (cut(cosines), cut(sines));
    let angles = sines.iter().zip(&cosines).map(|(sine, cosine)| sine.atan2(*cosine)).collect();
    Ok(PrincipalAngles { angles, cosines, sines })
}

/// `‖UᵀV‖²/min(k, l)`, the mean squared cosine of the principal angles, in `[0, 1]`: 1 when one subspace holds the
/// other, 0 when they are orthogonal.
///
/// Rounding above 1 is cut. For random subspaces its mean is [`expected_overlap`].
///
/// # Errors
/// When a basis is empty or not orthonormal to `10·ε·P`, or when the dimensions differ.
pub fn subspace_overlap(U: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Result<f64, OverlapError> {
    check_bases(U, V)?;
    let product = product(U, V);
    Ok((product.squared_norm_l2() / U.ncols().min(V.ncols()) as f64).min(1.0))
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

fn check_bases(U: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Result<(), OverlapError> {
    if U.nrows() != V.nrows() {
        return Err(OverlapError::Dimension { left: U.nrows(), right: V.nrows() });
    }
    let tolerance = TOLERANCE * f64::EPSILON * U.nrows() as f64;
    for (which, basis) in [("first", U), ("second", V)] {
        if basis.ncols() == 0 {
            return Err(OverlapError::Empty { which });
        }
        let mut gram = product(basis, basis);
        for j in 0..basis.ncols() {
            gram[(j, j)] -= 1.0;
        }
        let orthogonality = gram.norm_l2();
        if orthogonality.is_nan() || orthogonality > tolerance {
            return Err(OverlapError::NotOrthonormal { which, orthogonality, tolerance });
        }
    }
    Ok(())
}

/// `UᵀV`.
fn product(U: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(U.ncols(), V.ncols());
    matmul(product.as_mut(), Accum::Replace, U.transpose(), V, 1.0, Par::rayon(0));
    product
}

/// Descending.
fn singular_values(A: MatRef<'_, f64>) -> Result<Vec<f64>, OverlapError> {
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd, svd_scratch};
    let (nrows, ncols) = (A.nrows(), A.ncols());
    let par = Par::Seq;
    // A tall matrix would go through a QR factorisation that drops columns below 16·ε·P: three digits of small sines.
    let mut params: SvdParams = faer::Auto::<f64>::auto();
    params.qr_ratio_threshold = f64::INFINITY;
    let params = faer::Spec::new(params);
    // As in `eigh`: entries near 1, since some thresholds are absolute.
    let scale = power_of_two_near(A.norm_max());
    let A = A * faer::Scale(1.0 / scale);
    let mut values = faer::diag::Diag::<f64>::zeros(nrows.min(ncols));
    let scratch = svd_scratch::<f64>(nrows, ncols, ComputeSvdVectors::No, ComputeSvdVectors::No, par, params);
    svd(A.as_ref(), values.as_mut(), None, None, par, MemStack::new(&mut MemBuffer::new(scratch)), params)
        .map_err(|_| OverlapError::NoConvergence { nrows, ncols })?;
    Ok(values.column_vector().iter().map(|sigma| scale * sigma).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eigh::eigh;
    use crate::haar_draws::{NullTest, haar_orthogonal};
    use crate::testing::{by_threads, prescribed};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::f64::consts::FRAC_PI_2;

    /// Bases (`P × k`, `P × l`) whose principal angles are the given ones, mixed within their spans and turned at
    /// random.
    fn bases_at(angles: &[f64], k: usize, P: usize, seed: u64) -> [Mat<f64>; 2] {
        let l = angles.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut V = Mat::<f64>::zeros(P, l);
        for (j, angle) in angles.iter().enumerate() {
            V[(j, j)] = angle.cos();
            V[(k + j, j)] = angle.sin();
        }
        let Q = haar_orthogonal(P, &mut rng);
        let U = Q.subcols(0, k) * haar_orthogonal(k, &mut rng);
        [U, &Q * V * haar_orthogonal(l, &mut rng)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn recovers_prescribed_angles(
            mut angles in prop::collection::vec(
                prop_oneof![0.0..FRAC_PI_2, Just(0.0), Just(FRAC_PI_2), (-14.0f64..-1.0).prop_map(|e| 10f64.powf(e)),
                    (-14.0f64..-1.0).prop_map(|e| FRAC_PI_2 - 10f64.powf(e))],
                1..8,
            ),
            more in 0usize..5,
            rest in 0usize..10,
            seed in any::<u64>(),
        ) {
            let k = angles.len() + more;
            let P = k + angles.len() + rest;
            let tolerance = TOLERANCE * f64::EPSILON * P as f64;
            let [U, V] = bases_at(&angles, k, P, seed);
            angles.sort_by(f64::total_cmp);
            let overlap = angles.iter().map(|angle| angle.cos().powi(2)).sum::<f64>() / angles.len() as f64;
            for (U, V) in [(U.as_ref(), V.as_ref()), (V.as_ref(), U.as_ref())] {
                let found = principal_angles(U, V).unwrap();
                prop_assert!([&found.angles, &found.cosines, &found.sines].iter().all(|x| x.len() == angles.len()));
                for (i, truth) in angles.iter().enumerate() {
                    prop_assert!((found.angles[i] - truth).abs() < tolerance, "{} is not {truth}", found.angles[i]);
                    prop_assert!((found.cosines[i] - truth.cos()).abs() < tolerance);
                    prop_assert!((found.sines[i] - truth.sin()).abs() < tolerance);
                }
                prop_assert!((subspace_overlap(U, V).unwrap() - overlap).abs() < tolerance);
            }
        }

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
                let truth = subspace_overlap(A.vectors.subcols(0, k), B.vectors.subcols(0, k)).unwrap();
                prop_assert!((found.overlap - truth).abs() < 1e-13 && found.overlap <= 1.0);
            }
        }
    }

    /// Angles 0, 10⁻¹² and π/2 by the dozen, of which a QR factorisation loses three digits.
    #[test]
    fn many_equal_angles_are_accurate() {
        let (P, k) = (100, 30);
        let mut angles: Vec<f64> = (0..k).map(|i| [0.0, 1e-12, FRAC_PI_2][i % 3]).collect();
        for seed in 0..30 {
            let [U, V] = bases_at(&angles, k, P, seed);
            angles.sort_by(f64::total_cmp);
            let found = principal_angles(U.as_ref(), V.as_ref()).unwrap().angles;
            assert!(found.iter().zip(&angles).all(|(x, y)| (x - y).abs() < 1e-14), "seed {seed}: {found:?}");
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
                subspace_overlap(Q.subcols(0, k), Mat::<f64>::identity(P, l).as_ref()).unwrap()
            })
            .collect();
        let test = NullTest::new(expected_overlap(k, l, P), &draws).unwrap();
        assert!((test.mean - 4.0 / 9.0).abs() <= 4.0 * test.standard_error, "{test:?}");
        assert_eq!(test.observed, 4.0 / 9.0);
    }

    #[test]
    fn bit_identical_for_any_number_of_threads() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (U, V) = (haar_orthogonal(300, &mut rng), haar_orthogonal(300, &mut rng));
        let [one, two, three] = by_threads(|| principal_angles(U.subcols(0, 120), V.subcols(0, 90)).unwrap());
        assert!(two == one && three == one);
    }

    #[test]
    fn bad_bases_are_named() {
        let I = Mat::<f64>::identity(4, 2);
        let error = |U: &Mat<f64>, V: &Mat<f64>| {
            let error = principal_angles(U.as_ref(), V.as_ref()).unwrap_err();
            assert_eq!(subspace_overlap(U.as_ref(), V.as_ref()).unwrap_err().to_string(), error.to_string());
            error
        };
        assert_eq!(error(&I, &Mat::zeros(3, 2)), OverlapError::Dimension { left: 4, right: 3 });
        assert_eq!(error(&I, &Mat::zeros(4, 0)), OverlapError::Empty { which: "second" });
        assert!(matches!(error(&Mat::zeros(4, 2), &I), OverlapError::NotOrthonormal { which: "first", .. }));
        let mut nan = I.clone();
        nan[(3, 1)] = f64::NAN;
        assert!(matches!(error(&I, &nan), OverlapError::NotOrthonormal { which: "second", .. }));
        let (A, B) = (eigh(Mat::<f64>::identity(3, 3).as_ref()).unwrap(), eigh(Mat::zeros(4, 4).as_ref()).unwrap());
        assert_eq!(top_overlaps(&A, &B, &[1]).unwrap_err(), OverlapError::Dimension { left: 3, right: 4 });
        for k in [0, 4] {
            assert_eq!(top_overlaps(&A, &A, &[1, k]).unwrap_err(), OverlapError::OutOfRange { k, order: 3 });
        }
    }
}
