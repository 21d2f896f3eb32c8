//! The paper's claims, each judged by the paper's own statistic; stricter ones of ours stand beside it and never
//! decide.
//!
//! Thresholds stand in the file of their claim and nowhere else, each with its reason. The paper gives numbers without
//! intervals, so its statistics are judged by the estimate: for exponents the mean over the seeds of a setting, as in
//! its Table 1. Ours are judged run by run with their intervals, see `case`.

mod alignment;
mod awd_predicts;
mod bounds;
mod case;
mod ce_vs_mse;
mod commute;
mod near_minimum;
mod second_moment;
mod seen;
mod suppression;

use crate::fits;
use crate::summary::FitSummary;
use anyhow::Result;
use case::{Asked, Judge};
pub use case::{Case, Outcome, number};
pub use seen::{Seen, Through, layers};
use serde::Serialize;
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::LayerSpectra;
use superlinear_nets::Loss;

/// Every claim, in the order of the report.
const CLAIMS: [Statement; 8] = [
    second_moment::CLAIM,
    commute::CLAIM,
    bounds::CLAIM,
    ce_vs_mse::CLAIM,
    awd_predicts::CLAIM,
    alignment::CLAIM,
    suppression::CLAIM,
    near_minimum::CLAIM,
];

/// A claim and how it is tested.
struct Statement {
    id: &'static str,
    /// What the paper says.
    says: &'static str,
    /// In which versions of the paper.
    version: &'static str,
    /// By the paper's own statistic.
    paper: Test,
    /// By ours.
    ours: Option<Test>,
}

/// A statistic with what is asked of it.
struct Test {
    /// What is measured.
    statistic: &'static str,
    /// Why what is asked is asked.
    because: &'static str,
    cases: fn(&Fits<'_>) -> Result<Vec<Case>>,
}

/// The runs that claims are judged on, with their exponents.
type Fits<'a> = [Seen<'a>];

/// How a claim fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
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

impl Verdict {
    fn of(cases: &[Case]) -> Self {
        let any = |outcome| cases.iter().any(|case| case.outcome == outcome);
        if cases.is_empty() {
            Self::NotTested
        } else if any(Outcome::No) {
            Self::DoesNotHold
        } else if any(Outcome::Undecided) {
            Self::Undecided
        } else {
            Self::Holds
        }
    }
}

/// One claim, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// Its name.
    pub id: &'static str,
    /// What the paper says.
    pub statement: &'static str,
    /// In which versions of the paper.
    pub version: &'static str,
    /// By the paper's own statistic: the verdict on the paper.
    pub paper: Judged,
    /// By ours, where there is one; it decides nothing about the paper.
    pub ours: Option<Judged>,
}

/// What a test has found.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// What is measured.
    pub statistic: &'static str,
    /// Why what is asked is asked.
    pub because: &'static str,
    /// The outcome.
    pub verdict: Verdict,
    /// The numbers behind it, in words.
    pub evidence: String,
    /// The same, one by one.
    pub cases: Vec<Case>,
}

impl Test {
    fn judge(&self, fits: &Fits<'_>) -> Result<Judged> {
        let cases = (self.cases)(fits)?;
        let evidence = if cases.is_empty() { "no run here measures it".to_owned() } else { case::in_words(&cases) };
        let Self { statistic, because, .. } = *self;
        Ok(Judged { statistic, because, verdict: Verdict::of(&cases), evidence, cases })
    }
}

/// All claims, judged by those runs that are at the paper's scale, or by all where none is.
///
/// # Errors
/// When a fit is not possible.
pub fn judge(runs: &[RunRecord]) -> Result<Vec<Claim>> {
    let at_scale = runs.iter().filter(|run| run.spec.is_at_paper_scale);
    let judged: Vec<&RunRecord> =
        if at_scale.clone().next().is_some() { at_scale.collect() } else { runs.iter().collect() };
    let fits = judged.into_iter().map(Seen::of).collect::<Result<Vec<_>>>()?;
    CLAIMS
        .iter()
        .map(|Statement { id, says, version, paper, ours }| {
            let ours = ours.as_ref().map(|test| test.judge(&fits)).transpose()?;
            Ok(Claim { id, statement: says, version, paper: paper.judge(&fits)?, ours })
        })
        .collect()
}

