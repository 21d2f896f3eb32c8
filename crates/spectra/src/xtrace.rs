//! XTrace: the trace from probes that are sketches of each other.

use crate::estimate::Estimate;
use crate::leave_one_out::Sketch;
use crate::probe::gaussian;
use crate::products::Products;
use crate::tall::gram;
use crate::trace::{
    Goal, LEAST_SAMPLES, TraceConfig, TraceError, TraceEstimate, TraceStop, check, exact_diagonal, meets,
};
use faer::Mat;
use faer::matrix_free::LinOp;
use rand::Rng;

/// `tr A` of a symmetric `A` (`n × n`) by XTrace (Epperly, Tropp and Webber 2024): the mean over `i` of
/// `tr Q_iᵀAQ_i + (n − k + 1) μ_iᵀAμ_i/‖μ_i‖²` with `Q_i` a basis of the range of `AΩ` without column `i` and
/// `μ_i = (I − Q_iQ_iᵀ)ω_i`, for `k` Gaussian columns `ω_i` of `Ω` and `2k` products.
///
/// Each term is unbiased. They share columns, so they are not independent: the standard error, that of `k` independent
/// terms, is an estimate itself: with 60 products on the Hessian of a layer, five eigenpairs taken off, true errors
/// were 1.6 times as large. [`hutch_plus_plus`](crate::hutch_plus_plus) has an exact one. A budget of `2n`, or of `n`
/// without a goal, is spent on `n` unit vectors: exact.
/// An operator whose range `k` vectors span is exact up to rounding, `n·10⁻¹⁵·√n·‖A‖` at worst.
///
/// Memory is `24 n k` bytes.
///
/// ```
/// use superlinear_spectra::{Goal, TraceConfig, TraceStop, xtrace};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let A = faer::Mat::from_fn(300, 300, |i, j| if i == j { (1.0 + i as f64).powi(-2) } else { 0.0 });
/// let config = TraceConfig { budget: 300, goal: Goal::Relative(1e-3), ..Default::default() };
/// let found = xtrace(&A, &config, &mut ChaCha8Rng::seed_from_u64(1))?;
/// assert!((found.value / 1.6416 - 1.0).abs() < 4e-3);
/// assert!(found.stop == TraceStop::Goal && found.products < 100);
/// # Ok::<(), superlinear_spectra::TraceError>(())
/// ```
///
/// # Errors
/// When `A` is empty, not square or not symmetric, the budget below 4 (2 for `n = 1`), or a product not finite.
///
/// # Panics
/// When `block` is 0 or the goal is negative.
#[track_caller]
pub fn xtrace(
    A: &dyn LinOp<f64>,
    config: &TraceConfig,
    mut rng: &mut (impl Rng + ?Sized),
) -> Result<TraceEstimate, TraceError> {
    check(A, config, (2 * A.nrows()).clamp(2, 4))?;
    let n = A.nrows();
    let mut products = Products::new(A);
    let exact = |value, products| TraceEstimate { value, standard_error: 0.0, products, stop: TraceStop::Exact };
    if config.budget >= 2 * n || config.goal == Goal::Budget && config.budget >= n {
        let value = exact_diagonal(&mut products, config.block)?.iter().sum();
        return Ok(exact(value, products.count));
    }
    let mut sketch = Sketch::new(n, |x, rng| gaussian(x, rng));
    loop {
        let least = if sketch.len() == 0 { LEAST_SAMPLES } else { 0 };
        let more = config.block.max(least).min((config.budget - products.count) / 2);
        sketch.grow(more, &mut products, &mut rng)?;
        let H = sketch.projected()?;
        if sketch.whole {
            return Ok(exact((0..H.nrows()).map(|i| H[(i, i)]).sum(), products.count));
        }
        let terms = terms(&sketch, &H);
        let Estimate { value, standard_error } = Estimate::of(&terms);
        let met = meets(config.goal, Estimate { value, standard_error }, terms.len());
        if met || config.budget - products.count < 2 {
            let stop = if met { TraceStop::Goal } else { TraceStop::Budget };
            return Ok(TraceEstimate { value, standard_error, products: products.count, stop });
        }
    }
}

