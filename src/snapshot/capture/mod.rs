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

pub mod assembler;
pub mod content;
pub mod file;
mod ledger;
mod visit;

use crate::chunker::{Buffer, Gear};
use crate::repo::failure::Failure;
use crate::repo::format::Class;
use crate::repo::repository::{Access, Repo};
use crate::repo::writer::{Lane, WriteError, Writer};
use crate::snapshot::backup::{BackupError, BackupOptions};
use crate::snapshot::capture::assembler::Assembler;
use crate::snapshot::capture::content::StreamSink;
use crate::snapshot::capture::file::{FileJob, FileReaderThread};
use crate::snapshot::capture::ledger::Ledger;
use crate::snapshot::capture::visit::Visit;
use crate::snapshot::manifest::{SecretFile, Statistics};
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::seen::SeenFiles;
use crate::snapshot::source::event::Event;
use crate::snapshot::source::excludes::Excludes;
use crate::snapshot::source::roots::Roots;
use crate::snapshot::source::secrets::SecretRules;
use crate::snapshot::source::walk::{Walk, WalkError};
use crate::snapshot::tree::entry::{Entry, EntryType};
use crate::snapshot::tree::problem::Problem;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files that wait for a reader: enough to keep readers busy, few enough to keep few directories open.
const JOBS: usize = 64;

/// What to capture.
pub struct Capture {
    roots: Roots,
    /// The absolute path of the root that is stored under another name, to know its files again in the cache.
    renamed: Option<Vec<u8>>,
    excludes: Excludes,
    secrets: SecretRules,
    use_cache: bool,
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
    /// The cache of seen files, to be kept once the snapshot is committed.
    pub seen: Option<SeenFiles>,
}

/// What the threads of a capture share.
struct Shared<'c> {
    writer: &'c Writer,
    gear: &'c Gear,
    monitor: &'c dyn Monitor,
    data: Vec<Mutex<Lane>>,
    secret: Mutex<Lane>,
    problems: Mutex<Vec<Problem>>,
    failure: Failure<WriteError>,
}

impl Shared<'_> {
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
        let (roots, renamed) = match (&options.rename, &options.paths[..]) {
            (Some(name), [path]) => {
                let roots = Roots::resolve_as(path, name.as_bytes())?;
                let path = roots.paths().next().map(<[u8]>::to_vec);
                (roots, path)
            }
            (Some(_), _) => return Err(BackupError::RenameOne),
            (None, paths) => (Roots::resolve(paths)?, None),
        };
        Ok(Self {
            roots,
            renamed,
            excludes: Excludes::compile(&options.excludes)?,
            secrets: SecretRules::compile(&options.secrets)?,
            use_cache: !options.no_cache,
        })
    }

    /// The absolute paths that were asked for.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.paths()
    }

    /// What a person should know before it begins.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        self.roots.warnings().iter().map(ToString::to_string)
    }

    /// Captures everything once. `known_total`: whether the progress has totals already.
    pub fn run<A: Access>(
        &self,
        repo: &Repo<A>,
        writer: &Writer,
        known_total: bool,
        monitor: &dyn Monitor,
    ) -> Result<Captured, BackupError> {
        let gear = Gear::new(repo.keys().domain().gear());
        let readers = std::thread::available_parallelism().map_or(2, usize::from);
        let shared = Shared {
            writer,
            gear: &gear,
            monitor,
            data: (0..readers).map(|_| Mutex::new(writer.lane(Class::Data))).collect(),
            secret: Mutex::new(writer.lane(Class::Secret)),
            problems: Mutex::default(),
            failure: Failure::default(),
        };
        let (jobs, jobs_out) = bounded(JOBS);
        let (done, done_out) = unbounded();
        let ended = AtomicBool::new(false);
        let (top, ledger) = std::thread::scope(|scope| {
            for lane in &shared.data {
                let (shared, jobs, done) = (&shared, jobs_out.clone(), done.clone());
                scope.spawn(move || shared.read(lane, &jobs, &done));
            }
            drop(jobs_out);
            if !known_total {
                scope.spawn(|| self.count(monitor, &ended));
            }
            let captured = self.assemble(repo, &shared, jobs, &done_out);
            ended.store(true, Ordering::Relaxed);
            captured
        })
        .map_err(|error| match error {
            BackupError::Write(WriteError::Stopped) => shared.failure.take().unwrap_or(WriteError::Stopped).into(),
            other => other,
        })?;
        let problems = std::mem::take(&mut *shared.problems.lock().unwrap_or_else(PoisonError::into_inner));
        let Ledger { statistics, secrets, seen, .. } = ledger;
        Ok(Captured { top, statistics, problems, secrets, seen })
    }

    /// Walks, until the top of the tree is stored.
    fn assemble<'c, A: Access>(
        &'c self,
        repo: &Repo<A>,
        shared: &'c Shared<'c>,
        jobs: Sender<FileJob>,
        done: &Receiver<()>,
    ) -> Result<(Entry, Ledger<'c>), BackupError> {
        let ledger = Ledger::open(repo, self, shared);
        let sink = StreamSink { lane: shared.writer.lane(Class::Meta), gear: shared.gear };
        let mut visit = Visit::new(self, shared, ledger, Assembler::new(shared.writer, sink), jobs);
        let walk = Walk::new(&self.roots, &self.excludes)?;
        walk.run::<BackupError>(&mut |event| {
            shared.go_on()?;
            visit.event(event, done)
        })?;
        visit.finish(done)
    }

    /// Counts files and bytes, for the time left. Problems are the real walk's business.
    fn count(&self, monitor: &dyn Monitor, ended: &AtomicBool) {
        let progress = monitor.progress();
        progress.scanning.store(true, Ordering::Relaxed);
        let Ok(walk) = Walk::new(&self.roots, &self.excludes) else { return };
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
        if counted.is_ok() {
            progress.scanning.store(false, Ordering::Relaxed);
        }
    }
}

/// Ends the counting walk.
struct Stop;

impl From<WalkError> for Stop {
    fn from(_: WalkError) -> Self {
        Self
    }
}
