//! Values one after the other along an axis.

use super::{At, Given, Gradients, Misfit, Moved, Rule, len, shown};
use crate::Scalar;

/// Operands one after the other along `axis`, counted from 0 behind the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concatenate {
    /// Along which.
    pub axis: usize,
}

impl Concatenate {
    /// Calls `each(where in the result, where in operand i)` for the pieces of sample `p` of direction `k`.
    fn pieces<T>(
        &self,
        at: &At<'_, T>,
        i: usize,
        k: usize,
        p: usize,
        mut each: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let inner = |shape: &[usize]| len(&shape[self.axis..]);
        let before: usize = at.operands[..i].iter().map(|operand| inner(operand.shape)).sum();
        let (own, all) = (inner(at.operands[i].shape), inner(at.shape));
        let from = at.range(i, k, p).start;
        let to = (k * at.n + p) * at.dim() + before;
        for outer in 0..at.dim() / all {
            each(to + outer * all..to + outer * all + own, from + outer * own..from + (outer + 1) * own);
        }
    }
}

impl Rule for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let Some(first) = given.first().filter(|first| self.axis < first.shape.len()) else {
            return Err(Misfit::new(format!("{} operands", given.len()), format!("values with an axis {}", self.axis)));
        };
        let mut shape = first.shape.to_vec();
        for other in &given[1..] {
            let fits = other.shape.len() == shape.len()
                && other.shape.iter().zip(&shape).enumerate().all(|(axis, (a, b))| axis == self.axis || a == b);
            if !fits {
                let found = format!("{} and {}", shown(first.shape), shown(other.shape));
                return Err(Misfit::new(found, format!("shapes that differ along axis {} only", self.axis)));
            }
            shape[self.axis] += other.shape[self.axis];
        }
        Ok(shape)
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        for (i, operand) in at.operands.iter().enumerate() {
            for p in 0..at.n {
                self.pieces(at, i, 0, p, |to, from| out[to].copy_from_slice(&operand.values[from]));
            }
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        for (i, moved) in moved.iter().enumerate() {
            for (k, p) in (0..k).flat_map(|k| (0..at.n).map(move |p| (k, p))) {
                self.pieces(at, i, k, p, |to, from| match moved {
                    Some(moved) => out[to].copy_from_slice(&moved[from]),
                    None => out[to].fill(T::ZERO),
                });
            }
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        for (i, into) in into.iter_mut().enumerate() {
            let Some(into) = into else { continue };
            for (k, p) in (0..k).flat_map(|k| (0..at.n).map(move |p| (k, p))) {
                self.pieces(at, i, k, p, |to, from| super::add(&mut into[from], &delta[to]));
            }
        }
    }
}
