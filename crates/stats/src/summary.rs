//! Summaries of a handful of numbers: mean ± sd over seeds, quantiles.

use std::fmt;
use thiserror::Error;

/// Mean and spread of `n` values, printed as `1.38 ± 0.04`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanSd {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divided by `n − 1`); `None` for a single value, which shows no spread.
    pub sd: Option<f64>,
    /// Values summarised.
    pub n: usize,
}

/// With a precision (`{:.2}`) both numbers get that many decimals; without one, three.
impl fmt::Display for MeanSd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(3);
        write!(f, "{:.decimals$}", self.mean)?;
        match self.sd {
            Some(sd) => write!(f, " ± {sd:.decimals$}"),
            None => Ok(()),
        }
    }
}

/// Why there is no summary.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SummaryError {
    /// There is nothing to summarise.
    #[error("no values: expected at least 1")]
    Empty,
    /// An entry is infinite or not a number.
    #[error("value {index} is {value}: expected a finite number")]
    NonFinite {
        /// Position of the first such entry.
        index: usize,
        /// What stands there.
        value: f64,
    },
}

/// Mean and sample standard deviation.
///
/// # Errors
///
/// [`SummaryError`] for no values or one that is not finite.
pub fn mean_sd(values: &[f64]) -> Result<MeanSd, SummaryError> {
    check(values)?;
    let n = values.len();
    let (mean, deviations, scale) = crate::ols::centred(values);
    let sum_of_squares: f64 = deviations.iter().map(|d| d * d).sum();
    let sd = (n > 1).then(|| scale * (sum_of_squares / (n as f64 - 1.0)).sqrt());
    Ok(MeanSd { mean, sd, n })
}

/// The `q`-quantile, `0 ≤ q ≤ 1`, linear between order statistics (position `q(n−1)`, the default of NumPy and R).
///
/// # Errors
///
/// [`SummaryError`] for no values or one that is not finite.
///
/// # Panics
///
/// If `q` lies outside `[0, 1]`.
#[track_caller]
pub fn quantile(values: &[f64], q: f64) -> Result<f64, SummaryError> {
    assert!((0.0..=1.0).contains(&q), "quantile {q}: expected 0 to 1");
    check(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = q * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    let weight = position.fract();
    Ok(below * (1.0 - weight) + above * weight)
}

/// The 0.5-quantile.
///
/// # Errors
///
/// As [`quantile`].
pub fn median(values: &[f64]) -> Result<f64, SummaryError> {
    quantile(values, 0.5)
}

fn check(values: &[f64]) -> Result<(), SummaryError> {
    if values.is_empty() {
        return Err(SummaryError::Empty);
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(SummaryError::NonFinite { index, value: values[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_by_one_less_than_the_count() {
        let four = mean_sd(&[2.0, 4.0, 4.0, 6.0]).unwrap();
        assert_eq!((four.mean, four.n), (4.0, 4));
        assert!((four.sd.unwrap() - (8.0f64 / 3.0).sqrt()).abs() < 1e-15);
        let shifted = mean_sd(&[1e9 + 2.0, 1e9 + 4.0, 1e9 + 4.0, 1e9 + 6.0]).unwrap();
        assert!((shifted.sd.unwrap() - four.sd.unwrap()).abs() < 1e-12);
        assert_eq!(mean_sd(&[0.1; 3]).unwrap(), MeanSd { mean: 0.1, sd: Some(0.0), n: 3 });
    }

    #[test]
    fn one_value_shows_no_spread() {
        let one = mean_sd(&[1.25]).unwrap();
        assert_eq!(one, MeanSd { mean: 1.25, sd: None, n: 1 });
        assert_eq!(format!("{one:.1}"), "1.2");
        assert_eq!(format!("{:.2}", mean_sd(&[1.0, 2.0]).unwrap()), "1.50 ± 0.71");
    }

    /// Golden values: NumPy 2.4.6, `quantile`.
    #[test]
    fn quantiles_agree_with_numpy() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        for (q, expected) in [(0.0, 1.0), (0.1, 1.0), (0.25, 1.75), (0.5, 3.5), (0.9, 6.9), (1.0, 9.0)] {
            assert!((quantile(&values, q).unwrap() - expected).abs() < 1e-14);
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]).unwrap(), 2.0);
    }

    #[test]
    fn refuses_nothing_and_non_numbers() {
        assert_eq!(mean_sd(&[]), Err(SummaryError::Empty));
        assert_eq!(median(&[]), Err(SummaryError::Empty));
        assert!(matches!(mean_sd(&[1.0, f64::NAN]), Err(SummaryError::NonFinite { index: 1, .. })));
        assert_eq!(quantile(&[f64::INFINITY], 0.5), Err(SummaryError::NonFinite { index: 0, value: f64::INFINITY }));
    }
}
