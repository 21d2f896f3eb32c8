//! What the original files are, and where they are published.
//!
//! Sizes and hashes are those of the uncompressed files, so that it does not matter how a copy was packed.

use crate::DatasetName;

/// A data set as its authors published it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub dataset: DatasetName,
    /// Its files, in reading order: training images, training labels, test images, test labels for IDX; the training
    /// batches and then the test batch for CIFAR-10.
    pub files: Vec<FileSpec>,
    /// Where they are.
    pub publication: Publication,
}

/// One original, uncompressed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// How the files of a data set are published. Mirrors are tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// Each file gzipped by itself, at `<mirror>/<file>.gz`.
    GzippedFiles {
        /// Base addresses.
        mirrors: Vec<String>,
    },
    /// All files in one gzipped tar archive, at `<mirror>/<archive>`.
    TarGz {
        /// Name of the archive.
        archive: String,
        /// Base addresses.
        mirrors: Vec<String>,
    },
}

/// The original files of `dataset`.
pub fn entry(dataset: DatasetName) -> Entry {
    let (files, publication): (&[_], _) = match dataset {
        DatasetName::Mnist => (
            &MNIST,
            Publication::GzippedFiles {
                mirrors: vec![
                    "https://ossci-datasets.s3.amazonaws.com/mnist".to_owned(),
                    "https://storage.googleapis.com/cvdf-datasets/mnist".to_owned(),
                ],
            },
        ),
        DatasetName::FashionMnist => (
            &FASHION_MNIST,
            Publication::GzippedFiles {
                mirrors: vec!["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com".to_owned()],
            },
        ),
        DatasetName::Cifar10 => (
            &CIFAR10,
            Publication::TarGz {
                archive: "cifar-10-binary.tar.gz".to_owned(),
                mirrors: vec!["https://www.cs.toronto.edu/~kriz".to_owned()],
            },
        ),
    };
    let spec = |&(name, bytes, sha256): &(&str, u64, &str)| FileSpec {
        name: name.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
    };
    Entry { dataset, files: files.iter().map(spec).collect(), publication }
}

/// The original files of every data set.
pub fn entries() -> Vec<Entry> {
    DatasetName::ALL.into_iter().map(entry).collect()
}

const MNIST: [(&str, u64, &str); 4] = [
    ("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
];

const FASHION_MNIST: [(&str, u64, &str); 4] = [
    ("train-images-idx3-ubyte", 47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ("train-labels-idx1-ubyte", 60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ("t10k-images-idx3-ubyte", 7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte", 10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
];

const CIFAR10: [(&str, u64, &str); 6] = [
    ("data_batch_1.bin", 30_730_000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    ("data_batch_2.bin", 30_730_000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    ("data_batch_3.bin", 30_730_000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    ("data_batch_4.bin", 30_730_000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    ("data_batch_5.bin", 30_730_000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    ("test_batch.bin", 30_730_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
];

#[cfg(test)]
impl FileSpec {
    /// The spec of a small made-up file.
    pub(crate) fn of(name: &str, content: &[u8]) -> FileSpec {
        use sha2::{Digest, Sha256};
        let sha256 = crate::verified::hex(&Sha256::digest(content));
        FileSpec { name: name.to_owned(), bytes: content.len() as u64, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_the_formats() {
        for entry in entries() {
            let image = entry.dataset.shape().len() as u64;
            let expected: Vec<u64> = match entry.dataset {
                DatasetName::Cifar10 => vec![10_000 * (1 + image); 6],
                _ => vec![16 + 60_000 * image, 8 + 60_000, 16 + 10_000 * image, 8 + 10_000],
            };
            assert_eq!(entry.files.iter().map(|f| f.bytes).collect::<Vec<_>>(), expected);
            assert!(entry.files.iter().all(|f| f.sha256.len() == 64), "{}", entry.dataset);
        }
    }
}
