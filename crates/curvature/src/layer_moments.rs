//! The moments of one layer that the paper compares: `H`, `M₂` and the gradients' second moment, in one pass.

use crate::{
    AnalysedLayer, NotGiven, SampleFactors, Symmetry, kronecker_moments, outer_product_vech, range_eigen, vech,
    vech_len,
};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

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
pub fn layer_moments(layer: &AnalysedLayer) -> LayerMoments {
    layer_moments_with(layer, 0, |_, _| ()).0
}

/// [`layer_moments`] together with `n_extra` further moments `E_p[A_p ⊗ a_p a_pᵀ]` that share their right factor.
///
/// `extra` writes `vech(A_p)` of each of them, one after the other, for one sample. About `(3 + n_extra)·N·P²/2` flops.
pub fn layer_moments_with(
    layer: &AnalysedLayer,
    n_extra: usize,
    extra: impl Fn(SampleFactors<'_>, &mut [f64]) + Sync + Send,
) -> (LayerMoments, Vec<Mat<f64>>) {
    let d_out = layer.d_out();
    let n_left = vech_len(d_out);
    let square = || Mat::<f64>::zeros(d_out, d_out);
    let mut moments = activity_moments(layer, 3 + n_extra, square, |square, sample, left| {
        let SampleFactors { delta, S, .. } = sample;
        matmul(square.as_mut(), Accum::Replace, S, S, sample.norm_squared(), Par::Seq);
        let (first, rest) = left.split_at_mut(n_left);
        let (second, rest) = rest.split_at_mut(n_left);
        let (third, rest) = rest.split_at_mut(n_left);
        vech(S, first);
        vech(square.as_ref(), second);
        outer_product_vech(1.0, delta, third);
        extra(sample, rest);
    });
    let extra = moments.split_off(3);
    let [H, M2, gradient_second_moment] = <[_; 3]>::try_from(moments).expect("three moments were asked for");
    (LayerMoments { H, M2, gradient_second_moment }, extra)
}

/// The moments `E_p[A_p ⊗ a_p a_pᵀ]` whose `vech(A_p)` are written by `left`, one after the other, with a worker's
/// `scratch`.
fn activity_moments<W>(
    layer: &AnalysedLayer,
    n_moments: usize,
    scratch: impl Fn() -> W + Sync + Send,
    left: impl Fn(&mut W, SampleFactors<'_>, &mut [f64]) + Sync + Send,
) -> Vec<Mat<f64>> {
    kronecker_moments(
        layer.moment_shape(Symmetry::Symmetric, n_moments),
        || (layer.curvatures(), scratch()),
        |(curvatures, scratch), p, vech_A, vech_B| {
            let sample = curvatures.at(p);
            left(scratch, sample, vech_A);
            outer_product_vech(1.0, sample.a, vech_B);
        },
    )
}

/// The generalised Gauss–Newton matrix of the layer, `E_p[S_p^{GN} ⊗ a_p a_pᵀ]`, `P × P`, PSD, with
/// [`Tail::gauss_newton`](superlinear_nets::Tail::gauss_newton) in the place of `S_p`.
///
/// Behind a piecewise-linear tail it is `H` under cross-entropy and linear MSE. Under cross-entropy it also is the
/// Fisher matrix with labels drawn from the network.
///
/// # Errors
/// [`NotGiven::Network`] for given factors, which do not tell how `S_p` comes about. Give `S_p^{GN}` in the place of
/// `S_p`, and `H` is this matrix.
pub fn gauss_newton(layer: &AnalysedLayer) -> Result<Mat<f64>, NotGiven> {
    let (pass, labels) = (layer.network_pass()?, layer.labels()?);
    let tail = pass.tail();
    let mut moments = kronecker_moments(
        layer.moment_shape(Symmetry::Symmetric, 1),
        || tail.buffers(),
        |at, p, left, right| {
            tail.gauss_newton(pass.z(p), labels[p], at);
            vech(at.S.as_ref(), left);
            outer_product_vech(1.0, layer.a(p), right);
        },
    );
    Ok(moments.remove(0))
}

/// `κ_max = max_p ‖h_p‖`, exactly, and the sample that has it.
///
/// Samples are tried in descending order of the bound `‖a_p‖²‖S_p‖_F` until no bound exceeds the largest norm found, so
/// only a few eigenvalue problems are solved.
pub fn largest_curvature(layer: &AnalysedLayer) -> (f64, usize) {
    let bounds = layer.map(|sample| sample.S.norm_l2() * sample.norm_squared());
    let mut order: Vec<usize> = (0..bounds.len()).collect();
    order.sort_by(|&p, &q| bounds[q].total_cmp(&bounds[p]));
    let mut curvatures = layer.curvatures();
    let mut largest = (0.0, order[0]);
    for p in order {
        if bounds[p] <= largest.0 {
            break;
        }
        let sample = curvatures.at(p);
        let (s, _) = range_eigen(sample.S);
        let norm = s.first().map_or(0.0, |s| s.abs()) * sample.norm_squared();
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
pub fn absolute_hessian(layer: &AnalysedLayer) -> Mat<f64> {
    let d_out = layer.d_out();
    let absolute = || Mat::<f64>::zeros(d_out, d_out);
    let mut moments = activity_moments(layer, 1, absolute, |absolute, sample, left| {
        let (s, t) = range_eigen(sample.S);
        let scaled = Mat::from_fn(d_out, s.len(), |o, m| t[(o, m)] * s[m].abs());
        matmul(absolute.as_mut(), Accum::Replace, &scaled, t.transpose(), 1.0, Par::Seq);
        vech(absolute.as_ref(), left);
    });
    moments.remove(0)
}
