//! The TOML of a plan: every key checked, every error with file, line and key.

use super::{Group, MAX_SEEDS, Plan};
use crate::spec::{ActivationName, Descent, Layers, NetworkSpec, RunSpec, Source, Swept};
use anyhow::{Result, anyhow};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use superlinear_datasets::{DatasetName, embedded};
use superlinear_nets::Loss;
use toml::Spanned;

/// Most runs of a plan, seeds aside.
const MAX_RUNS: usize = 10_000;

/// A plan as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    #[serde(default)]
    outputs: Option<Vec<String>>,
    #[serde(default)]
    featured: Vec<String>,
    #[serde(default)]
    also: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    checkpoints: Vec<usize>,
    #[serde(default = "one_seed")]
    seeds: Spanned<Seeds>,
    #[serde(default = "resamples")]
    resamples: usize,
    #[serde(default = "null_draws")]
    null_draws: usize,
    runs: Spanned<Vec<Rows>>,
}

fn one_seed() -> Spanned<Seeds> {
    Spanned::new(0..0, Seeds::Number(1))
}

fn resamples() -> usize {
    1_000
}

fn null_draws() -> usize {
    9
}

/// Seeds `0..n`, or these.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected a number of seeds, or a list of them")]
enum Seeds {
    Number(usize),
    List(Vec<u64>),
}

/// A group of runs as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    data: Spanned<Values<String>>,
    #[serde(default = "full")]
    source: Spanned<String>,
    network: Spanned<Values<Network>>,
    loss: Spanned<Values<String>>,
    #[serde(default = "all_classes")]
    classes: Spanned<Values<usize>>,
    images: Spanned<ByClasses>,
    #[serde(default = "test_images")]
    test_images: Spanned<usize>,
    batch: Spanned<Values<usize>>,
    epochs: Spanned<Values<usize>>,
    #[serde(default)]
    learning_rate: Option<Spanned<Values<f64>>>,
    #[serde(default)]
    final_rate: Option<Spanned<f64>>,
    #[serde(default)]
    cosine_epochs: Option<Spanned<usize>>,
    #[serde(default)]
    clip: Option<Spanned<Values<f64>>>,
    #[serde(default)]
    early_stop: Option<Stop>,
    directions: Spanned<ByClasses>,
    #[serde(default)]
    layers: Option<Spanned<String>>,
    #[serde(default)]
    seeds: Option<Spanned<Seeds>>,
}

fn full() -> Spanned<String> {
    Spanned::new(0..0, "full".to_owned())
}

fn all_classes() -> Spanned<Values<usize>> {
    Spanned::new(0..0, Values::One(10))
}

fn test_images() -> Spanned<usize> {
    Spanned::new(0..0, 1_000)
}

/// When training stops early.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    window: usize,
    accuracy: f64,
    loss: f64,
}

/// A value, or a list of them: a sweep.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected a value, or a list of values")]
enum Values<T> {
    One(T),
    Several(Vec<T>),
}

/// A number, a list of them, or one for each number of classes.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected a number, a list of numbers, or a table with a number for each number of classes")]
enum ByClasses {
    One(usize),
    Several(Vec<usize>),
    Each(BTreeMap<String, usize>),
}

/// A network by name, or hidden widths.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected `mlp`, `deep-mlp`, `cnn`, or a table with `hidden` widths and an `activation`")]
enum Network {
    Name(String),
    Widths(Widths),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Widths {
    hidden: Vec<usize>,
    activation: ActivationName,
}

/// The text, for places in it.
struct Text<'a> {
    file: &'a str,
    text: &'a str,
}

