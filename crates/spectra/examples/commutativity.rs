//! Every diagnostic of a made-up pair, timed: `C = H^1.4` in a basis that is slightly turned away from that of `H`.
//!
//! `cargo run --release -p superlinear-spectra --example commutativity -- [P] [draws]`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, Scale};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use std::time::Instant;
use superlinear_spectra::{
    HaarNull, InEigenbasis, Windows, eigh, expected_inverse_participation_ratio, expected_overlap, haar_orthogonal,
    in_basis, inverse_participation_ratio, sample_haar_null, top_overlaps,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let P = arguments.next().transpose()?.unwrap_or(300);
    let n_draws = arguments.next().transpose()?.unwrap_or(9);
    let mut rng = ChaCha8Rng::seed_from_u64(1);

    let lambda = |k: usize| (1.0 + k as f64).powf(-1.5);
    let Q = haar_orthogonal(P, &mut rng);
    let H = in_basis(Mat::from_fn(P, P, |i, j| if i == j { lambda(i) } else { 0.0 }).as_ref(), Q.transpose());
    let power = Mat::from_fn(P, P, |i, j| if i == j { lambda(i).powf(1.4) } else { 0.0 });
    let noise = haar_orthogonal(P, &mut rng);
    let C = in_basis(power.as_ref(), Q.transpose()) + Scale(0.05) * in_basis(power.as_ref(), noise.transpose());

    let start = Instant::now();
    let (eigen_H, eigen_C) = (eigh(H.as_ref())?, eigh(C.as_ref())?);
    println!("P = {P}: two eigendecompositions, {:.2?}", start.elapsed());

    let start = Instant::now();
    let pair = InEigenbasis::new(C.as_ref(), &eigen_H)?;
    println!("K = VᵀCV, checked: {:.2?}", start.elapsed());
    let start = Instant::now();
    let found = pair.diagnostics(&Windows::PAPER);
    println!("all diagnostics of all windows: {:.2?}", start.elapsed());
    let start = Instant::now();
    let null = HaarNull::of_pair(&pair);
    println!("closed-form null: {:.2?}", start.elapsed());
    let start = Instant::now();
    let coupling = pair.coupling();
    println!("R: {:.2?}, {} directions undefined", start.elapsed(), coupling.undefined.len());
    let start = Instant::now();
    let draws = sample_haar_null(&eigen_C.values, &eigen_H.values, &Windows::PAPER, n_draws, &mut rng)?;
    println!("{n_draws} draws of the null: {:.2?}", start.elapsed());

    println!("\ndirections   commutator  baseline   leakage   recovery  mean |R|  var |R|");
    for d in found.iter() {
        let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.2e}"));
        println!(
            "{:<12} {:<11} {:<10} {:<9} {:<9} {:<9} {}",
            format!("{:?}", d.window.range()),
            number(d.commutator),
            number(null.baseline_in(d.window)),
            number(d.leakage),
            number(d.recovery),
            number(d.coupling_mean),
            number(d.coupling_variance),
        );
        if let Some(test) = draws.test(d, |d| d.commutator) {
            println!("             draws: {:.3e} ± {:.1e}, p = {:.3}", test.mean, test.standard_error, test.p_value);
        }
    }

    println!();
    let start = Instant::now();
    for found in top_overlaps(&eigen_H, &eigen_C, &[1, 10.min(P), 100.min(P)])? {
        let random = expected_overlap(found.k, found.k, P);
        println!("overlap of the top {}: {:.3} (random {random:.3})", found.k, found.overlap);
    }
    println!("overlaps: {:.2?}", start.elapsed());
    let ratio = inverse_participation_ratio(eigen_H.vectors.col_as_slice(0))?;
    let random = expected_inverse_participation_ratio(P);
    println!("inverse participation ratio of v_1: {ratio:.2e} (random {random:.2e})");
    Ok(())
}
