//! What is computed while the file is read: nodes that only known tensors go into.

use crate::call::{Call, axis};
use crate::dim::Dim;
use crate::error::{Refusal, misfit, unsupported};
use crate::known::{Data, Known, broadcast, len, positions, sizes, squeezed_axes, unsqueezed_axes};
use crate::tensor::{Type, addressable};
use crate::value::{Budget, Value};
use std::cmp::Ordering;

/// What a node gives that only known tensors go into; `None` if it is not among what is computed here.
pub(crate) fn fold(call: &Call<'_>, budget: &mut Budget) -> Result<Option<Vec<Known>>, Refusal> {
    let mut given = Vec::new();
    for input in call.inputs.iter().flatten() {
        match input {
            Value::Known(known) => given.push(&**known),
            _ => return Ok(None),
        }
    }
    let op = &*call.node.op_type;
    let of = |i: usize| match call.known(i)? {
        Some(known) => Ok(known),
        None => misfit(format!("no operand {i}"), "one"),
    };
    let one = |known: Known| Ok(Some(vec![known]));
    match op {
        "Identity" => one(of(0)?.clone()),
        "Cast" => match Type::of(call.int("to", 0) as i32) {
            Some(to) => one(of(0)?.cast(to)?),
            None => unsupported(format!("a cast to data type {}", call.int("to", 0))),
        },
        "CastLike" => one(of(0)?.cast(match of(1)?.data {
            Data::Float(_) => Type::F64,
            Data::Int(_) => Type::Int { bytes: 8, signed: true },
            Data::Bool(_) => Type::Bool,
        })?),
        "Where" => one(choose(of(0)?, of(1)?, of(2)?, budget)?),
        "Reshape" => {
            let (x, to) = (of(0)?, of(1)?.integers()?);
            one(x.reshaped(reshape(&x.shape, &to, call.int("allowzero", 0) != 0)?))
        }
        "Squeeze" => {
            let (x, list) = (of(0)?, call.list("axes", 1)?);
            one(x.reshaped(squeezed(&x.shape, list.as_deref(), |_| true)?))
        }
        "Unsqueeze" => {
            let x = of(0)?;
            let at = unsqueezed_axes(call, x.shape.len())?;
            let mut old = x.shape.iter().copied();
            let shape =
                (0..x.shape.len() + at.len()).map(|i| if at.contains(&i) { 1 } else { old.next().unwrap_or(1) });
            one(x.reshaped(shape.collect()))
        }
        "Transpose" => {
            let x = of(0)?;
            budget.charge(&x.shape)?;
            one(x.transposed(&call.permutation(x.shape.len())?))
        }
        "Slice" => {
            let mut x = of(0)?.clone();
            for part in call.parts(x.shape.len())? {
                let (start, end) = part.of(x.shape[part.axis]);
                let indices: Vec<usize> = (start..end).step_by(part.step).collect();
                x = x.gathered(part.axis, &indices, budget)?;
            }
            one(x)
        }
        "Gather" => {
            let (x, indices) = (of(0)?, of(1)?);
            let axis = axis(call.int("axis", 0), x.shape.len())?;
            let at = positions(&indices.integers()?, x.shape[axis])?;
            let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
            one(x.gathered(axis, &at, budget)?.reshaped(shape))
        }
        "Split" => {
            let x = of(0)?;
            let axis = axis(call.int("axis", 0), x.shape.len())?;
            let mut start = 0;
            let mut parts = Vec::new();
            for n in call.lengths(x.shape[axis])? {
                parts.push(x.gathered(axis, &(start..start + n).collect::<Vec<_>>(), budget)?);
                start += n;
            }
            Ok(Some(parts))
        }
        "Concat" => concatenate(&given, call.int("axis", 0), budget).map(|known| Some(vec![known])),
        "Expand" => {
            let x = of(0)?;
            // A number of samples in a shape is left to what is traced.
            if of(1)?.dims()?.iter().any(|dim| dim.batch != 0) {
                return Ok(None);
            }
            let shape = broadcast(&x.shape, &sizes(&of(1)?.integers()?)?)?;
            one(x.broadcast_to(&shape, budget)?)
        }
        "ConstantOfShape" => {
            if of(0)?.dims()?.iter().any(|dim| dim.batch != 0) {
                return Ok(None);
            }
            one(filler(call)?.broadcast_to(&sizes(&of(0)?.integers()?)?, budget)?)
        }
        "Range" => {
            let number = |i: usize| match of(i)?.scalar() {
                Some(x) => Ok(x),
                None => misfit("a bound that is no fixed number", "numbers"),
            };
            let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
            let n = ((limit - start) / step).ceil().max(0.0);
            if !n.is_finite() {
                return misfit(format!("steps of {step}"), "steps other than 0");
            }
            budget.charge(&[n as usize])?;
            let numbers = (0..n as usize).map(|i| start + i as f64 * step);
            let data = match of(0)?.data {
                Data::Int(_) => Data::Int(numbers.map(|x| Dim::fixed(x as i64)).collect()),
                _ => Data::Float(numbers.collect()),
            };
            one(Known { shape: vec![n as usize], data })
        }
        "Trilu" => {
            let x = of(0)?;
            let [.., rows, columns] = x.shape[..] else { return misfit("fewer than 2 axes", "matrices") };
            let diagonal =
                call.known(1)?.map(Known::integers).transpose()?.map_or(0, |k| k.first().copied().unwrap_or(0));
            let upper = call.int("upper", 1) != 0;
            budget.charge(&x.shape)?;
            let kept = |i: usize| {
                let above = (i % columns) as i64 - (i / columns % rows) as i64;
                if upper { above >= diagonal } else { above <= diagonal }
            };
            let data = match &x.data {
                Data::Float(x) => {
                    Data::Float(x.iter().enumerate().map(|(i, &x)| if kept(i) { x } else { 0.0 }).collect())
                }
                Data::Int(x) => {
                    Data::Int(x.iter().enumerate().map(|(i, &x)| if kept(i) { x } else { Dim::fixed(0) }).collect())
                }
                Data::Bool(x) => Data::Bool(x.iter().enumerate().map(|(i, &x)| x && kept(i)).collect()),
            };
            one(Known { shape: x.shape.clone(), data })
        }
        "ReduceProd" => {
            let all = of(0)?.dims()?.iter().try_fold(Dim::fixed(1), |product, &dim| product.multiply(dim))?;
            let rank = if call.int("keepdims", 1) != 0 { of(0)?.shape.len() } else { 0 };
            match of(0)?.shape.len() <= 1 {
                true => one(Known { shape: vec![1; rank], data: Data::Int(vec![all]) }),
                false => Ok(None),
            }
        }
        _ => match given[..] {
            [x] => Ok(unary(op, x)?.map(|known| vec![known])),
            [x, y] => Ok(binary(op, x, y, budget)?.map(|known| vec![known])),
            _ => Ok(None),
        },
    }
}

