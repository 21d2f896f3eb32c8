//! Diagonals of `H`, `Σ` and `M₂` along given vectors, with their errors and without a `P × P` matrix.
//!
//! They are what a power law between the three needs.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use superlinear_nets::Forms;

/// Numbers of a panel of vectors that are multiplied together: 128 MiB, which bounds what products take beside the
/// vectors.
const PANEL: usize = 1 << 24;
/// Vectors of a panel, at least and at most: a listener is heard after each.
const COLUMNS: (usize, usize) = (8, 64);

/// One of the three matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagonal {
    /// `H_ii`.
    Hessian,
    /// `Σ_ii`.
    Covariance,
    /// `(M₂)_ii`.
    SecondMoment,
}

/// Rayleigh quotients along `K` unit vectors `v_i`, each with its evidence.
///
/// Two errors count. *Images*: had other samples been drawn, the means over them would be others
/// ([`sampling_covariance`](Self::sampling_covariance)). *Vectors*: where `v_i` only approximates a direction that is
/// meant, an eigenvector of something, the diagonals along that are others ([`moved_by`](Self::moved_by)).
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalsAlong {
    /// `H_ii = v_iᵀHv_i`, of either sign.
    pub hessian: Vec<f64>,
    /// `Σ_ii = v_iᵀΣv_i`, the variance of `g_p·v_i` (divided by `N`), never negative. A batch of `B` drawn with
    /// replacement has `C_ii = Σ_ii/B`.
    pub covariance: Vec<f64>,
    /// `(M₂)_ii = v_iᵀM₂v_i = E_p‖h_p v_i‖²`, never negative up to rounding and at least `H_ii²`.
    pub second_moment: Vec<f64>,
    /// Of each matrix.
    around: [Around; 3],
    /// `3K × 3K`.
    sampling: Mat<f64>,
}

impl DiagonalsAlong {
    /// The diagonal itself.
    pub fn values(&self, of: Diagonal) -> &[f64] {
        match of {
            Diagonal::Hessian => &self.hessian,
            Diagonal::Covariance => &self.covariance,
            Diagonal::SecondMoment => &self.second_moment,
        }
    }

    /// `‖Xv_i − X_ii v_i‖`: there is an eigenvalue of `X` within this of `X_ii`. It vanishes for eigenvectors of `X`.
    pub fn residuals(&self, of: Diagonal) -> &[f64] {
        &self.around[of as usize].residuals
    }

    /// The most, to first order, by which each `X_ii` changes when `v_i` becomes `v_i + Σ_j η_ij v_j + w_i`, with
    /// orthonormal `v_j`, `|η_ij|` at most `inside[(i, j)]` (`K × K`, a diagonal of zeros) and `w_i` orthogonal to all
    /// `v_j`, not longer than `outside[i]`:
    ///
    /// ```text
    /// |δX_ii| ≤ 2 (outside_i ‖(I − VVᵀ)Xv_i‖ + Σ_j inside_ij |v_jᵀXv_i|)
    /// ```
    ///
    /// # Panics
    /// When there are other numbers of bounds.
    #[track_caller]
    pub fn moved_by(&self, of: Diagonal, outside: &[f64], inside: MatRef<'_, f64>) -> Vec<f64> {
        let (K, around) = (self.hessian.len(), &self.around[of as usize]);
        assert!(outside.len() == K && inside.shape() == (K, K), "bounds of {K} vectors");
        let within = |i: usize| (0..K).map(|j| inside[(i, j)] * around.coupling[(j, i)].abs()).sum::<f64>();
        (0..K).map(|i| 2.0 * (outside[i] * around.outside[i] + within(i))).collect()
    }

