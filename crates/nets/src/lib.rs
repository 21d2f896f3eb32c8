//! Small feed-forward networks whose curvature is known exactly.
//!
//! A [`Network`] is an [`Architecture`] with parameters, generic over `f32` and `f64`. It runs batched forward and
//! reverse passes through a preallocated [`Workspace`], and a [`Tail`] gives, for any dense layer and any smooth or
//! piecewise-linear layers behind it, the exact gradient `δ_p` and Hessian `S_p` of one sample's loss in the layer's
//! pre-activation. From these follow the per-sample gradient `δ_p ⊗ a_p` and Hessian `S_p ⊗ a_p a_pᵀ` of the layer's
//! weight.
//!
//! Networks may begin with convolutions and pooling ([`Layer`], [`Architecture::paper_cnn`]); [`BlockPasses`]
//! multiplies the Hessian over any [`Selection`] of parameters with vectors, exactly.
//!
//! The crate knows no data set, reads no file and trains nothing.
//!
//! ```
//! use rand::SeedableRng;
//! use superlinear_nets::{Activation, Architecture, Loss, Network, Tail};
//!
//! let architecture = Architecture::mlp(&[784, 50, 50, 10], Activation::Relu)?;
//! let net = Network::<f64>::init(architecture, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0));
//! let tail = Tail::new(&net, 1, Loss::CrossEntropy);
//! let mut at = tail.buffers();
//! tail.curvature(&[0.1; 50], 3, &mut at);
//! assert_eq!((at.S.nrows(), at.delta.len()), (50, 50));
//! # Ok::<(), superlinear_nets::ArchitectureError>(())
//! ```
#![allow(non_snake_case)]

mod activation;
mod architecture;
mod graph;
mod loss;
mod network;
mod ops;
mod passes;
mod samples;
mod scalar;
mod selection;
mod shape;
mod tail;

pub use activation::Activation;
pub use architecture::{Architecture, ArchitectureError, Bias, DenseLayer, Layer};
pub use graph::{
    Criterion, DenseGraphSamples, EvaluatedGraph, Graph, GraphBuilder, GraphDirections, GraphError, GraphLayer,
    GraphPasses, GraphSamples, GraphSums, Init, Labelled, LayerForm, MemoryEstimate, Model, Objective, ObjectiveError,
    Responses, SingleProductLayer, TensorRole, ValueId, Variables,
};
pub use loss::{Loss, UnknownLoss};
pub use network::{Network, ParameterError};
pub use ops::{
    Arithmetic, AveragePool, BatchNorm, Concatenate, Convolution, Dense, Embedding, Expand, Function, Gather, LayerUse,
    MatrixProduct, MaxPool, Normalise, Operation, OutputOrder, Reduce, Reduction, Reshape, Slice, Softmax, Together,
    Transpose, WeightOrder, Window,
};
pub use passes::{
    AtLogits, BatchLoss, BlockPasses, Directions, EvaluatedBlock, FactoredGradient, Forms, Sums, Workspace,
};
pub use samples::{DenseSamples, Samples, SamplesError};
pub use scalar::Scalar;
pub use selection::{Parameter, Part, Selection, SelectionError};
pub use shape::{ImageShape, Shape};
pub use tail::{PreActivation, Tail};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
