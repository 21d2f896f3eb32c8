//! One case table and one check for all estimators.

use crate::estimate::Estimate;
use crate::operator::FnOp;
use crate::testing::{by_threads, prescribed};
use crate::trace::{Goal, TraceConfig, TraceError, TraceEstimate, TraceStop};
use crate::{frobenius_squared, hutch_plus_plus, hutchinson, xdiag, xtrace};
use faer::Mat;
use faer::matrix_free::LinOp;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Another stream than that of the prescribed eigenvectors.
    rng.set_stream(1);
    rng
}

/// A prescribed spectrum.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<f64>,
    pub(crate) A: Mat<f64>,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let n = 60;
        let of = |name, f: &dyn Fn(f64) -> f64| {
            let values: Vec<f64> = (0..n).map(|k| f(f64::from(k))).collect();
            let A = prescribed(&values, n as u64);
            Self { name, values, A }
        };
        vec![
            of("decaying", &|k| 0.7_f64.powf(k)),
            of("flat", &|k| 1.0 + 0.01 * k),
            of("indefinite", &|k| (k * 0.9).sin() * 3.0),
            of("outliers", &|k| if k < 5.0 { 100.0 - k } else { 1.0 / k }),
            of("huge", &|k| 1e12 / (1.0 + k)),
            of("tiny", &|k| 1e-12 * (k - 20.0)),
        ]
    }

    pub(crate) fn trace(&self) -> f64 {
        self.values.iter().sum()
    }

    pub(crate) fn scale(&self) -> f64 {
        self.values.iter().map(|x| x.abs()).sum()
    }
}

/// Over many draws: the mean within 4 of its standard errors, the stated errors of the size of the actual ones, the
/// budget kept, and goals met.
pub(crate) fn verify_trace(
    name: &str,
    truth: f64,
    estimate: impl Fn(&TraceConfig, &mut ChaCha8Rng) -> Result<TraceEstimate, TraceError>,
) {
    let draws = 400;
    let config = TraceConfig { budget: 24, block: 5, ..Default::default() };
    let found: Vec<TraceEstimate> = (0..draws).map(|seed| estimate(&config, &mut rng(seed)).unwrap()).collect();
    assert!(
        found.iter().all(|found| found.products == 24 && found.stop == TraceStop::Budget),
        "{name}: {:?}",
        found[0]
    );
    let values: Vec<f64> = found.iter().map(|found| found.value).collect();
    let mean = Estimate::of(&values);
    let rounding = 1e-13 * found[0].value.abs();
    assert!((mean.value - truth).abs() <= 4.0 * mean.standard_error + rounding, "{name}: {mean:?} is not {truth}");
    let stated = (found.iter().map(|found| found.standard_error.powi(2)).sum::<f64>() / draws as f64).sqrt();
    let ratio = stated / (mean.standard_error * (draws as f64).sqrt());
    assert!(ratio > 0.7 && ratio < 1.5, "{name}: stated/actual = {ratio}");
    let first = found[0];
    for goal in [Goal::Absolute(3.0 * first.standard_error), Goal::Relative(3.0 * first.standard_error / truth.abs())] {
        let found = estimate(&TraceConfig { budget: 110, goal, block: 3, ..Default::default() }, &mut rng(1)).unwrap();
        assert!(found.stop == TraceStop::Goal && found.products < 110, "{name}: {found:?} for {goal:?}");
    }
    let unmet = TraceConfig { budget: 26, goal: Goal::Absolute(0.0), ..Default::default() };
    assert_eq!(estimate(&unmet, &mut rng(1)).unwrap().stop, TraceStop::Budget, "{name}");
}

type Estimator = fn(&dyn LinOp<f64>, &TraceConfig, &mut ChaCha8Rng) -> Result<TraceEstimate, TraceError>;

const ESTIMATORS: [Estimator; 4] = [
    |A, config, rng| hutchinson(A, config, rng),
    |A, config, rng| hutch_plus_plus(A, config, rng),
    |A, config, rng| frobenius_squared(A, config, rng),
    |A, config, rng| xtrace(A, config, rng),
];

#[test]
fn draws_keep_their_values_on_any_number_of_threads() {
    let n = 2_500;
    let A = Mat::from_fn(n, n, |i, j| if i == j { (i as f64 * 0.3).cos() } else { 1e-3 * ((i * j) as f64).cos() });
    let config = TraceConfig { budget: 18, ..Default::default() };
    let all = || ESTIMATORS.map(|estimator| estimator(&A, &config, &mut rng(7)).unwrap());
    let [one, others @ ..] = by_threads(|| (all(), xdiag(&A, &config, &mut rng(7)).unwrap()));
    assert!(others.iter().all(|other| *other == one));
    let values = one.0.map(|found| format!("{:.9}", found.value));
    assert_eq!(
        (values, format!("{:.10}", one.1.values[3])),
        (["3.318738849", "1.741829412", "1254.309083693", "4.447948729"].map(String::from), "0.6229558025".to_string())
    );
}

#[test]
fn bad_input_is_named() {
    let config = TraceConfig { budget: 20, ..Default::default() };
    let nan = FnOp::by_vector(40, |y: &mut [f64], _: &[f64]| y.fill(f64::NAN));
    let skew = Mat::from_fn(60, 60, |i, j| if i < j { 1.0 } else { 0.1 * (i + j) as f64 });
    let error = |found: Result<TraceStop, TraceError>| matches!(found, Err(TraceError::Asymmetric { .. }));
    assert!(error(xtrace(&skew, &config, &mut rng(1)).map(|found| found.stop)));
    assert!(error(xdiag(&skew, &config, &mut rng(1)).map(|found| found.stop)));
    for estimator in ESTIMATORS {
        let error = |A: &dyn LinOp<f64>, config: &TraceConfig| estimator(A, config, &mut rng(1)).unwrap_err();
        assert_eq!(error(&Mat::<f64>::zeros(0, 0), &config), TraceError::Shape { nrows: 0, ncols: 0 });
        assert_eq!(error(&Mat::<f64>::zeros(2, 3), &config), TraceError::Shape { nrows: 2, ncols: 3 });
        assert!(matches!(error(&nan, &config), TraceError::NotFinite { product: 0, row: 0, .. }));
        let one = TraceConfig { budget: 1, ..Default::default() };
        assert!(matches!(error(&nan, &one), TraceError::BudgetTooSmall { budget: 1, .. }));
    }
}
