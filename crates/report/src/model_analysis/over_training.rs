//! γ of one network over its training: a table, a figure and a page over the answers of its checkpoints.

use super::{SUMMARY, Z};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, context};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use superlinear_experiments::model_analysis::{CheckpointAnswer, ExponentAnswer, Question, TensorAnswer};
use superlinear_experiments::provenance::Provenance;
use superlinear_plots::{
    Axis, Color, ErrorBars, Figure, Layer, Legends, Line, Marker, Panel, Reference, ReferenceAt, render,
};
use superlinear_store::{atomic, csv, json};

/// A row a checkpoint and tensor.
const TRAJECTORY: &str = "trajectory.csv";
/// The page.
const PAGE: &str = "report.html";
/// The figure, without its ending.
const FIGURE: &str = "gamma-over-training";

const HEADER: [&str; 19] = [
    "number",
    "folder",
    "mean_loss",
    "accuracy",
    "tensor",
    "depth",
    "directions",
    "largest_eigenvalue",
    "gamma_C_on_H",
    "gamma_C_on_H_error",
    "gamma_M2_on_H",
    "gamma_M2_on_H_error",
    "C_on_M2",
    "C_on_M2_error",
    "commutator_ratio_C_H",
    "eigen_alignment_C_H",
    "kappa_max",
    "bounds_violated",
    "xy_correlation",
];

/// One checkpoint.
#[derive(Clone, Debug)]
pub struct CheckpointRow {
    /// The number in its name.
    pub number: u64,
    /// The folder of its answer, in that of all.
    pub folder: String,
    /// Its answer, or why there is none.
    pub answer: Result<CheckpointAnswer, String>,
}

/// What all checkpoints are asked: `model` of the question is their pattern.
#[derive(Clone, Copy, Debug)]
pub struct OverTraining<'a> {
    /// The question.
    pub question: &'a Question,
    /// By ascending number.
    pub rows: &'a [CheckpointRow],
}

/// The files that [`write_over_training`] writes, in words.
pub fn files_over_training() -> String {
    format!("{PAGE}, {SUMMARY}, {TRAJECTORY}, {FIGURE}.svg, {FIGURE}.png, and a folder a checkpoint")
}

impl OverTraining<'_> {
    fn answers(&self) -> impl Iterator<Item = (&CheckpointRow, &CheckpointAnswer)> {
        self.rows.iter().filter_map(|row| Some((row, row.answer.as_ref().ok()?)))
    }

    /// In the order of the graph; those that only later checkpoints have come last.
    fn tensors(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for tensor in self.answers().flat_map(|(_, answer)| &answer.tensors) {
            if !names.contains(&tensor.name.as_str()) {
                names.push(&tensor.name);
            }
        }
        names
    }

    /// A line a checkpoint and tensor.
    pub fn lines(&self) -> String {
        let width = self.tensors().iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
        let mut out = String::new();
        // A string takes whatever is written.
        let _ = writeln!(
            out,
            "{:>9}  {:>11}  {:<width$}  {:<17} {:<17} {:<17}",
            "number", "mean loss", "tensor", "γ of C on H", "γ of M₂ on H", "C on M₂"
        );
        for (row, answer) in self.answers() {
            for tensor in &answer.tensors {
                let [c, m2, cm] = [&tensor.c_on_h, &tensor.m2_on_h, &tensor.c_on_m2].map(short);
                let (number, loss, name) = (row.number, answer.mean_loss, &tensor.name);
                let _ = writeln!(out, "{number:>9}  {loss:>11.4e}  {name:<width$}  {c:<17} {m2:<17} {cm:<17}");
            }
        }
        for CheckpointRow { number, answer, .. } in self.rows {
            if let Err(why) = answer {
                let _ = writeln!(out, "{number:>9}  none: {why}");
            }
        }
        out
    }
}

/// `1.143 ± 0.012`.
fn short(exponent: &ExponentAnswer) -> String {
    match exponent {
        ExponentAnswer::Found { slope, error } => format!("{slope:.3} ± {:.3}", Z * error),
        ExponentAnswer::Absent { .. } => "none".to_owned(),
    }
}

/// Writes every file.
///
/// # Errors
/// When one cannot be written or drawn.
pub fn write_over_training(of: &OverTraining<'_>, to: &Path, by: Provenance) -> Result<()> {
    let rows = of.answers().flat_map(|(row, answer)| answer.tensors.iter().map(|tensor| cells(row, answer, tensor)));
    csv::write(&to.join(TRAJECTORY), &HEADER, rows)?;
    let svg = match figure(of) {
        None => None,
        Some(figure) => {
            let drawn = render(&figure)?;
            atomic::write(&to.join(format!("{FIGURE}.svg")), drawn.svg.as_bytes())?;
            atomic::write(&to.join(format!("{FIGURE}.png")), &drawn.png)?;
            Some(drawn.svg)
        }
    };
    atomic::write(&to.join(PAGE), page(of, svg.as_deref())?.as_bytes())?;
    let checkpoint = |row: &CheckpointRow| match &row.answer {
        Ok(answer) => json!({ "number": row.number, "folder": row.folder, "answer": answer }),
        Err(why) => json!({ "number": row.number, "folder": row.folder, "answer": null, "reason": why }),
    };
    let Question { model, data, loss, batch, top, .. } = of.question;
    let summary = json!({
        "schema": 1,
        "checkpoints": model.display().to_string(),
        "data": data.display().to_string(),
        "loss": loss.name(),
        "batch": batch,
        "top": top,
        "conventions": {
            "number": "that in the name of the file",
            "error": "standard error over draws of the samples and what is not known of the directions",
            "xy_correlation": "mean over directions, then its 95 % interval",
        },
        "answers": of.rows.iter().map(checkpoint).collect::<Vec<_>>(),
        "provenance": by,
    });
    Ok(json::write(&to.join(SUMMARY), &summary)?)
}

