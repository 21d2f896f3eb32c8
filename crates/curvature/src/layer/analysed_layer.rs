//! The owner of a layer's factors.

use super::given::Given;
use super::network_pass::{NetworkPass, NetworkPassError};
use super::{Curvatures, LayerFactors, LayerFactorsError, SampleFactors};
use crate::{KroneckerShape, Symmetry};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use superlinear_nets::{Loss, Network, Samples};

/// A dense layer over `N` samples: `a_p`, `δ_p` and `S_p`, and the layer's weight `W` where it is known.
///
/// From a network by [`AnalysedLayer::collect`], or from anybody's numbers by [`AnalysedLayer::from_factors`]. It is
/// checked when it is made and cannot be changed, so what is computed of it takes it alone. A network's `S_p` are
/// computed whenever they are read, from a copy of the weights from the layer on; given ones are held.
#[derive(Clone, Debug)]
pub struct AnalysedLayer {
    activities: Mat<f64>,
    deltas: Mat<f64>,
    source: Source,
}

/// Where `S_p` comes from.
#[derive(Clone, Debug)]
enum Source {
    Network(NetworkPass),
    Given(Given),
}

/// What a layer of given factors was given without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// Its weight, which the duality moves (`MATH [8]`).
    #[error("the weight of the layer is not known: its factors were given without")]
    Weight,
    /// The classes of its samples.
    #[error("the classes of the samples are not known: the layer's factors were given without")]
    Labels,
    /// The network behind it.
    #[error("there is no network behind the layer: its factors were given")]
    Network,
}

impl AnalysedLayer {
    /// Runs all samples through `net` and keeps what the `dense`-th dense layer (counted from 0) sees, with the network
    /// from there on.
    ///
    /// # Errors
    /// When the network has no such layer; when there are no samples, they do not fit the network, or a loss, activity
    /// or gradient is not finite.
    pub fn collect(
        net: &Network<f64>,
        dense: usize,
        loss: Loss,
        samples: &impl Samples<f64>,
    ) -> Result<Self, NetworkPassError> {
        let (activities, deltas, pass) = NetworkPass::run(net, dense, loss, samples)?;
        Ok(Self { activities, deltas, source: Source::Network(pass) })
    }

    /// A layer whose factors are given, `S_p` included; nothing is copied.
    ///
    /// An `S_p` that differs from its transpose by rounding is replaced by the mean of the two.
    ///
    /// # Errors
    /// When there are no samples, inputs or outputs, shapes do not fit together, a number is not finite, or an `S_p`
    /// differs from its transpose by more than single precision would.
    ///
    /// ```
    /// use faer::Mat;
    /// use superlinear_curvature::{AnalysedLayer, LayerFactors, layer_moments};
    ///
    /// // Logistic regression of one input: N = 2 samples, δ = q − y and S = q(1 − q).
    /// let (x, q, y) = ([1.0, -2.0], [0.8, 0.3], [1.0, 0.0]);
    /// let layer = AnalysedLayer::from_factors(LayerFactors {
    ///     activities: Mat::from_fn(1, 2, |_, p| x[p]),
    ///     deltas: Mat::from_fn(1, 2, |_, p| q[p] - y[p]),
    ///     curvatures: q.map(|q| q * (1.0 - q)).to_vec(),
    ///     weight: None,
    ///     labels: None,
    /// })?;
    /// let H = layer_moments(&layer).H;
    /// assert!((H[(0, 0)] - 0.5 * (0.16 * 1.0 + 0.21 * 4.0)).abs() < 1e-15);
    /// # Ok::<(), superlinear_curvature::LayerFactorsError>(())
    /// ```
    pub fn from_factors(factors: LayerFactors) -> Result<Self, LayerFactorsError> {
        let (activities, deltas, given) = Given::check(factors)?;
        Ok(Self { activities, deltas, source: Source::Given(given) })
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.activities.ncols()
    }

