//! Networks from ONNX files.
//!
//! [`read`] takes a file as PyTorch exports it and gives an [`OnnxModel`]: a [`superlinear_nets::Graph`] with its
//! numbers in double precision, whose gradients, Hessian products and per-sample curvature are exact. Parameters keep
//! the names that the file has for them.
//!
//! ```
//! use superlinear_nets::{Criterion, DenseGraphSamples, GraphPasses, GraphSums, Variables};
//!
//! let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/graphs/tied.dynamo.onnx");
//! let read = superlinear_onnx::read(file)?;
//! assert_eq!((&*read.inputs()[0].name, &*read.inputs()[0].shape), ("x", &[10][..]));
//! let model = read.into_model();
//! // Two samples, one a column, and a class each.
//! let x = faer::Mat::from_fn(10, 2, |i, p| (i + p) as f64 / 10.0);
//! let samples = DenseGraphSamples::new(vec![x], faer::Mat::from_fn(1, 2, |_, p| p as f64));
//! let weight = Variables::parameters(model.graph(), ["w.weight"])?;
//! let mut passes = GraphPasses::new(model.graph(), Criterion::cross_entropy().into(), weight.clone());
//! let mut gradient = GraphSums::zeros(&weight, 1);
//! let loss = passes.gradient(&model, &samples, 0..2, &mut gradient)? / 2.0;
//! assert!(loss > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! Versions 13 to 21 of ONNX's operations, from both of PyTorch's exporters:
//!
//! | | |
//! |---|---|
//! | layers | `Gemm`, `MatMul` (`+ Add`), `Conv` of images and rows, `Gather` by ids, pools |
//! | normalisation | batch (in evaluation), layer, instance, group; RMS as it is written out |
//! | functions | ReLU and its like, GELU (also written out), SiLU, softplus, softmax, `Erf`, `Exp`, `Log`, powers, … |
//! | values | `Add`, `Sub`, `Mul`, `Div`, `MatMul`, `ReduceMean`, `ReduceSum`, `Where` by a mask |
//! | axes | `Reshape`, `Flatten`, `Transpose`, `Concat`, `Split`, `Slice`, `Expand`, `Squeeze`, … |
//!
//! What only shapes and constants go into is computed while the file is read. All that cannot be read is one error that
//! lists every such node ([`OnnxError::Unsupported`]).
//!
//! The first axis of every input is that of the samples, of open length in the file or of a fixed one. A network must
//! be a function of every sample by itself: an operation along that axis is an error.
//!
//! # What a number is
//!
//! Weights of 16, 32 or 64 bits and constants are widened to `f64`, exactly. An attribute is the number that was
//! written: ONNX has attributes in `f32`, and the shortest decimal that rounds to it is read, 0.2 for 0.200000003.
//! Bounds of `Clip` and the `β` and threshold of a softplus are read so, too. Where an exporter writes GELU out as sums
//! and products with `√2` in `f32`, it is read as GELU itself. So a model agrees with PyTorch's own in double precision
//! to rounding. `−∞` in a mask becomes `−10³⁰`, of which a softmax makes the same 0 without derivatives that are none;
//! a row that is masked altogether is an error. `Clip` is flat at both ends, as PyTorch's `Hardtanh` and `ReLU6` are.
//!
//! # Which tensors are parameters
//!
//! Those of floating-point numbers in the file's list of initialisers, where the loss depends on them. Running
//! statistics of a batch normalisation, masks with `−∞`, exponents and bounds are constants, and so are `Constant`
//! nodes, and tensors with one and the same number everywhere under a name that an exporter makes up (`val_3`).
//! Tables that an exporter computed and gave another name are parameters unless [`Options::constants`] names them:
//! [`OnnxModel::parameters`] lists what there is.
//! The weight of a dense layer is `(d_out, d_in)` as in PyTorch. If a file has its transpose under a name that an
//! exporter made up (`onnx::MatMul_42`), the numbers are turned back, and [`Parameter::layout`] says so.
//!
//! # The parser
//!
//! `prost` decodes the file, by messages that are written out here with the fields that are read. It checks lengths
//! against the bytes that are there before it allocates, and limits nesting. `rten-onnx` was looked at, too, and has no
//! dependencies: it allocates what a length says, follows graphs inside of graphs without a limit, and does not read
//! packed axes, so a small hostile file takes any amount of memory or stack.
//!
//! What is made of a file is limited too: 2²⁶ entries of all values of one sample together, whose index maps take 4
//! bytes each, and 2²⁴ of what is folded.

mod build;
mod call;
mod dim;
mod error;
mod fold;
mod known;
mod model;
mod order;
mod proto;
mod read;
mod tensor;
#[cfg(test)]
mod tests;
mod trace;
mod value;

pub use error::{OnnxError, Unsupported};
pub use model::{Input, Layout, OnnxModel, Parameter};
pub use read::{Options, from_bytes, read, read_with};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
