//! From layers in data units to shapes in pixels.

use crate::geometry::Rect;
use crate::layers::{Bars, ErrorBars, Fill, Guide, Histogram, Layer, Line, Reference, ReferenceAt, Scatter, Text};
use crate::scale::{Scale, View};
use crate::shape::{Flip, Shape};
use crate::survey::bin;
use crate::text;
use crate::{Color, Dash, HeatMap, Marker, Panel};

/// A plot area with its axes; `unit` is the size of a nominal pixel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) plot: Rect,
    pub(crate) x: View,
    pub(crate) y: View,
    pub(crate) unit: f64,
}

/// The shapes of a panel's layers, and how many points a fixed range hides.
pub(crate) fn trace<'a>(panel: &'a Panel, frame: Frame) -> (Vec<Shape<'a>>, usize) {
    let mut tracer = Tracer { frame, out: Vec::new(), hidden: 0 };
    for layer in &panel.layers {
        match layer {
            Layer::Scatter(s) => tracer.scatter(s),
            Layer::Line(l) => tracer.line(l),
            Layer::Guide(g) => tracer.guide(g),
            Layer::ErrorBars(e) => tracer.error_bars(e),
            Layer::Fill(f) => tracer.fill(f),
            Layer::Histogram(h) => tracer.histogram(h),
            Layer::Bars(b) => tracer.bars(b),
            Layer::HeatMap(map) => tracer.heat_map(map),
            Layer::Reference(r) => tracer.reference(r),
            Layer::Text(t) => tracer.text(t),
        }
    }
    (tracer.out, tracer.hidden)
}

struct Tracer<'a> {
    frame: Frame,
    out: Vec<Shape<'a>>,
    hidden: usize,
}

