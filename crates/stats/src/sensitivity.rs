//! How an exponent depends on the number of directions it is fitted over: a curve with its band.
//!
//! The paper's `𝒩` is chosen by hand. Where the curve is flat the choice does not matter; where it is not, it does, and
//! the number that a table shows is one point of this curve.

use crate::bootstrap::Interval;
use crate::loglog::{self, FitConfig, PowerLawFit};
use crate::ols::FitError;
use crate::slope_bootstrap::{SlopeBootstrap, SlopeBootstrapError, slope_bootstrap};
use crate::student::two_sided_quantile;
use faer::MatRef;

/// The exponent over the leading `top` entries.
#[derive(Debug, Clone, PartialEq)]
pub struct SensitivityPoint {
    /// Entries looked at.
    pub top: usize,
    /// The fit, or why there is none.
    pub fit: Result<PowerLawFit, FitError>,
    /// `slope ± t_{n−2} · se`: the band of scatter about the line.
    pub band: Option<Interval>,
}

/// The exponent over the leading `top` entries, with its resamples.
#[derive(Debug, Clone, PartialEq)]
pub struct ResampledSensitivityPoint {
    /// Entries looked at.
    pub top: usize,
    /// The fit with its resamples, or why there is none.
    pub fit: Result<SlopeBootstrap, SlopeBootstrapError>,
    /// Basic interval over samples.
    pub band: Option<Interval>,
}

/// Fits `config` with every one of `tops` in the place of its own; the band is at `level`, pointwise.
///
/// # Panics
/// When `level` lies outside `(0, 1)`.
#[track_caller]
pub fn sensitivity(x: &[f64], y: &[f64], config: &FitConfig, tops: &[usize], level: f64) -> Vec<SensitivityPoint> {
    assert!(level > 0.0 && level < 1.0, "level {level}: expected between 0 and 1");
    let point = |&top: &usize| {
        let fit = loglog::fit_with(x, y, &FitConfig { top, ..*config });
        let band = fit.as_ref().ok().map(|fit| {
            let half = two_sided_quantile(fit.n_used - 2, 1.0 - level) * fit.se;
            Interval { low: fit.slope - half, high: fit.slope + half }
        });
        SensitivityPoint { top, fit, band }
    };
    tops.iter().map(point).collect()
}

/// As [`sensitivity`] over resampled diagonals (`k × (1 + n_draws)`, see [`slope_bootstrap()`]), with the band over
/// samples.
///
/// # Panics
/// As [`slope_bootstrap()`], or when `level` lies outside `(0, 1)`.
#[track_caller]
pub fn resampled_sensitivity(
    x: MatRef<'_, f64>,
    y: MatRef<'_, f64>,
    config: &FitConfig,
    tops: &[usize],
    level: f64,
) -> Vec<ResampledSensitivityPoint> {
    assert!(level > 0.0 && level < 1.0, "level {level}: expected between 0 and 1");
    let point = |&top: &usize| {
        let fit = slope_bootstrap(x, y, &FitConfig { top, ..*config });
        let band = fit.as_ref().ok().map(|fit| fit.slopes.basic(level));
        ResampledSensitivityPoint { top, fit, band }
    };
    tops.iter().map(point).collect()
}

/// `n` numbers of directions from `first` to `last`, evenly spaced in the logarithm, without repetition.
///
/// # Panics
/// Unless `0 < first ≤ last`.
#[track_caller]
pub fn tops(first: usize, last: usize, n: usize) -> Vec<usize> {
    assert!(0 < first && first <= last, "from {first} to {last}: expected above zero and ascending");
    let ratio = last as f64 / first as f64;
    let step = |i: usize| first as f64 * ratio.powf(i as f64 / n.saturating_sub(1).max(1) as f64);
    let mut tops: Vec<usize> = (0..n).map(|i| step(i).round() as usize).collect();
    tops.dedup();
    tops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_bends_where_the_law_does() {
        // γ = 1.5 over the first 100 directions, then a floor of y.
        let x: Vec<f64> = (0..200).map(|i| 10f64.powf(-0.03 * f64::from(i))).collect();
        let y: Vec<f64> = x.iter().map(|x| x.powf(1.5).max(10f64.powf(-4.5))).collect();
        let curve = sensitivity(&x, &y, &FitConfig::top(0), &[2, 50, 100, 200], 0.95);
        assert_eq!(curve[0].fit, Err(FitError::TooFewPoints { usable: 2, considered: 2 }));
        assert_eq!(curve[0].band, None);
        let slope = |i: usize| curve[i].fit.as_ref().unwrap().slope;
        assert!((slope(1) - 1.5).abs() < 1e-12 && (slope(2) - 1.5).abs() < 1e-12 && slope(3) < 1.4);
        let band = curve[3].band.unwrap();
        assert!(band.low < slope(3) && band.high > slope(3));
    }

    #[test]
    fn resamples_make_a_band() {
        let x = faer::mat![[8.0, 8.0, 8.0], [4.0, 4.0, 4.0], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0]];
        let y = faer::mat![[8.0, 64.0, 512.0], [4.0, 16.0, 64.0], [2.0, 4.0, 8.0], [1.0, 1.0, 1.0]];
        let curve = resampled_sensitivity(x.as_ref(), y.as_ref(), &FitConfig::top(0), &[2, 3, 4], 0.5);
        assert!(curve[0].fit.is_err() && curve[0].band.is_none());
        let band = curve[1].band.unwrap();
        // Draws 2 and 3 about an estimate of 1.
        assert!((band.low + 0.75).abs() < 1e-12 && (band.high + 0.25).abs() < 1e-12);
    }

    #[test]
    fn tops_are_spaced_in_the_logarithm() {
        assert_eq!(tops(10, 1_000, 5), [10, 32, 100, 316, 1_000]);
        assert_eq!(tops(3, 5, 9), [3, 4, 5]);
        assert_eq!(tops(7, 7, 3), [7]);
    }
}
