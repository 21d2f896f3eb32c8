//! Table 1 in Markdown: in the paper's layout, in ours, and where its runs come from.

use super::rows::{CLASSES, Found, PAPER};
use super::{Row, Rows, StoredRun};
use crate::outputs::Table;
use anyhow::Result;
use std::collections::BTreeSet;
use superlinear_stats::over_seeds;
use superlinear_stats::summary::mean_sd;

/// Seeds of the paper.
const SEEDS: usize = 4;
/// Marks a row that an earlier version of the page has and no stored run.
const EARLIER: &str = "†";
/// What is not known of such a row.
const UNKNOWN: &str = "–";

/// γ_emp and γ_AWD, mean ± sd over seeds, three class counts a row.
///
/// # Errors
/// When an exponent is not finite.
pub(super) fn paper(rows: &Rows<'_>) -> Result<String> {
    let mut header = vec!["data".to_owned(), "model".to_owned(), "loss".to_owned()];
    for n in CLASSES {
        header.extend([format!("γ_emp, {n} classes"), format!("γ_AWD, {n} classes")]);
    }
    let mut lines = Vec::new();
    for of in PAPER {
        let mut line = of.map(str::to_owned).to_vec();
        for n in CLASSES {
            line.extend(match rows.find(of, n) {
                Some(row) => paper_cells(row)?,
                None => ["not run".to_owned(), "not run".to_owned()],
            });
        }
        lines.push(line);
    }
    let caption = "γ_emp: the exponent of the measured C_ii on H_ii; γ_AWD: that of (M₂)_ii = \
        E_p[h_p²]_ii, both over the top 𝒩 directions; mean ± sd over four seeds, or over as many as are said. A cell \
        whose networks do not reach the paper's training accuracy (CE 100 %, MSE above 95 %) says so. † as an earlier \
        version of this page had it: its runs are not stored.";
    Ok(markdown(header, lines, caption))
}

fn paper_cells(row: &Row<'_>) -> Result<[String; 2]> {
    let short = row.falls_short_of().map(|_| format!("trained to {}", percent(row.least_accuracy())));
    let (emp, awd, n_seeds, mark) = match &row.found {
        Found::Runs(runs) => {
            (mean(runs, |run| run.gamma.c_on_h.slope)?, mean(runs, |run| run.gamma.m2_on_h.slope)?, runs.len(), "")
        }
        Found::Earlier(row) => {
            let spread = |of: (f64, Option<f64>)| known((of.0, of.1.filter(|_| row.n_seeds > 1)));
            (spread(row.emp), spread(row.awd), row.n_seeds, EARLIER)
        }
    };
    let seeds = (n_seeds != SEEDS).then(|| if n_seeds == 1 { "1 seed".to_owned() } else { format!("{n_seeds} seeds") });
    let remarks: Vec<String> = seeds.into_iter().chain(short).collect();
    let remarks = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join(", ")) };
    Ok([format!("{emp}{mark}{remarks}"), format!("{awd}{mark}")])
}

/// Everything else that is known of a setting.
///
/// # Errors
/// When a number is not finite.
pub(super) fn ours(rows: &Rows<'_>) -> Result<String> {
    let header = [
        "data",
        "model",
        "loss",
        "classes",
        "γ_emp",
        "95 % over seeds",
        "95 % over samples",
        "γ_AWD",
        "C on M₂",
        "R²",
        "γ_dual",
        "C on E|h|",
        "𝒩",
        "𝒩 found",
        "γ_emp over it",
        "seeds",
        "training accuracy",
        "epochs",
        "stopped early",
    ];
    let lines = rows.all().iter().map(our_line).collect::<Result<Vec<_>>>()?;
    let caption = "Mean ± sd over seeds. 95 % over seeds: Student's interval of γ_emp. 95 % over samples: the \
        basic bootstrap interval of γ_emp over training images in the fixed eigenbasis; with several seeds from the \
        least lower to the greatest upper end. C on M₂: the exponent of C_ii on (M₂)_ii. R²: of γ_emp's fit, the \
        least of a seed. γ_dual: the exponent of the duality's full covariance C_AWD on H. C on E|h|: over the same \
        directions, where per-sample Hessians h_p are indefinite; elsewhere E|h| is H. 𝒩 found: directions above the \
        noise floor that the signs of the eigenvalues of H show (none where in some seed no floor tells noise from \
        curvature), and γ_emp over these. Training accuracy: least and greatest over seeds, in the last epoch. – not \
        known: † as an earlier version of this page had it, where the ± of a single seed is the bootstrap's standard \
        error.";
    Ok(markdown(header.map(str::to_owned).to_vec(), lines, caption))
}

