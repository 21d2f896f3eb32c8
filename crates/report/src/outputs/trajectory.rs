//! `trajectory`: exponents, norms and commutators over training, cross-entropy beside squared error.

use super::commutativity::{COLUMNS, number};
use super::decomposition::{curve, norms};
use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled, labels, titles};
use crate::fits::{self, Diagonal};
use anyhow::Result;
use superlinear_experiments::record::layer_spectra::WindowRecord;
use superlinear_experiments::record::{LayerRecord, RunRecord};
use superlinear_plots::{Axis, Color, Dash, Figure, Layer, Line, Panel, Reference, ReferenceAt, Size};

/// Strokes of the exponents: C blue and M₂ vermillion as in all figures, the duality's terms as their norms.
const STROKES: [(Color, Dash); 6] = [
    (Color::BLUE, Dash::Solid),
    (Color::VERMILLION, Dash::Dashed),
    (Color::GREEN, Dash::Solid),
    (Color::PURPLE, Dash::Dashed),
    (Color::ORANGE, Dash::Dotted),
    (Color::SKY, Dash::DashDot),
];

/// A panel of a run under its name.
type Of = fn(&RunRecord, &str) -> Panel;

pub(super) const OUTPUT: Output = Output {
    id: "trajectory",
    about: "Exponents and norms over training, CE beside MSE",
    shows: Shows::Featured,
    needs: Looks::OverTraining,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let names = labels(runs);
    let settings = titles(runs).join("; ");
    let figure = |name: &str, words: &str, caption: &str, rows: &[Of]| {
        let panels = rows.iter().flat_map(|row| runs.iter().zip(&names).map(|(run, name)| row(run, name)));
        let mut figure = Figure::new(words, rows.len(), runs.len().max(1), panels.collect());
        figure.size = Size { height: 270.0 * rows.len() as f64 + 40.0, ..figure.size };
        CaptionedFigure { name: name.to_owned(), caption: filled(caption, &[("settings", &settings)]), figure }
    };
    let figures = vec![
        figure("trajectory", "Over training: exponents", caption!("trajectory"), &[exponents, norms, loss]),
        figure(
            "trajectory-commutators",
            "Over training: C in the eigenbasis of H",
            caption!("trajectory-commutators"),
            &[error_ratios, alignments, couplings, norm_errors, agreement],
        ),
    ];
    Ok(Drawn { figures, tables: vec![table(runs), commutator_table(runs)] })
}

/// The exponent of one diagonal on `H` at one checkpoint; failed fits are left out of the figure.
fn exponent(run: &RunRecord, layer: &LayerRecord, diagonal: Diagonal) -> Option<f64> {
    fits::fit(&run.spec, layer, diagonal, Diagonal::H).ok().map(|fit| fit.slope)
}

fn exponents(run: &RunRecord, name: &str) -> Panel {
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    for (diagonal, (color, dash)) in Diagonal::ON_H.into_iter().zip(STROKES) {
        let symbol = diagonal.symbol();
        let label = match (diagonal, diagonal.exponent()) {
            (Diagonal::Awd, Some(index)) => format!("γ_{{{index}}}: {symbol} (ours)"),
            (_, Some(index)) => format!("γ_{{{index}}}: {symbol}"),
            (_, None) => symbol.to_owned(),
        };
        // A checkpoint without three usable directions leaves a gap, never a number.
        layers.push(curve(&label, color, dash, run, |layer| exponent(run, layer, diagonal).unwrap_or(f64::NAN)));
    }
    Panel::new(format!("{name}: exponents on H"), Axis::linear("epoch"), Axis::linear("γ"), layers)
}

/// A value of one window of directions, where the record has it.
fn in_window(k: usize, of: fn(&WindowRecord) -> Option<f64>) -> impl Fn(&LayerRecord) -> f64 {
    move |layer| layer.c_in_h.windows.get(k).and_then(of).unwrap_or(f64::NAN)
}

/// A solid curve for each window of directions, named after it, and in the same colour dashed what random directions
/// give, if anything.
fn windows(
    run: &RunRecord,
    of: fn(&WindowRecord) -> Option<f64>,
    random: Option<fn(&WindowRecord) -> Option<f64>>,
) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (k, window) in run.layer().c_in_h.windows.iter().enumerate() {
        let color = Color::series(k);
        layers.push(curve(&window.name(k == 0), color, Dash::Solid, run, in_window(k, of)));
        if let Some(random) = random {
            layers.push(curve("", color, Dash::Dashed, run, in_window(k, random)));
        }
    }
    if random.is_some() {
        // The dashes of all windows have one entry; without a value of its own it draws nothing.
        let random = Line::new("random directions", vec![run.layer().epoch as f64], vec![f64::NAN]);
        layers.push(Line { color: Color::GREY, dash: Dash::Dashed, ..random }.into());
    }
    layers
}

