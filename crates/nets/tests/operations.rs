//! Every operation, alone and in small networks, against the slow dense truth: one row of the table a case.
#![allow(non_snake_case)]

mod parts;
mod reference;

use faer::Mat;
use parts::{attention, layer_norm};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reference::Reference;
use superlinear_nets::{
    Arithmetic, AveragePool, BatchNorm, Concatenate, Convolution, Criterion, Dense, DenseGraphSamples, Embedding,
    Expand, Function, Gather, Graph, GraphBuilder, GraphDirections, GraphPasses, GraphSamples, GraphSums,
    MatrixProduct, MaxPool, Model, Normalise, Objective, Reduce, Reduction, Reshape, Slice, Softmax, TensorRole,
    Together, Transpose, ValueId, Variables, WeightOrder, Window,
};

/// Relative to the largest entry of what is compared.
const TOLERANCE: f64 = 1e-9;
const SAMPLES: usize = 3;

/// A graph around an operation: `x → in → a → (the row's nodes) → op → out → logits`, so that derivatives come from
/// both sides.
fn around(shape: &[usize], row: impl Fn(GraphBuilder) -> GraphBuilder) -> Graph {
    let n: usize = shape.iter().product();
    let start = || {
        let builder = GraphBuilder::new()
            .input("x", [2])
            .parameter("in.weight", [n, 2])
            .parameter("in.bias", [n])
            .node("in", Dense::default(), ["x", "in.weight", "in.bias"])
            .node("a", Reshape { shape: shape.to_vec() }, ["in"]);
        row(builder)
    };
    let op = start().build("op").unwrap();
    let given: usize = op.shape(op.output()).iter().product();
    start()
        .node("flat", Reshape { shape: vec![given] }, ["op"])
        .parameter("out.weight", [3, given])
        .node("logits", Dense::default(), ["flat", "out.weight"])
        .build("logits")
        .unwrap()
}

/// A row whose operation has no attributes or parameters but itself.
fn alone(shape: &[usize], op: impl Into<superlinear_nets::Operation>) -> Graph {
    let op = op.into();
    around(shape, |builder| builder.node("op", op.clone(), ["a"]))
}

