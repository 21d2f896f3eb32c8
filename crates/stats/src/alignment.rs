//! Correlation of curvature and alignment, direction by direction: what lifts an exponent above 1 (the paper's Eq. 15).

use crate::bootstrap::{Interval, percentile_interval, resample_counts};
use crate::rank::spearman;
use crate::spectral_ensemble::SpectralEnsemble;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rand::Rng;

/// Which eigenpairs are correlated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// All that are not zero, of every sample. Most are far down the spectra of well-fitted samples.
    All,
    /// The one of largest `|κ|` of every sample: those that carry the second moment.
    Leading,
}

/// What to correlate and how to bootstrap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlignmentConfig {
    /// Which eigenpairs.
    pub pairs: Pairs,
    /// Resamples of the samples, all pairs of a sample together.
    pub n_draws: usize,
    /// Of the intervals.
    pub level: f64,
}

impl Default for AlignmentConfig {
    /// All pairs, 400 resamples, 95 %.
    fn default() -> Self {
        Self { pairs: Pairs::All, n_draws: 400, level: 0.95 }
    }
}

/// Correlation of `X = |κ_m|` and `Y_i = (u_m·v_i)²` over eigenpairs of all samples, for one direction `i`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectionCorrelation {
    /// The direction, from 0.
    pub direction: usize,
    /// Pearson's correlation of `ln X` and `ln Y`.
    pub pearson_log: f64,
    /// Bootstrap interval of `pearson_log`.
    pub interval: Interval,
    /// Spearman's rank correlation of `X` and `Y`.
    pub spearman: f64,
    /// Pairs used: those with `X > 0` and `Y > 0`.
    pub n_used: usize,
}

/// Correlations of all directions.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignmentReport {
    /// One entry a direction that has a correlation: at least 3 pairs, neither variable constant, in every resample.
    pub directions: Vec<DirectionCorrelation>,
    /// Directions without one.
    pub n_undefined: usize,
    /// Mean of `pearson_log` over the directions.
    pub mean: f64,
    /// Bootstrap interval of the mean.
    pub mean_interval: Interval,
}

