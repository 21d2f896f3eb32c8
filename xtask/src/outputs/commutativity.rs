//! `commutativity`: pairs of matrices in one eigenbasis, beside a matrix of the same spectrum and random directions.

use super::{CaptionedFigure, Drawn, Table, loss_name, title};
use crate::record::RunRecord;
use crate::record::spectral::{CellsRecord, OverlapRecord, PairMaps, PairRecord, WindowRecord};
use anyhow::Result;
use superlinear_plots::{Axis, Color, ColorScale, Dash, Figure, HeatMap, Layer, Line, Marker, Panel, Size};

/// Decades of `|K|` told apart, below its largest entry.
const DECADES: i32 = 5;

pub(super) fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut figures = Vec::new();
    for run in runs {
        figures.extend(matrices(run)?);
    }
    figures.extend(overlaps(runs));
    Ok(Drawn { figures, tables: vec![table(runs), null_table(runs), overlap_table(runs)] })
}

fn matrices(run: &RunRecord) -> Result<Option<CaptionedFigure>> {
    let Some(spectral) = &run.layer().spectral else { return Ok(None) };
    let mut panels = Vec::new();
    for pair in &spectral.maps {
        panels.extend(row(pair)?);
    }
    let rows = spectral.maps.len().max(1);
    let mut figure = Figure::new(format!("Matrices in one eigenbasis: {}", title(&run.spec)), rows, 3, panels);
    figure.size = Size { width: 900.0, height: rows as f64 * 240.0 + 40.0 };
    let caption = format!(
        "{}. Each row is one matrix read in the eigenbasis of another, directions by descending eigenvalue. Left: K = VᵀAV over \
         the leading directions, in symmetric-logarithmic colour; a matrix that shares the basis is diagonal. Middle: the \
         normalised coupling R_ij = K_ij/√|K_ii·K_jj| over all directions. Right: R of a matrix with the spectrum of A and \
         Haar-random directions. Where a map has more rows than {}, a cell of K shows the entry of largest magnitude in its \
         block and a cell of R the one entry in the middle of it. Titles of R give the mean and the variance of |R_ij| over all \
         pairs i ≠ j.",
        title(&run.spec),
        HeatMap::MAX_CELLS
    );
    Ok(Some(CaptionedFigure { name: format!("commutativity-{}", run.spec.id()), caption, figure }))
}

fn row(pair: &PairMaps) -> Result<[Panel; 3]> {
    let largest = pair.top.cells.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let linthresh = f64::from(largest).max(f64::MIN_POSITIVE) * 10f64.powi(-DECADES);
    let (of, basis) = (super::symbol(&pair.of), super::symbol(&pair.in_basis_of));
    let K = map(&pair.top, ColorScale::SymLog { linthresh, limit: None }, "K_{ij}")?;
    let one = ColorScale::Diverging { limit: 1.0 };
    let numbers = |[mean, variance]: [Option<f64>; 2]| match (mean, variance) {
        (Some(mean), Some(variance)) => format!("mean |R| {mean:.3}, var {variance:.1e}"),
        _ => "|R| undefined".to_owned(),
    };
    let panel = |title: String, layer: HeatMap| Panel::matrix(title, "j", "i", vec![layer.into()]);
    Ok([
        panel(format!("{of} in the eigenbasis of {basis}"), K),
        panel(numbers(pair.observed), map(&pair.coupling, one, "R_{ij}")?),
        panel(format!("random: {}", numbers(pair.random)), map(&pair.random_coupling, one, "R_{ij}")?),
    ])
}

fn map(cells: &CellsRecord, colors: ColorScale, label: &str) -> Result<HeatMap> {
    let values = cells.cells.iter().map(|&x| f64::from(x)).collect();
    Ok(HeatMap::from_reduced((cells.order, cells.order), values, colors, label)?)
}

fn overlaps(runs: &[&RunRecord]) -> Option<CaptionedFigure> {
    let panels: Vec<Panel> = runs.iter().filter_map(|run| overlap_panel(run)).collect();
    let caption = "Overlap ‖U_{k}ᵀV_{k}‖²/k of the leading k-dimensional eigenspaces of two matrices, U_{k} and V_{k} being orthonormal bases \
                   of them: 1 when they agree, k/P (grey) for random directions in the P dimensions of the layer's weights. The k \
                   shown cut no group of equal eigenvalues. GGN is the Gauss–Newton matrix."
        .to_owned();
    let figure = Figure::new("Overlap of leading eigenspaces", 1, panels.len().max(1), panels);
    (!figure.panels.is_empty()).then(|| CaptionedFigure { name: "commutativity-overlap".to_owned(), caption, figure })
}

