//! What passes take, before they run.

use super::{Graph, Source, Variables};
use crate::Scalar;
use crate::ops::{Operation, Rule, len};

/// The most that passes of one block hold at a time, in bytes, operations' own scratch included; of numbers that the
/// caller keeps (directions, sums) nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Values and gradients of the block, held from one product to the next.
    pub block: u64,
    /// Tangents and their gradients, while a product with `k` directions runs.
    pub product: u64,
}

impl MemoryEstimate {
    /// Of blocks of `n` samples and products with `k` directions over `variables` of `graph`.
    pub fn of<T: Scalar>(graph: &Graph, variables: &Variables, n: usize, k: usize) -> Self {
        let mut moves = vec![false; graph.values.len()];
        variables.tensors.iter().chain(&variables.values).for_each(|&v| moves[v] = true);
        let (mut block, mut product, mut scratch) = (0, 0, 0);
        for &v in &graph.inputs {
            block += graph.entries(v, n);
        }
        for &v in &variables.tensors {
            product += k * graph.entries(v, n);
        }
        for node in &graph.nodes {
            moves[node.value] |= node.operands.iter().any(|&operand| moves[operand]);
            let entries = graph.entries(node.value, n);
            block += entries;
            if moves[node.value] {
                let value = &graph.values[node.value];
                block += entries + node.operation.saved(&value.shape) * if value.shared { 1 } else { n };
                product += 2 * k * entries;
            }
            scratch = scratch.max(Self::scratch(graph, node, n, k));
        }
        let bytes = |numbers: usize| (numbers * size_of::<T>()) as u64;
        Self { block: bytes(block), product: bytes(product + scratch) }
    }

    /// Numbers that an operation takes by itself: unfolded windows, operands written out to a broadcast shape.
    fn scratch(graph: &Graph, node: &super::Node, n: usize, k: usize) -> usize {
        let value = &graph.values[node.value];
        match &node.operation {
            Operation::Convolution(convolution) => {
                let input = &graph.values[node.operands[0]].shape;
                let unfolded = input[0] / convolution.groups * len(&convolution.window.kernel) * len(&value.shape[1..]);
                // Padded 3×3: patches or tiles, and images in the order of pixels.
                let pixels = n * (len(input) + len(&value.shape));
                unfolded.max(8 * pixels + 16 * graph.entries(node.operands[1], 1))
            }
            Operation::Arithmetic(_) => {
                let broadcast = node.maps.iter().filter(|map| !map.is_empty()).count();
                let blocks = |v: &usize| if matches!(graph.values[*v].source, Source::Tensor(_)) { 1 } else { n };
                let most = node.operands.iter().map(blocks).max().unwrap_or(1);
                broadcast * len(&value.shape) * most * (1 + k)
            }
            _ => 0,
        }
    }
}
