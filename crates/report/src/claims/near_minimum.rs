//! `near-minimum`: exponents and approximations settle.

use super::case::{Asked, Judge};
use super::{Case, Fits, Seen, Statement, Test};
use crate::fits::{self, Diagonal};
use anyhow::Result;

/// An exponent has settled when it varies by no more than this over the last checkpoints …
const SETTLED: Asked = Asked::at_most(0.05);
/// … of which there are this many …
const LAST: usize = 3;
/// … and an approximation when its ratio of norms is near 1.
const APPROXIMATION: Asked = Asked::within(0.05, 1.0);

pub(super) const CLAIM: Statement = Statement {
    id: "near-minimum",
    says: "γ and the duality's approximations settle as training converges",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "range of γ_emp over the last three checkpoints; ratios of norms at the end",
        because: "half of what counts as equal elsewhere. Chosen after the curves had been seen",
        cases: paper,
    },
    ours: None,
};

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for run in fits.iter().filter_map(Seen::record).filter(|run| run.trajectory().count() > LAST) {
        let last = run.trajectory().skip(run.trajectory().count() - LAST);
        let slopes = last
            .map(|layer| Ok(fits::fit(&run.spec, layer, Diagonal::C, Diagonal::H)?.slope))
            .collect::<Result<Vec<f64>>>()?;
        let (low, high) = slopes.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        let awd = &run.layer().awd;
        for (quantity, asked, found) in [
            ("range of γ_emp", SETTLED, high - low),
            ("‖C^hh‖/‖C_AWD‖", APPROXIMATION, awd.hh.norm / awd.total.norm),
            ("‖SD‖/‖C^hh‖", APPROXIMATION, awd.hh_same.norm / awd.hh.norm),
            ("‖SD,WD‖/‖SD‖", APPROXIMATION, awd.hh_local.norm / awd.hh_same.norm),
        ] {
            cases.push(Case::new(Judge::Estimate, run.spec.id(), quantity, asked, Some(found), None));
        }
    }
    Ok(cases)
}
