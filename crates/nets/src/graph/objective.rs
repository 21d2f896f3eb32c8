//! Losses of what a graph gives: over one or many outputs of a sample, with gradient and Hessian in them.

use super::GraphSamples;
use crate::loss::{negative_log_probability, softmax, sum_of_others};
use crate::ops::{dot, len, shown};
use crate::{Loss, Scalar};

/// The loss of one sample, `ℓ_p(w) = scale · Σ_t l(f_t, y_t) + ½ l2 ‖w‖²`, with outputs `f_t` and targets `y_t`.
///
/// The penalty runs over all parameters and is part of every sample's loss. So it adds `l2 · w` to every gradient and
/// `l2 · I` to every Hessian `h_p`, and to their means; it leaves the noise covariance as it is, and `E_p[h_p²]` is
/// that of the penalised `h_p`.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The loss `l` of one output.
    pub criterion: Criterion,
    /// In front of the sum over outputs; `None` for one over their number, ignored ones counted.
    ///
    /// PyTorch's mean over a set divides by the set's sum of class weights instead: see [`Objective::as_mean_over`].
    pub scale: Option<f64>,
    /// Weight of the penalty, 0 for none: PyTorch's `weight_decay`.
    pub l2: f64,
}

/// The loss of one output.
///
/// What an output is, is the last axis of a value `(…, n_out)` for all but [`Criterion::BinaryCrossEntropy`]. Axes in
/// front are outputs of the same sample, with a target each.
#[derive(Clone, Debug, PartialEq)]
pub enum Criterion {
    /// `Σ_c t_c (−log q_c)` with `q = softmax(f)`, `t_c = (1 − ε) w_y [c = y] + (ε/n_out) w_c`; targets are classes
    /// `y`.
    CrossEntropy {
        /// `w_c`, 1 for all if there are none.
        class_weights: Option<Vec<f64>>,
        /// `ε`, from 0 to 1.
        label_smoothing: f64,
        /// The target whose outputs cost nothing: −100 in PyTorch.
        ignored: Option<i64>,
    },
    /// `(1/n_out) ‖softmax(f) − y‖²`, `y` one-hot; targets are classes.
    SoftmaxMse,
    /// `(1/n_out) ‖f − y‖²`; targets are `n_out` real numbers an output.
    LinearMse,
    /// `log(1 + e^f) − y f`: every entry is the logit of an output of its own, its target a probability, mostly 0 or 1.
    BinaryCrossEntropy,
}

/// Outputs or targets that an objective does not fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ObjectiveError {
    /// The value has no axis of classes.
    #[error("outputs with classes along their last axis, found shape {found}")]
    NoClasses {
        /// Its shape.
        found: String,
    },
    /// Another number of class weights than of classes, or one that is no weight.
    #[error("{n_out} class weights, finite and not negative, found {found}")]
    ClassWeights {
        /// Classes that there are.
        n_out: usize,
        /// Weights that were given, as many as there are.
        found: String,
    },
    /// No such smoothing, scale or penalty.
    #[error("{quantity} from {least} to {most}, found {found}")]
    Quantity {
        /// Which.
        quantity: &'static str,
        /// The least that it may be.
        least: f64,
        /// The most.
        most: f64,
        /// What it is.
        found: f64,
    },
    /// A target is no class.
    #[error("a class below {n_out}{}, found {found}", ignored.map_or(String::new(), |i| format!(" or {i}")))]
    Class {
        /// Classes that there are.
        n_out: usize,
        /// The target that is ignored.
        ignored: Option<i64>,
        /// What was found.
        found: f64,
    },
    /// A target is no number, or no probability.
    #[error("{expected}, found {found}")]
    Target {
        /// What it may be.
        expected: &'static str,
        /// What was found.
        found: f64,
    },
}

impl From<Criterion> for Objective {
    fn from(criterion: Criterion) -> Self {
        Self { criterion, scale: None, l2: 0.0 }
    }
}

/// A network's loss of one class a sample; for linear MSE targets are one-hot, as [`Labelled`](super::Labelled) writes
/// them.
impl From<Loss> for Objective {
    fn from(loss: Loss) -> Self {
        Self::from(match loss {
            Loss::CrossEntropy => Criterion::cross_entropy(),
            Loss::SoftmaxMse => Criterion::SoftmaxMse,
            Loss::LinearMse => Criterion::LinearMse,
        })
    }
}

