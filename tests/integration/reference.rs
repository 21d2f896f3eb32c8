//! The slow dense truth: a network on hyper-dual numbers.
//!
//! A hyper-dual number `x + x₁ε₁ + x₂ε₂ + x₁₂ε₁ε₂` with `ε₁² = ε₂² = 0` carries derivatives through any formula
//! without truncation: with `ε₁` put on one parameter and `ε₂` on another, the last part of the loss is its mixed
//! second derivative. The forward pass and the losses are written from their definitions (`MATH [3]`, column "value")
//! alone; no derivative of a loss, no reverse pass and no Kronecker structure appears here.

use faer::Mat;
use std::ops::{Add, Div, Mul, Sub};
use superlinear_nets::{Activation, Loss};

/// A fully connected network without biases, evaluated one sample at a time.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// Row-major weights with their shapes, first to last.
    weights: Vec<Weight>,
    activation: Activation,
    loss: Loss,
}

#[derive(Clone, Debug)]
struct Weight {
    d_out: usize,
    d_in: usize,
    entries: Vec<f64>,
}

/// A function's value, gradient and Hessian at a point.
#[derive(Clone, Debug)]
pub(crate) struct Derivatives {
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
    pub(crate) hessian: Mat<f64>,
}

impl Reference {
    /// `params` are row-major weights, layer after layer.
    pub(crate) fn new(widths: &[usize], activation: Activation, loss: Loss, params: &[f64]) -> Self {
        let mut rest = params;
        let weights = widths.windows(2).map(|pair| {
            let (d_in, d_out) = (pair[0], pair[1]);
            let (entries, after) = rest.split_at(d_out * d_in);
            rest = after;
            Weight { d_out, d_in, entries: entries.to_vec() }
        });
        let weights = weights.collect();
        assert!(rest.is_empty(), "{} parameters too many", rest.len());
        Self { weights, activation, loss }
    }

    /// `a_p`: what the `dense`-th layer is given for an input.
    pub(crate) fn activity(&self, dense: usize, input: &[f64]) -> Vec<f64> {
        self.weights[..dense].iter().fold(input.to_vec(), |a, weight| {
            let z = affine(weight, &weight.entries, &a);
            z.into_iter().map(|z| activate(self.activation, z)).collect()
        })
    }

    /// The logits for an input.
    pub(crate) fn logits(&self, input: &[f64]) -> Vec<f64> {
        let last = self.weights.len() - 1;
        affine(&self.weights[last], &self.weights[last].entries, &self.activity(last, input))
    }

    /// `ℓ_p`, `g_p` and `h_p` in `vec(W)` of the `dense`-th layer, row-major.
    pub(crate) fn in_weight(&self, dense: usize, input: &[f64], label: u8) -> Derivatives {
        let a: Vec<HyperDual> = self.activity(dense, input).into_iter().map(HyperDual::constant).collect();
        let weight = &self.weights[dense];
        differentiate_twice(&weight.entries, |entries| self.loss_behind(dense, affine(weight, entries, &a), label))
    }

    /// `ℓ_p`, `δ_p` and `S_p` in the pre-activation `z` of the `dense`-th layer.
    pub(crate) fn in_pre_activation(&self, dense: usize, input: &[f64], label: u8) -> Derivatives {
        let weight = &self.weights[dense];
        let z = affine(weight, &weight.entries, &self.activity(dense, input));
        differentiate_twice(&z, |z| self.loss_behind(dense, z.to_vec(), label))
    }

    /// `ℓ_p` and its gradient in all parameters.
    pub(crate) fn in_all_weights(&self, input: &[f64], label: u8) -> (f64, Vec<f64>) {
        let mut value = 0.0;
        let mut gradient = Vec::new();
        for (dense, weight) in self.weights.iter().enumerate() {
            let a: Vec<HyperDual> = self.activity(dense, input).into_iter().map(HyperDual::constant).collect();
            for k in 0..weight.entries.len() {
                let mut entries: Vec<HyperDual> = weight.entries.iter().copied().map(HyperDual::constant).collect();
                entries[k].first = 1.0;
                let loss = self.loss_behind(dense, affine(weight, &entries, &a), label);
                value = loss.value;
                gradient.push(loss.first);
            }
        }
        (value, gradient)
    }

    /// The loss as a function of the `dense`-th layer's pre-activation.
    fn loss_behind<T: Number>(&self, dense: usize, z: Vec<T>, label: u8) -> T {
        let logits = self.weights[dense + 1..].iter().fold(z, |z, weight| {
            let a: Vec<T> = z.into_iter().map(|z| activate(self.activation, z)).collect();
            let entries: Vec<T> = weight.entries.iter().copied().map(T::constant).collect();
            affine(weight, &entries, &a)
        });
        loss(self.loss, &logits, label)
    }
}

/// `W a`.
fn affine<T: Number>(shape: &Weight, entries: &[T], a: &[T]) -> Vec<T> {
    let row = |o: usize| &entries[o * shape.d_in..(o + 1) * shape.d_in];
    (0..shape.d_out).map(|o| sum(row(o).iter().zip(a).map(|(&w, &a)| w * a))).collect()
}

pub(crate) fn activate<T: Number>(activation: Activation, z: T) -> T {
    match activation {
        Activation::Relu if z.real() > 0.0 => z,
        Activation::Relu => T::constant(0.0),
        Activation::Tanh => z.tanh(),
        Activation::Identity => z,
    }
}

