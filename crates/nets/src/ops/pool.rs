//! The largest or the mean of every window of an image.

use super::{At, Given, Gradients, Misfit, Moved, Rule, Window, exactly};
use crate::Scalar;

/// The largest entry of every window of every channel; the first of equals, as in PyTorch. Padding is never the
/// largest.
///
/// Derivatives take the position of the largest as fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// What an output sees.
    pub window: Window,
}

/// The mean over every window of every channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// What an output sees.
    pub window: Window,
    /// Whether a window's size counts the padding that it sees, as it does in PyTorch.
    pub counts_padding: bool,
}

fn shape(window: &Window, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
    let [x] = exactly(given)?;
    let (channels, size, [rows, columns]) = window.over(x.shape)?;
    let windows = [rows, columns];
    let sees = |axis: usize| {
        (0..windows[axis]).all(|at| (0..window.kernel[axis]).any(|i| window.pixel(axis, at, i, size[axis]).is_some()))
    };
    if !(sees(0) && sees(1)) {
        let found = format!("padding {:?} of a kernel {:?}", window.padding, window.kernel);
        return Err(Misfit::new(found, "every window to see a pixel"));
    }
    Ok(vec![channels, rows, columns])
}

/// Calls `each(channel and window, pixels)` with the pixels that every window of one sample sees, in order.
fn for_windows(window: &Window, image: &[usize], mut each: impl FnMut(usize, &[usize])) {
    let (channels, size, windows) = window.over(image).expect("the shape rule has checked it");
    let mut pixels = Vec::with_capacity(window.kernel[0] * window.kernel[1]);
    let mut at = 0;
    for channel in 0..channels {
        for (y, x) in (0..windows[0]).flat_map(|y| (0..windows[1]).map(move |x| (y, x))) {
            pixels.clear();
            for row in (0..window.kernel[0]).filter_map(|i| window.pixel(0, y, i, size[0])) {
                let columns = (0..window.kernel[1]).filter_map(|j| window.pixel(1, x, j, size[1]));
                pixels.extend(columns.map(|column| (channel * size[0] + row) * size[1] + column));
            }
            each(at, &pixels);
            at += 1;
        }
    }
}

/// The largest of `pixels`; NaN is not to be lost.
fn largest<T: Scalar>(image: &[T], pixels: &[usize]) -> usize {
    let mut best = pixels[0];
    for &pixel in &pixels[1..] {
        let (v, held) = (image[pixel], image[best]);
        if v > held || v.partial_cmp(&v).is_none() {
            best = pixel;
        }
    }
    best
}

impl MaxPool {
    /// Where the largest entries stand, of every output of sample `p`.
    fn largest<T: Scalar>(&self, at: &At<'_, T>, p: usize, to: &mut Vec<usize>) {
        let image = at.of(0, p);
        to.clear();
        for_windows(&self.window, at.operands[0].shape, |_, pixels| to.push(largest(image, pixels)));
    }
}

impl Rule for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        shape(&self.window, given)
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        for (p, out) in out.chunks_exact_mut(at.dim()).enumerate() {
            let image = at.of(0, p);
            for_windows(&self.window, at.operands[0].shape, |k, pixels| out[k] = image[largest(image, pixels)]);
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let Some(moved) = moved[0] else { return };
        let mut from = Vec::new();
        for p in 0..at.n {
            self.largest(at, p, &mut from);
            for k in 0..k {
                let moved = &moved[at.range(0, k, p)];
                let out = &mut out[(k * at.n + p) * at.dim()..][..at.dim()];
                out.iter_mut().zip(&from).for_each(|(y, &i)| *y = moved[i]);
            }
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let Some(into) = &mut into[0] else { return };
        let mut from = Vec::new();
        for p in 0..at.n {
            self.largest(at, p, &mut from);
            for k in 0..k {
                let delta = &delta[(k * at.n + p) * at.dim()..][..at.dim()];
                let into = &mut into[at.range(0, k, p)];
                delta.iter().zip(&from).for_each(|(&d, &i)| into[i] += d);
            }
        }
    }
}

impl AveragePool {
    /// Adds the adjoint, or writes the mean itself.
    fn weight<T: Scalar>(&self, pixels: &[usize]) -> T {
        let all = self.window.kernel[0] * self.window.kernel[1];
        T::of(1.0 / if self.counts_padding { all } else { pixels.len() } as f64)
    }

    fn average<T: Scalar>(&self, at: &At<'_, T>, images: &[T], out: &mut [T]) {
        let images = images.chunks_exact(at.operands[0].dim());
        for (image, out) in images.zip(out.chunks_exact_mut(at.dim())) {
            for_windows(&self.window, at.operands[0].shape, |k, pixels| {
                out[k] = self.weight::<T>(pixels) * pixels.iter().map(|&pixel| image[pixel]).sum::<T>();
            });
        }
    }
}

impl Rule for AveragePool {
    fn name(&self) -> &'static str {
        "average-pool"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        shape(&self.window, given)
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        self.average(at, at.operands[0].values, out);
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, _k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        if let Some(moved) = moved[0] {
            self.average(at, moved, out);
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, _k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let Some(into) = &mut into[0] else { return };
        let images = into.chunks_exact_mut(at.operands[0].dim());
        for (image, delta) in images.zip(delta.chunks_exact(at.dim())) {
            for_windows(&self.window, at.operands[0].shape, |k, pixels| {
                let share = self.weight::<T>(pixels) * delta[k];
                pixels.iter().for_each(|&pixel| image[pixel] += share);
            });
        }
    }
}
