//! Dense moments and operators of graphs: against PyTorch's autograd, against brute force, and against each other.
#![allow(non_snake_case)]

#[path = "../../nets/tests/parts/fixtures.rs"]
mod fixtures;
#[path = "../../nets/tests/parts/mod.rs"]
mod parts;
#[path = "../../nets/tests/reference/mod.rs"]
mod reference;

use faer::{Mat, MatRef};
use fixtures::{Fixture, NAMES};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reference::Reference;
use std::ops::ControlFlow;
use superlinear_curvature::{Diagonal, GraphCurvatureError, GraphLoss, GraphMoments, SingleProductSamples};
use superlinear_nets::{
    Arithmetic, Convolution, Criterion, Dense, DenseGraphSamples, Function, Graph, GraphBuilder, GraphLayer,
    GraphSamples, LayerForm, Model, Objective, Reshape, Variables, WeightOrder, Window,
};

const TOLERANCE: f64 = 1e-9;
const NO_LIMIT: u64 = u64::MAX;

#[track_caller]
fn close(what: &str, found: MatRef<'_, f64>, truth: MatRef<'_, f64>) {
    let (scale, worst) = (truth.norm_max(), (found - truth).norm_max());
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst:e} of {scale:e}");
}

#[test]
fn moments_agree_with_pytorch() {
    let mut forms = Vec::new();
    for name in NAMES {
        let fixture = Fixture::read(name);
        let (model, samples, objective) = (fixture.model(), fixture.samples(), fixture.objective());
        for parameter in fixture.parameters() {
            forms.extend(GraphLayer::of(model.graph(), &parameter).map(|layer| layer.form()));
            let variables = Variables::parameters(model.graph(), [&*parameter]).unwrap();
            let truth = |what: &str| fixture.truth(&format!("truth/{parameter}/{what}"));
            let R = truth("R");
            let moments = GraphMoments::new(&model, objective.clone(), &samples, variables.clone()).unwrap();
            let loss = GraphLoss::new(&model, objective.clone(), &samples, variables).unwrap();
            let mean = loss.losses().iter().sum::<f64>() / loss.n_samples() as f64;
            let expected = fixture.tensor("loss").unwrap().1[0];
            assert!((mean - expected).abs() <= TOLERANCE * expected.abs(), "{name} loss {mean} {expected}");
            for (what, dense, product) in [
                ("HR", moments.hessian(NO_LIMIT), loss.hessian().product(R.as_ref())),
                ("SR", moments.noise_covariance(NO_LIMIT), loss.noise_covariance().product(R.as_ref())),
                ("M2R", moments.hessian_second_moment(NO_LIMIT), loss.hessian_second_moment().product(R.as_ref())),
            ] {
                let dense = dense.unwrap() * &R;
                close(&format!("{name} {parameter} dense {what}"), dense.as_ref(), truth(what).as_ref());
                close(&format!("{name} {parameter} {what}"), product.unwrap().as_ref(), truth(what).as_ref());
            }
        }
    }
    // Every form is among them.
    assert!(forms.contains(&LayerForm::SingleProduct) && forms.contains(&LayerForm::Tied(2)));
    assert!(forms.contains(&LayerForm::SumOverUses(5)) && forms.contains(&LayerForm::SumOverUses(64)));
}

fn random_model(graph: Graph, seed: u64) -> Model<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let names: Vec<(String, usize)> = [superlinear_nets::TensorRole::Parameter, superlinear_nets::TensorRole::Constant]
        .into_iter()
        .flat_map(|role| graph.tensors(role).collect::<Vec<_>>())
        .map(|value| (graph.name(value).to_owned(), graph.shape(value).iter().product()))
        .collect();
    let numbers = |name: &str| {
        let n = names.iter().find(|(own, _)| own == name)?.1;
        Some((0..n).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect())
    };
    Model::new(graph, numbers).unwrap()
}

fn random_samples(model: &Model<f64>, n: usize) -> DenseGraphSamples<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let graph = model.graph();
    let dim = |value| graph.shape(value).iter().product::<usize>();
    let classes = *graph.shape(graph.output()).last().unwrap();
    // The first sample is zero, so that an activity is.
    let entry = |p: usize, rng: &mut ChaCha8Rng| if p == 0 { 0.0 } else { rng.random::<f64>() - 0.4 };
    let inputs = graph.inputs().map(|value| Mat::from_fn(dim(value), n, |_, p| entry(p, &mut rng))).collect();
    let outputs = dim(graph.output()) / classes;
    DenseGraphSamples::new(inputs, Mat::from_fn(outputs, n, |t, p| ((t + p) % classes) as f64))
}

