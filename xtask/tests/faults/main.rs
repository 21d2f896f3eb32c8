//! Reproductions that are killed, shared, damaged and gone on with: the numbers are those of one that ran through.
//!
//! All on a profile of two tiny networks that takes a second. With `SUPERLINEAR_SLOW=1` the process is killed at 200
//! points.

mod folders;
mod sealed;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use superlinear_store::lock;

/// Every epoch is saved, so that a killed training goes on from the middle.
const REQUEST: [&str; 9] = [
    "reproduce",
    "--profile",
    "tiny",
    "--only",
    "table1,trajectory",
    "--runs",
    "mnist-tiny-ce-c3-s0,mnist-tiny-mse-c3-s0",
    "--save-every",
    "0",
];

fn command(out: &Path, further: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(REQUEST).arg("--out").arg(out).args(further).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn xtask(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a call that succeeds says.
fn succeeds(out: &Path, further: &[&str]) -> String {
    let output = command(out, further).output().unwrap();
    assert!(output.status.success(), "{further:?}: {}", said(&output));
    said(&output)
}

/// The results of a process that nothing disturbed, and how long it took.
fn whole() -> &'static (tempfile::TempDir, Duration) {
    static WHOLE: OnceLock<(tempfile::TempDir, Duration)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        succeeds(folder.path(), &[]);
        (folder, start.elapsed())
    })
}

/// `summary.json` without what depends on the clock or on how many threads there were.
fn timeless(out: &Path) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for name in ["wall_s", "saving_s", "timings", "threads"] {
                    fields.remove(name);
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut summary = serde_json::from_slice(&fs::read(out.join("tiny/summary.json")).unwrap()).unwrap();
    strip(&mut summary);
    summary
}

