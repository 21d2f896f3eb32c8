//! What samples contribute along directions, against the dense moments, and the bootstrap that is made of it.

use crate::cases::{ACTIVATIONS, Case, LOSSES};
use crate::slow;
use superlinear_curvature::{AbsoluteCurvature, absolute_hessian, directional_contributions, layer_moments};
use superlinear_nets::{Activation, Loss};
use superlinear_noise::gradient_covariance;
use superlinear_spectra::{diagonal_in_basis, eigh};

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
        let moments = layer_moments(&case.net, &layer);
        let V = eigh(moments.H.as_ref()).unwrap().vectors;
        let Sigma = gradient_covariance(moments.gradient_second_moment, &layer);
        let truths = [&Sigma, &moments.H, &moments.M2, &absolute_hessian(&case.net, &layer)]
            .map(|A| diagonal_in_basis(A.as_ref(), V.as_ref()));
        let (n, k) = (case.n_samples() as f64, V.ncols());
        let mean_gradient = layer.mean_gradient();
        let centre: Vec<f64> = (0..k).map(|i| crate::dense::dot(&mean_gradient, V.col_as_slice(i))).collect();
        let mut means = [(); 4].map(|()| vec![0.0; k]);
        directional_contributions(&case.net, &layer, V.as_ref(), AbsoluteCurvature::Compute, |panels| {
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
