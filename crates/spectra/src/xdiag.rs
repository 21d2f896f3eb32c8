//! XDiag: the diagonal from probes that are sketches of each other.

use crate::estimate::Estimate;
use crate::leave_one_out::Sketch;
use crate::probe::Probe;
use crate::products::Products;
use crate::tall::norm;
use crate::trace::{Goal, LEAST_SAMPLES, TraceConfig, TraceError, TraceStop, check, exact_diagonal, meets};
use faer::linalg::matmul::matmul;
use faer::matrix_free::LinOp;
use faer::{Accum, Mat, Par};
use rand::Rng;

/// An estimated diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalEstimate {
    /// `A_ii`.
    pub values: Vec<f64>,
    /// The standard error of each; 0 for [`TraceStop::Exact`].
    pub standard_errors: Vec<f64>,
    /// Products used.
    pub products: usize,
    /// Why it stopped.
    pub stop: TraceStop,
}

/// The diagonal of a symmetric `A` (`n × n`) by XDiag (Epperly, Tropp and Webber 2024): the mean over `i` of
/// `diag(Q_iQ_iᵀA) + ω_i ⊙ (I − Q_iQ_iᵀ)Aω_i`, with `Q_i` a basis of the range of `AΩ` without column `i`, for `k`
/// Rademacher columns `ω_i` of `Ω` and `2k` products.
///
/// Each term is unbiased; standard errors are those of `k` independent terms, which these are only nearly: they share
/// columns. A goal is about the Euclidean norms of the standard errors and of the diagonal. A budget of `2n`, or of `n`
/// without a goal, is spent on `n` unit vectors: exact. Memory is `32 n k` bytes.
///
/// # Errors
/// When `A` is empty, not square or not symmetric, the budget below 4 (2 for `n = 1`), or a product not finite.
///
/// # Panics
/// When `block` is 0 or the goal is negative.
#[track_caller]
pub fn xdiag(
    A: &dyn LinOp<f64>,
    config: &TraceConfig,
    mut rng: &mut (impl Rng + ?Sized),
) -> Result<DiagonalEstimate, TraceError> {
    check(A, config, (2 * A.nrows()).clamp(2, 4))?;
    let n = A.nrows();
    let mut products = Products::new(A);
    let exact =
        |values, products| DiagonalEstimate { values, standard_errors: vec![0.0; n], products, stop: TraceStop::Exact };
    if config.budget >= 2 * n || config.goal == Goal::Budget && config.budget >= n {
        let values = exact_diagonal(&mut products, config.block)?;
        return Ok(exact(values, products.count));
    }
    let mut sketch = Sketch::new(n, |x, rng| Probe::Rademacher.draw(x, rng));
    loop {
        let least = if sketch.len() == 0 { LEAST_SAMPLES } else { 0 };
        let more = config.block.max(least).min((config.budget - products.count) / 2);
        sketch.grow(more, &mut products, &mut rng)?;
        sketch.projected()?;
        if sketch.whole {
            return Ok(exact(within(&sketch), products.count));
        }
        let last = config.budget - products.count < 2;
        if !last && (config.goal == Goal::Budget || sketch.len() < 2) {
            continue;
        }
        if sketch.len() < 2 {
            // Sign vectors of a handful of entries happened to be dependent.
            return Err(TraceError::BudgetTooSmall { budget: config.budget, least: products.count + 4 });
        }
        let (values, standard_errors) = moments(&sketch);
        let norms = Estimate { value: norm(&values), standard_error: norm(&standard_errors) };
        let met = meets(config.goal, norms, sketch.len());
        if met || last {
            let stop = if met { TraceStop::Goal } else { TraceStop::Budget };
            return Ok(DiagonalEstimate { values, standard_errors, products: products.count, stop });
        }
    }
}

