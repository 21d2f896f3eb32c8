//! How an axis turns values into positions: linear, base-10 logarithmic, or symmetric-logarithmic.

/// Magnitudes beyond this count as infinite: sums and differences of two such values would overflow.
const HUGE: f64 = 1e300;

/// The mapping of an axis from values to equal lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal differences have equal lengths.
    Linear,
    /// Equal ratios have equal lengths; values ≤ 0 cannot be shown and are dropped.
    Log10,
    /// Linear within `±linthresh`, logarithmic beyond, with both signs. The interval `[0, linthresh]`
    /// is as long as one decade.
    SymLog {
        /// Where the logarithmic part begins; finite and > 0.
        linthresh: f64,
    },
}

impl Scale {
    /// The position of `value`, or `None` when the scale cannot show it (non-finite, or ≤ 0 on a log scale).
    pub(crate) fn forward(self, value: f64) -> Option<f64> {
        if !value.is_finite() || value.abs() > HUGE {
            return None;
        }
        match self {
            Self::Linear => Some(value),
            Self::Log10 => (value > 0.0).then(|| value.log10()),
            Self::SymLog { linthresh } => Some(if value.abs() <= linthresh {
                value / linthresh
            } else {
                value.signum() * (1.0 + value.abs().log10() - linthresh.log10())
            }),
        }
    }

    /// The value at a position.
    pub(crate) fn inverse(self, position: f64) -> f64 {
        match self {
            Self::Linear => position,
            Self::Log10 => 10f64.powf(position),
            Self::SymLog { linthresh } if position.abs() <= 1.0 => position * linthresh,
            Self::SymLog { linthresh } => position.signum() * 10f64.powf(position.abs() - 1.0 + linthresh.log10()),
        }
    }
}

/// An axis with its window, laid on a stretch of pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) scale: Scale,
    /// Window in transformed units, `lo < hi`.
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    /// Pixels of `lo` and `hi`; either may be the greater one.
    pub(crate) px_lo: f64,
    pub(crate) px_hi: f64,
}

impl View {
    /// The pixel of a value; far-away values are held at a large finite distance.
    pub(crate) fn px(&self, value: f64) -> Option<f64> {
        self.scale.forward(value).map(|t| self.px_of_position(t))
    }

    /// As [`View::px`], but what lies below a log scale goes to the window's lower end. `None` if not finite.
    pub(crate) fn px_or_floor(&self, value: f64) -> Option<f64> {
        match self.scale {
            Scale::Log10 if value <= 0.0 && value.is_finite() => Some(self.px_lo),
            _ => self.px(value),
        }
    }

    pub(crate) fn px_of_position(&self, t: f64) -> f64 {
        let share = ((t - self.lo) / (self.hi - self.lo)).clamp(-1e6, 1e6);
        self.px_lo + share * (self.px_hi - self.px_lo)
    }

    pub(crate) fn length(&self) -> f64 {
        (self.px_hi - self.px_lo).abs()
    }
}

/// The window around data in `[lo, hi]` (transformed units): a little room at each end not `pinned`, and a
/// width above zero.
pub(crate) fn window(scale: Scale, lo: f64, hi: f64, pinned: [bool; 2]) -> (f64, f64) {
    let middle = lo / 2.0 + hi / 2.0;
    let least = match scale {
        Scale::Linear => (middle.abs() * 1e-9).max(f64::MIN_POSITIVE * 1e9),
        _ => 1e-6,
    };
    if hi - lo < least {
        let half = match scale {
            Scale::Linear if middle != 0.0 => middle.abs() * 0.1,
            Scale::Linear => 1.0,
            _ => 0.5,
        };
        return (if pinned[0] { lo } else { lo - half }, if pinned[1] { hi } else { hi + half });
    }
    let room = (hi - lo) * 0.045;
    (if pinned[0] { lo } else { lo - room }, if pinned[1] { hi } else { hi + room })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_scale_cannot_show() {
        for scale in [Scale::Linear, Scale::Log10, Scale::SymLog { linthresh: 1e-3 }] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e301] {
                assert_eq!(scale.forward(bad), None);
            }
        }
        assert_eq!(Scale::Log10.forward(0.0), None);
        assert_eq!(Scale::Log10.forward(-1.0), None);
        assert_eq!(Scale::Log10.forward(5e-324).map(f64::is_finite), Some(true));
    }

    #[test]
    fn one_decade_beyond_the_threshold_is_as_long_as_the_linear_part() {
        let scale = Scale::SymLog { linthresh: 0.01 };
        assert_eq!(scale.forward(0.01), Some(1.0));
        assert!((scale.forward(0.1).unwrap() - 2.0).abs() < 1e-12);
        assert!((scale.forward(-10.0).unwrap() + 4.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn inverse_undoes_forward_and_order_is_kept(a in -1e6f64..1e6, b in -1e6f64..1e6) {
            for scale in [Scale::Linear, Scale::Log10, Scale::SymLog { linthresh: 1e-4 }] {
                if let (Some(ta), Some(tb)) = (scale.forward(a), scale.forward(b)) {
                    prop_assert!((scale.inverse(ta) - a).abs() <= 1e-9 * a.abs().max(1e-12));
                    prop_assert_eq!(a < b, ta < tb);
                }
            }
        }

        #[test]
        fn a_window_is_finite_and_holds_its_data(a in -1e299f64..1e299, w in 0f64..1.0) {
            let b = a + a.abs() * w;
            let (lo, hi) = window(Scale::Linear, a, b, [false, false]);
            prop_assert!(lo.is_finite() && hi.is_finite() && lo < hi && lo <= a && hi >= b);
        }
    }
}
