//! Convolutions and pools of images, and of rows as images with one row.

use super::Trace;
use crate::call::Call;
use crate::error::{Refusal, misfit, unsupported};
use crate::value::{Form, Operand, Value};
use superlinear_nets::{AveragePool, Convolution, MaxPool, Operation, Reduce, Reduction, Window};

/// Attributes beyond this size are none of a network.
const LARGEST: i64 = 1 << 20;

/// Rows and columns, or columns alone.
fn pair(call: &Call<'_>, name: &str, axes: usize, default: &[i64]) -> Result<Vec<usize>, Refusal> {
    let list = call.ints(name).filter(|list| !list.is_empty()).unwrap_or(default);
    let least = if name == "pads" { 0 } else { 1 };
    if list.len() != axes || list.iter().any(|x| !(least..=LARGEST).contains(x)) {
        return misfit(format!("{name} {list:?}"), format!("{axes} numbers of at least {least}"));
    }
    Ok(list.iter().map(|&x| x as usize).collect())
}

/// A window over images of `size`, with as many axes as those have, and the rows and columns that it gives.
fn window(call: &Call<'_>, size: &[usize], kernel: &[usize]) -> Result<(Window, Vec<usize>), Refusal> {
    let axes = size.len();
    let stride = pair(call, "strides", axes, &vec![1; axes])?;
    let dilation = pair(call, "dilations", axes, &vec![1; axes])?;
    let reach: Vec<usize> = (0..axes).map(|i| dilation[i] * (kernel[i] - 1) + 1).collect();
    let padding = match &*call.text("auto_pad", "NOTSET") {
        "NOTSET" | "" => pair(call, "pads", 2 * axes, &vec![0; 2 * axes])?,
        "VALID" => vec![0; 2 * axes],
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            let all = |i: usize| ((size[i].div_ceil(stride[i]) - 1) * stride[i] + reach[i]).saturating_sub(size[i]);
            let less = |i: usize| all(i) / 2;
            let more = |i: usize| all(i) - less(i);
            match same {
                "SAME_UPPER" => (0..axes).map(less).chain((0..axes).map(more)).collect(),
                _ => (0..axes).map(more).chain((0..axes).map(less)).collect(),
            }
        }
        other => return unsupported(format!("auto_pad {other:?}")),
    };
    let mut windows = Vec::new();
    for i in 0..axes {
        let Some(free) = (size[i] + padding[i] + padding[i + axes]).checked_sub(reach[i]) else {
            return misfit(format!("images of {size:?} with padding {padding:?}"), format!("at least {reach:?}"));
        };
        if call.int("ceil_mode", 0) != 0 && free % stride[i] != 0 {
            return unsupported("ceil_mode where the last window reaches beyond the image");
        }
        windows.push(free / stride[i] + 1);
    }
    let two = |numbers: &[usize], one: usize| match *numbers {
        [rows, columns] => [rows, columns],
        _ => [one, numbers[0]],
    };
    let padding = match padding[..] {
        [top, left, bottom, right] => [top, left, bottom, right],
        _ => [0, padding[0], 0, padding[1]],
    };
    let window = Window { kernel: two(kernel, 1), stride: two(&stride, 1), padding, dilation: two(&dilation, 1) };
    Ok((window, windows))
}

