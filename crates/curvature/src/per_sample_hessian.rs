//! The Hessian of one sample's loss in a dense layer's weight, in factored form (MATH \[1\], \[4\]).

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// `h_p = S_p ⊗ a_p a_pᵀ`, of order `P = d_out · d_in`, held as its two factors.
///
/// Never formed: it acts on vectors, is squared and diagonalised through `S` (`d_out × d_out`) alone.
#[derive(Clone, Debug)]
pub struct PerSampleHessian {
    S: Mat<f64>,
    a: Vec<f64>,
}

/// The eigenpairs of a [`PerSampleHessian`] that can be nonzero: `κ_m = s_m‖a‖²`, `u_m = t_m ⊗ a/‖a‖`.
#[derive(Clone, Debug)]
pub struct FactoredEigenpairs {
    /// `κ_m`, by descending magnitude. The other `P − d_out` eigenvalues are zero.
    pub kappa: Vec<f64>,
    /// `t_m` as columns, `d_out × d_out`, orthonormal.
    pub t: Mat<f64>,
    /// `a/‖a‖`, length `d_in`.
    pub direction: Vec<f64>,
}

impl PerSampleHessian {
    /// From the pre-activation Hessian `S` (symmetric, `d_out × d_out`) and the activity `a`.
    ///
    /// # Panics
    /// When `S` is not square.
    #[track_caller]
    pub fn new(S: Mat<f64>, a: Vec<f64>) -> Self {
        assert_eq!(S.nrows(), S.ncols(), "S is square");
        Self { S, a }
    }

    /// `S_p`.
    pub fn S(&self) -> MatRef<'_, f64> {
        self.S.as_ref()
    }

    /// `a_p`.
    pub fn a(&self) -> &[f64] {
        &self.a
    }

    /// `P`.
    pub fn n_params(&self) -> usize {
        self.S.nrows() * self.a.len()
    }

    /// `h v`, for `v = vec(V)` row-major: `vec(S (V a) aᵀ)`. `O(d_out² + P)`.
    ///
    /// # Panics
    /// When a length is not `P`.
    #[track_caller]
    pub fn apply(&self, v: &[f64], out: &mut [f64]) {
        let (d_out, d_in) = (self.S.nrows(), self.a.len());
        assert!(v.len() == self.n_params() && out.len() == self.n_params(), "vectors of length P");
        let V_a: Vec<f64> = v.chunks_exact(d_in).map(|row| dot(row, &self.a)).collect();
        let mut S_V_a = vec![0.0; d_out];
        matmul(
            MatMut::from_column_major_slice_mut(&mut S_V_a, d_out, 1),
            Accum::Replace,
            &self.S,
            MatRef::from_column_major_slice(&V_a, d_out, 1),
            1.0,
            Par::Seq,
        );
        for (row, &scale) in out.chunks_exact_mut(d_in).zip(&S_V_a) {
            for (x, &a) in row.iter_mut().zip(&self.a) {
                *x = scale * a;
            }
        }
    }

    /// `h² = (‖a‖² S²) ⊗ a aᵀ`.
    pub fn square(&self) -> Self {
        let mut S = Mat::zeros(self.S.nrows(), self.S.ncols());
        matmul(S.as_mut(), Accum::Replace, &self.S, &self.S, dot(&self.a, &self.a), Par::Seq);
        Self { S, a: self.a.clone() }
    }

    /// `h` as a dense `P × P` matrix: for tests and tiny layers.
    pub fn to_dense(&self) -> Mat<f64> {
        let d_in = self.a.len();
        Mat::from_fn(self.n_params(), self.n_params(), |r, c| {
            self.S[(r / d_in, c / d_in)] * self.a[r % d_in] * self.a[c % d_in]
        })
    }

    /// Spectral norm `‖h‖ = max_m |κ_m|`.
    ///
    /// # Panics
    /// When `S` holds a number that is not finite.
    #[track_caller]
    pub fn norm(&self) -> f64 {
        let (s, _) = active_eigen(self.S.as_ref());
        s.iter().fold(0.0, |largest: f64, s| largest.max(s.abs())) * dot(&self.a, &self.a)
    }

    /// The `d_out` eigenpairs that can be nonzero, by descending `|κ|`; `None` for `a = 0`, where `h = 0`.
    ///
    /// # Panics
    /// When `S` holds a number that is not finite.
    #[track_caller]
    pub fn eigenpairs(&self) -> Option<FactoredEigenpairs> {
        let norm_squared = dot(&self.a, &self.a);
        if norm_squared == 0.0 {
            return None;
        }
        let d_out = self.S.nrows();
        let (s, t) = eigen(self.S.as_ref());
        let mut order: Vec<usize> = (0..d_out).collect();
        order.sort_by(|&m, &n| s[n].abs().total_cmp(&s[m].abs()));
        let norm = norm_squared.sqrt();
        Some(FactoredEigenpairs {
            kappa: order.iter().map(|&m| s[m] * norm_squared).collect(),
            t: Mat::from_fn(d_out, d_out, |o, m| t[(o, order[m])]),
            direction: self.a.iter().map(|a| a / norm).collect(),
        })
    }
}

impl FactoredEigenpairs {
    /// Eigenvector `u_m = t_m ⊗ a/‖a‖`, dense, length `P`.
    ///
    /// # Panics
    /// When `m ≥ d_out`.
    #[track_caller]
    pub fn eigenvector(&self, m: usize) -> Vec<f64> {
        let t = self.t.col_as_slice(m);
        t.iter().flat_map(|t| self.direction.iter().map(move |a| t * a)).collect()
    }
}

