//! The commands as a user runs them.
#![allow(non_snake_case)]

mod analyse;
mod checkpoints;
mod own_files;
mod spectrum;
mod table1;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

fn xtask(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output().expect("the binary runs")
}

fn succeeds(args: &[&str]) -> String {
    let output = xtask(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The one line that a failing command says.
fn fails(args: &[&str]) -> String {
    let output = xtask(args);
    assert!(!output.status.success(), "{args:?} should fail");
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What the tests of shares and of the whole ask for.
const REQUEST: [&str; 6] = ["reproduce", "--profile", "smoke", "--only", "power-law,bounds", "--quiet"];

/// The runs of the profile of tiny networks; no figure shows them unless asked to.
const TINY_RUNS: &str = "mnist-tiny-ce-c3-s0,mnist-tiny-mse-c3-s0";

/// `REQUEST` into `out`, with further arguments.
fn request<'a>(out: &'a Path, further: &[&'a str]) -> Vec<&'a str> {
    [&REQUEST[..], &["--out", text(out)], further].concat()
}

/// The results of one process, made once for all tests.
fn whole() -> &'static Path {
    static WHOLE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        succeeds(&request(folder.path(), &[]));
        folder
    });
    folder.path()
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to) } else { assert!(fs::copy(entry.path(), to).is_ok()) }
    }
}

/// The runs of a summary, in which nothing depends on the clock.
fn timeless_runs(results: &Path) -> Vec<serde_json::Value> {
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(results.join("summary.json")).unwrap()).unwrap();
    summary["runs"].as_array().unwrap().clone()
}

