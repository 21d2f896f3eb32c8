//! The density of a spectrum by stochastic Lanczos quadrature.
//!
//! For a unit vector `z`, `m` steps of Lanczos give the Gauss quadrature of the measure `Σ_i (v_iᵀz)² δ(λ − λ_i)`:
//! nodes are the eigenvalues `θ_j` of the tridiagonal matrix, weights the squared first entries of its eigenvectors. It
//! is exact for polynomials of degree `2m − 1`. For a random `z` the measure has the mean `(1/n) Σ_i δ(λ − λ_i)`, the
//! density of the spectrum (Ubaru, Chen and Saad 2017). Full reorthogonalisation keeps every node within the spectrum
//! and no node twice; where the Krylov space of a probe ends early, so does its quadrature, which is then exact for
//! every function.

use crate::eigh::{EighError, eigh};
use crate::estimate::Estimate;
use crate::probe::Probe;
use crate::products::{NotFinite, Products};
use crate::symmetric::power_of_two_near;
use crate::tall::{column, gram, norm, subtract};
use faer::matrix_free::LinOp;
use faer::{Mat, MatRef};
use rand::Rng;
use rayon::prelude::*;

/// A remainder of at most `DEPENDENT · ε · √n · ‖A‖` is rounding.
const DEPENDENT: f64 = 8.0;

/// Settings of [`spectral_density`].
#[derive(Clone, Debug, PartialEq)]
pub struct DensityConfig {
    /// Probes, at least 2: the standard error falls as `1/√probes`.
    pub probes: usize,
    /// Lanczos steps a probe, at least 1: the resolution.
    pub steps: usize,
    /// Probes that advance together, one pass over the data a step. Memory is `8 n · steps · at_once` bytes.
    pub at_once: usize,
    /// Their distribution.
    pub probe: Probe,
}

impl Default for DensityConfig {
    fn default() -> Self {
        Self { probes: 16, steps: 64, at_once: 8, probe: Probe::Rademacher }
    }
}

/// The Gauss quadrature of one probe's measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Quadrature {
    /// `θ_j`, descending.
    pub nodes: Vec<f64>,
    /// `τ_j ≥ 0`, of sum 1.
    pub weights: Vec<f64>,
    /// Whether the probe's Krylov space ended, so that the quadrature is exact for every function.
    pub exact: bool,
}

impl Quadrature {
    /// `Σ_j τ_j f(θ_j)`.
    pub fn integral(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.nodes.iter().zip(&self.weights).map(|(&node, weight)| weight * f(node)).sum()
    }

    /// Bounds of the measure of `(−∞, x]`; equal when the quadrature is exact.
    pub fn bounds(&self, x: f64) -> (f64, f64) {
        let above = self.nodes.iter().take_while(|node| **node > x).count();
        let sum = |first: usize| self.weights.iter().skip(first).sum();
        if self.exact { (sum(above), sum(above)) } else { (sum(above + 1), sum(above.saturating_sub(1))) }
    }
}

/// A share of eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// At least this, in expectation.
    pub lower: Estimate,
    /// The sum of the weights of the nodes.
    pub value: Estimate,
    /// At most this, in expectation.
    pub upper: Estimate,
}

/// The density of a spectrum, `(1/n) Σ_i δ(λ − λ_i)`, as quadratures of independent probes.
///
/// Every number read off it is a mean over the probes with the standard error of their scatter. The error of the
/// quadrature itself is not in it: none for polynomials of degree `2·steps − 1`, small for functions that are smooth at
/// the scale of the nodes' distances.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralDensity {
    /// `n`.
    pub order: usize,
    /// One a probe.
    pub quadratures: Vec<Quadrature>,
    /// Products used.
    pub products: usize,
}

impl SpectralDensity {
    /// `tr f(A)/n`.
    pub fn integral(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let samples: Vec<f64> = self.quadratures.iter().map(|quadrature| quadrature.integral(&f)).collect();
        Estimate::of(&samples)
    }

    /// `tr(A^k)/n`.
    pub fn moment(&self, k: u32) -> Estimate {
        self.integral(|x| x.powi(k.cast_signed()))
    }

    /// The share of eigenvalues that are at most `x`, between bounds.
    ///
    /// A step is no polynomial, so here the error of the quadrature counts. The bounds hold for every probe's measure
    /// (Chebyshev, Markov and Stieltjes): without the node below `x`, and with the one above.
    pub fn cumulative(&self, x: f64) -> Share {
        let of = |share: fn(&Quadrature, f64) -> f64| {
            let samples: Vec<f64> = self.quadratures.iter().map(|quadrature| share(quadrature, x)).collect();
            Estimate::of(&samples)
        };
        Share {
            lower: of(|q, x| q.bounds(x).0),
            value: self.integral(|y| f64::from(y <= x)),
            upper: of(|q, x| q.bounds(x).1),
        }
    }

