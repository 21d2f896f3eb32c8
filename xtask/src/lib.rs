//! The command line of the project: it composes the crates, and keeps house.
//!
//! How a number is computed is the crates' business, which runs there are `superlinear-experiments`', how they are
//! shown `superlinear-report`'s. `cargo xtask --help` lists the commands.

mod cli;
mod commands;
mod interrupt;
pub mod outside;
mod plans;
mod provenance;
mod tidy;
mod voice;
mod workspace;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// Parses the command line and runs its command. Errors go to standard error in one line.
pub fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<superlinear_experiments::observer::Stopped>() => {
            report_error(&format!("{error}"));
            ExitCode::from(130)
        }
        Err(error) => {
            report_error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn report_error(line: &str) {
    // Where nobody listens, the exit status tells.
    let _ = writeln!(std::io::stderr(), "{line}");
}
