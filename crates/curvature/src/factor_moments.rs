//! Moments of a layer from factors that are given, for weights that are used once or several times a sample.

use crate::panels::panel_moment;
use crate::{KroneckerShape, Symmetry, kronecker_moments, outer_product_vech, vech, vech_len};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
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

/// What stands between `U` and `Uᵀ`, of `S` and `U`.
type Middle<'a> = dyn Fn(Mat<f64>, MatRef<'_, f64>) -> Mat<f64> + Sync + 'a;

/// Factors that are not those of a layer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FactorsError {
    /// There are no samples, positions, inputs or outputs.
    #[error("[N, T, d_in, d_out] = {shape:?}: expected at least 1 of each")]
    Empty {
        /// `N`, `T`, `d_in`, `d_out`.
        shape: [usize; 4],
    },
    /// Another number of entries than the shapes have.
    #[error("{what} has {found} numbers, expected {expected}")]
    Length {
        /// `a`, `delta` or `S`.
        what: &'static str,
        /// What was given.
        found: usize,
        /// What would fit.
        expected: usize,
    },
    /// A number is infinite or NaN.
    #[error("{what} of sample {sample} has an entry {value}, expected finite numbers")]
    NotFinite {
        /// `a`, `delta` or `S`.
        what: &'static str,
        /// Which sample.
        sample: usize,
        /// The entry.
        value: f64,
    },
    /// An `S_p` differs from its transpose by more than single precision does.
    #[error("S of sample {sample} is not symmetric: {entry:e} at ({row}, {column}), {mirror:e} across the diagonal")]
    NotSymmetric {
        /// Which sample.
        sample: usize,
        /// Of the entry.
        row: usize,
        /// Likewise.
        column: usize,
        /// The entry.
        entry: f64,
        /// That at `(column, row)`.
        mirror: f64,
    },
    /// The listener of [`FactorMoments::of_with`] broke.
    #[error("stopped after {done} of {STEPS} steps")]
    Stopped {
        /// Steps that were done.
        done: usize,
    },
}

/// Steps of which a listener of [`FactorMoments::of_with`] hears: `H` and `M₂`, and `Σ`.
const STEPS: usize = 2;

/// How far an `S_p` may be from symmetric, of its largest entry.
const ASYMMETRY: f64 = 1e-5;

impl FactorMoments {
    /// From `a` (`[N, T, d_in]`), `delta` (`[N, T, d_out]`) and `S` (`[N, T·d_out, T·d_out]`), row-major, for
    /// `[N, T, d_in, d_out]`.
    ///
    /// # Errors
    /// When lengths do not fit, a number is not finite, or an `S_p` is not symmetric.
    ///
    /// ```
    /// use superlinear_curvature::FactorMoments;
    ///
    /// // One sample, two tokens, one input and one output: h = Σ S_tt' a_t a_t'.
    /// let found = FactorMoments::of([1, 2, 1, 1], &[2.0, 3.0], &[1.0, -1.0], &[1.0, 0.5, 0.5, 2.0])?;
    /// assert_eq!(found.H[(0, 0)], 4.0 + 2.0 * 3.0 + 18.0);
    /// assert_eq!((found.M2[(0, 0)], found.mean_gradient[0]), (28.0 * 28.0, -1.0));
    /// # Ok::<(), superlinear_curvature::FactorsError>(())
    /// ```
    pub fn of(shape: [usize; 4], a: &[f64], delta: &[f64], S: &[f64]) -> Result<Self, FactorsError> {
        Self::of_with(shape, a, delta, S, |_| ControlFlow::Continue(()))
    }

