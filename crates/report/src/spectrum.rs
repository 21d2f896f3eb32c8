//! How a spectrum is shown: a table for the terminal, `spectrum.json`, `pairs.csv`, a figure.

use crate::outputs::centred_points;
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::{self, Write};
use std::path::Path;
use superlinear_curvature::Diagonal;
use superlinear_experiments::exponents::{Directions, Exponent};
use superlinear_experiments::provenance::Provenance;
use superlinear_experiments::spectrum::{Found, Gamma, LayerShare, Question, Subject};
use superlinear_plots::{Axis, Band, Color, Dash, Figure, Guide, Layer, Line, Marker, Panel, Scatter, render};
use superlinear_spectra::{SpectralDensity, Stop, TraceStop};
use superlinear_stats::PowerLawFit;
use superlinear_store::array::ArrayView;
use superlinear_store::npz::Compression;
use superlinear_store::{atomic, csv, json, npz};

/// The answer for programs.
const SUMMARY: &str = "spectrum.json";
/// The pairs' file.
const PAIRS: &str = "pairs.csv";
/// The figure's files, without extension.
const FIGURE: &str = "spectrum";
/// The vectors' file.
const VECTORS: &str = "vectors.npz";
/// Columns of [`PAIRS`]; for each of [`DIAGONALS`] follow its value, its standard error over draws of the images, and
/// the most by which the Ritz vector can have moved it.
const HEADER: [&str; 15] = [
    "index",
    "value",
    "residual",
    "converged",
    "angle",
    "H_ii",
    "H_ii_se",
    "H_ii_ritz",
    "C_ii",
    "C_ii_se",
    "C_ii_ritz",
    "M2_ii",
    "M2_ii_se",
    "M2_ii_ritz",
    "H_residual",
];
/// In this order.
const DIAGONALS: [Diagonal; 3] = [Diagonal::Hessian, Diagonal::Covariance, Diagonal::SecondMoment];
/// Standard deviation of the density's Gaussians, of the spectrum's extent.
const WIDTH: f64 = 0.01;
/// Points of the density's curve.
const POINTS: usize = 600;

/// The pairs, the exponents and what they took, in lines.
pub fn lines(question: &Question, subject: &Subject, found: &Found) -> String {
    let mut out = String::new();
    // A string takes whatever is written.
    let _ = table(&mut out, question, subject, found);
    out
}

