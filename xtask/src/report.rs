//! `report.html`: one self-contained page, rendered from the summary.

use crate::summary::Summary;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, context};

/// The page, with every figure inside it. `svgs` are those of `summary.figures`, in order.
///
/// # Errors
/// When the template does not render.
pub(crate) fn render(summary: &Summary, svgs: &[String]) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
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
    let page = environment.get_template("report").context("report template")?;
    page.render(context! { summary, figures, tables }).context("report template")
}
