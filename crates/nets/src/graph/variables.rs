//! What derivatives are taken in, and vectors over it.

use super::{Graph, GraphError, Source, TensorRole, ValueId};
use crate::Scalar;
use crate::ops::len;
use faer::{MatMut, MatRef};

/// Parameters, or values inside the graph, that derivatives are taken in.
///
/// A vector over parameters has their entries one after the other in the order in which they were **declared**,
/// whatever order they were named in, each row-major. All parameters therefore have the order of
/// [`Model::params`](super::Model::params).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// Values, ascending.
    pub(super) tensors: Vec<usize>,
    /// Where each tensor stands in a vector.
    pub(super) ranges: Vec<std::ops::Range<usize>>,
    /// Values of nodes, as they were given.
    pub(super) values: Vec<usize>,
}

impl Variables {
    /// All parameters of `graph`.
    pub fn all(graph: &Graph) -> Self {
        Self::of(graph, graph.tensors(TensorRole::Parameter).map(|value| value.0).collect())
    }

    /// The named parameters of `graph`.
    ///
    /// # Errors
    /// When none is named, one twice, or one is no parameter.
    pub fn parameters<'s>(graph: &Graph, names: impl IntoIterator<Item = &'s str>) -> Result<Self, GraphError> {
        let mut tensors = Vec::new();
        for name in names {
            let parameter = graph.tensors(TensorRole::Parameter).find(|&value| graph.name(value) == name);
            let Some(ValueId(value)) = parameter else {
                return Err(GraphError::new(name, "parameter", "no parameter of that name", "one of the graph's"));
            };
            if tensors.contains(&value) {
                return Err(GraphError::new(name, "parameter", "it is named twice", "every parameter once"));
            }
            tensors.push(value);
        }
        if tensors.is_empty() {
            return Err(GraphError::new("selection", "parameters", "none", "at least one"));
        }
        tensors.sort_unstable();
        Ok(Self::of(graph, tensors))
    }

    /// Values that nodes give, as if something were added to each: `∂²ℓ/∂z²` is the second derivative in what is added.
    ///
    /// # Panics
    /// When one is not given by a node.
    #[track_caller]
    pub fn values(graph: &Graph, values: &[ValueId]) -> Self {
        let of_node = |value: &ValueId| matches!(graph.values[value.0].source, Source::Node(_));
        assert!(values.iter().all(of_node), "values that nodes give");
        Self { tensors: Vec::new(), ranges: Vec::new(), values: values.iter().map(|value| value.0).collect() }
    }

    fn of(graph: &Graph, tensors: Vec<usize>) -> Self {
        let mut end = 0;
        let range = |&value: &usize| {
            let start = end;
            end += len(&graph.values[value].shape);
            start..end
        };
        Self { ranges: tensors.iter().map(range).collect(), tensors, values: Vec::new() }
    }

    /// `P`: entries of a vector over the parameters.
    pub fn n_params(&self) -> usize {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// The parameters, in the order of a vector's entries.
    pub fn tensors(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.tensors.iter().copied().map(ValueId)
    }

    /// Where each parameter stands in a vector.
    pub fn ranges(&self) -> &[std::ops::Range<usize>] {
        &self.ranges
    }
}

/// `K` vectors over [`Variables`], tensor by tensor as passes read them.
#[derive(Clone, Debug)]
pub struct GraphDirections<T> {
    pub(super) k: usize,
    /// `[k][entry]`, one a tensor.
    pub(super) tensors: Vec<Vec<T>>,
}

impl<T: Scalar> GraphDirections<T> {
    /// The columns of `vectors`, `P × K`.
    ///
    /// # Panics
    /// When there are other than `P` rows.
    #[track_caller]
    pub fn new(variables: &Variables, vectors: MatRef<'_, T>) -> Self {
        assert_eq!(vectors.nrows(), variables.n_params(), "one row a parameter");
        let tensor = |range: &std::ops::Range<usize>| {
            let columns = (0..vectors.ncols()).map(|k| vectors.col(k).subrows(range.start, range.len()));
            columns.flat_map(|column| (0..column.nrows()).map(move |i| column[i])).collect()
        };
        Self { k: vectors.ncols(), tensors: variables.ranges.iter().map(tensor).collect() }
    }

    /// `K`.
    pub fn n_vectors(&self) -> usize {
        self.k
    }
}

/// Sums over samples of `K` vectors over [`Variables`], tensor by tensor as passes add to them.
#[derive(Clone, Debug)]
pub struct GraphSums<T> {
    pub(super) k: usize,
    pub(super) tensors: Vec<Vec<T>>,
}

impl<T: Scalar> GraphSums<T> {
    /// Zeros for `k` vectors.
    pub fn zeros(variables: &Variables, k: usize) -> Self {
        Self { k, tensors: variables.ranges.iter().map(|range| vec![T::ZERO; k * range.len()]).collect() }
    }

    /// `K`.
    pub fn n_vectors(&self) -> usize {
        self.k
    }

    /// Sets all sums to zero.
    pub fn clear(&mut self) {
        self.tensors.iter_mut().for_each(|tensor| tensor.fill(T::ZERO));
    }

    /// Adds the sums, times `scale`, to the columns of `out`, `P × K`.
    ///
    /// # Panics
    /// When `out` has another shape.
    #[track_caller]
    pub fn add_to(&self, variables: &Variables, scale: T, mut out: MatMut<'_, T>) {
        assert!(out.shape() == (variables.n_params(), self.k), "out is P × K");
        for (tensor, range) in self.tensors.iter().zip(&variables.ranges) {
            for (k, sum) in tensor.chunks_exact(range.len()).enumerate() {
                let column = out.as_mut().col_mut(k).subrows_mut(range.start, range.len());
                column.iter_mut().zip(sum).for_each(|(x, &s)| *x += scale * s);
            }
        }
    }
}
