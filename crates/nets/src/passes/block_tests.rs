//! Block passes against those of the network as a graph, one vector at a time.

use super::*;
use crate::{
    Activation, Architecture, Bias, DenseSamples, GraphDirections, GraphPasses, GraphSums, ImageShape, Labelled, Layer,
    Parameter, Selection, Variables,
};
use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn cnn(activation: Activation, bridge: Layer) -> Architecture {
    let input = ImageShape { channels: 2, height: 5, width: 4 };
    let pooled = ImageShape { channels: 3, height: 2, width: 2 };
    let d_in = if bridge == Layer::Flatten { 16 } else { 4 };
    Architecture::new(vec![
        Layer::Conv3x3 { input, c_out: 3 },
        Layer::Activation(activation),
        Layer::MaxPool2x2,
        Layer::Conv3x3 { input: pooled, c_out: 4 },
        Layer::Activation(activation),
        bridge,
        Layer::Dense { d_in, d_out: 5, bias: Bias::Learned },
        Layer::Activation(activation),
        Layer::Dense { d_in: 5, d_out: 4, bias: Bias::Learned },
    ])
    .unwrap()
}

fn architectures() -> Vec<Architecture> {
    vec![
        cnn(Activation::Tanh, Layer::GlobalAveragePool),
        cnn(Activation::Relu, Layer::Flatten),
        Architecture::mlp(&[5, 7, 6, 4], Activation::Tanh).unwrap(),
    ]
}

/// All, and every tensor alone.
fn selections(architecture: &Architecture) -> Vec<Selection> {
    let all = Selection::all(architecture);
    let alone = |&parameter: &Parameter| Selection::new(architecture, [parameter]).unwrap();
    let mut selections: Vec<_> = all.parameters().iter().map(alone).collect();
    let few = all.parameters().iter().copied().step_by(2);
    selections.push(Selection::new(architecture, few).unwrap());
    selections.push(all);
    selections
}

const LOSSES: [Loss; 3] = [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse];

fn random(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
    Mat::from_fn(rows, columns, |_, _| 2.0 * rng.random::<f64>() - 1.0)
}

/// `(1/B) Σ h_p` restricted to the selection, times `V`, by the network's graph over all parameters.
fn truth(net: &Network<f64>, selection: &Selection, x: &Mat<f64>, labels: &[u8], loss: Loss, V: &Mat<f64>) -> Mat<f64> {
    let (model, samples) = (net.model(), DenseSamples::new(x.clone(), labels.to_vec()));
    let variables = Variables::all(model.graph());
    let mut passes = GraphPasses::new(model.graph(), loss.into(), variables.clone());
    passes.evaluate(&model, &Labelled(&samples), 0..labels.len()).unwrap();
    let columns = V.col_iter().map(|v| {
        let v = selection.scatter(v.try_as_col_major().unwrap().as_slice());
        let mut sums = GraphSums::zeros(&variables, 1);
        let v = MatRef::from_column_major_slice(&v, v.len(), 1);
        passes.hessian(&model, &GraphDirections::new(&variables, v), &mut sums);
        let mut all = Mat::zeros(v.nrows(), 1);
        sums.add_to(&variables, 1.0 / labels.len() as f64, all.as_mut());
        selection.gather(all.col_as_slice(0))
    });
    let columns: Vec<_> = columns.collect();
    Mat::from_fn(V.nrows(), V.ncols(), |i, k| columns[k][i])
}

