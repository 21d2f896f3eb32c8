//! Factors that somebody else has computed.

use faer::Mat;

/// How far an `S_p` may be from symmetric, of its largest entry: what single precision leaves of a Hessian.
const ASYMMETRY: f64 = 1e-5;

/// The factors of a layer over `N` samples, from any network and any loss: what
/// [`AnalysedLayer::from_factors`](crate::AnalysedLayer::from_factors) takes.
///
/// Arrays of NumPy or PyTorch, `a` of `[N, d_in]`, `δ` of `[N, d_out]` and `S` of `[N, d_out, d_out]`, stand in memory
/// as these do: a row of theirs is a column here. Derivatives are those of one sample's loss, not divided by `N`.
#[derive(Clone, Debug)]
pub struct LayerFactors {
    /// `a_p` as columns, `d_in × N`.
    pub activities: Mat<f64>,
    /// `δ_p = ∂ℓ_p/∂z_p` as columns, `d_out × N`.
    pub deltas: Mat<f64>,
    /// `S_p = ∂²ℓ_p/∂z_p²`, one behind the other, `N · d_out²` numbers.
    pub curvatures: Vec<f64>,
    /// `W`, `d_out × d_in`, which only the duality needs.
    pub weight: Option<Mat<f64>>,
    /// The class of every sample, which only matching partners needs.
    pub labels: Option<Vec<u8>>,
}

/// Factors that are not those of a layer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LayerFactorsError {
    /// There are no samples, inputs or outputs.
    #[error("factors of a layer with N = {n_samples}, d_in = {d_in} and d_out = {d_out}: expected at least 1 of each")]
    Empty {
        /// `N`, the columns of the activities.
        n_samples: usize,
        /// Their rows.
        d_in: usize,
        /// Rows of the gradients.
        d_out: usize,
    },
    /// Factors do not fit together: `N` and `d_in` are those of the activities, `d_out` that of the gradients.
    #[error("{what}: {found:?}, expected {expected:?}")]
    Shape {
        /// `columns of the gradients`, `length of the curvatures`, `shape of the weight` or `number of labels`.
        what: &'static str,
        /// What would fit.
        expected: Vec<usize>,
        /// What was given.
        found: Vec<usize>,
    },
    /// A number is infinite or NaN.
    #[error("{what} {index} has an entry {value}, expected finite numbers")]
    NotFinite {
        /// `activity of sample`, `gradient of sample`, `curvature of sample` or `weight column`.
        what: &'static str,
        /// Which.
        index: usize,
        /// The entry.
        value: f64,
    },
    /// A pre-activation Hessian differs from its transpose by more than rounding in single precision.
    #[error("S of sample {sample} is not symmetric: {lower:e} at ({row}, {column}) and {upper:e} across the diagonal")]
    NotSymmetric {
        /// Which sample.
        sample: usize,
        /// Of the entry below the diagonal.
        row: usize,
        /// Likewise.
        column: usize,
        /// The entry.
        lower: f64,
        /// The entry at `(column, row)`.
        upper: f64,
    },
}

/// What is given beside activities and gradients, checked.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// `S_p`, one behind the other, symmetric to the last bit.
    pub(super) curvatures: Vec<f64>,
    pub(super) weight: Option<Mat<f64>>,
    pub(super) labels: Option<Vec<u8>>,
}

impl Given {
    /// Activities, gradients and the rest, in which every `S_p` is the mean of what was given and its transpose.
    pub(super) fn check(factors: LayerFactors) -> Result<(Mat<f64>, Mat<f64>, Self), LayerFactorsError> {
        let LayerFactors { activities, deltas, mut curvatures, weight, labels } = factors;
        let (d_in, n_samples, d_out) = (activities.nrows(), activities.ncols(), deltas.nrows());
        if n_samples == 0 || d_in == 0 || d_out == 0 {
            return Err(LayerFactorsError::Empty { n_samples, d_in, d_out });
        }
        let fits = |what, expected: &[usize], found: &[usize]| {
            let wrong = || LayerFactorsError::Shape { what, expected: expected.to_vec(), found: found.to_vec() };
            if expected == found { Ok(()) } else { Err(wrong()) }
        };
        fits("columns of the gradients", &[n_samples], &[deltas.ncols()])?;
        fits("length of the curvatures", &[n_samples * d_out * d_out], &[curvatures.len()])?;
        finite_columns("activity of sample", &activities)?;
        finite_columns("gradient of sample", &deltas)?;
        if let Some(weight) = &weight {
            fits("shape of the weight", &[d_out, d_in], &[weight.nrows(), weight.ncols()])?;
            finite_columns("weight column", weight)?;
        }
        if let Some(labels) = &labels {
            fits("number of labels", &[n_samples], &[labels.len()])?;
        }
        for (sample, S) in curvatures.chunks_exact_mut(d_out * d_out).enumerate() {
            finite("curvature of sample", sample, S)?;
            symmetrise(S, d_out).map_err(|[row, column]| LayerFactorsError::NotSymmetric {
                sample,
                row,
                column,
                lower: S[column * d_out + row],
                upper: S[row * d_out + column],
            })?;
        }
        Ok((activities, deltas, Self { curvatures, weight, labels }))
    }
}

