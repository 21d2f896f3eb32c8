//! How nearly two symmetric matrices commute: commutator error, leakage, recovery and normalised coupling (`MATH §7`).
//!
//! All of them are read off `K = VᵀAV`, where the columns of `V` are the eigenvectors of `B` and `β` its eigenvalues,
//! in descending order. There `[A, B]_ij = K_ij(β_j − β_i)`, so that nothing costs more than `O(P²)` once `K` is known.
//!
//! Where `B` has equal eigenvalues its eigenvectors are no one's choice: any rotation within the eigenspace does as
//! well. The commutator error of a window that holds the eigenspace whole does not depend on that choice. Leakage,
//! recovery and coupling do, and so does every quantity of a window whose edge cuts the eigenspace.

use crate::basis::in_basis;
use crate::eigh::{Eigh, NOISE};
use crate::symmetric::{Defect, TOLERANCE, power_of_two_near, symmetric_norm};
use crate::window::{Window, Windows};
use faer::{Mat, MatRef};
use rayon::prelude::*;

/// A symmetric matrix `A`, not zero, in the eigenbasis of a symmetric matrix `B`, not zero: `K = VᵀAV` and `β`.
#[derive(Clone, Debug)]
pub struct InEigenbasis {
    K: Mat<f64>,
    values: Vec<f64>,
}

/// Why a matrix cannot be read in an eigenbasis.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DiagnosticError {
    /// The matrix has not the shape of the one whose eigenbasis it is read in.
    #[error("expected a {order} × {order} matrix, found {nrows} × {ncols}")]
    Shape {
        /// Order of `B`.
        order: usize,
        /// Rows of `A`.
        nrows: usize,
        /// Columns of `A`.
        ncols: usize,
    },
    /// An entry is infinite or NaN.
    #[error("entry ({row}, {column}) is {value}, expected a finite number")]
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// Its value.
        value: f64,
    },
    /// The matrix differs from its transpose by more than rounding.
    #[error(
        "not symmetric: ‖A − Aᵀ‖/‖A‖ = {asymmetry:e}, expected at most {tolerance:e}; \
         entry ({row}, {column}) is {value:e}, its mirror image {mirror:e}"
    )]
    Asymmetric {
        /// `‖A − Aᵀ‖/‖A‖`.
        asymmetry: f64,
        /// What is accepted.
        tolerance: f64,
        /// Row of the entry that differs most from its mirror image.
        row: usize,
        /// Its column.
        column: usize,
        /// Its value.
        value: f64,
        /// Entry `(column, row)`.
        mirror: f64,
    },
    /// Two spectra have different lengths.
    #[error("A has {n_alpha} eigenvalues, B has {n_beta}")]
    Spectra {
        /// Eigenvalues of `A`.
        n_alpha: usize,
        /// Eigenvalues of `B`.
        n_beta: usize,
    },
    /// An eigenvalue is infinite or NaN.
    #[error("eigenvalue {index} of {matrix} is {value}, expected a finite number")]
    Eigenvalue {
        /// `"A"` or `"B"`.
        matrix: &'static str,
        /// Its place.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// The matrix is zero, or its norm leaves the range of normal doubles.
    #[error("the norm of {matrix} is {norm:e}, expected a positive normal number")]
    Norm {
        /// `"A"` or `"B"`.
        matrix: &'static str,
        /// Its Frobenius norm.
        norm: f64,
    },
}

impl From<Defect> for DiagnosticError {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::NotFinite { row, column, value } => Self::NotFinite { row, column, value },
            Defect::Asymmetric { asymmetry, tolerance, row, column, value, mirror } => {
                Self::Asymmetric { asymmetry, tolerance, row, column, value, mirror }
            }
        }
    }
}

