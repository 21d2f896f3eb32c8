//! `analyse --checkpoints`: one analysis a file, kept and continued, and γ over all of them.

use super::{fails, succeeds, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use superlinear_store::array::{Array, OwnedValues};
use superlinear_store::npz::{self, Compression};
use superlinear_store::safetensors;

/// Networks of one graph with other numbers, as epochs leave them, and their data.
struct Epochs {
    folder: tempfile::TempDir,
    data: PathBuf,
    to: PathBuf,
}

const FIXTURE: &str = "mlp-tanh-bias";

fn fixture(ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/graphs").join(format!("{FIXTURE}.{ending}"))
}

impl Epochs {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [data, to] = ["data.npz", "out"].map(|name| folder.path().join(name));
        let epochs = Self { folder, data, to };
        epochs.write_data(|y| y);
        epochs
    }

    fn write_data(&self, class: impl Fn(i64) -> i64) {
        let mut tensors = safetensors::read(&fixture("safetensors")).unwrap().tensors;
        let [x, y, logits] = ["x", "y", "logits"].map(|name| tensors.remove(name).unwrap());
        let OwnedValues::I64(classes) = &y.values else { panic!("{y:?}") };
        let values = OwnedValues::I64(classes.iter().map(|&y| class(y)).collect());
        let y = Array { shape: y.shape, values };
        let arrays = [("x", &x), ("y", &y), ("logits", &logits)].map(|(name, array)| (name, array.view().unwrap()));
        npz::write(&self.data, &arrays, Compression::Stored).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The fixture with the numbers of `tensor` times `factor`.
    fn write(&self, name: &str, tensor: &str, factor: f32) {
        let mut bytes = fs::read(fixture("onnx")).unwrap();
        let tensors = safetensors::read(&fixture("safetensors")).unwrap().tensors;
        let OwnedValues::F32(numbers) = &tensors[&format!("model/{tensor}")].values else { panic!("{tensor}") };
        let own: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let at = bytes.windows(own.len()).position(|window| window == own).unwrap();
        let scaled: Vec<u8> = numbers.iter().flat_map(|x| (factor * x).to_le_bytes()).collect();
        bytes[at..at + own.len()].copy_from_slice(&scaled);
        fs::write(self.file(name), bytes).unwrap();
    }

    fn args<'a>(&'a self, pattern: &'a str, further: &[&'a str]) -> Vec<&'a str> {
        let own = ["analyse", "--checkpoints", pattern, "--data", text(&self.data), "--to", text(&self.to)];
        let asked = ["--loss", "ce", "--batch", "5", "--every-layer", "--top", "15", "--quiet"];
        [&own[..], &asked, further].concat()
    }

    fn answers(&self) -> Vec<Value> {
        let found: Value = serde_json::from_slice(&fs::read(self.to.join("analysis.json")).unwrap()).unwrap();
        found["answers"].as_array().unwrap().clone()
    }

    /// Changes the kept mean loss of a checkpoint, which no analysis gives.
    fn mark(&self, name: &str) {
        let path = self.to.join(name).join("checkpoint.json");
        let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        kept["mean_loss"] = MARK.into();
        fs::write(path, kept.to_string()).unwrap();
    }

    /// Which checkpoints are marked.
    fn marked(&self) -> Vec<u64> {
        let answers = self.answers().into_iter().filter(|row| row["answer"]["mean_loss"] == MARK);
        answers.map(|row| row["number"].as_u64().unwrap()).collect()
    }
}

const MARK: f64 = 12345.0;

