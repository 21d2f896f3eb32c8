//! Who hears how far work is, and says when it shall stop.

use anyhow::Result;
use std::fmt;

/// What an observer hears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News<'a> {
    /// A stage begins: its name, its steps, and what steps a second are called.
    Begun {
        /// One word.
        stage: &'static str,
        /// Steps in all.
        total: u64,
        /// For example `images/s`.
        unit: &'static str,
    },
    /// What the stage works on.
    At(&'a str),
    /// So many steps more.
    Advanced(u64),
    /// So many steps in all.
    Reached(u64),
    /// The stage is over; what it did.
    Done(&'a str),
    /// Something that happened, beside any stage: one word and a line.
    Note(&'a str, &'a str),
}

/// Hears of work, and may stop it between two steps. Stages follow each other; several threads report on one.
pub trait Observer: Sync {
    /// Hears.
    fn hear(&self, news: News<'_>);

    /// Whether work shall stop: then what is done is saved, and [`Stopped`] is the error.
    fn stopped(&self) -> bool;
}

/// Hears nothing and never stops.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Observer for Silent {
    fn hear(&self, _: News<'_>) {}

    fn stopped(&self) -> bool {
        false
    }
}

/// The observer asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted: nothing was written")
    }
}

impl std::error::Error for Stopped {}

impl dyn Observer + '_ {
    /// Begins a stage.
    pub fn stage(&self, stage: &'static str, total: u64, unit: &'static str) -> Stage<'_> {
        self.hear(News::Begun { stage, total, unit });
        Stage { observer: self }
    }

    /// Says what happened beside any stage.
    pub fn note(&self, word: &str, line: &str) {
        self.hear(News::Note(word, line));
    }

    /// An error once the observer asked to stop.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<()> {
        if self.stopped() { Err(Stopped.into()) } else { Ok(()) }
    }
}

/// A stage under way.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    observer: &'a dyn Observer,
}

impl Stage<'_> {
    /// So many steps more.
    pub fn advance(&self, steps: u64) {
        self.observer.hear(News::Advanced(steps));
    }

    /// So many steps in all.
    pub fn reached(&self, steps: u64) {
        self.observer.hear(News::Reached(steps));
    }

    /// What it works on.
    pub fn at(&self, what: &str) {
        self.observer.hear(News::At(what));
    }

    /// It is over.
    pub fn done(self, what: &str) {
        self.observer.hear(News::Done(what));
    }
}

impl fmt::Debug for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}
