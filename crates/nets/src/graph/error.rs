//! What is wrong with a graph, its numbers, or a point at which it is differentiated.

/// What does not fit, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node} ({operation}): found {found}; expected {expected}")]
pub struct GraphError {
    /// The node, input, parameter or constant.
    pub node: String,
    /// What it does, or what it is.
    pub operation: String,
    /// What was found.
    pub found: String,
    /// What would have fitted.
    pub expected: String,
}

impl GraphError {
    pub(crate) fn new(node: &str, operation: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (node, operation) = (node.to_owned(), operation.to_owned());
        Self { node, operation, found: found.into(), expected: expected.into() }
    }
}
