//! Eigenpairs of a small symmetric matrix on its range: what every per-sample Hessian is reduced to (`MATH [4]`).
//!
//! Behind a piecewise-linear tail `S_p = JᵀQJ` has at most `n_out` nonzero eigenvalues, and exact zeros in every row of
//! an inactive unit. The range is found first, and the eigenproblem shrinks to it.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// The eigenvalues of a symmetric `S` that are not rounding, by descending magnitude, with their eigenvectors as
/// orthonormal columns (`d × rank`).
///
/// Directions are left out in which `S` is smaller than about `d·ε·‖S‖`, the error that a dense eigensolver would put
/// there: the pairs reproduce `S` to that error. It is verified before anything is returned: `‖S − T diag(s) Tᵀ‖ ≤
/// c(d)·‖S‖` and `‖TᵀT − I‖ ≤ c(d)` (Frobenius) with `c(d) = (10 + √d)(d + 8)·ε`. Where pairs on a range that was
/// found first fail, those of the whole matrix have to pass. Runs on the calling thread; the result does not
/// depend on the scale of `S`, for powers of two to the last bit.
///
/// # Panics
/// When `S` is not square, not symmetric up to rounding, or holds a number that is not finite: no pairs pass then.
#[track_caller]
pub fn range_eigen(S: MatRef<'_, f64>) -> (Vec<f64>, Mat<f64>) {
    let d = S.nrows();
    assert_eq!(d, S.ncols(), "S is square");
    let largest = S.norm_max();
    assert!(largest.is_finite(), "S is finite");
    if largest == 0.0 {
        return (Vec::new(), Mat::zeros(d, 0));
    }
    // Squares of a well-fitted sample's entries would underflow, and the eigensolver has absolute thresholds. A power
    // of two is exact.
    let scale = 2_f64.powi(largest.log2().floor().clamp(-1_000.0, 1_000.0) as i32);
    let active: Vec<usize> = (0..d).filter(|&j| S.col(j).iter().any(|&x| x != 0.0)).collect();
    let n = active.len();
    let scaled = Mat::from_fn(n, n, |i, j| S[(active[i], active[j])] / scale);
    let on_range = orthonormal_range(&scaled).map(|basis| eigen_on(&scaled, &basis));
    let (values, vectors) = right_pairs(&scaled, on_range, || dense_eigen(scaled.as_ref()));
    let mut embedded = Mat::zeros(d, values.len());
    for m in 0..values.len() {
        for (&o, &t) in active.iter().zip(vectors.col_as_slice(m)) {
            embedded[(o, m)] = t;
        }
    }
    (values.into_iter().map(|s| scale * s).collect(), embedded)
}

/// What is no rounding of `first`, or else of `whole()`: the ones that pass their check.
#[track_caller]
fn right_pairs(
    S: &Mat<f64>,
    first: Option<(Vec<f64>, Mat<f64>)>,
    whole: impl FnOnce() -> (Vec<f64>, Mat<f64>),
) -> (Vec<f64>, Mat<f64>) {
    let first = first.map(|pairs| by_magnitude(S.ncols(), pairs));
    let right = first.filter(|(values, vectors)| errors(S, values, vectors).fit(S.ncols()));
    right.unwrap_or_else(|| {
        let (values, vectors) = by_magnitude(S.ncols(), whole());
        let errors = errors(S, &values, &vectors);
        assert!(errors.fit(S.ncols()), "eigenpairs of a symmetric matrix fail their check: {errors:?}");
        (values, vectors)
    })
}

/// The pairs that are no rounding, by descending magnitude.
fn by_magnitude(n: usize, (values, vectors): (Vec<f64>, Mat<f64>)) -> (Vec<f64>, Mat<f64>) {
    let floor = rounding(n) * values.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
    let mut kept: Vec<usize> = (0..values.len()).filter(|&m| values[m].abs() > floor).collect();
    kept.sort_by(|&l, &m| values[m].abs().total_cmp(&values[l].abs()));
    let ordered = Mat::from_fn(n, kept.len(), |o, m| vectors[(o, kept[m])]);
    (kept.into_iter().map(|m| values[m]).collect(), ordered)
}

/// How far pairs are from being those of a matrix.
#[derive(Clone, Copy, Debug)]
struct Errors {
    /// `‖S − T diag(s) Tᵀ‖/‖S‖`.
    residual: f64,
    /// `‖TᵀT − I‖`.
    orthogonality: f64,
}

