//! One run's analysis: the matrices of a dense layer, and the record that is made of them.

use crate::layer_spectra;
use crate::record::{AwdRecord, Checkpoint, LayerRecord, MomentsRecord, Term};
use crate::resample;
use crate::run_dir::LayerJob;
use crate::spec::RunSpec;
use crate::streams::{Stream, generator};
use anyhow::{Context, Result, bail};
use faer::Mat;
use std::time::Instant;
use superlinear_curvature::{AnalysedLayer, LayerMoments, absolute_hessian, largest_curvature};
use superlinear_datasets::{Dataset, Normalisation};
use superlinear_nets::{Loss, Network};
use superlinear_noise::{
    AwdTerms, DualPerturbation, PartnerPolicy, Partners, Sampling, awd_moments, awd_terms, batch_factor,
    choose_partners, dual_perturbation, gradient_covariance, isotropy, weight_variance,
};
use superlinear_spectra::{Eigh, diagonal_in_basis, eigh};
use superlinear_stats::Eigenspaces;
use superlinear_training::ImageSamples;

/// The matrices of an analysed layer, in the parameter basis.
pub struct LayerMatrices {
    /// The layer over the training images, in `f64`.
    pub layer: AnalysedLayer,
    /// `H = E_p[h_p]`.
    pub H: Mat<f64>,
    /// `M₂ = E_p[h_p²]`.
    pub M2: Mat<f64>,
    /// `Σ = E_p[g gᵀ] − ḡḡᵀ`.
    pub Sigma: Mat<f64>,
    /// Eigenpairs of `H`.
    pub eigen: Eigh,
    /// Every sample's partner.
    pub partners: Partners,
    /// The duals of the matched activity shifts.
    pub dual: DualPerturbation,
    /// The duality's terms.
    pub awd: AwdTerms,
    /// Seconds for all moments.
    moments_s: f64,
    /// Seconds for the eigenpairs.
    eigh_s: f64,
}

impl LayerMatrices {
    /// What `--keep moments` keeps of them.
    pub fn record(&self) -> MomentsRecord {
        let packed = |A: &Mat<f64>| (0..A.ncols()).flat_map(|j| (0..=j).map(move |i| A[(i, j)])).collect();
        MomentsRecord { order: self.H.nrows(), H: packed(&self.H), M2: packed(&self.M2), Sigma: packed(&self.Sigma) }
    }
}

/// Rebuilds the matrices of a run's dense layer at one checkpoint, over its training images.
///
/// # Errors
/// When the weights do not fit, a class has a single image, a number is not finite, or an eigendecomposition fails its
/// check.
pub fn layer_matrices(
    spec: &RunSpec,
    indices: &[usize],
    checkpoint: &Checkpoint,
    dense: usize,
    data: &Dataset,
) -> Result<LayerMatrices> {
    let context = |what: &str| format!("{}, epoch {}: {what}", spec.id(), checkpoint.epoch);
    if let Some(&index) = indices.iter().find(|&&i| i >= data.train.len()) {
        bail!("{}", context(&format!("training image {index} of a data set of {}", data.train.len())));
    }
    let images = ImageSamples::drawn(&data.train, indices.to_vec(), Normalisation::of(spec.dataset));
    let net = Network::<f32>::new(spec.architecture(), checkpoint.weights.clone())
        .with_context(|| context("weights"))?
        .cast::<f64>();
    let start = Instant::now();
    let layer = AnalysedLayer::collect(&net, dense, spec.loss, &images)
        .with_context(|| context(&format!("layer {}", dense + 1)))?;
    let partners = choose_partners(&layer, PartnerPolicy::PAPER, &mut generator(spec, Stream::Partners))
        .with_context(|| context("partners"))?;
    let dual = dual_perturbation(&layer, &partners)?;
    let (LayerMoments { H, M2, gradient_second_moment }, awd) = awd_moments(&layer, &dual);
    let Sigma = gradient_covariance(gradient_second_moment, &layer);
    let awd = awd_terms(awd, spec.batch, layer.n_samples())?;
    let moments_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let eigen = eigh(H.as_ref()).with_context(|| context("eigendecomposition of H"))?;
    let eigh_s = start.elapsed().as_secs_f64();
    Ok(LayerMatrices { layer, H, M2, Sigma, eigen, partners, dual, awd, moments_s, eigh_s })
}

