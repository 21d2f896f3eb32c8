//! The bootstrap over samples as weighted sums: a resample is a column of counts.

use crate::summary::{SummaryError, quantile};
use faer::Mat;
use rand::{Rng, RngExt};

/// How often each of `n` samples is drawn in each of `n_draws` resamples of size `n` with replacement: `n × n_draws`, every
/// column adding up to `n`.
///
/// A mean over samples in resample `b` is `(1/n) Σ_p counts[(p, b)] x_p`, so that all resamples of many means are one matrix
/// product.
pub fn resample_counts(n: usize, n_draws: usize, rng: &mut impl Rng) -> Mat<f64> {
    let mut counts = Mat::zeros(n, n_draws);
    for draw in 0..n_draws {
        let column = counts.col_as_slice_mut(draw);
        for _ in 0..n {
            column[rng.random_range(0..n)] += 1.0;
        }
    }
    counts
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
pub fn percentile_interval(draws: &[f64], level: f64) -> Result<Interval, SummaryError> {
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
}
