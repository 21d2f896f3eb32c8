//! Dense moments in parameters of a graph, while they fit.

use super::factors::Uses;
use super::loss::{GraphCurvatureError, GraphLoss, finite_matrix};
use super::single_product::SingleProductSamples;
use crate::SpectraAlong;
use crate::joint::mirror;
use crate::panels::{PANEL, panel_moment};
use crate::spectra_along::{in_orthonormal, of_factors, of_products, side_by_side, spectra_along};
use faer::linalg::matmul::matmul;
use faer::prelude::Reborrow;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::ops::ControlFlow;
use superlinear_nets::{
    GraphLayer, GraphPasses, GraphSamples, GraphSums, Model, Objective, SingleProductLayer, Variables,
};

/// `H`, `M₂` and `Σ` of a model over samples, `P × P`, in the parameters of [`Variables`] and their order.
///
/// Means over the samples, exact, and the same to the last bit for any number of threads of the current rayon pool.
/// What a matrix takes is held to the limit that the caller gives.
#[derive(Debug)]
pub struct GraphMoments<'a, S> {
    /// Without the penalty, which is added at the end.
    of: GraphLoss<'a, f64, S>,
    l2: f64,
    route: Route,
}

/// How one sample's Hessian is computed.
#[derive(Debug)]
enum Route {
    Single(SingleProductLayer),
    /// `JᵀQJ`, with so many outputs.
    Outputs(usize),
    Factors(Uses),
    Tangents,
}

impl<'a, S: GraphSamples<f64>> GraphMoments<'a, S> {
    /// Of the mean loss over all of `samples`, which pass through the model once.
    ///
    /// # Errors
    /// As [`GraphLoss::new`].
    pub fn new(
        model: &'a Model<f64>,
        objective: Objective,
        samples: &'a S,
        variables: Variables,
    ) -> Result<Self, GraphCurvatureError> {
        let l2 = objective.l2;
        let of = GraphLoss::new(model, Objective { l2: 0.0, ..objective.clone() }, samples, variables)?;
        let graph = model.graph();
        let mut tensors = of.variables().tensors();
        let single = match (tensors.next(), tensors.next()) {
            (Some(weight), None) => {
                GraphLayer::of(graph, graph.name(weight)).and_then(|layer| layer.single_product(graph)).ok()
            }
            _ => None,
        };
        drop(tensors);
        let n_out: usize = graph.shape(graph.output()).iter().product();
        let straight = GraphPasses::<f64>::new(graph, objective, of.variables().clone()).is_straight_behind();
        let route = match (single, Uses::of(&of)) {
            (Some(layer), _) => Route::Single(layer),
            (None, uses) if straight && n_out < uses.as_ref().map_or(of.n_params(), Uses::rank) => {
                Route::Outputs(n_out)
            }
            (None, Some(uses)) if uses.rank() < of.n_params() => Route::Factors(uses),
            _ => Route::Tangents,
        };
        Ok(Self { of, l2, route })
    }

    /// `P`.
    pub fn n_params(&self) -> usize {
        self.of.n_params()
    }

    /// `N`.
    pub fn n_samples(&self) -> usize {
        self.of.n_samples()
    }

    /// Columns that one sample takes in a panel.
    fn width(&self) -> usize {
        match &self.route {
            Route::Single(_) => 1,
            Route::Outputs(n_out) => *n_out,
            Route::Factors(uses) => uses.rank(),
            Route::Tangents => self.n_params(),
        }
    }

    /// Bytes that a moment of Hessians takes: `P²` numbers, and the panels of a few samples.
    pub fn hessian_bytes(&self) -> u64 {
        let (P, width) = (self.n_params() as u64, self.width() as u64);
        let together = (PANEL as u64).div_ceil(width).min(self.n_samples() as u64);
        let panels = match self.route {
            Route::Single(_) => P * P,
            _ => 2 * P * width * together,
        };
        8 * (P * P + panels)
    }

    /// Bytes that [`GraphMoments::noise_covariance`] takes: `P²` numbers, and a panel of gradients.
    pub fn noise_bytes(&self) -> u64 {
        let P = self.n_params() as u64;
        8 * P * (P + PANEL.min(self.n_samples()) as u64)
    }

    fn check(&self, needed: u64, limit: u64) -> Result<(), GraphCurvatureError> {
        match needed <= limit {
            true => Ok(()),
            false => Err(GraphCurvatureError::Memory { n_params: self.n_params(), needed, limit }),
        }
    }

    /// The Hessian `H = E_p[h_p]`.
    ///
    /// # Errors
    /// When it would take more than `limit` bytes, or is not finite.
    pub fn hessian(&self, limit: u64) -> Result<Mat<f64>, GraphCurvatureError> {
        self.check(self.hessian_bytes(), limit)?;
        let mut H = self.plain_hessian()?;
        (0..H.nrows()).for_each(|i| H[(i, i)] += self.l2);
        Ok(H)
    }

