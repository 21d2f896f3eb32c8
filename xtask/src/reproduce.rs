//! `cargo xtask reproduce`: plan, train, analyse, and publish.
//!
//! Every stage of a run leaves a record in the run's folder ([`run_dir`](crate::run_dir)), and a stage that has one is not
//! done again. So the same command continues what was stopped at any instant, and several processes on one folder share
//! the stages.

use crate::cli::ReproduceArgs;
use crate::estimate::{self, Cost, Speed, human_bytes, human_time};
use crate::experiment::{Saving, analyse, layer_matrices, train_run};
use crate::failure::{self, Failure};
use crate::identity::Key;
use crate::interrupt::Interrupted;
use crate::outputs::{Featured, OutputId};
use crate::part::{PART, Part};
use crate::plan::{self, Keep, Request, RunSpec, Source};
use crate::progress::Voice;
use crate::provenance::{self, Provenance};
use crate::publish::{self, Published};
use crate::record::{AboutRecord, LayerRecord, RunRecord, TrainingRecord};
use crate::run_dir::{LOCKS, LayerJob, RunDir, Saver, layers_of};
use crate::shard::Shard;
use crate::summary::DataSummary;
use crate::{interrupt, work};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use superlinear_datasets::{Dataset, DatasetName, cache, embedded};
use superlinear_store::lock::{self, Lock};

/// Folder of the runs' folders inside a profile's results.
pub(crate) const RUNS: &str = "runs";
/// Name of the summary inside a profile's results; written last but for the report.
pub(crate) const SUMMARY: &str = "summary.json";
/// Name of the report inside a profile's results.
pub(crate) const REPORT: &str = "report.html";
/// Folder of the shares inside a profile's results.
pub(crate) const SHARDS: &str = "shards";

/// Lock that every process shares while it works on runs, and that who removes them has alone.
const AT_WORK: &str = "at-work";

/// Runs the command.
///
/// # Errors
/// When the data are missing, the results cannot be written, a number is not finite, or the user interrupts.
pub(crate) fn run(args: ReproduceArgs) -> Result<()> {
    let request = request_of(&args);
    let shard = args.shard.map(|shard| shard.resolve(|name| std::env::var(name).ok())).transpose()?;
    if shard.is_some() && args.keep == Keep::None {
        bail!("--keep none leaves nothing to merge: use another with --shard");
    }
    let mut specs = plan::runs(&request)?;
    if let Some(shard) = shard {
        specs = shard.of(&specs);
    }
    let threads = threads(args.threads);
    if args.dry_run {
        return dry_run(&specs, threads, args.keep);
    }
    let voice = if args.quiet { Voice::Quiet } else { Voice::Normal };
    let whole = args.out.join(request.profile.to_string());
    let target = shard.map_or_else(|| whole.clone(), |shard| whole.join(SHARDS).join(shard.folder()));
    let (provenance, program) = (Provenance::here(), provenance::program()?);
    publish::prepare(&target)?;
    interrupt::listen()?;

    let data = load_data(&specs, args.data_dir.as_deref())?;
    let every = Duration::try_from_secs_f64(args.save_every).context("--save-every")?;
    let reproduction = Reproduction {
        args: &args,
        request: &request,
        shard,
        specs: &specs,
        data: &data,
        target,
        threads,
        every,
        saver: Saver::new(provenance.clone()),
        provenance,
        program,
        voice,
    };
    match reproduction.run() {
        Err(error) if error.is::<Interrupted>() => {
            let target = reproduction.target.join(RUNS);
            Err(error.context(format!(
                "interrupted: what is done is saved in {}; the same command goes on from there",
                target.display()
            )))
        }
        other => other,
    }
}

/// What the arguments ask for.
pub(crate) fn request_of(args: &ReproduceArgs) -> Request {
    Request {
        profile: args.profile,
        outputs: if args.only.is_empty() { OutputId::ALL.to_vec() } else { args.only.clone() },
        featured: if args.runs.is_empty() { Featured::Usual } else { Featured::Runs(args.runs.clone()) },
        settings: args.settings.clone(),
        n_seeds: args.seeds.map(usize::from),
        checkpoints: args.checkpoints.as_ref().map(|epochs| epochs.iter().copied().map(usize::from).collect()),
    }
}

