//! The noise covariance `C`, against all batches of a tiny set, and its mini-batch estimate.

use crate::cases::Case;
use crate::dense::{TOLERANCE, assert_close, mean, outer};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{AnalysedLayer, LayerFactors, layer_moments};
use superlinear_nets::{Activation, Loss};
use superlinear_noise::{Sampling, gradient_covariance, minibatch_covariance, noise_covariance};
use superlinear_spectra::eigh;

fn Sigma(layer: &AnalysedLayer) -> Mat<f64> {
    gradient_covariance(layer_moments(layer).gradient_second_moment, layer)
}

/// All ordered tuples of `batch` out of `n_samples`, repetitions allowed.
fn tuples(n_samples: usize, batch: usize) -> Vec<Vec<usize>> {
    (0..batch).fold(vec![vec![]], |shorter, _| {
        let longer = |tuple: &Vec<usize>, p| tuple.iter().copied().chain([p]).collect();
        shorter.iter().flat_map(|tuple| (0..n_samples).map(move |p| longer(tuple, p))).collect()
    })
}

/// The covariance of the batch gradient when all these batches are equally likely.
fn covariance_over(batches: &[Vec<usize>], gradients: &[Vec<f64>]) -> Mat<f64> {
    let P = gradients[0].len();
    let mean_of = |members: &[usize]| -> Vec<f64> {
        (0..P).map(|k| members.iter().map(|&p| gradients[p][k]).sum::<f64>() / members.len() as f64).collect()
    };
    let batch_gradients: Vec<Vec<f64>> = batches.iter().map(|batch| mean_of(batch)).collect();
    let centre: Vec<f64> =
        (0..P).map(|k| batch_gradients.iter().map(|g| g[k]).sum::<f64>() / batches.len() as f64).collect();
    mean(batch_gradients.iter().map(|g| {
        let centred: Vec<f64> = g.iter().zip(&centre).map(|(g, c)| g - c).collect();
        outer(&centred, &centred)
    }))
}

#[test]
fn equals_the_covariance_over_all_batches() {
    let n_samples = 6;
    for (activation, loss) in [(Activation::Relu, Loss::CrossEntropy), (Activation::Tanh, Loss::SoftmaxMse)] {
        let case = Case::random(&[3, 4, 3], activation, loss, n_samples, 41);
        for dense in 0..2 {
            let gradients: Vec<Vec<f64>> = case.truths(dense).into_iter().map(|truth| truth.gradient).collect();
            let Sigma = Sigma(&case.layer(dense));
            for batch in [1, 2, 3, 4] {
                let with = tuples(n_samples, batch);
                let C = noise_covariance(Sigma.as_ref(), batch, n_samples, Sampling::WithReplacement).unwrap();
                let truth = covariance_over(&with, &gradients);
                assert_close(C.as_ref(), truth.as_ref(), TOLERANCE, format!("with, B={batch}: {}", case.name));

                let increasing = |tuple: &&Vec<usize>| tuple.windows(2).all(|pair| pair[0] < pair[1]);
                let without: Vec<Vec<usize>> = with.iter().filter(increasing).cloned().collect();
                let C = noise_covariance(Sigma.as_ref(), batch, n_samples, Sampling::WithoutReplacement).unwrap();
                let truth = covariance_over(&without, &gradients);
                assert_close(C.as_ref(), truth.as_ref(), TOLERANCE, format!("without, B={batch}: {}", case.name));
            }
            // One batch of everything has no noise.
            let C = noise_covariance(Sigma.as_ref(), 6, 6, Sampling::WithoutReplacement).unwrap();
            assert_eq!(C.norm_max(), 0.0);
        }
    }
}

