//! Symmetric operators by their action: closures, and the algebra of operators that faer's trait leaves out.
//!
//! Everything here implements [`LinOp`] over `f64` and multiplies a block of vectors at once. Composites borrow what
//! they are made of. A matrix (`Mat<f64>`, `MatRef<f64>`), sparse ones included, is a [`LinOp`] by itself, and so is
//! the identity ([`faer::matrix_free::IdentityPrecond`]).

use crate::tall::{gram, subtract};
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::matmul::matmul;
use faer::linalg::{temp_mat_scratch, temp_mat_zeroed};
use faer::mat::AsMatMut;
use faer::matrix_free::LinOp;
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{Accum, MatMut, MatRef, Par};
use std::fmt;

/// An operator of order `n` given by a closure that sets its first argument (`n × w`) to `A` times its second.
///
/// ```
/// use superlinear_spectra::FnOp;
/// let second_difference = FnOp::by_vector(50, |y: &mut [f64], x: &[f64]| {
///     for i in 0..x.len() {
///         let neighbour = |i: Option<usize>| i.and_then(|i| x.get(i)).copied().unwrap_or(0.0);
///         y[i] = 2.0 * x[i] - neighbour(i.checked_sub(1)) - neighbour(Some(i + 1));
///     }
/// });
/// # let _ = second_difference;
/// ```
pub struct FnOp<F> {
    n: usize,
    apply: F,
}

impl<F: Fn(MatMut<'_, f64>, MatRef<'_, f64>) + Sync> FnOp<F> {
    /// By its action on a block of any width.
    pub fn new(n: usize, apply: F) -> Self {
        Self { n, apply }
    }
}

impl FnOp<()> {
    /// By its action on one vector: `apply(y, x)` sets `y = Ax`. A block is multiplied column by column.
    pub fn by_vector(
        n: usize,
        apply: impl Fn(&mut [f64], &[f64]) + Sync,
    ) -> FnOp<impl Fn(MatMut<'_, f64>, MatRef<'_, f64>) + Sync> {
        FnOp::new(n, move |mut out: MatMut<'_, f64>, x: MatRef<'_, f64>| {
            let mut y = vec![0.0; n];
            for j in 0..x.ncols() {
                let x: Vec<f64> = x.col(j).iter().copied().collect();
                apply(&mut y, &x);
                out.rb_mut().col_mut(j).iter_mut().zip(&y).for_each(|(out, y)| *out = *y);
            }
        })
    }
}

impl<F> fmt::Debug for FnOp<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnOp").field("n", &self.n).finish_non_exhaustive()
    }
}

impl<F: Fn(MatMut<'_, f64>, MatRef<'_, f64>) + Sync> LinOp<f64> for FnOp<F> {
    fn apply_scratch(&self, _: usize, _: Par) -> StackReq {
        StackReq::EMPTY
    }
    fn nrows(&self) -> usize {
        self.n
    }
    fn ncols(&self) -> usize {
        self.n
    }
    fn apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, _: Par, _: &mut MemStack) {
        (self.apply)(out, rhs);
    }
    fn conj_apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        self.apply(out, rhs, par, stack);
    }
}

/// `Σ_t c_t A_t + σI`, all of order `n`: sums, multiples and shifts.
#[derive(Clone, Debug)]
pub struct LinearCombination<'a> {
    n: usize,
    shift: f64,
    terms: Vec<(f64, &'a dyn LinOp<f64>)>,
}

impl<'a> LinearCombination<'a> {
    /// The zero operator of order `n`.
    pub fn zero(n: usize) -> Self {
        Self { n, shift: 0.0, terms: Vec::new() }
    }

    /// With `c A` added.
    ///
    /// # Panics
    /// When `A` is not of order `n`.
    #[track_caller]
    #[must_use]
    pub fn plus(mut self, c: f64, A: &'a dyn LinOp<f64>) -> Self {
        assert!(A.nrows() == self.n && A.ncols() == self.n, "expected an operator of order {}", self.n);
        self.terms.push((c, A));
        self
    }

    /// With `σI` added.
    #[must_use]
    pub fn shifted(mut self, sigma: f64) -> Self {
        self.shift += sigma;
        self
    }
}

