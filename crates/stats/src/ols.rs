//! Ordinary least squares of one variable on another, with heteroscedasticity-robust standard errors.
//!
//! Sums are taken about the means and in units of the largest deviation, so neither a large offset nor an extreme scale
//! costs digits.

use thiserror::Error;

/// Fewest points that leave a residual to judge the line by.
pub(crate) const MIN_POINTS: usize = 3;

/// Below this a point's freedom `1 − leverage` is rounding, and the corrections that divide by it mean nothing.
const MIN_FREEDOM: f64 = 1e-10;

/// How the squared residuals are weighted in the sandwich estimate of the variance.
///
/// With residuals `e_i` and leverages `q_i = 1/n + (x_i − x̄)²/S_xx`, the variance of a coefficient `Σ c_i y_i` is
/// estimated as `Σ c_i² ω_i`. All four agree as `n → ∞`; at small `n` HC3 is the cautious one (J. G. MacKinnon and H.
/// White, 1985).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Robust {
    /// `ω_i = e_i²`: biased low for few points.
    Hc0,
    /// `ω_i = e_i² n/(n − 2)`.
    Hc1,
    /// `ω_i = e_i²/(1 − q_i)`: unbiased if the variances are equal after all.
    Hc2,
    /// `ω_i = e_i²/(1 − q_i)²`: close to the jackknife.
    #[default]
    Hc3,
}

/// The line `y ≈ intercept + slope · x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LineFit {
    /// `S_xy/S_xx`.
    pub slope: f64,
    /// `ȳ − slope · x̄`.
    pub intercept: f64,
    /// Robust standard error of the slope.
    pub slope_se: f64,
    /// Robust standard error of the intercept.
    pub intercept_se: f64,
    /// `1 − Σe²/S_yy`, in `[0, 1]`; `0` when the ordinates are all equal and there is nothing to explain.
    pub r2: f64,
    /// Mean of the abscissae.
    pub mean_x: f64,
    /// Mean of the ordinates.
    pub mean_y: f64,
    /// Points fitted.
    pub n: usize,
}

