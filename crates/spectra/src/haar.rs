//! The null that keeps a spectrum, in closed form: how far a turned `A' = QAQᵀ` is from commuting with `B`
//! (`MATH [16]`).
//!
//! `Q` is Haar on `O(P)`. Shifting either matrix by a multiple of the identity changes no commutator, so both spectra
//! are centred first, `ã_i = a_i − tr A/P`, and the identity becomes
//!
//! ```text
//! E‖[A', B]‖² = 2P / ((P − 1)(P + 2)) · ‖ã‖² ‖b̃‖²        (0 for P = 1)
//! ```
//!
//! which for matrices near a multiple of the identity subtracts nothing large. It follows from the second moments of
//! `K' = QAQᵀ` in any fixed basis,
//!
//! ```text
//! E K'_ij² = ‖ã‖² / ((P − 1)(P + 2)),  i ≠ j        E K'_ii² = ((tr A)² + 2 tr A²) / (P(P + 2))
//! ```
//!
//! and `[A', B]_ij = K'_ij(β_j − β_i)`, since `Σ_ij (β_j − β_i)² = 2P‖b̃‖²`.

use crate::commutator::{DiagnosticError, InEigenbasis, check_spectrum};
use crate::symmetric::power_of_two_near;
use crate::window::Window;
use faer::MatRef;

/// What `MATH [16]` needs to know of a symmetric matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Traces {
    /// `P`.
    order: usize,
    /// `tr A`.
    trace: f64,
    /// `tr A² = ‖A‖²`.
    square: f64,
    /// `tr A² − (tr A)²/P = ‖A − (tr A/P) I‖²`, at least 0.
    centred_square: f64,
}

impl Traces {
    /// From eigenvalues, by two passes.
    fn of_spectrum(values: &[f64]) -> Self {
        Self::of(values.iter().copied(), values.len(), 0.0)
    }

    /// From a symmetric matrix in any orthonormal basis, by two passes.
    ///
    /// # Panics
    /// When `A` is not square.
    #[track_caller]
    fn of_matrix(A: MatRef<'_, f64>) -> Self {
        assert!(A.nrows() == A.ncols(), "A is P × P, found {} × {}", A.nrows(), A.ncols());
        let P = A.nrows();
        let off = |j: usize| (j + 1..P).map(|i| A[(i, j)] * A[(i, j)]).sum::<f64>();
        Self::of((0..P).map(|i| A[(i, i)]), P, 2.0 * (0..P).map(off).sum::<f64>())
    }

    /// `off` is the sum of squares off the diagonal.
    fn of(diagonal: impl Iterator<Item = f64> + Clone, order: usize, off: f64) -> Self {
        let trace: f64 = diagonal.clone().sum();
        let mean = if order == 0 { 0.0 } else { trace / order as f64 };
        let square = off + diagonal.clone().map(|x| x * x).sum::<f64>();
        let centred_square = off + diagonal.map(|x| (x - mean) * (x - mean)).sum::<f64>();
        Self { order, trace, square, centred_square }
    }
}

/// `2P/((P − 1)(P + 2))`, 0 for `P ≤ 1`.
fn commutator_factor(order: usize) -> f64 {
    let P = order as f64;
    if order < 2 { 0.0 } else { 2.0 * P / ((P - 1.0) * (P + 2.0)) }
}

/// Expectations under the null that `A` keeps its spectrum and loses its directions.
///
/// Use these for a baseline; use [`sample_haar_null`](crate::sample_haar_null) for a spread or a p-value.
#[derive(Clone, Debug)]
pub struct HaarNull {
    /// Of `A`, over a power of two squared.
    A: Traces,
    /// Of `B`, over its power of two squared.
    B: Traces,
    /// `β`, over the same power of two.
    values: Vec<f64>,
}

impl HaarNull {
    /// From the eigenvalues of `A` (in any order) and of `B` (descending).
    ///
    /// # Errors
    /// When the counts differ, an eigenvalue is not finite, or all of a matrix are zero.
    pub fn new(alpha: &[f64], beta: &[f64]) -> Result<Self, DiagnosticError> {
        check_spectra(alpha, beta)?;
        let A = Traces::of_spectrum(&scaled(alpha));
        let values = scaled(beta);
        Ok(Self { A, B: Traces::of_spectrum(&values), values })
    }

