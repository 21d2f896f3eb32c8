//! Matrices as colours, reduced to a drawable number of cells by a stated rule.

use crate::color::{Color, diverging, sequential};
use crate::figure::check_scale;
use crate::scale::Scale;
use crate::{PlotError, ticks};

/// A matrix shown cell by cell. Row and column `k` (from 0) span `k + ½` to `k + 3/2` on the axes, so that axes
/// count from 1; [`Panel::matrix`](crate::Panel::matrix) puts the first row at the top.
///
/// A matrix with more than [`HeatMap::MAX_CELLS`] rows or columns is reduced when it is given: each side is cut into
/// that many nearly equal blocks (`⌊k·n/cells⌋ ≤ index < ⌊(k+1)·n/cells⌋`), and a block shows one value, chosen by
/// [`Reduce`].
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    rows: usize,
    cols: usize,
    cell_rows: usize,
    cell_cols: usize,
    /// Reduced values, row by row; NaN where a block holds no finite value.
    cells: Vec<f64>,
    dropped: usize,
    /// Values to colours.
    pub colors: ColorScale,
    /// Title of the colour bar, with its unit.
    pub bar_label: String,
}

impl HeatMap {
    /// Most cells along each side.
    pub const MAX_CELLS: usize = 200;

    /// The matrix of `rows × cols` values, row by row. Non-finite entries are dropped and counted.
    ///
    /// # Errors
    /// [`PlotError::HeatMapShape`] when there are not `rows · cols` values, or none.
    pub fn new(
        (rows, cols): (usize, usize),
        values: &[f64],
        reduce: Reduce,
        colors: ColorScale,
        bar_label: impl Into<String>,
    ) -> Result<Self, PlotError> {
        if rows.checked_mul(cols) != Some(values.len()) || values.is_empty() {
            return Err(PlotError::HeatMapShape { rows, cols, found: values.len() });
        }
        Self::from_fn((rows, cols), |r, c| values[r * cols + c], reduce, colors, bar_label)
    }

    /// As [`HeatMap::new`], with the entry in row `r` and column `c` given by `value(r, c)`: no copy of a matrix that
    /// is stored in another order.
    ///
    /// # Errors
    /// [`PlotError::HeatMapShape`] when there is no row or no column.
    pub fn from_fn(
        (rows, cols): (usize, usize),
        value: impl Fn(usize, usize) -> f64,
        reduce: Reduce,
        colors: ColorScale,
        bar_label: impl Into<String>,
    ) -> Result<Self, PlotError> {
        if rows == 0 || cols == 0 {
            return Err(PlotError::HeatMapShape { rows, cols, found: 0 });
        }
        let reduced = reduce.matrix((rows, cols), value);
        Ok(Self::of((rows, cols), reduced, colors, bar_label.into()))
    }

    /// A matrix of `rows × cols` that [`Reduce::matrix`] has reduced before, for example where the whole is no longer
    /// at hand.
    ///
    /// # Errors
    /// [`PlotError::HeatMapShape`] when the cells are not those of such a matrix.
    pub fn from_reduced(
        (rows, cols): (usize, usize),
        cells: Vec<f64>,
        colors: ColorScale,
        bar_label: impl Into<String>,
    ) -> Result<Self, PlotError> {
        let (cell_rows, cell_cols) = (rows.min(Self::MAX_CELLS), cols.min(Self::MAX_CELLS));
        if cells.is_empty() || cells.len() != cell_rows * cell_cols {
            return Err(PlotError::HeatMapShape { rows: cell_rows, cols: cell_cols, found: cells.len() });
        }
        let dropped = cells.iter().filter(|v| !v.is_finite()).count();
        Ok(Self::of((rows, cols), Reduced { cells, dropped }, colors, bar_label.into()))
    }

    fn of((rows, cols): (usize, usize), reduced: Reduced, colors: ColorScale, bar_label: String) -> Self {
        let Reduced { cells, dropped } = reduced;
        let (cell_rows, cell_cols) = (rows.min(Self::MAX_CELLS), cols.min(Self::MAX_CELLS));
        Self { rows, cols, cell_rows, cell_cols, cells, dropped, colors, bar_label }
    }

