//! A gradient for a step of descent, whose largest part need not be formed.

use super::block::Weights;
use super::dense;
use super::{BatchLoss, Passes, Workspace, logit_gradients};
use crate::{Architecture, Layer, Loss, Network, Scalar};
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

/// Entries of a piece of the parameters; pieces are what threads share, and no result depends on the sharing.
const PIECE: usize = 1 << 18;
/// Weights of a first layer from which on its gradient is worth leaving in factors: below, it stays in the cache.
const WIDE: usize = 1 << 20;
/// Samples whose products with all earlier ones are taken together.
const TOGETHER: usize = 32;

/// The gradient of a batch's mean loss, `(1/B) Σ_p g_p`.
///
/// The weight gradient of a wide dense first layer, `D Aᵀ` with a column for each of the `B` samples in `D`
/// (`d_out × B`) and `A` (`d_in × B`), is larger than both factors together. It stays in them: its norm is
/// `‖D Aᵀ‖² = ⟨DᵀD, AᵀA⟩`, and a step adds the product to the weights as it is formed.
#[derive(Debug)]
pub struct FactoredGradient<'a, T> {
    first: Option<Factors<'a, T>>,
    /// The gradient in all other parameters.
    rest: &'a [T],
    sums: &'a mut NormSums<T>,
}

#[derive(Debug)]
struct Factors<'a, T> {
    D: MatMut<'a, T>,
    A: MatRef<'a, T>,
}

/// What a norm is summed in.
#[derive(Clone, Debug)]
pub(super) struct NormSums<T> {
    /// Squared norm of every piece of the gradient.
    pieces: Vec<f64>,
    /// `AᵀA` and `DᵀD`, group by group of columns.
    grams: Vec<T>,
}

impl<T: Scalar> NormSums<T> {
    pub(super) fn new(architecture: &Architecture, max_batch: usize) -> Self {
        let batch = max_batch.min(largest_in_factors(architecture));
        let grams = vec![T::ZERO; 2 * batch * batch.next_multiple_of(TOGETHER)];
        let pieces = architecture.n_params().div_ceil(PIECE).max(max_batch.div_ceil(TOGETHER));
        Self { pieces: vec![0.0; pieces], grams }
    }
}

/// The largest batch whose weight gradient of the first layer stays in its factors: one so small that products of all
/// pairs of samples cost little beside the gradient.
fn largest_in_factors(architecture: &Architecture) -> usize {
    match architecture.layers()[0] {
        Layer::Dense { d_in, d_out, .. } if d_in * d_out >= WIDE => d_in * d_out / (4 * (d_in + d_out)),
        _ => 0,
    }
}

impl<T: Scalar> Network<T> {
    /// As [`Network::loss_and_gradient`], with the gradient in a form that a step of descent uses up faster.
    ///
    /// `buffer` has an entry for every parameter; what it holds afterwards is not the gradient.
    ///
    /// # Panics
    /// When labels, buffer or workspace do not fit, or a label is not below `n_out`.
    #[track_caller]
    pub fn loss_and_factored_gradient<'a>(
        &self,
        inputs: MatRef<'a, T>,
        labels: &[u8],
        loss: Loss,
        workspace: &'a mut Workspace<T>,
        buffer: &'a mut [T],
    ) -> (BatchLoss, FactoredGradient<'a, T>) {
        let architecture = self.architecture();
        if inputs.ncols() > largest_in_factors(architecture) {
            let batch = self.loss_and_gradient(inputs, labels, loss, workspace, buffer);
            return (batch, FactoredGradient { first: None, rest: buffer, sums: &mut workspace.norm_sums });
        }
        self.check_gradient_call(inputs, labels, workspace.max_batch, buffer);
        let Workspace { kernels, passes: Passes::Whole(block), norm_sums: sums, .. } = workspace else {
            unreachable!("a network that begins with a dense layer passes a batch through as a whole")
        };
        let weights = Weights::of(self, kernels);
        block.forward(weights, inputs);
        let batch = logit_gradients(block, labels, loss, T::of(1.0 / inputs.ncols() as f64));
        let d_out = architecture.output_dim_of(0);
        let D = block.reverse_to_first(weights, inputs, buffer);
        let D = MatMut::from_column_major_slice_mut(&mut D[..d_out * inputs.ncols()], d_out, inputs.ncols());
        let rest = &buffer[architecture.weight_params(0).end..];
        (batch, FactoredGradient { first: Some(Factors { D, A: inputs }), rest, sums })
    }
}

