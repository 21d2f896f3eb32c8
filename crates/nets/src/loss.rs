//! Losses of one sample, with gradient and Hessian in the logits (`MATH [3]`).

use crate::Scalar;
use faer::MatMut;
use std::fmt;
use std::str::FromStr;

/// The loss of one sample with logits `f` (`n_out` of them) and a class label; `q = softmax(f)`, `y` one-hot.
///
/// The mean over outputs, `1/n_out`, is part of both squared losses, as in PyTorch's `MSELoss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// `−log q_y`.
    CrossEntropy,
    /// `(1/n_out) ‖q − y‖²`: squared error behind a softmax, the paper's "MSE".
    SoftmaxMse,
    /// `(1/n_out) ‖f − y‖²`.
    LinearMse,
}

impl Loss {
    /// The loss, with its gradient in the logits `∂ℓ/∂f` written to `gradient`.
    ///
    /// # Panics
    /// When the lengths differ or `label ≥ n_out`.
    #[track_caller]
    pub fn value_and_gradient<T: Scalar>(self, logits: &[T], label: u8, gradient: &mut [T]) -> T {
        self.value_and_gradient_of(logits, usize::from(label), gradient)
    }

    /// The same for any number of classes.
    #[track_caller]
    pub(crate) fn value_and_gradient_of<T: Scalar>(self, logits: &[T], y: usize, gradient: &mut [T]) -> T {
        let n_out = logits.len();
        assert!(y < n_out, "label {y} needs more than the {n_out} logits there are");
        assert_eq!(gradient.len(), n_out, "one gradient entry a logit");
        let scale = T::of(2.0 / n_out as f64);
        match self {
            Self::CrossEntropy => {
                softmax(logits, gradient);
                let others = sum_of_others(gradient, y);
                let value = negative_log_probability(logits, y);
                gradient[y] = -others;
                value
            }
            Self::SoftmaxMse => {
                softmax(logits, gradient);
                let q = &mut *gradient;
                // r = q − y in place of q; the label's entry is −Σ_{c≠y} q_c, so q_y = 1 + r_y is recovered below.
                q[y] = -sum_of_others(q, y);
                let r = q;
                let probability = |r: &[T], c: usize| if c == y { T::ONE + r[c] } else { r[c] };
                let mut squared = T::ZERO;
                let mut q_dot_r = T::ZERO;
                let mut others_squared = T::ZERO;
                for (c, &residual) in r.iter().enumerate() {
                    squared += residual * residual;
                    q_dot_r += probability(r, c) * residual;
                    if c != y {
                        others_squared += residual * residual;
                    }
                }
                // D_q r = q ⊙ (r − q·r); for the label r_y − q·r = −(r_y² + Σ_{c≠y} q_c²), free of cancellation.
                let r_y = r[y];
                for c in 0..n_out {
                    let centred = if c == y { -(r_y * r_y + others_squared) } else { r[c] - q_dot_r };
                    r[c] = scale * probability(r, c) * centred;
                }
                squared / T::of(n_out as f64)
            }
            Self::LinearMse => {
                let mut squared = T::ZERO;
                for (c, (&f, g)) in logits.iter().zip(gradient.iter_mut()).enumerate() {
                    let r = if c == y { f - T::ONE } else { f };
                    squared += r * r;
                    *g = scale * r;
                }
                squared / T::of(n_out as f64)
            }
        }
    }

    /// The Hessian in the logits, `Q = ∂²ℓ/∂f²` (`n_out × n_out`, symmetric), written to `hessian`.
    ///
    /// `Q` is positive semidefinite for cross-entropy and linear MSE, and indefinite for softmax-MSE.
    /// `probabilities` is scratch of length `n_out`.
    ///
    /// # Panics
    /// When shapes differ or `label ≥ n_out`.
    #[track_caller]
    pub fn hessian<T: Scalar>(self, logits: &[T], label: u8, probabilities: &mut [T], mut hessian: MatMut<'_, T>) {
        let n_out = logits.len();
        let y = usize::from(label);
        assert!(y < n_out, "label {y} needs more than the {n_out} logits there are");
        assert!(hessian.nrows() == n_out && hessian.ncols() == n_out, "Q is n_out × n_out");
        if self == Self::LinearMse {
            let scale = T::of(2.0 / n_out as f64);
            hessian.fill(T::ZERO);
            for c in 0..n_out {
                hessian[(c, c)] = scale;
            }
            return;
        }
        softmax(logits, probabilities);
        let q = &*probabilities;
        // D_q, with 1 − q_a written as the sum of the other probabilities: exact for well-fitted samples.
        let d = |a: usize, b: usize| if a == b { q[a] * sum_of_others(q, a) } else { -q[a] * q[b] };
        if self == Self::CrossEntropy {
            fill_symmetric(hessian, d);
            return;
        }
        // Softmax-MSE: D_q D_q + Σ_c w_c (e_c e_cᵀ − D_q) with w_c = r_c q_c and e_c[a] = δ_ca − q_a.
        let scale = T::of(2.0 / n_out as f64);
        let weight = |c: usize| q[c] * if c == y { -sum_of_others(q, c) } else { q[c] };
        let offset = |c: usize, a: usize| if c == a { sum_of_others(q, a) } else { -q[a] };
        let w_total = (0..n_out).map(weight).sum::<T>();
        fill_symmetric(hessian, |a, b| {
            let mut sum = -w_total * d(a, b);
            for c in 0..n_out {
                sum += d(a, c) * d(c, b) + weight(c) * offset(c, a) * offset(c, b);
            }
            scale * sum
        });
    }

