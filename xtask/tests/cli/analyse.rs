//! `analyse` of networks that PyTorch exported, against what NumPy makes of PyTorch's own `H`, `Σ` and `M₂`.

use super::{fails, succeeds, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use superlinear_store::array::{Array, ArrayView, OwnedValues};
use superlinear_store::npz::{self, Compression};
use superlinear_store::safetensors;

struct Files {
    folder: tempfile::TempDir,
    model: PathBuf,
    data: PathBuf,
}

impl Files {
    fn of(name: &str) -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/graphs");
        let folder = tempfile::tempdir().unwrap();
        let files = Self { model: fixtures.join(format!("{name}.onnx")), data: folder.path().join("data.npz"), folder };
        let mut tensors = safetensors::read(&fixtures.join(format!("{name}.safetensors"))).unwrap().tensors;
        let mut take = |name| tensors.remove(name).unwrap();
        files.write(&take("x"), &take("y"), Some(&take("logits")));
        files
    }

    fn write(&self, x: &Array, y: &Array, logits: Option<&Array>) {
        let mut arrays = vec![("x", x.view().unwrap()), ("y", y.view().unwrap())];
        arrays.extend(logits.map(|logits| ("logits", logits.view().unwrap())));
        npz::write(&self.data, &arrays, Compression::Stored).unwrap();
    }

    fn arrays(&self) -> [Array; 3] {
        let mut arrays = npz::read(&self.data).unwrap();
        ["x", "y", "logits"].map(|name| arrays.remove(name).unwrap())
    }

    fn args<'a>(&'a self, to: &'a Path, further: &[&'a str]) -> Vec<&'a str> {
        let files = ["analyse", "--model", text(&self.model), "--data", text(&self.data), "--to", text(to)];
        [&files[..], further].concat()
    }

    fn summary(&self, further: &[&str]) -> Value {
        let to = self.folder.path().join("out");
        succeeds(&self.args(&to, &[further, &["--force", "--quiet"]].concat()));
        serde_json::from_slice(&fs::read(to.join("analysis.json")).unwrap()).unwrap()
    }

    fn fails(&self, further: &[&str]) -> String {
        let to = self.folder.path().join("out");
        let error = fails(&self.args(&to, further));
        assert!(!to.join("analysis.json").exists(), "nothing is written");
        error
    }
}

fn close(found: &Value, truth: f64, tolerance: f64) -> bool {
    let found = found.as_f64().unwrap();
    (found - truth).abs() <= tolerance * truth.abs()
}

const EVERY: [&str; 7] = ["--loss", "ce", "--batch", "5", "--every-layer", "--top", "20"];

#[test]
fn a_residual_network_has_the_exponents_of_pytorchs_own_matrices() {
    let files = Files::of("resnet-small");
    let found = files.summary(&EVERY);
    let names: Vec<&str> = found["tensors"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], names[7]), (8, "stem.weight", "fc2.weight"));
    // Slopes by numpy.polyfit of logarithms along the eigenvectors of PyTorch's H (float64 autograd), top 20; then the
    // commutator error of C and H.
    for (place, single, slopes, error) in [
        (0, false, [1.0291651049837125, 1.7506362150338248, 0.5884509635087769], 0.23670095882943817),
        (6, true, [0.9480359410470672, 1.1139766707455039, 0.8179208003472753], 0.42502893132715736),
    ] {
        let tensor = &found["tensors"][place];
        assert_eq!((&tensor["how"], &tensor["single_product"]), (&"dense".into(), &single.into()));
        for (name, slope) in ["c_on_h", "m2_on_h", "c_on_m2"].into_iter().zip(slopes) {
            assert!(close(&tensor[name]["slope"], slope, 1e-9), "{name}: {}", tensor[name]);
        }
        assert!(close(&tensor["commutativity"]["c_in_h"]["windows"][0]["error"], error, 1e-9));
        assert_eq!(tensor["below_square"], 0);
    }
    assert!(files.folder.path().join("out/gamma-by-layer.svg").exists());
    let mut arrays = npz::read(&files.folder.path().join("out/diagonals.npz")).unwrap();
    let mut first = |name: &str| match arrays.remove(name).unwrap().values {
        OwnedValues::F64(values) => values[0],
        other => panic!("{other:?}"),
    };
    for (name, truth) in [
        ("fc1.weight.eigenvalues", 0.3439823891162928),
        ("fc1.weight.C_ii", 0.005947635428416415),
        ("fc1.weight.M2_ii", 0.796751302183677),
    ] {
        assert!((first(name) / truth - 1.0).abs() < 1e-12, "{name}");
    }
}