impl Errors {
    /// NaN does not fit.
    fn fit(self, n: usize) -> bool {
        let most = (10.0 + (n as f64).sqrt()) * rounding(n);
        self.residual <= most && self.orthogonality <= most
    }
}

fn errors(S: &Mat<f64>, values: &[f64], vectors: &Mat<f64>) -> Errors {
    let scaled = Mat::from_fn(S.nrows(), values.len(), |o, m| vectors[(o, m)] * values[m]);
    let mut rest = S.clone();
    matmul(rest.as_mut(), Accum::Add, &scaled, vectors.transpose(), -1.0, Par::Seq);
    let mut gram = Mat::identity(values.len(), values.len());
    matmul(gram.as_mut(), Accum::Add, vectors.transpose(), vectors, -1.0, Par::Seq);
    Errors { residual: rest.norm_l2() / S.norm_l2(), orthogonality: gram.norm_l2() }
}

/// Eigenpairs of `S` on the range that `basis` spans.
fn eigen_on(S: &Mat<f64>, basis: &Mat<f64>) -> (Vec<f64>, Mat<f64>) {
    let (n, rank) = (S.ncols(), basis.ncols());
    let mut image = Mat::zeros(n, rank);
    matmul(image.as_mut(), Accum::Replace, S, basis, 1.0, Par::Seq);
    let mut core = Mat::zeros(rank, rank);
    matmul(core.as_mut(), Accum::Replace, basis.transpose(), &image, 1.0, Par::Seq);
    let (values, rotation) = dense_eigen(core.as_ref());
    let mut vectors = Mat::zeros(n, rank);
    matmul(vectors.as_mut(), Accum::Replace, basis, &rotation, 1.0, Par::Seq);
    (values, vectors)
}

/// Relative size below which a direction of a matrix of order `n` is rounding.
fn rounding(n: usize) -> f64 {
    (n as f64 + 8.0) * f64::EPSILON
}

/// An orthonormal basis of the numerical range of a symmetric matrix by column-pivoted Gram–Schmidt, every vector
/// orthogonalised twice; `None` when the rank exceeds half the order and the detour would not pay.
fn orthonormal_range(S: &Mat<f64>) -> Option<Mat<f64>> {
    let n = S.ncols();
    let mut rest = S.clone();
    let mut basis = Mat::<f64>::zeros(n, n / 2);
    let squared_norm = |column: &[f64]| dot(column, column);
    let floor = rounding(n) * (0..n).map(|j| squared_norm(S.col_as_slice(j))).fold(0.0, f64::max).sqrt();
    for k in 0..=n / 2 {
        let norms = (0..n).map(|j| squared_norm(rest.col_as_slice(j)));
        let (pivot, most) = norms.enumerate().fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best });
        if most.sqrt() <= floor {
            return Some(basis.subcols(0, k).to_owned());
        }
        if k == n / 2 {
            break;
        }
        let mut q = rest.col_as_slice(pivot).to_vec();
        for earlier in 0..k {
            remove(basis.col_as_slice(earlier), &mut q);
        }
        let norm = squared_norm(&q).sqrt();
        q.iter_mut().for_each(|x| *x /= norm);
        for j in 0..n {
            remove(&q, rest.col_as_slice_mut(j));
        }
        basis.col_as_slice_mut(k).copy_from_slice(&q);
    }
    None
}

/// `x ← x − q (qᵀx)`.
fn remove(q: &[f64], x: &mut [f64]) {
    let along = dot(q, x);
    for (x, q) in x.iter_mut().zip(q) {
        *x -= along * q;
    }
}

