//! `power-law`: centred log–log scatter of `C_ii` and `(M₂)_ii` on `H_ii` with fits and guides.

use super::centred::scatter;
use super::{CaptionedFigure, Drawn, title};
use crate::fits::Diagonal;
use crate::record::RunRecord;
use anyhow::Result;
use superlinear_plots::{Axis, Color, Dash, Figure, Guide, Layer, Panel};

pub(super) fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let panels = runs.iter().map(|run| panel(run)).collect::<Result<Vec<_>>>()?;
    let figure = Figure::new("Noise covariance and second moment against curvature", 1, panels.len().max(1), panels);
    let caption = "Diagonals in the eigenbasis of H, each divided by its geometric mean over the fitted directions. \
                   C_ii is the measured noise covariance, (M₂)_ii the second moment of the per-sample Hessians. Lines are \
                   least-squares fits over the top 𝒩 directions, dashed and dotted guides have slope 1 and 2. Where C \
                   follows M₂ the two clouds lie on each other; a slope above 1 is superlinear."
        .to_owned();
    Ok(Drawn { figures: vec![CaptionedFigure { name: "power-law".to_owned(), caption, figure }], tables: Vec::new() })
}

fn panel(run: &RunRecord) -> Result<Panel> {
    let mut layers: Vec<Layer> =
        vec![Guide::new(1.0, (1.0, 1.0)).into(), Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into()];
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
    Ok(Panel::new(
        format!("{}, top {}", title(&run.spec), run.spec.top),
        Axis::log10("H_{ii} / geometric mean"),
        Axis::log10("C_{ii}, (M_{2})_{ii} / geometric mean"),
        layers,
    ))
}
