//! 3×3 convolutions as matrix products over patches of three pixels.
//!
//! Inside, the images of a block stand side by side, row by row, each pixel's channels together: `H × B × W × C`. Three
//! neighbours of a row are then one contiguous run of `3C` numbers. [`patches`] writes that run for every pixel, with a
//! row of zeros above and below: what the kernels' row `i` sees of all pixels of all images is then `3C × HBW`
//! contiguous columns of the same buffer, `BW` columns further for each `i`. A convolution is three products, its
//! weight's gradient three more, and the gradient in its input is the convolution of the output's gradient with turned
//! kernels. This moves a third of what the `9C × HBW` patches of the textbook would, and products of several images
//! share what they pack of the kernels.
//!
//! Where channels are many, [`winograd`] takes over.

use super::winograd;
use crate::{ImageShape, Scalar};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// How a convolution is done, which depends on its shapes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// As products over patches, as here.
    Patches,
    /// As [`winograd`] does it.
    Tiles,
}

impl Method {
    fn of(input: ImageShape, c_out: usize) -> Self {
        if winograd::pays(input, c_out) { Self::Tiles } else { Self::Patches }
    }
}

/// A convolution, with its kernels in the orders that its products read.
#[derive(Clone, Debug)]
pub(crate) struct Kernels<T> {
    method: Method,
    input: ImageShape,
    /// 0 for a layer that is no convolution.
    c_out: usize,
    /// Entry `W[o,c,i,j]` at `[i][j][c][o]`: for each `i` a column-major `c_out × 3 c_in` matrix.
    forward: Vec<T>,
    /// For patches, entry `W[o,c,i,j]` at `[2−i][2−j][o][c]`: for each `i` a column-major `c_in × 3 c_out` matrix; for
    /// tiles the kernels transformed.
    turned: Vec<T>,
}

impl<T: Scalar> Kernels<T> {
    pub(crate) fn new(input: ImageShape, c_out: usize) -> Self {
        let (method, n) = (Method::of(input, c_out), 9 * input.channels * c_out);
        let turned = match method {
            Method::Patches => n,
            Method::Tiles => winograd::kernels_len(input.channels, c_out),
        };
        Self { method, input, c_out, forward: vec![T::ZERO; n], turned: vec![T::ZERO; turned] }
    }

    /// For a layer that is no convolution.
    pub(crate) fn none() -> Self {
        let input = ImageShape { channels: 0, height: 0, width: 0 };
        Self { method: Method::Patches, input, c_out: 0, forward: Vec::new(), turned: Vec::new() }
    }

    /// Takes over a weight `c_out × c_in × 3 × 3`.
    pub(crate) fn arrange(&mut self, weight: &[T]) {
        let (c_in, c_out) = (self.input.channels, self.c_out);
        for c in 0..c_in {
            for o in 0..c_out {
                let kernel = &weight[9 * (o * c_in + c)..][..9];
                for (k, &w) in kernel.iter().enumerate() {
                    self.forward[(k * c_in + c) * c_out + o] = w;
                }
            }
        }
        if self.method == Method::Tiles {
            return winograd::transform_kernels(&self.forward, &mut self.turned);
        }
        for o in 0..c_out {
            for c in 0..c_in {
                let kernel = &weight[9 * (o * c_in + c)..][..9];
                for (k, &w) in kernel.iter().enumerate() {
                    self.turned[((8 - k) * c_out + o) * c_in + c] = w;
                }
            }
        }
    }

    /// `z += W ⋆ a`; [`Accum::Replace`] starts from zero instead of `z`.
    pub(crate) fn forward(&self, images: &[T], out: &mut [T], accum: Accum, scratch: &mut Scratch<T>) {
        let (shape, c_out) = (self.input, self.c_out);
        match self.method {
            Method::Patches => {
                let seen = patches(images, shape, &mut scratch.patches);
                convolve(&self.forward, seen, shape, c_out, out, accum);
            }
            Method::Tiles => winograd::forward(&self.turned, images, shape, c_out, out, accum, &mut scratch.tiles),
        }
    }

    /// Gradient in the convolution's input from `delta`, that in its output.
    pub(crate) fn backward(&self, delta: &[T], out: &mut [T], accum: Accum, scratch: &mut Scratch<T>) {
        let (shape, c_out) = (self.input, self.c_out);
        match self.method {
            Method::Patches => {
                let above = shape.with_channels(c_out);
                let seen = patches(delta, above, &mut scratch.patches);
                convolve(&self.turned, seen, above, shape.channels, out, accum);
            }
            Method::Tiles => winograd::backward(&self.turned, delta, shape, c_out, out, accum, &mut scratch.tiles),
        }
    }

