//! Softmax over the last axis.

use super::{At, Given, Gradients, Misfit, Moved, Rule, dot, exactly};
use crate::Scalar;

/// `y_i = e^(x_i) / Σ_j e^(x_j)` over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax;

/// Vectors that are normalised: their length.
fn width<T>(at: &At<'_, T>) -> usize {
    at.shape[at.shape.len() - 1]
}

/// `y ⊙ (v − y·v)`, given to `each`: the Jacobian, which is symmetric, times `v`.
fn jacobian<T: Scalar>(at: &At<'_, T>, v: &[T], out: &mut [T], each: impl Fn(&mut T, T)) {
    let width = width(at);
    let vectors = out.chunks_exact_mut(width).zip(v.chunks_exact(width));
    for ((out, v), y) in vectors.zip(at.output.chunks_exact(width).cycle()) {
        let along = dot(y, v);
        out.iter_mut().zip(y).zip(v).for_each(|((out, &y), &v)| each(out, y * (v - along)));
    }
}

impl Rule for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        match x.shape {
            [] => Err(Misfit::new("a value of shape ()", "at least one axis")),
            shape => Ok(shape.to_vec()),
        }
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let width = width(at);
        for (x, out) in at.operands[0].values.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            crate::loss::softmax(x, out);
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, _k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        if let Some(moved) = moved[0] {
            jacobian(at, moved, out, |out, y| *out = y);
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, _k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        if let Some(into) = &mut into[0] {
            jacobian(at, delta, into, |x, d| *x += d);
        }
    }

    fn bends(&self, moves: &[bool]) -> bool {
        moves[0]
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        _k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        let (Some(moved), Some(into)) = (moved[0], &mut into[0]) else { return };
        let width = width(at);
        let primal = at.output.chunks_exact(width).zip(delta.chunks_exact(width)).cycle();
        let vectors = into.chunks_exact_mut(width).zip(moved.chunks_exact(width));
        for ((into, moved), (y, delta)) in vectors.zip(primal) {
            let (along, moved_along) = (dot(y, delta), dot(y, moved));
            let moved_y = |y: T, moved: T| y * (moved - moved_along);
            let cross = y.iter().zip(moved).zip(delta).map(|((&y, &m), &d)| moved_y(y, m) * d).sum::<T>();
            for (((x, &y), &m), &d) in into.iter_mut().zip(y).zip(moved).zip(delta) {
                *x += moved_y(y, m) * (d - along) - y * cross;
            }
        }
    }
}
