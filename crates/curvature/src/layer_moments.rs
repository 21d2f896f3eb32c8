//! The moments of one layer that the paper compares: `H`, `M₂` and the gradients' second moment, in one pass.

use crate::{
    KroneckerShape, LayerSamples, Symmetry, kronecker_moments, outer_product_vech, range_eigen, vech, vech_len,
};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use superlinear_nets::{Network, Tail};

/// Mean curvature and gradient moments of one layer over `N` samples, in the parameter basis (row-major `vec(W)`).
#[derive(Clone, Debug)]
pub struct LayerMoments {
    /// `H = E_p[h_p]`, the Hessian of the mean loss, `P × P`.
    pub H: Mat<f64>,
    /// `M₂ = E_p[h_p²]`, `P × P`.
    pub M2: Mat<f64>,
    /// `E_p[g_p g_pᵀ]`, **not** centred, `P × P`.
    pub gradient_second_moment: Mat<f64>,
}

/// `H`, `M₂` and `E_p[g gᵀ]` by one streamed symmetric-Kronecker product (`MATH [5]`), means over `p` (`1/N`).
///
/// About `3·N·P²/2` flops in 12 `P²` bytes of accumulators and 24 `P²` bytes of results; bit-identical for any number
/// of threads.
///
/// # Panics
/// When `samples` were not collected from `net`.
#[track_caller]
pub fn layer_moments(net: &Network<f64>, samples: &LayerSamples) -> LayerMoments {
    layer_moments_with(net, samples, 0, |_, _| ()).0
}

/// One sample in the pass of [`layer_moments_with`].
#[derive(Clone, Copy, Debug)]
pub struct SampleCurvature<'a> {
    /// Which sample.
    pub p: usize,
    /// `a_p`.
    pub a: &'a [f64],
    /// `S_p`.
    pub S: MatRef<'a, f64>,
}

