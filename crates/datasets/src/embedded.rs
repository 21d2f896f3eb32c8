//! Subsets of real data compiled into the program (features `mnist` and `cifar10`): no file, no network.
//!
//! A [`Subset`] holds the first training and the first test images of each class, in the order of the original files
//! (`data/README.md` has hashes, origin and terms; [`embed`](crate::embed) is how they were made). [`MNIST`] is at the
//! paper's scale, [`CIFAR10`] a tenth of it. For the full sets see [`load`](crate::load()).

use crate::{Dataset, DatasetName, Split, cifar, idx};

/// An embedded subset: the first images of each class of a data set.
#[derive(Clone, Copy, Debug)]
pub struct Subset {
    /// The data set it is of.
    pub dataset: DatasetName,
    /// Training images of each class.
    pub train_per_class: usize,
    /// Test images of each class.
    pub test_per_class: usize,
    /// The training images.
    pub train: SplitFiles,
    /// The test images.
    pub test: SplitFiles,
}

/// The files of one split, in the format of the originals.
#[derive(Clone, Copy, Debug)]
pub enum SplitFiles {
    /// Gzipped IDX files.
    Idx {
        /// The images.
        images: EmbeddedFile,
        /// Their labels.
        labels: EmbeddedFile,
    },
    /// Gzipped records of CIFAR-10.
    Cifar {
        /// Labels and images.
        batch: EmbeddedFile,
    },
}

/// A compiled-in file of `data/<data set>/`, gzipped.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFile {
    /// Name in `data/<data set>/`.
    pub name: &'static str,
    /// Its content, gzipped.
    pub gzip: &'static [u8],
    /// Bytes of the unpacked content.
    pub bytes: u64,
    /// SHA-256 of the unpacked content, in hexadecimal.
    pub sha256: &'static str,
}

/// MNIST at the paper's scale: 2,000 training and 100 test images of each class.
#[cfg(feature = "mnist")]
pub static MNIST: Subset = Subset {
    dataset: DatasetName::Mnist,
    train_per_class: 2_000,
    test_per_class: 100,
    train: SplitFiles::Idx {
        images: EmbeddedFile {
            name: "train-20000-images-idx3-ubyte.gz",
            gzip: superlinear_mnist::TRAIN_IMAGES,
            bytes: 15_680_016,
            sha256: "b1a0706f32f79a4c81c28d44c1f26e0a48ac342843f5df476955ae0d70a4fb99",
        },
        labels: EmbeddedFile {
            name: "train-20000-labels-idx1-ubyte.gz",
            gzip: superlinear_mnist::TRAIN_LABELS,
            bytes: 20_008,
            sha256: "b689a013ba6be79342b854f9ea60abd1ecd3af85ca69af8d33ea1c96726568ea",
        },
    },
    test: SplitFiles::Idx {
        images: EmbeddedFile {
            name: "test-1000-images-idx3-ubyte.gz",
            gzip: superlinear_mnist::TEST_IMAGES,
            bytes: 784_016,
            sha256: "b97c8bfeb834d8e7999eaa2d69239abe06653dc09c1e5d7eb0c974c5965bc6a9",
        },
        labels: EmbeddedFile {
            name: "test-1000-labels-idx1-ubyte.gz",
            gzip: superlinear_mnist::TEST_LABELS,
            bytes: 1_008,
            sha256: "41cf2f530031915ba9fbb241407c369dba1acd7515053edff48cebeee8b260f4",
        },
    },
};

/// CIFAR-10 at a small scale: 200 training and 50 test images of each class.
#[cfg(feature = "cifar10")]
pub static CIFAR10: Subset = Subset {
    dataset: DatasetName::Cifar10,
    train_per_class: 200,
    test_per_class: 50,
    train: SplitFiles::Cifar {
        batch: EmbeddedFile {
            name: "train-2000.bin.gz",
            gzip: superlinear_cifar10::TRAIN,
            bytes: 6_146_000,
            sha256: "85e1bcd937bff4e1a96822ecf457c7d8b520eb14496e76876f04aadd1e5205d3",
        },
    },
    test: SplitFiles::Cifar {
        batch: EmbeddedFile {
            name: "test-500.bin.gz",
            gzip: superlinear_cifar10::TEST,
            bytes: 1_536_500,
            sha256: "6fc53f55aebe522d5b1a105c0044983a34f86c60436887ec8a0c4a68c093078a",
        },
    },
};