#[test]
fn checkpoints_are_analysed_in_order_and_an_answer_is_kept_until_something_changes() {
    let epochs = Epochs::new();
    for (name, factor) in [("epoch-2.onnx", 0.5), ("epoch-10.onnx", 1.0), ("epoch-1.onnx", 0.25)] {
        epochs.write(name, "2.weight", factor);
    }
    let [some, all] = ["epoch-?.onnx", "epoch-*.onnx"].map(|name| epochs.file(name));
    let [some, all] = [&some, &all].map(|path| epochs.args(text(path), &[]));
    // Two, then a third that training has left meanwhile: those that are done are not done again.
    assert_eq!(succeeds(&some), "");
    let numbers = |rows: &[Value]| rows.iter().map(|row| row["number"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&epochs.answers()), [1, 2]);
    ["epoch-1", "epoch-2"].iter().for_each(|name| epochs.mark(name));
    succeeds(&all);
    assert_eq!((numbers(&epochs.answers()), epochs.marked()), (vec![1, 2, 10], vec![1, 2]));
    // A file in the place of the pattern asks the same, and an answer that is lost is found again.
    fs::remove_file(epochs.to.join("epoch-2/checkpoint.json")).unwrap();
    let files = ["epoch-10.onnx", "epoch-1.onnx", "epoch-2.onnx"].map(|name| epochs.file(name));
    let listed: Vec<&str> = files.iter().map(|file| text(file)).collect();
    succeeds(&[&["analyse", "--checkpoints"], &listed[..], &all[3..]].concat());
    assert_eq!((numbers(&epochs.answers()), epochs.marked()), (vec![1, 2, 10], vec![1]));
    // Other numbers in a file, other samples, another question.
    epochs.write("epoch-1.onnx", "2.weight", 0.75);
    ["epoch-2", "epoch-10"].iter().for_each(|name| epochs.mark(name));
    succeeds(&all);
    assert_eq!(epochs.marked(), [2, 10]);
    epochs.mark("epoch-1");
    epochs.write_data(|y| 3 - y);
    succeeds(&all);
    assert_eq!(epochs.marked(), [0; 0]);
    let pattern = epochs.file("epoch-*.onnx");
    let other = epochs.args(text(&pattern), &["--seed", "1"]);
    assert!(fails(&other).contains("it holds the result of something else"));
    epochs.mark("epoch-1");
    succeeds(&[&other[..], &["--force"]].concat());
    assert_eq!(epochs.marked(), [0; 0]);
}

#[test]
fn gamma_over_training_is_that_of_each_network_alone() {
    let epochs = Epochs::new();
    for (name, factor) in [("epoch-3.onnx", 1.0), ("epoch-20.onnx", 0.5)] {
        epochs.write(name, "2.weight", factor);
    }
    let pattern = epochs.file("epoch-*.onnx");
    let loud: Vec<&str> = epochs.args(text(&pattern), &[]).into_iter().filter(|arg| *arg != "--quiet").collect();
    let said = succeeds(&loud);
    assert!(said.contains("       20  ") && said.contains("γ of M₂ on H") && said.contains("trajectory.csv"), "{said}");
    let answers = epochs.answers();
    let csv = fs::read_to_string(epochs.to.join("trajectory.csv")).unwrap();
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let cells: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let cell = |row: &[&str], name: &str| row[header.iter().position(|own| *own == name).unwrap()].to_owned();
    let mut slopes = Vec::new();
    for (k, (row, name)) in answers.iter().zip(["epoch-3", "epoch-20"]).enumerate() {
        let (alone, model) = (epochs.file(&format!("alone-{k}")), epochs.file(&format!("{name}.onnx")));
        let mut args = vec!["analyse", "--model", text(&model)];
        args.extend(&epochs.args("", &[])[3..]);
        // The logits are those of the last one.
        let without = npz::read(&epochs.data).unwrap();
        let data = epochs.file("without.npz");
        let arrays = ["x", "y"].map(|name| (name, without[name].view().unwrap()));
        npz::write(&data, &arrays, Compression::Stored).unwrap();
        let at = |name: &str, args: &[&str]| args.iter().position(|arg| *arg == name).unwrap() + 1;
        let (data_at, to_at) = (at("--data", &args), at("--to", &args));
        (args[data_at], args[to_at]) = (text(&data), text(&alone));
        succeeds(&args);
        let truth: Value = serde_json::from_slice(&fs::read(alone.join("analysis.json")).unwrap()).unwrap();
        let own = fs::read(epochs.to.join(name).join("analysis.json")).unwrap();
        let own: Value = serde_json::from_slice(&own).unwrap();
        assert_eq!(row["answer"]["mean_loss"], truth["mean_loss"]);
        for (t, tensor) in truth["tensors"].as_array().unwrap().iter().enumerate() {
            let found = &row["answer"]["tensors"][t];
            assert_eq!(found["name"], tensor["name"]);
            assert_eq!(own["tensors"][t]["c_on_h"], tensor["c_on_h"]);
            let line = &cells[k * truth["tensors"].as_array().unwrap().len() + t];
            assert_eq!(cell(line, "tensor"), tensor["name"].as_str().unwrap());
            for (of, column) in [("c_on_h", "gamma_C_on_H"), ("m2_on_h", "gamma_M2_on_H"), ("c_on_m2", "C_on_M2")] {
                assert_eq!(found[of]["slope"], tensor[of]["slope"]);
                assert_eq!(found[of]["error"], tensor[of]["error"]);
                assert_eq!(cell(line, column).parse::<f64>().unwrap(), tensor[of]["slope"].as_f64().unwrap());
                slopes.push(tensor[of]["slope"].as_f64().unwrap());
            }
            assert_eq!(found["kappa_max"], tensor["bounds"]["kappa_max"]);
            assert_eq!(found["xy_correlation"][0], tensor["alignment"]["all_pairs"]["mean"]);
        }
    }
    assert!(slopes.len() == 18 && slopes[..9].iter().zip(&slopes[9..]).all(|(one, other)| one != other), "{slopes:?}");
    let page = fs::read_to_string(epochs.to.join("report.html")).unwrap();
    assert!(page.contains("href=\"epoch-20/report.html\"") && !page.contains("{{") && !page.contains("NaN"));
    assert!(epochs.to.join("gamma-over-training.png").exists());
}

