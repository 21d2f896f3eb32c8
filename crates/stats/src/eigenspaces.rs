//! Directions whose eigenvalues cannot be told apart, and what of a diagonal does not depend on the basis among them.
//!
//! Inside an eigenspace any orthonormal basis is one of eigenvectors, so a single `X_ii = v_iᵀXv_i` there means
//! nothing. The mean over the eigenspace does: it is `tr(PXP)/dim` with the projection `P` on it. So a power law has
//! one point an eigenspace. Where all eigenvalues are told apart, nothing changes, to the last bit.

use crate::ols::{FitError, MIN_POINTS};
use std::ops::Range;

/// Consecutive directions, grouped.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigenspaces {
    spaces: Vec<Range<usize>>,
    /// Largest minus smallest eigenvalue.
    spread: f64,
    /// The largest error given.
    error: f64,
}

/// Eigenvalues this many times the noise floor are known well: two of them that are equal within it are equal.
const KNOWN_WELL: f64 = 1e6;

impl Eigenspaces {
    /// Of eigenvalues in descending order that a dense decomposition gives to `noise_floor`. Those near the floor are
    /// close by chance, and count as different.
    pub fn above_noise(values: &[f64], noise_floor: f64) -> Self {
        let error = |&value: &f64| if value > KNOWN_WELL * noise_floor { 0.5 * noise_floor } else { 0.0 };
        Self::of(values, &values.iter().map(error).collect::<Vec<_>>())
    }

    /// Groups `values`, in descending order; `errors[i]` is a bound of the error of `values[i]`. Neighbours are in one
    /// eigenspace where their difference does not exceed the sum of their errors.
    ///
    /// # Panics
    /// When the lengths differ.
    #[track_caller]
    pub fn of(values: &[f64], errors: &[f64]) -> Self {
        assert_eq!(values.len(), errors.len(), "one error a value");
        let mut spaces: Vec<Range<usize>> = Vec::new();
        for i in 0..values.len() {
            match spaces.last_mut() {
                Some(space) if (values[i - 1] - values[i]).abs() <= errors[i - 1] + errors[i] => space.end = i + 1,
                _ => spaces.push(i..i + 1),
            }
        }
        let (least, most) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let spread = if values.is_empty() { 0.0 } else { most - least };
        Self { spaces, spread, error: errors.iter().copied().fold(0.0, f64::max) }
    }

    /// Positions of each eigenspace, first to last.
    pub fn spaces(&self) -> &[Range<usize>] {
        &self.spaces
    }

    /// Directions in all.
    pub fn n_directions(&self) -> usize {
        self.spaces.last().map_or(0, |last| last.end)
    }

    /// The mean of a diagonal over each eigenspace.
    ///
    /// # Panics
    /// When `diagonal` has fewer entries than there are directions.
    #[track_caller]
    pub fn means(&self, diagonal: &[f64]) -> Vec<f64> {
        let mean = |space: &Range<usize>| diagonal[space.clone()].iter().sum::<f64>() / space.len() as f64;
        self.spaces.iter().map(mean).collect()
    }

    /// Whether there are enough eigenspaces for a line and something to judge it by.
    ///
    /// # Errors
    /// [`FitError::TooFewEigenspaces`] where the directions would be enough, but are alike.
    pub fn enough(&self) -> Result<(), FitError> {
        if self.spaces.len() < MIN_POINTS && self.n_directions() >= MIN_POINTS {
            return Err(FitError::TooFewEigenspaces {
                distinct: self.spaces.len(),
                directions: self.n_directions(),
                spread: self.spread,
                error: self.error,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_within_their_errors_are_one_eigenspace() {
        let values = [4.0, 4.0 - 1e-12, 4.0 - 2e-12, 2.0, 1.0, 1.0 - 3e-12];
        let found = Eigenspaces::of(&values, &[1e-12; 6]);
        assert_eq!(found.spaces(), [0..3, 3..4, 4..5, 5..6]);
        assert_eq!(found.means(&[1.0, 2.0, 6.0, 7.0, 8.0, 9.0]), [3.0, 7.0, 8.0, 9.0]);
        assert_eq!(found.enough(), Ok(()));
        // The last two are alike if one of them is known less well.
        assert_eq!(Eigenspaces::of(&values, &[1e-12, 1e-12, 1e-12, 1e-12, 1e-12, 4e-12]).spaces().len(), 3);
    }

    #[test]
    fn a_mean_does_not_depend_on_the_basis() {
        // [[5, 3], [3, 1]] in a basis turned by any angle.
        for angle in [0.0, 0.3, 1.2f64] {
            let (s, c) = angle.sin_cos();
            let of = |x: f64, y: f64| 5.0 * x * x + 6.0 * x * y + y * y;
            let mean = Eigenspaces::of(&[2.0, 2.0], &[1e-15; 2]).means(&[of(c, s), of(-s, c)]);
            assert!(mean.len() == 1 && (mean[0] - 3.0).abs() < 1e-14, "{mean:?}");
        }
    }

    #[test]
    fn too_few_are_refused_with_the_evidence() {
        let error = Eigenspaces::of(&[0.5, 0.5, 0.5 - 1e-16, 0.25], &[1e-15; 4]).enough().unwrap_err();
        let words = "4 directions have 2 distinct eigenvalues: expected at least 3 (they spread over 2.5e-1 and are \
                     known to 1.0e-15)";
        assert_eq!(error.to_string(), words);
        // Too few directions are another matter, which the fit itself reports.
        assert_eq!(Eigenspaces::of(&[0.5, 0.25], &[1e-15; 2]).enough(), Ok(()));
        assert_eq!(Eigenspaces::of(&[], &[]).n_directions(), 0);
    }

    #[test]
    fn equal_eigenvalues_are_one_point_and_close_ones_at_the_floor_are_not() {
        // 2 and 1 twice each up to rounding; then what is close because all of it is small.
        let h = [2.0, 2.0 - 1e-15, 1.0, 1.0, 3e-14, 2.95e-14, 2.9e-14];
        let found = Eigenspaces::above_noise(&h, 1e-14);
        assert_eq!(found.spaces(), [0..2, 2..4, 4..5, 5..6, 6..7]);
        assert_eq!(found.means(&[1.0, 3.0, 4.0, 4.0, 1.0, 2.0, 3.0]), [2.0, 4.0, 1.0, 2.0, 3.0]);
        assert!(Eigenspaces::above_noise(&h[..4], 1e-14).enough().is_err());
    }
}
