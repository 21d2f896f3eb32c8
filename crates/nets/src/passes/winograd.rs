//! 3×3 convolutions by minimal filtering, `F(4×4, 3×3)`: 36 multiplications for 16 pixels of an output in place of 144.
//!
//! An output is cut in tiles of 4×4 pixels, each of which sees 6×6 of the input. With `d` those, `g` a kernel,
//!
//! ```text
//! z = Aᵀ [(G g Gᵀ) ∘ (Bᵀ d B)] A
//! ```
//!
//! where `Bᵀ`, `G` and `Aᵀ` evaluate and interpolate polynomials at 0, ±1, ±2, ∞ (S. Winograd, 1980; A. Lavin and S.
//! Gray, 2016). Summed over channels, each of the 36 places is a matrix product of its own, `c_out × c_in` with
//! `c_in × tiles`. The map is linear in `d` and in `g`, so that its gradients are its adjoints, of the same cost: with
//! `D = A δ Aᵀ` a kernel's gradient is `Gᵀ [Σ_tiles D ∘ (Bᵀ d B)] G` and the input's the sum of all tiles'
//! `B [(G g Gᵀ) ∘ D] Bᵀ`.
//!
//! All is exact but for rounding, which the constants enlarge: with 32 to 128 channels of `f32`, results differ from
//! the definition's by up to 1e-5 of the largest entry.
//!
//! Transforms work on runs of [`LANES`] channels, which are contiguous in images (`H × B × W × C`) and in tiles
//! (`36 × tiles × C`).

use crate::{ImageShape, Scalar};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Rows and columns of an output tile.
const TILE: usize = 4;
/// Rows and columns of what an output tile sees, `TILE + 2`.
const SEEN: usize = 6;
/// Places of a transformed tile.
const PLACES: usize = SEEN * SEEN;
/// Channels that are transformed together: a cache line of `f32`.
const LANES: usize = 16;
/// Between the tiles of two places, so that they are no power of two apart and do not fight for the same cache lines.
const GAP: usize = LANES;

type Lanes<T> = [T; LANES];

/// Whether tiles are worth it: there are enough channels for products to be fast, in whole runs, and at least twice
/// fewer multiplications.
pub(super) fn pays(input: ImageShape, c_out: usize) -> bool {
    let in_runs = |channels: usize| channels > 0 && channels.is_multiple_of(LANES);
    let n_tiles = input.height.div_ceil(TILE) * input.width.div_ceil(TILE);
    in_runs(input.channels) && in_runs(c_out) && 2 * PLACES * n_tiles <= 9 * input.n_pixels()
}

/// The tiles of `n` images side by side.
#[derive(Clone, Copy)]
struct Tiles {
    height: usize,
    width: usize,
    n: usize,
}

impl Tiles {
    /// Of images `H × B × W × C` of `len` numbers in all.
    fn of(plane: ImageShape, channels: usize, len: usize) -> Self {
        Self { height: plane.height, width: plane.width, n: len / (channels * plane.n_pixels()) }
    }

    fn across(self) -> usize {
        self.width.div_ceil(TILE)
    }

    fn len(self) -> usize {
        self.height.div_ceil(TILE) * self.n * self.across()
    }

    /// Numbers from one place to the next.
    fn stride(self, channels: usize) -> usize {
        self.len() * channels + GAP
    }

    /// Where the `N × N` pixels that belong to tile `t` begin, one pixel further out on each side for `N` = [`SEEN`];
    /// `None` outside of the image.
    fn pixels<const N: usize>(self, t: usize, channels: usize) -> [[Option<usize>; N]; N] {
        let margin = (N - TILE) / 2;
        let (row, x) = (t / self.across(), t % self.across() * TILE);
        let (y, p) = (row / self.n * TILE, row % self.n);
        std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let (y, x) = ((y + i).wrapping_sub(margin), (x + j).wrapping_sub(margin));
                (y < self.height && x < self.width).then(|| ((y * self.n + p) * self.width + x) * channels)
            })
        })
    }
}

