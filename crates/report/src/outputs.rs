//! The outputs, each declared in a file of its own: what it needs of runs, and how it is drawn of their records.

pub mod alignment;
pub mod bounds;
mod centred;
mod commutativity;
mod decomposition;
pub(crate) mod exponent;
mod pair_grid;
mod per_sample_spectra;
mod power_law;
mod suppression;
mod sweep;
mod table1;
mod training;
mod trajectory;

pub use centred::{CentredScatter, centred_points};

use anyhow::{Result, bail};
use superlinear_experiments::manifest::Request;
use superlinear_experiments::plan::Needs;
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::spec::RunSpec;

/// Every output, in the order of the report.
pub const OUTPUTS: [Output; 13] = [
    table1::OUTPUT,
    sweep::OUTPUT,
    power_law::OUTPUT,
    exponent::OUTPUT,
    decomposition::OUTPUT,
    trajectory::OUTPUT,
    pair_grid::OUTPUT,
    commutativity::OUTPUT,
    per_sample_spectra::OUTPUT,
    alignment::OUTPUT,
    suppression::OUTPUT,
    bounds::OUTPUT,
    training::OUTPUT,
];

/// An output: figures and tables of some runs.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Its name.
    pub id: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Which runs it shows.
    pub shows: Shows,
    /// What it needs of them.
    pub needs: Looks,
    /// Draws it.
    draw: fn(&[&RunRecord]) -> Result<Drawn>,
}

/// Which runs an output shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Every run.
    All,
    /// Those that the plan features.
    Featured,
    /// Those that a plan sweeps.
    Swept,
}

/// How closely an output looks at a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// At the trained network.
    AtTheEnd,
    /// Over training.
    OverTraining,
    /// At the spectra of the trained layer.
    AtSpectra,
}

impl Output {
    fn shows(&self, run: &RunSpec, request: &Request) -> bool {
        match self.shows {
            Shows::All => true,
            Shows::Featured => request.features(self.id, run),
            Shows::Swept => !run.swept.is_empty(),
        }
    }

    /// Draws it from the runs that it shows.
    ///
    /// # Errors
    /// When a fit is not possible.
    pub fn draw(&self, runs: &[RunRecord], request: &Request) -> Result<Drawn> {
        let runs: Vec<&RunRecord> = runs.iter().filter(|run| self.shows(&run.spec, request)).collect();
        if runs.is_empty() { Ok(Drawn::default()) } else { (self.draw)(&runs) }
    }
}

/// The output of this name.
///
/// # Errors
/// When there is none, naming those that there are.
pub fn find(id: &str) -> Result<&'static Output> {
    match OUTPUTS.iter().find(|output| output.id == id) {
        Some(output) => Ok(output),
        None => {
            let known: Vec<&str> = OUTPUTS.iter().map(|output| output.id).collect();
            bail!("no output is called {id:?}; known: {}", known.join(", "))
        }
    }
}

/// What the outputs of a request need of a run.
///
/// # Errors
/// When an output is none.
pub fn needs(request: &Request, run: &RunSpec) -> Result<Needs> {
    let mut needs = Needs::default();
    for id in &request.outputs {
        let output = find(id)?;
        if output.shows(run, request) {
            needs.run = true;
            needs.checkpoints |= output.needs == Looks::OverTraining;
            needs.spectra |= output.needs == Looks::AtSpectra;
        }
    }
    Ok(needs)
}

/// What an output consists of.
#[derive(Default)]
pub struct Drawn {
    /// Its figures.
    pub figures: Vec<CaptionedFigure>,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// A figure with the words that go with it.
pub struct CaptionedFigure {
    /// Name of its files, without extension; starts with the output's id.
    pub name: String,
    /// What to see in it.
    pub caption: String,
    /// The drawing.
    pub figure: superlinear_plots::Figure,
}

/// A table of text cells.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Table {
    /// Name of its file, without extension.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// Column names.
    pub header: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table and its caption in Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            // A bar inside a cell would end it.
            let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&mut self.header.iter().map(String::as_str));
        text.push_str(&format!("|{}\n", "---|".repeat(self.header.len())));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        format!("{text}\n{}\n", self.caption)
    }
}

/// Names of columns.
fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The titles of runs that are shown together, with the seed where it alone tells two of them apart.
fn titles(runs: &[&RunRecord]) -> Vec<String> {
    let of = |run: &RunRecord| match runs.iter().filter(|other| other.spec.title() == run.spec.title()).count() {
        0 | 1 => run.spec.title(),
        _ => format!("{}, seed {}", run.spec.title(), run.spec.seed),
    };
    runs.iter().map(|run| of(run)).collect()
}

/// What tells runs apart in a legend beside a caption with their titles: the loss if that does, else the whole title.
fn labels(runs: &[&RunRecord]) -> Vec<String> {
    let losses: Vec<&str> = runs.iter().map(|run| run.spec.loss_words()).collect();
    let repeated = losses.iter().enumerate().any(|(k, loss)| losses[..k].contains(loss));
    if repeated { titles(runs) } else { losses.into_iter().map(str::to_owned).collect() }
}

/// The text of a caption: `captions/<name>.txt`.
macro_rules! caption {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/captions/", $name, ".txt"))
    };
}
use caption;

/// A caption on one line, with each `<name>` in it replaced by its value.
fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    values.iter().fold(line, |line, (name, value)| line.replace(&format!("<{name}>"), value))
}

/// A matrix's name as figures write it.
fn symbol(name: &str) -> String {
    name.replace('₂', "_{2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_one_line_with_their_values() {
        let text = "<settings>: points\nof <n>\u{a0}runs.\n";
        assert_eq!(filled(text, &[("settings", "MNIST MLP"), ("n", "2")]), "MNIST MLP: points of 2 runs.");
    }

    #[test]
    fn markdown_keeps_bars_inside_cells() {
        let table = Table {
            name: "t".to_owned(),
            caption: "What it shows.".to_owned(),
            header: columns(&["run", "mean |R|"]),
            rows: vec![vec!["a".to_owned(), "0.1".to_owned()]],
        };
        let expected = "| run | mean \\|R\\| |\n|---|---|\n| a | 0.1 |\n\nWhat it shows.\n";
        assert_eq!(table.markdown(), expected);
    }
}
