//! One layer of any network, by factors that somebody has computed elsewhere: an npz file of `a`, `delta` and `S`.

use super::source::OfFactors;
use super::tensor::{self, Settings};
use super::{Asked, Found};
use crate::given_samples::floats;
use crate::observer::Observer;
use anyhow::{Context, Result, bail};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use superlinear_curvature::PositionFactors;
use superlinear_store::npz;

/// The arrays.
const NAMES: [&str; 3] = ["a", "delta", "S"];

/// What is asked about a layer of given factors.
#[derive(Clone, Debug)]
pub struct FactorsQuestion {
    /// `a` `[N, T, d_in]`, `delta` `[N, T, d_out]` and `S` `[N, T·d_out, T·d_out]`, npz; `T` may be left out if 1.
    pub factors: PathBuf,
    /// `B` of `C = Σ/B`.
    pub batch: NonZeroUsize,
    /// How many of the largest eigenvalues of `H`.
    pub top: NonZeroUsize,
    /// Only the first so many samples; all if `None`.
    pub samples: Option<NonZeroUsize>,
    /// Bytes that the dense matrices may take together.
    pub memory: u64,
    /// Residuals of Lanczos pairs, relative to the norm, at which they count as converged.
    pub tol: f64,
    /// Seeds the first Lanczos vector.
    pub seed: u64,
    /// Whether `H`, `M₂` and `Σ` are kept where they are formed.
    pub keep_matrices: bool,
}

impl FactorsQuestion {
    /// Everything that determines the answer, in words.
    pub fn words(&self) -> String {
        let Self { factors, batch, top, samples, memory, tol, seed, .. } = self;
        let samples = samples.map_or_else(|| "all".to_owned(), |n| n.to_string());
        format!(
            "factors {}, batch {batch}; top {top}, {samples} samples, {memory} bytes, tolerance {tol:e}, seed {seed}",
            factors.display()
        )
    }