    /// The Gauss–Newton matrix in the logits, PSD: the curvature of the convex outer function of the loss alone, seen
    /// through the first derivatives of what it is a function of.
    ///
    /// The outer function takes the logits for cross-entropy and linear MSE, where this is [`Loss::hessian`], and the
    /// probabilities `q` for softmax-MSE, where it is `(2/n_out) D_q²`.
    ///
    /// # Panics
    /// As [`Loss::hessian`].
    #[track_caller]
    pub fn gauss_newton<T: Scalar>(self, logits: &[T], label: u8, probabilities: &mut [T], mut matrix: MatMut<'_, T>) {
        if self != Self::SoftmaxMse {
            return self.hessian(logits, label, probabilities, matrix);
        }
        let n_out = logits.len();
        assert!(matrix.nrows() == n_out && matrix.ncols() == n_out, "Q is n_out × n_out");
        softmax(logits, probabilities);
        let q = &*probabilities;
        let d = |a: usize, b: usize| if a == b { q[a] * sum_of_others(q, a) } else { -q[a] * q[b] };
        let scale = T::of(2.0 / n_out as f64);
        fill_symmetric(matrix.as_mut(), |a, b| scale * (0..n_out).map(|c| d(a, c) * d(c, b)).sum::<T>());
    }
}

/// Fills a matrix from its lower triangle, so that it is symmetric to the last bit.
fn fill_symmetric<T: Scalar>(mut matrix: MatMut<'_, T>, entry: impl Fn(usize, usize) -> T) {
    for b in 0..matrix.ncols() {
        for a in b..matrix.nrows() {
            let value = entry(a, b);
            matrix[(a, b)] = value;
            matrix[(b, a)] = value;
        }
    }
}

/// `Σ_{c≠a} q_c = 1 − q_a`, without the cancellation when `q_a` is close to 1.
#[inline]
pub(crate) fn sum_of_others<T: Scalar>(q: &[T], a: usize) -> T {
    let mut sum = T::ZERO;
    for (c, &value) in q.iter().enumerate() {
        if c != a {
            sum += value;
        }
    }
    sum
}

/// Writes `softmax(logits)` to `probabilities`, shifted by the largest logit against overflow.
pub(crate) fn softmax<T: Scalar>(logits: &[T], probabilities: &mut [T]) {
    let mut largest = logits[0];
    for &f in logits {
        if f > largest {
            largest = f;
        }
    }
    let mut total = T::ZERO;
    for (&f, q) in logits.iter().zip(probabilities.iter_mut()) {
        *q = (f - largest).exponential();
        total += *q;
    }
    let inverse = T::ONE / total;
    for q in probabilities.iter_mut() {
        *q *= inverse;
    }
}

/// `−log q_y = log Σ_c exp(f_c − f_y)`; relative accuracy is kept when it is tiny.
pub(crate) fn negative_log_probability<T: Scalar>(logits: &[T], y: usize) -> T {
    let mut largest = logits[y];
    for &f in logits {
        if f > largest {
            largest = f;
        }
    }
    let mut others = T::ZERO;
    for (c, &f) in logits.iter().enumerate() {
        if c != y {
            others += (f - largest).exponential();
        }
    }
    if largest == logits[y] {
        others.log_of_one_plus()
    } else {
        largest - logits[y] + (others + (logits[y] - largest).exponential()).natural_log()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CrossEntropy => "ce",
            Self::SoftmaxMse => "mse",
            Self::LinearMse => "linear-mse",
        })
    }
}

