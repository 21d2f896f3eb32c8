//! How a fitted exponent answers to each of the diagonals that it was fitted to: its errors by the delta method.
//!
//! With `x`, `y` for the logarithms, the slope `b = S_xy/S_xx` and the residuals `e`, least squares has
//!
//! ```text
//! ∂b/∂y_i = (x_i − x̄)/S_xx          ∂b/∂x_i = (e_i − b (x_i − x̄))/S_xx
//! ```
//!
//! so that any known error of the diagonals becomes one of the exponent, to first order and without a resample: a
//! covariance ([`SlopeDerivatives::standard_error`]) or a bound ([`SlopeDerivatives::bound`]). Both take directions,
//! window and what is dropped as given, as [`crate::slope_bootstrap()`] does, which this agrees with where relative
//! errors of the diagonals are small.

use crate::loglog::{self, FitConfig, PowerLawFit};
use crate::ols::FitError;
use faer::MatRef;

/// A fit and the derivatives of its slope.
#[derive(Clone, Debug, PartialEq)]
pub struct SlopeDerivatives {
    /// The fit.
    pub fit: PowerLawFit,
    /// `∂γ/∂x_i`, one an entry of the abscissae themselves (not of their logarithms); 0 where an entry is not fitted.
    pub in_x: Vec<f64>,
    /// `∂γ/∂y_i`.
    pub in_y: Vec<f64>,
}

/// [`loglog::fit_with`], with the derivatives of the slope.
///
/// # Errors
/// As [`loglog::fit_with`].
pub fn slope_derivatives(x: &[f64], y: &[f64], config: &FitConfig) -> Result<SlopeDerivatives, FitError> {
    let fit = loglog::fit_with(x, y, config)?;
    let chosen = loglog::select(x, y, config)?.indices;
    let deviation = |i: usize| x[i].log10() - fit.mean_log10_x;
    let s_xx: f64 = chosen.iter().map(|&i| deviation(i).powi(2)).sum();
    let (mut in_x, mut in_y) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    for i in chosen {
        let dx = deviation(i);
        let residual = y[i].log10() - fit.mean_log10_y - fit.slope * dx;
        let unit = std::f64::consts::LN_10 * s_xx;
        in_x[i] = (residual - fit.slope * dx) / (unit * x[i]);
        in_y[i] = dx / (unit * y[i]);
    }
    Ok(SlopeDerivatives { fit, in_x, in_y })
}

