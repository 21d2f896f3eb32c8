//! Table 1 whole: what is stored of every run behind it, and the tables, verdicts and figure that are drawn of that.
//!
//! A run leaves a few kilobytes ([`StoredRun`]), small enough to stand in the repository, so that anyone draws the
//! table again without the runs. [`Rows`] are its settings; [`markdown()`] writes them in the paper's layout and in
//! ours, and judges the paper's claims over all of them; [`figure_files`] shows γ against the number of directions;
//! [`page`] puts the text into RESULTS.md.

mod earlier;
mod figure;
pub mod page;
mod rows;
mod stored;
mod tables;
mod verdicts;

pub use earlier::EarlierRow;
pub use rows::{Row, Rows};
pub use stored::{StoredRun, StoredTraining, TableOne};

use anyhow::{Context, Result};

/// All that is said in words, in Markdown: the paper's layout, ours, where runs come from, and the verdicts.
///
/// # Errors
/// When the runs of a setting differ in more than the seed.
pub fn markdown(table: &TableOne) -> Result<String> {
    let rows = Rows::of(table)?;
    let parts = [
        ("In the paper's layout", tables::paper(&rows)?),
        ("The paper's claims over all rows", verdicts::verdicts(&rows)?),
        ("With what is ours", tables::ours(&rows)?),
        ("Where the runs come from", tables::origins(&rows)),
    ];
    Ok(parts.map(|(title, text)| format!("### {title}\n\n{text}")).join("\n"))
}

/// The figure of γ against the number of directions as files, SVG and PNG, by name.
///
/// # Errors
/// When no run is stored, or the runs of a setting differ in more than the seed.
pub fn figure_files(table: &TableOne) -> Result<[(&'static str, Vec<u8>); 2]> {
    let drawn = superlinear_plots::render(&figure::figure(&Rows::of(table)?)?).context("figure")?;
    Ok([("table1-directions.svg", drawn.svg.into_bytes()), ("table1-directions.png", drawn.png)])
}
