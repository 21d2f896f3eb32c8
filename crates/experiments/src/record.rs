//! What a finished run leaves: enough to draw every output from and to rebuild every matrix of.

pub mod layer_spectra;

use crate::spec::RunSpec;
use layer_spectra::{LayerSpectra, PairRecord};
use serde::{Deserialize, Serialize};
use superlinear_store::record::Record;

/// One finished run, read from its records.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Its settings.
    pub spec: RunSpec,
    /// Its training.
    pub training: TrainingRecord,
    /// Its analysed layers by epoch: the target at every checkpoint, and further ones of the trained network.
    pub layers: Vec<LayerRecord>,
}

impl RunRecord {
    /// The target layer of the trained network.
    pub fn layer(&self) -> &LayerRecord {
        self.trajectory().last().expect("a record holds at least the trained network's target layer")
    }

    /// The target layer at every checkpoint, the trained network last.
    pub fn trajectory(&self) -> impl Iterator<Item = &LayerRecord> {
        let target = self.spec.target_dense();
        self.layers.iter().filter(move |layer| layer.dense == target)
    }

    /// All analysed layers of the trained network, first to last.
    pub fn trained_layers(&self) -> impl Iterator<Item = &LayerRecord> {
        let epoch = self.layer().epoch;
        self.layers.iter().filter(move |layer| layer.epoch == epoch)
    }
}

/// How a network was trained. Its weights are a [`Checkpoint`] of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// The drawn training images, as positions in the data set's training split.
    pub indices: Vec<usize>,
    /// One entry an epoch.
    pub history: Vec<Epoch>,
    /// Share of test images classified right.
    pub test_accuracy: f64,
    /// Mean loss over the test images.
    pub test_loss: f64,
    /// Seconds.
    pub wall_s: f64,
}

/// A network during training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Epochs done.
    pub epoch: usize,
    /// All parameters.
    pub weights: Vec<f32>,
}

/// One epoch's running means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean training loss.
    pub loss: f64,
    /// Share of training images classified right.
    pub accuracy: f64,
}

/// The analysed layer in the eigenbasis of its `H`, directions by descending eigenvalue.
///
/// Diagonals are of all `P` directions for the trained network, of the top `𝒩` for earlier checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Epochs done.
    pub epoch: usize,
    /// Which dense layer, counted from 0.
    pub dense: usize,
    /// Rows of the weight.
    pub d_out: usize,
    /// Columns of the weight.
    pub d_in: usize,
    /// `λ_i = H_ii`.
    pub h: Vec<f64>,
    /// `C_ii`, with replacement: `v_iᵀΣv_i/B`.
    pub c: Vec<f64>,
    /// `(M₂)_ii`.
    pub m2: Vec<f64>,
    /// `v_iᵀ E|h| v_i`, for losses whose per-sample Hessians are indefinite.
    pub abs_h: Option<Vec<f64>>,
    /// `max_p ‖h_p‖`.
    pub kappa_max: f64,
    /// Eigenvalues of smaller magnitude are rounding.
    pub noise_floor: f64,
    /// `‖HV − VΛ‖/‖H‖`.
    pub residual: f64,
    /// `‖VᵀV − I‖`.
    pub orthogonality: f64,
    /// The activity–weight duality.
    pub awd: AwdRecord,
    /// `C` in the eigenbasis of `H`.
    pub c_in_h: PairRecord,
    /// `M₂` in the eigenbasis of `H`.
    pub m2_in_h: PairRecord,
    /// Sampling errors of the trained network's exponents.
    pub slopes: Option<SlopesRecord>,
    /// Spectra of a featured run's trained layer.
    pub spectra: Option<LayerSpectra>,
    /// Seconds for `H`, `M₂`, `Σ` and the duality's moments.
    pub moments_s: f64,
    /// Seconds for the eigendecomposition with its check.
    pub eigh_s: f64,
    /// Seconds for the sampling errors.
    pub slopes_s: f64,
}

/// Sampling errors of exponents over the top directions that are above the noise, by a bootstrap over samples in the
/// fixed eigenbasis of `H`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlopesRecord {
    /// Resamples.
    pub n_draws: usize,
    /// `C` on `H`.
    pub emp: SlopeRecord,
    /// The same by York's line, with errors in both coordinates; `None` where there is none.
    pub emp_york: Option<YorkRecord>,
    /// `M₂` on `H`.
    pub m2: SlopeRecord,
    /// `C` on `M₂`.
    pub c_on_m2: SlopeRecord,
}

/// A slope with errors in both coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct YorkRecord {
    /// The slope.
    pub slope: f64,
    /// The standard error that the errors of the points imply.
    pub se: f64,
    /// Weighted squared residuals a degree of freedom.
    pub reduced_chi_squared: f64,
}

/// The sampling error of one slope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlopeRecord {
    /// Standard error.
    pub se: f64,
    /// Mean of the resamples less the slope.
    pub bias: f64,
    /// Basic 95 % interval.
    pub interval: [f64; 2],
    /// Resamples without a slope.
    pub n_failed: usize,
}

