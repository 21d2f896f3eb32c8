//! Normalisations, softmax, and sums over axes.

use super::Trace;
use crate::call::{Call, axes, axis};
use crate::error::{Refusal, misfit, unsupported};
use crate::value::{Operand, Traced, Value};
use superlinear_nets::{Arithmetic, BatchNorm, Normalise, Reduce, Reduction, Softmax, Together, Transpose};

impl Trace<'_> {
    pub(super) fn batch_norm(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        if call.int("training_mode", 0) != 0 {
            return unsupported("training: export the network in evaluation (`model.eval()`)");
        }
        let x = self.samples(call, 0)?;
        let channels = x.shape.get(1).copied().unwrap_or(0);
        let mut operands = vec![x.operand.clone()];
        for i in [1, 2] {
            operands.push(self.operand(call, i)?.operand);
        }
        for i in [3, 4] {
            // The same numbers as a parameter may have: they stay what they are.
            let numbers = self.fixed_numbers(call, i)?;
            if numbers.len() != channels {
                return misfit(format!("{} numbers in {}", numbers.len(), call.name_of(i)), format!("{channels}"));
            }
            if i == 4 && numbers.iter().any(|&v| v < 0.0) {
                return misfit(format!("a negative number in {}", call.name_of(i)), "variances");
            }
            operands.push(self.constant(call.name_of(i), vec![channels], numbers));
        }
        let operand = self.emit(call, "", BatchNorm { epsilon: call.float("epsilon", 1e-5)? }, operands);
        Ok(Value::Traced(self.traced(operand, x.shape, x.batch)?))
    }

    fn normalised(&mut self, call: &Call<'_>, together: Together, x: &Traced) -> Result<Traced, Refusal> {
        let epsilon = call.float("epsilon", 1e-5)?;
        let normalise = Normalise { together, centred: true, epsilon };
        let operand = self.emit(call, "normal", normalise, vec![x.operand.clone()]);
        Ok(Traced { operand, ..x.clone() })
    }

    pub(super) fn layer_norm(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let first = axis(call.int("axis", -1), x.shape.len())?;
        let own = x.axis(first)?;
        if let Some(batch) = x.batch.filter(|batch| batch.axis >= first) {
            return misfit(format!("samples along axis {}", batch.axis), "an operation on each sample by itself");
        }
        let normal = self.normalised(call, Together::Last(x.inner().len() - own), &x)?;
        let scale = self.operand(call, 1)?;
        let bias = call.optional(2).is_some();
        let y = self.pair(call, if bias { "scaled" } else { "" }, Arithmetic::Multiply, normal, scale)?;
        if !bias {
            return Ok(Value::Traced(y));
        }
        let shift = self.operand(call, 2)?;
        Ok(Value::Traced(self.pair(call, "", Arithmetic::Add, y, shift)?))
    }

    /// `y` scaled and shifted by operands 1 and 2, an entry for each entry of its first axis behind the samples.
    fn scaled_by_channel(&mut self, call: &Call<'_>, mut y: Traced) -> Result<Traced, Refusal> {
        let channels = y.shape[1];
        let mut by_channel = vec![1; y.shape.len() - 1];
        by_channel[0] = channels;
        for (i, part, f, neutral) in [(1, "scaled", Arithmetic::Multiply, 1.0), (2, "shifted", Arithmetic::Add, 0.0)] {
            let all = |value: &Value| {
                matches!(value, Value::Known(known)
                if known.floats().is_some_and(|numbers| numbers.iter().all(|&x| x == neutral)))
            };
            if all(call.input(i)?) {
                continue;
            }
            let numbers = self.operand(call, i)?;
            if numbers.batch.is_some() || numbers.shape != [channels] {
                return misfit(format!("{} {:?}", call.name_of(i), numbers.shape), format!("[{channels}]"));
            }
            let operand = self.reshaped(call, &format!("{part} by"), &numbers, by_channel.clone());
            let numbers = Traced { operand, shape: by_channel.clone(), ..numbers };
            y = self.pair(call, part, f, y, numbers)?;
        }
        Ok(y)
    }

    pub(super) fn instance_norm(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.samples(call, 0)?;
        if x.shape.len() < 3 {
            return misfit(format!("a value {:?}", x.shape), "channels and at least one more axis");
        }
        let normal = self.normalised(call, Together::Channels, &x)?;
        Ok(Value::Traced(self.scaled_by_channel(call, normal)?))
    }

    pub(super) fn group_norm(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.samples(call, 0)?;
        let channels = x.shape.get(1).copied().unwrap_or(0);
        let groups = match usize::try_from(call.int("num_groups", 0)) {
            Ok(groups @ 1..) if channels % groups == 0 => groups,
            _ => return misfit(format!("{channels} channels in {} groups", call.int("num_groups", 0)), "equal groups"),
        };
        let normal = self.normalised(call, Together::Groups(groups), &x)?;
        if call.opset >= 21 {
            return Ok(Value::Traced(self.scaled_by_channel(call, normal)?));
        }
        // Until version 21 there is a scale a group.
        let rest = normal.inner().iter().product::<usize>() / groups;
        let operand = self.reshaped(call, "groups", &normal, vec![groups, rest]);
        let grouped = Traced { operand, shape: vec![1, groups, rest], ..normal };
        let scaled = self.scaled_by_channel(call, grouped)?;
        let operand = self.reshaped(call, "", &scaled, x.inner());
        Ok(Value::Traced(Traced { operand, ..x }))
    }

    pub(super) fn softmax(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let along = x.axis(axis(call.int("axis", -1), x.shape.len())?)?;
        let last = x.inner().len() - 1;
        let mut turned: Vec<usize> = (0..=last).collect();
        turned.swap(along, last);
        if x.masked && along != last {
            return unsupported("a mask along another axis than the last");
        }
        let operand = if along == last {
            self.emit(call, "", Softmax, vec![x.operand])
        } else {
            let operand = self.emit(call, "turned", Transpose { axes: turned.clone() }, vec![x.operand]);
            let operand = self.emit(call, "softmax", Softmax, vec![operand]);
            self.emit(call, "", Transpose { axes: turned }, vec![operand])
        };
        Ok(Value::Traced(self.traced(operand, x.shape, x.batch)?))
    }

    pub(super) fn reduce(&mut self, call: &Call<'_>, reduction: Reduction) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let rank = x.shape.len();
        let on = match call.list("axes", 1)? {
            Some(list) if !list.is_empty() => axes(&list, rank)?,
            _ if call.int("noop_with_empty_axes", 0) != 0 => return Ok(Value::Traced(x)),
            _ => (0..rank).collect(),
        };
        let inner: Vec<usize> = on.iter().map(|&i| x.axis(i)).collect::<Result<_, _>>()?;
        let keeps_axes = call.int("keepdims", 1) != 0;
        // Its index map is as long as what it sums up.
        self.budget.charge(&x.shape)?;
        let reduce = Reduce { reduction, axes: inner, keeps_axes };
        let operand: Operand = self.emit(call, "", reduce, vec![x.operand]);
        let gone = |i: &usize| on.contains(i);
        let (shape, batch) = match keeps_axes {
            true => ((0..rank).map(|i| if gone(&i) { 1 } else { x.shape[i] }).collect(), x.batch),
            false => {
                let before = |end: usize| (0..end).filter(|i| !gone(i)).count();
                let batch = x.batch.map(|batch| crate::value::Batch { axis: before(batch.axis), ..batch });
                ((0..rank).filter(|i| !gone(i)).map(|i| x.shape[i]).collect(), batch)
            }
        };
        Ok(Value::Traced(self.traced(operand, shape, batch)?))
    }
}
