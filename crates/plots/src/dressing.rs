//! What surrounds one plot area: marks, axis titles, panel title, colour bar; and the room it takes.

use crate::figure::{Aspect, Axis, Direction, Panel, Range, TickMarks};
use crate::heat_map::ColorBar;
use crate::layers::Layer;
use crate::legend::LegendBox;
use crate::scale::{Scale, View};
use crate::survey::Survey;
use crate::text;
use crate::ticks::{self, Tick, Ticks};

/// Font sizes and distances in nominal pixels.
pub(crate) const PANEL_TITLE: f64 = 12.5;
pub(crate) const LABEL: f64 = 11.5;
pub(crate) const TICK: f64 = 11.0;
pub(crate) const TICK_LENGTH: f64 = 4.0;
pub(crate) const TICK_GAP: f64 = 3.0;
pub(crate) const BAR_GAP: f64 = 8.0;
pub(crate) const BAR_WIDTH: f64 = 11.0;
const LABEL_GAP: f64 = 5.0;
/// Slant of names too long for their place.
pub(crate) const SLANT_DEGREES: f64 = 35.0;

/// The surroundings of a plot area of `width × height`.
#[derive(Debug, Clone)]
pub(crate) struct Dressing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: View,
    pub(crate) y: View,
    pub(crate) x_ticks: Ticks,
    pub(crate) y_ticks: Ticks,
    pub(crate) x_names: Names,
    /// Where vertical grid lines run: at numbers, not at names.
    pub(crate) x_grid: Vec<f64>,
    pub(crate) title: Vec<String>,
    /// Lines of notes with no place inside the plot.
    pub(crate) notes_above: Vec<String>,
    pub(crate) x_label: Vec<String>,
    pub(crate) y_label: Vec<String>,
    pub(crate) bar: Option<Bar>,
    /// Room needed on each side of the plot area.
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    /// From the plot area's left edge to the near edge of the y title.
    pub(crate) y_label_offset: f64,
    /// From the plot area's bottom to the top of the x title, and to the top of a legend below.
    pub(crate) x_label_offset: f64,
    pub(crate) legend_offset: f64,
}

/// How the names along the x axis are set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Names {
    /// Each centred under its mark, on these lines.
    Upright(Vec<Vec<String>>),
    /// Each slanted, its end at the mark.
    Slanted,
}

/// A colour bar beside the plot.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) colors: ColorBar,
    pub(crate) ticks: Ticks,
    pub(crate) label: Vec<String>,
    /// From the plot's right edge to the near edge of the bar's title.
    pub(crate) label_offset: f64,
}

/// What a panel must find room for besides its axes.
pub(crate) struct Extras<'a> {
    /// Notes with no place inside the plot.
    pub(crate) notes_above: Vec<&'a str>,
    pub(crate) legend_below: Option<&'a LegendBox>,
}