/// One call of the command, planned.
struct Reproduction<'a> {
    args: &'a ReproduceArgs,
    request: &'a Request,
    shard: Option<Shard>,
    specs: &'a [RunSpec],
    data: &'a [Loaded],
    target: PathBuf,
    threads: usize,
    every: Duration,
    provenance: Provenance,
    saver: Saver,
    program: String,
    voice: Voice,
}

impl Reproduction<'_> {
    fn run(&self) -> Result<()> {
        let at_work = self.target.join(RUNS).join(LOCKS).join(AT_WORK);
        let here = work::wait_to_share(&at_work, "removes runs that are not kept", self.voice)?;
        self.results()?;
        drop(here);
        self.remove_what_is_not_kept(&at_work)
    }

    /// Makes the results, unless they are there.
    fn results(&self) -> Result<()> {
        let Self { voice, ref target, shard, .. } = *self;
        if self.is_done()? {
            let what = if shard.is_some() { PART } else { REPORT };
            voice.line(&format!("{:>10}  nothing to do: {} is up to date", "done", target.join(what).display()));
            return Ok(());
        }
        let start = Instant::now();
        let dirs: Vec<RunDir> = self.specs.iter().map(|spec| self.dir_of(spec)).collect();
        let jobs: Vec<(&RunSpec, &RunDir)> = self.specs.iter().zip(&dirs).collect();
        let (trained, mut failures) = self.train_all(&jobs)?;
        let jobs: Vec<_> = jobs.into_iter().zip(trained).filter_map(|(job, trained)| Some((job, trained?))).collect();
        let (runs, failed) = self.analyse_all(&jobs)?;
        failures.extend(failed);
        let _lock = lock_results(target, voice)?;
        if self.is_done()? {
            voice.line(&format!("{:>10}  another process has written the results", "done"));
            return Ok(());
        }
        let published = Published {
            request: self.request,
            shard,
            data: self.data.iter().map(Loaded::summary).collect(),
            provenance: self.provenance.clone(),
            program: self.program.clone(),
            keep: self.args.keep,
            failures: failures.clone(),
            threads: self.threads,
            wall_s: start.elapsed().as_secs_f64(),
            saving_s: self.saver.seconds(),
        };
        match shard {
            None => published.write(&runs, target, voice)?,
            Some(shard) => {
                interrupt::check()?;
                published.write_part(&[], target)?;
                let share = format!("{}/{}", shard.index, shard.count);
                voice.line(&format!("{share:>10}  {} runs in {}", runs.len(), target.display()));
                let all = target.with_file_name(format!("*-of-{}", shard.count));
                let out = self.args.out.display();
                voice.line(&format!("{:>10}  cargo xtask merge {} --out {out}", "then", all.display()));
            }
        }
        if let Some(first) = failures.first() {
            let (n, of) = (failures.len(), self.specs.len());
            bail!("{n} of {of} runs failed, and the results say so; the first: {}", first.error);
        }
        Ok(())
    }

    /// With `--keep none`, the runs' folders: by the last process that leaves, since the others may still look for them.
    fn remove_what_is_not_kept(&self, at_work: &Path) -> Result<()> {
        if self.args.keep != Keep::None {
            return Ok(());
        }
        let Some(_alone) = lock::try_lock(at_work)? else {
            self.voice.line(&format!("{:>10}  the runs, to another process that works on them", "left"));
            return Ok(());
        };
        for path in self.specs.iter().map(|spec| self.dir_of(spec).path()).filter(|path| path.is_dir()) {
            std::fs::remove_dir_all(&path).with_context(|| format!("{}: cannot remove", path.display()))?;
        }
        Ok(())
    }

    /// Whether the results answer this very request, made of the same data by the same program, and all is still there.
    fn is_done(&self) -> Result<bool> {
        let dir = &self.target;
        let Ok(part) = Part::read(dir) else { return Ok(false) };
        let data: Vec<DataSummary> = self.data.iter().map(Loaded::summary).collect();
        let same = part.request == *self.request && part.shard == self.shard && part.data == data;
        if !same || !part.failures.is_empty() || part.program != self.program || !part.files_are_intact(dir) {
            return Ok(false);
        }
        if self.args.keep == Keep::None || part.keep == Keep::None {
            return Ok(self.args.keep == Keep::None);
        }
        // A layer that is analysed again for its matrices has other times, which the results show.
        if part.keep < self.args.keep {
            return Ok(false);
        }
        // Damaged records are set aside and made again by the stages, which hold the locks.
        Ok(part.run_dirs(dir)?.iter().all(|(spec, run)| {
            let moments_are_there = |training: &TrainingRecord| {
                let mut jobs = layers_of(spec, training).into_iter();
                self.args.keep < Keep::Moments || jobs.all(|job| run.moments(spec, job).read().is_ok())
            };
            part.record(spec, run).is_ok_and(|record| moments_are_there(&record.training))
        }))
    }

    fn dir_of(&self, spec: &RunSpec) -> RunDir {
        RunDir::of(&self.target.join(RUNS), spec, &loaded_of(self.data, spec).sha256)
    }

    /// Trains all runs, each on its share of the threads; those that fail have no record.
    fn train_all(&self, runs: &[(&RunSpec, &RunDir)]) -> Result<(Vec<Option<TrainingRecord>>, Vec<Failure>)> {
        let images = |spec: &RunSpec| (spec.n_samples() * spec.epochs) as u64;
        let stage = self.voice.stage("train", self.specs.iter().map(images).sum(), "images/s");
        let job = |&(spec, dir): &(&RunSpec, &RunDir)| {
            interrupt::check()?;
            let Some(_lock) = dir.training().try_lock()? else { return Ok(None) };
            stage.at(&spec.id());
            let loaded = loaded_of(self.data, spec);
            if dir.about().take(self.voice)?.is_none() {
                let about = AboutRecord { spec: spec.clone(), data: loaded.sha256.clone() };
                dir.about().write(about, &self.saver)?;
            }
            let (every, saver, voice) = (self.every, &self.saver, self.voice);
            let saving = Saving { dir, keep: self.args.keep, every, saver, voice };
            failure::outcome(|| spec.id(), train_run(spec, &loaded.data, saving, |images| stage.advance(images)))
                .map(Some)
        };
        let cost = |(spec, _): &(&RunSpec, &RunDir)| images(spec) as f64;
        let trained = work::share(self.threads, runs, "networks", self.voice, cost, job)?;
        stage.done(&format!("{} networks", runs.len()));
        let mut failures = Vec::new();
        let trained =
            trained.into_iter().map(|trained| trained.map_err(|failure| failures.push(failure)).ok()).collect();
        Ok((trained, failures))
    }

    /// Analyses all runs at all their checkpoints; a run of which a layer fails, fails.
    fn analyse_all(&self, runs: &[((&RunSpec, &RunDir), TrainingRecord)]) -> Result<(Vec<RunRecord>, Vec<Failure>)> {
        let jobs: Vec<(&RunSpec, &RunDir, &TrainingRecord, LayerJob)> = runs
            .iter()
            .flat_map(|((spec, dir), training)| {
                layers_of(spec, training).into_iter().map(move |job| (*spec, *dir, training, job))
            })
            .collect();
        let stage = self.voice.stage("analyse", jobs.len() as u64, "layers/s");
        let job = |&(spec, dir, training, job): &(&RunSpec, &RunDir, &TrainingRecord, LayerJob)| {
            interrupt::check()?;
            let Some(_lock) = dir.layer(spec, job).try_lock()? else { return Ok(None) };
            stage.at(&format!("{} layer {} after epoch {}", spec.id(), job.dense + 1, job.epoch));
            let layer = failure::outcome(|| spec.id(), self.layer(spec, dir, training, job))?;
            stage.advance(1);
            Ok(Some(layer))
        };
        let cost = |(spec, ..): &(&RunSpec, &RunDir, &TrainingRecord, LayerJob)| spec.n_samples() as f64;
        let layers = work::share(self.threads, &jobs, "layers", self.voice, cost, job)?;
        stage.done(&format!("{} layers", jobs.len()));
        let mut layers = layers.into_iter();
        let (mut records, mut failures) = (Vec::new(), Vec::new());
        for ((spec, _), training) in runs {
            let layers: Vec<_> = layers.by_ref().take(layers_of(spec, training).len()).collect();
            let record = layers
                .into_iter()
                .collect::<Result<_, Failure>>()
                .map(|layers| RunRecord { spec: (*spec).clone(), training: training.clone(), layers })
                .and_then(|record| failure::of_fits(&record).map_or(Ok(record), Err));
            match record {
                Ok(record) => records.push(record),
                Err(failure) => failures.push(failure),
            }
        }
        Ok((records, failures))
    }

    /// The record of a layer: as stored, or analysed and stored.
    fn layer(&self, spec: &RunSpec, dir: &RunDir, training: &TrainingRecord, job: LayerJob) -> Result<LayerRecord> {
        let wants_moments = self.args.keep == Keep::Moments;
        let (stage, moments) = (dir.layer(spec, job), dir.moments(spec, job));
        if let Some(layer) = stage.take(self.voice)?
            && (!wants_moments || moments.take(self.voice)?.is_some())
        {
            return Ok(layer);
        }
        for earlier in dir.earlier_layers(job) {
            self.voice.line(&format!("{:>10}  {earlier}; analysed again", "earlier"));
        }
        let checkpoint = dir.checkpoint(job.epoch).read()?;
        let data = &loaded_of(self.data, spec).data;
        let matrices = layer_matrices(spec, &training.indices, &checkpoint, job.dense, data)?;
        if wants_moments {
            moments.write(matrices.record(), &self.saver)?;
        }
        stage.write(analyse(spec, job, matrices)?, &self.saver)
    }
}