/// Why no line could be fitted.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FitError {
    /// The two slices do not pair up.
    #[error("x has {x} entries, y has {y}: expected as many")]
    LengthMismatch {
        /// Length of `x`.
        x: usize,
        /// Length of `y`.
        y: usize,
    },
    /// Too few points to fit a line and judge it.
    #[error("{usable} usable points of {considered}: expected at least {MIN_POINTS}")]
    TooFewPoints {
        /// Points left to fit.
        usable: usize,
        /// Points looked at.
        considered: usize,
    },
    /// Every abscissa is the same, so no slope exists.
    #[error("all {n} abscissae equal {value}: no slope exists")]
    EqualAbscissae {
        /// The common value.
        value: f64,
        /// Points looked at.
        n: usize,
    },
    /// The abscissae spread less than their own error, so that a slope over them is rounding.
    #[error("{n} abscissae spread over {spread:.1e}, but are known to {error:.1e} only: no slope is determined")]
    SpreadWithinError {
        /// Points that would be fitted.
        n: usize,
        /// The largest minus the smallest.
        spread: f64,
        /// The error of each.
        error: f64,
    },
    /// Directions have too few eigenvalues that can be told apart.
    #[error(
        "{directions} directions have {distinct} distinct eigenvalues: expected at least {MIN_POINTS} (they spread \
         over {spread:.1e} and are known to {error:.1e})"
    )]
    TooFewEigenspaces {
        /// Eigenvalues told apart.
        distinct: usize,
        /// Directions that have them.
        directions: usize,
        /// The largest minus the smallest.
        spread: f64,
        /// The largest error of one.
        error: f64,
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
    /// One point alone fixes the slope, so its residual says nothing and HC2 and HC3 divide by zero.
    #[error("point {index} alone fixes the slope (leverage {leverage}): HC2 and HC3 do not exist, use HC0 or HC1")]
    FullLeverage {
        /// Position of the point among those fitted.
        index: usize,
        /// Its leverage `q_i`.
        leverage: f64,
    },
    /// An abscissa among those looked at is negative beyond the noise floor, and that was not to be.
    #[error("x[{index}] is {value}: negative curvature inside the window")]
    NegativeCurvature {
        /// Its position.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// The noise floor is no threshold.
    #[error("noise floor is {found}: expected a finite number, zero or more")]
    NoiseFloor {
        /// The value given.
        found: f64,
    },
}

/// Fits `y ≈ intercept + slope · x` by least squares.
///
/// # Errors
///
/// [`FitError::LengthMismatch`], [`FitError::NonFinite`], [`FitError::TooFewPoints`] below three points,
/// [`FitError::EqualAbscissae`] when the abscissae are equal up to rounding, and, for HC2 and HC3 only,
/// [`FitError::FullLeverage`] when all but one of the abscissae are.
pub(crate) fn fit(x: &[f64], y: &[f64], robust: Robust) -> Result<LineFit, FitError> {
    if x.len() != y.len() {
        return Err(FitError::LengthMismatch { x: x.len(), y: y.len() });
    }
    for (field, values) in [("x", x), ("y", y)] {
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(FitError::NonFinite { field, index, value: values[index] });
        }
    }
    let n = x.len();
    if n < MIN_POINTS {
        return Err(FitError::TooFewPoints { usable: n, considered: n });
    }

    let (mean_x, dx, scale_x) = centred(x);
    let (mean_y, dy, scale_y) = centred(y);
    if scale_x <= 4.0 * f64::EPSILON * mean_x.abs() {
        return Err(FitError::EqualAbscissae { value: x[0], n });
    }

    let s_xx: f64 = dx.iter().map(|a| a * a).sum();
    let s_xy: f64 = dx.iter().zip(&dy).map(|(a, b)| a * b).sum();
    let s_yy: f64 = dy.iter().map(|b| b * b).sum();
    let slope = s_xy / s_xx;
    let count = n as f64;
    // x̄ in units of the scaled deviations.
    let offset = mean_x / scale_x;

    let (mut sse, mut var_slope, mut var_intercept) = (0.0, 0.0, 0.0);
    for (index, (&a, &b)) in dx.iter().zip(&dy).enumerate() {
        let residual = b - slope * a;
        let leverage = 1.0 / count + a * a / s_xx;
        let omega = match robust {
            Robust::Hc0 => residual * residual,
            Robust::Hc1 => residual * residual * count / (count - 2.0),
            Robust::Hc2 | Robust::Hc3 => {
                let freedom = 1.0 - leverage;
                if freedom < MIN_FREEDOM {
                    return Err(FitError::FullLeverage { index, leverage });
                }
                let divisor = if robust == Robust::Hc2 { freedom } else { freedom * freedom };
                residual * residual / divisor
            }
        };
        sse += residual * residual;
        let c_slope = a / s_xx;
        let c_intercept = 1.0 / count - offset * c_slope;
        var_slope += c_slope * c_slope * omega;
        var_intercept += c_intercept * c_intercept * omega;
    }

    let unit = scale_y / scale_x;
    Ok(LineFit {
        slope: slope * unit,
        intercept: mean_y - slope * scale_y * offset,
        slope_se: var_slope.sqrt() * unit,
        intercept_se: var_intercept.sqrt() * scale_y,
        r2: if s_yy > 0.0 { (1.0 - sse / s_yy).max(0.0) } else { 0.0 },
        mean_x,
        mean_y,
        n,
    })
}

