//! From the bytes of a file to a model.

use crate::OnnxError;
use crate::build::{build, turned};
use crate::call::Call;
use crate::error::{Refusal, Unsupported};
use crate::known::Known;
use crate::model::{Input, OnnxModel};
use crate::order::{name, needed};
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use crate::tensor::{self, Type};
use crate::trace::{Trace, is_made_up};
use crate::value::{Operand, Value, Weight};
use prost::Message;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use superlinear_nets::Model;

/// Samples that a file may be for, and entries along one axis of an input.
const LARGEST: i64 = 1 << 24;
/// Nodes of a graph.
const NODES: usize = 1 << 15;
/// The versions of ONNX's operations that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=21;

/// What to read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The value that the loss takes: any that a node of the file gives. `None` is the one output of the file.
    pub output: Option<String>,
    /// Tensors of the file that stay as they are and are no parameters: tables and scales that an exporter computed.
    pub constants: Vec<String>,
}

/// Reads an ONNX file; weights in files beside it are read too.
///
/// # Errors
/// When a file cannot be read, is damaged, has operations that are not read (all are listed), or is no function of each
/// sample by itself.
pub fn read(path: impl AsRef<Path>) -> Result<OnnxModel, OnnxError> {
    read_with(path, &Options::default())
}

/// As [`read`], with options.
///
/// # Errors
/// As [`read`], and when there is no such output or constant.
pub fn read_with(path: impl AsRef<Path>, options: &Options) -> Result<OnnxModel, OnnxError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| OnnxError::Io { path: path.to_owned(), source })?;
    let folder = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    from_bytes(&bytes, folder, options)
}

/// A model from the bytes of a file; `folder` is where files with its weights may lie.
///
/// # Errors
/// As [`read_with`], and when weights lie in other files and there is no folder.
pub fn from_bytes(bytes: &[u8], folder: Option<&Path>, options: &Options) -> Result<OnnxModel, OnnxError> {
    let file = ModelProto::decode(bytes)?;
    let graph = file.graph.as_ref().ok_or_else(|| OnnxError::invalid("model", "file", "no graph", "one"))?;
    let opset = opset(&file)?;
    if !graph.sparse_initializer.is_empty() {
        return Err(OnnxError::invalid("model", "file", "sparse tensors", "dense ones"));
    }
    if graph.node.len() > NODES {
        let found = format!("{} nodes", graph.node.len());
        return Err(OnnxError::invalid("model", "file", found, format!("at most {NODES}")));
    }
    let output = output(graph, options)?;
    let nodes = needed(graph, output)?;
    let (inputs, fixed) = inputs(graph)?;
    let tensors = tensors(graph, &inputs)?;
    if let Some(name) = options.constants.iter().find(|name| !tensors.contains_key(name.as_str())) {
        return Err(OnnxError::invalid(name, "constant", "no tensor of that name", "one of the file's initialisers"));
    }
    // Numbers are read when something asks for them, once.
    let held: RefCell<HashMap<String, Rc<Known>>> = RefCell::default();
    let wrong: RefCell<Option<OnnxError>> = RefCell::default();
    let numbers = |name: &str| {
        if let Some(known) = held.borrow().get(name) {
            return Some(known.clone());
        }
        match tensor::read(tensors.get(name)?, folder) {
            Ok(known) => Some(held.borrow_mut().entry(name.to_owned()).or_insert(Rc::new(known)).clone()),
            Err(error) => {
                wrong.borrow_mut().get_or_insert(error);
                None
            }
        }
    };
    let names = inputs.iter().map(|input| input.name.clone()).chain(tensors.keys().map(|&name| name.to_owned()));
    let mut uses = HashMap::from([(output, 1)]);
    for operand in nodes.iter().flat_map(|node| &node.input) {
        *uses.entry(operand).or_insert(0) += 1;
    }
    let mut trace = Trace::new(names.collect(), fixed, uses, &numbers);
    let mut reading = Reading { values: HashMap::new(), unsupported: Vec::new(), aliases: Vec::new() };
    for input in &inputs {
        match trace.input(&input.name, &input.shape, input.integer) {
            Ok(traced) => reading.values.insert(input.name.clone(), Value::Traced(traced)),
            Err(refusal) => return Err(refused(&input.name, "input", refusal)),
        };
    }
    for (&name, tensor) in &tensors {
        let (kind, shape) = tensor::header(tensor)?;
        // A number that an exporter wrote as a tensor is no parameter.
        let uniform = |known: &Known| {
            let x = known.floats().unwrap_or_default();
            !x.is_empty() && x.iter().all(|other| *other == x[0])
        };
        let constant = !kind.is_float()
            || options.constants.iter().any(|constant| constant == name)
            || (is_made_up(name) && numbers(name).is_none_or(|known| uniform(&known)));
        let value = match constant.then(|| numbers(name)) {
            None => Value::Weight(Weight { name: name.to_owned(), shape, transposed: false }),
            Some(Some(known)) => Value::Known(known),
            Some(None) => continue,
        };
        reading.values.insert(name.to_owned(), value);
    }
    if let Some(error) = wrong.take() {
        return Err(error);
    }
    for node in nodes {
        let done = reading.node(node, opset, &mut trace);
        if let Some(error) = wrong.take() {
            return Err(error);
        }
        done?;
    }
    if !reading.unsupported.is_empty() {
        return Err(OnnxError::Unsupported(reading.unsupported));
    }
    let last = reading.last(output, &mut trace)?;
    let aliases = std::mem::take(&mut reading.aliases);
    let built = build(&inputs, graph, &tensors, (trace.nodes, trace.constants), &last)?;
    let model = Model::new(built.graph, |name| match built.constants.get(name) {
        Some(constant) => Some(constant.clone()),
        None => {
            let known = numbers(name)?;
            Some(turned(known.floats()?, &known.shape, *built.forms.get(name)?))
        }
    });
    if let Some(error) = wrong.take() {
        return Err(error);
    }
    let producer = [file.producer_name.trim(), file.producer_version.trim()].join(" ").trim().to_owned();
    let parameters = built.parameters;
    Ok(OnnxModel { model: model?, inputs, parameters, aliases, fixed_batch: fixed, opset, producer })
}

