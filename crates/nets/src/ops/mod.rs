//! The operations of a [`Graph`](crate::Graph), one file each.
//!
//! A file says what shape an operation gives and how values, derivatives along directions and gradients pass through
//! it. With `y = f(x₁, x₂, …)`, `ẋ` the derivative of `x` along a direction, and `δ` the gradient in `y`, these are
//!
//! | | |
//! |---|---|
//! | `forward` | `y = f(x)` |
//! | `tangent` | `ẏ = Σ_i (∂f/∂x_i) ẋ_i` |
//! | `reverse` | adds `(∂f/∂x_i)ᵀ δ` to the gradient in each `x_i` |
//! | `bend` | adds the derivative of `(∂f/∂x_i)ᵀ δ` along the direction, with `δ` held |
//!
//! The tangent of the reverse pass is `reverse` of `δ̇` and `bend` of `δ` together. Nothing else is known of an
//! operation, so a new one is its file, a line in the list below, and a row in the table of cases
//! (`tests/parts/cases.rs`); `docs/adding-an-operation.md` walks through one.
//!
//! Numbers of a block stand sample after sample, each row-major; those of `k` directions block after block. What all
//! samples share, parameters above all, stands once: its gradient is the sum over samples.

mod arithmetic;
mod batch_norm;
mod concatenate;
mod convolution;
mod dense;
mod embedding;
mod expand;
mod function;
mod gather;
mod matrix_product;
mod normalise;
mod pool;
mod reduce;
mod reshape;
mod slice;
mod softmax;
mod three_by_three;
mod transpose;
mod window;

use crate::Scalar;
use std::fmt;

pub use arithmetic::Arithmetic;
pub use batch_norm::BatchNorm;
pub use concatenate::Concatenate;
pub use convolution::Convolution;
pub use dense::{Dense, WeightOrder};
pub use embedding::Embedding;
pub use expand::Expand;
pub use function::Function;
pub use gather::Gather;
pub use matrix_product::MatrixProduct;
pub use normalise::{Normalise, Together};
pub use pool::{AveragePool, MaxPool};
pub use reduce::{Reduce, Reduction};
pub use reshape::Reshape;
pub use slice::Slice;
pub use softmax::Softmax;
pub use transpose::Transpose;
pub use window::Window;

/// An operand as a shape rule sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) shape: &'a [usize],
    /// All samples share it.
    pub(crate) shared: bool,
    /// No derivative is taken in it, nor in anything that it is made of.
    pub(crate) constant: bool,
}

/// What does not fit an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl Misfit {
    pub(crate) fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into() }
    }
}

/// A shape as messages show it: `(3, 8, 8)`.
pub(crate) fn shown(shape: &[usize]) -> String {
    format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}

/// Entries of a tensor of this shape.
pub(crate) fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Exactly `N` operands.
pub(crate) fn exactly<'g, const N: usize>(given: &[Given<'g>]) -> Result<[Given<'g>; N], Misfit> {
    let misfit = || Misfit::new(format!("{} operands", given.len()), format!("{N} operands"));
    <[Given<'_>; N]>::try_from(given).map_err(|_| misfit())
}

/// One operand of a node, for the samples of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a, T> {
    pub(crate) shape: &'a [usize],
    pub(crate) values: &'a [T],
    pub(crate) shared: bool,
}

impl<T> Operand<'_, T> {
    /// Entries of one sample.
    pub(crate) fn dim(&self) -> usize {
        len(self.shape)
    }
}

/// A node, at the values of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a, T> {
    /// Samples; 1 for a node that all samples share.
    pub(crate) n: usize,
    pub(crate) operands: &'a [Operand<'a, T>],
    /// Of what it gives.
    pub(crate) shape: &'a [usize],
    /// What it gives; empty in the forward pass.
    pub(crate) output: &'a [T],
    /// What [`Rule::forward_saving`] saved; nothing in the forward pass.
    pub(crate) saved: &'a [T],
    /// What [`Rule::maps`] gave.
    pub(crate) maps: &'a [Vec<u32>],
}