/// All eigenpairs of a symmetric matrix of norm about 1 (its lower triangle), ascending.
fn dense_eigen(S: MatRef<'_, f64>) -> (Vec<f64>, Mat<f64>) {
    let d = S.nrows();
    let mut values = Diag::zeros(d);
    let mut vectors = Mat::zeros(d, d);
    let params = Default::default();
    let scratch = self_adjoint_evd_scratch::<f64>(d, ComputeEigenvectors::Yes, Par::Seq, params);
    let mut memory = MemBuffer::new(scratch);
    self_adjoint_evd(S, values.as_mut(), Some(vectors.as_mut()), Par::Seq, MemStack::new(&mut memory), params)
        .expect("eigenpairs of a finite symmetric matrix");
    (values.column_vector().iter().copied().collect(), vectors)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// `‖S − T diag(s) Tᵀ‖` and `‖TᵀT − I‖`, largest entries.
    fn largest_errors(S: &Mat<f64>, s: &[f64], t: &Mat<f64>) -> (f64, f64) {
        let scaled = Mat::from_fn(t.nrows(), s.len(), |o, m| t[(o, m)] * s[m]);
        let rebuilt = &scaled * t.transpose();
        let gram = t.transpose() * t - Mat::<f64>::identity(s.len(), s.len());
        ((rebuilt - S).norm_max(), gram.norm_max())
    }

    /// Wrong pairs, of every kind, are replaced by right ones; where there are none, nothing is returned.
    #[test]
    fn nothing_unverified_is_returned() {
        let S = Mat::from_fn(9, 9, |i, j| if i.max(j) < 6 { ((i + j) as f64).cos() } else { 0.0 });
        let (values, vectors) = dense_eigen(S.as_ref());
        let mut changed = vectors.clone();
        changed[(2, 8)] += 1e-9;
        let shifted: Vec<f64> = values.iter().map(|s| s * (1.0 + 1e-9)).collect();
        let lost = (values[..8].to_vec(), vectors.subcols(0, 8).to_owned());
        let wrong = [(values.clone(), changed), (shifted, vectors.clone()), lost, (vec![f64::NAN; 9], vectors.clone())];
        for pairs in wrong {
            let found = right_pairs(&S, Some(pairs.clone()), || (values.clone(), vectors.clone()));
            assert!(errors(&S, &found.0, &found.1).fit(9));
            assert!(std::panic::catch_unwind(|| right_pairs(&S, None, || pairs)).is_err());
        }
    }

    proptest! {
        /// Any rank, inactive rows, eigenvalues over eight decades and of both signs.
        #[test]
        fn pairs_rebuild_the_matrix(
            d in 1usize..40, rank in 0usize..40, exponent in -300i32..300, seed in any::<u64>(),
        ) {
            let rank = rank.min(d);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let active: Vec<bool> = (0..d).map(|_| rng.random::<f64>() < 0.7).collect();
            let factor = Mat::from_fn(rank, d, |_, o| if active[o] { rng.random::<f64>() - 0.5 } else { 0.0 });
            let mut eigenvalue = || (rng.random::<f64>() - 0.4).signum() * 10_f64.powf(-8.0 * rng.random::<f64>());
            let middle: Vec<f64> = (0..rank).map(|_| eigenvalue()).collect();
            let S = Mat::from_fn(d, d, |i, j| {
                let entry: f64 = (0..rank).map(|m| factor[(m, i.max(j))] * middle[m] * factor[(m, i.min(j))]).sum();
                entry * 2_f64.powi(exponent)
            });
            let (s, t) = range_eigen(S.as_ref());
            prop_assert!(s.len() <= rank.min(active.iter().filter(|&&a| a).count()));
            prop_assert!(s.windows(2).all(|pair| pair[0].abs() >= pair[1].abs()));
            let (residual, orthogonality) = largest_errors(&S, &s, &t);
            prop_assert!(residual <= 1e-13 * S.norm_max(), "{residual:e} of {:e}", S.norm_max());
            prop_assert!(orthogonality < 1e-13);
        }
    }

    #[test]
    fn full_rank_and_repeated_eigenvalues() {
        let identity = Mat::<f64>::identity(20, 20);
        let (s, t) = range_eigen(identity.as_ref());
        assert_eq!(s, [1.0; 20]);
        assert!(largest_errors(&identity, &s, &t).1 < 1e-14);
        let (s, t) = range_eigen(Mat::<f64>::zeros(3, 3).as_ref());
        assert!(s.is_empty() && t.nrows() == 3 && t.ncols() == 0);
    }

    #[test]
    fn eigenpairs_do_not_depend_on_the_scale() {
        let S = Mat::from_fn(20, 20, |i, j| (((i + 1) * (j + 1) * 7) % 11) as f64 + if i == j { 3.0 } else { 0.0 });
        let (truth, vectors) = range_eigen(S.as_ref());
        for exponent in [-900, -200, -60, -30, 100, 900] {
            let scale = 2_f64.powi(exponent);
            let (found, t) = range_eigen((&S * faer::Scale(scale)).as_ref());
            assert!(found.iter().zip(&truth).all(|(found, truth)| found / scale == *truth), "2^{exponent}");
            assert_eq!(t, vectors);
        }
    }
}
