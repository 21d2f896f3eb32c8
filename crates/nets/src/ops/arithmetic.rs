//! Sums, differences, products, quotients and powers of two operands, broadcasting.

use super::{At, Given, Gradients, Misfit, Moved, Rule, broadcast_map, exactly, shown};
use crate::Scalar;
use std::borrow::Cow;

/// `z = f(x, y)`, entry by entry, of two operands whose axes are aligned at the last one; an axis of length 1 is repeated.
///
/// Either operand may be a parameter or constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `x + y`.
    Add,
    /// `x − y`.
    Subtract,
    /// `x y`.
    Multiply,
    /// `x / y`, for `y ≠ 0`.
    Divide,
    /// `xʸ`: for whole `y ≥ 0` that no derivative is taken in at any `x`, else for `x > 0`.
    Power,
}

impl Arithmetic {
    fn value<T: Scalar>(self, x: T, y: T) -> T {
        match self {
            Self::Add => x + y,
            Self::Subtract => x - y,
            Self::Multiply => x * y,
            Self::Divide => x / y,
            Self::Power => x.power(y),
        }
    }

    /// `∂f/∂x` or `∂f/∂y`.
    fn slope<T: Scalar>(self, operand: usize, x: T, y: T) -> T {
        match (self, operand) {
            (Self::Add, _) | (Self::Subtract, 0) => T::ONE,
            (Self::Subtract, _) => -T::ONE,
            (Self::Multiply, 0) => y,
            (Self::Multiply, _) => x,
            (Self::Divide, 0) => T::ONE / y,
            (Self::Divide, _) => -x / (y * y),
            (Self::Power, 0) => falling(x, y, 1),
            (Self::Power, _) => x.power(y) * x.natural_log(),
        }
    }

    /// `∂²f/∂x²`, `∂²f/∂x∂y` or `∂²f/∂y²`.
    fn second<T: Scalar>(self, operands: (usize, usize), x: T, y: T) -> T {
        match (self, operands) {
            (Self::Add | Self::Subtract, _) | (Self::Multiply, (0, 0) | (1, 1)) | (Self::Divide, (0, 0)) => T::ZERO,
            (Self::Multiply, _) => T::ONE,
            (Self::Divide, (1, 1)) => T::of(2.0) * x / (y * y * y),
            (Self::Divide, _) => -T::ONE / (y * y),
            (Self::Power, (0, 0)) => falling(x, y, 2),
            (Self::Power, (1, 1)) => x.power(y) * x.natural_log() * x.natural_log(),
            (Self::Power, _) => x.power(y - T::ONE) * (T::ONE + y * x.natural_log()),
        }
    }
}

/// The first or second derivative of `xʸ` in `x`, 0 where the factor in front is.
fn falling<T: Scalar>(x: T, y: T, order: usize) -> T {
    let (factor, exponent) = if order == 1 { (y, y - T::ONE) } else { (y * (y - T::ONE), y - T::of(2.0)) };
    if factor == T::ZERO { T::ZERO } else { factor * x.power(exponent) }
}

/// Numbers of one operand, or of what moves in it, written out to the shape of the result.
struct Spread<'a, T: Clone> {
    numbers: Cow<'a, [T]>,
    shared: bool,
    n: usize,
    dim: usize,
}

impl<'a, T: Scalar> Spread<'a, T> {
    fn new(at: &At<'_, T>, i: usize, numbers: &'a [T]) -> Self {
        let (operand, map) = (&at.operands[i], &at.maps[i]);
        let numbers = match map.is_empty() {
            true => Cow::Borrowed(numbers),
            false => numbers.chunks_exact(operand.dim()).flat_map(|x| map.iter().map(|&j| x[j as usize])).collect(),
        };
        Self { numbers, shared: operand.shared, n: at.n, dim: at.dim() }
    }

    fn of(&self, k: usize, p: usize) -> &[T] {
        let block = if self.shared { k } else { k * self.n + p };
        &self.numbers[block * self.dim..(block + 1) * self.dim]
    }
}

/// Adds what stands at the result's entries to the gradient in operand `i` of sample `p` along direction `k`.
fn collect<T: Scalar>(at: &At<'_, T>, i: usize, k: usize, p: usize, terms: impl Iterator<Item = T>, into: &mut [T]) {
    let into = &mut into[at.range(i, k, p)];
    match &at.maps[i][..] {
        [] => into.iter_mut().zip(terms).for_each(|(x, term)| *x += term),
        map => map.iter().zip(terms).for_each(|(&j, term)| into[j as usize] += term),
    }
}

