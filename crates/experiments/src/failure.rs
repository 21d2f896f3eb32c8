//! Runs that came to nothing: a number stopped being finite, too few directions to fit, and the like.
//!
//! Such a run is no reason to lose the others. It is told apart from what stops everything: an interruption, a disk
//! that takes no file, a record that cannot be read.

use crate::observer::Stopped;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use superlinear_store::WriteError;
use superlinear_store::record::RecordError;

/// A run that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its id.
    pub run: String,
    /// The error in one line.
    pub error: String,
}

impl Failure {
    /// Of this run, with all causes in one line.
    pub fn new(run: String, error: &anyhow::Error) -> Self {
        Self { run, error: format!("{error:#}") }
    }
}

/// What became of run `id`: its result, or its failure.
///
/// # Errors
/// For an error that is not the run's own.
pub fn outcome<T>(id: impl Fn() -> String, result: Result<T>) -> Result<Result<T, Failure>> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error) if stops_everything(&error) => Err(error),
        Err(error) => Ok(Err(Failure::new(id(), &error))),
    }
}

fn stops_everything(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Stopped>() || cause.is::<WriteError>() || cause.is::<RecordError>() || cause.is::<std::io::Error>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_run_fails_alone_unless_everything_has_to_stop() {
        let id = || "a-run".to_owned();
        let own = anyhow!("epoch 3: loss is NaN").context("a-run");
        let failure = Failure { run: id(), error: "a-run: epoch 3: loss is NaN".to_owned() };
        assert_eq!(outcome::<()>(id, Err(own)).unwrap(), Err(failure));
        assert_eq!(outcome(id, Ok(1)).unwrap(), Ok(1));
        let interrupted: Result<()> = Err(Stopped.into());
        assert!(outcome(id, interrupted.context("a-run")).unwrap_err().is::<Stopped>());
        let disk: Result<()> = Err(std::io::Error::other("disk full").into());
        assert!(outcome(id, disk.context("a-run")).is_err());
    }
}
