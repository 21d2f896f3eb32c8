//! A mean of independent values and its standard error.

/// An estimate from independent samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Mean of the samples.
    pub value: f64,
    /// `sd/√m`, of the standard deviation of the `m` samples (division by `m − 1`).
    pub standard_error: f64,
}

impl Estimate {
    /// Of at least two samples; both fields are NaN for fewer.
    pub(crate) fn of(samples: &[f64]) -> Self {
        let m = samples.len() as f64;
        if samples.len() < 2 {
            return Self { value: f64::NAN, standard_error: f64::NAN };
        }
        let value = samples.iter().sum::<f64>() / m;
        let squares: f64 = samples.iter().map(|x| (x - value) * (x - value)).sum();
        Self { value, standard_error: (squares / (m * (m - 1.0))).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_its_error() {
        let found = Estimate::of(&[1.0, 2.0, 3.0, 6.0]);
        assert_eq!(found.value, 3.0);
        assert!((found.standard_error - (14.0_f64 / 12.0).sqrt()).abs() < 1e-15);
        assert!(Estimate::of(&[1.0]).value.is_nan());
    }
}
