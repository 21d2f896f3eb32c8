//! The network from the analysed layer on.

use superlinear_nets::{Architecture, Loss, Network, Tail};

/// The layer's own weight and all that is behind it, under a loss: what `S_p` is a function of.
///
/// A copy of these weights, so that the network it is taken from may be trained on or dropped.
#[derive(Clone, Debug)]
pub(super) struct Behind {
    /// Begins with the layer: dense layer 0.
    net: Network<f64>,
    loss: Loss,
}

impl Behind {
    /// From the `dense`-th dense layer of `net` on, which must be there.
    pub(super) fn new(net: &Network<f64>, dense: usize, loss: Loss) -> Self {
        let architecture = net.architecture();
        let layer = &architecture.dense_layers()[dense];
        let layers = architecture.layers()[layer.position..].to_vec();
        // Vectors follow on a dense layer until the logits, so the rest of a network is a network.
        let rest = Architecture::new(layers).expect("an architecture from a dense layer on");
        let params = &net.params()[layer.params.start..];
        let mut net = Network::new(rest, vec![0.0; params.len()]).expect("as many parameters as there are");
        // What is not finite is found, and named, in what it makes of the samples.
        net.params_mut().copy_from_slice(params);
        Self { net, loss }
    }

    pub(super) fn net(&self) -> &Network<f64> {
        &self.net
    }

    pub(super) fn loss(&self) -> Loss {
        self.loss
    }

    /// `ℓ_p` as a function of the layer's pre-activation.
    pub(super) fn tail(&self) -> Tail<'_, f64> {
        Tail::new(&self.net, 0, self.loss)
    }
}
