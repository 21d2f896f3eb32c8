//! Trace and squared Frobenius norm from random quadratic forms, by Hutchinson's estimator and by Hutch++.
//!
//! Hutch++ treats the leading subspace exactly.

use crate::estimate::Estimate;
use crate::probe::gaussian;
use crate::products::Products;
use crate::tall::{column, dot, gram, norm, orthogonalise, subtract};
use crate::trace::{Goal, TraceConfig, TraceError, TraceEstimate, TraceStop, check, inner, meets};
use faer::Mat;
use faer::matrix_free::LinOp;
use rand::Rng;

/// A remainder of at most `DEPENDENT · ε · √n` of the longest column is rounding.
pub(crate) const DEPENDENT: f64 = 8.0;

/// `tr A` (`A` is `n × n`): the mean of `zᵀAz` over probes `z` with `E[zzᵀ] = I` (Hutchinson 1990; Girard 1989).
///
/// The variance is `2(‖A‖² − Σ_i A_ii²)/m` for [`Probe::Rademacher`](crate::Probe) and about `2‖A‖²/m` for
/// [`Probe::Sphere`](crate::Probe), for symmetric `A` and `m` products. Unbiased for any square `A`.
///
/// # Errors
/// When `A` is empty or not square, the budget below 2, or a product not finite.
///
/// # Panics
/// When `block` is 0 or the goal is negative.
#[track_caller]
pub fn hutchinson(
    A: &dyn LinOp<f64>,
    config: &TraceConfig,
    mut rng: &mut (impl Rng + ?Sized),
) -> Result<TraceEstimate, TraceError> {
    check(A, config, 2)?;
    projected(A, config, Form::Trace, 0, &mut rng)
}

/// `tr A` of a symmetric `A` (`n × n`) by Hutch++ (Meyer, Musco, Musco and Woodruff 2021): exactly on the range `Q` of
/// `AS` for a third of the budget of random columns `S`, by Hutchinson's estimator on the rest:
/// `tr QᵀAQ + E[zᵀ(I − QQᵀ)A(I − QQᵀ)z]`.
///
/// Given `Q`, the second part is a mean of independent values: the standard error is that of the whole. A budget of
/// `n` is exact without a goal, of `3n` with one. A goal shortens the second part alone.
///
/// ```
/// use superlinear_spectra::{TraceConfig, hutch_plus_plus};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let A = faer::Mat::from_fn(500, 500, |i, j| 1.0 / (1.0 + (i + j) as f64));
/// let truth: f64 = (0..500).map(|i| A[(i, i)]).sum();
/// let config = TraceConfig { budget: 60, ..Default::default() };
/// let found = hutch_plus_plus(&A, &config, &mut ChaCha8Rng::seed_from_u64(1))?;
/// assert!((found.value - truth).abs() <= 4.0 * found.standard_error + 1e-12);
/// assert!(found.standard_error < 1e-6 && found.products == 60);
/// # Ok::<(), superlinear_spectra::TraceError>(())
/// ```
///
/// # Errors
/// When `A` is empty or not square, the budget below 4, or a product not finite.
///
/// # Panics
/// When `block` is 0 or the goal is negative.
#[track_caller]
pub fn hutch_plus_plus(
    A: &dyn LinOp<f64>,
    config: &TraceConfig,
    mut rng: &mut (impl Rng + ?Sized),
) -> Result<TraceEstimate, TraceError> {
    check(A, config, 4)?;
    projected(A, config, Form::Trace, (config.budget / 3).max(1), &mut rng)
}

/// `‖A‖²` (Frobenius) of a symmetric `A` (`n × n`): `‖AQ‖² + E‖A(I − QQᵀ)z‖²`, with `Q` as in [`hutch_plus_plus`]; a
/// budget below 4 goes without `Q`.
///
/// # Errors
/// When `A` is empty or not square, the budget below 2, or a product not finite.
///
/// # Panics
/// When `block` is 0 or the goal is negative.
#[track_caller]
pub fn frobenius_squared(
    A: &dyn LinOp<f64>,
    config: &TraceConfig,
    mut rng: &mut (impl Rng + ?Sized),
) -> Result<TraceEstimate, TraceError> {
    check(A, config, 2)?;
    let sketch = if config.budget < 4 { 0 } else { config.budget / 3 };
    projected(A, config, Form::SquaredNorm, sketch.max(usize::from(config.budget >= 4)), &mut rng)
}