fn overlap_panel(run: &RunRecord) -> Option<Panel> {
    const DASHES: [Dash; 5] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::DashDot, Dash::Solid];
    let layer = run.layer();
    let found = &layer.spectral.as_ref()?.overlaps;
    let P = (layer.d_out * layer.d_in) as f64;
    let mut layers: Vec<Layer> = Vec::new();
    if let Some(first) = found.first() {
        let k: Vec<f64> = first.k.iter().map(|&k| k as f64).collect();
        let expected = k.iter().map(|k| k / P).collect();
        layers.push(Line { color: Color::GREY, ..Line::new("random", k, expected) }.into());
    }
    for (series, (OverlapRecord { left, right, k, overlap }, dash)) in found.iter().zip(DASHES).enumerate() {
        let label = format!("{} and {}", super::symbol(left), super::symbol(right));
        let k = k.iter().map(|&k| k as f64).collect();
        let line = Line::new(label, k, overlap.clone());
        layers.push(Line { color: Color::series(series), dash, marker: Some(Marker::Circle), ..line }.into());
    }
    let y = Axis::linear("overlap").within(0.0, 1.05);
    Some(Panel::new(title(&run.spec), Axis::log10("k"), y, layers))
}

fn pairs(run: &RunRecord) -> [(&'static str, &PairRecord); 2] {
    let layer = run.layer();
    [("C in H", &layer.c_in_h), ("M₂ in H", &layer.m2_in_h)]
}

fn number(x: Option<f64>) -> String {
    x.map_or_else(|| "undefined".to_owned(), |x| format!("{x:.4e}"))
}

fn table(runs: &[&RunRecord]) -> Table {
    let columns: [(&'static str, fn(&WindowRecord) -> Option<f64>); 14] = [
        ("error", |window| window.error),
        ("random", |window| window.error_null),
        ("error over random", WindowRecord::error_ratio),
        ("eigen-alignment", |window| window.recovery),
        ("random", |window| Some(window.recovery_null)),
        ("mean |R|", |window| window.coupling_mean),
        ("var |R|", |window| window.coupling_variance),
        ("undefined", |window| Some(window.n_undefined as f64)),
        ("ours: norm error", |window| window.norm_error),
        ("random", |window| window.norm_error_null),
        ("norm error over random", WindowRecord::norm_error_ratio),
        ("leakage", |window| window.leakage),
        ("random", |window| window.leakage_null),
        ("directions", |window| Some((window.end - window.first) as f64)),
    ];
    let mut rows = Vec::new();
    for run in runs {
        for (name, pair) in pairs(run) {
            for (k, window) in pair.windows.iter().enumerate() {
                let mut row = vec![run.spec.id(), name.to_owned(), window.name(k == 0)];
                row.extend(columns.iter().map(|(_, of)| number(of(window))));
                rows.push(row);
            }
        }
    }
    let caption = "A matrix in the eigenbasis of another, over all directions, the leading 200 and the bulk to 1,000. The \
                   paper's: the commutator error ‖AB − BA‖/‖AB‖, its expectation for a matrix of the same spectrum and \
                   Haar-random directions, and the ratio of both; the eigen-alignment Σ_i K_ii²/‖K‖², likewise; mean and \
                   variance of |R_ij|, and the directions left out of it as rounding. Ours: the norm error \
                   ‖AB − BA‖/(‖A‖‖B‖), and leakage.";
    let mut header = vec!["run", "pair", "window"];
    header.extend(columns.iter().map(|(name, _)| *name));
    Table { name: "commutativity".to_owned(), caption: caption.to_owned(), header, rows }
}

fn null_table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        for pair in run.layer().spectral.iter().flat_map(|spectral| &spectral.maps) {
            for (quantity, null) in [("error", &pair.error_null), ("ours: norm error", &pair.norm_error_null)] {
                let Some(null) = null else { continue };
                rows.push(vec![
                    run.spec.id(),
                    loss_name(run.spec.loss).to_owned(),
                    format!("{} in {}", pair.of, pair.in_basis_of),
                    quantity.to_owned(),
                    format!("{:.5e}", null.observed),
                    format!("{:.5e}", null.expected),
                    format!("{:.5e} ± {:.1e}", null.mean, null.standard_deviation),
                    null.n_draws.to_string(),
                    format!("{:.3}", null.p_value),
                ]);
            }
        }
    }
    let caption = "Commutator errors over all directions against draws of random directions: expected in closed form, mean ± \
                   sd of the draws, and the one-sided p-value (1 + draws at most as large)/(draws + 1). Error: \
                   ‖AB − BA‖/‖AB‖, the paper's; norm error: ‖AB − BA‖/(‖A‖‖B‖).";
    Table {
        name: "commutativity-null".to_owned(),
        caption: caption.to_owned(),
        header: vec!["run", "loss", "pair", "quantity", "observed", "expected", "drawn", "draws", "p"],
        rows,
    }
}

fn overlap_table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        let layer = run.layer();
        for found in layer.spectral.iter().flat_map(|spectral| &spectral.overlaps) {
            for (k, overlap) in found.k.iter().zip(&found.overlap) {
                rows.push(vec![
                    run.spec.id(),
                    format!("{} and {}", found.left, found.right),
                    k.to_string(),
                    format!("{overlap:.4}"),
                    format!("{:.4}", *k as f64 / (layer.d_out * layer.d_in) as f64),
                ]);
            }
        }
    }
    Table {
        name: "commutativity-overlap".to_owned(),
        caption: "Overlap of leading eigenspaces, and k/P for random ones, P being the number of the layer's weights. Under cross-entropy the Gauss–Newton matrix and the Fisher \
                  matrix of this layer are H."
            .to_owned(),
        header: vec!["run", "matrices", "k", "overlap", "random"],
        rows,
    }
}