/// Buffers of transformed tiles.
#[derive(Clone, Debug)]
pub(super) struct Scratch<T> {
    inputs: Vec<T>,
    outputs: Vec<T>,
    kernels: Vec<T>,
}

impl<T: Scalar> Scratch<T> {
    /// For `n` images of each of the `(input, c_out)` in `layers`, which may be none.
    pub(super) fn new(layers: impl Iterator<Item = (ImageShape, usize)>, n: usize) -> Self {
        let [mut inputs, mut outputs, mut kernels] = [0; 3];
        for (input, c_out) in layers {
            let tiles = Tiles { height: input.height, width: input.width, n };
            inputs = inputs.max(PLACES * tiles.stride(input.channels));
            outputs = outputs.max(PLACES * tiles.stride(c_out));
            kernels = kernels.max(PLACES * input.channels * c_out);
        }
        Self { inputs: vec![T::ZERO; inputs], outputs: vec![T::ZERO; outputs], kernels: vec![T::ZERO; kernels] }
    }
}

/// Numbers that [`transform_kernels`] writes.
pub(super) fn kernels_len(c_in: usize, c_out: usize) -> usize {
    PLACES * c_in * c_out
}

/// `G g Gᵀ` of kernels `[i][j][c][o]`: for each place a column-major `c_out × c_in` matrix.
pub(super) fn transform_kernels<T: Scalar>(kernels: &[T], out: &mut [T]) {
    let (n, stride) = (kernels.len() / 9, out.len() / PLACES);
    for first in (0..n).step_by(LANES) {
        let pixels = std::array::from_fn(|i| std::array::from_fn(|j| lanes(kernels, (3 * i + j) * n + first)));
        both_ways(pixels, kernel, |a, b, run| put(out, (a * SEEN + b) * stride + first, run));
    }
}

/// `z += W ⋆ a` with kernels as [`transform_kernels`] gives them; [`Accum::Replace`] starts from zero instead of `z`.
pub(super) fn forward<T: Scalar>(
    kernels: &[T],
    images: &[T],
    shape: ImageShape,
    c_out: usize,
    out: &mut [T],
    accum: Accum,
    scratch: &mut Scratch<T>,
) {
    let c_in = shape.channels;
    let tiles = Tiles::of(shape, c_in, images.len());
    cut(images, tiles, c_in, input, &mut scratch.inputs);
    for place in 0..PLACES {
        let W = kernels_at(kernels, place, c_in, c_out);
        let seen = tiles_at(&scratch.inputs, place, tiles, c_in);
        let out = tiles_at_mut(&mut scratch.outputs, place, tiles, c_out);
        matmul(out, Accum::Replace, W, seen, T::ONE, Par::Seq);
    }
    join(&scratch.outputs, tiles, c_out, output, out, accum);
}

/// Gradient in the convolution's input from that in its output; `shape` is the input's.
pub(super) fn backward<T: Scalar>(
    kernels: &[T],
    delta: &[T],
    shape: ImageShape,
    c_out: usize,
    out: &mut [T],
    accum: Accum,
    scratch: &mut Scratch<T>,
) {
    let c_in = shape.channels;
    let tiles = Tiles::of(shape, c_out, delta.len());
    cut(delta, tiles, c_out, output_adjoint, &mut scratch.outputs);
    for place in 0..PLACES {
        let W = kernels_at(kernels, place, c_in, c_out);
        let delta = tiles_at(&scratch.outputs, place, tiles, c_out);
        let out = tiles_at_mut(&mut scratch.inputs, place, tiles, c_in);
        matmul(out, Accum::Replace, W.transpose(), delta, T::ONE, Par::Seq);
    }
    join(&scratch.inputs, tiles, c_in, input_adjoint, out, accum);
}

