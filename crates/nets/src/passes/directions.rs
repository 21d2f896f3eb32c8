//! Several vectors over selected parameters at once, laid out as the passes of a block read and write them.
//!
//! For a dense layer the `K` weights stand one under the other, so that one product serves all of them: as
//! `(K d_out) × d_in` for what takes inputs, as `(K d_in) × d_out` for what takes gradients in outputs. Of a
//! convolution each vector has kernels of its own.

use super::conv::{self, Kernels};
use crate::{Architecture, Layer, Part, Scalar, Selection};
use faer::{MatMut, MatRef};

/// `K` vectors over a [`Selection`], arranged for [`super::BlockPasses`].
#[derive(Clone, Debug)]
pub struct Directions<T> {
    pub(super) n: usize,
    /// One a layer; empty where nothing is selected.
    pub(super) layers: Vec<LayerDirections<T>>,
}

#[derive(Clone, Debug)]
pub(super) struct LayerDirections<T> {
    /// Dense: `[k][o][i]`.
    pub(super) rows: Vec<T>,
    /// Dense behind the first selected layer: `[o][k][i]`.
    pub(super) columns: Vec<T>,
    /// Convolution: one a vector.
    pub(super) kernels: Vec<Kernels<T>>,
    /// `[k][o]`.
    pub(super) bias: Vec<T>,
}

impl<T: Scalar> Directions<T> {
    /// The columns of `vectors`, `n_params × K`, each a vector over `selection`.
    ///
    /// # Panics
    /// When the rows are not the selection's entries, or the selection is of another architecture.
    #[track_caller]
    pub fn new(architecture: &Architecture, selection: &Selection, vectors: MatRef<'_, T>) -> Self {
        assert!(selection.fits(architecture), "the selection is of another architecture");
        assert_eq!(vectors.nrows(), selection.n_params(), "one row a selected parameter");
        let n = vectors.ncols();
        let none = || LayerDirections { rows: Vec::new(), columns: Vec::new(), kernels: Vec::new(), bias: Vec::new() };
        let mut layers: Vec<_> = architecture.layers().iter().map(|_| none()).collect();
        let first = selection.parameters()[0].layer;
        for (parameter, own) in selection.parameters().iter().zip(selection.offsets()) {
            let to = &mut layers[parameter.layer];
            let of_all = |into: &mut Vec<T>| {
                into.reserve_exact(n * own.len());
                for k in 0..n {
                    let column = vectors.col(k).subrows(own.start, own.len());
                    match column.try_as_col_major() {
                        Some(column) => into.extend_from_slice(column.as_slice()),
                        None => into.extend(column.iter().copied()),
                    }
                }
            };
            match (&architecture.layers()[parameter.layer], parameter.part) {
                (_, Part::Bias) => of_all(&mut to.bias),
                (&Layer::Conv3x3 { input, c_out }, Part::Weight) => {
                    let mut all = Vec::new();
                    of_all(&mut all);
                    let arranged = |weight: &[T]| {
                        let mut kernels = Kernels::new(input, c_out);
                        kernels.arrange(weight);
                        kernels
                    };
                    to.kernels.extend(all.chunks_exact(own.len()).map(arranged));
                }
                (&Layer::Dense { d_in, d_out, .. }, Part::Weight) => {
                    of_all(&mut to.rows);
                    if parameter.layer > first {
                        to.columns.reserve_exact(to.rows.len());
                        for o in 0..d_out {
                            for k in 0..n {
                                to.columns.extend_from_slice(&to.rows[(k * d_out + o) * d_in..][..d_in]);
                            }
                        }
                    }
                }
                (layer, Part::Weight) => unreachable!("a {layer} has no weight, which the selection has checked"),
            }
        }
        Self { n, layers }
    }

    /// `K`.
    pub fn n_vectors(&self) -> usize {
        self.n
    }
}

/// Sums over samples of `K` vectors over a [`Selection`], in the order in which passes add to them.
#[derive(Clone, Debug)]
pub struct Sums<T> {
    pub(super) n: usize,
    pub(super) layers: Vec<LayerSums<T>>,
}

#[derive(Clone, Debug)]
pub(super) struct LayerSums<T> {
    /// Dense: `[k][o][i]`.
    pub(super) rows: Vec<T>,
    /// Dense: `[o][k][i]`, empty until something is added.
    pub(super) columns: Vec<T>,
    /// Convolution: `[k]` and then in the order of products.
    pub(super) kernels: Vec<T>,
    /// `[k][o]`.
    pub(super) bias: Vec<T>,
}

