//! Independent jobs spread over threads.

use anyhow::{Context, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `job` on every item and returns the results in the items' order.
///
/// As many workers as there are threads, or items if fewer, take the costliest item that is left; each works in a
/// rayon pool of its equal share of the threads. So at most `threads` items are in memory at once, and no result
/// depends on `threads` as long as no job's does.
///
/// # Errors
/// The first error of a job; items not begun by then are left.
pub fn concurrently<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    cost: impl Fn(&T) -> f64,
    job: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&i, &j| cost(&items[j]).total_cmp(&cost(&items[i])));
    let n_workers = threads.min(items.len()).max(1);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<R>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let pools = (0..n_workers)
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads((threads / n_workers).max(1)).build())
        .collect::<Result<Vec<_>, _>>()
        .context("cannot start threads")?;
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| {
                while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = pool.install(|| job(&items[index]));
                    if result.is_err() {
                        next.store(order.len(), Ordering::Relaxed);
                    }
                    results.lock().expect("no job panics while it stores a result")[index] = Some(result);
                }
            });
        }
    });
    let mut finished = Vec::with_capacity(items.len());
    let results = results.into_inner().expect("no job panics while it stores a result");
    let mut missing = false;
    for result in results {
        match result {
            Some(result) => finished.push(result?),
            None => missing = true,
        }
    }
    // An item is only left when another failed, and that error has been returned above.
    assert!(!missing, "every item has a result or an error came first");
    Ok(finished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<usize> = (0..20).collect();
        for threads in [1, 3, 40] {
            let squares = concurrently(threads, &items, |&i| i as f64, |&i| Ok(i * i)).unwrap();
            assert_eq!(squares, items.iter().map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_stops_the_rest() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..50).collect();
        let result = concurrently(
            1,
            &items,
            |_| 1.0,
            |&i| {
                begun.fetch_add(1, Ordering::Relaxed);
                if i == 3 { bail!("no") } else { Ok(()) }
            },
        );
        assert_eq!(result.unwrap_err().to_string(), "no");
        assert_eq!(begun.into_inner(), 4);
    }
}
