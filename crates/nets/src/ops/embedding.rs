//! Rows of a table.

use super::{At, Given, Gradients, Misfit, Moved, Rule, add, exactly, shown};
use crate::Scalar;

/// Row `i` of a table `(rows, d)` for every entry `i` of the ids: `(…)` becomes `(…, d)`.
///
/// Operands: the table, mostly a parameter, and the ids, whole numbers below `rows` that no derivative is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding;

/// Calls `each(where in the table, where in the result)` for all ids of sample `p`.
fn for_ids<T: Scalar>(at: &At<'_, T>, p: usize, mut each: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
    let d = at.operands[0].shape[1];
    for (t, id) in at.of(1, p).iter().enumerate() {
        let row = id.f64() as usize;
        each(row * d..(row + 1) * d, t * d..(t + 1) * d);
    }
}

impl Rule for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [table, ids] = exactly(given)?;
        match *table.shape {
            [_, d] if table.shared && ids.constant => Ok([ids.shape, &[d]].concat()),
            [_, _] => Err(Misfit::new("a table of every sample, or ids that move", "a shared table and fixed ids")),
            _ => Err(Misfit::new(format!("a table {}", shown(table.shape)), "(rows, d)")),
        }
    }

    fn check<T: Scalar>(&self, at: &At<'_, T>, _differentiate: bool) -> Option<(usize, Misfit)> {
        let (rows, ids) = (at.operands[0].shape[0], at.operands[1]);
        let fits = |id: f64| id >= 0.0 && id.fract() == 0.0 && id < rows as f64;
        let wrong = ids.values.iter().position(|id| !fits(id.f64()))?;
        let expected = format!("a whole number below {rows}");
        Some((wrong / ids.dim(), Misfit::new(format!("id {}", ids.values[wrong]), expected)))
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let table = at.operands[0].values;
        for (p, out) in out.chunks_exact_mut(at.dim()).enumerate() {
            for_ids(at, p, |row, to| out[to].copy_from_slice(&table[row]));
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let Some(table) = moved[0] else { return };
        for ((block, out), table) in out
            .chunks_exact_mut(at.dim())
            .enumerate()
            .map(|(block, out)| ((block, out), &table[at.range(0, block / at.n, 0)]))
            .take(k * at.n)
        {
            for_ids(at, block % at.n, |row, to| out[to].copy_from_slice(&table[row]));
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let Some(into) = &mut into[0] else { return };
        for (block, delta) in delta.chunks_exact(at.dim()).enumerate().take(k * at.n) {
            let table = &mut into[at.range(0, block / at.n, 0)];
            for_ids(at, block % at.n, |row, from| add(&mut table[row], &delta[from]));
        }
    }
}
