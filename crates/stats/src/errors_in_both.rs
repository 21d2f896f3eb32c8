//! A straight line when both coordinates are measured with error.
//!
//! Least squares takes the abscissae for exact. Where they scatter by `σ_x` about true values of spread `s_x`, its
//! slope shrinks by the factor `s_x²/(s_x² + σ_x²)`. Two ways out, and what each assumes:
//!
//! - [`deming`]: every point has the same errors, in the known ratio `δ = σ_y²/σ_x²`; their size is estimated.
//! - [`york`]: every point has its own known errors, correlated or not; [`log_errors`] takes them from a bootstrap.
//!
//! Both take all scatter about the line for measurement error. Points that lie off the line by themselves (most spectra
//! do) show in [`YorkFit::reduced_chi_squared`] well above 1; then add that scatter to `σ_y`, or prefer
//! [`crate::loglog`], if `σ_x` is small.

use crate::ols::{MIN_POINTS, centred};
use faer::MatRef;
use thiserror::Error;

/// Steps after which an iteration is given up; a well-posed line takes about ten.
const MAX_ITERATIONS: usize = 500;

/// Why there is no line.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ErrorsInBothError {
    /// A slice does not pair up with the abscissae.
    #[error("{field} has {found} entries, x has {expected}")]
    LengthMismatch {
        /// Which slice.
        field: &'static str,
        /// Its length.
        found: usize,
        /// Length of the abscissae.
        expected: usize,
    },
    /// Too few points to fit a line and judge it.
    #[error("{found} points: expected at least {MIN_POINTS}")]
    TooFewPoints {
        /// Points given.
        found: usize,
    },
    /// An entry is out of range.
    #[error("{field}[{index}] is {value}: expected {expected}")]
    OutOfRange {
        /// Which slice.
        field: &'static str,
        /// Position of the first such entry.
        index: usize,
        /// What stands there.
        value: f64,
        /// The range in words.
        expected: &'static str,
    },
    /// A point without error in either coordinate, or with correlated errors that cancel along the line, has infinite
    /// weight.
    #[error("point {index} has no error across the line: its weight is infinite")]
    InfiniteWeight {
        /// Its position.
        index: usize,
    },
    /// The ratio of the variances is no positive number.
    #[error("the ratio of variances is {found}: expected a finite number above zero")]
    VarianceRatio {
        /// The ratio given.
        found: f64,
    },
    /// The points do not single out a direction.
    #[error("{n} points have no principal direction: no slope exists")]
    NoSlope {
        /// Points given.
        n: usize,
    },
    /// The iteration has not settled.
    #[error("the slope still changes by {change:e} after {iterations} iterations")]
    NoConvergence {
        /// Last change of the slope.
        change: f64,
        /// Iterations made.
        iterations: usize,
    },
}

/// A line with equal errors at all points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemingFit {
    /// The maximum-likelihood slope.
    pub slope: f64,
    /// `ȳ − slope · x̄`.
    pub intercept: f64,
    /// Standard error of the slope by the jackknife over points, which need not have normal errors.
    pub slope_se: f64,
    /// Points fitted.
    pub n: usize,
}

/// A line with individual errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YorkFit {
    /// The maximum-likelihood slope.
    pub slope: f64,
    /// Its intercept.
    pub intercept: f64,
    /// Standard error of the slope that the errors given imply.
    pub slope_se: f64,
    /// Weighted squared residuals over `n − 2`: about 1 when the errors given explain the scatter. Where it is larger,
    /// `slope_se · √χ²` is what a scatter of that size implies.
    pub reduced_chi_squared: f64,
    /// Points fitted.
    pub n: usize,
    /// Iterations made.
    pub iterations: usize,
}

/// Errors of one standard deviation of each point, in decades.
#[derive(Debug, Clone, PartialEq)]
pub struct LogErrors {
    /// Of `log10 x`.
    pub sd_x: Vec<f64>,
    /// Of `log10 y`.
    pub sd_y: Vec<f64>,
    /// Correlation of the two.
    pub correlation: Vec<f64>,
}

