//! What a run is: everything that determines its numbers.

use serde::{Deserialize, Serialize};
use superlinear_datasets::DatasetName;
use superlinear_nets::{Activation, Architecture, ArchitectureError, Loss};
use superlinear_training::{CosineSchedule, EarlyStop, SgdConfig};

/// Everything that determines a run's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Which images.
    #[serde(with = "as_text")]
    pub dataset: DatasetName,
    /// Which of them there are to draw from.
    pub source: Source,
    /// Which network.
    pub network: NetworkSpec,
    /// Which loss.
    #[serde(with = "as_text")]
    pub loss: Loss,
    /// Classes `0..n_classes` are used; the paper's networks have 10 outputs all the same.
    pub n_classes: usize,
    /// Training images of each class.
    pub n_per_class: usize,
    /// Test images, at most, over all classes.
    pub n_test: usize,
    /// `B`.
    pub batch: usize,
    /// Most epochs.
    pub epochs: usize,
    /// Learning rate, clipping, when to stop.
    pub descent: Descent,
    /// Which dense layers are analysed.
    pub layers: Layers,
    /// The paper's `𝒩`: directions that a fit looks at.
    pub top: usize,
    /// Epochs after which the layer is analysed, besides the last.
    pub checkpoints: Vec<usize>,
    /// Resamples of the bootstrap over samples that gives exponents their intervals.
    pub n_resamples: usize,
    /// How the trained layer's spectra are looked at; not at all if `None`.
    pub spectra: Option<SpectraSpec>,
    /// Seeds the draw of the images, the initial weights and the order of batches, by separate streams.
    pub seed: u64,
    /// What the plan sweeps, with this run's value; part of its name.
    pub swept: Vec<Swept>,
    /// Whether it has as many images and epochs as the paper's.
    pub is_at_paper_scale: bool,
}

/// Where a run's images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The subset that is compiled in.
    Embedded,
    /// The full data set, on this machine.
    Full,
}

impl Source {
    /// As summaries say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Embedded => "embedded subset",
            Self::Full => "full set, checked by SHA-256",
        }
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkSpec {
    /// Fully connected, no bias: 784→50→50→10 for grey images, 3072→1000→50→50→10 for CIFAR-10.
    Mlp,
    /// Fully connected, no bias, with four hidden layers of 50.
    DeepMlp,
    /// Four 3×3 convolutions with pooling, then 128→20→10; the target is 128→20.
    Cnn,
    /// Fully connected, no bias, two hidden layers of 12: none of the paper's, for tests.
    Tiny,
    /// Fully connected, no bias, of any hidden widths, with 10 outputs.
    Widths {
        /// Hidden widths, first to last; two or more.
        hidden: Vec<usize>,
        /// Behind every layer but the last.
        activation: ActivationName,
    },
}

/// An activation by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationName {
    /// `max(z, 0)`.
    Relu,
    /// `tanh z`.
    Tanh,
}

impl From<ActivationName> for Activation {
    fn from(name: ActivationName) -> Self {
        match name {
            ActivationName::Relu => Self::Relu,
            ActivationName::Tanh => Self::Tanh,
        }
    }
}

impl std::fmt::Display for NetworkSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mlp => f.write_str("mlp"),
            Self::DeepMlp => f.write_str("deep-mlp"),
            Self::Cnn => f.write_str("cnn"),
            Self::Tiny => f.write_str("tiny"),
            Self::Widths { hidden, activation } => {
                f.write_str(match activation {
                    ActivationName::Relu => "relu",
                    ActivationName::Tanh => "tanh",
                })?;
                hidden.iter().try_for_each(|width| write!(f, "x{width}"))
            }
        }
    }
}

/// How stochastic gradient descent goes, batches, epochs and loss aside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descent {
    /// Learning rate of the first epoch.
    pub rate: f64,
    /// Learning rate at the end of the cosine.
    pub final_rate: f64,
    /// Epochs of the cosine.
    pub cosine_epochs: usize,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Stop when the mean accuracy of so many epochs …
    pub stop_window: usize,
    /// … exceeds this …
    pub stop_accuracy: f64,
    /// … and the loss of the last is below this.
    pub stop_loss: f64,
}