/// Diagnostics of the projection of a pair on a window of directions.
///
/// A quantity whose definition divides by zero is `None`; none is ever NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct PairDiagnostics {
    /// The directions `W`.
    pub window: Window,
    /// `‖[K_W, β_W]‖ / (‖K_W‖ ‖β_W‖)`, Frobenius: 0 when they commute, at most √2. `None` when `K_W` or `β_W` is zero.
    pub commutator: Option<f64>,
    /// `‖[K_W, β_W]‖ / ‖K_W β_W‖`, the paper's commutator error
    /// (`MATH [17]`): 0 when they commute, at most √2 for semidefinite matrices
    /// and 2 else. `None` when the product is zero. (`‖K_W β_W‖ = ‖β_W K_W‖`, each being the other's transpose.)
    ///
    /// `‖[A, B]‖/(‖A‖‖B‖)` is small also for matrices of low rank whose ranges hardly meet, random ones included,
    /// because their products are; this one is near √2 for those.
    pub relative_commutator: Option<f64>,
    /// RMS of the off-diagonal of `K_W` over RMS of its diagonal. `None` for one direction or a zero diagonal.
    pub leakage: Option<f64>,
    /// `Σ_i K_ii² / ‖K_W‖²` in `[0, 1]`, the paper's eigen-alignment (`MATH [18]`): 1 for a diagonal `K_W`. `None` when
    /// `K_W` is zero.
    pub recovery: Option<f64>,
    /// Mean of `|R_ij|`, `R_ij = K_ij/√|K_ii K_jj|`, `i ≠ j`, over the defined entries. `None` when there is none.
    pub coupling_mean: Option<f64>,
    /// Their variance (division by their number). `None` when there is none.
    pub coupling_variance: Option<f64>,
    /// Directions without `R`: `|K_ii|` does not exceed [`InEigenbasis::noise_floor`].
    pub n_undefined: usize,
}

/// Diagnostics of a pair in all directions, the top block and the bulk.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostics {
    /// All directions.
    pub full: PairDiagnostics,
    /// The top block; `None` where [`Windows::top`] is.
    pub top: Option<PairDiagnostics>,
    /// The bulk; `None` where [`Windows::bulk`] is.
    pub bulk: Option<PairDiagnostics>,
}

impl Diagnostics {
    /// Those that there are: full, top, bulk.
    pub fn iter(&self) -> impl Iterator<Item = &PairDiagnostics> {
        std::iter::once(&self.full).chain(&self.top).chain(&self.bulk)
    }
}

/// `R_ij = K_ij/√|K_ii K_jj|`.
#[derive(Clone, Debug)]
pub struct Coupling {
    /// `R`, `P × P`, symmetric, `±1` on the diagonal; rows and columns of undefined directions are zero.
    pub R: Mat<f64>,
    /// Undefined directions, ascending: `|K_ii|` does not exceed [`InEigenbasis::noise_floor`].
    pub undefined: Vec<usize>,
}

impl InEigenbasis {
    /// `A` in the eigenbasis of `B`: two products, `3P³` flops, one `P × P` allocation.
    ///
    /// `‖A − Aᵀ‖ ≤ 10·ε·P·‖A‖` is asked for; what asymmetry is left is lost.
    ///
    /// # Errors
    /// When `A` has another order than `B`, is not finite, not symmetric, or when a norm is zero or not a normal
    /// number.
    pub fn new(A: MatRef<'_, f64>, B: &Eigh) -> Result<Self, DiagnosticError> {
        let P = B.values.len();
        if A.nrows() != P || A.ncols() != P {
            return Err(DiagnosticError::Shape { order: P, nrows: A.nrows(), ncols: A.ncols() });
        }
        check_norm("A", symmetric_norm(A, TOLERANCE * f64::EPSILON * P as f64)?)?;
        check_spectrum("B", &B.values)?;
        Ok(Self::of_checked(in_basis(A, B.vectors.as_ref()), B.values.clone()))
    }

    /// `K` is finite, exactly symmetric and not zero; so are the values, and as many as `K` has rows.
    pub(crate) fn of_checked(K: Mat<f64>, values: Vec<f64>) -> Self {
        Self { K, values }
    }

