//! What composes the crates: which runs the paper makes, and how their numbers are shown.
//!
//! How a number is computed is the crates' business; this library only says which, and draws, tabulates and reports
//! them. `cargo xtask --help` lists the commands.
#![allow(non_snake_case)]

mod ci;
mod claims;
mod cli;
mod data;
mod estimate;
mod experiment;
mod export;
mod failure;
mod finished_run;
mod fits;
mod headline;
mod identity;
mod interrupt;
mod merge;
mod outputs;
pub mod outside;
mod parameters;
mod part;
mod plan;
mod progress;
mod provenance;
mod publish;
mod record;
mod report;
mod reproduce;
mod resample;
mod run_dir;
mod runs;
mod schedule;
mod shard;
mod spectral;
mod spectrum;
mod summary;
mod tidy;
mod verify;
mod work;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

/// Parses the command line and runs its command. Errors go to standard error in one line.
pub fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<interrupt::Interrupted>() => {
            report_error(&format!("{error}"));
            ExitCode::from(130)
        }
        Err(error) => {
            report_error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr)]
fn report_error(line: &str) {
    eprintln!("{line}");
}
