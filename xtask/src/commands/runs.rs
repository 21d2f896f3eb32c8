//! `cargo xtask runs`: what is stored of runs, for a person: which there are, how far, how large, and whether they are intact.

mod gc;

use crate::estimate::human_bytes;
use crate::identity::Key;
use crate::plan::Profile;
use crate::provenance::Provenance;
use crate::record::{AboutRecord, Checkpoint, LayerRecord, MomentsRecord, StateRecord, TrainingRecord};
use crate::reproduce::{RUNS, SHARDS};
use crate::run_dir::{Kept, LOCKS, RECORD, RunDir, layers_of};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::io::Write;
use std::path::{Path, PathBuf};
use superlinear_store::atomic::{SET_ASIDE, UNFINISHED_SUFFIX};
use superlinear_store::lock;
use superlinear_store::record::{self, Record};

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
    /// Remove what no result needs: files set aside, leftovers of dead processes, and runs, layers and matrices that the
    /// finished results beside them do not use
    Gc {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
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
        RunsCommand::Gc { dry_run } => gc::run(&folders, *dry_run),
    }
}

/// Folders that hold runs: `out`, a profile's in it, and the shares of these.
fn results_under(out: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![out.to_owned()];
    folders.extend(Profile::value_variants().iter().map(|profile| out.join(profile.to_string())));
    for folder in folders.clone() {
        folders.extend(entries(&folder.join(SHARDS))?);
    }
    folders.retain(|folder| folder.join(RUNS).is_dir());
    if folders.is_empty() {
        bail!("{}: no runs; `cargo xtask reproduce` makes some", out.display());
    }
    Ok(folders)
}

/// What is in a folder, by name; nothing if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let cannot = || format!("{}: cannot read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    paths.sort();
    Ok(paths)
}

/// The runs' folders in a folder of results.
fn runs_in(results: &Path) -> Result<Vec<PathBuf>> {
    let mut runs = entries(&results.join(RUNS))?;
    runs.retain(|path| path.is_dir() && name_of(path) != LOCKS);
    Ok(runs)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a process works on the run in this folder.
///
/// # Errors
/// When the locks cannot be listed.
fn in_use(run: &Path) -> Result<bool> {
    let Some(runs) = run.parent() else { return Ok(false) };
    let prefix = format!("{}-", name_of(run));
    Ok(entries(&runs.join(LOCKS))?.iter().any(|path| name_of(path).starts_with(&prefix) && lock::is_held(path)))
}

fn size_of(path: &Path) -> u64 {
    // A file may go while it is looked at.
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// A file of a run's folder, by its name.
enum FileKind {
    Record,
    SetAside,
    Unfinished,
    Foreign,
}

fn kind_of(path: &Path) -> FileKind {
    let name = name_of(path);
    if name.contains(SET_ASIDE) {
        FileKind::SetAside
    } else if name.starts_with('.') && name.ends_with(UNFINISHED_SUFFIX) {
        FileKind::Unfinished
    } else if path.extension().is_some_and(|extension| extension == RECORD) {
        FileKind::Record
    } else {
        FileKind::Foreign
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

/// How far a run's training and analysis are, in words.
fn progress(results: &Path, run: &Path) -> (String, String) {
    let unknown = || ("damaged".to_owned(), "-".to_owned());
    let Ok(about) = record::read::<Kept<AboutRecord>>(&run.join(format!("run.{RECORD}"))) else { return unknown() };
    let AboutRecord { spec, data } = about.value;
    let dir = RunDir::of(&results.join(RUNS), &spec, &data);
    if dir.path() != run {
        return ("of another version".to_owned(), "-".to_owned());
    }
    if !dir.training().path().exists() {
        let epoch = dir.state().read().map_or(0, |state| state.history.len());
        return (format!("epoch {epoch} of {}", spec.epochs), "-".to_owned());
    }
    let Ok(training) = dir.training().read() else { return unknown() };
    let jobs = layers_of(&spec, &training);
    let done = jobs.iter().filter(|&&job| dir.layer(&spec, job).path().exists()).count();
    (format!("{} epochs", training.history.len()), format!("{done} of {}", jobs.len()))
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

/// The kind of a record and who made it, or what is wrong with the file.
fn check(run: &Path, file: &Path) -> std::result::Result<(String, Provenance), String> {
    match kind_of(file) {
        FileKind::Record => {}
        FileKind::SetAside => return Err("set aside".to_owned()),
        FileKind::Unfinished => return Err("left unfinished".to_owned()),
        FileKind::Foreign => return Err("no record".to_owned()),
    }
    // The error names the file, and so does whoever asks.
    let without_name = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        text.strip_prefix(&format!("{}: ", file.display())).unwrap_or(&text).to_owned()
    };
    let about = record::describe(file).map_err(|error| without_name(&error))?;
    let folder = name_of(run);
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    fn read<T: Record>(file: &Path) -> std::result::Result<(Key, Provenance), record::RecordError> {
        record::read::<Kept<T>>(file).map(|kept| (kept.key(), kept.by))
    }
    let (found, belongs_to) = match about.kind.as_str() {
        AboutRecord::KIND => (read::<AboutRecord>(file), &folder),
        TrainingRecord::KIND => (read::<TrainingRecord>(file), &folder),
        StateRecord::KIND => (read::<StateRecord>(file), &folder),
        Checkpoint::KIND => (read::<Checkpoint>(file), &folder),
        LayerRecord::KIND => (read::<LayerRecord>(file), &stem),
        MomentsRecord::KIND => (read::<MomentsRecord>(file), &stem),
        other => return Err(format!("a record of kind {other:?}, which no run has")),
    };
    let (key, by) = found.map_err(|error| without_name(&error))?;
    if !belongs_to.ends_with(&key.short()) {
        return Err("belongs to another run, or to other settings".to_owned());
    }
    Ok((format!("{} {}", about.kind, about.version), by))
}
