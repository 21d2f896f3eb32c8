//! The sampling error of exponents: what they would have been on other images.

use crate::record::{SlopeRecord, SlopesRecord};
use anyhow::Result;
use faer::{Mat, MatRef};
use rand::Rng;
use superlinear_curvature::{AbsoluteCurvature, LayerSamples, directional_contributions};
use superlinear_nets::Network;
use superlinear_stats::{DiagonalBootstrap, FitConfig, slope_bootstrap};

/// Bootstraps the slopes of `C` and `M₂` on `H` and of `C` on `M₂` over samples, along the columns of `V`.
///
/// # Errors
/// When fewer than three directions can be used or a contribution is not finite.
pub(crate) fn slopes(
    net: &Network<f64>,
    samples: &LayerSamples,
    V: MatRef<'_, f64>,
    n_draws: usize,
    rng: &mut impl Rng,
) -> Result<SlopesRecord> {
    let mut bootstrap = DiagonalBootstrap::new(samples.n_samples(), V.ncols(), n_draws, rng);
    let mut wrong = None;
    directional_contributions(net, samples, V, AbsoluteCurvature::Skip, |panels| {
        if wrong.is_none() {
            wrong = bootstrap.push(panels.gradient, panels.curvature, panels.squared_curvature).err();
        }
    });
    if let Some(error) = wrong {
        return Err(error.into());
    }
    let resampled = bootstrap.finish();
    let config = FitConfig::top(V.ncols());
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
        emp: slope(&resampled.h, &resampled.covariance)?,
        m2: slope(&resampled.h, &resampled.m2)?,
        c_on_m2: slope(&resampled.m2, &resampled.covariance)?,
    })
}
