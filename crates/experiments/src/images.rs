//! The data sets of runs, loaded once each, with the hash that names them.

use crate::identity::Key;
use crate::spec::{RunSpec, Source};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use superlinear_datasets::{Dataset, DatasetName, cache, embedded};

/// A data set that was read, as results say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Its name.
    pub name: String,
    /// `embedded subset`, or `full set, checked by SHA-256`.
    pub source: String,
    /// Training and test images.
    pub images: [usize; 2],
    /// SHA-256 of all its images and labels, in hexadecimal.
    pub sha256: String,
}

impl DataSummary {
    /// Whether a run draws from this data set.
    pub fn is_of(&self, spec: &RunSpec) -> bool {
        self.name == spec.dataset.to_string() && self.source == spec.source.words()
    }
}

/// A data set with where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The images.
    pub data: Dataset,
    source: Source,
    /// SHA-256 of all images and labels, in hexadecimal.
    pub sha256: String,
}

impl Loaded {
    fn is_of(&self, spec: &RunSpec) -> bool {
        self.data.name == spec.dataset && self.source == spec.source
    }

    /// As results say it.
    pub fn summary(&self) -> DataSummary {
        let Self { data, source, sha256 } = self;
        DataSummary {
            name: data.name.to_string(),
            source: source.words().to_owned(),
            images: [data.train.len(), data.test.len()],
            sha256: sha256.clone(),
        }
    }
}

/// The data sets of the runs.
///
/// # Errors
/// As [`load_dataset`].
pub fn load_data(specs: &[RunSpec], data_dir: Option<&Path>) -> Result<Vec<Loaded>> {
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
pub fn load_dataset(name: DatasetName, source: Source, data_dir: Option<&Path>) -> Result<Dataset> {
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

/// The data set of a run.
///
/// # Panics
/// When `data` are not those of the run.
pub fn loaded_of<'a>(data: &'a [Loaded], spec: &RunSpec) -> &'a Loaded {
    data.iter().find(|known| known.is_of(spec)).expect("the data of every planned run are loaded")
}
