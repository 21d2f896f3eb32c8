//! Some eigenpairs of a symmetric operator: block Lanczos with full reorthogonalisation and thick restart.
//!
//! One iteration serves every block size. With a block of 1 it is the thick-restart Lanczos method (Wu and Simon 2000),
//! the cheapest in products; wider blocks multiply several vectors in one pass over the data and find as many copies of
//! an eigenvalue at once. LOBPCG, the alternative for clustered tops, keeps three blocks instead of a Krylov space:
//! without a preconditioner, which curvature has none of, it needs several times the products.
//!
//! What makes the result trustworthy:
//! - The basis is orthonormal to rounding at every step, so no Ritz value appears twice or outside of the spectrum.
//! - Residuals are recomputed from products with the final vectors, not taken from the recurrence.
//! - A Krylov space of one vector holds one direction of each eigenspace. So when all wanted pairs have converged, or
//!   the space turns out invariant, a random vector orthogonal to everything joins the block, and the pairs count as
//!   complete only when its Krylov space has brought nothing new: see [`Completeness`].
//! - The operator's symmetry is tested on the way, at no product's cost.

mod columns;
mod iteration;
mod krylov;
mod state;
#[cfg(test)]
mod tests;

use crate::eigh::EighError;
use faer::matrix_free::LinOp;
use faer::{Mat, MatRef};
use krylov::Krylov;
use rand::Rng;
pub use state::{LanczosState, Probing};
use std::ops::ControlFlow;

/// Which eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The `k` largest.
    Largest(usize),
    /// The `k` smallest.
    Smallest(usize),
    /// So many at either end.
    Ends {
        /// How many of the largest.
        largest: usize,
        /// How many of the smallest.
        smallest: usize,
    },
    /// The `k` of largest magnitude.
    Magnitude(usize),
}

impl Wanted {
    /// How many pairs.
    pub fn count(self) -> usize {
        match self {
            Self::Largest(k) | Self::Smallest(k) | Self::Magnitude(k) => k,
            Self::Ends { largest, smallest } => largest + smallest,
        }
    }
}

/// Whether to look for eigenvalues that the first Krylov space cannot show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Completeness {
    /// After convergence a random vector joins the block, which is followed for 15 to 30 steps more, again and again
    /// until the wanted values stay. The number of steps is that after which Lanczos without restarts has missed an
    /// eigenvalue that exceeds the wanted ones by a twentieth of the spectrum's extent with a probability of at most
    /// 0.01 (Kuczyński and Woźniakowski 1992); with restarts there is no such bound, and this remains a check, not a
    /// proof. Where a multiplicity is known, let the block be as wide.
    #[default]
    Probed,
    /// Stop at the first convergence: an eigenvalue of higher multiplicity than the block is wide may lack copies. An
    /// invariant space is continued even so.
    Trusted,
}

/// Settings of [`lanczos`].
#[derive(Clone, Debug, PartialEq)]
pub struct LanczosConfig {
    /// Vectors multiplied in one pass, at least 1. Wider blocks cost more products and fewer passes.
    pub block: usize,
    /// Columns of the basis, the memory: `8 n · basis` bytes. `None` is `max(2k, k + 20) + 2·block`. At least
    /// `k + 2·block + 2` and at most `n` are used whatever it says.
    pub basis: Option<usize>,
    /// A pair has converged when `‖Av − θv‖ ≤ tolerance · ‖A‖`, the norm estimated from below by products and Ritz
    /// values.
    pub tolerance: f64,
    /// Products of this call, those that recompute residuals included. At least `2k + block`.
    pub max_products: usize,
    /// Whether missed copies are looked for.
    pub completeness: Completeness,
    /// `|q_iᵀAq_j − q_jᵀAq_i| / ‖A‖` from which on the operator counts as not symmetric. Products in `f32` round at
    /// `1e-7`.
    pub asymmetry: f64,
}

impl Default for LanczosConfig {
    fn default() -> Self {
        Self {
            block: 1,
            basis: None,
            tolerance: 1e-8,
            max_products: 10_000,
            completeness: Completeness::Probed,
            asymmetry: 1e-5,
        }
    }
}

/// Why the iteration stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All wanted pairs have converged, and are as complete as was asked for.
    Converged,
    /// `max_products` are used up; [`lanczos_resume`] continues.
    Budget,
    /// Residuals have not fallen for many restarts, or the recomputed ones exceed the tolerance that the recurrence
    /// meets, or an eigenvalue has more copies than the basis has room to look for: more products will not help, a
    /// wider basis or a larger tolerance may.
    Stalled,
    /// The listener of [`lanczos_with`] asked for it; [`lanczos_resume`] continues.
    Interrupted,
}

