//! Factors of a layer whose weight is used once or several times a sample, as somebody else has computed them.

use faer::{Mat, MatRef};

/// `a_pt`, `δ_pt` and `S_p` of a layer `z_t = W a_t` at `T` positions of `N` samples, checked.
///
/// `δ_pt = ∂ℓ_p/∂z_pt`, and `S_p = ∂²ℓ_p/∂z_p²` over all `T·d_out` pre-activations, behind which activities do not
/// follow each other. [`FactorMoments`](crate::FactorMoments) has the dense moments;
/// [`product`](Self::product) and [`diagonals_along`](Self::diagonals_along) go without.
#[derive(Clone, Debug)]
pub struct PositionFactors {
    /// `N`, `T`, `d_in`, `d_out`.
    shape: [usize; 4],
    a: Vec<f64>,
    delta: Vec<f64>,
    /// Symmetric to the last bit.
    S: Vec<f64>,
}

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
}

/// How far an `S_p` may be from symmetric, of its largest entry.
const ASYMMETRY: f64 = 1e-5;

impl PositionFactors {
    /// Of `a` (`[N, T, d_in]`), `delta` (`[N, T, d_out]`) and `S` (`[N, T·d_out, T·d_out]`), row-major, for
    /// `[N, T, d_in, d_out]`. An `S_p` is replaced by the mean of it and its transpose.
    ///
    /// # Errors
    /// When lengths do not fit, a number is not finite, or an `S_p` is not symmetric.
    pub fn new(shape: [usize; 4], a: Vec<f64>, delta: Vec<f64>, mut S: Vec<f64>) -> Result<Self, FactorsError> {
        let [N, T, d_in, d_out] = shape;
        if shape.contains(&0) {
            return Err(FactorsError::Empty { shape });
        }
        let rank = T * d_out;
        for (what, given, each) in [("a", &a, T * d_in), ("delta", &delta, rank), ("S", &S, rank * rank)] {
            if given.len() != N * each {
                return Err(FactorsError::Length { what, found: given.len(), expected: N * each });
            }
            if let Some(at) = given.iter().position(|x| !x.is_finite()) {
                return Err(FactorsError::NotFinite { what, sample: at / each, value: given[at] });
            }
        }
        for (sample, S) in S.chunks_exact_mut(rank * rank).enumerate() {
            let largest = S.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            for (row, column) in (0..rank).flat_map(|row| (0..row).map(move |column| (row, column))) {
                let (entry, mirror) = (S[row * rank + column], S[column * rank + row]);
                // Halves first: their difference and sum are finite.
                if (0.5 * entry - 0.5 * mirror).abs() > 0.5 * ASYMMETRY * largest {
                    return Err(FactorsError::NotSymmetric { sample, row, column, entry, mirror });
                }
                let mean = if entry == mirror { entry } else { 0.5 * entry + 0.5 * mirror };
                (S[row * rank + column], S[column * rank + row]) = (mean, mean);
            }
        }
        Ok(Self { shape, a, delta, S })
    }

    /// `N`, `T`, `d_in`, `d_out`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.shape[0]
    }

    /// `P = d_out · d_in`.
    pub fn n_params(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// `T · d_out`.
    pub(crate) fn rank(&self) -> usize {
        self.shape[1] * self.shape[3]
    }

    /// `a_p`, `d_in × T`.
    pub(crate) fn a(&self, p: usize) -> MatRef<'_, f64> {
        let [_, T, d_in, _] = self.shape;
        MatRef::from_column_major_slice(&self.a[p * T * d_in..(p + 1) * T * d_in], d_in, T)
    }

    /// `δ_p`, position after position.
    pub(crate) fn delta(&self, p: usize) -> &[f64] {
        &self.delta[p * self.rank()..(p + 1) * self.rank()]
    }

    /// `S_p`.
    pub(crate) fn S(&self, p: usize) -> MatRef<'_, f64> {
        let rank = self.rank();
        MatRef::from_column_major_slice(&self.S[p * rank * rank..(p + 1) * rank * rank], rank, rank)
    }

    /// `U_pᵀU_p` between `S_p` and itself: `h_p² = U_p S_p G_p S_p U_pᵀ` with `G_p = [a_ptᵀa_pt'] ⊗ I`.
    pub(crate) fn gram(&self, p: usize) -> Mat<f64> {
        let [_, T, _, d_out] = self.shape;
        let inner = self.a(p).transpose() * self.a(p);
        let entry = |i: usize, j: usize| if i % d_out == j % d_out { inner[(i / d_out, j / d_out)] } else { 0.0 };
        Mat::from_fn(T * d_out, T * d_out, entry)
    }

    /// Calls `entry(index, value)` for every term of `g_p = Σ_t δ_pt ⊗ a_pt`.
    pub(crate) fn gradient(&self, p: usize, mut entry: impl FnMut(usize, f64)) {
        let [_, _, d_in, d_out] = self.shape;
        for (a, delta) in self.a(p).col_iter().zip(self.delta(p).chunks_exact(d_out)) {
            for (o, delta) in delta.iter().enumerate() {
                a.iter().enumerate().for_each(|(i, a)| entry(o * d_in + i, delta * a));
            }
        }
    }

    /// `ḡ = E_p[g_p]`.
    pub fn mean_gradient(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.n_params()];
        (0..self.n_samples()).for_each(|p| self.gradient(p, |at, x| mean[at] += x));
        mean.iter_mut().for_each(|x| *x /= self.n_samples() as f64);
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_factor_is_named() {
        let shape = [2, 1, 1, 2];
        let (a, delta, mut S) = (vec![1.0, 2.0], vec![0.0; 4], vec![1.0, 0.5, 0.5, 2.0, 0.0, 0.0, 0.0, 0.0]);
        let error = |a: &[f64], delta: &[f64], S: &[f64]| {
            PositionFactors::new(shape, a.to_vec(), delta.to_vec(), S.to_vec()).unwrap_err().to_string()
        };
        assert_eq!(error(&a[1..], &delta, &S), "a has 1 numbers, expected 2");
        let mut nan = delta.clone();
        nan[3] = f64::NAN;
        assert_eq!(error(&a, &nan, &S), "delta of sample 1 has an entry NaN, expected finite numbers");
        S[1] += 1.0;
        assert!(error(&a, &delta, &S).starts_with("S of sample 0 is not symmetric"));
        let empty = PositionFactors::new([0, 1, 1, 1], vec![], vec![], vec![]).unwrap_err().to_string();
        assert_eq!(empty, "[N, T, d_in, d_out] = [0, 1, 1, 1]: expected at least 1 of each");
    }
}
