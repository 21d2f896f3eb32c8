//! Streamed moments `E_p[A_p ⊗ B_p]` as one product of two short panels (`MATH [5]`).
//!
//! Both factors are symmetric (mostly `B_p = b_p b_pᵀ`), or both skew, so a moment is determined by its values at
//! `o ≥ o'`, `i ≥ i'`: the matrix `K = (1/N) Σ_p vech(B_p) vech(A_p)ᵀ`, of `½d_in(d_in+1) × ½d_out(d_out+1)`. Samples
//! are taken in blocks; a block writes its two panels, and fixed tiles of `K` take up their product. Which samples make
//! a block and which columns make a tile depends on the shape only, every tile is summed by one thread in sample order,
//! and so the result does not depend on the number of threads, to the last bit.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Samples a block: deep enough for the product to run at full speed, small enough for both panels to stay in cache.
pub(crate) const BLOCK: usize = 256;
/// Samples a fill task.
pub(crate) const FILL: usize = 32;
/// Tiles over all columns of `K`, a multiple of small thread counts …
const TILES: usize = 12;
/// … but none narrower than this, so that what a product makes of its left factor is used often enough.
const TILE: usize = 320;

/// Whether both factors of a moment equal their transpose or its negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetry {
    /// `Aᵀ = A` and `Bᵀ = B`.
    Symmetric,
    /// `Aᵀ = −A` and `Bᵀ = −B`; their Kronecker product is symmetric all the same. Diagonals written by the fill must
    /// be zero.
    Skew,
}

/// The shape of a set of moments `E_p[A_p^{(m)} ⊗ B_p]` that share their right factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KroneckerShape {
    /// Of all left factors and the right one.
    pub symmetry: Symmetry,
    /// `N`.
    pub n_samples: usize,
    /// How many moments are formed in the one pass.
    pub n_moments: usize,
    /// Order of the left factors `A_p`.
    pub d_out: usize,
    /// Order of the right factor `B_p`.
    pub d_in: usize,
}

impl KroneckerShape {
    /// Multiply-add operations counted as two flops of the pass: `2 · n_moments · N · vech(d_out) · vech(d_in)`, about
    /// `N P²/2` a moment.
    pub fn flops(&self) -> f64 {
        let pairs = vech_len(self.d_out) * vech_len(self.d_in);
        2.0 * self.n_moments as f64 * self.n_samples as f64 * pairs as f64
    }
}

/// `½d(d+1)`, the length of the half-vectorisation of a symmetric `d × d` matrix.
pub fn vech_len(d: usize) -> usize {
    d * (d + 1) / 2
}

/// Half-vectorisation: the lower triangle of a symmetric matrix, column after column, written to `out`.
///
/// # Panics
/// When `out` has not length `½d(d+1)`.
#[track_caller]
pub fn vech(A: MatRef<'_, f64>, out: &mut [f64]) {
    let d = A.nrows();
    assert_eq!(out.len(), vech_len(d), "vech of a {d} × {d} matrix");
    let mut start = 0;
    for j in 0..d {
        let column = &mut out[start..start + d - j];
        match A.col(j).try_as_col_major() {
            Some(from) => column.copy_from_slice(&from.as_slice()[j..]),
            None => column.iter_mut().zip(j..d).for_each(|(x, i)| *x = A[(i, j)]),
        }
        start += d - j;
    }
}

/// Half-vectorisation of `scale · b bᵀ`, written to `out`.
///
/// # Panics
/// When `out` has not length `½d(d+1)`.
#[track_caller]
pub fn outer_product_vech(scale: f64, b: &[f64], out: &mut [f64]) {
    assert_eq!(out.len(), vech_len(b.len()), "vech of an outer product");
    let mut out = out;
    for (j, &b_j) in b.iter().enumerate() {
        let (column, rest) = out.split_at_mut(b.len() - j);
        let factor = scale * b_j;
        for (x, &b_i) in column.iter_mut().zip(&b[j..]) {
            *x = factor * b_i;
        }
        out = rest;
    }
}

/// Half-vectorisation of `½(u vᵀ + v uᵀ)`, written to `out`.
///
/// # Panics
/// When `u` and `v` differ in length or `out` has not length `½d(d+1)`.
#[track_caller]
pub fn symmetric_product_vech(u: &[f64], v: &[f64], out: &mut [f64]) {
    two_vector_vech(u, v, out, 0.5);
}

