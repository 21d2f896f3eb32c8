//! The slow dense truth of a graph: every operation and loss by its definition, on hyper-dual numbers.
//!
//! A hyper-dual number `x + x₁ε₁ + x₂ε₂ + x₁₂ε₁ε₂` with `ε₁² = ε₂² = 0` carries derivatives through any formula without
//! truncation: with `ε₁` put on one variable and `ε₂` on another, the last part of the loss is its mixed second
//! derivative. No derivative of an operation and no reverse pass appears here.
#![allow(dead_code, non_snake_case)]

mod hyper_dual;

use faer::Mat;
use hyper_dual::{HyperDual, constant};
use std::collections::HashMap;
use superlinear_nets::{
    Arithmetic, Criterion, Function, Graph, GraphSamples, Model, Objective, Operation, Reduction, Together, ValueId,
    Variables, WeightOrder, Window,
};

#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    shape: Vec<usize>,
    data: Vec<HyperDual>,
}

impl Tensor {
    fn new(shape: &[usize], entry: impl Fn(&[usize]) -> HyperDual) -> Self {
        let n: usize = shape.iter().product();
        let mut index = vec![0; shape.len()];
        let mut data = Vec::with_capacity(n);
        for _ in 0..n {
            data.push(entry(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { shape: shape.to_vec(), data }
    }

    /// An entry; axes of length 1 are repeated, and missing ones in front too.
    fn at(&self, index: &[usize]) -> HyperDual {
        let own = &index[index.len() - self.shape.len()..];
        let flat = own.iter().zip(&self.shape).fold(0, |flat, (&i, &n)| flat * n + if n == 1 { 0 } else { i });
        self.data[flat]
    }

    fn get(&self, index: &[usize]) -> HyperDual {
        self.at(index)
    }
}

fn function(f: Function, x: HyperDual) -> HyperDual {
    let (one, half) = (constant(1.0), constant(0.5));
    match f {
        Function::Relu => {
            if x.value > 0.0 {
                x
            } else {
                constant(0.0)
            }
        }
        Function::LeakyRelu { slope } => {
            if x.value > 0.0 {
                x
            } else {
                constant(slope) * x
            }
        }
        Function::Elu { alpha } => {
            if x.value > 0.0 {
                x
            } else {
                constant(alpha) * (x.exp() - one)
            }
        }
        Function::Gelu => half * x * (one + (x * constant(0.5f64.sqrt())).erf()),
        Function::GeluTanh => {
            let inner = constant((2.0 / std::f64::consts::PI).sqrt()) * (x + constant(0.044715) * x * x * x);
            half * x * (one + inner.tanh())
        }
        Function::Silu => x * x.sigmoid(),
        Function::Sigmoid => x.sigmoid(),
        Function::Tanh => x.tanh(),
        Function::Softplus { beta, threshold } => {
            let scaled = constant(beta) * x;
            if scaled.value > threshold { x } else { (one + scaled.exp()).ln() / constant(beta) }
        }
        Function::Hardtanh { min, max } | Function::Clip { min, max } => {
            if x.value < min {
                constant(min)
            } else if x.value > max {
                constant(max)
            } else {
                x
            }
        }
        Function::Erf => x.erf(),
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Sqrt => x.sqrt(),
        Function::Reciprocal => x.recip(),
        Function::Abs => {
            if x.value < 0.0 {
                -x
            } else {
                x
            }
        }
        Function::Negate => -x,
    }
}

fn arithmetic(f: Arithmetic, x: HyperDual, y: HyperDual) -> HyperDual {
    match f {
        Arithmetic::Add => x + y,
        Arithmetic::Subtract => x - y,
        Arithmetic::Multiply => x * y,
        Arithmetic::Divide => x / y,
        Arithmetic::Power if y.first == 0.0 && y.second == 0.0 && y.value.fract() == 0.0 && y.value >= 0.0 => {
            x.whole_power(y.value as u32)
        }
        Arithmetic::Power => (y * x.ln()).exp(),
    }
}

/// The pixel that a window sees, along one axis.
fn pixel(window: &Window, axis: usize, at: usize, i: usize, size: usize) -> Option<usize> {
    let position = (at * window.stride[axis] + i * window.dilation[axis]) as isize - window.padding[axis] as isize;
    (0..size as isize).contains(&position).then_some(position as usize)
}

fn apply(operation: &Operation, operands: &[&Tensor], shape: &[usize]) -> Tensor {
    let x = operands[0];
    match operation {
        Operation::Function(f) => Tensor::new(shape, |i| function(*f, x.get(i))),
        Operation::Arithmetic(f) => Tensor::new(shape, |i| arithmetic(*f, x.at(i), operands[1].at(i))),
        Operation::Dense(dense) => Tensor::new(shape, |index| {
            let (&o, lead) = index.split_last().unwrap();
            let weight = |i: usize| match dense.weight {
                WeightOrder::OutIn => operands[1].get(&[o, i]),
                WeightOrder::InOut => operands[1].get(&[i, o]),
            };
            let bias = operands.get(2).map_or(constant(0.0), |bias| bias.get(&[o]));
            bias + (0..*x.shape.last().unwrap()).map(|i| weight(i) * x.get(&[lead, &[i]].concat())).sum()
        }),
        Operation::Convolution(convolution) => Tensor::new(shape, |index| {
            let [o, row, column] = *index else { panic!() };
            let (window, weight) = (&convolution.window, operands[1]);
            let group = o / (shape[0] / convolution.groups);
            let c_in = weight.shape[1];
            let mut sum = operands.get(2).map_or(constant(0.0), |bias| bias.get(&[o]));
            for c in 0..c_in {
                for i in 0..window.kernel[0] {
                    for j in 0..window.kernel[1] {
                        let seen = pixel(window, 0, row, i, x.shape[1]).zip(pixel(window, 1, column, j, x.shape[2]));
                        if let Some((y, z)) = seen {
                            sum = sum + weight.get(&[o, c, i, j]) * x.get(&[group * c_in + c, y, z]);
                        }
                    }
                }
            }
            sum
        }),
        Operation::MaxPool(pool) => pooled(&pool.window, x, shape, |seen| {
            seen.iter().copied().reduce(|best, next| if next.value > best.value { next } else { best }).unwrap()
        }),
        Operation::AveragePool(pool) => pooled(&pool.window, x, shape, |seen| {
            let all = pool.window.kernel[0] * pool.window.kernel[1];
            let n = if pool.counts_padding { all } else { seen.len() };
            seen.iter().copied().sum::<HyperDual>() / constant(n as f64)
        }),
        Operation::BatchNorm(norm) => Tensor::new(shape, |index| {
            let of = |i: usize| operands[i].get(&index[..1]);
            of(1) * (x.get(index) - of(3)) / (of(4) + constant(norm.epsilon)).sqrt() + of(2)
        }),
        Operation::Normalise(norm) => {
            let group = match norm.together {
                Together::Last(axes) => shape[shape.len() - axes..].iter().product(),
                Together::Groups(groups) => x.data.len() / groups,
                Together::Channels => x.data.len() / shape[0],
            };
            let n = constant(group as f64);
            let normalised = x.data.chunks_exact(group).flat_map(|x| {
                let mean = if norm.centred { x.iter().copied().sum::<HyperDual>() / n } else { constant(0.0) };
                let variance = x.iter().map(|&x| (x - mean) * (x - mean)).sum::<HyperDual>() / n;
                let scale = (variance + constant(norm.epsilon)).sqrt();
                x.iter().map(move |&x| (x - mean) / scale)
            });
            Tensor { shape: shape.to_vec(), data: normalised.collect() }
        }
        Operation::Softmax(_) => {
            let vectors = x.data.chunks_exact(*shape.last().unwrap()).flat_map(softmax);
            Tensor { shape: shape.to_vec(), data: vectors.collect() }
        }
        Operation::MatrixProduct(_) => Tensor::new(shape, |index| {
            let (lead, last) = index.split_at(index.len() - 2);
            let inner = x.shape[x.shape.len() - 1];
            let left = |k: usize| x.at(&[lead, &[last[0], k]].concat());
            let right = |k: usize| operands[1].at(&[lead, &[k, last[1]]].concat());
            (0..inner).map(|k| left(k) * right(k)).sum()
        }),
        Operation::Reduce(reduce) => {
            let kept: Vec<usize> = (0..x.shape.len()).filter(|axis| !reduce.axes.contains(axis)).collect();
            let size: usize = kept.iter().map(|&axis| x.shape[axis]).product();
            let mut sums = vec![constant(0.0); size];
            let mut flat = 0;
            Tensor::new(&x.shape, |i| x.get(i)).data.iter().for_each(|&entry| {
                let mut rest = flat;
                let mut index = vec![0; x.shape.len()];
                for axis in (0..x.shape.len()).rev() {
                    index[axis] = rest % x.shape[axis];
                    rest /= x.shape[axis];
                }
                let to = kept.iter().fold(0, |to, &axis| to * x.shape[axis] + index[axis]);
                sums[to] = sums[to] + entry;
                flat += 1;
            });
            let n = if reduce.reduction == Reduction::Mean { x.data.len() / size } else { 1 };
            let data = sums.iter().map(|&sum| sum / constant(n as f64)).collect();
            Tensor { shape: shape.to_vec(), data }
        }
        Operation::Concatenate(concatenate) => Tensor::new(shape, |index| {
            let mut index = index.to_vec();
            for operand in operands {
                let n = operand.shape[concatenate.axis];
                if index[concatenate.axis] < n {
                    return operand.get(&index);
                }
                index[concatenate.axis] -= n;
            }
            panic!("behind the last operand")
        }),
        Operation::Slice(slice) => Tensor::new(shape, |index| {
            let mut index = index.to_vec();
            index[slice.axis] = slice.start + slice.step * index[slice.axis];
            x.get(&index)
        }),
        Operation::Gather(gather) => Tensor::new(shape, |index| {
            let mut index = index.to_vec();
            index[gather.axis] = gather.indices[index[gather.axis]];
            x.get(&index)
        }),
        Operation::Embedding(_) => Tensor::new(shape, |index| {
            let (&i, lead) = index.split_last().unwrap();
            x.get(&[operands[1].get(lead).value as usize, i])
        }),
        Operation::Reshape(_) => Tensor { shape: shape.to_vec(), data: x.data.clone() },
        Operation::Transpose(transpose) => Tensor::new(shape, |index| {
            let mut from = vec![0; index.len()];
            transpose.axes.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i);
            x.get(&from)
        }),
        Operation::Expand(_) => Tensor::new(shape, |index| x.at(index)),
    }
}

fn pooled(window: &Window, x: &Tensor, shape: &[usize], of: impl Fn(&[HyperDual]) -> HyperDual) -> Tensor {
    Tensor::new(shape, |index| {
        let [c, row, column] = *index else { panic!() };
        let mut seen = Vec::new();
        for i in 0..window.kernel[0] {
            for j in 0..window.kernel[1] {
                let at = pixel(window, 0, row, i, x.shape[1]).zip(pixel(window, 1, column, j, x.shape[2]));
                seen.extend(at.map(|(y, z)| x.get(&[c, y, z])));
            }
        }
        of(&seen)
    })
}

fn softmax(f: &[HyperDual]) -> Vec<HyperDual> {
    let total: HyperDual = f.iter().map(|f| f.exp()).sum();
    f.iter().map(|f| f.exp() / total).collect()
}

fn loss(objective: &Objective, shape: &[usize], f: &[HyperDual], target: &[f64]) -> HyperDual {
    let width = match objective.criterion {
        Criterion::BinaryCrossEntropy => 1,
        _ => *shape.last().unwrap(),
    };
    let n_outputs = f.len() / width;
    let scale = constant(objective.scale.unwrap_or(1.0 / n_outputs as f64));
    let one = constant(1.0);
    let outputs = f.chunks_exact(width).enumerate().map(|(t, f)| match &objective.criterion {
        Criterion::CrossEntropy { class_weights, label_smoothing, ignored } => {
            if ignored.is_some_and(|ignored| ignored as f64 == target[t]) {
                return constant(0.0);
            }
            let weight = |c: usize| class_weights.as_ref().map_or(1.0, |weights| weights[c]);
            let q = softmax(f);
            let share = |c: usize| {
                let label = if c == target[t] as usize { 1.0 - label_smoothing } else { 0.0 };
                constant(weight(c) * (label + label_smoothing / width as f64))
            };
            -(0..width).map(|c| share(c) * q[c].ln()).sum::<HyperDual>()
        }
        Criterion::SoftmaxMse => {
            let y = |c: usize| constant(if c == target[t] as usize { 1.0 } else { 0.0 });
            let squares = softmax(f).into_iter().enumerate().map(|(c, q)| (q - y(c)) * (q - y(c)));
            squares.sum::<HyperDual>() / constant(width as f64)
        }
        Criterion::LinearMse => {
            let y = |c: usize| constant(target[t * width + c]);
            f.iter().enumerate().map(|(c, &f)| (f - y(c)) * (f - y(c))).sum::<HyperDual>() / constant(width as f64)
        }
        Criterion::BinaryCrossEntropy => {
            let (q, y) = (f[0].sigmoid(), constant(target[t]));
            -(y * q.ln() + (one - y) * (one - q).ln())
        }
    });
    scale * outputs.sum::<HyperDual>()
}

/// One sample of a model, to be evaluated on hyper-dual numbers.
pub(crate) struct Reference<'a> {
    model: &'a Model<f64>,
    objective: &'a Objective,
    inputs: Vec<Vec<f64>>,
    target: Vec<f64>,
}

/// A function's value, gradient and Hessian at a point.
#[derive(Clone, Debug)]
pub(crate) struct Derivatives {
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
    pub(crate) hessian: Mat<f64>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(
        model: &'a Model<f64>,
        objective: &'a Objective,
        samples: &impl GraphSamples<f64>,
        p: usize,
    ) -> Self {
        let graph: &Graph = model.graph();
        let dim = |value: ValueId| graph.shape(value).iter().product::<usize>();
        let inputs = graph.inputs().enumerate().map(|(i, value)| {
            let mut input = vec![0.0; dim(value)];
            samples.write_input(p, i, &mut input);
            input
        });
        let mut target = vec![0.0; objective.target_len(graph.shape(graph.output()))];
        samples.write_target(p, &mut target);
        Self { model, objective, inputs: inputs.collect(), target }
    }

