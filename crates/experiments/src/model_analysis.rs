//! Noise and curvature of one's own network: for every named tensor the exponents, and how nearly the matrices commute.
//!
//! A network is a graph from an ONNX file, its samples an npz file; or one layer is given by its factors. Each tensor
//! is analysed by itself. While `P × P` matrices fit, `H`, `M₂` and `Σ` are formed and diagonalised; beyond, diagonals
//! are read along the leading Lanczos vectors of `H`.

mod asked;
mod checkpoints;
mod factors;
mod fit;
mod source;
mod spectra;
mod tensor;

use crate::observer::Observer;
use anyhow::{Context, Result, bail};
pub use asked::{Asked, Prepared};
pub use checkpoints::{CheckpointAnswer, CheckpointKey, Checkpoints, ExponentAnswer, KEPT, TensorAnswer};
pub use factors::{ABSENT, FactorsQuestion, answer_factors};
pub use fit::ModelFit;
use source::OfGraph;
pub use spectra::SampleSpectra;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use superlinear_nets::{Criterion, Variables};
use tensor::Settings;
pub use tensor::{Commutativity, How, Matrices, TensorFound};

/// What is asked about a network.
#[derive(Clone, Debug)]
pub struct Question {
    /// The network, ONNX.
    pub model: PathBuf,
    /// Its samples: `x`, `y` and, to check the network by, `logits`; npz.
    pub data: PathBuf,
    /// The loss of a sample.
    pub loss: ModelLoss,
    /// `B` of `C = Σ/B`.
    pub batch: NonZeroUsize,
    /// Which tensors.
    pub params: Params,
    /// How many of the largest eigenvalues of each `H`.
    pub top: NonZeroUsize,
    /// Only the first so many samples; all if `None`.
    pub samples: Option<NonZeroUsize>,
    /// Bytes that the dense matrices of a tensor may take together.
    pub memory: u64,
    /// Residuals of Lanczos pairs, relative to the norm, at which they count as converged.
    pub tol: f64,
    /// Seeds the first Lanczos vector.
    pub seed: u64,
    /// Whether `H`, `M₂` and `Σ` are kept where they are formed.
    pub keep_matrices: bool,
}

/// Which tensors of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Params {
    /// By name.
    Named(Vec<String>),
    /// The weights of all layers.
    EveryLayer,
}

/// The loss of a sample, from its outputs and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelLoss {
    /// Cross-entropy of classes; −100 is ignored.
    CrossEntropy,
    /// Mean over classes of the squared error of the softmax.
    SoftmaxMse,
    /// Mean over outputs of the squared error, with real targets.
    LinearMse,
    /// Cross-entropy of one logit an output, with targets from 0 to 1.
    BinaryCrossEntropy,
}

impl ModelLoss {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "ce",
            Self::SoftmaxMse => "mse",
            Self::LinearMse => "linear-mse",
            Self::BinaryCrossEntropy => "bce",
        }
    }

    fn criterion(self) -> Criterion {
        match self {
            Self::CrossEntropy => Criterion::cross_entropy(),
            Self::SoftmaxMse => Criterion::SoftmaxMse,
            Self::LinearMse => Criterion::LinearMse,
            Self::BinaryCrossEntropy => Criterion::BinaryCrossEntropy,
        }
    }

    /// Whether targets are classes, one an output.
    fn has_classes(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::SoftmaxMse)
    }
}

impl fmt::Display for ModelLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Question {
    /// Everything that determines the answer, in words.
    pub fn words(&self) -> String {
        let Self { model, data, loss, batch, params, top, samples, memory, tol, seed, .. } = self;
        let params = match params {
            Params::Named(names) => names.join(","),
            Params::EveryLayer => "every layer".to_owned(),
        };
        let samples = samples.map_or_else(|| "all".to_owned(), |n| n.to_string());
        format!(
            "{} on {}, loss {loss}, batch {batch}; {params}, top {top}, {samples} samples, {memory} bytes, tolerance \
             {tol:e}, seed {seed}",
            model.display(),
            data.display()
        )
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        let of = self.model.file_stem().unwrap_or_default().to_string_lossy();
        let params = match &self.params {
            Params::Named(names) => names.join("+"),
            Params::EveryLayer => "layers".to_owned(),
        };
        format!("{of}-{}", params.replace(['/', '\\'], "_"))
    }
}

/// What an answer is of.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A network and its samples.
    Network(&'a Question),
    /// A layer of given factors.
    Factors(&'a FactorsQuestion),
}

impl<'a> From<&'a Question> for Subject<'a> {
    fn from(question: &'a Question) -> Self {
        Self::Network(question)
    }
}

impl<'a> From<&'a FactorsQuestion> for Subject<'a> {
    fn from(question: &'a FactorsQuestion) -> Self {
        Self::Factors(question)
    }
}

impl Subject<'_> {
    /// `B`.
    pub fn batch(&self) -> NonZeroUsize {
        match self {
            Self::Network(question) => question.batch,
            Self::Factors(question) => question.batch,
        }
    }

    /// How many of the largest eigenvalues of each `H`.
    pub fn top(&self) -> NonZeroUsize {
        match self {
            Self::Network(question) => question.top,
            Self::Factors(question) => question.top,
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// `N`.
    pub n_samples: usize,
    /// How well the network does on its samples; `None` where there are only factors.
    pub fit: Option<ModelFit>,
    /// In the order of the graph.
    pub tensors: Vec<TensorFound>,
}

/// Analyses one tensor after the other.
///
/// # Errors
/// When a number is not finite, an eigendecomposition fails its check, or the observer stops it.
pub fn answer(question: &Question, prepared: &Prepared, observer: &dyn Observer) -> Result<Found> {
    let &Question { batch, top, memory, tol, seed, keep_matrices, .. } = question;
    let &ModelFit { n_samples, rounding, .. } = prepared.fit();
    let settings = Settings { n_samples, batch, top, memory, tol, seed, keep_matrices, rounding };
    let mut tensors = Vec::new();
    for asked in prepared.tensors() {
        observer.check()?;
        let variables = Variables::parameters(prepared.parts().0.graph(), [asked.name.as_str()])?;
        let source = OfGraph::new(prepared.parts(), variables).with_context(|| asked.name.clone())?;
        tensors.push(tensor::analyse(&settings, &source, asked, observer)?);
    }
    if tensors.is_empty() {
        bail!("{}: no tensor to analyse", question.model.display());
    }
    Ok(Found { n_samples, fit: Some(*prepared.fit()), tensors })
}