fn our_line(row: &Row<'_>) -> Result<Vec<String>> {
    let mut line = row.of.to_vec();
    line.push(row.n_classes.to_string());
    let unknown = || UNKNOWN.to_owned();
    let runs = match &row.found {
        Found::Runs(runs) => runs,
        Found::Earlier(earlier) => {
            line[0].push_str(EARLIER);
            line.extend([
                known(earlier.emp),
                unknown(),
                unknown(),
                known(earlier.awd),
                known(earlier.c_on_m2),
                unknown(),
                known(earlier.dual),
                unknown(),
                thousands(earlier.top),
                unknown(),
                unknown(),
                earlier.n_seeds.to_string(),
                accuracy(row, earlier.accuracy, earlier.accuracy),
                unknown(),
                unknown(),
            ]);
            return Ok(line);
        }
    };
    let of = |number: fn(&StoredRun) -> f64| mean(runs, number);
    let slopes: Vec<f64> = runs.iter().map(|run| run.gamma.c_on_h.slope).collect();
    let over_seeds = over_seeds(&slopes, 0.95)?.interval;
    let found: Option<Vec<(usize, f64)>> = runs.iter().map(|run| run.above_floor).collect();
    let [n_found, over_found] = match found {
        None => ["none", "none"].map(str::to_owned),
        Some(found) => {
            let directions: Vec<f64> = found.iter().map(|(n, _)| *n as f64).collect();
            let slopes: Vec<f64> = found.iter().map(|(_, slope)| *slope).collect();
            [format!("{:.0}", mean_sd(&directions)?), format!("{:.3}", mean_sd(&slopes)?)]
        }
    };
    let accuracies = runs.iter().map(|run| run.training.accuracy);
    let epochs: Vec<usize> = runs.iter().map(|run| run.training.epochs).collect();
    let n_stopped = runs.iter().filter(|run| run.training.epochs < run.spec.epochs).count();
    line.extend([
        of(|run| run.gamma.c_on_h.slope)?,
        over_seeds.map_or_else(|| "one seed".to_owned(), |t| interval([t.low, t.high])),
        over_samples(runs).map_or_else(unknown, interval),
        of(|run| run.gamma.m2_on_h.slope)?,
        of(|run| run.gamma.c_on_m2.slope)?,
        format!("{:.3}", runs.iter().map(|run| run.gamma.c_on_h.r2).fold(f64::INFINITY, f64::min)),
        of(|run| run.gamma.c_awd_on_h.slope)?,
        on_abs_h(runs)?,
        thousands(row.top()),
        n_found,
        over_found,
        seeds(runs),
        accuracy(row, row.least_accuracy(), accuracies.fold(0.0, f64::max)),
        range(&epochs),
        if n_stopped == 0 { "no".to_owned() } else { format!("{n_stopped} of {}", runs.len()) },
    ]);
    Ok(line)
}

/// The exponent on `E|h|`, which for cross-entropy is that on `H`.
fn on_abs_h(runs: &[&StoredRun]) -> Result<String> {
    let slopes: Option<Vec<f64>> = runs.iter().map(|run| Some(run.c_on_abs_h.as_ref()?.slope)).collect();
    slopes.map_or_else(|| Ok("γ_emp".to_owned()), |slopes| Ok(format!("{:.3}", mean_sd(&slopes)?)))
}

/// From the least lower to the greatest upper end of the runs' intervals over samples.
fn over_samples(runs: &[&StoredRun]) -> Option<[f64; 2]> {
    let resampled = runs.iter().map(|run| run.gamma.c_on_h.interval.filter(|_| run.gamma.c_on_h.sampling_se.is_some()));
    let intervals: Vec<[f64; 2]> = resampled.collect::<Option<_>>()?;
    let low = intervals.iter().map(|interval| interval[0]).fold(f64::INFINITY, f64::min);
    let high = intervals.iter().map(|interval| interval[1]).fold(f64::NEG_INFINITY, f64::max);
    Some([low, high])
}

