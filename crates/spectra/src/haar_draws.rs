//! Draws of the spectrum-preserving null: a spread, a p-value, and a random matrix to look at.

use crate::basis::congruence;
use crate::commutator::{DiagnosticError, Diagnostics, InEigenbasis, PairDiagnostics};
use crate::haar::check_spectra;
use crate::window::Windows;
use faer::{Mat, Par};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// The diagnostics of `n_draws` independent draws of [`draw_haar_null`].
///
/// The generator is read in the order of the draws, and their diagnostics are those of as many calls of
/// [`draw_haar_null`]. As many draws are worked on at a time as the current rayon pool has threads, with two `P × P`
/// matrices each; the result does not depend on their number.
///
/// # Errors
/// As [`draw_haar_null`].
pub fn sample_haar_null(
    alpha: &[f64],
    beta: &[f64],
    windows: &Windows,
    n_draws: usize,
    rng: &mut (impl Rng + ?Sized),
) -> Result<HaarDraws, DiagnosticError> {
    check_spectra(alpha, beta)?;
    let alpha = &leading(alpha);
    let mut draws = Vec::with_capacity(n_draws);
    while draws.len() < n_draws {
        let count = rayon::current_num_threads().min(n_draws - draws.len());
        let gaussians: Vec<Mat<f64>> = (0..count).map(|_| gaussian(beta.len(), alpha.len(), rng)).collect();
        draws.par_extend(gaussians.into_par_iter().map(|G| turned(alpha, beta, G).diagnostics(windows)));
    }
    Ok(HaarDraws { draws })
}

/// Diagnostics of draws of the null.
#[derive(Clone, Debug)]
pub struct HaarDraws {
    /// One entry a draw.
    pub draws: Vec<Diagnostics>,
}

impl HaarDraws {
    /// A diagnostic of an observed pair against the same diagnostic of the draws, in the same window; `None` when the
    /// draws have no such window, fewer than two draws were made, or the diagnostic is undefined for one of them.
    ///
    /// ```
    /// # use superlinear_spectra::*;
    /// # use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    /// # let A = eigh(faer::mat![[2.0, 0.1], [0.1, 1.0]].as_ref())?;
    /// # let B = eigh(faer::mat![[3.0, 0.0], [0.0, 1.0]].as_ref())?;
    /// # let pair = InEigenbasis::new(faer::mat![[2.0, 0.1], [0.1, 1.0]].as_ref(), &B).unwrap();
    /// let mut rng = ChaCha8Rng::seed_from_u64(1);
    /// let draws = sample_haar_null(&A.values, &B.values, &Windows::PAPER, 99, &mut rng).unwrap();
    /// let test = draws.test(&pair.diagnostics(&Windows::PAPER).full, |d| d.commutator).unwrap();
    /// assert!(test.observed < test.mean && test.p_value < 0.25);
    /// # Ok::<(), EighError>(())
    /// ```
    pub fn test(
        &self,
        observed: &PairDiagnostics,
        diagnostic: impl Fn(&PairDiagnostics) -> Option<f64>,
    ) -> Option<NullTest> {
        let of_draw = |draw: &Diagnostics| draw.iter().find(|d| d.window == observed.window).and_then(&diagnostic);
        let null: Option<Vec<f64>> = self.draws.iter().map(of_draw).collect();
        NullTest::new(diagnostic(observed)?, &null?)
    }
}

/// An observed value against draws of a null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NullTest {
    /// The observed value.
    pub observed: f64,
    /// Draws `n`.
    pub n_draws: usize,
    /// Mean of the draws.
    pub mean: f64,
    /// Their standard deviation (division by `n − 1`).
    pub standard_deviation: f64,
    /// Standard error of the mean, `standard_deviation/√n`.
    pub standard_error: f64,
    /// One-sided, small values being the exception: `(1 + #{draws ≤ observed})/(n + 1)`, never below `1/(n + 1)`.
    pub p_value: f64,
}

