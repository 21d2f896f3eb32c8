//! Experiments as data: a plan lists runs, and a choice of it says which are made.
//!
//! Plans are TOML files; `docs/plans.md` is their schema, [`file`] reads them.

mod file;

use crate::spec::{RunSpec, SpectraSpec};
use anyhow::{Result, bail};
use std::collections::BTreeMap;

/// Most seeds of a setting: more are a slip of the hand, and their list alone would fill the memory.
pub const MAX_SEEDS: usize = 1_000;

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
    /// Reads a plan; `file` is its name, for messages, and `paper` the paper's plan, by which its runs are at scale or
    /// not.
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
        if let Some(unknown) = choice.settings.iter().find(|beginning| !all.iter().any(|run| is_called(run, beginning)))
        {
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

    /// Whether a run has as many images of each class and as many epochs as this plan's run of the same network, data,
    /// loss and classes: as the paper's, if this is the paper's plan.
    fn is_matched_by(&self, run: &RunSpec) -> bool {
        let key = |run: &RunSpec| (run.dataset, run.network.clone(), run.loss, run.n_classes);
        let own = self.groups.iter().flat_map(|group| &group.runs).find(|own| key(own) == key(run));
        own.is_some_and(|own| run.n_per_class >= own.n_per_class && run.epochs >= own.epochs)
    }
}

/// Whether the parts of a setting's name begin with those of `beginning`, as `mnist-mlp` does `mnist-mlp-ce-c3`.
fn is_called(run: &RunSpec, beginning: &str) -> bool {
    let setting = run.setting();
    setting.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const PLAN: &str = r#"
        name = "few"
        seeds = 2
        checkpoints = [1, 20]
        resamples = 200
        null_draws = 2

        [[runs]]
        data = "mnist"
        source = "embedded"
        network = "mlp"
        loss = ["ce", "mse"]
        classes = [3, 6]
        images = 300
        batch = 50
        epochs = 200
        directions = { 3 = 300, 6 = 1000 }

        [[runs]]
        data = "cifar10"
        network = "cnn"
        loss = "mse"
        classes = 10
        images = 5000
        batch = 128
        epochs = 10
        directions = 1000
        seeds = [1, 7]
    "#;

    /// A plan of some runs.
    pub(crate) fn plan() -> Plan {
        Plan::parse("few.toml", PLAN, None).unwrap()
    }

    /// Its first run.
    pub(crate) fn spec() -> RunSpec {
        plan().all_runs(&Choice::default()).unwrap().remove(0)
    }

    fn ids(choice: &Choice) -> Vec<String> {
        plan().all_runs(choice).unwrap().iter().map(RunSpec::id).collect()
    }

    #[test]
    fn seeds_are_the_outermost_loop_and_a_group_may_have_its_own() {
        let found = ids(&Choice::default());
        assert_eq!(found.len(), 4 + 5 + 1);
        assert_eq!(found[..2], ["mnist-mlp-ce-c3-s0", "mnist-mlp-ce-c6-s0"]);
        assert_eq!(found[8..], ["cifar10-cnn-mse-c10-s1", "cifar10-cnn-mse-c10-s7"]);
        // Groups with seeds of their own keep them.
        assert_eq!(ids(&Choice { n_seeds: Some(3), ..Choice::default() }).len(), 3 * 4 + 2);
    }

    #[test]
    fn settings_are_chosen_by_the_parts_of_their_names() {
        let choice = |names: &[&str]| Choice {
            settings: names.iter().map(|&name| name.to_owned()).collect(),
            ..Choice::default()
        };
        assert_eq!(ids(&choice(&["mnist-mlp-mse-c3"])), ["mnist-mlp-mse-c3-s0", "mnist-mlp-mse-c3-s1"]);
        assert_eq!(ids(&choice(&["mnist", "cifar10-cnn"])).len(), 10);
        let error = plan().all_runs(&choice(&["mnist-mlp", "mnist-mlp-ce-c1"])).unwrap_err().to_string();
        assert!(error.contains("\"mnist-mlp-ce-c1\"") && error.contains("mnist-mlp-ce-c6"), "{error}");
    }

    #[test]
    fn runs_are_looked_at_as_closely_as_outputs_need() {
        let needs =
            |run: &RunSpec| Needs { run: run.seed == 0, checkpoints: run.n_classes == 3, spectra: run.n_classes == 6 };
        let found = plan().runs(&Choice::default(), needs).unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!((found[0].checkpoints.as_slice(), found[0].spectra), (&[1, 20][..], None));
        assert_eq!((found[1].checkpoints.len(), found[1].spectra.unwrap().null_draws), (0, 2));
        let late = Choice { checkpoints: Some(vec![300]), ..Choice::default() };
        let error = plan().runs(&late, needs).unwrap_err().to_string();
        assert!(error.contains("--checkpoints 300: run mnist-mlp-ce-c3-s0 is trained for 200 epochs"), "{error}");
    }

    #[test]
    fn absurdly_many_seeds_are_refused() {
        let error = plan().all_runs(&Choice { n_seeds: Some(usize::MAX), ..Choice::default() }).unwrap_err();
        assert!(error.to_string().contains("expected at most 1000"), "{error}");
    }

    #[test]
    fn specs_survive_serialisation_and_a_smaller_run_is_not_at_scale() {
        let runs = plan().all_runs(&Choice::default()).unwrap();
        for run in &runs {
            assert_eq!(&serde_json::from_str::<RunSpec>(&serde_json::to_string(run).unwrap()).unwrap(), run);
        }
        let fewer = Plan::parse("few.toml", &PLAN.replace("images = 300", "images = 299"), Some(&plan())).unwrap();
        let of = |run: RunSpec| run.is_at_paper_scale;
        assert!(of(runs[0].clone()) && !of(fewer.all_runs(&Choice::default()).unwrap().remove(0)));
    }
}
