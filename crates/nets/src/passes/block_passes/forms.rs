//! What every sample of a block has along several directions, beside the sum of its Hessian products.
//!
//! With `ȧ`, `ż` the derivatives of a layer's input and output along `v`, `δ` the gradient in the output and `δ̇` its
//! derivative, all of which a Hessian product computes anyway:
//!
//! ```text
//! g_p·v     = (∂ℓ/∂f)·ḟ
//! vᵀh_p v   = ḟᵀQḟ + Σ_weights 2 δ·(V ȧ) + Σ_activations Σ_j δ_j σ''(z_j) ż_j²
//! ‖h_p v‖²  = Σ_weights ‖δ̇ aᵀ + δ ȧᵀ‖² + Σ_biases ‖δ̇‖²
//! ```
//!
//! The second is the second derivative of the loss along `w + tv`: parameters enter every layer linearly, so only the
//! product of a moving weight with a moving input, and a curved activation, bend its output.

use super::super::block::before;
use super::super::dense::product;
use super::super::directions::{Directions, Sums};
use super::super::walk::{Moves, Tangents, Walk, columns, columns_mut, dot, paired, per_sample};
use super::BlockPasses;
use crate::{Layer, Scalar};
use faer::{Accum, Mat, MatRef};

/// Numbers of each sample of a block along each of `K` directions `v`, `n × K`.
#[derive(Clone, Debug)]
pub struct Forms<T> {
    /// `g_p·v`.
    pub gradient: Mat<T>,
    /// `vᵀh_p v`.
    pub curvature: Mat<T>,
    /// `‖h_p v‖² = vᵀh_p² v`, up to rounding never negative.
    pub squared_curvature: Mat<T>,
}

impl<T: Scalar> BlockPasses<'_, T> {
    /// [`BlockPasses::hessian`], with what every sample contributes along the directions.
    ///
    /// At the price of one more product a dense layer behind the first selected one; nothing of length `P` is formed a
    /// sample, but for a selection with a convolution, whose blocks must have a single sample.
    ///
    /// # Panics
    /// When `directions` and `sums` are for different numbers of vectors, or a block of several samples comes with a
    /// selected convolution.
    #[track_caller]
    pub fn hessian_with_forms(&mut self, directions: &Directions<T>, sums: &mut Sums<T>) -> Forms<T> {
        assert_eq!(directions.n, sums.n, "a sum for every direction");
        let (k, n, architecture) = (directions.n, self.labels.len(), self.net.architecture());
        let mut tangents = std::mem::take(&mut self.tangents);
        self.forward(&mut tangents, Moves::Given(directions), k);
        self.at_logits(&mut tangents, k);
        let (last, n_out) = (self.deltas.len() - 1, architecture.n_out());
        let of = |column: usize| column * n_out..(column + 1) * n_out;
        let moved = |column: usize| &tangents.outputs[last][of(column)];
        let gradient = Mat::from_fn(n, k, |p, j| dot(&self.deltas[last][of(p)], moved(p * k + j)));
        let mut curvature: Vec<T> =
            (0..n * k).map(|column| dot(&tangents.deltas[last][of(column)], moved(column))).collect();
        self.walk().bend(&tangents, directions, &mut curvature);
        let squared_curvature = if self.has_convolution() {
            assert!(n <= 1, "with convolutions one sample at a time");
            let mut once = self.per_sample.take().filter(|sums| sums.n == k);
            let own = once.get_or_insert_with(|| Sums::zeros(architecture, &self.selection, k));
            own.clear();
            self.reverse(&mut tangents, Moves::Given(directions), k, Some(own));
            let mut of_sample = Mat::zeros(self.selection.n_params(), k);
            own.add_to(architecture, &self.selection, of_sample.as_mut());
            sums.add(own);
            self.per_sample = once;
            Mat::from_fn(n, k, |_, j| dot(of_sample.col_as_slice(j), of_sample.col_as_slice(j)))
        } else {
            self.reverse(&mut tangents, Moves::Given(directions), k, Some(sums));
            let squares = self.walk().squared_norms(&tangents, k);
            Mat::from_fn(n, k, |p, j| squares[p * k + j])
        };
        self.tangents = tangents;
        Forms { gradient, curvature: Mat::from_fn(n, k, |p, j| curvature[p * k + j]), squared_curvature }
    }

    fn has_convolution(&self) -> bool {
        let layers = self.net.architecture().layers();
        self.selection.parameters().iter().any(|at| matches!(layers[at.layer], Layer::Conv3x3 { .. }))
    }
}

