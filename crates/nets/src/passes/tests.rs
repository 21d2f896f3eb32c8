//! Passes against differences, definitions and other numbers of threads.

use super::*;
use crate::{Activation, Architecture, Bias, ImageShape, Layer, Selection};
use faer::{Mat, MatMut};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn gradient_agrees_with_central_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for activation in [Activation::Relu, Activation::Tanh, Activation::Identity] {
        for widths in [&[5, 4][..], &[5, 6, 4], &[5, 6, 3, 4]] {
            for loss in [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse] {
                let architecture = Architecture::mlp(widths, activation).unwrap();
                let mut net = Network::<f64>::init(architecture, &mut rng);
                let inputs = Mat::from_fn(5, 7, |_, _| rng.random::<f64>() - 0.3);
                let labels = [0, 1, 2, 3, 0, 1, 2];
                let mut workspace = Workspace::new(&net, 8);
                let mut gradient = vec![0.0; net.params().len()];
                let all = net.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut workspace, &mut gradient);
                let evaluated = net.loss(inputs.as_ref(), &labels, loss, &mut workspace);
                assert_eq!(all, evaluated);
                let step = 1e-6;
                for (k, g) in gradient.iter().enumerate() {
                    let w = net.params()[k];
                    net.params_mut()[k] = w + step;
                    let up = net.loss(inputs.as_ref(), &labels, loss, &mut workspace).total / 7.0;
                    net.params_mut()[k] = w - step;
                    let down = net.loss(inputs.as_ref(), &labels, loss, &mut workspace).total / 7.0;
                    net.params_mut()[k] = w;
                    let difference = (up - down) / (2.0 * step);
                    assert!((difference - g).abs() < 1e-8, "{activation} {widths:?} {loss} {k}");
                }
            }
        }
    }
}

/// A small network with every kind of layer on images: convolution, pool, convolution, then `bridge`, dense with bias.
fn small_cnn(input: ImageShape, activation: Activation, bridge: Layer) -> Architecture {
    let ImageShape { height, width, .. } = input;
    let mut layers = vec![Layer::Conv3x3 { input, c_out: 3 }, Layer::Activation(activation)];
    let mut shape = input.with_channels(3);
    if height >= 2 && width >= 2 {
        layers.push(Layer::MaxPool2x2);
        shape = ImageShape { channels: 3, height: height / 2, width: width / 2 };
    }
    layers.extend([Layer::Conv3x3 { input: shape, c_out: 5 }, Layer::Activation(activation), bridge.clone()]);
    let d_in = if bridge == Layer::Flatten { 5 * shape.n_pixels() } else { 5 };
    layers.push(Layer::Dense { d_in, d_out: 6, bias: Bias::None });
    layers.push(Layer::Activation(activation));
    layers.push(Layer::Dense { d_in: 6, d_out: 4, bias: Bias::Learned });
    Architecture::new(layers).unwrap()
}

/// A network whose second convolution has channels and pixels enough to be done in tiles, some of them incomplete.
fn tiled_cnn(activation: Activation) -> Architecture {
    let input = ImageShape { channels: 1, height: 7, width: 6 };
    let activation = Layer::Activation(activation);
    Architecture::new(vec![
        Layer::Conv3x3 { input, c_out: 16 },
        activation.clone(),
        Layer::Conv3x3 { input: input.with_channels(16), c_out: 16 },
        activation,
        Layer::GlobalAveragePool,
        Layer::Dense { d_in: 16, d_out: 4, bias: Bias::Learned },
    ])
    .unwrap()
}

const IMAGES: [ImageShape; 6] = [
    ImageShape { channels: 1, height: 1, width: 1 },
    ImageShape { channels: 2, height: 1, width: 4 },
    ImageShape { channels: 2, height: 3, width: 1 },
    ImageShape { channels: 1, height: 2, width: 2 },
    ImageShape { channels: 2, height: 5, width: 7 },
    ImageShape { channels: 3, height: 6, width: 4 },
];

