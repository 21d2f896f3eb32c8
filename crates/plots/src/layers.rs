//! The kinds of layers a panel can hold.
//!
//! Every layer is a plain struct with public fields: `new` takes the data and fills in the looks, which a struct
//! update changes: `Scatter { color: Color::GREEN, ..Scatter::new("C on H", x, y) }`. An empty `label` keeps a layer
//! out of the legend. Points that an axis cannot show (non-finite, or ≤ 0 on a log axis) are
//! [dropped and counted](crate::Rendered::dropped).

use crate::{Color, HeatMap, PlotError};

/// One layer of a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// Points.
    Scatter(Scatter),
    /// A curve, possibly with a band around it.
    Line(Line),
    /// A straight line of given slope through a point.
    Guide(Guide),
    /// Points with error bars.
    ErrorBars(ErrorBars),
    /// The region between two curves.
    Fill(Fill),
    /// Counts or shares of values in bins.
    Histogram(Histogram),
    /// Grouped bars over named categories.
    Bars(Bars),
    /// A matrix as colours.
    HeatMap(HeatMap),
    /// A line across the panel at one value.
    Reference(Reference),
    /// Words at a point.
    Text(Text),
}

macro_rules! into_layer {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Self::$kind(layer)
            }
        }
    )*};
}
into_layer!(Scatter, Line, Guide, ErrorBars, Fill, Histogram, Bars, HeatMap, Reference, Text);

impl Layer {
    pub(crate) fn check(&self, panel: usize, layer: usize) -> Result<(), PlotError> {
        let same = |field, expected, found| match expected == found {
            true => Ok(()),
            false => Err(PlotError::LengthMismatch { panel, layer, field, expected, found }),
        };
        match self {
            Self::Scatter(s) => same("y", s.x.len(), s.y.len()),
            Self::Line(l) => {
                same("y", l.x.len(), l.y.len())?;
                l.band.as_ref().map_or(Ok(()), |band| {
                    same("band.lower", l.x.len(), band.lower.len())?;
                    same("band.upper", l.x.len(), band.upper.len())
                })
            }
            Self::ErrorBars(e) => {
                same("y", e.x.len(), e.y.len())?;
                same("lower", e.x.len(), e.lower.len())?;
                same("upper", e.x.len(), e.upper.len())
            }
            Self::Fill(f) => {
                same("lower", f.x.len(), f.lower.len())?;
                same("upper", f.x.len(), f.upper.len())
            }
            Self::Bars(b) => b.groups.iter().try_for_each(|group| {
                same("values", b.categories.len(), group.values.len())?;
                group.errors.as_ref().map_or(Ok(()), |e| same("errors", b.categories.len(), e.len()))
            }),
            Self::Histogram(h) => h.check(panel),
            Self::HeatMap(map) => map.colors.check(panel),
            Self::Guide(_) | Self::Reference(_) | Self::Text(_) => Ok(()),
        }
    }
}

/// Shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Disc.
    Circle,
    /// Square.
    Square,
    /// Triangle, point up.
    Triangle,
    /// Square on its corner.
    Diamond,
}

/// Pattern of a stroke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    /// Unbroken.
    Solid,
    /// Long strokes.
    Dashed,
    /// Dots.
    Dotted,
    /// Strokes and dots in turn.
    DashDot,
}

/// Points `(x, y)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Legend text.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, as many.
    pub y: Vec<f64>,
    /// Colour.
    pub color: Color,
    /// Shape.
    pub marker: Marker,
    /// Radius in pixels at a figure width of 900; points of small plots are drawn smaller.
    pub radius: f64,
    /// Opacity in `(0, 1]`; dense regions of translucent points look darker.
    pub alpha: f64,
}

impl Scatter {
    /// Blue translucent discs; smaller and fainter when there are many.
    pub fn new(label: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        let (radius, alpha) = match x.len() {
            0..=60 => (3.2, 0.85),
            61..=400 => (2.4, 0.6),
            _ => (1.9, 0.42),
        };
        Self { label: label.into(), x, y, color: Color::BLUE, marker: Marker::Circle, radius, alpha }
    }
}

/// A curve through `(x, y)` in the given order; it breaks where a point is dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Legend text.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, as many.
    pub y: Vec<f64>,
    /// Shaded interval around the curve.
    pub band: Option<Band>,
    /// Colour of curve, band and markers.
    pub color: Color,
    /// Stroke width in pixels at a figure width of 900.
    pub width: f64,
    /// Stroke pattern.
    pub dash: Dash,
    /// Marks at the points.
    pub marker: Option<Marker>,
}

impl Line {
    /// A solid blue curve.
    pub fn new(label: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        let label = label.into();
        Self { label, x, y, band: None, color: Color::BLUE, width: 1.6, dash: Dash::Solid, marker: None }
    }
}

/// An interval for each point of a [`Line`], such as mean ± one standard deviation.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Lower ends; on a log axis ends ≤ 0 lie at the bottom of the plot.
    pub lower: Vec<f64>,
    /// Upper ends.
    pub upper: Vec<f64>,
}

/// A line of given slope through a point, across the whole panel. It does not widen an automatic range.
///
/// On two log axes the slope is an exponent: `y ∝ x^slope`. On other scales it is the ratio of the axes' own
/// (transformed) units.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// Legend text.
    pub label: String,
    /// Slope in transformed units.
    pub slope: f64,
    /// A point on it, in data units.
    pub through: (f64, f64),
    /// Colour.
    pub color: Color,
    /// Stroke pattern.
    pub dash: Dash,
}

