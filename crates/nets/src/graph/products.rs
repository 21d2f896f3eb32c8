//! Products of a block's curvature with directions, and what changes of inner values do.

use super::objective::Order;
use super::passes::Keep;
use super::{GraphDirections, GraphPasses, GraphSums, Model, ValueId};
use crate::ops::{add, add_scaled, dot, len};
use crate::{Forms, Scalar};
use faer::MatMut;

/// What `K` changes of inner values do, one block of samples a direction: `[k][p][entry]`.
#[derive(Clone, Debug)]
pub struct Responses<T> {
    /// Derivative of the gradient in each of the variables' values.
    pub gradients: Vec<Vec<T>>,
    /// Derivative of each of the values that were watched; empty for one that does not move.
    pub moved: Vec<Vec<T>>,
}

impl<T: Scalar> GraphPasses<T> {
    /// Adds `Σ_p h_p v` for every direction.
    ///
    /// # Panics
    /// When `directions` and `sums` are for different numbers of vectors, or no block was taken.
    #[track_caller]
    pub fn hessian(&mut self, model: &Model<T>, directions: &GraphDirections<T>, sums: &mut GraphSums<T>) {
        self.product(
            model,
            directions,
            sums,
            |passes, p, f, moved, out| {
                passes.logit_product(Order::Hessian, p, f, moved, out);
            },
            Bends::Yes,
        );
        let per_direction = |slot: usize| &directions.tensors[slot][..];
        self.add_penalty(per_direction, sums);
    }

    /// Adds `Σ_p J_pᵀ M_p J_p v` for every direction, with the Gauss–Newton matrix `M_p` in the outputs; the penalty's
    /// `l2 · I` too.
    ///
    /// # Panics
    /// As [`GraphPasses::hessian`].
    #[track_caller]
    pub fn gauss_newton(&mut self, model: &Model<T>, directions: &GraphDirections<T>, sums: &mut GraphSums<T>) {
        self.product(
            model,
            directions,
            sums,
            |passes, p, f, moved, out| {
                passes.logit_product(Order::GaussNewton, p, f, moved, out);
            },
            Bends::No,
        );
        self.add_penalty(|slot| &directions.tensors[slot], sums);
    }

    /// Adds `Σ_p g_p (g_p·v − m(v))` for every direction, with `m` given for each: the empirical Fisher matrix with `m
    /// = 0`, the noise covariance with `m = ḡ·v`. The penalty's part of `g_p` is left out: a covariance does not see
    /// it.
    ///
    /// # Panics
    /// As [`GraphPasses::hessian`].
    #[track_caller]
    pub fn gradient_products(
        &mut self,
        model: &Model<T>,
        directions: &GraphDirections<T>,
        means: &[T],
        sums: &mut GraphSums<T>,
    ) {
        let (output, dim) = (self.graph.output, len(&self.graph.values[self.graph.output].shape));
        let deltas = std::mem::take(&mut self.deltas[output]);
        let mut block = 0;
        let n = self.n;
        self.product(
            model,
            directions,
            sums,
            |_, p, _, moved, out| {
                let delta = &deltas[p * dim..(p + 1) * dim];
                let along = dot(delta, moved) - means.get(block / n).copied().unwrap_or(T::ZERO);
                out.iter_mut().zip(delta).for_each(|(out, &d)| *out = along * d);
                block += 1;
            },
            Bends::No,
        );
        self.deltas[output] = deltas;
    }

    /// Adds `Σ_p h_p² v` for every direction, exactly. A block must have a single sample.
    ///
    /// # Panics
    /// As [`GraphPasses::hessian`], and when the block has other than one sample.
    #[track_caller]
    pub fn squared_hessian(&mut self, model: &Model<T>, directions: &GraphDirections<T>, sums: &mut GraphSums<T>) {
        assert_eq!(self.n, 1, "one sample at a time");
        let mut once = GraphSums::zeros(&self.variables, directions.k);
        self.hessian(model, directions, &mut once);
        self.hessian(model, &GraphDirections { k: once.k, tensors: once.tensors }, sums);
    }

