//! Capturing files: one thread walks and puts directories together, one per core reads, cuts and puts chunks, and the writer's threads
//! seal and store.
//!
//! ```text
//! walk ── files ──▶ readers ── chunks ──▶ writer
//!   ▲                  │
//!   └──── outcomes ────┘
//! ```
//!
//! Memory: one buffer per reader (1 MiB; 8 MiB for the largest files), the entries that wait for their content
//! ([`assembler::MAX_WAITING`]), and the names and cache rows of the directories on the path.

mod ahead;
pub mod application;
pub mod archive;
pub mod assembler;
pub mod captured;
pub mod content;
mod data;
mod database;
mod dump;
mod expanded;
pub mod export;
mod fault;
pub mod file;
mod ledger;
mod made;
mod measured;
mod offering;
mod part;
mod pipe;
mod place;
mod problems;
mod script;
mod secret;
pub mod sidecar;
mod visit;

use crate::chunker::{Buffer, Gear};
use crate::repo::failure::Failure;
use crate::repo::format::Class;
use crate::repo::repository::{Access, Repo};
use crate::repo::writer::{Lane, WriteError, Writer};
use crate::snapshot::backup::{BackupError, BackupOptions};
use crate::snapshot::capture::ahead::Knowledge;
use crate::snapshot::capture::assembler::Assembler;
use crate::snapshot::capture::captured::FileSlot;
use crate::snapshot::capture::content::StreamSink;
use crate::snapshot::capture::file::{FileJob, FileReaderThread};
use crate::snapshot::capture::ledger::Ledger;
use crate::snapshot::capture::made::Made;
use crate::snapshot::capture::measured::Measured;
use crate::snapshot::capture::part::FilesPart;
use crate::snapshot::capture::problems::Problems;
use crate::snapshot::capture::visit::Visit;
use crate::snapshot::checkpoint::Checkpoints;
use crate::snapshot::manifest::database::Database;
use crate::snapshot::manifest::dump::DumpFile;
use crate::snapshot::manifest::exclusion::Exclusion;
use crate::snapshot::manifest::{SecretFile, Source, SourceDetail, State, Statistics};
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::postgres::source::PostgresSource;
use crate::snapshot::seen::SeenFiles;
use crate::snapshot::source::elsewhere::Elsewhere;
use crate::snapshot::source::event::Event;
use crate::snapshot::source::metadata::Metadata;
use crate::snapshot::source::pipe::PipeSource;
use crate::snapshot::source::roots::RootError;
use crate::snapshot::source::walk::{Walk, WalkError};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::path::{SafePath, escape_name};
use crate::snapshot::tree::problem::Problem;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Files that wait for a reader: enough to keep readers busy, few enough to keep few directories open.
const JOBS: usize = 64;

/// What to capture.
pub struct Capture {
    /// Sorted by the names that they are stored under; one without such a name is the only one.
    parts: Vec<FilesPart>,
    databases: Vec<PostgresSource>,
    streams: Vec<PipeSource>,
    use_cache: bool,
}

/// A directory of which no walk knows: what is in it comes from elsewhere.
#[derive(Clone)]
pub struct MadeDirectory {
    /// It, with its name at the top of the tree.
    pub entry: Entry,
    /// What is in it, sorted by name.
    pub files: Vec<(Entry, Arc<FileSlot>)>,
}

/// What was captured.
pub struct Captured {
    /// The top of the tree.
    pub top: Entry,
    /// Counts.
    pub statistics: Statistics,
    /// What wasn't captured as it should.
    pub problems: Vec<Problem>,
    /// Files marked secret.
    pub secrets: Vec<SecretFile>,
    /// Databases that were captured.
    pub databases: Vec<Database>,
    /// Dumps of databases among the files.
    pub dumps: Vec<DumpFile>,
    /// What each source came to.
    pub sources: Vec<SourceDetail>,
    /// What was left out because it is on another file system, but for directories.
    pub elsewhere: Elsewhere,
    /// The cache of seen files, to be kept once the snapshot is committed.
    pub seen: Option<SeenFiles>,
}