    /// Rows of `W`.
    pub fn d_out(&self) -> usize {
        self.deltas.nrows()
    }

    /// Columns of `W`.
    pub fn d_in(&self) -> usize {
        self.activities.nrows()
    }

    /// `P = d_out · d_in`.
    pub fn n_params(&self) -> usize {
        self.d_out() * self.d_in()
    }

    /// `a_p` as columns, `d_in × N`.
    pub fn activities(&self) -> &Mat<f64> {
        &self.activities
    }

    /// `δ_p = ∂ℓ_p/∂z_p` as columns, `d_out × N`.
    pub fn deltas(&self) -> &Mat<f64> {
        &self.deltas
    }

    /// `a_p`.
    ///
    /// # Panics
    /// When there is no such sample.
    #[track_caller]
    pub fn a(&self, p: usize) -> &[f64] {
        self.activities.col_as_slice(p)
    }

    /// `δ_p`.
    ///
    /// # Panics
    /// When there is no such sample.
    #[track_caller]
    pub fn delta(&self, p: usize) -> &[f64] {
        self.deltas.col_as_slice(p)
    }

    /// The class of every sample.
    ///
    /// # Errors
    /// [`NotGiven::Labels`].
    pub fn labels(&self) -> Result<&[u8], NotGiven> {
        match &self.source {
            Source::Network(pass) => Ok(pass.labels()),
            Source::Given(given) => given.labels.as_deref().ok_or(NotGiven::Labels),
        }
    }

    /// `W`, `d_out × d_in`.
    ///
    /// # Errors
    /// [`NotGiven::Weight`].
    pub fn weight(&self) -> Result<MatRef<'_, f64>, NotGiven> {
        match &self.source {
            Source::Network(pass) => Ok(pass.weight()),
            Source::Given(given) => given.weight.as_ref().map(Mat::as_ref).ok_or(NotGiven::Weight),
        }
    }

    /// What the network's pass has left besides.
    ///
    /// # Errors
    /// [`NotGiven::Network`].
    pub fn network_pass(&self) -> Result<&NetworkPass, NotGiven> {
        match &self.source {
            Source::Network(pass) => Ok(pass),
            Source::Given(_) => Err(NotGiven::Network),
        }
    }

    /// A reader of `S_p`, one a worker.
    pub fn curvatures(&self) -> Curvatures<'_> {
        match &self.source {
            Source::Network(pass) => Curvatures::computed(self, pass),
            Source::Given(given) => Curvatures::given(self, &given.curvatures),
        }
    }

    /// `of` every sample, in the order of the samples, on the current rayon pool.
    pub fn map<R: Send>(&self, of: impl Fn(SampleFactors<'_>) -> R + Sync + Send) -> Vec<R> {
        let read = |curvatures: &mut Curvatures<'_>, p: usize| of(curvatures.at(p));
        (0..self.n_samples()).into_par_iter().map_init(|| self.curvatures(), read).collect()
    }

    /// The shape of moments `E_p[A_p ⊗ B_p]` of this layer, for [`kronecker_moments`](crate::kronecker_moments).
    pub fn moment_shape(&self, symmetry: Symmetry, n_moments: usize) -> KroneckerShape {
        let (n_samples, d_out, d_in) = (self.n_samples(), self.d_out(), self.d_in());
        KroneckerShape { symmetry, n_samples, n_moments, d_out, d_in }
    }

    /// `ḡ = (1/N) Σ_p δ_p ⊗ a_p`, row-major `vec`, length `P`.
    pub fn mean_gradient(&self) -> Vec<f64> {
        let mut mean = Mat::zeros(self.d_out(), self.d_in());
        let scale = 1.0 / self.n_samples() as f64;
        matmul(mean.as_mut(), Accum::Replace, &self.deltas, self.activities.transpose(), scale, Par::Seq);
        (0..self.d_out()).flat_map(|o| (0..self.d_in()).map(move |i| (o, i))).map(|index| mean[index]).collect()
    }
}
