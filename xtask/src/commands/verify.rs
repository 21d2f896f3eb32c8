//! `cargo xtask verify`: finished results, computed again and compared.
//!
//! What stands in a folder of results beside the records is a function of them, so it is rendered again and compared byte
//! by byte. With `--recompute` the records are checked too: every analysed layer is analysed again, from the stored weights
//! and the images, and has to agree to the last bit, times aside; so have its matrices, where they were kept.

use crate::cli::VerifyArgs;
use crate::experiment::{analyse, layer_matrices};
use crate::part::Part;
use crate::plan::RunSpec;
use crate::progress::Voice;
use crate::provenance;
use crate::publish::Published;
use crate::record::{LayerRecord, RunRecord};
use crate::reproduce;
use crate::run_dir::{LayerJob, RunDir, layers_of};
use crate::schedule;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Most differences that an error lists.
const LISTED: usize = 5;

/// Runs the command.
///
/// # Errors
/// When the folder holds no finished results, they are of another version, or anything in them differs.
pub(crate) fn run(args: &VerifyArgs) -> Result<()> {
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let part = Part::read(&args.dir)?;
    if let Some(shard) = part.shard {
        bail!("{}: share {} only; verify what `cargo xtask merge` makes of all", args.dir.display(), shard.folder());
    }
    let version = env!("CARGO_PKG_VERSION");
    if part.provenance.version != version {
        bail!("{}: results of version {}, expected {version}, this one", args.dir.display(), part.provenance.version);
    }
    let mut dirs = part.run_dirs(&args.dir)?;
    dirs.retain(|(spec, _)| !part.has_failed(spec));
    let runs: Vec<RunRecord> = dirs.iter().map(|(spec, run)| part.record(spec, run)).collect::<Result<_>>()?;
    let published = Published {
        request: &part.request,
        shard: None,
        data: part.data.clone(),
        provenance: part.provenance.clone(),
        program: part.program.clone(),
        keep: part.keep,
        failures: part.failures.clone(),
        threads: part.threads,
        wall_s: part.wall_s,
        saving_s: part.saving_s,
    };
    let files = published.render(&runs, voice)?;
    let mut differences: Vec<String> = files.iter().filter_map(|file| difference(&args.dir, file)).collect();
    voice.line(&format!("{:>10}  {} files against the records of {} runs", "compared", files.len(), runs.len()));
    if args.recompute {
        let threads = reproduce::threads(args.threads);
        differences.extend(recompute(&runs, &dirs, threads, args.data_dir.as_deref(), voice)?);
    }
    if !differences.is_empty() {
        let more = differences.len().saturating_sub(LISTED);
        differences.truncate(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        // Another build may draw otherwise from the same records.
        let build = if part.program == provenance::program()? { "" } else { " (another build wrote them)" };
        bail!("{}: does not verify{build}: {}{more}", args.dir.display(), differences.join("; "));
    }
    voice.line(&format!("{:>10}  every number agrees", "verified"));
    Ok(())
}

/// What is wrong with a file of the results, if anything.
fn difference(dir: &Path, (name, expected): &(PathBuf, Vec<u8>)) -> Option<String> {
    let found = match std::fs::read(dir.join(name)) {
        Ok(found) => found,
        Err(cause) => return Some(format!("{}: cannot read: {cause}", name.display())),
    };
    if found == *expected {
        return None;
    }
    let (found, expected) = (String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
    let lines = found.lines().zip(expected.lines()).enumerate().find(|(_, (found, expected))| found != expected);
    Some(match lines {
        Some((line, (found, expected))) if !found.contains('\0') && found.len() + expected.len() < 400 => {
            format!("{} line {}: found {:?}, expected {:?}", name.display(), line + 1, found.trim(), expected.trim())
        }
        _ => format!("{} differs", name.display()),
    })
}

/// Analyses every layer again, and says which records differ.
fn recompute(
    runs: &[RunRecord],
    dirs: &[(RunSpec, RunDir)],
    threads: usize,
    data_dir: Option<&Path>,
    voice: Voice,
) -> Result<Vec<String>> {
    let specs: Vec<RunSpec> = runs.iter().map(|run| run.spec.clone()).collect();
    let data = reproduce::load_data(&specs, data_dir)?;
    let jobs: Vec<(&RunRecord, &RunDir, LayerJob, &LayerRecord)> = runs
        .iter()
        .zip(dirs)
        .flat_map(|(run, (spec, dir))| {
            let jobs = layers_of(spec, &run.training).into_iter().zip(&run.layers);
            jobs.map(move |(job, layer)| (run, dir, job, layer))
        })
        .collect();
    let stage = voice.stage("analyse", jobs.len() as u64, "layers/s");
    let differences = schedule::concurrently(
        threads,
        &jobs,
        |(run, ..)| run.spec.n_samples() as f64,
        |&(run, dir, job, layer)| {
            let spec = &run.spec;
            let checkpoint = dir.checkpoint(job.epoch).read()?;
            let data = &reproduce::loaded_of(&data, spec).data;
            let matrices = layer_matrices(spec, &run.training.indices, &checkpoint, job.dense, data)?;
            let moments = dir.moments(spec, job);
            let moments_differ = moments.path().is_file() && moments.read()? != matrices.record();
            let layer_differs = timeless(layer) != timeless(&analyse(spec, job, matrices)?);
            stage.advance(1);
            let of = format!("layer {} after epoch {}", job.dense + 1, job.epoch);
            let layer = layer_differs.then(|| format!("{}: {of} differs", spec.id()));
            let moments = moments_differ.then(|| format!("{}: the matrices of {of} differ", spec.id()));
            Ok([layer, moments])
        },
    )?;
    stage.done(&format!("{} layers", jobs.len()));
    Ok(differences.into_iter().flatten().flatten().collect())
}

/// A record without what depends on the clock.
fn timeless(layer: &LayerRecord) -> LayerRecord {
    let mut layer = layer.clone();
    (layer.moments_s, layer.eigh_s, layer.slopes_s) = (0.0, 0.0, 0.0);
    if let Some(spectral) = &mut layer.spectral {
        (spectral.pairs_s, spectral.samples_s) = (0.0, 0.0);
    }
    layer
}