/// What a constant of a shape is filled with: 0 unless the node says otherwise.
pub(crate) fn filler(call: &Call<'_>) -> Result<Known, Refusal> {
    let attribute = call.node.attribute.iter().find(|attribute| attribute.name == "value");
    match attribute.and_then(|attribute| attribute.t.as_ref()).map(|tensor| crate::tensor::read(tensor, None)) {
        None => Ok(Known { shape: Vec::new(), data: Data::Float(vec![0.0]) }),
        Some(Ok(known)) if known.data.len() == 1 => Ok(known.reshaped(Vec::new())),
        Some(Ok(known)) => misfit(format!("{} numbers to fill with", known.data.len()), "one"),
        Some(Err(error)) => misfit(error.to_string(), "a number to fill with"),
    }
}

fn binary(op: &str, a: &Known, b: &Known, budget: &mut Budget) -> Result<Option<Known>, Refusal> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let (a, b) = (a.broadcast_to(&shape, budget)?, b.broadcast_to(&shape, budget)?);
    let compared = |op: &str, order: Ordering| match op {
        "Equal" => Some(order.is_eq()),
        "Less" => Some(order.is_lt()),
        "LessOrEqual" => Some(order.is_le()),
        "Greater" => Some(order.is_gt()),
        "GreaterOrEqual" => Some(order.is_ge()),
        _ => None,
    };
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => {
            let pairs = a.iter().zip(b).map(|(&a, &b)| (a, b));
            let f: fn(f64, f64) -> f64 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Pow" => f64::powf,
                "Min" => f64::min,
                "Max" => f64::max,
                _ => {
                    let all = pairs.map(|(a, b)| compared(op, a.partial_cmp(&b)?)).collect::<Option<Vec<_>>>();
                    return Ok(all.map(|data| Known { shape, data: Data::Bool(data) }));
                }
            };
            Data::Float(pairs.map(|(a, b)| f(a, b)).collect())
        }
        (Data::Int(a), Data::Int(b)) => {
            let pairs = a.iter().zip(b).map(|(&a, &b)| (a, b));
            let modulo = |a: Dim, b: Dim| match (a.number(), b.number()) {
                (Some(a), Some(b)) if b > 0 => Ok(Dim::fixed(a.rem_euclid(b))),
                _ => misfit(format!("{a} modulo {b}"), "fixed numbers"),
            };
            let largest = |a: Dim, b: Dim| Ok(if a.compare(b)?.is_lt() { b } else { a });
            let smallest = |a: Dim, b: Dim| Ok(if a.compare(b)?.is_gt() { b } else { a });
            let f: &dyn Fn(Dim, Dim) -> Result<Dim, Refusal> = match op {
                "Add" => &Dim::add,
                "Sub" => &Dim::subtract,
                "Mul" => &Dim::multiply,
                "Div" => &Dim::divide,
                "Mod" => &modulo,
                "Max" => &largest,
                "Min" => &smallest,
                _ => {
                    let mut all = Vec::with_capacity(a.len());
                    for (a, b) in pairs {
                        match compared(op, a.compare(b)?) {
                            Some(holds) => all.push(holds),
                            None => return Ok(None),
                        }
                    }
                    return Ok(Some(Known { shape, data: Data::Bool(all) }));
                }
            };
            Data::Int(pairs.map(|(a, b)| f(a, b)).collect::<Result<_, _>>()?)
        }
        (Data::Bool(a), Data::Bool(b)) => {
            let f: fn(bool, bool) -> bool = match op {
                "And" => |a, b| a && b,
                "Or" => |a, b| a || b,
                "Xor" => |a, b| a != b,
                "Equal" => |a, b| a == b,
                _ => return Ok(None),
            };
            Data::Bool(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect())
        }
        _ => return misfit("operands of two types", "one type"),
    };
    Ok(Some(Known { shape, data }))
}

