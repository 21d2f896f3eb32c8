//! Where a tensor's matrices come from: a network with samples, or factors that are given.

use super::Matrices;
use crate::observer::Observer;
use crate::spectrum::leading_pairs;
use anyhow::Result;
use faer::{Mat, MatMut, MatRef};
use std::ops::ControlFlow;
use superlinear_curvature::{
    Diagonal, DiagonalsAlong, FactorMoments, GraphCurvatureError, GraphLoss, GraphMoments, PositionFactors,
    SpectraAlong,
};
use superlinear_nets::{GraphSamples, Model, Objective, Variables};
use superlinear_spectra::{FnOp, Lanczos};

/// `H`, `M₂` and `Σ` of one tensor, as matrices, operators and diagonals.
pub(super) trait Source {
    /// `P`.
    fn n_params(&self) -> usize;

    /// The matrices; `step` hears of each and may stop it.
    fn matrices(&self, step: &dyn Fn(&str) -> Result<()>) -> Result<Matrices>;

    /// The `K` largest eigenpairs of `H` by Lanczos.
    fn leading(&self, K: usize, tol: f64, seed: u64, observer: &dyn Observer) -> Result<Lanczos>;

    /// Diagonals along vectors.
    fn diagonals(
        &self,
        vectors: MatRef<'_, f64>,
        listen: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<DiagonalsAlong, GraphCurvatureError>;

    /// The spectra of single samples' Hessians.
    fn spectra(&self) -> Result<Box<dyn Spectra + '_>, GraphCurvatureError>;
}

/// Spectra of single samples' Hessians.
pub(super) trait Spectra {
    /// The order of the eigenproblem that a sample takes.
    fn order(&self) -> usize;

    /// Along vectors, with the eigenpairs of the samples `keep`; `None` if `listen` breaks.
    fn along(
        &self,
        vectors: MatRef<'_, f64>,
        keep: &[usize],
        listen: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<SpectraAlong>, GraphCurvatureError>;
}

impl<S: GraphSamples<f64>> Spectra for GraphMoments<'_, S> {
    fn order(&self) -> usize {
        self.spectrum_order()
    }

    fn along(
        &self,
        vectors: MatRef<'_, f64>,
        keep: &[usize],
        listen: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<SpectraAlong>, GraphCurvatureError> {
        self.spectra_along(vectors, keep, listen)
    }
}

impl Spectra for &PositionFactors {
    fn order(&self) -> usize {
        self.spectrum_order()
    }

    fn along(
        &self,
        vectors: MatRef<'_, f64>,
        keep: &[usize],
        listen: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<SpectraAlong>, GraphCurvatureError> {
        Ok(self.spectra_along(vectors, keep, listen))
    }
}

/// A tensor of a network.
pub(super) struct OfGraph<'a, S> {
    model: &'a Model<f64>,
    objective: &'a Objective,
    samples: &'a S,
    loss: GraphLoss<'a, f64, S>,
}

impl<'a, S: GraphSamples<f64>> OfGraph<'a, S> {
    pub(super) fn new(
        (model, objective, samples): (&'a Model<f64>, &'a Objective, &'a S),
        variables: Variables,
    ) -> Result<Self, GraphCurvatureError> {
        Ok(Self { model, objective, samples, loss: GraphLoss::new(model, objective.clone(), samples, variables)? })
    }
}

impl<S: GraphSamples<f64>> Source for OfGraph<'_, S> {
    fn n_params(&self) -> usize {
        self.loss.n_params()
    }

    fn matrices(&self, step: &dyn Fn(&str) -> Result<()>) -> Result<Matrices> {
        let variables = self.loss.variables().clone();
        let moments = GraphMoments::new(self.model, self.objective.clone(), self.samples, variables)?;
        // What the question allows is what was compared before; the moment's own panels are small beside it.
        let limit = u64::MAX;
        let H = moments.hessian(limit)?;
        step("M₂")?;
        let M2 = moments.hessian_second_moment(limit)?;
        step("Σ")?;
        Ok(Matrices { H, M2, Sigma: moments.noise_covariance(limit)? })
    }

    fn leading(&self, K: usize, tol: f64, seed: u64, observer: &dyn Observer) -> Result<Lanczos> {
        leading_pairs(K, tol, seed, &self.loss.hessian(), observer)
    }

    fn diagonals(
        &self,
        vectors: MatRef<'_, f64>,
        listen: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<DiagonalsAlong, GraphCurvatureError> {
        self.loss.diagonals_along_with(vectors, listen)
    }

    fn spectra(&self) -> Result<Box<dyn Spectra + '_>, GraphCurvatureError> {
        let variables = self.loss.variables().clone();
        Ok(Box::new(GraphMoments::new(self.model, self.objective.clone(), self.samples, variables)?))
    }
}

/// A layer of given factors.
pub(super) struct OfFactors<'a>(pub(super) &'a PositionFactors);

impl Source for OfFactors<'_> {
    fn n_params(&self) -> usize {
        self.0.n_params()
    }

    fn matrices(&self, step: &dyn Fn(&str) -> Result<()>) -> Result<Matrices> {
        let FactorMoments { H, M2, Sigma, .. } = FactorMoments::of(self.0);
        step("M₂")?;
        step("Σ")?;
        Ok(Matrices { H, M2, Sigma })
    }

    fn leading(&self, K: usize, tol: f64, seed: u64, observer: &dyn Observer) -> Result<Lanczos> {
        let product = |mut out: MatMut<'_, f64>, V: MatRef<'_, f64>| {
            let product: Mat<f64> = self.0.product(Diagonal::Hessian, V);
            out.copy_from(&product);
        };
        leading_pairs(K, tol, seed, &FnOp::new(self.n_params(), product), observer)
    }

    fn diagonals(
        &self,
        vectors: MatRef<'_, f64>,
        listen: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<DiagonalsAlong, GraphCurvatureError> {
        self.0.diagonals_along(vectors, listen)
    }

    fn spectra(&self) -> Result<Box<dyn Spectra + '_>, GraphCurvatureError> {
        Ok(Box::new(self.0))
    }
}
