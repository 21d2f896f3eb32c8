//! The exponent of one direction: where it lies in the wedge, on a scale from 1 (upper edge) to 2 (lower edge).

/// Exponents of those directions that have one.
///
/// For a positive semidefinite ensemble each lies in `[1, 2]` exactly. For an indefinite one only `γ ≤ 2` holds, since
/// `|vᵀHv| ≤ vᵀE[|h_p|]v`; the exponents of the diagonal of `E[|h_p|]` lie in `[1, 2]` again.
#[derive(Debug, Clone, PartialEq)]
pub struct PointwiseExponents {
    /// Positions of the directions, ascending.
    pub directions: Vec<usize>,
    /// Their exponents.
    pub values: Vec<f64>,
    /// Directions without one: `h` at or below the noise floor or not below `κ_max`, or `m₂` not positive.
    pub n_undefined: usize,
}

impl PointwiseExponents {
    /// Smallest exponent, if there is any.
    pub fn min(&self) -> Option<f64> {
        self.values.iter().copied().reduce(f64::min)
    }

    /// Largest exponent, if there is any.
    pub fn max(&self) -> Option<f64> {
        self.values.iter().copied().reduce(f64::max)
    }

    /// Exponents below `1 − tolerance` or above `2 + tolerance`.
    ///
    /// Close to `λ' = 1` an exponent is a quotient of two vanishing logarithms and magnifies rounding: count violations
    /// with [`crate::bounds::Wedge::report`], which does not.
    pub fn n_outside(&self, tolerance: f64) -> usize {
        self.values.iter().filter(|&&gamma| !(1.0 - tolerance..=2.0 + tolerance).contains(&gamma)).count()
    }
}

/// `γ(v) = ln m'/ln λ'` with `λ' = h/κ_max`, `m' = m₂/κ_max²` (`MATH [14]`).
///
/// `h = vᵀHv` and `m2 = vᵀM₂v` for a unit vector `v`. `None` where it is not defined: `λ'` outside `(0, 1)` or
/// `m' ≤ 0`.
pub fn pointwise_exponent(h: f64, m2: f64, kappa_max: f64) -> Option<f64> {
    let lambda = h / kappa_max;
    let m = m2 / kappa_max / kappa_max;
    // Written so that anything that is not a number fails.
    if lambda > 0.0 && lambda < 1.0 && m > 0.0 { Some(m.ln() / lambda.ln()) } else { None }
}

pub(super) fn exponents(h_diag: &[f64], m2_diag: &[f64], kappa_max: f64, noise_floor: f64) -> PointwiseExponents {
    let mut found = PointwiseExponents { directions: Vec::new(), values: Vec::new(), n_undefined: 0 };
    for (index, (&h, &m2)) in h_diag.iter().zip(m2_diag).enumerate() {
        match pointwise_exponent(h, m2, kappa_max).filter(|_| h > noise_floor) {
            Some(gamma) => {
                found.directions.push(index);
                found.values.push(gamma);
            }
            None => found.n_undefined += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_the_wedge_are_one_and_two() {
        let kappa = 8.0;
        for h in [1e-9f64, 0.5, 7.0] {
            assert!((pointwise_exponent(h, kappa * h, kappa).unwrap() - 1.0).abs() < 1e-13);
            assert!((pointwise_exponent(h, h * h, kappa).unwrap() - 2.0).abs() < 1e-13);
            assert!((pointwise_exponent(h, h.powf(1.5) * kappa.sqrt(), kappa).unwrap() - 1.5).abs() < 1e-13);
        }
    }

    #[test]
    fn does_not_depend_on_the_unit_of_curvature() {
        let plain = pointwise_exponent(0.3, 0.7, 5.0).unwrap();
        let scaled = pointwise_exponent(0.3e60, 0.7e120, 5.0e60).unwrap();
        assert!((plain - scaled).abs() < 1e-13);
    }

    #[test]
    fn counts_the_directions_without_an_exponent() {
        let h = [4.0, 5.0, 1.0, 0.5, 0.0, -1.0, 1e-9, 1.0];
        let m2 = [16.0, 25.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let found = exponents(&h, &m2, 4.0, 1e-6);
        assert_eq!(found.directions, [2, 3]);
        assert_eq!(found.n_undefined, 6);
        // 4^−2 = (1/4)^2 and 2^−4 = (2^−3)^(4/3).
        assert!((found.max().unwrap() - 2.0).abs() < 1e-14);
        assert!((found.min().unwrap() - 4.0 / 3.0).abs() < 1e-14);
        assert_eq!(exponents(&[], &[], 1.0, 0.0).min(), None);
    }

    #[test]
    fn counts_the_exponents_outside() {
        let values = vec![0.9, 1.0 - 1e-12, 1.5, 2.0 + 1e-12, 2.1];
        let found = PointwiseExponents { directions: (0..5).collect(), values, n_undefined: 0 };
        assert_eq!((found.n_outside(1e-9), found.n_outside(0.0), found.n_outside(0.2)), (2, 4, 0));
    }
}
