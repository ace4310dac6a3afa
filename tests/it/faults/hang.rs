//! A service that stops answering: at each request of a backup, a restore and a check, once and for good. The time limit of a call ends the wait, what passes is tried
//! again, and what doesn't is an error that names the object.
#![expect(clippy::print_stdout, reason = "totals for the documents")]

use super::every_call::told;
use crate::world::{NAME, World, everything_into, noise, portrait};
use nightsafe::repo::repository::{AnyRepo, CacheDir, CreateOptions, Repo, open};
use nightsafe::repo::store::Store;
use nightsafe::repo::store::opendal::OpenDalStore;
use nightsafe::repo::store::retry::{Backoff, RetryingStore};
use nightsafe::snapshot::check::{CheckOptions, check};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::restore;
use nightsafe::snapshot::snapshots::load;
use nightsafe::snapshot::tree::path::SafePath;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Every so many requests one hangs in the suite; the test that is ignored tries all.
const STRIDE: usize = 6;
/// How long a call may take: the rest are answered in well under a millisecond, on a busy machine in less than this.
const PATIENCE: Duration = Duration::from_millis(250);

/// As much of S3 as a repository needs: one bucket, in memory, whoever asks.
pub(crate) struct Server {
    pub(crate) address: String,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    requests: AtomicU64,
    /// Which request isn't answered.
    hangs_at: AtomicU64,
    /// Nor any after it.
    lasts: AtomicBool,
    /// What wasn't answered: the keys of objects, the prefixes of listings.
    unanswered: Mutex<Vec<String>>,
}

/// One request.
struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// The next on a connection; nothing at its end.
    fn read(from: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let path = path.trim_start_matches("/bucket").trim_start_matches('/').to_owned();
        Some(Self { method, path, query: query.to_owned(), headers, body })
    }

    /// What stands in the query under this name.
    fn value(&self, name: &str) -> Option<String> {
        let part = self.query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
        Some(part.replace("%2F", "/").replace("%2f", "/"))
    }

    /// What it's about, as an error should name it.
    fn subject(&self) -> String {
        if self.query.contains("list-type") { self.value("prefix").unwrap_or_default() } else { self.path.clone() }
    }
}

impl Server {
    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Arc::new(Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            objects: Mutex::default(),
            requests: AtomicU64::new(0),
            hangs_at: AtomicU64::new(u64::MAX),
            lasts: AtomicBool::new(false),
            unanswered: Mutex::default(),
        });
        let accepting = Arc::clone(&server);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = Arc::clone(&accepting);
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    fn serve(&self, stream: TcpStream) {
        let mut from = BufReader::new(stream.try_clone().unwrap());
        let mut to = stream;
        while let Some(request) = Request::read(&mut from) {
            let number = self.requests.fetch_add(1, Ordering::SeqCst);
            let at = self.hangs_at.load(Ordering::SeqCst);
            if number == at || number > at && self.lasts.load(Ordering::SeqCst) {
                self.unanswered.lock().unwrap().push(request.subject());
                // Until the other side has had enough.
                let _ = from.read(&mut [0]);
                return;
            }
            let (status, headers, body) = self.answer(&request);
            let length =
                if request.method == "HEAD" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            let head = format!("HTTP/1.1 {status}\r\n{headers}{length}\r\n");
            let body = if request.method == "HEAD" { &[][..] } else { &body };
            if to.write_all(head.as_bytes()).and_then(|()| to.write_all(body)).is_err() {
                return;
            }
        }
    }

    /// Status, headers and body.
    fn answer(&self, request: &Request) -> (&'static str, String, Vec<u8>) {
        const DATE: &str = "last-modified: Fri, 20 Nov 2026 12:00:00 GMT\r\netag: \"1\"\r\n";
        let mut objects = self.objects.lock().unwrap();
        let none = || ("404 Not Found", String::new(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec());
        let object = objects.get(&request.path);
        match request.method.as_str() {
            "PUT" if object.is_some() && request.headers.contains_key("if-none-match") => {
                let body = b"<Error><Code>PreconditionFailed</Code></Error>".to_vec();
                ("412 Precondition Failed", String::new(), body)
            }
            "PUT" => {
                objects.insert(request.path.clone(), request.body.clone());
                ("200 OK", DATE.to_owned(), Vec::new())
            }
            "DELETE" => {
                objects.remove(&request.path);
                ("204 No Content", String::new(), Vec::new())
            }
            "HEAD" => match object {
                Some(bytes) => ("200 OK", format!("{DATE}content-length: {}\r\n", bytes.len()), Vec::new()),
                None => ("404 Not Found", String::new(), Vec::new()),
            },
            _ if request.query.contains("list-type") => ("200 OK", String::new(), listing(&objects, request)),
            _ => {
                let Some(bytes) = object else { return none() };
                let range = request.headers.get("range").and_then(|range| {
                    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
                    let from: usize = from.parse().ok()?;
                    Some((from, to.parse::<usize>().map_or(bytes.len(), |to| (to + 1).min(bytes.len()))))
                });
                match range {
                    Some((from, to)) if from < to => {
                        let headers = format!("{DATE}content-range: bytes {from}-{}/{}\r\n", to - 1, bytes.len());
                        ("206 Partial Content", headers, bytes[from..to].to_vec())
                    }
                    Some(_) => ("416 Range Not Satisfiable", String::new(), Vec::new()),
                    None => ("200 OK", DATE.to_owned(), bytes.clone()),
                }
            }
        }
    }
}

