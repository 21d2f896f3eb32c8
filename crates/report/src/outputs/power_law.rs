//! `power-law`: centred log–log scatters of `C_ii` and `(M₂)_ii` on `H_ii`, a panel each, and those of a deep network.

use super::centred::{Look, scatter};
use super::{CaptionedFigure, Drawn, Looks, Output, Shows, caption, filled, titles};
use crate::fits::Diagonal;
use anyhow::Result;
use superlinear_experiments::record::{LayerRecord, RunRecord};
use superlinear_plots::{Axis, Color, Dash, Figure, Guide, Layer, Line, Marker, Panel, Text};

/// Each cloud is drawn this much above the one before.
const SHIFT: f64 = 10.0;
const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];

/// The two columns: whose diagonal, how figures write it and what the paper calls it.
const COLUMNS: [(Diagonal, &str, &str); 2] =
    [(Diagonal::C, "C_{ii}", "empirical"), (Diagonal::M2, "(M_{2})_{ii}", "AWD-derived")];

/// A cloud of points: a layer of a run, and its name.
type Cloud<'a> = (String, &'a RunRecord, &'a LayerRecord);

pub(super) const OUTPUT: Output = Output {
    id: "power-law",
    about: "Log–log scatter of C and M₂ on H, with fits",
    shows: Shows::Featured,
    needs: Looks::AtTheEnd,
    draw,
};

fn draw(runs: &[&RunRecord]) -> Result<Drawn> {
    let (deep, target): (Vec<&RunRecord>, Vec<&RunRecord>) =
        runs.iter().copied().partition(|run| run.spec.analysed_dense().len() > 1);
    let mut rows: Vec<(String, Vec<Cloud<'_>>)> = Vec::new();
    if !target.is_empty() {
        let clouds = titles(&target).into_iter().zip(target.iter().map(|run| (*run, run.layer())));
        rows.push((String::new(), clouds.map(|(name, (run, layer))| (name, run, layer)).collect()));
    }
    for (run, title) in deep.iter().zip(titles(&deep)) {
        let clouds = run.trained_layers().map(|layer| (format!("layer {}", layer.dense + 1), *run, layer));
        rows.push((format!("{title}: "), clouds.collect()));
    }
    let mut panels = Vec::new();
    for (title, clouds) in &rows {
        for (diagonal, symbol, name) in COLUMNS {
            let exponent = diagonal.exponent().unwrap_or_default();
            panels.push(panel(format!("{title}{name}, γ_{{{exponent}}}"), clouds, (diagonal, symbol))?);
        }
    }
    let figure = Figure::new("Noise covariance against curvature", rows.len().max(1), COLUMNS.len(), panels);
    let mut text = filled(caption!("power-law"), &[]);
    if !deep.is_empty() {
        text = format!("{text} {}", filled(caption!("power-law-layers"), &[]));
    }
    Ok(Drawn {
        figures: vec![CaptionedFigure { name: "power-law".to_owned(), caption: text, figure }],
        tables: Vec::new(),
    })
}

/// One diagonal of every cloud, the first cloud lowest.
fn panel(title: String, clouds: &[Cloud<'_>], (diagonal, symbol): (Diagonal, &str)) -> Result<Panel> {
    let exponent = diagonal.exponent().unwrap_or_default();
    let mut layers: Vec<Layer> = Vec::new();
    let (mut points, mut lines): (Vec<Layer>, Vec<Layer>) = (Vec::new(), Vec::new());
    let mut extent = Extent::default();
    for (k, (name, run, layer)) in clouds.iter().enumerate() {
        let look = Look { color: Color::series(k), marker: MARKERS[k % MARKERS.len()], shift: SHIFT.powi(k as i32) };
        // The strokes in the corner say what the dashes are.
        layers.push(Guide { label: String::new(), ..Guide::new(1.0, (1.0, look.shift)) }.into());
        let drawn = scatter(&run.spec, layer, (diagonal, Diagonal::H), look, |fit| {
            format!("{name}: γ_{{{exponent}}} = {:.3} ± {:.3}, R² = {:.3}", fit.slope, fit.se, fit.r2)
        })?;
        if let Layer::Line(line) = &drawn.line {
            extent.add(line);
        }
        points.push(drawn.points);
        // The highest cloud has the first entry of the legend.
        lines.insert(0, drawn.line);
    }
    layers.append(&mut points);
    layers.extend(slopes(&extent));
    layers.append(&mut lines);
    let y = Axis::log10(format!("{symbol} / geometric mean"));
    Ok(Panel::new(title, Axis::log10("H_{ii} / geometric mean"), y, layers))
}

/// Logarithms of the least and the largest coordinates of the fitted lines.
struct Extent {
    x: [f64; 2],
    y: [f64; 2],
}

impl Default for Extent {
    fn default() -> Self {
        Self { x: [f64::INFINITY, f64::NEG_INFINITY], y: [f64::INFINITY, f64::NEG_INFINITY] }
    }
}

impl Extent {
    fn add(&mut self, line: &Line) {
        for ([low, high], values) in [(&mut self.x, &line.x), (&mut self.y, &line.y)] {
            for value in values {
                *low = low.min(value.log10());
                *high = high.max(value.log10());
            }
        }
    }
}

/// Short strokes of slope 1 and 2 from one point in the lower right corner, which no cloud reaches; their ends are so
/// far apart that their names do not meet.
fn slopes(Extent { x, y }: &Extent) -> impl Iterator<Item = Layer> {
    let corner = [x[1] - 0.35 * (x[1] - x[0]), y[0]];
    let length = (y[1] - y[0]) / 11.0;
    [(1.0, Dash::Dashed), (2.0, Dash::Dotted)].into_iter().flat_map(move |(slope, dash)| {
        let end = [corner[0] + length, corner[1] + slope * length].map(|at| 10f64.powf(at));
        let from = corner.map(|at| 10f64.powf(at));
        let line = Line::new("", vec![from[0], end[0]], vec![from[1], end[1]]);
        let stroke = Line { color: Color::GREY, width: 1.2, dash, ..line };
        [stroke.into(), Text::new(format!("slope {slope}"), (end[0], end[1])).into()]
    })
}