    /// Adds the weight's gradient, `δ ⋆ a`, in the order `[i][o][j][c]` of three column-major `3C × c_out` matrices.
    pub(crate) fn add_weight_gradient(&self, images: &[T], delta: &[T], gradient: &mut [T], scratch: &mut Scratch<T>) {
        match self.method {
            Method::Patches => {
                let seen = patches(images, self.input, &mut scratch.patches);
                add_weight_gradient(seen, self.input, delta, gradient);
            }
            Method::Tiles => {
                winograd::add_weight_gradient(images, self.input, delta, self.c_out, gradient, &mut scratch.tiles);
            }
        }
    }
}

/// What convolutions write before their products: buffers for those of one network.
#[derive(Clone, Debug)]
pub(crate) struct Scratch<T> {
    patches: Vec<T>,
    tiles: winograd::Scratch<T>,
}

impl<T: Scalar> Scratch<T> {
    /// For `n` images of each of the `(input, c_out)` in `layers`.
    pub(crate) fn new(layers: impl Iterator<Item = (ImageShape, usize)> + Clone, n: usize) -> Self {
        let by = |method| layers.clone().filter(move |&(input, c_out)| Method::of(input, c_out) == method);
        let patches = by(Method::Patches)
            .map(|(input, c_out)| patches_len(input.with_channels(input.channels.max(c_out))))
            .max()
            .unwrap_or(0);
        Self { patches: vec![T::ZERO; patches * n], tiles: winograd::Scratch::new(by(Method::Tiles), n) }
    }
}

/// Length of the buffer that [`patches`] fills for one image.
fn patches_len(shape: ImageShape) -> usize {
    (shape.height + 2) * shape.width * 3 * shape.channels
}

/// For every pixel of `images` and of a row of zeros above and below: its left neighbour, itself, its right neighbour.
/// Returns the part of `out` that was written.
fn patches<'a, T: Scalar>(images: &[T], shape: ImageShape, out: &'a mut [T]) -> &'a [T] {
    let (c, row_len) = (shape.channels, shape.channels * shape.width);
    let border = 3 * images.len() / shape.height;
    let out = &mut out[..3 * images.len() + 2 * border];
    let (above, rest) = out.split_at_mut(border);
    let (rows, below) = rest.split_at_mut(3 * images.len());
    above.fill(T::ZERO);
    below.fill(T::ZERO);
    // Neither rows nor neighbours in the buffer matter here: each row of each image has zeros at its own ends.
    for (row, out) in images.chunks_exact(row_len).zip(rows.chunks_exact_mut(3 * row_len)) {
        out[..c].fill(T::ZERO);
        out[3 * row_len - c..].fill(T::ZERO);
        if shape.width == 1 {
            out[c..2 * c].copy_from_slice(row);
            continue;
        }
        out[c..3 * c].copy_from_slice(&row[..2 * c]);
        for x in 1..shape.width - 1 {
            out[3 * c * x..3 * c * (x + 1)].copy_from_slice(&row[c * (x - 1)..c * (x + 2)]);
        }
        out[3 * row_len - 3 * c..3 * row_len - c].copy_from_slice(&row[row_len - 2 * c..]);
    }
    out
}

/// What row `i` of the kernels sees of every pixel, `3C × HBW`.
fn seen_by_row<T: Scalar>(patches: &[T], shape: ImageShape, i: usize) -> MatRef<'_, T> {
    let d = 3 * shape.channels;
    let row = patches.len() / (shape.height + 2);
    let columns = &patches[i * row..][..shape.height * row];
    MatRef::from_column_major_slice(columns, d, columns.len() / d)
}

/// Images of shape `shape` under kernels `[i][j][c][o]`, three products.
fn convolve<T: Scalar>(kernels: &[T], patches: &[T], shape: ImageShape, c_out: usize, out: &mut [T], mut accum: Accum) {
    let d = 3 * shape.channels;
    for (i, kernels) in kernels.chunks_exact(d * c_out).enumerate() {
        let seen = seen_by_row(patches, shape, i);
        let out = MatMut::from_column_major_slice_mut(out, c_out, seen.ncols());
        let kernels = MatRef::from_column_major_slice(kernels, c_out, d);
        matmul(out, accum, kernels, seen, T::ONE, Par::Seq);
        accum = Accum::Add;
    }
}

/// Adds the weight's gradient, `δ ⋆ a`, in the order `[i][o][j][c]` of three column-major `3C × c_out` matrices;
/// `shape` and `patches` are the input's.
fn add_weight_gradient<T: Scalar>(patches: &[T], shape: ImageShape, delta: &[T], gradient: &mut [T]) {
    let d = 3 * shape.channels;
    let c_out = gradient.len() / (3 * d);
    let delta = MatRef::from_column_major_slice(delta, c_out, delta.len() / c_out);
    for (i, gradient) in gradient.chunks_exact_mut(d * c_out).enumerate() {
        let gradient = MatMut::from_column_major_slice_mut(gradient, d, c_out);
        matmul(gradient, Accum::Add, seen_by_row(patches, shape, i), delta.transpose(), T::ONE, Par::Seq);
    }
}

