//! What a person sees while a long stage runs: a bar on a terminal, one plain line a stage otherwise.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Instant;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Bars on a terminal, one line a stage elsewhere.
    Normal,
    /// Nothing.
    Quiet,
}

/// A stage under way.
pub(crate) struct Stage {
    bar: ProgressBar,
    name: &'static str,
    start: Instant,
    voice: Voice,
}

impl Voice {
    /// Starts a stage of `total` steps; `unit` names what the rate counts.
    pub(crate) fn stage(self, name: &'static str, total: u64, unit: &str) -> Stage {
        let bar = ProgressBar::new(total);
        if self == Self::Normal && std::io::stderr().is_terminal() {
            let template = "{prefix:>10} {bar:30} {percent:>3}%  {rate}  {eta} left  {wide_msg}";
            let unit = unit.to_owned();
            let rate = move |state: &ProgressState, out: &mut dyn Write| {
                // What a terminal shows may fail to be shown.
                let _ = write!(out, "{:.1} {unit}", state.per_sec());
            };
            let style = ProgressStyle::with_template(template).expect("the template is well formed");
            bar.set_style(style.with_key("rate", rate));
            bar.set_prefix(name);
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Stage { bar, name, start: Instant::now(), voice: self }
    }

    /// Says a line.
    #[allow(clippy::print_stderr)]
    pub(crate) fn line(self, text: &str) {
        if self == Self::Normal {
            eprintln!("{text}");
        }
    }
}

impl Stage {
    /// `steps` more are done.
    pub(crate) fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// `steps` are done in all.
    pub(crate) fn reached(&self, steps: u64) {
        self.bar.set_position(steps);
    }

    /// What is being worked on.
    pub(crate) fn at(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// The stage is over: its one line.
    pub(crate) fn done(self, what: &str) {
        self.bar.finish_and_clear();
        self.voice.line(&format!("{:>10}  {what} in {:.1} s", self.name, self.start.elapsed().as_secs_f64()));
    }
}
