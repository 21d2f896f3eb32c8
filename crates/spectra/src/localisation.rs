//! How many entries carry a vector: inverse participation ratio and participation ratio (`MATH §7`).

use crate::symmetric::power_of_two_near;

/// Why a vector has no participation ratio.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LocalisationError {
    /// An entry is infinite or NaN.
    #[error("entry {index} is {value}, expected a finite number")]
    NotFinite {
        /// Its place.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// The vector is zero, or has no entries.
    #[error("the vector of {length} entries is zero")]
    Zero {
        /// Its entries.
        length: usize,
    },
}

/// `Σ_k v_k⁴ / (Σ_k v_k²)²` of a vector of any norm: from `1/P`, all entries of equal magnitude, to 1, a single entry.
///
/// A Haar-random direction has [`expected_inverse_participation_ratio`] on average.
///
/// # Errors
/// When `v` is zero, empty or not finite.
pub fn inverse_participation_ratio(v: &[f64]) -> Result<f64, LocalisationError> {
    if let Some((index, &value)) = v.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        return Err(LocalisationError::NotFinite { index, value });
    }
    let largest = v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    if largest == 0.0 {
        return Err(LocalisationError::Zero { length: v.len() });
    }
    let scale = power_of_two_near(largest);
    let squares = v.iter().map(|x| (x / scale) * (x / scale));
    let norm: f64 = squares.clone().sum();
    Ok(squares.map(|x| (x / norm) * (x / norm)).sum())
}

/// `(Σ_k v_k²)² / Σ_k v_k⁴`: the number of entries that carry `v`, from 1 to `P`.
///
/// # Errors
/// When `v` is zero, empty or not finite.
pub fn participation_ratio(v: &[f64]) -> Result<f64, LocalisationError> {
    inverse_participation_ratio(v).map(f64::recip)
}

/// The inverse participation ratio of `t ⊗ a`, which is the product of those of `t` and `a`; the long vector is not
/// formed.
///
/// # Errors
/// When `t` or `a` is zero, empty or not finite.
pub fn kronecker_inverse_participation_ratio(t: &[f64], a: &[f64]) -> Result<f64, LocalisationError> {
    Ok(inverse_participation_ratio(t)? * inverse_participation_ratio(a)?)
}

/// `3/(P + 2)`: the mean inverse participation ratio of a direction uniform on the sphere in `P` dimensions.
///
/// # Panics
/// When `P` is 0.
#[track_caller]
pub fn expected_inverse_participation_ratio(P: usize) -> f64 {
    assert!(P > 0, "no direction in 0 dimensions");
    3.0 / (P as f64 + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haar_draws::{NullTest, haar_orthogonal};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    proptest! {
        #[test]
        fn equals_the_definition_at_any_scale(
            v in prop::collection::vec(-1.0f64..1.0, 1..100),
            exponent in -300i32..300,
        ) {
            let square: f64 = v.iter().map(|x| x * x).sum();
            prop_assume!(square > 1e-12);
            let truth = v.iter().map(|x| x.powi(4)).sum::<f64>() / (square * square);
            let scaled: Vec<f64> = v.iter().map(|x| x * 10f64.powi(exponent)).collect();
            let found = inverse_participation_ratio(&scaled).unwrap();
            prop_assert!((found / truth - 1.0).abs() < 1e-12);
            prop_assert!(found <= 1.0 + 1e-14 && found * v.len() as f64 >= 1.0 - 1e-14);
            prop_assert!((participation_ratio(&scaled).unwrap() * truth - 1.0).abs() < 1e-12);
        }

        #[test]
        fn of_a_kronecker_vector_is_the_product(
            t in prop::collection::vec(0.1f64..1.0, 1..10),
            a in prop::collection::vec(-1.0f64..-0.1, 1..10),
        ) {
            let long: Vec<f64> = t.iter().flat_map(|t| a.iter().map(move |a| t * a)).collect();
            let truth = inverse_participation_ratio(&long).unwrap();
            prop_assert!((kronecker_inverse_participation_ratio(&t, &a).unwrap() / truth - 1.0).abs() < 1e-13);
        }
    }

    #[test]
    fn random_directions_are_as_expected() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for P in [1, 2, 5, 12] {
            let ratio = |_| inverse_participation_ratio(haar_orthogonal(P, &mut rng).col_as_slice(0)).unwrap();
            let draws: Vec<f64> = (0..2_000).map(ratio).collect();
            let test = NullTest::new(expected_inverse_participation_ratio(P), &draws).unwrap();
            assert!((test.mean - test.observed).abs() <= 4.0 * test.standard_error + 1e-14, "P = {P}: {test:?}");
        }
    }

    #[test]
    fn bad_vectors_are_named() {
        assert_eq!(inverse_participation_ratio(&[]), Err(LocalisationError::Zero { length: 0 }));
        assert_eq!(participation_ratio(&[0.0; 3]), Err(LocalisationError::Zero { length: 3 }));
        let value = f64::INFINITY;
        let error = kronecker_inverse_participation_ratio(&[1.0], &[1.0, value]);
        assert_eq!(error, Err(LocalisationError::NotFinite { index: 1, value }));
    }
}
