//! The paper's claims, each held against the runs by stated statistics and thresholds.
//!
//! The thresholds stand here, written before any result was looked at, and nowhere else; those of `near-minimum` alone were
//! written after its curves had been seen. A number with an interval is as asked when all of the interval is, and not when
//! none of it is; in between it decides nothing.

mod case;

use crate::fits::{self, Diagonal, Exponents};
use crate::outputs::{alignment, bounds};
use crate::record::RunRecord;
use crate::record::spectral::{AlignmentRecord, Edit, SpectralRecord};
use anyhow::Result;
use case::Asked;
pub(crate) use case::{Case, Outcome, number};
use serde::Serialize;
use superlinear_nets::Loss;

/// `C` follows `M₂` when the slope of `C_ii` on `(M₂)_ii` is near 1 …
const SECOND_MOMENT_SLOPE: Asked = Asked::within(0.1, 1.0);
/// … and the fit explains this much.
const SECOND_MOMENT_R2: Asked = Asked::above(0.95);
/// An exponent is superlinear.
const SUPERLINEAR: Asked = Asked::above(1.0);
/// An MSE exponent is near 1.
const MSE_NEAR_ONE: Asked = Asked::within(0.1, 1.0);
/// Where the bounds place an exponent.
const BOUNDS: Asked = Asked::between(1.0, 2.0);
/// A prediction of γ is good.
const PREDICTION: Asked = Asked::within(0.1, 0.0);
/// `C` and `H` commute approximately when, over all directions, both the commutator error and the leakage are at most this part of
/// what random directions give …
const COMMUTE: Asked = Asked::at_most(0.5);
/// … and do not coincide when `⟨C,H⟩/(‖C‖‖H‖)` stays below this.
const COINCIDE: Asked = Asked::at_most(0.99);
/// The correlation of curvature and alignment lifts an exponent when this share of `γ − 1` goes with it.
const LIFTS: Asked = Asked::above(0.5);
/// An edit brings `γ` toward 1 when it takes at least this share of `|γ − 1|` away …
const TOWARD_ONE: Asked = Asked::above(0.5);
/// … and does not when it takes at most this.
const NOT_TOWARD_ONE: Asked = Asked::at_most(0.5);
/// An exponent has settled when it varies by no more than this over the last checkpoints …
const SETTLED: Asked = Asked::at_most(0.05);
/// … of which there are this many …
const LAST: usize = 3;
/// … and an approximation when its ratio of norms is near 1.
const APPROXIMATION: Asked = Asked::within(0.05, 1.0);

/// How a claim fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// Every case is as asked.
    #[serde(rename = "holds")]
    Holds,
    /// Some case is not.
    #[serde(rename = "does not hold")]
    DoesNotHold,
    /// No case speaks against it, but some decide nothing.
    #[serde(rename = "undecided")]
    Undecided,
    /// No run here measures it.
    #[serde(rename = "not tested")]
    NotTested,
}

/// One claim with its verdict.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Claim {
    /// Its name.
    pub(crate) id: &'static str,
    /// What the paper says.
    pub(crate) statement: &'static str,
    /// How it is held against the runs.
    pub(crate) statistic: &'static str,
    /// How it fares here.
    pub(crate) verdict: Verdict,
    /// The numbers behind the verdict, in words.
    pub(crate) evidence: String,
    /// The same, one by one.
    pub(crate) cases: Vec<Case>,
}

/// A claim's name, words and test.
type Test = (&'static str, &'static str, &'static str, fn(&Fits<'_>) -> Result<Vec<Case>>);

/// The runs that claims are judged on, with their exponents.
type Fits<'a> = [(&'a RunRecord, Exponents)];

const TESTS: [Test; 8] = [
    (
        "second-moment",
        "C follows the second moment of per-sample Hessians, not H: the slope of C on M₂ is near 1 with high R², and C on H is above 1 for cross-entropy",
        "log–log slopes over the top 𝒩 directions",
        second_moment,
    ),
    (
        "commute",
        "C and H commute approximately and do not coincide",
        "commutator error and leakage over all directions, in units of what a matrix of the same spectrum and random directions gives; the commutator relative to the products CH and HC, which does not call matrices of low rank commuting, stands in table commutativity",
        commute,
    ),
    (
        "bounds",
        "the exponent γ of C_ii ∝ H_ii^γ lies in [1, 2], for every data set, architecture and loss",
        "fitted γ_emp of every analysed layer, and the theorem behind the claim, H² ≤ M₂ ≤ κ_max·E|h|, direction by direction",
        gamma_bounds,
    ),
    ("ce-vs-mse", "cross-entropy: γ above 1; MSE: γ near 1", "fitted γ_emp", ce_vs_mse),
    (
        "awd-predicts",
        "the exponent of the activity–weight duality's second moment predicts the measured one",
        "γ_AWD − γ_emp, both over the same directions; the interval from the robust standard error of each as if independent",
        awd_predicts,
    ),
    (
        "alignment",
        "the correlation of curvature and alignment is higher for cross-entropy than for MSE, which lifts cross-entropy's γ",
        "mean over directions of the correlation of ln X and ln Y, cross-entropy's 95 % interval against the upper end of MSE's; share of γ − 1 that goes when curvature is exchanged among eigenpairs",
        alignment_claim,
    ),
    (
        "suppression",
        "making stiff samples' curvature equal brings cross-entropy's γ toward 1; cutting the spectral tail alone does not",
        "share of |γ − 1| that an edit of the per-sample spectra takes away",
        suppression,
    ),
    (
        "near-minimum",
        "γ and the duality's approximations settle as training converges",
        "range of γ_emp over the last three checkpoints; ratios of norms at the end",
        near_minimum,
    ),
];

