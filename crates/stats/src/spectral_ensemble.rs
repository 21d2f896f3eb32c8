//! Spectra of per-sample Hessians seen along fixed directions: curvature `X = κ_m` and alignment `Y_i = (u_m·v_i)²`.
//!
//! Both diagonals that a power law compares are sums over these pairs (`MATH §6`, the paper's Eq. 15), so that editing
//! `κ` while `Y` stays says which part of the spectra makes the exponent.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use thiserror::Error;

/// `(κ_m^{(p)}, (u_m^{(p)}·v_i)²)` of samples `p = 1..N`, their ranks `m` and directions `i = 1..k`.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectralEnsemble {
    /// All `κ`, sample after sample, within a sample by descending magnitude.
    kappa: Vec<f64>,
    /// Sample `p` has pairs `first[p]..first[p + 1]`.
    first: Vec<usize>,
    /// `Y`, `k × n_pairs`.
    alignment: Mat<f64>,
}

/// The two diagonals of an ensemble, one entry a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagonals {
    /// `H_ii = E_p Σ_m κ_m Y_i`.
    pub h: Vec<f64>,
    /// `(M₂)_ii = E_p Σ_m κ_m² Y_i`.
    pub m2: Vec<f64>,
}

/// Why there is no such ensemble.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SpectralEnsembleError {
    /// No samples, or no directions.
    #[error("{samples} samples and {directions} directions: expected at least 1 of each")]
    Empty {
        /// `N`.
        samples: usize,
        /// `k`.
        directions: usize,
    },
    /// The alignments do not pair up with the eigenvalues.
    #[error("{found} columns of alignments for {expected} eigenvalues: expected as many")]
    Shape {
        /// Columns of the alignments.
        found: usize,
        /// Eigenvalues of all samples.
        expected: usize,
    },
    /// An eigenvalue is infinite or not a number, or larger in magnitude than the one before it.
    #[error("sample {sample}, eigenvalue {rank} is {value}: expected finite numbers by descending magnitude")]
    Eigenvalue {
        /// The sample, from 0.
        sample: usize,
        /// The eigenvalue, from 0.
        rank: usize,
        /// What stands there.
        value: f64,
    },
    /// An alignment is not a squared cosine.
    #[error("alignment of eigenpair {pair} with direction {direction} is {value}: expected 0 to 1")]
    Alignment {
        /// Eigenpair, counted over all samples.
        pair: usize,
        /// Direction.
        direction: usize,
        /// What stands there.
        value: f64,
    },
}

impl SpectralEnsemble {
    /// From every sample's nonzero eigenvalues, by descending magnitude, and the alignments of all their eigenvectors,
    /// sample after sample, as columns (`k × n_pairs`). A sample without curvature has no eigenvalues, and counts in
    /// `N`.
    ///
    /// # Errors
    /// [`SpectralEnsembleError`]: nothing there, shapes that do not fit, eigenvalues that are not finite or not in
    /// order, alignments outside `[0, 1]` by more than rounding.
    pub fn new(kappa: &[Vec<f64>], alignment: Mat<f64>) -> Result<Self, SpectralEnsembleError> {
        if kappa.is_empty() || alignment.nrows() == 0 {
            return Err(SpectralEnsembleError::Empty { samples: kappa.len(), directions: alignment.nrows() });
        }
        for (sample, spectrum) in kappa.iter().enumerate() {
            let in_order = |rank: usize| rank == 0 || spectrum[rank].abs() <= spectrum[rank - 1].abs();
            if let Some(rank) = (0..spectrum.len()).find(|&rank| !(spectrum[rank].is_finite() && in_order(rank))) {
                return Err(SpectralEnsembleError::Eigenvalue { sample, rank, value: spectrum[rank] });
            }
        }
        let mut first = vec![0];
        for spectrum in kappa {
            first.push(first[first.len() - 1] + spectrum.len());
        }
        let kappa = kappa.concat();
        if alignment.ncols() != kappa.len() {
            return Err(SpectralEnsembleError::Shape { found: alignment.ncols(), expected: kappa.len() });
        }
        for pair in 0..kappa.len() {
            let wrong = |y: &f64| !(*y >= 0.0 && *y <= 1.0 + 1e-9);
            if let Some(direction) = alignment.col_as_slice(pair).iter().position(wrong) {
                let value = alignment[(direction, pair)];
                return Err(SpectralEnsembleError::Alignment { pair, direction, value });
            }
        }
        Ok(Self { kappa, first, alignment })
    }