    fn plain_hessian(&self) -> Result<Mat<f64>, GraphCurvatureError> {
        let P = self.n_params();
        let H = match &self.route {
            Route::Single(layer) => self.single(*layer)?.hessian(),
            Route::Outputs(n_out) => self.moment(
                *n_out,
                || self.passes(),
                |passes, p, mut left, mut right| {
                    let Q = self.jacobian(passes, p, right.as_mut());
                    matmul(left.as_mut(), Accum::Replace, &right, &Q, 1.0, Par::Seq);
                },
            ),
            Route::Factors(uses) => self.moment(
                uses.rank(),
                || uses.passes(&self.of),
                |passes, p, mut left, mut right| {
                    let (U, C) = uses.factors(&self.of, passes, p);
                    matmul(left.as_mut(), Accum::Replace, &U, &C, 1.0, Par::Seq);
                    right.copy_from(&U);
                },
            ),
            Route::Tangents => {
                let mut H = self.of.hessian().product(Mat::<f64>::identity(P, P).as_ref())?;
                for j in 0..P {
                    for i in j + 1..P {
                        H[(i, j)] = 0.5 * (H[(i, j)] + H[(j, i)]);
                    }
                }
                mirror(&mut H);
                H
            }
        };
        finite_matrix("Hessian", H.as_ref())?;
        Ok(H)
    }

    /// `M₂ = E_p[h_p²]`, of the penalised `h_p`.
    ///
    /// # Errors
    /// When it would take more than `limit` bytes, or is not finite.
    pub fn hessian_second_moment(&self, limit: u64) -> Result<Mat<f64>, GraphCurvatureError> {
        self.check(self.hessian_bytes() + if self.l2 == 0.0 { 0 } else { self.hessian_bytes() }, limit)?;
        let mut M2 = match &self.route {
            Route::Single(layer) => self.single(*layer)?.second_moment(),
            Route::Outputs(n_out) => self.moment(
                *n_out,
                || self.passes(),
                |passes, p, mut left, mut right| {
                    let Q = self.jacobian(passes, p, right.as_mut());
                    // h² = Jᵀ (Q J Jᵀ Q) J.
                    let middle = &Q * (right.rb().transpose() * &right) * &Q;
                    matmul(left.as_mut(), Accum::Replace, &right, &middle, 1.0, Par::Seq);
                },
            ),
            Route::Factors(uses) => self.moment(
                uses.rank(),
                || uses.passes(&self.of),
                |passes, p, mut left, mut right| {
                    let (U, C) = uses.factors(&self.of, passes, p);
                    // h² = U (C UᵀU C) Uᵀ.
                    let middle = &C * (U.transpose() * &U) * &C;
                    matmul(left.as_mut(), Accum::Replace, &U, &middle, 1.0, Par::Seq);
                    right.copy_from(&U);
                },
            ),
            Route::Tangents => self.moment(
                self.n_params(),
                || self.passes(),
                |passes, p, mut left, mut right| {
                    passes.evaluate(self.of.model, self.of.samples, p..p + 1).expect("samples were passed before");
                    passes.sample_hessian(self.of.model, left.as_mut());
                    right.copy_from(&left);
                },
            ),
        };
        if self.l2 != 0.0 {
            // (h + λ)² = h² + 2λ h + λ².
            let H = self.plain_hessian()?;
            M2 += faer::Scale(2.0 * self.l2) * H;
            (0..M2.nrows()).for_each(|i| M2[(i, i)] += self.l2 * self.l2);
        }
        finite_matrix("second moment", M2.as_ref())?;
        Ok(M2)
    }

    /// `Σ = E_p[(g_p − ḡ)(g_p − ḡ)ᵀ]`: centred before it is multiplied. No penalty changes it.
    ///
    /// # Errors
    /// When it would take more than `limit` bytes, or is not finite.
    pub fn noise_covariance(&self, limit: u64) -> Result<Mat<f64>, GraphCurvatureError> {
        self.check(self.noise_bytes(), limit)?;
        let mean = self.of.gradient()?;
        let Sigma = self.moment(
            1,
            || self.passes(),
            |passes, p, mut left, mut right| {
                let mut sums = GraphSums::zeros(self.of.variables(), 1);
                let loss = passes.gradient(self.of.model, self.of.samples, p..p + 1, &mut sums);
                loss.expect("samples were passed before");
                left.copy_from(faer::Scale(-1.0) * MatRef::from_column_major_slice(&mean, mean.len(), 1));
                sums.add_to(self.of.variables(), 1.0, left.as_mut());
                right.copy_from(&left);
            },
        );
        finite_matrix("noise covariance", Sigma.as_ref())?;
        Ok(Sigma)
    }