/// Layers of every form: tokens, tied, grouped and strided convolutions, several at once, weights in either order, and
/// parameters that are no layer's weights.
fn cases() -> Vec<(&'static str, Graph, Vec<Vec<&'static str>>)> {
    let tokens = GraphBuilder::new()
        .input("x", [2, 3])
        .parameter("w", [3, 4])
        .parameter("b", [4])
        .parameter("v", [4, 4])
        .parameter("out", [3, 8])
        .node("z", Dense { weight: WeightOrder::InOut }, ["x", "w", "b"])
        .node("a", Function::Tanh, ["z"])
        .node("z2", Dense::default(), ["a", "v"])
        .node("sum", Arithmetic::Add, ["z2", "a"])
        .node("gelu", Function::Gelu, ["sum"])
        .node("flat", Reshape { shape: vec![8] }, ["gelu"])
        .node("logits", Dense::default(), ["flat", "out"])
        .build("logits")
        .unwrap();
    let tied = GraphBuilder::new()
        .input("x", [3])
        .parameter("w", [3, 3])
        .parameter("u", [3, 3])
        .node("z1", Dense::default(), ["x", "w"])
        .node("a1", Function::Silu, ["z1"])
        .node("z2", Dense::default(), ["a1", "u"])
        .node("a2", Function::Tanh, ["z2"])
        .node("z3", Dense { weight: WeightOrder::OutIn }, ["a2", "w"])
        .build("z3")
        .unwrap();
    let once = GraphBuilder::new()
        .input("x", [4])
        .parameter("w", [4, 3])
        .parameter("out", [3, 3])
        .node("z", Dense { weight: WeightOrder::InOut }, ["x", "w"])
        .node("a", Function::Sigmoid, ["z"])
        .node("sum", Arithmetic::Multiply, ["a", "z"])
        .node("logits", Dense::default(), ["sum", "out"])
        .build("logits")
        .unwrap();
    let window = Window::square(2).stride(2);
    let images = GraphBuilder::new()
        .input("x", [4, 4, 2])
        .parameter("grouped", [4, 2, 2, 2])
        .parameter("bias", [4])
        .parameter("out", [3, 8])
        .node("c", Convolution { window, groups: 2 }, ["x", "grouped", "bias"])
        .node("a", Function::Softplus { beta: 1.0, threshold: 20.0 }, ["c"])
        .node("flat", Reshape { shape: vec![8] }, ["a"])
        .node("logits", Dense::default(), ["flat", "out"])
        .build("logits")
        .unwrap();
    let relu = GraphBuilder::new()
        .input("x", [4, 4, 2])
        .parameter("grouped", [4, 2, 2, 2])
        .parameter("bias", [4])
        .parameter("gamma", [4, 1, 1])
        .parameter("out", [2, 8])
        .node("c", Convolution { window, groups: 2 }, ["x", "grouped", "bias"])
        .node("scaled", Arithmetic::Multiply, ["c", "gamma"])
        .node("a", Function::LeakyRelu { slope: 0.1 }, ["scaled"])
        .node("sum", Arithmetic::Add, ["a", "scaled"])
        .node("flat", Reshape { shape: vec![8] }, ["sum"])
        .node("logits", Dense::default(), ["flat", "out"])
        .build("logits")
        .unwrap();
    vec![
        ("tokens", tokens, vec![vec!["w"], vec!["v"], vec!["b"], vec!["w", "v"], vec!["v", "out"], vec!["w", "b"]]),
        ("tied", tied, vec![vec!["w"], vec!["u"], vec!["w", "u"]]),
        ("once", once, vec![vec!["w"], vec!["out"], vec!["w", "out"]]),
        ("piecewise linear", relu, vec![vec!["grouped"], vec!["bias"], vec!["gamma"], vec!["grouped", "bias"]]),
        ("images", images, vec![vec!["grouped"], vec!["out"], vec!["grouped", "out"], vec!["bias", "out"]]),
    ]
}