impl Rule for Arithmetic {
    fn name(&self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Divide => "divide",
            Self::Power => "power",
        }
    }

    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
        let [x, y] = exactly(given)?;
        let rank = x.shape.len().max(y.shape.len());
        let from_end = |shape: &[usize], axis: usize| (axis < shape.len()).then(|| shape[shape.len() - 1 - axis]);
        let mut shape = vec![0; rank];
        for axis in 0..rank {
            shape[rank - 1 - axis] = match (from_end(x.shape, axis), from_end(y.shape, axis)) {
                (Some(a), None | Some(1)) | (None | Some(1), Some(a)) => a,
                (Some(a), Some(b)) if a == b => a,
                _ => {
                    let found = format!("{} and {}", shown(x.shape), shown(y.shape));
                    return Err(Misfit::new(found, "shapes that broadcast"));
                }
            };
        }
        Ok(shape)
    }

    fn maps(&self, operands: &[&[usize]], shape: &[usize]) -> Vec<Vec<u32>> {
        operands.iter().map(|from| broadcast_map(from, shape).expect("the shape rule has checked it")).collect()
    }

    fn check<T: Scalar>(&self, at: &At<'_, T>, differentiate: bool) -> Option<(usize, Misfit)> {
        let [x, y] = at.operands else { return None };
        match self {
            Self::Divide => {
                let wrong = y.values.iter().position(|y| *y == T::ZERO)?;
                Some((wrong / y.dim(), Misfit::new("a divisor of 0", "y ≠ 0")))
            }
            Self::Power => {
                // Whole powers have all derivatives anywhere.
                if y.values.iter().all(|&y| y >= T::ZERO && y.f64().fract() == 0.0) {
                    return None;
                }
                let wrong = x.values.iter().position(|&x| x < T::ZERO || (differentiate && x == T::ZERO))?;
                let found = format!("x = {} to a power such as {}", x.values[wrong], y.values[0]);
                Some((wrong / x.dim(), Misfit::new(found, "x > 0, where all powers have derivatives")))
            }
            _ => None,
        }
    }

    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        let [x, y] = [0, 1].map(|i| Spread::new(at, i, at.operands[i].values));
        for (p, out) in out.chunks_exact_mut(at.dim()).enumerate() {
            let numbers = out.iter_mut().zip(x.of(0, p)).zip(y.of(0, p));
            numbers.for_each(|((z, &x), &y)| *z = self.value(x, y));
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let [x, y] = [0, 1].map(|i| Spread::new(at, i, at.operands[i].values));
        let mut first = true;
        for (i, moved) in moved.iter().enumerate() {
            let Some(moved) = moved else { continue };
            let moved = Spread::new(at, i, moved);
            for (block, out) in out.chunks_exact_mut(at.dim()).enumerate().take(k * at.n) {
                let (k, p) = (block / at.n, block % at.n);
                let numbers = out.iter_mut().zip(x.of(0, p).iter().zip(y.of(0, p)).zip(moved.of(k, p)));
                if first {
                    numbers.for_each(|(z, ((&x, &y), &moved))| *z = self.slope(i, x, y) * moved);
                } else {
                    numbers.for_each(|(z, ((&x, &y), &moved))| *z += self.slope(i, x, y) * moved);
                }
            }
            first = false;
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let [x, y] = [0, 1].map(|i| Spread::new(at, i, at.operands[i].values));
        for (i, into) in into.iter_mut().enumerate() {
            let Some(into) = into else { continue };
            for (block, delta) in delta.chunks_exact(at.dim()).enumerate().take(k * at.n) {
                let (k, p) = (block / at.n, block % at.n);
                let terms = x.of(0, p).iter().zip(y.of(0, p)).zip(delta);
                collect(at, i, k, p, terms.map(|((&x, &y), &d)| self.slope(i, x, y) * d), into);
            }
        }
    }

    fn bend<T: Scalar>(
        &self,
        at: &At<'_, T>,
        k: usize,
        delta: &[T],
        moved: &Moved<'_, T>,
        into: &mut Gradients<'_, T>,
    ) {
        if matches!(self, Self::Add | Self::Subtract) {
            return;
        }
        let [x, y] = [0, 1].map(|i| Spread::new(at, i, at.operands[i].values));
        for (j, moved) in moved.iter().enumerate() {
            let Some(moved) = moved else { continue };
            let moved = Spread::new(at, j, moved);
            for (i, into) in into.iter_mut().enumerate() {
                let Some(into) = into else { continue };
                if i == j && *self == Self::Multiply {
                    continue;
                }
                for block in 0..k * at.n {
                    let (k, p) = (block / at.n, block % at.n);
                    let delta = &delta[p * at.dim()..(p + 1) * at.dim()];
                    let numbers = x.of(0, p).iter().zip(y.of(0, p)).zip(moved.of(k, p)).zip(delta);
                    let term = |(((&x, &y), &moved), &d): (((&T, &T), &T), &T)| self.second((i, j), x, y) * moved * d;
                    collect(at, i, k, p, numbers.map(term), into);
                }
            }
        }
    }
}
