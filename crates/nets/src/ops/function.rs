//! Elementwise functions, with their first two derivatives.

use super::{At, Given, Gradients, Misfit, Moved, Rule, exactly, len};
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

/// `√(2/π)` and the cubic coefficient of the tanh form of GELU.
const GELU: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);

/// `1/(1 + e⁻ˣ)` and `1/(1 + eˣ)`, either of them accurate where it is small.
fn sigmoid<T: Scalar>(x: T) -> (T, T) {
    let e = if x > T::ZERO { -x } else { x }.exponential();
    let (large, small) = (T::ONE / (T::ONE + e), e / (T::ONE + e));
    if x > T::ZERO { (large, small) } else { (small, large) }
}

/// `Φ(x)` and its density.
fn normal<T: Scalar>(x: T) -> (T, T) {
    let half = T::of(0.5);
    let distribution = half * (-x * T::of(std::f64::consts::FRAC_1_SQRT_2)).error_function_complement();
    (distribution, T::of(0.5 * GELU.0) * (-half * x * x).exponential())
}

impl Function {
    /// `σ(x)`.
    pub fn value<T: Scalar>(self, x: T) -> T {
        self.jet(x)[0]
    }

    /// `σ'(x)`.
    pub fn derivative<T: Scalar>(self, x: T) -> T {
        self.jet(x)[1]
    }

    /// `σ''(x)`; 0 at kinks.
    pub fn second_derivative<T: Scalar>(self, x: T) -> T {
        self.jet(x)[2]
    }

    /// `σ`, `σ'` and `σ''` at `x`, which share most of their work.
    #[inline]
    fn jet<T: Scalar>(self, x: T) -> [T; 3] {
        let (zero, one, two) = (T::ZERO, T::ONE, T::of(2.0));
        let step = |rises: bool| if rises { one } else { zero };
        let positive = x > zero;
        match self {
            // What is not a number stays so.
            Self::Relu => [if x <= zero { zero } else { x }, step(positive), zero],
            Self::LeakyRelu { .. } | Self::Elu { .. } if positive => [x, one, zero],
            Self::LeakyRelu { slope } => [T::of(slope) * x, T::of(slope), zero],
            Self::Elu { alpha } => {
                let slope = T::of(alpha) * x.exponential();
                [T::of(alpha * x.f64().exp_m1()), slope, if x < zero { slope } else { zero }]
            }
            Self::Gelu => {
                let (distribution, density) = normal(x);
                [x * distribution, distribution + x * density, density * (two - x * x)]
            }
            Self::GeluTanh => {
                let (c, a, half) = (T::of(GELU.0), T::of(GELU.1), T::of(0.5));
                let t = (c * (x + a * x * x * x)).hyperbolic_tangent();
                let (slope, bend) = (c * (one + T::of(3.0) * a * x * x), T::of(6.0) * a * c * x);
                let rest = one - t * t;
                let first = half * (one + t + x * rest * slope);
                [half * x * (one + t), first, rest * (slope + half * x * (bend - two * t * slope * slope))]
            }
            Self::Silu => {
                let (s, other) = sigmoid(x);
                [x * s, s + x * s * other, s * other * (two + x * (other - s))]
            }
            Self::Sigmoid => {
                let (s, other) = sigmoid(x);
                [s, s * other, s * other * (other - s)]
            }
            Self::Tanh => {
                let t = x.hyperbolic_tangent();
                [t, one - t * t, -two * t * (one - t * t)]
            }
            Self::Softplus { beta, threshold } => {
                let (beta, threshold) = (T::of(beta), T::of(threshold));
                let scaled = beta * x;
                let (s, other) = sigmoid(scaled);
                let bend = if scaled < threshold { beta * s * other } else { zero };
                match scaled > threshold {
                    true => [x, one, zero],
                    false => [scaled.exponential().log_of_one_plus() / beta, s, bend],
                }
            }
            Self::Hardtanh { min, max } | Self::Clip { min, max } => {
                let (min, max) = (T::of(min), T::of(max));
                let inside = match self {
                    Self::Clip { .. } => x >= min && x <= max,
                    _ => x > min && x < max,
                };
                let held = if x < min { min } else { x };
                [if held > max { max } else { held }, step(inside), zero]
            }
            Self::Erf => {
                let slope = T::of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exponential();
                [x.error_function(), slope, -two * x * slope]
            }
            Self::Exp => [x.exponential(); 3],
            Self::Log => [x.natural_log(), one / x, -one / (x * x)],
            Self::Sqrt => {
                let root = x.square_root();
                [root, T::of(0.5) / root, T::of(-0.25) / (x * root)]
            }
            Self::Reciprocal => [one / x, -one / (x * x), two / (x * x * x)],
            Self::Abs => [if x < zero { -x } else { x }, step(positive) - step(x < zero), zero],
            Self::Negate => [-x, -one, zero],
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

    fn saved(&self, at: &[usize]) -> usize {
        if self.is_curved() { 2 * len(at) } else { 0 }
    }

    fn forward_saving<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T], saved: &mut [T]) {
        if !self.is_curved() {
            return self.forward(at, out);
        }
        let (slopes, bends) = saved.split_at_mut(out.len());
        let numbers = out.iter_mut().zip(slopes).zip(bends).zip(at.operands[0].values);
        numbers.for_each(|(((y, slope), bend), &x)| [*y, *slope, *bend] = self.jet(x));
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, _k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        if let Some(moved) = moved[0] {
            self.times_slope(at, moved, out, |y, x| *y = x);
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, _k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        if let Some(into) = &mut into[0] {
            self.times_slope(at, delta, into, |x, d| *x += d);
        }
    }

    fn bends(&self, moves: &[bool]) -> bool {
        self.is_curved() && moves[0]
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        _k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        let (true, Some(moved), Some(into)) = (self.is_curved(), moved[0], &mut into[0]) else { return };
        let n = delta.len();
        for (moved, into) in moved.chunks_exact(n).zip(into.chunks_exact_mut(n)) {
            let numbers = into.iter_mut().zip(moved).zip(&at.saved[n..]).zip(delta);
            numbers.for_each(|(((x, &moved), &bend), &d)| *x += bend * moved * d);
        }
    }
}

impl Function {
    /// `σ'(x) v` for every block of `v`, given to `each`.
    fn times_slope<T: Scalar>(&self, at: &At<'_, T>, v: &[T], out: &mut [T], each: impl Fn(&mut T, T)) {
        let x = at.operands[0].values;
        for (v, out) in v.chunks_exact(x.len()).zip(out.chunks_exact_mut(x.len())) {
            let numbers = out.iter_mut().zip(v);
            match self {
                // Apart, so that it vectorises.
                Self::Relu => {
                    numbers.zip(x).for_each(|((out, &v), &x)| each(out, if x > T::ZERO { v } else { T::ZERO }))
                }
                _ if self.is_curved() => numbers.zip(at.saved).for_each(|((out, &v), &slope)| each(out, slope * v)),
                _ => numbers.zip(x).for_each(|((out, &v), &x)| each(out, self.derivative(x) * v)),
            }
        }
    }
}