impl<T: Scalar> FactoredGradient<'_, T> {
    /// `‖g‖` over all parameters if it is above `limit` or not finite; `None` says that it is not above.
    ///
    /// What is in factors is first bounded by `Σ_p ‖D_p‖ ‖A_p‖`, which often settles it. If not, it is summed over
    /// pairs of samples, whose terms may cancel: the norm carries the rounding of `Σ_pq |(D_p·D_q)(A_p·A_q)|`.
    pub fn norm_above(&mut self, limit: f64) -> Option<f64> {
        let rest = self.squared_norm_of_rest();
        let settled = |norm: f64| norm.is_finite() && norm <= limit;
        let Some(factors) = &self.first else {
            let norm = rest.sqrt();
            return (!settled(norm)).then_some(norm);
        };
        if settled((rest + factors.bound().powi(2)).sqrt()) {
            return None;
        }
        let first = factors.squared_norm(self.sums);
        // Rounding may leave a vanishing norm below 0; what is not a number stays so.
        let norm = (rest + if first < 0.0 { 0.0 } else { first }).sqrt();
        (!settled(norm)).then_some(norm)
    }

    fn squared_norm_of_rest(&mut self) -> f64 {
        let pieces = &mut self.sums.pieces[..self.rest.len().div_ceil(PIECE)];
        let of_piece = |(square, piece): (&mut f64, &[T])| *square = squared_norm(piece);
        if shares_work(self.rest.len()) {
            pieces.par_iter_mut().zip(self.rest.par_chunks(PIECE)).with_max_len(1).for_each(of_piece);
        } else {
            pieces.iter_mut().zip(self.rest.chunks(PIECE)).for_each(of_piece);
        }
        pieces.iter().sum()
    }

    /// `w ← w − scale · g`.
    ///
    /// # Panics
    /// When there are other parameters than the gradient was taken in.
    #[track_caller]
    pub fn descend(mut self, params: &mut [T], scale: T) {
        let n_first = self.first.as_ref().map_or(0, |Factors { D, A }| D.nrows() * A.nrows());
        assert_eq!(params.len(), n_first + self.rest.len(), "one gradient entry a parameter");
        let (first, params) = params.split_at_mut(n_first);
        if let Some(Factors { D, A }) = &mut self.first {
            let W = MatMut::from_row_major_slice_mut(first, D.nrows(), A.nrows());
            faer::zip!(&mut *D).for_each(|faer::unzip!(d)| *d = -scale * *d);
            dense::product(W, Accum::Add, D.as_ref(), A.transpose());
        }
        let step = |(params, gradient): (&mut [T], &[T])| {
            for (w, &g) in params.iter_mut().zip(gradient) {
                *w -= scale * g;
            }
        };
        if shares_work(params.len()) {
            params.par_chunks_mut(PIECE).zip(self.rest.par_chunks(PIECE)).with_max_len(1).for_each(step);
        } else {
            step((params, self.rest));
        }
    }
}

impl<T: Scalar> Factors<'_, T> {
    /// `Σ_p ‖D_p‖ ‖A_p‖`, at least `‖D Aᵀ‖`.
    fn bound(&self) -> f64 {
        let norm = |M: MatRef<'_, T>, p: usize| match M.col(p).try_as_col_major() {
            Some(column) => squared_norm(column.as_slice()).sqrt(),
            None => f64::INFINITY,
        };
        // A little more than it is, for the rounding of short sums.
        (1.0 + 1e-4) * (0..self.A.ncols()).map(|p| norm(self.D.as_ref(), p) * norm(self.A, p)).sum::<f64>()
    }

    /// `⟨DᵀD, AᵀA⟩`, the pairs of a few samples with all up to the last of them together.
    fn squared_norm(&self, sums: &mut NormSums<T>) -> f64 {
        let n = self.A.ncols();
        let NormSums { pieces, grams } = sums;
        let groups = &mut pieces[..n.div_ceil(TOGETHER)];
        let of_group = |((k, square), grams): ((usize, &mut f64), &mut [T])| {
            let columns = k * TOGETHER..n.min((k + 1) * TOGETHER);
            let (earlier, len) = (columns.end, columns.len());
            let (inner, outer) = grams.split_at_mut(earlier * len);
            let gram = |M: MatRef<'_, T>, gram: &mut [T]| {
                let out = MatMut::from_column_major_slice_mut(&mut gram[..earlier * len], earlier, len);
                let (all, own) = (M.subcols(0, earlier), M.subcols(columns.start, len));
                dense::product(out, Accum::Replace, all.transpose(), own);
            };
            gram(self.D.as_ref(), outer);
            gram(self.A, inner);
            let pairs = |q: usize| inner[q * earlier..][..earlier].iter().zip(&outer[q * earlier..][..earlier]);
            *square = (0..len)
                .map(|q| {
                    let own = columns.start + q;
                    let product = |(p, (&a, &d)): (usize, (&T, &T))| {
                        // A pair of two samples stands for its mirror image too.
                        let weight = if p < own { 2.0 } else { f64::from(u8::from(p == own)) };
                        weight * a.f64() * d.f64()
                    };
                    pairs(q).enumerate().map(product).sum::<f64>()
                })
                .sum();
        };
        let len = 2 * n * TOGETHER;
        if rayon::current_num_threads() > 1 {
            groups.par_iter_mut().enumerate().zip(grams.par_chunks_mut(len)).with_max_len(1).for_each(of_group);
        } else {
            groups.iter_mut().enumerate().zip(grams.chunks_mut(len)).for_each(of_group);
        }
        groups.iter().sum()
    }
}

