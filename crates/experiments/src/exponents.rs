//! Exponents of one diagonal on another over the directions that were found, with what is not known of them.

use faer::Mat;
use superlinear_curvature::{Diagonal, DiagonalsAlong};
use superlinear_spectra::{Eigh, Lanczos, RitzRotations};
use superlinear_stats::{Eigenspaces, FitConfig, FitError, PowerLawFit, loglog, slope_derivatives};

/// An exponent with what it does not know.
#[derive(Debug)]
pub struct Exponent {
    /// `H_ii` and what was fitted to them, `Σ_ii` for `C_ii`.
    pub points: [Vec<f64>; 2],
    /// With the robust standard error, directions taken to scatter about a line.
    pub fit: PowerLawFit,
    /// Standard error over draws of the images, directions fixed.
    pub sampling: f64,
    /// Directions that stand in the mean of another's eigenspace: their eigenvalues cannot be told apart.
    pub averaged: usize,
    /// The most, to first order, by which Ritz vectors that are not quite eigenvectors have moved it.
    pub ritz: f64,
}

impl Exponent {
    /// Of images and Ritz vectors together: the one in quadrature with the bound on the other.
    pub fn error(&self) -> f64 {
        self.sampling.hypot(self.ritz)
    }
}

/// Directions that diagonals are along: approximate eigenvectors, with how well they are known.
#[derive(Clone, Debug)]
pub struct Directions {
    /// Eigenvalues, descending.
    pub values: Vec<f64>,
    /// `‖Av − λv‖` of each.
    pub residuals: Vec<f64>,
    converged: Vec<bool>,
    /// The norm that rounding is relative to.
    norm: f64,
    /// Entries of a vector.
    n_params: usize,
    rotations: RitzRotations,
}

impl Directions {
    /// The pairs of an iteration, converged or not.
    pub fn of_ritz(top: &Lanczos) -> Self {
        Self {
            values: top.values(),
            residuals: top.pairs.iter().map(|pair| pair.residual).collect(),
            converged: top.pairs.iter().map(|pair| pair.converged).collect(),
            norm: top.state.norm,
            n_params: top.vectors().nrows(),
            rotations: top.rotations(),
        }
    }

    /// The leading `k` pairs of a dense matrix.
    ///
    /// The residual of all pairs together bounds that of each, and by the distance to the nearest other eigenvalue how
    /// far each vector may have turned (Davis and Kahan 1970).
    pub fn of_eigh(eigen: &Eigh, k: usize) -> Self {
        let P = eigen.values.len();
        let norm = eigen.values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let residual = eigen.residual.max(f64::EPSILON * (P as f64).sqrt()) * norm;
        let share = |gap: f64| if residual < gap { residual / gap } else { 1.0 };
        let next = eigen.values.get(k);
        let outside = |value: &f64| next.map_or(0.0, |next| share(value - next));
        let inside = |i: usize, j: usize| if i == j { 0.0 } else { share((eigen.values[i] - eigen.values[j]).abs()) };
        let values = eigen.values[..k].to_vec();
        Self {
            residuals: vec![residual; k],
            converged: vec![true; k],
            norm: eigen.values.iter().fold(0.0, |most: f64, value| most.max(value.abs())),
            n_params: P,
            rotations: RitzRotations {
                outside: values.iter().map(outside).collect(),
                inside: Mat::from_fn(k, k, inside),
            },
            values,
        }
    }

    /// What of a sum of `P` products is rounding, relative to the norm.
    fn rounding(&self) -> f64 {
        f64::EPSILON * (self.n_params as f64).sqrt()
    }

    /// Converged pairs whose values are not rounding: within that of zero, a direction is any of the null space.
    pub fn told_apart(&self) -> Vec<usize> {
        let noise = self.rounding() * self.norm;
        let is = |i: &usize| self.converged[*i] && self.values[*i].abs() > noise.max(self.residuals[*i]);
        (0..self.values.len()).filter(is).collect()
    }

    /// The most, to first order, by which each `X_ii` differs between the vector and the eigenvector that it
    /// approximates.
    pub fn moved(&self, diagonals: &DiagonalsAlong, of: Diagonal) -> Vec<f64> {
        diagonals.moved_by(of, &self.rotations.outside, self.rotations.inside.as_ref())
    }
}

/// Diagonals over the converged directions that are above their residuals and rounding, ready to be fitted.
///
/// Where pairs cannot be told apart, diagonals are means over the eigenspace, which the basis inside has no say in.
#[derive(Debug)]
pub struct Exponents<'a> {
    directions: &'a Directions,
    diagonals: &'a DiagonalsAlong,
    converged: Vec<usize>,
    spaces: Eigenspaces,
    rotations: RitzRotations,
    /// The least `H_ii` that is one.
    hessian_floor: f64,
    /// Largest `δfᵀQδf` that rounding of the logits makes: [`Fit::rounding`](crate::spectrum::Fit::rounding).
    rounding_of_loss: f64,
}

