//! Diagonals along given vectors, from the operators of a network's mean loss.

use super::curvature_operator::finite;
use super::sum_over_samples::{Layout, Part, has_convolution, mean_over_samples};
use super::{CurvatureOperator, MeanLoss, OperatorError};
use crate::diagonals_along::{Broken, Seen, diagonals_along};
use crate::{Diagonal, DiagonalsAlong};
use faer::{Mat, MatRef};
use std::ops::ControlFlow;
use superlinear_nets::Samples;

impl From<Broken> for OperatorError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Interrupted { products } => Self::Interrupted { products },
            Broken::NotFinite { operator, vector, value } => Self::NotFinite { operator, vector, entry: 0, value },
        }
    }
}

impl<'a, S: Samples<f64>> MeanLoss<'a, f64, S> {
    /// The diagonals of `H`, `Σ` and `M₂` along the columns of `vectors` (`P × K`, unit vectors), exactly, over all
    /// samples.
    ///
    /// With converged Ritz vectors of `H` these are the pairs that the exponent of `C_ii ∝ H_ii^γ` is fitted to, for a
    /// layer of any size and for convolutions. One product with `H`, `Σ` and `M₂` each a vector; memory beside the
    /// vectors is a few panels of 128 MiB, `4·N·K` numbers for what the samples contribute, and `9K²` for its
    /// covariance. Bit-identical for any number of threads.
    ///
    /// For one dense layer whose `P × P` matrices exist anyway, `directional_contributions` also gives every sample's
    /// share.
    ///
    /// # Errors
    /// When a product is not finite.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn diagonals_along(&self, vectors: MatRef<'_, f64>) -> Result<DiagonalsAlong, OperatorError> {
        self.diagonals_along_with(vectors, |_| ControlFlow::Continue(()))
    }

    /// [`MeanLoss::diagonals_along`] with someone listening: after every panel of up to 64 vectors, how many more of
    /// the `3K` products are done. To break is an error.
    ///
    /// # Errors
    /// As [`MeanLoss::diagonals_along`], and [`OperatorError::Interrupted`].
    ///
    /// # Panics
    /// As [`MeanLoss::diagonals_along`].
    #[track_caller]
    pub fn diagonals_along_with(
        &self,
        vectors: MatRef<'_, f64>,
        listen: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<DiagonalsAlong, OperatorError> {
        assert_eq!(vectors.nrows(), self.n_params(), "vectors have an entry a selected parameter");
        let mut kept = Vec::new();
        let mut operator: Option<(Diagonal, CurvatureOperator<'a, f64, S>)> = None;
        diagonals_along(self.n_samples(), vectors, listen, |of, panel, seen| {
            if of == Diagonal::Hessian {
                return self.hessian_contributions(panel, seen, &mut kept);
            }
            kept = Vec::new();
            if operator.as_ref().is_none_or(|&(other, _)| other != of) {
                // What it keeps of the samples goes first.
                operator = None;
                let next = match of {
                    Diagonal::SecondMoment => self.hessian_second_moment(),
                    _ => self.noise_covariance()?,
                };
                operator = Some((of, next));
            }
            operator.as_ref().expect("there is one now").1.product(panel)
        })
    }

    /// `Hv` for the vectors of a panel; what every sample contributes goes to `seen`.
    fn hessian_contributions(
        &self,
        panel: MatRef<'_, f64>,
        seen: &Seen<'_>,
        kept: &mut Vec<Part<'a, f64>>,
    ) -> Result<Mat<f64>, OperatorError> {
        let mut products = Mat::zeros(panel.nrows(), panel.ncols());
        mean_over_samples(
            self,
            Layout::of(self, has_convolution(self)),
            panel,
            products.as_mut(),
            kept,
            || (),
            |(), passes, sample, group, sums| {
                let forms = passes.hessian_with_forms(&group.directions, sums);
                seen.take_up(sample - self.range.start, group.first, &forms);
            },
        );
        finite("Hessian", products)
    }
}