/// All claims, judged by those runs that are at the paper's scale, or by all where none is.
///
/// # Errors
/// When a fit is not possible.
pub(crate) fn judge(runs: &[RunRecord]) -> Result<Vec<Claim>> {
    let at_scale = runs.iter().filter(|run| run.spec.is_at_paper_scale());
    let judged: Vec<&RunRecord> =
        if at_scale.clone().next().is_some() { at_scale.collect() } else { runs.iter().collect() };
    let fits = judged.into_iter().map(|run| Ok((run, Exponents::of(run)?))).collect::<Result<Vec<_>>>()?;
    TESTS
        .into_iter()
        .map(|(id, statement, statistic, cases)| {
            let cases = cases(&fits)?;
            let evidence = if cases.is_empty() { "no run here measures it".to_owned() } else { case::in_words(&cases) };
            Ok(Claim { id, statement, statistic, verdict: verdict(&cases), evidence, cases })
        })
        .collect()
}

fn verdict(cases: &[Case]) -> Verdict {
    let any = |outcome| cases.iter().any(|case| case.outcome == outcome);
    if cases.is_empty() {
        Verdict::NotTested
    } else if any(Outcome::No) {
        Verdict::DoesNotHold
    } else if any(Outcome::Undecided) {
        Verdict::Undecided
    } else {
        Verdict::Holds
    }
}

fn of_loss<'a>(fits: &'a Fits<'_>, loss: Loss) -> impl Iterator<Item = &'a (&'a RunRecord, Exponents)> {
    fits.iter().filter(move |(run, _)| run.spec.loss == loss)
}

fn second_moment(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, fit) in fits {
        let id = || run.spec.id();
        let slope = &fit.c_on_m2;
        cases.push(Case::new(id(), "slope of C on M₂", SECOND_MOMENT_SLOPE, Some(slope.value()), slope.interval()));
        cases.push(Case::new(id(), "its R²", SECOND_MOMENT_R2, Some(slope.fit.r2), None));
        if run.spec.loss == Loss::CrossEntropy {
            cases.push(Case::new(id(), "γ_emp of CE", SUPERLINEAR, Some(fit.emp.value()), fit.emp.interval()));
        }
    }
    Ok(cases)
}

fn commute(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, _) in fits {
        let pair = &run.layer().c_in_h;
        let full = pair.full();
        let ratio = |found: Option<f64>, null: Option<f64>| Some(found? / null?);
        let commutator = ratio(full.commutator, full.commutator_null);
        let leakage = ratio(full.leakage, full.leakage_null);
        cases.push(Case::new(run.spec.id(), "commutator error", COMMUTE, commutator, None));
        cases.push(Case::new(run.spec.id(), "leakage", COMMUTE, leakage, None));
        cases.push(Case::new(run.spec.id(), "cosine of C and H", COINCIDE, Some(pair.cosine), None));
    }
    Ok(cases)
}

fn gamma_bounds(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, fit) in fits {
        for layer in run.trained_layers() {
            let of_layer;
            let (name, emp) = if layer.dense == run.spec.target_dense() {
                (run.spec.id(), &fit.emp)
            } else {
                of_layer = Exponents::of_layer(&run.spec, layer)?.emp;
                (format!("{} layer {}", run.spec.id(), layer.dense + 1), &of_layer)
            };
            cases.push(Case::new(name.clone(), "γ_emp", BOUNDS, Some(emp.value()), emp.interval()));
            let (outside, _) = bounds::n_outside(layer)?;
            let none = Asked::at_most(0.0);
            cases.push(Case::new(name, "directions that violate the theorem", none, Some(outside as f64), None));
        }
    }
    Ok(cases)
}

