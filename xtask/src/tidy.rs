//! `cargo xtask tidy`: the documents and the tree agree.

mod citations;
mod crate_graph;
mod line_width;

use crate::workspace;
use anyhow::{Context, Result, bail};
use citations::{Definitions, PAGE};
use crate_graph::{CrateGraph, MAP};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `tidy`.
#[derive(Debug, clap::Args)]
pub(crate) struct TidyArgs {
    /// Only print the arrows between the crates, as ARCHITECTURE.md lists them
    #[arg(long)]
    graph: bool,
}

/// Runs the command.
///
/// # Errors
/// When a check finds something, or there is no checkout.
pub(crate) fn run(args: &TidyArgs) -> Result<()> {
    if !args.graph {
        return check();
    }
    let graph = CrateGraph::of_workspace(&workspace::root()?)?;
    write!(std::io::stdout(), "{graph}").context("cannot write to standard output")
}

/// Runs every check on the checkout around the current folder and fails with all findings at once.
///
/// # Errors
/// When a check finds something, or there is no checkout.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root()?;
    let mut findings = findings_in(&root)?;
    CrateGraph::of_workspace(&root)?.check(&read(&root.join(MAP))?, &mut findings);
    if findings.is_empty() { Ok(()) } else { bail!("tidy found:\n  {}", findings.join("\n  ")) }
}

/// What the checks of single files find in the checkout at `root`.
fn findings_in(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    crates_are_on_the_map(root, &mut findings)?;
    packages_carry_the_licences(root, &mut findings)?;
    let mathematics = Definitions::of_page(&read(&root.join(PAGE))?, &mut findings);
    for file in files(root)? {
        let text = read(&file)?;
        let path = file.strip_prefix(root).unwrap_or(&file);
        let name = path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        if has_extension(&file, "rs") {
            if !text.starts_with("//!") {
                findings.push(format!("{name}: opens without a `//!` line that says what it is"));
            }
            let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
            if before_tests > 500 {
                findings.push(format!("{name}: {before_tests} lines before tests; look for the second idea"));
            }
        }
        if !has_extension(&file, "py") {
            mathematics.check(&name, &text, &mut findings);
        }
        line_width::check(&name, &text, &mut findings);
    }
    Ok(findings)
}

/// Every crate has its line in ARCHITECTURE.md and its README, and nothing else is listed there.
fn crates_are_on_the_map(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let map = read(&root.join(MAP))?;
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

/// Sources and documents: Rust, Python and Markdown files, those at the root included.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> =
        ["crates", "data", "xtask", "tests", "benches", "fuzz", "docs"].map(|name| root.join(name)).to_vec();
    let mut files: Vec<PathBuf> = list(root)?.into_iter().filter(|path| has_extension(path, "md")).collect();
    while let Some(folder) = folders.pop() {
        for path in list(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if ["rs", "py", "md"].iter().any(|known| has_extension(&path, known)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot list", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{}: cannot read", file.display()))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_found_tidy_or_every_fault_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for folder in ["xtask", "tests", "benches", "fuzz"] {
            write(&format!("{folder}/lib.rs"), "//! A folder.\n");
        }
        write("ARCHITECTURE.md", "| `crates/nets` | networks |\n");
        write("crates/nets/README.md", "Networks.\n");
        write("data/README.md", "Data.\n");
        for folder in ["", "crates/nets/"] {
            write(&format!("{folder}LICENSE-MIT"), "MIT\n");
            write(&format!("{folder}LICENSE-APACHE"), "Apache\n");
        }
        write("docs/math.md", "## 1. Objects\n\n**[1]** one\n");
        let cite = |what: &str| format!("//! Networks, by {} {what}.\n", citations::WORD);
        write("crates/nets/src/lib.rs", &cite("[1]"));
        assert_eq!(findings_in(dir.path()).unwrap(), [""; 0]);

        write("crates/nets/src/lib.rs", &cite("[2]"));
        write("README.md", &cite("§2"));
        write("crates/nets/LICENSE-MIT", "another\n");
        write("crates/plots/LICENSE-APACHE", "Apache\n");
        write("crates/plots/LICENSE-MIT", "MIT\n");
        write("crates/plots/src/lib.rs", &format!("// {}", "plots ".repeat(20)));
        let findings = findings_in(dir.path()).unwrap();
        let expected = [
            "crates/plots: no README.md",
            "ARCHITECTURE.md: no line for `crates/plots`",
            "crates/nets/LICENSE-MIT: expected a copy of LICENSE-MIT at the root",
            "README.md:1: §2 is not in docs/math.md",
            "crates/nets/src/lib.rs:1: [2] is not in docs/math.md",
            "crates/plots/src/lib.rs: opens without a `//!` line that says what it is",
            "crates/plots/src/lib.rs:1: 123 characters, at most 120",
        ];
        assert_eq!(findings, expected);
    }
}
