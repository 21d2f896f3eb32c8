//! Layers of given factors: against the layer of a network that they are taken from, to the last bit, and against the
//! truth where no network was ever there.

use crate::cases::{ACTIVATIONS, Case, LOSSES};
use crate::dense::{TOLERANCE, assert_close, mean, outer, product};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{
    AbsoluteCurvature, AnalysedLayer, LayerFactors, LayerMoments, NotGiven, absolute_hessian, alignments,
    directional_contributions, gauss_newton, largest_curvature, layer_moments, per_sample_hessians,
};
use superlinear_nets::{Activation, Loss};
use superlinear_noise::{
    PartnerError, PartnerPolicy, awd_batch_estimate, awd_moments, choose_partners, dual_perturbation,
    gradient_covariance, isotropy, minibatch_covariance,
};

/// The factors of a network's layer, as somebody would give them who has computed them elsewhere.
fn factors(layer: &AnalysedLayer) -> LayerFactors {
    let mut curvatures = layer.curvatures();
    let S = |p| curvatures.at(p).S.col_iter().flat_map(|column| column.iter().copied()).collect::<Vec<_>>();
    LayerFactors {
        activities: layer.activities().clone(),
        deltas: layer.deltas().clone(),
        curvatures: (0..layer.n_samples()).flat_map(S).collect(),
        weight: Some(layer.weight().unwrap().to_owned()),
        labels: Some(layer.labels().unwrap().to_vec()),
    }
}

/// Every number that the crates make of a layer, one result behind the other.
fn everything(layer: &AnalysedLayer) -> Vec<(&'static str, Vec<u64>)> {
    let mut all = Vec::new();
    let mut add = |what, values: Vec<f64>| all.push((what, values.into_iter().map(f64::to_bits).collect()));
    let flat = |A: &Mat<f64>| A.col_iter().flat_map(|column| column.iter().copied()).collect::<Vec<_>>();
    let rng = || ChaCha8Rng::seed_from_u64(3);

    let LayerMoments { H, M2, gradient_second_moment } = layer_moments(layer);
    add("H", flat(&H));
    add("M₂", flat(&M2));
    add("Σ", flat(&gradient_covariance(gradient_second_moment, layer)));
    add("ḡ", layer.mean_gradient());
    add("E|h|", flat(&absolute_hessian(layer)));
    let (kappa_max, p) = largest_curvature(layer);
    add("κ_max", vec![kappa_max, p as f64]);
    add("Ĉ", flat(&minibatch_covariance(layer, 2, &mut rng()).unwrap()));

    let V = Mat::from_fn(layer.n_params(), 7, |i, k| ((3 * i + 5 * k) % 11) as f64 - 5.0);
    directional_contributions(layer, V.as_ref(), AbsoluteCurvature::Compute, |panels| {
        add("g·v", flat(&panels.gradient.to_owned()));
        add("vᵀhv", flat(&panels.curvature.to_owned()));
        add("vᵀh²v", flat(&panels.squared_curvature.to_owned()));
        add("vᵀ|h|v", flat(&panels.absolute_curvature.unwrap().to_owned()));
    });
    let all_samples: Vec<usize> = (0..layer.n_samples()).collect();
    let spectra: Vec<_> = per_sample_hessians(layer, &all_samples).iter().map(|h| h.eigenpairs()).collect();
    add("alignments", flat(&alignments(&spectra, V.as_ref())));

    let partners = choose_partners(layer, PartnerPolicy::UniformInClass, &mut rng()).unwrap();
    let dual = dual_perturbation(layer, &partners).unwrap();
    add("SWΔa", flat(&dual.responses));
    let (moments, awd) = awd_moments(layer, &dual);
    add("H beside the duality", flat(&moments.H));
    for (what, term) in [("xx", &awd.xx), ("xy", &awd.xy), ("yy", &awd.yy), ("local", &awd.local_diagonal)] {
        add(what, flat(term));
    }
    add("C_AWD of batches", flat(&awd_batch_estimate(layer, &dual, 2, &mut rng()).unwrap().total()));
    add("isotropy", isotropy(layer, &dual).variance_by_rank);
    all
}