impl Text<'_> {
    /// An error at a place.
    fn error(&self, span: Range<usize>, key: &str, what: impl std::fmt::Display) -> anyhow::Error {
        let line = self.text[..span.start.min(self.text.len())].matches('\n').count() + 1;
        anyhow!("{}, line {line}: {key}: {what}", self.file)
    }

    fn values<T: Clone>(&self, key: &str, values: &Spanned<Values<T>>) -> Result<Vec<T>> {
        match values.get_ref() {
            Values::One(value) => Ok(vec![value.clone()]),
            Values::Several(values) if values.is_empty() => Err(self.empty(key, values_span(values))),
            Values::Several(all) => Ok(all.clone()),
        }
        .map_err(|_: anyhow::Error| self.error(values.span(), key, "an empty list, expected at least one value"))
    }

    fn empty(&self, key: &str, span: Range<usize>) -> anyhow::Error {
        self.error(span, key, "an empty list, expected at least one value")
    }

    /// Numbers from `least` on.
    fn counts(&self, key: &str, values: &Spanned<Values<usize>>, least: usize) -> Result<Vec<usize>> {
        let all = self.values(key, values)?;
        match all.iter().find(|&&value| value < least) {
            Some(small) => Err(self.error(values.span(), key, format!("{small}, expected at least {least}"))),
            None => Ok(all),
        }
    }

    fn seeds(&self, seeds: &Spanned<Seeds>) -> Result<Vec<u64>> {
        let found = match seeds.get_ref() {
            Seeds::Number(n) if (1..=MAX_SEEDS).contains(n) => return Ok((0..*n as u64).collect()),
            Seeds::List(list) if (1..=MAX_SEEDS).contains(&list.len()) => {
                let mut sorted = list.clone();
                sorted.sort_unstable();
                sorted.dedup();
                if sorted.len() == list.len() {
                    return Ok(sorted);
                }
                return Err(self.error(seeds.span(), "seeds", "one is there twice"));
            }
            Seeds::Number(n) => *n,
            Seeds::List(list) => list.len(),
        };
        Err(self.error(seeds.span(), "seeds", format!("{found} seeds, expected 1 to {MAX_SEEDS}")))
    }
}

fn values_span<T>(_: &[T]) -> Range<usize> {
    0..0
}

/// Reads a plan.
///
/// # Errors
/// When it is none, naming file, line and key.
pub(super) fn parse(file: &str, text: &str, paper: Option<&Plan>) -> Result<Plan> {
    let at = Text { file, text };
    let read: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        anyhow!("{file}, line {line}: {}", error.message().replace('\n', " "))
    })?;
    let name = read.name.get_ref();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(at.error(read.name.span(), "name", format!("{name:?}, expected letters, digits, `-` and `_`")));
    }
    if read.runs.get_ref().is_empty() {
        return Err(at.error(read.runs.span(), "runs", "none, expected at least one [[runs]]"));
    }
    let mut groups = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (k, rows) in read.runs.get_ref().iter().enumerate() {
        let seeds = rows.seeds.as_ref().map(|seeds| at.seeds(seeds)).transpose()?;
        let runs = group(&at, rows, read.resamples)?;
        for run in &runs {
            if let Some(other) = names.insert(run.setting(), k) {
                let what = format!("setting {} is in [[runs]] number {} and {}", run.setting(), other + 1, k + 1);
                return Err(at.error(rows.data.span(), "runs", what));
            }
        }
        if names.len() > MAX_RUNS {
            return Err(at.error(rows.data.span(), "runs", format!("more than {MAX_RUNS} settings")));
        }
        groups.push(Group { seeds, runs });
    }
    let mut plan = Plan {
        name: name.clone(),
        outputs: read.outputs,
        featured: read.featured,
        also: read.also,
        checkpoints: read.checkpoints,
        null_draws: read.null_draws,
        seeds: at.seeds(&read.seeds)?,
        groups,
    };
    let itself = plan.clone();
    for run in plan.groups.iter_mut().flat_map(|group| &mut group.runs) {
        run.is_at_paper_scale = paper.unwrap_or(&itself).is_matched_by(run);
    }
    Ok(plan)
}

