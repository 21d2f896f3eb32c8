//! The paper's claims, each held against the runs by a stated statistic and threshold.
//!
//! The thresholds stand here, written before any result was looked at, and nowhere else.

use crate::fits::{self, Diagonal, Exponents};
use crate::outputs::{alignment, bounds, loss_name};
use crate::record::RunRecord;
use crate::record::spectral::{Edit, SpectralRecord};
use anyhow::Result;
use serde::Serialize;
use superlinear_nets::Loss;

/// `C` follows `M₂` when the slope of `C_ii` on `(M₂)_ii` is within this of 1 …
const SECOND_MOMENT_SLOPE: f64 = 0.1;
/// … and the fit explains at least this.
const SECOND_MOMENT_R2: f64 = 0.95;
/// An MSE exponent is near 1 within this.
const MSE_NEAR_ONE: f64 = 0.1;
/// A prediction of γ is good within this.
const PREDICTION: f64 = 0.1;

/// `C` and `H` commute approximately when, over all directions, both the commutator error and the leakage are at most this part of
/// what random directions give …
const COMMUTE: f64 = 0.5;
/// … and do not coincide when `⟨C,H⟩/(‖C‖‖H‖)` is below this.
const COINCIDE: f64 = 0.99;
/// The correlation of curvature and alignment lifts an exponent when this share of `γ − 1` goes with it.
const LIFTS: f64 = 0.5;
/// An edit brings `γ` toward 1 when it takes at least this share of `γ − 1` away.
const TOWARD_ONE: f64 = 0.5;

/// An exponent has settled when it varies by no more than this over the last three checkpoints …
const SETTLED: f64 = 0.05;
/// … and an approximation when its ratio of norms is within this of 1.
const APPROXIMATION: f64 = 0.05;

/// How a claim fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// Every run meets the threshold.
    #[serde(rename = "holds")]
    Holds,
    /// Some run does not.
    #[serde(rename = "does not hold")]
    DoesNotHold,
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
    /// How it fares here.
    pub(crate) verdict: Verdict,
    /// The numbers behind the verdict.
    pub(crate) evidence: String,
}

/// All claims, judged by these runs.
///
/// # Errors
/// When a fit is not possible.
pub(crate) fn judge(runs: &[RunRecord]) -> Result<Vec<Claim>> {
    let fits = runs.iter().map(|run| Ok((run, Exponents::of(run)?))).collect::<Result<Vec<_>>>()?;
    let statements = [
        (
            "second-moment",
            "C follows the second moment of per-sample Hessians, not H: the slope of C on M₂ is near 1 with high R², and C on H is above 1 for cross-entropy",
        ),
        ("commute", "C and H commute approximately and do not coincide"),
        ("bounds", "the exponent γ of C_ii ∝ H_ii^γ lies in [1, 2], for every data set, architecture and loss"),
        ("ce-vs-mse", "cross-entropy: γ above 1; MSE: γ near 1"),
        ("awd-predicts", "the exponent of the activity–weight duality's second moment predicts the measured one"),
        (
            "alignment",
            "curvature and alignment are correlated more strongly for cross-entropy than for MSE, which lifts its γ",
        ),
        (
            "suppression",
            "making stiff samples' curvature equal brings cross-entropy's γ toward 1; cutting the spectral tail alone does not",
        ),
        ("near-minimum", "γ and the duality's approximations settle as training converges"),
    ];
    statements
        .into_iter()
        .map(|(id, statement)| {
            let (verdict, evidence) = match id {
                "second-moment" => second_moment(&fits),
                "commute" => commute(&fits),
                "alignment" => alignment_claim(&fits),
                "suppression" => suppression(&fits),
                "bounds" => gamma_bounds(&fits)?,
                "ce-vs-mse" => ce_vs_mse(&fits),
                "awd-predicts" => awd_predicts(&fits),
                "near-minimum" => near_minimum(&fits)?,
                _ => (Verdict::NotTested, "nothing here measures it".to_owned()),
            };
            Ok(Claim { id, statement, verdict, evidence })
        })
        .collect()
}

type Fits<'a> = [(&'a RunRecord, Exponents)];

fn verdict(n_runs: usize, failing: &[String]) -> Verdict {
    match (n_runs, failing.len()) {
        (0, _) => Verdict::NotTested,
        (_, 0) => Verdict::Holds,
        _ => Verdict::DoesNotHold,
    }
}

