//! Convolutions of any kernel, stride, padding, dilation and groups, as products over unfolded windows.

use super::three_by_three::ThreeByThree;
use super::{At, Given, Gradients, LayerUse, Misfit, Moved, OutputOrder, Rule, WeightOrder, Window, len, shown};
use crate::{ImageShape, Scalar};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A cross-correlation, as PyTorch's `Conv2d`: `(C, H, W)` becomes `(c_out, H', W')`.
///
/// Operands: images, a weight `(c_out, C/groups, kernel rows, kernel columns)`, and maybe a bias `(c_out)`. A
/// convolution along one axis is one of images with a single row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// What an output sees.
    pub window: Window,
    /// Groups of channels that only see each other.
    pub groups: usize,
}

/// Sizes of a node whose shapes have been checked.
struct Sizes {
    window: Window,
    size: [usize; 2],
    windows: [usize; 2],
    groups: usize,
    /// Of a group: outputs, entries of the input, rows of what windows see.
    c_out: usize,
    input: usize,
    seen: usize,
    n_windows: usize,
}

impl Convolution {
    /// The kernels of most convolutions, for `n` samples at a time.
    fn three_by_three<T: Scalar>(&self, at: &At<'_, T>) -> Option<ThreeByThree<T>> {
        let &[channels, height, width] = at.operands[0].shape else { return None };
        let fits = self.window == Window::square(3).padding(1) && self.groups == 1;
        fits.then(|| ThreeByThree::new(ImageShape { channels, height, width }, at.shape[0], at.n))
    }

    fn sizes(&self, image: &[usize], shape: &[usize]) -> Sizes {
        let (channels, size, windows) = self.window.over(image).expect("the shape rule has checked it");
        let c_in = channels / self.groups;
        let [rows, columns] = self.window.kernel;
        Sizes {
            window: self.window,
            size,
            windows,
            groups: self.groups,
            c_out: shape[0] / self.groups,
            input: c_in * size[0] * size[1],
            seen: c_in * rows * columns,
            n_windows: windows[0] * windows[1],
        }
    }
}

impl Sizes {
    fn output(&self) -> usize {
        self.c_out * self.n_windows
    }

    fn weight(&self) -> usize {
        self.c_out * self.seen
    }

    fn scratch<T: Scalar>(&self) -> Vec<T> {
        vec![T::ZERO; self.seen * self.n_windows]
    }

    /// What the windows of one group see of it: `seen × windows`.
    fn unfold<'s, T: Scalar>(&self, group: &'s [T], scratch: &'s mut [T]) -> MatRef<'s, T> {
        if self.window.is_pointwise() {
            return MatRef::from_row_major_slice(group, self.seen, self.n_windows);
        }
        self.window.unfold(group, self.size, self.windows, scratch);
        MatRef::from_row_major_slice(scratch, self.seen, self.n_windows)
    }

    fn kernels<'w, T>(&self, weight: &'w [T]) -> MatRef<'w, T> {
        MatRef::from_row_major_slice(weight, self.c_out, self.seen)
    }

    /// `z += W ⋆ a` of one group.
    fn forward<T: Scalar>(&self, weight: &[T], seen: MatRef<'_, T>, accum: Accum, out: &mut [T]) {
        let out = MatMut::from_row_major_slice_mut(out, self.c_out, self.n_windows);
        matmul(out, accum, self.kernels(weight), seen, T::ONE, Par::Seq);
    }

    /// Adds to the gradient in the input of one group.
    fn backward<T: Scalar>(&self, weight: &[T], delta: &[T], scratch: &mut [T], into: &mut [T]) {
        let delta = MatRef::from_row_major_slice(delta, self.c_out, self.n_windows);
        let W = self.kernels(weight).transpose();
        if self.window.is_pointwise() {
            let into = MatMut::from_row_major_slice_mut(into, self.seen, self.n_windows);
            return matmul(into, Accum::Add, W, delta, T::ONE, Par::Seq);
        }
        let out = MatMut::from_row_major_slice_mut(scratch, self.seen, self.n_windows);
        matmul(out, Accum::Replace, W, delta, T::ONE, Par::Seq);
        self.window.fold(scratch, self.size, self.windows, into);
    }

    /// Adds to the gradient in the weight of one group.
    fn weight_gradient<T: Scalar>(&self, delta: &[T], seen: MatRef<'_, T>, into: &mut [T]) {
        let delta = MatRef::from_row_major_slice(delta, self.c_out, self.n_windows);
        let into = MatMut::from_row_major_slice_mut(into, self.c_out, self.seen);
        matmul(into, Accum::Add, delta, seen.transpose(), T::ONE, Par::Seq);
    }
}

