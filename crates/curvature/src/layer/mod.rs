//! One dense layer over `N` samples, as everything that is exact about a layer needs it (`MATH [1]`).
//!
//! A moment of the layer is a function of three factors a sample: the activity `a_p`, the pre-activation gradient `δ_p`
//! and the pre-activation Hessian `S_p`. An [`AnalysedLayer`] owns all three, wherever they come from: the first two
//! are held, and a [`Curvatures`] reads the third, which a network computes when it is asked for and which given
//! factors hold.

mod analysed_layer;
mod behind;
mod curvatures;
mod given;
mod network_pass;

pub use analysed_layer::{AnalysedLayer, NotGiven};
pub use curvatures::{Curvatures, SampleFactors};
pub use given::{LayerFactors, LayerFactorsError};
pub use network_pass::{NetworkPass, NetworkPassError};
