//! What is joint about a spectrum over several layers: how much of its directions lies in each, and what each gives alone.

use super::subject::Subject;
use super::{OperatorName, Question};
use crate::parameters;
use crate::record::LayerRecord;
use superlinear_curvature::Selection;
use superlinear_nets::Layer;
use superlinear_spectra::Lanczos;
use superlinear_stats::{FitConfig, PowerLawFit, loglog};

/// One of the selected layers.
#[derive(Debug)]
pub struct LayerShare {
    /// `fc2`.
    pub name: String,
    /// Of each direction, the squared norm of its part in this layer; over all layers they add up to 1.
    pub shares: Vec<f64>,
    /// The layer's own exponents over as many directions of its own, where the run has analysed it.
    pub alone: Option<Alone>,
}

/// Exponents in the eigenbasis of a layer's own `H`, from the run's record.
#[derive(Debug)]
pub struct Alone {
    /// `C` on `H`.
    pub c: PowerLawFit,
    /// `M₂` on `H`.
    pub m2: PowerLawFit,
}

/// The selected layers, first to last; none when there is only one.
pub(super) fn by_layer(
    question: &Question,
    subject: &Subject,
    selection: &Selection,
    top: &Lanczos,
) -> Vec<LayerShare> {
    let architecture = subject.net.architecture();
    let vectors = top.vectors();
    let records = if question.operator == OperatorName::Hessian && question.samples.is_none() {
        &subject.records[..]
    } else {
        // Those records are of the Hessian, over all images.
        &[]
    };
    let dense: Vec<usize> = (0..architecture.layers().len())
        .filter(|&position| matches!(architecture.layers()[position], Layer::Dense { .. }))
        .collect();
    let mut layers = Vec::new();
    for (position, name) in parameters::layer_names(architecture) {
        let own: Vec<_> =
            selection.parameters().iter().zip(selection.offsets()).filter(|(at, _)| at.layer == position).collect();
        if own.is_empty() {
            continue;
        }
        let share = |i: usize| {
            let parts = own.iter().map(|(_, range)| vectors.col(i).subrows(range.start, range.len()));
            parts.map(|part| part.squared_norm_l2()).sum()
        };
        // What is recorded is the weight alone.
        let whole = own.len() == 1;
        let record = records.iter().find(|record| whole && dense.get(record.dense) == Some(&position));
        let alone = record.and_then(|record| alone(record, top.pairs.len()));
        layers.push(LayerShare { name, shares: (0..top.pairs.len()).map(share).collect(), alone });
    }
    if layers.len() > 1 { layers } else { Vec::new() }
}

/// Over the leading directions above the noise, at most `k`; `None` where they carry no fit.
fn alone(record: &LayerRecord, k: usize) -> Option<Alone> {
    let config = FitConfig { noise_floor: Some(record.noise_floor), ..FitConfig::top(k) };
    let fit = |y: &[f64]| loglog::fit_with(&record.h, y, &config).ok();
    Some(Alone { c: fit(&record.c)?, m2: fit(&record.m2)? })
}