fn operations() -> Vec<(String, Graph)> {
    let mut rows: Vec<(String, Graph)> = Vec::new();
    let mut row = |name: &str, graph: Graph| rows.push((name.to_owned(), graph));
    for function in [
        Function::Relu,
        Function::LeakyRelu { slope: 0.2 },
        Function::Elu { alpha: 0.7 },
        Function::Gelu,
        Function::GeluTanh,
        Function::Silu,
        Function::Sigmoid,
        Function::Tanh,
        Function::Softplus { beta: 2.0, threshold: 1.0 },
        Function::Softplus { beta: 1.0, threshold: 20.0 },
        Function::Hardtanh { min: -0.3, max: 0.4 },
        Function::Clip { min: -0.3, max: 0.4 },
        Function::Erf,
        Function::Exp,
        Function::Abs,
        Function::Negate,
    ] {
        row(&format!("{function:?}"), alone(&[5], function));
    }
    for function in [Function::Log, Function::Sqrt, Function::Reciprocal] {
        let positive =
            |builder: GraphBuilder| builder.node("positive", Function::Exp, ["a"]).node("op", function, ["positive"]);
        row(&format!("{function:?}"), around(&[4], positive));
    }
    for order in [WeightOrder::OutIn, WeightOrder::InOut] {
        let shape = if order == WeightOrder::OutIn { [2, 3] } else { [3, 2] };
        let tokens = |builder: GraphBuilder| {
            builder.parameter("w", shape).parameter("b", [2]).node("z", Dense { weight: order }, ["a", "w", "b"]).node(
                "op",
                Function::Tanh,
                ["z"],
            )
        };
        row(&format!("dense {order:?} of 4 tokens"), around(&[4, 3], tokens));
    }
    let derived = |builder: GraphBuilder| {
        builder.parameter("w", [3, 2]).node("wt", Transpose { axes: vec![1, 0] }, ["w"]).node(
            "op",
            Dense::default(),
            ["a", "wt"],
        )
    };
    row("dense by a derived weight", around(&[3], derived));
    let square = Window::square;
    let rectangle = Window { kernel: [3, 2], stride: [2, 1], padding: [1, 0, 2, 1], dilation: [1, 2] };
    for (name, shape, window, groups, c_out) in [
        ("1×1", [3, 2, 2], square(1), 1, 2),
        ("3×3 padded", [2, 3, 3], square(3).padding(1), 1, 2),
        ("3×3 strided", [1, 5, 4], square(3).padding(1).stride(2), 1, 2),
        ("2×2 strided pointwise", [2, 3, 3], square(1).stride(2), 1, 2),
        ("rectangular, dilated, uneven", [1, 4, 5], rectangle, 1, 2),
        ("grouped", [4, 3, 3], square(2), 2, 2),
        ("depthwise", [2, 3, 3], square(2).padding(1), 2, 4),
        ("along one axis", [2, 1, 6], Window { kernel: [1, 3], ..square(1) }, 1, 2),
    ] {
        let [height, width] = window.kernel;
        let convolution = |builder: GraphBuilder| {
            builder
                .parameter("w", [c_out, shape[0] / groups, height, width])
                .parameter("b", [c_out])
                .node("z", Convolution { window, groups }, ["a", "w", "b"])
                .node("op", Function::Silu, ["z"])
        };
        row(&format!("convolution {name}"), around(&shape, convolution));
    }
    for (name, shape, window) in [
        ("2×2", [2, 4, 4], square(2).stride(2)),
        ("3×3 padded, overlapping", [1, 4, 5], square(3).stride(2).padding(1)),
        ("dilated", [1, 5, 5], Window { dilation: [2, 2], ..square(2) }),
    ] {
        row(&format!("max-pool {name}"), alone(&shape, MaxPool { window }));
        for counts_padding in [true, false] {
            let pool = AveragePool { window, counts_padding };
            let name = format!("average-pool {name} {counts_padding}");
            let squared =
                |builder: GraphBuilder| builder.node("a2", Arithmetic::Multiply, ["a", "a"]).node("op", pool, ["a2"]);
            row(&name, around(&shape, squared));
        }
    }
    let batch_norm = |builder: GraphBuilder| {
        builder
            .parameter("gamma", [3])
            .parameter("beta", [3])
            .constant("mean", [3])
            .constant("variance", [3])
            .node("z", BatchNorm { epsilon: 1e-5 }, ["a", "gamma", "beta", "mean", "variance"])
            .node("op", Function::Tanh, ["z"])
    };
    row("batch-norm of images", around(&[3, 2, 2], batch_norm));
    row("batch-norm of vectors", around(&[3], batch_norm));
    for (together, centred, shape) in [
        (Together::Last(1), true, vec![3, 4]),
        (Together::Last(2), true, vec![2, 2, 3]),
        (Together::Last(1), false, vec![2, 4]),
        (Together::Groups(2), true, vec![4, 2, 2]),
        (Together::Channels, true, vec![2, 2, 3]),
    ] {
        let norm = Normalise { together, centred, epsilon: 1e-3 };
        row(&format!("{together:?} {centred}"), alone(&shape, norm));
    }
    row("softmax", alone(&[2, 4], Softmax));
    for f in [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Power] {
        let pairs = |builder: GraphBuilder| {
            builder
                .node("e", Function::Exp, ["a"])
                .node("s", Slice { axis: 0, start: 0, end: 2, step: 1 }, ["e"])
                .node("t", Slice { axis: 0, start: 1, end: 4, step: 2 }, ["e"])
                .node("op", f, ["s", "t"])
        };
        row(&format!("{f:?} of two values"), around(&[4], pairs));
        let broadcast = |builder: GraphBuilder| {
            builder
                .node("e", Function::Exp, ["a"])
                .parameter_with("b", [2, 1], superlinear_nets::Init::Constant(1.0))
                .node("positive", Function::Exp, ["b"])
                .node("op", f, ["e", "positive"])
        };
        row(&format!("{f:?} with a broadcast parameter"), around(&[3, 2, 2], broadcast));
        let left = |builder: GraphBuilder| {
            builder.node("e", Function::Exp, ["a"]).parameter("b", [2, 2]).node("positive", Function::Exp, ["b"]).node(
                "op",
                f,
                ["positive", "e"],
            )
        };
        row(&format!("{f:?}, the value broadcast"), around(&[2, 1], left));
        row(
            &format!("{f:?} of a value with itself"),
            around(&[3], |builder| builder.node("e", Function::Exp, ["a"]).node("op", f, ["e", "e"])),
        );
    }
    let third = |builder: GraphBuilder| builder.constant("three", [1]).node("op", Arithmetic::Power, ["a", "three"]);
    row("power 3 of either sign", around(&[3], third));
    row(
        "matrix product, broadcast",
        around(&[2, 2, 2], |builder| {
            builder.node("right", Slice { axis: 0, start: 0, end: 1, step: 1 }, ["a"]).node(
                "op",
                MatrixProduct,
                ["a", "right"],
            )
        }),
    );
    row(
        "matrix product, fewer axes on the left",
        around(&[2, 2, 2], |builder| {
            builder
                .node("first", Slice { axis: 0, start: 0, end: 1, step: 1 }, ["a"])
                .node("left", Reshape { shape: vec![2, 2] }, ["first"])
                .node("op", MatrixProduct, ["left", "a"])
        }),
    );
    row(
        "matrix product with a parameter",
        around(&[2, 3], |builder| builder.parameter("w", [3, 2]).node("op", MatrixProduct, ["a", "w"])),
    );
    row(
        "parameter times matrix",
        around(&[2, 2], |builder| builder.parameter("w", [3, 2]).node("op", MatrixProduct, ["w", "a"])),
    );
    for reduction in [Reduction::Sum, Reduction::Mean] {
        for (axes, keeps_axes) in [(vec![0], false), (vec![1, 2], false), (vec![2], true), (vec![0, 1, 2], true)] {
            let reduce = Reduce { reduction, axes: axes.clone(), keeps_axes };
            let squared = |builder: GraphBuilder| {
                builder.node("a2", Arithmetic::Multiply, ["a", "a"]).node("op", reduce.clone(), ["a2"])
            };
            row(&format!("{reduction:?} over {axes:?}"), around(&[2, 2, 3], squared));
        }
    }
    row(
        "concatenate",
        around(&[2, 2], |builder| {
            let builder = builder.node("t", Function::Tanh, ["a"]).parameter("b", [2, 1]);
            builder.node("op", Concatenate { axis: 1 }, ["a", "b", "t", "a"])
        }),
    );
    for (name, op) in [
        ("slice", superlinear_nets::Operation::from(Slice { axis: 1, start: 1, end: 4, step: 2 })),
        ("gather", Gather { axis: 1, indices: vec![3, 0, 3] }.into()),
        ("reshape", Reshape { shape: vec![4, 2] }.into()),
        ("transpose", Transpose { axes: vec![1, 0] }.into()),
        ("expand", Expand { shape: vec![3, 2, 4] }.into()),
    ] {
        row(name, around(&[2, 4], |builder| builder.node("t", Function::Tanh, ["a"]).node("op", op.clone(), ["t"])));
    }
    row(
        "embedding",
        around(&[2], |builder| {
            let builder = builder.input("ids", [3]).parameter("table", [4, 2]);
            builder.node("e", Embedding, ["table", "ids"]).node("op", Arithmetic::Multiply, ["e", "a"])
        }),
    );
    rows
}

