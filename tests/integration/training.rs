//! Training: no allocation inside a step, the same path as a slow loop in `f64`, and real digits learned.

use crate::reference::Reference;
use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::sync::Mutex;
use superlinear_datasets::{Classes, Dataset, DrawPolicy, Normalisation, draw_test, draw_train, embedded};
use superlinear_nets::{Activation, Architecture, DenseSamples, ImageShape, Loss, Network, Samples};
use superlinear_training::{CosineSchedule, Ended, ImageSamples, SgdConfig, Trained, evaluate, train};

fn digits<'a>(mnist: &'a Dataset, n_classes: usize, per_class: usize, rng: &mut ChaCha8Rng) -> ImageSamples<'a> {
    let classes = Classes::first(n_classes).unwrap();
    let drawn = draw_train(&mnist.train, &classes, per_class, DrawPolicy::ExactPerClass, rng).unwrap();
    ImageSamples::drawn(&mnist.train, drawn, Normalisation::of(mnist.name))
}

fn mnist_net(rng: &mut ChaCha8Rng) -> Network<f32> {
    Network::init(Architecture::mlp(&[784, 50, 50, 10], Activation::Relu).unwrap(), rng)
}

fn run(net: Network<f32>, samples: &impl Samples<f32>, config: &SgdConfig, seed: u64) -> Trained {
    train(net, samples, config, &mut ChaCha8Rng::seed_from_u64(seed), |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_step_allocates_nothing() {
    let mnist = embedded::mnist();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let net = mnist_net(&mut rng);
    for loss in [Loss::CrossEntropy, Loss::SoftmaxMse] {
        let allocations = |per_class: usize, epochs: usize| {
            let samples = digits(&mnist, 10, per_class, &mut ChaCha8Rng::seed_from_u64(2));
            let net = net.clone();
            let config = SgdConfig { epochs, ..SgdConfig::paper(loss) };
            allocation_counter::measure(|| drop(run(net, &samples, &config, 3))).count_total
        };
        // What is made once in a process is made here.
        allocations(20, 1);
        let few = allocations(20, 1);
        assert!(few > 0, "the buffers of a run are allocated, so the counter counts");
        assert_eq!(allocations(200, 1), few, "{loss}: 40 steps and 4 steps");
        // A last batch that is short: 210 is not a multiple of 50.
        assert_eq!(allocations(21, 1), few, "{loss}: with a short batch");
        assert_eq!(allocations(20, 6), few, "{loss}: six epochs and one");
    }
}

#[test]
fn a_step_of_a_convolutional_network_allocates_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let images = ImageShape { channels: 2, height: 9, width: 8 };
    let net = Network::<f32>::init(Architecture::paper_cnn(images).unwrap(), &mut rng);
    let inputs = Mat::from_fn(images.dim(), 105, |_, _| rng.random::<f32>() - 0.5);
    let samples = DenseSamples::new(inputs, (0..105).map(|p| (p % 10) as u8).collect());
    let config = |epochs| SgdConfig { epochs, ..SgdConfig::paper(Loss::CrossEntropy) };
    // The counter sees its own thread, so one thread does all.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let allocations = |epochs: usize| {
        let net = net.clone();
        pool.install(|| allocation_counter::measure(|| drop(run(net, &samples, &config(epochs), 3))).count_total)
    };
    // What is made once in a process is made here.
    allocations(1);
    let few = allocations(1);
    assert!(few > 0, "the buffers of a run are allocated, so the counter counts");
    // Three steps an epoch, the last of five samples.
    assert_eq!(allocations(4), few);
}

/// Samples that note in which order they are asked for.
struct Recorded {
    samples: DenseSamples<f32>,
    visits: Mutex<Vec<usize>>,
}

impl Samples<f32> for Recorded {
    fn n_samples(&self) -> usize {
        self.samples.n_samples()
    }
    fn input_dim(&self) -> usize {
        self.samples.input_dim()
    }
    fn label(&self, p: usize) -> u8 {
        self.samples.label(p)
    }
    fn write_input(&self, p: usize, out: &mut [f32]) {
        self.visits.lock().unwrap().push(p);
        self.samples.write_input(p, out);
    }
}

/// SGD in `f64` over given batches, with derivatives from hyper-dual numbers: parameters and mean loss by epoch.
fn slow_descent(
    widths: &[usize],
    activation: Activation,
    config: &SgdConfig,
    mut params: Vec<f64>,
    data: &[(Vec<f64>, u8)],
    visits: &[usize],
) -> (Vec<f64>, Vec<f64>, usize) {
    let mut losses = Vec::new();
    let mut n_clipped = 0;
    for (epoch, order) in visits.chunks(data.len()).enumerate() {
        let angle = std::f64::consts::PI * epoch as f64 / config.schedule.t_max as f64;
        let (top, floor) = (config.schedule.initial, config.schedule.floor);
        let rate = floor + (top - floor) * (1.0 + angle.cos()) / 2.0;
        let mut total = 0.0;
        for batch in order.chunks(config.batch) {
            let reference = Reference::new(widths, activation, config.loss, &params);
            let mut gradient = vec![0.0; params.len()];
            for &p in batch {
                let (loss, g) = reference.in_all_weights(&data[p].0, data[p].1);
                total += loss;
                gradient.iter_mut().zip(&g).for_each(|(sum, g)| *sum += g / batch.len() as f64);
            }
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let shrink = if norm > config.clip { config.clip / norm } else { 1.0 };
            n_clipped += usize::from(norm > config.clip);
            params.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= rate * shrink * g);
        }
        losses.push(total / data.len() as f64);
    }
    (params, losses, n_clipped)
}

