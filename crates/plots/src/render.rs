//! Draws a planned figure.

use crate::dressing::{
    BAR_GAP, BAR_WIDTH, Bar, Dressing, LABEL, Names, PANEL_TITLE, SLANT_DEGREES, TICK, TICK_GAP, TICK_LENGTH,
};
use crate::geometry::Rect;
use crate::layers::Layer;
use crate::layout::{NOTE_PADDING, Placed, Plan, TITLE, plan};
use crate::legend::{self, LegendBox, Symbol};
use crate::scale::View;
use crate::svg::{Anchor, Svg};
use crate::text::{CAP, LINE};
use crate::{Color, Figure, PlotError, raster};

const INK: Color = Color::rgb(0x22, 0x22, 0x22);
const FRAME: Color = Color::rgb(0x77, 0x77, 0x77);
const GRID: Color = Color::rgb(0xe8, 0xe8, 0xe8);
const FAINT: Color = Color::rgb(0x99, 0x99, 0x99);

/// A drawn figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The figure as SVG. It has no `id`s and needs no style sheet, so it can stand inside an HTML page.
    pub svg: String,
    /// The same drawing as PNG, with two pixels for one of the SVG each way.
    pub png: Vec<u8>,
    /// How many points and values the axes could not show: non-finite, beyond ±10³⁰⁰, ≤ 0 on a log axis, or outside
    /// a histogram's edges. The sum of `dropped_by_panel`.
    pub dropped: usize,
    /// The same for each panel.
    pub dropped_by_panel: Vec<usize>,
    /// How many points lie outside a fixed range and are therefore not seen.
    pub hidden: usize,
}

/// Draws a figure as SVG and PNG. The same figure gives the same bytes.
///
/// # Errors
/// [`PlotError`] when the description contradicts itself or leaves no room for the plots. Data never is an error:
/// values that cannot be shown are counted in [`Rendered::dropped`], and a panel without any says "no data".
pub fn render(figure: &Figure) -> Result<Rendered, PlotError> {
    figure.check()?;
    let plan = plan(figure)?;
    let svg = write(figure, &plan)?;
    let png = raster::png(&svg)?;
    let dropped_by_panel = plan.dropped;
    Ok(Rendered { svg, png, dropped: dropped_by_panel.iter().sum(), dropped_by_panel, hidden: plan.hidden })
}

fn write(figure: &Figure, plan: &Plan<'_>) -> Result<String, PlotError> {
    let mut page = Page { svg: Svg::new(figure.size.width, figure.size.height, &figure.title), unit: plan.unit };
    for (k, line) in plan.title.iter().enumerate() {
        let y = (8.0 + TITLE * (0.85 + LINE * k as f64)) * plan.unit;
        page.svg.text((figure.size.width / 2.0, y), Anchor::Middle, line, TITLE * plan.unit, INK);
    }
    for placed in &plan.panels {
        page.panel(placed)?;
    }
    if let Some((rect, legend)) = &plan.shared_legend {
        page.legend(*rect, legend);
    }
    Ok(page.svg.finish())
}

struct Page {
    svg: Svg,
    unit: f64,
}

impl Page {
    fn panel(&mut self, placed: &Placed<'_>) -> Result<(), PlotError> {
        let (plot, unit, d) = (placed.frame.plot, self.unit, &placed.dressing);
        let matrix = placed.panel.layers.iter().any(|layer| matches!(layer, Layer::HeatMap(_)));
        if !matrix {
            self.grid(placed);
        }
        for shape in &placed.shapes {
            self.svg.shape(shape)?;
        }
        self.svg.rect(plot, None, Some((FRAME, 0.8 * unit)));
        self.x_axis(placed);
        self.y_axis(placed);
        if let Some(bar) = &d.bar {
            self.color_bar(plot, bar)?;
        }
        self.titles(plot, d);
        if !placed.has_data {
            let (x, y) = plot.center();
            self.svg.text((x, y + 0.35 * 13.0 * unit), Anchor::Middle, "no data", 13.0 * unit, FAINT);
        }
        for (rect, lines) in &placed.notes {
            self.note(*rect, lines);
        }
        if let Some((rect, legend)) = &placed.legend {
            self.legend(*rect, legend);
        }
        Ok(())
    }