    /// From a pair; needs no eigenvalues of `A`.
    pub fn of_pair(pair: &InEigenbasis) -> Self {
        let scale = power_of_two_near(pair.K().norm_max());
        let A = Traces::of_matrix((pair.K() * faer::Scale(1.0 / scale)).as_ref());
        let values = scaled(pair.values());
        Self { A, B: Traces::of_spectrum(&values), values }
    }

    /// `E‖[A', B]‖² / (‖A‖²‖B‖²)`, the mean square of the commutator error; in `[0, 1]`, and at most about `2/P`.
    fn expected_squared_error(&self) -> f64 {
        let spread = |traces: &Traces| traces.centred_square / traces.square;
        commutator_factor(self.A.order) * spread(&self.A) * spread(&self.B)
    }

    /// `√(E‖[A', B]‖²) / (‖A‖‖B‖)`: the root mean square of the commutator error in all directions.
    pub fn baseline(&self) -> f64 {
        self.expected_squared_error().sqrt()
    }

    /// `√( E‖[A'_W, B_W]‖² / (E‖A'_W‖² ‖B_W‖²) )` of the projections on a window `W`; `None` when `B_W` or `E‖A'_W‖²`
    /// is zero.
    ///
    /// A ratio of expectations, each exact. `‖A'_W‖` varies from draw to draw, so that the mean square of the projected
    /// commutator error is close to its square, but not equal. In all directions it is [`HaarNull::baseline`].
    ///
    /// # Panics
    /// When the window reaches beyond `P`.
    #[track_caller]
    pub fn baseline_in(&self, window: Window) -> Option<f64> {
        let beta = Traces::of_spectrum(&self.values[window.range()]);
        let w = window.n_directions() as f64;
        let off_diagonal = self.off_diagonal_square();
        let commutator = 2.0 * w * off_diagonal * beta.centred_square;
        let norms = w * (self.diagonal_square() + (w - 1.0) * off_diagonal) * beta.square;
        (norms > 0.0).then(|| (commutator / norms).sqrt())
    }

    /// `√( E‖[A'_W, B_W]‖² / E‖A'_W B_W‖² )`: the root mean square of
    /// [`relative_commutator`](crate::PairDiagnostics::relative_commutator), the paper's commutator error, as a ratio
    /// of exact expectations; `None` as for [`HaarNull::baseline_in`].
    ///
    /// It is `√w` times [`HaarNull::baseline_in`] for a window of `w` directions, and near √2 for spectra of a low
    /// effective rank.
    ///
    /// # Panics
    /// When the window reaches beyond `P`.
    #[track_caller]
    pub fn relative_baseline_in(&self, window: Window) -> Option<f64> {
        Some(self.baseline_in(window)? * (window.n_directions() as f64).sqrt())
    }

    /// `Σ_i E K'_ii² / E‖K'_W‖²` over a window: what [`recovery`](crate::PairDiagnostics::recovery), the paper's
    /// eigen-alignment (`MATH [18]`),
    /// is compared with. In all directions `‖K'‖` does not vary, and it is the exact expectation
    /// `((tr A)² + 2 tr A²)/((P + 2) tr A²)`.
    pub fn expected_recovery_in(&self, window: Window) -> f64 {
        let others = (window.n_directions() - 1) as f64;
        let diagonal = self.diagonal_square();
        diagonal / (diagonal + others * self.off_diagonal_square())
    }

    /// `√(E K'_ij² / E K'_ii²)`, `i ≠ j`: what leakage is compared with, in any window of two or more directions.
    /// `None` for `P = 1`.
    pub fn expected_leakage(&self) -> Option<f64> {
        (self.A.order > 1).then(|| (self.off_diagonal_square() / self.diagonal_square()).sqrt())
    }

    /// `E K'_ij²`, `i ≠ j`, scaled.
    fn off_diagonal_square(&self) -> f64 {
        commutator_factor(self.A.order) / (2.0 * self.A.order as f64) * self.A.centred_square
    }

    /// `E K'_ii²`, scaled; positive.
    fn diagonal_square(&self) -> f64 {
        let P = self.A.order as f64;
        (self.A.trace * self.A.trace + 2.0 * self.A.square) / (P * (P + 2.0))
    }
}

/// Whether two spectra make a pair.
pub(crate) fn check_spectra(alpha: &[f64], beta: &[f64]) -> Result<(), DiagnosticError> {
    if alpha.len() != beta.len() {
        return Err(DiagnosticError::Spectra { n_alpha: alpha.len(), n_beta: beta.len() });
    }
    check_spectrum("A", alpha)?;
    check_spectrum("B", beta)
}