    /// [`GraphPasses::hessian`] of a block of one sample, with what it contributes along the directions; `g_p·v`
    /// without the penalty's part.
    ///
    /// # Panics
    /// As [`GraphPasses::hessian`], and when the block has other than one sample.
    #[track_caller]
    pub fn hessian_with_forms(
        &mut self,
        model: &Model<T>,
        directions: &GraphDirections<T>,
        sums: &mut GraphSums<T>,
    ) -> Forms<T> {
        assert_eq!(self.n, 1, "one sample at a time");
        let k = directions.k;
        let mut once = GraphSums::zeros(&self.variables, k);
        let mut along = Vec::with_capacity(k);
        self.product(
            model,
            directions,
            &mut once,
            |passes, p, f, moved, out| {
                along.push(dot(&passes.deltas[passes.graph.output], moved));
                passes.logit_product(Order::Hessian, p, f, moved, out);
            },
            Bends::Yes,
        );
        self.add_penalty(|slot| &directions.tensors[slot], &mut once);
        let mut curvature = faer::Mat::zeros(1, k);
        let mut squared_curvature = faer::Mat::zeros(1, k);
        for ((moved, sum), range) in directions.tensors.iter().zip(&once.tensors).zip(&self.variables.ranges) {
            for (j, (v, product)) in moved.chunks_exact(range.len()).zip(sum.chunks_exact(range.len())).enumerate() {
                curvature[(0, j)] += dot(v, product);
                squared_curvature[(0, j)] += dot(product, product);
            }
        }
        sums.tensors.iter_mut().zip(&once.tensors).for_each(|(sum, once)| add(sum, once));
        Forms { gradient: faer::Mat::from_fn(1, k, |_, j| along[j]), curvature, squared_curvature }
    }

    /// `h_p`, `P × P`, of the one sample of the block: a pass for every few columns.
    ///
    /// # Panics
    /// When the block has other than one sample, or `out` another shape.
    #[track_caller]
    pub fn sample_hessian(&mut self, model: &Model<T>, mut out: MatMut<'_, T>) {
        /// Columns that go through the graph together.
        const TOGETHER: usize = 32;
        let P = self.variables.n_params();
        assert!(self.n == 1 && out.shape() == (P, P), "one sample, P × P");
        for first in (0..P).step_by(TOGETHER) {
            let k = TOGETHER.min(P - first);
            let unit = faer::Mat::from_fn(P, k, |i, j| if i == first + j { T::ONE } else { T::ZERO });
            let directions = GraphDirections::new(&self.variables, unit.as_ref());
            let mut sums = GraphSums::zeros(&self.variables, k);
            self.hessian(model, &directions, &mut sums);
            let mut columns = out.as_mut().subcols_mut(first, k);
            columns.fill(T::ZERO);
            sums.add_to(&self.variables, T::ONE, columns);
        }
    }

    /// What happens along `k` changes of the variables' values: `seeds` has for each of them `[k][p][entry]`. The
    /// changes of `watched` values come back too.
    ///
    /// # Panics
    /// When the variables are parameters, or seeds have other lengths.
    #[track_caller]
    pub fn respond(&mut self, model: &Model<T>, k: usize, seeds: &[Vec<T>], watched: &[ValueId]) -> Responses<T> {
        let graph = self.graph.clone();
        assert_eq!(seeds.len(), self.variables.values.len(), "seeds for every value");
        for (seed, &v) in seeds.iter().zip(&self.variables.values) {
            assert_eq!(seed.len(), k * graph.entries(v, self.n), "k changes of every sample's value");
        }
        let mut tangents = self.tangents(model, k, None, seeds);
        let moved = watched.iter().map(|value| tangents[value.0].clone()).collect();
        let mut gradients = vec![Vec::new(); graph.values.len()];
        // Many directions meet the same Hessian in the outputs.
        let dim = len(&graph.values[graph.output].shape);
        let hessians: Vec<_> = (0..self.n).filter(|_| dim <= k).map(|p| self.output_hessian(p)).collect();
        let act = |passes: &Self, p: usize, f: &[T], moved: &[T], out: &mut [T]| match hessians.get(p) {
            None => passes.logit_product(Order::Hessian, p, f, moved, out),
            Some(Q) => moved.iter().enumerate().for_each(|(j, &x)| add_scaled(out, x, Q.col_as_slice(j))),
        };
        gradients[graph.output] = self.at_output(k, &tangents, act);
        self.back(model, k, &mut gradients, Some(&mut tangents), None, Keep::Variables);
        let mut of_value = |&v: &usize| {
            // A value named twice is another's.
            let empty = vec![T::ZERO; k * graph.entries(v, self.n)];
            if gradients[v].is_empty() { empty } else { gradients[v].clone() }
        };
        let gradients = self.variables.values.iter().map(&mut of_value).collect();
        Responses { gradients, moved }
    }