/// The activity–weight duality at one layer, over its top `𝒩` directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AwdRecord {
    /// `C_AWD = C^hh + C^hg + C^gg`.
    pub total: Term,
    /// `C^hh`.
    pub hh: Term,
    /// `C^hg`.
    pub hg: Term,
    /// `C^gg`.
    pub gg: Term,
    /// Same-sample part of `C^hh`.
    pub hh_same: Term,
    /// `C^hh` of the same sample with the locally diagonal perturbation covariance.
    pub hh_local: Term,
    /// `σ_w²`.
    pub weight_variance: f64,
    /// Coefficient of variation of `E[(u_m·Δw)²]` over ranks.
    pub anisotropy: f64,
    /// `E[(u_m·Δw)²]` by rank.
    pub variance_by_rank: Vec<f64>,
    /// Samples whose partner has the same activity.
    pub n_duplicates: usize,
    /// Samples without activity.
    pub n_zero_activities: usize,
}

/// One matrix of the duality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Frobenius norm.
    pub norm: f64,
    /// Trace.
    pub trace: f64,
    /// `v_iᵀ · v_i`.
    pub diagonal: Vec<f64>,
}

/// What a run's folder is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AboutRecord {
    /// The settings that were asked for when the folder was made, in JSON; those of the analysis may have changed
    /// since.
    pub spec: String,
    /// SHA-256 of the data set's images and labels, in hexadecimal.
    pub data: String,
}

impl AboutRecord {
    /// Of a run on data with this SHA-256, in hexadecimal.
    pub fn new(spec: &RunSpec, data: &str) -> Self {
        Self { spec: serde_json::to_string(spec).expect("settings are plain data"), data: data.to_owned() }
    }

    /// The settings, unless they are of another version.
    pub fn spec(&self) -> Option<RunSpec> {
        serde_json::from_str(&self.spec).ok().filter(|spec: &RunSpec| spec.check().is_ok())
    }
}

/// Training under way, between two epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    /// All parameters.
    pub params: Vec<f32>,
    /// The order of the samples that the next epoch shuffles further.
    pub order: Vec<usize>,
    /// One entry an epoch done.
    pub history: Vec<Epoch>,
    /// Where the generator of the batches stands in its stream, in words of 32 bits.
    pub word_pos: u128,
    /// Seconds so far.
    pub wall_s: f64,
}

/// The matrices of an analysed layer in the parameter basis, each once: `a_ij` for `i ≤ j`, column by column.
///
/// They are kept as evidence, to compare with what another machine or a later version makes of the same network.
/// Nothing is computed from them: reading them would save an export a fifth of its time at most, since the eigenpairs
/// and the duality's five moments, which share their panels with these three, have to be computed all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MomentsRecord {
    /// `P`.
    pub order: usize,
    /// `H`.
    pub H: Vec<f64>,
    /// `M₂`.
    pub M2: Vec<f64>,
    /// `Σ`.
    pub Sigma: Vec<f64>,
}

/// A record whose content may be inconsistent although its checksum is right.
pub trait Consistent {
    /// Whether shapes, counts and ranges fit together.
    ///
    /// # Errors
    /// What does not, in words.
    fn check(&self) -> Result<(), String>;
}

/// Fails with `what` unless `is_so`.
fn expect(is_so: bool, what: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("inconsistent: {what}")) }
}

impl Consistent for AboutRecord {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Consistent for TrainingRecord {
    fn check(&self) -> Result<(), String> {
        expect(!self.history.is_empty(), "a training of no epoch")?;
        expect(!self.indices.is_empty(), "a training on no image")
    }
}

impl Consistent for StateRecord {
    fn check(&self) -> Result<(), String> {
        let n = self.order.len();
        let mut seen = vec![false; n];
        let is_order = self.order.iter().all(|&p| p < n && !std::mem::replace(&mut seen[p], true));
        expect(is_order, "the order of the samples is none")
    }
}

impl Consistent for Checkpoint {
    fn check(&self) -> Result<(), String> {
        expect(self.epoch > 0, "a network after no epoch")
    }
}

impl Consistent for LayerRecord {
    fn check(&self) -> Result<(), String> {
        let (n, P) = (self.h.len(), self.d_out.saturating_mul(self.d_in));
        expect((1..=P).contains(&n), "the number of directions")?;
        expect(self.c.len() == n && self.m2.len() == n, "diagonals of different lengths")?;
        expect(self.abs_h.as_ref().is_none_or(|abs_h| abs_h.len() == n), "diagonals of different lengths")?;
        expect(self.h.windows(2).all(|pair| pair[0] >= pair[1]), "eigenvalues are not descending")?;
        let AwdRecord { total, hh, hg, gg, hh_same, hh_local, .. } = &self.awd;
        let terms = [total, hh, hg, gg, hh_same, hh_local];
        let n_terms = total.diagonal.len();
        let fit = n_terms <= n && terms.iter().all(|term| term.diagonal.len() == n_terms);
        expect(fit, "the duality's diagonals of different lengths")?;
        for pair in [&self.c_in_h, &self.m2_in_h] {
            let is_window = |window: &layer_spectra::WindowRecord| window.first < window.end && window.end <= P;
            expect(!pair.windows.is_empty() && pair.windows.iter().all(is_window), "windows of directions")?;
        }
        expect(self.spectra.as_ref().is_none_or(LayerSpectra::is_consistent), "spectra")
    }
}

impl Consistent for MomentsRecord {
    fn check(&self) -> Result<(), String> {
        let n = self.order.saturating_mul(self.order.saturating_add(1)) / 2;
        expect([&self.H, &self.M2, &self.Sigma].iter().all(|A| A.len() == n), "matrices of different orders")
    }
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
    AboutRecord: "run", 5;
    TrainingRecord: "training", 1;
    StateRecord: "training-state", 1;
    Checkpoint: "checkpoint", 1;
    LayerRecord: "layer", 2;
    MomentsRecord: "moments", 1;
}
