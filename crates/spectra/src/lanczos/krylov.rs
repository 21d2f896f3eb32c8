//! The Krylov space, its expansion by blocks and its compression to Ritz vectors.

use super::columns::Columns;
use super::iteration::{Assurance, Progress};
use super::state::{LanczosState, Probing, check_state};
use super::{Completeness, LanczosConfig, LanczosError, Wanted};
use crate::eigh::{Eigh, eigh};
use crate::probe::gaussian;
use crate::products::{NotFinite, Products};
use crate::symmetric::power_of_two_near;
use crate::tall::{column, draw_orthogonal, norm, orthogonalise, rotate};
use faer::matrix_free::LinOp;
use faer::prelude::{IntoConst, ReborrowMut};
use faer::{Mat, MatRef};
use rand::Rng;

/// A remainder of at most `DEPENDENT · ε · √n · ‖A‖` is rounding.
const DEPENDENT: f64 = 8.0;
/// Share of the basis beyond the wanted pairs that a restart keeps …
const KEPT: f64 = 0.4;
/// … if it leaves room for so many blocks, without which what a random vector brings is dropped before it can be told.
const BLOCKS: usize = 3;

/// `A Q = Q T + N G` for the first `filled` columns `Q`, with the `ahead` next ones `N`.
#[derive(Debug)]
pub(super) struct Krylov<'a> {
    pub(super) products: Products<'a>,
    pub(super) wanted: Wanted,
    pub(super) config: &'a LanczosConfig,
    pub(super) random: Random<'a>,
    /// `[Q, N, scratch]` (`n × basis`).
    pub(super) columns: Columns,
    pub(super) filled: usize,
    pub(super) ahead: usize,
    pub(super) T: Mat<f64>,
    /// `G` (`ahead × filled`).
    pub(super) coupling: Mat<f64>,
    pub(super) norm: f64,
    pub(super) asymmetry: f64,
    pub(super) assurance: Assurance,
    pub(super) restarts: usize,
    pub(super) products_before: usize,
    pub(super) progress: Progress,
}

pub(super) struct Random<'a>(&'a mut dyn Rng);

impl std::fmt::Debug for Random<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

/// Ritz pairs of the moment, descending, with the residuals that the recurrence tells.
pub(super) struct Ritz {
    pub(super) eigen: Eigh,
    /// `‖G s_i‖`.
    pub(super) residuals: Vec<f64>,
    /// Indices, the wanted first, then the nearest to them.
    pub(super) order: Vec<usize>,
}

impl<'a> Krylov<'a> {
    pub(super) fn new(
        A: &'a dyn LinOp<f64>,
        wanted: Wanted,
        config: &'a LanczosConfig,
        rng: &'a mut dyn Rng,
    ) -> Result<Self, LanczosError> {
        let n = A.nrows();
        let mut columns = Columns::zeros(n, basis_size(n, wanted, config));
        let ahead = config.block.min(n);
        let (start, _) = columns.as_mut().split_at_col_mut(ahead);
        orthogonalise(Mat::zeros(n, 0).as_ref(), start, ahead, f64::INFINITY, &mut |x| gaussian(x, rng));
        Ok(Self::assemble(A, wanted, config, rng, columns, (0, ahead)))
    }

    pub(super) fn resume(
        A: &'a dyn LinOp<f64>,
        state: LanczosState,
        wanted: Wanted,
        config: &'a LanczosConfig,
        rng: &'a mut dyn Rng,
    ) -> Result<Self, LanczosError> {
        check_state(A.nrows(), &state)?;
        let n = A.nrows();
        let LanczosState { columns, values, coupling, wanted: wanted_before, probing, norm, products } = state;
        let (p, w) = (values.len(), coupling.nrows());
        let basis = basis_size(n, wanted, config).max((p.max(wanted.count()) + 2 * w).min(n));
        let mut columns = Columns::from_entries(n, columns);
        columns.resize(basis);
        let mut krylov = Self::assemble(A, wanted, config, rng, columns, (p, w));
        let scale = if norm > 0.0 { 1.0 / power_of_two_near(norm) } else { 1.0 };
        values.iter().enumerate().for_each(|(i, theta)| krylov.T[(i, i)] = theta * scale);
        krylov.coupling = coupling * faer::Scale(scale);
        match probing {
            Probing::Underway { before, steps } if wanted_before == wanted => {
                let before = before.iter().map(|theta| theta * scale).collect();
                krylov.assurance = Assurance::Pending { before, steps };
            }
            Probing::Passed if wanted_before == wanted => krylov.assurance = Assurance::Probed,
            _ => {}
        }
        krylov.norm = norm * scale;
        krylov.products.scale = scale;
        krylov.products_before = products;
        Ok(krylov)
    }

