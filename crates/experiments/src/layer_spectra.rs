//! The spectra of an analysed layer: pairs of matrices in one eigenbasis, and the structure of per-sample Hessians.

use crate::record::layer_spectra::{
    AlignmentRecord, CellsRecord, Edit, EditRecord, LayerSpectra, NullRecord, OverlapRecord, PairMaps, PairRecord,
    SampleSpectrum, WindowRecord, one_a_class,
};
use crate::spec::SpectraSpec;
use anyhow::{Context, Result};
use faer::{Mat, MatRef};
use rand::{Rng, RngExt};
use std::time::Instant;
use superlinear_curvature::{AnalysedLayer, FactoredEigenpairs, alignments, gauss_newton, per_sample_hessians};
use superlinear_nets::Loss;
use superlinear_plots::Reduce;
use superlinear_spectra::{
    Eigh, HaarNull, InEigenbasis, NullTest, PairDiagnostics, Windows, draw_haar_null, eigh,
    inverse_participation_ratio, kronecker_inverse_participation_ratio, sample_haar_null, top_overlaps,
};
use superlinear_stats::alignment::{AlignmentConfig, AlignmentReport, DirectionCorrelation, Pairs, correlations};
use superlinear_stats::spectrum_edit::{EditFactors, SpectrumEdit};
use superlinear_stats::summary::quantile;
use superlinear_stats::{Diagonals, FitConfig, SpectralEnsemble, loglog};

/// Directions that a map of `K` shows.
const MAP_TOP: usize = 300;
/// Dimensions at which leading eigenspaces are compared.
const OVERLAP_AT: [usize; 9] = [1, 3, 10, 30, 50, 100, 300, 500, 1_000];
/// Repeats of a random edit.
const REPEATS: usize = 20;

/// A matrix of a layer read in the eigenbasis of `H`.
pub(crate) fn pair(A: MatRef<'_, f64>, eigen: &Eigh) -> Result<(InEigenbasis, PairRecord)> {
    let pair = InEigenbasis::new(A, eigen)?;
    let null = HaarNull::of_pair(&pair);
    let windows = pair.diagnostics(&Windows::PAPER).iter().map(|found| WindowRecord::new(found, &null)).collect();
    let (K, beta) = (pair.K(), pair.values());
    let inner: f64 = beta.iter().enumerate().map(|(i, beta)| beta * K[(i, i)]).sum();
    let norms = K.norm_l2() * beta.iter().map(|beta| beta * beta).sum::<f64>().sqrt();
    Ok((pair, PairRecord { windows, cosine: inner / norms }))
}

/// What the spectra are of.
pub(crate) struct SpectralInput<'a> {
    /// The layer over the training images.
    pub(crate) layer: &'a AnalysedLayer,
    /// Eigenpairs of `H`.
    pub(crate) eigen: &'a Eigh,
    /// `C` up to a factor, in the parameter basis and in the eigenbasis of `H`.
    pub(crate) C: (MatRef<'a, f64>, &'a InEigenbasis),
    /// `M₂`, in both bases too.
    pub(crate) M2: (MatRef<'a, f64>, &'a InEigenbasis),
    /// Directions of the fits.
    pub(crate) window: usize,
}