fn cells(row: &CheckpointRow, answer: &CheckpointAnswer, tensor: &TensorAnswer) -> Vec<String> {
    let text = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    let count = |n: Option<usize>| n.map_or_else(String::new, |n| n.to_string());
    let mut cells = vec![
        row.number.to_string(),
        row.folder.clone(),
        answer.mean_loss.to_string(),
        text(answer.accuracy),
        tensor.name.clone(),
        count(tensor.depth),
        tensor.n_directions.to_string(),
        text(tensor.largest_eigenvalue),
    ];
    for exponent in [&tensor.c_on_h, &tensor.m2_on_h, &tensor.c_on_m2] {
        cells.extend(match exponent {
            ExponentAnswer::Found { slope, error } => [slope.to_string(), error.to_string()],
            ExponentAnswer::Absent { .. } => [String::new(), String::new()],
        });
    }
    cells.extend([tensor.commutator_ratio, tensor.eigen_alignment, tensor.kappa_max].map(text));
    cells.push(count(tensor.n_outside));
    cells.push(text(tensor.xy_correlation.map(|[mean, ..]| mean)));
    cells
}

/// Both exponents on `H` over the checkpoints, a line a tensor; `None` where there is no exponent.
fn figure(of: &OverTraining<'_>) -> Option<Figure> {
    const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];
    let mut any = false;
    let mut panel = |title: &str, exponent: fn(&TensorAnswer) -> &ExponentAnswer| {
        let mut layers: Vec<Layer> =
            vec![Reference::new("", ReferenceAt::Y(1.0)).into(), Reference::new("", ReferenceAt::Y(2.0)).into()];
        for (k, name) in of.tensors().into_iter().enumerate() {
            let (mut x, mut y, mut half) = (Vec::new(), Vec::new(), Vec::new());
            for (row, answer) in of.answers() {
                let tensor = answer.tensors.iter().find(|tensor| tensor.name == name);
                if let Some(ExponentAnswer::Found { slope, error }) = tensor.map(exponent) {
                    x.push(row.number as f64);
                    y.push(*slope);
                    half.push(Z * error);
                }
            }
            any |= !x.is_empty();
            // Seven colours, then the next mark.
            let (color, marker) = (Color::series(k), MARKERS[k / 7 % 4]);
            let bars = ErrorBars::symmetric(name, x.clone(), y.clone(), &half);
            layers.push(Line { color, width: 1.0, ..Line::new("", x, y) }.into());
            layers.push(ErrorBars { color, marker, ..bars }.into());
        }
        Panel::new(title, Axis::linear("number of the checkpoint"), Axis::linear("γ"), layers)
    };
    let panels =
        vec![panel("γ of C on H", |tensor| &tensor.c_on_h), panel("γ of M_{2} on H", |tensor| &tensor.m2_on_h)];
    let mut figure = Figure::new("γ over training", 1, 2, panels);
    figure.legends = Legends::Shared;
    any.then_some(figure)
}

fn page(of: &OverTraining<'_>, svg: Option<&str>) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_template("page", include_str!("../../templates/over_training.html")).context("template")?;
    let row = |row: &CheckpointRow| {
        let (number, folder) = (row.number, &row.folder);
        let answer = match &row.answer {
            Ok(answer) => answer,
            Err(why) => return context! { number, folder, why },
        };
        let cells = of.tensors().into_iter().map(|name| match answer.tensors.iter().find(|own| own.name == name) {
            None => context! { c => "–", m2 => "–" },
            Some(tensor) => context! { c => short(&tensor.c_on_h), m2 => short(&tensor.m2_on_h) },
        });
        let accuracy = answer.accuracy.map_or_else(|| "–".to_owned(), |found| format!("{:.2} %", 100.0 * found));
        context! {
            number, folder, accuracy, loss => format!("{:.4e}", answer.mean_loss), warning => answer.warning,
            cells => cells.collect::<Vec<_>>(),
        }
    };
    let Question { model, data, loss, batch, top, .. } = of.question;
    let template = environment.get_template("page").context("template")?;
    template
        .render(context! {
            name => model.file_name().unwrap_or_default().to_string_lossy(), model => model.display().to_string(),
            data => data.display().to_string(), loss => loss.name(), batch => batch.get(), top => top.get(),
            tensors => of.tensors(), rows => of.rows.iter().map(row).collect::<Vec<_>>(),
            svg => svg.map(|svg| STANDARD.encode(svg)),
        })
        .context("template")
}
