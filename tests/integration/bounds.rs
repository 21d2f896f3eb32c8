//! The bounds of `MATH [13]` on `H`, `M₂`, `E|h|` and `κ_max` of random networks and samples.

use crate::cases::{ACTIVATIONS, Case, LOSSES};
use crate::dense::{TOLERANCE, assert_close, quadratic_form};
use crate::slow;
use faer::Mat;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{LayerMoments, absolute_hessian, largest_curvature, layer_moments, per_sample_hessians};
use superlinear_nets::{Activation, Loss};
use superlinear_spectra::{diagonal_in_basis, eigh};
use superlinear_stats::bounds::{Curvature, Wedge, check_dense};
use superlinear_stats::strategies::orthonormal_bases;

/// Share of `κ_max²` that is put down to rounding.
const ROUNDING: f64 = 1e-13;

struct Ensemble {
    moments: LayerMoments,
    absolute: Mat<f64>,
    kappa_max: f64,
}

fn ensemble(case: &Case, dense: usize) -> Ensemble {
    let layer = case.layer(dense);
    Ensemble {
        moments: layer_moments(&layer),
        absolute: absolute_hessian(&layer),
        kappa_max: largest_curvature(&layer).0,
    }
}

/// Whether every `h_p` is known to be PSD: a convex loss of the logits behind a piecewise-linear tail.
fn is_psd(activation: Activation, loss: Loss, dense: usize, n_dense: usize) -> bool {
    loss != Loss::SoftmaxMse && (activation != Activation::Tanh || dense + 1 == n_dense)
}

fn random_unit_vector(P: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let v: Vec<f64> = (0..P).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect();
    let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.iter().map(|x| x / norm).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if slow() { 50_000 } else { 500 }))]

    #[test]
    fn hold_for_random_vectors_and_eigenvectors(
        widths in prop::collection::vec(1usize..6, 2..=4),
        activation in select(&ACTIVATIONS[..]),
        loss in select(&LOSSES[..]),
        n_samples in 1usize..14,
        target in any::<Index>(),
        seed in any::<u64>(),
    ) {
        let case = Case::random(&widths, activation, loss, n_samples, seed);
        let dense = target.index(case.n_dense());
        let Ensemble { moments: LayerMoments { H, M2, .. }, absolute, kappa_max } = ensemble(&case, dense);
        let psd = is_psd(activation, loss, dense, case.n_dense());
        if psd {
            assert_close(absolute.as_ref(), H.as_ref(), TOLERANCE, "E|h| = H");
        }
        let rounding = ROUNDING * kappa_max * kappa_max + f64::MIN_POSITIVE;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let eigen = eigh(H.as_ref()).unwrap();
        let P = H.nrows();
        let eigenvectors = (0..P).map(|i| eigen.vectors.col_as_slice(i).to_vec());
        let random = (0..20).map(|_| random_unit_vector(P, &mut rng));
        for v in random.chain(eigenvectors) {
            let [h, m2, abs] = [&H, &M2, &absolute].map(|A| quadratic_form(A, &v));
            prop_assert!(h * h <= m2 + rounding, "{} layer {}: h² = {:e} > m₂ = {:e}", case.name, dense, h * h, m2);
            let bound = kappa_max * abs;
            prop_assert!(m2 <= bound + rounding, "{} layer {dense}: m₂ = {m2:e} > κ|h| = {bound:e}", case.name);
            prop_assert!(h.abs() <= abs + ROUNDING * kappa_max + f64::MIN_POSITIVE);
            prop_assert!(abs <= kappa_max * (1.0 + 1e-12) + f64::MIN_POSITIVE);
        }

        // The same through the crates' own diagonals and verdicts.
        if kappa_max > 1e-12 {
            let diagonal = |A: &Mat<f64>| diagonal_in_basis(A.as_ref(), eigen.vectors.as_ref());
            let abs_diag = diagonal(&absolute);
            let curvature = if psd {
                Curvature::PositiveSemidefinite
            } else {
                Curvature::Indefinite { abs_diag: Some(&abs_diag) }
            };
            // One sample lies on the lower bound, m₂ = h². Rounding of order 1e-16·κ_max² in m₂ is then 1e-8 of what a
            // direction at the floor has.
            let wedge = Wedge::new(kappa_max).unwrap().with_noise_floor(1e-4 * kappa_max).unwrap();
            let wedge = wedge.with_tolerance(1e-6).unwrap();
            let report = wedge.report(&eigen.values, &diagonal(&M2), curvature).unwrap();
            prop_assert_eq!((report.n_below, report.n_above), (0, 0), "{} layer {}", case.name, dense);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if slow() { 10_000 } else { 200 }))]

    /// Per-sample Hessians of a network, dense, judged as anybody's are: along any directions, at any scale of the
    /// inputs.
    #[test]
    fn hold_for_dense_hessians_of_networks(
        activation in select(&ACTIVATIONS[..]), loss in select(&LOSSES[..]), n_samples in 1usize..6,
        exponent in -12..12_i32,
        V in orthonormal_bases(6), seed in any::<u64>(),
    ) {
        let mut case = Case::random(&[3, 2, 3], activation, loss, n_samples, seed);
        let psd = is_psd(activation, loss, 0, case.n_dense());
        // Small inputs mean small activities and curvature; large ones saturate what can be saturated.
        let scale = 10_f64.powi(exponent);
        case.inputs.iter_mut().flatten().for_each(|x| *x *= scale);
        let all: Vec<usize> = (0..n_samples).collect();
        let hessians = per_sample_hessians(&case.layer(0), &all);
        let dense: Vec<Mat<f64>> = hessians.iter().map(|h| h.to_dense()).collect();
        prop_assume!(dense.iter().any(|h| h.norm_max() > f64::MIN_POSITIVE.sqrt()));
        let check = check_dense(&dense, V.as_ref())?;
        prop_assert_eq!(check.n_outside(), 0, "{}", case.name);
        prop_assert!(check.semidefinite || !psd, "{}: an eigenvalue of {:e}", case.name, check.kappa_min);
    }
}

/// With indefinite curvature the right-hand bound needs `E|h|`: `H` in its place is not enough.
#[test]
fn need_the_absolute_hessian_where_curvature_is_indefinite() {
    let case = Case::random(&[3, 4, 3], Activation::Tanh, Loss::SoftmaxMse, 8, 71);
    let Ensemble { moments: LayerMoments { H, M2, .. }, absolute, kappa_max } = ensemble(&case, 0);
    let eigen = eigh(H.as_ref()).unwrap();
    let v = eigen.vectors.col_as_slice(H.nrows() - 1);
    let [h, m2, abs] = [&H, &M2, &absolute].map(|A| quadratic_form(A, v));
    assert!(h < 0.0, "an indefinite H, {h}");
    assert!(m2 > kappa_max * h && m2 <= kappa_max * abs);
}

/// Equality on both sides for one sample whose curvature has one nonzero eigenvalue.
#[test]
fn are_attained_by_one_sample_of_rank_one() {
    let case = Case::random(&[4, 1], Activation::Identity, Loss::LinearMse, 1, 81);
    let Ensemble { moments: LayerMoments { H, M2, .. }, kappa_max, .. } = ensemble(&case, 0);
    let eigen = eigh(H.as_ref()).unwrap();
    let v = eigen.vectors.col_as_slice(0);
    let (h, m2) = (quadratic_form(&H, v), quadratic_form(&M2, v));
    assert!((h / kappa_max - 1.0).abs() < 1e-14 && (m2 / (h * h) - 1.0).abs() < 1e-13);
}