#[test]
fn moments_agree_with_brute_force() {
    let n = 4;
    for (name, graph, selections) in cases() {
        let model = random_model(graph, 3);
        let samples = random_samples(&model, n);
        for l2 in [0.0, 0.3] {
            let objective = Objective { l2, ..Objective::from(Criterion::cross_entropy()) };
            for selection in &selections {
                let what = format!("{name} {selection:?} {l2}");
                let variables = Variables::parameters(model.graph(), selection.iter().copied()).unwrap();
                let P = variables.n_params();
                let truth = |p: usize| Reference::new(&model, &objective, &samples, p).in_parameters(&variables);
                let truths: Vec<_> = (0..n).map(truth).collect();
                let column = |x: &[f64]| Mat::from_fn(P, 1, |i, _| x[i]);
                let mean = |of: &dyn Fn(&reference::Derivatives) -> Mat<f64>| {
                    let sum = truths.iter().map(of).reduce(|sum, next| sum + next).unwrap();
                    faer::Scale(1.0 / n as f64) * sum
                };
                let gradient = mean(&|truth| column(&truth.gradient));
                let centred = |truth: &reference::Derivatives| {
                    let g = column(&truth.gradient) - &gradient;
                    &g * g.transpose()
                };
                let moments = GraphMoments::new(&model, objective.clone(), &samples, variables.clone()).unwrap();
                let loss = GraphLoss::new(&model, objective.clone(), &samples, variables.clone()).unwrap();
                let found = column(&loss.gradient().unwrap());
                close(&format!("{what} gradient"), found.as_ref(), gradient.as_ref());
                let unit = Mat::<f64>::identity(P, P);
                for (matrix, dense, product, truth) in [
                    ("H", moments.hessian(NO_LIMIT), loss.hessian(), mean(&|truth| truth.hessian.clone())),
                    ("Σ", moments.noise_covariance(NO_LIMIT), loss.noise_covariance(), mean(&centred)),
                    (
                        "M₂",
                        moments.hessian_second_moment(NO_LIMIT),
                        loss.hessian_second_moment(),
                        mean(&|truth| &truth.hessian * &truth.hessian),
                    ),
                ] {
                    close(&format!("{what} dense {matrix}"), dense.unwrap().as_ref(), truth.as_ref());
                    let first = product.product(unit.as_ref()).unwrap();
                    close(&format!("{what} {matrix}"), first.as_ref(), truth.as_ref());
                    // What is kept of the samples changes no bit.
                    assert_eq!(product.product(unit.as_ref()).unwrap(), first, "{what} {matrix} again");
                }
            }
        }
    }
}

/// Every number of [`GraphLoss::diagonals_along`], in selections of every form, with and without a penalty.
#[test]
fn diagonals_along_vectors_are_those_of_brute_force() {
    let (n, K) = (5, 11);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for (name, graph, selections) in cases() {
        let model = random_model(graph, 6);
        let samples = random_samples(&model, n);
        for (selection, l2) in selections.iter().flat_map(|selection| [(selection, 0.0), (selection, 0.2)]) {
            let what = format!("{name} {selection:?} {l2}");
            let objective = Objective { l2, ..Objective::from(Criterion::cross_entropy()) };
            let variables = Variables::parameters(model.graph(), selection.iter().copied()).unwrap();
            let P = variables.n_params();
            let mut V = Mat::from_fn(P, K, |_, _| rng.random::<f64>() - 0.5);
            for mut v in V.col_iter_mut() {
                let norm = v.norm_l2();
                v /= faer::Scale(norm);
            }
            let truth = |p: usize| Reference::new(&model, &objective, &samples, p).in_parameters(&variables);
            let truths: Vec<_> = (0..n).map(truth).collect();
            let along = |p: usize, k: usize| (0..P).map(|i| truths[p].gradient[i] * V[(i, k)]).sum::<f64>();
            let mean = |of: &dyn Fn(usize) -> f64| (0..n).map(of).sum::<f64>() / n as f64;
            // What samples contribute, N × 3K.
            let terms = Mat::from_fn(n, 3 * K, |p, column| {
                let (k, v) = (column % K, V.col(column % K));
                let product = &truths[p].hessian * v;
                match column / K {
                    0 => v.transpose() * &product,
                    1 => (along(p, k) - mean(&|p| along(p, k))).powi(2),
                    _ => product.squared_norm_l2(),
                }
            });
            let loss = GraphLoss::new(&model, objective.clone(), &samples, variables.clone()).unwrap();
            let found = loss.diagonals_along(V.as_ref()).unwrap();
            let of = [Diagonal::Hessian, Diagonal::Covariance, Diagonal::SecondMoment];
            let means: Vec<f64> = (0..3 * K).map(|k| mean(&|p| terms[(p, k)])).collect();
            let column = |values: &[f64]| Mat::from_fn(K, 1, |k, _| values[k]);
            let residual = |x: Mat<f64>, k: usize| {
                let rest = &x * V.col(k);
                let along = V.col(k).transpose() * &rest;
                (&rest - faer::Scale(along) * V.col(k)).norm_l2()
            };
            let gradient = Mat::from_fn(P, 1, |i, _| mean(&|p| truths[p].gradient[i]));
            for (x, of) in of.into_iter().enumerate() {
                let values = column(&means[x * K..][..K]);
                close(&format!("{what} {of:?}"), column(found.values(of)).as_ref(), values.as_ref());
                let mut X = Mat::<f64>::zeros(P, P);
                for truth in &truths {
                    let centred = Mat::from_fn(P, 1, |i, _| truth.gradient[i] - gradient[(i, 0)]);
                    X += match of {
                        Diagonal::Hessian => truth.hessian.clone(),
                        Diagonal::Covariance => &centred * centred.transpose(),
                        Diagonal::SecondMoment => &truth.hessian * &truth.hessian,
                    };
                }
                X *= faer::Scale(1.0 / n as f64);
                let residuals = Mat::from_fn(K, 1, |k, _| residual(X.clone(), k));
                close(&format!("{what} {of:?} residual"), column(found.residuals(of)).as_ref(), residuals.as_ref());
            }
            for (x, y) in (0..3).flat_map(|x| (0..3).map(move |y| (x, y))) {
                let truth = Mat::from_fn(K, K, |i, j| {
                    let centred = |p: usize, column: usize| terms[(p, column)] - means[column];
                    mean(&|p| centred(p, x * K + i) * centred(p, y * K + j)) / (n as f64 - 1.0)
                });
                let covariance = found.sampling_covariance(of[x], of[y]);
                close(&format!("{what} {:?} with {:?}", of[x], of[y]), covariance, truth.as_ref());
            }
            // A listener hears of all products, and may stop them.
            let mut heard = 0;
            let again = loss.diagonals_along_with(V.as_ref(), |n| {
                heard += n;
                ControlFlow::Continue(())
            });
            assert_eq!((again.unwrap(), heard), (found, 3 * K), "{what}");
            let stopped = loss.diagonals_along_with(V.as_ref(), |_| ControlFlow::Break(())).unwrap_err();
            assert_eq!(stopped, GraphCurvatureError::Interrupted { products: K });
        }
    }
}