/// One unbiased estimate a column.
fn terms(sketch: &Sketch, H: &Mat<f64>) -> Vec<f64> {
    let (n, k) = (sketch.omega.nrows(), sketch.len());
    let W = gram(sketch.Q.as_ref(), sketch.omega.as_ref());
    let left_out = sketch.left_out();
    let all: f64 = (0..k).map(|i| H[(i, i)]).sum();
    let term = |i: usize| {
        let (s, w, r) = (left_out.S.col(i), W.col(i), sketch.R.col(i));
        let within = all - s.transpose() * H * s;
        // Outside of Q_i, in terms of Q: μ = ω − Q P w with P = I − s sᵀ, QᵀAω = r, and ωᵀAω = wᵀr because Aω = Qr.
        let p = w - s * faer::Scale(s.transpose() * w);
        let form = w.transpose() * r - 2.0 * (p.transpose() * r) + p.transpose() * H * &p;
        let squared = sketch.omega.col(i).squared_norm_l2() - p.squared_norm_l2();
        within + (n - k + 1) as f64 * form / squared
    };
    (0..k).map(term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_tests::{Case, rng, verify_trace};

    #[test]
    fn unbiased_with_honest_errors() {
        for case in Case::all() {
            verify_trace("xtrace", case.trace(), |config, rng| xtrace(&case.A, config, rng));
        }
    }

    /// Every term against its definition, with a basis of its own.
    #[test]
    fn terms_equal_their_definition() {
        use crate::tall::orthogonalise;
        for case in Case::all() {
            let (n, k) = (case.A.nrows(), 7);
            let mut sketch = Sketch::new(n, |x, rng| gaussian(x, rng));
            let mut products = Products::new(&case.A);
            sketch.grow(4, &mut products, &mut rng(5)).unwrap();
            sketch.grow(3, &mut products, &mut rng(6)).unwrap();
            assert_eq!(products.count, 14);
            let Y = &case.A * &sketch.omega;
            for (i, term) in terms(&sketch, &sketch.projected().unwrap()).into_iter().enumerate() {
                let mut Q = Mat::from_fn(n, k - 1, |row, j| Y[(row, if j < i { j } else { j + 1 })]);
                orthogonalise(Mat::zeros(n, 0).as_ref(), Q.as_mut(), k - 1, 0.0, &mut |_| unreachable!());
                let omega = sketch.omega.col(i);
                let mu = omega - &Q * (Q.transpose() * omega);
                let outside = (mu.transpose() * &case.A * &mu) / mu.squared_norm_l2() * (n - k + 1) as f64;
                let H = Q.transpose() * &case.A * &Q;
                let truth = (0..k - 1).map(|j| H[(j, j)]).sum::<f64>() + outside;
                assert!((term - truth).abs() < 1e-9 * case.scale(), "{}: {term}, {truth}", case.name);
            }
        }
    }

    #[test]
    fn low_rank_and_small_operators_are_exact() {
        let A = Mat::from_fn(50, 50, |i, j| if i < 4 && i == j { (i + 1) as f64 } else { 0.0 });
        let config = TraceConfig { budget: 30, ..Default::default() };
        let found = xtrace(&A, &config, &mut rng(1)).unwrap();
        assert!((found.value - 10.0).abs() < 1e-12 && found.stop == TraceStop::Exact && found.products == 15);
        for n in 1..=4 {
            let A = Mat::from_fn(n, n, |i, j| 1.0 / (1 + i + j) as f64);
            let found = xtrace(&A, &config, &mut rng(1)).unwrap();
            assert!((found.value - (0..n).map(|i| A[(i, i)]).sum::<f64>()).abs() < 1e-14);
            assert_eq!((found.products, found.stop), (n, TraceStop::Exact));
        }
    }
}
