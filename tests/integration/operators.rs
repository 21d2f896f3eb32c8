//! Matrix-free operators against the dense truth: one table of networks, losses and selections, every operator.

use crate::cases::LOSSES;
use crate::whole_network::{SampleTruth, selected};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::matrix_free::LinOp;
use faer::{Mat, MatRef, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{CurvatureOperator, Diagonal, MeanLoss, OperatorError, Parameter, Part, Selection};
use superlinear_nets::{Activation, Architecture, Bias, DenseSamples, ImageShape, Layer, Loss, Network, SamplesError};
use superlinear_spectra::{LanczosConfig, Wanted, lanczos};

/// No limit of memory.
const ANY: u64 = u64::MAX;

struct Case {
    name: String,
    net: Network<f64>,
    loss: Loss,
    samples: DenseSamples<f64>,
    inputs: Mat<f64>,
    labels: Vec<u8>,
}

type Operator<'a> = CurvatureOperator<'a, f64, DenseSamples<f64>>;

impl Case {
    fn new(architecture: Architecture, loss: Loss, n_samples: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = |bound: f64| bound * (2.0 * rng.random::<f64>() - 1.0);
        let params = (0..architecture.n_params()).map(|_| uniform(1.0)).collect();
        let inputs = Mat::from_fn(architecture.input_dim(), n_samples, |_, _| uniform(1.0));
        let n_out = architecture.n_out();
        let labels: Vec<u8> = (0..n_samples).map(|p| (p % n_out) as u8).collect();
        let name = format!("{:?} {loss}", architecture.layers());
        let net = Network::new(architecture, params).unwrap();
        let samples = DenseSamples::new(inputs.clone(), labels.clone());
        Self { name, net, loss, samples, inputs, labels }
    }

    fn truths(&self) -> Vec<SampleTruth> {
        let truth = |(p, &y): (usize, &u8)| SampleTruth::new(&self.net, self.loss, self.inputs.col_as_slice(p), y);
        self.labels.iter().enumerate().map(truth).collect()
    }

    fn over(&self, selection: &Selection) -> MeanLoss<'_, f64, DenseSamples<f64>> {
        MeanLoss::new(&self.net, self.loss, &self.samples, selection.clone()).unwrap()
    }

    /// All; the first layer; the last; every second tensor; each layer with parameters alone.
    fn selections(&self) -> Vec<Selection> {
        let architecture = self.net.architecture();
        let all = Selection::all(architecture);
        let every_second = Selection::new(architecture, all.parameters().iter().copied().step_by(2)).unwrap();
        let mut layers: Vec<usize> = all.parameters().iter().map(|p| p.layer).collect();
        layers.dedup();
        let mut selections: Vec<_> = layers.iter().map(|&l| Selection::layers(architecture, [l]).unwrap()).collect();
        if all.parameters().iter().any(|p| p.part == Part::Bias) {
            let biases = all.parameters().iter().copied().filter(|p| p.part == Part::Bias);
            selections.push(Selection::new(architecture, biases).unwrap());
        }
        selections.extend([every_second, all]);
        selections
    }
}

fn small_cnn(activation: Activation, bridge: Layer) -> Architecture {
    let input = ImageShape { channels: 1, height: 4, width: 5 };
    let pooled = ImageShape { channels: 2, height: 2, width: 2 };
    let d_in = if bridge == Layer::Flatten { 8 } else { 2 };
    Architecture::new(vec![
        Layer::Conv3x3 { input, c_out: 2 },
        Layer::Activation(activation),
        Layer::MaxPool2x2,
        Layer::Conv3x3 { input: pooled, c_out: 2 },
        Layer::Activation(activation),
        bridge,
        Layer::Dense { d_in, d_out: 4, bias: Bias::None },
        Layer::Activation(activation),
        Layer::Dense { d_in: 4, d_out: 3, bias: Bias::Learned },
    ])
    .unwrap()
}

