//! The outputs of the paper, by id: each turns finished runs into figures and tables.

pub(crate) mod bounds;
mod power_law;
mod table1;
mod training;

use crate::plan::RunSpec;
use crate::record::{LayerRecord, RunRecord};
use anyhow::{Context, Result};
use superlinear_nets::Loss;
use superlinear_stats::{FitConfig, PowerLawFit, Robust, loglog};

/// An output that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputId {
    /// γ of every setting, mean ± sd over seeds
    Table1,
    /// Log–log scatter of C and M₂ on H, with fits
    PowerLaw,
    /// The wedge H² ≤ M₂ ≤ κ_max H and the pointwise exponents
    Bounds,
    /// Loss and accuracy curves of every run
    Training,
}

impl OutputId {
    /// All of them, in the order of the report.
    pub(crate) const ALL: &'static [Self] = &[Self::Table1, Self::PowerLaw, Self::Bounds, Self::Training];

    /// Whether the output is drawn from this run.
    pub(crate) fn needs(self, run: &RunSpec) -> bool {
        match self {
            Self::Table1 | Self::Training => true,
            Self::PowerLaw | Self::Bounds => run.n_classes == 10 && run.seed == 0,
        }
    }

    /// Draws the output from the runs that it needs.
    ///
    /// # Errors
    /// When a fit is not possible.
    pub(crate) fn draw(self, runs: &[RunRecord]) -> Result<Drawn> {
        let runs: Vec<&RunRecord> = runs.iter().filter(|run| self.needs(&run.spec)).collect();
        match self {
            Self::Table1 => table1::draw(&runs),
            Self::PowerLaw => power_law::draw(&runs),
            Self::Bounds => bounds::draw(&runs),
            Self::Training => Ok(training::draw(&runs)),
        }
    }
}

impl std::fmt::Display for OutputId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Table1 => "table1",
            Self::PowerLaw => "power-law",
            Self::Bounds => "bounds",
            Self::Training => "training",
        })
    }
}

/// What an output consists of.
#[derive(Default)]
pub(crate) struct Drawn {
    /// Its figures.
    pub(crate) figures: Vec<CaptionedFigure>,
    /// Its tables.
    pub(crate) tables: Vec<Table>,
}

/// A figure with the words that go with it.
pub(crate) struct CaptionedFigure {
    /// Name of its files, without extension; starts with the output's id.
    pub(crate) name: String,
    /// What to see in it.
    pub(crate) caption: String,
    /// The drawing.
    pub(crate) figure: superlinear_plots::Figure,
}

/// A table of text cells.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Table {
    /// Name of its file, without extension.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) caption: String,
    /// Column names.
    pub(crate) header: Vec<&'static str>,
    /// Cells.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The exponent of `y_ii ∝ x_ii^γ` over a layer's top `𝒩` directions, rounding left out.
pub(crate) fn fit_top(run: &RunRecord, x: &[f64], y: &[f64], what: &str) -> Result<PowerLawFit> {
    loglog::fit_with(x, y, &fit_config(run)).with_context(|| format!("{}: fit of {what}", run.spec.id()))
}

/// How the fits of this run are made.
pub(crate) fn fit_config(run: &RunRecord) -> FitConfig {
    FitConfig { top: run.spec.top, noise_floor: Some(run.layer.noise_floor), robust: Robust::default() }
}

/// The three exponents that everything is about.
pub(crate) struct Exponents {
    /// `C_ii` on `H_ii`.
    pub(crate) emp: PowerLawFit,
    /// `(M₂)_ii` on `H_ii`: what the duality predicts for `C`, MATH \[12\].
    pub(crate) awd: PowerLawFit,
    /// `C_ii` on `(M₂)_ii`.
    pub(crate) c_on_m2: PowerLawFit,
}

impl Exponents {
    /// Fits all three.
    ///
    /// # Errors
    /// When fewer than three directions can be used.
    pub(crate) fn of(run: &RunRecord) -> Result<Self> {
        let LayerRecord { h, c, m2, .. } = &run.layer;
        Ok(Self {
            emp: fit_top(run, h, c, "C on H")?,
            awd: fit_top(run, h, m2, "M₂ on H")?,
            c_on_m2: {
                // The window is that of the directions, by eigenvalue; the floor is one of H, not of M₂.
                let config = FitConfig { noise_floor: None, ..fit_config(run) };
                loglog::fit_with(m2, c, &config).with_context(|| format!("{}: fit of C on M₂", run.spec.id()))?
            },
        })
    }
}

/// A loss as figures and tables write it.
pub(crate) fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::CrossEntropy => "CE",
        Loss::SoftmaxMse => "MSE",
        Loss::LinearMse => "linear MSE",
    }
}

/// `MLP on MNIST, CE, 10 classes`.
pub(crate) fn title(spec: &RunSpec) -> String {
    let model = spec.model.to_string().to_uppercase();
    let dataset = match spec.dataset {
        superlinear_datasets::DatasetName::Mnist => "MNIST",
        superlinear_datasets::DatasetName::FashionMnist => "Fashion-MNIST",
        superlinear_datasets::DatasetName::Cifar10 => "CIFAR-10",
    };
    format!("{model} on {dataset}, {}, {} classes", loss_name(spec.loss), spec.n_classes)
}
