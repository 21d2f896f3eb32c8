//! Sums, products, choices, and the activations that exporters write out with them.

use super::Trace;
use crate::call::{Call, as_written};
use crate::error::{Refusal, misfit, unsupported};
use crate::fold::choose;
use crate::known::{Data, Known, broadcast};
use crate::value::{Form, Operand, Traced, Value};
use std::rc::Rc;
use superlinear_nets::{Arithmetic, Function, Operation};

/// Whether a number is this constant as `f32` has it.
fn is(found: Option<f64>, constant: f64) -> bool {
    found.is_some_and(|found| found as f32 == constant as f32)
}

/// Whether all entries are `number`, and none of its axes makes `x` longer.
fn leaves(value: &Value, x: &Value, number: f64) -> bool {
    match (value, x) {
        (Value::Known(known), Value::Traced(x)) => {
            let all = known.floats().is_some_and(|numbers| numbers.iter().all(|&n| n == number));
            all && known.shape.len() <= x.shape.len() && known.shape.iter().all(|&n| n == 1)
        }
        _ => false,
    }
}

impl Trace<'_> {
    /// `f(a, b)`, broadcast.
    pub(crate) fn pair(
        &mut self,
        call: &Call<'_>,
        part: &str,
        f: Arithmetic,
        a: Traced,
        b: Traced,
    ) -> Result<Traced, Refusal> {
        let masked = a.masked || b.masked;
        let (operands, shape, batch) = self.aligned(call, [a, b], 0)?;
        let operand = self.emit(call, part, f, operands.into());
        Ok(Traced { masked, ..self.traced(operand, shape, batch)? })
    }

    pub(super) fn arithmetic(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let f = match &*call.node.op_type {
            "Sub" => Arithmetic::Subtract,
            "Div" if leaves(call.input(1)?, call.input(0)?, 1.0) => return call.input(0).cloned(),
            "Div" => Arithmetic::Divide,
            "Pow" => return self.power(call),
            _ => Arithmetic::Add,
        };
        let mut sum = self.operand(call, 0)?;
        let n = call.inputs.len();
        if f != Arithmetic::Add && n != 2 {
            return misfit(format!("{n} operands"), "2");
        }
        for i in 1..n {
            let next = self.operand(call, i)?;
            let part = if i + 1 == n { String::new() } else { format!("sum {i}") };
            sum = self.pair(call, &part, f, sum, next)?;
        }
        Ok(Value::Traced(sum))
    }

    fn power(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let exponents = self.fixed_numbers(call, 1)?;
        let x = self.operand(call, 0)?;
        let function = match exponents[..] {
            [1.0] => return Ok(Value::Traced(x)),
            [0.5] => Some(Function::Sqrt),
            [-1.0] => Some(Function::Reciprocal),
            _ => None,
        };
        if let Some(function) = function {
            let operand = self.emit(call, "", function, vec![x.operand.clone()]);
            return Ok(Value::Traced(self.traced(operand, x.shape, x.batch)?));
        }
        let shape = match call.input(1)? {
            Value::Known(known) => known.shape.clone(),
            Value::Weight(weight) => weight.shape.clone(),
            _ => return unsupported("an exponent that depends on samples"),
        };
        let known = Known { shape, data: Data::Float(exponents) };
        let exponent = self.graph_value(&Value::Known(Rc::new(known)), &format!("{}/exponent", call.output()))?;
        Ok(Value::Traced(self.pair(call, "", Arithmetic::Power, x, exponent)?))
    }

    /// A sum, or the bias of a dense layer that has none yet.
    pub(super) fn add(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        for (x, bias) in [(0, 1), (1, 0)] {
            if leaves(call.input(bias)?, call.input(x)?, 0.0) {
                return call.input(x).cloned();
            }
            let (Value::Traced(z), Value::Weight(weight)) = (call.input(x)?.clone(), call.input(bias)?.clone()) else {
                continue;
            };
            let used_once = self.uses.get(call.name_of(x)).is_none_or(|&uses| uses == 1);
            let Some(node) = self.maker(&z.operand).filter(|node| used_once && node.operands.len() == 2) else {
                continue;
            };
            let (operation, mut operands) = (node.operation.clone(), node.operands.clone());
            let fits = z.shape.last().is_some_and(|&d_out| weight.shape == [d_out]);
            if !matches!(operation, Operation::Dense(_)) || !fits {
                continue;
            }
            let bias = self.weight_value(&weight)?;
            if matches!(bias.operand, Operand::Weight(_, Form::AsIs)) {
                operands.push(bias.operand);
                let operand = self.emit(call, "", operation, operands);
                return Ok(Value::Traced(Traced { operand, ..z }));
            }
        }
        self.arithmetic(call)
    }

    /// A product, or the GELU that it is the last factor of.
    pub(super) fn multiply(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        for (x, factor) in [(0, 1), (1, 0)] {
            if leaves(call.input(factor)?, call.input(x)?, 1.0) {
                return call.input(x).cloned();
            }
        }
        let (a, b) = (self.operand(call, 0)?, self.operand(call, 1)?);
        let mut factors = Vec::new();
        self.factors(&a.operand, 3, &mut factors);
        self.factors(&b.operand, 3, &mut factors);
        if let Some((function, x)) = self.gelu(&factors) {
            // Its numbers have at most one axis, so the other factor has those of `x`.
            let shape = broadcast(&a.shape, &b.shape)?;
            let operand = self.emit(call, "", function, vec![x]);
            return Ok(Value::Traced(self.traced(operand, shape, a.batch.or(b.batch))?));
        }
        Ok(Value::Traced(self.pair(call, "", Arithmetic::Multiply, a, b)?))
    }

    /// What a product is made of, as far as `depth` products back.
    fn factors(&self, operand: &Operand, depth: usize, into: &mut Vec<Operand>) {
        match self.maker(operand) {
            Some(node) if depth > 0 && node.operation == Operation::Arithmetic(Arithmetic::Multiply) => {
                node.operands.iter().for_each(|factor| self.factors(factor, depth - 1, into));
            }
            _ => into.push(operand.clone()),
        }
    }

    /// The one operand of a node that is this number, and the other.
    fn with_number(&self, operand: &Operand, f: Arithmetic, number: f64) -> Option<Operand> {
        let node = self.maker(operand).filter(|node| node.operation == Operation::Arithmetic(f))?;
        let [a, b] = &node.operands[..] else { return None };
        if is(self.number_of(b), number) {
            return Some(a.clone());
        }
        (f != Arithmetic::Divide && is(self.number_of(a), number)).then(|| b.clone())
    }

    /// The GELU, exact or by tanh, that `½ · x · (1 + …)` is, by its constants.
    fn gelu(&self, factors: &[Operand]) -> Option<(Function, Operand)> {
        let mut rest = factors.to_vec();
        let half = rest.iter().position(|factor| is(self.number_of(factor), 0.5))?;
        rest.remove(half);
        let [a, b] = &rest[..] else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(x, one_more)| {
            let inner = self.with_number(one_more, Arithmetic::Add, 1.0)?;
            let node = self.maker(&inner)?;
            let [scaled] = &node.operands[..] else { return None };
            let of = |found: Option<Operand>| found.is_some_and(|found| found == *x);
            let root = std::f64::consts::SQRT_2;
            let function = match node.operation {
                Operation::Function(Function::Erf) => {
                    let divided = of(self.with_number(scaled, Arithmetic::Divide, root));
                    let exact = divided || of(self.with_number(scaled, Arithmetic::Multiply, 1.0 / root));
                    exact.then_some(Function::Gelu)
                }
                Operation::Function(Function::Tanh) => self.is_cubic(scaled, x).then_some(Function::GeluTanh),
                _ => None,
            };
            function.map(|function| (function, x.clone()))
        })
    }

    /// Whether an operand is `√(2/π) (x + 0.044715 x³)`.
    fn is_cubic(&self, operand: &Operand, x: &Operand) -> bool {
        let root = (2.0 / std::f64::consts::PI).sqrt();
        let Some(sum) = self.with_number(operand, Arithmetic::Multiply, root) else { return false };
        let Some(node) = self.maker(&sum).filter(|node| node.operation == Operation::Arithmetic(Arithmetic::Add))
        else {
            return false;
        };
        let [a, b] = &node.operands[..] else { return false };
        let cubic = if a == x {
            b
        } else if b == x {
            a
        } else {
            return false;
        };
        let mut factors = Vec::new();
        self.factors(cubic, 3, &mut factors);
        let Some(scale) = factors.iter().position(|factor| is(self.number_of(factor), 0.044715)) else { return false };
        factors.remove(scale);
        match &factors[..] {
            [cube] => self.with_number(cube, Arithmetic::Power, 3.0).is_some_and(|base| base == *x),
            all => all.len() == 3 && all.iter().all(|factor| factor == x),
        }
    }

    /// `x > threshold`, for the softplus that may follow.
    pub(super) fn above(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let threshold = match call.input(1)? {
            Value::Known(known) => known.scalar(),
            Value::Weight(weight) => self.number_of(&Operand::Weight(weight.name.clone(), Form::AsIs)),
            _ => None,
        };
        match (call.input(0)?, threshold) {
            (Value::Traced(x), Some(threshold)) => Ok(Value::Above { x: x.clone(), threshold }),
            _ => unsupported("a comparison of values that depend on samples"),
        }
    }

    /// A choice by a mask, or the softplus that `x > threshold` chooses the line of.
    pub(super) fn choose(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        match call.input(0)?.clone() {
            Value::Above { x, threshold } => self.softplus(call, &x, threshold),
            Value::Never => call.input(2).cloned(),
            Value::Known(condition) => self.mask(call, &condition),
            _ => unsupported("a condition that depends on samples"),
        }
    }

    fn softplus(&mut self, call: &Call<'_>, scaled: &Traced, threshold: f64) -> Result<Value, Refusal> {
        let (line, curve) = (self.operand(call, 1)?, self.operand(call, 2)?);
        let beta = if line.operand == scaled.operand {
            Some(1.0)
        } else {
            let node = self.maker(&scaled.operand);
            let product = node.filter(|node| node.operation == Operation::Arithmetic(Arithmetic::Multiply));
            product.and_then(|node| match &node.operands[..] {
                [x, beta] if *x == line.operand => self.number_of(beta),
                [beta, x] if *x == line.operand => self.number_of(beta),
                _ => None,
            })
        };
        let softplus = beta.and_then(|beta| {
            let divided = self.with_number(&curve.operand, Arithmetic::Divide, beta);
            let node = self.maker(divided.as_ref().unwrap_or(&curve.operand))?;
            let fits = (divided.is_some() || beta == 1.0)
                && matches!(node.operation, Operation::Function(Function::Softplus { beta: 1.0, .. }))
                && node.operands == [scaled.operand.clone()];
            let [beta, threshold] = [beta, threshold].map(|number| as_written(number as f32));
            fits.then_some(Function::Softplus { beta, threshold })
        });
        match softplus {
            Some(softplus) => {
                let operand = self.emit(call, "", softplus, vec![line.operand.clone()]);
                Ok(Value::Traced(self.traced(operand, line.shape, line.batch)?))
            }
            None => unsupported("a choice by values that depend on samples"),
        }
    }

    /// `c x + (1 − c) y` for a mask `c` of 0 and 1.
    fn mask(&mut self, call: &Call<'_>, condition: &Known) -> Result<Value, Refusal> {
        let Data::Bool(holds) = &condition.data else { return misfit("a condition that is none", "booleans") };
        let zero = Known { shape: Vec::new(), data: Data::Float(vec![0.0]) };
        let mut sum: Option<Traced> = None;
        for (i, kept) in [(1, true), (2, false)] {
            let name = format!("{}/{}", call.output(), if kept { "where" } else { "elsewhere" });
            let known = match call.input(i)? {
                Value::Known(known) => Some(known.clone()),
                Value::Weight(weight) => self.mask_of(weight),
                _ => None,
            };
            let part = match known {
                Some(known) => {
                    let known = match kept {
                        true => choose(condition, &known, &zero, &mut self.known)?,
                        false => choose(condition, &zero, &known, &mut self.known)?,
                    };
                    if sum.is_some() && known.floats().is_some_and(|x| x.iter().all(|&x| x == 0.0)) {
                        continue;
                    }
                    self.graph_value(&Value::Known(Rc::new(known)), &name)?
                }
                None => {
                    let factors = holds.iter().map(|&holds| if holds == kept { 1.0 } else { 0.0 }).collect();
                    let mask = Known { shape: condition.shape.clone(), data: Data::Float(factors) };
                    let mask = self.graph_value(&Value::Known(Rc::new(mask)), &name)?;
                    let x = self.operand(call, i)?;
                    self.pair(call, if kept { "kept" } else { "other" }, Arithmetic::Multiply, x, mask)?
                }
            };
            sum = Some(match sum {
                None => part,
                Some(first) => self.pair(call, "", Arithmetic::Add, first, part)?,
            });
        }
        match sum {
            Some(sum) => Ok(Value::Traced(sum)),
            None => misfit("nothing to choose from", "two values"),
        }
    }

    /// Activations that are made of others.
    pub(super) fn composed(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let (shape, batch) = (x.shape.clone(), x.batch);
        let apply = |trace: &mut Self, part: &str, f: Operation, operands: Vec<Operand>| {
            let operand = trace.emit(call, part, f, operands);
            trace.traced(operand, shape.clone(), batch).map(|value| value.operand)
        };
        let x = x.operand;
        let y = match &*call.node.op_type {
            op @ ("HardSigmoid" | "HardSwish") => {
                let slope = if op == "HardSwish" { 1.0 / 6.0 } else { call.float("alpha", 0.2)? };
                let (slope, shift) = (self.number(call, "slope", slope), call.float("beta", 0.5)?);
                let shift = self.number(call, "shift", shift);
                let line = apply(self, "line", Arithmetic::Multiply.into(), vec![x.clone(), slope])?;
                let line = apply(self, "shifted", Arithmetic::Add.into(), vec![line, shift])?;
                let step = Function::Hardtanh { min: 0.0, max: 1.0 };
                match op {
                    "HardSigmoid" => apply(self, "", step.into(), vec![line])?,
                    _ => {
                        let gate = apply(self, "gate", step.into(), vec![line])?;
                        apply(self, "", Arithmetic::Multiply.into(), vec![x, gate])?
                    }
                }
            }
            "Selu" => {
                // The constants of the paper, which PyTorch has and ONNX rounds.
                let alpha = nearest(call.float("alpha", 1.673_263_242_354_377_2)?, 1.673_263_242_354_377_2);
                let gamma = nearest(call.float("gamma", 1.050_700_987_355_480_5)?, 1.050_700_987_355_480_5);
                let gamma = self.number(call, "gamma", gamma);
                let elu = apply(self, "elu", Function::Elu { alpha }.into(), vec![x])?;
                apply(self, "", Arithmetic::Multiply.into(), vec![elu, gamma])?
            }
            "Mish" => {
                let softplus = Function::Softplus { beta: 1.0, threshold: 80.0 };
                let gate = apply(self, "softplus", softplus.into(), vec![x.clone()])?;
                let gate = apply(self, "gate", Function::Tanh.into(), vec![gate])?;
                apply(self, "", Arithmetic::Multiply.into(), vec![x, gate])?
            }
            "Softsign" => {
                let one = self.number(call, "one", 1.0);
                let size = apply(self, "size", Function::Abs.into(), vec![x.clone()])?;
                let scale = apply(self, "scale", Arithmetic::Add.into(), vec![size, one])?;
                apply(self, "", Arithmetic::Divide.into(), vec![x, scale])?
            }
            _ => return self.prelu(call),
        };
        Ok(Value::Traced(self.traced(y, shape, batch)?))
    }

    /// `max(x, 0) − w max(−x, 0)`.
    fn prelu(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let (x, slope) = (self.operand(call, 0)?, self.operand(call, 1)?);
        let positive = self.emit(call, "positive", Function::Relu, vec![x.operand.clone()]);
        let minus = self.emit(call, "minus", Function::Negate, vec![x.operand.clone()]);
        let negative = self.emit(call, "negative", Function::Relu, vec![minus]);
        let negative = Traced { operand: negative, ..x.clone() };
        let sloped = self.pair(call, "sloped", Arithmetic::Multiply, negative, slope)?;
        Ok(Value::Traced(self.pair(call, "", Arithmetic::Subtract, Traced { operand: positive, ..x }, sloped)?))
    }
}

/// `exact`, if that is what `f32` rounds to `found`.
fn nearest(found: f64, exact: f64) -> f64 {
    if found as f32 == exact as f32 { exact } else { found }
}
