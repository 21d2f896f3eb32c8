//! Experiments as data: a plan lists runs, and a choice of it says which are made.
//!
//! Plans are TOML files; `docs/plans.md` is their schema, [`file`] reads them.

mod file;

use crate::spec::{RunSpec, SpectraSpec};
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// Most seeds of a setting: more are a slip of the hand, and their list alone would fill the memory.
pub(crate) const MAX_SEEDS: usize = 1_000;

/// Samples of each class whose Hessians are looked at one by one, and resamples of their bootstrap.
const SPECTRA_PER_CLASS: usize = 20;
const SPECTRA_DRAWS: usize = 400;

/// Runs, what is drawn of them, and how closely they are looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its name, that of the folder of results.
    pub name: String,
    /// Outputs to draw, by id; all that there are if `None`.
    pub outputs: Option<Vec<String>>,
    /// Runs, by id, that outputs about single runs show.
    pub featured: Vec<String>,
    /// Runs that one output shows besides, by its id.
    pub also: BTreeMap<String, Vec<String>>,
    /// Epochs after which runs that an output follows are analysed.
    pub checkpoints: Vec<usize>,
    /// Draws of the null where spectra are looked at.
    pub null_draws: usize,
    /// Seeds, where a group of runs has none of its own.
    seeds: Vec<u64>,
    /// Groups of runs, without their seeds.
    groups: Vec<Group>,
}

/// Runs that differ by swept values alone.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    /// Its own seeds.
    seeds: Option<Vec<u64>>,
    runs: Vec<RunSpec>,
}

/// What of a plan is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Beginnings of the names of settings that there are to be; all of the plan's if empty.
    pub settings: Vec<String>,
    /// Seeds of each setting, `0..n_seeds`; the plan's own if `None`.
    pub n_seeds: Option<usize>,
    /// Epochs at which runs that an output follows are analysed; the plan's own if `None`.
    pub checkpoints: Option<Vec<usize>>,
}

/// What outputs need of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The run at all.
    pub run: bool,
    /// Its network at checkpoints.
    pub checkpoints: bool,
    /// The spectra of its trained layer.
    pub spectra: bool,
}

impl Plan {
    /// Reads a plan; `file` is its name, for messages, and `paper` the paper's plan, by which its runs are at scale or not.
    ///
    /// # Errors
    /// When the text is no plan, naming file, line and key.
    pub fn parse(file: &str, text: &str, paper: Option<&Plan>) -> Result<Self> {
        file::parse(file, text, paper)
    }

    /// Every run that a choice leaves, without checkpoints and spectra.
    ///
    /// # Errors
    /// When no setting's name begins as one asked for, or the seeds are absurdly many.
    pub fn all_runs(&self, choice: &Choice) -> Result<Vec<RunSpec>> {
        if let Some(n_seeds) = choice.n_seeds.filter(|&n_seeds| n_seeds > MAX_SEEDS) {
            bail!("{n_seeds} seeds of each setting, expected at most {MAX_SEEDS}");
        }
        let asked: Option<Vec<u64>> = choice.n_seeds.map(|n_seeds| (0..n_seeds as u64).collect());
        let common = asked.clone().unwrap_or_else(|| self.seeds.clone());
        let of_group = |group: &Group| group.seeds.clone().unwrap_or_else(|| common.clone());
        let mut seeds: Vec<u64> = self.groups.iter().flat_map(of_group).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let mut all = Vec::new();
        for seed in seeds {
            for group in self.groups.iter().filter(|group| of_group(group).contains(&seed)) {
                all.extend(group.runs.iter().map(|run| RunSpec { seed, ..run.clone() }));
            }
        }
        if let Some(unknown) = choice.settings.iter().find(|beginning| !all.iter().any(|run| is_called(run, beginning))) {
            let mut known: Vec<String> = all.iter().map(RunSpec::setting).collect();
            known.sort();
            known.dedup();
            bail!("no setting of plan {} is called {unknown:?}; known: {}", self.name, known.join(", "));
        }
        if !choice.settings.is_empty() {
            all.retain(|run| choice.settings.iter().any(|beginning| is_called(run, beginning)));
        }
        Ok(all)
    }

    /// The runs that outputs need, with checkpoints and spectra where they need these.
    ///
    /// # Errors
    /// As [`Plan::all_runs`]; when a run ends before a checkpoint that is asked for.
    pub fn runs(&self, choice: &Choice, needs: impl Fn(&RunSpec) -> Needs) -> Result<Vec<RunSpec>> {
        let mut runs = Vec::new();
        for mut run in self.all_runs(choice)? {
            let needs = needs(&run);
            if !needs.run {
                continue;
            }
            if needs.checkpoints {
                let asked = choice.checkpoints.iter().flatten();
                if let Some(late) = asked.copied().find(|&epoch| epoch > run.epochs) {
                    bail!("--checkpoints {late}: run {} is trained for {} epochs", run.id(), run.epochs);
                }
                run.checkpoints = choice.checkpoints.clone().unwrap_or_else(|| self.checkpoints.clone());
            }
            if needs.spectra {
                run.spectra = Some(SpectraSpec {
                    n_per_class: SPECTRA_PER_CLASS,
                    null_draws: self.null_draws,
                    bootstrap_draws: SPECTRA_DRAWS,
                });
            }
            runs.push(run);
        }
        Ok(runs)
    }

    /// Whether a run has as many images of each class and as many epochs as this plan's run of the same network, data, loss
    /// and classes: as the paper's, if this is the paper's plan.
    fn is_matched_by(&self, run: &RunSpec) -> bool {
        let key = |run: &RunSpec| (run.dataset, run.network.clone(), run.loss, run.n_classes);
        let own = self.groups.iter().flat_map(|group| &group.runs).find(|own| key(own) == key(run));
        // The paper has no row of the deep network for 3 and 6 classes, whose scale is that for 10.
        own.is_some_and(|own| run.n_per_class >= own.n_per_class && run.epochs >= own.epochs)
    }
}

/// Whether the parts of a setting's name begin with those of `beginning`, as `mnist-mlp` does `mnist-mlp-ce-c3`.
fn is_called(run: &RunSpec, beginning: &str) -> bool {
    let setting = run.setting();
    setting.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
