//! Elementwise functions, with their first two derivatives.

use super::{At, Given, Gradients, Misfit, Moved, Rule, exactly};
use crate::Scalar;

/// `y = σ(x)`, entry by entry.
///
/// Kinks are PyTorch's: the derivative there is the one that its autograd gives, and `σ'' = 0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `max(x, 0)`; `σ'(0) = 0`.
    Relu,
    /// `x` above 0, else `slope · x`; `σ'(0) = slope`.
    LeakyRelu {
        /// At and below 0.
        slope: f64,
    },
    /// `x` above 0, else `alpha · (eˣ − 1)`; `σ'(0) = alpha`, `σ''(0) = 0`.
    Elu {
        /// `−alpha` is the limit far below 0.
        alpha: f64,
    },
    /// `x Φ(x)`, `Φ` the normal distribution function.
    Gelu,
    /// `½x (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    GeluTanh,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `ln(1 + e^(beta x)) / beta`, and `x` where `beta x` is above `threshold`.
    Softplus {
        /// PyTorch's default is 1.
        beta: f64,
        /// PyTorch's default is 20.
        threshold: f64,
    },
    /// `min(max(x, min), max)`, flat at both ends: PyTorch's `Hardtanh` and `ReLU6`.
    Hardtanh {
        /// The least value.
        min: f64,
        /// The largest value.
        max: f64,
    },
    /// `min(max(x, min), max)`, with slope 1 at both ends: PyTorch's `clamp`.
    Clip {
        /// The least value.
        min: f64,
        /// The largest value.
        max: f64,
    },
    /// `erf x`.
    Erf,
    /// `eˣ`.
    Exp,
    /// `ln x`, for `x > 0`.
    Log,
    /// `√x`, for `x > 0` where it is differentiated.
    Sqrt,
    /// `1/x`, for `x ≠ 0`.
    Reciprocal,
    /// `|x|`; `σ'(0) = 0`.
    Abs,
    /// `−x`.
    Negate,
}

/// Entries whose derivatives are held at a time.
const PIECE: usize = 256;
/// `√(2/π)` and the cubic coefficient of the tanh form of GELU.
const GELU: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);

fn sigmoid<T: Scalar>(x: T) -> T {
    let e = if x > T::ZERO { (-x).exponential() } else { x.exponential() };
    if x > T::ZERO { T::ONE / (T::ONE + e) } else { e / (T::ONE + e) }
}

/// `Φ(x)` and its density.
fn normal<T: Scalar>(x: T) -> (T, T) {
    let half = T::of(0.5);
    let distribution = half * (-x * T::of(std::f64::consts::FRAC_1_SQRT_2)).error_function_complement();
    (distribution, T::of(0.5 * GELU.0) * (-half * x * x).exponential())
}

/// `tanh u` of the tanh form of GELU, with `u'` and `u''`.
fn gelu_tanh<T: Scalar>(x: T) -> (T, T, T) {
    let (c, a) = (T::of(GELU.0), T::of(GELU.1));
    let u = c * (x + a * x * x * x);
    (u.hyperbolic_tangent(), c * (T::ONE + T::of(3.0) * a * x * x), T::of(6.0) * a * c * x)
}

impl Function {
    /// `σ(x)`.
    #[inline]
    pub fn value<T: Scalar>(self, x: T) -> T {
        let positive = x > T::ZERO;
        match self {
            // What is not a number stays so.
            Self::Relu if x <= T::ZERO => T::ZERO,
            Self::Relu => x,
            Self::LeakyRelu { slope } => {
                if positive {
                    x
                } else {
                    T::of(slope) * x
                }
            }
            Self::Elu { alpha } => {
                if positive {
                    x
                } else {
                    T::of(alpha) * exponential_minus_one(x)
                }
            }
            Self::Gelu => x * normal(x).0,
            Self::GeluTanh => T::of(0.5) * x * (T::ONE + gelu_tanh(x).0),
            Self::Silu => x * sigmoid(x),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.hyperbolic_tangent(),
            Self::Softplus { beta, threshold } => {
                let scaled = T::of(beta) * x;
                if scaled > T::of(threshold) { x } else { scaled.exponential().log_of_one_plus() / T::of(beta) }
            }
            Self::Hardtanh { min, max } | Self::Clip { min, max } => {
                let (min, max) = (T::of(min), T::of(max));
                if x < min {
                    min
                } else if x > max {
                    max
                } else {
                    x
                }
            }
            Self::Erf => x.error_function(),
            Self::Exp => x.exponential(),
            Self::Log => x.natural_log(),
            Self::Sqrt => x.square_root(),
            Self::Reciprocal => T::ONE / x,
            Self::Abs => {
                if x < T::ZERO {
                    -x
                } else {
                    x
                }
            }
            Self::Negate => -x,
        }
    }

