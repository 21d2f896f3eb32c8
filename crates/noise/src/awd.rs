//! Activity–weight duality: every term of its noise covariance, in closed form (`MATH [8]–[12]`).

use crate::{NoiseError, Partners};
use faer::linalg::matmul::matmul;
use faer::{Accum, ColMut, Mat, Par, unzip, zip};
use rayon::prelude::*;
use superlinear_curvature::{
    AnalysedLayer, LayerMoments, NotGiven, SampleFactors, Symmetry, kronecker_moments, layer_moments_with,
    outer_product_vech, range_eigen, skew_product_vech, symmetric_product_vech, vech, vech_len,
};

/// The dual of every sample's matched activity shift, and the gradient's response to it (columns are samples).
///
/// The minimal-norm weight perturbation `ΔW_p = (WΔa_p) a_pᵀ/‖a_p‖²` moves the pre-activation as the shift
/// `Δa_p = a_q − a_p` to the partner `q` does. To first order in `Δa` the partner's gradient is `g_q ≈ g_p + x_p + y_p`
/// with `x_p = h_p Δw_p = (S_p W Δa_p) ⊗ a_p` and `y_p = (∂Δw_p/∂w)ᵀ g_p = δ_p ⊗ Δa_p`. A sample with `a_p = 0` has no
/// dual, so `x_p = 0`, but its partner's gradient differs all the same and `y_p` stays.
#[derive(Clone, Debug)]
pub struct DualPerturbation {
    /// `Δa_p`, `d_in × N`.
    pub shifts: Mat<f64>,
    /// `WΔa_p`, `d_out × N`.
    pub pre_shifts: Mat<f64>,
    /// `S_p W Δa_p`, `d_out × N`.
    pub responses: Mat<f64>,
}

impl DualPerturbation {
    /// `Δw_p = (WΔa_p) ⊗ a_p/‖a_p‖²`, row-major `vec`, length `P`; zero for `a_p = 0`.
    ///
    /// # Panics
    /// When there is no such sample, in `layer` or here.
    #[track_caller]
    pub fn weight_shift(&self, layer: &AnalysedLayer, p: usize) -> Vec<f64> {
        let a = layer.a(p);
        let norm_squared: f64 = a.iter().map(|a| a * a).sum();
        let scale = if norm_squared == 0.0 { 0.0 } else { 1.0 / norm_squared };
        let shifts = self.pre_shifts.col_as_slice(p);
        shifts.iter().flat_map(|shift| a.iter().map(move |a| scale * shift * a)).collect()
    }
}

/// The dual perturbations of a layer's samples matched with `partners`.
///
/// # Errors
/// [`NotGiven::Weight`] for factors that were given without.
///
/// # Panics
/// When there is not one partner a sample.
#[track_caller]
pub fn dual_perturbation(layer: &AnalysedLayer, partners: &Partners) -> Result<DualPerturbation, NotGiven> {
    let (d_out, d_in, n_samples) = (layer.d_out(), layer.d_in(), layer.n_samples());
    assert_eq!(partners.of.len(), n_samples, "one partner a sample");
    let W = layer.weight()?;
    let a = layer.activities();
    let shifts = Mat::from_fn(d_in, n_samples, |i, p| a[(i, partners.of[p])] - a[(i, p)]);
    let mut pre_shifts = Mat::zeros(d_out, n_samples);
    matmul(pre_shifts.as_mut(), Accum::Replace, W, &shifts, 1.0, Par::Seq);
    let columns: Vec<Vec<f64>> = layer.map(|SampleFactors { p, S, .. }| {
        let shift = pre_shifts.col_as_slice(p);
        // S is symmetric, so its columns are its rows.
        S.col_iter().map(|column| column.iter().zip(shift).map(|(s, x)| s * x).sum()).collect()
    });
    let responses = Mat::from_fn(d_out, n_samples, |o, p| columns[p][o]);
    Ok(DualPerturbation { shifts, pre_shifts, responses })
}

