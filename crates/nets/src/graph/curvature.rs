//! The exact curvature `S_p = ∂²ℓ_p/∂z²` of a value inside a graph, and Jacobians where they are all that it takes.

use super::passes::Keep;
use super::{GraphPasses, GraphSums, Model};
use crate::Scalar;
use crate::ops::Rule;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

impl<T: Scalar> GraphPasses<T> {
    /// `S_p` of every sample of the block in the one value that is the variable, `[p][column][row]`, symmetric to the
    /// last bit.
    ///
    /// Where nothing behind the value bends (it is piecewise linear) and the outputs are fewer than its entries, `S =
    /// JᵀQJ` with `Q = ∂²ℓ/∂f²` and the rows of `J = ∂f/∂z` from one reverse pass for all outputs. Else every entry of
    /// the value has a tangent, through all paths that lead to the loss; what bypasses the value is a constant.
    ///
    /// # Panics
    /// When the variables are not one value of a node, or no block was taken.
    #[track_caller]
    pub fn curvature(&mut self, model: &Model<T>) -> Vec<T> {
        let &[value] = &self.variables.values[..] else { panic!("one value of a node") };
        assert!(self.n > 0, "a block was taken");
        let (d, n) = (self.graph.entries(value, 1), self.n);
        let n_out = self.graph.entries(self.graph.output, 1);
        let mut curvatures = vec![T::ZERO; n * d * d];
        if n_out < d && self.is_straight_behind() {
            let mut gradients = vec![Vec::new(); self.graph.values.len()];
            let mut unit = self.buffers.zeros(n_out * n * n_out);
            unit.chunks_exact_mut(n_out).enumerate().for_each(|(block, unit)| unit[block / n] = T::ONE);
            gradients[self.graph.output] = unit;
            self.back(model, n_out, &mut gradients, None, None, Keep::Variables);
            let mut half = faer::Mat::zeros(n_out, d);
            for (p, S) in curvatures.chunks_exact_mut(d * d).enumerate() {
                // A value that the loss does not see has none.
                let Some(rows) = gradients[value].get(p * d..) else { continue };
                let J = MatRef::from_row_major_slice_with_stride(rows, n_out, d, n * d);
                matmul(half.as_mut(), Accum::Replace, self.output_hessian(p), J, T::ONE, Par::Seq);
                let mut S = MatMut::from_column_major_slice_mut(S, d, d);
                matmul(S.as_mut(), Accum::Replace, J.transpose(), &half, T::ONE, Par::Seq);
                symmetric(S);
            }
            return curvatures;
        }
        let unit = (0..d * n * d).map(|i| if i / (n * d) == i % d { T::ONE } else { T::ZERO }).collect();
        let columns = self.respond(model, d, &[unit], &[]).gradients.remove(0);
        for (p, S) in curvatures.chunks_exact_mut(d * d).enumerate() {
            for (j, column) in S.chunks_exact_mut(d).enumerate() {
                column.copy_from_slice(&columns[(j * n + p) * d..][..d]);
            }
            symmetric(MatMut::from_column_major_slice_mut(S, d, d));
        }
        curvatures
    }

    /// Whether the outputs have no second derivative in the variables, so that `h_p = J_pᵀ Q_p J_p` with `J_p =
    /// ∂f_p/∂w` and [`GraphPasses::output_hessian`] for `Q_p`: all is piecewise linear behind them, and they meet
    /// nowhere.
    pub fn is_straight_behind(&self) -> bool {
        let moves = |&v: &usize| self.moves[v];
        let seed = |v: &usize| self.variables.values.contains(v);
        self.graph
            .nodes
            .iter()
            .filter(|node| self.moves[node.value] && !seed(&node.value))
            .all(|node| !node.operation.bends(&node.operands.iter().map(moves).collect::<Vec<_>>()))
    }

    /// Adds `J_pᵀ = (∂f_p/∂w)ᵀ` of the one sample of the block to `sums`, a vector an output.
    ///
    /// # Panics
    /// When the block has other than one sample, or `sums` another number of vectors than there are outputs.
    #[track_caller]
    pub fn jacobian(&mut self, model: &Model<T>, sums: &mut GraphSums<T>) {
        let n_out = self.graph.entries(self.graph.output, 1);
        assert!(self.n == 1 && sums.k == n_out, "one sample, and a vector an output");
        let mut gradients = vec![Vec::new(); self.graph.values.len()];
        let mut unit = self.buffers.zeros(n_out * n_out);
        (0..n_out).for_each(|c| unit[c * n_out + c] = T::ONE);
        gradients[self.graph.output] = unit;
        self.back(model, n_out, &mut gradients, None, Some(sums), Keep::Nothing);
    }
}

/// The mean of both triangles, which differ by rounding, in both.
fn symmetric<T: Scalar>(mut S: MatMut<'_, T>) {
    let half = T::of(0.5);
    for j in 0..S.ncols() {
        for i in j + 1..S.nrows() {
            let mean = half * (S[(i, j)] + S[(j, i)]);
            S[(i, j)] = mean;
            S[(j, i)] = mean;
        }
    }
}