#[test]
fn follows_a_slow_loop_in_double_precision() {
    let widths = [4, 6, 5, 3];
    let n_samples = 22;
    for (k, (activation, loss, clip)) in [
        (Activation::Relu, Loss::CrossEntropy, 5.0),
        (Activation::Relu, Loss::SoftmaxMse, 5.0),
        (Activation::Tanh, Loss::LinearMse, 5.0),
        // A clip that is felt in most steps but not in all.
        (Activation::Tanh, Loss::CrossEntropy, 0.35),
    ]
    .into_iter()
    .enumerate()
    {
        let mut rng = ChaCha8Rng::seed_from_u64(90 + k as u64);
        let net = Network::<f32>::init(Architecture::mlp(&widths, activation).unwrap(), &mut rng);
        let inputs = Mat::from_fn(4, n_samples, |_, _| 2.0 * rng.random::<f32>() - 0.5);
        let labels: Vec<u8> = (0..n_samples).map(|p| (p % 3) as u8).collect();
        let data: Vec<(Vec<f64>, u8)> =
            (0..n_samples).map(|p| ((0..4).map(|i| f64::from(inputs[(i, p)])).collect(), labels[p])).collect();
        let recorded = Recorded { samples: DenseSamples::new(inputs, labels), visits: Mutex::default() };
        // 22 samples in batches of 5: the last of an epoch has 2. A schedule short enough to matter.
        let schedule = CosineSchedule { initial: 0.3, floor: 0.01, t_max: 8 };
        let config = SgdConfig { batch: 5, epochs: 6, clip, schedule, ..SgdConfig::paper(loss) };
        let trained = run(net.clone(), &recorded, &config, 4);
        let visits = recorded.visits.into_inner().unwrap();

        // Every epoch visits every sample once, in an order of its own.
        let orders: Vec<&[usize]> = visits.chunks(n_samples).collect();
        assert_eq!(orders.len(), 6);
        for (epoch, order) in orders.iter().enumerate() {
            let mut sorted = order.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n_samples).collect::<Vec<_>>(), "epoch {epoch}");
            assert!(orders[..epoch].iter().all(|earlier| earlier != order), "epoch {epoch}");
        }

        let start = net.params().iter().map(|&w| f64::from(w)).collect();
        let (params, losses, n_clipped) = slow_descent(&widths, activation, &config, start, &data, &visits);
        let name = format!("{activation} {loss} clip {clip}");
        let expected = if clip < 1.0 { 1..30 } else { 0..1 };
        assert!(expected.contains(&n_clipped), "{name}: {n_clipped} steps of 30 are clipped");
        for ((&w, &truth), &before) in trained.net.params().iter().zip(&params).zip(net.params()) {
            assert!((f64::from(w) - truth).abs() <= 1e-4 * truth.abs().max(0.1), "{name}: {before} -> {w}, {truth}");
        }
        // Training went somewhere, so agreement says something.
        let moved = params.iter().zip(net.params()).map(|(w, &before)| (w - f64::from(before)).abs());
        assert!(moved.fold(0.0, f64::max) > 0.02, "{name}");
        for (record, truth) in trained.history.iter().zip(&losses) {
            assert!((record.loss - truth).abs() <= 1e-4 * truth, "{name}: {record:?} {truth}");
        }
    }
}

#[test]
fn learns_real_digits_and_the_same_seed_gives_the_same_bits() {
    let mnist = embedded::mnist();
    let config = SgdConfig { epochs: 10, ..SgdConfig::paper(Loss::CrossEntropy) };
    let learn = |seed: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let samples = digits(&mnist, 3, 300, &mut rng);
        let net = mnist_net(&mut rng);
        let trained = train(net, &samples, &config, &mut rng, |_| ControlFlow::Continue(())).unwrap();
        (samples, trained)
    };
    let (samples, trained) = learn(5);
    assert_eq!((trained.ended, trained.history.len()), (Ended::AllEpochs, 10));
    let (loss, accuracy) = evaluate(&trained.net, &samples, Loss::CrossEntropy);
    assert!(accuracy > 0.95, "training accuracy {accuracy}");
    assert!(loss < trained.history[0].loss, "{loss} {:?}", trained.history);
    // Digits not seen in training, too.
    let drawn = draw_test(&mnist.test, &Classes::first(3).unwrap(), 300, &mut ChaCha8Rng::seed_from_u64(6));
    let test = ImageSamples::drawn(&mnist.test, drawn, Normalisation::of(mnist.name));
    let (_, test_accuracy) = evaluate(&trained.net, &test, Loss::CrossEntropy);
    assert!(test_accuracy > 0.95, "test accuracy {test_accuracy}");

    let (_, again) = learn(5);
    assert_eq!(again.net, trained.net);
    assert_eq!(again.history, trained.history);
    assert_ne!(learn(6).1.net, trained.net);
}

#[test]
fn a_network_is_analysed_on_exactly_what_it_was_trained_on() {
    let mnist = embedded::mnist();
    let samples = digits(&mnist, 4, 5, &mut ChaCha8Rng::seed_from_u64(8));
    let (mut narrow, mut wide) = (vec![0.0_f32; 784], vec![0.0_f64; 784]);
    for p in 0..Samples::<f32>::n_samples(&samples) {
        samples.write_input(p, &mut narrow);
        samples.write_input(p, &mut wide);
        assert!(narrow.iter().zip(&wide).all(|(&x, &y)| f64::from(x) == y), "sample {p}");
        assert_eq!(Samples::<f32>::label(&samples, p), Samples::<f64>::label(&samples, p));
    }
}
