//! An exponent and what it is worth, on samples whose law is known: the errors of least squares and of a bootstrap over
//! samples, how many directions there are to fit, and where the directions lie between the bounds.
//!
//! `cargo run --release -p superlinear-stats --example exponent_errors`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_stats::bounds::{Curvature, Wedge};
use superlinear_stats::ensembles::PowerLawEnsemble;
use superlinear_stats::{DiagonalBootstrap, FitConfig, loglog, noise_floor, sensitivity, slope_bootstrap, theil_sen};

/// The exponent of `M₂` on `H`, and of `Σ` too.
const GAMMA: f64 = 1.4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 200 directions over five decades of curvature; the flattest are carried by one sample in a thousand.
    let lambda: Vec<f64> = (0..200).map(|i| 10f64.powf(-5.0 * f64::from(i) / 199.0)).collect();
    let ensemble = PowerLawEnsemble::new(&lambda, GAMMA)?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (N, n_draws) = (5_000, 400);
    let drawn = ensemble.draw(N, 0.0, &mut rng);
    let mut bootstrap = DiagonalBootstrap::new(N, lambda.len(), n_draws, &mut rng);
    bootstrap.push(drawn.gradient.as_ref(), drawn.curvature.as_ref(), drawn.squared_curvature.as_ref())?;
    let diagonals = bootstrap.finish();
    let own = |of: &faer::Mat<f64>| of.col(0).iter().copied().collect::<Vec<f64>>();
    let (h, sigma, m2) = (own(&diagonals.h), own(&diagonals.covariance), own(&diagonals.m2));

    // Directions whose curvature is known to a third of itself.
    let top = noise_floor::by_error(diagonals.h.as_ref(), 1.0 / 3.0)?;
    println!("{N} samples, {} directions, the first {top} known to a third; the truth is γ = {GAMMA}", h.len());
    let config = FitConfig::top(top);
    // Directions share samples, so they scatter together, which HC3 does not know and the bootstrap does.
    println!("exponent on H_ii     γ      HC3 error   bootstrap error   95 % over samples");
    for (name, y, resampled) in [("Σ_ii", &sigma, &diagonals.covariance), ("(M₂)_ii", &m2, &diagonals.m2)] {
        let fit = loglog::fit_with(&h, y, &config)?;
        let found = slope_bootstrap(diagonals.h.as_ref(), resampled.as_ref(), &config)?;
        let interval = found.slopes.basic(0.95);
        println!(
            "  {name:<14} {:>9.4} {:>12.4} {:>15.4} {:>12.4} … {:.4}",
            fit.slope,
            fit.se,
            found.slopes.se(),
            interval.low,
            interval.high
        );
        assert!(interval.low < GAMMA && GAMMA < interval.high, "{name}: the truth is outside the interval");
    }
    let medians = theil_sen::fit(&h, &sigma, &config, 0.95)?;
    let (low, high) = (medians.interval.low, medians.interval.high);
    println!("  Σ_ii by medians of slopes {:.4}, its interval {low:.4} … {high:.4}", medians.slope);

    println!("Σ_ii by number of directions, with the 95 % band over samples:");
    for point in sensitivity::resampled_sensitivity(
        diagonals.h.as_ref(),
        diagonals.covariance.as_ref(),
        &config,
        &sensitivity::tops(10, lambda.len(), 6),
        0.95,
    ) {
        let (found, band) = (point.fit?, point.band.ok_or("a fit without a band")?);
        println!(
            "  {:>4}: {:.4}, {:.4} … {:.4}; resampled entries that are zero: {} of {}",
            point.top,
            found.fit.slope,
            band.low,
            band.high,
            found.dropped_in_draws.total(),
            point.top * n_draws
        );
    }

    // Bounds hold for the H and M₂ of the same samples, whatever the error of either.
    let kappa_max = drawn.curvature.norm_max();
    let report = Wedge::new(kappa_max)?.report(&h, &m2, Curvature::PositiveSemidefinite)?;
    println!(
        "H² ≤ M₂ ≤ κ_max H with κ_max = {kappa_max:.3}: {} directions inside, {} below, {} above",
        report.n_inside, report.n_below, report.n_above
    );
    assert_eq!(report.n_below + report.n_above, 0, "the bounds do not hold");
    Ok(())
}
