//! What the spectra of single samples' Hessians say of a tensor: the bounds of its second moment, and what curvature
//! has to do with alignment.

use super::source::Spectra;
use super::tensor::Settings;
use crate::layer_spectra::alignment_record;
use crate::observer::Observer;
use crate::record::layer_spectra::AlignmentRecord;
use anyhow::{Context, Result};
use faer::{Mat, MatRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use superlinear_curvature::{DiagonalsAlong, SampleSpectrum, SpectraAlong};
use superlinear_stats::SpectralEnsemble;
use superlinear_stats::alignment::{AlignmentConfig, Pairs, correlations};
use superlinear_stats::bounds::{Curvature, Wedge, WedgeReport};

/// The largest eigenproblem of a sample that is solved for all of them.
const MOST_ORDER: usize = 512;
/// Samples whose eigenpairs are kept and correlated: as many as the paper's 20 of each of 10 classes.
const MOST_KEPT: usize = 200;
/// Eigenpairs that these may have together, unless samples get fewer than [`LEAST_KEPT`].
const MOST_PAIRS: usize = 1 << 15;
const LEAST_KEPT: usize = 20;

/// The bounds `(vᵀHv)² ≤ vᵀM₂v ≤ κ_max · vᵀE_p[|h_p|]v` along every direction, and the spectra of some samples.
#[derive(Clone, Debug)]
pub struct SampleSpectra {
    /// `κ_max`, the largest spectral norm of a sample's Hessian.
    pub kappa_max: f64,
    /// The sample that has it, from 0.
    pub largest: usize,
    /// `v_iᵀE_p[|h_p|]v_i` along every direction.
    pub absolute: Vec<f64>,
    /// Every direction held against both bounds.
    pub wedge: WedgeReport,
    /// Eigenvalues of the samples that were drawn, by ascending sample; all where there are few.
    pub samples: Vec<(usize, Vec<f64>)>,
    /// Correlation of `ln |κ_m|` and `ln (u_m·v_i)²` over all eigenpairs of these samples, with intervals by a
    /// bootstrap over samples; `None` where no direction has one.
    pub alignment: Option<AlignmentRecord>,
    /// The same over the leading eigenpair of each.
    pub leading_alignment: Option<AlignmentRecord>,
}

impl SampleSpectra {
    /// Directions that are held against the bounds.
    pub fn n_judged(&self) -> usize {
        self.wedge.places.len() - self.wedge.n_flagged
    }

    /// Directions with `(vᵀHv)² ≤ vᵀM₂v`.
    pub fn n_above_square(&self) -> usize {
        self.n_judged() - self.wedge.n_below
    }

    /// Directions with `vᵀM₂v ≤ κ_max · vᵀE_p[|h_p|]v`.
    pub fn n_below_largest(&self) -> usize {
        self.n_judged() - self.wedge.n_above
    }
}

/// Of a tensor along `vectors`, whose diagonals are given; `Err` in the answer says why there is none.
pub(super) fn of_samples(
    settings: &Settings,
    source: &dyn Spectra,
    (vectors, diagonals): (MatRef<'_, f64>, &DiagonalsAlong),
    name: &str,
    observer: &dyn Observer,
) -> Result<Result<SampleSpectra, String>> {
    let order = source.order();
    if order > MOST_ORDER {
        return Ok(Err(format!(
            "the Hessian of one sample takes an eigenproblem of order {order}; they are solved up to {MOST_ORDER}"
        )));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let kept = drawn(settings.n_samples, MOST_KEPT.min((MOST_PAIRS / order).max(LEAST_KEPT)), &mut rng);
    let stage = observer.stage("spectra", settings.n_samples as u64, "samples/s");
    let found = source.along(vectors, &kept, &mut |samples| {
        stage.advance(samples as u64);
        if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    observer.check()?;
    let SpectraAlong { kappa_max, largest, absolute, samples } = found.context("interrupted")?;
    stage.done(&format!("of the Hessians of all samples in {name}"));
    if kappa_max == 0.0 {
        return Ok(Err("no sample has curvature in it".to_owned()));
    }
    let curvature = Curvature::Indefinite { abs_diag: Some(&absolute) };
    let wedge = Wedge::new(kappa_max)?.report(&diagonals.hessian, &diagonals.second_moment, curvature)?;
    let kappa: Vec<Vec<f64>> = samples.iter().map(|of| of.kappa.clone()).collect();
    let ensemble =
        SpectralEnsemble::new(&kappa, side_by_side(vectors.ncols(), &samples)).context("spectra of samples")?;
    let mut correlated = |pairs| {
        let config = AlignmentConfig { pairs, ..AlignmentConfig::default() };
        correlations(&ensemble, config, &mut rng).map(alignment_record)
    };
    let (alignment, leading_alignment) = (correlated(Pairs::All), correlated(Pairs::Leading));
    let samples = samples.into_iter().map(|of| of.sample).zip(kappa).collect();
    Ok(Ok(SampleSpectra { kappa_max, largest, absolute, wedge, samples, alignment, leading_alignment }))
}

/// `n` of `N` samples without replacement, ascending.
fn drawn(N: usize, n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..N).collect();
    let n = n.min(N);
    // The head of a Fisher–Yates shuffle.
    for k in 0..n {
        let other = rng.random_range(k..N);
        all.swap(k, other);
    }
    all.truncate(n);
    all.sort_unstable();
    all
}

fn side_by_side(K: usize, samples: &[SampleSpectrum]) -> Mat<f64> {
    let mut Y = Mat::zeros(K, samples.iter().map(|of| of.kappa.len()).sum());
    let mut pair = 0;
    for SampleSpectrum { alignment, .. } in samples {
        Y.as_mut().subcols_mut(pair, alignment.ncols()).copy_from(alignment);
        pair += alignment.ncols();
    }
    Y
}

#[cfg(test)]
mod tests {
    use super::super::{FactorsQuestion, Found, answer_factors};
    use super::*;
    use crate::observer::Silent;
    use faer::Side;
    use std::num::NonZeroUsize;
    use superlinear_store::array::ArrayView;
    use superlinear_store::npz::{self, Compression};

    /// The answer for factors `[N, T, d_in, d_out]` that `entry` draws, and every `h_p`.
    fn answered([N, T, d_in, d_out]: [usize; 4], entry: &mut dyn FnMut() -> f64) -> (Found, Vec<Mat<f64>>) {
        let rank = T * d_out;
        let mut draw = |n: usize| (0..n).map(|_| entry()).collect::<Vec<f64>>();
        let (a, delta, half) = (draw(N * T * d_in), draw(N * rank), draw(N * rank * rank));
        let S = |p: usize, i: usize, j: usize| half[(p * rank + i) * rank + j] + half[(p * rank + j) * rank + i];
        let flat: Vec<f64> = (0..N * rank * rank).map(|at| S(at / rank / rank, at / rank % rank, at % rank)).collect();
        let dense = |p: usize| {
            Mat::from_fn(d_out * d_in, d_out * d_in, |r, c| {
                let a = |t: usize, i: usize| a[(p * T + t) * d_in + i];
                let pairs = (0..T).flat_map(|t| (0..T).map(move |u| (t, u)));
                let term = |(t, u)| S(p, t * d_out + r / d_in, u * d_out + c / d_in) * a(t, r % d_in) * a(u, c % d_in);
                pairs.map(term).sum::<f64>()
            })
        };
        let folder = tempfile::tempdir().unwrap();
        let factors = folder.path().join("f.npz");
        let shapes = [[N, T, d_in], [N, T, d_out], [N, rank, rank]];
        let [a_view, delta_view, S_view] =
            [(&a, 0), (&delta, 1), (&flat, 2)].map(|(values, at)| ArrayView::new(&shapes[at], values).unwrap());
        npz::write(&factors, &[("a", a_view), ("delta", delta_view), ("S", S_view)], Compression::Stored).unwrap();
        let number = |n| NonZeroUsize::new(n).unwrap();
        let (batch, top) = (number(2), number(1.max(d_out * d_in / 2)));
        let question = FactorsQuestion {
            factors,
            batch,
            top,
            samples: None,
            memory: 1 << 30,
            tol: 1e-10,
            seed: 3,
            keep_matrices: true,
        };
        (answer_factors(&question, &Silent).unwrap(), (0..N).map(dense).collect())
    }

    #[test]
    fn bounds_and_correlations_are_those_of_dense_hessians() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for shape in [[30, 1, 4, 3], [30, 2, 4, 3]] {
            // Curvature leans to one sign, so that H has directions to look along.
            let (found, dense) = answered(shape, &mut || rng.random::<f64>() - 0.3);
            let tensor = &found.tensors[0];
            let of = tensor.spectra.as_ref().unwrap();
            let (N, K) = (dense.len(), tensor.directions.values.len());
            assert!(K > 2 && of.absolute.len() == K);
            let H = &tensor.matrices.as_ref().unwrap().H;
            let V = superlinear_spectra::eigh(H.as_ref()).unwrap().vectors;
            let eigen: Vec<_> = dense.iter().map(|h| h.self_adjoint_eigen(Side::Lower).unwrap()).collect();
            // (κ, (u·v_i)²) of every pair that is not rounding.
            let norm = |p: usize| eigen[p].S().column_vector().iter().fold(0.0, |most: f64, s| most.max(s.abs()));
            let kappa_max = (0..N).map(norm).fold(0.0, f64::max);
            assert!((of.kappa_max / kappa_max - 1.0).abs() < 1e-12 && norm(of.largest) > 0.999 * kappa_max);
            let pairs = |p: usize, i: usize| {
                let values = eigen[p].S().column_vector();
                let all =
                    (0..values.nrows()).map(|m| (values[m], (eigen[p].U().col(m).transpose() * V.col(i)).powi(2)));
                all.filter(|(kappa, _)| kappa.abs() > 1e-12 * norm(p)).collect::<Vec<(f64, f64)>>()
            };
            let (mut upper, mut lower, mut mean) = (f64::INFINITY, f64::INFINITY, 0.0);
            let alignment = of.alignment.as_ref().unwrap();
            for i in 0..K {
                let all: Vec<(f64, f64)> = (0..N).flat_map(|p| pairs(p, i)).collect();
                let sum = |term: &dyn Fn(f64) -> f64| all.iter().map(|&(x, y)| term(x) * y).sum::<f64>() / N as f64;
                let (h, m2, absolute) = (sum(&|x| x), sum(&|x| x * x), sum(&f64::abs));
                assert!((of.absolute[i] / absolute - 1.0).abs() < 1e-10);
                assert!(absolute > 1.01 * h, "|h| is not h here");
                lower = lower.min((m2 / h / h).log10());
                upper = upper.min((kappa_max * absolute / m2).log10());
                // Pearson's correlation of logarithms.
                let n = all.len() as f64;
                let of_pairs =
                    |f: &dyn Fn(f64, f64) -> f64| all.iter().map(|&(x, y)| f(x.abs().ln(), y.ln())).sum::<f64>();
                let (x, y) = (of_pairs(&|x, _| x) / n, of_pairs(&|_, y| y) / n);
                let covariance = |of: &dyn Fn(f64, f64) -> f64| of_pairs(of) / n;
                let xy = covariance(&|a, b| (a - x) * (b - y));
                let r = xy / (covariance(&|a, _| (a - x).powi(2)) * covariance(&|_, b| (b - y).powi(2))).sqrt();
                assert!((alignment.pearson_log[i] - r).abs() < 1e-6, "{} {r}", alignment.pearson_log[i]);
                let [low, high] = alignment.interval[i];
                assert!(low < r && r < high);
                mean += r / K as f64;
            }
            assert!((alignment.mean - mean).abs() < 1e-6);
            assert!((of.wedge.min_lower_slack.unwrap() - lower).abs() < 1e-10);
            assert!((of.wedge.min_upper_slack.unwrap() - upper).abs() < 1e-10);
            assert_eq!([of.n_judged(), of.n_above_square(), of.n_below_largest()], [K; 3]);
            assert_eq!(of.samples.iter().map(|(p, _)| *p).collect::<Vec<_>>(), (0..N).collect::<Vec<_>>());
        }
    }

    #[test]
    fn too_large_eigenproblems_have_a_reason() {
        let (found, _) = answered([2, 1, 1, 520], &mut || 0.5);
        let why = found.tensors[0].spectra.as_ref().unwrap_err();
        assert!(why.contains("an eigenproblem of order 520; they are solved up to 512"), "{why}");
    }

    #[test]
    fn samples_are_drawn_without_replacement() {
        let draw = |N, n, seed| drawn(N, n, &mut ChaCha8Rng::seed_from_u64(seed));
        let found = draw(1_000, 200, 1);
        assert!(found.len() == 200 && found.windows(2).all(|pair| pair[0] < pair[1]) && found[199] > 800);
        assert_ne!(found, draw(1_000, 200, 2));
        assert_eq!(draw(5, 200, 1), [0, 1, 2, 3, 4]);
    }
}
