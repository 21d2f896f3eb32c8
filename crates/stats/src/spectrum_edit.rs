//! The suppression experiment: edits of per-sample spectra that leave every eigenvector where it is (`MATH §7`).

use crate::spectral_ensemble::SpectralEnsemble;
use rand::{Rng, RngExt};

/// An edit of the eigenvalues of a [`SpectralEnsemble`].
///
/// The first four are the paper's. `κ_1` is a sample's eigenvalue of largest magnitude; for indefinite Hessians
/// magnitudes are compared and averaged, and every eigenvalue keeps its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpectrumEdit {
    /// (a) Nothing is changed.
    Original,
    /// (b) All but the leading eigenvalue of each sample are cut: `κ_m ← tail·κ_m` for `m ≥ 2`.
    TailCut,
    /// (c) As (b), and soft samples, `|κ_1| ≤ stiff·max_p |κ_1|`, have their leading eigenvalue cut: `κ_1 ← soft·κ_1`.
    StiffOnly,
    /// (d) As (c), and the leading eigenvalue of every stiff sample becomes their mean.
    Homogenised,
    /// The leading eigenvalue of every stiff sample becomes their mean, and nothing is cut.
    HomogenisedUncut,
    /// Eigenvalues are exchanged at random among stiff samples, rank by rank, and nothing is cut: the spectra stay,
    /// their match with the eigenvectors goes.
    StiffShuffled,
    /// Eigenvalues are exchanged at random among all samples, rank by rank: what remains is that leading eigenvectors
    /// align otherwise than trailing ones.
    RanksShuffled,
    /// Eigenvalues are exchanged at random among all pairs: no correlation of curvature and alignment is left, and the
    /// exponent must be 1 up to chance.
    Shuffled,
}

impl SpectrumEdit {
    /// All of them, the paper's rows first.
    pub const ALL: [Self; 8] = [
        Self::Original,
        Self::TailCut,
        Self::StiffOnly,
        Self::Homogenised,
        Self::HomogenisedUncut,
        Self::StiffShuffled,
        Self::RanksShuffled,
        Self::Shuffled,
    ];

    /// Whether the outcome depends on the generator.
    pub fn is_random(self) -> bool {
        matches!(self, Self::StiffShuffled | Self::RanksShuffled | Self::Shuffled)
    }
}

/// The factors of the edits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EditFactors {
    /// Factor of cut trailing eigenvalues.
    pub tail: f64,
    /// Samples with `|κ_1|` at most this part of the largest are soft.
    pub stiff: f64,
    /// Factor of cut leading eigenvalues of soft samples.
    pub soft: f64,
}

impl EditFactors {
    /// The paper's: `10⁻⁵`, `10⁻³`, `10⁻³`.
    pub const PAPER: Self = Self { tail: 1e-5, stiff: 1e-3, soft: 1e-3 };
}

impl SpectralEnsemble {
    /// The eigenvalues of all pairs after `edit`, for [`SpectralEnsemble::diagonals_with`]. `rng` is used by random
    /// edits only.
    pub fn edited(&self, edit: SpectrumEdit, factors: EditFactors, rng: &mut impl Rng) -> Vec<f64> {
        let mut kappa = self.kappa().to_vec();
        match edit {
            SpectrumEdit::Original => {}
            SpectrumEdit::TailCut => self.cut_tail(&mut kappa, factors),
            SpectrumEdit::StiffOnly => {
                self.cut_tail(&mut kappa, factors);
                self.cut_soft(&mut kappa, factors);
            }
            SpectrumEdit::Homogenised => {
                self.cut_tail(&mut kappa, factors);
                self.cut_soft(&mut kappa, factors);
                self.homogenise(&mut kappa, factors);
            }
            SpectrumEdit::HomogenisedUncut => self.homogenise(&mut kappa, factors),
            SpectrumEdit::StiffShuffled => {
                let samples: Vec<usize> = self.stiff_samples(factors).collect();
                self.shuffle_ranks(&mut kappa, &samples, rng);
            }
            SpectrumEdit::RanksShuffled => {
                let samples: Vec<usize> = (0..self.n_samples()).collect();
                self.shuffle_ranks(&mut kappa, &samples, rng);
            }
            SpectrumEdit::Shuffled => shuffle(&mut kappa, rng),
        }
        kappa
    }

    /// Samples whose leading eigenvalue exceeds the part `stiff` of the largest of all.
    pub fn stiff_samples(&self, factors: EditFactors) -> impl Iterator<Item = usize> {
        let leading = |p: usize| self.pairs_of(p).next().map_or(0.0, |pair| self.kappa()[pair].abs());
        let largest = (0..self.n_samples()).map(leading).fold(0.0, f64::max);
        (0..self.n_samples()).filter(move |&p| leading(p) > factors.stiff * largest)
    }

    fn cut_tail(&self, kappa: &mut [f64], factors: EditFactors) {
        for p in 0..self.n_samples() {
            self.pairs_of(p).skip(1).for_each(|pair| kappa[pair] *= factors.tail);
        }
    }

