//! One run's weights, data and matrices, for NumPy and PyTorch.

use crate::analyse::{LayerMatrices, layer_matrices};
use crate::finished_run::{FinishedRun, FoundRun};
use crate::observer::Observer;
use crate::parameters::layer_names;
use crate::provenance::Provenance;
use crate::record::TrainingRecord;
use crate::spec::RunSpec;
use crate::spectrum::ORDER;
use anyhow::{Result, bail};
use faer::MatRef;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use superlinear_curvature::AnalysedLayer;
use superlinear_datasets::Normalisation;
use superlinear_nets::{Architecture, Layer};
use superlinear_noise::{Sampling, noise_covariance};
use superlinear_store::array::ArrayView;
use superlinear_store::npz::Compression;
use superlinear_store::staged::{StagedDir, What};
use superlinear_store::{json, npz, safetensors};

/// The settings of the run, for a person.
const MANIFEST: &str = "manifest.json";

/// The analysed layer's factors, which [`answer_factors`](crate::model_analysis::answer_factors) takes.
pub const FACTORS: &str = "factors.npz";

/// Of which images the factors of the analysed layer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorsOf {
    /// Of all training images.
    All,
    /// Of the first so many, in the order of `data.npz`.
    First(NonZeroUsize),
}

/// What an export has written, in words.
pub const FILES: &str = "weights.safetensors, data.npz, moments.npz, awd.npz, manifest.json";

/// Writes run `id` of the results in `out` to the folder `to`, which may hold another run's if `force`; with `factors`
/// also those of the analysed layer.
///
/// # Errors
/// When there is no such run, it has fewer images than factors are asked of, its data are missing, the folder cannot be
/// written, or the observer stops it; nothing has been written then.
pub fn export(
    (out, id): (&Path, &str),
    (to, force): (&Path, bool),
    factors: Option<FactorsOf>,
    data_dir: Option<&Path>,
    provenance: Provenance,
    observer: &dyn Observer,
) -> Result<()> {
    let run = FoundRun::find(out, id)?;
    let staged = StagedDir::create(to, What { kind: "export", of: &format!("run {id}"), force })?;
    let FinishedRun { spec, training, trained, data, .. } = run.load(data_dir)?;
    let n_images = training.indices.len();
    let n_factors = match factors {
        Some(FactorsOf::First(n)) if n.get() > n_images => {
            bail!("--factors {n}: run {id} was trained on {n_images} images")
        }
        Some(FactorsOf::First(n)) => Some(n.get()),
        Some(FactorsOf::All) => Some(n_images),
        None => None,
    };
    let matrices = layer_matrices(&spec, &training.indices, &trained, spec.target_dense(), &data)?;
    observer.check()?;

    write_weights(&staged.path().join("weights.safetensors"), &spec, &trained.weights)?;
    let normalisation = Normalisation::of(spec.dataset);
    let images = data.train.shape().len();
    let mut x = vec![0.0_f32; images * training.indices.len()];
    let mut y = Vec::with_capacity(training.indices.len());
    for (x, &index) in x.chunks_exact_mut(images).zip(&training.indices) {
        normalisation.normalise_into(data.train.shape(), data.train.image(index), x);
        y.push(i64::from(data.train.labels()[index]));
    }
    let shape = [y.len(), images];
    let arrays = [("x", ArrayView::new(&shape, &x)?), ("y", ArrayView::new(&shape[..1], &y)?)];
    npz::write(&staged.path().join("data.npz"), &arrays, Compression::Deflated)?;
    observer.check()?;
    write_moments(&staged.path().join("moments.npz"), &spec, &matrices)?;
    observer.check()?;
    if let Some(n) = n_factors {
        write_factors(&staged.path().join(FACTORS), &matrices.layer, n)?;
        observer.check()?;
    }
    write_awd(&staged.path().join("awd.npz"), &matrices)?;
    json::write(&staged.path().join(MANIFEST), &manifest(&spec, &training, provenance))?;
    observer.check()?;
    staged.publish()?;
    Ok(())
}

