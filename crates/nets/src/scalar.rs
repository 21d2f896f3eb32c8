//! The two floating-point types that networks run in: `f32` for training speed, `f64` for analysis.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// A real scalar that networks compute in. Implemented for `f32` and `f64`.
pub trait Scalar:
    faer::traits::RealField
    + Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + Send
    + Sync
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    /// The value as `f64`, exactly.
    fn f64(self) -> f64;
    /// `eˣ`.
    fn exponential(self) -> Self;
    /// Natural logarithm.
    fn natural_log(self) -> Self;
    /// `ln(1 + x)`, accurate for small `x`.
    fn log_of_one_plus(self) -> Self;
    /// Hyperbolic tangent.
    fn hyperbolic_tangent(self) -> Self;
    /// `√x`.
    fn square_root(self) -> Self;
    /// `xᵉ`.
    fn power(self, exponent: Self) -> Self;
    /// `erf(x) = (2/√π) ∫₀ˣ e^(−t²) dt`.
    fn error_function(self) -> Self;
    /// `1 − erf(x)`, accurate for large `x`.
    fn error_function_complement(self) -> Self;
    /// Whether the value is neither infinite nor NaN.
    fn finite(self) -> bool;
}

macro_rules! scalar {
    ($t:ty, $erf:path, $erfc:path) => {
        impl Scalar for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline]
            fn f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn exponential(self) -> Self {
                self.exp()
            }
            #[inline]
            fn natural_log(self) -> Self {
                self.ln()
            }
            #[inline]
            fn log_of_one_plus(self) -> Self {
                self.ln_1p()
            }
            #[inline]
            fn hyperbolic_tangent(self) -> Self {
                self.tanh()
            }
            #[inline]
            fn square_root(self) -> Self {
                self.sqrt()
            }
            #[inline]
            fn power(self, exponent: Self) -> Self {
                self.powf(exponent)
            }
            #[inline]
            fn error_function(self) -> Self {
                $erf(self)
            }
            #[inline]
            fn error_function_complement(self) -> Self {
                $erfc(self)
            }
            #[inline]
            fn finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}
scalar!(f32, libm::erff, libm::erfcf);
scalar!(f64, libm::erf, libm::erfc);
