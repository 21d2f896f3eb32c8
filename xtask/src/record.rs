//! What a finished run leaves: enough to draw every output from and to rebuild every matrix of.

use crate::plan::RunSpec;
use serde::{Deserialize, Serialize};
use superlinear_store::record::Record;

/// One finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// Its settings.
    pub(crate) spec: RunSpec,
    /// Its training.
    pub(crate) training: TrainingRecord,
    /// Its analysed layer.
    pub(crate) layer: LayerRecord,
}

/// A trained network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingRecord {
    /// The drawn training images, as positions in the data set's training split.
    pub(crate) indices: Vec<usize>,
    /// All parameters after training.
    pub(crate) weights: Vec<f32>,
    /// One entry an epoch.
    pub(crate) history: Vec<Epoch>,
    /// Share of test images classified right.
    pub(crate) test_accuracy: f64,
    /// Mean loss over the test images.
    pub(crate) test_loss: f64,
    /// Seconds.
    pub(crate) wall_s: f64,
}

/// One epoch's running means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// Mean training loss.
    pub(crate) loss: f64,
    /// Share of training images classified right.
    pub(crate) accuracy: f64,
}

/// The analysed layer in the eigenbasis of its `H`, directions by descending eigenvalue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Rows of the weight.
    pub(crate) d_out: usize,
    /// Columns of the weight.
    pub(crate) d_in: usize,
    /// `λ_i = H_ii`.
    pub(crate) h: Vec<f64>,
    /// `C_ii`, with replacement: `v_iᵀΣv_i/B`.
    pub(crate) c: Vec<f64>,
    /// `(M₂)_ii`.
    pub(crate) m2: Vec<f64>,
    /// `v_iᵀ E|h| v_i`, for losses whose per-sample Hessians are indefinite.
    pub(crate) abs_h: Option<Vec<f64>>,
    /// `max_p ‖h_p‖`.
    pub(crate) kappa_max: f64,
    /// Eigenvalues of smaller magnitude are rounding.
    pub(crate) noise_floor: f64,
    /// `‖HV − VΛ‖/‖H‖`.
    pub(crate) residual: f64,
    /// `‖VᵀV − I‖`.
    pub(crate) orthogonality: f64,
    /// Seconds for `H`, `M₂` and `Σ`.
    pub(crate) moments_s: f64,
    /// Seconds for the eigendecomposition with its check.
    pub(crate) eigh_s: f64,
}

impl Record for RunRecord {
    const KIND: &'static str = "run";
    const VERSION: u32 = 1;
}
