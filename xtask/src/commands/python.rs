//! `cargo xtask python`: the Python package, built and tested in an environment of its own.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Arguments of `python`.
#[derive(Debug, clap::Args)]
pub(crate) struct PythonArgs {
    /// Passed on to pytest, for example `-k moments`
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// What makes an environment, in order of preference. Windows has the second name alone.
const INTERPRETERS: [&str; 2] = ["python3", "python"];

/// Exits with 0 where the package can be built and tested.
const FITS: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// An interpreter that can make the environment.
pub(crate) fn interpreter() -> Option<&'static str> {
    let fits = |name: &&str| Command::new(name).args(["-c", FITS]).output().is_ok_and(|found| found.status.success());
    INTERPRETERS.into_iter().find(fits)
}

/// Builds the package into `target/python`, with what its tests need from PyPI, and runs them.
///
/// # Errors
/// When there is no Python of 3.10 or later with `venv`, or when a step fails.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let root = workspace::root()?;
    let environment = root.join("target/python");
    let python = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        let interpreter = interpreter().context("no Python of 3.10 or later with venv: install one")?;
        finish(Command::new(interpreter).args(["-m", "venv"]).arg(&environment))?;
    }
    let package = root.join("crates/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    finish(Command::new(&python).args(pip).arg(extra(&package, "test")))?;
    finish(Command::new(&python).args(["-m", "pytest", "--quiet"]).arg(package.join("tests")).args(args))
}

/// The package in `folder` as pip's requirement, with what its `extra` lists.
fn extra(folder: &Path, extra: &str) -> String {
    format!("{}[{extra}]", folder.display())
}

fn finish(command: &mut Command) -> Result<()> {
    let words = format!("{command:?}");
    if !command.status().with_context(|| format!("cannot run {words}"))?.success() {
        bail!("{words} failed");
    }
    Ok(())
}
