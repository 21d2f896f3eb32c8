//! Damaged files: whatever happens to the bytes of a record or of an input, no reader panics, and none that has a
//! checksum takes changed content for whole.
//!
//! Records, gzipped images and npz archives carry checksums. Plain IDX and CIFAR-10 files and safetensors carry none:
//! there the reader checks every count, and who must be sure compares a SHA-256, as `superlinear_datasets::load` does.

use crate::slow;
use flate2::{Compression, write::GzEncoder};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use superlinear_datasets::{ImageShape, Split, cifar, idx};
use superlinear_store::array::{Array, ArrayView};
use superlinear_store::record::{self, Record};
use superlinear_store::{npz, safetensors};

/// Damages of each format.
fn n_damages() -> usize {
    if slow() { 50_000 } else { 1_500 }
}

/// The bytes after one to three accidents; `other` is a file of the same format that pieces may come from.
fn damaged(whole: &[u8], other: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let len = bytes.len();
        if len < 2 {
            break;
        }
        let mut piece = |within: usize| {
            let from = rng.random_range(0..within);
            from..within.min(from + rng.random_range(1..=64))
        };
        match piece(6).start {
            // A flipped bit.
            0 => {
                let at = piece(8 * len).start;
                bytes[at / 8] ^= 1 << (at % 8);
            }
            // The end is lost.
            1 => bytes.truncate(piece(len).start),
            // Two pieces change places.
            2 => {
                let (a, b) = (piece(len), piece(len));
                let n = a.len().min(b.len());
                let (a, b) = (a.start.min(b.start), a.start.max(b.start));
                for k in 0..n.min(len - b) {
                    bytes.swap(a + k, b + k);
                }
            }
            // A piece of another file in place of one's own.
            3 => {
                let (from, to) = (piece(other.len()), piece(len));
                bytes.splice(to, other[from].iter().copied());
            }
            // A piece twice.
            4 => {
                let (from, to) = (piece(len), piece(len).start);
                let copy = bytes[from].to_vec();
                bytes.splice(to..to, copy);
            }
            // A block of zeros, as after a crash of a file system.
            _ => {
                let block = piece(len);
                bytes[block].fill(0);
            }
        }
    }
    bytes
}

