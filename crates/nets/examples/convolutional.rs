//! An architecture of one's own with convolutions: its shapes, its gradient and a Hessian-vector product over all
//! parameters, both against central differences, and the same bits on one thread and on two.
//!
//! `cargo run --release -p superlinear-nets --example convolutional`
// An example talks to whoever runs it.
#![allow(clippy::print_stdout, non_snake_case)]

use faer::{Mat, MatRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_nets::{
    Activation, Architecture, Bias, DenseSamples, GraphDirections, GraphPasses, GraphSums, ImageShape, Labelled, Layer,
    Loss, Network, Variables, Workspace,
};

/// Samples.
const N: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let input = ImageShape { channels: 2, height: 12, width: 12 };
    let halved = ImageShape { channels: 6, height: 6, width: 6 };
    let dense = |d_in| Layer::Dense { d_in, d_out: 4, bias: Bias::Learned };
    // tanh, because differences across a kink of ReLU would say nothing.
    let layers = |d_in| {
        vec![
            Layer::Conv3x3 { input, c_out: 6 },
            Layer::Activation(Activation::Tanh),
            Layer::MaxPool2x2,
            Layer::Conv3x3 { input: halved, c_out: 8 },
            Layer::Activation(Activation::Tanh),
            Layer::Flatten,
            dense(d_in),
        ]
    };
    let Err(error) = Architecture::new(layers(100)) else {
        return Err("a dense layer of 100 inputs behind 8×6×6 images was taken".into());
    };
    println!("with a dense layer 100→4: {error}");
    let architecture = Architecture::new(layers(8 * 6 * 6))?;
    println!("with {}→4:", 8 * 6 * 6);
    for (position, layer) in architecture.layers().iter().enumerate() {
        let (weight, bias) = (architecture.weight_params(position).len(), architecture.bias_params(position).len());
        let gives = architecture.output_shape_of(position).to_string();
        println!("  {position} {:<12} gives {gives:<14} {weight:>5} weights, {bias} biases", layer.to_string());
    }

    // Bars on noise: the class is the direction of the bar and its channel.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let inputs = Mat::from_fn(input.dim(), N, |k, p| {
        let (channel, row, column) = (k / 144, k / 12 % 12, k % 12);
        let along = if p % 2 == 0 { row } else { column };
        let bar = if along == p % 12 && channel == p / 2 % 2 { 1.0 } else { 0.0 };
        bar + 0.2 * (rng.random::<f64>() - 0.5)
    });
    let labels: Vec<u8> = (0..N).map(|p| (p % 4) as u8).collect();
    let net = Network::<f64>::init(architecture, &mut rng);

    let (mean_loss, gradient) = loss_and_gradient(&net, inputs.as_ref(), &labels);
    println!("{} parameters, mean cross-entropy of {N} samples {mean_loss:.4}", gradient.len());

    // Both derivatives along one random direction of length 1, by differences of what they are derivatives of.
    let mut direction: Vec<f64> = gradient.iter().map(|_| rng.random::<f64>() - 0.5).collect();
    let length = norm(&direction);
    direction.iter_mut().for_each(|v| *v /= length);
    let step = 1e-5;
    let moved = |by: f64| {
        let mut moved = net.clone();
        moved.params_mut().iter_mut().zip(&direction).for_each(|(w, v)| *w += by * v);
        loss_and_gradient(&moved, inputs.as_ref(), &labels)
    };
    let ((loss_up, gradient_up), (loss_down, gradient_down)) = (moved(step), moved(-step));
    let slope: f64 = gradient.iter().zip(&direction).map(|(g, v)| g * v).sum();
    let difference = (loss_up - loss_down) / (2.0 * step);
    println!("along a random direction v: gᵀv = {slope:.8}, by differences of the loss {difference:.8}");
    assert!((slope - difference).abs() < 1e-8 * norm(&gradient), "the gradient is not the loss's derivative");

    let product = hessian_vector(&net, inputs.as_ref(), &labels, &direction);
    let error = product.iter().zip(gradient_up.iter().zip(&gradient_down));
    let error: Vec<f64> = error.map(|(Hv, (up, down))| Hv - (up - down) / (2.0 * step)).collect();
    let relative = norm(&error) / norm(&product);
    println!("‖Hv‖ = {:.6}; differences of gradients are {relative:.0e} of it away", norm(&product));
    assert!(relative < 1e-7, "Hv is not the gradient's derivative");

    let on = |threads| -> Result<_, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(pool.install(|| {
            let product = hessian_vector(&net, inputs.as_ref(), &labels, &direction);
            (loss_and_gradient(&net, inputs.as_ref(), &labels), product)
        }))
    };
    assert_eq!(on(1)?, on(2)?, "bits that depend on the number of threads");
    println!("loss, gradient and Hv are the same to the last bit on one thread and on two");
    Ok(())
}

/// Mean loss, and its gradient in all parameters.
fn loss_and_gradient(net: &Network<f64>, inputs: MatRef<'_, f64>, labels: &[u8]) -> (f64, Vec<f64>) {
    let mut gradient = vec![0.0; net.params().len()];
    let mut workspace = Workspace::new(net, labels.len());
    let batch = net.loss_and_gradient(inputs, labels, Loss::CrossEntropy, &mut workspace, &mut gradient);
    (batch.total / labels.len() as f64, gradient)
}

/// `H v` of the mean loss, over all parameters.
fn hessian_vector(net: &Network<f64>, inputs: MatRef<'_, f64>, labels: &[u8], direction: &[f64]) -> Vec<f64> {
    let (model, samples) = (net.model(), DenseSamples::new(inputs.to_owned(), labels.to_vec()));
    let variables = Variables::all(model.graph());
    let mut passes = GraphPasses::new(model.graph(), Loss::CrossEntropy.into(), variables.clone());
    passes.evaluate(&model, &Labelled(&samples), 0..labels.len()).expect("images fit the network");
    let vector = MatRef::from_column_major_slice(direction, direction.len(), 1);
    let mut sums = GraphSums::zeros(&variables, 1);
    passes.hessian(&model, &GraphDirections::new(&variables, vector), &mut sums);
    let mut product = Mat::zeros(direction.len(), 1);
    sums.add_to(&variables, 1.0 / labels.len() as f64, product.as_mut());
    product.col_as_slice(0).to_vec()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
