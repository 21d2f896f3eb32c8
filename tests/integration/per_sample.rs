//! `g_p = δ_p ⊗ a_p`, `S_p`, `h_p = S_p ⊗ a_p a_pᵀ`, its square and its eigenpairs, against brute force.

use crate::cases::{ACTIVATIONS, Case, LOSSES, WIDTHS};
use crate::dense::{TOLERANCE, assert_close, column, dot, jacobi, outer, product};
use crate::reference::Derivatives;
use faer::Mat;
use superlinear_curvature::{AnalysedLayer, PerSampleHessian, per_sample_hessians};
use superlinear_nets::{Activation, Loss, Workspace};

/// `g_p` as the crates factor it.
fn gradient(delta: &[f64], a: &[f64]) -> Vec<f64> {
    delta.iter().flat_map(|delta| a.iter().map(move |a| delta * a)).collect()
}

fn all_hessians(layer: &AnalysedLayer) -> Vec<PerSampleHessian> {
    per_sample_hessians(layer, &(0..layer.n_samples()).collect::<Vec<_>>())
}

/// Every per-sample quantity of every layer and sample.
#[track_caller]
fn assert_agrees(case: &Case) {
    for dense in 0..case.n_dense() {
        let layer = case.layer(dense);
        let hessians = all_hessians(&layer);
        for (p, truth) in case.truths(dense).iter().enumerate() {
            let name = format!("{} layer {dense} sample {p}", case.name);
            let in_z = case.reference.in_pre_activation(dense, &case.inputs[p], case.labels[p]);
            let (a, delta) = (layer.a(p), layer.delta(p));
            let activity = case.reference.activity(dense, &case.inputs[p]);
            assert_close(column(a), column(&activity), TOLERANCE, format!("a: {name}"));
            let loss = layer.network_pass().unwrap().losses()[p];
            assert!((loss - truth.value).abs() <= TOLERANCE * truth.value.max(1.0), "loss: {name}");
            assert_close(column(delta), column(&in_z.gradient), TOLERANCE, format!("δ: {name}"));
            assert_close(hessians[p].S(), in_z.hessian.as_ref(), TOLERANCE, format!("S: {name}"));
            let g = gradient(delta, a);
            assert_close(column(&g), column(&truth.gradient), TOLERANCE, format!("g: {name}"));
            assert_hessian(&hessians[p], truth, &name);
        }
    }
}

#[track_caller]
fn assert_hessian(h: &PerSampleHessian, truth: &Derivatives, name: &str) {
    let dense = &truth.hessian;
    assert_close(h.to_dense().as_ref(), dense.as_ref(), TOLERANCE, format!("h: {name}"));
    let square = product(dense, dense);
    assert_close(h.square().to_dense().as_ref(), square.as_ref(), TOLERANCE, format!("h²: {name}"));
    // h acting on its own gradient, a vector that it does not annihilate.
    let mut acted = vec![0.0; h.n_params()];
    h.apply(&truth.gradient, &mut acted);
    let expected = product(dense, &column(&truth.gradient).to_owned());
    assert_close(column(&acted), expected.as_ref(), TOLERANCE, format!("h g: {name}"));
    assert_eigenpairs(h, dense, name);
}

#[track_caller]
fn assert_eigenpairs(h: &PerSampleHessian, dense: &Mat<f64>, name: &str) {
    let (values, vectors) = jacobi(dense);
    let norm = values.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let close = |x: f64, y: f64| (x - y).abs() <= TOLERANCE * norm.max(1e-3);
    assert!(close(h.norm(), norm), "‖h‖: {name}");
    let pairs = h.eigenpairs();
    assert!(pairs.kappa.windows(2).all(|k| k[0].abs() >= k[1].abs()), "order: {name}");
    // Eigenvalues: those found, and zeros.
    let mut found = pairs.kappa.clone();
    found.resize(values.len(), 0.0);
    found.sort_by(|x, y| y.total_cmp(x));
    assert!(found.iter().zip(&values).all(|(&x, &y)| close(x, y)), "κ: {name}: {found:?} {values:?}");
    let u: Vec<Vec<f64>> = (0..pairs.kappa.len()).map(|m| pairs.eigenvector(m)).collect();
    let mut rebuilt = Mat::zeros(values.len(), values.len());
    for (m, &kappa) in pairs.kappa.iter().enumerate() {
        for (n, other) in u.iter().enumerate() {
            let expected = if m == n { 1.0 } else { 0.0 };
            assert!((dot(&u[m], other) - expected).abs() <= TOLERANCE, "u orthonormal: {name}");
        }
        rebuilt += outer(&u[m], &u[m]) * faer::Scale(kappa);
        // A simple eigenvalue has one eigenvector, where there is more than rounding.
        let isolated =
            |k: usize| norm > 1e-6 && (0..values.len()).all(|l| l == k || (values[l] - values[k]).abs() > 1e-2 * norm);
        if let Some(k) = (0..values.len()).find(|&k| close(values[k], kappa) && isolated(k)) {
            let alignment = dot(&u[m], vectors.col_as_slice(k)).abs();
            assert!((alignment - 1.0).abs() <= 1e-9, "u {m}: {name}: alignment {alignment}");
        }
    }
    assert_close(rebuilt.as_ref(), dense.as_ref(), TOLERANCE, format!("Σ κ u uᵀ: {name}"));
}

