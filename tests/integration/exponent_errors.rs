//! Errors of an exponent that needs no dense matrix: over draws of the samples against the bootstrap in the same
//! basis, and of Ritz vectors against those that have been turned.

use crate::cases::Case;
use faer::{Mat, Scale};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{
    AbsoluteCurvature, Diagonal, DiagonalsAlong, JointLayers, MeanLoss, Selection, directional_contributions,
};
use superlinear_nets::{Activation, DenseSamples, Loss};
use superlinear_spectra::{LanczosConfig, Wanted, diagonal_in_basis, eigh, lanczos};
use superlinear_stats::{DiagonalBootstrap, FitConfig, loglog, slope_bootstrap, slope_derivatives};

const ALL: [Diagonal; 3] = [Diagonal::Hessian, Diagonal::Covariance, Diagonal::SecondMoment];

fn samples(case: &Case) -> DenseSamples<f64> {
    let inputs = Mat::from_fn(case.inputs[0].len(), case.n_samples(), |i, p| case.inputs[p][i]);
    DenseSamples::new(inputs, case.labels.clone())
}

fn slope_error(diagonals: &DiagonalsAlong, y: Diagonal, config: &FitConfig) -> (f64, f64) {
    let x = Diagonal::Hessian;
    let found = slope_derivatives(diagonals.values(x), diagonals.values(y), config).unwrap();
    let [xx, xy, yy] = [(x, x), (x, y), (y, y)].map(|(a, b)| diagonals.sampling_covariance(a, b));
    (found.fit.slope, found.standard_error(xx, xy, yy))
}

/// The delta method along Ritz vectors, and 2,000 resamples along the same.
#[test]
fn sampling_errors_are_those_of_the_bootstrap() {
    let case = Case::random(&[12, 9, 8, 5], Activation::Relu, Loss::CrossEntropy, 1_500, 77);
    let samples = samples(&case);
    let selection = Selection::dense_weights(case.net.architecture(), [1]).unwrap();
    let of = MeanLoss::new(&case.net, case.loss, &samples, selection).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let top = lanczos(&of.hessian(), Wanted::Largest(20), &LanczosConfig::default(), &mut rng).unwrap();
    let diagonals = of.diagonals_along(top.vectors()).unwrap();

    let layer = case.layer(1);
    let mut bootstrap = DiagonalBootstrap::new(case.n_samples(), 20, 2_000, &mut rng);
    directional_contributions(&layer, top.vectors(), AbsoluteCurvature::Skip, |panels| {
        bootstrap.push(panels.gradient, panels.curvature, panels.squared_curvature).unwrap();
    });
    let resampled = bootstrap.finish();
    let config = FitConfig::top(20);
    let of_resamples = [&resampled.h, &resampled.covariance, &resampled.m2];
    for (of, resampled) in ALL.into_iter().zip(of_resamples) {
        for (i, error) in diagonals.errors(of).into_iter().enumerate() {
            let row = resampled.row(i);
            let mean = row.iter().skip(1).sum::<f64>() / 2_000.0;
            let sd = (row.iter().skip(1).map(|x| (x - mean).powi(2)).sum::<f64>() / 1_999.0).sqrt();
            assert!((diagonals.values(of)[i] / row[0] - 1.0).abs() < 1e-10, "{of:?} {i}");
            assert!((error / sd - 1.0).abs() < 0.08, "{of:?} {i}: {error:e}, resampled {sd:e}");
        }
    }
    for (y, resampled_y) in [(Diagonal::Covariance, &resampled.covariance), (Diagonal::SecondMoment, &resampled.m2)] {
        let truth = slope_bootstrap(resampled.h.as_ref(), resampled_y.as_ref(), &config).unwrap();
        let (slope, error) = slope_error(&diagonals, y, &config);
        assert!((slope - truth.fit.slope).abs() < 1e-10);
        assert!((error / truth.slopes.se() - 1.0).abs() < 0.08, "{y:?}: {error}, resampled {}", truth.slopes.se());
    }
}

