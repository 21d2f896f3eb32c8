//! Part of an axis; a split is one slice for each of its parts.

use super::{Given, Misfit, Rule, exactly, shown, strided_map, strides};

/// Entries `start`, `start + step`, … below `end` of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Which, counted from 0 behind the batch.
    pub axis: usize,
    /// The first entry.
    pub start: usize,
    /// Behind the last.
    pub end: usize,
    /// From one to the next, at least 1.
    pub step: usize,
}

impl Rule for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        let fits = x.shape.get(self.axis).is_some_and(|&n| self.start < self.end && self.end <= n) && self.step > 0;
        if !fits {
            let found = format!("entries {}..{} by {} of axis {}", self.start, self.end, self.step, self.axis);
            return Err(Misfit::new(found, format!("some entries of an axis of {}", shown(x.shape))));
        }
        let mut shape = x.shape.to_vec();
        shape[self.axis] = (self.end - self.start).div_ceil(self.step);
        Ok(shape)
    }

    fn maps(&self, operands: &[&[usize]], shape: &[usize]) -> Vec<Vec<u32>> {
        let mut from = strides(operands[0]);
        let offset = self.start * from[self.axis];
        from[self.axis] *= self.step;
        vec![strided_map(shape, offset, &from)]
    }
}