/// Lower triangle of the skew `½(u vᵀ − v uᵀ)`, its zero diagonal included, written to `out`.
///
/// # Panics
/// When `u` and `v` differ in length or `out` has not length `½d(d+1)`.
#[track_caller]
pub fn skew_product_vech(u: &[f64], v: &[f64], out: &mut [f64]) {
    two_vector_vech(u, v, out, -0.5);
    let mut start = 0;
    for j in 0..u.len() {
        // Exactly zero, whatever a fused multiply-add makes of it.
        out[start] = 0.0;
        start += u.len() - j;
    }
}

#[track_caller]
fn two_vector_vech(u: &[f64], v: &[f64], out: &mut [f64], other: f64) {
    assert!(u.len() == v.len() && out.len() == vech_len(u.len()), "vech of a product of two vectors of one length");
    let mut out = out;
    for j in 0..u.len() {
        let (column, rest) = out.split_at_mut(u.len() - j);
        let (half_v, half_u) = (0.5 * v[j], other * u[j]);
        for ((x, &u_i), &v_i) in column.iter_mut().zip(&u[j..]).zip(&v[j..]) {
            *x = u_i * half_v + v_i * half_u;
        }
        out = rest;
    }
}

/// The dense moments `E_p[A_p^{(m)} ⊗ B_p] = (1/N) Σ_p A_p^{(m)} ⊗ B_p`, `m = 1..n_moments`, each `P × P` with
/// `P = d_out · d_in` and entry `((o,i),(o',i'))` at `(o·d_in + i, o'·d_in + i')`.
///
/// `fill(worker, p, left, right)` is called once for every sample; it writes `vech(A_p^{(m)})` of all moments, one
/// after the other, to `left` and `vech(B_p)` to `right` (see [`vech`], [`outer_product_vech`]). `worker` makes
/// the scratch that a task reuses over its samples.
///
/// Memory is `O(n_moments · P²)` beside two panels of a few MB. The cost is [`KroneckerShape::flops`]. The result does
/// not depend on the number of threads of the current rayon pool.
///
/// # Panics
/// When the shape holds a zero, or `fill` does.
#[track_caller]
pub fn kronecker_moments<W>(
    shape: KroneckerShape,
    worker: impl Fn() -> W + Sync + Send,
    fill: impl Fn(&mut W, usize, &mut [f64], &mut [f64]) + Sync + Send,
) -> Vec<Mat<f64>> {
    let KroneckerShape { symmetry, n_samples, n_moments, d_out, d_in } = shape;
    assert!(n_samples > 0 && n_moments > 0 && d_out > 0 && d_in > 0, "a moment of nothing: {shape:?}");
    let n_right = vech_len(d_in);
    let n_left = n_moments * vech_len(d_out);
    let mut K = vec![0.0; n_right * n_left];
    let mut left = vec![0.0; n_left * BLOCK.min(n_samples)];
    let mut right = vec![0.0; n_right * BLOCK.min(n_samples)];
    for first in (0..n_samples).step_by(BLOCK) {
        let count = BLOCK.min(n_samples - first);
        left[..n_left * count]
            .par_chunks_mut(n_left * FILL)
            .zip(right[..n_right * count].par_chunks_mut(n_right * FILL))
            .enumerate()
            .for_each_init(&worker, |worker, (task, (left, right))| {
                let panels = left.chunks_exact_mut(n_left).zip(right.chunks_exact_mut(n_right));
                for (p, (left, right)) in panels.enumerate() {
                    fill(worker, first + task * FILL + p, left, right);
                }
            });
        let left = MatRef::from_column_major_slice(&left[..n_left * count], n_left, count);
        let right = MatRef::from_column_major_slice(&right[..n_right * count], n_right, count);
        take_up(&mut K, right, left);
    }
    let scale = 1.0 / n_samples as f64;
    let per_moment = n_right * vech_len(d_out);
    K.par_chunks_exact(per_moment).map(|K| scatter(K, symmetry, d_out, d_in, scale)).collect()
}

/// Adds `right · leftᵀ` to `K`, `n_right × n_left` column after column, for the panels of one block of samples
/// (`n × count`, columns contiguous): in fixed tiles of columns on the current rayon pool, each summed in the order of
/// samples.
pub(crate) fn take_up(K: &mut [f64], right: MatRef<'_, f64>, left: MatRef<'_, f64>) {
    let (n_right, n_left, count) = (right.nrows(), left.nrows(), right.ncols());
    let tile = n_left.div_ceil(TILES).max(TILE);
    K.par_chunks_mut(n_right * tile).enumerate().for_each_init(
        || vec![0.0; tile.min(n_left) * count],
        |samples_first, (t, K)| {
            let columns = K.len() / n_right;
            // The product is fastest with the samples of each column of K side by side.
            let samples_first = &mut samples_first[..columns * count];
            transpose(left.subrows(t * tile, columns), samples_first);
            let left = MatRef::from_column_major_slice(samples_first, count, columns);
            let K = MatMut::from_column_major_slice_mut(K, n_right, columns);
            matmul(K, Accum::Add, right, left, 1.0, Par::Seq);
        },
    );
}