/// What came of the walk.
struct Walked<'c> {
    top: Entry,
    ledger: Ledger<'c>,
    databases: Vec<Database>,
    sources: Vec<SourceDetail>,
    elsewhere: Elsewhere,
}

/// What the threads of a capture share.
struct Shared<'c> {
    writer: &'c Writer,
    gear: &'c Gear,
    monitor: &'c dyn Monitor,
    data: Vec<Mutex<Lane>>,
    secret: Mutex<Lane>,
    knowledge: Knowledge,
    problems: Mutex<Problems>,
    failure: Failure<WriteError>,
}

impl<'c> Shared<'c> {
    /// For so many threads that read.
    fn new(
        (writer, gear): (&'c Writer, &'c Gear),
        knowledge: Knowledge,
        readers: usize,
        monitor: &'c dyn Monitor,
    ) -> Self {
        Self {
            writer,
            gear,
            monitor,
            data: (0..readers).map(|_| Mutex::new(writer.lane(Class::Data))).collect(),
            secret: Mutex::new(writer.lane(Class::Secret)),
            knowledge,
            problems: Mutex::default(),
            failure: Failure::default(),
        }
    }

    fn problem(&self, problem: Problem) {
        self.monitor.problem(&problem);
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// Fails if a thread did, or the user wants it.
    fn go_on(&self) -> Result<(), WriteError> {
        if self.monitor.interrupted() {
            return Err(WriteError::Interrupted);
        }
        if self.failure.is_set() || self.writer.has_failed() { Err(WriteError::Stopped) } else { Ok(()) }
    }

    /// Closes the open frames of files.
    fn flush(&self) -> Result<(), WriteError> {
        for lane in self.data.iter().chain([&self.secret]) {
            lane.lock().unwrap_or_else(PoisonError::into_inner).flush()?;
        }
        Ok(())
    }

    /// A reading thread: until there is nothing left to read. After a failure what is left is passed over, so that nobody waits.
    fn read(&self, lane: &Mutex<Lane>, jobs: &Receiver<FileJob>, done: &Sender<()>) {
        let mut buffer = Buffer::new();
        let problems = |problem| self.problem(problem);
        let reader = FileReaderThread {
            writer: self.writer,
            gear: self.gear,
            data: lane,
            knowledge: &self.knowledge,
            secret: &self.secret,
            problems: &problems,
            monitor: self.monitor,
        };
        for job in jobs {
            let _told = Told { failure: &self.failure, done };
            if !self.failure.is_set()
                && let Err(error) = reader.capture(&job, &mut buffer)
            {
                self.failure.set(error);
            }
        }
    }
}

/// Tells the walk that a file is done with, also when its reader panics: else the walk would wait for ever, and the panic never be passed on.
struct Told<'t> {
    failure: &'t Failure<WriteError>,
    done: &'t Sender<()>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failure.set(WriteError::Stopped);
        }
        // Whoever waits for this may be gone.
        let _ = self.done.send(());
    }
}

impl Capture {
    /// Looks at what is to be captured, before anything begins.
    pub fn prepare(options: &BackupOptions) -> Result<Self, BackupError> {
        let mut parts = options.files.iter().map(FilesPart::prepare).collect::<Result<Vec<_>, _>>()?;
        parts.sort_by(|a, b| a.name().cmp(&b.name()));
        let (databases, streams) = (options.databases.clone(), options.streams.clone());
        let capture = Self { parts, databases, streams, use_cache: !options.no_cache };
        capture.check_names()?;
        Ok(capture)
    }

    /// Refuses sources that would be stored at the same place.
    fn check_names(&self) -> Result<(), BackupError> {
        if self.parts.is_empty() && self.databases.is_empty() && self.streams.is_empty() {
            return Err(RootError::None.into());
        }
        let mut taken = HashSet::new();
        let named = self.parts.iter().filter_map(FilesPart::name);
        let made =
            self.databases.iter().map(|source| &source.name).chain(self.streams.iter().map(|source| &source.name));
        for name in named.chain(made.map(String::as_bytes)) {
            let is_walked = |part: &FilesPart| part.name().is_none() && part.roots.holds_at_top(name);
            if !taken.insert(name) || self.parts.iter().any(is_walked) {
                return Err(BackupError::SameName(escape_name(name)));
            }
        }
        if self.parts.len() > 1 && self.parts.iter().any(|part| part.name().is_none()) {
            return Err(BackupError::RenameOne);
        }
        Ok(())
    }