/// The spectra of a trained layer.
///
/// # Errors
/// When an eigendecomposition fails its check, or a class is empty.
pub(crate) fn layer_spectra(input: &SpectralInput<'_>, spec: &SpectraSpec, rng: &mut impl Rng) -> Result<LayerSpectra> {
    let start = Instant::now();
    let eigen_C = eigh(input.C.0).context("eigendecomposition of C")?;
    let eigen_M2 = eigh(input.M2.0).context("eigendecomposition of M₂")?;
    let C_in_M2 = InEigenbasis::new(input.C.0, &eigen_M2).context("C in the eigenbasis of M₂")?;
    let maps = vec![
        maps(("C", "H"), input.C.1, &eigen_C.values, spec, rng)?,
        maps(("M₂", "H"), input.M2.1, &eigen_M2.values, spec, rng)?,
        maps(("C", "M₂"), &C_in_M2, &eigen_C.values, spec, rng)?,
    ];
    drop(C_in_M2);
    let mut overlaps = vec![
        overlap(("C", &eigen_C), ("H", input.eigen))?,
        overlap(("M₂", &eigen_M2), ("H", input.eigen))?,
        overlap(("C", &eigen_C), ("M₂", &eigen_M2))?,
    ];
    if input.layer.network_pass()?.loss() == Loss::SoftmaxMse {
        // Under cross-entropy behind a ReLU tail the Gauss–Newton matrix is H, and the Fisher matrix is both.
        let eigen_G = eigh(gauss_newton(input.layer)?.as_ref()).context("eigendecomposition of the GGN")?;
        overlaps.push(overlap(("GGN", &eigen_G), ("H", input.eigen))?);
        overlaps.push(overlap(("C", &eigen_C), ("GGN", &eigen_G))?);
    }
    drop((eigen_C, eigen_M2));
    let pairs_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let labels = input.layer.labels()?;
    let chosen = choose_samples(labels, spec.n_per_class, rng);
    let spectra: Vec<FactoredEigenpairs> =
        per_sample_hessians(input.layer, &chosen).iter().map(|h| h.eigenpairs()).collect();
    let samples =
        chosen.iter().zip(&spectra).map(|(&p, pairs)| sample_spectrum(labels[p], pairs)).collect::<Result<Vec<_>>>()?;
    let V = input.eigen.vectors.as_ref().subcols(0, input.window);
    let localisation = (0..input.window).map(|i| inverse_participation_ratio(input.eigen.vectors.col_as_slice(i)));
    let localisation = localisation.collect::<Result<_, _>>().context("eigenvectors of H")?;
    let kappa: Vec<Vec<f64>> = spectra.iter().map(|pairs| pairs.kappa.clone()).collect();
    let ensemble = SpectralEnsemble::new(&kappa, alignments(&spectra, V)).context("per-sample spectra")?;
    let mut correlated = |pairs| {
        let config = AlignmentConfig { pairs, n_draws: spec.bootstrap_draws, ..AlignmentConfig::default() };
        correlations(&ensemble, config, rng).map(alignment_record)
    };
    let (alignment, leading_alignment) = (correlated(Pairs::All), correlated(Pairs::Leading));
    let shown = one_a_class(&samples);
    let edits = SpectrumEdit::ALL.iter().map(|&edit| edited(&ensemble, edit, &shown, rng)).collect::<Vec<_>>();
    let samples_s = start.elapsed().as_secs_f64();
    Ok(LayerSpectra { maps, overlaps, localisation, samples, alignment, leading_alignment, edits, pairs_s, samples_s })
}

/// One pair as reduced matrices, beside a draw of the null.
fn maps(
    (of, in_basis_of): (&str, &str),
    pair: &InEigenbasis,
    alpha: &[f64],
    spec: &SpectraSpec,
    rng: &mut impl Rng,
) -> Result<PairMaps> {
    let context = || format!("{of} in the eigenbasis of {in_basis_of}");
    let order = pair.order();
    let top = order.min(MAP_TOP);
    let coupling = pair.coupling().R;
    let drawn = draw_haar_null(alpha, pair.values(), rng).with_context(context)?;
    let random = drawn.diagnostics(&Windows::PAPER).full;
    let random_coupling = drawn.coupling().R;
    drop(drawn);
    let observed = pair.diagnostics(&Windows::PAPER).full;
    let draws = sample_haar_null(alpha, pair.values(), &Windows::PAPER, spec.null_draws, rng).with_context(context)?;
    let expected = HaarNull::of_pair(pair);
    let null = |of: fn(&PairDiagnostics) -> Option<f64>, expected: Option<f64>| {
        let test: NullTest = draws.test(&observed, of)?;
        Some(NullRecord {
            observed: test.observed,
            expected: expected?,
            n_draws: test.n_draws,
            mean: test.mean,
            standard_deviation: test.standard_deviation,
            p_value: test.p_value,
        })
    };
    let error_null = null(|found| found.relative_commutator, expected.relative_baseline_in(observed.window));
    let norm_error_null = null(|found| found.commutator, Some(expected.baseline()));
    Ok(PairMaps {
        of: of.to_owned(),
        in_basis_of: in_basis_of.to_owned(),
        top: cells(pair.K().submatrix(0, 0, top, top), Reduce::LargestMagnitude),
        coupling: cells(coupling.as_ref(), Reduce::Middle),
        random_coupling: cells(random_coupling.as_ref(), Reduce::Middle),
        observed: [observed.coupling_mean, observed.coupling_variance],
        random: [random.coupling_mean, random.coupling_variance],
        error_null,
        norm_error_null,
    })
}

fn cells(A: MatRef<'_, f64>, reduce: Reduce) -> CellsRecord {
    let order = A.nrows();
    let cells: Vec<f32> = reduce.matrix((order, order), |r, c| A[(r, c)]).cells.into_iter().map(|x| x as f32).collect();
    CellsRecord { order, n_cells: cells.len().isqrt(), cells }
}