#[test]
fn shares_merge_into_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // As an MPI launcher starts them.
    let children: Vec<_> = (0..2)
        .map(|rank| {
            Command::new(env!("CARGO_BIN_EXE_xtask"))
                .args(request(&out, &["--shard", "auto", "--threads", "1"]))
                .env("OMPI_COMM_WORLD_RANK", rank.to_string())
                .env("OMPI_COMM_WORLD_SIZE", "2")
                .spawn()
                .expect("the binary runs")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let shares = [1, 2].map(|k| out.join(format!("smoke/shards/{k}-of-2")));
    let [first, second] = shares.each_ref().map(|share| text(share));

    let merged = folder.path().join("merged");
    let to = ["--quiet", "--out", text(&merged)];
    let error = fails(&[&["merge", first], &to[..]].concat());
    assert!(error.contains("1 runs are missing: mnist-mlp-"), "{error}");
    let error = fails(&[&["merge", first, second, first], &to[..]].concat());
    assert!(error.contains("is in ") && error.contains("1-of-2"), "{error}");
    let error = fails(&[&["merge", first, text(folder.path())], &to[..]].concat());
    assert!(error.contains("no results.json"), "{error}");
    // Another request, and a damaged record.
    let other = folder.path().join("other");
    copy(&shares[1], &other);
    let part = fs::read_to_string(other.join("results.json")).unwrap();
    fs::write(other.join("results.json"), part.replace("power-law", "table1")).unwrap();
    let error = fails(&[&["merge", first, text(&other)], &to[..]].concat());
    assert!(error.contains("different requests: outputs [") && error.contains("table1"), "{error}");
    assert!(!error.contains("featured"), "{error}");
    assert!(!merged.exists(), "nothing is written before all is well");

    succeeds(&[&["merge", first, second], &to[..]].concat());
    let merged = merged.join("smoke");
    assert_eq!(timeless_runs(&merged), timeless_runs(&whole().join("smoke")));
    for figure in ["power-law.svg", "bounds.svg"] {
        let read = |results: &Path| fs::read(results.join("figures").join(figure)).unwrap();
        assert!(read(&merged) == read(&whole().join("smoke")), "{figure}");
    }
    assert!(merged.join("report.html").is_file());
}

/// Every verdict reads the same in the report and in the summary.
#[test]
fn the_report_says_what_the_summary_says() {
    let results = whole().join("smoke");
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(results.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["schema"], 3);
    let report = fs::read_to_string(results.join("report.html")).unwrap();
    let mut rest = report.as_str();
    for claim in summary["claims"].as_array().unwrap() {
        rest = rest.split_once(&format!("<strong>{}</strong>", claim["id"].as_str().unwrap())).expect("in order").1;
        for judged in [&claim["paper"], &claim["ours"]].into_iter().filter(|judged| !judged.is_null()) {
            let cell = rest.split_once("<td class=\"verdict ").expect("a verdict").1;
            let (words, after) = cell.split_once('>').unwrap().1.split_once("</td>").unwrap();
            assert_eq!(words, judged["verdict"].as_str().unwrap(), "{}", claim["id"]);
            rest = after;
        }
    }
    assert!(!rest.contains("class=\"verdict "), "no verdict is of no claim");
    // γ_AWD is the exponent of M₂; the old key of another quantity is gone.
    let gamma = summary["runs"][0]["gamma"].as_object().unwrap();
    assert!(gamma.contains_key("m2_on_h") && gamma.contains_key("c_awd_on_h") && !gamma.contains_key("awd"));
    for sentence in summary["headline"]["answer"].as_array().unwrap() {
        let beginning: String = sentence.as_str().unwrap().chars().take(12).collect();
        assert!(report.contains(&beginning), "{beginning}");
    }
}

#[test]
fn finished_results_verify_and_changed_ones_do_not() {
    let results = whole().join("smoke");
    succeeds(&["verify", text(&results), "--recompute"]);

    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("smoke");
    copy(&results, &changed);
    let file = changed.join("tables/bounds.csv");
    let table = fs::read_to_string(&file).unwrap();
    let cell = table.lines().nth(1).unwrap().split(',').nth(1).unwrap().to_owned();
    fs::write(&file, table.replacen(&cell, "1.0e0", 1)).unwrap();
    fs::remove_file(changed.join("figures/bounds.png")).unwrap();
    let error = fails(&["verify", text(&changed), "--quiet"]);
    assert!(error.contains("tables/bounds.csv line 2") && error.contains(&cell), "{error}");
    assert!(error.contains("figures/bounds.png: cannot read"), "{error}");
}

/// Where an MPI launcher is installed: two ranks share the runs.
#[test]
fn ranks_of_mpirun_take_a_share_each() {
    let found = Command::new("mpirun").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_xtask");
    let output = Command::new("mpirun")
        .args(["--allow-run-as-root", "--oversubscribe", "-np", "2", binary])
        .args(request(folder.path(), &["--shard", "auto", "--dry-run"]))
        .output()
        .unwrap();
    let plan = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for run in ["mnist-mlp-ce-c10-s0 ", "mnist-mlp-mse-c10-s0 "] {
        assert_eq!(plan.matches(run).count(), 1, "{plan}");
    }
    assert_eq!(plan.matches("1 runs: about").count(), 2, "{plan}");
}

#[test]
fn smoke_runs_from_images_to_report_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results é");
    copy(whole(), &out);
    let results = out.join("smoke");
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(results.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["schema"], 3);
    assert_eq!(summary["plan"], "smoke");
    let runs = summary["runs"].as_array().unwrap();
    let ids: Vec<&str> = runs.iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["mnist-mlp-ce-c10-s0", "mnist-mlp-mse-c10-s0"]);
    for run in runs {
        assert_eq!(run["layer"]["d_out"], 50);
        assert!(run["train"]["final_train_acc"].as_f64().unwrap() > 0.9, "{run}");
        for pair in ["c_on_h", "m2_on_h", "c_on_m2", "c_awd_on_h"] {
            let fit = &run["gamma"][pair];
            let gamma = fit["slope"].as_f64().unwrap();
            assert!((0.8..=2.0).contains(&gamma), "{pair} {gamma}");
            let counted = fit["n_used"].as_u64().unwrap() + fit["n_dropped"].as_u64().unwrap();
            assert_eq!(counted, fit["top"].as_u64().unwrap());
        }
    }
    let figures = summary["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 2);
    for file in figures.iter().flat_map(|figure| figure["files"].as_array().unwrap()) {
        assert!(fs::metadata(results.join(file.as_str().unwrap())).unwrap().len() > 1_000);
    }
    let claims = summary["claims"].as_array().unwrap();
    let verdicts = ["holds", "does not hold", "undecided", "not tested"];
    assert!(
        claims.len() == 8 && claims.iter().all(|claim| verdicts.contains(&claim["paper"]["verdict"].as_str().unwrap()))
    );
    let page = fs::read_to_string(results.join("report.html")).unwrap();
    assert!(page.contains("data:image/svg+xml;base64,") && !page.contains("{{"));
    assert!(!page.contains("NaN"));

    let to = folder.path().join("exported");
    let id = ids[0];
    succeeds(&["export", id, "--to", text(&to), "--out", text(&out)]);
    for file in ["weights.safetensors", "data.npz", "moments.npz", "awd.npz", "manifest.json"] {
        assert!(to.join(file).is_file(), "{file}");
    }
    // Exporting again replaces its own folder, but nobody else's.
    succeeds(&["export", id, "--to", text(&to), "--out", text(&results)]);
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years").unwrap();
    fs::write(foreign.join("manifest.json"), "{}").unwrap();
    fails(&["export", id, "--to", text(&foreign), "--out", text(&out)]);
    assert!(foreign.join("thesis.tex").is_file());
    let error = fails(&["export", "mnist-mlp-ce-c10-s7", "--to", text(&to), "--out", text(&out)]);
    assert!(error.contains("mnist-mlp-ce-c10-s7") && error.contains(id), "{error}");

    // A damaged record is refused, by name.
    let runs = fs::read_dir(results.join("runs")).unwrap().map(|entry| entry.unwrap().path());
    let run = runs.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(id)).unwrap();
    let record = run.join("training.rec");
    let mut bytes = fs::read(&record).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&record, bytes).unwrap();
    let error = fails(&["export", id, "--to", text(&to), "--out", text(&out)]);
    assert!(error.contains(id) && error.contains("training.rec: corrupt"), "{error}");
}