/// Moments over samples that every term of the duality is made of (means over `p`, `1/N`; no batch size, no ½).
#[derive(Clone, Debug)]
pub struct AwdMoments {
    /// `E_p[x xᵀ] = E_p[(SWΔa)(SWΔa)ᵀ ⊗ aaᵀ]`.
    pub xx: Mat<f64>,
    /// `E_p[x yᵀ + y xᵀ]`.
    pub xy: Mat<f64>,
    /// `E_p[y yᵀ] = E_p[δδᵀ ⊗ ΔaΔaᵀ]`.
    pub yy: Mat<f64>,
    /// `E_p[Σ_m κ_m² (u_mᵀΔw)² u_m u_mᵀ] = E_p[(Σ_m s_m² (t_mᵀWΔa)² t_m t_mᵀ) ⊗ aaᵀ]`: only the diagonal of the local
    /// perturbation covariance kept, `MATH [11]`.
    pub local_diagonal: Mat<f64>,
    /// `E_p[x]`, length `P`.
    pub x_mean: Vec<f64>,
    /// `E_p[y]`, length `P`.
    pub y_mean: Vec<f64>,
}

/// [`LayerMoments`] and [`AwdMoments`] together, in four streamed products: five moments share the right factor `aaᵀ`,
/// `E[yyᵀ]` has `ΔaΔaᵀ`, and `E[xyᵀ + yxᵀ]` is the sum of a symmetric and a skew one.
///
/// About `8·N·P²/2` flops.
///
/// # Panics
/// When `dual` is that of a layer of another shape.
#[track_caller]
pub fn awd_moments(layer: &AnalysedLayer, dual: &DualPerturbation) -> (LayerMoments, AwdMoments) {
    let d_out = layer.d_out();
    let n_left = vech_len(d_out);
    let (moments, extra) = layer_moments_with(layer, 2, |sample, left| {
        let (response, local) = left.split_at_mut(n_left);
        outer_product_vech(1.0, dual.responses.col_as_slice(sample.p), response);
        let (s, t) = range_eigen(sample.S);
        let shift = dual.pre_shifts.col_as_slice(sample.p);
        let scaled = Mat::from_fn(d_out, s.len(), |o, m| {
            let along: f64 = t.col_as_slice(m).iter().zip(shift).map(|(t, x)| t * x).sum();
            s[m] * along * t[(o, m)]
        });
        let mut sum = Mat::zeros(d_out, d_out);
        matmul(sum.as_mut(), Accum::Replace, &scaled, scaled.transpose(), 1.0, Par::Seq);
        vech(sum.as_ref(), local);
    });
    let [xx, local_diagonal] = <[_; 2]>::try_from(extra).expect("two further moments were asked for");
    let yy = kronecker_moments(
        layer.moment_shape(Symmetry::Symmetric, 1),
        || (),
        |(), p, left, right| {
            outer_product_vech(1.0, layer.delta(p), left);
            outer_product_vech(1.0, dual.shifts.col_as_slice(p), right);
        },
    )
    .remove(0);
    // x yᵀ + y xᵀ = (r δᵀ) ⊗ (a Δaᵀ) + its transpose = 2 (sym ⊗ sym + skew ⊗ skew), r = SWΔa.
    let part = |symmetry, product: fn(&[f64], &[f64], &mut [f64])| {
        kronecker_moments(
            layer.moment_shape(symmetry, 1),
            || (),
            |(), p, left, right| {
                product(dual.responses.col_as_slice(p), layer.delta(p), left);
                product(layer.a(p), dual.shifts.col_as_slice(p), right);
            },
        )
        .remove(0)
    };
    let mut xy = part(Symmetry::Symmetric, symmetric_product_vech);
    let skew = part(Symmetry::Skew, skew_product_vech);
    let columns = xy.as_mut().par_col_chunks_mut(COLUMNS).zip(skew.par_col_chunks(COLUMNS));
    columns.for_each(|(mut xy, skew)| zip!(&mut xy, &skew).for_each(|unzip!(x, skew)| *x = 2.0 * (*x + *skew)));
    let x_mean = mean_outer(&dual.responses, layer.activities());
    let y_mean = mean_outer(layer.deltas(), &dual.shifts);
    (moments, AwdMoments { xx, xy, yy, local_diagonal, x_mean, y_mean })
}

/// `(1/N) Σ_p u_p ⊗ v_p`, row-major `vec`.
fn mean_outer(u: &Mat<f64>, v: &Mat<f64>) -> Vec<f64> {
    let mut mean = Mat::zeros(u.nrows(), v.nrows());
    matmul(mean.as_mut(), Accum::Replace, u, v.transpose(), 1.0 / u.ncols() as f64, Par::Seq);
    (0..u.nrows()).flat_map(|o| (0..v.nrows()).map(move |i| (o, i))).map(|index| mean[index]).collect()
}