/// The logits of one `C×H×W` image by the definitions, one number at a time.
fn slow_logits(net: &Network<f64>, image: &[f64]) -> Vec<f64> {
    let architecture = net.architecture();
    let mut a = image.to_vec();
    for (position, layer) in architecture.layers().iter().enumerate() {
        let weight = &net.params()[architecture.weight_params(position)];
        let bias = &net.params()[architecture.bias_params(position)];
        let shape = match architecture.shape_before(position) {
            Shape::Image(shape) => shape,
            Shape::Vector(channels) => ImageShape { channels, height: 1, width: 1 },
        };
        let ImageShape { channels, height, width } = shape;
        let pixel = |a: &[f64], c: usize, y: usize, x: usize| a[(c * height + y) * width + x];
        a = match *layer {
            Layer::Dense { d_in, d_out, .. } => (0..d_out)
                .map(|o| {
                    let z: f64 = (0..d_in).map(|i| weight[o * d_in + i] * a[i]).sum();
                    z + bias.get(o).unwrap_or(&0.0)
                })
                .collect(),
            Layer::Activation(activation) => a.iter().map(|&z| activation.value(z)).collect(),
            Layer::Conv3x3 { c_out, .. } => {
                let mut z = Vec::new();
                for (o, y, x) in cube(c_out, height, width) {
                    let mut sum = bias[o];
                    for (c, i, j) in cube(channels, 3, 3) {
                        if (1..=height).contains(&(y + i)) && (1..=width).contains(&(x + j)) {
                            sum += weight[((o * channels + c) * 3 + i) * 3 + j] * pixel(&a, c, y + i - 1, x + j - 1);
                        }
                    }
                    z.push(sum);
                }
                z
            }
            Layer::MaxPool2x2 => cube(channels, height / 2, width / 2)
                .map(|(c, y, x)| {
                    let window = cube(1, 2, 2).map(|(_, i, j)| pixel(&a, c, 2 * y + i, 2 * x + j));
                    window.fold(f64::NEG_INFINITY, f64::max)
                })
                .collect(),
            Layer::GlobalAveragePool => {
                a.chunks_exact(shape.n_pixels()).map(|plane| plane.iter().sum::<f64>() / plane.len() as f64).collect()
            }
            Layer::Flatten => a,
        };
    }
    a
}

fn cube(n: usize, height: usize, width: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n * height * width).map(move |k| (k / (height * width), k / width % height, k % width))
}

fn random_batch(dim: usize, batch: usize, rng: &mut ChaCha8Rng) -> (Mat<f64>, Vec<u8>) {
    let inputs = Mat::from_fn(dim, batch, |_, _| 2.0 * rng.random::<f64>() - 1.0);
    (inputs, (0..batch).map(|p| (p % 4) as u8).collect())
}

#[test]
fn images_agree_with_slow_loops() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for input in IMAGES {
        for (bridge, batch) in [(Layer::GlobalAveragePool, 1), (Layer::Flatten, 45)] {
            let net = Network::<f64>::init(small_cnn(input, Activation::Relu, bridge), &mut rng);
            let (inputs, _) = random_batch(input.dim(), batch, &mut rng);
            let mut workspace = Workspace::new(&net, batch + 3);
            let logits = net.forward(inputs.as_ref(), &mut workspace).to_owned();
            for p in 0..batch {
                for (c, truth) in slow_logits(&net, inputs.col_as_slice(p)).into_iter().enumerate() {
                    assert!((logits[(c, p)] - truth).abs() < 1e-14, "{input} {p}: {} {truth}", logits[(c, p)]);
                }
            }
            // Rows of a matrix as samples: inputs with any strides will do.
            let rows = inputs.transpose().to_owned();
            assert_eq!(net.forward(rows.transpose(), &mut workspace).to_owned(), logits);
            let target = net.architecture().dense_layers()[0].position;
            assert_eq!(workspace.output(target, batch).nrows(), 6);
        }
    }
}

