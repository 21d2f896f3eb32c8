//! What a panel's data span, and what of it cannot be shown.

use crate::figure::Range;
use crate::layers::{BinHeight, Bins, Histogram, Layer, ReferenceAt};
use crate::scale::{Scale, window};
use crate::{Axis, Panel};

/// The spread of a panel's data in transformed units.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    x: Spread,
    y: Spread,
    /// Something other than guides, reference lines and words can be drawn.
    pub(crate) has_data: bool,
    /// Points that an axis cannot show.
    pub(crate) dropped: usize,
}

#[derive(Debug, Clone, Default)]
struct Spread {
    ends: Option<(f64, f64)>,
    /// Ends that must be met exactly (zero below bars, borders of a matrix).
    pinned: [bool; 2],
}

impl Spread {
    fn add(&mut self, t: f64) {
        let (lo, hi) = self.ends.unwrap_or((t, t));
        self.ends = Some((lo.min(t), hi.max(t)));
    }
}

/// Surveys all layers of a panel.
pub(crate) fn survey(panel: &Panel) -> Survey {
    let mut out = Survey::default();
    panel.layers.iter().for_each(|layer| out.add(layer, panel));
    if panel.layers.iter().any(|l| matches!(l, Layer::HeatMap(_))) {
        (out.x.pinned, out.y.pinned) = ([true; 2], [true; 2]);
    }
    out
}

impl Survey {
    pub(crate) fn x_window(&self, axis: &Axis) -> (f64, f64) {
        self.x.window(axis)
    }

    pub(crate) fn y_window(&self, axis: &Axis) -> (f64, f64) {
        self.y.window(axis)
    }

    /// Adds a point, or counts it as dropped.
    fn point(&mut self, panel: &Panel, x: f64, y: f64) -> bool {
        let (tx, ty) = (panel.x.scale.forward(x), panel.y.scale.forward(y));
        let (Some(tx), Some(ty)) = (tx, ty) else {
            self.dropped += 1;
            return false;
        };
        self.x.add(tx);
        self.y.add(ty);
        self.has_data = true;
        true
    }

    /// Adds the ends of an interval where they can be shown; a non-finite one counts as dropped.
    fn interval(&mut self, panel: &Panel, lower: f64, upper: f64) {
        if !lower.is_finite() || !upper.is_finite() {
            self.dropped += 1;
            return;
        }
        [lower, upper].into_iter().filter_map(|v| panel.y.scale.forward(v)).for_each(|t| self.y.add(t));
    }

    fn add(&mut self, layer: &Layer, panel: &Panel) {
        match layer {
            Layer::Scatter(s) => s.x.iter().zip(&s.y).for_each(|(&x, &y)| {
                self.point(panel, x, y);
            }),
            Layer::Line(l) => {
                for (k, (&x, &y)) in l.x.iter().zip(&l.y).enumerate() {
                    if self.point(panel, x, y)
                        && let Some(band) = &l.band
                    {
                        self.interval(panel, band.lower[k], band.upper[k]);
                    }
                }
            }
            Layer::ErrorBars(e) => {
                for (k, (&x, &y)) in e.x.iter().zip(&e.y).enumerate() {
                    if self.point(panel, x, y) {
                        self.interval(panel, e.lower[k], e.upper[k]);
                    }
                }
            }
            Layer::Fill(f) => {
                for (k, &x) in f.x.iter().enumerate() {
                    match panel.x.scale.forward(x) {
                        Some(t) if f.lower[k].is_finite() && f.upper[k].is_finite() => {
                            self.x.add(t);
                            self.interval(panel, f.lower[k], f.upper[k]);
                            self.has_data = true;
                        }
                        _ => self.dropped += 1,
                    }
                }
            }
            Layer::Histogram(h) => {
                let binned = bin(h, panel.x.scale);
                self.dropped += binned.dropped;
                if binned.kept == 0 {
                    return;
                }
                self.has_data = true;
                binned.edges.iter().for_each(|&t| self.x.add(t));
                self.baseline(panel);
                for height in binned.heights(h.height).filter(|&v| v > 0.0) {
                    if let Some(t) = panel.y.scale.forward(height) {
                        self.y.add(t);
                    }
                }
            }
            Layer::Bars(b) => {
                for group in &b.groups {
                    for (k, &value) in group.values.iter().enumerate() {
                        if self.point(panel, k as f64, value)
                            && let Some(errors) = &group.errors
                        {
                            self.interval(panel, value - errors[k], value + errors[k]);
                        }
                    }
                }
                if self.has_data {
                    self.baseline(panel);
                    for end in [-0.5, b.categories.len() as f64 - 0.5] {
                        self.x.ends.is_some().then(|| self.x.add(end));
                    }
                    self.x.pinned = [true; 2];
                }
            }
            Layer::HeatMap(map) => {
                self.dropped += map.dropped();
                let [(x0, x1), (y0, y1)] = map.extent();
                [x0, x1].into_iter().for_each(|t| self.x.add(t));
                [y0, y1].into_iter().for_each(|t| self.y.add(t));
                self.has_data |= map.has_data();
            }
            Layer::Reference(r) => {
                let (spread, scale, value) = match r.at {
                    ReferenceAt::X(v) => (&mut self.x, panel.x.scale, v),
                    ReferenceAt::Y(v) => (&mut self.y, panel.y.scale, v),
                };
                match scale.forward(value) {
                    Some(t) => spread.add(t),
                    None => self.dropped += 1,
                }
            }
            Layer::Guide(g) => self.mark(panel, g.through, g.slope.is_finite()),
            Layer::Text(text) => self.mark(panel, text.at, true),
        }
    }