impl Criterion {
    /// Cross-entropy without weights or smoothing; −100 is ignored.
    pub fn cross_entropy() -> Self {
        Self::CrossEntropy { class_weights: None, label_smoothing: 0.0, ignored: Some(-100) }
    }

    /// Entries of one output.
    fn width(&self, shape: &[usize]) -> usize {
        match self {
            Self::BinaryCrossEntropy => 1,
            _ => shape.last().copied().unwrap_or(1),
        }
    }

    /// `Σ_c t_c` and `t_y`, `None` where the output costs nothing.
    fn label_weights<T: Scalar>(&self, n_out: usize, target: f64) -> Option<Label<T>> {
        let Self::CrossEntropy { class_weights, label_smoothing, ignored } = self else {
            return Some(Label { y: target as usize, total: T::ONE });
        };
        if ignored.is_some_and(|ignored| ignored as f64 == target) {
            return None;
        }
        let y = target as usize;
        let weight = |c: usize| class_weights.as_ref().map_or(1.0, |weights| weights[c]);
        let smooth = if *label_smoothing > 0.0 {
            label_smoothing / n_out as f64 * (0..n_out).map(weight).sum::<f64>()
        } else {
            0.0
        };
        Some(Label { y, total: T::of((1.0 - label_smoothing) * weight(y) + smooth) })
    }

    /// `t_c` but for what is on the label.
    fn smooth<T: Scalar>(&self, n_out: usize, c: usize) -> T {
        let Self::CrossEntropy { class_weights, label_smoothing, .. } = self else { return T::ZERO };
        T::of(label_smoothing / n_out as f64 * class_weights.as_ref().map_or(1.0, |weights| weights[c]))
    }

    /// Writes `∂l/∂f`; returns `l`.
    fn value_and_gradient<T: Scalar>(&self, f: &[T], target: &[f64], gradient: &mut [T]) -> T {
        let n_out = f.len();
        match self {
            Self::CrossEntropy { label_smoothing, .. } => {
                let Some(Label { y, total }) = self.label_weights::<T>(n_out, target[0]) else {
                    gradient.fill(T::ZERO);
                    return T::ZERO;
                };
                let surprise = negative_log_probability(f, y);
                softmax(f, gradient);
                gradient[y] = -sum_of_others(gradient, y);
                gradient.iter_mut().for_each(|g| *g *= total);
                let mut value = total * surprise;
                if *label_smoothing > 0.0 {
                    for c in (0..n_out).filter(|&c| c != y) {
                        let t = self.smooth::<T>(n_out, c);
                        gradient[c] += -t;
                        gradient[y] += t;
                        value += t * (f[y] - f[c]);
                    }
                }
                value
            }
            Self::SoftmaxMse => Loss::SoftmaxMse.value_and_gradient_of(f, target[0] as usize, gradient),
            Self::LinearMse => {
                let mut squared = T::ZERO;
                for ((g, &f), &y) in gradient.iter_mut().zip(f).zip(target) {
                    let r = f - T::of(y);
                    squared += r * r;
                    *g = T::of(2.0 / n_out as f64) * r;
                }
                squared / T::of(n_out as f64)
            }
            Self::BinaryCrossEntropy => {
                let y = T::of(target[0]);
                let e = (if f[0] > T::ZERO { -f[0] } else { f[0] }).exponential();
                let positive = if f[0] > T::ZERO { f[0] } else { T::ZERO };
                let one_sided = if f[0] > T::ZERO { T::ONE } else { e } / (T::ONE + e);
                // σ(f) − 1 without cancellation where y is 1.
                let other = if f[0] > T::ZERO { e } else { T::ONE } / (T::ONE + e);
                gradient[0] = (T::ONE - y) * one_sided - y * other;
                (T::ONE - y) * positive + y * (positive - f[0]) + e.log_of_one_plus()
            }
        }
    }