/// Adds the weight's gradient in the order `[i][o][j][c]`.
pub(super) fn add_weight_gradient<T: Scalar>(
    images: &[T],
    shape: ImageShape,
    delta: &[T],
    c_out: usize,
    gradient: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let c_in = shape.channels;
    let tiles = Tiles::of(shape, c_in, images.len());
    cut(images, tiles, c_in, input, &mut scratch.inputs);
    cut(delta, tiles, c_out, output_adjoint, &mut scratch.outputs);
    let n = c_in * c_out;
    for (place, product) in scratch.kernels[..PLACES * n].chunks_exact_mut(n).enumerate() {
        let seen = tiles_at(&scratch.inputs, place, tiles, c_in);
        let delta = tiles_at(&scratch.outputs, place, tiles, c_out);
        let product = MatMut::from_column_major_slice_mut(product, c_in, c_out);
        matmul(product, Accum::Replace, seen, delta.transpose(), T::ONE, Par::Seq);
    }
    for first in (0..n).step_by(LANES) {
        let (o, c) = (first / c_in, first % c_in);
        let places =
            std::array::from_fn(|a| std::array::from_fn(|b| lanes(&scratch.kernels, (a * SEEN + b) * n + first)));
        both_ways(places, kernel_adjoint, |i, j, run| {
            add(gradient, ((i * c_out + o) * 3 + j) * c_in + c, run);
        });
    }
}

/// The products' left factor at a place, `c_out × c_in`.
fn kernels_at<T: Scalar>(kernels: &[T], place: usize, c_in: usize, c_out: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(&kernels[place * c_in * c_out..][..c_in * c_out], c_out, c_in)
}

/// All tiles at a place, `channels × tiles`.
fn tiles_at<T: Scalar>(buffer: &[T], place: usize, tiles: Tiles, channels: usize) -> MatRef<'_, T> {
    let here = &buffer[place * tiles.stride(channels)..][..tiles.len() * channels];
    MatRef::from_column_major_slice(here, channels, tiles.len())
}

fn tiles_at_mut<T: Scalar>(buffer: &mut [T], place: usize, tiles: Tiles, channels: usize) -> MatMut<'_, T> {
    let here = &mut buffer[place * tiles.stride(channels)..][..tiles.len() * channels];
    MatMut::from_column_major_slice_mut(here, channels, tiles.len())
}

/// Transforms every tile's `N × N` pixels, zero outside of the image.
fn cut<T: Scalar, const N: usize>(
    images: &[T],
    tiles: Tiles,
    channels: usize,
    transform: impl Fn([T; N]) -> [T; SEEN] + Copy,
    out: &mut [T],
) {
    let stride = tiles.stride(channels);
    let nothing = [T::ZERO; LANES];
    for t in 0..tiles.len() {
        let pixels = tiles.pixels::<N>(t, channels);
        for c in (0..channels).step_by(LANES) {
            let pixels = std::array::from_fn(|i| {
                std::array::from_fn(|j| pixels[i][j].map_or(&nothing, |pixel| lanes(images, pixel + c)))
            });
            both_ways(pixels, transform, |a, b, run| {
                put(out, (a * SEEN + b) * stride + t * channels + c, run);
            });
        }
    }
}

/// Transforms tiles back to `N × N` pixels each, which are added up where tiles overlap.
fn join<T: Scalar, const N: usize>(
    buffer: &[T],
    tiles: Tiles,
    channels: usize,
    transform: impl Fn([T; SEEN]) -> [T; N] + Copy,
    out: &mut [T],
    accum: Accum,
) {
    if accum == Accum::Replace {
        out.fill(T::ZERO);
    }
    let stride = tiles.stride(channels);
    for t in 0..tiles.len() {
        let pixels = tiles.pixels::<N>(t, channels);
        for c in (0..channels).step_by(LANES) {
            let at = t * channels + c;
            let places = std::array::from_fn(|a| std::array::from_fn(|b| lanes(buffer, (a * SEEN + b) * stride + at)));
            both_ways(places, transform, |i, j, run| {
                if let Some(pixel) = pixels[i][j] {
                    add(out, pixel + c, run);
                }
            });
        }
    }
}

