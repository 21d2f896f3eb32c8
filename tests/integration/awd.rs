//! Activity–weight duality, `MATH [8]–[12]`, against dense per-sample matrices and sums over all batches.

use crate::cases::{ACTIVATIONS, Case, LOSSES};
use crate::dense::{TOLERANCE, assert_close, column, dot, jacobi, mean, outer};
use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use superlinear_curvature::{AnalysedLayer, layer_moments};
use superlinear_nets::{Activation, Loss, Tail};
use superlinear_noise::{
    DualPerturbation, NoiseError, PartnerPolicy, Partners, awd_batch_estimate, awd_moments, awd_terms, choose_partners,
    dual_perturbation, isotropy, weight_variance,
};

fn matched(case: &Case, dense: usize) -> (AnalysedLayer, Partners, DualPerturbation) {
    let layer = case.layer(dense);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let partners = choose_partners(&layer, PartnerPolicy::UniformInClass, &mut rng).unwrap();
    let dual = dual_perturbation(&layer, &partners).unwrap();
    (layer, partners, dual)
}

/// A matrix made of two vectors, such as their outer product.
type Product<'a> = &'a dyn Fn(&[f64], &[f64]) -> Mat<f64>;

/// One sample's quantities, from the reference network and the definitions alone.
struct Truth {
    /// `Δw_p`.
    weight_shift: Vec<f64>,
    /// `x_p = h_p Δw_p`.
    x: Vec<f64>,
    /// `y_p = (∂Δw_p/∂w)ᵀ g_p`; for `a_p = 0`, where there is no `Δw`, its limit `δ_p ⊗ Δa_p`.
    y: Vec<f64>,
    hessian: Mat<f64>,
}

fn truths(case: &Case, dense: usize, partners: &Partners) -> Vec<Truth> {
    let derivatives = case.truths(dense);
    let activity = |p: usize| case.reference.activity(dense, &case.inputs[p]);
    let W = case.net.weight(dense);
    let (d_out, d_in) = (W.nrows(), W.ncols());
    (0..case.n_samples())
        .map(|p| {
            let a = activity(p);
            let shift: Vec<f64> = activity(partners.of[p]).iter().zip(&a).map(|(q, a)| q - a).collect();
            let norm_squared = dot(&a, &a);
            // Δw as a function of w, for any weight.
            let dual = |W: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                let moved = |o: usize| (0..d_in).map(|i| W(o, i) * shift[i]).sum::<f64>();
                let entry = |o: usize, i: usize| if norm_squared == 0.0 { 0.0 } else { moved(o) * a[i] / norm_squared };
                (0..d_out).flat_map(|o| (0..d_in).map(move |i| (o, i))).map(|(o, i)| entry(o, i)).collect()
            };
            let weight_shift = dual(&|o, i| W[(o, i)]);
            let h = &derivatives[p].hessian;
            let x = (0..d_out * d_in).map(|r| (0..d_out * d_in).map(|c| h[(r, c)] * weight_shift[c]).sum()).collect();
            // Δw is linear in w, so column k of its Jacobian is Δw at the k-th unit weight.
            let g = &derivatives[p].gradient;
            let unit = |k: usize| dual(&move |o, i| if o * d_in + i == k { 1.0 } else { 0.0 });
            let y = if norm_squared == 0.0 {
                let delta = case.reference.in_pre_activation(dense, &case.inputs[p], case.labels[p]).gradient;
                delta.iter().flat_map(|delta| shift.iter().map(move |shift| delta * shift)).collect()
            } else {
                (0..d_out * d_in).map(|k| dot(&unit(k), g)).collect()
            };
            Truth { weight_shift, x, y, hessian: h.clone() }
        })
        .collect()
}

/// Every set of `size` distinct samples.
fn batches(n_samples: usize, size: usize) -> Vec<Vec<usize>> {
    (0_u32..1 << n_samples)
        .filter(|set| set.count_ones() as usize == size)
        .map(|set| (0..n_samples).filter(|p| set >> p & 1 == 1).collect())
        .collect()
}

fn mean_of(vectors: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    mean(vectors.map(|v| column(&v).to_owned())).col_as_slice(0).to_vec()
}

fn symmetrised(x: &[f64], y: &[f64]) -> Mat<f64> {
    outer(x, y) + outer(y, x)
}

