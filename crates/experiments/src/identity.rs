//! What determines a stored number, hashed: of a training run, and of an analysed layer of it.
//!
//! A record is found, and believed, by the hash of everything that its content is a function of. Training's does not
//! know of the analysis, so that a change of what is analysed or drawn finds the trained networks again.

mod canonical;

use crate::record::LayerRecord;
use crate::run_dir::LayerJob;
use crate::spec::RunSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use superlinear_datasets::{Dataset, Split};
use superlinear_store::record::Record;

/// To be raised whenever the same settings train another network, so that older ones are not taken for it.
const TRAINING_NUMERICS: u32 = 2;
/// The same for the analysis of a network.
const ANALYSIS_NUMERICS: u32 = 2;

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; 32]);

impl Key {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn of_value(value: &impl Serialize) -> Self {
        Self::of(&serde_json::to_vec(value).expect("settings are plain data"))
    }

    /// In hexadecimal.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Enough of it for a file's name.
    pub fn short(&self) -> String {
        self.hex()[..16].to_owned()
    }

    /// Of every image and label of a data set.
    pub fn of_dataset(data: &Dataset) -> Self {
        let mut hash = Sha256::new();
        let mut add = |split: &Split| {
            let shape = split.shape();
            for count in [split.len(), shape.channels, shape.height, shape.width] {
                hash.update((count as u64).to_le_bytes());
            }
            hash.update(split.images());
            hash.update(split.labels());
        };
        add(&data.train);
        add(&data.test);
        Self(hash.finalize().into())
    }

    /// Of a trained network: what is drawn, from which data (`data` is their hash in hexadecimal), and how it is
    /// trained.
    pub fn of_training(spec: &RunSpec, data: &str) -> Self {
        #[derive(Serialize)]
        struct Training<'a> {
            numerics: u32,
            data: &'a str,
            dataset: String,
            n_classes: usize,
            n_per_class: usize,
            n_test: usize,
            seed: u64,
            architecture: String,
            sgd: String,
        }
        // Every field by name: whoever adds one decides here whether it is training's. The data's hash stands for the
        // source, the architecture and its training for the network, the loss, the batch, the epochs and the descent;
        // the rest is the analysis' or names the run.
        let &RunSpec {
            dataset,
            source: _,
            network: _,
            loss: _,
            n_classes,
            n_per_class,
            n_test,
            batch: _,
            epochs: _,
            descent: _,
            layers: _,
            top: _,
            checkpoints: _,
            n_resamples: _,
            spectra: _,
            seed,
            swept: _,
            is_at_paper_scale: _,
        } = spec;
        Self::of_value(&Training {
            numerics: TRAINING_NUMERICS,
            data,
            dataset: dataset.to_string(),
            n_classes,
            n_per_class,
            n_test,
            seed,
            // As they are, not by name: whoever changes a constant of either has another run.
            architecture: canonical::architecture(&spec.architecture()),
            sgd: canonical::sgd(&spec.sgd()),
        })
    }

    /// Of the record of a layer of the training `self`, analysed as `spec` says.
    pub fn of_layer(self, spec: &RunSpec, job: LayerJob) -> Self {
        #[derive(Serialize)]
        struct Layer {
            numerics: u32,
            record: u32,
            training: String,
            dense: usize,
            epoch: usize,
            spec: canonical::Analysis,
        }
        let LayerJob { dense, epoch, is_last } = job;
        let mut analysis = canonical::Analysis::of(spec);
        // Not what this layer's analysis does not look at.
        if !is_last {
            analysis.n_resamples = 0;
        }
        if !(is_last && dense == spec.target_dense()) {
            analysis.spectral = None;
        }
        let (numerics, record) = (ANALYSIS_NUMERICS, LayerRecord::VERSION);
        Self::of_value(&Layer { numerics, record, training: self.hex(), dense, epoch, spec: analysis })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::spec;
    use crate::spec::{NetworkSpec, SpectraSpec};

    #[test]
    fn training_knows_its_settings_and_nothing_of_the_analysis() {
        let spec = spec();
        let key = Key::of_training(&spec, "00");
        let analysed = RunSpec { top: 7, checkpoints: vec![1, 2], spectra: None, ..spec.clone() };
        assert_eq!(Key::of_training(&analysed, "00"), key);
        assert_ne!(Key::of_training(&spec, "01"), key);
        let mut slower = spec.clone();
        slower.descent.rate = 0.05;
        for other in [
            slower,
            RunSpec { seed: 9, ..spec.clone() },
            RunSpec { batch: 51, ..spec.clone() },
            RunSpec { epochs: 3, ..spec.clone() },
            RunSpec { n_per_class: 1, ..spec.clone() },
            RunSpec { network: NetworkSpec::DeepMlp, ..spec.clone() },
        ] {
            assert_ne!(Key::of_training(&other, "00"), key, "{other:?}");
        }
        let of = |spec: &RunSpec, dense, epoch, is_last| key.of_layer(spec, LayerJob { epoch, dense, is_last });
        let early = of(&spec, 1, 5, false);
        let spectra = SpectraSpec { n_per_class: 3, null_draws: 1, bootstrap_draws: 1 };
        let later = RunSpec { n_resamples: 1, spectra: Some(spectra), checkpoints: vec![5], ..spec.clone() };
        assert_eq!(of(&later, 1, 5, false), early, "neither is looked at before the end");
        assert_ne!(of(&later, 1, 5, true), of(&spec, 1, 5, true));
        let top = RunSpec { top: 7, ..spec.clone() };
        for other in [of(&top, 1, 5, false), of(&spec, 0, 5, false), of(&spec, 1, 6, false)] {
            assert_ne!(other, early);
        }
        assert_eq!((key.hex().len(), key.short().len()), (64, 16));
    }
}