/// `diag(QQᵀA)`.
fn within(sketch: &Sketch) -> Vec<f64> {
    let mut diagonal = vec![0.0; sketch.Q.nrows()];
    for j in 0..sketch.Q.ncols() {
        let (q, z) = (sketch.Q.col_as_slice(j), sketch.Z.col_as_slice(j));
        diagonal.iter_mut().zip(q).zip(z).for_each(|((d, q), z)| *d += q * z);
    }
    diagonal
}

/// Means and standard errors of the terms `diag(QQᵀA) − (Qs_i) ⊙ (Zs_i) + h_i ω_i ⊙ (Qs_i)`, where
/// `(I − Q_iQ_iᵀ)Aω_i = h_i Qs_i`.
fn moments(sketch: &Sketch) -> (Vec<f64>, Vec<f64>) {
    let (n, k) = (sketch.omega.nrows(), sketch.len());
    let left_out = sketch.left_out();
    let product = |B: &Mat<f64>| {
        let mut out = Mat::zeros(n, k);
        matmul(out.as_mut(), Accum::Replace, B, &left_out.S, 1.0, Par::rayon(0));
        out
    };
    let (QS, ZS) = (product(&sketch.Q), product(&sketch.Z));
    let term = |row: usize, i: usize| QS[(row, i)] * (left_out.height[i] * sketch.omega[(row, i)] - ZS[(row, i)]);
    let mut samples = vec![0.0; k];
    let both = within(sketch).into_iter().enumerate().map(|(row, all)| {
        samples.iter_mut().enumerate().for_each(|(i, sample)| *sample = term(row, i));
        let Estimate { value, standard_error } = Estimate::of(&samples);
        (all + value, standard_error)
    });
    both.unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_tests::{Case, rng};

    /// Over many draws, means within 4 standard errors of every entry, and errors of the size that is stated.
    #[test]
    fn unbiased_with_honest_errors() {
        for case in Case::all() {
            let (n, draws) = (case.A.nrows(), 300);
            let config = TraceConfig { budget: 24, ..Default::default() };
            let (mut sums, mut stated) = (vec![Vec::new(); n], 0.0);
            for seed in 0..draws {
                let found = xdiag(&case.A, &config, &mut rng(seed)).unwrap();
                assert_eq!((found.products, found.stop), (24, TraceStop::Budget), "{}", case.name);
                (0..n).for_each(|i| sums[i].push(found.values[i]));
                stated += found.standard_errors.iter().map(|e| e * e).sum::<f64>() / draws as f64;
            }
            let mut actual = 0.0;
            for (i, values) in sums.iter().enumerate() {
                let mean = Estimate::of(values);
                let error = (mean.value - case.A[(i, i)]).abs();
                assert!(
                    error <= 4.5 * mean.standard_error + 1e-12 * case.scale(),
                    "{}: entry {i}, {mean:?}",
                    case.name
                );
                actual += mean.standard_error.powi(2) * draws as f64;
            }
            let ratio = (stated / actual).sqrt();
            assert!(ratio > 0.6 && ratio < 1.7, "{}: stated/actual = {ratio}", case.name);
        }
    }

    #[test]
    fn goals_are_met_and_low_rank_is_exact() {
        let case = &Case::all()[0];
        let config = TraceConfig { budget: 80, goal: Goal::Relative(0.02), block: 4, ..Default::default() };
        let found = xdiag(&case.A, &config, &mut rng(1)).unwrap();
        assert!(found.stop == TraceStop::Goal && found.products < 80);
        assert!(norm(&found.standard_errors) <= 0.02 * norm(&found.values));
        let A = Mat::from_fn(50, 50, |i, j| if i % 17 == 0 && j % 17 == 0 { 1.0 } else { 0.0 });
        let found = xdiag(&A, &config, &mut rng(1)).unwrap();
        assert_eq!(found.stop, TraceStop::Exact);
        assert!((0..50).all(|i| (found.values[i] - A[(i, i)]).abs() < 1e-14));
        let small = xdiag(&Mat::<f64>::identity(2, 2), &config, &mut rng(1)).unwrap();
        assert_eq!((small.values, small.products), (vec![1.0; 2], 2));
    }
}
