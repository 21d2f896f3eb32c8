//! Pooling and changes of order, for the images of a block side by side with channels together (`H × B × W × C`).

use crate::{ImageShape, Scalar};

/// Whether `v` takes the place of the largest so far: larger, or NaN, which is not to be lost.
#[inline]
fn exceeds<T: Scalar>(v: T, largest: T) -> bool {
    v > largest || v.partial_cmp(&v).is_none()
}

/// The offsets of all 2×2 windows' upper and lower left pixels in `n` images, in the order of what pooling gives.
fn windows(shape: ImageShape, n: usize) -> impl Iterator<Item = (usize, usize)> {
    let (c, row_len) = (shape.channels, shape.channels * shape.width);
    (0..shape.height / 2 * n).flat_map(move |k| {
        let (y, p) = (k / n, k % n);
        let upper = (2 * y * n + p) * row_len;
        (0..shape.width / 2).map(move |x| (upper + 2 * x * c, upper + n * row_len + 2 * x * c))
    })
}

/// Largest of every 2×2 window.
pub(super) fn max_pool<T: Scalar>(images: &[T], shape: ImageShape, out: &mut [T]) {
    let c = shape.channels;
    for ((upper, lower), out) in windows(shape, images.len() / shape.dim()).zip(out.chunks_exact_mut(c)) {
        let (a, b) = images[upper..upper + 2 * c].split_at(c);
        let (d, e) = images[lower..lower + 2 * c].split_at(c);
        for ((((out, &a), &b), &d), &e) in out.iter_mut().zip(a).zip(b).zip(d).zip(e) {
            let ab = if exceeds(b, a) { b } else { a };
            let abd = if exceeds(d, ab) { d } else { ab };
            *out = if exceeds(e, abd) { e } else { abd };
        }
    }
}

/// Takes, for every window, the entry of `tangent` where `image` has its first largest: the derivative of [`max_pool`].
pub(super) fn max_pool_tangent<T: Scalar>(images: &[T], pooled: &[T], tangent: &[T], shape: ImageShape, out: &mut [T]) {
    let c = shape.channels;
    for (((upper, lower), pooled), out) in
        windows(shape, images.len() / shape.dim()).zip(pooled.chunks_exact(c)).zip(out.chunks_exact_mut(c))
    {
        for (k, (&m, out)) in pooled.iter().zip(out).enumerate() {
            let first = [upper, upper + c, lower, lower + c].into_iter().find(|at| images[at + k] == m);
            *out = first.map_or(m, |at| tangent[at + k]);
        }
    }
}

/// Gives the gradient of every window to its first largest entry, and zero to all others.
pub(super) fn max_pool_backward<T: Scalar>(
    images: &[T],
    pooled: &[T],
    gradient: &[T],
    shape: ImageShape,
    out: &mut [T],
) {
    let c = shape.channels;
    if shape.height % 2 == 1 || shape.width % 2 == 1 {
        out.fill(T::ZERO);
    }
    let windows = windows(shape, images.len() / shape.dim()).zip(pooled.chunks_exact(c)).zip(gradient.chunks_exact(c));
    for (((upper, lower), pooled), gradient) in windows {
        let (a, b) = images[upper..upper + 2 * c].split_at(c);
        let (d, _) = images[lower..lower + 2 * c].split_at(c);
        let e = &images[lower + c..lower + 2 * c];
        let (head, tail) = out.split_at_mut(lower);
        let (out_a, out_b) = head[upper..upper + 2 * c].split_at_mut(c);
        let (out_d, out_e) = tail[..2 * c].split_at_mut(c);
        for k in 0..c {
            let (m, g) = (pooled[k], gradient[k]);
            let in_a = a[k] == m;
            let in_b = !in_a & (b[k] == m);
            let in_d = !in_a & !in_b & (d[k] == m);
            let in_e = !in_a & !in_b & !in_d & (e[k] == m);
            out_a[k] = if in_a { g } else { T::ZERO };
            out_b[k] = if in_b { g } else { T::ZERO };
            out_d[k] = if in_d { g } else { T::ZERO };
            out_e[k] = if in_e { g } else { T::ZERO };
        }
    }
}

/// Mean of every channel: `C × B`.
pub(super) fn global_average<T: Scalar>(images: &[T], shape: ImageShape, out: &mut [T]) {
    out.fill(T::ZERO);
    for row in images.chunks_exact(shape.width * out.len()) {
        for (image, out) in row.chunks_exact(shape.width * shape.channels).zip(out.chunks_exact_mut(shape.channels)) {
            for pixel in image.chunks_exact(shape.channels) {
                for (sum, &a) in out.iter_mut().zip(pixel) {
                    *sum += a;
                }
            }
        }
    }
    let scale = T::of(1.0 / shape.n_pixels() as f64);
    for mean in out {
        *mean *= scale;
    }
}