#[test]
fn gradients_of_images_agree_with_central_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut cases = vec![(tiled_cnn(Activation::Tanh), 9)];
    for input in IMAGES {
        for (activation, bridge, batch) in [
            (Activation::Relu, Layer::GlobalAveragePool, 1),
            (Activation::Tanh, Layer::Flatten, 13),
            (Activation::Relu, Layer::Flatten, 45),
        ] {
            cases.push((small_cnn(input, activation, bridge), batch));
        }
    }
    for (architecture, batch) in cases {
        let input = architecture.input_shape();
        let mut net = Network::<f64>::init(architecture, &mut rng);
        let (inputs, labels) = random_batch(input.dim(), batch, &mut rng);
        let mut workspace = Workspace::new(&net, batch);
        let mut gradient = vec![f64::NAN; net.params().len()];
        let loss = Loss::CrossEntropy;
        let all = net.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut workspace, &mut gradient);
        let evaluated = net.loss(inputs.as_ref(), &labels, loss, &mut workspace);
        assert_eq!(all.n_correct, evaluated.n_correct);
        assert!((all.total - evaluated.total).abs() < 1e-14 * all.total);
        let largest = gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        let step = 2e-6;
        for (k, g) in gradient.iter().enumerate() {
            let w = net.params()[k];
            let mut at = |shifted: f64| {
                net.params_mut()[k] = shifted;
                net.loss(inputs.as_ref(), &labels, loss, &mut workspace).total / batch as f64
            };
            let difference = (at(w + step) - at(w - step)) / (2.0 * step);
            at(w);
            let error = (difference - g).abs();
            assert!(error < 1e-8 * largest.max(1e-2), "{input} {k}: {difference} {g}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let input = ImageShape { channels: 2, height: 9, width: 8 };
    let cnn = Architecture::paper_cnn(input).unwrap();
    let wide = Architecture::mlp(&[1_100, 300, 20, 4], Activation::Relu).unwrap();
    for (architecture, batch) in [(cnn.clone(), 21), (cnn, 1), (wide, 33)] {
        let net = Network::<f32>::init(architecture, &mut rng);
        let (inputs, labels) = random_batch(net.architecture().input_dim(), batch, &mut rng);
        let inputs = Mat::from_fn(inputs.nrows(), batch, |i, p| inputs[(i, p)] as f32);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut workspace = Workspace::new(&net, batch);
            let mut gradient = vec![0.0; net.params().len()];
            let all = pool.install(|| {
                net.loss_and_gradient(inputs.as_ref(), &labels, Loss::SoftmaxMse, &mut workspace, &mut gradient)
            });
            (all, gradient)
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one, "{batch}");
    }
}

#[test]
fn precisions_agree_and_a_workspace_forgets() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let input = ImageShape { channels: 3, height: 10, width: 9 };
    let net = Network::<f64>::init(Architecture::paper_cnn(input).unwrap(), &mut rng);
    let (inputs, labels) = random_batch(input.dim(), 21, &mut rng);
    let narrow = Mat::from_fn(inputs.nrows(), 21, |i, p| inputs[(i, p)] as f32);
    let inputs = Mat::from_fn(inputs.nrows(), 21, |i, p| f64::from(narrow[(i, p)]));
    let (cast, loss) = (net.cast::<f32>(), Loss::CrossEntropy);
    let (mut wide_space, mut narrow_space) = (Workspace::new(&net, 21), Workspace::new(&cast, 21));
    let (mut wide, mut narrow_gradient) = (vec![0.0; net.params().len()], vec![0.0_f32; net.params().len()]);
    net.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut wide_space, &mut wide);
    cast.loss_and_gradient(narrow.as_ref(), &labels, loss, &mut narrow_space, &mut narrow_gradient);
    let largest = wide.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    for (g, &narrow) in wide.iter().zip(&narrow_gradient) {
        assert!((g - f64::from(narrow)).abs() < 1e-5 * largest, "{g} {narrow}");
    }
    // After a larger batch and a change of parameters the same pass gives the same bits.
    let few = inputs.as_ref().subcols(3, 9);
    let mut first = vec![0.0; wide.len()];
    net.loss_and_gradient(few, &labels[3..12], loss, &mut Workspace::new(&net, 9), &mut first);
    let mut again = vec![0.0; wide.len()];
    let other = Network::init(net.architecture().clone(), &mut rng);
    other.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut wide_space, &mut again);
    net.loss_and_gradient(few, &labels[3..12], loss, &mut wide_space, &mut again);
    // Parts follow the batch, not the workspace.
    assert_eq!(again, first);
}