fn networks() -> Vec<(String, Graph)> {
    let tanh = Function::Tanh;
    let window = Window::square(3).padding(1);
    let conv = Convolution { window, groups: 1 };
    let residual = around(&[2, 3, 3], |builder| {
        builder
            .parameter("c1", [2, 2, 3, 3])
            .parameter("c2", [2, 2, 3, 3])
            .node("h", conv, ["a", "c1"])
            .node("r", Function::Relu, ["h"])
            .node("h2", conv, ["r", "c2"])
            .node("sum", Arithmetic::Add, ["h2", "a"])
            .node("act", Function::Relu, ["sum"])
            .node("op", Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keeps_axes: false }, ["act"])
    });
    let encoder = |pre: bool, T: usize| {
        around(&[T, 4], |builder| {
            let mean = Reduce { reduction: Reduction::Mean, axes: vec![0], keeps_axes: false };
            let builder = if pre {
                attention(layer_norm(builder, "n", "a", 4), "att", "n", T, 4, 2)
                    .node("sum", Arithmetic::Add, ["a", "att.out"])
                    .node("last", Function::Gelu, ["sum"])
            } else {
                layer_norm(
                    attention(builder, "att", "a", T, 4, 2).node("sum", Arithmetic::Add, ["a", "att.out"]),
                    "last",
                    "sum",
                    4,
                )
            };
            builder.node("op", mean, ["last"])
        })
    };
    let tied = around(&[3], |builder| {
        builder
            .parameter("w", [3, 3])
            .node("z1", Dense::default(), ["a", "w"])
            .node("t1", tanh, ["z1"])
            .node("z2", Dense::default(), ["t1", "w"])
            .node("op", tanh, ["z2"])
    });
    let dead = around(&[4], |builder| {
        builder.constant("down", [1]).node("low", Arithmetic::Subtract, ["a", "down"]).node(
            "op",
            Function::Relu,
            ["low"],
        )
    });
    vec![
        ("residual".to_owned(), residual),
        ("pre-norm attention".to_owned(), encoder(true, 3)),
        ("post-norm attention".to_owned(), encoder(false, 3)),
        ("one token".to_owned(), encoder(true, 1)),
        ("tied".to_owned(), tied),
        ("dead ReLU".to_owned(), dead),
    ]
}