fn assert_terms(case: &Case, dense: usize) {
    let name = format!("{} layer {dense}", case.name);
    let (layer, partners, dual) = matched(case, dense);
    let truths = truths(case, dense, &partners);
    let n_samples = case.n_samples();
    for (p, truth) in truths.iter().enumerate() {
        let found = dual.weight_shift(&layer, p);
        assert_close(column(&found), column(&truth.weight_shift), TOLERANCE, format!("Δw: {name}"));
    }
    let (moments, awd) = awd_moments(&layer, &dual);
    let plain = layer_moments(&layer);
    assert_eq!(moments.H, plain.H, "H: {name}");
    assert_eq!(moments.M2, plain.M2, "M₂: {name}");
    for batch in [1, 2, 3, n_samples] {
        let terms = awd_terms(awd.clone(), batch, n_samples).unwrap();
        let half = |matrix: Mat<f64>| matrix * faer::Scale(0.5);
        let over_batches = |product: Product<'_>| {
            half(mean(batches(n_samples, batch).iter().map(|members| {
                let x = mean_of(members.iter().map(|&p| truths[p].x.clone()));
                let y = mean_of(members.iter().map(|&p| truths[p].y.clone()));
                product(&x, &y)
            })))
        };
        let same = |product: Product<'_>| {
            mean(truths.iter().map(|truth| product(&truth.x, &truth.y))) * faer::Scale(0.5 / batch as f64)
        };
        let check = |found: &Mat<f64>, truth: Mat<f64>, what: &str| {
            assert_close(found.as_ref(), truth.as_ref(), TOLERANCE, format!("{what}, B = {batch}: {name}"));
            assert_eq!(found, &found.transpose().to_owned(), "{what} symmetric: {name}");
        };
        check(&terms.hh, over_batches(&|x, _| outer(x, x)), "C^hh");
        check(&terms.hg, over_batches(&symmetrised), "C^hg");
        check(&terms.gg, over_batches(&|_, y| outer(y, y)), "C^gg");
        let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x + y).collect::<Vec<f64>>();
        let total = terms.total();
        let truth = over_batches(&|x, y| outer(&sum(x, y), &sum(x, y)));
        assert_close(total.as_ref(), truth.as_ref(), TOLERANCE, format!("C_AWD: {name}"));
        check(&terms.hh_same, same(&|x, _| outer(x, x)), "C^hh,SD");
        check(&terms.hg_same, same(&symmetrised), "C^hg,SD");
        check(&terms.gg_same, same(&|_, y| outer(y, y)), "C^gg,SD");
        if case.loss != Loss::LinearMse {
            // Equal eigenvalues, which linear MSE has, leave the local basis open.
            let local = mean(truths.iter().map(|truth| {
                let (kappa, u) = jacobi(&truth.hessian);
                let mut sum = Mat::zeros(kappa.len(), kappa.len());
                for (m, kappa) in kappa.iter().enumerate() {
                    let u = u.col_as_slice(m);
                    sum += outer(u, u) * faer::Scale((kappa * dot(u, &truth.weight_shift)).powi(2));
                }
                sum
            }));
            check(&terms.hh_local, local * faer::Scale(0.5 / batch as f64), "C^hh,SD,WD");
        }
        let trace = |A: &Mat<f64>| (0..A.nrows()).map(|i| A[(i, i)]).sum::<f64>();
        let sigma_squared = weight_variance(&terms.hh_same, &moments.M2, batch);
        if trace(&moments.M2) > 0.0 {
            let truth = mean_of(truths.iter().map(|truth| vec![dot(&truth.x, &truth.x)]))[0] / trace(&moments.M2);
            assert!((sigma_squared - truth).abs() <= TOLERANCE * truth.max(1e-12), "σ_w²: {name}");
        }
    }
}

#[test]
fn terms_agree_with_dense_hessians_and_sums_over_all_batches() {
    let mut seed = 4_000;
    for widths in [&[4, 3][..], &[3, 4, 3], &[3, 2, 4, 3]] {
        for activation in ACTIVATIONS {
            for loss in LOSSES {
                seed += 1;
                let case = Case::random(widths, activation, loss, 7, seed);
                for dense in 0..case.n_dense() {
                    assert_terms(&case, dense);
                }
            }
        }
    }
}

#[test]
fn zero_activities_and_duplicates_contribute_nothing_and_are_counted() {
    let mut case = Case::random(&[3, 4, 3], Activation::Relu, Loss::CrossEntropy, 6, 9);
    case.inputs[0] = vec![0.0; 3];
    case.inputs[1] = case.inputs[4].clone();
    assert_terms(&case, 0);
    let (_, partners, _) = matched(&case, 0);
    // Of class 1 there are two samples, 1 and 4, each the other's partner; of class 0 sample 0 has no activity.
    assert_eq!((partners.n_duplicates, partners.n_zero_activities), (2, 1));
}

#[test]
fn the_dual_perturbation_is_the_least_that_moves_the_pre_activation_so() {
    let case = Case::random(&[3, 5, 4, 3], Activation::Tanh, Loss::CrossEntropy, 7, 21);
    for dense in 0..3 {
        let (layer, _, dual) = matched(&case, dense);
        for p in 0..7 {
            let a = layer.a(p);
            let shift = dual.weight_shift(&layer, p);
            for (o, row) in shift.chunks_exact(a.len()).enumerate() {
                // (ΔW a)_o = (W Δa)_o, and ΔW has no part in the null space {Z : Z a = 0}: its rows are multiples of a.
                assert!((dot(row, a) - dual.pre_shifts[(o, p)]).abs() < 1e-13);
                let along = dot(row, a) / dot(a, a);
                assert!(row.iter().zip(a).all(|(x, a)| (x - along * a).abs() < 1e-13));
            }
        }
    }
}

