//! Windows that convolutions and pools move over an image.

use super::{Misfit, shown};
use crate::Scalar;

/// A window of pixels, rows before columns, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns that it takes.
    pub kernel: [usize; 2],
    /// From one window to the next.
    pub stride: [usize; 2],
    /// Rows above, columns to the left, rows below, columns to the right, as in ONNX.
    pub padding: [usize; 4],
    /// From one pixel of a window to the next.
    pub dilation: [usize; 2],
}

impl Window {
    /// `size × size` pixels, one pixel apart, without padding.
    pub fn square(size: usize) -> Self {
        Self { kernel: [size; 2], stride: [1; 2], padding: [0; 4], dilation: [1; 2] }
    }

    /// The same at every `stride`-th row and column.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// The same with `padding` on all four sides.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// Channels of `image`, its rows and columns, and those of what windows give.
    pub(crate) fn over(&self, image: &[usize]) -> Result<(usize, [usize; 2], [usize; 2]), Misfit> {
        let &[channels, height, width] = image else {
            return Err(Misfit::new(format!("a value {}", shown(image)), "images (channels, rows, columns)"));
        };
        if self.kernel.contains(&0) || self.stride.contains(&0) || self.dilation.contains(&0) {
            let found = format!("kernel {:?}, stride {:?}, dilation {:?}", self.kernel, self.stride, self.dilation);
            return Err(Misfit::new(found, "numbers above 0"));
        }
        let size = [height, width];
        let out = [0, 1].map(|axis| {
            let padded = size[axis] + self.padding[axis] + self.padding[axis + 2];
            let reach = self.dilation[axis] * (self.kernel[axis] - 1);
            (padded > reach).then(|| (padded - reach - 1) / self.stride[axis] + 1)
        });
        match out {
            [Some(rows), Some(columns)] => Ok((channels, size, [rows, columns])),
            _ => {
                let found = format!("images {} with padding {:?}", shown(image), self.padding);
                Err(Misfit::new(found, format!("at least {:?} pixels, {:?} apart", self.kernel, self.dilation)))
            }
        }
    }

    #[inline]
    /// The pixel of an image that a window sees, if it is none of the padding: along `axis`, of window `at`, its pixel
    /// `i`.
    pub(crate) fn pixel(&self, axis: usize, at: usize, i: usize, size: usize) -> Option<usize> {
        let padded = at * self.stride[axis] + i * self.dilation[axis];
        padded.checked_sub(self.padding[axis]).filter(|&pixel| pixel < size)
    }

    #[inline]
    /// The windows `at` of a row that see a pixel with their column `j`.
    fn inside(&self, j: usize, width: usize, columns: usize) -> std::ops::Range<usize> {
        let (shift, stride) = (j * self.dilation[1], self.stride[1]);
        let first = self.padding[1].saturating_sub(shift).div_ceil(stride);
        let end = (width + self.padding[1]).saturating_sub(shift).div_ceil(stride).min(columns);
        first.min(end)..end
    }

    /// Whether windows are single pixels, all of them.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && self.padding == [0; 4]
    }

    /// Writes what windows see of `channels`, row-major `(C·kernel) × windows`, with zeros for the padding.
    pub(crate) fn unfold<T: Scalar>(&self, channels: &[T], size: [usize; 2], windows: [usize; 2], out: &mut [T]) {
        let [height, width] = size;
        let mut rows = out.chunks_exact_mut(windows[0] * windows[1]);
        for channel in channels.chunks_exact(height * width) {
            for (i, j) in (0..self.kernel[0]).flat_map(|i| (0..self.kernel[1]).map(move |j| (i, j))) {
                let out = rows.next().expect("a row a channel and pixel of the kernel");
                let inside = self.inside(j, width, windows[1]);
                for (y, out) in out.chunks_exact_mut(windows[1]).enumerate() {
                    let Some(row) = self.pixel(0, y, i, height).filter(|_| !inside.is_empty()) else {
                        out.fill(T::ZERO);
                        continue;
                    };
                    out[..inside.start].fill(T::ZERO);
                    out[inside.end..].fill(T::ZERO);
                    let first = inside.start * self.stride[1] + j * self.dilation[1] - self.padding[1];
                    let seen = &channel[row * width + first..(row + 1) * width];
                    let out = &mut out[inside.clone()];
                    match self.stride[1] {
                        1 => out.copy_from_slice(&seen[..out.len()]),
                        stride => out.iter_mut().zip(seen.iter().step_by(stride)).for_each(|(x, &pixel)| *x = pixel),
                    }
                }
            }
        }
    }

    /// The adjoint of [`Window::unfold`]: adds what stands at the windows to the pixels that they see.
    pub(crate) fn fold<T: Scalar>(&self, seen: &[T], size: [usize; 2], windows: [usize; 2], channels: &mut [T]) {
        let [height, width] = size;
        let mut rows = seen.chunks_exact(windows[0] * windows[1]);
        for channel in channels.chunks_exact_mut(height * width) {
            for (i, j) in (0..self.kernel[0]).flat_map(|i| (0..self.kernel[1]).map(move |j| (i, j))) {
                let seen = rows.next().expect("a row a channel and pixel of the kernel");
                let inside = self.inside(j, width, windows[1]);
                for (y, seen) in seen.chunks_exact(windows[1]).enumerate() {
                    let Some(row) = self.pixel(0, y, i, height).filter(|_| !inside.is_empty()) else { continue };
                    let first = inside.start * self.stride[1] + j * self.dilation[1] - self.padding[1];
                    let pixels = &mut channel[row * width + first..(row + 1) * width];
                    let seen = &seen[inside.clone()];
                    match self.stride[1] {
                        1 => super::add(&mut pixels[..seen.len()], seen),
                        stride => pixels.iter_mut().step_by(stride).zip(seen).for_each(|(pixel, &x)| *pixel += x),
                    }
                }
            }
        }
    }
}
