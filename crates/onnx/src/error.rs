//! What is wrong with a file.

use std::fmt;
use std::path::PathBuf;
use superlinear_nets::GraphError;

/// Why a file is no network that this crate reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file, or one that it names for its weights, cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model: cut short, damaged, or of another format.
    #[error("not an ONNX model: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Something in the file does not fit.
    #[error("{name} ({what}): found {found}; expected {expected}")]
    Invalid {
        /// The node, tensor, input or output.
        name: String,
        /// What it is, or its operation.
        what: String,
        /// What was found.
        found: String,
        /// What would have fitted.
        expected: String,
    },
    /// Nodes whose operations are not read, all of them.
    #[error("{}", listed(.0))]
    Unsupported(Vec<Unsupported>),
    /// What was read is no network.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// A node whose operation is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The node, or what it gives if it has no name.
    pub node: String,
    /// Its operation.
    pub operation: String,
    /// What of it is not read; empty for all of it.
    pub why: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.node, self.operation)?;
        if self.why.is_empty() { Ok(()) } else { write!(f, ": {}", self.why) }
    }
}

fn listed(nodes: &[Unsupported]) -> String {
    let all: Vec<String> = nodes.iter().map(Unsupported::to_string).collect();
    let plural = if all.len() == 1 { "an operation" } else { "operations" };
    format!("{plural} that cannot be read: {}", all.join("; "))
}

impl OnnxError {
    pub(crate) fn invalid(name: &str, what: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Invalid { name: name.to_owned(), what: what.to_owned(), found: found.into(), expected: expected.into() }
    }
}

/// What does not fit a node, before its name is known.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// What of its operation is not read.
    Unsupported(String),
    /// Found and expected.
    Misfit(String, String),
}

pub(crate) fn unsupported<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unsupported(why.into()))
}

pub(crate) fn misfit<T>(found: impl Into<String>, expected: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Misfit(found.into(), expected.into()))
}
