//! How many directions there are to fit: two floors found in the data, in the place of a number chosen by hand.
//!
//! **By sign** ([`by_sign`]), for the eigenvalues of a matrix that is positive semidefinite but for noise. A direction
//! in which there is nothing gets an eigenvalue from rounding or sampling, of either sign alike; a direction with
//! curvature gets a positive one. So the negative eigenvalues below `−t` count, but for chance, the positive ones above
//! `t` that are noise. The floor is the smallest `t` at which the share of noise so estimated does not exceed `q`:
//!
//! ```text
//! (1 + #{λ ≤ −t}) / #{λ ≥ t}  ≤  q
//! ```
//!
//! With independent signs of the null directions, given magnitudes, this controls the expected share of noise among the
//! directions kept at `q` in finite samples (R. F. Barber and E. J. Candès, 2015, for knockoffs; the `1 +` is theirs).
//! Real negative curvature (softmax-MSE) counts as noise and makes the floor higher: it errs towards fewer directions.
//!
//! **By error** ([`by_error`]), for diagonals with resamples: a direction is kept while the standard error of its
//! curvature is a stated fraction of the curvature. Below that, logarithms of the estimate are biased
//! (`E log ĥ ≈ log h − ½ cv²`) and skewed, and a least-squares slope inherits both.

use faer::MatRef;
use thiserror::Error;

/// The floor found, and what it keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseFloor {
    /// Entries at or above are kept: for [`crate::FitConfig::noise_floor`].
    pub floor: f64,
    /// How many there are: for [`crate::FitConfig::top`], the entries being in descending order.
    pub n_kept: usize,
    /// Entries at or below `−floor`.
    pub n_negative: usize,
    /// Estimated share of noise among those kept, `(1 + n_negative)/n_kept`.
    pub noise_share: f64,
}

/// Why there is no floor.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NoiseFloorError {
    /// An entry is infinite or not a number.
    #[error("value {index} is {value}: expected a finite number")]
    NonFinite {
        /// Position of the first such entry.
        index: usize,
        /// What stands there.
        value: f64,
    },
    /// The share is no share.
    #[error("{field} is {found}: expected above 0 and below 1")]
    Share {
        /// Which parameter.
        field: &'static str,
        /// The value given.
        found: f64,
    },
    /// Noise cannot be told from curvature at that share: at least `1/share` directions must stand out.
    #[error("no floor keeps a share of noise of at most {share}: the best, over {n_kept} directions, is {best}")]
    NothingStandsOut {
        /// The share asked for.
        share: f64,
        /// The least share that any floor reaches; infinite without a positive entry.
        best: f64,
        /// Directions kept there.
        n_kept: usize,
    },
}

/// The lowest floor at which at most a share `share` of the entries kept is estimated to be noise, by the signs of
/// `values`.
///
/// `values` are all eigenvalues, in any order; zeros are neither sign.
///
/// # Errors
/// [`NoiseFloorError`].
pub fn by_sign(values: &[f64], share: f64) -> Result<NoiseFloor, NoiseFloorError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(NoiseFloorError::Share { field: "share", found: share });
    }
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        return Err(NoiseFloorError::NonFinite { index, value: values[index] });
    }
    let mut order: Vec<f64> = values.iter().copied().filter(|v| *v != 0.0).collect();
    order.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
    let (mut found, mut best) = (None, (f64::INFINITY, 0));
    let (mut n_kept, mut n_negative) = (0, 0);
    for equal in order.chunk_by(|a, b| a.abs() == b.abs()) {
        let positive = equal.iter().filter(|v| **v > 0.0).count();
        n_kept += positive;
        n_negative += equal.len() - positive;
        let noise_share = (1 + n_negative) as f64 / n_kept as f64;
        // A floor stands at a positive entry: at a negative one it would keep no more.
        if positive > 0 {
            if noise_share < best.0 {
                best = (noise_share, n_kept);
            }
            if noise_share <= share {
                found = Some(NoiseFloor { floor: equal[0].abs(), n_kept, n_negative, noise_share });
            }
        }
    }
    found.ok_or(NoiseFloorError::NothingStandsOut { share, best: best.0, n_kept: best.1 })
}