    fn grid(&mut self, placed: &Placed<'_>) {
        let (plot, d) = (placed.frame.plot, &placed.dressing);
        let mut lines = Vec::new();
        lines.extend(d.x_grid.iter().filter_map(|&v| placed.frame.x.px(v)).map(|x| [(x, plot.y), (x, plot.bottom())]));
        let ys = d.y_ticks.major.iter().filter_map(|tick| placed.frame.y.px(tick.value));
        lines.extend(ys.map(|y| [(plot.x, y), (plot.right(), y)]));
        self.svg.hairlines(&lines, GRID, 0.8 * self.unit);
    }

    fn x_axis(&mut self, placed: &Placed<'_>) {
        let (plot, unit, d) = (placed.frame.plot, self.unit, &placed.dressing);
        let at = |value: f64| placed.frame.x.px(value);
        let marks = |length: f64, values: &mut dyn Iterator<Item = f64>| -> Vec<_> {
            values.filter_map(at).map(|x| [(x, plot.bottom()), (x, plot.bottom() + length * unit)]).collect()
        };
        let major = marks(TICK_LENGTH, &mut d.x_ticks.major.iter().map(|tick| tick.value));
        let minor = marks(0.55 * TICK_LENGTH, &mut d.x_ticks.minor.iter().copied());
        self.svg.hairlines(&major, FRAME, 0.9 * unit);
        self.svg.hairlines(&minor, FRAME, 0.6 * unit);
        let size = TICK * unit;
        let base = plot.bottom() + (TICK_LENGTH + TICK_GAP) * unit + (CAP + 0.12) * size;
        for (k, tick) in d.x_ticks.major.iter().enumerate() {
            let Some(x) = at(tick.value) else { continue };
            match &d.x_names {
                Names::Upright(lines) => {
                    for (n, line) in lines[k].iter().enumerate() {
                        let y = base + n as f64 * LINE * size;
                        self.svg.text((x, y), Anchor::Middle, line, size, INK);
                    }
                }
                Names::Slanted => {
                    let from = (x + 0.3 * size, base - 0.1 * size);
                    self.svg.turned_text(from, -SLANT_DEGREES, Anchor::End, &tick.label, size, INK);
                }
            }
        }
    }

    fn y_axis(&mut self, placed: &Placed<'_>) {
        let (plot, unit, d) = (placed.frame.plot, self.unit, &placed.dressing);
        let marks = |length: f64, values: &mut dyn Iterator<Item = f64>| -> Vec<_> {
            let at = values.filter_map(|v| placed.frame.y.px(v));
            at.map(|y| [(plot.x, y), (plot.x - length * unit, y)]).collect()
        };
        let major = marks(TICK_LENGTH, &mut d.y_ticks.major.iter().map(|tick| tick.value));
        let minor = marks(0.55 * TICK_LENGTH, &mut d.y_ticks.minor.iter().copied());
        self.svg.hairlines(&major, FRAME, 0.9 * unit);
        self.svg.hairlines(&minor, FRAME, 0.6 * unit);
        let x = plot.x - (TICK_LENGTH + TICK_GAP) * unit;
        self.names(&d.y_ticks.major, &placed.frame.y, x, Anchor::End);
    }

    fn names(&mut self, ticks: &[crate::ticks::Tick], view: &View, x: f64, anchor: Anchor) {
        let size = TICK * self.unit;
        for tick in ticks {
            if let Some(y) = view.px(tick.value) {
                self.svg.text((x, y + CAP / 2.0 * size), anchor, &tick.label, size, INK);
            }
        }
    }

