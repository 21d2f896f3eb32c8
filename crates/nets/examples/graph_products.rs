//! Time of a gradient and of Hessian products over all parameters of a ResNet-20 and of a transformer, on one thread.
//!
//! `cargo run --release -p superlinear-nets --example graph_products`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use superlinear_nets::{
    Arithmetic, BatchNorm, Convolution, Criterion, Dense, DenseGraphSamples, Embedding, Function, Graph, GraphBuilder,
    GraphDirections, GraphError, GraphPasses, GraphSums, MatrixProduct, MemoryEstimate, Model, Normalise, Objective,
    Reduce, Reduction, Reshape, Slice, Softmax, Together, Transpose, Variables, Window,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    for (name, graph, block) in [("ResNet-20", resnet_20()?, 8), ("transformer, 4 × 64", transformer()?, 16)] {
        pool.install(|| measure::<f64>(name, graph.clone(), block))?;
        pool.install(|| measure::<f32>(name, graph, block))?;
    }
    Ok(())
}

fn measure<T: superlinear_nets::Scalar>(name: &str, graph: Graph, n: usize) -> Result<(), GraphError> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let roots = |name: &str| match name {
        "root" => vec![T::of(4.0)],
        name if name.ends_with("mean") => vec![T::ZERO; 64],
        _ => vec![T::ONE; 64],
    };
    let sizes: Vec<(String, usize)> = graph
        .tensors(superlinear_nets::TensorRole::Constant)
        .map(|value| (graph.name(value).to_owned(), graph.shape(value).iter().product()))
        .collect();
    let constants = |name: &str| {
        let size = sizes.iter().find(|(own, _)| own == name)?.1;
        Some(roots(name).into_iter().take(size).collect())
    };
    let model = Model::<T>::init(graph, &mut rng, constants)?;
    let graph = model.graph().clone();
    let inputs = graph.inputs().map(|value| {
        let ids = graph.name(value) == "ids";
        let entry = |rng: &mut ChaCha8Rng| if ids { rng.random_range(0..32) as f64 } else { rng.random::<f64>() };
        Mat::from_fn(graph.shape(value).iter().product(), n, |_, _| T::of(entry(&mut rng)))
    });
    let samples = DenseGraphSamples::new(inputs.collect(), Mat::from_fn(1, n, |_, p| (p % 10) as f64));
    let variables = Variables::all(&graph);
    let P = variables.n_params();
    let mut passes = GraphPasses::new(&graph, Objective::from(Criterion::cross_entropy()), variables.clone());
    let mut gradient = GraphSums::zeros(&variables, 1);
    let best = |f: &mut dyn FnMut()| {
        (0..25).map(|_| (Instant::now(), f()).0.elapsed().as_secs_f64()).fold(f64::INFINITY, f64::min)
    };
    let first = best(&mut || {
        passes.gradient(&model, &samples, 0..n, &mut gradient).expect("samples fit");
    });
    println!("{name}, {} bits, {P} parameters, {n} samples: gradient {:.1} ms", 8 * size_of::<T>(), 1e3 * first);
    for k in [1, 4] {
        let vectors = Mat::from_fn(P, k, |_, _| T::of(rng.random::<f64>() - 0.5));
        let directions = GraphDirections::new(&variables, vectors.as_ref());
        let mut sums = GraphSums::zeros(&variables, k);
        let product = best(&mut || {
            passes.evaluate(&model, &samples, 0..n).expect("samples fit");
            passes.hessian(&model, &directions, &mut sums);
        });
        let per_vector = product / k as f64;
        let memory = MemoryEstimate::of::<T>(&graph, &variables, n, k);
        println!(
            "  {k} at once: {:.1} ms a product, {:.2} gradients, {} MiB of values and {} MiB of tangents",
            1e3 * per_vector,
            per_vector / first,
            memory.block >> 20,
            memory.product >> 20
        );
    }
    Ok(())
}

fn conv_norm(builder: GraphBuilder, name: &str, x: &str, channels: [usize; 2], window: Window) -> GraphBuilder {
    let [weight, gamma, beta, mean, variance] =
        ["weight", "gamma", "beta", "mean", "variance"].map(|part| format!("{name}.{part}"));
    let [c_in, c_out] = channels;
    builder
        .parameter(&*weight, [c_out, c_in, window.kernel[0], window.kernel[1]])
        .parameter_with(&*gamma, [c_out], superlinear_nets::Init::Constant(1.0))
        .parameter(&*beta, [c_out])
        .constant(&*mean, [c_out])
        .constant(&*variance, [c_out])
        .node(format!("{name}.conv"), Convolution { window, groups: 1 }, [x, &weight])
        .node(name, BatchNorm { epsilon: 1e-5 }, [&*format!("{name}.conv"), &gamma, &beta, &mean, &variance])
}