    /// Writes `(∂²l/∂f²) v`, or the Gauss–Newton matrix's product with `v`.
    fn times<T: Scalar>(&self, order: Order, f: &[T], target: &[f64], q: &mut [T], v: &[T], out: &mut [T]) {
        let n_out = f.len();
        match self {
            Self::CrossEntropy { .. } | Self::SoftmaxMse => {
                let Some(Label { y, total }) = self.label_weights::<T>(n_out, target[0]) else {
                    return out.fill(T::ZERO);
                };
                softmax(f, q);
                // Seen from the label nothing cancels where its probability is near 1.
                let along = q.iter().zip(v).map(|(&q, &x)| q * (x - v[y])).sum::<T>();
                let centred = |c: usize| (v[c] - v[y]) - along;
                if let Self::CrossEntropy { .. } = self {
                    return out.iter_mut().enumerate().for_each(|(c, out)| *out = total * q[c] * centred(c));
                }
                let scale = T::of(2.0 / n_out as f64);
                // D v, and then D (D v) with its mean taken off from the label too.
                let d = |c: usize| q[c] * centred(c);
                let label = d(y);
                let mean = (0..n_out).map(|c| q[c] * (d(c) - label)).sum::<T>();
                let residual = |c: usize| if c == y { -sum_of_others(q, y) } else { q[c] };
                let (r_y, squares) = (residual(y), (0..n_out).filter(|&c| c != y).map(|c| q[c] * q[c]).sum::<T>());
                let w_total = q[y] * r_y + squares;
                let crossed = (0..n_out).map(|c| q[c] * residual(c) * centred(c)).sum::<T>();
                for (c, out) in out.iter_mut().enumerate() {
                    *out = scale * q[c] * ((d(c) - label) - mean);
                    if order == Order::Hessian {
                        // Σ_b r_b ∇²q_b: outer products of unit vectors less q, less their mean.
                        let own = q[c] * residual(c) * centred(c);
                        *out += scale * (own - q[c] * crossed - w_total * d(c));
                    }
                }
            }
            Self::LinearMse => out.iter_mut().zip(v).for_each(|(out, &v)| *out = T::of(2.0 / n_out as f64) * v),
            Self::BinaryCrossEntropy => {
                let e = (if f[0] > T::ZERO { -f[0] } else { f[0] }).exponential();
                out[0] = e / ((T::ONE + e) * (T::ONE + e)) * v[0];
            }
        }
    }
}

/// A label, and the sum of the weights of all classes of its output.
struct Label<T> {
    y: usize,
    total: T,
}

/// Which matrix in the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Hessian,
    /// Of the convex outer function alone, as in [`Loss::gauss_newton`].
    GaussNewton,
}

impl Objective {
    /// Entries of the target of one sample whose outputs have this shape.
    pub fn target_len(&self, shape: &[usize]) -> usize {
        match self.criterion {
            Criterion::LinearMse | Criterion::BinaryCrossEntropy => len(shape),
            _ => len(shape) / self.criterion.width(shape),
        }
    }

    /// Whether outputs of this shape have such a loss.
    ///
    /// # Errors
    /// When there is no axis of classes, or class weights, smoothing, scale or penalty are none.
    pub fn fits(&self, shape: &[usize]) -> Result<(), ObjectiveError> {
        let within = |quantity, found: f64, least, most| match (least..=most).contains(&found) {
            true => Ok(()),
            false => Err(ObjectiveError::Quantity { quantity, least, most, found }),
        };
        within("an L2 penalty", self.l2, 0.0, f64::MAX)?;
        within("a scale", self.scale.unwrap_or(1.0), 0.0, f64::MAX)?;
        if shape.is_empty() && self.criterion != Criterion::BinaryCrossEntropy {
            return Err(ObjectiveError::NoClasses { found: shown(shape) });
        }
        if let Criterion::CrossEntropy { class_weights, label_smoothing, .. } = &self.criterion {
            within("label smoothing", *label_smoothing, 0.0, 1.0)?;
            let n_out = self.criterion.width(shape);
            let wrong = |w: &Vec<f64>| w.len() != n_out || w.iter().any(|w| !w.is_finite() || *w < 0.0);
            if let Some(weights) = class_weights.as_ref().filter(|weights| wrong(weights)) {
                let found = format!("{} of them, {weights:?}", weights.len());
                return Err(ObjectiveError::ClassWeights { n_out, found });
            }
        }
        Ok(())
    }

