//! Means of products of panels: moments of what is short for every sample.

use crate::joint::mirror;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Columns of the panels that are multiplied together, at least.
pub(crate) const PANEL: usize = 256;
/// Columns of a tile of the result.
const TILE: usize = 128;

/// `(1/N) Σ_p L_p R_pᵀ`, `P × P` and symmetric, of panels `P × width` that `fill(worker, p, L_p, R_p)` writes.
///
/// The same to the last bit for any number of threads of the current rayon pool.
pub(crate) fn panel_moment<W>(
    P: usize,
    N: usize,
    width: usize,
    worker: impl Fn() -> W + Sync + Send,
    fill: impl Fn(&mut W, usize, MatMut<'_, f64>, MatMut<'_, f64>) + Sync + Send,
) -> Mat<f64> {
    let together = PANEL.div_ceil(width).min(N);
    let mut panels = [vec![0.0; P * width * together], vec![0.0; P * width * together]];
    let mut moment = Mat::zeros(P, P);
    let scale = 1.0 / N as f64;
    for first in (0..N).step_by(together) {
        let count = together.min(N - first);
        let [left, right] = &mut panels;
        let (left, right) = (&mut left[..P * width * count], &mut right[..P * width * count]);
        let samples = left.par_chunks_mut(P * width).zip(right.par_chunks_mut(P * width)).enumerate();
        samples.for_each_init(&worker, |worker, (p, (left, right))| {
            let [left, right] = [left, right].map(|panel| MatMut::from_column_major_slice_mut(panel, P, width));
            fill(worker, first + p, left, right);
        });
        let [left, right] = [&*left, &*right].map(|panel| MatRef::from_column_major_slice(panel, P, width * count));
        moment.as_mut().par_col_chunks_mut(TILE).enumerate().with_max_len(1).for_each(|(t, columns)| {
            let (start, n) = (t * TILE, columns.ncols());
            let right = right.subrows(start, n).transpose();
            let left = left.subrows(start, P - start);
            matmul(columns.subrows_mut(start, P - start), Accum::Add, left, right, scale, Par::Seq);
        });
    }
    mirror(&mut moment);
    moment
}
