//! `spectrum` of files as users have them: an answer, or an error that says what to do, and nothing made up.

use super::{fails, succeeds, text};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use superlinear_store::array::ArrayView;
use superlinear_store::npz::{self, Compression};
use superlinear_store::safetensors;

const D: usize = 6;
const N: usize = 12;

/// A number a position, spread over −1 to 1.
fn scattered(n: usize, seed: u64) -> Vec<f64> {
    let mixed = |i: u64| (i + 1).wrapping_add(seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    (0..n as u64)
        .map(|i| (mixed(i).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        .collect()
}

struct Files {
    folder: tempfile::TempDir,
    weights: PathBuf,
    data: PathBuf,
}

impl Files {
    /// Tensors of these shapes, and N inputs of `d_in` with labels of 3 classes.
    fn of(tensors: &[(&str, &[usize])], d_in: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [weights, data] = ["net.safetensors", "data.npz"].map(|name| folder.path().join(name));
        let files = Self { folder, weights, data };
        let values: Vec<_> = (0..).zip(tensors).map(|(k, (_, shape))| scattered(shape.iter().product(), k)).collect();
        let views = tensors.iter().zip(&values);
        let views: Vec<_> =
            views.map(|((name, shape), values)| (*name, ArrayView::new(shape, values).unwrap())).collect();
        safetensors::write(&files.weights, &views, &BTreeMap::new()).unwrap();
        files.write_data(d_in, &scattered(N * d_in, 99), None);
        files
    }

    fn write_data(&self, d_in: usize, x: &[f64], logits: Option<&[f64]>) {
        let labels: Vec<i64> = (0..N as i64).map(|p| p % 3).collect();
        let (x_shape, logits_shape) = ([N, d_in], [N, logits.map_or(0, <[f64]>::len) / N]);
        let mut arrays =
            vec![("x", ArrayView::new(&x_shape, x).unwrap()), ("y", ArrayView::new(&x_shape[..1], &labels).unwrap())];
        if let Some(logits) = logits {
            arrays.push(("logits", ArrayView::new(&logits_shape, logits).unwrap()));
        }
        npz::write(&self.data, &arrays, Compression::Stored).unwrap();
    }

    fn args<'a>(&'a self, to: &'a Path, further: &[&'a str]) -> Vec<&'a str> {
        let files =
            ["spectrum", "--weights", text(&self.weights), "--data", text(&self.data), "--to", text(to), "--force"];
        [&files[..], further].concat()
    }

    fn fails(&self, further: &[&str]) -> String {
        fails(&self.args(&self.folder.path().join("to"), further))
    }

    /// What is printed, and `spectrum.json`.
    fn succeeds(&self, further: &[&str]) -> (String, serde_json::Value) {
        let to = self.folder.path().join("to");
        let said = succeeds(&self.args(&to, further));
        let found = fs::read_to_string(to.join("spectrum.json")).unwrap();
        for text in [&said, &found, &fs::read_to_string(to.join("pairs.csv")).unwrap()] {
            assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains(": null"), "{text}");
        }
        (said, serde_json::from_str(&found).unwrap())
    }
}

#[test]
fn what_determines_the_network_is_given_or_follows() {
    let files = Files::of(&[("hidden_layers.0.weight", &[5, D]), ("classifier.weight", &[3, 5])], D);
    let error = files.fails(&["--params", "all", "--top", "3"]);
    assert!(error.contains("--activation relu, tanh or identity") && error.lines().count() == 1, "{error}");
    // By its own name, by its number, and by no name of either kind.
    let tanh = ["--activation", "tanh", "--top", "3", "--params"];
    let (said, own) = files.succeeds(&[&tanh[..], &["classifier"]].concat());
    assert!(said.contains("first to last: fc1 is hidden_layers.0, fc2 is classifier"), "{said}");
    assert!(said.contains("mean loss") && said.contains("on 12 samples"), "{said}");
    let (_, numbered) = files.succeeds(&[&tanh[..], &["fc2"]].concat());
    assert_eq!(own["pairs"], numbered["pairs"]);
    assert!(
        files.fails(&[&tanh[..], &["mid"]].concat()).contains("known: all, hidden_layers.0, hidden_layers.0.weight")
    );

    let square = Files::of(&[("out.weight", &[4, 4]), ("inp.weight", &[4, 4])], 4);
    let error = square.fails(&[&tanh[..], &["all"]].concat());
    assert!(error.contains("--order inp,out or out,inp, if it is a chain") && error.contains("ONNX"), "{error}");
    let (_, one) = square.succeeds(&[&tanh[..], &["all", "--order", "inp,out"]].concat());
    let (_, other) = square.succeeds(&[&tanh[..], &["all", "--order", "out,inp"]].concat());
    assert_ne!(one["pairs"], other["pairs"]);

    // Wrappers of PyTorch are no part of a name, and may be given all the same.
    let compiled = Files::of(&[("_orig_mod.0.weight", &[5, D]), ("_orig_mod.2.weight", &[3, 5])], D);
    let (_, one) = compiled.succeeds(&[&tanh[..], &["_orig_mod.2.weight"]].concat());
    assert_eq!(one["pairs"], compiled.succeeds(&[&tanh[..], &["2"]].concat()).1["pairs"]);
    // Two modules between 0 and 3: a normalisation without parameters, perhaps.
    let skipped = Files::of(&[("0.weight", &[5, D]), ("3.weight", &[4, 5]), ("5.weight", &[3, 4])], D);
    let error = skipped.fails(&[&tanh[..], &["all"]].concat());
    assert!(error.contains("2, 1 modules stand between the layers 0,3,5") && error.lines().count() == 1, "{error}");
    skipped.succeeds(&[&tanh[..], &["all", "--order", "0,3,5", "--probes", "0"]].concat());

    // Logits of another network are an error, its own are not: here of x as it is.
    let single = Files::of(&[("lin.weight", &[3, 3])], 3);
    let W = scattered(9, 0);
    let x = scattered(3 * N, 7);
    let logits: Vec<f64> = (0..N)
        .flat_map(|p| (0..3).map(move |c| (p, c)))
        .map(|(p, c)| (0..3).map(|i| W[3 * c + i] * x[3 * p + i]).sum())
        .collect();
    single.write_data(3, &x, Some(&logits));
    let (_, found) = single.succeeds(&["--params", "all", "--top", "3"]);
    assert_eq!(found["of"]["logits_checked"], true);
    single.write_data(3, &x, Some(&x));
    let error = single.fails(&["--params", "all", "--top", "3"]);
    assert!(error.contains("the network as read does not give your logits"), "{error}");
}

