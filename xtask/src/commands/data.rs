//! `cargo xtask data`: the full data sets on this machine, and the files that are embedded.

use crate::workspace;
use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use superlinear_datasets::cache::{self, FileReport, FileState};
#[cfg(feature = "fetch")]
use superlinear_datasets::fetch::{FetchConfig, fetch};
use superlinear_datasets::import::{ImportReport, Outcome, import};
use superlinear_datasets::{DatasetName, Progress, embed, embed::EmbedReport, embedded};

/// The full data sets on this machine, and the files that are embedded.
#[derive(Debug, clap::Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
    /// Folder of the full data sets [default: $SUPERLINEAR_DATA_DIR, else `superlinear` in the platform's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum DataCommand {
    /// Show which original files are here, by name and length
    List,
    /// Take the original files from a local folder: plain, gzipped, or in the official archive of CIFAR-10
    Import {
        /// Folder that holds them, itself or in subfolders
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Which data sets [default: every one that is found]
        #[arg(value_name = "NAME")]
        names: Vec<DatasetName>,
    },
    /// Download the original files from their official hosts (in a build with `--features fetch`)
    Fetch {
        /// Which data sets [default: all: mnist, fashion-mnist, cifar10]
        #[arg(value_name = "NAME")]
        names: Vec<DatasetName>,
        /// Address of a folder to download from instead, for one data set
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,
    },
    /// Check the original files that are here by their SHA-256
    Verify {
        /// Which data sets must be here [default: check what there is]
        #[arg(value_name = "NAME")]
        names: Vec<DatasetName>,
    },
    /// Make the embedded files from the original files, and print their table for `data/README.md`
    Embed {
        /// Folder that holds the original files, itself or in subfolders
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Folder to write to, in a subfolder for each data set [default: `data` of this repository]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Which data sets [default: all that are embedded: mnist, cifar10]
        #[arg(value_name = "NAME")]
        names: Vec<DatasetName>,
    },
}

/// Runs one of the subcommands of `data`; the table goes to standard output, progress to standard error.
///
/// # Errors
/// When a file is wrong, missing though asked for, or cannot be read, written or downloaded.
pub(crate) fn run(args: DataArgs) -> Result<()> {
    let dir = || cache::directory(args.data_dir.as_deref());
    match args.command {
        DataCommand::List => print_files(&dir()?, &cache::list(&dir()?)),
        DataCommand::Import { from, names } => import_from(&from, &dir()?, &names),
        DataCommand::Fetch { names, base_url } => fetch_all(&dir()?, &names, base_url),
        DataCommand::Verify { names } => verify(&dir()?, &names),
        DataCommand::Embed { from, to, names } => {
            let to = match to {
                Some(to) => to,
                None => workspace::root()?.join("data"),
            };
            embed_files(&from, &to, &names)
        }
    }
}

fn import_from(from: &Path, dir: &Path, names: &[DatasetName]) -> Result<()> {
    let mut display = Display::new();
    let reports = import(from, dir, all_if_empty(names), &mut |event| display.show(event))?;
    display.finish();
    let is_anothers = |dataset: &DatasetName, file: &str| {
        let of_another = |report: &&ImportReport| report.dataset != *dataset && report.file == file;
        reports.iter().filter(of_another).any(|report| !matches!(report.outcome, Outcome::NotFound { .. }))
    };
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for dataset in all_if_empty(names) {
        let reports: Vec<_> = reports.iter().filter(|report| report.dataset == *dataset).collect();
        let found = reports.iter().filter(|report| !matches!(report.outcome, Outcome::NotFound { .. })).count();
        if found < reports.len() && (found > 0 || !names.is_empty()) {
            problems.push(format!("{dataset}: found {found} of {} original files", reports.len()));
        }
        for report in reports {
            let (outcome, detail) = match &report.outcome {
                Outcome::AlreadyThere => ("already there", String::new()),
                Outcome::Imported { from } => ("imported", from.display().to_string()),
                // A copy that belongs to another data set with files of these names is no news, unless this one was
                // asked for.
                Outcome::NotFound { .. } if names.is_empty() && found == 0 && is_anothers(dataset, &report.file) => {
                    ("not found", String::new())
                }
                Outcome::NotFound { refused } => ("not found", refused.join("; ")),
            };
            rows.push([dataset.to_string(), report.file.clone(), outcome.to_owned(), detail]);
        }
    }
    print_heading(dir)?;
    print_table(["data set", "file", "outcome", "from"], &rows)?;
    let none = reports.iter().all(|report| matches!(report.outcome, Outcome::NotFound { .. }));
    if none && problems.is_empty() {
        problems.push("found no original file of any data set".to_owned());
    }
    fail_if_any(&problems, &format!("{}: ", from.display()))
}

fn fetch_all(dir: &Path, names: &[DatasetName], base_url: Option<String>) -> Result<()> {
    if base_url.is_some() && names.len() != 1 {
        bail!("--base-url: found {} data sets, expected one: their files have the same names", names.len());
    }
    download(dir, names, base_url)
}

/// Downloads take a TLS library that nothing else needs and that costs a first build a minute.
#[cfg(not(feature = "fetch"))]
fn download(_: &Path, _: &[DatasetName], _: Option<String>) -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    bail!("this build cannot download; use `cargo run --release -p xtask --features fetch -- {}`", words.join(" "))
}

