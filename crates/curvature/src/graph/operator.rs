//! Curvature of a graph as a linear operator: fixed parts of the samples, fixed blocks of a part, in order.

use super::loss::{GraphCurvatureError, GraphLoss, block_of, finite_matrix};
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::matmul::matmul;
use faer::matrix_free::LinOp;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use superlinear_nets::{
    EvaluatedGraph, Forms, GraphDirections, GraphPasses, GraphSamples, GraphSums, MemoryEstimate, Scalar,
};

/// Parts of the samples, each with sums of its own.
const PARTS: usize = 8;
/// Vectors that go through the graph together.
const GROUP: usize = 8;

/// Numbers that may be kept of the samples from one product to the next: half a GiB of doubles.
const KEPT: u64 = 1 << 26;

/// A symmetric `P × P` matrix that [`GraphLoss`] describes, known by its products with vectors.
///
/// Parts of the samples run on the current rayon pool; the result is the same to the last bit for any number of
/// threads, though not for other groupings of the vectors. What the graph gives for the samples is kept for the next
/// product, if that is half a GiB or less of doubles.
pub struct GraphOperator<'a, T, S> {
    of: GraphLoss<'a, T, S>,
    kind: Kind<T>,
    kept: Mutex<Vec<Part<T>>>,
}

/// What a part of the samples keeps from one product to the next.
#[derive(Debug)]
struct Part<T> {
    passes: GraphPasses<T>,
    /// All blocks, once they have been evaluated and if they fit.
    blocks: Vec<EvaluatedGraph<T>>,
    sums: Vec<GraphSums<T>>,
}

/// Which matrix.
#[derive(Clone, Debug)]
pub(super) enum Kind<T> {
    Hessian,
    GaussNewton,
    /// With the mean gradient.
    NoiseCovariance(Vec<T>),
    SecondMoment,
}

impl<'a, T: Scalar, S: GraphSamples<T>> GraphOperator<'a, T, S> {
    pub(super) fn new(of: GraphLoss<'a, T, S>, kind: Kind<T>) -> Self {
        Self { of, kind, kept: Mutex::default() }
    }

    /// `P`, its order.
    pub fn n_params(&self) -> usize {
        self.of.n_params()
    }

    /// What it is, for messages.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Hessian => "Hessian",
            Kind::GaussNewton => "Gauss–Newton",
            Kind::NoiseCovariance(_) => "noise covariance",
            Kind::SecondMoment => "second moment",
        }
    }

    /// The products with the columns of `vectors`, `P × K`.
    ///
    /// # Errors
    /// When an entry of the result is infinite or NaN.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn product(&self, vectors: MatRef<'_, T>) -> Result<Mat<T>, GraphCurvatureError> {
        let mut out = Mat::zeros(self.n_params(), vectors.ncols());
        self.multiply(out.as_mut(), vectors);
        finite_matrix(self.name(), out.as_ref())?;
        Ok(out)
    }

    /// Writes the products with the columns of `vectors` to `out`, both `P × K`.
    ///
    /// # Panics
    /// When the shapes are others.
    #[track_caller]
    pub fn multiply(&self, out: MatMut<'_, T>, vectors: MatRef<'_, T>) {
        let block = if let Kind::SecondMoment = self.kind { 1 } else { block_of(self.of.model) };
        let mut means = Mat::zeros(1, vectors.ncols());
        if let Kind::NoiseCovariance(mean) = &self.kind {
            let mean = MatRef::from_row_major_slice(mean, 1, mean.len());
            matmul(means.as_mut(), Accum::Replace, mean, vectors, T::ONE, Par::Seq);
        }
        let model = self.of.model;
        self.sum(out, vectors, block, |passes, _, first, directions, sums| match &self.kind {
            Kind::Hessian => passes.hessian(model, directions, sums),
            Kind::GaussNewton => passes.gauss_newton(model, directions, sums),
            Kind::SecondMoment => passes.squared_hessian(model, directions, sums),
            Kind::NoiseCovariance(_) => {
                let means: Vec<T> = (0..directions.n_vectors()).map(|k| means[(0, first + k)]).collect();
                passes.gradient_products(model, directions, &means, sums);
            }
        });
    }

    /// The products of the Hessian with the columns of `vectors`, and what every sample contributes along them:
    /// `seen(sample, vector, forms)`, both numbers the first that the forms are of.
    pub(super) fn product_with_forms(
        &self,
        vectors: MatRef<'_, T>,
        seen: impl Fn(usize, usize, &Forms<T>) + Sync,
    ) -> Result<Mat<T>, GraphCurvatureError> {
        debug_assert!(matches!(self.kind, Kind::Hessian));
        let mut out = Mat::zeros(self.n_params(), vectors.ncols());
        self.sum(out.as_mut(), vectors, 1, |passes, sample, vector, directions, sums| {
            seen(sample, vector, &passes.hessian_with_forms(self.of.model, directions, sums));
        });
        finite_matrix(self.name(), out.as_ref())?;
        Ok(out)
    }

    /// Writes means over the samples to `out`: `add(passes, sample, vector, directions, sums)` adds those of one block
    /// along some directions, the first of which have these numbers.
    #[track_caller]
    fn sum(
        &self,
        mut out: MatMut<'_, T>,
        vectors: MatRef<'_, T>,
        block: usize,
        add: impl Fn(&mut GraphPasses<T>, usize, usize, &GraphDirections<T>, &mut GraphSums<T>) + Sync,
    ) {
        assert!(vectors.nrows() == self.n_params() && out.shape() == vectors.shape(), "P × K, both");
        let variables = &self.of.variables;
        let groups: Vec<(usize, GraphDirections<T>)> = (0..vectors.ncols())
            .step_by(GROUP)
            .map(|first| {
                let vectors = vectors.subcols(first, GROUP.min(vectors.ncols() - first));
                (first, GraphDirections::new(variables, vectors))
            })
            .collect();
        let counts: Vec<usize> = groups.iter().map(|(_, directions)| directions.n_vectors()).collect();
        // A product that another thread is busy with leaves this one to make its own.
        let mut parts = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        sum_of_parts(&self.of, block, &counts, &mut parts, |passes, sample, sums| {
            for ((first, directions), sums) in groups.iter().zip(sums) {
                add(passes, sample, *first, directions, sums);
            }
        });
        out.fill(T::ZERO);
        let scale = T::of(1.0 / self.of.n_samples() as f64);
        for part in &parts {
            for ((first, directions), sums) in groups.iter().zip(&part.sums) {
                sums.add_to(variables, scale, out.as_mut().subcols_mut(*first, directions.n_vectors()));
            }
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = parts;
    }
}