/// The terms of the duality's noise covariance for batches of `B`, each `P × P` and symmetric.
///
/// The difference of two batch gradients is `(1/B) Σ (x_p + y_p)`, and `C = ½ E[· ·ᵀ]`. "Same-sample" parts keep only
/// pairs `p = p'` inside a batch: `(1/2B) E_p[…]`.
#[derive(Clone, Debug)]
pub struct AwdTerms {
    /// `C^hh = ½ E_ν[x̄ x̄ᵀ]`.
    pub hh: Mat<f64>,
    /// `C^hg = ½ E_ν[x̄ ȳᵀ + ȳ x̄ᵀ]`, symmetrised, possibly indefinite.
    pub hg: Mat<f64>,
    /// `C^gg = ½ E_ν[ȳ ȳᵀ]`.
    pub gg: Mat<f64>,
    /// Same-sample part of `C^hh`, "SD".
    pub hh_same: Mat<f64>,
    /// Same-sample part of `C^hg`.
    pub hg_same: Mat<f64>,
    /// Same-sample part of `C^gg`.
    pub gg_same: Mat<f64>,
    /// `C^hh` with only the diagonal of the local perturbation covariance, "SD,WD".
    pub hh_local: Mat<f64>,
}

impl AwdTerms {
    /// `C_AWD = C^hh + C^hg + C^gg`, positive semidefinite up to rounding.
    pub fn total(&self) -> Mat<f64> {
        &self.hh + &self.hg + &self.gg
    }
}

/// All terms in expectation over random batches of `B` distinct samples, in closed form, `MATH [10]`:
/// `E_ν[x̄x̄ᵀ] = (1/B) E[xxᵀ] + ((B−1)/B) (N x̄x̄ᵀ − E[xxᵀ])/(N−1)` with `x̄ = E_p[x]`, and likewise for `x y` and
/// `y y`.
///
/// # Errors
/// When `B` is 0, or `B > N`.
pub fn awd_terms(moments: AwdMoments, batch: usize, n_samples: usize) -> Result<AwdTerms, NoiseError> {
    if batch == 0 || batch > n_samples {
        return Err(NoiseError::BatchSize { batch, n_samples });
    }
    let (B, N) = (batch as f64, n_samples as f64);
    // Weights of the mean of products and of the product of means, the ½ included; one sample has no pairs.
    let pairs = if n_samples == 1 { 0.0 } else { (B - 1.0) / (B * (N - 1.0)) };
    let (of_products, of_means) = (0.5 * (1.0 / B - pairs), 0.5 * N * pairs);
    let AwdMoments { xx, xy, yy, local_diagonal, x_mean, y_mean } = moments;
    // The expectation beside the products, which become the same-sample part in place.
    let both = |mut products: Mat<f64>, left: &[f64], right: &[f64]| {
        let P = products.ncols();
        let mut term = Mat::zeros(P, P);
        let columns = products.as_mut().par_col_chunks_mut(COLUMNS).zip(term.as_mut().par_col_chunks_mut(COLUMNS));
        columns.enumerate().for_each(|(chunk, (mut products, mut term))| {
            for k in 0..products.ncols() {
                let j = chunk * COLUMNS + k;
                let products = contiguous(products.as_mut().col_mut(k));
                let term = contiguous(term.as_mut().col_mut(k));
                for (i, (x, same)) in term.iter_mut().zip(products).enumerate() {
                    // Both orders, so that the term is symmetric to the last bit; for left = right each counts half.
                    let means = left[i] * right[j] + right[i] * left[j];
                    *x = of_products * *same + 0.5 * of_means * means;
                    *same *= 0.5 / B;
                }
            }
        });
        (term, products)
    };
    let (hh, hh_same) = both(xx, &x_mean, &x_mean);
    let (gg, gg_same) = both(yy, &y_mean, &y_mean);
    // x̄ȳᵀ + ȳx̄ᵀ is twice the symmetrised product.
    let doubled: Vec<f64> = y_mean.iter().map(|y| 2.0 * y).collect();
    let (hg, hg_same) = both(xy, &x_mean, &doubled);
    let mut hh_local = local_diagonal;
    hh_local.as_mut().par_col_chunks_mut(COLUMNS).for_each(|mut columns| columns *= faer::Scale(0.5 / B));
    Ok(AwdTerms { hh, hg, gg, hh_same, hg_same, gg_same, hh_local })
}