    /// The loss, with other numbers for some tensors, or added to what some nodes give.
    fn evaluate(&self, replaced: &HashMap<ValueId, Vec<HyperDual>>) -> HyperDual {
        let graph = self.model.graph();
        let mut values: HashMap<ValueId, Tensor> = HashMap::new();
        for (value, input) in graph.inputs().zip(&self.inputs) {
            let data = input.iter().copied().map(constant).collect();
            values.insert(value, Tensor { shape: graph.shape(value).to_vec(), data });
        }
        let roles = [superlinear_nets::TensorRole::Parameter, superlinear_nets::TensorRole::Constant];
        for value in roles.into_iter().flat_map(|role| graph.tensors(role)) {
            let own = || self.model.tensor(value).iter().copied().map(constant).collect();
            let data = replaced.get(&value).cloned().unwrap_or_else(own);
            values.insert(value, Tensor { shape: graph.shape(value).to_vec(), data });
        }
        for value in graph.nodes() {
            let operands = graph.operands_of(value);
            let operands: Vec<&Tensor> = operands.iter().map(|operand| &values[operand]).collect();
            let mut given = apply(graph.operation(value).unwrap(), &operands, graph.shape(value));
            if let Some(added) = replaced.get(&value) {
                given.data.iter_mut().zip(added).for_each(|(x, &dx)| *x = *x + dx);
            }
            values.insert(value, given);
        }
        let output = graph.output();
        let mut loss = loss(self.objective, graph.shape(output), &values[&output].data, &self.target);
        if self.objective.l2 > 0.0 {
            let parameters = graph.tensors(superlinear_nets::TensorRole::Parameter);
            let squares = parameters.flat_map(|value| values[&value].data.iter().map(|&w| w * w).collect::<Vec<_>>());
            loss = loss + constant(0.5 * self.objective.l2) * squares.sum();
        }
        loss
    }