/// `softmax(f)`, as its definition reads.
pub(crate) fn softmax<T: Number>(f: &[T]) -> Vec<T> {
    let total = sum(f.iter().map(|f| f.exp()));
    f.iter().map(|f| f.exp() / total).collect()
}

pub(crate) fn loss<T: Number>(loss: Loss, f: &[T], label: u8) -> T {
    let y = |c: usize| T::constant(if c == usize::from(label) { 1.0 } else { 0.0 });
    let mean_square = |x: &[T]| {
        let total = sum(x.iter().enumerate().map(|(c, &x)| (x - y(c)) * (x - y(c))));
        total / T::constant(x.len() as f64)
    };
    match loss {
        Loss::CrossEntropy => T::constant(0.0) - softmax(f)[usize::from(label)].ln(),
        Loss::SoftmaxMse => mean_square(&softmax(f)),
        Loss::LinearMse => mean_square(f),
    }
}

fn sum<T: Number>(terms: impl Iterator<Item = T>) -> T {
    terms.fold(T::constant(0.0), |total, term| total + term)
}

/// One evaluation for every pair of coordinates.
fn differentiate_twice(at: &[f64], f: impl Fn(&[HyperDual]) -> HyperDual) -> Derivatives {
    let n = at.len();
    let mut derivatives = Derivatives { value: 0.0, gradient: vec![0.0; n], hessian: Mat::zeros(n, n) };
    for i in 0..n {
        for j in 0..n {
            let mut x: Vec<HyperDual> = at.iter().copied().map(HyperDual::constant).collect();
            x[i].first = 1.0;
            x[j].second = 1.0;
            let result = f(&x);
            derivatives.value = result.value;
            derivatives.gradient[i] = result.first;
            derivatives.hessian[(i, j)] = result.mixed;
        }
    }
    derivatives
}

/// What the forward pass needs of a number.
pub(crate) trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    fn constant(x: f64) -> Self;
    /// The value alone; it decides on which side of a kink a number lies.
    fn real(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
}

impl Number for f64 {
    fn constant(x: f64) -> Self {
        x
    }
    fn real(self) -> f64 {
        self
    }
    fn exp(self) -> Self {
        self.exp()
    }
    fn ln(self) -> Self {
        self.ln()
    }
    fn tanh(self) -> Self {
        self.tanh()
    }
}

/// A value, its derivatives in two directions and its mixed second derivative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyperDual {
    pub(crate) value: f64,
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) mixed: f64,
}

impl HyperDual {
    /// `f(self)`, from `f`, `f'` and `f''` at the value.
    fn chain(self, f: f64, slope: f64, curvature: f64) -> Self {
        Self {
            value: f,
            first: slope * self.first,
            second: slope * self.second,
            mixed: slope * self.mixed + curvature * self.first * self.second,
        }
    }
}

impl Number for HyperDual {
    fn constant(x: f64) -> Self {
        Self { value: x, first: 0.0, second: 0.0, mixed: 0.0 }
    }
    fn real(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e, e)
    }
    fn ln(self) -> Self {
        let x = self.value;
        self.chain(x.ln(), 1.0 / x, -1.0 / (x * x))
    }
    fn tanh(self) -> Self {
        let t = self.value.tanh();
        let slope = 1.0 - t * t;
        self.chain(t, slope, -2.0 * t * slope)
    }
}

impl Add for HyperDual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            first: self.first + other.first,
            second: self.second + other.second,
            mixed: self.mixed + other.mixed,
        }
    }
}

impl Sub for HyperDual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self::constant(-1.0) * other
    }
}

impl Mul for HyperDual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            value: self.value * other.value,
            first: self.first * other.value + self.value * other.first,
            second: self.second * other.value + self.value * other.second,
            mixed: self.mixed * other.value
                + self.first * other.second
                + self.second * other.first
                + self.value * other.mixed,
        }
    }
}

impl Div for HyperDual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let x = other.value;
        self * other.chain(1.0 / x, -1.0 / (x * x), 2.0 / (x * x * x))
    }
}

#[test]
fn hyper_dual_numbers_carry_derivatives_of_known_functions() {
    // f = x³y / (1 + eˣ) at (0.7, −1.2), derivatives by hand.
    let (x, y) = (0.7_f64, -1.2);
    let found = differentiate_twice(&[x, y], |v| v[0] * v[0] * v[0] * v[1] / (HyperDual::constant(1.0) + v[0].exp()));
    let s = 1.0 / (1.0 + x.exp());
    let s1 = -s * (1.0 - s);
    let s2 = s * (1.0 - s) * (1.0 - 2.0 * s);
    let f_x = y * (3.0 * x * x * s + x * x * x * s1);
    let f_xx = y * (6.0 * x * s + 6.0 * x * x * s1 + x * x * x * s2);
    let expected = [x * x * x * y * s, f_x, x * x * x * s, f_xx, f_x / y, 0.0];
    let h = &found.hessian;
    let found = [found.value, found.gradient[0], found.gradient[1], h[(0, 0)], h[(0, 1)], h[(1, 1)]];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-15, "{found} {expected}");
    }
    assert_eq!(h[(0, 1)], h[(1, 0)]);
    // tanh and ln: (ln tanh z)'' = −(1 − t²)(1 + t²)/t² with t = tanh z.
    let t = x.tanh();
    let found = differentiate_twice(&[x], |v| v[0].tanh().ln()).hessian[(0, 0)];
    assert!((found + (1.0 - t * t) * (1.0 + t * t) / (t * t)).abs() < 1e-14);
}
