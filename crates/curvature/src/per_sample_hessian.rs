//! The Hessian of one sample's loss in a dense layer's weight, in factored form (`MATH [1], [4]`).

use crate::range_eigen;
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

/// The eigenpairs of a [`PerSampleHessian`] that are not zero: `κ_m = s_m‖a‖²`, `u_m = t_m ⊗ a/‖a‖`.
#[derive(Clone, Debug)]
pub struct FactoredEigenpairs {
    /// `κ_m`, by descending magnitude. The other `P − rank` eigenvalues are zero, or rounding (see [`range_eigen`]).
    pub kappa: Vec<f64>,
    /// `t_m` as columns, `d_out × rank`, orthonormal.
    pub t: Mat<f64>,
    /// `a/‖a‖`, length `d_in`; zero for `a = 0`.
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

    /// `h` as a dense `P × P` matrix, symmetric to the last bit where `S` is: for tests and tiny layers.
    pub fn to_dense(&self) -> Mat<f64> {
        let d_in = self.a.len();
        Mat::from_fn(self.n_params(), self.n_params(), |r, c| {
            self.S[(r / d_in, c / d_in)] * (self.a[r % d_in] * self.a[c % d_in])
        })
    }

    /// Spectral norm `‖h‖ = max_m |κ_m|`.
    ///
    /// # Panics
    /// When `S` holds a number that is not finite.
    #[track_caller]
    pub fn norm(&self) -> f64 {
        let (s, _) = range_eigen(self.S.as_ref());
        s.first().map_or(0.0, |s| s.abs()) * dot(&self.a, &self.a)
    }

    /// The eigenpairs that are not zero, at most `d_out`, by descending `|κ|`; none for `h = 0`.
    ///
    /// # Panics
    /// When `S` holds a number that is not finite.
    #[track_caller]
    pub fn eigenpairs(&self) -> FactoredEigenpairs {
        let norm_squared = dot(&self.a, &self.a);
        if norm_squared == 0.0 {
            return FactoredEigenpairs {
                kappa: Vec::new(),
                t: Mat::zeros(self.S.nrows(), 0),
                direction: self.a.clone(),
            };
        }
        let (s, t) = range_eigen(self.S.as_ref());
        let norm = norm_squared.sqrt();
        FactoredEigenpairs {
            kappa: s.iter().map(|s| s * norm_squared).collect(),
            t,
            direction: self.a.iter().map(|a| a / norm).collect(),
        }
    }
}

impl FactoredEigenpairs {
    /// Eigenvector `u_m = t_m ⊗ a/‖a‖`, dense, length `P`.
    ///
    /// # Panics
    /// When there is no such pair.
    #[track_caller]
    pub fn eigenvector(&self, m: usize) -> Vec<f64> {
        let t = self.t.col_as_slice(m);
        t.iter().flat_map(|t| self.direction.iter().map(move |a| t * a)).collect()
    }
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
        let pairs = h.eigenpairs();
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
    fn a_zero_activity_has_no_curvature() {
        let h = PerSampleHessian::new(Mat::identity(2, 2), vec![0.0; 3]);
        assert!(h.eigenpairs().kappa.is_empty());
        assert_eq!(h.norm(), 0.0);
    }
}
