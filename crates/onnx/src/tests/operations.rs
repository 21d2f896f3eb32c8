//! Single operations against the formulas of ONNX.

use super::{File, float, int, ints, text};
use crate::{Options, from_bytes};

const X: [f64; 4] = [0.3, -1.2, 2.5, -0.1];

#[track_caller]
fn close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (x, y) in found.iter().zip(expected) {
        assert!((x - y).abs() <= 1e-14 * y.abs().max(1.0), "{what}: {found:?}, {expected:?}");
    }
}

#[test]
fn functions_are_those_of_onnx() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
    let softplus = |x: f64| x.exp().ln_1p();
    type Case<'a> = (&'a str, Vec<crate::proto::AttributeProto>, Box<dyn Fn(f64) -> f64>);
    let of = |f: fn(f64) -> f64| -> Box<dyn Fn(f64) -> f64> { Box::new(f) };
    let cases: Vec<Case<'_>> = vec![
        ("Relu", vec![], of(|x| x.max(0.0))),
        ("LeakyRelu", vec![], of(|x| if x > 0.0 { x } else { 0.01 * x })),
        ("Elu", vec![float("alpha", 0.3)], Box::new(move |x| if x > 0.0 { x } else { 0.3 * elu(x) })),
        ("Sigmoid", vec![], Box::new(sigmoid)),
        ("Tanh", vec![], of(f64::tanh)),
        ("Softplus", vec![], Box::new(softplus)),
        ("Softsign", vec![], of(|x| x / (1.0 + x.abs()))),
        ("Mish", vec![], Box::new(move |x| x * softplus(x).tanh())),
        ("HardSigmoid", vec![], of(|x| (0.2 * x + 0.5).clamp(0.0, 1.0))),
        ("HardSigmoid", vec![float("alpha", 0.5), float("beta", 0.25)], of(|x| (0.5 * x + 0.25).clamp(0.0, 1.0))),
        ("HardSwish", vec![], of(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
        ("Selu", vec![], Box::new(move |x| 1.0507009873554805 * if x > 0.0 { x } else { 1.6732632423543772 * elu(x) })),
        ("Exp", vec![], of(f64::exp)),
        ("Abs", vec![], of(f64::abs)),
        ("Neg", vec![], of(|x| -x)),
        ("Reciprocal", vec![], of(|x| 1.0 / x)),
    ];
    for (op, attributes, f) in cases {
        let found = File::new(&[0, 4]).node(op, &["x"], "y", &attributes).gives(&X);
        close(op, &found, &X.map(&*f));
    }
    for op in ["Sqrt", "Log"] {
        let f = if op == "Sqrt" { f64::sqrt } else { f64::ln };
        let positive = X.map(f64::abs);
        close(op, &File::new(&[0, 4]).node(op, &["x"], "y", &[]).gives(&positive), &positive.map(f));
    }
    // Far from 0 a softplus is a line, exactly.
    assert_eq!(File::new(&[0, 2]).node("Softplus", &["x"], "y", &[]).gives(&[800.0, 40.0]), [800.0, 40.0]);
}

#[test]
fn arithmetic_is_in_the_order_of_operands() {
    let w = [2.0, 4.0, -0.5, 8.0];
    let with = |op: &str, operands: [&str; 2]| {
        let file = File::new(&[0, 4]).floats("w", &[4], &w.map(|x| x as f32));
        file.node(op, &operands, "y", &[]).gives(&X)
    };
    type Pair = fn(f64, f64) -> f64;
    let cases: [(&str, Pair); 5] = [
        ("Add", |x, w| x + w),
        ("Sub", |x, w| x - w),
        ("Mul", |x, w| x * w),
        ("Div", |x, w| x / w),
        ("Sum", |x, w| x + w),
    ];
    for (op, f) in cases {
        let pairs = |f: &dyn Fn(f64, f64) -> f64| X.iter().zip(w).map(|(&x, w)| f(x, w)).collect::<Vec<_>>();
        close(op, &with(op, ["x", "w"]), &pairs(&f));
        close(op, &with(op, ["w", "x"]), &pairs(&|x, w| f(w, x)));
    }
    for (exponent, f) in
        [(2.0_f32, (|x| x * x) as fn(f64) -> f64), (3.0, |x| x * x * x), (1.0, |x| x), (-1.0, f64::recip)]
    {
        let file = File::new(&[0, 4]).floats("e", &[], &[exponent]).node("Pow", &["x", "e"], "z", &[]);
        close(&format!("to the power of {exponent}"), &file.node("Neg", &["z"], "y", &[]).gives(&X), &X.map(|x| -f(x)));
    }
    let clip = |operands: &[&str]| {
        let file = File::new(&[0, 4]).floats("low", &[], &[-0.5]).floats("high", &[], &[0.2]);
        file.node("Clip", operands, "y", &[]).gives(&X)
    };
    assert_eq!(clip(&["x", "low"]), [0.3, -0.5, 2.5, -0.1]);
    assert_eq!(clip(&["x", "", "high"]), [0.2, -1.2, 0.2, -0.1]);
    assert_eq!(clip(&["x", "low", "high"]), [0.2, -0.5, 0.2, -0.1]);
}

/// Of `(channels, 2)`, in groups, by ONNX's formula.
fn normalised(x: &[f64], groups: usize) -> Vec<f64> {
    let normal = |x: &[f64]| {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        x.iter().map(|x| (x - mean) / (variance + 1e-3).sqrt()).collect::<Vec<_>>()
    };
    x.chunks(x.len() / groups).flat_map(normal).collect()
}

