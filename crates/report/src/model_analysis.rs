//! How the analysis of one's own network is shown: lines for the terminal, `analysis.json`, tables, figures and a page.

mod over_training;
mod spectra;

use crate::outputs::centred_points;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, context};
pub use over_training::{CheckpointRow, OverTraining, files_over_training, write_over_training};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use superlinear_curvature::Diagonal;
use superlinear_experiments::exponents::Exponent;
use superlinear_experiments::model_analysis::{ABSENT, Found, How, ModelLoss, Subject, TensorFound};
use superlinear_experiments::provenance::Provenance;
use superlinear_experiments::record::layer_spectra::PairRecord;
use superlinear_plots::{
    Axis, Color, Dash, Figure, Guide, Layer, Line, Marker, Panel, Reference, ReferenceAt, Scatter, render,
};
use superlinear_spectra::TopOverlap;
use superlinear_stats::PowerLawFit;
use superlinear_store::array::ArrayView;
use superlinear_store::npz::Compression;
use superlinear_store::{atomic, csv, json, npz};

/// The answer for programs.
const SUMMARY: &str = "analysis.json";
/// The page.
const PAGE: &str = "report.html";
/// A row a tensor.
const TENSORS: &str = "tensors.csv";
/// A row a direction.
const DIAGONALS_CSV: &str = "diagonals.csv";
/// The same as arrays.
const DIAGONALS_NPZ: &str = "diagonals.npz";
/// A row an eigenvalue of a sample.
const SPECTRA: &str = "spectra.csv";
/// Most panels of the scatter figure; further tensors are in the tables.
const MOST_PANELS: usize = 24;
/// 95 % of a normal distribution.
const Z: f64 = 1.96;
/// In this order everywhere.
const DIAGONALS: [(Diagonal, &str); 3] =
    [(Diagonal::Hessian, "H_ii"), (Diagonal::Covariance, "C_ii"), (Diagonal::SecondMoment, "M2_ii")];

/// The files that [`write()`] writes, in words.
pub fn files() -> String {
    format!("{PAGE}, {SUMMARY}, {TENSORS}, {DIAGONALS_CSV}, {DIAGONALS_NPZ}, {SPECTRA}, *.svg, *.png")
}

/// A line a tensor.
pub fn lines(found: &Found) -> String {
    let mut out = String::new();
    let width = found.tensors.iter().map(|tensor| tensor.asked.name.chars().count()).max().unwrap_or(0).max(6);
    // A string takes whatever is written.
    let _ = writeln!(
        out,
        "{:<width$} {:>7}  {:<17} {:<17} {:<17} {:>9} {:>9}",
        "tensor", "P", "γ of C on H", "γ of M₂ on H", "C on M₂", "commutes", "aligned"
    );
    for tensor in &found.tensors {
        let [c, m2, cm] = [&tensor.c_on_h, &tensor.m2_on_h, &tensor.c_on_m2].map(short);
        let (commutes, aligned) = ratio_and_alignment(tensor);
        let _ = writeln!(
            out,
            "{:<width$} {:>7}  {c:<17} {m2:<17} {cm:<17} {commutes:>9} {aligned:>9}",
            tensor.asked.name, tensor.n_params
        );
    }
    for tensor in &found.tensors {
        let _ = writeln!(out, "{}: {}", tensor.asked.name, spectra::line(tensor));
        for (what, exponent) in exponents(tensor) {
            if let Err(why) = exponent {
                let _ = writeln!(out, "{}, {what}: none: {why}", tensor.asked.name);
            }
        }
        if let How::Lanczos { converged, .. } = tensor.how {
            let K = tensor.directions.values.len();
            let _ = writeln!(out, "{}: along {converged} converged Lanczos vectors of {K}", tensor.asked.name);
        }
    }
    out
}

/// `1.143 ± 0.012`.
fn short(exponent: &Result<Exponent, String>) -> String {
    match exponent {
        Ok(found) => format!("{:.3} ± {:.3}", found.fit.slope, Z * found.error()),
        Err(_) => "none".to_owned(),
    }
}

