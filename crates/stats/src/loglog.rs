//! Power laws: least squares of `log10 y` on `log10 x` over the leading entries.

use crate::ols::{self, FitError, Robust};

/// What to fit and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitConfig {
    /// Leading entries to look at (the paper's `𝒩`); more than there are means all.
    pub top: usize,
    /// Abscissae below this are rounding: flagged in [`Dropped::below_noise_floor`], never fitted. The usual floor for
    /// the eigenvalues of a `P × P` matrix is `c·ε·√P·λ_max`. `None` fits every positive entry.
    ///
    /// The floor is also the error of an abscissa: a fit over abscissae that spread by no more than twice that is
    /// refused ([`FitError::SpreadWithinError`]).
    pub noise_floor: Option<f64>,
    /// Ordinates below this are rounding: dropped and counted in [`Dropped::ordinate_below_floor`]. A quadratic form
    /// such as `v_iᵀCv_i` or `‖hv_i‖²` has at least the square of its vectors' relative error, times the largest one
    /// ([`ordinate_floor`]). `None` fits every positive one.
    pub ordinate_floor: Option<f64>,
    /// What a negative abscissa means.
    pub negative: Negative,
    /// Which robust standard error.
    pub robust: Robust,
}

/// What to make of negative curvature among the entries looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Negative {
    /// The entry has no logarithm: it is dropped and counted.
    #[default]
    Drop,
    /// It contradicts what is fitted: an error, unless its magnitude is below the noise floor.
    Refuse,
}

impl FitConfig {
    /// The first `top` entries, no noise floor, negative ones dropped, HC3.
    pub fn top(top: usize) -> Self {
        Self { top, noise_floor: None, ordinate_floor: None, negative: Negative::Drop, robust: Robust::default() }
    }
}

/// `log10 y ≈ intercept + slope · log10 x`, i.e. `y ≈ 10^intercept · x^slope`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLawFit {
    /// The exponent `γ`. An estimate over a finite window: the bounds of [`crate::bounds`] do not cover it, nor is it
    /// clamped to them.
    pub slope: f64,
    /// Decades of `y` at `x = 1`.
    pub intercept: f64,
    /// Heteroscedasticity-robust standard error of the slope. It treats the entries as independent; diagonals of one
    /// pair of matrices are not quite, so the spread over seeds is the more honest error where there are seeds.
    pub se: f64,
    /// Coefficient of determination in `log10`, in `[0, 1]`.
    pub r2: f64,
    /// Mean of `log10 x` over the fitted points, to centre a scatter.
    pub mean_log10_x: f64,
    /// Mean of `log10 y` over the fitted points.
    pub mean_log10_y: f64,
    /// Points fitted.
    pub n_used: usize,
    /// Points that could not be, by cause.
    pub dropped: Dropped,
    /// Entries looked at: the smaller of the `top` asked for and the number there are. Always
    /// `n_used + dropped.total()`.
    pub top: usize,
}

impl PowerLawFit {
    /// The fitted `y` at `x > 0`.
    pub fn predict(&self, x: f64) -> f64 {
        10f64.powf(self.intercept + self.slope * x.log10())
    }
}

/// Entries left out of a fit. Each is counted once, under the first cause that applies, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// `x` or `y` is infinite or not a number.
    pub non_finite: usize,
    /// `x ≤ 0`: a direction of zero or negative curvature has no logarithm.
    pub non_positive_x: usize,
    /// `0 < x <` the noise floor.
    pub below_noise_floor: usize,
    /// `y ≤ 0`.
    pub non_positive_y: usize,
    /// `0 < y <` the floor of the ordinates.
    pub ordinate_below_floor: usize,
}

impl Dropped {
    /// Entries left out for any cause.
    pub fn total(&self) -> usize {
        self.non_finite + self.non_positive_x + self.below_noise_floor + self.non_positive_y + self.ordinate_below_floor
    }
}

impl std::fmt::Display for Dropped {
    /// The causes that there are: `3 below the noise floor, 1 with y ≤ 0`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let causes = [
            (self.non_finite, "not finite"),
            (self.non_positive_x, "with x ≤ 0"),
            (self.below_noise_floor, "with x below its noise floor"),
            (self.non_positive_y, "with y ≤ 0"),
            (self.ordinate_below_floor, "with y below its noise floor"),
        ];
        let words = causes.iter().filter(|(n, _)| *n > 0).map(|(n, cause)| format!("{n} {cause}"));
        let words = words.collect::<Vec<_>>().join(", ");
        f.write_str(if words.is_empty() { "none" } else { &words })
    }
}