    /// Whether a target of outputs of this shape is one.
    ///
    /// # Errors
    /// When it is not a class, not finite, or not a probability.
    pub fn check_target(&self, shape: &[usize], target: &[f64]) -> Result<(), ObjectiveError> {
        let n_out = self.criterion.width(shape);
        let wrong = |fits: &dyn Fn(f64) -> bool| target.iter().copied().find(|&y| !fits(y));
        let class = |y: f64| y >= 0.0 && y.fract() == 0.0 && y < n_out as f64;
        match &self.criterion {
            Criterion::CrossEntropy { ignored, .. } => {
                let fits = |y: f64| class(y) || ignored.is_some_and(|ignored| ignored as f64 == y);
                wrong(&fits).map_or(Ok(()), |found| Err(ObjectiveError::Class { n_out, ignored: *ignored, found }))
            }
            Criterion::SoftmaxMse => {
                wrong(&class).map_or(Ok(()), |found| Err(ObjectiveError::Class { n_out, ignored: None, found }))
            }
            Criterion::LinearMse => wrong(&f64::is_finite)
                .map_or(Ok(()), |found| Err(ObjectiveError::Target { expected: "a finite number", found })),
            Criterion::BinaryCrossEntropy => wrong(&|y| (0.0..=1.0).contains(&y))
                .map_or(Ok(()), |found| Err(ObjectiveError::Target { expected: "a number from 0 to 1", found })),
        }
    }

    /// The same objective with the scale that makes the mean over `samples` PyTorch's `reduction="mean"` over all
    /// their outputs: `Σ l / Σ w_y`, outputs that are ignored left out. Without any that counts it is 0.
    pub fn as_mean_over<T>(self, shape: &[usize], samples: &impl GraphSamples<T>) -> Self {
        let mut target = vec![0.0; self.target_len(shape)];
        let weight = |y: f64| match &self.criterion {
            Criterion::CrossEntropy { ignored, .. } if ignored.is_some_and(|i| i as f64 == y) => 0.0,
            Criterion::CrossEntropy { class_weights: Some(weights), .. } => weights[y as usize],
            Criterion::LinearMse => 1.0 / self.criterion.width(shape) as f64,
            _ => 1.0,
        };
        let mut total = 0.0;
        for p in 0..samples.n_samples() {
            samples.write_target(p, &mut target);
            total += target.iter().map(|&y| weight(y)).sum::<f64>();
        }
        let scale = if total > 0.0 { samples.n_samples() as f64 / total } else { 0.0 };
        Self { scale: Some(scale), ..self }
    }

    fn scale<T: Scalar>(&self, shape: &[usize]) -> T {
        T::of(self.scale.unwrap_or(self.criterion.width(shape) as f64 / len(shape) as f64))
    }

    /// Pieces of outputs and targets of one sample that belong together.
    fn outputs<'a>(&self, shape: &[usize], target: &'a [f64]) -> (usize, impl Iterator<Item = &'a [f64]> + 'a) {
        let width = self.criterion.width(shape);
        let own = target.len() * width / len(shape);
        (width, target.chunks_exact(own))
    }

    /// The loss of one sample without the penalty, with its gradient in the outputs written to `gradient`.
    ///
    /// # Panics
    /// When lengths differ, or a target is none of [`Objective::check_target`].
    #[track_caller]
    pub fn value_and_gradient<T: Scalar>(&self, shape: &[usize], f: &[T], target: &[f64], gradient: &mut [T]) -> T {
        let scale = self.scale::<T>(shape);
        let (width, targets) = self.outputs(shape, target);
        let mut value = T::ZERO;
        for ((f, gradient), target) in f.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).zip(targets) {
            value += scale * self.criterion.value_and_gradient(f, target, gradient);
            gradient.iter_mut().for_each(|g| *g *= scale);
        }
        value
    }

    /// Products with the Hessian, or the Gauss–Newton matrix, in the outputs of one sample.
    pub(super) fn times<T: Scalar>(
        &self,
        order: Order,
        shape: &[usize],
        f: &[T],
        target: &[f64],
        v: &[T],
        out: &mut [T],
    ) {
        let scale = self.scale::<T>(shape);
        let (width, targets) = self.outputs(shape, target);
        let mut q = vec![T::ZERO; width];
        let pieces = f.chunks_exact(width).zip(v.chunks_exact(width)).zip(out.chunks_exact_mut(width));
        for (((f, v), out), target) in pieces.zip(targets) {
            self.criterion.times(order, f, target, &mut q, v, out);
            out.iter_mut().for_each(|out| *out *= scale);
        }
    }

    /// The penalty.
    pub(super) fn penalty<T: Scalar>(&self, params: &[T]) -> f64 {
        if self.l2 == 0.0 { 0.0 } else { 0.5 * self.l2 * dot(params, params).f64() }
    }
}