    /// The same map with neighbouring cells merged, by [`Reduce::LargestMagnitude`], into the smallest cells that all
    /// hold equally many entries: blocks of one and of two rows in turn, say, would show as stripes that the matrix
    /// does not have. Unchanged where that takes more than four cells a side, since larger blocks differ little.
    pub fn into_even_cells(self) -> Self {
        let merged = |n: usize, cells: usize| {
            let is_even = |k: &usize| cells.is_multiple_of(*k) && n.is_multiple_of(cells / k);
            (1..=4).find(|k| *k < cells && is_even(k)).unwrap_or(1)
        };
        let (tall, wide) = (merged(self.rows, self.cell_rows), merged(self.cols, self.cell_cols));
        let (cell_rows, cell_cols) = (self.cell_rows / tall, self.cell_cols / wide);
        let mut cells = Vec::with_capacity(cell_rows * cell_cols);
        for i in 0..cell_rows {
            for j in 0..cell_cols {
                let block = (i * tall..(i + 1) * tall)
                    .flat_map(|r| self.cells[r * self.cell_cols..][j * wide..(j + 1) * wide].iter().copied())
                    .filter(|v| v.is_finite());
                cells.push(Reduce::LargestMagnitude.block(&block.collect::<Vec<f64>>()));
            }
        }
        Self { cell_rows, cell_cols, cells, ..self }
    }

    pub(crate) fn extent(&self) -> [(f64, f64); 2] {
        [(0.5, self.cols as f64 + 0.5), (0.5, self.rows as f64 + 0.5)]
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped
    }

    pub(crate) fn has_data(&self) -> bool {
        self.cells.iter().any(|v| v.is_finite())
    }

    pub(crate) fn cell_shape(&self) -> (usize, usize) {
        (self.cell_rows, self.cell_cols)
    }

    /// The step of the colour table for each cell, row by row; `None` where there is no value.
    pub(crate) fn steps(&self) -> Vec<Option<u8>> {
        let bar = self.bar();
        let step = |&value: &f64| {
            let t = bar.scale.forward(value)?;
            Some((((t - bar.lo) / (bar.hi - bar.lo)).clamp(0.0, 1.0) * f64::from(ColorBar::STEPS - 1)).round() as u8)
        };
        self.cells.iter().map(step).collect()
    }

    /// The colour bar's scale and window, with automatic limits resolved.
    pub(crate) fn bar(&self) -> ColorBar {
        let finite = || self.cells.iter().copied().filter(|v| v.is_finite() && v.abs() <= 1e300);
        let largest = || finite().fold(0.0f64, |m, v| m.max(v.abs()));
        match self.colors {
            ColorScale::SymLog { linthresh, limit } => {
                let scale = Scale::SymLog { linthresh };
                let reach = scale.forward(limit.unwrap_or_else(largest).max(linthresh)).unwrap_or(1.0);
                ColorBar { scale, lo: -reach, hi: reach, map: diverging }
            }
            ColorScale::Diverging { limit } => ColorBar { scale: Scale::Linear, lo: -limit, hi: limit, map: diverging },
            ColorScale::Sequential => {
                let (lo, hi) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
                let (lo, hi) = if lo < hi { (lo, hi) } else { (0.0, largest().max(1.0)) };
                ColorBar { scale: Scale::Linear, lo, hi, map: sequential }
            }
        }
    }
}

/// What one drawn cell says about its block of entries; non-finite entries are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// The entry of largest absolute value, with its sign (of equals the first in row order): no outlier is lost.
    LargestMagnitude,
    /// The mean: noise averages out, lone large entries fade.
    Mean,
    /// The entry in the middle of the block, `(first + end)/2` each way: every cell is one true entry, so that a random
    /// matrix looks as random as it is; the diagonal of a square matrix stays on the diagonal.
    Middle,
}

/// Cells with the number of entries that were not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduced {
    /// Cell by cell, row after row; NaN where a block holds no finite value.
    pub cells: Vec<f64>,
    /// Non-finite entries.
    pub dropped: usize,
}

