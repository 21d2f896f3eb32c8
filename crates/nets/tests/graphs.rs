//! What graphs refuse, kinks, memory, and training.
#![allow(non_snake_case)]

mod parts;

use faer::Mat;
use parts::{attention, dense, layer_norm};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_nets::{
    Activation, Architecture, Arithmetic, BatchNorm, BlockPasses, Concatenate, Convolution, Criterion, Dense,
    DenseGraphSamples, DenseSamples, Directions, Embedding, Function, Gather, Graph, GraphBuilder, GraphDirections,
    GraphError, GraphLayer, GraphPasses, GraphSums, ImageShape, Labelled, LayerForm, Loss, MatrixProduct, MaxPool,
    Model, Network, Objective, Operation, Reshape, Selection, Slice, Sums, Transpose, Variables, Window, Workspace,
};

fn refused(graph: Result<Graph, GraphError>) -> String {
    graph.unwrap_err().to_string()
}

/// `x (3, 4)`, a parameter `w`, and one node `op`.
fn one(op: impl Into<Operation>, w: &[usize], operands: &[&str]) -> Result<Graph, GraphError> {
    let builder = GraphBuilder::new().input("x", [3, 4]).input("image", [4, 5, 5]).parameter("w", w);
    builder.node("op", op, operands.iter().copied()).build("op")
}

#[test]
fn shapes_that_do_not_fit_are_told_with_node_operation_found_and_expected() {
    let conv = |window, groups| Convolution { window, groups };
    let square = Window::square;
    for (graph, message) in [
        (one(Dense::default(), &[2, 5], &["x", "w"]), "op (dense): found weight (2, 5); expected (d_out, 4)"),
        (
            one(Dense::default(), &[2, 4], &["x"]),
            "op (dense): found 1 operands; expected a value, a weight and maybe a bias",
        ),
        (
            one(Dense::default(), &[2, 4], &["x", "x"]),
            "op (dense): found a weight or bias of every sample; expected one that all samples share",
        ),
        (
            one(conv(square(3), 1), &[2, 3, 3, 3], &["image", "w"]),
            "op (convolution): found weight (2, 3, 3, 3); expected (a multiple of 1, 4, 3, 3)",
        ),
        (
            one(conv(square(3), 3), &[2, 1, 3, 3], &["image", "w"]),
            "op (convolution): found 3 groups; expected a divisor of 4 channels",
        ),
        (
            one(conv(square(7), 1), &[2, 4, 7, 7], &["image", "w"]),
            "op (convolution): found images (4, 5, 5) with padding [0, 0, 0, 0]; \
             expected at least [7, 7] pixels, [1, 1] apart",
        ),
        (
            one(conv(square(3), 1), &[2, 4, 3, 3], &["x", "w"]),
            "op (convolution): found a value (3, 4); expected images (channels, rows, columns)",
        ),
        (
            one(MaxPool { window: square(2).padding(2) }, &[1], &["image"]),
            "op (max-pool): found padding [2, 2, 2, 2] of a kernel [2, 2]; expected every window to see a pixel",
        ),
        (
            one(Arithmetic::Add, &[2, 4], &["x", "w"]),
            "op (add): found (3, 4) and (2, 4); expected shapes that broadcast",
        ),
        (
            one(MatrixProduct, &[3, 4], &["x", "w"]),
            "op (matrix-product): found (3, 4) times (3, 4); expected (…, m, k) times (…, k, n)",
        ),
        (one(Reshape { shape: vec![5] }, &[1], &["x"]), "op (reshape): found 12 entries in (3, 4); expected 5 for (5)"),
        (
            one(Transpose { axes: vec![0, 0] }, &[1], &["x"]),
            "op (transpose): found axes [0, 0]; expected a permutation of the axes of (3, 4)",
        ),
        (
            one(Slice { axis: 1, start: 2, end: 5, step: 1 }, &[1], &["x"]),
            "op (slice): found entries 2..5 by 1 of axis 1; expected some entries of an axis of (3, 4)",
        ),
        (
            one(Gather { axis: 0, indices: vec![3] }, &[1], &["x"]),
            "op (gather): found entries [3] of axis 0; expected some entries of an axis of (3, 4)",
        ),
        (
            one(Concatenate { axis: 0 }, &[3, 3], &["x", "w"]),
            "op (concatenate): found (3, 4) and (3, 3); expected shapes that differ along axis 0 only",
        ),
        (
            one(BatchNorm { epsilon: 1e-5 }, &[3], &["x", "w", "w", "w", "w"]),
            "op (batch-norm): found running statistics that are parameters; expected constants",
        ),
        (
            one(Function::Tanh, &[3], &["w"]),
            "op (output): found a value that all samples share; expected one that depends on them",
        ),
    ] {
        assert_eq!(refused(graph), message);
    }
}

