//! What determines a stored number, hashed: of a training run, and of an analysed layer of it.
//!
//! A record is found, and believed, by the hash of everything that its content is a function of. Training's does not know
//! of the analysis, so that a change of what is analysed or drawn finds the trained networks again.

mod canonical;

use crate::plan::RunSpec;
use crate::record::LayerRecord;
use crate::run_dir::LayerJob;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use superlinear_datasets::{Dataset, Split};
use superlinear_store::record::Record;

/// To be raised whenever the same settings train another network, so that older ones are not taken for it.
const TRAINING_NUMERICS: u32 = 2;
/// The same for the analysis of a network.
const ANALYSIS_NUMERICS: u32 = 1;

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    fn of_value(value: &impl Serialize) -> Self {
        Self::of(&serde_json::to_vec(value).expect("settings are plain data"))
    }

    /// In hexadecimal.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Enough of it for a file's name.
    pub(crate) fn short(&self) -> String {
        self.hex()[..16].to_owned()
    }

    /// Of every image and label of a data set.
    pub(crate) fn of_dataset(data: &Dataset) -> Self {
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

    /// Of a trained network: what is drawn, from which data (`data` is their hash in hexadecimal), and how it is trained.
    pub(crate) fn of_training(spec: &RunSpec, data: &str) -> Self {
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
        // Every field by name: whoever adds one decides here whether it is training's. The data's hash stands for the source, the
        // architecture and its training for the model, the loss, the batch and the epochs; the rest is the analysis'.
        let &RunSpec {
            dataset,
            source: _,
            model: _,
            loss: _,
            n_classes,
            n_per_class,
            n_test,
            batch: _,
            epochs: _,
            top: _,
            checkpoints: _,
            n_resamples: _,
            spectral: _,
            seed,
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
    pub(crate) fn of_layer(self, spec: &RunSpec, job: LayerJob) -> Self {
        #[derive(Serialize)]
        struct Layer {
            numerics: u32,
            record: u32,
            training: String,
            dense: usize,
            epoch: usize,
            spec: RunSpec,
        }
        let LayerJob { dense, epoch, is_last } = job;
        // All settings but those that this layer's analysis does not look at.
        let spec = RunSpec {
            checkpoints: Vec::new(),
            n_resamples: if is_last { spec.n_resamples } else { 0 },
            spectral: if is_last && dense == spec.target_dense() { spec.spectral } else { None },
            ..spec.clone()
        };
        let (numerics, record) = (ANALYSIS_NUMERICS, LayerRecord::VERSION);
        Self::of_value(&Layer { numerics, record, training: self.hex(), dense, epoch, spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::OutputId;
    use crate::plan::{self, Profile, Request};

    /// The folder of a run that the first release trained: it is found for ever.
    #[test]
    fn a_stored_training_keeps_its_key() {
        let request = Request {
            settings: vec!["mnist-cnn-mse-c6".to_owned()],
            n_seeds: Some(1),
            ..Request::new(Profile::Paper, vec![OutputId::Table1])
        };
        let spec = plan::runs(&request).unwrap().remove(0);
        let mnist = "8d3be2d40c41b8c707f10f3ae6e5d0792026f86e310b6a74c844d8a8cd5755a0";
        assert_eq!(Key::of_training(&spec, mnist).short(), "e90c3c4c0cc8e4d3");
    }

    #[test]
    fn training_knows_its_settings_and_nothing_of_the_analysis() {
        let spec = plan::runs(&Request::new(Profile::Smoke, OutputId::ALL.to_vec())).unwrap().remove(0);
        let key = Key::of_training(&spec, "00");
        let analysed = RunSpec { top: 7, checkpoints: vec![1, 2], spectral: None, ..spec.clone() };
        assert_eq!(Key::of_training(&analysed, "00"), key);
        assert_ne!(Key::of_training(&spec, "01"), key);
        for other in [
            RunSpec { seed: 9, ..spec.clone() },
            RunSpec { batch: 51, ..spec.clone() },
            RunSpec { epochs: 3, ..spec.clone() },
            RunSpec { n_per_class: 1, ..spec.clone() },
            RunSpec { model: plan::Model::DeepMlp, ..spec.clone() },
        ] {
            assert_ne!(Key::of_training(&other, "00"), key, "{other:?}");
        }
        let of = |spec: &RunSpec, dense, epoch, is_last| key.of_layer(spec, LayerJob { epoch, dense, is_last });
        let early = of(&spec, 1, 5, false);
        let spectral = plan::SpectralSpec { n_per_class: 3, null_draws: 1, bootstrap_draws: 1 };
        let later = RunSpec { n_resamples: 1, spectral: Some(spectral), checkpoints: vec![5], ..spec.clone() };
        assert_eq!(of(&later, 1, 5, false), early, "neither is looked at before the end");
        assert_ne!(of(&later, 1, 5, true), of(&spec, 1, 5, true));
        let top = RunSpec { top: 7, ..spec.clone() };
        for other in [of(&top, 1, 5, false), of(&spec, 0, 5, false), of(&spec, 1, 6, false)] {
            assert_ne!(other, early);
        }
        assert_eq!((key.hex().len(), key.short().len()), (64, 16));
    }
}