#[track_caller]
fn agrees_with_the_whole(out: &Path) {
    assert_eq!(timeless(out), timeless(whole().0.path()));
    let figure = |out: &Path| fs::read(out.join("tiny/figures/trajectory.svg")).unwrap();
    assert!(figure(out) == figure(whole().0.path()), "figures differ");
    let output = xtask(&["runs", "verify", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
}

/// The records of all runs whose names contain `part`.
fn records(out: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for run in fs::read_dir(out.join("tiny/runs")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = run.file_name().unwrap().to_str().unwrap();
        if !name.starts_with('.') {
            found.extend(fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().contains(part));
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn a_copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(whole().0.path(), folder.path());
    folder
}

fn kill_after(child: &mut Child, pause: Duration) {
    std::thread::sleep(pause);
    // It may have finished.
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn killed_at_any_instant_it_goes_on_to_the_same_numbers() {
    let n_points = if std::env::var("SUPERLINEAR_SLOW").is_ok_and(|value| value == "1") { 200 } else { 6 };
    let whole_s = whole().1.as_secs_f64();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut n_resumed = 0;
    for point in 0..n_points {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("killed é");
        // Killed once or twice.
        for _ in 0..rng.random_range(1..=2) {
            let mut child = command(&out, &[]).spawn().unwrap();
            kill_after(&mut child, Duration::from_secs_f64(whole_s * rng.random::<f64>()));
        }
        n_resumed += usize::from(out.join("tiny/runs").is_dir() && !records(&out, ".rec").is_empty());
        succeeds(&out, &[]);
        agrees_with_the_whole(&out);
        assert!(records(&out, "set-aside").is_empty(), "point {point}: nothing was half-written");
    }
    assert!(n_resumed * 2 >= n_points, "{n_resumed} of {n_points} were killed after something had been stored");
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let child = command(out, &[]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !out.join("tiny/runs").is_dir() || records(out, "state.rec").is_empty() {
        assert!(Instant::now() < deadline, "no state is saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("the same command goes on from there"), "{}", said(&output));
    let listed = xtask(&["runs", "list", "--out", out.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("mnist-tiny-"), "{}", said(&listed));
    succeeds(out, &[]);
    agrees_with_the_whole(out);
}

#[test]
fn processes_on_one_folder_share_the_work() {
    let folder = tempfile::tempdir().unwrap();
    for (keep, n_trainings) in [("summary", 2), ("none", 0)] {
        let out = folder.path().join(keep);
        let start = |_| command(&out, &["--threads", "1", "--keep", keep]).spawn().unwrap();
        for child in (0..3).map(start).collect::<Vec<Child>>() {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        }
        agrees_with_the_whole(&out);
        assert_eq!(records(&out, "training.rec").len(), n_trainings);
    }
}

#[test]
fn a_process_waits_for_one_that_is_stopped_and_takes_over_from_one_that_dies() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let mut stopped = command(out, &[]).spawn().unwrap();
    while !out.join("tiny/runs").is_dir() || records(out, "state.rec").is_empty() {
        std::thread::sleep(Duration::from_millis(5));
        if stopped.try_wait().unwrap().is_some() {
            // Too quick to be caught: nothing to wait for.
            return;
        }
    }
    assert!(Command::new("kill").args(["-STOP", &stopped.id().to_string()]).status().unwrap().success());
    let waiting = command(out, &[]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    stopped.kill().unwrap();
    stopped.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    agrees_with_the_whole(out);
}

#[test]
fn threads_and_shares_change_no_number() {
    for threads in ["1", "4"] {
        let folder = tempfile::tempdir().unwrap();
        succeeds(folder.path(), &["--threads", threads]);
        agrees_with_the_whole(folder.path());
    }
    let folder = tempfile::tempdir().unwrap();
    for share in ["1/2", "2/2"] {
        succeeds(folder.path(), &["--shard", share, "--threads", "2"]);
    }
    let shares = [1, 2].map(|k| folder.path().join(format!("tiny/shards/{k}-of-2")));
    let merged = folder.path().join("merged");
    let [first, second, to] = [&shares[0], &shares[1], &merged].map(|path| path.to_str().unwrap());
    let output = xtask(&["merge", first, second, "--out", to]);
    assert!(output.status.success(), "{}", said(&output));
    agrees_with_the_whole(&merged);
    // What was merged is not made again.
    let said = succeeds(&merged, &[]);
    assert!(said.contains("nothing to do"), "{said}");
}

#[test]
fn finished_results_are_left_as_they_are_and_a_lost_file_is_drawn_again() {
    let folder = a_copy();
    let summary = folder.path().join("tiny/summary.json");
    let before = fs::read(&summary).unwrap();
    assert!(succeeds(folder.path(), &[]).contains("nothing to do"));
    assert_eq!(fs::read(&summary).unwrap(), before);
    fs::write(folder.path().join("tiny/tables/table1.csv"), "1").unwrap();
    fs::remove_file(&summary).unwrap();
    assert!(!succeeds(folder.path(), &[]).contains("nothing to do"));
    agrees_with_the_whole(folder.path());
}

#[test]
fn another_analysis_finds_the_trained_networks() {
    let folder = a_copy();
    let bytes =
        |out: &Path| records(out, "training.rec").iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    // The record holds the seconds that training took: equal bytes were not made twice.
    let before = bytes(folder.path());
    succeeds(folder.path(), &["--checkpoints", "10,50"]);
    assert_eq!(bytes(folder.path()), before);
    assert_eq!(records(folder.path(), "layer2-epoch-0010").len(), 2);
    // For an epoch that was not kept, training starts again and gives the same networks.
    let last =
        |out: &Path| records(out, "epoch-0060.rec").iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let trained = last(folder.path());
    succeeds(folder.path(), &["--checkpoints", "7"]);
    assert_eq!(records(folder.path(), "layer2-epoch-0007").len(), 2);
    assert_eq!(last(folder.path()), trained);
    // Back to the first request: nothing but drawing.
    let layers = records(folder.path(), "layer2-epoch-0060").len();
    succeeds(folder.path(), &[]);
    agrees_with_the_whole(folder.path());
    assert_eq!(records(folder.path(), "layer2-epoch-0060").len(), layers);
    // And what it does not need can go.
    let out = folder.path().to_str().unwrap();
    let listed = xtask(&["runs", "gc", "--dry-run", "--out", out]);
    assert!(listed.status.success() && records(folder.path(), "epoch-0007-").len() == 2, "{}", said(&listed));
    assert!(xtask(&["runs", "gc", "--out", out]).status.success());
    assert!(records(folder.path(), "epoch-0007-").is_empty());
    assert!(succeeds(folder.path(), &[]).contains("nothing to do"));
    agrees_with_the_whole(folder.path());
}

#[test]
fn damaged_and_foreign_records_are_named_set_aside_and_made_again() {
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Damage, &str); 5] = [
        ("training.rec", |path, _| flip(path), "corrupt: SHA-256"),
        ("epoch-0020.rec", |path, _| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap(), "100 bytes, expected"),
        ("epoch-0060-", |path, _| fs::write(path, "Dear diary").unwrap(), "not a record"),
        ("epoch-0020-", |path, other| assert!(fs::copy(other, path).is_ok()), "belongs to another run"),
        ("training.rec", |path, _| fs::write(path, "").unwrap(), "not a record"),
    ];
    for (name, damage, defect) in damages {
        let folder = a_copy();
        let [path, other] = &records(folder.path(), name)[..] else { panic!("two runs have {name}") };
        damage(path, other);
        let damaged = fs::read(path).unwrap();
        let output = xtask(&["runs", "verify", "--out", folder.path().to_str().unwrap()]);
        assert!(!output.status.success() && said(&output).contains(defect), "{name}: {}", said(&output));
        let said = succeeds(folder.path(), &[]);
        // A network that nothing reads any more is not looked at.
        if name != "epoch-0020.rec" {
            assert!(said.contains(&*path.to_string_lossy()) && said.contains(defect), "{name}: {said}");
            let aside = path.with_file_name(format!("{}.set-aside-1", path.file_name().unwrap().to_str().unwrap()));
            assert_eq!(fs::read(aside).unwrap(), damaged);
            agrees_with_the_whole(folder.path());
        }
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_record_of_a_later_version_stops_it_and_stays() {
    let folder = a_copy();
    let path = records(folder.path(), "training.rec").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    // Behind magic, envelope version, length of the kind and `training`.
    bytes[8 + 2 + 2 + 8] = 99;
    bytes.truncate(bytes.len() - 32);
    bytes.extend(Sha256::digest(&bytes));
    fs::write(&path, &bytes).unwrap();
    let output = command(folder.path(), &[]).output().unwrap();
    let said = said(&output);
    assert!(!output.status.success() && said.contains("version 99") && said.contains("later version"), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("error:")).count(), 1, "{said}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(records(folder.path(), "set-aside").is_empty());
}

#[test]
fn a_record_of_an_earlier_analysis_is_named_and_the_layer_analysed_again() {
    let folder = a_copy();
    let path = records(folder.path(), "layer2-epoch-0020").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    // Behind magic, envelope version, length of the kind and `layer`.
    bytes[8 + 2 + 2 + 5] = 1;
    bytes.truncate(bytes.len() - 32);
    bytes.extend(Sha256::digest(&bytes));
    // Its name holds the hash of what the earlier analysis was a function of.
    let earlier = path.with_file_name("layer2-epoch-0020-0123456789abcdef.rec");
    fs::write(&earlier, &bytes).unwrap();
    fs::remove_file(&path).unwrap();
    let named = format!("{}: version 1 of the analysis, expected 2", earlier.display());
    let output = xtask(&["verify", folder.path().join("tiny").to_str().unwrap()]);
    let error = said(&output);
    assert!(!output.status.success() && error.contains(&named), "{error}");
    let said = succeeds(folder.path(), &[]);
    assert!(said.contains(&format!("{named}; analysed again")), "{said}");
    assert!(!said.contains("set aside"), "training is not touched: {said}");
    assert_eq!(fs::read(&earlier).unwrap(), bytes, "and stays as it is");
    fs::remove_file(&earlier).unwrap();
    agrees_with_the_whole(folder.path());
}

/// Damage to any record of finished results heals to the same bits, is published, and verifies.
#[test]
fn damaged_finished_results_heal_and_verify() {
    for part in ["training.rec", "epoch-0060.rec", "epoch-0020.rec", "layer2-epoch-0060"] {
        let folder = a_copy();
        flip(&records(folder.path(), part)[0]);
        let said = succeeds(folder.path(), &[]);
        assert!(said.contains("set aside") && !said.contains("nothing to do"), "{part}: {said}");
        let output = xtask(&["verify", folder.path().join("tiny").to_str().unwrap(), "--recompute"]);
        assert!(output.status.success(), "{part}: {}", self::said(&output));
        agrees_with_the_whole(folder.path());
        assert!(succeeds(folder.path(), &[]).contains("nothing to do"));
    }
}

/// A record whose checksum is right and whose content is not is named, never trusted.
#[test]
fn a_record_that_is_sealed_and_inconsistent_is_damage() {
    let folder = a_copy();
    let path = records(folder.path(), "layer2-epoch-0060").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    // Behind magic, envelope version, kind, version, length of the payload and key: three words, then epoch and layer.
    let payload = 8 + 2 + 2 + 5 + 4 + 8;
    let value =
        bytes[payload + 32..].windows(3).position(|w| w == [60, 1, 12]).expect("epoch, layer, rows") + payload + 32;
    bytes[value + 1] = 0;
    bytes.truncate(bytes.len() - 32);
    bytes.extend(Sha256::digest(&bytes));
    fs::write(&path, &bytes).unwrap();
    let results = folder.path().join("tiny");
    let error = said(&xtask(&["verify", results.to_str().unwrap()]));
    assert!(error.contains("inconsistent: it is of layer 1 after epoch 60"), "{error}");
    succeeds(folder.path(), &[]);
    agrees_with_the_whole(folder.path());
}

#[test]
fn as_much_is_kept_as_was_asked_for() {
    let folder = a_copy();
    succeeds(folder.path(), &["--keep", "moments"]);
    let moments = records(folder.path(), "moments2-");
    assert_eq!(moments.len(), 4);
    // Three triangles of 144 rows.
    assert!(fs::metadata(&moments[0]).unwrap().len().abs_diff(3 * 8 * 144 * 145 / 2) < 1_000);
    assert!(succeeds(folder.path(), &["--keep", "moments"]).contains("nothing to do"));
    agrees_with_the_whole(folder.path());
    // They are what the networks give again, and an intact record with another number in it is found out.
    let results = folder.path().join("tiny");
    let verify = || xtask(&["verify", results.to_str().unwrap(), "--recompute"]);
    assert!(verify().status.success(), "{}", said(&verify()));
    let mut bytes = fs::read(&moments[0]).unwrap();
    bytes.truncate(bytes.len() - 32);
    *bytes.last_mut().unwrap() ^= 1;
    bytes.extend(Sha256::digest(&bytes));
    fs::write(&moments[0], &bytes).unwrap();
    let error = said(&verify());
    assert!(error.contains("the matrices of layer 2 after epoch 20 differ"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["--keep", "none"]);
    agrees_with_the_whole(folder.path());
    assert!(records(folder.path(), "").is_empty());
    assert!(succeeds(folder.path(), &["--keep", "none"]).contains("nothing to do"));
    // Another process that works here may still look for the runs: the last to leave removes them.
    let other = lock::try_share(&folder.path().join("tiny/runs/.locks/at-work")).unwrap().unwrap();
    // As a process leaves it that is killed while it writes the results.
    let results = folder.path().join("tiny/results.json");
    let names = serde_json::from_slice::<Value>(&fs::read(&results).unwrap()).unwrap()["files"].clone();
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|file| file[0].as_str().unwrap()).collect();
    fs::write(folder.path().join("tiny/runs/.writing.json"), serde_json::to_vec(&names).unwrap()).unwrap();
    fs::remove_file(results).unwrap();
    assert!(succeeds(folder.path(), &["--keep", "none"]).contains("to another process"));
    assert_eq!(records(folder.path(), "training.rec").len(), 2);
    drop(other);
    assert!(succeeds(folder.path(), &["--keep", "none"]).contains("nothing to do"));
    assert!(records(folder.path(), "").is_empty());
    let results = folder.path().join("tiny");
    let error = said(&xtask(&["verify", results.to_str().unwrap()]));
    assert!(error.contains("--keep none"), "{error}");
    let error = said(&command(folder.path(), &["--keep", "none", "--shard", "1/2"]).output().unwrap());
    assert!(error.contains("nothing to merge"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_file_is_one_error() {
    let output = command(Path::new("/proc/self/results"), &[]).output().unwrap();
    let said = said(&output);
    assert!(!output.status.success() && said.lines().count() == 1 && said.contains("/proc/self/results"), "{said}");
}