impl Reduce {
    /// The matrix of `rows × cols` with the entries `value(r, c)`, at most [`HeatMap::MAX_CELLS`] cells a side.
    pub fn matrix(self, (rows, cols): (usize, usize), value: impl Fn(usize, usize) -> f64) -> Reduced {
        let (cell_rows, cell_cols) = (rows.min(HeatMap::MAX_CELLS), cols.min(HeatMap::MAX_CELLS));
        let block = |k: usize, n: usize, cells: usize| k * n / cells..(k + 1) * n / cells;
        let (mut cells, mut dropped) = (Vec::with_capacity(cell_rows * cell_cols), 0);
        let mut entries = Vec::new();
        for i in 0..cell_rows {
            for j in 0..cell_cols {
                let (r, c) = (block(i, rows, cell_rows), block(j, cols, cell_cols));
                entries.clear();
                if self == Self::Middle {
                    entries.push(value((r.start + r.end) / 2, (c.start + c.end) / 2));
                } else {
                    r.for_each(|r| entries.extend(c.clone().map(|c| value(r, c))));
                }
                let all = entries.len();
                entries.retain(|v| v.is_finite());
                dropped += all - entries.len();
                cells.push(self.block(&entries));
            }
        }
        Reduced { cells, dropped }
    }

    fn block(self, entries: &[f64]) -> f64 {
        match self {
            Self::LargestMagnitude | Self::Middle => {
                entries.iter().fold(f64::NAN, |best, &v| if best.is_nan() || v.abs() > best.abs() { v } else { best })
            }
            // Scaled first, so that the sum of large entries cannot overflow. 0/0 marks the empty block.
            Self::Mean if entries.is_empty() => f64::NAN,
            Self::Mean => entries.iter().map(|v| v / entries.len() as f64).sum(),
        }
    }
}

/// How values become colours. Values beyond the limits take the outermost colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColorScale {
    /// Symmetric-logarithmic, blue below and red above zero: for entries over many decades and of both signs.
    SymLog {
        /// Where the logarithmic part begins; smaller magnitudes fade to white.
        linthresh: f64,
        /// Largest magnitude told apart; the data's own when `None`.
        limit: Option<f64>,
    },
    /// Linear from `−limit` (blue) through 0 (white) to `limit` (red).
    Diverging {
        /// Largest magnitude told apart, e.g. 1 for correlations.
        limit: f64,
    },
    /// Linear from the least value (pale) to the greatest (dark).
    Sequential,
}

impl ColorScale {
    pub(crate) fn check(self, panel: usize) -> Result<(), PlotError> {
        let limit = match self {
            Self::SymLog { linthresh, limit } => {
                check_scale(panel, Scale::SymLog { linthresh })?;
                limit
            }
            Self::Diverging { limit } => Some(limit),
            Self::Sequential => None,
        };
        match limit {
            Some(limit) if !(limit > 0.0 && limit < 1e300) => Err(PlotError::InvalidNumber {
                panel,
                field: "colour limit",
                found: limit.to_string(),
                expected: "finite and positive",
            }),
            _ => Ok(()),
        }
    }
}

/// A resolved colour scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColorBar {
    pub(crate) scale: Scale,
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    map: fn(f64) -> Color,
}

impl ColorBar {
    /// Colours in the table; one more index of a PNG palette is left for "no value".
    pub(crate) const STEPS: u8 = 255;

    pub(crate) fn table(&self) -> Vec<Color> {
        (0..Self::STEPS).map(|k| (self.map)(f64::from(k) / f64::from(Self::STEPS - 1))).collect()
    }

