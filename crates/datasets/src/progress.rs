//! What a long import or download is doing, told to a callback.

use crate::DatasetName;

/// An event of [`import`](crate::import::import) or, with feature `fetch`, of `fetch::fetch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A file or archive is being read; `total` is what it will bring, where that is known.
    Started {
        /// Its name or address.
        source: &'a str,
        /// Bytes of it as stored or sent.
        total: Option<u64>,
    },
    /// Bytes have come since [`Started`](Progress::Started).
    Advanced {
        /// Its name or address.
        source: &'a str,
        /// Bytes so far.
        bytes: u64,
        /// Bytes of it as stored or sent.
        total: Option<u64>,
    },
    /// An original file is in the cache, proven by its hash.
    Stored {
        /// The data set it belongs to.
        dataset: DatasetName,
        /// Its name.
        file: &'a str,
    },
    /// An original file was there before, and is right.
    AlreadyThere {
        /// The data set it belongs to.
        dataset: DatasetName,
        /// Its name.
        file: &'a str,
    },
    /// An attempt failed and another follows.
    Retrying {
        /// The address that failed.
        source: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// Counts what is read through it, and tells.
pub(crate) struct Counted<'a, R> {
    inner: R,
    source: &'a str,
    bytes: u64,
    total: Option<u64>,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl<'a, R> Counted<'a, R> {
    pub(crate) fn new(
        inner: R,
        source: &'a str,
        total: Option<u64>,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Counted<'a, R> {
        progress(Progress::Started { source, total });
        Counted { inner, source, bytes: 0, total, progress }
    }
}

impl<R: std::io::Read> std::io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        if n > 0 {
            (self.progress)(Progress::Advanced { source: self.source, bytes: self.bytes, total: self.total });
        }
        Ok(n)
    }
}