fn exponents(tensor: &TensorFound) -> [(&'static str, &Result<Exponent, String>); 3] {
    [("γ of C on H", &tensor.c_on_h), ("γ of M₂ on H", &tensor.m2_on_h), ("C on M₂", &tensor.c_on_m2)]
}

/// The paper's commutator error of `C` and `H` over that of random directions, and its eigen-alignment.
fn ratio_and_alignment(tensor: &TensorFound) -> (String, String) {
    let full = tensor.commutativity.as_ref().map(|found| found.c_in_h.full());
    let shown = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.3}"));
    (shown(full.and_then(|full| full.error_ratio())), shown(full.and_then(|full| full.recovery)))
}

/// Writes every file.
///
/// # Errors
/// When one cannot be written or drawn.
pub fn write<'a>(of: impl Into<Subject<'a>>, found: &Found, to: &Path, by: Provenance) -> Result<()> {
    let of = of.into();
    let header = [&TENSOR_HEADER[..], &spectra::TENSOR_HEADER].concat();
    let row = |tensor| [tensor_row(tensor), spectra::tensor_row(tensor)].concat();
    csv::write(&to.join(TENSORS), &header, found.tensors.iter().map(row))?;
    let directions = found.tensors.iter().flat_map(|tensor| {
        (0..tensor.directions.values.len()).map(move |i| {
            let mut row = vec![tensor.asked.name.clone(), (i + 1).to_string()];
            row.extend([tensor.directions.values[i].to_string(), tensor.directions.residuals[i].to_string()]);
            for (of, _) in DIAGONALS {
                let (values, errors) = measured(tensor, of);
                row.extend([values[i].to_string(), errors[i].to_string()]);
            }
            row.extend(spectra::direction_row(tensor, i));
            row
        })
    });
    let header =
        ["tensor", "index", "eigenvalue", "residual", "H_ii", "H_ii_se", "C_ii", "C_ii_se", "M2_ii", "M2_ii_se"];
    csv::write(&to.join(DIAGONALS_CSV), &[&header[..], &spectra::DIRECTION_HEADER].concat(), directions)?;
    let samples = found.tensors.iter().flat_map(spectra::sample_rows);
    csv::write(&to.join(SPECTRA), &spectra::SAMPLE_HEADER, samples)?;
    let mut arrays = Vec::new();
    for tensor in &found.tensors {
        arrays.push((format!("{}.eigenvalues", tensor.asked.name), tensor.directions.values.clone()));
        for (of, name) in DIAGONALS {
            arrays.push((format!("{}.{name}", tensor.asked.name), measured(tensor, of).0));
        }
        if let Ok(of) = &tensor.spectra {
            arrays.push((format!("{}.abs_H_ii", tensor.asked.name), of.absolute.clone()));
        }
    }
    let shapes: Vec<[usize; 1]> = arrays.iter().map(|(_, values)| [values.len()]).collect();
    let mut views = Vec::new();
    for ((name, values), shape) in arrays.iter().zip(&shapes) {
        views.push((name.as_str(), ArrayView::new(shape, values)?));
    }
    npz::write(&to.join(DIAGONALS_NPZ), &views, Compression::Stored)?;
    for (name, _, figure) in figures(found) {
        let drawn = render(&figure)?;
        atomic::write(&to.join(format!("{name}.svg")), drawn.svg.as_bytes())?;
        atomic::write(&to.join(format!("{name}.png")), &drawn.png)?;
    }
    atomic::write(&to.join(PAGE), page_of(of, found)?.as_bytes())?;
    Ok(json::write(&to.join(SUMMARY), &summary(of, found, by))?)
}

/// A diagonal and its standard errors over draws of the samples, in the units of `C` where that is asked for.
fn measured(tensor: &TensorFound, of: Diagonal) -> (Vec<f64>, Vec<f64>) {
    let factor = if of == Diagonal::Covariance { tensor.factor } else { 1.0 };
    let scaled = |values: &[f64]| values.iter().map(|x| factor * x).collect();
    (scaled(tensor.diagonals.values(of)), scaled(&tensor.diagonals.errors(of)))
}

const TENSOR_HEADER: [&str; 18] = [
    "depth",
    "tensor",
    "kind",
    "P",
    "directions",
    "how",
    "gamma_C_on_H",
    "gamma_C_on_H_error",
    "gamma_M2_on_H",
    "gamma_M2_on_H_error",
    "C_on_M2",
    "C_on_M2_error",
    "commutator_ratio_C_H",
    "commutator_ratio_M2_H",
    "commutator_ratio_C_M2",
    "eigen_alignment_C_H",
    "below_square",
    "wall_s",
];

