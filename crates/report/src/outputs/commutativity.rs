//! `commutativity`: pairs of matrices in one eigenbasis, beside a matrix of the same spectrum and random directions.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled, labels, titles};
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_experiments::record::layer_spectra::{CellsRecord, OverlapRecord, PairMaps, PairRecord, WindowRecord};
use superlinear_plots::{
    Axis, Color, ColorScale, Dash, Figure, HeatMap, Layer, Legends, Line, Marker, Panel, Reference, ReferenceAt,
    Scatter, Size, TickMarks,
};

/// Decades of `|K|` told apart, below its largest entry.
const DECADES: i32 = 5;

pub(super) const OUTPUT: Output = Output {
    id: "commutativity",
    about: "C and M₂ in the eigenbasis of H, beside random directions",
    shows: Shows::Featured,
    needs: Looks::AtSpectra,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut figures = vec![ratios(runs)];
    for run in runs {
        figures.extend(matrices(run)?);
    }
    figures.extend(overlaps(runs));
    Ok(Drawn { figures, tables: vec![table(runs), null_table(runs), overlap_table(runs)] })
}

/// A number of a window, and its name.
type Column = (&'static str, fn(&WindowRecord) -> Option<f64>);

/// The numbers of a window, as tables show them: the paper's, then ours.
pub(super) const COLUMNS: [Column; 16] = [
    ("error", |window| window.error),
    ("random error", |window| window.error_null),
    ("error over random", WindowRecord::error_ratio),
    ("eigen-alignment", |window| window.recovery),
    ("random eigen-alignment", |window| Some(window.recovery_null)),
    ("eigen-alignment over random", |window| Some(window.recovery? / window.recovery_null)),
    ("mean |R|", |window| window.coupling_mean),
    ("var |R|", |window| window.coupling_variance),
    ("undefined R", |window| Some(window.n_undefined as f64)),
    ("ours: norm error", |window| window.norm_error),
    ("random norm error", |window| window.norm_error_null),
    ("norm error over random", WindowRecord::norm_error_ratio),
    ("ours: leakage", |window| window.leakage),
    ("random leakage", |window| window.leakage_null),
    ("leakage over random", leakage_ratio),
    ("directions", |window| Some((window.end - window.first) as f64)),
];

fn leakage_ratio(window: &WindowRecord) -> Option<f64> {
    Some(window.leakage? / window.leakage_null?)
}

/// The statistics of `C` and `H` by window, every run beside the others.
fn ratios(runs: &[&RunRecord]) -> CaptionedFigure {
    let one = || Reference::new("random directions", ReferenceAt::Y(1.0)).into();
    let panel = |title: &str, y: &str, mut layers: Vec<Layer>, of: fn(&WindowRecord) -> Option<f64>| {
        layers.extend(by_window(runs, of, Look::Points));
        let n_windows = runs.iter().map(|run| run.layer().c_in_h.windows.len()).max().unwrap_or(0);
        let names = ["all", "leading", "bulk"].into_iter().enumerate().take(n_windows);
        let windows = names.map(|(k, name)| (k as f64, window_name(runs, k, name))).collect();
        let x = Axis::linear("directions").within(-0.5, n_windows as f64 - 0.5);
        Panel::new(title, Axis { ticks: TickMarks::Named(windows), ..x }, Axis::log10(y), layers)
    };
    let random_alignment = by_window(runs, |window| Some(window.recovery_null), Look::Dashes);
    let panels = vec![
        panel(
            "the paper's: commutator error over random",
            "(‖CH − HC‖/‖CH‖) / random",
            vec![one()],
            WindowRecord::error_ratio,
        ),
        panel("the paper's: eigen-alignment", "Σ_{i} K_{ii}² / ‖K‖²", random_alignment, |window| {
            window.recovery
        }),
        panel(
            "ours: norm error over random",
            "(‖CH − HC‖/(‖C‖‖H‖)) / random",
            vec![one()],
            WindowRecord::norm_error_ratio,
        ),
        panel("ours: leakage over random", "leakage / random", vec![one()], leakage_ratio),
    ];
    let mut figure = Figure::new("Do C and H commute?", 2, 2, panels);
    figure.size = Size { height: 580.0, ..figure.size };
    figure.legends = Legends::Shared;
    let caption = filled(caption!("commutativity-ratios"), &[("settings", &titles(runs).join("; "))]);
    CaptionedFigure { name: "commutativity-ratios".to_owned(), caption, figure }
}

/// `leading 200`, where all runs have the same window, else `leading`.
fn window_name(runs: &[&RunRecord], k: usize, name: &str) -> String {
    let mut names = runs.iter().filter_map(|run| Some(run.layer().c_in_h.windows.get(k)?.name(k == 0)));
    match names.next() {
        Some(first) if names.all(|other| other == first) => first,
        _ => name.to_owned(),
    }
}

/// How a value of a window is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// A marker, with the run's name in the legend.
    Points,
    /// A short dashed stroke, for random directions.
    Dashes,
}

