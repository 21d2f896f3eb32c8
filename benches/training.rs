//! One epoch of SGD with `B` = 50 over 2,000 MNIST images, network 784-50-50-10, on one core.
//!
//! Counted per sample: `6` flops a parameter (forward, gradient in the weight, gradient in the input, a multiplication and
//! an addition each) less the `2` of the gradient in the images, which nobody asks for.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::Par;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use superlinear_benches::{Stopwatch, first_images, matmul_speed_f32, measuring};
use superlinear_nets::{Activation, Architecture, Loss, Network, Samples};
use superlinear_training::{SgdConfig, train};

fn training(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training");
    let mnist = superlinear_datasets::embedded::mnist();
    let images = first_images(&mnist, if measuring() { 200 } else { 10 });
    let n_samples = Samples::<f32>::n_samples(&images);
    let config = SgdConfig { epochs: 1, batch: 50, ..SgdConfig::paper(Loss::CrossEntropy) };
    let architecture = Architecture::mlp(&[784, 50, 50, 10], Activation::Relu).expect("no width is zero");
    let first = &architecture.dense_layers()[0];
    let flops = (6 * architecture.n_params() - 2 * first.params.len()) as f64;
    let net = Network::<f32>::init(architecture, &mut ChaCha8Rng::seed_from_u64(2));

    let mut machine = 0.0_f64;
    let mut stopwatch = Stopwatch::default();
    group.throughput(Throughput::Elements(n_samples as u64));
    let id = BenchmarkId::new("epoch 784-50-50-10", format!("N={n_samples} B={}", config.batch));
    group.bench_function(id, |bencher| {
        if measuring() {
            machine = machine.max(matmul_speed_f32(Par::Seq));
        }
        bencher.iter_custom(|iterations| {
            stopwatch.time(iterations, || {
                let rng = &mut ChaCha8Rng::seed_from_u64(3);
                train(net.clone(), &images, &config, rng, |_| ControlFlow::Continue(()))
            })
        });
    });
    if let (true, Some(seconds)) = (measuring(), stopwatch.shortest()) {
        let rate = n_samples as f64 / seconds;
        println!(
            "training 784-50-50-10 B={}: {rate:.0} samples/s, {:.1} GFLOP/s of {flops} flops a sample, {:.0} % of this \
             machine's f32 matrix product ({:.0} GFLOP/s, 1 thread)\n",
            config.batch,
            rate * flops / 1e9,
            100.0 * rate * flops / machine,
            machine / 1e9,
        );
    }
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
