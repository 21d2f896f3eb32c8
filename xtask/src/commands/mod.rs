//! The commands, each with its arguments.

pub(crate) mod analyse;
mod checkpoints;
pub(crate) mod ci;
pub(crate) mod data;
pub(crate) mod export;
pub(crate) mod merge;
pub(crate) mod python;
pub(crate) mod reproduce;
pub(crate) mod runs;
pub(crate) mod spectrum;
pub(crate) mod table1;
pub(crate) mod verify;

use std::num::NonZeroUsize;

/// More are no use on any machine, and starting them takes longer than a run.
const MOST_THREADS: usize = 1024;

/// A number of threads.
///
/// # Errors
/// When it is none, or not in `1..=1024`.
fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let n = text.parse::<NonZeroUsize>().ok().filter(|n| n.get() <= MOST_THREADS);
    n.ok_or_else(|| format!("expected a number from 1 to {MOST_THREADS}"))
}

/// A count that is not zero.
///
/// # Errors
/// When it is none.
fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number from 1".to_owned())
}

/// As many threads as asked for, or as there are cores.
fn n_threads(asked: Option<NonZeroUsize>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}
