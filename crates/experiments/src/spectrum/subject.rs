//! What a spectrum is of: a run of finished results, or a network and images from files.

use super::{Of, Question};
use crate::finished_run::FoundRun;
use crate::record::LayerRecord;
use anyhow::{Context, Result, bail};
use faer::Mat;
use serde_json::{Value, json};
use std::path::Path;
use superlinear_datasets::{Dataset, Normalisation};
use superlinear_nets::{Activation, Architecture, Bias, DenseSamples, Layer, Loss, Network};
use superlinear_store::array::{Array, OwnedValues};
use superlinear_store::{npz, safetensors};

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
            Of::Files { weights, data, loss, activation, batch } => {
                let kept = question.samples.map(usize::from);
                let (subject, n) = from_files((weights, data), *loss, *activation, batch.get(), kept)?;
                Ok(Self::Files(Box::new(subject), n))
            }
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
fn from_files(
    (weights, data): (&Path, &Path),
    loss: Loss,
    activation: Activation,
    batch: usize,
    kept: Option<usize>,
) -> Result<(Subject, usize)> {
    let (net, layers) = network(weights, activation)?;
    let architecture = net.architecture();
    let mut arrays = npz::read(data)?;
    let known = arrays.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut take = |name: &str| -> Result<Array> {
        arrays.remove(name).with_context(|| format!("{}: no array {name:?}; found {known}", data.display()))
    };
    let (x, y) = (take("x")?, take("y")?);
    let (n, d) = (x.shape.first().copied().unwrap_or(0), architecture.input_dim());
    if n == 0 || x.shape.iter().product::<usize>() != n * d {
        bail!("{}: x is {:?}, expected [N, {d}] with N > 0, as the first layer takes it", data.display(), x.shape);
    }
    if y.shape != [n] {
        bail!("{}: y is {:?}, expected [{n}], a label a row of x", data.display(), y.shape);
    }
    let kept = kept.unwrap_or(n).min(n);
    let x = floats(x).with_context(|| format!("{}: x", data.display()))?;
    let labels = labels(&y, architecture.n_out()).with_context(|| format!("{}: y", data.display()))?;
    if let Some(at) = x.iter().position(|x| !x.is_finite()) {
        bail!("{}: x[{}, {}] is {}", data.display(), at / d, at % d, x[at]);
    }
    let inputs = Mat::from_fn(d, kept, |i, p| x[p * d + i]);
    let origin = json!({
        "weights": weights.display().to_string(),
        "data": data.display().to_string(),
        "loss": loss.to_string(),
        "activation": activation.to_string(),
        "widths": widths(architecture),
        "layers": layers,
    });
    let subject = Subject {
        id: weights.display().to_string(),
        title: format!("{}, {loss}", weights.file_stem().unwrap_or_default().to_string_lossy()),
        net,
        loss,
        batch,
        images: Images::Given(DenseSamples::new(inputs, labels[..kept].to_vec())),
        records: Vec::new(),
        layers,
        origin,
    };
    Ok((subject, n))
}

fn widths(architecture: &Architecture) -> Vec<usize> {
    let dense = architecture.dense_layers();
    dense.iter().map(|layer| layer.d_in).chain(dense.last().map(|layer| layer.d_out)).collect()
}

/// The network of the file's dense layers, one behind the other by their names, `2` before `10`, an activation between
/// two; and the names.
fn network(path: &Path, activation: Activation) -> Result<(Network<f64>, Vec<String>)> {
    let mut tensors = safetensors::read(path)?.tensors;
    let mut names: Vec<String> =
        tensors.keys().filter_map(|name| name.strip_suffix(".weight")).map(str::to_owned).collect();
    names.sort_by_cached_key(|name| numbers_apart(name));
    if names.is_empty() {
        bail!("{}: no tensor is called `<layer>.weight`; found {:?}", path.display(), tensors.keys());
    }
    let (mut layers, mut params, mut before) = (Vec::new(), Vec::new(), None::<(&str, usize)>);
    for name in &names {
        let weight = tensors.remove(&format!("{name}.weight")).expect("its name is from here");
        let &[d_out, d_in] = &weight.shape[..] else {
            bail!(
                "{}: {name}.weight is {:?}; only dense layers, [d_out, d_in], can be taken from a file",
                path.display(),
                weight.shape
            );
        };
        if let Some((below, given)) = before.filter(|&(_, given)| given != d_in) {
            bail!("{}: {name}.weight takes {d_in} numbers, but {below}.weight gives {given}", path.display());
        }
        let values = |tensor: Array| floats(tensor).with_context(|| format!("{}: {name}", path.display()));
        params.extend(values(weight)?);
        let bias = tensors.remove(&format!("{name}.bias"));
        let learned = if bias.is_some() { Bias::Learned } else { Bias::None };
        if let Some(bias) = bias {
            if bias.shape != [d_out] {
                bail!("{}: {name}.bias is {:?}, expected [{d_out}]", path.display(), bias.shape);
            }
            params.extend(values(bias)?);
        }
        if !layers.is_empty() {
            layers.push(Layer::Activation(activation));
        }
        layers.push(Layer::Dense { d_in, d_out, bias: learned });
        before = Some((name, d_out));
    }
    if let Some(other) = tensors.keys().next() {
        bail!("{}: {other} is neither the weight nor the bias of a dense layer", path.display());
    }
    let architecture = Architecture::new(layers).with_context(|| path.display().to_string())?;
    Ok((Network::new(architecture, params).with_context(|| path.display().to_string())?, names))
}