/// A weight's gradient from the order of [`Kernels::add_weight_gradient`] to the parameters' `c_out × c_in × 3 × 3`.
pub(crate) fn in_parameter_order<T: Scalar>(gradient: &[T], c_in: usize, c_out: usize, out: &mut [T]) {
    for (o, out) in out.chunks_exact_mut(9 * c_in).enumerate() {
        for i in 0..3 {
            let rows = &gradient[3 * c_in * (i * c_out + o)..][..3 * c_in];
            for (j, row) in rows.chunks_exact(c_in).enumerate() {
                for (kernel, &g) in out.chunks_exact_mut(9).zip(row) {
                    kernel[3 * i + j] = g;
                }
            }
        }
    }
}

/// Writes the bias to every pixel.
pub(crate) fn fill_with_bias<T: Scalar>(bias: &[T], out: &mut [T]) {
    for pixel in out.chunks_exact_mut(bias.len()) {
        pixel.copy_from_slice(bias);
    }
}

/// Adds the bias's gradient: the sum of `δ` over pixels.
pub(crate) fn add_bias_gradient<T: Scalar>(delta: &[T], gradient: &mut [T]) {
    for pixel in delta.chunks_exact(gradient.len()) {
        for (sum, &g) in gradient.iter_mut().zip(pixel) {
            *sum += g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn random(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..n).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect()
    }

    /// The definition, entry by entry: calls `term(output index, weight index, input index)` for every product.
    fn for_each_term(shape: ImageShape, n: usize, c_out: usize, mut term: impl FnMut(usize, usize, usize)) {
        let ImageShape { channels, height, width } = shape;
        for p in 0..n {
            for o in 0..c_out {
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    for c in 0..channels {
                        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
                            let (row, column) = ((y + i).wrapping_sub(1), (x + j).wrapping_sub(1));
                            if row < height && column < width {
                                let at = |y: usize, x: usize, c: usize, d: usize| ((y * n + p) * width + x) * d + c;
                                let weight = ((o * channels + c) * 3 + i) * 3 + j;
                                term(at(y, x, o, c_out), weight, at(row, column, c, channels));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_agree_with_the_definition() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (channels, height, width, c_out, n) in [
            (1, 1, 1, 1, 1),
            (2, 1, 5, 3, 2),
            (3, 4, 1, 2, 3),
            (2, 2, 2, 1, 1),
            (3, 5, 7, 4, 2),
            (5, 8, 8, 30, 4),
            (17, 6, 5, 9, 1),
            (16, 7, 7, 32, 3),
            (32, 8, 4, 16, 2),
            (16, 5, 10, 16, 1),
            (48, 3, 3, 16, 2),
        ] {
            let shape = ImageShape { channels, height, width };
            let image = random(n * shape.dim(), &mut rng);
            let weight = random(9 * channels * c_out, &mut rng);
            let delta = random(n * c_out * shape.n_pixels(), &mut rng);
            let (mut z, mut below) = (vec![0.0; delta.len()], vec![0.0; image.len()]);
            let mut in_weight = vec![0.0; weight.len()];
            for_each_term(shape, n, c_out, |out, w, input| {
                z[out] += weight[w] * image[input];
                below[input] += weight[w] * delta[out];
                in_weight[w] += delta[out] * image[input];
            });
            let close = |what: &str, found: &[f64], truth: &[f64]| {
                let worst = found.iter().zip(truth).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-13 * (9 * n * channels.max(c_out)) as f64, "{what} {shape}: {worst}");
            };
            let mut kernels = Kernels::new(shape, c_out);
            kernels.arrange(&weight);
            let mut scratch = Scratch::new([(shape, c_out)].into_iter(), n);
            let mut found = vec![f64::NAN; delta.len()];
            kernels.forward(&image, &mut found, Accum::Replace, &mut scratch);
            close("forward", &found, &z);
            kernels.forward(&image, &mut found, Accum::Add, &mut scratch);
            close("forward twice", &found, &z.iter().map(|z| 2.0 * z).collect::<Vec<_>>());
            let mut arranged = vec![0.0; weight.len()];
            kernels.add_weight_gradient(&image, &delta, &mut arranged, &mut scratch);
            let mut found = vec![f64::NAN; weight.len()];
            in_parameter_order(&arranged, channels, c_out, &mut found);
            // Sums over pixels.
            close("weight", &found, &in_weight);
            let mut found = vec![f64::NAN; image.len()];
            kernels.backward(&delta, &mut found, Accum::Replace, &mut scratch);
            close("input", &found, &below);
        }
    }
}
