//! The arrows between the workspace's crates: printed from `cargo metadata`, and compared with ARCHITECTURE.md.
//!
//! ARCHITECTURE.md lists them in a code block whose language is `arrows`, one crate a line: `noise -> curvature,
//! nets`, and a crate without arrows by its name alone. The list has normal dependencies only: what tests and build
//! scripts use says nothing about how the crates stand on each other.

use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Command;

/// The page that lists the arrows.
pub(super) const MAP: &str = "ARCHITECTURE.md";
/// What stands before every package's name and is left out here.
const PREFIX: &str = "superlinear-";

/// Each workspace member with the members that it depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CrateGraph {
    /// Normal dependencies.
    arrows: BTreeMap<String, BTreeSet<String>>,
    /// What only tests, benches, examples or build scripts use.
    for_tests: BTreeMap<String, BTreeSet<String>>,
}

impl CrateGraph {
    /// The graph of the workspace at `root`.
    ///
    /// # Errors
    /// When cargo cannot be run or fails.
    pub(super) fn of_workspace(root: &Path) -> Result<Self> {
        let args = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
        let mut command = Command::new(workspace::cargo());
        let output = command.args(args).current_dir(root).output().context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Self::of_metadata(&serde_json::from_slice(&output.stdout).context("cargo metadata: not JSON")?)
    }

    /// The graph that the JSON of `cargo metadata --no-deps` describes.
    fn of_metadata(metadata: &Value) -> Result<Self> {
        let packages = metadata["packages"].as_array().context("cargo metadata: no packages")?;
        let short = |of: &Value| -> Result<String> {
            let name = of["name"].as_str().context("cargo metadata: no name")?;
            Ok(name.strip_prefix(PREFIX).unwrap_or(name).to_owned())
        };
        let members = packages.iter().map(short).collect::<Result<BTreeSet<_>>>()?;
        let (mut arrows, mut for_tests) = (BTreeMap::new(), BTreeMap::new());
        for package in packages {
            let dependencies = package["dependencies"].as_array().context("cargo metadata: no dependencies")?;
            let (mut normal, mut other) = (BTreeSet::new(), BTreeSet::new());
            for dependency in dependencies {
                let name = short(dependency)?;
                if members.contains(&name) {
                    // The kind of a normal dependency is null.
                    if dependency["kind"].is_null() { &mut normal } else { &mut other }.insert(name);
                }
            }
            other.retain(|name| !normal.contains(name));
            arrows.insert(short(package)?, normal);
            for_tests.insert(short(package)?, other);
        }
        Ok(Self { arrows, for_tests })
    }

    /// The crates from the top of the picture to its bottom: each stands above all that it depends on.
    fn top_down(&self) -> Vec<&str> {
        // A crate's height is the longest way down from it. Cargo allows no circle of normal dependencies.
        fn height(graph: &CrateGraph, name: &str) -> usize {
            graph.arrows[name].iter().map(|below| 1 + height(graph, below)).max().unwrap_or(0)
        }
        let mut names: Vec<&str> = self.arrows.keys().map(String::as_str).collect();
        names.sort_by_key(|name| (std::cmp::Reverse(height(self, name)), *name));
        names
    }

    /// The line of one crate in the list of arrows.
    fn line(&self, name: &str) -> String {
        let below = &self.arrows[name];
        if below.is_empty() { name.to_owned() } else { format!("{name} -> {}", joined(below)) }
    }

    /// Finds where the list in ARCHITECTURE.md differs from the graph.
    pub(super) fn check(&self, map: &str, findings: &mut Vec<String>) {
        let Some((_, block)) = map.split_once("```arrows\n") else {
            findings.push(format!("{MAP}: no code block `arrows`; `cargo xtask tidy --graph` prints it"));
            return;
        };
        let listed: Vec<&str> = block.lines().take_while(|line| *line != "```").collect();
        let lines: Vec<String> = self.top_down().into_iter().map(|name| self.line(name)).collect();
        let missing = lines.iter().filter(|line| !listed.contains(&line.as_str()));
        findings.extend(missing.map(|line| format!("{MAP}: the manifests say `{line}`, the arrows do not")));
        let wrong = listed.iter().filter(|line| !lines.iter().any(|known| known == *line));
        findings.extend(wrong.map(|line| format!("{MAP}: the arrows say `{line}`, the manifests do not")));
    }
}

/// The list as ARCHITECTURE.md has it, then what tests use besides.
impl fmt::Display for CrateGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "```arrows")?;
        for name in self.top_down() {
            writeln!(f, "{}", self.line(name))?;
        }
        writeln!(f, "```")?;
        for name in self.top_down() {
            let below = &self.for_tests[name];
            if !below.is_empty() {
                writeln!(f, "tests of {name} also use {}", joined(below))?;
            }
        }
        Ok(())
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Three crates; `b` also tests itself with `a`'s neighbour `c`.
    fn graph() -> CrateGraph {
        let dependency = |name: &str, kind: Value| json!({ "name": name, "kind": kind });
        let metadata = json!({ "packages": [
            { "name": "superlinear-a", "dependencies": [dependency("rand", Value::Null)] },
            { "name": "xtask", "dependencies": [dependency("superlinear-b", Value::Null)] },
            { "name": "superlinear-b", "dependencies": [
                dependency("superlinear-a", Value::Null),
                dependency("superlinear-a", json!("dev")),
                dependency("superlinear-c", json!("dev")),
            ] },
            { "name": "superlinear-c", "dependencies": [] },
        ] });
        CrateGraph::of_metadata(&metadata).unwrap()
    }

    const LIST: &str = "```arrows\nxtask -> b\nb -> a\na\nc\n```\n";

    #[test]
    fn members_are_listed_top_down_and_what_tests_use_apart() {
        assert_eq!(graph().to_string(), format!("{LIST}tests of b also use c\n"));
    }

    #[test]
    fn a_list_that_differs_from_the_manifests_is_found() {
        let found = |map: &str| {
            let mut findings = Vec::new();
            graph().check(map, &mut findings);
            findings
        };
        assert_eq!(found(&format!("# Map\n\n{LIST}\nmore -> text\n")), [""; 0]);
        assert_eq!(found("# Map\n").len(), 1);
        // An arrow that the manifests lack, one that the list lacks, and a crate that they lack.
        for wrong in ["b -> a, c", "b", "d"] {
            let expected = [
                format!("{MAP}: the manifests say `b -> a`, the arrows do not"),
                format!("{MAP}: the arrows say `{wrong}`, the manifests do not"),
            ];
            assert_eq!(found(&LIST.replace("b -> a", wrong)), expected);
        }
    }

    #[test]
    fn the_workspace_has_a_graph() {
        let graph = CrateGraph::of_workspace(&workspace::root().unwrap()).unwrap();
        assert!(graph.arrows["xtask"].contains("report") && graph.arrows["report"].contains("experiments"));
    }
}
