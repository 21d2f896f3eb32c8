//! Numbers that carry two first derivatives and the mixed second one.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value, its derivatives in two directions and its mixed second derivative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyperDual {
    pub(crate) value: f64,
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) mixed: f64,
}

pub(crate) fn constant(value: f64) -> HyperDual {
    HyperDual { value, first: 0.0, second: 0.0, mixed: 0.0 }
}

impl HyperDual {
    /// `f(self)`, from `f` and two derivatives at the value.
    fn lift(self, f: [f64; 3]) -> Self {
        Self {
            value: f[0],
            first: f[1] * self.first,
            second: f[1] * self.second,
            mixed: f[1] * self.mixed + f[2] * self.first * self.second,
        }
    }
    pub(super) fn exp(self) -> Self {
        self.lift([self.value.exp(); 3])
    }
    pub(super) fn ln(self) -> Self {
        self.lift([self.value.ln(), 1.0 / self.value, -1.0 / (self.value * self.value)])
    }
    pub(super) fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.lift([root, 0.5 / root, -0.25 / (root * self.value)])
    }
    pub(super) fn recip(self) -> Self {
        let r = 1.0 / self.value;
        self.lift([r, -r * r, 2.0 * r * r * r])
    }
    pub(super) fn erf(self) -> Self {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-self.value * self.value).exp();
        self.lift([libm::erf(self.value), slope, -2.0 * self.value * slope])
    }
    pub(super) fn whole_power(self, n: u32) -> Self {
        (0..n).fold(constant(1.0), |product, _| product * self)
    }
    pub(super) fn tanh(self) -> Self {
        let e = (constant(2.0) * self).exp();
        constant(1.0) - constant(2.0) / (e + constant(1.0))
    }
    pub(super) fn sigmoid(self) -> Self {
        (constant(1.0) + (-self).exp()).recip()
    }
}

impl Add for HyperDual {
    type Output = Self;
    fn add(self, y: Self) -> Self {
        Self {
            value: self.value + y.value,
            first: self.first + y.first,
            second: self.second + y.second,
            mixed: self.mixed + y.mixed,
        }
    }
}
impl Neg for HyperDual {
    type Output = Self;
    fn neg(self) -> Self {
        self.lift([-self.value, -1.0, 0.0])
    }
}
impl Sub for HyperDual {
    type Output = Self;
    fn sub(self, y: Self) -> Self {
        self + -y
    }
}
impl Mul for HyperDual {
    type Output = Self;
    fn mul(self, y: Self) -> Self {
        Self {
            value: self.value * y.value,
            first: self.first * y.value + self.value * y.first,
            second: self.second * y.value + self.value * y.second,
            mixed: self.mixed * y.value + self.first * y.second + self.second * y.first + self.value * y.mixed,
        }
    }
}
#[allow(clippy::suspicious_arithmetic_impl)]
impl Div for HyperDual {
    type Output = Self;
    fn div(self, y: Self) -> Self {
        self * y.recip()
    }
}
impl std::iter::Sum for HyperDual {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(constant(0.0), |sum, term| sum + term)
    }
}
