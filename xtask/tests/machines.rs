//! The same reproduction on processors with narrower vector units: the same numbers within a stated tolerance.
//!
//! Products of matrices take the widest vectors that a processor says it has, and fused multiplications where there
//! are any, so that results differ between machines by rounding. QEMU's user mode (Debian's `qemu-user`) says what it
//! is told to; without it, or on another architecture, there is nothing to compare and the test passes.
//!
//! On a processor with AVX-512, one with AVX2 gave every bit of this profile; SSE alone differed by up to 2e-6, from
//! training in `f32` without fused multiplications.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const QEMU: &str = "qemu-x86_64";
/// Largest relative difference of any number.
const TOLERANCE: f64 = 1e-4;
/// 256 bits with fused multiplications; 128 bits without.
const PROCESSORS: [&str; 2] = ["Haswell", "Nehalem"];
/// What depends on the clock or is nothing but rounding.
const NOT_COMPARED: [&str; 5] = ["wall_s", "saving_s", "timings", "eigh_residual", "eigh_orthogonality"];

fn summary(mut command: Command, out: &Path) -> Value {
    let output = command
        .args(["reproduce", "--profile", "tiny", "--seeds", "1", "--quiet", "--out"])
        .arg(out)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&fs::read(out.join("tiny/summary.json")).unwrap()).unwrap()
}

/// How many numbers agree; panics at what does not.
fn compare(a: &Value, b: &Value, at: &str) -> usize {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{at}: {:?} {:?}", a.keys(), b.keys());
            let compared = a.iter().filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()));
            compared.map(|(name, a)| compare(a, &b[name], &format!("{at}/{name}"))).sum()
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}");
            a.iter().zip(b).enumerate().map(|(k, (a, b))| compare(a, b, &format!("{at}/{k}"))).sum()
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= TOLERANCE * a.abs().max(b.abs()), "{at}: {a} {b}");
            1
        }
        _ => {
            assert_eq!(a, b, "{at}");
            0
        }
    }
}

#[test]
fn narrower_vector_units_give_the_same_numbers() {
    let there = cfg!(target_arch = "x86_64") && Command::new(QEMU).arg("-version").output().is_ok();
    if !there {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let xtask = env!("CARGO_BIN_EXE_xtask");
    let native = summary(Command::new(xtask), &folder.path().join("native"));
    for processor in PROCESSORS {
        let mut command = Command::new(QEMU);
        command.args(["-cpu", processor, xtask]);
        let emulated = summary(command, &folder.path().join(processor));
        let n = compare(&native, &emulated, processor);
        assert!(n > 100, "{n} numbers");
    }
}
