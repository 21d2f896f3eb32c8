//! Text with superscripts and subscripts, measured with the embedded font.
//!
//! Markup: `10^{−3}` raises and `C_{ii}` lowers what stands in braces. Unicode superscripts and subscripts
//! (`R²`, `M₂`, `10⁻³`) are set the same way, since few fonts have them all. Everything else is literal.

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// DejaVu Sans 2.37, unmodified; its licence lies beside it.
pub(crate) static FONT: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");

/// The embedded font first, then Verdana, whose widths are nearly the same.
pub(crate) const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Geneva, sans-serif";

/// Distance of two base lines, in font sizes.
pub(crate) const LINE: f64 = 1.28;
/// Height of a capital, in font sizes.
pub(crate) const CAP: f64 = 0.73;
/// Depth below the base line, in font sizes.
pub(crate) const DEPTH: f64 = 0.24;

const SMALL: f64 = 0.72;

/// A stretch of text on one level.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) text: String,
    level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Level {
    Base,
    Raised,
    Lowered,
}

impl Run {
    /// Size of the run for text of `size`.
    pub(crate) fn size(&self, size: f64) -> f64 {
        if self.level == Level::Base { size } else { size * SMALL }
    }

    /// How far above the base line the run stands.
    pub(crate) fn rise(&self, size: f64) -> f64 {
        match self.level {
            Level::Base => 0.0,
            Level::Raised => 0.36 * size,
            Level::Lowered => -0.16 * size,
        }
    }

    pub(crate) fn width(&self, size: f64) -> f64 {
        advance(&self.text) * self.size(size)
    }
}

