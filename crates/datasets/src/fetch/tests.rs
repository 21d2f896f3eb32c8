//! The download path against a small server on loopback.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the server answers for a path.
#[derive(Clone)]
enum Answer {
    Body(Vec<u8>),
    /// Promises the body, sends this many bytes of it, and closes.
    CutAfter(usize, Vec<u8>),
    /// Promises the body, sends this many bytes of it, and stays silent.
    SilentAfter(usize, Vec<u8>),
    /// Sends the body byte by byte, with pauses.
    Dripping(Vec<u8>),
    /// Takes the request and says nothing.
    Hung,
    /// Fails the first time with this status, then sends the body.
    Once(u16, Vec<u8>),
    Status(u16),
}

/// Serves until dropped; `asked` lists the paths asked for.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    fn start(answers: &[(&str, Answer)]) -> Server {
        let answers: HashMap<String, Answer> = answers.iter().map(|(path, a)| (path.to_string(), a.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let listening = std::thread::spawn({
            let (asked, stop) = (asked.clone(), stop.clone());
            move || {
                std::thread::scope(|scope| {
                    for stream in listener.incoming() {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        // A client that hangs up is part of the tests.
                        let (answers, asked, stop) = (&answers, &asked, &stop);
                        scope.spawn(move || drop(serve(stream.unwrap(), answers, asked, stop)));
                    }
                });
            }
        });
        Server { address, asked, stop, listening: Some(listening) }
    }

    fn url(&self) -> String {
        format!("http://{}/data", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.listening.take().unwrap().join().unwrap();
    }
}

fn serve(
    mut stream: TcpStream,
    answers: &HashMap<String, Answer>,
    asked: &Mutex<Vec<String>>,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches("/data/").to_owned();
    let before = {
        let mut asked = asked.lock().unwrap();
        asked.push(path.clone());
        asked.iter().filter(|other| **other == path).count() - 1
    };
    let pause = || std::thread::sleep(Duration::from_millis(5));
    let wait_for_the_end = || {
        while !stop.load(Ordering::SeqCst) {
            pause();
        }
    };
    let head = |n| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n");
    let failure = |status| format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    match answers.get(&path).cloned().unwrap_or(Answer::Status(404)) {
        Answer::Once(status, _) if before == 0 => stream.write_all(failure(status).as_bytes()),
        Answer::Status(status) => stream.write_all(failure(status).as_bytes()),
        Answer::Body(body) | Answer::Once(_, body) => {
            stream.write_all(head(body.len()).as_bytes())?;
            stream.write_all(&body)
        }
        Answer::CutAfter(n, body) => {
            stream.write_all(head(body.len()).as_bytes())?;
            stream.write_all(&body[..n])
        }
        Answer::SilentAfter(n, body) => {
            stream.write_all(head(body.len()).as_bytes())?;
            stream.write_all(&body[..n])?;
            wait_for_the_end();
            Ok(())
        }
        Answer::Dripping(body) => {
            stream.write_all(head(body.len()).as_bytes())?;
            for byte in body {
                stream.write_all(&[byte])?;
                pause();
            }
            Ok(())
        }
        Answer::Hung => {
            wait_for_the_end();
            Ok(())
        }
    }
}

/// A data set of two gzipped files, `a` and `b`.
fn two_files(mirrors: Vec<String>) -> Entry {
    let files = vec![FileSpec::of("a", &content("a")), FileSpec::of("b", &content("b"))];
    Entry { dataset: DatasetName::Mnist, files, publication: Publication::GzippedFiles { mirrors } }
}

/// A data set of the same two files in `both.tar.gz`.
fn archive(mirrors: Vec<String>) -> Entry {
    Entry { publication: Publication::TarGz { archive: "both.tar.gz".to_owned(), mirrors }, ..two_files(vec![]) }
}

/// Some kilobytes that do not compress to nothing.
fn content(name: &str) -> Vec<u8> {
    (0..5_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ name.as_bytes()[0]).collect()
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn tar_gz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    gz(&plain_tar(files))
}

fn plain_tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, &content[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

fn quick() -> FetchConfig {
    FetchConfig {
        rounds: 2,
        pause: Duration::ZERO,
        connect_timeout: Duration::from_secs(5),
        silence_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(5),
        proxy: ProxyUse::Direct,
        base_url: None,
    }
}

fn impatient() -> FetchConfig {
    FetchConfig { rounds: 1, silence_timeout: Duration::from_millis(150), ..quick() }
}

/// The files of the cache, temporary ones too.
fn stored(dir: &Path) -> Vec<String> {
    let Ok(items) = std::fs::read_dir(dir.join("mnist")) else { return Vec::new() };
    let mut names: Vec<String> = items.map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fetches with a mirror that answers so for `a.gz`; returns the error and checks that nothing is left.
fn refused(answer: Answer, config: &FetchConfig) -> String {
    let server = Server::start(&[("a.gz", answer)]);
    let dir = tempfile::tempdir().unwrap();
    let error = fetch_entry(&two_files(vec![server.url()]), dir.path(), config, &mut |_| ()).unwrap_err().to_string();
    assert_eq!(stored(dir.path()), [""; 0]);
    assert!(error.starts_with("mnist: a.gz: no mirror gave it: "), "{error}");
    assert!(error.contains(&format!("{}/a.gz", server.url())), "{error}");
    error
}

#[test]
fn fetches_what_is_missing_and_only_that() {
    let server = Server::start(&[("a.gz", Answer::Body(gz(&content("a")))), ("b.gz", Answer::Body(gz(&content("b"))))]);
    let dir = tempfile::tempdir().unwrap();
    let entry = two_files(vec![server.url()]);
    let (mut finished, mut last) = (Vec::new(), None);
    fetch_entry(&entry, dir.path(), &quick(), &mut |event| match event {
        Progress::Stored { file, .. } => finished.push(file.to_owned()),
        Progress::Advanced { bytes, total, .. } => last = Some((bytes, total)),
        _ => {}
    })
    .unwrap();
    let size = gz(&content("b")).len() as u64;
    assert_eq!((finished, last), (vec!["a".to_owned(), "b".to_owned()], Some((size, Some(size)))));
    assert_eq!(std::fs::read(dir.path().join("mnist/b")).unwrap(), content("b"));

    std::fs::write(dir.path().join("mnist/b"), "spoilt").unwrap();
    fetch_entry(&entry, dir.path(), &quick(), &mut |_| ()).unwrap();
    assert_eq!(server.asked(), ["a.gz", "b.gz", "b.gz"]);
    assert_eq!(std::fs::read(dir.path().join("mnist/b")).unwrap(), content("b"));
    assert_eq!(stored(dir.path()), ["a", "b"]);
}

#[test]
fn wrong_content_is_refused_at_once() {
    let error = refused(Answer::Body(gz(&content("z"))), &quick());
    assert!(error.contains("SHA-256: found ") && !error.contains("times"), "{error}");
    let longer = [content("a"), vec![0]].concat();
    assert!(refused(Answer::Body(gz(&longer)), &quick()).contains("found more than 5000 bytes, expected exactly 5000"));
    assert!(refused(Answer::Body(gz(b"short")), &quick()).contains("found 5 bytes, expected 5000"));
    assert!(refused(Answer::Body(b"<html>not here</html>".to_vec()), &quick()).contains("found 21 bytes"));
}

#[test]
fn what_is_too_large_is_not_read_to_its_end() {
    // Ten megabytes of noughts in a few kilobytes.
    assert!(refused(Answer::Body(gz(&vec![0; 10_000_000])), &quick()).contains("found more than 5000 bytes"));
    // The right files behind two mebibytes of something else, plain so that they are sent as they are.
    let body = plain_tar(&[("readme", vec![7; 2 << 20]), ("a", content("a")), ("b", content("b"))]);
    let server = Server::start(&[("both.tar.gz", Answer::Body(body))]);
    let dir = tempfile::tempdir().unwrap();
    assert!(fetch_entry(&archive(vec![server.url()]), dir.path(), &quick(), &mut |_| ()).is_err());
    assert_eq!(stored(dir.path()), [""; 0]);
}

#[test]
fn a_body_cut_short_is_tried_again() {
    let body = gz(&content("a"));
    let error = refused(Answer::CutAfter(body.len() / 2, body.clone()), &quick());
    assert!(error.ends_with(" (2 times)"), "once in each round: {error}");
    // All of the gzip stream, but less than was promised.
    refused(Answer::CutAfter(body.len(), [&body[..], &[0; 100]].concat()), &quick());
}

#[test]
fn a_client_error_is_final_and_a_server_error_is_not() {
    assert!(refused(Answer::Status(404), &quick()).ends_with("404"));
    assert!(refused(Answer::Status(503), &quick()).ends_with("503 (2 times)"));
    let body = |name| Answer::Body(gz(&content(name)));
    let server = Server::start(&[("a.gz", Answer::Once(503, gz(&content("a")))), ("b.gz", body("b"))]);
    let dir = tempfile::tempdir().unwrap();
    let mut retries = 0;
    fetch_entry(&two_files(vec![server.url()]), dir.path(), &quick(), &mut |event| {
        retries += usize::from(matches!(event, Progress::Retrying { reason, .. } if reason.contains("503")));
    })
    .unwrap();
    assert_eq!((retries, stored(dir.path())), (1, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn silence_ends_the_wait() {
    let body = gz(&content("a"));
    let start = Instant::now();
    refused(Answer::Hung, &impatient());
    refused(Answer::SilentAfter(100, body.clone()), &impatient());
    refused(Answer::SilentAfter(0, body.clone()), &impatient());
    // Never silent for long, but too slow as a whole.
    let slow = FetchConfig { total_timeout: Duration::from_millis(300), rounds: 1, ..quick() };
    refused(Answer::Dripping(body), &slow);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn the_next_mirror_helps_out() {
    let good = [("a.gz", Answer::Body(gz(&content("a")))), ("b.gz", Answer::Body(gz(&content("b"))))];
    let (bad, good) = (Server::start(&[("a.gz", Answer::Body(gz(&content("z"))))]), Server::start(&good));
    let dir = tempfile::tempdir().unwrap();
    fetch_entry(&two_files(vec![bad.url(), good.url()]), dir.path(), &quick(), &mut |_| ()).unwrap();
    assert_eq!(stored(dir.path()), ["a", "b"]);
    assert_eq!(
        (bad.asked(), good.asked()),
        (vec!["a.gz".to_owned(), "b.gz".to_owned()], vec!["a.gz".to_owned(), "b.gz".to_owned()])
    );
}

#[test]
fn nobody_listens() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = FetchConfig { base_url: Some(format!("http://{closed}/")), ..impatient() };
    let error = fetch_entry(&two_files(vec![]), dir.path(), &config, &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("http://{closed}/a.gz: ")), "{error}");
}

#[test]
fn an_archive_is_unpacked_on_the_way() {
    let body = tar_gz(&[("in/readme", b"hello".to_vec()), ("in/b", content("b")), ("in/a", content("a"))]);
    let server = Server::start(&[("both.tar.gz", Answer::Body(body))]);
    let dir = tempfile::tempdir().unwrap();
    let config = FetchConfig { base_url: Some(server.url()), ..quick() };
    fetch_entry(&archive(vec![]), dir.path(), &config, &mut |_| ()).unwrap();
    fetch_entry(&archive(vec![]), dir.path(), &config, &mut |_| ()).unwrap();
    assert_eq!(server.asked(), ["both.tar.gz"]);
    assert_eq!(std::fs::read(dir.path().join("mnist/a")).unwrap(), content("a"));
}

#[test]
fn a_bad_archive_gives_only_what_is_right() {
    for (body, left, said) in [
        (tar_gz(&[("b", content("b")), ("a", content("z"))]), vec!["b"], "both.tar.gz: a: SHA-256: found "),
        (tar_gz(&[("a", content("a"))]), vec!["a"], "both.tar.gz: found no b in it"),
        (b"<html>not here</html>".to_vec(), vec![], "both.tar.gz: "),
    ] {
        let server = Server::start(&[("both.tar.gz", Answer::Body(body))]);
        let dir = tempfile::tempdir().unwrap();
        let result = fetch_entry(&archive(vec![server.url()]), dir.path(), &quick(), &mut |_| ());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(stored(dir.path()), left, "{error}");
    }
}

#[test]
fn a_cut_archive_never_gives_its_last_file() {
    let whole = tar_gz(&[("b", content("b")), ("a", content("a"))]);
    let server = Server::start(&[("both.tar.gz", Answer::Body(whole[..whole.len() - 2_000].to_vec()))]);
    let dir = tempfile::tempdir().unwrap();
    let error = fetch_entry(&archive(vec![server.url()]), dir.path(), &quick(), &mut |_| ()).unwrap_err();
    assert!(matches!(&error, FetchError::NoMirror { attempts, .. } if attempts.len() == 2), "{error}");
    assert!(stored(dir.path()).iter().all(|name| name == "b"));
}

#[test]
fn an_unwritable_cache_ends_it() {
    let server = Server::start(&[("a.gz", Answer::Body(gz(&content("a"))))]);
    let dir = tempfile::tempdir().unwrap();
    // A file in the place of the folder: refused to every user.
    std::fs::write(dir.path().join("mnist"), "").unwrap();
    let error = fetch_entry(&two_files(vec![server.url()]), dir.path(), &quick(), &mut |_| ()).unwrap_err();
    let place: PathBuf = dir.path().join("mnist");
    assert!(matches!(&error, FetchError::Write { file, .. } if file.starts_with(&*place.to_string_lossy())), "{error}");
    assert_eq!(server.asked().len(), 1);
}
