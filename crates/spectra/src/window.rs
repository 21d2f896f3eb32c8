//! Windows of eigendirections: the full matrix, its top block and its bulk.

use std::ops::Range;

/// Directions `first..end` in descending order of eigenvalue, counted from 0; not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    first: usize,
    end: usize,
}

impl Window {
    /// The part of `first..end` that a matrix of order `P` has: a range that ends beyond `P` shrinks, and one that is
    /// empty or begins at `P` or beyond is `None`.
    pub(crate) fn of_order(P: usize, range: Range<usize>) -> Option<Self> {
        let end = range.end.min(P);
        (range.start < end).then_some(Self { first: range.start, end })
    }

    /// The directions.
    pub fn range(self) -> Range<usize> {
        self.first..self.end
    }

    /// How many directions, at least 1.
    pub fn n_directions(self) -> usize {
        self.end - self.first
    }
}

/// Where the top block ends and where the bulk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Directions of the top block: `0..top`.
    pub top: usize,
    /// End of the bulk: `top..bulk_end`.
    pub bulk_end: usize,
}

impl Windows {
    /// The paper's: directions 1–200 and 201–1000.
    pub const PAPER: Self = Self { top: 200, bulk_end: 1_000 };

    /// All directions of a matrix of order `P ≥ 1`.
    ///
    /// # Panics
    /// When `P` is 0.
    #[track_caller]
    pub fn full(&self, P: usize) -> Window {
        assert!(P > 0, "a matrix of order 0 has no directions");
        Window { first: 0, end: P }
    }

    /// The top block, at most the whole matrix; `None` for `top = 0`.
    pub fn top(&self, P: usize) -> Option<Window> {
        Window::of_order(P, 0..self.top)
    }

    /// The bulk, as far as the matrix reaches; `None` where it would begin beyond `P`.
    pub fn bulk(&self, P: usize) -> Option<Window> {
        Window::of_order(P, self.top..self.bulk_end)
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::PAPER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_and_vanish() {
        let ranges = |windows: Windows, P| [windows.top(P), windows.bulk(P)].map(|w| w.map(Window::range));
        assert_eq!(ranges(Windows::PAPER, 2_500), [Some(0..200), Some(200..1_000)]);
        assert_eq!(ranges(Windows::PAPER, 400), [Some(0..200), Some(200..400)]);
        assert_eq!(ranges(Windows::PAPER, 201), [Some(0..200), Some(200..201)]);
        assert_eq!(ranges(Windows::PAPER, 200), [Some(0..200), None]);
        assert_eq!(ranges(Windows::PAPER, 7), [Some(0..7), None]);
        assert_eq!(ranges(Windows { top: 0, bulk_end: 5 }, 7), [None, Some(0..5)]);
        assert_eq!(ranges(Windows { top: 5, bulk_end: 3 }, 7), [Some(0..5), None]);
        assert_eq!(Windows::PAPER.full(7).n_directions(), 7);
    }
}