/// Columns of a `P × P` matrix that make one task.
const COLUMNS: usize = 32;

fn contiguous(column: ColMut<'_, f64>) -> &mut [f64] {
    column.try_as_col_major_mut().expect("columns are contiguous").as_slice_mut()
}

/// `σ_w²` of `MATH [12]`, fitted so that `tr C^hh,SD = (σ_w²/2B) tr M₂`; 0 when `M₂ = 0`.
///
/// `σ_w² = 2B · tr C^hh,SD / tr M₂ = tr E_p[xxᵀ] / tr M₂`: the mean squared component of `Δw` along the range of `h`,
/// weighted by squared curvature.
pub fn weight_variance(hh_same: &Mat<f64>, M2: &Mat<f64>, batch: usize) -> f64 {
    let trace = |A: &Mat<f64>| (0..A.nrows()).map(|i| A[(i, i)]).sum::<f64>();
    let denominator = trace(M2);
    if denominator == 0.0 { 0.0 } else { 2.0 * batch as f64 * trace(hh_same) / denominator }
}

/// How evenly `Δw` spreads over the range of the per-sample Hessians.
#[derive(Clone, Debug, PartialEq)]
pub struct Isotropy {
    /// `E_p[(u_m^{(p)} · Δw_p)²]` by rank `m` of `|κ_m|`, over the samples whose Hessian has that rank.
    pub variance_by_rank: Vec<f64>,
    /// How many samples each mean is over.
    pub n_by_rank: Vec<usize>,
    /// Coefficient of variation of `variance_by_rank` over ranks, each weighted by its mean `κ_m²`: 0 for an isotropic
    /// `E[ΔwΔwᵀ|p]`. It compares ranks, each a mean over samples: where the variance differs between samples, it can be
    /// small all the same.
    pub anisotropy: f64,
}

/// Measures the isotropy that the theorem of `MATH [12]` assumes, on the ranks whose curvature is not rounding
/// (`|κ_m| > 1e-12 max_m |κ_m|`).
///
/// With `u_m = t_m ⊗ a/‖a‖` the component is `u_m·Δw = t_mᵀWΔa/‖a‖`. Samples with `a = 0` or `S = 0` have no range.
///
/// # Panics
/// When `dual` is that of a layer of another shape.
#[track_caller]
pub fn isotropy(layer: &AnalysedLayer, dual: &DualPerturbation) -> Isotropy {
    let by_sample = layer.map(|sample| -> Vec<(f64, f64)> {
        let norm_squared = sample.norm_squared();
        if norm_squared == 0.0 {
            return Vec::new();
        }
        let (s, t) = range_eigen(sample.S);
        let ranked = (0..s.len()).filter(|&m| s[m].abs() > 1e-12 * s[0].abs());
        let component = |m: usize| -> f64 {
            t.col_as_slice(m).iter().zip(dual.pre_shifts.col_as_slice(sample.p)).map(|(t, x)| t * x).sum()
        };
        ranked.map(|m| (component(m).powi(2) / norm_squared, (s[m] * norm_squared).powi(2))).collect()
    });
    let n_ranks = by_sample.iter().map(Vec::len).max().unwrap_or(0);
    let (mut variance, mut weight, mut count) = (vec![0.0; n_ranks], vec![0.0; n_ranks], vec![0; n_ranks]);
    for (m, &(squared, kappa_squared)) in by_sample.iter().flat_map(|ranks| ranks.iter().enumerate()) {
        variance[m] += squared;
        weight[m] += kappa_squared;
        count[m] += 1;
    }
    for (variance, &n) in variance.iter_mut().zip(&count) {
        *variance /= n as f64;
    }
    let total: f64 = weight.iter().sum();
    let mean = variance.iter().zip(&weight).map(|(v, w)| v * w).sum::<f64>() / total;
    let spread = variance.iter().zip(&weight).map(|(v, w)| w * (v - mean).powi(2)).sum::<f64>() / total;
    let anisotropy = if mean > 0.0 { spread.sqrt() / mean } else { 0.0 };
    Isotropy { variance_by_rank: variance, n_by_rank: count, anisotropy }
}
