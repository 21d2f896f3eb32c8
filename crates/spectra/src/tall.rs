//! Products of tall matrices, and columns made orthonormal to others.
//!
//! Rows are worked on in panels of a fixed height, one thread each, and sums over panels are taken in order: the result
//! does not depend on the number of threads, and a long sum is a sum of short ones.

use faer::linalg::matmul::matmul;
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows of a panel.
const ROWS: usize = 2_048;
/// A column that loses more than this factor while it is made orthogonal has lost digits, and is made orthogonal again.
const CANCELLATION: f64 = 0.1;

/// A column that keeps more than this factor while it is made orthogonal is orthogonal to rounding.
const ENOUGH: f64 = 0.5;

/// `QᵀW`, of `Q` (`n × p`) and `W` (`n × w`).
pub(crate) fn gram(Q: MatRef<'_, f64>, W: MatRef<'_, f64>) -> Mat<f64> {
    let (n, p, w) = (Q.nrows(), Q.ncols(), W.ncols());
    let product = |panel: usize| {
        let (first, rows) = (panel * ROWS, ROWS.min(n - panel * ROWS));
        let mut C = Mat::zeros(p, w);
        let (Q, W) = (Q.subrows(first, rows), W.subrows(first, rows));
        matmul(C.as_mut(), Accum::Replace, Q.transpose(), W, 1.0, Par::Seq);
        C
    };
    let partial: Vec<Mat<f64>> = (0..n.div_ceil(ROWS)).into_par_iter().map(product).collect();
    partial.into_iter().reduce(|sum, C| sum + C).unwrap_or_else(|| Mat::zeros(p, w))
}

/// `W ← W − QC`, of `W` (`n × w`), `Q` (`n × p`) and `C` (`p × w`).
pub(crate) fn subtract(W: MatMut<'_, f64>, Q: MatRef<'_, f64>, C: MatRef<'_, f64>) {
    panels(W).into_par_iter().enumerate().for_each(|(panel, W)| {
        let Q = Q.subrows(panel * ROWS, W.nrows());
        matmul(W, Accum::Add, Q, C, -1.0, Par::Seq);
    });
}

/// The first columns of `Q` become `QS`, of `Q` (`n × p`) and `S` (`p × k`, `k ≤ p`), without a second copy of `Q`.
pub(crate) fn rotate(Q: MatMut<'_, f64>, S: MatRef<'_, f64>) {
    panels(Q).into_par_iter().for_each(|mut Q| {
        let mut turned = Mat::zeros(Q.nrows(), S.ncols());
        matmul(turned.as_mut(), Accum::Replace, Q.rb(), S, 1.0, Par::Seq);
        Q.rb_mut().subcols_mut(0, S.ncols()).copy_from(&turned);
    });
}

/// Column `j`, of a matrix of contiguous columns.
pub(crate) fn column(W: MatRef<'_, f64>, j: usize) -> &[f64] {
    W.try_as_col_major().expect("columns are contiguous").col(j).as_slice()
}

/// Column `j`, of a matrix of contiguous columns.
pub(crate) fn column_mut(W: MatMut<'_, f64>, j: usize) -> &mut [f64] {
    W.try_as_col_major_mut().expect("columns are contiguous").col_mut(j).as_slice_mut()
}

/// `xᵀy`, panel by panel.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let short = |(x, y): (&[f64], &[f64])| {
        // Eight sums side by side, which is what a compiler makes into vector instructions.
        let mut sums = [0.0; 8];
        let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
        let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
        for (x, y) in xs.zip(ys) {
            for k in 0..8 {
                sums[k] += x[k] * y[k];
            }
        }
        sums.iter().sum::<f64>() + rest
    };
    x.chunks(ROWS).zip(y.chunks(ROWS)).map(short).sum()
}

/// `‖x‖`, of entries whose squares stay within the range of doubles.
pub(crate) fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// `W = [Q, V] [C; R]`, where the columns of `V`, which `W` has become, are orthonormal and orthogonal to `Q`.
#[derive(Debug)]
pub(crate) struct Orthogonalised {
    /// `p × w`.
    pub(crate) C: Mat<f64>,
    /// `room × w`, its last `room − independent` rows zero.
    pub(crate) R: Mat<f64>,
    /// Columns of `V` that come from `W`; the others, if any, are drawn.
    pub(crate) independent: usize,
}

