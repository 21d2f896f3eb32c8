//! Centred log–log scatters: one diagonal on another, each divided by its geometric mean over the fitted directions.

use crate::fits::{self, Diagonal};
use anyhow::Result;
use superlinear_experiments::record::LayerRecord;
use superlinear_experiments::spec::RunSpec;
use superlinear_plots::{Color, Layer, Line, Marker, Scatter};
use superlinear_stats::PowerLawFit;

/// The points of `y` on `x` and, to be drawn above all points, their fitted line with the exponent as its label.
pub struct CentredScatter {
    /// The points.
    pub points: Layer,
    /// The line.
    pub line: Layer,
}

/// How one cloud is told from others in its panel.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) color: Color,
    pub(super) marker: Marker,
    /// Factor on all ordinates, the fitted line's included.
    pub(super) shift: f64,
}

impl Look {
    /// Blue discs where they are.
    pub(super) const PLAIN: Self = Self { color: Color::BLUE, marker: Marker::Circle, shift: 1.0 };
}

/// Scatter and fit of one pair.
///
/// # Errors
/// When fewer than three directions can be used.
pub(super) fn scatter(
    spec: &RunSpec,
    layer: &LayerRecord,
    (y, x): (Diagonal, Diagonal),
    look: Look,
    label: impl FnOnce(&PowerLawFit) -> String,
) -> Result<CentredScatter> {
    let fit = fits::fit(spec, layer, y, x)?;
    let window = fits::window(spec, layer);
    Ok(cloud(&x.of(layer)[..window], &y.of(layer)[..window], &fit, look, label(&fit)))
}

/// Scatter of `y` on `x`, where both are positive, with its fit, both divided by the fit's geometric means.
pub fn centred_points(x: &[f64], y: &[f64], fit: &PowerLawFit, color: Color, label: String) -> CentredScatter {
    cloud(x, y, fit, Look { color, ..Look::PLAIN }, label)
}

fn cloud(x: &[f64], y: &[f64], fit: &PowerLawFit, look: Look, label: String) -> CentredScatter {
    let Look { color, marker, shift } = look;
    let usable = x.iter().zip(y).filter(|(x, y)| **x > 0.0 && **y > 0.0);
    let (xs, ys): (Vec<f64>, Vec<f64>) = usable
        .map(|(x, y)| (10f64.powf(x.log10() - fit.mean_log10_x), shift * 10f64.powf(y.log10() - fit.mean_log10_y)))
        .unzip();
    let (low, high) = xs.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    let ends = vec![low, high];
    let on_line = ends.iter().map(|x| shift * x.powf(fit.slope)).collect();
    let line = Line { color, ..Line::new(label, ends, on_line) };
    CentredScatter { points: Scatter { color, marker, ..Scatter::new("", xs, ys) }.into(), line: line.into() }
}
