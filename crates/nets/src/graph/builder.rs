//! A graph from named parts, in any order.

use super::{Graph, GraphError, Node, Source, TensorInfo, TensorRole, Value};
use crate::ops::{Given, Misfit, Operation, Rule, len, shown};
use std::collections::HashMap;

/// Inputs, parameters, constants and nodes by name; [`GraphBuilder::build`] puts them in order and checks them.
///
/// ```
/// use superlinear_nets::{Dense, Function, GraphBuilder};
///
/// let graph = GraphBuilder::new()
///     .input("x", [10])
///     .parameter("fc1.weight", [12, 10])
///     .parameter("fc2.weight", [4, 12])
///     .node("fc1", Dense::default(), ["x", "fc1.weight"])
///     .node("act", Function::Gelu, ["fc1"])
///     .node("logits", Dense::default(), ["act", "fc2.weight"])
///     .build("logits")?;
/// assert_eq!(graph.n_params(), 168);
/// # Ok::<(), superlinear_nets::GraphError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    inputs: Vec<(String, Vec<usize>)>,
    tensors: Vec<(String, Vec<usize>, TensorRole, Init)>,
    nodes: Vec<(String, Operation, Vec<String>)>,
}

/// How a parameter is drawn before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All entries the same.
    Constant(f64),
    /// Uniform in `±1/√fan_in`.
    FanIn(usize),
}

impl GraphBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What samples have: a value of this shape for each.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        self.inputs.push((name.into(), shape.into()));
        self
    }

    /// A tensor that derivatives may be taken in, drawn as PyTorch draws weights: uniform in `±1/√fan_in` with the
    /// fan-in of all axes but the first; 0 with a single axis.
    #[must_use]
    pub fn parameter(self, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let init = if shape.len() > 1 { Init::FanIn(len(&shape[1..])) } else { Init::Constant(0.0) };
        self.parameter_with(name, shape, init)
    }

    /// A tensor that derivatives may be taken in.
    #[must_use]
    pub fn parameter_with(mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>, init: Init) -> Self {
        self.tensors.push((name.into(), shape.into(), TensorRole::Parameter, init));
        self
    }

    /// A tensor that stays as it is.
    #[must_use]
    pub fn constant(mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        self.tensors.push((name.into(), shape.into(), TensorRole::Constant, Init::Constant(0.0)));
        self
    }

    /// A node that gives the value of its name. Operands are inputs, parameters, constants and other nodes, declared
    /// before or after.
    #[must_use]
    pub fn node<N: Into<String>>(
        mut self,
        name: impl Into<String>,
        operation: impl Into<Operation>,
        operands: impl IntoIterator<Item = N>,
    ) -> Self {
        self.nodes.push((name.into(), operation.into(), operands.into_iter().map(N::into).collect()));
        self
    }

    /// The graph whose loss takes `output`. Nodes that it does not depend on are left out.
    ///
    /// # Errors
    /// When a name is used twice or unknown, a shape does not fit, nodes wait for each other in a circle, or the output
    /// is the same for all samples.
    pub fn build(self, output: &str) -> Result<Graph, GraphError> {
        let mut graph =
            Graph { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), tensors: Vec::new(), output: 0 };
        let mut known = HashMap::new();
        let mut declare = |name: &str, what: &str, value: usize| match known.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(GraphError::new(name, what, "a second value of that name", "every name once")),
        };
        for (name, shape) in self.inputs {
            declare(&name, "input", graph.values.len())?;
            sized(&name, "input", &shape)?;
            graph.inputs.push(graph.values.len());
            graph.values.push(Value { name, shape, shared: false, source: Source::Input });
        }
        for (name, shape, role, init) in self.tensors {
            let what = if role == TensorRole::Parameter { "parameter" } else { "constant" };
            declare(&name, what, graph.values.len())?;
            sized(&name, what, &shape)?;
            let start = graph.n_numbers(role);
            let range = start..start + len(&shape);
            let source = Source::Tensor(graph.tensors.len());
            graph.tensors.push(TensorInfo { value: graph.values.len(), role, init, range });
            graph.values.push(Value { name, shape, shared: true, source });
        }
        let mut by_name = HashMap::new();
        for (position, (name, operation, _)) in self.nodes.iter().enumerate() {
            declare(name, operation.name(), usize::MAX)?;
            by_name.insert(name.as_str(), position);
        }
        for position in in_order(&self.nodes, &by_name, &known, output)? {
            let (name, operation, operands) = &self.nodes[position];
            let operands: Vec<usize> = operands.iter().map(|operand| known[operand]).collect();
            let node = push(&mut graph, name, operation, operands)?;
            known.insert(name.clone(), node);
        }
        graph.output = known[output];
        if graph.values[graph.output].shared {
            return Err(GraphError::new(
                output,
                "output",
                "a value that all samples share",
                "one that depends on them",
            ));
        }
        Ok(graph)
    }
}