impl Descent {
    /// The paper's.
    pub fn paper() -> Self {
        let SgdConfig { schedule, clip, early_stop, .. } = SgdConfig::paper(Loss::CrossEntropy);
        Self {
            rate: schedule.initial,
            final_rate: schedule.floor,
            cosine_epochs: schedule.t_max,
            clip,
            stop_window: early_stop.window,
            stop_accuracy: early_stop.accuracy,
            stop_loss: early_stop.loss,
        }
    }
}

/// Which dense layers of the trained network are analysed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// The last one before the logits' layer.
    Target,
    /// Every one between the first and the logits' layer.
    Hidden,
}

/// Settings of the analysis of spectra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpectraSpec {
    /// Samples of each class whose Hessians are looked at one by one (the paper's 20).
    pub n_per_class: usize,
    /// Draws of the Haar null for its spread and a p-value; each takes seconds.
    pub null_draws: usize,
    /// Resamples of the bootstrap.
    pub bootstrap_draws: usize,
}

/// A setting that a plan sweeps, and one value of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swept {
    /// The key in the plan, for example `batch`.
    pub key: String,
    /// The value.
    pub value: f64,
}

impl Swept {
    /// As in a run's name: `batch25`.
    pub fn name(&self) -> String {
        format!("{}{}", self.key.replace('_', "-"), self.value)
    }
}

impl RunSpec {
    /// The run's name, for example `mnist-mlp-ce-c10-s0`.
    pub fn id(&self) -> String {
        format!("{}-s{}", self.setting(), self.seed)
    }

    /// The name that seeds of one setting share.
    pub fn setting(&self) -> String {
        let mut name = format!("{}-{}-{}-c{}", self.dataset, self.network, self.loss, self.n_classes);
        for swept in &self.swept {
            name = format!("{name}-{}", swept.name());
        }
        name
    }

    /// Its network in words: `MLP`.
    pub fn network_words(&self) -> String {
        match &self.network {
            NetworkSpec::Mlp => "MLP".to_owned(),
            NetworkSpec::DeepMlp => "Deep MLP".to_owned(),
            NetworkSpec::Cnn => "CNN".to_owned(),
            NetworkSpec::Tiny => "Tiny MLP".to_owned(),
            NetworkSpec::Widths { hidden, activation } => {
                let widths: Vec<String> = hidden.iter().map(usize::to_string).collect();
                let name = match activation {
                    ActivationName::Relu => "ReLU",
                    ActivationName::Tanh => "tanh",
                };
                format!("MLP {} {name}", widths.join("–"))
            }
        }
    }

