//! Batch normalisation as in evaluation: by stored statistics.

use super::{At, Given, Gradients, Misfit, Moved, Rule, exactly, shown};
use crate::Scalar;

/// `y = γ (x − μ)/√(v + ε) + β`, channel by channel (the first axis of a value).
///
/// Operands: the value `(C, …)`, then `γ`, `β`, the running mean `μ` and variance `v`, each `(C)`; the last two are
/// constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// `ε`.
    pub epsilon: f64,
}

impl BatchNorm {
    /// Calls `each(channel, scale, entries)` for all channels of all samples of `k` blocks, `scale` being `1/√(v + ε)`.
    fn channels<T: Scalar>(&self, at: &At<'_, T>, len: usize, mut each: impl FnMut(usize, T, std::ops::Range<usize>)) {
        let variance = at.operands[4].values;
        let inner = at.dim() / variance.len();
        let scale = |v: &T| T::ONE / (*v + T::of(self.epsilon)).square_root();
        let scales: Vec<T> = variance.iter().map(scale).collect();
        for (block, start) in (0..len).step_by(inner).enumerate() {
            let channel = block % scales.len();
            each(channel, scales[channel], start..start + inner);
        }
    }
}

impl Rule for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x, rest @ ..] = exactly::<5>(given)?;
        let Some(&channels) = x.shape.first() else {
            return Err(Misfit::new("a value of shape ()", "(channels, …)"));
        };
        if let Some(wrong) = rest.iter().find(|operand| operand.shape != [channels] || !operand.shared) {
            return Err(Misfit::new(format!("an operand {}", shown(wrong.shape)), shown(&[channels])));
        }
        if rest[2..].iter().any(|statistic| !statistic.constant) {
            return Err(Misfit::new("running statistics that are parameters", "constants"));
        }
        Ok(x.shape.to_vec())
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let [x, gamma, beta, mean, _] = at.operands else { return };
        self.channels(at, out.len(), |c, scale, range| {
            let (gamma, beta, mean) = (gamma.values[c] * scale, beta.values[c], mean.values[c]);
            let entries = out[range.clone()].iter_mut().zip(&x.values[range]);
            entries.for_each(|(y, &x)| *y = gamma * (x - mean) + beta);
        });
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let [x, gamma, beta, mean, _] = at.operands else { return };
        let (block, n_channels) = (out.len() / k, beta.values.len());
        for (k, out) in out.chunks_exact_mut(block).enumerate() {
            self.channels(at, block, |c, scale, range| {
                let along = |i: usize| moved[i].map_or(T::ZERO, |moved: &[T]| moved[k * n_channels + c]);
                let (moved_gamma, moved_beta, mean) = (along(1) * scale, along(2), mean.values[c]);
                let gamma = gamma.values[c] * scale;
                let entries = out[range.clone()].iter_mut().zip(&x.values[range.clone()]);
                match moved[0] {
                    None => entries.for_each(|(y, &x)| *y = moved_gamma * (x - mean) + moved_beta),
                    Some(moved) => {
                        let moved = &moved[k * block..][range];
                        let entries = entries.zip(moved);
                        entries.for_each(|((y, &x), &dx)| *y = gamma * dx + (moved_gamma * (x - mean) + moved_beta));
                    }
                }
            });
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let [x, gamma, beta, mean, _] = at.operands else { return };
        let (block, n_channels) = (delta.len() / k, beta.values.len());
        for (k, delta) in delta.chunks_exact(block).enumerate() {
            self.channels(at, block, |c, scale, range| {
                let delta = &delta[range.clone()];
                if let Some(into) = &mut into[0] {
                    super::add_scaled(&mut into[k * block..][range.clone()], gamma.values[c] * scale, delta);
                }
                if let Some(into) = &mut into[1] {
                    let mean = mean.values[c];
                    let sum = x.values[range].iter().zip(delta).map(|(&x, &d)| (x - mean) * d).sum::<T>();
                    into[k * n_channels + c] += scale * sum;
                }
                if let Some(into) = &mut into[2] {
                    into[k * n_channels + c] += delta.iter().copied().sum::<T>();
                }
            });
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
        let (block, n_channels) = (delta.len(), at.operands[2].values.len());
        for k in 0..k {
            self.channels(at, block, |c, scale, range| {
                let delta = &delta[range.clone()];
                if let (Some(moved), Some(into)) = (moved[1], &mut into[0]) {
                    super::add_scaled(&mut into[k * block..][range.clone()], moved[k * n_channels + c] * scale, delta);
                }
                if let (Some(moved), Some(into)) = (moved[0], &mut into[1]) {
                    into[k * n_channels + c] += scale * super::dot(&moved[k * block..][range], delta);
                }
            });
        }
    }
}
