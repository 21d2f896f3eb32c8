//! The bootstrap of diagonals over samples in a fixed basis: every resample of every diagonal, as matrix products.
//!
//! In a basis that does not move, each diagonal is made of means over samples of one number a direction, so that
//! resample `b` needs only the counts `w_pb` with which samples were drawn (`MATH [19]`):
//!
//! ```text
//! H_ii  = (1/N) Σ_p w_pb v_iᵀh_p v_i       (M₂)_ii = (1/N) Σ_p w_pb v_iᵀh_p²v_i
//! Σ_ii  = (1/N) Σ_p w_pb (g_p·v_i)² − ((1/N) Σ_p w_pb g_p·v_i)²
//! ```
//!
//! The numbers arrive in blocks of samples and are not kept. What the basis itself owes to the samples is left out:
//! these are errors of the diagonals *in the basis given*.

use crate::bootstrap::draw_with_replacement;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rand::Rng;
use rayon::prelude::*;
use thiserror::Error;

/// Resamples a task: its weights for a block of samples stay in cache.
const TILE: usize = 128;

/// Resampled diagonals while their samples come in.
///
/// Memory is four `k × (n_draws + 1)` matrices of `f64`, and one byte for every sample of every resample.
#[derive(Clone, Debug)]
pub struct DiagonalBootstrap {
    n_samples: usize,
    n_directions: usize,
    /// Samples taken up.
    seen: usize,
    /// How often sample `p` is drawn in resample `b`, at `b·N + p`.
    counts: Vec<u8>,
    /// About the mean of `g·v_i`: variances do not cancel when they are taken about it.
    centre: Vec<f64>,
    /// Weighted sums of `g·v_i`, its square, and both curvatures, `k × (1 + n_draws)`; column 0 has all weights 1.
    sums: [Vec<f64>; 4],
}

/// Contributions that no resample can use.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ContributionError {
    /// An entry is infinite or not a number.
    #[error("{panel} of sample {sample} along direction {direction} is {value}: expected a finite number")]
    NonFinite {
        /// `gradient`, `curvature` or `squared curvature`.
        panel: &'static str,
        /// The sample, from 0.
        sample: usize,
        /// The direction, from 0.
        direction: usize,
        /// What stands there.
        value: f64,
    },
}

/// Diagonals of the ensemble itself (column 0) and of each resample (columns `1..=n_draws`), all `k × (1 + n_draws)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ResampledDiagonals {
    /// `H_ii`.
    pub h: Mat<f64>,
    /// `Σ_ii`, the covariance of single-sample gradients divided by `N`; `C_ii` is a constant multiple.
    pub covariance: Mat<f64>,
    /// `(M₂)_ii`.
    pub m2: Mat<f64>,
}

impl DiagonalBootstrap {
    /// For `n_samples` samples, still to come, along `n_directions` directions, with `n_draws` resamples of all of
    /// them.
    ///
    /// The resamples are those of [`crate::bootstrap::resample_counts`] from the same generator.
    ///
    /// # Panics
    /// When there are to be no samples.
    #[track_caller]
    pub fn new(n_samples: usize, n_directions: usize, n_draws: usize, rng: &mut impl Rng) -> Self {
        assert!(n_samples > 0, "a bootstrap over no samples");
        let mut counts = vec![0_u8; n_samples * n_draws];
        for resample in counts.chunks_exact_mut(n_samples) {
            // Among fewer than 256 samples no count exceeds 255; among more, none does in the age of the universe.
            draw_with_replacement(n_samples, rng, |p| resample[p] = resample[p].saturating_add(1));
        }
        let sums = [(); 4].map(|()| vec![0.0; n_directions * (n_draws + 1)]);
        Self { n_samples, n_directions, seen: 0, counts, centre: Vec::new(), sums }
    }