/// Which commit and machine made the runs, and how long that took.
pub(super) fn origins(rows: &Rows<'_>) -> String {
    let header = ["rows", "seeds", "trained at", "analysed at", "machine", "training", "analysis"];
    let line = |row: &Row<'_>| {
        let runs = row.runs();
        let distinct = |of: fn(&StoredRun) -> String| {
            let all: BTreeSet<String> = runs.iter().map(|run| of(run)).collect();
            all.into_iter().collect::<Vec<_>>().join(", ")
        };
        let time = |of: fn(&StoredRun) -> f64| duration(runs.iter().map(|run| of(run)).sum());
        match &row.found {
            Found::Earlier(earlier) => {
                let commit = format!("`{}`", earlier.commit);
                let [unknown, again] = [UNKNOWN, UNKNOWN].map(str::to_owned);
                let title = format!("{}{EARLIER}", row.title());
                vec![title, earlier.n_seeds.to_string(), commit.clone(), commit, unknown.clone(), again, unknown]
            }
            Found::Runs(_) => vec![
                row.title(),
                seeds(runs),
                distinct(|run| short(&run.trained_by.commit)),
                distinct(|run| short(&run.analysed_by.commit)),
                distinct(|run| run.trained_by.machine.clone()),
                time(|run| run.training.wall_s),
                time(|run| run.analysis_s),
            ],
        }
    };
    let lines = rows.all().iter().map(line).collect();
    let caption = "Times are sums over seeds, on machines shared with other work.";
    markdown(header.map(str::to_owned).to_vec(), lines, caption)
}

/// Seconds of what took little, else minutes.
fn duration(seconds: f64) -> String {
    if seconds < 600.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// The beginning of a commit, and that it was changed.
fn short(commit: &str) -> String {
    let (hash, changed) = commit.split_once('-').map_or((commit, ""), |(hash, _)| (hash, ", changed"));
    format!("`{}`{changed}", hash.get(..7).unwrap_or(hash))
}

fn markdown(header: Vec<String>, rows: Vec<Vec<String>>, caption: &str) -> String {
    let table = Table { name: String::new(), caption: String::new(), header, rows };
    let text = table.markdown();
    format!("{}\n{}", text.trim_end_matches('\n').to_owned() + "\n", filled(caption))
}

/// A caption in lines of at most 120 characters.
pub(super) fn filled(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 120 {
            lines.push_str(&line);
            lines.push('\n');
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    format!("{lines}{line}\n")
}

fn mean(runs: &[&StoredRun], of: fn(&StoredRun) -> f64) -> Result<String> {
    Ok(format!("{:.3}", mean_sd(&runs.iter().map(|run| of(run)).collect::<Vec<_>>())?))
}

/// A number of the earlier page, with the digits that it had there.
fn known((value, error): (f64, Option<f64>)) -> String {
    error.map_or_else(|| format!("{value:.3}"), |error| format!("{value:.3} ± {error:.3}"))
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{low:.3} to {high:.3}")
}

/// `0–3`, or `0, 2` where one is missing between.
fn seeds(runs: &[&StoredRun]) -> String {
    let seeds: Vec<u64> = runs.iter().map(|run| run.spec.seed).collect();
    match seeds[..] {
        [first, .., last] if last - first == seeds.len() as u64 - 1 => format!("{first}–{last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn range(counts: &[usize]) -> String {
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    if least == most { least.to_string() } else { format!("{least}–{most}") }
}

/// The accuracies of a setting's seeds, and whether they fall short of the paper's.
fn accuracy(row: &Row<'_>, least: f64, most: f64) -> String {
    let (low, high) = (percent(least), percent(most));
    let text = if low == high { high } else { format!("{} {high}", low.replace(" %", " to")) };
    row.falls_short_of().map_or(text.clone(), |asked| format!("{text}, short of the paper's {asked}"))
}

/// `99.35 %`; not rounded up, so that 100 % is all.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", (share * 1e4 + 1e-6).floor() / 1e2);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn thousands(n: usize) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", n / 1_000, n % 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_up() {
        assert_eq!(
            ["100 %", "99.99 %", "93.8 %", "97.53 %"].map(str::to_owned),
            [1.0, 0.99999, 0.938, 0.97533].map(percent)
        );
    }

    #[test]
    fn captions_are_broken_into_lines() {
        let text = "γ ".repeat(100);
        let lines: Vec<usize> = filled(&text).lines().map(|line| line.chars().count()).collect();
        assert_eq!(lines, [119, 79]);
        assert_eq!((thousands(300), thousands(1_000)), ("300".to_owned(), "1,000".to_owned()));
    }
}
