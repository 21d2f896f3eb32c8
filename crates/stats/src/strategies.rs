//! Random ensembles of per-sample Hessians for `proptest`, to test code that computes curvature, or a theorem about it.
//!
//! Behind the feature `proptest`. [`ensembles`] draws what breaks such code: one sample, the same sample many times,
//! low rank, no curvature in some samples, spectra over many decades, one curvature for all, and every scale from
//! `1e-12` to `1e12`. [`orthonormal_bases`] draws directions, and [`crate::bounds::check_dense`] judges. Hold the
//! diagonals that *your* code makes of [`Ensemble::hessians`] against [`Ensemble::diagonals`], or hand your own
//! per-sample Hessians to `check_dense`: the example `your_hessians` does both.
//!
//! ```
//! use proptest::prelude::*;
//! use superlinear_stats::bounds::check_dense;
//! use superlinear_stats::strategies::{Sign, ensembles, orthonormal_bases};
//!
//! proptest!(|(ensemble in ensembles(Sign::Semidefinite, 4), V in orthonormal_bases(4))| {
//!     if ensemble.kappa_max() > 0.0 {
//!         let check = check_dense(&ensemble.hessians(), V.as_ref())?;
//!         prop_assert_eq!(check.n_outside(), 0);
//!     }
//! });
//! ```

use crate::spectral_ensemble::Diagonals;
use faer::{Mat, MatRef};
use proptest::prelude::*;

/// Sign of the eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// All `h_p ⪰ 0`.
    Semidefinite,
    /// Either sign.
    Indefinite,
}

/// Per-sample Hessians by their eigenpairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    samples: Vec<Sample>,
    dim: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    kappa: Vec<f64>,
    /// A column an eigenvalue, orthonormal.
    vectors: Mat<f64>,
}

impl Ensemble {
    /// `h_p` as dense matrices, exactly symmetric.
    pub fn hessians(&self) -> Vec<Mat<f64>> {
        let dense = |Sample { kappa, vectors }: &Sample| {
            Mat::from_fn(self.dim, self.dim, |i, j| {
                let (i, j) = (i.max(j), i.min(j));
                kappa.iter().enumerate().map(|(m, kappa)| kappa * (vectors[(i, m)] * vectors[(j, m)])).sum()
            })
        };
        self.samples.iter().map(dense).collect()
    }

    /// `H_ii` and `(M₂)_ii` along the columns of `V`, from the eigenpairs: `E_p Σ_m κ_m (u_m·v_i)²` and with `κ_m²`.
    pub fn diagonals(&self, V: MatRef<'_, f64>) -> Diagonals {
        Diagonals { h: self.mean(V, |kappa| kappa), m2: self.mean(V, |kappa| kappa * kappa) }
    }

    /// `v_iᵀE_p[|h_p|]v_i`.
    pub fn abs_diagonal(&self, V: MatRef<'_, f64>) -> Vec<f64> {
        self.mean(V, f64::abs)
    }

    /// Largest `|κ_m|` of any sample; 0 when no sample has curvature.
    pub fn kappa_max(&self) -> f64 {
        self.samples.iter().flat_map(|sample| &sample.kappa).fold(0.0, |most: f64, kappa| most.max(kappa.abs()))
    }

    /// Samples.
    pub fn n_samples(&self) -> usize {
        self.samples.len()
    }

    fn mean(&self, V: MatRef<'_, f64>, f: impl Fn(f64) -> f64) -> Vec<f64> {
        let of_sample = |Sample { kappa, vectors }: &Sample, i: usize| -> f64 {
            let cosines = vectors.transpose() * V.col(i);
            kappa.iter().zip(cosines.iter()).map(|(&kappa, y)| f(kappa) * y * y).sum()
        };
        let n = self.samples.len() as f64;
        (0..V.ncols()).map(|i| self.samples.iter().map(|sample| of_sample(sample, i)).sum::<f64>() / n).collect()
    }
}

/// How the magnitudes of eigenvalues are spread.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Equal,
    Moderate,
    /// Over ten decades.
    HeavyTailed,
}

/// Ensembles of 1 to 8 samples of order `dim`.
///
/// Ranks from 0 to `dim`; a quarter each of spectra with one magnitude and with ten decades; a quarter of ensembles is
/// one sample repeated; scales from `1e-12` to `1e12`. A failure shrinks towards few samples of low rank and scale 1.
///
/// # Panics
/// When `dim` is 0.
#[track_caller]
pub fn ensembles(sign: Sign, dim: usize) -> impl Strategy<Value = Ensemble> {
    assert!(dim > 0, "Hessians of order at least 1");
    let spread = prop_oneof![2 => Just(Spread::Moderate), 1 => Just(Spread::Equal), 1 => Just(Spread::HeavyTailed)];
    // Magnitude, sign, for every possible eigenvalue.
    let eigenvalue = (0.0..1.0_f64, any::<bool>());
    let sample = (0..=dim, prop::collection::vec(eigenvalue, dim), orthonormal_bases(dim));
    let repetition = prop_oneof![3 => Just(1_usize), 1 => 2..8_usize];
    (prop::collection::vec(sample, 1..=8), spread, repetition, -12.0..12.0_f64).prop_map(
        move |(mut samples, spread, repetition, scale)| {
            if repetition > 1 {
                samples = vec![samples[0].clone(); repetition];
            }
            let kappa_of = |(magnitude, negative): (f64, bool)| {
                let magnitude = match spread {
                    Spread::Equal => 1.0,
                    Spread::Moderate => 0.05 + magnitude,
                    Spread::HeavyTailed => 10f64.powf(-10.0 * magnitude),
                };
                let signed = if negative && sign == Sign::Indefinite { -magnitude } else { magnitude };
                signed * 10f64.powf(scale)
            };
            let sample = |(rank, eigenvalues, basis): (usize, Vec<(f64, bool)>, Mat<f64>)| Sample {
                kappa: eigenvalues.into_iter().take(rank).map(kappa_of).collect(),
                vectors: basis.subcols(0, rank).to_owned(),
            };
            Ensemble { samples: samples.into_iter().map(sample).collect(), dim }
        },
    )
}

