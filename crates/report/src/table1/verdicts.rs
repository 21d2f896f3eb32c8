//! The paper's claims, judged by the paper's own statistics over all settings of the table.

use super::rows::Found;
use super::tables::filled;
use super::{Rows, StoredRun};
use crate::claims::{self, Outcome, Verdict, number};
use crate::outputs::Table;
use anyhow::Result;
use serde_json::Value;

/// A table of verdicts, claim by claim.
///
/// # Errors
/// When a number is not finite.
pub(super) fn verdicts(rows: &Rows<'_>) -> Result<String> {
    let mut seen = Vec::new();
    for row in rows.all() {
        match &row.found {
            Found::Runs(runs) => seen.extend(runs.iter().map(|run| StoredRun::seen(run))),
            Found::Earlier(row) => seen.push(row.seen()?),
        }
    }
    let mut lines = Vec::new();
    for (id, judged) in claims::judge_paper(&seen)? {
        if judged.verdict == Verdict::NotTested {
            continue;
        }
        let against = judged.cases.iter().filter(|case| case.outcome == Outcome::No);
        let against = against.map(|case| {
            let found = case.estimate.map_or_else(|| "undefined".to_owned(), number);
            format!("{} {found} of {}", case.quantity, case.subject)
        });
        let against: Vec<String> = against.collect();
        let against = if against.is_empty() { "none".to_owned() } else { against.join("; ") };
        let verdict = match serde_json::to_value(judged.verdict)? {
            Value::String(words) if judged.verdict == Verdict::DoesNotHold => format!("**{words}**"),
            Value::String(words) => words,
            other => other.to_string(),
        };
        lines.push(vec![id.to_owned(), verdict, judged.evidence, against]);
    }
    let header = ["claim", "verdict", "numbers", "cases against"].map(str::to_owned).to_vec();
    let table = Table { name: String::new(), caption: String::new(), header, rows: lines };
    let missing = rows.missing();
    let missing = match missing.len() {
        0 => "All 24 settings of the paper's table are among them.".to_owned(),
        n => format!("{n} settings of the paper's table have not been run: {}.", missing.join("; ")),
    };
    let beside: Vec<String> = rows.beside().map(super::Row::title).collect();
    let beside =
        if beside.is_empty() { String::new() } else { format!("Beside the paper's settings: {}.", beside.join("; ")) };
    let caption = format!(
        "The verdicts over all these settings, by the paper's own statistic; a setting counts with its mean over \
         seeds. R² and commuting are not known of the rows marked †. {missing} {beside}"
    );
    Ok(format!("{}\n\n{}", table.markdown().trim_end(), filled(&caption)))
}