    /// `N`, samples without curvature included.
    pub fn n_samples(&self) -> usize {
        self.first.len() - 1
    }

    /// `k`.
    pub fn n_directions(&self) -> usize {
        self.alignment.nrows()
    }

    /// `κ` of all pairs, sample after sample.
    pub fn kappa(&self) -> &[f64] {
        &self.kappa
    }

    /// `Y`, `k × n_pairs`.
    pub fn alignment(&self) -> MatRef<'_, f64> {
        self.alignment.as_ref()
    }

    /// Pairs of sample `p`.
    ///
    /// # Panics
    /// When there is no such sample.
    #[track_caller]
    pub fn pairs_of(&self, p: usize) -> std::ops::Range<usize> {
        self.first[p]..self.first[p + 1]
    }

    /// Every sample with its leading eigenpair alone.
    pub fn leading(&self) -> Self {
        let pairs: Vec<usize> = (0..self.n_samples()).filter_map(|p| self.pairs_of(p).next()).collect();
        let mut first = vec![0];
        for p in 0..self.n_samples() {
            first.push(first[p] + usize::from(!self.pairs_of(p).is_empty()));
        }
        Self {
            kappa: pairs.iter().map(|&pair| self.kappa[pair]).collect(),
            alignment: Mat::from_fn(self.n_directions(), pairs.len(), |i, k| self.alignment[(i, pairs[k])]),
            first,
        }
    }

    /// The diagonals of the ensemble itself.
    pub fn diagonals(&self) -> Diagonals {
        self.diagonals_with(&self.kappa)
    }

    /// The diagonals with other eigenvalues on the same eigenvectors.
    ///
    /// # Panics
    /// When there is not one eigenvalue a pair.
    #[track_caller]
    pub fn diagonals_with(&self, kappa: &[f64]) -> Diagonals {
        assert_eq!(kappa.len(), self.kappa.len(), "one eigenvalue a pair");
        let mean = |weight: &dyn Fn(f64) -> f64| {
            let weights: Vec<f64> = kappa.iter().map(|&kappa| weight(kappa)).collect();
            let mut diagonal = vec![0.0; self.n_directions()];
            matmul(
                MatMut::from_column_major_slice_mut(&mut diagonal, self.alignment.nrows(), 1),
                Accum::Replace,
                &self.alignment,
                MatRef::from_column_major_slice(&weights, weights.len(), 1),
                1.0 / self.n_samples() as f64,
                Par::Seq,
            );
            diagonal
        };
        Diagonals { h: mean(&|kappa| kappa), m2: mean(&|kappa| kappa * kappa) }
    }

    /// `G_i(k) = E_p[Σ_{m≤k} κ_m²Y_i / Σ_m κ_m²Y_i]` for `k = 1..n_ranks`, one row a direction: how much of a
    /// direction's second moment the leading eigenpairs of each sample carry.
    ///
    /// The mean is over the samples whose second moment along the direction is not zero; without any the row is
    /// NaN-free and zero. Ranks that a sample lacks add nothing.
    ///
    /// # Panics
    /// When there is not one eigenvalue a pair.
    #[track_caller]
    pub fn gap_curves(&self, kappa: &[f64], n_ranks: usize) -> Mat<f64> {
        assert_eq!(kappa.len(), self.kappa.len(), "one eigenvalue a pair");
        let mut curves = Mat::zeros(self.n_directions(), n_ranks);
        let mut counted = vec![0_usize; self.n_directions()];
        let mut total = vec![0.0; self.n_directions()];
        for p in 0..self.n_samples() {
            let pairs = self.pairs_of(p);
            // Ratios do not change with the sample's scale, and squares of tiny curvatures would underflow.
            let largest = kappa[pairs.clone()].iter().fold(0.0, |most: f64, kappa| most.max(kappa.abs()));
            if largest == 0.0 {
                continue;
            }
            let weight = |pair: usize| (kappa[pair] / largest).powi(2);
            total.fill(0.0);
            for pair in pairs.clone() {
                let weight = weight(pair);
                total.iter_mut().zip(self.alignment.col_as_slice(pair)).for_each(|(sum, y)| *sum += weight * y);
            }
            for (i, &total) in total.iter().enumerate().filter(|(_, total)| **total > 0.0) {
                counted[i] += 1;
                let mut partial = 0.0;
                for k in 0..n_ranks {
                    if let Some(pair) = pairs.clone().nth(k) {
                        partial += weight(pair) * self.alignment[(i, pair)];
                    }
                    curves[(i, k)] += partial / total;
                }
            }
        }
        for (i, &n) in counted.iter().enumerate().filter(|(_, n)| **n > 0) {
            (0..n_ranks).for_each(|k| curves[(i, k)] /= n as f64);
        }
        curves
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two samples in the plane: `κ = (2, 1)` along the axes, `κ = 4` along the diagonal.
    pub(crate) fn example() -> SpectralEnsemble {
        let alignment = faer::mat![[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]];
        SpectralEnsemble::new(&[vec![2.0, 1.0], vec![4.0]], alignment).unwrap()
    }

    #[test]
    fn diagonals_and_gap_curves_by_hand() {
        let ensemble = example();
        assert_eq!(ensemble.diagonals(), Diagonals { h: vec![2.0, 1.5], m2: vec![6.0, 4.5] });
        // The second direction sees nothing of the first sample's leading pair.
        let curves = ensemble.gap_curves(ensemble.kappa(), 3);
        assert_eq!(curves, faer::mat![[1.0, 1.0, 1.0], [0.5, 1.0, 1.0]]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |kappa: &[Vec<f64>], alignment: Mat<f64>| SpectralEnsemble::new(kappa, alignment).unwrap_err();
        assert!(matches!(error(&[], Mat::zeros(2, 0)), SpectralEnsembleError::Empty { samples: 0, directions: 2 }));
        assert!(matches!(
            error(&[vec![1.0]], Mat::zeros(2, 3)),
            SpectralEnsembleError::Shape { found: 3, expected: 1 }
        ));
        let unordered = error(&[vec![], vec![1.0, -2.0]], Mat::zeros(1, 2));
        assert_eq!(unordered, SpectralEnsembleError::Eigenvalue { sample: 1, rank: 1, value: -2.0 });
        assert!(matches!(
            error(&[vec![f64::NAN]], Mat::zeros(1, 1)),
            SpectralEnsembleError::Eigenvalue { rank: 0, .. }
        ));
        let alignment = error(&[vec![1.0]], faer::mat![[0.5], [1.5]]);
        assert_eq!(alignment, SpectralEnsembleError::Alignment { pair: 0, direction: 1, value: 1.5 });
    }

    #[test]
    fn samples_without_curvature_count_and_never_divide() {
        let ensemble = SpectralEnsemble::new(&[vec![], vec![2.0]], faer::mat![[1.0], [0.0]]).unwrap();
        assert_eq!(ensemble.diagonals(), Diagonals { h: vec![1.0, 0.0], m2: vec![2.0, 0.0] });
        assert_eq!(ensemble.leading(), ensemble);
        assert_eq!(ensemble.gap_curves(&[2.0], 1), faer::mat![[1.0], [0.0]]);
        assert_eq!(ensemble.gap_curves(&[0.0], 1), faer::mat![[0.0], [0.0]]);
    }

    proptest! {
        #[test]
        fn curves_rise_to_one_and_do_not_see_the_scale(
            spectra in prop::collection::vec(prop::collection::vec(1e-6..1.0_f64, 1..5), 1..6),
            exponent in -400i32..400,
        ) {
            let mut spectra = spectra;
            spectra.iter_mut().for_each(|s| s.sort_by(|a, b| b.total_cmp(a)));
            let n_pairs = spectra.iter().map(Vec::len).sum();
            let alignment = Mat::from_fn(3, n_pairs, |i, j| ((i + 1) * (j + 2) % 7) as f64 / 7.0);
            let ensemble = SpectralEnsemble::new(&spectra, alignment).unwrap();
            let curves = ensemble.gap_curves(ensemble.kappa(), 5);
            let scaled: Vec<f64> = ensemble.kappa().iter().map(|kappa| kappa * 2_f64.powi(exponent)).collect();
            prop_assert_eq!(&ensemble.gap_curves(&scaled, 5), &curves);
            for i in 0..3 {
                prop_assert!((1..5).all(|k| curves[(i, k)] >= curves[(i, k - 1)]));
                prop_assert!(curves[(i, 4)] == 0.0 || (curves[(i, 4)] - 1.0).abs() < 1e-12);
            }
        }
    }
}
