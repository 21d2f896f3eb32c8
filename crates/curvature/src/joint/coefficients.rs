//! One sample's joint Hessian in its small factors: `C_p` of `h_p = U C_p Uᵀ`.

use super::JointLayers;
use crate::{AnalysedLayer, Curvatures};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use superlinear_nets::Layer;

/// Scratch of one task, and what it holds of one sample.
#[derive(Debug)]
pub(super) struct Coefficients<'j, 'a> {
    joint: &'j JointLayers<'a>,
    /// `S_m` at `[m]`.
    curvatures: Vec<Curvatures<'j>>,
    /// The sample of which the rest holds everything; `usize::MAX` for none.
    held: usize,
    /// `A_ml = S_m T_ml` at `[m][l]`, `l < m`.
    A: Vec<Vec<Mat<f64>>>,
    /// `D_ml = ∂a_m/∂z_l` at `[m][l]`, `d_in × d_out`.
    D: Vec<Vec<Mat<f64>>>,
}

impl<'j, 'a> Coefficients<'j, 'a> {
    pub(super) fn new(joint: &'j JointLayers<'a>) -> Self {
        let layers = &joint.layers;
        let curvatures = layers.iter().map(AnalysedLayer::curvatures).collect();
        let pairs = |rows: &dyn Fn(usize) -> usize| -> Vec<Vec<Mat<f64>>> {
            (0..layers.len()).map(|m| (0..m).map(|l| Mat::zeros(rows(m), layers[l].d_out())).collect()).collect()
        };
        let (A, D) = (pairs(&|m| layers[m].d_out()), pairs(&|m| layers[m].d_in()));
        Self { joint, curvatures, held: usize::MAX, A, D }
    }

    /// `S_m` of sample `p`.
    pub(super) fn S(&mut self, p: usize, m: usize) -> MatRef<'_, f64> {
        self.curvatures[m].at(p).S
    }

    /// `(A_ml, D_ml)` of sample `p`, `l < m`.
    pub(super) fn pair(&mut self, p: usize, m: usize, l: usize) -> (MatRef<'_, f64>, MatRef<'_, f64>) {
        self.S(p, m);
        self.walk(p, l, m);
        (self.A[m][l].as_ref(), self.D[m][l].as_ref())
    }

    /// Fills `D_ml` and `A_ml` for all held layers `l < m ≤ last`, from `z_l` on; `S_m` has been computed where it is
    /// wanted.
    fn walk(&mut self, p: usize, l: usize, last: usize) {
        let JointLayers { net, dense: held, .. } = self.joint;
        let (architecture, dense) = (net.architecture(), net.architecture().dense_layers());
        let mut value = self.joint.pass(l).z(p).to_vec();
        let mut J = Mat::<f64>::identity(value.len(), value.len());
        let mut next = held[l] + 1;
        let end = dense[held[last]].position;
        for position in dense[held[l]].position + 1..=end {
            match architecture.layers()[position] {
                Layer::Dense { .. } => {
                    let W = net.weight(next);
                    let target = held[l + 1..=last].iter().position(|&held| held == next);
                    let T = W * &J;
                    if let Some(m) = target.map(|m| l + 1 + m) {
                        self.D[m][l].copy_from(&J);
                        matmul(self.A[m][l].as_mut(), Accum::Replace, self.curvatures[m].S(), &T, 1.0, Par::Seq);
                    }
                    let mut z = vec![0.0; W.nrows()];
                    let a = MatRef::from_column_major_slice(&value, value.len(), 1);
                    let n = z.len();
                    matmul(MatMut::from_column_major_slice_mut(&mut z, n, 1), Accum::Replace, W, a, 1.0, Par::Seq);
                    for (z, &b) in z.iter_mut().zip(net.bias(next).unwrap_or(&[])) {
                        *z += b;
                    }
                    (value, J) = (z, T);
                    next += 1;
                }
                Layer::Activation(activation) => {
                    for j in 0..J.ncols() {
                        for (x, &z) in J.col_as_slice_mut(j).iter_mut().zip(&value) {
                            *x *= activation.derivative(z);
                        }
                    }
                    value.iter_mut().for_each(|z| *z = activation.value(*z));
                }
                _ => unreachable!("behind a dense layer stand dense layers and activations only"),
            }
        }
    }

    /// Rows `m`, columns `l` of `C_p UᵀU C_p`, of `(d_out + d_in)` of each layer.
    pub(super) fn square(&mut self, p: usize, m: usize, l: usize) -> Mat<f64> {
        let n_layers = self.joint.layers.len();
        if self.held != p {
            for layer in 0..n_layers {
                self.S(p, layer);
            }
            for layer in 0..n_layers - 1 {
                self.walk(p, layer, n_layers - 1);
            }
            self.held = p;
        }
        let layers = &self.joint.layers;
        let order = |m: usize| layers[m].d_out() + layers[m].d_in();
        let mut square = Mat::zeros(order(m), order(l));
        for (n, layer) in layers.iter().enumerate() {
            let (mut left, right) = (self.block(m, n), self.block(n, l));
            // UᵀU of layer n: [‖a‖² I, δ aᵀ; a δᵀ, ‖δ‖² I].
            let (a, delta) = (layer.a(p), layer.delta(p));
            let (norm_a, norm_delta) = (dot(a, a), dot(delta, delta));
            for row in 0..order(m) {
                let outs: f64 = delta.iter().enumerate().map(|(o, d)| left[(row, o)] * d).sum();
                let ins: f64 = a.iter().enumerate().map(|(i, a)| left[(row, delta.len() + i)] * a).sum();
                for (o, d) in delta.iter().enumerate() {
                    left[(row, o)] = norm_a * left[(row, o)] + ins * d;
                }
                for (i, a) in a.iter().enumerate() {
                    left[(row, delta.len() + i)] = norm_delta * left[(row, delta.len() + i)] + outs * a;
                }
            }
            matmul(square.as_mut(), Accum::Add, &left, &right, 1.0, Par::Seq);
        }
        square
    }

    /// Block `(m, n)` of `C_p`.
    fn block(&self, m: usize, n: usize) -> Mat<f64> {
        let layers = &self.joint.layers;
        let (out_m, out_n) = (layers[m].d_out(), layers[n].d_out());
        let mut block = Mat::zeros(out_m + layers[m].d_in(), out_n + layers[n].d_in());
        let mut outs = block.as_mut().submatrix_mut(0, 0, out_m, out_n);
        match m.cmp(&n) {
            std::cmp::Ordering::Equal => outs.copy_from(self.curvatures[m].S()),
            std::cmp::Ordering::Greater => {
                outs.copy_from(&self.A[m][n]);
                block.as_mut().submatrix_mut(out_m, 0, layers[m].d_in(), out_n).copy_from(&self.D[m][n]);
            }
            std::cmp::Ordering::Less => {
                outs.copy_from(self.A[n][m].transpose());
                block.as_mut().submatrix_mut(0, out_n, out_m, layers[n].d_in()).copy_from(self.D[n][m].transpose());
            }
        }
        block
    }
}

fn dot(u: &[f64], v: &[f64]) -> f64 {
    u.iter().zip(v).map(|(u, v)| u * v).sum()
}
