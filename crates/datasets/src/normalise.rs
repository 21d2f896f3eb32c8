//! From image bytes to network inputs.

use crate::{DatasetName, ImageShape};
use std::ops::{Div, Sub};

/// How a byte `b` of channel `c` becomes an input.
///
/// Each formula is evaluated as written, every operation rounded to the precision of the output: the operations of
/// `torchvision` (`ToTensor`, then `Normalize`) in their order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalisation {
    /// `b / 255`, in `[0, 1]`: the paper's MNIST.
    UnitScale,
    /// `(b / 255 − mean_c) / sd_c`: the paper's CIFAR-10.
    PerChannel {
        /// Mean of each channel, on the unit scale.
        mean: [f64; 3],
        /// Standard deviation of each channel, on the unit scale.
        sd: [f64; 3],
    },
}

impl Normalisation {
    /// The paper's constants for CIFAR-10 (PAPER, "Training").
    ///
    /// The means are those of all training pixels. The standard deviations are means over the images of each image's
    /// own, so the inputs of a channel have a variance of 1.5 to 1.7; those of all pixels are 0.2470, 0.2435, 0.2616.
    pub const CIFAR10: Normalisation =
        Normalisation::PerChannel { mean: [0.4914, 0.4822, 0.4465], sd: [0.2023, 0.1994, 0.2010] };

    /// What the paper does to this data set; Fashion-MNIST, which it does not use, is treated as MNIST.
    pub fn of(name: DatasetName) -> Normalisation {
        match name {
            DatasetName::Mnist | DatasetName::FashionMnist => Normalisation::UnitScale,
            DatasetName::Cifar10 => Normalisation::CIFAR10,
        }
    }

    /// Writes the inputs of the images `bytes` (`n × shape`, row-major) to `out`, of the same length, in `f32`.
    /// Allocates nothing.
    ///
    /// # Panics
    /// If the lengths differ, the bytes are not whole images, or [`PerChannel`](Normalisation::PerChannel) meets a
    /// shape that has not three channels.
    #[track_caller]
    pub fn normalise_into(&self, shape: ImageShape, bytes: &[u8], out: &mut [f32]) {
        self.apply(shape, bytes, out, |x| x as f32);
    }

    #[track_caller]
    fn apply<T>(&self, shape: ImageShape, bytes: &[u8], out: &mut [T], constant: impl Fn(f64) -> T)
    where
        T: Copy + From<u8> + Sub<Output = T> + Div<Output = T>,
    {
        assert_eq!(bytes.len(), out.len(), "normalise_into: as many outputs as bytes");
        assert!(
            !shape.is_empty() && bytes.len().is_multiple_of(shape.len()),
            "normalise_into: whole images of {shape}"
        );
        let full = constant(255.0);
        match self {
            // Divisions, not a table: they vectorise, and 8 lanes of them keep up with memory.
            Normalisation::UnitScale => {
                for (x, &b) in out.iter_mut().zip(bytes) {
                    *x = T::from(b) / full;
                }
            }
            Normalisation::PerChannel { mean, sd } => {
                assert_eq!(shape.channels, mean.len(), "normalise_into: per-channel constants for {shape}");
                let plane = shape.height * shape.width;
                for (i, (xs, bs)) in out.chunks_exact_mut(plane).zip(bytes.chunks_exact(plane)).enumerate() {
                    let (mean, sd) = (constant(mean[i % 3]), constant(sd[i % 3]));
                    for (x, &b) in xs.iter_mut().zip(bs) {
                        *x = (T::from(b) / full - mean) / sd;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RGB_1X2: ImageShape = ImageShape { channels: 3, height: 1, width: 2 };

    #[test]
    fn unit_scale_is_the_nearest_float_for_every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let shape = ImageShape { channels: 1, height: 16, width: 16 };
        let (mut single, mut double) = (vec![0.0f32; 256], vec![0.0f64; 256]);
        Normalisation::UnitScale.normalise_into(shape, &bytes, &mut single);
        Normalisation::UnitScale.apply(shape, &bytes, &mut double, |x| x);
        for b in 0..256 {
            assert_eq!(double[b], b as f64 / 255.0);
            assert_eq!(single[b], (b as f64 / 255.0) as f32);
        }
    }

    #[test]
    fn each_channel_has_its_own_constants_in_each_image() {
        // Two images; every byte 255, so each value is (1 − mean) / sd of its channel.
        let mut out = [0.0f64; 12];
        Normalisation::CIFAR10.apply(RGB_1X2, &[255; 12], &mut out, |x| x);
        let (r, g, b) = ((1.0 - 0.4914) / 0.2023, (1.0 - 0.4822) / 0.1994, (1.0 - 0.4465) / 0.2010);
        assert_eq!(out, [r, r, g, g, b, b, r, r, g, g, b, b]);
    }

    #[test]
    fn single_precision_rounds_after_each_operation() {
        // Bits from a separate computation in double precision, rounded to single after each division and subtraction.
        let mut out = [0.0f32; 6];
        Normalisation::CIFAR10.normalise_into(RGB_1X2, &[0, 200, 17, 0, 0, 255], &mut out);
        let bits = [out[0], out[1], out[2], out[5]].map(f32::to_bits);
        assert_eq!(bits, [0xc01b_75d0, 0x3fb9_555e, 0xc005_5eec, 0x4030_3d22]);
    }

    #[test]
    fn constants_of_cifar10_are_those_of_its_images() {
        let Normalisation::PerChannel { mean, sd } = Normalisation::of(DatasetName::Cifar10) else { panic!() };
        assert_eq!((mean, sd), ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]));
        let images = crate::embedded::cifar10().train;
        for c in 0..3 {
            let (mut m, mut s) = (0.0, 0.0);
            for i in 0..images.len() {
                let plane = images.image(i)[1024 * c..1024 * (c + 1)].iter().map(|&b| f64::from(b) / 255.0);
                let plane_mean = plane.clone().sum::<f64>() / 1024.0;
                m += plane_mean / images.len() as f64;
                s += (plane.map(|x| (x - plane_mean).powi(2)).sum::<f64>() / 1023.0).sqrt() / images.len() as f64;
            }
            // 2,000 of 50,000 images; the channels lie further apart than this.
            assert!((m - mean[c]).abs() < 0.003 && (s - sd[c]).abs() < 0.002, "channel {c}: {m}, {s}");
        }
    }

    #[test]
    #[should_panic(expected = "per-channel constants for 1 x 28 x 28")]
    fn colour_constants_refuse_grey_images() {
        Normalisation::CIFAR10.normalise_into(ImageShape::GREY_28, &[0; 784], &mut [0.0; 784]);
    }
}
