//! What a pass over the samples leaves at a layer whose weight is used once for each of them.

use super::loss::{GraphCurvatureError, block_of, finite_matrix};
use crate::{
    KroneckerShape, LayerMoments, PerSampleHessian, Symmetry, kronecker_moments, outer_product_vech, vech, vech_len,
};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;
use superlinear_nets::{
    GraphPasses, GraphSamples, LayerUse, Model, Objective, SingleProductLayer, Variables, WeightOrder,
};

/// Samples whose `S_p` are made together: those that a task of [`kronecker_moments`] fills.
const TOGETHER: usize = crate::kronecker_moment::FILL;

/// Activities and pre-activation gradients of `N` samples at a layer with `h_p = S_p ⊗ a_p a_pᵀ` (columns are samples).
///
/// The objective's penalty is no function of pre-activations; moments here leave it out.
#[derive(Debug)]
pub struct SingleProductSamples<'a, S> {
    model: &'a Model<f64>,
    objective: Objective,
    samples: &'a S,
    layer: SingleProductLayer,
    /// `a_p`, `d_in × N`.
    pub activities: Mat<f64>,
    /// `δ_p = ∂ℓ_p/∂z_p`, `d_out × N`.
    pub deltas: Mat<f64>,
}

/// `S_p` of some samples in a row.
#[derive(Debug)]
struct Curvatures {
    passes: GraphPasses<f64>,
    held: Range<usize>,
    /// `[sample][column][row]`.
    S: Vec<f64>,
}

impl<'a, S: GraphSamples<f64>> SingleProductSamples<'a, S> {
    /// Runs all samples through `model` and keeps what `layer` sees.
    ///
    /// # Errors
    /// When the samples do not fit, or an activity or gradient is not finite.
    pub fn collect(
        model: &'a Model<f64>,
        layer: SingleProductLayer,
        objective: Objective,
        samples: &'a S,
    ) -> Result<Self, GraphCurvatureError> {
        let graph = model.graph();
        graph.accepts(samples, &objective)?;
        let (N, own) = (samples.n_samples(), layer.layer_use());
        let (d_in, d_out) = (own.d_in, own.d_out);
        let mut activities = vec![0.0; d_in * N];
        let mut deltas = vec![0.0; d_out * N];
        let block = block_of(model);
        let values = Variables::values(graph, &[layer.pre_activation()]);
        let blocks = activities.par_chunks_mut(d_in * block).zip(deltas.par_chunks_mut(d_out * block)).enumerate();
        let passes = || GraphPasses::new(graph, objective.clone(), values.clone());
        let found: Result<Vec<()>, GraphCurvatureError> = blocks
            .map_init(passes, |passes, (b, (activities, deltas))| {
                let first = b * block;
                passes.evaluate(model, samples, first..N.min(first + block))?;
                deltas.copy_from_slice(passes.delta(layer.pre_activation()));
                let input = passes.value(model, layer.input());
                let of_sample = input.len() / passes.n_samples();
                for (a, input) in activities.chunks_exact_mut(d_in).zip(input.chunks_exact(of_sample)) {
                    passes.activities(model, layer.pre_activation(), input, a);
                }
                Ok(())
            })
            .collect();
        found?;
        let columns = |flat: &[f64], d: usize| Mat::from_fn(d, N, |i, p| flat[p * d + i]);
        let (activities, deltas) = (columns(&activities, d_in), columns(&deltas, d_out));
        finite_matrix("activities", activities.as_ref())?;
        finite_matrix("pre-activation gradients", deltas.as_ref())?;
        Ok(Self { model, objective, samples, layer, activities, deltas })
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.activities.ncols()
    }

    /// `P = d_out · d_in`.
    pub fn n_params(&self) -> usize {
        self.activities.nrows() * self.deltas.nrows()
    }

    /// `H`, `M₂` and `E_p[g gᵀ]`, means over the samples, in the order of the weight's entries.
    ///
    /// About `3·N·P²/2` flops beside the graph's `d_out` tangents for every sample.
    pub fn moments(&self) -> LayerMoments {
        let moments = self.kronecker(3, |S, square, p, left| {
            let a = self.activities.col_as_slice(p);
            let norm_squared: f64 = a.iter().map(|a| a * a).sum();
            matmul(square.as_mut(), Accum::Replace, S, S, norm_squared, Par::Seq);
            let (first, rest) = left.split_at_mut(vech_len(S.nrows()));
            let (second, third) = rest.split_at_mut(vech_len(S.nrows()));
            vech(S.as_ref(), first);
            vech(square.as_ref(), second);
            outer_product_vech(1.0, self.deltas.col_as_slice(p), third);
        });
        let [H, M2, gradient_second_moment] = <[_; 3]>::try_from(moments).expect("three moments were asked for");
        LayerMoments { H, M2, gradient_second_moment }
    }