    pub(crate) fn ticks(&self, fits: impl Fn(&[ticks::Tick]) -> bool) -> ticks::Ticks {
        ticks::choose(self.scale, self.lo, self.hi, fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: ColorScale = ColorScale::Sequential;

    #[test]
    fn blocks_keep_the_largest_magnitude_with_its_sign_or_the_mean() {
        // 400 × 400: blocks of 2 × 2.
        let value = |r: usize, c: usize| match (r, c) {
            (2, 5) => -9.0,
            (3, 4) => 8.0,
            (0, 0) => f64::NAN,
            _ => 1.0,
        };
        let map = |reduce| HeatMap::from_fn((400, 400), value, reduce, PLAIN, "").unwrap();
        let largest = map(Reduce::LargestMagnitude);
        assert_eq!(largest.cell_shape(), (200, 200));
        assert_eq!((largest.cells[200 + 2], largest.cells[0], largest.dropped()), (-9.0, 1.0, 1));
        assert_eq!(map(Reduce::Mean).cells[200 + 2], (-9.0 + 8.0 + 1.0 + 1.0) / 4.0);
        assert_eq!((map(Reduce::Middle).cells[200 + 2], map(Reduce::Middle).dropped()), (1.0, 0));
    }

    #[test]
    fn the_middle_keeps_the_diagonal_and_cells_may_be_given() {
        let n = 2500;
        let identity = |r, c| if r == c { 1.0 } else { 0.0 };
        let reduced = Reduce::Middle.matrix((n, n), identity);
        let trace: f64 = (0..200).map(|k| reduced.cells[k * 201]).sum();
        assert_eq!((trace, reduced.cells.iter().sum::<f64>()), (200.0, 200.0));
        let given = HeatMap::from_reduced((n, n), reduced.cells, PLAIN, "").unwrap();
        assert_eq!(given, HeatMap::from_fn((n, n), identity, Reduce::Middle, PLAIN, "").unwrap());
        let ragged = HeatMap::from_reduced((n, 3), vec![0.0; 7], PLAIN, "").unwrap_err();
        assert_eq!(ragged, PlotError::HeatMapShape { rows: 200, cols: 3, found: 7 });
    }

    #[test]
    fn even_cells_hold_equally_many_entries() {
        // Blocks of one and two rows in turn become blocks of three.
        let value = |r: usize, c: usize| (r * 300 + c) as f64;
        let map = HeatMap::from_fn((300, 300), value, Reduce::LargestMagnitude, PLAIN, "").unwrap();
        let even = map.into_even_cells();
        assert_eq!((even.cell_shape(), even.extent()), ((100, 100), [(0.5, 300.5); 2]));
        assert_eq!((even.cells[0], even.cells[101]), (value(2, 2), value(5, 5)));
        for n in [1, 120, 200, 400, 2501] {
            let map = HeatMap::from_fn((n, 200), |_, _| 1.0, Reduce::Mean, PLAIN, "").unwrap();
            assert_eq!(map.clone().into_even_cells(), map, "{n} rows");
        }
    }

    #[test]
    fn every_entry_belongs_to_exactly_one_block() {
        for n in [1, 199, 200, 201, 777, 2500] {
            let map = HeatMap::from_fn((n, 1), |_, _| 1.0, Reduce::Mean, PLAIN, "").unwrap();
            let (cells, _) = map.cell_shape();
            let blocks: Vec<_> = (0..cells).map(|k| (k * n / cells, (k + 1) * n / cells)).collect();
            assert!(blocks.iter().all(|(a, b)| a < b) && blocks.windows(2).all(|w| w[0].1 == w[1].0));
            assert_eq!((blocks[0].0, blocks[cells - 1].1), (0, n));
        }
    }

    #[test]
    fn a_wrong_number_of_values_is_an_error() {
        let ragged = HeatMap::new((2, 3), &[0.0; 5], Reduce::Mean, PLAIN, "");
        assert_eq!(ragged.unwrap_err(), PlotError::HeatMapShape { rows: 2, cols: 3, found: 5 });
        assert!(HeatMap::new((0, 3), &[], Reduce::Mean, PLAIN, "").is_err());
    }

    #[test]
    fn zero_is_the_middle_of_a_diverging_table() {
        let colors = ColorScale::SymLog { linthresh: 1e-3, limit: None };
        let map = HeatMap::new((1, 3), &[-5.0, 0.0, f64::NAN], Reduce::Mean, colors, "").unwrap();
        assert_eq!(map.steps(), [Some(0), Some(127), None]);
    }
}
