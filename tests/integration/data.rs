//! What `data/README.md` says of the embedded files is true.

use sha2::{Digest, Sha256};
use superlinear_datasets::embedded::SUBSETS;

#[test]
fn the_table_in_the_readme_is_true() {
    let readme = include_str!("../../data/README.md");
    let mut rows = Vec::new();
    for subset in SUBSETS {
        for file in subset.files() {
            let packed: String = Sha256::digest(file.gzip).iter().map(|byte| format!("{byte:02x}")).collect();
            let (dataset, name, len) = (subset.dataset, file.name, file.gzip.len());
            let (bytes, sha256) = (file.bytes, file.sha256);
            rows.push(format!("| `{dataset}/{name}` | {len} | `{packed}` | {bytes} | `{sha256}` |"));
        }
    }
    assert_eq!(rows.len(), 6);
    let table: Vec<&str> = readme.lines().filter(|line| line.contains(".gz` |")).collect();
    assert_eq!(table, rows);
}