    /// Counts a guide or words that cannot be placed; they do not widen the window.
    fn mark(&mut self, panel: &Panel, (x, y): (f64, f64), valid: bool) {
        if !valid || panel.x.scale.forward(x).is_none() || panel.y.scale.forward(y).is_none() {
            self.dropped += 1;
        }
    }

    /// Bars stand on zero where the axis has one.
    fn baseline(&mut self, panel: &Panel) {
        if panel.y.scale == Scale::Log10 {
            return;
        }
        self.y.add(0.0);
        // The end at zero gets no room; both ends may be zero when all bars are.
        let (lo, hi) = self.y.ends.unwrap_or_default();
        self.y.pinned = [lo == 0.0, hi == 0.0 && lo < 0.0];
    }
}

impl Spread {
    /// The axis window in transformed units.
    fn window(&self, axis: &Axis) -> (f64, f64) {
        if let Range::Fixed { min, max } = axis.range
            && let (Some(lo), Some(hi)) = (axis.scale.forward(min), axis.scale.forward(max))
        {
            return (lo, hi);
        }
        let (lo, hi) = self.ends.unwrap_or((0.0, 1.0));
        // Later layers may have moved an end that an earlier one pinned to zero.
        let pinned = [self.pinned[0] && lo <= 0.5, self.pinned[1]];
        window(axis.scale, lo, hi, pinned)
    }
}

/// A histogram's bins in transformed units.
pub(crate) struct Binned {
    pub(crate) edges: Vec<f64>,
    counts: Vec<usize>,
    kept: usize,
    dropped: usize,
}

impl Binned {
    pub(crate) fn heights(&self, height: BinHeight) -> impl Iterator<Item = f64> + '_ {
        let unit = match height {
            BinHeight::Count => 1.0,
            BinHeight::Share => self.kept.max(1) as f64,
        };
        self.counts.iter().map(move |&n| n as f64 / unit)
    }
}

/// Sorts values into bins of equal length on the axis, or between given edges.
pub(crate) fn bin(h: &Histogram, scale: Scale) -> Binned {
    let positions: Vec<f64> = h.values.iter().filter_map(|&v| scale.forward(v)).collect();
    let (lo, hi) = positions.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &t| (a.min(t), b.max(t)));
    let edges: Vec<f64> = match &h.bins {
        Bins::Edges(edges) => edges.iter().filter_map(|&e| scale.forward(e)).collect(),
        Bins::Count(_) if positions.is_empty() => Vec::new(),
        Bins::Count(n) => {
            let (lo, hi) = if lo < hi { (lo, hi) } else { window(scale, lo, hi, [false; 2]) };
            (0..=*n).map(|k| lo + (hi - lo) * (k as f64 / *n as f64)).collect()
        }
    };
    let mut counts = vec![0; edges.len().saturating_sub(1)];
    for &t in &positions {
        let after = edges.partition_point(|&e| e <= t);
        let last = edges.last().copied();
        match after {
            0 => {}
            _ if after < edges.len() => counts[after - 1] += 1,
            // Rounding may put the greatest value a hair beyond its edge.
            _ if last.is_some_and(|e| t <= e) || matches!(h.bins, Bins::Count(_)) => {
                if let Some(count) = counts.last_mut() {
                    *count += 1;
                }
            }
            _ => {}
        }
    }
    let kept = counts.iter().sum();
    Binned { edges, counts, kept, dropped: h.values.len() - kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorBars, Guide, Line, Scatter};

    fn on_log(layers: Vec<Layer>) -> Survey {
        survey(&Panel::new("", Axis::log10("x"), Axis::log10("y"), layers))
    }

    #[test]
    fn every_unshowable_point_is_counted_once() {
        let bad = vec![1.0, f64::NAN, 0.0, -1.0, f64::INFINITY];
        let s = on_log(vec![Scatter::new("", bad.clone(), vec![1.0, f64::NAN, 1.0, 1.0, 1.0]).into()]);
        assert_eq!((s.dropped, s.has_data), (4, true));
        let linear = Panel::new("", Axis::linear(""), Axis::linear(""), vec![Line::new("", bad.clone(), bad).into()]);
        assert_eq!(survey(&linear).dropped, 2);
        assert_eq!(on_log(vec![Guide::new(1.0, (0.0, 1.0)).into()]).dropped, 1);
    }

    #[test]
    fn a_bar_that_reaches_below_a_log_axis_keeps_its_point() {
        let s = on_log(vec![ErrorBars::symmetric("", vec![1.0], vec![1.0], &[2.0]).into()]);
        assert_eq!((s.dropped, s.has_data), (0, true));
        let s = on_log(vec![ErrorBars::symmetric("", vec![1.0], vec![1.0], &[f64::NAN]).into()]);
        assert_eq!((s.dropped, s.has_data), (1, true));
    }

    #[test]
    fn bins_hold_every_value_within_their_edges() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        let binned = bin(&Histogram::new("", values.clone(), 10), Scale::Linear);
        assert_eq!(binned.counts, [10, 10, 10, 10, 10, 10, 10, 10, 10, 11]);
        let log = bin(&Histogram::new("", values.clone(), 7), Scale::Log10);
        assert_eq!((log.kept, log.dropped), (100, 1));
        let edges = Histogram { bins: Bins::Edges(vec![0.0, 1.0, 2.0]), ..Histogram::new("", values, 1) };
        let binned = bin(&edges, Scale::Linear);
        assert_eq!((binned.counts.as_slice(), binned.dropped), (&[1, 2][..], 98));
    }
}
