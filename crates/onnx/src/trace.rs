//! From the nodes of a file to those of a graph: what is shared by all operations.

mod arithmetic;
mod functions;
mod layers;
mod normalise;
mod samples;
mod shapes;
mod windows;

pub(crate) use layers::is_made_up;

use crate::call::Call;
use crate::error::{Refusal, misfit, unsupported};
use crate::fold::fold;
use crate::known::{Data, Known};
use crate::value::{Batch, Budget, Form, Operand, Traced, Value, Weight};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use superlinear_nets::{Operation, Reduction, Transpose};

/// What `−∞` becomes, which `e` to the power of is 0 in both precisions.
const MASKED: f64 = -1e30;

/// A node of the graph in the making.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) operands: Vec<Operand>,
}

/// A graph in the making.
pub(crate) struct Trace<'a> {
    pub(crate) nodes: Vec<Emitted>,
    by_name: HashMap<String, usize>,
    pub(crate) constants: Vec<(String, Vec<usize>, Vec<f64>)>,
    /// Positions of constants.
    constant_at: HashMap<String, usize>,
    names: HashSet<String>,
    /// How many names there are of one base.
    of_base: HashMap<String, usize>,
    /// What values of one sample may still take.
    pub(crate) budget: Budget,
    /// What known tensors may still take.
    pub(crate) known: Budget,
    /// The number of samples that the file is for, if it is fixed to 2 or more.
    pub(crate) fixed: Option<usize>,
    /// The file is for one sample at a time: what it computes is done for each, with its axis of length 1.
    single: bool,
    /// What was reshaped to a value, and its axes in the graph.
    sources: HashMap<String, (Operand, Vec<usize>)>,
    /// How many nodes use a value of the file.
    uses: HashMap<&'a str, usize>,
    /// The numbers of a tensor of the file.
    numbers: &'a dyn Fn(&str) -> Option<Rc<Known>>,
}

impl<'a> Trace<'a> {
    /// Nothing yet; `names` are those of the file's inputs and tensors.
    pub(crate) fn new(
        names: HashSet<String>,
        fixed: Option<usize>,
        uses: HashMap<&'a str, usize>,
        numbers: &'a dyn Fn(&str) -> Option<Rc<Known>>,
    ) -> Self {
        Self {
            nodes: Vec::new(),
            by_name: HashMap::new(),
            constants: Vec::new(),
            constant_at: HashMap::new(),
            names,
            of_base: HashMap::new(),
            single: fixed == Some(1),
            sources: HashMap::new(),
            budget: Budget::new(1 << 26),
            known: Budget::new(1 << 24),
            fixed: fixed.filter(|&n| n > 1),
            uses,
            numbers,
        }
    }

