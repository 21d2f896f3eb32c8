//! Our own records. A checksum closes them, which no fuzzer guesses: so the input is tried as a whole record, and as
//! the payload of one that is closed here.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
#[cfg(feature = "xtask")]
use superlinear_experiments::outside::{self, RUN_RECORDS};
use superlinear_store::matrix::DenseMatrix;
use superlinear_store::record::{ENVELOPE_VERSION, MAGIC, Record, from_bytes, to_bytes};

/// A record with a field of every type that records here have.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Everything {
    /// Text.
    pub id: String,
    /// Numbers.
    pub numbers: (u8, u32, u64, usize, u128, i32, f32, f64),
    /// Many of them.
    pub weights: Vec<f32>,
    /// A record's own type inside another.
    pub matrix: Option<DenseMatrix>,
    /// A choice.
    pub choice: Result<[f64; 2], Vec<String>>,
    /// By name.
    pub named: BTreeMap<String, bool>,
}

impl Record for Everything {
    const KIND: &'static str = "everything";
    const VERSION: u32 = 1;
}

/// A record of the store: as it comes, or of the kind that the first byte picks, with the rest for its payload.
pub fn record(bytes: &[u8]) -> bool {
    let as_it_comes = reads_back::<DenseMatrix>(bytes) | reads_back::<Everything>(bytes);
    let Some((kind, payload)) = bytes.split_first() else { return as_it_comes };
    as_it_comes
        | match kind % 2 {
            0 => reads_back::<DenseMatrix>(&sealed(DenseMatrix::KIND, DenseMatrix::VERSION, payload)),
            _ => reads_back::<Everything>(&sealed(Everything::KIND, Everything::VERSION, payload)),
        }
}

/// A record of a run's folder: as it comes, or of the kind that the first byte picks.
#[cfg(feature = "xtask")]
pub fn run_record(bytes: &[u8]) -> bool {
    let reads_back = |bytes: &[u8]| {
        let Some(written) = outside::run_record(bytes) else { return false };
        assert_eq!(outside::run_record(&written).expect("what was written reads"), written);
        true
    };
    let Some((kind, payload)) = bytes.split_first() else { return false };
    let (kind, version) = RUN_RECORDS[usize::from(*kind) % RUN_RECORDS.len()];
    reads_back(bytes) | reads_back(&sealed(kind, version, payload))
}

/// `payload` in a whole envelope.
pub fn sealed(kind: &str, version: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(ENVELOPE_VERSION.to_le_bytes());
    bytes.extend((kind.len() as u16).to_le_bytes());
    bytes.extend(kind.as_bytes());
    bytes.extend(version.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(payload);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

fn reads_back<R: Record + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(found) = from_bytes::<R>(bytes) else { return false };
    let written = to_bytes(&found).expect("what was read can be written");
    let again = from_bytes::<R>(&written).expect("what was written reads");
    assert_eq!(to_bytes(&again).expect("what was read can be written"), written);
    true
}
