//! What the record of an analysed layer holds of spectra: pairs of matrices, and per-sample structure.

use serde::{Deserialize, Serialize};
use superlinear_spectra::{HaarNull, PairDiagnostics};

/// Diagnostics of a matrix in the eigenbasis of `H`, for all directions, the top block and the bulk as far as they
/// exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairRecord {
    /// All directions first.
    pub windows: Vec<WindowRecord>,
    /// `⟨A, H⟩/(‖A‖‖H‖)`: 1 when they coincide up to a factor.
    pub cosine: f64,
}

impl PairRecord {
    /// Diagnostics over all directions.
    pub fn full(&self) -> &WindowRecord {
        &self.windows[0]
    }
}

/// Diagnostics over one window of directions, with what a matrix of the same spectrum and random directions gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// First direction, from 0.
    pub first: usize,
    /// One past the last direction.
    pub end: usize,
    /// The paper's commutator error, `‖AB − BA‖/‖AB‖`.
    pub error: Option<f64>,
    /// Its expectation (root of a ratio of exact mean squares) under the Haar null.
    pub error_null: Option<f64>,
    /// Ours beside it, `‖AB − BA‖/(‖A‖‖B‖)`.
    pub norm_error: Option<f64>,
    /// Its expectation under the Haar null.
    pub norm_error_null: Option<f64>,
    /// RMS off the diagonal over RMS of the diagonal.
    pub leakage: Option<f64>,
    /// Its expectation under the Haar null.
    pub leakage_null: Option<f64>,
    /// The paper's eigen-alignment: share of `‖K‖²` on the diagonal, `Σ_i K_ii²/‖K‖²`.
    pub recovery: Option<f64>,
    /// Its expectation under the Haar null.
    pub recovery_null: f64,
    /// Mean of `|R_ij|`, `i ≠ j`.
    pub coupling_mean: Option<f64>,
    /// Variance of `|R_ij|`, `i ≠ j`.
    pub coupling_variance: Option<f64>,
    /// Directions without `R`.
    pub n_undefined: usize,
}

impl WindowRecord {
    /// Beside the null's expectations.
    pub fn new(found: &PairDiagnostics, null: &HaarNull) -> Self {
        let range = found.window.range();
        Self {
            first: range.start,
            end: range.end,
            error: found.relative_commutator,
            error_null: null.relative_baseline_in(found.window),
            norm_error: found.commutator,
            norm_error_null: null.baseline_in(found.window),
            leakage: found.leakage,
            leakage_null: null.expected_leakage(),
            recovery: found.recovery,
            recovery_null: null.expected_recovery_in(found.window),
            coupling_mean: found.coupling_mean,
            coupling_variance: found.coupling_variance,
            n_undefined: found.n_undefined,
        }
    }

    /// The paper's ratio: its commutator error over that of random directions; the line 1 is random.
    pub fn error_ratio(&self) -> Option<f64> {
        Some(self.error? / self.error_null?)
    }

    /// Our norm error over that of random directions.
    pub fn norm_error_ratio(&self) -> Option<f64> {
        Some(self.norm_error? / self.norm_error_null?)
    }

    /// `1–200`, or `all` for the first of a record's windows.
    pub fn name(&self, is_first: bool) -> String {
        if is_first { "all".to_owned() } else { format!("{}–{}", self.first + 1, self.end) }
    }
}

/// The spectra of a featured run's trained layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSpectra {
    /// Pairs of matrices to look at.
    pub maps: Vec<PairMaps>,
    /// Overlaps of leading eigenspaces.
    pub overlaps: Vec<OverlapRecord>,
    /// Inverse participation ratios of the eigenvectors of `H`, over the top `𝒩`.
    pub localisation: Vec<f64>,
    /// Chosen samples.
    pub samples: Vec<SampleSpectrum>,
    /// Correlation of curvature and alignment over all eigenpairs; `None` where no direction has one.
    pub alignment: Option<AlignmentRecord>,
    /// The same over each sample's leading eigenpair.
    pub leading_alignment: Option<AlignmentRecord>,
    /// Edits of the per-sample spectra.
    pub edits: Vec<EditRecord>,
    /// Seconds for the pairs and overlaps, decompositions and draws included.
    pub pairs_s: f64,
    /// Seconds for the chosen samples: their spectra, alignments, correlations and edits.
    pub samples_s: f64,
}

impl LayerSpectra {
    /// Whether lists that belong together have one length.
    pub fn is_consistent(&self) -> bool {
        let square = |cells: &CellsRecord| cells.cells.len() == cells.n_cells.saturating_mul(cells.n_cells);
        let maps = |pair: &PairMaps| [&pair.top, &pair.coupling, &pair.random_coupling].into_iter().all(square);
        let sample = |sample: &SampleSpectrum| sample.kappa.len() == sample.localisation.len();
        let overlap = |found: &OverlapRecord| found.k.len() == found.overlap.len();
        let alignment = |found: &AlignmentRecord| {
            let n = found.direction.len();
            [found.pearson_log.len(), found.interval.len(), found.spearman.len()] == [n; 3]
        };
        let edit = |found: &EditRecord| found.h.len() == found.m2.len();
        self.maps.iter().all(maps)
            && self.samples.iter().all(sample)
            && self.overlaps.iter().all(overlap)
            && self.alignment.iter().chain(&self.leading_alignment).all(alignment)
            && self.edits.iter().all(edit)
    }
}

