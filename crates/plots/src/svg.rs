//! A thin SVG writer: shapes, strokes and measured text.
//!
//! Every stretch of text states its length as measured with the embedded font, so that a browser that has to use
//! another font keeps the layout. No element has an `id`: several figures may stand in one page.

use std::fmt::Write;

use base64::Engine;

use crate::geometry::Rect;
use crate::shape::{Flip, Shape, corners};
use crate::{Color, Dash, Marker, PlotError, raster, text};

/// The horizontal alignment of a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// An SVG document being written.
pub(crate) struct Svg {
    out: String,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64, name: &str) -> Self {
        let (w, h) = (num(width), num(height));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             role=\"img\" font-family=\"{}\">\n",
            text::FONT_FAMILY
        );
        let plain: String = text::runs(name).into_iter().map(|run| run.text).collect();
        let _ = writeln!(out, "<title>{}</title>", escape(&plain));
        let _ = writeln!(out, "<rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>");
        Self { out }
    }

    pub(crate) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    /// A rectangle with a fill and an optional border.
    pub(crate) fn rect(&mut self, r: Rect, fill: Option<(Color, f64)>, border: Option<(Color, f64)>) {
        let _ = write!(
            self.out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            num(r.x),
            num(r.y),
            num(r.w),
            num(r.h)
        );
        match fill {
            Some((color, alpha)) => {
                let _ = write!(self.out, " fill=\"{}\"{}", color.hex(), opacity("fill-opacity", alpha));
            }
            None => self.out.push_str(" fill=\"none\""),
        }
        if let Some((color, width)) = border {
            let _ = write!(self.out, " stroke=\"{}\" stroke-width=\"{}\"", color.hex(), num(width));
        }
        self.out.push_str("/>\n");
    }

    pub(crate) fn stroke(&mut self, points: &[(f64, f64)], color: Color, width: f64, dash: Dash) {
        let (pattern, cap): (&[f64], _) = match dash {
            Dash::Solid => (&[], "round"),
            Dash::Dashed => (&[5.0, 3.2], "butt"),
            Dash::Dotted => (&[0.1, 2.6], "round"),
            Dash::DashDot => (&[6.0, 2.4, 1.2, 2.4], "butt"),
        };
        let _ = write!(
            self.out,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\" \
             stroke-linecap=\"{cap}\"",
            color.hex(),
            num(width)
        );
        if !pattern.is_empty() {
            // In units of the stroke, but never so fine that it looks solid.
            let unit = width.max(1.0);
            let list: Vec<String> = pattern.iter().map(|p| num(p * unit)).collect();
            let _ = write!(self.out, " stroke-dasharray=\"{}\"", list.join(" "));
        }
        let _ = writeln!(self.out, " points=\"{}\"/>", coordinates(points));
    }

    /// Straight hairlines of one colour, as one path.
    pub(crate) fn hairlines(&mut self, lines: &[[(f64, f64); 2]], color: Color, width: f64) {
        if lines.is_empty() {
            return;
        }
        let _ = write!(self.out, "<path fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" d=\"", color.hex(), num(width));
        for [a, b] in lines {
            let _ = write!(self.out, "M{} {}L{} {}", num(a.0), num(a.1), num(b.0), num(b.1));
        }
        self.out.push_str("\"/>\n");
    }

    pub(crate) fn dots(&mut self, points: &[(f64, f64)], radius: f64, marker: Marker, color: Color, alpha: f64) {
        if points.is_empty() {
            return;
        }
        let _ = writeln!(self.out, "<g fill=\"{}\"{}>", color.hex(), opacity("fill-opacity", alpha));
        for &(x, y) in points {
            // One element for each point, so that overlaps add up; a tenth of a pixel keeps thousands of them small.
            let _ = match corners(marker, (x, y), radius) {
                None => write!(self.out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{}\"/>", num(radius)),
                Some(points) => write!(self.out, "<path d=\"M{}z\"/>", coordinates(&points).replace(' ', "L")),
            };
        }
        self.out.push_str("\n</g>\n");
    }

    /// A line of text whose base line starts, has its middle or ends at `at`.
    pub(crate) fn text(&mut self, at: (f64, f64), anchor: Anchor, markup: &str, size: f64, color: Color) {
        let width = text::width(markup, size);
        let mut x = match anchor {
            Anchor::Start => at.0,
            Anchor::Middle => at.0 - width / 2.0,
            Anchor::End => at.0 - width,
        };
        for run in text::runs(markup) {
            let width = run.width(size);
            if !run.text.trim().is_empty() {
                let _ = write!(
                    self.out,
                    "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\" xml:space=\"preserve\"",
                    num(x),
                    num(at.1 - run.rise(size)),
                    num(run.size(size)),
                    color.hex()
                );
                if run.text.chars().nth(1).is_some() {
                    let _ = write!(self.out, " textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", num(width));
                }
                let _ = writeln!(self.out, ">{}</text>", escape(&run.text));
            }
            x += width;
        }
    }

    /// As [`Svg::text`], turned about `at` by `degrees` clockwise.
    pub(crate) fn turned_text(
        &mut self,
        at: (f64, f64),
        degrees: f64,
        anchor: Anchor,
        markup: &str,
        size: f64,
        color: Color,
    ) {
        let (x, y) = (num(at.0), num(at.1));
        let _ = writeln!(self.out, "<g transform=\"translate({x} {y}) rotate({})\">", num(degrees));
        self.text((0.0, 0.0), anchor, markup, size, color);
        self.out.push_str("</g>\n");
    }

    /// A PNG stretched over `rect` and cut to `clip`.
    pub(crate) fn image(&mut self, rect: Rect, clip: Rect, png: &[u8]) {
        let data = base64::engine::general_purpose::STANDARD.encode(png);
        let Some(seen) = rect.intersection(&clip) else { return };
        let (x, y, w, h) = (num(seen.x), num(seen.y), num(seen.w), num(seen.h));
        // A nested viewport clips without needing an id.
        let _ = writeln!(
            self.out,
            "<svg x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" viewBox=\"{x} {y} {w} {h}\" overflow=\"hidden\">\
             <image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/></svg>",
            num(rect.x),
            num(rect.y),
            num(rect.w),
            num(rect.h)
        );
    }

    pub(crate) fn shape(&mut self, shape: &Shape<'_>) -> Result<(), PlotError> {
        match shape {
            Shape::Dots { points, radius, marker, color, alpha } => {
                self.dots(points, *radius, *marker, *color, *alpha);
            }
            Shape::Stroke { points, color, width, dash } => self.stroke(points, *color, *width, *dash),
            Shape::Area { points, color, alpha } => {
                let (fill, see) = (color.hex(), opacity("fill-opacity", *alpha));
                let _ = writeln!(self.out, "<polygon fill=\"{fill}\"{see} points=\"{}\"/>", coordinates(points));
            }
            Shape::Block { rect, color, alpha } => self.rect(*rect, Some((*color, *alpha)), None),
            Shape::Cells { rect, clip, map, flip_rows, flip_cols } => {
                let (rows, cols) = map.cell_shape();
                let mut steps = map.steps();
                if *flip_cols == Flip::Yes {
                    steps.chunks_mut(cols).for_each(<[_]>::reverse);
                }
                if *flip_rows == Flip::Yes {
                    steps = steps.chunks(cols).rev().flatten().copied().collect();
                }
                self.image(*rect, *clip, &raster::indexed_png((rows, cols), &steps, &map.bar().table())?);
            }
            Shape::Words { at, markup, size, color } => self.text(*at, Anchor::Start, markup, *size, *color),
        }
        Ok(())
    }
}

/// A coordinate with at most two decimals. Never writes NaN or infinity: upstream code keeps coordinates finite, and
/// a breach must not make an unreadable file.
fn num(value: f64) -> String {
    debug_assert!(value.is_finite(), "coordinate {value}");
    let value = if value.is_finite() { value.clamp(-1e7, 1e7) } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

fn coordinates(points: &[(f64, f64)]) -> String {
    let pairs: Vec<String> = points.iter().map(|&(x, y)| format!("{},{}", num(x), num(y))).collect();
    pairs.join(" ")
}

fn opacity(name: &str, alpha: f64) -> String {
    let alpha = if alpha.is_finite() { alpha.clamp(0.0, 1.0) } else { 1.0 };
    if alpha < 1.0 { format!(" {name}=\"{}\"", num(alpha)) } else { String::new() }
}

/// Text for XML: markup characters escaped, characters that XML forbids left out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_markup_is_escaped() {
        assert_eq!([num(1.0), num(-0.001), num(12.345), num(100.0)], ["1", "0", "12.35", "100"]);
        assert_eq!(escape("a<b & \"c\"\u{0}"), "a&lt;b &amp; &quot;c&quot;");
    }
}
