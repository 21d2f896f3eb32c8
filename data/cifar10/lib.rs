//! The first images of each class of CIFAR-10, in the order and format of the original files, gzipped.
//!
//! 200 training and 50 test images of each class. [`superlinear-datasets`](https://docs.rs/superlinear-datasets),
//! feature `cifar10`, reads them into checked images and labels and holds the hashes of the files; here they are
//! bytes. Origin and terms are in TERMS.md.

#![no_std]
#![forbid(unsafe_code)]

/// 2,000 training images of 3 × 32 × 32 pixels, a label before each: gzipped records of the binary version.
pub static TRAIN: &[u8] = include_bytes!("train-2000.bin.gz");
/// 500 test images likewise.
pub static TEST: &[u8] = include_bytes!("test-500.bin.gz");