#[test]
fn lanczos_vectors_give_the_exponents_of_dense_matrices() {
    let files = Files::of("transformer");
    let args = ["--loss", "ce", "--batch", "5", "--params", "up.weight,embed.weight", "--top", "12"];
    let dense = files.summary(&args);
    let iterated = files.summary(&[&args[..], &["--memory", "0"]].concat());
    for place in 0..2 {
        let [dense, iterated] = [&dense, &iterated].map(|found| &found["tensors"][place]);
        assert_eq!((&dense["how"], &iterated["how"]), (&"dense".into(), &"lanczos".into()));
        assert!(iterated["commutativity"].is_null());
        for name in ["c_on_h", "m2_on_h", "c_on_m2"] {
            assert!(close(&iterated[name]["slope"], dense[name]["slope"].as_f64().unwrap(), 1e-6), "{name}");
        }
    }
}

#[test]
fn what_does_not_fit_is_one_clear_error() {
    let files = Files::of("mlp-tanh-bias");
    let of = |loss, batch, params, further: &[&str]| {
        files.fails(&[&["--loss", loss, "--batch", batch, "--params", params], further].concat())
    };
    for (error, words) in [
        (of("ce", "5", "2.weight,8.weight", &[]), "--params 8.weight: no such parameter; there are 0.weight"),
        (of("ce", "5", "2.weight,2.weight", &[]), "2.weight is named twice"),
        (of("ce", "1000", "2.weight", &[]), "--batch 1000: there are 96 samples"),
        (of("ce", "5", "2.weight", &["--samples", "97"]), "--samples 97"),
        (of("ce", "5", "2.weight", &["--top", "97"]), "--top 97: 2.weight has 96 parameters"),
        (of("linear-mse", "5", "2.weight", &[]), "y is [96], expected 4 numbers a sample"),
        (of("ce", "5", "2.weight", &["--tol", "2"]), "expected a number from 2.2e-16"),
        (files.fails(&["--loss", "ce", "--params", "2.weight"]), "--batch"),
    ] {
        assert!(error.contains(words), "{error}");
    }
    let [x, y, logits] = files.arrays();
    let OwnedValues::F64(values) = &logits.values else { panic!("float64") };
    let moved = Array { shape: logits.shape.clone(), values: OwnedValues::F64(values.iter().map(|f| -f).collect()) };
    files.write(&x, &y, Some(&moved));
    assert!(of("ce", "5", "2.weight", &[]).contains("the network as read does not give your logits"));
    let late = Array { shape: y.shape.clone(), values: OwnedValues::I64(vec![4; 96]) };
    files.write(&x, &late, None);
    assert!(of("ce", "5", "2.weight", &[]).contains("a class below 4"));
    let zeros = vec![0.0_f64; 960];
    let flat = ArrayView::new(&[96 * 10, 1], &zeros).unwrap();
    npz::write(&files.data, &[("x", flat), ("y", y.view().unwrap())], Compression::Stored).unwrap();
    assert!(of("ce", "5", "2.weight", &[]).contains("y is [96], expected [960, …]"));
    fs::write(files.folder.path().join("no.onnx"), b"version https://git-lfs").unwrap();
    let broken = Files { model: files.folder.path().join("no.onnx"), data: files.data.clone(), folder: files.folder };
    assert!(broken.fails(&EVERY).contains("no.onnx"));
}

