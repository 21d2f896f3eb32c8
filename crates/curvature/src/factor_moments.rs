//! Moments of a layer from factors that are given, for weights that are used once or several times a sample.

use crate::panels::panel_moment;
use crate::{KroneckerShape, PositionFactors, Symmetry, kronecker_moments, outer_product_vech, vech, vech_len};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use std::ops::ControlFlow;

/// `H`, `M₂`, `Σ` and `ḡ` of a layer `z_t = W a_t`, used at `T` positions of every sample, over `N` samples.
///
/// With `δ_pt = ∂ℓ_p/∂z_t` and `S_p = ∂²ℓ_p/∂z²` over all `T·d_out` pre-activations, behind which activities do not
/// follow each other,
///
/// ```text
/// g_p = Σ_t δ_pt ⊗ a_pt,   h_p = Σ_(t,t') (S_p)_(tt') ⊗ a_pt a_pt'ᵀ = U_p S_p U_pᵀ,   U_p = [e_o ⊗ a_pt]
/// ```
///
/// in the order of `vec(W)`, row-major. Exact, and the same to the last bit for any number of threads.
#[derive(Clone, Debug)]
pub struct FactorMoments {
    /// `E_p[h_p]`, `P × P` with `P = d_out · d_in`.
    pub H: Mat<f64>,
    /// `E_p[h_p²]`.
    pub M2: Mat<f64>,
    /// `E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]`.
    pub Sigma: Mat<f64>,
    /// `ḡ`.
    pub mean_gradient: Vec<f64>,
}

impl FactorMoments {
    /// Of a layer's factors.
    ///
    /// ```
    /// use superlinear_curvature::{FactorMoments, PositionFactors};
    ///
    /// // One sample, two tokens, one input and one output: h = Σ S_tt' a_t a_t'.
    /// let (a, delta, S) = (vec![2.0, 3.0], vec![1.0, -1.0], vec![1.0, 0.5, 0.5, 2.0]);
    /// let found = FactorMoments::of(&PositionFactors::new([1, 2, 1, 1], a, delta, S)?);
    /// assert_eq!(found.H[(0, 0)], 4.0 + 2.0 * 3.0 + 18.0);
    /// assert_eq!((found.M2[(0, 0)], found.mean_gradient[0]), (28.0 * 28.0, -1.0));
    /// # Ok::<(), superlinear_curvature::FactorsError>(())
    /// ```
    pub fn of(factors: &PositionFactors) -> Self {
        Self::of_with(factors, |_| ControlFlow::Continue(())).expect("nobody stops it")
    }

    /// [`FactorMoments::of`], with someone listening: `listen` hears the number of steps done, 1 after `H` and `M₂` and
    /// 2 after `Σ`. `None` if it breaks.
    pub fn of_with(factors: &PositionFactors, mut listen: impl FnMut(usize) -> ControlFlow<()>) -> Option<Self> {
        let [H, M2] = match factors.shape()[1] {
            // MATH [5]: d_out times less work than products of U.
            1 => used_once(factors),
            _ => [moment(factors, &|_, S| S), moment(factors, &|p, S| &S * factors.gram(p) * &S)],
        };
        listen(1).is_continue().then_some(())?;
        let mean_gradient = factors.mean_gradient();
        let Sigma = covariance(factors, &mean_gradient);
        listen(2).is_continue().then_some(Self { H, M2, Sigma, mean_gradient })
    }
}

/// `H` and `M₂` of `h_p = S_p ⊗ a_p a_pᵀ`, by symmetric-Kronecker products.
fn used_once(factors: &PositionFactors) -> [Mat<f64>; 2] {
    let [n_samples, _, d_in, d_out] = factors.shape();
    let shape = KroneckerShape { symmetry: Symmetry::Symmetric, n_samples, n_moments: 2, d_out, d_in };
    let moments = kronecker_moments(
        shape,
        || Mat::<f64>::zeros(d_out, d_out),
        |square, p, left, right| {
            let (S, a) = (factors.S(p), factors.a(p).col(0));
            matmul(square.as_mut(), Accum::Replace, S, S, a.squared_norm_l2(), Par::Seq);
            let (first, second) = left.split_at_mut(vech_len(d_out));
            vech(S, first);
            vech(square.as_ref(), second);
            outer_product_vech(1.0, a.try_as_col_major().expect("one position").as_slice(), right);
        },
    );
    <[_; 2]>::try_from(moments).expect("two moments were asked for")
}

/// `E_p[U_p M_p U_pᵀ]` with `M_p = middle(p, S_p)`.
fn moment(factors: &PositionFactors, middle: &(dyn Fn(usize, Mat<f64>) -> Mat<f64> + Sync)) -> Mat<f64> {
    let [N, _, d_in, d_out] = factors.shape();
    panel_moment(
        factors.n_params(),
        N,
        factors.rank(),
        || (),
        |(), p, mut left, mut right| {
            right.fill(0.0);
            for (t, a) in factors.a(p).col_iter().enumerate() {
                for o in 0..d_out {
                    for (i, &a) in a.iter().enumerate() {
                        right[(o * d_in + i, t * d_out + o)] = a;
                    }
                }
            }
            matmul(left.as_mut(), Accum::Replace, &right, &middle(p, factors.S(p).to_owned()), 1.0, Par::Seq);
        },
    )
}

