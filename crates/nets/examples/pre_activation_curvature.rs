//! The curvature `S_p` that one sample has in a layer's pre-activation, and the Hessian `h_p = S_p ⊗ a_p a_pᵀ` in the
//! layer's weight that follows from it, each against central differences of gradients.
//!
//! `cargo run --release -p superlinear-nets --example pre_activation_curvature`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, Side};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_nets::{Activation, Architecture, Loss, Network, Tail, Workspace};

/// How far differences may be from a matrix, relative to its norm: rounding over the step, and the step squared.
const TOLERANCE: f64 = 1e-7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let input = Mat::from_fn(6, 1, |_, _| 4.0 * rng.random::<f64>() - 2.0);
    let label = 1;
    println!("One sample at the layer 8→7 of a network 6→8→7→9→4. S is 7 × 7, h is 56 × 56.");
    println!("tail  loss        eigenvalues of S from … to   ‖S − Gauss–Newton‖/‖S‖   differences: error of S   of h");
    for activation in [Activation::Tanh, Activation::Relu] {
        let net = Network::<f64>::init(Architecture::mlp(&[6, 8, 7, 9, 4], activation)?, &mut rng);
        let target = &net.architecture().dense_layers()[1];
        let mut workspace = Workspace::new(&net, 1);
        net.forward(input.as_ref(), &mut workspace);
        let output = |position| -> Vec<f64> { workspace.output(position, 1).col(0).iter().copied().collect() };
        let (a, z) = (output(target.position - 1), output(target.position));

        for loss in [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse] {
            let tail = Tail::new(&net, 1, loss);
            let mut at = tail.buffers();
            tail.curvature(&z, label, &mut at);
            let S = at.S.clone();
            tail.gauss_newton(&z, label, &mut at);
            let beyond = (&S - &at.S).norm_l2() / S.norm_l2();
            let h = Mat::from_fn(target.params.len(), target.params.len(), |r, c| {
                let ((o, i), (q, j)) = ((r / a.len(), r % a.len()), (c / a.len(), c % a.len()));
                S[(o, q)] * (a[i] * a[j])
            });

            // S is the derivative of δ in z.
            let error_of_S = relative_difference(&S, &z, |z| {
                tail.gradient(z, label, &mut at);
                at.delta.clone()
            });
            // h is the derivative in the weight of the gradient that a pass over the whole network gives.
            let (mut moved, mut gradient) = (net.clone(), vec![0.0; net.params().len()]);
            let error_of_h = relative_difference(&h, &net.params()[target.params.clone()], |w| {
                moved.params_mut()[target.params.clone()].copy_from_slice(w);
                let mut workspace = Workspace::new(&moved, 1);
                moved.loss_and_gradient(input.as_ref(), &[label], loss, &mut workspace, &mut gradient);
                gradient[target.params.clone()].to_vec()
            });

            let s = S.self_adjoint_eigenvalues(Side::Lower).map_err(|error| format!("eigenvalues of S: {error:?}"))?;
            println!(
                "{:<5} {:<11} {:>14.1e} … {:<9.1e} {beyond:>16.3} {error_of_S:>29.0e} {error_of_h:>6.0e}",
                activation.to_string(),
                loss.to_string(),
                s[0],
                s[s.len() - 1],
            );
            if activation == Activation::Relu && loss != Loss::SoftmaxMse {
                assert!(beyond < 1e-14, "{activation}, {loss}: has curvature that Gauss–Newton has not");
            }
            assert!(error_of_S < TOLERANCE && error_of_h < TOLERANCE, "{activation}, {loss}: not the derivative");
        }
    }
    Ok(())
}

/// `‖A − D‖/‖A‖` with `D` the derivative of `gradient` at `point`, by central differences.
fn relative_difference(A: &Mat<f64>, point: &[f64], mut gradient: impl FnMut(&[f64]) -> Vec<f64>) -> f64 {
    let step = 1e-5;
    let mut difference = A.clone();
    for k in 0..point.len() {
        for sign in [1.0, -1.0] {
            let mut moved = point.to_vec();
            moved[k] += sign * step;
            for (x, g) in difference.col_as_slice_mut(k).iter_mut().zip(gradient(&moved)) {
                *x -= sign * g / (2.0 * step);
            }
        }
    }
    difference.norm_l2() / A.norm_l2()
}