/// The scale is one a group until version 21, and one a channel since.
#[test]
fn groups_are_scaled_as_their_version_says() {
    let x = [0.3, -1.2, 2.5, -0.1, 0.7, 0.2, -0.4, 1.5];
    let scales = [2.0, -1.0, 0.5, 3.0];
    let shifts = [0.25, 1.0, -2.0, 0.0];
    let file = |op: &str, n: usize, opset: i64| {
        let numbers = |x: &[f64]| x[..n].iter().map(|&x| x as f32).collect::<Vec<_>>();
        let file = File::new(&[0, 4, 2])
            .floats("s", &[n as i64], &numbers(&scales))
            .floats("b", &[n as i64], &numbers(&shifts))
            .node(op, &["x", "s", "b"], "y", &[float("epsilon", 1e-3), int("num_groups", 2)]);
        from_bytes(&file.bytes_of(opset), None, &Options::default())
    };
    let expected = |groups: usize, each: usize| -> Vec<f64> {
        let normal = normalised(&x, groups).into_iter().enumerate();
        normal.map(|(i, x)| x * scales[i / each] + shifts[i / each]).collect()
    };
    for (op, n, opset, groups, each) in [
        ("GroupNormalization", 2, 18, 2, 4),
        ("GroupNormalization", 2, 20, 2, 4),
        ("GroupNormalization", 4, 21, 2, 2),
        ("InstanceNormalization", 4, 18, 4, 2),
    ] {
        let found = super::outputs(&file(op, n, opset).unwrap(), &x);
        close(&format!("{op} {opset}"), &found, &expected(groups, each));
    }
    assert!(file("GroupNormalization", 4, 18).is_err() && file("GroupNormalization", 2, 21).is_err());
}

/// Samples of one value never meet entries, or other samples, of another.
#[test]
fn samples_meet_along_one_axis() {
    let turned = |shape: &[i64]| File::new(shape).node("Transpose", &["x"], "t", &[ints("perm", &[1, 0, 2])]);
    for op in ["Add", "Mul"] {
        let refused = turned(&[0, 2, 2]).node(op, &["x", "t"], "y", &[]).refused();
        assert!(refused.contains("samples along"), "{op}: {refused}");
    }
    let joined = turned(&[0, 2, 2]).node("Concat", &["x", "t"], "y", &[int("axis", 2)]).refused();
    assert!(joined.contains("the same samples"), "{joined}");
    let table = File::new(&[0, 2, 2]).floats("w", &[3, 2, 2], &[1.0; 12]).node("Add", &["x", "w"], "y", &[]);
    assert!(table.refused().contains("without samples"));
    // Turned back, they are the samples that they were.
    let back = turned(&[0, 2, 2]).node("Transpose", &["t"], "b", &[ints("perm", &[1, 0, 2])]);
    assert_eq!(back.node("Sub", &["x", "b"], "y", &[]).gives(&X), [0.0; 4]);
}

#[test]
fn axes_are_moved_as_attributes_say() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let file = || File::new(&[0, 2, 3]);
    let reduced = |op: &str, attributes: &[_]| file().node(op, &["x"], "y", attributes).gives(&x);
    assert_eq!(reduced("ReduceSum", &[ints("axes", &[1])]), [5.0, 7.0, 9.0]);
    assert_eq!(reduced("ReduceMean", &[ints("axes", &[-1]), int("keepdims", 0)]), [2.0, 5.0]);
    assert_eq!(reduced("Transpose", &[ints("perm", &[0, 2, 1])]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let split = file().node("Split", &["x"], "a b", &[int("axis", 2), int("num_outputs", 2)]);
    assert_eq!(split.node("Concat", &["b", "a"], "y", &[int("axis", 2)]).gives(&x), [3.0, 1.0, 2.0, 6.0, 4.0, 5.0]);
    let sliced = file().ints("start", &[-2]).ints("end", &[i64::MAX]).ints("axes", &[2]);
    let sliced = sliced.node("Slice", &["x", "start", "end", "axes"], "y", &[]);
    assert_eq!(sliced.gives(&x), [2.0, 3.0, 5.0, 6.0]);
    let every_other = file().ints("start", &[0]).ints("end", &[3]).ints("axes", &[2]).ints("steps", &[2]);
    let every_other = every_other.node("Slice", &["x", "start", "end", "axes", "steps"], "y", &[]);
    assert_eq!(every_other.gives(&x), [1.0, 3.0, 4.0, 6.0]);
    let chosen = file().ints("at", &[2, 0, -1]).node("Gather", &["x", "at"], "y", &[int("axis", 2)]);
    assert_eq!(chosen.gives(&x), [3.0, 1.0, 3.0, 6.0, 4.0, 6.0]);
    let softmax = file().node("Softmax", &["x"], "y", &[int("axis", 1)]).gives(&x);
    let share = 1.0 / (1.0 + 3.0_f64.exp());
    close("softmax", &softmax, &[share, share, share, 1.0 - share, 1.0 - share, 1.0 - share]);
    let gelu = |how: &str| File::new(&[0, 1]).node("Gelu", &["x"], "y", &[text("approximate", how)]);
    close("gelu", &gelu("none").gives(&[1.0]), &[0.841344746068543]);
    close("gelu by tanh", &gelu("tanh").gives(&[1.0]), &[0.8411919906082768]);
    assert!(gelu("other").refused().contains("approximate"));
}
