//! Elementwise functions, and what changes no number.

use super::Trace;
use crate::call::{Call, as_written};
use crate::error::{Refusal, unsupported};
use crate::known::{Data, Known};
use crate::value::{Traced, Value};
use std::rc::Rc;
use superlinear_nets::Function;

impl Trace<'_> {
    pub(super) fn identity(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        if call.node.op_type == "Dropout" {
            let training = match call.optional(2) {
                Some(Value::Known(known)) => known.data != Data::Bool(vec![false]),
                training => training.is_some(),
            };
            if training {
                return unsupported("dropout in training: export the network in evaluation (`model.eval()`)");
            }
        }
        call.input(0).cloned()
    }

    pub(super) fn cast(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let to = if call.node.op_type == "Cast" { crate::tensor::Type::of(call.int("to", 0) as i32) } else { None };
        let integer = matches!(call.input(0)?, Value::Traced(traced) if traced.integer);
        match (call.input(0)?, to, call.optional(1)) {
            // Ids stay whole numbers in either type.
            (Value::Traced(traced), Some(to), _) if integer && to != crate::tensor::Type::Bool => {
                Ok(Value::Traced(Traced { integer: !to.is_float(), ..traced.clone() }))
            }
            (value @ (Value::Traced(_) | Value::Weight(_)), Some(to), _) if to.is_float() => Ok(value.clone()),
            // One type of floating-point numbers is like another.
            (value @ (Value::Traced(_) | Value::Weight(_)), None, Some(Value::Traced(like))) if !like.integer => {
                Ok(value.clone())
            }
            (value @ (Value::Traced(_) | Value::Weight(_)), None, Some(Value::Weight(_))) => Ok(value.clone()),
            (Value::Known(known), None, Some(Value::Traced(Traced { integer: false, .. }) | Value::Weight(_))) => {
                match known.data {
                    Data::Float(_) => Ok(Value::Known(known.clone())),
                    _ => {
                        let numbers = known.integers()?.into_iter().map(|x| x as f64).collect();
                        Ok(Value::Known(Rc::new(Known { shape: known.shape.clone(), data: Data::Float(numbers) })))
                    }
                }
            }
            _ => unsupported("a cast of a value that depends on samples to whole numbers or booleans"),
        }
    }

    pub(super) fn function(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let (op, alpha) = (&*call.node.op_type, |default: f64| call.float("alpha", default));
        let function = match op {
            "Relu" => Function::Relu,
            "LeakyRelu" => Function::LeakyRelu { slope: alpha(0.01)? },
            "Elu" => Function::Elu { alpha: alpha(1.0)? },
            "Gelu" => match &*call.text("approximate", "none") {
                "none" => Function::Gelu,
                "tanh" => Function::GeluTanh,
                other => return unsupported(format!("approximate {other:?}")),
            },
            "Sigmoid" => Function::Sigmoid,
            "Tanh" => Function::Tanh,
            // Equal to `x` in both precisions where it is above the threshold.
            "Softplus" => Function::Softplus { beta: 1.0, threshold: 80.0 },
            "Erf" => Function::Erf,
            "Exp" => Function::Exp,
            "Log" => Function::Log,
            "Sqrt" => Function::Sqrt,
            "Reciprocal" => Function::Reciprocal,
            "Abs" => Function::Abs,
            "Neg" => Function::Negate,
            "Clip" => {
                // Once attributes, and read like those.
                let number = |i: usize| Ok(as_written(self.fixed_number(call, i)? as f32));
                let bound = |i: usize, open: f64| call.optional(i).map_or(Ok(open), |_| number(i));
                Function::Hardtanh { min: bound(1, f64::MIN)?, max: bound(2, f64::MAX)? }
            }
            "HardSigmoid" | "HardSwish" | "Selu" | "Mish" | "PRelu" | "Softsign" => return self.composed(call),
            _ => return unsupported(""),
        };
        let x = self.operand(call, 0)?;
        let operand = self.emit(call, "", function, vec![x.operand.clone()]);
        Ok(Value::Traced(self.traced(operand, x.shape, x.batch)?))
    }
}