/// [`layer_moments`] together with `n_extra` further moments `E_p[A_p ⊗ a_p a_pᵀ]` that share their right factor.
///
/// `extra` writes `vech(A_p)` of each of them, one after the other, for one sample. About `(3 + n_extra)·N·P²/2` flops.
///
/// # Panics
/// When `samples` were not collected from `net`.
#[track_caller]
pub fn layer_moments_with(
    net: &Network<f64>,
    samples: &LayerSamples,
    n_extra: usize,
    extra: impl Fn(SampleCurvature<'_>, &mut [f64]) + Sync + Send,
) -> (LayerMoments, Vec<Mat<f64>>) {
    let tail = Tail::new(net, samples.dense, samples.loss);
    let d_out = samples.d_out();
    let shape = shape(samples, 3 + n_extra);
    let n_left = vech_len(d_out);
    let mut moments = kronecker_moments(
        shape,
        || (tail.buffers(), Mat::<f64>::zeros(d_out, d_out)),
        |(at, square), p, left, right| {
            let a = samples.activities.col_as_slice(p);
            tail.curvature(samples.pre_activations.col_as_slice(p), samples.labels[p], at);
            let norm_squared: f64 = a.iter().map(|a| a * a).sum();
            matmul(square.as_mut(), Accum::Replace, &at.S, &at.S, norm_squared, Par::Seq);
            let (first, rest) = left.split_at_mut(n_left);
            let (second, rest) = rest.split_at_mut(n_left);
            let (third, rest) = rest.split_at_mut(n_left);
            vech(at.S.as_ref(), first);
            vech(square.as_ref(), second);
            outer_product_vech(1.0, &at.delta, third);
            extra(SampleCurvature { p, a, S: at.S.as_ref() }, rest);
            outer_product_vech(1.0, a, right);
        },
    );
    let extra = moments.split_off(3);
    let [H, M2, gradient_second_moment] = <[_; 3]>::try_from(moments).expect("three moments were asked for");
    (LayerMoments { H, M2, gradient_second_moment }, extra)
}

/// The shape of moments over `samples` with the right factor `a_p a_pᵀ`.
fn shape(samples: &LayerSamples, n_moments: usize) -> KroneckerShape {
    KroneckerShape {
        symmetry: Symmetry::Symmetric,
        n_samples: samples.n_samples(),
        n_moments,
        d_out: samples.d_out(),
        d_in: samples.d_in(),
    }
}

/// The generalised Gauss–Newton matrix of the layer, `E_p[S_p^{GN} ⊗ a_p a_pᵀ]`, `P × P`, PSD, with
/// [`Tail::gauss_newton`] in the place of `S_p`.
///
/// Behind a piecewise-linear tail it is `H` under cross-entropy and linear MSE. Under cross-entropy it also is the
/// Fisher matrix with labels drawn from the network.
///
/// # Panics
/// When `samples` were not collected from `net`.
#[track_caller]
pub fn gauss_newton(net: &Network<f64>, samples: &LayerSamples) -> Mat<f64> {
    let tail = Tail::new(net, samples.dense, samples.loss);
    let mut moments = kronecker_moments(
        shape(samples, 1),
        || tail.buffers(),
        |at, p, left, right| {
            tail.gauss_newton(samples.pre_activations.col_as_slice(p), samples.labels[p], at);
            vech(at.S.as_ref(), left);
            outer_product_vech(1.0, samples.activities.col_as_slice(p), right);
        },
    );
    moments.remove(0)
}

/// `‖a_p‖²‖S_p‖_F`, an upper bound on `‖h_p‖` of every sample.
fn norm_bounds(net: &Network<f64>, samples: &LayerSamples) -> Vec<f64> {
    let tail = Tail::new(net, samples.dense, samples.loss);
    let bound = |at: &mut _, p: usize| {
        tail.curvature(samples.pre_activations.col_as_slice(p), samples.labels[p], at);
        let a = samples.activities.col_as_slice(p);
        at.S.norm_l2() * a.iter().map(|a| a * a).sum::<f64>()
    };
    (0..samples.n_samples()).into_par_iter().map_init(|| tail.buffers(), bound).collect()
}

/// `κ_max = max_p ‖h_p‖`, exactly, and the sample that has it.
///
/// Samples are tried in descending order of the Frobenius bound until no bound exceeds the largest norm found, so only
/// a few eigenvalue problems are solved.
///
/// # Panics
/// When `samples` were not collected from `net`.
#[track_caller]
pub fn largest_curvature(net: &Network<f64>, samples: &LayerSamples) -> (f64, usize) {
    let bounds = norm_bounds(net, samples);
    let mut order: Vec<usize> = (0..bounds.len()).collect();
    order.sort_by(|&p, &q| bounds[q].total_cmp(&bounds[p]));
    let tail = Tail::new(net, samples.dense, samples.loss);
    let mut at = tail.buffers();
    let mut largest = (0.0, order[0]);
    for p in order {
        if bounds[p] <= largest.0 {
            break;
        }
        tail.curvature(samples.pre_activations.col_as_slice(p), samples.labels[p], &mut at);
        let a = samples.activities.col_as_slice(p);
        let (s, _) = range_eigen(at.S.as_ref());
        let norm = s.first().map_or(0.0, |s| s.abs()) * a.iter().map(|a| a * a).sum::<f64>();
        if norm > largest.0 {
            largest = (norm, p);
        }
    }
    largest
}

/// `E_p[|h_p|] = E_p[|S_p| ⊗ a_p a_pᵀ]`, the mean absolute curvature, `P × P`; equal to `H` when every `h_p` is PSD.
///
/// The right-hand bound of `MATH [13]` for indefinite `h_p` is `vᵀM₂v ≤ κ_max · vᵀE|h|v`. One `d_out × d_out`
/// eigenproblem a sample.
///
/// # Panics
/// When `samples` were not collected from `net`.
#[track_caller]
pub fn absolute_hessian(net: &Network<f64>, samples: &LayerSamples) -> Mat<f64> {
    let tail = Tail::new(net, samples.dense, samples.loss);
    let d_out = samples.d_out();
    let mut moments = kronecker_moments(
        shape(samples, 1),
        || tail.buffers(),
        |at, p, left, right| {
            tail.curvature(samples.pre_activations.col_as_slice(p), samples.labels[p], at);
            let (s, t) = range_eigen(at.S.as_ref());
            let scaled = Mat::from_fn(d_out, s.len(), |o, m| t[(o, m)] * s[m].abs());
            let mut absolute = Mat::zeros(d_out, d_out);
            matmul(absolute.as_mut(), Accum::Replace, &scaled, t.transpose(), 1.0, Par::Seq);
            vech(absolute.as_ref(), left);
            outer_product_vech(1.0, samples.activities.col_as_slice(p), right);
        },
    );
    moments.remove(0)
}