    /// What the outputs of a node stand for.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
        let mut given = self.given(call)?;
        for value in if self.single { &mut given[..] } else { &mut [] } {
            if let Value::Traced(traced @ Traced { batch: Some(_), .. }) = value {
                let operand = self.reshaped(call, "of one", traced, traced.shape.clone());
                *traced = Traced { operand, batch: None, ..traced.clone() };
            }
        }
        Ok(given)
    }

    fn given(&mut self, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
        let op = &*call.node.op_type;
        match op {
            "Constant" => return constant(call),
            "Shape" => return shape(call).map(one_known),
            "Size" => return unsupported("the number of entries of a value"),
            _ => {}
        }
        if let Some(known) = fold(call, &mut self.known)? {
            return Ok(known.into_iter().map(|known| Value::Known(Rc::new(known))).collect());
        }
        self.expect_masks_in_softmax(call)?;
        let value = match op {
            "Identity" | "Dropout" => self.identity(call)?,
            "Cast" | "CastLike" => self.cast(call)?,
            "Add" => self.add(call)?,
            "Mul" => self.multiply(call)?,
            "Sub" | "Div" | "Pow" | "Sum" => self.arithmetic(call)?,
            "Greater" | "GreaterOrEqual" => self.above(call)?,
            "IsNaN" => Value::Never,
            "Where" => self.choose(call)?,
            "MatMul" => self.matrix_product(call)?,
            "Gemm" => self.gemm(call)?,
            "Conv" => self.convolution(call)?,
            "MaxPool" | "AveragePool" => self.pool(call)?,
            "GlobalAveragePool" => self.global_pool(call)?,
            "BatchNormalization" => self.batch_norm(call)?,
            "LayerNormalization" => self.layer_norm(call)?,
            "InstanceNormalization" => self.instance_norm(call)?,
            "GroupNormalization" => self.group_norm(call)?,
            "Softmax" => self.softmax(call)?,
            "LogSoftmax" => {
                let input = call.name_of(0);
                return unsupported(format!(
                    "cross-entropy is a function of logits: read the output {input:?} (`Options::output`), or export \
                     the network without its last log-softmax"
                ));
            }
            "ReduceMean" => self.reduce(call, Reduction::Mean)?,
            "ReduceSum" => self.reduce(call, Reduction::Sum)?,
            "Reshape" => self.reshape(call)?,
            "Flatten" => self.flatten(call)?,
            "Transpose" => self.transpose(call)?,
            "Squeeze" => self.squeeze(call)?,
            "Unsqueeze" => self.unsqueeze(call)?,
            "Expand" => self.expand(call)?,
            "Tile" => self.tile(call)?,
            "ConstantOfShape" => self.constant_of_shape(call)?,
            "Concat" => self.concatenate(call)?,
            "Split" => return self.split(call),
            "SplitToSequence" => self.sequence(call)?,
            "SequenceAt" => sequence_at(call)?,
            "Slice" => self.slice(call)?,
            "Gather" => self.gather(call)?,
            _ => self.function(call)?,
        };
        Ok(vec![value])
    }

    /// Minus infinity is a mask, and has a meaning in sums that a softmax takes only.
    fn expect_masks_in_softmax(&self, call: &Call<'_>) -> Result<(), Refusal> {
        let infinite = |value: &Value| match value {
            Value::Known(known) => known.floats().is_some_and(|x| x.iter().any(|x| !x.is_finite())),
            Value::Weight(weight) => self.mask_of(weight).is_some(),
            Value::Traced(traced) => traced.masked,
            _ => false,
        };
        const FITTING: [&str; 14] = [
            "Add",
            "Softmax",
            "Where",
            "Identity",
            "Reshape",
            "Transpose",
            "Squeeze",
            "Unsqueeze",
            "Expand",
            "Slice",
            "Cast",
            "CastLike",
            "Gather",
            "IsNaN",
        ];
        if !FITTING.contains(&&*call.node.op_type) && call.inputs.iter().flatten().any(infinite) {
            return misfit("a number that is not finite", "finite ones, or −∞ in a sum that a softmax takes");
        }
        Ok(())
    }

    /// A name that nothing has yet.
    fn fresh(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let i = self.of_base.entry(name.clone()).or_insert(1);
        while !self.names.insert(name.clone()) {
            *i += 1;
            name = format!("{base} ({i})");
        }
        name
    }

    /// A node for `call`; `part` names one that is not the last.
    pub(crate) fn emit(
        &mut self,
        call: &Call<'_>,
        part: &str,
        operation: impl Into<Operation>,
        operands: Vec<Operand>,
    ) -> Operand {
        let name = if part.is_empty() { call.output().to_owned() } else { format!("{}/{part}", call.output()) };
        self.emit_as(&name, operation.into(), operands)
    }

    fn emit_as(&mut self, base: &str, operation: Operation, operands: Vec<Operand>) -> Operand {
        let name = self.fresh(base);
        self.by_name.insert(name.clone(), self.nodes.len());
        self.nodes.push(Emitted { name: name.clone(), operation, operands });
        Operand::Named(name)
    }

    /// What made an operand, if a node did.
    fn maker(&self, operand: &Operand) -> Option<&Emitted> {
        match operand {
            Operand::Named(name) => self.by_name.get(name).map(|&node| &self.nodes[node]),
            Operand::Weight(..) => None,
        }
    }

    /// A value of a new node that is like `like` but for its shape; its entries are charged.
    fn traced(&mut self, operand: Operand, shape: Vec<usize>, batch: Option<Batch>) -> Result<Traced, Refusal> {
        self.budget.charge(&shape)?;
        if shape.contains(&0) {
            return misfit(format!("a value {shape:?}"), "axes of at least 1");
        }
        Ok(Traced { operand, shape, batch, masked: false, integer: false })
    }

    /// A constant of the graph.
    pub(crate) fn constant(&mut self, base: &str, shape: Vec<usize>, numbers: Vec<f64>) -> Operand {
        let name = self.fresh(base);
        self.constant_at.insert(name.clone(), self.constants.len());
        self.constants.push((name.clone(), shape, numbers));
        Operand::Named(name)
    }

    /// A number of the graph.
    pub(crate) fn number(&mut self, call: &Call<'_>, what: &str, number: f64) -> Operand {
        self.constant(&format!("{}/{what}", call.output()), vec![1], vec![number])
    }

    /// The number that an operand of a node is, if it is a constant or a tensor of the file with a single entry and at
    /// most one axis, so that it makes no value longer.
    fn number_of(&self, operand: &Operand) -> Option<f64> {
        let name = match operand {
            Operand::Named(name) => name,
            Operand::Weight(name, _) => {
                return (self.numbers)(name).filter(|known| known.shape.len() <= 1)?.scalar();
            }
        };
        let (_, shape, numbers) = &self.constants[*self.constant_at.get(name)?];
        (numbers.len() == 1 && shape.len() <= 1).then(|| numbers[0])
    }

    /// Operand `i` as a value of the graph.
    pub(crate) fn operand(&mut self, call: &Call<'_>, i: usize) -> Result<Traced, Refusal> {
        let value = call.input(i)?.clone();
        self.graph_value(&value, call.name_of(i))
    }

    pub(crate) fn graph_value(&mut self, value: &Value, name: &str) -> Result<Traced, Refusal> {
        match value {
            Value::Traced(traced) => Ok(traced.clone()),
            Value::Known(known) => self.known_value(known, name),
            Value::Weight(weight) => self.weight_value(weight),
            Value::Above { .. } | Value::Never => unsupported("a comparison of values that depend on samples"),
            Value::Sequence(_) => unsupported("a sequence of values where one is expected"),
            Value::Unread => unsupported("an operand that is not read"),
        }
    }

    fn known_value(&mut self, known: &Known, name: &str) -> Result<Traced, Refusal> {
        let numbers = match &known.data {
            Data::Float(numbers) => numbers.clone(),
            Data::Int(_) => known.integers()?.into_iter().map(|x| x as f64).collect(),
            Data::Bool(_) => return unsupported(format!("the booleans {name} in a computation with numbers")),
        };
        let (numbers, masked) = masked(numbers, &known.shape)?;
        let operand = self.constant(name, known.shape.clone(), numbers);
        let value = self.traced(operand, known.shape.clone(), None)?;
        Ok(Traced { masked, ..value })
    }

    /// The numbers of a tensor of the file with −∞, which is a mask and no parameter.
    fn mask_of(&self, weight: &Weight) -> Option<Rc<Known>> {
        let known = (self.numbers)(&weight.name).filter(|_| !weight.transposed)?;
        known.floats().is_some_and(|x| x.iter().any(|x| !x.is_finite())).then_some(known)
    }

    fn weight_value(&mut self, weight: &Weight) -> Result<Traced, Refusal> {
        if let Some(known) = self.mask_of(weight) {
            return self.known_value(&known, &format!("{}/mask", weight.name));
        }
        let mut operand = Operand::Weight(weight.name.clone(), Form::AsIs);
        if weight.transposed {
            let name = format!("{}/transposed", weight.name);
            operand = self.emit_as(&name, Transpose { axes: vec![1, 0] }.into(), vec![operand]);
        }
        self.traced(operand, weight.shape.clone(), None)
    }

    /// The numbers of operand `i`, which stay as they are.
    pub(crate) fn fixed_numbers(&self, call: &Call<'_>, i: usize) -> Result<Vec<f64>, Refusal> {
        let known = match call.input(i)? {
            Value::Known(known) => Some(known.clone()),
            Value::Weight(weight) if !weight.transposed => (self.numbers)(&weight.name),
            _ => None,
        };
        match known.as_ref().and_then(|known| known.floats()) {
            Some(numbers) => Ok(numbers.to_vec()),
            None => unsupported(format!("operand {} that is not a constant", call.name_of(i))),
        }
    }

    /// Operand `i` as one number that stays as it is.
    pub(crate) fn fixed_number(&self, call: &Call<'_>, i: usize) -> Result<f64, Refusal> {
        match self.fixed_numbers(call, i)?[..] {
            [number] => Ok(number),
            ref numbers => misfit(format!("{} numbers in {}", numbers.len(), call.name_of(i)), "one"),
        }
    }
}

