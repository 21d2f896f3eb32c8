//! Typed, checked image data: the only crate here that knows file formats of data.
//!
//! A [`Dataset`] is a training and a test [`Split`]; a split keeps its images as the bytes they were published in, with
//! a checked label each. [`Normalisation`] turns bytes into inputs, [`draw_train`] and [`draw_test`] draw seeded
//! subsets.
//!
//! - [`embedded::mnist`] and [`embedded::cifar10`]: MNIST at the paper's scale and a small CIFAR-10, compiled in. Need
//!   no file and no network.
//! - [`load()`]: the full MNIST, Fashion-MNIST and CIFAR-10 from a cache folder ([`cache::directory`]), which
//!   [`import::import`] fills from a local folder and [`fetch::fetch`] by download. Both prove every file by SHA-256.
//! - [`idx`] and [`cifar`]: the readers alone, for files of your own.
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

pub mod cache;
pub mod catalog;
pub mod cifar;
mod classes;
mod dataset;
pub mod draw;
pub mod embed;
pub mod embedded;
pub mod fetch;
mod gzip;
pub mod idx;
pub mod import;
pub mod load;
mod normalise;
mod progress;
mod split;
mod verified;

pub use classes::{Classes, ClassesError};
pub use dataset::{Dataset, DatasetName, UnknownDataset};
pub use draw::{DrawError, DrawPolicy, draw_test, draw_train};
pub use load::{LoadError, load};
pub use normalise::Normalisation;
pub use progress::Progress;
pub use split::{ImageShape, Split, SplitError};
pub use verified::ContentError;

/// Classes of every data set here.
pub const N_CLASSES: usize = 10;