/// Deming's line at the ratio `δ = σ_y²/σ_x²` of error variances; `δ = 1` is orthogonal regression, `δ → ∞` least
/// squares.
///
/// `slope = [S_yy − δS_xx + √((S_yy − δS_xx)² + 4δS_xy²)]/(2S_xy)`.
///
/// # Errors
/// [`ErrorsInBothError`]: slices that do not pair up, entries that are not finite, fewer than three points, no
/// principal direction (`S_xy = 0`, also with any one point left out), a ratio that is not positive.
pub fn deming(x: &[f64], y: &[f64], variance_ratio: f64) -> Result<DemingFit, ErrorsInBothError> {
    check(x, y)?;
    if !(variance_ratio.is_finite() && variance_ratio > 0.0) {
        return Err(ErrorsInBothError::VarianceRatio { found: variance_ratio });
    }
    let n = x.len();
    let ((mean_x, dx, scale_x), (mean_y, dy, scale_y)) = (centred(x), centred(y));
    if scale_x <= 4.0 * f64::EPSILON * mean_x.abs() || scale_y <= 4.0 * f64::EPSILON * mean_y.abs() {
        return Err(ErrorsInBothError::NoSlope { n });
    }
    let unit = scale_y / scale_x;
    let delta = variance_ratio / (unit * unit);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (s_xx, s_xy, s_yy) = (product(&dx, &dx), product(&dx, &dy), product(&dy, &dy));
    let slope_of = |s_xx: f64, s_xy: f64, s_yy: f64| {
        let difference = s_yy - delta * s_xx;
        let root = difference.hypot(2.0 * delta.sqrt() * s_xy);
        // Of the two forms of the root the one that does not cancel.
        let slope = if difference >= 0.0 {
            (difference + root) / (2.0 * s_xy)
        } else {
            2.0 * delta * s_xy / (root - difference)
        };
        if slope.is_finite() && s_xy != 0.0 { Ok(slope) } else { Err(ErrorsInBothError::NoSlope { n }) }
    };
    let slope = slope_of(s_xx, s_xy, s_yy)?;
    // Sums about the mean without point i: those of all less n/(n−1) times the point's own product.
    let share = n as f64 / (n as f64 - 1.0);
    let mut without = Vec::with_capacity(n);
    for (a, b) in dx.iter().zip(&dy) {
        without.push(slope_of(s_xx - share * a * a, s_xy - share * a * b, s_yy - share * b * b)?);
    }
    let mean = without.iter().sum::<f64>() / n as f64;
    let spread: f64 = without.iter().map(|slope| (slope - mean).powi(2)).sum();
    let slope_se = (spread / share).sqrt() * unit;
    let slope = slope * unit;
    Ok(DemingFit { slope, intercept: mean_y - slope * mean_x, slope_se, n })
}

/// York's line: every point with its own standard deviations and the correlation of its two errors (D. York et al.,
/// 2004).
///
/// The weight of a point is one over its variance across the line, `σ_y² + b²σ_x² − 2bρσ_xσ_y`. A coordinate without
/// error is allowed, a point without any is not.
///
/// # Errors
/// [`ErrorsInBothError`]: slices that do not pair up, entries out of range, fewer than three points, an infinite
/// weight, no principal direction, no convergence.
pub fn york(x: &[f64], y: &[f64], errors: &LogErrors) -> Result<YorkFit, ErrorsInBothError> {
    check(x, y)?;
    let LogErrors { sd_x, sd_y, correlation } = errors;
    let n = x.len();
    let check_range = |field, values: &[f64], valid: fn(f64) -> bool, expected| {
        if values.len() != n {
            return Err(ErrorsInBothError::LengthMismatch { field, found: values.len(), expected: n });
        }
        match values.iter().position(|&v| !valid(v)) {
            Some(index) => Err(ErrorsInBothError::OutOfRange { field, index, value: values[index], expected }),
            None => Ok(()),
        }
    };
    for (field, sd) in [("sd_x", sd_x), ("sd_y", sd_y)] {
        check_range(field, sd, |sd| sd.is_finite() && sd >= 0.0, "a finite number, zero or more")?;
    }
    check_range("correlation", correlation, |r| r.abs() <= 1.0, "−1 to 1")?;
    let ordinary = crate::ols::fit(x, y, crate::Robust::Hc0).map_err(|_| ErrorsInBothError::NoSlope { n })?;
    let mut slope = ordinary.slope;
    let mut change = f64::INFINITY;
    for iterations in 1..=MAX_ITERATIONS {
        let step = york_step(x, y, errors, slope)?;
        change = (step.slope - slope).abs();
        slope = step.slope;
        if !slope.is_finite() {
            return Err(ErrorsInBothError::NoSlope { n });
        }
        if change <= 1e-13 * slope.abs().max(step.slope_se) {
            let reduced_chi_squared = step.chi_squared / (n as f64 - 2.0);
            return Ok(YorkFit {
                slope,
                intercept: step.intercept,
                slope_se: step.slope_se,
                reduced_chi_squared,
                n,
                iterations,
            });
        }
    }
    Err(ErrorsInBothError::NoConvergence { change, iterations: MAX_ITERATIONS })
}