/// Writes `Aᵀ`, column after column, to `out`; columns of `A` are contiguous.
fn transpose(A: MatRef<'_, f64>, out: &mut [f64]) {
    /// Rows and columns of a block: small enough for its part of the result to stay in the nearest cache.
    const BLOCK: (usize, usize) = (64, 8);
    let n = A.ncols();
    for first_row in (0..A.nrows()).step_by(BLOCK.0) {
        let rows = first_row..A.nrows().min(first_row + BLOCK.0);
        for first in (0..n).step_by(BLOCK.1) {
            for j in first..n.min(first + BLOCK.1) {
                let column = A.col(j).try_as_col_major().expect("columns are contiguous").as_slice();
                for row in rows.clone() {
                    out[row * n + j] = column[row];
                }
            }
        }
    }
}

/// The dense `P × P` matrix whose entries `o ≥ o'`, `i ≥ i'` are the columns of `K`, scaled.
fn scatter(K: &[f64], symmetry: Symmetry, d_out: usize, d_in: usize, scale: f64) -> Mat<f64> {
    let n_right = vech_len(d_in);
    let P = d_out * d_in;
    let mut moment = Mat::zeros(P, P);
    // All columns (o', ·) of one o' make one contiguous task.
    let columns: Vec<_> = moment.as_mut().par_col_chunks_mut(d_in).collect();
    columns.into_par_iter().enumerate().for_each_init(
        || vec![0.0; d_in * d_in],
        |block, (o2, mut columns)| {
            for o1 in 0..d_out {
                let (row, column) = (o1.max(o2), o1.min(o2));
                // Position of (row, column) in a column-major lower triangle.
                let pair = column * d_out - column * (column + 1) / 2 + row;
                // Above either diagonal a skew factor changes its sign.
                let (below, above) = match symmetry {
                    Symmetry::Symmetric => (scale, scale),
                    Symmetry::Skew if o1 >= o2 => (scale, -scale),
                    Symmetry::Skew => (-scale, scale),
                };
                unpack(&K[pair * n_right..(pair + 1) * n_right], d_in, below, above, block);
                for (j, from) in block.chunks_exact(d_in).enumerate() {
                    let column = columns.as_mut().col_mut(j).try_as_col_major_mut().expect("columns are contiguous");
                    column.as_slice_mut()[o1 * d_in..(o1 + 1) * d_in].copy_from_slice(from);
                }
            }
        },
    );
    moment
}