    /// The absolute paths that were asked for.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().flat_map(|part| part.roots.paths())
    }

    /// What is left out on purpose, root by root.
    pub fn exclusions(&self, elsewhere: &Elsewhere) -> Vec<Exclusion> {
        self.parts.iter().flat_map(|part| part.exclusions(elsewhere)).collect()
    }

    /// What a person should know before it begins.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.parts.iter().flat_map(|part| part.roots.warnings()).map(ToString::to_string)
    }

    /// The sources, in the order of their names.
    pub fn sources(&self, problems: &[Problem]) -> Vec<Source> {
        let parts = self.parts.iter().map(|part| (part.shown_name(), part.kind.unwrap_or("files")));
        let databases = self.databases.iter().map(|source| (source.name.clone(), "postgres"));
        let streams = self.streams.iter().map(|source| (source.name.clone(), source.from.kind()));
        let source = |(name, kind): (String, &str)| Source { name, kind: kind.to_owned(), state: State::Complete };
        let mut sources: Vec<Source> = parts.chain(databases).chain(streams).map(source).collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let has_names = self.parts.iter().all(|part| part.name().is_some());
        for problem in problems {
            let first = problem.path.components().next().unwrap_or_default();
            let named = sources
                .iter()
                .position(|source| source.name.as_bytes() == first && (has_names || source.kind != "files"));
            // What concerns none of them concerns the files that are stored by their paths, or else all of them.
            let named = named.or_else(|| sources.iter().position(|source| !has_names && source.kind == "files"));
            match named {
                Some(at) => sources[at].state = State::Incomplete,
                None => sources.iter_mut().for_each(|source| source.state = State::Incomplete),
            }
        }
        sources
    }

    /// The part that a path of the snapshot belongs to; the top belongs to the first.
    fn part_of(&self, path: &SafePath) -> Option<&FilesPart> {
        let first = path.components().next().unwrap_or_default();
        let found = self.parts.iter().find(|part| part.name().is_none_or(|name| name == first));
        found.or(self.parts.first())
    }

    fn cache_key(&self, path: &SafePath) -> Vec<u8> {
        self.part_of(path).map(|part| part.cache_key(path)).unwrap_or_default()
    }

    fn is_secret(&self, path: &SafePath, metadata: &Metadata) -> bool {
        self.part_of(path).is_some_and(|part| part.secrets.is_secret(path.as_bytes(), metadata))
    }

    /// Captures everything once. `known_total`: whether the progress has totals already.
    pub fn run<A: Access>(
        &self,
        repo: &Repo<A>,
        writer: &Writer,
        known_total: bool,
        checkpoints: &dyn Checkpoints,
        monitor: &dyn Monitor,
    ) -> Result<Captured, BackupError> {
        let gear = Gear::new(repo.keys().domain().gear());
        let readers = std::thread::available_parallelism().map_or(2, usize::from);
        let knowledge = Knowledge::new(cache_of_proofs(repo), self.use_cache, readers - 1);
        let shared = Shared::new((writer, &gear), knowledge, readers, monitor);
        let problem = |problem| shared.problem(problem);
        let made = self.make(&shared, known_total, checkpoints)?;
        let (jobs, jobs_out) = bounded(JOBS);
        let (done, done_out) = unbounded();
        let ended = AtomicBool::new(false);
        let walked = std::thread::scope(|scope| {
            for lane in &shared.data {
                let (shared, jobs, done) = (&shared, jobs_out.clone(), done.clone());
                scope.spawn(move || shared.read(lane, &jobs, &done));
            }
            drop(jobs_out);
            if !known_total {
                scope.spawn(|| self.count(monitor, &ended));
            }
            let walked = self.assemble(repo, &shared, checkpoints, (jobs, &done_out), made);
            ended.store(true, Ordering::Relaxed);
            if walked.is_err() {
                // What waits for readers needn't be read any more, nor what they are at.
                shared.failure.set(WriteError::Stopped);
                writer.abandon();
            }
            walked
        });
        // What was proven is so, whatever becomes of the run.
        if let Err(error) = shared.knowledge.save() {
            repo.cache_fault().note(&error);
        }
        let Walked { top, ledger, databases, mut sources, elsewhere } = walked.map_err(|error| match error {
            BackupError::Write(WriteError::Stopped) => shared.failure.take().unwrap_or(WriteError::Stopped).into(),
            other => other,
        })?;
        let Ledger { statistics, secrets, dumps, seen, .. } = ledger;
        let (dumps, contradictions) = dumps.settled();
        contradictions.into_iter().for_each(problem);
        let problems = std::mem::take(&mut *shared.problems.lock().unwrap_or_else(PoisonError::into_inner)).finish();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Captured { top, statistics, problems, secrets, databases, dumps, sources, elsewhere, seen })
    }

    /// Walks, until the top of the tree is stored.
    fn assemble<'c, A: Access>(
        &'c self,
        repo: &Repo<A>,
        shared: &'c Shared<'c>,
        checkpoints: &'c dyn Checkpoints,
        (jobs, done): (Sender<FileJob>, &Receiver<()>),
        made: Made,
    ) -> Result<Walked<'c>, BackupError> {
        let ledger = Ledger::open(repo, self, shared);
        let sink = StreamSink { lane: shared.writer.lane(Class::Meta), gear: shared.gear };
        let mut visit = Visit::new(self, shared, checkpoints, ledger, Assembler::new(shared.writer, sink), jobs, made);
        for (i, part) in self.parts.iter().enumerate() {
            visit.is_last = i + 1 == self.parts.len();
            let measured = Measured::begin(shared.writer);
            let walk = Walk::new(&part.roots, &part.excludes)?;
            walk.run::<BackupError>(&mut |event| {
                shared.go_on()?;
                visit.event(event, done)
            })?;
            // All of it was met; what isn't read yet is named one by one.
            visit.part = i + 1;
            visit.wait_for_readers(done)?;
            let (entries, bytes) = std::mem::take(&mut visit.tally);
            visit.details.push(measured.end(part.shown_name(), entries, bytes));
        }
        if self.parts.is_empty() {
            visit.made_only()?;
        }
        visit.finish(done)
    }

    /// Counts files and bytes, for the time left. Problems are the real walk's business.
    fn count(&self, monitor: &dyn Monitor, ended: &AtomicBool) {
        let progress = monitor.progress();
        progress.scanning.store(true, Ordering::Relaxed);
        for part in &self.parts {
            let Ok(walk) = Walk::new(&part.roots, &part.excludes) else { return };
            let counted = walk.run::<Stop>(&mut |event| {
                if ended.load(Ordering::Relaxed) || monitor.interrupted() {
                    return Err(Stop);
                }
                if let Event::Entry(found) = event
                    && found.metadata.kind == EntryType::File
                {
                    Progress::add(&progress.files_total, 1);
                    Progress::add(&progress.bytes_total, found.metadata.size);
                }
                Ok(())
            });
            if counted.is_err() {
                return;
            }
        }
        progress.scanning.store(false, Ordering::Relaxed);
    }
}

/// The folder of the cache of proofs, and what authenticates it.
fn cache_of_proofs<A: Access>(repo: &Repo<A>) -> (PathBuf, Zeroizing<[u8; 32]>) {
    let key = blake3::derive_key("nightsafe 1 cache of proofs", repo.keys().domain().index().as_bytes());
    (repo.cache().to_owned(), Zeroizing::new(key))
}

/// Ends the counting walk.
struct Stop;

impl From<WalkError> for Stop {
    fn from(_: WalkError) -> Self {
        Self
    }
}
