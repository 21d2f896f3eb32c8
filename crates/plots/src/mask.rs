//! Where data lies in a plot area, to find places where a legend covers none.

use crate::geometry::Rect;
use crate::shape::Shape;
use crate::text;

/// A coarse grid over a plot area whose squares are marked when data touches them.
#[derive(Debug, Clone)]
pub(crate) struct Mask {
    plot: Rect,
    side: f64,
    /// Distance kept between data and whatever is placed.
    clearance: f64,
    cols: usize,
    marked: Vec<bool>,
}

impl Mask {
    /// The mask of `shapes`, with squares of two nominal pixels.
    pub(crate) fn of(shapes: &[Shape<'_>], plot: Rect, unit: f64) -> Self {
        let side = 2.0 * unit;
        let (cols, rows) = ((plot.w / side).ceil() as usize, (plot.h / side).ceil() as usize);
        let mut mask = Self { plot, side, clearance: 2.5 * unit, cols, marked: vec![false; cols * rows] };
        shapes.iter().for_each(|shape| mask.add(shape));
        mask
    }

    fn add(&mut self, shape: &Shape<'_>) {
        match shape {
            Shape::Dots { points, radius, .. } => {
                let reach = radius * 1.3;
                for &(x, y) in points {
                    self.mark(Rect { x: x - reach, y: y - reach, w: 2.0 * reach, h: 2.0 * reach });
                }
            }
            Shape::Stroke { points, width, .. } => {
                for pair in points.windows(2) {
                    let (dx, dy) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
                    let steps = (dx.hypot(dy) / self.side).ceil().max(1.0) as usize;
                    for k in 0..=steps {
                        let t = k as f64 / steps as f64;
                        let (x, y) = (pair[0].0 + t * dx, pair[0].1 + t * dy);
                        self.mark(Rect { x: x - width / 2.0, y: y - width / 2.0, w: *width, h: *width });
                    }
                }
            }
            Shape::Area { points, .. } => self.mark_polygon(points),
            Shape::Block { rect, .. } => self.mark(*rect),
            Shape::Cells { rect, .. } => self.mark(*rect),
            Shape::Words { at: (x, y), markup, size, .. } => {
                let h = (text::CAP + text::DEPTH) * size;
                self.mark(Rect { x: *x, y: y - text::CAP * size, w: text::width(markup, *size), h });
            }
        }
    }

    /// Marks a rectangle and the clearance around it.
    pub(crate) fn mark(&mut self, rect: Rect) {
        let c = self.clearance;
        let grown = Rect { x: rect.x - c, y: rect.y - c, w: rect.w + 2.0 * c, h: rect.h + 2.0 * c };
        for row in self.rows(&grown) {
            for col in self.columns(&grown) {
                self.marked[row * self.cols + col] = true;
            }
        }
    }

    /// Marks the inside of a polygon, row by row (even–odd rule).
    fn mark_polygon(&mut self, points: &[(f64, f64)]) {
        for row in 0..self.marked.len() / self.cols.max(1) {
            let y = self.plot.y + (row as f64 + 0.5) * self.side;
            let mut crossings = Vec::new();
            for (k, &b) in points.iter().enumerate() {
                let a = points[(k + points.len() - 1) % points.len()];
                if (a.1 <= y) != (b.1 <= y) {
                    crossings.push(a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0));
                }
            }
            crossings.sort_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                self.mark(Rect { x: pair[0], y, w: pair[1] - pair[0], h: 0.0 });
            }
        }
    }

    /// The first place along the border of the plot area where a box of `size` covers nothing marked: corners
    /// first, then the sides.
    pub(crate) fn free_place(&self, size: (f64, f64), inset: f64) -> Option<Rect> {
        let (w, h) = size;
        let (room_x, room_y) = (self.plot.w - 2.0 * inset - w, self.plot.h - 2.0 * inset - h);
        if room_x < 0.0 || room_y < 0.0 {
            return None;
        }
        const CORNERS: [(f64, f64); 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        const STEPS: i32 = 12;
        let along = (1..STEPS).map(|k| f64::from(k) / f64::from(STEPS));
        let sides = along.flat_map(|t| [(t, 0.0), (t, 1.0), (0.0, t), (1.0, t)]);
        let at = |(fx, fy): (f64, f64)| Rect {
            x: self.plot.x + inset + fx * room_x,
            y: self.plot.y + inset + fy * room_y,
            w,
            h,
        };
        CORNERS.into_iter().chain(sides).map(at).find(|rect| self.is_free(rect))
    }

    fn is_free(&self, rect: &Rect) -> bool {
        self.rows(rect).all(|row| self.columns(rect).all(|col| !self.marked[row * self.cols + col]))
    }

    fn columns(&self, rect: &Rect) -> std::ops::Range<usize> {
        let from = ((rect.x - self.plot.x) / self.side).floor().max(0.0) as usize;
        from..(((rect.right() - self.plot.x) / self.side).ceil().max(0.0) as usize).min(self.cols)
    }

    fn rows(&self, rect: &Rect) -> std::ops::Range<usize> {
        let from = ((rect.y - self.plot.y) / self.side).floor().max(0.0) as usize;
        let rows = self.marked.len() / self.cols.max(1);
        from..(((rect.bottom() - self.plot.y) / self.side).ceil().max(0.0) as usize).min(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Color, Dash, Marker};
    use proptest::prelude::*;

    const PLOT: Rect = Rect { x: 20.0, y: 10.0, w: 300.0, h: 200.0 };

    fn dots(points: Vec<(f64, f64)>) -> Shape<'static> {
        Shape::Dots { points, radius: 2.0, marker: Marker::Circle, color: Color::BLUE, alpha: 1.0 }
    }

    #[test]
    fn corners_come_first_and_a_full_plot_has_no_place() {
        let diagonal = Shape::Stroke {
            points: vec![(20.0, 10.0), (320.0, 210.0)],
            color: Color::BLUE,
            width: 1.0,
            dash: Dash::Solid,
        };
        let place = Mask::of(&[diagonal], PLOT, 1.0).free_place((80.0, 50.0), 6.0).unwrap();
        assert_eq!((place.right(), place.y), (PLOT.right() - 6.0, PLOT.y + 6.0));
        let corners =
            vec![(PLOT.x, PLOT.y), (PLOT.right(), PLOT.y), (PLOT.right(), PLOT.bottom()), (PLOT.x, PLOT.bottom())];
        let full = Shape::Area { points: corners, color: Color::BLUE, alpha: 0.1 };
        assert_eq!(Mask::of(&[full], PLOT, 1.0).free_place((80.0, 50.0), 6.0), None);
        assert_eq!(Mask::of(&[], PLOT, 1.0).free_place((295.0, 50.0), 6.0), None);
    }

    proptest! {
        #[test]
        fn a_place_covers_no_point(points in prop::collection::vec((20f64..320.0, 10f64..210.0), 0..120)) {
            if let Some(r) = Mask::of(&[dots(points.clone())], PLOT, 1.0).free_place((90.0, 40.0), 6.0) {
                for (x, y) in points {
                    let outside = x + 2.0 < r.x || x - 2.0 > r.right() || y + 2.0 < r.y || y - 2.0 > r.bottom();
                    prop_assert!(outside, "({x}, {y}) under {r:?}");
                }
            }
        }
    }
}
