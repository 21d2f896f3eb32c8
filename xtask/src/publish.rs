//! From finished runs to a folder of results: figures, tables, claims, summary, report.

use crate::failure::Failure;
use crate::identity::Key;
use crate::outputs::{CaptionedFigure, Drawn, Featured, OutputId};
use crate::part::{PART, Part};
use crate::plan::{Keep, Request};
use crate::progress::Voice;
use crate::provenance::Provenance;
use crate::record::RunRecord;
use crate::reproduce::{REPORT, SUMMARY};
use crate::shard::Shard;
use crate::summary::{DataSummary, FigureSummary, RunSummary, Summary, TableSummary};
use crate::{claims, headline, interrupt, report};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use superlinear_store::{atomic, csv, json};

/// Fails now, not after the training, when the results cannot be written.
///
/// # Errors
/// When they cannot.
pub(crate) fn prepare(target: &Path) -> Result<()> {
    let probe = target.join(".writable");
    atomic::write(&probe, b"")?;
    match std::fs::remove_file(&probe) {
        // Another process may have looked at the same moment.
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(cause).with_context(|| format!("{}: cannot remove", probe.display()))
        }
        _ => Ok(()),
    }
}

/// What finished runs answer and come from.
pub(crate) struct Published<'a> {
    /// What was asked for.
    pub(crate) request: &'a Request,
    /// Which share of it; all if `None`.
    pub(crate) shard: Option<Shard>,
    /// Data sets that were read.
    pub(crate) data: Vec<DataSummary>,
    /// Commit, machine, version.
    pub(crate) provenance: Provenance,
    /// SHA-256 of this program, in hexadecimal.
    pub(crate) program: String,
    /// What is kept of the runs.
    pub(crate) keep: Keep,
    /// Runs that failed.
    pub(crate) failures: Vec<Failure>,
    /// Threads used.
    pub(crate) threads: usize,
    /// Seconds of training and analysis.
    pub(crate) wall_s: f64,
    /// Seconds of all threads spent in writing records.
    pub(crate) saving_s: f64,
}

impl Published<'_> {
    /// Draws, judges and writes everything; the summary and the report last, and then what they are a part of.
    ///
    /// Only for who holds the lock of the results.
    ///
    /// # Errors
    /// When a fit is not possible, the results cannot be written, or the user interrupts.
    pub(crate) fn write(self, runs: &[RunRecord], target: &Path, voice: Voice) -> Result<()> {
        let files = self.render(runs, voice)?;
        interrupt::check()?;
        for (name, bytes) in &files {
            atomic::write(&target.join(name), bytes)?;
        }
        self.write_part(&files, target)?;
        voice.line(&format!("{:>10}  {}", "report", target.join(REPORT).display()));
        Ok(())
    }

    /// Every file that [`write`](Self::write) makes of the records, by its name inside the folder of results; a function of
    /// the records and of `self` alone.
    ///
    /// # Errors
    /// When a fit is not possible or the user interrupts.
    pub(crate) fn render(&self, runs: &[RunRecord], voice: Voice) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let drawn = draw_all(&self.request.outputs, runs, &self.request.featured, voice)?;
        let rendered = Rendered::of(drawn)?;
        let at_scale = runs.iter().any(|run| run.spec.is_at_paper_scale());
        let claims = claims::judge(runs)?;
        let summary = Summary {
            schema: Summary::SCHEMA,
            profile: self.request.profile.to_string(),
            provenance: self.provenance.clone(),
            headline: headline::headline(runs, &claims, at_scale)?,
            wall_s: self.wall_s,
            saving_s: self.saving_s,
            threads: self.threads,
            data: self.data.clone(),
            runs: runs.iter().map(RunSummary::of).collect::<Result<_>>()?,
            figures: rendered.figures,
            tables: rendered.tables,
            claims,
            failures: self.failures.clone(),
        };
        let mut files = rendered.figure_files;
        for table in &summary.tables {
            let file = PathBuf::from(&table.file);
            files.push((file.with_extension("md"), table.table.markdown().into_bytes()));
            let text = csv::text(&file, &table.table.header, &table.table.rows)?;
            files.push((file, text.into_bytes()));
        }
        let setting = runs.first().map_or_else(String::new, |run| run.spec.setting());
        let page = report::render(&summary, &rendered.svgs, at_scale, &self.request.command(), &setting)?;
        files.push((PathBuf::from(SUMMARY), json::bytes(&summary).context(SUMMARY)?));
        files.push((PathBuf::from(REPORT), page.into_bytes()));
        Ok(files)
    }

    /// Writes what the runs and these files are a part of.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_part(&self, files: &[(PathBuf, Vec<u8>)], target: &Path) -> Result<()> {
        // With slashes on every system: the names are read elsewhere too.
        let name = |path: &Path| path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        let part = Part {
            schema: Part::SCHEMA,
            request: self.request.clone(),
            shard: self.shard,
            data: self.data.clone(),
            provenance: self.provenance.clone(),
            program: self.program.clone(),
            keep: self.keep,
            files: files.iter().map(|(path, bytes)| (name(path), Key::of(bytes).hex())).collect(),
            failures: self.failures.clone(),
            threads: self.threads,
            wall_s: self.wall_s,
            saving_s: self.saving_s,
        };
        Ok(json::write(&target.join(PART), &part)?)
    }
}

