//! `cargo xtask reproduce`: plan, train, analyse, and publish.

use crate::cli::ReproduceArgs;
use crate::estimate::{self, Cost, Speed, human_bytes, human_time};
use crate::experiment::{analyse, train_run};
use crate::outputs::{Featured, OutputId};
use crate::plan::{self, Request, RunSpec};
use crate::progress::Voice;
use crate::publish::{self, Published};
use crate::record::{Checkpoint, RunRecord, TrainingRecord};
use crate::summary::DataSummary;
use crate::{interrupt, schedule};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use superlinear_datasets::{Dataset, DatasetName, cache, embedded};

/// Folder of the runs' records inside a profile's results.
pub(crate) const RUNS: &str = "runs";
/// Name of the summary inside a profile's results; written last but for the report.
pub(crate) const SUMMARY: &str = "summary.json";
/// Folder of the shares inside a profile's results.
const SHARDS: &str = "shards";

/// Runs the command.
///
/// # Errors
/// When the data are missing, the results cannot be written, a number is not finite, or the user interrupts.
pub(crate) fn run(args: ReproduceArgs) -> Result<()> {
    let request = Request {
        profile: args.profile,
        outputs: if args.only.is_empty() { OutputId::ALL.to_vec() } else { args.only.clone() },
        featured: if args.runs.is_empty() { Featured::Usual } else { Featured::Runs(args.runs.clone()) },
        n_seeds: args.seeds.map(usize::from),
        checkpoints: args.checkpoints.as_ref().map(|epochs| epochs.iter().copied().map(usize::from).collect()),
    };
    let shard = args.shard.map(|shard| shard.resolve(|name| std::env::var(name).ok())).transpose()?;
    let mut specs = plan::runs(&request)?;
    if let Some(shard) = shard {
        specs = shard.of(&specs);
    }
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    if args.dry_run {
        return dry_run(&specs, threads);
    }
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let whole = args.out.join(request.profile.to_string());
    let target = shard.map_or_else(|| whole.clone(), |shard| whole.join(SHARDS).join(shard.folder()));
    publish::prepare(&target)?;
    interrupt::listen()?;

    let start = Instant::now();
    let data = load_data(&specs, args.data_dir.as_deref())?;
    let trained = train_all(&specs, &data, threads, voice)?;
    let runs = analyse_all(&specs, trained, &data, threads, voice)?;
    let data = data.iter().map(|(data, source)| describe(data, source.clone())).collect();
    let published = Published { request: &request, shard, data, threads, wall_s: start.elapsed().as_secs_f64() };
    match shard {
        None => published.write(&runs, &target, voice),
        Some(shard) => {
            interrupt::check()?;
            published.write_runs(&runs, &target)?;
            voice.line(&format!(
                "{:>10}  {} runs in {}",
                format!("{}/{}", shard.index, shard.count),
                runs.len(),
                target.display()
            ));
            let all = whole.join(SHARDS).join(format!("*-of-{}", shard.count));
            voice.line(&format!("{:>10}  cargo xtask merge {} --out {}", "then", all.display(), args.out.display()));
            Ok(())
        }
    }
}

/// A data set with where it came from.
type Loaded = (Dataset, String);

/// The data sets of the runs: the embedded subset where it has enough images, the full set otherwise.
fn load_data(specs: &[RunSpec], data_dir: Option<&Path>) -> Result<Vec<Loaded>> {
    let mut loaded: Vec<Loaded> = Vec::new();
    for spec in specs {
        if !loaded.iter().any(|(data, _)| data.name == spec.dataset) {
            let n_per_class = specs.iter().filter(|s| s.dataset == spec.dataset).map(|s| s.n_per_class).max();
            loaded.push(load_dataset(spec.dataset, n_per_class.unwrap_or(0), data_dir)?);
        }
    }
    Ok(loaded)
}

/// One data set with at least `n_per_class` training images a class.
///
/// # Errors
/// When the embedded subset does not do and the full set is not in the cache.
pub(crate) fn load_dataset(name: DatasetName, n_per_class: usize, data_dir: Option<&Path>) -> Result<Loaded> {
    if name == DatasetName::Mnist && n_per_class <= embedded::TRAIN_PER_CLASS {
        return Ok((embedded::mnist(), "embedded subset".to_owned()));
    }
    let dir = cache::directory(data_dir).context("no folder for the full data sets: give --data-dir")?;
    let data = superlinear_datasets::load(name, &dir)?;
    Ok((data, "full set, checked by SHA-256".to_owned()))
}

