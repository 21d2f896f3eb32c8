//! `awd-predicts`: the duality predicts the exponent.

use super::case::{Asked, Judge};
use super::{Case, Fits, OfSeed, Seen, Statement, Test, Through, over_seeds};
use crate::fits::NORMAL_95;
use crate::summary::FitSummary;
use anyhow::Result;

/// A prediction of γ is good.
const PREDICTION: Asked = Asked::within(0.1, 0.0);

pub(super) const CLAIM: Statement = Statement {
    id: "awd-predicts",
    says: "γ_AWD, the exponent that the activity–weight duality derives, predicts the measured γ_emp",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "γ_AWD − γ_emp, γ_AWD being the exponent of (M₂)_ii = E_p[h_p²]_ii on H_ii, which the paper calls \
        the \
                    AWD-derived covariance; mean over seeds",
        because: "a tenth of a slope, set before any result was seen",
        cases: paper,
    },
    ours: Some(Test {
        statistic: "the duality itself: γ_dual − γ_emp, γ_dual being the exponent of its full covariance C_AWD \
        (matched \
                    partners, all terms) on H_ii; 95 % interval from the robust standard error of each, as if \
                    independent",
        because: "the same tenth, asked of the whole interval",
        cases: ours,
    }),
};

/// The difference of two exponents, with its 95 % interval as if they were independent.
fn difference(a: &FitSummary, b: &FitSummary) -> (f64, [f64; 2]) {
    let difference = a.slope - b.slope;
    let half = NORMAL_95 * a.se.hypot(b.se);
    (difference, [difference - half, difference + half])
}

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let found = fits.iter().map(|run| {
        let (value, interval) = difference(&run.gamma.m2_on_h, &run.gamma.c_on_h);
        let interval = (!matches!(run.through, Through::Slopes)).then_some(interval);
        OfSeed::number(run, Some(value), interval)
    });
    over_seeds("γ_AWD − γ_emp", PREDICTION, found)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let case = |run: &Seen<'_>| {
        let (value, interval) = difference(&run.gamma.c_awd_on_h, &run.gamma.c_on_h);
        let id = run.id.clone();
        Case::new(Judge::Interval, id, "γ_dual − γ_emp", PREDICTION, Some(value), Some(interval))
    };
    Ok(fits.iter().map(case).collect())
}
