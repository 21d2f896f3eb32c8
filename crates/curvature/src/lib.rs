//! Exact curvature, sample by sample and in the mean.
//!
//! Of a dense layer, and of several jointly, it is in closed form; over any selection of parameters it is a matrix-free
//! operator.
//!
//! **Operators.** [`MeanLoss`] is the mean loss as a function of a [`Selection`] of parameters (weights and biases,
//! dense layers and convolutions) and makes a [`CurvatureOperator`] for its Hessian, Gauss–Newton and Fisher matrices,
//! gradient noise covariance, second moment of the per-sample Hessian and more. They implement
//! [`faer::matrix_free::LinOp`] for `f32` and `f64`; products with many vectors share each block's forward and reverse
//! passes.
//!
//! **Dense layers.** The Hessian of sample `p` in the weight of a dense layer is `h_p = S_p ⊗ a_p a_pᵀ`
//! ([`PerSampleHessian`]), so the `P × P` moments `E_p[A_p ⊗ a_p a_pᵀ]` that the paper needs are matrix products of
//! short panels ([`kronecker_moments`]). [`layer_moments`] forms the Hessian `H = E_p[h_p]`, the second moment
//! `M₂ = E_p[h_p²]` and the gradients' second moment in one pass over an [`AnalysedLayer`]: what samples that are run
//! through a network leave at the layer, or factors `a_p`, `δ_p`, `S_p` that somebody else has computed.
//! [`JointLayers`] has the same of several layers together (`MATH §8`). These are `f64`.
//!
//! Every result is the same to the last bit for any number of threads.
//!
//! Threads are those of the `rayon` pool that the caller runs in. The crate reads no data and knows no noise model.
//!
//! ```
//! use rand::SeedableRng;
//! use superlinear_curvature::{AnalysedLayer, layer_moments};
//! use superlinear_nets::{Activation, Architecture, DenseSamples, Loss, Network};
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let net = Network::<f64>::init(Architecture::mlp(&[3, 4, 5, 2], Activation::Relu)?, &mut rng);
//! let inputs = faer::Mat::from_fn(3, 10, |i, p| ((i + p) as f64).sin());
//! let samples = DenseSamples::new(inputs, vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
//! let layer = AnalysedLayer::collect(&net, 1, Loss::CrossEntropy, &samples)?;
//! let moments = layer_moments(&layer);
//! assert_eq!(moments.H.nrows(), 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(non_snake_case)]

mod alignment;
mod diagonals_along;
mod directional;
mod factor_moments;
mod factors_along;
mod graph;
mod joint;
mod kronecker_moment;
mod layer;
mod layer_moments;
mod operators;
mod panels;
mod per_sample_hessian;
mod position_factors;
mod range_eigen;
mod spectra_along;

pub use alignment::{alignments, per_sample_hessians};
pub use diagonals_along::{Diagonal, DiagonalsAlong};
pub use directional::{AbsoluteCurvature, DirectionalPanels, directional_contributions};
pub use factor_moments::FactorMoments;
pub use graph::{GraphCurvatureError, GraphLoss, GraphMoments, GraphOperator, SingleProductSamples};
pub use joint::{JointError, JointLayers};
pub use kronecker_moment::{
    KroneckerShape, Symmetry, kronecker_moments, outer_product_vech, skew_product_vech, symmetric_product_vech, vech,
    vech_len,
};
pub use layer::{
    AnalysedLayer, Curvatures, LayerFactors, LayerFactorsError, NetworkPass, NetworkPassError, NotGiven, SampleFactors,
};
pub use layer_moments::{
    LayerMoments, absolute_hessian, gauss_newton, largest_curvature, layer_moments, layer_moments_with,
};
pub use operators::{CurvatureOperator, MeanLoss, OperatorError};
pub use per_sample_hessian::{FactoredEigenpairs, PerSampleHessian};
pub use position_factors::{FactorsError, PositionFactors};
pub use range_eigen::range_eigen;
pub use spectra_along::{SampleSpectrum, SpectraAlong};
pub use superlinear_nets::{Parameter, Part, Selection, SelectionError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
