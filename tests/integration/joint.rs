//! Dense joint moments of several layers against the operators and against brute force.

use crate::cases::{ACTIVATIONS, LOSSES};
use crate::whole_network::{SampleTruth, selected};
use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{JointError, JointLayers, MeanLoss, Selection, SelectionError};
use superlinear_nets::{Activation, Architecture, Bias, DenseSamples, ImageShape, Layer, Loss, Network};

fn random(architecture: Architecture, n: usize, seed: u64) -> (Network<f64>, DenseSamples<f64>, Mat<f64>, Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = || 2.0 * rng.random::<f64>() - 1.0;
    let params = (0..architecture.n_params()).map(|_| uniform()).collect();
    let inputs = Mat::from_fn(architecture.input_dim(), n, |_, _| uniform());
    let labels: Vec<u8> = (0..n).map(|p| (p % architecture.n_out()) as u8).collect();
    let samples = DenseSamples::new(inputs.clone(), labels.clone());
    (Network::new(architecture, params).unwrap(), samples, inputs, labels)
}

#[track_caller]
fn assert_close(what: &str, found: &Mat<f64>, truth: &Mat<f64>, tolerance: f64) {
    let (error, scale) = ((found - truth).norm_l2(), truth.norm_l2());
    assert!(error <= tolerance * scale, "{what}: {error:e} of {scale:e}");
    assert!(found.transpose().to_owned() == *found, "{what} is symmetric to the last bit");
}

#[test]
fn joint_moments_are_their_dense_truth() {
    let dense = |d_in, d_out, bias| Layer::Dense { d_in, d_out, bias };
    for (k, activation) in ACTIVATIONS.into_iter().enumerate() {
        let biased = vec![
            dense(3, 4, Bias::Learned),
            Layer::Activation(activation),
            dense(4, 2, Bias::None),
            dense(2, 5, Bias::Learned),
            Layer::Activation(activation),
            dense(5, 3, Bias::Learned),
        ];
        for (j, architecture) in
            [Architecture::mlp(&[3, 4, 2, 5, 3], activation), Architecture::new(biased)].into_iter().enumerate()
        {
            let loss = LOSSES[(k + j) % 3];
            let (net, samples, inputs, labels) = random(architecture.unwrap(), 8, (10 * k + j) as u64);
            let truth = |(p, &y): (usize, &u8)| SampleTruth::new(&net, loss, inputs.col_as_slice(p), y);
            let truths: Vec<_> = labels.iter().enumerate().map(truth).collect();
            for layers in [&[0, 1, 2, 3][..], &[3, 1], &[0, 3], &[2], &[0, 2]] {
                let what = &format!("{activation} {loss} {j} {layers:?}");
                let selection = Selection::dense_weights(net.architecture(), layers.iter().copied()).unwrap();
                let joint = JointLayers::collect(&net, layers, loss, &samples).unwrap();
                let P = selection.n_params();
                assert_eq!(joint.n_params(), P);
                let mean = |term: &dyn Fn(&SampleTruth) -> Mat<f64>| {
                    truths.iter().fold(Mat::zeros(P, P), |sum, t| sum + term(t)) * faer::Scale(1.0 / 8.0)
                };
                let h = |t: &SampleTruth| selected(&selection, &t.hessian);
                let H = joint.hessian(u64::MAX).unwrap();
                assert_close(what, &H, &mean(&h), 1e-12);
                let M2 = joint.hessian_second_moment(u64::MAX).unwrap();
                assert_close(what, &M2, &mean(&|t| h(t) * h(t)), 1e-12);
                let gradients: Vec<_> = truths.iter().map(|t| selection.gather(&t.gradient)).collect();
                let average = |i: usize| gradients.iter().map(|g| g[i]).sum::<f64>() / 8.0;
                let centred = |i: usize, p: usize| gradients[p][i] - average(i);
                let Sigma = joint.noise_covariance(u64::MAX).unwrap();
                let truth = Mat::from_fn(P, P, |i, j| (0..8).map(|p| centred(i, p) * centred(j, p)).sum::<f64>() / 8.0);
                assert_close(what, &Sigma, &truth, 1e-12);
            }
        }
    }
}

#[test]
fn joint_moments_agree_with_operators_on_many_samples() {
    let cnn = Architecture::paper_cnn(ImageShape { channels: 1, height: 8, width: 8 }).unwrap();
    let mlp = Architecture::mlp(&[9, 12, 11, 10], Activation::Tanh).unwrap();
    for (architecture, layers, n) in [(mlp, &[0, 1, 2][..], 700), (cnn, &[1], 20)] {
        let (net, samples, ..) = random(architecture, n, 5);
        let loss = Loss::SoftmaxMse;
        let joint = JointLayers::collect(&net, layers, loss, &samples).unwrap();
        let selection = Selection::dense_weights(net.architecture(), layers.iter().copied()).unwrap();
        let of = MeanLoss::new(&net, loss, &samples, selection).unwrap();
        let any = u64::MAX;
        assert_close("H", &joint.hessian(any).unwrap(), &of.hessian().to_dense(any).unwrap(), 1e-12);
        let M2 = joint.hessian_second_moment(any).unwrap();
        assert_close("M2", &M2, &of.hessian_second_moment().to_dense(any).unwrap(), 1e-12);
        let Sigma = joint.noise_covariance(any).unwrap();
        assert_close("Sigma", &Sigma, &of.noise_covariance().unwrap().to_dense(any).unwrap(), 1e-12);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let joint = JointLayers::collect(&net, layers, loss, &samples).unwrap();
                [joint.hessian(any), joint.hessian_second_moment(any), joint.noise_covariance(any)]
            })
        };
        let one = on(1);
        assert!(one == on(2) && one[1] == Ok(M2));
    }
}

#[test]
fn bad_input_is_a_typed_error() {
    let (net, samples, ..) = random(Architecture::mlp(&[3, 4, 2], Activation::Relu).unwrap(), 5, 1);
    let collect = |layers: &[usize]| JointLayers::collect(&net, layers, Loss::CrossEntropy, &samples);
    assert_eq!(collect(&[]).unwrap_err(), JointError::Selection(SelectionError::Empty));
    assert!(matches!(collect(&[0, 0]).unwrap_err(), JointError::Selection(SelectionError::Twice { layer: 0, .. })));
    assert!(matches!(collect(&[2]).unwrap_err(), JointError::Selection(SelectionError::NoDenseLayer { dense: 2, .. })));
    let none = DenseSamples::new(Mat::zeros(3, 0), Vec::new());
    assert!(matches!(JointLayers::collect(&net, &[0], Loss::CrossEntropy, &none), Err(JointError::Samples(_))));
    let joint = collect(&[0, 1]).unwrap();
    let needed = joint.hessian_bytes();
    assert!(joint.hessian(needed).is_ok());
    assert_eq!(joint.hessian(needed - 1), Err(JointError::Memory { n_params: 20, needed, limit: needed - 1 }));
    assert!(joint.hessian_second_moment(0).is_err() && joint.noise_covariance(0).is_err());
}
