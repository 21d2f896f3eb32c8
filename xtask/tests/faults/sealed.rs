//! Records whose content is changed and whose checksum is right: every command that reads them answers or gives an
//! error, and none panics, hangs or takes memory for what is not there.

use super::{a_copy, records, said, xtask};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Bytes of the checksum that closes a record.
const DIGEST: usize = 32;
/// Changes of each kind of record with `SUPERLINEAR_SLOW=1`; else one, another for each.
const CHANGES: u64 = 200;

/// A number from a number, for positions and bytes.
fn mixed(k: u64) -> u64 {
    let x = (k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (x >> 17)
}

/// Where the payload begins: behind magic, envelope version, the kind with its length, version, and its own length.
fn payload(bytes: &[u8]) -> usize {
    let kind = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
    8 + 2 + 2 + kind + 4 + 8
}

/// One accident to the payload, which keeps its length, and a right checksum. Half of them are near the beginning,
/// where settings, shapes and counts stand.
fn changed(whole: &[u8], k: u64) -> Vec<u8> {
    let (from, to) = (payload(whole), whole.len() - DIGEST);
    let within = if k.is_multiple_of(2) { (to - from).min(200) } else { to - from };
    let at = from + (mixed(k) % within as u64) as usize;
    let mut bytes = whole[..to].to_vec();
    match k % 4 {
        0 => bytes[at] ^= 1 << (mixed(k ^ 77) % 7),
        1 => bytes[at] = 0x7f,
        2 => bytes[at] = 0,
        // A float that is none, or a length that nothing fills.
        _ => bytes[at..to.min(at + 9)].fill(0xff),
    }
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

#[test]
fn every_reading_command_survives_sealed_changes() {
    let slow = std::env::var("SUPERLINEAR_SLOW").is_ok_and(|value| value == "1");
    let folder = a_copy();
    let out = folder.path().to_str().unwrap();
    let results = folder.path().join("tiny");
    let (results, to) = (results.to_str().unwrap(), folder.path().join("to"));
    let to = to.to_str().unwrap();
    let id = "mnist-tiny-ce-c3-s0";
    let commands: [&[&str]; 5] = [
        &["verify", results],
        &["runs", "list", "--out", out],
        &["runs", "verify", "--out", out],
        &["spectrum", id, "--params", "fc2", "--top", "3", "--probes", "0", "--out", out, "--to", to, "--force"],
        &["export", id, "--out", out, "--to", to, "--force"],
    ];
    for (first, part) in (0..).zip(["run.rec", "training.rec", "epoch-0060", "epoch-0020", "layer2-epoch-0060"]) {
        let path = records(folder.path(), part).into_iter().find(|path| path.to_str().unwrap().contains(id));
        let Some(path) = path else { panic!("no record {part}") };
        let whole = fs::read(&path).unwrap();
        for k in first..first + if slow { CHANGES } else { 1 } {
            fs::write(&path, changed(&whole, k)).unwrap();
            for command in commands {
                let output = xtask(command);
                let code = output.status.code();
                let words = said(&output);
                assert!(
                    code.is_some_and(|code| code != 101) && !words.contains("panicked"),
                    "{part}, change {k}, {command:?}: {code:?} {words}"
                );
            }
            let _ = fs::remove_dir_all(Path::new(to));
        }
        fs::write(&path, &whole).unwrap();
    }
}
