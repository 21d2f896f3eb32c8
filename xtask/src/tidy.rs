//! `cargo xtask tidy`: the documents and the tree agree.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the repository").to_owned()
}

/// Runs every check and fails with all findings at once.
///
/// # Errors
/// When a check finds something.
pub(crate) fn run() -> Result<()> {
    let root = root();
    let mut findings = Vec::new();
    crates_are_on_the_map(&root, &mut findings)?;
    packages_carry_the_licences(&root, &mut findings)?;
    for file in source_files(&root)? {
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        if !text.starts_with("//!") {
            findings.push(format!("{name}: opens without a `//!` line that says what it is"));
        }
        let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        if before_tests > 500 {
            findings.push(format!("{name}: {before_tests} lines before tests; look for the second idea"));
        }
    }
    if findings.is_empty() { Ok(()) } else { bail!("tidy found:\n  {}", findings.join("\n  ")) }
}

/// Every crate has its line in ARCHITECTURE.md and its README, and nothing else is listed there.
fn crates_are_on_the_map(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md: cannot read")?;
    let mut crates: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(root.join("crates")).context("crates: cannot list")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.join("README.md").is_file() {
            findings.push(format!("crates/{name}: no README.md"));
        }
        if !map.contains(&format!("`crates/{name}`")) {
            findings.push(format!("ARCHITECTURE.md: no line for `crates/{name}`"));
        }
        crates.push(name);
    }
    for mention in map.split("`crates/").skip(1) {
        let name = mention.split(['`', '/']).next().unwrap_or_default();
        if !crates.iter().any(|known| known == name) {
            findings.push(format!("ARCHITECTURE.md: `crates/{name}` is not in the tree"));
        }
    }
    Ok(())
}

/// Every package to be published has the two licences as they are, as files: links are none everywhere.
fn packages_carry_the_licences(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for folder in ["crates", "data"] {
        for entry in std::fs::read_dir(root.join(folder)).with_context(|| format!("{folder}: cannot list"))? {
            let package = entry?.path();
            if !package.is_dir() {
                continue;
            }
            for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
                let ours = std::fs::read(root.join(licence)).with_context(|| format!("{licence}: cannot read"))?;
                if std::fs::read(package.join(licence)).ok() != Some(ours) {
                    let name = package.strip_prefix(root).unwrap_or(&package).display();
                    findings.push(format!("{name}/{licence}: expected a copy of {licence} at the root"));
                }
            }
        }
    }
    Ok(())
}

fn source_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> =
        ["crates", "data", "xtask", "tests", "benches", "fuzz"].map(|name| root.join(name)).to_vec();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{}: cannot list", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
