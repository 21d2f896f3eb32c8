//! Which runs the paper makes, and at which scale.

use crate::outputs::{Featured, OutputId};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use superlinear_datasets::DatasetName;
use superlinear_nets::{Activation, Architecture, Loss};
use superlinear_training::SgdConfig;

/// Scale of a reproduction. Profiles differ in runs and sizes, never in what is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// A minute or two: 300 real images a class, one seed
    Smoke,
    /// Minutes: MNIST at the paper's own scale, two seeds
    Quick,
    /// The paper's list at full scale, four seeds
    Paper,
    /// A second: two tiny networks, for tests of what stops and goes on
    #[value(hide = true)]
    Tiny,
}

/// What stays on the disk of a finished reproduction, besides its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Keep {
    /// Nothing: the runs' folders are removed once the results are written, by the last process if several share the work; no
    /// verify, export or merge then
    None,
    /// Networks, curves and diagonals: enough to draw, verify and export
    Summary,
    /// Also the matrices H, M₂ and Σ of every analysed layer, for `verify --recompute` to compare entry by entry; `export` forms
    /// them again
    Moments,
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
            Self::Tiny => "tiny",
        })
    }
}

/// The networks of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Model {
    /// Fully connected, no bias: 784→50→50→10 for grey images, 3072→1000→50→50→10 for CIFAR-10.
    Mlp,
    /// Fully connected, no bias, with four hidden layers of 50, of which three hidden-to-hidden ones are analysed.
    DeepMlp,
    /// Four 3×3 convolutions with pooling, then 128→20→10; the target is 128→20.
    Cnn,
    /// Fully connected, no bias, two hidden layers of 12: none of the paper's.
    Tiny,
}

/// Where a run's images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The subset that is compiled in.
    Embedded,
    /// The full data set, on this machine.
    Full,
}

impl Source {
    /// As summaries say it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Embedded => "embedded subset",
            Self::Full => "full set, checked by SHA-256",
        }
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mlp => "mlp",
            Self::DeepMlp => "deep-mlp",
            Self::Cnn => "cnn",
            Self::Tiny => "tiny",
        })
    }
}

/// Everything that determines a run's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunSpec {
    /// Which images.
    #[serde(with = "as_text")]
    pub(crate) dataset: DatasetName,
    /// Which of them there are to draw from.
    pub(crate) source: Source,
    /// Which network.
    pub(crate) model: Model,
    /// Which loss.
    #[serde(with = "as_text")]
    pub(crate) loss: Loss,
    /// Classes `0..n_classes` are used; the network has 10 outputs all the same.
    pub(crate) n_classes: usize,
    /// Training images of each class.
    pub(crate) n_per_class: usize,
    /// Test images, at most, over all classes.
    pub(crate) n_test: usize,
    /// `B`.
    pub(crate) batch: usize,
    /// Most epochs.
    pub(crate) epochs: usize,
    /// The paper's `𝒩`: directions that a fit looks at.
    pub(crate) top: usize,
    /// Epochs after which the layer is analysed, besides the last.
    pub(crate) checkpoints: Vec<usize>,
    /// Resamples of the bootstrap over samples that gives exponents their intervals.
    pub(crate) n_resamples: usize,
    /// How the trained layer's spectra are looked at; not at all if `None`.
    pub(crate) spectral: Option<SpectralSpec>,
    /// Seeds the draw of the images, the initial weights and the order of batches, by separate streams.
    pub(crate) seed: u64,
}

/// Settings of the analysis of spectra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpectralSpec {
    /// Samples of each class whose Hessians are looked at one by one (the paper's 20).
    pub(crate) n_per_class: usize,
    /// Draws of the Haar null for its spread and a p-value; each takes seconds.
    pub(crate) null_draws: usize,
    /// Resamples of the bootstrap.
    pub(crate) bootstrap_draws: usize,
}

impl RunSpec {
    /// The run's name, for example `mnist-mlp-ce-c10-s0`.
    pub(crate) fn id(&self) -> String {
        format!("{}-s{}", self.setting(), self.seed)
    }

    /// The name that seeds of one setting share.
    pub(crate) fn setting(&self) -> String {
        format!("{}-{}-{}-c{}", self.dataset, self.model, self.loss, self.n_classes)
    }