/// The paper's ratio, by window, against its line 1.
fn error_ratios(run: &RunRecord, name: &str) -> Panel {
    let mut layers = windows(run, WindowRecord::error_ratio, None);
    layers.insert(0, Reference::new("random: 1", ReferenceAt::Y(1.0)).into());
    let title = format!("{name}: commutator error over random");
    Panel::new(title, Axis::linear("epoch"), Axis::log10("(‖CH − HC‖/‖CH‖) / random"), layers)
}

/// The paper's eigen-alignment by window, and that of random directions.
fn alignments(run: &RunRecord, name: &str) -> Panel {
    let layers = windows(run, |window| window.recovery, Some(|window| Some(window.recovery_null)));
    Panel::new(format!("{name}: eigen-alignment"), Axis::linear("epoch"), Axis::log10("Σ_{i} K_{ii}² / ‖K‖²"), layers)
}

/// The paper's mean coupling by window, and that of a draw of random directions at the end, over all of them.
fn couplings(run: &RunRecord, name: &str) -> Panel {
    let mut layers = windows(run, |window| window.coupling_mean, None);
    let mut maps = run.layer().spectra.iter().flat_map(|spectral| &spectral.maps);
    let of_c = maps.find(|pair| pair.of == "C" && pair.in_basis_of == "H");
    if let Some(random) = of_c.and_then(|pair| pair.random[0]) {
        layers.insert(0, Reference::new("random directions, all, at the end", ReferenceAt::Y(random)).into());
    }
    Panel::new(format!("{name}: mean coupling"), Axis::linear("epoch"), Axis::linear("mean |R_{ij}|, i ≠ j"), layers)
}

/// Ours: the commutator over the norms, by window.
fn norm_errors(run: &RunRecord, name: &str) -> Panel {
    let layers = windows(run, |window| window.norm_error, Some(|window| window.norm_error_null));
    let y = Axis::log10("‖CH − HC‖/(‖C‖‖H‖)");
    Panel::new(format!("{name}: norm error (ours)"), Axis::linear("epoch"), y, layers)
}

/// Spearman's correlation, and ours: how nearly diagonal `C` is in the eigenbasis of `H`.
fn agreement(run: &RunRecord, name: &str) -> Panel {
    let leakage = in_window(0, |window| window.leakage);
    let leakage_null = in_window(0, |window| window.leakage_null);
    let layers = vec![
        Reference::new("", ReferenceAt::Y(1.0)).into(),
        curve("Spearman", Color::BLUE, Dash::Solid, run, |layer| {
            fits::rank_correlation(&run.spec, layer).unwrap_or(f64::NAN)
        }),
        curve("leakage (ours)", Color::VERMILLION, Dash::Solid, run, leakage),
        curve("leakage of random directions", Color::VERMILLION, Dash::Dashed, run, leakage_null),
    ];
    let title = format!("{name}: rank correlation, leakage (ours)");
    Panel::new(title, Axis::linear("epoch"), Axis::log10("coefficient"), layers)
}

fn loss(run: &RunRecord, name: &str) -> Panel {
    let epochs = (1..=run.training.history.len()).map(|epoch| epoch as f64).collect();
    let values = run.training.history.iter().map(|epoch| epoch.loss).collect();
    let layers = vec![Line { color: Color::BLACK, ..Line::new("", epochs, values) }.into()];
    let y = Axis::log10("mean loss of the epoch");
    Panel::new(format!("{name}: training loss"), Axis::linear("epoch"), y, layers)
}

/// The numbers of the figure of commutators, and more.
fn commutator_table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        for layer in run.trajectory() {
            for (k, window) in layer.c_in_h.windows.iter().enumerate() {
                let mut row = vec![run.spec.id(), layer.epoch.to_string(), window.name(k == 0)];
                row.extend(COLUMNS.iter().map(|(_, of)| number(of(window))));
                // It is of the fitted directions, whatever the window.
                row.push(if k == 0 { number(fits::rank_correlation(&run.spec, layer)) } else { String::new() });
                rows.push(row);
            }
        }
    }
    let mut header = vec!["run", "epoch", "window"];
    header.extend(COLUMNS.iter().map(|(name, _)| *name));
    header.push("Spearman");
    Table {
        name: "trajectory-commutators".to_owned(),
        caption: filled(caption!("trajectory-commutators-table"), &[]),
        header: columns(&header),
        rows,
    }
}

fn table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        for layer in run.trajectory() {
            for diagonal in Diagonal::ON_H {
                let mut row = vec![
                    run.spec.title(),
                    run.spec.id(),
                    layer.epoch.to_string(),
                    diagonal.exponent().map_or_else(String::new, |index| format!("γ_{index}")),
                    format!("{} on H", diagonal.name()),
                ];
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
    Table {
        name: "trajectory".to_owned(),
        caption: filled(caption!("trajectory-table"), &[]),
        header: columns(&["setting", "run", "epoch", "name", "pair", "slope", "se", "r2", "used", "dropped"]),
        rows,
    }
}
