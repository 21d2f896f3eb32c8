//! The slow dense truth in all parameters of any network, convolutions, pooling and biases included.
//!
//! Logits by the definitions of the layers on hyper-dual numbers (see [`crate::reference`]), one pair of parameters at
//! a time.

use crate::reference::{HyperDual, Number, activate, loss, softmax};
use faer::Mat;
use superlinear_nets::{Architecture, ImageShape, Layer, Loss, Network, Selection, Shape};

/// `f_p`, `∂f_p/∂w`, `g_p` and `h_p` of one sample in all parameters.
#[derive(Clone, Debug)]
pub(crate) struct SampleTruth {
    pub(crate) logits: Vec<f64>,
    pub(crate) jacobian: Mat<f64>,
    pub(crate) gradient: Vec<f64>,
    pub(crate) hessian: Mat<f64>,
}

impl SampleTruth {
    pub(crate) fn new(net: &Network<f64>, kind: Loss, input: &[f64], label: u8) -> Self {
        let (architecture, P) = (net.architecture(), net.params().len());
        let n_out = architecture.n_out();
        let mut truth = Self {
            logits: Vec::new(),
            jacobian: Mat::zeros(n_out, P),
            gradient: vec![0.0; P],
            hessian: Mat::zeros(P, P),
        };
        let mut params: Vec<HyperDual> = net.params().iter().copied().map(HyperDual::constant).collect();
        for i in 0..P {
            params[i].first = 1.0;
            for j in 0..=i {
                params[j].second = 1.0;
                let f = logits(architecture, &params, input);
                let l = loss(kind, &f, label);
                params[j].second = 0.0;
                truth.gradient[i] = l.first;
                truth.hessian[(i, j)] = l.mixed;
                truth.hessian[(j, i)] = l.mixed;
                f.iter().enumerate().for_each(|(c, f)| truth.jacobian[(c, i)] = f.first);
                truth.logits = f.iter().map(|f| f.value).collect();
            }
            params[i].first = 0.0;
        }
        truth
    }

    /// `J δ` for a gradient `δ` in the logits.
    pub(crate) fn pulled_back(&self, delta: &[f64]) -> Vec<f64> {
        let entry = |i| delta.iter().enumerate().map(|(c, d)| d * self.jacobian[(c, i)]).sum();
        (0..self.gradient.len()).map(entry).collect()
    }

    /// `(y, weight)` of a distribution with the model's first two moments, as gradients in the logits.
    pub(crate) fn label_gradients(&self, kind: Loss) -> Vec<(Vec<f64>, f64)> {
        let (q, n) = (softmax(&self.logits), self.logits.len());
        if kind == Loss::CrossEntropy {
            let delta = |y: usize| (0..n).map(|c| q[c] - if c == y { 1.0 } else { 0.0 }).collect();
            return (0..n).map(|y| (delta(y), q[y])).collect();
        }
        // Targets at ±√(n·n/2) along every axis around the mean: their covariance is ½ n I.
        let r = n as f64 / 2.0_f64.sqrt();
        let delta = |axis: usize| -> Vec<f64> {
            (0..n)
                .map(|c| {
                    let same = if c == axis { 1.0 } else { 0.0 };
                    let inner = if kind == Loss::SoftmaxMse { q[c] * (same - q[axis]) } else { same };
                    2.0 / n as f64 * inner * r
                })
                .collect()
        };
        (0..n).map(|axis| (delta(axis), 1.0 / n as f64)).collect()
    }
}

/// The rows and columns of `all` that are selected.
pub(crate) fn selected(selection: &Selection, all: &Mat<f64>) -> Mat<f64> {
    let at: Vec<usize> = selection.ranges().iter().cloned().flatten().collect();
    Mat::from_fn(at.len(), at.len(), |i, j| all[(at[i], at[j])])
}

fn logits(architecture: &Architecture, params: &[HyperDual], input: &[f64]) -> Vec<HyperDual> {
    let zero = HyperDual::constant(0.0);
    let mut a: Vec<HyperDual> = input.iter().copied().map(HyperDual::constant).collect();
    let mut shape = architecture.input_shape();
    for (position, layer) in architecture.layers().iter().enumerate() {
        let (weight, bias) =
            (&params[architecture.weight_params(position)], &params[architecture.bias_params(position)]);
        let image = match shape {
            Shape::Image(image) => image,
            Shape::Vector(channels) => ImageShape { channels, height: 1, width: 1 },
        };
        let ImageShape { channels, height, width } = image;
        let pixel = |c: usize, y: usize, x: usize| a[(c * height + y) * width + x];
        a = match *layer {
            Layer::Dense { d_in, d_out, .. } => {
                let z = |o: usize| {
                    let start = bias.get(o).copied().unwrap_or(zero);
                    weight[o * d_in..(o + 1) * d_in].iter().zip(&a).fold(start, |z, (&w, &a)| z + w * a)
                };
                (0..d_out).map(z).collect()
            }
            Layer::Activation(activation) => a.iter().map(|&z| activate(activation, z)).collect(),
            Layer::Conv3x3 { c_out, .. } => {
                let mut z = Vec::new();
                for (o, y, x) in cube(c_out, height, width) {
                    let mut sum = bias[o];
                    for (c, i, j) in cube(channels, 3, 3) {
                        if (1..=height).contains(&(y + i)) && (1..=width).contains(&(x + j)) {
                            sum = sum + weight[((o * channels + c) * 3 + i) * 3 + j] * pixel(c, y + i - 1, x + j - 1);
                        }
                    }
                    z.push(sum);
                }
                z
            }
            Layer::MaxPool2x2 => {
                let largest = |(c, y, x)| {
                    let window = cube(1, 2, 2).map(|(_, i, j)| pixel(c, 2 * y + i, 2 * x + j));
                    window.reduce(|m, v| if v.value > m.value { v } else { m }).unwrap()
                };
                cube(channels, height / 2, width / 2).map(largest).collect()
            }
            Layer::GlobalAveragePool => {
                let n = HyperDual::constant(image.n_pixels() as f64);
                a.chunks_exact(image.n_pixels()).map(|plane| plane.iter().fold(zero, |s, &v| s + v) / n).collect()
            }
            Layer::Flatten => a,
        };
        shape = architecture.output_shape_of(position);
    }
    a
}

fn cube(n: usize, height: usize, width: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n * height * width).map(move |k| (k / (height * width), k / width % height, k % width))
}
