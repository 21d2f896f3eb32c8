//! The network and its samples, read and checked before anything long begins.

use super::{ModelFit, Params, Question};
use crate::given_samples::GivenSamples;
use crate::observer::Observer;
use anyhow::{Context, Result, bail};
use superlinear_nets::{DenseGraphSamples, Graph, GraphLayer, LayerForm, Model, Objective, TensorRole, Variables};
use superlinear_onnx::OnnxModel;

/// A tensor to analyse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its axes.
    pub shape: Vec<usize>,
    /// What it is the weight of, and how often that is used for a sample.
    pub kind: String,
    /// Its place among the network's layers, from 1; `None` for what is no layer's weight.
    pub depth: Option<usize>,
    /// Whether `h_p = S_p ⊗ a_p a_pᵀ`.
    pub is_single_product: bool,
}

/// A network with its samples, ready to be analysed.
#[derive(Debug)]
pub struct Prepared {
    model: Model<f64>,
    objective: Objective,
    samples: DenseGraphSamples<f64>,
    tensors: Vec<Asked>,
    fit: ModelFit,
}

impl Prepared {
    /// Reads what a question is of.
    ///
    /// # Errors
    /// When a file cannot be read, the samples do not fit the network, there is no such tensor, the batch is larger
    /// than the samples, or the network does not give the `logits` of the data.
    pub fn read(question: &Question, observer: &dyn Observer) -> Result<Self> {
        let onnx = network(question)?;
        Self::of(question, onnx, &GivenSamples::read(&question.data)?, observer)
    }

    /// Reads the network, for samples in memory.
    ///
    /// # Errors
    /// As [`Prepared::read`].
    pub fn read_for(question: &Question, given: &GivenSamples, observer: &dyn Observer) -> Result<Self> {
        Self::of(question, network(question)?, given, observer)
    }

    /// Of a network and samples in memory; the question's paths are what messages call them.
    ///
    /// # Errors
    /// As [`Prepared::read`].
    pub fn of(question: &Question, onnx: OnnxModel, given: &GivenSamples, observer: &dyn Observer) -> Result<Self> {
        let N = question.samples.map_or(given.n_samples(), usize::from);
        if N > given.n_samples() {
            bail!("--samples {N}: {} has {}", question.data.display(), given.n_samples());
        }
        if N < 2 {
            bail!("{}: {N} sample; a covariance needs at least 2", question.data.display());
        }
        if question.batch.get() > N {
            bail!("--batch {}: there are {N} samples, and a batch is drawn from them", question.batch);
        }
        let objective = Objective::from(question.loss.criterion());
        let samples = samples(question, &onnx, given, &objective, N)?;
        if !given.ignored().is_empty() {
            observer.note("ignored", &format!("{}: {}", question.data.display(), given.ignored().join(", ")));
        }
        for (alias, name) in onnx.aliases() {
            observer.note("tied", &format!("{alias} is {name} in the file: they are analysed as one"));
        }
        let model = onnx.into_model();
        let tensors = tensors(&question.params, &model)?;
        for asked in &tensors {
            let P: usize = asked.shape.iter().product();
            if question.top.get() > P && matches!(question.params, Params::Named(_)) {
                bail!("--top {}: {} has {P} parameters", question.top, asked.name);
            }
        }
        let found = ModelFit::of(&model, &objective, &samples, question.loss.has_classes());
        let (fit, outputs) = found.with_context(|| question.data.display().to_string())?;
        given.check_logits(outputs.as_ref())?;
        observer.note("network", &fit.words());
        if let Some(warning) = fit.warning() {
            observer.note("warning", &warning);
        }
        Ok(Self { model, objective, samples, tensors, fit })
    }

    /// The network, the loss and the samples.
    pub fn parts(&self) -> (&Model<f64>, &Objective, &DenseGraphSamples<f64>) {
        (&self.model, &self.objective, &self.samples)
    }

    /// What is to be analysed, in the order of the graph.
    pub fn tensors(&self) -> &[Asked] {
        &self.tensors
    }

    /// How well the network does.
    pub fn fit(&self) -> &ModelFit {
        &self.fit
    }
}

pub(super) fn network(question: &Question) -> Result<OnnxModel> {
    superlinear_onnx::read(&question.model).with_context(|| question.model.display().to_string())
}

/// The first `N` samples, as the graph takes them.
fn samples(
    question: &Question,
    onnx: &OnnxModel,
    given: &GivenSamples,
    objective: &Objective,
    N: usize,
) -> Result<DenseGraphSamples<f64>> {
    let [input] = onnx.inputs() else {
        let names: Vec<&str> = onnx.inputs().iter().map(|input| &*input.name).collect();
        bail!("{}: inputs {}; expected one, the x of the data", question.model.display(), names.join(", "));
    };
    if input.shape != given.input_shape() {
        bail!(
            "{}: x is {:?} a sample, but {} takes {:?} as {}",
            question.data.display(),
            given.input_shape(),
            question.model.display(),
            input.shape,
            input.name
        );
    }
    let graph = onnx.model().graph();
    let shape = graph.shape(graph.output());
    let fits = objective.fits(shape).map_err(|wrong| anyhow::anyhow!("{wrong}"));
    fits.with_context(|| format!("{}: output {shape:?} a sample", question.model.display()))?;
    let targets = given.targets(N, objective.target_len(shape))?;
    Ok(DenseGraphSamples::new(vec![given.inputs(N)], targets))
}

/// Those that are named, or the weights of all layers.
fn tensors(params: &Params, model: &Model<f64>) -> Result<Vec<Asked>> {
    let graph = model.graph();
    let layers = GraphLayer::all(graph);
    // By where they are first used: the order of declaration says nothing.
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|&l| layers[l].uses[0].0);
    let described = |name: &str| describe(graph, &layers, &order, name);
    let known: Vec<&str> = graph.tensors(TensorRole::Parameter).map(|value| graph.name(value)).collect();
    match params {
        Params::EveryLayer => Ok(order.iter().map(|&l| described(graph.name(layers[l].weight))).collect()),
        Params::Named(names) => {
            for (k, name) in names.iter().enumerate() {
                if !known.contains(&name.as_str()) {
                    bail!("--params {name}: no such parameter; there are {}", known.join(", "));
                }
                if names[..k].contains(name) {
                    bail!("--params: {name} is named twice");
                }
            }
            Variables::parameters(graph, names.iter().map(String::as_str))?;
            Ok(names.iter().map(|name| described(name)).collect())
        }
    }
}

fn describe(graph: &Graph, layers: &[GraphLayer], order: &[usize], name: &str) -> Asked {
    let value = graph.value(name).expect("a parameter of the graph");
    let place = order.iter().position(|&l| layers[l].weight == value);
    let layer = place.map(|place| &layers[order[place]]);
    let kind = match layer {
        None => "parameter".to_owned(),
        Some(layer) => {
            let operation = if graph.shape(value).len() > 2 { "convolution" } else { "dense" };
            match layer.form() {
                LayerForm::SingleProduct => operation.to_owned(),
                LayerForm::SumOverUses(uses) => format!("{operation}, {uses} uses a sample"),
                LayerForm::Tied(uses) => format!("{operation}, tied, {uses} uses a sample"),
            }
        }
    };
    Asked {
        name: name.to_owned(),
        shape: graph.shape(value).to_vec(),
        kind,
        depth: place.map(|place| place + 1),
        is_single_product: layer.is_some_and(|layer| layer.form() == LayerForm::SingleProduct),
    }
}