#[test]
fn circles_unknown_and_double_names_are_told() {
    let start = || GraphBuilder::new().input("x", [2]);
    let circle = start()
        .node("a", Arithmetic::Add, ["x", "c"])
        .node("b", Function::Tanh, ["a"])
        .node("c", Function::Tanh, ["b"])
        .build("b");
    assert_eq!(refused(circle), "c (tanh): found a circle: c → a → b → c; expected operands that do not depend on it");
    let unknown = start().node("a", Function::Tanh, ["y"]).build("a");
    assert_eq!(
        refused(unknown),
        "a (tanh): found operand \"y\", which is none; expected an input, parameter, constant or node"
    );
    let twice = start().node("x", Function::Tanh, ["x"]).build("x");
    assert_eq!(refused(twice), "x (tanh): found a second value of that name; expected every name once");
    let output = start().build("x");
    assert_eq!(refused(output), "x (output): found no node of that name; expected one of the nodes");
    let empty = GraphBuilder::new().input("x", [2, 0]).node("a", Function::Tanh, ["x"]).build("a");
    assert_eq!(refused(empty), "x (input): found shape (2, 0); expected axes of at least 1");
    // Nodes may be declared in any order, and what the output does not need is left out.
    let graph = start()
        .node("c", Function::Tanh, ["b"])
        .node("unused", Function::Exp, ["c"])
        .node("b", Function::Relu, ["x"])
        .build("c")
        .unwrap();
    assert_eq!(graph.nodes().map(|value| graph.name(value)).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn numbers_that_do_not_fit_are_told() {
    let graph = || one(Dense::default(), &[2, 4], &["x", "w"]).unwrap();
    let refused = |numbers: Option<Vec<f64>>| Model::new(graph(), |_| numbers.clone()).unwrap_err().to_string();
    assert_eq!(refused(None), "w (parameter): found none; expected 8 numbers for (2, 4)");
    assert_eq!(refused(Some(vec![0.0; 7])), "w (parameter): found 7 numbers; expected 8 numbers for (2, 4)");
    assert_eq!(refused(Some(vec![f64::NAN; 8])), "w (parameter): found NaN at 0; expected 8 numbers for (2, 4)");
}

/// The loss, its gradient and Hessian in a bias `b` behind `x = 0`, in front of `op`: squared error with target 0 of
/// one entry.
fn at_zero(op: impl Into<Operation>, b: f64) -> Result<[f64; 3], GraphError> {
    let graph = GraphBuilder::new()
        .input("x", [1])
        .parameter("b", [1])
        .node("z", Arithmetic::Add, ["x", "b"])
        .node("op", op, ["z"])
        .build("op")
        .unwrap();
    let model = Model::new(graph, |_| Some(vec![b])).unwrap();
    let samples = DenseGraphSamples::new(vec![Mat::zeros(1, 1)], Mat::from_fn(1, 1, |_, _| -0.5));
    let variables = Variables::all(model.graph());
    let mut passes = GraphPasses::new(model.graph(), Criterion::LinearMse.into(), variables.clone());
    let mut gradient = GraphSums::zeros(&variables, 1);
    let loss = passes.gradient(&model, &samples, 0..1, &mut gradient)?;
    let mut out = Mat::zeros(1, 2);
    gradient.add_to(&variables, 1.0, out.as_mut().subcols_mut(0, 1));
    passes.sample_hessian(&model, out.as_mut().subcols_mut(1, 1));
    Ok([loss, out[(0, 0)], out[(0, 1)]])
}

/// With `ℓ = (σ(z) + ½)²`: `ℓ' = 2 (σ + ½) σ'`, `ℓ'' = 2 σ'² + 2 (σ + ½) σ''`. Expected are PyTorch's derivatives at
/// the kinks.
#[test]
fn kinks_are_pytorchs() {
    for (function, at, value, slope, bend) in [
        (Function::Relu, 0.0, 0.0, 0.0, 0.0),
        (Function::LeakyRelu { slope: 0.25 }, 0.0, 0.0, 0.25, 0.0),
        (Function::Elu { alpha: 0.5 }, 0.0, 0.0, 0.5, 0.0),
        (Function::Hardtanh { min: 0.0, max: 1.0 }, 0.0, 0.0, 0.0, 0.0),
        (Function::Hardtanh { min: 0.0, max: 1.0 }, 1.0, 1.0, 0.0, 0.0),
        (Function::Clip { min: 0.0, max: 1.0 }, 0.0, 0.0, 1.0, 0.0),
        (Function::Clip { min: 0.0, max: 1.0 }, 1.0, 1.0, 1.0, 0.0),
        (Function::Abs, 0.0, 0.0, 0.0, 0.0),
    ] {
        let r = value + 0.5;
        let expected = [r * r, 2.0 * r * slope, 2.0 * slope * slope + 2.0 * r * bend];
        assert_eq!(at_zero(function, at).unwrap(), expected, "{function:?}");
    }
    // The first of equals is the largest.
    let graph = GraphBuilder::new()
        .input("x", [1, 1, 2])
        .parameter("b", [1, 1, 2])
        .node("z", Arithmetic::Add, ["x", "b"])
        .node("op", MaxPool { window: Window { kernel: [1, 2], ..Window::square(1) } }, ["z"])
        .build("op")
        .unwrap();
    let model = Model::new(graph, |_| Some(vec![1.0; 2])).unwrap();
    let samples = DenseGraphSamples::new(vec![Mat::zeros(2, 1)], Mat::zeros(1, 1));
    let variables = Variables::all(model.graph());
    let mut passes = GraphPasses::new(model.graph(), Criterion::LinearMse.into(), variables.clone());
    let mut sums = GraphSums::zeros(&variables, 1);
    passes.gradient(&model, &samples, 0..1, &mut sums).unwrap();
    let mut gradient = Mat::zeros(2, 1);
    sums.add_to(&variables, 1.0, gradient.as_mut());
    assert_eq!((gradient[(0, 0)], gradient[(1, 0)]), (2.0, 0.0));
}

#[test]
fn points_without_a_second_derivative_are_told() {
    for (function, b, message) in [
        (Function::Sqrt, 0.0, "op (sqrt): found x = 0 in sample 0; expected x > 0, where √x has derivatives"),
        (Function::Log, -1.0, "op (log): found x = -1 in sample 0; expected x > 0"),
        (Function::Reciprocal, 0.0, "op (reciprocal): found x = 0 in sample 0; expected x ≠ 0"),
    ] {
        assert_eq!(at_zero(function, b).unwrap_err().to_string(), message);
    }
    assert!(at_zero(Function::Sqrt, 2.0).is_ok());
    let ids = GraphBuilder::new()
        .input("ids", [2])
        .parameter("table", [3, 1])
        .node("e", Embedding, ["table", "ids"])
        .build("e")
        .unwrap();
    let model = Model::new(ids, |_| Some(vec![0.5; 3])).unwrap();
    let samples = DenseGraphSamples::new(vec![Mat::from_fn(2, 4, |i, p| (i * p) as f64)], Mat::zeros(2, 4));
    let wrong = model.outputs(&samples, 0..4).unwrap_err().to_string();
    assert_eq!(wrong, "e (embedding): found id 3 in sample 3; expected a whole number below 3");
}

#[test]
fn targets_are_checked() {
    let graph = one(Dense::default(), &[5, 4], &["x", "w"]).unwrap();
    let data = |target: f64| DenseGraphSamples::<f64>::new(vec![Mat::zeros(12, 1)], Mat::from_fn(3, 1, |_, _| target));
    let objective = Objective::from(Criterion::cross_entropy());
    assert_eq!(graph.accepts(&data(4.0), &objective), Ok(()));
    assert_eq!(graph.accepts(&data(-100.0), &objective), Ok(()));
    assert_eq!(
        graph.accepts(&data(5.0), &objective).unwrap_err().to_string(),
        "op (output): found a target of sample 0; expected a class below 5 or -100, found 5"
    );
    let weights = Criterion::CrossEntropy { class_weights: Some(vec![1.0]), label_smoothing: 0.0, ignored: None };
    // One class a sample is no target for several outputs, nor a real number; and a class that is none is refused.
    let labelled = |label: u8| DenseSamples::<f64>::new(Mat::zeros(6, 1), vec![label]);
    let one = Architecture::mlp(&[6, 1], Activation::Identity).unwrap().graph();
    let three = Architecture::mlp(&[6, 3], Activation::Identity).unwrap().graph();
    let mse = Objective::from(Loss::LinearMse);
    let refused = |graph: &Graph, label: u8| graph.accepts(&Labelled(&labelled(label)), &mse).unwrap_err().to_string();
    assert!(refused(&one, 0).ends_with("found one class a sample; expected a real number a sample"));
    assert!(refused(&three, 3).contains("found a target of sample 0"), "{}", refused(&three, 3));
    assert_eq!(three.accepts(&Labelled(&labelled(2)), &mse), Ok(()));
    let wrong = graph.accepts(&data(1.0), &weights.into()).unwrap_err().to_string();
    assert!(wrong.contains("5 class weights, finite and not negative, found 1 of them"), "{wrong}");
}

/// Layers know in their type what form their Hessians have.
#[test]
fn layers_say_their_form() {
    let graph = GraphBuilder::new()
        .input("image", [1, 3, 3])
        .parameter("conv", [2, 1, 2, 2])
        .parameter("once", [8, 8])
        .parameter("out", [2, 8])
        .parameter("tied", [8, 8])
        .node("c", Convolution { window: Window::square(2), groups: 1 }, ["image", "conv"])
        .node("flat", Reshape { shape: vec![8] }, ["c"])
        .node("h", Dense::default(), ["flat", "once"])
        .node("t1", Dense::default(), ["h", "tied"])
        .node("t2", Dense::default(), ["t1", "tied"])
        .node("logits", Dense::default(), ["t2", "out"])
        .build("logits")
        .unwrap();
    let form = |name: &str| GraphLayer::of(&graph, name).unwrap().form();
    assert_eq!(form("conv"), LayerForm::SumOverUses(4));
    assert_eq!(form("once"), LayerForm::SingleProduct);
    assert_eq!(form("tied"), LayerForm::Tied(2));
    assert_eq!(GraphLayer::all(&graph).len(), 4);
    let none = GraphLayer::of(&graph, "image").unwrap_err().to_string();
    assert!(none.contains("no such parameter"), "{none}");
}

/// A transformer on ids, with everything that it needs; learns the parity of its first two ids.
#[test]
fn a_transformer_trains() {
    let (T, d) = (4, 8);
    let builder = GraphBuilder::new().input("ids", [T]).parameter("table", [3, d]).parameter("pos", [T, d]);
    let builder = builder.node("e", Embedding, ["table", "ids"]).node("h0", Arithmetic::Add, ["e", "pos"]);
    let builder = attention(layer_norm(builder, "n1", "h0", d), "att", "n1", T, d, 2);
    let builder = builder.node("h1", Arithmetic::Add, ["h0", "att.out"]);
    let builder = dense(layer_norm(builder, "n2", "h1", d), "up", "n2", 16, d).node("g", Function::GeluTanh, ["up"]);
    let builder = dense(builder, "down", "g", d, 16).node("h2", Arithmetic::Add, ["h1", "down"]);
    let builder = builder.node("flat", Reshape { shape: vec![T * d] }, ["h2"]);
    let graph = dense(builder, "head", "flat", 2, T * d).build("head").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut model = Model::<f32>::init(graph, &mut rng, |_| Some(vec![2.0])).unwrap();
    // Scales of norms begin at 1.
    let graph = model.graph().clone();
    let mut start = 0;
    for value in graph.tensors(superlinear_nets::TensorRole::Parameter) {
        let n: usize = graph.shape(value).iter().product();
        if graph.name(value).starts_with('n') && graph.name(value).ends_with("weight") {
            model.params_mut()[start..start + n].fill(1.0);
        }
        start += n;
    }
    let N = 96;
    let ids = Mat::from_fn(T, N, |_, _| rng.random_range(0..3) as f32);
    let targets = Mat::from_fn(1, N, |_, p| f64::from((ids[(0, p)] + ids[(1, p)]) % 2.0));
    let samples = DenseGraphSamples::new(vec![ids], targets);
    let objective = Objective { l2: 1e-4, ..Objective::from(Criterion::cross_entropy()) };
    let all: Vec<usize> = (0..N).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut model, mut passes) = (model.clone(), Vec::new());
        let mut gradient = vec![0.0; model.params().len()];
        let mut losses = Vec::new();
        for _ in 0..150 {
            let step = pool.install(|| model.batch_gradient(&samples, &all, &objective, &mut passes, &mut gradient));
            losses.push(step.unwrap());
            model.params_mut().iter_mut().zip(&gradient).for_each(|(w, g)| *w -= 0.3 * g);
        }
        (losses, model)
    };
    let (losses, trained) = run(1);
    assert!(losses[149] < 0.2 * losses[0], "{} {}", losses[0], losses[149]);
    assert_eq!(run(3), (losses, trained), "threads change no bit");
}

