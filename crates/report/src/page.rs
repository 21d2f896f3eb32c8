//! `report.html`: one self-contained page, rendered from the summary.

mod symbols;

use crate::claims::number;
use crate::headline::{PAPER_ITEMS, PaperItem};
use crate::summary::Summary;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, Value, context};
use superlinear_experiments::record::RunRecord;
use superlinear_nets::Loss;
use superlinear_training::SgdConfig;

/// The output whose figure stands above the claims.
const FIRST_FIGURE: &str = "power-law";

/// The page, with every figure inside it. `svgs` are those of `summary.figures`, in order; `rerun` is the command that
/// makes the results again.
///
/// # Errors
/// When the template does not render.
pub fn render(summary: &Summary, svgs: &[String], at_scale: bool, rerun: &str, runs: &[RunRecord]) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_filter("math", |text: String| Value::from_safe_string(math(&text)));
    environment.add_filter("plain", |text: String| text.replace(['`', '{', '}'], ""));
    environment.add_filter("class", |verdict: String| match verdict.as_str() {
        "holds" | "yes" => "holds",
        "does not hold" | "no" => "fails",
        _ => "untested",
    });
    environment.add_filter("found", |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), number));
    environment.add_filter("small", |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), |x| format!("{x:.1e}")));
    environment.add_template("report", include_str!("../templates/report.html")).context("report template")?;
    let figures: Vec<_> = summary
        .figures
        .iter()
        .zip(svgs)
        .enumerate()
        .map(|(index, (figure, svg))| {
            context! { index, id => figure.id, caption => figure.caption, svg => STANDARD.encode(svg) }
        })
        .collect();
    let tables: Vec<_> = summary
        .tables
        .iter()
        .map(|table| context! { id => table.id, file => table.file, table => table.table })
        .collect();
    // Batches, epochs and losses are each run's own; all else is the same for all.
    let SgdConfig { schedule, clip, early_stop, .. } = SgdConfig::paper(Loss::CrossEntropy);
    let sgd = context! {
        initial => schedule.initial, floor => schedule.floor, t_max => schedule.t_max, clip,
        window => early_stop.window, accuracy => early_stop.accuracy, loss => format!("{:e}", early_stop.loss),
    };
    let drawn = |output: &str| summary.figures.iter().any(|figure| figure.id == output);
    let items: Vec<_> = PAPER_ITEMS
        .iter()
        .map(|&PaperItem { item, output, ours, .. }| {
            let is_here = drawn(output) || summary.tables.iter().any(|table| table.id == output);
            context! { item, output, ours, is_here }
        })
        .collect();
    // The figure that answers first stands above the claims, and once.
    let first = summary.figures.iter().position(|figure| figure.id == FIRST_FIGURE);
    // The whole plan, narrowed to one setting and one seed.
    let one_run = runs.first().map(|run| {
        let beginning = rerun.split(" --only").next().unwrap_or(rerun);
        format!("{beginning} --only table1,training --settings {} --seeds 1 --out one-run", run.spec.setting())
    });
    let page = environment.get_template("report").context("report template")?;
    page.render(context! {
        summary, figures, tables, items, first, symbols => symbols::SYMBOLS, at_scale, rerun, one_run, sgd,
    })
    .context("report template")
}

/// HTML of a sentence in which `X_ii` and `H^γ` are an index and a power, `Σ_{m≤k}` an index in braces, and words in
/// backticks are code. Without braces an index ends at the first sign that is no letter or digit, or stands raised
/// itself, as in `σ_w²`.
fn math(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let tag = match c {
            '_' => "sub",
            '^' => "sup",
            '`' => "code",
            _ => {
                html.push_str(&escaped(c));
                continue;
            }
        };
        let enclosed =
            if c == '`' { rest.split_once('`') } else { rest.strip_prefix('{').and_then(|x| x.split_once('}')) };
        let (inner, after) = match enclosed {
            Some(found) => found,
            None if c == '`' => ("", rest),
            None => rest.split_at(rest.find(|c: char| !c.is_alphanumeric() || is_raised(c)).unwrap_or(rest.len())),
        };
        if inner.is_empty() {
            html.push(c);
        } else {
            html.push_str(&format!("<{tag}>{}</{tag}>", inner.chars().map(escaped).collect::<String>()));
        }
        rest = after;
    }
    html
}

/// Whether a letter or digit is a superscript, and so a power or a transpose and no part of an index.
fn is_raised(c: char) -> bool {
    "ᵀ⁰¹²³⁴⁵⁶⁷⁸⁹ⁿⁱ".contains(c)
}

fn escaped(c: char) -> String {
    match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::math;
    use super::symbols::SYMBOLS;

    #[test]
    fn indices_and_powers_become_markup_and_the_rest_is_escaped() {
        assert_eq!(math("C_ii ∝ H_ii^γ"), "C<sub>ii</sub> ∝ H<sub>ii</sub><sup>γ</sup>");
        assert_eq!(math("a < b & κ_max·x"), "a &lt; b &amp; κ<sub>max</sub>·x");
    }

    #[test]
    fn an_index_ends_with_its_braces_or_before_a_power_and_backticks_are_code() {
        assert_eq!(math("‖U_kᵀV_k‖²"), "‖U<sub>k</sub>ᵀV<sub>k</sub>‖²");
        assert_eq!(math("σ_w², Σ_{m≤k}κ_m²"), "σ<sub>w</sub>², Σ<sub>m≤k</sub>κ<sub>m</sub>²");
        assert_eq!(math("γ_M₂ of C^{hh}_{SD}"), "γ<sub>M₂</sub> of C<sup>hh</sup><sub>SD</sub>");
        assert_eq!(math("`run <a_b>`: a ` alone"), "<code>run &lt;a_b&gt;</code>: a ` alone");
    }

    #[test]
    fn every_symbol_is_defined_once() {
        let mut names: Vec<&str> = SYMBOLS.iter().map(|(symbol, _)| *symbol).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SYMBOLS.len());
        assert!(SYMBOLS.iter().all(|(_, definition)| !definition.is_empty()));
    }
}