impl<'a> Exponents<'a> {
    /// Of directions that are those of `H` or of another matrix.
    pub fn new(
        directions: &'a Directions,
        diagonals: &'a DiagonalsAlong,
        are_of_hessian: bool,
        rounding_of_loss: f64,
    ) -> Self {
        let converged = directions.told_apart();
        let residuals: Vec<f64> = converged.iter().map(|&i| directions.residuals[i]).collect();
        let noise = directions.rounding() * directions.norm;
        let errors: Vec<f64> = residuals.iter().map(|residual| residual.max(noise)).collect();
        let values: Vec<f64> = converged.iter().map(|&i| directions.values[i]).collect();
        let spaces = Eigenspaces::of(&values, &errors);
        let largest = diagonals.values(Diagonal::Hessian).iter().fold(0.0_f64, |most, h| most.max(h.abs()));
        let of_h = if are_of_hessian { residuals.iter().copied().fold(0.0, f64::max) } else { 0.0 };
        let hessian_floor = of_h.max(directions.rounding() * largest);
        // Inside an eigenspace a rotation moves no mean.
        let mut rotations = directions.rotations.clone();
        for space in spaces.spaces() {
            for (i, j) in space.clone().flat_map(|i| space.clone().map(move |j| (i, j))) {
                rotations.inside[(converged[i], converged[j])] = 0.0;
            }
        }
        Self { directions, diagonals, converged, spaces, rotations, hessian_floor, rounding_of_loss }
    }

    /// The exponent of one diagonal on another; `Err` says why there is none.
    ///
    /// # Errors
    /// When fewer than three eigenspaces are above their errors, or spread less than these.
    pub fn of(&self, y: Diagonal, x: Diagonal) -> Result<Exponent, String> {
        // C is a constant multiple of Σ, which moves no slope and no error of it.
        let points = [self.means(self.diagonals.values(x)), self.means(self.diagonals.values(y))];
        let config = FitConfig {
            noise_floor: Some(self.floor(x)),
            ordinate_floor: Some(self.floor(y)),
            ..FitConfig::top(points[0].len())
        };
        let found = self.spaces.enough().and_then(|()| slope_derivatives(&points[0], &points[1], &config));
        let found = found.map_err(|error| why(&error, &points, &config))?;
        let (xx, xy, yy) = (self.covariance(x, x), self.covariance(x, y), self.covariance(y, y));
        let sampling = found.standard_error(xx.as_ref(), xy.as_ref(), yy.as_ref());
        let ritz = found.bound(&self.moved(x), &self.moved(y));
        let averaged = self.spaces.n_directions() - self.spaces.spaces().len();
        Ok(Exponent { points, fit: found.fit, averaged, sampling, ritz })
    }

    fn means(&self, values: &[f64]) -> Vec<f64> {
        let converged: Vec<f64> = self.converged.iter().map(|&i| values[i]).collect();
        self.spaces.means(&converged)
    }

    fn moved(&self, of: Diagonal) -> Vec<f64> {
        self.means(&self.diagonals.moved_by(of, &self.rotations.outside, self.rotations.inside.as_ref()))
    }

    fn covariance(&self, of: Diagonal, with: Diagonal) -> Mat<f64> {
        let (all, spaces) = (self.diagonals.sampling_covariance(of, with), self.spaces.spaces());
        Mat::from_fn(spaces.len(), spaces.len(), |i, j| {
            let (rows, cols) = (&spaces[i], &spaces[j]);
            let entries = rows.clone().flat_map(|i| cols.clone().map(move |j| (i, j)));
            let sum: f64 = entries.map(|(i, j)| all[(self.converged[i], self.converged[j])]).sum();
            sum / (rows.len() * cols.len()) as f64
        })
    }

    /// What of a diagonal is rounding. Vectors that are orthogonal to `r = ε√P` have `r²` of the largest entry in all.
    /// `Σ` has besides what rounding of the logits makes of a gradient, `g_p·v = (J_p v)·∇ℓ`: with `δf` in the logits,
    ///
    /// ```text
    /// δ(g_p·v)² = (δfᵀ Q J_p v)² ≤ (δfᵀQδf)(vᵀJ_pᵀQJ_p v)
    /// ```
    ///
    /// whose second factor is `v_iᵀh_p v_i ≤ ‖h_p v_i‖` where curvature is that of the loss. So a network that fits
    /// its samples exactly has gradients that are all rounding, and no `C_ii`.
    fn floor(&self, of: Diagonal) -> f64 {
        if of == Diagonal::Hessian {
            return self.hessian_floor;
        }
        let relative = loglog::ordinate_floor(self.diagonals.values(of), self.directions.rounding());
        if of != Diagonal::Covariance {
            return relative;
        }
        let second_moment = self.diagonals.values(Diagonal::SecondMoment);
        let curvature = second_moment.iter().fold(0.0_f64, |most, m2| most.max(m2.sqrt()));
        relative.max(self.rounding_of_loss * curvature)
    }
}

/// The reason, with what was dropped.
fn why(error: &FitError, points: &[Vec<f64>; 2], config: &FitConfig) -> String {
    match (error, loglog::select(&points[0], &points[1], config)) {
        (FitError::TooFewPoints { .. }, Ok(selection)) if selection.dropped.total() > 0 => {
            format!("{error}; dropped: {}", selection.dropped)
        }
        _ => error.to_string(),
    }
}