fn refused(name: &str, what: &str, refusal: Refusal) -> OnnxError {
    match refusal {
        Refusal::Misfit(found, expected) => OnnxError::invalid(name, what, found, expected),
        Refusal::Unsupported(why) => {
            OnnxError::Unsupported(vec![Unsupported { node: name.to_owned(), operation: what.to_owned(), why }])
        }
    }
}

/// The version of ONNX's own operations.
fn opset(file: &ModelProto) -> Result<i64, OnnxError> {
    let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let found = file.opset_import.iter().filter(|opset| own(&opset.domain)).map(|opset| opset.version).max();
    let expected = || format!("a version from {} to {}", OPSETS.start(), OPSETS.end());
    match found {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(version) => Err(OnnxError::invalid("model", "file", format!("opset {version}"), expected())),
        None => Err(OnnxError::invalid("model", "file", "no opset", expected())),
    }
}

/// The name of the value that the loss takes.
fn output<'a>(graph: &'a GraphProto, options: &'a Options) -> Result<&'a str, OnnxError> {
    let names: Vec<&str> = graph.output.iter().map(|output| &*output.name).collect();
    if let Some(asked) = &options.output {
        let there = graph.node.iter().flat_map(|node| &node.output).any(|made| made == asked);
        return match there && !asked.is_empty() {
            true => Ok(asked),
            false => Err(OnnxError::invalid(asked, "output", "no value of that name", format!("one of {names:?}"))),
        };
    }
    match names[..] {
        [output] => Ok(output),
        _ => {
            let found = format!("{} outputs, {names:?}", names.len());
            Err(OnnxError::invalid("model", "file", found, "one, or the choice of one (`Options::output`)"))
        }
    }
}

/// What samples have, and the number of samples that the file is for if it is fixed.
fn inputs(graph: &GraphProto) -> Result<(Vec<Input>, Option<usize>), OnnxError> {
    let tensors: HashSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
    let (mut inputs, mut batch): (Vec<Input>, Option<(String, Option<i64>)>) = (Vec::new(), None);
    for input in graph.input.iter().filter(|input| !tensors.contains(&*input.name)) {
        let error = |found: String, expected: &str| OnnxError::invalid(&input.name, "input", found, expected);
        if inputs.iter().any(|known| known.name == input.name) || input.name.is_empty() {
            return Err(error("a second input of that name, or none".into(), "a name of its own"));
        }
        let (kind, dims) = typed(input).ok_or_else(|| error("no type or shape".into(), "numbers with axes"))?;
        let integer = match kind {
            Some(Type::Int { .. }) => true,
            Some(kind) if kind.is_float() => false,
            _ => return Err(error("another type".into(), "floating-point or whole numbers")),
        };
        let Some((first, rest)) = dims.split_first() else {
            return Err(error("no axes".into(), "a first axis for the samples"));
        };
        let first = match first {
            (Some(n), _) if !(1..=LARGEST).contains(n) => return Err(error(format!("{n} samples"), "at least one")),
            (Some(n), _) => (format!("{n}"), Some(*n)),
            (None, name) => (name.clone().unwrap_or_default(), None),
        };
        match &batch {
            Some(other) if *other != first => {
                let found = format!("a first axis {:?} beside one of {:?}", first.0, other.0);
                return Err(error(found, "the same samples along the first axis of every input"));
            }
            _ => batch = Some(first),
        }
        let mut shape = Vec::new();
        for (i, dim) in rest.iter().enumerate() {
            match dim {
                (Some(n @ 1..=LARGEST), _) => shape.push(*n as usize),
                (found, name) => {
                    let found = match (found, name) {
                        (Some(n), _) => format!("axis {} of {n}", i + 1),
                        (None, name) => format!("axis {} of open length {:?}", i + 1, name.as_deref().unwrap_or("")),
                    };
                    return Err(error(found, "fixed lengths of all axes but the first, that of the samples"));
                }
            }
        }
        inputs.push(Input { name: input.name.clone(), shape, integer });
    }
    let fixed = batch.and_then(|(_, fixed)| fixed).map(|n| n as usize);
    Ok((inputs, fixed))
}

