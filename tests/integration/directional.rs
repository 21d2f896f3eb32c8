//! What samples contribute along directions, against the dense moments, and the bootstrap that is made of it.

use crate::cases::{ACTIVATIONS, Case, LOSSES};
use crate::slow;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{AbsoluteCurvature, absolute_hessian, directional_contributions, layer_moments};
use superlinear_nets::{Activation, Loss};
use superlinear_noise::gradient_covariance;
use superlinear_spectra::{diagonal_in_basis, eigh};
use superlinear_stats::bootstrap::resample_counts;
use superlinear_stats::{DiagonalBootstrap, FitConfig, loglog, slope_bootstrap};

/// Agreement of a mean of contributions with a diagonal of the dense matrix, of the largest diagonal.
const AGREEMENT: f64 = 1e-10;

#[test]
fn contributions_average_to_the_diagonals_in_the_eigenbasis() {
    let mut cases = Vec::new();
    for (a, activation) in ACTIVATIONS.into_iter().enumerate() {
        for (l, loss) in LOSSES.into_iter().enumerate() {
            cases.push(Case::random(&[6, 5, 4, 3], activation, loss, 40, 5_000 + (3 * a + l) as u64));
        }
    }
    if slow() {
        cases.push(Case::random(&[20, 50, 50, 10], Activation::Relu, Loss::CrossEntropy, 5_000, 5_100));
    }
    for case in cases {
        let layer = case.layer(1);
        let moments = layer_moments(&layer);
        let V = eigh(moments.H.as_ref()).unwrap().vectors;
        let Sigma = gradient_covariance(moments.gradient_second_moment, &layer);
        let truths = [&Sigma, &moments.H, &moments.M2, &absolute_hessian(&layer)]
            .map(|A| diagonal_in_basis(A.as_ref(), V.as_ref()));
        let (n, k) = (case.n_samples() as f64, V.ncols());
        let mean_gradient = layer.mean_gradient();
        let centre: Vec<f64> = (0..k).map(|i| crate::dense::dot(&mean_gradient, V.col_as_slice(i))).collect();
        let mut means = [(); 4].map(|()| vec![0.0; k]);
        directional_contributions(&layer, V.as_ref(), AbsoluteCurvature::Compute, |panels| {
            for i in 0..k {
                means[0][i] += panels.gradient.col(i).iter().map(|g| (g - centre[i]).powi(2)).sum::<f64>() / n;
                means[1][i] += panels.curvature.col(i).iter().sum::<f64>() / n;
                means[2][i] += panels.squared_curvature.col(i).iter().sum::<f64>() / n;
                means[3][i] += panels.absolute_curvature.unwrap().col(i).iter().sum::<f64>() / n;
            }
        });
        for (what, (means, truth)) in ["Σ", "H", "M₂", "E|h|"].into_iter().zip(means.iter().zip(&truths)) {
            let largest = truth.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (found, truth) in means.iter().zip(truth) {
                assert!((found - truth).abs() <= AGREEMENT * largest, "{what} of {}", case.name);
            }
        }
    }
}

/// A case whose sample `p` is there as often as `counts` says.
fn repeated(case: &Case, counts: &[f64]) -> Case {
    let of: Vec<usize> = (0..counts.len()).flat_map(|p| std::iter::repeat_n(p, counts[p] as usize)).collect();
    Case {
        inputs: of.iter().map(|&p| case.inputs[p].clone()).collect(),
        labels: of.iter().map(|&p| case.labels[p]).collect(),
        ..case.clone()
    }
}

#[test]
fn a_resample_is_the_analysis_of_the_samples_drawn() {
    let case = Case::random(&[6, 5, 4, 3], Activation::Relu, Loss::CrossEntropy, 60, 5_200);
    let layer = case.layer(1);
    let V = eigh(layer_moments(&layer).H.as_ref()).unwrap().vectors;
    let (n_draws, k) = (6, V.ncols());
    let rng = || ChaCha8Rng::seed_from_u64(7);
    let mut bootstrap = DiagonalBootstrap::new(case.n_samples(), k, n_draws, &mut rng());
    directional_contributions(&layer, V.as_ref(), AbsoluteCurvature::Skip, |panels| {
        bootstrap.push(panels.gradient, panels.curvature, panels.squared_curvature).unwrap();
    });
    let found = bootstrap.finish();
    let config = FitConfig::top(8);
    let slopes = slope_bootstrap(found.h.as_ref(), found.covariance.as_ref(), &config).unwrap();
    let counts = resample_counts(case.n_samples(), n_draws, &mut rng());
    for b in 0..=n_draws {
        let drawn = if b == 0 { layer.clone() } else { repeated(&case, counts.col_as_slice(b - 1)).layer(1) };
        let moments = layer_moments(&drawn);
        let Sigma = gradient_covariance(moments.gradient_second_moment, &drawn);
        let [sigma, h, m2] = [&Sigma, &moments.H, &moments.M2].map(|A| diagonal_in_basis(A.as_ref(), V.as_ref()));
        for (what, found, truth) in [("Σ", &found.covariance, &sigma), ("H", &found.h, &h), ("M₂", &found.m2, &m2)] {
            let largest = truth.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (i, truth) in truth.iter().enumerate() {
                assert!((found[(i, b)] - truth).abs() <= 1e-13 * largest, "{what}_{i} of resample {b}");
            }
        }
        let slope = if b == 0 { slopes.fit.slope } else { slopes.slopes.values()[b - 1] };
        assert!((slope - loglog::fit_with(&h, &sigma, &config).unwrap().slope).abs() < 1e-9);
    }
}
