//! A run as the claims see it: of its records, of what Table 1 stores of it, or of a row that has no run behind it.

use crate::fits::Exponents;
use crate::summary::{CommutativitySummary, FitSummary, GammaSummary};
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_nets::Loss;

/// A run, or the mean of several.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The run's name.
    pub id: String,
    /// Its setting in words; seeds of one setting are one case.
    pub setting: String,
    /// Its loss.
    pub loss: Loss,
    /// The exponents of its trained layer.
    pub gamma: GammaSummary,
    /// γ_emp of every analysed layer, with the layer's name where there are several.
    pub layers: Vec<(String, FitSummary)>,
    /// `C` in the eigenbasis of `H`, window by window.
    pub commutativity: Vec<CommutativitySummary>,
    /// How many seeds it stands for.
    pub n_seeds: usize,
    /// What it is seen through.
    pub through: Through<'a>,
}

/// How much of a run is at hand.
#[derive(Clone, Copy, Debug)]
pub enum Through<'a> {
    /// All its records.
    Record(&'a RunRecord),
    /// What is stored of it: all that the paper's statistics of Table 1 need.
    Stored,
    /// Slopes alone, without what their fits explain.
    Slopes,
}

impl<'a> Seen<'a> {
    /// Through the records of a run.
    ///
    /// # Errors
    /// When a fit is not possible.
    pub fn of(run: &'a RunRecord) -> Result<Self> {
        Ok(Self {
            id: run.spec.id(),
            setting: run.spec.title(),
            loss: run.spec.loss,
            gamma: Exponents::of(run)?.into(),
            layers: layers(run)?,
            commutativity: run.layer().c_in_h.windows.iter().map(CommutativitySummary::of).collect(),
            n_seeds: 1,
            through: Through::Record(run),
        })
    }

    /// Its records, where they are at hand.
    pub fn record(&self) -> Option<&'a RunRecord> {
        match self.through {
            Through::Record(run) => Some(run),
            Through::Stored | Through::Slopes => None,
        }
    }
}

/// γ_emp of every analysed layer of the trained network; a name, `, layer 2`, where there are several.
///
/// # Errors
/// When a fit is not possible.
pub fn layers(run: &RunRecord) -> Result<Vec<(String, FitSummary)>> {
    let is_one = run.spec.analysed_dense().len() == 1;
    let of = |layer: &superlinear_experiments::record::LayerRecord| {
        let name = if is_one { String::new() } else { format!(", layer {}", layer.dense + 1) };
        Ok((name, Exponents::of_layer(&run.spec, layer)?.emp.into()))
    };
    run.trained_layers().map(of).collect()
}