/// What is summed over a basis: `xᵀAx` or `‖Ax‖²`.
#[derive(Clone, Copy)]
enum Form {
    Trace,
    SquaredNorm,
}

impl Form {
    fn of(self, x: &[f64], Ax: &[f64]) -> f64 {
        match self {
            Self::Trace => dot(x, Ax),
            Self::SquaredNorm => dot(Ax, Ax),
        }
    }
}

/// The form's sum over a basis: exactly within the range of `sketch` columns of `A` times Gaussian vectors, from probes
/// outside of it.
fn projected(
    A: &dyn LinOp<f64>,
    config: &TraceConfig,
    form: Form,
    sketch: usize,
    rng: &mut dyn Rng,
) -> Result<TraceEstimate, TraceError> {
    let n = A.nrows();
    let mut products = Products::new(A);
    // Products enough for a basis of the whole space: nothing is left to estimate.
    let whole = sketch > 0 && config.goal == Goal::Budget && config.budget >= n;
    let Q = if whole { Mat::identity(n, n) } else { range(&mut products, sketch.min(n), config.block, rng)? };
    let AQ = products.of(Q.as_ref(), config.block)?;
    let within = match form {
        Form::Trace => inner(Q.as_ref(), AQ.as_ref()),
        Form::SquaredNorm => inner(AQ.as_ref(), AQ.as_ref()),
    };
    drop(AQ);
    // Fewer independent columns than were drawn: they span the range of A, outside of which it is zero.
    if whole || sketch > 0 && (Q.ncols() < sketch || Q.ncols() == n) {
        return Ok(TraceEstimate {
            value: within,
            standard_error: 0.0,
            products: products.count,
            stop: TraceStop::Exact,
        });
    }
    let mut samples = Vec::new();
    loop {
        let estimate = Estimate::of(&samples);
        let of_whole = Estimate { value: within + estimate.value, ..estimate };
        let met = samples.len() >= 2 && meets(config.goal, of_whole, samples.len());
        let width = config.block.min(config.budget - products.count);
        if met || width == 0 {
            let stop = if met { TraceStop::Goal } else { TraceStop::Budget };
            let Estimate { value, standard_error } = of_whole;
            return Ok(TraceEstimate { value, standard_error, products: products.count, stop });
        }
        let mut Z = Mat::zeros(n, width);
        (0..width).for_each(|j| config.probe.draw(Z.col_as_slice_mut(j), rng));
        if Q.ncols() > 0 {
            let inside = gram(Q.as_ref(), Z.as_ref());
            subtract(Z.as_mut(), Q.as_ref(), inside.as_ref());
        }
        let AZ = products.of(Z.as_ref(), width)?;
        samples.extend((0..width).map(|j| form.of(column(Z.as_ref(), j), column(AZ.as_ref(), j))));
    }
}

