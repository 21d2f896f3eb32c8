//! The corpus through every target, as it is and with accidents: what a fuzzer once found stays mended.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
#[cfg(feature = "xtask")]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use superlinear_fuzz::{TARGETS, Target};

/// Accidents to every target's corpus; two hundred times as many with `SUPERLINEAR_SLOW=1`.
fn n_accidents() -> usize {
    if std::env::var("SUPERLINEAR_SLOW").is_ok_and(|value| value == "1") { 20_000 } else { 100 }
}

/// Largest corpus, of all targets: it is cloned and replayed by everybody.
#[cfg(feature = "xtask")]
const MAX_BYTES: usize = 300_000;

fn here(what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(what)
}

/// Name and content of what is in a folder, by name.
fn files_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[cfg(feature = "xtask")]
fn names_in(folder: &str) -> BTreeSet<String> {
    let name = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    fs::read_dir(here(folder)).unwrap().map(|entry| name(entry.unwrap())).collect()
}

#[cfg(feature = "xtask")]
#[test]
fn every_target_has_a_fuzzer_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("corpus"), targets);
    assert_eq!(names_in("fuzz_targets"), targets);
    let manifest = fs::read_to_string(here("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(here("README.md")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        assert!(readme.contains(&format!("`{name}`")), "README.md has no line for {name}");
    }
    let bytes: usize =
        targets.iter().flat_map(|name| files_in(&here("corpus").join(name))).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
}

/// Runs the target; a panic names the input.
fn run(target: Target, name: &str, bytes: &[u8]) -> bool {
    match std::panic::catch_unwind(|| target(bytes)) {
        Ok(read) => read,
        Err(cause) => {
            let shown: String = bytes.iter().take(400).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
            let said = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("{name}: {said}: {} bytes: {shown}", bytes.len());
        }
    }
}

#[test]
fn what_was_found_stays_mended() {
    for &(target_name, target) in TARGETS {
        let corpus = files_in(&here("corpus").join(target_name));
        let read = |(name, bytes): &(String, Vec<u8>)| run(target, &format!("{target_name}/{name}"), bytes);
        let n_read = corpus.iter().filter(|file| read(file)).count();
        assert!((1..corpus.len()).contains(&n_read), "{target_name}: {n_read} of {} inputs are read", corpus.len());
    }
}

#[test]
fn accidents_to_the_corpus_break_nothing() {
    for &(target_name, target) in TARGETS {
        let corpus = files_in(&here("corpus").join(target_name));
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for k in 0..n_accidents() {
            let (name, bytes) = &corpus[rng.random_range(0..corpus.len())];
            let mut bytes = bytes.clone();
            for _ in 0..rng.random_range(1..=4) {
                accident(&mut bytes, &corpus, &mut rng);
            }
            run(target, &format!("{target_name}/{name}, accident {k}"), &bytes);
        }
    }
}

fn accident(bytes: &mut Vec<u8>, corpus: &[(String, Vec<u8>)], rng: &mut impl Rng) {
    let mut piece = |len: usize| {
        let from = rng.random_range(0..=len);
        from..len.min(from + rng.random_range(0..=32))
    };
    let at = piece(bytes.len());
    let (_, other) = &corpus[piece(corpus.len() - 1).start];
    match piece(6).start {
        0 => bytes.truncate(at.start),
        1 => drop(bytes.drain(at)),
        2 => drop(bytes.splice(at, other[piece(other.len())].iter().copied())),
        3 => {
            let copy = bytes[at.clone()].to_vec();
            bytes.splice(at.start..at.start, copy);
        }
        4 => bytes[at].fill(if piece(1).start == 0 { 0 } else { 0xff }),
        _ => {
            if let Some(byte) = bytes.get_mut(at.start) {
                *byte ^= 1 << piece(7).start;
            }
        }
    }
}
