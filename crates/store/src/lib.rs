//! Results on disk, whole or not at all.
//!
//! Every file goes through [`atomic`]: written beside its final name, flushed to the disk and renamed, so that a crash,
//! a full disk or an error leaves the old file or none, never half of one. [`StagedDir`] does the same for a folder.
//!
//! | module | file | read back by |
//! |---|---|---|
//! | [`record`] | our own types, versioned and checksummed | this crate |
//! | [`npy`] | one array | NumPy |
//! | `npz`, a feature | named arrays | NumPy |
//! | `safetensors`, a feature | named tensors | PyTorch, JAX |
//! | [`json`], [`csv`] | summaries and tables | anything |
//!
//! [`lock`] keeps two processes from the same work; a process that dies lets go.
//!
//! This crate knows no network, no matrix library and no experiment: numbers come in as slices with a shape
//! ([`array::ArrayView`], [`matrix::DenseMatrix`]). Readers trust nothing: bad bytes give an error that names the file,
//! never a panic.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use superlinear_store::record::{self, Record};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Slope {
//!     gamma: f64,
//!     n_used: u64,
//! }
//!
//! impl Record for Slope {
//!     const KIND: &'static str = "slope";
//!     const VERSION: u32 = 1;
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("slope.rec");
//! let slope = Slope { gamma: 1.38, n_used: 1000 };
//! record::write(&path, &slope)?;
//! assert_eq!(record::read::<Slope>(&path)?, slope);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod array;
pub mod atomic;
pub mod csv;
#[cfg(any(feature = "npz", feature = "safetensors"))]
mod foreign;
pub mod json;
pub mod lock;
pub mod matrix;
pub mod npy;
#[cfg(feature = "npz")]
pub mod npz;
pub mod record;
#[cfg(feature = "safetensors")]
pub mod safetensors;
pub mod staged;
pub mod whole;
mod widen;

pub use atomic::WriteError;
pub use staged::StagedDir;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