#[test]
fn batch_norm_is_refused_in_training() {
    let graph = GraphBuilder::new()
        .input("x", [2])
        .parameter("g", [2])
        .constant("m", [2])
        .node("bn", BatchNorm { epsilon: 1e-5 }, ["x", "g", "g", "m", "m"])
        .build("bn")
        .unwrap();
    let wrong = graph.trains_by_sample().unwrap_err().to_string();
    assert!(wrong.starts_with("bn (batch-norm): found batch normalisation in training"), "{wrong}");
}

/// Products with several directions at once have the bits of products one by one.
#[test]
fn directions_do_not_meet() {
    let graph = attention(GraphBuilder::new().input("x", [3, 4]), "att", "x", 3, 4, 2).build("att.out").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let model = Model::<f64>::init(graph, &mut rng, |_| Some(vec![2.0])).unwrap();
    let inputs = Mat::from_fn(12, 5, |_, _| rng.random::<f64>());
    let samples = DenseGraphSamples::new(vec![inputs], Mat::zeros(3, 5));
    let variables = Variables::all(model.graph());
    let P = variables.n_params();
    let vectors = Mat::from_fn(P, 3, |_, _| rng.random::<f64>() - 0.5);
    let mut passes = GraphPasses::new(model.graph(), Criterion::cross_entropy().into(), variables.clone());
    passes.evaluate(&model, &samples, 0..5).unwrap();
    let mut product = |vectors: faer::MatRef<'_, f64>| {
        let mut sums = GraphSums::zeros(&variables, vectors.ncols());
        passes.hessian(&model, &GraphDirections::new(&variables, vectors), &mut sums);
        let mut out = Mat::zeros(P, vectors.ncols());
        sums.add_to(&variables, 1.0, out.as_mut());
        out
    };
    let together = product(vectors.as_ref());
    for k in 0..3 {
        let apart = product(vectors.as_ref().subcols(k, 1));
        let worst = (together.as_ref().subcols(k, 1) - &apart).norm_max();
        assert!(worst < 1e-14 * together.norm_max(), "{worst:e}");
    }
}

