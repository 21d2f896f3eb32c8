//! `summary.json`: the machine-readable result of a reproduction.

use crate::claims::Claim;
use crate::fits::{Exponent, Exponents};
use crate::headline::Headline;
use crate::outputs::Table;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use superlinear_experiments::failure::Failure;
use superlinear_experiments::images::DataSummary;
use superlinear_experiments::provenance::Provenance;
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::WindowRecord;
use superlinear_stats::PowerLawFit;

/// Everything that a program may want of a reproduction.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Version of this layout.
    pub schema: u32,
    /// Name of the plan.
    pub plan: String,
    /// Commit, machine, version.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// What a reader should know first.
    pub headline: Headline,
    /// Data sets with the SHA-256 of what was read.
    pub data: Vec<DataSummary>,
    /// One entry a run.
    pub runs: Vec<RunSummary>,
    /// One entry a figure.
    pub figures: Vec<FigureSummary>,
    /// One entry a table.
    pub tables: Vec<TableSummary>,
    /// One entry a claim of the paper.
    pub claims: Vec<Claim>,
    /// Runs that failed.
    pub failures: Vec<Failure>,
}

impl Summary {
    /// 3: no times, which stand in the manifest; `plan` in place of `profile`; claims have the paper's part and ours;
    /// `gamma` names each pair of matrices, and `awd` is gone from it.
    pub const SCHEMA: u32 = 3;
}

/// A figure's files.
#[derive(Clone, Debug, Serialize)]
pub struct FigureSummary {
    /// The output it belongs to.
    pub id: String,
    /// Files, relative to the summary.
    pub files: Vec<String>,
    /// What to see.
    pub caption: String,
}

/// A table's file.
#[derive(Clone, Debug, Serialize)]
pub struct TableSummary {
    /// The output it belongs to.
    pub id: String,
    /// File, relative to the summary.
    pub file: String,
    /// The table.
    #[serde(skip)]
    pub table: Table,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct RunSummary {
    id: String,
    dataset: String,
    network: String,
    loss: String,
    classes: usize,
    seed: u64,
    batch: usize,
    n_samples: usize,
    train: TrainSummary,
    layer: LayerSummary,
    awd: AwdSummary,
    gamma: GammaSummary,
    /// `C` in the eigenbasis of `H`: all directions, the leading ones, the bulk.
    commutativity: Vec<CommutativitySummary>,
}

#[derive(Debug, Serialize)]
struct TrainSummary {
    epochs: usize,
    final_train_acc: Option<f64>,
    final_train_loss: Option<f64>,
    test_acc: f64,
}

#[derive(Debug, Serialize)]
struct LayerSummary {
    d_out: usize,
    d_in: usize,
    kappa_max: f64,
    noise_floor: f64,
    eigh_residual: f64,
    eigh_orthogonality: f64,
}

#[derive(Debug, Serialize)]
struct AwdSummary {
    weight_variance: f64,
    anisotropy: f64,
    norms: Norms,
    n_duplicates: usize,
    n_zero_activities: usize,
}

/// Frobenius norms of the duality's terms.
#[derive(Debug, Serialize)]
struct Norms {
    total: f64,
    hh: f64,
    hg: f64,
    gg: f64,
    hh_sd: f64,
    hh_sd_wd: f64,
}

/// The exponents of a trained layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GammaSummary {
    /// γ_emp: `C` on `H`.
    pub c_on_h: FitSummary,
    /// γ_AWD: `M₂` on `H`.
    pub m2_on_h: FitSummary,
    /// `C` on `M₂`.
    pub c_on_m2: FitSummary,
    /// γ_dual, ours: the duality's full covariance `C_AWD` on `H`.
    pub c_awd_on_h: FitSummary,
}

impl From<Exponents> for GammaSummary {
    fn from(Exponents { emp, awd, c_on_m2, dual }: Exponents) -> Self {
        Self { c_on_h: emp.into(), m2_on_h: awd.into(), c_on_m2: c_on_m2.into(), c_awd_on_h: dual.into() }
    }
}

