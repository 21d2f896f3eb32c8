//! The Theil–Sen exponent: the median of the slopes of all pairs of points.
//!
//! Up to 29 % of the points may be arbitrary before it gives way, where least squares gives way to one. Its interval is
//! Sen's (1968): it inverts Kendall's test and so assumes that errors about the line are independent and alike, normal
//! or not.

use crate::bootstrap::Interval;
use crate::loglog::{self, Dropped, FitConfig, Logarithms};
use crate::ols::FitError;
use crate::student::normal_two_sided_quantile;

/// `log10 y ≈ intercept + slope · log10 x` by medians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TheilSenFit {
    /// Median of the slopes of all pairs with different abscissae.
    pub slope: f64,
    /// Median of `log10 y − slope · log10 x`.
    pub intercept: f64,
    /// Interval of the slope.
    pub interval: Interval,
    /// Points fitted.
    pub n_used: usize,
    /// Pairs with different abscissae.
    pub n_pairs: usize,
    /// Points that could not be fitted, by cause.
    pub dropped: Dropped,
    /// Entries looked at.
    pub top: usize,
}

/// Fits the entries that [`loglog::fit_with`] would fit, with an interval at `level`.
///
/// All `½n(n−1)` slopes are held: 25 MB for 2,500 points. Deterministic.
///
/// # Errors
/// As [`loglog::fit_with`], without the errors of leverage.
///
/// # Panics
/// When `level` lies outside `(0, 1)`.
#[track_caller]
pub fn fit(x: &[f64], y: &[f64], config: &FitConfig, level: f64) -> Result<TheilSenFit, FitError> {
    assert!(level > 0.0 && level < 1.0, "level {level}: expected between 0 and 1");
    let Logarithms { indices, x: log_x, y: log_y, dropped, top } = loglog::logarithms(x, y, config)?;
    let n = log_x.len();
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for j in 1..n {
        for i in 0..j {
            if log_x[i] != log_x[j] {
                slopes.push((log_y[j] - log_y[i]) / (log_x[j] - log_x[i]));
            }
        }
    }
    if slopes.is_empty() {
        return Err(FitError::EqualAbscissae { value: x[indices[0]], n });
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let n_pairs = slopes.len();
    let slope = middle(&slopes);
    // Half the width, in ranks, of what Kendall's statistic leaves open; ties among abscissae carry no information.
    let half = normal_two_sided_quantile(1.0 - level) * (kendall_variance(&log_x)).sqrt();
    let rank = |rank: f64| slopes[rank.clamp(0.0, (n_pairs - 1) as f64) as usize];
    let low = rank(((n_pairs as f64 - half) / 2.0).round() - 1.0);
    let high = rank(((n_pairs as f64 + half) / 2.0).round());
    let mut rest: Vec<f64> = log_x.iter().zip(&log_y).map(|(x, y)| y - slope * x).collect();
    rest.sort_unstable_by(f64::total_cmp);
    let intercept = middle(&rest);
    Ok(TheilSenFit { slope, intercept, interval: Interval { low, high }, n_used: n, n_pairs, dropped, top })
}

/// Variance of Kendall's sum of signs: `[n(n−1)(2n+5) − Σ t(t−1)(2t+5)]/18` over groups of `t` equal abscissae.
fn kendall_variance(x: &[f64]) -> f64 {
    let term = |n: usize| (n * (n - 1) * (2 * n + 5)) as f64 / 18.0;
    let mut sorted = x.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    term(x.len()) - sorted.chunk_by(|a, b| a == b).map(|group| term(group.len())).sum::<f64>()
}

fn middle(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(x: &[f64]) -> Vec<f64> {
        x.iter().map(|x| 10f64.powf(*x)).collect()
    }

    /// Golden values: scipy 1.17.1, `theilslopes(y, x, 0.95)`.
    #[test]
    fn agrees_with_scipy() {
        let x = [0.5, 1.0, 1.7, 2.0, 2.0, 4.0, 5.5, 9.0, 9.5, 10.0];
        let y = [1.1, 1.9, 2.2, 3.5, 2.8, 6.0, 5.1, 12.4, 3.0, 11.0];
        let fit = fit(&powers(&x), &powers(&y), &FitConfig::top(10), 0.95).unwrap();
        assert!((fit.slope - 1.0335526315789474).abs() < 1e-12, "{fit:?}");
        assert!(
            (fit.interval.low - 0.428571428571429).abs() < 1e-12
                && (fit.interval.high - 1.3972602739726028).abs() < 1e-12,
            "{fit:?}"
        );
        assert_eq!((fit.n_used, fit.n_pairs), (10, 44));
    }

    #[test]
    fn a_quarter_of_wild_points_moves_it_little_and_least_squares_much() {
        let x: Vec<f64> = (0..40).map(|i| 10f64.powf(-0.1 * f64::from(i))).collect();
        let y: Vec<f64> =
            (0..40).map(|i| x[i].powf(1.4) * if i >= 31 { 1e6 } else { 1.0 + 0.01 * (i as f64).sin() }).collect();
        let robust = fit(&x, &y, &FitConfig::top(40), 0.95).unwrap();
        assert!((robust.slope - 1.4).abs() < 0.1, "{robust:?}");
        assert!((loglog::fit(&x, &y, 40).unwrap().slope - 1.4).abs() > 1.0);
    }

    #[test]
    fn refuses_what_has_no_slope_and_counts_what_it_drops() {
        let config = FitConfig::top(9);
        assert_eq!(
            fit(&[2.0, 1.0, 0.0], &[1.0; 3], &config, 0.9),
            Err(FitError::TooFewPoints { usable: 2, considered: 3 })
        );
        assert_eq!(fit(&[2.0; 4], &[1.0; 4], &config, 0.9), Err(FitError::EqualAbscissae { value: 2.0, n: 4 }));
        let found = fit(&[4.0, 2.0, 1.0, -1.0], &[16.0, 4.0, 1.0, 1.0], &config, 0.9).unwrap();
        assert_eq!((found.slope, found.dropped.non_positive_x, found.top), (2.0, 1, 4));
    }
}
