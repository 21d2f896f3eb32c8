//! The table's place on a page: between two comments, which Markdown does not show.

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- cargo xtask table1: begin -->\n";
const END: &str = "<!-- cargo xtask table1: end -->";

/// What stands between the comments of `page`.
pub fn block(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(BEGIN)?;
    Some(rest.split_once(END)?.0)
}

/// The page with `text` there in its place.
///
/// # Errors
/// When the page has no such place.
pub fn with_block(page: &str, text: &str) -> Result<String> {
    let place = || format!("no line {:?} before a line {END:?}", BEGIN.trim_end());
    let (before, rest) = page.split_once(BEGIN).with_context(place)?;
    let (_, after) = rest.split_once(END).with_context(place)?;
    Ok(format!("{before}{BEGIN}{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table1::{TableOne, markdown};
    use std::path::Path;

    #[test]
    fn a_block_is_replaced_and_nothing_else() {
        let page = format!("# Results\n{BEGIN}old\n{END}\nrest\n");
        let new = with_block(&page, "| new |\n").unwrap();
        assert_eq!((block(&page), block(&new)), (Some("old\n"), Some("| new |\n")));
        assert!(new.starts_with("# Results\n") && new.ends_with("\nrest\n"));
        assert!(with_block("# Results\n", "").is_err() && block("# Results\n").is_none());
    }

    #[test]
    fn the_page_has_what_the_stored_runs_print() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let page = std::fs::read_to_string(root.join("RESULTS.md")).unwrap();
        let table = TableOne::read(&root.join("results/table1")).unwrap();
        assert!(!table.runs.is_empty());
        let printed = markdown(&table).unwrap();
        assert!(block(&page) == Some(&*printed), "cargo xtask table1 --page RESULTS.md");
    }
}
