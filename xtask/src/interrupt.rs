//! Ctrl-C and termination: noticed between steps, so that whatever is being written is finished or not begun.
//!
//! A hang-up is left to the system: it ends the process, which the next call goes on from, unless the process was
//! started with hang-ups ignored, as `nohup` does.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Write;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on Ctrl-C asks to stop; a second one stops at once.
///
/// Signals that the process was started with ignored stay ignored.
///
/// # Errors
/// When the system takes no handler.
pub(crate) fn listen() -> Result<()> {
    let requested = REQUESTED.get_or_init(Default::default);
    let signals: Vec<i32> = [SIGINT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal)).collect();
    hear(signals, requested).context("cannot listen for Ctrl-C")
}

/// Sets the flag at the first signal and says so; the second ends the process.
#[cfg(unix)]
fn hear(signals: Vec<i32>, requested: &Arc<AtomicBool>) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    let requested = Arc::clone(requested);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if requested.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            // What cannot be said is dropped.
            let heard = "  stopping: the step under way is finished first; Ctrl-C again ends at once";
            let _ = writeln!(std::io::stderr(), "{heard}");
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn hear(signals: Vec<i32>, requested: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in signals {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(requested))?;
        signal_hook::flag::register(signal, Arc::clone(requested))?;
    }
    Ok(())
}

/// Whether the process was started with a signal ignored; `false` where the system does not say.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Whether the user asked to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.get().is_some_and(|requested| requested.load(Ordering::SeqCst))
}