    /// [`FactorMoments::of`], with someone listening: `listen` hears the number of steps done, after `H` and `M₂` and
    /// after `Σ`, and may break.
    ///
    /// # Errors
    /// As [`FactorMoments::of`], and [`FactorsError::Stopped`].
    pub fn of_with(
        shape: [usize; 4],
        a: &[f64],
        delta: &[f64],
        S: &[f64],
        mut listen: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Self, FactorsError> {
        let [N, T, d_in, d_out] = shape;
        if shape.contains(&0) {
            return Err(FactorsError::Empty { shape });
        }
        let (P, rank) = (d_out * d_in, T * d_out);
        for (what, given, each) in [("a", a, T * d_in), ("delta", delta, rank), ("S", S, rank * rank)] {
            if given.len() != N * each {
                return Err(FactorsError::Length { what, found: given.len(), expected: N * each });
            }
            if let Some(at) = given.iter().position(|x| !x.is_finite()) {
                return Err(FactorsError::NotFinite { what, sample: at / each, value: given[at] });
            }
        }
        for (sample, S) in S.chunks_exact(rank * rank).enumerate() {
            let largest = S.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            for (row, column) in (0..rank).flat_map(|row| (0..row).map(move |column| (row, column))) {
                let (entry, mirror) = (S[row * rank + column], S[column * rank + row]);
                if (entry - mirror).abs() > ASYMMETRY * largest {
                    return Err(FactorsError::NotSymmetric { sample, row, column, entry, mirror });
                }
            }
        }
        let activities = |p: usize| &a[p * T * d_in..(p + 1) * T * d_in];
        let fill_U = |p: usize, mut U: MatMut<'_, f64>| {
            U.fill(0.0);
            for (t, a) in activities(p).chunks_exact(d_in).enumerate() {
                for o in 0..d_out {
                    for (i, &a) in a.iter().enumerate() {
                        U[(o * d_in + i, t * d_out + o)] = a;
                    }
                }
            }
        };
        // The mean of S and its transpose, to the last bit symmetric.
        let curvature = |p: usize| {
            let S = MatRef::from_row_major_slice(&S[p * rank * rank..(p + 1) * rank * rank], rank, rank);
            Mat::from_fn(rank, rank, |i, j| 0.5 * (S[(i, j)] + S[(j, i)]))
        };
        let moment = |of: &Middle<'_>| {
            panel_moment(
                P,
                N,
                rank,
                || (),
                |(), p, mut left, mut right| {
                    fill_U(p, right.as_mut());
                    let middle = of(curvature(p), right.as_ref());
                    matmul(left.as_mut(), Accum::Replace, &right, &middle, 1.0, Par::Seq);
                },
            )
        };
        let [H, M2] = if T == 1 {
            // MATH [5]: d_out times less work than products of U.
            let shape = KroneckerShape { symmetry: Symmetry::Symmetric, n_samples: N, n_moments: 2, d_out, d_in };
            let found = kronecker_moments(
                shape,
                || Mat::<f64>::zeros(d_out, d_out),
                |square, p, left, right| {
                    let (S, a) = (curvature(p), activities(p));
                    let norm_squared: f64 = a.iter().map(|a| a * a).sum();
                    matmul(square.as_mut(), Accum::Replace, &S, &S, norm_squared, Par::Seq);
                    let (first, second) = left.split_at_mut(vech_len(d_out));
                    vech(S.as_ref(), first);
                    vech(square.as_ref(), second);
                    outer_product_vech(1.0, a, right);
                },
            );
            <[_; 2]>::try_from(found).expect("two moments were asked for")
        } else {
            [moment(&|S, _| S), moment(&|S, U| &S * (U.transpose() * U) * &S)]
        };
        let mut step = |done| match listen(done) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FactorsError::Stopped { done }),
        };
        step(1)?;
        let gradient = |p: usize, g: &mut dyn FnMut(usize, f64)| {
            for (a, delta) in activities(p).chunks_exact(d_in).zip(delta[p * rank..].chunks_exact(d_out)) {
                for (o, delta) in delta.iter().enumerate() {
                    a.iter().enumerate().for_each(|(i, a)| g(o * d_in + i, delta * a));
                }
            }
        };
        let mut mean = vec![0.0; P];
        (0..N).for_each(|p| gradient(p, &mut |at, x| mean[at] += x));
        mean.iter_mut().for_each(|x| *x /= N as f64);
        let Sigma = panel_moment(
            P,
            N,
            1,
            || (),
            |(), p, mut left, mut right| {
                (0..P).for_each(|i| left[(i, 0)] = -mean[i]);
                gradient(p, &mut |at, x| left[(at, 0)] += x);
                right.copy_from(&left);
            },
        );
        step(STEPS)?;
        Ok(Self { H, M2, Sigma, mean_gradient: mean })
    }
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
        let found = FactorMoments::of(shape, &a, &delta, &S).unwrap();
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
        let found = FactorMoments::of(shape, &a, &delta, &S).unwrap();
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

    #[test]
    fn what_is_no_factor_is_named() {
        let shape = [2, 1, 1, 2];
        let [a, delta, mut S] = factors(shape);
        let error =
            |a: &[f64], delta: &[f64], S: &[f64]| FactorMoments::of(shape, a, delta, S).unwrap_err().to_string();
        assert_eq!(error(&a[1..], &delta, &S), "a has 1 numbers, expected 2");
        let mut nan = delta.clone();
        nan[3] = f64::NAN;
        assert_eq!(error(&a, &nan, &S), "delta of sample 1 has an entry NaN, expected finite numbers");
        S[1] += 1.0;
        assert!(error(&a, &delta, &S).starts_with("S of sample 0 is not symmetric"));
        let [a, delta, S] = factors(shape);
        let stopped = FactorMoments::of_with(shape, &a, &delta, &S, |_| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap_err(), FactorsError::Stopped { done: 1 });
        let empty = FactorMoments::of([0, 1, 1, 1], &[], &[], &[]).unwrap_err().to_string();
        assert_eq!(empty, "[N, T, d_in, d_out] = [0, 1, 1, 1]: expected at least 1 of each");
    }
}