/// A transform along columns, then along rows: hands `put(a, b, ·)` the entries of `F X Fᵀ` for `f(x) = F x`.
#[inline(always)]
fn both_ways<T: Scalar, const N: usize, const M: usize>(
    pixels: [[&Lanes<T>; N]; N],
    transform: impl Fn([T; N]) -> [T; M] + Copy,
    mut put: impl FnMut(usize, usize, &Lanes<T>),
) {
    let mut rows = [[[T::ZERO; LANES]; N]; M];
    for j in 0..N {
        let column = along(std::array::from_fn(|i| pixels[i][j]), transform);
        for (row, run) in rows.iter_mut().zip(&column) {
            row[j] = *run;
        }
    }
    for (a, row) in rows.iter().enumerate() {
        for (b, run) in along(row.each_ref(), transform).iter().enumerate() {
            put(a, b, run);
        }
    }
}

#[inline(always)]
fn along<T: Scalar, const N: usize, const M: usize>(
    from: [&Lanes<T>; N],
    transform: impl Fn([T; N]) -> [T; M],
) -> [Lanes<T>; M] {
    let mut to = [[T::ZERO; LANES]; M];
    for lane in 0..LANES {
        for (to, x) in to.iter_mut().zip(transform(std::array::from_fn(|k| from[k][lane]))) {
            to[lane] = x;
        }
    }
    to
}

#[inline(always)]
fn lanes<T>(from: &[T], first: usize) -> &Lanes<T> {
    from[first..].first_chunk().expect("channels come in whole runs")
}

#[inline(always)]
fn put<T: Scalar>(to: &mut [T], first: usize, run: &Lanes<T>) {
    to[first..first + LANES].copy_from_slice(run);
}

