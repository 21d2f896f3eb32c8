//! Prescribed spectra against the truth and against the dense decomposition.

use super::*;
use crate::eigh::eigh;
use crate::operator::FnOp;
use crate::testing::{by_threads, prescribed};
use faer::Mat;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn rng(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Another stream than that of the prescribed eigenvectors.
    rng.set_stream(1);
    rng
}

fn truth(mut values: Vec<f64>, wanted: Wanted) -> Vec<f64> {
    let n = values.len();
    values.sort_by(|x, y| y.total_cmp(x));
    match wanted {
        Wanted::Largest(k) => values[..k].to_vec(),
        Wanted::Smallest(k) => values[n - k..].to_vec(),
        Wanted::Ends { largest, smallest } => [&values[..largest], &values[n - smallest..]].concat(),
        Wanted::Magnitude(k) => {
            values.sort_by(|x, y| y.abs().total_cmp(&x.abs()));
            values.truncate(k);
            values.sort_by(|x, y| y.total_cmp(x));
            values
        }
    }
}

/// A matrix of a prescribed spectrum with its dense eigenvalues.
struct Dense {
    A: Mat<f64>,
    values: Vec<f64>,
}

impl Dense {
    fn new(values: &[f64], seed: u64) -> Self {
        let A = prescribed(values, seed);
        let values = eigh(A.as_ref()).unwrap().values;
        Self { A, values }
    }

    /// Values within their residuals, residuals as the dense matrix tells them, vectors orthonormal.
    fn verify(&self, found: &Lanczos, wanted: Wanted) {
        let (A, n, expected) = (&self.A, self.values.len(), truth(self.values.clone(), wanted));
        let norm = self.values[0].abs().max(self.values[n - 1].abs());
        let rounding = 1e-13 * norm;
        assert_eq!(found.stop, Stop::Converged, "{:?}", found.pairs);
        assert!(found.state.norm <= norm * (1.0 + 1e-12) && found.state.norm >= 0.2 * norm, "{}", found.state.norm);
        let V = found.vectors();
        assert_eq!((V.nrows(), V.ncols(), found.pairs.len()), (n, expected.len(), expected.len()));
        assert!(found.orthogonality < 1e-13 * n as f64);
        let defect = (V.transpose() * V - Mat::<f64>::identity(V.ncols(), V.ncols())).norm_l2();
        assert!((defect - found.orthogonality).abs() < 1e-13 * n as f64);
        for (i, (pair, truth)) in found.pairs.iter().zip(expected).enumerate() {
            assert!(pair.converged && pair.residual <= found.tolerance * found.state.norm);
            assert!((pair.value - truth).abs() <= pair.residual + rounding, "pair {i}: {pair:?} is not {truth}");
            let residual = (A * V.col(i) - V.col(i) * faer::Scale(pair.value)).norm_l2();
            assert!((residual - pair.residual).abs() <= rounding, "pair {i}: {residual:e}, {pair:?}");
        }
    }
}

fn spectra() -> Vec<(&'static str, Vec<f64>)> {
    let n = 120;
    let of = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
    vec![
        ("separated", of(&|k| 0.8_f64.powi(k as i32))),
        ("even", of(&|k| k as f64 / n as f64)),
        ("clustered", of(&|k| if k < 6 { 1.0 + 1e-9 * k as f64 } else { 0.9 - 0.005 * k as f64 })),
        ("degenerate", of(&|k| [5.0, 5.0, 5.0, 4.0, 4.0, 1.0][k % 6] / (1.0 + (k / 6) as f64))),
        ("indefinite", of(&|k| (k as f64 * 0.9).sin() * (1.0 + k as f64))),
        ("tiny", of(&|k| 1e-12 * (k as f64 - 40.0))),
        ("huge", of(&|k| 1e12 * (1.0 + k as f64).powf(-1.5))),
        ("near underflow", of(&|k| 1e-290 * (k as f64 - 40.0))),
        ("low rank", of(&|k| if k < 4 { 3.0 - k as f64 * 0.5 } else { 0.0 })),
        ("three values", of(&|k| [2.0, 0.5, -1.0][k % 3])),
        ("multiple of one", of(&|_| -7.0)),
        ("zero", of(&|_| 0.0)),
    ]
}

