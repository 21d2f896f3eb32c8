//! `ce-vs-mse`: cross-entropy is superlinear, squared error is not.

use super::case::{Asked, Judge};
use super::{Case, Fits, OfSeed, Statement, Test, of_loss, over_seeds};
use anyhow::Result;
use superlinear_nets::Loss;

/// An exponent is superlinear.
const SUPERLINEAR: Asked = Asked::above(1.0);
/// An MSE exponent is near 1.
const NEAR_ONE: Asked = Asked::within(0.1, 1.0);

/// Loss, quantity and what is asked of it.
const LOSSES: [(Loss, &str, Asked); 2] =
    [(Loss::CrossEntropy, "γ_emp of CE", SUPERLINEAR), (Loss::SoftmaxMse, "γ_emp of MSE", NEAR_ONE)];

pub(super) const CLAIM: Statement = Statement {
    id: "ce-vs-mse",
    says: "cross-entropy: γ above 1; MSE: γ near 1",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "γ_emp by plain least squares over the top 𝒩 directions, mean over seeds",
        because: "above 1 is the claim; near is a tenth of a slope, set before any result was seen",
        cases: paper,
    },
    ours: Some(Test {
        statistic: "γ_emp of every run with its 95 % interval over samples",
        because: "the same regions, asked of the whole interval",
        cases: ours,
    }),
};

/// One loss alone compares nothing.
fn has_both(fits: &Fits<'_>) -> bool {
    LOSSES.into_iter().all(|(loss, ..)| of_loss(fits, loss).next().is_some())
}

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (loss, quantity, asked) in LOSSES.into_iter().filter(|_| has_both(fits)) {
        let found = of_loss(fits, loss).map(|run| OfSeed::new(run, &run.gamma.c_on_h));
        cases.extend(over_seeds(quantity, asked, found)?);
    }
    Ok(cases)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (loss, quantity, asked) in LOSSES.into_iter().filter(|_| has_both(fits)) {
        cases.extend(of_loss(fits, loss).map(|run| {
            let emp = &run.gamma.c_on_h;
            Case::new(Judge::Interval, run.id.clone(), quantity, asked, Some(emp.slope), emp.interval)
        }));
    }
    Ok(cases)
}
