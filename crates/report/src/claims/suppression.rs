//! `suppression`: what brings cross-entropy's exponent to 1.

use super::case::{Asked, Judge};
use super::{Case, Fits, Statement, Test, with_spectra};
use anyhow::Result;
use superlinear_experiments::record::layer_spectra::Edit;
use superlinear_nets::Loss;

/// An edit brings `γ` toward 1 when it takes at least this share of `|γ − 1|` away …
const TOWARD_ONE: Asked = Asked::above(0.5);
/// … and does not when it takes at most this.
const NOT_TOWARD_ONE: Asked = Asked::at_most(0.5);

pub(super) const CLAIM: Statement = Statement {
    id: "suppression",
    says: "making stiff samples' curvature equal brings cross-entropy's γ toward 1; cutting the spectral tail alone \
    does not",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "share of |γ − 1| that the edit takes away: γ of the four edits of the paper",
        because: "more than half is toward 1",
        cases: |fits| {
            cases(
                fits,
                &[
                    ("share taken when homogenised", TOWARD_ONE, Edit::Homogenised),
                    ("share taken by the tail cut", NOT_TOWARD_ONE, Edit::TailCut),
                ],
            )
        },
    },
    ours: Some(Test {
        statistic: "the same of homogenised curvature without the paper's cut of tails and soft samples",
        because: "if equal curvature is the cause, it needs no cut",
        cases: |fits| cases(fits, &[("share taken when homogenised, nothing cut", TOWARD_ONE, Edit::HomogenisedUncut)]),
    }),
};

fn cases(fits: &Fits<'_>, edits: &[(&'static str, Asked, Edit)]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, spectral) in with_spectra(fits, Loss::CrossEntropy) {
        let gamma = |edit| spectral.edit(edit).and_then(|record| record.mean_gamma());
        let taken = |edit| Some(1.0 - (gamma(edit)? - 1.0).abs() / (gamma(Edit::Original)? - 1.0).abs());
        cases.extend(edits.iter().map(|&(quantity, asked, edit)| {
            Case::new(Judge::Estimate, run.spec.id(), quantity, asked, taken(edit), None)
        }));
    }
    Ok(cases)
}