fn draw_all(
    outputs: &[OutputId],
    runs: &[RunRecord],
    featured: &Featured,
    voice: Voice,
) -> Result<Vec<(OutputId, Drawn)>> {
    let stage = voice.stage("draw", outputs.len() as u64, "outputs/s");
    let mut drawn = Vec::new();
    for &output in outputs {
        interrupt::check()?;
        stage.at(&output.to_string());
        drawn.push((output, output.draw(runs, featured)?));
        stage.advance(1);
    }
    stage.done(&format!("{} outputs", outputs.len()));
    Ok(drawn)
}

/// Figures and tables, rendered and not yet written.
#[derive(Default)]
struct Rendered {
    figures: Vec<FigureSummary>,
    tables: Vec<TableSummary>,
    svgs: Vec<String>,
    figure_files: Vec<(PathBuf, Vec<u8>)>,
}

impl Rendered {
    fn of(drawn: Vec<(OutputId, Drawn)>) -> Result<Self> {
        let mut files = Self::default();
        for (output, Drawn { figures, tables }) in drawn {
            for CaptionedFigure { name, caption, figure } in figures {
                let rendered = superlinear_plots::render(&figure).with_context(|| format!("figure {name}"))?;
                let paths = [format!("figures/{name}.svg"), format!("figures/{name}.png")];
                files.svgs.push(rendered.svg.clone());
                files.figure_files.push((PathBuf::from(&paths[0]), rendered.svg.into_bytes()));
                files.figure_files.push((PathBuf::from(&paths[1]), rendered.png));
                files.figures.push(FigureSummary { id: output.to_string(), files: paths.to_vec(), caption });
            }
            for table in tables {
                let file = format!("tables/{}.csv", table.name);
                files.tables.push(TableSummary { id: output.to_string(), file, table });
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Profile;

    #[test]
    fn a_failed_run_is_shown() {
        let request = Request::new(Profile::Smoke, OutputId::ALL.to_vec());
        let failure = Failure { run: "mnist-mlp-ce-c3-s0".to_owned(), error: "epoch 3: loss is NaN".to_owned() };
        let published = Published {
            request: &request,
            shard: None,
            data: Vec::new(),
            provenance: Provenance::here(),
            program: String::new(),
            keep: Keep::Summary,
            failures: vec![failure],
            threads: 1,
            wall_s: 1.0,
            saving_s: 0.0,
        };
        let files = published.render(&[], Voice::Quiet).unwrap();
        for name in [SUMMARY, REPORT] {
            let (_, bytes) = files.iter().find(|(path, _)| path == Path::new(name)).unwrap();
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains("mnist-mlp-ce-c3-s0") && text.contains("epoch 3: loss is NaN"), "{name}");
        }
    }
}
