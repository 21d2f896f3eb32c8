//! `decomposition`: what the duality's covariance is made of, over training and by direction, for one run.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, columns};
use crate::fits;
use superlinear_experiments::record::{AwdRecord, LayerRecord, RunRecord, Term};
use superlinear_plots::{Axis, Color, Dash, Figure, Layer, Line, Marker, Panel, Reference, ReferenceAt, Scatter};

/// A term that is followed: how figures write it, where it stands and its stroke.
type Followed = (&'static str, fn(&AwdRecord) -> &Term, Dash);

/// The terms that are followed.
const TERMS: [Followed; 6] = [
    ("C_{AWD}", |awd| &awd.total, Dash::Solid),
    ("C^{hh}", |awd| &awd.hh, Dash::Dashed),
    ("C^{hg}", |awd| &awd.hg, Dash::Solid),
    ("C^{gg}", |awd| &awd.gg, Dash::Solid),
    ("C^{hh}_{SD}", |awd| &awd.hh_same, Dash::Dotted),
    ("C^{hh}_{SD,WD}", |awd| &awd.hh_local, Dash::DashDot),
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
        let panels = vec![norms(run), shares(run), ratios(run), training(run)];
        let figure = Figure::new(format!("The duality's covariance: {}", run.spec.title()), 2, 2, panels);
        let caption = format!(
            "{}. Upper left: Frobenius norms over training of C_AWD, what the activity–weight duality predicts for C, and of its terms: \
             C^hh of Hessian times dual weight alone, C^gg of gradient times activity alone, C^hg mixed. Upper right: share of each term in \
             (C_AWD)_ii by direction at the end. Lower left: how far the same-sample part (SD) and of that the part diagonal in each \
             sample's own eigenbasis (SD,WD) carry C^hh; 1 is a perfect approximation in norm. Lower right: training loss and error; \
             an epoch in which no image was classified wrong has no place on the logarithmic axis, so the curve has gaps, and lone \
             points beside them, or ends.",
            run.spec.title()
        );
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
    series: usize,
    dash: Dash,
    run: &RunRecord,
    value: impl Fn(&LayerRecord) -> f64,
) -> Layer {
    let (epochs, values) = over_epochs(run, value);
    let color = Color::series(series);
    Line { color, dash, marker: Some(Marker::Circle), ..Line::new(label, epochs, values) }.into()
}

/// Norms of all terms over training.
pub(super) fn norms(run: &RunRecord) -> Panel {
    let layers = TERMS
        .iter()
        .enumerate()
        .map(|(k, (label, term, dash))| curve(label, k, *dash, run, |layer| term(&layer.awd).norm));
    let title = format!("{}: norms of the terms", run.spec.loss_words());
    Panel::new(title, Axis::linear("epoch"), Axis::log10("Frobenius norm"), layers.collect())
}

fn shares(run: &RunRecord) -> Panel {
    let layer = run.layer();
    let window = fits::window(&run.spec, layer);
    let total = &layer.awd.total.diagonal[..window];
    let rank: Vec<f64> = (1..=window).map(|i| i as f64).collect();
    let terms = [("C^{hh}", &layer.awd.hh), ("C^{hg}", &layer.awd.hg), ("C^{gg}", &layer.awd.gg)];
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(0.0)).into()];
    for (k, (label, term)) in terms.into_iter().enumerate() {
        let shares = term.diagonal.iter().zip(total).map(|(part, total)| part / total).collect();
        layers.push(Scatter { color: Color::series(k + 1), ..Scatter::new(label, rank.clone(), shares) }.into());
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
        curve("‖C^{hh}_{SD}‖ / ‖C^{hh}‖", 0, Dash::Solid, run, |layer| {
            layer.awd.hh_same.norm / layer.awd.hh.norm
        }),
        curve("‖C^{hh}_{SD,WD}‖ / ‖C^{hh}_{SD}‖", 1, Dash::Dashed, run, |layer| {
            layer.awd.hh_local.norm / layer.awd.hh_same.norm
        }),
        curve("‖C^{hh}‖ / ‖C_{AWD}‖", 2, Dash::DashDot, run, |layer| layer.awd.hh.norm / layer.awd.total.norm),
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
            let mut row = vec![run.spec.id(), layer.epoch.to_string()];
            row.extend(TERMS.iter().map(|(_, term, _)| format!("{:.6e}", term(awd).norm)));
            row.push(format!("{:.6e}", awd.weight_variance));
            row.push(format!("{:.4}", awd.anisotropy));
            row
        })
    });
    Table {
        name: "decomposition".to_owned(),
        caption: "Frobenius norms of the duality's terms at every checkpoint; σ_w², the variance of the dual weight \
                  perturbation on the range of h_p; and its anisotropy there (coefficient of variation over ranks)."
            .to_owned(),
        header: columns(&["run", "epoch", "C_AWD", "C^hh", "C^hg", "C^gg", "SD", "SD,WD", "σ_w²", "anisotropy"]),
        rows: rows.collect(),
    }
}
