//! The same entries in other axes.

use super::{Given, Misfit, Rule, exactly, len, shown};

/// The same entries, row-major, in axes `shape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The axes behind the batch.
    pub shape: Vec<usize>,
}

impl Rule for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        if len(x.shape) != len(&self.shape) {
            let found = format!("{} entries in {}", len(x.shape), shown(x.shape));
            return Err(Misfit::new(found, format!("{} for {}", len(&self.shape), shown(&self.shape))));
        }
        Ok(self.shape.clone())
    }
}
