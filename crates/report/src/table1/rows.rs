//! The settings of the table, each with the runs of its seeds.

use super::{EarlierRow, StoredRun, TableOne};
use anyhow::{Result, bail};
use superlinear_experiments::spec::RunSpec;
use superlinear_nets::Loss;

/// The paper's rows: data set, network, loss.
pub(super) const PAPER: [[&str; 3]; 8] = [
    ["MNIST", "MLP", "CE"],
    ["MNIST", "MLP", "MSE"],
    ["MNIST", "CNN", "CE"],
    ["MNIST", "CNN", "MSE"],
    ["CIFAR-10", "MLP", "CE"],
    ["CIFAR-10", "MLP", "MSE"],
    ["CIFAR-10", "CNN", "CE"],
    ["CIFAR-10", "CNN", "MSE"],
];
/// Class counts of each.
pub(super) const CLASSES: [usize; 3] = [3, 6, 10];
/// The paper's means: cross-entropy reaches all training images, which is what stops a training early, and MSE this.
const MSE_ACCURACY: f64 = 0.95;
const CE_ACCURACY: f64 = 0.9999;

/// All settings, the paper's first and in its order.
pub struct Rows<'a> {
    rows: Vec<Row<'a>>,
}

/// One setting.
pub struct Row<'a> {
    /// Data set, network and loss in words.
    pub of: [String; 3],
    /// Classes.
    pub n_classes: usize,
    /// What it rests on.
    pub found: Found<'a>,
}

/// What a setting rests on.
pub enum Found<'a> {
    /// Stored runs, by seed.
    Runs(Vec<&'a StoredRun>),
    /// An earlier version of the page.
    Earlier(&'a EarlierRow),
}

impl<'a> Rows<'a> {
    /// The settings of these runs, and those that only an earlier page has.
    ///
    /// # Errors
    /// When runs of one setting differ in more than the seed.
    pub fn of(table: &'a TableOne) -> Result<Self> {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for run in &table.runs {
            let found = rows.iter_mut().find_map(|row| match &mut row.found {
                Found::Runs(runs) if runs[0].spec.setting() == run.spec.setting() => Some(runs),
                _ => None,
            });
            match found {
                Some(runs) => {
                    check_same(runs[0], run)?;
                    runs.push(run);
                    runs.sort_by_key(|run| run.spec.seed);
                }
                None => rows.push(Row {
                    of: words(&run.spec),
                    n_classes: run.spec.n_classes,
                    found: Found::Runs(vec![run]),
                }),
            }
        }
        for row in &table.earlier {
            let is_known = rows.iter().any(|known| known.of == row.of && known.n_classes == row.n_classes);
            if !is_known {
                rows.push(Row { of: row.of.clone(), n_classes: row.n_classes, found: Found::Earlier(row) });
            }
        }
        rows.sort_by_key(|row| (row.place(), row.of.clone(), row.n_classes));
        Ok(Self { rows })
    }

    /// All of them.
    pub fn all(&self) -> &[Row<'a>] {
        &self.rows
    }

    /// The row of these words with so many classes.
    pub(super) fn find(&self, of: [&str; 3], n_classes: usize) -> Option<&Row<'a>> {
        self.rows.iter().find(|row| row.of == of && row.n_classes == n_classes)
    }

    /// Those that are none of the paper's table.
    pub(super) fn beside(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| row.place() == PAPER.len())
    }

    /// The paper's settings that nothing here knows, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let settings = PAPER.iter().flat_map(|of| CLASSES.map(|n| (of, n)));
        let missing = settings.filter(|(of, n)| self.find(**of, *n).is_none());
        missing.map(|([data, network, loss], n)| format!("{data} {network}, {loss}, {n} classes")).collect()
    }
}