fn listed(failing: &[String]) -> String {
    if failing.is_empty() { String::new() } else { format!("; not so: {}", failing.join(", ")) }
}

/// Smallest and largest of some numbers, as `a to b`.
fn range(values: impl Iterator<Item = f64>) -> String {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low <= high { format!("{low:.3} to {high:.3}") } else { "none".to_owned() }
}

fn of_loss<'a>(fits: &'a Fits<'_>, loss: Loss) -> impl Iterator<Item = &'a (&'a RunRecord, Exponents)> {
    fits.iter().filter(move |(run, _)| run.spec.loss == loss)
}

fn second_moment(fits: &Fits<'_>) -> (Verdict, String) {
    let mut failing = Vec::new();
    for (run, fit) in fits {
        let follows = (fit.c_on_m2.slope - 1.0).abs() <= SECOND_MOMENT_SLOPE && fit.c_on_m2.r2 >= SECOND_MOMENT_R2;
        let superlinear = run.spec.loss != Loss::CrossEntropy || fit.emp.slope - 2.0 * fit.emp.se > 1.0;
        if !(follows && superlinear) {
            let Exponents { emp, c_on_m2, .. } = fit;
            let numbers = format!("C on M₂ {:.3}, R² {:.3}, γ_emp {:.3}", c_on_m2.slope, c_on_m2.r2, emp.slope);
            failing.push(format!("{} ({numbers})", run.spec.id()));
        }
    }
    let evidence = format!(
        "slope of C on M₂ {} (asked: within {SECOND_MOMENT_SLOPE} of 1), R² {} (asked: {SECOND_MOMENT_R2} or more), over {} runs; \
         γ_emp of cross-entropy {} (asked: above 1 by two standard errors){}",
        range(fits.iter().map(|(_, fit)| fit.c_on_m2.slope)),
        range(fits.iter().map(|(_, fit)| fit.c_on_m2.r2)),
        fits.len(),
        range(of_loss(fits, Loss::CrossEntropy).map(|(_, fit)| fit.emp.slope)),
        listed(&failing),
    );
    (verdict(fits.len(), &failing), evidence)
}

fn commute(fits: &Fits<'_>) -> (Verdict, String) {
    let mut failing = Vec::new();
    let (mut commutators, mut leakages, mut cosines) = (Vec::new(), Vec::new(), Vec::new());
    // Not part of the verdict: a measure that does not call matrices of low rank commuting.
    let mut relative = Vec::new();
    for (run, _) in fits {
        let pair = &run.layer().c_in_h;
        let full = pair.full();
        let ratio = |found: Option<f64>, null: Option<f64>| Some(found? / null?).filter(|ratio| ratio.is_finite());
        let commutator = ratio(full.commutator, full.commutator_null);
        let leakage = ratio(full.leakage, full.leakage_null);
        commutators.extend(commutator);
        leakages.extend(leakage);
        cosines.push(pair.cosine);
        relative.extend(ratio(full.relative, full.relative_null));
        let below = |ratio: Option<f64>| ratio.is_some_and(|ratio| ratio <= COMMUTE);
        if !(below(commutator) && below(leakage) && pair.cosine < COINCIDE) {
            let number = |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), |x| format!("{x:.2}"));
            failing.push(format!(
                "{} ({}, {}, {:.3})",
                run.spec.id(),
                number(commutator),
                number(leakage),
                pair.cosine
            ));
        }
    }
    let evidence = format!(
        "over all directions of {} runs, in units of what random directions give: commutator error {}, leakage {} (asked: {COMMUTE} or \
         less); cosine of C and H {} (asked: below {COINCIDE}); beside: the commutator relative to the products CH and HC is {} of what random \
         directions give{}",
        fits.len(),
        range(commutators.into_iter()),
        range(leakages.into_iter()),
        range(cosines.into_iter()),
        range(relative.into_iter()),
        listed(&failing),
    );
    (verdict(fits.len(), &failing), evidence)
}

/// Runs of a loss whose per-sample spectra were looked at.
fn with_spectra<'a>(fits: &'a Fits<'_>, loss: Loss) -> impl Iterator<Item = (&'a RunRecord, &'a SpectralRecord)> {
    of_loss(fits, loss).filter_map(|(run, _)| Some((*run, run.layer().spectral.as_ref()?)))
}

