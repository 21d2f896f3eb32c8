//! Layer, group, instance and RMS normalisation, without the scale and shift that may follow.

use super::{At, Given, Gradients, Misfit, Moved, Rule, dot, exactly, len, shown};
use crate::Scalar;

/// `y = (x − μ)/√(v + ε)` with mean and variance (divided by the number of entries) over entries of the same sample, or
/// without the mean `y = x/√(E[x²] + ε)`.
///
/// A learned scale and shift are a multiplication and a sum behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalise {
    /// Which entries share mean and variance.
    pub together: Together,
    /// Whether the mean is taken off, as it is but for RMS.
    pub centred: bool,
    /// `ε`.
    pub epsilon: f64,
}

/// Entries that are normalised together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// All along the last so many axes: layer and RMS normalisation.
    Last(usize),
    /// So many groups of channels, the first axis: group normalisation.
    Groups(usize),
    /// Every channel by itself: instance normalisation.
    Channels,
}

impl Normalise {
    /// Entries that stand together.
    fn group(&self, shape: &[usize]) -> usize {
        match self.together {
            Together::Last(axes) => len(&shape[shape.len() - axes..]),
            Together::Groups(groups) => len(shape) / groups,
            Together::Channels => len(&shape[1..]),
        }
    }

    /// `1/√(v + ε)` of one group.
    fn scale<T: Scalar>(&self, x: &[T]) -> (T, T) {
        let n = T::of(x.len() as f64);
        let mean = if self.centred { x.iter().copied().sum::<T>() / n } else { T::ZERO };
        let variance = x.iter().map(|&x| (x - mean) * (x - mean)).sum::<T>() / n;
        (mean, T::ONE / (variance + T::of(self.epsilon)).square_root())
    }

    /// Means of `v` (0 unless centred) and of `y ⊙ v`.
    fn means<T: Scalar>(&self, y: &[T], v: &[T]) -> (T, T) {
        let n = T::of(v.len() as f64);
        (if self.centred { v.iter().copied().sum::<T>() / n } else { T::ZERO }, dot(y, v) / n)
    }

    /// The Jacobian, which is symmetric, times `v`: `s (v − E[v] − y E[y v])`, given to `each`.
    fn jacobian<T: Scalar>(&self, at: &At<'_, T>, v: &[T], out: &mut [T], each: impl Fn(&mut T, T)) {
        let (group, block) = (self.group(at.shape), at.output.len());
        for (g, (v, out)) in v.chunks_exact(group).zip(out.chunks_exact_mut(group)).enumerate() {
            let own = g * group % block..g * group % block + group;
            let (x, y) = (&at.operands[0].values[own.clone()], &at.output[own]);
            let scale = self.scale(x).1;
            let (mean, along) = self.means(y, v);
            let entries = out.iter_mut().zip(y).zip(v);
            entries.for_each(|((out, &y), &v)| each(out, scale * (v - mean - y * along)));
        }
    }
}

impl Rule for Normalise {
    fn name(&self) -> &'static str {
        match (self.together, self.centred) {
            (_, false) => "rms-norm",
            (Together::Last(_), _) => "layer-norm",
            (Together::Groups(_), _) => "group-norm",
            (Together::Channels, _) => "instance-norm",
        }
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        let found = || format!("a value {}", shown(x.shape));
        match self.together {
            Together::Last(axes) if axes == 0 || axes > x.shape.len() => {
                Err(Misfit::new(found(), format!("at least {} axes", axes.max(1))))
            }
            Together::Groups(groups) if groups == 0 || x.shape.is_empty() || x.shape[0] % groups != 0 => {
                Err(Misfit::new(found(), format!("channels in {groups} groups")))
            }
            Together::Channels if x.shape.is_empty() => Err(Misfit::new(found(), "(channels, …)")),
            _ => Ok(x.shape.to_vec()),
        }
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let group = self.group(at.shape);
        for (x, out) in at.operands[0].values.chunks_exact(group).zip(out.chunks_exact_mut(group)) {
            let (mean, scale) = self.scale(x);
            out.iter_mut().zip(x).for_each(|(y, &x)| *y = scale * (x - mean));
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, _k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        if let Some(moved) = moved[0] {
            self.jacobian(at, moved, out, |out, y| *out = y);
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, _k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        if let Some(into) = &mut into[0] {
            self.jacobian(at, delta, into, |x, d| *x += d);
        }
    }

    fn bends(&self, moves: &[bool]) -> bool {
        moves[0]
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        _k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        let (Some(moved), Some(into)) = (moved[0], &mut into[0]) else { return };
        let (group, block) = (self.group(at.shape), at.output.len());
        for (g, (moved, into)) in moved.chunks_exact(group).zip(into.chunks_exact_mut(group)).enumerate() {
            let own = g * group % block..g * group % block + group;
            let (x, y, delta) = (&at.operands[0].values[own.clone()], &at.output[own.clone()], &delta[own]);
            let scale = self.scale(x).1;
            let (moved_mean, moved_along) = self.means(y, moved);
            let (mean, along) = self.means(y, delta);
            let moved_y = |y: T, moved: T| scale * (moved - moved_mean - y * moved_along);
            let both = y.iter().zip(moved).zip(delta).map(|((&y, &m), &d)| moved_y(y, m) * d);
            let cross = both.sum::<T>() / T::of(group as f64);
            // ṡ/s = −s E[y ẋ].
            let faster = -scale * moved_along;
            for (((x, &y), &moved), &d) in into.iter_mut().zip(y).zip(moved).zip(delta) {
                let held = d - mean - y * along;
                *x += scale * (faster * held - moved_y(y, moved) * along - y * cross);
            }
        }
    }
}