/// Correlates the magnitude of curvature with the alignment, and bootstraps over samples.
///
/// A resample keeps the directions where they are. `None` when no direction has a correlation.
///
/// # Panics
/// When the configuration asks for no draws, or a level outside `(0, 1)`.
#[track_caller]
pub fn correlations(
    ensemble: &SpectralEnsemble,
    config: AlignmentConfig,
    rng: &mut impl Rng,
) -> Option<AlignmentReport> {
    assert!(config.n_draws > 0, "no draws asked for");
    let leading;
    let ensemble = match config.pairs {
        Pairs::All => ensemble,
        Pairs::Leading => {
            leading = ensemble.leading();
            &leading
        }
    };
    let (k, n_pairs) = (ensemble.n_directions(), ensemble.kappa().len());
    let counts = resample_counts(ensemble.n_samples(), config.n_draws, rng);
    // Column 0 is the ensemble itself.
    let mut weights = Mat::from_fn(n_pairs, config.n_draws + 1, |_, _| 1.0);
    for p in 0..ensemble.n_samples() {
        for pair in ensemble.pairs_of(p) {
            (0..config.n_draws).for_each(|draw| weights[(pair, draw + 1)] = counts[(p, draw)]);
        }
    }
    let mean_ln = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, n) = values.filter(|x| *x > 0.0).fold((0.0, 0.0), |(sum, n), x| (sum + x.ln(), n + 1.0));
        if n > 0.0 { sum / n } else { 0.0 }
    };
    // Centred, so that the sums of squares below do not cancel.
    let x_mean = mean_ln(&mut ensemble.kappa().iter().map(|kappa| kappa.abs()));
    let x: Vec<f64> = ensemble.kappa().iter().map(|kappa| kappa.abs().ln() - x_mean).collect();
    let alignment = ensemble.alignment();
    let y_mean: Vec<f64> = (0..k).map(|i| mean_ln(&mut alignment.row(i).iter().copied())).collect();
    let used = |i: usize, pair: usize| x[pair].is_finite() && alignment[(i, pair)] > 0.0;
    // Sums over the used pairs, k × (n_draws + 1).
    let sums = |of_direction: &dyn Fn(f64) -> f64, of_pair: &dyn Fn(f64) -> f64| {
        let left = Mat::from_fn(k, n_pairs, |i, pair| {
            if used(i, pair) { of_direction(alignment[(i, pair)].ln() - y_mean[i]) } else { 0.0 }
        });
        let right = Mat::from_fn(n_pairs, weights.ncols(), |pair, draw| {
            if x[pair].is_finite() { of_pair(x[pair]) * weights[(pair, draw)] } else { 0.0 }
        });
        let mut product = Mat::zeros(k, weights.ncols());
        matmul(product.as_mut(), Accum::Replace, &left, &right, 1.0, Par::rayon(0));
        product
    };
    let n = sums(&|_| 1.0, &|_| 1.0);
    let (sum_x, sum_xx) = (sums(&|_| 1.0, &|x| x), sums(&|_| 1.0, &|x| x * x));
    let (sum_y, sum_yy) = (sums(&|y| y, &|_| 1.0), sums(&|y| y * y, &|_| 1.0));
    let sum_xy = sums(&|y| y, &|x| x);
    let correlation = |i: usize, draw: usize| -> Option<f64> {
        let at = (i, draw);
        if n[at] < 3.0 {
            return None;
        }
        let variance_x = sum_xx[at] - sum_x[at] * sum_x[at] / n[at];
        let variance_y = sum_yy[at] - sum_y[at] * sum_y[at] / n[at];
        let covariance = sum_xy[at] - sum_x[at] * sum_y[at] / n[at];
        let constant = variance_x <= 1e-12 * sum_xx[at] || variance_y <= 1e-12 * sum_yy[at];
        (!constant).then(|| (covariance / (variance_x * variance_y).sqrt()).clamp(-1.0, 1.0))
    };
    let mut directions = Vec::new();
    let mut means = vec![0.0; config.n_draws + 1];
    for i in 0..k {
        let all: Option<Vec<f64>> = (0..=config.n_draws).map(|draw| correlation(i, draw)).collect();
        let (X, Y): (Vec<f64>, Vec<f64>) = (0..n_pairs)
            .filter(|&pair| used(i, pair))
            .map(|pair| (ensemble.kappa()[pair].abs(), alignment[(i, pair)]))
            .unzip();
        let (Some(all), Ok(spearman)) = (all, spearman(&X, &Y)) else { continue };
        let interval = percentile_interval(&all[1..], config.level).expect("finite correlations");
        means.iter_mut().zip(&all).for_each(|(mean, r)| *mean += r);
        directions.push(DirectionCorrelation {
            direction: i,
            pearson_log: all[0],
            interval,
            spearman: spearman.r,
            n_used: X.len(),
        });
    }
    if directions.is_empty() {
        return None;
    }
    means.iter_mut().for_each(|mean| *mean /= directions.len() as f64);
    let mean_interval = percentile_interval(&means[1..], config.level).expect("finite correlations");
    Some(AlignmentReport { n_undefined: k - directions.len(), directions, mean: means[0], mean_interval })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::pearson;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// `ln Y_0` follows `ln X` with the given correlation, `Y_1` is independent, `Y_2` is zero, `Y_3` constant.
    fn example(n_samples: usize, r: f64, rng: &mut ChaCha8Rng) -> SpectralEnsemble {
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let (mut spectra, mut columns) = (Vec::new(), Vec::new());
        for _ in 0..n_samples {
            let mut spectrum: Vec<f64> = (0..3).map(|_| normal()).collect();
            spectrum.sort_by(|a, b| b.total_cmp(a));
            for x in &mut spectrum {
                let y = r * *x + (1.0 - r * r).sqrt() * normal();
                columns.push([(y - 8.0).exp().min(1.0), (normal() - 8.0).exp().min(1.0), 0.0, 0.25]);
                *x = x.exp();
            }
            spectra.push(spectrum);
        }
        let alignment = Mat::from_fn(4, columns.len(), |i, pair| columns[pair][i]);
        SpectralEnsemble::new(&spectra, alignment).unwrap()
    }

    #[test]
    fn equals_pearson_and_spearman_of_the_used_pairs() {
        let ensemble = example(40, 0.6, &mut ChaCha8Rng::seed_from_u64(0));
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let report =
            correlations(&ensemble, AlignmentConfig { n_draws: 50, level: 0.9, ..Default::default() }, rng).unwrap();
        assert_eq!((report.directions.len(), report.n_undefined), (2, 2), "zero and constant alignments have none");
        for found in &report.directions {
            let ln = |values: &mut dyn Iterator<Item = f64>| values.map(f64::ln).collect::<Vec<f64>>();
            let x = ln(&mut ensemble.kappa().iter().copied());
            let y = ln(&mut ensemble.alignment().row(found.direction).iter().copied());
            assert!((found.pearson_log - pearson(&x, &y).unwrap().r).abs() < 1e-12);
            assert!((found.spearman - spearman(&x, &y).unwrap().r).abs() < 1e-12);
            assert!(found.interval.contains(found.pearson_log) && found.n_used == 120);
        }
        let mean = report.directions.iter().map(|d| d.pearson_log).sum::<f64>() / 2.0;
        assert!((report.mean - mean).abs() < 1e-14 && report.mean_interval.contains(mean));
    }

    #[test]
    fn leading_pairs_are_the_first_of_every_sample() {
        let ensemble = example(40, 0.6, &mut ChaCha8Rng::seed_from_u64(0));
        let config = AlignmentConfig { pairs: Pairs::Leading, ..Default::default() };
        let report = correlations(&ensemble, config, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let first = |p: usize| ensemble.pairs_of(p).start;
        let x: Vec<f64> = (0..40).map(|p| ensemble.kappa()[first(p)].ln()).collect();
        let y: Vec<f64> = (0..40).map(|p| ensemble.alignment()[(0, first(p))].ln()).collect();
        assert_eq!(report.directions[0].n_used, 40);
        assert!((report.directions[0].pearson_log - pearson(&x, &y).unwrap().r).abs() < 1e-12);
    }

    /// The 90 % interval covers the truth about as often as it says.
    #[test]
    fn the_interval_covers() {
        let mut covered = 0;
        for seed in 0..200 {
            let ensemble = example(60, 0.6, &mut ChaCha8Rng::seed_from_u64(1_000 + seed));
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let report =
                correlations(&ensemble, AlignmentConfig { n_draws: 200, level: 0.9, ..Default::default() }, rng)
                    .unwrap();
            // Sorting within samples leaves the pairs what they are.
            covered += usize::from(report.directions[0].interval.contains(0.6));
        }
        assert!((165..=194).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn no_correlation_is_none() {
        let ensemble = SpectralEnsemble::new(&[vec![2.0], vec![]], faer::mat![[0.5]]).unwrap();
        assert!(correlations(&ensemble, AlignmentConfig::default(), &mut ChaCha8Rng::seed_from_u64(0)).is_none());
    }
}