/// Makes `room ≤ w` orthonormal columns, orthogonal to those of `Q` (`n × p`, orthonormal), of the columns of `W`
/// (`n × w`).
///
/// A column whose part outside the span of the ones before it is at most `floor` counts as dependent. What is then
/// missing in `room` is drawn by `draw` and made orthogonal too. `p + room ≤ n`.
pub(crate) fn orthogonalise(
    Q: MatRef<'_, f64>,
    mut W: MatMut<'_, f64>,
    room: usize,
    floor: f64,
    draw: &mut dyn FnMut(&mut [f64]),
) -> Orthogonalised {
    let (p, w) = (Q.ncols(), W.ncols());
    let mut C = Mat::zeros(p, w);
    // In a Krylov space nearly all of the overlap is with the last two blocks. Without it, one pass over the whole
    // basis is usually enough; it is when no column loses much in it (Kahan and Parlett).
    let recent = p.min(2 * w);
    if recent < p {
        let overlap = gram(Q.subcols(p - recent, recent), W.rb());
        subtract(W.rb_mut(), Q.subcols(p - recent, recent), overlap.as_ref());
        C.as_mut().subrows_mut(p - recent, recent).copy_from(overlap);
    }
    let lengths = |W: MatRef<'_, f64>| (0..w).map(|j| norm(column(W, j))).collect::<Vec<f64>>();
    for _ in 0..2 {
        let before = lengths(W.rb());
        let more = gram(Q, W.rb());
        subtract(W.rb_mut(), Q, more.as_ref());
        C += more;
        if lengths(W.rb()).iter().zip(before).all(|(after, before)| *after > ENOUGH * before) {
            break;
        }
    }
    let mut R = Mat::zeros(room, w);
    let mut independent = 0;
    for j in 0..w {
        let (V, v) = W.rb_mut().split_at_col_mut(j);
        let (V, mut v) = (V.rb().subcols(0, independent), v.subcols_mut(0, 1));
        let before = norm(column(v.rb(), 0));
        let mut remainder = against(V, v.rb_mut(), R.as_mut().submatrix_mut(0, j, independent, 1));
        if remainder <= CANCELLATION * before && remainder > floor {
            against(Q, v.rb_mut(), C.as_mut().subcols_mut(j, 1));
            remainder = against(V, v.rb_mut(), R.as_mut().submatrix_mut(0, j, independent, 1));
        }
        if independent == room || remainder <= floor {
            continue;
        }
        column_mut(v.rb_mut(), 0).iter_mut().for_each(|x| *x /= remainder);
        R[(independent, j)] = remainder;
        if independent < j {
            let (mut before, after) = W.rb_mut().split_at_col_mut(j);
            before.rb_mut().col_mut(independent).copy_from(after.rb().col(0));
        }
        independent += 1;
    }
    for j in independent..room {
        let (V, mut rest) = W.rb_mut().split_at_col_mut(j);
        draw_orthogonal(&[Q, V.rb()], rest.rb_mut().subcols_mut(0, 1), draw);
    }
    Orthogonalised { C, R, independent }
}

