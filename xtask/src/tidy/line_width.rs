//! No line is wider than a screen: 120 characters, as rustfmt has it for code.
//!
//! rustfmt leaves long comments and string literals as they are, and does not read Markdown.

/// Characters, not bytes, of the widest line.
const WIDEST: usize = 120;

/// Finds lines that are too wide in the file `name`.
pub(super) fn check(name: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        let width = line.chars().count();
        if width > WIDEST && !is_exempt(line) {
            findings.push(format!("{name}:{number}: {width} characters, at most {WIDEST}"));
        }
    }
}

/// Rows of Markdown tables, lines with a URL, and what has no space to break at.
fn is_exempt(line: &str) -> bool {
    let line = line.trim_start();
    let text = ["///", "//!", "//", "- "].iter().find_map(|marker| line.strip_prefix(marker)).unwrap_or(line).trim();
    text.starts_with('|') || text.contains("://") || !text.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(name, text, &mut findings);
        findings
    }

    #[test]
    fn characters_count_and_not_bytes() {
        let widest = format!("// {}", "γ ".repeat(58)) + "γ";
        assert_eq!((widest.chars().count(), widest.len()), (120, 179));
        assert!(found("crates/a/src/lib.rs", &widest).is_empty());
        let text = format!("\n{widest}γ\n");
        assert_eq!(found("crates/a/src/lib.rs", &text), ["crates/a/src/lib.rs:2: 121 characters, at most 120"]);
        assert_eq!(found("docs/a.md", &text).len(), 1);
    }

    #[test]
    fn what_cannot_be_broken_is_exempt() {
        let (word, words) = ("x".repeat(130), "x ".repeat(65));
        for line in [
            format!("| {words}|"),
            format!("    /// | {words}|"),
            format!("see {words}https://example.org/"),
            format!("        //! {word}"),
            format!("- {word}"),
            word,
        ] {
            assert!(found("docs/a.md", &line).is_empty(), "{line}");
        }
        assert_eq!(found("docs/a.md", &format!("- {words}")).len(), 1);
    }
}
