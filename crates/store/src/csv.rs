//! Tables as comma-separated values, quoted as RFC 4180 says, lines ended by a newline.

use crate::atomic::{self, WriteError};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A table could not be written.
#[derive(Debug, Error)]
pub enum CsvError {
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A row has more or fewer cells than the header.
    #[error("{}: row {row} has {found} cells, expected {expected} as in the header", path.display())]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Number of the row, the first below the header being 1.
        row: usize,
        /// Its cells.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
}

/// Writes a header and rows of cells to `path`, atomically.
///
/// Cells are text; numbers come as the caller formats them (`{}` of an `f64` reads back as the same number).
///
/// # Errors
///
/// [`CsvError`].
pub fn write<Row, Cell>(path: &Path, header: &[&str], rows: impl IntoIterator<Item = Row>) -> Result<(), CsvError>
where
    Row: AsRef<[Cell]>,
    Cell: AsRef<str>,
{
    Ok(atomic::write(path, text(path, header, rows)?.as_bytes())?)
}

/// What [`write()`] writes; `path` is for the error.
///
/// # Errors
///
/// [`CsvError::Ragged`].
pub fn text<Row, Cell>(path: &Path, header: &[&str], rows: impl IntoIterator<Item = Row>) -> Result<String, CsvError>
where
    Row: AsRef<[Cell]>,
    Cell: AsRef<str>,
{
    let mut text = String::new();
    push_line(&mut text, header);
    for (index, row) in rows.into_iter().enumerate() {
        let cells = row.as_ref();
        if cells.len() != header.len() {
            return Err(CsvError::Ragged {
                path: path.to_owned(),
                row: index + 1,
                found: cells.len(),
                expected: header.len(),
            });
        }
        push_line(&mut text, cells);
    }
    Ok(text)
}

fn push_line<Cell: AsRef<str>>(text: &mut String, cells: &[Cell]) {
    for (column, cell) in cells.iter().enumerate() {
        if column > 0 {
            text.push(',');
        }
        // A lone empty cell would make an empty line, which readers skip.
        text.push_str(if cells.len() == 1 && cell.as_ref().is_empty() { "\"\"" } else { "" });
        text.push_str(&quoted(cell.as_ref()));
    }
    text.push('\n');
}

fn quoted(cell: &str) -> Cow<'_, str> {
    let plain = !cell.contains([',', '"', '\n', '\r']) && cell.trim() == cell;
    if plain { Cow::Borrowed(cell) } else { Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn quotes_only_what_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let rows = [["1.5", "plain text"], ["a,b", "say \"γ\""], ["", "two\nlines"], [" padded", "x"]];
        write(&path, &["value", "note, long"], rows).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "value,\"note, long\"\n1.5,plain text\n\"a,b\",\"say \"\"γ\"\"\"\n,\"two\nlines\"\n\" padded\",x\n"
        );
        write(&path, &["only"], [vec![String::new()]]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "only\n\"\"\n");
    }

    #[test]
    fn a_ragged_row_is_named_and_nothing_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let error = write(&path, &["a", "b"], [vec!["1", "2"], vec!["3"]]).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: row 2 has 1 cells, expected 2 as in the header", path.display()));
        assert!(!path.exists());
    }
}
