//! The wedge that confines the second moment of the per-sample curvature, direction by direction.
//!
//! **Theorem** (`MATH [13]`). Let `h_p` be symmetric positive semidefinite with `‖h_p‖ ≤ κ_max` for every sample `p`,
//! `H = E_p[h_p]` and `M₂ = E_p[h_p²]`. Then for every unit vector `v`, an eigenvector or not,
//!
//! ```text
//! (vᵀHv)²  ≤  vᵀM₂v  ≤  κ_max · vᵀHv
//! ```
//!
//! Left: `(vᵀh_p v)² ≤ ‖h_p v‖²` (Cauchy–Schwarz), then Jensen over `p`. Right: `h_p² ⪯ κ_max h_p`. Divided by `vᵀHv`
//! it reads: the curvature-weighted mean of the curvatures that a direction meets lies between its own curvature and
//! the largest.
//!
//! **Equality** (`MATH [15]`). On the right for every `v` when every `h_p` has the one nonzero eigenvalue `κ_max`
//! (`γ = 1`); on the left for every eigenvector of `H` when `h_p = H` for all `p` (`γ = 2`); [`crate::ensembles`] has
//! all between.
//!
//! **Indefinite `h_p`** (`‖h_p‖ ≤ κ_max` still). The left side holds as it stands, for negative `vᵀHv` too. The right
//! side holds with `E_p[|h_p|]` in the place of `H` and may fail with `H`. As `|h_p|² = h_p²`, the whole theorem holds
//! for the ensemble `|h_p|`: give its diagonal as `h_diag` with [`Curvature::PositiveSemidefinite`] to test that.
//!
//! [`check_dense`] does all of this for dense `h_p`, whatever their sign.
//!
//! **Exponents** (`MATH [14]`) are in [`PointwiseExponents`]: in logarithms the wedge is `1 ≤ γ(v) ≤ 2`. A slope
//! *fitted* over a finite window is another number, not covered by the theorem: report both and clamp neither.

#[cfg(feature = "matrices")]
mod dense;
mod pointwise;

#[cfg(feature = "matrices")]
pub use dense::{DenseCheck, DenseError, check_dense};
pub use pointwise::PointwiseExponents;

use thiserror::Error;

/// Relative excess over a bound that is put down to rounding, unless [`Wedge::with_tolerance`] says otherwise.
const DEFAULT_TOLERANCE: f64 = 1e-9;

/// The bounds `h² ≤ m₂ ≤ κ_max·h` on the diagonals of `H` and `M₂` in one orthonormal basis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wedge {
    kappa_max: f64,
    noise_floor: f64,
    tolerance: f64,
}

/// What is known of the sign of the per-sample curvature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Curvature<'a> {
    /// Every `h_p ⪰ 0` (cross-entropy or linear-MSE through a piecewise-linear tail): both sides are checked with `H`.
    PositiveSemidefinite,
    /// Some `h_p` have negative eigenvalues. The right side is checked with the diagonal of `E_p[|h_p|]` in the same
    /// basis, where it is given, and not at all where it is not.
    Indefinite {
        /// `vᵀE_p[|h_p|]v` for each direction.
        abs_diag: Option<&'a [f64]>,
    },
}

/// Where a direction lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Both bounds that could be checked hold.
    Inside,
    /// `m₂ < h²` beyond the tolerance: impossible for a true `H` and `M₂` of one ensemble.
    Below,
    /// `m₂ > κ_max·h` beyond the tolerance: not one positive semidefinite ensemble, or `κ_max` is not its largest
    /// curvature.
    Above,
    /// `|h|` does not exceed the noise floor: rounding, not judged.
    Flagged,
}

/// Every direction held against the wedge.
#[derive(Debug, Clone, PartialEq)]
pub struct WedgeReport {
    /// One verdict a direction.
    pub places: Vec<Place>,
    /// Directions inside.
    pub n_inside: usize,
    /// Directions under `h²`.
    pub n_below: usize,
    /// Directions over `κ_max·h`.
    pub n_above: usize,
    /// Directions not judged.
    pub n_flagged: usize,
    /// Least `log10(m₂/h²)` over the judged directions, in decades; negative if one is below. `None` if none was
    /// judged.
    pub min_lower_slack: Option<f64>,
    /// The same for `log10(κ_max·h/m₂)`; `None` also if the right side was not checked.
    pub min_upper_slack: Option<f64>,
}