fn overlap((left, A): (&str, &Eigh), (right, B): (&str, &Eigh)) -> Result<OverlapRecord> {
    let ks: Vec<usize> = OVERLAP_AT.into_iter().filter(|&k| k <= A.values.len()).collect();
    let found = top_overlaps(A, B, &ks).with_context(|| format!("leading eigenspaces of {left} and {right}"))?;
    Ok(OverlapRecord {
        left: left.to_owned(),
        right: right.to_owned(),
        k: found.iter().map(|found| found.k).collect(),
        overlap: found.iter().map(|found| found.overlap).collect(),
    })
}

/// `n_per_class` samples of each class, or all of a class that has fewer; class after class.
fn choose_samples(labels: &[u8], n_per_class: usize, rng: &mut impl Rng) -> Vec<usize> {
    let n_classes = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let mut chosen = Vec::new();
    for class in 0..n_classes {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&p| usize::from(labels[p]) == class).collect();
        let n = n_per_class.min(members.len());
        // The head of a Fisher–Yates shuffle.
        for k in 0..n {
            let other = rng.random_range(k..members.len());
            members.swap(k, other);
        }
        chosen.extend(&members[..n]);
    }
    chosen
}

fn sample_spectrum(class: u8, pairs: &FactoredEigenpairs) -> Result<SampleSpectrum> {
    let localisation = (0..pairs.kappa.len())
        .map(|m| kronecker_inverse_participation_ratio(pairs.t.col_as_slice(m), &pairs.direction))
        .collect::<Result<_, _>>()
        .context("eigenvectors of a per-sample Hessian")?;
    Ok(SampleSpectrum { class, kappa: pairs.kappa.clone(), localisation })
}

/// As it is kept.
pub(crate) fn alignment_record(report: AlignmentReport) -> AlignmentRecord {
    let of = |value: fn(&DirectionCorrelation) -> f64| report.directions.iter().map(value).collect();
    AlignmentRecord {
        direction: report.directions.iter().map(|d| d.direction).collect(),
        pearson_log: of(|d| d.pearson_log),
        interval: report.directions.iter().map(|d| [d.interval.low, d.interval.high]).collect(),
        spearman: of(|d| d.spearman),
        n_undefined: report.n_undefined,
        mean: report.mean,
        mean_interval: [report.mean_interval.low, report.mean_interval.high],
    }
}

fn edited(ensemble: &SpectralEnsemble, edit: SpectrumEdit, shown: &[usize], rng: &mut impl Rng) -> EditRecord {
    let n_ranks = (0..ensemble.n_samples()).map(|p| ensemble.pairs_of(p).len()).max().unwrap_or(0);
    let exponent = |diagonals: &Diagonals| {
        loglog::fit_with(&diagonals.h, &diagonals.m2, &FitConfig::top(diagonals.h.len())).ok().map(|fit| fit.slope)
    };
    let kappa = ensemble.edited(edit, EditFactors::PAPER, rng);
    let diagonals = ensemble.diagonals_with(&kappa);
    let mut gamma: Vec<f64> = exponent(&diagonals).into_iter().collect();
    if edit.is_random() {
        for _ in 1..REPEATS {
            let kappa = ensemble.edited(edit, EditFactors::PAPER, rng);
            gamma.extend(exponent(&ensemble.diagonals_with(&kappa)));
        }
    }
    let spectra = shown.iter().map(|&p| kappa[ensemble.pairs_of(p)].iter().map(|kappa| kappa.abs()).collect());
    EditRecord {
        edit: edit.into(),
        gap: gap_summary(&ensemble.gap_curves(&kappa, n_ranks)),
        spectra: spectra.collect(),
        h: diagonals.h,
        m2: diagonals.m2,
        gamma,
    }
}

/// Mean, 10 % and 90 % quantile over directions, for every rank.
fn gap_summary(curves: &Mat<f64>) -> Vec<[f64; 3]> {
    let summary = |k: usize| {
        let values = curves.col_as_slice(k);
        let at = |q| quantile(values, q).expect("gap curves are finite");
        [values.iter().sum::<f64>() / values.len() as f64, at(0.1), at(0.9)]
    };
    (0..curves.ncols()).map(summary).collect()
}

impl From<SpectrumEdit> for Edit {
    fn from(edit: SpectrumEdit) -> Self {
        match edit {
            SpectrumEdit::Original => Self::Original,
            SpectrumEdit::TailCut => Self::TailCut,
            SpectrumEdit::StiffOnly => Self::StiffOnly,
            SpectrumEdit::Homogenised => Self::Homogenised,
            SpectrumEdit::HomogenisedUncut => Self::HomogenisedUncut,
            SpectrumEdit::StiffShuffled => Self::StiffShuffled,
            SpectrumEdit::RanksShuffled => Self::RanksShuffled,
            SpectrumEdit::Shuffled => Self::Shuffled,
        }
    }
}
