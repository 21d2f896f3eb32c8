//! What is left of an iteration, and can be continued.

use super::columns::Columns;
use super::{LanczosError, Wanted};
use crate::tall::gram;
use faer::{Mat, MatRef};

/// The columns of a state are orthonormal to this many `ε √n`.
const ORTHONORMAL: f64 = 1e4;

/// A thick-restarted Krylov space: `A Y = Y diag(θ) + N G`, with `[Y, N]` orthonormal.
///
/// Plain numbers, to be stored as the caller likes.
#[derive(Clone, Debug, PartialEq)]
pub struct LanczosState {
    /// `[Y, N]` (`n × (p + w)`), column after column: Ritz vectors, the wanted ones first and descending, and the next
    /// block.
    pub columns: Vec<f64>,
    /// `θ` (`p`).
    pub values: Vec<f64>,
    /// `G` (`w × p`).
    pub coupling: Mat<f64>,
    /// What was wanted.
    pub wanted: Wanted,
    /// How far the search for missed copies has come; void when something else is wanted.
    pub probing: Probing,
    /// Lower estimate of `‖A‖`.
    pub norm: f64,
    /// Products so far, over all calls.
    pub products: usize,
}

impl LanczosState {
    /// `[Y, N]` as a matrix.
    ///
    /// # Panics
    /// When the columns are not `p + w` of one length.
    #[track_caller]
    pub fn basis(&self) -> MatRef<'_, f64> {
        let (p, w) = (self.values.len(), self.coupling.nrows());
        let n = self.columns.len() / (p + w).max(1);
        MatRef::from_column_major_slice(&self.columns, n, p + w)
    }

    /// Keeps the wanted Ritz vectors and the next block, and gives back the memory of the others.
    ///
    /// What continues from it takes more products: the others are what is known of the rest of the spectrum. Does
    /// nothing where there is no next block, as all vectors are needed then.
    ///
    /// # Panics
    /// As [`LanczosState::basis`], and when fewer vectors are held than are wanted.
    #[track_caller]
    pub fn keep_wanted(&mut self) {
        let (n, p, k) = (self.basis().nrows(), self.values.len(), self.wanted.count());
        if self.coupling.nrows() == 0 || n == 0 {
            return;
        }
        assert!(k <= p, "{k} vectors wanted and {p} held");
        let mut columns = Columns::from_entries(n, std::mem::take(&mut self.columns));
        columns.remove(k, p);
        self.columns = columns.into_entries();
        self.values.truncate(k);
        self.coupling = self.coupling.subcols(0, k).to_owned();
    }
}

/// How far the search for missed copies has come, see [`Completeness::Probed`](super::Completeness).
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Probing {
    /// No random vector has joined since the wanted values last moved.
    #[default]
    NotYet,
    /// One has.
    Underway {
        /// The wanted values when it joined.
        before: Vec<f64>,
        /// Steps since.
        steps: usize,
    },
    /// It has brought nothing new.
    Passed,
}

pub(super) fn check_state(n: usize, state: &LanczosState) -> Result<(), LanczosError> {
    let (p, w) = (state.values.len(), state.coupling.nrows());
    let equal = |what, found: usize, expected: usize| {
        let error = LanczosError::State { what, found: found as f64, expected: expected as f64 };
        if found == expected { Ok(()) } else { Err(error) }
    };
    equal("the number of entries of the columns", state.columns.len(), n * (p + w))?;
    equal("the number of columns of the coupling", state.coupling.ncols(), p)?;
    if w == 0 {
        equal("the number of values without a next block", p, n)?;
    }
    let others = [state.norm].into_iter().chain(state.values.iter().copied());
    let of = |A: &Mat<f64>| (0..A.ncols()).flat_map(|j| A.col_as_slice(j).to_vec()).collect::<Vec<f64>>();
    let entries = of(&state.coupling);
    if let Some(found) = others.chain(entries).find(|x| !x.is_finite()) {
        return Err(LanczosError::State { what: "an entry", found, expected: 0.0 });
    }
    let identity = Mat::<f64>::identity(p + w, p + w);
    // A NaN must survive, which it does in a sum and not in a maximum.
    let found = (gram(state.basis(), state.basis()) - identity).norm_l2();
    let expected = ORTHONORMAL * f64::EPSILON * (n as f64).sqrt();
    if found > expected || found.is_nan() {
        return Err(LanczosError::State { what: "the departure from orthonormality", found, expected });
    }
    Ok(())
}
