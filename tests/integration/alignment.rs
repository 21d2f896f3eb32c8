//! Per-sample spectra seen along the eigenvectors of `H`, against the dense moments.

use crate::cases::{ACTIVATIONS, Case, LOSSES};
use crate::dense::{TOLERANCE, assert_close, column, mean, product};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{alignments, gauss_newton, layer_moments, per_sample_hessians};
use superlinear_nets::{Activation, Loss};
use superlinear_spectra::{diagonal_in_basis, eigh};
use superlinear_stats::SpectralEnsemble;
use superlinear_stats::spectrum_edit::{EditFactors, SpectrumEdit};

/// The ensemble of all samples along the eigenvectors of `H`.
fn ensemble(case: &Case, V: &Mat<f64>) -> SpectralEnsemble {
    let layer = case.layer(1);
    let all: Vec<usize> = (0..layer.n_samples()).collect();
    let spectra: Vec<_> = per_sample_hessians(&layer, &all).iter().map(|h| h.eigenpairs()).collect();
    let kappa: Vec<Vec<f64>> = spectra.iter().map(|pairs| pairs.kappa.clone()).collect();
    SpectralEnsemble::new(&kappa, alignments(&spectra, V.as_ref())).unwrap()
}

#[test]
fn diagonals_of_the_whole_ensemble_are_those_of_the_moments() {
    let mut seed = 4_000;
    for activation in ACTIVATIONS {
        for loss in LOSSES {
            seed += 1;
            let case = Case::random(&[6, 5, 4, 3], activation, loss, 9, seed);
            let moments = layer_moments(&case.layer(1));
            let eigen = eigh(moments.H.as_ref()).unwrap();
            let ensemble = ensemble(&case, &eigen.vectors);
            let found = ensemble.diagonals();
            let m2 = diagonal_in_basis(moments.M2.as_ref(), eigen.vectors.as_ref());
            assert_close(column(&found.h), column(&eigen.values), TOLERANCE, format!("H_ii: {}", case.name));
            assert_close(column(&found.m2), column(&m2), TOLERANCE, format!("(M₂)_ii: {}", case.name));
            // Homogenised to one eigenvalue without a tail, M₂ is that eigenvalue times H: γ = 1.
            let rng = &mut ChaCha8Rng::seed_from_u64(0);
            let factors = EditFactors { tail: 0.0, stiff: 0.0, soft: 0.0 };
            let edited = ensemble.edited(SpectrumEdit::Homogenised, factors, rng);
            if loss == Loss::CrossEntropy && activation == Activation::Relu {
                let kappa = edited.iter().fold(0.0_f64, |most, kappa| most.max(*kappa));
                let diagonals = ensemble.diagonals_with(&edited);
                let scaled: Vec<f64> = diagonals.h.iter().map(|h| kappa * h).collect();
                assert_close(column(&diagonals.m2), column(&scaled), 1e-13, format!("homogenised: {}", case.name));
            }
        }
    }
}

#[test]
fn the_gauss_newton_matrix_is_h_where_nothing_is_left_out_and_definite_elsewhere() {
    for activation in ACTIVATIONS {
        for (k, loss) in LOSSES.into_iter().enumerate() {
            let case = Case::random(&[6, 5, 4, 3], activation, loss, 9, 4_100 + k as u64);
            let layer = case.layer(1);
            let G = gauss_newton(&layer).unwrap();
            let H = layer_moments(&layer).H;
            let largest = eigh(G.as_ref()).unwrap().values[0];
            let least = *eigh(G.as_ref()).unwrap().values.last().unwrap();
            assert!(least >= -1e-14 * largest, "PSD: {}", case.name);
            if activation != Activation::Tanh && loss != Loss::SoftmaxMse {
                assert_close(G.as_ref(), H.as_ref(), 1e-13, format!("G = H: {}", case.name));
            } else {
                assert!((&G - &H).norm_max() > 1e-6 * H.norm_max(), "G ≠ H: {}", case.name);
            }
        }
    }
}

/// Under softmax-MSE, `(2/n_out) Σ_c E[∇q_c ∇q_cᵀ]` with gradients in the layer's weights by differences.
#[test]
fn the_gauss_newton_matrix_of_softmax_mse_is_made_of_gradients_of_probabilities() {
    let case = Case::random(&[4, 3, 3], Activation::Tanh, Loss::SoftmaxMse, 3, 4_200);
    let G = gauss_newton(&case.layer(1)).unwrap();
    let range = case.net.architecture().dense_layers()[1].params.clone();
    let probabilities = |net: &superlinear_nets::Network<f64>| -> Vec<Vec<f64>> {
        let inputs = Mat::from_fn(4, 3, |i, p| case.inputs[p][i]);
        let mut workspace = superlinear_nets::Workspace::new(net, 3);
        let logits = net.forward(inputs.as_ref(), &mut workspace);
        (0..3)
            .map(|p| crate::reference::softmax(logits.col(p).iter().copied().collect::<Vec<f64>>().as_slice()))
            .collect()
    };
    let step = 1e-6;
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for k in range.clone() {
        let mut net = case.net.clone();
        net.params_mut()[k] += step;
        up.push(probabilities(&net));
        net.params_mut()[k] -= 2.0 * step;
        down.push(probabilities(&net));
    }
    let truth = mean((0..3).map(|p| {
        let J = Mat::from_fn(3, range.len(), |c, k| (up[k][p][c] - down[k][p][c]) / (2.0 * step));
        product(&J.transpose().to_owned(), &J) * faer::Scale(2.0 / 3.0)
    }));
    assert_close(G.as_ref(), truth.as_ref(), 1e-8, "softmax-MSE");
}