fn ce_vs_mse(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (loss, quantity, asked) in
        [(Loss::CrossEntropy, "γ_emp of CE", SUPERLINEAR), (Loss::SoftmaxMse, "γ_emp of MSE", MSE_NEAR_ONE)]
    {
        let of = of_loss(fits, loss)
            .map(|(run, fit)| Case::new(run.spec.id(), quantity, asked, Some(fit.emp.value()), fit.emp.interval()));
        let before = cases.len();
        cases.extend(of);
        if cases.len() == before {
            // One loss alone compares nothing.
            return Ok(Vec::new());
        }
    }
    Ok(cases)
}

fn awd_predicts(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let case = |(run, fit): &(&RunRecord, Exponents)| {
        let difference = fit.awd.value() - fit.emp.value();
        let half = fits::NORMAL_95 * fit.awd.fit.se.hypot(fit.emp.fit.se);
        let interval = Some([difference - half, difference + half]);
        Case::new(run.spec.id(), "γ_AWD − γ_emp", PREDICTION, Some(difference), interval)
    };
    Ok(fits.iter().map(case).collect())
}

/// Runs of a loss whose per-sample spectra were looked at.
fn with_spectra<'a>(fits: &'a Fits<'_>, loss: Loss) -> impl Iterator<Item = (&'a RunRecord, &'a SpectralRecord)> {
    of_loss(fits, loss).filter_map(|(run, _)| Some((*run, run.layer().spectral.as_ref()?)))
}

fn alignment_claim(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let means = |loss| with_spectra(fits, loss).filter_map(|(run, spectral)| Some((run, spectral.alignment.as_ref()?)));
    let end = |found: &AlignmentRecord| found.mean_interval[1];
    let mse = means(Loss::SoftmaxMse).map(|(_, found)| found).reduce(|a, b| if end(b) > end(a) { b } else { a });
    let Some(mse) = mse else { return Ok(Vec::new()) };
    let why = format!("the upper end of the 95 % interval of MSE's {}", number(mse.mean));
    let mut cases = Vec::new();
    for (run, found) in means(Loss::CrossEntropy) {
        // Intervals apart: the upper end of MSE's is what cross-entropy's has to lie above.
        let asked = Asked::above(end(mse));
        let case =
            Case::new(run.spec.id(), "mean correlation of CE", asked, Some(found.mean), Some(found.mean_interval));
        cases.push(case.because(&why));
    }
    for (run, spectral) in with_spectra(fits, Loss::CrossEntropy) {
        let share = alignment::share_of_excess(spectral, Edit::Shuffled);
        cases.push(Case::new(run.spec.id(), "share of γ − 1 that goes", LIFTS, share, None));
    }
    Ok(cases)
}

fn suppression(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, spectral) in with_spectra(fits, Loss::CrossEntropy) {
        let gamma = |edit| spectral.edit(edit).and_then(|record| record.mean_gamma());
        let taken = |edit| Some(1.0 - (gamma(edit)? - 1.0).abs() / (gamma(Edit::Original)? - 1.0).abs());
        let id = || run.spec.id();
        cases.push(Case::new(id(), "share taken when homogenised", TOWARD_ONE, taken(Edit::Homogenised), None));
        cases.push(Case::new(id(), "share taken by the tail cut", NOT_TOWARD_ONE, taken(Edit::TailCut), None));
    }
    Ok(cases)
}

fn near_minimum(fits: &Fits<'_>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (run, _) in fits.iter().filter(|(run, _)| run.trajectory().count() > LAST) {
        let last = run.trajectory().skip(run.trajectory().count() - LAST);
        let slopes = last
            .map(|layer| Ok(fits::fit(&run.spec, layer, Diagonal::C, Diagonal::H)?.slope))
            .collect::<Result<Vec<f64>>>()?;
        let (low, high) = slopes.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        cases.push(Case::new(run.spec.id(), "range of γ_emp", SETTLED, Some(high - low), None));
        let awd = &run.layer().awd;
        for (quantity, ratio) in [
            ("‖C^hh‖/‖C_AWD‖", awd.hh.norm / awd.total.norm),
            ("‖C^hh,SD‖/‖C^hh‖", awd.hh_same.norm / awd.hh.norm),
            ("‖C^hh,SD,WD‖/‖C^hh,SD‖", awd.hh_local.norm / awd.hh_same.norm),
        ] {
            cases.push(Case::new(run.spec.id(), quantity, APPROXIMATION, Some(ratio), None));
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_case_against_decides() {
        let case = |x: f64, interval| Case::new(String::new(), "q", Asked::above(0.0), Some(x), interval);
        let (yes, no, open) = (case(1.0, None), case(-1.0, None), case(1.0, Some([-1.0, 2.0])));
        assert_eq!(verdict(&[]), Verdict::NotTested);
        assert_eq!(verdict(std::slice::from_ref(&yes)), Verdict::Holds);
        assert_eq!(verdict(&[yes.clone(), open.clone()]), Verdict::Undecided);
        assert_eq!(verdict(&[yes, open, no]), Verdict::DoesNotHold);
    }
}