/// Why the wedge or the diagonals make no sense.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum BoundsError {
    /// `κ_max`, the noise floor or the tolerance is out of range.
    #[error("{field} is {found}: expected a finite number, {expected}")]
    Parameter {
        /// Which one.
        field: &'static str,
        /// The value given.
        found: f64,
        /// Its range in words.
        expected: &'static str,
    },
    /// A diagonal does not pair up with that of `H`.
    #[error("{field} has {found} entries, h_diag has {expected}")]
    LengthMismatch {
        /// Which diagonal.
        field: &'static str,
        /// Its length.
        found: usize,
        /// Length of the diagonal of `H`.
        expected: usize,
    },
    /// An entry is infinite or not a number.
    #[error("{field}[{index}] is {value}: expected a finite number")]
    NonFinite {
        /// Which diagonal.
        field: &'static str,
        /// Position of the first such entry.
        index: usize,
        /// What stands there.
        value: f64,
    },
}

impl Wedge {
    /// The wedge of an ensemble whose largest absolute per-sample eigenvalue is `kappa_max`, with no noise floor and
    /// a tolerance of `1e-9`.
    ///
    /// # Errors
    ///
    /// [`BoundsError::Parameter`] unless `kappa_max` is finite and positive.
    pub fn new(kappa_max: f64) -> Result<Self, BoundsError> {
        if !(kappa_max.is_finite() && kappa_max > 0.0) {
            return Err(BoundsError::Parameter { field: "kappa_max", found: kappa_max, expected: "above zero" });
        }
        Ok(Self { kappa_max, noise_floor: 0.0, tolerance: DEFAULT_TOLERANCE })
    }

    /// Directions with `|h| ≤ noise_floor` are flagged, not judged. Without a floor a `−10⁻¹⁸` that stands for zero is
    /// judged, and found above.
    ///
    /// # Errors
    ///
    /// [`BoundsError::Parameter`] unless the floor is finite and not negative.
    pub fn with_noise_floor(self, noise_floor: f64) -> Result<Self, BoundsError> {
        Ok(Self { noise_floor: checked("noise_floor", noise_floor)?, ..self })
    }

    /// Bounds may be passed by the factor `1 + tolerance` before a direction counts as outside.
    ///
    /// # Errors
    ///
    /// [`BoundsError::Parameter`] unless the tolerance is finite and not negative.
    pub fn with_tolerance(self, tolerance: f64) -> Result<Self, BoundsError> {
        Ok(Self { tolerance: checked("tolerance", tolerance)?, ..self })
    }

    /// Largest per-sample curvature `κ_max`.
    pub fn kappa_max(&self) -> f64 {
        self.kappa_max
    }

    /// Lower edge `h²` (exponent 2).
    pub fn lower(&self, h: f64) -> f64 {
        h * h
    }

    /// Upper edge `κ_max·h` (exponent 1).
    pub fn upper(&self, h: f64) -> f64 {
        self.kappa_max * h
    }

    /// Holds every direction against the bounds: `h_diag[i] = v_iᵀHv_i`, `m2_diag[i] = v_iᵀM₂v_i`.
    ///
    /// # Errors
    ///
    /// [`BoundsError::LengthMismatch`] or [`BoundsError::NonFinite`].
    pub fn report(
        &self,
        h_diag: &[f64],
        m2_diag: &[f64],
        curvature: Curvature<'_>,
    ) -> Result<WedgeReport, BoundsError> {
        check_diagonals(h_diag, &[("m2_diag", m2_diag)])?;
        let right_diag = match curvature {
            Curvature::PositiveSemidefinite => Some(h_diag),
            Curvature::Indefinite { abs_diag } => abs_diag,
        };
        if let Some(right) = right_diag {
            check_diagonals(h_diag, &[("abs_diag", right)])?;
        }

        let mut report = WedgeReport {
            places: Vec::with_capacity(h_diag.len()),
            n_inside: 0,
            n_below: 0,
            n_above: 0,
            n_flagged: 0,
            min_lower_slack: None,
            min_upper_slack: None,
        };
        for (i, (&h, &m2)) in h_diag.iter().zip(m2_diag).enumerate() {
            let right = right_diag.map(|diag| diag[i]);
            let place = self.place(h, m2, right);
            let counter = match place {
                Place::Inside => &mut report.n_inside,
                Place::Below => &mut report.n_below,
                Place::Above => &mut report.n_above,
                Place::Flagged => &mut report.n_flagged,
            };
            *counter += 1;
            report.places.push(place);
            if place != Place::Flagged {
                keep_least(&mut report.min_lower_slack, decades(m2 / h.abs(), h.abs()));
                if let Some(right) = right {
                    keep_least(&mut report.min_upper_slack, decades(self.upper(right), m2));
                }
            }
        }
        Ok(report)
    }

