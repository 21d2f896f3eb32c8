//! Spectra of symmetric matrices that can be trusted, and what two matrices have in common, read in an eigenbasis.
//!
//! [`eigh`] decomposes a symmetric matrix, checks the residual and the orthogonality of what it got, and returns the
//! pairs in descending order with a stated noise floor. [`diagonal_in_basis`] reads `v_iᵀ A v_i` for every column of a
//! basis. [`InEigenbasis`] is a matrix `A` in the eigenbasis of another, `B`: commutator error, leakage, recovery and
//! normalised coupling, in all directions, the top block and the bulk. [`HaarNull`] says in closed form what the
//! commutator error would be if `A` kept its spectrum and lost its directions, [`sample_haar_null`] how it would
//! scatter. [`principal_angles`] and [`top_overlaps`] compare subspaces, [`inverse_participation_ratio`] tells how many
//! entries carry a vector.
//!
//! An operator that is too large for a matrix is anything that implements [`faer::matrix_free::LinOp`]: a closure by
//! [`FnOp`], and sums, products and restrictions of others. [`lanczos`] finds eigenpairs at either end with recomputed
//! residuals and looks for missed copies, [`spectral_density`] estimates the density of the whole spectrum,
//! [`hutchinson`], [`hutch_plus_plus`] and [`xtrace`] the trace, [`xdiag`] the diagonal, [`frobenius_squared`] the
//! norm: each with a standard error and the products that it used.
//!
//! Pure linear algebra: the crate sees no network and no data. Eigenvalues and eigenvectors are always in descending
//! order, norms are Frobenius norms, and a quantity that would divide by zero is an error or `None`, never NaN.
//!
//! ```
//! use superlinear_spectra::{HaarNull, InEigenbasis, Windows, eigh};
//!
//! let B = faer::mat![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.5]];
//! let eigen = eigh(B.as_ref())?;
//! assert!((eigen.values[0] - 3.0).abs() < 1e-14);
//!
//! // B² and a disturbance.
//! let A = faer::mat![[5.0, 4.0, 0.1], [4.0, 5.0, 0.0], [0.1, 0.0, 0.25]];
//! let pair = InEigenbasis::new(A.as_ref(), &eigen)?;
//! let found = pair.diagnostics(&Windows::PAPER).full;
//! let null = HaarNull::of_pair(&pair);
//! assert!(found.commutator.unwrap() < 0.05 * null.baseline());
//! assert!(found.recovery.unwrap() > 0.999);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(non_snake_case)]

mod basis;
mod commutator;
mod dense;
mod eigh;
mod estimate;
mod haar;
mod haar_draws;
mod hutchinson;
mod lanczos;
mod leave_one_out;
mod localisation;
mod operator;
mod overlap;
mod probe;
mod products;
mod spectral_density;
mod symmetric;
mod tall;
#[cfg(test)]
mod testing;
mod trace;
#[cfg(test)]
mod trace_tests;
mod window;
mod xdiag;
mod xtrace;

pub use basis::{diagonal_in_basis, in_basis};
pub use commutator::{Coupling, DiagnosticError, Diagnostics, InEigenbasis, PairDiagnostics};
pub use dense::{DenseError, to_dense};
pub use eigh::{Eigh, EighError, eigh};
pub use estimate::Estimate;
pub use haar::{HaarNull, Traces, expected_squared_commutator};
pub use haar_draws::{HaarDraws, NullTest, draw_haar_null, haar_orthogonal, sample_haar_null};
pub use hutchinson::{frobenius_squared, hutch_plus_plus, hutchinson};
pub use lanczos::{
    Completeness, Lanczos, LanczosConfig, LanczosError, LanczosProgress, LanczosState, NoConvergence, Probing,
    RitzPair, RitzRotations, Stop, Wanted, lanczos, lanczos_resume, lanczos_with,
};
pub use localisation::{
    LocalisationError, expected_inverse_participation_ratio, inverse_participation_ratio,
    kronecker_inverse_participation_ratio, participation_ratio,
};
pub use operator::{Deflated, FnOp, LinearCombination, Product, Restricted};
pub use overlap::{
    OverlapError, PrincipalAngles, TopOverlap, expected_overlap, principal_angles, subspace_overlap, top_overlaps,
};
pub use probe::Probe;
pub use spectral_density::{DensityConfig, DensityError, Quadrature, Share, SpectralDensity, spectral_density};
pub use trace::{Goal, TraceConfig, TraceError, TraceEstimate, TraceStop};
pub use window::{Window, Windows};
pub use xdiag::{DiagonalEstimate, xdiag};
pub use xtrace::xtrace;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
