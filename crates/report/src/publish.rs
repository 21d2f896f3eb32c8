//! From finished runs to a folder of results: figures, tables, claims, summary, page, and the manifest that lists them.

use crate::outputs::{self, CaptionedFigure, Drawn, Output};
use crate::summary::{FigureSummary, RunSummary, Summary, TableSummary};
use crate::{claims, headline, page};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use superlinear_experiments::identity::Key;
use superlinear_experiments::manifest::{EARLIER_MANIFEST, MANIFEST, Manifest, RUNS};
use superlinear_experiments::observer::Observer;
use superlinear_experiments::record::RunRecord;
use superlinear_store::{atomic, csv, json};

/// Name of the summary inside a folder of results; written last but for the page.
pub const SUMMARY: &str = "summary.json";
/// Which files are being written, among the runs; there only meanwhile.
const WRITING: &str = ".writing.json";
/// Name of the page.
pub const REPORT: &str = "report.html";

/// Fails now, not after the training, when the results cannot be written.
///
/// # Errors
/// When they cannot.
pub fn prepare(target: &Path) -> Result<()> {
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

/// Draws, judges and writes everything into `target`: the summary and the page last, and then the manifest, which lists
/// all.
///
/// Call it with the lock of the results held.
///
/// # Errors
/// When a fit is not possible, the results cannot be written, or the observer stops it; in the last case nothing is
/// written.
pub fn publish(manifest: Manifest, runs: &[RunRecord], target: &Path, observer: &dyn Observer) -> Result<()> {
    let files = render(&manifest, runs, observer)?;
    observer.check()?;
    let earlier = written_before(target);
    let is_foreign = |(name, _): &&(PathBuf, Vec<u8>)| {
        target.join(name).symlink_metadata().is_ok() && !earlier.iter().any(|(known, _)| Path::new(known) == name)
    };
    if let Some((name, _)) = files.iter().find(is_foreign) {
        bail!("{}: is there and not of earlier results; move it, or take another --out", target.join(name).display());
    }
    // Ours from here on, also for the next call if this one is killed.
    let note = target.join(RUNS).join(WRITING);
    let ours = earlier.iter().map(|(name, _)| name.clone()).chain(files.iter().map(|(path, _)| slashed(path)));
    json::write(&note, &ours.collect::<Vec<String>>())?;
    for (name, bytes) in &files {
        atomic::write(&target.join(name), bytes)?;
    }
    write_manifest(manifest, &files, target)?;
    remove_stale(target, &earlier, &files)?;
    std::fs::remove_file(&note).with_context(|| format!("{}: cannot remove", note.display()))?;
    observer.note("report", &target.join(REPORT).display().to_string());
    Ok(())
}

/// The files that earlier results in a folder consist of, with their SHA-256 in hexadecimal.
fn written_before(target: &Path) -> Vec<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Files {
        files: Vec<(String, String)>,
    }
    // That of the version before is read for these alone.
    let read =
        |name: &&str| serde_json::from_slice::<Files>(&superlinear_store::whole::read(&target.join(name)).ok()?).ok();
    let mut files = [MANIFEST, EARLIER_MANIFEST].iter().find_map(read).map_or_else(Vec::new, |found| found.files);
    // What a killed call was writing.
    let killed = superlinear_store::whole::read(&target.join(RUNS).join(WRITING)).ok();
    let names = killed.and_then(|bytes| serde_json::from_slice::<Vec<String>>(&bytes).ok()).unwrap_or_default();
    files.extend(names.into_iter().map(|name| (name, String::new())));
    files
}

/// Removes what earlier results had and these have not; a file that somebody has changed since is theirs, and stays.
fn remove_stale(target: &Path, earlier: &[(String, String)], files: &[(PathBuf, Vec<u8>)]) -> Result<()> {
    for (name, hash) in earlier {
        // What a manifest names is removed inside its folder alone.
        let is_inside = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let path = target.join(name);
        if is_inside
            && !files.iter().any(|(kept, _)| kept == Path::new(name))
            && superlinear_store::whole::read(&path).is_ok_and(|bytes| Key::of(&bytes).hex() == *hash)
        {
            std::fs::remove_file(&path).with_context(|| format!("{}: cannot remove", path.display()))?;
        }
    }
    match std::fs::remove_file(target.join(EARLIER_MANIFEST)) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause).context(EARLIER_MANIFEST),
        _ => Ok(()),
    }
}

