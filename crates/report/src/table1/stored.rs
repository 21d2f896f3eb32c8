//! What is stored of a run behind Table 1: its settings, origin, training and fits, and the curve of γ against the
//! number of directions.

use super::EarlierRow;
use crate::claims::{self, Seen, Through};
use crate::fits::{self, Diagonal, Exponent, Exponents};
use crate::outputs::exponent;
use crate::summary::{CommutativitySummary, FitSummary, GammaSummary};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use superlinear_experiments::accounted::AccountedRun;
use superlinear_experiments::provenance::Provenance;
use superlinear_experiments::record::{LayerRecord, RunRecord};
use superlinear_experiments::spec::{RunSpec, Source};
use superlinear_stats::{loglog, sensitivity};
use superlinear_store::json;

/// Rows whose runs are not stored.
const EARLIER: &str = "earlier.json";
/// Directions of the shortest fit of the curve, and fits from there to all directions.
const SHORTEST: usize = 20;
const FITS: usize = 40;

/// A folder of stored runs.
#[derive(Clone, Debug, Default)]
pub struct TableOne {
    /// Runs, by name.
    pub runs: Vec<StoredRun>,
    /// Rows that an earlier version of the page had, and whose runs are not stored.
    pub earlier: Vec<EarlierRow>,
}

impl TableOne {
    /// What is in `folder`.
    ///
    /// # Errors
    /// When it cannot be read, or a file is none of these or of another layout.
    pub fn read(folder: &Path) -> Result<Self> {
        let cannot = || format!("{}: cannot read", folder.display());
        let entries = std::fs::read_dir(folder).with_context(cannot)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.sort();
        let mut table = Self::default();
        for path in paths {
            if path.file_name().is_some_and(|name| name == EARLIER) {
                table.earlier = json::read(&path)?;
                continue;
            }
            let run: StoredRun = json::read(&path)?;
            run.check().with_context(|| path.display().to_string())?;
            if path.file_stem().is_none_or(|name| *name != *run.spec.id()) {
                bail!("{}: it is run {}", path.display(), run.spec.id());
            }
            table.runs.push(run);
        }
        Ok(table)
    }
}

/// A run behind the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRun {
    /// Version of this layout.
    pub schema: u32,
    /// Its settings, the seed among them.
    pub spec: RunSpec,
    /// SHA-256 of its data set, in hexadecimal.
    pub data: String,
    /// Who trained it.
    pub trained_by: Provenance,
    /// Who analysed it.
    pub analysed_by: Provenance,
    /// How training went.
    pub training: StoredTraining,
    /// Seconds of the analysis of the trained network.
    pub analysis_s: f64,
    /// The exponents of the target layer.
    pub gamma: GammaSummary,
    /// `C` on `E|h|`, for a loss whose per-sample Hessians are indefinite.
    pub c_on_abs_h: Option<FitSummary>,
    /// γ_emp of every analysed layer, where there are several.
    pub layers: Vec<(String, FitSummary)>,
    /// `C` in the eigenbasis of `H`, window by window.
    pub commutativity: Vec<CommutativitySummary>,
    /// The directions above the floor that the signs of the eigenvalues find, and γ_emp over these; none where noise
    /// cannot be told from curvature.
    pub above_floor: Option<(usize, f64)>,
    /// The exponents over so many leading directions: γ_emp and γ_AWD, to six decimals.
    pub against_directions: Vec<(usize, f64, f64)>,
}

/// How a run's training went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredTraining {
    /// Epochs done; fewer than the settings ask for where it stopped early.
    pub epochs: usize,
    /// Share of training images classified right in the last epoch.
    pub accuracy: f64,
    /// Mean training loss of the last epoch.
    pub loss: f64,
    /// Share of test images classified right.
    pub test_accuracy: f64,
    /// Seconds.
    pub wall_s: f64,
}

impl StoredRun {
    /// The current layout.
    const SCHEMA: u32 = 1;