impl Rule for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        if !(2..=3).contains(&given.len()) {
            return Err(Misfit::new(format!("{} operands", given.len()), "images, a weight and maybe a bias"));
        }
        let (channels, _, [rows, columns]) = self.window.over(given[0].shape)?;
        let [height, width] = self.window.kernel;
        let groups = self.groups;
        if groups == 0 || channels % groups != 0 {
            return Err(Misfit::new(format!("{groups} groups"), format!("a divisor of {channels} channels")));
        }
        let c_out = match *given[1].shape {
            [c_out, c, h, w] if c == channels / groups && [h, w] == [height, width] && c_out % groups == 0 => c_out,
            _ => {
                let expected = format!("(a multiple of {groups}, {}, {height}, {width})", channels / groups);
                return Err(Misfit::new(format!("weight {}", shown(given[1].shape)), expected));
            }
        };
        if let Some(bias) = given.get(2).filter(|bias| bias.shape != [c_out]) {
            return Err(Misfit::new(format!("bias {}", shown(bias.shape)), shown(&[c_out])));
        }
        if given[1..].iter().any(|parameter| !parameter.shared) {
            return Err(Misfit::new("a weight or bias of every sample", "one that all samples share"));
        }
        Ok(vec![c_out, rows, columns])
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let sizes = self.sizes(at.operands[0].shape, at.shape);
        let accum = match at.operands.get(2) {
            None => Accum::Replace,
            Some(bias) => {
                let channels = out.chunks_exact_mut(sizes.n_windows).zip(bias.values.iter().cycle());
                channels.for_each(|(channel, &b)| channel.fill(b));
                Accum::Add
            }
        };
        if let Some(mut fast) = self.three_by_three(at) {
            fast.arrange(at.operands[1].values);
            return fast.forward(&fast.input_pixels(at.operands[0].values), out, accum);
        }
        let mut scratch = sizes.scratch();
        let groups = at.operands[0].values.chunks_exact(sizes.input).zip(out.chunks_exact_mut(sizes.output()));
        for ((input, out), weight) in groups.zip(at.operands[1].values.chunks_exact(sizes.weight()).cycle()) {
            sizes.forward(weight, sizes.unfold(input, &mut scratch), accum, out);
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let sizes = self.sizes(at.operands[0].shape, at.shape);
        let block = out.len() / k;
        let mut accum = Accum::Replace;
        if let Some(bias) = moved.get(2).copied().flatten() {
            for (bias, out) in bias.chunks_exact(bias.len() / k).zip(out.chunks_exact_mut(block)) {
                let channels = out.chunks_exact_mut(sizes.n_windows).zip(bias.iter().cycle());
                channels.for_each(|(channel, &b)| channel.fill(b));
            }
            accum = Accum::Add;
        }
        if let Some(mut fast) = self.three_by_three(at) {
            if let Some(directions) = moved[1] {
                let a = fast.input_pixels(at.operands[0].values);
                for (V, out) in directions.chunks_exact(directions.len() / k).zip(out.chunks_exact_mut(block)) {
                    fast.arrange(V);
                    fast.forward(&a, out, accum);
                }
                accum = Accum::Add;
            }
            if let Some(moved) = moved[0] {
                fast.arrange(at.operands[1].values);
                for (moved, out) in moved.chunks_exact(moved.len() / k).zip(out.chunks_exact_mut(block)) {
                    fast.forward(&fast.input_pixels(moved), out, accum);
                }
            }
            return;
        }
        let mut scratch = sizes.scratch();
        if let Some(directions) = moved[1] {
            let per_direction = directions.len() / k;
            for (group, input) in at.operands[0].values.chunks_exact(sizes.input).enumerate() {
                let seen = sizes.unfold(input, &mut scratch);
                let first = group % sizes.groups * sizes.weight();
                for (V, out) in directions.chunks_exact(per_direction).zip(out.chunks_exact_mut(block)) {
                    let out = &mut out[group * sizes.output()..][..sizes.output()];
                    sizes.forward(&V[first..first + sizes.weight()], seen, accum, out);
                }
            }
            accum = Accum::Add;
        }
        if let Some(moved) = moved[0] {
            let groups = moved.chunks_exact(sizes.input).zip(out.chunks_exact_mut(sizes.output()));
            for ((moved, out), weight) in groups.zip(at.operands[1].values.chunks_exact(sizes.weight()).cycle()) {
                sizes.forward(weight, sizes.unfold(moved, &mut scratch), accum, out);
            }
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let sizes = self.sizes(at.operands[0].shape, at.shape);
        let block = delta.len() / k;
        if let Some(Some(into)) = into.get_mut(2) {
            let c_out = into.len() / k;
            for (delta, into) in delta.chunks_exact(block).zip(into.chunks_exact_mut(c_out)) {
                for (channel, delta) in delta.chunks_exact(sizes.n_windows).enumerate() {
                    into[channel % c_out] += delta.iter().copied().sum::<T>();
                }
            }
        }
        if let Some(mut fast) = self.three_by_three(at) {
            let a = into[1].is_some().then(|| fast.input_pixels(at.operands[0].values));
            fast.arrange(at.operands[1].values);
            for (k, delta) in delta.chunks_exact(block).enumerate() {
                let delta = fast.output_pixels(delta);
                if let (Some(into), Some(a)) = (&mut into[1], &a) {
                    fast.weight_gradient(a, &delta, &mut into[at.range(1, k, 0)]);
                }
                if let Some(into) = &mut into[0] {
                    let block = at.n * at.operands[0].dim();
                    fast.backward(&delta, &mut into[k * block..(k + 1) * block]);
                }
            }
            return;
        }
        let mut scratch = sizes.scratch();
        if let Some(into) = &mut into[1] {
            let per_direction = into.len() / k;
            for (group, input) in at.operands[0].values.chunks_exact(sizes.input).enumerate() {
                let seen = sizes.unfold(input, &mut scratch);
                let first = group % sizes.groups * sizes.weight();
                for (delta, into) in delta.chunks_exact(block).zip(into.chunks_exact_mut(per_direction)) {
                    let delta = &delta[group * sizes.output()..][..sizes.output()];
                    sizes.weight_gradient(delta, seen, &mut into[first..first + sizes.weight()]);
                }
            }
        }
        if let Some(into) = &mut into[0] {
            let groups = delta.chunks_exact(sizes.output()).zip(into.chunks_exact_mut(sizes.input));
            for ((delta, into), weight) in groups.zip(at.operands[1].values.chunks_exact(sizes.weight()).cycle()) {
                sizes.backward(weight, delta, &mut scratch, into);
            }
        }
    }

    fn bends(&self, moves: &[bool]) -> bool {
        moves[0] && moves[1]
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        let sizes = self.sizes(at.operands[0].shape, at.shape);
        if let Some(mut fast) = self.three_by_three(at) {
            let delta = fast.output_pixels(delta);
            for k in 0..k {
                let block = at.n * at.operands[0].dim();
                let block = k * block..(k + 1) * block;
                if let (Some(directions), Some(into)) = (moved[1], &mut into[0]) {
                    fast.arrange(&directions[at.range(1, k, 0)]);
                    fast.backward(&delta, &mut into[block.clone()]);
                }
                if let (Some(moved), Some(into)) = (moved[0], &mut into[1]) {
                    let moved = fast.input_pixels(&moved[block]);
                    fast.weight_gradient(&moved, &delta, &mut into[at.range(1, k, 0)]);
                }
            }
            return;
        }
        let mut scratch = sizes.scratch();
        if let (Some(directions), Some(into)) = (moved[1], &mut into[0]) {
            let block = into.len() / k;
            for (V, into) in directions.chunks_exact(directions.len() / k).zip(into.chunks_exact_mut(block)) {
                let groups = delta.chunks_exact(sizes.output()).zip(into.chunks_exact_mut(sizes.input));
                for ((delta, into), V) in groups.zip(V.chunks_exact(sizes.weight()).cycle()) {
                    sizes.backward(V, delta, &mut scratch, into);
                }
            }
        }
        if let (Some(moved), Some(into)) = (moved[0], &mut into[1]) {
            let per_direction = into.len() / k;
            let blocks = moved.chunks_exact(moved.len() / k).zip(into.chunks_exact_mut(per_direction));
            for (moved, into) in blocks {
                let groups = moved.chunks_exact(sizes.input).zip(delta.chunks_exact(sizes.output()));
                for (group, (moved, delta)) in groups.enumerate() {
                    let first = group % sizes.groups * sizes.weight();
                    let seen = sizes.unfold(moved, &mut scratch);
                    sizes.weight_gradient(delta, seen, &mut into[first..first + sizes.weight()]);
                }
            }
        }
    }

    fn layer(&self, operands: &[&[usize]], shape: &[usize]) -> Option<LayerUse> {
        let (d_out, groups) = (shape[0], self.groups);
        let (d_in, positions) = (len(operands[1]) / d_out, len(&shape[1..]));
        let (order, weight) = (OutputOrder::OutputsFirst, WeightOrder::OutIn);
        Some(LayerUse { positions, d_out, d_in, groups, order, weight })
    }

    fn activities<T: Scalar>(&self, at: &At<'_, T>, p: usize, out: &mut [T]) {
        let sizes = self.sizes(at.operands[0].shape, at.shape);
        let mut scratch = sizes.scratch();
        let groups = at.of(0, p).chunks_exact(sizes.input).zip(out.chunks_exact_mut(scratch.len()));
        for (input, out) in groups {
            let seen = sizes.unfold(input, &mut scratch);
            MatMut::from_column_major_slice_mut(out, sizes.seen, sizes.n_windows).copy_from(seen);
        }
    }
}
