//! A split: images kept as the bytes they were published in, with a label each.
//!
//! Bytes are a quarter of the memory of `f32` and exact; [`Normalisation`] turns them into numbers
//! where they are used.

use crate::{Classes, N_CLASSES, Normalisation};

/// Images of one shape and their labels, checked to match.
///
/// Images are row-major `n_samples × channels × height × width`, labels lie in `0..N_CLASSES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    shape: ImageShape,
    images: Vec<u8>,
    labels: Vec<u8>,
}

/// The shape of one image: `channels × height × width`, in that order of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Colour channels: 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Why images and labels do not make a [`Split`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// An image without pixels.
    #[error("image shape: found {0}, expected at least one pixel")]
    EmptyShape(ImageShape),
    /// The bytes are not a whole number of images.
    #[error("images: found {found} bytes, expected a multiple of {image_len} ({shape})")]
    RaggedImages {
        /// Bytes given.
        found: usize,
        /// Bytes of one image.
        image_len: usize,
        /// Shape of one image.
        shape: ImageShape,
    },
    /// As many labels as images are needed.
    #[error("labels: found {labels}, expected {images}, one for each image")]
    CountMismatch {
        /// Images given.
        images: usize,
        /// Labels given.
        labels: usize,
    },
    /// A label outside `0..N_CLASSES`.
    #[error("label of sample {sample}: found {found}, expected 0 to {}", N_CLASSES - 1)]
    LabelOutOfRange {
        /// Index of the first offending sample.
        sample: usize,
        /// Its label.
        found: u8,
    },
}

impl ImageShape {
    /// 28 × 28 grey: MNIST and Fashion-MNIST.
    pub const GREY_28: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };
    /// 32 × 32 in red, green, blue: CIFAR-10.
    pub const RGB_32: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

    /// Bytes of one image, `channels · height · width`: the input width `d_in` of a network.
    pub const fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image of this shape has no pixel.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for ImageShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {} x {}", self.channels, self.height, self.width)
    }
}

impl Split {
    /// A split from `images` (`n_samples × shape`, row-major) and one label for each.
    ///
    /// # Errors
    /// [`SplitError`] when the shape is empty, the bytes are not whole images, the counts differ,
    /// or a label is not below [`N_CLASSES`].
    pub fn new(shape: ImageShape, images: Vec<u8>, labels: Vec<u8>) -> Result<Split, SplitError> {
        let image_len = shape.len();
        if image_len == 0 {
            return Err(SplitError::EmptyShape(shape));
        }
        if !images.len().is_multiple_of(image_len) {
            return Err(SplitError::RaggedImages { found: images.len(), image_len, shape });
        }
        if images.len() / image_len != labels.len() {
            return Err(SplitError::CountMismatch { images: images.len() / image_len, labels: labels.len() });
        }
        if let Some((sample, &found)) = labels.iter().enumerate().find(|(_, y)| usize::from(**y) >= N_CLASSES) {
            return Err(SplitError::LabelOutOfRange { sample, found });
        }
        Ok(Split { shape, images, labels })
    }

    /// Shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All image bytes, `n_samples × channels × height × width`, row-major.
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// All labels, each in `0..N_CLASSES`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The bytes of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`len`](Split::len).
    #[track_caller]
    pub fn image(&self, i: usize) -> &[u8] {
        let len = self.shape.len();
        &self.images[i * len..(i + 1) * len]
    }

    /// How many samples each class has, by label.
    pub fn class_counts(&self) -> [usize; N_CLASSES] {
        let mut counts = [0; N_CLASSES];
        for &y in &self.labels {
            counts[usize::from(y)] += 1;
        }
        counts
    }

    /// The samples `indices`, in that order, with labels renumbered to their place in `classes`.
    ///
    /// With [`Classes::first`] the labels stay as they are. Indices come from [`draw_train`](crate::draw_train)
    /// or [`draw_test`](crate::draw_test).
    ///
    /// # Panics
    /// If an index is out of range, or a sample's label is not in `classes`.
    #[track_caller]
    pub fn select(&self, indices: &[usize], classes: &Classes) -> Split {
        let mut images = Vec::with_capacity(indices.len() * self.shape.len());
        let mut labels = Vec::with_capacity(indices.len());
        for &i in indices {
            images.extend_from_slice(self.image(i));
            match classes.position(self.labels[i]) {
                Some(position) => labels.push(position),
                None => panic!("sample {i} has label {}, which is not one of classes {classes}", self.labels[i]),
            }
        }
        Split { shape: self.shape, images, labels }
    }

    /// All images as `f32`, `n_samples × channels·height·width`, row-major.
    ///
    /// # Panics
    /// If `normalisation` is for another number of channels.
    #[track_caller]
    pub fn to_f32(&self, normalisation: &Normalisation) -> Vec<f32> {
        let mut out = vec![0.0; self.images.len()];
        normalisation.normalise_into(self.shape, &self.images, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 2 };

    #[test]
    fn takes_matching_images_and_labels() {
        let split = Split::new(SHAPE, vec![1, 2, 3, 4, 5, 6], vec![0, 9, 3]).unwrap();
        assert_eq!((split.len(), split.image(1)), (3, &[3, 4][..]));
        assert_eq!(split.class_counts(), [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn refuses_what_does_not_match() {
        let ragged = Split::new(SHAPE, vec![1, 2, 3], vec![0]);
        assert_eq!(ragged, Err(SplitError::RaggedImages { found: 3, image_len: 2, shape: SHAPE }));
        let counts = Split::new(SHAPE, vec![1, 2], vec![0, 1]);
        assert_eq!(counts, Err(SplitError::CountMismatch { images: 1, labels: 2 }));
        let label = Split::new(SHAPE, vec![1, 2, 3, 4], vec![0, 10]);
        assert_eq!(label, Err(SplitError::LabelOutOfRange { sample: 1, found: 10 }));
        let empty = ImageShape { height: 0, ..SHAPE };
        assert_eq!(Split::new(empty, vec![], vec![]), Err(SplitError::EmptyShape(empty)));
    }

    #[test]
    fn selects_in_order_and_renumbers_labels() {
        let split = Split::new(SHAPE, vec![1, 2, 3, 4, 5, 6], vec![7, 9, 3]).unwrap();
        let two = split.select(&[2, 0], &Classes::of(&[7, 3]).unwrap());
        assert_eq!(two, Split::new(SHAPE, vec![5, 6, 1, 2], vec![1, 0]).unwrap());
    }

    #[test]
    #[should_panic(expected = "sample 1 has label 9, which is not one of classes 7, 3")]
    fn select_refuses_a_foreign_class() {
        let split = Split::new(SHAPE, vec![1, 2, 3, 4], vec![7, 9]).unwrap();
        split.select(&[1], &Classes::of(&[7, 3]).unwrap());
    }
}