impl<T: Scalar> Walk<'_, T> {
    /// Adds what second derivatives of the layers' outputs along `directions` do to the loss, `[p][k]`.
    fn bend(&mut self, tangents: &Tangents<T>, directions: &Directions<T>, curvature: &mut [T]) {
        let (architecture, n, k) = (self.weights.architecture, self.n, directions.n);
        let two = T::of(2.0);
        let mut room = Vec::new();
        for position in self.first + 1..architecture.layers().len() {
            let (shape, dim) = (architecture.shape_before(position), architecture.output_dim_of(position));
            let moved = &tangents.outputs[position - 1][..shape.dim() * n * k];
            let own = &directions.layers[position];
            match architecture.layers()[position] {
                Layer::Dense { d_in, d_out, .. } if self.selected[position].weight => {
                    room.resize(d_in * n * k, T::ZERO);
                    let V = MatRef::from_column_major_slice(&own.columns, k * d_in, d_out);
                    let delta = columns(&self.deltas[position], d_out, n);
                    product(columns_mut(&mut room, k * d_in, n), Accum::Replace, V, delta);
                    let pieces = room.chunks_exact(d_in).zip(moved.chunks_exact(d_in));
                    curvature
                        .iter_mut()
                        .zip(pieces)
                        .for_each(|(sum, (pulled, moved))| *sum += two * dot(pulled, moved));
                }
                Layer::Conv3x3 { .. } if self.selected[position].weight => {
                    room.resize(dim * n, T::ZERO);
                    let pieces = own.kernels.iter().zip(moved.chunks_exact(shape.dim() * n));
                    for (sum, (kernels, moved)) in curvature.iter_mut().zip(pieces) {
                        kernels.forward(moved, &mut room, Accum::Replace, self.scratch);
                        *sum += two * dot(&room, &self.deltas[position][..dim * n]);
                    }
                }
                Layer::Activation(activation) if activation.is_curved() => {
                    let apart = per_sample(shape, n);
                    let a = paired(moved, &self.outputs[position], apart, n, k);
                    let delta = paired(moved, &self.deltas[position], apart, n, k);
                    for (sum, ((moved, a), (_, delta))) in curvature.iter_mut().zip(a.zip(delta)) {
                        for ((&moved, &a), &delta) in moved.iter().zip(a).zip(delta) {
                            *sum += delta * activation.second_derivative_from_output(a) * moved * moved;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// `‖h_p v‖²` of every sample and direction, `[p][k]`, in dense layers.
    fn squared_norms(&self, tangents: &Tangents<T>, k: usize) -> Vec<T> {
        let (architecture, n) = (self.weights.architecture, self.n);
        let two = T::of(2.0);
        let mut squares = vec![T::ZERO; n * k];
        for position in self.first..architecture.layers().len() {
            let selected = self.selected[position];
            if !(selected.weight || selected.bias) {
                continue;
            }
            let (d_in, d_out) = (architecture.shape_before(position).dim(), architecture.output_dim_of(position));
            let input = if position == 0 { None } else { Some(before(position, self.image, self.outputs)) };
            for (column, square) in squares.iter_mut().enumerate() {
                let p = column / k;
                let moved_delta = &tangents.deltas[position][column * d_out..][..d_out];
                let norm = dot(moved_delta, moved_delta);
                if selected.bias {
                    *square += norm;
                }
                if selected.weight {
                    let a = match input {
                        None => self.inputs.col(p).try_as_col_major().expect("samples are contiguous").as_slice(),
                        Some(input) => &input[p * d_in..][..d_in],
                    };
                    *square += norm * dot(a, a);
                    if position > self.first {
                        let delta = &self.deltas[position][p * d_out..][..d_out];
                        let moved = &tangents.outputs[position - 1][column * d_in..][..d_in];
                        *square +=
                            two * dot(moved_delta, delta) * dot(moved, a) + dot(delta, delta) * dot(moved, moved);
                    }
                }
            }
        }
        squares
    }
}
