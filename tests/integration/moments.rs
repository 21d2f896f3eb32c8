//! Means over samples, against sums of dense per-sample matrices.

use crate::cases::{ACTIVATIONS, Case, LOSSES, WIDTHS};
use crate::dense::{TOLERANCE, apply_to_spectrum, assert_close, column, jacobi, mean, outer, product};
use superlinear_curvature::{absolute_hessian, largest_curvature, layer_moments};
use superlinear_nets::{Activation, Loss};
use superlinear_noise::gradient_covariance;

/// Every moment of every layer.
#[track_caller]
fn assert_agrees(case: &Case) {
    for dense in 0..case.n_dense() {
        let name = format!("{} layer {dense}", case.name);
        let layer = case.layer(dense);
        let truths = case.truths(dense);
        let moments = layer_moments(&layer);

        let H = mean(truths.iter().map(|truth| truth.hessian.clone()));
        assert_close(moments.H.as_ref(), H.as_ref(), TOLERANCE, format!("H: {name}"));
        let M2 = mean(truths.iter().map(|truth| product(&truth.hessian, &truth.hessian)));
        assert_close(moments.M2.as_ref(), M2.as_ref(), TOLERANCE, format!("M₂: {name}"));
        let second = mean(truths.iter().map(|truth| outer(&truth.gradient, &truth.gradient)));
        let found = &moments.gradient_second_moment;
        assert_close(found.as_ref(), second.as_ref(), TOLERANCE, format!("E[g gᵀ]: {name}"));

        let g_mean = mean(truths.iter().map(|truth| column(&truth.gradient).to_owned()));
        assert_close(column(&layer.mean_gradient()), g_mean.as_ref(), TOLERANCE, format!("ḡ: {name}"));
        let Sigma = mean(truths.iter().map(|truth| {
            let centred: Vec<f64> = truth.gradient.iter().zip(g_mean.col_as_slice(0)).map(|(g, m)| g - m).collect();
            outer(&centred, &centred)
        }));
        let found = gradient_covariance(moments.gradient_second_moment, &layer);
        assert_close(found.as_ref(), Sigma.as_ref(), TOLERANCE, format!("Σ: {name}"));

        let absolute = mean(truths.iter().map(|truth| apply_to_spectrum(&truth.hessian, f64::abs)));
        let found = absolute_hessian(&layer);
        assert_close(found.as_ref(), absolute.as_ref(), TOLERANCE, format!("E|h|: {name}"));

        let norms: Vec<f64> = truths
            .iter()
            .map(|truth| jacobi(&truth.hessian).0.iter().fold(0.0_f64, |largest, x| largest.max(x.abs())))
            .collect();
        let largest = norms.iter().fold(0.0_f64, |largest, &x| largest.max(x));
        let (kappa_max, p) = largest_curvature(&layer);
        let slack = TOLERANCE * largest.max(1e-3);
        assert!((kappa_max - largest).abs() <= slack, "κ_max: {name}: {kappa_max} {largest}");
        assert!((norms[p] - largest).abs() <= slack, "sample of κ_max: {name}");
    }
}

#[test]
fn agree_with_brute_force_sums() {
    let mut seed = 1_000;
    for widths in WIDTHS {
        for activation in ACTIVATIONS {
            for loss in LOSSES {
                for n_samples in [1, 2, 7] {
                    seed += 1;
                    assert_agrees(&Case::random(widths, activation, loss, n_samples, seed));
                }
            }
        }
    }
    // Enough samples for several fill tasks, which are of 32.
    assert_agrees(&Case::random(&[3, 4, 2, 3], Activation::Tanh, Loss::SoftmaxMse, 40, 1));
    assert_agrees(&Case::random(&[3, 4, 2, 3], Activation::Relu, Loss::CrossEntropy, 33, 2));
}

#[test]
fn agree_where_some_samples_have_no_activity_or_the_wrong_label() {
    for loss in LOSSES {
        let mut case = Case::random(&[3, 4, 5, 3], Activation::Relu, loss, 9, 11);
        case.inputs[0] = vec![0.0; 3];
        case.inputs[8] = vec![0.0; 3];
        // One class only.
        case.labels = vec![1; 9];
        assert_agrees(&case);
        // Nothing but zeros: every moment is zero in the first layer, and none is NaN.
        case.inputs = vec![vec![0.0; 3]; 9];
        assert_agrees(&case);
    }
}

#[test]
fn one_sample_is_its_own_mean() {
    let case = Case::random(&[3, 5, 4], Activation::Tanh, Loss::CrossEntropy, 1, 3);
    let layer = case.layer(0);
    let moments = layer_moments(&layer);
    let squared = product(&moments.H, &moments.H);
    assert_close(moments.M2.as_ref(), squared.as_ref(), TOLERANCE, "M₂ = H² for one sample");
    // No spread, so no variance: exactly on the diagonal, to rounding elsewhere.
    let Sigma = gradient_covariance(moments.gradient_second_moment, &layer);
    assert!((0..Sigma.nrows()).all(|k| Sigma[(k, k)] == 0.0));
    assert!(Sigma.norm_max() < 1e-15);
}

#[test]
fn more_than_a_block_of_samples_is_the_mean_of_its_parts() {
    // 300 samples are two blocks of 256; the parts of 40 and 260 cross the seam elsewhere.
    let whole = Case::random(&[3, 4, 3], Activation::Tanh, Loss::CrossEntropy, 300, 21);
    let part = |range: std::ops::Range<usize>| Case {
        inputs: whole.inputs[range.clone()].to_vec(),
        labels: whole.labels[range].to_vec(),
        ..whole.clone()
    };
    for dense in 0..2 {
        let (layer, rest) = (whole.layer(dense), part(40..300).layer(dense));
        assert_close(layer.deltas().subcols(40, 260), rest.deltas().as_ref(), TOLERANCE, "δ");
        assert_close(layer.activities().subcols(40, 260), rest.activities().as_ref(), TOLERANCE, "a");
        let (pass, rest) = (layer.network_pass().unwrap(), rest.network_pass().unwrap());
        assert_close(pass.pre_activations().subcols(40, 260), rest.pre_activations().as_ref(), TOLERANCE, "z");
        assert_close(column(&pass.losses()[40..]), column(rest.losses()), TOLERANCE, "ℓ");
        let moments = |case: &Case| layer_moments(&case.layer(dense));
        let (all, first, rest) = (moments(&whole), moments(&part(0..40)), moments(&part(40..300)));
        let weighted =
            |x: &faer::Mat<f64>, y: &faer::Mat<f64>| x * faer::Scale(40.0 / 300.0) + y * faer::Scale(260.0 / 300.0);
        assert_close(all.H.as_ref(), weighted(&first.H, &rest.H).as_ref(), TOLERANCE, "H");
        assert_close(all.M2.as_ref(), weighted(&first.M2, &rest.M2).as_ref(), TOLERANCE, "M₂");
        let expected = weighted(&first.gradient_second_moment, &rest.gradient_second_moment);
        assert_close(all.gradient_second_moment.as_ref(), expected.as_ref(), TOLERANCE, "E[g gᵀ]");
    }
}