impl Guide {
    /// A grey dashed guide named `slope …`.
    pub fn new(slope: f64, through: (f64, f64)) -> Self {
        Self { label: format!("slope {slope}"), slope, through, color: Color::GREY, dash: Dash::Dashed }
    }
}

/// Points with vertical bars from `lower` to `upper`.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBars {
    /// Legend text.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates of the points.
    pub y: Vec<f64>,
    /// Lower ends of the bars, in data units; on a log axis ends ≤ 0 reach the bottom of the plot.
    pub lower: Vec<f64>,
    /// Upper ends of the bars, in data units.
    pub upper: Vec<f64>,
    /// Colour.
    pub color: Color,
    /// Shape of the points.
    pub marker: Marker,
}

impl ErrorBars {
    /// Bars of half-length `half` on both sides of `y`. A missing `half` leaves a length mismatch for
    /// [`render`](crate::render) to report.
    pub fn symmetric(label: impl Into<String>, x: Vec<f64>, y: Vec<f64>, half: &[f64]) -> Self {
        let lower = y.iter().zip(half).map(|(y, h)| y - h).collect();
        let upper = y.iter().zip(half).map(|(y, h)| y + h).collect();
        Self { label: label.into(), x, y, lower, upper, color: Color::BLUE, marker: Marker::Circle }
    }
}

/// The region between two curves over the same abscissae, such as the wedge of an inequality.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// Legend text.
    pub label: String,
    /// Abscissae in increasing order.
    pub x: Vec<f64>,
    /// Lower curve; on a log axis values ≤ 0 lie at the bottom of the plot.
    pub lower: Vec<f64>,
    /// Upper curve.
    pub upper: Vec<f64>,
    /// Colour.
    pub color: Color,
    /// Opacity in `(0, 1]`.
    pub alpha: f64,
}

impl Fill {
    /// A pale grey region.
    pub fn new(label: impl Into<String>, x: Vec<f64>, lower: Vec<f64>, upper: Vec<f64>) -> Self {
        Self { label: label.into(), x, lower, upper, color: Color::GREY, alpha: 0.15 }
    }
}

/// How many of the values lie in each bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Legend text.
    pub label: String,
    /// The values.
    pub values: Vec<f64>,
    /// The bins.
    pub bins: Bins,
    /// What a bar's height means.
    pub height: BinHeight,
    /// Colour.
    pub color: Color,
}

impl Histogram {
    /// Counts in `n` bins.
    pub fn new(label: impl Into<String>, values: Vec<f64>, n: usize) -> Self {
        Self { label: label.into(), values, bins: Bins::Count(n), height: BinHeight::Count, color: Color::BLUE }
    }

    fn check(&self, panel: usize) -> Result<(), PlotError> {
        let (field, found) = match &self.bins {
            Bins::Count(n) if (1..=10_000).contains(n) => return Ok(()),
            Bins::Count(n) => ("bins", n.to_string()),
            Bins::Edges(edges)
                if edges.len() >= 2 && edges.is_sorted_by(|a, b| a < b) && edges.iter().all(|e| e.is_finite()) =>
            {
                return Ok(());
            }
            Bins::Edges(edges) => ("bin edges", format!("{edges:?}")),
        };
        let expected = "1 to 10000 bins, or at least two finite, increasing edges";
        Err(PlotError::InvalidNumber { panel, field, found, expected })
    }
}

/// The bins of a [`Histogram`]; each holds its lower edge, the last one its upper edge too.
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// So many bins of equal length on the axis (equal ratios on a log axis) from the least value to the greatest.
    Count(usize),
    /// These edges; values outside count as dropped.
    Edges(Vec<f64>),
}

/// What the height of a [`Histogram`] bar means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinHeight {
    /// Number of values.
    Count,
    /// Number of values over the number of all values kept.
    Share,
}

/// Bars over named categories, side by side for each group. Categories sit at 0, 1, 2, … on the x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// Names below the groups of bars.
    pub categories: Vec<String>,
    /// The groups, each with its colour and legend text.
    pub groups: Vec<BarGroup>,
}

/// One bar for each category.
#[derive(Debug, Clone, PartialEq)]
pub struct BarGroup {
    /// Legend text.
    pub label: String,
    /// Heights, one for each category; a non-finite one is dropped and counted.
    pub values: Vec<f64>,
    /// Half-lengths of error bars, one for each category.
    pub errors: Option<Vec<f64>>,
    /// Colour.
    pub color: Color,
}

/// A line across the whole panel at one value; it widens an automatic range so that it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Legend text.
    pub label: String,
    /// Which way it runs, and the value it stands at.
    pub at: ReferenceAt,
    /// Colour.
    pub color: Color,
    /// Stroke pattern.
    pub dash: Dash,
}

/// Position of a [`Reference`] line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReferenceAt {
    /// Horizontal, at this ordinate.
    Y(f64),
    /// Vertical, at this abscissa.
    X(f64),
}

impl Reference {
    /// A grey dotted line.
    pub fn new(label: impl Into<String>, at: ReferenceAt) -> Self {
        Self { label: label.into(), at, color: Color::GREY, dash: Dash::Dotted }
    }
}

/// Words beside a point in data units; moved inwards where they would leave the plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// The words.
    pub text: String,
    /// The point.
    pub at: (f64, f64),
    /// Colour.
    pub color: Color,
}

impl Text {
    /// Dark grey words just above and to the right of `at`.
    pub fn new(text: impl Into<String>, at: (f64, f64)) -> Self {
        Self { text: text.into(), at, color: Color::GREY }
    }
}
