//! What every sample contributes to the diagonals of `Σ`, `H` and `M₂` in a fixed basis, block by block.
//!
//! A diagonal in a fixed basis is a mean over samples of one number each, so that a resample of the samples is a
//! weighted mean of these numbers and needs no `P × P` matrix. With `V_i` the `d_out × d_in` matrix of the direction
//! `v_i` (row-major) and `u = V_i a_p`, the forms of `MATH [19]` are
//!
//! ```text
//! g_p·v_i = δ_p·u,   v_iᵀh_p v_i = uᵀS_p u,   v_iᵀh_p²v_i = ‖a_p‖²‖S_p u‖²
//! ```
//!
//! The images `u` of a block of samples along some directions are one matrix product, and so are `S_p u` and `δ_p·u` of
//! all directions of one sample. Neither a gradient nor a Hessian of length or order `P` is formed.

use crate::{AnalysedLayer, SampleFactors, range_eigen};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Samples a visit: deep enough for a weighted sum over them to run at the speed of a matrix product.
const BLOCK: usize = 1024;
/// Directions a task, and samples whose images it holds at a time: together they stay in a core's cache.
const DIRECTIONS: usize = 32;
const IMAGES: usize = 64;

/// Whether `v_iᵀ|h_p|v_i` is wanted too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsoluteCurvature {
    /// It is not: for PSD `h_p` it equals `v_iᵀh_p v_i`.
    Skip,
    /// One `d_out × d_out` eigenproblem a sample more.
    Compute,
}

/// Contributions of samples `first..first + n` along all `k` directions; each panel is `n × k`, a column a direction.
#[derive(Clone, Copy, Debug)]
pub struct DirectionalPanels<'a> {
    /// The first sample of the block.
    pub first: usize,
    /// `g_p·v_i`, not centred.
    pub gradient: MatRef<'a, f64>,
    /// `v_iᵀh_p v_i`.
    pub curvature: MatRef<'a, f64>,
    /// `v_iᵀh_p²v_i = ‖h_p v_i‖²`, never negative.
    pub squared_curvature: MatRef<'a, f64>,
    /// `v_iᵀ|h_p|v_i`, if asked for.
    pub absolute_curvature: Option<MatRef<'a, f64>>,
}

