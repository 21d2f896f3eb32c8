//! What a finished run leaves: enough to draw every output from and to rebuild every matrix of.

pub(crate) mod spectral;

use crate::plan::RunSpec;
use serde::{Deserialize, Serialize};
use spectral::{PairRecord, SpectralRecord};
use superlinear_store::record::Record;

/// One finished run, read from its records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunRecord {
    /// Its settings.
    pub(crate) spec: RunSpec,
    /// Its training.
    pub(crate) training: TrainingRecord,
    /// Its analysed layers by epoch: the target at every checkpoint, and further ones of the trained network.
    pub(crate) layers: Vec<LayerRecord>,
}

impl RunRecord {
    /// The target layer of the trained network.
    pub(crate) fn layer(&self) -> &LayerRecord {
        self.trajectory().last().expect("a record holds at least the trained network's target layer")
    }

    /// The target layer at every checkpoint, the trained network last.
    pub(crate) fn trajectory(&self) -> impl Iterator<Item = &LayerRecord> {
        let target = self.spec.target_dense();
        self.layers.iter().filter(move |layer| layer.dense == target)
    }

    /// All analysed layers of the trained network, first to last.
    pub(crate) fn trained_layers(&self) -> impl Iterator<Item = &LayerRecord> {
        let epoch = self.layer().epoch;
        self.layers.iter().filter(move |layer| layer.epoch == epoch)
    }
}

/// How a network was trained. Its weights are a [`Checkpoint`] of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingRecord {
    /// The drawn training images, as positions in the data set's training split.
    pub(crate) indices: Vec<usize>,
    /// One entry an epoch.
    pub(crate) history: Vec<Epoch>,
    /// Share of test images classified right.
    pub(crate) test_accuracy: f64,
    /// Mean loss over the test images.
    pub(crate) test_loss: f64,
    /// Seconds.
    pub(crate) wall_s: f64,
}

/// A network during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Epochs done.
    pub(crate) epoch: usize,
    /// All parameters.
    pub(crate) weights: Vec<f32>,
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
///
/// Diagonals are of all `P` directions for the trained network, of the top `𝒩` for earlier checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Epochs done.
    pub(crate) epoch: usize,
    /// Which dense layer, counted from 0.
    pub(crate) dense: usize,
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
    /// The activity–weight duality.
    pub(crate) awd: AwdRecord,
    /// `C` in the eigenbasis of `H`.
    pub(crate) c_in_h: PairRecord,
    /// `M₂` in the eigenbasis of `H`.
    pub(crate) m2_in_h: PairRecord,
    /// Sampling errors of the trained network's exponents.
    pub(crate) slopes: Option<SlopesRecord>,
    /// Spectra of a featured run's trained layer.
    pub(crate) spectral: Option<SpectralRecord>,
    /// Seconds for `H`, `M₂`, `Σ` and the duality's moments.
    pub(crate) moments_s: f64,
    /// Seconds for the eigendecomposition with its check.
    pub(crate) eigh_s: f64,
    /// Seconds for the sampling errors.
    pub(crate) slopes_s: f64,
}

/// Sampling errors of exponents over the top directions that are above the noise, by a bootstrap over samples in the fixed
/// eigenbasis of `H`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlopesRecord {
    /// Resamples.
    pub(crate) n_draws: usize,
    /// `C` on `H`.
    pub(crate) emp: SlopeRecord,
    /// The same by York's line, with errors in both coordinates; `None` where there is none.
    pub(crate) emp_york: Option<YorkRecord>,
    /// `M₂` on `H`.
    pub(crate) m2: SlopeRecord,
    /// `C` on `M₂`.
    pub(crate) c_on_m2: SlopeRecord,
}

/// A slope with errors in both coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct YorkRecord {
    /// The slope.
    pub(crate) slope: f64,
    /// The standard error that the errors of the points imply.
    pub(crate) se: f64,
    /// Weighted squared residuals a degree of freedom.
    pub(crate) reduced_chi_squared: f64,
}

/// The sampling error of one slope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlopeRecord {
    /// Standard error.
    pub(crate) se: f64,
    /// Mean of the resamples less the slope.
    pub(crate) bias: f64,
    /// Basic 95 % interval.
    pub(crate) interval: [f64; 2],
    /// Resamples without a slope.
    pub(crate) n_failed: usize,
}

/// The activity–weight duality at one layer, over its top `𝒩` directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AwdRecord {
    /// `C_AWD = C^hh + C^hg + C^gg`.
    pub(crate) total: Term,
    /// `C^hh`.
    pub(crate) hh: Term,
    /// `C^hg`.
    pub(crate) hg: Term,
    /// `C^gg`.
    pub(crate) gg: Term,
    /// Same-sample part of `C^hh`.
    pub(crate) hh_same: Term,
    /// `C^hh` of the same sample with the locally diagonal perturbation covariance.
    pub(crate) hh_local: Term,
    /// `σ_w²`.
    pub(crate) weight_variance: f64,
    /// Coefficient of variation of `E[(u_m·Δw)²]` over ranks.
    pub(crate) anisotropy: f64,
    /// `E[(u_m·Δw)²]` by rank.
    pub(crate) variance_by_rank: Vec<f64>,
    /// Samples whose partner has the same activity.
    pub(crate) n_duplicates: usize,
    /// Samples without activity.
    pub(crate) n_zero_activities: usize,
}

/// One matrix of the duality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Term {
    /// Frobenius norm.
    pub(crate) norm: f64,
    /// Trace.
    pub(crate) trace: f64,
    /// `v_iᵀ · v_i`.
    pub(crate) diagonal: Vec<f64>,
}

/// What a run's folder is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AboutRecord {
    /// The settings that were asked for when the folder was made; those of the analysis may have changed since.
    pub(crate) spec: RunSpec,
    /// SHA-256 of the data set's images and labels, in hexadecimal.
    pub(crate) data: String,
}

/// Training under way, between two epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    /// All parameters.
    pub(crate) params: Vec<f32>,
    /// The order of the samples that the next epoch shuffles further.
    pub(crate) order: Vec<usize>,
    /// One entry an epoch done.
    pub(crate) history: Vec<Epoch>,
    /// Where the generator of the batches stands in its stream, in words of 32 bits.
    pub(crate) word_pos: u128,
    /// Seconds so far.
    pub(crate) wall_s: f64,
}

/// The matrices of an analysed layer in the parameter basis, each once: `a_ij` for `i ≤ j`, column by column.
///
/// They are kept as evidence, to compare with what another machine or a later version makes of the same network. Nothing is
/// computed from them: reading them would save an export a fifth of its time at most, since the eigenpairs and the duality's five
/// moments, which share their panels with these three, have to be had all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MomentsRecord {
    /// `P`.
    pub(crate) order: usize,
    /// `H`.
    pub(crate) H: Vec<f64>,
    /// `M₂`.
    pub(crate) M2: Vec<f64>,
    /// `Σ`.
    pub(crate) Sigma: Vec<f64>,
}

macro_rules! records {
    ($($content:ty: $kind:literal, $version:literal;)*) => {$(
        impl Record for $content {
            const KIND: &'static str = $kind;
            const VERSION: u32 = $version;
        }
    )*};
}
records! {
    AboutRecord: "run", 4;
    TrainingRecord: "training", 1;
    StateRecord: "training-state", 1;
    Checkpoint: "checkpoint", 1;
    LayerRecord: "layer", 2;
    MomentsRecord: "moments", 1;
}