fn unary(op: &str, x: &Known) -> Result<Option<Known>, Refusal> {
    let data = match (&x.data, op) {
        (Data::Bool(x), "Not") => Data::Bool(x.iter().map(|x| !x).collect()),
        (Data::Float(x), "IsNaN") => Data::Bool(x.iter().map(|x| x.is_nan()).collect()),
        (Data::Float(x), _) => {
            let f: fn(f64) -> f64 = match op {
                "Neg" => |x| -x,
                "Abs" => f64::abs,
                "Sqrt" => f64::sqrt,
                "Exp" => f64::exp,
                "Log" => f64::ln,
                "Reciprocal" => f64::recip,
                "Floor" => f64::floor,
                "Ceil" => f64::ceil,
                "Sin" => f64::sin,
                "Cos" => f64::cos,
                _ => return Ok(None),
            };
            Data::Float(x.iter().map(|&x| f(x)).collect())
        }
        (Data::Int(x), "Neg") => Data::Int(x.iter().map(|&x| Dim::fixed(0).subtract(x)).collect::<Result<_, _>>()?),
        _ => return Ok(None),
    };
    Ok(Some(Known { shape: x.shape.clone(), data }))
}

/// What a choice by `condition` gives.
pub(crate) fn choose(condition: &Known, x: &Known, y: &Known, budget: &mut Budget) -> Result<Known, Refusal> {
    let shape = broadcast(&broadcast(&condition.shape, &x.shape)?, &y.shape)?;
    let [condition, x, y] = [condition, x, y].map(|known| known.broadcast_to(&shape, budget));
    let (condition, x, y) = (condition?, x?, y?);
    let Data::Bool(condition) = condition.data else { return misfit("a condition that is none", "booleans") };
    fn pick<T: Copy>(condition: &[bool], x: &[T], y: &[T]) -> Vec<T> {
        condition.iter().zip(x.iter().zip(y)).map(|(&c, (&x, &y))| if c { x } else { y }).collect()
    }
    let data = match (&x.data, &y.data) {
        (Data::Float(x), Data::Float(y)) => Data::Float(pick(&condition, x, y)),
        (Data::Int(x), Data::Int(y)) => Data::Int(pick(&condition, x, y)),
        (Data::Bool(x), Data::Bool(y)) => Data::Bool(pick(&condition, x, y)),
        _ => return misfit("a choice between two types", "one type"),
    };
    Ok(Known { shape, data })
}