fn table(out: &mut String, question: &Question, subject: &Subject, found: &Found) -> fmt::Result {
    let Found { n_params, n_samples, batch, top, trace, .. } = found;
    let heading = format!("{} over {}", question.operator.words().replace("_{2}", "₂"), question.params.join(","));
    writeln!(out, "{}: {heading}, {n_params} parameters, {n_samples} images; C = Σ/{batch}", subject.id)?;
    if !subject.layers.is_empty() {
        let named = subject.layers.iter().enumerate().map(|(l, name)| format!("fc{} is {name}", l + 1));
        writeln!(out, "first to last: {}", named.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(out, "{}", found.fit.words())?;
    if let Some(warning) = found.fit.warning() {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(
        out,
        "{:>4} {:>15} {:>9}  {:<9} {:>11} {:>9} {:>11} {:>9} {:>11} {:>9}",
        "", "value", "residual", "converged", "H_ii", "± images", "C_ii", "± images", "(M₂)_ii", "± images"
    )?;
    let measured = DIAGONALS.map(|of| measured(found, of));
    for (i, pair) in top.pairs.iter().enumerate() {
        let converged = if pair.converged { "yes" } else { "NO" };
        let (value, residual, n) = (pair.value, pair.residual, i + 1);
        write!(out, "{n:>4} {value:>15.8e} {residual:>9.1e}  {converged:<9}")?;
        for of in &measured {
            write!(out, " {:>11.4e} {:>9.1e}", of.values[i], of.errors[i])?;
        }
        writeln!(out)?;
    }
    let n_converged = top.pairs.iter().filter(|pair| pair.converged).count();
    if top.stop != Stop::Converged {
        writeln!(out, "only {n_converged} of {} pairs converged: {}", top.pairs.len(), stop(top.stop))?;
    }
    let noise = n_converged - Directions::of_ritz(top).told_apart().len();
    if noise > 0 {
        writeln!(out, "{noise} converged values are zero to rounding and in no fit")?;
    }
    let Gamma { c, m2 } = &found.gamma;
    writeln!(out, "γ of C on H   {}", exponent(c))?;
    writeln!(out, "γ of M₂ on H  {}", exponent(m2))?;
    for layer in &found.layers {
        let share = 100.0 * layer.shares.iter().sum::<f64>() / layer.shares.len() as f64;
        write!(out, "  {:<6} has {share:>4.1} % of these directions", layer.name)?;
        if let Some(alone) = &layer.alone {
            let of = |fit: &PowerLawFit| format!("{:.3} ± {:.3}", fit.slope, fit.se);
            let (c, m2, n) = (of(&alone.c), of(&alone.m2), alone.c.n_used);
            write!(out, "; alone, over {n} of its own: γ of C {c}, of M₂ {m2} (HC3)")?;
        }
        writeln!(out)?;
    }
    let share = top.values().iter().sum::<f64>() / trace.value;
    // An indefinite trace may vanish, or be smaller than what is in the pairs.
    let share = if share.is_finite() {
        format!("{:.1} % of it in the pairs above", 100.0 * share)
    } else {
        "which no share can be told of".to_owned()
    };
    let error = match trace.stop {
        TraceStop::Exact => "exact".to_owned(),
        TraceStop::Goal | TraceStop::Budget => format!("± {:.1e}", trace.standard_error),
    };
    writeln!(out, "trace {:.6e} ({error}), {share}", trace.value)?;
    writeln!(out, "{} products in {:.1} s", found.products, found.wall_s)?;
    Ok(())
}

/// The files that [`write()`] writes, in words.
pub fn files(vectors: bool) -> String {
    let vectors = if vectors { format!(", {VECTORS}") } else { String::new() };
    format!("{SUMMARY}, {PAIRS}, {FIGURE}.svg, {FIGURE}.png{vectors}")
}

/// Writes every file.
///
/// # Errors
/// When one cannot be written or drawn.
pub fn write(
    question: &Question,
    (subject, found): (&Subject, &Found),
    vectors: bool,
    to: &Path,
    by: Provenance,
) -> Result<()> {
    let (measured, angles) = (DIAGONALS.map(|of| measured(found, of)), found.top.rotations().outside);
    let row = |i: usize| {
        let pair = found.top.pairs[i];
        let mut row = vec![(i + 1).to_string(), pair.value.to_string(), pair.residual.to_string()];
        row.extend([pair.converged.to_string(), angles[i].to_string()]);
        row.extend(measured.iter().flat_map(|of| [of.values[i], of.errors[i], of.ritz[i]]).map(|x| x.to_string()));
        row.push(found.diagonals.residuals(Diagonal::Hessian)[i].to_string());
        row
    };
    csv::write(&to.join(PAIRS), &HEADER, (0..found.top.pairs.len()).map(row))?;
    if vectors {
        let values = found.top.values();
        let shape = [values.len(), found.n_params];
        // Columns of P numbers, the wanted ones first: rows of what is written.
        let columns = &found.top.state.columns[..shape[0] * shape[1]];
        let arrays = [("values", ArrayView::new(&shape[..1], &values)?), ("vectors", ArrayView::new(&shape, columns)?)];
        npz::write(&to.join(VECTORS), &arrays, Compression::Stored)?;
    }
    let drawn = render(&figure(question, subject, found))?;
    atomic::write(&to.join(format!("{FIGURE}.svg")), drawn.svg.as_bytes())?;
    atomic::write(&to.join(format!("{FIGURE}.png")), &drawn.png)?;
    Ok(json::write(&to.join(SUMMARY), &summary(question, subject, found, by))?)
}

/// A diagonal with its errors.
struct Measured {
    values: Vec<f64>,
    errors: Vec<f64>,
    ritz: Vec<f64>,
}

/// In the units of `C`, not `Σ`, where that is asked for.
fn measured(found: &Found, of: Diagonal) -> Measured {
    let factor = if of == Diagonal::Covariance { found.factor } else { 1.0 };
    let scaled = |values: Vec<f64>| values.into_iter().map(|x| factor * x).collect();
    Measured {
        values: scaled(found.diagonals.values(of).to_vec()),
        errors: scaled(found.diagonals.errors(of)),
        ritz: scaled(Directions::of_ritz(&found.top).moved(&found.diagonals, of)),
    }
}

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::Converged => "converged",
        Stop::Budget => "the budget of products is spent",
        Stop::Interrupted => "it was interrupted",
        Stop::Stalled => "residuals no longer fall; try a larger --tol",
    }
}

fn exponent(found: &Result<Exponent, String>) -> String {
    match found {
        Ok(found) => {
            let PowerLawFit { slope, se, r2, n_used, dropped, .. } = found.fit;
            let (error, sampling, ritz) = (found.error(), found.sampling, found.ritz);
            let what = match found.averaged {
                0 => format!("{n_used} directions"),
                averaged => format!("{n_used} eigenspaces ({averaged} further directions averaged within them)"),
            };
            format!(
                "{slope:.3} ± {error:.3} (images {sampling:.1e}, Ritz vectors ≤ {ritz:.1e}), HC3 {se:.3}, R² {r2:.3}, \
                 {what}, dropped: {dropped}"
            )
        }
        Err(why) => format!("none: {why}"),
    }
}

fn summary(question: &Question, subject: &Subject, found: &Found, by: Provenance) -> Value {
    let fit = |found: &Result<Exponent, String>| match found {
        Ok(found) => json!({
            "slope": found.fit.slope, "se": found.fit.se, "robust": "HC3", "r2": found.fit.r2,
            "sampling_se": found.sampling, "ritz_bound": found.ritz, "error": found.error(),
            "n_used": found.fit.n_used, "n_averaged": found.averaged, "n_dropped": found.fit.dropped.total(),
            "dropped": found.fit.dropped.to_string(),
        }),
        Err(why) => json!({ "none": why }),
    };
    let ([h, c, m2], angles) = (DIAGONALS.map(|of| measured(found, of)), found.top.rotations().outside);
    let pair = |i: usize| {
        let pair = found.top.pairs[i];
        json!({
            "value": pair.value, "residual": pair.residual, "converged": pair.converged, "angle": angles[i],
            "H_ii": h.values[i], "H_ii_se": h.errors[i], "H_ii_ritz": h.ritz[i],
            "C_ii": c.values[i], "C_ii_se": c.errors[i], "C_ii_ritz": c.ritz[i],
            "M2_ii": m2.values[i], "M2_ii_se": m2.errors[i], "M2_ii_ritz": m2.ritz[i],
            "H_residual": found.diagonals.residuals(Diagonal::Hessian)[i],
        })
    };
    let density = found.density.as_ref().map(|density| {
        let quadrature = |q: &superlinear_spectra::Quadrature| json!({ "nodes": q.nodes, "weights": q.weights });
        json!({
            "products": density.products,
            "quadratures": density.quadratures.iter().map(quadrature).collect::<Vec<_>>(),
        })
    });
    let layer = |layer: &LayerShare| {
        let fit = |fit: &PowerLawFit| {
            json!({
                "slope": fit.slope, "se": fit.se, "robust": "HC3", "r2": fit.r2,
                "n_used": fit.n_used, "n_dropped": fit.dropped.total(),
            })
        };
        let mut found = json!({ "name": layer.name, "shares": layer.shares });
        if let Some(alone) = &layer.alone {
            found["gamma_alone"] = json!({ "c": fit(&alone.c), "m2": fit(&alone.m2) });
        }
        found
    };
    let mut summary = json!({
        "schema": 3,
        "of": subject.origin,
        "parameters": question.params,
        "operator": question.operator.name(),
        "n_params": found.n_params,
        "layout": found.layout.iter().map(|(name, len)| json!({ "name": name, "entries": len })).collect::<Vec<_>>(),
        "n_samples": found.n_samples,
        "fit": {
            "mean_loss": found.fit.loss, "accuracy": found.fit.accuracy, "most_frequent_class": found.fit.most_frequent,
        },
        "batch": found.batch,
        "conventions": {
            "noise": "the operator is Sigma, the covariance of one image's gradient, divided by N; C = Sigma / batch",
            "se": "standard error of a diagonal over independent draws of the images, vectors fixed",
            "angle": "estimate of the sine between an eigenvector and the span of all Ritz vectors: residual / \
             distance to the \
                      nearest Ritz value that was not wanted; 1 where the direction is not determined",
            "ritz": "the most by which X_ii differs between Ritz vector and eigenvector, to first order",
            "gamma": "error^2 = sampling_se^2 + ritz_bound^2: the delta method on the covariance of all diagonals \
             over draws \
                      of the images, and the sum of what every _ritz can do to the slope; se is the robust one of the \
                      fit",
            "vectors": "unit Ritz vectors v_i of the operator; X_ii = v_i^T X v_i",
            "layers": "where there are several: the squared norm of each direction's part in each, and the layer's \
             own exponents \
                       over as many directions of its own H, where the run has analysed it",
            "trace": found.trace_from,
            "density": "one Gauss quadrature a probe, of total weight 1",
        },
        "seed": question.seed,
        "tolerance": question.tol,
        "norm": found.top.state.norm,
        "stop": stop(found.top.stop),
        "probed_for_missed_copies": found.top.probed,
        "orthogonality": found.top.orthogonality,
        "pairs": (0..found.top.pairs.len()).map(pair).collect::<Vec<_>>(),
        "layers": found.layers.iter().map(layer).collect::<Vec<_>>(),
        "gamma": { "c": fit(&found.gamma.c), "m2": fit(&found.gamma.m2) },
        "trace": {
            "value": found.trace.value, "standard_error": found.trace.standard_error,
            "exact": found.trace.stop == TraceStop::Exact, "products": found.trace.products,
        },
        "products": found.products,
        "wall_s": found.wall_s,
        "provenance": by,
    });
    // What is not there is absent, not null.
    if let Some(density) = density {
        summary["density"] = density;
    }
    summary
}

fn figure(question: &Question, subject: &Subject, found: &Found) -> Figure {
    let density = found.density.as_ref().map(|density| density_panel(found, density));
    let panels: Vec<Panel> = density.into_iter().chain([scatter_panel(found)]).collect();
    let what = format!("{} of {}: {}", question.operator.words(), question.params.join(", "), subject.title);
    Figure::new(what, 1, panels.len(), panels)
}

/// The smoothed density, and the found eigenvalues at the height of one.
fn density_panel(found: &Found, density: &SpectralDensity) -> Panel {
    let values = found.top.values();
    let (low, high) = density.extent();
    let (low, high) = (low.min(0.0), values.first().map_or(high, |&most| most.max(high)));
    let width = if high > low { WIDTH * (high - low) } else { 1.0 };
    let at = |k: usize| low - 4.0 * width + (high - low + 8.0 * width) * k as f64 / (POINTS - 1) as f64;
    let grid: Vec<f64> = (0..POINTS).map(at).collect();
    let curve = density.smoothed(&grid, width);
    let one = 1.0 / (found.n_params as f64 * width * (2.0 * std::f64::consts::PI).sqrt());
    let y: Vec<f64> = curve.iter().map(|estimate| estimate.value).collect();
    let bound = |sign: f64| curve.iter().map(|e| e.value + sign * 2.0 * e.standard_error).collect();
    let band = Some(Band { lower: bound(-1.0), upper: bound(1.0) });
    let most = y.iter().copied().fold(one, f64::max);
    let probes = density.quadratures.len();
    let line = Line { band, ..Line::new(format!("density, {probes} probes, ± 2 se"), grid, y) };
    let heights = vec![one; values.len()];
    let label = format!("{} largest, at the height of one", values.len());
    let points = Scatter { color: Color::VERMILLION, marker: Marker::Triangle, ..Scatter::new(label, values, heights) };
    let axis = Axis::log10("density (per unit of λ)").within(one / 30.0, 3.0 * most);
    let layers = vec![line.into(), points.into()];
    Panel::new(format!("smoothed by {} % of the extent", 100.0 * WIDTH), Axis::linear("λ"), axis, layers)
}

/// `C_ii` and `(M₂)_ii` on `H_ii` of converged directions, each divided by its geometric mean.
fn scatter_panel(found: &Found) -> Panel {
    let used = Directions::of_ritz(&found.top).told_apart().len();
    let mut layers: Vec<Layer> =
        vec![Guide::new(1.0, (1.0, 1.0)).into(), Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into()];
    let gamma = &found.gamma;
    for (name, color, found) in [("C_{ii}", Color::BLUE, &gamma.c), ("(M_{2})_{ii}", Color::VERMILLION, &gamma.m2)] {
        if let Ok(found) = found {
            let label = format!("{name}: γ = {:.3} ± {:.3}", found.fit.slope, found.error());
            let [h, y] = &found.points;
            let drawn = centred_points(h, y, &found.fit, color, label);
            layers.extend([drawn.points, drawn.line]);
        }
    }
    let (x, y) = ("H_{ii} / geometric mean", "C_{ii}, (M_{2})_{ii} / geometric mean");
    Panel::new(format!("{used} converged directions"), Axis::log10(x), Axis::log10(y), layers)
}
