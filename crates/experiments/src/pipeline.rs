//! From a request to finished runs: every stage is done once, by whichever process comes first, and found by the
//! others.
//!
//! A stage of a run leaves a record in the run's folder ([`run_dir`](crate::run_dir)); one that is there and intact is
//! not done again. So the same call goes on from what was stopped at any instant.

use crate::analyse::{analyse, layer_matrices};
use crate::failure::{self, Failure};
use crate::images::{DataSummary, Loaded, loaded_of};
use crate::keep::Keep;
use crate::manifest::{Manifest, RUNS, Request};
use crate::observer::Observer;
use crate::pending::Pending;
use crate::record::{AboutRecord, LayerRecord, RunRecord, TrainingRecord};
use crate::run_dir::{LOCKS, LayerJob, RunDir, Saver, layers_of};
use crate::shard::Shard;
use crate::shared_work;
use crate::spec::RunSpec;
use crate::train::{Saving, train_run};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use superlinear_store::lock::{self, Lock};

/// Lock that processes share while they work on runs. To remove runs, a process must hold it alone.
const AT_WORK: &str = "at-work";

/// One call of a reproduction.
#[derive(Debug)]
pub struct Pipeline<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// Which share of it; all if `None`.
    pub shard: Option<Shard>,
    /// The runs of that share.
    pub specs: &'a [RunSpec],
    /// Their data.
    pub data: &'a [Loaded],
    /// Folder of the results.
    pub target: &'a Path,
    /// Threads.
    pub threads: usize,
    /// How often a network in training is saved.
    pub save_every: Duration,
    /// What stays on the disk.
    pub keep: Keep,
    /// Writes the records.
    pub saver: &'a Saver,
    /// SHA-256 of the program, in hexadecimal: another build's results are not taken for its own.
    pub program: &'a str,
}

/// What a call has made, or found.
#[derive(Debug)]
pub struct Finished {
    /// Runs with all their records.
    pub runs: Vec<RunRecord>,
    /// Runs that came to nothing.
    pub failures: Vec<Failure>,
}