fn tensor_row(tensor: &TensorFound) -> Vec<String> {
    let absent = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    let mut row = vec![
        tensor.asked.depth.map_or_else(String::new, |depth| depth.to_string()),
        tensor.asked.name.clone(),
        tensor.asked.kind.clone(),
        tensor.n_params.to_string(),
        tensor.directions.values.len().to_string(),
        how(tensor.how).to_owned(),
    ];
    for (_, exponent) in exponents(tensor) {
        let found = exponent.as_ref().ok();
        row.push(absent(found.map(|found| found.fit.slope)));
        row.push(absent(found.map(Exponent::error)));
    }
    let pairs = tensor.commutativity.as_ref();
    row.push(absent(pairs.and_then(|found| found.c_in_h.full().error_ratio())));
    row.push(absent(pairs.and_then(|found| found.m2_in_h.full().error_ratio())));
    row.push(absent(pairs.and_then(|found| found.c_in_m2.full().error_ratio())));
    row.push(absent(pairs.and_then(|found| found.c_in_h.full().recovery)));
    row.push(tensor.below_square.to_string());
    row.push(format!("{:.2}", tensor.wall_s));
    row
}

fn how(how: How) -> &'static str {
    match how {
        How::Dense => "dense",
        How::Lanczos { .. } => "lanczos",
    }
}

fn summary(of: Subject<'_>, found: &Found, by: Provenance) -> Value {
    let exponent = |found: &Result<Exponent, String>| match found {
        Ok(found) => json!({
            "slope": found.fit.slope, "error": found.error(), "sampling_se": found.sampling,
            "vectors_bound": found.ritz, "hc3_se": found.fit.se, "r2": found.fit.r2, "n_used": found.fit.n_used,
            "n_dropped": found.fit.dropped.total(), "averaged": found.averaged,
        }),
        Err(why) => json!({ "none": why }),
    };
    let overlaps =
        |found: &[TopOverlap]| found.iter().map(|at| json!({ "k": at.k, "overlap": at.overlap })).collect::<Vec<_>>();
    let tensor = |tensor: &TensorFound| {
        let mut value = json!({
            "name": tensor.asked.name, "shape": tensor.asked.shape, "kind": tensor.asked.kind,
            "depth": tensor.asked.depth, "single_product": tensor.asked.is_single_product,
            "n_params": tensor.n_params, "how": how(tensor.how), "n_directions": tensor.directions.values.len(),
            "c_on_h": exponent(&tensor.c_on_h), "m2_on_h": exponent(&tensor.m2_on_h),
            "c_on_m2": exponent(&tensor.c_on_m2), "below_square": tensor.below_square, "wall_s": tensor.wall_s,
        });
        if let How::Lanczos { products, converged } = tensor.how {
            value["lanczos"] = json!({ "products": products, "converged": converged });
        }
        spectra::add_to(&mut value, tensor);
        if let Some(pairs) = &tensor.commutativity {
            let pair = |record: &PairRecord| json!(record);
            value["commutativity"] = json!({
                "c_in_h": pair(&pairs.c_in_h), "m2_in_h": pair(&pairs.m2_in_h), "c_in_m2": pair(&pairs.c_in_m2),
                "overlap_c_h": overlaps(&pairs.c_with_h), "overlap_m2_h": overlaps(&pairs.m2_with_h),
            });
        }
        value
    };
    let mut value = json!({
        "schema": 1,
        "batch": of.batch(),
        "top": of.top(),
        "n_samples": found.n_samples,
        "mean_loss": found.fit.map(|fit| fit.loss),
        "accuracy": found.fit.and_then(|fit| fit.classes).map(|classes| classes.accuracy),
        "conventions": {
            "C": "Sigma / batch, Sigma the covariance of one sample's gradient divided by N",
            "M2": "the mean of the squared per-sample Hessians",
            "X_ii": "along unit eigenvectors of H, descending eigenvalues",
            "error": "error^2 = sampling_se^2 + vectors_bound^2; sampling_se by the delta method on the covariance of \
                      all diagonals over draws of the samples, directions fixed",
            "commutator": "error: ||AB - BA||/||AB||; error_null: its expectation for random directions",
            "bounds": "H_ii^2 <= M2_ii <= kappa_max E|h|_ii, kappa_max the largest spectral norm of a sample's \
                       Hessian; margins are log10 of the least quotient over directions",
            "alignment": "correlation of ln|kappa_m| and ln(u_m.v_i)^2 over eigenpairs of drawn samples, mean over \
                          directions, 95 % intervals by 400 resamples of the samples",
            "recovery": "the paper's eigen-alignment: the share of ||K||^2 on the diagonal",
        },
        "tensors": found.tensors.iter().map(tensor).collect::<Vec<_>>(),
        "provenance": by,
    });
    match of {
        Subject::Network(question) => {
            value["model"] = question.model.display().to_string().into();
            value["data"] = question.data.display().to_string().into();
            value["loss"] = question.loss.name().into();
        }
        Subject::Factors(question) => {
            value["factors"] = question.factors.display().to_string().into();
            value["absent"] = ABSENT.into();
        }
    }
    value
}

