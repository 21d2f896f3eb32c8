//! Random vectors with `E[zzᵀ] = I`, from which estimators look at an operator.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// The distribution of a probe `z` (`n`), with `E[zzᵀ] = I` and `‖z‖² = n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Probe {
    /// Entries `±1` with equal chances: the least variance where the diagonal dominates, none for a diagonal matrix.
    #[default]
    Rademacher,
    /// Uniform on the sphere of radius `√n`: no variance for a multiple of the identity, and the same in every basis.
    Sphere,
}

impl Probe {
    /// Draws `z`.
    pub(crate) fn draw(self, z: &mut [f64], rng: &mut dyn Rng) {
        match self {
            Self::Rademacher => {
                for entries in z.chunks_mut(64) {
                    let mut bits = rng.next_u64();
                    for x in entries {
                        *x = if bits & 1 == 0 { 1.0 } else { -1.0 };
                        bits >>= 1;
                    }
                }
            }
            Self::Sphere => {
                gaussian(z, rng);
                let length = crate::tall::norm(z);
                let radius = (z.len() as f64).sqrt();
                z.iter_mut().for_each(|x| *x *= radius / length);
            }
        }
    }
}

/// Independent standard normal entries.
pub(crate) fn gaussian(z: &mut [f64], rng: &mut dyn Rng) {
    z.iter_mut().for_each(|x| *x = StandardNormal.sample(rng));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn draws_keep_their_values() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let mut z = [0.0; 8];
        Probe::Rademacher.draw(&mut z, rng);
        assert_eq!(z, [-1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0]);
        Probe::Sphere.draw(&mut z, rng);
        assert!((crate::tall::dot(&z, &z) - 8.0).abs() < 1e-14);
        assert_eq!(format!("{:.12}", z[0]), "-1.329478453758");
    }

    #[test]
    fn covariance_is_the_identity() {
        for probe in [Probe::Rademacher, Probe::Sphere] {
            let (n, draws) = (3, 40_000);
            let rng = &mut ChaCha8Rng::seed_from_u64(2);
            let mut sums = [[0.0; 3]; 3];
            let mut z = [0.0; 3];
            for _ in 0..draws {
                probe.draw(&mut z, rng);
                for i in 0..n {
                    (0..n).for_each(|j| sums[i][j] += z[i] * z[j]);
                }
            }
            for (i, row) in sums.iter().enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    // The variance of a product of two entries is at most 1.
                    assert!((sum / f64::from(draws) - expected).abs() < 4.0 / f64::from(draws).sqrt());
                }
            }
        }
    }
}