impl<'a, T> At<'a, T> {
    /// Entries that the node gives for one sample.
    pub(crate) fn dim(&self) -> usize {
        len(self.shape)
    }

    /// Where sample `p` of direction `k` of operand `i` stands.
    pub(crate) fn range(&self, i: usize, k: usize, p: usize) -> std::ops::Range<usize> {
        let operand = &self.operands[i];
        let dim = operand.dim();
        let block = if operand.shared { k } else { k * self.n + p };
        block * dim..(block + 1) * dim
    }

    /// Operand `i` of sample `p`.
    pub(crate) fn of(&self, i: usize, p: usize) -> &'a [T] {
        &self.operands[i].values[self.range(i, 0, p)]
    }
}

/// What moves in the operands along `k` directions.
pub(crate) type Moved<'a, T> = [Option<&'a [T]>];
/// Where gradients in the operands are added up.
pub(crate) type Gradients<'a, T> = [Option<&'a mut [T]>];

/// How a layer's weight meets what the layer is given: `z_t = W_g a_(t,g)` for every position `t` and group `g` of
/// outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// Times that the weight is used for one sample.
    pub positions: usize,
    /// Rows of `W`.
    pub d_out: usize,
    /// Columns of `W`, what one output of one position sees.
    pub d_in: usize,
    /// Groups of outputs, each with inputs of its own.
    pub groups: usize,
    /// Where `z` of output `o` at position `t` stands in the node's value.
    pub order: OutputOrder,
    /// How `W` stands among the parameters.
    pub weight: WeightOrder,
}

/// How positions and outputs of a layer stand in what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputOrder {
    /// `t·d_out + o`: tokens.
    PositionsFirst,
    /// `o·T + t`: images.
    OutputsFirst,
}

impl LayerUse {
    /// Where `z` of output `o` at position `t` stands.
    pub fn output(&self, t: usize, o: usize) -> usize {
        match self.order {
            OutputOrder::PositionsFirst => t * self.d_out + o,
            OutputOrder::OutputsFirst => o * self.positions + t,
        }
    }

    /// Where `W[o, i]` stands in the weight.
    pub fn weight(&self, o: usize, i: usize) -> usize {
        match self.weight {
            WeightOrder::OutIn => o * self.d_in + i,
            WeightOrder::InOut => i * self.d_out + o,
        }
    }

    /// The group of output `o`.
    pub fn group(&self, o: usize) -> usize {
        o / (self.d_out / self.groups)
    }
}

/// What an operation is. Defaults are those of one that copies entries of its one operand to where a map says.
pub(crate) trait Rule {
    /// What messages call it.
    fn name(&self) -> &'static str;

    /// The shape of what it gives, beside the batch.
    fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit>;

    /// Index maps that its passes use, made once: mostly, for every entry of the output, the entry of an operand.
    /// An empty map says that entry `i` is entry `i`.
    fn maps(&self, _operands: &[&[usize]], _shape: &[usize]) -> Vec<Vec<u32>> {
        vec![Vec::new()]
    }

    /// What is wrong with the values, if anything; `differentiate` asks for points without a second derivative too.
    fn check<T: Scalar>(&self, _at: &At<'_, T>, _differentiate: bool) -> Option<(usize, Misfit)> {
        None
    }

