//! The joint covariance of per-sample gradients: a streamed product of centred gradients with themselves.

use super::JointLayers;
use crate::kronecker_moment::BLOCK;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Columns of a tile of the result.
const TILE: usize = 128;

/// The lower triangle of `E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]`, tile columns filled down to the last row.
pub(super) fn centred_second_moment(joint: &JointLayers<'_>) -> Mat<f64> {
    let (P, n_samples) = (joint.n_params(), joint.n_samples());
    let mean: Vec<f64> = joint.layers.iter().flat_map(|layer| layer.mean_gradient()).collect();
    let mut gradients = vec![0.0; P * BLOCK.min(n_samples)];
    let mut moment = Mat::zeros(P, P);
    let scale = 1.0 / n_samples as f64;
    for first in (0..n_samples).step_by(BLOCK) {
        let count = BLOCK.min(n_samples - first);
        let gradients = &mut gradients[..P * count];
        gradients.par_chunks_mut(P).enumerate().for_each(|(p, gradient)| {
            let (mut gradient, mut mean, p) = (gradient, &mean[..], first + p);
            for layer in &joint.layers {
                let a = layer.a(p);
                for &delta in layer.delta(p) {
                    let (row, rest) = gradient.split_at_mut(a.len());
                    let (row_mean, mean_rest) = mean.split_at(a.len());
                    for ((x, &a), &m) in row.iter_mut().zip(a).zip(row_mean) {
                        *x = delta * a - m;
                    }
                    (gradient, mean) = (rest, mean_rest);
                }
            }
        });
        let gradients = MatRef::from_column_major_slice(gradients, P, count);
        moment.as_mut().par_col_chunks_mut(TILE).enumerate().with_max_len(1).for_each(|(t, columns)| {
            let (start, n) = (t * TILE, columns.ncols());
            let right = gradients.subrows(start, n).transpose();
            let left = gradients.subrows(start, P - start);
            matmul(columns.subrows_mut(start, P - start), Accum::Add, left, right, scale, Par::Seq);
        });
    }
    moment
}
