//! Whose files are whose: what is removed, replaced and left.

use super::{REQUEST, a_copy, agrees_with_the_whole, command, copy, records, said, succeeds, xtask};
use std::fs;
use std::path::Path;
use std::process::Command;
use superlinear_experiments::manifest::Manifest;
use superlinear_experiments::pending::Pending;
use superlinear_experiments::record::Checkpoint;
use superlinear_experiments::run_dir::{RunDir, Saver};
use superlinear_experiments::spec::RunSpec;
use superlinear_store::lock;

#[test]
fn garbage_collection_removes_only_what_is_ours_and_nobody_needs() {
    let folder = a_copy();
    let (out, runs) = (folder.path().to_str().unwrap(), folder.path().join("tiny/runs"));
    let gc = || xtask(&["runs", "gc", "--out", out]);
    // A process that works there, between two stages, holds no lock but that on work.
    let at_work = lock::try_share(&runs.join(".locks/at-work")).unwrap().unwrap();
    let output = gc();
    assert!(!output.status.success() && said(&output).contains("a process works there"), "{}", said(&output));
    drop(at_work);
    // A run of no result, a file of somebody in it, one that only ends as ours, and a link to a folder elsewhere.
    let run = records(folder.path(), "training.rec").remove(0).parent().unwrap().to_owned();
    let other = runs.join("mnist-tiny-ce-c3-s9-0123456789abcdef");
    copy(&run, &other);
    fs::write(other.join("notes.rec"), "mine").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    copy(&run, elsewhere.path());
    #[cfg(unix)]
    std::os::unix::fs::symlink(elsewhere.path(), runs.join("linked-0123456789abcdef")).unwrap();
    let n = fs::read_dir(elsewhere.path()).unwrap().count();
    assert!(gc().status.success());
    assert_eq!(fs::read(other.join("notes.rec")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), n);
    agrees_with_the_whole_but(&other, folder.path());
    // A request that keeps less does not empty results that keep their runs.
    succeeds(folder.path(), &["--keep", "none"]);
    agrees_with_the_whole_but(&other, folder.path());
}

/// A request that was interrupted keeps its networks, until somebody drops them.
#[test]
fn runs_of_an_unfinished_request_are_kept_until_they_are_dropped() {
    let folder = a_copy();
    let results = folder.path().join("tiny");
    let manifest = Manifest::read(&results).unwrap();
    let mut request = manifest.request.clone();
    let spec = RunSpec { seed: 9, ..request.runs[0].clone() };
    request.runs.push(spec.clone());
    let pending = Pending { request, data: manifest.data.clone() };
    pending.begin(&results).unwrap();
    let run = RunDir::of(&results.join("runs"), &spec, &manifest.data[0].sha256);
    let network = Checkpoint { epoch: 20, weights: vec![0.5; 3] };
    run.checkpoint(20).write(network, &Saver::new(manifest.provenance.clone())).unwrap();
    let gc = |further: &[&str]| {
        let out = folder.path().to_str().unwrap();
        let output = xtask(&[&["runs", "gc", "--out", out], further].concat());
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(gc(&[]).contains("3 runs are kept for requests that are not finished; --unfinished drops them"));
    assert!(gc(&["--unfinished", "--dry-run"]).contains("1 files") && run.path().is_dir());
    assert!(gc(&["--unfinished"]).contains("1 files") && !run.path().exists());
    // Nothing is under way any more, and the results have all that is theirs.
    assert!(gc(&[]).starts_with("0 files"));
    agrees_with_the_whole(folder.path());
    // A call that finds its request answered takes the note away that a killed one has left.
    let note = Pending { request: manifest.request.clone(), data: manifest.data };
    note.begin(&results).unwrap();
    assert!(succeeds(folder.path(), &[]).contains("nothing to do"));
    assert!(gc(&[]).starts_with("0 files"));
}

/// Agrees, once a folder that is not of the results is away.
fn agrees_with_the_whole_but(other: &Path, out: &Path) {
    let aside = out.join("aside");
    fs::rename(other, &aside).unwrap();
    let link = other.with_file_name("linked-0123456789abcdef");
    let _ = fs::remove_file(link);
    agrees_with_the_whole(out);
    fs::rename(aside, other).unwrap();
}

/// What an earlier request has drawn and this one has not is removed, and what is not ours stays.
#[test]
fn figures_of_an_earlier_request_go_and_files_of_somebody_stay() {
    let folder = a_copy();
    let results = folder.path().join("tiny");
    assert!(results.join("figures/trajectory.svg").is_file());
    fs::write(results.join("notes.txt"), "mine").unwrap();
    let fewer: Vec<&str> =
        REQUEST.iter().map(|&word| if word == "table1,trajectory" { "table1" } else { word }).collect();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(&fewer).arg("--out").arg(folder.path()).output().unwrap()
    };
    assert!(run().status.success());
    assert!(!results.join("figures/trajectory.svg").exists() && results.join("tables/table1.csv").is_file());
    assert_eq!(fs::read(results.join("notes.txt")).unwrap(), b"mine");
    // A name of ours that somebody took.
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("tiny")).unwrap();
    fs::write(other.path().join("tiny/summary.json"), "mine").unwrap();
    let output = command(other.path(), &[]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("not of earlier results"), "{}", said(&output));
    assert_eq!(fs::read(other.path().join("tiny/summary.json")).unwrap(), b"mine");
}