impl Pipeline<'_> {
    /// Shares the lock on work: while it is held, nobody removes runs.
    ///
    /// # Errors
    /// When there can be no lock, or the observer stops the wait.
    pub fn begin(&self, observer: &dyn Observer) -> Result<Lock> {
        shared_work::wait_to_share(&at_work(self.target), "removes runs that are not kept", observer)
    }

    fn pending(&self) -> Pending {
        Pending { request: self.request.clone(), data: self.data_summaries() }
    }

    /// Says that the request has been answered: from now on only its results need what is stored.
    ///
    /// # Errors
    /// When the note that it is under way cannot be removed.
    pub fn end(&self) -> Result<()> {
        self.pending().end(self.target)
    }

    /// Trains and analyses every run.
    ///
    /// # Errors
    /// When something cannot be read or written, or the observer stops it.
    pub fn run(&self, observer: &dyn Observer) -> Result<Finished> {
        self.pending().begin(self.target)?;
        let dirs: Vec<RunDir> = self.specs.iter().map(|spec| self.dir_of(spec)).collect();
        let jobs: Vec<(&RunSpec, &RunDir)> = self.specs.iter().zip(&dirs).collect();
        let (trained, mut failures) = self.train_all(&jobs, observer)?;
        let jobs: Vec<_> = jobs.into_iter().zip(trained).filter_map(|(job, trained)| Some((job, trained?))).collect();
        let (runs, failed) = self.analyse_all(&jobs, observer)?;
        failures.extend(failed);
        Ok(Finished { runs, failures })
    }

    /// With [`Keep::None`], removes the runs' folders, unless another process works on them.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn remove_what_is_not_kept(&self, observer: &dyn Observer) -> Result<()> {
        // What the results say is kept stays, whoever asks for less.
        if self.keep != Keep::None || Manifest::read(self.target).is_ok_and(|manifest| manifest.keep != Keep::None) {
            return Ok(());
        }
        let Some(_alone) = lock::try_lock(&at_work(self.target))? else {
            observer.note("left", "the runs, to another process that works on them");
            return Ok(());
        };
        for path in self.specs.iter().map(|spec| self.dir_of(spec).path()).filter(|path| path.is_dir()) {
            std::fs::remove_dir_all(&path).with_context(|| format!("{}: cannot remove", path.display()))?;
        }
        Ok(())
    }

    /// The data sets of its runs, as results say them.
    pub fn data_summaries(&self) -> Vec<DataSummary> {
        self.data.iter().map(Loaded::summary).collect()
    }

    /// Whether the results answer this very request, made of the same data by the same program, and all is still there.
    ///
    /// # Errors
    /// When the manifest does not name the data of a run.
    pub fn is_done(&self) -> Result<bool> {
        let dir = self.target;
        let Ok(manifest) = Manifest::read(dir) else { return Ok(false) };
        let same = manifest.request == *self.request
            && manifest.shard == self.shard
            && manifest.data == self.data_summaries()
            && manifest.program == self.program;
        if !same || !manifest.failures.is_empty() || !manifest.files_are_intact(dir) {
            return Ok(false);
        }
        if self.keep == Keep::None || manifest.keep == Keep::None {
            return Ok(self.keep == Keep::None);
        }
        // A layer that is analysed again for its matrices has other times, which the results show.
        if manifest.keep < self.keep {
            return Ok(false);
        }
        // Damaged records are set aside and made again by the stages, which hold the locks.
        Ok(manifest.run_dirs(dir)?.iter().all(|(spec, run)| {
            // Networks are results too: exports and recomputations start from them.
            let networks_are_there = |training: &TrainingRecord| {
                let epochs = layers_of(spec, training).into_iter().map(|job| job.epoch);
                epochs.into_iter().all(|epoch| run.checkpoint(epoch).read().is_ok())
            };
            let moments_are_there = |training: &TrainingRecord| {
                let mut jobs = layers_of(spec, training).into_iter();
                self.keep < Keep::Moments || jobs.all(|job| run.moments(spec, job).read().is_ok())
            };
            let all_is_there =
                |record: RunRecord| networks_are_there(&record.training) && moments_are_there(&record.training);
            manifest.record(spec, run).is_ok_and(all_is_there)
        }))
    }

    fn dir_of(&self, spec: &RunSpec) -> RunDir {
        RunDir::of(&self.target.join(RUNS), spec, &loaded_of(self.data, spec).sha256)
    }

    /// Trains all runs, each on its share of the threads; those that fail have no record.
    fn train_all(
        &self,
        runs: &[(&RunSpec, &RunDir)],
        observer: &dyn Observer,
    ) -> Result<(Vec<Option<TrainingRecord>>, Vec<Failure>)> {
        let images = |spec: &RunSpec| (spec.n_samples() * spec.epochs) as u64;
        let stage = observer.stage("train", self.specs.iter().map(images).sum(), "images/s");
        let job = |&(spec, dir): &(&RunSpec, &RunDir)| {
            observer.check()?;
            let Some(_lock) = dir.training().try_lock()? else { return Ok(None) };
            stage.at(&spec.id());
            let loaded = loaded_of(self.data, spec);
            if dir.about().take(observer)?.is_none() {
                dir.about().write(AboutRecord::new(spec, &loaded.sha256), self.saver)?;
            }
            let saving = Saving { dir, keep: self.keep, every: self.save_every, saver: self.saver, observer };
            failure::outcome(|| spec.id(), train_run(spec, &loaded.data, saving, |images| stage.advance(images)))
                .map(Some)
        };
        let cost = |(spec, _): &(&RunSpec, &RunDir)| images(spec) as f64;
        let trained = shared_work::share(self.threads, runs, "networks", observer, cost, job)?;
        stage.done(&format!("{} networks", runs.len()));
        let mut failures = Vec::new();
        let trained =
            trained.into_iter().map(|trained| trained.map_err(|failure| failures.push(failure)).ok()).collect();
        Ok((trained, failures))
    }

    /// Analyses all runs at all their checkpoints; a run of which a layer fails, fails.
    fn analyse_all(
        &self,
        runs: &[((&RunSpec, &RunDir), TrainingRecord)],
        observer: &dyn Observer,
    ) -> Result<(Vec<RunRecord>, Vec<Failure>)> {
        let jobs: Vec<(&RunSpec, &RunDir, &TrainingRecord, LayerJob)> = runs
            .iter()
            .flat_map(|((spec, dir), training)| {
                layers_of(spec, training).into_iter().map(move |job| (*spec, *dir, training, job))
            })
            .collect();
        let stage = observer.stage("analyse", jobs.len() as u64, "layers/s");
        let job = |&(spec, dir, training, job): &(&RunSpec, &RunDir, &TrainingRecord, LayerJob)| {
            observer.check()?;
            let Some(_lock) = dir.layer(spec, job).try_lock()? else { return Ok(None) };
            stage.at(&format!("{} layer {} after epoch {}", spec.id(), job.dense + 1, job.epoch));
            let layer = failure::outcome(|| spec.id(), self.layer(spec, dir, training, job, observer))?;
            stage.advance(1);
            Ok(Some(layer))
        };
        let cost = |(spec, ..): &(&RunSpec, &RunDir, &TrainingRecord, LayerJob)| spec.n_samples() as f64;
        let layers = shared_work::share(self.threads, &jobs, "layers", observer, cost, job)?;
        stage.done(&format!("{} layers", jobs.len()));
        let mut layers = layers.into_iter();
        let (mut records, mut failures) = (Vec::new(), Vec::new());
        for ((spec, _), training) in runs {
            let layers: Vec<_> = layers.by_ref().take(layers_of(spec, training).len()).collect();
            match layers.into_iter().collect::<Result<_, Failure>>() {
                Ok(layers) => {
                    records.push(RunRecord { spec: (*spec).clone(), training: training.clone(), layers });
                }
                Err(failure) => failures.push(failure),
            }
        }
        Ok((records, failures))
    }

    /// The record of a layer: as stored, or analysed and stored.
    fn layer(
        &self,
        spec: &RunSpec,
        dir: &RunDir,
        training: &TrainingRecord,
        job: LayerJob,
        observer: &dyn Observer,
    ) -> Result<LayerRecord> {
        let wants_moments = self.keep == Keep::Moments;
        let (stage, moments) = (dir.layer(spec, job), dir.moments(spec, job));
        if let Some(layer) = stage.take(observer)?
            && (layer.dense, layer.epoch) == (job.dense, job.epoch)
            && (!wants_moments || moments.take(observer)?.is_some())
        {
            return Ok(layer);
        }
        for earlier in dir.earlier_layers(job) {
            observer.note("earlier", &format!("{earlier}; analysed again"));
        }
        let checkpoint = dir.checkpoint(job.epoch).read()?;
        let data = &loaded_of(self.data, spec).data;
        let matrices = layer_matrices(spec, &training.indices, &checkpoint, job.dense, data)?;
        if wants_moments {
            moments.write(matrices.record(), self.saver)?;
        }
        stage.write(analyse(spec, job, matrices)?, self.saver)
    }
}

/// The lock that processes share while they work on the runs in `target`. To remove runs, a process must hold it alone.
pub(crate) fn at_work(target: &Path) -> PathBuf {
    target.join(RUNS).join(LOCKS).join(AT_WORK)
}

/// The lock of the process that writes results into `target`.
///
/// # Errors
/// When there can be no lock, or the observer stops the wait.
pub fn lock_results(target: &Path, observer: &dyn Observer) -> Result<Lock> {
    shared_work::wait_for(&target.join(RUNS).join(LOCKS).join("results"), "writes the results", observer)
}