/// What the listener of [`lanczos_with`] hears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanczosProgress {
    /// Products of this call so far.
    pub products: usize,
    /// Restarts of this call so far.
    pub restarts: usize,
    /// Wanted pairs whose residuals, as the recurrence tells them, are within the tolerance. It may fall again.
    pub converged: usize,
    /// Pairs wanted.
    pub wanted: usize,
    /// The largest of those residuals, relative to the norm.
    pub residual: f64,
}

/// One pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RitzPair {
    /// `θ`, within `residual` of an eigenvalue.
    pub value: f64,
    /// `‖Av − θv‖`, recomputed with a product, in the units of `A`.
    pub residual: f64,
    /// Whether `residual ≤ tolerance · norm`.
    pub converged: bool,
}

/// Eigenpairs with their evidence.
#[derive(Clone, Debug)]
pub struct Lanczos {
    /// The wanted pairs, values in descending order.
    pub pairs: Vec<RitzPair>,
    /// Ritz values beyond the wanted ones, not converged: where the rest of the spectrum begins.
    pub others: Vec<f64>,
    /// `‖VᵀV − I‖` of their vectors (Frobenius).
    pub orthogonality: f64,
    /// Why the iteration stopped.
    pub stop: Stop,
    /// Whether the last random vector that joined brought nothing new: no copy of a wanted eigenvalue is likely to be
    /// missing.
    pub probed: bool,
    /// Restarts of this call.
    pub restarts: usize,
    /// Largest `|q_iᵀAq_j − q_jᵀAq_i| / ‖A‖` seen.
    pub asymmetry: f64,
    /// The tolerance asked for.
    pub tolerance: f64,
    /// From where [`lanczos_resume`] continues; holds the vectors, too, and the count of products.
    pub state: LanczosState,
}

impl Lanczos {
    /// The Ritz vectors (`n × k`), orthonormal, in the order of [`pairs`](Self::pairs).
    pub fn vectors(&self) -> MatRef<'_, f64> {
        self.state.basis().subcols(0, self.pairs.len())
    }

    /// The Ritz values, descending.
    pub fn values(&self) -> Vec<f64> {
        self.pairs.iter().map(|pair| pair.value).collect()
    }

    /// By how much each Ritz vector may have to be turned to become its eigenvector, see [`RitzRotations`].
    pub fn rotations(&self) -> RitzRotations {
        let k = self.pairs.len();
        let gap =
            |of: f64, others: &[f64]| others.iter().fold(f64::INFINITY, |least, other| least.min((of - other).abs()));
        let gaps: Vec<f64> = self.pairs.iter().map(|pair| gap(pair.value, &self.others)).collect();
        let share = |error: f64, gap: f64| if error < gap { error / gap } else { 1.0 };
        // A residual that vanishes has been rounded.
        let rounding = f64::EPSILON * (self.state.basis().nrows() as f64).sqrt() * self.state.norm;
        let residual = |i: usize| self.pairs[i].residual.max(rounding);
        let outside = (0..k).map(|i| share(residual(i), gaps[i])).collect();
        let inside = Mat::from_fn(k, k, |i, j| {
            let coupled = share(residual(i), gaps[i].max(gaps[j])) * residual(j);
            let apart = (self.pairs[i].value - self.pairs[j].value).abs();
            if i == j { 0.0 } else { share(coupled.max(rounding), apart) }
        });
        RitzRotations { outside, inside }
    }

    /// `self` when every wanted pair has converged and is as complete as was asked for.
    ///
    /// # Errors
    /// Otherwise, with the largest residual as evidence.
    pub fn into_converged(self) -> Result<Self, LanczosError> {
        let evidence = NoConvergence {
            residual: self.pairs.iter().fold(0.0, |most: f64, pair| most.max(pair.residual)),
            tolerance: self.tolerance * self.state.norm,
            converged: self.pairs.iter().filter(|pair| pair.converged).count(),
            wanted: self.pairs.len(),
            products: self.state.products,
            restarts: self.restarts,
        };
        match self.stop {
            Stop::Converged => Ok(self),
            Stop::Budget => Err(LanczosError::Budget(evidence)),
            Stop::Stalled => Err(LanczosError::Stalled(evidence)),
            Stop::Interrupted => Err(LanczosError::Interrupted(evidence)),
        }
    }
}

