//! What a reader should know first: whether the finding reproduces, at which scale, where not, and a handful of
//! numbers.

use crate::claims::{Case, Claim, Outcome, Verdict, number};
use crate::fits::{self, Exponent, Exponents};
use anyhow::Result;
use serde::Serialize;
use superlinear_experiments::record::RunRecord;
use superlinear_nets::Loss;

/// Cases against a claim that a sentence names; a count stands for the others.
const NAMED: usize = 3;

/// The first words of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Headline {
    /// Sentences, in order.
    pub answer: Vec<String>,
    /// What the numbers are of, one a column: for example `MLP on MNIST, CE, 10 classes, 2 seeds`.
    pub settings: Vec<String>,
    /// The numbers, one quantity a row.
    pub numbers: Vec<HeadlineNumber>,
}

/// One quantity of every setting of a headline.
#[derive(Clone, Debug, Serialize)]
pub struct HeadlineNumber {
    /// What it is.
    pub quantity: &'static str,
    /// What it would be if the paper were right, or chance.
    pub beside: &'static str,
    /// Its value for each setting with a range: 95 % over samples for one seed, both values for two, 95 % over more.
    pub found: Vec<(Option<f64>, Option<[f64; 2]>)>,
}

/// The headline of these runs.
///
/// # Errors
/// When a fit is not possible.
pub fn headline(runs: &[RunRecord], claims: &[Claim], at_scale: bool) -> Result<Headline> {
    let (mut settings, mut columns) = (Vec::new(), Vec::new());
    for loss in [Loss::CrossEntropy, Loss::SoftmaxMse] {
        if let Some((setting, column)) = column(runs, loss)? {
            settings.push(setting);
            columns.push(column);
        }
    }
    let numbers = QUANTITIES
        .iter()
        .enumerate()
        .map(|(row, &(quantity, beside))| HeadlineNumber {
            quantity,
            beside,
            found: columns.iter().map(|column| column[row]).collect(),
        })
        .collect();
    Ok(Headline { answer: answer(claims, at_scale), settings, numbers })
}

/// The rows, and what each number is to be seen beside.
const QUANTITIES: [(&str, &str); 5] = [
    ("γ_emp, the exponent of C on H", "1 where C ∝ H"),
    ("γ_AWD, the exponent of E_p[h_p²] on H", "γ_emp where the paper's prediction is right"),
    ("slope of C on E_p[h_p²]", "1 where C ∝ E_p[h_p²]"),
    ("‖CH − HC‖/‖CH‖ over that of random directions", "0 where they commute, 1 at random"),
    ("eigen-alignment Σ_i K_ii²/‖K‖² of C in H's eigenbasis", "1 where they commute, about 0 at random"),
];

type Number = (Option<f64>, Option<[f64; 2]>);

/// The numbers of one loss: of all seeds of its setting with the most classes, the first data set and network that has
/// it.
fn column(runs: &[RunRecord], loss: Loss) -> Result<Option<(String, [Number; 5])>> {
    let of_loss = || runs.iter().filter(|run| run.spec.loss == loss);
    let Some(most) = of_loss().map(|run| run.spec.n_classes).max() else { return Ok(None) };
    let Some(first) = of_loss().find(|run| run.spec.n_classes == most) else { return Ok(None) };
    let seeds: Vec<&RunRecord> = of_loss().filter(|run| run.spec.setting() == first.spec.setting()).collect();
    let fits = seeds.iter().map(|run| Exponents::of(run)).collect::<Result<Vec<_>>>()?;
    let exponent = |of: fn(&Exponents) -> &Exponent| -> Result<Number> {
        if let [fit] = &fits[..] {
            return Ok((Some(of(fit).value()), of(fit).interval()));
        }
        over_seeds(&fits.iter().map(|fit| Some(of(fit).value())).collect::<Vec<_>>())
    };
    let of_windows =
        |of: fn(&RunRecord) -> Option<f64>| over_seeds(&seeds.iter().map(|run| of(run)).collect::<Vec<_>>());
    let numbers = [
        exponent(|fit| &fit.emp)?,
        exponent(|fit| &fit.awd)?,
        exponent(|fit| &fit.c_on_m2)?,
        of_windows(|run| run.layer().c_in_h.full().error_ratio())?,
        of_windows(|run| run.layer().c_in_h.full().recovery)?,
    ];
    let n = if seeds.len() == 1 { "one seed".to_owned() } else { format!("{} seeds", seeds.len()) };
    Ok(Some((format!("{}, {n}", first.spec.title()), numbers)))
}

/// The mean with its interval; with two seeds, whose interval says nothing, with both values.
fn over_seeds(values: &[Option<f64>]) -> Result<Number> {
    let (mean, interval) = fits::over_seeds(values)?;
    let both = match values {
        [Some(a), Some(b)] => Some([a.min(*b), a.max(*b)]),
        _ => None,
    };
    Ok((mean, both.or(interval)))
}