/// Numbers for all tensors: constants that make sense for what they are called, and others at random.
fn model(graph: Graph, rng: &mut impl Rng) -> Model<f64> {
    let shapes: Vec<(String, usize)> = [TensorRole::Parameter, TensorRole::Constant]
        .into_iter()
        .flat_map(|role| graph.tensors(role).collect::<Vec<_>>())
        .map(|value| (graph.name(value).to_owned(), graph.shape(value).iter().product()))
        .collect();
    Model::new(graph, |name| {
        let n = shapes.iter().find(|(own, _)| own == name)?.1;
        Some(match name {
            "three" => vec![3.0],
            "down" => vec![50.0],
            "variance" => (0..n).map(|c| 0.5 + c as f64).collect(),
            name if name.ends_with("root") => vec![2f64.sqrt()],
            _ => (0..n).map(|_| 1.6 * rng.random::<f64>() - 0.8).collect(),
        })
    })
    .unwrap()
}

fn samples(model: &Model<f64>, objective: &Objective, n: usize, rng: &mut impl Rng) -> DenseGraphSamples<f64> {
    let graph = model.graph();
    let dim = |value: ValueId| graph.shape(value).iter().product::<usize>();
    let entry = |ids: bool, rng: &mut ChaCha8Rng| match ids {
        true => rng.random_range(0..4) as f64,
        false => 2.0 * rng.random::<f64>() - 1.0,
    };
    let mut own = ChaCha8Rng::seed_from_u64(rng.random());
    let inputs = graph.inputs().map(|value| {
        let ids = graph.name(value) == "ids";
        Mat::from_fn(dim(value), n, |_, p| if p == 0 && !ids { 0.0 } else { entry(ids, &mut own) })
    });
    let inputs = inputs.collect();
    let shape = graph.shape(graph.output());
    let target_len = objective.target_len(shape);
    let targets = Mat::from_fn(target_len, n, |t, _| match objective.criterion {
        Criterion::LinearMse => 3.0 * rng.random::<f64>() - 1.0,
        Criterion::BinaryCrossEntropy => [0.0, 1.0, 0.3][rng.random_range(0..3)],
        Criterion::CrossEntropy { ignored: Some(ignored), .. } if t == 1 => ignored as f64,
        _ => rng.random_range(0..shape[shape.len() - 1]) as f64,
    });
    DenseGraphSamples::new(inputs, targets)
}

/// The same samples in single precision.
struct Narrow<'a>(&'a DenseGraphSamples<f64>);

impl GraphSamples<f32> for Narrow<'_> {
    fn n_samples(&self) -> usize {
        GraphSamples::<f64>::n_samples(self.0)
    }
    fn write_input(&self, p: usize, input: usize, out: &mut [f32]) {
        let mut wide = vec![0.0; out.len()];
        self.0.write_input(p, input, &mut wide);
        out.iter_mut().zip(wide).for_each(|(x, wide)| *x = wide as f32);
    }
    fn write_target(&self, p: usize, out: &mut [f64]) {
        GraphSamples::<f64>::write_target(self.0, p, out);
    }
}

#[track_caller]
fn close(what: &str, found: &Mat<f64>, truth: &Mat<f64>) {
    let scale = truth.norm_max().max(1e-3);
    let worst = (found - truth).norm_max();
    assert!(worst <= TOLERANCE * scale, "{what}: off by {worst:e} of {scale}");
}

fn column(x: &[f64]) -> Mat<f64> {
    Mat::from_fn(x.len(), 1, |i, _| x[i])
}