/// Mean, deviations from it in units of the largest, and that largest deviation.
///
/// Deviations that are all rounding (equal entries) come back as zeros.
pub(crate) fn centred(values: &[f64]) -> (f64, Vec<f64>, f64) {
    let n = values.len() as f64;
    let first = values[0];
    if values.iter().all(|&v| v == first) {
        return (first, vec![0.0; values.len()], 0.0);
    }
    // A second pass removes the rounding error of the first.
    let rough: f64 = values.iter().map(|v| v / n).sum();
    let mean = rough + values.iter().map(|v| (v - rough) / n).sum::<f64>();
    let scale = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max);
    (mean, values.iter().map(|v| (v - mean) / scale).collect(), scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const X: [f64; 8] = [0.5, 1.0, 1.7, 2.0, 3.1, 4.0, 5.5, 9.0];
    const Y: [f64; 8] = [1.1, 1.9, 2.2, 3.5, 2.8, 6.0, 5.1, 12.4];

    fn close(found: f64, expected: f64, relative: f64) {
        assert!((found - expected).abs() <= relative * expected.abs(), "found {found}, expected {expected}");
    }

    #[test]
    fn agrees_with_a_line_worked_by_hand() {
        // x = 0, 1, 2, 3; y = 0, 1, 1, 4. x̄ = 3/2, ȳ = 3/2, S_xx = 5, S_xy = 6: slope 6/5, intercept −3/10.
        // Residuals (0.3, 0.1, −1.1, 0.7); Σe² = 1.8, S_yy = 9: R² = 0.8.
        // Slope HC0: Σ (x−x̄)² e² = 2.25(0.09 + 0.49) + 0.25(0.01 + 1.21) = 1.61, over 25.
        // Leverages (0.7, 0.3, 0.3, 0.7), so HC3: [2.25·0.58/0.09 + 0.25·1.22/0.49]/25.
        let (x, y) = ([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 4.0]);
        let hc0 = fit(&x, &y, Robust::Hc0).unwrap();
        close(hc0.slope, 1.2, 1e-14);
        close(hc0.intercept, -0.3, 1e-14);
        close(hc0.r2, 0.8, 1e-14);
        close(hc0.slope_se, (1.61f64 / 25.0).sqrt(), 1e-14);
        let hc3 = fit(&x, &y, Robust::Hc3).unwrap();
        close(hc3.slope_se, ((2.25 * 0.58 / 0.09 + 0.25 * 1.22 / 0.49) / 25.0f64).sqrt(), 1e-14);
    }

    /// Golden values: the same formulas in exact rational arithmetic. statsmodels 0.15.0,
    /// `OLS(y, add_constant(x)).fit(cov_type)`, agrees with each to 1e-11, the rounding of its pseudo-inverse.
    #[test]
    fn agrees_with_statsmodels_and_exact_arithmetic() {
        let cases = [
            (Robust::Hc0, 0.134_172_189_101_721_27, 0.366_684_700_977_466_47),
            (Robust::Hc1, 0.154_928_698_991_280_28, 0.423_411_021_634_115_4),
            (Robust::Hc2, 0.215_754_798_048_643_84, 0.521_871_831_439_074_6),
            (Robust::Hc3, 0.372_866_459_212_444_2, 0.837_493_639_014_722_4),
        ];
        for (robust, slope_se, intercept_se) in cases {
            let line = fit(&X, &Y, robust).unwrap();
            close(line.slope, 1.236_327_417_602_318_2, 1e-13);
            close(line.intercept, 0.233_303_151_032_236_53, 1e-12);
            close(line.r2, 0.913_513_423_883_437_9, 1e-13);
            close(line.slope_se, slope_se, 1e-13);
            close(line.intercept_se, intercept_se, 1e-13);
        }
    }

    #[test]
    fn a_large_offset_costs_no_digits() {
        let shift = 2f64.powi(30);
        let x: Vec<f64> = [0.0, 1.0, 2.0, 3.0].iter().map(|v| v + shift).collect();
        let y: Vec<f64> = [0.0, 1.0, 1.0, 4.0].iter().map(|v| v + shift).collect();
        let line = fit(&x, &y, Robust::Hc0).unwrap();
        close(line.slope, 1.2, 1e-14);
        close(line.slope_se, (1.61f64 / 25.0).sqrt(), 1e-14);
    }

    #[test]
    fn extreme_scales_neither_overflow_nor_vanish() {
        for scale in [1e-200, 1e200] {
            let x: Vec<f64> = X.iter().map(|v| v * scale).collect();
            let y: Vec<f64> = Y.iter().map(|v| v * scale).collect();
            let (scaled, plain) = (fit(&x, &y, Robust::Hc3).unwrap(), fit(&X, &Y, Robust::Hc3).unwrap());
            close(scaled.slope, plain.slope, 1e-13);
            close(scaled.slope_se, plain.slope_se, 1e-13);
            close(scaled.intercept, plain.intercept * scale, 1e-12);
        }
    }

    #[test]
    fn refuses_what_has_no_slope() {
        assert_eq!(fit(&[1.0], &[1.0, 2.0], Robust::Hc3), Err(FitError::LengthMismatch { x: 1, y: 2 }));
        assert_eq!(
            fit(&[1.0, 2.0], &[1.0, 2.0], Robust::Hc3),
            Err(FitError::TooFewPoints { usable: 2, considered: 2 })
        );
        assert_eq!(fit(&[0.1; 3], &[1.0, 2.0, 3.0], Robust::Hc3), Err(FitError::EqualAbscissae { value: 0.1, n: 3 }));
        assert!(matches!(
            fit(&[1.0, 1.0 + f64::EPSILON, 1.0], &[1.0, 2.0, 3.0], Robust::Hc0),
            Err(FitError::EqualAbscissae { .. })
        ));
        assert!(matches!(
            fit(&[1.0, 2.0, 3.0], &[1.0, f64::NAN, 3.0], Robust::Hc3),
            Err(FitError::NonFinite { field: "y", index: 1, .. })
        ));
    }

    #[test]
    fn a_point_that_alone_fixes_the_slope_has_no_hc3() {
        let (x, y) = ([0.0, 0.0, 1.0], [1.0, 2.0, 5.0]);
        assert!(matches!(fit(&x, &y, Robust::Hc3), Err(FitError::FullLeverage { index: 2, .. })));
        close(fit(&x, &y, Robust::Hc0).unwrap().slope, 3.5, 1e-14);
    }

    #[test]
    fn equal_ordinates_give_a_flat_line_and_no_r2() {
        let line = fit(&[1.0, 2.0, 4.0], &[0.1; 3], Robust::Hc3).unwrap();
        assert_eq!((line.slope, line.intercept, line.slope_se, line.r2), (0.0, 0.1, 0.0, 0.0));
    }

    proptest! {
        #[test]
        fn moving_and_stretching_the_data_moves_the_line_with_it(
            y in prop::collection::vec(-10.0..10.0f64, 8), a in 0.1..10.0f64, b in -5.0..5.0f64, c in 0.1..10.0f64,
        ) {
            let line = fit(&X, &y, Robust::Hc3).unwrap();
            let x2: Vec<f64> = X.iter().map(|v| a * v + b).collect();
            let y2: Vec<f64> = y.iter().map(|v| c * v - b).collect();
            let moved = fit(&x2, &y2, Robust::Hc3).unwrap();
            prop_assert!((moved.slope - line.slope * c / a).abs() < 1e-9);
            prop_assert!((moved.slope_se - line.slope_se * c / a).abs() < 1e-9);
            prop_assert!((moved.r2 - line.r2).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&line.r2));
            // The residuals of a least-squares line are orthogonal to both regressors.
            let residual = |i: usize| y[i] - line.intercept - line.slope * X[i];
            prop_assert!((0..8).map(residual).sum::<f64>().abs() < 1e-11);
            prop_assert!((0..8).map(|i| X[i] * residual(i)).sum::<f64>().abs() < 1e-10);
        }
    }
}
