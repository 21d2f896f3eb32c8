//! `cargo xtask test`, `bench`, `package` and `ci`: the same commands for a person and for a gate.

use crate::commands::python;
use crate::{tidy, workspace};
use anyhow::{Context, Result, bail};
use std::io::Write as _;
use std::process::Command;

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Also run the slow tests
    #[arg(long)]
    pub(crate) slow: bool,
    /// Passed on to the test binaries, for example a name to filter by
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Passed on to criterion, for example a name to filter by
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// Set for tests that take minutes.
const SLOW: &str = "SUPERLINEAR_SLOW";

/// Runs every test, in release: the numerics would take an hour without optimisation.
///
/// # Errors
/// When a test fails or cargo cannot be run.
pub(crate) fn test(slow: bool, args: &[String]) -> Result<()> {
    let mut command = cargo(&["test", "--workspace", "--release"])?;
    if slow {
        command.env(SLOW, "1");
    }
    if !args.is_empty() {
        command.arg("--").args(args);
    }
    finish(command)
}

/// Runs the benches.
///
/// # Errors
/// When a bench fails or cargo cannot be run.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    let mut command = cargo(&["bench", "--package", "superlinear-benches"])?;
    if !args.is_empty() {
        command.arg("--").args(args);
    }
    finish(command)
}

/// Members that are not for others to take.
const UNPUBLISHED: [&str; 5] =
    ["superlinear-benches", "superlinear-fuzz", "superlinear-python", "superlinear-tests", "xtask"];

/// Packages every crate and builds each from its package, its siblings from theirs: with its default features, with
/// none and with all. What was compiled of their dependencies is kept between runs.
///
/// # Errors
/// When a crate cannot be packaged, or does not build from what is in its package.
pub(crate) fn package() -> Result<()> {
    // Cargo keeps what it unpacks by the folder's name: in one used before, crates are built against older packages.
    let built = workspace::built_in()?;
    let fresh = tempfile::Builder::new().prefix("packages-").tempdir_in(&built);
    let fresh = fresh.with_context(|| format!("{}: cannot create a folder", built.display()))?;
    for features in ["--features=", "--no-default-features", "--all-features"] {
        let mut command = cargo(&["package", "--workspace", "--allow-dirty", "--quiet", features])?;
        command.args(UNPUBLISHED.iter().flat_map(|name| ["--exclude", name]));
        command.env("CARGO_TARGET_DIR", fresh.path()).env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        finish(command)?;
    }
    Ok(())
}

/// Formatting, lints, tidy, tests, documentation, packages and the Python package, cheapest first.
///
/// # Errors
/// When one of them fails.
pub(crate) fn run() -> Result<()> {
    finish(cargo(&["fmt", "--all", "--check"])?)?;
    tidy::check()?;
    finish(cargo(&["clippy", "--workspace", "--all-targets", "--release", "--quiet", "--", "--deny", "warnings"])?)?;
    test(false, &[])?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--release", "--quiet"])?;
    docs.env("RUSTDOCFLAGS", "--deny warnings");
    finish(docs)?;
    // What no other step compiles.
    let fetch =
        ["clippy", "--package", "xtask", "--features", "fetch", "--release", "--quiet", "--", "--deny", "warnings"];
    finish(cargo(&fetch)?)?;
    package()?;
    if python::interpreter().is_none() {
        let left_out = "no Python of 3.10 or later with venv: the Python package is left out";
        return writeln!(std::io::stderr(), "{left_out}").context("cannot write to standard error");
    }
    python::test(&[])
}

/// Cargo, to be run in the checkout around the current folder.
fn cargo(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(workspace::cargo());
    command.args(args).current_dir(workspace::root()?);
    Ok(command)
}

fn finish(mut command: Command) -> Result<()> {
    let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let status = command.status().with_context(|| format!("cannot run cargo {}", words.join(" ")))?;
    if !status.success() {
        bail!("cargo {} failed", words.join(" "));
    }
    Ok(())
}
