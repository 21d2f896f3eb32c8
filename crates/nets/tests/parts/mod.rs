//! Parts that networks are made of.
#![allow(dead_code, non_snake_case)]

use superlinear_nets::{
    Arithmetic, Dense, GraphBuilder, MatrixProduct, Normalise, Reshape, Slice, Softmax, Together, Transpose,
};

/// `layer(x)` with a weight and bias of its own.
pub(crate) fn dense(builder: GraphBuilder, name: &str, x: &str, d_out: usize, d_in: usize) -> GraphBuilder {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    builder.parameter(&*weight, [d_out, d_in]).parameter(&*bias, [d_out]).node(
        name,
        Dense::default(),
        [x, &weight, &bias],
    )
}

pub(crate) fn layer_norm(builder: GraphBuilder, name: &str, x: &str, d: usize) -> GraphBuilder {
    let [normal, scaled, weight, bias] = ["normal", "scaled", "weight", "bias"].map(|part| format!("{name}.{part}"));
    builder
        .parameter(&*weight, [d])
        .parameter(&*bias, [d])
        .node(&*normal, Normalise { together: Together::Last(1), centred: true, epsilon: 1e-5 }, [x])
        .node(&*scaled, Arithmetic::Multiply, [&*normal, &weight])
        .node(name, Arithmetic::Add, [&*scaled, &bias])
}

/// Attention of `heads` over `T` tokens of width `d`, from `x` to `name.out`.
pub(crate) fn attention(builder: GraphBuilder, name: &str, x: &str, T: usize, d: usize, heads: usize) -> GraphBuilder {
    let id = |part: &str| format!("{name}.{part}");
    let mut builder = dense(builder, &id("qkv"), x, 3 * d, d)
        .node(id("split"), Reshape { shape: vec![T, 3, heads, d / heads] }, [id("qkv")])
        .node(id("heads"), Transpose { axes: vec![1, 2, 0, 3] }, [id("split")]);
    for (i, part) in ["q", "k", "v"].into_iter().enumerate() {
        builder = builder
            .node(id(&format!("{part}1")), Slice { axis: 0, start: i, end: i + 1, step: 1 }, [id("heads")])
            .node(id(part), Reshape { shape: vec![heads, T, d / heads] }, [id(&format!("{part}1"))]);
    }
    builder = builder
        .node(id("kt"), Transpose { axes: vec![0, 2, 1] }, [id("k")])
        .node(id("scores"), MatrixProduct, [id("q"), id("kt")])
        .constant(id("root"), [1])
        .node(id("scaled"), Arithmetic::Divide, [id("scores"), id("root")])
        .node(id("weights"), Softmax, [id("scaled")])
        .node(id("mixed"), MatrixProduct, [id("weights"), id("v")])
        .node(id("back"), Transpose { axes: vec![1, 0, 2] }, [id("mixed")])
        .node(id("joined"), Reshape { shape: vec![T, d] }, [id("back")]);
    dense(builder, &id("out"), &id("joined"), d, d)
}