/// Every file that [`publish`] makes of the records, by its name inside the folder of results; a function of the
/// records and of the manifest's request, data, provenance and failures alone.
///
/// # Errors
/// When a fit is not possible or the observer stops it.
pub fn render(manifest: &Manifest, runs: &[RunRecord], observer: &dyn Observer) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let Manifest { request, data, provenance, failures, command, .. } = manifest;
    let stage = observer.stage("draw", request.outputs.len() as u64, "outputs/s");
    let mut drawn = Vec::new();
    for id in &request.outputs {
        observer.check()?;
        stage.at(id);
        let output = outputs::find(id)?;
        drawn.push((output, output.draw(runs, request)?));
        stage.advance(1);
    }
    let rendered = Rendered::of(drawn)?;
    stage.done(&format!("{} outputs", request.outputs.len()));
    let at_scale = runs.iter().any(|run| run.spec.is_at_paper_scale);
    let claims = claims::judge(runs)?;
    let summary = Summary {
        schema: Summary::SCHEMA,
        plan: request.plan.clone(),
        provenance: provenance.clone(),
        headline: headline::headline(runs, &claims, at_scale)?,
        data: data.clone(),
        runs: runs.iter().map(RunSummary::of).collect::<Result<_>>()?,
        figures: rendered.figures,
        tables: rendered.tables,
        claims,
        failures: failures.clone(),
    };
    let mut files = rendered.figure_files;
    for table in &summary.tables {
        let file = PathBuf::from(&table.file);
        files.push((file.with_extension("md"), table.table.markdown().into_bytes()));
        let header: Vec<&str> = table.table.header.iter().map(String::as_str).collect();
        let text = csv::text(&file, &header, &table.table.rows)?;
        files.push((file, text.into_bytes()));
    }
    let page = page::render(&summary, &rendered.svgs, at_scale, command, runs)?;
    files.push((PathBuf::from(SUMMARY), json::bytes(&summary).context(SUMMARY)?));
    files.push((PathBuf::from(REPORT), page.into_bytes()));
    Ok(files)
}

/// Writes the manifest of these files.
///
/// # Errors
/// When it cannot be written.
pub fn write_manifest(manifest: Manifest, files: &[(PathBuf, Vec<u8>)], target: &Path) -> Result<()> {
    let files = files.iter().map(|(path, bytes)| (slashed(path), Key::of(bytes).hex())).collect();
    Ok(json::write(&target.join(MANIFEST), &Manifest { files, ..manifest })?)
}

/// With slashes on every system: names are read elsewhere too.
fn slashed(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
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
    fn of(drawn: Vec<(&Output, Drawn)>) -> Result<Self> {
        let mut files = Self::default();
        for (output, Drawn { figures, tables }) in drawn {
            for CaptionedFigure { name, caption, figure } in figures {
                let rendered = superlinear_plots::render(&figure).with_context(|| format!("figure {name}"))?;
                let paths = [format!("figures/{name}.svg"), format!("figures/{name}.png")];
                files.svgs.push(rendered.svg.clone());
                files.figure_files.push((PathBuf::from(&paths[0]), rendered.svg.into_bytes()));
                files.figure_files.push((PathBuf::from(&paths[1]), rendered.png));
                files.figures.push(FigureSummary { id: output.id.to_owned(), files: paths.to_vec(), caption });
            }
            for table in tables {
                let file = format!("tables/{}.csv", table.name);
                files.tables.push(TableSummary { id: output.id.to_owned(), file, table });
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use superlinear_experiments::failure::Failure;
    use superlinear_experiments::keep::Keep;
    use superlinear_experiments::manifest::Request;
    use superlinear_experiments::observer::Silent;
    use superlinear_experiments::provenance::Provenance;

    #[test]
    fn a_failed_run_is_shown() {
        let request = Request {
            plan: "smoke".to_owned(),
            runs: Vec::new(),
            outputs: outputs::OUTPUTS.iter().map(|output| output.id.to_owned()).collect(),
            featured: Vec::new(),
            also: Default::default(),
        };
        let none = String::new;
        let manifest = Manifest {
            schema: Manifest::SCHEMA,
            request,
            command: none(),
            shard: None,
            data: Vec::new(),
            provenance: Provenance { commit: none(), machine: none(), version: none() },
            program: none(),
            keep: Keep::Summary,
            files: Vec::new(),
            failures: vec![Failure { run: "mnist-mlp-ce-c3-s0".to_owned(), error: "epoch 3: loss is NaN".to_owned() }],
            threads: 1,
            wall_s: 1.0,
            saving_s: 0.0,
        };
        let files = render(&manifest, &[], &Silent).unwrap();
        for name in [SUMMARY, REPORT] {
            let (_, bytes) = files.iter().find(|(path, _)| path == Path::new(name)).unwrap();
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains("mnist-mlp-ce-c3-s0") && text.contains("epoch 3: loss is NaN"), "{name}");
        }
    }
}
