//! Repetition along axes.

use super::{Given, Misfit, Rule, broadcast_map, exactly, shown};

/// The operand repeated to `shape`: axes are aligned at the last one, and those of length 1 repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expand {
    /// The axes behind the batch.
    pub shape: Vec<usize>,
}

impl Rule for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        match broadcast_map(x.shape, &self.shape) {
            Some(_) => Ok(self.shape.clone()),
            None => Err(Misfit::new(shown(x.shape), format!("a shape that broadcasts to {}", shown(&self.shape)))),
        }
    }

    fn maps(&self, operands: &[&[usize]], shape: &[usize]) -> Vec<Vec<u32>> {
        vec![broadcast_map(operands[0], shape).expect("the shape rule has checked it")]
    }
}
