//! When the iteration restarts, looks for missed copies, and ends.

use super::krylov::{Krylov, Ritz, not_finite};
use super::state::{LanczosState, Probing};
use super::{Lanczos, LanczosError, LanczosProgress, RitzPair, Stop};
use crate::products::BLOCK;
use crate::tall::{column, gram, norm};
use faer::Mat;
use faer::prelude::{IntoConst, ReborrowMut};
use std::ops::ControlFlow;

/// Restarts without progress after which the iteration has stalled.
const PATIENCE: usize = 40;
/// Wanted values that move by less than this many tolerances have not moved.
const STEADY: f64 = 10.0;
/// A probe is followed until Lanczos without restarts would have missed an eigenvalue that stands out by this share of
/// the spectrum's extent with a probability of at most [`MISSED`].
const OUTSTANDING: f64 = 0.05;
/// See [`OUTSTANDING`].
const MISSED: f64 = 0.01;

/// Why no copy of a wanted eigenvalue is thought to be missing.
#[derive(Debug, PartialEq)]
pub(super) enum Assurance {
    /// There is no reason yet.
    None,
    /// The caller does not ask.
    Trusted,
    /// A random vector is on its way; the wanted values were these when it joined.
    Pending { before: Vec<f64>, steps: usize },
    /// It brought nothing new.
    Probed,
}

/// How near the wanted pairs have come since their values last moved.
#[derive(Debug)]
pub(super) struct Progress {
    best: f64,
    /// Restarts since then.
    since: usize,
    values: Vec<f64>,
}

impl Progress {
    pub(super) fn none() -> Self {
        Self { best: f64::INFINITY, since: 0, values: Vec::new() }
    }
}

