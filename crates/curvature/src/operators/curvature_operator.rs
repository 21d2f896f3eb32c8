//! One curvature matrix as a linear operator.

use super::model_labels::{LogitScratch, ModelLabels};
use super::sum_over_samples::{Group, Layout, Part, has_convolution, mean_over_samples};
use super::{MeanLoss, OperatorError};
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::matmul::matmul;
use faer::matrix_free::LinOp;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use superlinear_nets::{BlockPasses, Samples, Scalar, Selection, Sums};

/// A symmetric `P × P` matrix that [`MeanLoss`] describes, known by its products with vectors.
///
/// A product with `K` vectors passes over the samples once (unless sums of `K` vectors would take more than half a
/// GiB), in blocks whose forward and reverse passes all vectors share. Parts of the samples run on the current rayon
/// pool, whatever `Par` an algorithm of faer hands on; the result is the same to the last bit for any number of
/// threads, though not for other groupings of the vectors. Buffers are kept for the next product, so
/// [`LinOp::apply_scratch`] asks for none; so is what the network gives for the samples, if that is half a GiB or less
/// of doubles, which saves later products the network's own passes.
///
/// [`LinOp::apply`] cannot fail and writes what it computes, finite or not; [`CurvatureOperator::product`] checks.
pub struct CurvatureOperator<'a, T, S> {
    of: MeanLoss<'a, T, S>,
    kind: Kind<T>,
    layout: Layout,
    kept: Mutex<Vec<Part<'a, T>>>,
}

/// Which matrix.
#[derive(Clone, Debug)]
pub(super) enum Kind<T> {
    Hessian,
    GaussNewton,
    Fisher,
    SampledFisher(ModelLabels<T>),
    EmpiricalFisher,
    /// With the mean gradient.
    NoiseCovariance(Vec<T>),
    SecondMoment,
}

impl<'a, T: Scalar, S: Samples<T>> CurvatureOperator<'a, T, S> {
    pub(super) fn new(of: MeanLoss<'a, T, S>, kind: Kind<T>) -> Self {
        let alone = matches!(kind, Kind::SecondMoment) && has_convolution(&of);
        let layout = Layout::of(&of, alone);
        Self { of, kind, layout, kept: Mutex::default() }
    }

    /// The parameters that it acts on.
    pub fn selection(&self) -> &Selection {
        self.of.selection()
    }

    /// `P`, its order.
    pub fn n_params(&self) -> usize {
        self.of.n_params()
    }