/// Mean and standard error of every entry of the estimator over `n_seeds` epochs.
fn estimate(layer: &AnalysedLayer, batch: usize, n_seeds: u64) -> (Mat<f64>, Mat<f64>) {
    let draw = |seed| minibatch_covariance(layer, batch, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    let P = layer.n_params();
    let (mut total, mut squares) = (Mat::<f64>::zeros(P, P), Mat::<f64>::zeros(P, P));
    for seed in 0..n_seeds {
        let C = draw(seed);
        total += &C;
        squares += Mat::from_fn(P, P, |i, j| C[(i, j)] * C[(i, j)]);
    }
    let n = n_seeds as f64;
    let mean = total * faer::Scale(1.0 / n);
    let error = Mat::from_fn(P, P, |i, j| {
        let variance = (squares[(i, j)] / n - mean[(i, j)] * mean[(i, j)]).max(0.0);
        (variance / (n - 1.0)).sqrt()
    });
    (mean, error)
}

#[test]
fn the_minibatch_estimate_is_unbiased_for_batches_without_replacement() {
    // A whole number of batches, and a rest that is left out.
    for (n_samples, batch) in [(12, 4), (11, 4)] {
        let case = Case::random(&[2, 3, 3], Activation::Tanh, Loss::CrossEntropy, n_samples, 51);
        let layer = case.layer(0);
        let (found, error) = estimate(&layer, batch, 4_000);
        let Sigma = Sigma(&layer);
        let C = noise_covariance(Sigma.as_ref(), batch, n_samples, Sampling::WithoutReplacement).unwrap();
        let other = noise_covariance(Sigma.as_ref(), batch, n_samples, Sampling::WithReplacement).unwrap();
        for i in 0..C.nrows() {
            for j in 0..C.ncols() {
                let off = (found[(i, j)] - C[(i, j)]).abs() / error[(i, j)];
                assert!(off <= 4.0, "N={n_samples}, entry ({i}, {j}): {off} standard errors off");
            }
            // The test can tell the two ways of sampling apart.
            assert!((found[(i, i)] - other[(i, i)]).abs() > 4.0 * error[(i, i)], "N={n_samples}, {i}");
        }
    }
}

#[test]
fn the_minibatch_estimate_has_one_rank_less_than_batches() {
    let case = Case::random(&[5, 4, 3], Activation::Tanh, Loss::CrossEntropy, 24, 61);
    let layer = case.layer(0);
    for batch in [3, 4, 6, 8] {
        let C = minibatch_covariance(&layer, batch, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
        let values = eigh(C.as_ref()).unwrap().values;
        let rank = values.iter().filter(|&&x| x > 1e-10 * values[0]).count();
        // N/B batches; their deviations from the mean of all samples add up to zero.
        assert_eq!(rank, 24 / batch - 1, "B={batch}");
        assert!(values[values.len() - 1] > -1e-12 * values[0], "B={batch}: not PSD");
    }
    // With a rest left out the deviations are independent: rank N/B, rounded down.
    let C = minibatch_covariance(&layer, 5, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    let values = eigh(C.as_ref()).unwrap().values;
    assert_eq!(values.iter().filter(|&&x| x > 1e-10 * values[0]).count(), 4);
}

#[test]
fn the_minibatch_draw_is_stable() {
    // Gradients p³ of a 1 × 1 layer: no two partitions into pairs give the same estimate.
    let n_samples = 8;
    let power = |p: usize| (p as f64).powi(3);
    let deltas = Mat::from_fn(1, n_samples, |_, p| power(p));
    let activities = Mat::full(1, n_samples, 1.0);
    let factors = LayerFactors { activities, deltas, curvatures: vec![0.0; n_samples], weight: None, labels: None };
    let layer = AnalysedLayer::from_factors(factors).unwrap();
    let found = minibatch_covariance(&layer, 2, &mut ChaCha8Rng::seed_from_u64(7)).unwrap()[(0, 0)];
    // The batches of seed 7, recorded from this implementation: another draw changes published numbers.
    let batches = [[0, 6], [1, 7], [2, 5], [3, 4]];
    let mean = (0..n_samples).map(power).sum::<f64>() / n_samples as f64;
    let deviation = |[p, q]: [usize; 2]| (power(p) + power(q)) / 2.0 - mean;
    let expected = batches.iter().map(|&batch| deviation(batch).powi(2)).sum::<f64>() / batches.len() as f64;
    assert!((found / expected - 1.0).abs() < 1e-14, "{found} {expected}");
}