/// Over the power of two near the largest magnitude.
fn scaled(values: &[f64]) -> Vec<f64> {
    let scale = power_of_two_near(values.iter().fold(0.0_f64, |m, x| m.max(x.abs())));
    values.iter().map(|x| x / scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eigh::eigh;
    use crate::haar_draws::{NullTest, draw_haar_null};
    use crate::testing::prescribed;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// `E‖[QAQᵀ, B]‖²`: `MATH [16]` for centred spectra.
    fn expected_squared_commutator(A: &Traces, B: &Traces) -> f64 {
        commutator_factor(A.order) * A.centred_square * B.centred_square
    }

    /// `MATH [16]` as it stands there.
    fn math_16(A: &Traces, B: &Traces) -> f64 {
        let P = A.order as f64;
        let denominator = P * (P - 1.0) * (P + 2.0);
        let alpha = ((P + 1.0) * A.trace * A.trace - 2.0 * A.square) / denominator;
        let beta = (P * A.square - A.trace * A.trace) / denominator;
        2.0 * (A.square * B.square / P - (alpha + beta) * B.square - beta * B.trace * B.trace)
    }

    proptest! {
        #[test]
        fn the_centred_form_equals_math_16(
            spectra in prop::collection::vec((-1.0f64..1.0, -1.0f64..1.0), 2..50),
            shifts in [-1.0f64..1.0, -1.0f64..1.0],
        ) {
            let spectrum =
                |f: &dyn Fn(&(f64, f64)) -> f64| Traces::of_spectrum(&spectra.iter().map(f).collect::<Vec<_>>());
            let (A, B) = (spectrum(&|x| x.0 + shifts[0]), spectrum(&|x| x.1 + shifts[1]));
            let found = expected_squared_commutator(&A, &B);
            prop_assert!((found - math_16(&A, &B)).abs() <= 1e-12 * A.square * B.square);
        }
    }

    /// 2,000 draws of every case: mean square commutator, and mean squares of `K'` for the windows.
    #[test]
    fn agrees_with_draws_within_the_standard_error() {
        let ramp = |P: u32| (0..P).map(|k| 1.0 - 0.3 * f64::from(k)).collect::<Vec<_>>();
        let centred = |P: u32| (0..P).map(|k| f64::from(P - 1) / 2.0 - f64::from(k)).collect::<Vec<_>>();
        let rank_one = |P: usize| (0..P).map(|k| if k == 0 { 2.0 } else { 0.0 }).collect::<Vec<_>>();
        let cases: Vec<(Vec<f64>, Vec<f64>)> = vec![
            (vec![2.0], vec![3.0]),
            (vec![2.0, 1.0], vec![3.0, -1.0]),
            (centred(2), centred(2)),
            (ramp(3), rank_one(3)),
            (centred(4), ramp(4)),
            (rank_one(5), rank_one(5)),
            (vec![1.0; 6], ramp(6)),
            (ramp(6), vec![-2.0; 6]),
            (ramp(12), centred(12)),
            (rank_one(12), ramp(12)),
            (vec![1.0 + 1e-9, 1.0, 1.0, 1.0 - 1e-9], ramp(4)),
        ];
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for (alpha, beta) in &cases {
            let P = alpha.len();
            let window = Window::of_order(P, P / 3..P / 3 + P / 2).unwrap_or(Window::of_order(P, 0..P).unwrap());
            let null = HaarNull::new(alpha, beta).unwrap();
            let (A, B) = (Traces::of_spectrum(alpha), Traces::of_spectrum(beta));
            let (mut full, mut numerator, mut denominator) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..2_000 {
                let pair = draw_haar_null(alpha, beta, &mut rng).unwrap();
                let K = pair.K();
                let square = |i: usize, j: usize| K[(i, j)] * K[(i, j)];
                let commutator = |i: usize, j: usize| square(i, j) * (beta[j] - beta[i]).powi(2);
                let sum = |f: &dyn Fn(usize, usize) -> f64, range: std::ops::Range<usize>| -> f64 {
                    range.clone().flat_map(|i| range.clone().map(move |j| (i, j))).map(|(i, j)| f(i, j)).sum()
                };
                full.push(sum(&commutator, 0..P));
                numerator.push(sum(&commutator, window.range()));
                denominator.push(sum(&square, window.range()));
            }
            // Rounding of a draw alone is allowed for where the null has no spread.
            let scale = A.square * B.square;
            let agrees = |draws: &[f64], expected: f64, scale: f64| {
                let test = NullTest::new(expected, draws).unwrap();
                let allowed = 4.0 * test.standard_error + 1e-13 * scale;
                assert!((test.mean - expected).abs() <= allowed, "{alpha:?}, {beta:?}: {test:?}");
            };
            let expected = expected_squared_commutator(&A, &B);
            agrees(&full, expected, 1e-10 * scale);
            assert!((null.expected_squared_error() * scale - expected).abs() <= 1e-14 * scale);
            assert_eq!(null.baseline(), null.expected_squared_error().sqrt());
            // The scale of `null` is a power of two, hence these are exact.
            let units = (A.square / null.A.square, B.square / null.B.square);
            let w = window.n_directions() as f64;
            let norm = w * (null.diagonal_square() + (w - 1.0) * null.off_diagonal_square()) * units.0;
            agrees(&denominator, norm, A.square);
            if let Some(baseline) = null.baseline_in(window) {
                let beta_square: f64 = beta[window.range()].iter().map(|x| x * x).sum();
                agrees(&numerator, baseline * baseline * norm * beta_square, scale);
            }
        }
    }

    #[test]
    fn near_the_identity_nothing_cancels() {
        let tiny = 1e-9;
        let alpha = [1.0 + tiny, 1.0, 1.0 - tiny];
        let found = HaarNull::new(&alpha, &[1.0, 0.0, -1.0]).unwrap().expected_squared_error();
        let truth = 0.6 * (2.0 * tiny * tiny / 3.0);
        assert!((found / truth - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_pair_and_two_spectra_have_the_same_null() {
        let (alpha, beta) = ([3e200, -1e200, 2e199, 1e200], [4e-200, 1e-200, 1e-201, -3e-200]);
        let eigen = eigh(prescribed(&beta, 5).as_ref()).unwrap();
        let pair = InEigenbasis::new(prescribed(&alpha, 6).as_ref(), &eigen).unwrap();
        let (null, other) = (HaarNull::new(&alpha, &beta).unwrap(), HaarNull::of_pair(&pair));
        assert!((null.baseline() - other.baseline()).abs() < 1e-14);
        let full = Window::of_order(4, 0..4).unwrap();
        assert!((null.baseline() - null.baseline_in(full).unwrap()).abs() < 1e-14);
        let part = Window::of_order(4, 1..3).unwrap();
        assert!((null.baseline_in(part).unwrap() - other.baseline_in(part).unwrap()).abs() < 1e-13);
        assert!((null.expected_leakage().unwrap() - other.expected_leakage().unwrap()).abs() < 1e-14);
    }

    #[test]
    fn edge_cases_have_values() {
        assert_eq!([0, 1].map(commutator_factor), [0.0; 2]);
        let single = HaarNull::new(&[2.0], &[3.0]).unwrap();
        assert_eq!((single.baseline(), single.expected_leakage()), (0.0, None));
        assert_eq!(HaarNull::new(&[1.0; 4], &[4.0, 3.0, 2.0, 1.0]).unwrap().baseline(), 0.0);
        // The definition for P = 2 by hand: K_12 = a sin 2θ.
        let two = HaarNull::new(&[1.0, -1.0], &[1.0, -1.0]).unwrap();
        assert_eq!((two.expected_squared_error(), two.expected_leakage()), (1.0, Some(1.0)));
        let zero_block = HaarNull::new(&[1.0, -1.0, 0.5], &[1.0, 0.0, 0.0]).unwrap();
        assert_eq!(zero_block.baseline_in(Window::of_order(3, 1..3).unwrap()), None);
    }

    #[test]
    fn bad_spectra_are_named() {
        let error = |alpha: &[f64], beta: &[f64]| HaarNull::new(alpha, beta).unwrap_err();
        assert_eq!(error(&[1.0], &[1.0, 2.0]), DiagnosticError::Spectra { n_alpha: 1, n_beta: 2 });
        assert_eq!(error(&[], &[]), DiagnosticError::Norm { matrix: "A", norm: 0.0 });
        assert_eq!(error(&[1.0, 1.0], &[0.0, 0.0]), DiagnosticError::Norm { matrix: "B", norm: 0.0 });
        let value = f64::INFINITY;
        assert_eq!(error(&[1.0, value], &[1.0, 0.0]), DiagnosticError::Eigenvalue { matrix: "A", index: 1, value });
    }
}
