//! Products with `H`, `Σ` and `M₂` of a layer's factors, and their diagonals along vectors, without `P × P` matrices.

use crate::diagonals_along::diagonals_along;
use crate::spectra_along::{in_orthonormal, of_products, side_by_side, spectra_along};
use crate::{Diagonal, DiagonalsAlong, GraphCurvatureError, PerSampleHessian, PositionFactors, SpectraAlong};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::convert::Infallible;
use std::ops::ControlFlow;
use superlinear_nets::Forms;

/// Parts of the samples that are added up side by side, then in order: not a matter of threads.
const PARTS: usize = 8;

impl PositionFactors {
    /// `X V` (`P × K`). Bit-identical for any number of threads of the current rayon pool.
    ///
    /// # Panics
    /// When `V` has not `P` rows.
    #[track_caller]
    pub fn product(&self, of: Diagonal, V: MatRef<'_, f64>) -> Mat<f64> {
        self.product_with(of, V, |_, _| ())
    }

    /// The diagonals of `H`, `Σ` and `M₂` along the columns of `vectors` (`P × K`, unit vectors), as
    /// [`GraphLoss::diagonals_along`](crate::GraphLoss::diagonals_along).
    ///
    /// # Errors
    /// When one is not finite, or `listen`, which hears of products, breaks.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn diagonals_along(
        &self,
        vectors: MatRef<'_, f64>,
        listen: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<DiagonalsAlong, GraphCurvatureError> {
        assert_eq!(vectors.nrows(), self.n_params(), "vectors have an entry a parameter");
        diagonals_along(self.n_samples(), vectors, listen, |of, panel, seen| {
            Ok(self.product_with(of, panel, |p, forms| {
                if of == Diagonal::Hessian {
                    seen.take_up(p, 0, forms);
                }
            }))
        })
    }

    /// The eigenpairs of every `h_p` along the columns of `vectors` (`P × K`): `κ_max`, the diagonal of `E_p[|h_p|]`,
    /// and the spectra of the samples `keep`.
    ///
    /// One eigenproblem a sample, of order [`spectrum_order`](Self::spectrum_order). Bit-identical for any number of
    /// threads. `listen` hears how many more samples are done; `None` if it breaks.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn spectra_along(
        &self,
        vectors: MatRef<'_, f64>,
        keep: &[usize],
        listen: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Option<SpectraAlong> {
        let ([N, T, _, d_out], K) = (self.shape(), vectors.ncols());
        assert_eq!(vectors.nrows(), self.n_params(), "vectors have an entry a parameter");
        let found = spectra_along::<Infallible>((N, K), keep, listen, |samples| {
            if T == 1 {
                let product =
                    |p| PerSampleHessian::new(self.S(p).to_owned(), self.a(p).col(0).iter().copied().collect());
                return Ok(of_products(&samples.map(product).collect::<Vec<_>>(), vectors));
            }
            let of_sample = |p| {
                // With a = Q R, h = (I ⊗ Q) B (I ⊗ Qᵀ) and B_jk = Σ_tt' R_jt S_tt' R_kt'.
                let qr = self.a(p).qr();
                let (Q, R) = (qr.compute_thin_Q(), qr.thin_R());
                let n = R.nrows();
                let entry = |row: usize, column: usize| {
                    let same = row % d_out == column % d_out;
                    if same { R[(row / d_out, column / d_out)] } else { 0.0 }
                };
                let wide = Mat::from_fn(n * d_out, T * d_out, entry);
                in_orthonormal(&self.images(Q.as_ref(), vectors), &(&wide * self.S(p) * wide.transpose()))
            };
            Ok(side_by_side(K, samples.into_par_iter().map(of_sample).collect()))
        });
        found.unwrap_or_else(|never| match never {})
    }

    /// The order of the eigenproblem that one sample takes: `d_out · min(T, d_in)`.
    pub fn spectrum_order(&self) -> usize {
        let [_, T, d_in, d_out] = self.shape();
        d_out * T.min(d_in)
    }

    /// [`PositionFactors::product`], where `see` is told what every sample contributes along products with `H`.
    #[track_caller]
    fn product_with(&self, of: Diagonal, V: MatRef<'_, f64>, see: impl Fn(usize, &Forms<f64>) + Sync) -> Mat<f64> {
        let (N, P, K) = (self.n_samples(), self.n_params(), V.ncols());
        assert_eq!(V.nrows(), P, "vectors have an entry a parameter");
        let mean = (of == Diagonal::Covariance).then(|| {
            let mean = self.mean_gradient();
            MatRef::from_row_major_slice(&mean, 1, P) * V
        });
        let part = |part: usize| {
            let mut sum = Mat::zeros(P, K);
            for p in part * N / PARTS..(part + 1) * N / PARTS {
                let w = self.images(self.a(p), V);
                let y = match &mean {
                    None => self.S(p) * &w,
                    Some(mean) => {
                        let delta = MatRef::from_column_major_slice(self.delta(p), self.rank(), 1);
                        delta * (delta.transpose() * &w - mean)
                    }
                };
                if of == Diagonal::Hessian {
                    see(p, &self.forms(p, &w, &y));
                }
                let y = if of == Diagonal::SecondMoment { self.S(p) * (self.gram(p) * &y) } else { y };
                self.add_back(p, &y, sum.as_mut());
            }
            sum
        };
        let parts: Vec<Mat<f64>> = (0..PARTS).into_par_iter().map(part).collect();
        let mut sum = Mat::zeros(P, K);
        parts.into_iter().for_each(|part| sum += part);
        sum *= faer::Scale(1.0 / N as f64);
        sum
    }

