//! The speed of faer's dense matrix product: what a bench is a fraction of.

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, Mat, Par};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Order of the product: large enough for full speed, small enough to take tens of milliseconds.
const ORDER: usize = 1024;
/// Products timed, of which the fastest counts.
const REPEATS: usize = 15;

/// Flops per second of an `f64` product of order 1024 (`2·1024³` flops), the fastest of 15 in the current rayon pool.
pub fn matmul_speed_f64(par: Par) -> f64 {
    fastest::<f64>(1.0, par)
}

/// Flops per second of an `f32` product of order 1024 (`2·1024³` flops), the fastest of 15 in the current rayon pool.
pub fn matmul_speed_f32(par: Par) -> f64 {
    fastest::<f32>(1.0, par)
}

fn fastest<T: ComplexField + Copy + From<u8>>(one: T, par: Par) -> f64 {
    let factor = |shift: usize| Mat::from_fn(ORDER, ORDER, |i, j| T::from(((shift * i + j) % 7) as u8));
    let (A, B) = (factor(3), factor(5));
    let mut C = Mat::<T>::zeros(ORDER, ORDER);
    let once = |_| {
        let start = Instant::now();
        matmul(C.as_mut(), Accum::Replace, black_box(&A), &B, one, par);
        black_box(C.as_ref());
        start.elapsed()
    };
    let shortest = (0..REPEATS).map(once).min().unwrap_or(Duration::MAX);
    2.0 * (ORDER as f64).powi(3) / shortest.as_secs_f64()
}
