//! Figures for reports and papers, described as values: plain series and matrices in, SVG and PNG out.
//!
//! The principal type is [`Figure`]: a grid of [`Panel`]s, each with two [`Axis`] and a list of [`Layer`]s.
//! [`render`] draws it. Legends and notes go where no data lies; what an axis cannot show is dropped *and counted*;
//! text is measured and drawn with an embedded font, so a machine without fonts gives the same picture.
//!
//! This crate knows no experiment, computes no statistics and touches no file.
//!
//! ```
//! use superlinear_plots::{Axis, Figure, Guide, Note, Panel, Scatter, render};
//!
//! let h: Vec<f64> = (1..200).map(|k| 1e-4 * f64::from(k)).collect();
//! let c: Vec<f64> = h.iter().map(|h| 0.01 * h.powf(1.3)).collect();
//! let mut panel = Panel::new(
//!     "MLP, cross-entropy",
//!     Axis::log10("H_{ii} (loss per weight²)"),
//!     Axis::log10("C_{ii} (squared gradient)"),
//!     vec![Scatter::new("directions", h, c).into(), Guide::new(1.0, (1e-3, 1e-6)).into()],
//! );
//! panel.notes = vec![Note::new("γ = 1.30 ± 0.01")];
//! let figure = Figure::new("Noise against curvature", 1, 1, vec![panel]);
//! let drawn = render(&figure)?;
//! assert!(drawn.svg.starts_with("<svg") && drawn.dropped == 0);
//! # Ok::<(), superlinear_plots::PlotError>(())
//! ```

mod color;
mod dressing;
mod error;
mod figure;
mod geometry;
mod heat_map;
mod layers;
mod layout;
mod legend;
mod mask;
mod raster;
mod render;
mod scale;
mod shape;
mod survey;
mod svg;
mod text;
mod ticks;
mod trace;

pub use color::Color;
pub use error::PlotError;
pub use figure::{Aspect, Axis, Direction, Figure, Legends, Note, Panel, Place, Range, Size, TickMarks};
pub use heat_map::{ColorScale, HeatMap, Reduce, Reduced};
pub use layers::{
    Band, BarGroup, Bars, BinHeight, Bins, Dash, ErrorBars, Fill, Guide, Histogram, Layer, Line, Marker, Reference,
    ReferenceAt, Scatter, Text,
};
pub use render::{Rendered, render};
pub use scale::Scale;
