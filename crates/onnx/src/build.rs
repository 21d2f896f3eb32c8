//! The graph of what has been read, with its tensors in the forms in which it uses them.

use crate::OnnxError;
use crate::model::{Input, Layout, Parameter};
use crate::proto::{GraphProto, TensorProto};
use crate::tensor;
use crate::trace::Emitted;
use crate::value::{Form, Operand};
use std::collections::{BTreeSet, HashMap, HashSet};
use superlinear_nets::{Graph, GraphBuilder, Reshape, Transpose};

/// The nodes that `last` depends on, by position.
fn live(nodes: &[Emitted], last: &str) -> Vec<bool> {
    let mut wanted: HashSet<&str> = HashSet::from([last]);
    let mut live = vec![false; nodes.len()];
    // Operands come before their users.
    for (position, node) in nodes.iter().enumerate().rev() {
        if wanted.contains(&*node.name) {
            live[position] = true;
            wanted.extend(node.operands.iter().filter_map(|operand| match operand {
                Operand::Named(name) => Some(&**name),
                Operand::Weight(..) => None,
            }));
        }
    }
    live
}

/// A graph, with what its tensors are.
pub(crate) struct Built {
    pub(crate) graph: Graph,
    pub(crate) constants: HashMap<String, Vec<f64>>,
    pub(crate) forms: HashMap<String, Form>,
    pub(crate) parameters: Vec<Parameter>,
}

/// Nodes and constants.
type Parts = (Vec<Emitted>, Vec<(String, Vec<usize>, Vec<f64>)>);

/// The graph of what has been read.
pub(crate) fn build(
    inputs: &[Input],
    file: &GraphProto,
    tensors: &HashMap<&str, &TensorProto>,
    (nodes, constants): Parts,
    last: &str,
) -> Result<Built, OnnxError> {
    let live = live(&nodes, last);
    let nodes: Vec<Emitted> = nodes.into_iter().zip(&live).filter(|(_, live)| **live).map(|(node, _)| node).collect();
    let mut uses: HashMap<&str, BTreeSet<Form>> = HashMap::new();
    let mut wanted: HashSet<&str> = HashSet::new();
    for operand in nodes.iter().flat_map(|node| &node.operands) {
        match operand {
            Operand::Weight(name, form) => _ = uses.entry(name).or_default().insert(*form),
            Operand::Named(name) => _ = wanted.insert(name),
        }
    }
    let mut builder = GraphBuilder::new();
    for input in inputs {
        builder = builder.input(&*input.name, &*input.shape);
    }
    let (mut forms, mut parameters) = (HashMap::new(), Vec::new());
    // A weight that is used in two forms stays as it is, and nodes make the others of it.
    let mut made = Vec::new();
    for tensor in file.initializer.iter().filter(|tensor| tensors.contains_key(&*tensor.name)) {
        let Some(used) = uses.get(&*tensor.name) else { continue };
        let (_, file_shape) = tensor::header(tensor)?;
        let form = match used.first() {
            Some(&form) if used.len() == 1 => form,
            _ => Form::AsIs,
        };
        builder = builder.parameter(&*tensor.name, formed(&file_shape, form));
        made.extend(used.iter().filter(|other| **other != form).map(|&other| (tensor, other, file_shape.clone())));
        let layout = match form {
            Form::AsIs => Layout::AsInFile,
            Form::Transposed => Layout::Transposed,
            Form::Row => Layout::Row,
        };
        parameters.push(Parameter { name: tensor.name.clone(), file_shape, layout });
        forms.insert(tensor.name.clone(), form);
    }
    for (tensor, form, file_shape) in made {
        let name = other_form(&tensor.name, form);
        builder = match form {
            Form::Transposed => builder.node(name, Transpose { axes: vec![1, 0] }, [&*tensor.name]),
            _ => builder.node(name, Reshape { shape: formed(&file_shape, form) }, [&*tensor.name]),
        };
    }
    let mut numbers = HashMap::new();
    for (name, shape, constant) in constants {
        if wanted.contains(&*name) {
            builder = builder.constant(&*name, shape);
            numbers.insert(name, constant);
        }
    }
    for node in &nodes {
        let operands = node.operands.iter().map(|operand| match operand {
            Operand::Named(name) => name.clone(),
            Operand::Weight(name, form) if forms.get(name) == Some(form) => name.clone(),
            Operand::Weight(name, form) => other_form(name, *form),
        });
        builder = builder.node(&*node.name, node.operation.clone(), operands);
    }
    Ok(Built { graph: builder.build(last)?, constants: numbers, forms, parameters })
}

/// What a weight in a form beside its own is called.
fn other_form(name: &str, form: Form) -> String {
    format!("{name}/{}", if form == Form::Transposed { "turned" } else { "row" })
}

fn formed(shape: &[usize], form: Form) -> Vec<usize> {
    match (form, shape) {
        (Form::Transposed, [rows, columns]) => vec![*columns, *rows],
        (Form::Row, [c_out, c_in, k]) => vec![*c_out, *c_in, 1, *k],
        _ => shape.to_vec(),
    }
}

/// The numbers of a tensor of the file in another form.
pub(crate) fn turned(numbers: &[f64], shape: &[usize], form: Form) -> Vec<f64> {
    match (form, shape) {
        (Form::Transposed, &[rows, columns]) => {
            (0..columns).flat_map(|j| (0..rows).map(move |i| numbers[i * columns + j])).collect()
        }
        _ => numbers.to_vec(),
    }
}
