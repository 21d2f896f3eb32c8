//! The networks of `tests/fixtures/graphs`, by hand, with numbers, data and truths from there.

use super::parts::{attention, dense, layer_norm};
use faer::Mat;
use safetensors::{Dtype, SafeTensors};
use superlinear_nets::{
    Arithmetic, AveragePool, BatchNorm, Convolution, Criterion, Dense, DenseGraphSamples, Function, Graph,
    GraphBuilder, MaxPool, Model, Objective, Reduce, Reduction, Reshape, Window,
};

pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    bytes: Vec<u8>,
}

pub(crate) const NAMES: [&str; 9] = [
    "awch-style-out-of-order",
    "conv-batchnorm",
    "mlp-binary-one-logit",
    "mlp-gelu-layernorm",
    "mlp-sigmoid-regression",
    "mlp-tanh-bias",
    "resnet-small",
    "tied",
    "transformer",
];

impl Fixture {
    pub(crate) fn read(name: &'static str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/graphs");
        Self { name, bytes: std::fs::read(format!("{folder}/{name}.safetensors")).unwrap() }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    /// A tensor's shape and numbers.
    pub(crate) fn tensor(&self, name: &str) -> Option<(Vec<usize>, Vec<f64>)> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).ok()?;
        let data = tensor.data();
        let numbers = match tensor.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap()).into()).collect(),
            Dtype::F64 => data.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect(),
            Dtype::I64 => data.chunks_exact(8).map(|x| i64::from_le_bytes(x.try_into().unwrap()) as f64).collect(),
            other => panic!("{other:?}"),
        };
        Some((tensor.shape().to_vec(), numbers))
    }

    /// A truth with a row for each of its entries.
    pub(crate) fn truth(&self, name: &str) -> Mat<f64> {
        let (shape, numbers) = self.tensor(name).unwrap();
        Mat::from_fn(shape[0], shape[1], |i, j| numbers[i * shape[1] + j])
    }

    /// The parameters that there are truths for.
    pub(crate) fn parameters(&self) -> Vec<String> {
        let tensors = self.tensors();
        let names = tensors.names();
        let truths = names.iter().filter_map(|name| name.strip_prefix("truth/")?.strip_suffix("/R"));
        let mut truths: Vec<String> = truths.map(str::to_owned).collect();
        truths.sort();
        truths
    }

    pub(crate) fn samples(&self) -> DenseGraphSamples<f64> {
        let columns = |name: &str| {
            let (shape, numbers) = self.tensor(name).unwrap();
            let dim = numbers.len() / shape[0];
            Mat::from_fn(dim, shape[0], |i, p| numbers[p * dim + i])
        };
        DenseGraphSamples::new(vec![columns("x")], columns("y"))
    }

    pub(crate) fn objective(&self) -> Objective {
        match self.name {
            "mlp-binary-one-logit" => Criterion::BinaryCrossEntropy.into(),
            "mlp-sigmoid-regression" => Criterion::LinearMse.into(),
            _ => Criterion::cross_entropy().into(),
        }
    }

    pub(crate) fn model(&self) -> Model<f64> {
        Model::new(graph(self.name), |name| match name {
            // √(width of a head).
            "att.root" => Some(vec![2.0]),
            _ => Some(self.tensor(&format!("model/{name}"))?.1),
        })
        .unwrap()
    }
}

/// Dense layers of these widths with biases, named by their position in a `Sequential` of layers and activations.
fn sequential(widths: &[usize], activations: &[Function]) -> Graph {
    let mut builder = GraphBuilder::new().input("x", [widths[0]]);
    let mut x = "x".to_owned();
    for (i, pair) in widths.windows(2).enumerate() {
        let name = (2 * i).to_string();
        builder = dense(builder, &name, &x, pair[1], pair[0]);
        x = name;
        if let Some(&activation) = activations.get(i) {
            let name = (2 * i + 1).to_string();
            builder = builder.node(&*name, activation, [x]);
            x = name;
        }
    }
    builder.build(&x).unwrap()
}

fn batch_norm(builder: GraphBuilder, name: &str, x: &str, channels: usize) -> GraphBuilder {
    let [weight, bias, mean, var] =
        ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{name}.{part}"));
    builder
        .parameter(&*weight, [channels])
        .parameter(&*bias, [channels])
        .constant(&*mean, [channels])
        .constant(&*var, [channels])
        .node(name, BatchNorm { epsilon: 1e-5 }, [x, &weight, &bias, &mean, &var])
}

/// A convolution without bias and a batch norm behind it.
fn conv_norm(
    builder: GraphBuilder,
    [conv, norm]: [&str; 2],
    x: &str,
    [c_in, c_out]: [usize; 2],
    window: Window,
) -> GraphBuilder {
    let weight = format!("{conv}.weight");
    let builder = builder.parameter(&*weight, [c_out, c_in, window.kernel[0], window.kernel[1]]).node(
        conv,
        Convolution { window, groups: 1 },
        [x, &weight],
    );
    batch_norm(builder, norm, conv, c_out)
}