impl<T: Scalar> Sums<T> {
    /// Zeros for `n_vectors` vectors over `selection`.
    ///
    /// # Panics
    /// When the selection is of another architecture.
    #[track_caller]
    pub fn zeros(architecture: &Architecture, selection: &Selection, n_vectors: usize) -> Self {
        assert!(selection.fits(architecture), "the selection is of another architecture");
        let none = || LayerSums { rows: Vec::new(), columns: Vec::new(), kernels: Vec::new(), bias: Vec::new() };
        let mut layers: Vec<_> = architecture.layers().iter().map(|_| none()).collect();
        for (parameter, own) in selection.parameters().iter().zip(selection.ranges()) {
            let to = &mut layers[parameter.layer];
            let is_dense = matches!(architecture.layers()[parameter.layer], Layer::Dense { .. });
            let sum = match parameter.part {
                Part::Bias => &mut to.bias,
                Part::Weight if is_dense => &mut to.rows,
                Part::Weight => &mut to.kernels,
            };
            *sum = vec![T::ZERO; n_vectors * own.len()];
        }
        Self { n: n_vectors, layers }
    }

    /// `K`.
    pub fn n_vectors(&self) -> usize {
        self.n
    }

    /// Sets all sums to zero.
    pub fn clear(&mut self) {
        for layer in &mut self.layers {
            for sum in [&mut layer.rows, &mut layer.columns, &mut layer.kernels, &mut layer.bias] {
                sum.fill(T::ZERO);
            }
        }
    }

    /// Adds other sums over the same selection, of as many vectors.
    pub(super) fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.n, other.n);
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            // Empty where nothing was added.
            to.columns.resize(to.columns.len().max(from.columns.len()), T::ZERO);
            let parts = [
                (&mut to.rows, &from.rows),
                (&mut to.columns, &from.columns),
                (&mut to.kernels, &from.kernels),
                (&mut to.bias, &from.bias),
            ];
            for (to, from) in parts {
                to.iter_mut().zip(from).for_each(|(x, &s)| *x += s);
            }
        }
    }

    /// Adds the sums to the columns of `out`, `n_params × K`, each a vector over `selection`.
    ///
    /// # Panics
    /// When `out` or the selection does not fit.
    #[track_caller]
    pub fn add_to(&self, architecture: &Architecture, selection: &Selection, mut out: MatMut<'_, T>) {
        assert!(selection.fits(architecture), "the selection is of another architecture");
        assert!(out.nrows() == selection.n_params() && out.ncols() == self.n, "out is n_params × K");
        let mut ordered = Vec::new();
        for (parameter, own) in selection.parameters().iter().zip(selection.offsets()) {
            let (from, len) = (&self.layers[parameter.layer], own.len());
            for k in 0..self.n {
                let out = out.as_mut().col_mut(k).subrows_mut(own.start, len);
                match (&architecture.layers()[parameter.layer], parameter.part) {
                    (_, Part::Bias) => add(out, &from.bias[k * len..(k + 1) * len]),
                    (&Layer::Conv3x3 { input, c_out }, Part::Weight) => {
                        ordered.resize(len, T::ZERO);
                        let sum = &from.kernels[k * len..(k + 1) * len];
                        conv::in_parameter_order(sum, input.channels, c_out, &mut ordered);
                        add(out, &ordered);
                    }
                    (_, Part::Weight) => add(out, &from.rows[k * len..(k + 1) * len]),
                }
            }
            if let (&Layer::Dense { d_in, d_out, .. }, Part::Weight) =
                (&architecture.layers()[parameter.layer], parameter.part)
            {
                // Empty where nothing was added.
                for (row, sum) in from.columns.chunks_exact(d_in).enumerate() {
                    let (o, k) = (row / self.n, row % self.n);
                    debug_assert!(o < d_out);
                    add(out.as_mut().col_mut(k).subrows_mut(own.start + o * d_in, d_in), sum);
                }
            }
        }
    }
}

fn add<T: Scalar>(mut out: faer::ColMut<'_, T>, sum: &[T]) {
    if let Some(out) = out.as_mut().try_as_col_major_mut() {
        out.as_slice_mut().iter_mut().zip(sum).for_each(|(x, &s)| *x += s);
    } else {
        out.iter_mut().zip(sum).for_each(|(x, &s)| *x += s);
    }
}
