//! The paper's estimator of the noise beside the exact covariance: mini-batches of one shuffled epoch at a trained
//! network, read along the eigenvectors of `H`.

use crate::analyse::LayerMatrices;
use crate::spec::RunSpec;
use crate::streams::{Stream, generator};
use anyhow::{Context, Result};
use superlinear_noise::minibatch_covariance;
use superlinear_spectra::diagonal_in_basis;

/// `v_iᵀ Ĉ v_i` along all eigenvectors of `H`, for each of `n_epochs` shuffled epochs of batches of the run's size.
///
/// # Errors
/// When a batch is larger than the samples are.
pub fn one_epoch_diagonals(spec: &RunSpec, matrices: &LayerMatrices, n_epochs: usize) -> Result<Vec<Vec<f64>>> {
    let mut order = generator(spec, Stream::Epochs);
    let mut diagonal = || {
        let covariance = minibatch_covariance(&matrices.layer, spec.batch, &mut order)
            .with_context(|| format!("{}: mini-batches", spec.id()))?;
        Ok(diagonal_in_basis(covariance.as_ref(), matrices.eigen.vectors.as_ref()))
    };
    (0..n_epochs).map(|_| diagonal()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::layer_matrices;
    use crate::images::load_dataset;
    use crate::plan::{Choice, Needs, Plan};
    use crate::record::Checkpoint;
    use superlinear_noise::{Sampling, batch_factor};

    #[test]
    fn epochs_agree_on_average_with_the_exact_covariance_without_replacement() {
        let text = r#"
            name = "one-epoch"
            [[runs]]
            data = "mnist"
            source = "embedded"
            network = "tiny"
            loss = "mse"
            classes = 3
            images = 40
            batch = 10
            epochs = 1
            directions = 20
        "#;
        let plan = Plan::parse("one-epoch.toml", text, None).unwrap();
        let spec = plan.runs(&Choice::default(), |_| Needs { run: true, ..Needs::default() }).unwrap().remove(0);
        let data = load_dataset(spec.dataset, spec.source, None).unwrap();
        let indices: Vec<usize> = (0..data.train.len()).filter(|&p| data.train.labels()[p] < 3).take(120).collect();
        let n_params = spec.architecture().n_params();
        let weights = (0..n_params).map(|k| 0.3 * (k as f32 * 1.7).sin()).collect();
        let checkpoint = Checkpoint { epoch: 1, weights };
        let matrices = layer_matrices(&spec, &indices, &checkpoint, spec.target_dense(), &data).unwrap();
        let factor = batch_factor(spec.batch, indices.len(), Sampling::WithoutReplacement).unwrap();
        let exact = diagonal_in_basis(matrices.Sigma.as_ref(), matrices.eigen.vectors.as_ref());
        let n_epochs = 400;
        let epochs = one_epoch_diagonals(&spec, &matrices, n_epochs).unwrap();
        assert_eq!(epochs, one_epoch_diagonals(&spec, &matrices, n_epochs).unwrap());
        for i in 0..5 {
            let mean = epochs.iter().map(|epoch| epoch[i]).sum::<f64>() / n_epochs as f64;
            // Each epoch has 11 free batches: a relative error of √(2/11), less in the mean.
            let ratio = mean / (factor * exact[i]);
            assert!((ratio - 1.0).abs() < 5.0 * (2.0 / 11.0 / n_epochs as f64).sqrt(), "direction {i}: {ratio}");
        }
    }
}
