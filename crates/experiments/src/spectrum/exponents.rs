//! Exponents on `H_ii` over the directions that a spectrum found, with what is not known of them.

use super::OperatorName;
use faer::Mat;
use superlinear_curvature::{Diagonal, DiagonalsAlong};
use superlinear_spectra::Lanczos;
use superlinear_stats::{Eigenspaces, FitConfig, FitError, PowerLawFit, loglog, slope_derivatives};

/// Exponents on `H_ii` over converged directions; `Err` says why there is none.
#[derive(Debug)]
pub struct Gamma {
    /// Of `C`.
    pub c: Result<Exponent, String>,
    /// Of `M₂`.
    pub m2: Result<Exponent, String>,
}

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

/// What of a sum of `P` products is rounding, relative to the norm.
fn rounding(top: &Lanczos) -> f64 {
    f64::EPSILON * (top.vectors().nrows() as f64).sqrt()
}

/// Converged pairs whose values are not rounding: within that of zero, a direction is any of the null space.
pub fn told_apart(top: &Lanczos) -> Vec<usize> {
    let noise = rounding(top) * top.state.norm;
    let is = |i: &usize| top.pairs[*i].converged && top.pairs[*i].value.abs() > noise.max(top.pairs[*i].residual);
    (0..top.pairs.len()).filter(is).collect()
}

/// Over the converged pairs that are above their residuals and rounding, and where `H_ii` is. `rounding_of_loss` is
/// [`Fit::rounding`](super::Fit::rounding).
///
/// Where pairs cannot be told apart, diagonals are means over the eigenspace, which the basis inside has no say in.
pub(super) fn gamma(operator: OperatorName, top: &Lanczos, diagonals: &DiagonalsAlong, rounding_of_loss: f64) -> Gamma {
    let converged = told_apart(top);
    let of = |values: &[f64]| converged.iter().map(|&i| values[i]).collect::<Vec<f64>>();
    let residuals: Vec<f64> = converged.iter().map(|&i| top.pairs[i].residual).collect();
    let noise = rounding(top) * top.state.norm;
    let errors: Vec<f64> = residuals.iter().map(|residual| residual.max(noise)).collect();
    let spaces = Eigenspaces::of(&of(&top.values()), &errors);
    let means = |values: &[f64]| spaces.means(&of(values));
    let largest = diagonals.values(Diagonal::Hessian).iter().fold(0.0_f64, |most, h| most.max(h.abs()));
    let of_h = if operator == OperatorName::Hessian { residuals.iter().copied().fold(0.0, f64::max) } else { 0.0 };
    let noise_floor = Some(of_h.max(rounding(top) * largest));
    // Inside an eigenspace a rotation moves no mean.
    let mut rotations = top.rotations();
    for space in spaces.spaces() {
        for (i, j) in space.clone().flat_map(|i| space.clone().map(move |j| (i, j))) {
            rotations.inside[(converged[i], converged[j])] = 0.0;
        }
    }
    let ritz = |of| means(&diagonals.moved_by(of, &rotations.outside, rotations.inside.as_ref()));
    let covariance = |of, with| {
        let all = diagonals.sampling_covariance(of, with);
        Mat::from_fn(spaces.spaces().len(), spaces.spaces().len(), |i, j| {
            let (rows, cols) = (&spaces.spaces()[i], &spaces.spaces()[j]);
            let entries = rows.clone().flat_map(|i| cols.clone().map(move |j| (i, j)));
            entries.map(|(i, j)| all[(converged[i], converged[j])]).sum::<f64>() / (rows.len() * cols.len()) as f64
        })
    };
    let fit = |diagonal| {
        let H = Diagonal::Hessian;
        // C is a constant multiple of Σ, which moves no slope and no error of it.
        let points = [means(diagonals.values(H)), means(diagonals.values(diagonal))];
        let config = FitConfig {
            noise_floor,
            ordinate_floor: Some(ordinate_floor(top, diagonals, diagonal, rounding_of_loss)),
            ..FitConfig::top(points[0].len())
        };
        let found = spaces.enough().and_then(|()| slope_derivatives(&points[0], &points[1], &config));
        let found = found.map_err(|error| why(&error, &points, &config))?;
        let (xx, xy, yy) = (covariance(H, H), covariance(H, diagonal), covariance(diagonal, diagonal));
        let sampling = found.standard_error(xx.as_ref(), xy.as_ref(), yy.as_ref());
        let ritz = found.bound(&ritz(H), &ritz(diagonal));
        let averaged = spaces.n_directions() - spaces.spaces().len();
        Ok(Exponent { points, fit: found.fit, averaged, sampling, ritz })
    };
    Gamma { c: fit(Diagonal::Covariance), m2: fit(Diagonal::SecondMoment) }
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

/// What of a diagonal is rounding. Vectors that are orthogonal to `r = ε√P` have `r²` of the largest entry in all. `Σ`
/// has besides what rounding of the logits makes of a gradient, `g_p·v = (J_p v)·∇ℓ`: with `δf` in the logits,
///
/// ```text
/// δ(g_p·v)² = (δfᵀ Q J_p v)² ≤ (δfᵀQδf)(vᵀJ_pᵀQJ_p v)
/// ```
///
/// whose second factor is `v_iᵀh_p v_i ≤ ‖h_p v_i‖` where curvature is that of the loss. So a network that fits its
/// samples exactly has gradients that are all rounding, and no `C_ii`.
fn ordinate_floor(top: &Lanczos, diagonals: &DiagonalsAlong, of: Diagonal, rounding_of_loss: f64) -> f64 {
    let relative = loglog::ordinate_floor(diagonals.values(of), rounding(top));
    if of != Diagonal::Covariance {
        return relative;
    }
    let curvature = diagonals.values(Diagonal::SecondMoment).iter().fold(0.0_f64, |most, m2| most.max(m2.sqrt()));
    relative.max(rounding_of_loss * curvature)
}

/// The most, to first order, by which each `X_ii` differs between the Ritz vector and the eigenvector that it
/// approximates.
pub fn ritz_errors(top: &Lanczos, diagonals: &DiagonalsAlong, of: Diagonal) -> Vec<f64> {
    let rotations = top.rotations();
    diagonals.moved_by(of, &rotations.outside, rotations.inside.as_ref())
}
