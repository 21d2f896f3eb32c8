//! The exact pre-activation curvature `S = ∂²ℓ/∂z²` of a dense layer, propagated from the logits (`MATH [2]`).

use crate::{Layer, Loss, Network, Scalar};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Everything downstream of one dense layer's pre-activation `z`, with a loss: `ℓ_p` as a function of `z_p` alone.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a, T> {
    net: &'a Network<T>,
    dense: usize,
    loss: Loss,
}

/// Gradient and Hessian of one sample's loss in the pre-activation, and the buffers that made them.
#[derive(Clone, Debug)]
pub struct PreActivation<T> {
    /// `ℓ_p`.
    pub loss: T,
    /// `δ_p = ∂ℓ_p/∂z_p`, length `d_out`.
    pub delta: Vec<T>,
    /// `S_p = ∂²ℓ_p/∂z_p²`, `d_out × d_out`, symmetric to the last bit, possibly indefinite.
    pub S: Mat<T>,
    /// What every layer behind the target gives.
    outputs: Vec<Vec<T>>,
    /// `∂²ℓ/∂·²` and `∂ℓ/∂·` at the output of every layer behind the target; the last is at the logits.
    hessians: Vec<Mat<T>>,
    gradients: Vec<Vec<T>>,
    /// `S' W'` of every layer behind the target that is dense.
    half_products: Vec<Mat<T>>,
    probabilities: Vec<T>,
}

/// How far a walk back from the logits differentiates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Gradient,
    Hessian,
    GaussNewton,
}

impl<'a, T: Scalar> Tail<'a, T> {
    /// The part of `net` behind its `dense`-th dense layer (counted from 0), under `loss`.
    ///
    /// Dense layers behind it may have biases: they shift the values that derivatives are taken at, and nothing else. A
    /// bias of the target itself is part of the given `z`.
    ///
    /// # Panics
    /// When there is no such layer, or a layer behind it is neither dense nor an activation. (An
    /// [`crate::Architecture`] has convolutions and pooling only in front of its dense layers.)
    #[track_caller]
    pub fn new(net: &'a Network<T>, dense: usize, loss: Loss) -> Self {
        let n_dense = net.architecture().dense_layers().len();
        assert!(dense < n_dense, "dense layer {dense} of {n_dense}");
        let tail = Self { net, dense, loss };
        for layer in tail.layers() {
            let known = matches!(layer, Layer::Dense { .. } | Layer::Activation(_));
            assert!(
                known,
                "behind dense layer {dense} stands a {layer}, but a tail has dense layers and activations only"
            );
        }
        tail
    }

    /// Length of `z`.
    pub fn d_out(&self) -> usize {
        self.net.architecture().dense_layers()[self.dense].d_out
    }