/// Eigenvalues of a symmetric `S` with their eigenvectors as columns, those left out whose eigenvalue is zero because a
/// row of `S` is.
///
/// Behind a ReLU every row of an inactive unit is exactly zero, and the eigenproblem shrinks to the active ones. The order
/// is that of the values, ascending.
///
/// # Panics
/// When `S` is not square or holds a number that is not finite.
#[track_caller]
pub fn active_eigen(S: MatRef<'_, f64>) -> (Vec<f64>, Mat<f64>) {
    let d = S.nrows();
    assert_eq!(d, S.ncols(), "S is square");
    let active: Vec<usize> = (0..d).filter(|&j| S.col(j).iter().any(|&x| x != 0.0)).collect();
    let compressed = Mat::from_fn(active.len(), active.len(), |i, j| S[(active[i], active[j])]);
    let (values, compressed) = eigen(compressed.as_ref());
    let mut vectors = Mat::zeros(d, active.len());
    for m in 0..active.len() {
        for (i, &o) in active.iter().enumerate() {
            vectors[(o, m)] = compressed[(i, m)];
        }
    }
    (values, vectors)
}

/// All eigenpairs of a small symmetric matrix, ascending, on the calling thread.
fn eigen(S: MatRef<'_, f64>) -> (Vec<f64>, Mat<f64>) {
    let d = S.nrows();
    let mut values = Diag::zeros(d);
    let mut vectors = Mat::zeros(d, d);
    let params = Default::default();
    // faer's iteration has absolute thresholds, and a well-fitted sample's S is far below them. A power of two is exact.
    let largest = S.norm_max();
    let exponent = if largest == 0.0 { 0.0 } else { largest.log2().floor().clamp(-1_000.0, 1_000.0) };
    let scale = 2_f64.powi(exponent as i32);
    let S = S * faer::Scale(1.0 / scale);
    let scratch = self_adjoint_evd_scratch::<f64>(d, ComputeEigenvectors::Yes, Par::Seq, params);
    let mut memory = MemBuffer::new(scratch);
    self_adjoint_evd(S.as_ref(), values.as_mut(), Some(vectors.as_mut()), Par::Seq, MemStack::new(&mut memory), params)
        .expect("eigenpairs of a finite symmetric matrix");
    (values.column_vector().iter().map(|s| scale * s).collect(), vectors)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> PerSampleHessian {
        let S = faer::mat![[2.0, -1.0, 0.3], [-1.0, 0.5, 0.0], [0.3, 0.0, -1.5]];
        PerSampleHessian::new(S, vec![0.5, -2.0])
    }

    #[test]
    fn action_and_square_agree_with_the_dense_matrix() {
        let h = example();
        let dense = h.to_dense();
        let v = [1.0, -0.5, 0.25, 2.0, 0.1, -1.0];
        let mut out = [0.0; 6];
        h.apply(&v, &mut out);
        let squared = &dense * &dense;
        let square = h.square().to_dense();
        for r in 0..6 {
            let truth: f64 = (0..6).map(|c| dense[(r, c)] * v[c]).sum();
            assert!((out[r] - truth).abs() < 1e-14);
            for c in 0..6 {
                assert!((squared[(r, c)] - square[(r, c)]).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn eigenpairs_are_those_of_the_dense_matrix() {
        let h = example();
        let pairs = h.eigenpairs().unwrap();
        assert!(pairs.kappa.windows(2).all(|k| k[0].abs() >= k[1].abs()));
        assert_eq!(pairs.kappa[0].abs(), h.norm());
        let mut out = [0.0; 6];
        for (m, &kappa) in pairs.kappa.iter().enumerate() {
            let u = pairs.eigenvector(m);
            assert!((dot(&u, &u) - 1.0).abs() < 1e-14);
            h.apply(&u, &mut out);
            for (x, u) in out.iter().zip(&u) {
                assert!((x - kappa * u).abs() < 1e-13);
            }
        }
        let frobenius: f64 = pairs.kappa.iter().map(|k| k * k).sum();
        assert!((frobenius - h.to_dense().squared_norm_l2()).abs() < 1e-12);
    }

    #[test]
    fn eigenpairs_do_not_depend_on_the_scale_of_the_hessian() {
        let S = Mat::from_fn(20, 20, |i, j| (((i + 1) * (j + 1) * 7) % 11) as f64 + if i == j { 3.0 } else { 0.0 });
        let (truth, _) = active_eigen(S.as_ref());
        for exponent in [-200, -60, -30, 0, 100] {
            let scale = 2_f64.powi(exponent);
            let (found, t) = active_eigen((&S * faer::Scale(scale)).as_ref());
            for (m, (found, truth)) in found.iter().zip(&truth).enumerate() {
                assert!((found / scale - truth).abs() < 1e-12 * S.norm_max(), "2^{exponent}: {found:e}");
                let residual = &S * t.col(m) - t.col(m) * faer::Scale(*truth);
                assert!(residual.norm_max() < 1e-11 * S.norm_max(), "2^{exponent}: eigenvector {m}");
            }
        }
    }

    #[test]
    fn a_zero_activity_has_no_curvature() {
        let h = PerSampleHessian::new(Mat::identity(2, 2), vec![0.0; 3]);
        assert!(h.eigenpairs().is_none());
        assert_eq!(h.norm(), 0.0);
    }
}
