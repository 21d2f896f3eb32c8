//! The power laws between diagonals in the eigenbasis of `H`: which pairs, over which directions.

use anyhow::{Context, Result};
use superlinear_experiments::record::{LayerRecord, RunRecord, SlopeRecord, SlopesRecord};
use superlinear_experiments::spec::RunSpec;
use superlinear_stats::summary::mean_sd;
use superlinear_stats::{Eigenspaces, FitConfig, PowerLawFit, loglog, rank};

/// A diagonal `v_iᵀ X v_i` over the top directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagonal {
    /// Eigenvalues of `H`.
    H,
    /// `v_iᵀ E|h| v_i`, in which no curvature cancels; `H` where per-sample Hessians are positive semidefinite.
    AbsH,
    /// Measured noise covariance.
    C,
    /// Second moment of per-sample Hessians.
    M2,
    /// The duality's covariance.
    Awd,
    /// Its term `C^hh`.
    Hh,
    /// Same-sample part of `C^hh`.
    HhSame,
    /// The same, locally diagonal.
    HhLocal,
}

impl Diagonal {
    /// Those whose exponent on `H` is followed: the paper's two, then that of all the duality, and those of its terms.
    pub const ON_H: [Self; 6] = [Self::C, Self::M2, Self::Awd, Self::Hh, Self::HhSame, Self::HhLocal];

    /// Its values, at least as many as there are directions in the fit.
    pub fn of(self, layer: &LayerRecord) -> &[f64] {
        match self {
            Self::H => &layer.h,
            Self::AbsH => layer.abs_h.as_ref().unwrap_or(&layer.h),
            Self::C => &layer.c,
            Self::M2 => &layer.m2,
            Self::Awd => &layer.awd.total.diagonal,
            Self::Hh => &layer.awd.hh.diagonal,
            Self::HhSame => &layer.awd.hh_same.diagonal,
            Self::HhLocal => &layer.awd.hh_local.diagonal,
        }
    }

    /// The index of its exponent on `H`, where that has a name: the paper's γ_emp and γ_AWD, and γ_dual, which is ours.
    pub fn exponent(self) -> Option<&'static str> {
        match self {
            Self::C => Some("emp"),
            Self::M2 => Some("AWD"),
            Self::Awd => Some("dual"),
            Self::H | Self::AbsH | Self::Hh | Self::HhSame | Self::HhLocal => None,
        }
    }

    /// How figures write it, without the index.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::H => "H",
            Self::AbsH => "E|h|",
            Self::C => "C",
            Self::M2 => "M_{2}",
            Self::Awd => "C_{AWD}",
            Self::Hh => "C^{hh}",
            Self::HhSame => "C^{hh}_{SD}",
            Self::HhLocal => "C^{hh}_{SD,WD}",
        }
    }

    /// How tables write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::H => "H",
            Self::AbsH => "E|h|",
            Self::C => "C",
            Self::M2 => "M2",
            Self::Awd => "C_AWD",
            Self::Hh => "C_hh",
            Self::HhSame => "C_hh,SD",
            Self::HhLocal => "C_hh,SD,WD",
        }
    }
}

/// Directions that fits of this layer use: the leading ones by eigenvalue, at most `𝒩`, those in the rounding noise of
/// `H` left out.
pub fn window(spec: &RunSpec, layer: &LayerRecord) -> usize {
    layer.h.partition_point(|&lambda| lambda > layer.noise_floor).min(spec.top)
}

/// The exponent of `y_ii ∝ x_ii^γ` over the [`window`]; directions that the noise takes from the top `𝒩` are counted as
/// dropped. Diagonals are means over the eigenspaces of `H`, most of which have one direction; ordinates that are
/// rounding are dropped.
///
/// # Errors
/// When fewer than three directions can be used, or `H` has fewer than three eigenvalues in them.
pub fn fit(spec: &RunSpec, layer: &LayerRecord, y: Diagonal, x: Diagonal) -> Result<PowerLawFit> {
    let window = window(spec, layer);
    let spaces = Eigenspaces::above_noise(&layer.h[..window], layer.noise_floor);
    let [x_ii, y_ii] = [x, y].map(|of| spaces.means(of.of(layer)));
    let relative = layer.h.first().map_or(0.0, |largest| layer.noise_floor / largest);
    let ordinate_floor = Some(loglog::ordinate_floor(&y_ii, relative)).filter(|floor| floor.is_finite());
    let config = FitConfig { ordinate_floor, ..FitConfig::top(window) };
    let mut fit = spaces
        .enough()
        .and_then(|()| loglog::fit_with(&x_ii, &y_ii, &config))
        .with_context(|| format!("{}, epoch {}: fit of {} on {}", spec.id(), layer.epoch, y.name(), x.name()))?;
    let looked_at = spec.top.min(layer.d_out * layer.d_in);
    fit.dropped.below_noise_floor += looked_at - window;
    fit.top = looked_at;
    Ok(fit)
}