/// Every damage of `whole` is refused, or reads as `whole` does; `read` never panics. How many were refused.
fn holds<T: PartialEq + std::fmt::Debug>(
    name: &str,
    whole: &[u8],
    other: &[u8],
    read: impl Fn(&[u8]) -> Option<T>,
) -> usize {
    let content = read(whole).expect("the whole is whole");
    assert!(read(other).expect("so is the other") != content);
    let mut rng = ChaCha8Rng::seed_from_u64(name.len() as u64);
    let mut refused = 0;
    for k in 0..n_damages() {
        let bytes = damaged(whole, other, &mut rng);
        match read(&bytes) {
            None => refused += 1,
            Some(found) => assert!(found == content, "{name}: damage {k} is taken for whole: {found:?}"),
        }
    }
    refused
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Layer {
    id: String,
    h: Vec<f64>,
    weights: Vec<f32>,
    slopes: Option<(u64, i32)>,
}

impl Record for Layer {
    const KIND: &'static str = "layer";
    const VERSION: u32 = 1;
}

#[test]
fn records_are_read_as_written_or_refused() {
    let of = |scale: f64| {
        let h = (0..40).map(|k| scale * f64::from(k).sin()).collect();
        let weights = (0..60).map(|k| (scale as f32) * k as f32).collect();
        record::to_bytes(&Layer { id: format!("κ-{scale}"), h, weights, slopes: Some((7, -3)) }).unwrap()
    };
    let read = |bytes: &[u8]| record::from_bytes::<Layer>(bytes).ok();
    let refused = holds("records", &of(1.0), &of(2.0), read);
    assert!(refused * 10 > n_damages() * 9, "{refused} of {}", n_damages());
}

fn split(shape: ImageShape, n: usize, seed: u64) -> Split {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut images = vec![0; n * shape.len()];
    // Smooth, so that compression has something to do.
    images.iter_mut().enumerate().for_each(|(k, pixel)| *pixel = ((k / 7) as u8) ^ rng.random_range(0..4u8));
    Split::new(shape, images, (0..n).map(|_| rng.random_range(0..10)).collect()).unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzipped_images_are_read_as_written_or_refused() {
    let shape = ImageShape { channels: 1, height: 5, width: 7 };
    let of = |seed| {
        // Long enough that no piece of a file is a whole one.
        let (split, colour) = (split(shape, 300, seed), split(ImageShape::RGB_32, 2, seed));
        let (mut images, mut labels, mut batch) = (Vec::new(), Vec::new(), Vec::new());
        idx::write_images(&mut images, &split).unwrap();
        idx::write_labels(&mut labels, &split).unwrap();
        cifar::write_batch(&mut batch, &colour).unwrap();
        [images, labels, batch]
    };
    let ([images, labels, batch], [other_images, other_labels, other_batch]) = (of(1), of(2));
    let read_images = |bytes: &[u8]| idx::parse_images("x", bytes).ok();
    let read_labels = |bytes: &[u8]| idx::parse_labels("x", bytes).ok();
    let read_batch = |bytes: &[u8]| cifar::parse_batch("x", bytes).ok();
    holds("images", &gz(&images), &gz(&other_images), read_images);
    holds("labels", &gz(&labels), &gz(&other_labels), read_labels);
    holds("batch", &gz(&batch), &gz(&other_batch), read_batch);

    // Plain files have no checksum: what is accepted is as long as it says.
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..n_damages() {
        let bytes = damaged(&images, &other_images, &mut rng);
        if let Some(read) = read_images(&bytes).filter(|_| !bytes.starts_with(&[0x1f, 0x8b])) {
            assert_eq!((read.pixels.len() + 16, read.pixels.len() % read.shape.len()), (bytes.len(), 0));
        }
        let bytes = damaged(&labels, &other_labels, &mut rng);
        if let Some(read) = read_labels(&bytes).filter(|_| !bytes.starts_with(&[0x1f, 0x8b])) {
            assert_eq!(read.len() + 8, bytes.len());
        }
        let bytes = damaged(&batch, &other_batch, &mut rng);
        if let Some(read) = read_batch(&bytes).filter(|_| !bytes.starts_with(&[0x1f, 0x8b])) {
            assert_eq!(read.len() * cifar::RECORD_LEN, bytes.len());
        }
    }
}

/// Bit by bit, since a NaN is no less whole.
fn bits(arrays: &BTreeMap<String, Array>) -> String {
    format!("{arrays:?}")
}

fn through_file<T>(path: &Path, bytes: &[u8], read: impl Fn(&Path) -> Option<T>) -> Option<T> {
    fs::write(path, bytes).unwrap();
    read(path)
}

#[test]
fn archives_of_arrays_are_read_as_written_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let of = |compression, scale: f64| {
        let (H, y): (Vec<f64>, Vec<i64>) = ((0..30).map(|k| scale * f64::from(k)).collect(), (0..9).collect());
        let arrays = [("H", ArrayView::new(&[5, 6], &H).unwrap()), ("labels", ArrayView::new(&[9], &y).unwrap())];
        npz::write(&path, &arrays, compression).unwrap();
        fs::read(&path).unwrap()
    };
    for (name, compression) in [("stored", npz::Compression::Stored), ("deflated", npz::Compression::Deflated)] {
        let (whole, other) = (of(compression, 1.0), of(compression, 3.0));
        holds(name, &whole, &other, |bytes| through_file(&path, bytes, |path| npz::read(path).ok().map(|a| bits(&a))));
    }
}

#[test]
fn damaged_tensors_never_panic_and_fit_their_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let of = |scale: f32| {
        let weights: Vec<f32> = (0..24).map(|k| scale * k as f32).collect();
        let tensors = [("fc1.weight", ArrayView::new(&[4, 6], &weights).unwrap())];
        safetensors::write(&path, &tensors, &BTreeMap::from([("run".to_owned(), "a".to_owned())])).unwrap();
        fs::read(&path).unwrap()
    };
    let (whole, other) = (of(1.0), of(2.0));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..n_damages() {
        let bytes = damaged(&whole, &other, &mut rng);
        let Some(read) = through_file(&path, &bytes, |path| safetensors::read(path).ok()) else { continue };
        assert!(read.tensors.values().all(|tensor| tensor.view().is_ok()));
    }
}
