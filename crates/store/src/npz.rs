//! Named arrays in NumPy's `.npz` format: a zip archive of `.npy` files, as `numpy.load` reads them.

use crate::array::{Array, ArrayView};
use crate::atomic::{self, WriteError};
use crate::foreign;
use crate::npy;
use crate::whole;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

pub use crate::npy::NpyError;

/// Whether the values are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As `numpy.savez`: fast, and right for matrices of floats, which hardly shrink.
    #[default]
    Stored,
    /// As `numpy.savez_compressed`: right for images and labels.
    Deflated,
}

/// Bytes by which a file's kind is told.
const FIRST_BYTES: u64 = 4096;

/// An archive could not be written or read.
#[derive(Debug, Error)]
pub enum NpzError {
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file could not be read.
    #[error("{}: cannot read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Two arrays to be written have the same name, or one has none.
    #[error("{}: array name {name:?} is empty or given twice", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The file is no archive, or a damaged one.
    #[error("{}: not a whole zip archive: {cause}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What the archive reader said.
        cause: String,
    },
    /// The file is of another kind.
    #[error("{}: not a NumPy archive, but {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The archive holds something that is no array, one without a name, or two of the same.
    #[error("{}: entry {entry:?}, expected distinct names ending in .npy", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Name of the entry.
        entry: String,
    },
    /// One of the arrays is not as it should be.
    #[error("{}: array {name:?}: {defect}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        name: String,
        /// What is wrong with it.
        defect: NpyError,
    },
}