/// The paper's networks as graphs give what the passes of their own give, to rounding.
#[test]
fn networks_are_graphs() {
    let image = ImageShape { channels: 2, height: 9, width: 8 };
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let architectures = [
        Architecture::mlp(&[7, 6, 5, 3], Activation::Relu).unwrap(),
        Architecture::mlp(&[7, 6, 5, 3], Activation::Tanh).unwrap(),
        Architecture::mlp(&[7, 6, 5, 3], Activation::Identity).unwrap(),
        Architecture::paper_cnn(image).unwrap(),
    ];
    for architecture in architectures {
        let net = Network::<f64>::init(architecture, &mut rng);
        let model = net.model();
        assert_eq!(model.params(), net.params());
        let (N, P) = (20, net.params().len());
        let inputs = Mat::from_fn(net.architecture().input_dim(), N, |_, _| rng.random::<f64>() - 0.3);
        let labels: Vec<u8> = (0..N).map(|p| (p % 3) as u8).collect();
        let samples = DenseSamples::new(inputs.clone(), labels.clone());
        let direction: Vec<f64> = (0..P).map(|_| rng.random::<f64>() - 0.5).collect();
        for loss in [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse] {
            let (mut gradient, mut found) = (vec![0.0; P], vec![0.0; P]);
            let mut workspace = Workspace::new(&net, N);
            net.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut workspace, &mut gradient);
            let all: Vec<usize> = (0..N).collect();
            let objective = Objective::from(loss);
            model.batch_gradient(&Labelled(&samples), &all, &objective, &mut Vec::new(), &mut found).unwrap();
            let largest = gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            assert!(gradient.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-13 * largest.max(1e-3)), "{loss}");
            let mut product = vec![0.0; P];
            let selection = Selection::all(net.architecture());
            let vector = faer::MatRef::from_column_major_slice(&direction, P, 1);
            let mut of_chain = BlockPasses::new(&net, &selection, N);
            of_chain.evaluate(&labels, loss, |p, input| input.copy_from_slice(inputs.col_as_slice(p)));
            let mut sums = Sums::zeros(net.architecture(), &selection, 1);
            of_chain.hessian(&Directions::new(net.architecture(), &selection, vector), &mut sums);
            sums.add_to(net.architecture(), &selection, faer::MatMut::from_column_major_slice_mut(&mut product, P, 1));
            product.iter_mut().for_each(|x| *x /= N as f64);
            let variables = Variables::all(model.graph());
            let mut passes = GraphPasses::new(model.graph(), objective, variables.clone());
            passes.evaluate(&model, &Labelled(&samples), 0..N).unwrap();
            let mut sums = GraphSums::zeros(&variables, 1);
            passes.hessian(&model, &GraphDirections::new(&variables, vector), &mut sums);
            let mut of_graph = Mat::zeros(P, 1);
            sums.add_to(&variables, 1.0 / N as f64, of_graph.as_mut());
            let largest = product.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            let far = |(i, x): (usize, &f64)| (x - of_graph[(i, 0)]).abs() > 1e-12 * largest.max(1e-3);
            assert!(!product.iter().enumerate().any(far), "{loss}");
        }
    }
}
