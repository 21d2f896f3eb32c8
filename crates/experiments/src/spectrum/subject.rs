//! What a spectrum is of: a run of finished results, or a network and images from files.

use super::chain::{self, Chain};
use super::{Files, Of, Question};
use crate::finished_run::FoundRun;
use crate::given_samples::GivenSamples;
use crate::record::LayerRecord;
use anyhow::{Context, Result, bail};
use faer::{Mat, MatRef};
use serde_json::{Value, json};
use std::path::Path;
use superlinear_datasets::{Dataset, Normalisation};
use superlinear_nets::{Architecture, DenseSamples, Loss, Network, Workspace};

/// A network, what it is trained on, and what is known of both.
#[derive(Debug)]
pub struct Subject {
    /// A run's id, or the file of the weights.
    pub id: String,
    /// For a figure.
    pub title: String,
    /// In `f64`.
    pub net: Network<f64>,
    /// Its loss.
    pub loss: Loss,
    /// `B` of `C = Σ/B`.
    pub batch: usize,
    /// What it is trained on.
    pub images: Images,
    /// Of the trained network's analysed layers.
    pub records: Vec<LayerRecord>,
    /// What a file calls the layers `fc1`, `fc2`, …; none for a run.
    pub layers: Vec<String>,
    /// What was ignored or could not be checked, in lines.
    pub notes: Vec<String>,
    /// Where all of it is from, for `spectrum.json`.
    pub origin: Value,
}

/// What a network is trained on.
#[derive(Debug)]
pub enum Images {
    /// Of a data set, some.
    Drawn {
        /// The data set.
        data: Dataset,
        /// Which of its training images.
        indices: Vec<usize>,
        /// How pixels become numbers.
        normalisation: Normalisation,
    },
    /// As the network takes them.
    Given(DenseSamples<f64>),
}

/// What is asked for, before anything large is read.
#[derive(Debug)]
pub(super) enum Asked {
    Run(Box<FoundRun>),
    Files(Box<Subject>, usize),
}

impl Asked {
    /// Looks a run up, or reads the files.
    ///
    /// # Errors
    /// When there is no such run, or the files do not hold a network and samples for it.
    pub(super) fn of(question: &Question) -> Result<Self> {
        match &question.of {
            Of::Run { out, id } => Ok(Self::Run(Box::new(FoundRun::find(out, id)?))),
            Of::Files(files) => {
                let (subject, n) = from_files(question, files)?;
                Ok(Self::Files(Box::new(subject), n))
            }
        }
    }

    /// What a file calls its layers.
    pub(super) fn layers(&self) -> &[String] {
        match self {
            Self::Run(_) => &[],
            Self::Files(subject, _) => &subject.layers,
        }
    }

    pub(super) fn architecture(&self) -> Architecture {
        match self {
            Self::Run(run) => run.spec().architecture(),
            Self::Files(subject, _) => subject.net.architecture().clone(),
        }
    }

    /// How many images there are.
    pub(super) fn n_samples(&self) -> usize {
        match self {
            Self::Run(run) => run.spec().n_samples(),
            Self::Files(_, n) => *n,
        }
    }

    /// With the first `n_samples` images.
    ///
    /// # Errors
    /// When a record is damaged, or the data are missing or others.
    pub(super) fn load(self, question: &Question, n_samples: usize) -> Result<Subject> {
        let run = match self {
            Self::Files(subject, _) => return Ok(*subject),
            Self::Run(run) => run.load(question.data_dir.as_deref())?,
        };
        let spec = &run.spec;
        let net = Network::<f32>::new(spec.architecture(), run.trained.weights.clone())
            .with_context(|| format!("{}: weights", spec.id()))?;
        Ok(Subject {
            id: spec.id(),
            title: spec.title(),
            net: net.cast::<f64>(),
            loss: spec.loss,
            batch: spec.batch,
            records: run.trained_layers(),
            layers: Vec::new(),
            notes: Vec::new(),
            origin: json!({ "run": spec.id(), "spec": spec }),
            images: Images::Drawn {
                indices: run.training.indices[..n_samples].to_vec(),
                normalisation: Normalisation::of(spec.dataset),
                data: run.data,
            },
        })
    }
}

/// A dense network and its samples, and how many of them the data have; those asked for are kept.
fn from_files(question: &Question, files: &Files) -> Result<(Subject, usize)> {
    let Files { weights, data, loss, activation, order, batch } = files;
    let samples = GivenSamples::read(data)?;
    let Chain { net, names, ignored, doubt } = chain::read(weights, samples.input_dim(), order, *activation)?;
    if let Some(doubt) = doubt.filter(|_| !samples.has_logits()) {
        bail!("{}: {doubt}", weights.display());
    }
    let architecture = net.architecture();
    let labels = samples.labels(architecture.n_out())?;
    let n = samples.n_samples();
    let kept = question.samples.map_or(n, usize::from).min(n);
    if batch.get() > kept {
        bail!("--batch {batch}: {} has {kept} samples to draw from, expected at most as many", data.display());
    }
    if samples.has_logits() {
        samples.check_logits(forward(&net, samples.inputs(n).as_ref()).as_ref())?;
    }
    let ignored_of = |what: &[String], file: &Path| {
        (!what.is_empty()).then(|| format!("{}: ignored {}", file.display(), what.join(", ")))
    };
    let mut notes: Vec<String> =
        [ignored_of(&ignored, weights), ignored_of(samples.ignored(), data)].into_iter().flatten().collect();
    notes.push(if samples.has_logits() {
        "the network gives the logits of the data".to_owned()
    } else {
        "no `logits` in the data: nothing but shapes says that this is your network".to_owned()
    });
    let mut origin = json!({
        "weights": weights.display().to_string(),
        "data": data.display().to_string(),
        "loss": loss.to_string(),
        "widths": widths(architecture),
        "layers": names,
        "logits_checked": samples.has_logits(),
    });
    if let Some(activation) = activation {
        origin["activation"] = json!(activation.to_string());
    }
    let subject = Subject {
        id: weights.display().to_string(),
        title: format!("{}, {loss}", weights.file_stem().unwrap_or_default().to_string_lossy()),
        net,
        loss: *loss,
        batch: batch.get(),
        images: Images::Given(DenseSamples::new(samples.inputs(kept), labels[..kept].to_vec())),
        records: Vec::new(),
        layers: names,
        notes,
        origin,
    };
    Ok((subject, n))
}

/// `n_out × N`.
fn forward(net: &Network<f64>, inputs: MatRef<'_, f64>) -> Mat<f64> {
    let mut workspace = Workspace::new(net, inputs.ncols());
    net.forward(inputs, &mut workspace).to_owned()
}

fn widths(architecture: &Architecture) -> Vec<usize> {
    let dense = architecture.dense_layers();
    dense.iter().map(|layer| layer.d_in).chain(dense.last().map(|layer| layer.d_out)).collect()
}
