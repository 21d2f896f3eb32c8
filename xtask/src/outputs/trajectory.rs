//! `trajectory`: exponents and norms over training, cross-entropy beside squared error.

use super::decomposition::{curve, norms};
use super::{CaptionedFigure, Drawn, Table, loss_name, title};
use crate::fits::{self, Diagonal};
use crate::record::{LayerRecord, RunRecord};
use anyhow::Result;
use superlinear_plots::{Axis, Color, Dash, Figure, Layer, Line, Panel, Reference, ReferenceAt};

const DASHES: [Dash; 6] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::DashDot, Dash::Solid, Dash::Dashed];

pub(super) fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut panels = Vec::new();
    for run in runs {
        panels.push(exponents(run)?);
    }
    panels.extend(runs.iter().map(|run| norms(run)));
    panels.extend(runs.iter().map(|run| loss(run)));
    let figure = Figure::new("Over training", 3, runs.len().max(1), panels);
    let names: Vec<String> = runs.iter().map(|run| title(&run.spec)).collect();
    let caption = format!(
        "{}. Above: the exponent of each matrix's diagonal on H_ii over the top 𝒩 directions, refitted at every checkpoint \
         in that checkpoint's own eigenbasis. Middle: Frobenius norms of the duality's terms. Below: training loss. The \
         claim is that they settle as training converges.",
        names.join("; ")
    );
    let figures = vec![CaptionedFigure { name: "trajectory".to_owned(), caption, figure }];
    Ok(Drawn { figures, tables: vec![table(runs)?] })
}

/// The exponent of one diagonal on `H` at one checkpoint; infinite errors and failed fits are left out of the figure.
fn exponent(run: &RunRecord, layer: &LayerRecord, diagonal: Diagonal) -> Option<f64> {
    fits::fit(&run.spec, layer, diagonal, Diagonal::H).ok().map(|fit| fit.slope)
}

fn exponents(run: &RunRecord) -> Result<Panel> {
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    for (k, (diagonal, dash)) in Diagonal::ON_H.into_iter().zip(DASHES).enumerate() {
        // A checkpoint without three usable directions leaves a gap, never a number.
        layers.push(curve(diagonal.symbol(), k, dash, run, |layer| exponent(run, layer, diagonal).unwrap_or(f64::NAN)));
    }
    let title = format!("{}: exponents on H", loss_name(run.spec.loss));
    Ok(Panel::new(title, Axis::linear("epoch"), Axis::linear("γ"), layers))
}

fn loss(run: &RunRecord) -> Panel {
    let epochs = (1..=run.training.history.len()).map(|epoch| epoch as f64).collect();
    let values = run.training.history.iter().map(|epoch| epoch.loss).collect();
    let layers = vec![Line { color: Color::BLACK, ..Line::new("", epochs, values) }.into()];
    let title = format!("{}: training loss", loss_name(run.spec.loss));
    Panel::new(title, Axis::linear("epoch"), Axis::log10("mean loss of the epoch"), layers)
}

fn table(runs: &[&RunRecord]) -> Result<Table> {
    let mut rows = Vec::new();
    for run in runs {
        for layer in &run.layers {
            for diagonal in Diagonal::ON_H {
                let mut row = vec![run.spec.id(), layer.epoch.to_string(), diagonal.name().to_owned()];
                match fits::fit(&run.spec, layer, diagonal, Diagonal::H) {
                    Ok(fit) => row.extend([
                        format!("{:.6}", fit.slope),
                        format!("{:.6}", fit.se),
                        format!("{:.6}", fit.r2),
                        fit.n_used.to_string(),
                        fit.dropped.total().to_string(),
                    ]),
                    Err(error) => row.extend([
                        format!("none: {}", error.root_cause()),
                        String::new(),
                        String::new(),
                        String::new(),
                        String::new(),
                    ]),
                }
                rows.push(row);
            }
        }
    }
    Ok(Table {
        name: "trajectory".to_owned(),
        caption: "Exponents on H at every checkpoint, with robust standard errors.".to_owned(),
        header: vec!["run", "epoch", "matrix", "γ", "se", "r2", "used", "dropped"],
        rows,
    })
}