/// Orthonormal bases of `dim` dimensions as columns: the columns of a random matrix one after the other, what earlier
/// ones span taken off.
///
/// # Panics
/// When `dim` is 0.
#[track_caller]
pub fn orthonormal_bases(dim: usize) -> impl Strategy<Value = Mat<f64>> {
    assert!(dim > 0, "a basis of at least one dimension");
    prop::collection::vec(-1.0..1.0_f64, dim * dim)
        .prop_map(move |entries| orthonormalised(MatRef::from_column_major_slice(&entries, dim, dim)))
}

/// Gram–Schmidt, every column twice. A column that depends on earlier ones gives way to the axis that does least.
fn orthonormalised(A: MatRef<'_, f64>) -> Mat<f64> {
    let d = A.nrows();
    let mut basis = Mat::<f64>::zeros(d, d);
    for j in 0..d {
        let axes = (0..d).map(|axis| Mat::from_fn(d, 1, |i, _| f64::from(u8::from(i == axis))));
        let candidates = std::iter::once(A.subcols(j, 1).to_owned()).chain(axes);
        let independent = candidates.map(|mut q| {
            let before = q.norm_l2();
            for _ in 0..2 {
                let earlier = basis.subcols(0, j);
                let overlap = earlier.transpose() * &q;
                q -= earlier * overlap;
            }
            let after = q.norm_l2();
            (after > 1e-3 * before && after > 1e-6).then(|| q * faer::Scale(1.0 / after))
        });
        let q = independent.flatten().next().expect("some axis is independent of fewer than d vectors");
        basis.as_mut().subcols_mut(j, 1).copy_from(q);
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #[test]
        fn bases_are_orthonormal(V in orthonormal_bases(5)) {
            prop_assert!((V.transpose() * &V - Mat::<f64>::identity(5, 5)).norm_max() < 1e-13);
        }

        #[test]
        fn dense_matrices_have_the_diagonals_of_the_eigenpairs(
            ensemble in ensembles(Sign::Indefinite, 4), V in orthonormal_bases(4),
        ) {
            let Diagonals { h, m2 } = ensemble.diagonals(V.as_ref());
            let (kappa, n) = (ensemble.kappa_max(), ensemble.n_samples() as f64);
            for i in 0..4 {
                let image: Vec<Mat<f64>> = ensemble.hessians().iter().map(|h| h * V.as_ref().subcols(i, 1)).collect();
                let dense_h = image.iter().map(|x| V.col(i).transpose() * x.col(0)).sum::<f64>() / n;
                let dense_m2 = image.iter().map(|x| x.squared_norm_l2()).sum::<f64>() / n;
                prop_assert!((h[i] - dense_h).abs() <= 1e-13 * kappa);
                prop_assert!((m2[i] - dense_m2).abs() <= 1e-13 * kappa * kappa);
            }
        }
    }

    #[test]
    fn dependent_columns_give_way_to_axes() {
        let V = orthonormalised(faer::mat![[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]].as_ref());
        assert_eq!(V, Mat::<f64>::identity(3, 3));
    }

    /// What is promised is there: each kind, and the scales, within a thousand draws.
    #[test]
    fn every_kind_is_drawn() {
        use proptest::strategy::ValueTree;
        use proptest::test_runner::TestRunner;
        let mut runner = TestRunner::deterministic();
        let mut seen = [false; 6];
        for _ in 0..1_000 {
            let ensemble = ensembles(Sign::Indefinite, 4).new_tree(&mut runner).unwrap().current();
            let first = &ensemble.samples[0];
            let repeated = ensemble.n_samples() > 1 && ensemble.samples.iter().all(|sample| sample == first);
            let ratio = ensemble.kappa_max() / first.kappa.iter().fold(f64::INFINITY, |least, k| least.min(k.abs()));
            let kinds = [
                ensemble.n_samples() == 1,
                repeated,
                ensemble.kappa_max() == 0.0,
                ratio > 1e6 && ratio.is_finite(),
                ensemble.kappa_max() > 1e10,
                ensemble.kappa_max() < 1e-10,
            ];
            seen.iter_mut().zip(kinds).for_each(|(seen, kind)| *seen |= kind);
        }
        assert_eq!(seen, [true; 6]);
    }
}