    /// Exponents `γ(v)` of every direction above the noise floor.
    ///
    /// # Errors
    ///
    /// [`BoundsError::LengthMismatch`] or [`BoundsError::NonFinite`].
    pub fn exponents(&self, h_diag: &[f64], m2_diag: &[f64]) -> Result<PointwiseExponents, BoundsError> {
        check_diagonals(h_diag, &[("m2_diag", m2_diag)])?;
        Ok(pointwise::exponents(h_diag, m2_diag, self.kappa_max, self.noise_floor))
    }

    fn place(&self, h: f64, m2: f64, right: Option<f64>) -> Place {
        if h.abs() <= self.noise_floor {
            Place::Flagged
        } else if m2 / h.abs() * (1.0 + self.tolerance) < h.abs() {
            // Divided through by |h|, so that a small h² does not vanish.
            Place::Below
        } else if right.is_some_and(|right| m2 > self.upper(right) * (1.0 + self.tolerance)) {
            Place::Above
        } else {
            Place::Inside
        }
    }
}

/// `log10(large/small)`; minus infinity where `large` is not positive or, in a bound that fails outright, `small` is
/// not.
fn decades(large: f64, small: f64) -> f64 {
    if large <= 0.0 {
        f64::NEG_INFINITY
    } else if small <= 0.0 {
        f64::INFINITY
    } else {
        large.log10() - small.log10()
    }
}

fn keep_least(least: &mut Option<f64>, value: f64) {
    *least = Some(least.map_or(value, |l| l.min(value)));
}

fn checked(field: &'static str, found: f64) -> Result<f64, BoundsError> {
    if found.is_finite() && found >= 0.0 {
        Ok(found)
    } else {
        Err(BoundsError::Parameter { field, found, expected: "zero or more" })
    }
}