impl<'a> Tracer<'a> {
    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.frame.x.px(x)?, self.frame.y.px(y)?))
    }

    fn dots(
        &mut self,
        points: impl Iterator<Item = (f64, f64)>,
        radius: f64,
        marker: Marker,
        color: Color,
        alpha: f64,
    ) {
        let (mut inside, mut hidden) = (Vec::new(), 0);
        for point in points {
            if self.frame.plot.contains(point) { inside.push(point) } else { hidden += 1 }
        }
        self.hidden += hidden;
        self.out.push(Shape::Dots { points: inside, radius: radius * self.frame.unit, marker, color, alpha });
    }

    fn stroke(&mut self, points: &[(f64, f64)], color: Color, width: f64, dash: Dash) {
        for points in self.frame.plot.clip_polyline(points) {
            self.out.push(Shape::Stroke { points, color, width: width * self.frame.unit, dash });
        }
    }

    /// The region between the ends of consecutive columns `(x, lower, upper)`, broken where a column is missing.
    fn ribbon(&mut self, columns: &[Option<(f64, f64, f64)>], color: Color, alpha: f64) {
        for piece in columns.split(|column| column.is_none()) {
            let there = piece.iter().flatten().map(|&(x, lower, _)| (x, lower));
            let back = piece.iter().flatten().rev().map(|&(x, _, upper)| (x, upper));
            let outline: Vec<_> = there.chain(back).collect();
            let points = self.frame.plot.clip_polygon(&outline);
            if points.len() >= 3 {
                self.out.push(Shape::Area { points, color, alpha });
            }
        }
    }

    fn column(&self, x: f64, lower: f64, upper: f64) -> Option<(f64, f64, f64)> {
        let Frame { x: vx, y: vy, .. } = &self.frame;
        Some((vx.px(x)?, vy.px_or_floor(lower)?, vy.px_or_floor(upper)?))
    }

    fn scatter(&mut self, s: &Scatter) {
        // Small plots get smaller points, or a cloud would become a blot.
        let plot = self.frame.plot;
        let radius = s.radius * (plot.w.min(1.5 * plot.h) / (330.0 * self.frame.unit)).sqrt().clamp(0.55, 1.0);
        let points: Vec<_> = s.x.iter().zip(&s.y).filter_map(|(&x, &y)| self.at(x, y)).collect();
        self.dots(points.into_iter(), radius, s.marker, s.color, s.alpha);
    }

    fn line(&mut self, l: &Line) {
        if let Some(band) = &l.band {
            let shown =
                |k: usize| self.at(l.x[k], l.y[k]).and_then(|_| self.column(l.x[k], band.lower[k], band.upper[k]));
            let columns: Vec<_> = (0..l.x.len()).map(shown).collect();
            self.ribbon(&columns, l.color, 0.2);
        }
        let points: Vec<_> = l.x.iter().zip(&l.y).map(|(&x, &y)| self.at(x, y)).collect();
        for piece in points.split(|point| point.is_none()) {
            let piece: Vec<_> = piece.iter().copied().flatten().collect();
            self.stroke(&piece, l.color, l.width, l.dash);
            // A point between two gaps has no segment: show it as a dot.
            if piece.len() == 1 && l.marker.is_none() {
                self.dots(piece.into_iter(), l.width, Marker::Circle, l.color, 1.0);
            }
        }
        if let Some(marker) = l.marker {
            self.dots(points.into_iter().flatten(), 2.6, marker, l.color, 1.0);
        }
    }

    fn guide(&mut self, g: &Guide) {
        let Frame { x, y, .. } = self.frame;
        let (Some(tx), Some(ty)) = (x.scale.forward(g.through.0), y.scale.forward(g.through.1)) else { return };
        if g.slope.is_finite() {
            let end = |t: f64| (x.px_of_position(t), y.px_of_position(ty + g.slope * (t - tx)));
            self.stroke(&[end(x.lo), end(x.hi)], g.color, 1.2, g.dash);
        }
    }

    fn error_bars(&mut self, e: &ErrorBars) {
        for (k, &x) in e.x.iter().enumerate() {
            if self.at(x, e.y[k]).is_some()
                && let Some((px, lower, upper)) = self.column(x, e.lower[k], e.upper[k])
            {
                self.whisker(px, lower, upper, e.color, 3.0);
            }
        }
        let points: Vec<_> = e.x.iter().zip(&e.y).filter_map(|(&x, &y)| self.at(x, y)).collect();
        self.dots(points.into_iter(), 3.0, e.marker, e.color, 1.0);
    }

    fn whisker(&mut self, x: f64, lower: f64, upper: f64, color: Color, half: f64) {
        let half = half * self.frame.unit;
        self.stroke(&[(x, lower), (x, upper)], color, 1.2, Dash::Solid);
        for y in [lower, upper] {
            self.stroke(&[(x - half, y), (x + half, y)], color, 1.2, Dash::Solid);
        }
    }

    fn fill(&mut self, f: &Fill) {
        let columns: Vec<_> = (0..f.x.len()).map(|k| self.column(f.x[k], f.lower[k], f.upper[k])).collect();
        self.ribbon(&columns, f.color, f.alpha);
    }

    fn block(&mut self, (x0, x1): (f64, f64), (y0, y1): (f64, f64), color: Color, alpha: f64) {
        let rect = Rect { x: x0.min(x1), y: y0.min(y1), w: (x1 - x0).abs(), h: (y1 - y0).abs() };
        if let Some(rect) = rect.intersection(&self.frame.plot) {
            self.out.push(Shape::Block { rect, color, alpha });
        }
    }

    /// Where bars stand: zero, or the lower end of a log axis.
    fn base(&self) -> f64 {
        match self.frame.y.scale {
            Scale::Log10 => self.frame.y.px_lo,
            _ => self.frame.y.px_of_position(0.0),
        }
    }

    fn histogram(&mut self, h: &Histogram) {
        let binned = bin(h, self.frame.x.scale);
        let (base, hair) = (self.base(), 0.3 * self.frame.unit);
        for (edge, height) in binned.edges.windows(2).zip(binned.heights(h.height)) {
            let Some(top) = self.frame.y.px(height).filter(|_| height > 0.0) else { continue };
            let (a, b) = (self.frame.x.px_of_position(edge[0]), self.frame.x.px_of_position(edge[1]));
            let gap = if (b - a).abs() > 4.0 * hair { hair.copysign(b - a) } else { 0.0 };
            self.block((a + gap, b - gap), (base, top), h.color, 0.65);
        }
    }

    fn bars(&mut self, bars: &Bars) {
        let (base, width) = (self.base(), 0.8 / bars.groups.len().max(1) as f64);
        for (g, group) in bars.groups.iter().enumerate() {
            for (k, &value) in group.values.iter().enumerate() {
                let left = k as f64 - 0.4 + g as f64 * width;
                let ends = [left + 0.04 * width, left + 0.96 * width, left + 0.5 * width];
                let [Some(a), Some(b), Some(middle)] = ends.map(|x| self.frame.x.px(x)) else { continue };
                let Some(top) = self.frame.y.px(value) else { continue };
                self.block((a, b), (base, top), group.color, 1.0);
                if let Some(error) = group.errors.as_ref().map(|e| e[k]).filter(|e| e.is_finite())
                    && let (Some(lower), Some(upper)) =
                        (self.frame.y.px_or_floor(value - error), self.frame.y.px_or_floor(value + error))
                {
                    let half = (0.25 * (b - a).abs() / self.frame.unit).min(4.0);
                    self.whisker(middle, lower, upper, Color::rgb(0x22, 0x22, 0x22), half);
                }
            }
        }
    }

    fn heat_map(&mut self, map: &'a HeatMap) {
        let [(x0, x1), (y0, y1)] = map.extent();
        let (Some(a), Some(b)) = (self.at(x0, y0), self.at(x1, y1)) else { return };
        let rect = Rect { x: a.0.min(b.0), y: a.1.min(b.1), w: (b.0 - a.0).abs(), h: (b.1 - a.1).abs() };
        let flip = |backwards| if backwards { Flip::Yes } else { Flip::No };
        let (flip_rows, flip_cols) = (flip(a.1 > b.1), flip(a.0 > b.0));
        self.out.push(Shape::Cells { rect, clip: self.frame.plot, map, flip_rows, flip_cols });
    }

    fn reference(&mut self, r: &Reference) {
        let plot = self.frame.plot;
        let ends = match r.at {
            ReferenceAt::X(v) => self.frame.x.px(v).map(|x| [(x, plot.y), (x, plot.bottom())]),
            ReferenceAt::Y(v) => self.frame.y.px(v).map(|y| [(plot.x, y), (plot.right(), y)]),
        };
        if let Some(ends) = ends {
            self.stroke(&ends, r.color, 1.2, r.dash);
        }
    }

    fn text(&mut self, t: &'a Text) {
        let (plot, unit, size) = (self.frame.plot, self.frame.unit, 11.0 * self.frame.unit);
        let Some((x, y)) = self.at(t.at.0, t.at.1).filter(|&p| plot.contains(p)) else { return };
        let most = (plot.right() - text::width(&t.text, size) - 2.0 * unit).max(plot.x);
        let (left, line) = ((x + 4.0 * unit).min(most), (y - 4.0 * unit).max(plot.y + size));
        self.out.push(Shape::Words { at: (left, line), markup: &t.text, size, color: t.color });
    }
}