    /// `[e_o ⊗ a_t]ᵀV` for the columns of `a` (`d_in × T`), `T·d_out × K`; with `a_p`, `U_pᵀV`.
    fn images(&self, a: MatRef<'_, f64>, V: MatRef<'_, f64>) -> Mat<f64> {
        let ([_, _, d_in, d_out], T) = (self.shape(), a.ncols());
        let mut w = Mat::zeros(T * d_out, V.ncols());
        let mut own = Mat::zeros(d_out, T);
        for (k, v) in V.col_iter().enumerate() {
            let rows = Mat::from_fn(d_out, d_in, |o, i| v[o * d_in + i]);
            matmul(own.as_mut(), Accum::Replace, &rows, a, 1.0, Par::Seq);
            for t in 0..T {
                w.col_as_slice_mut(k)[t * d_out..(t + 1) * d_out].copy_from_slice(own.col_as_slice(t));
            }
        }
        w
    }

    /// Adds `U_p y` to `sum`.
    fn add_back(&self, p: usize, y: &Mat<f64>, mut sum: MatMut<'_, f64>) {
        let [_, T, d_in, d_out] = self.shape();
        for k in 0..y.ncols() {
            let y = MatRef::from_column_major_slice(y.col_as_slice(k), d_out, T);
            let to = sum.as_mut().col_mut(k).try_as_col_major_mut().expect("owned").as_slice_mut();
            let to = MatMut::from_column_major_slice_mut(to, d_in, d_out);
            matmul(to, Accum::Add, self.a(p), y.transpose(), 1.0, Par::Seq);
        }
    }

    /// `g_p·v`, `vᵀh_p v` and `‖h_p v‖²` of `w = U_pᵀv` and `y = S_p w`.
    fn forms(&self, p: usize, w: &Mat<f64>, y: &Mat<f64>) -> Forms<f64> {
        let delta = MatRef::from_row_major_slice(self.delta(p), 1, self.rank());
        let image = self.gram(p) * y;
        let along = |x: &Mat<f64>| Mat::from_fn(1, y.ncols(), |_, k| x.col(k).transpose() * y.col(k));
        Forms { gradient: delta * w, curvature: along(w), squared_curvature: along(&image) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FactorMoments;

    #[test]
    fn products_and_diagonals_are_those_of_the_dense_moments_for_any_threads() {
        for T in [1, 3] {
            let shape @ [N, _, d_in, d_out] = [21, T, 4, 3];
            let number = |seed: usize| move |i: usize| ((i * 37 + seed * 11) % 101) as f64 / 50.0 - 1.0;
            let rank = T * d_out;
            let entry = |p: usize, i: usize, j: usize| number(p)(i * j + i + j);
            let S = (0..N * rank * rank).map(|at| entry(at / rank / rank, at / rank % rank, at % rank)).collect();
            let (a, delta) = ((0..N * T * d_in).map(number(1)).collect(), (0..N * rank).map(number(2)).collect());
            let factors = PositionFactors::new(shape, a, delta, S).unwrap();
            let dense = FactorMoments::of(&factors);
            let V = Mat::from_fn(d_in * d_out, 5, |i, k| number(k)(i));
            let found = factors.diagonals_along(V.as_ref(), |_| ControlFlow::Continue(())).unwrap();
            for (of, matrix) in [
                (Diagonal::Hessian, &dense.H),
                (Diagonal::Covariance, &dense.Sigma),
                (Diagonal::SecondMoment, &dense.M2),
            ] {
                let truth = matrix * &V;
                let [one, four] = [1, 4].map(|n| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
                    pool.install(|| factors.product(of, V.as_ref()))
                });
                assert_eq!(one, four);
                assert!((&one - &truth).norm_max() < 1e-13 * truth.norm_max(), "{of:?}");
                for k in 0..5 {
                    let along = V.col(k).transpose() * truth.col(k);
                    assert!((found.values(of)[k] - along).abs() < 1e-12 * truth.norm_max(), "{of:?}");
                }
            }
        }
    }
}
