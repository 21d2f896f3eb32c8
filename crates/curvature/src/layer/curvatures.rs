//! `S_p` of one sample after the other.

use super::AnalysedLayer;
use super::network_pass::NetworkPass;
use faer::MatRef;
use superlinear_nets::{PreActivation, Tail};

/// What a sample's gradient `g_p = δ_p ⊗ a_p` and Hessian `h_p = S_p ⊗ a_p a_pᵀ` are made of (`MATH [1]`).
#[derive(Clone, Copy, Debug)]
pub struct SampleFactors<'a> {
    /// Which sample.
    pub p: usize,
    /// `a_p`, length `d_in`.
    pub a: &'a [f64],
    /// `δ_p`, length `d_out`.
    pub delta: &'a [f64],
    /// `S_p`, `d_out × d_out`, symmetric to the last bit, possibly indefinite.
    pub S: MatRef<'a, f64>,
}

impl SampleFactors<'_> {
    /// `‖a_p‖²`.
    pub fn norm_squared(&self) -> f64 {
        self.a.iter().map(|a| a * a).sum()
    }
}

/// One worker's reader of the `S_p` of an [`AnalysedLayer`], with the buffers that it takes to compute them.
///
/// Samples may be asked for in any order; those that stand behind each other are best asked for so.
#[derive(Clone, Debug)]
pub struct Curvatures<'l> {
    layer: &'l AnalysedLayer,
    reader: Reader<'l>,
}

#[derive(Clone, Debug)]
enum Reader<'l> {
    Computed { pass: &'l NetworkPass, tail: Tail<'l, f64>, at: Box<PreActivation<f64>> },
    Given { held: &'l [f64], p: usize },
}

impl<'l> Curvatures<'l> {
    pub(super) fn computed(layer: &'l AnalysedLayer, pass: &'l NetworkPass) -> Self {
        let tail = pass.tail();
        Self { layer, reader: Reader::Computed { pass, tail, at: Box::new(tail.buffers()) } }
    }

    /// Of `N` matrices that stand behind each other.
    pub(super) fn given(layer: &'l AnalysedLayer, held: &'l [f64]) -> Self {
        Self { layer, reader: Reader::Given { held, p: 0 } }
    }

    /// The factors of sample `p`. No allocation.
    ///
    /// # Panics
    /// When there is no such sample.
    #[track_caller]
    pub fn at(&mut self, p: usize) -> SampleFactors<'_> {
        let (a, delta) = (self.layer.a(p), self.layer.delta(p));
        match &mut self.reader {
            Reader::Computed { pass, tail, at } => tail.curvature(pass.z(p), pass.labels()[p], at),
            Reader::Given { p: here, .. } => *here = p,
        }
        SampleFactors { p, a, delta, S: self.S() }
    }

    /// `S` of the sample that was asked for last.
    pub(crate) fn S(&self) -> MatRef<'_, f64> {
        match &self.reader {
            Reader::Computed { at, .. } => at.S.as_ref(),
            Reader::Given { held, p } => {
                let d_out = self.layer.d_out();
                let size = d_out * d_out;
                MatRef::from_column_major_slice(&held[p * size..(p + 1) * size], d_out, d_out)
            }
        }
    }
}
