//! Sums and means over axes.

use super::{At, Given, Gradients, Misfit, Moved, Rule, exactly, len, shown, strided_map, strides};
use crate::Scalar;

/// The sum or mean over some axes; over rows and columns of images it is global average pooling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Which of the two.
    pub reduction: Reduction,
    /// The axes, counted from 0 behind the batch.
    pub axes: Vec<usize>,
    /// Whether they stay, with length 1.
    pub keeps_axes: bool,
}

/// What is made of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// `Σ`.
    Sum,
    /// `Σ` divided by their number.
    Mean,
}

impl Reduce {
    fn scale<T: Scalar>(&self, at: &At<'_, T>) -> T {
        match self.reduction {
            Reduction::Sum => T::ONE,
            Reduction::Mean => T::of(at.dim() as f64 / at.operands[0].dim() as f64),
        }
    }

    fn sum<T: Scalar>(&self, at: &At<'_, T>, from: &[T], out: &mut [T]) {
        let scale = self.scale(at);
        for (from, out) in from.chunks_exact(at.operands[0].dim()).zip(out.chunks_exact_mut(at.dim())) {
            out.fill(T::ZERO);
            from.iter().zip(&at.maps[0]).for_each(|(&x, &i)| out[i as usize] += x);
            out.iter_mut().for_each(|y| *y *= scale);
        }
    }
}

impl Rule for Reduce {
    fn name(&self) -> &'static str {
        match self.reduction {
            Reduction::Sum => "reduce-sum",
            Reduction::Mean => "reduce-mean",
        }
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        if let Some(axis) = self.axes.iter().find(|&&axis| axis >= x.shape.len()) {
            return Err(Misfit::new(format!("axis {axis}"), format!("an axis of {}", shown(x.shape))));
        }
        let kept =
            x.shape.iter().enumerate().filter_map(|(axis, &n)| match (self.axes.contains(&axis), self.keeps_axes) {
                (false, _) => Some(n),
                (true, true) => Some(1),
                (true, false) => None,
            });
        Ok(kept.collect())
    }

    /// For every entry of the operand, where it is added.
    fn maps(&self, operands: &[&[usize]], _shape: &[usize]) -> Vec<Vec<u32>> {
        let kept = |axis: usize, n: usize| if self.axes.contains(&axis) { 1 } else { n };
        let with_ones: Vec<usize> = operands[0].iter().enumerate().map(|(axis, &n)| kept(axis, n)).collect();
        let mut to = strides(&with_ones);
        self.axes.iter().for_each(|&axis| to[axis] = 0);
        debug_assert!(len(&with_ones) <= len(operands[0]));
        vec![strided_map(operands[0], 0, &to)]
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        self.sum(at, at.operands[0].values, out);
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, _k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        if let Some(moved) = moved[0] {
            self.sum(at, moved, out);
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, _k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let Some(into) = &mut into[0] else { return };
        let scale = self.scale(at);
        for (into, delta) in into.chunks_exact_mut(at.operands[0].dim()).zip(delta.chunks_exact(at.dim())) {
            into.iter_mut().zip(&at.maps[0]).for_each(|(x, &i)| *x += scale * delta[i as usize]);
        }
    }
}
