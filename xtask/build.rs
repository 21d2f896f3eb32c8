//! The commit that this program is built from: what the checkout holds when it runs may be another.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rustc-env=SUPERLINEAR_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    for changed in ["../Cargo.lock", "../crates", "build.rs", "plans", "src"] {
        println!("cargo:rerun-if-changed={changed}");
    }
    let head = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    if let Some(head) = head.filter(|head| Path::new(head).exists()) {
        println!("cargo:rerun-if-changed={head}");
    }
}

fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