#[test]
fn the_first_order_error_falls_with_the_square_of_the_shift() {
    let case = Case::random(&[3, 4, 5, 3], Activation::Tanh, Loss::CrossEntropy, 6, 33);
    let (layer, _, dual) = matched(&case, 1);
    let tail = Tail::new(&case.net, 1, case.loss);
    let mut at = tail.buffers();
    for p in 0..6 {
        let (a, z) = (layer.a(p), layer.network_pass().unwrap().pre_activations().col_as_slice(p));
        let (shift, moved) = (dual.shifts.col_as_slice(p), dual.pre_shifts.col_as_slice(p));
        let (response, delta) = (dual.responses.col_as_slice(p), layer.delta(p));
        // ‖g(a + tΔa) − g(a) − t(x + y)‖.
        let mut error = |t: f64| {
            let shifted: Vec<f64> = z.iter().zip(moved).map(|(z, m)| z + t * m).collect();
            tail.gradient(&shifted, case.labels[p], &mut at);
            let mut squared = 0.0;
            for o in 0..delta.len() {
                for i in 0..a.len() {
                    let partner = at.delta[o] * (a[i] + t * shift[i]);
                    let first_order = delta[o] * a[i] + t * (response[o] * a[i] + delta[o] * shift[i]);
                    squared += (partner - first_order).powi(2);
                }
            }
            squared.sqrt()
        };
        for t in [1e-1, 1e-2, 1e-3] {
            let ratio = error(t) / error(0.5 * t);
            assert!((ratio - 4.0).abs() < 10.0 * t, "sample {p}, t = {t}: {ratio}");
        }
    }
}

#[test]
fn the_batch_estimate_is_unbiased() {
    const DRAWS: usize = 4_000;
    let case = Case::random(&[3, 4, 3], Activation::Relu, Loss::CrossEntropy, 12, 40);
    let (layer, _, dual) = matched(&case, 1);
    let (_, awd) = awd_moments(&layer, &dual);
    let terms = awd_terms(awd, 3, 12).unwrap();
    let P = layer.n_params();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let draws: Vec<_> = (0..DRAWS).map(|_| awd_batch_estimate(&layer, &dual, 3, &mut rng).unwrap()).collect();
    for i in 0..P {
        for (found, truth) in [
            (draws.iter().map(|d| d.hh[(i, i)]).collect::<Vec<f64>>(), terms.hh[(i, i)]),
            (draws.iter().map(|d| d.hg[(i, P - 1 - i)]).collect(), terms.hg[(i, P - 1 - i)]),
            (draws.iter().map(|d| d.gg[(i, i)]).collect(), terms.gg[(i, i)]),
        ] {
            let n = DRAWS as f64;
            let mean = found.iter().sum::<f64>() / n;
            let variance = found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            // 36 comparisons: 4.5 standard errors.
            assert!((mean - truth).abs() <= 4.5 * (variance / n).sqrt() + 1e-15, "{i}: {mean} {truth}");
        }
    }
    assert_eq!(draws[0].total(), &draws[0].hh + &draws[0].hg + &draws[0].gg);
    for batch in [0, 13] {
        let error = awd_batch_estimate(&layer, &dual, batch, &mut rng).unwrap_err();
        assert_eq!(error, NoiseError::BatchSize { batch, n_samples: 12 });
    }
}

#[test]
fn isotropy_is_read_in_each_samples_own_eigenbasis() {
    let case = Case::random(&[3, 4, 5, 3], Activation::Tanh, Loss::CrossEntropy, 7, 50);
    let (layer, partners, dual) = matched(&case, 1);
    let found = isotropy(&layer, &dual);
    let truths = truths(&case, 1, &partners);
    let n_ranks = layer.d_out();
    assert_eq!(found.n_by_rank, vec![7; n_ranks], "tanh gives every Hessian full rank");
    for m in 0..n_ranks {
        let component = |truth: &Truth| {
            let (kappa, u) = jacobi(&truth.hessian);
            let mut order: Vec<usize> = (0..kappa.len()).collect();
            order.sort_by(|&i, &j| kappa[j].abs().total_cmp(&kappa[i].abs()));
            dot(u.col_as_slice(order[m]), &truth.weight_shift).powi(2)
        };
        let truth = truths.iter().map(component).sum::<f64>() / 7.0;
        assert!((found.variance_by_rank[m] - truth).abs() < 1e-9 * truth, "rank {m}");
    }
    assert!(found.anisotropy > 0.0);
}

#[test]
fn bit_identical_for_any_number_of_threads() {
    let case = Case::random(&[5, 8, 7, 3], Activation::Relu, Loss::SoftmaxMse, 600, 60);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (layer, _, dual) = matched(&case, 1);
            let (_, awd) = awd_moments(&layer, &dual);
            let isotropy = isotropy(&layer, &dual);
            let terms = awd_terms(awd, 50, 600).unwrap();
            (terms.total(), terms.hg_same, terms.hh_local, isotropy)
        })
    };
    let one = run(1);
    for threads in [2, 4] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}
