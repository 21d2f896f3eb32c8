//! An operator whose products are heard of, and which the observer ends.

use crate::observer::Observer;
use anyhow::Result;
use faer::dyn_stack::{MemStack, StackReq};
use faer::matrix_free::LinOp;
use faer::prelude::ReborrowMut;
use faer::{MatMut, MatRef, Par};
use std::fmt;

/// `A`, telling after every pass over the data how many vectors it has multiplied.
///
/// Once the observer asked to stop, nothing is multiplied any more and products are NaN, which the iterations of
/// `superlinear-spectra` refuse at once: a stop between two products, whichever of them is at work. [`finished`] tells
/// it from a number that is truly not finite.
pub(super) struct Watched<'a, F> {
    observer: &'a dyn Observer,
    A: &'a dyn LinOp<f64>,
    multiplied: F,
}

impl<'a, F: Fn(u64) + Sync> Watched<'a, F> {
    pub(super) fn new(observer: &'a dyn Observer, A: &'a dyn LinOp<f64>, multiplied: F) -> Self {
        Self { observer, A, multiplied }
    }
}

/// The result, unless the observer asked to stop.
pub(super) fn finished<T, E: std::error::Error + Send + Sync + 'static>(
    observer: &dyn Observer,
    result: Result<T, E>,
) -> Result<T> {
    observer.check()?;
    Ok(result?)
}

impl<F> fmt::Debug for Watched<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("A", &self.A).finish_non_exhaustive()
    }
}

impl<F: Fn(u64) + Sync> LinOp<f64> for Watched<'_, F> {
    fn apply_scratch(&self, width: usize, par: Par) -> StackReq {
        self.A.apply_scratch(width, par)
    }
    fn nrows(&self) -> usize {
        self.A.nrows()
    }
    fn ncols(&self) -> usize {
        self.A.ncols()
    }
    fn apply(&self, mut out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        if self.observer.stopped() {
            out.fill(f64::NAN);
            return;
        }
        self.A.apply(out.rb_mut(), rhs, par, stack);
        (self.multiplied)(rhs.ncols() as u64);
    }
    fn conj_apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        self.apply(out, rhs, par, stack);
    }
}
