//! One epoch of SGD of the paper's networks: 784-50-50-10 on 2,000 MNIST images on one core, and on inputs of the
//! shape of CIFAR-10 the 3072-1000-50-50-10 network (`B` = 100) and the convolutional one (`B` = 128) on all threads.
//!
//! Counted are the flops of `Architecture::training_flops`: for every use of a weight a multiplication and an addition
//! forward, in its gradient and in the gradient of the layer's input, but for the first layer's inputs. Pooling,
//! activations, the loss and the update are not counted.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout)]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::{Mat, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPool;
use std::ops::ControlFlow;
use superlinear_benches::{Stopwatch, first_images, matmul_speed_f32, measuring};
use superlinear_nets::{Activation, Architecture, DenseSamples, ImageShape, Loss, Network, Samples};
use superlinear_training::{SgdConfig, train};

fn training(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training");
    let mnist = superlinear_datasets::embedded::mnist();
    let images = first_images(&mnist, if measuring() { 200 } else { 10 });
    let mlp = |widths: &[usize]| Architecture::mlp(widths, Activation::Relu).expect("no width is zero");
    let pool =
        |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
    let (one, all) = (pool(1), pool(rayon::current_num_threads()));
    epoch(&mut group, &one, "784-50-50-10", mlp(&[784, 50, 50, 10]), 50, &images);

    let n_samples = if measuring() { 1_280 } else { 20 };
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    let inputs = Mat::from_fn(3_072, n_samples, |_, _| 4.0 * rng.random::<f32>() - 2.0);
    let pictures = DenseSamples::new(inputs, (0..n_samples).map(|p| (p % 10) as u8).collect());
    epoch(&mut group, &all, "3072-1000-50-50-10", mlp(&[3_072, 1_000, 50, 50, 10]), 100, &pictures);
    let cnn =
        Architecture::paper_cnn(ImageShape { channels: 3, height: 32, width: 32 }).expect("the paper's images fit");
    epoch(&mut group, &all, "convolutional", cnn, 128, &pictures);
    group.finish();
}

/// Times an epoch of `architecture` over `samples` on the threads of `pool`.
fn epoch(
    group: &mut BenchmarkGroup<'_, WallTime>,
    pool: &ThreadPool,
    name: &str,
    architecture: Architecture,
    batch: usize,
    samples: &impl Samples<f32>,
) {
    let n_samples = samples.n_samples();
    let threads = pool.current_num_threads();
    let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
    let config = SgdConfig { epochs: 1, batch, ..SgdConfig::paper(Loss::CrossEntropy) };
    let flops = architecture.training_flops() as f64;
    let net = Network::<f32>::init(architecture, &mut ChaCha8Rng::seed_from_u64(2));
    let mut machine = 0.0_f64;
    let mut stopwatch = Stopwatch::default();
    group.throughput(Throughput::Elements(n_samples as u64));
    group.sample_size(10);
    let id = BenchmarkId::new(format!("epoch {name}"), format!("N={n_samples} B={batch}"));
    group.bench_function(id, |bencher| {
        if measuring() {
            machine = machine.max(pool.install(|| matmul_speed_f32(par)));
        }
        bencher.iter_custom(|iterations| {
            stopwatch.time(iterations, || {
                let rng = &mut ChaCha8Rng::seed_from_u64(3);
                pool.install(|| train(net.clone(), samples, &config, rng, |_| ControlFlow::Continue(())))
            })
        });
    });
    if let (true, Some(seconds)) = (measuring(), stopwatch.shortest()) {
        let rate = n_samples as f64 / seconds;
        println!(
            "training {name} B={batch}: {rate:.0} samples/s, {:.1} GFLOP/s of {flops} flops a sample, {:.0} % of this \
             machine's f32 matrix product ({:.0} GFLOP/s, {threads} threads)\n",
            rate * flops / 1e9,
            100.0 * rate * flops / machine,
            machine / 1e9,
        );
    }
}

criterion_group!(benches, training);
criterion_main!(benches);