    /// `σ'(x)`.
    #[inline]
    pub fn derivative<T: Scalar>(self, x: T) -> T {
        let step = |rises: bool| if rises { T::ONE } else { T::ZERO };
        let positive = x > T::ZERO;
        match self {
            Self::Relu => step(positive),
            Self::LeakyRelu { slope } => {
                if positive {
                    T::ONE
                } else {
                    T::of(slope)
                }
            }
            Self::Elu { alpha } => {
                if positive {
                    T::ONE
                } else {
                    T::of(alpha) * x.exponential()
                }
            }
            Self::Gelu => {
                let (distribution, density) = normal(x);
                distribution + x * density
            }
            Self::GeluTanh => {
                let (t, u, _) = gelu_tanh(x);
                T::of(0.5) * (T::ONE + t + x * (T::ONE - t * t) * u)
            }
            Self::Silu => {
                let s = sigmoid(x);
                s + x * s * sigmoid(-x)
            }
            Self::Sigmoid => sigmoid(x) * sigmoid(-x),
            Self::Tanh => {
                let t = x.hyperbolic_tangent();
                T::ONE - t * t
            }
            Self::Softplus { beta, threshold } => {
                let scaled = T::of(beta) * x;
                if scaled > T::of(threshold) { T::ONE } else { sigmoid(scaled) }
            }
            Self::Hardtanh { min, max } => step(x > T::of(min) && x < T::of(max)),
            Self::Clip { min, max } => step(x >= T::of(min) && x <= T::of(max)),
            Self::Erf => T::of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exponential(),
            Self::Exp => x.exponential(),
            Self::Log => T::ONE / x,
            Self::Sqrt => T::of(0.5) / x.square_root(),
            Self::Reciprocal => -T::ONE / (x * x),
            Self::Abs => step(positive) - step(x < T::ZERO),
            Self::Negate => -T::ONE,
        }
    }

    /// `σ''(x)`; 0 at kinks.
    #[inline]
    pub fn second_derivative<T: Scalar>(self, x: T) -> T {
        let two = T::of(2.0);
        match self {
            Self::Relu | Self::LeakyRelu { .. } | Self::Abs | Self::Negate => T::ZERO,
            Self::Hardtanh { .. } | Self::Clip { .. } => T::ZERO,
            Self::Elu { alpha } => {
                if x < T::ZERO {
                    T::of(alpha) * x.exponential()
                } else {
                    T::ZERO
                }
            }
            Self::Gelu => normal(x).1 * (two - x * x),
            Self::GeluTanh => {
                let (t, u, bend) = gelu_tanh(x);
                (T::ONE - t * t) * (u + T::of(0.5) * x * (bend - two * t * u * u))
            }
            Self::Silu => {
                let (s, other) = (sigmoid(x), sigmoid(-x));
                s * other * (two + x * (other - s))
            }
            Self::Sigmoid => {
                let (s, other) = (sigmoid(x), sigmoid(-x));
                s * other * (other - s)
            }
            Self::Tanh => {
                let t = x.hyperbolic_tangent();
                -two * t * (T::ONE - t * t)
            }
            Self::Softplus { beta, threshold } => {
                let scaled = T::of(beta) * x;
                let curved = scaled < T::of(threshold);
                if curved { T::of(beta) * sigmoid(scaled) * sigmoid(-scaled) } else { T::ZERO }
            }
            Self::Erf => -two * x * self.derivative(x),
            Self::Exp => x.exponential(),
            Self::Log => -T::ONE / (x * x),
            Self::Sqrt => T::of(-0.25) / (x * x.square_root()),
            Self::Reciprocal => two / (x * x * x),
        }
    }

