//! Plain or gzip, told apart by the first two bytes of the content, never by a file name.

use std::io::{BufRead, Cursor, Read, Result};

/// The first two bytes of a gzipped file.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The plain content of `reader`.
pub(crate) fn plain<'a>(mut reader: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut start)?;
    let compressed = start == MAGIC;
    let whole = Cursor::new(start).chain(reader);
    if compressed { unpacked(whole) } else { Ok(Box::new(whole)) }
}

#[cfg(feature = "gzip")]
fn unpacked<'a>(packed: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    Ok(Box::new(std::io::BufReader::new(flate2::bufread::MultiGzDecoder::new(packed))))
}

#[cfg(not(feature = "gzip"))]
fn unpacked<'a>(_: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "gzipped, and superlinear-datasets was built without feature gzip",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        plain(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn tells_plain_from_gzip_by_content() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(b"seventeen").unwrap();
        let compressed = encoder.finish().unwrap();
        assert_eq!(read(&compressed).unwrap(), b"seventeen");
        for short in [&b""[..], b"s", b"seventeen"] {
            assert_eq!(read(short).unwrap(), short);
        }
        for cut in 2..compressed.len() {
            assert!(read(&compressed[..cut]).is_err(), "cut at {cut}");
        }
    }
}