    /// Its data set in words: `CIFAR-10`.
    pub fn dataset_words(&self) -> &'static str {
        match self.dataset {
            DatasetName::Mnist => "MNIST",
            DatasetName::FashionMnist => "Fashion-MNIST",
            DatasetName::Cifar10 => "CIFAR-10",
        }
    }

    /// Its loss in words: `CE`.
    pub fn loss_words(&self) -> &'static str {
        match self.loss {
            Loss::CrossEntropy => "CE",
            Loss::SoftmaxMse => "MSE",
            Loss::LinearMse => "linear MSE",
        }
    }

    /// `MNIST MLP, CE, 10 classes`, with what is swept.
    pub fn title(&self) -> String {
        let (network, dataset, loss) = (self.network_words(), self.dataset_words(), self.loss_words());
        let mut title = format!("{dataset} {network}, {loss}, {} classes", self.n_classes);
        for Swept { key, value } in &self.swept {
            title = format!("{title}, {} {value}", key.replace('_', " "));
        }
        title
    }

    /// Whether there can be such a run; a plan's are checked already, those of a file are not.
    ///
    /// # Errors
    /// When a count is zero or too large, a rate is not positive, or the network is none.
    pub fn check(&self) -> anyhow::Result<()> {
        let Descent { rate, final_rate, cosine_epochs, clip, stop_window, .. } = self.descent;
        let counts = [self.n_per_class, self.batch, self.epochs, self.top, cosine_epochs, stop_window];
        if !(2..=10).contains(&self.n_classes) || counts.iter().any(|n| !(1..=u32::MAX as usize).contains(n)) {
            anyhow::bail!("a count is 0 or too large: {self:?}");
        }
        if [rate, clip].iter().any(|x| !(x.is_finite() && *x > 0.0)) || !final_rate.is_finite() {
            anyhow::bail!("a rate is not positive: {self:?}");
        }
        if let Some(wide) = self.network.too_wide() {
            anyhow::bail!("a width of {wide}, expected at most {MAX_WIDTH}");
        }
        let architecture = self.network.architecture(self.dataset)?;
        if architecture.dense_layers().len() < 2 {
            anyhow::bail!("a network of one dense layer: {self:?}");
        }
        Ok(())
    }

    /// Training images.
    pub fn n_samples(&self) -> usize {
        self.n_classes * self.n_per_class
    }

    /// The network's shape.
    ///
    /// # Panics
    /// When hidden widths make no network; a plan checks them by [`NetworkSpec::architecture`].
    pub fn architecture(&self) -> Architecture {
        self.network.architecture(self.dataset).expect("checked when the plan was read")
    }

    /// The analysed dense layer, counted from 0: the last one before the logits'.
    pub fn target_dense(&self) -> usize {
        self.architecture().dense_layers().len() - 2
    }

    /// Dense layers that are analysed of the trained network, counted from 0; the target is the last.
    pub fn analysed_dense(&self) -> Vec<usize> {
        let target = self.target_dense();
        match self.layers {
            Layers::Target => vec![target],
            Layers::Hidden => (1..=target).collect(),
        }
    }

    /// Settings of training.
    pub fn sgd(&self) -> SgdConfig {
        let &Descent { rate, final_rate, cosine_epochs, clip, stop_window, stop_accuracy, stop_loss } = &self.descent;
        SgdConfig {
            loss: self.loss,
            batch: self.batch,
            epochs: self.epochs,
            schedule: CosineSchedule { initial: rate, floor: final_rate, t_max: cosine_epochs },
            clip,
            early_stop: EarlyStop { window: stop_window, accuracy: stop_accuracy, loss: stop_loss },
        }
    }
}

/// The widest hidden layer that there may be: wider ones overflow before they train.
pub const MAX_WIDTH: usize = 1 << 20;

impl NetworkSpec {
    /// A hidden width above [`MAX_WIDTH`], if there is one.
    pub fn too_wide(&self) -> Option<usize> {
        match self {
            Self::Widths { hidden, .. } => hidden.iter().copied().find(|&width| width > MAX_WIDTH),
            _ => None,
        }
    }

    /// Its shape for images of a data set.
    ///
    /// # Errors
    /// When hidden widths make no network.
    pub fn architecture(&self, dataset: DatasetName) -> Result<Architecture, ArchitectureError> {
        let superlinear_datasets::ImageShape { channels, height, width } = dataset.shape();
        let n_in = channels * height * width;
        let mlp = |hidden: &[usize], activation| Architecture::mlp(&[&[n_in], hidden, &[10]].concat(), activation);
        match self {
            Self::Mlp if dataset == DatasetName::Cifar10 => mlp(&[1000, 50, 50], Activation::Relu),
            Self::Mlp => mlp(&[50, 50], Activation::Relu),
            Self::DeepMlp => mlp(&[50, 50, 50, 50], Activation::Relu),
            Self::Tiny => mlp(&[12, 12], Activation::Relu),
            Self::Cnn => Architecture::paper_cnn(superlinear_nets::ImageShape { channels, height, width }),
            Self::Widths { hidden, activation } => mlp(hidden, (*activation).into()),
        }
    }
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
