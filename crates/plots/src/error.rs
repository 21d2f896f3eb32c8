//! What can be wrong with a figure's description.

/// Why a figure could not be drawn. Panels and layers are counted from 0, panels row by row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlotError {
    /// The grid has no cell.
    #[error("the grid of panels is empty: {rows} rows × {cols} columns")]
    EmptyGrid {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// There are no panels, or more than cells.
    #[error("{found} panels for a grid of {rows} × {cols}: expected 1 to {}", rows * cols)]
    PanelCount {
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        cols: usize,
        /// Panels given.
        found: usize,
    },
    /// Two series of one layer differ in length.
    #[error("panel {panel}, layer {layer}: `{field}` has {found} values, expected {expected}")]
    LengthMismatch {
        /// Panel index.
        panel: usize,
        /// Layer index in the panel.
        layer: usize,
        /// The series with the wrong length.
        field: &'static str,
        /// Length of the layer's first series.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// A matrix whose number of values is not rows × columns, or with no cell.
    #[error("a heat map of {rows} × {cols} has {found} values")]
    HeatMapShape {
        /// Rows stated.
        rows: usize,
        /// Columns stated.
        cols: usize,
        /// Values given.
        found: usize,
    },
    /// A layer on an axis that must be linear and is not.
    #[error("panel {panel}: {layer} need {needs}")]
    NotLinear {
        /// Panel index.
        panel: usize,
        /// The kind of layer.
        layer: &'static str,
        /// Which axes must be linear.
        needs: &'static str,
    },
    /// A number that must be finite, positive or ordered is not.
    #[error("panel {panel}: `{field}` is {found}, expected {expected}")]
    InvalidNumber {
        /// Panel index.
        panel: usize,
        /// What the number is.
        field: &'static str,
        /// What it was.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The size of the figure is not finite or outside 100 to 10,000 pixels.
    #[error("figure size {width} × {height}: each side must be within 100 to 10000 pixels")]
    InvalidSize {
        /// Width asked for.
        width: f64,
        /// Height asked for.
        height: f64,
    },
    /// Titles, labels and legends leave no space for the panels.
    #[error(
        "no room for {rows} × {cols} panels in {width} × {height} pixels: \
         a plot area would be {plot_width:.0} × {plot_height:.0}"
    )]
    NoRoom {
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        cols: usize,
        /// Figure width.
        width: f64,
        /// Figure height.
        height: f64,
        /// Width left for one plot area.
        plot_width: f64,
        /// Height left for one plot area.
        plot_height: f64,
    },
    /// The drawing could not be turned into a PNG.
    #[error("cannot rasterise the figure: {0}")]
    Raster(String),
}
