//! Arrays from other programs.

use std::collections::BTreeMap;
use std::path::Path;
use superlinear_store::array::{Array, ArrayView};
use superlinear_store::{npy as one, npz as several, safetensors as tensors};

const NAME: &str = "arrays";

/// One array in NumPy's format.
pub fn npy(bytes: &[u8]) -> bool {
    let Ok(array) = one::read(&mut &bytes[..]) else { return false };
    let encode = |array: &Array| {
        let mut bytes = Vec::new();
        one::write(&mut bytes, &array.view().expect("what was read fits its shape")).expect("memory takes it");
        bytes
    };
    // Bytes, not values: a NaN is no less the same.
    let written = encode(&array);
    let again = one::read(&mut &written[..]).expect("what was written reads");
    assert_eq!(again.shape, array.shape);
    assert_eq!(encode(&again), written);
    true
}

/// Named arrays in NumPy's archive.
pub fn npz(bytes: &[u8]) -> bool {
    let path = Path::new(NAME);
    let Ok(arrays) = several::from_bytes(path, bytes) else { return false };
    for compression in [several::Compression::Stored, several::Compression::Deflated] {
        let encode = |arrays: &BTreeMap<String, Array>| {
            several::bytes(path, &views(arrays), compression).expect("what was read has distinct names")
        };
        let written = encode(&arrays);
        let again = several::from_bytes(path, &written).expect("what was written reads");
        assert!(again.keys().eq(arrays.keys()), "{:?}", again.keys());
        assert_eq!(encode(&again), written);
    }
    true
}

/// Named tensors in the safetensors format.
pub fn safetensors(bytes: &[u8]) -> bool {
    let Ok(content) = tensors::from_bytes(bytes) else { return false };
    let encode = |content: &tensors::Tensors| {
        tensors::bytes(Path::new(NAME), &views(&content.tensors), &content.metadata).expect("the names are distinct")
    };
    let written = encode(&content);
    let again = tensors::from_bytes(&written).expect("what was written reads");
    assert!(again.tensors.keys().eq(content.tensors.keys()), "{:?}", again.tensors.keys());
    assert_eq!(again.metadata, content.metadata);
    assert_eq!(encode(&again), written);
    true
}

fn views(arrays: &BTreeMap<String, Array>) -> Vec<(&str, ArrayView<'_>)> {
    arrays.iter().map(|(name, array)| (name.as_str(), array.view().expect("what was read fits its shape"))).collect()
}