/// Writes named arrays to `path`, atomically and in this order. Equal arrays give equal bytes: no time is recorded.
///
/// # Errors
///
/// [`NpzError::Write`], or [`NpzError::Name`] for an empty or repeated name.
pub fn write(path: &Path, arrays: &[(&str, ArrayView<'_>)], compression: Compression) -> Result<(), NpzError> {
    check_names(path, arrays)?;
    Ok(atomic::write_with(path, |file| write_archive(file, arrays, compression))?)
}

/// What [`write()`] writes; `path` is for the error.
///
/// # Errors
///
/// As [`write()`].
pub fn bytes(path: &Path, arrays: &[(&str, ArrayView<'_>)], compression: Compression) -> Result<Vec<u8>, NpzError> {
    check_names(path, arrays)?;
    let mut archive = Cursor::new(Vec::new());
    let failed = |cause| WriteError { path: path.to_owned(), action: "write", cause };
    write_archive(&mut archive, arrays, compression).map_err(failed)?;
    Ok(archive.into_inner())
}

/// Reads every array of the archive at `path`, by name.
///
/// # Errors
///
/// [`NpzError`], naming the file and the array. Values are read exactly, see [`npy::read`]; of a type that is not read
/// there, an array is refused.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>, NpzError> {
    Ok(read_those(path, |_| true)?.0)
}

/// Reads the arrays of the archive at `path` that have these names, those that there are; and the names of all others,
/// which may be of any type and are not read.
///
/// # Errors
///
/// As [`read`].
pub fn read_named(path: &Path, names: &[&str]) -> Result<(BTreeMap<String, Array>, Vec<String>), NpzError> {
    read_those(path, |name| names.contains(&name))
}

fn read_those(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<(BTreeMap<String, Array>, Vec<String>), NpzError> {
    let unreadable = |cause| NpzError::Read { path: path.to_owned(), cause };
    let ((file, _), (beside, _)) = (whole::open(path).map_err(unreadable)?, whole::open(path).map_err(unreadable)?);
    read_archive(path, BufReader::new(file), beside, wanted)
}

/// Every array of the archive that `bytes` are, as [`read`]; `path` is for the error.
///
/// # Errors
///
/// As [`read`].
pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Array>, NpzError> {
    Ok(read_archive(path, Cursor::new(bytes), Cursor::new(bytes), |_| true)?.0)
}

fn check_names(path: &Path, arrays: &[(&str, ArrayView<'_>)]) -> Result<(), NpzError> {
    for (i, (name, _)) in arrays.iter().enumerate() {
        if name.is_empty() || arrays[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(NpzError::Name { path: path.to_owned(), name: (*name).to_owned() });
        }
    }
    Ok(())
}

/// Reads an archive; `beside` has the same bytes, to look at what the archive reader does not check.
fn read_archive(
    path: &Path,
    file: impl Read + Seek,
    mut beside: impl Read + Seek,
    wanted: impl Fn(&str) -> bool,
) -> Result<(BTreeMap<String, Array>, Vec<String>), NpzError> {
    let unreadable = |cause| NpzError::Read { path: path.to_owned(), cause };
    let mut start = Vec::new();
    Read::by_ref(&mut beside).take(FIRST_BYTES).read_to_end(&mut start).map_err(unreadable)?;
    let kind = foreign::kind(&start);
    // Any zip archive goes on, to be refused for what is in it.
    if let Some(what) = kind.filter(|_| !start.starts_with(b"PK") || kind.is_some_and(|kind| kind.contains("PyTorch")))
    {
        return Err(NpzError::Foreign { path: path.to_owned(), what });
    }
    let damaged = |cause: zip::result::ZipError| NpzError::Archive { path: path.to_owned(), cause: cause.to_string() };
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    if !directory_is_whole(&mut beside, archive.central_directory_start(), archive.len()).map_err(unreadable)? {
        let cause = "the directory has another number of entries than the archive says".to_owned();
        return Err(NpzError::Archive { path: path.to_owned(), cause });
    }
    let (mut arrays, mut others) = (BTreeMap::new(), Vec::new());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let full_name = entry.name().map_err(damaged)?.into_owned();
        let unexpected = || NpzError::Entry { path: path.to_owned(), entry: full_name.clone() };
        // The archive has no checksum of its names, but holds each twice.
        if !local_name_is(&mut beside, entry.header_start(), &full_name).map_err(unreadable)? {
            return Err(unexpected());
        }
        let name = full_name.strip_suffix(".npy").filter(|name| !name.is_empty()).ok_or_else(unexpected)?.to_owned();
        if !wanted(&name) {
            others.push(name);
            continue;
        }
        let array = npy::read(&mut entry).map_err(|defect| NpzError::Array {
            path: path.to_owned(),
            name: name.clone(),
            defect,
        })?;
        if arrays.insert(name, array).is_some() {
            return Err(unexpected());
        }
    }
    Ok((arrays, others))
}

/// Whether as many entries as are counted fill the directory at `start`: the count itself has no checksum.
fn directory_is_whole(file: &mut (impl Read + Seek), start: u64, n_entries: usize) -> io::Result<bool> {
    const FIXED: u64 = 46;
    if n_entries == 0 && start > 0 {
        return Ok(false);
    }
    let mut at = start;
    let mut read = |at: u64, len: u64| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        Ok::<_, io::Error>((Read::by_ref(file).take(len).read_to_end(&mut bytes)? as u64 == len).then_some(bytes))
    };
    for _ in 0..n_entries {
        let Some(entry) = read(at, FIXED)?.filter(|bytes| bytes.starts_with(b"PK\x01\x02")) else { return Ok(false) };
        // Name, extra field and comment follow.
        let lens = [28, 30, 32].map(|k| u64::from(u16::from_le_bytes([entry[k], entry[k + 1]])));
        at += FIXED + lens.iter().sum::<u64>();
    }
    // The end of the directory, or of a 64-bit one.
    Ok(read(at, 4)?.is_some_and(|bytes| bytes == b"PK\x05\x06" || bytes == b"PK\x06\x06"))
}

/// Whether the header in front of an entry's content, at `start`, has this name too.
fn local_name_is(file: &mut (impl Read + Seek), start: u64, name: &str) -> io::Result<bool> {
    const FIXED: usize = 30;
    let mut header = Vec::with_capacity(FIXED + name.len());
    file.seek(SeekFrom::Start(start))?;
    file.take((FIXED + name.len()) as u64).read_to_end(&mut header)?;
    let Some((fixed, found)) = header.split_at_checked(FIXED) else { return Ok(false) };
    let len = usize::from(u16::from_le_bytes([fixed[26], fixed[27]]));
    Ok(len == name.len() && found == name.as_bytes())
}

fn write_archive(
    out: &mut (impl Write + Seek),
    arrays: &[(&str, ArrayView<'_>)],
    compression: Compression,
) -> io::Result<()> {
    let method = match compression {
        Compression::Stored => CompressionMethod::Stored,
        Compression::Deflated => CompressionMethod::Deflated,
    };
    let mut archive = ZipWriter::new(out);
    for (name, array) in arrays {
        let large = npy::encoded_len(array) >= u64::from(u32::MAX);
        let options = SimpleFileOptions::default().compression_method(method).large_file(large);
        archive.start_file(format!("{name}.npy"), options)?;
        npy::write(&mut archive, array)?;
    }
    archive.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::OwnedValues;
    use std::fs;

    /// Golden archives: NumPy 2.4.6, `savez` and `savez_compressed` of the arrays in [`golden_arrays`].
    const STORED: &[u8] = include_bytes!("../golden/numpy-2.4.6-stored.npz");
    const DEFLATED: &[u8] = include_bytes!("../golden/numpy-2.4.6-deflated.npz");

    fn golden_arrays() -> BTreeMap<String, Array> {
        let array = |shape: &[usize], values| Array { shape: shape.to_vec(), values };
        BTreeMap::from([
            ("H".to_owned(), array(&[2, 3], OwnedValues::F64(vec![0.0, 0.1, -0.5, 1e300, 5e-324, f64::INFINITY]))),
            ("x".to_owned(), array(&[2, 1, 2], OwnedValues::F32(vec![1.5, -2.25, 0.1, 3e-40]))),
            ("y".to_owned(), array(&[3], OwnedValues::I64(vec![-1, 0, i64::MAX]))),
            ("pixels".to_owned(), array(&[4, 0], OwnedValues::U8(vec![]))),
            ("mask".to_owned(), array(&[3], OwnedValues::Bool(vec![true, false, true]))),
            ("scalar".to_owned(), array(&[], OwnedValues::F64(vec![7.0]))),
        ])
    }

    fn write_all(path: &Path, arrays: &BTreeMap<String, Array>, compression: Compression) {
        let views: Vec<_> = arrays.iter().map(|(name, array)| (name.as_str(), array.view().unwrap())).collect();
        write(path, &views, compression).unwrap();
    }

    #[test]
    fn reads_what_numpy_writes() {
        let folder = tempfile::tempdir().unwrap();
        for golden in [STORED, DEFLATED] {
            let path = folder.path().join("golden.npz");
            fs::write(&path, golden).unwrap();
            assert_eq!(read(&path).unwrap(), golden_arrays());
        }
    }

    #[test]
    fn the_entries_are_numpys_byte_by_byte() {
        let mut numpys = ZipArchive::new(std::io::Cursor::new(STORED)).unwrap();
        for (name, array) in golden_arrays() {
            let mut expected = Vec::new();
            io::copy(&mut numpys.by_name(&format!("{name}.npy")).unwrap(), &mut expected).unwrap();
            let mut found = Vec::new();
            npy::write(&mut found, &array.view().unwrap()).unwrap();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn round_trips_and_repeats_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("κ one.npz"), folder.path().join("two.npz"));
        for compression in [Compression::Stored, Compression::Deflated] {
            write_all(&one, &golden_arrays(), compression);
            write_all(&two, &golden_arrays(), compression);
            assert_eq!(read(&one).unwrap(), golden_arrays());
            assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        }
        write(&one, &[], Compression::Stored).unwrap();
        assert!(read(&one).unwrap().is_empty());
    }

    #[test]
    fn deflating_shrinks_what_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zeros.npz");
        let zeros = vec![0.0f32; 100_000];
        write(&path, &[("x", ArrayView::new(&[100, 1000], &zeros).unwrap())], Compression::Deflated).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 2_000);
        assert_eq!(read(&path).unwrap()["x"], Array { shape: vec![100, 1000], values: OwnedValues::F32(zeros) });
    }

    #[test]
    fn arrays_that_nobody_asked_for_may_be_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.npz");
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file("x.npy", SimpleFileOptions::default()).unwrap();
        npy::write(&mut archive, &ArrayView::new(&[1], &[1.0][..]).unwrap()).unwrap();
        archive.start_file("names.npy", SimpleFileOptions::default()).unwrap();
        archive.write_all(b"an array of text").unwrap();
        fs::write(&path, archive.finish().unwrap().into_inner()).unwrap();
        assert!(matches!(read(&path), Err(NpzError::Array { name, .. }) if name == "names"));
        let (arrays, others) = read_named(&path, &["x", "y"]).unwrap();
        assert!(arrays.len() == 1 && arrays.contains_key("x") && others == ["names"], "{arrays:?} {others:?}");
    }

    #[test]
    fn names_must_be_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.npz");
        let view = ArrayView::new(&[1], &[1.0][..]).unwrap();
        for names in [["a", "a"], ["a", ""]] {
            let error = write(&path, &names.map(|name| (name, view)), Compression::Stored).unwrap_err();
            assert!(matches!(error, NpzError::Name { .. }));
        }
        assert!(!path.exists());
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.npz");
        let error_of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
            error
        };
        assert!(matches!(error_of(b"not a zip"), NpzError::Archive { .. }));
        assert!(matches!(error_of(b"<html>"), NpzError::Foreign { what, .. } if what.contains("web page")));
        for cut in [1, 20, 500, STORED.len() / 2, STORED.len() - 1] {
            error_of(&STORED[..STORED.len() - cut]);
        }
        // A flipped bit among the values breaks the checksum of their entry.
        let at = STORED.windows(8).position(|w| w == 1e300f64.to_le_bytes()).unwrap();
        let mut flipped = STORED.to_vec();
        flipped[at] ^= 1;
        assert!(matches!(error_of(&flipped), NpzError::Array { name, .. } if name == "H"));

        for name in ["readme.txt", ".npy"] {
            let mut foreign = ZipWriter::new(io::Cursor::new(Vec::new()));
            foreign.start_file(name, SimpleFileOptions::default()).unwrap();
            npy::write(&mut foreign, &ArrayView::new(&[1], &[1.0][..]).unwrap()).unwrap();
            let foreign = foreign.finish().unwrap().into_inner();
            assert!(matches!(error_of(&foreign), NpzError::Entry { entry, .. } if entry == name));
        }
    }
}
