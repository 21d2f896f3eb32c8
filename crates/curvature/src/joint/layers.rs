//! What samples leave at several dense layers, and the moments made of it.

use super::blocks::{add_block, mirror};
use super::coefficients::Coefficients;
use super::noise::centred_second_moment;
use crate::{
    AnalysedLayer, NetworkPass, NetworkPassError, SelectionError, Symmetry, kronecker_moments, outer_product_vech, vech,
};
use faer::Mat;
use std::ops::Range;
use superlinear_nets::{Loss, Network, Samples, Selection};

/// `N` samples at several dense layers of one network.
///
/// Moments over it are `P × P` with `P` the number of weights of all the layers, in the order of
/// [`Selection::dense_weights`]: layer by layer, each row-major `vec(W)`. They are held to the memory that the caller
/// allows, to the last bit the same for any number of threads of the current rayon pool, and mean over samples (`1/N`).
#[derive(Clone, Debug)]
pub struct JointLayers<'a> {
    pub(super) net: &'a Network<f64>,
    /// Which dense layers of `net`, ascending.
    pub(super) dense: Vec<usize>,
    pub(super) layers: Vec<AnalysedLayer>,
    pub(super) ranges: Vec<Range<usize>>,
}

/// Why there is no joint moment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JointError {
    /// The layers are none, not there, or one is named twice.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The samples cannot be analysed.
    #[error(transparent)]
    Samples(#[from] NetworkPassError),
    /// The matrix would take more memory than it may.
    #[error("a joint moment of {n_params} × {n_params} needs {needed} bytes, more than the limit of {limit}")]
    Memory {
        /// Its order.
        n_params: usize,
        /// What it would take, accumulators included.
        needed: u64,
        /// What the caller allows.
        limit: u64,
    },
}

impl<'a> JointLayers<'a> {
    /// Runs all samples through `net` and keeps what the named dense layers (counted from 0) see, first to last.
    ///
    /// `N` numbers for every input and two for every output of the layers are kept.
    ///
    /// # Errors
    /// When no layer is named, one is named twice or is not there; when there are no samples, they do not fit, or a
    /// number is not finite.
    pub fn collect(
        net: &'a Network<f64>,
        dense: &[usize],
        loss: Loss,
        samples: &impl Samples<f64>,
    ) -> Result<Self, JointError> {
        let selection = Selection::dense_weights(net.architecture(), dense.iter().copied())?;
        let mut dense = dense.to_vec();
        dense.sort_unstable();
        let layers: Result<Vec<_>, _> = dense.iter().map(|&d| AnalysedLayer::collect(net, d, loss, samples)).collect();
        let mut first = 0;
        let own = |range: &Range<usize>| {
            let own = first..first + range.len();
            first = own.end;
            own
        };
        let ranges = selection.ranges().iter().map(own).collect();
        Ok(Self { net, dense, layers: layers?, ranges })
    }

    /// `P`, the weights of all layers together.
    pub fn n_params(&self) -> usize {
        self.ranges[self.ranges.len() - 1].end
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.layers[0].n_samples()
    }

    /// What each layer sees, first to last.
    pub fn layers(&self) -> &[AnalysedLayer] {
        &self.layers
    }

    /// What the network's pass has left at layer `m`.
    pub(super) fn pass(&self, m: usize) -> &NetworkPass {
        self.layers[m].network_pass().expect("layers of joint moments are collected from a network")
    }

    /// Where each layer's weights stand among the rows of a moment.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Bytes that [`JointLayers::hessian`] takes beside what is kept: `P²` numbers, and twice the largest block of two
    /// layers.
    pub fn hessian_bytes(&self) -> u64 {
        self.bytes(2)
    }

    /// Bytes that [`JointLayers::hessian_second_moment`] takes: `P²` numbers, and four times the largest block.
    pub fn second_moment_bytes(&self) -> u64 {
        self.bytes(4)
    }