/// The verdict in a few sentences.
fn answer(claims: &[Claim], at_scale: bool) -> Vec<String> {
    let with =
        |verdict: Verdict| -> Vec<&Claim> { claims.iter().filter(|claim| claim.paper.verdict == verdict).collect() };
    let names = |claims: &[&Claim]| claims.iter().map(|claim| format!("`{}`", claim.id)).collect::<Vec<_>>().join(", ");
    let (holds, fails) = (with(Verdict::Holds), with(Verdict::DoesNotHold));
    let (undecided, untested) = (with(Verdict::Undecided), with(Verdict::NotTested));
    let tested = claims.len() - untested.len();
    let scale = if at_scale { "At the paper's own scale" } else { "Below the paper's scale" };
    let mut sentences = Vec::new();
    if tested == 0 {
        return vec!["These runs test none of the paper's claims.".to_owned()];
    }
    if let Some(claim) = claims.iter().find(|claim| claim.id == "second-moment" && !claim.paper.cases.is_empty()) {
        let reproduces = match claim.paper.verdict {
            Verdict::Holds => "the finding reproduces",
            Verdict::DoesNotHold => "the finding does not reproduce in all runs",
            Verdict::Undecided | Verdict::NotTested => "the finding is undecided",
        };
        sentences.push(format!(
            "{scale}, {reproduces}: C follows E_p[h_p²] ({}), not H ({}).",
            range(&claim.paper.cases, "slope of C on M₂").unwrap_or_default(),
            range(&claim.paper.cases, "γ_emp of CE").unwrap_or_else(|| "no run with cross-entropy".to_owned()),
        ));
    }
    sentences.push(match holds.len() {
        n if n == tested => format!("By the paper's own statistics all {n} claims that are tested hold."),
        0 => format!("By the paper's own statistics none of the {tested} claims that are tested holds."),
        n => {
            format!("By the paper's own statistics {n} of the {tested} claims that are tested hold: {}.", names(&holds))
        }
    });
    sentences.extend(fails.iter().map(|claim| {
        let against: Vec<&Case> = claim.paper.cases.iter().filter(|case| case.outcome == Outcome::No).collect();
        let named = against.iter().take(NAMED).map(|case| {
            let found = case.estimate.map_or_else(|| "undefined".to_owned(), number);
            format!("{} {found} of {} (asked: {})", case.quantity, case.subject, case.asked)
        });
        let more = match against.len().saturating_sub(NAMED) {
            0 => String::new(),
            n => format!("; and {n} more"),
        };
        format!("`{}` does not hold: {}{more}.", claim.id, named.collect::<Vec<_>>().join("; "))
    }));
    if !undecided.is_empty() {
        sentences.push(format!("Undecided: {}.", names(&undecided)));
    }
    if !untested.is_empty() {
        sentences.push(format!("Not tested by these runs: {}.", names(&untested)));
    }
    sentences
}

/// `slope of C on M₂ 0.937 to 1.004 over 8 settings`.
fn range(cases: &[Case], quantity: &str) -> Option<String> {
    let found: Vec<f64> =
        cases.iter().filter(|case| case.quantity == quantity).filter_map(|case| case.estimate).collect();
    let low = found.iter().copied().reduce(f64::min)?;
    let high = found.iter().copied().reduce(f64::max)?;
    Some(match found.len() {
        1 => format!("{quantity} {}", number(low)),
        n => format!("{quantity} {} to {} over {n} settings", number(low), number(high)),
    })
}

/// An item of the paper, and where it stands here.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PaperItem {
    /// What the paper has.
    pub item: &'static str,
    /// Our output.
    pub output: &'static str,
    /// Its file in a folder of results; `*` stands for a run's id.
    pub file: &'static str,
    /// What is ours beside it.
    pub ours: &'static str,
}

/// Every item of the paper, in its order.
pub const PAPER_ITEMS: [PaperItem; 9] = {
    const fn of(item: &'static str, output: &'static str, file: &'static str, ours: &'static str) -> PaperItem {
        PaperItem { item, output, file, ours }
    }
    [
        of("Table 1: γ_emp and γ_AWD", "table1", "tables/table1.csv", "intervals, γ_dual, noise floor"),
        of(
            "Fig. 1: C in the eigenbasis of H, random baseline",
            "commutativity",
            "figures/commutativity-*.svg",
            "closed-form baseline, p-values, overlaps",
        ),
        of("Fig. 3: C and E_p[h_p²] on H", "power-law", "figures/power-law.svg", "layers of the deep MLP"),
        of("Fig. 5: edits of per-sample spectra", "suppression", "figures/suppression-*.svg", "four more edits"),
        of("Research question 5: curvature and alignment", "alignment", "figures/alignment.svg", "bootstrap, shuffles"),
        of("Text: per-sample spectra", "per-sample-spectra", "figures/per-sample-spectra.svg", "localisation"),
        of(
            "Appendix: terms of the duality over training",
            "decomposition",
            "figures/decomposition-*.svg",
            "shares by direction",
        ),
        of(
            "Appendix: γ and commutators over training",
            "trajectory",
            "figures/trajectory.svg",
            "leakage, rank correlation",
        ),
        of("Appendix: pairs of matrices", "pair-grid", "figures/pair-grid-*.svg", ""),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_tested_is_said() {
        assert_eq!(answer(&[], true), ["These runs test none of the paper's claims."]);
    }

    /// The README has the same table.
    #[test]
    fn the_readme_says_where_each_item_of_the_paper_stands() {
        let readme = include_str!("../../../README.md");
        for PaperItem { item, output, file, .. } in PAPER_ITEMS {
            let row = format!("| {item} | `{file}` | `cargo xtask reproduce --only {output}` |");
            assert!(readme.contains(&row), "README.md lacks the row\n{row}");
            assert!(crate::outputs::find(output).is_ok());
        }
    }
}
