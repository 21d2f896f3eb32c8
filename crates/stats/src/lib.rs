//! Exponents, their uncertainty and their bounds, from plain slices of `f64`.
//!
//! The principal item is [`loglog::fit`], which gives a [`PowerLawFit`]: the slope of `log10 y` on `log10 x` with a
//! standard error that survives unequal variances, and a count by cause of every entry that could not be used.
//! [`bounds`] holds each direction against the theorem that confines the exponent to `[1, 2]`.
//!
//! [`SpectralEnsemble`] holds per-sample curvature with its alignment to fixed directions; [`spectrum_edit`] changes
//! the one and keeps the other, and [`alignment`] correlates them, with a bootstrap over samples.
//!
//! [`slope_bootstrap()`] turns [`ResampledDiagonals`] into the error of an exponent over samples, [`over_seeds`]
//! several runs into one over runs; [the module](mod@slope_bootstrap) says which error answers which question.
//! [`slope_derivatives()`] is the delta method: any known errors of the diagonals, as a standard error or a bound of
//! the exponent. [`theil_sen`], [`errors_in_both`], [`local_slope`] and
//! [`sensitivity`] are other looks at the same points, [`noise_floor`] finds how many there are to look at.
//!
//! This crate knows no network and no file and prints nothing. Randomness comes in as a generator. It never clamps: a
//! fitted slope outside the bounds is returned as it is.
//!
//! ```
//! use superlinear_stats::{bounds, ensembles::PowerLawEnsemble, loglog};
//!
//! // Per-sample curvatures built so that M₂ = λ_max^½ · H^1.5, exactly.
//! let ensemble = PowerLawEnsemble::new(&[4.0, 1.0, 0.25, 0.0625], 1.5)?;
//! let (h, m2) = (ensemble.h_diag(), ensemble.m2_diag());
//!
//! let fit = loglog::fit(&h, &m2, 4)?;
//! assert!((fit.slope - 1.5).abs() < 1e-12);
//!
//! let wedge = bounds::Wedge::new(ensemble.kappa_max())?;
//! let report = wedge.report(&h, &m2, bounds::Curvature::PositiveSemidefinite)?;
//! assert_eq!((report.n_below, report.n_above), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(non_snake_case)]

pub mod alignment;
pub mod bootstrap;
pub mod bounds;
mod diagonal_bootstrap;
pub mod ensembles;
pub mod errors_in_both;
pub mod histogram;
pub mod local_slope;
pub mod loglog;
pub mod noise_floor;
pub mod ols;
pub mod rank;
pub mod sensitivity;
pub mod slope_bootstrap;
mod slope_derivatives;
mod spectral_ensemble;
pub mod spectrum_edit;
#[cfg(any(test, feature = "proptest"))]
pub mod strategies;
mod student;
pub mod summary;
pub mod theil_sen;

pub use bootstrap::{Draws, Interval};
pub use diagonal_bootstrap::{ContributionError, DiagonalBootstrap, ResampledDiagonals};
pub use loglog::{Dropped, FitConfig, Negative, PowerLawFit};
pub use ols::{FitError, LineFit, Robust};
pub use slope_bootstrap::{
    OverSeeds, SlopeBootstrap, SlopeBootstrapError, over_seeds, over_seeds_and_samples, slope_bootstrap,
};
pub use slope_derivatives::{SlopeDerivatives, slope_derivatives};
pub use spectral_ensemble::{Diagonals, SpectralEnsemble, SpectralEnsembleError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
