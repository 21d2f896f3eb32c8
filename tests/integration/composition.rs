//! The algebra of `superlinear-spectra` over the operators of `superlinear-curvature`, against the same of dense
//! matrices.

use crate::cases::Case;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::matrix_free::LinOp;
use faer::{Mat, MatRef, Par, Scale};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{MeanLoss, Selection};
use superlinear_nets::{Activation, DenseSamples, Loss};
use superlinear_spectra::{
    Deflated, LanczosConfig, LinearCombination, Product, Restricted, TraceConfig, TraceStop, Wanted, eigh,
    frobenius_squared, haar_orthogonal, lanczos, to_dense, xtrace,
};

/// A smooth network, so that no two of its matrices commute.
fn case() -> (Case, DenseSamples<f64>) {
    let case = Case::random(&[5, 4, 6, 3], Activation::Tanh, Loss::CrossEntropy, 50, 91);
    let inputs = Mat::from_fn(5, case.n_samples(), |i, p| case.inputs[p][i]);
    let samples = DenseSamples::new(inputs, case.labels.clone());
    (case, samples)
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

#[track_caller]
fn assert_is(operator: &dyn LinOp<f64>, truth: &Mat<f64>) {
    let error = (to_dense(operator, 1 << 24).unwrap() - truth).norm_l2();
    assert!(error <= 1e-12 * truth.norm_l2(), "{operator:?}: {error:e} of {:e}", truth.norm_l2());
}

/// The columns of `V` times an operator that need not be symmetric.
fn times(operator: &dyn LinOp<f64>, V: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(operator.nrows(), V.ncols());
    let mut memory = MemBuffer::new(operator.apply_scratch(V.ncols(), Par::Seq));
    operator.apply(out.as_mut(), V, Par::Seq, MemStack::new(&mut memory));
    out
}

#[test]
fn compositions_of_curvature_operators_are_those_of_their_matrices() {
    let (case, samples) = case();
    // Two layers jointly: blocks between them take part.
    let selection = Selection::dense_weights(case.net.architecture(), [1, 2]).unwrap();
    let of = MeanLoss::new(&case.net, case.loss, &samples, selection).unwrap();
    let (H, M2, G) = (of.hessian(), of.hessian_second_moment(), of.gauss_newton());
    let Sigma = of.noise_covariance().unwrap();
    let dense = |operator: &superlinear_curvature::CurvatureOperator<'_, f64, _>| operator.to_dense(u64::MAX).unwrap();
    let (h, m2, g, sigma) = (dense(&H), dense(&M2), dense(&G), dense(&Sigma));
    let P = of.n_params();
    let identity = Mat::<f64>::identity(P, P);

    // Sums, multiples, shifts: a damped Gauss–Newton matrix, what is left of H, and a mixture of all four.
    assert_is(&LinearCombination::zero(P).plus(1.0, &G).shifted(0.1), &(&g + Scale(0.1) * &identity));
    assert_is(&LinearCombination::zero(P).plus(1.0, &H).plus(-1.0, &G), &(&h - &g));
    let mixture = LinearCombination::zero(P).plus(0.5, &H).plus(2.0, &M2).plus(-3.0, &Sigma).shifted(-0.25);
    assert_is(&mixture, &(Scale(0.5) * &h + Scale(2.0) * &m2 - Scale(3.0) * &sigma - Scale(0.25) * &identity));

    // The commutator through products, on vectors and in norm: [H, M₂] is skew, so its square is minus a PSD matrix.
    let (HM, MH) = (Product::new(&H, &M2), Product::new(&M2, &H));
    let commutator = LinearCombination::zero(P).plus(1.0, &HM).plus(-1.0, &MH);
    let truth = &h * &m2 - &m2 * &h;
    let V = haar_orthogonal(P, &mut rng(1));
    let found = times(&commutator, V.as_ref());
    assert!((&found - &truth * &V).norm_l2() < 1e-12 * h.norm_l2() * m2.norm_l2());
    assert!(truth.norm_l2() > 1e-3 * h.norm_l2() * m2.norm_l2(), "they would commute");
    let minus_square = Product::new(&commutator, &commutator);
    let positive = LinearCombination::zero(P).plus(-1.0, &minus_square);
    let config = TraceConfig { budget: 2 * P, ..Default::default() };
    let squared = xtrace(&positive, &config, &mut rng(2)).unwrap();
    assert_eq!(squared.stop, TraceStop::Exact);
    assert!((squared.value / truth.squared_norm_l2() - 1.0).abs() < 1e-10, "{squared:?}");

    // The Gauss–Newton matrix within a subspace, and outside of it.
    let inside = V.subcols(0, 7);
    assert_is(&Restricted::new(&G, inside), &(inside.transpose() * &g * inside));
    let projector = &identity - inside * inside.transpose();
    assert_is(&Deflated::new(&G, inside), &(&projector * &g * &projector));
    let norm = frobenius_squared(&Restricted::new(&mixture, inside), &config, &mut rng(3)).unwrap();
    let truth = to_dense(&mixture, 1 << 24).unwrap();
    let truth = (inside.transpose() * &truth * inside).squared_norm_l2();
    assert!((norm.value / truth - 1.0).abs() < 1e-10, "{norm:?}, expected {truth}");
}

/// Eigenpairs of a sum that nobody has as a matrix, from either end, and of what is left without the top.
#[test]
fn lanczos_finds_the_pairs_of_compositions() {
    let (case, samples) = case();
    let selection = Selection::all(case.net.architecture());
    let of = MeanLoss::new(&case.net, case.loss, &samples, selection).unwrap();
    let (H, Sigma) = (of.hessian(), of.noise_covariance().unwrap());
    let P = of.n_params();
    let sum = LinearCombination::zero(P).plus(1.0, &H).plus(-0.7, &Sigma).shifted(0.01);
    let truth = eigh(to_dense(&sum, 1 << 24).unwrap().as_ref()).unwrap();
    let wanted = Wanted::Ends { largest: 5, smallest: 3 };
    let found = lanczos(&sum, wanted, &LanczosConfig::default(), &mut rng(4)).unwrap().into_converged().unwrap();
    let expected = truth.values[..5].iter().chain(&truth.values[P - 3..]);
    for (pair, truth) in found.pairs.iter().zip(expected) {
        assert!((pair.value - truth).abs() <= pair.residual + 1e-13, "{pair:?}, expected {truth}");
    }

    let top = found.vectors().subcols(0, 5);
    let rest = Deflated::new(&sum, top);
    let next = lanczos(&rest, Wanted::Largest(3), &LanczosConfig::default(), &mut rng(5)).unwrap();
    for (pair, truth) in next.pairs.iter().zip(&truth.values[5..8]) {
        assert!((pair.value - truth).abs() < 1e-7 * truth.abs().max(1.0), "{pair:?}, expected {truth}");
    }
    // Among its own Ritz vectors an operator is diagonal.
    let projected = to_dense(&Restricted::new(&sum, found.vectors()), 1 << 20).unwrap();
    for i in 0..8 {
        for j in 0..8 {
            let expected = if i == j { found.pairs[i].value } else { 0.0 };
            assert!((projected[(i, j)] - expected).abs() < 1e-12);
        }
    }
}