    /// Training images.
    pub(crate) fn n_samples(&self) -> usize {
        self.n_classes * self.n_per_class
    }

    /// Whether the run has as many images of each class and as many epochs as the paper's.
    pub(crate) fn is_at_paper_scale(&self) -> bool {
        let rows = paper_rows();
        let row = rows.iter().find(|row| (row.dataset, row.model, row.loss) == (self.dataset, self.model, self.loss));
        let classes = CLASSES.iter().position(|&n| n == self.n_classes);
        row.zip(classes)
            .is_some_and(|(row, classes)| self.n_per_class >= row.n_per_class[classes] && self.epochs >= row.epochs)
    }

    /// The network's shape.
    pub(crate) fn architecture(&self) -> Architecture {
        let widths: &[usize] = match (self.model, self.dataset) {
            (Model::Cnn, dataset) => {
                let superlinear_datasets::ImageShape { channels, height, width } = dataset.shape();
                let images = superlinear_nets::ImageShape { channels, height, width };
                return Architecture::paper_cnn(images).expect("the paper's networks are networks");
            }
            (Model::Tiny, DatasetName::Cifar10) => &[3072, 12, 12, 10],
            (Model::Tiny, DatasetName::Mnist | DatasetName::FashionMnist) => &[784, 12, 12, 10],
            (Model::Mlp, DatasetName::Cifar10) => &[3072, 1000, 50, 50, 10],
            (Model::Mlp, DatasetName::Mnist | DatasetName::FashionMnist) => &[784, 50, 50, 10],
            (Model::DeepMlp, DatasetName::Cifar10) => &[3072, 50, 50, 50, 50, 10],
            (Model::DeepMlp, DatasetName::Mnist | DatasetName::FashionMnist) => &[784, 50, 50, 50, 50, 10],
        };
        Architecture::mlp(widths, Activation::Relu).expect("the paper's networks are networks")
    }

    /// The analysed dense layer, counted from 0: the last hidden-to-hidden one.
    pub(crate) fn target_dense(&self) -> usize {
        self.architecture().dense_layers().len() - 2
    }

    /// Dense layers that are analysed of the trained network: the target, and for deep networks every hidden-to-hidden one.
    pub(crate) fn layers(&self) -> Vec<usize> {
        let target = self.target_dense();
        match self.model {
            Model::DeepMlp => (1..=target).collect(),
            Model::Mlp | Model::Cnn | Model::Tiny => vec![target],
        }
    }

    /// Settings of training.
    pub(crate) fn sgd(&self) -> SgdConfig {
        SgdConfig { batch: self.batch, epochs: self.epochs, ..SgdConfig::paper(self.loss) }
    }
}

/// Most seeds of a setting: more are a slip of the hand, and their list alone would fill the memory.
const MAX_SEEDS: usize = 1_000;

/// Epochs at which the paper looks at a network.
const PAPER_CHECKPOINTS: [usize; 8] = [1, 10, 30, 50, 70, 80, 90, 100];

/// What is asked of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Scale.
    pub(crate) profile: Profile,
    /// Outputs to draw.
    pub(crate) outputs: Vec<OutputId>,
    /// Runs that outputs about single runs show.
    pub(crate) featured: Featured,
    /// Beginnings of the names of settings that there are to be; all of the profile's if empty.
    #[serde(default)]
    pub(crate) settings: Vec<String>,
    /// Seeds of each setting, `0..n_seeds`; the profile's own number if `None`.
    pub(crate) n_seeds: Option<usize>,
    /// Epochs at which runs that an output follows are analysed; the profile's own if `None`.
    pub(crate) checkpoints: Option<Vec<usize>>,
}

impl Request {
    /// The command that asks for the same.
    pub(crate) fn command(&self) -> String {
        let mut words = vec!["cargo xtask reproduce --profile".to_owned(), self.profile.to_string()];
        let mut option = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                words.extend([format!("--{name}"), values.join(",")]);
            }
        };
        if self.outputs != OutputId::ALL {
            option("only", self.outputs.iter().map(OutputId::to_string).collect());
        }
        if let Featured::Runs(ids) = &self.featured {
            option("runs", ids.clone());
        }
        option("settings", self.settings.clone());
        option("checkpoints", self.checkpoints.iter().flatten().map(usize::to_string).collect());
        option("seeds", self.n_seeds.iter().map(usize::to_string).collect());
        words.join(" ")
    }
}