/// A drawn unit vector (`n × 1`) orthogonal to the columns of all of `bases`, which together have fewer than `n`.
pub(crate) fn draw_orthogonal(bases: &[MatRef<'_, f64>], mut v: MatMut<'_, f64>, draw: &mut dyn FnMut(&mut [f64])) {
    // The share of a random vector outside a span that leaves one dimension of n may be small: three passes.
    draw(column_mut(v.rb_mut(), 0));
    for _ in 0..3 {
        for Q in bases {
            let c = gram(*Q, v.rb());
            subtract(v.rb_mut(), *Q, c.as_ref());
        }
        let length = norm(column(v.rb(), 0));
        column_mut(v.rb_mut(), 0).iter_mut().for_each(|x| *x /= length);
    }
}

/// One column `v ← (I − VVᵀ)v`, twice, its coefficients added to `c`; `‖v‖` afterwards.
fn against(V: MatRef<'_, f64>, mut v: MatMut<'_, f64>, mut c: MatMut<'_, f64>) -> f64 {
    for _ in 0..2 * usize::from(V.ncols() > 0) {
        let more = gram(V, v.rb());
        subtract(v.rb_mut(), V, more.as_ref());
        c += more;
    }
    norm(column(v.rb(), 0))
}

fn panels(mut W: MatMut<'_, f64>) -> Vec<MatMut<'_, f64>> {
    let mut panels = Vec::with_capacity(W.nrows().div_ceil(ROWS));
    while W.nrows() > ROWS {
        let (panel, rest) = W.split_at_row_mut(ROWS);
        panels.push(panel);
        W = rest;
    }
    panels.push(W);
    panels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::gaussian;
    use crate::testing::by_threads;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn random(n: usize, w: usize, seed: u64) -> Mat<f64> {
        let mut W = Mat::zeros(n, w);
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        (0..w).for_each(|j| gaussian(W.col_as_slice_mut(j), rng));
        W
    }

    fn orthogonalised(n: usize, W: &mut Mat<f64>, room: usize, Q: MatRef<'_, f64>) -> Orthogonalised {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let floor = 1e-13 * (n as f64).sqrt();
        orthogonalise(Q, W.as_mut(), room, floor, &mut |x| gaussian(x, &mut rng))
    }

    #[test]
    fn factors_what_it_is_given() {
        for (n, p, w) in [(1, 0, 1), (5, 2, 3), (300, 20, 7), (5_000, 13, 4)] {
            let mut Q = random(n, p, 1);
            orthogonalised(n, &mut Q, p, Mat::zeros(n, 0).as_ref());
            let mut W = random(n, w, 2);
            // A column almost in the span of Q, and nearly parallel columns.
            if p > 0 {
                let near = Q.col(0) + faer::Scale(1e-9) * W.col(0);
                W.col_mut(0).copy_from(near);
            }
            if w > 2 {
                let near = W.col(1) + faer::Scale(1e-10) * W.col(2);
                W.col_mut(2).copy_from(near);
            }
            let before = W.clone();
            let found = orthogonalised(n, &mut W, w, Q.as_ref());
            assert_eq!(found.independent, w);
            let back = &Q * &found.C + &W * &found.R;
            assert!((back - &before).norm_max() < 1e-14 * before.norm_l2());
            assert!(gram(Q.as_ref(), W.as_ref()).norm_max() < 1e-14, "n = {n}");
            assert!((gram(W.as_ref(), W.as_ref()) - Mat::<f64>::identity(w, w)).norm_max() < 1e-14);
        }
    }

    #[test]
    fn dependent_columns_are_replaced() {
        let n = 40;
        let mut W = random(n, 5, 3);
        let twice = faer::Scale(2.0) * W.col(0) - W.col(1);
        W.col_mut(2).copy_from(twice);
        W.col_mut(3).fill(0.0);
        let before = W.clone();
        let found = orthogonalised(n, &mut W, 5, Mat::zeros(n, 0).as_ref());
        assert_eq!(found.independent, 3);
        assert!((&W * &found.R - before).norm_max() < 1e-13);
        assert!((gram(W.as_ref(), W.as_ref()) - Mat::<f64>::identity(5, 5)).norm_max() < 1e-14);
    }

    #[test]
    fn bit_identical_for_any_number_of_threads() {
        let (Q, W) = (random(9_000, 30, 4), random(9_000, 3, 5));
        let [one, others @ ..] = by_threads(|| {
            let mut W = W.clone();
            let C = gram(Q.as_ref(), W.as_ref());
            subtract(W.as_mut(), Q.as_ref(), C.as_ref());
            let mut Q = Q.clone();
            rotate(Q.as_mut(), Mat::from_fn(30, 11, |i, j| ((i * j) % 7) as f64).as_ref());
            (W, Q)
        });
        assert!(others.iter().all(|other| *other == one));
    }
}