/// Names, captions and figures.
fn figures(found: &Found) -> Vec<(&'static str, String, Figure)> {
    let mut figures = Vec::new();
    if found.tensors.len() > 1 {
        let caption = "Exponents by layer, from the input (1) to the output. Bars are 95 % intervals over draws of the \
                       samples and what is not known of the directions. Squares are convolutions and weights that are \
                       used several times a sample, discs weights that are used once.";
        figures.push(("gamma-by-layer", caption.to_owned(), by_layer(found)));
    }
    let shown = found.tensors.len().min(MOST_PANELS);
    let panels: Vec<Panel> = found.tensors[..shown].iter().map(scatter).collect();
    let columns = panels.len().min(3);
    let rest = match found.tensors.len() - shown {
        0 => String::new(),
        n => format!(" {n} further tensors are in the tables."),
    };
    let caption = format!(
        "C_ii and (M₂)_ii on H_ii along leading eigenvectors of H, each divided by its geometric mean. Dashes have \
         slope 1, dots slope 2.{rest}"
    );
    let figure = Figure::new("Noise and curvature", panels.len().div_ceil(columns.max(1)), columns.max(1), panels);
    figures.push(("power-law", caption, figure));
    figures.extend(spectra::figures(&found.tensors[..shown]));
    figures
}

fn by_layer(found: &Found) -> Figure {
    let of = [("γ of C on H", Color::BLUE, -0.08), ("γ of M₂ on H", Color::VERMILLION, 0.08)];
    let mut layers: Vec<Layer> =
        vec![Reference::new("", ReferenceAt::Y(1.0)).into(), Reference::new("", ReferenceAt::Y(2.0)).into()];
    for (which, (label, color, offset)) in of.into_iter().enumerate() {
        for (marker, is_single, name) in [(Marker::Circle, true, label), (Marker::Square, false, "")] {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for (place, tensor) in found.tensors.iter().enumerate() {
                let (_, exponent) = exponents(tensor)[which];
                let Ok(exponent) = exponent else { continue };
                let at = tensor.asked.depth.unwrap_or(place + 1) as f64 + offset;
                let (slope, error) = (exponent.fit.slope, Z * exponent.error());
                if tensor.asked.is_single_product == is_single {
                    x.push(at);
                    y.push(slope);
                    let bar = Line::new("", vec![at, at], vec![slope - error, slope + error]);
                    layers.push(Line { color, width: 1.2, dash: Dash::Solid, ..bar }.into());
                }
            }
            // The legend has a colour once, whichever mark comes first.
            layers.push(Scatter { color, marker, ..Scatter::new(name, x, y) }.into());
        }
    }
    let depth = Axis::linear("layer, from the input");
    Figure::new("γ by layer", 1, 1, vec![Panel::new("", depth, Axis::linear("γ"), layers)])
}

fn scatter(tensor: &TensorFound) -> Panel {
    let fitted = |exponent: &Result<Exponent, String>| {
        let found = exponent.as_ref().ok()?;
        Some(Fitted { points: found.points.clone(), fit: found.fit, error: found.error() })
    };
    scatter_of(&tensor.asked.name, &[fitted(&tensor.c_on_h), fitted(&tensor.m2_on_h)])
}

/// A diagonal on another: its points, their fit, and the standard error of the exponent.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// `x` and `y`.
    pub points: [Vec<f64>; 2],
    /// Of `y` on `x`.
    pub fit: PowerLawFit,
    /// As it is shown: that of the fit, or one that knows more.
    pub error: f64,
}

