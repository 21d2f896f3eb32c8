//! What the benches share: the machine's own matrix-product speed, a stopwatch and a real layer to work on.
//!
//! A bench reports its time through criterion, and then its shortest run as a fraction of [`matmul_speed_f64`] or
//! [`matmul_speed_f32`] measured around it in the same process. The fraction carries over between machines and is
//! steadier than the time on a busy one.

#![allow(non_snake_case)]

mod matmul_speed;
mod mnist_layer;
mod stopwatch;

pub use matmul_speed::{matmul_speed_f32, matmul_speed_f64};
pub use mnist_layer::{first_images, trained_mnist_layer};
pub use stopwatch::{Stopwatch, measuring};
