//! `cargo xtask reproduce`: plan, train, analyse, and publish.

use crate::cli::ReproduceArgs;
use crate::estimate::{self, Cost, Speed, human_bytes, human_time};
use crate::experiment::{analyse, train_run};
use crate::outputs::{Featured, OutputId};
use crate::plan::{self, Request, RunSpec, Source};
use crate::progress::Voice;
use crate::provenance::Provenance;
use crate::publish::{self, Published};
use crate::record::{Checkpoint, RunRecord, TrainingRecord};
use crate::summary::DataSummary;
use crate::{interrupt, schedule};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;
use superlinear_datasets::{Dataset, DatasetName, cache, embedded};

/// Folder of the runs' records inside a profile's results.
pub(crate) const RUNS: &str = "runs";
/// Name of the summary inside a profile's results; written last but for the report.
pub(crate) const SUMMARY: &str = "summary.json";
/// Name of the report inside a profile's results.
pub(crate) const REPORT: &str = "report.html";
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
        settings: args.settings.clone(),
        n_seeds: args.seeds.map(usize::from),
        checkpoints: args.checkpoints.as_ref().map(|epochs| epochs.iter().copied().map(usize::from).collect()),
    };
    let shard = args.shard.map(|shard| shard.resolve(|name| std::env::var(name).ok())).transpose()?;
    let mut specs = plan::runs(&request)?;
    if let Some(shard) = shard {
        specs = shard.of(&specs);
    }
    let threads = threads(args.threads);
    if args.dry_run {
        return dry_run(&specs, threads);
    }
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let whole = args.out.join(request.profile.to_string());
    let target = shard.map_or_else(|| whole.clone(), |shard| whole.join(SHARDS).join(shard.folder()));
    publish::prepare(&target)?;
    interrupt::listen()?;

    let provenance = Provenance::here();
    let start = Instant::now();
    let data = load_data(&specs, args.data_dir.as_deref())?;
    let trained = train_all(&specs, &data, threads, voice)?;
    let runs = analyse_all(&specs, trained, &data, threads, voice)?;
    let data = data.iter().map(Loaded::summary).collect();
    let published =
        Published { request: &request, shard, data, provenance, threads, wall_s: start.elapsed().as_secs_f64() };
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

/// As many threads as asked for, or as there are cores.
pub(crate) fn threads(asked: Option<NonZeroUsize>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// A data set with where it came from.
pub(crate) struct Loaded {
    data: Dataset,
    source: Source,
    words: String,
}

/// The data sets of the runs.
///
/// # Errors
/// As [`load_dataset`].
pub(crate) fn load_data(specs: &[RunSpec], data_dir: Option<&Path>) -> Result<Vec<Loaded>> {
    let mut loaded: Vec<Loaded> = Vec::new();
    for spec in specs {
        if !loaded.iter().any(|known| known.is_of(spec)) {
            let (data, words) = load_dataset(spec.dataset, spec.source, data_dir)?;
            loaded.push(Loaded { data, source: spec.source, words });
        }
    }
    Ok(loaded)
}

/// One data set, and where it came from in words.
///
/// # Errors
/// When no subset of it is embedded, or the full set is not in the cache.
pub(crate) fn load_dataset(name: DatasetName, source: Source, data_dir: Option<&Path>) -> Result<(Dataset, String)> {
    match source {
        Source::Embedded => {
            let subset = embedded::subset(name).with_context(|| format!("{name}: no subset of it is embedded"))?;
            Ok((subset.load(), "embedded subset".to_owned()))
        }
        Source::Full => {
            let dir = cache::directory(data_dir).context("no folder for the full data sets: give --data-dir")?;
            let data = superlinear_datasets::load(name, &dir)?;
            Ok((data, "full set, checked by SHA-256".to_owned()))
        }
    }
}

impl Loaded {
    fn is_of(&self, spec: &RunSpec) -> bool {
        self.data.name == spec.dataset && self.source == spec.source
    }

    fn summary(&self) -> DataSummary {
        let Self { data, words, .. } = self;
        DataSummary { name: data.name.to_string(), source: words.clone(), images: [data.train.len(), data.test.len()] }
    }
}

fn data_of<'a>(data: &'a [Loaded], spec: &RunSpec) -> &'a Dataset {
    &data.iter().find(|known| known.is_of(spec)).expect("the data of every planned run are loaded").data
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
///
/// # Errors
/// When a number is not finite or the user interrupts.
pub(crate) fn analyse_all(
    specs: &[RunSpec],
    trained: Vec<TrainingRecord>,
    data: &[Loaded],
    threads: usize,
    voice: Voice,
) -> Result<Vec<RunRecord>> {
    let jobs: Vec<(&RunSpec, &TrainingRecord, &Checkpoint, usize)> =
        specs.iter().zip(&trained).flat_map(|(spec, training)| layers_of(spec, training)).collect();
    let stage = voice.stage("analyse", jobs.len() as u64, "layers/s");
    let layers = schedule::concurrently(
        threads,
        &jobs,
        |(spec, ..)| spec.n_samples() as f64,
        |&(spec, training, checkpoint, dense)| {
            interrupt::check()?;
            stage.at(&format!("{} layer {} after epoch {}", spec.id(), dense + 1, checkpoint.epoch));
            let layer = analyse(spec, training, checkpoint, dense, data_of(data, spec))?;
            stage.advance(1);
            Ok(layer)
        },
    )?;
    stage.done(&format!("{} layers", jobs.len()));
    let counts: Vec<usize> =
        specs.iter().zip(&trained).map(|(spec, training)| layers_of(spec, training).count()).collect();
    let mut layers = layers.into_iter();
    let runs = specs.iter().zip(trained).zip(counts).map(|((spec, training), n_layers)| {
        let layers = layers.by_ref().take(n_layers).collect();
        RunRecord { spec: spec.clone(), training, layers }
    });
    Ok(runs.collect())
}

/// What is analysed of a run: the target layer at every checkpoint, and all its layers at the last.
fn layers_of<'a>(
    spec: &'a RunSpec,
    training: &'a TrainingRecord,
) -> impl Iterator<Item = (&'a RunSpec, &'a TrainingRecord, &'a Checkpoint, usize)> {
    let last = training.checkpoints.len() - 1;
    training.checkpoints.iter().enumerate().flat_map(move |(k, checkpoint)| {
        let layers = if k == last { spec.layers() } else { vec![spec.target_dense()] };
        layers.into_iter().map(move |dense| (spec, training, checkpoint, dense))
    })
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