    fn cut_soft(&self, kappa: &mut [f64], factors: EditFactors) {
        let mut stiff = self.stiff_samples(factors).peekable();
        for p in 0..self.n_samples() {
            if stiff.next_if_eq(&p).is_none()
                && let Some(pair) = self.pairs_of(p).next()
            {
                kappa[pair] *= factors.soft;
            }
        }
    }

    fn homogenise(&self, kappa: &mut [f64], factors: EditFactors) {
        let leading: Vec<usize> = self.stiff_samples(factors).filter_map(|p| self.pairs_of(p).next()).collect();
        let mean = leading.iter().map(|&pair| self.kappa()[pair].abs()).sum::<f64>() / leading.len() as f64;
        leading.into_iter().for_each(|pair| kappa[pair] = mean.copysign(kappa[pair]));
    }

    fn shuffle_ranks(&self, kappa: &mut [f64], samples: &[usize], rng: &mut impl Rng) {
        let n_ranks = samples.iter().map(|&p| self.pairs_of(p).len()).max().unwrap_or(0);
        for rank in 0..n_ranks {
            let pairs: Vec<usize> = samples.iter().filter_map(|&p| self.pairs_of(p).nth(rank)).collect();
            let mut values: Vec<f64> = pairs.iter().map(|&pair| kappa[pair]).collect();
            shuffle(&mut values, rng);
            pairs.into_iter().zip(values).for_each(|(pair, value)| kappa[pair] = value);
        }
    }
}

/// Fisher–Yates, written out so that no other crate's release changes a published number.
fn shuffle(values: &mut [f64], rng: &mut impl Rng) {
    for k in (1..values.len()).rev() {
        values.swap(k, rng.random_range(0..=k));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Stiff samples 0 and 3, soft samples 1 and 2, one without curvature.
    fn example() -> SpectralEnsemble {
        let spectra = [vec![-8.0, 2.0], vec![0.004], vec![0.002, 0.001], vec![4.0, 1.0, 0.5], vec![]];
        SpectralEnsemble::new(&spectra, Mat::from_fn(2, 8, |i, j| ((i + j) % 3) as f64 / 3.0)).unwrap()
    }

    fn edited(edit: SpectrumEdit) -> Vec<f64> {
        example().edited(edit, EditFactors::PAPER, &mut ChaCha8Rng::seed_from_u64(0))
    }

    #[test]
    fn edits_by_hand() {
        assert_eq!(edited(SpectrumEdit::Original), [-8.0, 2.0, 0.004, 0.002, 0.001, 4.0, 1.0, 0.5]);
        let (t, s) = (1e-5, 1e-3);
        assert_eq!(edited(SpectrumEdit::TailCut), [-8.0, 2.0 * t, 0.004, 0.002, 0.001 * t, 4.0, t, 0.5 * t]);
        let stiff = [-8.0, 2.0 * t, 0.004 * s, 0.002 * s, 0.001 * t, 4.0, t, 0.5 * t];
        assert_eq!(edited(SpectrumEdit::StiffOnly), stiff);
        assert_eq!(edited(SpectrumEdit::Homogenised), [-6.0, stiff[1], stiff[2], stiff[3], stiff[4], 6.0, t, 0.5 * t]);
        assert_eq!(edited(SpectrumEdit::HomogenisedUncut), [-6.0, 2.0, 0.004, 0.002, 0.001, 6.0, 1.0, 0.5]);
    }

    #[test]
    fn shuffles_exchange_and_keep_what_they_say() {
        let sorted = |kappa: &[f64], pairs: &[usize]| {
            let mut values: Vec<f64> = pairs.iter().map(|&pair| kappa[pair]).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let ensemble = example();
        for seed in 0..20 {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let mut run = |edit| ensemble.edited(edit, EditFactors::PAPER, rng);
            let stiff = run(SpectrumEdit::StiffShuffled);
            assert_eq!(stiff[2..5], ensemble.kappa()[2..5]);
            assert_eq!(stiff[7], 0.5, "a rank that one sample alone has");
            let ranks = run(SpectrumEdit::RanksShuffled);
            for pairs in [&[0, 2, 3, 5][..], &[1, 4, 6], &[7]] {
                assert_eq!(sorted(&ranks, pairs), sorted(ensemble.kappa(), pairs));
            }
            let all: Vec<usize> = (0..8).collect();
            assert_eq!(sorted(&run(SpectrumEdit::Shuffled), &all), sorted(ensemble.kappa(), &all));
        }
        // Value stability: a seed names one shuffle for good.
        assert_eq!(edited(SpectrumEdit::RanksShuffled), [-8.0, 2.0, 0.004, 4.0, 1.0, 0.002, 0.001, 0.5]);
    }

    #[test]
    fn an_ensemble_without_curvature_stays_so() {
        let ensemble = SpectralEnsemble::new(&[vec![], vec![0.0]], Mat::zeros(1, 1)).unwrap();
        for edit in SpectrumEdit::ALL {
            assert_eq!(ensemble.edited(edit, EditFactors::PAPER, &mut ChaCha8Rng::seed_from_u64(0)), [0.0], "{edit:?}");
        }
    }
}