/// Losses, gradients, `Hv`, `h_p`, `h_p²v`, and `S_p` at the values `inner`.
fn check(name: &str, graph: Graph, objective: &Objective, inner: &[&str], n: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let model = model(graph, &mut rng);
    let graph = model.graph();
    let samples = samples(&model, objective, n, &mut rng);
    graph.accepts(&samples, objective).unwrap();
    let variables = Variables::all(graph);
    let P = variables.n_params();
    let truths: Vec<_> =
        (0..n).map(|p| Reference::new(&model, objective, &samples, p).in_parameters(&variables)).collect();
    let mut passes = GraphPasses::new(graph, objective.clone(), variables.clone());
    // The gradient over all samples together, and one by one.
    let mut sums = GraphSums::zeros(&variables, 1);
    let loss = passes.gradient(&model, &samples, 0..n, &mut sums).unwrap();
    let sum_of = |sums: &GraphSums<f64>| {
        let mut out = Mat::zeros(P, sums.n_vectors());
        sums.add_to(&variables, 1.0, out.as_mut());
        out
    };
    let total: f64 = truths.iter().map(|truth| truth.value).sum();
    assert!((loss - total).abs() < 1e-11 * total.abs().max(1.0), "{name}: loss {loss}, {total}");
    let gradient = truths.iter().fold(Mat::zeros(P, 1), |sum, truth| sum + column(&truth.gradient));
    close(&format!("{name} gradient"), &sum_of(&sums), &gradient);
    // In single precision the same, to its rounding.
    let single = model.cast::<f32>();
    let narrow = Narrow(&samples);
    let mut narrow_passes = GraphPasses::new(single.graph(), objective.clone(), variables.clone());
    let mut narrow_sums = GraphSums::zeros(&variables, 1);
    narrow_passes.gradient(&single, &narrow, 0..n, &mut narrow_sums).unwrap();
    let mut found = Mat::<f32>::zeros(P, 1);
    narrow_sums.add_to(&variables, 1.0, found.as_mut());
    let worst = (0..P).map(|i| (f64::from(found[(i, 0)]) - gradient[(i, 0)]).abs()).fold(0.0, f64::max);
    assert!(worst <= 1e-3 * gradient.norm_max().max(1e-3), "{name}: off by {worst:e} in single precision");
    // Products with the sum of Hessians, three directions at once, twice with the block's values kept.
    let vectors = Mat::from_fn(P, 3, |_, _| 2.0 * rng.random::<f64>() - 1.0);
    let directions = GraphDirections::new(&variables, vectors.as_ref());
    let H = truths.iter().fold(Mat::zeros(P, P), |sum, truth| sum + &truth.hessian);
    for _ in 0..2 {
        let mut sums = GraphSums::zeros(&variables, 3);
        passes.hessian(&model, &directions, &mut sums);
        close(&format!("{name} Hv"), &sum_of(&sums), &(&H * &vectors));
    }
    let l2 = objective.l2;
    let mut sums = GraphSums::zeros(&variables, 3);
    passes.gradient_products(&model, &directions, &[], &mut sums);
    let own = |truth: &reference::Derivatives| {
        let params = column(model.params());
        column(&truth.gradient) - faer::Scale(l2) * params
    };
    let fisher = truths.iter().fold(Mat::zeros(P, P), |sum, truth| sum + own(truth) * own(truth).transpose());
    close(&format!("{name} Σ g gᵀ v"), &sum_of(&sums), &(&fisher * &vectors));
    for (p, truth) in truths.iter().enumerate() {
        passes.evaluate(&model, &samples, p..p + 1).unwrap();
        let mut h = Mat::zeros(P, P);
        passes.sample_hessian(&model, h.as_mut());
        close(&format!("{name} h of sample {p}"), &h, &truth.hessian);
        let mut sums = GraphSums::zeros(&variables, 3);
        passes.squared_hessian(&model, &directions, &mut sums);
        close(&format!("{name} h²v of sample {p}"), &sum_of(&sums), &(&truth.hessian * &truth.hessian * &vectors));
    }
    // S_p by as many directions as the values have entries.
    let inner: Vec<ValueId> = inner.iter().map(|name| graph.value(name).unwrap()).collect();
    let mut passes = GraphPasses::new(graph, objective.clone(), Variables::values(graph, &inner));
    passes.evaluate(&model, &samples, 0..n).unwrap();
    let dims: Vec<usize> = inner.iter().map(|&value| graph.shape(value).iter().product()).collect();
    let k: usize = dims.iter().sum();
    let mut first = 0;
    let seeds: Vec<Vec<f64>> = dims
        .iter()
        .map(|&dim| {
            let seed = (0..k * n * dim).map(|i| if i / (n * dim) == first + i % dim { 1.0 } else { 0.0 }).collect();
            first += dim;
            seed
        })
        .collect();
    let found = passes.respond(&model, k, &seeds, &[]);
    let closed = (inner.len() == 1).then(|| passes.curvature(&model));
    for p in 0..n {
        let truth = Reference::new(&model, objective, &samples, p).in_values(&inner);
        let mut row = 0;
        let mut S = Mat::zeros(k, k);
        for (gradient, &dim) in found.gradients.iter().zip(&dims) {
            for j in 0..k {
                for i in 0..dim {
                    S[(row + i, j)] = gradient[(j * n + p) * dim + i];
                }
            }
            row += dim;
        }
        close(&format!("{name} S of sample {p}"), &S, &truth.hessian);
        if let Some(closed) = &closed {
            let S = Mat::from_fn(k, k, |i, j| closed[(p * k + j) * k + i]);
            close(&format!("{name} S of sample {p} as one"), &S, &truth.hessian);
            assert_eq!(S, S.transpose().to_owned());
        }
    }
}

