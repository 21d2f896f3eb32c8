//! Where results come from: commit, machine, data.

use anyhow::{Context, Result};
use superlinear_experiments::identity::Key;
use superlinear_experiments::provenance::Provenance;

/// This program, by the commit it was built from, on this machine.
pub(crate) fn here() -> Provenance {
    Provenance {
        commit: env!("SUPERLINEAR_COMMIT").to_owned(),
        machine: machine(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// SHA-256 of the program that is running, in hexadecimal: results of another build are not taken for its own.
///
/// # Errors
/// When the system does not say where it is.
pub(crate) fn program() -> Result<String> {
    let path = std::env::current_exe().context("cannot find this program")?;
    let bytes = std::fs::read(&path).with_context(|| format!("{}: cannot read", path.display()))?;
    Ok(Key::of(&bytes).hex())
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let processor = processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{} {}, {cores} cores", std::env::consts::OS, processor)
}
