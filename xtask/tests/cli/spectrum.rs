//! `spectrum`, of a run and of files, against the dense matrices.

use super::{fails, succeeds, text};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_spectrum_agrees_with_the_dense_one_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let [out, exported, one, two] =
        [out, folder.path().join("m"), folder.path().join("one"), folder.path().join("two")];
    succeeds(&["reproduce", "--profile", "tiny", "--only", "table1", "--quiet", "--out", text(&out)]);
    let id = "mnist-tiny-mse-c3-s0";
    let with = |further: &[&'static str]| {
        let mut args = vec!["spectrum", id, "--out", text(&out)];
        args.extend(further);
        args
    };
    let run = |to: &Path, further: &[&'static str]| {
        let mut args = with(further);
        args.extend(["--to", text(to)]);
        succeeds(&args)
    };
    let said = run(&one, &["--params", "fc2", "--top", "10", "--threads", "1", "--vectors"]);
    assert!(said.contains("γ of C on H") && said.contains("products in"), "{said}");
    let two_args = ["spectrum", "--run", id, "--out", text(&out), "--to", text(&two), "--params", "fc2.weight"];
    succeeds(&[&two_args[..], &["--top", "10", "--threads", "2"]].concat());
    let read = |file: &str| [&one, &two].map(|to| fs::read(to.join(file)).unwrap());
    for file in ["pairs.csv", "spectrum.svg"] {
        let [first, second] = read(file);
        assert!(file == "spectrum.svg" || first == second, "{file} depends on the number of threads");
        assert!(first.len() > 500, "{file}");
    }
    // Both scatters are centred on their fits, and so stand at the same height.
    let svg = fs::read_to_string(one.join("spectrum.svg")).unwrap();
    let heights = svg.split("<g ").filter(|group| group.contains("<circle")).map(|group| {
        let of = group.split("cy=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse::<f64>().unwrap());
        let heights: Vec<f64> = of.collect();
        heights.iter().sum::<f64>() / heights.len() as f64
    });
    let heights: Vec<f64> = heights.collect();
    assert!(heights.len() == 2 && (heights[0] - heights[1]).abs() < 1.0, "{heights:?}");

    succeeds(&["export", id, "--to", text(&exported), "--out", text(&out)]);
    let moments = superlinear_store::npz::read(&exported.join("moments.npz")).unwrap();
    let numbers = |name: &str| match &moments[name].values {
        superlinear_store::array::OwnedValues::F64(values) => values.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let (truth, V) = (numbers("eigenvalues"), numbers("eigenvectors"));
    let P = truth.len();
    let diagonal = |name: &str, i: usize| -> f64 {
        let A = numbers(name);
        let v: Vec<f64> = (0..P).map(|row| V[row * P + i]).collect();
        (0..P).map(|r| v[r] * (0..P).map(|c| A[r * P + c] * v[c]).sum::<f64>()).sum()
    };
    let found: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(one.join("spectrum.json")).unwrap()).unwrap();
    let pairs = found["pairs"].as_array().unwrap();
    assert!(pairs.len() == 10 && pairs.iter().all(|pair| pair["converged"] == true), "{found}");
    assert_eq!(found["layout"], serde_json::json!([{ "name": "fc2.weight", "entries": P }]));
    let vectors = superlinear_store::npz::read(&one.join("vectors.npz")).unwrap();
    let superlinear_store::array::OwnedValues::F64(ritz) = &vectors["vectors"].values else { panic!("{vectors:?}") };
    assert_eq!(vectors["vectors"].shape, [10, P]);
    for (i, ritz) in ritz.chunks_exact(P).enumerate() {
        let along: f64 = (0..P).map(|row| V[row * P + i] * ritz[row]).sum();
        assert!((along.abs() - 1.0).abs() < 1e-6, "{i}: {along}");
    }
    for (i, pair) in pairs.iter().enumerate() {
        let of = |key: &str| pair[key].as_f64().unwrap();
        assert!((of("value") / truth[i] - 1.0).abs() < 1e-8, "{i}: {pair} {}", truth[i]);
        assert!((of("H_ii") / truth[i] - 1.0).abs() < 1e-8, "{i}: {pair} {}", truth[i]);
        for (key, name) in [("C_ii", "C"), ("M2_ii", "M2")] {
            let dense = diagonal(name, i);
            assert!((of(key) / dense - 1.0).abs() < 1e-5, "{i}: {pair} {dense}");
        }
    }
    // The exported files are a network and images like any other's: the same numbers.
    let files = ["weights.safetensors", "data.npz"].map(|file| exported.join(file));
    let of_files = |weights: &Path, data: &Path, further: &[&str]| {
        let mut args = vec!["spectrum", "--weights", text(weights), "--data", text(data), "--params", "fc2"];
        args.extend(["--top", "10", "--loss", "mse", "--activation", "relu"]);
        args.extend(further);
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let again = folder.path().join("again");
    let batch = found["batch"].to_string();
    let said = succeeds(&as_strs(&of_files(&files[0], &files[1], &["--batch", &batch, "--to", text(&again)])));
    assert!(said.contains("first to last: fc1 is fc1, fc2 is fc2"), "{said}");
    let of_files_found: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(again.join("spectrum.json")).unwrap()).unwrap();
    for key in ["pairs", "gamma", "trace", "n_samples"] {
        assert_eq!(of_files_found[key], found[key], "{key}");
    }
    let error = fails(&as_strs(&of_files(&files[1], &files[1], &["--to", text(&again)])));
    assert!(error.contains("data.npz"), "{error}");
    let moments = exported.join("moments.npz");
    let error = fails(&as_strs(&of_files(&files[0], &moments, &["--to", text(&again)])));
    assert!(error.contains("moments.npz: no array \"x\"; found"), "{error}");
    let error = fails(&["spectrum", id, "--weights", text(&files[0]), "--data", text(&moments), "--params", "all"]);
    assert!(error.contains("cannot be used with"), "{error}");
    let error = fails(&["spectrum", id, "--data", text(&files[1]), "--params", "all", "--out", text(&out)]);
    assert!(error.contains("--data") && error.contains("cannot be used with"), "{error}");
    // All the directions that the run's own fit uses: its slope, and the sampling error of its bootstrap, which 20
    // draws tell to 16 %.
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("tiny/summary.json")).unwrap()).unwrap();
    let runs = summary["runs"].as_array().unwrap();
    let dense = &runs.iter().find(|run| run["id"] == id).unwrap()["gamma"];
    let all = folder.path().join("all");
    let said = run(&all, &["--params", "fc2", "--top", "100", "--tol", "1e-12", "--probes", "0", "--quiet"]);
    assert_eq!(said, "", "--quiet");
    let free: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(all.join("spectrum.json")).unwrap()).unwrap();
    for (free, dense) in [(&free["gamma"]["c"], &dense["c_on_h"]), (&free["gamma"]["m2"], &dense["m2_on_h"])] {
        let [free_slope, dense_slope] = [free, dense].map(|gamma| gamma["slope"].as_f64().unwrap());
        assert!((free_slope - dense_slope).abs() < 1e-6, "{free} {dense}");
        let ratio = free["sampling_se"].as_f64().unwrap() / dense["sampling_se"].as_f64().unwrap();
        assert!((0.5..2.0).contains(&ratio), "{free} {dense}");
        assert!(free["ritz_bound"].as_f64().unwrap() < 1e-4, "{free}");
    }
    let trace = |name: &str| found["trace"][name].as_f64().unwrap();
    let dense: f64 = truth.iter().sum();
    assert!((trace("value") - dense).abs() <= 5.0 * trace("standard_error") + 1e-12, "{found} {dense}");
    // Jointly over two layers, one of which the run has analysed alone: as the first spectrum has it.
    let joint = folder.path().join("joint");
    let said = run(&joint, &["--params", "fc2,fc3", "--top", "10", "--probes", "0"]);
    assert!(said.contains("fc2    has") && said.contains("alone, over 10 of its own"), "{said}");
    let joint: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(joint.join("spectrum.json")).unwrap()).unwrap();
    let layers = joint["layers"].as_array().unwrap();
    assert_eq!((&layers[0]["name"], &layers[1]["name"], layers.len()), (&"fc2".into(), &"fc3".into(), 2));
    let shares = |layer: usize| layers[layer]["shares"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap());
    assert_eq!(shares(0).len(), 10);
    for (one, other) in shares(0).zip(shares(1)) {
        assert!(one > 0.0 && other > 0.0 && (one + other - 1.0).abs() < 1e-12, "{joint}");
    }
    for y in ["c", "m2"] {
        let alone = layers[0]["gamma_alone"][y]["slope"].as_f64().unwrap();
        assert!((alone - found["gamma"][y]["slope"].as_f64().unwrap()).abs() < 1e-5, "{joint} {found}");
    }
    assert!(layers[1]["gamma_alone"].is_null() && found["layers"].as_array().unwrap().is_empty());
    for operator in ["ggn", "fisher", "noise", "second-moment"] {
        let to = folder.path().join(operator);
        succeeds(
            &[
                &with(&["--params", "fc2,fc3", "--top", "3", "--probes", "2", "--operator"])[..],
                &[operator, "--to", text(&to)],
            ]
            .concat(),
        );
    }

    let fails = |further: &[&'static str]| fails(&with(further));
    for (further, words) in [
        (&["--params", "fc9"][..], "no parameters \"fc9\" in this network; known: all, fc1, fc1.weight, fc2"),
        (&["--params", ""], "no parameters selected; known: all"),
        (&["--params", "fc2", "--top", "145"], "--top 145: fc2 has 144 parameters"),
        (&["--params", "fc2", "--samples", "100000"], "training images"),
    ] {
        let error = fails(further);
        assert!(error.contains(words) && error.lines().count() == 1, "{error}");
    }
    // Directions of the null space of Σ, all of them converged, have no say in the exponent.
    let null = folder.path().join("null");
    let said =
        run(&null, &["--params", "fc2", "--operator", "noise", "--samples", "10", "--top", "40", "--probes", "0"]);
    assert!(said.contains("31 converged values are zero to rounding and in no fit"), "{said}");
    for (value, why) in [("-1", "from"), ("inf", "less than 1"), ("1e-300", "from 2.2e-16")] {
        let error = fails(&["--params", "fc2", "--tol", value]);
        assert!(error.contains("--tol") && error.contains(why), "{error}");
    }
    assert!(fails(&["--params", "fc2", "--samples", "1"]).contains("at least 2"));
    let error = self::fails(&["spectrum", "nope", "--params", "fc2", "--out", text(&out)]);
    assert!(error.contains("no run \"nope\"") && error.contains(id), "{error}");
}

#[cfg(unix)]
#[test]
fn a_spectrum_is_interrupted_between_products() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let [out, to] = ["out", "to"].map(|name| folder.path().join(name));
    succeeds(&["reproduce", "--profile", "tiny", "--only", "table1", "--quiet", "--out", text(&out)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["spectrum", "mnist-tiny-mse-c3-s0", "--params", "fc2", "--top", "3", "--probes", "1000000"])
        .args(["--out", text(&out), "--to", text(&to)])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // So tiny a network answers less than one in three of three classes right, and that is said.
    for stage in [
        "network  mean loss",
        "warning  the accuracy of 0.56 % is less than the 33.33 %",
        "pairs  3 of 3 converged",
        "diagonals  of H, Σ and M₂ along 3 vectors",
        "trace  ",
    ] {
        let line = lines.next().unwrap();
        assert!(line.trim_start().starts_with(stage), "{line}");
    }
    // The density, which would take an hour, has begun.
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let said: Vec<String> = lines.collect();
    assert!(said[0].contains("Ctrl-C again ends at once"), "it is heard at once: {said:?}");
    assert_eq!(said[1..], ["interrupted: nothing was written"]);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["out"], "nothing half-written is left");
}

fn as_strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
