//! From finished runs to a folder of results: figures, tables, claims, summary, report.

use crate::outputs::{CaptionedFigure, Drawn, Featured, OutputId};
use crate::part::{PART, Part};
use crate::plan::Request;
use crate::progress::Voice;
use crate::provenance::Provenance;
use crate::record::RunRecord;
use crate::reproduce::{RUNS, SUMMARY};
use crate::shard::Shard;
use crate::summary::{DataSummary, FigureSummary, RunSummary, Summary, TableSummary};
use crate::{claims, interrupt, report};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use superlinear_store::{atomic, csv, json, record};

/// Fails now, not after the training, when the results cannot be written.
///
/// # Errors
/// When they cannot.
pub(crate) fn prepare(target: &Path) -> Result<()> {
    let probe = target.join(".writable");
    atomic::write(&probe, b"")?;
    std::fs::remove_file(&probe).with_context(|| format!("{}: cannot remove", probe.display()))?;
    Ok(())
}

/// What finished runs answer and come from.
pub(crate) struct Published<'a> {
    /// What was asked for.
    pub(crate) request: &'a Request,
    /// Which share of it; all if `None`.
    pub(crate) shard: Option<Shard>,
    /// Data sets that were read.
    pub(crate) data: Vec<DataSummary>,
    /// Threads used.
    pub(crate) threads: usize,
    /// Seconds of training and analysis.
    pub(crate) wall_s: f64,
}

impl Published<'_> {
    /// Draws, judges and writes everything; the summary and the report last.
    ///
    /// # Errors
    /// When a fit is not possible, the results cannot be written, or the user interrupts.
    pub(crate) fn write(self, runs: &[RunRecord], target: &Path, voice: Voice) -> Result<()> {
        let drawn = draw_all(&self.request.outputs, runs, &self.request.featured, voice)?;
        let files = Files::render(drawn)?;
        let summary = Summary {
            schema: 1,
            profile: self.request.profile.to_string(),
            provenance: Provenance::here(),
            wall_s: self.wall_s,
            threads: self.threads,
            data: self.data.clone(),
            runs: runs.iter().map(RunSummary::of).collect::<Result<_>>()?,
            figures: files.figures,
            tables: files.tables,
            claims: claims::judge(runs)?,
        };
        interrupt::check()?;
        self.write_runs(runs, target)?;
        for (name, bytes) in &files.figure_files {
            atomic::write(&target.join(name), bytes)?;
        }
        for table in &summary.tables {
            let file = target.join(&table.file);
            csv::write(&file, &table.table.header, &table.table.rows)?;
            atomic::write(&file.with_extension("md"), table.table.markdown().as_bytes())?;
        }
        let page = report::render(&summary, &files.svgs)?;
        json::write(&target.join(SUMMARY), &summary)?;
        atomic::write(&target.join("report.html"), page.as_bytes())?;
        voice.line(&format!("{:>10}  {}", "report", target.join("report.html").display()));
        Ok(())
    }

    /// Writes the records, and then what they are a part of.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn write_runs(&self, runs: &[RunRecord], target: &Path) -> Result<()> {
        for run in runs {
            record::write(&target.join(RUNS).join(format!("{}.run", run.spec.id())), run)?;
        }
        let part = Part {
            schema: Part::SCHEMA,
            request: self.request.clone(),
            shard: self.shard,
            data: self.data.clone(),
            provenance: Provenance::here(),
            threads: self.threads,
            wall_s: self.wall_s,
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
struct Files {
    figures: Vec<FigureSummary>,
    tables: Vec<TableSummary>,
    svgs: Vec<String>,
    figure_files: Vec<(PathBuf, Vec<u8>)>,
}

impl Files {
    fn render(drawn: Vec<(OutputId, Drawn)>) -> Result<Self> {
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