#[test]
fn products_over_any_selection_agree_with_those_over_all_parameters() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    for (index, architecture) in architectures().into_iter().enumerate() {
        let net = Network::<f64>::init(architecture.clone(), &mut rng);
        let x = random(architecture.input_dim(), 6, &mut rng);
        let labels = [0, 1, 2, 3, 1, 0];
        for (s, selection) in selections(&architecture).into_iter().enumerate() {
            let loss = LOSSES[(index + s) % 3];
            let V = random(selection.n_params(), 3, &mut rng);
            let directions = Directions::new(&architecture, &selection, V.as_ref());
            let truth_of = |range: std::ops::Range<usize>, V: &Mat<f64>| {
                let x = Mat::from_fn(x.nrows(), range.len(), |i, p| x[(i, range.start + p)]);
                truth(&net, &selection, &x, &labels[range], loss, V)
            };
            // Two blocks, the second smaller than the first.
            let mut passes = BlockPasses::new(&net, &selection, 4);
            let mut sums = Sums::zeros(&architecture, &selection, 3);
            let mut gradient = Sums::zeros(&architecture, &selection, 1);
            let mut blocks = Vec::new();
            for block in [0..4, 4..6] {
                passes.evaluate(&labels[block.clone()], loss, |p, input| {
                    input.copy_from_slice(x.col_as_slice(block.start + p));
                });
                blocks.push(passes.evaluated());
                passes.hessian(&directions, &mut sums);
                passes.gradient(&mut gradient);
            }
            // The same from what was kept, more than once.
            for _ in 0..2 {
                let mut again = [3, 1].map(|k| Sums::zeros(&architecture, &selection, k));
                for block in &mut blocks {
                    passes.with_evaluated(block, |passes| {
                        passes.hessian(&directions, &mut again[0]);
                        passes.gradient(&mut again[1]);
                    });
                }
                for (again, sums) in again.iter().zip([&sums, &gradient]) {
                    let flat = |sums: &Sums<f64>| {
                        let mut flat = Mat::zeros(selection.n_params(), sums.n_vectors());
                        sums.add_to(&architecture, &selection, flat.as_mut());
                        flat
                    };
                    assert_eq!(flat(again), flat(sums), "{architecture:?} {selection:?}");
                }
            }
            let mut found = Mat::zeros(selection.n_params(), 3);
            sums.add_to(&architecture, &selection, found.as_mut());
            let expected = truth_of(0..6, &V) * faer::Scale(6.0);
            let error = (&found - &expected).norm_max();
            assert!(error < 1e-13 * expected.norm_max().max(1.0), "{architecture:?} {selection:?}: {error}");

            let mut g = vec![0.0; net.params().len()];
            net.loss_and_gradient(x.as_ref(), &labels, loss, &mut Workspace::new(&net, 6), &mut g);
            let mut found = Mat::zeros(selection.n_params(), 1);
            gradient.add_to(&architecture, &selection, found.as_mut());
            for (k, g) in selection.gather(&g).into_iter().enumerate() {
                assert!((found[(k, 0)] - 6.0 * g).abs() < 1e-13, "{selection:?} {k}");
            }

            // What every sample adds, and the same sum as before.
            let alone =
                selection.parameters().iter().any(|p| matches!(architecture.layers()[p.layer], Layer::Conv3x3 { .. }));
            sums.clear();
            for first in (0..6).step_by(if alone { 1 } else { 4 }) {
                let block = first..if alone { first + 1 } else { 6.min(first + 4) };
                passes.evaluate(&labels[block.clone()], loss, |p, input| {
                    input.copy_from_slice(x.col_as_slice(first + p));
                });
                let forms = passes.hessian_with_forms(&directions, &mut sums);
                for (row, p) in block.enumerate() {
                    let hv = truth_of(p..p + 1, &V);
                    let mut g = vec![0.0; net.params().len()];
                    let one = x.as_ref().subcols(p, 1);
                    net.loss_and_gradient(one, &labels[p..=p], loss, &mut Workspace::new(&net, 1), &mut g);
                    let g = selection.gather(&g);
                    for k in 0..3 {
                        let (v, hv) = (V.col_as_slice(k), hv.col_as_slice(k));
                        let dot = |u: &[f64], w: &[f64]| u.iter().zip(w).map(|(u, w)| u * w).sum::<f64>();
                        for (found, expected) in [
                            (forms.gradient[(row, k)], dot(&g, v)),
                            (forms.curvature[(row, k)], dot(v, hv)),
                            (forms.squared_curvature[(row, k)], dot(hv, hv)),
                        ] {
                            let error = (found - expected).abs();
                            assert!(error < 1e-12 * expected.abs().max(1.0), "{selection:?} {p} {k}: {error:e}");
                        }
                    }
                }
            }
            let mut found = Mat::zeros(selection.n_params(), 3);
            sums.add_to(&architecture, &selection, found.as_mut());
            let expected = truth_of(0..6, &V) * faer::Scale(6.0);
            let error = (&found - &expected).norm_max();
            assert!(error < 1e-13 * expected.norm_max().max(1.0), "{architecture:?} {selection:?}: {error}");

            // h_p applied twice, sample by sample.
            let has_conv = |s: &Selection| {
                s.parameters().iter().any(|p| matches!(architecture.layers()[p.layer], Layer::Conv3x3 { .. }))
            };
            let step = if has_conv(&selection) { 1 } else { 4 };
            sums.clear();
            let mut expected = Mat::zeros(selection.n_params(), 3);
            for first in (0..6).step_by(step) {
                let block = first..6.min(first + step);
                passes.evaluate(&labels[block.clone()], loss, |p, input| {
                    input.copy_from_slice(x.col_as_slice(first + p));
                });
                passes.squared_hessian(&directions, &mut sums);
                for p in block {
                    expected += truth_of(p..p + 1, &truth_of(p..p + 1, &V));
                }
            }
            let mut found = Mat::zeros(selection.n_params(), 3);
            sums.add_to(&architecture, &selection, found.as_mut());
            let error = (&found - &expected).norm_max();
            assert!(error < 1e-13 * expected.norm_max().max(1.0), "squared, {selection:?}: {error}");
        }
    }
}

