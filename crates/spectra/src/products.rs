//! Products with a symmetric operator, counted, checked and scaled.

use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::matrix_free::LinOp;
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{Mat, MatMut, MatRef, Par};
use std::fmt;

/// Columns that estimators multiply at a time unless they are told otherwise.
pub(crate) const BLOCK: usize = 8;

/// A square operator and what its products need.
pub(crate) struct Products<'a> {
    A: &'a dyn LinOp<f64>,
    memory: MemBuffer,
    prepared: usize,
    par: Par,
    /// Every product is multiplied by this power of two, so that squares of its entries stay in range.
    pub(crate) scale: f64,
    /// Columns multiplied.
    pub(crate) count: usize,
}

/// A product has an infinite entry or a NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NotFinite {
    pub(crate) product: usize,
    pub(crate) row: usize,
    pub(crate) value: f64,
}

impl fmt::Debug for Products<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Products").field("A", &self.A).field("count", &self.count).finish_non_exhaustive()
    }
}

impl<'a> Products<'a> {
    /// Of a square operator; its threads are those of the current rayon pool.
    pub(crate) fn new(A: &'a dyn LinOp<f64>) -> Self {
        Self { A, memory: MemBuffer::new(StackReq::EMPTY), prepared: 0, par: Par::rayon(0), scale: 1.0, count: 0 }
    }

    pub(crate) fn order(&self) -> usize {
        self.A.nrows()
    }

    /// `out = scale · A x`, all columns in one pass.
    pub(crate) fn apply(&mut self, mut out: MatMut<'_, f64>, x: MatRef<'_, f64>) -> Result<(), NotFinite> {
        let width = x.ncols();
        if width == 0 {
            return Ok(());
        }
        if width > self.prepared {
            self.memory = MemBuffer::new(self.A.apply_scratch(width, self.par));
            self.prepared = width;
        }
        self.A.apply(out.rb_mut(), x, self.par, MemStack::new(&mut self.memory));
        for j in 0..width {
            if let Some((row, value)) =
                out.rb().col(j).iter().copied().enumerate().find(|(_, value)| !value.is_finite())
            {
                return Err(NotFinite { product: self.count + j, row, value });
            }
        }
        if self.scale != 1.0 {
            let scale = self.scale;
            (0..width).for_each(|j| out.rb_mut().col_mut(j).iter_mut().for_each(|y| *y *= scale));
        }
        self.count += width;
        Ok(())
    }

    /// `scale · A x` in a new matrix, `block` columns at a time.
    pub(crate) fn of(&mut self, x: MatRef<'_, f64>, block: usize) -> Result<Mat<f64>, NotFinite> {
        let mut out = Mat::zeros(x.nrows(), x.ncols());
        for first in (0..x.ncols()).step_by(block) {
            let width = block.min(x.ncols() - first);
            self.apply(out.as_mut().subcols_mut(first, width), x.subcols(first, width))?;
        }
        Ok(out)
    }
}