/// Spreads the gradient of every channel's mean over its pixels.
pub(super) fn global_average_backward<T: Scalar>(gradient: &[T], shape: ImageShape, out: &mut [T]) {
    let scale = T::of(1.0 / shape.n_pixels() as f64);
    for row in out.chunks_exact_mut(shape.width * gradient.len()) {
        let images = row.chunks_exact_mut(shape.width * shape.channels);
        for (image, gradient) in images.zip(gradient.chunks_exact(shape.channels)) {
            for pixel in image.chunks_exact_mut(shape.channels) {
                for (out, &g) in pixel.iter_mut().zip(gradient) {
                    *out = scale * g;
                }
            }
        }
    }
}

/// Where the pixels of a plane of image `p` of `n` begin, row after row.
fn pixels(shape: ImageShape, p: usize, n: usize) -> impl Iterator<Item = usize> {
    (0..shape.height).flat_map(move |y| {
        let row = (y * n + p) * shape.width;
        (row..row + shape.width).map(move |pixel| pixel * shape.channels)
    })
}

/// To images one after the other, `C × H × W` each.
pub(super) fn channels_first<T: Scalar>(images: &[T], shape: ImageShape, out: &mut [T]) {
    let n = out.len() / shape.dim();
    for (p, image) in out.chunks_exact_mut(shape.dim()).enumerate() {
        for (c, plane) in image.chunks_exact_mut(shape.n_pixels()).enumerate() {
            for (out, at) in plane.iter_mut().zip(pixels(shape, p, n)) {
                *out = images[at + c];
            }
        }
    }
}

/// From images one after the other, `C × H × W` each.
pub(super) fn channels_last<T: Scalar>(images: &[T], shape: ImageShape, out: &mut [T]) {
    let n = images.len() / shape.dim();
    for (p, image) in images.chunks_exact(shape.dim()).enumerate() {
        put_channels_last(image.iter().copied(), shape, p, n, out);
    }
}

/// Writes the `C × H × W` image `p` of `n`.
pub(super) fn put_channels_last<T: Scalar>(
    image: impl Iterator<Item = T>,
    shape: ImageShape,
    p: usize,
    n: usize,
    out: &mut [T],
) {
    let places = (0..shape.channels).flat_map(|c| pixels(shape, p, n).map(move |at| at + c));
    for (at, a) in places.zip(image) {
        out[at] = a;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 2, height: 3, width: 5 };

    #[test]
    fn odd_rows_and_columns_are_dropped_and_ties_go_to_the_first() {
        // Two images, whose channel 0 counts pixels down the rows of both; channel 1 is 7 everywhere.
        let images: Vec<f64> = (0..30).flat_map(|k| [f64::from(k), 7.0]).collect();
        let mut pooled = [0.0; 8];
        max_pool(&images, SHAPE, &mut pooled);
        assert_eq!(pooled, [11.0, 7.0, 13.0, 7.0, 16.0, 7.0, 18.0, 7.0]);
        let mut below = [f64::NAN; 60];
        max_pool_backward(&images, &pooled, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], SHAPE, &mut below);
        let mut expected = [0.0; 60];
        for (k, at) in [22, 1, 26, 5, 32, 11, 36, 15].into_iter().enumerate() {
            expected[at] = (k + 1) as f64;
        }
        assert_eq!(below, expected);
        let mut tangent = [0.0; 8];
        let numbers: Vec<f64> = (0..60).map(f64::from).collect();
        max_pool_tangent(&images, &pooled, &numbers, SHAPE, &mut tangent);
        assert_eq!(tangent, [22.0, 1.0, 26.0, 5.0, 32.0, 11.0, 36.0, 15.0]);
    }

    #[test]
    fn a_nan_is_not_lost() {
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        for at in 0..4 {
            let mut image = [1.0, 2.0, 3.0, 4.0];
            image[at] = f32::NAN;
            let mut pooled = [0.0];
            max_pool(&image, shape, &mut pooled);
            assert!(pooled[0].is_nan(), "{at}");
        }
    }

    #[test]
    fn orders_and_means() {
        let given: Vec<f64> = (0..60).map(f64::from).collect();
        let (mut inside, mut back) = ([0.0; 60], [0.0; 60]);
        channels_last(&given, SHAPE, &mut inside);
        // Row 0 of image 0, then row 0 of image 1; channels alternate.
        assert_eq!(inside[..4], [0.0, 15.0, 1.0, 16.0]);
        assert_eq!(inside[10..12], [30.0, 45.0]);
        channels_first(&inside, SHAPE, &mut back);
        assert_eq!(back[..], given);
        let mut mean = [0.0; 4];
        global_average(&inside, SHAPE, &mut mean);
        assert_eq!(mean, [7.0, 22.0, 37.0, 52.0]);
        global_average_backward(&[15.0, 30.0, 45.0, 60.0], SHAPE, &mut back);
        assert_eq!(
            (&back[..3], &back[10..12], &back[20..22]),
            (&[1.0, 2.0, 1.0][..], &[3.0, 4.0][..], &[1.0, 2.0][..])
        );
    }
}