    fn color_bar(&mut self, plot: Rect, bar: &Bar) -> Result<(), PlotError> {
        let unit = self.unit;
        let rect = Rect { x: plot.right() + BAR_GAP * unit, w: BAR_WIDTH * unit, ..plot };
        let table = bar.colors.table();
        let steps: Vec<Option<u8>> = (0..table.len() as u8).rev().map(Some).collect();
        self.svg.image(rect, rect, &raster::indexed_png((table.len(), 1), &steps, &table)?);
        self.svg.rect(rect, None, Some((FRAME, 0.8 * unit)));
        let view =
            View { scale: bar.colors.scale, lo: bar.colors.lo, hi: bar.colors.hi, px_lo: rect.bottom(), px_hi: rect.y };
        let marks: Vec<_> = bar.ticks.major.iter().filter_map(|tick| view.px(tick.value)).collect();
        let marks: Vec<_> =
            marks.into_iter().map(|y| [(rect.right(), y), (rect.right() + TICK_LENGTH * unit, y)]).collect();
        self.svg.hairlines(&marks, FRAME, 0.9 * unit);
        self.names(&bar.ticks.major, &view, rect.right() + (TICK_LENGTH + TICK_GAP) * unit, Anchor::Start);
        let size = LABEL * unit;
        for (k, line) in bar.label.iter().enumerate() {
            let x = plot.right() + bar.label_offset + (0.95 + k as f64 * LINE) * size;
            self.svg.turned_text((x, plot.center().1), -90.0, Anchor::Middle, line, size, INK);
        }
        Ok(())
    }

    fn titles(&mut self, plot: Rect, d: &Dressing) {
        let unit = self.unit;
        let (cx, cy) = plot.center();
        // Stacked upwards from the frame: remarks that found no place in the plot, then the title.
        let mut y = plot.y - 7.0 * unit;
        for (lines, size) in [(&d.notes_above, TICK * unit), (&d.title, PANEL_TITLE * unit)] {
            for line in lines.iter().rev() {
                self.svg.text((cx, y), Anchor::Middle, line, size, INK);
                y -= LINE * size;
            }
        }
        let size = LABEL * unit;
        for (k, line) in d.x_label.iter().enumerate() {
            let y = plot.bottom() + d.x_label_offset + (0.9 + k as f64 * LINE) * size;
            self.svg.text((cx, y), Anchor::Middle, line, size, INK);
        }
        for (k, line) in d.y_label.iter().rev().enumerate() {
            let x = plot.x - d.y_label_offset - (0.2 + k as f64 * LINE) * size;
            self.svg.turned_text((x, cy), -90.0, Anchor::Middle, line, size, INK);
        }
    }

    fn note(&mut self, rect: Rect, lines: &[String]) {
        let (unit, size) = (self.unit, legend::SIZE * self.unit);
        self.svg.rect(rect, Some((Color::WHITE, 0.85)), Some((Color::rgb(0xcc, 0xcc, 0xcc), 0.7 * unit)));
        for (k, line) in lines.iter().enumerate() {
            let at =
                (rect.x + NOTE_PADDING * unit, rect.y + NOTE_PADDING * unit + (CAP + 0.12 + k as f64 * LINE) * size);
            self.svg.text(at, Anchor::Start, line, size, INK);
        }
    }

    fn legend(&mut self, rect: Rect, legend: &LegendBox) {
        let (unit, size) = (self.unit, legend::SIZE * self.unit);
        self.svg.rect(rect, Some((Color::WHITE, 0.85)), Some((Color::rgb(0xcc, 0xcc, 0xcc), 0.7 * unit)));
        for item in &legend.items {
            let (x, base) = (rect.x + item.at.0, rect.y + item.at.1);
            self.symbol(&item.symbol, x, base - 0.36 * size);
            for (k, line) in item.lines.iter().enumerate() {
                let at = (x + LegendBox::text_offset(unit), base + k as f64 * LINE * size);
                self.svg.text(at, Anchor::Start, line, size, INK);
            }
        }
    }

