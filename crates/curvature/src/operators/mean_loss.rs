//! What is differentiated: the mean loss of a network over samples, in selected parameters.

use super::curvature_operator::{CurvatureOperator, Kind};
use super::model_labels::ModelLabels;
use super::sum_over_samples::gradient_sum;
use rand::Rng;
use std::fmt;
use std::ops::Range;
use superlinear_nets::{Loss, Network, Samples, SamplesError, Scalar, Selection};

/// `L(w) = (1/N) Σ_p ℓ_p(w)` as a function of the selected parameters, all others held at the network's values.
///
/// It makes the operators; each borrows network and samples and none copies them. With `P` the length of a vector over
/// the selection, `g_p = ∂ℓ_p/∂w` and `h_p = ∂²ℓ_p/∂w²` are what the operators are means of:
///
/// | | mean over `p` of | definite |
/// |---|---|---|
/// | [`MeanLoss::hessian`] | `h_p` | indefinite |
/// | [`MeanLoss::gauss_newton`] | `J_pᵀ Q_p J_p` | PSD |
/// | [`MeanLoss::fisher`] | `E_y[g_p(y) g_p(y)ᵀ]`, `y` drawn from the model | PSD |
/// | [`MeanLoss::sampled_fisher`] | the same over drawn `y` | PSD |
/// | [`MeanLoss::empirical_fisher`] | `g_p g_pᵀ` | PSD |
/// | [`MeanLoss::noise_covariance`] | `(g_p − ḡ)(g_p − ḡ)ᵀ` | PSD |
/// | [`MeanLoss::hessian_second_moment`] | `h_p²` | PSD |
///
/// Pooling is differentiated with the largest entry of a window taken as fixed, and kinks of piecewise-linear
/// activations as flat.
pub struct MeanLoss<'a, T, S> {
    pub(super) net: &'a Network<T>,
    pub(super) loss: Loss,
    pub(super) samples: &'a S,
    pub(super) range: Range<usize>,
    pub(super) selection: Selection,
}

/// Why there is no operator, product or matrix.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OperatorError {
    /// The samples do not fit the network.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// A product or gradient has an entry that is infinite or NaN.
    #[error("entry {entry} of vector {vector} of the {operator} product is {value}, expected a finite number")]
    NotFinite {
        /// Which operator.
        operator: &'static str,
        /// Which column, 0 for a gradient.
        vector: usize,
        /// Which entry.
        entry: usize,
        /// What it is.
        value: f64,
    },
    /// The listener of [`MeanLoss::diagonals_along_with`] asked for it.
    #[error("interrupted after {products} products")]
    Interrupted {
        /// Products until then.
        products: usize,
    },
    /// A dense matrix would take more memory than it may.
    #[error("a dense matrix of {n_params} × {n_params} needs {needed} bytes, more than the limit of {limit}")]
    Memory {
        /// Its order.
        n_params: usize,
        /// What it would take, buffers included.
        needed: u64,
        /// What the caller allows.
        limit: u64,
    },
}

impl<'a, T: Scalar, S: Samples<T>> MeanLoss<'a, T, S> {
    /// The mean loss over all of `samples`.
    ///
    /// # Errors
    /// When there are no samples, or they do not fit the network.
    ///
    /// # Panics
    /// When the selection is of another architecture.
    #[track_caller]
    pub fn new(net: &'a Network<T>, loss: Loss, samples: &'a S, selection: Selection) -> Result<Self, OperatorError> {
        let architecture = net.architecture();
        assert!(selection.fits(architecture), "the selection is of another architecture");
        architecture.accepts(samples)?;
        Ok(Self { net, loss, samples, range: 0..samples.n_samples(), selection })
    }

    /// The parameters that derivatives are taken in.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// `P`.
    pub fn n_params(&self) -> usize {
        self.selection.n_params()
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.range.len()
    }

    /// `ḡ = (1/N) Σ_p g_p` over the selection, length `P`.
    ///
    /// # Errors
    /// When an entry is not finite.
    pub fn gradient(&self) -> Result<Vec<T>, OperatorError> {
        let gradient = gradient_sum(self);
        match gradient.iter().position(|g| !g.finite()) {
            None => Ok(gradient),
            Some(entry) => {
                let value = gradient[entry].f64();
                Err(OperatorError::NotFinite { operator: "gradient", vector: 0, entry, value })
            }
        }
    }