fn cases() -> Vec<Case> {
    let mlp = |widths: &[usize], activation| Architecture::mlp(widths, activation).unwrap();
    let architectures = [
        mlp(&[4, 3], Activation::Identity),
        mlp(&[3, 5, 3], Activation::Tanh),
        mlp(&[3, 4, 5, 3], Activation::Relu),
        mlp(&[2, 3, 4, 3, 3], Activation::Tanh),
        small_cnn(Activation::Tanh, Layer::GlobalAveragePool),
        small_cnn(Activation::Relu, Layer::Flatten),
    ];
    let each = |(k, architecture): (usize, &Architecture)| {
        let loss = move |l: usize| Case::new(architecture.clone(), LOSSES[l], 6, (10 * k + l) as u64);
        (0..3).map(loss).collect::<Vec<_>>()
    };
    let mut cases: Vec<Case> = architectures.iter().enumerate().flat_map(each).collect();
    // Several parts of several blocks.
    cases.push(Case::new(mlp(&[3, 4, 3], Activation::Tanh), Loss::SoftmaxMse, 1_100, 99));
    cases
}

/// The mean over samples of matrices in all parameters.
fn mean<'a>(truths: &'a [SampleTruth], term: impl Fn(&'a SampleTruth) -> Mat<f64>) -> Mat<f64> {
    let P = truths[0].gradient.len();
    let sum = truths.iter().fold(Mat::zeros(P, P), |sum, truth| sum + term(truth));
    sum * faer::Scale(1.0 / truths.len() as f64)
}

fn outer(u: &[f64]) -> Mat<f64> {
    Mat::from_fn(u.len(), u.len(), |i, j| u[i] * u[j])
}

#[track_caller]
fn assert_close(what: &str, found: MatRef<'_, f64>, truth: MatRef<'_, f64>, tolerance: f64) {
    let error = (found - truth).norm_l2();
    assert!(error <= tolerance * truth.norm_l2().max(1e-300), "{what}: {error:e} of {:e}", truth.norm_l2());
}

/// `operator` is `truth` as a matrix, and in its products through faer's trait: linear, symmetric, PSD if said so.
fn check(what: &str, operator: &Operator<'_>, truth: &Mat<f64>, definite: bool, rng: &mut ChaCha8Rng) {
    let what = &format!("{} of {what}", operator.name());
    let P = truth.nrows();
    assert_eq!((operator.nrows(), operator.ncols()), (P, P));
    let dense = operator.to_dense(ANY).unwrap();
    assert_close(what, dense.as_ref(), truth.as_ref(), 1e-9);
    let V = Mat::from_fn(P, 11, |_, _| 2.0 * rng.random::<f64>() - 1.0);
    let mut product = Mat::from_fn(P, 11, |_, _| f64::NAN);
    let mut buffer = MemBuffer::new(operator.apply_scratch(11, Par::Seq));
    operator.apply(product.as_mut(), V.as_ref(), Par::Seq, MemStack::new(&mut buffer));
    // Relative to what the product could be: V may lie almost in the null space.
    let scale = truth.norm_l2() * V.norm_l2();
    assert!((&product - truth * &V).norm_l2() <= 1e-9 * scale, "{what}");
    // A vector alone, with other groups and blocks kept from before.
    let alone = operator.product(V.as_ref().subcols(4, 1)).unwrap();
    assert!((&alone - product.as_ref().subcols(4, 1)).norm_l2() <= 1e-13 * scale, "{what}");
    let combined = Mat::from_fn(P, 1, |i, _| 2.0 * V[(i, 0)] - 3.0 * V[(i, 1)]);
    let combined = operator.product(combined.as_ref()).unwrap();
    let expected = Mat::from_fn(P, 1, |i, _| 2.0 * product[(i, 0)] - 3.0 * product[(i, 1)]);
    assert!((combined - expected).norm_l2() <= 1e-13 * scale, "{what} is linear");
    let gram = V.transpose() * &product;
    assert!((&gram - gram.transpose()).norm_l2() <= 1e-13 * scale * V.norm_l2(), "{what} is symmetric");
    if definite {
        for k in 0..11 {
            assert!(gram[(k, k)] >= -1e-14 * scale * V.norm_l2(), "{what} is PSD: {}", gram[(k, k)]);
        }
    }
}

