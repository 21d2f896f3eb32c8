//! Property tests of per-sample Hessians that are not this project's: softmax regression written in twenty lines.
//!
//! `cargo run --release -p superlinear-stats --features proptest --example your_hessians`
#![allow(non_snake_case)]

use faer::Mat;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use superlinear_stats::bounds::check_dense;
use superlinear_stats::strategies::{Sign, ensembles, orthonormal_bases};

const CLASSES: usize = 3;
const INPUTS: usize = 2;
const P: usize = CLASSES * INPUTS;

/// Yours: the Hessian of `−log softmax(W x)_y` in `vec(W)` for one input.
fn your_hessian(W: &[f64], x: &[f64]) -> Mat<f64> {
    let logits: Vec<f64> = W.chunks(INPUTS).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|f| (f - largest).exp()).collect();
    let q: Vec<f64> = exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect();
    Mat::from_fn(P, P, |r, c| {
        let (i, j) = (r / INPUTS, c / INPUTS);
        let S = if i == j { q[i] * (1.0 - q[i]) } else { -q[i] * q[j] };
        S * (x[r % INPUTS] * x[c % INPUTS])
    })
}

/// Yours: the diagonal `v_iᵀE_p[h_p²]v_i` of the second moment.
fn your_second_moment(hessians: &[Mat<f64>], V: &Mat<f64>) -> Vec<f64> {
    let mut diagonal = vec![0.0; V.ncols()];
    for h in hessians {
        let image = h * V;
        for (sum, column) in diagonal.iter_mut().zip(image.col_iter()) {
            *sum += column.squared_norm_l2() / hessians.len() as f64;
        }
    }
    diagonal
}

fn main() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(2_000) });

    // Your Hessians, along any directions: inside the wedge, and semidefinite as cross-entropy promises.
    let inputs = prop::collection::vec(prop::collection::vec(-3.0..3.0_f64, INPUTS), 1..10);
    let weights = prop::collection::vec(-2.0..2.0_f64, P);
    let test = runner.run(&(weights, inputs, orthonormal_bases(P)), |(W, inputs, V)| {
        let hessians: Vec<Mat<f64>> = inputs.iter().map(|x| your_hessian(&W, x)).collect();
        let check = check_dense(&hessians, V.as_ref()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(check.semidefinite, "an eigenvalue of {:e}", check.kappa_min);
        prop_assert_eq!(check.n_outside(), 0);
        Ok(())
    });
    test.expect("per-sample Hessians of softmax regression obey the bounds");

    // Your moments, on ensembles whose answer is known.
    let test = runner.run(&(ensembles(Sign::Indefinite, 4), orthonormal_bases(4)), |(ensemble, V)| {
        let unit = ensemble.kappa_max().powi(2);
        let truth = ensemble.diagonals(V.as_ref()).m2;
        for (found, truth) in your_second_moment(&ensemble.hessians(), &V).iter().zip(truth) {
            prop_assert!((found - truth).abs() <= 1e-12 * unit, "found {:e}, expected {:e}", found, truth);
        }
        Ok(())
    });
    test.expect("the second moment is that of the eigenpairs");
}