#[test]
fn a_checkpoint_without_an_answer_leaves_the_others_theirs() {
    let epochs = Epochs::new();
    epochs.write("epoch-1.onnx", "4.weight", 0.0);
    epochs.write("epoch-2.onnx", "4.weight", 1.0);
    let pattern = epochs.file("epoch-*.onnx");
    let error = fails(&epochs.args(text(&pattern), &[]));
    assert!(
        error.contains("1 of 2 checkpoints have no answer; epoch-1: ") && error.contains("no curvature"),
        "{error}"
    );
    let answers = epochs.answers();
    assert!(answers[0]["answer"].is_null() && answers[0]["reason"].as_str().unwrap().contains("no curvature"));
    assert_eq!(answers[1]["number"], 2);
    assert!(fs::read_to_string(epochs.to.join("report.html")).unwrap().contains("none: "));
}

#[test]
fn names_without_an_order_and_broken_files_are_errors_before_anything_is_done() {
    let epochs = Epochs::new();
    epochs.write("epoch-1.onnx", "2.weight", 1.0);
    epochs.write("final.onnx", "2.weight", 1.0);
    let of = |pattern: &str, further: &[&str]| fails(&epochs.args(text(&epochs.file(pattern)), further));
    let error = of("*.onnx", &[]);
    assert!(error.contains("no number in the name final.onnx") && error.contains("found epoch-1.onnx, fin"), "{error}");
    assert!(of("step-*.onnx", &[]).contains("no such file; networks in "));
    assert!(of("epoch-*.onnx", &["--model", "net.onnx"]).contains("cannot be used with"));
    fs::write(epochs.file("epoch-2.onnx"), "version https://git-lfs").unwrap();
    assert!(of("epoch-*.onnx", &[]).contains("epoch-2.onnx"));
    assert!(!epochs.to.exists());
    // A folder of somebody else's.
    fs::remove_file(epochs.file("epoch-2.onnx")).unwrap();
    fs::create_dir(&epochs.to).unwrap();
    fs::write(epochs.to.join("thesis.tex"), "years").unwrap();
    assert!(of("epoch-*.onnx", &[]).contains("is not an earlier result"));
}
