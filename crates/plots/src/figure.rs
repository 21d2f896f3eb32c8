//! A figure as a value: a grid of panels, each with two axes, layers, notes and a legend.

use crate::layers::Layer;
use crate::{PlotError, Scale};

/// A grid of panels under one title.
///
/// All text grows with the width, so that a figure shown at a page width of 900 pixels keeps every letter at
/// 11 pixels or more, whatever its own width: a larger `size` buys room only by its aspect ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Title above the grid, and the SVG's accessible name; may be empty.
    pub title: String,
    /// Rows of the grid.
    pub rows: usize,
    /// Columns of the grid.
    pub cols: usize,
    /// The panels, row by row; cells left over at the end stay blank.
    pub panels: Vec<Panel>,
    /// Size in pixels of the SVG; the PNG has twice as many each way.
    pub size: Size,
    /// One legend per panel, or one for the figure.
    pub legends: Legends,
}

impl Figure {
    /// A figure 900 pixels wide with panels of a usual shape and a legend in each panel.
    pub fn new(title: impl Into<String>, rows: usize, cols: usize, panels: Vec<Panel>) -> Self {
        let row_height = match cols {
            0 | 1 => 420.0,
            2 => 370.0,
            3 => 300.0,
            _ => 250.0,
        };
        let size = Size { width: 900.0, height: rows.max(1) as f64 * row_height + 40.0 };
        Self { title: title.into(), rows, cols, panels, size, legends: Legends::PerPanel }
    }

    pub(crate) fn check(&self) -> Result<(), PlotError> {
        let Self { rows, cols, size: Size { width, height }, .. } = *self;
        if rows == 0 || cols == 0 {
            return Err(PlotError::EmptyGrid { rows, cols });
        }
        if self.panels.is_empty() || self.panels.len() > rows * cols {
            return Err(PlotError::PanelCount { rows, cols, found: self.panels.len() });
        }
        if !(100.0..=10_000.0).contains(&width) || !(100.0..=10_000.0).contains(&height) {
            return Err(PlotError::InvalidSize { width, height });
        }
        for (panel, p) in self.panels.iter().enumerate() {
            p.x.check(panel)?;
            p.y.check(panel)?;
            let linear = |axis: &Axis| axis.scale == Scale::Linear;
            let holds = |kind: fn(&Layer) -> bool| p.layers.iter().any(kind);
            if holds(|l| matches!(l, Layer::HeatMap(_))) && !(linear(&p.x) && linear(&p.y)) {
                return Err(PlotError::NotLinear { panel, layer: "heat maps", needs: "linear axes" });
            }
            if holds(|l| matches!(l, Layer::Bars(_))) && !linear(&p.x) {
                return Err(PlotError::NotLinear { panel, layer: "bars", needs: "a linear x axis" });
            }
            for (layer, l) in p.layers.iter().enumerate() {
                l.check(panel, layer)?;
            }
        }
        Ok(())
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Width, 100 to 10,000.
    pub width: f64,
    /// Height, 100 to 10,000.
    pub height: f64,
}

/// Where the meaning of colours, markers and dashes is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legends {
    /// In each panel where no data lies; below the panel when there is no such place.
    PerPanel,
    /// Once, below the grid; entries that look and read the same are listed once.
    Shared,
    /// Nowhere.
    Hidden,
}

/// One plot: axes, layers drawn in order, and notes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Title above the plot; may be empty.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// What is drawn, the first at the bottom.
    pub layers: Vec<Layer>,
    /// Boxed remarks, such as a fitted exponent.
    pub notes: Vec<Note>,
    /// Shape of the plot area.
    pub aspect: Aspect,
}

impl Panel {
    /// A panel of free shape without notes.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis, layers: Vec<Layer>) -> Self {
        Self { title: title.into(), x, y, layers, notes: Vec::new(), aspect: Aspect::Free }
    }

    /// A panel for matrices: square cells, the first row at the top, axes counting rows and columns from 1.
    pub fn matrix(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>, layers: Vec<Layer>) -> Self {
        let y = Axis { direction: Direction::Decreasing, ..Axis::linear(y) };
        Self { aspect: Aspect::Equal, ..Self::new(title, Axis::linear(x), y, layers) }
    }
}