impl Krylov<'_> {
    pub(super) fn run(
        mut self,
        listen: &mut dyn FnMut(LanczosProgress) -> ControlFlow<()>,
    ) -> Result<Lanczos, LanczosError> {
        let wanted = self.wanted.count();
        let mut looked_at = 0;
        let depth = depth(self.columns.nrows());
        loop {
            let independent = if self.ahead > 0 { self.step()? } else { 0 };
            let ran_its_course = match &mut self.assurance {
                Assurance::Pending { steps, .. } => {
                    *steps += 1;
                    *steps >= depth || independent == 0
                }
                _ => false,
            };
            let full = !self.fits(self.ahead);
            let drawn = independent < self.ahead;
            let spent = self.products.count + self.ahead + wanted > self.config.max_products;
            let due = self.filled >= looked_at + (self.filled / 8).max(8);
            if self.filled < wanted {
                if drawn {
                    self.assurance = Assurance::Pending { before: Vec::new(), steps: 0 };
                }
                continue;
            }
            if !(full || drawn || spent || due || ran_its_course || self.ahead == 0) {
                continue;
            }
            looked_at = self.filled;
            let ritz = self.ritz()?;
            let progress = self.progress_to(&ritz, wanted);
            let converged = progress.converged == wanted;
            let interrupted = listen(progress).is_break();
            if self.ahead == 0 {
                // The basis spans everything.
                self.assurance = Assurance::Probed;
                return self.finish(&ritz, Stop::Converged);
            }
            if let Assurance::Pending { before, .. } = &self.assurance
                && ran_its_course
            {
                let steady = self.steady(before, &ritz.wanted_values(wanted));
                self.assurance = if steady { Assurance::Probed } else { Assurance::None };
            }
            if drawn && matches!(self.assurance, Assurance::None | Assurance::Trusted) {
                // The space was invariant, and what continues it is the random vector of a probe.
                self.assurance = Assurance::Pending { before: ritz.wanted_values(wanted), steps: 0 };
            }
            if converged && matches!(self.assurance, Assurance::Trusted | Assurance::Probed) {
                return self.finish(&ritz, Stop::Converged);
            }
            if interrupted {
                return self.finish(&ritz, Stop::Interrupted);
            }
            if spent {
                return self.finish(&ritz, Stop::Budget);
            }
            if converged && self.assurance == Assurance::None && self.columns.ncols() < self.columns.nrows() {
                if wanted + 2 * (self.ahead + 1) > self.columns.ncols() {
                    return self.finish(&ritz, Stop::Stalled);
                }
                if self.products.count + self.ahead + 1 + wanted > self.config.max_products {
                    return self.finish(&ritz, Stop::Budget);
                }
                let values = ritz.wanted_values(wanted);
                self.restart(&ritz, self.ahead + 1);
                self.join();
                self.assurance = Assurance::Pending { before: values, steps: 0 };
                looked_at = self.filled;
            } else if full {
                if self.stalled(&ritz, wanted) {
                    return self.finish(&ritz, Stop::Stalled);
                }
                self.restart(&ritz, self.ahead);
                looked_at = self.filled;
            }
        }
    }

    fn progress_to(&self, ritz: &Ritz, wanted: usize) -> LanczosProgress {
        let accepted = self.config.tolerance * self.norm;
        let residuals = || ritz.wanted(wanted).map(|i| ritz.residuals[i]);
        let largest = residuals().fold(0.0, f64::max);
        LanczosProgress {
            products: self.products.count,
            restarts: self.restarts,
            converged: residuals().filter(|residual| *residual <= accepted).count(),
            wanted,
            residual: if self.norm > 0.0 { largest / self.norm } else { 0.0 },
        }
    }

    fn steady(&self, before: &[f64], now: &[f64]) -> bool {
        let tolerance = STEADY * self.config.tolerance.max(f64::EPSILON) * self.norm;
        before.len() == now.len() && before.iter().zip(now).all(|(x, y)| (x - y).abs() <= tolerance)
    }

    /// Whether the residuals above tolerance have, all in all, not shrunk for long, and the values have not moved:
    /// where they have, a copy that was missing has come in, and convergence begins anew.
    fn stalled(&mut self, ritz: &Ritz, wanted: usize) -> bool {
        let accepted = (self.config.tolerance * self.norm).max(f64::MIN_POSITIVE);
        let excess: f64 = ritz.wanted(wanted).map(|i| (ritz.residuals[i] / accepted).max(1.0).ln()).sum();
        let values = ritz.wanted_values(wanted);
        if excess < 0.99 * self.progress.best || !self.steady(&self.progress.values, &values) {
            self.progress = Progress { best: excess, since: 0, values };
        } else {
            self.progress.since += 1;
        }
        self.progress.since >= PATIENCE
    }

    fn finish(mut self, ritz: &Ritz, stop: Stop) -> Result<Lanczos, LanczosError> {
        self.restart(ritz, self.ahead);
        self.restarts -= 1;
        let (n, k, w) = (self.columns.nrows(), self.wanted.count(), self.ahead);
        // Products for the residuals go where the basis has no columns any more.
        let end = self.filled + w;
        let width = k.min(self.config.block.max(BLOCK));
        let (known, mut free) = self.columns.as_mut().split_at_col_mut(end);
        let vectors = known.into_const().subcols(0, k);
        let mut spare = Mat::zeros(if free.ncols() == 0 { n } else { 0 }, width);
        let mut free = if free.ncols() == 0 { spare.as_mut() } else { free.rb_mut() };
        let width = width.min(free.ncols());
        let (accepted, mut pairs) = (self.config.tolerance * self.norm, Vec::with_capacity(k));
        for first in (0..k).step_by(width) {
            let width = width.min(k - first);
            let mut out = free.rb_mut().subcols_mut(0, width);
            self.products.apply(out.rb_mut(), vectors.subcols(first, width)).map_err(not_finite)?;
            for j in 0..width {
                let value = self.T[(first + j, first + j)];
                let v = vectors.col(first + j).iter();
                out.rb_mut().col_mut(j).iter_mut().zip(v).for_each(|(y, v)| *y -= value * v);
                let residual = norm(column(out.as_ref(), j));
                let unit = self.products.scale;
                pairs.push(RitzPair {
                    value: value / unit,
                    residual: residual / unit,
                    converged: residual <= accepted,
                });
            }
        }
        let orthogonality = (gram(vectors, vectors) - Mat::<f64>::identity(k, k)).norm_l2();
        let confirmed = pairs.iter().all(|pair| pair.converged);
        let stop = if stop == Stop::Converged && !confirmed { Stop::Stalled } else { stop };
        let (unit, probed) = (1.0 / self.products.scale, self.assurance == Assurance::Probed);
        self.columns.resize(end);
        Ok(Lanczos {
            pairs,
            others: (k..self.filled).map(|i| self.T[(i, i)] * unit).collect(),
            orthogonality,
            stop,
            probed,
            restarts: self.restarts,
            asymmetry: self.asymmetry,
            tolerance: self.config.tolerance,
            state: LanczosState {
                values: (0..self.filled).map(|i| self.T[(i, i)] * unit).collect(),
                coupling: self.coupling * faer::Scale(unit),
                wanted: self.wanted,
                probing: match self.assurance {
                    Assurance::None | Assurance::Trusted => Probing::NotYet,
                    Assurance::Pending { before, steps } => {
                        Probing::Underway { before: before.iter().map(|theta| theta * unit).collect(), steps }
                    }
                    Assurance::Probed => Probing::Passed,
                },
                norm: self.norm * unit,
                products: self.products_before + self.products.count,
                columns: self.columns.into_entries(),
            },
        })
    }
}

/// Steps after which Lanczos, from a random vector, has come within [`OUTSTANDING`] of the largest eigenvalue with
/// probability `1 −` [`MISSED`]: from `1.648 √n exp(−√ε (2j − 1)) ≤ δ` (Kuczyński and Woźniakowski 1992).
fn depth(n: usize) -> usize {
    let logarithm = (1.648 * (n as f64).sqrt() / MISSED).ln();
    (0.5 * (logarithm / OUTSTANDING.sqrt() + 1.0)).ceil() as usize
}
