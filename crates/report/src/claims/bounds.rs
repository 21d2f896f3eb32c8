//! `bounds`: fitted exponents lie between 1 and 2.

use super::case::{Asked, Judge};
use super::{Case, Fits, OfSeed, Statement, Test, over_seeds};
use crate::outputs::bounds;
use crate::summary::FitSummary;
use anyhow::Result;

/// Where the claim places an exponent.
const BOUNDS: Asked = Asked::between(1.0, 2.0);
/// Directions that violate the theorem.
const NONE: Asked = Asked::at_most(0.0);

pub(super) const CLAIM: Statement = Statement {
    id: "bounds",
    says: "within the analysed fully connected layers, C_ii ∝ H_ii^γ with an exponent of each layer's own, 1 ≤ γ ≤ 2",
    version: "version 2; version 1 claims it near any minimum",
    paper: Test {
        statistic: "γ_emp of every analysed layer by plain least squares over the top 𝒩 directions, mean over seeds",
        because: "the claim's own bounds",
        cases: paper,
    },
    ours: Some(Test {
        statistic: "γ_emp of every layer of every run with its 95 % interval over samples; and the theorem behind the \
        claim, \
                    H² ≤ M₂ ≤ κ_max·E|h|, direction by direction",
        because: "the same bounds, asked of the whole interval; a theorem is not violated once",
        cases: ours,
    }),
};

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let found = fits.iter().flat_map(|run| {
        let of_layer = |(name, emp): &(String, FitSummary)| {
            let seed = OfSeed::new(run, emp);
            OfSeed { setting: format!("{}{name}", seed.setting), ..seed }
        };
        run.layers.iter().map(of_layer).collect::<Vec<_>>()
    });
    over_seeds("γ_emp", BOUNDS, found)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, record) in fits.iter().filter_map(|run| Some((run, run.record()?))) {
        for ((name, emp), layer) in run.layers.iter().zip(record.trained_layers()) {
            let name = format!("{}{name}", run.id);
            let case = |quantity, asked, found, interval| {
                Case::new(Judge::Interval, name.clone(), quantity, asked, Some(found), interval)
            };
            cases.push(case("γ_emp", BOUNDS, emp.slope, emp.interval));
            let (outside, _) = bounds::n_outside(layer)?;
            cases.push(case("directions that violate the theorem", NONE, outside as f64, None));
        }
    }
    Ok(cases)
}
