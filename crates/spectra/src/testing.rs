//! What the tests of several files build on.

use crate::haar_draws::haar_orthogonal;
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// `Q diag(λ) Qᵀ` with a random orthogonal `Q`, exactly symmetric.
pub(crate) fn prescribed(values: &[f64], seed: u64) -> Mat<f64> {
    let P = values.len();
    let Q = haar_orthogonal(P, &mut ChaCha8Rng::seed_from_u64(seed));
    let scaled = Mat::from_fn(P, P, |i, j| Q[(i, j)] * values[j]);
    let A = &scaled * Q.transpose();
    Mat::from_fn(P, P, |i, j| 0.5 * (A[(i, j)] + A[(j, i)]))
}

/// What `f` returns in pools of 1, 2, 3 and 8 threads.
pub(crate) fn by_threads<T: Send>(f: impl Fn() -> T + Sync) -> [T; 4] {
    [1, 2, 3, 8].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f))
}
