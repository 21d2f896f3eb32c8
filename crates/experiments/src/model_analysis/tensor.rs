//! One tensor: its matrices, exponents and commutators.

use super::Asked;
use super::source::Source;
use super::spectra::{self, SampleSpectra};
use crate::exponents::{Directions, Exponent, Exponents};
use crate::layer_spectra;
use crate::observer::Observer;
use crate::record::layer_spectra::PairRecord;
use anyhow::{Context, Result, bail};
use faer::{Mat, MatRef};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Instant;
use superlinear_curvature::{Diagonal, DiagonalsAlong};
use superlinear_noise::{Sampling, batch_factor};
use superlinear_spectra::{TopOverlap, eigh, top_overlaps};

/// Dense `P × P` matrices that are alive at once, at most.
const MATRICES: u64 = 10;
/// Dimensions at which leading eigenspaces are compared.
const OVERLAP_AT: [usize; 7] = [1, 3, 10, 30, 100, 300, 1_000];

/// What was found of a tensor.
#[derive(Debug)]
pub struct TensorFound {
    /// What it is.
    pub asked: Asked,
    /// `P`.
    pub n_params: usize,
    /// How the directions were found.
    pub how: How,
    /// Leading eigenvectors of `H`.
    pub directions: Directions,
    /// `H_ii`, `Σ_ii` and `(M₂)_ii` along them, with their errors.
    pub diagonals: DiagonalsAlong,
    /// `C_ii = factor · Σ_ii`.
    pub factor: f64,
    /// γ of `C` on `H`; `Err` says why there is none.
    pub c_on_h: Result<Exponent, String>,
    /// γ of `M₂` on `H`.
    pub m2_on_h: Result<Exponent, String>,
    /// The exponent of `C` on `M₂`.
    pub c_on_m2: Result<Exponent, String>,
    /// How nearly the matrices commute; `None` where they are not formed.
    pub commutativity: Option<Commutativity>,
    /// The matrices themselves, where they are formed and asked for.
    pub matrices: Option<Matrices>,
    /// The bounds of `M₂` and the spectra of samples; `Err` says why there are none.
    pub spectra: Result<SampleSpectra, String>,
    /// Directions of all that were looked at where `(M₂)_ii < H_ii²` by more than rounding: there are none.
    pub below_square: usize,
    /// Seconds.
    pub wall_s: f64,
}

/// `P × P`, in the order of the tensor's entries, row-major.
#[derive(Clone, Debug)]
pub struct Matrices {
    /// `E_p[h_p]`.
    pub H: Mat<f64>,
    /// `E_p[h_p²]`.
    pub M2: Mat<f64>,
    /// The covariance of one sample's gradient.
    pub Sigma: Mat<f64>,
}

/// How directions were found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// By the eigendecomposition of the dense `H`.
    Dense,
    /// By a Lanczos iteration of so many products, of which so many pairs converged.
    Lanczos {
        /// Products with `H`.
        products: usize,
        /// Converged pairs.
        converged: usize,
    },
}

/// Pairs of matrices in one eigenbasis, over all directions, and their leading eigenspaces.
#[derive(Debug)]
pub struct Commutativity {
    /// `C` in the eigenbasis of `H`.
    pub c_in_h: PairRecord,
    /// `M₂` in that of `H`.
    pub m2_in_h: PairRecord,
    /// `C` in that of `M₂`.
    pub c_in_m2: PairRecord,
    /// Leading eigenspaces of `C` and `H`.
    pub c_with_h: Vec<TopOverlap>,
    /// Of `M₂` and `H`.
    pub m2_with_h: Vec<TopOverlap>,
}

/// What is asked of a tensor, whatever its source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) n_samples: usize,
    pub(super) batch: NonZeroUsize,
    pub(super) top: NonZeroUsize,
    pub(super) memory: u64,
    pub(super) tol: f64,
    pub(super) seed: u64,
    pub(super) keep_matrices: bool,
    /// What rounding of the outputs makes of the loss: [`ModelFit::rounding`](super::ModelFit::rounding).
    pub(super) rounding: f64,
}