    fn layers(&self) -> &'a [Layer] {
        let architecture = self.net.architecture();
        &architecture.layers()[architecture.dense_layers()[self.dense].position + 1..]
    }

    /// Buffers for [`Tail::curvature`].
    pub fn buffers(&self) -> PreActivation<T> {
        let d_out = self.d_out();
        let first = self.net.architecture().dense_layers()[self.dense].position + 1;
        let n_layers = self.layers().len();
        let dims: Vec<usize> = (0..n_layers).map(|l| self.net.architecture().output_dim_of(first + l)).collect();
        let half_products = self.layers().iter().map(|layer| match *layer {
            Layer::Dense { d_in, d_out, .. } => Mat::zeros(d_out, d_in),
            _ => Mat::new(),
        });
        PreActivation {
            loss: T::ZERO,
            delta: vec![T::ZERO; d_out],
            S: Mat::zeros(d_out, d_out),
            outputs: dims.iter().map(|&d| vec![T::ZERO; d]).collect(),
            hessians: dims.iter().map(|&d| Mat::zeros(d, d)).collect(),
            gradients: dims.iter().map(|&d| vec![T::ZERO; d]).collect(),
            half_products: half_products.collect(),
            probabilities: vec![T::ZERO; self.net.architecture().n_out()],
        }
    }

    /// Loss, `δ` and `S` at the pre-activation `z` of a sample of class `label`, written into `into`.
    ///
    /// With `a = σ(z)` and `z' = W'a`, going backwards from `Q = ∂²ℓ/∂logits²`:
    /// `δ = σ'(z) ⊙ (W'ᵀδ')` and `S = diag(σ'(z)) W'ᵀ S' W' diag(σ'(z)) + diag(σ''(z) ⊙ W'ᵀδ')`.
    /// Exact for smooth and piecewise-linear tails of any depth; no allocation.
    ///
    /// # Panics
    /// When `z` has not length `d_out`, `label ≥ n_out`, or `into` was made for another tail.
    #[track_caller]
    pub fn curvature(&self, z: &[T], label: u8, into: &mut PreActivation<T>) {
        self.walk_back(z, label, into, Order::Hessian);
    }

    /// Loss and `δ` only; `into.S` keeps what it held.
    ///
    /// # Panics
    /// As [`Tail::curvature`].
    #[track_caller]
    pub fn gradient(&self, z: &[T], label: u8, into: &mut PreActivation<T>) {
        self.walk_back(z, label, into, Order::Gradient);
    }

    /// As [`Tail::curvature`] with the Gauss–Newton matrix of the tail in the place of `S`: `JᵀQJ` with
    /// `J = ∂logits/∂z` and [`Loss::gauss_newton`] for `Q`, PSD. The second derivatives of activations, and of the
    /// softmax under squared error, are left out; behind a piecewise-linear tail and under cross-entropy nothing is.
    ///
    /// # Panics
    /// As [`Tail::curvature`].
    #[track_caller]
    pub fn gauss_newton(&self, z: &[T], label: u8, into: &mut PreActivation<T>) {
        self.walk_back(z, label, into, Order::GaussNewton);
    }

    #[track_caller]
    fn walk_back(&self, z: &[T], label: u8, into: &mut PreActivation<T>, order: Order) {
        assert_eq!(z.len(), self.d_out(), "z has length d_out");
        let layers = self.layers();
        self.forward(z, into);
        let PreActivation { loss, delta, S, outputs, hessians, gradients, half_products, probabilities } = into;
        let logits: &[T] = outputs.last().map_or(z, |f| f);
        // A tail without layers has its logits at z itself, and δ and S take the place of the last buffers.
        let at_logits = gradients.last_mut().unwrap_or(delta);
        *loss = self.loss.value_and_gradient(logits, label, at_logits);
        let Q = hessians.last_mut().unwrap_or(S).as_mut();
        match order {
            Order::Gradient => {}
            Order::Hessian => self.loss.hessian(logits, label, probabilities, Q),
            Order::GaussNewton => self.loss.gauss_newton(logits, label, probabilities, Q),
        }
        let mut dense = self.net.architecture().dense_layers().len();
        for (l, layer) in layers.iter().enumerate().rev() {
            let (gradients_below, gradients_above) = gradients.split_at_mut(l);
            let (hessians_below, hessians_above) = hessians.split_at_mut(l);
            let below_gradient = gradients_below.last_mut().unwrap_or(delta);
            let below_hessian = hessians_below.last_mut().unwrap_or(S);
            let (gradient, hessian) = (&gradients_above[0], &hessians_above[0]);
            match *layer {
                Layer::Dense { d_in, d_out, .. } => {
                    dense -= 1;
                    let weight = self.net.weight(dense);
                    matmul(
                        MatMut::from_column_major_slice_mut(below_gradient, d_in, 1),
                        Accum::Replace,
                        weight.transpose(),
                        MatRef::from_column_major_slice(gradient, d_out, 1),
                        T::ONE,
                        Par::Seq,
                    );
                    if order != Order::Gradient {
                        congruence(weight, hessian.as_ref(), half_products[l].as_mut(), below_hessian.as_mut());
                    }
                }
                Layer::Activation(activation) => {
                    let input = if l == 0 { z } else { &outputs[l - 1] };
                    for (i, &z_i) in input.iter().enumerate() {
                        let slope_i = activation.derivative(z_i);
                        below_gradient[i] = slope_i * gradient[i];
                        if order == Order::Gradient {
                            continue;
                        }
                        let column = below_hessian.col_as_slice_mut(i);
                        for ((s, &above), &z_j) in column.iter_mut().zip(hessian.col_as_slice(i)).zip(input) {
                            *s = (slope_i * activation.derivative(z_j)) * above;
                        }
                        if order == Order::Hessian {
                            column[i] += activation.second_derivative(z_i) * gradient[i];
                        }
                    }
                }
                _ => unreachable!("Tail::new takes only dense layers and activations behind the target"),
            }
        }
    }

    /// Outputs of every layer behind `z`.
    fn forward(&self, z: &[T], into: &mut PreActivation<T>) {
        let mut dense = self.dense + 1;
        for (l, layer) in self.layers().iter().enumerate() {
            let (before, here) = into.outputs.split_at_mut(l);
            let input: &[T] = before.last().map_or(z, |a| a);
            let here = &mut here[0];
            match *layer {
                Layer::Dense { d_in, d_out, .. } => {
                    let product = MatMut::from_column_major_slice_mut(here, d_out, 1);
                    let input = MatRef::from_column_major_slice(input, d_in, 1);
                    matmul(product, Accum::Replace, self.net.weight(dense), input, T::ONE, Par::Seq);
                    for (z, &b) in here.iter_mut().zip(self.net.bias(dense).unwrap_or(&[])) {
                        *z += b;
                    }
                    dense += 1;
                }
                Layer::Activation(activation) => {
                    for (a, &z) in here.iter_mut().zip(input) {
                        *a = activation.value(z);
                    }
                }
                _ => unreachable!("Tail::new takes only dense layers and activations behind the target"),
            }
        }
    }
}