#[cfg(feature = "fetch")]
fn download(dir: &Path, names: &[DatasetName], base_url: Option<String>) -> Result<()> {
    let config = FetchConfig { base_url, ..FetchConfig::default() };
    let mut display = Display::new();
    let mut problems = Vec::new();
    // One that fails does not keep the others from coming.
    for &name in all_if_empty(names) {
        if let Err(error) = fetch(name, dir, &config, &mut |event| display.show(event)) {
            problems.push(error.to_string());
        }
    }
    display.finish();
    let reports = cache::list(dir);
    print_files(dir, &chosen(&reports, names))?;
    fail_if_any(&problems, "")
}

fn verify(dir: &Path, names: &[DatasetName]) -> Result<()> {
    let reports = chosen(&cache::verify(dir), names);
    print_files(dir, &reports)?;
    let mut problems = Vec::new();
    for dataset in all_if_empty(names) {
        let states: Vec<_> = reports.iter().filter(|r| r.dataset == *dataset).map(|r| &r.state).collect();
        let right = states.iter().filter(|state| ***state == FileState::Verified).count();
        let missing = states.iter().filter(|state| ***state == FileState::Missing).count();
        let wanted = !names.is_empty() || missing < states.len();
        if wanted && right < states.len() {
            problems.push(format!("{dataset}: found {right} right files, expected {}", states.len()));
        }
    }
    if names.is_empty() && reports.iter().all(|report| report.state == FileState::Missing) {
        problems.push(format!("{}: found no file of any data set", dir.display()));
    }
    fail_if_any(&problems, "")
}

fn embed_files(from: &Path, to: &Path, names: &[DatasetName]) -> Result<()> {
    let all: Vec<_> = embedded::SUBSETS.iter().map(|subset| subset.dataset).collect();
    let reports = embed::embed(from, to, if names.is_empty() { &all } else { names })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "| file | bytes | SHA-256 | bytes unpacked | SHA-256 unpacked |\n|---|---|---|---|---|")?;
    for EmbedReport { dataset, name, gzip_bytes, gzip_sha256, bytes, sha256 } in reports {
        writeln!(out, "| `{dataset}/{name}` | {gzip_bytes} | `{gzip_sha256}` | {bytes} | `{sha256}` |")?;
    }
    Ok(())
}

fn print_files(dir: &Path, reports: &[FileReport]) -> Result<()> {
    for subset in embedded::SUBSETS {
        let (train, test) = (subset.train_per_class, subset.test_per_class);
        writeln!(
            std::io::stdout(),
            "embedded: {}, {train} training and {test} test images of each class",
            subset.dataset
        )?;
    }
    print_heading(dir)?;
    let mut rows = Vec::new();
    for report in reports {
        let state = match &report.state {
            FileState::Missing => "missing".to_owned(),
            FileState::Present => "there".to_owned(),
            FileState::Verified => "verified".to_owned(),
            FileState::WrongSize { found } => format!("WRONG: found {found} bytes, expected {}", report.spec.bytes),
            FileState::WrongHash { found } => format!("WRONG: found SHA-256 {found}, expected {}", report.spec.sha256),
            FileState::Unreadable { reason } => format!("UNREADABLE: {reason}"),
        };
        rows.push([report.dataset.to_string(), report.spec.name.clone(), report.spec.bytes.to_string(), state]);
    }
    print_table(["data set", "file", "bytes", "state"], &rows)
}

fn print_heading(dir: &Path) -> Result<()> {
    writeln!(std::io::stdout(), "data folder: {}", dir.display())?;
    Ok(())
}

/// A table of left-aligned columns, numbers right-aligned.
fn print_table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let is_number = |cell: &str| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
    let mut widths = header.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = std::io::stdout().lock();
    let lines = std::iter::once(header.map(str::to_owned)).chain(rows.iter().cloned());
    for line in lines {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(&line) {
            let aligned = if is_number(cell) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            text.push_str(&aligned);
            text.push_str("  ");
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn fail_if_any(problems: &[String], prefix: &str) -> Result<()> {
    if problems.is_empty() { Ok(()) } else { bail!("{prefix}{}", problems.join("; ")) }
}

fn all_if_empty(names: &[DatasetName]) -> &[DatasetName] {
    if names.is_empty() { &DatasetName::ALL } else { names }
}

fn chosen(reports: &[FileReport], names: &[DatasetName]) -> Vec<FileReport> {
    let names = all_if_empty(names);
    reports.iter().filter(|report| names.contains(&report.dataset)).cloned().collect()
}

/// Progress on standard error: a bar on a terminal, else one plain line for what came and what failed.
struct Display {
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Display {
    fn new() -> Display {
        Display { bar: None, terminal: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, event: Progress<'_>) {
        match event {
            Progress::Started { source, total } if self.terminal => {
                self.finish();
                self.bar = Some(bar(source, total));
            }
            Progress::Advanced { bytes, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(bytes);
                }
            }
            Progress::Stored { dataset, file } => self.line(&format!("{dataset}: stored {file}")),
            Progress::AlreadyThere { dataset, file } => self.line(&format!("{dataset}: {file} was there")),
            Progress::Retrying { reason, .. } => self.line(&format!("failed, trying again: {reason}")),
            _ => {}
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // Progress is a courtesy: a closed standard error is no reason to stop.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(source: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{msg}  {bar:30}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left")
        }
        None => (ProgressBar::no_length(), "{msg}  {spinner}  {bytes}  {bytes_per_sec}"),
    };
    let name = source.rsplit(['/', '\\']).next().unwrap_or(source).to_owned();
    bar.with_style(ProgressStyle::with_template(template).expect("a valid template")).with_message(name)
}