/// Every claim by the paper's own statistic, over runs of which not all records need be at hand.
///
/// # Errors
/// When a number is not finite.
pub fn judge_paper(fits: &[Seen<'_>]) -> Result<Vec<(&'static str, Judged)>> {
    CLAIMS.iter().map(|claim| Ok((claim.id, claim.paper.judge(fits)?))).collect()
}

/// Runs of one loss.
fn of_loss<'a, 'r>(fits: &'a Fits<'r>, loss: Loss) -> impl Iterator<Item = &'a Seen<'r>> {
    fits.iter().filter(move |run| run.loss == loss)
}

/// Runs of a loss whose per-sample spectra were looked at.
fn with_spectra<'a>(fits: &'a Fits<'_>, loss: Loss) -> impl Iterator<Item = (&'a RunRecord, &'a LayerSpectra)> {
    of_loss(fits, loss).filter_map(Seen::record).filter_map(|run| Some((run, run.layer().spectra.as_ref()?)))
}

/// A number that several seeds of one setting have.
struct OfSeed {
    /// How many of them it is the mean of.
    n_seeds: usize,
    /// The setting in words.
    setting: String,
    value: Option<f64>,
    /// Its own interval, which counts where there is one seed.
    interval: Option<[f64; 2]>,
}

impl OfSeed {
    fn new(run: &Seen<'_>, exponent: &FitSummary) -> Self {
        Self::number(run, Some(exponent.slope), exponent.interval)
    }

    fn number(run: &Seen<'_>, value: Option<f64>, interval: Option<[f64; 2]>) -> Self {
        Self { setting: run.setting.clone(), n_seeds: run.n_seeds, value, interval }
    }
}

/// The mean over the seeds of each setting, held against `asked`; its interval is Student's t over seeds, or that of
/// the run where there is one.
fn over_seeds(quantity: &'static str, asked: Asked, found: impl Iterator<Item = OfSeed>) -> Result<Vec<Case>> {
    let mut settings: Vec<(String, Vec<OfSeed>)> = Vec::new();
    for seed in found {
        match settings.iter_mut().find(|(setting, _)| *setting == seed.setting) {
            Some((_, seeds)) => seeds.push(seed),
            None => settings.push((seed.setting.clone(), vec![seed])),
        }
    }
    let case = |(setting, seeds): (String, Vec<OfSeed>)| {
        let (estimate, interval) = fits::over_seeds(&seeds.iter().map(|seed| seed.value).collect::<Vec<_>>())?;
        let own = seeds[0].interval.filter(|_| seeds.len() == 1 && estimate.is_some());
        let interval = interval.or(own);
        let subject = match seeds.iter().map(|seed| seed.n_seeds).sum::<usize>() {
            1 => format!("{setting}, one seed"),
            n => format!("{setting}, {n} seeds"),
        };
        Ok(Case::new(Judge::Estimate, subject, quantity, asked, estimate, interval))
    };
    settings.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_case_against_decides() {
        let above = Asked::above(0.0);
        let case = |x: f64, interval| Case::new(Judge::Interval, String::new(), "q", above, Some(x), interval);
        let (yes, no, open) = (case(1.0, None), case(-1.0, None), case(1.0, Some([-1.0, 2.0])));
        assert_eq!(Verdict::of(&[]), Verdict::NotTested);
        assert_eq!(Verdict::of(std::slice::from_ref(&yes)), Verdict::Holds);
        assert_eq!(Verdict::of(&[yes.clone(), open.clone()]), Verdict::Undecided);
        assert_eq!(Verdict::of(&[yes, open, no]), Verdict::DoesNotHold);
    }

    #[test]
    fn seeds_of_a_setting_are_one_case_and_their_mean_decides() {
        let seed = |setting: &str, value| {
            let setting = setting.to_owned();
            OfSeed { setting, n_seeds: 1, value, interval: Some([0.0, 9.0]) }
        };
        let found = [seed("a", Some(1.3)), seed("b", Some(0.9)), seed("a", Some(0.9)), seed("c", None)];
        let cases = over_seeds("γ", Asked::above(1.0), found.into_iter()).unwrap();
        let told: Vec<_> = cases.iter().map(|case| (case.subject.as_str(), case.estimate, case.outcome)).collect();
        assert_eq!(
            told,
            [
                ("a, 2 seeds", Some(1.1), Outcome::Yes),
                ("b, one seed", Some(0.9), Outcome::No),
                ("c, one seed", None, Outcome::Undecided),
            ]
        );
        assert_eq!(cases[1].interval, Some([0.0, 9.0]));
        assert!(cases[0].interval.is_some_and(|[low, high]| low < 0.0 && high > 2.0), "{:?}", cases[0].interval);
    }
}