    /// `K = VᵀAV`, exactly symmetric.
    pub fn K(&self) -> MatRef<'_, f64> {
        self.K.as_ref()
    }

    /// `β`, the eigenvalues of `B`, descending.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// `P`.
    pub fn order(&self) -> usize {
        self.values.len()
    }

    /// `K_ii = v_iᵀ A v_i`.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.order()).map(|i| self.K[(i, i)]).collect()
    }

    /// `10·ε·√P·max|K_ij|`: a diagonal entry of no greater magnitude is rounding, and nothing is divided by it.
    pub fn noise_floor(&self) -> f64 {
        NOISE * f64::EPSILON * (self.order() as f64).sqrt() * self.K.norm_max()
    }

    /// Every diagnostic of every window, in one pass over the columns of `K`: `O(P²)`.
    ///
    /// Threads are those of the current rayon pool; the result does not depend on their number. Neither does it depend
    /// on the scale of `A` or `B`.
    pub fn diagnostics(&self, windows: &Windows) -> Diagnostics {
        let P = self.order();
        let windows = [Some(windows.full(P)), windows.top(P), windows.bulk(P)];
        let present: Vec<Window> = windows.iter().copied().flatten().collect();
        let mut found = self.diagnostics_in(&present).into_iter();
        let mut next = |window: Option<Window>| window.and_then(|_| found.next());
        let full = next(windows[0]).expect("there always are all directions");
        Diagnostics { full, top: next(windows[1]), bulk: next(windows[2]) }
    }

    /// The diagnostics of any windows, in their order.
    ///
    /// # Panics
    /// When a window reaches beyond `P`.
    #[track_caller]
    fn diagnostics_in(&self, windows: &[Window]) -> Vec<PairDiagnostics> {
        let P = self.order();
        assert!(windows.iter().all(|w| w.range().end <= P), "a window reaches beyond the order {P}: {windows:?}");
        if windows.is_empty() {
            return Vec::new();
        }
        let scaled = Scaled::new(self);
        let mut columns = vec![ColumnSums::default(); P * windows.len()];
        columns.par_chunks_mut(windows.len()).enumerate().for_each(|(j, sums)| {
            for (sums, window) in sums.iter_mut().zip(windows) {
                if window.range().contains(&j) {
                    *sums = scaled.column_sums(j, window.range().start);
                }
            }
        });
        let total =
            |index: usize| columns.iter().skip(index).step_by(windows.len()).copied().reduce(ColumnSums::merged);
        windows
            .iter()
            .enumerate()
            .map(|(index, &window)| scaled.diagnostics(window, total(index).unwrap_or_default()))
            .collect()
    }

    /// The whole matrix `R`.
    pub fn coupling(&self) -> Coupling {
        let P = self.order();
        let Scaled { inverse_scale, inverse_roots: roots, .. } = Scaled::new(self);
        let R = Mat::from_fn(P, P, |i, j| match i == j && roots[i] != 0.0 {
            true => self.K[(i, i)].signum(),
            false => self.K[(i, j)] * inverse_scale * (roots[i] * roots[j]),
        });
        let undefined = (0..P).filter(|&i| roots[i] == 0.0).collect();
        Coupling { R, undefined }
    }
}

/// The pair with its largest entries near 1, so that no square leaves the range of doubles.
struct Scaled<'a> {
    K: &'a Mat<f64>,
    /// `1/scale` of `K`.
    inverse_scale: f64,
    /// `β`, scaled.
    values: Vec<f64>,
    /// `1/√|K_ii|` of scaled `K`, 0 where undefined.
    inverse_roots: Vec<f64>,
    /// Defined directions before each, and in all.
    n_defined: Vec<usize>,
}

