//! Where an axis is marked, and with which words.
//!
//! Each scale offers candidates from dense to sparse; the first whose labels fit is taken. Log axes mark decades
//! as `10ⁿ` (every, every second, third, …) with minor marks between; a window of less than two decades is marked
//! at 1, 2, 5 times a power of ten.

use crate::scale::Scale;

/// The last power of ten that is marked: the next is the end of what a scale shows.
const LAST: i32 = 299;

/// A labelled mark.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// All marks of an axis.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ticks {
    pub(crate) major: Vec<Tick>,
    pub(crate) minor: Vec<f64>,
}

/// Marks for the window `[lo, hi]` (transformed units): the densest set whose labels satisfy `fits`, or the
/// sparsest if none does.
pub(crate) fn choose(scale: Scale, lo: f64, hi: f64, fits: impl Fn(&[Tick]) -> bool) -> Ticks {
    let mut candidates = match scale {
        Scale::Linear => linear(lo, hi),
        Scale::Log10 => logarithmic(lo, hi),
        Scale::SymLog { linthresh } => symmetric(linthresh, lo, hi),
    };
    for ticks in &mut candidates {
        ticks.minor.retain(|&v| scale.forward(v).is_some());
    }
    let sparsest = candidates.last().cloned().unwrap_or_default();
    candidates.into_iter().find(|ticks| fits(&ticks.major)).unwrap_or(sparsest)
}

fn linear(lo: f64, hi: f64) -> Vec<Ticks> {
    let span = hi - lo;
    let first = (span / 12.0).log10().floor() as i32;
    let mut out = Vec::new();
    for exponent in first..first + 3 {
        for factor in [1.0, 2.0, 5.0] {
            let step = factor * 10f64.powi(exponent);
            let (from, to) = ((lo / step).ceil(), (hi / step).floor());
            // Beyond 2⁵³ steps from zero neighbouring marks are the same number.
            if from.abs().max(to.abs()) > 9e15 || to - from > 12.0 || to - from < 1.0 {
                continue;
            }
            let values: Vec<f64> = (0..=(to - from) as i64).map(|k| (from + k as f64) * step).collect();
            let labels = plain_labels(&values, step);
            let major = values.into_iter().zip(labels).map(|(value, label)| Tick { value, label }).collect();
            out.push(Ticks { major, minor: Vec::new() });
        }
    }
    if out.is_empty() {
        let middle = lo / 2.0 + hi / 2.0;
        out.push(Ticks { major: vec![Tick { value: middle, label: scientific(middle, 3) }], minor: Vec::new() });
    }
    out
}

