//! 2,000 resamples of 20,000 samples along 1,000 directions of a 50 × 50 layer: contributions, resampled diagonals and
//! the slope of every resample.
//!
//! The fraction printed counts `2Nk(P + d_out²)` flops of the contributions and `8NkR` of the resamples in the time of
//! everything, drawing and fitting included.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use faer::{Mat, Par};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cell::LazyCell;
use superlinear_benches::{Stopwatch, matmul_speed_f64, measuring, trained_mnist_layer};
use superlinear_curvature::{AbsoluteCurvature, AnalysedLayer, directional_contributions, layer_moments};
use superlinear_spectra::eigh;
use superlinear_stats::{DiagonalBootstrap, FitConfig, SlopeBootstrap, slope_bootstrap};

fn bootstrap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bootstrap");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let (d, n_per_class, k, n_draws) = if measuring() { (50, 2_000, 1_000, 2_000) } else { (10, 20, 50, 20) };
    let (P, N) = (d * d, 10 * n_per_class);
    let layer = LazyCell::new(|| {
        let layer = trained_mnist_layer([d, d], n_per_class);
        let H = layer_moments(&layer).H;
        let V = eigh(H.as_ref()).expect("eigenpairs of a Hessian").vectors;
        (layer, V.subcols(0, k).to_owned())
    });
    let flops = 2.0 * (N * k) as f64 * (P + d * d + 4 * n_draws) as f64;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
    let mut machine = 0.0_f64;
    let mut stopwatch = Stopwatch::default();
    group.throughput(Throughput::Elements(flops as u64));
    group.bench_function(
        BenchmarkId::new(format!("N={N} P={P} k={k} R={n_draws}"), format!("{threads} threads")),
        |bencher| {
            let (layer, V) = &*layer;
            if measuring() {
                machine = machine.max(matmul_speed_f64(par));
            }
            bencher.iter_custom(|iterations| stopwatch.time(iterations, || exponent(layer, V, n_draws)));
        },
    );
    if let (true, Some(seconds)) = (measuring(), stopwatch.shortest()) {
        let speed = flops / seconds;
        println!(
            "bootstrap N={N} k={k} R={n_draws}: {seconds:.2} s, {:.0} GFLOP/s, {:.0} % of this machine's f64 matrix \
             product ({:.0} GFLOP/s, {threads} threads)\n",
            speed / 1e9,
            100.0 * speed / machine,
            machine / 1e9,
        );
    }
    group.finish();
}

/// The exponent of `Σ` on `H` with its resamples.
fn exponent(layer: &AnalysedLayer, V: &Mat<f64>, n_draws: usize) -> SlopeBootstrap {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut bootstrap = DiagonalBootstrap::new(layer.n_samples(), V.ncols(), n_draws, rng);
    directional_contributions(layer, V.as_ref(), AbsoluteCurvature::Skip, |panels| {
        let pushed = bootstrap.push(panels.gradient, panels.curvature, panels.squared_curvature);
        pushed.expect("contributions are finite");
    });
    let diagonals = bootstrap.finish();
    let config = FitConfig::top(V.ncols());
    slope_bootstrap(diagonals.h.as_ref(), diagonals.covariance.as_ref(), &config).expect("slopes of a trained network")
}

criterion_group!(benches, bootstrap);
criterion_main!(benches);
