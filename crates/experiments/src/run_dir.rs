//! A run's folder: which stage is in which file, and which files are believed.
//!
//! | file | stage |
//! |---|---|
//! | `run.rec` | what the folder is of, for a reader that has only the folder |
//! | `state.rec` | training under way: where to go on |
//! | `epoch-0020.rec` | the network after an epoch |
//! | `training.rec` | training is over: the drawn images, the curve, the test accuracy |
//! | `layer2-epoch-0020-<hash>.rec` | an analysed layer; the hash is that of the analysis' settings |
//! | `moments2-epoch-0020-<hash>.rec` | its matrices, with `--keep moments` |
//!
//! The folder is called `<id>-<hash>`, by the hash of what determines training. Each record repeats the hash that it
//! belongs to, so that a file from another folder is not believed. Locks stand beside the folders and are never
//! deleted.

use crate::identity::Key;
use crate::observer::Observer;
use crate::provenance::Provenance;
use crate::record::{AboutRecord, Checkpoint, Consistent, LayerRecord, MomentsRecord, StateRecord, TrainingRecord};
use crate::spec::RunSpec;
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use superlinear_store::lock::{self, Lock};
use superlinear_store::record::{Record, RecordError};
use superlinear_store::{atomic, record};

/// Folder of the locks, among the runs' folders.
pub const LOCKS: &str = ".locks";
/// Ending of records.
pub const RECORD: &str = "rec";

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    runs: PathBuf,
    name: String,
    key: Key,
}

/// One record of a run, there or not.
#[derive(Debug)]
pub struct Stage<T> {
    path: PathBuf,
    lock: PathBuf,
    key: Key,
    content: PhantomData<T>,
}

/// A record with what it belongs to and who made it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept<T> {
    key: Key,
    /// Commit, machine, version.
    pub by: Provenance,
    /// The stage's result.
    pub value: T,
}

/// Writes records, and counts the time that this takes.
#[derive(Debug)]
pub struct Saver {
    by: Provenance,
    micros: AtomicU64,
}

impl Saver {
    /// One that has written nothing.
    pub fn new(by: Provenance) -> Self {
        Self { by, micros: AtomicU64::new(0) }
    }

    /// Seconds of all threads spent in writing: encoding, checksum, flush to the disk.
    pub fn seconds(&self) -> f64 {
        self.micros.load(Ordering::Relaxed) as f64 / 1e6
    }
}

impl<T> Kept<T> {
    /// What it belongs to.
    pub fn key(&self) -> Key {
        self.key
    }
}

impl<T: Record> Record for Kept<T> {
    const KIND: &'static str = T::KIND;
    const VERSION: u32 = T::VERSION;
}

impl RunDir {
    /// The folder of a run among `runs`; `data` is the hash of its data set in hexadecimal.
    pub fn of(runs: &Path, spec: &RunSpec, data: &str) -> Self {
        let key = Key::of_training(spec, data);
        Self { runs: runs.to_owned(), name: format!("{}-{}", spec.id(), key.short()), key }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.runs.join(&self.name)
    }

    fn stage<T>(&self, file: &str, key: Key) -> Stage<T> {
        Stage {
            path: self.path().join(format!("{file}.{RECORD}")),
            lock: self.runs.join(LOCKS).join(format!("{}-{file}", self.name)),
            key,
            content: PhantomData,
        }
    }

    /// What the folder is of.
    pub fn about(&self) -> Stage<AboutRecord> {
        self.stage("run", self.key)
    }

    /// Training under way.
    pub fn state(&self) -> Stage<StateRecord> {
        self.stage("state", self.key)
    }

    /// Training that is over.
    pub fn training(&self) -> Stage<TrainingRecord> {
        self.stage("training", self.key)
    }

    /// The network after an epoch.
    pub fn checkpoint(&self, epoch: usize) -> Stage<Checkpoint> {
        self.stage(&format!("epoch-{epoch:04}"), self.key)
    }

    /// An analysed layer.
    pub fn layer(&self, spec: &RunSpec, job: LayerJob) -> Stage<LayerRecord> {
        let key = self.key.of_layer(spec, job);
        self.stage(&format!("layer{}-epoch-{:04}-{}", job.dense + 1, job.epoch, key.short()), key)
    }

