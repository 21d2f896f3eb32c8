//! A share of the runs, for one process of several.

use crate::cost;
use crate::spec::RunSpec;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which share was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardArg {
    /// What a scheduler's environment says.
    Auto,
    /// This one.
    Given(Shard),
}

/// Share `index` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Shard {
    /// From 1 to `count`.
    pub index: usize,
    /// Shares in all.
    pub count: usize,
}

#[derive(Deserialize)]
struct Unchecked {
    index: usize,
    count: usize,
}

impl TryFrom<Unchecked> for Shard {
    type Error = String;

    fn try_from(Unchecked { index, count }: Unchecked) -> Result<Self, String> {
        if (1..=count).contains(&index) {
            Ok(Self { index, count })
        } else {
            Err(format!("share {index} of {count}, expected one from 1 to the number of shares"))
        }
    }
}

/// Variables that launchers set: rank from 0, number of ranks.
const LAUNCHERS: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
];

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let wrong = || format!("found {text:?}, expected `auto` or `i/n` with i from 1 to n, for example 2/8");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        match (index.parse(), count.parse()) {
            (Ok(index), Ok(count)) => Shard::try_from(Unchecked { index, count }).map(Self::Given).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl ShardArg {
    /// The share, from the environment where that was asked for.
    ///
    /// A Slurm array's task comes first, then the rank of Open MPI, MPICH and its kin, MVAPICH, and `srun`.
    ///
    /// # Errors
    /// When the environment has no rank, or one that is no number or out of range.
    pub fn resolve(self, variable: impl Fn(&str) -> Option<String>) -> Result<Shard> {
        if let Self::Given(shard) = self {
            return Ok(shard);
        }
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(text) = variable(name) else { return Ok(None) };
            let number = text.trim().parse();
            number.map(Some).with_context(|| format!("--shard auto: {name} is {text:?}, expected a number"))
        };
        let of = |name: &str, rank: usize, count: usize| {
            if rank >= count {
                bail!("--shard auto: {name} says rank {rank}, expected below the number of ranks, {count}");
            }
            Ok(Shard { index: rank + 1, count })
        };
        const TASK: &str = "SLURM_ARRAY_TASK_ID";
        if let (Some(task), Some(count)) = (number(TASK)?, number("SLURM_ARRAY_TASK_COUNT")?) {
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let Some(past_first) = task.checked_sub(first) else {
                bail!("--shard auto: {TASK} is {task}, expected at least SLURM_ARRAY_TASK_MIN, {first}");
            };
            return of(TASK, past_first / step, count);
        }
        for (rank_name, count_name) in LAUNCHERS {
            if let (Some(rank), Some(count)) = (number(rank_name)?, number(count_name)?) {
                return of(rank_name, rank, count);
            }
        }
        let known: Vec<&str> = std::iter::once(TASK).chain(LAUNCHERS.map(|(rank, _)| rank)).collect();
        bail!("--shard auto: found no rank in the environment, expected one of {}", known.join(", "));
    }
}

impl Shard {
    /// This share of the runs, in their order.
    ///
    /// The costliest run goes first, each to the share that has the least to do so far: a function of the list of runs alone.
    pub fn of(self, specs: &[RunSpec]) -> Vec<RunSpec> {
        let costs: Vec<f64> = specs.iter().map(cost::operations).collect();
        let mut order: Vec<usize> = (0..specs.len()).collect();
        order.sort_by(|&i, &j| costs[j].total_cmp(&costs[i]));
        // Shares beyond the number of runs are empty, however many there are said to be.
        let mut loads = vec![0.0; self.count.min(specs.len())];
        let mut mine = vec![false; specs.len()];
        for run in order {
            let least = loads.iter().enumerate().fold(0, |best, (k, load)| if *load < loads[best] { k } else { best });
            loads[least] += costs[run];
            mine[run] = least + 1 == self.index;
        }
        specs.iter().zip(mine).filter(|(_, mine)| *mine).map(|(spec, _)| spec.clone()).collect()
    }

    /// Name of its folder.
    pub fn folder(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choice;
    use crate::plan::tests::plan;

    #[test]
    fn shares_are_parsed_and_checked() {
        assert_eq!("auto".parse(), Ok(ShardArg::Auto));
        assert_eq!("2/8".parse(), Ok(ShardArg::Given(Shard { index: 2, count: 8 })));
        for wrong in ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", ""] {
            let error = wrong.parse::<ShardArg>().unwrap_err();
            assert!(error.contains(wrong) && error.contains("i from 1 to n"), "{error}");
        }
        // So is one in a file.
        let shard = Shard { index: 2, count: 8 };
        assert_eq!(serde_json::from_str::<Shard>(&serde_json::to_string(&shard).unwrap()).unwrap(), shard);
        for wrong in [r#"{"index":1,"count":0}"#, r#"{"index":0,"count":0}"#, r#"{"index":9,"count":8}"#] {
            assert!(serde_json::from_str::<Shard>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_environment_is_read_as_launchers_set_it() {
        let resolve = |variables: &[(&str, &str)]| {
            ShardArg::Auto.resolve(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        let shard = |index, count| Shard { index, count };
        let array = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        assert_eq!(resolve(&array).unwrap(), shard(3, 4));
        assert_eq!(resolve(&[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")]).unwrap(), shard(2, 2));
        assert_eq!(resolve(&[("PMI_RANK", "0"), ("PMI_SIZE", "3")]).unwrap(), shard(1, 3));
        assert_eq!(resolve(&[("SLURM_PROCID", "5"), ("SLURM_NTASKS", "6")]).unwrap(), shard(6, 6));
        let error = |variables: &[(&str, &str)]| resolve(variables).unwrap_err().to_string();
        assert!(error(&[]).contains("OMPI_COMM_WORLD_RANK"));
        assert!(error(&[("PMI_RANK", "3"), ("PMI_SIZE", "3")]).contains("below the number of ranks, 3"));
        assert!(error(&[("PMI_RANK", "x"), ("PMI_SIZE", "3")]).contains("PMI_RANK is \"x\""));
    }

    #[test]
    fn shares_are_disjoint_complete_and_even() {
        let specs = plan().all_runs(&Choice { n_seeds: Some(5), ..Choice::default() }).unwrap();
        for count in [1, 2, 3, 7, 100] {
            let shares: Vec<Vec<RunSpec>> = (1..=count).map(|index| Shard { index, count }.of(&specs)).collect();
            let mut ids: Vec<String> = shares.iter().flatten().map(RunSpec::id).collect();
            ids.sort();
            let mut all: Vec<String> = specs.iter().map(RunSpec::id).collect();
            all.sort();
            assert_eq!(ids, all);
            let loads: Vec<f64> = shares.iter().map(|share| share.iter().map(cost::operations).sum()).collect();
            let largest = specs.iter().map(cost::operations).fold(0.0, f64::max);
            let (low, high) = loads.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
            assert!(high - low <= largest, "{loads:?}");
        }
        // More shares than a machine has room to list.
        let count = usize::MAX;
        assert_eq!(Shard { index: 1, count }.of(&specs).len(), 1);
        assert!(Shard { index: count, count }.of(&specs).is_empty());
    }
}
