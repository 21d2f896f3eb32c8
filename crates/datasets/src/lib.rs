//! Typed, checked image data: the only crate here that knows file formats of data.
//!
//! A [`Dataset`] is a training and a test [`Split`]; a split keeps its images as the bytes they were published in, with
//! a checked label each. [`Normalisation`] turns bytes into inputs, [`draw_train`] and [`draw_test`] draw seeded
//! subsets.
//!
//! - [`embedded`]: MNIST at the paper's scale and a small CIFAR-10, compiled in (features `mnist` and `cifar10`, on by
//!   default). Need no file and no network.
//! - `load`: the full MNIST, Fashion-MNIST and CIFAR-10 from a cache folder (feature `cache`, on by default), which
//!   `import` fills from a local folder and `fetch` by download (feature `fetch`). Both prove every file by SHA-256.
//! - [`idx`] and [`cifar`]: the readers alone, for files of your own; gzipped ones by feature `gzip`.
//!
//! What it does not do: no augmentation, no batching (the training loop shuffles), no other data sets, no printing
//! ([`Progress`] goes to a callback).
//!
//! ```
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use superlinear_datasets::{Classes, DrawPolicy, Normalisation, draw_train, embedded};
//!
//! let mnist = embedded::mnist();
//! let classes = Classes::first(3)?;
//! let mut rng = ChaCha8Rng::seed_from_u64(1);
//! let drawn = draw_train(&mnist.train, &classes, 100, DrawPolicy::ExactPerClass, &mut rng)?;
//! let train = mnist.train.select(&drawn, &classes);
//! let x: Vec<f32> = train.to_f32(&Normalisation::of(mnist.name)); // 300 × 784, row-major
//! assert_eq!((train.len(), x.len()), (300, 300 * 784));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "cache")]
pub mod catalog;
pub mod cifar;
mod classes;
mod dataset;
pub mod draw;
#[cfg(feature = "cache")]
pub mod embed;
pub mod embedded;
#[cfg(feature = "fetch")]
pub mod fetch;
mod gzip;
pub mod idx;
#[cfg(feature = "cache")]
pub mod import;
#[cfg(feature = "cache")]
pub mod load;
mod normalise;
mod plain_file;
#[cfg(feature = "cache")]
mod progress;
mod split;
#[cfg(feature = "cache")]
mod verified;

pub use classes::{Classes, ClassesError};
pub use dataset::{Dataset, DatasetName, UnknownDataset};
pub use draw::{DrawError, DrawPolicy, draw_test, draw_train};
#[cfg(feature = "cache")]
pub use load::{LoadError, load};
pub use normalise::Normalisation;
#[cfg(feature = "cache")]
pub use progress::Progress;
pub use split::{ImageShape, Split, SplitError};
#[cfg(feature = "cache")]
pub use verified::ContentError;

/// Classes of every data set here.
pub const N_CLASSES: usize = 10;
