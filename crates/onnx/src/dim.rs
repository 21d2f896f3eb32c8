//! Whole numbers of shape arithmetic, with the number of samples left open.

use crate::error::{Refusal, misfit};
use std::cmp::Ordering;
use std::fmt;

/// `batch · N + fixed`, where `N ≥ 1` is the number of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dim {
    pub(crate) batch: i64,
    pub(crate) fixed: i64,
}

impl Dim {
    pub(crate) const fn fixed(fixed: i64) -> Self {
        Self { batch: 0, fixed }
    }

    pub(crate) const fn batch(batch: i64) -> Self {
        Self { batch, fixed: 0 }
    }

    /// The number, where it is the same for any number of samples.
    pub(crate) fn number(self) -> Option<i64> {
        (self.batch == 0).then_some(self.fixed)
    }

    pub(crate) fn add(self, other: Self) -> Result<Self, Refusal> {
        self.both(other, i64::checked_add)
    }

    pub(crate) fn subtract(self, other: Self) -> Result<Self, Refusal> {
        self.both(other, i64::checked_sub)
    }

    fn both(self, other: Self, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Self, Refusal> {
        match (f(self.batch, other.batch), f(self.fixed, other.fixed)) {
            (Some(batch), Some(fixed)) => Ok(Self { batch, fixed }),
            _ => too_large(),
        }
    }

    pub(crate) fn multiply(self, other: Self) -> Result<Self, Refusal> {
        let (factor, of) = match (self.number(), other.number()) {
            (Some(number), _) => (number, other),
            (_, Some(number)) => (number, self),
            _ => return misfit(format!("{self} times {other}"), "a number that is linear in that of samples"),
        };
        of.both(of, |x, _| x.checked_mul(factor))
    }

    /// Rounded towards 0.
    pub(crate) fn divide(self, other: Self) -> Result<Self, Refusal> {
        // No remainder where there is no quotient: of the least number and −1.
        let whole = |x: i64, by: i64| x.checked_rem(by).is_none_or(|rest| rest == 0);
        match other.number() {
            Some(0) => misfit(format!("{self} divided by 0"), "another divisor"),
            Some(by) if self.batch == 0 || (whole(self.batch, by) && whole(self.fixed, by)) => {
                self.both(self, |x, _| x.checked_div(by))
            }
            _ => misfit(format!("{self} divided by {other}"), "a quotient that is whole for any number of samples"),
        }
    }

    /// How it compares, if that is the same for any number of samples.
    pub(crate) fn compare(self, other: Self) -> Result<Ordering, Refusal> {
        let Self { batch, fixed } = self.subtract(other)?;
        match (batch.cmp(&0), batch.saturating_add(fixed).cmp(&0)) {
            (Ordering::Equal, _) => Ok(fixed.cmp(&0)),
            (Ordering::Greater, Ordering::Greater) => Ok(Ordering::Greater),
            (Ordering::Less, Ordering::Less) => Ok(Ordering::Less),
            _ => {
                misfit(format!("a comparison of {self} with {other}"), "one that is the same for any number of samples")
            }
        }
    }
}

fn too_large<T>() -> Result<T, Refusal> {
    misfit("a whole number beyond 64 bits", "smaller ones")
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { batch: 0, fixed } => write!(f, "{fixed}"),
            Self { batch: 1, fixed: 0 } => write!(f, "N"),
            Self { batch, fixed: 0 } => write!(f, "{batch}N"),
            Self { batch, fixed } => write!(f, "({batch}N + {fixed})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_the_number_of_samples_is_an_error() {
        let (n, two) = (Dim::batch(1), Dim::fixed(2));
        let four_n = n.multiply(two).unwrap().multiply(two).unwrap();
        assert_eq!(four_n.divide(two).unwrap(), Dim::batch(2));
        assert_eq!(n.compare(Dim::fixed(-1)).unwrap(), Ordering::Greater);
        assert_eq!(Dim::fixed(-7).divide(two).unwrap().number(), Some(-3));
        assert!(n.divide(two).is_err() && n.multiply(n).is_err() && n.compare(two).is_err());
        for least in [Dim::fixed(i64::MIN), Dim::batch(i64::MIN)] {
            assert!(least.divide(Dim::fixed(-1)).is_err());
        }
    }
}