/// Estimates of what separates Ritz vectors `v_i` from eigenvectors `u_i = v_i + Σ_j η_ij v_j + w_i`, `w_i` orthogonal
/// to all `v_j`.
///
/// The operator is diagonal among its Ritz vectors, so that the residuals `r_i` lead out of their span, and back into
/// it in second order only:
///
/// ```text
/// ‖w_i‖ ≤ ‖r_i‖/g_i            |η_ij| ≤ ‖r_i‖‖r_j‖/(g_ij |θ_i − θ_j|)
/// ```
///
/// with the distance `g_i` of `θ_i` from what is left of the spectrum, and `g_ij` the larger of two (the first is the
/// theorem of Davis and Kahan 1970, the second first-order perturbation by `r_iᵀ(θ − A)⁻¹r_j`). What is left of the
/// spectrum is taken to begin where the iteration has its nearest unwanted Ritz value: where an eigenvalue is nearer,
/// rotations are larger. No error is taken to be less than `ε√n‖A‖`. Neither exceeds 1, which says that a direction is
/// not determined: within a cluster, or at the edge of what was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct RitzRotations {
    /// Bounds of `‖w_i‖`, the sine of the angle with the span.
    pub outside: Vec<f64>,
    /// Bounds of `|η_ij|` (`k × k`), with a diagonal of zeros.
    pub inside: Mat<f64>,
}

/// How far an unfinished iteration came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoConvergence {
    /// Largest residual of a wanted pair, in the units of `A`.
    pub residual: f64,
    /// The residual asked for, in the units of `A`.
    pub tolerance: f64,
    /// Pairs that have converged.
    pub converged: usize,
    /// Pairs wanted.
    pub wanted: usize,
    /// Products over all calls.
    pub products: usize,
    /// Restarts of the last call.
    pub restarts: usize,
}

/// Why there are no eigenpairs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LanczosError {
    /// The operator is empty or not square.
    #[error("expected a non-empty square operator, found {nrows} × {ncols}")]
    Shape {
        /// Its rows.
        nrows: usize,
        /// Its columns.
        ncols: usize,
    },
    /// No pair is wanted, or more than there are.
    #[error("{wanted} pairs are wanted of an operator of order {order}")]
    Count {
        /// Pairs wanted.
        wanted: usize,
        /// `n`.
        order: usize,
    },
    /// The budget does not reach for any answer.
    #[error("a budget of {budget} products, expected at least {least}")]
    BudgetTooSmall {
        /// What is allowed.
        budget: usize,
        /// What the basis and the residuals take.
        least: usize,
    },
    /// A product is infinite or NaN.
    #[error("product {product}, row {row} is {value}, expected a finite number")]
    NotFinite {
        /// Which product, counted from 0 in this call.
        product: usize,
        /// The first such row.
        row: usize,
        /// Its value.
        value: f64,
    },
    /// The operator is not symmetric.
    #[error(
        "not symmetric: |q_iᵀAq_j − q_jᵀAq_i| = {asymmetry:e}·‖A‖ after {products} products, \
         expected at most {tolerance:e}·‖A‖"
    )]
    Asymmetric {
        /// Found, relative to the norm.
        asymmetry: f64,
        /// What is accepted.
        tolerance: f64,
        /// Products until then.
        products: usize,
    },
    /// The state does not belong to such an operator, or is damaged.
    #[error("state to resume from: {what} is {found:e}, expected {expected:e}")]
    State {
        /// What was checked.
        what: &'static str,
        /// What it is.
        found: f64,
        /// What it should be, or the most it may be.
        expected: f64,
    },
    /// The projected eigenproblem failed.
    #[error("the projected eigenproblem: {0}")]
    Projected(#[from] EighError),
    /// [`Stop::Budget`], from [`Lanczos::into_converged`].
    #[error(
        "out of products ({}): {} of {} pairs converged, residual {:e}, expected at most {:e}",
        .0.products, .0.converged, .0.wanted, .0.residual, .0.tolerance
    )]
    Budget(NoConvergence),
    /// [`Stop::Stalled`], from [`Lanczos::into_converged`].
    #[error(
        "stalled after {} products and {} restarts: {} of {} pairs converged, residual {:e}, expected at most {:e}",
        .0.products, .0.restarts, .0.converged, .0.wanted, .0.residual, .0.tolerance
    )]
    Stalled(NoConvergence),
    /// [`Stop::Interrupted`], from [`Lanczos::into_converged`].
    #[error(
        "interrupted after {} products: {} of {} pairs converged, residual {:e}, expected at most {:e}",
        .0.products, .0.converged, .0.wanted, .0.residual, .0.tolerance
    )]
    Interrupted(NoConvergence),
}

