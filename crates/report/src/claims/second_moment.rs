//! `second-moment`: `C ∝ E_p[h_p²]`, not `C ∝ H`.

use super::case::{Asked, Judge};
use super::{Case, Fits, OfSeed, Statement, Test, Through, of_loss, over_seeds};
use crate::summary::FitSummary;
use anyhow::Result;
use superlinear_nets::Loss;

/// `C` follows `M₂` when the slope of `C_ii` on `(M₂)_ii` is near 1 …
const SLOPE: Asked = Asked::within(0.1, 1.0);
/// … and the fit explains this much.
const R2: Asked = Asked::above(0.95);
/// It does not follow `H` when this exponent is superlinear.
const SUPERLINEAR: Asked = Asked::above(1.0);

pub(super) const CLAIM: Statement = Statement {
    id: "second-moment",
    says: "C follows the second moment of per-sample Hessians, E_p[h_p²], and not the Hessian",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "log–log slope and R² of C_ii on (M₂)_ii over the top 𝒩 directions; γ_emp of cross-entropy",
        because: "a tenth of a slope, set before any result was seen; above 1 is what superlinear means",
        cases: paper,
    },
    ours: Some(Test {
        statistic: "the same, run by run, with 95 % intervals over samples",
        because: "the same regions, asked of the whole interval",
        cases: ours,
    }),
};

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let all = || fits.iter();
    let slopes = all().map(|run| OfSeed::new(run, &run.gamma.c_on_m2));
    let mut cases = over_seeds("slope of C on M₂", SLOPE, slopes)?;
    let fitted = all().filter(|run| !matches!(run.through, Through::Slopes));
    let r2 = fitted.map(|run| OfSeed::number(run, Some(run.gamma.c_on_m2.r2), None));
    cases.extend(over_seeds("its R²", R2, r2)?);
    let ce = of_loss(fits, Loss::CrossEntropy).map(|run| OfSeed::new(run, &run.gamma.c_on_h));
    cases.extend(over_seeds("γ_emp of CE", SUPERLINEAR, ce)?);
    Ok(cases)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for run in fits {
        let case = |quantity, asked, fit: &FitSummary| {
            Case::new(Judge::Interval, run.id.clone(), quantity, asked, Some(fit.slope), fit.interval)
        };
        cases.push(case("slope of C on M₂", SLOPE, &run.gamma.c_on_m2));
        if run.loss == Loss::CrossEntropy {
            cases.push(case("γ_emp of CE", SUPERLINEAR, &run.gamma.c_on_h));
        }
    }
    Ok(cases)
}