    /// The Hessian `H = E_p[h_p]` of the mean loss, exactly, by forward over reverse differentiation.
    pub fn hessian(&self) -> CurvatureOperator<'a, T, S> {
        CurvatureOperator::new(self.clone(), Kind::Hessian)
    }

    /// The generalised Gauss–Newton matrix `E_p[J_pᵀ Q_p J_p]`, with `J_p = ∂f_p/∂w` (`n_out × P`) and `Q_p` of
    /// [`Loss::gauss_newton`]: PSD, the Hessian without the curvature of the network itself.
    pub fn gauss_newton(&self) -> CurvatureOperator<'a, T, S> {
        CurvatureOperator::new(self.clone(), Kind::GaussNewton)
    }

    /// The Fisher matrix `E_p E_{y∼model}[g_p(y) g_p(y)ᵀ]`, its expectation over labels exact.
    ///
    /// The model is the one whose negative log-likelihood the loss is, up to a constant: classes with probabilities
    /// `softmax(f)` for cross-entropy, targets `y ∼ N(f, ½ n_out I)` for linear MSE and `y ∼ N(softmax(f), ½ n_out I)`
    /// for softmax-MSE. In all three the expectation over `y` of the outer product of the gradients in the logits is
    /// [`Loss::gauss_newton`], so this is [`MeanLoss::gauss_newton`] under its statistical name.
    pub fn fisher(&self) -> CurvatureOperator<'a, T, S> {
        CurvatureOperator::new(self.clone(), Kind::Fisher)
    }

    /// [`MeanLoss::fisher`] with the expectation over labels replaced by the mean over `n_draws` of them a sample,
    /// drawn now: an unbiased estimate, and a fixed matrix of rank at most `N·n_draws`.
    ///
    /// # Panics
    /// When `n_draws` is 0.
    #[track_caller]
    pub fn sampled_fisher(&self, n_draws: usize, rng: &mut impl Rng) -> CurvatureOperator<'a, T, S> {
        assert!(n_draws > 0, "a mean over labels needs at least one");
        let n_out = self.net.architecture().n_out();
        let labels = ModelLabels::draw(self.loss, n_out, self.range.len(), n_draws, rng);
        CurvatureOperator::new(self.clone(), Kind::SampledFisher(labels))
    }

    /// The gradients' second moment `E_p[g_p g_pᵀ]`, with the samples' own labels, **not** centred.
    pub fn empirical_fisher(&self) -> CurvatureOperator<'a, T, S> {
        CurvatureOperator::new(self.clone(), Kind::EmpiricalFisher)
    }

    /// `Σ = E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]`, the covariance of one sample's gradient (divided by `N`, `MATH [6]`).
    ///
    /// Centred before it is summed: `Σ v = E_p[(g_pᵀv − ḡᵀv) g_p]`, no difference of two matrices. The mean gradient
    /// costs one pass over the samples now. A mini-batch of `B` drawn with replacement has `C = Σ/B`.
    ///
    /// # Errors
    /// When the mean gradient is not finite.
    pub fn noise_covariance(&self) -> Result<CurvatureOperator<'a, T, S>, OperatorError> {
        let mean = self.gradient()?;
        Ok(CurvatureOperator::new(self.clone(), Kind::NoiseCovariance(mean)))
    }

    /// `M₂ = E_p[h_p²]`, exactly: the per-sample Hessian-vector product applied twice (`MATH §1`).
    ///
    /// About two Hessian-vector products' work for dense layers; with a convolution among the parameters, samples go
    /// through the network one at a time.
    pub fn hessian_second_moment(&self) -> CurvatureOperator<'a, T, S> {
        CurvatureOperator::new(self.clone(), Kind::SecondMoment)
    }

    /// The Hessian `h_p` of one sample's loss.
    ///
    /// # Panics
    /// When there is no such sample.
    #[track_caller]
    pub fn sample_hessian(&self, p: usize) -> CurvatureOperator<'a, T, S> {
        assert!(p < self.n_samples(), "sample {p} of {}", self.n_samples());
        let p = self.range.start + p;
        CurvatureOperator::new(Self { range: p..p + 1, ..self.clone() }, Kind::Hessian)
    }
}

impl<T, S> Clone for MeanLoss<'_, T, S> {
    fn clone(&self) -> Self {
        Self { range: self.range.clone(), selection: self.selection.clone(), ..*self }
    }
}

impl<T, S> fmt::Debug for MeanLoss<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeanLoss")
            .field("loss", &self.loss)
            .field("samples", &self.range)
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}