    /// The logit Hessian's product with one sample's `moved`.
    fn logit_product(&self, order: Order, p: usize, f: &[T], moved: &[T], out: &mut [T]) {
        let target_len = self.targets.len() / self.n;
        let target = &self.targets[p * target_len..(p + 1) * target_len];
        self.objective.times(order, &self.graph.values[self.graph.output].shape, f, target, moved, out);
    }

    /// A product through the output: `act(passes, p, f, ḟ, out)` says what becomes of a sample's `ḟ`.
    #[track_caller]
    fn product(
        &mut self,
        model: &Model<T>,
        directions: &GraphDirections<T>,
        sums: &mut GraphSums<T>,
        act: impl FnMut(&Self, usize, &[T], &[T], &mut [T]),
        bends: Bends,
    ) {
        assert_eq!(directions.k, sums.k, "a sum for every direction");
        assert!(self.n > 0, "a block was taken");
        let k = directions.k;
        let mut tangents = self.tangents(model, k, Some(directions), &[]);
        let mut gradients = vec![Vec::new(); self.graph.values.len()];
        gradients[self.graph.output] = self.at_output(k, &tangents, act);
        let moved = match bends {
            Bends::Yes => Some(&mut tangents),
            Bends::No => None,
        };
        self.back(model, k, &mut gradients, moved, Some(sums), Keep::Nothing);
        tangents.into_iter().for_each(|tangent| self.buffers.give(tangent));
    }

    /// Gradients in the output of every direction.
    fn at_output(
        &mut self,
        k: usize,
        tangents: &[Vec<T>],
        mut act: impl FnMut(&Self, usize, &[T], &[T], &mut [T]),
    ) -> Vec<T> {
        let output = self.graph.output;
        let dim = len(&self.graph.values[output].shape);
        let mut gradient = self.buffers.zeros(k * self.n * dim);
        let blocks = tangents[output].chunks_exact(dim).zip(gradient.chunks_exact_mut(dim));
        for (block, (moved, gradient)) in blocks.enumerate() {
            let p = block % self.n;
            act(self, p, &self.values[output][p * dim..(p + 1) * dim], moved, gradient);
        }
        gradient
    }

    /// `Q_p = ∂²ℓ_p/∂f²` of sample `p` of the block, counted from 0, in all outputs together; symmetric up to rounding.
    pub fn output_hessian(&self, p: usize) -> faer::Mat<T> {
        let output = self.graph.output;
        let dim = len(&self.graph.values[output].shape);
        let mut Q = faer::Mat::zeros(dim, dim);
        let mut unit = vec![T::ZERO; dim];
        for j in 0..dim {
            unit[j] = T::ONE;
            let f = &self.values[output][p * dim..(p + 1) * dim];
            self.logit_product(Order::Hessian, p, f, &unit, Q.col_as_slice_mut(j));
            unit[j] = T::ZERO;
        }
        Q
    }
}

/// Whether a product sees the second derivatives of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bends {
    Yes,
    No,
}