/// An orthonormal basis (`n × r`) of the range of `A` times `sketch` Gaussian vectors, which are never dependent;
/// `r < sketch` where the rank of `A` is smaller.
fn range(products: &mut Products<'_>, sketch: usize, block: usize, rng: &mut dyn Rng) -> Result<Mat<f64>, TraceError> {
    let n = products.order();
    let mut S = Mat::zeros(n, sketch);
    (0..sketch).for_each(|j| gaussian(S.col_as_slice_mut(j), rng));
    let mut Y = products.of(S.as_ref(), block)?;
    drop(S);
    let longest = (0..sketch).fold(0.0, |most: f64, j| most.max(norm(column(Y.as_ref(), j))));
    let floor = DEPENDENT * f64::EPSILON * (n as f64).sqrt() * longest;
    let nothing = Mat::zeros(n, 0);
    let made = orthogonalise(nothing.as_ref(), Y.as_mut(), sketch, floor, &mut |x| x.fill(0.0));
    Y.truncate(n, made.independent);
    Ok(Y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_tests::{Case, rng, verify_trace};

    #[test]
    fn unbiased_with_honest_errors() {
        for case in Case::all() {
            let truth = case.trace();
            verify_trace("hutchinson", truth, |config, rng| hutchinson(&case.A, config, rng));
            verify_trace("hutch++", truth, |config, rng| hutch_plus_plus(&case.A, config, rng));
            let squared = case.values.iter().map(|x| x * x).sum();
            verify_trace("squared norm", squared, |config, rng| frobenius_squared(&case.A, config, rng));
        }
    }

    /// The variance of Rademacher probes in closed form.
    #[test]
    fn hutchinson_has_its_known_variance() {
        let case = &Case::all()[1];
        let config = TraceConfig { budget: 2_000, ..Default::default() };
        let found = hutchinson(&case.A, &config, &mut rng(3)).unwrap();
        let n = case.A.nrows();
        let beside: f64 =
            case.values.iter().map(|x| x * x).sum::<f64>() - (0..n).map(|i| case.A[(i, i)].powi(2)).sum::<f64>();
        let truth = (2.0 * beside / 2_000.0).sqrt();
        assert!((found.standard_error / truth - 1.0).abs() < 0.1, "{found:?}, {truth}");
    }

    #[test]
    fn a_budget_of_the_order_is_exact() {
        for (n, budget) in [(48, 60), (20, 20), (7, 60)] {
            let A = Mat::from_fn(n, n, |i, j| 1.0 / (1 + i + j) as f64);
            let config = TraceConfig { budget, ..Default::default() };
            let truth: f64 = (0..n).map(|i| A[(i, i)]).sum();
            let squared: f64 = A.norm_l2().powi(2);
            for (found, truth) in [
                (hutch_plus_plus(&A, &config, &mut rng(1)).unwrap(), truth),
                (frobenius_squared(&A, &config, &mut rng(1)).unwrap(), squared),
            ] {
                assert_eq!((found.products, found.stop, found.standard_error), (n, TraceStop::Exact, 0.0));
                assert!((found.value / truth - 1.0).abs() < 1e-13, "{found:?} {truth}");
            }
        }
    }

    #[test]
    fn low_rank_and_small_operators_are_exact() {
        let A = Mat::from_fn(50, 50, |i, j| if i < 4 && i == j { (i + 1) as f64 } else { 0.0 });
        let config = TraceConfig { budget: 30, ..Default::default() };
        for (found, truth) in [
            (hutch_plus_plus(&A, &config, &mut rng(1)).unwrap(), 10.0),
            (frobenius_squared(&A, &config, &mut rng(1)).unwrap(), 30.0),
        ] {
            assert_eq!(found.stop, TraceStop::Exact);
            assert!((found.value - truth).abs() < 1e-12 && found.standard_error == 0.0 && found.products < 20);
        }
        for n in 1..=4 {
            let A = Mat::from_fn(n, n, |i, j| 1.0 / (1 + i + j) as f64);
            let truth: f64 = (0..n).map(|i| A[(i, i)]).sum();
            let found = hutch_plus_plus(&A, &config, &mut rng(1)).unwrap();
            assert!((found.value - truth).abs() < 1e-13 && found.stop == TraceStop::Exact, "{n}: {found:?}, {truth}");
        }
        let found = hutchinson(&Mat::from_fn(1, 1, |_, _| 3.0), &config, &mut rng(1)).unwrap();
        assert_eq!((found.value, found.standard_error), (3.0, 0.0));
        let zero = hutch_plus_plus(&Mat::<f64>::zeros(9, 9), &config, &mut rng(1)).unwrap();
        assert_eq!((zero.value, zero.stop), (0.0, TraceStop::Exact));
    }
}
