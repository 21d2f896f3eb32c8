//! A matrix-free operator with a known spectrum: eigenpairs of both ends, density, trace, norm and diagonal, each
//! beside the truth.
//!
//! The Laplacian of an `m × m` grid has the eigenvalues `4 − 2cos(iπ/(m + 1)) − 2cos(jπ/(m + 1))`, most of them twice.
//!
//! `cargo run --release -p superlinear-spectra --example lanczos -- [m]`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use std::f64::consts::PI;
use std::time::Instant;
use superlinear_spectra::{
    DensityConfig, FnOp, LanczosConfig, TraceConfig, TraceEstimate, Wanted, frobenius_squared, hutch_plus_plus,
    hutchinson, lanczos, spectral_density, xdiag, xtrace,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let m = std::env::args().nth(1).map(|m| m.parse::<usize>()).transpose()?.unwrap_or(60);
    let n = m * m;
    let A = FnOp::by_vector(n, |y: &mut [f64], x: &[f64]| {
        for (k, y) in y.iter_mut().enumerate() {
            let (row, column) = (k / m, k % m);
            let beside = [(column > 0).then(|| k - 1), (column + 1 < m).then(|| k + 1)];
            let above = [(row > 0).then(|| k - m), (row + 1 < m).then(|| k + m)];
            *y = 4.0 * x[k] - beside.into_iter().chain(above).flatten().map(|k| x[k]).sum::<f64>();
        }
    });
    let wave = |i: usize| 2.0 - 2.0 * ((i + 1) as f64 * PI / (m + 1) as f64).cos();
    let mut truth: Vec<f64> = (0..n).map(|k| wave(k / m) + wave(k % m)).collect();
    truth.sort_by(|x, y| y.total_cmp(x));
    let rng = &mut ChaCha8Rng::seed_from_u64(1);

    let wanted = Wanted::Ends { largest: 6, smallest: 4 };
    for block in [1, 4] {
        let start = Instant::now();
        let config = LanczosConfig { block, basis: Some(80), ..Default::default() };
        let found = lanczos(&A, wanted, &config, rng)?.into_converged()?;
        println!(
            "n = {n}, block {block}: {} products, {} restarts, {:.2?}; ‖VᵀV − I‖ = {:.1e}, nothing missed: {}",
            found.state.products,
            found.restarts,
            start.elapsed(),
            found.orthogonality,
            found.probed,
        );
        println!("  value             truth − value   residual");
        let places = (0..6).chain(n - 4..n);
        for (pair, place) in found.pairs.iter().zip(places) {
            println!("  {:<17.12} {:<15.1e} {:.1e}", pair.value, truth[place] - pair.value, pair.residual);
        }
    }

    let start = Instant::now();
    let density = spectral_density(&A, &DensityConfig::default(), rng)?;
    println!("\ndensity: {} products, {:.2?}", density.products, start.elapsed());
    println!("  x     share of eigenvalues at most x  bounds            truth");
    for x in [1.0, 2.0, 3.0, 4.0, 6.0] {
        let below = density.cumulative(x);
        let share = truth.iter().filter(|value| **value <= x).count() as f64 / n as f64;
        let (value, bounds) = (below.value, format!("{:.4} … {:.4}", below.lower.value, below.upper.value));
        println!("  {x:<5} {:.4} ± {:<22.4} {bounds}   {share:.4}", value.value, value.standard_error);
    }

    println!("\nestimator         estimate ± standard error    truth        products");
    let config = TraceConfig::default();
    let line = |name: &str, truth: f64, found: TraceEstimate| {
        println!("{name:<17} {:<12.4} ± {:<13.4} {truth:<12.4} {}", found.value, found.standard_error, found.products);
    };
    let trace: f64 = truth.iter().sum();
    line("Hutchinson", trace, hutchinson(&A, &config, rng)?);
    line("Hutch++", trace, hutch_plus_plus(&A, &config, rng)?);
    line("XTrace", trace, xtrace(&A, &config, rng)?);
    line("‖A‖²", truth.iter().map(|x| x * x).sum(), frobenius_squared(&A, &config, rng)?);
    let diagonal = xdiag(&A, &config, rng)?;
    let worst =
        diagonal.values.iter().zip(&diagonal.standard_errors).map(|(d, e)| (d - 4.0).abs() / e).fold(0.0, f64::max);
    println!("XDiag: every entry is 4, the worst of {n} is {worst:.1} standard errors away");
    Ok(())
}