impl<'a> Scaled<'a> {
    fn new(pair: &'a InEigenbasis) -> Self {
        let inverse_scale = 1.0 / power_of_two_near(pair.K.norm_max());
        let largest = pair.values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let inverse_beta = 1.0 / power_of_two_near(largest);
        let floor = pair.noise_floor();
        let inverse_root = |x: f64| if x.abs() <= floor { 0.0 } else { 1.0 / (x.abs() * inverse_scale).sqrt() };
        let inverse_roots: Vec<f64> = pair.diagonal().into_iter().map(inverse_root).collect();
        let mut n_defined = vec![0];
        for (i, &root) in inverse_roots.iter().enumerate() {
            n_defined.push(n_defined[i] + usize::from(root != 0.0));
        }
        let values = pair.values.iter().map(|beta| beta * inverse_beta).collect();
        Self { K: &pair.K, inverse_scale, values, inverse_roots, n_defined }
    }

    /// Sums over entries `(i, j)`, `first ≤ i < j`.
    fn column_sums(&self, j: usize, first: usize) -> ColumnSums {
        let column = &self.K.col_as_slice(j)[first..j];
        let mut sums = ColumnSums::default();
        let beta = self.values[j];
        for (k, other) in column.iter().zip(&self.values[first..j]) {
            let k = k * self.inverse_scale;
            let commutator = k * (beta - other);
            sums.square += k * k;
            sums.commutator += commutator * commutator;
            sums.product += k * k * (beta * beta + other * other);
        }
        let root = self.inverse_roots[j];
        let n_defined = self.n_defined[j] - self.n_defined[first];
        if root == 0.0 || n_defined == 0 {
            return sums;
        }
        let roots = &self.inverse_roots[first..j];
        let couplings = || {
            column.iter().zip(roots).filter(|(_, r)| **r != 0.0).map(|(k, r)| (k * self.inverse_scale).abs() * r * root)
        };
        sums.n_defined = n_defined as f64;
        sums.coupling_mean = couplings().sum::<f64>() / sums.n_defined;
        sums.coupling_deviation = couplings().map(|x| (x - sums.coupling_mean) * (x - sums.coupling_mean)).sum();
        sums
    }

    fn diagnostics(&self, window: Window, sums: ColumnSums) -> PairDiagnostics {
        let range = window.range();
        let n = window.n_directions() as f64;
        let sum_of_squares = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
        let diagonal = sum_of_squares(&mut range.clone().map(|i| self.K[(i, i)] * self.inverse_scale));
        let beta = sum_of_squares(&mut self.values[range.clone()].iter().copied());
        let norm = diagonal + 2.0 * sums.square;
        let diagonal_product =
            sum_of_squares(&mut range.clone().map(|i| self.K[(i, i)] * self.inverse_scale * self.values[i]));
        let product = diagonal_product + sums.product;
        let ratio = |x: f64, y: f64| (y > 0.0).then(|| x / y);
        let off_diagonal_mean = ratio(2.0 * sums.square, n * (n - 1.0));
        let n_defined = self.n_defined[range.end] - self.n_defined[range.start];
        PairDiagnostics {
            window,
            commutator: ratio((2.0 * sums.commutator).sqrt(), norm.sqrt() * beta.sqrt()),
            relative_commutator: ratio(2.0 * sums.commutator, product).map(f64::sqrt),
            leakage: off_diagonal_mean.and_then(|mean| ratio(mean, diagonal / n)).map(f64::sqrt),
            recovery: ratio(diagonal, norm),
            coupling_mean: ratio(sums.coupling_mean * sums.n_defined, sums.n_defined),
            coupling_variance: ratio(sums.coupling_deviation, sums.n_defined),
            n_undefined: window.n_directions() - n_defined,
        }
    }
}

