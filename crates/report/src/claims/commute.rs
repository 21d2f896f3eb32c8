//! `commute`: `C` and `H` commute approximately.

use super::case::{Asked, Judge};
use super::{Case, Fits, OfSeed, Seen, Statement, Test, over_seeds};
use crate::summary::CommutativitySummary;
use anyhow::Result;

/// The paper's ratio to random directions, whose line is 1.
const ERROR_RATIO: Asked = Asked::at_most(0.5);
/// Random eigen-alignment over the real one.
const ALIGNMENT_RATIO: Asked = Asked::at_most(0.5);
/// Ours: the commutator over the norms, and leakage, each over its value for random directions.
const COMMUTE: Asked = Asked::at_most(0.5);
/// `C` and `H` do not coincide when `⟨C,H⟩/(‖C‖‖H‖)` stays below this.
const COINCIDE: Asked = Asked::at_most(0.99);

/// The paper's windows, in the order of a record.
const WINDOWS: [(&str, &str); 3] = [
    ("commutator error over random, all directions", "eigen-alignment, random over real, all directions"),
    ("commutator error over random, leading directions", "eigen-alignment, random over real, leading directions"),
    ("commutator error over random, bulk", "eigen-alignment, random over real, bulk"),
];

pub(super) const CLAIM: Statement = Statement {
    id: "commute",
    says: "C and H commute approximately",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "‖CH − HC‖/‖CH‖ over the same for random directions, and the eigen-alignment Σ_i K_ii²/‖K‖² of \
        random \
                    directions over the real one: over all directions, the leading 200, and 201 to 1,000",
        because: "random directions give 1; at most half of that is the least that may be called approximate. Chosen \
        when \
                  the numbers of the quick profile were known (about 0.15 for CE and 0.05 for MSE over all directions)",
        cases: paper,
    },
    ours: Some(Test {
        statistic: "‖[C,H]‖/(‖C‖‖H‖) and leakage over all directions, each over its value for random directions, and \
        the \
                    cosine of C and H",
        because: "the same half, and a cosine of at most 0.99 if C and H are not to coincide. The first is small for \
        any two \
                  matrices of low rank, random ones included, so it cannot tell low rank from commuting",
        cases: ours,
    }),
};

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (k, (error, alignment)) in WINDOWS.into_iter().enumerate() {
        let found = |of: fn(&CommutativitySummary) -> Option<f64>| {
            fits.iter().filter_map(move |run| Some(OfSeed::number(run, of(run.commutativity.get(k)?), None)))
        };
        cases.extend(over_seeds(error, ERROR_RATIO, found(|window| window.error_over_random))?);
        let alignment_ratio =
            |window: &CommutativitySummary| Some(window.eigen_alignment_random / window.eigen_alignment?);
        cases.extend(over_seeds(alignment, ALIGNMENT_RATIO, found(alignment_ratio))?);
    }
    Ok(cases)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for run in fits.iter().filter_map(Seen::record) {
        let pair = &run.layer().c_in_h;
        let full = pair.full();
        let leakage = || Some(full.leakage? / full.leakage_null?);
        for (quantity, asked, found) in [
            ("‖[C,H]‖/(‖C‖‖H‖) over random", COMMUTE, full.norm_error_ratio()),
            ("leakage over random", COMMUTE, leakage()),
            ("cosine of C and H", COINCIDE, Some(pair.cosine)),
        ] {
            cases.push(Case::new(Judge::Interval, run.spec.id(), quantity, asked, found, None));
        }
    }
    Ok(cases)
}
