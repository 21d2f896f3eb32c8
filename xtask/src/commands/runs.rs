//! `cargo xtask runs`: what is stored of runs, for a person: which there are, how far, how large, and whether they are
//! intact.

use anyhow::{Result, bail};
use std::io::Write;
use std::path::PathBuf;
use superlinear_experiments::cost::human_bytes;
use superlinear_experiments::garbage::{Sweep, Unfinished, sweep};
use superlinear_experiments::stored::{
    FileKind, check, entries, in_use, kind_of, name_of, progress, results_under, runs_in, size_of,
};

/// Arguments of `runs`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
    /// Folder of the results: of one profile or share, or of all
    #[arg(long, global = true, value_name = "DIR", default_value = "out")]
    out: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum RunsCommand {
    /// Every run: how far it is, how large, whether a process works on it
    List,
    /// Every record of the runs whose names begin so
    Show {
        /// A run's id, or the beginning of its folder's name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Read every record and say which are damaged or do not belong; changes nothing
    Verify,
    /// Remove what no result needs: files set aside, leftovers of dead processes, and runs, layers and matrices that
    /// the finished results beside them do not use
    Gc {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        /// Also what requests have left that were begun and never finished
        #[arg(long)]
        unfinished: bool,
    },
}

/// Runs one of the subcommands.
///
/// # Errors
/// When there are no runs, a folder cannot be read or changed, or `verify` finds damage.
pub(crate) fn run(args: &RunsArgs) -> Result<()> {
    let folders = results_under(&args.out)?;
    match &args.command {
        RunsCommand::List => list(&folders),
        RunsCommand::Show { name } => show(&folders, name),
        RunsCommand::Verify => verify(&folders),
        RunsCommand::Gc { dry_run, unfinished } => {
            let what = if *dry_run { Sweep::List } else { Sweep::Remove };
            gc(&folders, what, if *unfinished { Unfinished::Drop } else { Unfinished::Keep })
        }
    }
}

/// Prints rows under a header, columns as wide as they need to be; the first is flush left, the others right.
fn print_table(header: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let widths: Vec<usize> = (0..header.len())
        .map(|k| rows.iter().map(|row| row[k].chars().count()).chain([header[k].len()]).max().unwrap_or(0))
        .collect();
    let mut out = std::io::stdout().lock();
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(k, (cell, &width))| if k == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn list(folders: &[PathBuf]) -> Result<()> {
    let mut rows = Vec::new();
    let mut total = 0;
    for results in folders {
        for run in runs_in(results)? {
            let files = entries(&run)?;
            let bytes: u64 = files.iter().map(|file| size_of(file)).sum();
            let aside = files.iter().filter(|file| matches!(kind_of(file), FileKind::SetAside)).count();
            total += bytes;
            let (training, layers) = progress(results, &run);
            rows.push(vec![
                name_of(&run),
                training,
                layers,
                human_bytes(bytes as f64),
                aside.to_string(),
                if in_use(&run)? { "yes" } else { "no" }.to_owned(),
                results.display().to_string(),
            ]);
        }
    }
    print_table(&["run", "training", "layers", "size", "set aside", "in use", "in"], &rows)?;
    writeln!(std::io::stdout(), "{} runs, {}", rows.len(), human_bytes(total as f64))?;
    Ok(())
}

fn show(folders: &[PathBuf], name: &str) -> Result<()> {
    let mut shown = false;
    for results in folders {
        for run in runs_in(results)?.into_iter().filter(|run| name_of(run).starts_with(name)) {
            shown = true;
            writeln!(std::io::stdout(), "{}", run.display())?;
            let rows = entries(&run)?.into_iter().map(|file| {
                let size = human_bytes(size_of(&file) as f64);
                let [what, by] = match check(&run, &file) {
                    Ok((kind, by)) => [kind, format!("{} {}", by.version, by.commit.get(..10).unwrap_or(&by.commit))],
                    Err(defect) => [defect, String::new()],
                };
                vec![name_of(&file), size, what, by]
            });
            print_table(&["file", "size", "what", "made by"], &rows.collect::<Vec<_>>())?;
        }
    }
    if !shown {
        bail!("no run is called {name:?}; `cargo xtask runs list` shows them");
    }
    Ok(())
}

fn verify(folders: &[PathBuf]) -> Result<()> {
    let (mut n_records, mut bytes) = (0, 0);
    let mut defects = Vec::new();
    for results in folders {
        for run in runs_in(results)? {
            for file in entries(&run)? {
                // What has been set aside, or left by a dead process, is not read by anything.
                if let FileKind::Record | FileKind::Foreign = kind_of(&file) {
                    n_records += 1;
                    bytes += size_of(&file);
                    defects.extend(check(&run, &file).err().map(|defect| format!("{}: {defect}", file.display())));
                }
            }
        }
    }
    if !defects.is_empty() {
        bail!("{} of {n_records} files: {}", defects.len(), defects.join("; "));
    }
    writeln!(std::io::stdout(), "{n_records} records are intact, {}", human_bytes(bytes as f64))?;
    Ok(())
}

fn gc(folders: &[PathBuf], what: Sweep, unfinished: Unfinished) -> Result<()> {
    let (mut n_files, mut bytes) = (0, 0);
    let mut out = std::io::stdout().lock();
    for results in folders {
        let needless = sweep(results, what, unfinished)?;
        n_files += needless.files.len();
        bytes += needless.bytes;
        if needless.kept_for_requests > 0 {
            let (n, dir) = (needless.kept_for_requests, results.display());
            writeln!(out, "{dir}: {n} runs are kept for requests that are not finished; --unfinished drops them")?;
        }
        for file in &needless.files {
            writeln!(out, "{}", file.display())?;
        }
    }
    let did = match what {
        Sweep::List => "would go",
        Sweep::Remove => "removed",
    };
    writeln!(out, "{n_files} files, {}: {did}", human_bytes(bytes as f64))?;
    Ok(())
}
