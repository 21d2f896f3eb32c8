//! Quadratures against moments and dense spectra.

use super::*;
use crate::operator::FnOp;
use crate::testing::{by_threads, prescribed};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Another stream than that of the prescribed eigenvectors.
    rng.set_stream(1);
    rng
}

fn power(A: &Mat<f64>, k: u32) -> Mat<f64> {
    (0..k).fold(Mat::identity(A.nrows(), A.nrows()), |product, _| &product * A)
}

fn trace(A: &Mat<f64>) -> f64 {
    (0..A.nrows()).map(|i| A[(i, i)]).sum()
}

/// `m` steps are exact for degrees up to `2m − 1`, for every probe and at every scale.
#[test]
fn quadratures_have_the_moments_of_their_probe() {
    for scale in [1.0, 1e-12, 1e12, 1e-160] {
        let values: Vec<f64> = (0..30).map(|k| (f64::from(k) * 0.21 - 2.0) * scale).collect();
        let A = prescribed(&values, 1);
        let mut Z = Mat::zeros(30, 3);
        (0..3).for_each(|j| Probe::Sphere.draw(Z.col_as_slice_mut(j), &mut rng(j as u64)));
        let found = quadratures_of(&mut Products::new(&A), Z.as_ref(), 4).unwrap();
        let scaled = &A * faer::Scale(1.0 / scale);
        for (j, quadrature) in found.iter().enumerate() {
            assert!(!quadrature.exact && quadrature.nodes.len() == 4);
            assert!((quadrature.weights.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            assert!(quadrature.weights.iter().all(|weight| *weight >= 0.0));
            for k in 0..=8 {
                let truth = (Z.col(j).transpose() * power(&scaled, k) * Z.col(j)) / 30.0;
                let moment = quadrature.integral(|x| (x / scale).powi(k as i32));
                let error = (moment - truth).abs() / 4.1_f64.powi(k as i32);
                assert!(if k < 8 { error < 1e-13 } else { error > 1e-9 }, "degree {k}: {error:e}");
            }
        }
    }
}

/// All sign vectors at once are the expectation itself.
#[test]
fn the_mean_over_all_sign_vectors_is_the_spectrum() {
    let n = 6;
    let A = prescribed(&[3.0, 1.0, 1.0, 0.0, -0.5, -2.0], 5);
    let Z = Mat::from_fn(n, 1 << n, |i, j| if j >> i & 1 == 0 { 1.0 } else { -1.0 });
    for steps in 1..=n {
        let quadratures = quadratures_of(&mut Products::new(&A), Z.as_ref(), steps).unwrap();
        let density = SpectralDensity { order: n, quadratures, products: 0 };
        for k in 0..2 * steps as u32 {
            let truth = trace(&power(&A, k)) / n as f64;
            assert!((density.moment(k).value - truth).abs() < 1e-11 * 3f64.powi(k as i32), "{steps} steps, degree {k}");
        }
        assert_eq!(density.moment(0).value.round(), 1.0);
    }
}

#[test]
fn nodes_stay_within_the_spectrum_and_estimates_within_their_error() {
    let n = 300;
    let values: Vec<f64> = (0..n).map(|k| if k < 5 { 50.0 - k as f64 } else { (k as f64 * 0.37).sin() }).collect();
    let A = prescribed(&values, 2);
    let config = DensityConfig { probes: 20, steps: 80, ..Default::default() };
    let density = spectral_density(&A, &config, &mut rng(3)).unwrap();
    assert_eq!(density.products, 1_600);
    let (low, high) = density.extent();
    assert!(low >= -1.0 - 1e-12 && high <= 50.0 + 1e-11);
    let dense = |f: &dyn Fn(f64) -> f64| values.iter().map(|x| f(*x)).sum::<f64>() / n as f64;
    for k in 1..6 {
        let (found, truth) = (density.moment(k), dense(&|x| x.powi(k as i32)));
        assert!((found.value - truth).abs() < 4.0 * found.standard_error, "degree {k}: {found:?}, {truth}");
    }
    for x in [-0.8, 0.0, 0.5, 30.0] {
        let (found, truth) = (density.cumulative(x), dense(&|y| if y <= x { 1.0 } else { 0.0 }));
        let Share { lower, value, upper } = found;
        assert!((value.value - truth).abs() < 4.0 * value.standard_error + 1e-12, "at {x}: {found:?}, {truth}");
        assert!(truth > lower.value - 4.0 * lower.standard_error && truth < upper.value + 4.0 * upper.standard_error);
    }
    let (grid, width) = ([-0.9, -0.1, 0.7, 47.0], 0.2);
    for (x, found) in grid.iter().zip(density.smoothed(&grid, width)) {
        let gauss = |y: f64| (-0.5 * ((x - y) / width).powi(2)).exp() / (width * std::f64::consts::TAU.sqrt());
        assert!((found.value - dense(&gauss)).abs() < 4.0 * found.standard_error + 1e-9, "at {x}: {found:?}");
    }
}

/// Not on average but for every probe: what its measure has below any point.
#[test]
fn shares_are_within_their_bounds() {
    let n = 40;
    let values: Vec<f64> = (0..n).map(|k| [1.0, 1.0, 2.5][k % 3] * (0.1 * k as f64).cos()).collect();
    let eigen = eigh(prescribed(&values, 8).as_ref()).unwrap();
    let A = prescribed(&values, 8);
    let mut Z = Mat::zeros(n, 6);
    (0..6).for_each(|j| Probe::Rademacher.draw(Z.col_as_slice_mut(j), &mut rng(j as u64)));
    let found = quadratures_of(&mut Products::new(&A), Z.as_ref(), 9).unwrap();
    for (j, quadrature) in found.iter().enumerate() {
        for step in 0..400 {
            let x = 0.0131 * f64::from(step) - 2.6;
            let below = (0..n).filter(|&i| eigen.values[i] <= x);
            let truth = below.map(|i| (eigen.vectors.col(i).transpose() * Z.col(j)).powi(2) / n as f64).sum::<f64>();
            let (lower, upper) = quadrature.bounds(x);
            assert!(lower <= truth + 1e-12 && truth <= upper + 1e-12, "probe {j} at {x}: {lower}, {truth}, {upper}");
        }
    }
}

#[test]
fn an_invariant_space_ends_a_quadrature() {
    let values = [vec![2.0; 10], vec![-1.0; 10], vec![0.0; 20]].concat();
    let density = spectral_density(&prescribed(&values, 4), &DensityConfig::default(), &mut rng(5)).unwrap();
    for quadrature in &density.quadratures {
        assert!(quadrature.exact && quadrature.nodes.len() == 3);
        for (node, truth) in quadrature.nodes.iter().zip([2.0, 0.0, -1.0]) {
            assert!((node - truth).abs() < 1e-12);
        }
    }
    for (n, value) in [(1, 3.0), (2, 0.0), (7, 1e-300)] {
        let A = Mat::from_fn(n, n, |i, j| if i == j { value } else { 0.0 });
        let density = spectral_density(&A, &DensityConfig::default(), &mut rng(5)).unwrap();
        assert!(density.quadratures.iter().all(|q| q.exact && q.nodes.len() == 1), "{density:?}");
        let found = density.moment(1);
        assert!((found.value - value).abs() <= 1e-14 * value && found.standard_error <= 1e-15 * value, "{found:?}");
    }
}

#[test]
fn draws_keep_their_values_on_any_number_of_threads() {
    let n = 2_500;
    let A = Mat::from_fn(n, n, |i, j| if i == j { (i as f64 * 0.3).cos() } else { 1e-4 * ((i * j) as f64).cos() });
    let config = DensityConfig { probes: 5, steps: 12, at_once: 3, probe: Probe::Sphere };
    let [one, others @ ..] = by_threads(|| spectral_density(&A, &config, &mut rng(7)).unwrap());
    assert!(others.iter().all(|other| *other == one));
    assert_eq!(format!("{:.12}", one.moment(2).value), "0.494198217418");
}

#[test]
fn bad_operators_are_named() {
    let config = DensityConfig { probes: 2, steps: 5, ..Default::default() };
    let error = |A: &dyn LinOp<f64>| spectral_density(A, &config, &mut rng(1)).unwrap_err();
    assert_eq!(error(&Mat::<f64>::zeros(0, 0)), DensityError::Shape { nrows: 0, ncols: 0 });
    assert_eq!(error(&Mat::<f64>::zeros(2, 3)), DensityError::Shape { nrows: 2, ncols: 3 });
    let A = Mat::from_fn(9, 9, |i, j| if i <= j { (i + j) as f64 } else { 0.0 });
    assert!(matches!(error(&A), DensityError::Asymmetric { .. }));
    let nan = FnOp::by_vector(4, |y: &mut [f64], x: &[f64]| {
        y.copy_from_slice(x);
        y[2] = f64::NAN;
    });
    assert!(matches!(error(&nan), DensityError::NotFinite { product: 0, row: 2, .. }));
}
