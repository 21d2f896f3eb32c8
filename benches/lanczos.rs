//! The leading eigenpairs of the Hessian of a real layer by Lanczos, `P` = 2,500, in blocks of 1 and 8.
//!
//! Counted as flops are the products alone, `2P²` each: what the fraction of the matrix product lacks is
//! reorthogonalisation, projected eigenproblems, and that narrow products run at the speed of memory.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use faer::Par;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_benches::{Stopwatch, matmul_speed_f64, measuring, trained_mnist_layer};
use superlinear_curvature::layer_moments;
use superlinear_spectra::{LanczosConfig, Wanted, lanczos};

fn leading_pairs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lanczos");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
    let (hidden, n_per_class, k) = if measuring() { ([50, 50], 200, 50) } else { ([10, 5], 10, 5) };
    let P = hidden[0] * hidden[1];
    let layer = trained_mnist_layer(hidden, n_per_class);
    let H = layer_moments(&layer).H;
    for block in [1, 8] {
        let config = LanczosConfig { block, tolerance: 1e-6, ..Default::default() };
        let run = || lanczos(&H, Wanted::Largest(k), &config, &mut ChaCha8Rng::seed_from_u64(1));
        let (mut machine, mut products) = (0.0_f64, 0);
        let mut stopwatch = Stopwatch::default();
        group.bench_function(BenchmarkId::from_parameter(format!("P={P}, k={k}, block={block}")), |bencher| {
            if measuring() {
                machine = machine.max(pool.install(|| matmul_speed_f64(par)));
            }
            products = pool.install(run).and_then(|found| found.into_converged()).expect("it converges").state.products;
            bencher.iter_custom(|iterations| pool.install(|| stopwatch.time(iterations, run)));
        });
        if let (true, Some(seconds)) = (measuring(), stopwatch.shortest()) {
            let speed = 2.0 * (P as f64).powi(2) * products as f64 / seconds;
            println!(
                "lanczos P={P}, k={k}, block={block}: {seconds:.3} s, {products} products at {:.1} GFLOP/s, {:.0} % of \
                 this machine's f64 matrix product ({:.0} GFLOP/s, {threads} threads)\n",
                speed / 1e9,
                100.0 * speed / machine,
                machine / 1e9,
            );
        }
    }
    group.finish();
}

criterion_group!(benches, leading_pairs);
criterion_main!(benches);