/// A listing of all depths: whatever the delimiter, none is ever asked for.
fn listing(objects: &BTreeMap<String, Vec<u8>>, request: &Request) -> Vec<u8> {
    let prefix = request.value("prefix").unwrap_or_default();
    let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let date = "<LastModified>2026-11-20T12:00:00.000Z</LastModified>";
        let size = bytes.len();
        write!(text, "<Contents><Key>{key}</Key>{date}<ETag>\"1\"</ETag><Size>{size}</Size></Contents>").unwrap();
    }
    (text + "</ListBucketResult>").into_bytes()
}

/// A repository on a server, with one snapshot.
struct Scene {
    world: World,
    server: Arc<Server>,
    objects: BTreeMap<String, Vec<u8>>,
}

/// What is run.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Backup,
    Restore,
    Check,
}

impl Scene {
    fn new() -> Self {
        let (world, server) = (World::new(), Server::start());
        world.write("a", noise(30_000));
        world.write("b/c", noise(100));
        let scene = Self { world, server, objects: BTreeMap::new() };
        let kdf = crate::world::kdf();
        let options = CreateOptions { kdf, label: crate::world::label(), cache: CacheDir::new(scene.world.cache()) };
        Repo::create(scene.store(), &scene.world.secret, &options).unwrap();
        scene.run(Verb::Backup).unwrap();
        let objects = scene.server.objects.lock().unwrap().clone();
        Self { objects, ..scene }
    }

