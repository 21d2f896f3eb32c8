//! The mini-batch estimator of the noise covariance from one shuffled epoch (`MATH [7]`).

use crate::NoiseError;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rand::{Rng, RngExt};
use superlinear_curvature::AnalysedLayer;

/// `Ĉ = (1/n) Σ_ν (ḡ_ν − ḡ)(ḡ_ν − ḡ)ᵀ` over the `n = ⌊N/B⌋` full batches of one shuffled epoch, `P × P`.
///
/// `ḡ_ν` is the mean gradient of batch `ν`, at fixed parameters, and `ḡ` the mean over all `N`. An unbiased estimate
/// of `C` for sampling without replacement; its rank is at most `N/B`, and each `Ĉ_ii` has a relative standard error
/// near `√(2B/(N − B))`: the deviations of the `N/B` batches add up to zero. Use it to check `C`, not in its place. A
/// last short batch is left out.
///
/// # Errors
/// When `B` is 0, or `B > N`.
pub fn minibatch_covariance(layer: &AnalysedLayer, batch: usize, rng: &mut impl Rng) -> Result<Mat<f64>, NoiseError> {
    let n_samples = layer.n_samples();
    if batch == 0 || batch > n_samples {
        return Err(NoiseError::BatchSize { batch, n_samples });
    }
    let mean = layer.mean_gradient();
    let mut centred = batch_means(layer.deltas(), layer.activities(), &epoch_order(n_samples, rng), batch);
    let (P, n_batches) = (centred.nrows(), centred.ncols());
    for nu in 0..n_batches {
        for (x, &g) in centred.col_as_slice_mut(nu).iter_mut().zip(&mean) {
            *x -= g;
        }
    }
    let mut covariance = Mat::zeros(P, P);
    let scale = 1.0 / n_batches as f64;
    matmul(covariance.as_mut(), Accum::Replace, &centred, centred.transpose(), scale, Par::rayon(0));
    Ok(covariance)
}

/// A uniform order of all samples: Fisher–Yates, written out so that the draw is ours and stable.
pub(crate) fn epoch_order(n_samples: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n_samples).collect();
    for k in (1..n_samples).rev() {
        order.swap(k, rng.random_range(0..=k));
    }
    order
}

/// `(1/B) Σ_{p∈ν} u_p ⊗ v_p` of every full batch `ν` of `order`, `P × ⌊N/B⌋`.
pub(crate) fn batch_means(u: &Mat<f64>, v: &Mat<f64>, order: &[usize], batch: usize) -> Mat<f64> {
    let d_in = v.nrows();
    let mut means = Mat::<f64>::zeros(u.nrows() * d_in, order.len() / batch);
    for (nu, members) in order.chunks_exact(batch).enumerate() {
        let column = means.col_as_slice_mut(nu);
        for &p in members {
            for (row, &u) in column.chunks_exact_mut(d_in).zip(u.col_as_slice(p)) {
                for (x, &v) in row.iter_mut().zip(v.col_as_slice(p)) {
                    *x += u * v;
                }
            }
        }
        column.iter_mut().for_each(|x| *x /= batch as f64);
    }
    means
}
