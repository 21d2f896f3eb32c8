//! A permutation of axes.

use super::{Given, Misfit, Rule, exactly, shown, strided_map, strides};

/// Axis `i` of the result is axis `axes[i]` of the operand, as in PyTorch's `permute`; the batch stays in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// A permutation of the axes, counted from 0 behind the batch.
    pub axes: Vec<usize>,
}

impl Rule for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..x.shape.len()) {
            let expected = format!("a permutation of the axes of {}", shown(x.shape));
            return Err(Misfit::new(format!("axes {:?}", self.axes), expected));
        }
        Ok(self.axes.iter().map(|&axis| x.shape[axis]).collect())
    }

    fn maps(&self, operands: &[&[usize]], shape: &[usize]) -> Vec<Vec<u32>> {
        let from = strides(operands[0]);
        let permuted: Vec<usize> = self.axes.iter().map(|&axis| from[axis]).collect();
        vec![strided_map(shape, 0, &permuted)]
    }
}