    fn store(&self) -> Arc<dyn Store> {
        opendal::install_default();
        let options = [
            ("bucket", "bucket"),
            ("endpoint", &self.server.address),
            ("region", "us-east-1"),
            ("access_key_id", "id"),
            ("secret_access_key", "key"),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let operator = opendal::Operator::via_iter("s3", options).unwrap();
        let store = OpenDalStore::over(operator, "s3:bucket").with_patience(PATIENCE);
        // The limit grows with the bytes, by those of this test by less than a second.
        Arc::new(RetryingStore::with_sleep(Arc::new(store), Backoff { tries: 3, ..Backoff::default() }, |_| {}))
    }

    /// Runs a verb, from opening the repository on.
    fn run(&self, verb: Verb) -> Result<(), String> {
        let _ = std::fs::remove_dir_all(self.world.cache());
        let repo = match open(self.store(), &self.world.secret, &CacheDir::new(self.world.cache())) {
            Ok(AnyRepo::Full(repo)) => repo,
            Ok(AnyRepo::WriteOnly(_)) => panic!("a full credential opened as write-only"),
            Err(error) => return Err(told(&error)),
        };
        match verb {
            Verb::Backup => self.world.try_back_up(&repo).map(|_| ()).map_err(|error| told(&error)),
            Verb::Restore => {
                let all = nightsafe::snapshot::snapshots::snapshots(&repo).map_err(|error| told(&error))?;
                let snapshot = load(&repo, all.list[0].id).map_err(|error| told(&error))?;
                let target = self.world.fresh();
                let path = SafePath::parse(NAME.as_bytes()).unwrap();
                let options = everything_into(target.clone());
                let summary = restore::restore(&repo, &snapshot, Some(&path), &options, &Silent::default())
                    .map_err(|error| told(&error))?;
                if !summary.problems.is_empty() {
                    return Err(summary.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
                }
                assert_eq!(portrait(&target), portrait(&self.world.source()));
                Ok(())
            }
            Verb::Check => {
                let options = CheckOptions { read_data: Some("100%".parse().unwrap()), time: None };
                let report = check(&repo, &options, &Silent::default()).map_err(|error| told(&error))?;
                let found = report.errors.iter().map(|damage| format!("{}: {}", damage.object, damage.what));
                if report.errors.is_empty() { Ok(()) } else { Err(found.collect::<Vec<_>>().join("; ")) }
            }
        }
    }

    fn begin(&self, hangs_at: u64, lasts: bool) {
        *self.server.objects.lock().unwrap() = self.objects.clone();
        self.server.requests.store(0, Ordering::SeqCst);
        self.server.hangs_at.store(hangs_at, Ordering::SeqCst);
        self.server.lasts.store(lasts, Ordering::SeqCst);
        self.server.unanswered.lock().unwrap().clear();
    }

    /// A clean error: it names an object, or the listing, that there was no answer about, and says so, for how long it was waited and how often it was tried.
    fn assert_tells_what_hung(&self, text: &str, what: &str) {
        let unanswered = self.server.unanswered.lock().unwrap().clone();
        assert!(!unanswered.is_empty(), "{what}: an error, and all was answered: {text}");
        let named = |subject: &String| match subject.trim_end_matches('/') {
            // Whether there is a bucket at all: asked for the sake of an object, or a listing, that is named.
            "" => text.contains("s3:bucket: "),
            subject => text.contains(&format!("s3:bucket: {subject}")),
        };
        assert!(unanswered.iter().any(named), "{what}: none of {unanswered:?} is named: {text}");
        for part in ["no answer", "no answer for 0.25 s", "gave up after 3 tries"] {
            assert!(text.contains(part), "{what}: {part:?} isn't said: {text}");
        }
    }
}

fn try_verb(verb: Verb, stride: usize) {
    let scene = Scene::new();
    scene.begin(u64::MAX, false);
    scene.run(verb).unwrap();
    let requests = scene.server.requests.load(Ordering::SeqCst);
    let (mut passed, mut ended, mut named) = (0, 0, 0);
    for at in (0..requests).step_by(stride) {
        scene.begin(at, false);
        scene.run(verb).unwrap_or_else(|error| panic!("{verb:?}: request {at} hung once: {error}"));
        passed += 1;
        scene.begin(at, true);
        match scene.run(verb) {
            Ok(()) => {}
            Err(text) => {
                scene.assert_tells_what_hung(&text, &format!("{verb:?}, from request {at} on"));
                named += 1;
            }
        }
        ended += 1;
        // The next run needs no manual step.
        scene.server.hangs_at.store(u64::MAX, Ordering::SeqCst);
        scene.run(verb).unwrap_or_else(|error| panic!("{verb:?}: after request {at} hung: {error}"));
        scene.run(Verb::Check).unwrap();
    }
    println!(
        "| {verb:?} | Hang | {requests} requests | {passed} hung once: exact | {ended} for good: {named} errors that name it |"
    );
    assert!(passed > 1 && requests > 5 && named > ended / 2, "{passed} {requests} {named} of {ended}");
}

#[test]
fn a_backup_whose_service_stops_answering() {
    try_verb(Verb::Backup, STRIDE);
}

#[test]
fn a_restore_whose_service_stops_answering() {
    try_verb(Verb::Restore, STRIDE);
}

#[test]
fn a_check_whose_service_stops_answering() {
    try_verb(Verb::Check, STRIDE);
}

#[test]
#[ignore = "minutes, of waiting; a part of the requests is tried by the tests above"]
fn a_service_that_stops_answering_at_any_request() {
    for verb in [Verb::Backup, Verb::Restore, Verb::Check] {
        try_verb(verb, 1);
    }
}