#[test]
fn give_what_the_network_gives_to_the_last_bit() {
    let mut seed = 6_000;
    for activation in ACTIVATIONS {
        for loss in LOSSES {
            seed += 1;
            // Two blocks of samples; widths that do and do not fill a vector register.
            for widths in [&[4, 3][..], &[5, 8, 7, 3], &[3, 17, 16, 3]] {
                let case = Case::random(widths, activation, loss, 270, seed);
                let layer = case.layer(widths.len() / 2 - 1);
                let given = AnalysedLayer::from_factors(factors(&layer)).unwrap();
                for ((what, found), (_, truth)) in everything(&given).into_iter().zip(everything(&layer)) {
                    assert!(found == truth, "{what}: {}", case.name);
                }
            }
        }
    }
}

/// Gradients and Hessians of the slow reference alone, in the order of NumPy.
#[test]
fn agree_with_dense_truths_without_a_network() {
    let case = Case::random(&[3, 5, 4, 3], Activation::Tanh, Loss::SoftmaxMse, 9, 6_100);
    for dense in 0..3 {
        let derivatives: Vec<_> = case
            .inputs
            .iter()
            .zip(&case.labels)
            .map(|(x, &y)| (case.reference.activity(dense, x), case.reference.in_pre_activation(dense, x, y)))
            .collect();
        let columns = |of: &dyn Fn(usize) -> Vec<f64>| {
            let columns: Vec<Vec<f64>> = (0..case.n_samples()).map(of).collect();
            Mat::from_fn(columns[0].len(), columns.len(), |i, p| columns[p][i])
        };
        let row_major = |A: &Mat<f64>| A.row_iter().flat_map(|row| row.iter().copied()).collect::<Vec<_>>();
        let given = LayerFactors {
            activities: columns(&|p| derivatives[p].0.clone()),
            deltas: columns(&|p| derivatives[p].1.gradient.clone()),
            curvatures: derivatives.iter().flat_map(|(_, in_z)| row_major(&in_z.hessian)).collect(),
            weight: None,
            labels: None,
        };
        let layer = AnalysedLayer::from_factors(given).unwrap();
        let truths = case.truths(dense);
        let moments = layer_moments(&layer);
        let H = mean(truths.iter().map(|truth| truth.hessian.clone()));
        assert_close(moments.H.as_ref(), H.as_ref(), TOLERANCE, "H");
        let M2 = mean(truths.iter().map(|truth| product(&truth.hessian, &truth.hessian)));
        assert_close(moments.M2.as_ref(), M2.as_ref(), TOLERANCE, "M₂");
        let second = mean(truths.iter().map(|truth| outer(&truth.gradient, &truth.gradient)));
        assert_close(moments.gradient_second_moment.as_ref(), second.as_ref(), TOLERANCE, "E[g gᵀ]");
    }
}

#[test]
fn what_was_not_given_is_a_typed_error() {
    let case = Case::random(&[3, 4, 3], Activation::Tanh, Loss::CrossEntropy, 6, 6_200);
    let network = case.layer(0);
    let partners = choose_partners(&network, PartnerPolicy::NearestInClass, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let bare = LayerFactors { weight: None, labels: None, ..factors(&network) };
    let layer = AnalysedLayer::from_factors(bare).unwrap();
    assert_eq!(gauss_newton(&layer), Err(NotGiven::Network));
    assert_eq!(layer.network_pass().err(), Some(NotGiven::Network));
    assert_eq!(dual_perturbation(&layer, &partners).err(), Some(NotGiven::Weight));
    let error = choose_partners(&layer, PartnerPolicy::PAPER, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err();
    assert_eq!(error, PartnerError::NotGiven(NotGiven::Labels));
}

/// A layer keeps its own copy of the weights: a network that goes on training moves nothing of it.
#[test]
fn a_layer_outlives_its_network() {
    let mut case = Case::random(&[3, 5, 4, 3], Activation::Relu, Loss::CrossEntropy, 8, 6_300);
    let layer = case.layer(1);
    let before = layer_moments(&layer).H;
    case.net.params_mut().fill(0.0);
    assert_eq!(layer_moments(&layer).H, before);
    assert_ne!(layer_moments(&case.layer(1)).H, before);
}