#[test]
fn agree_with_brute_force_in_every_layer_of_every_network() {
    let mut seed = 0;
    for widths in WIDTHS {
        for activation in ACTIVATIONS {
            for loss in LOSSES {
                seed += 1;
                // Twice round the labels: every class, and a second draw of each.
                assert_agrees(&Case::random(widths, activation, loss, 6, seed));
            }
        }
    }
}

#[test]
fn agree_for_one_sample_one_class_and_one_logit() {
    for (k, loss) in LOSSES.into_iter().enumerate() {
        for (l, activation) in ACTIVATIONS.into_iter().enumerate() {
            let seed = 100 + 10 * k as u64 + l as u64;
            assert_agrees(&Case::random(&[3, 4, 2], activation, loss, 1, seed));
            // All samples of the last class of three.
            let mut case = Case::random(&[3, 4, 3], activation, loss, 3, seed);
            case.labels = vec![2; 3];
            assert_agrees(&case);
            // A single logit: softmax losses are 0 and flat, linear MSE is not.
            assert_agrees(&Case::random(&[2, 3, 1], activation, loss, 2, seed));
        }
    }
}

#[test]
fn a_single_logit_leaves_softmax_losses_flat() {
    for loss in [Loss::CrossEntropy, Loss::SoftmaxMse] {
        let case = Case::random(&[2, 3, 1], Activation::Tanh, loss, 2, 5);
        let layer = case.layer(0);
        assert_eq!(layer.network_pass().unwrap().losses(), [0.0; 2], "{loss}");
        assert!(layer.deltas().norm_max() == 0.0, "{loss}");
        assert!(all_hessians(&layer).iter().all(|h| h.S().norm_max() == 0.0), "{loss}");
    }
}

#[test]
fn zero_activity_gives_zero_curvature() {
    let widths = [3, 4, 5, 3];
    for loss in LOSSES {
        let mut case = Case::random(&widths, Activation::Relu, loss, 3, 7);
        // A zero input for the first layer.
        case.inputs[1] = vec![0.0; 3];
        assert_agrees(&case);
        assert_vanishes(&case, 0, 1);
        // A dead first layer for the second: positive inputs, negative weights.
        let params = case.net.params().iter().enumerate().map(|(k, &w)| if k < 12 { -w.abs() } else { w }).collect();
        let inputs: Vec<Vec<f64>> = case.inputs.iter().map(|x| x.iter().map(|x| x.abs()).collect()).collect();
        let dead = Case::new(&widths, Activation::Relu, loss, params, inputs, case.labels.clone());
        assert_agrees(&dead);
        (0..3).for_each(|p| assert_vanishes(&dead, 1, p));
    }
}

#[track_caller]
fn assert_vanishes(case: &Case, dense: usize, p: usize) {
    let layer = case.layer(dense);
    assert!(layer.a(p).iter().all(|&a| a == 0.0), "{}", case.name);
    let h = per_sample_hessians(&layer, &[p]).remove(0);
    assert!(h.eigenpairs().kappa.is_empty() && h.norm() == 0.0 && h.to_dense().norm_max() == 0.0, "{}", case.name);
}

/// A second check, which shares nothing with hyper-dual numbers: differences of the network's own loss.
#[test]
fn agree_with_finite_differences_of_the_networks_loss() {
    const STEP: f64 = 1e-4;
    const LOOSE: f64 = 1e-5;
    let mut seed = 200;
    for widths in WIDTHS {
        for activation in ACTIVATIONS {
            for loss in LOSSES {
                seed += 1;
                let case = Case::random(widths, activation, loss, 2, seed);
                let inputs = case.input_matrix();
                let mut workspace = Workspace::new(&case.net, 1);
                for dense in 0..case.n_dense() {
                    let layer = case.layer(dense);
                    let hessians = all_hessians(&layer);
                    let params = case.net.architecture().dense_layers()[dense].params.clone();
                    for (p, h) in hessians.iter().enumerate() {
                        let mut net = case.net.clone();
                        let mut loss_at = |moves: &[(usize, f64)]| {
                            for &(k, by) in moves {
                                net.params_mut()[params.start + k] += by;
                            }
                            let batch = net.loss(inputs.subcols(p, 1), &case.labels[p..=p], loss, &mut workspace);
                            net.params_mut().copy_from_slice(case.net.params());
                            batch.total
                        };
                        let P = params.len();
                        let g = gradient(layer.delta(p), layer.a(p));
                        let differences: Vec<f64> =
                            (0..P).map(|k| (loss_at(&[(k, STEP)]) - loss_at(&[(k, -STEP)])) / (2.0 * STEP)).collect();
                        let name = format!("{} layer {dense} sample {p}", case.name);
                        assert_close(column(&differences), column(&g), LOOSE, format!("g: {name}"));
                        let second = Mat::from_fn(P, P, |k, l| {
                            let mut at = |x: f64, y: f64| loss_at(&[(k, x * STEP), (l, y * STEP)]);
                            let diagonal = at(1.0, 1.0) + at(-1.0, -1.0);
                            (diagonal - at(1.0, -1.0) - at(-1.0, 1.0)) / (4.0 * STEP * STEP)
                        });
                        let h = h.to_dense();
                        let error = (&second - &h).norm_l2();
                        assert!(error <= LOOSE * h.norm_l2().max(1.0), "h: {name}: off by {error:e}");
                    }
                }
            }
        }
    }
}
