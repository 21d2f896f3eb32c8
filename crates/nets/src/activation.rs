//! Elementwise activation functions with their first two derivatives.

use crate::Scalar;
use std::fmt;

/// An elementwise nonlinearity `σ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(z, 0)`; the derivative at 0 is 0, as in PyTorch. Piecewise linear: `σ'' = 0`.
    Relu,
    /// `tanh z`.
    Tanh,
    /// `z`.
    Identity,
}

impl Activation {
    /// `σ(z)`.
    #[inline]
    pub fn value<T: Scalar>(self, z: T) -> T {
        match self {
            Self::Relu => {
                if z > T::ZERO {
                    z
                } else {
                    T::ZERO
                }
            }
            Self::Tanh => z.hyperbolic_tangent(),
            Self::Identity => z,
        }
    }

    /// `σ'(z)`.
    #[inline]
    pub fn derivative<T: Scalar>(self, z: T) -> T {
        match self {
            Self::Relu => {
                if z > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
            Self::Tanh => {
                let t = z.hyperbolic_tangent();
                T::ONE - t * t
            }
            Self::Identity => T::ONE,
        }
    }

    /// `σ'(z)` written in terms of the output `σ(z)`, which spares the reverse pass the pre-activations.
    #[inline]
    pub fn derivative_from_output<T: Scalar>(self, output: T) -> T {
        match self {
            Self::Relu => {
                if output > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
            Self::Tanh => T::ONE - output * output,
            Self::Identity => T::ONE,
        }
    }

    /// `σ''(z)`; 0 for a piecewise-linear `σ`, its kinks included.
    #[inline]
    pub fn second_derivative<T: Scalar>(self, z: T) -> T {
        match self {
            Self::Relu | Self::Identity => T::ZERO,
            Self::Tanh => {
                let t = z.hyperbolic_tangent();
                -(T::ONE + T::ONE) * t * (T::ONE - t * t)
            }
        }
    }

    /// `σ''(z)` written in terms of the output `σ(z)`.
    #[inline]
    pub fn second_derivative_from_output<T: Scalar>(self, output: T) -> T {
        match self {
            Self::Relu | Self::Identity => T::ZERO,
            Self::Tanh => -(T::ONE + T::ONE) * output * (T::ONE - output * output),
        }
    }

    /// Whether `σ''` is other than 0 anywhere but at kinks.
    pub fn is_curved(self) -> bool {
        self == Self::Tanh
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Identity => "identity",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_agree_with_central_differences() {
        let step = 1e-4;
        for activation in [Activation::Relu, Activation::Tanh, Activation::Identity] {
            for z in [-2.0, -0.3, 0.2, 1.7_f64] {
                let difference = (activation.value(z + step) - activation.value(z - step)) / (2.0 * step);
                assert!((difference - activation.derivative(z)).abs() < 1e-8, "{activation} at {z}");
                let second = (activation.derivative(z + step) - activation.derivative(z - step)) / (2.0 * step);
                assert!((second - activation.second_derivative(z)).abs() < 1e-7, "{activation} at {z}");
                let from_output = activation.derivative_from_output(activation.value(z));
                assert!((from_output - activation.derivative(z)).abs() < 1e-15);
                let from_output = activation.second_derivative_from_output(activation.value(z));
                assert!((from_output - activation.second_derivative(z)).abs() < 1e-15);
            }
        }
    }
}
