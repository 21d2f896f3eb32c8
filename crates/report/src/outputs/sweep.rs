//! `sweep`: exponents and the noise itself against what a plan sweeps.

use super::{CaptionedFigure, Drawn, Looks, Output, Shows, Table, caption, columns, filled};
use crate::fits::Exponents;
use anyhow::Result;
use superlinear_experiments::record::RunRecord;
use superlinear_plots::{Axis, Color, Dash, Figure, Layer, Line, Marker, Panel, Reference, ReferenceAt};
use superlinear_stats::summary::mean_sd;

pub(super) const OUTPUT: Output = Output {
    id: "sweep",
    about: "γ and C·B against what a plan sweeps, for example the batch size",
    shows: Shows::Swept,
    needs: Looks::AtTheEnd,
    draw,
};

/// One run at one value of a swept key.
struct Point {
    /// What stays: the setting without this key.
    series: String,
    value: f64,
    emp: f64,
    awd: f64,
    /// `tr C · B = tr Σ`.
    noise: f64,
    accuracy: f64,
}

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let mut keys: Vec<&str> = Vec::new();
    for swept in runs.iter().flat_map(|run| &run.spec.swept) {
        if !keys.contains(&swept.key.as_str()) {
            keys.push(&swept.key);
        }
    }
    let (mut panels, mut rows) = (Vec::new(), Vec::new());
    for key in keys {
        let points = points(runs, key)?;
        panels.extend(panels_of(key, &points)?);
        for point in &points {
            rows.push(vec![
                key.replace('_', " "),
                point.value.to_string(),
                point.series.clone(),
                format!("{:.6}", point.emp),
                format!("{:.6}", point.awd),
                format!("{:.6e}", point.noise),
                format!("{:.4}", point.accuracy),
            ]);
        }
    }
    let rows_of_panels = panels.len().div_ceil(3).max(1);
    let figure = Figure::new("What stays when a setting changes", rows_of_panels, 3, panels);
    let table = Table {
        name: "sweep".to_owned(),
        caption: "Exponents, tr C·B and training accuracy of every run of a sweep.".to_owned(),
        header: columns(&["swept", "value", "setting", "γ_emp", "γ_AWD", "tr C·B", "training accuracy"]),
        rows,
    };
    let figure = CaptionedFigure { name: "sweep".to_owned(), caption: filled(caption!("sweep"), &[]), figure };
    Ok(Drawn { figures: vec![figure], tables: vec![table] })
}

fn points(runs: &[&RunRecord], key: &str) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for run in runs {
        let Some(swept) = run.spec.swept.iter().find(|swept| swept.key == key) else { continue };
        let mut rest = run.spec.clone();
        rest.swept.retain(|swept| swept.key != key);
        let Exponents { emp, awd, .. } = Exponents::of(run)?;
        points.push(Point {
            series: rest.title(),
            value: swept.value,
            emp: emp.value(),
            awd: awd.value(),
            noise: run.layer().c.iter().sum::<f64>() * run.spec.batch as f64,
            accuracy: run.training.history.last().map_or(f64::NAN, |epoch| epoch.accuracy),
        });
    }
    Ok(points)
}

fn panels_of(key: &str, points: &[Point]) -> Result<[Panel; 3]> {
    let mut series: Vec<&str> = points.iter().map(|point| point.series.as_str()).collect();
    series.sort_unstable();
    series.dedup();
    let (mut gammas, mut noises, mut accuracies): (Vec<Layer>, Vec<Layer>, Vec<Layer>) = Default::default();
    gammas.push(Reference::new("", ReferenceAt::Y(1.0)).into());
    for (k, name) in series.iter().enumerate() {
        let line = |label: &str, of: fn(&Point) -> f64| -> Result<Line> {
            let (x, y) = means(points.iter().filter(|point| point.series == *name), of)?;
            Ok(Line { color: Color::series(k), marker: Some(Marker::Circle), ..Line::new(label, x, y) })
        };
        gammas.push(line(name, |point| point.emp)?.into());
        gammas.push(Line { dash: Dash::Dashed, ..line("", |point| point.awd)? }.into());
        noises.push(line("", |point| point.noise)?.into());
        accuracies.push(line("", |point| point.accuracy)?.into());
    }
    let x = || Axis::log10(key.replace('_', " "));
    Ok([
        Panel::new("exponents", x(), Axis::linear("γ"), gammas),
        Panel::new("noise of one sample", x(), Axis::log10("tr C·B"), noises),
        Panel::new("training accuracy", x(), Axis::linear("share right"), accuracies),
    ])
}

/// Means over the points of equal value, by ascending value.
fn means<'a>(points: impl Iterator<Item = &'a Point>, of: fn(&Point) -> f64) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut points: Vec<&Point> = points.collect();
    points.sort_by(|a, b| a.value.total_cmp(&b.value));
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for group in points.chunk_by(|a, b| a.value == b.value) {
        x.push(group[0].value);
        y.push(mean_sd(&group.iter().map(|point| of(point)).collect::<Vec<_>>())?.mean);
    }
    Ok((x, y))
}