    fn assemble(
        A: &'a dyn LinOp<f64>,
        wanted: Wanted,
        config: &'a LanczosConfig,
        rng: &'a mut dyn Rng,
        columns: Columns,
        (filled, ahead): (usize, usize),
    ) -> Self {
        let basis = columns.ncols();
        Self {
            products: Products::new(A),
            wanted,
            config,
            random: Random(rng),
            columns,
            filled,
            ahead,
            T: Mat::zeros(basis, basis),
            coupling: Mat::zeros(ahead, filled),
            norm: 0.0,
            asymmetry: 0.0,
            assurance: match config.completeness {
                Completeness::Probed => Assurance::None,
                Completeness::Trusted => Assurance::Trusted,
            },
            restarts: 0,
            products_before: 0,
            progress: Progress::none(),
        }
    }

    /// Whether the next block, `ahead` wide, can be multiplied and its successor stored.
    pub(super) fn fits(&self, ahead: usize) -> bool {
        let (n, basis) = (self.columns.nrows(), self.columns.ncols());
        let after = ahead.min(n - self.filled - ahead);
        self.filled + ahead + after <= basis
    }

    /// Multiplies the next block and makes what is new of the product the block after it; how many of its columns come
    /// from the product.
    pub(super) fn step(&mut self) -> Result<usize, LanczosError> {
        let (n, p, w) = (self.columns.nrows(), self.filled, self.ahead);
        let room = w.min(n - p - w);
        let (known, rest) = self.columns.as_mut().split_at_col_mut(p + w);
        let known = known.into_const();
        // Where all of the space is spanned there may be no column left to hold the product.
        let short = rest.ncols() < w;
        let mut spare = Mat::zeros(if short { n } else { 0 }, w);
        let mut out = if short { spare.as_mut() } else { rest.subcols_mut(0, w) };
        self.products.apply(out.rb_mut(), known.subcols(p, w)).map_err(not_finite)?;
        let lengths = |out: MatRef<'_, f64>| (0..w).fold(0.0, |most: f64, j| most.max(norm(column(out, j))));
        if self.norm == 0.0 {
            let scale = 1.0 / power_of_two_near(out.as_ref().norm_max());
            out *= faer::Scale(scale);
            self.products.scale *= scale;
        }
        self.norm = self.norm.max(lengths(out.as_ref()));
        let floor = DEPENDENT * f64::EPSILON * (n as f64).sqrt() * self.norm;
        let rng = &mut self.random.0;
        let made = orthogonalise(known, out.rb_mut(), room, floor, &mut |x| gaussian(x, *rng));
        if short {
            self.columns.as_mut().subcols_mut(p + w, room).copy_from(spare.subcols(0, room));
        }
        let mut asymmetry = 0.0_f64;
        for j in 0..w {
            (0..p).for_each(|i| asymmetry = asymmetry.max((made.C[(i, j)] - self.coupling[(j, i)]).abs()));
            (0..j).for_each(|i| asymmetry = asymmetry.max((made.C[(p + i, j)] - made.C[(p + j, i)]).abs()));
            for i in 0..p {
                self.T[(i, p + j)] = made.C[(i, j)];
                self.T[(p + j, i)] = made.C[(i, j)];
            }
            for i in 0..w {
                self.T[(p + i, p + j)] = 0.5 * (made.C[(p + i, j)] + made.C[(p + j, i)]);
            }
        }
        if asymmetry > 0.0 {
            self.asymmetry = self.asymmetry.max(asymmetry / self.norm);
        }
        if self.asymmetry > self.config.asymmetry {
            let (asymmetry, tolerance) = (self.asymmetry, self.config.asymmetry);
            return Err(LanczosError::Asymmetric { asymmetry, tolerance, products: self.products.count });
        }
        self.filled = p + w;
        self.ahead = room;
        self.coupling = Mat::from_fn(room, p + w, |i, j| if j < p { 0.0 } else { made.R[(i, j - p)] });
        Ok(made.independent)
    }

