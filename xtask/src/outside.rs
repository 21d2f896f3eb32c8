//! What people and other programs hand to this one, as functions of bytes: for the fuzz targets, which know nothing else of it.
//!
//! Each reads as the commands do, up to where their work would begin.

use crate::cli::{Cli, Command};
use crate::parameters;
use crate::part::Part;
use crate::plan;
use crate::record::{AboutRecord, Checkpoint, LayerRecord, MomentsRecord, StateRecord, TrainingRecord};
use crate::reproduce::request_of;
use crate::run_dir::Kept;
use anyhow::Result;
use clap::Parser;

use superlinear_nets::{Architecture, ImageShape};
use superlinear_store::json;
use superlinear_store::record::{self, Record};

/// Kind and version of every record that a run's folder may hold.
pub const RUN_RECORDS: [(&str, u32); 6] = [
    (AboutRecord::KIND, AboutRecord::VERSION),
    (TrainingRecord::KIND, TrainingRecord::VERSION),
    (StateRecord::KIND, StateRecord::VERSION),
    (Checkpoint::KIND, Checkpoint::VERSION),
    (LayerRecord::KIND, LayerRecord::VERSION),
    (MomentsRecord::KIND, MomentsRecord::VERSION),
];

/// A run's record, whichever it is, written again; `None` if it is none.
pub fn run_record(bytes: &[u8]) -> Option<Vec<u8>> {
    fn again<T: Record>(bytes: &[u8]) -> Option<Vec<u8>> {
        record::from_bytes::<Kept<T>>(bytes).ok().and_then(|kept| record::to_bytes(&kept).ok())
    }
    again::<AboutRecord>(bytes)
        .or_else(|| again::<TrainingRecord>(bytes))
        .or_else(|| again::<StateRecord>(bytes))
        .or_else(|| again::<Checkpoint>(bytes))
        .or_else(|| again::<LayerRecord>(bytes))
        .or_else(|| again::<MomentsRecord>(bytes))
}

/// A `part.json`, its runs planned, written again.
///
/// # Errors
/// When it is none, or asks for runs that there are not.
pub fn part(json: &[u8]) -> Result<Vec<u8>> {
    let part = Part::from_json(json)?;
    part.runs()?;
    Ok(json::bytes(&part)?)
}

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
        Command::Reproduce(args) => {
            let request = request_of(&args);
            let runs = plan::runs(&request)?;
            if let Some(shard) = args.shard {
                shard.resolve(|_| None)?.of(&runs);
            }
            let again = request.command();
            let words = again.strip_prefix("cargo xtask ").expect("a command of this program");
            match parse(words).map(|cli| cli.command) {
                Ok(Command::Reproduce(args)) => assert_eq!(request_of(&args), request, "{again}"),
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
