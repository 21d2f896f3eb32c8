//! `trajectory`: exponents and norms over training, cross-entropy beside squared error.

use super::decomposition::{curve, norms};
use super::{CaptionedFigure, Drawn, Table, loss_name, title};
use crate::fits::{self, Diagonal};
use crate::record::spectral::WindowRecord;
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
    panels.extend(runs.iter().map(|run| commutators(run)));
    panels.extend(runs.iter().map(|run| agreement(run)));
    panels.extend(runs.iter().map(|run| loss(run)));
    let figure = Figure::new("Over training", 5, runs.len().max(1), panels);
    let names: Vec<String> = runs.iter().map(|run| title(&run.spec)).collect();
    let caption = format!(
        "{}. Above: the exponent of each matrix's diagonal on H_ii over the top 𝒩 directions, refitted at every checkpoint \
         in that checkpoint's own eigenbasis. Second: Frobenius norms of C_AWD, what the activity–weight duality predicts for C, and of its terms. Third: commutator error \
         of C and H over all directions, the top 100 and the bulk up to 1000, each as a solid line, and in the same colour dashed its expectation for \
         a matrix of the same spectrum and random directions. Fourth: Spearman's rank correlation of C_ii and H_ii, leakage of C in the eigenbasis of H (root mean square off the diagonal over that on it), the commutator relative to \
         the products CH and HC (near 1 for random directions), and the share of \
         its squared norm on the diagonal (recovery). Below: training loss. The claim is that they settle as training converges.",
        names.join("; ")
    );
    let figures = vec![CaptionedFigure { name: "trajectory".to_owned(), caption, figure }];
    Ok(Drawn { figures, tables: vec![table(runs)?, commutator_table(runs)] })
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

/// Commutator error of `C` and `H` by window, with its expectation for random directions.
fn commutators(run: &RunRecord) -> Panel {
    let windows = &run.layer().c_in_h.windows;
    let mut layers: Vec<Layer> = Vec::new();
    for (k, window) in windows.iter().enumerate() {
        let label = if k == 0 { "all".to_owned() } else { format!("{}–{}", window.first + 1, window.end) };
        let value = |of: fn(&WindowRecord) -> Option<f64>| {
            move |layer: &LayerRecord| layer.c_in_h.windows.get(k).and_then(of).unwrap_or(f64::NAN)
        };
        layers.push(curve(&label, k, Dash::Solid, run, value(|window| window.norm_error)));
        layers.push(curve("", k, Dash::Dashed, run, value(|window| window.norm_error_null)));
    }
    // The dashes of all windows have one entry; without a value of its own it draws nothing.
    let random = Line::new("random directions", vec![run.layer().epoch as f64], vec![f64::NAN]);
    layers.push(Line { color: Color::GREY, dash: Dash::Dashed, ..random }.into());
    let title = format!("{}: commutator of C and H", loss_name(run.spec.loss));
    Panel::new(title, Axis::linear("epoch"), Axis::log10("‖[C,H]‖ / (‖C‖‖H‖)"), layers)
}

/// How far the order of `C_ii` is that of `H_ii`, and how nearly diagonal `C` is in the eigenbasis of `H`.
fn agreement(run: &RunRecord) -> Panel {
    let full = |layer: &LayerRecord, of: fn(&WindowRecord) -> Option<f64>| of(layer.c_in_h.full()).unwrap_or(f64::NAN);
    let layers = vec![
        Reference::new("", ReferenceAt::Y(1.0)).into(),
        curve("Spearman", 0, Dash::Solid, run, |layer| fits::rank_correlation(&run.spec, layer).unwrap_or(f64::NAN)),
        curve("recovery", 1, Dash::Dashed, run, |layer| full(layer, |window| window.recovery)),
        curve("relative commutator", 2, Dash::DashDot, run, |layer| full(layer, |window| window.error)),
        curve("leakage", 3, Dash::Dotted, run, |layer| full(layer, |window| window.leakage)),
    ];
    let title = format!("{}: C in the eigenbasis of H", loss_name(run.spec.loss));
    Panel::new(title, Axis::linear("epoch"), Axis::linear("coefficient"), layers)
}

/// The numbers of both panels.
fn commutator_table(runs: &[&RunRecord]) -> Table {
    let number = |x: Option<f64>| x.map_or_else(|| "undefined".to_owned(), |x| format!("{x:.5e}"));
    let mut rows = Vec::new();
    for run in runs {
        for layer in run.trajectory() {
            let spearman = number(fits::rank_correlation(&run.spec, layer));
            for window in &layer.c_in_h.windows {
                rows.push(vec![
                    run.spec.id(),
                    layer.epoch.to_string(),
                    format!("{}–{}", window.first + 1, window.end),
                    number(window.norm_error),
                    number(window.norm_error_null),
                    number(window.leakage),
                    number(window.recovery),
                    if window.first == 0 && window.end == layer.d_out * layer.d_in {
                        spearman.clone()
                    } else {
                        String::new()
                    },
                ]);
            }
        }
    }
    Table {
        name: "trajectory-commutators".to_owned(),
        caption: "C in the eigenbasis of H at every checkpoint: commutator error by window of directions beside its expectation for random \
                  directions, leakage, recovery; Spearman's correlation of C_ii and H_ii over the fitted directions."
            .to_owned(),
        header: vec!["run", "epoch", "directions", "commutator", "random", "leakage", "recovery", "Spearman"],
        rows,
    }
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
        for layer in run.trajectory() {
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