/// `W'ᵀ S' W'`, mirrored from its lower triangle so that it is symmetric to the last bit.
fn congruence<T: Scalar>(
    weight: MatRef<'_, T>,
    hessian: MatRef<'_, T>,
    mut half_product: MatMut<'_, T>,
    mut below: MatMut<'_, T>,
) {
    matmul(half_product.as_mut(), Accum::Replace, hessian, weight, T::ONE, Par::Seq);
    matmul(below.as_mut(), Accum::Replace, weight.transpose(), half_product, T::ONE, Par::Seq);
    for j in 0..below.ncols() {
        for i in j + 1..below.nrows() {
            below[(j, i)] = below[(i, j)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Architecture, Bias};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn curvature_agrees_with_differences_of_its_own_gradient() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for activation in [Activation::Relu, Activation::Tanh, Activation::Identity] {
            for loss in [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse] {
                for dense in 0..4 {
                    let architecture = Architecture::mlp(&[3, 6, 5, 4, 4], activation).unwrap();
                    let net = Network::<f64>::init(architecture, &mut rng);
                    let tail = Tail::new(&net, dense, loss);
                    let z: Vec<f64> = (0..tail.d_out()).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect();
                    let mut at = tail.buffers();
                    tail.curvature(&z, 1, &mut at);
                    let (mut up, mut down) = (tail.buffers(), tail.buffers());
                    let step = 1e-5;
                    for k in 0..z.len() {
                        let mut shifted = z.clone();
                        shifted[k] += step;
                        tail.curvature(&shifted, 1, &mut up);
                        shifted[k] -= 2.0 * step;
                        tail.curvature(&shifted, 1, &mut down);
                        assert!(((up.loss - down.loss) / (2.0 * step) - at.delta[k]).abs() < 1e-8);
                        for o in 0..z.len() {
                            let difference = (up.delta[o] - down.delta[o]) / (2.0 * step);
                            assert!((difference - at.S[(o, k)]).abs() < 1e-8, "{activation} {loss} {dense}");
                            assert_eq!(at.S[(o, k)], at.S[(k, o)]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_bias_behind_the_target_shifts_where_derivatives_are_taken() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let dense = |d_in, d_out, bias| Layer::Dense { d_in, d_out, bias };
        let tanh = || Layer::Activation(Activation::Tanh);
        let biased =
            vec![dense(2, 3, Bias::None), tanh(), dense(3, 4, Bias::Learned), tanh(), dense(4, 2, Bias::Learned)];
        let net = Network::<f64>::init(Architecture::new(biased).unwrap(), &mut rng);
        let (tail, z) = (Tail::new(&net, 0, Loss::SoftmaxMse), [0.3, -0.4, 0.9]);
        let (mut at, mut up, mut down) = (tail.buffers(), tail.buffers(), tail.buffers());
        tail.curvature(&z, 1, &mut at);
        let step = 1e-5;
        for k in 0..3 {
            let (mut above, mut below) = (z, z);
            above[k] += step;
            below[k] -= step;
            tail.curvature(&above, 1, &mut up);
            tail.curvature(&below, 1, &mut down);
            assert!(((up.loss - down.loss) / (2.0 * step) - at.delta[k]).abs() < 1e-9);
            for o in 0..3 {
                assert!(((up.delta[o] - down.delta[o]) / (2.0 * step) - at.S[(o, k)]).abs() < 1e-9);
            }
        }
        // The loss is the network's own, biases included.
        let x = faer::Mat::from_fn(2, 1, |i, _| 0.7 - i as f64);
        let mut workspace = crate::Workspace::new(&net, 1);
        let whole = net.loss(x.as_ref(), &[1], Loss::SoftmaxMse, &mut workspace).total;
        tail.gradient(workspace.output(0, 1).col(0).try_as_col_major().unwrap().as_slice(), 1, &mut at);
        assert!((at.loss - whole).abs() < 1e-15);
    }

    /// `Σ_c 2/n_out (J_qᵀ J_q)` and `J_fᵀ D_q J_f` with Jacobians by differences of the outputs.
    #[test]
    fn gauss_newton_is_made_of_first_derivatives() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for (loss, activation) in [
            (Loss::CrossEntropy, Activation::Tanh),
            (Loss::SoftmaxMse, Activation::Tanh),
            (Loss::LinearMse, Activation::Tanh),
            (Loss::SoftmaxMse, Activation::Relu),
        ] {
            let net = Network::<f64>::init(Architecture::mlp(&[3, 5, 4, 3], activation).unwrap(), &mut rng);
            let tail = Tail::new(&net, 0, loss);
            let z: Vec<f64> = (0..5).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect();
            let (step, mut at) = (1e-6, tail.buffers());
            // What the convex outer function takes: probabilities under softmax-MSE, else logits.
            let mut inner = |k: usize, by: f64| -> Vec<f64> {
                let mut z = z.clone();
                z[k] += by;
                tail.gradient(&z, 1, &mut at);
                let f = at.outputs.last().unwrap().clone();
                let total: f64 = f.iter().map(|f| f.exp()).sum();
                if loss == Loss::SoftmaxMse { f.iter().map(|f| f.exp() / total).collect() } else { f }
            };
            let here = inner(0, 0.0);
            let J = Mat::from_fn(3, 5, |c, k| (inner(k, step)[c] - inner(k, -step)[c]) / (2.0 * step));
            let total: f64 = here.iter().map(|f| f.exp()).sum();
            let outer = Mat::from_fn(3, 3, |a, b| {
                let (q_a, q_b) = (here[a].exp() / total, here[b].exp() / total);
                let diagonal = if a == b { 1.0 } else { 0.0 };
                if loss == Loss::CrossEntropy { diagonal * q_a - q_a * q_b } else { diagonal * 2.0 / 3.0 }
            });
            let truth = J.transpose() * outer * &J;
            tail.gauss_newton(&z, 1, &mut at);
            assert!((&at.S - truth).norm_max() < 1e-8, "{loss} {activation}");
        }
    }
}
