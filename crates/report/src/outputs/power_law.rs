//! `power-law`: centred log–log scatter of `C_ii` and `(M₂)_ii` on `H_ii` with fits and guides, and the layers of a deep network.

use super::centred::scatter;
use super::{CaptionedFigure, Drawn, Looks, Output, Shows};
use crate::fits::Diagonal;
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_plots::{Axis, Color, Dash, Figure, Guide, Layer, Panel};

pub(super) const OUTPUT: Output = Output {
    id: "power-law",
    about: "Log–log scatter of C and M₂ on H, with fits",
    shows: Shows::Featured,
    needs: Looks::AtTheEnd,
    draw: draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let panels = runs
        .iter()
        .map(|run| if run.spec.analysed_dense().len() > 1 { by_layer(run) } else { both(run) })
        .collect::<Result<Vec<_>>>()?;
    let columns = panels.len().clamp(1, 2);
    let figure = Figure::new(
        "Noise covariance and second moment against curvature",
        panels.len().div_ceil(columns).max(1),
        columns,
        panels,
    );
    let mut caption = "Diagonals in the eigenbasis of H, each divided by its geometric mean over the fitted directions. \
                   C_ii is the measured noise covariance, (M₂)_ii the second moment of the per-sample Hessians. Lines are \
                   least-squares fits over the top 𝒩 directions, dashed and dotted guides have slope 1 and 2. Where C \
                   follows M₂ the two clouds lie on each other; a slope above 1 is superlinear."
        .to_owned();
    if runs.iter().any(|run| run.spec.analysed_dense().len() > 1) {
        caption.push_str(OF_LAYERS);
    }
    Ok(Drawn { figures: vec![CaptionedFigure { name: "power-law".to_owned(), caption, figure }], tables: Vec::new() })
}

/// What the caption adds where a network of several analysed layers is shown.
const OF_LAYERS: &str = " For the deep network, C_ii of each hidden-to-hidden layer in the eigenbasis of its own H; \
                         `cargo xtask spectrum <run> --params fc2,fc3,fc4` gives the exponent of all of them jointly, in the \
                         eigenbasis of their common H.";

fn guides() -> Vec<Layer> {
    vec![Guide::new(1.0, (1.0, 1.0)).into(), Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into()]
}

/// `C` and `M₂` of the target layer.
fn both(run: &RunRecord) -> Result<Panel> {
    let mut layers = guides();
    let mut lines: Vec<Layer> = Vec::new();
    for (name, color, diagonal) in
        [("C_{ii}", Color::BLUE, Diagonal::C), ("(M_{2})_{ii}", Color::VERMILLION, Diagonal::M2)]
    {
        let drawn = scatter(&run.spec, run.layer(), (diagonal, Diagonal::H), color, |fit| {
            format!("{name}: γ = {:.3} ± {:.3}, R² = {:.3}", fit.slope, fit.se, fit.r2)
        })?;
        layers.push(drawn.points);
        lines.push(drawn.line);
    }
    layers.append(&mut lines);
    Ok(panel(run, "C_{ii}, (M_{2})_{ii}", layers))
}

/// `C` of every analysed layer.
fn by_layer(run: &RunRecord) -> Result<Panel> {
    let mut layers = guides();
    let mut lines: Vec<Layer> = Vec::new();
    for (k, layer) in run.trained_layers().enumerate() {
        let drawn = scatter(&run.spec, layer, (Diagonal::C, Diagonal::H), Color::series(k), |fit| {
            format!("layer {}: γ = {:.3} ± {:.3}, R² = {:.3}", layer.dense + 1, fit.slope, fit.se, fit.r2)
        })?;
        layers.push(drawn.points);
        lines.push(drawn.line);
    }
    layers.append(&mut lines);
    Ok(panel(run, "C_{ii}", layers))
}

fn panel(run: &RunRecord, ordinate: &str, layers: Vec<Layer>) -> Panel {
    Panel::new(
        format!("{}, top {}", run.spec.title(), run.spec.top),
        Axis::log10("H_{ii} / geometric mean"),
        Axis::log10(format!("{ordinate} / geometric mean")),
        layers,
    )
}