    /// Whether `σ''` is other than 0 anywhere.
    pub fn is_curved(self) -> bool {
        !matches!(
            self,
            Self::Relu | Self::LeakyRelu { .. } | Self::Hardtanh { .. } | Self::Clip { .. } | Self::Abs | Self::Negate
        )
    }
}

/// `eˣ − 1`, accurate near 0.
fn exponential_minus_one<T: Scalar>(x: T) -> T {
    T::of(x.f64().exp_m1())
}

/// Calls `each(range, slopes)` with `slope(x)` of a piece of the entries at a time.
fn in_pieces<T: Scalar>(x: &[T], slope: impl Fn(T) -> T, mut each: impl FnMut(std::ops::Range<usize>, &[T])) {
    let mut slopes = [T::ZERO; PIECE];
    for (piece, x) in x.chunks(PIECE).enumerate() {
        let slopes = &mut slopes[..x.len()];
        slopes.iter_mut().zip(x).for_each(|(s, &x)| *s = slope(x));
        each(piece * PIECE..piece * PIECE + x.len(), slopes);
    }
}

impl Rule for Function {
    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky-relu",
            Self::Elu { .. } => "elu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Silu => "silu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus { .. } => "softplus",
            Self::Hardtanh { .. } => "hardtanh",
            Self::Clip { .. } => "clip",
            Self::Erf => "erf",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
            Self::Reciprocal => "reciprocal",
            Self::Abs => "abs",
            Self::Negate => "negate",
        }
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x] = exactly(given)?;
        Ok(x.shape.to_vec())
    }

    fn check<T: Scalar>(&self, at: &At<'_, T>, differentiate: bool) -> Option<(usize, Misfit)> {
        let (fits, expected): (fn(&T) -> bool, _) = match self {
            Self::Log => (|x| *x > T::ZERO, "x > 0"),
            Self::Sqrt if differentiate => (|x| *x > T::ZERO, "x > 0, where √x has derivatives"),
            Self::Sqrt => (|x| *x >= T::ZERO, "x ≥ 0"),
            Self::Reciprocal => (|x| *x != T::ZERO, "x ≠ 0"),
            _ => return None,
        };
        let x = at.operands[0];
        let wrong = x.values.iter().position(|x| !fits(x))?;
        Some((wrong / x.dim(), Misfit::new(format!("x = {}", x.values[wrong]), expected)))
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let x = at.operands[0].values;
        match self {
            // Apart, so that it vectorises.
            Self::Relu => out.iter_mut().zip(x).for_each(|(y, &x)| *y = if x <= T::ZERO { T::ZERO } else { x }),
            _ => out.iter_mut().zip(x).for_each(|(y, &x)| *y = self.value(x)),
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let Some(moved) = moved[0] else { return };
        let block = out.len() / k;
        in_pieces(
            at.operands[0].values,
            |x| self.derivative(x),
            |range, slopes| {
                for (moved, out) in moved.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
                    let numbers = out[range.clone()].iter_mut().zip(&moved[range.clone()]).zip(slopes);
                    numbers.for_each(|((y, &x), &slope)| *y = slope * x);
                }
            },
        );
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let Some(into) = &mut into[0] else { return };
        let block = into.len() / k;
        in_pieces(
            at.operands[0].values,
            |x| self.derivative(x),
            |range, slopes| {
                for (delta, into) in delta.chunks_exact(block).zip(into.chunks_exact_mut(block)) {
                    let numbers = into[range.clone()].iter_mut().zip(&delta[range.clone()]).zip(slopes);
                    numbers.for_each(|((x, &d), &slope)| *x += slope * d);
                }
            },
        );
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        let (true, Some(moved), Some(into)) = (self.is_curved(), moved[0], &mut into[0]) else { return };
        let block = into.len() / k;
        in_pieces(
            at.operands[0].values,
            |x| self.second_derivative(x),
            |range, bends| {
                let delta = &delta[range.clone()];
                for (moved, into) in moved.chunks_exact(block).zip(into.chunks_exact_mut(block)) {
                    let numbers = into[range.clone()].iter_mut().zip(&moved[range.clone()]).zip(bends).zip(delta);
                    numbers.for_each(|(((x, &moved), &bend), &d)| *x += bend * moved * d);
                }
            },
        );
    }
}
