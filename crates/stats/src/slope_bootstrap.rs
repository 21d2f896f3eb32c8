//! An exponent with its sampling error: resampled slopes of one run, and what several seeds say together.
//!
//! Three errors of a slope answer three questions, and none stands for another:
//!
//! - [`crate::PowerLawFit::se`] (robust least squares) takes the *directions* for the sample: entries scatter
//!   independently about a line. Were the directions to be drawn anew, this is how the slope would vary. Diagonals
//!   estimated from the same samples scatter together, and then it is too small.
//! - [`slope_bootstrap()`] takes the *samples* for the sample, directions and basis fixed: had other images been
//!   drawn, this is how the slope would vary. It says nothing about whether a line fits.
//! - [`crate::over_seeds`] takes the *runs* for the sample: draw, initialisation and order of batches together. It
//!   contains the sampling error of each run. With few seeds its t interval is the honest one and is wide.

use crate::bootstrap::Draws;
use crate::loglog::{self, Dropped, FitConfig, PowerLawFit};
use crate::ols::{self, FitError, Robust};
use faer::MatRef;
use rayon::prelude::*;
use thiserror::Error;

/// The fit of the ensemble itself, and the slope of every resample.
#[derive(Debug, Clone, PartialEq)]
pub struct SlopeBootstrap {
    /// Fit of the ensemble itself.
    pub fit: PowerLawFit,
    /// Slopes of the resamples that have one; standard error, bias and intervals are methods of it.
    pub slopes: Draws,
    /// Resamples without one.
    pub n_failed: usize,
    /// Directions of the fit that some resample could not use, by cause, added up over the resamples.
    pub dropped_in_draws: Dropped,
}

/// Why there is no bootstrapped slope.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SlopeBootstrapError {
    /// The ensemble itself has no slope.
    #[error("the ensemble itself: {0}")]
    Fit(#[from] FitError),
    /// Too few resamples have one to speak of a spread.
    #[error("{usable} of {asked} resamples have a slope: expected at least 2")]
    TooFewDraws {
        /// Resamples with a slope.
        usable: usize,
        /// Resamples.
        asked: usize,
    },
}

/// The slope of `log10 y` on `log10 x` in the ensemble and in each of its resamples.
///
/// `x` and `y` are `k × (1 + n_draws)` with the ensemble itself in column 0, as [`crate::ResampledDiagonals`] has them,
/// the directions in descending order of eigenvalue. `config` chooses directions by the ensemble itself, and every
/// resample fits those; one that is not positive in a resample is left out of that resample and counted.
///
/// # Errors
/// [`SlopeBootstrapError::Fit`] as [`loglog::fit_with`], and [`SlopeBootstrapError::TooFewDraws`].
///
/// # Panics
/// When `x` and `y` differ in their number of columns or have none.
#[track_caller]
pub fn slope_bootstrap(
    x: MatRef<'_, f64>,
    y: MatRef<'_, f64>,
    config: &FitConfig,
) -> Result<SlopeBootstrap, SlopeBootstrapError> {
    assert!(x.ncols() == y.ncols() && x.ncols() > 0, "one column for the ensemble and one a resample");
    let column = |of: MatRef<'_, f64>, b: usize| -> Vec<f64> { of.col(b).iter().copied().collect() };
    let (x_all, y_all) = (column(x, 0), column(y, 0));
    let fit = loglog::fit_with(&x_all, &y_all, config)?;
    let chosen = loglog::select(&x_all, &y_all, config)?.indices;
    let of_resample = |b: usize| {
        let gather = |of: MatRef<'_, f64>| -> Vec<f64> { chosen.iter().map(|&i| of[(i, b)]).collect() };
        let (x, y) = (gather(x), gather(y));
        let selection = loglog::select(&x, &y, &FitConfig::top(chosen.len())).expect("as many x as y, and no floor");
        let log10 = |values: &[f64]| selection.indices.iter().map(|&i| values[i].log10()).collect::<Vec<_>>();
        let line = ols::fit(&log10(&x), &log10(&y), Robust::Hc0);
        (line.ok().map(|line| line.slope), selection.dropped)
    };
    let resamples: Vec<_> = (1..x.ncols()).into_par_iter().map(of_resample).collect();
    let dropped_in_draws = resamples.iter().fold(Dropped::default(), |sum, (_, dropped)| sum + *dropped);
    let slopes: Vec<f64> = resamples.iter().filter_map(|(slope, _)| *slope).collect();
    let (usable, asked) = (slopes.len(), resamples.len());
    if usable < 2 {
        return Err(SlopeBootstrapError::TooFewDraws { usable, asked });
    }
    let slopes = Draws::new(fit.slope, slopes).expect("slopes are finite");
    Ok(SlopeBootstrap { fit, slopes, n_failed: asked - usable, dropped_in_draws })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resample_is_fitted_on_the_directions_of_the_ensemble() {
        // Four directions, the last below the floor in the ensemble, and y = x² there; two resamples with other
        // exponents, one of which loses a direction, and one that loses two and fails.
        let x = faer::mat![
            [8.0, 8.0, 8.0, 8.0],
            [4.0, 4.0, 4.0, -1.0],
            [2.0, 2.0, 2.0, 1.0],
            [1.0, 1.0, 0.0, 1.0],
            [1e-9, 5.0, 5.0, 5.0]
        ];
        let y = faer::mat![
            [64.0, 8.0, 512.0, 1.0],
            [16.0, 4.0, 64.0, 1.0],
            [4.0, 2.0, 8.0, 0.0],
            [1.0, 1.0, 7.0, 1.0],
            [9.0, 9.0, 9.0, 9.0]
        ];
        let config = FitConfig { noise_floor: Some(1e-6), ..FitConfig::top(5) };
        let found = slope_bootstrap(x.as_ref(), y.as_ref(), &config).unwrap();
        assert!((found.fit.slope - 2.0).abs() < 1e-14 && found.fit.dropped.below_noise_floor == 1);
        let slopes = found.slopes.values();
        assert!((slopes[0] - 1.0).abs() < 1e-14 && (slopes[1] - 3.0).abs() < 1e-14);
        assert_eq!((slopes.len(), found.n_failed), (2, 1));
        assert_eq!((found.dropped_in_draws.non_positive_x, found.dropped_in_draws.non_positive_y), (2, 1));
        assert!((found.slopes.bias()).abs() < 1e-14 && (found.slopes.se() - 2f64.sqrt()).abs() < 1e-14);
        let failed = slope_bootstrap(x.as_ref().subcols(0, 2), y.as_ref().subcols(0, 2), &config);
        assert_eq!(failed, Err(SlopeBootstrapError::TooFewDraws { usable: 1, asked: 1 }));
        let few = FitConfig::top(2);
        assert!(matches!(slope_bootstrap(x.as_ref(), y.as_ref(), &few), Err(SlopeBootstrapError::Fit(_))));
    }
}