impl NullTest {
    /// `None` for fewer than two draws.
    pub fn new(observed: f64, draws: &[f64]) -> Option<Self> {
        if draws.len() < 2 {
            return None;
        }
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        let at_most = draws.iter().filter(|x| **x <= observed).count() as f64;
        Some(Self {
            observed,
            n_draws: draws.len(),
            mean,
            standard_deviation: variance.sqrt(),
            standard_error: (variance / n).sqrt(),
            p_value: (1.0 + at_most) / (n + 1.0),
        })
    }
}

/// One draw of `A' = QAQᵀ`, `Q` Haar on `O(P)`, in the eigenbasis of `B`: `K' = Q diag(α) Qᵀ`.
///
/// `alpha` holds the eigenvalues of `A`, in any order, `beta` those of `B`, descending. The smallest `α` are left out
/// as long as their root sum of squares stays within `1e-8 ‖A‖`, far below the spread of the null, so that only the `r`
/// columns of `Q` that belong to the others are drawn: about `4Pr² + P²r` flops on one thread.
///
/// # Errors
/// When the counts differ, an eigenvalue is not finite, or all of a matrix are zero.
pub fn draw_haar_null(
    alpha: &[f64],
    beta: &[f64],
    rng: &mut (impl Rng + ?Sized),
) -> Result<InEigenbasis, DiagnosticError> {
    check_spectra(alpha, beta)?;
    let alpha = leading(alpha);
    let G = gaussian(beta.len(), alpha.len(), rng);
    Ok(turned(&alpha, beta, G))
}

/// A Haar-distributed orthogonal matrix of order `P`: the `Q` of a Gaussian matrix whose `R` has a positive diagonal
/// (Mezzadri 2007). One thread.
pub fn haar_orthogonal(P: usize, rng: &mut (impl Rng + ?Sized)) -> Mat<f64> {
    orthogonalised(gaussian(P, P, rng))
}

/// Eigenvalues by descending magnitude, without the smallest, whose norm is at most `1e-8` of all.
fn leading(alpha: &[f64]) -> Vec<f64> {
    let mut leading = alpha.to_vec();
    leading.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
    let largest = leading.first().map_or(1.0, |a| a.abs());
    let square = |a: &f64| (a / largest) * (a / largest);
    let negligible = 1e-16 * leading.iter().map(square).sum::<f64>();
    let mut tail = 0.0;
    while let Some(last) = leading.last() {
        tail += square(last);
        if tail > negligible {
            break;
        }
        leading.pop();
    }
    leading
}

