//! Ensembles of per-sample curvature that follow a prescribed power law, as known answers to test against.

use faer::Mat;
use rand::{Rng, RngExt};
use thiserror::Error;

/// Per-sample Hessians, all diagonal in one basis, with `M₂ = λ_max^(2−γ) H^γ` exactly (`MATH [15]`).
///
/// Direction `i` is carried by the fraction `π_i = (λ_i/λ_max)^(2−γ)` of the samples, each with curvature
/// `κ_i = λ_i/π_i` there, and by the rest with none. So `H_ii = π_i κ_i = λ_i` and
/// `(M₂)_ii = π_i κ_i² = λ_max^(2−γ) λ_i^γ`. At `γ = 1` every curvature is `λ_max` and only the fractions vary; at
/// `γ = 2` every sample is `H` itself.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerLawEnsemble {
    lambda: Vec<f64>,
    fraction: Vec<f64>,
}

/// What drawn samples contribute to the diagonals, a row a sample, a column a direction, as
/// [`crate::DiagonalBootstrap::push`] takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnContributions {
    /// `g_p·v_i`.
    pub gradient: Mat<f64>,
    /// `v_iᵀh_p v_i`.
    pub curvature: Mat<f64>,
    /// `v_iᵀh_p²v_i`.
    pub squared_curvature: Mat<f64>,
}

/// Why there is no such ensemble.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EnsembleError {
    /// No eigenvalues.
    #[error("no eigenvalues: expected at least 1")]
    Empty,
    /// An eigenvalue is not a finite positive number.
    #[error("eigenvalue {index} is {value}: expected a finite number above zero")]
    Eigenvalue {
        /// Its position.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// The bounds allow no such exponent.
    #[error("exponent {found}: expected 1 to 2, the range the bounds allow")]
    Exponent {
        /// The exponent asked for.
        found: f64,
    },
}

impl PowerLawEnsemble {
    /// The ensemble with mean curvatures `lambda` and exponent `gamma`.
    ///
    /// # Errors
    ///
    /// [`EnsembleError`] for no eigenvalues, one that is not finite and positive, or an exponent outside `[1, 2]`.
    pub fn new(lambda: &[f64], gamma: f64) -> Result<Self, EnsembleError> {
        if lambda.is_empty() {
            return Err(EnsembleError::Empty);
        }
        if let Some(index) = lambda.iter().position(|l| !(l.is_finite() && *l > 0.0)) {
            return Err(EnsembleError::Eigenvalue { index, value: lambda[index] });
        }
        if !(1.0..=2.0).contains(&gamma) {
            return Err(EnsembleError::Exponent { found: gamma });
        }
        let largest = lambda.iter().copied().fold(0.0, f64::max);
        let fraction = lambda.iter().map(|l| (l / largest).powf(2.0 - gamma)).collect();
        Ok(Self { lambda: lambda.to_vec(), fraction })
    }

    /// Diagonal of `H`: the `λ_i` given.
    pub fn h_diag(&self) -> Vec<f64> {
        self.lambda.clone()
    }

    /// Diagonal of `M₂`: `λ_i²/π_i`.
    pub fn m2_diag(&self) -> Vec<f64> {
        self.lambda.iter().zip(&self.fraction).map(|(l, f)| l * l / f).collect()
    }

    /// Curvature `κ_i = λ_i/π_i` of the samples that carry direction `i`.
    pub fn kappa(&self) -> Vec<f64> {
        self.lambda.iter().zip(&self.fraction).map(|(l, f)| l / f).collect()
    }

    /// Fraction `π_i` of the samples that carry direction `i`, in `(0, 1]`.
    pub fn fraction(&self) -> &[f64] {
        &self.fraction
    }

    /// Largest per-sample curvature, `λ_max` whatever the exponent.
    pub fn kappa_max(&self) -> f64 {
        self.kappa().into_iter().fold(0.0, f64::max)
    }

    /// The diagonals of `n_samples` per-sample Hessians, one a row.
    ///
    /// A whole number of samples carries each direction, at least one, and the curvature is set so that the mean is
    /// `λ_i` exactly; the second moment, and the largest curvature, therefore only approach [`Self::m2_diag`] and
    /// [`Self::kappa_max`] as `n_samples` grows past `1/π_i`.
    pub fn spectra(&self, n_samples: usize) -> Vec<Vec<f64>> {
        let n = n_samples as f64;
        let mut rows = vec![vec![0.0; self.lambda.len()]; n_samples];
        for (i, (&lambda, &fraction)) in self.lambda.iter().zip(&self.fraction).enumerate() {
            let carriers = ((fraction * n).round() as usize).clamp(1, n_samples.max(1));
            for row in rows.iter_mut().take(carriers) {
                row[i] = lambda * n / carriers as f64;
            }
        }
        rows
    }