/// Shape of a plot area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Fills its cell of the grid.
    Free,
    /// One unit (on log axes: one decade) is equally long on both axes; the plot may leave part of its cell empty.
    Equal,
}

/// An axis: title, scale, window, direction and marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Title with its unit, e.g. `H_{ii} (loss per weight²)`; may be empty.
    pub label: String,
    /// How values become lengths.
    pub scale: Scale,
    /// Which values are shown.
    pub range: Range,
    /// Which way values grow.
    pub direction: Direction,
    /// Which values are marked.
    pub ticks: TickMarks,
}

impl Axis {
    /// A linear axis around its data.
    pub fn linear(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            scale: Scale::Linear,
            range: Range::Auto,
            direction: Direction::Increasing,
            ticks: TickMarks::Auto,
        }
    }

    /// A base-10 logarithmic axis around its positive data.
    pub fn log10(label: impl Into<String>) -> Self {
        Self { scale: Scale::Log10, ..Self::linear(label) }
    }

    /// A symmetric-logarithmic axis around its data, linear within `±linthresh`.
    pub fn symlog(label: impl Into<String>, linthresh: f64) -> Self {
        Self { scale: Scale::SymLog { linthresh }, ..Self::linear(label) }
    }

    /// The same axis, showing `min` to `max`.
    pub fn within(self, min: f64, max: f64) -> Self {
        Self { range: Range::Fixed { min, max }, ..self }
    }

    fn check(&self, panel: usize) -> Result<(), PlotError> {
        check_scale(panel, self.scale)?;
        if let Range::Fixed { min, max } = self.range {
            let ends = (self.scale.forward(min), self.scale.forward(max));
            if !matches!(ends, (Some(lo), Some(hi)) if lo < hi) {
                return Err(PlotError::InvalidNumber {
                    panel,
                    field: "axis range",
                    found: format!("{min} to {max}"),
                    expected: "finite, increasing and, on a log axis, positive",
                });
            }
        }
        Ok(())
    }
}

pub(crate) fn check_scale(panel: usize, scale: Scale) -> Result<(), PlotError> {
    match scale {
        Scale::SymLog { linthresh } if !(linthresh > 0.0 && linthresh < 1e300) => Err(PlotError::InvalidNumber {
            panel,
            field: "linthresh",
            found: linthresh.to_string(),
            expected: "finite and positive",
        }),
        _ => Ok(()),
    }
}

/// The window of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// All data, with a little room.
    Auto,
    /// From `min` to `max`; data outside is cut off and [counted](crate::Rendered::hidden).
    Fixed {
        /// Least value shown.
        min: f64,
        /// Greatest value shown.
        max: f64,
    },
}

/// Which way an axis grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the right, or upwards.
    Increasing,
    /// To the left, or downwards (the rows of a matrix).
    Decreasing,
}

/// The marks of an axis.
#[derive(Debug, Clone, PartialEq)]
pub enum TickMarks {
    /// Chosen by scale, window and space; [`Bars`](crate::Bars) name their categories.
    Auto,
    /// These values with these words.
    Named(Vec<(f64, String)>),
}

/// A boxed remark inside a panel, e.g. `γ = 1.23 ± 0.02\nR² = 0.98`.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The text; a line break starts a new line.
    pub text: String,
    /// Where it goes.
    pub place: Place,
}

impl Note {
    /// A note where no data lies; above the plot when there is no such place.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: Place::Auto }
    }
}

/// The place of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first place along the border without data; above the plot if there is none.
    Auto,
    /// That corner, whatever lies there.
    TopLeft,
    /// That corner, whatever lies there.
    TopRight,
    /// That corner, whatever lies there.
    BottomLeft,
    /// That corner, whatever lies there.
    BottomRight,
}