/// The `d × d` matrix, column after column, whose lower triangle is `below · vech` and whose upper is `above · vech`.
fn unpack(vech: &[f64], d: usize, below: f64, above: f64, block: &mut [f64]) {
    let mut rest = vech;
    for j in 0..d {
        let (column, tail) = rest.split_at(d - j);
        rest = tail;
        for (i, &value) in (j..d).zip(column) {
            block[i * d + j] = above * value;
            block[j * d + i] = below * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn symmetric(d: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
        let A = Mat::from_fn(d, d, |_, _| rng.random::<f64>() - 0.5);
        &A + A.transpose()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equals_the_sum_of_kronecker_products(
            n_samples in 1usize..600, d_out in 1usize..5, d_in in 1usize..5, seed in any::<u64>(),
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let A: Vec<[Mat<f64>; 2]> =
                (0..n_samples).map(|_| [symmetric(d_out, &mut rng), symmetric(d_out, &mut rng)]).collect();
            let b: Vec<Vec<f64>> =
                (0..n_samples).map(|_| (0..d_in).map(|_| rng.random::<f64>() - 0.5).collect()).collect();
            let shape = KroneckerShape { symmetry: Symmetry::Symmetric, n_samples, n_moments: 2, d_out, d_in };
            let moments = kronecker_moments(shape, || (), |(), p, left, right| {
                let (first, second) = left.split_at_mut(vech_len(d_out));
                vech(A[p][0].as_ref(), first);
                vech(A[p][1].as_ref(), second);
                outer_product_vech(1.0, &b[p], right);
            });
            for (m, moment) in moments.iter().enumerate() {
                for r in 0..d_out * d_in {
                    for c in 0..d_out * d_in {
                        let terms = (0..n_samples).map(|p| {
                            A[p][m][(r / d_in, c / d_in)] * b[p][r % d_in] * b[p][c % d_in]
                        });
                        let truth = terms.sum::<f64>() / n_samples as f64;
                        prop_assert!((moment[(r, c)] - truth).abs() < 1e-13);
                    }
                }
            }
        }
    }

    #[test]
    fn both_parts_of_a_product_of_two_vectors_add_up() {
        // E[r δᵀ ⊗ a bᵀ + δ rᵀ ⊗ b aᵀ] = 2 E[sym ⊗ sym] + 2 E[skew ⊗ skew].
        let (n_samples, d_out, d_in) = (5, 3, 4);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut vectors =
            |d: usize| -> Vec<Vec<f64>> { (0..n_samples).map(|_| (0..d).map(|_| rng.random()).collect()).collect() };
        let (r, delta, a, b) = (vectors(d_out), vectors(d_out), vectors(d_in), vectors(d_in));
        let part = |symmetry: Symmetry, product: fn(&[f64], &[f64], &mut [f64])| {
            let shape = KroneckerShape { symmetry, n_samples, n_moments: 1, d_out, d_in };
            kronecker_moments(
                shape,
                || (),
                |(), p, left, right| {
                    product(&r[p], &delta[p], left);
                    product(&a[p], &b[p], right);
                },
            )
            .remove(0)
        };
        let sum = part(Symmetry::Symmetric, symmetric_product_vech) + part(Symmetry::Skew, skew_product_vech);
        for row in 0..d_out * d_in {
            for column in 0..d_out * d_in {
                let ((o, i), (o2, i2)) = ((row / d_in, row % d_in), (column / d_in, column % d_in));
                let term = |p: usize| {
                    r[p][o] * delta[p][o2] * a[p][i] * b[p][i2] + delta[p][o] * r[p][o2] * b[p][i] * a[p][i2]
                };
                let truth = (0..n_samples).map(term).sum::<f64>() / n_samples as f64;
                assert!((2.0 * sum[(row, column)] - truth).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn wide_left_factors_are_taken_up_tile_by_tile() {
        // Two blocks of samples, two moments of 820 columns: more than one tile, the last one narrower.
        let (n_samples, d_out, d_in) = (300, 40, 2);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let A: Vec<Mat<f64>> = (0..n_samples).map(|_| symmetric(d_out, &mut rng)).collect();
        let b: Vec<[f64; 2]> = (0..n_samples).map(|_| [rng.random(), rng.random()]).collect();
        let shape = KroneckerShape { symmetry: Symmetry::Symmetric, n_samples, n_moments: 2, d_out, d_in };
        let moments = kronecker_moments(
            shape,
            || (),
            |(), p, left, right| {
                let (first, second) = left.split_at_mut(vech_len(d_out));
                vech(A[p].as_ref(), first);
                vech((&A[p] * faer::Scale(-2.0)).as_ref(), second);
                outer_product_vech(1.0, &b[p], right);
            },
        );
        for r in 0..d_out * d_in {
            for c in 0..d_out * d_in {
                let term = |p: usize| A[p][(r / d_in, c / d_in)] * b[p][r % d_in] * b[p][c % d_in];
                let truth = (0..n_samples).map(term).sum::<f64>() / n_samples as f64;
                assert!((moments[0][(r, c)] - truth).abs() < 1e-14);
                assert_eq!(moments[1][(r, c)], -2.0 * moments[0][(r, c)]);
            }
        }
    }

    #[test]
    fn bit_identical_for_any_number_of_threads() {
        let (n_samples, d_out, d_in) = (1_000, 40, 9);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let A: Vec<Mat<f64>> = (0..n_samples).map(|_| symmetric(d_out, &mut rng)).collect();
        let b = Mat::from_fn(d_in, n_samples, |_, _| rng.random::<f64>());
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let shape = KroneckerShape { symmetry: Symmetry::Symmetric, n_samples, n_moments: 1, d_out, d_in };
            pool.install(|| {
                kronecker_moments(
                    shape,
                    || (),
                    |(), p, left, right| {
                        vech(A[p].as_ref(), left);
                        outer_product_vech(1.0, b.col_as_slice(p), right);
                    },
                )
            })
        };
        let one = run(1);
        for threads in [2, 3, 4] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }
}
