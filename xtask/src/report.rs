//! `report.html`: one self-contained page, rendered from the summary.

use crate::claims::number;
use crate::summary::Summary;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, Value, context};
use superlinear_nets::Loss;
use superlinear_training::SgdConfig;

/// The page, with every figure inside it. `svgs` are those of `summary.figures`, in order; `rerun` is the command that makes the
/// results again, `setting` the name of one setting among them.
///
/// # Errors
/// When the template does not render.
pub(crate) fn render(summary: &Summary, svgs: &[String], at_scale: bool, rerun: &str, setting: &str) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_filter("math", |text: String| Value::from_safe_string(math(&text)));
    environment.add_filter("found", |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), number));
    environment.add_filter("small", |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), |x| format!("{x:.1e}")));
    environment.add_template("report", include_str!("../templates/report.html")).context("report template")?;
    let figures: Vec<_> = summary
        .figures
        .iter()
        .zip(svgs)
        .map(|(figure, svg)| context! { id => figure.id, caption => figure.caption, svg => STANDARD.encode(svg) })
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
    let page = environment.get_template("report").context("report template")?;
    page.render(context! { summary, figures, tables, at_scale, rerun, setting, sgd }).context("report template")
}

/// HTML of a sentence in which `X_ii` and `H^γ` are an index and a power.
fn math(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut open: Option<&str> = None;
    for c in text.chars() {
        if let Some(tag) = open
            && !c.is_alphanumeric()
        {
            html.push_str(&format!("</{tag}>"));
            open = None;
        }
        match c {
            '_' | '^' => {
                let tag = if c == '_' { "sub" } else { "sup" };
                html.push_str(&format!("<{tag}>"));
                open = Some(tag);
            }
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    if let Some(tag) = open {
        html.push_str(&format!("</{tag}>"));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::math;

    #[test]
    fn indices_and_powers_become_markup_and_the_rest_is_escaped() {
        assert_eq!(math("C_ii ∝ H_ii^γ"), "C<sub>ii</sub> ∝ H<sub>ii</sub><sup>γ</sup>");
        assert_eq!(math("a < b & κ_max·x"), "a &lt; b &amp; κ<sub>max</sub>·x");
    }
}
