//! A result on disk: a folder that appears whole, with a checksummed record, arrays for NumPy, tensors for PyTorch and
//! JSON; read back, and refused when a bit has changed or the type has.
//!
//! `cargo run --release -p superlinear-store --example write_and_read [-- FOLDER]`
//!
//! Without `FOLDER` the files go to a temporary one and are deleted. With it they stay:
//! `python -c "import numpy; print(dict(numpy.load('FOLDER/moments.npz')))"`.
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use superlinear_store::array::ArrayView;
use superlinear_store::matrix::DenseMatrix;
use superlinear_store::record::{self, Record};
use superlinear_store::staged::What;
use superlinear_store::{StagedDir, json, npz, safetensors};

/// What is kept of a run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    run: String,
    gamma: f64,
    n_used: u64,
    H: DenseMatrix,
}

impl Record for Fit {
    const KIND: &'static str = "fit";
    const VERSION: u32 = 1;
}

/// The same a year later, with a field more and so another version.
#[derive(Debug, Serialize, Deserialize)]
struct LaterFit {
    run: String,
    gamma: f64,
    gamma_se: f64,
    n_used: u64,
    H: DenseMatrix,
}

impl Record for LaterFit {
    const KIND: &'static str = "fit";
    const VERSION: u32 = 2;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let target = std::env::args_os().nth(1).map_or(temporary.path().join("run-0"), PathBuf::from);
    let n = 40;
    let H = DenseMatrix::from_fn(n, n, |i, j| 1.0 / (1 + i + j) as f64);
    let weights: Vec<f32> = (0..60).map(|k| 0.1 * k as f32).collect();
    let labels: Vec<i64> = (0..12).map(|p| p % 3).collect();
    let fit = Fit { run: "hilbert-40".to_owned(), gamma: 1.38, n_used: 40, H };

    let folder = StagedDir::create(&target, What { kind: "example", of: "a fit", force: false })?;
    record::write(&folder.path().join("fit.rec"), &fit)?;
    let (of_H, of_labels) = (fit.H.shape(), [labels.len()]);
    let arrays = [("H", ArrayView::new(&of_H, &fit.H)?), ("labels", ArrayView::new(&of_labels, &labels[..])?)];
    npz::write(&folder.path().join("moments.npz"), &arrays, npz::Compression::Stored)?;
    let metadata = BTreeMap::from([("run".to_owned(), fit.run.clone())]);
    let tensors = [("fc1.weight", ArrayView::new(&[5, 12], &weights[..])?)];
    safetensors::write(&folder.path().join("weights.safetensors"), &tensors, &metadata)?;
    // For people; records and arrays are what keeps every bit.
    json::write(&folder.path().join("fit.json"), &BTreeMap::from([("gamma", fit.gamma)]))?;
    println!("before publishing, under the final name: {}", if target.exists() { "something" } else { "nothing" });
    folder.publish()?;
    let mut names: Vec<_> = fs::read_dir(&target)?.collect::<Result<_, _>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    for file in &names {
        println!("  {:<20} {:>6} bytes", file.file_name().to_string_lossy(), file.metadata()?.len());
    }

    let path = target.join("fit.rec");
    let found = record::describe(&path)?;
    println!("fit.rec says: kind {:?}, version {}, payload of {} bytes", found.kind, found.version, found.payload_len);
    assert!(record::read::<Fit>(&path)? == fit, "another record than was written");
    for (name, array) in npz::read(&target.join("moments.npz"))? {
        println!("moments.npz: {name} of shape {:?}, {:?}", array.shape, array.view()?.values().element_type());
        let written = arrays.iter().find(|(known, _)| *known == name).ok_or("an array that was not written")?;
        assert!(array.view()? == written.1, "{name}: another array than was written");
    }
    let read = safetensors::read(&target.join("weights.safetensors"))?;
    assert!(
        read.tensors["fc1.weight"].view()? == tensors[0].1 && read.metadata == metadata,
        "another tensor than was written"
    );
    println!("read back: record, arrays and tensor are what was written, to the last bit");

    // What is not what was written is refused, with the reason.
    let whole = fs::read(&path)?;
    let Err(defect) = record::from_bytes::<LaterFit>(&whole) else {
        return Err("an old record was read as a new one".into());
    };
    println!("read as version 2: {defect}");
    let Err(defect) = record::from_bytes::<Fit>(&whole[..1_000]) else { return Err("a part was read".into()) };
    println!("the first 1000 bytes alone: {defect}");
    let mut changed = whole;
    changed[500] ^= 1;
    let Err(defect) = record::from_bytes::<Fit>(&changed) else { return Err("a changed bit went unseen".into()) };
    println!("with one bit changed: {defect}");
    Ok(())
}
