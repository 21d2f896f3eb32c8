//! The verified eigendecomposition of the Hessian of a real layer, `P` = 500 and 2,500.
//!
//! Counted as `26/3·P³` flops: `4/3` for the tridiagonal form, `4/3` for divide and conquer without deflation, `2` for
//! the transformation back, `4` for the check of residual and orthogonality. Half of the tridiagonal form is products
//! of a matrix and a vector, which run at the speed of memory, so the fraction of the matrix product stays well below
//! 1.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use faer::Par;
use std::cell::LazyCell;
use superlinear_benches::{Stopwatch, matmul_speed_f64, measuring, trained_mnist_layer};
use superlinear_curvature::layer_moments;
use superlinear_spectra::eigh;

fn eigendecomposition(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("eigh");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
    let (layers, n_per_class): (&[[usize; 2]], _) =
        if measuring() { (&[[50, 10], [50, 50]], 500) } else { (&[[10, 5]], 10) };
    for &hidden in layers {
        let P = hidden[0] * hidden[1];
        let flops = 26.0 / 3.0 * (P as f64).powi(3);
        let H = LazyCell::new(|| layer_moments(&trained_mnist_layer(hidden, n_per_class)).H);
        let mut machine = 0.0_f64;
        let mut stopwatch = Stopwatch::default();
        group.throughput(Throughput::Elements(flops as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("P={P}")), |bencher| {
            let H = H.as_ref();
            if measuring() {
                machine = machine.max(pool.install(|| matmul_speed_f64(par)));
            }
            bencher.iter_custom(|iterations| pool.install(|| stopwatch.time(iterations, || eigh(H))));
        });
        if let (true, Some(seconds)) = (measuring(), stopwatch.shortest()) {
            let speed = flops / seconds;
            println!(
                "eigh P={P}: {seconds:.3} s, {:.1} GFLOP/s of 26/3·P³, {:.0} % of this machine's f64 matrix product \
                 ({:.0} GFLOP/s, {threads} threads)\n",
                speed / 1e9,
                100.0 * speed / machine,
                machine / 1e9,
            );
        }
    }
    group.finish();
}

criterion_group!(benches, eigendecomposition);
criterion_main!(benches);