    /// Takes up the next samples: `g_p·v_i`, `v_iᵀh_p v_i` and `v_iᵀh_p²v_i`, each a row a sample, a column a
    /// direction.
    ///
    /// `2 · 4 · n · k · n_draws` flops. Threads are those of the current rayon pool; the result does not depend on
    /// their number.
    ///
    /// # Errors
    /// [`ContributionError`] for an entry that is not finite; nothing is taken up then.
    ///
    /// # Panics
    /// When the panels differ in shape, have not one column a direction, or bring more samples than were announced.
    #[track_caller]
    pub fn push(
        &mut self,
        gradient: MatRef<'_, f64>,
        curvature: MatRef<'_, f64>,
        squared_curvature: MatRef<'_, f64>,
    ) -> Result<(), ContributionError> {
        let (n, k, first) = (gradient.nrows(), self.n_directions, self.seen);
        let panels = [("gradient", gradient), ("curvature", curvature), ("squared curvature", squared_curvature)];
        for (name, panel) in panels {
            assert_eq!(panel.shape(), (n, k), "{name}: samples × directions");
        }
        assert!(first + n <= self.n_samples, "{} samples and {n} more, of {}", first, self.n_samples);
        for (panel, values) in panels {
            for direction in 0..k {
                if let Some(row) = values.col(direction).iter().position(|x| !x.is_finite()) {
                    let (sample, value) = (first + row, values[(row, direction)]);
                    return Err(ContributionError::NonFinite { panel, sample, direction, value });
                }
            }
        }
        if n == 0 || k == 0 {
            self.seen += n;
            return Ok(());
        }
        if first == 0 {
            self.centre = (0..k).map(|i| gradient.col(i).iter().sum::<f64>() / n as f64).collect();
        }
        let centred = Mat::from_fn(n, k, |p, i| gradient[(p, i)] - self.centre[i]);
        let squares = Mat::from_fn(n, k, |p, i| centred[(p, i)] * centred[(p, i)]);
        let panels = [centred.as_ref(), squares.as_ref(), curvature, squared_curvature];
        let (counts, n_samples) = (&self.counts, self.n_samples);
        let [g, gg, h, hh] = &mut self.sums;
        let tiles = g.par_chunks_mut(k * TILE).zip(gg.par_chunks_mut(k * TILE));
        let tiles = tiles.zip(h.par_chunks_mut(k * TILE)).zip(hh.par_chunks_mut(k * TILE));
        tiles.enumerate().for_each_init(
            || vec![0.0; n * TILE],
            |weights, (tile, (((g, gg), h), hh))| {
                let width = g.len() / k;
                for (column, weights) in weights.chunks_exact_mut(n).take(width).enumerate() {
                    match (tile * TILE + column).checked_sub(1) {
                        None => weights.fill(1.0),
                        Some(draw) => {
                            let counts = &counts[draw * n_samples + first..][..n];
                            weights.iter_mut().zip(counts).for_each(|(weight, &count)| *weight = f64::from(count));
                        }
                    }
                }
                let weights = MatRef::from_column_major_slice(&weights[..n * width], n, width);
                for (sums, panel) in [g, gg, h, hh].into_iter().zip(panels) {
                    let sums = MatMut::from_column_major_slice_mut(sums, k, width);
                    matmul(sums, Accum::Add, panel.transpose(), weights, 1.0, Par::Seq);
                }
            },
        );
        self.seen += n;
        Ok(())
    }

