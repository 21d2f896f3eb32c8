//! Citations of the mathematics: whatever number or section is cited stands in `docs/math.md`.
//!
//! They have one form, the word and then numbers or sections, several joined by `, `, ` and ` or, for a range, `–`; the
//! letter `n` in place of a number speaks of the form itself. A number is defined where a line begins with it in bold
//! print, a section by its heading.

use std::collections::BTreeSet;

/// Where definitions stand.
pub(super) const PAGE: &str = "docs/math.md";
/// The word that cites them, in two parts because this file is checked too.
pub(super) const WORD: &str = concat!("MA", "TH");

/// What the page defines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definitions(BTreeSet<Item>);

/// Something to cite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Number(u32),
    Section(u32),
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "[{n}]"),
            Self::Section(n) => write!(f, "§{n}"),
        }
    }
}

impl Definitions {
    /// Those of the page with this text. Finds what it defines twice, and what it mentions and does not define.
    pub(super) fn of_page(text: &str, findings: &mut Vec<String>) -> Self {
        let mut items = BTreeSet::new();
        for (line, text) in (1..).zip(text.lines()) {
            let number = text.strip_prefix("**").and_then(item);
            let section = text.strip_prefix("## ").and_then(digits).filter(|(_, rest)| rest.starts_with(". "));
            let defined = number.map(|(item, _)| item).or(section.map(|(n, _)| Some(Item::Section(n))));
            if let Some(Some(item)) = defined
                && !items.insert(item)
            {
                findings.push(format!("{PAGE}:{line}: {item} is defined a second time"));
            }
        }
        let page = Self(items);
        for (line, text) in (1..).zip(text.lines()) {
            let mentions = text.char_indices().filter_map(|(at, _)| item(&text[at..])?.0);
            page.report_missing(PAGE, line, mentions, findings);
        }
        page
    }

    /// Finds citations in `text` that are not in the one form, or of what is not defined.
    pub(super) fn check(&self, name: &str, text: &str, findings: &mut Vec<String>) {
        for (line, text) in (1..).zip(text.lines()) {
            for (at, _) in text.match_indices(WORD) {
                let (before, after) = (&text[..at], &text[at + WORD.len()..]);
                let in_word = |c: char| c.is_alphanumeric() || c == '_';
                if before.ends_with(in_word) || after.starts_with(in_word) {
                    continue;
                }
                match after.strip_prefix(' ').and_then(cited) {
                    Some(items) => self.report_missing(name, line, items, findings),
                    None => findings.push(format!("{name}:{line}: cite as `{WORD} [n]` or `{WORD} §n`, in one line")),
                }
            }
        }
    }

    fn report_missing(
        &self,
        name: &str,
        line: usize,
        items: impl IntoIterator<Item = Item>,
        findings: &mut Vec<String>,
    ) {
        let missing = items.into_iter().filter(|item| !self.0.contains(item));
        findings.extend(missing.map(|item| format!("{name}:{line}: {item} is not in {PAGE}")));
    }
}

/// All that is cited by what stands behind the word; `None` for another form.
fn cited(text: &str) -> Option<Vec<Item>> {
    let (mut last, mut rest) = item(text)?;
    let mut items: Vec<Item> = last.into_iter().collect();
    loop {
        let range = rest.strip_prefix('–').and_then(item);
        let next = range.or_else(|| [", ", " and "].iter().find_map(|join| item(rest.strip_prefix(join)?)));
        let Some((item, after)) = next else { return Some(items) };
        match (range.and(last), item) {
            (Some(Item::Number(first)), Some(Item::Number(end))) => items.extend((first + 1..=end).map(Item::Number)),
            (Some(Item::Section(first)), Some(Item::Section(end))) => {
                items.extend((first + 1..=end).map(Item::Section));
            }
            (_, item) => items.extend(item),
        }
        (last, rest) = (item, after);
    }
}

/// The item that `text` begins with, `None` for the letter, and the rest.
fn item(text: &str) -> Option<(Option<Item>, &str)> {
    if let Some(rest) = text.strip_prefix("[n]").or(text.strip_prefix("§n")) {
        return Some((None, rest));
    }
    if let Some(text) = text.strip_prefix('[') {
        let (n, rest) = digits(text)?;
        return Some((Some(Item::Number(n)), rest.strip_prefix(']')?));
    }
    let (n, rest) = digits(text.strip_prefix('§')?)?;
    Some((Some(Item::Section(n)), rest))
}

fn digits(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "## 1. Objects\n**[1]** one\n**[2] Two.** as [1]\n**[3]** see §2\n## 2. More\n";

    fn page() -> Definitions {
        let mut findings = Vec::new();
        let page = Definitions::of_page(TEXT, &mut findings);
        assert_eq!(findings, [""; 0]);
        page
    }

    /// What is found in a line, `@` for the word.
    fn found(line: &str) -> Vec<String> {
        let mut findings = Vec::new();
        page().check("a.rs", &format!("\n{}\n", line.replace('@', WORD)), &mut findings);
        findings
    }

    #[test]
    fn the_page_defines_numbers_in_bold_and_sections_by_heading() {
        let items = [Item::Number(1), Item::Number(2), Item::Number(3), Item::Section(1), Item::Section(2)];
        assert_eq!(page(), Definitions(items.into_iter().collect()));
        let mut findings = Vec::new();
        Definitions::of_page("**[1]** one\n**[1]** again\nsee [2], §4, x[0][i], `[1, 2]`\n", &mut findings);
        let expected = ["2: [1] is defined a second time", "3: [2] is not in", "3: §4 is not in", "3: [0] is not in"];
        assert_eq!(findings.len(), expected.len());
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.contains(expected), "{finding}");
        }
    }

    #[test]
    fn what_is_defined_may_be_cited() {
        for line in
            ["(`@ [3]`)", "@ §2.", "`@ [1], [3]` and §9", "@ [1]–[3]", "@ §1 and [2]: @ [1]", "`@ [n]` or `@ §n`"]
        {
            assert_eq!(found(line), [""; 0], "{line}");
        }
        for line in ["A@TICS", "@_16", "a@ [9]", "math [9]"] {
            assert_eq!(found(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn what_is_not_defined_is_found() {
        for (line, missing) in [
            ("@ [4]", "[4]"),
            ("@ §3", "§3"),
            ("`@ [1], [7]`", "[7]"),
            ("@ [2]–[4]", "[4]"),
            ("@ §2–§3", "§3"),
            ("@ [1]; @ [0]", "[0]"),
        ] {
            assert_eq!(found(line), [format!("a.rs:2: {missing} is not in docs/math.md")], "{line}");
        }
    }

    #[test]
    fn other_forms_are_found() {
        for line in ["@ eq. 1", "@ \\[1\\]", "@.md [1]", "@", "@ [x]", "@ [12", "@ [99999999999]"] {
            let form = format!("a.rs:2: cite as `{WORD} [n]` or `{WORD} §n`, in one line");
            assert_eq!(found(line), [form], "{line}");
        }
    }
}