/// Splits markup into runs.
pub(crate) fn runs(markup: &str) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    let mut push = |c: char, level: Level| match out.last_mut() {
        Some(run) if run.level == level => run.text.push(c),
        _ => out.push(Run { text: c.to_string(), level }),
    };
    let mut rest = markup;
    while let Some(c) = rest.chars().next() {
        let level = match c {
            '^' => Level::Raised,
            '_' => Level::Lowered,
            _ => Level::Base,
        };
        if level != Level::Base
            && let Some(inner) = rest[1..].strip_prefix('{')
            && let Some(end) = inner.find('}')
        {
            inner[..end].chars().for_each(|c| push(c, level));
            rest = &inner[end + 1..];
            continue;
        }
        match small(c) {
            Some((plain, level)) => push(plain, level),
            // XML cannot hold other control characters, and a line break has no place in a run.
            None if c.is_control() => push(' ', Level::Base),
            None => push(c, Level::Base),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The plain character and level of a Unicode superscript or subscript.
fn small(c: char) -> Option<(char, Level)> {
    const RAISED: &str = "⁰0¹1²2³3⁴4⁵5⁶6⁷7⁸8⁹9⁺+⁻−ⁿnⁱiᵀT";
    const LOWERED: &str = "₀0₁1₂2₃3₄4₅5₆6₇7₈8₉9₊+₋−ᵢiⱼjₘmₙnₚp";
    let find = |table: &str| {
        let mut pairs = table.chars();
        while let (Some(from), Some(to)) = (pairs.next(), pairs.next()) {
            if from == c {
                return Some(to);
            }
        }
        None
    };
    find(RAISED).map(|p| (p, Level::Raised)).or_else(|| find(LOWERED).map(|p| (p, Level::Lowered)))
}

/// Width of one line of markup.
pub(crate) fn width(markup: &str, size: f64) -> f64 {
    runs(markup).iter().map(|run| run.width(size)).sum()
}

/// Width of the widest of several lines.
pub(crate) fn widest(lines: &[String], size: f64) -> f64 {
    lines.iter().map(|line| width(line, size)).fold(0.0, f64::max)
}

/// Breaks markup into lines no wider than `limit`: at line breaks, at spaces, and inside a word only where the
/// word alone is too wide. Empty text has no lines.
pub(crate) fn wrap(markup: &str, size: f64, limit: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in markup.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if width(&longer, size) <= limit {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line = break_word(word, size, limit, &mut lines);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// As [`wrap`], with lines of about equal width: no lone word at the end of a title.
pub(crate) fn wrap_evenly(markup: &str, size: f64, limit: f64) -> Vec<String> {
    let lines = wrap(markup, size, limit);
    if lines.len() < 2 {
        return lines;
    }
    let (mut narrow, mut wide) = (limit / 2.0, limit);
    while wide - narrow > 1.0 {
        let middle = (narrow + wide) / 2.0;
        if wrap(markup, size, middle).len() > lines.len() { narrow = middle } else { wide = middle }
    }
    wrap(markup, size, wide)
}

/// Moves full lines of an over-wide word to `lines`; returns what is left of it. Braces are never split.
fn break_word(word: &str, size: f64, limit: f64, lines: &mut Vec<String>) -> String {
    let mut line = String::new();
    let mut in_braces = false;
    for c in word.chars() {
        in_braces = (in_braces || c == '{') && c != '}';
        line.push(c);
        let splittable = !in_braces && !matches!(c, '^' | '_' | '}') && line.chars().count() > 1;
        if splittable && width(&line, size) > limit {
            line.pop();
            lines.push(std::mem::replace(&mut line, c.to_string()));
        }
    }
    line
}

/// Sum of the advance widths, in font sizes. Kerning is left out: it changes a label by less than a pixel.
fn advance(text: &str) -> f64 {
    let font = FontRef::new(FONT).expect("the embedded font is well formed");
    let (glyphs, chars) = (font.glyph_metrics(Size::new(1.0), LocationRef::default()), font.charmap());
    let of = |c| glyphs.advance_width(chars.map(c).unwrap_or_default()).map_or(0.6, f64::from);
    text.chars().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_unicode_levels_agree() {
        assert_eq!(runs("10^{−3}"), runs("10⁻³"));
        assert_eq!(runs("C_{ii} a_b ^"), {
            let run = |text: &str, level| Run { text: text.into(), level };
            vec![run("C", Level::Base), run("ii", Level::Lowered), run(" a_b ^", Level::Base)]
        });
        assert_eq!(runs("^{open"), vec![Run { text: "^{open".into(), level: Level::Base }]);
    }

    #[test]
    fn widths_are_those_of_the_font() {
        // hmtx of DejaVu Sans: 'M' 1767, 'i' 569 of 2048 units.
        assert!((width("Mi", 2048.0) - (1767.0 + 569.0)).abs() < 0.5);
        assert!(width("10⁻³", 11.0) < width("1000", 11.0));
    }

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let text = "commutator error ‖[A,B]‖/(‖A‖‖B‖) incomprehensibilities M_{2}^{hh} end";
        for limit in [40.0, 90.0, 300.0] {
            let lines = wrap(text, 11.0, limit);
            assert!(lines.iter().all(|line| width(line, 11.0) <= limit), "{lines:?}");
            let squeeze = |s: &str| s.replace(' ', "");
            assert_eq!(squeeze(&lines.concat()), squeeze(text));
        }
        let (greedy, even) = (wrap(text, 11.0, 240.0), wrap_evenly(text, 11.0, 240.0));
        assert_eq!(greedy.len(), even.len());
        assert!(widest(&even, 11.0) <= widest(&greedy, 11.0));
        assert!(wrap("  ", 11.0, 100.0).is_empty());
        assert_eq!(wrap("a\nb", 11.0, 100.0), ["a", "b"]);
    }

    #[test]
    fn the_font_has_what_our_labels_use() {
        let font = FontRef::new(FONT).unwrap();
        for c in "γκλμσ±≤≥∝·×−‖∈⟨⟩…–—≈√∂ΔΣℓ".chars() {
            assert!(font.charmap().map(c).is_some(), "{c}");
        }
    }
}
