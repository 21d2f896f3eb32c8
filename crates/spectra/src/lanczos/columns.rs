//! Tall columns whose memory can be given back.

use faer::MatMut;

/// `n × k`, column after column.
///
/// A matrix of faer keeps its allocation when it loses columns. This gives what they took back at once and where it
/// stands: at the end of an iteration there is no room for a copy.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    nrows: usize,
    entries: Vec<f64>,
}

impl Columns {
    pub(super) fn zeros(nrows: usize, ncols: usize) -> Self {
        Self { nrows, entries: vec![0.0; nrows * ncols] }
    }

    /// Of `entries`, as many columns as they are; `nrows` is not zero and divides their number.
    pub(super) fn from_entries(nrows: usize, entries: Vec<f64>) -> Self {
        debug_assert_eq!(entries.len() % nrows, 0);
        Self { nrows, entries }
    }

    pub(super) fn into_entries(self) -> Vec<f64> {
        self.entries
    }

    pub(super) fn nrows(&self) -> usize {
        self.nrows
    }

    pub(super) fn ncols(&self) -> usize {
        self.entries.len() / self.nrows
    }

    pub(super) fn as_mut(&mut self) -> MatMut<'_, f64> {
        let ncols = self.ncols();
        MatMut::from_column_major_slice_mut(&mut self.entries, self.nrows, ncols)
    }

    /// More columns of zeros, or fewer and no more memory than they need.
    pub(super) fn resize(&mut self, ncols: usize) {
        // Growing by doubling would take twice the memory.
        self.entries.reserve_exact((self.nrows * ncols).saturating_sub(self.entries.len()));
        self.entries.resize(self.nrows * ncols, 0.0);
        self.entries.shrink_to_fit();
    }

    /// Leaves out columns `from..to`.
    pub(super) fn remove(&mut self, from: usize, to: usize) {
        self.entries.copy_within(to * self.nrows.., from * self.nrows);
        self.resize(self.ncols() - (to - from));
    }
}