/// Sums over a part of the entries above the diagonal.
#[derive(Clone, Copy, Debug, Default)]
struct ColumnSums {
    /// `Σ K_ij²`.
    square: f64,
    /// `Σ K_ij²(β_j − β_i)²`.
    commutator: f64,
    /// `Σ K_ij²(β_i² + β_j²)`.
    product: f64,
    /// Number of defined `R_ij`.
    n_defined: f64,
    /// Mean of `|R_ij|`.
    coupling_mean: f64,
    /// `Σ (|R_ij| − mean)²`.
    coupling_deviation: f64,
}

impl ColumnSums {
    /// Means and squared deviations combine as in Chan, Golub and LeVeque (1983): nothing cancels.
    fn merged(self, other: Self) -> Self {
        let n_defined = self.n_defined + other.n_defined;
        let share = if n_defined == 0.0 { 0.0 } else { other.n_defined / n_defined };
        let gap = other.coupling_mean - self.coupling_mean;
        Self {
            square: self.square + other.square,
            commutator: self.commutator + other.commutator,
            product: self.product + other.product,
            n_defined,
            coupling_mean: self.coupling_mean + share * gap,
            coupling_deviation: self.coupling_deviation + other.coupling_deviation + gap * gap * self.n_defined * share,
        }
    }
}

/// Whether eigenvalues are finite and not all zero.
pub(crate) fn check_spectrum(matrix: &'static str, values: &[f64]) -> Result<(), DiagnosticError> {
    if let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(DiagnosticError::Eigenvalue { matrix, index, value });
    }
    let scale = power_of_two_near(values.iter().fold(0.0_f64, |m, x| m.max(x.abs())));
    check_norm(matrix, scale * values.iter().map(|x| (x / scale) * (x / scale)).sum::<f64>().sqrt())
}