/// Softmax regression of three inputs and classes, by its factors: `δ = q − e_y` and `S = diag(q) − q qᵀ`.
fn softmax_factors(path: &Path, shapes: [&[usize]; 3]) {
    let (mut a, mut delta, mut S) = (Vec::new(), Vec::new(), Vec::new());
    for p in 0..40 {
        let x = [0, 1, 2].map(|i| (f64::from(p * (i + 2) + 3 * i)).sin());
        let weights = [0, 1, 2].map(|o: usize| (x[o] - 0.5 * x[(o + 1) % 3]).exp());
        let q = weights.map(|weight| weight / weights.iter().sum::<f64>());
        a.extend(x);
        delta.extend((0..3).map(|o| q[o] - if o == p as usize % 3 { 1.0 } else { 0.0 }));
        S.extend((0..9).map(|at| if at / 3 == at % 3 { q[at / 3] } else { 0.0 } - q[at / 3] * q[at % 3]));
    }
    let [a, delta, S] = [(&a, 0), (&delta, 1), (&S, 2)].map(|(values, at)| ArrayView::new(shapes[at], values).unwrap());
    npz::write(path, &[("a", a), ("delta", delta), ("S", S)], Compression::Stored).unwrap();
}

#[test]
fn given_factors_are_analysed_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let [file, long, to] = ["layer.npz", "long.npz", "out"].map(|name| folder.path().join(name));
    softmax_factors(&file, [&[40, 3], &[40, 3], &[40, 3, 3]]);
    softmax_factors(&long, [&[40, 1, 3], &[40, 1, 3], &[40, 3, 3]]);
    let args = |file| ["analyse", "--factors", file, "--batch", "5", "--top", "4", "--to", text(&to), "--force"];
    let said = succeeds(&args(text(&file)));
    assert!(said.contains("γ of C on H") && said.contains("layer "), "{said}");
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    let found: Value = serde_json::from_str(&read("analysis.json")).unwrap();
    assert!(found["mean_loss"].is_null() && found["absent"].as_str().unwrap().contains("not known"));
    assert_eq!((&found["n_samples"], &found["tensors"][0]["how"]), (&40.into(), &"dense".into()));
    assert!(found["tensors"][0]["c_on_h"]["slope"].is_f64() && found["tensors"][0]["commutativity"].is_object());
    let page = read("report.html");
    assert!(page.contains("mean loss and accuracy are not known") && !page.contains("NaN"));
    assert!(npz::read(&to.join("diagonals.npz")).unwrap().contains_key("layer.C_ii"));
    let diagonals = read("diagonals.csv").replace("layer,", "");
    succeeds(&args(text(&long)));
    assert_eq!(read("diagonals.csv").replace("long,", ""), diagonals);
    for (further, words) in [
        (&["--model", "net.onnx"][..], "cannot be used with"),
        (&["--params", "w"], "cannot be used with"),
        (&["--every-layer"], "cannot be used with"),
        (&["--samples", "50"], "--samples 50: "),
    ] {
        let error = fails(&[&args(text(&file))[..], further].concat());
        assert!(error.contains(words), "{error}");
    }
    softmax_factors(&file, [&[40, 3], &[20, 2, 3], &[40, 3, 3]]);
    let error = fails(&args(text(&file)));
    assert!(error.contains("layer.npz: delta is [20, 2, 3], expected [40, d_out], as a is [40, 3]"), "{error}");
}