impl LinOp<f64> for LinearCombination<'_> {
    fn apply_scratch(&self, width: usize, par: Par) -> StackReq {
        let inner = self.terms.iter().fold(StackReq::EMPTY, |most, (_, A)| most.or(A.apply_scratch(width, par)));
        temp_mat_scratch::<f64>(self.n, width).and(inner)
    }
    fn nrows(&self) -> usize {
        self.n
    }
    fn ncols(&self) -> usize {
        self.n
    }
    fn apply(&self, mut out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        let (mut term, stack) = temp_mat_zeroed::<f64, _, _>(self.n, rhs.ncols(), stack);
        let mut term = term.as_mat_mut();
        for j in 0..rhs.ncols() {
            out.rb_mut().col_mut(j).iter_mut().zip(rhs.col(j).iter()).for_each(|(y, x)| *y = self.shift * x);
        }
        for (c, A) in &self.terms {
            A.apply(term.rb_mut(), rhs, par, stack);
            for j in 0..rhs.ncols() {
                out.rb_mut().col_mut(j).iter_mut().zip(term.rb().col(j).iter()).for_each(|(y, x)| *y += c * x);
            }
        }
    }
    fn conj_apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        self.apply(out, rhs, par, stack);
    }
}

/// `AB`, which is symmetric when `A` and `B` are symmetric and commute; `A²` for one operator twice.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    A: &'a dyn LinOp<f64>,
    B: &'a dyn LinOp<f64>,
}

impl<'a> Product<'a> {
    /// `AB`, first `B`, then `A`.
    ///
    /// # Panics
    /// When `A` has not as many columns as `B` rows.
    #[track_caller]
    pub fn new(A: &'a dyn LinOp<f64>, B: &'a dyn LinOp<f64>) -> Self {
        assert_eq!(A.ncols(), B.nrows(), "columns of A, rows of B");
        Self { A, B }
    }
}

impl LinOp<f64> for Product<'_> {
    fn apply_scratch(&self, width: usize, par: Par) -> StackReq {
        let inner = self.A.apply_scratch(width, par).or(self.B.apply_scratch(width, par));
        temp_mat_scratch::<f64>(self.B.nrows(), width).and(inner)
    }
    fn nrows(&self) -> usize {
        self.A.nrows()
    }
    fn ncols(&self) -> usize {
        self.B.ncols()
    }
    fn apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        let (mut between, stack) = temp_mat_zeroed::<f64, _, _>(self.B.nrows(), rhs.ncols(), stack);
        let mut between = between.as_mat_mut();
        self.B.apply(between.rb_mut(), rhs, par, stack);
        self.A.apply(out, between.rb(), par, stack);
    }
    fn conj_apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        self.apply(out, rhs, par, stack);
    }
}

/// `VᵀAV` (`k × k`): what `A` (`n × n`) does within the span of the columns of `V` (`n × k`).
#[derive(Clone, Copy, Debug)]
pub struct Restricted<'a> {
    A: &'a dyn LinOp<f64>,
    V: MatRef<'a, f64>,
}

impl<'a> Restricted<'a> {
    /// `A` on the span of `V`.
    ///
    /// # Panics
    /// When `A` is not of order `V.nrows()`.
    #[track_caller]
    pub fn new(A: &'a dyn LinOp<f64>, V: MatRef<'a, f64>) -> Self {
        assert!(A.nrows() == V.nrows() && A.ncols() == V.nrows(), "A is n × n and V is n × k");
        Self { A, V }
    }
}

impl LinOp<f64> for Restricted<'_> {
    fn apply_scratch(&self, width: usize, par: Par) -> StackReq {
        let columns = temp_mat_scratch::<f64>(self.V.nrows(), width);
        columns.and(columns).and(self.A.apply_scratch(width, par))
    }
    fn nrows(&self) -> usize {
        self.V.ncols()
    }
    fn ncols(&self) -> usize {
        self.V.ncols()
    }
    fn apply(&self, mut out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        let (mut x, stack) = temp_mat_zeroed::<f64, _, _>(self.V.nrows(), rhs.ncols(), stack);
        let (mut y, stack) = temp_mat_zeroed::<f64, _, _>(self.V.nrows(), rhs.ncols(), stack);
        let (mut x, mut y) = (x.as_mat_mut(), y.as_mat_mut());
        matmul(x.rb_mut(), Accum::Replace, self.V, rhs, 1.0, par);
        self.A.apply(y.rb_mut(), x.rb(), par, stack);
        out.copy_from(gram(self.V, y.rb()));
    }
    fn conj_apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        self.apply(out, rhs, par, stack);
    }
}