/// `Σ`, centred before it is multiplied.
fn covariance(factors: &PositionFactors, mean: &[f64]) -> Mat<f64> {
    panel_moment(
        factors.n_params(),
        factors.n_samples(),
        1,
        || (),
        |(), p, mut left, mut right| {
            mean.iter().enumerate().for_each(|(i, mean)| left[(i, 0)] = -mean);
            factors.gradient(p, |at, x| left[(at, 0)] += x);
            right.copy_from(&left);
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnalysedLayer, LayerFactors, layer_moments};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn factors([N, T, d_in, d_out]: [usize; 4]) -> [Vec<f64>; 3] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>() - 0.5).collect::<Vec<f64>>();
        let rank = T * d_out;
        let (a, delta, raw) = (draw(N * T * d_in), draw(N * rank), draw(N * rank * rank));
        let entry = |p: usize, i: usize, j: usize| raw[(p * rank + i) * rank + j];
        let S = (0..N).flat_map(|p| (0..rank * rank).map(move |at| (p, at / rank, at % rank)));
        let S = S.map(|(p, i, j)| entry(p, i, j) + entry(p, j, i)).collect();
        [a, delta, S]
    }

    #[test]
    fn moments_are_those_of_dense_hessians() {
        dense_hessians_have([7, 3, 4, 2]);
        dense_hessians_have([7, 1, 4, 3]);
    }

    /// Dense `h_p` and `g_p`, entry by entry.
    fn dense_hessians_have(shape @ [N, T, d_in, d_out]: [usize; 4]) {
        let [a, delta, S] = factors(shape);
        let found = FactorMoments::of(&PositionFactors::new(shape, a.clone(), delta.clone(), S.clone()).unwrap());
        let (P, rank) = (d_in * d_out, T * d_out);
        let (mut H, mut M2) = (Mat::<f64>::zeros(P, P), Mat::<f64>::zeros(P, P));
        let mut gradients = Mat::<f64>::zeros(P, N);
        for p in 0..N {
            let a = |t: usize, i: usize| a[(p * T + t) * d_in + i];
            let S = |t: usize, o: usize, u: usize, q: usize| S[(p * rank + t * d_out + o) * rank + u * d_out + q];
            let pairs = || (0..T).flat_map(|t| (0..T).map(move |u| (t, u)));
            let h = Mat::from_fn(P, P, |r, c| {
                let (o, i, q, j) = (r / d_in, r % d_in, c / d_in, c % d_in);
                pairs().map(|(t, u)| S(t, o, u, q) * a(t, i) * a(u, j)).sum::<f64>()
            });
            M2 += &h * &h;
            H += &h;
            for r in 0..P {
                gradients[(r, p)] = (0..T).map(|t| delta[(p * T + t) * d_out + r / d_in] * a(t, r % d_in)).sum();
            }
        }
        let mean = Mat::from_fn(P, 1, |r, _| gradients.row(r).iter().sum::<f64>() / N as f64);
        let centred = Mat::from_fn(P, N, |r, p| gradients[(r, p)] - mean[(r, 0)]);
        let Sigma = &centred * centred.transpose();
        let scale = faer::Scale(1.0 / N as f64);
        for (found, truth) in [(&found.H, scale * H), (&found.M2, scale * M2), (&found.Sigma, scale * Sigma)] {
            assert!((found - &truth).norm_max() < 1e-13 * truth.norm_max());
        }
        assert!(found.mean_gradient.iter().enumerate().all(|(r, g)| (g - mean[(r, 0)]).abs() < 1e-14));
    }

    #[test]
    fn one_use_is_the_symmetric_kronecker_product() {
        let shape @ [N, _, d_in, d_out] = [9, 1, 5, 3];
        let [a, delta, S] = factors(shape);
        let factors = PositionFactors::new(shape, a.clone(), delta.clone(), S.clone()).unwrap();
        let found = FactorMoments::of(&factors);
        assert!(FactorMoments::of_with(&factors, |_| ControlFlow::Break(())).is_none());
        let layer = AnalysedLayer::from_factors(LayerFactors {
            activities: Mat::from_fn(d_in, N, |i, p| a[p * d_in + i]),
            deltas: Mat::from_fn(d_out, N, |o, p| delta[p * d_out + o]),
            curvatures: S,
            weight: None,
            labels: None,
        });
        let moments = layer_moments(&layer.unwrap());
        assert!((&found.H - &moments.H).norm_max() < 1e-14 * moments.H.norm_max());
        assert!((&found.M2 - &moments.M2).norm_max() < 1e-14 * moments.M2.norm_max());
    }
}
