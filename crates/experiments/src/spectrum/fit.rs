//! How well a network does on its samples, and how far rounding lets that be known.

use faer::Mat;
use superlinear_nets::{Loss, Network, Samples, Workspace};

/// Samples that go through the network at a time.
const BLOCK: usize = 256;
/// Logits are known to so many times what a rounding of every parameter does to them: the sums round too.
const SUMS: f64 = 16.0;

/// Of a network on its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// How many samples.
    pub n_samples: usize,
    /// Mean loss.
    pub loss: f64,
    /// Share of samples whose largest logit is the label's.
    pub accuracy: f64,
    /// Share of samples with the most frequent label: what a constant answer gives.
    pub most_frequent: f64,
    /// Largest `δfᵀQδf` over samples, `Q` the loss's Hessian in the logits and `δf` their rounding error.
    pub rounding: f64,
}

impl Fit {
    /// Two forward passes: of the network, and of one whose parameters differ in their last bit, in a fixed pattern of
    /// signs. The second says how far rounding moves the logits.
    pub(super) fn of(net: &Network<f64>, loss: Loss, samples: &impl Samples<f64>) -> Self {
        let (n, d, n_out) = (samples.n_samples(), samples.input_dim(), net.architecture().n_out());
        let mut moved = net.clone();
        let mut signs = 0x9e37_79b9_7f4a_7c15_u64;
        for parameter in moved.params_mut() {
            // Xorshift: any pattern without structure.
            signs ^= signs << 13;
            signs ^= signs >> 7;
            signs ^= signs << 17;
            *parameter *= if signs >> 63 == 0 { 1.0 + f64::EPSILON } else { 1.0 - f64::EPSILON };
        }
        let block = BLOCK.min(n);
        let mut workspaces = [Workspace::new(net, block), Workspace::new(&moved, block)];
        let (mut inputs, mut labels) = (Mat::zeros(d, block), vec![0; block]);
        let (mut total, mut correct, mut counts, mut rounding) = (0.0, 0, vec![0_usize; n_out], 0.0_f64);
        let (mut scratch, mut Q) = (vec![0.0; n_out], Mat::zeros(n_out, n_out));
        for first in (0..n).step_by(block) {
            let width = block.min(n - first);
            for p in 0..width {
                samples.write_input(first + p, inputs.col_as_slice_mut(p));
                labels[p] = samples.label(first + p);
                counts[usize::from(labels[p])] += 1;
            }
            let inputs = inputs.as_ref().subcols(0, width);
            let [exact, other] = &mut workspaces;
            let found = net.loss(inputs, &labels[..width], loss, exact);
            total += found.total;
            correct += found.n_correct;
            let logits = net.forward(inputs, exact).to_owned();
            let moved = moved.forward(inputs, other);
            for p in 0..width {
                loss.hessian(logits.col_as_slice(p), labels[p], &mut scratch, Q.as_mut());
                let error =
                    |c: usize| SUMS * (logits[(c, p)] - moved[(c, p)]).abs().max(f64::EPSILON * logits[(c, p)].abs());
                let squared = |a, b| error(a) * Q[(a, b)].abs() * error(b);
                let form: f64 = (0..n_out).map(|a| (0..n_out).map(|b| squared(a, b)).sum::<f64>()).sum();
                rounding = rounding.max(form);
            }
        }
        let share = |count: usize| count as f64 / n as f64;
        let most_frequent = share(counts.into_iter().max().unwrap_or(0));
        Self { n_samples: n, loss: total / n as f64, accuracy: share(correct), most_frequent, rounding }
    }

    /// One line.
    pub fn words(&self) -> String {
        let Self { n_samples, loss, accuracy, .. } = self;
        format!("mean loss {loss:.6e}, accuracy {:.2} % on {n_samples} samples", 100.0 * accuracy)
    }

    /// What makes one doubt that this is the trained network.
    pub fn warning(&self) -> Option<String> {
        (self.accuracy < self.most_frequent).then(|| {
            format!(
                "the accuracy of {:.2} % is less than the {:.2} % of always answering the most frequent class: is this \
                 the trained network, its activation, and its data?",
                100.0 * self.accuracy,
                100.0 * self.most_frequent
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use superlinear_nets::{Architecture, Bias, DenseSamples, Layer};

    #[test]
    fn loss_accuracy_and_rounding_are_those_of_the_samples() {
        let layer = Layer::Dense { d_in: 2, d_out: 2, bias: Bias::None };
        let net = Network::new(Architecture::new(vec![layer]).unwrap(), vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        // f = x: right, right and wrong, with linear MSE of 0, 0 and (4 + 1)/2.
        let x = Mat::from_fn(2, 3, |i, p| [[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]][p][i]);
        let fit = Fit::of(&net, Loss::LinearMse, &DenseSamples::new(x.clone(), vec![0, 0, 1]));
        assert_eq!((fit.n_samples, fit.accuracy, fit.most_frequent), (3, 2.0 / 3.0, 2.0 / 3.0));
        assert!((fit.loss - 2.5 / 3.0).abs() < 1e-15 && fit.warning().is_none(), "{fit:?}");
        // Q is the unit matrix and the third sample's logit is known to a multiple of its last bit.
        let (least, most) = ((2.0 * f64::EPSILON).powi(2), (1e3 * f64::EPSILON).powi(2));
        assert!(fit.rounding >= least && fit.rounding <= most, "{fit:?}");
        let fit = Fit::of(&net, Loss::CrossEntropy, &DenseSamples::new(x, vec![1, 1, 1]));
        assert!(fit.warning().unwrap().contains("0.00 % is less than the 100.00 %"), "{fit:?}");
    }
}
