//! Stored networks, analysed again: every record has to agree to the last bit, times aside; so have its matrices,
//! where they were kept.

use crate::analyse::{analyse, layer_matrices};
use crate::images::{load_data, loaded_of};
use crate::observer::Observer;
use crate::record::{LayerRecord, RunRecord};
use crate::run_dir::{LayerJob, RunDir, layers_of};
use crate::spec::RunSpec;
use crate::spread::concurrently;
use anyhow::Result;
use std::path::Path;

/// Analyses every layer again, and says which records differ.
///
/// # Errors
/// When something cannot be read or analysed, or the observer stops it.
pub fn recompute(
    runs: &[RunRecord],
    dirs: &[(RunSpec, RunDir)],
    threads: usize,
    data_dir: Option<&Path>,
    observer: &dyn Observer,
) -> Result<Vec<String>> {
    let specs: Vec<RunSpec> = runs.iter().map(|run| run.spec.clone()).collect();
    let data = load_data(&specs, data_dir)?;
    let jobs: Vec<(&RunRecord, &RunDir, LayerJob, &LayerRecord)> = runs
        .iter()
        .zip(dirs)
        .flat_map(|(run, (spec, dir))| {
            let jobs = layers_of(spec, &run.training).into_iter().zip(&run.layers);
            jobs.map(move |(job, layer)| (run, dir, job, layer))
        })
        .collect();
    let stage = observer.stage("analyse", jobs.len() as u64, "layers/s");
    let differences = concurrently(
        threads,
        &jobs,
        |(run, ..)| run.spec.n_samples() as f64,
        |&(run, dir, job, layer)| {
            observer.check()?;
            let spec = &run.spec;
            let checkpoint = dir.checkpoint(job.epoch).read()?;
            let data = &loaded_of(&data, spec).data;
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
    if let Some(spectral) = &mut layer.spectra {
        (spectral.pairs_s, spectral.samples_s) = (0.0, 0.0);
    }
    layer
}