    /// Bytes that [`JointLayers::noise_covariance`] takes: `P²` numbers, and the gradients of a block of 256 samples.
    pub fn noise_bytes(&self) -> u64 {
        let (P, block) = (self.n_params() as u64, crate::kronecker_moment::BLOCK as u64);
        8 * P * (P + block + 1)
    }

    fn bytes(&self, accumulators: u64) -> u64 {
        let (P, largest) = (self.n_params() as u64, self.ranges.iter().map(|r| r.len() as u64).max().unwrap_or(0));
        8 * (P * P + accumulators * largest * largest)
    }

    fn check(&self, needed: u64, limit: u64) -> Result<(), JointError> {
        if needed <= limit { Ok(()) } else { Err(JointError::Memory { n_params: self.n_params(), needed, limit }) }
    }

    /// The Hessian `H = E_p[h_p]` in all the layers' weights, `P × P`, exactly.
    ///
    /// About `4N P_m P_l` flops for every pair of different layers and `½N P_m²` for a layer with itself.
    ///
    /// # Errors
    /// When [`JointLayers::hessian_bytes`] is more than `limit`.
    pub fn hessian(&self, limit: u64) -> Result<Mat<f64>, JointError> {
        self.check(self.hessian_bytes(), limit)?;
        let mut H = Mat::zeros(self.n_params(), self.n_params());
        for m in 0..self.layers.len() {
            let layer = &self.layers[m];
            let own = kronecker_moments(
                layer.moment_shape(Symmetry::Symmetric, 1),
                || Coefficients::new(self),
                |at, p, left, right| {
                    vech(at.S(p, m), left);
                    outer_product_vech(1.0, layer.a(p), right);
                },
            );
            let at = self.ranges[m].clone();
            H.as_mut().submatrix_mut(at.start, at.start, at.len(), at.len()).copy_from(&own[0]);
            for l in 0..m {
                add_block(self, &mut H, m, l, 2, |at, p, parts| {
                    let (A, D) = at.pair(p, m, l);
                    parts[0].fill(A);
                    parts[1].fill(D);
                });
            }
        }
        mirror(&mut H);
        Ok(H)
    }

    /// `M₂ = E_p[h_p²]` in all the layers' weights, `P × P`, exactly.
    ///
    /// The square is that of the joint Hessian: block `(m, l)` sums over all layers between. About `8N P_m P_l` flops a
    /// pair.
    ///
    /// # Errors
    /// When [`JointLayers::second_moment_bytes`] is more than `limit`.
    pub fn hessian_second_moment(&self, limit: u64) -> Result<Mat<f64>, JointError> {
        self.check(self.second_moment_bytes(), limit)?;
        let mut M2 = Mat::zeros(self.n_params(), self.n_params());
        for m in 0..self.layers.len() {
            for l in 0..=m {
                add_block(self, &mut M2, m, l, 4, |at, p, parts| {
                    let square = at.square(p, m, l);
                    let (out_m, out_l) = (self.layers[m].d_out(), self.layers[l].d_out());
                    let (upper, lower) = square.split_at_row(out_m);
                    let ((X, Z), (Y, W)) = (upper.split_at_col(out_l), lower.split_at_col(out_l));
                    parts[0].fill(X);
                    parts[1].fill(Y);
                    parts[2].fill(Z);
                    parts[3].fill(W);
                });
            }
        }
        mirror(&mut M2);
        Ok(M2)
    }

    /// `Σ = E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]` in all the layers' weights, `P × P`, PSD: centred before it is multiplied.
    ///
    /// About `N P²` flops.
    ///
    /// # Errors
    /// When [`JointLayers::noise_bytes`] is more than `limit`.
    pub fn noise_covariance(&self, limit: u64) -> Result<Mat<f64>, JointError> {
        self.check(self.noise_bytes(), limit)?;
        let mut Sigma = centred_second_moment(self);
        mirror(&mut Sigma);
        Ok(Sigma)
    }
}
