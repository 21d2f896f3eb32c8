//! Correlation of paired values by rank.

use crate::ols::centred;
use crate::student;
use thiserror::Error;

/// A correlation coefficient and how surprising it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// The coefficient, in `[−1, 1]`.
    pub r: f64,
    /// Two-sided p-value under independence, from `t = r √((n−2)/(1−r²))` and Student's `t` with `n − 2` degrees of
    /// freedom. An approximation, good from about 20 pairs up. `0` when smaller than the smallest `f64`.
    pub p_value: f64,
    /// Pairs used: all of them.
    pub n: usize,
}

/// Why no correlation exists.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CorrelationError {
    /// The two slices do not pair up.
    #[error("x has {x} entries, y has {y}: expected as many")]
    LengthMismatch {
        /// Length of `x`.
        x: usize,
        /// Length of `y`.
        y: usize,
    },
    /// Two points always correlate perfectly.
    #[error("{found} pairs: expected at least 3")]
    TooFewPairs {
        /// Pairs given.
        found: usize,
    },
    /// An entry is infinite or not a number.
    #[error("{field}[{index}] is {value}: expected a finite number")]
    NonFinite {
        /// `"x"` or `"y"`.
        field: &'static str,
        /// Position of the first such entry.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// One variable does not vary.
    #[error("all {n} entries of {field} equal {value}: no correlation exists")]
    Constant {
        /// `"x"` or `"y"`.
        field: &'static str,
        /// The common value.
        value: f64,
        /// Pairs given.
        n: usize,
    },
}

/// Spearman's rank correlation: Pearson's of the ranks, ties sharing the average of the ranks they span.
///
/// # Errors
///
/// [`CorrelationError`]: lengths that differ, fewer than three pairs, entries that are not finite, a constant variable.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Correlation, CorrelationError> {
    check(x, y)?;
    Ok(correlate(&average_ranks(x), &average_ranks(y)))
}

/// Pearson's correlation `S_xy/√(S_xx S_yy)`: what tests compare with.
#[cfg(test)]
pub(crate) fn pearson(x: &[f64], y: &[f64]) -> Result<Correlation, CorrelationError> {
    check(x, y)?;
    Ok(correlate(x, y))
}

/// Ranks from 1, ascending; equal entries share the average of the ranks they span, so the ranks always sum to
/// `n(n+1)/2`.
///
/// # Panics
///
/// If an entry is not a number.
#[track_caller]
fn average_ranks(values: &[f64]) -> Vec<f64> {
    assert!(values.iter().all(|v| !v.is_nan()), "ranks of values that are not numbers");
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    // By `==`, so that the two zeros tie; `total_cmp` puts them side by side.
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let shared = start as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &i in tied {
            ranks[i] = shared;
        }
        start += tied.len();
    }
    ranks
}

fn check(x: &[f64], y: &[f64]) -> Result<(), CorrelationError> {
    if x.len() != y.len() {
        return Err(CorrelationError::LengthMismatch { x: x.len(), y: y.len() });
    }
    if x.len() < 3 {
        return Err(CorrelationError::TooFewPairs { found: x.len() });
    }
    for (field, values) in [("x", x), ("y", y)] {
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(CorrelationError::NonFinite { field, index, value: values[index] });
        }
        if values.iter().all(|&v| v == values[0]) {
            return Err(CorrelationError::Constant { field, value: values[0], n: values.len() });
        }
    }
    Ok(())
}

fn correlate(x: &[f64], y: &[f64]) -> Correlation {
    let (_, dx, _) = centred(x);
    let (_, dy, _) = centred(y);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let r = (dot(&dx, &dy) / (dot(&dx, &dx) * dot(&dy, &dy)).sqrt()).clamp(-1.0, 1.0);
    Correlation { r, p_value: student::two_sided(x.len() - 2, r), n: x.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: [f64; 10] = [1.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0, 8.0, 9.0, 10.0];
    const B: [f64; 10] = [2.0, 1.0, 4.0, 3.0, 3.0, 7.0, 8.0, 6.0, 9.0, 9.0];

    fn close(found: Correlation, r: f64, p_value: f64) {
        assert!((found.r - r).abs() < 1e-14, "{found:?}");
        assert!((found.p_value / p_value - 1.0).abs() < 1e-10, "{found:?}");
    }

    /// Golden values: scipy 1.17.1, `spearmanr` and `pearsonr`.
    #[test]
    fn agrees_with_scipy() {
        close(spearman(&A, &B).unwrap(), 0.842_141_587_850_718_9, 0.002_235_198_569_957_075_3);
        close(pearson(&A, &B).unwrap(), 0.836_373_319_108_945_5, 0.002_561_348_932_263_927_7);
        let (a, b) = ([0.3, -1.2, 2.5, 0.0, 1.1], [1.0, 0.2, -0.5, 0.9, 0.4]);
        close(spearman(&a, &b).unwrap(), -0.3, 0.623_837_664_781_073);
        close(pearson(&a, &b).unwrap(), -0.551_848_042_237_785_7, 0.334_866_420_076_724_74);
    }

    #[test]
    fn ties_share_their_average_rank() {
        assert_eq!(average_ranks(&A), [1.0, 2.5, 2.5, 4.0, 6.0, 6.0, 6.0, 8.0, 9.0, 10.0]);
        assert_eq!(average_ranks(&[0.0, -0.0, -1.0]), [2.5, 2.5, 1.0]);
    }

    #[test]
    fn a_monotone_law_has_rank_correlation_one() {
        let x: Vec<f64> = (1..30).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|v| v.exp()).collect();
        assert_eq!(spearman(&x, &y).unwrap(), Correlation { r: 1.0, p_value: 0.0, n: 29 });
        assert!(pearson(&x, &y).unwrap().r < 0.6);
    }

    #[test]
    fn refuses_what_does_not_vary_or_pair() {
        let error = |x: &[f64], y: &[f64]| spearman(x, y).unwrap_err();
        assert_eq!(error(&[1.0], &[]), CorrelationError::LengthMismatch { x: 1, y: 0 });
        assert_eq!(error(&[1.0, 2.0], &[1.0, 2.0]), CorrelationError::TooFewPairs { found: 2 });
        assert_eq!(error(&[1.0, 2.0, 3.0], &[4.0; 3]), CorrelationError::Constant { field: "y", value: 4.0, n: 3 });
        assert!(matches!(
            error(&[1.0, f64::NAN, 3.0], &[4.0; 3]),
            CorrelationError::NonFinite { field: "x", index: 1, .. }
        ));
    }

    proptest! {
        #[test]
        fn ranks_ignore_monotone_maps(values in prop::collection::vec((-5i32..5, -5i32..5), 3..30)) {
            let (x, y): (Vec<f64>, Vec<f64>) = values.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
            let n = x.len() as f64;
            prop_assert_eq!(average_ranks(&x).iter().sum::<f64>(), n * (n + 1.0) / 2.0);
            let cubed: Vec<f64> = x.iter().map(|v| v.powi(3) + 7.0).collect();
            let flipped: Vec<f64> = x.iter().map(|v| -v).collect();
            if let Ok(found) = spearman(&x, &y) {
                prop_assert_eq!(spearman(&cubed, &y).unwrap(), found);
                prop_assert!((spearman(&flipped, &y).unwrap().r + found.r).abs() < 1e-14);
                prop_assert_eq!(spearman(&y, &x).unwrap().r, found.r);
                prop_assert!((0.0..=1.0).contains(&found.p_value));
            }
        }
    }
}
