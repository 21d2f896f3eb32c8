//! MNIST at the paper's scale, compiled into the program: no file, no network.
//!
//! [`mnist`] holds the first 2,000 training images and the first 100 test images of each class, in the order of the
//! original files (`data/README.md` has hashes, origin and terms; [`embed`](crate::embed) is how they were made). For the full set see [`load`](crate::load()).

use crate::{Dataset, DatasetName, Split, idx};

/// Training images of each class in [`mnist`].
pub const TRAIN_PER_CLASS: usize = 2_000;
/// Test images of each class in [`mnist`].
pub const TEST_PER_CLASS: usize = 100;

/// A compiled-in file of `data/mnist/`: a gzipped IDX file.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFile {
    /// Name in `data/mnist/`.
    pub name: &'static str,
    /// Its content, gzipped.
    pub gzip: &'static [u8],
    /// Bytes of the IDX content.
    pub bytes: u64,
    /// SHA-256 of the IDX content, in hexadecimal.
    pub sha256: &'static str,
}

macro_rules! embedded {
    ($name:literal, $bytes:literal, $sha256:literal) => {
        EmbeddedFile {
            name: $name,
            gzip: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/mnist/", $name)),
            bytes: $bytes,
            sha256: $sha256,
        }
    };
}

/// The files behind [`mnist`]: training images and labels, test images and labels.
pub const FILES: [EmbeddedFile; 4] = [
    embedded!(
        "train-20000-images-idx3-ubyte.gz",
        15_680_016,
        "b1a0706f32f79a4c81c28d44c1f26e0a48ac342843f5df476955ae0d70a4fb99"
    ),
    embedded!(
        "train-20000-labels-idx1-ubyte.gz",
        20_008,
        "b689a013ba6be79342b854f9ea60abd1ecd3af85ca69af8d33ea1c96726568ea"
    ),
    embedded!(
        "test-1000-images-idx3-ubyte.gz",
        784_016,
        "b97c8bfeb834d8e7999eaa2d69239abe06653dc09c1e5d7eb0c974c5965bc6a9"
    ),
    embedded!(
        "test-1000-labels-idx1-ubyte.gz",
        1_008,
        "41cf2f530031915ba9fbb241407c369dba1acd7515053edff48cebeee8b260f4"
    ),
];

/// The embedded MNIST: 20,000 training and 1,000 test images, balanced over the ten classes.
///
/// Decodes afresh at every call (tens of milliseconds in a release build): keep what it returns.
pub fn mnist() -> Dataset {
    let [train_images, train_labels, test_images, test_labels] = &FILES;
    Dataset {
        name: DatasetName::Mnist,
        train: decode(train_images, train_labels),
        test: decode(test_images, test_labels),
    }
}

fn decode(images: &EmbeddedFile, labels: &EmbeddedFile) -> Split {
    // What is compiled in is checked by the tests below; damage would be a broken build, not bad input.
    let labels = idx::parse_labels(labels.name, labels.gzip).expect("embedded labels");
    let images = idx::parse_images(images.name, images.gzip).expect("embedded images");
    Split::new(images.shape, images.pixels, labels).expect("embedded split")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageShape, N_CLASSES, verified};
    use sha2::{Digest, Sha256};
    use std::io::Read;

    #[test]
    fn embedded_files_are_the_recorded_ones() {
        for file in FILES {
            let mut content = Vec::new();
            flate2::read::GzDecoder::new(file.gzip).read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, file.bytes, "{}", file.name);
            assert_eq!(verified::hex(&Sha256::digest(&content)), file.sha256, "{}", file.name);
        }
    }

    #[test]
    fn the_table_in_the_readme_is_true() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/README.md"));
        for file in FILES {
            let packed = verified::hex(&Sha256::digest(file.gzip));
            let row =
                format!("| `{}` | {} | `{packed}` | {} | `{}` |", file.name, file.gzip.len(), file.bytes, file.sha256);
            assert!(readme.lines().any(|line| line == row), "data/README.md lacks: {row}");
        }
    }

    #[test]
    fn mnist_is_balanced_and_in_the_original_order() {
        let mnist = mnist();
        assert_eq!(mnist.train.shape(), ImageShape::GREY_28);
        assert_eq!(mnist.train.class_counts(), [TRAIN_PER_CLASS; N_CLASSES]);
        assert_eq!(mnist.test.class_counts(), [TEST_PER_CLASS; N_CLASSES]);
        // The published files begin with these labels.
        assert_eq!(mnist.train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(mnist.test.labels()[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    }
}