#[test]
fn every_operator_is_its_dense_truth_over_every_selection() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for case in cases() {
        let truths = case.truths();
        let n = truths.len() as f64;
        let H = mean(&truths, |t| t.hessian.clone());
        let empirical = mean(&truths, |t| outer(&t.gradient));
        let P = H.nrows();
        let average: Vec<f64> = (0..P).map(|i| truths.iter().map(|t| t.gradient[i]).sum::<f64>() / n).collect();
        let centred = |t: &SampleTruth| t.gradient.iter().zip(&average).map(|(g, m)| g - m).collect::<Vec<_>>();
        let Sigma = mean(&truths, |t| outer(&centred(t)));
        let fisher = mean(&truths, |t| {
            let terms = t.label_gradients(case.loss).into_iter();
            terms.fold(Mat::zeros(P, P), |sum, (delta, weight)| {
                sum + outer(&t.pulled_back(&delta)) * faer::Scale(weight)
            })
        });
        for selection in case.selections() {
            let what = &format!("{} N={n} {:?}", case.name, selection.parameters());
            let of = case.over(&selection);
            let part = |all: &Mat<f64>| selected(&selection, all);
            check(what, &of.hessian(), &part(&H), false, &mut rng);
            check(what, &of.gauss_newton(), &part(&fisher), true, &mut rng);
            check(what, &of.fisher(), &part(&fisher), true, &mut rng);
            check(what, &of.empirical_fisher(), &part(&empirical), true, &mut rng);
            check(what, &of.noise_covariance().unwrap(), &part(&Sigma), true, &mut rng);
            check(what, &of.sample_hessian(3), &part(&truths[3].hessian), false, &mut rng);
            // The square is of the selected block, not the selected block of the square.
            let mut M2 = Mat::zeros(selection.n_params(), selection.n_params());
            for truth in &truths {
                let h = part(&truth.hessian);
                M2 += &h * &h * faer::Scale(1.0 / n);
            }
            check(what, &of.hessian_second_moment(), &M2, true, &mut rng);
            let gradient = of.gradient().unwrap();
            for (g, m) in gradient.iter().zip(selection.gather(&average)) {
                assert!((g - m).abs() < 1e-13, "{what}");
            }
        }
    }
}

/// Along converged Ritz vectors of small networks, convolutions included, and along any others.
#[test]
fn diagonals_along_vectors_are_those_of_the_dense_truth() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    for case in cases() {
        let truths = case.truths();
        let n = truths.len() as f64;
        for selection in case.selections() {
            let (what, P) = (format!("{} {:?}", case.name, selection.parameters()), selection.n_params());
            let of = case.over(&selection);
            let found =
                lanczos(&of.hessian(), Wanted::Magnitude(P.min(3)), &LanczosConfig::default(), &mut rng).unwrap();
            let mut V = Mat::from_fn(P, P.min(3) + 2, |_, _| rng.random::<f64>() - 0.5);
            for mut v in V.col_iter_mut() {
                let norm = v.norm_l2();
                v /= faer::Scale(norm);
            }
            V.as_mut().subcols_mut(0, P.min(3)).copy_from(found.vectors());
            let diagonals = of.diagonals_along(V.as_ref()).unwrap();
            let hessians: Vec<Mat<f64>> = truths.iter().map(|t| selected(&selection, &t.hessian)).collect();
            let gradients: Vec<Vec<f64>> = truths.iter().map(|t| selection.gather(&t.gradient)).collect();
            let norm = hessians.iter().map(Mat::norm_l2).sum::<f64>() / n;
            for (k, v) in V.col_iter().enumerate() {
                let per_sample: Vec<Mat<f64>> = hessians.iter().map(|h| h * v.as_mat()).collect();
                let mean = per_sample.iter().fold(Mat::zeros(P, 1), |sum, hv| sum + hv) * faer::Scale(1.0 / n);
                let value = (v.transpose() * &mean)[0];
                assert!((diagonals.hessian[k] - value).abs() <= 1e-11 * norm, "{what} H");
                let residual = (&mean - v.as_mat() * faer::Scale(value)).norm_l2();
                assert!(
                    (diagonals.residuals(Diagonal::Hessian)[k] - residual).abs() <= 1e-11 * norm,
                    "{what} residual"
                );
                let second = per_sample.iter().map(|hv| hv.squared_norm_l2()).sum::<f64>() / n;
                assert!((diagonals.second_moment[k] - second).abs() <= 1e-11 * norm * norm * n, "{what} M2");
                let along: Vec<f64> =
                    gradients.iter().map(|g| g.iter().zip(v.iter()).map(|(g, v)| g * v).sum()).collect();
                let mean = along.iter().sum::<f64>() / n;
                let squares: Vec<f64> = along.iter().map(|a| (a - mean).powi(2)).collect();
                let variance = squares.iter().sum::<f64>() / n;
                assert!((diagonals.covariance[k] - variance).abs() <= 1e-11 * variance.max(1e-3), "{what} C");
                let scatter = squares.iter().map(|s| (s - variance).powi(2)).sum::<f64>();
                let error = (scatter / (n * (n - 1.0))).sqrt();
                assert!(
                    (diagonals.errors(Diagonal::Covariance)[k] - error).abs() <= 1e-10 * variance.max(1e-3),
                    "{what} error"
                );
            }
            for (k, pair) in found.pairs.iter().enumerate() {
                assert!(pair.converged && (diagonals.hessian[k] - pair.value).abs() <= 1e-11 * norm, "{what} Ritz");
                assert!(
                    diagonals.residuals(Diagonal::Hessian)[k] <= pair.residual + 1e-11 * norm,
                    "{what} Ritz residual"
                );
            }
        }
    }
}

