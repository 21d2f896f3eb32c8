//! The checkout that a command acts on: the one that it is called in.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The root of the checkout around the current folder.
///
/// # Errors
/// When there is none.
pub(crate) fn root() -> Result<PathBuf> {
    root_around(&std::env::current_dir().context("cannot tell the current folder")?)
}

/// The cargo that runs this program, or the one on the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Where this program was built: cargo's target folder.
///
/// # Errors
/// When the program cannot tell where it stands.
pub(crate) fn built_in() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program stands")?;
    program.ancestors().nth(2).map(Path::to_owned).with_context(|| format!("{}: not built by cargo", program.display()))
}

/// The nearest of `folder` and those above it that holds this project's workspace.
fn root_around(folder: &Path) -> Result<PathBuf> {
    for candidate in folder.ancestors() {
        let manifest = candidate.join("Cargo.toml");
        if manifest.is_file() {
            let text =
                std::fs::read_to_string(&manifest).with_context(|| format!("{}: cannot read", manifest.display()))?;
            if is_ours(&text) {
                return Ok(candidate.to_owned());
            }
        }
    }
    bail!("{}: no superlinear workspace here or above", folder.display())
}

/// Whether a manifest is that of a workspace with the member `xtask` and crates of this project.
fn is_ours(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.by_ref().any(|line| line == "[workspace]")
        && lines.take_while(|line| !line.starts_with('[')).any(|line| line.contains("\"xtask\""))
        && manifest.contains("superlinear-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const OURS: &str = "[workspace]\nmembers = [\n    \"crates/*\",\n    \"xtask\",\n]\n\n\
                        [workspace.dependencies]\nsuperlinear-nets = { path = \"crates/nets\" }\n";

    #[test]
    fn the_checkout_around_a_folder_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("crates/nets/src");
        fs::create_dir_all(&inner).unwrap();
        fs::write(dir.path().join("Cargo.toml"), OURS).unwrap();
        // A crate's own manifest and a foreign workspace on the way are not it.
        fs::write(dir.path().join("crates/nets/Cargo.toml"), "[package]\nname = \"superlinear-nets\"\n").unwrap();
        fs::write(dir.path().join("crates/Cargo.toml"), "[workspace]\nmembers = [\"nets\", \"xtask\"]\n").unwrap();
        assert_eq!(root_around(&inner).unwrap(), dir.path());
        assert_eq!(root_around(dir.path()).unwrap(), dir.path());
    }

    #[test]
    fn none_is_one_line_that_names_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let error = format!("{:#}", root_around(dir.path()).unwrap_err());
        assert_eq!(error, format!("{}: no superlinear workspace here or above", dir.path().display()));
    }

    #[test]
    fn this_checkout_is_ours() {
        assert!(is_ours(include_str!("../../Cargo.toml")));
        assert!(!is_ours(include_str!("../Cargo.toml")));
        assert!(!is_ours(
            "[workspace]\nmembers = [\"a\"]\n[workspace.dependencies]\nsuperlinear-x = \"1\" # \"xtask\"\n"
        ));
    }
}
