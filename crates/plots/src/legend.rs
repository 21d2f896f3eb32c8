//! What a legend says and how large it is.

use crate::layers::{Dash, Layer, Marker};
use crate::text;
use crate::{Color, Panel};

/// Font size of legends and notes in nominal pixels.
pub(crate) const SIZE: f64 = 11.0;
const SYMBOL: f64 = 24.0;
const GAP: f64 = 6.0;
const PADDING: f64 = 6.0;
const BETWEEN: f64 = 14.0;

/// One line of a legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) symbol: Symbol,
    pub(crate) text: String,
}

/// The sample beside an entry's text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Symbol {
    Dot { marker: Marker, color: Color },
    Stroke { color: Color, width: f64, dash: Dash, marker: Option<Marker>, band: Option<Color> },
    Swatch { color: Color, alpha: f64 },
}

/// The legend entries of a panel, in the order of its layers; layers without a label have none.
pub(crate) fn entries(panel: &Panel) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut add = |text: &str, symbol| {
        if !text.is_empty() {
            out.push(Entry { symbol, text: text.to_owned() });
        }
    };
    let stroke = |color, dash| Symbol::Stroke { color, width: 1.2, dash, marker: None, band: None };
    for layer in &panel.layers {
        match layer {
            Layer::Scatter(s) => add(&s.label, Symbol::Dot { marker: s.marker, color: s.color }),
            Layer::ErrorBars(e) => add(&e.label, Symbol::Dot { marker: e.marker, color: e.color }),
            Layer::Line(l) => {
                let band = l.band.as_ref().map(|_| l.color);
                add(&l.label, Symbol::Stroke { color: l.color, width: l.width, dash: l.dash, marker: l.marker, band });
            }
            Layer::Guide(g) => add(&g.label, stroke(g.color, g.dash)),
            Layer::Reference(r) => add(&r.label, stroke(r.color, r.dash)),
            Layer::Fill(f) => add(&f.label, Symbol::Swatch { color: f.color, alpha: f.alpha }),
            Layer::Histogram(h) => add(&h.label, Symbol::Swatch { color: h.color, alpha: 0.65 }),
            Layer::Bars(b) => {
                b.groups.iter().for_each(|g| add(&g.label, Symbol::Swatch { color: g.color, alpha: 1.0 }));
            }
            Layer::HeatMap(_) | Layer::Text(_) => {}
        }
    }
    out
}

/// Entries set in columns, each at its place from the box's top left corner.
#[derive(Debug, Clone)]
pub(crate) struct LegendBox {
    pub(crate) items: Vec<Item>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// A placed entry.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) symbol: Symbol,
    pub(crate) lines: Vec<String>,
    /// Left end of the symbol, and the base line of the first line of text.
    pub(crate) at: (f64, f64),
}

impl LegendBox {
    /// Width of a symbol at a given unit.
    pub(crate) fn symbol_width(unit: f64) -> f64 {
        SYMBOL * unit
    }

    /// Distance from an item's left end to its text.
    pub(crate) fn text_offset(unit: f64) -> f64 {
        (SYMBOL + GAP) * unit
    }

    /// Sets the entries in `columns` columns (row by row), wrapping text that would make the box wider than `limit`.
    pub(crate) fn in_columns(entries: &[Entry], columns: usize, limit: f64, unit: f64) -> Self {
        let (size, pad) = (SIZE * unit, PADDING * unit);
        let columns = columns.clamp(1, entries.len().max(1));
        let gaps = BETWEEN * unit * (columns - 1) as f64;
        let text_limit = ((limit - 2.0 * pad - gaps) / columns as f64 - Self::text_offset(unit)).max(20.0 * unit);
        let lines: Vec<Vec<String>> = entries.iter().map(|e| text::wrap(&e.text, size, text_limit)).collect();
        let column_width = |c: usize| {
            let widest = lines.iter().skip(c).step_by(columns).map(|l| text::widest(l, size)).fold(0.0, f64::max);
            Self::text_offset(unit) + widest
        };
        let widths: Vec<f64> = (0..columns).map(column_width).collect();
        let (mut items, mut y) = (Vec::new(), pad);
        for (row, row_lines) in lines.chunks(columns).enumerate() {
            let mut x = pad;
            for (c, lines) in row_lines.iter().enumerate() {
                let symbol = entries[row * columns + c].symbol.clone();
                items.push(Item { symbol, lines: lines.clone(), at: (x, y + (text::CAP + 0.2) * size) });
                x += widths[c] + BETWEEN * unit;
            }
            y += row_lines.iter().map(Vec::len).max().unwrap_or(1).max(1) as f64 * text::LINE * size;
        }
        Self { items, width: widths.iter().sum::<f64>() + gaps + 2.0 * pad, height: y + pad - 0.1 * size }
    }

    /// The fewest rows that fit in `limit` without wrapping; one wrapped column if not even that fits.
    pub(crate) fn wide(entries: &[Entry], limit: f64, unit: f64) -> Self {
        (1..=entries.len())
            .rev()
            .map(|columns| Self::in_columns(entries, columns, f64::INFINITY, unit))
            .find(|b| b.width <= limit)
            .unwrap_or_else(|| Self::in_columns(entries, 1, limit, unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(n: usize) -> Vec<Entry> {
        let symbol = Symbol::Swatch { color: Color::BLUE, alpha: 1.0 };
        (0..n).map(|k| Entry { symbol: symbol.clone(), text: format!("entry number {k}") }).collect()
    }

    #[test]
    fn wide_boxes_use_few_rows_and_stay_within_the_limit() {
        let (roomy, tight) = (LegendBox::wide(&some(6), 2000.0, 1.0), LegendBox::wide(&some(6), 300.0, 1.0));
        assert!(roomy.height < tight.height && roomy.width <= 2000.0 && tight.width <= 300.0);
        let narrow = LegendBox::wide(&some(2), 90.0, 1.0);
        assert!(narrow.width <= 90.0 + 1e-9 && narrow.items.iter().any(|item| item.lines.len() > 1));
    }

    #[test]
    fn items_lie_in_the_box() {
        for columns in 1..5 {
            let b = LegendBox::in_columns(&some(7), columns, 500.0, 1.5);
            assert_eq!(b.items.len(), 7);
            assert!(b.items.iter().all(|i| i.at.0 < b.width && i.at.1 < b.height));
        }
    }
}
