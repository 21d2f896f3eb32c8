//! `power-law`: centred log–log scatter of `C_ii` and `(M₂)_ii` on `H_ii` with fits and guides.

use super::{CaptionedFigure, Drawn, fit_config, fit_top, title};
use crate::record::RunRecord;
use anyhow::Result;
use superlinear_plots::{Axis, Color, Dash, Figure, Guide, Layer, Line, Panel, Scatter};
use superlinear_stats::{PowerLawFit, loglog};

pub(super) fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let panels = runs.iter().map(|run| panel(run)).collect::<Result<Vec<_>>>()?;
    let figure = Figure::new("Noise covariance and second moment against curvature", 1, panels.len().max(1), panels);
    let caption = "Diagonals in the eigenbasis of H, each divided by its geometric mean over the fitted directions. \
                   C_ii is the measured noise covariance, (M₂)_ii the second moment of the per-sample Hessians. Lines are \
                   least-squares fits over the top 𝒩 directions, dashed guides have slope 1 and 2. Where C follows M₂ the \
                   two clouds lie on each other; a slope above 1 is superlinear."
        .to_owned();
    Ok(Drawn { figures: vec![CaptionedFigure { name: "power-law".to_owned(), caption, figure }], tables: Vec::new() })
}

fn panel(run: &RunRecord) -> Result<Panel> {
    let layer = &run.layer;
    let mut layers: Vec<Layer> = vec![Guide::new(1.0, (1.0, 1.0)).into()];
    layers.push(Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into());
    let mut fits: Vec<Layer> = Vec::new();
    for (name, color, y) in [("C_{ii}", Color::BLUE, &layer.c), ("(M_{2})_{ii}", Color::VERMILLION, &layer.m2)] {
        let fit = fit_top(run, &layer.h, y, name)?;
        let (x, y) = centred(run, &layer.h, y, &fit)?;
        let (low, high) = x.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
        let ends = vec![low, high];
        let on_line = ends.iter().map(|x| x.powf(fit.slope)).collect();
        layers.push(Scatter { color, ..Scatter::new("", x, y) }.into());
        let label = format!("{name}: γ = {:.3} ± {:.3}, R² = {:.3}", fit.slope, fit.se, fit.r2);
        fits.push(Line { color, ..Line::new(label, ends, on_line) }.into());
    }
    layers.append(&mut fits);
    Ok(Panel::new(
        format!("{}, top {}", title(&run.spec), run.spec.top),
        Axis::log10("H_{ii} / geometric mean"),
        Axis::log10("C_{ii}, (M_{2})_{ii} / geometric mean"),
        layers,
    ))
}

/// The fitted points, divided by their geometric means.
fn centred(run: &RunRecord, x: &[f64], y: &[f64], fit: &PowerLawFit) -> Result<(Vec<f64>, Vec<f64>)> {
    let selection = loglog::select(x, y, &fit_config(run))?;
    let scaled = |values: &[f64], mean: f64| {
        selection.indices.iter().map(|&i| 10f64.powf(values[i].log10() - mean)).collect::<Vec<_>>()
    };
    Ok((scaled(x, fit.mean_log10_x), scaled(y, fit.mean_log10_y)))
}
