//! The bounds of somebody's dense per-sample Hessians: nothing is taken on trust, symmetry included.

use super::{BoundsError, Curvature, PointwiseExponents, Wedge, WedgeReport};
use faer::{Mat, MatRef, Side};

/// An ensemble held against the bounds along given directions.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseCheck {
    /// `v_iᵀHv_i`.
    pub h_diag: Vec<f64>,
    /// `v_iᵀM₂v_i`.
    pub m2_diag: Vec<f64>,
    /// `v_iᵀE_p[|h_p|]v_i`; equal to `h_diag`, up to rounding, for a semidefinite ensemble.
    pub abs_diag: Vec<f64>,
    /// `κ_max = max_p ‖h_p‖`.
    pub kappa_max: f64,
    /// Least eigenvalue of any `h_p`.
    pub kappa_min: f64,
    /// Whether every `h_p` is positive semidefinite up to rounding. The right side was checked with `h_diag` if so, and
    /// with `abs_diag` if not.
    pub semidefinite: bool,
    /// Every direction's place in the wedge.
    pub report: WedgeReport,
    /// Exponents `γ(v_i)`.
    pub exponents: PointwiseExponents,
}

/// Holds symmetric `h_p` (all `d × d`, weights `1/N`) against `MATH [13]` along the unit columns of `V` (`d × k`).
///
/// Directions with `|vᵀHv| ≤ √ε·κ_max` are flagged, and bounds may be passed by the factor `1 + 8d√ε`: a product
/// `h_p v` has rounding of order `dε·κ_max`, which is that much of what a direction at the floor has. One dense
/// eigenproblem a sample.
///
/// # Errors
/// [`BoundsError::NotSymmetric`], [`BoundsError::Sample`] for entries that are not finite, [`BoundsError::NotUnit`],
/// and [`BoundsError::Parameter`] for an ensemble without curvature.
///
/// # Panics
/// When there are no samples, or shapes differ.
#[track_caller]
pub fn check_dense(hessians: &[Mat<f64>], V: MatRef<'_, f64>) -> Result<DenseCheck, BoundsError> {
    assert!(!hessians.is_empty(), "an ensemble of at least one sample");
    let (d, k, n) = (V.nrows(), V.ncols(), hessians.len() as f64);
    for (direction, v) in V.col_iter().enumerate() {
        let norm = v.norm_l2();
        // A range contains nothing that is not a number.
        if !(1.0 - 1e-8..=1.0 + 1e-8).contains(&norm) {
            return Err(BoundsError::NotUnit { direction, norm });
        }
    }
    let [mut h_diag, mut m2_diag, mut abs_diag] = [(); 3].map(|()| vec![0.0; k]);
    let (mut kappa_max, mut kappa_min) = (0.0_f64, f64::INFINITY);
    for (sample, h) in hessians.iter().enumerate() {
        assert_eq!(h.shape(), (d, d), "sample {sample}: a matrix of the order of the directions");
        let largest = h.norm_max();
        if !largest.is_finite() {
            return Err(BoundsError::Sample { sample });
        }
        for column in 0..d {
            for row in 0..column {
                let difference = (h[(row, column)] - h[(column, row)]).abs();
                if difference > 1e-12 * largest {
                    return Err(BoundsError::NotSymmetric { sample, row, column, difference });
                }
            }
        }
        // The eigensolver has absolute thresholds; a power of two is exact.
        let unit = if largest > 0.0 { 2_f64.powi(largest.log2().floor().clamp(-1_000.0, 1_000.0) as i32) } else { 1.0 };
        let scaled = Mat::from_fn(d, d, |i, j| h[(i, j)] / unit);
        let eigen = scaled.self_adjoint_eigen(Side::Lower).map_err(|_| BoundsError::Sample { sample })?;
        let kappa: Vec<f64> = eigen.S().column_vector().iter().map(|kappa| kappa * unit).collect();
        kappa_max = kappa.iter().fold(kappa_max, |most, kappa| most.max(kappa.abs()));
        kappa_min = kappa.iter().fold(kappa_min, |least, kappa| least.min(*kappa));
        let (image, cosines) = (h * V, eigen.U().transpose() * V);
        for i in 0..k {
            // Both from the one product h v, so that the left bound holds however small the direction's curvature.
            h_diag[i] += V.col(i).transpose() * image.col(i) / n;
            m2_diag[i] += image.col(i).squared_norm_l2() / n;
            abs_diag[i] +=
                kappa.iter().zip(cosines.col(i).iter()).map(|(kappa, y)| kappa.abs() * y * y).sum::<f64>() / n;
        }
    }
    let small = f64::EPSILON.sqrt();
    let wedge = Wedge::new(kappa_max)?.with_noise_floor(small * kappa_max)?.with_tolerance(8.0 * d as f64 * small)?;
    let semidefinite = kappa_min >= -1e-12 * d as f64 * kappa_max;
    let curvature = if semidefinite {
        Curvature::PositiveSemidefinite
    } else {
        Curvature::Indefinite { abs_diag: Some(&abs_diag) }
    };
    let report = wedge.report(&h_diag, &m2_diag, curvature)?;
    let exponents = wedge.exponents(&h_diag, &m2_diag)?;
    Ok(DenseCheck { kappa_max, kappa_min, semidefinite, report, exponents, h_diag, m2_diag, abs_diag })
}

impl DenseCheck {
    /// Directions outside the wedge: 0, by the theorem, for any symmetric `h_p` along any unit vectors.
    pub fn n_outside(&self) -> usize {
        self.report.n_below + self.report.n_above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_by_hand() {
        // h = diag(2, 0) and diag(0, −1), along the axes and the diagonal.
        let samples = [faer::mat![[2.0, 0.0], [0.0, 0.0]], faer::mat![[0.0, 0.0], [0.0, -1.0]]];
        let half = 0.5_f64.sqrt();
        let V = faer::mat![[1.0, 0.0, half], [0.0, 1.0, half]];
        let found = check_dense(&samples, V.as_ref()).unwrap();
        let close = |found: &[f64], truth: [f64; 3]| found.iter().zip(truth).all(|(f, t)| (f - t).abs() < 1e-14);
        assert!(close(&found.h_diag, [1.0, -0.5, 0.25]) && close(&found.m2_diag, [2.0, 0.5, 1.25]));
        assert!(close(&found.abs_diag, [1.0, 0.5, 0.75]));
        assert_eq!((found.kappa_max, found.kappa_min, found.semidefinite), (2.0, -1.0, false));
        assert_eq!((found.report.n_inside, found.n_outside()), (3, 0));
    }

    #[test]
    fn names_what_is_no_ensemble_of_symmetric_matrices() {
        let V = faer::mat![[1.0], [0.0]];
        let error = |h: Mat<f64>| check_dense(&[Mat::identity(2, 2), h], V.as_ref()).unwrap_err();
        assert_eq!(
            error(faer::mat![[1.0, 0.5], [0.0, 1.0]]),
            BoundsError::NotSymmetric { sample: 1, row: 0, column: 1, difference: 0.5 }
        );
        assert_eq!(error(faer::mat![[f64::INFINITY, 0.0], [0.0, 1.0]]), BoundsError::Sample { sample: 1 });
        let long = faer::mat![[1.0, 1.0], [0.0, 1.0]];
        let found = check_dense(&[Mat::identity(2, 2)], long.as_ref());
        assert!(matches!(found, Err(BoundsError::NotUnit { direction: 1, .. })));
        let flat = check_dense(&[Mat::zeros(2, 2)], V.as_ref());
        assert!(matches!(flat, Err(BoundsError::Parameter { field: "kappa_max", .. })));
    }
}