fn resnet_20() -> Result<Graph, GraphError> {
    let three = Window::square(3).padding(1);
    let builder = conv_norm(GraphBuilder::new().input("x", [3, 32, 32]), "stem", "x", [3, 16], three);
    let mut builder = builder.node("s0", Function::Relu, ["stem"]);
    let (mut x, mut c_in) = ("s0".to_owned(), 16);
    for block in 0..9 {
        let c_out = [16, 32, 64][block / 3];
        let window = if c_out == c_in { three } else { three.stride(2) };
        let id = |part: &str| format!("b{block}.{part}");
        builder = conv_norm(builder, &id("c1"), &x, [c_in, c_out], window).node(id("r"), Function::Relu, [id("c1")]);
        builder = conv_norm(builder, &id("c2"), &id("r"), [c_out, c_out], three);
        let mut short = x;
        if c_in != c_out {
            builder = conv_norm(builder, &id("short"), &short, [c_in, c_out], Window::square(1).stride(2));
            short = id("short");
        }
        builder =
            builder.node(id("sum"), Arithmetic::Add, [id("c2"), short]).node(id("out"), Function::Relu, [id("sum")]);
        (x, c_in) = (id("out"), c_out);
    }
    builder
        .node("pooled", Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keeps_axes: false }, [x])
        .parameter("fc.weight", [10, 64])
        .parameter("fc.bias", [10])
        .node("logits", Dense::default(), ["pooled", "fc.weight", "fc.bias"])
        .build("logits")
}

fn dense(builder: GraphBuilder, name: &str, x: &str, d_out: usize, d_in: usize) -> GraphBuilder {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    builder.parameter(&*weight, [d_out, d_in]).parameter(&*bias, [d_out]).node(
        name,
        Dense::default(),
        [x, &weight, &bias],
    )
}

fn layer_norm(builder: GraphBuilder, name: &str, x: &str, d: usize) -> GraphBuilder {
    let [normal, scaled, weight, bias] = ["normal", "scaled", "weight", "bias"].map(|part| format!("{name}.{part}"));
    builder
        .parameter_with(&*weight, [d], superlinear_nets::Init::Constant(1.0))
        .parameter(&*bias, [d])
        .node(&*normal, Normalise { together: Together::Last(1), centred: true, epsilon: 1e-5 }, [x])
        .node(&*scaled, Arithmetic::Multiply, [&*normal, &weight])
        .node(name, Arithmetic::Add, [&*scaled, &bias])
}

fn transformer() -> Result<Graph, GraphError> {
    let (tokens, d, heads) = (16, 64, 4);
    let mut builder = GraphBuilder::new()
        .input("ids", [tokens])
        .parameter("table", [32, d])
        .parameter("pos", [tokens, d])
        .constant("root", [1])
        .node("e", Embedding, ["table", "ids"])
        .node("h0", Arithmetic::Add, ["e", "pos"]);
    for layer in 0..4 {
        let id = |part: &str| format!("l{layer}.{part}");
        let x = format!("h{layer}");
        builder = dense(layer_norm(builder, &id("n1"), &x, d), &id("qkv"), &id("n1"), 3 * d, d).node(
            id("split"),
            Reshape { shape: vec![tokens, 3, heads, d / heads] },
            [id("qkv")],
        );
        for (i, part) in ["q", "k", "v"].into_iter().enumerate() {
            // Keys are wanted transposed.
            let axes = if part == "k" { vec![1, 2, 0] } else { vec![1, 0, 2] };
            builder = builder
                .node(id(&format!("{part}1")), Slice { axis: 1, start: i, end: i + 1, step: 1 }, [id("split")])
                .node(
                    id(&format!("{part}2")),
                    Reshape { shape: vec![tokens, heads, d / heads] },
                    [id(&format!("{part}1"))],
                )
                .node(id(part), Transpose { axes }, [id(&format!("{part}2"))]);
        }
        builder = builder
            .node(id("scores"), MatrixProduct, [id("q"), id("k")])
            .node(id("scaled"), Arithmetic::Divide, [id("scores"), "root".to_owned()])
            .node(id("weights"), Softmax, [id("scaled")])
            .node(id("mixed"), MatrixProduct, [id("weights"), id("v")])
            .node(id("back"), Transpose { axes: vec![1, 0, 2] }, [id("mixed")])
            .node(id("joined"), Reshape { shape: vec![tokens, d] }, [id("back")]);
        builder = dense(builder, &id("out"), &id("joined"), d, d).node(id("mid"), Arithmetic::Add, [x, id("out")]);
        builder = dense(layer_norm(builder, &id("n2"), &id("mid"), d), &id("up"), &id("n2"), 4 * d, d);
        builder = dense(builder.node(id("gelu"), Function::Gelu, [id("up")]), &id("down"), &id("gelu"), d, 4 * d).node(
            format!("h{}", layer + 1),
            Arithmetic::Add,
            [id("mid"), id("down")],
        );
    }
    let mean = Reduce { reduction: Reduction::Mean, axes: vec![0], keeps_axes: false };
    let builder = layer_norm(builder, "n", "h4", d).node("mean", mean, ["n"]);
    dense(builder, "head", "mean", 10, d).build("head")
}
