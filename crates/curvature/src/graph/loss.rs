//! What is differentiated: the mean loss of a model over samples, in some of its parameters.

use super::operator::{GraphOperator, Kind, mean_gradient};
use faer::MatRef;
use superlinear_nets::{GraphError, GraphPasses, GraphSamples, Model, Objective, Scalar, Variables};

/// `L(w) = (1/N) Σ_p ℓ_p(w)` as a function of some parameters, all others held at the model's values.
///
/// It makes the operators; each borrows model and samples and none copies them. The objective's penalty is part of
/// every `ℓ_p`.
pub struct GraphLoss<'a, T, S> {
    pub(super) model: &'a Model<T>,
    pub(super) objective: Objective,
    pub(super) samples: &'a S,
    pub(super) variables: Variables,
    losses: Vec<f64>,
}

/// Why there is no operator or matrix.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphCurvatureError {
    /// Samples, targets or the point do not fit the graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A loss, gradient or product is infinite or NaN.
    #[error("{quantity}: entry {entry} is {value}, expected a finite number")]
    NotFinite {
        /// Of what.
        quantity: &'static str,
        /// Which entry; of losses which sample.
        entry: usize,
        /// What it is.
        value: f64,
    },
    /// The listener of [`GraphLoss::diagonals_along_with`] asked for it.
    #[error("interrupted after {products} products")]
    Interrupted {
        /// Products until then.
        products: usize,
    },
    /// A dense matrix would take more memory than it may.
    #[error("a moment of {n_params} × {n_params} needs {needed} bytes, more than the limit of {limit}")]
    Memory {
        /// Its order.
        n_params: usize,
        /// What it would take, panels included.
        needed: u64,
        /// What the caller allows.
        limit: u64,
    },
}

/// Samples that go through a graph together: enough for large products, few enough for the memory of eight parts.
pub(super) fn block_of<T>(model: &Model<T>) -> usize
where
    T: Scalar,
{
    /// Numbers of a block.
    const NUMBERS: usize = 1 << 21;
    let graph = model.graph();
    let of_sample: usize = graph.nodes().map(|value| graph.shape(value).iter().product::<usize>()).sum();
    (NUMBERS / of_sample.max(1)).clamp(1, 64)
}

impl<'a, T: Scalar, S: GraphSamples<T>> GraphLoss<'a, T, S> {
    /// The mean loss over all of `samples`, which pass through the model once.
    ///
    /// # Errors
    /// When there are no samples, they or their targets do not fit, the graph has no second derivative at one of them,
    /// or a loss is not finite.
    pub fn new(
        model: &'a Model<T>,
        objective: Objective,
        samples: &'a S,
        variables: Variables,
    ) -> Result<Self, GraphCurvatureError> {
        model.graph().accepts(samples, &objective)?;
        let block = block_of(model);
        let mut passes = GraphPasses::new(model.graph(), objective.clone(), variables.clone());
        let mut losses = Vec::with_capacity(samples.n_samples());
        for first in (0..samples.n_samples()).step_by(block) {
            losses.extend(passes.losses(model, samples, first..samples.n_samples().min(first + block))?);
        }
        finite("losses", losses.iter().copied())?;
        Ok(Self { model, objective, samples, variables, losses })
    }

    /// What derivatives are taken in.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// `P`.
    pub fn n_params(&self) -> usize {
        self.variables.n_params()
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.losses.len()
    }

    /// `ℓ_p` of every sample.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// `ḡ = (1/N) Σ_p g_p`, length `P`.
    ///
    /// # Errors
    /// When an entry is not finite.
    pub fn gradient(&self) -> Result<Vec<T>, GraphCurvatureError> {
        let gradient = mean_gradient(self);
        finite("gradient", gradient.iter().map(|g| g.f64()))?;
        Ok(gradient)
    }

    /// The Hessian `H = E_p[h_p]`, exactly, by forward over reverse differentiation.
    pub fn hessian(&self) -> GraphOperator<'a, T, S> {
        GraphOperator::new(self.clone(), Kind::Hessian)
    }

    /// The Gauss–Newton matrix `E_p[J_pᵀ Q_p J_p]`, with the curvature of the convex outer function of the loss for
    /// `Q_p`.
    pub fn gauss_newton(&self) -> GraphOperator<'a, T, S> {
        GraphOperator::new(self.clone(), Kind::GaussNewton)
    }

    /// The covariance of the gradients, `Σ = E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]`, which no penalty changes.
    pub fn noise_covariance(&self) -> GraphOperator<'a, T, S> {
        let plain = Objective { l2: 0.0, ..self.objective.clone() };
        let mean = mean_gradient(&Self { objective: plain, ..self.clone() });
        GraphOperator::new(self.clone(), Kind::NoiseCovariance(mean))
    }

    /// The second moment `M₂ = E_p[h_p²]`, a sample at a time.
    pub fn hessian_second_moment(&self) -> GraphOperator<'a, T, S> {
        GraphOperator::new(self.clone(), Kind::SecondMoment)
    }
}

impl<T, S> Clone for GraphLoss<'_, T, S> {
    fn clone(&self) -> Self {
        Self {
            model: self.model,
            objective: self.objective.clone(),
            samples: self.samples,
            variables: self.variables.clone(),
            losses: self.losses.clone(),
        }
    }
}

impl<T, S> std::fmt::Debug for GraphLoss<'_, T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GraphLoss").field("objective", &self.objective).finish_non_exhaustive()
    }
}

pub(super) fn finite(quantity: &'static str, values: impl Iterator<Item = f64>) -> Result<(), GraphCurvatureError> {
    match values.enumerate().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some((entry, value)) => Err(GraphCurvatureError::NotFinite { quantity, entry, value }),
    }
}

/// As [`finite`], of a matrix, column after column.
pub(super) fn finite_matrix<T: Scalar>(
    quantity: &'static str,
    matrix: MatRef<'_, T>,
) -> Result<(), GraphCurvatureError> {
    finite(quantity, matrix.col_iter().flat_map(|column| column.iter()).map(|x| x.f64()))
}