#[test]
#[should_panic(expected = "layer 0 gives images")]
fn images_inside_are_not_shown() {
    let input = ImageShape { channels: 1, height: 8, width: 8 };
    let net = Network::<f32>::init(Architecture::paper_cnn(input).unwrap(), &mut ChaCha8Rng::seed_from_u64(1));
    Workspace::new(&net, 2).output(0, 2);
}

/// `u · v`.
fn dot(u: &[f64], v: &[f64]) -> f64 {
    u.iter().zip(v).map(|(u, v)| u * v).sum()
}

/// `H v` of the mean loss, over all parameters.
fn hessian_vector(net: &Network<f64>, x: &Mat<f64>, labels: &[u8], loss: Loss, v: &[f64], out: &mut [f64]) {
    let architecture = net.architecture();
    let all = Selection::all(architecture);
    let mut passes = BlockPasses::new(net, &all, labels.len());
    passes.evaluate(labels, loss, |p, input| input.copy_from_slice(x.col_as_slice(p)));
    let v = MatRef::from_column_major_slice(v, v.len(), 1);
    let mut sums = Sums::zeros(architecture, &all, 1);
    passes.hessian(&Directions::new(architecture, &all, v), &mut sums);
    out.fill(0.0);
    let n = out.len();
    sums.add_to(architecture, &all, MatMut::from_column_major_slice_mut(out, n, 1));
    out.iter_mut().for_each(|x| *x /= labels.len() as f64);
}

#[test]
fn hessian_vector_products_agree_with_differences_of_gradients_and_are_symmetric() {
    let mut rng = ChaCha8Rng::seed_from_u64(15);
    let mut networks = Vec::new();
    for input in IMAGES {
        networks.push(small_cnn(input, Activation::Tanh, Layer::Flatten));
        networks.push(small_cnn(input, Activation::Relu, Layer::GlobalAveragePool));
    }
    networks.push(tiled_cnn(Activation::Tanh));
    networks.push(tiled_cnn(Activation::Relu));
    networks.push(Architecture::mlp(&[5, 7, 6, 4], Activation::Tanh).unwrap());
    networks.push(Architecture::mlp(&[5, 4], Activation::Identity).unwrap());
    for (k, architecture) in networks.into_iter().enumerate() {
        let loss = [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse][k % 3];
        let batch = [43, 3, 1][k / 2 % 3];
        let net = Network::<f64>::init(architecture, &mut rng);
        let (inputs, labels) = random_batch(net.architecture().input_dim(), batch, &mut rng);
        let n = net.params().len();
        let mut direction = || (0..n).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect::<Vec<_>>();
        let (u, v) = (direction(), direction());
        let (mut Hu, mut Hv) = (vec![f64::NAN; n], vec![f64::NAN; n]);
        hessian_vector(&net, &inputs, &labels, loss, &u, &mut Hu);
        hessian_vector(&net, &inputs, &labels, loss, &v, &mut Hv);
        let (uHv, vHu) = (dot(&u, &Hv), dot(&v, &Hu));
        let scale = (dot(&u, &u) * dot(&Hv, &Hv)).sqrt();
        assert!((uHv - vHu).abs() <= 1e-12 * scale, "{k}: {uHv} {vHu}");

        let mut gradients = Workspace::new(&net, batch);
        let mut shifted = |step: f64| {
            let params = net.params().iter().zip(&v).map(|(w, v)| w + step * v).collect();
            let moved = Network::new(net.architecture().clone(), params).unwrap();
            let mut gradient = vec![0.0; n];
            moved.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut gradients, &mut gradient);
            gradient
        };
        // A step so short that no kink lies within, by luck that is fixed by the seed.
        let h = 1e-6;
        let (up, down) = (shifted(h), shifted(-h));
        let largest = Hv.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        for (j, x) in Hv.iter().enumerate() {
            let difference = (up[j] - down[j]) / (2.0 * h);
            assert!((difference - x).abs() <= 1e-6 * largest.max(1e-3), "{k} {j}: {difference} {x}");
        }
    }
}
