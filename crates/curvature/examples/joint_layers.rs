//! Several dense layers together: `H`, `Σ` and `M₂` in all their weights, how long each takes beside this machine's own
//! matrix product, and how much of each lies between layers.
//!
//! `cargo run --release -p superlinear-curvature --example joint_layers [-- WIDTH SAMPLES]`
//!
//! Four layers of `WIDTH × WIDTH`, so `P = 4 WIDTH²`; 50 and 20000 give a Hessian of 10,000 parameters in half a minute
//! of two cores and 1.2 GB.
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, MatRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use superlinear_curvature::{JointError, JointLayers};
use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};

/// Memory that a moment may take.
const LIMIT: u64 = 8 << 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let width: usize = args.next().map_or(Ok(10), |width| width.parse())?;
    let n_samples: usize = args.next().map_or(Ok(2_000), |n| n.parse())?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let architecture = Architecture::mlp(&[20, width, width, width, width, width, 10], Activation::Relu)?;
    let net = Network::<f64>::init(architecture, &mut rng);
    let inputs = Mat::from_fn(20, n_samples, |_, _| 2.0 * rng.random::<f64>() - 1.0);
    let samples = DenseSamples::new(inputs, (0..n_samples).map(|p| (p % 10) as u8).collect());

    let joint = JointLayers::collect(&net, &[1, 2, 3, 4], Loss::CrossEntropy, &samples)?;
    let (P, N) = (joint.n_params() as f64, n_samples as f64);
    println!("four layers of {width} × {width}, P = {P}, N = {N}; this machine's product: {:.0} GFLOP/s", machine());
    // Ordered pairs of different layers are 3/4 of P², the diagonal blocks 1/4.
    moment("H", N * P * P * (0.75 * 2.0 + 0.25 * 0.5), &joint, || joint.hessian(LIMIT))?;
    moment("Σ", N * P * P, &joint, || joint.noise_covariance(LIMIT))?;
    moment("M₂", N * P * P * (0.75 * 4.0 + 0.25 * 8.0), &joint, || joint.hessian_second_moment(LIMIT))?;
    Ok(())
}

/// Forms one moment and says what it took, and the share of its squared norm in the blocks of two different layers.
fn moment(
    name: &str,
    flops: f64,
    joint: &JointLayers<'_>,
    form: impl Fn() -> Result<Mat<f64>, JointError>,
) -> Result<(), JointError> {
    let start = Instant::now();
    let X = form()?;
    let seconds = start.elapsed().as_secs_f64();
    let own = joint.ranges().iter().map(|r| X.as_ref().submatrix(r.start, r.start, r.len(), r.len()).squared_norm_l2());
    let between = 1.0 - own.sum::<f64>() / X.squared_norm_l2();
    println!(
        "{name:>2}: {seconds:7.2} s, {:3.0} GFLOP/s, {:4.1} % of ‖{name}‖² between layers",
        flops / seconds / 1e9,
        100.0 * between
    );
    Ok(())
}

/// GFLOP/s of the fastest of five products of order 1024, on the threads that the moments have.
fn machine() -> f64 {
    const N: usize = 1024;
    let A = Mat::from_fn(N, N, |i, j| ((i * 7 + j * 3) % 11) as f64);
    let time = |A: MatRef<'_, f64>| {
        let start = Instant::now();
        std::hint::black_box(A * A);
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..5).map(|_| time(A.as_ref())).fold(f64::INFINITY, f64::min);
    2.0 * (N as f64).powi(3) / fastest / 1e9
}
