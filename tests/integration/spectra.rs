//! Layers whose Hessian is known in closed form, and its spectrum.

use crate::cases::{Case, LOSSES};
use crate::dense::{TOLERANCE, assert_close, column, dot, jacobi, kronecker, mean, outer, product};
use crate::reference::softmax;
use faer::Mat;
use superlinear_curvature::layer_moments;
use superlinear_nets::{Activation, Loss};
use superlinear_spectra::{diagonal_in_basis, eigh};

/// Closed forms are asked to hold to this.
const CLOSE: f64 = 1e-12;

/// `E[x xᵀ]` over the inputs.
fn input_second_moment(case: &Case) -> Mat<f64> {
    mean(case.inputs.iter().map(|x| outer(x, x)))
}

fn descending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(|x, y| y.total_cmp(x));
    values
}

#[test]
fn linear_regression() {
    let case = Case::random(&[5, 3], Activation::Identity, Loss::LinearMse, 20, 301);
    let moments = layer_moments(&case.layer(0));
    let A = input_second_moment(&case);
    let scaled = |scale: f64| Mat::<f64>::identity(3, 3) * faer::Scale(scale);
    assert_close(moments.H.as_ref(), kronecker(&scaled(2.0 / 3.0), &A).as_ref(), CLOSE, "(2/n_out) I ⊗ E[a aᵀ]");
    let weighted = mean(case.inputs.iter().map(|x| outer(x, x) * faer::Scale(dot(x, x))));
    let M2 = kronecker(&scaled(4.0 / 9.0), &weighted);
    assert_close(moments.M2.as_ref(), M2.as_ref(), CLOSE, "(4/n_out²) I ⊗ E[‖a‖² a aᵀ]");
    // Every eigenvalue of E[a aᵀ] three times over.
    let expected = jacobi(&A).0.iter().flat_map(|x| [x * 2.0 / 3.0; 3]).collect::<Vec<_>>();
    let found = eigh(moments.H.as_ref()).unwrap();
    assert_close(column(&found.values), column(&expected), CLOSE, "eigenvalues");
}

#[test]
fn deep_linear_regression() {
    // The tail is linear, so S = (2/n_out) W'ᵀW' for every sample.
    let case = Case::random(&[4, 5, 3], Activation::Identity, Loss::LinearMse, 20, 302);
    let H = layer_moments(&case.layer(0)).H;
    let W = case.net.weight(1);
    let S = product(&W.transpose().to_owned(), &W.to_owned()) * faer::Scale(2.0 / 3.0);
    let A = input_second_moment(&case);
    assert_close(H.as_ref(), kronecker(&S, &A).as_ref(), CLOSE, "(2/n_out) W'ᵀW' ⊗ E[a aᵀ]");
    let (left, right) = (jacobi(&S).0, jacobi(&A).0);
    let products = left.iter().flat_map(|x| right.iter().map(move |y| x * y)).collect();
    let found = eigh(H.as_ref()).unwrap().values;
    assert_close(column(&found), column(&descending(products)), CLOSE, "products of eigenvalues");
    // W'ᵀW' has rank 3 of 5: two families of four directions are flat.
    assert!(found[12..].iter().all(|x| x.abs() < 1e-14 * found[0]));
}

#[test]
fn softmax_regression() {
    let case = Case::random(&[4, 3], Activation::Identity, Loss::CrossEntropy, 20, 303);
    let moments = layer_moments(&case.layer(0));
    let D = |x: &[f64]| {
        let q = softmax(&case.reference.logits(x));
        Mat::from_fn(3, 3, |a, b| if a == b { q[a] - q[a] * q[a] } else { -q[a] * q[b] })
    };
    let H = mean(case.inputs.iter().map(|x| kronecker(&D(x), &outer(x, x))));
    assert_close(moments.H.as_ref(), H.as_ref(), CLOSE, "E[D_q ⊗ a aᵀ]");
    let square = |x: &[f64]| product(&D(x), &D(x)) * faer::Scale(dot(x, x));
    let M2 = mean(case.inputs.iter().map(|x| kronecker(&square(x), &outer(x, x))));
    assert_close(moments.M2.as_ref(), M2.as_ref(), CLOSE, "E[‖a‖² D_q² ⊗ a aᵀ]");
    // Adding the same row to every row of W changes nothing: d_in flat directions, no negative ones.
    let found = eigh(moments.H.as_ref()).unwrap().values;
    assert!(found[7] > 1e-6 && found[8..].iter().all(|x| x.abs() < 1e-15), "{found:?}");
}

