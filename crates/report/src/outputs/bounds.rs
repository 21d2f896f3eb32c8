//! `bounds`: every direction in the wedge `H² ≤ M₂ ≤ κ_max·H`, and the pointwise exponents.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled, labels, titles};
use anyhow::{Context, Result};
use superlinear_experiments::record::{LayerRecord, RunRecord};
use superlinear_plots::{
    Axis, Bins, Color, Figure, Fill, Histogram, Layer, Line, Panel, Reference, ReferenceAt, Scatter,
};
use superlinear_stats::bounds::{Curvature, Wedge, WedgeReport};

/// Curve points of the wedge.
const CURVE: usize = 64;

pub(super) const OUTPUT: Output = Output {
    id: "bounds",
    about: "The wedge H² ≤ M₂ ≤ κ_max H and the pointwise exponents",
    shows: Shows::Featured,
    needs: Looks::AtTheEnd,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut wedges = Vec::new();
    let mut histograms = Vec::new();
    let mut rows = Vec::new();
    for ((run, title), name) in runs.iter().zip(titles(runs)).zip(labels(runs)) {
        let layer = run.layer();
        let context = || format!("{}: bounds", run.spec.id());
        let wedge = Wedge::new(layer.kappa_max)
            .and_then(|wedge| wedge.with_noise_floor(layer.noise_floor))
            .with_context(context)?;
        let report = wedge.report(&layer.h, &layer.m2, curvature(layer)).with_context(context)?;
        let exponents = wedge.exponents(right_diagonal(layer), &layer.m2).with_context(context)?;
        let right = (right_diagonal(layer), layer.abs_h.is_some());
        wedges.push(wedge_panel(title, layer.kappa_max, right, &layer.m2, &report));
        histograms.push(histogram_panel(&name, &exponents.values));
        rows.push(row(run, &report, exponents.min(), exponents.max()));
    }
    let cols = wedges.len().max(1);
    wedges.append(&mut histograms);
    let figure = Figure::new("The wedge that confines M_{2}, and where in it each direction lies", 2, cols, wedges);
    let caption = filled(caption!("bounds"), &[]);
    let figures = vec![CaptionedFigure { name: "bounds".to_owned(), caption, figure }];
    let table = Table {
        name: "bounds".to_owned(),
        caption: filled(caption!("bounds-table"), &[]),
        header: columns(&[
            "setting",
            "run",
            "κ_max",
            "inside",
            "below",
            "above",
            "flagged",
            "least γ(v)",
            "largest γ(v)",
        ]),
        rows,
    };
    Ok(Drawn { figures, tables: vec![table] })
}

fn curvature(layer: &LayerRecord) -> Curvature<'_> {
    match &layer.abs_h {
        None => Curvature::PositiveSemidefinite,
        Some(abs_h) => Curvature::Indefinite { abs_diag: Some(abs_h) },
    }
}

/// The diagonal with which the right-hand bound holds.
fn right_diagonal(layer: &LayerRecord) -> &[f64] {
    layer.abs_h.as_ref().unwrap_or(&layer.h)
}

/// Directions outside the wedge, over directions judged: what the claim rests on.
///
/// # Errors
/// When the diagonals are not finite.
pub fn n_outside(layer: &LayerRecord) -> Result<(usize, usize)> {
    let wedge = Wedge::new(layer.kappa_max)?.with_noise_floor(layer.noise_floor)?;
    let report = wedge.report(&layer.h, &layer.m2, curvature(layer))?;
    let outside = report.n_below + report.n_above;
    Ok((outside, outside + report.n_inside))
}

/// Directions in the wedge, over the diagonal of the right-hand bound, which is of `E|h|` if so.
pub(crate) fn wedge_panel(
    title: String,
    kappa: f64,
    (right, is_absolute): (&[f64], bool),
    m2: &[f64],
    report: &WedgeReport,
) -> Panel {
    use superlinear_stats::bounds::Place;
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let diagonals = right.iter().zip(m2).zip(&report.places);
    for ((&h, &m2), _) in diagonals.filter(|((h, m2), place)| **place != Place::Flagged && **h > 0.0 && **m2 > 0.0) {
        x.push(h / kappa);
        y.push(m2 / kappa / kappa);
    }
    let least = x.iter().copied().fold(1.0, f64::min);
    let curve: Vec<f64> = (0..=CURVE).map(|k| least.powf(1.0 - k as f64 / CURVE as f64)).collect();
    let square: Vec<f64> = curve.iter().map(|x| x * x).collect();
    let layers: Vec<Layer> = vec![
        Fill::new("", curve.clone(), square.clone(), curve.clone()).into(),
        Line { color: Color::GREY, ..Line::new("upper bound, γ(v) = 1", curve.clone(), curve.clone()) }.into(),
        Line { color: Color::BLACK, ..Line::new("lower bound, γ(v) = 2", curve, square) }.into(),
        Scatter::new("directions", x, y).into(),
    ];
    let abscissa = if is_absolute { "E|h|_{ii} / κ_{max}" } else { "H_{ii} / κ_{max}" };
    Panel::new(title, Axis::log10(abscissa), Axis::log10("(M_{2})_{ii} / κ_{max}²"), layers)
}

fn histogram_panel(name: &str, exponents: &[f64]) -> Panel {
    // From 0.9 to 2.1, so that a violation would show.
    let edges = (45..=105).map(|k| f64::from(k) / 50.0).collect();
    let layers: Vec<Layer> = vec![
        Histogram { bins: Bins::Edges(edges), ..Histogram::new("", exponents.to_vec(), 1) }.into(),
        Reference::new("", ReferenceAt::X(1.0)).into(),
        Reference::new("", ReferenceAt::X(2.0)).into(),
    ];
    let title = format!("{name}: {} directions", exponents.len());
    Panel::new(title, Axis::linear("γ(v)"), Axis::linear("directions"), layers)
}

fn row(run: &RunRecord, report: &WedgeReport, least: Option<f64>, largest: Option<f64>) -> Vec<String> {
    let number = |x: Option<f64>| x.map_or_else(|| "none".to_owned(), |x| format!("{x:.4}"));
    vec![
        run.spec.title(),
        run.spec.id(),
        format!("{:.4e}", run.layer().kappa_max),
        report.n_inside.to_string(),
        report.n_below.to_string(),
        report.n_above.to_string(),
        report.n_flagged.to_string(),
        number(least),
        number(largest),
    ]
}
