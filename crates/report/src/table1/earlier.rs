//! Rows of the table that are known from an earlier version of the page alone: their runs are not stored.

use crate::claims::{Seen, Through};
use crate::summary::{FitSummary, GammaSummary};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use superlinear_nets::Loss;

/// A row as the page had it, with the digits that it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlierRow {
    /// Data set, network and loss in words.
    pub of: [String; 3],
    /// Classes.
    pub n_classes: usize,
    /// `𝒩`.
    pub top: usize,
    /// How many seeds.
    pub n_seeds: usize,
    /// γ_emp: mean, and its standard deviation over seeds, or its standard error over samples with one seed.
    pub emp: (f64, Option<f64>),
    /// γ_AWD.
    pub awd: (f64, Option<f64>),
    /// `C` on `M₂`.
    pub c_on_m2: (f64, Option<f64>),
    /// γ_dual.
    pub dual: (f64, Option<f64>),
    /// Least training accuracy of a seed.
    pub accuracy: f64,
    /// Commit of the runs.
    pub commit: String,
}

impl EarlierRow {
    /// Its loss.
    ///
    /// # Errors
    /// When it is none of the paper's two.
    pub fn loss(&self) -> Result<Loss> {
        match self.of[2].as_str() {
            "CE" => Ok(Loss::CrossEntropy),
            "MSE" => Ok(Loss::SoftmaxMse),
            other => bail!("loss {other:?}, expected CE or MSE"),
        }
    }

    /// As claims see it: by its slopes alone.
    ///
    /// # Errors
    /// When its loss is none.
    pub fn seen(&self) -> Result<Seen<'static>> {
        let slope = |(slope, _): (f64, Option<f64>)| FitSummary {
            slope,
            se: f64::NAN,
            interval: None,
            sampling_se: None,
            r2: f64::NAN,
            n_used: self.top,
            n_dropped: 0,
            top: self.top,
        };
        let [dataset, network, loss] = &self.of;
        let setting = format!("{dataset} {network}, {loss}, {} classes", self.n_classes);
        Ok(Seen {
            id: setting.clone(),
            setting,
            loss: self.loss()?,
            layers: vec![(String::new(), slope(self.emp))],
            gamma: GammaSummary {
                c_on_h: slope(self.emp),
                m2_on_h: slope(self.awd),
                c_on_m2: slope(self.c_on_m2),
                c_awd_on_h: slope(self.dual),
            },
            commutativity: Vec::new(),
            n_seeds: self.n_seeds,
            through: Through::Slopes,
        })
    }
}