#[test]
fn prescribed_spectra_from_every_end() {
    let wanted =
        [Wanted::Largest(7), Wanted::Smallest(3), Wanted::Ends { largest: 4, smallest: 2 }, Wanted::Magnitude(5)];
    let decays = ["separated", "huge", "degenerate"];
    for (seed, (name, values)) in spectra().into_iter().enumerate() {
        let dense = Dense::new(&values, seed as u64);
        // The small end of a decaying spectrum is a cluster at zero, relative to the norm.
        let ends = if decays.contains(&name) { [wanted[0], wanted[3]].to_vec() } else { wanted.to_vec() };
        for wanted in ends {
            for block in [1, 3] {
                let config = LanczosConfig { block, tolerance: 1e-10, ..Default::default() };
                let found = lanczos(&dense.A, wanted, &config, &mut rng(1)).unwrap();
                dense.verify(&found, wanted);
                assert!(found.probed, "{name}");
            }
        }
    }
}

#[test]
fn the_smallest_operators() {
    for n in 1..=4 {
        for values in [vec![1.0; n], (0..n).map(|k| k as f64 - 1.0).collect()] {
            let dense = Dense::new(&values, 3);
            for k in 1..=n {
                for block in 1..=3 {
                    let config = LanczosConfig { block, ..Default::default() };
                    let found = lanczos(&dense.A, Wanted::Largest(k), &config, &mut rng(2)).unwrap();
                    dense.verify(&found, Wanted::Largest(k));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_spectra(
        mut values in prop::collection::vec(-1.0f64..1.0, 1..90),
        rounded in any::<bool>(),
        exponent in -100i32..100,
        block in 1usize..4,
        k in 1usize..8,
        slack in 2usize..20,
        seed in any::<u64>(),
    ) {
        if rounded {
            values.iter_mut().for_each(|x| *x = (*x * 4.0).round() / 4.0);
        }
        values.iter_mut().for_each(|x| *x *= 10f64.powi(exponent));
        let k = k.min(values.len());
        let dense = Dense::new(&values, seed);
        let config = LanczosConfig { block, basis: Some(k + 8 + slack + 2 * block), ..Default::default() };
        let wanted = Wanted::Ends { largest: k - k / 2, smallest: k / 2 };
        let found = lanczos(&dense.A, wanted, &config, &mut rng(seed)).unwrap();
        dense.verify(&found, wanted);
    }
}

/// One vector's Krylov space shows one copy; what is asked for says whether the others are looked for.
#[test]
fn copies_are_found_when_asked_for() {
    let n = 400;
    let values: Vec<f64> = (0..n).map(|k| if k < 5 { 10.0 } else { 9.0 * (-0.01 * k as f64).exp() }).collect();
    let A = FnOp::by_vector(n, |y: &mut [f64], x: &[f64]| (0..n).for_each(|i| y[i] = values[i] * x[i]));
    let found = lanczos(&A, Wanted::Largest(5), &LanczosConfig::default(), &mut rng(4)).unwrap();
    assert!(found.probed && found.pairs.iter().all(|pair| (pair.value - 10.0).abs() < 1e-12), "{:?}", found.pairs);
    // Who does not ask gets the one copy that one vector's Krylov space has.
    let config = LanczosConfig { completeness: Completeness::Trusted, tolerance: 1e-3, ..Default::default() };
    let trusted = lanczos(&A, Wanted::Largest(2), &config, &mut rng(4)).unwrap();
    assert!(!trusted.probed && trusted.pairs[1].value < 9.5);
    // Two values, ten copies each: an invariant space of two dimensions is continued even so.
    let values: Vec<f64> = (0..20).map(|k| if k < 10 { 2.0 } else { 1.0 }).collect();
    let dense = Dense::new(&values, 6);
    let config = LanczosConfig { tolerance: 1e-8, ..config };
    dense.verify(&lanczos(&dense.A, Wanted::Largest(10), &config, &mut rng(4)).unwrap(), Wanted::Largest(10));
}

/// A fourth copy of the largest value where the block is three wide: the probe's vector is nearly squeezed out of a
/// narrow basis, and the copy that it brings comes in long after the others have converged.
#[test]
fn a_late_copy_is_no_stall() {
    let copies = [(1.0, 4), (0.75, 2), (0.5, 4), (0.25, 2), (0.0, 5), (-0.25, 3), (-0.5, 2), (-0.75, 4), (-1.0, 1)];
    let values: Vec<f64> = copies.iter().flat_map(|&(value, n)| vec![value; n]).collect();
    let wanted = Wanted::Ends { largest: 4, smallest: 3 };
    // The narrowest basis that there is may still stall or miss the copy, now and then; where the late copy counts as a
    // stall, it nearly always stalls.
    for (basis, allowed) in [(23, 0), (15, 4)] {
        let config = LanczosConfig { block: 3, basis: Some(basis), ..Default::default() };
        let stalled = (0..40).filter(|&seed| {
            let dense = Dense::new(&values, seed);
            let found = lanczos(&dense.A, wanted, &config, &mut rng(seed)).unwrap();
            let stalled = found.stop == Stop::Stalled;
            if allowed == 0 {
                dense.verify(&found, wanted);
            }
            stalled
        });
        let stalled = stalled.count();
        assert!(stalled <= allowed, "{stalled} of 40 with {basis} columns");
    }
}

#[test]
fn continues_where_it_stopped() {
    let values: Vec<f64> = (0..300).map(|k| 1.0 / (1.0 + k as f64).sqrt()).collect();
    let dense = Dense::new(&values, 8);
    let (A, wanted) = (&dense.A, Wanted::Largest(6));
    let full = LanczosConfig { tolerance: 1e-9, ..Default::default() };
    let part = LanczosConfig { max_products: 30, ..full.clone() };
    let mut found = lanczos(A, wanted, &part, &mut rng(9)).unwrap();
    let mut calls = 1;
    while found.stop == Stop::Budget {
        assert!(found.state.products <= 30 * calls);
        assert!(matches!(found.clone().into_converged(), Err(LanczosError::Budget(e)) if e.wanted == 6));
        found = lanczos_resume(A, found.state, wanted, &part, &mut rng(9 + calls as u64)).unwrap();
        calls += 1;
    }
    assert!(calls > 2);
    dense.verify(&found, wanted);
    // Without what is known of the rest, too, and nothing that is told of the pairs needs it.
    let mut bare = found.clone();
    bare.state.keep_wanted();
    assert_eq!(bare.state.columns.len(), 300 * (6 + bare.state.coupling.nrows()));
    assert!(bare.vectors() == found.vectors() && bare.rotations() == found.rotations());
    let rest = lanczos_resume(A, bare.state, wanted, &full, &mut rng(9)).unwrap();
    dense.verify(&rest, wanted);
    // More pairs, from the state of fewer, cost less than from nothing.
    let more = Wanted::Largest(10);
    let fresh = lanczos(A, more, &full, &mut rng(9)).unwrap().state.products;
    let before = found.state.products;
    let found = lanczos_resume(A, found.state, more, &full, &mut rng(9)).unwrap();
    dense.verify(&found, more);
    assert!(found.state.products - before < fresh);
}

/// Whoever listens hears of the pairs as they converge, stops the iteration, and changes nothing of it.
#[test]
fn a_listener_stops_what_can_be_continued() {
    let values: Vec<f64> = (0..300).map(|k| 1.0 / (1.0 + k as f64).sqrt()).collect();
    let dense = Dense::new(&values, 8);
    let (A, wanted, config) = (&dense.A, Wanted::Largest(6), LanczosConfig::default());
    let mut heard = Vec::new();
    let listened = lanczos_with(A, None, wanted, &config, &mut rng(9), |progress| {
        heard.push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    let whole = lanczos(A, wanted, &config, &mut rng(9)).unwrap();
    assert!(listened.pairs == whole.pairs && listened.state == whole.state);
    assert!(heard.len() > 5 && heard.is_sorted_by_key(|progress| progress.products));
    let last = heard.last().unwrap();
    assert!((last.converged, last.wanted) == (6, 6) && last.residual <= config.tolerance, "{last:?}");
    assert!(heard[0].converged < 6 && heard[0].products >= 6 && heard[0].residual > config.tolerance);

    let mut times = 0;
    let stopped = lanczos_with(A, None, wanted, &config, &mut rng(9), |_| {
        times += 1;
        if times == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!((stopped.stop, times, stopped.state.products), (Stop::Interrupted, 4, heard[3].products + 6));
    let residual =
        |i: usize| (A * stopped.vectors().col(i) - stopped.vectors().col(i) * stopped.pairs[i].value).norm_l2();
    assert!((0..6).all(|i| (residual(i) - stopped.pairs[i].residual).abs() < 1e-13));
    assert!(matches!(stopped.clone().into_converged(), Err(LanczosError::Interrupted(e)) if e.wanted == 6));
    let state = Some(stopped.state);
    let continued = lanczos_with(A, state, wanted, &config, &mut rng(9), |_| ControlFlow::Continue(())).unwrap();
    dense.verify(&continued, wanted);
}

/// Against the eigenvectors, from loose to tight tolerances, a pair of near eigenvalues among the wanted.
#[test]
fn rotations_are_those_to_the_eigenvectors() {
    let value = |k: usize| if k == 3 { 1.0 / 3.0 - 1e-4 } else { 1.0 / (1.0 + k as f64) };
    let dense = Dense::new(&(0..200).map(value).collect::<Vec<f64>>(), 5);
    let U = eigh(dense.A.as_ref()).unwrap().vectors;
    for tolerance in [1e-2, 1e-3, 1e-5] {
        let config = LanczosConfig { tolerance, completeness: Completeness::Trusted, ..Default::default() };
        let found = lanczos(&dense.A, Wanted::Largest(8), &config, &mut rng(3)).unwrap();
        let (V, rotations) = (found.vectors(), found.rotations());
        for i in 0..8 {
            let along = V.transpose() * U.col(i);
            let outside = (U.col(i) - V * &along).norm_l2();
            let estimate = rotations.outside[i];
            assert!(
                outside <= 1.01 * estimate + 1e-14 && estimate <= 20.0 * outside + 1e-12,
                "{i}: {outside:e} {estimate:e}"
            );
            for j in 0..8 {
                let (turned, estimate) = (along[j].abs(), rotations.inside[(i, j)]);
                assert!(i == j || turned <= 1.01 * estimate + 1e-13, "{i}, {j}: {turned:e}, estimated {estimate:e}");
            }
        }
        assert!(rotations.inside[(2, 3)] > 100.0 * rotations.inside[(0, 1)]);
    }
    let twice = prescribed(&[2.0, 2.0, 1.0, 0.5, 0.2, 0.1], 1);
    let found = lanczos(&twice, Wanted::Largest(1), &LanczosConfig::default(), &mut rng(1)).unwrap();
    assert_eq!(found.rotations().outside, [1.0], "one vector of two is not determined");
}

#[test]
fn a_damaged_state_is_named() {
    let A = prescribed(&[5.0, 4.0, 3.0, 2.0, 1.0, 0.0], 1);
    let config = LanczosConfig { max_products: 5, ..Default::default() };
    let state = lanczos(&A, Wanted::Largest(2), &config, &mut rng(1)).unwrap().state;
    let error = |damage: &dyn Fn(&mut LanczosState)| {
        let mut state = state.clone();
        damage(&mut state);
        match lanczos_resume(&A, state, Wanted::Largest(2), &config, &mut rng(1)) {
            Err(LanczosError::State { what, .. }) => what,
            other => panic!("accepted: {other:?}"),
        }
    };
    let entries = "the number of entries of the columns";
    assert_eq!(error(&|s| s.columns.truncate(s.columns.len() / 6 * 5)), entries);
    assert_eq!(error(&|s| s.values.push(1.0)), entries);
    assert_eq!(error(&|s| s.values[0] = f64::NAN), "an entry");
    assert_eq!(error(&|s| s.columns[8] += 1e-6), "the departure from orthonormality");
    assert_eq!(error(&|s| s.columns[8] = f64::NAN), "the departure from orthonormality");
    // Orthonormal columns of another operator: the coupling does not fit its products.
    let other = prescribed(&[5.0, 4.0, 3.0, 2.0, 1.0, 0.0], 2);
    let found = lanczos_resume(&other, state.clone(), Wanted::Largest(2), &config, &mut rng(1));
    assert!(matches!(found, Err(LanczosError::Asymmetric { .. })));
}

#[test]
fn bad_input_is_named() {
    let config = LanczosConfig::default();
    let error = |A: &dyn LinOp<f64>, wanted| lanczos(A, wanted, &config, &mut rng(1)).unwrap_err();
    let I = Mat::<f64>::identity(3, 3);
    assert_eq!(error(&Mat::<f64>::zeros(0, 0), Wanted::Largest(1)), LanczosError::Shape { nrows: 0, ncols: 0 });
    assert_eq!(error(&Mat::<f64>::zeros(2, 3), Wanted::Largest(1)), LanczosError::Shape { nrows: 2, ncols: 3 });
    assert_eq!(error(&I, Wanted::Largest(4)), LanczosError::Count { wanted: 4, order: 3 });
    assert_eq!(error(&I, Wanted::Ends { largest: 0, smallest: 0 }), LanczosError::Count { wanted: 0, order: 3 });
    let least = LanczosConfig { max_products: 4, ..Default::default() };
    let small = lanczos(&I, Wanted::Largest(2), &least, &mut rng(1)).unwrap_err();
    assert_eq!(small, LanczosError::BudgetTooSmall { budget: 4, least: 5 });
    let skew = Mat::from_fn(30, 30, |i, j| if i < j { 1.0 } else { (i + j) as f64 });
    assert!(matches!(error(&skew, Wanted::Largest(2)), LanczosError::Asymmetric { asymmetry, .. } if asymmetry > 1e-3));
    let count = std::sync::atomic::AtomicUsize::new(0);
    let fails = FnOp::by_vector(50, |y: &mut [f64], x: &[f64]| {
        (0..50).for_each(|i| y[i] = i as f64 * x[i]);
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 6 {
            y[3] = f64::INFINITY;
        }
    });
    assert_eq!(error(&fails, Wanted::Largest(2)), LanczosError::NotFinite { product: 6, row: 3, value: f64::INFINITY });
}

/// Products in single precision: the recurrence would promise 1e-12, the recomputed residuals do not.
#[test]
fn rounding_in_the_operator_is_a_stall() {
    let n = 60;
    let A = prescribed(&(0..n).map(|k| 0.7_f64.powi(k)).collect::<Vec<_>>(), 3);
    let single = FnOp::by_vector(n as usize, |y: &mut [f64], x: &[f64]| {
        let product = &A * faer::ColRef::from_slice(x);
        y.iter_mut().zip(product.iter()).for_each(|(y, x)| *y = f64::from(*x as f32));
    });
    let config = LanczosConfig { tolerance: 1e-12, ..Default::default() };
    let found = lanczos(&single, Wanted::Largest(4), &config, &mut rng(1)).unwrap();
    assert_eq!(found.stop, Stop::Stalled);
    let Err(LanczosError::Stalled(evidence)) = found.clone().into_converged() else { panic!("{found:?}") };
    assert!(evidence.residual > 1e-10 && evidence.residual < 1e-6 && evidence.wanted == 4);
    for (pair, k) in found.pairs.iter().zip(0..) {
        assert!((pair.value - 0.7_f64.powi(k)).abs() < 1e-6);
    }
    let config = LanczosConfig { tolerance: 1e-6, ..config };
    assert_eq!(lanczos(&single, Wanted::Largest(4), &config, &mut rng(1)).unwrap().stop, Stop::Converged);
}

#[test]
fn draws_keep_their_values_on_any_number_of_threads() {
    let n = 2_500;
    let A = Mat::from_fn(n, n, |i, j| if i == j { (i as f64 * 0.3).cos() } else { 1e-3 * ((i * j) as f64).cos() });
    let config = LanczosConfig { block: 2, max_products: 120, ..Default::default() };
    let [one, others @ ..] = by_threads(|| lanczos(&A, Wanted::Largest(4), &config, &mut rng(7)).unwrap());
    for other in others {
        assert_eq!(other.state, one.state);
        assert_eq!(other.pairs, one.pairs);
    }
    assert_eq!(format!("{:.10}", one.state.basis()[(17, 1)].abs()), "0.0031827765");
    // And its largest eigenvalue does not depend on the draw.
    let config = LanczosConfig { max_products: 10_000, ..config };
    let top = |seed| lanczos(&A, Wanted::Largest(1), &config, &mut rng(seed)).unwrap().pairs[0].value;
    assert!((top(1) - top(2)).abs() < 1e-13 * one.state.norm);
}
