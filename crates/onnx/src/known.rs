//! Tensors that are the same for all samples and no parameters: shapes, indices, masks, scales.
//!
//! What only such tensors go into is computed while the file is read (`fold.rs`).

use crate::call::{Call, axes, axis};
use crate::dim::Dim;
use crate::error::{Refusal, misfit};
use crate::tensor::Type;
use crate::value::Budget;

/// A tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Float(Vec<f64>),
    Int(Vec<Dim>),
    Bool(Vec<bool>),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Float(x) => x.len(),
            Self::Int(x) => x.len(),
            Self::Bool(x) => x.len(),
        }
    }

    pub(crate) fn take(&self, map: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Float(x) => Self::Float(map.map(|i| x[i]).collect()),
            Self::Int(x) => Self::Int(map.map(|i| x[i]).collect()),
            Self::Bool(x) => Self::Bool(map.map(|i| x[i]).collect()),
        }
    }
}

/// The shape that both broadcast to.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Refusal> {
    let rank = a.len().max(b.len());
    let of = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        shape.push(match (of(a, i), of(b, i)) {
            (x, 1) => x,
            (1, y) => y,
            (x, y) if x == y => x,
            _ => return misfit(format!("{a:?} and {b:?}"), "shapes that broadcast"),
        });
    }
    Ok(shape)
}