/// A shape whose −1 is inferred and whose 0 is copied.
fn reshape(from: &[usize], to: &[i64], zero_is_none: bool) -> Result<Vec<usize>, Refusal> {
    let wrong = || misfit(format!("{from:?} as {to:?}"), "as many entries");
    let mut shape = Vec::new();
    let mut open = None;
    for (i, &n) in to.iter().enumerate() {
        shape.push(match n {
            0 if !zero_is_none => from.get(i).copied().unwrap_or(0),
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            n => match usize::try_from(n) {
                Ok(n) => n,
                Err(_) => return wrong(),
            },
        });
    }
    if !addressable(&shape) {
        return wrong();
    }
    if let Some(i) = open {
        let rest = len(&shape);
        if rest == 0 {
            return wrong();
        }
        shape[i] = len(from) / rest;
    }
    if !addressable(&shape) || len(&shape) != len(from) {
        return wrong();
    }
    Ok(shape)
}

/// A shape without axes of length 1: those listed, or all that `may` go.
fn squeezed(shape: &[usize], list: Option<&[i64]>, may: impl Fn(usize) -> bool) -> Result<Vec<usize>, Refusal> {
    let gone = squeezed_axes(shape, list, may)?;
    Ok(shape.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, &n)| n).collect())
}

fn concatenate(parts: &[&Known], at: i64, budget: &mut Budget) -> Result<Known, Refusal> {
    let Some(first) = parts.first() else { return misfit("no operands", "at least one") };
    let axis = axis(at, first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for part in parts {
        let fits = part.shape.len() == shape.len()
            && part.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        match shape[axis].checked_add(part.shape.get(axis).copied().unwrap_or(0)) {
            Some(n) if fits => shape[axis] = n,
            _ => return misfit(format!("{:?} and {:?}", first.shape, part.shape), "shapes that differ along one axis"),
        }
    }
    budget.charge(&shape)?;
    let outer = len(&shape[..axis]);
    fn join<'k, T: Copy + 'k>(
        parts: &[&'k Known],
        outer: usize,
        of: fn(&'k Known) -> Option<&'k [T]>,
    ) -> Option<Vec<T>> {
        let all: Option<Vec<&[T]>> = parts.iter().map(|part| of(part)).collect();
        let piece = |o: usize, x: &'k [T]| &x[o * (x.len() / outer)..(o + 1) * (x.len() / outer)];
        all.map(|all| (0..outer).flat_map(|o| all.iter().flat_map(move |x| piece(o, x))).copied().collect())
    }
    if outer == 0 {
        return misfit(format!("{shape:?}"), "axes of at least 1");
    }
    let data = match first.data {
        Data::Float(_) => join(parts, outer, Known::floats).map(Data::Float),
        Data::Int(_) => join(parts, outer, |part| part.dims().ok()).map(Data::Int),
        Data::Bool(_) => {
            let of = |part: &'_ Known| if let Data::Bool(x) = &part.data { Some(x.clone()) } else { None };
            let all: Option<Vec<Vec<bool>>> = parts.iter().map(|part| of(part)).collect();
            let piece = |x: &[bool], o: usize| x[o * (x.len() / outer)..(o + 1) * (x.len() / outer)].to_vec();
            all.map(|all| Data::Bool((0..outer).flat_map(|o| all.iter().flat_map(move |x| piece(x, o))).collect()))
        }
    };
    match data {
        Some(data) => Ok(Known { shape, data }),
        None => misfit("parts of two types", "one type"),
    }
}
