//! The exponent as a function of curvature, `γ(λ)`: the slope of a straight line fitted near each `λ`.
//!
//! One power law over decades is a claim. This shows whether the exponent stays put, where it bends, and where the
//! noise floor takes over.

use crate::loglog::{self, Dropped, FitConfig, Logarithms};
use crate::ols::{FitError, MIN_POINTS};

/// The local exponent at one abscissa.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalSlope {
    /// The abscissa `λ`.
    pub at: f64,
    /// Slope of the local line, `d log10 y/d log10 x` at `λ` up to a bias of order `bandwidth²`.
    pub slope: f64,
    /// Heteroscedasticity-robust standard error of the slope. The bias is not in it: halve the bandwidth to see that.
    pub se: f64,
    /// Points with weight.
    pub n: usize,
    /// As many points of equal weight know as much: `(Σw)²/Σw²`.
    pub n_effective: f64,
}

/// `γ(λ)` on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalSlopes {
    /// Abscissae with a local slope, in the order asked for.
    pub slopes: Vec<LocalSlope>,
    /// Abscissae without one: fewer than three points in the window, or all of them at one abscissa.
    pub n_undefined: usize,
    /// Half the width of the window, in decades of `x`.
    pub bandwidth: f64,
    /// Points in use.
    pub n_used: usize,
    /// Points that could not be used, by cause.
    pub dropped: Dropped,
}

/// Fits `log10 y` on `log10 x` near each of `at` by weighted least squares.
///
/// Weights are Epanechnikov's, `1 − (Δ/bandwidth)²` for a distance of `Δ` decades, zero beyond. The error is the
/// sandwich `Σw²Δ²e²/(ΣwΔ²)²` (`Δ` from the weighted mean), enlarged by `n_eff/(n_eff − 2)`. Points are those that
/// [`loglog::fit_with`] would fit.
///
/// # Errors
/// As [`loglog::fit_with`] for the points as a whole, without the errors of leverage.
///
/// # Panics
/// When the bandwidth is not a positive number.
#[track_caller]
pub fn local_slopes(
    x: &[f64],
    y: &[f64],
    config: &FitConfig,
    at: &[f64],
    bandwidth: f64,
) -> Result<LocalSlopes, FitError> {
    assert!(bandwidth.is_finite() && bandwidth > 0.0, "bandwidth {bandwidth}: expected decades above zero");
    let logs = loglog::logarithms(x, y, config)?;
    if logs.x.iter().all(|&value| value == logs.x[0]) {
        return Err(FitError::EqualAbscissae { value: x[logs.indices[0]], n: logs.x.len() });
    }
    let slopes: Vec<LocalSlope> = at.iter().filter_map(|&at| local(&logs, at, bandwidth)).collect();
    let n_undefined = at.len() - slopes.len();
    Ok(LocalSlopes { slopes, n_undefined, bandwidth, n_used: logs.x.len(), dropped: logs.dropped })
}

/// `n` abscissae from the largest to the smallest that a fit would use, evenly spaced in the logarithm.
///
/// # Errors
/// As [`loglog::logarithms`].
pub fn grid(x: &[f64], y: &[f64], config: &FitConfig, n: usize) -> Result<Vec<f64>, FitError> {
    let logs = loglog::logarithms(x, y, config)?;
    let high = logs.x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = logs.x.iter().copied().fold(f64::INFINITY, f64::min);
    let step = (high - low) / n.saturating_sub(1).max(1) as f64;
    Ok((0..n).map(|i| 10f64.powf(high - step * i as f64)).collect())
}

