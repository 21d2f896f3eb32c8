//! A model that was read: the network, and where its parameters come from.

use superlinear_nets::Model;

/// A network from an ONNX file, in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    pub(crate) model: Model<f64>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) aliases: Vec<(String, String)>,
    pub(crate) fixed_batch: Option<usize>,
    pub(crate) opset: i64,
    pub(crate) producer: String,
}

/// What the samples of a network have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the file and in the graph.
    pub name: String,
    /// The axes of one sample, those of the file without its first.
    pub shape: Vec<usize>,
    /// Whether it is of whole numbers, ids of an embedding for example.
    pub integer: bool,
}

/// A tensor of floating-point numbers of the file that derivatives may be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the file and in the graph. Exporters keep PyTorch's where they can.
    pub name: String,
    /// Its axes in the file.
    pub file_shape: Vec<usize>,
    /// How it stands in the graph.
    pub layout: Layout,
}

/// How a tensor of the file stands in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As in the file.
    AsInFile,
    /// The weight of a dense layer that the exporter wrote as `(d_in, d_out)` under a name that it made up
    /// (`onnx::MatMul_42`), turned back to PyTorch's `(d_out, d_in)`.
    Transposed,
    /// The weight `(c_out, c_in, k)` of a convolution along one axis, as `(c_out, c_in, 1, k)`; the same numbers in the
    /// same order.
    Row,
}

impl OnnxModel {
    /// The graph and its numbers.
    pub fn model(&self) -> &Model<f64> {
        &self.model
    }

    /// The graph and its numbers, without where they come from.
    pub fn into_model(self) -> Model<f64> {
        self.model
    }

    /// What samples have, in the order in which they give it.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The parameters, in the order of the file, which is that of [`Model::params`].
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Names in the file that stand for a parameter of another name: PyTorch's exporter writes tensors of the same
    /// numbers once, whether they are one in the network or not. Derivatives are then those of a parameter that is used
    /// in all these places.
    pub fn aliases(&self) -> &[(String, String)] {
        &self.aliases
    }

    /// The number of samples that the file was exported for, if it is fixed; the network here takes any.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.fixed_batch
    }

    /// The version of ONNX's operations.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The program that wrote the file, and its version.
    pub fn producer(&self) -> &str {
        &self.producer
    }
}
