//! Files made by hand: single operations, numbers of all types, and what is no network.

mod exchanged;
mod operations;

use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{OnnxError, OnnxModel, Options, from_bytes};
use prost::Message;
use superlinear_nets::DenseGraphSamples;

const FLOAT: i32 = 1;
const INT64: i32 = 7;

/// A file in the making.
#[derive(Clone, Default)]
struct File(GraphProto);

fn dims(shape: &[i64]) -> TensorShapeProto {
    let dim = |&n: &i64| match n {
        0 => DimensionProto { dim_value: None, dim_param: Some("N".into()) },
        n => DimensionProto { dim_value: Some(n), dim_param: None },
    };
    TensorShapeProto { dim: shape.iter().map(dim).collect() }
}

fn info(name: &str, elem_type: i32, shape: &[i64]) -> ValueInfoProto {
    let tensor = TensorTypeProto { elem_type, shape: Some(dims(shape)) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

fn floats(name: &str, shape: &[i64], numbers: &[f32]) -> TensorProto {
    let raw = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto { name: name.into(), dims: shape.to_vec(), data_type: FLOAT, raw_data: Some(raw), ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, ..Default::default() }
}

fn ints(name: &str, list: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: list.to_vec(), ..Default::default() }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, ..Default::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.into(), ..Default::default() }
}

impl File {
    /// One input `x`; an axis of 0 is open.
    fn new(shape: &[i64]) -> Self {
        let (input, output) = (vec![info("x", FLOAT, shape)], vec![info("y", FLOAT, &[0])]);
        Self(GraphProto { input, output, ..Default::default() })
    }

    fn node(mut self, op: &str, input: &[&str], output: &str, attribute: &[AttributeProto]) -> Self {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let output = output.split(' ').map(str::to_owned).collect();
        self.0.node.push(NodeProto {
            input: strings(input),
            output,
            op_type: op.into(),
            attribute: attribute.to_vec(),
            ..Default::default()
        });
        self
    }

    fn floats(self, name: &str, shape: &[i64], numbers: &[f32]) -> Self {
        self.tensor(floats(name, shape, numbers))
    }

    fn ints(self, name: &str, numbers: &[i64]) -> Self {
        let (dims, int64_data) = (vec![numbers.len() as i64], numbers.to_vec());
        self.tensor(TensorProto { name: name.into(), dims, data_type: INT64, int64_data, ..Default::default() })
    }

    fn tensor(mut self, tensor: TensorProto) -> Self {
        self.0.initializer.push(tensor);
        self
    }

    fn bytes_of(self, opset: i64) -> Vec<u8> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
        ModelProto { graph: Some(self.0), opset_import, ..Default::default() }.encode_to_vec()
    }

    fn bytes(self) -> Vec<u8> {
        self.bytes_of(18)
    }

    fn read(self) -> Result<OnnxModel, OnnxError> {
        from_bytes(&self.bytes(), None, &Options::default())
    }

    #[track_caller]
    fn refused(self) -> String {
        self.read().expect_err("no network").to_string()
    }

    /// What the file's network gives for one sample.
    #[track_caller]
    fn gives(self, x: &[f64]) -> Vec<f64> {
        outputs(&self.read().unwrap_or_else(|error| panic!("{error}")), x)
    }
}

#[track_caller]
fn outputs(read: &OnnxModel, x: &[f64]) -> Vec<f64> {
    let x = faer::Mat::from_fn(x.len(), 1, |i, _| x[i]);
    let samples = DenseGraphSamples::new(vec![x], faer::Mat::zeros(1, 1));
    read.model().outputs(&samples, 0..1).unwrap().col_as_slice(0).to_vec()
}

const W: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