fn describe(data: &Dataset, source: String) -> DataSummary {
    DataSummary { name: data.name.to_string(), source, images: [data.train.len(), data.test.len()] }
}

fn data_of<'a>(data: &'a [Loaded], spec: &RunSpec) -> &'a Dataset {
    let found = data.iter().find(|(data, _)| data.name == spec.dataset);
    &found.expect("the data of every planned run are loaded").0
}

/// Trains all runs, each on one core.
fn train_all(specs: &[RunSpec], data: &[Loaded], threads: usize, voice: Voice) -> Result<Vec<TrainingRecord>> {
    let images = |spec: &RunSpec| (spec.n_samples() * spec.epochs) as u64;
    let stage = voice.stage("train", specs.iter().map(images).sum(), "images/s");
    let trained = schedule::concurrently(
        threads,
        specs,
        |spec| images(spec) as f64,
        |spec| {
            interrupt::check()?;
            stage.at(&spec.id());
            train_run(spec, data_of(data, spec), |images| stage.advance(images))
        },
    )?;
    stage.done(&format!("{} networks", specs.len()));
    Ok(trained)
}

/// Analyses all runs at all their checkpoints.
fn analyse_all(
    specs: &[RunSpec],
    trained: Vec<TrainingRecord>,
    data: &[Loaded],
    threads: usize,
    voice: Voice,
) -> Result<Vec<RunRecord>> {
    let jobs: Vec<(&RunSpec, &TrainingRecord, &Checkpoint)> = specs
        .iter()
        .zip(&trained)
        .flat_map(|(spec, training)| training.checkpoints.iter().map(move |checkpoint| (spec, training, checkpoint)))
        .collect();
    let stage = voice.stage("analyse", jobs.len() as u64, "layers/s");
    let layers = schedule::concurrently(
        threads,
        &jobs,
        |(spec, ..)| spec.n_samples() as f64,
        |(spec, training, checkpoint)| {
            interrupt::check()?;
            stage.at(&format!("{} after epoch {}", spec.id(), checkpoint.epoch));
            let layer = analyse(spec, training, checkpoint, data_of(data, spec))?;
            stage.advance(1);
            Ok(layer)
        },
    )?;
    stage.done(&format!("{} layers", jobs.len()));
    let mut layers = layers.into_iter();
    let runs = specs.iter().zip(trained).map(|(spec, training)| {
        let layers = layers.by_ref().take(training.checkpoints.len()).collect();
        RunRecord { spec: spec.clone(), training, layers }
    });
    Ok(runs.collect())
}

/// Prints the runs with their estimated cost.
fn dry_run(specs: &[RunSpec], threads: usize) -> Result<()> {
    if specs.is_empty() {
        bail!("no run is needed");
    }
    let speed = Speed::measure();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<24} {:>8} {:>7} {:>6} {:>9} {:>9} {:>9}",
        "run", "images", "epochs", "top", "core time", "memory", "disk"
    )?;
    let mut total = Cost::default();
    for spec in specs {
        let cost = estimate::cost(spec, speed);
        let (time, memory, disk) = (human_time(cost.seconds), human_bytes(cost.memory), human_bytes(cost.disk));
        writeln!(
            out,
            "{:<24} {:>8} {:>7} {:>6} {time:>9} {memory:>9} {disk:>9}",
            spec.id(),
            spec.n_samples(),
            spec.epochs,
            spec.top,
        )?;
        total.seconds += cost.seconds;
        total.memory = total.memory.max(cost.memory);
        total.disk += cost.disk;
    }
    writeln!(
        out,
        "{} runs: about {} on {threads} threads, {} of memory, {} of disk",
        specs.len(),
        human_time(total.seconds / threads.min(specs.len()).max(1) as f64),
        human_bytes(total.memory * threads.min(specs.len()) as f64),
        human_bytes(total.disk),
    )?;
    Ok(())
}