#[test]
fn every_operation_is_exact_to_second_order() {
    let objective = Objective::from(Criterion::cross_entropy());
    for (name, graph) in operations() {
        check(&name, graph, &objective, &["in"], SAMPLES);
    }
}

#[test]
fn small_networks_are_exact_to_second_order() {
    let objective = Objective { l2: 0.3, ..Objective::from(Criterion::cross_entropy()) };
    for (name, graph) in networks() {
        check(&name, graph, &objective, &["in"], 2);
    }
    for (name, graph) in networks().into_iter().filter(|(name, _)| name == "tied") {
        check(&name, graph, &objective, &["z1", "z2"], 1);
    }
}

/// Losses over one and over several outputs.
#[test]
fn every_loss_is_exact_to_second_order() {
    let weights = Some(vec![0.5, 2.0, 1.25]);
    let cross = |class_weights: Option<Vec<f64>>, label_smoothing: f64, ignored: Option<i64>| Criterion::CrossEntropy {
        class_weights,
        label_smoothing,
        ignored,
    };
    for criterion in [
        cross(None, 0.0, None),
        cross(None, 0.0, Some(-100)),
        cross(weights.clone(), 0.0, Some(-100)),
        cross(None, 0.1, None),
        cross(weights, 0.2, Some(1)),
        Criterion::SoftmaxMse,
        Criterion::LinearMse,
        Criterion::BinaryCrossEntropy,
    ] {
        for (outputs, scale, l2) in [(1, None, 0.0), (4, None, 0.2), (2, Some(0.7), 0.0)] {
            let width = if criterion == Criterion::BinaryCrossEntropy { 1 } else { 3 };
            let shape = if outputs == 1 { vec![width] } else { vec![outputs, width] };
            let graph = GraphBuilder::new()
                .input("x", [2])
                .parameter("in.weight", [outputs * width, 2])
                .node("in", Dense::default(), ["x", "in.weight"])
                .node("tanh", Function::Tanh, ["in"])
                .node("logits", Reshape { shape }, ["tanh"])
                .build("logits")
                .unwrap();
            let objective = Objective { criterion: criterion.clone(), scale, l2 };
            check(&format!("{criterion:?} over {outputs}"), graph, &objective, &["in"], SAMPLES);
        }
    }
}

#[test]
fn more_classes_than_a_byte_holds() {
    let graph = GraphBuilder::new()
        .input("x", [1])
        .parameter("w", [300, 1])
        .node("z", Dense::default(), ["x", "w"])
        .build("z")
        .unwrap();
    let model = model(graph, &mut ChaCha8Rng::seed_from_u64(1));
    let objective = Objective::from(Criterion::cross_entropy());
    let samples = DenseGraphSamples::new(vec![Mat::from_fn(1, 1, |_, _| 1.0)], Mat::from_fn(1, 1, |_, _| 299.0));
    model.graph().accepts(&samples, &objective).unwrap();
    let variables = Variables::all(model.graph());
    let mut passes = GraphPasses::new(model.graph(), objective, variables.clone());
    let mut sums = GraphSums::zeros(&variables, 1);
    let loss = passes.gradient(&model, &samples, 0..1, &mut sums).unwrap();
    let total: f64 = model.params().iter().map(|w| w.exp()).sum();
    assert!((loss - (total.ln() - model.params()[299])).abs() < 1e-12);
}
