//! Tangents of a block through the layers, and back: what [`super::BlockPasses`] is made of.

use super::block::{Weights, before, image_shape};
use super::dense::product;
use super::directions::{Directions, Sums};
use super::{conv, pool};
use crate::{Architecture, Layer, Scalar, Shape};
use faer::{Accum, MatMut, MatRef};

/// Derivatives, along `K` directions, of every layer's output and of the gradient in it; empty in front of the first
/// selected layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Tangents<T> {
    pub(super) outputs: Vec<Vec<T>>,
    pub(super) deltas: Vec<Vec<T>>,
}

impl<T: Scalar> Tangents<T> {
    pub(super) fn new(n_layers: usize) -> Self {
        Self { outputs: vec![Vec::new(); n_layers], deltas: vec![Vec::new(); n_layers] }
    }

    /// Room for `columns` tangents of every layer.
    pub(super) fn make_room(&mut self, architecture: &Architecture, first: usize, columns: usize) {
        for position in first..architecture.layers().len() {
            let len = architecture.output_dim_of(position) * columns;
            self.outputs[position].resize(len, T::ZERO);
            self.deltas[position].resize(len, T::ZERO);
        }
    }
}

/// Which tensors of a layer are selected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selected {
    pub(super) weight: bool,
    pub(super) bias: bool,
}

/// How parameters move.
#[derive(Clone, Copy)]
pub(super) enum Moves<'a, T> {
    /// Not at all: the reverse pass is linear.
    Nothing,
    /// Along given directions.
    Given(&'a Directions<T>),
    /// Of every sample along its own `h_p v`, `δ̇ aᵀ + δ ȧᵀ` of a dense layer, given the tangents along `v`.
    AsProduct(&'a Tangents<T>),
}

/// One block between its inputs and its logits.
pub(super) struct Walk<'a, T> {
    pub(super) weights: Weights<'a, T>,
    pub(super) selected: &'a [Selected],
    pub(super) first: usize,
    /// Samples in the block.
    pub(super) n: usize,
    pub(super) inputs: MatRef<'a, T>,
    pub(super) image: &'a [T],
    pub(super) outputs: &'a [Vec<T>],
    pub(super) deltas: &'a [Vec<T>],
    pub(super) scratch: &'a mut conv::Scratch<T>,
}

/// The columns of `flat` that hold `n` vectors of length `dim`.
pub(super) fn columns<T: Scalar>(flat: &[T], dim: usize, n: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(&flat[..dim * n], dim, n)
}

pub(super) fn columns_mut<T: Scalar>(flat: &mut [T], dim: usize, n: usize) -> MatMut<'_, T> {
    MatMut::from_column_major_slice_mut(&mut flat[..dim * n], dim, n)
}

pub(super) fn dot<T: Scalar>(u: &[T], v: &[T]) -> T {
    u.iter().zip(v).map(|(&u, &v)| u * v).sum()
}

/// `y += s x`.
fn add_scaled<T: Scalar>(y: &mut [T], s: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += s * x;
    }
}