/// Sums of every part of the samples, a block at a time: `add(passes, sample, sums)` adds those of the block that
/// `passes` hold, which begins with that sample.
fn sum_of_parts<T: Scalar, S: GraphSamples<T>>(
    of: &GraphLoss<'_, T, S>,
    block: usize,
    counts: &[usize],
    parts: &mut Vec<Part<T>>,
    add: impl Fn(&mut GraphPasses<T>, usize, &mut [GraphSums<T>]) + Sync,
) {
    let (n, graph) = (of.n_samples(), of.model.graph());
    let n_parts = PARTS.min(n.div_ceil(block));
    parts.truncate(n_parts);
    parts.resize_with(n_parts, || {
        let passes = GraphPasses::new(graph, of.objective.clone(), of.variables.clone());
        Part { passes, blocks: Vec::new(), sums: Vec::new() }
    });
    let numbers = MemoryEstimate::of::<T>(graph, &of.variables, n, 1).block / size_of::<T>() as u64;
    parts.par_iter_mut().enumerate().with_max_len(1).for_each(|(c, Part { passes, blocks, sums })| {
        if sums.iter().map(GraphSums::n_vectors).eq(counts.iter().copied()) {
            sums.iter_mut().for_each(GraphSums::clear);
        } else {
            *sums = counts.iter().map(|&k| GraphSums::zeros(&of.variables, k)).collect();
        }
        let (mut first, end) = (c * n / n_parts, (c + 1) * n / n_parts);
        if !blocks.is_empty() {
            for (block, first) in blocks.iter_mut().zip((first..end).step_by(block)) {
                passes.with_evaluated(block, |passes| add(passes, first, sums));
            }
            return;
        }
        while first < end {
            let next = end.min(first + block);
            let losses = passes.evaluate(of.model, of.samples, first..next);
            losses.expect("GraphLoss::new has passed all samples");
            add(passes, first, sums);
            if numbers <= KEPT {
                blocks.push(passes.take_evaluated());
            }
            first = next;
        }
    });
}

/// `ḡ`.
pub(super) fn mean_gradient<T: Scalar, S: GraphSamples<T>>(of: &GraphLoss<'_, T, S>) -> Vec<T> {
    let (n, block) = (of.n_samples(), block_of(of.model));
    let parts = PARTS.min(n.div_ceil(block));
    let sum = |c: usize| {
        let mut passes = GraphPasses::new(of.model.graph(), of.objective.clone(), of.variables.clone());
        let mut sums = GraphSums::zeros(&of.variables, 1);
        let (first, end) = (c * n / parts, (c + 1) * n / parts);
        for first in (first..end).step_by(block) {
            let losses = passes.gradient(of.model, of.samples, first..end.min(first + block), &mut sums);
            losses.expect("GraphLoss::new has passed all samples");
        }
        sums
    };
    let sums: Vec<GraphSums<T>> = (0..parts).into_par_iter().with_max_len(1).map(sum).collect();
    let mut mean = vec![T::ZERO; of.n_params()];
    let scale = T::of(1.0 / n as f64);
    for sums in &sums {
        sums.add_to(&of.variables, scale, MatMut::from_column_major_slice_mut(&mut mean, of.n_params(), 1));
    }
    mean
}

impl<T: Scalar, S: GraphSamples<T>> LinOp<T> for GraphOperator<'_, T, S> {
    fn apply_scratch(&self, _rhs_ncols: usize, _par: Par) -> StackReq {
        StackReq::EMPTY
    }

    fn nrows(&self) -> usize {
        self.n_params()
    }

    fn ncols(&self) -> usize {
        self.n_params()
    }

    #[track_caller]
    fn apply(&self, out: MatMut<'_, T>, rhs: MatRef<'_, T>, _par: Par, _stack: &mut MemStack) {
        self.multiply(out, rhs);
    }

    #[track_caller]
    fn conj_apply(&self, out: MatMut<'_, T>, rhs: MatRef<'_, T>, _par: Par, _stack: &mut MemStack) {
        self.multiply(out, rhs);
    }
}

impl<T, S> fmt::Debug for GraphOperator<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphOperator").field("of", &self.of).finish_non_exhaustive()
    }
}
