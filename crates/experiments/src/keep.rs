//! What stays on the disk of a finished reproduction.

use serde::{Deserialize, Serialize};

/// What stays on the disk of a finished reproduction, besides its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Nothing: the runs' folders are removed once the results are written.
    None,
    /// Networks, curves and diagonals: enough to draw, verify and export.
    Summary,
    /// Also the matrices `H`, `M₂` and `Σ` of every analysed layer.
    Moments,
}