fn check_diagonals(h_diag: &[f64], others: &[(&'static str, &[f64])]) -> Result<(), BoundsError> {
    for &(field, diag) in others {
        if diag.len() != h_diag.len() {
            return Err(BoundsError::LengthMismatch { field, found: diag.len(), expected: h_diag.len() });
        }
    }
    for (field, diag) in std::iter::once(("h_diag", h_diag)).chain(others.iter().copied()) {
        if let Some(index) = diag.iter().position(|v| !v.is_finite()) {
            return Err(BoundsError::NonFinite { field, index, value: diag[index] });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensembles::PowerLawEnsemble;
    use crate::strategies::{Sign, ensembles, orthonormal_bases};
    use faer::Mat;
    use proptest::prelude::*;

    const DIM: usize = 4;

    proptest! {
        #[test]
        fn positive_ensembles_lie_inside(ensemble in ensembles(Sign::Semidefinite, DIM), V in orthonormal_bases(DIM)) {
            prop_assume!(ensemble.kappa_max() > 0.0);
            let check = check_dense(&ensemble.hessians(), V.as_ref()).unwrap();
            prop_assert!(check.semidefinite);
            prop_assert_eq!(check.n_outside(), 0);
            // In logarithms, except close to κ_max, where an exponent is 0/0, and to the floor of rounding.
            for (&i, gamma) in check.exponents.directions.iter().zip(&check.exponents.values) {
                if (1e-6..0.99).contains(&(check.h_diag[i] / check.kappa_max)) {
                    prop_assert!((1.0 - 1e-7..=2.0 + 1e-7).contains(gamma), "direction {}: {}", i, gamma);
                }
            }
        }

        #[test]
        fn indefinite_ensembles_keep_the_left_side_and_the_right_one_with_absolute_curvature(
            ensemble in ensembles(Sign::Indefinite, DIM), V in orthonormal_bases(DIM),
        ) {
            prop_assume!(ensemble.kappa_max() > 0.0);
            let check = check_dense(&ensemble.hessians(), V.as_ref()).unwrap();
            prop_assert_eq!(check.n_outside(), 0);
            let kappa_max = ensemble.kappa_max();
            let wedge = Wedge::new(kappa_max).unwrap().with_noise_floor(1e-6 * kappa_max).unwrap();
            let diagonals = ensemble.diagonals(V.as_ref());
            let left = wedge.report(&diagonals.h, &diagonals.m2, Curvature::Indefinite { abs_diag: None }).unwrap();
            prop_assert_eq!((left.n_below, left.n_above), (0, 0));
            // |h| is a semidefinite ensemble with the same second moment: the whole theorem holds for it.
            let abs = ensemble.abs_diagonal(V.as_ref());
            let whole = wedge.report(&abs, &diagonals.m2, Curvature::PositiveSemidefinite).unwrap();
            prop_assert_eq!((whole.n_below, whole.n_above), (0, 0));
        }

        #[test]
        fn equal_curvature_attains_the_right_side(
            bases in prop::collection::vec(orthonormal_bases(DIM), 2..6), V in orthonormal_bases(DIM), rank in 1..=DIM,
        ) {
            // One curvature, varying alignment: γ = 1 in every direction.
            let hessian = |Q: &Mat<f64>| {
                let U = Q.subcols(0, rank);
                let h = U * U.transpose() * faer::Scale(2.5);
                Mat::from_fn(DIM, DIM, |i, j| h[(i.max(j), i.min(j))])
            };
            let hessians: Vec<Mat<f64>> = bases.iter().map(hessian).collect();
            let check = check_dense(&hessians, V.as_ref()).unwrap();
            for (h, m2) in check.h_diag.iter().zip(&check.m2_diag) {
                prop_assert!((m2 - 2.5 * h).abs() < 1e-13);
            }
            for (&i, gamma) in check.exponents.directions.iter().zip(&check.exponents.values) {
                prop_assert!((gamma - 1.0).abs() < 1e-11 || !(0.01..2.4).contains(&check.h_diag[i]));
            }
        }

        #[test]
        fn equal_samples_attain_the_left_side(
            kappa in prop::array::uniform4(0.01..2.0_f64), V in orthonormal_bases(DIM), n in 1..5_usize,
        ) {
            let h = Mat::from_fn(DIM, DIM, |i, j| {
                let (i, j) = (i.max(j), i.min(j));
                (0..DIM).map(|m| kappa[m] * (V[(i, m)] * V[(j, m)])).sum::<f64>()
            });
            let check = check_dense(&vec![h; n], V.as_ref()).unwrap();
            prop_assert!(check.report.min_lower_slack.unwrap().abs() < 1e-12);
            for (&i, gamma) in check.exponents.directions.iter().zip(&check.exponents.values) {
                prop_assert!((gamma - 2.0).abs() < 1e-9 || check.h_diag[i] > 0.99 * check.kappa_max);
            }
        }

        #[test]
        fn every_exponent_between_is_attained(
            gamma in 1.0..=2.0f64, steps in prop::collection::vec(0.05..0.9f64, 1..20),
        ) {
            let lambda: Vec<f64> = steps.iter().scan(7.0, |l, s| { *l *= s; Some(*l) }).collect();
            let ensemble = PowerLawEnsemble::new(&lambda, gamma).unwrap();
            let (h, m2) = (ensemble.h_diag(), ensemble.m2_diag());
            let wedge = Wedge::new(ensemble.kappa_max()).unwrap();
            prop_assert_eq!(wedge.report(&h, &m2, Curvature::PositiveSemidefinite).unwrap().n_inside, h.len());
            let exponents = wedge.exponents(&h, &m2).unwrap();
            // The leading direction is carried by every sample at κ_max, where the exponent is 0/0.
            prop_assert_eq!(exponents.values.len() + exponents.n_undefined, h.len());
            for (&i, &found) in exponents.directions.iter().zip(&exponents.values).filter(|(i, _)| **i > 0) {
                prop_assert!((found - gamma).abs() < 1e-11, "direction {}: {}", i, found);
            }
        }
    }

    #[test]
    fn an_indefinite_ensemble_may_leave_the_wedge_of_h_on_the_right() {
        // One sample, κ = (1, −1), v = (√0.55, √0.45): H_vv = 0.1, |h|_vv = 1, M₂_vv = 1.
        let wedge = Wedge::new(1.0).unwrap();
        let as_positive = wedge.report(&[0.1], &[1.0], Curvature::PositiveSemidefinite).unwrap();
        assert_eq!(as_positive.places, [Place::Above]);
        assert!((as_positive.min_upper_slack.unwrap() + 1.0).abs() < 1e-15);
        let with_abs = wedge.report(&[0.1], &[1.0], Curvature::Indefinite { abs_diag: Some(&[1.0]) }).unwrap();
        assert_eq!(with_abs.places, [Place::Inside]);
        let unchecked = wedge.report(&[-0.1], &[1.0], Curvature::Indefinite { abs_diag: None }).unwrap();
        assert_eq!((unchecked.places, unchecked.min_upper_slack), (vec![Place::Inside], None));
        // The left side binds a negative curvature too.
        let negative = wedge.report(&[-0.5], &[0.2], Curvature::Indefinite { abs_diag: Some(&[0.9]) }).unwrap();
        assert_eq!(negative.places, [Place::Below]);
    }

    #[test]
    fn places_slack_and_tolerance() {
        let wedge = Wedge::new(10.0).unwrap().with_noise_floor(1e-10).unwrap();
        let (h, m2) = ([1.0, 1.0, 1.0, 1e-11, 1e-170], [5.0, 0.1, 100.0, 9.0, 9.0]);
        let report = wedge.report(&h, &m2, Curvature::PositiveSemidefinite).unwrap();
        use Place::{Above, Below, Flagged, Inside};
        assert_eq!(report.places, [Inside, Below, Above, Flagged, Flagged]);
        assert_eq!((report.n_inside, report.n_below, report.n_above, report.n_flagged), (1, 1, 1, 2));
        assert!((report.min_lower_slack.unwrap() + 1.0).abs() < 1e-15);
        assert!((report.min_upper_slack.unwrap() + 1.0).abs() < 1e-15);

        let strict = Wedge::new(1.0).unwrap().with_tolerance(0.0).unwrap();
        let loose = strict.with_tolerance(1e-3).unwrap();
        for (m2, place) in [(0.2499, Below), (0.5001, Above)] {
            let place_of = |w: Wedge| w.report(&[0.5], &[m2], Curvature::PositiveSemidefinite).unwrap().places[0];
            assert_eq!((place_of(strict), place_of(loose)), (place, Inside));
        }
        // h² underflows to zero here, and yet m₂ = 0 is below it.
        let tiny = strict.report(&[1e-170], &[0.0], Curvature::PositiveSemidefinite).unwrap();
        assert_eq!(tiny.places, [Below]);
        // Negative curvature contradicts a positive ensemble unless the floor says it is rounding.
        let negative = strict.report(&[-1e-18], &[0.0], Curvature::PositiveSemidefinite).unwrap();
        assert_eq!(negative.n_inside, 0);
    }

    #[test]
    fn refuses_parameters_and_diagonals_out_of_range() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Wedge::new(bad), Err(BoundsError::Parameter { field: "kappa_max", .. })));
        }
        let wedge = Wedge::new(1.0).unwrap();
        assert!(wedge.with_noise_floor(-1.0).is_err() && wedge.with_tolerance(f64::NAN).is_err());
        let psd = Curvature::PositiveSemidefinite;
        assert_eq!(
            wedge.report(&[1.0], &[], psd),
            Err(BoundsError::LengthMismatch { field: "m2_diag", found: 0, expected: 1 })
        );
        assert!(wedge.report(&[1.0], &[1.0], Curvature::Indefinite { abs_diag: Some(&[]) }).is_err());
        assert!(matches!(
            wedge.exponents(&[1.0, f64::NAN], &[1.0, 1.0]),
            Err(BoundsError::NonFinite { field: "h_diag", index: 1, .. })
        ));
        let empty = wedge.report(&[], &[], psd).unwrap();
        assert_eq!((empty.places.len(), empty.min_lower_slack), (0, None));
    }
}
