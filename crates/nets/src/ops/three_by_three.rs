//! Padded 3×3 convolutions, the most frequent ones, by kernels that keep the channels of a pixel together.
//!
//! [`crate::passes::conv`] moves a third of what unfolded windows would, and takes a quarter of the multiplications
//! where channels are many. Here images are brought into its order and back: sample after sample of channels, to rows
//! of pixels.

use super::add;
use crate::passes::conv::{Kernels, Scratch, in_parameter_order};
use crate::{ImageShape, Scalar};
use faer::Accum;

/// Convolutions of one shape, of `n` samples at a time.
pub(super) struct ThreeByThree<T> {
    input: ImageShape,
    output: ImageShape,
    n: usize,
    kernels: Kernels<T>,
    scratch: Scratch<T>,
    /// What a product gives, in the order of pixels.
    given: Vec<T>,
    ordered: Vec<T>,
}

/// Images in the order of pixels.
pub(super) struct Pixels<T>(Vec<T>);

impl<T: Scalar> ThreeByThree<T> {
    pub(super) fn new(input: ImageShape, c_out: usize, n: usize) -> Self {
        let output = input.with_channels(c_out);
        let (kernels, scratch) = (Kernels::new(input, c_out), Scratch::new([(input, c_out)].into_iter(), n));
        Self { input, output, n, kernels, scratch, given: Vec::new(), ordered: Vec::new() }
    }

    /// Takes over a weight `c_out × C × 3 × 3`.
    pub(super) fn arrange(&mut self, weight: &[T]) {
        self.kernels.arrange(weight);
    }

    pub(super) fn input_pixels(&self, images: &[T]) -> Pixels<T> {
        to_pixels(images, self.input, self.n)
    }

    pub(super) fn output_pixels(&self, images: &[T]) -> Pixels<T> {
        to_pixels(images, self.output, self.n)
    }

    /// `z = W ⋆ a` or `z += W ⋆ a`.
    pub(super) fn forward(&mut self, a: &Pixels<T>, out: &mut [T], accum: Accum) {
        self.given.resize(out.len(), T::ZERO);
        self.kernels.forward(&a.0, &mut self.given, Accum::Replace, &mut self.scratch);
        from_pixels(&self.given, self.output, self.n, out, accum);
    }

    /// Adds to the gradient in the input.
    pub(super) fn backward(&mut self, delta: &Pixels<T>, into: &mut [T]) {
        self.given.resize(into.len(), T::ZERO);
        self.kernels.backward(&delta.0, &mut self.given, Accum::Replace, &mut self.scratch);
        from_pixels(&self.given, self.input, self.n, into, Accum::Add);
    }

    /// Adds `δ ⋆ a` to the gradient in the weight.
    pub(super) fn weight_gradient(&mut self, a: &Pixels<T>, delta: &Pixels<T>, into: &mut [T]) {
        self.given.clear();
        self.given.resize(into.len(), T::ZERO);
        self.kernels.add_weight_gradient(&a.0, &delta.0, &mut self.given, &mut self.scratch);
        self.ordered.resize(into.len(), T::ZERO);
        in_parameter_order(&self.given, self.input.channels, self.output.channels, &mut self.ordered);
        add(into, &self.ordered);
    }
}

/// Calls `each(where a row of a channel begins, where its pixels' channel stands)` for all rows of all images.
fn for_rows(shape: ImageShape, n: usize, mut each: impl FnMut(usize, usize)) {
    let ImageShape { channels, height, width } = shape;
    for (p, y) in (0..n).flat_map(|p| (0..height).map(move |y| (p, y))) {
        let pixels = (y * n + p) * width * channels;
        (0..channels).for_each(|c| each(((p * channels + c) * height + y) * width, pixels + c));
    }
}

fn to_pixels<T: Scalar>(images: &[T], shape: ImageShape, n: usize) -> Pixels<T> {
    let mut pixels = vec![T::ZERO; images.len()];
    for_rows(shape, n, |row, first| {
        let row = &images[row..row + shape.width];
        pixels[first..].iter_mut().step_by(shape.channels).zip(row).for_each(|(pixel, &x)| *pixel = x);
    });
    Pixels(pixels)
}

fn from_pixels<T: Scalar>(pixels: &[T], shape: ImageShape, n: usize, images: &mut [T], accum: Accum) {
    for_rows(shape, n, |row, first| {
        let row = images[row..row + shape.width].iter_mut().zip(pixels[first..].iter().step_by(shape.channels));
        match accum {
            Accum::Replace => row.for_each(|(x, &pixel)| *x = pixel),
            Accum::Add => row.for_each(|(x, &pixel)| *x += pixel),
        }
    });
}
