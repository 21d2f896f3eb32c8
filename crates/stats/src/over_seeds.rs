//! An exponent over runs: what several seeds say together.

use crate::bootstrap::Interval;
use crate::student;
use crate::summary::{MeanSd, SummaryError, mean_sd};

/// Mean over seeds and its interval by Student's `t`, seeds taken as independent draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverSeeds {
    /// Mean and spread of the seeds.
    pub summary: MeanSd,
    /// Interval of the mean, `mean ± t_{n−1} sd/√n`; `None` for one seed, which shows no spread.
    pub interval: Option<Interval>,
}

/// The mean of one slope a seed, with its t interval at `level`: 95 % is `mean ± 1.59·sd` for four seeds.
///
/// The interval has its level when slopes of different seeds are normal; it is conservative for lighter tails.
///
/// # Errors
/// [`SummaryError`] for no slopes or one that is not finite.
///
/// # Panics
/// When `level` lies outside `(0, 1)`.
#[track_caller]
pub fn over_seeds(slopes: &[f64], level: f64) -> Result<OverSeeds, SummaryError> {
    assert!(level > 0.0 && level < 1.0, "level {level}: expected between 0 and 1");
    let summary = mean_sd(slopes)?;
    let interval = summary.sd.map(|sd| {
        let half = student::two_sided_quantile(summary.n - 1, 1.0 - level) * sd / (summary.n as f64).sqrt();
        Interval { low: summary.mean - half, high: summary.mean + half }
    });
    Ok(OverSeeds { summary, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_have_a_t_interval() {
        let found = over_seeds(&[1.30, 1.34, 1.38, 1.42], 0.95).unwrap();
        // t_3 by scipy 1.17.1, sd = 0.0516398.
        let half = 3.182_446_305_283_707_8 * found.summary.sd.unwrap() / 2.0;
        let interval = found.interval.unwrap();
        assert!((interval.low - (1.36 - half)).abs() < 1e-11 && (interval.high - (1.36 + half)).abs() < 1e-11);
        assert_eq!(over_seeds(&[1.5], 0.9).unwrap().interval, None);
        assert_eq!(over_seeds(&[], 0.9), Err(SummaryError::Empty));
    }
}
