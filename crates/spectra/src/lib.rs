//! Spectra of symmetric matrices that can be trusted, and diagonals in an eigenbasis.
//!
//! [`eigh`] decomposes a symmetric matrix, checks the residual and the orthogonality of what it got, and returns the
//! pairs in descending order with a stated noise floor. [`diagonal_in_basis`] reads `v_iᵀ A v_i` for every column of a
//! basis. Pure linear algebra: the crate sees no network and no data.
//!
//! ```
//! use superlinear_spectra::{diagonal_in_basis, eigh};
//!
//! let H = faer::mat![[2.0, 1.0], [1.0, 2.0]];
//! let eigen = eigh(H.as_ref())?;
//! assert!((eigen.values[0] - 3.0).abs() < 1e-14);
//! let diagonal = diagonal_in_basis(H.as_ref(), eigen.vectors.as_ref());
//! assert!((diagonal[1] - 1.0).abs() < 1e-14);
//! # Ok::<(), superlinear_spectra::EighError>(())
//! ```
#![allow(non_snake_case)]

mod basis;
mod eigh;

pub use basis::diagonal_in_basis;
pub use eigh::{Eigh, EighError, eigh};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
