//! Labels drawn from the model, and the gradients in the logits that they give.

use faer::{MatMut, MatRef};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use superlinear_nets::{Loss, Scalar};

/// Numbers that, with a sample's logits, fix labels drawn from the model: one uniform in `[0, 1)` a label for classes,
/// `n_out` standard normals a label for targets.
#[derive(Clone, Debug)]
pub(super) struct ModelLabels<T> {
    loss: Loss,
    n_draws: usize,
    /// Per sample, draw after draw.
    numbers: Vec<T>,
    per_sample: usize,
}

impl<T: Scalar> ModelLabels<T> {
    /// Draws in the order of samples.
    pub(super) fn draw(loss: Loss, n_out: usize, n_samples: usize, n_draws: usize, rng: &mut impl Rng) -> Self {
        let per_sample = n_draws * if loss == Loss::CrossEntropy { 1 } else { n_out };
        let number = |_| match loss {
            Loss::CrossEntropy => T::of(rng.random::<f64>()),
            Loss::SoftmaxMse | Loss::LinearMse => T::of(StandardNormal.sample(&mut *rng)),
        };
        Self { loss, n_draws, numbers: (0..n_samples * per_sample).map(number).collect(), per_sample }
    }

    /// `M_p = (1/n_draws) Σ_d δ_d δ_dᵀ`, `δ_d` the gradient in the logits under the `d`-th label of sample `p`.
    pub(super) fn second_moment(&self, p: usize, logits: &[T], scratch: &mut LogitScratch<T>, mut out: MatMut<'_, T>) {
        let n_out = logits.len();
        let LogitScratch { probabilities, matrix, delta } = scratch;
        out.fill(T::ZERO);
        if self.loss != Loss::LinearMse {
            // D_q, and q on the way.
            Loss::CrossEntropy.hessian(logits, 0, probabilities, matrix.as_mut());
        }
        let scale = T::of(1.0 / self.n_draws as f64);
        // (2/n_out) times the standard deviation √(n_out/2) of a target.
        let width = T::of((2.0 / n_out as f64).sqrt());
        let numbers = &self.numbers[p * self.per_sample..(p + 1) * self.per_sample];
        for numbers in numbers.chunks_exact(self.per_sample / self.n_draws) {
            match self.loss {
                Loss::CrossEntropy => {
                    let class = class_at(probabilities, numbers[0]);
                    delta.copy_from_slice(probabilities);
                    let others = probabilities.iter().enumerate().filter(|&(c, _)| c != class);
                    delta[class] = -others.map(|(_, &q)| q).sum::<T>();
                }
                Loss::LinearMse => delta.iter_mut().zip(numbers).for_each(|(d, &x)| *d = -width * x),
                Loss::SoftmaxMse => multiply(matrix.as_ref(), numbers, -width, delta),
            }
            for b in 0..n_out {
                for a in 0..n_out {
                    out[(a, b)] += scale * delta[a] * delta[b];
                }
            }
        }
    }
}

/// Scratch of one task for matrices in the logits.
#[derive(Clone, Debug)]
pub(super) struct LogitScratch<T> {
    pub(super) probabilities: Vec<T>,
    pub(super) matrix: faer::Mat<T>,
    pub(super) delta: Vec<T>,
}

impl<T: Scalar> LogitScratch<T> {
    pub(super) fn new(n_out: usize) -> Self {
        Self {
            probabilities: vec![T::ZERO; n_out],
            matrix: faer::Mat::zeros(n_out, n_out),
            delta: vec![T::ZERO; n_out],
        }
    }
}

/// The class in whose share of `[0, 1)` the number lies, shares in the order of classes.
fn class_at<T: Scalar>(probabilities: &[T], number: T) -> usize {
    let mut below = T::ZERO;
    for (c, &q) in probabilities.iter().enumerate() {
        below += q;
        if number < below {
            return c;
        }
    }
    probabilities.len() - 1
}

/// `out = scale · A x`.
fn multiply<T: Scalar>(A: MatRef<'_, T>, x: &[T], scale: T, out: &mut [T]) {
    for (a, out) in out.iter_mut().enumerate() {
        *out = scale * x.iter().enumerate().map(|(b, &x)| A[(a, b)] * x).sum::<T>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_mean_over_many_draws_is_the_gauss_newton_matrix() {
        let logits = [0.4, -0.9, 1.3];
        for loss in [Loss::CrossEntropy, Loss::SoftmaxMse, Loss::LinearMse] {
            let n_draws = 200_000;
            let labels = ModelLabels::<f64>::draw(loss, 3, 2, n_draws, &mut ChaCha8Rng::seed_from_u64(4));
            let mut found = Mat::zeros(3, 3);
            labels.second_moment(1, &logits, &mut LogitScratch::new(3), found.as_mut());
            let mut exact = Mat::zeros(3, 3);
            loss.gauss_newton(&logits, 1, &mut [0.0; 3], exact.as_mut());
            // Relative standard error of a squared normal: √(2/n).
            let tolerance = 5.0 * (2.0 / n_draws as f64).sqrt() * exact.norm_max();
            assert!((&found - &exact).norm_max() < tolerance, "{loss} {found:?} {exact:?}");
        }
    }

    #[test]
    fn draws_are_stable() {
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let labels = ModelLabels::<f64>::draw(Loss::CrossEntropy, 3, 2, 2, rng);
        assert_eq!(labels.numbers.len(), 4);
        let q = [0.25, 0.5, 0.25];
        assert_eq!([0.0, 0.2, 0.25, 0.7, 0.8, 0.999].map(|u| class_at(&q, u)), [0, 0, 1, 1, 2, 2]);
        // A sum of probabilities that rounding left below 1.
        assert_eq!(class_at(&[0.3, 0.6], 0.95), 1);
    }
}
