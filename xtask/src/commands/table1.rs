//! `cargo xtask table1`: Table 1 drawn from what is stored of its runs.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use superlinear_experiments::accounted::accounted;
use superlinear_report::table1::{self, StoredRun, TableOne};
use superlinear_store::atomic;

/// Arguments of `table1`.
#[derive(Debug, clap::Args)]
pub(crate) struct Table1Args {
    /// Folder of the stored runs
    #[arg(long, value_name = "DIR", default_value = "results/table1")]
    from: PathBuf,
    /// First store the finished runs of these results, for example out/paper
    #[arg(long, value_name = "DIR", num_args = 1..)]
    add: Vec<PathBuf>,
    /// Also draw γ against the number of directions into this folder, as SVG and PNG
    #[arg(long, value_name = "DIR")]
    figure: Option<PathBuf>,
    /// Put the table into this page, between its two comments, and do not print it
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When results or stored runs cannot be read, seeds differ in more than the seed, or something cannot be written.
pub(crate) fn run(args: &Table1Args) -> Result<()> {
    for results in &args.add {
        add(results, &args.from)?;
    }
    let table = TableOne::read(&args.from)?;
    let text = table1::markdown(&table)?;
    match &args.page {
        None => write!(std::io::stdout(), "{text}").context("cannot write to standard output")?,
        Some(page) => {
            let found = std::fs::read_to_string(page).with_context(|| format!("{}: cannot read", page.display()))?;
            let found = table1::page::with_block(&found, &text).with_context(|| page.display().to_string())?;
            atomic::write(page, found.as_bytes())?;
        }
    }
    if let Some(folder) = &args.figure {
        for (name, bytes) in table1::figure_files(&table)? {
            atomic::write(&folder.join(name), &bytes)?;
        }
    }
    Ok(())
}

/// Stores the finished runs of `results`, and names those that are none of the table's.
fn add(results: &Path, into: &Path) -> Result<()> {
    let found = accounted(results)?;
    let mut out = std::io::stderr();
    for run in &found.runs {
        match StoredRun::of(run) {
            Ok(stored) => {
                stored.write(into)?;
                writeln!(out, "stored: {}", stored.spec.id())?;
            }
            Err(why) => writeln!(out, "left out: {why:#}")?,
        }
    }
    for unfinished in &found.unfinished {
        writeln!(out, "left out: {unfinished}")?;
    }
    Ok(())
}