/// Every embedded subset, in the order of [`DatasetName::ALL`].
///
/// Each is a static of its own, so that a program that names one carries the bytes of that one only.
pub static SUBSETS: &[&Subset] = &[
    #[cfg(feature = "mnist")]
    &MNIST,
    #[cfg(feature = "cifar10")]
    &CIFAR10,
];

/// The embedded subset of `dataset`, if there is one.
pub fn subset(dataset: DatasetName) -> Option<&'static Subset> {
    SUBSETS.iter().copied().find(|subset| subset.dataset == dataset)
}

/// The images of [`MNIST`]: 20,000 for training and 1,000 for testing, balanced over the ten classes.
///
/// Decodes afresh at every call, see [`Subset::load`].
#[cfg(feature = "mnist")]
pub fn mnist() -> Dataset {
    MNIST.load()
}

/// The images of [`CIFAR10`]: 2,000 for training and 500 for testing, balanced over the ten classes.
///
/// Decodes afresh at every call, see [`Subset::load`].
#[cfg(feature = "cifar10")]
pub fn cifar10() -> Dataset {
    CIFAR10.load()
}

impl Subset {
    /// The images. Decodes afresh at every call (tens of milliseconds in a release build): keep what it returns.
    ///
    /// # Panics
    /// If the files are not what they should be, which the tests of this crate rule out for [`SUBSETS`].
    pub fn load(&self) -> Dataset {
        Dataset { name: self.dataset, train: self.train.decode(), test: self.test.decode() }
    }

    /// All its files: those of the training images, then those of the test images.
    pub fn files(&self) -> impl Iterator<Item = &EmbeddedFile> {
        self.train.iter().chain(self.test.iter())
    }
}

impl SplitFiles {
    /// The files, images before labels.
    pub fn iter(&self) -> impl Iterator<Item = &EmbeddedFile> {
        let (first, second) = match self {
            SplitFiles::Idx { images, labels } => (images, Some(labels)),
            SplitFiles::Cifar { batch } => (batch, None),
        };
        std::iter::once(first).chain(second)
    }

    fn decode(&self) -> Split {
        // What is compiled in is checked by the tests below; damage would be a broken build, not bad input.
        match self {
            SplitFiles::Idx { images, labels } => {
                let labels = idx::parse_labels(labels.name, labels.gzip).expect("embedded labels");
                let images = idx::parse_images(images.name, images.gzip).expect("embedded images");
                Split::new(images.shape, images.pixels, labels).expect("embedded split")
            }
            SplitFiles::Cifar { batch } => cifar::parse_batch(batch.name, batch.gzip).expect("embedded batch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{N_CLASSES, verified};
    use sha2::{Digest, Sha256};
    use std::io::Read;

    #[test]
    fn embedded_files_are_the_recorded_ones() {
        for file in SUBSETS.iter().flat_map(|subset| subset.files()) {
            let mut content = Vec::new();
            flate2::read::GzDecoder::new(file.gzip).read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, file.bytes, "{}", file.name);
            assert_eq!(verified::hex(&Sha256::digest(&content)), file.sha256, "{}", file.name);
        }
    }

    #[test]
    fn subsets_are_balanced_and_of_their_data_sets() {
        for name in DatasetName::ALL {
            let Some(subset) = subset(name) else { continue };
            let data = subset.load();
            assert_eq!((subset.dataset, data.name), (name, name));
            assert_eq!((data.train.shape(), data.test.shape()), (name.shape(), name.shape()));
            assert_eq!(data.train.class_counts(), [subset.train_per_class; N_CLASSES], "{name}");
            assert_eq!(data.test.class_counts(), [subset.test_per_class; N_CLASSES], "{name}");
        }
        let embedded = DatasetName::ALL.into_iter().filter(|name| subset(*name).is_some());
        assert_eq!(embedded.collect::<Vec<_>>(), SUBSETS.iter().map(|subset| subset.dataset).collect::<Vec<_>>());
    }

    #[test]
    fn subsets_begin_as_the_published_files() {
        let mnist = mnist();
        assert_eq!(mnist.train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(mnist.test.labels()[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        let cifar10 = cifar10();
        assert_eq!(cifar10.train.labels()[..10], [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
        assert_eq!(cifar10.test.labels()[..10], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
    }
}
