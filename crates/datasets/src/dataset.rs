//! The data sets of the paper and its near neighbour, by name.

use crate::{ImageShape, Split};

/// A data set: a training and a test split of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Which one.
    pub name: DatasetName,
    /// Training images, in the order of the original files.
    pub train: Split,
    /// Test images, in the order of the original files.
    pub test: Split,
}

/// The names of the data sets; written `mnist`, `fashion-mnist`, `cifar10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatasetName {
    /// Handwritten digits, 28 × 28 grey.
    Mnist,
    /// Articles of clothing, 28 × 28 grey.
    FashionMnist,
    /// Animals and vehicles, 32 × 32 in colour.
    Cifar10,
}

/// A name that is none of [`DatasetName::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("data set: found `{found}`, expected one of mnist, fashion-mnist, cifar10")]
pub struct UnknownDataset {
    /// What was asked for.
    pub found: String,
}

impl DatasetName {
    /// Every data set, in the order in which they are listed.
    pub const ALL: [DatasetName; 3] = [DatasetName::Mnist, DatasetName::FashionMnist, DatasetName::Cifar10];

    /// The name as written on a command line, and as the folder in a cache.
    pub const fn as_str(self) -> &'static str {
        match self {
            DatasetName::Mnist => "mnist",
            DatasetName::FashionMnist => "fashion-mnist",
            DatasetName::Cifar10 => "cifar10",
        }
    }

    /// Shape of its images.
    pub const fn shape(self) -> ImageShape {
        match self {
            DatasetName::Mnist | DatasetName::FashionMnist => ImageShape::GREY_28,
            DatasetName::Cifar10 => ImageShape::RGB_32,
        }
    }

    /// The meaning of each label, in order.
    pub const fn class_names(self) -> [&'static str; crate::N_CLASSES] {
        match self {
            DatasetName::Mnist => ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            DatasetName::FashionMnist => [
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ],
            DatasetName::Cifar10 => {
                ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
            }
        }
    }
}

impl std::fmt::Display for DatasetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for DatasetName {
    type Err = UnknownDataset;

    fn from_str(s: &str) -> Result<DatasetName, UnknownDataset> {
        let known = DatasetName::ALL.into_iter().find(|name| name.as_str() == s);
        known.ok_or_else(|| UnknownDataset { found: s.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for name in DatasetName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn an_unknown_name_says_which_are_known() {
        let error = "MNIST-1D".parse::<DatasetName>().unwrap_err();
        assert_eq!(error.to_string(), "data set: found `MNIST-1D`, expected one of mnist, fashion-mnist, cifar10");
    }
}
