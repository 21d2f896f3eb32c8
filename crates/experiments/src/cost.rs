//! What a reproduction would cost, from counts of operations and this machine's measured speed.

use crate::keep::Keep;
use crate::spec::RunSpec;
use crate::train::kept_epochs;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use std::time::Instant;
use superlinear_curvature::{KroneckerShape, Symmetry};

/// Share of the `f32` matrix-product speed that a training step reaches.
const TRAINING_SHARE: f64 = 0.7;
/// The same for networks of less than 100,000 parameters.
const SMALL_TRAINING_SHARE: f64 = 0.35;
/// Share of the `f64` matrix-product speed that the moments reach.
const MOMENTS_SHARE: f64 = 0.65;
/// Operations of the eigendecomposition with its check and of two matrices in its basis, in units of `P³`, at full speed.
const EIGEN_CUBES: f64 = 36.0;
/// The same for two or three further decompositions and the samples.
const SPECTRAL_CUBES: f64 = 90.0;
/// The same for one draw of the Haar null, of three pairs.
const DRAW_CUBES: f64 = 9.0;
/// Dense `P × P` matrices alive at once.
const MATRICES: f64 = 15.0;

/// Speeds of one core, in operations a second.
#[derive(Clone, Copy)]
pub struct Speed {
    single: f64,
    double: f64,
}

impl Speed {
    /// Measures this machine: a fraction of a second.
    pub fn measure() -> Self {
        const N: usize = 384;
        fn best<T: superlinear_nets::Scalar>() -> f64 {
            let A = Mat::<T>::from_fn(N, N, |i, j| T::of(((i * 7 + j * 13) % 17) as f64));
            let mut product = Mat::<T>::zeros(N, N);
            let seconds = (0..8).map(|_| {
                let start = Instant::now();
                matmul(product.as_mut(), Accum::Replace, &A, &A, T::ONE, Par::Seq);
                start.elapsed().as_secs_f64()
            });
            2.0 * (N as f64).powi(3) / seconds.fold(f64::INFINITY, f64::min)
        }
        Self { single: best::<f32>(), double: best::<f64>() }
    }
}

/// What a run costs beside others, the same on every machine: seconds at one `f64` operation a second and two `f32` ones.
pub fn operations(spec: &RunSpec) -> f64 {
    cost(spec, Speed { single: 2.0, double: 1.0 }, Keep::Summary).seconds
}

/// Estimated cost of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Core-seconds.
    pub seconds: f64,
    /// Peak bytes of the analysis.
    pub memory: f64,
    /// Bytes on disk, at most; with [`Keep::None`] until the results are written.
    pub disk: f64,
}

/// The cost of `spec` on one core of a machine of this speed.
pub fn cost(spec: &RunSpec, speed: Speed, keep: Keep) -> Cost {
    let architecture = spec.architecture();
    let layer = &architecture.dense_layers()[spec.target_dense()];
    let (n_params, P) = (architecture.n_params() as f64, (layer.d_out * layer.d_in) as f64);
    let n_samples = spec.n_samples() as f64;
    let steps = architecture.training_flops() as f64 * n_samples * spec.epochs as f64;
    let share = if n_params < 1e5 { SMALL_TRAINING_SHARE } else { TRAINING_SHARE };
    let training = steps / (share * speed.single);
    let shape = KroneckerShape {
        symmetry: Symmetry::Symmetric,
        n_samples: spec.n_samples(),
        n_moments: 8,
        d_out: layer.d_out,
        d_in: layer.d_in,
    };
    let analysis = shape.flops() / (MOMENTS_SHARE * speed.double) + EIGEN_CUBES * P.powi(3) / speed.double;
    let checkpoints = spec.checkpoints.iter().filter(|&&epoch| epoch < spec.epochs).count() as f64
        + spec.analysed_dense().len() as f64;
    let spectral = spec.spectra.map_or(0.0, |spectral| SPECTRAL_CUBES + DRAW_CUBES * (1 + spectral.null_draws) as f64);
    let spectral = spectral * P.powi(3) / speed.double;
    let activities = n_samples * 8.0 * 2.0 * (layer.d_in + 2 * layer.d_out) as f64;
    let networks = (kept_epochs(spec, keep).len() + 2) as f64;
    // The triangles of three matrices.
    let moments = if keep == Keep::Moments { 3.0 * 8.0 * P * (P + 1.0) / 2.0 } else { 0.0 };
    // Maps of three pairs, cells and diagonals.
    let cells = superlinear_plots::HeatMap::MAX_CELLS.pow(2) as f64;
    let maps = spec.spectra.map_or(0.0, |_| 9.0 * 4.0 * cells + 16.0 * 8.0 * spec.top as f64);
    Cost {
        seconds: training + analysis * checkpoints + spectral,
        memory: MATRICES * 8.0 * P * P + activities,
        // Weights, the state while training, diagonals of every checkpoint, indices, all directions of the last.
        disk: networks * 4.0 * n_params
            + checkpoints * (10.0 * 8.0 * spec.top as f64 + moments)
            + 3.0 * n_samples
            + 4.0 * 8.0 * P
            + maps,
    }
}

/// A duration as a person says it.
pub fn human_time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5_400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// A size as a person says it.
pub fn human_bytes(bytes: f64) -> String {
    match bytes {
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}