/// `S_p`, `δ_p` and `a_p` of a layer that is used once make all of its moments; others are no such layers.
#[test]
fn single_products() {
    let (_, graph, _) = cases().remove(2);
    let model = random_model(graph, 5);
    let n = 70;
    let samples = random_samples(&model, n);
    let objective = Objective::from(Criterion::SoftmaxMse);
    let graph = model.graph();
    let layer = GraphLayer::of(graph, "w").unwrap().single_product(graph).unwrap();
    let single = SingleProductSamples::collect(&model, layer, objective.clone(), &samples).unwrap();
    let own = layer.layer_use();
    let mut H = Mat::<f64>::zeros(12, 12);
    single.for_each_curvature(0..n, |p, S| {
        let truth = Reference::new(&model, &objective, &samples, p).in_values(&[layer.pre_activation()]);
        close("S", S.as_ref(), truth.hessian.as_ref());
        let a = single.activities.col_as_slice(p);
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            for (o, q) in (0..3).flat_map(|o| (0..3).map(move |q| (o, q))) {
                H[(own.weight(o, i), own.weight(q, j))] += S[(o, q)] * a[i] * a[j] / n as f64;
            }
        }
    });
    let moments = single.moments();
    close("H", moments.H.as_ref(), H.as_ref());
    let variables = Variables::parameters(graph, ["w"]).unwrap();
    let general = GraphLoss::new(&model, objective.clone(), &samples, variables).unwrap();
    let unit = Mat::<f64>::identity(12, 12);
    let M2 = general.hessian_second_moment().product(unit.as_ref()).unwrap();
    close("M₂", moments.M2.as_ref(), M2.as_ref());
    let (_, tied, _) = cases().remove(1);
    let refused = GraphLayer::of(&tied, "w").unwrap().single_product(&tied).unwrap_err().to_string();
    assert!(refused.starts_with("w (layer): found a tied weight that is used 2 times for every sample"), "{refused}");
}