    /// Draws samples at random, with gradients `g_p = h_p Δw_p` of random displacements.
    ///
    /// A sample carries direction `i` with probability `π_i`, the directions nested: one that carries a rare direction
    /// carries all less rare ones, so that errors of neighbouring diagonals go together. Its curvature there is `f κ_i`
    /// with an `f` of its own, uniform on `½…1½`, so that samples differ at `γ = 2` too. Displacements are uniform,
    /// independent, of mean 0 and variance `(λ_i/λ_max)^anisotropy`. Expected diagonals, exactly:
    ///
    /// ```text
    /// H_ii = λ_i    (M₂)_ii = (13/12) λ_max^(2−γ) λ_i^γ    Σ_ii = (M₂)_ii (λ_i/λ_max)^anisotropy
    /// ```
    ///
    /// At `anisotropy = 0` displacements are isotropic and `Σ ∝ M₂` (`MATH [12]`). Otherwise the noise has the exponent
    /// `γ + anisotropy`, and nothing confines that to `[1, 2]`.
    pub fn draw(&self, n_samples: usize, anisotropy: f64, rng: &mut impl Rng) -> DrawnContributions {
        let k = self.lambda.len();
        let largest = self.kappa_max();
        let [mut gradient, mut curvature, mut squared_curvature] = [(); 3].map(|()| Mat::zeros(n_samples, k));
        let width: Vec<f64> = self.lambda.iter().map(|l| (3.0 * (l / largest).powf(anisotropy)).sqrt()).collect();
        for p in 0..n_samples {
            let rarity: f64 = rng.random();
            for i in 0..k {
                let (factor, displacement) = (0.5 + rng.random::<f64>(), 2.0 * rng.random::<f64>() - 1.0);
                if rarity < self.fraction[i] {
                    let h = factor * self.lambda[i] / self.fraction[i];
                    curvature[(p, i)] = h;
                    squared_curvature[(p, i)] = h * h;
                    gradient[(p, i)] = h * width[i] * displacement;
                }
            }
        }
        DrawnContributions { gradient, curvature, squared_curvature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loglog;

    const LAMBDA: [f64; 5] = [3.0, 2.0, 0.5, 0.1, 0.02];

    #[test]
    fn the_moments_obey_the_law() {
        for gamma in [1.0, 1.3, 1.7, 2.0] {
            let ensemble = PowerLawEnsemble::new(&LAMBDA, gamma).unwrap();
            for (h, m2) in ensemble.h_diag().iter().zip(ensemble.m2_diag()) {
                assert!((m2 / (3f64.powf(2.0 - gamma) * h.powf(gamma)) - 1.0).abs() < 1e-13);
            }
            assert!((ensemble.kappa_max() - 3.0).abs() < 1e-13);
            assert!(ensemble.fraction().iter().all(|f| (0.0..=1.0).contains(f)));
        }
        assert!(PowerLawEnsemble::new(&LAMBDA, 1.0).unwrap().kappa().iter().all(|k| (k - 3.0).abs() < 1e-14));
        assert!(PowerLawEnsemble::new(&LAMBDA, 2.0).unwrap().fraction().iter().all(|f| *f == 1.0));
    }

    #[test]
    fn samples_average_to_the_moments() {
        let ensemble = PowerLawEnsemble::new(&LAMBDA, 1.4).unwrap();
        let rows = ensemble.spectra(20_000);
        let mean = |i: usize, power: i32| rows.iter().map(|r| r[i].powi(power)).sum::<f64>() / 20_000.0;
        let h: Vec<f64> = (0..5).map(|i| mean(i, 1)).collect();
        let m2: Vec<f64> = (0..5).map(|i| mean(i, 2)).collect();
        for i in 0..5 {
            assert!((h[i] / LAMBDA[i] - 1.0).abs() < 1e-11);
            assert!((m2[i] / ensemble.m2_diag()[i] - 1.0).abs() < 1e-2);
        }
        assert!((loglog::fit(&h, &m2, 5).unwrap().slope - 1.4).abs() < 1e-3);
        assert!(ensemble.spectra(0).is_empty());
    }

    #[test]
    fn drawn_samples_have_the_diagonals_expected() {
        use rand::SeedableRng;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(8);
        let (n, anisotropy) = (200_000, 0.6);
        let ensemble = PowerLawEnsemble::new(&LAMBDA[..4], 1.4).unwrap();
        let drawn = ensemble.draw(n, anisotropy, &mut rng);
        for (i, lambda) in LAMBDA.into_iter().take(4).enumerate() {
            let mean =
                |values: &Mat<f64>, power: i32| values.col(i).iter().map(|x| x.powi(power)).sum::<f64>() / n as f64;
            let m2 = 13.0 / 12.0 * ensemble.m2_diag()[i];
            let sigma = m2 * (lambda / 3.0).powf(anisotropy);
            // Five standard errors of the rarest direction are 5 %.
            assert!((mean(&drawn.curvature, 1) / lambda - 1.0).abs() < 0.05);
            assert!((mean(&drawn.squared_curvature, 1) / m2 - 1.0).abs() < 0.05);
            assert!((mean(&drawn.gradient, 2) / sigma - 1.0).abs() < 0.05);
            assert!(mean(&drawn.gradient, 1).abs() < 5.0 * (sigma / n as f64).sqrt());
        }
    }

    #[test]
    fn refuses_what_the_bounds_exclude() {
        assert_eq!(PowerLawEnsemble::new(&[], 1.5), Err(EnsembleError::Empty));
        assert_eq!(PowerLawEnsemble::new(&[1.0], 2.1), Err(EnsembleError::Exponent { found: 2.1 }));
        assert!(PowerLawEnsemble::new(&[1.0], f64::NAN).is_err());
        assert_eq!(PowerLawEnsemble::new(&[1.0, 0.0], 1.5), Err(EnsembleError::Eigenvalue { index: 1, value: 0.0 }));
    }
}
