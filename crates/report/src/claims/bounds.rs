//! `bounds`: fitted exponents lie between 1 and 2.

use super::case::{Asked, Judge};
use super::{Case, Fits, OfSeed, Statement, Test, over_seeds};
use crate::fits::{Exponent, Exponents};
use crate::outputs::bounds;
use anyhow::Result;
use superlinear_experiments::record::{LayerRecord, RunRecord};

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

/// Every analysed layer with its name and measured exponent.
fn layers<'a>(fits: &'a Fits<'_>) -> Result<Vec<(&'a RunRecord, &'a LayerRecord, String, Exponent)>> {
    let mut layers = Vec::new();
    for (run, _) in fits {
        let is_one = run.spec.analysed_dense().len() == 1;
        for layer in run.trained_layers() {
            let name = if is_one { String::new() } else { format!(", layer {}", layer.dense + 1) };
            layers.push((*run, layer, name, Exponents::of_layer(&run.spec, layer)?.emp));
        }
    }
    Ok(layers)
}

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let found = layers(fits)?
        .into_iter()
        .map(|(run, _, name, emp)| OfSeed { setting: format!("{}{name}", run.spec.title()), ..OfSeed::new(run, &emp) });
    over_seeds("γ_emp", BOUNDS, found)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, layer, name, emp) in layers(fits)? {
        let name = format!("{}{name}", run.spec.id());
        let case = |quantity, asked, found, interval| {
            Case::new(Judge::Interval, name.clone(), quantity, asked, Some(found), interval)
        };
        cases.push(case("γ_emp", BOUNDS, emp.value(), emp.interval()));
        let (outside, _) = bounds::n_outside(layer)?;
        cases.push(case("directions that violate the theorem", NONE, outside as f64, None));
    }
    Ok(cases)
}