/// The lock of who writes results into `target`.
///
/// # Errors
/// When there can be no lock, or the user interrupts while waiting.
pub(crate) fn lock_results(target: &Path, voice: Voice) -> Result<Lock> {
    work::wait_for(&target.join(RUNS).join(LOCKS).join("results"), "writes the results", voice)
}

/// As many threads as asked for, or as there are cores.
pub(crate) fn threads(asked: Option<NonZeroUsize>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// A data set with where it came from.
pub(crate) struct Loaded {
    pub(crate) data: Dataset,
    source: Source,
    /// Of all images and labels, in hexadecimal.
    sha256: String,
}

/// The data sets of the runs.
///
/// # Errors
/// As [`load_dataset`].
pub(crate) fn load_data(specs: &[RunSpec], data_dir: Option<&Path>) -> Result<Vec<Loaded>> {
    let mut loaded: Vec<Loaded> = Vec::new();
    for spec in specs {
        if !loaded.iter().any(|known| known.is_of(spec)) {
            let data = load_dataset(spec.dataset, spec.source, data_dir)?;
            loaded.push(Loaded { sha256: Key::of_dataset(&data).hex(), data, source: spec.source });
        }
    }
    Ok(loaded)
}

/// One data set.
///
/// # Errors
/// When no subset of it is embedded, or the full set is not in the cache.
pub(crate) fn load_dataset(name: DatasetName, source: Source, data_dir: Option<&Path>) -> Result<Dataset> {
    match source {
        Source::Embedded => {
            let subset = embedded::subset(name).with_context(|| format!("{name}: no subset of it is embedded"))?;
            Ok(subset.load())
        }
        Source::Full => {
            let dir = cache::directory(data_dir).context("no folder for the full data sets: give --data-dir")?;
            Ok(superlinear_datasets::load(name, &dir)?)
        }
    }
}

impl Loaded {
    fn is_of(&self, spec: &RunSpec) -> bool {
        self.data.name == spec.dataset && self.source == spec.source
    }

    fn summary(&self) -> DataSummary {
        let Self { data, source, sha256 } = self;
        DataSummary {
            name: data.name.to_string(),
            source: source.words().to_owned(),
            images: [data.train.len(), data.test.len()],
            sha256: sha256.clone(),
        }
    }
}

/// The data set of a run.
pub(crate) fn loaded_of<'a>(data: &'a [Loaded], spec: &RunSpec) -> &'a Loaded {
    data.iter().find(|known| known.is_of(spec)).expect("the data of every planned run are loaded")
}

/// Prints the runs with their estimated cost.
fn dry_run(specs: &[RunSpec], threads: usize, keep: Keep) -> Result<()> {
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
        let cost = estimate::cost(spec, speed, keep);
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
