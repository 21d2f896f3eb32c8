//! How a spectrum is shown: a table on the terminal, `spectrum.json`, `pairs.csv`, a figure.

use super::{Found, Gamma, SUMMARY, SpectrumArgs};
use crate::outputs::{centred_points, title};
use crate::plan::RunSpec;
use crate::provenance::Provenance;
use anyhow::Result;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use superlinear_plots::{Axis, Band, Color, Dash, Figure, Guide, Layer, Line, Marker, Panel, Scatter, render};
use superlinear_spectra::{SpectralDensity, Stop};
use superlinear_stats::PowerLawFit;
use superlinear_store::{atomic, csv, json};

/// The pairs' file.
const PAIRS: &str = "pairs.csv";
/// The figure's files, without extension.
const FIGURE: &str = "spectrum";
/// Columns of [`PAIRS`].
const HEADER: [&str; 9] = ["index", "value", "residual", "converged", "H_ii", "H_residual", "C_ii", "C_ii_se", "M2_ii"];
/// Standard deviation of the density's Gaussians, of the spectrum's extent.
const WIDTH: f64 = 0.01;
/// Points of the density's curve.
const POINTS: usize = 600;

/// Prints the pairs, the exponents and what they took.
///
/// # Errors
/// When nobody listens.
pub(super) fn print(args: &SpectrumArgs, spec: &RunSpec, found: &Found) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let Found { n_params, n_samples, batch, top, trace, .. } = found;
    let heading = format!("{} over {}", args.operator.words().replace("_{2}", "₂"), args.params.join(","));
    writeln!(out, "{}: {heading}, {n_params} parameters, {n_samples} images; C = Σ/{batch}", spec.id())?;
    writeln!(
        out,
        "{:>4} {:>15} {:>9}  {:<9} {:>11} {:>11} {:>11} {:>11}",
        "", "value", "residual", "converged", "H_ii", "C_ii", "± se", "(M₂)_ii"
    )?;
    for (i, pair) in top.pairs.iter().enumerate() {
        let converged = if pair.converged { "yes" } else { "NO" };
        let (h, m2) = (found.diagonals.hessian[i], found.diagonals.second_moment[i]);
        let (c, se) = (found.c(i), found.c_error(i));
        let (value, residual, n) = (pair.value, pair.residual, i + 1);
        writeln!(
            out,
            "{n:>4} {value:>15.8e} {residual:>9.1e}  {converged:<9} {h:>11.4e} {c:>11.4e} {se:>11.1e} {m2:>11.4e}"
        )?;
    }
    let n_converged = top.pairs.iter().filter(|pair| pair.converged).count();
    if top.stop != Stop::Converged {
        writeln!(out, "only {n_converged} of {} pairs converged: {}", top.pairs.len(), stop(top.stop))?;
    }
    let Gamma { c, m2 } = &found.gamma;
    writeln!(out, "γ of C on H   {}", exponent(c))?;
    writeln!(out, "γ of M₂ on H  {}", exponent(m2))?;
    let share = top.values().iter().sum::<f64>() / trace.value;
    writeln!(out, "trace {:.6e} ± {:.1e}, {:.1} % of it above", trace.value, trace.standard_error, 100.0 * share)?;
    writeln!(out, "{} products in {:.1} s", found.products, found.wall_s)?;
    Ok(())
}

/// Says where the files are.
///
/// # Errors
/// When nobody listens.
pub(super) fn say_written(to: &Path) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}: {SUMMARY}, {PAIRS}, {FIGURE}.svg, {FIGURE}.png", to.display())?)
}

/// Writes every file.
///
/// # Errors
/// When one cannot be written or drawn.
pub(super) fn write(args: &SpectrumArgs, spec: &RunSpec, found: &Found, to: &Path, by: Provenance) -> Result<()> {
    let row = |i: usize| {
        let (pair, diagonals) = (found.top.pairs[i], &found.diagonals);
        let numbers = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>();
        let mut row = vec![(i + 1).to_string(), pair.value.to_string(), pair.residual.to_string()];
        row.push(pair.converged.to_string());
        row.extend(numbers(&[diagonals.hessian[i], diagonals.hessian_residual[i]]));
        row.extend(numbers(&[found.c(i), found.c_error(i), diagonals.second_moment[i]]));
        row
    };
    csv::write(&to.join(PAIRS), &HEADER, (0..found.top.pairs.len()).map(row))?;
    let drawn = render(&figure(args, spec, found))?;
    atomic::write(&to.join(format!("{FIGURE}.svg")), drawn.svg.as_bytes())?;
    atomic::write(&to.join(format!("{FIGURE}.png")), &drawn.png)?;
    Ok(json::write(&to.join(SUMMARY), &summary(args, spec, found, by))?)
}

impl Found {
    fn c(&self, i: usize) -> f64 {
        self.factor * self.diagonals.covariance[i]
    }

