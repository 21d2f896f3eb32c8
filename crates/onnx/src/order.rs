//! The nodes that an output depends on, each behind those that it waits for.

use crate::OnnxError;
use crate::proto::{GraphProto, NodeProto};
use std::collections::HashMap;

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// The name of a node in messages: its own, or that of the first thing that it gives.
pub(crate) fn name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// Nodes in order, without those that `output` does not depend on.
pub(crate) fn needed<'a>(graph: &'a GraphProto, output: &str) -> Result<Vec<&'a NodeProto>, OnnxError> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (position, node) in graph.node.iter().enumerate() {
        for made in node.output.iter().filter(|made| !made.is_empty()) {
            if makers.insert(made, position).is_some() {
                let found = format!("a second value of the name {made:?}");
                return Err(OnnxError::invalid(name(node), &node.op_type, found, "every name once"));
            }
        }
    }
    let mut marks = vec![Mark::New; graph.node.len()];
    let mut order = Vec::new();
    // A node, and how many of its operands have been visited.
    let mut path: Vec<(usize, usize)> = Vec::new();
    if let Some(&last) = makers.get(output) {
        marks[last] = Mark::Open;
        path.push((last, 0));
    }
    while let Some((position, visited)) = path.last_mut() {
        let node = &graph.node[*position];
        let Some(operand) = node.input.get(*visited) else {
            marks[*position] = Mark::Done;
            order.push(node);
            path.pop();
            continue;
        };
        *visited += 1;
        let Some(&next) = makers.get(operand.as_str()) else { continue };
        match marks[next] {
            Mark::Done => {}
            Mark::New => {
                marks[next] = Mark::Open;
                path.push((next, 0));
            }
            Mark::Open => {
                let found = format!("operand {operand:?}, which waits for it: nodes in a circle");
                return Err(OnnxError::invalid(name(node), &node.op_type, found, "operands that do not depend on it"));
            }
        }
    }
    Ok(order)
}