    /// What is kept of a finished run.
    ///
    /// # Errors
    /// When a fit is not possible, or the run is none of the paper's scale on a full data set.
    pub fn of(run: &AccountedRun) -> Result<Self> {
        let AccountedRun { record, data, trained_by, analysed_by } = run;
        let RunRecord { spec, training, .. } = record;
        if !spec.is_at_paper_scale || spec.source != Source::Full {
            bail!("{}: not at the paper's scale, from the full data set", spec.id());
        }
        let last = training.history.last().with_context(|| format!("{}: no epoch", spec.id()))?;
        let layers = claims::layers(record)?;
        let target = record.layer();
        let floor = exponent::found(record).and_then(|n| Some((n, loglog::fit(&target.h, &target.c, n).ok()?.slope)));
        let seconds = |layer: &LayerRecord| layer.moments_s + layer.eigh_s + layer.slopes_s;
        Ok(Self {
            schema: Self::SCHEMA,
            spec: spec.clone(),
            data: data.clone(),
            trained_by: trained_by.clone(),
            analysed_by: analysed_by.clone(),
            training: StoredTraining {
                epochs: training.history.len(),
                accuracy: last.accuracy,
                loss: last.loss,
                test_accuracy: training.test_accuracy,
                wall_s: training.wall_s.round(),
            },
            analysis_s: record.trained_layers().map(seconds).sum::<f64>().round(),
            gamma: Exponents::of(record)?.into(),
            c_on_abs_h: on_abs_h(spec, target)?,
            layers: if layers.len() > 1 { layers } else { Vec::new() },
            commutativity: target.c_in_h.windows.iter().map(CommutativitySummary::of).collect(),
            above_floor: floor,
            against_directions: against_directions(record),
        })
    }

    /// Writes it into `folder`, by its name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(json::write(&folder.join(format!("{}.json", self.spec.id())), self)?)
    }

    fn check(&self) -> Result<()> {
        if self.schema != Self::SCHEMA {
            bail!("layout {}, expected {}", self.schema, Self::SCHEMA);
        }
        self.spec.check()
    }

    /// As claims see it.
    pub fn seen(&self) -> Seen<'static> {
        let one = || vec![(String::new(), self.gamma.c_on_h.clone())];
        Seen {
            id: self.spec.id(),
            setting: self.spec.title(),
            loss: self.spec.loss,
            gamma: self.gamma.clone(),
            layers: if self.layers.is_empty() { one() } else { self.layers.clone() },
            commutativity: self.commutativity.clone(),
            n_seeds: 1,
            through: Through::Stored,
        }
    }
}

fn on_abs_h(spec: &RunSpec, layer: &LayerRecord) -> Result<Option<FitSummary>> {
    if layer.abs_h.is_none() {
        return Ok(None);
    }
    let fit = fits::fit(spec, layer, Diagonal::C, Diagonal::AbsH)?;
    Ok(Some(Exponent { fit, sampling: None }.into()))
}

/// γ_emp and γ_AWD over more and more leading directions, as the table fits them over `𝒩`, down to rounding.
///
/// All runs of as many directions have the same abscissae, so that seeds can be averaged.
fn against_directions(run: &RunRecord) -> Vec<(usize, f64, f64)> {
    let layer = run.layer();
    let above_rounding = layer.h.partition_point(|&lambda| lambda > layer.noise_floor);
    let tops = sensitivity::tops(SHORTEST.min(layer.h.len()), layer.h.len(), FITS);
    let six = |x: f64| (x * 1e6).round() / 1e6;
    let over = |top: usize| {
        let spec = RunSpec { top, ..run.spec.clone() };
        let slope = |of| fits::fit(&spec, layer, of, Diagonal::H).ok().map(|fit| six(fit.slope));
        Some((top, slope(Diagonal::C)?, slope(Diagonal::M2)?))
    };
    tops.into_iter().filter(|&top| top <= above_rounding).filter_map(over).collect()
}