#[test]
fn threads_change_no_bit() {
    for (_, graph, selections) in cases() {
        let model = random_model(graph, 4);
        let samples = random_samples(&model, 150);
        let objective = Objective::from(Criterion::cross_entropy());
        for selection in &selections {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let variables = Variables::parameters(model.graph(), selection.iter().copied()).unwrap();
                    let moments = GraphMoments::new(&model, objective.clone(), &samples, variables.clone()).unwrap();
                    let loss = GraphLoss::new(&model, objective.clone(), &samples, variables).unwrap();
                    let vectors = Mat::from_fn(loss.n_params(), 11, |i, j| ((i + 3 * j) as f64).sin());
                    [
                        moments.hessian(NO_LIMIT).unwrap(),
                        moments.hessian_second_moment(NO_LIMIT).unwrap(),
                        moments.noise_covariance(NO_LIMIT).unwrap(),
                        loss.hessian().product(vectors.as_ref()).unwrap(),
                        loss.noise_covariance().product(vectors.as_ref()).unwrap(),
                        loss.diagonals_along(vectors.as_ref())
                            .unwrap()
                            .sampling_covariance(Diagonal::Hessian, Diagonal::SecondMoment)
                            .to_owned(),
                    ]
                })
            };
            let one = run(1);
            assert!(run(2) == one && run(5) == one, "{selection:?}");
        }
    }
}

#[test]
fn memory_is_held_to_the_limit() {
    let (_, graph, _) = cases().remove(0);
    let model = random_model(graph, 4);
    let samples = random_samples(&model, 5);
    let variables = Variables::all(model.graph());
    let moments = GraphMoments::new(&model, Criterion::cross_entropy().into(), &samples, variables).unwrap();
    let needed = moments.hessian_bytes();
    let refused = moments.hessian(needed - 1).unwrap_err();
    let limit = needed - 1;
    assert_eq!(refused, GraphCurvatureError::Memory { n_params: moments.n_params(), needed, limit });
    assert!(moments.hessian(needed).is_ok());
    assert_eq!(GraphSamples::<f64>::n_samples(&samples), 5);
}

#[test]
fn spectra_along_vectors_are_those_of_brute_force_hessians() {
    let n = 4;
    for (name, graph, selections) in cases() {
        let model = random_model(graph, 3);
        let samples = random_samples(&model, n);
        let objective = Objective::from(Criterion::cross_entropy());
        for selection in &selections {
            let what = format!("{name} {selection:?}");
            let variables = Variables::parameters(model.graph(), selection.iter().copied()).unwrap();
            let P = variables.n_params();
            let of_sample =
                |p: usize| Reference::new(&model, &objective, &samples, p).in_parameters(&variables).hessian;
            let hessians: Vec<Mat<f64>> = (0..n).map(of_sample).collect();
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let V = Mat::from_fn(P, 4, |_, _| rng.random::<f64>() - 0.5);
            let moments = GraphMoments::new(&model, objective.clone(), &samples, variables).unwrap();
            let listen = |_| ControlFlow::Continue(());
            let found = moments.spectra_along(V.as_ref(), &[3, 1], listen).unwrap().unwrap();
            assert!(moments.spectra_along(V.as_ref(), &[], |_| ControlFlow::Break(())).unwrap().is_none());
            assert!(found.samples.iter().all(|of| of.kappa.len() <= moments.spectrum_order()), "{what}");
            let eigen: Vec<_> = hessians.iter().map(|h| h.self_adjoint_eigen(faer::Side::Lower).unwrap()).collect();
            let values = |p: usize| eigen[p].S().column_vector().iter().copied();
            let norm = |p: usize| values(p).fold(0.0, |most: f64, value| most.max(value.abs()));
            let kappa_max = (0..n).map(norm).fold(0.0, f64::max);
            assert!((found.kappa_max / kappa_max - 1.0).abs() < TOLERANCE, "{what}");
            assert!((norm(found.largest) / kappa_max - 1.0).abs() < TOLERANCE, "{what}");
            for (i, v) in V.col_iter().enumerate() {
                let cosine = |p: usize, m: usize| eigen[p].U().col(m).transpose() * v;
                let along =
                    |p: usize| -> f64 { values(p).enumerate().map(|(m, x)| x.abs() * cosine(p, m).powi(2)).sum() };
                let absolute = (0..n).map(along).sum::<f64>() / n as f64;
                assert!((found.absolute[i] / absolute - 1.0).abs() < TOLERANCE, "{what}: {i}");
                for (of, p) in found.samples.iter().zip([3, 1]) {
                    assert_eq!(of.sample, p);
                    for power in [1, 2] {
                        let pairs = of.kappa.iter().enumerate();
                        let sum: f64 = pairs.map(|(m, kappa)| kappa.powi(power) * of.alignment[(i, m)]).sum();
                        let truth: f64 = values(p).enumerate().map(|(m, x)| x.powi(power) * cosine(p, m).powi(2)).sum();
                        assert!((sum - truth).abs() < TOLERANCE * kappa_max.powi(power), "{what}: {i}, {power}");
                    }
                }
            }
        }
    }
}
