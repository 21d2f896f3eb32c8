//! The bootstrap over samples as weighted sums: a resample is a column of counts.

use crate::summary::{SummaryError, quantile};
#[cfg(feature = "matrices")]
use faer::Mat;
#[cfg(feature = "matrices")]
use rand::{Rng, RngExt};

/// How often each of `n` samples is drawn in each of `n_draws` resamples of size `n` with replacement: `n × n_draws`,
/// every column adding up to `n`.
///
/// A mean over samples in resample `b` is `(1/n) Σ_p counts[(p, b)] x_p`, so that all resamples of many means are one
/// matrix product.
#[cfg(feature = "matrices")]
pub fn resample_counts(n: usize, n_draws: usize, rng: &mut impl Rng) -> Mat<f64> {
    let mut counts = Mat::zeros(n, n_draws);
    for draw in 0..n_draws {
        let column = counts.col_as_slice_mut(draw);
        draw_with_replacement(n, rng, |p| column[p] += 1.0);
    }
    counts
}

/// `n` draws from `0..n`.
#[cfg(feature = "matrices")]
pub(crate) fn draw_with_replacement(n: usize, rng: &mut impl Rng, mut drawn: impl FnMut(usize)) {
    for _ in 0..n {
        drawn(rng.random_range(0..n));
    }
}

/// An estimate and what resampling made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    estimate: f64,
    values: Vec<f64>,
}

impl Draws {
    /// From the estimate of the data and those of their resamples.
    ///
    /// # Errors
    /// [`SummaryError`] for no resamples or a number that is not finite; that of the estimate has the index of the
    /// first after the resamples.
    pub fn new(estimate: f64, values: Vec<f64>) -> Result<Self, SummaryError> {
        crate::summary::mean_sd(&values)?;
        if !estimate.is_finite() {
            return Err(SummaryError::NonFinite { index: values.len(), value: estimate });
        }
        Ok(Self { estimate, values })
    }

    /// The estimate of the data themselves.
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    /// Of the resamples, in the order of drawing.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Standard error: the standard deviation of the resamples; 0 for a single one.
    pub fn se(&self) -> f64 {
        self.summary().sd.unwrap_or(0.0)
    }

    /// Mean of the resamples less the estimate.
    pub fn bias(&self) -> f64 {
        self.summary().mean - self.estimate
    }

    /// The percentile interval: quantiles of the resamples. It respects transformations and doubles a bias.
    ///
    /// # Panics
    /// When `level` lies outside `(0, 1)`.
    #[track_caller]
    pub fn percentile(&self, level: f64) -> Interval {
        percentile_interval(&self.values, level).expect("checked when made")
    }

    /// The basic interval, `2·estimate` less the quantiles of the other side: it takes off the bias that resampling
    /// shows, to first order, and is the better one for a slope of logarithms of noisy means.
    ///
    /// # Panics
    /// When `level` lies outside `(0, 1)`.
    #[track_caller]
    pub fn basic(&self, level: f64) -> Interval {
        let Interval { low, high } = self.percentile(level);
        Interval { low: 2.0 * self.estimate - high, high: 2.0 * self.estimate - low }
    }

    fn summary(&self) -> crate::summary::MeanSd {
        crate::summary::mean_sd(&self.values).expect("checked when made")
    }
}

/// A two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The percentile interval of bootstrap draws at `level`, for example 0.95: the quantiles at `½(1 ∓ level)`.
///
/// # Errors
/// [`SummaryError`] for no draws or one that is not finite.
///
/// # Panics
/// When `level` lies outside `(0, 1)`.
#[track_caller]
pub(crate) fn percentile_interval(draws: &[f64], level: f64) -> Result<Interval, SummaryError> {
    assert!(level > 0.0 && level < 1.0, "level {level}: expected between 0 and 1");
    let tail = 0.5 * (1.0 - level);
    Ok(Interval { low: quantile(draws, tail)?, high: quantile(draws, 1.0 - tail)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn counts_are_those_of_draws_with_replacement() {
        let (n, n_draws) = (50, 4_000);
        let counts = resample_counts(n, n_draws, &mut ChaCha8Rng::seed_from_u64(1));
        assert!((0..n_draws).all(|b| counts.col_as_slice(b).iter().sum::<f64>() == n as f64));
        let all = (0..n_draws).flat_map(|b| counts.col_as_slice(b));
        let zeros = all.clone().filter(|c| **c == 0.0).count() as f64 / (n * n_draws) as f64;
        let squares = all.map(|c| c * c).sum::<f64>() / (n * n_draws) as f64;
        // Binomial(n, 1/n): P(0) = (1 − 1/n)^n, E[c²] = 2 − 1/n.
        assert!((zeros - (1.0 - 1.0 / n as f64).powi(n as i32)).abs() < 0.005, "{zeros}");
        assert!((squares - (2.0 - 1.0 / n as f64)).abs() < 0.02, "{squares}");
        let first: Vec<f64> = resample_counts(6, 1, &mut ChaCha8Rng::seed_from_u64(0)).col_as_slice(0).to_vec();
        assert_eq!(first, [0.0, 0.0, 1.0, 2.0, 3.0, 0.0], "value stability");
    }

    #[test]
    fn intervals_are_quantiles() {
        let draws: Vec<f64> = (0..=100).map(f64::from).collect();
        let interval = percentile_interval(&draws, 0.9).unwrap();
        assert!((interval.low - 5.0).abs() < 1e-12 && (interval.high - 95.0).abs() < 1e-12);
        assert!(interval.contains(50.0) && !interval.contains(96.0));
        assert!(percentile_interval(&[], 0.9).is_err());
    }

    #[test]
    fn a_bias_shifts_the_percentile_interval_and_is_taken_off_the_basic_one() {
        let draws = Draws::new(40.0, (0..=100).map(f64::from).collect()).unwrap();
        assert!((draws.bias() - 10.0).abs() < 1e-12 && draws.estimate() == 40.0);
        assert!((draws.se() - (10_201.0f64 - 1.0).sqrt() / 12f64.sqrt() * (101.0f64 / 100.0).sqrt()).abs() < 1e-9);
        let (percentile, basic) = (draws.percentile(0.9), draws.basic(0.9));
        assert!((percentile.low - 5.0).abs() < 1e-12 && (percentile.high - 95.0).abs() < 1e-12);
        assert!((basic.low + 15.0).abs() < 1e-12 && (basic.high - 75.0).abs() < 1e-12);
        assert!(Draws::new(1.0, vec![]).is_err() && Draws::new(f64::NAN, vec![1.0]).is_err());
    }
}