fn alignment_claim(fits: &Fits<'_>) -> (Verdict, String) {
    let means = |loss| with_spectra(fits, loss).filter_map(|(run, spectral)| Some((run, spectral.alignment.as_ref()?)));
    let (n_ce, n_mse) = (means(Loss::CrossEntropy).count(), means(Loss::SoftmaxMse).count());
    let written = |loss| {
        let each =
            means(loss).map(|(_, a)| format!("{:.3} ({:.3} to {:.3})", a.mean, a.mean_interval[0], a.mean_interval[1]));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut failing = Vec::new();
    let highest_mse = means(Loss::SoftmaxMse).map(|(_, a)| a.mean_interval[1]).fold(f64::NEG_INFINITY, f64::max);
    for (run, found) in means(Loss::CrossEntropy) {
        if n_mse > 0 && found.mean_interval[0] <= highest_mse {
            failing.push(format!("{} is not above MSE", run.spec.id()));
        }
    }
    let mut shares = Vec::new();
    for (run, spectral) in with_spectra(fits, Loss::CrossEntropy) {
        match alignment::share_of_excess(spectral, Edit::Shuffled) {
            Some(share) => {
                shares.push(share);
                if share < LIFTS {
                    failing.push(format!("{} (share {share:.2})", run.spec.id()));
                }
            }
            None => failing.push(format!("{} (γ near 1)", run.spec.id())),
        }
    }
    let evidence = format!(
        "mean correlation of ln X and ln Y over directions, with 95 % interval: CE {}, MSE {} (asked: intervals apart, CE above); share of \
         CE's γ − 1 that goes when curvature is exchanged among eigenpairs {} (asked: {LIFTS} or more){}",
        written(Loss::CrossEntropy),
        written(Loss::SoftmaxMse),
        range(shares.into_iter()),
        listed(&failing),
    );
    (verdict(n_ce.min(n_mse), &failing), evidence)
}

fn suppression(fits: &Fits<'_>) -> (Verdict, String) {
    let mut failing = Vec::new();
    let mut parts = Vec::new();
    for (run, spectral) in with_spectra(fits, Loss::CrossEntropy) {
        let gamma = |edit| spectral.edit(edit).and_then(|record| record.mean_gamma());
        let all = [Edit::Original, Edit::TailCut, Edit::StiffOnly, Edit::Homogenised].map(gamma);
        let [Some(original), Some(tail_cut), Some(stiff), Some(homogenised)] = all else {
            failing.push(format!("{} (no fit)", run.spec.id()));
            continue;
        };
        parts.push(format!("{}: {original:.3}, {tail_cut:.3}, {stiff:.3}, {homogenised:.3}", run.spec.id()));
        let taken = |edited: f64| 1.0 - (edited - 1.0).abs() / (original - 1.0).abs();
        if !(taken(homogenised) >= TOWARD_ONE && taken(tail_cut) < TOWARD_ONE) {
            failing.push(run.spec.id());
        }
    }
    let n_runs = with_spectra(fits, Loss::CrossEntropy).count();
    let evidence = format!(
        "γ of (a) original, (b) tail cut, (c) stiff only, (d) homogenised: {} (asked: (d) takes at least {TOWARD_ONE} of |γ − 1| away, (b) \
         does not){}",
        parts.join("; "),
        listed(&failing),
    );
    if n_runs == 0 {
        return (Verdict::NotTested, "no cross-entropy run here had its per-sample spectra looked at".to_owned());
    }
    (verdict(n_runs, &failing), evidence)
}

fn gamma_bounds(fits: &Fits<'_>) -> Result<(Verdict, String)> {
    let mut failing = Vec::new();
    let (mut n_outside, mut n_directions) = (0, 0);
    let mut slopes = Vec::new();
    for (run, fit) in fits {
        for layer in run.trained_layers() {
            let of_layer;
            let (name, emp) = if layer.dense == run.spec.target_dense() {
                (run.spec.id(), &fit.emp)
            } else {
                of_layer = Exponents::of_layer(&run.spec, layer)?.emp;
                (format!("{} layer {}", run.spec.id(), layer.dense + 1), &of_layer)
            };
            slopes.push(emp.slope);
            if !(1.0..=2.0).contains(&emp.slope) {
                failing.push(format!("{name} ({:.3} ± {:.3})", emp.slope, emp.se));
            }
            let (outside, judged) = bounds::n_outside(layer)?;
            n_outside += outside;
            n_directions += judged;
        }
    }
    let evidence = format!(
        "fitted γ_emp {} over {} layers of {} runs{}; the theorem behind the claim, H² ≤ M₂ ≤ κ_max·E|h| direction by direction, is \
         violated by {n_outside} of {n_directions} directions",
        range(slopes.iter().copied()),
        slopes.len(),
        fits.len(),
        listed(&failing),
    );
    Ok((verdict(fits.len(), &failing), evidence))
}

fn ce_vs_mse(fits: &Fits<'_>) -> (Verdict, String) {
    let mut failing = Vec::new();
    let mut parts = Vec::new();
    let n_ce = of_loss(fits, Loss::CrossEntropy).count();
    let n_mse = of_loss(fits, Loss::SoftmaxMse).count();
    for (loss, asked) in [
        (Loss::CrossEntropy, "above 1 by two standard errors".to_owned()),
        (Loss::SoftmaxMse, format!("within {MSE_NEAR_ONE} of 1")),
    ] {
        for (run, fit) in of_loss(fits, loss) {
            let gamma = fit.emp.slope;
            let as_claimed = match loss {
                Loss::CrossEntropy => gamma - 2.0 * fit.emp.se > 1.0,
                _ => (gamma - 1.0).abs() <= MSE_NEAR_ONE,
            };
            if !as_claimed {
                failing.push(format!("{} ({gamma:.3} ± {:.3})", run.spec.id(), fit.emp.se));
            }
        }
        let slopes = range(of_loss(fits, loss).map(|(_, fit)| fit.emp.slope));
        parts.push(format!("{}: γ_emp {slopes} (asked: {asked})", loss_name(loss)));
    }
    (verdict(n_ce.min(n_mse), &failing), format!("{}{}", parts.join("; "), listed(&failing)))
}

fn awd_predicts(fits: &Fits<'_>) -> (Verdict, String) {
    let mut failing = Vec::new();
    for (run, fit) in fits {
        if (fit.awd.slope - fit.emp.slope).abs() > PREDICTION {
            failing.push(format!("{} ({:.3} for {:.3})", run.spec.id(), fit.awd.slope, fit.emp.slope));
        }
    }
    let evidence = format!(
        "|γ_AWD − γ_emp| {} over {} runs (asked: {PREDICTION} or less), γ_AWD from C_AWD{}",
        range(fits.iter().map(|(_, fit)| (fit.awd.slope - fit.emp.slope).abs())),
        fits.len(),
        listed(&failing),
    );
    (verdict(fits.len(), &failing), evidence)
}

fn near_minimum(fits: &Fits<'_>) -> Result<(Verdict, String)> {
    const LAST: usize = 3;
    let mut failing = Vec::new();
    let mut spreads = Vec::new();
    let mut ratios = Vec::new();
    let followed = fits.iter().map(|(run, _)| *run).filter(|run| run.trajectory().count() > LAST);
    for run in followed {
        let last: Vec<_> = run.trajectory().skip(run.trajectory().count() - LAST).collect();
        let slopes = last
            .iter()
            .map(|layer| Ok(fits::fit(&run.spec, layer, Diagonal::C, Diagonal::H)?.slope))
            .collect::<Result<Vec<f64>>>()?;
        let (low, high) = slopes.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        let awd = &run.layer().awd;
        let worst =
            [awd.hh.norm / awd.total.norm, awd.hh_same.norm / awd.hh.norm, awd.hh_local.norm / awd.hh_same.norm]
                .into_iter()
                .fold(1.0, |worst: f64, ratio| if (ratio - 1.0).abs() > (worst - 1.0).abs() { ratio } else { worst });
        spreads.push(high - low);
        ratios.push(worst);
        if high - low > SETTLED || (worst - 1.0).abs() > APPROXIMATION {
            failing.push(format!("{} (γ varies by {:.3}, ratio {worst:.3})", run.spec.id(), high - low));
        }
    }
    let n_runs = spreads.len();
    if n_runs == 0 {
        return Ok((Verdict::NotTested, format!("no run here has more than {LAST} checkpoints")));
    }
    let evidence = format!(
        "γ_emp varies by {} over the last {LAST} checkpoints of {n_runs} runs (asked: {SETTLED} or less); the worst ratio of \
         norms among C^hh to C_AWD, SD to C^hh and SD,WD to SD is {} at the end (asked: within {APPROXIMATION} of 1){}",
        range(spreads.into_iter()),
        range(ratios.into_iter()),
        listed(&failing),
    );
    Ok((verdict(n_runs, &failing), evidence))
}