    /// What it is, for messages.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Hessian => "Hessian",
            Kind::GaussNewton => "Gauss–Newton",
            Kind::Fisher => "Fisher",
            Kind::SampledFisher(_) => "sampled Fisher",
            Kind::EmpiricalFisher => "empirical Fisher",
            Kind::NoiseCovariance(_) => "noise covariance",
            Kind::SecondMoment => "second moment",
        }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The products with the columns of `vectors`, `P × K`.
    ///
    /// # Errors
    /// When an entry of the result is infinite or NaN.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn product(&self, vectors: MatRef<'_, T>) -> Result<Mat<T>, OperatorError> {
        let mut out = Mat::zeros(self.n_params(), vectors.ncols());
        self.multiply(out.as_mut(), vectors);
        finite(self.name(), out)
    }

    /// Writes the products with the columns of `vectors` to `out`, both `P × K`.
    ///
    /// # Panics
    /// When the shapes are others.
    #[track_caller]
    pub fn multiply(&self, out: MatMut<'_, T>, vectors: MatRef<'_, T>) {
        assert_eq!(vectors.nrows(), self.n_params(), "vectors have an entry a selected parameter");
        assert!(out.nrows() == vectors.nrows() && out.ncols() == vectors.ncols(), "out has the shape of the vectors");
        // A product that another thread is busy with leaves this one to allocate its own.
        let mut kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let means = match &self.kind {
            Kind::NoiseCovariance(mean) => {
                let mean = MatRef::from_row_major_slice(mean, 1, mean.len());
                let mut means = Mat::zeros(1, vectors.ncols());
                matmul(means.as_mut(), Accum::Replace, mean, vectors, T::ONE, Par::Seq);
                (0..means.ncols()).map(|k| means[(0, k)]).collect()
            }
            _ => Vec::new(),
        };
        let worker = || Worker {
            logits: LogitScratch::new(self.of.net.architecture().n_out()),
            matrix: Mat::zeros(self.of.net.architecture().n_out(), self.of.net.architecture().n_out()),
            moved: Mat::new(),
        };
        mean_over_samples(
            &self.of,
            self.layout,
            vectors,
            out,
            &mut kept,
            worker,
            |worker, passes, first, group, sums| {
                self.add_block(worker, passes, first - self.of.range.start, group, &means, sums);
            },
        );
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Adds what one block gives for a group of vectors; `first` counts from the operator's first sample.
    fn add_block(
        &self,
        worker: &mut Worker<T>,
        passes: &mut BlockPasses<'a, T>,
        first: usize,
        group: &Group<T>,
        means: &[T],
        sums: &mut Sums<T>,
    ) {
        let directions = &group.directions;
        match &self.kind {
            Kind::Hessian => passes.hessian(directions, sums),
            Kind::SecondMoment => passes.squared_hessian(directions, sums),
            Kind::EmpiricalFisher | Kind::NoiseCovariance(_) => {
                let mean = |k: usize| means.get(group.first + k).copied().unwrap_or(T::ZERO);
                passes.through_logits(
                    directions,
                    |at, mut moved| {
                        for k in 0..moved.ncols() {
                            let moved = moved.as_mut().col_mut(k);
                            let products = at.gradient.iter().zip(moved.as_ref().iter()).map(|(&g, &f)| g * f);
                            let along = products.sum::<T>() - mean(k);
                            moved.iter_mut().zip(at.gradient).for_each(|(out, &g)| *out = along * g);
                        }
                    },
                    sums,
                );
            }
            Kind::GaussNewton | Kind::Fisher | Kind::SampledFisher(_) => passes.through_logits(
                directions,
                |at, mut moved| {
                    match &self.kind {
                        Kind::SampledFisher(labels) => {
                            labels.second_moment(first + at.p, at.logits, &mut worker.logits, worker.matrix.as_mut());
                        }
                        _ => {
                            let probabilities = &mut worker.logits.probabilities;
                            self.of.loss.gauss_newton(at.logits, at.label, probabilities, worker.matrix.as_mut());
                        }
                    }
                    worker.moved.resize_with(moved.nrows(), moved.ncols(), |_, _| T::ZERO);
                    worker.moved.copy_from(&moved);
                    matmul(moved.as_mut(), Accum::Replace, &worker.matrix, &worker.moved, T::ONE, Par::Seq);
                },
                sums,
            ),
        }
    }
}

/// `products` of the operator that is called so, if all its entries are finite.
pub(super) fn finite<T: Scalar>(operator: &'static str, products: Mat<T>) -> Result<Mat<T>, OperatorError> {
    for (vector, column) in products.col_iter().enumerate() {
        if let Some((entry, value)) = column.iter().enumerate().find(|(_, x)| !x.finite()) {
            return Err(OperatorError::NotFinite { operator, vector, entry, value: value.f64() });
        }
    }
    Ok(products)
}

/// Scratch of one task.
#[derive(Debug)]
struct Worker<T> {
    logits: LogitScratch<T>,
    matrix: Mat<T>,
    moved: Mat<T>,
}

impl<T: Scalar, S: Samples<T>> LinOp<T> for CurvatureOperator<'_, T, S> {
    fn apply_scratch(&self, _rhs_ncols: usize, _par: Par) -> StackReq {
        StackReq::EMPTY
    }

    fn nrows(&self) -> usize {
        self.n_params()
    }

    fn ncols(&self) -> usize {
        self.n_params()
    }

    #[track_caller]
    fn apply(&self, out: MatMut<'_, T>, rhs: MatRef<'_, T>, _par: Par, _stack: &mut MemStack) {
        self.multiply(out, rhs);
    }

    #[track_caller]
    fn conj_apply(&self, out: MatMut<'_, T>, rhs: MatRef<'_, T>, _par: Par, _stack: &mut MemStack) {
        self.multiply(out, rhs);
    }
}

impl<T, S> fmt::Debug for CurvatureOperator<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurvatureOperator").field("of", &self.of).field("layout", &self.layout).finish_non_exhaustive()
    }
}
