//! Rectangles, and clipping of lines and polygons to them.

/// An axis-aligned rectangle in pixels; y grows downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
    pub(crate) h: f64,
}

impl Rect {
    pub(crate) fn right(&self) -> f64 {
        self.x + self.w
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.h
    }

    pub(crate) fn center(&self) -> (f64, f64) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    pub(crate) fn contains(&self, (x, y): (f64, f64)) -> bool {
        // A hair of tolerance: an axis end computed from its own value must count as inside.
        (self.x - 0.01..=self.right() + 0.01).contains(&x) && (self.y - 0.01..=self.bottom() + 0.01).contains(&y)
    }

    /// The common part, if it has an area.
    pub(crate) fn intersection(&self, other: &Self) -> Option<Self> {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (w, h) = (self.right().min(other.right()) - x, self.bottom().min(other.bottom()) - y);
        (w > 0.0 && h > 0.0).then_some(Self { x, y, w, h })
    }

    /// The part of a segment within the rectangle (Liang–Barsky).
    pub(crate) fn clip_segment(&self, a: (f64, f64), b: (f64, f64)) -> Option<[(f64, f64); 2]> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for (slope, room) in
            [(-dx, a.0 - self.x), (dx, self.right() - a.0), (-dy, a.1 - self.y), (dy, self.bottom() - a.1)]
        {
            if slope == 0.0 {
                if room < 0.0 {
                    return None;
                }
            } else if slope < 0.0 {
                enter = enter.max(room / slope);
            } else {
                leave = leave.min(room / slope);
            }
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        (enter <= leave).then(|| [at(enter), at(leave)])
    }

    /// The pieces of a polyline within the rectangle.
    pub(crate) fn clip_polyline(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        for pair in points.windows(2) {
            let Some([a, b]) = self.clip_segment(pair[0], pair[1]) else { continue };
            match pieces.last_mut() {
                Some(piece) if piece.last() == Some(&a) => piece.push(b),
                _ => pieces.push(vec![a, b]),
            }
        }
        pieces
    }

    /// The part of a polygon within the rectangle (Sutherland–Hodgman); empty if there is none.
    pub(crate) fn clip_polygon(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let mut out = points.to_vec();
        let sides: [&dyn Fn((f64, f64)) -> f64; 4] =
            [&|p| p.0 - self.x, &|p| self.right() - p.0, &|p| p.1 - self.y, &|p| self.bottom() - p.1];
        for inside in sides {
            let input = std::mem::take(&mut out);
            for (k, &b) in input.iter().enumerate() {
                let a = input[(k + input.len() - 1) % input.len()];
                let (da, db) = (inside(a), inside(b));
                if (da >= 0.0) != (db >= 0.0) {
                    let t = da / (da - db);
                    out.push((a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1)));
                }
                if db >= 0.0 {
                    out.push(b);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Rect = Rect { x: 0.0, y: 0.0, w: 10.0, h: 10.0 };

    #[test]
    fn segments_are_cut_at_the_border_without_changing_direction() {
        assert_eq!(UNIT.clip_segment((-5.0, 5.0), (15.0, 5.0)), Some([(0.0, 5.0), (10.0, 5.0)]));
        assert_eq!(UNIT.clip_segment((5.0, 5.0), (5.0, 1e6)), Some([(5.0, 5.0), (5.0, 10.0)]));
        assert_eq!(UNIT.clip_segment((-5.0, -1.0), (15.0, -1.0)), None);
    }

    #[test]
    fn a_polyline_that_leaves_and_returns_has_two_pieces() {
        let pieces = UNIT.clip_polyline(&[(1.0, 1.0), (1.0, 20.0), (5.0, 20.0), (5.0, 1.0), (6.0, 1.0)]);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1], [(5.0, 10.0), (5.0, 1.0), (6.0, 1.0)]);
    }

    #[test]
    fn a_polygon_around_the_rectangle_becomes_the_rectangle() {
        let clipped = UNIT.clip_polygon(&[(-9.0, -9.0), (99.0, -9.0), (99.0, 99.0), (-9.0, 99.0)]);
        assert_eq!(clipped.len(), 4);
        assert!(clipped.iter().all(|&p| UNIT.contains(p)));
        assert!(UNIT.clip_polygon(&[(20.0, 0.0), (30.0, 0.0), (30.0, 5.0)]).is_empty());
    }
}
