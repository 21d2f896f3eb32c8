//! The sketch behind XTrace and XDiag (Epperly, Tropp and Webber 2024).
//!
//! One set of random vectors serves as sketch and as probes, each left out of the sketch that it probes.
//!
//! With `Y = AΩ = QR`, the range of `Y` without column `i` has the projector `Q(I − s_i s_iᵀ)Qᵀ`, where `s_i` is column
//! `i` of `R⁻ᵀ`, normalised: it is orthogonal to every column of `R` but the `i`-th. So all `k` sketches cost one
//! factorisation.

use crate::hutchinson::DEPENDENT;
use crate::probe::gaussian;
use crate::products::Products;
use crate::tall::{column, gram, norm, orthogonalise, subtract};
use crate::trace::TraceError;
use faer::Mat;
use rand::Rng;

/// `|q_iᵀAq_j − q_jᵀAq_i| / ‖A‖` that is accepted.
const ASYMMETRY: f64 = 1e-5;

/// `Y = AΩ = QR` and `Z = AQ`, of `k` random vectors `Ω`.
#[derive(Debug)]
pub(crate) struct Sketch {
    /// `n × k`.
    pub(crate) omega: Mat<f64>,
    /// `n × r`, orthonormal.
    pub(crate) Q: Mat<f64>,
    /// `n × r`.
    pub(crate) Z: Mat<f64>,
    /// `r × k`, upper triangular.
    pub(crate) R: Mat<f64>,
    /// Whether `Q` spans the range of `A`.
    pub(crate) whole: bool,
    longest: f64,
    draw: fn(&mut [f64], &mut dyn Rng),
}

/// `S` and `1/‖R⁻ᵀe_i‖` for every `i`.
pub(crate) struct LeftOut {
    /// `s_i` as columns (`k × k`).
    pub(crate) S: Mat<f64>,
    /// `s_iᵀ R e_i`.
    pub(crate) height: Vec<f64>,
}

impl Sketch {
    pub(crate) fn new(n: usize, draw: fn(&mut [f64], &mut dyn Rng)) -> Self {
        let empty = || Mat::zeros(n, 0);
        Self { omega: empty(), Q: empty(), Z: empty(), R: Mat::zeros(0, 0), whole: false, longest: 0.0, draw }
    }

    pub(crate) fn len(&self) -> usize {
        self.omega.ncols()
    }

    /// Adds `more` random vectors, for at most twice as many products, unless their products turn out to be dependent:
    /// then `Q` spans the range of `A`, or, as sign vectors of few entries may be, the vectors themselves are dependent
    /// and are forgotten.
    pub(crate) fn grow(
        &mut self,
        more: usize,
        products: &mut Products<'_>,
        rng: &mut dyn Rng,
    ) -> Result<(), TraceError> {
        let (n, k, r) = (self.omega.nrows(), self.omega.ncols(), self.Q.ncols());
        self.omega.resize_with(n, k + more, |_, _| 0.0);
        (k..k + more).for_each(|j| (self.draw)(self.omega.col_as_slice_mut(j), rng));
        let mut Y = products.of(self.omega.subcols(k, more), more)?;
        self.longest = (0..more).fold(self.longest, |most, j| most.max(norm(column(Y.as_ref(), j))));
        let floor = DEPENDENT * f64::EPSILON * (n as f64).sqrt() * self.longest;
        let made = orthogonalise(self.Q.as_ref(), Y.as_mut(), more.min(n - r), floor, &mut |x| x.fill(0.0));
        let new = made.independent;
        Y.truncate(n, new);
        self.whole = new < more && self.covers(&Y, floor, products, rng)?;
        if new < more && !self.whole {
            self.omega.truncate(n, k);
            return Ok(());
        }
        let Z = products.of(Y.as_ref(), new.max(1))?;
        let old = std::mem::replace(&mut self.R, Mat::zeros(r + new, k + more));
        self.R.as_mut().submatrix_mut(0, 0, r, k).copy_from(&old);
        self.R.as_mut().submatrix_mut(0, k, r, more).copy_from(&made.C);
        self.R.as_mut().submatrix_mut(r, k, new, more).copy_from(made.R.subrows(0, new));
        for (all, added) in [(&mut self.Q, &Y), (&mut self.Z, &Z)] {
            all.resize_with(n, r + new, |_, _| 0.0);
            all.as_mut().subcols_mut(r, new).copy_from(added);
        }
        Ok(())
    }

    /// `QᵀAQ`, whose symmetry shows that of `A`.
    pub(crate) fn projected(&self) -> Result<Mat<f64>, TraceError> {
        let H = gram(self.Q.as_ref(), self.Z.as_ref());
        let (r, mut asymmetry, mut norm) = (H.nrows(), 0.0_f64, 0.0_f64);
        for j in 0..r {
            norm = norm.max(crate::tall::norm(self.Z.col_as_slice(j)));
            (0..j).for_each(|i| asymmetry = asymmetry.max((H[(i, j)] - H[(j, i)]).abs()));
        }
        if asymmetry > ASYMMETRY * norm {
            return Err(TraceError::Asymmetric { asymmetry: asymmetry / norm, tolerance: ASYMMETRY });
        }
        Ok(H)
    }

    /// Whether `A` takes a Gaussian vector into the span of `Q` and `Y`: one product.
    fn covers(
        &self,
        Y: &Mat<f64>,
        floor: f64,
        products: &mut Products<'_>,
        rng: &mut dyn Rng,
    ) -> Result<bool, TraceError> {
        let n = Y.nrows();
        let mut g = Mat::zeros(n, 1);
        gaussian(g.col_as_slice_mut(0), rng);
        let mut image = products.of(g.as_ref(), 1)?;
        let length = norm(column(image.as_ref(), 0));
        for Q in [&self.Q, Y, &self.Q, Y] {
            let inside = gram(Q.as_ref(), image.as_ref());
            subtract(image.as_mut(), Q.as_ref(), inside.as_ref());
        }
        Ok(norm(column(image.as_ref(), 0)) <= floor.max(DEPENDENT * f64::EPSILON * (n as f64).sqrt() * length))
    }

    /// What leaving each vector out takes away, for a sketch that is not whole.
    pub(crate) fn left_out(&self) -> LeftOut {
        let k = self.len();
        let mut S = Mat::zeros(k, k);
        let mut height = Vec::with_capacity(k);
        for i in 0..k {
            // Rᵀ x = e_i, a lower triangular system, scaled so that x_i = 1.
            let x = S.col_as_slice_mut(i);
            x[i] = 1.0;
            for row in i + 1..k {
                let known: f64 = (i..row).map(|j| self.R[(j, row)] * x[j]).sum();
                x[row] = -known / self.R[(row, row)];
            }
            let length = norm(x);
            x.iter_mut().for_each(|x| *x /= length);
            height.push(self.R[(i, i)] / length);
        }
        LeftOut { S, height }
    }
}
