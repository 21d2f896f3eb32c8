//! Sums, differences, products, quotients and powers of two operands, broadcasting.

use super::{At, Given, Gradients, Misfit, Moved, Rule, add, broadcast_map, exactly, shown};
use crate::Scalar;
use std::borrow::Cow;

/// `z = f(x, y)`, entry by entry, of two operands whose axes are aligned at the last one; an axis of length 1 is
/// repeated.
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
    /// `∂f/∂x` or `∂f/∂y`.
    fn slope<T: Scalar>(self, operand: usize, x: T, y: T) -> T {
        match (self, operand) {
            (Self::Add, _) | (Self::Subtract, 0) => T::ONE,
            (Self::Subtract, _) => -T::ONE,
            (Self::Multiply, i) => [y, x][i],
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
            false => {
                let mut all = Vec::with_capacity(numbers.len() / operand.dim() * at.dim());
                numbers.chunks_exact(operand.dim()).for_each(|x| all.extend(map.iter().map(|&j| x[j as usize])));
                Cow::Owned(all)
            }
        };
        Self { numbers, shared: operand.shared, n: at.n, dim: at.dim() }
    }

    fn of(&self, k: usize, p: usize) -> &[T] {
        let block = if self.shared { k } else { k * self.n + p };
        &self.numbers[block * self.dim..(block + 1) * self.dim]
    }
}

/// A derivative at every entry of the result.
enum Factor<'a, T: Clone> {
    Zero,
    /// The same everywhere.
    Same(T),
    Entries(Spread<'a, T>),
}

impl<'a, T: Scalar> Factor<'a, T> {
    /// Of a function of both operands.
    fn of_both(at: &At<'a, T>, f: impl Fn(T, T) -> T) -> Self {
        let [x, y] = operands(at);
        let shared = x.shared && y.shared;
        let samples = if shared { 1 } else { at.n };
        let mut numbers = Vec::with_capacity(samples * at.dim());
        for p in 0..samples {
            numbers.extend(x.of(0, p).iter().zip(y.of(0, p)).map(|(&x, &y)| f(x, y)));
        }
        Self::Entries(Spread { numbers: numbers.into(), shared, n: at.n, dim: at.dim() })
    }

    /// `f v` of sample `p`, entry by entry, given to `each`.
    fn times(&self, p: usize, v: &[T], out: &mut [T], each: impl Fn(&mut T, T)) {
        let numbers = out.iter_mut().zip(v);
        match self {
            Self::Zero => {}
            Self::Same(f) => numbers.for_each(|(out, &v)| each(out, *f * v)),
            Self::Entries(f) => numbers.zip(f.of(0, p)).for_each(|((out, &v), &f)| each(out, f * v)),
        }
    }
}

fn operands<'a, T: Scalar>(at: &At<'a, T>) -> [Spread<'a, T>; 2] {
    [0, 1].map(|i| Spread::new(at, i, at.operands[i].values))
}

/// Adds what stands at the result's entries to the gradient in operand `i` of sample `p` along direction `k`.
fn collect<T: Scalar>(at: &At<'_, T>, i: usize, k: usize, p: usize, terms: &[T], into: &mut [T]) {
    let into = &mut into[at.range(i, k, p)];
    match &at.maps[i][..] {
        [] => add(into, terms),
        // Repeated as a whole.
        _ if at.shape.ends_with(at.operands[i].shape) => {
            terms.chunks_exact(into.len()).for_each(|part| add(into, part))
        }
        map => map.iter().zip(terms).for_each(|(&j, &term)| into[j as usize] += term),
    }
}

impl Arithmetic {
    /// `∂f/∂x_i` at every entry.
    fn factor<'a, T: Scalar>(self, at: &At<'a, T>, i: usize) -> Factor<'a, T> {
        match (self, i) {
            (Self::Add, _) | (Self::Subtract, 0) => Factor::Same(T::ONE),
            (Self::Subtract, _) => Factor::Same(-T::ONE),
            (Self::Multiply, i) => Factor::Entries(Spread::new(at, 1 - i, at.operands[1 - i].values)),
            _ => Factor::of_both(at, |x, y| self.slope(i, x, y)),
        }
    }

    /// `∂²f/∂x_i∂x_j` at every entry.
    fn second_factor<'a, T: Scalar>(self, at: &At<'a, T>, i: usize, j: usize) -> Factor<'a, T> {
        match (self, i, j) {
            (Self::Add | Self::Subtract, _, _) | (Self::Divide, 0, 0) => Factor::Zero,
            (Self::Multiply, i, j) => {
                if i == j {
                    Factor::Zero
                } else {
                    Factor::Same(T::ONE)
                }
            }
            _ => Factor::of_both(at, |x, y| self.second((i, j), x, y)),
        }
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
        let [x, y] = operands(at);
        for (p, out) in out.chunks_exact_mut(at.dim()).enumerate() {
            let numbers = out.iter_mut().zip(x.of(0, p)).zip(y.of(0, p));
            match self {
                Self::Add => numbers.for_each(|((z, &x), &y)| *z = x + y),
                Self::Subtract => numbers.for_each(|((z, &x), &y)| *z = x - y),
                Self::Multiply => numbers.for_each(|((z, &x), &y)| *z = x * y),
                Self::Divide => numbers.for_each(|((z, &x), &y)| *z = x / y),
                Self::Power => numbers.for_each(|((z, &x), &y)| *z = x.power(y)),
            }
        }
    }

    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        let mut first = true;
        for (i, moved) in moved.iter().enumerate() {
            let Some(moved) = moved else { continue };
            let (factor, moved) = (self.factor(at, i), Spread::new(at, i, moved));
            for (block, out) in out.chunks_exact_mut(at.dim()).enumerate().take(k * at.n) {
                let (k, p) = (block / at.n, block % at.n);
                match first {
                    true => factor.times(p, moved.of(k, p), out, |z, term| *z = term),
                    false => factor.times(p, moved.of(k, p), out, |z, term| *z += term),
                }
            }
            first = false;
        }
    }

    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        let mut terms = vec![T::ZERO; at.dim()];
        for (i, into) in into.iter_mut().enumerate() {
            let Some(into) = into else { continue };
            let factor = self.factor(at, i);
            for (block, delta) in delta.chunks_exact(at.dim()).enumerate().take(k * at.n) {
                let (k, p) = (block / at.n, block % at.n);
                factor.times(p, delta, &mut terms, |term, value| *term = value);
                collect(at, i, k, p, &terms, into);
            }
        }
    }

    fn bends(&self, moves: &[bool]) -> bool {
        match self {
            Self::Add | Self::Subtract => false,
            Self::Multiply => moves[0] && moves[1],
            Self::Divide => moves[1],
            Self::Power => true,
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
        let mut terms = vec![T::ZERO; at.dim()];
        for (i, into) in into.iter_mut().enumerate() {
            let Some(into) = into else { continue };
            for (j, moved) in moved.iter().enumerate() {
                let (Some(moved), factor) = (moved, self.second_factor(at, i, j)) else { continue };
                if let Factor::Zero = factor {
                    continue;
                }
                let moved = Spread::new(at, j, moved);
                for block in 0..k * at.n {
                    let (k, p) = (block / at.n, block % at.n);
                    let delta = &delta[p * at.dim()..(p + 1) * at.dim()];
                    factor.times(p, moved.of(k, p), &mut terms, |term, value| *term = value);
                    terms.iter_mut().zip(delta).for_each(|(term, &d)| *term *= d);
                    collect(at, i, k, p, &terms, into);
                }
            }
        }
    }
}