    /// The eigenpairs of every `h_p`, without the penalty, along the columns of `vectors` (`P × K`): `κ_max`, the
    /// diagonal of `E_p[|h_p|]`, and the spectra of the samples `keep`.
    ///
    /// One eigenproblem a sample, of order [`spectrum_order`](Self::spectrum_order). Bit-identical for any number of
    /// threads. `listen` hears how many more samples are done; `None` if it breaks.
    ///
    /// # Errors
    /// When an activity or gradient is not finite.
    ///
    /// # Panics
    /// When `vectors` has not `P` rows.
    #[track_caller]
    pub fn spectra_along(
        &self,
        vectors: MatRef<'_, f64>,
        keep: &[usize],
        listen: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<SpectraAlong>, GraphCurvatureError> {
        let (P, N, K) = (self.n_params(), self.n_samples(), vectors.ncols());
        assert_eq!(vectors.nrows(), P, "vectors have an entry a parameter");
        if let Route::Single(layer) = &self.route {
            let single = self.single(*layer)?;
            let own = single.layer_use();
            // As P = d_out · d_in, output by output, whatever the order of the weight's entries.
            let V = Mat::from_fn(P, K, |row, k| vectors[(own.weight(row / own.d_in, row % own.d_in), k)]);
            return spectra_along((N, K), keep, listen, |samples| {
                Ok(of_products(&single.hessians(samples), V.as_ref()))
            });
        }
        spectra_along((N, K), keep, listen, |samples| {
            let samples = samples.into_par_iter();
            let found = match &self.route {
                Route::Outputs(n_out) => samples
                    .map_init(
                        || (self.passes(), Mat::zeros(P, *n_out)),
                        |(passes, J), p| {
                            let Q = self.jacobian(passes, p, J.as_mut());
                            of_factors(J.as_ref(), Q.as_ref(), vectors)
                        },
                    )
                    .collect(),
                Route::Factors(uses) => samples
                    .map_init(
                        || uses.passes(&self.of),
                        |passes, p| {
                            let (U, C) = uses.factors(&self.of, passes, p);
                            of_factors(U.as_ref(), C.as_ref(), vectors)
                        },
                    )
                    .collect(),
                Route::Tangents | Route::Single(_) => samples
                    .map_init(
                        || (self.passes(), Mat::zeros(P, P)),
                        |(passes, h), p| {
                            let (model, samples) = (self.of.model, self.of.samples);
                            passes.evaluate(model, samples, p..p + 1).expect("samples were passed before");
                            passes.sample_hessian(model, h.as_mut());
                            in_orthonormal(&vectors.to_owned(), h)
                        },
                    )
                    .collect(),
            };
            Ok(side_by_side(K, found))
        })
    }

    /// The order of the eigenproblem that one sample takes in [`spectra_along`](Self::spectra_along).
    pub fn spectrum_order(&self) -> usize {
        match &self.route {
            Route::Single(layer) => layer.layer_use().d_out,
            _ => self.width().min(self.n_params()),
        }
    }

    fn passes(&self) -> GraphPasses<f64> {
        GraphPasses::new(self.of.model.graph(), self.of.objective.clone(), self.of.variables().clone())
    }

    /// Writes `J_pᵀ`, `P × n_out`; returns `Q_p`.
    fn jacobian(&self, passes: &mut GraphPasses<f64>, p: usize, mut out: MatMut<'_, f64>) -> Mat<f64> {
        passes.evaluate(self.of.model, self.of.samples, p..p + 1).expect("samples were passed before");
        let mut sums = GraphSums::zeros(self.of.variables(), out.ncols());
        passes.jacobian(self.of.model, &mut sums);
        out.fill(0.0);
        sums.add_to(self.of.variables(), 1.0, out);
        let Q = passes.output_hessian(0);
        faer::Scale(0.5) * (&Q + Q.transpose())
    }

    fn single(&self, layer: SingleProductLayer) -> Result<SingleProductSamples<'a, S>, GraphCurvatureError> {
        SingleProductSamples::collect(self.of.model, layer, self.of.objective.clone(), self.of.samples)
    }

    /// [`panel_moment`] over the samples.
    fn moment<W>(
        &self,
        width: usize,
        worker: impl Fn() -> W + Sync + Send,
        fill: impl Fn(&mut W, usize, MatMut<'_, f64>, MatMut<'_, f64>) + Sync + Send,
    ) -> Mat<f64> {
        panel_moment(self.n_params(), self.n_samples(), width, worker, fill)
    }
}