    /// Writes `y`.
    fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
        copy(at, 1, at.operands[0].values, out);
    }

    /// Numbers a sample that its derivatives want saved of the forward pass.
    fn saved(&self, _shape: &[usize]) -> usize {
        0
    }

    /// Writes `y`, and what is saved where derivatives are wanted.
    fn forward_saving<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T], _saved: &mut [T]) {
        self.forward(at, out);
    }

    /// Writes `ẏ` along `k` directions; at least one operand moves.
    fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
        if let Some(moved) = moved[0] {
            copy(at, k, moved, out);
        }
    }

    /// Adds `(∂f/∂x_i)ᵀ δ` for `k` gradients `δ` at once.
    fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
        if let Some(into) = &mut into[0] {
            copy_back(at, k, delta, into);
        }
    }

    /// Whether [`Rule::bend`] adds anything where these operands move.
    fn bends(&self, _moves: &[bool]) -> bool {
        false
    }

    /// Adds the derivative of `(∂f/∂x_i)ᵀ δ` along `k` directions, with the one `δ` held.
    fn bend<T: Scalar>(
        &self,
        _at: &At<'_, T>,
        _k: usize,
        _delta: &[T],
        _moved: &Moved<'_, T>,
        _into: &mut Gradients<'_, T>,
    ) {
    }

    /// How its second operand is the weight of a layer, if it is.
    fn layer(&self, _operands: &[&[usize]], _shape: &[usize]) -> Option<LayerUse> {
        None
    }

    /// Writes `a_(t,g)` of one sample, `[g][t][i]`, for an operation that is a layer.
    fn activities<T: Scalar>(&self, at: &At<'_, T>, p: usize, out: &mut [T]) {
        out.copy_from_slice(at.of(0, p));
    }
}

fn copy<T: Scalar>(at: &At<'_, T>, k: usize, from: &[T], out: &mut [T]) {
    let map = &at.maps[0];
    if map.is_empty() {
        return out.copy_from_slice(from);
    }
    let (dim_in, dim_out) = (at.operands[0].dim(), at.dim());
    for (from, out) in from.chunks_exact(dim_in).zip(out.chunks_exact_mut(dim_out)).take(k * at.n) {
        out.iter_mut().zip(map).for_each(|(y, &i)| *y = from[i as usize]);
    }
}

fn copy_back<T: Scalar>(at: &At<'_, T>, k: usize, delta: &[T], into: &mut [T]) {
    let map = &at.maps[0];
    if map.is_empty() {
        return add(into, delta);
    }
    let (dim_in, dim_out) = (at.operands[0].dim(), at.dim());
    for (into, delta) in into.chunks_exact_mut(dim_in).zip(delta.chunks_exact(dim_out)).take(k * at.n) {
        map.iter().zip(delta).for_each(|(&i, &d)| into[i as usize] += d);
    }
}

/// `x += y`.
pub(crate) fn add<T: Scalar>(x: &mut [T], y: &[T]) {
    x.iter_mut().zip(y).for_each(|(x, &y)| *x += y);
}

/// `x += s y`.
pub(crate) fn add_scaled<T: Scalar>(x: &mut [T], s: T, y: &[T]) {
    x.iter_mut().zip(y).for_each(|(x, &y)| *x += s * y);
}

/// `Σ x y`.
pub(crate) fn dot<T: Scalar>(x: &[T], y: &[T]) -> T {
    x.iter().zip(y).fold(T::ZERO, |sum, (&x, &y)| sum + x * y)
}

/// For every entry of a tensor of `shape`, the entry of one of shape `from` that broadcasting puts there; `None` if it
/// does not broadcast. Axes are aligned at the last one.
pub(crate) fn broadcast_map(from: &[usize], shape: &[usize]) -> Option<Vec<u32>> {
    let lead = shape.len().checked_sub(from.len())?;
    if !from.iter().zip(&shape[lead..]).all(|(&f, &s)| f == s || f == 1) {
        return None;
    }
    if from == shape {
        return Some(Vec::new());
    }
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for (axis, &f) in from.iter().enumerate().rev() {
        strides[lead + axis] = if f == 1 { 0 } else { stride };
        stride *= f;
    }
    Some(strided_map(shape, 0, &strides))
}

/// For every entry of a tensor of `shape`, `offset + Σ_axis index·stride`.
pub(crate) fn strided_map(shape: &[usize], offset: usize, strides: &[usize]) -> Vec<u32> {
    let mut map = vec![offset as u32];
    for (&n, &stride) in shape.iter().zip(strides) {
        map = map.iter().flat_map(|&at| (0..n).map(move |i| at + (i * stride) as u32)).collect();
    }
    map
}

