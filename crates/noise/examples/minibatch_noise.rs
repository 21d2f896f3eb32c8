//! The covariance `C` of a mini-batch gradient, exact for batches with and without replacement, beside that of the
//! gradients of batches actually drawn, and beside the estimator from shuffled epochs.
//!
//! `cargo run --release -p superlinear-noise --example minibatch_noise`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, MatRef, Scale};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{AnalysedLayer, layer_moments};
use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network, Workspace};
use superlinear_noise::{Sampling, batch_factor, gradient_covariance, minibatch_covariance, noise_covariance};

/// Samples.
const N: usize = 40;
/// Samples a batch.
const B: usize = 10;
/// Batches drawn.
const DRAWS: usize = 40_000;
/// The loss.
const LOSS: Loss = Loss::CrossEntropy;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let inputs = Mat::from_fn(5, N, |i, p| rng.random::<f64>() + if p % 3 == i { 1.0 } else { 0.0 });
    let labels: Vec<u8> = (0..N).map(|p| (p % 3) as u8).collect();
    let net = Network::<f64>::init(Architecture::mlp(&[5, 4, 3], Activation::Tanh)?, &mut rng);

    let samples = DenseSamples::new(inputs.clone(), labels.clone());
    let layer = AnalysedLayer::collect(&net, 0, LOSS, &samples)?;
    let Sigma = gradient_covariance(layer_moments(&layer).gradient_second_moment, &layer);
    println!("layer 5→4, P = {}, N = {N} samples in batches of B = {B}; tr Σ = {:.5}", layer.n_params(), trace(&Sigma));

    println!("batches              C/Σ         tr C exact  of {DRAWS} drawn  ‖C − drawn‖/‖C‖  expected of so many");
    for (name, sampling) in
        [("with replacement", Sampling::WithReplacement), ("without replacement", Sampling::WithoutReplacement)]
    {
        let C = noise_covariance(Sigma.as_ref(), B, N, sampling)?;
        let drawn = drawn_covariance(&net, (inputs.as_ref(), &labels), &layer.mean_gradient(), sampling, &mut rng);
        let factor = batch_factor(B, N, sampling)?;
        compare(&format!("{name:<19} {factor:.6} "), &C, &drawn, DRAWS);
    }

    // One epoch has N/B batches, so its estimate is rough; the mean over many is C without replacement.
    let C = noise_covariance(Sigma.as_ref(), B, N, Sampling::WithoutReplacement)?;
    let n_epochs = DRAWS / (N / B);
    let mut mean = Mat::zeros(C.nrows(), C.ncols());
    let mut one_epoch = 0.0;
    for _ in 0..n_epochs {
        let estimate = minibatch_covariance(&layer, B, &mut rng)?;
        one_epoch = missed(&C, &estimate);
        mean += estimate * Scale(1.0 / n_epochs as f64);
    }
    // The deviations of an epoch's batches add up to zero: one of them is no news.
    compare("mean over epochs             ", &C, &mean, n_epochs * (N / B - 1));
    println!("The last of {n_epochs} shuffled epochs alone misses C by {:.0} %.", 100.0 * one_epoch);
    Ok(())
}

/// Covariance of the first layer's gradient about its `mean` over all samples, of [`DRAWS`] batches, each a pass over
/// the network as SGD makes it.
fn drawn_covariance(
    net: &Network<f64>,
    (inputs, labels): (MatRef<'_, f64>, &[u8]),
    mean: &[f64],
    sampling: Sampling,
    rng: &mut impl Rng,
) -> Mat<f64> {
    let range = net.architecture().dense_layers()[0].params.clone();
    let (mut workspace, mut gradient) = (Workspace::new(net, B), vec![0.0; net.params().len()]);
    let mut order: Vec<usize> = (0..N).collect();
    let mut deviations = Mat::zeros(mean.len(), DRAWS);
    for draw in 0..DRAWS {
        let members: Vec<usize> = match sampling {
            Sampling::WithReplacement => (0..B).map(|_| rng.random_range(0..N)).collect(),
            Sampling::WithoutReplacement => {
                for k in 0..B {
                    order.swap(k, rng.random_range(k..N));
                }
                order[..B].to_vec()
            }
        };
        let batch = Mat::from_fn(inputs.nrows(), B, |i, k| inputs[(i, members[k])]);
        let labels: Vec<u8> = members.iter().map(|&p| labels[p]).collect();
        net.loss_and_gradient(batch.as_ref(), &labels, LOSS, &mut workspace, &mut gradient);
        let column = deviations.col_as_slice_mut(draw).iter_mut();
        for (x, (g, mean)) in column.zip(gradient[range.clone()].iter().zip(mean)) {
            *x = g - mean;
        }
    }
    &deviations * deviations.transpose() * Scale(1.0 / DRAWS as f64)
}

/// Prints the line that `name` begins, and fails where an estimate from `n` batches is not what `C` lets expect.
fn compare(name: &str, C: &Mat<f64>, estimate: &Mat<f64>, n: usize) {
    // Of normal noise, E‖Ĉ − C‖² = (tr²C + ‖C‖²)/n.
    let expected = ((trace(C).powi(2) / C.squared_norm_l2() + 1.0) / n as f64).sqrt();
    let missed = missed(C, estimate);
    println!("{name}   {:.6}    {:<15.6} {missed:>10.4} {expected:>17.4}", trace(C), trace(estimate));
    assert!(missed < 2.0 * expected, "{name}: not the covariance of these batches");
}

/// `‖C − Ĉ‖/‖C‖`.
fn missed(C: &Mat<f64>, estimate: &Mat<f64>) -> f64 {
    (C - estimate).norm_l2() / C.norm_l2()
}

fn trace(A: &Mat<f64>) -> f64 {
    (0..A.nrows()).map(|i| A[(i, i)]).sum()
}