/// The `wanted` eigenpairs of a symmetric `A` (`n × n`), from random vectors of `rng`.
///
/// Memory is `8n(basis + max(block, 8))` bytes at most, and `A`'s own. The work beside products is `O(n · basis)` a
/// product. Threads are those of the current rayon pool; if `A`'s products do not depend on their number, neither does
/// the result.
///
/// Pairs that did not converge are returned and say so; [`Lanczos::into_converged`] makes that an error.
///
/// ```
/// use superlinear_spectra::{LanczosConfig, Wanted, lanczos};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let A = faer::Mat::from_fn(300, 300, |i, j| if i == j { 300.0 - (i / 2) as f64 } else { 0.0 });
/// let rng = &mut ChaCha8Rng::seed_from_u64(1);
/// let found = lanczos(&A, Wanted::Largest(3), &LanczosConfig::default(), rng)?.into_converged()?;
/// for (pair, truth) in found.pairs.iter().zip([300.0, 300.0, 299.0]) {
///     assert!((pair.value - truth).abs() <= pair.residual + 1e-11);
/// }
/// # Ok::<(), superlinear_spectra::LanczosError>(())
/// ```
///
/// # Errors
/// When `A` is empty, not square or not symmetric, `wanted` counts none or more than `n`, the budget is too small for
/// any answer, or a product is not finite.
///
/// # Panics
/// When `block` is 0 or `tolerance` is negative or NaN.
#[track_caller]
pub fn lanczos(
    A: &dyn LinOp<f64>,
    wanted: Wanted,
    config: &LanczosConfig,
    rng: &mut (impl Rng + ?Sized),
) -> Result<Lanczos, LanczosError> {
    lanczos_with(A, None, wanted, config, rng, |_| ControlFlow::Continue(()))
}

/// Continues from a state that an earlier call left, of the same `A`; what is wanted and how may differ.
///
/// # Errors
/// As [`lanczos`], and when the state has other shapes, entries that are not finite, or columns that are not
/// orthonormal.
///
/// # Panics
/// As [`lanczos`].
#[track_caller]
pub fn lanczos_resume(
    A: &dyn LinOp<f64>,
    state: LanczosState,
    wanted: Wanted,
    config: &LanczosConfig,
    rng: &mut (impl Rng + ?Sized),
) -> Result<Lanczos, LanczosError> {
    lanczos_with(A, Some(state), wanted, config, rng, |_| ControlFlow::Continue(()))
}

/// [`lanczos`], or [`lanczos_resume`] where there is a state, with someone listening.
///
/// `listen` hears whenever Ritz pairs have been computed: once the basis holds as many vectors as are wanted, and then
/// after 8 steps or an eighth of the basis. To break is [`Stop::Interrupted`]: the residuals of the pairs as they stand
/// are recomputed, a product each, and the state can be resumed. Listening changes no bit of the result.
///
/// # Errors
/// As [`lanczos_resume`].
///
/// # Panics
/// As [`lanczos`].
#[track_caller]
pub fn lanczos_with(
    A: &dyn LinOp<f64>,
    state: Option<LanczosState>,
    wanted: Wanted,
    config: &LanczosConfig,
    mut rng: &mut (impl Rng + ?Sized),
    mut listen: impl FnMut(LanczosProgress) -> ControlFlow<()>,
) -> Result<Lanczos, LanczosError> {
    check(A, wanted, config)?;
    let krylov = match state {
        None => Krylov::new(A, wanted, config, &mut rng)?,
        Some(state) => Krylov::resume(A, state, wanted, config, &mut rng)?,
    };
    krylov.run(&mut listen)
}

#[track_caller]
fn check(A: &dyn LinOp<f64>, wanted: Wanted, config: &LanczosConfig) -> Result<(), LanczosError> {
    assert!(config.block > 0, "a block has at least one column");
    assert!(config.tolerance >= 0.0, "a tolerance is not negative");
    let (n, k) = (A.nrows(), wanted.count());
    if n == 0 || A.ncols() != n {
        return Err(LanczosError::Shape { nrows: n, ncols: A.ncols() });
    }
    if k == 0 || k > n {
        return Err(LanczosError::Count { wanted: k, order: n });
    }
    let least = 2 * k + config.block.min(n);
    if config.max_products < least {
        return Err(LanczosError::BudgetTooSmall { budget: config.max_products, least });
    }
    Ok(())
}
