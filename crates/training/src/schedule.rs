//! The learning rate of an epoch.

use std::f64::consts::PI;

/// Cosine annealing, stepped once an epoch: `η_e = η_min + ½(η − η_min)(1 + cos(π e / T_max))`.
///
/// As PyTorch's `CosineAnnealingLR` in closed form; epochs are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineSchedule {
    /// `η`, the rate of epoch 0.
    pub initial: f64,
    /// `η_min`.
    pub floor: f64,
    /// `T_max`, in epochs.
    pub t_max: usize,
}

impl CosineSchedule {
    /// `η_e`.
    pub fn rate(&self, epoch: usize) -> f64 {
        let phase = PI * epoch as f64 / self.t_max as f64;
        self.floor + 0.5 * (self.initial - self.floor) * (1.0 + phase.cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_the_initial_rate_and_ends_at_the_floor() {
        let schedule = CosineSchedule { initial: 0.1, floor: 0.001, t_max: 500 };
        assert_eq!(schedule.rate(0), 0.1);
        assert!((schedule.rate(250) - 0.0505).abs() < 1e-15);
        assert!((schedule.rate(500) - 0.001).abs() < 1e-15);
    }
}