/// Independent standard normal entries, drawn column by column.
fn gaussian(rows: usize, columns: usize, rng: &mut (impl Rng + ?Sized)) -> Mat<f64> {
    Mat::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

/// `Q diag(α) Qᵀ`, `Q` from the Gaussian `G` (`P × r`).
fn turned(alpha: &[f64], beta: &[f64], G: Mat<f64>) -> InEigenbasis {
    let Qt = orthogonalised(G).transpose().to_owned();
    let K = congruence(Qt.as_ref(), Par::Seq, |first, mut product| {
        for column in 0..product.ncols() {
            let q = Qt.col_as_slice(first + column);
            product.as_mut().col_mut(column).iter_mut().zip(q).zip(alpha).for_each(|((x, q), alpha)| *x = alpha * q);
        }
    });
    InEigenbasis::of_checked(K, beta.to_vec())
}

/// The first columns of `Q`, of `G = QR` (`P × r`, `r ≤ P`) with a positive diagonal of `R`: orthonormal, and
/// Haar-distributed for a Gaussian `G`.
fn orthogonalised(mut G: Mat<f64>) -> Mat<f64> {
    use faer::Conj;
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::householder::{
        apply_block_householder_sequence_on_the_left_in_place_scratch,
        apply_block_householder_sequence_on_the_left_in_place_with_conj,
    };
    use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
    let (P, r) = (G.nrows(), G.ncols());
    let mut Q = Mat::identity(P, r);
    if P == 0 || r == 0 {
        return Q;
    }
    // One thread, so that no sum depends on their number; several draws at a time use the cores.
    let par = Par::Seq;
    let block = recommended_block_size::<f64>(P, r);
    let mut coefficients = Mat::zeros(block, r);
    let scratch = qr_in_place_scratch::<f64>(P, r, block, par, Default::default())
        .or(apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(P, block, r));
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    qr_in_place(G.as_mut(), coefficients.as_mut(), par, stack, Default::default());
    apply_block_householder_sequence_on_the_left_in_place_with_conj(
        G.as_ref(),
        coefficients.as_ref(),
        Conj::No,
        Q.as_mut(),
        par,
        stack,
    );
    for j in 0..r {
        if G[(j, j)] < 0.0 {
            Q.col_mut(j).iter_mut().for_each(|x| *x = -*x);
        }
    }
    Q
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haar::HaarNull;
    use crate::testing::by_threads;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn haar_matrices_are_orthogonal() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for P in [0, 1, 2, 3, 17, 130, 300] {
            let Q = haar_orthogonal(P, &mut rng);
            let defect = Q.transpose() * &Q - Mat::<f64>::identity(P, P);
            assert!(defect.norm_l2() <= 10.0 * f64::EPSILON * P as f64, "P = {P}");
        }
    }

    /// Without the correction of signs the diagonal of `Q` has a mean far from 0.
    #[test]
    fn haar_matrices_have_no_preferred_sign() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for P in [1, 2, 3, 6] {
            let mut entries = vec![Vec::new(); P * P];
            let mut fourth = Vec::new();
            for _ in 0..4_000 {
                let Q = haar_orthogonal(P, &mut rng);
                (0..P * P).for_each(|k| entries[k].push(Q[(k / P, k % P)]));
                fourth.push(Q[(P - 1, 0)].powi(4));
            }
            for draws in &entries {
                let test = NullTest::new(0.0, draws).unwrap();
                assert!(test.mean.abs() <= 4.5 * test.standard_error, "P = {P}: {test:?}");
            }
            let expected = 3.0 / (P * (P + 2)) as f64;
            let test = NullTest::new(expected, &fourth).unwrap();
            assert!((test.mean - expected).abs() <= 4.0 * test.standard_error + 1e-14, "P = {P}: {test:?}");
        }
    }

    #[test]
    fn draws_keep_the_spectrum() {
        let alpha = [5.0, 2.0, 2.0, -1.0, 0.0];
        let pair = draw_haar_null(&alpha, &[5.0, 4.0, 3.0, 2.0, 1.0], &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
        let found = crate::eigh(pair.K()).unwrap().values;
        let truth = [5.0, 2.0, 2.0, 0.0, -1.0];
        assert!(found.iter().zip(truth).all(|(x, y)| (x - y).abs() < 1e-13));
        assert_eq!(pair.K().transpose(), pair.K());
    }

    #[test]
    fn a_negligible_tail_is_not_drawn() {
        let mut alpha = vec![1e-9, -3.0, 0.0, 2.0, 4e-9];
        assert_eq!(leading(&alpha), [-3.0, 2.0]);
        alpha[4] = 1e-7;
        assert_eq!(leading(&alpha), [-3.0, 2.0, 1e-7]);
        assert_eq!(leading(&[1.0; 3]), [1.0; 3]);
        let pair = draw_haar_null(&alpha, &[5.0, 4.0, 3.0, 2.0, 1.0], &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
        let found = crate::eigh(pair.K()).unwrap().values;
        assert!(found.iter().zip([2.0, 1e-7, 0.0, 0.0, -3.0]).all(|(x, y)| (x - y).abs() < 1e-14));
    }

    #[test]
    fn any_number_of_threads_gives_the_same_draws() {
        let alpha: Vec<f64> = (0..150).map(|k| 0.9_f64.powi(k)).collect();
        let windows = Windows { top: 10, bulk_end: 100 };
        let sample = || {
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            sample_haar_null(&alpha, &alpha, &windows, 5, &mut rng).unwrap().draws
        };
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let one_by_one: Vec<_> =
            (0..5).map(|_| draw_haar_null(&alpha, &alpha, &mut rng).unwrap().diagnostics(&windows)).collect();
        assert!(by_threads(sample).into_iter().all(|draws| draws == one_by_one));
    }

    /// A change of these would change every published baseline.
    #[test]
    fn values_are_stable() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let G = gaussian(2, 2, &mut rng);
        assert_eq!(
            [G[(0, 0)], G[(1, 0)], G[(0, 1)], G[(1, 1)]],
            [-1.0750753992924071, 0.21923597411785128, 1.1057015483967185, 0.8268571107334779]
        );
        let Q = haar_orthogonal(2, &mut ChaCha8Rng::seed_from_u64(5));
        let cosine = G[(0, 0)] / G[(0, 0)].hypot(G[(1, 0)]);
        assert!((Q[(0, 0)] - cosine).abs() < 1e-15);
        let K = draw_haar_null(&[2.0, 1.0], &[1.0, 0.0], &mut ChaCha8Rng::seed_from_u64(5)).unwrap();
        assert!((K.K()[(0, 0)] - (1.0 + cosine * cosine)).abs() < 1e-15);
    }

    #[test]
    fn the_baseline_is_what_draws_give() {
        let alpha: Vec<f64> = (0..60).map(|k| 0.9_f64.powi(k)).collect();
        let windows = Windows { top: 10, bulk_end: 40 };
        let null = HaarNull::new(&alpha, &alpha).unwrap();
        let draws = sample_haar_null(&alpha, &alpha, &windows, 200, &mut ChaCha8Rng::seed_from_u64(6)).unwrap();
        for observed in draws.draws[0].iter() {
            let test = draws.test(observed, |d| d.commutator).unwrap();
            let baseline = null.baseline_in(observed.window).unwrap();
            // Root mean square against mean, ratio of means against mean ratio: close, not equal.
            assert!((test.mean / baseline - 1.0).abs() < 0.1, "{baseline}: {test:?}");
            let relative = draws.test(observed, |d| d.relative_commutator).unwrap().mean;
            assert!((relative / null.relative_baseline_in(observed.window).unwrap() - 1.0).abs() < 0.1, "{relative}");
            let recovery = draws.test(observed, |d| d.recovery).unwrap().mean;
            assert!((recovery / null.expected_recovery_in(observed.window) - 1.0).abs() < 0.1, "{recovery}");
            let leakage = draws.test(observed, |d| d.leakage).unwrap().mean;
            assert!((leakage / null.expected_leakage().unwrap() - 1.0).abs() < 0.1);
        }
    }

    #[test]
    fn a_test_counts_the_draws_at_or_below() {
        let test = NullTest::new(2.0, &[1.0, 2.0, 3.0, 6.0]).unwrap();
        assert_eq!((test.mean, test.p_value, test.n_draws), (3.0, 0.6, 4));
        assert!((test.standard_deviation - (14.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(test.standard_error, test.standard_deviation / 2.0);
        assert_eq!(NullTest::new(0.5, &[1.0; 19]).unwrap().p_value, 0.05);
        assert_eq!(NullTest::new(0.5, &[1.0]), None);
    }

    #[test]
    fn a_window_without_a_value_has_no_test() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let spectrum = [3.0, 2.0, 1.0];
        let draws = sample_haar_null(&spectrum, &spectrum, &Windows { top: 1, bulk_end: 3 }, 5, &mut rng).unwrap();
        let observed = &draws.draws[0];
        assert!(draws.test(observed.bulk.as_ref().unwrap(), |d| d.commutator).is_some());
        assert_eq!(draws.test(observed.top.as_ref().unwrap(), |d| d.leakage), None);
        let pair = draw_haar_null(&spectrum, &spectrum, &mut rng).unwrap();
        let elsewhere = pair.diagnostics(&Windows { top: 2, bulk_end: 3 }).top.unwrap();
        assert_eq!(draws.test(&elsewhere, |d| d.commutator), None);
    }
}