/// One pair as matrices, reduced for drawing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairMaps {
    /// The matrix, for example `C`.
    pub of: String,
    /// The matrix in whose eigenbasis it is read, for example `H`.
    pub in_basis_of: String,
    /// `K`, leading block.
    pub top: CellsRecord,
    /// `R`, whole.
    pub coupling: CellsRecord,
    /// `R` of one draw of the Haar null.
    pub random_coupling: CellsRecord,
    /// Mean and variance of `|R_ij|`, where defined.
    pub observed: [Option<f64>; 2],
    /// The same of that draw.
    pub random: [Option<f64>; 2],
    /// The paper's commutator error against draws of the null.
    pub error_null: Option<NullRecord>,
    /// Our norm error against the same draws.
    pub norm_error_null: Option<NullRecord>,
}

/// A matrix reduced to cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellsRecord {
    /// Order of the matrix.
    pub order: usize,
    /// Cells along a side.
    pub n_cells: usize,
    /// Cells, row by row.
    pub cells: Vec<f32>,
}

/// An observed commutator error against draws of the Haar null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NullRecord {
    /// Observed.
    pub observed: f64,
    /// Expected, in closed form.
    pub expected: f64,
    /// Draws.
    pub n_draws: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub standard_deviation: f64,
    /// One-sided.
    pub p_value: f64,
}

/// Overlap of the top-`k` eigenspaces of two matrices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverlapRecord {
    /// One matrix.
    pub left: String,
    /// The other.
    pub right: String,
    /// Directions compared, widened to whole groups of equal eigenvalues.
    pub k: Vec<usize>,
    /// `‖U_kᵀV_k‖²/k`.
    pub overlap: Vec<f64>,
}

/// One sample's Hessian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleSpectrum {
    /// Its class.
    pub class: u8,
    /// Eigenvalues that are not zero, by descending magnitude.
    pub kappa: Vec<f64>,
    /// Inverse participation ratio of each eigenvector.
    pub localisation: Vec<f64>,
}

/// Correlation of curvature and alignment over the chosen samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlignmentRecord {
    /// Directions that have a correlation, from 0.
    pub direction: Vec<usize>,
    /// Pearson's correlation of logarithms.
    pub pearson_log: Vec<f64>,
    /// Lower and upper end of its bootstrap interval.
    pub interval: Vec<[f64; 2]>,
    /// Spearman's rank correlation.
    pub spearman: Vec<f64>,
    /// Directions without one.
    pub n_undefined: usize,
    /// Mean of `pearson_log`.
    pub mean: f64,
    /// Its bootstrap interval.
    pub mean_interval: [f64; 2],
}

/// The chosen samples' diagonals after one edit of their spectra.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditRecord {
    /// Which edit.
    pub edit: Edit,
    /// `H_ii` over the top `𝒩`; of the first repeat of a random edit.
    pub h: Vec<f64>,
    /// `(M₂)_ii` after the edit.
    pub m2: Vec<f64>,
    /// Mean over directions of the gap curve `G_i(k)`, its 10 % and 90 % quantile, for `k = 1, 2, …`.
    pub gap: Vec<[f64; 3]>,
    /// `|κ_m|` of one sample a class.
    pub spectra: Vec<Vec<f64>>,
    /// Fitted exponents, one a repeat; a fit that is not possible is left out.
    pub gamma: Vec<f64>,
}

/// The edits, as records and tables name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// (a)
    Original,
    /// (b)
    TailCut,
    /// (c)
    StiffOnly,
    /// (d)
    Homogenised,
    /// Homogenised without the cuts.
    HomogenisedUncut,
    /// Shuffled among stiff samples.
    StiffShuffled,
    /// Shuffled among all samples, rank by rank.
    RanksShuffled,
    /// Shuffled among all pairs.
    Shuffled,
}

impl LayerSpectra {
    /// The record of an edit.
    pub fn edit(&self, edit: Edit) -> Option<&EditRecord> {
        self.edits.iter().find(|record| record.edit == edit)
    }
}

impl EditRecord {
    /// Mean of the fitted exponents; `None` without one.
    pub fn mean_gamma(&self) -> Option<f64> {
        (!self.gamma.is_empty()).then(|| self.gamma.iter().sum::<f64>() / self.gamma.len() as f64)
    }
}

/// The first chosen sample of every class.
pub fn one_a_class(samples: &[SampleSpectrum]) -> Vec<usize> {
    (0..samples.len()).filter(|&p| p == 0 || samples[p].class != samples[p - 1].class).collect()
}