    /// Covariances (`K × K`, `i` of the one, `j` of the other) that the estimates `X_ii` and `Y_jj` would have if the
    /// `N` samples were drawn independently and the vectors stayed: `(1/(N(N − 1))) Σ_p (x_pi − X_ii)(y_pj − Y_jj)`
    /// with the samples' own `v_iᵀh_p v_i`, `(g_p·v_i − ḡ·v_i)²` and `‖h_p v_i‖²`. NaN for one sample.
    ///
    /// The diagonals' estimates are means of these, but for `Σ_ii`, whose `ḡ` is estimated too, in second order. Any
    /// smooth function of the diagonals has a standard error by the delta method.
    pub fn sampling_covariance(&self, of: Diagonal, with: Diagonal) -> MatRef<'_, f64> {
        let K = self.hessian.len();
        self.sampling.as_ref().submatrix(of as usize * K, with as usize * K, K, K)
    }

    /// Standard errors of `X_ii`: the root of the diagonal of [`sampling_covariance`](Self::sampling_covariance).
    pub fn errors(&self, of: Diagonal) -> Vec<f64> {
        let own = self.sampling_covariance(of, of);
        (0..own.nrows()).map(|i| own[(i, i)].sqrt()).collect()
    }
}

/// Why there are no diagonals, beside what products fail of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// The listener asked for it after so many products.
    Interrupted { products: usize },
    /// A mean over samples.
    NotFinite { operator: &'static str, vector: usize, value: f64 },
}

/// The diagonals along the columns of `vectors` over `N` samples.
///
/// `product(of, panel, seen)` gives `X` times the vectors of a panel; those of the Hessian, which are asked for first,
/// also hand what every sample contributes to `seen`.
pub(crate) fn diagonals_along<E: From<Broken>>(
    N: usize,
    vectors: MatRef<'_, f64>,
    mut listen: impl FnMut(usize) -> ControlFlow<()>,
    mut product: impl FnMut(Diagonal, MatRef<'_, f64>, &Seen<'_>) -> Result<Mat<f64>, E>,
) -> Result<DiagonalsAlong, E> {
    let K = vectors.ncols();
    let mut done = 0;
    let mut heard = |width: usize| -> Result<(), E> {
        done += width;
        if listen(width).is_break() { Err(Broken::Interrupted { products: done }.into()) } else { Ok(()) }
    };
    let [mut of_h, mut of_sigma, mut of_m2] = [(); 3].map(|()| Around::of_none(K));
    let contributions = Mutex::new(Contributions { along: Mat::zeros(N, K), terms: Mat::zeros(N, 3 * K) });
    for_panels(vectors, |first, panel| {
        let products = product(Diagonal::Hessian, panel, &Seen { first, contributions: &contributions })?;
        of_h.add(vectors, panel, products);
        heard(panel.ncols())
    })?;
    let nothing = Contributions { along: Mat::new(), terms: Mat::new() };
    let Contributions { along, mut terms } =
        std::mem::replace(&mut *contributions.lock().unwrap_or_else(PoisonError::into_inner), nothing);
    for (k, along) in along.col_iter().enumerate() {
        let mean = along.iter().sum::<f64>() / N as f64;
        let squares = along.iter().map(|g| (g - mean).powi(2));
        terms.col_as_slice_mut(K + k).iter_mut().zip(squares).for_each(|(to, square)| *to = square);
    }
    drop(along);
    let mut means = (0..3 * K).map(|k| terms.col_as_slice(k).iter().sum::<f64>() / N as f64).collect::<Vec<f64>>();
    if let Some(k) = means.iter().position(|mean| !mean.is_finite()) {
        let operator = ["Hessian", "gradient", "second moment"][k / K];
        return Err(Broken::NotFinite { operator, vector: k % K, value: means[k] }.into());
    }
    for (of, around) in [(Diagonal::Covariance, &mut of_sigma), (Diagonal::SecondMoment, &mut of_m2)] {
        for_panels(vectors, |first, panel| {
            around.add(vectors, panel, product(of, panel, &Seen { first, contributions: &contributions })?);
            heard(panel.ncols())
        })?;
    }
    for (k, mean) in means.iter().enumerate() {
        terms.col_as_slice_mut(k).iter_mut().for_each(|x| *x -= mean);
    }
    let mut sampling = Mat::zeros(3 * K, 3 * K);
    let scale = 1.0 / (N as f64 * (N as f64 - 1.0));
    // Products of faer do not depend on how many threads they run on.
    matmul(sampling.as_mut(), Accum::Replace, terms.transpose(), &terms, 1.0, Par::rayon(0));
    sampling *= faer::Scale(scale);
    let second_moment = means.split_off(2 * K);
    let covariance = means.split_off(K);
    let around = [of_h, of_sigma, of_m2];
    Ok(DiagonalsAlong { hessian: means, covariance, second_moment, around, sampling })
}