/// Spearman's rank correlation of `C_ii` and `H_ii` over the [`window`]; `None` where it does not exist.
pub fn rank_correlation(spec: &RunSpec, layer: &LayerRecord) -> Option<f64> {
    let window = window(spec, layer);
    rank::spearman(&layer.h[..window], &layer.c[..window]).ok().map(|found| found.r)
}

/// Half-width of a 95 % interval in standard errors, for an estimate that is about normal.
pub const NORMAL_95: f64 = 1.959_963_984_540_054;

/// An exponent with its uncertainty.
pub struct Exponent {
    /// The fit over the top directions, with its robust standard error.
    pub fit: PowerLawFit,
    /// The sampling error, where the layer has been resampled.
    pub sampling: Option<SlopeRecord>,
}

impl Exponent {
    /// The fitted slope.
    pub fn value(&self) -> f64 {
        self.fit.slope
    }

    /// Its 95 % interval: over samples where the layer has been resampled, else from the robust standard error.
    pub fn interval(&self) -> Option<[f64; 2]> {
        if let Some(sampling) = self.sampling {
            return Some(sampling.interval);
        }
        let half = NORMAL_95 * self.fit.se;
        Some([self.fit.slope - half, self.fit.slope + half])
    }
}

/// The mean over seeds, and Student's 95 % interval where there are two or more; nothing where a value does not exist.
///
/// # Errors
/// When a value is not finite.
pub fn over_seeds(values: &[Option<f64>]) -> Result<(Option<f64>, Option<[f64; 2]>)> {
    let Some(values) = values.iter().copied().collect::<Option<Vec<f64>>>() else { return Ok((None, None)) };
    if let [value] = values[..] {
        return Ok((Some(value), None));
    }
    let t = superlinear_stats::over_seeds(&values, 0.95)?.interval;
    Ok((Some(mean_sd(&values)?.mean), t.map(|t| [t.low, t.high])))
}

/// The exponents of a trained network that tables and claims rest on.
pub struct Exponents {
    /// `C` on `H`: measured.
    pub emp: Exponent,
    /// γ_AWD: `M₂ = E_p[h_p²]` on `H`, the paper's AWD-derived covariance (`MATH [12]`).
    pub awd: Exponent,
    /// γ_dual, ours: the full covariance `C_AWD` of the duality on `H`.
    pub dual: Exponent,
    /// `C` on `M₂`.
    pub c_on_m2: Exponent,
}

impl Exponents {
    /// Fits them all.
    ///
    /// # Errors
    /// When fewer than three directions can be used.
    pub fn of(run: &RunRecord) -> Result<Self> {
        Self::of_layer(&run.spec, run.layer())
    }

    /// Those of one layer.
    ///
    /// # Errors
    /// When fewer than three directions can be used.
    pub fn of_layer(spec: &RunSpec, layer: &LayerRecord) -> Result<Self> {
        let fit = |y, x, of: fn(&SlopesRecord) -> SlopeRecord| -> Result<Exponent> {
            Ok(Exponent { fit: fit(spec, layer, y, x)?, sampling: layer.slopes.as_ref().map(of) })
        };
        Ok(Self {
            emp: fit(Diagonal::C, Diagonal::H, |slopes| slopes.emp)?,
            awd: fit(Diagonal::M2, Diagonal::H, |slopes| slopes.m2)?,
            dual: Exponent { fit: self::fit(spec, layer, Diagonal::Awd, Diagonal::H)?, sampling: None },
            c_on_m2: fit(Diagonal::C, Diagonal::M2, |slopes| slopes.c_on_m2)?,
        })
    }
}