/// Hands the contributions of all samples to `visit`, block after block in the order of the samples, along every column
/// `v_i` of `V` (`P × k`, any vectors).
///
/// Means over all samples (`1/N`) are the diagonals `v_iᵀHv_i`, `v_iᵀM₂v_i` and `v_iᵀE|h|v_i`, and the variance of the
/// gradient's panel (divided by `N`) is `v_iᵀΣv_i`. About `2Nk(P + d_out²)` flops; memory is three or four `1,024 × k`
/// panels and that many `S_p`, whatever `N`. Bit-identical for any number of threads of the current rayon pool; `visit`
/// runs on the calling one.
///
/// # Panics
/// When `V` has not `P` rows.
#[track_caller]
pub fn directional_contributions(
    layer: &AnalysedLayer,
    V: MatRef<'_, f64>,
    absolute: AbsoluteCurvature,
    mut visit: impl FnMut(DirectionalPanels<'_>),
) {
    let (n_samples, k) = (layer.n_samples(), V.ncols());
    assert_eq!(V.nrows(), layer.n_params(), "V has P rows");
    let n_panels = match absolute {
        AbsoluteCurvature::Skip => 3,
        AbsoluteCurvature::Compute => 4,
    };
    let mut forms: Vec<SampleForms> = (0..BLOCK.min(n_samples)).map(|_| SampleForms::new(layer.d_out())).collect();
    // A column a direction, and in it one panel's samples after the other's.
    let mut panels = vec![0.0; forms.len() * n_panels * k];
    for first in (0..n_samples).step_by(BLOCK) {
        let n = BLOCK.min(n_samples - first);
        let forms = &mut forms[..n];
        forms.par_iter_mut().enumerate().for_each_init(
            || layer.curvatures(),
            |curvatures, (row, forms)| forms.set(curvatures.at(first + row), absolute),
        );
        let height = n_panels * n;
        let panels = &mut panels[..height * k];
        panels.par_chunks_mut(height * DIRECTIONS).enumerate().for_each_init(
            || Scratch::new(layer.d_out(), layer.d_in()),
            |scratch, (chunk, panels)| {
                let V = V.subcols(chunk * DIRECTIONS, panels.len() / height);
                scratch.fill(V, layer.activities().subcols(first, n), forms, panels);
            },
        );
        let panels = MatRef::from_column_major_slice(panels, height, k);
        visit(DirectionalPanels {
            first,
            gradient: panels.subrows(0, n),
            curvature: panels.subrows(n, n),
            squared_curvature: panels.subrows(2 * n, n),
            absolute_curvature: (n_panels == 4).then(|| panels.subrows(3 * n, n)),
        });
    }
}

/// The linear and quadratic forms in `u` of one sample.
struct SampleForms {
    /// `S` above `δᵀ`, and above rows `√|s_m| t_mᵀ` where the absolute value is wanted.
    rows: Mat<f64>,
    norm_squared: f64,
}

impl SampleForms {
    fn new(d_out: usize) -> Self {
        Self { rows: Mat::zeros(d_out + 1, d_out), norm_squared: 0.0 }
    }

    fn set(&mut self, sample: SampleFactors<'_>, absolute: AbsoluteCurvature) {
        let SampleFactors { delta, S, .. } = sample;
        let d_out = delta.len();
        if absolute == AbsoluteCurvature::Compute {
            let (s, t) = range_eigen(S);
            self.rows.resize_with(d_out + 1 + s.len(), d_out, |_, _| 0.0);
            for (m, s) in s.iter().enumerate() {
                (0..d_out).for_each(|o| self.rows[(d_out + 1 + m, o)] = s.abs().sqrt() * t[(o, m)]);
            }
        }
        self.rows.as_mut().subrows_mut(0, d_out).copy_from(S);
        delta.iter().enumerate().for_each(|(o, delta)| self.rows[(d_out, o)] = *delta);
        self.norm_squared = sample.norm_squared();
    }
}

/// What a task reuses.
struct Scratch {
    /// Columns of `V`, one behind the other: `V_iᵀ` side by side, `d_in × (d_out · directions)`.
    transposed: Vec<f64>,
    /// `V_i a_p`: a column a sample, and in it one direction after the other.
    images: Vec<f64>,
    d_out: usize,
}

impl Scratch {
    fn new(d_out: usize, d_in: usize) -> Self {
        Self { transposed: vec![0.0; d_in * d_out * DIRECTIONS], images: vec![0.0; d_out * DIRECTIONS * IMAGES], d_out }
    }

    /// Fills all panels of the directions `V` over the samples whose activities and forms are given.
    fn fill(&mut self, V: MatRef<'_, f64>, activities: MatRef<'_, f64>, forms: &[SampleForms], panels: &mut [f64]) {
        let (P, k) = V.shape();
        let (d_out, d_in, n) = (self.d_out, activities.nrows(), activities.ncols());
        MatMut::from_column_major_slice_mut(&mut self.transposed[..P * k], P, k).copy_from(V);
        let transposed = MatRef::from_column_major_slice(&self.transposed[..P * k], d_in, d_out * k);
        let height = panels.len() / k;
        let mut products = Mat::<f64>::new();
        for start in (0..n).step_by(IMAGES) {
            let count = IMAGES.min(n - start);
            let images = &mut self.images[..d_out * k * count];
            let target = MatMut::from_column_major_slice_mut(images, d_out * k, count);
            let activities = activities.subcols(start, count);
            matmul(target, Accum::Replace, transposed.transpose(), activities, 1.0, Par::Seq);
            for (offset, images) in images.chunks_exact(d_out * k).enumerate() {
                let row = start + offset;
                let SampleForms { rows, norm_squared } = &forms[row];
                let u = MatRef::from_column_major_slice(images, d_out, k);
                products.resize_with(rows.nrows(), k, |_, _| 0.0);
                matmul(products.as_mut(), Accum::Replace, rows, u, 1.0, Par::Seq);
                for (i, panels) in panels.chunks_exact_mut(height).enumerate() {
                    let (S_u, rest) = products.col_as_slice(i).split_at(d_out);
                    panels[row] = rest[0];
                    panels[n + row] = images[i * d_out..(i + 1) * d_out].iter().zip(S_u).map(|(u, S_u)| u * S_u).sum();
                    panels[2 * n + row] = norm_squared * squared_norm(S_u);
                    if height == 4 * n {
                        panels[3 * n + row] = squared_norm(&rest[1..]);
                    }
                }
            }
        }
    }
}

fn squared_norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{absolute_hessian, layer_moments};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};

    fn layer(activation: Activation, loss: Loss, n_samples: usize) -> AnalysedLayer {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let net = Network::<f64>::init(Architecture::mlp(&[4, 5, 7, 3], activation).unwrap(), &mut rng);
        let inputs = Mat::from_fn(4, n_samples, |_, _| 4.0 * rng.random::<f64>() - 2.0);
        let labels = (0..n_samples).map(|p| (p % 3) as u8).collect();
        AnalysedLayer::collect(&net, 1, loss, &DenseSamples::new(inputs, labels)).unwrap()
    }

    /// All four panels over all samples.
    fn collect(layer: &AnalysedLayer, V: MatRef<'_, f64>) -> [Mat<f64>; 4] {
        let mut all: [Mat<f64>; 4] = std::array::from_fn(|_| Mat::zeros(layer.n_samples(), V.ncols()));
        let mut next = 0;
        directional_contributions(layer, V, AbsoluteCurvature::Compute, |panels| {
            assert_eq!(panels.first, next);
            next += panels.gradient.nrows();
            let of = [
                panels.gradient,
                panels.curvature,
                panels.squared_curvature,
                panels.absolute_curvature.expect("asked for"),
            ];
            for (all, panel) in all.iter_mut().zip(of) {
                all.as_mut().subrows_mut(panels.first, panel.nrows()).copy_from(panel);
            }
        });
        assert_eq!(next, layer.n_samples());
        all
    }

    /// Every sample's vector and dense matrix of length and order `P`, along more directions than a task takes.
    #[test]
    fn contributions_are_forms_of_dense_gradients_and_hessians() {
        let layer = layer(Activation::Tanh, Loss::SoftmaxMse, 70);
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let V = Mat::from_fn(35, 2 * DIRECTIONS + 5, |_, _| rng.random::<f64>() - 0.5);
        let [gradient, curvature, squared, absolute] = collect(&layer, V.as_ref());
        let all: Vec<usize> = (0..layer.n_samples()).collect();
        for (p, h) in crate::per_sample_hessians(&layer, &all).iter().enumerate() {
            let dense = h.to_dense();
            let (delta, a) = (layer.delta(p), layer.a(p));
            let eigen = dense.self_adjoint_eigen(faer::Side::Lower).unwrap();
            for i in 0..V.ncols() {
                let v = V.col(i);
                let g: f64 = (0..35).map(|r| delta[r / 5] * a[r % 5] * v[r]).sum();
                let h_v = &dense * v;
                let cosines = eigen.U().transpose() * v;
                let abs: f64 = (0..35).map(|m| eigen.S()[m].abs() * cosines[m] * cosines[m]).sum();
                let close = |found: f64, truth: f64, unit: f64| (found - truth).abs() <= 1e-13 * unit;
                let norm = h.norm();
                assert!(close(gradient[(p, i)], g, squared_norm(delta).sqrt() * squared_norm(a).sqrt() * 2.0));
                assert!(close(curvature[(p, i)], v.transpose() * &h_v, norm * 4.0));
                assert!(close(squared[(p, i)], h_v.squared_norm_l2(), norm * norm * 4.0));
                assert!(close(absolute[(p, i)], abs, norm * 8.0));
            }
        }
    }

    /// More samples than a block holds; the number of them divides nothing.
    #[test]
    fn means_are_the_diagonals_of_the_moments() {
        let layer = layer(Activation::Tanh, Loss::SoftmaxMse, 2 * BLOCK + 131);
        let moments = layer_moments(&layer);
        let absolute = absolute_hessian(&layer);
        let V = moments.H.self_adjoint_eigen(faer::Side::Lower).unwrap().U().to_owned();
        let panels = collect(&layer, V.as_ref());
        let n = layer.n_samples() as f64;
        let squares = Mat::from_fn(layer.n_samples(), 35, |p, i| panels[0][(p, i)].powi(2));
        let truths = [&moments.gradient_second_moment, &moments.H, &moments.M2, &absolute];
        for (panel, A) in [&squares, &panels[1], &panels[2], &panels[3]].into_iter().zip(truths) {
            let scale = A.norm_max();
            for i in 0..35 {
                let truth = V.col(i).transpose() * A * V.col(i);
                let mean = panel.col(i).iter().sum::<f64>() / n;
                assert!((mean - truth).abs() < 1e-13 * scale, "direction {i}: {mean:e}, expected {truth:e}");
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let layer = layer(Activation::Relu, Loss::CrossEntropy, BLOCK + 77);
        let V = Mat::from_fn(35, 35, |i, j| ((3 * i + 5 * j) % 7) as f64 - 3.0);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| collect(&layer, V.as_ref()))
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one);
        // Behind a piecewise-linear tail and under cross-entropy |h| = h.
        assert!((&one[3] - &one[1]).norm_max() < 1e-12 * one[1].norm_max());
        directional_contributions(&layer, V.as_ref(), AbsoluteCurvature::Skip, |panels| {
            assert!(panels.absolute_curvature.is_none());
            let same = one[1].subrows(panels.first, panels.curvature.nrows());
            assert!((panels.curvature - same).norm_max() < 1e-14 * one[1].norm_max());
        });
    }

    #[test]
    fn no_directions_are_visited_all_the_same() {
        let layer = layer(Activation::Relu, Loss::CrossEntropy, 3);
        let mut visits = 0;
        directional_contributions(&layer, Mat::zeros(35, 0).as_ref(), AbsoluteCurvature::Skip, |panels| {
            assert_eq!(panels.gradient.shape(), (3, 0));
            visits += 1;
        });
        assert_eq!(visits, 1);
    }
}