struct YorkStep {
    slope: f64,
    intercept: f64,
    slope_se: f64,
    chi_squared: f64,
}

fn york_step(x: &[f64], y: &[f64], errors: &LogErrors, slope: f64) -> Result<YorkStep, ErrorsInBothError> {
    let n = x.len();
    let covariance = |i: usize| errors.correlation[i] * errors.sd_x[i] * errors.sd_y[i];
    let mut weight = Vec::with_capacity(n);
    for i in 0..n {
        let (across_y, across_x) = (errors.sd_y[i].powi(2), errors.sd_x[i].powi(2));
        let variance = across_y + slope * slope * across_x - 2.0 * slope * covariance(i);
        let w = 1.0 / variance;
        if !(w.is_finite() && variance > 1e-14 * (across_y + slope * slope * across_x)) {
            return Err(ErrorsInBothError::InfiniteWeight { index: i });
        }
        weight.push(w);
    }
    let total: f64 = weight.iter().sum();
    let mean = |values: &dyn Fn(usize) -> f64| (0..n).map(|i| weight[i] * values(i)).sum::<f64>() / total;
    let (mean_x, mean_y) = (mean(&|i| x[i]), mean(&|i| y[i]));
    // Where the line puts the true point, from the means.
    let adjusted = |i: usize| {
        let (u, v) = (x[i] - mean_x, y[i] - mean_y);
        weight[i] * (u * errors.sd_y[i].powi(2) + slope * v * errors.sd_x[i].powi(2) - (slope * u + v) * covariance(i))
    };
    let next = mean(&|i| adjusted(i) * (y[i] - mean_y)) / mean(&|i| adjusted(i) * (x[i] - mean_x));
    let centre = mean(&adjusted);
    let spread = total * mean(&|i| (adjusted(i) - centre).powi(2));
    let chi_squared = total * mean(&|i| (y[i] - mean_y - slope * (x[i] - mean_x)).powi(2));
    Ok(YorkStep { slope: next, intercept: mean_y - next * mean_x, slope_se: spread.sqrt().recip(), chi_squared })
}

/// Errors of `log10 x` and `log10 y` of the directions `of`, from their resamples by the delta method:
/// `σ(log10 x) = σ(x)/(x ln 10)`.
///
/// `x` and `y` are `k × (1 + n_draws)`, column 0 the ensemble itself, as in [`crate::ResampledDiagonals`]. To first
/// order in the relative error, so take directions whose error is a fraction of their value
/// ([`crate::noise_floor::by_error`]).
///
/// # Panics
/// When there are fewer than two resamples, the shapes differ, or a direction does not exist.
#[track_caller]
pub fn log_errors(x: MatRef<'_, f64>, y: MatRef<'_, f64>, of: &[usize]) -> LogErrors {
    assert!(x.shape() == y.shape() && x.ncols() >= 3, "x and y of one shape, with at least two resamples");
    let mut errors = LogErrors { sd_x: Vec::new(), sd_y: Vec::new(), correlation: Vec::new() };
    for &i in of {
        let relative = |values: MatRef<'_, f64>| -> Vec<f64> {
            let draws: Vec<f64> = (1..values.ncols()).map(|b| values[(i, b)] / values[(i, 0)]).collect();
            let (_, deviations, scale) = centred(&draws);
            deviations.iter().map(|d| d * scale).collect()
        };
        let (dx, dy) = (relative(x), relative(y));
        let moment = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (a.len() as f64 - 1.0);
        let (sd_x, sd_y) = (moment(&dx, &dx).sqrt(), moment(&dy, &dy).sqrt());
        let both = sd_x * sd_y;
        errors.correlation.push(if both > 0.0 { (moment(&dx, &dy) / both).clamp(-1.0, 1.0) } else { 0.0 });
        errors.sd_x.push(sd_x / std::f64::consts::LN_10);
        errors.sd_y.push(sd_y / std::f64::consts::LN_10);
    }
    errors
}