/// Whether the current rayon pool has threads to share work on `n` numbers, and it is worth it.
fn shares_work(n: usize) -> bool {
    n > PIECE && rayon::current_num_threads() > 1
}

/// `Σ g²` in 16 running sums, which vectorise, closed in `f64`.
fn squared_norm<T: Scalar>(gradient: &[T]) -> f64 {
    let mut lanes = [T::ZERO; 16];
    let mut pieces = gradient.chunks_exact(16);
    for piece in &mut pieces {
        for (lane, &g) in lanes.iter_mut().zip(piece) {
            *lane += g * g;
        }
    }
    let rest = pieces.remainder().iter().map(|&g| g.f64() * g.f64()).sum::<f64>();
    rest + lanes.iter().map(|&lane| lane.f64()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Bias};
    use faer::Mat;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn batch(dim: usize, n: usize, seed: u64) -> (Mat<f64>, Vec<u8>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (Mat::from_fn(dim, n, |_, _| rng.random::<f64>() - 0.3), (0..n).map(|p| (p % 3) as u8).collect())
    }

    #[test]
    fn factors_are_the_gradient() {
        let wide = Architecture::mlp(&[2_000, 530, 7, 3], Activation::Relu).unwrap();
        let narrow = Architecture::mlp(&[20, 53, 7, 3], Activation::Relu).unwrap();
        let dense = |d_in, d_out| Layer::Dense { d_in, d_out, bias: Bias::Learned };
        let biased = vec![dense(1_030, 1_021), Layer::Activation(Activation::Tanh), dense(1_021, 3)];
        let biased = Architecture::new(biased).unwrap();
        for (architecture, n, in_factors) in [
            (wide.clone(), 45, true),
            (wide.clone(), 1, true),
            (wide, 105, false),
            (biased, 100, true),
            (narrow, 45, false),
        ] {
            assert_eq!(n <= largest_in_factors(&architecture), in_factors);
            let net = Network::<f64>::init(architecture, &mut ChaCha8Rng::seed_from_u64(1));
            let (inputs, labels) = batch(net.architecture().input_dim(), n, 2);
            let (n_params, loss) = (net.params().len(), Loss::CrossEntropy);
            let mut workspace = Workspace::new(&net, 110);
            let mut gradient = vec![f64::NAN; n_params];
            let plain = net.loss_and_gradient(inputs.as_ref(), &labels, loss, &mut workspace, &mut gradient);
            let squared = gradient.iter().map(|g| g * g).sum::<f64>();
            let mut results = Vec::new();
            for threads in [1, 2, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut params = net.params().to_vec();
                let mut buffer = vec![f64::NAN; n_params];
                let norm = pool.install(|| {
                    let (here, mut factored) =
                        net.loss_and_factored_gradient(inputs.as_ref(), &labels, loss, &mut workspace, &mut buffer);
                    assert_eq!(here, plain);
                    let norm = factored.norm_above(0.0).expect("the gradient does not vanish");
                    assert_eq!(factored.norm_above(norm * (1.0 - 1e-9)), Some(norm));
                    assert_eq!([norm, 1e3 * norm, f64::INFINITY].map(|limit| factored.norm_above(limit)), [None; 3]);
                    factored.descend(&mut params, 0.5);
                    norm
                });
                assert!((norm * norm / squared - 1.0).abs() < 1e-12, "{norm} {squared}");
                for ((after, before), g) in params.iter().zip(net.params()).zip(&gradient) {
                    assert!((after - (before - 0.5 * g)).abs() < 1e-16 + 1e-14 * g.abs().max(before.abs()));
                }
                results.push((norm, params));
            }
            assert!(results.iter().all(|result| *result == results[0]), "threads change no bit");
        }
    }

    #[test]
    fn what_is_not_finite_is_told() {
        let wide = Architecture::mlp(&[1_100, 1_000, 3], Activation::Relu).unwrap();
        let mut net = Network::<f32>::init(wide, &mut ChaCha8Rng::seed_from_u64(1));
        let (mut workspace, mut buffer) = (Workspace::new(&net, 5), vec![0.0; net.params().len()]);
        for (scale, largest) in [(1.0, f32::NAN), (1e-3, 3e38)] {
            let inputs = Mat::from_fn(1_100, 5, |i, p| if (i, p) == (7, 2) { largest } else { 0.1 });
            net.params_mut().iter_mut().for_each(|w| *w *= scale);
            let labels = [0, 1, 2, 0, 1];
            let (_, mut gradient) = net.loss_and_factored_gradient(
                inputs.as_ref(),
                &labels,
                Loss::CrossEntropy,
                &mut workspace,
                &mut buffer,
            );
            for limit in [1.0, f64::INFINITY] {
                assert!(gradient.norm_above(limit).is_some_and(|norm| !norm.is_finite()), "{largest}");
            }
        }
    }
}