    /// The diagonals of all resamples.
    ///
    /// # Panics
    /// When fewer samples were pushed than announced.
    #[track_caller]
    pub fn finish(self) -> ResampledDiagonals {
        assert_eq!(self.seen, self.n_samples, "samples pushed and samples announced");
        let (k, n) = (self.n_directions, self.n_samples as f64);
        let n_columns = self.counts.len() / self.n_samples + 1;
        let [g, gg, h, hh] = self.sums;
        let mean = |sums: &[f64]| Mat::from_fn(k, n_columns, |i, b| sums[b * k + i] / n);
        // Where all drawn gradients are equal, what is left is rounding of either sign.
        let variance = |i: usize, b: usize| (gg[b * k + i] / n - (g[b * k + i] / n).powi(2)).max(0.0);
        ResampledDiagonals { h: mean(&h), covariance: Mat::from_fn(k, n_columns, variance), m2: mean(&hh) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::resample_counts;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn panels(n: usize, k: usize) -> [Mat<f64>; 3] {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        // A mean a thousand times the spread.
        let gradient = Mat::from_fn(n, k, |_, i| 1e3 * (i + 1) as f64 + rng.random::<f64>());
        let curvature = Mat::from_fn(n, k, |_, _| rng.random::<f64>() - 0.3);
        let squared = Mat::from_fn(n, k, |_, _| rng.random::<f64>());
        [gradient, curvature, squared]
    }

    fn run([g, h, hh]: &[Mat<f64>; 3], n_draws: usize, blocks: &[usize]) -> ResampledDiagonals {
        let mut bootstrap = DiagonalBootstrap::new(g.nrows(), g.ncols(), n_draws, &mut ChaCha8Rng::seed_from_u64(2));
        let mut first = 0;
        for &n in blocks {
            let rows = |panel: &Mat<f64>| panel.as_ref().subrows(first, n).to_owned();
            bootstrap.push(rows(g).as_ref(), rows(h).as_ref(), rows(hh).as_ref()).unwrap();
            first += n;
        }
        bootstrap.finish()
    }

    /// Sample by sample, with every resample spelt out, and variances by two passes.
    #[test]
    fn resamples_are_those_spelt_out() {
        let (n, k, n_draws) = (60, 7, TILE + 50);
        let panels = panels(n, k);
        let found = run(&panels, n_draws, &[32, 0, 27, 1]);
        let counts = resample_counts(n, n_draws, &mut ChaCha8Rng::seed_from_u64(2));
        for b in 0..=n_draws {
            let weight = |p: usize| if b == 0 { 1.0 } else { counts[(p, b - 1)] };
            for i in 0..k {
                let mean = |f: &dyn Fn(usize) -> f64| (0..n).map(|p| weight(p) * f(p)).sum::<f64>() / n as f64;
                let centre = mean(&|p| panels[0][(p, i)]);
                let variance = mean(&|p| (panels[0][(p, i)] - centre).powi(2));
                assert!((found.covariance[(i, b)] / variance - 1.0).abs() < 1e-9);
                assert!((found.h[(i, b)] - mean(&|p| panels[1][(p, i)])).abs() < 1e-14);
                assert!((found.m2[(i, b)] - mean(&|p| panels[2][(p, i)])).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let panels = panels(300, 40);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(&panels, 500, &[256, 44]))
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one);
    }

    #[test]
    fn what_is_not_finite_is_named_and_left_out() {
        let [g, h, mut hh] = panels(5, 3);
        hh[(3, 1)] = f64::INFINITY;
        let mut bootstrap = DiagonalBootstrap::new(7, 3, 4, &mut ChaCha8Rng::seed_from_u64(0));
        let two = |panel: &Mat<f64>| panel.as_ref().subrows(0, 2).to_owned();
        bootstrap.push(two(&g).as_ref(), two(&h).as_ref(), two(&hh).as_ref()).unwrap();
        let before = bootstrap.sums.clone();
        let error = bootstrap.push(g.as_ref(), h.as_ref(), hh.as_ref()).unwrap_err();
        let panel = "squared curvature";
        assert_eq!(error, ContributionError::NonFinite { panel, sample: 5, direction: 1, value: f64::INFINITY });
        assert_eq!(bootstrap.sums, before);
    }

    #[test]
    #[should_panic(expected = "samples announced")]
    fn a_bootstrap_over_part_of_the_samples_is_refused() {
        let [g, h, hh] = panels(5, 3);
        let mut bootstrap = DiagonalBootstrap::new(6, 3, 4, &mut ChaCha8Rng::seed_from_u64(0));
        bootstrap.push(g.as_ref(), h.as_ref(), hh.as_ref()).unwrap();
        bootstrap.finish();
    }
}