/// Numbers with `−∞` made finite, and whether there was any.
fn masked(mut numbers: Vec<f64>, shape: &[usize]) -> Result<(Vec<f64>, bool), Refusal> {
    if numbers.iter().all(|x| x.is_finite()) {
        return Ok((numbers, false));
    }
    if let Some(wrong) = numbers.iter().find(|x| x.is_nan() || **x == f64::INFINITY) {
        return misfit(format!("{wrong}"), "finite numbers, or −∞ for what is masked");
    }
    let width = shape.last().copied().unwrap_or(1).max(1);
    if numbers.chunks(width).any(|row| row.iter().all(|x| !x.is_finite())) {
        return misfit("a mask with a row of −∞, whose softmax is none", "an entry in every row that is not masked");
    }
    numbers.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = MASKED);
    Ok((numbers, true))
}

fn one_known(known: Known) -> Vec<Value> {
    vec![Value::Known(Rc::new(known))]
}

/// What a `Constant` gives.
fn constant(call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
    let Some(attribute) = call.node.attribute.first() else { return misfit("no value", "one") };
    let float = |x: f32| -> f64 { x.into() };
    let (shape, data) = match &*attribute.name {
        "value" => match attribute.t.as_ref().map(|tensor| crate::tensor::read(tensor, None)) {
            Some(Ok(known)) => return Ok(one_known(known)),
            Some(Err(error)) => return misfit(error.to_string(), "a tensor"),
            None => return misfit("no tensor", "one"),
        },
        "value_float" => (Vec::new(), Data::Float(vec![float(attribute.f)])),
        "value_floats" => {
            (vec![attribute.floats.len()], Data::Float(attribute.floats.iter().map(|&x| float(x)).collect()))
        }
        "value_int" => (Vec::new(), Data::Int(vec![crate::dim::Dim::fixed(attribute.i)])),
        "value_ints" => {
            let ints = attribute.ints.iter().map(|&x| crate::dim::Dim::fixed(x)).collect();
            (vec![attribute.ints.len()], Data::Int(ints))
        }
        other => return unsupported(format!("a constant of the attribute {other}")),
    };
    Ok(one_known(Known { shape, data }))
}

