//! What a name of the file stands for while the file is read.

use crate::dim::Dim;
use crate::error::{Refusal, misfit};
use crate::known::Known;
use crate::tensor::addressable;
use std::rc::Rc;

/// A value of the file.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// The same for all samples, and no parameter.
    Known(Rc<Known>),
    /// Numbers of the file that become a parameter where something differentiable uses them.
    Weight(Weight),
    /// What a node of the graph gives, or an input.
    Traced(Traced),
    /// `x > threshold`, half of a softplus.
    Above {
        /// `x`.
        x: Traced,
        /// What it is compared with.
        threshold: f64,
    },
    /// False everywhere: whether a number of a graph, which are all finite, is NaN.
    Never,
    /// The parts that a value is split into.
    Sequence(Rc<Vec<Value>>),
    /// What an operation gives that is not read.
    Unread,
}

/// A tensor of floating-point numbers of the file, or its transpose.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weight {
    pub(crate) name: String,
    /// As seen, transposed if it is.
    pub(crate) shape: Vec<usize>,
    pub(crate) transposed: bool,
}

/// An operand of a node of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// An input, a constant or a node.
    Named(String),
    /// A tensor of the file, in a form.
    Weight(String, Form),
}

/// How a tensor of the file stands in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As in the file.
    AsIs,
    /// `(d_in, d_out)` as `(d_out, d_in)`.
    Transposed,
    /// `(c_out, c_in, k)` as `(c_out, c_in, 1, k)`.
    Row,
}

/// A value that is computed for every sample, or made of parameters.
///
/// `shape` has an axis for each of the file's. That of the samples has the entries that one sample has along it,
/// mostly 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Traced {
    pub(crate) operand: Operand,
    pub(crate) shape: Vec<usize>,
    pub(crate) batch: Option<Batch>,
    /// `−∞` stands in it, as a large negative number, and goes into a softmax.
    pub(crate) masked: bool,
    pub(crate) integer: bool,
}

/// Where samples stand: along one axis, `index = (before · N + sample) · after + …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) axis: usize,
    /// How often all samples stand one after the other along the axis.
    pub(crate) before: usize,
}

impl Traced {
    /// The shape in the graph, beside the batch: an axis that has only samples is none.
    pub(crate) fn inner(&self) -> Vec<usize> {
        inner(&self.shape, self.batch)
    }

    /// The axis in the graph of one of the file's.
    pub(crate) fn axis(&self, axis: usize) -> Result<usize, Refusal> {
        match self.batch {
            Some(batch) if batch.axis == axis => {
                misfit(format!("axis {axis}, along which samples stand"), "an operation on each sample by itself")
            }
            Some(batch) if batch.axis < axis && self.shape[batch.axis] == 1 => Ok(axis - 1),
            _ => Ok(axis),
        }
    }

    /// The shape with the number of samples in it.
    pub(crate) fn dims(&self) -> Vec<Dim> {
        let dim = |(axis, &n): (usize, &usize)| match self.batch {
            Some(batch) if batch.axis == axis => Dim::batch(n as i64),
            _ => Dim::fixed(n as i64),
        };
        self.shape.iter().enumerate().map(dim).collect()
    }

    /// Samples stand along the first axis, and nothing else does.
    pub(crate) fn expect_batch_first(&self) -> Result<(), Refusal> {
        match self.batch {
            Some(Batch { axis: 0, before: 1 }) if self.shape[0] == 1 => Ok(()),
            _ => misfit(format!("a value {}", shown(&self.dims())), "samples along the first axis"),
        }
    }
}

pub(crate) fn inner(shape: &[usize], batch: Option<Batch>) -> Vec<usize> {
    let gone = |axis: usize| batch.is_some_and(|batch| batch.axis == axis && shape[axis] == 1);
    shape.iter().enumerate().filter(|&(axis, _)| !gone(axis)).map(|(_, &n)| n).collect()
}

/// A shape as messages show it: `(N, 3, 8)`.
pub(crate) fn shown(dims: &[Dim]) -> String {
    format!("({})", dims.iter().map(Dim::to_string).collect::<Vec<_>>().join(", "))
}

/// Entries that may still be made of a file, so that a small one does not take much memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    all: usize,
    left: usize,
}

impl Budget {
    pub(crate) fn new(entries: usize) -> Self {
        Self { all: entries, left: entries }
    }

    pub(crate) fn charge(&mut self, shape: &[usize]) -> Result<(), Refusal> {
        let entries = || shape.iter().product::<usize>();
        match addressable(shape).then(entries).and_then(|n| self.left.checked_sub(n)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                misfit(format!("a value {shape:?}"), format!("at most {} entries of all values together", self.all))
            }
        }
    }
}
