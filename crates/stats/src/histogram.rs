//! Counts in bins of equal width.

use thiserror::Error;

/// How many values fall in each bin, and how many in none.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The `counts.len() + 1` bin edges, ascending.
    pub edges: Vec<f64>,
    /// Bin `k` holds `edges[k] ≤ v < edges[k+1]`; the last one holds its right edge too.
    pub counts: Vec<usize>,
    /// Values left of the first edge.
    pub below: usize,
    /// Values right of the last edge.
    pub above: usize,
    /// Values that are not numbers.
    pub not_a_number: usize,
}

/// Why the bins are no bins.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum HistogramError {
    /// No bins were asked for.
    #[error("0 bins: expected at least 1")]
    NoBins,
    /// The range is empty, reversed or not finite.
    #[error("range {low} to {high}: expected finite numbers, the second larger")]
    Range {
        /// Left end given.
        low: f64,
        /// Right end given.
        high: f64,
    },
}

/// Counts `values` in `n_bins` equal bins that span `low` to `high`. Every value is counted somewhere.
///
/// # Errors
///
/// [`HistogramError`] for zero bins or a range that spans nothing.
pub fn histogram(values: &[f64], n_bins: usize, low: f64, high: f64) -> Result<Histogram, HistogramError> {
    if n_bins == 0 {
        return Err(HistogramError::NoBins);
    }
    let width = (high - low) / n_bins as f64;
    if !(width.is_finite() && width > 0.0 && low + width > low) {
        return Err(HistogramError::Range { low, high });
    }
    let mut edges: Vec<f64> = (0..n_bins).map(|k| low + k as f64 * width).collect();
    edges.push(high);
    let mut found = Histogram { edges, counts: vec![0; n_bins], below: 0, above: 0, not_a_number: 0 };
    for &value in values {
        if value.is_nan() {
            found.not_a_number += 1;
        } else if value < low {
            found.below += 1;
        } else if value > high {
            found.above += 1;
        } else {
            // By the edges as published, not by a division that may round the other way.
            let right_of = found.edges.partition_point(|&edge| edge <= value);
            found.counts[right_of.clamp(1, n_bins) - 1] += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_belong_to_the_bin_on_their_right_but_for_the_last() {
        let values = [1.0, 1.25, 1.24, 2.0, 1.5, 0.9, 2.1, f64::NAN, f64::INFINITY];
        let found = histogram(&values, 4, 1.0, 2.0).unwrap();
        assert_eq!(found.edges, [1.0, 1.25, 1.5, 1.75, 2.0]);
        assert_eq!(found.counts, [2, 1, 1, 1]);
        assert_eq!((found.below, found.above, found.not_a_number), (1, 2, 1));
    }

    #[test]
    fn refuses_bins_that_span_nothing() {
        assert_eq!(histogram(&[], 0, 0.0, 1.0), Err(HistogramError::NoBins));
        for (low, high) in [(1.0, 1.0), (2.0, 1.0), (0.0, f64::INFINITY)] {
            assert_eq!(histogram(&[], 3, low, high), Err(HistogramError::Range { low, high }));
        }
        assert!(histogram(&[], 3, f64::NAN, 1.0).is_err());
    }

    proptest! {
        #[test]
        fn every_value_is_counted_in_its_own_bin(
            values in prop::collection::vec(any::<f64>(), 0..50),
            n_bins in 1usize..20,
            low in -3.0..3.0f64,
            span in 0.1..9.0f64,
        ) {
            let found = histogram(&values, n_bins, low, low + span).unwrap();
            let total = found.counts.iter().sum::<usize>() + found.below + found.above + found.not_a_number;
            prop_assert_eq!(total, values.len());
            for (k, &count) in found.counts.iter().enumerate() {
                let (left, right) = (found.edges[k], found.edges[k + 1]);
                let last = k + 1 == n_bins;
                let inside = values.iter().filter(|&&v| v >= left && (v < right || last && v == right)).count();
                prop_assert_eq!(count, inside);
            }
        }
    }
}