impl Trace<'_> {
    /// Operand 0 as images, its channels, and their rows and columns, or columns alone.
    fn images(&mut self, call: &Call<'_>) -> Result<(Operand, usize, Vec<usize>), Refusal> {
        let x = self.samples(call, 0)?;
        let inner = x.inner();
        match inner[..] {
            [channels, columns] => {
                Ok((self.reshaped(call, "row", &x, vec![channels, 1, columns]), channels, vec![columns]))
            }
            [channels, rows, columns] => Ok((x.operand, channels, vec![rows, columns])),
            _ => unsupported(format!("{} axes behind the samples", inner.len())),
        }
    }

    /// What an operation on images gives, without the one row that they were given.
    fn windows(
        &mut self,
        call: &Call<'_>,
        operation: impl Into<Operation>,
        operands: Vec<Operand>,
        channels: usize,
        windows: &[usize],
    ) -> Result<Value, Refusal> {
        let shape = [&[1, channels], windows].concat();
        let batch = Some(crate::value::Batch { axis: 0, before: 1 });
        let one_row = windows.len() == 1;
        let mut operand = self.emit(call, if one_row { "image" } else { "" }, operation, operands);
        if one_row {
            operand = self.emit(call, "", superlinear_nets::Reshape { shape: shape[1..].to_vec() }, vec![operand]);
        }
        Ok(Value::Traced(self.traced(operand, shape, batch)?))
    }

    pub(super) fn convolution(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let (x, channels, size) = self.images(call)?;
        let weight = self.operand(call, 1)?;
        let axes = size.len();
        let Ok(groups @ 1..) = usize::try_from(call.int("group", 1)) else {
            return misfit(format!("group {}", call.int("group", 1)), "at least 1");
        };
        let [c_out, c_in, kernel @ ..] = &weight.shape[..] else { return misfit("a weight of fewer axes", "kernels") };
        let fits = weight.batch.is_none()
            && kernel.len() == axes
            && c_in.checked_mul(groups) == Some(channels)
            && c_out % groups == 0
            && kernel.iter().all(|&n| n as i64 <= LARGEST);
        if !fits {
            let found = format!("a weight {:?} and {channels} channels in {groups} groups", weight.shape);
            return misfit(found, format!("(c_out, {channels}/{groups}, kernel of {axes} axes)"));
        }
        pair(call, "kernel_shape", axes, &kernel.iter().map(|&n| n as i64).collect::<Vec<_>>())?;
        let (window, windows) = window(call, &size, kernel)?;
        let kernels = match &weight.operand {
            // A convolution along rows is one of images, and its weight the same numbers.
            Operand::Weight(name, Form::AsIs) if axes == 1 => Operand::Weight(name.clone(), Form::Row),
            _ if axes == 1 => self.reshaped(call, "kernels", &weight, vec![*c_out, *c_in, 1, kernel[0]]),
            operand => operand.clone(),
        };
        let mut operands = vec![x, kernels];
        if let Some(bias) = call.optional(2) {
            // An exporter writes zeros where there is no bias, under a name that it makes of the weight's.
            let made_up = |name: &str| name.strip_suffix("_bias") == Some(call.name_of(1));
            let none = match bias {
                Value::Known(known) => known.floats().is_some_and(|numbers| numbers.iter().all(|&x| x == 0.0)),
                Value::Weight(weight) if made_up(&weight.name) => {
                    self.fixed_numbers(call, 2)?.iter().all(|&x| x == 0.0)
                }
                _ => false,
            };
            if !none {
                operands.push(self.operand(call, 2)?.operand);
            }
        }
        self.windows(call, Convolution { window, groups }, operands, *c_out, &windows)
    }

    pub(super) fn pool(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        if call.node.output.len() > 1 && call.node.output[1..].iter().any(|output| self.uses.contains_key(&**output)) {
            return unsupported("the positions of the largest");
        }
        let (x, channels, size) = self.images(call)?;
        let kernel = pair(call, "kernel_shape", size.len(), &[])?;
        let (window, windows) = window(call, &size, &kernel)?;
        // Rows and columns are looked through for a pixel in every window.
        for (&n, &kernel) in windows.iter().zip(&kernel) {
            self.budget.charge(&[n, kernel])?;
        }
        let operation = match &*call.node.op_type {
            "MaxPool" => Operation::from(MaxPool { window }),
            _ => AveragePool { window, counts_padding: call.int("count_include_pad", 0) != 0 }.into(),
        };
        self.windows(call, operation, vec![x], channels, &windows)
    }

    pub(super) fn global_pool(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.samples(call, 0)?;
        let rank = x.inner().len();
        if rank < 2 {
            return misfit(format!("{rank} axes behind the samples"), "channels and at least one more");
        }
        let mut shape = x.shape.clone();
        shape[2..].fill(1);
        self.budget.charge(&x.shape)?;
        let mean = Reduce { reduction: Reduction::Mean, axes: (1..rank).collect(), keeps_axes: true };
        let operand = self.emit(call, "", mean, vec![x.operand]);
        Ok(Value::Traced(self.traced(operand, shape, x.batch)?))
    }
}
