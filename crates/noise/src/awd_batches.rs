//! The duality's terms estimated from actual analysis batches instead of their closed expectation.

use crate::NoiseError;
use crate::awd::DualPerturbation;
use crate::minibatch::{batch_means, epoch_order};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rand::Rng;
use superlinear_curvature::AnalysedLayer;

/// `C^hh`, `C^hg` and `C^gg` over the `⌊N/B⌋` full batches of one shuffled epoch.
#[derive(Clone, Debug)]
pub struct AwdBatchEstimate {
    /// `½ (1/n) Σ_ν x̄_ν x̄_νᵀ`.
    pub hh: Mat<f64>,
    /// `½ (1/n) Σ_ν (x̄_ν ȳ_νᵀ + ȳ_ν x̄_νᵀ)`.
    pub hg: Mat<f64>,
    /// `½ (1/n) Σ_ν ȳ_ν ȳ_νᵀ`.
    pub gg: Mat<f64>,
}

/// The mini-batch estimator of the terms, at fixed partners: an unbiased check of [`AwdTerms`](crate::AwdTerms), of
/// rank at most `N/B`.
///
/// Each `C_ii` has a relative standard error near `√(2B/(N − B))`. A last short batch is left out.
///
/// # Errors
/// When `B` is 0, or `B > N`.
pub fn awd_batch_estimate(
    layer: &AnalysedLayer,
    dual: &DualPerturbation,
    batch: usize,
    rng: &mut impl Rng,
) -> Result<AwdBatchEstimate, NoiseError> {
    let n_samples = layer.n_samples();
    if batch == 0 || batch > n_samples {
        return Err(NoiseError::BatchSize { batch, n_samples });
    }
    let order = epoch_order(n_samples, rng);
    let x = batch_means(&dual.responses, layer.activities(), &order, batch);
    let y = batch_means(layer.deltas(), &dual.shifts, &order, batch);
    let scale = 0.5 / x.ncols() as f64;
    let product = |left: &Mat<f64>, right: &Mat<f64>| {
        let mut product = Mat::zeros(left.nrows(), left.nrows());
        matmul(product.as_mut(), Accum::Replace, left, right.transpose(), scale, Par::rayon(0));
        product
    };
    let cross = product(&x, &y);
    Ok(AwdBatchEstimate { hh: product(&x, &x), hg: &cross + cross.transpose(), gg: product(&y, &y) })
}

impl AwdBatchEstimate {
    /// The estimate of [`AwdTerms::total`](crate::AwdTerms::total).
    pub fn total(&self) -> Mat<f64> {
        &self.hh + &self.hg + &self.gg
    }
}