    /// The density at every point of `grid`, smoothed by a Gaussian of standard deviation `width`:
    /// `(1/n) Σ_i φ((x − λ_i)/width)/width`, per unit of `λ`.
    ///
    /// # Panics
    /// When `width` is not positive.
    #[track_caller]
    pub fn smoothed(&self, grid: &[f64], width: f64) -> Vec<Estimate> {
        assert!(width > 0.0, "a width is positive");
        let height = 1.0 / (width * (2.0 * std::f64::consts::PI).sqrt());
        let at = |&x: &f64| {
            self.integral(|node| {
                let t = (x - node) / width;
                height * (-0.5 * t * t).exp()
            })
        };
        grid.par_iter().map(at).collect()
    }

    /// Smallest and largest node: within the spectrum, and near its ends.
    pub fn extent(&self) -> (f64, f64) {
        let nodes = || self.quadratures.iter().flat_map(|quadrature| quadrature.nodes.iter().copied());
        (nodes().fold(f64::INFINITY, f64::min), nodes().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// Why there is no density.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DensityError {
    /// The operator is empty or not square.
    #[error("expected a non-empty square operator, found {nrows} × {ncols}")]
    Shape {
        /// Its rows.
        nrows: usize,
        /// Its columns.
        ncols: usize,
    },
    /// A product is infinite or NaN.
    #[error("product {product}, row {row} is {value}, expected a finite number")]
    NotFinite {
        /// Which product, counted from 0.
        product: usize,
        /// The first such row.
        row: usize,
        /// Its value.
        value: f64,
    },
    /// The operator is not symmetric.
    #[error("not symmetric: |q_iᵀAq_j − q_jᵀAq_i| = {asymmetry:e}·‖A‖, expected at most {tolerance:e}·‖A‖")]
    Asymmetric {
        /// Found, relative to the norm.
        asymmetry: f64,
        /// What is accepted.
        tolerance: f64,
    },
    /// A tridiagonal eigenproblem failed.
    #[error("a tridiagonal eigenproblem: {0}")]
    Tridiagonal(#[from] EighError),
}

/// `|q_iᵀAq_j − q_jᵀAq_i| / ‖A‖` that is accepted: more than products in `f32` leave.
const ASYMMETRY: f64 = 1e-5;

/// The spectral density of a symmetric `A` (`n × n`) from `probes · steps` products at most.
///
/// Probes are drawn in order and each is used whole before the next group, so the result depends on `at_once` in
/// rounding at most. Threads are those of the current rayon pool; if `A`'s products do not depend on their number,
/// neither does the result.
///
/// ```
/// use superlinear_spectra::{DensityConfig, spectral_density};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// // Half of the eigenvalues are 1, half −1.
/// let A = faer::Mat::from_fn(40, 40, |i, j| if i + j == 39 { 1.0 } else { 0.0 });
/// let found = spectral_density(&A, &DensityConfig::default(), &mut ChaCha8Rng::seed_from_u64(1))?;
/// let below = found.cumulative(0.0);
/// assert!((below.value.value - 0.5).abs() < 4.0 * below.value.standard_error);
/// assert!((found.moment(2).value - 1.0).abs() < 1e-14);
/// # Ok::<(), superlinear_spectra::DensityError>(())
/// ```
///
/// # Errors
/// When `A` is empty, not square or not symmetric, or a product is not finite.
///
/// # Panics
/// When there are fewer than 2 `probes`, `steps` or `at_once` is 0.
#[track_caller]
pub fn spectral_density(
    A: &dyn LinOp<f64>,
    config: &DensityConfig,
    mut rng: &mut (impl Rng + ?Sized),
) -> Result<SpectralDensity, DensityError> {
    assert!(config.probes >= 2, "a standard error takes two probes");
    assert!(config.steps > 0 && config.at_once > 0, "there are no steps, or no probes at once");
    let n = A.nrows();
    if n == 0 || A.ncols() != n {
        return Err(DensityError::Shape { nrows: n, ncols: A.ncols() });
    }
    let mut products = Products::new(A);
    let mut quadratures = Vec::with_capacity(config.probes);
    while quadratures.len() < config.probes {
        let group = config.at_once.min(config.probes - quadratures.len());
        let mut Z = Mat::zeros(n, group);
        (0..group).for_each(|j| config.probe.draw(Z.col_as_slice_mut(j), &mut rng));
        quadratures.extend(quadratures_of(&mut products, Z.as_ref(), config.steps)?);
    }
    Ok(SpectralDensity { order: n, quadratures, products: products.count })
}

/// One probe's Lanczos process.
struct Process {
    /// `n × (at most steps)`, orthonormal.
    Q: Mat<f64>,
    steps: usize,
    diagonal: Vec<f64>,
    beside: Vec<f64>,
    ended: bool,
    asymmetry: f64,
}

/// Quadratures of the measures of the columns of `Z` (`n × g`), none zero, which advance together.
fn quadratures_of(
    products: &mut Products<'_>,
    Z: MatRef<'_, f64>,
    steps: usize,
) -> Result<Vec<Quadrature>, DensityError> {
    let n = Z.nrows();
    let steps = steps.min(n);
    let start = |j: usize| {
        let mut Q = Mat::zeros(n, steps);
        let (z, length) = (column(Z, j), norm(column(Z, j)));
        Q.col_as_slice_mut(0).iter_mut().zip(z).for_each(|(q, z)| *q = z / length);
        Process { Q, steps: 0, diagonal: Vec::new(), beside: Vec::new(), ended: false, asymmetry: 0.0 }
    };
    let mut processes: Vec<Process> = (0..Z.ncols()).map(start).collect();
    let mut largest = 0.0_f64;
    loop {
        let mut active: Vec<&mut Process> = processes.iter_mut().filter(|p| !p.ended && p.steps < steps).collect();
        if active.is_empty() {
            break;
        }
        let mut x = Mat::zeros(n, active.len());
        active.iter().enumerate().for_each(|(j, process)| x.col_mut(j).copy_from(process.Q.col(process.steps)));
        let mut y = Mat::zeros(n, active.len());
        let not_finite = |NotFinite { product, row, value }| DensityError::NotFinite { product, row, value };
        products.apply(y.as_mut(), x.as_ref()).map_err(not_finite)?;
        if largest == 0.0 {
            // No process has a coefficient other than zero yet, except from an earlier group, which has set the scale.
            let scale = if products.scale == 1.0 { 1.0 / power_of_two_near(y.norm_max()) } else { 1.0 };
            y *= faer::Scale(scale);
            products.scale *= scale;
        }
        largest = (0..active.len()).fold(largest, |most, j| most.max(norm(y.col_as_slice(j))));
        let columns = y.par_col_chunks_mut(1);
        columns.zip(active.par_iter_mut()).for_each(|(w, process)| process.advance(w, largest));
        if let Some(asymmetry) = active.iter().map(|p| p.asymmetry).find(|asymmetry| *asymmetry > ASYMMETRY) {
            return Err(DensityError::Asymmetric { asymmetry, tolerance: ASYMMETRY });
        }
    }
    let unit = 1.0 / products.scale;
    processes.into_iter().map(|process| process.quadrature(unit)).collect()
}

impl Process {
    /// Takes the product `w = Aq` of its last vector.
    fn advance(&mut self, mut w: faer::MatMut<'_, f64>, largest: f64) {
        use faer::prelude::{Reborrow, ReborrowMut};
        let (n, j) = (w.nrows(), self.steps);
        let known = self.Q.subcols(0, j + 1);
        let first = gram(known, w.rb());
        subtract(w.rb_mut(), known, first.as_ref());
        let second = gram(known, w.rb());
        subtract(w.rb_mut(), known, second.as_ref());
        let coefficient = |i: usize| first[(i, 0)] + second[(i, 0)];
        for i in 0..j {
            let expected = if i + 1 == j { self.beside[i] } else { 0.0 };
            if largest > 0.0 {
                self.asymmetry = self.asymmetry.max((coefficient(i) - expected).abs() / largest);
            }
        }
        self.diagonal.push(coefficient(j));
        self.steps += 1;
        let remainder = norm(column(w.rb(), 0));
        if remainder <= DEPENDENT * f64::EPSILON * (n as f64).sqrt() * largest || self.steps == n {
            self.ended = true;
        } else if self.steps < self.Q.ncols() {
            self.beside.push(remainder);
            let next = self.Q.col_as_slice_mut(self.steps);
            next.iter_mut().zip(column(w.rb(), 0)).for_each(|(q, w)| *q = w / remainder);
        }
    }

    fn quadrature(self, unit: f64) -> Result<Quadrature, DensityError> {
        let m = self.steps;
        let T = Mat::from_fn(m, m, |i, j| match i.abs_diff(j) {
            0 => self.diagonal[i],
            1 => self.beside[i.min(j)],
            _ => 0.0,
        });
        let eigen = eigh(T.as_ref())?;
        let weights = (0..m).map(|j| eigen.vectors[(0, j)] * eigen.vectors[(0, j)]).collect();
        Ok(Quadrature { nodes: eigen.values.iter().map(|theta| theta * unit).collect(), weights, exact: self.ended })
    }
}

#[cfg(test)]
mod tests;