fn check_norm(matrix: &'static str, norm: f64) -> Result<(), DiagnosticError> {
    if norm.is_normal() { Ok(()) } else { Err(DiagnosticError::Norm { matrix, norm }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eigh::eigh;
    use crate::testing::{by_threads, prescribed};
    use faer::Scale;
    use proptest::prelude::*;

    /// Commutator error, leakage, recovery, mean and variance of `|R_ij|`, from dense blocks and their definitions.
    fn long_way(A: &Mat<f64>, B: &Mat<f64>, V: MatRef<'_, f64>) -> [f64; 6] {
        let n = V.ncols();
        let (A, B) = (V.transpose() * A * V, V.transpose() * B * V);
        let difference = (&A * &B - &B * &A).norm_l2();
        let commutator = difference / (A.norm_l2() * B.norm_l2());
        let relative = difference / (&A * &B).norm_l2();
        let (mut on, mut off, mut couplings) = (0.0, 0.0, Vec::new());
        for i in 0..n {
            for j in 0..n {
                let square = A[(i, j)] * A[(i, j)];
                if i == j {
                    on += square;
                } else {
                    off += square;
                    couplings.push((A[(i, j)] / (A[(i, i)] * A[(j, j)]).abs().sqrt()).abs());
                }
            }
        }
        let n_off = couplings.len() as f64;
        let mean = couplings.iter().sum::<f64>() / n_off;
        let variance = couplings.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n_off;
        let rms_off = (off / n_off).sqrt();
        [commutator, relative, rms_off / (on / n as f64).sqrt(), on / (on + off), mean, variance]
    }

    fn numbers(d: &PairDiagnostics) -> [f64; 6] {
        [d.commutator, d.relative_commutator, d.leakage, d.recovery, d.coupling_mean, d.coupling_variance]
            .map(Option::unwrap)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_diagnostic_equals_its_definition(
            alpha in prop::collection::vec(0.1f64..1.0, 6..60),
            sign in prop::sample::select(vec![1.0, -1.0]),
            mixing in 0.0f64..1.0,
            top in 2usize..80,
            bulk in 2usize..80,
            exponents in [-900i32..900, -900i32..900],
            seed in any::<u64>(),
        ) {
            let P = alpha.len();
            let beta: Vec<f64> = alpha.iter().map(|x| x * x - 0.3).collect();
            let B = prescribed(&beta, seed);
            // From commuting with B to knowing nothing of it; definite, so that no R_ij divides by rounding.
            let (own, other) = (prescribed(&alpha, seed), prescribed(&alpha, !seed));
            let A = (Scale(sign * (1.0 - mixing)) * own) + Scale(sign * mixing) * other;
            let eigen = eigh(B.as_ref()).unwrap();
            let windows = Windows { top, bulk_end: top + bulk };
            // Powers of two, so that the definition may be evaluated at scale 1.
            let [s, t] = exponents.map(|e| 2f64.powi(e));
            let scaled_eigen = eigh((&B * Scale(t)).as_ref()).unwrap();
            let pair = InEigenbasis::new((&A * Scale(s)).as_ref(), &scaled_eigen).unwrap();
            let found = pair.diagnostics(&windows);
            prop_assert_eq!(found.top.is_some(), top > 0);
            prop_assert_eq!(found.bulk.is_some(), top < P);
            for d in found.iter().filter(|d| d.window.n_directions() > 1) {
                let range = d.window.range();
                let V = eigen.vectors.as_ref().subcols(range.start, range.len());
                prop_assert_eq!(d.n_undefined, 0);
                for (found, truth) in numbers(d).into_iter().zip(long_way(&A, &B, V)) {
                    prop_assert!((found - truth).abs() <= 1e-10 * truth.abs().max(1e-3), "{found:e}, not {truth:e}");
                }
            }
        }

        #[test]
        fn indefinite_couplings_equal_their_definition(
            alpha in prop::collection::vec(-1.0f64..1.0, 4..60),
            seed in any::<u64>(),
        ) {
            let eigen = eigh(prescribed(&alpha, seed).as_ref()).unwrap();
            let pair = InEigenbasis::new(prescribed(&alpha, !seed).as_ref(), &eigen).unwrap();
            let P = pair.order();
            let found = pair.diagnostics(&Windows::PAPER).full;
            let K = pair.K().to_owned();
            let [.., mean, variance] = long_way(&K, &K, Mat::<f64>::identity(P, P).as_ref());
            prop_assert!((found.coupling_mean.unwrap() - mean).abs() <= 1e-10 * mean);
            prop_assert!((found.coupling_variance.unwrap() - variance).abs() <= 1e-10 * (variance + mean * mean));
            let R = pair.coupling().R;
            for i in 0..P {
                for j in 0..P {
                    let truth = K[(i, j)] / (K[(i, i)] * K[(j, j)]).abs().sqrt();
                    prop_assert!((R[(i, j)] - truth).abs() <= 1e-13 * truth.abs());
                }
            }
            prop_assert!(R.transpose() == R.as_ref());
        }
    }

    #[test]
    fn bit_identical_for_any_number_of_threads() {
        let alpha: Vec<f64> = (0..300).map(|k| 0.97_f64.powi(k)).collect();
        let eigen = eigh(prescribed(&alpha, 1).as_ref()).unwrap();
        let A = prescribed(&alpha, 2);
        let windows = Windows { top: 20, bulk_end: 200 };
        let [one, others @ ..] = by_threads(|| InEigenbasis::new(A.as_ref(), &eigen).unwrap().diagnostics(&windows));
        assert!(others.iter().all(|other| *other == one));
    }

    #[test]
    fn a_matrix_commutes_with_itself() {
        let alpha = [3.0, 2.0, -1.0, 0.5];
        let A = prescribed(&alpha, 3);
        let found = InEigenbasis::new(A.as_ref(), &eigh(A.as_ref()).unwrap()).unwrap().diagnostics(&Windows::PAPER);
        assert!(
            numbers(&found.full).into_iter().zip([0.0, 0.0, 0.0, 1.0, 0.0, 0.0]).all(|(x, y)| (x - y).abs() < 1e-14)
        );
        assert_eq!((found.top.as_ref(), found.bulk.as_ref()), (Some(&found.full), None));
    }

    #[test]
    fn equal_eigenvalues_commute_with_anything() {
        let A = prescribed(&[3.0, 2.0, -1.0], 3);
        let eigen = eigh(Mat::<f64>::identity(3, 3).as_ref()).unwrap();
        let found = InEigenbasis::new(A.as_ref(), &eigen).unwrap().diagnostics(&Windows::PAPER).full;
        assert_eq!(found.commutator, Some(0.0));
        assert!(found.leakage.unwrap() > 0.1);
    }

    #[test]
    fn directions_without_coupling_are_counted_and_left_out() {
        // Direction 1 has K_ii = 0, direction 3 a K_ii that is rounding.
        let mut K = Mat::from_fn(4, 4, |i, j| if i == j { 4.0 } else { 1.0 });
        K[(1, 1)] = 0.0;
        K[(3, 3)] = -1e-15;
        let values = vec![4.0, 3.0, 2.0, 1.0];
        let pair = InEigenbasis::of_checked(K, values);
        let windows = Windows { top: 1, bulk_end: 2 };
        let found = pair.diagnostics(&windows);
        assert_eq!((found.full.n_undefined, found.full.coupling_mean), (2, Some(0.25)));
        assert_eq!(found.full.coupling_variance, Some(0.0));
        let Coupling { R, undefined } = pair.coupling();
        assert_eq!(undefined, [1, 3]);
        assert_eq!((R[(0, 0)], R[(2, 0)], R[(1, 1)], R[(1, 2)], R[(3, 3)]), (1.0, 0.25, 0.0, 0.0, 0.0));
        // One direction has no off-diagonal; a zero block has no scale.
        let top = found.top.unwrap();
        assert_eq!((top.commutator, top.leakage, top.recovery), (Some(0.0), None, Some(1.0)));
        assert_eq!((top.coupling_mean, top.coupling_variance, top.n_undefined), (None, None, 0));
        let bulk = found.bulk.unwrap();
        assert_eq!((bulk.commutator, bulk.leakage, bulk.recovery, bulk.n_undefined), (None, None, None, 1));
        assert_eq!((bulk.coupling_mean, bulk.coupling_variance), (None, None));
    }

    #[test]
    fn bad_matrices_are_named() {
        let eigen = eigh(faer::mat![[2.0, 1.0], [1.0, 2.0]].as_ref()).unwrap();
        let error = |A: Mat<f64>| InEigenbasis::new(A.as_ref(), &eigen).unwrap_err();
        assert_eq!(error(Mat::zeros(2, 3)), DiagnosticError::Shape { order: 2, nrows: 2, ncols: 3 });
        assert_eq!(error(Mat::zeros(3, 3)), DiagnosticError::Shape { order: 2, nrows: 3, ncols: 3 });
        assert_eq!(error(Mat::zeros(2, 2)), DiagnosticError::Norm { matrix: "A", norm: 0.0 });
        let huge = Mat::from_fn(2, 2, |_, _| 1.7e308);
        assert_eq!(error(huge), DiagnosticError::Norm { matrix: "A", norm: f64::INFINITY });
        let DiagnosticError::Asymmetric { row, column, value, mirror, .. } = error(faer::mat![[1.0, 2.0], [3.0, 1.0]])
        else {
            panic!("an asymmetric matrix");
        };
        assert_eq!((row, column, value, mirror), (1, 0, 3.0, 2.0));
        let nan = error(faer::mat![[1.0, f64::NAN], [3.0, 1.0]]);
        assert!(matches!(nan, DiagnosticError::NotFinite { row: 0, column: 1, value } if value.is_nan()));
        let zero = eigh(Mat::zeros(2, 2).as_ref()).unwrap();
        let error = InEigenbasis::new(Mat::<f64>::identity(2, 2).as_ref(), &zero).unwrap_err();
        assert_eq!(error, DiagnosticError::Norm { matrix: "B", norm: 0.0 });
    }
}