/// Dresses a plot area that may be as large as `slot`. `beside` is the room to the plot's left and right that titles
/// may reach into.
pub(crate) fn dress(
    panel: &Panel,
    survey: &Survey,
    slot: (f64, f64),
    beside: (f64, f64),
    extras: &Extras<'_>,
    unit: f64,
) -> Dressing {
    let (x_window, y_window) = (survey.x_window(&panel.x), survey.y_window(&panel.y));
    let (width, height) = match panel.aspect {
        Aspect::Free => slot,
        Aspect::Equal => {
            let (dx, dy) = (x_window.1 - x_window.0, y_window.1 - y_window.0);
            let per_unit = (slot.0 / dx).min(slot.1 / dy);
            // A very long matrix keeps a visible width.
            ((dx * per_unit).max(0.1 * slot.0), (dy * per_unit).max(0.1 * slot.1))
        }
    };
    let x = view(&panel.x, x_window, 0.0, width);
    let y = view(&panel.y, y_window, height, 0.0);
    let size = TICK * unit;
    let shown = |axis: &Axis| survey.has_data || axis.range != Range::Auto;
    let x_ticks = if shown(&panel.x) { x_ticks(panel, &x, unit) } else { Ticks::default() };
    let y_ticks = match &panel.y.ticks {
        _ if !shown(&panel.y) => Ticks::default(),
        TickMarks::Named(names) => named(names, &y),
        TickMarks::Auto => vertical(y.scale, &y, unit, |fits| ticks::choose(y.scale, y.lo, y.hi, fits)),
    };
    let x_names = set_names(panel, &x, &x_ticks, unit);
    let x_grid = match given_names(panel) {
        Some(_) => Vec::new(),
        None => x_ticks.major.iter().map(|tick| tick.value).collect(),
    };

    let reach = (TICK_LENGTH + TICK_GAP) * unit;
    let y_names = y_ticks.major.iter().map(|tick| text::width(&tick.label, size)).fold(0.0, f64::max);
    let y_label = text::wrap_evenly(&panel.y.label, LABEL * unit, height.max(60.0 * unit));
    let y_label_offset = reach + y_names + LABEL_GAP * unit;
    let line = |lines: &[String], size: f64| lines.len() as f64 * text::LINE * size * unit;
    let mut left = match y_label.is_empty() {
        true => reach + y_names,
        false => y_label_offset + line(&y_label, LABEL),
    };

    let (names_below, over_left, over_right) = names_room(&x, &x_ticks, &x_names, unit);
    left = left.max(over_left);
    let x_label_offset = reach + names_below + 0.6 * LABEL_GAP * unit;
    let x_label = text::wrap_evenly(&panel.x.label, LABEL * unit, width + 2.0 * beside.0.min(beside.1));
    let legend_offset = x_label_offset + line(&x_label, LABEL) + 2.0 * unit;
    let bottom = legend_offset + extras.legend_below.map_or(0.0, |b| b.height + 2.0 * unit);

    let bar = color_bar(panel, height, unit);
    let bar_room = bar.as_ref().map_or(0.0, |bar| bar.label_offset + line(&bar.label, LABEL));
    let right = over_right.max(bar_room).max(4.0 * unit);

    let title = text::wrap_evenly(&panel.title, PANEL_TITLE * unit, width + 2.0 * beside.0.min(beside.1));
    let around = width + beside.0.min(beside.1);
    let notes_above: Vec<String> =
        extras.notes_above.iter().flat_map(|note| text::wrap(note, TICK * unit, around)).collect();
    let top = line(&title, PANEL_TITLE) + line(&notes_above, TICK) + 7.0 * unit;
    Dressing {
        width,
        height,
        x,
        y,
        x_ticks,
        y_ticks,
        x_names,
        x_grid,
        title,
        notes_above,
        x_label,
        y_label,
        bar,
        left,
        right,
        top,
        bottom,
        y_label_offset,
        x_label_offset,
        legend_offset,
    }
}

fn view(axis: &Axis, (lo, hi): (f64, f64), start: f64, end: f64) -> View {
    let (px_lo, px_hi) = match axis.direction {
        Direction::Increasing => (start, end),
        Direction::Decreasing => (end, start),
    };
    View { scale: axis.scale, lo, hi, px_lo, px_hi }
}

fn named(names: &[(f64, String)], view: &View) -> Ticks {
    let shown = |v: f64| view.scale.forward(v).is_some_and(|t| t >= view.lo - 1e-9 && t <= view.hi + 1e-9);
    let tick = |(value, label): &(f64, String)| Tick { value: *value, label: label.clone() };
    let mut major: Vec<Tick> = names.iter().filter(|(v, _)| shown(*v)).map(tick).collect();
    major.sort_by(|a, b| a.value.total_cmp(&b.value));
    Ticks { major, minor: Vec::new() }
}

/// The names an axis was given: its own, or those of its bars' categories.
fn given_names(panel: &Panel) -> Option<Vec<(f64, String)>> {
    match &panel.x.ticks {
        TickMarks::Named(names) => Some(names.clone()),
        TickMarks::Auto => panel.layers.iter().find_map(|layer| match layer {
            Layer::Bars(b) => Some(b.categories.iter().enumerate().map(|(k, c)| (k as f64, c.clone())).collect()),
            _ => None,
        }),
    }
}