/// Strides of a row-major tensor.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a node of a graph does.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Operation {
            $($(#[$doc])* $name($name),)*
        }
        $(impl From<$name> for Operation {
            fn from(operation: $name) -> Self {
                Self::$name(operation)
            }
        })*
        impl Rule for Operation {
            fn name(&self) -> &'static str {
                match self { $(Self::$name(op) => op.name(),)* }
            }
            fn shape(&self, given: &[Given<'_>]) -> Result<Vec<usize>, Misfit> {
                match self { $(Self::$name(op) => op.shape(given),)* }
            }
            fn maps(&self, operands: &[&[usize]], shape: &[usize]) -> Vec<Vec<u32>> {
                match self { $(Self::$name(op) => op.maps(operands, shape),)* }
            }
            fn check<T: Scalar>(&self, at: &At<'_, T>, differentiate: bool) -> Option<(usize, Misfit)> {
                match self { $(Self::$name(op) => op.check(at, differentiate),)* }
            }
            fn forward<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T]) {
                match self { $(Self::$name(op) => op.forward(at, out),)* }
            }
            fn saved(&self, shape: &[usize]) -> usize {
                match self { $(Self::$name(op) => op.saved(shape),)* }
            }
            fn forward_saving<T: Scalar>(&self, at: &At<'_, T>, out: &mut [T], saved: &mut [T]) {
                match self { $(Self::$name(op) => op.forward_saving(at, out, saved),)* }
            }
            fn tangent<T: Scalar>(&self, at: &At<'_, T>, k: usize, moved: &Moved<'_, T>, out: &mut [T]) {
                match self { $(Self::$name(op) => op.tangent(at, k, moved, out),)* }
            }
            fn reverse<T: Scalar>(&self, at: &At<'_, T>, k: usize, delta: &[T], into: &mut Gradients<'_, T>) {
                match self { $(Self::$name(op) => op.reverse(at, k, delta, into),)* }
            }
            fn bends(&self, moves: &[bool]) -> bool {
                match self { $(Self::$name(op) => op.bends(moves),)* }
            }
            fn bend<T: Scalar>(
                &self,
                at: &At<'_, T>,
                k: usize,
                delta: &[T],
                moved: &Moved<'_, T>,
                into: &mut Gradients<'_, T>,
            ) {
                match self { $(Self::$name(op) => op.bend(at, k, delta, moved, into),)* }
            }
            fn layer(&self, operands: &[&[usize]], shape: &[usize]) -> Option<LayerUse> {
                match self { $(Self::$name(op) => op.layer(operands, shape),)* }
            }
            fn activities<T: Scalar>(&self, at: &At<'_, T>, p: usize, out: &mut [T]) {
                match self { $(Self::$name(op) => op.activities(at, p, out),)* }
            }
        }
    };
}

operations! {
    /// `W a + b`.
    Dense,
    /// A convolution of images.
    Convolution,
    /// The largest of every window.
    MaxPool,
    /// The mean of every window.
    AveragePool,
    /// Batch normalisation as in evaluation.
    BatchNorm,
    /// Layer, group, instance and RMS normalisation.
    Normalise,
    /// An elementwise function.
    Function,
    /// `+ − × ÷` and powers, broadcasting.
    Arithmetic,
    /// Over the last axis.
    Softmax,
    /// Of two values.
    MatrixProduct,
    /// Sum or mean over axes.
    Reduce,
    /// Along an axis.
    Concatenate,
    /// Part of an axis.
    Slice,
    /// Chosen entries of an axis.
    Gather,
    /// Rows of a table.
    Embedding,
    /// Other axes, the same entries.
    Reshape,
    /// A permutation of axes.
    Transpose,
    /// Repetition along axes.
    Expand,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
