//! A drawn set of images as samples: bytes that become inputs when a batch needs them.

use superlinear_datasets::{Normalisation, Split};
use superlinear_nets::Samples;

/// Images of a split, normalised on the way out. The images stay bytes; nothing is widened before it is needed.
///
/// `f64` inputs are the widened `f32` ones, so that a network is analysed on exactly what it was trained on.
#[derive(Clone, Debug)]
pub struct ImageSamples<'a> {
    split: &'a Split,
    indices: Vec<usize>,
    labels: Vec<u8>,
    normalisation: Normalisation,
}

impl<'a> ImageSamples<'a> {
    /// The images `indices` of `split`, in that order, with `labels[k]` the label of the `k`-th of them.
    ///
    /// # Panics
    /// When there is not one label an index, or an index is outside the split.
    #[track_caller]
    pub fn new(split: &'a Split, indices: Vec<usize>, labels: Vec<u8>, normalisation: Normalisation) -> Self {
        assert_eq!(indices.len(), labels.len(), "one label an image");
        assert!(indices.iter().all(|&i| i < split.len()), "indices are below the split's {}", split.len());
        Self { split, indices, labels, normalisation }
    }

    /// The images `indices` of `split` under their own labels.
    ///
    /// # Panics
    /// When an index is outside the split.
    #[track_caller]
    pub fn drawn(split: &'a Split, indices: Vec<usize>, normalisation: Normalisation) -> Self {
        let labels = indices.iter().map(|&i| split.labels()[i]).collect();
        Self::new(split, indices, labels, normalisation)
    }

    /// Which images of the split these are.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl Samples<f32> for ImageSamples<'_> {
    fn n_samples(&self) -> usize {
        self.indices.len()
    }
    fn input_dim(&self) -> usize {
        self.split.shape().len()
    }
    fn label(&self, p: usize) -> u8 {
        self.labels[p]
    }
    fn write_input(&self, p: usize, out: &mut [f32]) {
        self.normalisation.normalise_into(self.split.shape(), self.split.image(self.indices[p]), out);
    }
}

impl Samples<f64> for ImageSamples<'_> {
    fn n_samples(&self) -> usize {
        self.indices.len()
    }
    fn input_dim(&self) -> usize {
        self.split.shape().len()
    }
    fn label(&self, p: usize) -> u8 {
        self.labels[p]
    }
    fn write_input(&self, p: usize, out: &mut [f64]) {
        let image = self.split.image(self.indices[p]);
        let mut narrow = vec![0.0_f32; image.len()];
        self.normalisation.normalise_into(self.split.shape(), image, &mut narrow);
        for (x, &narrow) in out.iter_mut().zip(narrow.iter()) {
            *x = f64::from(narrow);
        }
    }
}