/// Analyses one tensor.
pub(super) fn analyse(
    settings: &Settings,
    source: &dyn Source,
    asked: &Asked,
    observer: &dyn Observer,
) -> Result<TensorFound> {
    let start = Instant::now();
    let P = source.n_params();
    let named = || asked.name.clone();
    let is_dense = MATRICES * 8 * (P as u64) * (P as u64) <= settings.memory;
    let found = if is_dense { dense(settings, source, asked, observer) } else { iterated(settings, source, observer) };
    let FoundDirections { directions, vectors, how, commutativity, matrices } = found.with_context(named)?;
    let K = vectors.ncols();
    let stage = observer.stage("diagonals", 3 * K as u64, "products/s");
    let diagonals = source.diagonals(vectors.as_ref(), &mut |products| {
        stage.advance(products as u64);
        if observer.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    observer.check()?;
    let diagonals = diagonals.with_context(named)?;
    stage.done(&format!("of H, Σ and M₂ of {} along {K} vectors", asked.name));
    let along = (vectors.as_ref(), &diagonals);
    let spectra = spectra::of_samples(settings, &*source.spectra()?, along, &asked.name, observer);
    let spectra = spectra.with_context(named)?;
    let factor = batch_factor(settings.batch.get(), settings.n_samples, Sampling::WithReplacement)?;
    let exponents = Exponents::new(&directions, &diagonals, true, settings.rounding);
    let [c_on_h, m2_on_h, c_on_m2] = [
        (Diagonal::Covariance, Diagonal::Hessian),
        (Diagonal::SecondMoment, Diagonal::Hessian),
        (Diagonal::Covariance, Diagonal::SecondMoment),
    ]
    .map(|(y, x)| exponents.of(y, x));
    let rounding = 1e-9;
    let is_below = |(h, m2): (&f64, &f64)| *m2 < h * h * (1.0 - rounding);
    let below_square = diagonals.hessian.iter().zip(&diagonals.second_moment).filter(|&pair| is_below(pair)).count();
    let wall_s = start.elapsed().as_secs_f64();
    Ok(TensorFound {
        asked: asked.clone(),
        n_params: P,
        how,
        directions,
        diagonals,
        factor,
        c_on_h,
        m2_on_h,
        c_on_m2,
        commutativity,
        matrices,
        spectra,
        below_square,
        wall_s,
    })
}

/// Directions with their vectors, how they were found, and what dense matrices give besides.
struct FoundDirections {
    directions: Directions,
    vectors: Mat<f64>,
    how: How,
    commutativity: Option<Commutativity>,
    matrices: Option<Matrices>,
}

fn dense(settings: &Settings, source: &dyn Source, asked: &Asked, observer: &dyn Observer) -> Result<FoundDirections> {
    let P = source.n_params();
    let stage = observer.stage("matrices", 6, "matrices/s");
    let step = |words: &str| {
        stage.advance(1);
        stage.at(&format!("{}: {words}", asked.name));
        observer.check()
    };
    let Matrices { H, M2, Sigma } = source.matrices(&step)?;
    step("eigenvectors of H")?;
    let eigen = eigh(H.as_ref()).context("eigendecomposition of H")?;
    if eigen.values.first().is_none_or(|&most| most <= eigen.noise_floor) {
        bail!(
            "H has no eigenvalue above rounding (the largest is {:e}, the noise floor {:e}): the loss has no curvature \
             in this tensor",
            eigen.values.first().copied().unwrap_or(0.0),
            eigen.noise_floor
        );
    }
    let H = settings.keep_matrices.then_some(H);
    let pair = |A: MatRef<'_, f64>, eigen: &_| layer_spectra::pair(A, eigen).map(|(_, record)| record);
    let commutativity = if Sigma.norm_l2() > 0.0 {
        step("eigenvectors of M₂")?;
        let eigen_M2 = eigh(M2.as_ref()).context("eigendecomposition of M₂")?;
        step("eigenvectors of C")?;
        let eigen_C = eigh(Sigma.as_ref()).context("eigendecomposition of C")?;
        let ks: Vec<usize> = OVERLAP_AT.into_iter().filter(|&k| k <= P).collect();
        Some(Commutativity {
            c_in_h: pair(Sigma.as_ref(), &eigen).context("C in the eigenbasis of H")?,
            m2_in_h: pair(M2.as_ref(), &eigen).context("M₂ in the eigenbasis of H")?,
            c_in_m2: pair(Sigma.as_ref(), &eigen_M2).context("C in the eigenbasis of M₂")?,
            c_with_h: top_overlaps(&eigen_C, &eigen, &ks)?,
            m2_with_h: top_overlaps(&eigen_M2, &eigen, &ks)?,
        })
    } else {
        None
    };
    stage.done(&format!("H, M₂ and Σ of {}, {P} × {P}", asked.name));
    let positive = eigen.values.iter().filter(|&&value| value > eigen.noise_floor).count();
    let K = settings.top.get().min(positive);
    let directions = Directions::of_eigh(&eigen, K);
    let vectors = eigen.vectors.as_ref().subcols(0, K).to_owned();
    let matrices = H.map(|H| Matrices { H, M2, Sigma });
    Ok(FoundDirections { directions, vectors, how: How::Dense, commutativity, matrices })
}

fn iterated(settings: &Settings, source: &dyn Source, observer: &dyn Observer) -> Result<FoundDirections> {
    let K = settings.top.get().min(source.n_params());
    let top = source.leading(K, settings.tol, settings.seed, observer)?;
    let converged = top.pairs.iter().filter(|pair| pair.converged).count();
    let how = How::Lanczos { products: top.state.products, converged };
    let (directions, vectors) = (Directions::of_ritz(&top), top.vectors().to_owned());
    Ok(FoundDirections { directions, vectors, how, commutativity: None, matrices: None })
}