/// A shape without entries is none.
fn sized(name: &str, what: &str, shape: &[usize]) -> Result<(), GraphError> {
    match len(shape) {
        0 => Err(GraphError::new(name, what, format!("shape {}", shown(shape)), "axes of at least 1")),
        n if n > u32::MAX as usize => Err(GraphError::new(name, what, format!("{n} entries"), "fewer than 2³²")),
        _ => Ok(()),
    }
}

/// The nodes that `output` depends on, operands before users.
fn in_order(
    nodes: &[(String, Operation, Vec<String>)],
    by_name: &HashMap<&str, usize>,
    known: &HashMap<String, usize>,
    output: &str,
) -> Result<Vec<usize>, GraphError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let Some(&last) = by_name.get(output) else {
        return Err(GraphError::new(output, "output", "no node of that name", "one of the nodes"));
    };
    let mut marks = vec![Mark::New; nodes.len()];
    let mut order = Vec::new();
    // A node, and how many of its operands have been visited.
    let mut path = vec![(last, 0)];
    marks[last] = Mark::Open;
    while let Some((node, visited)) = path.last_mut() {
        let (name, operation, operands) = &nodes[*node];
        let Some(operand) = operands.get(*visited) else {
            marks[*node] = Mark::Done;
            order.push(*node);
            path.pop();
            continue;
        };
        *visited += 1;
        let Some(&next) = by_name.get(operand.as_str()) else {
            if known.contains_key(operand) {
                continue;
            }
            let expected = "an input, parameter, constant or node";
            return Err(GraphError::new(
                name,
                operation.name(),
                format!("operand {operand:?}, which is none"),
                expected,
            ));
        };
        match marks[next] {
            Mark::Done => {}
            Mark::New => {
                marks[next] = Mark::Open;
                path.push((next, 0));
            }
            Mark::Open => {
                let start = path.iter().position(|&(node, _)| node == next).unwrap_or(0);
                let names: Vec<&str> = path[start..].iter().rev().map(|&(node, _)| nodes[node].0.as_str()).collect();
                let found = format!("a circle: {} → {}", names.join(" → "), names[0]);
                return Err(GraphError::new(name, operation.name(), found, "operands that do not depend on it"));
            }
        }
    }
    Ok(order)
}

/// Checks a node and appends it; returns the value that it gives.
fn push(graph: &mut Graph, name: &str, operation: &Operation, operands: Vec<usize>) -> Result<usize, GraphError> {
    let error = |misfit: Misfit| GraphError::new(name, operation.name(), misfit.found, misfit.expected);
    if operands.is_empty() {
        return Err(error(Misfit::new("no operand", "at least one")));
    }
    // Constant is what no parameter goes into.
    let mut constant: Vec<bool> = Vec::with_capacity(graph.values.len());
    for value in &graph.values {
        constant.push(match value.source {
            Source::Input => true,
            Source::Tensor(tensor) => graph.tensors[tensor].role == TensorRole::Constant,
            Source::Node(node) => graph.nodes[node].operands.iter().all(|&operand| constant[operand]),
        });
    }
    let given: Vec<Given<'_>> = operands
        .iter()
        .map(|&v| Given { shape: &graph.values[v].shape, shared: graph.values[v].shared, constant: constant[v] })
        .collect();
    let shape = operation.shape(&given).map_err(error)?;
    sized(name, operation.name(), &shape)?;
    let shapes: Vec<&[usize]> = given.iter().map(|given| given.shape).collect();
    let maps = operation.maps(&shapes, &shape);
    let shared = given.iter().all(|given| given.shared);
    let value = graph.values.len();
    let source = Source::Node(graph.nodes.len());
    graph.nodes.push(Node { operation: operation.clone(), operands, value, maps });
    graph.values.push(Value { name: name.to_owned(), shape, shared, source });
    Ok(value)
}
