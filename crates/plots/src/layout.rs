//! Where everything of a figure goes.
//!
//! Margins depend on labels, labels on the space left, so both are found by a few rounds in which margins only grow.
//! Then legends and notes look for places without data; those that find none are moved out of the plot, and the
//! rounds start again with room reserved for them.

use crate::dressing::{Dressing, Extras, dress};
use crate::figure::{Figure, Legends, Panel, Place};
use crate::geometry::Rect;
use crate::legend::{self, Entry, LegendBox};
use crate::mask::Mask;
use crate::scale::View;
use crate::shape::Shape;
use crate::survey::{Survey, survey};
use crate::trace::{Frame, trace};
use crate::{PlotError, text};

/// Font size of the figure's title in nominal pixels.
pub(crate) const TITLE: f64 = 15.0;
const OUTER: f64 = 8.0;
const BETWEEN: f64 = 12.0;
/// Distance of legends and notes from the frame of the plot.
const INSET: f64 = 6.0;
/// Inner distance between a note's text and its box.
pub(crate) const NOTE_PADDING: f64 = 4.0;

/// A figure with every part placed.
pub(crate) struct Plan<'a> {
    /// Size of a nominal pixel.
    pub(crate) unit: f64,
    pub(crate) title: Vec<String>,
    pub(crate) panels: Vec<Placed<'a>>,
    pub(crate) shared_legend: Option<(Rect, LegendBox)>,
    pub(crate) dropped: Vec<usize>,
    pub(crate) hidden: usize,
}

/// A panel with every part placed.
pub(crate) struct Placed<'a> {
    pub(crate) panel: &'a Panel,
    pub(crate) frame: Frame,
    pub(crate) dressing: Dressing,
    pub(crate) shapes: Vec<Shape<'a>>,
    pub(crate) has_data: bool,
    pub(crate) legend: Option<(Rect, LegendBox)>,
    pub(crate) notes: Vec<(Rect, Vec<String>)>,
}

/// What of a panel has been moved out of its plot area.
#[derive(Clone)]
struct Moved {
    legend: Option<LegendBox>,
    notes: Vec<bool>,
}

/// Plans a figure that has been checked.
pub(crate) fn plan(figure: &Figure) -> Result<Plan<'_>, PlotError> {
    let unit = (figure.size.width / 900.0).max(1.0);
    let surveys: Vec<Survey> = figure.panels.iter().map(survey).collect();
    let entries: Vec<Vec<Entry>> = match figure.legends {
        Legends::PerPanel => figure.panels.iter().map(legend::entries).collect(),
        Legends::Shared | Legends::Hidden => vec![Vec::new(); figure.panels.len()],
    };
    let shared = match figure.legends {
        Legends::Shared => shared_legend(figure, unit),
        Legends::PerPanel | Legends::Hidden => None,
    };
    let title = text::wrap_evenly(&figure.title, TITLE * unit, figure.size.width - 2.0 * OUTER * unit);
    let mut moved: Vec<Moved> =
        figure.panels.iter().map(|p| Moved { legend: None, notes: vec![false; p.notes.len()] }).collect();
    // Each round moves something out for good, or is the last.
    loop {
        let grid = Grid::solve(figure, &surveys, &moved, &title, shared.as_ref(), unit)?;
        let (mut panels, mut hidden, mut again) = (Vec::new(), 0, false);
        for (k, panel) in figure.panels.iter().enumerate() {
            let (placed, cut, moved_now) = grid.place(k, panel, &surveys[k], &entries[k], &mut moved[k], unit);
            panels.push(placed);
            hidden += cut;
            again |= moved_now;
        }
        if !again {
            let shared_legend = shared.map(|b| {
                let y = figure.size.height - OUTER * unit - b.height;
                (Rect { x: (figure.size.width - b.width) / 2.0, y, w: b.width, h: b.height }, b)
            });
            let dropped = surveys.iter().map(|s| s.dropped).collect();
            return Ok(Plan { unit, title, panels, shared_legend, dropped, hidden });
        }
    }
}

