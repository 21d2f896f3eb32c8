//! `cargo xtask analyse --checkpoints`: one analysis a file, each kept as soon as it is done, and γ over all of them.

use crate::provenance;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use superlinear_experiments::failure;
use superlinear_experiments::given_samples::GivenSamples;
use superlinear_experiments::identity::Key;
use superlinear_experiments::model_analysis::{
    CheckpointAnswer, CheckpointKey, Checkpoints, KEPT, Prepared, Question, answer,
};
use superlinear_experiments::observer::{Observer, Stopped};
use superlinear_report::model_analysis::{
    CheckpointRow, OverTraining, files_over_training, write, write_over_training,
};
use superlinear_store::json;
use superlinear_store::staged::{StagedDir, What};

/// What is asked, in the folder from the start: it makes the folder ours.
const QUESTION: &str = "question.json";

/// Where the answers go.
pub(super) struct Folder<'a> {
    /// As on the command line.
    pub(super) to: Option<&'a Path>,
    pub(super) force: bool,
    pub(super) is_quiet: bool,
}

/// Answers a question of every checkpoint; its `model` is their pattern.
///
/// # Errors
/// When files cannot be read or do not fit, the folder cannot be written, a checkpoint has no answer, or the user
/// interrupts. What is done is kept.
pub(super) fn run(
    (checkpoints, question): (&Checkpoints, &Question),
    folder: &Folder<'_>,
    pool: &rayon::ThreadPool,
    observer: &dyn Observer,
) -> Result<()> {
    let to = folder.to.map_or_else(|| PathBuf::from("out/analyses").join(name(question)), Path::to_owned);
    let words = question.words();
    let what = What { kind: "checkpoints", of: &words, force: folder.force };
    // All files are read before anything long begins.
    let given = given(&question.data, observer)?;
    let data = Key::of_file(&question.data)?;
    let mut keys = Vec::new();
    for (_, file) in checkpoints.files() {
        observer.check()?;
        keys.push(CheckpointKey::of(&Question { model: file.clone(), ..question.clone() }, &data)?);
    }
    begin(&to, what)?;
    let mut rows = Vec::new();
    for ((number, file), key) in checkpoints.files().iter().zip(keys) {
        let question = Question { model: file.clone(), ..question.clone() };
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let asked = Asked { question: &question, given: &given, data: &data, key };
        let found = asked.answer((&to.join(&name), folder.force), pool, observer);
        let found = failure::outcome(|| file.display().to_string(), found);
        let found = found.map_err(|error| match error.is::<Stopped>() {
            true => error.context(format!(
                "interrupted: {} of {} checkpoints are done and kept in {}; the same command goes on from there",
                rows.len(),
                checkpoints.files().len(),
                to.display()
            )),
            false => error,
        })?;
        rows.push(CheckpointRow { number: *number, folder: name, answer: found.map_err(|failure| failure.error) });
    }
    let all = OverTraining { question, rows: &rows };
    let staged = StagedDir::create(&to, what)?;
    json::write(&staged.path().join(QUESTION), &words)?;
    write_over_training(&all, staged.path(), provenance::here())?;
    staged.publish()?;
    if !folder.is_quiet {
        let mut out = std::io::stdout().lock();
        write!(out, "{}", all.lines())?;
        writeln!(out, "{}: {}", to.display(), files_over_training())?;
    }
    let without: Vec<&CheckpointRow> = rows.iter().filter(|row| row.answer.is_err()).collect();
    if let Some(first) = without.first() {
        let why = first.answer.as_ref().err().cloned().unwrap_or_default();
        bail!("{} of {} checkpoints have no answer; {}: {why}", without.len(), rows.len(), first.folder);
    }
    Ok(())
}

/// The name of the folder: that of a question, with `N` in the place of the number.
fn name(question: &Question) -> String {
    question.name().replace('*', "N")
}

/// The samples; the logits of one network are not compared with all.
fn given(data: &Path, observer: &dyn Observer) -> Result<GivenSamples> {
    let given = GivenSamples::read(data)?;
    if given.has_logits() {
        let line = format!("{}: logits, which are those of one network, are not compared", data.display());
        observer.note("ignored", &line);
    }
    Ok(given.without_logits())
}

/// Makes the folder ours, unless it is; answers that it has stay.
fn begin(to: &Path, what: What<'_>) -> Result<()> {
    let staged = StagedDir::create(to, what)?;
    let here = json::read::<String>(&to.join(QUESTION));
    if here.is_ok_and(|words| words == what.of) {
        return Ok(());
    }
    json::write(&staged.path().join(QUESTION), &what.of)?;
    Ok(staged.publish()?)
}

/// One checkpoint.
struct Asked<'a> {
    question: &'a Question,
    given: &'a GivenSamples,
    data: &'a Key,
    key: CheckpointKey,
}

impl Asked<'_> {
    /// The answer that is kept, or a new one, which then is.
    fn answer(
        self,
        (to, force): (&Path, bool),
        pool: &rayon::ThreadPool,
        observer: &dyn Observer,
    ) -> Result<CheckpointAnswer> {
        let file = self.question.model.display();
        if let Some(kept) = CheckpointAnswer::kept(to, &self.key) {
            observer.note("kept", &format!("{file}: {}", to.display()));
            return Ok(kept);
        }
        observer.note("checkpoint", &file.to_string());
        let words = self.question.words();
        let staged = StagedDir::create(to, What { kind: "analysis", of: &words, force })?;
        let prepared = Prepared::read_for(self.question, self.given, observer)?;
        let found = pool.install(|| answer(self.question, &prepared, observer))?;
        if CheckpointKey::of(self.question, self.data)? != self.key {
            bail!("{file}: changed while it was analysed");
        }
        write(self.question, &found, staged.path(), provenance::here())?;
        json::write(&staged.path().join(KEPT), &CheckpointAnswer::of(self.key.clone(), &found))?;
        observer.check()?;
        staged.publish()?;
        // As a later call will have it.
        CheckpointAnswer::kept(to, &self.key).with_context(|| format!("{}: not what was written", to.display()))
    }
}
