//! Matrices that nobody forms, made of curvature operators: what the Hessian has beyond Gauss–Newton, its commutator
//! with `M₂`, Gauss–Newton within the top of the Hessian, and the exponent of noise on curvature with its errors.
//!
//! Solvers and the algebra of operators are those of `superlinear-spectra`; anything else that takes faer's `LinOp`
//! would do.
//!
//! `cargo run --release -p superlinear-curvature --example compositions`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{Diagonal, MeanLoss, Selection};
use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};
use superlinear_spectra::{
    LanczosConfig, LinearCombination, Product, Restricted, TraceConfig, Wanted, frobenius_squared, lanczos, to_dense,
    xtrace,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Four noisy clusters on a circle, and a network with two hidden layers.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let n_samples = 600;
    let inputs = Mat::from_fn(10, n_samples, |i, p| {
        let angle = (p % 4) as f64 * std::f64::consts::FRAC_PI_2;
        let centre = [angle.cos(), angle.sin()].get(i).copied().unwrap_or(0.0);
        2.0 * centre + rng.random::<f64>() - 0.5
    });
    let samples = DenseSamples::new(inputs, (0..n_samples).map(|p| (p % 4) as u8).collect());
    let net = Network::<f64>::init(Architecture::mlp(&[10, 24, 24, 4], Activation::Tanh)?, &mut rng);

    // Both hidden layers' weights together.
    let selection = Selection::dense_weights(net.architecture(), [0, 1])?;
    let of = MeanLoss::new(&net, Loss::CrossEntropy, &samples, selection)?;
    let (H, G, M2) = (of.hessian(), of.gauss_newton(), of.hessian_second_moment());
    let P = of.n_params();
    let K = 12;
    let config = LanczosConfig::default();
    let top = lanczos(&H, Wanted::Largest(K), &config, &mut rng)?.into_converged()?;
    println!("P = {P}; largest eigenvalues of H: {:.4?}", &top.values()[..4]);

    // H − G: the curvature of the network itself, of both signs.
    let beyond = LinearCombination::zero(P).plus(1.0, &H).plus(-1.0, &G);
    let ends = lanczos(&beyond, Wanted::Ends { largest: 1, smallest: 1 }, &config, &mut rng)?.into_converged()?;
    println!("H − Gauss–Newton has eigenvalues from {:.4} to {:.4}", ends.values()[1], ends.values()[0]);

    // ‖[H, M₂]‖² = tr(CᵀC) with the skew C = HM₂ − M₂H, so CᵀC = −C².
    let (HM, MH) = (Product::new(&H, &M2), Product::new(&M2, &H));
    let C = LinearCombination::zero(P).plus(1.0, &HM).plus(-1.0, &MH);
    let square = Product::new(&C, &C);
    let gram = LinearCombination::zero(P).plus(-1.0, &square);
    let budget = TraceConfig { budget: 60, ..Default::default() };
    let [commutator, h, m2] = [
        xtrace(&gram, &budget, &mut rng)?,
        frobenius_squared(&H, &budget, &mut rng)?,
        frobenius_squared(&M2, &budget, &mut rng)?,
    ];
    let relative = (commutator.value / (h.value * m2.value)).sqrt();
    println!("‖[H, M₂]‖/(‖H‖‖M₂‖) = {relative:.4}, from {} products", commutator.products + h.products + m2.products);

    // Gauss–Newton among the leading directions of H: a K × K matrix.
    let within = to_dense(&Restricted::new(&G, top.vectors()), 1 << 16)?;
    let share: f64 = (0..K).map(|i| within[(i, i)]).sum::<f64>() / top.values().iter().sum::<f64>();
    println!("Gauss–Newton has {:.1} % of the curvature along these {K} directions", 100.0 * share);

    // Noise beside curvature along each of them, with errors over draws of the samples and of the directions.
    let found = of.diagonals_along(top.vectors())?;
    let rotations = top.rotations();
    let turned = found.moved_by(Diagonal::Covariance, &rotations.outside, rotations.inside.as_ref());
    let errors = [Diagonal::Hessian, Diagonal::Covariance].map(|of| found.errors(of));
    println!("     H_ii ± samples          Σ_ii ± samples    ± vectors");
    for i in 0..K {
        let (h, sigma) = (found.hessian[i], found.covariance[i]);
        println!("{h:>9.5} ± {:<9.1e} {sigma:>12.4e} ± {:<9.1e} {:.0e}", errors[0][i], errors[1][i], turned[i]);
    }
    Ok(())
}