fn check(x: &[f64], y: &[f64]) -> Result<(), ErrorsInBothError> {
    if x.len() != y.len() {
        return Err(ErrorsInBothError::LengthMismatch { field: "y", found: y.len(), expected: x.len() });
    }
    for (field, values) in [("x", x), ("y", y)] {
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            let expected = "a finite number";
            return Err(ErrorsInBothError::OutOfRange { field, index, value: values[index], expected });
        }
    }
    if x.len() < MIN_POINTS { Err(ErrorsInBothError::TooFewPoints { found: x.len() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ols;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Pearson's points with York's weights, the standard example; values as published by York et al., 2004.
    #[test]
    fn york_agrees_with_the_published_example() {
        let x = [0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4];
        let y = [5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5];
        let sd = |weights: [f64; 10]| weights.iter().map(|w: &f64| w.sqrt().recip()).collect();
        let errors = LogErrors {
            sd_x: sd([1000.0, 1000.0, 500.0, 800.0, 200.0, 80.0, 60.0, 20.0, 1.8, 1.0]),
            sd_y: sd([1.0, 1.8, 4.0, 8.0, 20.0, 20.0, 70.0, 70.0, 100.0, 500.0]),
            correlation: vec![0.0; 10],
        };
        let fit = york(&x, &y, &errors).unwrap();
        assert!((fit.slope + 0.480_533_407).abs() < 1e-8, "{fit:?}");
        assert!((fit.intercept - 5.479_910_22).abs() < 1e-7, "{fit:?}");
        assert!((fit.slope_se - 0.057_985).abs() < 1e-4, "{fit:?}");
        assert!((fit.reduced_chi_squared - 1.4833).abs() < 1e-3, "{fit:?}");
    }

    #[test]
    fn one_error_alone_is_least_squares_one_way_or_the_other() {
        let x = [0.0, 1.0, 2.5, 3.0, 4.2];
        let y = [0.1, 1.4, 2.1, 3.9, 4.0];
        let errors =
            |sd_x: f64, sd_y: f64| LogErrors { sd_x: vec![sd_x; 5], sd_y: vec![sd_y; 5], correlation: vec![0.0; 5] };
        let plain = ols::fit(&x, &y, ols::Robust::Hc0).unwrap().slope;
        let inverse = 1.0 / ols::fit(&y, &x, ols::Robust::Hc0).unwrap().slope;
        assert!((york(&x, &y, &errors(0.0, 0.3)).unwrap().slope - plain).abs() < 1e-12);
        assert!((york(&x, &y, &errors(0.3, 0.0)).unwrap().slope - inverse).abs() < 1e-10);
        assert!((deming(&x, &y, 1e12).unwrap().slope - plain).abs() < 1e-9);
        assert!((deming(&x, &y, 1e-12).unwrap().slope - inverse).abs() < 1e-9);
        // Equal errors at all points: both are the same line.
        let both = york(&x, &y, &errors(0.2, 0.3)).unwrap();
        let ratio = deming(&x, &y, 2.25).unwrap();
        assert!((both.slope - ratio.slope).abs() < 1e-10 && (both.intercept - ratio.intercept).abs() < 1e-10);
    }

    #[test]
    fn the_jackknife_leaves_out_one_point_after_the_other() {
        let (x, y) = ([0.0, 1.0, 2.5, 3.0, 4.2], [0.1, 1.4, 2.1, 3.9, 4.0]);
        let without: Vec<f64> = (0..5)
            .map(|i| {
                let rest = |v: &[f64]| [&v[..i], &v[i + 1..]].concat();
                deming(&rest(&x), &rest(&y), 0.5).unwrap().slope
            })
            .collect();
        let mean = without.iter().sum::<f64>() / 5.0;
        let se = (0.8 * without.iter().map(|b| (b - mean).powi(2)).sum::<f64>()).sqrt();
        assert!((deming(&x, &y, 0.5).unwrap().slope_se - se).abs() < 1e-12);
    }

    fn normal(rng: &mut impl Rng) -> f64 {
        (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    }

    /// Abscissae as uncertain as half their spread: least squares shrinks, these do not, and their errors are what they
    /// say.
    #[test]
    fn errors_in_x_do_not_shrink_the_slope() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (n, sd_x, sd_y, slope, runs) = (60, 0.5, 0.3, 1.5, 400);
        let errors = LogErrors { sd_x: vec![sd_x; n], sd_y: vec![sd_y; n], correlation: vec![0.0; n] };
        let mut z = [Vec::new(), Vec::new()];
        let mut plain = 0.0;
        for _ in 0..runs {
            let truth: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
            let x: Vec<f64> = truth.iter().map(|t| t + sd_x * normal(&mut rng)).collect();
            let y: Vec<f64> = truth.iter().map(|t| slope * t + sd_y * normal(&mut rng)).collect();
            plain += ols::fit(&x, &y, ols::Robust::Hc0).unwrap().slope / f64::from(runs);
            let york = york(&x, &y, &errors).unwrap();
            let deming = deming(&x, &y, (sd_y / sd_x).powi(2)).unwrap();
            z[0].push((york.slope - slope) / york.slope_se);
            z[1].push((deming.slope - slope) / deming.slope_se);
        }
        assert!((plain - slope / 1.25).abs() < 0.03, "least squares {plain}");
        for z in z {
            let within = z.iter().filter(|z| z.abs() < 1.96).count();
            assert!((364..=393).contains(&within), "{within} of {runs}");
        }
    }

    #[test]
    fn refuses_what_has_no_line() {
        let (x, y) = ([1.0, 2.0, 3.0], [1.0, 2.0, 2.5]);
        let errors = |sd: f64, r: f64| LogErrors { sd_x: vec![sd; 3], sd_y: vec![sd; 3], correlation: vec![r; 3] };
        assert_eq!(york(&x, &y, &errors(0.0, 0.0)), Err(ErrorsInBothError::InfiniteWeight { index: 0 }));
        assert!(matches!(
            york(&x, &y, &errors(f64::NAN, 0.0)),
            Err(ErrorsInBothError::OutOfRange { field: "sd_x", .. })
        ));
        assert!(matches!(
            york(&x, &y, &errors(1.0, 1.5)),
            Err(ErrorsInBothError::OutOfRange { field: "correlation", .. })
        ));
        assert_eq!(york(&[1.0; 3], &y, &errors(1.0, 0.0)), Err(ErrorsInBothError::NoSlope { n: 3 }));
        assert_eq!(deming(&x, &[1.0; 3], 1.0), Err(ErrorsInBothError::NoSlope { n: 3 }));
        assert_eq!(deming(&x[..2], &y[..2], 1.0), Err(ErrorsInBothError::TooFewPoints { found: 2 }));
        for found in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(deming(&x, &y, found), Err(ErrorsInBothError::VarianceRatio { found }));
        }
        assert!(matches!(deming(&x, &y[..2], 1.0), Err(ErrorsInBothError::LengthMismatch { field: "y", .. })));
        assert!(matches!(
            deming(&[1.0, f64::NAN, 2.0], &y, 1.0),
            Err(ErrorsInBothError::OutOfRange { field: "x", .. })
        ));
    }

    #[test]
    fn errors_of_logarithms_are_relative_errors() {
        // x: 10 ± √(8/3)…: draws 8, 10, 12; y moves against it.
        let x = faer::mat![[10.0, 8.0, 10.0, 12.0]];
        let y = faer::mat![[4.0, 5.0, 4.0, 3.0]];
        let errors = log_errors(x.as_ref(), y.as_ref(), &[0]);
        assert!((errors.sd_x[0] - 0.2 / std::f64::consts::LN_10).abs() < 1e-14);
        assert!((errors.sd_y[0] - 0.25 / std::f64::consts::LN_10).abs() < 1e-14);
        assert!((errors.correlation[0] + 1.0).abs() < 1e-12);
    }
}