#[test]
fn a_sampled_fisher_is_unbiased() {
    for (k, &loss) in LOSSES.iter().enumerate() {
        let case = Case::new(small_cnn(Activation::Tanh, Layer::GlobalAveragePool), loss, 5, 40 + k as u64);
        let of = case.over(&Selection::layers(case.net.architecture(), [3, 8]).unwrap());
        let exact = of.fisher().to_dense(ANY).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(k as u64);
        let draws: Vec<f64> = (0..400)
            .map(|_| of.sampled_fisher(2, &mut rng).to_dense(ANY).unwrap())
            .map(|F| {
                // One number that sees the whole matrix.
                (0..F.nrows()).map(|i| (0..F.nrows()).map(|j| F[(i, j)] * exact[(i, j)]).sum::<f64>()).sum()
            })
            .collect();
        let n = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let expected = exact.norm_l2().powi(2);
        assert!((mean - expected).abs() < 4.0 * (variance / n).sqrt(), "{loss}: {mean} {expected}");
        // A draw is a fixed, symmetric, PSD matrix.
        let operator = of.sampled_fisher(3, &mut rng);
        let dense = operator.to_dense(ANY).unwrap();
        assert!(operator.to_dense(ANY).unwrap() == dense);
        check("a draw", &operator, &dense, true, &mut rng);
    }
}

#[test]
fn linear_models_have_their_closed_forms() {
    let mlp = |n_out| Architecture::mlp(&[5, n_out], Activation::Identity).unwrap();
    for (loss, n_out) in [(Loss::LinearMse, 3), (Loss::CrossEntropy, 2), (Loss::CrossEntropy, 4)] {
        let case = Case::new(mlp(n_out), loss, 200, 60 + n_out as u64);
        let of = case.over(&Selection::all(case.net.architecture()));
        // E[A_p ⊗ a aᵀ] with A = (2/n) I, or D_q; squares with (A²) ‖a‖².
        let moment = |squared: bool| {
            let mut sum = Mat::<f64>::zeros(5 * n_out, 5 * n_out);
            for p in 0..200 {
                let a = case.inputs.col_as_slice(p);
                let f: Vec<f64> =
                    (0..n_out).map(|c| (0..5).map(|i| case.net.params()[5 * c + i] * a[i]).sum()).collect();
                let total: f64 = f.iter().map(|f| f.exp()).sum();
                let A = Mat::from_fn(n_out, n_out, |c, d| {
                    let (q, r) = (f[c].exp() / total, f[d].exp() / total);
                    let same = if c == d { 1.0 } else { 0.0 };
                    if loss == Loss::LinearMse { same * 2.0 / n_out as f64 } else { same * q - q * r }
                });
                let A = if squared { &A * &A * faer::Scale(a.iter().map(|a| a * a).sum::<f64>()) } else { A };
                sum += Mat::from_fn(5 * n_out, 5 * n_out, |r, c| A[(r / 5, c / 5)] * a[r % 5] * a[c % 5] / 200.0);
            }
            sum
        };
        let H = moment(false);
        let same = |operator: Operator<'_>, truth: &Mat<f64>| {
            assert_close(operator.name(), operator.to_dense(ANY).unwrap().as_ref(), truth.as_ref(), 1e-12);
        };
        same(of.hessian(), &H);
        same(of.gauss_newton(), &H);
        same(of.fisher(), &H);
        same(of.hessian_second_moment(), &moment(true));
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let wide = Architecture::mlp(&[40, 64, 30, 10], Activation::Tanh).unwrap();
    // Products large enough to be split in tiles, and more parameters than parts keep sums of.
    let large = Architecture::mlp(&[700, 400, 10], Activation::Relu).unwrap();
    let cnn = Architecture::paper_cnn(ImageShape { channels: 1, height: 9, width: 8 }).unwrap();
    for (architecture, n) in [(wide, 1_100), (large, 140), (cnn, 37)] {
        let case = Case::new(architecture, Loss::SoftmaxMse, n, 5);
        let of = case.over(&Selection::all(case.net.architecture()));
        let V = Mat::from_fn(of.n_params(), 3, |i, k| ((i * (k + 3)) % 17) as f64 - 8.0);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut all = Vec::new();
            pool.install(|| {
                all.push(of.hessian().product(V.as_ref()).unwrap());
                all.push(of.noise_covariance().unwrap().product(V.as_ref()).unwrap());
                all.push(of.gauss_newton().product(V.as_ref()).unwrap());
                if n < 100 {
                    all.push(of.hessian_second_moment().product(V.as_ref().subcols(0, 1)).unwrap());
                }
            });
            all
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one, "{}", case.name);
    }
}

