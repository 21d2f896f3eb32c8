//! One block of a joint moment as a sum of products of panels.
//!
//! The block is `E_p` of up to four terms at `((o,i), (j,k))`: `X[o,j] a_m[i] a_l[k]`, `Y[i,j] δ_m[o] a_l[k]`,
//! `Z[o,k] a_m[i] δ_l[j]` and `W[i,k] δ_m[o] δ_l[j]`. Each is a product of one panel indexed by `i` and a column index,
//! and one by `o` and the other column index, summed over samples; `i` runs fastest in the block's columns and in the
//! sums.

use super::JointLayers;
use super::coefficients::Coefficients;
use crate::kronecker_moment::{BLOCK, FILL, take_up};
use faer::{Mat, MatRef};
use rayon::prelude::*;

/// One term's coefficients of one sample, to be filled.
pub(super) struct Part<'s> {
    to: &'s mut [f64],
    order: Order,
}

/// How a term's coefficients stand in their panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `X`, `Z`: rows `o` slow, columns fast.
    Rows,
    /// `Y`, `W`: columns slow, rows `i` fast.
    Columns,
}

impl Part<'_> {
    pub(super) fn fill(&mut self, coefficients: MatRef<'_, f64>) {
        let (rows, columns) = (coefficients.nrows(), coefficients.ncols());
        for j in 0..columns {
            for i in 0..rows {
                let at = if self.order == Order::Rows { i * columns + j } else { j * rows + i };
                self.to[at] = coefficients[(i, j)];
            }
        }
    }
}

/// Adds block `(m, l)`, its first `n_terms` terms in the order `X, Y, Z, W`, to `moment`; `fill` writes their
/// coefficients.
pub(super) fn add_block(
    joint: &JointLayers<'_>,
    moment: &mut Mat<f64>,
    m: usize,
    l: usize,
    n_terms: usize,
    fill: impl Fn(&mut Coefficients<'_, '_>, usize, &mut [Part<'_>]) + Sync,
) {
    let (above, below) = (&joint.layers[m], &joint.layers[l]);
    let (out_m, in_m, out_l, in_l) = (above.d_out(), above.d_in(), below.d_out(), below.d_in());
    let n_samples = joint.n_samples();
    // Lengths of the panels indexed by i, and by o.
    let fast = [in_m * in_l, in_m * out_l, in_m * out_l, in_m * in_l];
    let slow = [out_m * out_l, out_m * in_l, out_m * in_l, out_m * out_l];
    let (n_fast, n_slow): (usize, usize) = (fast[..n_terms].iter().sum(), slow[..n_terms].iter().sum());
    let mut sums: Vec<Vec<f64>> = (0..n_terms).map(|t| vec![0.0; fast[t] * slow[t]]).collect();
    let mut fast_panel = vec![0.0; n_fast * BLOCK.min(n_samples)];
    let mut slow_panel = vec![0.0; n_slow * BLOCK.min(n_samples)];
    for first in (0..n_samples).step_by(BLOCK) {
        let count = BLOCK.min(n_samples - first);
        let panels = fast_panel[..n_fast * count]
            .par_chunks_mut(n_fast * FILL)
            .zip(slow_panel[..n_slow * count].par_chunks_mut(n_slow * FILL));
        panels.enumerate().for_each_init(
            || Coefficients::new(joint),
            |at, (task, (fast_panel, slow_panel))| {
                let samples = fast_panel.chunks_exact_mut(n_fast).zip(slow_panel.chunks_exact_mut(n_slow));
                for (offset, (fast_panel, slow_panel)) in samples.enumerate() {
                    let p = first + task * FILL + offset;
                    let (a_m, a_l) = (above.a(p), below.a(p));
                    let (delta_m, delta_l) = (above.delta(p), below.delta(p));
                    let mut parts = Vec::with_capacity(n_terms);
                    let (mut fast_rest, mut slow_rest) = (fast_panel, slow_panel);
                    for t in 0..n_terms {
                        let (fast_part, rest) = fast_rest.split_at_mut(fast[t]);
                        fast_rest = rest;
                        let (slow_part, rest) = slow_rest.split_at_mut(slow[t]);
                        slow_rest = rest;
                        // Factors first; coefficients take the other panel.
                        let (to, order) = match t {
                            0 => {
                                outer(a_l, a_m, fast_part);
                                (slow_part, Order::Rows)
                            }
                            1 => {
                                outer(delta_m, a_l, slow_part);
                                (fast_part, Order::Columns)
                            }
                            2 => {
                                outer(delta_l, a_m, fast_part);
                                (slow_part, Order::Rows)
                            }
                            _ => {
                                outer(delta_m, delta_l, slow_part);
                                (fast_part, Order::Columns)
                            }
                        };
                        parts.push(Part { to, order });
                    }
                    fill(at, p, &mut parts);
                }
            },
        );
        let fast_panel = MatRef::from_column_major_slice(&fast_panel[..n_fast * count], n_fast, count);
        let slow_panel = MatRef::from_column_major_slice(&slow_panel[..n_slow * count], n_slow, count);
        let (mut fast_at, mut slow_at) = (0, 0);
        for (t, sum) in sums.iter_mut().enumerate() {
            take_up(sum, fast_panel.subrows(fast_at, fast[t]), slow_panel.subrows(slow_at, slow[t]));
            fast_at += fast[t];
            slow_at += slow[t];
        }
    }
    let (rows, columns) = (joint.ranges[m].clone(), joint.ranges[l].clone());
    let scale = 1.0 / n_samples as f64;
    let block = moment.as_mut().submatrix_mut(rows.start, columns.start, rows.len(), columns.len());
    block.par_col_chunks_mut(in_l).enumerate().for_each(|(j, mut block)| {
        for k in 0..in_l {
            let column = block.as_mut().col_mut(k).try_as_col_major_mut().expect("columns are contiguous");
            for (o, out) in column.as_slice_mut().chunks_exact_mut(in_m).enumerate() {
                for (t, sum) in sums.iter().enumerate() {
                    // X and W pair i with k and o with j, Y and Z the other way.
                    let (at_fast, at_slow) = match t {
                        0 | 3 => (k, o * out_l + j),
                        _ => (j, o * in_l + k),
                    };
                    let from = &sum[at_slow * fast[t] + at_fast * in_m..][..in_m];
                    out.iter_mut().zip(from).for_each(|(x, s)| *x += scale * s);
                }
            }
        }
    });
}

/// `u[s] v[t]` at `s · len(v) + t`.
fn outer(u: &[f64], v: &[f64], out: &mut [f64]) {
    for (out, &u) in out.chunks_exact_mut(v.len()).zip(u) {
        out.iter_mut().zip(v).for_each(|(x, &v)| *x = u * v);
    }
}

/// Copies the lower triangle to the upper one.
pub(crate) fn mirror(matrix: &mut Mat<f64>) {
    /// Order of the squares that are copied together.
    const SQUARE: usize = 64;
    let n = matrix.nrows();
    for first in (0..n).step_by(SQUARE) {
        for top in (first..n).step_by(SQUARE) {
            for j in first..n.min(first + SQUARE) {
                for i in top.max(j + 1)..n.min(top + SQUARE) {
                    matrix[(j, i)] = matrix[(i, j)];
                }
            }
        }
    }
}
