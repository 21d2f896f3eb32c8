//! Diagonals along given vectors, from the operators of a graph's mean loss.

use super::operator::GraphOperator;
use super::{GraphCurvatureError, GraphLoss};
use crate::diagonals_along::{Broken, diagonals_along};
use crate::{Diagonal, DiagonalsAlong};
use faer::MatRef;
use std::ops::ControlFlow;
use superlinear_nets::GraphSamples;

impl From<Broken> for GraphCurvatureError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Interrupted { products } => Self::Interrupted { products },
            Broken::NotFinite { operator, vector, value } => {
                Self::NotFinite { quantity: operator, entry: vector, value }
            }
        }
    }
}

impl<'a, S: GraphSamples<f64>> GraphLoss<'a, f64, S> {
    /// The diagonals of `H`, `Σ` and `M₂` along the columns of `vectors` (`P × K`, unit vectors), exactly, over all
    /// samples.
    ///
    /// With converged Ritz vectors of `H` these are the pairs that the exponent of `C_ii ∝ H_ii^γ` is fitted to, for
    /// any parameters of any graph. One product with `H`, `Σ` and `M₂` each a vector; memory beside the vectors is a
    /// few panels of 128 MiB, `4·N·K` numbers for what the samples contribute, and `9K²` for its covariance.
    /// Bit-identical for any number of threads. The objective's penalty is in `H` and `M₂`, not in `Σ`.
    ///
    /// # Errors
    /// When a product is not finite.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn diagonals_along(&self, vectors: MatRef<'_, f64>) -> Result<DiagonalsAlong, GraphCurvatureError> {
        self.diagonals_along_with(vectors, |_| ControlFlow::Continue(()))
    }

    /// [`GraphLoss::diagonals_along`] with someone listening: after every panel of up to 64 vectors, how many more of
    /// the `3K` products are done. To break is an error.
    ///
    /// # Errors
    /// As [`GraphLoss::diagonals_along`], and [`GraphCurvatureError::Interrupted`].
    ///
    /// # Panics
    /// As [`GraphLoss::diagonals_along`].
    #[track_caller]
    pub fn diagonals_along_with(
        &self,
        vectors: MatRef<'_, f64>,
        listen: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<DiagonalsAlong, GraphCurvatureError> {
        assert_eq!(vectors.nrows(), self.n_params(), "vectors have an entry a parameter");
        let mut operator: Option<(Diagonal, GraphOperator<'a, f64, S>)> = None;
        diagonals_along(self.n_samples(), vectors, listen, |of, panel, seen| {
            if operator.as_ref().is_none_or(|&(other, _)| other != of) {
                // What it keeps of the samples goes first.
                operator = None;
                let next = match of {
                    Diagonal::Hessian => self.hessian(),
                    Diagonal::Covariance => self.noise_covariance(),
                    Diagonal::SecondMoment => self.hessian_second_moment(),
                };
                operator = Some((of, next));
            }
            let operator = &operator.as_ref().expect("there is one now").1;
            match of {
                Diagonal::Hessian => operator.product_with_forms(panel, |p, k, forms| seen.take_up(p, k, forms)),
                _ => operator.product(panel),
            }
        })
    }
}