/// The record of a run's dense layer, from its matrices.
///
/// # Errors
/// When a number is not finite, or an eigendecomposition fails its check.
pub fn analyse(spec: &RunSpec, job: LayerJob, matrices: LayerMatrices) -> Result<LayerRecord> {
    let LayerJob { epoch, dense, is_last } = job;
    let LayerMatrices { layer, H, M2, Sigma, eigen, partners, dual, awd, moments_s, eigh_s } = matrices;
    drop(H);
    let P = layer.n_params();
    let V_top = eigen.vectors.as_ref().subcols(0, spec.top.min(P));
    // The bounds look at every direction, and only of the trained network.
    let V = if is_last { eigen.vectors.as_ref() } else { V_top };
    let factor = batch_factor(spec.batch, layer.n_samples(), Sampling::WithReplacement)?;
    let context = |what: &str| format!("{}, epoch {}: {what}", spec.id(), epoch);
    let (Sigma_in_H, c_in_h) =
        layer_spectra::pair(Sigma.as_ref(), &eigen).with_context(|| context("C in the eigenbasis of H"))?;
    let (M2_in_H, m2_in_h) =
        layer_spectra::pair(M2.as_ref(), &eigen).with_context(|| context("M₂ in the eigenbasis of H"))?;
    let c = Sigma_in_H.diagonal().into_iter().take(V.ncols()).map(|sigma| factor * sigma).collect();
    let m2 = M2_in_H.diagonal().into_iter().take(V.ncols()).collect();
    let abs_h = match spec.loss {
        Loss::SoftmaxMse if is_last => Some(diagonal_in_basis(absolute_hessian(&layer).as_ref(), V)),
        // Behind a piecewise-linear tail the others have PSD per-sample Hessians, so E|h| = H.
        _ => None,
    };
    let (kappa_max, _) = largest_curvature(&layer);
    let isotropy = isotropy(&layer, &dual);
    let term = |matrix: &Mat<f64>| Term {
        norm: matrix.norm_l2(),
        trace: (0..P).map(|i| matrix[(i, i)]).sum(),
        diagonal: diagonal_in_basis(matrix.as_ref(), V_top),
    };
    let awd = AwdRecord {
        total: term(&awd.total()),
        hh: term(&awd.hh),
        hg: term(&awd.hg),
        gg: term(&awd.gg),
        hh_same: term(&awd.hh_same),
        hh_local: term(&awd.hh_local),
        weight_variance: weight_variance(&awd.hh_same, &M2, spec.batch),
        anisotropy: isotropy.anisotropy,
        variance_by_rank: isotropy.variance_by_rank,
        n_duplicates: partners.n_duplicates,
        n_zero_activities: partners.n_zero_activities,
    };
    let above_noise = eigen.values.partition_point(|&lambda| lambda > eigen.noise_floor);
    let start = Instant::now();
    let slopes = if is_last {
        let window = above_noise.min(spec.top);
        let V_window = eigen.vectors.as_ref().subcols(0, window);
        let spaces = Eigenspaces::above_noise(&eigen.values[..window], eigen.noise_floor);
        let mut draws = generator(spec, Stream::Resamples);
        let found = resample::slopes(&layer, V_window, &spaces, spec.n_resamples, &mut draws);
        Some(found.with_context(|| context("resamples"))?)
    } else {
        None
    };
    let slopes_s = start.elapsed().as_secs_f64();
    let spectra = match &spec.spectra {
        Some(settings) if is_last && dense == spec.target_dense() => {
            let input = layer_spectra::SpectralInput {
                layer: &layer,
                eigen: &eigen,
                C: (Sigma.as_ref(), &Sigma_in_H),
                M2: (M2.as_ref(), &M2_in_H),
                window: above_noise.min(spec.top).max(1),
            };
            let found = layer_spectra::layer_spectra(&input, settings, &mut generator(spec, Stream::Spectra));
            Some(found.with_context(|| context("spectra"))?)
        }
        _ => None,
    };
    let mut h = eigen.values;
    h.truncate(V.ncols());
    Ok(LayerRecord {
        epoch,
        dense,
        d_out: layer.d_out(),
        d_in: layer.d_in(),
        h,
        c,
        m2,
        abs_h,
        kappa_max,
        noise_floor: eigen.noise_floor,
        residual: eigen.residual,
        orthogonality: eigen.orthogonality,
        awd,
        c_in_h,
        m2_in_h,
        slopes,
        spectra,
        moments_s,
        eigh_s,
        slopes_s,
    })
}