#[test]
fn products_of_every_orientation_and_scale() {
    let x = [1.0, -2.0];
    // (2, 3) times: 1·[1,2,3] − 2·[4,5,6].
    let straight = [-7.0, -8.0, -9.0];
    // (3, 2) transposed: [1−4, 3−8, 5−12].
    let turned = [-3.0, -5.0, -7.0];
    let gemm = |shape: &[i64], attributes: &[AttributeProto], name: &str| {
        let file = File::new(&[0, 2]).floats(name, shape, &W).floats("b", &[3], &[1.0, 0.0, -1.0]);
        file.node("Gemm", &["x", name, "b"], "y", attributes)
    };
    for name in ["w", "onnx::MatMul_7"] {
        assert_eq!(gemm(&[2, 3], &[], name).gives(&x), [-6.0, -8.0, -10.0]);
        assert_eq!(gemm(&[3, 2], &[int("transB", 1)], name).gives(&x), [-2.0, -5.0, -8.0]);
        let scaled = [int("transB", 1), float("alpha", 0.5), float("beta", 2.0)];
        assert_eq!(gemm(&[3, 2], &scaled, name).gives(&x), [0.5, -2.5, -5.5]);
        assert_eq!(gemm(&[3, 2], &[int("transB", 1), float("beta", 0.0)], name).gives(&x), turned);
        let product = File::new(&[0, 2]).floats(name, &[2, 3], &W).node("MatMul", &["x", name], "y", &[]);
        assert_eq!(product.gives(&x), straight);
    }
    // A weight in both forms stays as it is in the file.
    let both = File::new(&[0, 2])
        .floats("onnx::MatMul_7", &[2, 2], &W[..4])
        .node("MatMul", &["x", "onnx::MatMul_7"], "a", &[])
        .node("Transpose", &["onnx::MatMul_7"], "t", &[ints("perm", &[1, 0])])
        .node("MatMul", &["a", "t"], "y", &[]);
    // [1−6, 2−8] = [−5, −6], times the transpose.
    assert_eq!(both.gives(&x), [-17.0, -39.0]);
    assert!(gemm(&[2, 3], &[int("transA", 1)], "w").refused().contains("transA"));
    assert!(gemm(&[3, 2], &[], "w").refused().contains("found a value (N, 2) times (3, 2)"));
}

#[test]
fn numbers_of_all_types_are_widened_exactly() {
    let bits = |name: &str, data_type: i32, raw: Vec<u8>| {
        let tensor =
            TensorProto { name: name.into(), dims: vec![2], data_type, raw_data: Some(raw), ..Default::default() };
        File::new(&[0, 2]).tensor(tensor).node("Mul", &["x", name], "y", &[]).gives(&[1.0, 1.0])
    };
    assert_eq!(bits("half", 10, vec![0x55, 0x35, 0x00, 0xc0]), [0.333251953125, -2.0]);
    assert_eq!(bits("brain", 16, vec![0xab, 0x3e, 0x80, 0xbf]), [0.333984375, -1.0]);
    let double = [0.1_f64, 1e-300].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(bits("double", 11, double), [0.1, 1e-300]);
    let tensor =
        TensorProto { name: "w".into(), dims: vec![], data_type: 1, float_data: vec![0.1], ..Default::default() };
    let scalar = File::new(&[0, 2]).tensor(tensor).node("Mul", &["x", "w"], "y", &[]);
    assert_eq!(scalar.gives(&[1.0, 2.0]), [f64::from(0.1_f32), 2.0 * f64::from(0.1_f32)]);
}

