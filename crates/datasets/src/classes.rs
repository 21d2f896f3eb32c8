//! A checked choice of classes.

use crate::N_CLASSES;

/// Distinct labels in `0..N_CLASSES`, in an order that numbers them anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(Vec<u8>);

/// Why a list of labels is not a choice of classes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassesError {
    /// No class, or more than there are.
    #[error("number of classes: found {found}, expected 1 to {N_CLASSES}")]
    Count {
        /// Classes asked for.
        found: usize,
    },
    /// A label outside `0..N_CLASSES`.
    #[error("class: found {found}, expected 0 to {}", N_CLASSES - 1)]
    OutOfRange {
        /// The label.
        found: u8,
    },
    /// A label given twice.
    #[error("class {found}: found twice, expected each class once")]
    Repeated {
        /// The label.
        found: u8,
    },
}

impl Classes {
    /// The classes `0..n_classes`, as in the paper.
    ///
    /// # Errors
    /// [`ClassesError::Count`] unless `n_classes` is 1 to [`N_CLASSES`].
    pub fn first(n_classes: usize) -> Result<Classes, ClassesError> {
        if !(1..=N_CLASSES).contains(&n_classes) {
            return Err(ClassesError::Count { found: n_classes });
        }
        Ok(Classes((0..n_classes as u8).collect()))
    }

    /// Exactly these classes, in this order.
    ///
    /// # Errors
    /// [`ClassesError`] when the list is empty or too long, or a label is repeated or out of range.
    pub fn of(labels: &[u8]) -> Result<Classes, ClassesError> {
        if let Some(&found) = labels.iter().find(|y| usize::from(**y) >= N_CLASSES) {
            return Err(ClassesError::OutOfRange { found });
        }
        if let Some((_, &found)) = labels.iter().enumerate().find(|(i, y)| labels[..*i].contains(y)) {
            return Err(ClassesError::Repeated { found });
        }
        if labels.is_empty() {
            return Err(ClassesError::Count { found: 0 });
        }
        Ok(Classes(labels.to_vec()))
    }

    /// How many.
    pub fn n_classes(&self) -> usize {
        self.0.len()
    }

    /// Their labels, in order.
    pub fn labels(&self) -> &[u8] {
        &self.0
    }

    /// The place of `label` in this choice, which is its new label; `None` if it is not in it.
    pub fn position(&self, label: u8) -> Option<u8> {
        self.0.iter().position(|y| *y == label).map(|i| i as u8)
    }
}

impl std::fmt::Display for Classes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, label) in self.0.iter().enumerate() {
            write!(f, "{}{label}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_distinct_labels_in_range() {
        assert_eq!(Classes::first(3).unwrap().labels(), [0, 1, 2]);
        let chosen = Classes::of(&[8, 1]).unwrap();
        assert_eq!((chosen.position(8), chosen.position(1), chosen.position(0)), (Some(0), Some(1), None));
    }

    #[test]
    fn refuses_the_rest() {
        assert_eq!(Classes::first(0), Err(ClassesError::Count { found: 0 }));
        assert_eq!(Classes::first(11), Err(ClassesError::Count { found: 11 }));
        assert_eq!(Classes::of(&[]), Err(ClassesError::Count { found: 0 }));
        assert_eq!(Classes::of(&[3, 10]), Err(ClassesError::OutOfRange { found: 10 }));
        assert_eq!(Classes::of(&[3, 1, 3]), Err(ClassesError::Repeated { found: 3 }));
    }
}
