//! Where samples stand among the axes of values, and how two values meet there.

use super::Trace;
use crate::call::Call;
use crate::error::{Refusal, misfit};
use crate::value::{Batch, Operand, Traced, inner, shown};

/// Operands in the graph, the axes that both broadcast to, and where samples are.
type Aligned = ([Operand; 2], Vec<usize>, Option<Batch>);

/// What two values share of their axes: that of samples, counted from behind.
fn same_batch(a: &Traced, b: &Traced) -> Result<Option<(usize, Batch, usize)>, Refusal> {
    let from_behind = |x: &Traced| x.batch.map(|batch| (x.shape.len() - batch.axis, batch, x.shape[batch.axis]));
    match (from_behind(a), from_behind(b)) {
        (Some((i, left, n)), Some((j, right, m))) if (i, left.before, n) != (j, right.before, m) => {
            misfit(format!("{} and {}", shown(&a.dims()), shown(&b.dims())), "samples along one axis of both")
        }
        (found, other) => Ok(found.or(other)),
    }
}

impl Trace<'_> {
    /// Two operands whose last `skip` axes are left alone and whose others broadcast, in the graph too: their operands
    /// there, the broadcast axes and where samples are.
    pub(super) fn aligned(&mut self, call: &Call<'_>, pair: [Traced; 2], skip: usize) -> Result<Aligned, Refusal> {
        let [a, b] = &pair;
        let lead = |x: &Traced| x.shape[..x.shape.len() - skip].to_vec();
        let shared = same_batch(a, b)?;
        let rank = a.shape.len().max(b.shape.len());
        let batch = match shared {
            Some((i, _, _)) if i <= skip => {
                let found = format!("{} and {}", shown(&a.dims()), shown(&b.dims()));
                return misfit(found, "samples along an axis in front");
            }
            Some((i, batch, _)) => Some(Batch { axis: rank - i, ..batch }),
            None => None,
        };
        let shape = crate::known::broadcast(&lead(a), &lead(b))?;
        let left = self.meeting(call, "left", a, shared)?;
        let right = self.meeting(call, "right", b, shared)?;
        Ok(([left, right], shape, batch))
    }

    /// The operand for `x` beside a value whose samples stand along an axis, counted from behind: one of length 1 meets
    /// it.
    fn meeting(
        &mut self,
        call: &Call<'_>,
        part: &str,
        x: &Traced,
        shared: Option<(usize, Batch, usize)>,
    ) -> Result<Operand, Refusal> {
        let (Some((from_behind, _, n)), None) = (shared, x.batch) else { return Ok(x.operand.clone()) };
        match x.shape.len().checked_sub(from_behind) {
            None => Ok(x.operand.clone()),
            Some(axis) if x.shape[axis] != 1 => {
                misfit(format!("a value {} without samples", shown(&x.dims())), format!("axis {axis} of length 1"))
            }
            Some(_) if n > 1 => Ok(x.operand.clone()),
            Some(axis) => {
                let own = inner(&x.shape, Some(Batch { axis, before: 1 }));
                Ok(self.reshaped(call, part, x, own))
            }
        }
    }

    /// A value with other axes in the graph, if they are others.
    pub(crate) fn reshaped(&mut self, call: &Call<'_>, part: &str, x: &Traced, to: Vec<usize>) -> Operand {
        if x.inner() == to {
            return x.operand.clone();
        }
        let (mut operand, mut inner) = (x.operand.clone(), x.inner());
        while let Operand::Named(name) = &operand
            && let Some((source, shape)) = self.sources.get(name)
        {
            (operand, inner) = (source.clone(), shape.clone());
        }
        if inner == to {
            return operand;
        }
        let made = self.emit(call, part, superlinear_nets::Reshape { shape: to }, vec![operand.clone()]);
        if let Operand::Named(name) = &made {
            self.sources.insert(name.clone(), (operand, inner));
        }
        made
    }

    /// Operand `i` with samples along the first axis and nothing else.
    pub(crate) fn samples(&mut self, call: &Call<'_>, i: usize) -> Result<Traced, Refusal> {
        let x = self.operand(call, i)?;
        self.with_samples(call, x)
    }

    pub(crate) fn with_samples(&mut self, call: &Call<'_>, x: Traced) -> Result<Traced, Refusal> {
        if self.single && x.batch.is_none() && x.shape.first() == Some(&1) {
            let operand = self.reshaped(call, "one", &x, x.shape[1..].to_vec());
            return Ok(Traced { operand, batch: Some(Batch { axis: 0, before: 1 }), ..x });
        }
        x.expect_batch_first()?;
        Ok(x)
    }

    /// An input of the file, with an axis of samples of open length or of length 1.
    pub(crate) fn input(&mut self, name: &str, shape: &[usize], integer: bool) -> Result<Traced, Refusal> {
        let axes = [&[1], shape].concat();
        let operand = Operand::Named(name.to_owned());
        let mut input = self.traced(operand, axes.clone(), Some(Batch { axis: 0, before: 1 }))?;
        input.integer = integer;
        if self.single {
            let made = self.emit_as(
                &format!("{name}/of one"),
                superlinear_nets::Reshape { shape: axes }.into(),
                vec![input.operand.clone()],
            );
            if let Operand::Named(made) = &made {
                self.sources.insert(made.clone(), (input.operand, shape.to_vec()));
            }
            input = Traced { operand: made, batch: None, ..input };
        }
        Ok(input)
    }
}
