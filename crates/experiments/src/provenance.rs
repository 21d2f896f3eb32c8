//! Who made a record or results; the caller says so.

use serde::{Deserialize, Serialize};

/// What made a set of results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Commit of the source, `-dirty` if it was changed; `unknown` outside a repository.
    pub commit: String,
    /// Operating system, processor and number of cores.
    pub machine: String,
    /// Version of the software.
    pub version: String,
}
