//! What the estimators of traces, norms and diagonals share: what they may spend, when they may stop, what they return.
//!
//! | estimator | standard error after `m` products | when |
//! |---|---|---|
//! | [`hutchinson`](crate::hutchinson) | `∝ ‖A‖/√m` | few products, flat spectrum |
//! | [`hutch_plus_plus`](crate::hutch_plus_plus) | falls as `1/m` and better for decaying spectra | an exact standard error is needed |
//! | [`xtrace`](crate::xtrace) | the least for decaying spectra | the default for curvature |
//! | [`xdiag`](crate::xdiag) | | the diagonal |
//! | [`frobenius_squared`](crate::frobenius_squared) | as Hutch++ | `‖A‖²` |

use crate::estimate::Estimate;
use crate::probe::Probe;
use crate::products::{BLOCK, NotFinite, Products};
use faer::matrix_free::LinOp;
use faer::{Mat, MatRef};

/// Samples before an estimator may stop at its goal: a standard error of fewer is itself too uncertain.
pub(crate) const LEAST_SAMPLES: usize = 10;

/// When an estimator is done.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Goal {
    /// When the budget is spent. The estimate is unbiased.
    #[default]
    Budget,
    /// When the standard error is at most this. Stopping at a fortunate moment biases the estimate, by less than its
    /// standard error.
    Absolute(f64),
    /// When the standard error is at most this fraction of the estimate; of a diagonal, in the Euclidean norm.
    Relative(f64),
}

/// Settings of an estimator.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceConfig {
    /// Products at most.
    pub budget: usize,
    /// What may end it before.
    pub goal: Goal,
    /// Products in one pass over the data, at least 1.
    pub block: usize,
    /// The distribution of the probes of Hutchinson's part; XTrace and XDiag have their own.
    pub probe: Probe,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self { budget: 120, goal: Goal::Budget, block: BLOCK, probe: Probe::Rademacher }
    }
}

/// Why an estimator stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceStop {
    /// The standard error meets the goal.
    Goal,
    /// The budget is spent; with a goal, it was not met.
    Budget,
    /// The value has no sampling error: `A` was multiplied by a basis of the whole space or of its own range.
    Exact,
}

/// An estimated trace or squared norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceEstimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error; 0 for [`TraceStop::Exact`].
    pub standard_error: f64,
    /// Products used.
    pub products: usize,
    /// Why it stopped.
    pub stop: TraceStop,
}

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TraceError {
    /// The operator is empty or not square.
    #[error("expected a non-empty square operator, found {nrows} × {ncols}")]
    Shape {
        /// Its rows.
        nrows: usize,
        /// Its columns.
        ncols: usize,
    },
    /// The budget is too small for an estimate with a standard error.
    #[error("a budget of {budget} products, expected at least {least}")]
    BudgetTooSmall {
        /// What is allowed.
        budget: usize,
        /// What the estimator needs.
        least: usize,
    },
    /// The operator is not symmetric, which XTrace and XDiag need.
    #[error("not symmetric: |q_iᵀAq_j − q_jᵀAq_i| = {asymmetry:e}·‖A‖, expected at most {tolerance:e}·‖A‖")]
    Asymmetric {
        /// Found, relative to the norm.
        asymmetry: f64,
        /// What is accepted: more than products in `f32` leave.
        tolerance: f64,
    },
    /// A product is infinite or NaN.
    #[error("product {product}, row {row} is {value}, expected a finite number")]
    NotFinite {
        /// Which product, counted from 0.
        product: usize,
        /// The first such row.
        row: usize,
        /// Its value.
        value: f64,
    },
}

impl From<NotFinite> for TraceError {
    fn from(NotFinite { product, row, value }: NotFinite) -> Self {
        Self::NotFinite { product, row, value }
    }
}

#[track_caller]
pub(crate) fn check(A: &dyn LinOp<f64>, config: &TraceConfig, least: usize) -> Result<(), TraceError> {
    assert!(config.block > 0, "a block has at least one column");
    if let Goal::Absolute(goal) | Goal::Relative(goal) = config.goal {
        assert!(goal >= 0.0, "a goal is not negative");
    }
    if A.nrows() == 0 || A.ncols() != A.nrows() {
        return Err(TraceError::Shape { nrows: A.nrows(), ncols: A.ncols() });
    }
    if config.budget < least {
        return Err(TraceError::BudgetTooSmall { budget: config.budget, least });
    }
    Ok(())
}

/// Whether an estimate of so many samples may stop.
pub(crate) fn meets(goal: Goal, estimate: Estimate, samples: usize) -> bool {
    let most = match goal {
        Goal::Budget => return false,
        Goal::Absolute(most) => most,
        Goal::Relative(fraction) => fraction * estimate.value.abs(),
    };
    samples >= LEAST_SAMPLES && estimate.standard_error <= most
}

/// Columns `first..first + width` of the identity of order `n`.
pub(crate) fn unit_vectors(n: usize, first: usize, width: usize) -> Mat<f64> {
    Mat::from_fn(n, width, |i, j| if i == first + j { 1.0 } else { 0.0 })
}

/// The diagonal, by a product with each unit vector.
pub(crate) fn exact_diagonal(products: &mut Products<'_>, block: usize) -> Result<Vec<f64>, TraceError> {
    let n = products.order();
    let mut diagonal = Vec::with_capacity(n);
    for first in (0..n).step_by(block) {
        let unit = unit_vectors(n, first, block.min(n - first));
        let columns = products.of(unit.as_ref(), block)?;
        diagonal.extend((0..columns.ncols()).map(|j| columns[(first + j, j)]));
    }
    Ok(diagonal)
}

/// `tr XᵀY`.
pub(crate) fn inner(X: MatRef<'_, f64>, Y: MatRef<'_, f64>) -> f64 {
    use crate::tall::{column, dot};
    (0..X.ncols()).map(|j| dot(column(X, j), column(Y, j))).sum()
}
