//! Every reader of bytes from outside, as a function of any bytes, with what must hold for them.
//!
//! A target takes arbitrary bytes, and panics if the reader does or if an invariant is broken; that is what a fuzzer
//! looks for. For all: nothing panics, hangs or sets aside memory that the input does not fill, and what is read and
//! written again reads back equal. The README says how to let a fuzzer loose; `cargo test` replays what it has found.
//!
//! | module | targets |
//! |---|---|
//! | [`arrays`] | arrays from other programs: npy, npz, safetensors |
//! | [`records`] | our own records, with and without a right checksum |
//! | [`images`] | IDX, CIFAR-10, and the archives that data sets are imported from |
//! | [`networks`] | networks in ONNX files |
//! | `words` | `results.json`, plans and command lines |

pub mod arrays;
pub mod images;
pub mod networks;
pub mod records;
#[cfg(feature = "xtask")]
pub mod words;

pub use arrays::{npy, npz, safetensors};
pub use images::{archive, cifar, idx};
pub use networks::onnx;
pub use records::record;
#[cfg(feature = "xtask")]
pub use records::run_record;
#[cfg(feature = "xtask")]
pub use words::{command_line, manifest, plan};

/// A function of any bytes: whether they could be read.
pub type Target = fn(&[u8]) -> bool;

/// Every target by the name of its fuzzer and of its folder of the corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("cifar", cifar),
    #[cfg(feature = "xtask")]
    ("command_line", command_line),
    ("idx", idx),
    #[cfg(feature = "xtask")]
    ("manifest", manifest),
    ("npy", npy),
    ("npz", npz),
    ("onnx", onnx),
    #[cfg(feature = "xtask")]
    ("plan", plan),
    ("record", record),
    #[cfg(feature = "xtask")]
    ("run_record", run_record),
    ("safetensors", safetensors),
];
