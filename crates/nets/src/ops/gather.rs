//! Chosen entries of an axis.

use super::{Given, Misfit, Rule, exactly, len, shown};

/// Entries `indices` of one axis, in their order; one may be chosen several times.
///
/// For indices that differ from sample to sample there is [`Embedding`](super::Embedding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Which, counted from 0 behind the batch.
    pub axis: usize,
    /// Which entries of it.
    pub indices: Vec<usize>,
}

impl Rule for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        let n = x.shape.get(self.axis).copied().unwrap_or(0);
        if self.indices.is_empty() || self.indices.iter().any(|&index| index >= n) {
            let found = format!("entries {:?} of axis {}", self.indices, self.axis);
            return Err(Misfit::new(found, format!("some entries of an axis of {}", shown(x.shape))));
        }
        let mut shape = x.shape.to_vec();
        shape[self.axis] = self.indices.len();
        Ok(shape)
    }

    fn maps(&self, operands: &[&[usize]], _shape: &[usize]) -> Vec<Vec<u32>> {
        let inner = len(&operands[0][self.axis + 1..]);
        let own = operands[0][self.axis] * inner;
        let outer = len(operands[0]) / own;
        let entries = (0..outer).flat_map(|outer| self.indices.iter().map(move |&index| outer * own + index * inner));
        vec![entries.flat_map(|start| (start..start + inner).map(|i| i as u32)).collect()]
    }
}