    fn c_error(&self, i: usize) -> f64 {
        self.factor * self.diagonals.covariance_error[i]
    }
}

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::Converged => "converged",
        Stop::Budget => "the budget of products is spent",
        Stop::Stalled => "residuals no longer fall; try a larger --tol",
    }
}

fn exponent(fit: &Result<PowerLawFit, String>) -> String {
    match fit {
        Ok(fit) => {
            let PowerLawFit { slope, se, r2, n_used, dropped, .. } = fit;
            format!("{slope:.3} ± {se:.3} (HC3), R² {r2:.3}, {n_used} directions, {} dropped", dropped.total())
        }
        Err(why) => format!("none: {why}"),
    }
}

fn summary(args: &SpectrumArgs, spec: &RunSpec, found: &Found, by: Provenance) -> Value {
    let fit = |fit: &Result<PowerLawFit, String>| match fit {
        Ok(fit) => json!({
            "slope": fit.slope, "se": fit.se, "robust": "HC3", "r2": fit.r2,
            "n_used": fit.n_used, "n_dropped": fit.dropped.total(),
        }),
        Err(why) => json!({ "none": why }),
    };
    let pair = |i: usize| {
        let (pair, diagonals) = (found.top.pairs[i], &found.diagonals);
        json!({
            "value": pair.value, "residual": pair.residual, "converged": pair.converged,
            "H_ii": diagonals.hessian[i], "H_residual": diagonals.hessian_residual[i],
            "C_ii": found.c(i), "C_ii_se": found.c_error(i), "M2_ii": diagonals.second_moment[i],
        })
    };
    let density = found.density.as_ref().map(|density| {
        let quadrature = |q: &superlinear_spectra::Quadrature| json!({ "nodes": q.nodes, "weights": q.weights });
        json!({
            "products": density.products,
            "quadratures": density.quadratures.iter().map(quadrature).collect::<Vec<_>>(),
        })
    });
    json!({
        "schema": 1,
        "run": spec.id(),
        "spec": spec,
        "parameters": args.params,
        "operator": args.operator.name(),
        "n_params": found.n_params,
        "n_samples": found.n_samples,
        "batch": found.batch,
        "conventions": {
            "noise": "the operator is Sigma, the covariance of one image's gradient, divided by N; C = Sigma / batch",
            "C_ii_se": "standard error if images were drawn independently",
            "vectors": "unit Ritz vectors v_i of the operator; X_ii = v_i^T X v_i",
            "trace": "the sum of the Ritz values and an XTrace estimate outside of their vectors",
            "density": "one Gauss quadrature a probe, of total weight 1",
        },
        "seed": args.seed,
        "tolerance": args.tol,
        "norm": found.top.state.norm,
        "stop": stop(found.top.stop),
        "probed_for_missed_copies": found.top.probed,
        "orthogonality": found.top.orthogonality,
        "pairs": (0..found.top.pairs.len()).map(pair).collect::<Vec<_>>(),
        "gamma": { "c": fit(&found.gamma.c), "m2": fit(&found.gamma.m2) },
        "trace": { "value": found.trace.value, "standard_error": found.trace.standard_error },
        "density": density,
        "products": found.products,
        "wall_s": found.wall_s,
        "provenance": by,
    })
}

fn figure(args: &SpectrumArgs, spec: &RunSpec, found: &Found) -> Figure {
    let density = found.density.as_ref().map(|density| density_panel(found, density));
    let panels: Vec<Panel> = density.into_iter().chain([scatter_panel(found)]).collect();
    let what = format!("{} of {}: {}", args.operator.words(), args.params.join(", "), title(spec));
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
    let converged: Vec<usize> = (0..found.top.pairs.len()).filter(|&i| found.top.pairs[i].converged).collect();
    let of = |values: &[f64]| converged.iter().map(|&i| values[i]).collect::<Vec<f64>>();
    let h = of(&found.diagonals.hessian);
    let c: Vec<f64> = of(&found.diagonals.covariance).iter().map(|sigma| found.factor * sigma).collect();
    let m2 = of(&found.diagonals.second_moment);
    let mut layers: Vec<Layer> =
        vec![Guide::new(1.0, (1.0, 1.0)).into(), Guide { dash: Dash::Dotted, ..Guide::new(2.0, (1.0, 1.0)) }.into()];
    for (name, color, y, fit) in
        [("C_{ii}", Color::BLUE, c, &found.gamma.c), ("(M_{2})_{ii}", Color::VERMILLION, m2, &found.gamma.m2)]
    {
        if let Ok(fit) = fit {
            let label = format!("{name}: γ = {:.3} ± {:.3}", fit.slope, fit.se);
            let drawn = centred_points(&h, &y, fit, color, label);
            layers.extend([drawn.points, drawn.line]);
        }
    }
    let (x, y) = ("H_{ii} / geometric mean", "C_{ii}, (M_{2})_{ii} / geometric mean");
    Panel::new(format!("{} converged directions", converged.len()), Axis::log10(x), Axis::log10(y), layers)
}