/// `(I − VVᵀ)A(I − VVᵀ)`: `A` without the span of the orthonormal columns of `V` (`n × k`), on which it becomes zero.
#[derive(Clone, Copy, Debug)]
pub struct Deflated<'a> {
    A: &'a dyn LinOp<f64>,
    V: MatRef<'a, f64>,
}

impl<'a> Deflated<'a> {
    /// `A` without the span of `V`, whose columns the caller knows to be orthonormal.
    ///
    /// # Panics
    /// When `A` is not of order `V.nrows()`.
    #[track_caller]
    pub fn new(A: &'a dyn LinOp<f64>, V: MatRef<'a, f64>) -> Self {
        assert!(A.nrows() == V.nrows() && A.ncols() == V.nrows(), "A is n × n and V is n × k");
        Self { A, V }
    }
}

impl LinOp<f64> for Deflated<'_> {
    fn apply_scratch(&self, width: usize, par: Par) -> StackReq {
        temp_mat_scratch::<f64>(self.V.nrows(), width).and(self.A.apply_scratch(width, par))
    }
    fn nrows(&self) -> usize {
        self.V.nrows()
    }
    fn ncols(&self) -> usize {
        self.V.nrows()
    }
    fn apply(&self, mut out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        let (mut x, stack) = temp_mat_zeroed::<f64, _, _>(self.V.nrows(), rhs.ncols(), stack);
        let mut x = x.as_mat_mut();
        x.copy_from(rhs);
        let inside = gram(self.V, x.rb());
        subtract(x.rb_mut(), self.V, inside.as_ref());
        self.A.apply(out.rb_mut(), x.rb(), par, stack);
        let inside = gram(self.V, out.rb());
        subtract(out, self.V, inside.as_ref());
    }
    fn conj_apply(&self, out: MatMut<'_, f64>, rhs: MatRef<'_, f64>, par: Par, stack: &mut MemStack) {
        self.apply(out, rhs, par, stack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::to_dense;
    use crate::haar_draws::haar_orthogonal;
    use crate::testing::prescribed;
    use faer::{Mat, Scale};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn composites_are_what_they_say() {
        let n = 9;
        let values: Vec<f64> = (0..n).map(|k| k as f64 - 2.5).collect();
        let (A, B) = (prescribed(&values, 1), prescribed(&values, 2));
        let Q = haar_orthogonal(n, &mut ChaCha8Rng::seed_from_u64(3));
        let V = Q.subcols(0, 4);
        let I = Mat::<f64>::identity(n, n);
        let outside = &I - V * V.transpose();
        let by_closure = FnOp::new(n, |out: MatMut<'_, f64>, x: MatRef<'_, f64>| {
            matmul(out, Accum::Replace, &A, x, 1.0, Par::Seq);
        });
        let by_vector = FnOp::by_vector(n, |y: &mut [f64], x: &[f64]| {
            y.iter_mut().enumerate().for_each(|(i, y)| *y = (0..n).map(|j| A[(i, j)] * x[j]).sum());
        });
        let sum = LinearCombination::zero(n).plus(2.0, &A).plus(-0.5, &by_closure).plus(1.0, &B).shifted(0.25);
        let product = Product::new(&A, &B);
        let nested = Restricted::new(&product, V);
        let cases: [(&dyn LinOp<f64>, Mat<f64>); 7] = [
            (&by_closure, A.clone()),
            (&by_vector, A.clone()),
            (&sum, Scale(1.5) * &A + &B + Scale(0.25) * &I),
            (&product, &A * &B),
            (&Restricted::new(&A, V), V.transpose() * &A * V),
            (&nested, V.transpose() * &A * &B * V),
            (&Deflated::new(&A, V), &outside * &A * &outside),
        ];
        for (operator, truth) in &cases {
            let dense = to_dense(*operator, 1 << 20).unwrap();
            assert!((dense - truth).norm_max() < 1e-13, "{operator:?}");
        }
    }
}
