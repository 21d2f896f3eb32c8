//! Exponents, their uncertainty and their bounds, from plain slices of `f64`.
//!
//! The principal item is [`loglog::fit`], which gives a [`PowerLawFit`]: the slope of `log10 y` on `log10 x` with a
//! standard error that survives unequal variances, and a count by cause of every entry that could not be used.
//! [`bounds`] holds each direction against the theorem that confines the exponent to `[1, 2]`.
//!
//! [`over_seeds`] turns several runs' exponents into one with its error, and [`slope_derivatives()`] is the delta
//! method: any known errors of the diagonals, as a standard error or a bound of the exponent. [`theil_sen`],
//! [`errors_in_both`], [`local_slope`] and [`sensitivity`] are other looks at the same points, [`noise_floor`] finds
//! how many there are to look at.
//!
//! All of that takes slices. Feature `matrices`, which brings faer, adds what takes matrices:
//!
//! - `DiagonalBootstrap` resamples the diagonals of `Σ`, `H` and `M₂` over samples, `slope_bootstrap` makes the error
//!   of an exponent of that;
//! - `SpectralEnsemble` holds per-sample curvature with its alignment to fixed directions, `spectrum_edit` changes the
//!   one and keeps the other, and `alignment` correlates them;
//! - `bounds::check_dense` holds anybody's dense per-sample Hessians against the theorem, and with feature `proptest`
//!   `strategies` draws ensembles to hold them against.
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

#[cfg(feature = "matrices")]
pub mod alignment;
mod bootstrap;
pub mod bounds;
#[cfg(feature = "matrices")]
mod diagonal_bootstrap;
mod eigenspaces;
pub mod ensembles;
pub mod errors_in_both;
pub mod histogram;
pub mod local_slope;
pub mod loglog;
pub mod noise_floor;
mod ols;
mod over_seeds;
pub mod rank;
pub mod sensitivity;
#[cfg(feature = "matrices")]
mod slope_bootstrap;
mod slope_derivatives;
#[cfg(feature = "matrices")]
mod spectral_ensemble;
#[cfg(feature = "matrices")]
pub mod spectrum_edit;
#[cfg(any(test, feature = "proptest"))]
pub mod strategies;
mod student;
pub mod summary;
pub mod theil_sen;

#[cfg(feature = "matrices")]
pub use bootstrap::resample_counts;
pub use bootstrap::{Draws, Interval};
#[cfg(feature = "matrices")]
pub use diagonal_bootstrap::{ContributionError, DiagonalBootstrap, ResampledDiagonals};
pub use eigenspaces::Eigenspaces;
pub use loglog::{Dropped, FitConfig, Negative, PowerLawFit};
pub use ols::{FitError, Robust};
pub use over_seeds::{OverSeeds, over_seeds};
#[cfg(feature = "matrices")]
pub use slope_bootstrap::{SlopeBootstrap, SlopeBootstrapError, slope_bootstrap};
pub use slope_derivatives::{SlopeDerivatives, slope_derivatives};
#[cfg(feature = "matrices")]
pub use spectral_ensemble::{Diagonals, SpectralEnsemble, SpectralEnsembleError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
