//! `exponent`: is there one power law? The exponent against the number of directions, and against curvature.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled, labels, titles};
use crate::fits::{self, Exponents};
use anyhow::{Context, Result};
use superlinear_experiments::record::{LayerRecord, RunRecord};
use superlinear_plots::{Axis, Band, Color, Dash, Figure, Layer, Line, Panel, Reference, ReferenceAt};
use superlinear_stats::{FitConfig, local_slope, loglog, noise_floor, sensitivity, theil_sen};

/// Directions of the shortest fit, and fits between it and all.
const SHORTEST: usize = 20;
const FITS: usize = 40;
/// Curvatures at which the local exponent is taken, and half the width of its window in decades.
const CURVATURES: usize = 60;
const BANDWIDTH: f64 = 0.5;
/// A local exponent of a larger standard error is not drawn.
const LARGEST_ERROR: f64 = 0.25;
/// Share of noise among the directions that the floor found by signs lets through.
const NOISE_SHARE: f64 = 0.01;
const LEVEL: f64 = 0.95;

/// A diagonal and how it is drawn.
type Drawing = (&'static str, fn(&LayerRecord) -> &[f64], Color, Dash);

/// The two whose exponents on `H` are the paper's.
const DIAGONALS: [Drawing; 2] = [
    ("γ_{emp}: C_{ii}", |layer| &layer.c, Color::BLUE, Dash::Solid),
    ("γ_{AWD}: (M_{2})_{ii}", |layer| &layer.m2, Color::VERMILLION, Dash::Dashed),
];

pub(super) const OUTPUT: Output = Output {
    id: "exponent",
    about: "The exponent against the number of directions and against curvature, and by other fits",
    shows: Shows::Featured,
    needs: Looks::AtTheEnd,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut panels = Vec::new();
    let mut rows = Vec::new();
    for (run, title) in runs.iter().zip(titles(runs)) {
        panels.push(against_directions(run, title));
        rows.push(row(run)?);
    }
    for (run, name) in runs.iter().zip(labels(runs)) {
        panels.push(against_curvature(run, &name)?);
    }
    let figure = Figure::new("Is it one exponent?", 2, runs.len().max(1), panels);
    let share = NOISE_SHARE.to_string();
    let caption = filled(caption!("exponent"), &[("share", &share)]);
    let table = Table {
        name: "exponent".to_owned(),
        caption: filled(caption!("exponent-table"), &[("share", &share)]),
        header: columns(&[
            "setting",
            "run",
            "𝒩",
            "least squares",
            "95 % over samples",
            "Theil–Sen",
            "Sen's 95 %",
            "York",
            "se of York's",
            "χ²/dof",
            "𝒩 found",
            "least squares over it",
        ]),
        rows,
    };
    Ok(Drawn { figures: vec![CaptionedFigure { name: "exponent".to_owned(), caption, figure }], tables: vec![table] })
}

/// Directions above rounding.
fn above_rounding(run: &RunRecord) -> usize {
    let layer = run.layer();
    layer.h.partition_point(|&lambda| lambda > layer.noise_floor)
}

/// Directions above the floor that the signs of the eigenvalues find and above rounding; `None` where noise cannot be
/// told from curvature.
pub(crate) fn found(run: &RunRecord) -> Option<usize> {
    let floor = noise_floor::by_sign(&run.layer().h, NOISE_SHARE).ok()?;
    Some(floor.n_kept.min(above_rounding(run)))
}

fn against_directions(run: &RunRecord, title: String) -> Panel {
    let layer = run.layer();
    let last = above_rounding(run).max(1);
    let tops = sensitivity::tops(SHORTEST.min(last), last, FITS);
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    let paper = Reference::new("the paper's number", ReferenceAt::X(run.spec.top as f64));
    layers.push(Reference { dash: Dash::Dashed, ..paper }.into());
    if let Some(found) = found(run) {
        let reference = Reference::new("found by signs", ReferenceAt::X(found as f64));
        layers.push(Reference { dash: Dash::Dotted, ..reference }.into());
    }
    for (symbol, y, color, dash) in DIAGONALS.map(|(symbol, of, color, dash)| (symbol, of(layer), color, dash)) {
        let points = sensitivity::sensitivity(&layer.h, y, &FitConfig::top(last), &tops, LEVEL);
        let fitted = points.iter().filter_map(|point| Some((point, point.fit.as_ref().ok()?, point.band?)));
        let (mut x, mut slopes, mut lower, mut upper) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (point, fit, band) in fitted {
            x.push(point.top as f64);
            slopes.push(fit.slope);
            lower.push(band.low);
            upper.push(band.high);
        }
        let band = Some(Band { lower, upper });
        layers.push(Line { color, dash, band, ..Line::new(symbol, x, slopes) }.into());
    }
    Panel::new(title, Axis::log10("leading directions fitted"), Axis::linear("γ"), layers)
}

fn against_curvature(run: &RunRecord, name: &str) -> Result<Panel> {
    let layer = run.layer();
    let config = FitConfig::top(above_rounding(run));
    let mut layers: Vec<Layer> = vec![Reference::new("", ReferenceAt::Y(1.0)).into()];
    for (symbol, y, color, dash) in DIAGONALS.map(|(symbol, of, color, dash)| (symbol, of(layer), color, dash)) {
        let context = || format!("{}: local exponents", run.spec.id());
        let grid = local_slope::grid(&layer.h, y, &config, CURVATURES).with_context(context)?;
        let found = local_slope::local_slopes(&layer.h, y, &config, &grid, BANDWIDTH).with_context(context)?;
        let mut slopes: Vec<_> = found.slopes.into_iter().filter(|local| local.se <= LARGEST_ERROR).collect();
        slopes.reverse();
        let values = |of: fn(&local_slope::LocalSlope) -> f64| slopes.iter().map(of).collect::<Vec<f64>>();
        let band = Some(Band {
            lower: values(|local| local.slope - fits::NORMAL_95 * local.se),
            upper: values(|local| local.slope + fits::NORMAL_95 * local.se),
        });
        let line = Line::new(symbol, values(|local| local.at), values(|local| local.slope));
        layers.push(Line { color, dash, band, ..line }.into());
    }
    let title = format!("{name}: local exponent");
    Ok(Panel::new(title, Axis::log10("H_{ii}"), Axis::linear("γ(H_{ii})"), layers))
}

fn row(run: &RunRecord) -> Result<Vec<String>> {
    let layer = run.layer();
    let window = fits::window(&run.spec, layer);
    let (h, c) = (&layer.h[..window], &layer.c[..window]);
    let context = || format!("{}: exponents", run.spec.id());
    let least_squares = Exponents::of(run)?.emp;
    let median = theil_sen::fit(h, c, &FitConfig::top(window), LEVEL).with_context(context)?;
    let interval = |[low, high]: [f64; 2]| format!("{low:.4} to {high:.4}");
    let york = layer.slopes.as_ref().and_then(|slopes| slopes.emp_york.as_ref());
    let number = |x: Option<f64>, decimals: usize| x.map_or_else(|| "none".to_owned(), |x| format!("{x:.decimals$}"));
    let found = found(run);
    let over_found = found.and_then(|n| loglog::fit(&layer.h, &layer.c, n).ok());
    Ok(vec![
        run.spec.title(),
        run.spec.id(),
        run.spec.top.to_string(),
        format!("{:.4}", least_squares.value()),
        least_squares.interval().map_or_else(String::new, interval),
        format!("{:.4}", median.slope),
        interval([median.interval.low, median.interval.high]),
        number(york.map(|york| york.slope), 4),
        number(york.map(|york| york.se), 4),
        number(york.map(|york| york.reduced_chi_squared), 1),
        found.map_or_else(|| "none".to_owned(), |n| n.to_string()),
        number(over_found.map(|fit| fit.slope), 4),
    ])
}