#[test]
fn bounds_and_correlations_are_written_direction_by_direction() {
    let folder = tempfile::tempdir().unwrap();
    let [file, to] = ["layer.npz", "out"].map(|name| folder.path().join(name));
    softmax_factors(&file, [&[40, 3], &[40, 3], &[40, 3, 3]]);
    let args = |file| ["analyse", "--factors", file, "--batch", "5", "--top", "5", "--to", text(&to), "--force"];
    let said = succeeds(&args(text(&file)));
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    let found: Value = serde_json::from_str(&read("analysis.json")).unwrap();
    let tensor = &found["tensors"][0];
    let (bounds, alignment) = (&tensor["bounds"], &tensor["alignment"]);
    let count = |name: &str| bounds[name].as_u64().unwrap();
    assert_eq!(["n_judged", "n_lower_holds", "n_upper_holds", "n_flagged"].map(count), [5, 5, 5, 0]);
    // κ_max by power iterations on every positive semidefinite S_p.
    let mut arrays = npz::read(&file).unwrap();
    let [a, S] = ["a", "S"].map(|name| match arrays.remove(name).unwrap().values {
        OwnedValues::F64(values) => values,
        other => panic!("{other:?}"),
    });
    let norms = a.chunks_exact(3).zip(S.chunks_exact(9)).map(|(a, S)| {
        let mut v = [0.3, 0.5, -0.9];
        let mut norm = 0.0;
        for _ in 0..2_000 {
            let image = [0, 1, 2].map(|i| (0..3).map(|j| S[3 * i + j] * v[j]).sum::<f64>());
            norm = image.iter().map(|x| x * x).sum::<f64>().sqrt();
            v = image.map(|x| x / norm);
        }
        norm * a.iter().map(|a| a * a).sum::<f64>()
    });
    let kappa_max = norms.fold(0.0, f64::max);
    assert!(close(&bounds["kappa_max"], kappa_max, 1e-9), "{bounds} {kappa_max}");
    let mean = alignment["all_pairs"]["mean"].as_f64().unwrap();
    assert_eq!((&alignment["n_samples"], &alignment["n_pairs"]), (&40.into(), &80.into()));
    // Every direction between its bounds, and the summary is theirs.
    let (mut least, mut correlations) = ([f64::INFINITY; 2], 0.0);
    let diagonals = read("diagonals.csv");
    let mut lines = diagonals.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    for line in lines {
        let row: Vec<&str> = line.split(',').collect();
        let of = |name: &str| row[header.iter().position(|own| *own == name).unwrap()].parse::<f64>().unwrap();
        let [h, m2, absolute] = ["H_ii", "M2_ii", "abs_H_ii"].map(of);
        // S_p is positive semidefinite.
        assert!((absolute / h - 1.0).abs() < 1e-9);
        assert!((of("lower_bound") / (h * h) - 1.0).abs() < 1e-12);
        assert!((of("upper_bound") / (kappa_max * h) - 1.0).abs() < 1e-9);
        assert!(of("lower_bound") <= m2 && m2 <= of("upper_bound"));
        let margins = [m2 / of("lower_bound"), of("upper_bound") / m2].map(f64::log10);
        least = [0, 1].map(|side| f64::min(least[side], margins[side]));
        correlations += of("xy_correlation") / 5.0;
        assert!(of("xy_low") <= of("xy_correlation") && of("xy_correlation") <= of("xy_high"));
    }
    assert!((bounds["lower_margin_decades"].as_f64().unwrap() - least[0]).abs() < 1e-12);
    assert!((bounds["upper_margin_decades"].as_f64().unwrap() - least[1]).abs() < 1e-12);
    assert!((mean - correlations).abs() < 1e-12);
    assert_eq!(read("spectra.csv").lines().count(), 81);
    assert!(said.contains("H_ii² ≤ (M₂)_ii in 5 and (M₂)_ii ≤ κ_max E|h|_ii in 5 of 5 directions"), "{said}");
    assert!(read("report.html").contains("5 of 5, at least by "));
    assert!(["bounds", "alignment", "per-sample-spectra"].iter().all(|name| to.join(format!("{name}.svg")).exists()));
    // One output too many: the reason stands in the place of the bounds.
    let (wide, delta) = (vec![0.5; 2 * 520 * 520], vec![1.0; 2 * 520]);
    let a = ArrayView::new(&[2, 1], &[1.0, 2.0][..]).unwrap();
    let [delta, S] = [(&[2, 520][..], &delta), (&[2, 520, 520], &wide)].map(|(s, x)| ArrayView::new(s, x).unwrap());
    npz::write(&file, &[("a", a), ("delta", delta), ("S", S)], Compression::Stored).unwrap();
    let said = succeeds(&["analyse", "--factors", text(&file), "--batch", "2", "--to", text(&to), "--force"]);
    let found: Value = serde_json::from_str(&read("analysis.json")).unwrap();
    assert!(found["tensors"][0]["bounds"].is_null());
    let why = found["tensors"][0]["bounds_reason"].as_str().unwrap();
    assert!(why.contains("order 520") && said.contains(why) && read("report.html").contains(why), "{said}");
}