    pub(super) fn ritz(&mut self) -> Result<Ritz, LanczosError> {
        let p = self.filled;
        let eigen = eigh(self.T.as_ref().submatrix(0, 0, p, p))?;
        self.norm = self.norm.max(eigen.values[0].abs()).max(eigen.values[p - 1].abs());
        let outside = &self.coupling * &eigen.vectors;
        let residuals = (0..p).map(|i| norm(outside.col_as_slice(i))).collect();
        let order = order(&eigen.values, self.wanted);
        Ok(Ritz { eigen, residuals, order })
    }

    /// Compresses the basis to the wanted Ritz vectors and some more, with room for a next block of `ahead`.
    pub(super) fn restart(&mut self, ritz: &Ritz, ahead: usize) {
        let (p, wanted) = (self.filled, self.wanted.count());
        let basis = self.columns.ncols();
        let more = (KEPT * (basis - wanted) as f64) as usize;
        let kept = (wanted + more).min(basis.saturating_sub((BLOCKS + 1) * ahead)).clamp(wanted, p);
        let mut chosen = ritz.order[..kept].to_vec();
        // Descending within the wanted, and within the others.
        chosen[..wanted].sort_unstable();
        chosen[wanted..].sort_unstable();
        self.compress(ritz, &chosen);
        self.restarts += 1;
    }

    fn compress(&mut self, ritz: &Ritz, chosen: &[usize]) {
        let (p, w, kept) = (self.filled, self.ahead, chosen.len());
        let S = Mat::from_fn(p, kept, |i, j| ritz.eigen.vectors[(i, chosen[j])]);
        rotate(self.columns.as_mut().subcols_mut(0, p), S.as_ref());
        for j in 0..w {
            if kept < p {
                let (mut to, from) = self.columns.as_mut().split_at_col_mut(p + j);
                to.rb_mut().col_mut(kept + j).copy_from(from.as_ref().col(0));
            }
        }
        self.coupling = &self.coupling * &S;
        self.T.fill(0.0);
        chosen.iter().enumerate().for_each(|(i, &from)| self.T[(i, i)] = ritz.eigen.values[from]);
        self.filled = kept;
    }

    /// A random vector, orthogonal to everything, joins the next block.
    pub(super) fn join(&mut self) {
        let at = self.filled + self.ahead;
        let (known, mut rest) = self.columns.as_mut().split_at_col_mut(at);
        let rng = &mut self.random.0;
        draw_orthogonal(&[known.into_const()], rest.rb_mut().subcols_mut(0, 1), &mut |x| gaussian(x, *rng));
        let old = &self.coupling;
        self.coupling =
            Mat::from_fn(self.ahead + 1, self.filled, |i, j| if i < self.ahead { old[(i, j)] } else { 0.0 });
        self.ahead += 1;
    }
}

impl Ritz {
    pub(super) fn wanted(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        self.order[..count].iter().copied()
    }

    pub(super) fn wanted_values(&self, count: usize) -> Vec<f64> {
        self.wanted(count).map(|i| self.eigen.values[i]).collect()
    }
}

pub(super) fn not_finite(NotFinite { product, row, value }: NotFinite) -> LanczosError {
    LanczosError::NotFinite { product, row, value }
}

fn basis_size(n: usize, wanted: Wanted, config: &LanczosConfig) -> usize {
    let (k, block) = (wanted.count(), config.block);
    let asked = config.basis.unwrap_or((2 * k).max(k + 20) + 2 * block);
    asked.max(k + 2 * (block + 1)).min(n)
}

/// Indices of descending `values`: the wanted, then those nearest to them.
fn order(values: &[f64], wanted: Wanted) -> Vec<usize> {
    let p = values.len();
    match wanted {
        Wanted::Largest(_) => (0..p).collect(),
        Wanted::Smallest(_) => (0..p).rev().collect(),
        Wanted::Magnitude(_) => {
            let mut order: Vec<usize> = (0..p).collect();
            order.sort_by(|&i, &j| values[j].abs().total_cmp(&values[i].abs()));
            order
        }
        Wanted::Ends { largest, smallest } => {
            let mut order: Vec<usize> = (0..largest).chain(p - smallest..p).collect();
            let (mut low, mut high) = (largest, p - smallest);
            while low < high {
                // Both ends go on at the rate at which they are wanted.
                let taken = (low - largest, p - smallest - high);
                if taken.0 * smallest <= taken.1 * largest && largest > 0 {
                    order.push(low);
                    low += 1;
                } else {
                    high -= 1;
                    order.push(high);
                }
            }
            order
        }
    }
}
