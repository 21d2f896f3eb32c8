//! `table1`: stored runs, the page, and what belongs to neither.

use super::{fails, succeeds, text, whole, xtask};
use std::fs;
use std::path::Path;

#[test]
fn small_runs_are_left_out_and_a_page_without_a_place_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("stored");
    fs::create_dir(&from).unwrap();
    let output = xtask(&["table1", "--from", text(&from), "--add", text(&whole().join("smoke"))]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("left out: ") && said.contains("not at the paper's scale"),
        "{said}"
    );
    assert_eq!(fs::read_dir(&from).unwrap().count(), 0);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("24 settings of the paper's table have not been run"), "{table}");
    let error = fails(&["table1", "--from", text(&from), "--figure", text(folder.path())]);
    assert!(error.contains("no run is stored"), "{error}");
    let page = folder.path().join("page.md");
    fs::write(&page, "# Results\n").unwrap();
    let error = fails(&["table1", "--from", text(&from), "--page", text(&page)]);
    assert!(error.contains("page.md") && error.contains("cargo xtask table1: begin"), "{error}");
    let error = fails(&["table1", "--from", text(&folder.path().join("none"))]);
    assert!(error.contains("none: cannot read"), "{error}");
}

#[test]
fn a_stored_run_under_another_name_is_named() {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/table1");
    let folder = tempfile::tempdir().unwrap();
    let name = "mnist-mlp-mse-c10-s0.json";
    let content = fs::read_to_string(stored.join(name)).unwrap();
    fs::write(folder.path().join(name), &content).unwrap();
    let table = succeeds(&["table1", "--from", text(folder.path()), "--figure", text(folder.path())]);
    assert!(table.contains("| MNIST | MLP | MSE | not run | not run | not run | not run | 0.964 (1 seed) | 1.023 |"));
    assert!(folder.path().join("table1-directions.svg").is_file());
    fs::write(folder.path().join("other.json"), &content).unwrap();
    let error = fails(&["table1", "--from", text(folder.path())]);
    assert!(error.contains("other.json: it is run mnist-mlp-mse-c10-s0"), "{error}");
    fs::write(folder.path().join("other.json"), content.replace("\"schema\": 1", "\"schema\": 9")).unwrap();
    let error = fails(&["table1", "--from", text(folder.path())]);
    assert!(error.contains("other.json: layout 9, expected 1"), "{error}");
}
