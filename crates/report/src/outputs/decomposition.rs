//! `decomposition`: what the duality's covariance is made of, over training and by direction, for one run.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled};
use crate::fits;
use superlinear_experiments::record::{AwdRecord, LayerRecord, RunRecord, Term};
use superlinear_plots::{Axis, Color, Dash, Figure, Layer, Line, Marker, Panel, Reference, ReferenceAt, Scatter};

/// A grey that is told from black.
const PALE: Color = Color::rgb(0x99, 0x99, 0x99);

/// A term that is followed: how figures write it, where it stands, its colour and its stroke.
type Followed = (&'static str, fn(&AwdRecord) -> &Term, Color, Dash);

/// The terms that are followed, in the colours that they have in every figure over training.
const TERMS: [Followed; 6] = [
    ("C_{AWD}", |awd| &awd.total, Color::GREEN, Dash::Solid),
    ("C^{hh}", |awd| &awd.hh, Color::PURPLE, Dash::Dashed),
    ("C^{hh}_{SD}", |awd| &awd.hh_same, Color::ORANGE, Dash::Dotted),
    ("C^{hh}_{SD,WD}", |awd| &awd.hh_local, Color::SKY, Dash::DashDot),
    ("C^{hg}", |awd| &awd.hg, Color::BLACK, Dash::Solid),
    ("C^{gg}", |awd| &awd.gg, PALE, Dash::Dashed),
];

pub(super) const OUTPUT: Output = Output {
    id: "decomposition",
    about: "Terms of the activity–weight duality over training and by direction",
    shows: Shows::Featured,
    needs: Looks::OverTraining,
    draw: |runs| Ok(draw(runs)),
};

fn draw(runs: &[&RunRecord]) -> Drawn {
    let figures = runs.iter().map(|run| {
        let panels = vec![norms(run, ""), shares(run), ratios(run), training(run)];
        let figure = Figure::new(format!("The duality's covariance: {}", run.spec.title()), 2, 2, panels);
        let caption = filled(caption!("decomposition"), &[("setting", &run.spec.title())]);
        CaptionedFigure { name: format!("decomposition-{}", run.spec.id()), caption, figure }
    });
    Drawn { figures: figures.collect(), tables: vec![table(runs)] }
}

/// One value a checkpoint.
fn over_epochs(run: &RunRecord, value: impl Fn(&LayerRecord) -> f64) -> (Vec<f64>, Vec<f64>) {
    run.trajectory().map(|layer| (layer.epoch as f64, value(layer))).unzip()
}

/// A curve over the checkpoints.
pub(super) fn curve(
    label: &str,
    color: Color,
    dash: Dash,
    run: &RunRecord,
    value: impl Fn(&LayerRecord) -> f64,
) -> Layer {
    let (epochs, values) = over_epochs(run, value);
    Line { color, dash, marker: Some(Marker::Circle), ..Line::new(label, epochs, values) }.into()
}

/// Norms of all terms over training.
pub(super) fn norms(run: &RunRecord, name: &str) -> Panel {
    let layers =
        TERMS.iter().map(|(label, term, color, dash)| curve(label, *color, *dash, run, |layer| term(&layer.awd).norm));
    let title = if name.is_empty() { "Norms of the terms".to_owned() } else { format!("{name}: norms of the terms") };
    Panel::new(title, Axis::linear("epoch"), Axis::log10("Frobenius norm"), layers.collect())
}

fn shares(run: &RunRecord) -> Panel {
    let layer = run.layer();
    let window = fits::window(&run.spec, layer);
    let total = &layer.awd.total.diagonal[..window];
    let rank: Vec<f64> = (1..=window).map(|i| i as f64).collect();
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(0.0)).into()];
    // The three that add up to C_AWD.
    for (label, term, color, _) in [TERMS[1], TERMS[4], TERMS[5]] {
        let shares = term(&layer.awd).diagonal.iter().zip(total).map(|(part, total)| part / total).collect();
        layers.push(Scatter { color, ..Scatter::new(label, rank.clone(), shares) }.into());
    }
    Panel::new(
        "Share of each term by direction",
        Axis::log10("direction of H, by descending curvature"),
        Axis::linear("share of (C_{AWD})_{ii}"),
        layers,
    )
}

fn ratios(run: &RunRecord) -> Panel {
    let layers = vec![
        Reference::new("", ReferenceAt::Y(1.0)).into(),
        curve("‖C^{hh}_{SD}‖ / ‖C^{hh}‖", Color::ORANGE, Dash::Dotted, run, |layer| {
            layer.awd.hh_same.norm / layer.awd.hh.norm
        }),
        curve("‖C^{hh}_{SD,WD}‖ / ‖C^{hh}_{SD}‖", Color::SKY, Dash::DashDot, run, |layer| {
            layer.awd.hh_local.norm / layer.awd.hh_same.norm
        }),
        curve("‖C^{hh}‖ / ‖C_{AWD}‖", Color::PURPLE, Dash::Dashed, run, |layer| {
            layer.awd.hh.norm / layer.awd.total.norm
        }),
    ];
    Panel::new("Approximations", Axis::linear("epoch"), Axis::linear("ratio of norms"), layers)
}

fn training(run: &RunRecord) -> Panel {
    let epochs: Vec<f64> = (1..=run.training.history.len()).map(|epoch| epoch as f64).collect();
    let loss = run.training.history.iter().map(|epoch| epoch.loss).collect();
    let error = run.training.history.iter().map(|epoch| 1.0 - epoch.accuracy).collect();
    let layers = vec![
        Line::new("training loss", epochs.clone(), loss).into(),
        Line { color: Color::VERMILLION, dash: Dash::Dashed, ..Line::new("share classified wrong", epochs, error) }
            .into(),
    ];
    Panel::new("Training", Axis::linear("epoch"), Axis::log10("loss, share"), layers)
}

fn table(runs: &[&RunRecord]) -> Table {
    let rows = runs.iter().flat_map(|run| {
        run.trajectory().map(|layer| {
            let awd = &layer.awd;
            let mut row = vec![run.spec.title(), run.spec.id(), layer.epoch.to_string()];
            row.extend(TERMS.iter().map(|(_, term, ..)| format!("{:.6e}", term(awd).norm)));
            row.push(format!("{:.6e}", awd.weight_variance));
            row.push(format!("{:.4}", awd.anisotropy));
            row
        })
    });
    Table {
        name: "decomposition".to_owned(),
        caption: filled(caption!("decomposition-table"), &[]),
        header: columns(&[
            "setting",
            "run",
            "epoch",
            "C_AWD",
            "C^hh",
            "SD",
            "SD,WD",
            "C^hg",
            "C^gg",
            "σ_w²",
            "anisotropy",
        ]),
        rows: rows.collect(),
    }
}