/// The runs that a request needs.
///
/// # Errors
/// When a featured run is none of the profile's, no setting's name begins as one asked for, or the seeds are absurdly many.
pub(crate) fn runs(request: &Request) -> Result<Vec<RunSpec>> {
    if let Some(n_seeds) = request.n_seeds.filter(|&n_seeds| n_seeds > MAX_SEEDS) {
        bail!("{n_seeds} seeds of each setting, expected at most {MAX_SEEDS}");
    }
    let mut all = all_runs(request.profile, request.n_seeds);
    if let Some(unknown) = request.settings.iter().find(|beginning| !all.iter().any(|run| is_called(run, beginning))) {
        let mut known: Vec<String> = all.iter().map(RunSpec::setting).collect();
        known.sort();
        known.dedup();
        bail!("no setting of profile {} is called {unknown:?}; known: {}", request.profile, known.join(", "));
    }
    if !request.settings.is_empty() {
        all.retain(|run| request.settings.iter().any(|beginning| is_called(run, beginning)));
    }
    if let Featured::Runs(ids) = &request.featured
        && let Some(unknown) = ids.iter().find(|id| !all.iter().any(|run| run.id() == **id))
    {
        let known: Vec<String> = all.iter().map(RunSpec::id).collect();
        bail!("no run {unknown:?} in profile {}; known: {}", request.profile, known.join(", "));
    }
    let checkpoints = request.checkpoints.as_deref().unwrap_or(match request.profile {
        Profile::Smoke | Profile::Tiny => &[20],
        Profile::Quick | Profile::Paper => &PAPER_CHECKPOINTS,
    });
    let null_draws = match request.profile {
        Profile::Smoke | Profile::Tiny => 2,
        Profile::Quick => 9,
        Profile::Paper => 99,
    };
    let n_resamples = match request.profile {
        Profile::Smoke => 200,
        Profile::Tiny => 20,
        Profile::Quick | Profile::Paper => 1_000,
    };
    let needed =
        all.into_iter().filter(|run| request.outputs.iter().any(|output| output.needs(run, &request.featured)));
    let with_checkpoints = needed.map(|mut run| {
        run.n_resamples = n_resamples;
        if request.outputs.iter().any(|output| output.follows(&run, &request.featured)) {
            let asked = request.checkpoints.iter().flatten();
            if let Some(late) = asked.copied().find(|&epoch| epoch > run.epochs) {
                bail!("--checkpoints {late}: run {} is trained for {} epochs", run.id(), run.epochs);
            }
            run.checkpoints = checkpoints.to_vec();
        }
        if request.outputs.iter().any(|output| output.looks_inside(&run, &request.featured)) {
            run.spectral = Some(SpectralSpec { n_per_class: 20, null_draws, bootstrap_draws: 400 });
        }
        Ok(run)
    });
    with_checkpoints.collect()
}

