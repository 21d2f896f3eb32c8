//! The sampling error of exponents: what they would have been on other images.

use crate::record::{SlopeRecord, SlopesRecord, YorkRecord};
use anyhow::Result;
use faer::{Mat, MatRef};
use rand::Rng;
use superlinear_curvature::{AbsoluteCurvature, AnalysedLayer, directional_contributions};
use superlinear_stats::{DiagonalBootstrap, Eigenspaces, FitConfig, errors_in_both, slope_bootstrap};

/// Bootstraps the slopes of `C` and `M₂` on `H` and of `C` on `M₂` over samples, along the columns of `V`, which are
/// grouped into `spaces`: as in the fit itself, diagonals are means over each.
///
/// # Errors
/// When fewer than three directions can be used or a contribution is not finite.
pub(crate) fn slopes(
    layer: &AnalysedLayer,
    V: MatRef<'_, f64>,
    spaces: &Eigenspaces,
    n_draws: usize,
    rng: &mut impl Rng,
) -> Result<SlopesRecord> {
    let mut bootstrap = DiagonalBootstrap::new(layer.n_samples(), V.ncols(), n_draws, rng);
    let mut wrong = None;
    directional_contributions(layer, V, AbsoluteCurvature::Skip, |panels| {
        if wrong.is_none() {
            wrong = bootstrap.push(panels.gradient, panels.curvature, panels.squared_curvature).err();
        }
    });
    if let Some(error) = wrong {
        return Err(error.into());
    }
    let resampled = bootstrap.finish();
    let [h, covariance, m2] = [&resampled.h, &resampled.covariance, &resampled.m2].map(|of| means(of, spaces));
    let config = FitConfig::top(h.nrows());
    let slope = |x: &Mat<f64>, y: &Mat<f64>| -> Result<SlopeRecord> {
        let found = slope_bootstrap(x.as_ref(), y.as_ref(), &config)?;
        let interval = found.slopes.basic(0.95);
        Ok(SlopeRecord {
            se: found.slopes.se(),
            bias: found.slopes.bias(),
            interval: [interval.low, interval.high],
            n_failed: found.n_failed,
        })
    };
    Ok(SlopesRecord {
        n_draws,
        // C is a constant multiple of Σ, which moves no slope.
        emp: slope(&h, &covariance)?,
        emp_york: york(h.as_ref(), covariance.as_ref()),
        m2: slope(&h, &m2)?,
        c_on_m2: slope(&m2, &covariance)?,
    })
}

/// The means of each column's entries over each eigenspace.
fn means(diagonals: &Mat<f64>, spaces: &Eigenspaces) -> Mat<f64> {
    let spaces = spaces.spaces();
    Mat::from_fn(spaces.len(), diagonals.ncols(), |i, draw| {
        spaces[i].clone().map(|direction| diagonals[(direction, draw)]).sum::<f64>() / spaces[i].len() as f64
    })
}

/// York's line through the directions that are positive, with the errors that resampling shows.
fn york(x: MatRef<'_, f64>, y: MatRef<'_, f64>) -> Option<YorkRecord> {
    let usable: Vec<usize> = (0..x.nrows()).filter(|&i| x[(i, 0)] > 0.0 && y[(i, 0)] > 0.0).collect();
    let log10 = |of: MatRef<'_, f64>| usable.iter().map(|&i| of[(i, 0)].log10()).collect::<Vec<_>>();
    let errors = errors_in_both::log_errors(x, y, &usable);
    let line = errors_in_both::york(&log10(x), &log10(y), &errors).ok()?;
    Some(YorkRecord { slope: line.slope, se: line.slope_se, reduced_chi_squared: line.reduced_chi_squared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resamples_are_averaged_over_eigenspaces_as_the_fit_is() {
        let of = Mat::from_fn(4, 2, |i, draw| (i + 10 * draw) as f64);
        let found = means(&of, &Eigenspaces::of(&[3.0, 2.0, 2.0, 1.0], &[1e-12; 4]));
        assert_eq!(found, Mat::from_fn(3, 2, |i, draw| [0.0, 1.5, 3.0][i] + 10.0 * draw as f64));
    }
}