fn graph(name: &str) -> Graph {
    let three = Window::square(3).padding(1);
    let builder = GraphBuilder::new();
    match name {
        "awch-style-out-of-order" => {
            let weights = ["embed", "hidden_layers.1", "hidden_layers.0", "classifier"];
            let mut builder = builder.input("x", [10]);
            let mut x = "x".to_owned();
            for (i, name) in weights.into_iter().enumerate() {
                let weight = format!("{name}.weight");
                builder = builder
                    .parameter(&*weight, [[8, 8, 8, 4][i], [10, 8, 8, 8][i]])
                    .node(name, Dense::default(), [x, weight])
                    .node(format!("{name}.relu"), Function::Relu, [name]);
                x = format!("{name}.relu");
            }
            builder.build("classifier").unwrap()
        }
        "conv-batchnorm" => {
            let five = Window::square(5).padding(2).stride(2);
            let pool = Window::square(2).stride(2);
            let builder = builder
                .input("x", [1, 16, 16])
                .parameter("net.0.weight", [4, 1, 3, 3])
                .parameter("net.0.bias", [4])
                .node("net.0", Convolution { window: three, groups: 1 }, ["x", "net.0.weight", "net.0.bias"]);
            let builder = batch_norm(builder, "net.1", "net.0", 4)
                .node("net.2", Function::Relu, ["net.1"])
                .node("net.3", MaxPool { window: pool }, ["net.2"])
                .parameter("net.4.weight", [6, 4, 5, 5])
                .parameter("net.4.bias", [6])
                .node("net.4", Convolution { window: five, groups: 1 }, ["net.3", "net.4.weight", "net.4.bias"])
                .node("net.5", Function::Relu, ["net.4"])
                .node("net.6", AveragePool { window: pool, counts_padding: true }, ["net.5"])
                .node("net.7", Reshape { shape: vec![24] }, ["net.6"]);
            let builder = dense(builder, "net.8", "net.7", 10, 24).node("net.9", Function::Relu, ["net.8"]);
            dense(builder, "net.11", "net.9", 4, 10).build("net.11").unwrap()
        }
        "mlp-binary-one-logit" => {
            let softplus = Function::Softplus { beta: 1.0, threshold: 20.0 };
            sequential(&[6, 9, 7, 1], &[Function::Silu, softplus])
        }
        "mlp-sigmoid-regression" => sequential(&[6, 9, 7, 3], &[Function::Sigmoid, Function::LeakyRelu { slope: 0.2 }]),
        "mlp-tanh-bias" => sequential(&[10, 12, 8, 4], &[Function::Tanh, Function::Tanh]),
        "mlp-gelu-layernorm" => {
            let builder = dense(builder.input("x", [10]), "0", "x", 12, 10);
            let builder = layer_norm(builder, "1", "0", 12).node("2", Function::Gelu, ["1"]);
            let builder = dense(builder, "3", "2", 8, 12).node("4", Function::Gelu, ["3"]);
            dense(builder, "5", "4", 4, 8).build("5").unwrap()
        }
        "resnet-small" => {
            let two = three.stride(2);
            let mut builder = conv_norm(builder.input("x", [3, 8, 8]), ["stem", "bn"], "x", [3, 4], three).node(
                "relu",
                Function::Relu,
                ["bn"],
            );
            builder = conv_norm(builder, ["b1.conv1", "b1.bn1"], "relu", [4, 4], three).node(
                "b1.relu",
                Function::Relu,
                ["b1.bn1"],
            );
            builder = conv_norm(builder, ["b1.conv2", "b1.bn2"], "b1.relu", [4, 4], three)
                .node("b1.sum", Arithmetic::Add, ["b1.bn2", "relu"])
                .node("b1", Function::Relu, ["b1.sum"]);
            builder = conv_norm(builder, ["b2.conv1", "b2.bn1"], "b1", [4, 6], two).node(
                "b2.relu",
                Function::Relu,
                ["b2.bn1"],
            );
            builder = conv_norm(builder, ["b2.conv2", "b2.bn2"], "b2.relu", [6, 6], three);
            builder = conv_norm(builder, ["b2.short.0", "b2.short.1"], "b1", [4, 6], Window::square(1).stride(2))
                .node("b2.sum", Arithmetic::Add, ["b2.bn2", "b2.short.1"])
                .node("b2", Function::Relu, ["b2.sum"]);
            let mean = Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keeps_axes: false };
            builder = dense(builder.node("pooled", mean, ["b2"]), "fc1", "pooled", 8, 6).node(
                "fc1.relu",
                Function::Relu,
                ["fc1"],
            );
            dense(builder, "fc2", "fc1.relu", 4, 8).build("fc2").unwrap()
        }
        "tied" => {
            let mut builder = dense(builder.input("x", [10]), "a", "x", 8, 10)
                .parameter("w.weight", [8, 8])
                .parameter("w.bias", [8])
                .node("t0", Function::Tanh, ["a"]);
            for i in 0..2 {
                let z = format!("z{}", i + 1);
                builder = builder.node(&*z, Dense::default(), [&*format!("t{i}"), "w.weight", "w.bias"]).node(
                    format!("t{}", i + 1),
                    Function::Tanh,
                    [z],
                );
            }
            dense(builder, "c", "t2", 4, 8).build("c").unwrap()
        }
        "transformer" => {
            let builder = dense(builder.input("x", [5, 6]), "embed", "x", 8, 6)
                .parameter("pos", [1, 5, 8])
                .node("pos5", Reshape { shape: vec![5, 8] }, ["pos"])
                .node("h0", Arithmetic::Add, ["embed", "pos5"]);
            let builder = attention(layer_norm(builder, "ln1", "h0", 8), "att", "ln1", 5, 8, 2).node(
                "h1",
                Arithmetic::Add,
                ["h0", "att.out"],
            );
            let builder = dense(layer_norm(builder, "ln2", "h1", 8), "up", "ln2", 12, 8);
            let builder = dense(builder.node("gelu", Function::Gelu, ["up"]), "down", "gelu", 8, 12);
            let builder = layer_norm(builder.node("h2", Arithmetic::Add, ["h1", "down"]), "ln3", "h2", 8);
            let mean = Reduce { reduction: Reduction::Mean, axes: vec![0], keeps_axes: false };
            dense(builder.node("mean", mean, ["ln3"]), "head", "mean", 4, 8).build("head").unwrap()
        }
        other => panic!("{other}"),
    }
}