impl std::ops::Add for Dropped {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            non_finite: self.non_finite + other.non_finite,
            non_positive_x: self.non_positive_x + other.non_positive_x,
            below_noise_floor: self.below_noise_floor + other.below_noise_floor,
            non_positive_y: self.non_positive_y + other.non_positive_y,
            ordinate_below_floor: self.ordinate_below_floor + other.ordinate_below_floor,
        }
    }
}

/// The entries that a fit uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Their positions, ascending.
    pub indices: Vec<usize>,
    /// The rest of the entries looked at, by cause.
    pub dropped: Dropped,
}

/// Fits a power law to the first `top` pairs, with HC3 errors and no noise floor.
///
/// `x` and `y` are diagonals in one eigenbasis, of equal length, in descending order of eigenvalue. See [`fit_with`].
///
/// # Errors
///
/// As [`fit_with`].
pub fn fit(x: &[f64], y: &[f64], top: usize) -> Result<PowerLawFit, FitError> {
    fit_with(x, y, &FitConfig::top(top))
}

/// Fits a power law as `config` says.
///
/// Entries without a logarithm, or under the noise floor, are dropped and counted.
///
/// # Errors
///
/// [`FitError::LengthMismatch`]; [`FitError::NoiseFloor`] for a floor that is negative or not finite;
/// [`FitError::SpreadWithinError`] for abscissae that are alike within twice the noise floor;
/// [`FitError::NegativeCurvature`] where [`Negative::Refuse`] meets it;
/// [`FitError::TooFewPoints`] when fewer than three entries are usable; [`FitError::EqualAbscissae`] when those share
/// one `x`; [`FitError::FullLeverage`] when all but one of them do and HC2 or HC3 was asked for. The `index` of the
/// last counts the used entries, as in [`Selection::indices`].
pub fn fit_with(x: &[f64], y: &[f64], config: &FitConfig) -> Result<PowerLawFit, FitError> {
    let Logarithms { indices, x: log_x, y: log_y, dropped, top } = logarithms(x, y, config)?;
    let line = ols::fit(&log_x, &log_y, config.robust).map_err(|error| match error {
        FitError::EqualAbscissae { n, .. } => FitError::EqualAbscissae { value: x[indices[0]], n },
        other => other,
    })?;
    Ok(PowerLawFit {
        slope: line.slope,
        intercept: line.intercept,
        se: line.slope_se,
        r2: line.r2,
        mean_log10_x: line.mean_x,
        mean_log10_y: line.mean_y,
        n_used: line.n,
        dropped,
        top,
    })
}

/// The points that every fit of a power law starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Logarithms {
    /// Positions of the entries used, ascending.
    pub indices: Vec<usize>,
    /// Their `log10 x`.
    pub x: Vec<f64>,
    /// Their `log10 y`.
    pub y: Vec<f64>,
    /// The rest of the entries looked at, by cause.
    pub dropped: Dropped,
    /// Entries looked at.
    pub top: usize,
}

/// Logarithms of the entries that [`select`] chooses, at least three of them.
///
/// # Errors
///
/// As [`select`], [`FitError::TooFewPoints`], and [`FitError::SpreadWithinError`].
pub fn logarithms(x: &[f64], y: &[f64], config: &FitConfig) -> Result<Logarithms, FitError> {
    let Selection { indices, dropped } = select(x, y, config)?;
    let (usable, top) = (indices.len(), indices.len() + dropped.total());
    if usable < ols::MIN_POINTS {
        return Err(FitError::TooFewPoints { usable, considered: top });
    }
    if let Some(error) = config.noise_floor.filter(|&error| error > 0.0) {
        let used = || indices.iter().map(|&i| x[i]);
        let spread = used().fold(f64::MIN, f64::max) - used().fold(f64::MAX, f64::min);
        if spread <= 2.0 * error {
            return Err(FitError::SpreadWithinError { n: usable, spread, error });
        }
    }
    let log10 = |values: &[f64]| indices.iter().map(|&i| values[i].log10()).collect();
    Ok(Logarithms { x: log10(x), y: log10(y), indices, dropped, top })
}

/// What of a diagonal of squares (`C_ii`, `(M₂)_ii`) is rounding: `relative² · max y`.
///
/// `relative` is the error of a direction, or of an eigenvalue of `H` in units of the largest. A direction that has
/// turned by so much towards the leading one has so much of its square.
pub fn ordinate_floor(y: &[f64], relative: f64) -> f64 {
    relative * relative * y.iter().copied().filter(|y| y.is_finite()).fold(0.0, f64::max)
}

