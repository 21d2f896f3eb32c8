//! γ against the number of directions, a small panel a setting.

use super::rows::{CLASSES, PAPER};
use super::{Row, Rows, StoredRun};
use anyhow::{Result, bail};
use superlinear_plots::{
    Axis, Band, Color, Dash, ErrorBars, Figure, Layer, Legends, Line, Marker, Panel, Reference, ReferenceAt, Size,
};
use superlinear_stats::summary::mean_sd;

/// Panels beside each other: the class counts of a row of the paper.
const COLS: usize = 3;
/// Height of a row of panels.
const ROW_HEIGHT: f64 = 210.0;

/// A point of a run's curve: directions, γ_emp, γ_AWD.
type Point = (usize, f64, f64);
/// A curve's name, number and looks.
type Curve = (&'static str, fn(&Point) -> f64, Color, Dash);

/// The curves of every setting that has runs, all on the same axes: means over seeds, from the least seed to the
/// greatest; and the table's γ_emp at the paper's `𝒩`.
///
/// # Errors
/// When no run is stored.
pub(super) fn figure(rows: &Rows<'_>) -> Result<Figure> {
    let cells = cells(rows);
    let points = || rows.all().iter().flat_map(|row| row.runs()).flat_map(|run| &run.against_directions);
    let Some(last) = points().map(|point| point.0).max() else { bail!("no run is stored") };
    let first = points().map(|point| point.0).min().unwrap_or(last);
    let slopes = || points().flat_map(|&(_, emp, awd)| [emp, awd]);
    let (low, high) = slopes().fold((1.0_f64, 1.0_f64), |(low, high), slope| (low.min(slope), high.max(slope)));
    let axes = || {
        let x = Axis::log10("leading directions").within(0.9 * first as f64, 1.1 * last as f64);
        [x, Axis::linear("γ").within(low - 0.03, high + 0.03)]
    };
    let panels = cells.iter().map(|cell| cell.panel(axes())).collect::<Result<Vec<_>>>()?;
    let n_rows = panels.len().div_ceil(COLS);
    let figure = Figure::new("γ against the number of directions it is fitted over", n_rows, COLS, panels);
    let size = Size { height: n_rows as f64 * ROW_HEIGHT + 80.0, ..figure.size };
    Ok(Figure { size, legends: Legends::Shared, ..figure })
}

/// A place of the grid.
enum Cell<'r, 'a> {
    Of(&'r Row<'a>),
    /// A setting without a run, between others.
    Without(String),
}

/// The paper's rows of three, as far as any of the three has a run, then what is beside its table.
fn cells<'r, 'a>(rows: &'r Rows<'a>) -> Vec<Cell<'r, 'a>> {
    let with_runs = |row: &&'r Row<'a>| !row.runs().is_empty();
    let mut cells = Vec::new();
    for of in PAPER {
        let found = CLASSES.map(|n| (n, rows.find(of, n).filter(with_runs)));
        if found.iter().any(|(_, row)| row.is_some()) {
            let [data, network, loss] = of;
            let without = |n| Cell::Without(format!("{data} {network} {loss}, {n} classes"));
            cells.extend(found.map(|(n, row)| row.map_or_else(|| without(n), Cell::Of)));
        }
    }
    cells.extend(rows.beside().filter(with_runs).map(Cell::Of));
    cells
}

impl Cell<'_, '_> {
    fn panel(&self, axes: [Axis; 2]) -> Result<Panel> {
        match self {
            Self::Of(row) => panel(row, axes),
            Self::Without(title) => {
                let [x, y] = axes;
                let one = Reference::new("", ReferenceAt::Y(1.0)).into();
                Ok(Panel::new(title, x, y, vec![one]))
            }
        }
    }
}

fn panel(row: &Row<'_>, [x, y]: [Axis; 2]) -> Result<Panel> {
    let mut layers: Vec<Layer> = vec![
        Reference::new("", ReferenceAt::Y(1.0)).into(),
        Reference {
            dash: Dash::Dotted,
            ..Reference::new("the paper's number of directions", ReferenceAt::X(row.top() as f64))
        }
        .into(),
    ];
    let curves: [Curve; 2] = [
        ("γ_{emp}", |point| point.1, Color::BLUE, Dash::Solid),
        ("γ_{AWD}", |point| point.2, Color::VERMILLION, Dash::Dashed),
    ];
    for (label, of, color, dash) in curves {
        let (mut x, mut y, mut lower, mut upper) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for n in shared_directions(row.runs()) {
            let at = |run: &&StoredRun| run.against_directions.iter().find(|point| point.0 == n).map(of);
            let slopes: Vec<f64> = row.runs().iter().filter_map(at).collect();
            x.push(n as f64);
            y.push(mean_sd(&slopes)?.mean);
            lower.push(slopes.iter().copied().fold(f64::INFINITY, f64::min));
            upper.push(slopes.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        }
        let band = Some(Band { lower, upper });
        layers.push(Line { color, dash, band, ..Line::new(label, x, y) }.into());
    }
    let emp: Vec<f64> = row.runs().iter().map(|run| run.gamma.c_on_h.slope).collect();
    let mean = mean_sd(&emp)?.mean;
    let interval = match row.runs() {
        [run] => run.gamma.c_on_h.interval,
        _ => superlinear_stats::over_seeds(&emp, 0.95)?.interval.map(|t| [t.low, t.high]),
    };
    let [low, high] = interval.unwrap_or([mean, mean]);
    layers.push(
        ErrorBars {
            label: "γ_{emp} of Table 1, 95 %".to_owned(),
            x: vec![row.top() as f64],
            y: vec![mean],
            lower: vec![low],
            upper: vec![high],
            color: Color::BLUE,
            marker: Marker::Circle,
        }
        .into(),
    );
    let n = row.runs().len();
    let seeds = if n == 1 { "1 seed".to_owned() } else { format!("{n} seeds") };
    let [data, network, loss] = &row.of;
    Ok(Panel::new(format!("{data} {network} {loss}, {} classes, {seeds}", row.n_classes), x, y, layers))
}

/// Numbers of directions that every run has a fit over.
fn shared_directions(runs: &[&StoredRun]) -> Vec<usize> {
    let has = |run: &StoredRun, n: usize| run.against_directions.iter().any(|point| point.0 == n);
    let first = runs[0].against_directions.iter().map(|point| point.0);
    first.filter(|&n| runs.iter().all(|run| has(run, n))).collect()
}