/// The runs of a group: every combination of its lists, the first key slowest.
fn group(at: &Text<'_>, rows: &Rows, n_resamples: usize) -> Result<Vec<RunSpec>> {
    let source = match rows.source.get_ref().as_str() {
        "embedded" => Source::Embedded,
        "full" => Source::Full,
        other => {
            return Err(at.error(rows.source.span(), "source", format!("{other:?}, expected `embedded` or `full`")));
        }
    };
    let layers = match rows.layers.as_ref().map(|layers| (layers.get_ref().as_str(), layers.span())) {
        None | Some(("target", _)) => Layers::Target,
        Some(("hidden", _)) => Layers::Hidden,
        Some((other, span)) => {
            return Err(at.error(span, "layers", format!("{other:?}, expected `target` or `hidden`")));
        }
    };
    let named = |key: &str, span: Range<usize>, name: &str, known: &str| {
        at.error(span, key, format!("{name:?} is not known, expected {known}"))
    };
    let mut datasets = Vec::new();
    for name in at.values("data", &rows.data)? {
        let dataset: DatasetName =
            name.parse().map_err(|_| named("data", rows.data.span(), &name, "mnist, fashion-mnist or cifar10"))?;
        if source == Source::Embedded && embedded::subset(dataset).is_none() {
            let what = format!("no subset of {dataset} is embedded; take `source = \"full\"`");
            return Err(at.error(rows.data.span(), "data", what));
        }
        datasets.push(dataset);
    }
    let mut losses = Vec::new();
    for name in at.values("loss", &rows.loss)? {
        let loss: Loss = name.parse().map_err(|_| named("loss", rows.loss.span(), &name, "ce, mse or linear-mse"))?;
        losses.push(loss);
    }
    let mut networks = Vec::new();
    for network in at.values("network", &rows.network)? {
        networks.push(self::network(at, &rows.network, network, &datasets)?);
    }
    let all_classes = at.counts("classes", &rows.classes, 2)?;
    if let Some(many) = all_classes.iter().find(|&&n| n > 10) {
        return Err(at.error(rows.classes.span(), "classes", format!("{many}, expected at most 10")));
    }
    let batches = at.counts("batch", &rows.batch, 1)?;
    let all_epochs = at.counts("epochs", &rows.epochs, 1)?;
    let images = Counts::of(at, "images", &rows.images, &all_classes)?;
    let directions = Counts::of(at, "directions", &rows.directions, &all_classes)?;
    let positive = |key: &str, values: Option<&Spanned<Values<f64>>>, default: f64| -> Result<Vec<f64>> {
        let Some(values) = values else { return Ok(vec![default]) };
        let all = at.values(key, values)?;
        match all.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
            Some(wrong) => Err(at.error(values.span(), key, format!("{wrong}, expected a positive number"))),
            None => Ok(all),
        }
    };
    let paper = Descent::paper();
    let rates = positive("learning_rate", rows.learning_rate.as_ref(), paper.rate)?;
    let clips = positive("clip", rows.clip.as_ref(), paper.clip)?;
    let mut runs = Vec::new();
    for &dataset in &datasets {
        for network in &networks {
            for &loss in &losses {
                for &n_classes in &all_classes {
                    for n_per_class in images.of(n_classes) {
                        for top in directions.of(n_classes) {
                            for &batch in &batches {
                                for &epochs in &all_epochs {
                                    for &rate in &rates {
                                        for &clip in &clips {
                                            let mut swept = Vec::new();
                                            let mut sweep = |key: &str, many: bool, value: f64| {
                                                if many {
                                                    swept.push(Swept { key: key.to_owned(), value });
                                                }
                                            };
                                            sweep("images", images.are_swept(), n_per_class as f64);
                                            sweep("directions", directions.are_swept(), top as f64);
                                            sweep("batch", batches.len() > 1, batch as f64);
                                            sweep("epochs", all_epochs.len() > 1, epochs as f64);
                                            sweep("learning_rate", rates.len() > 1, rate);
                                            sweep("clip", clips.len() > 1, clip);
                                            let stop = rows.early_stop;
                                            let own = |value: Option<f64>, default| value.unwrap_or(default);
                                            let final_rate = rows.final_rate.as_ref().map(|rate| *rate.get_ref());
                                            runs.push(RunSpec {
                                                dataset,
                                                source,
                                                network: network.clone(),
                                                loss,
                                                n_classes,
                                                n_per_class,
                                                n_test: *rows.test_images.get_ref(),
                                                batch,
                                                epochs,
                                                descent: Descent {
                                                    rate,
                                                    final_rate: own(final_rate, rate * paper.final_rate / paper.rate),
                                                    cosine_epochs: rows
                                                        .cosine_epochs
                                                        .as_ref()
                                                        .map_or(paper.cosine_epochs, |epochs| *epochs.get_ref()),
                                                    clip,
                                                    stop_window: stop.map_or(paper.stop_window, |stop| stop.window),
                                                    stop_accuracy: own(
                                                        stop.map(|stop| stop.accuracy),
                                                        paper.stop_accuracy,
                                                    ),
                                                    stop_loss: own(stop.map(|stop| stop.loss), paper.stop_loss),
                                                },
                                                layers: layers.clone(),
                                                top,
                                                checkpoints: Vec::new(),
                                                n_resamples,
                                                spectra: None,
                                                seed: 0,
                                                swept,
                                                is_at_paper_scale: false,
                                            });
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(runs)
}