    /// In the parameters of `variables`.
    pub(crate) fn in_parameters(&self, variables: &Variables) -> Derivatives {
        let tensors: Vec<ValueId> = variables.tensors().collect();
        let point: Vec<(ValueId, Vec<f64>)> =
            tensors.into_iter().map(|value| (value, self.model.tensor(value).to_vec())).collect();
        self.differentiate(&point)
    }

    /// In what is added to the values of nodes.
    pub(crate) fn in_values(&self, values: &[ValueId]) -> Derivatives {
        let zeros = |&value: &ValueId| (value, vec![0.0; self.model.graph().shape(value).iter().product()]);
        self.differentiate(&values.iter().map(zeros).collect::<Vec<_>>())
    }

    fn differentiate(&self, point: &[(ValueId, Vec<f64>)]) -> Derivatives {
        let places: Vec<(usize, usize)> =
            point.iter().enumerate().flat_map(|(v, (_, x))| (0..x.len()).map(move |i| (v, i))).collect();
        let n = places.len();
        let mut found = Derivatives { value: 0.0, gradient: vec![0.0; n], hessian: Mat::zeros(n, n) };
        for (i, &(v, at)) in places.iter().enumerate() {
            for (j, &(w, to)) in places.iter().enumerate().take(i + 1) {
                let mut x: Vec<Vec<HyperDual>> =
                    point.iter().map(|(_, x)| x.iter().copied().map(constant).collect()).collect();
                x[v][at].first = 1.0;
                x[w][to].second = 1.0;
                let replaced = point.iter().map(|&(value, _)| value).zip(x).collect();
                let loss = self.evaluate(&replaced);
                found.value = loss.value;
                found.gradient[i] = loss.first;
                found.hessian[(i, j)] = loss.mixed;
                found.hessian[(j, i)] = loss.mixed;
            }
        }
        found
    }
}