/// Decimal labels with as many digits as the step needs; `m×10ⁿ` with a common exponent for large or tiny numbers.
fn plain_labels(values: &[f64], step: f64) -> Vec<String> {
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let digits = |step: f64| (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    if (1e-4..1e5).contains(&largest) && digits(step) <= 6 {
        return values.iter().map(|v| minus(&format!("{v:.*}", digits(step)))).collect();
    }
    let exponent = (largest.log10() + 1e-9).floor() as i32;
    let unit = 10f64.powi(exponent.clamp(-300, 300));
    let decimals = digits(step / unit).min(9);
    let label = |v: &f64| match v {
        0.0 => "0".to_owned(),
        _ => format!("{}×10^{{{}}}", minus(&format!("{:.decimals$}", v / unit)), minus(&exponent.to_string())),
    };
    values.iter().map(label).collect()
}

fn logarithmic(lo: f64, hi: f64) -> Vec<Ticks> {
    let inside = |t: f64| t >= lo - 1e-9 && t <= hi + 1e-9;
    let (from, to) = ((lo.floor() as i32).max(-LAST), (hi.ceil() as i32).min(LAST));
    let multiples = |factors: &[i32]| -> Vec<(i32, i32)> {
        (from..=to)
            .flat_map(|e| factors.iter().map(move |&m| (m, e)))
            .filter(|&(m, e)| inside(f64::from(m).log10() + f64::from(e)))
            .collect()
    };
    let value = |(m, e): (i32, i32)| f64::from(m) * 10f64.powi(e);
    let subdecades = || multiples(&[2, 3, 4, 5, 6, 7, 8, 9]).into_iter().map(value).collect::<Vec<_>>();
    let decades = multiples(&[1]);
    if decades.len() >= 2 {
        return [1, 2, 3, 4, 5, 6, 8, 10, 20, 50, 100, 200]
            .into_iter()
            .map(|step| Ticks {
                major: decades
                    .iter()
                    .filter(|(_, e)| e.rem_euclid(step) == 0)
                    .map(|&(_, e)| Tick { value: 10f64.powi(e), label: power_of_ten(e) })
                    .collect(),
                minor: match step {
                    1 => subdecades(),
                    2..=8 => decades.iter().map(|&d| value(d)).collect(),
                    _ => Vec::new(),
                },
            })
            .filter(|ticks| !ticks.major.is_empty())
            .collect();
    }
    let labelled = |factors: &[i32]| Ticks {
        major: multiples(factors).into_iter().map(|(m, e)| Tick { value: value((m, e)), label: short(m, e) }).collect(),
        minor: subdecades(),
    };
    let mut out: Vec<Ticks> =
        [&[1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[1, 2, 5], &[1, 3], &[1]].map(labelled).into_iter().collect();
    out.retain(|ticks| ticks.major.len() >= 2);
    // A sliver of a decade: mark it as if it were linear.
    out.extend(linear(10f64.powf(lo), 10f64.powf(hi)));
    out.retain(|ticks| ticks.major.iter().all(|tick| tick.value > 0.0));
    out
}

fn symmetric(linthresh: f64, lo: f64, hi: f64) -> Vec<Ticks> {
    let scale = Scale::SymLog { linthresh };
    let least = (linthresh.log10() - 1e-9).ceil() as i32;
    let reach = scale.inverse(lo.abs().max(hi.abs())).min(10f64.powi(LAST));
    let most = (reach.log10() + 1e-9).floor() as i32;
    if reach <= linthresh || most < least {
        return linear(scale.inverse(lo), scale.inverse(hi));
    }
    let inside = |v: f64| scale.forward(v).is_some_and(|t| t >= lo - 1e-9 && t <= hi + 1e-9);
    let mut out = Vec::new();
    for step in [1, 2, 3, 5, 10, 20, 50, 100] {
        let exponents: Vec<i32> = (least..=most).rev().step_by(step).collect();
        // The marks nearest to zero may crowd it: also offer the set without them.
        for keep in [exponents.len(), exponents.len().saturating_sub(1).max(1)] {
            let mut major: Vec<Tick> = vec![Tick { value: 0.0, label: "0".into() }];
            for &e in &exponents[..keep] {
                let value = 10f64.powi(e);
                major.push(Tick { value, label: power_of_ten(e) });
                major.push(Tick { value: -value, label: format!("−{}", power_of_ten(e)) });
            }
            major.retain(|tick| inside(tick.value));
            major.sort_by(|a, b| a.value.total_cmp(&b.value));
            let minor = (least..=most)
                .flat_map(|e| (1..10).map(move |m| f64::from(m) * 10f64.powi(e)))
                .filter(|_| step == 1 && most - least <= 6)
                .flat_map(|v| [v, -v])
                .filter(|&v| inside(v))
                .collect();
            out.push(Ticks { major, minor });
        }
    }
    // A sparse set may miss the window, and a sliver between two powers of ten has none of them.
    out.retain(|ticks| !ticks.major.is_empty());
    if out.is_empty() { linear(scale.inverse(lo), scale.inverse(hi)) } else { out }
}

fn power_of_ten(exponent: i32) -> String {
    format!("10^{{{}}}", minus(&exponent.to_string()))
}

/// `m·10ᵉ` as a decimal where that is short.
fn short(m: i32, e: i32) -> String {
    match e {
        -3..=-1 => format!("{:.*}", -e as usize, f64::from(m) * 10f64.powi(e)),
        0..=4 => format!("{}", i64::from(m) * 10i64.pow(e as u32)),
        _ if m == 1 => power_of_ten(e),
        _ => format!("{m}×{}", power_of_ten(e)),
    }
}

fn scientific(value: f64, decimals: usize) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let text = format!("{value:.decimals$e}");
    match text.split_once('e') {
        Some((mantissa, "0")) => minus(mantissa),
        Some((mantissa, exponent)) => format!("{}×10^{{{}}}", minus(mantissa), minus(exponent)),
        None => text,
    }
}

/// A true minus sign, and none before zero.
fn minus(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ticks: &Ticks) -> Vec<&str> {
        ticks.major.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn familiar_axes() {
        let at_most = |n| move |ticks: &[Tick]| ticks.len() <= n;
        assert_eq!(labels(&choose(Scale::Linear, -0.05, 1.05, at_most(6))), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&choose(Scale::Linear, -1.0, 1.0, at_most(5))), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(&choose(Scale::Linear, 0.0, 3e5, at_most(4))), ["0", "1×10^{5}", "2×10^{5}", "3×10^{5}"]);
        let decades = choose(Scale::Log10, -3.2, 0.5, at_most(9));
        assert_eq!(labels(&decades), ["10^{−3}", "10^{−2}", "10^{−1}", "10^{0}"]);
        assert!(decades.minor.iter().any(|v| (v - 2e-3).abs() < 1e-12));
        assert_eq!(
            labels(&choose(Scale::Log10, -8.0, 0.0, at_most(5))),
            ["10^{−8}", "10^{−6}", "10^{−4}", "10^{−2}", "10^{0}"]
        );
        assert_eq!(labels(&choose(Scale::Log10, 0.0, 0.95, at_most(4))), ["1", "2", "5"]);
        assert_eq!(
            labels(&choose(Scale::SymLog { linthresh: 1e-2 }, -3.0, 3.0, at_most(7))),
            ["−10^{0}", "−10^{−1}", "−10^{−2}", "0", "10^{−2}", "10^{−1}", "10^{0}"]
        );
    }

    #[test]
    fn a_sliver_of_a_symmetric_axis_is_marked() {
        let (lo, scale) = (262.4461738239716, Scale::SymLog { linthresh: 1e-3 });
        assert!(!choose(scale, lo, lo + 1e-3, |ticks| ticks.len() <= 2).major.is_empty());
    }

    proptest! {
        #[test]
        fn ticks_lie_in_the_window_in_order_with_distinct_labels(
            lo in -290f64..290.0, span in 1e-3f64..600.0, kind in 0usize..3, limit in 2usize..12,
        ) {
            let hi = (lo + span).min(313.0);
            let scale = [Scale::Linear, Scale::Log10, Scale::SymLog { linthresh: 1e-3 }][kind];
            let ticks = choose(scale, lo, hi, |ticks| ticks.len() <= limit);
            prop_assert!(!ticks.major.is_empty());
            for v in ticks.major.iter().map(|tick| tick.value).chain(ticks.minor.iter().copied()) {
                let t = scale.forward(v).expect("a tick can be shown on its axis");
                prop_assert!(t >= lo - 1e-6 && t <= hi + 1e-6, "{} outside {}..{}", t, lo, hi);
            }
            prop_assert!(ticks.major.windows(2).all(|w| w[0].value < w[1].value));
            prop_assert!(ticks.major.windows(2).all(|w| w[0].label != w[1].label), "{:?}", ticks.major);
        }

        #[test]
        fn linear_labels_name_their_values(lo in -1e4f64..1e4, span in 0.01f64..1e4) {
            for tick in choose(Scale::Linear, lo, lo + span, |_| true).major {
                if let Ok(read) = tick.label.replace('−', "-").parse::<f64>() {
                    prop_assert!((read - tick.value).abs() <= span * 1e-6);
                }
            }
        }
    }
}