/// Vectors turned by known amounts, in the worst direction and in random ones, jointly over two layers.
#[test]
fn diagonals_move_within_their_bounds() {
    let case = Case::random(&[5, 4, 6, 3], Activation::Tanh, Loss::SoftmaxMse, 60, 78);
    let samples = samples(&case);
    let selection = Selection::dense_weights(case.net.architecture(), [1, 2]).unwrap();
    let of = MeanLoss::new(&case.net, case.loss, &samples, selection).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let K = 6;
    let top = lanczos(&of.hessian(), Wanted::Magnitude(K), &LanczosConfig::default(), &mut rng).unwrap();
    let V = top.vectors();
    let diagonals = of.diagonals_along(V).unwrap();
    let dense = [
        of.hessian().to_dense(u64::MAX).unwrap(),
        of.noise_covariance().unwrap().to_dense(u64::MAX).unwrap(),
        of.hessian_second_moment().to_dense(u64::MAX).unwrap(),
    ];
    let step = 1e-5;
    let none = Mat::zeros(K, K);
    for (which, X) in ALL.into_iter().zip(&dense) {
        let norm = X.norm_l2();
        let XV = X * V;
        let out = &XV - V * (V.transpose() * &XV);
        for i in 0..K {
            let residual = (XV.col(i) - V.col(i) * Scale(diagonals.values(which)[i])).norm_l2();
            assert!((diagonals.residuals(which)[i] - residual).abs() < 1e-10 * norm);
            let moved = |v: &faer::Col<f64>| {
                let u = v * Scale(1.0 / v.norm_l2());
                u.transpose() * X * &u - diagonals.values(which)[i]
            };
            // The worst way out of the span is the bound itself.
            let mut outside = vec![0.0; K];
            outside[i] = step;
            let bound = diagonals.moved_by(which, &outside, none.as_ref())[i];
            let length = out.col(i).norm_l2();
            if length > 1e-6 * norm {
                let change = moved(&(V.col(i) + out.col(i) * Scale(step / length)));
                assert!((change / bound - 1.0).abs() < 1e-2, "{which:?} {i}: {change:e}, at most {bound:e}");
            }
            // Any other turn stays below, up to second order.
            for _ in 0..20 {
                let inside = Mat::from_fn(K, K, |i, j| if i == j { 0.0 } else { step * rng.random::<f64>() });
                let bound = diagonals.moved_by(which, &outside, inside.as_ref())[i];
                let mut u = V.col(i).to_owned();
                for j in 0..K {
                    let sign = if rng.random() { 1.0 } else { -1.0 };
                    u += V.col(j) * Scale(sign * inside[(i, j)]);
                }
                let w = faer::Col::from_fn(V.nrows(), |_| rng.random::<f64>() - 0.5);
                let w = &w - V * (V.transpose() * &w);
                u += &w * Scale(step / w.norm_l2());
                assert!(moved(&u).abs() <= bound + 20.0 * step * step * norm, "{which:?} {i}");
            }
        }
    }
}

/// The joint exponents of two hidden layers: from dense matrices of panel products, and from products with vectors.
#[test]
fn joint_exponents_are_the_same_dense_and_matrix_free() {
    let case = Case::random(&[8, 6, 7, 5, 4], Activation::Relu, Loss::CrossEntropy, 200, 80);
    let samples = samples(&case);
    let K = 15;
    let joint = JointLayers::collect(&case.net, &[1, 2], case.loss, &samples).unwrap();
    let eigen = eigh(joint.hessian(u64::MAX).unwrap().as_ref()).unwrap();
    let V = eigen.vectors.subcols(0, K);
    let diagonal = |A: Mat<f64>| diagonal_in_basis(A.as_ref(), V);
    let dense =
        [diagonal(joint.noise_covariance(u64::MAX).unwrap()), diagonal(joint.hessian_second_moment(u64::MAX).unwrap())];
    let selection = Selection::dense_weights(case.net.architecture(), [1, 2]).unwrap();
    let of = MeanLoss::new(&case.net, case.loss, &samples, selection).unwrap();
    let config = LanczosConfig { tolerance: 1e-12, ..Default::default() };
    let top = lanczos(&of.hessian(), Wanted::Largest(K), &config, &mut ChaCha8Rng::seed_from_u64(7)).unwrap();
    let free = of.diagonals_along(top.vectors()).unwrap();
    for (dense, y) in dense.iter().zip([Diagonal::Covariance, Diagonal::SecondMoment]) {
        let dense = loglog::fit(&eigen.values[..K], dense, K).unwrap();
        let free = loglog::fit(&free.hessian, free.values(y), K).unwrap();
        assert!((dense.slope - free.slope).abs() < 1e-7, "{y:?}: {} and {}", dense.slope, free.slope);
    }
}

/// An interruption between panels is an error with the number of products done.
#[test]
fn a_listener_ends_the_diagonals() {
    use std::ops::ControlFlow;
    use superlinear_curvature::OperatorError;
    let case = Case::random(&[4, 3, 5, 3], Activation::Relu, Loss::CrossEntropy, 20, 79);
    let samples = samples(&case);
    let of = MeanLoss::new(&case.net, case.loss, &samples, Selection::all(case.net.architecture())).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let V = Mat::from_fn(of.n_params(), 70, |_, _| rng.random::<f64>() - 0.5);
    let mut heard = Vec::new();
    let whole = of.diagonals_along_with(V.as_ref(), |n| {
        heard.push(n);
        ControlFlow::Continue(())
    });
    assert_eq!(heard, [64, 6, 64, 6, 64, 6]);
    assert_eq!(whole, of.diagonals_along(V.as_ref()));
    let mut times = 0;
    let stopped = of.diagonals_along_with(V.as_ref(), |_| {
        times += 1;
        if times == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped, Err(OperatorError::Interrupted { products: 134 }));
}