fn finite_columns(what: &'static str, A: &Mat<f64>) -> Result<(), LayerFactorsError> {
    (0..A.ncols()).try_for_each(|j| finite(what, j, A.col_as_slice(j)))
}

fn finite(what: &'static str, index: usize, values: &[f64]) -> Result<(), LayerFactorsError> {
    match values.iter().find(|x| !x.is_finite()) {
        None => Ok(()),
        Some(&value) => Err(LayerFactorsError::NotFinite { what, index, value }),
    }
}

/// Replaces `S` by `½(S + Sᵀ)`, which keeps the bits of a symmetric one; or the entry that is too far from its mirror
/// image.
fn symmetrise(S: &mut [f64], d: usize) -> Result<(), [usize; 2]> {
    let largest = S.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    for j in 0..d {
        for i in j + 1..d {
            let (lower, upper) = (S[j * d + i], S[i * d + j]);
            // Halves first: their difference and sum are finite.
            if (0.5 * lower - 0.5 * upper).abs() > 0.5 * ASYMMETRY * largest {
                return Err([i, j]);
            }
            if lower != upper {
                let mean = 0.5 * lower + 0.5 * upper;
                (S[j * d + i], S[i * d + j]) = (mean, mean);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnalysedLayer, absolute_hessian};

    /// Two samples, three inputs, two outputs.
    fn factors() -> LayerFactors {
        LayerFactors {
            activities: Mat::from_fn(3, 2, |i, p| (i + p) as f64 + 1.0),
            deltas: Mat::from_fn(2, 2, |o, p| o as f64 - p as f64),
            curvatures: vec![2.0, -1.0, -1.0, 0.5, 1.0, 0.0, 0.0, 3.0],
            weight: Some(Mat::full(2, 3, 1.0)),
            labels: Some(vec![0, 1]),
        }
    }

    #[track_caller]
    fn error(change: impl Fn(&mut LayerFactors)) -> LayerFactorsError {
        let mut wrong = factors();
        change(&mut wrong);
        AnalysedLayer::from_factors(wrong).unwrap_err()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let shape = |what, expected: &[usize], found: &[usize]| LayerFactorsError::Shape {
            what,
            expected: expected.to_vec(),
            found: found.to_vec(),
        };
        assert!(AnalysedLayer::from_factors(factors()).is_ok());
        let empty = LayerFactorsError::Empty { n_samples: 0, d_in: 3, d_out: 2 };
        assert_eq!(error(|f| f.activities = Mat::zeros(3, 0)), empty);
        let deltas = shape("columns of the gradients", &[2], &[3]);
        assert_eq!(error(|f| f.deltas = Mat::zeros(2, 3)), deltas);
        assert_eq!(error(|f| f.curvatures.truncate(4)), shape("length of the curvatures", &[8], &[4]));
        assert_eq!(error(|f| f.weight = Some(Mat::zeros(3, 2))), shape("shape of the weight", &[2, 3], &[3, 2]));
        assert_eq!(error(|f| f.labels = Some(vec![0; 3])), shape("number of labels", &[2], &[3]));
        assert_eq!(deltas.to_string(), "columns of the gradients: [3], expected [2]");
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let infinite = |what, index| LayerFactorsError::NotFinite { what, index, value: f64::INFINITY };
        assert_eq!(error(|f| f.activities[(2, 1)] = f64::INFINITY), infinite("activity of sample", 1));
        assert_eq!(error(|f| f.deltas[(1, 0)] = f64::INFINITY), infinite("gradient of sample", 0));
        assert_eq!(error(|f| f.curvatures[5] = f64::INFINITY), infinite("curvature of sample", 1));
        let weight = error(|f| f.weight = Some(Mat::from_fn(2, 3, |_, i| if i == 2 { f64::INFINITY } else { 0.0 })));
        assert_eq!(weight, infinite("weight column", 2));
        assert_eq!(weight.to_string(), "weight column 2 has an entry inf, expected finite numbers");
    }

    #[test]
    fn rounding_is_symmetrised_and_more_is_refused() {
        let mut rounded = factors();
        rounded.curvatures[1] += 1e-6;
        let layer = AnalysedLayer::from_factors(rounded).unwrap();
        let S = layer.map(|sample| sample.S.to_owned());
        assert_eq!(S[0][(0, 1)], S[0][(1, 0)]);
        assert!((S[0][(0, 1)] + 1.0 - 0.5e-6).abs() < 1e-15);
        // The second sample had nothing to mend.
        assert_eq!(S[1], faer::mat![[1.0, 0.0], [0.0, 3.0]]);
        let transposed = LayerFactorsError::NotSymmetric { sample: 1, row: 1, column: 0, lower: 0.5, upper: 0.0 };
        assert_eq!(error(|f| f.curvatures[5] = 0.5), transposed);
    }

    /// No eigenvalue is left in a buffer by the sample before.
    #[test]
    fn a_sample_without_curvature_adds_nothing() {
        let mut one = factors();
        one.curvatures[4..].fill(0.0);
        let H = absolute_hessian(&AnalysedLayer::from_factors(one.clone()).unwrap());
        one.activities.as_mut().col_mut(1).fill(0.0);
        assert_eq!(absolute_hessian(&AnalysedLayer::from_factors(one).unwrap()), H);
    }
}