impl SlopeDerivatives {
    /// `√(∇γᵀ S ∇γ)`: the standard error of the slope when the errors of `x` and `y` have the covariances `xx`, `yy`
    /// and, of `x` with `y`, `xy` (`k × k`).
    ///
    /// # Panics
    /// When a covariance has another shape.
    #[track_caller]
    pub fn standard_error(&self, xx: MatRef<'_, f64>, xy: MatRef<'_, f64>, yy: MatRef<'_, f64>) -> f64 {
        let k = self.in_x.len();
        assert!([xx, xy, yy].iter().all(|of| of.shape() == (k, k)), "covariances are {k} × {k}");
        let form = |left: &[f64], S: MatRef<'_, f64>, right: &[f64]| -> f64 {
            // What is not fitted does not count, whatever its covariances.
            let of = |j: usize| {
                let fitted = left.iter().enumerate().filter(|(_, l)| **l != 0.0);
                fitted.map(|(i, l)| l * S[(i, j)]).sum::<f64>() * right[j]
            };
            (0..k).filter(|&j| right[j] != 0.0).map(of).sum()
        };
        let own = form(&self.in_x, xx, &self.in_x) + form(&self.in_y, yy, &self.in_y);
        let variance = own + 2.0 * form(&self.in_x, xy, &self.in_y);
        // Rounding of what cancels.
        if variance < 0.0 { 0.0 } else { variance.sqrt() }
    }

    /// `Σ_i |∂γ/∂x_i| δx_i + |∂γ/∂y_i| δy_i`: the most, to first order, that errors of at most `dx` and `dy` change the
    /// slope.
    ///
    /// # Panics
    /// When there is not one error an entry.
    #[track_caller]
    pub fn bound(&self, dx: &[f64], dy: &[f64]) -> f64 {
        assert!(dx.len() == self.in_x.len() && dy.len() == self.in_y.len(), "one error an entry");
        let sum = |derivatives: &[f64], errors: &[f64]| -> f64 {
            let fitted = derivatives.iter().zip(errors).filter(|(derivative, _)| **derivative != 0.0);
            fitted.map(|(derivative, error)| derivative.abs() * error).sum()
        };
        sum(&self.in_x, dx) + sum(&self.in_y, dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DiagonalBootstrap, slope_bootstrap};
    use faer::Mat;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    proptest! {
        /// Against central differences, an entry that is not fitted included.
        #[test]
        fn derivatives_are_those_of_the_fit(
            entries in prop::collection::vec((-3.0..2.0f64, -5.0..1.0f64), 4..12),
        ) {
            let (mut x, mut y): (Vec<f64>, Vec<f64>) =
                entries.iter().map(|(a, b)| (10f64.powf(*a), 10f64.powf(*b))).unzip();
            x[1] = -x[1];
            let low = entries.iter().map(|(a, _)| *a).fold(f64::MAX, f64::min);
            let high = entries.iter().map(|(a, _)| *a).fold(f64::MIN, f64::max);
            prop_assume!(high - low > 1.0);
            let config = FitConfig { robust: crate::Robust::Hc0, ..FitConfig::top(x.len()) };
            let Ok(found) = slope_derivatives(&x, &y, &config) else { return Ok(()) };
            prop_assert_eq!((found.in_x[1], found.in_y[1]), (0.0, 0.0));
            let step = 1e-5;
            for i in (0..x.len()).filter(|i| *i != 1) {
                for (which, derivative) in [(true, found.in_x[i]), (false, found.in_y[i])] {
                    let mut slope = |factor: f64| {
                        let entry = if which { &mut x[i] } else { &mut y[i] };
                        let before = std::mem::replace(entry, *entry * factor);
                        let slope = loglog::fit_with(&x, &y, &config).unwrap().slope;
                        if which { x[i] = before } else { y[i] = before }
                        slope
                    };
                    let difference = (slope(1.0 + step) - slope(1.0 - step)) / (2.0 * step);
                    let entry = if which { x[i] } else { y[i] };
                    let scale = found.fit.slope.abs().max(1.0) * 20.0;
                    prop_assert!((difference - derivative * entry).abs() < 1e-7 * scale, "{difference} {derivative}");
                }
            }
        }
    }

    /// The same contributions, once resampled and once by their covariance.
    #[test]
    fn agrees_with_the_bootstrap_over_samples() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (n, k) = (4_000, 9);
        let scale = |i: usize| 2f64.powi(-(i as i32));
        // What a sample adds along one direction has to do with what it adds along others, and to the other diagonals.
        let common: Vec<f64> = (0..n).map(|_| 0.5 + rng.random::<f64>()).collect();
        let shared = Mat::from_fn(n, k, |p, _| common[p] * (0.3 + 1.4 * rng.random::<f64>().powi(2)));
        let mut draw =
            |power: f64, i: usize, p: usize| scale(i).powf(power) * shared[(p, i)] * (0.8 + 0.4 * rng.random::<f64>());
        let gradient = Mat::from_fn(n, k, |p, i| draw(0.6, i, p) * if p % 2 == 0 { 1.0 } else { -1.0 });
        let curvature = Mat::from_fn(n, k, |p, i| draw(1.0, i, p));
        let squared = Mat::from_fn(n, k, |p, i| draw(1.5, i, p));
        let mut bootstrap = DiagonalBootstrap::new(n, k, 2_000, &mut rng);
        bootstrap.push(gradient.as_ref(), curvature.as_ref(), squared.as_ref()).unwrap();
        let resampled = bootstrap.finish();

        let mean = |A: &Mat<f64>, i: usize| A.col_as_slice(i).iter().sum::<f64>() / n as f64;
        let centred = Mat::from_fn(n, k, |p, i| (gradient[(p, i)] - mean(&gradient, i)).powi(2));
        let values = |A: &Mat<f64>| (0..k).map(|i| mean(A, i)).collect::<Vec<f64>>();
        let covariance = |A: &Mat<f64>, B: &Mat<f64>| {
            let (a, b) = (values(A), values(B));
            Mat::from_fn(k, k, |i, j| {
                let products = (0..n).map(|p| (A[(p, i)] - a[i]) * (B[(p, j)] - b[j]));
                products.sum::<f64>() / (n * (n - 1)) as f64
            })
        };
        for (y, of_resamples) in [(&centred, &resampled.covariance), (&squared, &resampled.m2)] {
            let found = slope_derivatives(&values(&curvature), &values(y), &FitConfig::top(k)).unwrap();
            let (xx, xy, yy) = (covariance(&curvature, &curvature), covariance(&curvature, y), covariance(y, y));
            let error = found.standard_error(xx.as_ref(), xy.as_ref(), yy.as_ref());
            let truth = slope_bootstrap(resampled.h.as_ref(), of_resamples.as_ref(), &FitConfig::top(k)).unwrap();
            // 2,000 draws tell a standard error to 1.6 %.
            assert!((error / truth.slopes.se() - 1.0).abs() < 0.06, "{error} {}", truth.slopes.se());
            assert!((found.fit.slope - truth.fit.slope).abs() < 1e-12);
        }
    }

    #[test]
    fn a_bound_is_attained_by_the_worst_signs() {
        let (x, y) = ([8.0, 4.0, -1.0, 2.0, 1.0], [60.0, 17.0, 3.0, 4.5, 0.9]);
        let found = slope_derivatives(&x, &y, &FitConfig::top(5)).unwrap();
        let (dx, dy) = ([1e-6, 2e-6, f64::INFINITY, 3e-6, 1e-6], [1e-5, 0.0, f64::NAN, 1e-6, 2e-6]);
        let worst = |x: &[f64], d: &[f64], derivative: &[f64]| -> Vec<f64> {
            let moved = |i: usize| if derivative[i] == 0.0 { x[i] } else { x[i] + d[i] * derivative[i].signum() };
            (0..5).map(moved).collect()
        };
        let (x, y) = (worst(&x, &dx, &found.in_x), worst(&y, &dy, &found.in_y));
        let moved = loglog::fit(&x, &y, 5).unwrap().slope - found.fit.slope;
        assert!((moved / found.bound(&dx, &dy) - 1.0).abs() < 1e-4);
    }
}
