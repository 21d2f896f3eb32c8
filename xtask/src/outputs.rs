//! The outputs of the paper, by id: each turns finished runs into figures and tables.

pub(crate) mod alignment;
pub(crate) mod bounds;
mod centred;
mod commutativity;
mod decomposition;
mod exponent;
mod pair_grid;
mod per_sample_spectra;
mod power_law;
mod suppression;
mod table1;
mod training;
mod trajectory;

pub(crate) use centred::centred_points;

use crate::plan::{Model, RunSpec};
use crate::record::RunRecord;
use anyhow::Result;
use superlinear_datasets::DatasetName;
use superlinear_nets::Loss;

/// An output that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutputId {
    /// γ of every setting, mean ± sd over seeds
    Table1,
    /// Log–log scatter of C and M₂ on H, with fits
    PowerLaw,
    /// The exponent against the number of directions and against curvature, and by other fits
    Exponent,
    /// Terms of the activity–weight duality over training and by direction
    Decomposition,
    /// Exponents and norms over training, CE beside MSE
    Trajectory,
    /// Twelve scatters of one matrix's diagonal on another's
    PairGrid,
    /// C and M₂ in the eigenbasis of H, beside random directions
    Commutativity,
    /// Spectra and localisation of per-sample Hessians
    PerSampleSpectra,
    /// Correlation of curvature and alignment, by direction
    Alignment,
    /// The exponent after edits of per-sample spectra
    Suppression,
    /// The wedge H² ≤ M₂ ≤ κ_max H and the pointwise exponents
    Bounds,
    /// Loss and accuracy curves of every run
    Training,
}

impl OutputId {
    /// All of them, in the order of the report.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Table1,
        Self::PowerLaw,
        Self::Exponent,
        Self::Decomposition,
        Self::Trajectory,
        Self::PairGrid,
        Self::Commutativity,
        Self::PerSampleSpectra,
        Self::Alignment,
        Self::Suppression,
        Self::Bounds,
        Self::Training,
    ];

    /// Whether the output is drawn from this run.
    pub(crate) fn needs(self, run: &RunSpec, featured: &Featured) -> bool {
        match self {
            Self::Table1 | Self::Training => true,
            Self::PowerLaw => featured.includes(run) || (*featured == Featured::Usual && power_law::also_shows(run)),
            _ => featured.includes(run),
        }
    }

    /// Whether the output follows this run over training.
    pub(crate) fn follows(self, run: &RunSpec, featured: &Featured) -> bool {
        matches!(self, Self::Decomposition | Self::Trajectory) && self.needs(run, featured)
    }

    /// Whether the output shows the spectra of this run's trained layer.
    pub(crate) fn looks_inside(self, run: &RunSpec, featured: &Featured) -> bool {
        let spectral =
            matches!(self, Self::Commutativity | Self::PerSampleSpectra | Self::Alignment | Self::Suppression);
        spectral && self.needs(run, featured)
    }

    /// Draws the output from the runs that it needs.
    ///
    /// # Errors
    /// When a fit is not possible.
    pub(crate) fn draw(self, runs: &[RunRecord], featured: &Featured) -> Result<Drawn> {
        let runs: Vec<&RunRecord> = runs.iter().filter(|run| self.needs(&run.spec, featured)).collect();
        if runs.is_empty() {
            return Ok(Drawn::default());
        }
        match self {
            Self::Table1 => table1::draw(&runs),
            Self::PowerLaw => power_law::draw(&runs),
            Self::Exponent => exponent::draw(&runs),
            Self::Decomposition => Ok(decomposition::draw(&runs)),
            Self::Trajectory => trajectory::draw(&runs),
            Self::PairGrid => pair_grid::draw(&runs),
            Self::Commutativity => commutativity::draw(&runs),
            Self::PerSampleSpectra => Ok(per_sample_spectra::draw(&runs)),
            Self::Alignment => alignment::draw(&runs),
            Self::Suppression => suppression::draw(&runs),
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
            Self::Exponent => "exponent",
            Self::Decomposition => "decomposition",
            Self::Trajectory => "trajectory",
            Self::PairGrid => "pair-grid",
            Self::Commutativity => "commutativity",
            Self::PerSampleSpectra => "per-sample-spectra",
            Self::Alignment => "alignment",
            Self::Suppression => "suppression",
            Self::Bounds => "bounds",
            Self::Training => "training",
        })
    }
}

/// The runs that outputs about single runs show.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Featured {
    /// The MLP on MNIST with ten classes, first seed, each loss.
    Usual,
    /// These, by id.
    Runs(Vec<String>),
}

impl Featured {
    fn includes(&self, run: &RunSpec) -> bool {
        match self {
            Self::Usual => {
                run.dataset == DatasetName::Mnist && run.model == Model::Mlp && run.n_classes == 10 && run.seed == 0
            }
            Self::Runs(ids) => ids.contains(&run.id()),
        }
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

impl Table {
    /// The table and its caption in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            // A bar inside a cell would end it.
            let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&mut self.header.iter().copied());
        text.push_str(&format!("|{}\n", "---|".repeat(self.header.len())));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        format!("{text}\n{}\n", self.caption)
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

/// A setting's parts as figures and tables write them.
pub(crate) struct Words {
    pub(crate) dataset: &'static str,
    pub(crate) model: &'static str,
    pub(crate) loss: &'static str,
}

/// The parts of a run's setting in words.
pub(crate) fn words(spec: &RunSpec) -> Words {
    let model = match spec.model {
        Model::Mlp => "MLP",
        Model::DeepMlp => "Deep MLP",
        Model::Cnn => "CNN",
        Model::Tiny => "Tiny MLP",
    };
    let dataset = match spec.dataset {
        DatasetName::Mnist => "MNIST",
        DatasetName::FashionMnist => "Fashion-MNIST",
        DatasetName::Cifar10 => "CIFAR-10",
    };
    Words { dataset, model, loss: loss_name(spec.loss) }
}

/// `MLP on MNIST, CE, 10 classes`.
pub(crate) fn title(spec: &RunSpec) -> String {
    let Words { dataset, model, loss } = words(spec);
    format!("{model} on {dataset}, {loss}, {} classes", spec.n_classes)
}

/// A matrix's name as figures write it.
fn symbol(name: &str) -> String {
    name.replace('₂', "_{2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_keeps_bars_inside_cells() {
        let table = Table {
            name: "t".to_owned(),
            caption: "What it shows.".to_owned(),
            header: vec!["run", "mean |R|"],
            rows: vec![vec!["a".to_owned(), "0.1".to_owned()]],
        };
        let expected = "| run | mean \\|R\\| |\n|---|---|\n| a | 0.1 |\n\nWhat it shows.\n";
        assert_eq!(table.markdown(), expected);
    }
}