impl Row<'_> {
    fn place(&self) -> usize {
        PAPER.iter().position(|of| self.of == *of).unwrap_or(PAPER.len())
    }

    /// `MNIST MLP, CE, 10 classes`.
    pub fn title(&self) -> String {
        let [data, network, loss] = &self.of;
        format!("{data} {network}, {loss}, {} classes", self.n_classes)
    }

    /// The stored runs; none where the page alone is known.
    pub fn runs(&self) -> &[&StoredRun] {
        match &self.found {
            Found::Runs(runs) => runs,
            Found::Earlier(_) => &[],
        }
    }

    /// The paper's `𝒩`.
    pub fn top(&self) -> usize {
        match &self.found {
            Found::Runs(runs) => runs[0].spec.top,
            Found::Earlier(row) => row.top,
        }
    }

    /// The least training accuracy of a seed.
    pub(super) fn least_accuracy(&self) -> f64 {
        match &self.found {
            Found::Runs(runs) => runs.iter().map(|run| run.training.accuracy).fold(f64::INFINITY, f64::min),
            Found::Earlier(row) => row.accuracy,
        }
    }

    /// What the paper's networks reach, in words, where one of these does not.
    pub(super) fn falls_short_of(&self) -> Option<&'static str> {
        let is_ce = match &self.found {
            Found::Runs(runs) => runs[0].spec.loss == Loss::CrossEntropy,
            Found::Earlier(_) => self.of[2] == "CE",
        };
        let least = self.least_accuracy();
        match is_ce {
            true if least < CE_ACCURACY => Some("100 %"),
            false if least <= MSE_ACCURACY => Some("95 %"),
            _ => None,
        }
    }
}

fn words(spec: &RunSpec) -> [String; 3] {
    [spec.dataset_words().to_owned(), spec.network_words(), spec.loss_words().to_owned()]
}

/// Fails where two runs of a setting are not seeds of one thing.
fn check_same(a: &StoredRun, b: &StoredRun) -> Result<()> {
    let settings = |run: &StoredRun| {
        let mut spec = run.spec.clone();
        // What is looked at besides changes no number of the table.
        (spec.seed, spec.spectra, spec.checkpoints) = (0, None, Vec::new());
        spec
    };
    if a.spec.seed == b.spec.seed || settings(a) != settings(b) || a.data != b.data {
        bail!("runs {} and {} differ in more than the seed, or not in it", a.spec.id(), b.spec.id());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn stored() -> TableOne {
        TableOne::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/table1")).unwrap()
    }

    #[test]
    fn a_stored_run_takes_the_place_of_an_earlier_row() {
        let table = stored();
        let known = table.runs.iter().find(|run| run.spec.id() == "mnist-mlp-mse-c10-s0").unwrap();
        let of = ["MNIST", "MLP", "MSE"];
        let earlier = EarlierRow {
            of: of.map(str::to_owned),
            n_classes: 10,
            top: 1_000,
            n_seeds: 1,
            emp: (0.5, None),
            awd: (0.5, None),
            c_on_m2: (1.0, None),
            dual: (0.5, None),
            accuracy: 0.94,
            commit: "0000000".to_owned(),
        };
        let alone = TableOne { runs: Vec::new(), earlier: vec![earlier.clone()] };
        let rows = Rows::of(&alone).unwrap();
        let row = rows.find(of, 10).unwrap();
        assert_eq!((row.runs().len(), row.falls_short_of()), (0, Some("95 %")));
        assert_eq!(rows.missing().len(), 23);
        let both = TableOne { runs: vec![known.clone()], earlier: vec![earlier] };
        let rows = Rows::of(&both).unwrap();
        let row = rows.find(of, 10).unwrap();
        assert_eq!((rows.all().len(), row.runs().len(), row.falls_short_of()), (1, 1, None));
    }

    #[test]
    fn seeds_of_a_row_differ_in_nothing_else() {
        let table = stored();
        let mut runs: Vec<_> = table.runs.into_iter().filter(|run| run.spec.setting() == "mnist-mlp-mse-c10").collect();
        assert!(runs.len() > 1);
        let table = |runs: &[StoredRun]| TableOne { runs: runs.to_vec(), earlier: Vec::new() };
        assert!(Rows::of(&table(&runs)).is_ok());
        runs[1].spec.top = 300;
        let error = Rows::of(&table(&runs)).err().unwrap().to_string();
        assert!(error.contains("mnist-mlp-mse-c10-s0") && error.contains("more than the seed"), "{error}");
        runs[1] = runs[0].clone();
        assert!(Rows::of(&table(&runs)).is_err(), "one seed twice");
    }

    #[test]
    fn cross_entropy_has_to_reach_every_image() {
        let table = stored();
        let mut run = table.runs.iter().find(|run| run.spec.id() == "mnist-mlp-ce-c10-s0").unwrap().clone();
        run.training.accuracy = 0.999;
        let table = TableOne { runs: vec![run], earlier: Vec::new() };
        let rows = Rows::of(&table).unwrap();
        assert_eq!(rows.all()[0].falls_short_of(), Some("100 %"));
        assert!(crate::table1::markdown(&table).unwrap().contains("(1 seed, trained to 99.9 %)"));
    }
}
