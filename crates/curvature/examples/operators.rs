//! Curvature of a small convolutional network, without any of the workspace's programs: the largest eigenvalue of the
//! Hessian over all parameters, what of it lies in each layer, and curvature beside gradient noise along its direction.
//!
//! `cargo run --release -p superlinear-curvature --example operators`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, MatRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{MeanLoss, Selection};
use superlinear_nets::{Activation, Architecture, Bias, DenseSamples, ImageShape, Layer, Loss, Network};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Bars: class 0 is horizontal, class 1 vertical, on noise.
    let image = ImageShape { channels: 1, height: 8, width: 8 };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let n_samples = 200;
    let inputs = Mat::from_fn(image.dim(), n_samples, |k, p| {
        let along = if p % 2 == 0 { k / 8 } else { k % 8 };
        let bar = if along == p / 2 % 8 { 1.0 } else { 0.0 };
        bar + 0.2 * (rng.random::<f64>() - 0.5)
    });
    let samples = DenseSamples::new(inputs, (0..n_samples).map(|p| (p % 2) as u8).collect());
    let architecture = Architecture::new(vec![
        Layer::Conv3x3 { input: image, c_out: 4 },
        Layer::Activation(Activation::Tanh),
        Layer::MaxPool2x2,
        Layer::GlobalAveragePool,
        Layer::Dense { d_in: 4, d_out: 2, bias: Bias::Learned },
    ])?;
    let net = Network::<f64>::init(architecture, &mut rng);

    let all = Selection::all(net.architecture());
    let mean_loss = MeanLoss::new(&net, Loss::CrossEntropy, &samples, all.clone())?;
    let hessian = mean_loss.hessian();

    // Power iteration: all that it needs is the product.
    let mut v = Mat::from_fn(hessian.n_params(), 1, |_, _| rng.random::<f64>() - 0.5);
    let mut lambda = 0.0;
    for _ in 0..200 {
        v = &v * faer::Scale(1.0 / v.norm_l2());
        let Hv = hessian.product(v.as_ref())?;
        lambda = inner(v.as_ref(), Hv.as_ref());
        v = Hv;
    }
    v = &v * faer::Scale(1.0 / v.norm_l2());
    println!("P = {}, largest eigenvalue of the Hessian in magnitude: {lambda:.4}", hessian.n_params());
    let mut first = 0;
    for (parameter, range) in all.parameters().iter().zip(all.ranges()) {
        let part = v.as_ref().subrows(first, range.len());
        println!(
            "  {:>5.1} % of its vector in the {} of layer {}",
            100.0 * inner(part, part),
            parameter.part,
            parameter.layer
        );
        first += range.len();
    }

    // The paper's comparison along one direction, for any layer: curvature, its second moment, and noise.
    let Sigma = mean_loss.noise_covariance()?;
    let M2 = mean_loss.hessian_second_moment();
    for operator in [&hessian, &mean_loss.gauss_newton(), &mean_loss.empirical_fisher(), &Sigma, &M2] {
        let along = inner(v.as_ref(), operator.product(v.as_ref())?.as_ref());
        println!("{:>18}: vᵀXv = {along:.5}", operator.name());
    }

    // Small enough for a dense matrix; what it takes is known beforehand.
    let limit = 1 << 20;
    println!("dense: {} bytes of {limit} allowed", hessian.dense_bytes());
    let H = hessian.to_dense(limit)?;
    println!("‖H‖ = {:.4}, tr H = {:.4}", H.norm_l2(), (0..H.nrows()).map(|i| H[(i, i)]).sum::<f64>());
    Ok(())
}

fn inner(u: MatRef<'_, f64>, v: MatRef<'_, f64>) -> f64 {
    (u.transpose() * v)[(0, 0)]
}
