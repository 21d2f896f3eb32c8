//! Text that a person may write or change: `part.json` and command lines.

use xtask::outside;

/// What a folder of results says that it is.
pub fn part(bytes: &[u8]) -> bool {
    let Ok(written) = outside::part(bytes) else { return false };
    assert_eq!(outside::part(&written).expect("what was written reads"), written);
    true
}

/// A command line, parsed and planned.
pub fn command_line(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|line| outside::command_line(line).is_ok())
}