/// A loss name that is none of `ce`, `mse`, `linear-mse`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown loss {found:?}; known: ce, mse, linear-mse")]
pub struct UnknownLoss {
    /// What was given.
    pub found: String,
}

impl FromStr for Loss {
    type Err = UnknownLoss;
    fn from_str(s: &str) -> Result<Self, UnknownLoss> {
        match s {
            "ce" => Ok(Self::CrossEntropy),
            "mse" => Ok(Self::SoftmaxMse),
            "linear-mse" => Ok(Self::LinearMse),
            _ => Err(UnknownLoss { found: s.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    const LOSSES: [Loss; 3] = [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse];

    fn value(loss: Loss, f: &[f64], label: u8) -> f64 {
        loss.value_and_gradient(f, label, &mut vec![0.0; f.len()])
    }

    #[test]
    fn gradient_and_hessian_agree_with_differences() {
        let f = [0.3, -1.2, 2.0, 0.7];
        let step = 1e-5;
        for loss in LOSSES {
            let mut gradient = [0.0; 4];
            loss.value_and_gradient(&f, 2, &mut gradient);
            let mut hessian = Mat::zeros(4, 4);
            loss.hessian(&f, 2, &mut [0.0; 4], hessian.as_mut());
            for a in 0..4 {
                let (mut up, mut down) = (f, f);
                up[a] += step;
                down[a] -= step;
                let difference = (value(loss, &up, 2) - value(loss, &down, 2)) / (2.0 * step);
                assert!((difference - gradient[a]).abs() < 1e-9, "{loss} gradient {a}");
                let (mut g_up, mut g_down) = ([0.0; 4], [0.0; 4]);
                loss.value_and_gradient(&up, 2, &mut g_up);
                loss.value_and_gradient(&down, 2, &mut g_down);
                for b in 0..4 {
                    let second = (g_up[b] - g_down[b]) / (2.0 * step);
                    assert!((second - hessian[(a, b)]).abs() < 1e-9, "{loss} Hessian {a},{b}");
                    assert_eq!(hessian[(a, b)], hessian[(b, a)], "{loss} symmetric");
                }
            }
        }
    }

    #[test]
    fn well_fitted_samples_keep_their_relative_accuracy() {
        // q_other = e⁻⁴⁰/(1 + 2e⁻⁴⁰): far below the spacing of doubles near 1.
        let tiny = (-40.0_f64).exp();
        let f = [40.0, 0.0, 0.0];
        let mut gradient = [0.0; 3];
        let value = Loss::CrossEntropy.value_and_gradient(&f, 0, &mut gradient);
        assert!((value / (2.0 * tiny) - 1.0).abs() < 1e-14);
        assert!((gradient[0] / (-2.0 * tiny) - 1.0).abs() < 1e-14);
        let mut hessian = Mat::zeros(3, 3);
        Loss::CrossEntropy.hessian(&f, 0, &mut [0.0; 3], hessian.as_mut());
        assert!((hessian[(0, 0)] / (2.0 * tiny) - 1.0).abs() < 1e-14);
        // Softmax-MSE: r = (−2t, t, t), so ∂ℓ/∂f_0 = (2/3)·(−(4t² + 2t²)) to leading order.
        Loss::SoftmaxMse.value_and_gradient(&f, 0, &mut gradient);
        assert!((gradient[0] / (-4.0 * tiny * tiny) - 1.0).abs() < 1e-13);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        for loss in LOSSES {
            let mut gradient = [0.0; 3];
            let value: f64 = loss.value_and_gradient(&[800.0, -800.0, 0.0], 1, &mut gradient);
            assert!(value.is_finite() && gradient.iter().all(|g: &f64| g.is_finite()), "{loss}");
        }
    }

    #[test]
    fn known_values() {
        // Two equal logits: q = 1/2, so CE = ln 2 and softmax-MSE = (1/2)(1/4 + 1/4).
        assert!((value(Loss::CrossEntropy, &[0.0, 0.0], 0) - std::f64::consts::LN_2).abs() < 1e-15);
        assert!((value(Loss::SoftmaxMse, &[0.0, 0.0], 0) - 0.25).abs() < 1e-15);
        assert!((value(Loss::LinearMse, &[3.0, 1.0], 0) - 2.5).abs() < 1e-15);
    }

    #[test]
    fn names_round_trip() {
        for loss in LOSSES {
            assert_eq!(loss.to_string().parse(), Ok(loss));
        }
        assert!("hinge".parse::<Loss>().is_err());
    }
}
