//! Finished results, rendered again and compared: everything beside the records is a function of them.

use crate::publish::render;
use anyhow::Result;
use std::path::{Path, PathBuf};
use superlinear_experiments::manifest::Manifest;
use superlinear_experiments::observer::Observer;
use superlinear_experiments::record::RunRecord;

/// What the folder of results `dir` holds otherwise than its records make it, in words.
///
/// # Errors
/// When the records cannot be drawn, or the observer stops it.
pub fn differences(
    manifest: &Manifest,
    runs: &[RunRecord],
    dir: &Path,
    observer: &dyn Observer,
) -> Result<Vec<String>> {
    let files = render(manifest, runs, observer)?;
    observer.note("compared", &format!("{} files against the records of {} runs", files.len(), runs.len()));
    Ok(files.iter().filter_map(|file| difference(dir, file)).collect())
}

/// What is wrong with a file of the results, if anything.
fn difference(dir: &Path, (name, expected): &(PathBuf, Vec<u8>)) -> Option<String> {
    let found = match superlinear_store::whole::read(&dir.join(name)) {
        Ok(found) => found,
        Err(cause) => return Some(format!("{}: cannot read: {cause}", name.display())),
    };
    if found == *expected {
        return None;
    }
    let (found, expected) = (String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
    let lines = found.lines().zip(expected.lines()).enumerate().find(|(_, (found, expected))| found != expected);
    Some(match lines {
        Some((line, (found, expected))) if !found.contains('\0') && found.len() + expected.len() < 400 => {
            format!("{} line {}: found {:?}, expected {:?}", name.display(), line + 1, found.trim(), expected.trim())
        }
        _ => format!("{} differs", name.display()),
    })
}
