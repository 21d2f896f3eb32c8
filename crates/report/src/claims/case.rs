//! What a claim comes down to: numbers, each with an interval and a region that is asked of it.

use serde::Serialize;

/// The region that a number is asked to lie in; an end that is infinite is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    low: f64,
    high: f64,
}

impl Asked {
    /// Both ends.
    pub const fn between(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// No further than `distance` from `centre`.
    pub const fn within(distance: f64, centre: f64) -> Self {
        Self { low: centre - distance, high: centre + distance }
    }

    /// Above `low`.
    pub const fn above(low: f64) -> Self {
        Self { low, high: f64::INFINITY }
    }

    /// At most `high`.
    pub const fn at_most(high: f64) -> Self {
        Self { low: f64::NEG_INFINITY, high }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) => write!(f, "{} to {}", short(self.low), short(self.high)),
            (true, false) => write!(f, "above {}", short(self.low)),
            _ => write!(f, "at most {}", short(self.high)),
        }
    }
}

/// How a number lies to its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Its interval, or itself where it has none, lies inside.
    #[serde(rename = "yes")]
    Yes,
    /// It lies outside.
    #[serde(rename = "no")]
    No,
    /// Its interval reaches over an end of the region, or the number does not exist.
    #[serde(rename = "undecided")]
    Undecided,
}

/// What decides a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The number itself by the three decimals that are printed of it, as the paper reads its own; an interval is
    /// shown beside it.
    Estimate,
    /// All of its interval: as asked inside, not as asked outside, undecided over an end.
    Interval,
}

/// One number of one run, or of the seeds of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// The run, and the layer where it has several.
    pub subject: String,
    /// What is measured.
    pub quantity: &'static str,
    /// What is asked of it, in words.
    pub asked: String,
    /// What was found; `None` where the quantity does not exist.
    pub estimate: Option<f64>,
    /// Its 95 % interval, where it has one.
    pub interval: Option<[f64; 2]>,
    /// Whether it is as asked.
    pub outcome: Outcome,
}

impl Case {
    /// Holds a number against its region.
    pub fn new(
        judge: Judge,
        subject: String,
        quantity: &'static str,
        asked: Asked,
        estimate: Option<f64>,
        interval: Option<[f64; 2]>,
    ) -> Self {
        let estimate = estimate.filter(|x| x.is_finite());
        let outcome = match (estimate, interval) {
            (None, _) => Outcome::Undecided,
            (Some(x), interval) => {
                let [low, high] = match judge {
                    Judge::Estimate => [(x * 1e3).round() / 1e3; 2],
                    Judge::Interval => interval.unwrap_or([x, x]),
                };
                if asked.low <= low && high <= asked.high {
                    Outcome::Yes
                } else if high < asked.low || asked.high < low {
                    Outcome::No
                } else {
                    Outcome::Undecided
                }
            }
        };
        Self { subject, quantity, asked: asked.to_string(), estimate, interval, outcome }
    }

    /// Says beside what is asked where it comes from.
    pub fn because(mut self, why: &str) -> Self {
        self.asked = format!("{}, {why}", self.asked);
        self
    }
}

/// The cases in words, quantity by quantity: what was asked, the range found, how many are as asked.
pub(super) fn in_words(cases: &[Case]) -> String {
    let mut quantities: Vec<(&str, &str)> = Vec::new();
    for case in cases {
        if !quantities.contains(&(case.quantity, &case.asked)) {
            quantities.push((case.quantity, &case.asked));
        }
    }
    let words = quantities.into_iter().map(|(quantity, asked)| {
        let of: Vec<&Case> = cases.iter().filter(|case| case.quantity == quantity && case.asked == asked).collect();
        let estimates: Vec<f64> = of.iter().filter_map(|case| case.estimate).collect();
        let (low, high) = estimates.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        let found = match estimates.len() {
            0 => "none".to_owned(),
            _ if low == high => number(low),
            _ => format!("{} to {}", number(low), number(high)),
        };
        let count = |outcome| of.iter().filter(|case| case.outcome == outcome).count();
        let undecided = match count(Outcome::Undecided) {
            0 => String::new(),
            n => format!(", {n} undecided"),
        };
        format!("{quantity} {found} (asked: {asked}, met by {} of {}{undecided})", count(Outcome::Yes), of.len())
    });
    words.collect::<Vec<_>>().join("; ")
}

/// Three decimals, and none for whole numbers.
pub fn number(x: f64) -> String {
    let text = if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.3}") };
    text.replace('-', "−")
}

/// The same without zeros at the end.
fn short(x: f64) -> String {
    let text = number(x);
    if text.contains('.') { text.trim_end_matches('0').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_over_an_end_decides_nothing() {
        let judged =
            |judge, asked, estimate, interval| Case::new(judge, String::new(), "q", asked, estimate, interval).outcome;
        let case = |asked, estimate, interval| judged(Judge::Interval, asked, estimate, interval);
        assert_eq!(judged(Judge::Estimate, Asked::above(1.0), Some(1.2), Some([0.9, 1.5])), Outcome::Yes);
        assert_eq!(judged(Judge::Estimate, Asked::between(1.0, 2.0), Some(0.9996), None), Outcome::Yes);
        assert_eq!(judged(Judge::Estimate, Asked::between(1.0, 2.0), Some(0.9994), None), Outcome::No);
        assert_eq!(case(Asked::between(1.0, 2.0), Some(0.9996), None), Outcome::No);
        assert_eq!(case(Asked::above(1.0), Some(1.2), Some([1.1, 1.3])), Outcome::Yes);
        assert_eq!(case(Asked::above(1.0), Some(1.2), Some([0.9, 1.5])), Outcome::Undecided);
        assert_eq!(case(Asked::above(1.0), Some(0.9), Some([0.8, 0.95])), Outcome::No);
        assert_eq!(case(Asked::within(0.1, 1.0), Some(1.2), None), Outcome::No);
        assert_eq!(case(Asked::at_most(0.5), Some(0.5), None), Outcome::Yes);
        assert_eq!(case(Asked::at_most(0.5), Some(f64::NAN), None), Outcome::Undecided);
        assert_eq!(case(Asked::between(1.0, 2.0), None, Some([1.0, 1.1])), Outcome::Undecided);
    }

    #[test]
    fn words_gather_quantities() {
        let case = |asked, x| Case::new(Judge::Interval, "r".to_owned(), "γ", asked, Some(x), None);
        let above = Asked::above(1.0);
        let cases = [case(above, 1.25), case(above, 0.5), case(Asked::at_most(0.0), 3.0)];
        assert_eq!(
            in_words(&cases),
            "γ 0.500 to 1.250 (asked: above 1, met by 1 of 2); γ 3 (asked: at most 0, met by 0 of 1)"
        );
        assert_eq!(Asked::within(0.25, 1.0).to_string(), "0.75 to 1.25");
        assert_eq!((number(-0.25), short(-0.5), short(10.0)), ("−0.250".into(), "−0.5".into(), "10".into()));
    }
}
