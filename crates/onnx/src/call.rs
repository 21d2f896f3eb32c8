//! A node with its operands: its attributes, whether they are attributes or inputs in its version of ONNX.

use crate::error::{Refusal, misfit, unsupported};
use crate::known::Known;
use crate::proto::{AttributeProto, NodeProto};
use crate::value::Value;

/// A node and what goes into it.
pub(crate) struct Call<'a> {
    pub(crate) node: &'a NodeProto,
    pub(crate) opset: i64,
    /// Empty where an optional operand is left out.
    pub(crate) inputs: Vec<Option<Value>>,
}

/// The number that was written where an attribute holds the nearest `f32`: that of the fewest digits.
///
/// A slope of 0.2 stands in the file as 0.200000003, and in double precision PyTorch computes with 0.2.
pub(crate) fn as_written(x: f32) -> f64 {
    if x == (1.0_f64 / 6.0) as f32 { 1.0 / 6.0 } else { x.to_string().parse().unwrap_or(x.into()) }
}

/// Axis `i` of so many, counted from behind where it is negative.
pub(crate) fn axis(i: i64, rank: usize) -> Result<usize, Refusal> {
    let from_start = if i < 0 { i.checked_add(rank as i64) } else { Some(i) };
    match from_start.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < rank) {
        Some(axis) => Ok(axis),
        None => misfit(format!("axis {i}"), format!("one of {rank} axes")),
    }
}

/// Different axes of so many.
pub(crate) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, Refusal> {
    let mut axes = Vec::with_capacity(list.len().min(rank));
    for &i in list {
        let axis = axis(i, rank)?;
        if axes.contains(&axis) {
            return misfit(format!("axis {axis} twice"), "every axis once");
        }
        axes.push(axis);
    }
    Ok(axes)
}

/// A part of one axis.
pub(crate) struct Part {
    pub(crate) axis: usize,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: usize,
}

impl Part {
    /// The entries that it takes of `n`, first and one behind the last.
    pub(crate) fn of(&self, n: usize) -> (usize, usize) {
        let clamped = |i: i64| if i < 0 { i.saturating_add(n as i64).max(0) } else { i.min(n as i64) } as usize;
        (clamped(self.start), clamped(self.end))
    }

    /// Whether it takes all of any axis.
    pub(crate) fn is_all(&self) -> bool {
        self.start == 0 && self.end >= i64::from(i32::MAX) && self.step == 1
    }
}

impl Call<'_> {
    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| &*attribute.ints)
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> Result<f64, Refusal> {
        match self.attribute(name).map_or(default, |attribute| as_written(attribute.f)) {
            x if x.is_finite() => Ok(x),
            x => misfit(format!("{name} = {x}"), "a finite number"),
        }
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.attribute(name).map_or(default.to_owned(), |attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    /// Operand `i`.
    pub(crate) fn input(&self, i: usize) -> Result<&Value, Refusal> {
        match self.optional(i) {
            Some(value) => Ok(value),
            None => misfit(format!("no operand {i}"), "one"),
        }
    }

    pub(crate) fn optional(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i)?.as_ref()
    }

    /// What operand `i` is called in the file.
    pub(crate) fn name_of(&self, i: usize) -> &str {
        self.node.input.get(i).map_or("", String::as_str)
    }

    /// The first thing that the node gives.
    pub(crate) fn output(&self) -> &str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// Operand `i`, which has to be the same for all samples and not a parameter.
    pub(crate) fn known(&self, i: usize) -> Result<Option<&Known>, Refusal> {
        match self.optional(i) {
            None => Ok(None),
            Some(Value::Known(known)) => Ok(Some(known)),
            Some(_) => unsupported(format!("operand {} that is not a constant", self.name_of(i))),
        }
    }

    /// Whole numbers from an attribute, as in earlier versions, or from operand `i`.
    pub(crate) fn list(&self, attribute: &str, i: usize) -> Result<Option<Vec<i64>>, Refusal> {
        match self.ints(attribute) {
            Some(list) => Ok(Some(list.to_vec())),
            None => self.known(i)?.map(Known::integers).transpose(),
        }
    }

    /// The permutation of a transposition, which turns the axes around by default.
    pub(crate) fn permutation(&self, rank: usize) -> Result<Vec<usize>, Refusal> {
        let permutation = match self.ints("perm") {
            Some(list) => axes(list, rank)?,
            None => (0..rank).rev().collect(),
        };
        if permutation.len() == rank {
            return Ok(permutation);
        }
        misfit(format!("perm {permutation:?}"), format!("all of {rank} axes"))
    }

    /// The parts that a slice takes.
    pub(crate) fn parts(&self, rank: usize) -> Result<Vec<Part>, Refusal> {
        let list = |i: usize| self.known(i)?.map(Known::integers).transpose();
        let (Some(starts), Some(ends)) = (list(1)?, list(2)?) else { return misfit("no starts or ends", "both") };
        let on = match list(3)? {
            Some(list) => axes(&list, rank)?,
            None => (0..rank.min(starts.len())).collect(),
        };
        let steps = list(4)?.unwrap_or_else(|| vec![1; on.len()]);
        if [starts.len(), ends.len(), steps.len()] != [on.len(); 3] {
            return misfit("starts, ends, axes and steps of different lengths", "one of each for an axis");
        }
        let mut parts = Vec::new();
        for (i, &axis) in on.iter().enumerate() {
            let Some(step) = usize::try_from(steps[i]).ok().filter(|&step| step > 0) else {
                return unsupported(format!("steps of {}", steps[i]));
            };
            parts.push(Part { axis, start: starts[i], end: ends[i], step });
        }
        Ok(parts)
    }

    /// The lengths of the parts that an axis of `n` is split into.
    pub(crate) fn lengths(&self, n: usize) -> Result<Vec<usize>, Refusal> {
        let lengths = match self.list("split", 1)? {
            Some(list) => {
                let wrong = || misfit(format!("lengths {list:?}"), format!("lengths that sum to {n}"));
                match list.iter().map(|&part| usize::try_from(part).ok()).collect::<Option<Vec<_>>>() {
                    Some(lengths) => lengths,
                    None => return wrong(),
                }
            }
            None => {
                let parts = self.int("num_outputs", self.node.output.len() as i64).max(1) as usize;
                let each = n.div_ceil(parts);
                (0..parts.min(n.max(1))).map(|i| each.min(n.saturating_sub(i * each))).collect()
            }
        };
        let total = lengths.iter().try_fold(0_usize, |sum, &part| sum.checked_add(part));
        if total != Some(n) || lengths.len() != self.node.output.len() {
            let found = format!("lengths {lengths:?} for {} parts", self.node.output.len());
            return misfit(found, format!("lengths that sum to {n}"));
        }
        Ok(lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_the_numbers_that_were_written() {
        for x in [0.2, 1e-5, 0.01, 1.67326, 20.0, 1.0 / 6.0] {
            assert_eq!(as_written(x as f32), x);
        }
    }

    #[test]
    fn parts_are_clamped() {
        let part = |start, end| Part { axis: 0, start, end, step: 1 }.of(5);
        assert_eq!(part(1, -1), (1, 4));
        assert_eq!(part(-2, i64::MAX), (3, 5));
        assert_eq!(part(i64::MIN, i64::MIN), (0, 0));
    }
}