#[inline(always)]
fn add<T: Scalar>(to: &mut [T], first: usize, run: &Lanes<T>) {
    for (sum, &x) in to[first..first + LANES].iter_mut().zip(run) {
        *sum += x;
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn input<T: Scalar>([d0, d1, d2, d3, d4, d5]: [T; 6]) -> [T; 6] {
    let (two, four, five) = (T::of(2.0), T::of(4.0), T::of(5.0));
    let (even, odd) = (d4 - four * d2, d3 - four * d1);
    let (even2, odd2) = (d4 - d2, two * (d3 - d1));
    [four * d0 - five * d2 + d4, even + odd, even - odd, even2 + odd2, even2 - odd2, four * d1 - five * d3 + d5]
}

/// `B v`.
#[inline(always)]
fn input_adjoint<T: Scalar>([v0, v1, v2, v3, v4, v5]: [T; 6]) -> [T; 6] {
    let (two, four, five) = (T::of(2.0), T::of(4.0), T::of(5.0));
    let (even, odd) = (v1 + v2, v1 - v2);
    let (even2, odd2) = (v3 + v4, two * (v3 - v4));
    [
        four * v0,
        four * (v5 - odd) - odd2,
        -five * v0 - four * even - even2,
        odd + odd2 - five * v5,
        v0 + even + even2,
        v5,
    ]
}

/// `Aᵀ m`.
#[inline(always)]
fn output<T: Scalar>([m0, m1, m2, m3, m4, m5]: [T; 6]) -> [T; 4] {
    let (two, four, eight) = (T::of(2.0), T::of(4.0), T::of(8.0));
    let (even, odd) = (m1 + m2, m1 - m2);
    let (even2, odd2) = (m3 + m4, m3 - m4);
    [m0 + even + even2, odd + two * odd2, even + four * even2, odd + eight * odd2 + m5]
}

/// `A z`.
#[inline(always)]
fn output_adjoint<T: Scalar>([z0, z1, z2, z3]: [T; 4]) -> [T; 6] {
    let (two, four) = (T::of(2.0), T::of(4.0));
    let (even, odd) = (z0 + z2, z1 + z3);
    let (even2, odd2) = (z0 + four * z2, two * (z1 + four * z3));
    [z0, even + odd, even - odd, even2 + odd2, even2 - odd2, z3]
}

/// `G g`.
#[inline(always)]
fn kernel<T: Scalar>([g0, g1, g2]: [T; 3]) -> [T; 6] {
    let (sixth, twelfth, twentyfourth) = (T::of(1.0 / 6.0), T::of(1.0 / 12.0), T::of(1.0 / 24.0));
    let (even, odd) = (-sixth * (g0 + g2), sixth * g1);
    let (even2, odd2) = (twentyfourth * g0 + sixth * g2, twelfth * g1);
    [T::of(0.25) * g0, even - odd, even + odd, even2 + odd2, even2 - odd2, g2]
}

/// `Gᵀ u`.
#[inline(always)]
fn kernel_adjoint<T: Scalar>([u0, u1, u2, u3, u4, u5]: [T; 6]) -> [T; 3] {
    let (sixth, twelfth, twentyfourth) = (T::of(1.0 / 6.0), T::of(1.0 / 12.0), T::of(1.0 / 24.0));
    let (even, even2) = (u1 + u2, u3 + u4);
    [
        T::of(0.25) * u0 - sixth * even + twentyfourth * even2,
        sixth * (u2 - u1) + twelfth * (u3 - u4),
        sixth * (even2 - even) + u5,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Largest difference, relative to the largest entry of the truth.
    fn error(found: &[f32], truth: &[f64]) -> f64 {
        let largest = truth.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        found.iter().zip(truth).map(|(&x, y)| (f64::from(x) - y).abs()).fold(0.0, f64::max) / largest
    }

    #[test]
    fn rounding_in_f32_stays_small() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (channels, c_out, size) in [(32, 64, 14), (128, 128, 8)] {
            let shape = ImageShape { channels, height: size, width: size };
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect() };
            let (images, weight) = (random(2 * shape.dim()), random(9 * channels * c_out));
            let delta = random(2 * shape.with_channels(c_out).dim());
            let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
            let [z, below, in_weight] = all_three(&images, &weight, &delta, shape, c_out);
            let truth = all_three(&wide(&images), &wide(&weight), &wide(&delta), shape, c_out);
            for (found, truth) in [z, below, in_weight].iter().zip(&truth) {
                assert!(error(found, truth) < 2e-5, "{shape}: {:e}", error(found, truth));
            }
        }
    }

    /// A convolution and its two gradients; `conv` holds the `f64` ones against the definition.
    fn all_three<T: Scalar>(images: &[T], kernels: &[T], delta: &[T], shape: ImageShape, c_out: usize) -> [Vec<T>; 3] {
        assert!(pays(shape, c_out));
        let n = images.len() / shape.dim();
        let mut scratch = Scratch::new([(shape, c_out)].into_iter(), n);
        let mut transformed = vec![T::ZERO; kernels_len(shape.channels, c_out)];
        transform_kernels(kernels, &mut transformed);
        let mut z = vec![T::ZERO; delta.len()];
        forward(&transformed, images, shape, c_out, &mut z, Accum::Replace, &mut scratch);
        let mut below = vec![T::ZERO; images.len()];
        backward(&transformed, delta, shape, c_out, &mut below, Accum::Replace, &mut scratch);
        let mut gradient = vec![T::ZERO; kernels.len()];
        add_weight_gradient(images, shape, delta, c_out, &mut gradient, &mut scratch);
        [z, below, gradient]
    }

    #[test]
    fn which_convolutions_are_done_in_tiles() {
        let pays = |channels, height, width, c_out| pays(ImageShape { channels, height, width }, c_out);
        assert!(pays(32, 16, 16, 64) && pays(64, 7, 7, 128) && pays(16, 3, 3, 16));
        assert!(!pays(3, 32, 32, 32) && !pays(32, 8, 8, 10) && !pays(32, 2, 2, 32) && !pays(16, 1, 8, 16));
    }
}