fn shared_legend(figure: &Figure, unit: f64) -> Option<LegendBox> {
    let mut all: Vec<Entry> = Vec::new();
    for entry in figure.panels.iter().flat_map(legend::entries) {
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    (!all.is_empty()).then(|| LegendBox::wide(&all, figure.size.width - 2.0 * OUTER * unit, unit))
}

/// The slots of the plot areas, all of one size.
struct Grid {
    slots: Vec<Rect>,
    dressings: Vec<Dressing>,
}

impl Grid {
    fn solve(
        figure: &Figure,
        surveys: &[Survey],
        moved: &[Moved],
        title: &[String],
        shared: Option<&LegendBox>,
        unit: f64,
    ) -> Result<Self, PlotError> {
        let (rows, cols) = (figure.rows, figure.cols);
        let crate::Size { width, height } = figure.size;
        let above = OUTER * unit + title.len() as f64 * text::LINE * TITLE * unit;
        let below = OUTER * unit + shared.map_or(0.0, |b| b.height + 4.0 * unit);
        let (mut left, mut right) = (vec![0.0f64; cols], vec![0.0f64; cols]);
        let (mut top, mut bottom) = (vec![0.0f64; rows], vec![0.0f64; rows]);
        let mut slot = (0.7 * width / cols as f64, 0.6 * height / rows as f64);
        let mut dressings = Vec::new();
        for round in 0..10 {
            dressings.clear();
            let beside = (left.clone(), right.clone());
            // The first rounds start from a guess: margins found there are not kept.
            if round < 3 {
                [&mut left, &mut right, &mut top, &mut bottom].into_iter().for_each(|margins| margins.fill(0.0));
            }
            for (k, panel) in figure.panels.iter().enumerate() {
                let (r, c) = (k / cols, k % cols);
                let extras = extras(panel, &moved[k]);
                let d = dress(panel, &surveys[k], slot, (beside.0[c], beside.1[c]), &extras, unit);
                left[c] = left[c].max(d.left);
                right[c] = right[c].max(d.right);
                top[r] = top[r].max(d.top);
                bottom[r] = bottom[r].max(d.bottom);
                dressings.push(d);
            }
            let gaps = |n: usize| BETWEEN * unit * (n - 1) as f64;
            let margins = |a: &[f64], b: &[f64]| a.iter().chain(b).sum::<f64>();
            let wide = (width - 2.0 * OUTER * unit - gaps(cols) - margins(&left, &right)) / cols as f64;
            let high = (height - above - below - gaps(rows) - margins(&top, &bottom)) / rows as f64;
            if wide < 50.0 * unit || high < 40.0 * unit {
                return Err(PlotError::NoRoom { rows, cols, width, height, plot_width: wide, plot_height: high });
            }
            let settled = (slot.0 - wide).abs() < 0.01 && (slot.1 - high).abs() < 0.01;
            slot = (wide, high);
            if settled && round >= 3 {
                break;
            }
        }
        let offset = |k: usize, before: &[f64], after: &[f64], size: f64| {
            (0..k).map(|j| before[j] + after[j] + size + BETWEEN * unit).sum::<f64>() + before[k]
        };
        let slots = (0..figure.panels.len())
            .map(|k| Rect {
                x: OUTER * unit + offset(k % cols, &left, &right, slot.0),
                y: above + offset(k / cols, &top, &bottom, slot.1),
                w: slot.0,
                h: slot.1,
            })
            .collect();
        Ok(Self { slots, dressings })
    }

    /// Places panel `k`; also tells how many points its ranges hide, and whether something had to be moved out.
    fn place<'a>(
        &self,
        k: usize,
        panel: &'a Panel,
        survey: &Survey,
        entries: &[Entry],
        moved: &mut Moved,
        unit: f64,
    ) -> (Placed<'a>, usize, bool) {
        let (slot, dressing) = (self.slots[k], self.dressings[k].clone());
        let (w, h) = (dressing.width.min(slot.w), dressing.height.min(slot.h));
        let plot = Rect { x: slot.x + (slot.w - w) / 2.0, y: slot.y, w, h };
        let onto = |view: View, start: f64, size: f64, reversed: bool| {
            let (px_lo, px_hi) = if reversed { (start + size, start) } else { (start, start + size) };
            View { px_lo, px_hi, ..view }
        };
        let frame = Frame {
            plot,
            x: onto(dressing.x, plot.x, w, dressing.x.px_lo > dressing.x.px_hi),
            y: onto(dressing.y, plot.y, h, dressing.y.px_lo > dressing.y.px_hi),
            unit,
        };
        let (shapes, hidden) = if survey.has_data { trace(panel, frame) } else { (Vec::new(), 0) };
        let mut mask = Mask::of(&shapes, plot, unit);
        let (mut notes, mut again) = (Vec::new(), false);

        // Notes with a fixed place come first, then the legend, then notes that take what is left.
        for note in panel.notes.iter().filter(|note| note.place != Place::Auto) {
            let (lines, size) = note_box(&note.text, plot, unit);
            let rect = corner(note.place, plot, size, unit);
            mask.mark(rect);
            notes.push((rect, lines));
        }
        let mut legend = None;
        if let Some(below) = &moved.legend {
            let (x, y) = (plot.center().0 - below.width / 2.0, plot.bottom() + dressing.legend_offset);
            legend = Some((Rect { x, y, w: below.width, h: below.height }, below.clone()));
        } else if !entries.is_empty() && survey.has_data {
            let shapes = (1..=entries.len().min(3)).map(|n| LegendBox::in_columns(entries, n, 0.8 * plot.w, unit));
            let free = |b: LegendBox| mask.free_place((b.width, b.height), INSET * unit).map(|rect| (rect, b));
            legend = shapes.filter_map(free).next();
            match &legend {
                Some((rect, _)) => mask.mark(*rect),
                None => {
                    moved.legend = Some(LegendBox::wide(entries, slot.w + 0.6 * dressing.left, unit));
                    again = true;
                }
            }
        }
        for (n, note) in panel.notes.iter().enumerate().filter(|(_, note)| note.place == Place::Auto) {
            if moved.notes[n] {
                continue;
            }
            let (lines, size) = note_box(&note.text, plot, unit);
            match mask.free_place(size, INSET * unit) {
                Some(rect) => {
                    mask.mark(rect);
                    notes.push((rect, lines));
                }
                None => {
                    moved.notes[n] = true;
                    again = true;
                }
            }
        }
        (Placed { panel, frame, dressing, shapes, has_data: survey.has_data, legend, notes }, hidden, again)
    }
}

