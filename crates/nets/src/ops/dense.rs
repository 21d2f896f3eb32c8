//! `z = W a + b` over the last axis.

use super::{At, Given, Gradients, LayerUse, Misfit, Moved, OutputOrder, Rule, add, len, shown};
use crate::Scalar;
use crate::passes::dense::product;
use faer::{Accum, MatMut, MatRef};

/// `z = W a` or `z = W a + b`, for every vector of the last axis of the first operand: `(…, d_in)` becomes `(…,
/// d_out)`.
///
/// Operands: the value, the weight, and maybe a bias `(d_out)`. Weight and bias are shared by all samples; for a
/// product of two values there is [`MatrixProduct`](super::MatrixProduct).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dense {
    /// How the weight stands.
    pub weight: WeightOrder,
}

/// Which axis of a weight comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightOrder {
    /// `(d_out, d_in)`, as PyTorch's `Linear` has it.
    #[default]
    OutIn,
    /// `(d_in, d_out)`, as the right factor of a matrix product.
    InOut,
}

impl Dense {
    fn matrix<'w, T>(&self, weight: &'w [T], d_out: usize, d_in: usize) -> MatRef<'w, T> {
        match self.weight {
            WeightOrder::OutIn => MatRef::from_row_major_slice(weight, d_out, d_in),
            WeightOrder::InOut => MatRef::from_column_major_slice(weight, d_out, d_in),
        }
    }

    fn matrix_mut<'w, T>(&self, weight: &'w mut [T], d_out: usize, d_in: usize) -> MatMut<'w, T> {
        match self.weight {
            WeightOrder::OutIn => MatMut::from_row_major_slice_mut(weight, d_out, d_in),
            WeightOrder::InOut => MatMut::from_column_major_slice_mut(weight, d_out, d_in),
        }
    }
}

/// `(d_in, d_out)` of a node whose shapes have been checked.
fn dims<T>(at: &At<'_, T>) -> (usize, usize) {
    let last = |shape: &[usize]| shape[shape.len() - 1];
    (last(at.operands[0].shape), last(at.shape))
}

fn columns<T>(flat: &[T], rows: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(flat, rows, flat.len() / rows)
}

fn columns_mut<T>(flat: &mut [T], rows: usize) -> MatMut<'_, T> {
    let n = flat.len() / rows;
    MatMut::from_column_major_slice_mut(flat, rows, n)
}

impl Rule for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        if !(2..=3).contains(&given.len()) {
            return Err(Misfit::new(format!("{} operands", given.len()), "a value, a weight and maybe a bias"));
        }
        let Some((&d_in, lead)) = given[0].shape.split_last() else {
            return Err(Misfit::new("a value of shape ()", "at least one axis"));
        };
        let d_out = match (self.weight, given[1].shape) {
            (WeightOrder::OutIn, &[d_out, d]) | (WeightOrder::InOut, &[d, d_out]) if d == d_in => d_out,
            (WeightOrder::OutIn, _) => {
                return Err(Misfit::new(format!("weight {}", shown(given[1].shape)), format!("(d_out, {d_in})")));
            }
            (WeightOrder::InOut, _) => {
                return Err(Misfit::new(format!("weight {}", shown(given[1].shape)), format!("({d_in}, d_out)")));
            }
        };
        if let Some(bias) = given.get(2).filter(|bias| bias.shape != [d_out]) {
            return Err(Misfit::new(format!("bias {}", shown(bias.shape)), shown(&[d_out])));
        }
        if given[1..].iter().any(|parameter| !parameter.shared) {
            return Err(Misfit::new("a weight or bias of every sample", "one that all samples share"));
        }
        Ok([lead, &[d_out]].concat())
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let (d_in, d_out) = dims(at);
        let accum = match at.operands.get(2) {
            None => Accum::Replace,
            Some(bias) => {
                out.chunks_exact_mut(d_out).for_each(|z| z.copy_from_slice(bias.values));
                Accum::Add
            }
        };
        let W = self.matrix(at.operands[1].values, d_out, d_in);
        product(columns_mut(out, d_out), accum, W, columns(at.operands[0].values, d_in));
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let (d_in, d_out) = dims(at);
        let mut accum = Accum::Replace;
        if let Some(moved) = moved[0] {
            let W = self.matrix(at.operands[1].values, d_out, d_in);
            product(columns_mut(out, d_out), accum, W, columns(moved, d_in));
            accum = Accum::Add;
        }
        let block = out.len() / k;
        if let Some(directions) = moved[1] {
            let A = columns(at.operands[0].values, d_in);
            for (V, out) in directions.chunks_exact(d_in * d_out).zip(out.chunks_exact_mut(block)) {
                product(columns_mut(out, d_out), accum, self.matrix(V, d_out, d_in), A);
            }
            accum = Accum::Add;
        }
        if let Some(bias) = moved.get(2).copied().flatten() {
            for (bias, out) in bias.chunks_exact(d_out).zip(out.chunks_exact_mut(block)) {
                out.chunks_exact_mut(d_out).for_each(|z| match accum {
                    Accum::Add => add(z, bias),
                    Accum::Replace => z.copy_from_slice(bias),
                });
            }
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let (d_in, d_out) = dims(at);
        if let Some(into) = &mut into[0] {
            let W = self.matrix(at.operands[1].values, d_out, d_in);
            product(columns_mut(into, d_in), Accum::Add, W.transpose(), columns(delta, d_out));
        }
        let deltas = || delta.chunks_exact(delta.len() / k);
        if let Some(into) = &mut into[1] {
            let A = columns(at.operands[0].values, d_in).transpose();
            for (delta, into) in deltas().zip(into.chunks_exact_mut(d_in * d_out)) {
                product(self.matrix_mut(into, d_out, d_in), Accum::Add, columns(delta, d_out), A);
            }
        }
        if let Some(Some(into)) = into.get_mut(2) {
            for (delta, into) in deltas().zip(into.chunks_exact_mut(d_out)) {
                delta.chunks_exact(d_out).for_each(|delta| add(into, delta));
            }
        }
    }

    fn bends(&self, moves: &[bool]) -> bool {
        moves[0] && moves[1]
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        let (d_in, d_out) = dims(at);
        let delta = columns(delta, d_out);
        if let (Some(directions), Some(into)) = (moved[1], &mut into[0]) {
            let block = into.len() / k;
            for (V, into) in directions.chunks_exact(d_in * d_out).zip(into.chunks_exact_mut(block)) {
                product(columns_mut(into, d_in), Accum::Add, self.matrix(V, d_out, d_in).transpose(), delta);
            }
        }
        if let (Some(moved), Some(into)) = (moved[0], &mut into[1]) {
            for (moved, into) in moved.chunks_exact(moved.len() / k).zip(into.chunks_exact_mut(d_in * d_out)) {
                product(self.matrix_mut(into, d_out, d_in), Accum::Add, delta, columns(moved, d_in).transpose());
            }
        }
    }

    fn layer(&self, operands: &[&[usize]], shape: &[usize]) -> Option<LayerUse> {
        let (d_in, d_out) = (*operands[0].last()?, *shape.last()?);
        let (positions, order) = (len(shape) / d_out, OutputOrder::PositionsFirst);
        Some(LayerUse { positions, d_out, d_in, groups: 1, order, weight: self.weight })
    }
}