#[test]
fn data_beside_the_file_is_read_and_stays_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("model");
    std::fs::create_dir(&inner).unwrap();
    let numbers: Vec<u8> = [9.0_f32, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(inner.join("net.data"), &numbers).unwrap();
    std::fs::write(folder.path().join("outside"), &numbers).unwrap();
    let file = |location: &str, offset: &str, n: i64| {
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
        let external_data = vec![entry("location", location), entry("offset", offset)];
        let tensor = TensorProto {
            name: "w".into(),
            dims: vec![n],
            data_type: FLOAT,
            data_location: 1,
            external_data,
            ..Default::default()
        };
        File::new(&[0, 2]).tensor(tensor).node("Mul", &["x", "w"], "y", &[]).bytes()
    };
    let path = inner.join("net.onnx");
    std::fs::write(&path, file("net.data", "4", 2)).unwrap();
    assert_eq!(outputs(&crate::read(&path).unwrap(), &[1.0, 1.0]), [3.0, 4.0]);
    let refused = |bytes: &[u8], with: Option<&std::path::Path>| {
        from_bytes(bytes, with, &Options::default()).unwrap_err().to_string()
    };
    let at = Some(&*inner);
    for location in ["../outside", "/etc/hostname", "a/../../outside", "..\\outside", ""] {
        assert!(refused(&file(location, "0", 2), at).contains("folder or below"), "{location}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("outside"), inner.join("link")).unwrap();
        assert!(refused(&file("link", "4", 2), at).contains("a link"));
    }
    assert!(refused(&file("none.data", "0", 2), at).contains("none.data"));
    assert!(refused(&file("net.data", "8", 2), at).contains("found 4 bytes at 8"));
    assert!(refused(&file("net.data", "4", 1 << 29), at).contains("found 8 bytes at 4"));
    assert!(refused(&file("net.data", "x", 2), at).contains("a number of bytes"));
    assert!(refused(&file("net.data", "4", 2), None).contains("a model that is read from a folder"));
}

#[test]
fn all_that_is_not_read_is_named_at_once() {
    let mut file = File::new(&[0, 2])
        .node("NonZero", &["x"], "a", &[])
        .node("Relu", &["a"], "b", &[])
        .node("Einsum", &["b"], "c", &[])
        .node("MaxPool", &["x"], "p", &[])
        .node("LogSoftmax", &["x"], "d", &[])
        .node("Loop", &["x"], "unused", &[])
        .node("Add", &["c", "d"], "y", &[]);
    file.0.node[2].name = "layer/einsum".into();
    let Err(OnnxError::Unsupported(nodes)) = file.read() else { panic!() };
    let named: Vec<(&str, &str)> = nodes.iter().map(|node| (&*node.node, &*node.operation)).collect();
    assert_eq!(named, [("a", "NonZero"), ("layer/einsum", "Einsum"), ("d", "LogSoftmax")]);
    assert!(nodes[2].why.contains(r#"read the output "x""#) && nodes[2].why.contains("logits"), "{}", nodes[2].why);
    let own = File::new(&[0, 2]).node("Relu", &["x"], "y", &[]);
    let mut own = own.clone();
    own.0.node[0].domain = "com.microsoft".into();
    assert!(own.refused().contains("com.microsoft"));
}

#[test]
fn another_output_may_be_read() {
    let file = File::new(&[0, 2]).node("Relu", &["x"], "z", &[]).node("LogSoftmax", &["z"], "y", &[]).bytes();
    let read =
        |output: &str| from_bytes(&file, None, &Options { output: Some(output.to_owned()), ..Default::default() });
    assert_eq!(outputs(&read("z").unwrap(), &[-1.0, 2.0]), [0.0, 2.0]);
    assert!(read("zz").unwrap_err().to_string().contains("no value of that name"));
    let mut two = File::new(&[0, 2]).node("Relu", &["x"], "z", &[]).node("Exp", &["z"], "y", &[]);
    two.0.output.push(info("z", FLOAT, &[0]));
    assert!(two.refused().contains(r#"2 outputs, ["y", "z"]"#));
}

#[test]
fn tables_may_be_constants() {
    let file = File::new(&[0, 2])
        .floats("table", &[2], &[3.0, 4.0])
        .floats("scale", &[2], &[1.0, 2.0])
        .node("Mul", &["x", "table"], "z", &[])
        .node("Mul", &["z", "scale"], "y", &[])
        .bytes();
    let read = |constants: &[&str]| {
        let constants = constants.iter().map(|&name| name.to_owned()).collect();
        from_bytes(&file, None, &Options { constants, ..Default::default() })
    };
    let names = |read: &OnnxModel| read.parameters().iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    let (all, fewer) = (read(&[]).unwrap(), read(&["table"]).unwrap());
    assert_eq!((names(&all), names(&fewer)), (vec!["table".into(), "scale".into()], vec!["scale".into()]));
    assert_eq!(outputs(&fewer, &[1.0, 1.0]), [3.0, 8.0]);
    assert_eq!(fewer.model().params(), [1.0, 2.0]);
    assert!(read(&["tabel"]).unwrap_err().to_string().starts_with("tabel (constant): found no tensor of that name"));
}

#[test]
fn samples_are_never_mixed() {
    let along =
        |op: &str, attributes: &[AttributeProto]| File::new(&[0, 2]).node(op, &["x"], "y", attributes).refused();
    assert!(along("ReduceMean", &[ints("axes", &[0])]).contains("along which samples stand"));
    assert!(along("ReduceMean", &[]).contains("along which samples stand"));
    assert!(along("Softmax", &[int("axis", 0)]).contains("along which samples stand"));
    assert!(along("Transpose", &[]).contains("found a value (2, N); expected samples along the first axis"));
    let product = File::new(&[0, 2]).node("Transpose", &["x"], "t", &[]).node("MatMul", &["t", "x"], "y", &[]);
    assert!(product.refused().contains("samples"));
    let pairs = File::new(&[0, 2]).ints("to", &[-1, 4]).node("Reshape", &["x", "to"], "y", &[]);
    assert!(pairs.refused().contains("sample by sample"));
    let fixed = File::new(&[0, 2]).ints("to", &[6, 2]).node("Reshape", &["x", "to"], "y", &[]);
    assert!(fixed.refused().contains("dynamic batch axis"));
    let sliced = File::new(&[0, 2]).ints("start", &[0]).ints("end", &[1]).ints("axes", &[0]).node(
        "Slice",
        &["x", "start", "end", "axes"],
        "y",
        &[],
    );
    assert!(sliced.refused().contains("along which samples stand"));
    // What depends on their number cannot be read either.
    let counted = File::new(&[0, 2])
        .node("Shape", &["x"], "n", &[int("end", 1)])
        .node("Cast", &["n"], "f", &[int("to", 1)])
        .node("Div", &["x", "f"], "y", &[]);
    assert!(counted.refused().contains("the number N of samples"));
}

#[test]
fn inputs_say_which_axis_is_open() {
    assert!(File::new(&[0, 0]).node("Relu", &["x"], "y", &[]).refused().contains("axis 1 of open length \"N\""));
    assert!(File::new(&[]).node("Relu", &["x"], "y", &[]).refused().contains("a first axis for the samples"));
    assert!(File::new(&[0, -4]).node("Relu", &["x"], "y", &[]).refused().contains("axis 1 of -4"));
    let mut two = File::new(&[0, 2]).node("Add", &["x", "z"], "y", &[]);
    two.0.input.push(info("z", FLOAT, &[3, 2]));
    assert!(two.refused().contains("the same samples along the first axis"));
}

#[test]
fn padding_as_attributes_say() {
    let conv = |size: i64, attributes: &[AttributeProto]| {
        let file = File::new(&[0, 1, 1, size]).floats("w", &[1, 1, 1, 2], &[1.0, 10.0]);
        file.node("Conv", &["x", "w"], "y", attributes)
    };
    assert_eq!(conv(3, &[]).gives(&[1.0, 2.0, 3.0]), [21.0, 32.0]);
    assert_eq!(conv(3, &[text("auto_pad", "VALID")]).gives(&[1.0, 2.0, 3.0]), [21.0, 32.0]);
    assert_eq!(conv(3, &[text("auto_pad", "SAME_UPPER")]).gives(&[1.0, 2.0, 3.0]), [21.0, 32.0, 3.0]);
    assert_eq!(conv(3, &[text("auto_pad", "SAME_LOWER")]).gives(&[1.0, 2.0, 3.0]), [10.0, 21.0, 32.0]);
    let strided = [text("auto_pad", "SAME_UPPER"), ints("strides", &[1, 2])];
    assert_eq!(conv(3, &strided).gives(&[1.0, 2.0, 3.0]), [21.0, 3.0]);
    assert_eq!(conv(2, &[ints("pads", &[0, 1, 0, 0])]).gives(&[1.0, 2.0]), [10.0, 21.0]);
    assert!(conv(3, &[ints("pads", &[0, i64::MAX, 0, 0])]).refused().contains("pads"));
    assert!(conv(3, &[ints("dilations", &[1, 5])]).refused().contains("at least"));
    let pool = [ints("kernel_shape", &[1, 2]), ints("strides", &[1, 2]), int("ceil_mode", 1)];
    let pooled = |size: i64| File::new(&[0, 1, 1, size]).node("MaxPool", &["x"], "y", &pool);
    assert_eq!(pooled(4).gives(&[1.0, 3.0, 2.0, 0.0]), [3.0, 2.0]);
    assert!(pooled(3).refused().contains("ceil_mode"));
}

#[test]
fn masks_go_into_softmax_and_nowhere_else() {
    let inf = f32::NEG_INFINITY;
    let masked = |mask: &[f32]| File::new(&[0, 2, 2]).floats("m", &[2, 2], mask).node("Add", &["x", "m"], "z", &[]);
    let causal = [0.0, inf, 0.0, 0.0];
    let y = masked(&causal).node("Softmax", &["z"], "y", &[]).gives(&[0.3, 5.0, 1.0, 1.0]);
    assert_eq!(y, [1.0, 0.0, 0.5, 0.5]);
    assert!(masked(&causal).node("Softmax", &["z"], "y", &[]).read().unwrap().parameters().is_empty());
    assert!(masked(&causal).node("Exp", &["z"], "y", &[]).refused().contains("finite"));
    assert!(masked(&causal).node("Identity", &["z"], "y", &[]).refused().contains("−∞"));
    assert!(masked(&[inf; 4]).node("Softmax", &["z"], "y", &[]).refused().contains("a row of −∞"));
    assert!(masked(&[f32::NAN; 4]).node("Softmax", &["z"], "y", &[]).refused().contains("NaN"));
}

#[test]
fn numbers_of_samples_are_open_in_shapes() {
    // Heads beside the samples along one axis, and back.
    let heads = File::new(&[0, 2, 4])
        .ints("two", &[2])
        .ints("three", &[-1])
        .node("Shape", &["x"], "n", &[int("end", 1)])
        .node("Mul", &["n", "two"], "nh", &[])
        .node("Concat", &["nh", "two", "two"], "split", &[int("axis", 0)])
        .node("Transpose", &["x"], "t", &[ints("perm", &[1, 0, 2])])
        .ints("merged", &[2, -1, 2])
        .node("Reshape", &["t", "merged"], "h", &[])
        .node("Transpose", &["h"], "hh", &[ints("perm", &[1, 0, 2])])
        .node("Reshape", &["hh", "split"], "s", &[])
        .node("Softmax", &["s"], "p", &[])
        .node("MatMul", &["p", "s"], "o", &[])
        .node("Transpose", &["o"], "b", &[ints("perm", &[1, 0, 2])])
        .node("Concat", &["two", "n", "three"], "joined", &[int("axis", 0)])
        .node("Reshape", &["b", "joined"], "j", &[])
        .node("Transpose", &["j"], "y", &[ints("perm", &[1, 0, 2])]);
    let x = [0.5, 1.0, -1.0, 2.0, 0.0, 3.0, 1.0, 1.0];
    let found = heads.gives(&x);
    let at = |h: usize, t: usize, i: usize| x[t * 4 + h * 2 + i];
    for (t, h, i) in (0..2).flat_map(|t| (0..2).flat_map(move |h| (0..2).map(move |i| (t, h, i)))) {
        let e = [at(h, t, 0).exp(), at(h, t, 1).exp()];
        let expected = (e[0] * at(h, 0, i) + e[1] * at(h, 1, i)) / (e[0] + e[1]);
        let y = found[t * 4 + h * 2 + i];
        assert!((y - expected).abs() < 1e-15, "{t} {h} {i}: {y} {expected}");
    }
}

#[test]
fn what_is_no_network_is_an_error() {
    let good = || File::new(&[0, 2]).floats("w", &[2], &[1.0, 2.0]).node("Mul", &["x", "w"], "y", &[]);
    assert!(good().read().is_ok());
    for opset in [12, 22] {
        let refused = from_bytes(&good().bytes_of(opset), None, &Options::default()).unwrap_err().to_string();
        assert!(refused.contains(&format!("found opset {opset}; expected a version from 13 to 21")), "{refused}");
    }
    let bytes = good().bytes();
    for end in 0..bytes.len() {
        // A file that ends between two fields has lost one of them.
        assert!(from_bytes(&bytes[..end], None, &Options::default()).is_err(), "{end} of {}", bytes.len());
    }
    let circle = File::new(&[0, 2]).node("Add", &["x", "y"], "z", &[]).node("Relu", &["z"], "y", &[]);
    assert!(circle.refused().contains("nodes in a circle"));
    assert!(File::new(&[0, 2]).node("Add", &["x", "none"], "y", &[]).refused().contains(r#"operand "none""#));
    assert!(File::new(&[0, 2]).node("Relu", &["x"], "y y", &[]).refused().contains("every name once"));
    assert!(good().floats("w", &[1], &[1.0]).refused().contains("every name once"));
    assert!(File::new(&[0, 2]).refused().contains("no value of that name"));
    let shared = File::new(&[0, 2]).floats("w", &[2], &[1.0, 2.0]).node("Relu", &["w"], "y", &[]);
    assert!(shared.refused().contains("samples along the first axis"));
}

/// A small file does not take much memory or stack, whatever it says.
#[test]
fn hostile_files_are_small_errors() {
    let large = |n: i64| TensorProto { name: "w".into(), dims: vec![n], data_type: FLOAT, ..Default::default() };
    for n in [1 << 29, i64::MAX] {
        let file = File::new(&[0, 2]).tensor(large(n)).node("Mul", &["x", "w"], "y", &[]);
        assert!(file.refused().contains("tensor"), "{n}");
    }
    let filled = |to: &[i64]| {
        let file = File::new(&[0, 2]).ints("to", to).node("ConstantOfShape", &["to"], "c", &[]);
        file.node("ReduceSum", &["c"], "s", &[]).node("Mul", &["x", "s"], "y", &[])
    };
    for to in [&[1 << 40][..], &[1 << 20, 1 << 20], &[i64::MAX, i64::MAX], &[0, i64::MAX, i64::MAX], &[-5]] {
        assert!(filled(to).read().is_err(), "{to:?}");
    }
    let wide = File::new(&[0, 2, 1]).ints("to", &[1, 1, 1 << 28]).node("Expand", &["x", "to"], "y", &[]);
    assert!(wide.refused().contains("entries of all values"));
    // Each value fits, all of them do not.
    let mut sums = File::new(&[0, 2, 1]).ints("to", &[1, 1, 1 << 21]).node("Expand", &["x", "to"], "e", &[]);
    sums = sums.ints("axis", &[2]).node("ReduceSum", &["e", "axis"], "s0", &[]);
    for i in 0..40 {
        sums = sums.node("ReduceSum", &["e", "axis"], &format!("t{i}"), &[]);
        let names = [format!("s{i}"), format!("t{i}"), format!("s{}", i + 1)];
        sums = sums.node("Add", &[&names[0], &names[1]], &names[2], &[]);
    }
    assert!(sums.node("Relu", &["s40"], "y", &[]).refused().contains("entries of all values"));
    // Windows and what they look through, which take time.
    let wide = [ints("kernel_shape", &[1, 1 << 20]), ints("pads", &[0, (1 << 20) - 1, 0, (1 << 20) - 1])];
    let pool = File::new(&[0, 1, 1, 1]).node("MaxPool", &["x"], "y", &wide);
    assert!(pool.refused().contains("entries of all values"));
    // A length of 2 GiB, and messages in each other.
    let cut = [0x3a, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0a];
    assert!(matches!(from_bytes(&cut, None, &Options::default()), Err(OnnxError::Protobuf(_))));
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        // An attribute that is a graph of a node with an attribute.
        for tag in [0x32, 0x2a, 0x0a] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(nested.len() as u64, &mut outer);
            outer.extend(&nested);
            nested = outer;
        }
    }
    let mut file = vec![0x3a];
    prost::encoding::encode_varint(nested.len() as u64, &mut file);
    file.extend(nested);
    assert!(from_bytes(&file, None, &Options::default()).is_err());
    let groups = vec![0x1b; 100_000];
    assert!(matches!(from_bytes(&groups, None, &Options::default()), Err(OnnxError::Protobuf(_))));
}

/// Exporters have numbers without axes; others may give them some, also more than the value has.
#[test]
fn gelu_is_read_by_its_numbers() {
    let file = |shape: &[i64], half: &[i64]| {
        let (root, one) = ([std::f32::consts::SQRT_2], [1.0]);
        File::new(shape)
            .floats("val_1", half, &[0.5])
            .floats("val_2", &[], &root)
            .floats("val_3", &[], &one)
            .node("Div", &["x", "val_2"], "a", &[])
            .node("Erf", &["a"], "b", &[])
            .node("Add", &["b", "val_3"], "c", &[])
            .node("Mul", &["x", "c"], "d", &[])
            .node("Mul", &["val_1", "d"], "y", &[])
    };
    let [gelu, below] = [1.0, -1.0].map(|x: f64| superlinear_nets::Function::Gelu.value(x));
    for half in [&[][..], &[1]] {
        assert_eq!(file(&[0, 2], half).gives(&[1.0, -1.0]), [gelu, below], "{half:?}");
        assert_eq!(file(&[0], half).gives(&[1.0]), [gelu], "{half:?}");
    }
    // Not recognised, and the same to `f32`.
    let found = file(&[0, 2], &[1, 1]).gives(&[1.0, -1.0]);
    assert!((found[0] - gelu).abs() < 1e-7 && (found[1] - below).abs() < 1e-7, "{found:?}");
    let longer = file(&[0, 2], &[1, 1, 1]).ints("zero", &[0]).node("Squeeze", &["y", "zero"], "z", &[]);
    let read =
        from_bytes(&longer.bytes(), None, &Options { output: Some("z".to_owned()), ..Default::default() }).unwrap();
    assert_eq!(outputs(&read, &[1.0, -1.0]), found);
}