    /// The records of this layer that an earlier version of the analysis has left, in words; they are never read.
    pub fn earlier_layers(&self, job: LayerJob) -> Vec<String> {
        let beginning = format!("layer{}-epoch-{:04}-", job.dense + 1, job.epoch);
        let entries = std::fs::read_dir(self.path()).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let is_of_layer = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(&beginning) && name.ends_with(&format!(".{RECORD}"))
        };
        let mut found: Vec<String> = entries
            .filter(is_of_layer)
            .filter_map(|path| Some((record::describe(&path).ok()?.version, path)))
            .filter(|(version, _)| *version < LayerRecord::VERSION)
            .map(|(version, path)| {
                format!("{}: version {version} of the analysis, expected {}", path.display(), LayerRecord::VERSION)
            })
            .collect();
        found.sort();
        found
    }

    /// The record of an analysed layer, which has to be there and intact.
    ///
    /// # Errors
    /// Otherwise, naming the file, or those of an earlier version of the analysis.
    pub fn read_layer(&self, spec: &RunSpec, job: LayerJob) -> Result<LayerRecord> {
        let stage = self.layer(spec, job);
        let earlier = if stage.path().exists() { Vec::new() } else { self.earlier_layers(job) };
        if !earlier.is_empty() {
            bail!("{}; `cargo xtask reproduce` analyses it again, without training", earlier.join("; "));
        }
        let layer = stage.read()?;
        if (layer.dense, layer.epoch) != (job.dense, job.epoch) {
            let (dense, epoch) = (layer.dense + 1, layer.epoch);
            bail!("{}: inconsistent: it is of layer {dense} after epoch {epoch}", stage.path().display());
        }
        Ok(layer)
    }

    /// Its matrices. They are determined by training alone, but stand beside the record that was made of them.
    pub fn moments(&self, spec: &RunSpec, job: LayerJob) -> Stage<MomentsRecord> {
        let key = self.key.of_layer(spec, job);
        self.stage(&format!("moments{}-epoch-{:04}-{}", job.dense + 1, job.epoch, key.short()), key)
    }
}

/// A layer to be analysed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerJob {
    /// After which epoch.
    pub epoch: usize,
    /// Which dense layer, counted from 0.
    pub dense: usize,
    /// Whether that is the trained network.
    pub is_last: bool,
}

/// What is analysed of a run: the target layer at every checkpoint, and all its layers at the last.
pub fn layers_of(spec: &RunSpec, training: &TrainingRecord) -> Vec<LayerJob> {
    let last = training.history.len();
    let mut epochs: Vec<usize> = spec.checkpoints.iter().copied().filter(|&epoch| epoch < last).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let target = spec.target_dense();
    let earlier = epochs.into_iter().map(|epoch| LayerJob { epoch, dense: target, is_last: false });
    let trained = spec.analysed_dense().into_iter().map(|dense| LayerJob { epoch: last, dense, is_last: true });
    earlier.chain(trained).collect()
}

impl<T: Record + Consistent> Stage<T> {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The stage's lock, unless somebody else has it.
    ///
    /// # Errors
    /// When there can be no lock.
    pub fn try_lock(&self) -> Result<Option<Lock>> {
        Ok(lock::try_lock(&self.lock)?)
    }

    /// The record, which has to be there and intact.
    ///
    /// # Errors
    /// Otherwise, naming the file.
    pub fn read(&self) -> Result<T> {
        Ok(self.read_kept()?.value)
    }

    /// The same with who made it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_kept(&self) -> Result<Kept<T>> {
        let kept: Kept<T> = record::read(&self.path)?;
        if kept.key != self.key {
            bail!("{}: belongs to another run, or to other settings", self.path.display());
        }
        kept.value.check().map_err(|defect| anyhow!("{}: {defect}", self.path.display()))?;
        Ok(kept)
    }

    /// The record if there is one. A damaged or foreign one is set aside, said so, and counts as none. Only for who
    /// holds the lock.
    ///
    /// # Errors
    /// When the file cannot be read or set aside, or is of a later version of this software.
    pub fn take(&self, observer: &dyn Observer) -> Result<Option<T>> {
        let defect = match record::read::<Kept<T>>(&self.path) {
            Ok(kept) if kept.key == self.key => match kept.value.check() {
                Ok(()) => return Ok(Some(kept.value)),
                Err(defect) => defect,
            },
            Ok(_) => "belongs to another run, or to other settings".to_owned(),
            Err(RecordError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(RecordError::Defect { defect, .. }) if !defect.is_newer() => defect.to_string(),
            Err(error @ RecordError::Defect { .. }) => {
                return Err(error).context("made by a later version of this software; use that, or another --out");
            }
            Err(error) => return Err(error.into()),
        };
        let aside = atomic::set_aside(&self.path)?;
        let aside = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        observer.note("set aside", &format!("{}: {defect}; kept as {aside}, made again", self.path.display()));
        Ok(None)
    }

    /// Writes the record, atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, value: T, saver: &Saver) -> Result<T> {
        let start = Instant::now();
        let kept = Kept { key: self.key, by: saver.by.clone(), value };
        record::write(&self.path, &kept)?;
        saver.micros.fetch_add(start.elapsed().as_micros() as u64, Ordering::Relaxed);
        Ok(kept.value)
    }

    /// Copies the record, as it is, to where another stage has it.
    ///
    /// # Errors
    /// When it is not there or cannot be written.
    pub fn copy_to(&self, to: &Self) -> Result<()> {
        let bytes = superlinear_store::whole::read(&self.path)
            .with_context(|| format!("{}: cannot read", self.path.display()))?;
        Ok(atomic::write(&to.path, &bytes)?)
    }

    /// Removes the record, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(cause).with_context(|| format!("{}: cannot remove", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}
