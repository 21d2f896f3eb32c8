//! A network: an architecture with its parameters in one flat, row-major vector.

use crate::{Architecture, Scalar};
use faer::MatRef;
use rand::{Rng, RngExt};

/// An [`Architecture`] with parameters.
///
/// All parameters stand in one slice, layer after layer, each weight as row-major `vec(W)` and behind it the bias, if
/// any: entry `(o, i)` of a `d_out × d_in` weight sits at `o·d_in + i`, as in PyTorch's `weight.flatten()`. A
/// convolution's weight is `c_out × C × 3 × 3`.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T> {
    architecture: Architecture,
    params: Vec<T>,
}

/// Parameters that do not make a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// Too few or too many.
    #[error("the architecture has {expected} parameters, found {found}")]
    Length {
        /// What the architecture has.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Infinite or NaN.
    #[error("parameter {index} is {value}, expected a finite number")]
    NotFinite {
        /// Its position in the flat vector.
        index: usize,
        /// Its value.
        value: f64,
    },
}

impl<T: Scalar> Network<T> {
    /// A network with given parameters.
    ///
    /// # Errors
    /// When their number is not the architecture's, or one of them is infinite or NaN.
    pub fn new(architecture: Architecture, params: Vec<T>) -> Result<Self, ParameterError> {
        if params.len() != architecture.n_params() {
            return Err(ParameterError::Length { expected: architecture.n_params(), found: params.len() });
        }
        if let Some(index) = params.iter().position(|w| !w.finite()) {
            return Err(ParameterError::NotFinite { index, value: params[index].f64() });
        }
        Ok(Self { architecture, params })
    }

    /// The paper's initialisation: every weight and bias uniform in `±1/√fan_in` of its layer, with `fan_in` the `d_in`
    /// of a dense layer and `9 C` of a convolution.
    ///
    /// Draws are made in `f64` in parameter order, so that `f32` and `f64` networks of one seed agree to rounding.
    pub fn init(architecture: Architecture, rng: &mut impl Rng) -> Self {
        let mut params = Vec::with_capacity(architecture.n_params());
        for position in 0..architecture.layers().len() {
            let bound = 1.0 / (architecture.fan_in(position) as f64).sqrt();
            let own = architecture.weight_params(position).chain(architecture.bias_params(position));
            params.extend(own.map(|_| T::of(bound * (2.0 * rng.random::<f64>() - 1.0))));
        }
        Self { architecture, params }
    }

    /// The shape of the network.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// All parameters.
    pub fn params(&self) -> &[T] {
        &self.params
    }

    /// All parameters, to be changed in place.
    pub fn params_mut(&mut self) -> &mut [T] {
        &mut self.params
    }

    /// Weight of the `dense`-th dense layer (counted from 0), `d_out × d_in`.
    ///
    /// # Panics
    /// When there is no such layer.
    #[track_caller]
    pub fn weight(&self, dense: usize) -> MatRef<'_, T> {
        let layer = &self.architecture.dense_layers()[dense];
        MatRef::from_row_major_slice(&self.params[layer.params.clone()], layer.d_out, layer.d_in)
    }

    /// Bias of the `dense`-th dense layer (counted from 0), length `d_out`; `None` for a layer without.
    ///
    /// # Panics
    /// When there is no such layer.
    #[track_caller]
    pub fn bias(&self, dense: usize) -> Option<&[T]> {
        self.architecture.dense_layers()[dense].bias.clone().map(|range| &self.params[range])
    }

    /// The same network in another precision.
    pub fn cast<U: Scalar>(&self) -> Network<U> {
        Network {
            architecture: self.architecture.clone(),
            params: self.params.iter().map(|w| U::of(w.f64())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, ImageShape};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn architecture() -> Architecture {
        Architecture::mlp(&[4, 3, 2], Activation::Relu).unwrap()
    }

    #[test]
    fn initialisation_is_bounded_and_stable() {
        let net = Network::<f64>::init(architecture(), &mut ChaCha8Rng::seed_from_u64(1));
        assert!(net.params()[..12].iter().all(|w| w.abs() <= 0.5));
        assert!(net.params()[12..].iter().all(|w| w.abs() <= 1.0 / 3f64.sqrt()));
        let again = Network::<f32>::init(architecture(), &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(net.cast::<f32>(), again);
        // Value stability: a change of generator or order would change every published number.
        assert_eq!(net.params()[0], -0.097_514_336_335_151_94);
        assert_eq!(net.weight(0)[(1, 0)], net.params()[4]);
    }

    #[test]
    fn biases_are_drawn_as_weights_are() {
        let input = ImageShape { channels: 2, height: 8, width: 8 };
        let net = Network::<f64>::init(Architecture::paper_cnn(input).unwrap(), &mut ChaCha8Rng::seed_from_u64(1));
        let (architecture, params) = (net.architecture(), net.params());
        let within = |range: std::ops::Range<usize>, fan_in: f64| {
            let largest = params[range].iter().fold(0.0_f64, |m, w| m.max(w.abs()));
            assert!((0.7..=1.0).contains(&(largest * fan_in.sqrt())), "{largest} {fan_in}");
        };
        within(architecture.weight_params(0), 18.0);
        within(architecture.bias_params(0), 18.0);
        within(architecture.bias_params(8), 9.0 * 128.0);
        within(architecture.dense_layers()[0].params.clone(), 128.0);
        within(architecture.dense_layers()[1].bias.clone().unwrap(), 20.0);
        assert_eq!(net.bias(0), None);
        assert_eq!(net.bias(1), Some(&params[params.len() - 10..]));
    }

    #[test]
    fn parameters_are_checked() {
        let short = Network::new(architecture(), vec![0.0_f64; 3]);
        assert_eq!(short, Err(ParameterError::Length { expected: 18, found: 3 }));
        let mut params = vec![0.0_f64; 18];
        params[7] = f64::INFINITY;
        let infinite = Network::new(architecture(), params);
        assert_eq!(infinite, Err(ParameterError::NotFinite { index: 7, value: f64::INFINITY }));
    }
}
