//! The full data sets from their official hosts. The SHA-256 of the content decides, whatever the host.

use crate::DatasetName;
use crate::cache::file_path;
use crate::catalog::{self, Entry, FileSpec, Publication};
use crate::gzip;
use crate::import::unpack;
use crate::progress::{Counted, Progress};
use crate::verified::{PutError, is_right, put};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// How a download goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// A base address to use in place of the official ones.
    pub base_url: Option<String>,
    /// Rounds over the mirrors before giving up. A mirror that answers with a client error or with wrong content is not
    /// asked again.
    pub rounds: u32,
    /// Pause between two rounds.
    pub pause: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest silence, before the answer and within it.
    pub silence_timeout: Duration,
    /// Longest time for one file or archive.
    pub total_timeout: Duration,
    /// Whether to go through a proxy.
    pub proxy: ProxyUse,
}

/// Whether to go through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyUse {
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    FromEnvironment,
    /// Never.
    Direct,
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No mirror gave the file.
    #[error("{dataset}: {file}: no mirror gave it: {}", distinct(attempts))]
    NoMirror {
        /// The data set.
        dataset: DatasetName,
        /// The file or archive.
        file: String,
        /// What every failed attempt found, in order.
        attempts: Vec<String>,
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

impl Default for FetchConfig {
    fn default() -> FetchConfig {
        FetchConfig {
            base_url: None,
            rounds: 3,
            pause: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(3600),
            proxy: ProxyUse::FromEnvironment,
        }
    }
}

/// Downloads what the cache `dir` lacks of `name`, each file checked by the SHA-256 of its uncompressed content. A file
/// that is not right never appears under its name.
///
/// # Errors
/// [`FetchError`] when no mirror has a file, or the cache cannot be written. Files that were stored before
/// stay, and need not be fetched again.
pub fn fetch(
    name: DatasetName,
    dir: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    fetch_entry(&catalog::entry(name), dir, config, progress)
}

/// [`fetch`] for a given entry.
///
/// # Errors
/// As [`fetch`].
pub(crate) fn fetch_entry(
    entry: &Entry,
    dir: &Path,
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    let mut wanted = Vec::new();
    for spec in &entry.files {
        if is_right(&file_path(dir, entry.dataset, &spec.name), spec) {
            progress(Progress::AlreadyThere { dataset: entry.dataset, file: &spec.name });
        } else {
            wanted.push(spec);
        }
    }
    let agent = agent(config);
    match &entry.publication {
        Publication::GzippedFiles { mirrors } => {
            for spec in wanted {
                let packed = format!("{}.gz", spec.name);
                from_mirrors(entry.dataset, &packed, mirrors, config, progress, |url, progress| {
                    let target = file_path(dir, entry.dataset, &spec.name);
                    get(&agent, url, spec.bytes, progress, |body| {
                        let content = gzip::plain(BufReader::new(body)).map_err(PutError::Read)?;
                        put(&target, spec, url, content)
                    })?;
                    progress(Progress::Stored { dataset: entry.dataset, file: &spec.name });
                    Ok(())
                })?;
            }
        }
        Publication::TarGz { archive, mirrors } if !wanted.is_empty() => {
            let size: u64 = entry.files.iter().map(|spec| spec.bytes).sum();
            from_mirrors(entry.dataset, archive, mirrors, config, progress, |url, progress| {
                let mut stored: Vec<&FileSpec> = Vec::new();
                let target = |name: &str| file_path(dir, entry.dataset, name);
                let result = get(&agent, url, size, progress, |body| {
                    unpack(body, url, &wanted, target, |spec| stored.push(spec))
                });
                for spec in &stored {
                    progress(Progress::Stored { dataset: entry.dataset, file: &spec.name });
                }
                result?;
                wanted.retain(|spec| !stored.contains(spec));
                match wanted.first() {
                    None => Ok(()),
                    Some(spec) => Err(Failure::Wrong(format!("{url}: found no {} in it", spec.name))),
                }
            })?;
        }
        Publication::TarGz { .. } => {}
    }
    Ok(())
}

/// Why one attempt failed.
enum Failure {
    /// Another attempt may do better.
    Passing(String),
    /// This mirror does not have it.
    Wrong(String),
    /// The cache cannot be written.
    Write { file: String, cause: io::Error },
}

fn from_mirrors(
    dataset: DatasetName,
    file: &str,
    mirrors: &[String],
    config: &FetchConfig,
    progress: &mut dyn FnMut(Progress<'_>),
    mut attempt: impl FnMut(&str, &mut dyn FnMut(Progress<'_>)) -> Result<(), Failure>,
) -> Result<(), FetchError> {
    let bases = config.base_url.as_ref().map_or(mirrors, std::slice::from_ref);
    let mut urls: Vec<String> = bases.iter().map(|base| format!("{}/{file}", base.trim_end_matches('/'))).collect();
    let mut attempts: Vec<String> = Vec::new();
    let mut failed_url: Option<String> = None;
    for round in 0..config.rounds {
        if round > 0 && !urls.is_empty() {
            std::thread::sleep(config.pause);
        }
        let mut passing = Vec::new();
        for url in urls {
            if let (Some(source), Some(reason)) = (&failed_url, attempts.last()) {
                progress(Progress::Retrying { source, reason });
            }
            match attempt(&url, progress) {
                Ok(()) => return Ok(()),
                Err(Failure::Write { file, cause }) => return Err(FetchError::Write { file, cause }),
                Err(Failure::Wrong(reason)) => attempts.push(reason),
                Err(Failure::Passing(reason)) => {
                    attempts.push(reason);
                    passing.push(url.clone());
                }
            }
            failed_url = Some(url);
        }
        urls = passing;
    }
    Err(FetchError::NoMirror { dataset, file: file.to_owned(), attempts })
}

/// Gets `url`, whose content is at most `size` bytes once unpacked, and lets `store` read it.
fn get(
    agent: &ureq::Agent,
    url: &str,
    size: u64,
    progress: &mut dyn FnMut(Progress<'_>),
    store: impl FnOnce(&mut dyn Read) -> Result<(), PutError>,
) -> Result<(), Failure> {
    let response = agent.get(url).call().map_err(|error| {
        let reason = format!("{url}: {error}");
        match error {
            // 408 and 429 are client errors that pass.
            ureq::Error::StatusCode(status @ 400..500) if status != 408 && status != 429 => Failure::Wrong(reason),
            _ => Failure::Passing(reason),
        }
    })?;
    let total = response.body().content_length();
    // What is packed is hardly larger than what it holds: a mebibyte covers headers and small files beside.
    let body = response.into_body().into_with_config().limit(size + (1 << 20)).reader();
    store(&mut Counted::new(body, url, total, progress)).map_err(|error| match error {
        PutError::Read(cause) => Failure::Passing(format!("{url}: {cause}")),
        PutError::Content(error) => Failure::Wrong(error.to_string()),
        PutError::Write { file, cause } => Failure::Write { file, cause },
    })
}

/// The attempts in one line, each failure once.
fn distinct(attempts: &[String]) -> String {
    let mut lines: Vec<(&str, usize)> = Vec::new();
    for attempt in attempts {
        match lines.iter_mut().find(|(line, _)| line == attempt) {
            Some((_, times)) => *times += 1,
            None => lines.push((attempt, 1)),
        }
    }
    let line = |&(line, times): &(&str, usize)| match times {
        1 => line.to_owned(),
        _ => format!("{line} ({times} times)"),
    };
    lines.iter().map(line).collect::<Vec<_>>().join("; ")
}

fn agent(config: &FetchConfig) -> ureq::Agent {
    let mut builder = ureq::Agent::config_builder()
        .timeout_connect(Some(config.connect_timeout))
        .timeout_recv_response(Some(config.silence_timeout))
        .timeout_per_read(Some(config.silence_timeout))
        .timeout_recv_body(Some(config.total_timeout))
        .user_agent(concat!("superlinear-datasets/", env!("CARGO_PKG_VERSION")));
    if config.proxy == ProxyUse::Direct {
        builder = builder.proxy(None);
    }
    builder.build().into()
}

#[cfg(test)]
mod tests;
