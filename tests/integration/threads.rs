//! Results do not depend on the number of threads, to the last bit.

use crate::cases::Case;
use crate::slow;
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{AnalysedLayer, absolute_hessian, largest_curvature, layer_moments};
use superlinear_nets::{Activation, Loss};
use superlinear_noise::{gradient_covariance, minibatch_covariance};
use superlinear_spectra::{diagonal_in_basis, eigh};

/// Fails when `compute` gives other bits on 2, 3 or 4 threads than on one.
#[track_caller]
fn assert_same_bits<R: PartialEq + Send>(what: &str, compute: impl Fn() -> R + Sync) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&compute)
    };
    let one = on(1);
    for threads in [2, 3, 4] {
        assert!(on(threads) == one, "{what} differs between 1 and {threads} threads");
    }
}

/// Large enough that every product and decomposition is worth splitting: `P = 600` and several blocks of samples; with
/// `SUPERLINEAR_SLOW=1` the paper's own layer, `P = 2,500`, and 20,000 samples.
fn wide() -> Case {
    if slow() {
        Case::random(&[20, 50, 50, 10], Activation::Tanh, Loss::SoftmaxMse, 20_000, 31)
    } else {
        Case::random(&[12, 20, 30, 10], Activation::Tanh, Loss::SoftmaxMse, 2_100, 31)
    }
}

fn fields(layer: &AnalysedLayer) -> (Mat<f64>, Mat<f64>, Mat<f64>, Vec<f64>) {
    let pass = layer.network_pass().unwrap();
    let (a, z, delta) = (layer.activities(), pass.pre_activations(), layer.deltas());
    (a.clone(), z.clone(), delta.clone(), pass.losses().to_vec())
}

#[test]
fn collected_samples_and_their_moments() {
    let case = wide();
    let samples = case.samples();
    let collect = || AnalysedLayer::collect(&case.net, 1, case.loss, &samples).unwrap();
    assert_same_bits("AnalysedLayer", || fields(&collect()));
    let layer = collect();
    assert_same_bits("layer_moments", || {
        let moments = layer_moments(&layer);
        (moments.H, moments.M2, moments.gradient_second_moment)
    });
    assert_same_bits("mean_gradient", || layer.mean_gradient());
    assert_same_bits("absolute_hessian", || absolute_hessian(&layer));
    assert_same_bits("largest_curvature", || largest_curvature(&layer));
    let second = layer_moments(&layer).gradient_second_moment;
    assert_same_bits("gradient_covariance", || gradient_covariance(second.clone(), &layer));
    assert_same_bits("minibatch_covariance", || {
        minibatch_covariance(&layer, 50, &mut ChaCha8Rng::seed_from_u64(2)).unwrap()
    });
}

#[test]
fn eigenpairs_and_diagonals() {
    let case = wide();
    let moments = layer_moments(&case.layer(1));
    assert_same_bits("eigh", || {
        let eigen = eigh(moments.H.as_ref()).unwrap();
        (eigen.values, eigen.vectors, eigen.residual, eigen.orthogonality)
    });
    let V = eigh(moments.H.as_ref()).unwrap().vectors;
    assert_same_bits("diagonal_in_basis", || diagonal_in_basis(moments.M2.as_ref(), V.as_ref()));
}
