//! What layers become on the page: a few kinds of shapes in pixels, shared by the SVG writer and the legend's
//! search for a free place, so that the two never disagree on where data lies.

use crate::geometry::Rect;
use crate::{Color, Dash, HeatMap, Marker};

/// One drawn thing of a panel, already cut to the plot area.
#[derive(Debug, Clone)]
pub(crate) enum Shape<'a> {
    /// Equal markers.
    Dots { points: Vec<(f64, f64)>, radius: f64, marker: Marker, color: Color, alpha: f64 },
    /// A polyline.
    Stroke { points: Vec<(f64, f64)>, color: Color, width: f64, dash: Dash },
    /// A filled polygon.
    Area { points: Vec<(f64, f64)>, color: Color, alpha: f64 },
    /// A filled rectangle.
    Block { rect: Rect, color: Color, alpha: f64 },
    /// A matrix stretched over `rect`, which may reach beyond the plot area `clip`.
    Cells { rect: Rect, clip: Rect, map: &'a HeatMap, flip_rows: Flip, flip_cols: Flip },
    /// Words whose first letter stands at `at` on the base line.
    Words { at: (f64, f64), markup: &'a str, size: f64, color: Color },
}

/// Whether an image is mirrored along one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flip {
    No,
    Yes,
}

/// The corner points of a marker, or `None` for a disc.
pub(crate) fn corners(marker: Marker, (x, y): (f64, f64), radius: f64) -> Option<Vec<(f64, f64)>> {
    let at = |pairs: &[(f64, f64)]| Some(pairs.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect());
    // Sizes chosen for areas near that of the disc.
    match marker {
        Marker::Circle => None,
        Marker::Square => at(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        Marker::Triangle => at(&[(0.0, -1.25), (1.15, 0.8), (-1.15, 0.8)]),
        Marker::Diamond => at(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
    }
}
