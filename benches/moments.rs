//! `H`, `M₂` and `Σ` together, of a 50 × 50 layer on 20,000 MNIST images: the moment product of `MATH [5]`.
//!
//! The fraction printed counts the flops of the product alone (three moments, `MATH [5]`) in the time of everything:
//! per-sample curvature, panels, product, scatter to `P × P` and centring.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use faer::Par;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cell::LazyCell;
use superlinear_benches::{Stopwatch, matmul_speed_f64, measuring, trained_mnist_layer};
use superlinear_curvature::{AnalysedLayer, KroneckerShape, Symmetry, layer_moments};
use superlinear_noise::{
    PartnerPolicy, awd_moments, awd_terms, choose_partners, dual_perturbation, gradient_covariance,
};

/// The moments that claims rest on.
fn moments(criterion: &mut Criterion) {
    measure(criterion, "moments", 3, |layer| {
        let moments = layer_moments(layer);
        let Sigma = gradient_covariance(moments.gradient_second_moment, layer);
        (moments.H, moments.M2, Sigma)
    });
}

/// The same with all that the activity–weight duality needs, terms for B = 50 included.
fn duality(criterion: &mut Criterion) {
    measure(criterion, "duality", 8, |layer| {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let partners = choose_partners(layer, PartnerPolicy::PAPER, &mut rng).expect("classes of many images");
        let dual = dual_perturbation(layer, &partners).expect("a network's weight");
        let (moments, awd) = awd_moments(layer, &dual);
        let Sigma = gradient_covariance(moments.gradient_second_moment, layer);
        let terms = awd_terms(awd, 10, layer.n_samples()).expect("a batch of fewer than all images");
        (moments.H, moments.M2, Sigma, terms)
    });
}

/// Times `run` on one thread and on all, and says which fraction of the machine's matrix product it reaches.
fn measure<R: Send>(criterion: &mut Criterion, name: &str, n_moments: usize, run: impl Fn(&AnalysedLayer) -> R + Sync) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let (d, n_per_class) = if measuring() { (50, 2_000) } else { (10, 20) };
    let symmetry = Symmetry::Symmetric;
    let shape = KroneckerShape { symmetry, n_samples: 10 * n_per_class, n_moments, d_out: d, d_in: d };
    let size = format!("N={} P={}", shape.n_samples, d * d);
    let layer = LazyCell::new(|| trained_mnist_layer([d, d], n_per_class));
    let all = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    for threads in if all == 1 { vec![1] } else { vec![1, all] } {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
        let mut machine = 0.0_f64;
        let mut stopwatch = Stopwatch::default();
        group.throughput(Throughput::Elements(shape.flops() as u64));
        group.bench_function(BenchmarkId::new(&size, format!("{threads} threads")), |bencher| {
            let layer = &*layer;
            if measuring() {
                machine = machine.max(pool.install(|| matmul_speed_f64(par)));
            }
            bencher.iter_custom(|iterations| pool.install(|| stopwatch.time(iterations, || run(layer))));
        });
        if let (true, Some(seconds)) = (measuring(), stopwatch.shortest()) {
            let speed = shape.flops() / seconds;
            println!(
                "{name} {size}: {seconds:.2} s, {:.0} GFLOP/s of {n_moments}·N·P²/2, {:.0} % of this machine's \
                 f64 matrix product ({:.0} GFLOP/s, {threads} threads)\n",
                speed / 1e9,
                100.0 * speed / machine,
                machine / 1e9,
            );
        }
    }
    group.finish();
}

criterion_group!(benches, moments, duality);
criterion_main!(benches);