/// A value of every window, runs side by side.
fn by_window(runs: &[&RunRecord], of: fn(&WindowRecord) -> Option<f64>, look: Look) -> Vec<Layer> {
    const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];
    let mut layers: Vec<Layer> = Vec::new();
    for (series, (run, label)) in runs.iter().zip(labels(runs)).enumerate() {
        let apart = 0.16 * (series as f64 - 0.5 * (runs.len() as f64 - 1.0));
        let (color, marker) = (Color::series(series), MARKERS[series % MARKERS.len()]);
        let windows = run.layer().c_in_h.windows.iter().enumerate();
        let (x, y): (Vec<f64>, Vec<f64>) =
            windows.filter_map(|(k, window)| Some((k as f64 + apart, of(window)?))).unzip();
        match look {
            Look::Points => {
                let points = Scatter::new(label, x, y);
                layers.push(Scatter { color, marker, radius: 4.5, alpha: 1.0, ..points }.into());
            }
            Look::Dashes => layers.extend(x.into_iter().zip(y).enumerate().map(|(k, (x, y))| {
                let label = if k == 0 { format!("{label}, random directions") } else { String::new() };
                let stroke = Line::new(label, vec![x - 0.07, x + 0.07], vec![y, y]);
                Line { color, width: 2.0, dash: Dash::Dotted, ..stroke }.into()
            })),
        }
    }
    layers
}

fn matrices(run: &RunRecord) -> Result<Option<CaptionedFigure>> {
    let Some(spectral) = &run.layer().spectra else { return Ok(None) };
    let mut panels = Vec::new();
    for pair in &spectral.maps {
        panels.extend(row(pair)?);
    }
    let rows = spectral.maps.len().max(1);
    let mut figure = Figure::new(format!("Matrices in one eigenbasis: {}", run.spec.title()), rows, 3, panels);
    figure.size = Size { width: 900.0, height: rows as f64 * 240.0 + 40.0 };
    let cells = HeatMap::MAX_CELLS.to_string();
    let caption = filled(caption!("commutativity"), &[("setting", &run.spec.title()), ("cells", &cells)]);
    Ok(Some(CaptionedFigure { name: format!("commutativity-{}", run.spec.id()), caption, figure }))
}

fn row(pair: &PairMaps) -> Result<[Panel; 3]> {
    let largest = pair.top.cells.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let linthresh = f64::from(largest).max(f64::MIN_POSITIVE) * 10f64.powi(-DECADES);
    let (of, basis) = (super::symbol(&pair.of), super::symbol(&pair.in_basis_of));
    let K = map(&pair.top, ColorScale::SymLog { linthresh, limit: None }, "K_{ij}")?.into_even_cells();
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
    let panels: Vec<Panel> =
        runs.iter().zip(titles(runs)).filter_map(|(run, title)| overlap_panel(run, title)).collect();
    let caption = filled(caption!("commutativity-overlap"), &[]);
    let figure = Figure::new("Overlap of leading eigenspaces", 1, panels.len().max(1), panels);
    (!figure.panels.is_empty()).then(|| CaptionedFigure { name: "commutativity-overlap".to_owned(), caption, figure })
}

fn overlap_panel(run: &RunRecord, title: String) -> Option<Panel> {
    const DASHES: [Dash; 5] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::DashDot, Dash::Solid];
    let layer = run.layer();
    let found = &layer.spectra.as_ref()?.overlaps;
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
    Some(Panel::new(title, Axis::log10("k"), y, layers))
}

fn pairs(run: &RunRecord) -> [(&'static str, &PairRecord); 2] {
    let layer = run.layer();
    [("C in H", &layer.c_in_h), ("M₂ in H", &layer.m2_in_h)]
}

/// Counts as they are, all else with five decimals.
pub(super) fn number(x: Option<f64>) -> String {
    match x {
        None => "undefined".to_owned(),
        Some(count) if count.fract() == 0.0 && count.abs() < 1e6 => format!("{count:.0}"),
        Some(x) => format!("{x:.5e}"),
    }
}

fn table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        for (name, pair) in pairs(run) {
            for (k, window) in pair.windows.iter().enumerate() {
                let mut row = vec![run.spec.id(), name.to_owned(), window.name(k == 0)];
                row.extend(COLUMNS.iter().map(|(_, of)| number(of(window))));
                rows.push(row);
            }
        }
    }
    let mut header = vec!["run", "pair", "window"];
    header.extend(COLUMNS.iter().map(|(name, _)| *name));
    Table {
        name: "commutativity".to_owned(),
        caption: filled(caption!("commutativity-table"), &[]),
        header: columns(&header),
        rows,
    }
}

fn null_table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        for pair in run.layer().spectra.iter().flat_map(|spectral| &spectral.maps) {
            for (quantity, null) in [("error", &pair.error_null), ("ours: norm error", &pair.norm_error_null)] {
                let Some(null) = null else { continue };
                rows.push(vec![
                    run.spec.title(),
                    run.spec.id(),
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
    Table {
        name: "commutativity-null".to_owned(),
        caption: filled(caption!("commutativity-null"), &[]),
        header: columns(&["setting", "run", "pair", "quantity", "observed", "expected", "drawn", "draws", "p"]),
        rows,
    }
}

fn overlap_table(runs: &[&RunRecord]) -> Table {
    let mut rows = Vec::new();
    for run in runs {
        let layer = run.layer();
        for found in layer.spectra.iter().flat_map(|spectral| &spectral.overlaps) {
            for (k, overlap) in found.k.iter().zip(&found.overlap) {
                rows.push(vec![
                    run.spec.title(),
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
        caption: filled(caption!("commutativity-overlap-table"), &[]),
        header: columns(&["setting", "run", "matrices", "k", "overlap", "random"]),
        rows,
    }
}
