//! Work on one folder that several processes may share.

use crate::observer::Observer;
use crate::spread;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use superlinear_store::WriteError;
use superlinear_store::lock::{self, Lock};

/// How long to wait before looking again at what another process holds.
const PAUSE: Duration = Duration::from_millis(300);

/// Runs `job` on every item, as [`spread::concurrently`]; a job that another process holds returns `None` and is asked
/// again after the others, until it has a result. `what` names the items in the note of a wait.
///
/// # Errors
/// The first error of a job, or the observer stops it while waiting.
pub(crate) fn share<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    what: &str,
    observer: &dyn Observer,
    cost: impl Fn(&T) -> f64,
    job: impl Fn(&T) -> Result<Option<R>> + Sync,
) -> Result<Vec<R>> {
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut waiting = false;
    loop {
        let left: Vec<usize> = (0..items.len()).filter(|&k| results[k].is_none()).collect();
        if left.is_empty() {
            return Ok(results.into_iter().flatten().collect());
        }
        let done = spread::concurrently(threads, &left, |&k| cost(&items[k]), |&k| job(&items[k]))?;
        let mut moved = false;
        for (k, result) in left.iter().zip(done) {
            moved |= result.is_some();
            results[*k] = result;
        }
        if !moved {
            if !waiting {
                observer.note("waiting", &format!("{} {what} are in the hands of another process", left.len()));
                waiting = true;
            }
            observer.check()?;
            std::thread::sleep(PAUSE);
        }
    }
}

/// Waits for the lock at `path`; `what` says for what.
///
/// # Errors
/// When there can be no lock, or the observer stops it.
pub(crate) fn wait_for(path: &Path, what: &str, observer: &dyn Observer) -> Result<Lock> {
    wait_until(|| lock::try_lock(path), what, observer)
}

/// Waits until nobody has the lock at `path` alone, and shares it; `what` says for what.
///
/// # Errors
/// When there can be no lock, or the observer stops it.
pub(crate) fn wait_to_share(path: &Path, what: &str, observer: &dyn Observer) -> Result<Lock> {
    wait_until(|| lock::try_share(path), what, observer)
}

fn wait_until(
    take: impl Fn() -> Result<Option<Lock>, WriteError>,
    what: &str,
    observer: &dyn Observer,
) -> Result<Lock> {
    let mut waiting = false;
    loop {
        if let Some(lock) = take()? {
            return Ok(lock);
        }
        if !waiting {
            observer.note("waiting", &format!("another process {what}"));
            waiting = true;
        }
        observer.check()?;
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Silent;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn what_is_held_elsewhere_is_asked_again() {
        let asked = AtomicUsize::new(0);
        let items = [0, 1, 2, 3];
        let job = |&k: &usize| {
            let held = k == 2 && asked.fetch_add(1, Ordering::SeqCst) < 2;
            Ok((!held).then_some(10 * k))
        };
        let results = share(2, &items, "things", &Silent, |_| 1.0, job).unwrap();
        assert_eq!((results, asked.into_inner()), (vec![0, 10, 20, 30], 3));
    }
}