type Dimension = (Option<i64>, Option<String>);

/// The type of an input, if it is one that is read, and its axes.
fn typed(input: &ValueInfoProto) -> Option<(Option<Type>, Vec<Dimension>)> {
    let tensor = input.r#type.as_ref()?.tensor_type.as_ref()?;
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| (dim.dim_value, dim.dim_param.clone())).collect();
    Some((Type::of(tensor.elem_type), dims))
}

fn tensors<'a>(graph: &'a GraphProto, inputs: &[Input]) -> Result<HashMap<&'a str, &'a TensorProto>, OnnxError> {
    let mut tensors = HashMap::new();
    for tensor in &graph.initializer {
        let taken = tensors.insert(&*tensor.name, tensor).is_some();
        if taken || tensor.name.is_empty() || inputs.iter().any(|input| input.name == tensor.name) {
            return Err(OnnxError::invalid(&tensor.name, "tensor", "a second value of that name", "every name once"));
        }
    }
    Ok(tensors)
}

/// What has been read so far.
struct Reading {
    values: HashMap<String, Value>,
    unsupported: Vec<Unsupported>,
    aliases: Vec<(String, String)>,
}

impl Reading {
    fn node(&mut self, node: &NodeProto, opset: i64, trace: &mut Trace<'_>) -> Result<(), OnnxError> {
        let mut call = Call { node, opset, inputs: Vec::new() };
        let mut unread = false;
        for operand in &node.input {
            if operand.is_empty() {
                call.inputs.push(None);
                continue;
            }
            let Some(value) = self.values.get(operand) else {
                let found = format!("operand {operand:?}, which is none");
                return Err(OnnxError::invalid(
                    name(node),
                    &node.op_type,
                    found,
                    "an input, a tensor or a node's value",
                ));
            };
            unread |= matches!(value, Value::Unread);
            call.inputs.push(Some(value.clone()));
        }
        let own = node.domain.is_empty() || node.domain == "ai.onnx";
        let given = match own {
            false => Err(Refusal::Unsupported(format!("of the domain {:?}", node.domain))),
            // Whether an operation is read at all can be said without its operands.
            true if unread && READ.contains(&&*node.op_type) => Ok(Vec::new()),
            true if unread => Err(Refusal::Unsupported(String::new())),
            true => trace.call(&call),
        };
        let given = match given {
            Ok(given) => given,
            Err(Refusal::Unsupported(why)) => {
                let (node, operation) = (name(node).to_owned(), node.op_type.clone());
                self.unsupported.push(Unsupported { node, operation, why });
                unread = true;
                Vec::new()
            }
            Err(refusal) => return Err(refused(name(node), &node.op_type, refusal)),
        };
        let mut given = given.into_iter();
        for made in &node.output {
            let value = given.next();
            if made.is_empty() {
                continue;
            }
            if self.values.contains_key(made) {
                let found = format!("a second value of the name {made:?}");
                return Err(OnnxError::invalid(name(node), &node.op_type, found, "every name once"));
            }
            if let (Some(Value::Weight(weight)), "Identity") = (&value, &*node.op_type) {
                self.aliases.push((made.clone(), weight.name.clone()));
            }
            match value {
                Some(value) => self.values.insert(made.clone(), value),
                None if unread => self.values.insert(made.clone(), Value::Unread),
                // A further output that nothing here has; who asks for it will say so.
                None => None,
            };
        }
        Ok(())
    }

    /// The name in the graph of the value that the loss takes.
    fn last(&self, output: &str, trace: &mut Trace<'_>) -> Result<String, OnnxError> {
        let error = |found: &str| OnnxError::invalid(output, "output", found, "a value of each sample, the first axis");
        let value = match self.values.get(output) {
            Some(Value::Traced(traced)) if traced.masked => return Err(error("a value with −∞")),
            Some(Value::Traced(traced)) => traced.clone(),
            Some(Value::Known(_) | Value::Weight(_)) => return Err(error("a tensor that all samples share")),
            Some(_) => return Err(error("a comparison")),
            None => return Err(error("no value of that name")),
        };
        let node = NodeProto { output: vec![output.to_owned()], ..Default::default() };
        let value = trace.with_samples(&Call { node: &node, opset: 0, inputs: Vec::new() }, value);
        match value.map_err(|refusal| refused(output, "output", refusal))?.operand {
            Operand::Named(name) => Ok(name),
            Operand::Weight(..) => Err(error("a tensor that all samples share")),
        }
    }
}

/// All operations that are read, in some form.
const READ: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "Cos",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "Greater",
    "GreaterOrEqual",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "IsNaN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Where",
    "Xor",
];
