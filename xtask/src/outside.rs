//! A command line as a function of text: for the fuzz target, which knows nothing else of this crate.

use crate::cli::{Cli, Command};
use anyhow::Result;
use clap::Parser;
use superlinear_experiments::parameters;
use superlinear_nets::{Architecture, ImageShape};

/// A command line, without the name of the program: parsed, and planned where it names runs or parameters.
///
/// # Errors
/// When it is none, or names what there is not.
///
/// # Panics
/// If the command that the results give for a request asks for something else.
pub fn command_line(line: &str) -> Result<()> {
    let parse = |line: &str| Cli::try_parse_from(std::iter::once("xtask").chain(line.split_whitespace()));
    match parse(line)?.command {
        // A plan is a file, which this does not read.
        Command::Reproduce(args) if !args.has_plan() => {
            let request = args.request()?;
            if let Some(shard) = args.shard {
                shard.resolve(|_| None)?.of(&request.runs);
            }
            let again = args.command();
            let words = again.strip_prefix("cargo xtask ").expect("a command of this program");
            match parse(words).map(|cli| cli.command) {
                Ok(Command::Reproduce(args)) => assert_eq!(args.request()?, request, "{again}"),
                other => panic!("{again}: {other:?}"),
            }
        }
        Command::Spectrum(args) => {
            let shape = ImageShape { channels: 3, height: 8, width: 8 };
            parameters::select(&Architecture::paper_cnn(shape).expect("a valid network"), &args.params)?;
        }
        _ => {}
    }
    Ok(())
}
