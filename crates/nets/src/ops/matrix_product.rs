//! Matrix products of two values.

use super::{At, Given, Gradients, Misfit, Moved, Rule, broadcast_map, exactly, len, shown};
use crate::Scalar;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// `(…, m, k) × (…, k, n) → (…, m, n)`, with the axes in front broadcast: the two products of attention.
///
/// Either operand may be a parameter; for `x Wᵀ` over the last axis [`Dense`](super::Dense) is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixProduct;

/// Rows, inner and columns.
fn sizes<T>(at: &At<'_, T>) -> [usize; 3] {
    let from_end = |shape: &[usize], axis: usize| shape[shape.len() - axis];
    let a = at.operands[0].shape;
    [from_end(a, 2), from_end(a, 1), from_end(at.shape, 1)]
}

/// Calls `each` with the ranges of `a`, `b` and their product, for all products of `k` directions; `moves` says which
/// of `a` and `b` stand once a direction.
fn for_products<T>(at: &At<'_, T>, k: usize, moves: [bool; 2], mut each: impl FnMut([std::ops::Range<usize>; 3])) {
    let [m, inner, n] = sizes(at);
    let products = at.dim() / (m * n);
    for (block, p) in (0..k).flat_map(|k| (0..at.n).map(move |p| (k, p))) {
        for j in 0..products {
            let range = |i: usize, len: usize| {
                let own = at.maps[i].get(j).map_or(j, |&j| j as usize) * len;
                let start = at.range(i, if moves[i] { block } else { 0 }, p).start + own;
                start..start + len
            };
            let out = ((block * at.n + p) * products + j) * m * n;
            each([range(0, m * inner), range(1, inner * n), out..out + m * n]);
        }
    }
}

fn rows<T>(flat: &[T], rows: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(flat, rows, flat.len() / rows)
}

fn rows_mut<T>(flat: &mut [T], rows: usize) -> MatMut<'_, T> {
    let n = flat.len() / rows;
    MatMut::from_row_major_slice_mut(flat, rows, n)
}

/// `Σ_j δ bᵀ` into the gradient in `a`, `b` moving or not.
fn into_left<T: Scalar>(at: &At<'_, T>, k: usize, moves: bool, delta: &[T], b: &[T], into: &mut [T]) {
    let [m, inner, _] = sizes(at);
    for_products(at, k, [true, moves], |[left, right, out]| {
        let out = out.start % delta.len();
        let (delta, b) = (rows(&delta[out..out + m * sizes(at)[2]], m), rows(&b[right], inner));
        matmul(rows_mut(&mut into[left], m), Accum::Add, delta, b.transpose(), T::ONE, Par::Seq);
    });
}

/// `Σ_j aᵀ δ` into the gradient in `b`, `a` moving or not.
fn into_right<T: Scalar>(at: &At<'_, T>, k: usize, moves: bool, delta: &[T], a: &[T], into: &mut [T]) {
    let [m, inner, _] = sizes(at);
    for_products(at, k, [moves, true], |[left, right, out]| {
        let out = out.start % delta.len();
        let (delta, a) = (rows(&delta[out..out + m * sizes(at)[2]], m), rows(&a[left], m));
        matmul(rows_mut(&mut into[right], inner), Accum::Add, a.transpose(), delta, T::ONE, Par::Seq);
    });
}

impl Rule for MatrixProduct {
    fn name(&self) -> &'static str {
        "matrix-product"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [a, b] = exactly(given)?;
        let misfit =
            || Misfit::new(format!("{} times {}", shown(a.shape), shown(b.shape)), "(…, m, k) times (…, k, n)");
        let ([lead_a @ .., m, inner_a], [lead_b @ .., inner_b, n]) = (a.shape, b.shape) else { return Err(misfit()) };
        if inner_a != inner_b {
            return Err(misfit());
        }
        let longer = if lead_a.len() > lead_b.len() { lead_a } else { lead_b };
        let mut lead = longer.to_vec();
        for (axis, out) in lead.iter_mut().enumerate() {
            let of = |lead: &[usize]| (axis + lead.len()).checked_sub(longer.len()).map_or(1, |axis| lead[axis]);
            *out = of(lead_a).max(of(lead_b));
        }
        if broadcast_map(lead_a, &lead).is_none() || broadcast_map(lead_b, &lead).is_none() {
            return Err(misfit());
        }
        Ok([&lead[..], &[*m, *n]].concat())
    }

    fn maps(&self, operands: &[&[usize]], shape: &[usize]) -> Vec<Vec<u32>> {
        let lead = |shape: &[usize]| shape[..shape.len() - 2].to_vec();
        let map = |from: &&[usize]| broadcast_map(&lead(from), &lead(shape)).expect("the shape rule has checked it");
        operands.iter().map(map).collect()
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let [m, inner, _] = sizes(at);
        let (a, b) = (at.operands[0].values, at.operands[1].values);
        for_products(at, 1, [false; 2], |[left, right, to]| {
            let out = rows_mut(&mut out[to], m);
            matmul(out, Accum::Replace, rows(&a[left], m), rows(&b[right], inner), T::ONE, Par::Seq);
        });
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let [m, inner, _] = sizes(at);
        let (a, b) = (at.operands[0].values, at.operands[1].values);
        let mut accum = Accum::Replace;
        for (moves, factors) in [([true, false], moved[0].map(|a| (a, b))), ([false, true], moved[1].map(|b| (a, b)))] {
            let Some((a, b)) = factors else { continue };
            for_products(at, k, moves, |[left, right, to]| {
                let out = rows_mut(&mut out[to], m);
                matmul(out, accum, rows(&a[left], m), rows(&b[right], inner), T::ONE, Par::Seq);
            });
            accum = Accum::Add;
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        if let Some(into) = &mut into[0] {
            into_left(at, k, false, delta, at.operands[1].values, into);
        }
        if let Some(into) = &mut into[1] {
            into_right(at, k, false, delta, at.operands[0].values, into);
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
        debug_assert_eq!(delta.len(), at.n * len(at.shape));
        if let (Some(moved), Some(into)) = (moved[1], &mut into[0]) {
            into_left(at, k, true, delta, moved, into);
        }
        if let (Some(moved), Some(into)) = (moved[0], &mut into[1]) {
            into_right(at, k, true, delta, moved, into);
        }
    }
}
