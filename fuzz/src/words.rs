//! Text that a person may write or change: `results.json`, plans and command lines.

use superlinear_experiments::outside;

/// What a folder of results says that it is.
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(written) = outside::manifest(bytes) else { return false };
    assert_eq!(outside::manifest(&written).expect("what was written reads"), written);
    true
}

/// A plan, whose runs have names of their own.
pub fn plan(bytes: &[u8]) -> bool {
    let Some(Ok(mut ids)) = std::str::from_utf8(bytes).ok().map(outside::plan) else { return false };
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n, "two runs of one name");
    true
}

/// A command line, parsed and planned.
pub fn command_line(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|line| xtask::outside::command_line(line).is_ok())
}