pub(crate) fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// For every entry of a tensor of `shape`, `offset + Σ_axis index·stride`.
fn strided<'s>(shape: &'s [usize], strides: &'s [usize]) -> impl Iterator<Item = usize> + 's {
    (0..len(shape)).map(move |mut at| {
        let mut from = 0;
        for (&n, &stride) in shape.iter().zip(strides).rev() {
            from += at % n * stride;
            at /= n;
        }
        from
    })
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

impl Known {
    pub(crate) fn ints(dims: Vec<Dim>) -> Self {
        Self { shape: vec![dims.len()], data: Data::Int(dims) }
    }

    pub(crate) fn floats(&self) -> Option<&[f64]> {
        match &self.data {
            Data::Float(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// The one number that it is, if it is.
    pub(crate) fn scalar(&self) -> Option<f64> {
        match (&self.data, self.data.len()) {
            (Data::Float(numbers), 1) => Some(numbers[0]),
            (Data::Int(numbers), 1) => numbers[0].number().map(|x| x as f64),
            _ => None,
        }
    }

    /// Whole numbers, the number of samples among them.
    pub(crate) fn dims(&self) -> Result<&[Dim], Refusal> {
        match &self.data {
            Data::Int(dims) => Ok(dims),
            _ => misfit("a tensor that is not of integers", "integers"),
        }
    }

    /// Whole numbers that do not depend on that of samples.
    pub(crate) fn integers(&self) -> Result<Vec<i64>, Refusal> {
        let number = |dim: &Dim| match dim.number() {
            Some(number) => Ok(number),
            None => misfit(format!("{dim}, which the number N of samples is in"), "a number that is fixed"),
        };
        self.dims()?.iter().map(number).collect()
    }

    /// The same entries in another shape.
    pub(crate) fn reshaped(&self, shape: Vec<usize>) -> Self {
        debug_assert_eq!(len(&shape), self.data.len());
        Self { shape, data: self.data.clone() }
    }

    pub(crate) fn broadcast_to(&self, shape: &[usize], budget: &mut Budget) -> Result<Self, Refusal> {
        if broadcast(&self.shape, shape)? != shape {
            return misfit(format!("{:?}", self.shape), format!("a shape that broadcasts to {shape:?}"));
        }
        budget.charge(shape)?;
        let lead = shape.len() - self.shape.len();
        let mut from = vec![0; lead];
        from.extend(strides(&self.shape).iter().zip(&self.shape).map(|(&s, &n)| if n == 1 { 0 } else { s }));
        Ok(Self { shape: shape.to_vec(), data: self.data.take(strided(shape, &from)) })
    }

    pub(crate) fn transposed(&self, permutation: &[usize]) -> Self {
        let own = strides(&self.shape);
        let shape: Vec<usize> = permutation.iter().map(|&axis| self.shape[axis]).collect();
        let from: Vec<usize> = permutation.iter().map(|&axis| own[axis]).collect();
        Self { data: self.data.take(strided(&shape, &from)), shape }
    }

    /// Entries `indices` of one axis, each below its length.
    pub(crate) fn gathered(&self, axis: usize, indices: &[usize], budget: &mut Budget) -> Result<Self, Refusal> {
        let (n, inner) = (self.shape[axis], len(&self.shape[axis + 1..]));
        let mut shape = self.shape.clone();
        shape[axis] = indices.len();
        budget.charge(&shape)?;
        let outer = len(&self.shape[..axis]);
        let starts = (0..outer).flat_map(|o| indices.iter().map(move |i| (o * n + i) * inner));
        let map: Vec<usize> = starts.flat_map(|start| start..start + inner).collect();
        Ok(Self { shape, data: self.data.take(map.into_iter()) })
    }

    pub(crate) fn cast(&self, to: Type) -> Result<Self, Refusal> {
        let data = match (&self.data, to) {
            (Data::Float(x), to) if to.is_float() => Data::Float(x.clone()),
            (Data::Float(x), Type::Bool) => Data::Bool(x.iter().map(|&x| x != 0.0).collect()),
            (Data::Float(x), _) => {
                let whole = |&x: &f64| match x.trunc() {
                    x if x.abs() < 9e18 => Ok(Dim::fixed(x as i64)),
                    _ => misfit(format!("{x} as an integer"), "a finite number"),
                };
                Data::Int(x.iter().map(whole).collect::<Result<_, _>>()?)
            }
            (Data::Int(x), Type::Bool) => {
                Data::Bool(x.iter().map(|&x| Ok(x.compare(Dim::fixed(0))?.is_ne())).collect::<Result<_, Refusal>>()?)
            }
            (Data::Int(_), to) if to.is_float() => {
                Data::Float(self.integers()?.into_iter().map(|x| x as f64).collect())
            }
            (Data::Int(x), _) => Data::Int(x.clone()),
            (Data::Bool(x), Type::Bool) => Data::Bool(x.clone()),
            (Data::Bool(x), to) if to.is_float() => Data::Float(x.iter().map(|&x| f64::from(u8::from(x))).collect()),
            (Data::Bool(x), _) => Data::Int(x.iter().map(|&x| Dim::fixed(x.into())).collect()),
        };
        Ok(Self { shape: self.shape.clone(), data })
    }
}

/// Sizes from whole numbers.
pub(crate) fn sizes(numbers: &[i64]) -> Result<Vec<usize>, Refusal> {
    match numbers.iter().map(|&n| usize::try_from(n).ok()).collect() {
        Some(sizes) => Ok(sizes),
        None => misfit(format!("axes {numbers:?}"), "axes of at least 0"),
    }
}

/// Indices that count from behind where they are negative, each below `n`.
pub(crate) fn positions(indices: &[i64], n: usize) -> Result<Vec<usize>, Refusal> {
    indices
        .iter()
        .map(|&i| axis(i, n).or_else(|_| misfit(format!("index {i}"), format!("one of {n} entries"))))
        .collect()
}

/// The axes that go.
pub(crate) fn squeezed_axes(
    shape: &[usize],
    list: Option<&[i64]>,
    may: impl Fn(usize) -> bool,
) -> Result<Vec<usize>, Refusal> {
    let Some(list) = list else { return Ok((0..shape.len()).filter(|&i| shape[i] == 1 && may(i)).collect()) };
    let gone = axes(list, shape.len())?;
    match gone.iter().find(|&&i| shape[i] != 1 || !may(i)) {
        Some(i) => misfit(format!("axis {i} of {shape:?} taken away"), "an axis of length 1, and not that of samples"),
        None => Ok(gone),
    }
}

/// The axes that are put in.
pub(crate) fn unsqueezed_axes(call: &Call<'_>, rank: usize) -> Result<Vec<usize>, Refusal> {
    match call.list("axes", 1)? {
        Some(list) if list.len() < 64 => axes(&list, rank + list.len()),
        Some(_) => misfit("64 new axes and more", "fewer"),
        None => misfit("no axes", "the axes to put in"),
    }
}