/// Takes what samples contribute along the vectors of a panel.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    /// Number of the panel's first vector.
    first: usize,
    contributions: &'a Mutex<Contributions>,
}

impl Seen<'_> {
    /// What samples from number `sample` on contribute along vectors from number `vector` of the panel on.
    pub(crate) fn take_up(&self, sample: usize, vector: usize, forms: &Forms<f64>) {
        // Every entry is written by one task, once: the lock orders nothing that could be seen.
        let mut to = self.contributions.lock().unwrap_or_else(PoisonError::into_inner);
        let column = self.first + vector;
        let (n, k) = forms.gradient.shape();
        to.along.as_mut().submatrix_mut(sample, column, n, k).copy_from(&forms.gradient);
        let K = to.along.ncols();
        to.terms.as_mut().submatrix_mut(sample, column, n, k).copy_from(&forms.curvature);
        to.terms.as_mut().submatrix_mut(sample, 2 * K + column, n, k).copy_from(&forms.squared_curvature);
    }
}

/// What samples contribute along `K` vectors.
#[derive(Debug)]
struct Contributions {
    /// `g_p·v_i`, `N × K`.
    along: Mat<f64>,
    /// `v_iᵀh_p v_i`, then `(g_p·v_i − ḡ·v_i)²`, then `‖h_p v_i‖²`, `N × 3K`.
    terms: Mat<f64>,
}

/// Hands panels of vectors to `visit`, with the number of the first.
fn for_panels<E>(
    vectors: MatRef<'_, f64>,
    mut visit: impl FnMut(usize, MatRef<'_, f64>) -> Result<(), E>,
) -> Result<(), E> {
    let (least, most) = COLUMNS;
    let width = (PANEL / vectors.nrows().max(1)).clamp(least, most);
    for first in (0..vectors.ncols()).step_by(width) {
        visit(first, vectors.subcols(first, width.min(vectors.ncols() - first)))?;
    }
    Ok(())
}

/// What of `Xv_i` does not lie along `v_i`.
#[derive(Clone, Debug, PartialEq)]
struct Around {
    /// `‖Xv_i − X_ii v_i‖`.
    residuals: Vec<f64>,
    /// `‖(I − VVᵀ)Xv_i‖`.
    outside: Vec<f64>,
    /// `VᵀXV`, `K × K`.
    coupling: Mat<f64>,
}

impl Around {
    fn of_none(K: usize) -> Self {
        Self { residuals: Vec::with_capacity(K), outside: Vec::with_capacity(K), coupling: Mat::zeros(K, K) }
    }

    /// Takes up the products with the next panel of `vectors`.
    fn add(&mut self, vectors: MatRef<'_, f64>, panel: MatRef<'_, f64>, mut products: Mat<f64>) {
        let (first, width) = (self.residuals.len(), panel.ncols());
        let par = Par::rayon(0);
        let coupling = self.coupling.as_mut().subcols_mut(first, width);
        matmul(coupling, Accum::Replace, vectors.transpose(), &products, 1.0, par);
        for k in 0..width {
            let pairs = || panel.col(k).iter().zip(products.col_as_slice(k));
            let value: f64 = pairs().map(|(v, x)| v * x).sum();
            self.residuals.push(pairs().map(|(v, x)| (x - value * v).powi(2)).sum::<f64>().sqrt());
        }
        let coupling = self.coupling.as_ref().subcols(first, width);
        matmul(products.as_mut(), Accum::Add, vectors, coupling, -1.0, par);
        let norm = |k| products.col_as_slice(k).iter().map(|x| x * x).sum::<f64>().sqrt();
        self.outside.extend((0..width).map(norm));
    }
}