#[test]
fn words_of_the_report_render_without_a_trace_of_their_markup() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(&["reproduce", "--profile", "tiny", "--runs", TINY_RUNS, "--quiet", "--out", text(folder.path())]);
    let page = fs::read_to_string(folder.path().join("tiny/report.html")).unwrap();
    for mark in ["`", "_{", "^{"] {
        assert!(!page.contains(mark), "{mark}");
    }
    // An index that has swallowed what stands behind it is none of these.
    let known = "1 2 AWD M₂ SD SD,WD dual emp gg hg hh i ii ij in jj k m max m≤k out p w y γ";
    let mut n = 0;
    for (open, close) in [("<sub>", "</sub>"), ("<sup>", "</sup>")] {
        for (index, _) in page.split(open).skip(1).filter_map(|rest| rest.split_once(close)) {
            assert!(known.split(' ').any(|known| known == index), "{index}");
            n += 1;
        }
    }
    assert!(n > 200, "{n} indices");
    assert!(page.contains("U<sub>k</sub>ᵀV<sub>k</sub>") && page.contains("href=\"#symbols\""));
    assert!(!page.contains("fc2,fc3,fc4"), "no deep network is shown here");
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let plan = succeeds(&["reproduce", "--profile", "paper", "--dry-run", "--seeds", "3", "--out", text(&out)]);
    let counts =
        [("mnist-mlp-", 18), ("cifar10-mlp-", 18), ("mnist-cnn-", 18), ("cifar10-cnn-", 18), ("mnist-deep-mlp-", 3)];
    for (runs, count) in counts {
        assert_eq!(plan.lines().filter(|line| line.starts_with(runs)).count(), count, "{plan}");
    }
    assert!(plan.contains("75 runs: about "), "{plan}");
    assert!(!out.exists());
}

#[test]
fn bad_arguments_are_named() {
    let error = fails(&["reproduce", "--profile", "huge"]);
    assert!(error.contains("huge") && error.contains("smoke"), "{error}");
    let error = fails(&["reproduce", "--only", "tabel1"]);
    assert!(error.contains("tabel1") && error.contains("table1"), "{error}");
    assert!(fails(&["reproduce", "--seeds", "0"]).contains("--seeds"));
    let error = fails(&["reproduce", "--seeds", "-1"]);
    assert!(error.contains("--seeds") && error.contains("expected a whole number from 1"), "{error}");
    let error = fails(&["reproduce", "--profile", "smoke", "--dry-run", "--checkpoints", "5,9999"]);
    assert!(error.contains("--checkpoints 9999") && error.contains("epochs"), "{error}");
    let error = fails(&["data", "verify", "--data-dir", "/no/such/folder"]);
    assert!(error.contains("/no/such/folder: found no file of any data set"), "{error}");
    let error = fails(&["reproduce", "--threads", "100000"]);
    assert!(error.contains("100000") && error.contains("from 1 to 1024"), "{error}");
    let error = fails(&["reproduce", "--shard", "3/2"]);
    assert!(error.contains("3/2") && error.contains("from 1 to n"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = fails(&["reproduce", "--profile", "smoke", "--out", text(&file)]);
    assert!(error.contains("a file") && error.lines().count() == 1, "{error}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_cleanly_and_writes_no_results() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["reproduce", "--profile", "quick", "--out", text(&out)])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let interrupted = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    let left = fs::read_dir(out.join("quick")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| name == "runs"), "what is done is kept, and no results are written");
}