/// Sorts the first `config.top` entries into those that [`fit_with`] uses and those it drops.
///
/// # Errors
///
/// [`FitError::LengthMismatch`], [`FitError::NoiseFloor`], and [`FitError::NegativeCurvature`] where that is asked for.
pub fn select(x: &[f64], y: &[f64], config: &FitConfig) -> Result<Selection, FitError> {
    if x.len() != y.len() {
        return Err(FitError::LengthMismatch { x: x.len(), y: y.len() });
    }
    let [floor, ordinate_floor] = [config.noise_floor, config.ordinate_floor].map(|floor| floor.unwrap_or(0.0));
    if let Some(found) = [floor, ordinate_floor].into_iter().find(|floor| !(floor.is_finite() && *floor >= 0.0)) {
        return Err(FitError::NoiseFloor { found });
    }
    let mut dropped = Dropped::default();
    let mut indices = Vec::with_capacity(config.top.min(x.len()));
    for (index, (&a, &b)) in x.iter().zip(y).take(config.top).enumerate() {
        if config.negative == Negative::Refuse && a < -floor {
            return Err(FitError::NegativeCurvature { index, value: a });
        }
        let cause = if !(a.is_finite() && b.is_finite()) {
            &mut dropped.non_finite
        } else if a <= 0.0 {
            &mut dropped.non_positive_x
        } else if a < floor {
            &mut dropped.below_noise_floor
        } else if b <= 0.0 {
            &mut dropped.non_positive_y
        } else if b < ordinate_floor {
            &mut dropped.ordinate_below_floor
        } else {
            indices.push(index);
            continue;
        };
        *cause += 1;
    }
    Ok(Selection { indices, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Golden values: statsmodels 0.15.0, HC3, on `x_i = 10^(−0.37 i)`, `y_i = 3 x_i^1.3 (1 + 0.1 sin i²)`, `i = 1…12`.
    #[test]
    fn agrees_with_statsmodels() {
        let x: Vec<f64> = (1..=12).map(|i| 10f64.powf(-0.37 * f64::from(i))).collect();
        let y: Vec<f64> = (1..=12).map(|i| 3.0 * x[i - 1].powf(1.3) * (1.0 + 0.1 * ((i * i) as f64).sin())).collect();
        let fit = fit(&x, &y, 12).unwrap();
        assert!((fit.slope - 1.301_620_795_830_161_5).abs() < 1e-12);
        assert!((fit.intercept - 0.474_182_970_822_271_9).abs() < 1e-12);
        assert!((fit.se - 0.009_246_213_736_184_592).abs() < 1e-12);
        assert!((fit.r2 - 0.999_662_489_765_025_4).abs() < 1e-12);
    }

    #[test]
    fn counts_every_cause_once() {
        let x = [8.0, f64::NAN, 4.0, 2.0, 1.0, 0.5, -1.0, 0.0, 1e-20, -1.0];
        let y = [16.0, 1.0, 8.0, -1.0, 2.0, f64::INFINITY, -1.0, 1.0, -1.0, 1.0];
        let config = FitConfig { noise_floor: Some(1e-12), robust: Robust::Hc0, ..FitConfig::top(9) };
        let selection = select(&x, &y, &config).unwrap();
        assert_eq!(selection.indices, [0, 2, 4]);
        assert_eq!(
            selection.dropped,
            Dropped {
                non_finite: 2,
                non_positive_x: 2,
                below_noise_floor: 1,
                non_positive_y: 1,
                ordinate_below_floor: 0
            }
        );
        let fit = fit_with(&x, &y, &config).unwrap();
        assert_eq!((fit.n_used, fit.dropped.total(), fit.top), (3, 6, 9));
        assert!((fit.slope - 1.0).abs() < 1e-14);
        // Without the floor the same entry is dropped for its y instead.
        let open = select(&x, &y, &FitConfig { noise_floor: None, ..config }).unwrap();
        assert_eq!((open.dropped.below_noise_floor, open.dropped.non_positive_y), (0, 2));
    }

    #[test]
    fn ordinates_that_are_rounding_are_dropped_and_counted() {
        let (x, y) = ([8.0, 4.0, 2.0, 1.0, 0.5], [64.0, 16.0, 4.0, 3e-30, 1e-30]);
        let floor = ordinate_floor(&y, 1e-12);
        assert!((floor / 64e-24 - 1.0).abs() < 1e-14);
        let config = FitConfig { ordinate_floor: Some(floor), ..FitConfig::top(5) };
        let fit = fit_with(&x, &y, &config).unwrap();
        assert_eq!((fit.n_used, fit.dropped.ordinate_below_floor, fit.dropped.total()), (3, 2, 2));
        assert_eq!(fit.dropped.to_string(), "2 with y below its noise floor");
        assert_eq!(Dropped::default().to_string(), "none");
        assert!((fit.slope - 2.0).abs() < 1e-14);
        let all = FitConfig { ordinate_floor: Some(100.0), ..config };
        assert_eq!(fit_with(&x, &y, &all), Err(FitError::TooFewPoints { usable: 0, considered: 5 }));
        let bad = FitConfig { ordinate_floor: Some(f64::NAN), ..config };
        assert!(matches!(fit_with(&x, &y, &bad), Err(FitError::NoiseFloor { .. })));
    }

    #[test]
    fn abscissae_alike_within_their_error_have_no_slope() {
        let x = [0.5 + 3e-16, 0.5 + 2e-16, 0.5, 0.5 - 2e-16];
        let config = FitConfig { noise_floor: Some(1e-15), ..FitConfig::top(4) };
        let error = fit_with(&x, &[1.0, 2.0, 3.0, 5.0], &config).unwrap_err();
        assert!(matches!(error, FitError::SpreadWithinError { n: 4, error: 1e-15, .. }), "{error}");
        assert!(error.to_string().contains("known to 1.0e-15 only: no slope is determined"), "{error}");
        // A thousand times further apart they have one.
        let x = x.map(|x| 0.5 + 1e4 * (x - 0.5));
        assert!(fit_with(&x, &[1.0, 2.0, 3.0, 5.0], &config).is_ok());
    }

    #[test]
    fn looks_at_the_first_entries_only() {
        let (x, y) = ([8.0, 4.0, 2.0, 1.0, 0.5], [64.0, 16.0, 4.0, 7.0, 9.0]);
        let leading = fit(&x, &y, 3).unwrap();
        assert!((leading.slope - 2.0).abs() < 1e-14);
        assert!((leading.predict(3.0) - 9.0).abs() < 1e-12);
        assert!((fit(&x, &y, 99).unwrap().slope - 2.0).abs() > 0.1);
        assert_eq!(fit(&x, &y, 99).unwrap().top, 5);
    }

    #[test]
    fn refuses_what_cannot_be_fitted() {
        assert_eq!(fit(&[1.0], &[], 1), Err(FitError::LengthMismatch { x: 1, y: 0 }));
        assert_eq!(
            fit(&[3.0, 2.0, -1.0, 1.0], &[1.0, 1.0, 1.0, 0.0], 4),
            Err(FitError::TooFewPoints { usable: 2, considered: 4 })
        );
        assert_eq!(fit(&[7.0; 4], &[1.0, 2.0, 3.0, 4.0], 4), Err(FitError::EqualAbscissae { value: 7.0, n: 4 }));
        let strict = FitConfig { negative: Negative::Refuse, noise_floor: Some(1e-12), ..FitConfig::top(5) };
        let negative = fit_with(&[3.0, 2.0, 1.0, -1e-13, -1e-3], &[1.0; 5], &strict);
        assert_eq!(negative, Err(FitError::NegativeCurvature { index: 4, value: -1e-3 }));
        assert!(fit_with(&[3.0, 2.0, 1.0, -1e-13], &[1.0; 4], &strict).is_ok());
        for floor in [f64::NAN, -1.0, f64::INFINITY] {
            let config = FitConfig { noise_floor: Some(floor), ..FitConfig::top(3) };
            assert!(matches!(fit_with(&[3.0, 2.0, 1.0], &[1.0; 3], &config), Err(FitError::NoiseFloor { .. })));
        }
    }

    proptest! {
        #[test]
        fn recovers_any_power_law(
            slope in -3.0..3.0f64, scale in -8.0..8.0f64,
            exponents in prop::collection::vec(-12.0..3.0f64, 4..40),
        ) {
            let x: Vec<f64> = exponents.iter().map(|e| 10f64.powf(*e)).collect();
            let spread = exponents.iter().copied().fold(f64::MIN, f64::max)
                - exponents.iter().copied().fold(f64::MAX, f64::min);
            prop_assume!(spread > 0.5);
            let y: Vec<f64> = x.iter().map(|v| 10f64.powf(scale) * v.powf(slope)).collect();
            let fit = fit_with(&x, &y, &FitConfig { robust: Robust::Hc0, ..FitConfig::top(x.len()) }).unwrap();
            prop_assert!((fit.slope - slope).abs() < 1e-11);
            prop_assert!((fit.intercept - scale).abs() < 1e-10);
            prop_assert!(fit.se < 1e-11);
        }

        #[test]
        fn every_entry_is_used_or_counted(
            pairs in prop::collection::vec((any::<f64>(), any::<f64>()), 0..30),
            top in 0usize..40,
            floor in 0.0..1.0f64,
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let config = FitConfig { noise_floor: Some(floor), ..FitConfig::top(top) };
            let selection = select(&x, &y, &config).unwrap();
            prop_assert_eq!(selection.indices.len() + selection.dropped.total(), top.min(x.len()));
            if let Ok(fit) = fit_with(&x, &y, &config) {
                prop_assert!(fit.slope.is_finite() && fit.se.is_finite() && (0.0..=1.0).contains(&fit.r2));
            }
        }
    }
}