/// Two matrices over one window of directions, beside what random directions give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommutativitySummary {
    /// Directions, counted from 1.
    pub directions: [usize; 2],
    /// `‖CH − HC‖/‖CH‖`, the paper's.
    pub error: Option<f64>,
    /// Over that of random directions.
    pub error_over_random: Option<f64>,
    /// `Σ_i K_ii²/‖K‖²`.
    pub eigen_alignment: Option<f64>,
    /// That of random directions.
    pub eigen_alignment_random: f64,
    /// Mean and variance of `|R_ij|`.
    pub coupling: [Option<f64>; 2],
    /// `‖[C,H]‖/(‖C‖‖H‖)`, ours, over that of random directions.
    pub norm_error_over_random: Option<f64>,
}

impl CommutativitySummary {
    /// Of a window's record.
    pub fn of(window: &WindowRecord) -> Self {
        Self {
            directions: [window.first + 1, window.end],
            error: window.error,
            error_over_random: window.error_ratio(),
            eigen_alignment: window.recovery,
            eigen_alignment_random: window.recovery_null,
            coupling: [window.coupling_mean, window.coupling_variance],
            norm_error_over_random: window.norm_error_ratio(),
        }
    }
}

/// A fitted exponent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitSummary {
    /// The exponent.
    pub slope: f64,
    /// Robust standard error.
    pub se: f64,
    /// 95 %: over samples where there is `sampling_se`, else from `se`.
    pub interval: Option<[f64; 2]>,
    /// Standard error of the bootstrap over samples.
    pub sampling_se: Option<f64>,
    /// Coefficient of determination in `log10`.
    pub r2: f64,
    /// Points fitted.
    pub n_used: usize,
    /// Points left out.
    pub n_dropped: usize,
    /// Directions looked at.
    pub top: usize,
}

impl From<Exponent> for FitSummary {
    fn from(exponent: Exponent) -> Self {
        let interval = exponent.interval();
        let sampling_se = exponent.sampling.map(|sampling| sampling.se);
        let PowerLawFit { slope, se, r2, n_used, dropped, top, .. } = exponent.fit;
        Self { slope, se, interval, sampling_se, r2, n_used, n_dropped: dropped.total(), top }
    }
}

impl RunSummary {
    /// The summary of a finished run.
    ///
    /// # Errors
    /// When a fit is not possible.
    pub fn of(run: &RunRecord) -> Result<Self> {
        let RunRecord { spec, training, .. } = run;
        let layer = run.layer();
        let last = training.history.last();
        Ok(Self {
            id: spec.id(),
            dataset: spec.dataset.to_string(),
            network: spec.network.to_string(),
            loss: spec.loss.to_string(),
            classes: spec.n_classes,
            seed: spec.seed,
            batch: spec.batch,
            n_samples: spec.n_samples(),
            train: TrainSummary {
                epochs: training.history.len(),
                final_train_acc: last.map(|epoch| epoch.accuracy),
                final_train_loss: last.map(|epoch| epoch.loss),
                test_acc: training.test_accuracy,
            },
            layer: LayerSummary {
                d_out: layer.d_out,
                d_in: layer.d_in,
                kappa_max: layer.kappa_max,
                noise_floor: layer.noise_floor,
                eigh_residual: layer.residual,
                eigh_orthogonality: layer.orthogonality,
            },
            awd: AwdSummary {
                weight_variance: layer.awd.weight_variance,
                anisotropy: layer.awd.anisotropy,
                norms: Norms {
                    total: layer.awd.total.norm,
                    hh: layer.awd.hh.norm,
                    hg: layer.awd.hg.norm,
                    gg: layer.awd.gg.norm,
                    hh_sd: layer.awd.hh_same.norm,
                    hh_sd_wd: layer.awd.hh_local.norm,
                },
                n_duplicates: layer.awd.n_duplicates,
                n_zero_activities: layer.awd.n_zero_activities,
            },
            gamma: Exponents::of(run)?.into(),
            commutativity: layer.c_in_h.windows.iter().map(CommutativitySummary::of).collect(),
        })
    }
}