#[test]
fn logistic_regression() {
    // Two classes: softmax of (f₀, f₁) is the logistic function of f₀ − f₁, and D_q = q₀q₁ [1 −1; −1 1].
    let case = Case::random(&[3, 2], Activation::Identity, Loss::CrossEntropy, 15, 304);
    let H = layer_moments(&case.layer(0)).H;
    let sign = faer::mat![[1.0, -1.0], [-1.0, 1.0]];
    let truth = mean(case.inputs.iter().map(|x| {
        let f = case.reference.logits(x);
        let q = 1.0 / (1.0 + (f[1] - f[0]).exp());
        kronecker(&sign, &outer(x, x)) * faer::Scale(q * (1.0 - q))
    }));
    assert_close(H.as_ref(), truth.as_ref(), CLOSE, "q(1−q) [1 −1; −1 1] ⊗ a aᵀ");
}

/// For a negative log-likelihood the gradients' second moment under the model's own labels is the Hessian. A network
/// with zero weights finds every label equally likely, so a set with every label once for every input is such a draw.
#[test]
fn fisher_information_is_the_hessian_under_the_models_own_labels() {
    let draw = Case::random(&[4, 3], Activation::Identity, Loss::CrossEntropy, 5, 305);
    let inputs: Vec<Vec<f64>> = draw.inputs.iter().flat_map(|x| vec![x.clone(); 3]).collect();
    let labels = (0..5).flat_map(|_| [0, 1, 2]).collect();
    let case = Case::new(&[4, 3], Activation::Identity, Loss::CrossEntropy, vec![0.0; 12], inputs, labels);
    let moments = layer_moments(&case.layer(0));
    assert_close(moments.gradient_second_moment.as_ref(), moments.H.as_ref(), CLOSE, "E[g gᵀ] = H");
}

#[test]
fn eigenpairs_and_diagonals_are_those_of_the_rotations() {
    for (k, loss) in LOSSES.into_iter().enumerate() {
        let case = Case::random(&[3, 5, 4], Activation::Tanh, loss, 12, 310 + k as u64);
        let moments = layer_moments(&case.layer(0));
        let eigen = eigh(moments.H.as_ref()).unwrap();
        let (values, V) = jacobi(&moments.H);
        assert_close(column(&eigen.values), column(&values), TOLERANCE, format!("eigenvalues: {}", case.name));
        let diagonal = diagonal_in_basis(moments.H.as_ref(), eigen.vectors.as_ref());
        assert_close(column(&diagonal), column(&values), TOLERANCE, format!("VᵀHV: {}", case.name));
        // In any basis, not only in the eigenbasis of the same matrix.
        let rotated = product(&product(&V.transpose().to_owned(), &moments.M2), &V);
        let expected: Vec<f64> = (0..values.len()).map(|i| rotated[(i, i)]).collect();
        let found = diagonal_in_basis(moments.M2.as_ref(), V.as_ref());
        assert_close(column(&found), column(&expected), TOLERANCE, format!("VᵀM₂V: {}", case.name));
    }
}

/// Curvature shrinks by orders of magnitude while a network learns. Scaling by a power of two is exact, so eigenpairs
/// may not know of it. The order is beyond the one from which faer divides and conquers, 128.
#[test]
fn eigenpairs_do_not_depend_on_the_scale_of_the_matrix() {
    let case = Case::random(&[5, 20, 15, 6], Activation::Tanh, Loss::CrossEntropy, 60, 320);
    let H = layer_moments(&case.layer(1)).H;
    let truth = eigh((&H * faer::Scale(1.0 / H.norm_max())).as_ref()).unwrap();
    for exponent in [-60, -40, -20, -10, 0, 10, 20, 40] {
        let scale = 2_f64.powi(exponent) / H.norm_max();
        let eigen = eigh((&H * faer::Scale(scale)).as_ref()).unwrap_or_else(|e| panic!("H · 2^{exponent}: {e}"));
        for (found, truth) in eigen.values.iter().zip(&truth.values) {
            let off = (found - truth * 2_f64.powi(exponent)).abs();
            assert!(off <= eigen.noise_floor, "H · 2^{exponent}: {found:e}, off by {off:e}");
        }
    }
}
