//! Curvature operators over all parameters: a Hessian-vector product in gradients, 32 vectors at once in single
//! products.
//!
//! Everything runs on one thread of the same process; ratios are of the shortest runs. The gradient is the cheaper of a
//! training step's, over the same samples in batches, and of the operators' own pass.
// A bench talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use faer::{Mat, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_benches::{Stopwatch, matmul_speed_f64, measuring};
use superlinear_curvature::{MeanLoss, Selection};
use superlinear_nets::{Activation, Architecture, DenseSamples, ImageShape, Loss, Network, Workspace};

/// Samples of a batch that the training pass takes.
const BATCH: usize = 100;

fn operators(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("operators");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let mlp = |widths: &[usize], activation| Architecture::mlp(widths, activation).expect("no width is zero");
    let n = |n: usize| if measuring() { n } else { 10 };
    measure(&mut group, "784-50-50-10 relu", mlp(&[784, 50, 50, 10], Activation::Relu), n(2_000));
    measure(&mut group, "784-50-50-10 tanh", mlp(&[784, 50, 50, 10], Activation::Tanh), n(2_000));
    measure(&mut group, "100x5-10 relu", mlp(&[100, 100, 100, 100, 100, 10], Activation::Relu), n(2_000));
    if measuring() {
        let wide = mlp(&[3_072, 1_000, 50, 50, 10], Activation::Relu);
        measure(&mut group, "3072-1000-50-50-10 relu", wide, 200);
    }
    let cnn = Architecture::paper_cnn(ImageShape { channels: 3, height: 32, width: 32 }).expect("the images fit");
    measure(&mut group, "convolutional", cnn, if measuring() { 32 } else { 2 });
    group.finish();
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, architecture: Architecture, n: usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let net = Network::<f64>::init(architecture.clone(), &mut rng);
    let inputs = Mat::from_fn(architecture.input_dim(), n, |_, _| 2.0 * rng.random::<f64>() - 1.0);
    let labels: Vec<u8> = (0..n).map(|p| (p % 10) as u8).collect();
    let samples = DenseSamples::new(inputs.clone(), labels.clone());
    let over = |selection| MeanLoss::new(&net, Loss::CrossEntropy, &samples, selection).expect("samples fit");
    let of = over(Selection::all(&architecture));
    let P = of.n_params();
    let V = Mat::from_fn(P, 32, |_, _| rng.random::<f64>() - 0.5);
    let mut out = Mat::zeros(P, 32);
    let (hessian, squared_hessian) = (of.hessian(), of.hessian_second_moment());
    let middle = over(Selection::dense_weights(&architecture, [1]).expect("there are several layers"));
    let (middle_hessian, middle_squares) = (middle.hessian(), middle.hessian_second_moment());

    let mut workspace = Workspace::new(&net, BATCH);
    let mut gradient = vec![0.0; P];
    let mut time = |what: &str, run: &mut (dyn FnMut() + Send)| {
        let mut stopwatch = Stopwatch::default();
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new(format!("{name} {what}"), format!("N={n} P={P}")), |bencher| {
            bencher.iter_custom(|iterations| pool.install(|| stopwatch.time(iterations, &mut *run)));
        });
        stopwatch.shortest()
    };
    let training = time("training gradient", &mut || {
        for first in (0..n).step_by(BATCH) {
            let inputs = inputs.as_ref().subcols(first, BATCH.min(n - first));
            let labels = &labels[first..first + inputs.ncols()];
            net.loss_and_gradient(inputs, labels, Loss::CrossEntropy, &mut workspace, &mut gradient);
        }
    });
    let own = time("gradient", &mut || {
        of.gradient().expect("gradients are finite");
    });
    let mut product = |what: &str, operator: &superlinear_curvature::CurvatureOperator<'_, f64, _>, k: usize| {
        let (rows, V) = (operator.n_params(), V.as_ref());
        time(what, &mut || {
            operator.multiply(out.as_mut().submatrix_mut(0, 0, rows, k), V.submatrix(0, 0, rows, k));
        })
    };
    let one = product("H v", &hessian, 1);
    let many = product("H V, 32 vectors", &hessian, 32);
    let eight = product("H V, 8 vectors", &hessian, 8);
    let eight_squares = product("E[h²] V, 8 vectors", &squared_hessian, 8);
    let middle_one = product("second dense layer, H v", &middle_hessian, 1);
    let middle_many = product("second dense layer, H V, 32 vectors", &middle_hessian, 32);
    let squares = product("second dense layer, E[h²] V, 32 vectors", &middle_squares, 32);
    let (true, Some(training), Some(own), Some(one), Some(many)) = (measuring(), training, own, one, many) else {
        return;
    };
    let machine = pool.install(|| matmul_speed_f64(Par::Seq));
    let gradient = training.min(own);
    println!(
        "operators {name} N={n} P={P}: gradient {:.1} ms (training's {:.1}, own {:.1}), {:.0} % of this machine's \
         f64 matrix product ({:.0} GFLOP/s, 1 thread); H v = {:.2} gradients; 32 vectors = {:.1} H v",
        1e3 * gradient,
        1e3 * training,
        1e3 * own,
        100.0 * architecture.training_flops() as f64 * n as f64 / gradient / machine,
        machine / 1e9,
        one / gradient,
        many / one,
    );
    if let (Some(eight), Some(squares)) = (eight, eight_squares) {
        println!("operators {name}: E[h²] = {:.2} H of 8", squares / eight);
    }
    if let (Some(one), Some(many), Some(squares)) = (middle_one, middle_many, squares) {
        println!(
            "operators {name}, second dense layer: H v = {:.2} gradients; 32 vectors = {:.1} H v; E[h²] = {:.2} H \
             of 32\n",
            one / gradient,
            many / one,
            squares / many,
        );
    }
}

criterion_group!(benches, operators);
criterion_main!(benches);