    /// `H` alone.
    pub(super) fn hessian(&self) -> Mat<f64> {
        self.kronecker(1, |S, _, _, left| vech(S.as_ref(), left)).remove(0)
    }

    /// `M₂` alone.
    pub(super) fn second_moment(&self) -> Mat<f64> {
        let of_sample = |S: &Mat<f64>, square: &mut Mat<f64>, p: usize, left: &mut [f64]| {
            let norm_squared: f64 = self.activities.col_as_slice(p).iter().map(|a| a * a).sum();
            matmul(square.as_mut(), Accum::Replace, S, S, norm_squared, Par::Seq);
            vech(square.as_ref(), left);
        };
        self.kronecker(1, of_sample).remove(0)
    }

    /// Calls `each(S_p)` for the samples of `range` in order.
    pub fn for_each_curvature(&self, range: Range<usize>, mut each: impl FnMut(usize, &Mat<f64>)) {
        let mut curvatures = self.curvatures();
        let mut S = Mat::zeros(self.deltas.nrows(), self.deltas.nrows());
        for p in range {
            self.curvature(&mut curvatures, p, S.as_mut());
            each(p, &S);
        }
    }

    /// `h_p` of the samples of `range`, whose `S_p` are computed side by side.
    pub(super) fn hessians(&self, range: Range<usize>) -> Vec<PerSampleHessian> {
        let d_out = self.deltas.nrows();
        let parts: Vec<Range<usize>> =
            range.clone().step_by(TOGETHER).map(|first| first..range.end.min(first + TOGETHER)).collect();
        let part = |curvatures: &mut Curvatures, part: Range<usize>| {
            let hessian = |p: usize| {
                let mut S = Mat::zeros(d_out, d_out);
                self.curvature(curvatures, p, S.as_mut());
                PerSampleHessian::new(S, self.activities.col_as_slice(p).to_vec())
            };
            part.map(hessian).collect::<Vec<_>>()
        };
        parts.into_par_iter().map_init(|| self.curvatures(), part).flatten().collect()
    }

    /// The layer.
    pub(super) fn layer_use(&self) -> LayerUse {
        self.layer.layer_use()
    }

    fn curvatures(&self) -> Curvatures {
        let values = Variables::values(self.model.graph(), &[self.layer.pre_activation()]);
        let passes = GraphPasses::new(self.model.graph(), self.objective.clone(), values);
        Curvatures { passes, held: 0..0, S: Vec::new() }
    }

    /// `S_p`, symmetric to the last bit.
    fn curvature(&self, at: &mut Curvatures, p: usize, mut S: MatMut<'_, f64>) {
        let d = self.deltas.nrows();
        if !at.held.contains(&p) {
            let first = p / TOGETHER * TOGETHER;
            at.held = first..self.n_samples().min(first + TOGETHER);
            at.passes.evaluate(self.model, self.samples, at.held.clone()).expect("all samples were passed before");
            at.S = at.passes.curvature(self.model);
        }
        let own = p - at.held.start;
        S.copy_from(MatRef::from_column_major_slice(&at.S[own * d * d..(own + 1) * d * d], d, d));
    }

    /// Moments `E_p[A_p ⊗ a_p a_pᵀ]`, with `vech(A_p)` written by `fill(S_p, scratch, p, to)`.
    fn kronecker(
        &self,
        n_moments: usize,
        fill: impl Fn(&Mat<f64>, &mut Mat<f64>, usize, &mut [f64]) + Sync + Send,
    ) -> Vec<Mat<f64>> {
        let (d_out, d_in, n_samples) = (self.deltas.nrows(), self.activities.nrows(), self.n_samples());
        let shape = KroneckerShape { symmetry: Symmetry::Symmetric, n_samples, n_moments, d_out, d_in };
        let moments = kronecker_moments(
            shape,
            || (self.curvatures(), Mat::<f64>::zeros(d_out, d_out), Mat::<f64>::zeros(d_out, d_out)),
            |(at, S, square), p, left, right| {
                self.curvature(at, p, S.as_mut());
                fill(S, square, p, left);
                outer_product_vech(1.0, self.activities.col_as_slice(p), right);
            },
        );
        let own = self.layer.layer_use();
        let (P, place) = (d_out * d_in, |row: usize| own.weight(row / d_in, row % d_in));
        let in_order = |moment: Mat<f64>| match own.weight {
            WeightOrder::OutIn => moment,
            WeightOrder::InOut => {
                let mut ordered = Mat::zeros(P, P);
                for j in 0..P {
                    for i in 0..P {
                        ordered[(place(i), place(j))] = moment[(i, j)];
                    }
                }
                ordered
            }
        };
        moments.into_iter().map(in_order).collect()
    }
}
