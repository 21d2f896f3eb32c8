//! Curvature of graphs: any [`Graph`](superlinear_nets::Graph), in any of its parameters.
//!
//! [`GraphLoss`] is the mean loss of a model over samples as a function of some parameters; its operators multiply with
//! vectors, and [`GraphMoments`] forms `H`, `M₂` and `Σ` as dense matrices while they fit. How, depends on the
//! parameters:
//!
//! | parameters | one sample's Hessian | dense moments |
//! |---|---|---|
//! | one weight, used once for every sample | `S_p ⊗ a_p a_pᵀ` | symmetric-Kronecker products |
//! | any behind which all is piecewise linear, and which do not meet | `JᵀQJ` in the outputs | products of panels `Jᵀ`,
//! `JᵀQ` |
//! | weights of layers, used at `T` positions, tied, or several | `U C Uᵀ` with short `U` | products of panels `U`, `U
//! C` |
//! | others, or where `U` would not be short | `P` tangents | products of `h_p` |
//!
//! With `ζ` what is added to all pre-activations at once, `Ŝ = ∂²ℓ/∂ζ²` and `D = ∂a/∂ζ`, the columns of `U` are `e_o ⊗
//! a_t` for every output of every use, and, where activities follow pre-activations, `δ_t ⊗ e_i`: `C = [Ŝ Dᵀ; D 0]`.

mod along;
mod factors;
mod loss;
mod moments;
mod operator;
mod single_product;

pub use loss::{GraphCurvatureError, GraphLoss};
pub use moments::GraphMoments;
pub use operator::GraphOperator;
pub use single_product::SingleProductSamples;