#[test]
fn what_logits_see_is_the_jacobian() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    for architecture in architectures() {
        let net = Network::<f64>::init(architecture.clone(), &mut rng);
        let x = random(architecture.input_dim(), 3, &mut rng);
        for selection in selections(&architecture) {
            let V = random(selection.n_params(), 2, &mut rng);
            let mut passes = BlockPasses::new(&net, &selection, 3);
            let mut sums = Sums::zeros(&architecture, &selection, 2);
            passes.evaluate(&[0, 1, 2], Loss::LinearMse, |p, input| input.copy_from_slice(x.col_as_slice(p)));
            let mut seen = vec![Mat::<f64>::zeros(4, 2); 3];
            let directions = Directions::new(&architecture, &selection, V.as_ref());
            passes.through_logits(&directions, |at, moved| seen[at.p].copy_from(&moved), &mut sums);
            let step = 1e-6;
            let logits = |k: usize, step: f64| {
                let v = selection.scatter(V.col_as_slice(k));
                let params = net.params().iter().zip(v).map(|(w, v)| w + step * v).collect();
                let moved = Network::new(architecture.clone(), params).unwrap();
                moved.forward(x.as_ref(), &mut Workspace::new(&moved, 3)).to_owned()
            };
            // vᵀ Jᵀ J v, from the sums and from differences.
            let mut product = Mat::zeros(selection.n_params(), 2);
            sums.add_to(&architecture, &selection, product.as_mut());
            for k in 0..2 {
                let (up, down) = (logits(k, step), logits(k, -step));
                let mut squared = 0.0;
                for p in 0..3 {
                    for c in 0..4 {
                        let difference = (up[(c, p)] - down[(c, p)]) / (2.0 * step);
                        squared += difference * difference;
                        assert!((difference - seen[p][(c, k)]).abs() < 1e-8, "{selection:?}");
                    }
                }
                let found: f64 = product.col(k).iter().zip(V.col(k).iter()).map(|(x, v)| x * v).sum();
                assert!((found - squared).abs() < 1e-7 * squared.max(1.0), "{selection:?} {found} {squared}");
            }
        }
    }
}
