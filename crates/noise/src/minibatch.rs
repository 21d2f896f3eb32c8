//! The mini-batch estimator of the noise covariance from one shuffled epoch (MATH \[7\]).

use crate::NoiseError;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rand::{Rng, RngExt};
use superlinear_curvature::LayerSamples;

/// `Ĉ = (1/n) Σ_ν (ḡ_ν − ḡ)(ḡ_ν − ḡ)ᵀ` over the `n = ⌊N/B⌋` full batches of one shuffled epoch, `P × P`.
///
/// `ḡ_ν` is the mean gradient of batch `ν`, at fixed parameters, and `ḡ` the mean over all `N`. An unbiased estimate
/// of `C` for sampling without replacement; its rank is at most `N/B`, and each `Ĉ_ii` has a relative standard error
/// near `√(2B/N)`. Use it to check `C`, not in its place. A last short batch is left out.
///
/// # Errors
/// When `B` is 0, or `B > N`.
pub fn minibatch_covariance(samples: &LayerSamples, batch: usize, rng: &mut impl Rng) -> Result<Mat<f64>, NoiseError> {
    let n_samples = samples.n_samples();
    if batch == 0 || batch > n_samples {
        return Err(NoiseError::BatchSize { batch, n_samples });
    }
    let (d_in, P) = (samples.d_in(), samples.n_params());
    let n_batches = n_samples / batch;
    let mean = samples.mean_gradient();
    let mut order: Vec<usize> = (0..n_samples).collect();
    // Fisher–Yates, written out so that the draw is ours and stable.
    for k in (1..n_samples).rev() {
        order.swap(k, rng.random_range(0..=k));
    }
    let mut centred = Mat::<f64>::zeros(P, n_batches);
    for (nu, members) in order.chunks_exact(batch).enumerate() {
        let column = centred.col_as_slice_mut(nu);
        for &p in members {
            let a = samples.activities.col_as_slice(p);
            for (row, &delta) in column.chunks_exact_mut(d_in).zip(samples.deltas.col_as_slice(p)) {
                for (x, &a) in row.iter_mut().zip(a) {
                    *x += delta * a;
                }
            }
        }
        for (x, &g) in column.iter_mut().zip(&mean) {
            *x = *x / batch as f64 - g;
        }
    }
    let mut covariance = Mat::zeros(P, P);
    let scale = 1.0 / n_batches as f64;
    matmul(covariance.as_mut(), Accum::Replace, &centred, centred.transpose(), scale, Par::rayon(0));
    Ok(covariance)
}
