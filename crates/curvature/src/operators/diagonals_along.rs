//! Diagonals of `H`, `Σ` and `M₂` along given vectors: what a power law between them needs, without a `P × P` matrix.

use super::sum_over_samples::{Layout, mean_over_samples};
use super::{CurvatureOperator, MeanLoss, OperatorError};
use faer::{Mat, MatRef};
use std::sync::{Mutex, PoisonError};
use superlinear_nets::Samples;

/// Numbers of a panel of vectors that are multiplied together: 128 MiB, which bounds what products take beside the vectors.
const PANEL: usize = 1 << 24;
/// Vectors of a panel, at least.
const COLUMNS: usize = 8;

/// Rayleigh quotients along `K` unit vectors `v_i`, each with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalsAlong {
    /// `H_ii = v_iᵀHv_i`, of either sign.
    pub hessian: Vec<f64>,
    /// `‖Hv_i − H_ii v_i‖`: there is an eigenvalue of `H` within this of `H_ii`. It vanishes for eigenvectors.
    pub hessian_residual: Vec<f64>,
    /// `Σ_ii = v_iᵀΣv_i`, the variance of `g_p·v_i` (divided by `N`), never negative. A batch of `B` drawn with replacement has
    /// `C_ii = Σ_ii/B`.
    pub covariance: Vec<f64>,
    /// Standard error of `Σ_ii` if the samples were drawn independently: `sd((g_p·v_i − ḡ·v_i)²)/√N`. NaN for one sample.
    pub covariance_error: Vec<f64>,
    /// `(M₂)_ii = v_iᵀM₂v_i = E_p‖h_p v_i‖²`, never negative up to rounding and at least `H_ii²`.
    pub second_moment: Vec<f64>,
}

impl<S: Samples<f64>> MeanLoss<'_, f64, S> {
    /// The diagonals of `H`, `Σ` and `M₂` along the columns of `vectors` (`P × K`, unit vectors), exactly, over all samples.
    ///
    /// With converged Ritz vectors of `H` these are the pairs that the exponent of `C_ii ∝ H_ii^γ` is fitted to, for a layer of
    /// any size and for convolutions. One Hessian-vector product, one of its square and one pass of gradients a vector;
    /// memory beside the vectors is a few panels of 128 MiB and `N × K` numbers. Bit-identical for any number of threads.
    ///
    /// For one dense layer whose `P × P` matrices exist anyway, `directional_contributions` also gives every sample's share.
    ///
    /// # Errors
    /// When a product is not finite.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn diagonals_along(&self, vectors: MatRef<'_, f64>) -> Result<DiagonalsAlong, OperatorError> {
        assert_eq!(vectors.nrows(), self.n_params(), "vectors have an entry a selected parameter");
        let K = vectors.ncols();
        let mut found = DiagonalsAlong {
            hessian: Vec::with_capacity(K),
            hessian_residual: Vec::with_capacity(K),
            covariance: Vec::with_capacity(K),
            covariance_error: Vec::with_capacity(K),
            second_moment: Vec::with_capacity(K),
        };
        for_panels(&self.hessian(), vectors, |v, Hv| {
            let value = dot(v, Hv);
            let squares = v.iter().zip(Hv).map(|(v, Hv)| (Hv - value * v).powi(2));
            found.hessian.push(value);
            found.hessian_residual.push(squares.sum::<f64>().sqrt());
        })?;
        for_panels(&self.hessian_second_moment(), vectors, |v, M2v| found.second_moment.push(dot(v, M2v)))?;
        let N = self.n_samples() as f64;
        for first in (0..K).step_by(width(vectors)) {
            let panel = vectors.subcols(first, width(vectors).min(K - first));
            let gradients = self.gradients_along(panel);
            for (k, gradients) in gradients.col_iter().enumerate() {
                let mean = gradients.iter().sum::<f64>() / N;
                let squares: Vec<f64> = gradients.iter().map(|g| (g - mean).powi(2)).collect();
                let variance = squares.iter().sum::<f64>() / N;
                if !variance.is_finite() {
                    let (vector, entry) = (first + k, 0);
                    return Err(OperatorError::NotFinite { operator: "gradient", vector, entry, value: variance });
                }
                let scatter = squares.iter().map(|square| (square - variance).powi(2)).sum::<f64>();
                found.covariance.push(variance);
                found.covariance_error.push((scatter / (N * (N - 1.0))).sqrt());
            }
        }
        Ok(found)
    }

    /// `g_p·v_k` of every sample, `N × K`.
    fn gradients_along(&self, vectors: MatRef<'_, f64>) -> Mat<f64> {
        let along = Mutex::new(Mat::zeros(self.n_samples(), vectors.ncols()));
        let mut nothing = Mat::zeros(vectors.nrows(), vectors.ncols());
        mean_over_samples(
            self,
            Layout::of(self, false),
            vectors,
            nothing.as_mut(),
            &mut Vec::new(),
            || (),
            |(), passes, first, group, sums| {
                passes.through_logits(
                    &group.directions,
                    |at, mut moved| {
                        // Every entry is written by one task, once: the lock orders nothing that could be seen.
                        let mut along = along.lock().unwrap_or_else(PoisonError::into_inner);
                        for k in 0..moved.ncols() {
                            let products = at.gradient.iter().zip(moved.as_ref().col(k).iter()).map(|(g, f)| g * f);
                            along[(first - self.range.start + at.p, group.first + k)] = products.sum();
                        }
                        moved.fill(0.0);
                    },
                    sums,
                );
            },
        );
        along.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Vectors of a panel.
fn width(vectors: MatRef<'_, f64>) -> usize {
    (PANEL / vectors.nrows().max(1)).max(COLUMNS)
}

/// Hands every vector with its product to `visit`, panel by panel.
fn for_panels<S: Samples<f64>>(
    operator: &CurvatureOperator<'_, f64, S>,
    vectors: MatRef<'_, f64>,
    mut visit: impl FnMut(&[f64], &[f64]),
) -> Result<(), OperatorError> {
    let mut vector = vec![0.0; vectors.nrows()];
    for first in (0..vectors.ncols()).step_by(width(vectors)) {
        let panel = vectors.subcols(first, width(vectors).min(vectors.ncols() - first));
        let products = operator.product(panel)?;
        for k in 0..panel.ncols() {
            vector.iter_mut().zip(panel.col(k).iter()).for_each(|(to, &from)| *to = from);
            visit(&vector, products.col_as_slice(k));
        }
    }
    Ok(())
}

fn dot(u: &[f64], v: &[f64]) -> f64 {
    u.iter().zip(v).map(|(u, v)| u * v).sum()
}