/// `fc1.weight` is `[50, 784]`, and so on: the names and shapes of `torch.nn.Linear` and `torch.nn.Conv2d` layers
/// called `fc1`, `fc2`, … and `conv1`, `conv2`, …, with their biases where they have one.
fn write_weights(path: &Path, spec: &RunSpec, weights: &[f32]) -> Result<()> {
    let architecture = &spec.architecture();
    let mut named: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
    for (position, name) in layer_names(architecture) {
        let shape = match architecture.layers()[position] {
            Layer::Dense { d_in, d_out, .. } => vec![d_out, d_in],
            Layer::Conv3x3 { input, c_out } => vec![c_out, input.channels, 3, 3],
            _ => continue,
        };
        let bias = architecture.bias_params(position);
        named.push((format!("{name}.weight"), shape.clone(), &weights[architecture.weight_params(position)]));
        if !bias.is_empty() {
            named.push((format!("{name}.bias"), shape[..1].to_vec(), &weights[bias]));
        }
    }
    let tensors = named.iter().map(|(name, shape, values)| Ok((name.as_str(), ArrayView::new(shape, *values)?)));
    let names = layer_names(architecture).into_iter().map(|(_, name)| name);
    let order = names.collect::<Vec<_>>().join(",");
    let metadata = BTreeMap::from([("run".to_owned(), spec.id()), (ORDER.to_owned(), order)]);
    Ok(safetensors::write(path, &tensors.collect::<Result<Vec<_>>>()?, &metadata)?)
}

/// The layers, first to last, as a reader in PyTorch would write them.
fn layer_words(architecture: &Architecture) -> Vec<String> {
    let names = layer_names(architecture);
    let word = |(position, layer): (usize, &Layer)| {
        let name = names.iter().find(|(at, _)| *at == position).map_or("", |(_, name)| name);
        match layer {
            Layer::Dense { d_in, d_out, .. } => {
                let bias = if architecture.bias_params(position).is_empty() { "False" } else { "True" };
                format!("{name} = Linear({d_in}, {d_out}, bias={bias})")
            }
            Layer::Conv3x3 { input, c_out } => format!("{name} = Conv2d({}, {c_out}, 3, padding=1)", input.channels),
            Layer::MaxPool2x2 => "MaxPool2d(2)".to_owned(),
            Layer::GlobalAveragePool => "mean over height and width".to_owned(),
            other => other.to_string(),
        }
    };
    architecture.layers().iter().enumerate().map(word).collect()
}

/// `H`, `M2`, `Sigma`, `C`, `eigenvalues` and `eigenvectors` (as columns) in the parameter basis, row-major `vec(W)`.
fn write_moments(path: &Path, spec: &RunSpec, matrices: &LayerMatrices) -> Result<()> {
    let LayerMatrices { layer, H, M2, Sigma, eigen, .. } = matrices;
    let n_samples = layer.n_samples();
    let C = noise_covariance(Sigma.as_ref(), spec.batch, n_samples, Sampling::WithReplacement)?;
    let P = layer.n_params();
    let named = [
        ("H", row_major(H.as_ref())),
        ("M2", row_major(M2.as_ref())),
        ("Sigma", row_major(Sigma.as_ref())),
        ("C", row_major(C.as_ref())),
        ("eigenvectors", row_major(eigen.vectors.as_ref())),
    ];
    let shape = [P, P];
    let mut arrays = vec![("eigenvalues", ArrayView::new(&shape[..1], &eigen.values)?)];
    for (name, values) in &named {
        arrays.push((name, ArrayView::new(&shape, values)?));
    }
    Ok(npz::write(path, &arrays, Compression::Stored)?)
}

/// `partners` (indices into `x` of `data.npz`), `delta_a` and every term of the duality in the parameter basis.
fn write_awd(path: &Path, matrices: &LayerMatrices) -> Result<()> {
    let LayerMatrices { layer, partners, dual, awd, .. } = matrices;
    let partners: Vec<i64> = partners.of.iter().map(|&q| q as i64).collect();
    let shifts = row_major(dual.shifts.transpose());
    let total = awd.total();
    let named = [
        ("C_AWD", row_major(total.as_ref())),
        ("C_hh", row_major(awd.hh.as_ref())),
        ("C_hg", row_major(awd.hg.as_ref())),
        ("C_gg", row_major(awd.gg.as_ref())),
        ("C_hh_SD", row_major(awd.hh_same.as_ref())),
        ("C_hg_SD", row_major(awd.hg_same.as_ref())),
        ("C_gg_SD", row_major(awd.gg_same.as_ref())),
        ("C_hh_SD_WD", row_major(awd.hh_local.as_ref())),
    ];
    let of_samples = [layer.n_samples(), layer.d_in()];
    let shape = [layer.n_params(), layer.n_params()];
    let mut arrays = vec![
        ("partners", ArrayView::new(&of_samples[..1], &partners)?),
        ("delta_a", ArrayView::new(&of_samples, &shifts)?),
    ];
    for (name, values) in &named {
        arrays.push((name, ArrayView::new(&shape, values)?));
    }
    Ok(npz::write(path, &arrays, Compression::Stored)?)
}

