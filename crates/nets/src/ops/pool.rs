//! The largest or the mean of every window of an image.

use super::{At, Given, Gradients, Misfit, Moved, Rule, Window, exactly, len};
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
    if window.padding == [0; 4] {
        // All windows look alike.
        let corner = |row: usize, column: usize| row * size[1] + column;
        for i in 0..window.kernel[0] {
            pixels.extend((0..window.kernel[1]).map(|j| corner(i * window.dilation[0], j * window.dilation[1])));
        }
        let mut last = 0;
        for (channel, y) in (0..channels).flat_map(|c| (0..windows[0]).map(move |y| (c, y))) {
            for x in 0..windows[1] {
                let first = channel * size[0] * size[1] + corner(y * window.stride[0], x * window.stride[1]);
                pixels.iter_mut().for_each(|pixel| *pixel = *pixel + first - last);
                last = first;
                each(at, &pixels);
                at += 1;
            }
        }
        return;
    }
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

impl Rule for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let shape = shape(&self.window, given)?;
        match len(given[0].shape) {
            // Positions are kept as numbers, of which f32 has all up to here.
            n if n > 1 << 24 => Err(Misfit::new(format!("{n} entries an image"), "at most 2²⁴")),
            _ => Ok(shape),
        }
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        for (p, out) in out.chunks_exact_mut(at.dim()).enumerate() {
            let image = at.of(0, p);
            for_windows(&self.window, at.operands[0].shape, |k, pixels| out[k] = image[largest(image, pixels)]);
        }
    }

    /// Where the largest stands in its image.
    fn saved(&self, shape: &[usize]) -> usize {
        len(shape)
    }

    fn forward_saving<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T], saved: &mut [T]) {
        let samples = out.chunks_exact_mut(at.dim()).zip(saved.chunks_exact_mut(at.dim()));
        for (p, (out, saved)) in samples.enumerate() {
            let image = at.of(0, p);
            for_windows(&self.window, at.operands[0].shape, |k, pixels| {
                let from = largest(image, pixels);
                (out[k], saved[k]) = (image[from], T::of(from as f64));
            });
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, _k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let Some(moved) = moved[0] else { return };
        let images = moved.chunks_exact(at.operands[0].dim()).zip(out.chunks_exact_mut(at.dim()));
        for ((moved, out), from) in images.zip(at.saved.chunks_exact(at.dim()).cycle()) {
            out.iter_mut().zip(from).for_each(|(y, from)| *y = moved[from.f64() as usize]);
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, _k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let Some(into) = &mut into[0] else { return };
        let images = into.chunks_exact_mut(at.operands[0].dim()).zip(delta.chunks_exact(at.dim()));
        for ((into, delta), from) in images.zip(at.saved.chunks_exact(at.dim()).cycle()) {
            delta.iter().zip(from).for_each(|(&d, from)| into[from.f64() as usize] += d);
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