/// One of a sequence.
fn sequence_at(call: &Call<'_>) -> Result<Value, Refusal> {
    let Value::Sequence(values) = call.input(0)? else { return unsupported("a sequence that is no split") };
    match call.known(1)?.map(Known::integers).transpose()?.as_deref() {
        Some(&[i]) => Ok(values[crate::call::axis(i, values.len())?].clone()),
        _ => misfit("no position", "one"),
    }
}

/// The shape of a value, or part of it.
fn shape(call: &Call<'_>) -> Result<Known, Refusal> {
    let fixed = |shape: &[usize]| shape.iter().map(|&n| crate::dim::Dim::fixed(n as i64)).collect::<Vec<_>>();
    let dims = match call.input(0)? {
        Value::Known(known) => fixed(&known.shape),
        Value::Weight(weight) => fixed(&weight.shape),
        Value::Traced(traced) | Value::Above { x: traced, .. } => traced.dims(),
        Value::Never | Value::Sequence(_) | Value::Unread => {
            return unsupported("the shape of what is no tensor of numbers");
        }
    };
    let bound = |name: &str, default: usize| {
        let i = call.int(name, default as i64);
        (if i < 0 { i.saturating_add(dims.len() as i64) } else { i }).clamp(0, dims.len() as i64) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", dims.len()));
    Ok(Known::ints(dims.get(start..end.max(start)).unwrap_or_default().to_vec()))
}
