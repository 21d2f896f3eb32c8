//! `alignment`: stiff samples are better aligned under cross-entropy.

use super::case::{Asked, Judge};
use super::{Case, Fits, Statement, Test, number, with_spectra};
use crate::outputs::alignment;
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::{AlignmentRecord, Edit};
use superlinear_nets::Loss;

/// The correlation of curvature and alignment lifts an exponent when this share of `γ − 1` goes with it.
const LIFTS: Asked = Asked::above(0.5);

pub(super) const CLAIM: Statement = Statement {
    id: "alignment",
    says: "the correlation of a sample's curvature X and its alignment Y with a direction is stronger for \
    cross-entropy than \
           for MSE, which lifts cross-entropy's γ",
    version: "versions 1 and 2",
    paper: Test {
        statistic: "mean over directions of the correlation of ln X and ln Y: CE's against MSE's; and the share of \
        CE's \
                    γ − 1 that goes when curvature is exchanged among eigenpairs",
        because: "stronger means above; lifts means by more than half",
        cases: paper,
    },
    ours: Some(Test {
        statistic: "CE's 95 % interval of that mean, by a bootstrap over samples, against the upper end of MSE's",
        because: "intervals apart",
        cases: ours,
    }),
};

fn found<'a>(fits: &'a Fits<'_>, loss: Loss) -> impl Iterator<Item = (&'a RunRecord, &'a AlignmentRecord)> {
    with_spectra(fits, loss).filter_map(|(run, spectral)| Some((run, spectral.alignment.as_ref()?)))
}

/// MSE's run with the largest of a number.
fn largest<'a>(fits: &'a Fits<'_>, of: fn(&AlignmentRecord) -> f64) -> Option<&'a AlignmentRecord> {
    found(fits, Loss::SoftmaxMse).map(|(_, record)| record).reduce(|a, b| if of(b) > of(a) { b } else { a })
}

fn paper(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let Some(mse) = largest(fits, |record| record.mean) else { return Ok(Vec::new()) };
    let mut cases = Vec::new();
    for (run, record) in found(fits, Loss::CrossEntropy) {
        let (asked, interval) = (Asked::above(mse.mean), Some(record.mean_interval));
        let case =
            Case::new(Judge::Estimate, run.spec.id(), "mean correlation of CE", asked, Some(record.mean), interval);
        cases.push(case.because("MSE's"));
    }
    for (run, spectral) in with_spectra(fits, Loss::CrossEntropy) {
        let share = alignment::share_of_excess(spectral, Edit::Shuffled);
        cases.push(Case::new(Judge::Estimate, run.spec.id(), "share of γ − 1 that goes", LIFTS, share, None));
    }
    Ok(cases)
}

fn ours(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let end = |record: &AlignmentRecord| record.mean_interval[1];
    let Some(mse) = largest(fits, end) else { return Ok(Vec::new()) };
    let why = format!("the upper end of the 95 % interval of MSE's {}", number(mse.mean));
    let case = |(run, record): (&RunRecord, &AlignmentRecord)| {
        let (asked, interval) = (Asked::above(end(mse)), Some(record.mean_interval));
        let id = run.spec.id();
        let case = Case::new(Judge::Interval, id, "mean correlation of CE", asked, Some(record.mean), interval);
        case.because(&why)
    };
    Ok(found(fits, Loss::CrossEntropy).map(case).collect())
}
