//! Operations that move entries: other axes, parts, repetition.

use super::Trace;
use crate::call::{Call, Part, axis};
use crate::dim::Dim;
use crate::error::{Refusal, misfit, unsupported};
use crate::fold::filler;
use crate::known::{Known, broadcast, positions, sizes, squeezed_axes, unsqueezed_axes};
use crate::tensor::addressable;
use crate::value::{Batch, Traced, Value, Weight, inner, shown};
use superlinear_nets::{Concatenate, Embedding, Expand, Gather, Operation, Slice, Transpose};

impl Trace<'_> {
    /// `x` with other axes of the file, the same entries, all of it for each sample.
    fn with_axes(
        &mut self,
        call: &Call<'_>,
        x: Traced,
        shape: Vec<usize>,
        batch: Option<Batch>,
    ) -> Result<Value, Refusal> {
        let operand = self.reshaped(call, "", &x, inner(&shape, batch));
        Ok(Value::Traced(Traced { operand, shape, batch, ..x }))
    }

    pub(super) fn reshape(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let Some(to) = call.known(1)? else { return misfit("no shape", "one") };
        let to = to.dims()?.to_vec();
        self.in_dims(call, x, &to, call.int("allowzero", 0) != 0)
    }

    pub(super) fn flatten(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let rank = x.shape.len();
        let at = match call.int("axis", 1) {
            i if i == rank as i64 => rank,
            i => axis(i, rank)?,
        };
        let dims = x.dims();
        let product = |dims: &[Dim]| dims.iter().try_fold(Dim::fixed(1), |product, &dim| product.multiply(dim));
        let to = [product(&dims[..at])?, product(&dims[at..])?];
        self.in_dims(call, x, &to, true)
    }

    /// `x` in axes of which one may be open (−1) and others copied (0).
    fn in_dims(&mut self, call: &Call<'_>, x: Traced, to: &[Dim], zero_is_none: bool) -> Result<Value, Refusal> {
        let wrong = || misfit(format!("{} as {}", shown(&x.dims()), shown(to)), "as many entries, sample by sample");
        let own = x.dims();
        let mut dims = Vec::new();
        for (i, &dim) in to.iter().enumerate() {
            dims.push(if dim == Dim::fixed(0) && !zero_is_none { own.get(i).copied().unwrap_or(dim) } else { dim });
        }
        let mut open = dims.iter().position(|dim| *dim == Dim::fixed(-1));
        // Entries of all axes but the open one and, if it can be seen, that of the samples.
        let mut shape = Vec::new();
        let mut samples = None;
        for (i, dim) in dims.iter().enumerate() {
            let n = match *dim {
                _ if open == Some(i) => 1,
                Dim { batch: 0, fixed } => fixed,
                Dim { batch, fixed: 0 } if samples.is_none() => {
                    samples = Some(i);
                    batch
                }
                _ => return wrong(),
            };
            match usize::try_from(n) {
                Ok(n @ 1..) => shape.push(n),
                _ => return wrong(),
            }
        }
        let product = |shape: &[usize]| shape.iter().product::<usize>();
        if !addressable(&shape) {
            return wrong();
        }
        let Some(batch) = x.batch else {
            if let Some(i) = open {
                shape[i] = product(&x.shape) / product(&shape);
            }
            if samples.is_some() || product(&shape) != product(&x.shape) {
                return wrong();
            }
            return self.with_axes(call, x, shape, None);
        };
        // All entries in front of the samples and behind them, in the order in which they stand.
        let before = product(&x.shape[..batch.axis]) * batch.before;
        let after = product(&x.shape) / before;
        if let (Some(fixed), None) = (self.fixed, samples) {
            if let Some(i) = open.take() {
                let rest = product(&shape);
                shape[i] = before * after * fixed / rest;
                if shape[i] == 0 || shape[i] * rest != before * after * fixed {
                    return wrong();
                }
            }
            // In a file for a fixed number of samples, the first axis that they can stand along.
            let fits = |i: usize| {
                let (front, behind) = (product(&shape[..i]), product(&shape[i + 1..]));
                let own = before / front * (after / behind.max(1));
                before % front == 0 && after % behind == 0 && shape[i] == own * fixed
            };
            samples = (0..shape.len()).find(|&i| fits(i));
            if let Some(i) = samples {
                shape[i] /= fixed;
            }
        }
        if let Some(i) = open {
            shape[i] = before * after / product(&shape);
        }
        let Some(i) = samples.or(open) else {
            return misfit(
                format!("{} as {}, without an axis for the samples", shown(&x.dims()), shown(to)),
                "a file with a dynamic batch axis (`dynamic_axes`, `dynamic_shapes`)",
            );
        };
        let front = product(&shape[..i]);
        if product(&shape) != before * after || before % front != 0 || after % product(&shape[i + 1..]) != 0 {
            return wrong();
        }
        let batch = Some(Batch { axis: i, before: before / front });
        self.with_axes(call, x, shape, batch)
    }

    pub(super) fn transpose(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        if let Value::Weight(weight) = call.input(0)?
            && let ([rows, columns], [1, 0]) = (&weight.shape[..], &call.permutation(weight.shape.len())?[..])
        {
            let (shape, transposed) = (vec![*columns, *rows], !weight.transposed);
            return Ok(Value::Weight(Weight { shape, transposed, name: weight.name.clone() }));
        }
        let x = self.operand(call, 0)?;
        let permutation = call.permutation(x.shape.len())?;
        let shape: Vec<usize> = permutation.iter().map(|&i| x.shape[i]).collect();
        let at = |axis: usize| permutation.iter().position(|&i| i == axis).unwrap_or(0);
        let batch = x.batch.map(|batch| Batch { axis: at(batch.axis), ..batch });
        let gone = |axis: usize| x.batch.is_some_and(|batch| batch.axis == axis && x.shape[axis] == 1);
        let own = |axis: usize| (0..axis).filter(|&i| !gone(i)).count();
        let axes: Vec<usize> = permutation.iter().filter(|&&i| !gone(i)).map(|&i| own(i)).collect();
        let operand = match axes.is_sorted() {
            true => x.operand.clone(),
            false => self.emit(call, "", Transpose { axes }, vec![x.operand.clone()]),
        };
        self.budget.charge(&shape)?;
        Ok(Value::Traced(Traced { operand, shape, batch, ..x }))
    }

    pub(super) fn squeeze(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let list = call.list("axes", 1)?;
        let gone = squeezed_axes(&x.shape, list.as_deref(), |i| x.batch.is_none_or(|batch| batch.axis != i))?;
        let kept: Vec<usize> = (0..x.shape.len()).filter(|i| !gone.contains(i)).collect();
        let shape = kept.iter().map(|&i| x.shape[i]).collect();
        let at = |axis: usize| kept.iter().position(|&i| i == axis).unwrap_or(0);
        let batch = x.batch.map(|batch| Batch { axis: at(batch.axis), ..batch });
        self.with_axes(call, x, shape, batch)
    }

    pub(super) fn unsqueeze(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let new = unsqueezed_axes(call, x.shape.len())?;
        let mut old = 0..x.shape.len();
        let (mut shape, mut batch) = (Vec::new(), None);
        for i in 0..x.shape.len() + new.len() {
            match if new.contains(&i) { None } else { old.next() } {
                None => shape.push(1),
                Some(from) => {
                    if let Some(own) = x.batch.filter(|batch| batch.axis == from) {
                        batch = Some(Batch { axis: i, ..own });
                    }
                    shape.push(x.shape[from]);
                }
            }
        }
        self.with_axes(call, x, shape, batch)
    }

    pub(super) fn expand(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let Some(to) = call.known(1)? else { return misfit("no shape", "one") };
        let to = to.dims()?.to_vec();
        self.expanded(call, x, &to)
    }

    /// `x` broadcast with axes of lengths `to`, the number of samples among them.
    fn expanded(&mut self, call: &Call<'_>, x: Traced, to: &[Dim]) -> Result<Value, Refusal> {
        let rank = x.shape.len().max(to.len());
        let own = x.batch.map(|batch| batch.axis + rank - x.shape.len());
        let (mut shape, mut batch) = (Vec::new(), x.batch.map(|b| Batch { axis: own.unwrap_or(0), ..b }));
        for (i, &dim) in to.iter().enumerate() {
            let i = i + rank - to.len();
            let meets = i.checked_sub(rank - x.shape.len()).map_or(1, |axis| x.shape[axis]);
            let n = match dim {
                _ if own == Some(i) => {
                    let same = dim == Dim::batch(meets as i64) || dim == Dim::fixed(1);
                    let fixed = self.fixed.is_some_and(|fixed| dim.number() == Some((fixed * meets) as i64));
                    if !same && !fixed {
                        return misfit(format!("{} expanded to {}", shown(&x.dims()), shown(to)), "its own samples");
                    }
                    meets as i64
                }
                Dim { batch: 0, fixed } => fixed,
                Dim { batch: 1, fixed: 0 } if batch.is_none() && meets == 1 => {
                    batch = Some(Batch { axis: i, before: 1 });
                    1
                }
                _ => return misfit(format!("{} expanded to {}", shown(&x.dims()), shown(to)), "one axis of samples"),
            };
            shape.push(n);
        }
        let mut shape = broadcast(&x.shape, &sizes(&shape)?)?;
        // In a file for several samples at a time, what is repeated along the first axis as often.
        if let (Some(fixed @ 2..), None) = (self.fixed, batch)
            && shape.first() == Some(&fixed)
            && (x.shape.len() < rank || x.shape[0] == 1)
        {
            batch = Some(Batch { axis: 0, before: 1 });
            shape[0] = 1;
        }
        let mut operand = x.operand.clone();
        let lead = rank - x.shape.len();
        let before = Traced {
            shape: [vec![1; lead], x.shape.clone()].concat(),
            batch: x.batch.map(|own| Batch { axis: own.axis + lead, ..own }),
            ..x.clone()
        };
        if before.shape == shape {
            return self.with_axes(call, x, shape, batch);
        }
        if x.batch.is_none() && batch.is_some() {
            // The axis that meets the samples has length 1, and is none in the graph.
            operand = self.reshaped(call, "own", &x, inner(&before.shape, batch));
        }
        let operand = self.emit(call, "", Expand { shape: inner(&shape, batch) }, vec![operand]);
        Ok(Value::Traced(Traced { masked: x.masked, ..self.traced(operand, shape, batch)? }))
    }

    pub(super) fn constant_of_shape(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let Some(to) = call.known(0)? else { return misfit("no shape", "one") };
        let to = to.dims()?.to_vec();
        let number = self.graph_value(&Value::Known(filler(call)?.into()), &format!("{}/value", call.output()))?;
        self.expanded(call, number, &to)
    }

    pub(super) fn tile(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let Some(repeats) = call.known(1)? else { return misfit("no repeats", "some") };
        let repeats = repeats.dims()?.to_vec();
        if repeats.len() != x.shape.len() {
            return misfit(format!("{} repeats", repeats.len()), format!("{} of them", x.shape.len()));
        }
        let mut to = x.dims();
        for (i, &times) in repeats.iter().enumerate() {
            match times {
                Dim { batch: 0, fixed: 1 } => {}
                times if x.shape[i] == 1 && x.batch.is_none_or(|batch| batch.axis != i) => to[i] = times,
                times => return unsupported(format!("an axis of {} repeated {times} times", x.shape[i])),
            }
        }
        self.expanded(call, x, &to)
    }

    pub(super) fn concatenate(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let parts: Vec<Traced> = (0..call.inputs.len()).map(|i| self.operand(call, i)).collect::<Result<_, _>>()?;
        let Some(first) = parts.iter().find(|part| part.batch.is_some()).or(parts.first()).cloned() else {
            return misfit("no operands", "at least one");
        };
        let along = axis(call.int("axis", 0), first.shape.len())?;
        let own = first.axis(along)?;
        let mut shape = first.shape.clone();
        shape[along] = 0;
        let mut operands = Vec::new();
        for part in &parts {
            let fits = part.shape.len() == shape.len()
                && part.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == along || a == b);
            if !fits || part.batch != first.batch {
                let found = format!("{} and {}", shown(&first.dims()), shown(&part.dims()));
                return misfit(found, "shapes that differ along one axis only, and the same samples");
            }
            shape[along] += part.shape[along];
            operands.push(self.reshaped(call, "part", part, inner(&part.shape, first.batch)));
        }
        let operand = self.emit(call, "", Concatenate { axis: own }, operands);
        Ok(Value::Traced(self.traced(operand, shape, first.batch)?))
    }

    /// Entries of one axis by an operation that leaves `n` of them.
    fn along(
        &mut self,
        call: &Call<'_>,
        part: &str,
        x: &Traced,
        (axis, n): (usize, usize),
        f: impl Into<Operation>,
    ) -> Result<Traced, Refusal> {
        let mut shape = x.shape.clone();
        shape[axis] = n;
        let operand = self.emit(call, part, f, vec![x.operand.clone()]);
        Ok(Traced { masked: x.masked, integer: x.integer, ..self.traced(operand, shape, x.batch)? })
    }

    pub(super) fn split(&mut self, call: &Call<'_>) -> Result<Vec<Value>, Refusal> {
        let x = self.operand(call, 0)?;
        let axis = axis(call.int("axis", 0), x.shape.len())?;
        self.parts(call, &x, axis, &call.lengths(x.shape[axis])?)
    }

    /// The parts of a value along one axis.
    fn parts(&mut self, call: &Call<'_>, x: &Traced, axis: usize, lengths: &[usize]) -> Result<Vec<Value>, Refusal> {
        let (own, mut start, mut parts) = (x.axis(axis)?, 0, Vec::new());
        for (i, &n) in lengths.iter().enumerate() {
            let slice = Slice { axis: own, start, end: start + n, step: 1 };
            parts.push(Value::Traced(self.along(call, &format!("part {i}"), x, (axis, n), slice)?));
            start += n;
        }
        Ok(parts)
    }

    /// A split whose parts are taken out of a sequence.
    pub(super) fn sequence(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let axis = axis(call.int("axis", 0), x.shape.len())?;
        let n = x.shape[axis];
        let lengths = match call.known(1)? {
            None => return unsupported("parts without an axis"),
            Some(split) => match (&split.shape[..], &sizes(&split.integers()?)?[..]) {
                ([], &[each]) if each > 0 => (0..n.div_ceil(each)).map(|i| each.min(n - i * each)).collect(),
                ([_], lengths) if lengths.iter().try_fold(0_usize, |sum, &part| sum.checked_add(part)) == Some(n) => {
                    lengths.to_vec()
                }
                (_, lengths) => return misfit(format!("lengths {lengths:?}"), format!("lengths that sum to {n}")),
            },
        };
        Ok(Value::Sequence(self.parts(call, &x, axis, &lengths)?.into()))
    }

    pub(super) fn slice(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let mut x = self.operand(call, 0)?;
        for (i, part) in call.parts(x.shape.len())?.iter().enumerate() {
            let Part { axis, step, .. } = *part;
            if part.is_all() {
                continue;
            }
            let (own, (start, end)) = (x.axis(axis)?, part.of(x.shape[axis]));
            let n = end.saturating_sub(start).div_ceil(step);
            let slice = Slice { axis: own, start, end, step };
            x = self.along(call, &format!("axis {i}"), &x, (axis, n), slice)?;
        }
        Ok(Value::Traced(x))
    }

    pub(super) fn gather(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        let along = axis(call.int("axis", 0), x.shape.len())?;
        match call.input(1)?.clone() {
            Value::Known(indices) => self.entries(call, &x, along, &indices),
            Value::Traced(ids) if ids.integer => {
                let [_, d] = x.shape[..] else { return unsupported(format!("rows of {} axes", x.shape.len())) };
                if x.batch.is_some() || along != 0 {
                    return unsupported("indices that depend on samples, into what is no table");
                }
                let shape = [&ids.shape[..], &[d]].concat();
                let operand = self.emit(call, "", Embedding, vec![x.operand, ids.operand]);
                Ok(Value::Traced(self.traced(operand, shape, ids.batch)?))
            }
            _ => unsupported("indices that are no whole numbers"),
        }
    }

    fn entries(&mut self, call: &Call<'_>, x: &Traced, along: usize, indices: &Known) -> Result<Value, Refusal> {
        let (own, at) = (x.axis(along)?, positions(&indices.integers()?, x.shape[along])?);
        let n = at.len();
        let chosen = self.along(call, "chosen", x, (along, n), Gather { axis: own, indices: at })?;
        let shape = [&chosen.shape[..along], &indices.shape, &chosen.shape[along + 1..]].concat();
        let behind = |axis: usize| if axis > along { axis + indices.shape.len() - 1 } else { axis };
        let batch = chosen.batch.map(|batch| Batch { axis: behind(batch.axis), ..batch });
        self.with_axes(call, chosen, shape, batch)
    }
}
