//! The activity–weight duality at one layer of a small trained network: how well it predicts the gradients of single
//! partners, for every rule to choose them, and every term of the noise covariance that follows from it beside the true
//! `C`.
//!
//! `cargo run --release -p superlinear-noise --example duality`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, Scale};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{AnalysedLayer, layer_moments};
use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network, Workspace};
use superlinear_noise::{
    DualPerturbation, PartnerPolicy, Partners, Sampling, awd_batch_estimate, awd_moments, awd_terms, choose_partners,
    dual_perturbation, gradient_covariance, isotropy, noise_covariance, weight_variance,
};

/// Samples.
const N: usize = 600;
/// Samples a batch.
const B: usize = 50;
/// Shuffled epochs that the closed forms are held against.
const EPOCHS: usize = 4_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Three noisy clusters, and a network trained on them by gradient descent until all are well fitted, as the paper's
    // are.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let inputs = Mat::from_fn(8, N, |i, p| 2.0 * rng.random::<f64>() - 1.0 + if p % 3 == i { 2.0 } else { 0.0 });
    let labels: Vec<u8> = (0..N).map(|p| (p % 3) as u8).collect();
    let mut net = Network::<f64>::init(Architecture::mlp(&[8, 12, 12, 3], Activation::Relu)?, &mut rng);
    let (mut workspace, mut gradient) = (Workspace::new(&net, N), vec![0.0; net.params().len()]);
    for _ in 0..300 {
        net.loss_and_gradient(inputs.as_ref(), &labels, Loss::CrossEntropy, &mut workspace, &mut gradient);
        net.params_mut().iter_mut().zip(&gradient).for_each(|(w, g)| *w -= 0.3 * g);
    }
    let trained = net.loss(inputs.as_ref(), &labels, Loss::CrossEntropy, &mut workspace);
    println!("trained: loss {:.4}, {} of {N} right", trained.total / N as f64, trained.n_correct);

    let layer = AnalysedLayer::collect(&net, 1, Loss::CrossEntropy, &DenseSamples::new(inputs, labels))?;
    let Sigma = gradient_covariance(layer_moments(&layer).gradient_second_moment, &layer);
    let C = noise_covariance(Sigma.as_ref(), B, N, Sampling::WithoutReplacement)?;
    println!("second layer, 12→12, P = {}; C for batches of {B} without replacement", layer.n_params());

    println!("partners           ‖g_q − (g_p + x_p + y_p)‖/‖g_q − g_p‖   tr C_AWD/tr C   cosine of C_AWD with C");
    let policies = [
        ("uniform in class", PartnerPolicy::UniformInClass),
        ("nearest in class", PartnerPolicy::NearestInClass),
        ("as in the paper", PartnerPolicy::PAPER),
    ];
    let mut last = None;
    for (name, policy) in policies {
        let partners = choose_partners(&layer, policy, &mut rng)?;
        let dual = dual_perturbation(&layer, &partners)?;
        let (moments, awd) = awd_moments(&layer, &dual);
        let terms = awd_terms(awd, B, N)?;
        let total = terms.total();
        let (miss, size, cosine) =
            (median_miss(&layer, &partners, &dual), trace(&total) / trace(&C), cosine(&total, &C));
        println!("  {name:<16} {miss:>24.2} (median) {size:>23.2} {cosine:>17.3}");
        last = Some((dual, moments.M2, terms));
    }
    let (dual, M2, terms) = last.expect("three policies were tried");
    let total = terms.total();

    println!("terms, as in the paper         tr/tr C   cosine with C   with M₂");
    for (name, X) in [
        ("C", &C),
        ("C_AWD = C^hh + C^hg + C^gg", &total),
        ("C^hh", &terms.hh),
        ("C^hg", &terms.hg),
        ("C^gg", &terms.gg),
        ("C^hh, same sample", &terms.hh_same),
        ("  and locally diagonal", &terms.hh_local),
    ] {
        let (with_C, with_M2) = (cosine(X, &C), cosine(X, &M2));
        println!("  {name:<28} {:>7.3} {with_C:>12.3} {with_M2:>12.3}", trace(X) / trace(&C));
    }
    let spread = isotropy(&layer, &dual);
    println!(
        "Δw in the range of h_p: variance σ_w² = {:.3}, anisotropy over ranks {:.2} (0 for an isotropic Δw)",
        weight_variance(&terms.hh_same, &M2, B),
        spread.anisotropy
    );

    // The closed forms are means over all batches; the estimator looks at those of one epoch.
    let mut measured = Mat::zeros(C.nrows(), C.ncols());
    for _ in 0..EPOCHS {
        measured += awd_batch_estimate(&layer, &dual, B, &mut rng)?.total() * Scale(1.0 / EPOCHS as f64);
    }
    let missed = (&total - &measured).norm_l2() / total.norm_l2();
    println!("C_AWD from the batches of {EPOCHS} shuffled epochs misses the closed form by {:.1} %", 100.0 * missed);
    assert!(missed < 0.03, "the closed form is not the mean over batches");
    Ok(())
}

/// Median over samples of `‖g_q − (g_p + x_p + y_p)‖/‖g_q − g_p‖`, with `q` the partner of `p`.
fn median_miss(layer: &AnalysedLayer, partners: &Partners, dual: &DualPerturbation) -> f64 {
    let (a, deltas) = (layer.activities(), layer.deltas());
    let outer = |u: &Mat<f64>, v: &Mat<f64>, p: usize, q: usize| u.col(p) * v.col(q).transpose();
    let mut misses: Vec<f64> = (0..layer.n_samples())
        .map(|p| {
            let q = partners.of[p];
            let step = outer(deltas, a, q, q) - outer(deltas, a, p, p);
            let x = outer(&dual.responses, a, p, p);
            let y = outer(deltas, &dual.shifts, p, p);
            (&step - x - y).norm_l2() / step.norm_l2()
        })
        .collect();
    misses.sort_by(f64::total_cmp);
    misses[misses.len() / 2]
}

/// `⟨X, Y⟩/(‖X‖‖Y‖)`, with the inner product `tr(XᵀY)`.
fn cosine(X: &Mat<f64>, Y: &Mat<f64>) -> f64 {
    let inner: f64 = X.col_iter().zip(Y.col_iter()).map(|(x, y)| x.transpose() * y).sum();
    inner / (X.norm_l2() * Y.norm_l2())
}

fn trace(A: &Mat<f64>) -> f64 {
    (0..A.nrows()).map(|i| A[(i, i)]).sum()
}
