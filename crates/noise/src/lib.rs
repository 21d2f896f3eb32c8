//! The covariance of SGD's noise at one dense layer.
//!
//! [`gradient_covariance`] is `Σ = E_p[g gᵀ] − ḡḡᵀ` over the samples, [`noise_covariance`] turns it into the covariance
//! `C` of a mini-batch gradient for either way of [`Sampling`], and [`minibatch_covariance`] measures the same thing
//! from the batches of one shuffled epoch, as an unbiased check. All `f64`, row-major `vec(W)`.
//!
//! The activity–weight duality explains `C` by curvature: a [`Partners`] match gives every sample an activity shift,
//! whose [`DualPerturbation`] in weight space moves the gradient by `x_p + y_p`. [`awd_moments`] and [`awd_terms`] give
//! the covariance that follows, term by term and in closed form.
#![allow(non_snake_case)]

mod awd;
mod awd_batches;
mod covariance;
mod minibatch;
mod partners;

pub use awd::{
    AwdMoments, AwdTerms, DualPerturbation, Isotropy, awd_moments, awd_terms, dual_perturbation, isotropy,
    weight_variance,
};
pub use awd_batches::{AwdBatchEstimate, awd_batch_estimate};
pub use covariance::{NoiseError, Sampling, batch_factor, gradient_covariance, noise_covariance};
pub use minibatch::minibatch_covariance;
pub use partners::{PartnerError, PartnerPolicy, Partners, choose_partners};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