fn local(logs: &Logarithms, at: f64, bandwidth: f64) -> Option<LocalSlope> {
    let near = logs.x.iter().zip(&logs.y).filter_map(|(x, y)| {
        let distance = x - at.log10();
        let weight = 1.0 - (distance / bandwidth).powi(2);
        (weight > 0.0).then_some((distance, *y, weight))
    });
    let near: Vec<(f64, f64, f64)> = near.collect();
    let sum = |f: &dyn Fn(f64, f64, f64) -> f64| near.iter().map(|&(x, y, w)| f(x, y, w)).sum::<f64>();
    let total = sum(&|_, _, w| w);
    let n_effective = total * total / sum(&|_, _, w| w * w);
    if near.len() < MIN_POINTS || n_effective <= 2.0 {
        return None;
    }
    let (mean_x, mean_y) = (sum(&|x, _, w| w * x) / total, sum(&|_, y, w| w * y) / total);
    let s_xx = sum(&|x, _, w| w * (x - mean_x).powi(2));
    if s_xx <= total * (4.0 * f64::EPSILON * (at.log10().abs() + bandwidth)).powi(2) {
        return None;
    }
    let slope = sum(&|x, y, w| w * (x - mean_x) * (y - mean_y)) / s_xx;
    let meat = sum(&|x, y, w| {
        let residual = y - mean_y - slope * (x - mean_x);
        (w * (x - mean_x) * residual).powi(2)
    });
    let se = (meat * n_effective / (n_effective - 2.0)).sqrt() / s_xx;
    Some(LocalSlope { at, slope, se, n: near.len(), n_effective })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn decades(n: usize, span: f64) -> Vec<f64> {
        (0..n).map(|i| 10f64.powf(-span * i as f64 / n as f64)).collect()
    }

    #[test]
    fn a_power_law_has_one_exponent_everywhere() {
        let x = decades(200, 6.0);
        let y: Vec<f64> = x.iter().map(|x| 3.0 * x.powf(1.4)).collect();
        let config = FitConfig::top(200);
        let at = grid(&x, &y, &config, 13).unwrap();
        assert!((at[0] - 1.0).abs() < 1e-12 && (at[12] / x[199] - 1.0).abs() < 1e-12);
        let found = local_slopes(&x, &y, &config, &at, 0.5).unwrap();
        assert_eq!((found.slopes.len(), found.n_undefined, found.n_used), (13, 0, 200));
        assert!(
            found.slopes.iter().all(|s| (s.slope - 1.4).abs() < 1e-10 && s.se < 1e-10 && s.n_effective <= s.n as f64)
        );
    }

    /// `y = x + x²` has the exponent `(1 + 2x)/(1 + x)`.
    #[test]
    fn a_bend_is_seen_and_its_bias_falls_with_the_bandwidth() {
        let x = decades(4_000, 6.0).iter().map(|x| 1e3 * x).collect::<Vec<_>>();
        let y: Vec<f64> = x.iter().map(|x| x + x * x).collect();
        let error = |bandwidth: f64| {
            let found = local_slopes(&x, &y, &FitConfig::top(4_000), &[1e2, 3.0, 1.0, 0.1], bandwidth).unwrap();
            let error = |s: &LocalSlope| (s.slope - (1.0 + 2.0 * s.at) / (1.0 + s.at)).abs();
            found.slopes.iter().map(error).fold(0.0, f64::max)
        };
        assert!(error(0.5) < 0.05 && error(0.1) < 0.003, "{} {}", error(0.5), error(0.1));
    }

    #[test]
    fn standard_errors_are_those_of_repetition() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let x = decades(300, 3.0);
        let mut z = Vec::new();
        for _ in 0..500 {
            let y: Vec<f64> = x.iter().map(|x| x.powf(1.3) * 10f64.powf(rng.random::<f64>() - 0.5)).collect();
            let s = local_slopes(&x, &y, &FitConfig::top(300), &[0.03], 0.6).unwrap().slopes[0];
            z.push((s.slope - 1.3) / s.se);
        }
        let within = z.iter().filter(|z| z.abs() < 1.96).count();
        assert!((455..=490).contains(&within), "{within} of 500");
    }

    #[test]
    fn windows_without_points_are_counted() {
        let found =
            local_slopes(&[1e3, 9e2, 8e2, 1.0, -1.0], &[1.0; 5], &FitConfig::top(5), &[9e2, 1.0, 1e-3], 0.5).unwrap();
        assert_eq!((found.slopes.len(), found.n_undefined, found.dropped.non_positive_x), (1, 2, 1));
        let equal = local_slopes(&[2.0; 3], &[1.0; 3], &FitConfig::top(3), &[2.0], 0.5);
        assert_eq!(equal, Err(FitError::EqualAbscissae { value: 2.0, n: 3 }));
    }
}