#[test]
fn an_exponent_over_rounding_is_refused_with_the_reason() {
    // Whitened inputs: rows of a Hadamard matrix are orthogonal, so H = (2/3) I ⊗ I/… has one eigenvalue.
    let files = Files::of(&[("lin.weight", &[3, 4])], 4);
    let signs =
        |p: usize| [1.0, (-1.0f64).powi(p as i32), (-1.0f64).powi(p as i32 / 2), (-1.0f64).powi((p as i32 + 1) / 2)];
    let x: Vec<f64> = (0..N).flat_map(signs).collect();
    files.write_data(4, &x, None);
    let (said, found) = files.succeeds(&["--params", "all", "--top", "12", "--loss", "linear-mse", "--probes", "0"]);
    assert!(said.contains("12 directions have 1 distinct eigenvalues: expected at least 3"), "{said}");
    assert!(found["gamma"]["c"]["none"].is_string() && found["gamma"]["m2"]["none"].is_string(), "{found}");
    // All of twelve pairs, or fewer of them: the trace is exact either way, 12 times 2/3.
    let (said, fewer) = files.succeeds(&["--params", "all", "--top", "5", "--loss", "linear-mse", "--probes", "0"]);
    for found in [&found, &fewer] {
        assert!((found["trace"]["value"].as_f64().unwrap() - 8.0).abs() < 1e-12, "{found}");
        assert_eq!(found["trace"]["exact"], true);
    }
    let from = fewer["conventions"]["trace"].as_str().unwrap();
    assert!(from.contains("exact trace") && said.contains("(exact)"), "{from} {said}");
}

#[test]
fn a_network_that_fits_exactly_has_no_exponent_of_its_noise() {
    // W x = (x_c + x_{3+c})/0.3 for class c, where x_c + x_{3+c} is 0.3 and all else 0: the class, up to rounding.
    let files = Files::of(&[("lin.weight", &[3, 6])], 6);
    let x = |p: usize, i: usize| {
        let first = 0.1 + 0.07 * p as f64 * (1.0 + 0.3 * (p % 3) as f64);
        if i == p % 3 {
            first
        } else if i == 3 + p % 3 {
            0.3 - first
        } else {
            0.0
        }
    };
    let x: Vec<f64> = (0..N).flat_map(|p| (0..6).map(move |i| x(p, i))).collect();
    let W: Vec<f64> = (0..18).map(|k| if k % 3 == k / 6 { 1.0 / 0.3 } else { 0.0 }).collect();
    let shape = [3, 6];
    safetensors::write(&files.weights, &[("lin.weight", ArrayView::new(&shape, &W).unwrap())], &BTreeMap::new())
        .unwrap();
    files.write_data(6, &x, None);
    let (said, found) = files.succeeds(&["--params", "all", "--top", "18", "--loss", "linear-mse", "--probes", "0"]);
    assert!(said.contains("accuracy 100.00 %"), "{said}");
    let why = found["gamma"]["c"]["none"].as_str().unwrap_or_else(|| panic!("{said}"));
    assert!(why.contains("expected at least 3; dropped:") && why.contains("with y below its noise floor"), "{why}");
}

#[test]
fn files_of_other_kinds_and_numbers_out_of_range_are_named() {
    let files = Files::of(&[("lin.weight", &[3, D])], D);
    let all = ["--params", "all", "--top", "3"];
    for (batch, words) in [("13", "has 12 samples to draw from"), ("12", "")] {
        let with = [&all[..], &["--batch", batch]].concat();
        if words.is_empty() { drop(files.succeeds(&with)) } else { assert!(files.fails(&with).contains(words)) }
    }
    let error = files.fails(&[&all[..], &["--batch", "6", "--samples", "5"]].concat());
    assert!(error.contains("--batch 6") && error.contains("has 5 samples to draw from"), "{error}");
    for (bytes, words) in [
        (&b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl"[..], "a PyTorch checkpoint (.pt)"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a Python pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"{\"weight_map\": {}}", "the index of a network in several files"),
        (b"<!DOCTYPE html>", "a web page"),
    ] {
        fs::write(&files.weights, bytes).unwrap();
        let error = files.fails(&all);
        assert!(error.contains(words) && error.contains("net.safetensors"), "{error}");
    }
    let one = Files::of(&[("lin.weight", &[1, D])], D);
    assert!(one.fails(&all).contains("the network gives one number a sample"));
    let wide = Files::of(&[("lin.weight", &[300, D])], D);
    assert!(wide.fails(&all).contains("300 classes, expected at most 256"));
    let large = Files::of(&[("lin.weight", &[3, 2000])], 2000);
    let error = large.fails(&["--params", "all", "--top", "6000"]);
    assert!(error.contains("--top 6000: expected at most"), "{error}");
}
