//! Dense moments of several dense layers jointly (`MATH [20]`).
//!
//! For layers `l ≤ m` behind each other, with `T_ml = ∂z_m/∂z_l` and `D_ml = ∂a_m/∂z_l`, block `(m, l)` of one sample's
//! Hessian is `(S_m T_ml) ⊗ a_m a_lᵀ + R_ml`, `R_ml[(o,i),(j,k)] = δ_m[o] D_ml[i,j] a_l[k]` (absent for `l = m`). With
//! `U_l = [I ⊗ a_l, δ_l ⊗ I]` that is `h_p = U C_p Uᵀ`, and `h_p² = U (C_p UᵀU C_p) Uᵀ`: every block of every moment is
//! a sum of up to four products of `N`-long panels. Exact for smooth and for piecewise-linear activations.

mod blocks;
mod coefficients;
mod layers;
mod noise;

pub(crate) use blocks::mirror;
pub use layers::{JointError, JointLayers};