/// `a` `[n, d_in]`, `delta` `[n, d_out]` and `S` `[n, d_out, d_out]` of the first `n` samples.
fn write_factors(path: &Path, layer: &AnalysedLayer, n: usize) -> Result<()> {
    let (d_in, d_out) = (layer.d_in(), layer.d_out());
    let of_first = |of: &dyn Fn(usize) -> Vec<f64>| (0..n).flat_map(of).collect::<Vec<f64>>();
    let a = of_first(&|p| layer.a(p).to_vec());
    let delta = of_first(&|p| layer.delta(p).to_vec());
    let mut S = vec![0.0; n * d_out * d_out];
    S.par_chunks_mut(d_out * d_out).enumerate().for_each_init(
        || layer.curvatures(),
        |curvatures, (p, to)| {
            // Symmetric: columns are rows.
            let of_sample = curvatures.at(p).S;
            to.iter_mut().enumerate().for_each(|(at, to)| *to = of_sample[(at % d_out, at / d_out)]);
        },
    );
    let shapes = ([n, d_in], [n, d_out], [n, d_out, d_out]);
    let arrays = [
        ("a", ArrayView::new(&shapes.0, &a)?),
        ("delta", ArrayView::new(&shapes.1, &delta)?),
        ("S", ArrayView::new(&shapes.2, &S)?),
    ];
    Ok(npz::write(path, &arrays, Compression::Stored)?)
}

fn row_major(A: MatRef<'_, f64>) -> Vec<f64> {
    (0..A.nrows()).flat_map(|i| (0..A.ncols()).map(move |j| A[(i, j)])).collect()
}

fn manifest(spec: &RunSpec, training: &TrainingRecord, provenance: Provenance) -> serde_json::Value {
    let sgd = spec.sgd();
    let architecture = spec.architecture();
    serde_json::json!({
        "run": spec.id(),
        "spec": spec,
        "data_source": spec.source.words(),
        "network": layer_words(&architecture),
        "target_layer": format!("fc{}.weight", spec.target_dense() + 1),
        "training": {
            "batch": sgd.batch,
            "max_epochs": sgd.epochs,
            "epochs_run": training.history.len(),
            "learning_rate": sgd.schedule.initial,
            "learning_rate_floor": sgd.schedule.floor,
            "cosine_t_max": sgd.schedule.t_max,
            "gradient_clip": sgd.clip,
            "early_stop": {
                "window": sgd.early_stop.window,
                "accuracy": sgd.early_stop.accuracy,
                "loss": sgd.early_stop.loss,
            },
            "momentum": 0.0,
            "generator": "ChaCha8; streams: 0 training draw, 1 test draw, 2 weights, 3 batches",
        },
        "conventions": {
            "basis": "row-major vec(W): entry (o, i) of the [d_out, d_in] weight at o*d_in + i",
            "H": "mean over samples of the Hessian of each sample's loss",
            "M2": "mean over samples of the squared Hessian",
            "Sigma": "mean over samples of g g^T minus the product of means (divided by N)",
            "C": "Sigma / batch: mini-batches drawn with replacement",
            "delta_a": "activity of the matched partner minus the sample's own, [N, d_in]",
            "C_hh, C_hg, C_gg": "halves of expectations over random batches of distinct samples, closed form; C_AWD is \
                                 their sum",
            "C_hg": "both orders of the cross term, x y^T + y x^T; the paper's code holds one of them",
            "gamma_AWD": "the exponent of the diagonal of M2 on that of H, both in the eigenbasis of H; the exponent \
             of \
                          C_AWD is ours and called gamma_dual",
            "C_hh_SD, C_hg_SD, C_gg_SD": "same-sample parts: means over samples divided by 2 * batch",
            "C_hh_SD_WD": "C_hh_SD with the perturbation covariance diagonal in each sample's own eigenbasis",
            "partners": "nearest of 20 anchors of the sample's class, redrawn for every 64 samples; ChaCha8 stream 4",
            "factors.npz": "where asked for, of the first images in the order of data.npz: a [N, d_in], what the layer \
                            takes; delta [N, d_out] and S [N, d_out, d_out], gradient and Hessian of each image's loss \
                            in what it gives",
            "eigenvectors": "columns, by descending eigenvalue of H",
            "loss": "per sample; squared errors are means over the 10 outputs",
        },
        "provenance": provenance,
    })
}
