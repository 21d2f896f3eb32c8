//! Long work: without the interpreter's lock, heard of by a callback, ended by Ctrl-C.

use crate::arrays::value_error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use superlinear_experiments::observer::{News, Observer};

/// How often Ctrl-C is looked for.
const PAUSE: Duration = Duration::from_millis(100);

/// What a callback is told: `stage, done, total, words`.
type Told = (&'static str, u64, u64, String);

/// Hears of work on its threads and hands it to the one that Python called.
struct Listener {
    to: Mutex<Sender<Told>>,
    state: Mutex<(&'static str, u64, u64)>,
    stopped: AtomicBool,
}

impl Observer for Listener {
    fn hear(&self, news: News<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let words = match news {
            News::Begun { stage, total, .. } => {
                *state = (stage, 0, total);
                String::new()
            }
            News::At(words) => words.to_owned(),
            News::Advanced(n) => {
                state.1 += n;
                String::new()
            }
            News::Reached(n) => {
                state.1 = n;
                String::new()
            }
            News::Done(words) => {
                state.1 = state.2;
                words.to_owned()
            }
            News::Note(word, line) => format!("{word}: {line}"),
        };
        let (stage, done, total) = *state;
        // Nobody listens once the caller has gone.
        let _ = self.to.lock().unwrap_or_else(PoisonError::into_inner).send((stage, done, total, words));
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Runs `work` on a pool of `threads` threads, all cores if `None`.
///
/// # Errors
/// What `work` says as a `ValueError`, what the callback raises, or `KeyboardInterrupt`; a panic as a `RuntimeError`.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&dyn Observer) -> anyhow::Result<R> + Send,
) -> PyResult<R> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    let pool = pool.map_err(|error| match threads {
        Some(n) => value_error(format!("threads={n}: {error}")),
        None => value_error(error),
    })?;
    let (to, from) = channel();
    let listener = Listener { to: Mutex::new(to), state: Mutex::new(("", 0, 0)), stopped: AtomicBool::new(false) };
    let (answer, answers) = channel();
    let raised = py.detach(move || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // What a panic has left half done is never looked at.
                let result = catch_unwind(AssertUnwindSafe(|| pool.install(|| work(&listener))));
                // The receiver outlives the scope.
                let _ = answer.send(result);
            });
            let mut raised = None;
            loop {
                match answers.recv_timeout(PAUSE) {
                    Ok(result) => {
                        return match raised {
                            Some(error) => Err(error),
                            None => {
                                Python::attach(|py| tell(py, progress.as_ref(), &from))?;
                                result.map_err(|panic| panicked(panic.as_ref()))
                            }
                        };
                    }
                    Err(RecvTimeoutError::Timeout) if raised.is_none() => {
                        let heard = Python::attach(|py| {
                            py.check_signals()?;
                            tell(py, progress.as_ref(), &from)
                        });
                        if let Err(error) = heard {
                            listener.stopped.store(true, Ordering::Relaxed);
                            raised = Some(error);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => unreachable!("the sender outlives the loop"),
                }
            }
        })
    });
    raised?.map_err(value_error)
}

/// A mistake of this package, not of its caller.
fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let words = words.unwrap_or("without words");
    PyRuntimeError::new_err(format!("a panic in superlinear, please report it: {words}"))
}

/// Hands on what was heard since the last time.
fn tell(py: Python<'_>, progress: Option<&Py<PyAny>>, from: &Receiver<Told>) -> PyResult<()> {
    for told in from.try_iter() {
        if let Some(progress) = progress {
            progress.call1(py, told)?;
        }
    }
    Ok(())
}
