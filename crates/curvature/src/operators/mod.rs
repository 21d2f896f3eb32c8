//! Curvature of the mean loss in any selection of parameters as matrix-free linear operators.

mod along;
mod curvature_operator;
mod materialise;
mod mean_loss;
mod model_labels;
mod sum_over_samples;

pub use curvature_operator::CurvatureOperator;
pub use mean_loss::{MeanLoss, OperatorError};
