//! The table of cases: every operation by itself, and small networks.

use super::parts::{attention, layer_norm};
use superlinear_nets::{
    Arithmetic, AveragePool, BatchNorm, Concatenate, Convolution, Dense, Embedding, Expand, Function, Gather, Graph,
    GraphBuilder, MatrixProduct, MaxPool, Normalise, Reduce, Reduction, Reshape, Slice, Softmax, Together, Transpose,
    WeightOrder, Window,
};

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

pub(crate) fn operations() -> Vec<(String, Graph)> {
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

pub(crate) fn networks() -> Vec<(String, Graph)> {
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