#[test]
fn single_precision_agrees_to_rounding() {
    let case = Case::new(small_cnn(Activation::Tanh, Layer::Flatten), Loss::CrossEntropy, 9, 8);
    let selection = Selection::all(case.net.architecture());
    let narrow = case.net.cast::<f32>();
    let inputs = Mat::from_fn(case.inputs.nrows(), 9, |i, p| case.inputs[(i, p)] as f32);
    let samples = DenseSamples::new(inputs, case.labels.clone());
    let found =
        MeanLoss::new(&narrow, case.loss, &samples, selection.clone()).unwrap().hessian().to_dense(ANY).unwrap();
    let truth = case.over(&selection).hessian().to_dense(ANY).unwrap();
    let found = Mat::from_fn(truth.nrows(), truth.ncols(), |i, j| f64::from(found[(i, j)]));
    assert_close("f32", found.as_ref(), truth.as_ref(), 1e-5);
}

#[test]
fn bad_input_is_a_typed_error() {
    let case = Case::new(Architecture::mlp(&[3, 4, 3], Activation::Tanh).unwrap(), Loss::CrossEntropy, 4, 3);
    let all = || Selection::all(case.net.architecture());
    let none = DenseSamples::new(Mat::zeros(3, 0), Vec::new());
    let error = |samples: &DenseSamples<f64>| MeanLoss::new(&case.net, case.loss, samples, all()).unwrap_err();
    assert_eq!(error(&none), OperatorError::Samples(SamplesError::None));
    let short = DenseSamples::new(Mat::zeros(2, 1), vec![0]);
    assert_eq!(error(&short), OperatorError::Samples(SamplesError::InputDim { expected: 3, found: 2 }));
    let unknown = DenseSamples::new(Mat::zeros(3, 2), vec![0, 3]);
    assert_eq!(error(&unknown), OperatorError::Samples(SamplesError::Label { sample: 1, found: 3, n_out: 3 }));

    let infinite = DenseSamples::new(Mat::from_fn(3, 2, |_, p| if p == 1 { f64::NAN } else { 0.5 }), vec![0, 1]);
    let of = MeanLoss::new(&case.net, case.loss, &infinite, all()).unwrap();
    let V = Mat::from_fn(24, 2, |i, _| i as f64);
    for operator in [of.hessian(), of.fisher(), of.empirical_fisher(), of.hessian_second_moment()] {
        let error = operator.product(V.as_ref()).unwrap_err();
        assert!(matches!(error, OperatorError::NotFinite { vector: 0, .. }), "{error}");
        assert!(matches!(operator.to_dense(ANY).unwrap_err(), OperatorError::NotFinite { .. }));
    }
    assert!(matches!(of.noise_covariance(), Err(OperatorError::NotFinite { operator: "gradient", .. })));
    assert!(of.sample_hessian(0).product(V.as_ref()).is_ok());

    let hessian = case.over(&all()).hessian();
    let needed = hessian.dense_bytes();
    assert!(needed >= 8 * 24 * 24);
    assert!(hessian.to_dense(needed).is_ok());
    let refused = OperatorError::Memory { n_params: 24, needed, limit: needed - 1 };
    assert_eq!(hessian.to_dense(needed - 1), Err(refused));
    let weight = Parameter { layer: 0, part: Part::Weight };
    assert!(Selection::new(case.net.architecture(), [weight, weight]).is_err());
}