#[test]
fn exported_factors_give_the_exponents_of_their_run() {
    let folder = tempfile::tempdir().unwrap();
    let [out, exported, to] = ["out", "exported", "answer"].map(|name| folder.path().join(name));
    succeeds(&["reproduce", "--profile", "tiny", "--only", "table1", "--quiet", "--out", text(&out)]);
    let id = "mnist-tiny-mse-c3-s0";
    let export = ["export", id, "--out", text(&out), "--to", text(&exported), "--factors"];
    let said = succeeds(&export);
    assert!(said.contains("factors.npz"), "{said}");
    let read = |path: PathBuf| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap();
    let summary = read(out.join("tiny/summary.json"));
    let run = summary["runs"].as_array().unwrap().iter().find(|run| run["id"] == id).unwrap();
    let batch = read(exported.join("manifest.json"))["training"]["batch"].to_string();
    let factors = exported.join("factors.npz");
    let top = run["gamma"]["c_on_h"]["top"].to_string();
    let analyse = ["analyse", "--factors", text(&factors), "--batch", &batch, "--top", &top, "--to", text(&to)];
    succeeds(&[&analyse[..], &["--quiet"]].concat());
    let found = read(to.join("analysis.json"));
    for name in ["c_on_h", "m2_on_h", "c_on_m2"] {
        let [own, truth] = [&found["tensors"][0][name], &run["gamma"][name]];
        assert_eq!(own["n_used"], truth["n_used"], "{name}");
        let [own, truth] = [own, truth].map(|fit| fit["slope"].as_f64().unwrap());
        assert!((own / truth - 1.0).abs() < 1e-10, "{name}: {own} {truth}");
    }
    // C is that of the run's batches, not only up to a factor.
    let moments = npz::read(&exported.join("moments.npz")).unwrap();
    let (C, V) = (floats(&moments["C"]), floats(&moments["eigenvectors"]));
    let P = moments["C"].shape[0];
    let image = |r: usize| (0..P).map(|c| C[r * P + c] * V[c * P]).sum::<f64>();
    let along: f64 = (0..P).map(|r| V[r * P] * image(r)).sum();
    let diagonals = npz::read(&to.join("diagonals.npz")).unwrap();
    assert!((floats(&diagonals["factors.C_ii"])[0] / along - 1.0).abs() < 1e-10);
    // The first seven alone; more than there are is an error.
    let all = npz::read(&factors).unwrap();
    succeeds(&[&export[..], &["7"]].concat());
    let first = npz::read(&factors).unwrap();
    let n = all["a"].shape[0];
    for name in ["a", "delta", "S"] {
        assert_eq!((first[name].shape[0], &first[name].shape[1..]), (7, &all[name].shape[1..]));
        let own = floats(&first[name]);
        assert_eq!(own, &floats(&all[name])[..own.len()]);
    }
    let error = fails(&[&export[..], &[&(n + 1).to_string()]].concat());
    assert!(error.contains(&format!("--factors {}: run {id} was trained on {n} images", n + 1)), "{error}");
    succeeds(&export[..6]);
    assert!(!factors.exists(), "only where asked for");
}

fn floats(array: &Array) -> &[f64] {
    match &array.values {
        OwnedValues::F64(values) => values,
        other => panic!("{other:?}"),
    }
}
