//! Dense layers of a batch: matrix products, in fixed tiles where they are large.

use super::each;
use crate::Scalar;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Products of fewer multiplications run on the calling thread: below, threads cost more than they bring.
const LARGE: usize = 1 << 23;
/// Rows of a tile of a large product.
const TILE: usize = 128;

/// `C = A B` or `C += A B`. A large product is done in tiles of rows on the current rayon pool; tiles depend on shapes
/// alone, and so do the bits of the result.
pub(crate) fn product<T: Scalar>(mut C: MatMut<'_, T>, accum: Accum, A: MatRef<'_, T>, B: MatRef<'_, T>) {
    let rows = A.nrows();
    if rows <= TILE || rows * A.ncols() * B.ncols() < LARGE {
        return matmul(C, accum, A, B, T::ONE, Par::Seq);
    }
    let tile = |(t, C): (usize, MatMut<'_, T>)| {
        let first = t * TILE;
        let A = A.subrows(first, C.nrows());
        matmul(C, accum, A, B, T::ONE, Par::Seq);
    };
    if rayon::current_num_threads() == 1 {
        let mut first = 0;
        while first < rows {
            let n = TILE.min(rows - first);
            tile((first / TILE, C.as_mut().subrows_mut(first, n)));
            first += n;
        }
    } else {
        C.par_row_chunks_mut(TILE).enumerate().with_max_len(1).for_each(tile);
    }
}

/// `z = W a (+ b)`.
pub(super) fn forward<T: Scalar>(W: MatRef<'_, T>, bias: &[T], a: MatRef<'_, T>, out: &mut [T]) {
    let accum = if bias.is_empty() {
        Accum::Replace
    } else {
        for z in out.chunks_exact_mut(bias.len()) {
            z.copy_from_slice(bias);
        }
        Accum::Add
    };
    product(MatMut::from_column_major_slice_mut(out, W.nrows(), a.ncols()), accum, W, a);
}

/// The bias's gradient: the sum of `δ` over samples.
pub(super) fn bias_gradient<T: Scalar>(delta: MatRef<'_, T>, accum: Accum, gradient: &mut [T]) {
    if accum == Accum::Replace {
        gradient.fill(T::ZERO);
    }
    // Nothing to do, not even a walk over the samples, for a layer without.
    if gradient.is_empty() {
        return;
    }
    for p in 0..delta.ncols() {
        for (o, sum) in gradient.iter_mut().enumerate() {
            *sum += delta[(o, p)];
        }
    }
}

/// `out = Σ_k parts_k`, in order of `k` for every entry.
pub(super) fn sum_in_order<'a, T: Scalar>(parts: impl Fn(usize) -> Option<&'a [T]> + Sync, out: &mut [T]) {
    const PIECE: usize = 1 << 14;
    each(out, PIECE, |piece, out| {
        let range = piece * PIECE..piece * PIECE + out.len();
        out.fill(T::ZERO);
        let mut k = 0;
        while let Some(part) = parts(k) {
            for (sum, &g) in out.iter_mut().zip(&part[range.clone()]) {
                *sum += g;
            }
            k += 1;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn tiles_change_no_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, depth, columns) in [(300, 1_100, 31), (1_000, 90, 100), (257, 2_000, 33)] {
            assert!(rows * depth * columns >= LARGE);
            let mut matrix = |m, n| Mat::from_fn(m, n, |_, _| rng.random::<f32>() - 0.5);
            let (A, B) = (matrix(rows, depth), matrix(depth, columns));
            let mut whole = Mat::zeros(rows, columns);
            matmul(whole.as_mut(), Accum::Replace, &A, &B, 1.0, Par::Seq);
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut tiled = Mat::zeros(rows, columns);
                pool.install(|| product(tiled.as_mut(), Accum::Replace, A.as_ref(), B.as_ref()));
                assert_eq!(tiled, whole, "{rows} {threads}");
            }
        }
    }
}