/// Whether the parts of a setting's name begin with those of `beginning`, as `mnist-mlp` does `mnist-mlp-ce-c3`.
fn is_called(run: &RunSpec, beginning: &str) -> bool {
    let setting = run.setting();
    setting.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// A row of the paper's table.
struct Row {
    dataset: DatasetName,
    model: Model,
    loss: Loss,
    /// Training images of each class for 3, 6 and 10 classes.
    n_per_class: [usize; 3],
    batch: usize,
    epochs: usize,
    /// `𝒩` for 3, 6 and 10 classes.
    top: [usize; 3],
}

/// The rows that the paper lists, and the deep network of its layer-wise figure.
fn paper_rows() -> Vec<Row> {
    use DatasetName::{Cifar10, Mnist};
    use Loss::{CrossEntropy, SoftmaxMse};
    let row = |dataset, model, loss, n_per_class, batch, epochs, top| Row {
        dataset,
        model,
        loss,
        n_per_class,
        batch,
        epochs,
        top,
    };
    vec![
        row(Mnist, Model::Mlp, CrossEntropy, [2_000; 3], 50, 100, [300, 1_000, 1_000]),
        row(Mnist, Model::Mlp, SoftmaxMse, [2_000; 3], 50, 100, [300, 1_000, 1_000]),
        row(Cifar10, Model::Mlp, CrossEntropy, [2_000; 3], 100, 150, [800, 1_500, 1_500]),
        row(Cifar10, Model::Mlp, SoftmaxMse, [5_000; 3], 100, 100, [500, 1_000, 1_000]),
        row(Mnist, Model::Cnn, CrossEntropy, [2_000; 3], 50, 100, [200, 500, 1_000]),
        row(Mnist, Model::Cnn, SoftmaxMse, [5_000; 3], 128, 100, [200, 300, 800]),
        row(Cifar10, Model::Cnn, CrossEntropy, [5_000, 2_000, 2_000], 128, 100, [500, 1_000, 1_500]),
        row(Cifar10, Model::Cnn, SoftmaxMse, [5_000; 3], 128, 500, [500, 500, 1_000]),
        row(Mnist, Model::DeepMlp, CrossEntropy, [2_000; 3], 50, 100, [300, 1_000, 1_000]),
    ]
}

/// Numbers of classes.
const CLASSES: [usize; 3] = [3, 6, 10];

impl Row {
    fn run(&self, classes: usize, source: Source, seed: u64) -> RunSpec {
        RunSpec {
            dataset: self.dataset,
            source,
            model: self.model,
            loss: self.loss,
            n_classes: CLASSES[classes],
            n_per_class: self.n_per_class[classes],
            n_test: 1_000,
            batch: self.batch,
            epochs: self.epochs,
            top: self.top[classes],
            checkpoints: Vec::new(),
            n_resamples: 1_000,
            spectral: None,
            seed,
        }
    }
}

impl Row {
    /// One look at a network beside the main ones, on what is embedded and in minutes.
    fn embedded_run(&self, seed: u64) -> RunSpec {
        let available = superlinear_datasets::embedded::subset(self.dataset).map_or(0, |subset| subset.train_per_class);
        match self.model {
            // With the paper's batches a convolutional network makes too few steps on so few images to converge.
            Model::Cnn => RunSpec {
                n_per_class: available.min(200),
                batch: 20,
                epochs: 100,
                ..self.run(0, Source::Embedded, seed)
            },
            Model::Mlp | Model::DeepMlp | Model::Tiny => {
                let run = self.run(2, Source::Embedded, seed);
                RunSpec { n_per_class: run.n_per_class.min(available), ..run }
            }
        }
    }
}

/// Every run of a profile, without checkpoints.
fn all_runs(profile: Profile, n_seeds: Option<usize>) -> Vec<RunSpec> {
    let n_seeds = n_seeds.unwrap_or(match profile {
        Profile::Smoke | Profile::Tiny => 1,
        Profile::Quick => 2,
        Profile::Paper => 4,
    });
    let rows = paper_rows();
    let mut runs = Vec::new();
    for seed in 0..n_seeds as u64 {
        for row in &rows {
            let is_main = row.dataset == DatasetName::Mnist && row.model == Model::Mlp;
            let all_classes: &[usize] = if row.model == Model::DeepMlp { &[2] } else { &[0, 1, 2] };
            match profile {
                Profile::Paper => runs.extend(all_classes.iter().map(|&k| row.run(k, Source::Full, seed))),
                Profile::Quick if is_main => {
                    runs.extend(all_classes.iter().map(|&k| row.run(k, Source::Embedded, seed)));
                }
                Profile::Smoke if is_main => runs.extend(all_classes.iter().map(|&k| RunSpec {
                    n_per_class: 300,
                    epochs: 200,
                    ..row.run(k, Source::Embedded, seed)
                })),
                Profile::Quick if seed == 0 && row.loss == Loss::CrossEntropy => runs.push(row.embedded_run(seed)),
                Profile::Tiny if is_main => runs.push(RunSpec {
                    model: Model::Tiny,
                    n_per_class: 60,
                    n_test: 100,
                    epochs: 60,
                    top: 100,
                    ..row.run(0, Source::Embedded, seed)
                }),
                Profile::Quick | Profile::Smoke | Profile::Tiny => {}
            }
        }
    }
    runs
}

/// Serde through `Display` and `FromStr`, for names of other crates.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Request {
        pub(crate) fn new(profile: Profile, outputs: Vec<OutputId>) -> Self {
            Self { profile, outputs, featured: Featured::Usual, settings: Vec::new(), n_seeds: None, checkpoints: None }
        }
    }

    fn request(profile: Profile, outputs: &[OutputId], featured: &Featured) -> Request {
        Request { featured: featured.clone(), ..Request::new(profile, outputs.to_vec()) }
    }

    #[test]
    fn ids_are_unique_and_only_needed_runs_are_planned() {
        let all = runs(&request(Profile::Paper, OutputId::ALL, &Featured::Usual)).unwrap();
        let mut ids: Vec<String> = all.iter().map(RunSpec::id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), all.len()), (4 * 25, 4 * 25));
        let few = runs(&request(Profile::Quick, &[OutputId::PowerLaw], &Featured::Usual)).unwrap();
        assert_eq!(few.len(), 5, "one network a loss, the deep one and two of CIFAR-10: {few:?}");
    }

    #[test]
    fn featured_runs_are_followed_and_unknown_ones_named() {
        let featured = Featured::Runs(vec!["mnist-mlp-ce-c3-s1".to_owned()]);
        let one = runs(&request(Profile::Quick, &[OutputId::Trajectory], &featured)).unwrap();
        assert_eq!((one.len(), one[0].checkpoints.as_slice()), (1, &PAPER_CHECKPOINTS[..]));
        let unknown = Featured::Runs(vec!["mnist-mlp-ce-c4-s0".to_owned()]);
        let error = runs(&request(Profile::Quick, OutputId::ALL, &unknown)).unwrap_err().to_string();
        assert!(error.contains("mnist-mlp-ce-c4-s0") && error.contains("mnist-mlp-mse-c10-s1"), "{error}");
    }

    #[test]
    fn settings_are_chosen_by_the_parts_of_their_names() {
        let request = |settings: &[&str]| Request {
            settings: settings.iter().map(|&name| name.to_owned()).collect(),
            n_seeds: Some(2),
            ..Request::new(Profile::Paper, vec![OutputId::Table1])
        };
        let names = |settings| runs(&request(settings)).unwrap().iter().map(RunSpec::id).collect::<Vec<_>>();
        assert_eq!(names(&["mnist-cnn-mse-c10"]), ["mnist-cnn-mse-c10-s0", "mnist-cnn-mse-c10-s1"]);
        assert_eq!(names(&["cifar10-cnn", "cifar10-mlp-ce"]).len(), 2 * 9);
        let error = runs(&request(&["mnist-mlp", "mnist-mlp-ce-c1"])).unwrap_err().to_string();
        assert!(error.contains("\"mnist-mlp-ce-c1\"") && error.contains("mnist-mlp-ce-c10"), "{error}");
    }

    #[test]
    fn absurdly_many_seeds_are_refused() {
        let request =
            |n_seeds| Request { n_seeds: Some(n_seeds), ..Request::new(Profile::Tiny, OutputId::ALL.to_vec()) };
        assert_eq!(runs(&request(1_000)).unwrap().len(), 2_000);
        assert!(runs(&request(usize::MAX)).unwrap_err().to_string().contains("expected at most 1000"));
    }

    #[test]
    fn a_request_names_its_command() {
        let usual = Request::new(Profile::Quick, OutputId::ALL.to_vec());
        assert_eq!(usual.command(), "cargo xtask reproduce --profile quick");
        let narrow = Request {
            featured: Featured::Runs(vec!["mnist-mlp-ce-c3-s1".to_owned()]),
            settings: vec!["mnist-mlp".to_owned()],
            checkpoints: Some(vec![1, 5]),
            n_seeds: Some(2),
            ..Request::new(Profile::Paper, vec![OutputId::Table1, OutputId::Bounds])
        };
        assert_eq!(
            narrow.command(),
            "cargo xtask reproduce --profile paper --only table1,bounds --runs mnist-mlp-ce-c3-s1 --settings mnist-mlp \
             --checkpoints 1,5 --seeds 2"
        );
    }

    #[test]
    fn specs_survive_serialisation() {
        let run = &runs(&request(Profile::Smoke, OutputId::ALL, &Featured::Usual)).unwrap()[0];
        let text = serde_json::to_string(run).unwrap();
        assert_eq!(&serde_json::from_str::<RunSpec>(&text).unwrap(), run);
    }
}