/// The scatter of `C_ii` and `(M₂)_ii` on `H_ii` as an SVG.
///
/// # Errors
/// When it cannot be drawn.
pub fn power_law_svg(title: &str, c_on_h: Option<Fitted>, m2_on_h: Option<Fitted>) -> Result<String> {
    let panel = scatter_of(title, &[c_on_h, m2_on_h]);
    Ok(render(&Figure::new("Noise and curvature", 1, 1, vec![panel]))?.svg)
}

/// Of `C` and of `M₂`.
fn scatter_of(title: &str, fitted: &[Option<Fitted>; 2]) -> Panel {
    let mut layers: Vec<Layer> =
        vec![Guide::new(1.0, (1.0, 1.0)).into(), Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into()];
    for ((name, color), fitted) in [("C", Color::BLUE), ("M_{2}", Color::VERMILLION)].into_iter().zip(fitted) {
        if let Some(Fitted { points: [x, y], fit, error }) = fitted {
            let label = format!("{name}: γ = {:.3} ± {:.3}", fit.slope, Z * error);
            let drawn = centred_points(x, y, fit, color, label);
            layers.extend([drawn.points, drawn.line]);
        }
    }
    let (x, y) = ("H_{ii} / geometric mean", "C_{ii}, (M_{2})_{ii} / geometric mean");
    Panel::new(title, Axis::log10(x), Axis::log10(y), layers)
}

/// The page, with every figure inside it.
///
/// # Errors
/// When a figure cannot be drawn.
pub fn page_of<'a>(of: impl Into<Subject<'a>>, found: &Found) -> Result<String> {
    let of = of.into();
    let mut drawn = Vec::new();
    for (name, caption, figure) in figures(found) {
        drawn.push(context! { id => name, caption, svg => STANDARD.encode(&render(&figure)?.svg) });
    }
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_template("model", include_str!("../templates/model.html")).context("template of the page")?;
    let row = |tensor: &TensorFound| {
        let (commutes, aligned) = ratio_and_alignment(tensor);
        let shape = tensor.asked.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        let [c, m2, cm] = [&tensor.c_on_h, &tensor.m2_on_h, &tensor.c_on_m2].map(short);
        let reasons: Vec<String> = exponents(tensor)
            .into_iter()
            .filter_map(|(what, exponent)| exponent.as_ref().err().map(|why| format!("{what}: none, {why}")))
            .collect();
        let directions = match tensor.how {
            How::Dense => format!("{} of {}, dense", tensor.directions.values.len(), tensor.n_params),
            How::Lanczos { converged, .. } => format!("{converged} converged Lanczos vectors"),
        };
        context! {
            name => tensor.asked.name, kind => tensor.asked.kind, shape, c, m2, cm, commutes, aligned, reasons,
            directions, below => tensor.below_square,
        }
    };
    let rows: Vec<minijinja::Value> = found.tensors.iter().map(row).collect();
    let template = environment.get_template("model").context("template of the page")?;
    template
        .render(context! {
            name => name(of), subject => subject(of, found), batch => of.batch().get(), top => of.top().get(),
            warning => found.fit.and_then(|fit| fit.warning()), rows, figures => drawn,
            bounds => found.tensors.iter().map(spectra::page_row).collect::<Vec<_>>(),
        })
        .context("template of the page")
}

fn name(of: Subject<'_>) -> String {
    let file = match of {
        Subject::Network(question) => &question.model,
        Subject::Factors(question) => &question.factors,
    };
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What was asked and how well it does, in a sentence.
fn subject(of: Subject<'_>, found: &Found) -> String {
    let batch = of.batch();
    match of {
        Subject::Network(question) => {
            let loss = match question.loss {
                ModelLoss::CrossEntropy => "cross-entropy",
                ModelLoss::SoftmaxMse => "mean squared error of the softmax",
                ModelLoss::LinearMse => "mean squared error",
                ModelLoss::BinaryCrossEntropy => "binary cross-entropy",
            };
            let (model, data) = (question.model.display(), question.data.display());
            let fit = found.fit.map_or_else(String::new, |fit| format!(": {}", fit.words()));
            format!("{model} on {data}, {loss}, batches of {batch}{fit}.")
        }
        Subject::Factors(question) => {
            let (file, n) = (question.factors.display(), found.n_samples);
            format!("One layer of the factors in {file}, batches of {batch}: {n} samples; {ABSENT}.")
        }
    }
}
