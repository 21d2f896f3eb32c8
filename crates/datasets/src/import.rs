//! The full data sets from a local folder of the original files: plain, gzipped, or in the official archive.

use crate::DatasetName;
use crate::cache::file_path;
use crate::catalog::{self, Entry, FileSpec, Publication};
use crate::gzip;
use crate::plain_file;
use crate::progress::{Counted, Progress};
use crate::verified::{PutError, is_right, put};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Folders below the given one that are searched.
const DEPTH: usize = 4;

/// What became of one original file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// The data set it belongs to.
    pub dataset: DatasetName,
    /// Its name.
    pub file: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of one original file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The cache already had it.
    AlreadyThere,
    /// It is now in the cache.
    Imported {
        /// The file or archive that held it.
        from: PathBuf,
    },
    /// Neither it nor an archive that should hold it was found, or only copies that are not the original.
    NotFound {
        /// One line for each candidate that was refused: what was found and what was expected.
        refused: Vec<String>,
    },
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder could not be read.
    #[error("{folder}: cannot read: {cause}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The cache could not be written.
    #[error("{file}: cannot write: {cause}")]
    Write {
        /// The file.
        file: String,
        /// What the system says.
        cause: io::Error,
    },
}

/// Copies every original file of `names` found in `from` or its subfolders into the cache `dir`, each checked by the
/// SHA-256 of its uncompressed content. Reports on every file of `names`, found or not.
///
/// A file is looked for under its own name, with `.gz`, or in `cifar-10-binary.tar.gz`. Files of MNIST and
/// Fashion-MNIST have the same names: their content tells them apart.
///
/// # Errors
/// [`ImportError`] when `from` cannot be read or `dir` not written; a copy that is not the original is no error but an
/// [`Outcome::NotFound`] with its reason.
pub fn import(
    from: &Path,
    dir: &Path,
    names: &[DatasetName],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<ImportReport>, ImportError> {
    let entries: Vec<Entry> = names.iter().copied().map(catalog::entry).collect();
    import_entries(&entries, from, dir, progress)
}

/// [`import`] for given entries.
///
/// # Errors
/// As [`import`].
pub fn import_entries(
    entries: &[Entry],
    from: &Path,
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<ImportReport>, ImportError> {
    let mut paths = Vec::new();
    walk(from, DEPTH, &mut paths).map_err(|cause| ImportError::Folder { folder: from.display().to_string(), cause })?;
    paths.sort();
    let mut reports = Vec::new();
    for entry in entries {
        // Those in a folder named after the data set are likely right: try them first.
        let (mut ordered, others): (Vec<_>, Vec<_>) =
            paths.iter().partition(|path| path.iter().any(|part| part == entry.dataset.as_str()));
        ordered.extend(others);
        for (spec, outcome) in import_entry(entry, &ordered, dir, progress)? {
            reports.push(ImportReport { dataset: entry.dataset, file: spec.name.clone(), outcome });
        }
    }
    Ok(reports)
}

fn import_entry<'e>(
    entry: &'e Entry,
    paths: &[&PathBuf],
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<(&'e FileSpec, Outcome)>, ImportError> {
    let mut outcomes = Vec::new();
    for spec in &entry.files {
        let target = file_path(dir, entry.dataset, &spec.name);
        let mut outcome = Outcome::NotFound { refused: Vec::new() };
        if is_right(&target, spec) {
            progress(Progress::AlreadyThere { dataset: entry.dataset, file: &spec.name });
            outcome = Outcome::AlreadyThere;
        }
        for path in paths {
            let Outcome::NotFound { refused } = &mut outcome else { break };
            if !is_named(path, spec) {
                continue;
            }
            match take_file(path, spec, &target, progress) {
                Ok(()) => {
                    progress(Progress::Stored { dataset: entry.dataset, file: &spec.name });
                    outcome = Outcome::Imported { from: path.to_path_buf() };
                }
                Err(error) => refused.push(refusal(error, path)?),
            }
        }
        outcomes.push((spec, outcome));
    }
    if let Publication::TarGz { archive, .. } = &entry.publication {
        for path in paths.iter().filter(|path| path.file_name().is_some_and(|name| *name == **archive)) {
            take_archive(path, entry, dir, &mut outcomes, progress)?;
        }
        if let Some(path) = paths.iter().find(|path| is_python_version(path, archive)) {
            let why = format!("{}: the version for Python, expected the binary one, {archive}", path.display());
            for (_, outcome) in &mut outcomes {
                if let Outcome::NotFound { refused } = outcome {
                    refused.push(why.clone());
                }
            }
        }
    }
    Ok(outcomes)
}

fn take_file(
    path: &Path,
    spec: &FileSpec,
    target: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), PutError> {
    let source = path.display().to_string();
    let content = plain_file::open(path).map_err(PutError::Read)?;
    let total = content.metadata().map(|m| m.len()).ok();
    let counted = Counted::new(content, &source, total, progress);
    let content = gzip::plain(BufReader::new(counted)).map_err(PutError::Read)?;
    put(target, spec, &source, content)
}

/// Takes from an archive the files that were not found so far.
fn take_archive(
    path: &Path,
    entry: &Entry,
    dir: &Path,
    outcomes: &mut [(&FileSpec, Outcome)],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), ImportError> {
    let mut stored = Vec::new();
    let mut refused = Vec::new();
    let wanted: Vec<&FileSpec> =
        outcomes.iter().filter(|(_, o)| matches!(o, Outcome::NotFound { .. })).map(|(spec, _)| *spec).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let source = path.display().to_string();
    let read = plain_file::open(path).map_err(PutError::Read).and_then(|file| {
        let total = file.metadata().map(|m| m.len()).ok();
        let counted = Counted::new(file, &source, total, progress);
        unpack(counted, &source, &wanted, |name| file_path(dir, entry.dataset, name), |spec| stored.push(spec))
    });
    if let Err(error) = read {
        refused.push(refusal(error, path)?);
    }
    for (spec, outcome) in outcomes {
        if stored.contains(spec) {
            *outcome = Outcome::Imported { from: path.to_path_buf() };
            progress(Progress::Stored { dataset: entry.dataset, file: &spec.name });
        } else if let Outcome::NotFound { refused: all } = outcome {
            all.extend_from_slice(&refused);
        }
    }
    Ok(())
}

/// Puts every file of `wanted` that the tar archive `content`, plain or gzipped, holds in any folder into its place.
/// Stops at the first wrong file.
pub(crate) fn unpack<'s>(
    content: impl Read,
    source: &str,
    wanted: &[&'s FileSpec],
    target: impl Fn(&str) -> PathBuf,
    mut stored: impl FnMut(&'s FileSpec),
) -> Result<(), PutError> {
    let plain = gzip::plain(BufReader::new(content)).map_err(PutError::Read)?;
    let mut archive = tar::Archive::new(plain);
    let mut left = wanted.len();
    // Raw: else the library believes any length that a header gives to a long name, and reads it into memory.
    let mut long_name = None;
    for member in archive.entries().map_err(PutError::Read)?.raw(true) {
        if left == 0 {
            // What follows is of no interest: do not wait for it.
            break;
        }
        let mut member = member.map_err(PutError::Read)?;
        if let Some(name) = name_of_next(&mut member).map_err(PutError::Read)? {
            long_name = Some(name);
            continue;
        }
        let path = match long_name.take() {
            Some(name) => PathBuf::from(name),
            None => member.path().map_err(PutError::Read)?.into_owned(),
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(spec) = wanted.iter().find(|spec| Some(&spec.name) == name.as_ref()) else { continue };
        put(&target(&spec.name), spec, &format!("{source}: {}", spec.name), member)?;
        stored(spec);
        left -= 1;
    }
    Ok(())
}

/// Longest name of a member that is believed; real ones have at most 4096 bytes.
const LONGEST_NAME: u64 = 1 << 16;

/// The name that a member of the archive gives to the next one; `None` for a member that is a file.
///
/// # Errors
/// When the name is too long to be one, or cannot be read.
fn name_of_next(member: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<String>> {
    let kind = member.header().entry_type();
    let is_about_next = kind.is_gnu_longname() || kind.is_pax_local_extensions();
    if !is_about_next {
        return Ok(None);
    }
    let len = member.size();
    if len > LONGEST_NAME {
        let what = format!("a name of {len} bytes in the archive, expected at most {LONGEST_NAME}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = Vec::new();
    member.read_to_end(&mut bytes)?;
    if kind.is_gnu_longname() {
        let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        return Ok(Some(String::from_utf8_lossy(name).into_owned()));
    }
    let path = tar::PaxExtensions::new(&bytes).filter_map(Result::ok).find(|found| found.key_bytes() == b"path");
    Ok(path.map(|found| String::from_utf8_lossy(found.value_bytes()).into_owned()))
}

/// Whether a file is the version for Python of what is published as an archive of binary files: its archive, or a batch
/// of it.
fn is_python_version(path: &Path, archive: &str) -> bool {
    let named = path.file_name().is_some_and(|name| *name == *archive.replace("-binary", "-python"));
    named && archive.contains("-binary") || path.iter().any(|part| part == "cifar-10-batches-py")
}

/// Whether the file is one that may hold `spec`: by its name, or gzipped, or with the dot that some copies have.
fn is_named(path: &Path, spec: &FileSpec) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name == spec.name || name == spec.name.replace("-idx", ".idx")
}

/// Why a candidate was refused, in one line; a cache that cannot be written stops the import.
fn refusal(error: PutError, candidate: &Path) -> Result<String, ImportError> {
    match error {
        PutError::Content(error) => Ok(error.to_string()),
        PutError::Read(cause) => Ok(format!("{}: cannot read: {cause}", candidate.display())),
        PutError::Write { file, cause } => Err(ImportError::Write { file, cause }),
    }
}

fn walk(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let path = item?.path();
        if path.is_file() {
            into.push(path);
        } else if depth > 0 && path.is_dir() {
            // A subfolder that may not be read holds nothing for us.
            let _ = walk(&path, depth - 1, into);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// Two data sets with the same file names, and one in an archive.
    fn catalogue() -> Vec<Entry> {
        let gzipped = || Publication::GzippedFiles { mirrors: vec![] };
        let tar = Publication::TarGz { archive: "c.tar.gz".to_owned(), mirrors: vec![] };
        let files = |a: &str, b: &str| vec![FileSpec::of("x-idx3", a.as_bytes()), FileSpec::of("y-idx1", b.as_bytes())];
        let batches = vec![FileSpec::of("1.bin", b"one"), FileSpec::of("2.bin", b"two")];
        vec![
            Entry { dataset: DatasetName::Mnist, files: files("mnist x", "mnist y"), publication: gzipped() },
            Entry {
                dataset: DatasetName::FashionMnist,
                files: files("fashion x", "fashion y"),
                publication: gzipped(),
            },
            Entry { dataset: DatasetName::Cifar10, files: batches, publication: tar },
        ]
    }

    fn gz(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// A source folder with these files, and an empty cache.
    fn folders(files: &[(&str, &[u8])]) -> (tempfile::TempDir, tempfile::TempDir) {
        let from = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = from.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        (from, tempfile::tempdir().unwrap())
    }

    /// For each file: `old`, the source it came from, or `-` and why its candidates were refused.
    fn outcomes(from: &Path, dir: &Path) -> Vec<String> {
        let reports = import_entries(&catalogue(), from, dir, &mut |_| ()).unwrap();
        let relative = |path: &Path| path.strip_prefix(from).unwrap().to_string_lossy().replace('\\', "/");
        let outcome = |report: ImportReport| match report.outcome {
            Outcome::AlreadyThere => "old".to_owned(),
            Outcome::Imported { from } => relative(&from),
            Outcome::NotFound { refused } => format!("-{}", refused.join("; ")),
        };
        reports.into_iter().map(outcome).collect()
    }

    fn read(dir: &Path, dataset: DatasetName, file: &str) -> String {
        std::fs::read_to_string(file_path(dir, dataset, file)).unwrap()
    }

    #[test]
    fn finds_files_in_every_form() {
        let archive = gz(&tar(&[("c/readme", "hello"), ("c/1.bin", "one"), ("c/2.bin", "two")]));
        let (from, dir) = folders(&[
            ("a/x-idx3.gz", &gz(b"fashion x")),
            ("b/x.idx3", b"mnist x"),
            ("mnist/y-idx1", b"mnist y"),
            ("y-idx1.gz", &gz(b"fashion y")),
            ("deep/er/c.tar.gz", &archive),
        ]);
        let expected = ["b/x.idx3", "mnist/y-idx1", "a/x-idx3.gz", "y-idx1.gz", "deep/er/c.tar.gz", "deep/er/c.tar.gz"];
        assert_eq!(outcomes(from.path(), dir.path()), expected);
        assert_eq!(read(dir.path(), DatasetName::FashionMnist, "x-idx3"), "fashion x");
        assert_eq!(read(dir.path(), DatasetName::Cifar10, "2.bin"), "two");
        assert_eq!(outcomes(from.path(), dir.path()), ["old"; 6]);
    }

    #[test]
    fn a_spoilt_cache_is_mended() {
        let (from, dir) = folders(&[("1.bin", b"one"), ("2.bin", b"two")]);
        outcomes(from.path(), dir.path());
        std::fs::write(file_path(dir.path(), DatasetName::Cifar10, "2.bin"), "tow").unwrap();
        assert_eq!(outcomes(from.path(), dir.path())[4..], ["old", "2.bin"]);
        assert_eq!(read(dir.path(), DatasetName::Cifar10, "2.bin"), "two");
    }

    #[test]
    fn refuses_other_content_and_says_why() {
        let (from, dir) = folders(&[("1.bin", b"on"), ("2.bin.gz", &gz(b"two")[..12]), ("x-idx3", b"mnist z")]);
        let outcomes = outcomes(from.path(), dir.path());
        assert!(outcomes[0].contains("x-idx3: SHA-256: found "), "{outcomes:?}");
        assert_eq!(outcomes[1], "-");
        assert!(outcomes[4].ends_with("1.bin: found 2 bytes, expected 3"), "{outcomes:?}");
        assert!(outcomes[5].contains("2.bin.gz: cannot read: "), "{outcomes:?}");
        let left = |name: &str| std::fs::read_dir(dir.path().join(name)).map_or(0, Iterator::count);
        assert_eq!((left("mnist"), left("cifar10")), (0, 0));
    }

    #[test]
    fn a_damaged_archive_gives_what_came_before_the_damage() {
        let whole = tar(&[("c/1.bin", "one"), ("c/2.bin", "too")]);
        let (from, dir) = folders(&[("c.tar.gz", &gz(&whole))]);
        let wrong = outcomes(from.path(), dir.path());
        assert_eq!(wrong[4], "c.tar.gz");
        assert!(wrong[5].contains("c.tar.gz: 2.bin: SHA-256: found "), "{wrong:?}");
        // Every cut before the end of the second file, and no panic at any.
        let whole = gz(&tar(&[("c/1.bin", "one"), ("c/2.bin", "two")]));
        for cut in 0..whole.len() - 8 {
            let (from, dir) = folders(&[("c.tar.gz", &whole[..cut])]);
            let cut_outcomes = outcomes(from.path(), dir.path());
            assert!(
                cut_outcomes[5] == "c.tar.gz" || cut_outcomes[5].starts_with('-'),
                "cut at {cut}: {cut_outcomes:?}"
            );
        }
    }

    #[test]
    fn a_long_name_is_read_and_one_that_is_none_is_refused() {
        // GNU's long name in front of a member whose own header has it cut.
        let long = format!("{}/1.bin", "deep/".repeat(40));
        let (from, dir) = folders(&[("c.tar.gz", &gz(&tar(&[(&long, "one"), ("c/2.bin", "two")])))]);
        assert_eq!(outcomes(from.path(), dir.path())[4..], ["c.tar.gz", "c.tar.gz"]);
        // A header that gives a name 8 GB: 512 bytes, of which nothing follows.
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_path("././@LongLink").unwrap();
        header.set_size(8 << 30);
        header.set_cksum();
        let (from, dir) = folders(&[("c.tar.gz", &gz(header.as_bytes()))]);
        let refused = &outcomes(from.path(), dir.path())[4];
        assert!(refused.contains("a name of 8589934592 bytes in the archive, expected at most 65536"), "{refused}");
    }

    #[test]
    fn the_version_for_python_is_called_so() {
        assert!(is_python_version(Path::new("a/cifar-10-python.tar.gz"), "cifar-10-binary.tar.gz"));
        assert!(is_python_version(Path::new("cifar-10-batches-py/data_batch_1"), "cifar-10-binary.tar.gz"));
        assert!(!is_python_version(Path::new("a/cifar-10-binary.tar.gz"), "cifar-10-binary.tar.gz"));
        let (from, dir) = folders(&[("cifar-10-batches-py/data_batch_1", b"pickle")]);
        let refused = &outcomes(from.path(), dir.path())[5];
        assert!(refused.contains("the version for Python, expected the binary one, c.tar.gz"), "{refused}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let (from, dir) = folders(&[]);
        let error = import_entries(&catalogue(), &from.path().join("none"), dir.path(), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("none: cannot read: "), "{error}");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error() {
        let (from, dir) = folders(&[("1.bin", b"one")]);
        std::fs::write(dir.path().join("cifar10"), "").unwrap();
        let error = import_entries(&catalogue(), from.path(), dir.path(), &mut |_| ()).unwrap_err();
        assert!(matches!(error, ImportError::Write { .. }), "{error}");
    }
}
