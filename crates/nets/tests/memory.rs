//! Passes hold what their estimate says.

mod parts;

use faer::Mat;
use parts::{attention, dense, layer_norm};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_nets::{
    Arithmetic, Convolution, Criterion, DenseGraphSamples, Function, Graph, GraphBuilder, GraphDirections, GraphPasses,
    GraphSums, MaxPool, MemoryEstimate, Model, Reshape, Variables, Window,
};

fn transformer() -> Graph {
    let (tokens, d) = (8, 16);
    let mut builder = GraphBuilder::new().input("x", [tokens, d]);
    let mut x = "x".to_owned();
    for layer in 0..3 {
        let id = |part: &str| format!("{part}{layer}");
        builder = attention(layer_norm(builder, &id("n"), &x, d), &id("att"), &id("n"), tokens, d, 4).node(
            id("mid"),
            Arithmetic::Add,
            [x, format!("att{layer}.out")],
        );
        builder = dense(builder, &id("up"), &id("mid"), 32, d).node(id("g"), Function::Gelu, [id("up")]);
        builder = dense(builder, &id("down"), &id("g"), d, 32).node(id("h"), Arithmetic::Add, [id("mid"), id("down")]);
        x = id("h");
    }
    let builder = builder.node("flat", Reshape { shape: vec![tokens * d] }, [x]);
    dense(builder, "head", "flat", 4, tokens * d).build("head").unwrap()
}

fn images() -> Graph {
    let window = Window::square(3).padding(1);
    let builder = GraphBuilder::new()
        .input("x", [2, 16, 16])
        .parameter("c1", [8, 2, 3, 3])
        .parameter("c2", [8, 8, 3, 3])
        .node("z1", Convolution { window, groups: 1 }, ["x", "c1"])
        .node("a1", Function::Relu, ["z1"])
        .node("p1", MaxPool { window: Window::square(2).stride(2) }, ["a1"])
        .node("z2", Convolution { window, groups: 1 }, ["p1", "c2"])
        .node("a2", Function::Silu, ["z2"])
        .node("flat", Reshape { shape: vec![512] }, ["a2"]);
    dense(builder, "head", "flat", 4, 512).build("head").unwrap()
}

#[test]
fn passes_hold_what_was_estimated() {
    for (name, graph) in [("transformer", transformer()), ("images", images())] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let model = Model::<f64>::init(graph, &mut rng, |_| Some(vec![2.0])).unwrap();
        let graph = model.graph();
        let input = graph.inputs().next().unwrap();
        let dim = graph.shape(input).iter().product();
        for (n, k) in [(1, 1), (16, 1), (16, 4)] {
            let inputs = Mat::from_fn(dim, n, |_, _| rng.random::<f64>());
            let samples = DenseGraphSamples::new(vec![inputs], Mat::zeros(1, n));
            let variables = Variables::all(graph);
            let vectors = Mat::from_fn(variables.n_params(), k, |_, _| rng.random::<f64>());
            let directions = GraphDirections::new(&variables, vectors.as_ref());
            let mut sums = GraphSums::zeros(&variables, k);
            let estimate = MemoryEstimate::of::<f64>(graph, &variables, n, k);
            let mut run = || {
                let mut passes = GraphPasses::new(graph, Criterion::cross_entropy().into(), variables.clone());
                for _ in 0..3 {
                    passes.evaluate(&model, &samples, 0..n).unwrap();
                    passes.hessian(&model, &directions, &mut sums);
                }
            };
            // Matrix products set memory of their own aside, once a thread.
            run();
            let measured = allocation_counter::measure(run);
            let (most, estimated) = (measured.bytes_max, estimate.block + estimate.product);
            // Beside numbers there are lists of operands and the buffers of small products.
            assert!(most <= estimated + (64 << 10), "{name} {n} {k}: {most} of {estimated}");
            assert!(most >= estimated / 3, "{name} {n} {k}: {most} of {estimated}");
        }
    }
}