fn extras<'a>(panel: &'a Panel, moved: &'a Moved) -> Extras<'a> {
    let out = panel.notes.iter().zip(&moved.notes).filter(|(_, out)| **out);
    Extras { notes_above: out.map(|(note, _)| note.text.as_str()).collect(), legend_below: moved.legend.as_ref() }
}

fn note_box(note: &str, plot: Rect, unit: f64) -> (Vec<String>, (f64, f64)) {
    let (size, pad) = (legend::SIZE * unit, NOTE_PADDING * unit);
    let lines = text::wrap(note, size, plot.w - 2.0 * (pad + INSET * unit));
    let height = lines.len() as f64 * text::LINE * size - (text::LINE - 1.0) * size + 2.0 * pad;
    let width = text::widest(&lines, size) + 2.0 * pad;
    (lines, (width, height))
}

fn corner(place: Place, plot: Rect, (w, h): (f64, f64), unit: f64) -> Rect {
    let inset = INSET * unit;
    let (left, right) = (plot.x + inset, plot.right() - inset - w);
    let (top, bottom) = (plot.y + inset, plot.bottom() - inset - h);
    let (x, y) = match place {
        Place::Auto | Place::TopLeft => (left, top),
        Place::TopRight => (right, top),
        Place::BottomLeft => (left, bottom),
        Place::BottomRight => (right, bottom),
    };
    Rect { x, y, w, h }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Line, Note, Scatter};
    use proptest::prelude::*;

    fn touches(rect: &Rect, shapes: &[Shape<'_>]) -> bool {
        shapes.iter().any(|shape| match shape {
            Shape::Dots { points, radius, .. } => points.iter().any(|&(x, y)| {
                let near = (x.clamp(rect.x, rect.right()), y.clamp(rect.y, rect.bottom()));
                (x - near.0).hypot(y - near.1) < *radius
            }),
            Shape::Stroke { points, .. } => points.windows(2).any(|w| rect.clip_segment(w[0], w[1]).is_some()),
            _ => false,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn legends_and_notes_never_cover_data(
            points in prop::collection::vec((1e-3f64..1e3, 1e-6f64..1e2), 1..200), slope in -2f64..2.0,
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
            let fit = x.iter().map(|x| x.powf(slope)).collect();
            let layers = vec![Scatter::new("measured values", x.clone(), y).into(), Line::new("a fit", x, fit).into()];
            let mut panel = Panel::new("title", Axis::log10("x"), Axis::log10("y"), layers);
            panel.notes = vec![Note::new("γ = 1.23 ± 0.04\nR² = 0.97")];
            let figure = Figure::new("", 1, 2, vec![panel.clone(), panel]);
            let plan = plan(&figure).unwrap();
            let whole = Rect { x: 0.0, y: 0.0, w: figure.size.width, h: figure.size.height };
            for placed in &plan.panels {
                let (legend, _) = placed.legend.as_ref().expect("two entries");
                prop_assert!(!touches(legend, &placed.shapes));
                prop_assert!(placed.notes.iter().all(|(note, _)| !touches(note, &placed.shapes)));
                prop_assert!(placed.notes.iter().all(|(note, _)| note.intersection(legend).is_none()));
                prop_assert!(whole.contains((legend.x, legend.y)) && whole.contains((legend.right(), legend.bottom())));
                let above = &placed.dressing.notes_above;
                prop_assert!(placed.notes.is_empty() != above.is_empty(), "the note is shown once");
            }
        }
    }

    #[test]
    fn a_grid_without_room_is_an_error() {
        let panel = Panel::new("", Axis::linear("x"), Axis::linear("y"), vec![]);
        let mut figure = Figure::new("", 6, 1, vec![panel; 6]);
        figure.size.height = 200.0;
        assert!(matches!(plan(&figure), Err(PlotError::NoRoom { rows: 6, .. })));
    }
}
