//! What a person sees while a long stage runs: a bar on a terminal, one plain line a stage otherwise.

use crate::interrupt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use superlinear_experiments::observer::{News, Observer};

/// Shows news on standard error, and stops work on Ctrl-C.
#[derive(Debug)]
pub(crate) struct Voice {
    is_quiet: bool,
    stage: Mutex<Option<Stage>>,
}

/// A stage under way.
#[derive(Debug)]
struct Stage {
    bar: ProgressBar,
    name: &'static str,
    start: Instant,
}

impl Voice {
    /// One that says what happens, or, if quiet, nothing.
    pub(crate) fn new(is_quiet: bool) -> Self {
        Self { is_quiet, stage: Mutex::new(None) }
    }

    fn line(&self, word: &str, text: &str) {
        if !self.is_quiet {
            // What cannot be said is dropped: work does not depend on who listens.
            let _ = writeln!(std::io::stderr().lock(), "{word:>10}  {text}");
        }
    }

    fn begin(&self, name: &'static str, total: u64, unit: &'static str) -> Stage {
        let bar = ProgressBar::new(total);
        if !self.is_quiet && std::io::stderr().is_terminal() {
            let template = "{prefix:>10} {bar:30} {percent:>3}%  {rate}  {eta} left  {wide_msg}";
            let rate = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // What a terminal shows may fail to be shown.
                let _ = write!(out, "{:.1} {unit}", state.per_sec());
            };
            let style = ProgressStyle::with_template(template).expect("the template is well formed");
            bar.set_style(style.with_key("rate", rate));
            bar.set_prefix(name);
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Stage { bar, name, start: Instant::now() }
    }
}

impl Observer for Voice {
    fn hear(&self, news: News<'_>) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match (news, stage.as_ref()) {
            (News::Begun { stage: name, total, unit }, _) => *stage = Some(self.begin(name, total, unit)),
            (News::Note(word, line), Some(under_way)) => under_way.bar.suspend(|| self.line(word, line)),
            (News::Note(word, line), None) => self.line(word, line),
            (News::Advanced(steps), Some(under_way)) => under_way.bar.inc(steps),
            (News::Reached(steps), Some(under_way)) => under_way.bar.set_position(steps),
            (News::At(what), Some(under_way)) => under_way.bar.set_message(what.to_owned()),
            (News::Done(what), Some(Stage { bar, name, start })) => {
                bar.finish_and_clear();
                self.line(name, &format!("{what} in {:.1} s", start.elapsed().as_secs_f64()));
                *stage = None;
            }
            (News::Advanced(_) | News::Reached(_) | News::At(_) | News::Done(_), None) => {}
        }
    }

    fn stopped(&self) -> bool {
        interrupt::requested()
    }
}
