//! The first images of each class of MNIST, in the order and format of the original files, gzipped.
//!
//! 2,000 training and 100 test images of each digit. [`superlinear-datasets`](https://docs.rs/superlinear-datasets),
//! feature `mnist`, reads them into checked images and labels and holds the hashes of the files; here they are bytes.
//! Origin and terms are in the README.

#![no_std]
#![forbid(unsafe_code)]

/// 20,000 training images of 28 × 28 pixels: gzipped IDX.
pub static TRAIN_IMAGES: &[u8] = include_bytes!("train-20000-images-idx3-ubyte.gz");
/// Their labels: gzipped IDX.
pub static TRAIN_LABELS: &[u8] = include_bytes!("train-20000-labels-idx1-ubyte.gz");
/// 1,000 test images of 28 × 28 pixels: gzipped IDX.
pub static TEST_IMAGES: &[u8] = include_bytes!("test-1000-images-idx3-ubyte.gz");
/// Their labels: gzipped IDX.
pub static TEST_LABELS: &[u8] = include_bytes!("test-1000-labels-idx1-ubyte.gz");