    fn symbol(&mut self, symbol: &Symbol, x: f64, y: f64) {
        let (unit, width) = (self.unit, LegendBox::symbol_width(self.unit));
        let swatch = Rect { x: x + 0.2 * width, y: y - 4.5 * unit, w: 0.6 * width, h: 9.0 * unit };
        match symbol {
            Symbol::Dot { marker, color } => {
                self.svg.dots(&[(x + width / 2.0, y)], 3.4 * unit, *marker, *color, 1.0);
            }
            Symbol::Stroke { color, width: stroke, dash, marker, band } => {
                if let Some(band) = band {
                    let rect = Rect { x, w: width, ..swatch };
                    self.svg.rect(rect, Some((*band, 0.2)), None);
                }
                self.svg.stroke(&[(x, y), (x + width, y)], *color, stroke * unit, *dash);
                if let Some(marker) = marker {
                    self.svg.dots(&[(x + width / 2.0, y)], 2.6 * unit, *marker, *color, 1.0);
                }
            }
            Symbol::Swatch { color, alpha } => {
                self.svg.rect(swatch, Some((*color, *alpha)), Some((*color, 0.6 * unit)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Axis, BarGroup, Bars, ColorScale, ErrorBars, Fill, Guide, HeatMap, Histogram, Legends, Line, Note, Panel,
        Reduce, Reference, ReferenceAt, Scatter, Size, Text,
    };
    use proptest::prelude::*;

    fn one(panel: Panel) -> Figure {
        Figure { size: Size { width: 480.0, height: 360.0 }, ..Figure::new("", 1, 1, vec![panel]) }
    }

    fn every_layer(x: Vec<f64>, y: Vec<f64>) -> Vec<Layer> {
        let (n, at) = (x.len(), (x.first().copied().unwrap_or(1.0), y.first().copied().unwrap_or(1.0)));
        let bars = BarGroup { label: "bars".into(), values: y.clone(), errors: Some(x.clone()), color: Color::SKY };
        vec![
            Fill::new("fill", x.clone(), y.clone(), x.clone()).into(),
            Scatter::new("scatter", x.clone(), y.clone()).into(),
            Line::new("line", x.clone(), y.clone()).into(),
            Guide::new(2.0, at).into(),
            ErrorBars::symmetric("error bars", x.clone(), y.clone(), &x).into(),
            Histogram::new("histogram", x, 5).into(),
            Bars { categories: vec!["a < b & c".into(); n], groups: vec![bars] }.into(),
            Reference::new("reference", ReferenceAt::Y(at.1)).into(),
            Text::new("words", at).into(),
        ]
    }

    fn pixels(png: &[u8]) -> (usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let samples = info.color_type.samples();
        assert_eq!(info.buffer_size(), bytes.len());
        (info.width as usize, bytes.chunks(samples).map(|pixel| pixel[0]).collect())
    }

    #[test]
    fn the_same_figure_gives_the_same_bytes_in_both_formats() {
        let (x, y) = (Axis::linear("x (unit)"), Axis::symlog("y (unit)", 0.1));
        let panel = Panel::new("title", x, y, every_layer(vec![1.0, 2.0, 40.0], vec![-3.0, 0.5, 7.0]));
        let (first, second) = (render(&one(panel.clone())).unwrap(), render(&one(panel)).unwrap());
        assert_eq!(first, second);
        let (width, all) = pixels(&first.png);
        assert_eq!((width, all.len()), (960, 960 * 720));
        let xml = roxmltree::Document::parse(&first.svg).unwrap();
        assert!(xml.descendants().all(|node| node.attribute("id").is_none()));
    }

    #[test]
    fn text_is_drawn_without_any_system_font() {
        let panel = Panel::new("", Axis::linear(""), Axis::linear(""), vec![]);
        let titled = |title: &str| Figure { title: title.into(), ..one(panel.clone()) };
        let band = |title: &str| {
            let (width, all) = pixels(&render(&titled(title)).unwrap().png);
            all[width * 16..width * 46].to_vec()
        };
        let ink = |band: &[u8]| band.iter().filter(|&&v| v < 128).count();
        let (gamma, kappa) = (band("γγγγγγ"), band("κκκκκκ"));
        assert!(ink(&gamma) > 200, "{}", ink(&gamma));
        // Boxes for missing letters would all look the same.
        assert_ne!(gamma, kappa);
    }

    #[test]
    fn what_cannot_be_shown_is_dropped_and_counted_by_panel() {
        let scatter = |x: Vec<f64>| Scatter::new("s", x.clone(), x).into();
        let log = |x| Panel::new("", Axis::log10("x"), Axis::log10("y"), vec![scatter(x)]);
        let fixed = Panel { x: Axis::log10("x").within(1.0, 10.0), ..log(vec![0.5, 2.0, 5.0, 20.0]) };
        let panels = vec![log(vec![1.0, -1.0, 0.0, 2.0]), log(vec![f64::NAN]), fixed];
        let drawn = render(&Figure::new("", 1, 3, panels)).unwrap();
        assert_eq!((drawn.dropped, drawn.dropped_by_panel, drawn.hidden), (3, vec![2, 1, 0], 2));
        assert_eq!(drawn.svg.matches("no data").count(), 1);
        assert_eq!(drawn.svg.matches("<circle").count(), 2 + 2 + 2, "points, and one sample in each legend with data");
    }

    #[test]
    fn a_large_matrix_stays_a_small_file() {
        let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1009) as f64 / 504.5 - 1.0;
        let (reduce, colors) = (Reduce::LargestMagnitude, ColorScale::Diverging { limit: 1.0 });
        let map = HeatMap::from_fn((2500, 2500), noise, reduce, colors, "R").unwrap();
        let figure = one(Panel::matrix("", "j", "i", vec![map.into()]));
        figure.check().unwrap();
        let svg = write(&figure, &plan(&figure).unwrap()).unwrap();
        assert!(svg.len() < 600_000, "{} bytes", svg.len());
        assert!(roxmltree::Document::parse(&svg).is_ok());
    }

    #[test]
    fn a_matrix_has_its_first_row_at_the_top_in_its_colour() {
        let values = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0];
        let map = HeatMap::new((2, 4), &values, Reduce::Mean, ColorScale::Diverging { limit: 1.0 }, "").unwrap();
        let (width, red) = pixels(&render(&one(Panel::matrix("", "", "", vec![map.into()]))).unwrap().png);
        let column: Vec<u8> = red.iter().skip(width / 3).step_by(width).copied().collect();
        let find = |byte| column.iter().position(|&v| v == byte).unwrap();
        assert!(find(0x5f) < find(0x0b), "positive entries are red, and above the negative ones");
    }

    #[test]
    fn misuse_is_an_error_with_evidence() {
        let panel = |layer: Layer| Panel::new("", Axis::linear("x"), Axis::linear("y"), vec![layer]);
        let error = |panel: Panel| render(&one(panel)).unwrap_err();
        let ragged = error(panel(Scatter::new("", vec![1.0, 2.0], vec![1.0]).into()));
        assert_eq!(ragged, PlotError::LengthMismatch { panel: 0, layer: 0, field: "y", expected: 2, found: 1 });
        assert_eq!(ragged.to_string(), "panel 0, layer 0: `y` has 1 values, expected 2");
        assert!(matches!(render(&Figure::new("", 0, 2, vec![])), Err(PlotError::EmptyGrid { rows: 0, cols: 2 })));
        assert!(matches!(render(&Figure::new("", 1, 2, vec![])), Err(PlotError::PanelCount { found: 0, .. })));
        let mut bad = panel(Scatter::new("", vec![1.0], vec![1.0]).into());
        bad.x = Axis::log10("x").within(0.0, 1.0);
        assert!(matches!(error(bad.clone()), PlotError::InvalidNumber { field: "axis range", .. }));
        bad.x = Axis::symlog("x", 0.0);
        assert!(matches!(error(bad), PlotError::InvalidNumber { field: "linthresh", .. }));
        let map = HeatMap::new((1, 1), &[1.0], Reduce::Mean, ColorScale::Sequential, "").unwrap();
        let logarithmic = Panel { x: Axis::log10("x"), ..panel(map.into()) };
        assert!(matches!(error(logarithmic), PlotError::NotLinear { panel: 0, layer: "heat maps", .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_numbers_give_a_readable_file(
            points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..12), kinds in (0usize..3, 0usize..3),
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
            let axis = |kind: usize| [Axis::linear("x"), Axis::log10("x"), Axis::symlog("x", 1e-3)][kind].clone();
            let mut panel = Panel::new("t", axis(kinds.0), axis(kinds.1), every_layer(x, y));
            panel.layers.retain(|layer| kinds.0 == 0 || !matches!(layer, Layer::Bars(_)));
            panel.notes = vec![Note::new("note")];
            let mut figure = one(panel);
            figure.size = Size { width: 500.0, height: 500.0 };
            figure.legends = Legends::Shared;
            let svg = write(&figure, &plan(&figure).unwrap()).unwrap();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
            prop_assert!(roxmltree::Document::parse(&svg).is_ok());
        }
    }
}