/// A name's runs of digits as numbers, so that they are in order.
fn numbers_apart(name: &str) -> Vec<(u64, String)> {
    let mut parts: Vec<(u64, String)> = Vec::new();
    let mut digits = String::new();
    for c in name.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            parts.push((digits.parse().unwrap_or(u64::MAX), String::new()));
            digits.clear();
        }
        parts.push((0, c.to_string()));
    }
    parts
}

fn floats(array: Array) -> Result<Vec<f64>> {
    let found = array.view()?.values().element_type();
    Ok(match array.values {
        OwnedValues::F64(values) => values,
        OwnedValues::F32(values) => values.into_iter().map(f64::from).collect(),
        OwnedValues::U8(values) => values.into_iter().map(f64::from).collect(),
        OwnedValues::I64(_) | OwnedValues::Bool(_) => bail!("found {found:?}, expected float32, float64 or uint8"),
    })
}

fn labels(array: &Array, n_out: usize) -> Result<Vec<u8>> {
    let values: Vec<i64> = match &array.values {
        OwnedValues::I64(values) => values.clone(),
        OwnedValues::U8(values) => values.iter().map(|&y| i64::from(y)).collect(),
        _ => bail!("found {:?}, expected int64 or uint8", array.view()?.values().element_type()),
    };
    let label = |(p, &y): (usize, &i64)| match u8::try_from(y) {
        Ok(label) if usize::from(label) < n_out => Ok(label),
        _ => bail!("y[{p}] is {y}, expected a class from 0 to {}", n_out.min(256) - 1),
    };
    values.iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use superlinear_store::array::ArrayView;

    /// What is made of a file of these tensors, all of ones.
    fn network_of(tensors: &[(&str, &[usize])]) -> Result<(Network<f64>, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let ones: Vec<Vec<f32>> = tensors.iter().map(|(_, shape)| vec![1.0; shape.iter().product()]).collect();
        let views =
            tensors.iter().zip(&ones).map(|((name, shape), ones)| (*name, ArrayView::new(shape, ones).unwrap()));
        safetensors::write(&path, &views.collect::<Vec<_>>(), &Default::default()).unwrap();
        network(&path, Activation::Tanh)
    }

    #[test]
    fn a_state_dict_of_dense_layers_is_a_network() {
        let net = network_of(&[("0.weight", &[4, 3]), ("0.bias", &[4]), ("10.weight", &[2, 5]), ("2.weight", &[5, 4])]);
        let (net, names) = net.unwrap();
        assert_eq!(names, ["0", "2", "10"]);
        assert_eq!(widths(net.architecture()), [3, 4, 5, 2]);
        let biases: Vec<bool> = net.architecture().dense_layers().iter().map(|layer| layer.bias.is_some()).collect();
        assert_eq!((biases, net.params().len()), (vec![true, false, false], 16 + 20 + 10));
        for (tensors, words) in [
            (&[("a", &[2, 2][..])][..], "no tensor is called `<layer>.weight`; found [\"a\"]"),
            (&[("conv.weight", &[4, 3, 3, 3])], "conv.weight is [4, 3, 3, 3]; only dense layers"),
            (&[("0.weight", &[4, 3]), ("1.weight", &[2, 5])], "1.weight takes 5 numbers, but 0.weight gives 4"),
            (&[("0.weight", &[4, 3]), ("0.bias", &[3])], "0.bias is [3], expected [4]"),
            (&[("0.weight", &[4, 3]), ("1.running_mean", &[4])], "1.running_mean is neither the weight nor the bias"),
        ] {
            let error = format!("{:#}", network_of(tensors).unwrap_err());
            assert!(error.contains(words) && error.contains("w.safetensors"), "{error}");
        }
    }

    #[test]
    fn labels_are_classes() {
        let array = |values| Array { shape: vec![2], values };
        assert_eq!(labels(&array(OwnedValues::I64(vec![0, 9])), 10).unwrap(), [0, 9]);
        for (values, words) in [
            (OwnedValues::I64(vec![0, 10]), "y[1] is 10, expected a class from 0 to 9"),
            (OwnedValues::I64(vec![-1, 0]), "y[0] is -1"),
            (OwnedValues::F32(vec![0.0, 1.0]), "expected int64 or uint8"),
        ] {
            let error = labels(&array(values), 10).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn layers_stand_in_the_order_of_their_numbers() {
        let mut names = ["net.10", "net.2", "fc1", "net.0", "head"];
        names.sort_by_cached_key(|name| numbers_apart(name));
        assert_eq!(names, ["fc1", "head", "net.0", "net.2", "net.10"]);
    }
}