impl<T: Scalar> Walk<'_, T> {
    /// Derivatives of the outputs of all layers from the first selected on.
    pub(super) fn forward(&mut self, tangents: &mut Tangents<T>, moves: Moves<'_, T>, k: usize) {
        let (architecture, n) = (self.weights.architecture, self.n);
        for position in self.first..architecture.layers().len() {
            let (dim, shape) = (architecture.output_dim_of(position), architecture.shape_before(position));
            let (earlier, here) = tangents.outputs.split_at_mut(position);
            let here = &mut here[0][..dim * n * k];
            let moved = (position > self.first).then(|| &earlier[position - 1][..shape.dim() * n * k]);
            match (&architecture.layers()[position], moved) {
                (&Layer::Dense { d_in, d_out, .. }, _) => {
                    let mut accum = self.own_move_of_dense(position, moves, k, here);
                    if let Some(moved) = moved {
                        let W = self.weights.matrix(position, d_out, d_in);
                        product(columns_mut(here, d_out, n * k), accum, W, columns(moved, d_in, n * k));
                        accum = Accum::Add;
                    }
                    if accum == Accum::Replace {
                        here.fill(T::ZERO);
                    }
                }
                (&Layer::Conv3x3 { input, .. }, _) => self.forward_conv(position, input, moves, k, moved, here),
                (layer, Some(moved)) => self.forward_others(position, layer, k, moved, here),
                (layer, None) => unreachable!("a {layer} is not selected"),
            }
        }
    }

    /// Layers without parameters.
    fn forward_others(&self, position: usize, layer: &Layer, k: usize, moved: &[T], here: &mut [T]) {
        let (n, shape) = (self.n, self.weights.architecture.shape_before(position));
        let input = before(position, self.image, self.outputs);
        let output = &self.outputs[position];
        let (len, input_len) = (here.len() / k, shape.dim() * n);
        match *layer {
            Layer::Activation(activation) => {
                let apart = per_sample(shape, n);
                for (here, (moved, a)) in here.chunks_exact_mut(apart).zip(paired(moved, output, apart, n, k)) {
                    for ((out, &moved), &a) in here.iter_mut().zip(moved).zip(a) {
                        *out = activation.derivative_from_output(a) * moved;
                    }
                }
            }
            Layer::MaxPool2x2 => {
                for (here, moved) in here.chunks_exact_mut(len).zip(moved.chunks_exact(input_len)) {
                    pool::max_pool_tangent(&input[..input_len], &output[..len], moved, image_shape(shape), here);
                }
            }
            // From one image block a direction to [p][k].
            Layer::GlobalAveragePool | Layer::Flatten => {
                let dim = len / n;
                let mut vectors = vec![T::ZERO; len];
                for (j, moved) in moved.chunks_exact(input_len).enumerate() {
                    match layer {
                        Layer::Flatten => pool::channels_first(moved, image_shape(shape), &mut vectors),
                        _ => pool::global_average(moved, image_shape(shape), &mut vectors),
                    }
                    for (p, vector) in vectors.chunks_exact(dim).enumerate() {
                        here[(p * k + j) * dim..][..dim].copy_from_slice(vector);
                    }
                }
            }
            Layer::Dense { .. } | Layer::Conv3x3 { .. } => unreachable!("layers with parameters come elsewhere"),
        }
    }

    /// `V a + v_b` of a dense layer, unless nothing of it moves.
    fn own_move_of_dense(&self, position: usize, moves: Moves<'_, T>, k: usize, here: &mut [T]) -> Accum {
        let Selected { weight, bias } = self.selected[position];
        let n = self.n;
        let d_out = here.len() / (n * k);
        let a = self.input_of_dense(position);
        match moves {
            Moves::Given(directions) if weight || bias => {
                let own = &directions.layers[position];
                let mut accum = Accum::Replace;
                if bias {
                    here.chunks_exact_mut(k * d_out).for_each(|z| z.copy_from_slice(&own.bias));
                    accum = Accum::Add;
                }
                if weight {
                    let V = MatRef::from_row_major_slice(&own.rows, k * d_out, a.nrows());
                    product(columns_mut(here, k * d_out, n), accum, V, a);
                }
                Accum::Add
            }
            Moves::AsProduct(first) if weight || bias => {
                for p in 0..n {
                    let a = a.col(p).try_as_col_major().expect("samples are contiguous").as_slice();
                    let delta = &self.deltas[position][p * d_out..][..d_out];
                    let norm = if weight { dot(a, a) } else { T::ZERO } + if bias { T::ONE } else { T::ZERO };
                    for column in p * k..(p + 1) * k {
                        let here = &mut here[column * d_out..][..d_out];
                        let moved = &first.deltas[position][column * d_out..][..d_out];
                        here.iter_mut().zip(moved).for_each(|(z, &d)| *z = norm * d);
                        if weight && position > self.first {
                            let moved_a = &first.outputs[position - 1][column * a.len()..][..a.len()];
                            add_scaled(here, dot(moved_a, a), delta);
                        }
                    }
                }
                Accum::Add
            }
            _ => Accum::Replace,
        }
    }

    fn input_of_dense(&self, position: usize) -> MatRef<'_, T> {
        let d_in = self.weights.architecture.shape_before(position).dim();
        match position {
            0 => self.inputs,
            _ => columns(before(position, self.image, self.outputs), d_in, self.n),
        }
    }

    fn forward_conv(
        &mut self,
        position: usize,
        shape: crate::ImageShape,
        moves: Moves<'_, T>,
        k: usize,
        moved: Option<&[T]>,
        here: &mut [T],
    ) {
        let Selected { weight, bias } = self.selected[position];
        let input_len = shape.dim() * self.n;
        let len = here.len() / k;
        let input = &before(position, self.image, self.outputs)[..input_len];
        let directions = match moves {
            Moves::Given(directions) => Some(&directions.layers[position]),
            _ => None,
        };
        for (j, here) in here.chunks_exact_mut(len).enumerate() {
            let mut accum = Accum::Replace;
            if let (true, Some(own)) = (bias, directions) {
                let c_out = own.bias.len() / k;
                conv::fill_with_bias(&own.bias[j * c_out..(j + 1) * c_out], here);
                accum = Accum::Add;
            }
            if let (true, Some(own)) = (weight, directions) {
                own.kernels[j].forward(input, here, accum, self.scratch);
                accum = Accum::Add;
            }
            if let Some(moved) = moved {
                let moved = &moved[j * input_len..(j + 1) * input_len];
                self.weights.kernels[position].forward(moved, here, accum, self.scratch);
                accum = Accum::Add;
            }
            if accum == Accum::Replace {
                here.fill(T::ZERO);
            }
        }
    }

    /// Adds the gradient in the selected parameters.
    pub(super) fn gradient(&mut self, sums: &mut Sums<T>) {
        let architecture = self.weights.architecture;
        for position in self.first..architecture.layers().len() {
            let here = &self.deltas[position][..architecture.output_dim_of(position) * self.n];
            match architecture.layers()[position] {
                Layer::Dense { .. } => self.add_dense(position, Moves::Nothing, 1, here, None, sums),
                Layer::Conv3x3 { input, .. } => self.add_conv(position, input, Moves::Nothing, 1, here, None, sums),
                _ => {}
            }
        }
    }

    /// Derivatives of the gradients, from those in the logits; adds what they make of the selected parameters to
    /// `sums`.
    pub(super) fn reverse(
        &mut self,
        tangents: &mut Tangents<T>,
        moves: Moves<'_, T>,
        k: usize,
        mut sums: Option<&mut Sums<T>>,
    ) {
        let (architecture, n) = (self.weights.architecture, self.n);
        let Tangents { outputs: moved_outputs, deltas: moved_deltas } = tangents;
        for position in (self.first..architecture.layers().len()).rev() {
            let (dim, shape) = (architecture.output_dim_of(position), architecture.shape_before(position));
            let (below, here) = moved_deltas.split_at_mut(position);
            let here = &here[0][..dim * n * k];
            let (below, moved) = if position > self.first {
                let len = shape.dim() * n * k;
                (Some(&mut below[position - 1][..len]), Some(&moved_outputs[position - 1][..len]))
            } else {
                (None, None)
            };
            let layer = &architecture.layers()[position];
            match *layer {
                Layer::Dense { .. } => {
                    if let Some(sums) = &mut sums {
                        self.add_dense(position, moves, k, here, moved, sums);
                    }
                    if let Some(below) = below {
                        self.reverse_dense(position, moves, k, here, below);
                    }
                }
                Layer::Conv3x3 { input, .. } => {
                    if let Some(sums) = &mut sums {
                        self.add_conv(position, input, moves, k, here, moved, sums);
                    }
                    if let Some(below) = below {
                        self.reverse_conv(position, input, moves, k, here, below);
                    }
                }
                _ => {
                    let (Some(below), Some(moved)) = (below, moved) else { unreachable!("a {layer} is not selected") };
                    self.reverse_others(position, layer, moves, k, (here, moved), below);
                }
            }
        }
    }

    /// Layers without parameters.
    fn reverse_others(
        &self,
        position: usize,
        layer: &Layer,
        moves: Moves<'_, T>,
        k: usize,
        (here, moved): (&[T], &[T]),
        below: &mut [T],
    ) {
        let (n, shape) = (self.n, self.weights.architecture.shape_before(position));
        let input_len = shape.dim() * n;
        let input = before(position, self.image, self.outputs);
        let (output, len) = (&self.outputs[position], here.len() / k);
        match *layer {
            Layer::Activation(activation) => {
                let apart = per_sample(shape, n);
                let primal = paired(here, output, apart, n, k);
                let delta = &self.deltas[position];
                let curved = activation.is_curved() && !matches!(moves, Moves::Nothing);
                let pieces = below.chunks_exact_mut(apart).zip(primal).zip(paired(moved, delta, apart, n, k));
                for ((below, (here, a)), (moved, delta)) in pieces {
                    for ((below, &d), &a) in below.iter_mut().zip(here).zip(a) {
                        *below = activation.derivative_from_output(a) * d;
                    }
                    if curved {
                        for (((below, &a), &moved), &delta) in below.iter_mut().zip(a).zip(moved).zip(delta) {
                            *below += activation.second_derivative_from_output(a) * moved * delta;
                        }
                    }
                }
            }
            Layer::MaxPool2x2 => {
                for (below, here) in below.chunks_exact_mut(input_len).zip(here.chunks_exact(len)) {
                    pool::max_pool_backward(&input[..input_len], &output[..len], here, image_shape(shape), below);
                }
            }
            // From [p][k] to one image block a direction.
            Layer::GlobalAveragePool | Layer::Flatten => {
                let dim = len / n;
                let mut vectors = vec![T::ZERO; len];
                for (j, below) in below.chunks_exact_mut(input_len).enumerate() {
                    for (p, vector) in vectors.chunks_exact_mut(dim).enumerate() {
                        vector.copy_from_slice(&here[(p * k + j) * dim..][..dim]);
                    }
                    match layer {
                        Layer::Flatten => pool::channels_last(&vectors, image_shape(shape), below),
                        _ => pool::global_average_backward(&vectors, image_shape(shape), below),
                    }
                }
            }
            Layer::Dense { .. } | Layer::Conv3x3 { .. } => unreachable!("layers with parameters come elsewhere"),
        }
    }

    /// `Wᵀ δ̇ + Vᵀ δ`.
    fn reverse_dense(&self, position: usize, moves: Moves<'_, T>, k: usize, here: &[T], below: &mut [T]) {
        let n = self.n;
        let (d_out, d_in) = (here.len() / (n * k), below.len() / (n * k));
        let W = self.weights.matrix(position, d_out, d_in).transpose();
        product(columns_mut(below, d_in, n * k), Accum::Replace, W, columns(here, d_out, n * k));
        if !self.selected[position].weight {
            return;
        }
        match moves {
            Moves::Nothing => {}
            Moves::Given(directions) => {
                let V = MatRef::from_column_major_slice(&directions.layers[position].columns, k * d_in, d_out);
                let delta = columns(&self.deltas[position], d_out, n);
                product(columns_mut(below, k * d_in, n), Accum::Add, V, delta);
            }
            Moves::AsProduct(first) => {
                let a = self.input_of_dense(position);
                for p in 0..n {
                    let a = a.col(p).try_as_col_major().expect("samples are contiguous").as_slice();
                    let delta = &self.deltas[position][p * d_out..][..d_out];
                    let norm = dot(delta, delta);
                    for column in p * k..(p + 1) * k {
                        let below = &mut below[column * d_in..][..d_in];
                        add_scaled(below, dot(&first.deltas[position][column * d_out..][..d_out], delta), a);
                        add_scaled(below, norm, &first.outputs[position - 1][column * d_in..][..d_in]);
                    }
                }
            }
        }
    }

    /// Adds `δ̇ aᵀ + δ ȧᵀ`, and `δ̇` to the bias.
    fn add_dense(
        &self,
        position: usize,
        moves: Moves<'_, T>,
        k: usize,
        here: &[T],
        moved: Option<&[T]>,
        sums: &mut Sums<T>,
    ) {
        let Selected { weight, bias } = self.selected[position];
        let (n, sums) = (self.n, &mut sums.layers[position]);
        let d_out = here.len() / (n * k);
        if bias {
            here.chunks_exact(k * d_out).for_each(|moved| add_scaled(&mut sums.bias, T::ONE, moved));
        }
        if !weight {
            return;
        }
        let a = self.input_of_dense(position);
        let d_in = a.nrows();
        let rows = MatMut::from_row_major_slice_mut(&mut sums.rows, k * d_out, d_in);
        product(rows, Accum::Add, columns(here, k * d_out, n), a.transpose());
        if let (Some(moved), Moves::Given(_) | Moves::AsProduct(_)) = (moved, moves) {
            sums.columns.resize(k * d_in * d_out, T::ZERO);
            let delta = columns(&self.deltas[position], d_out, n);
            let sum = columns_mut(&mut sums.columns, k * d_in, d_out);
            product(sum, Accum::Add, columns(moved, k * d_in, n), delta.transpose());
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add_conv(
        &mut self,
        position: usize,
        shape: crate::ImageShape,
        moves: Moves<'_, T>,
        k: usize,
        here: &[T],
        moved: Option<&[T]>,
        sums: &mut Sums<T>,
    ) {
        let Selected { weight, bias } = self.selected[position];
        let sums = &mut sums.layers[position];
        let (len, input_len) = (here.len() / k, shape.dim() * self.n);
        if bias {
            let c_out = sums.bias.len() / k;
            for (here, sum) in here.chunks_exact(len).zip(sums.bias.chunks_exact_mut(c_out)) {
                conv::add_bias_gradient(here, sum);
            }
        }
        if !weight {
            return;
        }
        let own = sums.kernels.len() / k;
        let input = &before(position, self.image, self.outputs)[..input_len];
        let kernels = &self.weights.kernels[position];
        for (here, sum) in here.chunks_exact(len).zip(sums.kernels.chunks_exact_mut(own)) {
            kernels.add_weight_gradient(input, here, sum, self.scratch);
        }
        if let (Some(moved), Moves::Given(_)) = (moved, moves) {
            let delta = &self.deltas[position][..len];
            for (moved, sum) in moved.chunks_exact(input_len).zip(sums.kernels.chunks_exact_mut(own)) {
                kernels.add_weight_gradient(moved, delta, sum, self.scratch);
            }
        }
    }

    fn reverse_conv(
        &mut self,
        position: usize,
        shape: crate::ImageShape,
        moves: Moves<'_, T>,
        k: usize,
        here: &[T],
        below: &mut [T],
    ) {
        let (len, below_len) = (here.len() / k, shape.dim() * self.n);
        let own = match moves {
            Moves::Given(directions) if self.selected[position].weight => Some(&directions.layers[position].kernels),
            _ => None,
        };
        for (j, (here, below)) in here.chunks_exact(len).zip(below.chunks_exact_mut(below_len)).enumerate() {
            self.weights.kernels[position].backward(here, below, Accum::Replace, self.scratch);
            if let Some(kernels) = own {
                kernels[j].backward(&self.deltas[position][..len], below, Accum::Add, self.scratch);
            }
        }
    }
}

/// Entries that stand together for one direction: a vector of one sample, or images of the whole block.
pub(super) fn per_sample(shape: Shape, n: usize) -> usize {
    match shape {
        Shape::Vector(dim) => dim,
        Shape::Image(shape) => shape.dim() * n,
    }
}

/// Pieces of length `apart` of what moves along `k` directions, each with the piece of `primal` that it belongs to.
pub(super) fn paired<'a, T: Scalar>(
    moved: &'a [T],
    primal: &'a [T],
    apart: usize,
    n: usize,
    k: usize,
) -> impl Iterator<Item = (&'a [T], &'a [T])> {
    // Images: every direction has the whole block. Vectors: k directions a sample.
    let vectors = moved.len() == apart * n * k;
    moved.chunks_exact(apart).enumerate().map(move |(j, moved)| {
        let piece = if vectors { j / k } else { 0 };
        (moved, &primal[piece * apart..(piece + 1) * apart])
    })
}
