//! `Σ` and `C` from per-sample gradients (`MATH [6]`).

use faer::{Mat, MatRef};
use superlinear_curvature::AnalysedLayer;

/// How a mini-batch is drawn from the `N` samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Every sample of a batch is an independent draw: `C = Σ/B` (the paper's Eq. 2).
    WithReplacement,
    /// A batch is a set of distinct samples, as in a shuffled epoch: `C = (Σ/B)·(N−B)/(N−1)`.
    WithoutReplacement,
}

/// A noise covariance that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// The batch is empty, or larger than the set it is drawn from.
    #[error("batch size is {batch}, expected between 1 and the number of samples, {n_samples}")]
    BatchSize {
        /// `B`.
        batch: usize,
        /// `N`.
        n_samples: usize,
    },
}

/// `Σ = E_p[g_p g_pᵀ] − ḡḡᵀ`, `P × P`, in place of the gradients' second moment (mean over `p`, divided by `N`).
///
/// The diagonal, where the two terms are largest, is the centred sum `E_p[(g_p − ḡ)²]` of a second pass.
///
/// # Panics
/// When the second moment is not of order `P`.
#[track_caller]
pub fn gradient_covariance(mut second_moment: Mat<f64>, layer: &AnalysedLayer) -> Mat<f64> {
    let P = layer.n_params();
    assert!(second_moment.nrows() == P && second_moment.ncols() == P, "E[g gᵀ] is P × P");
    let mean = layer.mean_gradient();
    for (j, &g_j) in mean.iter().enumerate() {
        for (x, &g_i) in second_moment.col_as_slice_mut(j).iter_mut().zip(&mean) {
            *x -= g_i * g_j;
        }
    }
    for (j, variance) in gradient_variance(layer, &mean).into_iter().enumerate() {
        second_moment[(j, j)] = variance;
    }
    second_moment
}

/// `E_p[(g_p − ḡ)²]`, elementwise.
fn gradient_variance(layer: &AnalysedLayer, mean: &[f64]) -> Vec<f64> {
    let (d_in, n_samples) = (layer.d_in(), layer.n_samples());
    let mut variance = vec![0.0; mean.len()];
    for p in 0..n_samples {
        let a = layer.a(p);
        let rows = variance.chunks_exact_mut(d_in).zip(mean.chunks_exact(d_in));
        for ((row, mean), &delta) in rows.zip(layer.delta(p)) {
            for ((x, &g), &a) in row.iter_mut().zip(mean).zip(a) {
                let centred = delta * a - g;
                *x += centred * centred;
            }
        }
    }
    let scale = 1.0 / n_samples as f64;
    variance.iter_mut().for_each(|x| *x *= scale);
    variance
}

/// The factor by which `Σ` becomes the covariance `C` of the gradient of a batch of `B`.
///
/// `1/B` with replacement, `(N−B)/(B(N−1))` without; 0 for a single sample drawn without replacement.
///
/// # Errors
/// When `B` is 0, or `B > N`.
pub fn batch_factor(batch: usize, n_samples: usize, sampling: Sampling) -> Result<f64, NoiseError> {
    if batch == 0 || batch > n_samples {
        return Err(NoiseError::BatchSize { batch, n_samples });
    }
    let (B, N) = (batch as f64, n_samples as f64);
    Ok(match sampling {
        Sampling::WithReplacement => 1.0 / B,
        Sampling::WithoutReplacement if n_samples == 1 => 0.0,
        Sampling::WithoutReplacement => (N - B) / (B * (N - 1.0)),
    })
}

/// `C = factor · Σ`, with the factor of [`batch_factor`].
///
/// # Errors
/// When `B` is 0, or `B > N`.
pub fn noise_covariance(
    Sigma: MatRef<'_, f64>,
    batch: usize,
    n_samples: usize,
    sampling: Sampling,
) -> Result<Mat<f64>, NoiseError> {
    let factor = batch_factor(batch, n_samples, sampling)?;
    Ok(Sigma * faer::Scale(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors() {
        assert_eq!(batch_factor(50, 20_000, Sampling::WithReplacement), Ok(0.02));
        assert_eq!(batch_factor(10, 10, Sampling::WithoutReplacement), Ok(0.0));
        assert_eq!(batch_factor(1, 10, Sampling::WithoutReplacement), Ok(1.0));
        assert_eq!(batch_factor(1, 1, Sampling::WithoutReplacement), Ok(0.0));
        for batch in [0, 11] {
            let error = batch_factor(batch, 10, Sampling::WithReplacement);
            assert_eq!(error, Err(NoiseError::BatchSize { batch, n_samples: 10 }));
        }
    }
}