/// How many leading directions have a curvature known to a relative standard error of at most `largest`, before the
/// first that has not.
///
/// `h` is `k × (1 + n_draws)` with the ensemble itself in column 0, as [`crate::ResampledDiagonals::h`]. A third, for
/// example, keeps the directions that stand three standard errors above zero.
///
/// # Errors
/// [`NoiseFloorError::Share`] unless `0 < largest < 1`, [`NoiseFloorError::NonFinite`] with the direction as index.
///
/// # Panics
/// When there are fewer than two resamples.
#[track_caller]
pub fn by_error(h: MatRef<'_, f64>, largest: f64) -> Result<usize, NoiseFloorError> {
    assert!(h.ncols() >= 3, "at least two resamples");
    if !(largest > 0.0 && largest < 1.0) {
        return Err(NoiseFloorError::Share { field: "largest", found: largest });
    }
    for i in 0..h.nrows() {
        let draws: Vec<f64> = h.row(i).iter().skip(1).copied().collect();
        if let Some(value) = h.row(i).iter().copied().find(|v| !v.is_finite()) {
            return Err(NoiseFloorError::NonFinite { index: i, value });
        }
        let sd = crate::summary::mean_sd(&draws).expect("finite, and at least two").sd.unwrap_or(0.0);
        // Written so that a curvature that is not positive fails.
        if !(h[(i, 0)] > 0.0 && sd <= largest * h[(i, 0)]) {
            return Ok(i);
        }
    }
    Ok(h.nrows())
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn normal(rng: &mut impl Rng) -> f64 {
        (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    }

    #[test]
    fn by_hand() {
        // Kept at 0.5: positives 9, 8, 7, 6, one negative −5 above the 4: (1 + 1)/5 = 0.4; after −3 (1 + 2)/6 = 0.5 at
        // the 2.
        let values = [9.0, 8.0, 7.0, 6.0, -5.0, 4.0, -3.0, 2.0, -1.0, 0.5, 0.0];
        let found = by_sign(&values, 0.5).unwrap();
        assert_eq!(found, NoiseFloor { floor: 2.0, n_kept: 6, n_negative: 2, noise_share: 0.5 });
        let found = by_sign(&values, 0.3).unwrap();
        assert_eq!((found.floor, found.n_kept), (6.0, 4));
        let nothing = by_sign(&values, 0.2).unwrap_err();
        assert_eq!(nothing, NoiseFloorError::NothingStandsOut { share: 0.2, best: 0.25, n_kept: 4 });
        assert_eq!(
            by_sign(&[-1.0], 0.2).unwrap_err(),
            NoiseFloorError::NothingStandsOut { share: 0.2, best: f64::INFINITY, n_kept: 0 }
        );
        assert!(matches!(by_sign(&[1.0, f64::NAN], 0.2), Err(NoiseFloorError::NonFinite { index: 1, .. })));
        assert!(matches!(by_sign(&[1.0], 1.0), Err(NoiseFloorError::Share { .. })));
    }

    /// A power law of 150 directions and 350 of symmetric noise, which swallows the end of the law: the floor keeps
    /// what stands out, and the share of noise in it is the one asked for.
    #[test]
    fn the_share_of_noise_is_controlled_on_a_spectrum_with_a_floor() {
        let (n_true, n_null, share, runs) = (150, 350, 0.1, 200);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut mean_share, mut least, mut most) = (0.0, usize::MAX, 0);
        for _ in 0..runs {
            let law = (0..n_true).map(|i| 10f64.powf(-0.04 * f64::from(i)));
            let values: Vec<f64> = law.chain((0..n_null).map(|_| 0.0)).map(|v| v + 1e-5 * normal(&mut rng)).collect();
            let found = by_sign(&values, share).unwrap();
            let noise = values[n_true as usize..].iter().filter(|v| **v >= found.floor).count();
            mean_share += noise as f64 / found.n_kept as f64 / f64::from(runs);
            (least, most) = (least.min(found.n_kept), most.max(found.n_kept));
        }
        assert!(mean_share <= share && mean_share > 0.3 * share, "{mean_share}");
        // The law meets the noise's standard deviation after 125 directions.
        assert!(least > 100 && most < 170, "{least} to {most}");
    }

    /// The eigenvalues of a matrix of low rank with symmetric noise: their signs are not independent, and the floor is
    /// found.
    #[test]
    fn eigenvalues_of_a_noisy_matrix_of_low_rank() {
        let (n, rank) = (120, 40);
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut A = Mat::<f64>::zeros(n, n);
        for i in 0..rank {
            A[(i, i)] = 10f64.powf(-0.1 * i as f64);
        }
        for j in 0..n {
            for i in 0..=j {
                let noise = 1e-7 * normal(&mut rng);
                A[(i, j)] += noise;
                A[(j, i)] = A[(i, j)];
            }
        }
        let values: Vec<f64> = A.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
        let found = by_sign(&values, 0.05).unwrap();
        assert!((38..=43).contains(&found.n_kept), "{found:?}");
    }

    #[test]
    fn directions_are_kept_while_they_are_known() {
        let h = faer::mat![[10.0, 9.0, 11.0], [4.0, 3.0, 5.0], [1.0, 0.1, 1.9], [2.0, 2.0, 2.0]];
        // Standard errors √2, √2, 0.9·√2, 0.
        assert_eq!(by_error(h.as_ref(), 0.5).unwrap(), 2);
        assert_eq!(by_error(h.as_ref(), 0.2).unwrap(), 1);
        assert_eq!(by_error(h.as_ref().subrows(3, 1), 0.2).unwrap(), 1);
        assert_eq!(by_error(faer::mat![[-1.0, -1.0, -1.0]].as_ref(), 0.2).unwrap(), 0);
        assert!(by_error(h.as_ref(), 0.0).is_err());
        assert!(matches!(
            by_error(faer::mat![[1.0, f64::NAN, 1.0]].as_ref(), 0.5),
            Err(NoiseFloorError::NonFinite { index: 0, .. })
        ));
    }
}