fn x_ticks(panel: &Panel, x: &View, unit: f64) -> Ticks {
    if let Some(names) = given_names(panel) {
        return named(&names, x);
    }
    let fits = |ticks: &[Tick]| {
        let ends = |tick: &Tick| {
            let (at, half) = (x.px(tick.value).unwrap_or(0.0), text::width(&tick.label, TICK * unit) / 2.0);
            (at - half, at + half)
        };
        let mut spans: Vec<_> = ticks.iter().map(ends).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        spans.windows(2).all(|w| w[1].0 - w[0].1 >= 0.8 * TICK * unit) && enough_room(ticks, x, 34.0 * unit)
    };
    ticks::choose(x.scale, x.lo, x.hi, fits)
}

/// Marks for an upright axis: labels must not touch.
fn vertical(scale: Scale, view: &View, unit: f64, choose: impl FnOnce(&dyn Fn(&[Tick]) -> bool) -> Ticks) -> Ticks {
    let view = View { scale, ..*view };
    choose(&|ticks: &[Tick]| {
        let mut at: Vec<f64> = ticks.iter().filter_map(|tick| view.px(tick.value)).collect();
        at.sort_by(f64::total_cmp);
        at.windows(2).all(|w| w[1] - w[0] >= 1.35 * TICK * unit) && enough_room(ticks, &view, 22.0 * unit)
    })
}

/// Marks are `least` apart on average: denser ones fit, but tire the eye.
fn enough_room(ticks: &[Tick], view: &View, least: f64) -> bool {
    ticks.len() < 3 || view.length() / (ticks.len() - 1) as f64 >= least
}

/// Upright names where each fits beside its neighbours, wrapped at spaces if need be; else slanted ones.
fn set_names(panel: &Panel, x: &View, ticks: &Ticks, unit: f64) -> Names {
    let size = TICK * unit;
    if given_names(panel).is_none() {
        return Names::Upright(ticks.major.iter().map(|tick| vec![tick.label.clone()]).collect());
    }
    let at: Vec<f64> = ticks.major.iter().filter_map(|tick| x.px(tick.value)).collect();
    let apart = at.windows(2).map(|w| (w[1] - w[0]).abs()).fold(x.length(), f64::min);
    let limit = apart - 0.6 * size;
    let fits = |tick: &Tick| tick.label.split(' ').all(|word| text::width(word, size) <= limit);
    match ticks.major.iter().all(fits) {
        true => Names::Upright(ticks.major.iter().map(|tick| text::wrap(&tick.label, size, limit)).collect()),
        false => Names::Slanted,
    }
}

/// Height of the names, and how far they reach beyond the plot's left and right edges.
fn names_room(x: &View, ticks: &Ticks, names: &Names, unit: f64) -> (f64, f64, f64) {
    let size = TICK * unit;
    let (sine, cosine) = SLANT_DEGREES.to_radians().sin_cos();
    let (mut height, mut left, mut right) = (0.0f64, 0.0f64, 0.0f64);
    for (k, tick) in ticks.major.iter().enumerate() {
        let at = x.px(tick.value).unwrap_or(0.0);
        match names {
            Names::Upright(lines) => {
                let half = text::widest(&lines[k], size) / 2.0;
                height = height.max(lines[k].len() as f64 * text::LINE * size);
                left = left.max(half - at);
                right = right.max(at + half - x.length());
            }
            Names::Slanted => {
                let width = text::width(&tick.label, size);
                height = height.max(width * sine + size);
                left = left.max(width * cosine - at);
                right = right.max(at + 0.5 * size - x.length());
            }
        }
    }
    (height, left, right)
}

fn color_bar(panel: &Panel, height: f64, unit: f64) -> Option<Bar> {
    let map = panel.layers.iter().rev().find_map(|layer| match layer {
        Layer::HeatMap(map) => Some(map),
        _ => None,
    })?;
    let colors = map.bar();
    let view = View { scale: colors.scale, lo: colors.lo, hi: colors.hi, px_lo: height, px_hi: 0.0 };
    let mut ticks = vertical(colors.scale, &view, unit, |fits| colors.ticks(fits));
    ticks.minor.clear();
    let names = ticks.major.iter().map(|tick| text::width(&tick.label, TICK * unit)).fold(0.0, f64::max);
    let label_offset = (BAR_GAP + BAR_WIDTH + TICK_LENGTH + TICK_GAP + LABEL_GAP) * unit + names;
    Some(Bar {
        colors,
        ticks,
        label: text::wrap_evenly(&map.bar_label, LABEL * unit, height.max(60.0 * unit)),
        label_offset,
    })
}