    /// The name of its folder, and of the layer.
    pub fn name(&self) -> String {
        self.factors.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Analyses the layer.
///
/// # Errors
/// When the file cannot be read or its arrays are no factors of a layer, the batch is larger than the samples, an
/// eigendecomposition fails its check, or the observer stops it.
pub fn answer_factors(question: &FactorsQuestion, observer: &dyn Observer) -> Result<Found> {
    let FactorsQuestion { batch, top, memory, tol, seed, keep_matrices, .. } = *question;
    let factors = read(&question.factors, question.samples, observer)?;
    let [n_samples, T, d_in, d_out] = factors.shape();
    let file = question.factors.display();
    if n_samples < 2 {
        bail!("{file}: {n_samples} sample; a covariance needs at least 2");
    }
    if batch.get() > n_samples {
        bail!("--batch {batch}: there are {n_samples} samples, and a batch is drawn from them");
    }
    if top.get() > factors.n_params() {
        bail!("--top {top}: the layer has {} parameters, {d_out} × {d_in}", factors.n_params());
    }
    let uses = if T == 1 { String::new() } else { format!(", {T} uses a sample") };
    observer.note("factors", &format!("{n_samples} samples of a layer {d_out} × {d_in}{uses}; {ABSENT}"));
    let asked = Asked {
        name: question.name(),
        shape: vec![d_out, d_in],
        kind: format!("given factors{uses}"),
        depth: None,
        is_single_product: T == 1,
    };
    // What rounding makes of a gradient is not known without the network: only relative floors hold.
    let settings = Settings { n_samples, batch, top, memory, tol, seed, keep_matrices, rounding: 0.0 };
    let found = tensor::analyse(&settings, &OfFactors(&factors), &asked, observer)?;
    Ok(Found { n_samples, fit: None, tensors: vec![found] })
}

/// What factors do not tell.
pub const ABSENT: &str = "mean loss and accuracy are not known, as factors come without network and targets";

/// Reads and checks the arrays.
fn read(path: &Path, samples: Option<NonZeroUsize>, observer: &dyn Observer) -> Result<PositionFactors> {
    let file = path.display();
    let (mut arrays, ignored) = npz::read_named(path, &NAMES)?;
    let known = arrays.keys().chain(&ignored).cloned().collect::<Vec<_>>().join(", ");
    let mut take = |name: &str| -> Result<(Vec<usize>, Vec<f64>)> {
        let array = arrays.remove(name).with_context(|| format!("{file}: no array {name:?}; found {known}"))?;
        let shape = array.shape.clone();
        Ok((shape, floats(array).with_context(|| format!("{file}: {name}"))?))
    };
    let [(a_shape, mut a), (delta_shape, mut delta), (S_shape, mut S)] = [take("a")?, take("delta")?, take("S")?];
    let (N, T, d_in) = match a_shape[..] {
        [N, d_in] => (N, 1, d_in),
        [N, T, d_in] => (N, T, d_in),
        _ => bail!("{file}: a is {a_shape:?}, expected [N, d_in] or [N, T, d_in]"),
    };
    let d_out = match delta_shape[..] {
        [n, d_out] if (n, 1) == (N, T) => d_out,
        [n, t, d_out] if (n, t) == (N, T) => d_out,
        _ if T == 1 => bail!("{file}: delta is {delta_shape:?}, expected [{N}, d_out], as a is {a_shape:?}"),
        _ => bail!("{file}: delta is {delta_shape:?}, expected [{N}, {T}, d_out], as a is {a_shape:?}"),
    };
    let rank = T * d_out;
    if S_shape != [N, rank, rank] {
        let expected = format!("[{N}, {rank}, {rank}] (N, T·d_out, T·d_out)");
        bail!("{file}: S is {S_shape:?}, expected {expected}, as delta is {delta_shape:?}");
    }
    if !ignored.is_empty() {
        observer.note("ignored", &format!("{file}: {}", ignored.join(", ")));
    }
    let n = samples.map_or(N, usize::from);
    if n > N {
        bail!("--samples {n}: {file} has {N}");
    }
    for (array, each) in [(&mut a, T * d_in), (&mut delta, rank), (&mut S, rank * rank)] {
        array.truncate(n * each);
    }
    PositionFactors::new([n, T, d_in, d_out], a, delta, S).with_context(|| file.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{ModelLoss, Params, Prepared, Question, answer};
    use super::*;
    use crate::given_samples::GivenSamples;
    use crate::observer::Silent;
    use superlinear_nets::{GraphLayer, GraphPasses, GraphSamples, Variables};
    use superlinear_store::array::ArrayView;
    use superlinear_store::npz::Compression;
    use superlinear_store::safetensors;

    type Arrays = Vec<(&'static str, Vec<usize>, Vec<f64>)>;

    fn question(factors: PathBuf) -> FactorsQuestion {
        FactorsQuestion {
            factors,
            batch: NonZeroUsize::new(5).unwrap(),
            top: NonZeroUsize::new(12).unwrap(),
            samples: None,
            memory: 1 << 30,
            tol: 1e-10,
            seed: 0,
            keep_matrices: true,
        }
    }

    fn write(path: &Path, arrays: &Arrays) {
        let views: Vec<_> =
            arrays.iter().map(|(name, shape, values)| (*name, ArrayView::new(shape, values).unwrap())).collect();
        npz::write(path, &views, Compression::Stored).unwrap();
    }

    /// A network of the fixtures, which PyTorch's own matrices are compared with elsewhere.
    fn network(name: &str, layer: &str) -> (Question, Prepared) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/graphs");
        let model = fixtures.join(format!("{name}.onnx"));
        let mut tensors = safetensors::read(&fixtures.join(format!("{name}.safetensors"))).unwrap().tensors;
        let [x, y] = ["x", "y"].map(|name| tensors.remove(name).unwrap());
        let FactorsQuestion { batch, top, samples, memory, tol, seed, keep_matrices, .. } = question(PathBuf::new());
        let question = Question {
            model: model.clone(),
            data: PathBuf::from("data"),
            loss: ModelLoss::CrossEntropy,
            params: Params::Named(vec![layer.to_owned()]),
            batch,
            top,
            samples,
            memory,
            tol,
            seed,
            keep_matrices,
        };
        let given = GivenSamples::of("data".to_owned(), x, y, None).unwrap();
        let prepared = Prepared::of(&question, superlinear_onnx::read(&model).unwrap(), &given, &Silent).unwrap();
        (question, prepared)
    }

    /// What somebody would compute of a dense layer: activities, gradients and Hessians in what it gives.
    fn factors(prepared: &Prepared, layer: &str) -> Arrays {
        let (model, objective, samples) = prepared.parts();
        let graph = model.graph();
        let (z, own) = GraphLayer::of(graph, layer).unwrap().uses[0];
        let mut passes = GraphPasses::new(graph, objective.clone(), Variables::values(graph, &[z]));
        let N = samples.n_samples();
        passes.evaluate(model, samples, 0..N).unwrap();
        let (T, rank) = (own.positions, own.positions * own.d_out);
        let inputs = passes.value(model, GraphLayer::input_of(graph, z));
        let mut a = vec![0.0; N * T * own.d_in];
        for (a, input) in a.chunks_exact_mut(T * own.d_in).zip(inputs.chunks_exact(inputs.len() / N)) {
            passes.activities(model, z, input, a);
        }
        let delta = passes.delta(z).to_vec();
        let S = passes.curvature(model);
        let of = |d: usize| if T == 1 { vec![N, d] } else { vec![N, T, d] };
        vec![("a", of(own.d_in), a), ("delta", of(own.d_out), delta), ("S", vec![N, rank, rank], S)]
    }

    #[test]
    fn factors_of_a_network_give_what_the_network_gives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer.npz");
        for (network_name, layer, uses) in [("resnet-small", "fc1.weight", 1), ("transformer", "up.weight", 5)] {
            let (asked, prepared) = network(network_name, layer);
            let truth = answer(&asked, &prepared, &Silent).unwrap();
            let arrays = factors(&prepared, layer);
            write(&path, &arrays);
            for memory in [1 << 30, 0] {
                let found = answer_factors(&FactorsQuestion { memory, ..question(path.clone()) }, &Silent).unwrap();
                let [found, truth] = [&found, &truth].map(|found| &found.tensors[0]);
                assert_eq!(found.asked.is_single_product, uses == 1, "{}", found.asked.kind);
                for of in ["c_on_h", "m2_on_h", "c_on_m2"] {
                    let [found, truth] = [found, truth].map(|tensor| match of {
                        "c_on_h" => tensor.c_on_h.as_ref().unwrap(),
                        "m2_on_h" => tensor.m2_on_h.as_ref().unwrap(),
                        _ => tensor.c_on_m2.as_ref().unwrap(),
                    });
                    assert!((found.fit.slope / truth.fit.slope - 1.0).abs() < 1e-8, "{layer}, {of}");
                    assert!((found.sampling / truth.sampling - 1.0).abs() < 1e-6, "{layer}, {of}");
                }
                let [of_factors, of_network] = [found, truth].map(|tensor| tensor.spectra.as_ref().unwrap());
                assert!((of_factors.kappa_max / of_network.kappa_max - 1.0).abs() < 1e-12);
                for (one, other) in of_factors.absolute.iter().zip(&of_network.absolute) {
                    assert!((one / other - 1.0).abs() < 1e-6, "{layer}: E|h| {one} {other}");
                }
                let [one, other] = [of_factors, of_network].map(|of| of.alignment.as_ref().unwrap().mean);
                assert!((one - other).abs() < 1e-3, "{layer}: {one} {other}");
                let (Some(matrices), Some(dense)) = (&found.matrices, &truth.matrices) else {
                    assert_eq!(memory, 0);
                    continue;
                };
                for (found, truth) in
                    [(&matrices.H, &dense.H), (&matrices.M2, &dense.M2), (&matrices.Sigma, &dense.Sigma)]
                {
                    assert!((found - truth).norm_max() < 1e-12 * truth.norm_max(), "{layer}");
                }
                let [found, truth] = [found, truth].map(|of| of.commutativity.as_ref().unwrap().c_in_h.full());
                assert!((found.error.unwrap() - truth.error.unwrap()).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn what_is_no_factor_is_one_error_that_names_the_array() {
        let folder = tempfile::tempdir().unwrap();
        let good = || -> Arrays {
            let S = (0..3).flat_map(|p| [2.0 + f64::from(p), 0.5, 0.5, 1.0]).collect();
            let (a, delta) = ((1..=6).map(f64::from).collect(), vec![1.0, -1.0, 0.5, 2.0, 0.0, 1.0]);
            vec![("a", vec![3, 1, 2], a), ("delta", vec![3, 1, 2], delta), ("S", vec![3, 2, 2], S)]
        };
        let n_files = std::cell::Cell::new(0);
        let with = |change: &dyn Fn(&mut Arrays)| {
            let mut arrays = good();
            change(&mut arrays);
            n_files.set(n_files.get() + 1);
            let path = folder.path().join(format!("{}-f.npz", n_files.get()));
            write(&path, &arrays);
            let top = NonZeroUsize::new(2).unwrap();
            let batch = NonZeroUsize::new(3).unwrap();
            FactorsQuestion { top, batch, ..question(path) }
        };
        assert!(answer_factors(&with(&|_| ()), &Silent).is_ok());
        let number = |n| NonZeroUsize::new(n).unwrap();
        for (asked, words) in [
            (with(&|a| drop(a.pop())), "f.npz: no array \"S\"; found a, delta"),
            (with(&|a| a[0].1 = vec![6]), "a is [6], expected [N, d_in] or [N, T, d_in]"),
            (with(&|a| a[1].1 = vec![2, 3]), "delta is [2, 3], expected [3, d_out], as a is [3, 1, 2]"),
            (with(&|a| a[0].1 = vec![3, 2, 1]), "delta is [3, 1, 2], expected [3, 2, d_out]"),
            (with(&|a| a[2].1 = vec![3, 4]), "S is [3, 4], expected [3, 2, 2]"),
            (with(&|a| a[2].2[5] = 0.6), "S of sample 1 is not symmetric"),
            (with(&|a| a[0].2[3] = f64::NAN), "f.npz: a of sample 1 has an entry NaN"),
            (FactorsQuestion { batch: number(4), ..with(&|_| ()) }, "--batch 4: there are 3 samples"),
            (FactorsQuestion { samples: Some(number(4)), ..with(&|_| ()) }, "--samples 4: "),
            (FactorsQuestion { samples: Some(number(1)), ..with(&|_| ()) }, "1 sample; a covariance needs at least 2"),
            (FactorsQuestion { top: number(5), ..with(&|_| ()) }, "--top 5: the layer has 4 parameters, 2 × 2"),
        ] {
            let error = format!("{:#}", answer_factors(&asked, &Silent).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
