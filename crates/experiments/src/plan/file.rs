//! The TOML of a plan: every key checked, every error with file, line and key.

use super::{Group, MAX_SEEDS, Plan};
use crate::spec::{ActivationName, Descent, Layers, MAX_WIDTH, NetworkSpec, RunSpec, Source, Swept};
use anyhow::{Result, anyhow};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use superlinear_datasets::{DatasetName, embedded};
use superlinear_nets::Loss;
use toml::Spanned;

/// Most runs of a plan, seeds aside.
const MAX_RUNS: usize = 10_000;
/// Classes of every data set.
const MAX_CLASSES: usize = 10;

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
    early_stop: Option<Spanned<Stop>>,
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
#[serde(
    untagged,
    expecting = "expected a number, a list of numbers, or a table with a number for each number of classes"
)]
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
            Values::Several(all) if all.is_empty() => {
                Err(self.error(values.span(), key, "an empty list, expected at least one value"))
            }
            Values::Several(all) => Ok(all.clone()),
        }
    }

    /// Numbers from `least` on.
    fn counts(&self, key: &str, values: &Spanned<Values<usize>>, least: usize) -> Result<Vec<usize>> {
        let all = self.values(key, values)?;
        match all.iter().find(|&&value| value < least) {
            Some(small) => Err(self.error(values.span(), key, format!("{small}, expected at least {least}"))),
            None => Ok(all),
        }
    }

    /// Positive numbers, or the one that there is without them.
    fn positive(&self, key: &str, values: Option<&Spanned<Values<f64>>>, default: f64) -> Result<Vec<f64>> {
        let Some(values) = values else { return Ok(vec![default]) };
        let all = self.values(key, values)?;
        match all.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
            Some(wrong) => Err(self.error(values.span(), key, format!("{wrong}, expected a positive number"))),
            None => Ok(all),
        }
    }

    /// The numbers for so many classes.
    fn of_classes(&self, key: &str, by: &Spanned<ByClasses>, n_classes: usize) -> Result<Vec<usize>> {
        let all = match by.get_ref() {
            ByClasses::One(n) => vec![*n],
            ByClasses::Several(all) => all.clone(),
            ByClasses::Each(each) => {
                let Some(n) = each.get(&n_classes.to_string()) else {
                    let found: Vec<&str> = each.keys().map(String::as_str).collect();
                    let what = format!("nothing for {n_classes} classes; found {}", found.join(", "));
                    return Err(self.error(by.span(), key, what));
                };
                vec![*n]
            }
        };
        if all.is_empty() || all.contains(&0) {
            return Err(self.error(by.span(), key, "expected numbers from 1"));
        }
        Ok(all)
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
    let mut names: BTreeSet<String> = BTreeSet::new();
    for rows in read.runs.get_ref() {
        let seeds = rows.seeds.as_ref().map(|seeds| at.seeds(seeds)).transpose()?;
        let runs = group(&at, rows, read.resamples).map_err(|error| match error.to_string() {
            many if many.starts_with("more than") => at.error(rows.data.span(), "runs", many),
            _ => error,
        })?;
        for run in &runs {
            if !names.insert(run.setting()) {
                let what = format!("setting {} is there twice", run.setting());
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
    let datasets = datasets(at, &rows.data, source)?;
    let mut networks = Vec::new();
    for network in at.values("network", &rows.network)? {
        networks.push(self::network(at, rows.network.span(), network, &datasets)?);
    }
    let loss = |name: String| {
        let what = format!("{name:?} is not known, expected ce, mse or linear-mse");
        name.parse::<Loss>().map_err(|_| at.error(rows.loss.span(), "loss", what))
    };
    let losses = at.values("loss", &rows.loss)?.into_iter().map(loss).collect::<Result<Vec<_>>>()?;
    let all_classes = at.counts("classes", &rows.classes, 2)?;
    if let Some(many) = all_classes.iter().find(|&&n| n > MAX_CLASSES) {
        return Err(at.error(rows.classes.span(), "classes", format!("{many}, expected at most {MAX_CLASSES}")));
    }
    let base = RunSpec {
        dataset: datasets[0],
        source,
        network: networks[0].clone(),
        loss: losses[0],
        n_classes: 0,
        n_per_class: 0,
        n_test: *rows.test_images.get_ref(),
        batch: 0,
        epochs: 0,
        descent: descent(at, rows)?,
        layers,
        top: 0,
        checkpoints: Vec::new(),
        n_resamples,
        spectra: None,
        seed: 0,
        swept: Vec::new(),
        is_at_paper_scale: false,
    };
    let mut runs = vec![base];
    runs = vary(runs, |_| Ok(datasets.clone()), |run, dataset| run.dataset = dataset)?;
    runs = vary(runs, |_| Ok(networks.clone()), |run, network| run.network = network)?;
    runs = vary(runs, |_| Ok(losses.clone()), |run, loss| run.loss = loss)?;
    runs = vary(runs, |_| Ok(all_classes.clone()), |run, n| run.n_classes = n)?;
    let of_classes = |key, by: &Spanned<ByClasses>, run: &RunSpec| at.of_classes(key, by, run.n_classes);
    let images = |run: &RunSpec| of_classes("images", &rows.images, run);
    runs = sweep(runs, "images", images, |n| *n as f64, |run, n| run.n_per_class = n)?;
    let directions = |run: &RunSpec| of_classes("directions", &rows.directions, run);
    runs = sweep(runs, "directions", directions, |n| *n as f64, |run, n| run.top = n)?;
    let batches = at.counts("batch", &rows.batch, 1)?;
    runs = sweep(runs, "batch", |_| Ok(batches.clone()), |n| *n as f64, |run, n| run.batch = n)?;
    let epochs = at.counts("epochs", &rows.epochs, 1)?;
    runs = sweep(runs, "epochs", |_| Ok(epochs.clone()), |n| *n as f64, |run, n| run.epochs = n)?;
    // The cosine ends at the paper's share of its beginning unless the plan says where.
    let ends = rows.final_rate.is_some();
    let share = Descent::paper().final_rate / Descent::paper().rate;
    let rates = at.positive("learning_rate", rows.learning_rate.as_ref(), Descent::paper().rate)?;
    runs = sweep(
        runs,
        "learning_rate",
        |_| Ok(rates.clone()),
        |x| *x,
        |run, rate| {
            run.descent.rate = rate;
            if !ends && rate != Descent::paper().rate {
                run.descent.final_rate = rate * share;
            }
        },
    )?;
    let clips = at.positive("clip", rows.clip.as_ref(), Descent::paper().clip)?;
    runs = sweep(runs, "clip", |_| Ok(clips.clone()), |x| *x, |run, clip| run.descent.clip = clip)?;
    for run in &runs {
        let (asked, available) = match source {
            Source::Full => continue,
            Source::Embedded => (run.n_per_class, embedded::subset(run.dataset).map_or(0, |s| s.train_per_class)),
        };
        if asked > available {
            let what = format!("{asked} of each class, but {available} of {} are embedded", run.dataset);
            return Err(at.error(rows.images.span(), "images", what));
        }
    }
    Ok(runs)
}

/// Every run with every value.
fn vary<T>(
    runs: Vec<RunSpec>,
    values: impl Fn(&RunSpec) -> Result<Vec<T>>,
    set: impl Fn(&mut RunSpec, T),
) -> Result<Vec<RunSpec>> {
    let mut all = Vec::new();
    for run in runs {
        for value in values(&run)? {
            let mut run = run.clone();
            set(&mut run, value);
            all.push(run);
            if all.len() > MAX_RUNS {
                return Err(anyhow!("more than {MAX_RUNS} settings"));
            }
        }
    }
    Ok(all)
}

/// The same, where several values are a sweep that names the run.
fn sweep<T>(
    runs: Vec<RunSpec>,
    key: &str,
    values: impl Fn(&RunSpec) -> Result<Vec<T>>,
    number: impl Fn(&T) -> f64,
    set: impl Fn(&mut RunSpec, T),
) -> Result<Vec<RunSpec>> {
    let with_names = |run: &RunSpec| {
        let values = values(run)?;
        let is_swept = values.len() > 1;
        let named = values
            .into_iter()
            .map(|value| (is_swept.then(|| Swept { key: key.to_owned(), value: number(&value) }), value));
        Ok(named.collect())
    };
    vary(runs, with_names, |run, (swept, value)| {
        run.swept.extend(swept);
        set(run, value);
    })
}

fn datasets(at: &Text<'_>, data: &Spanned<Values<String>>, source: Source) -> Result<Vec<DatasetName>> {
    let mut datasets = Vec::new();
    for name in at.values("data", data)? {
        let dataset: DatasetName = name.parse().map_err(|_| {
            let what = format!("{name:?} is not known, expected mnist, fashion-mnist or cifar10");
            at.error(data.span(), "data", what)
        })?;
        if source == Source::Embedded && embedded::subset(dataset).is_none() {
            let what = format!("no subset of {dataset} is embedded, expected `source = \"full\"`");
            return Err(at.error(data.span(), "data", what));
        }
        datasets.push(dataset);
    }
    Ok(datasets)
}

fn network(at: &Text<'_>, span: Range<usize>, network: Network, datasets: &[DatasetName]) -> Result<NetworkSpec> {
    let spec = match network {
        Network::Name(name) => match name.as_str() {
            "mlp" => NetworkSpec::Mlp,
            "deep-mlp" => NetworkSpec::DeepMlp,
            "cnn" => NetworkSpec::Cnn,
            "tiny" => NetworkSpec::Tiny,
            _ => {
                let what = format!("{name:?} is not known, expected mlp, deep-mlp, cnn or {{ hidden, activation }}");
                return Err(at.error(span, "network", what));
            }
        },
        Network::Widths(Widths { hidden, activation }) => {
            if hidden.len() < 2 {
                let what = format!("{} hidden widths, expected at least 2", hidden.len());
                return Err(at.error(span, "network", what));
            }
            NetworkSpec::Widths { hidden, activation }
        }
    };
    if let Some(wide) = spec.too_wide() {
        return Err(at.error(span, "network", format!("a width of {wide}, expected at most {MAX_WIDTH}")));
    }
    for &dataset in datasets {
        spec.architecture(dataset).map_err(|error| at.error(span.clone(), "network", error))?;
    }
    Ok(spec)
}

/// What all runs of a group share of their training.
fn descent(at: &Text<'_>, rows: &Rows) -> Result<Descent> {
    let mut descent = Descent::paper();
    if let Some(rate) = &rows.final_rate {
        descent.final_rate = *rate.get_ref();
        if !(descent.final_rate.is_finite() && descent.final_rate >= 0.0) {
            let what = format!("{}, expected a number from 0", descent.final_rate);
            return Err(at.error(rate.span(), "final_rate", what));
        }
    }
    if let Some(epochs) = &rows.cosine_epochs {
        descent.cosine_epochs = *epochs.get_ref();
        if descent.cosine_epochs == 0 {
            return Err(at.error(epochs.span(), "cosine_epochs", "0, expected at least 1"));
        }
    }
    if let Some(stop) = &rows.early_stop {
        let Stop { window, accuracy, loss } = *stop.get_ref();
        if window == 0 || !accuracy.is_finite() || !loss.is_finite() {
            let what = "expected a window of at least 1, and a finite accuracy and loss";
            return Err(at.error(stop.span(), "early_stop", what));
        }
        (descent.stop_window, descent.stop_accuracy, descent.stop_loss) = (window, accuracy, loss);
    }
    Ok(descent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "name = \"mine\"\n[[runs]]\ndata = \"mnist\"\nsource = \"embedded\"\nnetwork = \"mlp\"\n\
                         loss = [\"ce\", \"mse\"]\nclasses = [3, 10]\nimages = { 3 = 60, 10 = 20 }\n\
                         batch = [25, 50]\nepochs = 2\ndirections = 100\n";

    fn settings(text: &str) -> Result<Vec<String>> {
        let plan = parse("mine.toml", text, None)?;
        Ok(plan.all_runs(&Default::default())?.iter().map(RunSpec::setting).collect())
    }

    #[test]
    fn lists_are_sweeps_and_the_first_key_is_the_slowest() {
        let found = settings(GROUP).unwrap();
        assert_eq!(found[..3], ["mnist-mlp-ce-c3-batch25", "mnist-mlp-ce-c3-batch50", "mnist-mlp-ce-c10-batch25"]);
        assert_eq!((found.len(), found[7].as_str()), (8, "mnist-mlp-mse-c10-batch50"));
        let plan = parse("mine.toml", GROUP, None).unwrap();
        let runs = plan.all_runs(&Default::default()).unwrap();
        assert_eq!((runs[0].n_per_class, runs[2].n_per_class, runs[1].batch), (60, 20, 50));
        assert_eq!(runs[0].descent, Descent::paper());
        let slow = GROUP.replace("epochs = 2", "epochs = 2\nlearning_rate = 0.05");
        let run = parse("mine.toml", &slow, None).unwrap().all_runs(&Default::default()).unwrap().remove(0);
        assert_eq!((run.descent.rate, run.descent.final_rate), (0.05, 0.0005));
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (from, to, words) in [
            ("epochs = 2", "epoch = 2", "mine.toml, line 10: unknown field `epoch`"),
            ("epochs = 2", "", "missing field `epochs`"),
            ("batch = [25, 50]", "batch = [0, 50]", "mine.toml, line 9: batch: 0, expected at least 1"),
            ("batch = [25, 50]", "batch = []", "mine.toml, line 9: batch: an empty list"),
            ("batch = [25, 50]", "batch = \"x\"", "mine.toml, line 9: "),
            ("[3, 10]", "[3, 11]", "mine.toml, line 7: classes: 11, expected at most 10"),
            ("{ 3 = 60, 10 = 20 }", "{ 3 = 60 }", "mine.toml, line 8: images: nothing for 10 classes; found 3"),
            ("{ 3 = 60, 10 = 20 }", "9000", "mine.toml, line 8: images: 9000 of each class, but 2000 of mnist"),
            ("\"mnist\"", "\"mnits\"", "mine.toml, line 3: data: \"mnits\" is not known"),
            ("\"mlp\"", "\"mpl\"", "mine.toml, line 5: network: \"mpl\" is not known"),
            ("\"mlp\"", "{ hidden = [8], activation = \"relu\" }", "line 5: network: 1 hidden widths"),
            ("\"mse\"", "\"ce\"", "setting mnist-mlp-ce-c3-batch25 is there twice"),
            ("name = \"mine\"", "name = \"../x\"", "mine.toml, line 1: name: "),
            ("name = \"mine\"", "name = \"mine\"\nseeds = [1, 1]", "mine.toml, line 2: seeds: one is there twice"),
            ("name = \"mine\"", "name = ", "mine.toml, line 1: "),
        ] {
            assert!(GROUP.contains(from), "{from}");
            let error = settings(&GROUP.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(words), "{to}: {error}");
        }
    }
}
