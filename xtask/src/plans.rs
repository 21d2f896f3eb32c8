//! The built-in plans, and those from files.

use anyhow::{Context, Result};
use std::path::Path;
use superlinear_experiments::plan::Plan;

/// A plan that is built in, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// A minute or two: 300 real images a class, one seed
    Smoke,
    /// Minutes: MNIST at the paper's own scale, two seeds
    Quick,
    /// The paper's list at full scale, four seeds
    Paper,
    /// A second: two tiny networks, for tests of what stops and goes on
    #[value(hide = true)]
    Tiny,
}

impl Profile {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
            Self::Tiny => "tiny",
        }
    }

    /// The plan.
    pub(crate) fn plan(self) -> Plan {
        let (file, text) = match self {
            Self::Smoke => ("smoke.toml", include_str!("../plans/smoke.toml")),
            Self::Quick => ("quick.toml", include_str!("../plans/quick.toml")),
            Self::Paper => ("paper.toml", include_str!("../plans/paper.toml")),
            Self::Tiny => ("tiny.toml", include_str!("../plans/tiny.toml")),
        };
        let paper = (self != Self::Paper).then(|| Self::Paper.plan());
        Plan::parse(file, text, paper.as_ref()).expect("built-in plans are plans, which a test reads")
    }
}

/// A plan from a file.
///
/// # Errors
/// When it cannot be read or is none.
pub(crate) fn read(file: &Path) -> Result<Plan> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name}: cannot read"))?;
    Plan::parse(&name, &text, Some(&Profile::Paper.plan()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use superlinear_experiments::plan::Choice;
    use superlinear_experiments::spec::RunSpec;

    /// Data set, network, loss; images of each class for 3, 6 and 10 classes; batch, epochs; 𝒩 for 3, 6 and 10 classes.
    type Row = (&'static str, &'static str, &'static str, [usize; 3], usize, usize, [usize; 3]);

    /// The table of training settings in the paper.
    const PAPER: [Row; 8] = [
        ("mnist", "mlp", "ce", [2_000, 2_000, 2_000], 50, 100, [300, 1_000, 1_000]),
        ("mnist", "mlp", "mse", [2_000, 2_000, 2_000], 50, 100, [300, 1_000, 1_000]),
        ("mnist", "cnn", "ce", [2_000, 2_000, 2_000], 50, 100, [200, 500, 1_000]),
        ("mnist", "cnn", "mse", [5_000, 5_000, 5_000], 128, 100, [200, 300, 800]),
        ("cifar10", "mlp", "ce", [2_000, 2_000, 2_000], 100, 150, [800, 1_500, 1_500]),
        ("cifar10", "mlp", "mse", [5_000, 5_000, 5_000], 100, 100, [500, 1_000, 1_000]),
        ("cifar10", "cnn", "ce", [5_000, 2_000, 2_000], 128, 100, [500, 1_000, 1_500]),
        ("cifar10", "cnn", "mse", [5_000, 5_000, 5_000], 128, 500, [500, 500, 1_000]),
    ];

    fn runs(profile: Profile) -> Vec<RunSpec> {
        profile.plan().all_runs(&Choice::default()).unwrap()
    }

    #[test]
    fn the_papers_plan_is_the_papers_table() {
        let runs = runs(Profile::Paper);
        assert_eq!(runs.len(), 4 * (8 * 3 + 1));
        for (dataset, network, loss, images, batch, epochs, directions) in PAPER {
            for (k, classes) in [3, 6, 10].into_iter().enumerate() {
                let of_row: Vec<&RunSpec> = runs
                    .iter()
                    .filter(|run| run.setting() == format!("{dataset}-{network}-{loss}-c{classes}"))
                    .collect();
                let seeds: Vec<u64> = of_row.iter().map(|run| run.seed).collect();
                assert_eq!(seeds, [0, 1, 2, 3], "{dataset} {network} {loss} {classes}");
                for run in of_row {
                    let found = (run.n_per_class, run.batch, run.epochs, run.top);
                    assert_eq!(found, (images[k], batch, epochs, directions[k]), "{}", run.id());
                    assert_eq!(run.descent, superlinear_experiments::spec::Descent::paper());
                    assert!(run.is_at_paper_scale && run.swept.is_empty() && run.n_test == 1_000);
                    assert_eq!(run.analysed_dense(), [run.target_dense()]);
                }
            }
        }
        let deep: Vec<&RunSpec> = runs.iter().filter(|run| run.setting() == "mnist-deep-mlp-ce-c10").collect();
        assert_eq!(deep.len(), 4);
        for run in deep {
            assert_eq!((run.n_per_class, run.batch, run.epochs, run.top), (2_000, 50, 100, 1_000));
            assert_eq!(run.analysed_dense(), [1, 2, 3]);
        }
    }

    #[test]
    fn built_in_plans_feature_runs_of_their_own() {
        for profile in [Profile::Smoke, Profile::Quick, Profile::Paper] {
            let (plan, ids) = (profile.plan(), runs(profile).iter().map(RunSpec::id).collect::<Vec<_>>());
            for featured in plan.featured.iter().chain(plan.also.values().flatten()) {
                assert!(ids.contains(featured), "{featured}");
            }
            assert_eq!(plan.name, profile.name());
        }
        assert!(runs(Profile::Quick).iter().any(|run| run.is_at_paper_scale));
        assert!(!runs(Profile::Smoke).iter().any(|run| run.is_at_paper_scale));
    }

    /// The folder of a run that the first release trained: it is found for ever.
    #[test]
    fn a_stored_training_keeps_its_key() {
        let runs = runs(Profile::Paper);
        let spec = runs.iter().find(|run| run.id() == "mnist-cnn-mse-c6-s0").unwrap();
        let mnist = "8d3be2d40c41b8c707f10f3ae6e5d0792026f86e310b6a74c844d8a8cd5755a0";
        let key = superlinear_experiments::identity::Key::of_training(spec, mnist);
        assert_eq!(key.short(), "e90c3c4c0cc8e4d3");
    }
}
