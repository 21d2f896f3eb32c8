//! Matrix products: dense layers, and products of two values.

use super::Trace;
use crate::call::Call;
use crate::error::{Refusal, misfit, unsupported};
use crate::value::{Form, Operand, Traced, Value, Weight};
use superlinear_nets::{Arithmetic, Dense, MatrixProduct, WeightOrder};

/// Whether an exporter made this name, because what it stands for has none in PyTorch.
pub(crate) fn is_made_up(name: &str) -> bool {
    let numbered = |start: &str| {
        name.strip_prefix(start).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
    };
    ["onnx::", "/"].iter().any(|start| name.starts_with(start))
        || ["val_", "scalar_tensor_default", "lifted_tensor_"].into_iter().any(numbered)
}

/// The matrix that a dense layer multiplies by, and how it stands.
struct Matrix {
    operand: Operand,
    order: WeightOrder,
    d_in: usize,
    d_out: usize,
}

impl Trace<'_> {
    pub(super) fn matrix_product(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let x = self.operand(call, 0)?;
        if let Some(matrix) = self.matrix(call, 1, false)? {
            return Ok(Value::Traced(self.dense(call, "", &x, matrix)?));
        }
        let y = self.operand(call, 1)?;
        let ([.., m, inner], [.., inner_too, n]) = (&x.shape[..], &y.shape[..]) else {
            return unsupported(format!("a product of {} by {} axes", x.shape.len(), y.shape.len()));
        };
        if inner != inner_too {
            return misfit(format!("{:?} times {:?}", x.shape, y.shape), "(…, m, k) times (…, k, n)");
        }
        let last = [*m, *n];
        let (operands, mut shape, batch) = self.aligned(call, [x, y], 2)?;
        shape.extend(last);
        let operand = self.emit(call, "", MatrixProduct, operands.into());
        Ok(Value::Traced(self.traced(operand, shape, batch)?))
    }

    /// Operand `i` as the matrix of a dense layer, `(d_in, d_out)` or, if `turned`, the other way round; `None` if
    /// samples or more axes are in it.
    fn matrix(&mut self, call: &Call<'_>, i: usize, turned: bool) -> Result<Option<Matrix>, Refusal> {
        let oriented = |operand, turned: bool, shape: &[usize]| {
            let &[rows, columns] = shape else { return None };
            Some(match turned {
                true => Matrix { operand, order: WeightOrder::OutIn, d_in: columns, d_out: rows },
                false => Matrix { operand, order: WeightOrder::InOut, d_in: rows, d_out: columns },
            })
        };
        if let Value::Weight(weight @ Weight { name, shape, transposed }) = call.input(i)? {
            let &[rows, columns] = &shape[..] else { return Ok(None) };
            let (d_in, d_out) = if turned { (columns, rows) } else { (rows, columns) };
            let (weight, name) = (weight.clone(), name.clone());
            // As the file has it, it is (d_out, d_in) if it was transposed on the way or is to be.
            let out_first = turned != *transposed;
            self.weight_value(&Weight { transposed: false, ..weight })?;
            let (form, order) = match out_first {
                true => (Form::AsIs, WeightOrder::OutIn),
                false if is_made_up(&name) => (Form::Transposed, WeightOrder::OutIn),
                false => (Form::AsIs, WeightOrder::InOut),
            };
            return Ok(Some(Matrix { operand: Operand::Weight(name, form), order, d_in, d_out }));
        }
        let value = self.operand(call, i)?;
        if value.batch.is_some() || value.shape.len() != 2 {
            return Ok(None);
        }
        Ok(oriented(value.operand, turned, &value.shape))
    }

    /// A dense layer without bias.
    fn dense(&mut self, call: &Call<'_>, part: &str, x: &Traced, matrix: Matrix) -> Result<Traced, Refusal> {
        let Matrix { operand, order, d_in, d_out } = matrix;
        let along = |axis: usize| x.batch.is_some_and(|batch| batch.axis == axis);
        match x.shape.last() {
            Some(&n) if n == d_in && !along(x.shape.len() - 1) => {}
            _ => {
                let found = format!("a value {} times ({d_in}, {d_out})", crate::value::shown(&x.dims()));
                return misfit(found, format!("(…, {d_in})"));
            }
        }
        let mut shape = x.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = d_out;
        }
        let operand = self.emit(call, part, Dense { weight: order }, vec![x.operand.clone(), operand]);
        self.traced(operand, shape, x.batch)
    }

    /// `α x W + β b`.
    pub(super) fn gemm(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
        if call.int("transA", 0) != 0 {
            return unsupported("transA");
        }
        let x = self.operand(call, 0)?;
        let Some(matrix) = self.matrix(call, 1, call.int("transB", 0) != 0)? else {
            return unsupported(format!("a second factor {} that depends on samples", call.name_of(1)));
        };
        let d_out = matrix.d_out;
        let bias = call.optional(2).filter(|_| beta != 0.0).cloned();
        let last = |more: bool, part: &'static str| if more { part } else { "" };
        let mut z = self.dense(call, last(alpha != 1.0 || bias.is_some(), "product"), &x, matrix)?;
        if alpha != 1.0 {
            let factor = self.number(call, "alpha", alpha);
            let operand =
                self.emit(call, last(bias.is_some(), "scaled"), Arithmetic::Multiply, vec![z.operand, factor]);
            z.operand = operand;
        }
        let Some(bias) = bias else { return Ok(Value::Traced(z)) };
        let mut bias = self.graph_value(&bias, call.name_of(2))?;
        if beta != 1.0 {
            let factor = self.number(call, "beta", beta);
            bias.operand = self.emit(call, "bias", Arithmetic::Multiply, vec![bias.operand, factor]);
        }
        let fits = alpha == 1.0 && bias.shape == [d_out] && bias.batch.is_none();
        // The product so far is left behind.
        let node = self.maker(&z.operand).filter(|_| fits);
        if let Some((operation, mut operands)) = node.map(|node| (node.operation.clone(), node.operands.clone())) {
            operands.push(bias.operand);
            z.operand = self.emit(call, "", operation, operands);
            return Ok(Value::Traced(z));
        }
        Ok(Value::Traced(self.pair(call, "", Arithmetic::Add, z, bias)?))
    }
}
